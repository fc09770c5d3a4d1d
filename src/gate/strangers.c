#include "gate/strangers.h"

enum { NS_PER_MS = 1000000 };

/* ---- lists, oldest first ---- */

static void list_add(connection_list *list, connection *added, enum connection_list_name name)
{
    struct connection_links *links = &added->links[name];
    if (links->is_listed)
        return;
    *links = (struct connection_links){ .older = list->newest, .is_listed = true };
    if (list->newest != NULL)
        list->newest->links[name].newer = added;
    else
        list->oldest = added;
    list->newest = added;
    list->count++;
}

static void list_remove(connection_list *list, connection *removed, enum connection_list_name name)
{
    struct connection_links *links = &removed->links[name];
    if (!links->is_listed)
        return;
    if (links->older != NULL)
        links->older->links[name].newer = links->newer;
    else
        list->oldest = links->newer;
    if (links->newer != NULL)
        links->newer->links[name].older = links->older;
    else
        list->newest = links->older;
    *links = (struct connection_links){ 0 };
    list->count--;
}

static void add(connection *connection, enum connection_list_name name)
{
    list_add(&connection->http->lists[name], connection, name);
}

static void take_off(connection *connection, enum connection_list_name name)
{
    list_remove(&connection->http->lists[name], connection, name);
}

/* ---- who is one ---- */

void strangers_add(connection *connection)
{
    connection->is_stranger = true;
    add(connection, LIST_STRANGERS);
}

void strangers_know(connection *connection)
{
    connection->is_stranger = false;
    strangers_remove(connection);
}

void strangers_forget(connection *connection)
{
    if (connection->is_broken || connection->is_stranger)
        return;
    connection->stranger_ns = loop_now_ns(connection->http->loop);
    strangers_add(connection);
}

void strangers_remove(connection *connection)
{
    take_off(connection, LIST_STRANGERS);
    take_off(connection, LIST_HEAVY);
}

/* ---- what they hold ---- */

/* More than a small block, in or out. What lasts is nobody's. */
static bool is_heavy(const connection *connection)
{
    const block *out = connection->out.first;
    if (connection->in != NULL && connection->in->capacity > HTTP_BLOCK_SMALL)
        return true;
    for (; out != NULL; out = out->next)
        if (out->capacity > HTTP_BLOCK_SMALL)
            return true;
    return connection->collected.capacity > 0 || connection->tls.is_open;
}

/* A place is free at once: only so the bound holds. */
static void evict_heavy(connection *oldest)
{
    http *http = oldest->http;
    http->counts.evicted++;
    take_off(oldest, LIST_HEAVY);
    connection_break(oldest);
}

void strangers_weigh(connection *connection)
{
    http *http = connection->http;
    if (!connection->is_stranger || connection->is_broken)
        return;
    if (!is_heavy(connection)) {
        take_off(connection, LIST_HEAVY);
        return;
    }
    if (!connection->links[LIST_HEAVY].is_listed && http->lists[LIST_HEAVY].count >= HTTP_HEAVY_MAX)
        evict_heavy(http->lists[LIST_HEAVY].oldest);
    add(connection, LIST_HEAVY);
}

/* ---- when there is no place ---- */

bool strangers_evict(http *http)
{
    connection *at = http->lists[LIST_STRANGERS].oldest, *next;
    int64_t before_ns = loop_now_ns(http->loop) - (int64_t)HTTP_EVICT_AFTER_MS * NS_PER_MS;
    int gone = 0;
    for (; at != NULL && gone < HTTP_ACCEPT_MAX && at->stranger_ns < before_ns; at = next, gone++) {
        next = at->links[LIST_STRANGERS].newer;
        http->counts.evicted++;
        strangers_remove(at);
        connection_break(at);
    }
    return gone > 0 || http->lists[LIST_STRANGERS].count > http->connection_count / 2;
}

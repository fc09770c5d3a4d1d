#include <assert.h>

#include "base/wipe.h"
#include "gate/answer.h"
#include "gate/http.h"
#include "gate/parts.h"
#include "gate/websocket.h"

/* An id: generation 32 bits, part 16, place 16. A late answer meets another
 * generation and is dropped. */
enum { PLACE_BITS = 16, PART_BITS = 16 };
_Static_assert(HTTP_EXCHANGES_ALL <= 1 << PLACE_BITS, "a place fits an id");
_Static_assert(BULK_WINDOW <= 1 << PART_BITS, "a line's place fits an id");

exchange *exchange_take(http *http, connection *owner, uint32_t most)
{
    exchange *taken = http->free_exchange;
    if (http->under_way >= most)
        return NULL;
    if (taken != NULL)
        http->free_exchange = taken->next;
    else
        taken = &http->exchanges[http->exchanges_touched++];
    *taken = (exchange){ .owner = owner,
                         .kind = EXCHANGE_LOCAL,
                         .route = HTTP_NO_ROUTE,
                         .begun_ns = loop_now_ns(http->loop),
                         .if_none_match = UINT64_MAX,
                         .generation = taken->generation + (taken->generation == 0) }; /* no id is 0 */
    if (owner->last == NULL)
        owner->first = taken;
    else
        owner->last->next = taken;
    owner->last = taken;
    owner->under_way++;
    http->under_way++;
    return taken;
}

uint64_t exchange_id(const http *http, const exchange *exchange, uint32_t part)
{
    return (uint64_t)exchange->generation << (PLACE_BITS + PART_BITS) | (uint64_t)part << PLACE_BITS |
           (uint64_t)(exchange - http->exchanges);
}

exchange *exchange_find(http *http, uint64_t id, uint32_t *part)
{
    uint32_t place = (uint32_t)(id & ((1u << PLACE_BITS) - 1));
    if (place >= http->exchanges_touched)
        return NULL;
    exchange *found = &http->exchanges[place];
    if (found->kind == EXCHANGE_FREE || found->generation != (uint32_t)(id >> (PLACE_BITS + PART_BITS)))
        return NULL;
    *part = (uint32_t)(id >> PLACE_BITS & ((1u << PART_BITS) - 1));
    return found;
}

static void free_part(http *http, exchange *exchange)
{
    switch (exchange->kind) {
    case EXCHANGE_UPLOAD: upload_drop(http, exchange); break;
    case EXCHANGE_BULK: bulk_drop(http, exchange); break;
    case EXCHANGE_BACKUP: backup_drop(http, exchange); break;
    case EXCHANGE_STREAM: stream_drop(http, exchange); break;
    case EXCHANGE_PAGES: pages_drop(http, exchange); break;
    case EXCHANGE_WEBSOCKET: websocket_drop(http, exchange); break;
    case EXCHANGE_BARRIER:
    case EXCHANGE_QUERY:
        http->query_count--;
        gathered_clear(&exchange->gathered);
        break;
    case EXCHANGE_PAGE:
    case EXCHANGE_LETTERS:
    case EXCHANGE_STATUS: fan_drop(http, exchange); break;
    case EXCHANGE_DESCRIPTION: gathered_clear(&exchange->gathered); break;
    default: break;
    }
}

/* Takes the first one off its connection. */
static void exchange_release(connection *owner)
{
    http *http = owner->http;
    exchange *gone = owner->first;
    owner->first = gone->next;
    if (owner->first == NULL)
        owner->last = NULL;
    owner->under_way--;
    http->under_way--;
    if (owner->current == gone)
        owner->current = NULL;
    held_left(gone);
    free_part(http, gone);
    block_chain_clear(&http->blocks, &gone->out);
    gone->kind = EXCHANGE_FREE;
    gone->generation++;
    gone->owner = NULL;
    gone->next = http->free_exchange;
    http->free_exchange = gone;
}

void exchange_drop_all(connection *owner)
{
    while (owner->first != NULL)
        exchange_release(owner);
}

/* How long it takes is not the host's doing: streams, uploads, a request that wants to wait. */
static bool is_of_its_client(const exchange *exchange)
{
    return exchange->is_untimed || exchange->kind == EXCHANGE_STREAM || exchange->kind == EXCHANGE_BACKUP || exchange->kind == EXCHANGE_WEBSOCKET ||
           exchange->kind == EXCHANGE_BULK || exchange->kind == EXCHANGE_UPLOAD;
}

void exchange_end(exchange *exchange)
{
    connection *owner = exchange->owner;
    assert(exchange->kind != EXCHANGE_FREE && !exchange->is_answered);
    exchange->is_answered = true;
    held_answered(exchange);
    if (!is_of_its_client(exchange))
        dro_latency_add(&owner->http->requests, loop_now_ns(owner->http->loop) - exchange->begun_ns);
    if (owner->current == exchange)
        owner->current = NULL; /* what is left of its body is nobody's */
    if (!exchange->keeps_alive)
        owner->is_reading = false;
    while (owner->first != NULL && owner->first->is_answered) {
        bool is_last = !owner->first->keeps_alive;
        exchange_release(owner);
        if (is_last) {
            owner->is_closing = true;
            exchange_drop_all(owner);
        } else if (owner->first != NULL) {
            block_chain_move(&owner->out, &owner->first->out);
        }
    }
    if (owner->is_blocked)
        connection_resume(owner);
    connection_mark(owner);
}

void exchange_sweep(http *http)
{
    int64_t now = loop_now_ns(http->loop);
    for (uint32_t i = 0; i < http->exchanges_touched; i++) {
        exchange *late = &http->exchanges[i];
        if (late->kind == EXCHANGE_FREE || late->is_answered || late->deadline_ns == 0 || now < late->deadline_ns)
            continue;
        http->counts.late++;
        if (late->kind == EXCHANGE_METRICS)
            metrics_without_core(http, late);
        else
            answer_problem(late, 504, "no answer came in time");
    }
}

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/wipe.h"
#include "gate/answer.h"
#include "gate/audit.h"
#include "gate/http.h"
#include "gate/parse.h"
#include "gate/parts.h"
#include "gate/strangers.h"
#include "gate/websocket.h"

enum { NS_PER_MS = 1000000, ACCEPT_PAUSE_MS = 100, EVICT_PAUSE_MS = 1, LINGER_READS = 16 };

static void on_ready(loop_watch *watch, uint32_t events);
static void on_due(loop_timer *timer);

static void on_tls_evicted(tls_session *session);

static connection *connection_of_timer(loop_timer *timer)
{
    return (connection *)(void *)((char *)timer - offsetof(connection, timer));
}

/* ---- the life of a connection ---- */

void connection_open(http *http, int descriptor)
{
    connection *made = calloc(1, sizeof *made);
    int on = 1;
    if (made == NULL) {
        close(descriptor);
        return;
    }
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    made->http = http;
    made->watch = (loop_watch){ on_ready, descriptor };
    made->timer.on_due = on_due;
    made->is_reading = true;
    made->may_write = true;
    made->events = EPOLLIN;
    made->phase_ns = made->progress_ns = made->stranger_ns = loop_now_ns(http->loop);
    parse_init(made);
    if (http->config->tls[TLS_HTTP] != NULL) {
        tls_accept(&made->tls, http->config->tls[TLS_HTTP], descriptor, on_tls_evicted);
        made->phase = PHASE_HANDSHAKE;
    }
    if (loop_add(http->loop, &made->watch, made->events) != DRO_OK) {
        close(descriptor);
        free(made);
        return;
    }
    made->next = http->open;
    if (http->open != NULL)
        http->open->previous = made;
    http->open = made;
    if (++http->connection_count > http->connections_most)
        http->connections_most = http->connection_count;
    http->counts.accepted++;
    strangers_add(made);
    connection_schedule(made);
}

/* Only from http_turn, when it is on neither list. */
void connection_close(connection *connection)
{
    http *http = connection->http;
    strangers_remove(connection);
    exchange_drop_all(connection);
    block_chain_clear(&http->blocks, &connection->out);
    if (connection->in != NULL)
        block_give(&http->blocks, connection->in);
    gathered_clear(&connection->collected);
    loop_timer_clear(http->loop, &connection->timer);
    loop_remove(http->loop, &connection->watch);
    tls_end(&connection->tls);
    tls_fini(&connection->tls);
    close(connection->watch.descriptor);
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        http->open = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    http->connection_count--;
    dro_wipe(connection, sizeof *connection);
    free(connection);
}

static void accept_pause(http *http, int64_t ms)
{
    loop_change(http->loop, &http->listener, 0);
    http->is_accepting = false;
    if (loop_timer_set(http->loop, &http->accept_again, loop_now_ns(http->loop) + ms * NS_PER_MS) != DRO_OK)
        loop_change(http->loop, &http->listener, EPOLLIN); /* better busy than deaf */
}

static bool has_lasted(const connection *connection, int64_t now_ns)
{
    return now_ns - connection->phase_ns > (int64_t)HTTP_EVICT_AFTER_MS * NS_PER_MS;
}

/* No place is left. Strangers go first, so that their number wins nothing; then those of the others that have half a
 * header, which comes in one piece; else whoever has been idle for longest. One that has just come is not idle, its request
 * is on the way. */
static void evict(http *http)
{
    connection *oldest = NULL;
    int64_t now_ns = loop_now_ns(http->loop);
    int slow = 0;
    if (strangers_evict(http))
        return;
    for (connection *at = http->open; at != NULL && slow < HTTP_ACCEPT_MAX; at = at->next) {
        if (at->first != NULL || at->is_broken || !has_lasted(at, now_ns))
            continue;
        if (at->phase == PHASE_HEAD) {
            http->counts.evicted++;
            connection_break(at);
            slow++;
        } else if (at->phase != PHASE_BODY && at->out.bytes == 0 && (oldest == NULL || at->phase_ns < oldest->phase_ns)) {
            oldest = at;
        }
    }
    if (slow > 0 || oldest == NULL)
        return;
    http->counts.evicted++;
    connection_break(oldest);
}

void connection_on_listener(loop_watch *watch, uint32_t events)
{
    http *home = (http *)(void *)((char *)watch - offsetof(http, listener));
    (void)events;
    for (int i = 0; i < HTTP_ACCEPT_MAX; i++) {
        if (home->connection_count >= HTTP_CONNECTIONS_MAX) {
            evict(home);
            accept_pause(home, EVICT_PAUSE_MS);
            return;
        }
        int descriptor = accept4(watch->descriptor, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor >= 0) {
            connection_open(home, descriptor);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED)
            continue;
        if (errno != EAGAIN) { /* no descriptors */
            evict(home);
            accept_pause(home, ACCEPT_PAUSE_MS);
        }
        return;
    }
}

void connection_mark(connection *connection)
{
    if (connection->is_dirty)
        return;
    connection->is_dirty = true;
    connection->next_dirty = connection->http->dirty;
    connection->http->dirty = connection;
}

void connection_resume(connection *connection)
{
    if (connection->is_resumed)
        return;
    connection->is_resumed = true;
    connection->next_resumed = connection->http->resumed;
    connection->http->resumed = connection;
}

void connection_break(connection *connection)
{
    connection->is_broken = true;
    connection->is_reading = false;
    connection_mark(connection);
}

/* ---- time ---- */

static int64_t deadline_of(const connection *connection)
{
    int64_t wait_ms = INT64_MAX / NS_PER_MS;
    int64_t since = connection->phase_ns;
    if (connection->is_lingering)
        return since + (int64_t)HTTP_LINGER_MS * NS_PER_MS;
    if (connection->out.bytes > 0) {
        since = connection->progress_ns;
        wait_ms = HTTP_WRITE_MS;
    } else if (connection->first != NULL && connection->first->kind == EXCHANGE_STREAM) {
        return stream_due_ns(connection->first);
    } else if (connection->websocket != NULL && connection->first != NULL) {
        return websocket_due_ns(connection->first);
    } else if (connection->is_blocked) {
        return INT64_MAX;
    } else if (connection->phase == PHASE_HANDSHAKE) {
        wait_ms = HTTP_HANDSHAKE_MS;
    } else if (connection->phase == PHASE_HEAD) {
        wait_ms = HTTP_HEAD_MS;
    } else if (connection->phase == PHASE_BODY) {
        wait_ms = connection->sink == SINK_BULK     ? HTTP_STREAM_IDLE_MS
                  : connection->sink == SINK_UPLOAD ? HTTP_UPLOAD_MS
                                                    : HTTP_BODY_MS;
    } else if (connection->first == NULL) {
        wait_ms = HTTP_IDLE_MS;
    } else {
        return INT64_MAX; /* the exchanges have their own */
    }
    return since + wait_ms * NS_PER_MS;
}

/* The timer may come early, and then looks again: so most requests never move it. */
void connection_schedule(connection *connection)
{
    int64_t due = deadline_of(connection);
    if (due == INT64_MAX || (connection->timer.place != 0 && connection->timer.due_ns <= due))
        return;
    if (loop_timer_set(connection->http->loop, &connection->timer, due) != DRO_OK)
        connection_break(connection);
}

static void on_due(loop_timer *timer)
{
    connection *late = connection_of_timer(timer);
    http *http = late->http;
    if (loop_now_ns(http->loop) < deadline_of(late)) {
        connection_schedule(late);
        return;
    }
    if (!late->is_lingering && late->out.bytes > 0) {
        http->counts.refused[REFUSED_SLOW]++;
        if (late->first != NULL && late->first->kind == EXCHANGE_STREAM)
            http->counts.slow_streams++;
        connection_break(late);
    } else if (!late->is_lingering && late->first != NULL && late->first->kind == EXCHANGE_STREAM) {
        stream_comment(http, late->first);
        connection_schedule(late);
    } else if (!late->is_lingering && late->websocket != NULL && late->first != NULL) {
        websocket_ping(http, late->first);
        connection_schedule(late);
    } else if (!late->is_lingering && late->phase == PHASE_HANDSHAKE) {
        tls_timed_out(&late->tls);
        connection_break(late);
    } else if (!late->is_lingering && late->phase != PHASE_IDLE) {
        http->counts.refused[REFUSED_TIMEOUT]++;
        request_refuse(late, 408, "the request did not come in time");
    } else {
        connection_break(late); /* idle, or lingering long enough */
    }
}

/* ---- bytes in ---- */

static void read_linger(connection *connection)
{
    uint8_t waste[4096];
    for (int i = 0; i < LINGER_READS; i++) {
        ssize_t got = recv(connection->watch.descriptor, waste, sizeof waste, 0);
        if (got > 0)
            continue;
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            connection_break(connection);
        break;
    }
    dro_wipe(waste, sizeof waste);
}

static void on_end(connection *connection)
{
    connection->is_eof = true;
    bool is_stream = connection->websocket != NULL || (connection->first != NULL && connection->first->kind == EXCHANGE_STREAM);
    bool is_owed = connection->first != NULL || connection->out.bytes > 0; /* an answer may be made and not written yet */
    if (!is_owed || connection->phase != PHASE_IDLE || is_stream)
        connection_break(connection); /* or the request is cut off */
    connection->is_reading = false; /* nothing is left unhandled: while something is, the end is not looked for */
    connection_mark(connection);
}

/* What is read goes into a large block; half a header waits in a small one. */
static block *open_in(connection *connection)
{
    block_pool *pool = &connection->http->blocks;
    if (connection->in == NULL) {
        connection->start = connection->parsed = 0;
        connection->in = block_take(pool, BLOCK_LARGE);
        return connection->in;
    }
    return connection->in->capacity == HTTP_BLOCK_SMALL ? connection_resize(connection, BLOCK_LARGE) : connection->in;
}

static void read_some(connection *connection)
{
    http *http = connection->http;
    block *in = open_in(connection);
    if (in == NULL) {
        connection_break(connection);
        return;
    }
    uint8_t *room = in->room + in->end;
    size_t length = HTTP_BLOCK_BYTES - in->end;
    ssize_t got = tls_is_on(&connection->tls) ? tls_receive(&connection->tls, room, length)
                                              : recv(connection->watch.descriptor, room, length, 0);
    if (got > 0) {
        in->end += (uint32_t)got;
        http->counts.received_bytes += (uint64_t)got;
        if (connection->phase == PHASE_IDLE || connection->sink == SINK_BULK)
            connection->phase_ns = loop_now_ns(http->loop);
        connection_process(connection);
    } else if (got == 0) {
        on_end(connection);
    } else if (errno != EAGAIN && errno != EINTR) {
        connection_break(connection);
    }
    if (connection->in != NULL && connection->in->end == 0) {
        block_give(&http->blocks, connection->in);
        connection->in = NULL;
    }
}

static bool wants_bytes(const connection *connection)
{
    return connection->is_lingering || (connection->is_reading && !connection->is_blocked);
}

static void watch_for(connection *connection, uint32_t events)
{
    if (events == connection->events)
        return;
    connection->events = events;
    loop_change(connection->http->loop, &connection->watch, events);
}

/* OpenSSL has taken bytes from the socket for which there was no room yet: epoll knows nothing of them. */
static bool has_hidden_bytes(const connection *connection)
{
    return !connection->is_broken && !connection->is_lingering && wants_bytes(connection) && tls_has_more(&connection->tls);
}

void connection_continue(connection *connection)
{
    connection_process(connection);
    if (has_hidden_bytes(connection))
        read_some(connection);
}

/* ---- TLS ---- */

static void on_tls_evicted(tls_session *session)
{
    connection_break((connection *)(void *)((char *)session - offsetof(connection, tls)));
}

/* Whoever speaks HTTP to a port of TLS is told so in HTTP. */
static void refuse_plain(connection *connection)
{
    tls_fini(&connection->tls);
    connection->phase = PHASE_IDLE;
    request_refuse(connection, 400, "TLS is spoken here: https");
}

/* True: it is done, and a request may have come with it. */
static bool shake_hands(connection *connection)
{
    switch (tls_handshake(&connection->tls)) {
    case TLS_DONE:
        if (request_certificate(connection, &(shown_certificate){ 0 }))
            strangers_know(connection); /* one of our authority's */
        connection->phase = PHASE_IDLE;
        connection->phase_ns = loop_now_ns(connection->http->loop);
        watch_for(connection, EPOLLIN);
        return true;
    case TLS_AGAIN: watch_for(connection, tls_events(&connection->tls)); break;
    case TLS_PLAIN: refuse_plain(connection); break;
    default: /* TLS_FAILED */
        audit_certificate(connection);
        connection_break(connection);
        break;
    }
    return false;
}

static void take_bytes(connection *ready)
{
    if (ready->is_lingering)
        read_linger(ready);
    else if (wants_bytes(ready))
        read_some(ready);
    if (has_hidden_bytes(ready))
        connection_resume(ready);
    if (!ready->is_broken && !wants_bytes(ready)) /* what is not taken would be told again and again */
        watch_for(ready, ready->events & ~(uint32_t)EPOLLIN);
}

static void on_ready(loop_watch *watch, uint32_t events)
{
    connection *ready = (connection *)(void *)((char *)watch - offsetof(connection, watch));
    if (ready->is_broken)
        return;
    if (events & EPOLLERR || (events & EPOLLHUP && !(events & EPOLLIN))) {
        connection_break(ready);
        return;
    }
    if (ready->phase == PHASE_HANDSHAKE) {
        if (!shake_hands(ready)) {
            connection_schedule(ready);
            return;
        }
        events |= EPOLLIN;
    }
    if (events & EPOLLOUT) {
        ready->may_write = true;
        connection_mark(ready);
    }
    if (events & EPOLLIN || ready->tls.wants_write)
        take_bytes(ready);
    if (events & EPOLLHUP && !ready->is_broken)
        connection_break(ready);
    if (!ready->is_dirty) /* else when it was written out */
        strangers_weigh(ready);
    connection_schedule(ready);
}

/* ---- bytes out ---- */

static ssize_t write_some(connection *connection)
{
    if (tls_is_on(&connection->tls)) { /* a block is as long as a record may be */
        const block *first = connection->out.first;
        return tls_send(&connection->tls, first->bytes + first->start, first->end - first->start);
    }
    struct iovec parts[HTTP_WRITE_PARTS];
    struct msghdr message = { .msg_iov = parts };
    for (block *at = connection->out.first; at != NULL && message.msg_iovlen < HTTP_WRITE_PARTS; at = at->next)
        parts[message.msg_iovlen++] = (struct iovec){ (void *)(at->bytes + at->start), at->end - at->start };
    if (message.msg_iovlen == 1)
        return send(connection->watch.descriptor, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL);
    return sendmsg(connection->watch.descriptor, &message, MSG_NOSIGNAL);
}

static void write_out(connection *connection)
{
    http *http = connection->http;
    while (connection->out.bytes > 0 && connection->may_write) {
        ssize_t put = write_some(connection);
        if (put > 0) {
            block_chain_drop(&http->blocks, &connection->out, (size_t)put);
            http->counts.sent_bytes += (uint64_t)put;
            connection->progress_ns = loop_now_ns(http->loop);
        } else if (put == 0 || errno == EAGAIN) {
            connection->may_write = false;
        } else if (errno != EINTR) {
            connection_break(connection);
            return;
        }
    }
}

/* All is written and no more is owed: go, but so that the last bytes arrive. */
static void finish(connection *connection)
{
    if (!connection->wants_linger) {
        connection_break(connection);
        return;
    }
    tls_end(&connection->tls);
    shutdown(connection->watch.descriptor, SHUT_WR);
    connection->is_lingering = true;
    connection->phase_ns = loop_now_ns(connection->http->loop);
    if (connection->in != NULL) {
        block_give(&connection->http->blocks, connection->in);
        connection->in = NULL;
        connection->start = connection->parsed = 0;
    }
}

/* It waited for the client to take something, and that happened. */
static bool made_room(const connection *connection, size_t before)
{
    size_t now = connection->out.bytes;
    return (connection->is_stranger && before > 0 && now == 0) || (before >= HTTP_OUT_HIGH && now < HTTP_OUT_HIGH) ||
           (before >= HTTP_BULK_OUT_HIGH && now < HTTP_BULK_OUT_HIGH);
}

void connection_flush(connection *connection)
{
    size_t before = connection->out.bytes;
    if (!connection->is_waiting)
        connection->progress_ns = loop_now_ns(connection->http->loop);
    write_out(connection);
    connection->is_waiting = connection->out.bytes > 0;
    if (connection->is_broken)
        return;
    bool is_done = connection->is_closing || (connection->is_eof && connection->first == NULL);
    if (connection->out.bytes == 0 && is_done && !connection->is_lingering)
        finish(connection);
    if ((connection->is_blocked && made_room(connection, before)) || has_hidden_bytes(connection))
        connection_resume(connection);
    if (connection->is_broken)
        return;
    uint32_t events = connection->out.bytes > 0 || connection->tls.wants_write ? EPOLLOUT : 0;
    if (wants_bytes(connection))
        events |= EPOLLIN;
    watch_for(connection, events);
    strangers_weigh(connection);
    connection_schedule(connection);
}

/* ---- small things ---- */

/* What was read moves into a block of another size. NULL: there is none, and it stays. */
block *connection_resize(connection *connection, enum block_size size)
{
    block *made = block_resize(&connection->http->blocks, connection->in, connection->start, size);
    if (made == NULL)
        return NULL;
    connection->in = made;
    connection->parsed -= connection->start;
    connection->start = 0;
    return made;
}

slice connection_text(const connection *connection, span span)
{
    return (slice){ (const char *)connection->in->bytes + connection->start + span.offset, span.length };
}

slice connection_field(const connection *connection, enum head_field field)
{
    if (!(connection->head.present & 1u << field))
        return (slice){ "", 0 };
    return connection_text(connection, connection->head.fields[field]);
}

bool gathered_add(gathered *gathered, const void *bytes, size_t length, size_t maximum)
{
    if (length > maximum - gathered->length || gathered->length > maximum)
        return false;
    if (gathered->length + length > gathered->capacity) {
        size_t capacity = gathered->capacity > 0 ? gathered->capacity : 4096;
        while (capacity < gathered->length + length)
            capacity *= 2;
        uint8_t *grown = malloc(capacity);
        if (grown == NULL)
            return false;
        if (gathered->length > 0)
            memcpy(grown, gathered->bytes, gathered->length);
        dro_wipe(gathered->bytes, gathered->length);
        free(gathered->bytes);
        gathered->bytes = grown;
        gathered->capacity = (uint32_t)capacity;
    }
    if (length > 0)
        memcpy(gathered->bytes + gathered->length, bytes, length);
    gathered->length += (uint32_t)length;
    return true;
}

void gathered_clear(gathered *gathered)
{
    if (gathered->bytes != NULL)
        dro_wipe(gathered->bytes, gathered->length);
    free(gathered->bytes);
    *gathered = (struct gathered){ 0 };
}

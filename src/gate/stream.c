/* Streams of events to browsers and programs (WHATWG HTML 9.2). */
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "gate/answer.h"
#include "gate/parts.h"

enum { NS_PER_MS = 1000000, CREDIT_STEP = STREAM_CREDIT / 4 };

struct stream {
    stream *next;
    exchange *owner; /* NULL: only MESSAGE_UNSUBSCRIBE is still to be sent */
    uint64_t id;
    uint64_t taken, credited; /* events of the core; of them told to be passed on */
    int64_t told_ns;          /* when the client last got something */
    uint8_t token[TOKEN_HASH];
};

static void stream_free(http *http, stream *gone)
{
    stream **at = &http->streams;
    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
    http->stream_count--;
    free(gone);
}

bool stream_begin(http *http, exchange *exchange, const void *request, uint32_t length)
{
    ring_writer *core = &http->config->to_core[0];
    uint8_t bytes[HTTP_REQUEST_MAX + 16];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    if (http->stream_count >= HTTP_STREAMS_MAX)
        return false;
    stream *made = calloc(1, sizeof *made);
    if (made == NULL)
        return false;
    dro_builder_bytes(&out, request, length);
    request_pad(&out);
    made->id = exchange_id(http, exchange, 0);
    if (!ring_send(core, MESSAGE_SUBSCRIBE, 0, made->id, bytes, (uint32_t)dro_builder_length(&out))) {
        free(made);
        return false;
    }
    memcpy(made->token, exchange->owner->token, TOKEN_HASH);
    made->owner = exchange;
    made->told_ns = loop_now_ns(http->loop);
    made->next = http->streams;
    http->streams = made;
    http->stream_count++;
    exchange->kind = EXCHANGE_STREAM;
    exchange->stream = made;
    return true;
}

void stream_on_reply(http *http, exchange *exchange, const api_reply *reply)
{
    answer made = { .status = reply->status, .content_type = "text/event-stream", .etag = ANSWER_NO_ETAG };
    if (exchange->status != 0)
        return;
    exchange->deadline_ns = 0;
    exchange->stream->told_ns = loop_now_ns(http->loop);
    if (exchange->is_head) {
        exchange->keeps_alive = false;
        answer_whole(exchange, &made, NULL, 0);
    } else {
        answer_begin(exchange, &made, true);
    }
}

/* A value of a line: a line end in it would begin another line. */
static void put_line(exchange *exchange, const char *name, const uint8_t *text, size_t length)
{
    answer_part(exchange, name, strlen(name));
    while (length > 0) {
        size_t clean = 0;
        while (clean < length && text[clean] != '\n' && text[clean] != '\r')
            clean++;
        answer_part(exchange, text, clean);
        size_t used = clean < length ? clean + 1 : clean;
        if (used > clean)
            answer_part(exchange, " ", 1);
        text += used;
        length -= used;
    }
    answer_part(exchange, "\n", 1);
}

void stream_on_event(http *http, exchange *exchange, const void *body, uint32_t length)
{
    stream_event head;
    connection *owner = exchange->owner;
    if (length < sizeof head || exchange->status == 0 || owner->is_broken)
        return;
    memcpy(&head, body, sizeof head);
    if ((uint64_t)sizeof head + head.event_id_length + head.type_length + head.data_length > length)
        return;
    if (owner->first == exchange && owner->out.bytes > HTTP_STREAM_OUT_MAX) {
        http->counts.slow_streams++;
        connection_break(owner);
        return;
    }
    const uint8_t *text = (const uint8_t *)body + sizeof head;
    put_line(exchange, "id: ", text, head.event_id_length);
    text += head.event_id_length;
    put_line(exchange, "event: ", text, head.type_length);
    text += head.type_length;
    put_line(exchange, "data: ", text, head.data_length);
    answer_part(exchange, "\n", 1);
    exchange->stream->taken++;
    exchange->stream->told_ns = loop_now_ns(http->loop);
    http->counts.stream_events++;
}

int64_t stream_due_ns(const exchange *exchange)
{
    return exchange->stream->told_ns + (int64_t)HTTP_COMMENT_MS * NS_PER_MS;
}

void stream_comment(http *http, exchange *exchange)
{
    exchange->stream->told_ns = loop_now_ns(http->loop);
    if (exchange->status != 0)
        answer_part(exchange, ":\n\n", 3);
}

void stream_drop(http *http, exchange *exchange)
{
    stream *left = exchange->stream;
    left->owner = NULL;
    exchange->stream = NULL;
    if (ring_send(&http->config->to_core[0], MESSAGE_UNSUBSCRIBE, 0, left->id, NULL, 0))
        stream_free(http, left);
}

/* Tells the core what clients took, in steps. */
void stream_turn(http *http)
{
    ring_writer *core = &http->config->to_core[0];
    stream *next;
    for (stream *at = http->streams; at != NULL; at = next) {
        next = at->next;
        if (at->owner == NULL) {
            if (!ring_send(core, MESSAGE_UNSUBSCRIBE, 0, at->id, NULL, 0))
                return;
            stream_free(http, at);
        } else if (at->taken - at->credited >= CREDIT_STEP && at->owner->owner->out.bytes == 0) {
            uint64_t passed = at->taken - at->credited;
            if (!ring_send(core, MESSAGE_CREDIT, 0, at->id, &passed, sizeof passed))
                return;
            at->credited = at->taken;
        }
    }
}

bool stream_is_waiting(const http *http)
{
    for (const stream *at = http->streams; at != NULL; at = at->next)
        if (at->owner == NULL || (at->taken - at->credited >= CREDIT_STEP && at->owner->owner->out.bytes == 0))
            return true;
    return false;
}

void stream_fini(http *http)
{
    while (http->streams != NULL)
        stream_free(http, http->streams);
}

void stream_close_token(http *http, const uint8_t hash[TOKEN_HASH])
{
    for (stream *at = http->streams; at != NULL; at = at->next)
        if (at->owner != NULL && memcmp(at->token, hash, TOKEN_HASH) == 0)
            connection_break(at->owner->owner);
}

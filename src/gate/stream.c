/* Streams of events to browsers and programs (WHATWG HTML 9.2). With several cores a
 * stream joins those of all of them: in the order in which they come, a twin's own order
 * being its core's, with how far it has come in each of them as the event's id. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "gate/answer.h"
#include "gate/home.h"
#include "gate/join.h"
#include "gate/parts.h"

enum { NS_PER_MS = 1000000, CREDIT_STEP = STREAM_CREDIT / 4 };
static const char gap_type[] = "dromio.gap.v1";

typedef struct stream_core {
    uint64_t taken, credited; /* events of the core; of them told to be passed on */
    uint64_t position;        /* how far the client has come there */
} stream_core;

struct stream {
    stream *next;
    exchange *owner;          /* NULL: only MESSAGE_UNSUBSCRIBE is still to be sent */
    uint64_t id;
    uint32_t joined;          /* bits of cores that know it */
    bool has_gap;             /* where it begins: a core, or nobody, can say what came before */
    int64_t told_ns;          /* when the client last got something */
    uint8_t token[TOKEN_HASH];
    int64_t expires_ns;       /* with its token; INT64_MAX: never */
    stream_core cores[];      /* [core_count] */
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

/* ---- with several cores: one position for each, and nothing before all have answered ---- */

static bool is_joined(const http *http)
{
    return http->config->core_count > 1;
}

/* The cores that have events of it: the twin's, or all. */
static uint32_t cores_of(const http *http, const void *request, uint32_t length)
{
    dro_cursor in = dro_cursor_over(request, length);
    dro_field field;
    dro_cursor_bytes(&in, sizeof(api_request));
    while (dro_field_next(&in, &field))
        if (field.tag == API_FIELD_ID)
            return 1u << home_of(http->config, DIRECTORY_ID, (const char *)field.bytes, field.length);
    return (uint32_t)((1ull << http->config->core_count) - 1);
}

/* Where the client was in each core. An id of another number of cores says nothing of these. */
static bool read_resume(const http *http, stream *made, const void *request, uint32_t length)
{
    uint64_t positions[GATE_CORES_MAX];
    dro_cursor in = dro_cursor_over(request, length);
    dro_field field;
    dro_cursor_bytes(&in, sizeof(api_request));
    while (dro_field_next(&in, &field)) {
        if (field.tag != API_FIELD_RESUME)
            continue;
        made->has_gap = !join_positions_read((slice){ (const char *)field.bytes, field.length }, positions, http->config->core_count);
        for (uint32_t i = 0; i < http->config->core_count && !made->has_gap; i++)
            made->cores[i].position = positions[i];
        return !made->has_gap;
    }
    return false;
}

/* The request for one of several cores: resumes where the client was there. */
static void put_joined(const stream *made, uint32_t core, bool is_resumed, const void *request, uint32_t length, dro_builder *out)
{
    char text[24];
    dro_cursor in = dro_cursor_over(request, length);
    dro_field field;
    dro_builder_bytes(out, dro_cursor_bytes(&in, sizeof(api_request)), sizeof(api_request));
    while (dro_field_next(&in, &field))
        if (field.tag != API_FIELD_RESUME)
            dro_field_put(out, (uint8_t)field.tag, field.bytes, field.length);
    snprintf(text, sizeof text, "%llu", (unsigned long long)made->cores[core].position);
    if (is_resumed)
        dro_field_put_text(out, API_FIELD_RESUME, text);
    dro_field_put(out, API_FIELD_HELD, NULL, 0);
}

/* ---- beginning ---- */

static bool subscribe(http *http, stream *made, const void *request, uint32_t length)
{
    uint8_t bytes[HTTP_REQUEST_MAX + 64];
    uint32_t wanted = is_joined(http) ? cores_of(http, request, length) : 1;
    bool is_resumed = is_joined(http) && read_resume(http, made, request, length);
    for (uint32_t core = 0; core < http->config->core_count; core++) {
        if ((wanted >> core & 1) == 0)
            continue;
        dro_builder out = dro_builder_over(bytes, sizeof bytes);
        if (is_joined(http))
            put_joined(made, core, is_resumed, request, length, &out);
        else
            dro_builder_bytes(&out, request, length);
        dro_field_pad(&out);
        if (!ring_send(&http->config->to_core[core], MESSAGE_SUBSCRIBE, 0, made->id, bytes, (uint32_t)dro_builder_length(&out)))
            return false;
        made->joined |= 1u << core;
    }
    return true;
}

static int64_t expiry_ns(const http *http, int64_t expires_ms)
{
    dro_clock *clock = http->config->clock;
    return expires_ms == 0 ? INT64_MAX : loop_now_ns(http->loop) + (expires_ms - clock->wall_ms(clock)) * NS_PER_MS;
}

static bool may_subscribe(const http *http, const exchange *exchange)
{
    const dro_clock *clock = http->config->clock;
    const token *caller = token_table_find(http->tokens, exchange->owner->token, clock->wall_ms(http->config->clock));
    uint32_t most = caller == NULL ? 0 : limit_in_force(&caller->limits, &http->config->limits, LIMIT_SUBSCRIPTIONS), count = 0;
    for (const stream *at = http->streams; at != NULL; at = at->next)
        count += at->owner != NULL && memcmp(at->token, exchange->owner->token, TOKEN_HASH) == 0;
    return most == 0 || count < most || caller == NULL || caller->number == 0;
}

bool stream_begin(http *http, exchange *exchange, const void *request, uint32_t length)
{
    if (http->stream_count >= HTTP_STREAMS_MAX)
        return false;
    if (!may_subscribe(http, exchange)) {
        answer_too_many(exchange, 0, "the application has as many event streams open as it may");
        return true;
    }
    stream *made = calloc(1, sizeof *made + http->config->core_count * sizeof made->cores[0]);
    if (made == NULL)
        return false;
    made->id = exchange_id(http, exchange, 0);
    bool is_whole = subscribe(http, made, request, length);
    made->next = http->streams;
    http->streams = made;
    http->stream_count++;
    if (!is_whole) { /* without an owner: those that know it are told that it is over */
        if (made->joined == 0)
            stream_free(http, made);
        return false;
    }
    memcpy(made->token, exchange->owner->token, TOKEN_HASH);
    made->expires_ns = expiry_ns(http, exchange->owner->token_expires_ms);
    made->owner = exchange;
    made->told_ns = loop_now_ns(http->loop);
    exchange->kind = EXCHANGE_STREAM;
    exchange->stream = made;
    exchange->waiting = made->joined;
    return true;
}

static void put_gap(http *http, exchange *exchange);

/* All cores hold their events back until now. */
static void let_go(stream *begun, uint32_t core_count)
{
    for (uint32_t i = 0; i < core_count; i++)
        if (begun->joined >> i & 1)
            begun->cores[i].taken += STREAM_CREDIT;
}

void stream_on_reply(http *http, exchange *exchange, uint32_t core, const api_reply *reply)
{
    answer made = { .status = reply->status, .content_type = "text/event-stream", .etag = ANSWER_NO_ETAG };
    stream *begun = exchange->stream;
    if (exchange->status != 0 || (exchange->waiting >> core & 1) == 0)
        return;
    exchange->waiting &= ~(1u << core);
    begun->cores[core].position = reply->etag;
    if (exchange->waiting != 0)
        return;
    exchange->deadline_ns = 0;
    begun->told_ns = loop_now_ns(http->loop);
    if (exchange->is_head) {
        exchange->keeps_alive = false;
        answer_whole(exchange, &made, NULL, 0);
        return;
    }
    answer_begin(exchange, &made, true);
    if (is_joined(http))
        let_go(begun, http->config->core_count);
    if (begun->has_gap)
        put_gap(http, exchange);
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

static void put_event(exchange *exchange, slice id, slice type, slice data)
{
    put_line(exchange, "id: ", (const uint8_t *)id.at, id.length);
    put_line(exchange, "event: ", (const uint8_t *)type.at, type.length);
    put_line(exchange, "data: ", (const uint8_t *)data.at, data.length);
    answer_part(exchange, "\n", 1);
}

static slice positions_of(const http *http, const stream *of, char text[JOIN_POSITIONS_TEXT])
{
    uint64_t positions[GATE_CORES_MAX];
    for (uint32_t i = 0; i < http->config->core_count; i++)
        positions[i] = of->cores[i].position;
    return (slice){ text, (uint32_t)join_positions_write(text, positions, http->config->core_count) };
}

/* What cores said while the others had not answered, or nobody can: said once, in front. */
static void put_gap(http *http, exchange *exchange)
{
    char text[JOIN_POSITIONS_TEXT], when[DRO_TIME_TEXT], data[JOIN_POSITIONS_TEXT + 256];
    slice id = positions_of(http, exchange->stream, text);
    dro_time_text(http->config->clock->wall_ms(http->config->clock), when);
    int length = snprintf(data, sizeof data, "{\"specversion\":\"1.0\",\"id\":\"gap-%.*s\",\"time\":\"%s\",\"source\":\"/v1/twins\","
                          "\"type\":\"%s\",\"data\":{\"reason\":\"events older than what is kept are missing here\"}}",
                          (int)id.length, id.at, when, gap_type);
    put_event(exchange, id, (slice){ gap_type, sizeof gap_type - 1 }, (slice){ data, (uint32_t)length });
}

/* The core's own number of an event. */
static uint64_t number_of(slice id)
{
    uint64_t number = 0;
    for (uint32_t i = 0; i < id.length && id.at[i] >= '0' && id.at[i] <= '9'; i++)
        number = number * 10 + (uint64_t)(id.at[i] - '0');
    return number;
}

void stream_on_event(http *http, exchange *exchange, uint32_t core, const void *body, uint32_t length)
{
    stream_event head;
    connection *owner = exchange->owner;
    if (length < sizeof head || owner->is_broken)
        return;
    memcpy(&head, body, sizeof head);
    if ((uint64_t)sizeof head + head.event_id_length + head.type_length + head.data_length > length)
        return;
    const char *text = (const char *)body + sizeof head;
    slice id = { text, head.event_id_length }, type = { id.at + id.length, head.type_length };
    slice data = { type.at + type.length, head.data_length };
    exchange->stream->cores[core].taken++;
    if (exchange->status == 0) { /* only a gap comes before all have answered */
        exchange->stream->has_gap |= slice_is(type, gap_type);
        return;
    }
    if (owner->first == exchange && owner->out.bytes > HTTP_STREAM_OUT_MAX) {
        http->counts.slow_streams++;
        connection_break(owner);
        return;
    }
    char positions[JOIN_POSITIONS_TEXT];
    if (is_joined(http)) {
        exchange->stream->cores[core].position = number_of(id);
        id = positions_of(http, exchange->stream, positions);
    }
    put_event(exchange, id, type, data);
    exchange->stream->told_ns = loop_now_ns(http->loop);
    http->counts.stream_events++;
}

int64_t stream_due_ns(const exchange *exchange)
{
    int64_t comment_ns = exchange->stream->told_ns + (int64_t)HTTP_COMMENT_MS * NS_PER_MS;
    return exchange->stream->expires_ns < comment_ns ? exchange->stream->expires_ns : comment_ns;
}

void stream_comment(http *http, exchange *exchange)
{
    exchange->stream->told_ns = loop_now_ns(http->loop);
    if (exchange->stream->told_ns >= exchange->stream->expires_ns)
        connection_break(exchange->owner);
    else if (exchange->status != 0)
        answer_part(exchange, ":\n\n", 3);
}

/* ---- ending and crediting ---- */

/* Gone once all that know it are told; their rings may be full. */
static void unsubscribe(http *http, stream *left)
{
    for (uint32_t i = 0; i < http->config->core_count; i++)
        if (left->joined >> i & 1 && ring_send(&http->config->to_core[i], MESSAGE_UNSUBSCRIBE, 0, left->id, NULL, 0))
            left->joined &= ~(1u << i);
    if (left->joined == 0)
        stream_free(http, left);
}

void stream_drop(http *http, exchange *exchange)
{
    stream *left = exchange->stream;
    left->owner = NULL;
    exchange->stream = NULL;
    unsubscribe(http, left);
}

static bool is_credit_due(const stream *at, uint32_t core)
{
    return at->cores[core].taken - at->cores[core].credited >= CREDIT_STEP && at->owner->owner->out.bytes == 0;
}

/* Tells the cores what clients took, in steps. */
void stream_turn(http *http)
{
    stream *next;
    for (stream *at = http->streams; at != NULL; at = next) {
        next = at->next;
        if (at->owner == NULL) {
            unsubscribe(http, at);
            continue;
        }
        for (uint32_t core = 0; core < http->config->core_count; core++) {
            uint64_t passed = at->cores[core].taken - at->cores[core].credited;
            if (is_credit_due(at, core) &&
                ring_send(&http->config->to_core[core], MESSAGE_CREDIT, 0, at->id, &passed, sizeof passed))
                at->cores[core].credited += passed;
        }
    }
}

bool stream_is_waiting(const http *http)
{
    for (const stream *at = http->streams; at != NULL; at = at->next) {
        if (at->owner == NULL)
            return true;
        for (uint32_t core = 0; core < http->config->core_count; core++)
            if (is_credit_due(at, core))
                return true;
    }
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

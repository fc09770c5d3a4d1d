/* Metrics: GET /metrics, Prometheus text format 0.0.4. The core's part comes
 * from the core; without it the gate's own is told all the same. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "gate/answer.h"
#include "gate/parts.h"

enum { METRICS_BYTES = 1024 * 1024 };

__attribute__((format(printf, 2, 3))) static void put(dro_builder *out, const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    dro_builder_text(out, line);
}

static void put_one(dro_builder *out, const char *name, const char *kind, const char *help, uint64_t value)
{
    put(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name, kind, name, value);
}

static void put_signed(dro_builder *out, const char *name, const char *kind, const char *help, int64_t value)
{
    put(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRId64 "\n", name, help, name, kind, name, value);
}

static void put_answers(const http *http, dro_builder *out)
{
    put(out, "# HELP dromio_http_answers_total Answers by route and class of status.\n"
             "# TYPE dromio_http_answers_total counter\n");
    for (uint32_t i = 0; i <= HTTP_ROUTES_MAX; i++) {
        if (i >= route_count() && i != HTTP_ROUTES_MAX)
            continue;
        for (unsigned class = 2; class < 6; class ++)
            if (http->counts.answers[i][class] > 0)
                put(out, "dromio_http_answers_total{route=\"%s\",status=\"%uxx\"} %" PRIu64 "\n",
                    i < route_count() ? route_at(i)->name : "none", class, http->counts.answers[i][class]);
    }
}

static void put_refusals(const http *http, dro_builder *out)
{
    static const char *const names[REFUSALS] = {
        [REFUSED_MALFORMED] = "malformed",       [REFUSED_TOO_LARGE] = "too_large", [REFUSED_TIMEOUT] = "timeout",
        [REFUSED_UNAUTHORIZED] = "unauthorized", [REFUSED_BUSY] = "busy", [REFUSED_RATE] = "rate",           [REFUSED_SLOW] = "slow",
    };
    put(out, "# HELP dromio_http_refused_total Requests and connections refused, by reason.\n"
             "# TYPE dromio_http_refused_total counter\n");
    for (unsigned i = 0; i < REFUSALS; i++)
        put(out, "dromio_http_refused_total{reason=\"%s\"} %" PRIu64 "\n", names[i], http->counts.refused[i]);
}

static void put_room_lines(const usage_page *usage, dro_builder *out, const char *name, const char *kind, const char *help,
                           double (*value)(const usage_room *room))
{
    uint32_t count = atomic_load_explicit(&usage->count, memory_order_acquire);
    put(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
    for (uint32_t i = 0; i < count && i < USAGE_ROOMS_MAX; i++)
        put(out, "%s{room=\"%.23s\"} %.15g\n", name, usage->rooms[i].name, value(&usage->rooms[i]));
}

static double room_cpu(const usage_room *room)
{
    return (double)atomic_load_explicit(&room->cpu_nanos, memory_order_relaxed) / 1e9;
}

static double room_memory(const usage_room *room)
{
    return (double)atomic_load_explicit(&room->memory_bytes, memory_order_relaxed);
}

static double room_starts(const usage_room *room)
{
    return (double)atomic_load_explicit(&room->starts, memory_order_relaxed);
}

static void put_rooms(const usage_page *usage, dro_builder *out)
{
    if (usage == NULL)
        return;
    put_room_lines(usage, out, "dromio_room_cpu_seconds_total", "counter", "CPU time of a room, all its lives.", room_cpu);
    put_room_lines(usage, out, "dromio_room_memory_bytes", "gauge", "Resident memory of a room, shared parts too.", room_memory);
    put_room_lines(usage, out, "dromio_room_starts_total", "counter", "Times a room was started.", room_starts);
}

static void put_own(const http *http, dro_builder *out, bool core_answers)
{
    const http_counts *counts = &http->counts;
    put_one(out, "dromio_gate_core_answers", "gauge", "Whether the core gave its part of this page.", core_answers);
    put_answers(http, out);
    put_refusals(http, out);
    put_rooms(http->config->usage, out);
    put_signed(out, "dromio_clock_off_seconds", "gauge", "How far the machine's clock is ahead of the host's time, and not believed.", dro_clock_off_ms() / 1000);
    put_one(out, "dromio_http_connections", "gauge", "Open connections.", http->connection_count);
    put_one(out, "dromio_http_connections_total", "counter", "Connections accepted.", counts->accepted);
    put_one(out, "dromio_http_connections_evicted_total", "counter", "Connections closed to make room, strangers first.",
            counts->evicted);
    put_one(out, "dromio_http_strangers", "gauge", "Connections that have shown no good token.", http->lists[LIST_STRANGERS].count);
    put_one(out, "dromio_http_strangers_heavy", "gauge", "Of them those that hold more memory than the least.", http->lists[LIST_HEAVY].count);
    put_one(out, "dromio_http_requests_under_way", "gauge", "Requests not yet answered.", http->under_way);
    put_one(out, "dromio_http_received_bytes_total", "counter", "Bytes read.", counts->received_bytes);
    put_one(out, "dromio_http_sent_bytes_total", "counter", "Bytes written.", counts->sent_bytes);
    put_one(out, "dromio_http_buffer_bytes", "gauge", "Bytes of buffers in use.",
            block_pool_bytes(&http->blocks));
    put_one(out, "dromio_http_late_answers_total", "counter", "Answers that came after their time, or never.",
            counts->late);
    put_one(out, "dromio_http_tokens", "gauge", "Tokens that are accepted.", token_table_count(http->tokens));
    access_metrics(http->access, out);
    put_one(out, "dromio_http_bulk_lines_total", "counter", "Lines of bulk requests.", counts->bulk_lines);
    put_one(out, "dromio_http_event_streams", "gauge", "Open event streams.", http->stream_count);
    put_one(out, "dromio_http_websockets", "gauge", "Open websockets of applications.", http->websocket_count);
    put_one(out, "dromio_http_websocket_notices_total", "counter", "Notifications written to websockets.", counts->websocket_notices);
    put_one(out, "dromio_http_event_stream_events_total", "counter", "Events written to streams.",
            counts->stream_events);
    dro_latency_write(&(const dro_latency *){ &http->requests }, 1, "dromio_http_request_seconds",
                      "From a request's head until its answer is written, but of streams, uploads and requests that wait.", out);
    put_one(out, "dromio_http_event_streams_slow_total", "counter", "Streams closed because the client was slow.",
            counts->slow_streams);
}

static char *own_text(http *http, bool core_answers, size_t *length)
{
    char *bytes = malloc(METRICS_BYTES);
    if (bytes == NULL)
        return NULL;
    dro_builder out = dro_builder_over(bytes, METRICS_BYTES);
    put_own(http, &out, core_answers);
    if (http->more_metrics != NULL)
        http->more_metrics(http->more_context, &out);
    *length = dro_builder_length(&out);
    return bytes;
}

static void begin(http *http, exchange *exchange, bool core_answers)
{
    answer made = { .status = 200, .content_type = "text/plain; version=0.0.4; charset=utf-8", .etag = ANSWER_NO_ETAG };
    size_t length = 0;
    char *text = own_text(http, core_answers, &length);
    answer_begin(exchange, &made, false);
    if (text != NULL)
        answer_part(exchange, text, length);
    free(text);
}

void metrics_on_reply(http *http, exchange *exchange, const api_reply *reply, const uint8_t *body)
{
    bool is_good = reply->status == 200;
    if (exchange->status == 0)
        begin(http, exchange, is_good);
    if (is_good)
        answer_part(exchange, body, reply->body_length);
    if (!reply->more)
        answer_end(exchange);
}

void metrics_without_core(http *http, exchange *exchange)
{
    if (exchange->status == 0)
        begin(http, exchange, false);
    answer_end(exchange);
}

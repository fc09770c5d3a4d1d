/* Health: GET /healthz and GET /openapi.json. */
#include <stdio.h>
#include <string.h>

#include "gate/answer.h"
#include "gate/openapi_json.h"
#include "gate/parts.h"

enum { NS_PER_MS = 1000000, HEALTH_BYTES = 4096 };

/* Bits of the cores that have said nothing for long. */
static uint32_t silent_cores(const http *http)
{
    uint32_t silent = 0;
    int64_t now = loop_now_ns(http->loop);
    for (uint32_t i = 0; i < http->config->core_count; i++)
        silent |= (uint32_t)(now - http->heard_ns[i] >= (int64_t)HTTP_SILENT_MS * NS_PER_MS) << i;
    return silent;
}

/* Is there a question that one of them should have answered long ago? */
static bool core_is_silent(const http *http)
{
    uint32_t silent = silent_cores(http);
    int64_t asked_before = loop_now_ns(http->loop) - (int64_t)HTTP_SILENT_MS * NS_PER_MS;
    for (uint32_t i = 0; i < http->exchanges_touched && silent != 0; i++) {
        const exchange *at = &http->exchanges[i];
        bool is_plain = at->kind == EXCHANGE_CORE || at->kind == EXCHANGE_BARRIER || at->kind == EXCHANGE_PAGE ||
                        at->kind == EXCHANGE_LETTERS || at->kind == EXCHANGE_STATUS ||
                        at->kind == EXCHANGE_PAGES;
        if (is_plain && at->is_safe && at->deadline_ns != 0 && (at->waiting & silent) != 0 &&
            at->deadline_ns - (int64_t)HTTP_ANSWER_MS * NS_PER_MS < asked_before)
            return true;
    }
    return false;
}

/* When the certificates end; nothing where no listener has one. */
static void put_certificates(const http *http, dro_builder *out)
{
    const char *before = ",\"certificates\":{\"";
    char end[DRO_TIME_TEXT];
    for (int i = 0; i < TLS_LISTENERS; i++) {
        if (http->config->tls[i] == NULL)
            continue;
        dro_time_text(tls_context_expires_s(http->config->tls[i]) * 1000, end);
        dro_builder_text(out, before);
        dro_builder_text(out, tls_listener_name(i));
        dro_builder_text(out, "\":\"");
        dro_builder_text(out, end);
        dro_builder_text(out, "\"");
        before = ",\"";
    }
    if (http->config->tls[TLS_HTTP] != NULL || http->config->tls[TLS_DIAMETER] != NULL)
        dro_builder_text(out, "}");
}

/* What kinds of things are stopped: whose they are is not for everybody to know. */
static void put_stopped(const http *http, dro_builder *out)
{
    static const char *const kinds[] = { "code", "domain", "image", "application" };
    const char *before = ",\"stopped\":[\"";
    for (uint32_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if ((http->stopped >> i & 1) == 0)
            continue;
        dro_builder_text(out, before);
        dro_builder_text(out, kinds[i]);
        dro_builder_text(out, "\"");
        before = ",\"";
    }
    if ((http->stopped & 15) != 0)
        dro_builder_text(out, "]");
}

/* Of the cores the worst. */
static void put_storage(const http *http, dro_builder *out)
{
    static const char *const words[] = { "ok", "full", "failed" };
    uint32_t worst = STORAGE_OK;
    for (uint32_t i = 0; i < http->config->core_count; i++)
        worst = http->storage[i] > worst ? http->storage[i] : worst;
    dro_builder_text(out, ",\"storage\":\"");
    dro_builder_text(out, words[worst]);
    dro_builder_text(out, "\"");
}

void health_answer(http *http, exchange *exchange)
{
    char bytes[HEALTH_BYTES];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    const char *status = !http->is_ready || http->is_stopping ? (http->is_stopping ? "stopping" : "starting")
                         : core_is_silent(http)               ? "core does not answer"
                                                              : "ok";
    bool is_ok = strcmp(status, "ok") == 0;
    dro_builder_text(&out, "{\"status\":\"");
    dro_builder_text(&out, status);
    dro_builder_text(&out, "\"");
    if (http->config->version != NULL) {
        dro_builder_text(&out, ",\"version\":\"");
        dro_builder_text(&out, http->config->version);
        dro_builder_text(&out, "\"");
    }
    if (http->config->health != NULL && http->config->health[0] != '\0') {
        dro_builder_text(&out, ",");
        dro_builder_text(&out, http->config->health);
    }
    put_certificates(http, &out);
    put_stopped(http, &out);
    put_storage(http, &out);
    dro_builder_text(&out, "}");
    if (out.err != DRO_OK) {
        answer_problem(exchange, 500, "the health text is too long");
        return;
    }
    answer made = { .status = is_ok ? 200 : 503,
                    .content_type = "application/json",
                    .etag = ANSWER_NO_ETAG,
                    .retry_after_s = is_ok ? 0 : 1 };
    answer_whole(exchange, &made, bytes, dro_builder_length(&out));
}

void openapi_answer(exchange *exchange)
{
    answer made = { .status = 200, .content_type = "application/json", .etag = ANSWER_NO_ETAG, .is_lasting = true };
    answer_whole(exchange, &made, openapi_json, openapi_json_bytes);
}

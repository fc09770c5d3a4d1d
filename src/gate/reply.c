/* Reply: what the core and the desk say -> answers of exchanges. */
#include <string.h>

#include "base/log.h"
#include "gate/answer.h"
#include "gate/http.h"
#include "gate/oauth.h"
#include "gate/parts.h"
#include "gate/websocket.h"

enum { NS_PER_MS = 1000000, THING_MODEL_MAX = 256 * 1024 };

static const char *content_of(const api_reply *reply)
{
    switch (reply->content) {
    case CONTENT_JSON: return "application/json";
    case CONTENT_PROBLEM: return "application/problem+json";
    case CONTENT_LINES: return "application/x-ndjson";
    case CONTENT_TEXT: return "text/plain; charset=utf-8";
    default: return NULL;
    }
}

static bool is_token_request(const exchange *asked)
{
    return asked->route < route_count() && route_at(asked->route)->handler == HANDLER_TOKEN;
}

static void reply_answer(exchange *asked, const api_reply *reply, const uint8_t *location)
{
    const uint8_t *body = location + reply->location_length;
    answer made = { .status = reply->status,
                    .content_type = reply->body_length > 0 || reply->more ? content_of(reply) : NULL,
                    .etag = reply->etag,
                    .location = (const char *)location,
                    .location_length = reply->location_length,
                    .retry_after_s = reply->retry_after_s,
                    .lines = is_token_request(asked) ? oauth_answer_lines : NULL,
                    .allow = reply->status == 405 ? "GET, HEAD" : NULL }; /* the core's only one: a property that cannot be written */
    if (asked->status != 0) { /* a further part */
        answer_part(asked, body, reply->body_length);
        if (!reply->more)
            answer_end(asked);
    } else if (asked->is_safe && reply->status == 200 && reply->etag != ANSWER_NO_ETAG &&
               reply->etag == asked->if_none_match && !reply->more) {
        made.status = 304;
        made.content_type = NULL;
        answer_whole(asked, &made, NULL, 0);
    } else if (reply->more) {
        answer_begin(asked, &made, false);
        answer_part(asked, body, reply->body_length);
    } else {
        answer_whole(asked, &made, body, reply->body_length);
    }
}

/* A Thing Model may come in parts and is needed whole. */
static void on_thing_model(http *http, exchange *asked, const api_reply *reply, const uint8_t *location)
{
    const uint8_t *body = location + reply->location_length;
    if (reply->content != CONTENT_THING_MODEL) {
        reply_answer(asked, reply, location);
    } else if (!reply->more && asked->gathered.length == 0) {
        description_answer(http, asked, (const char *)location, reply->location_length, body, reply->body_length);
    } else if (!gathered_add(&asked->gathered, body, reply->body_length, THING_MODEL_MAX)) {
        answer_problem(asked, 500, "the model is too large to describe");
    } else if (!reply->more) {
        description_answer(http, asked, (const char *)location, reply->location_length, asked->gathered.bytes,
                           asked->gathered.length);
    }
}

/* Every core has to say that what it answered can be seen. */
static void on_barrier(http *http, exchange *asked, uint32_t core)
{
    asked->waiting &= ~(1u << core);
    if (asked->waiting == 0)
        query_on_barrier(http, asked);
}

/* The exchange that a reply is for, and the reply; NULL: none, or it is not whole. */
static exchange *reply_read(http *http, uint32_t from, uint64_t id, const void *bytes, uint32_t length, api_reply *reply, uint32_t *part)
{
    if (from != HTTP_DESK)
        http->heard_ns[from] = loop_now_ns(http->loop);
    if (length < sizeof *reply) {
        dro_warn("reply_malformed length=%u", length);
        return NULL;
    }
    memcpy(reply, bytes, sizeof *reply);
    uint64_t told = (uint64_t)sizeof *reply + reply->location_length + reply->body_length;
    if (told > length || reply->status < 200 || reply->status > 599) {
        dro_warn("reply_malformed length=%u status=%u", length, reply->status);
        return NULL;
    }
    exchange *asked = exchange_find(http, id, part);
    if (asked != NULL && !asked->is_answered && (from != HTTP_DESK || asked->kind == EXCHANGE_QUERY))
        return asked;
    http->counts.late++;
    return NULL;
}

static void on_reply(http *http, uint32_t from, uint64_t id, const void *bytes, uint32_t length)
{
    api_reply reply;
    uint32_t part = 0;
    exchange *asked = reply_read(http, from, id, bytes, length, &reply, &part);
    if (asked == NULL)
        return;
    const uint8_t *location = (const uint8_t *)bytes + sizeof reply;
    switch (asked->kind) {
    case EXCHANGE_CORE:
    case EXCHANGE_UPLOAD:
    case EXCHANGE_QUERY: reply_answer(asked, &reply, location); break;
    case EXCHANGE_DESCRIPTION: on_thing_model(http, asked, &reply, location); break;
    case EXCHANGE_METRICS: metrics_on_reply(http, asked, &reply, location + reply.location_length); break;
    case EXCHANGE_BULK: bulk_on_reply(http, asked, part, &reply, location + reply.location_length); break;
    case EXCHANGE_BARRIER:
        if (reply.status < 300)
            on_barrier(http, asked, from);
        else
            reply_answer(asked, &reply, location);
        break;
    case EXCHANGE_BACKUP:
        if (asked->status != 0 || reply.status == 200)
            backup_on_reply(http, asked, part, &reply, location + reply.location_length);
        else
            reply_answer(asked, &reply, location);
        break;
    case EXCHANGE_STREAM:
        if (reply.status < 300)
            stream_on_reply(http, asked, from, &reply);
        else
            reply_answer(asked, &reply, location);
        break;
    case EXCHANGE_PAGES:
        if (reply.status < 300)
            pages_on_reply(http, asked, from, &reply, location + reply.location_length);
        else if (asked->status == 0)
            reply_answer(asked, &reply, location);
        else
            connection_break(asked->owner); /* half a list is out: only its end can tell */
        break;
    case EXCHANGE_WEBSOCKET:
        if (reply.status < 300)
            websocket_on_reply(http, asked, &reply);
        else
            reply_answer(asked, &reply, location);
        break;
    case EXCHANGE_PAGE:
    case EXCHANGE_LETTERS:
    case EXCHANGE_STATUS:
        if (reply.status < 300)
            fan_on_reply(http, asked, from, &reply, location + reply.location_length);
        else
            reply_answer(asked, &reply, location);
        break;
    default: http->counts.late++; break;
    }
}

static void on_credential(http *http, const void *body, uint32_t length)
{
    bool is_narrowed;
    dro_err err = token_table_take(http->tokens, body, length, &is_narrowed);
    if (err != DRO_OK) {
        dro_error("credential_refused reason=\"%s\"", dro_err_text(err));
        return;
    }
    credential row;
    memcpy(&row, body, sizeof row);
    if (is_narrowed) { /* who may still, comes again and is judged anew */
        stream_close_token(http, row.token);
        websocket_close_token(http, row.token);
    }
    if (row.number == 0) /* the admin's token comes last */
        http_ready(http);
}

static void on_signing_key(http *http, const void *body, uint32_t length)
{
    dro_err err = access_take_key(http->access, body, length);
    if (err != DRO_OK)
        dro_error("signing_key_refused reason=\"%s\"", dro_err_text(err));
}

void http_on_message(http *http, uint32_t from, uint16_t type, uint64_t id, const void *body, uint32_t length)
{
    uint32_t part = 0;
    exchange *asked;
    if (type == MESSAGE_API_REPLY) {
        on_reply(http, from, id, body, length);
    } else if (type == MESSAGE_CREDENTIAL && from == 0) {
        on_credential(http, body, length);
    } else if (type == MESSAGE_STOPS && from == 0 && length >= sizeof(stop_news)) {
        stop_news news;
        memcpy(&news, body, sizeof news);
        http->stopped = news.kinds;
    } else if (type == MESSAGE_STORAGE && from < http->config->core_count && length >= sizeof(storage_news)) {
        storage_news news;
        memcpy(&news, body, sizeof news);
        http->storage[from] = news.state <= STORAGE_FAILED ? news.state : STORAGE_FAILED;
    } else if (type == MESSAGE_SIGNING_KEY && from == 0) {
        on_signing_key(http, body, length);
    } else if (type == MESSAGE_STREAM_EVENT && from != HTTP_DESK) {
        asked = exchange_find(http, id, &part);
        if (asked != NULL && asked->kind == EXCHANGE_STREAM)
            stream_on_event(http, asked, from, body, length);
    } else {
        dro_warn("message_unknown type=%u", type);
    }
}

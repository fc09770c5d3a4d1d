/* Request: the checks between a parsed head and a message to the core, in this
 * order: protocol, open paths, token, route, scope, the request's own parts. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/fields.h"
#include "base/wipe.h"
#include "gate/answer.h"
#include "gate/audit.h"
#include "gate/capif_body.h"
#include "gate/ccf.h"
#include "gate/fields.h"
#include "gate/home.h"
#include "gate/http.h"
#include "gate/nidd_body.h"
#include "gate/oauth.h"
#include "gate/parts.h"
#include "gate/strangers.h"
#include "gate/t8_body.h"
#include "twin/t8_coverage.h"
#include "twin/t8_patterns.h"
#include "gate/websocket.h"

enum { NS_PER_MS = 1000000 };

static int64_t now_ms(const http *http)
{
    return http->config->clock->wall_ms(http->config->clock);
}

static unsigned method_of(const connection *connection)
{
    switch (connection->parser.method) {
    case HTTP_GET:
    case HTTP_HEAD: return METHOD_GET;
    case HTTP_PUT: return METHOD_PUT;
    case HTTP_POST: return METHOD_POST;
    case HTTP_PATCH: return METHOD_PATCH;
    case HTTP_DELETE: return METHOD_DELETE;
    default: return METHOD_OTHER;
    }
}

/* Requests overlap only where all of them are safe (RFC 9112 9.3.2). */
static bool must_wait(const connection *connection, bool is_safe)
{
    if (connection->under_way == 0 && connection->is_stranger)
        return connection->out.bytes > 0; /* who reads no refusal gets no other */
    if (connection->under_way == 0)
        return connection->out.bytes >= HTTP_OUT_HIGH;
    return !is_safe || !connection->last->is_safe || connection->under_way >= HTTP_PIPELINE_MAX ||
           connection->out.bytes >= HTTP_OUT_HIGH;
}

static bool has_field(const connection *connection, enum head_field field)
{
    return (connection->head.present & 1u << field) != 0;
}

static bool has_body(const connection *connection)
{
    return connection->body_expected > 0;
}

/* Before a refusal is written: may the connection go on after it? */
static void settle_body(connection *connection, exchange *exchange)
{
    if (!has_body(connection))
        return;
    if (connection->body_expected > HTTP_DISCARD_MAX || has_field(connection, FIELD_EXPECT)) {
        exchange->keeps_alive = false;
        connection->wants_linger = true;
    }
    connection->sink = SINK_DISCARD;
}

/* What is wrong with a request for a twin of somebody else is nobody's business. */
static bool hides(connection *connection, exchange *exchange)
{
    settle_body(connection, exchange);
    if (connection->is_foreign)
        answer_problem(exchange, 404, "no such twin");
    return connection->is_foreign;
}

void request_refuse(connection *connection, int status, const char *detail)
{
    exchange *refused = connection->current;
    http *http = connection->http;
    connection->is_reading = false;
    connection->wants_linger = true;
    connection->pending = PENDING_NONE;
    http->counts.refused[status == 408 ? REFUSED_TIMEOUT : status < 410 ? REFUSED_MALFORMED : REFUSED_TOO_LARGE]++;
    if (refused == NULL && connection->phase == PHASE_BODY) { /* the answer is out, the rest of the body is broken */
        if (connection->last != NULL)
            connection->last->keeps_alive = false;
        else
            connection->is_closing = true;
        connection_mark(connection);
        return;
    }
    if (refused == NULL)
        refused = exchange_take(http, connection, HTTP_EXCHANGES_ALL);
    if (refused == NULL) {
        connection_break(connection);
        return;
    }
    refused->keeps_alive = false;
    answer_problem(refused, status, "%s", detail);
}

/* ---- checks ---- */

static int check_framing(const connection *connection)
{
    slice coding = connection_field(connection, FIELD_TRANSFER_ENCODING);
    if (connection->parser.http_major != 1)
        return 505;
    if (connection->parser.method == HTTP_CONNECT)
        return 501;
    if (connection->parser.http_minor > 0 && !has_field(connection, FIELD_HOST))
        return 400;
    if (!has_field(connection, FIELD_TRANSFER_ENCODING))
        return 0;
    if (has_field(connection, FIELD_CONTENT_LENGTH) || connection->parser.http_minor == 0)
        return 400;
    if (coding.length != 7 || strncasecmp(coding.at, "chunked", 7) != 0)
        return 501;
    return 0;
}

/* What stands behind "Bearer "; empty: nothing. */
static slice bearer_of(const connection *connection)
{
    slice field = connection_field(connection, FIELD_AUTHORIZATION);
    if (field.length <= 7 || field.length > 7 + JWT_BYTES_MAX || strncasecmp(field.at, "bearer ", 7) != 0)
        return (slice){ "", 0 };
    uint32_t skip = 7;
    while (field.at[skip] == ' ') /* the last is none: blanks at the end are no part of the field */
        skip++;
    return (slice){ field.at + skip, field.length - skip };
}

static bool has_name(const void *context, const char *name)
{
    return tls_has_name(context, name);
}

bool request_certificate(const connection *connection, shown_certificate *out)
{
    *out = (shown_certificate){ .has_name = has_name, .context = &connection->tls };
    return tls_thumbprint(&connection->tls, out->thumbprint);
}

/* Whose certificate it is who came without a token. */
static const token *find_by_certificate(connection *connection)
{
    shown_certificate shown;
    const token *found = request_certificate(connection, &shown) ? token_table_find_certificate(connection->http->tokens, &shown) : NULL;
    if (found == NULL)
        return NULL;
    memcpy(connection->token, found->hash, TOKEN_HASH);
    connection->scopes = found->scopes;
    connection->token_expires_ms = 0;
    return found;
}

/* Of a JWT, the application's own; what is wrong with one is said (RFC 6750 3.1). */
static const token *find_by_jwt(connection *connection, slice bearer, int64_t wall_ms, access_result *result)
{
    shown_certificate shown;
    const uint8_t *thumbprint = request_certificate(connection, &shown) ? shown.thumbprint : NULL;
    access_verdict verdict = access_check(connection->http->access, connection->token, bearer, thumbprint, wall_ms);
    *result = verdict.result;
    if (verdict.token == NULL)
        return NULL;
    memcpy(connection->token, verdict.token->hash, TOKEN_HASH);
    connection->scopes = verdict.scopes;
    connection->token_expires_ms = verdict.expires_ms;
    return verdict.token;
}

static const token *find_token(connection *connection, access_result *result)
{
    http *http = connection->http;
    slice bearer = bearer_of(connection);
    int64_t wall_ms = now_ms(http);
    *result = ACCESS_HIT;
    if (bearer.length == 0)
        return has_field(connection, FIELD_AUTHORIZATION) ? NULL : find_by_certificate(connection);
    bool is_jwt = jwt_is_likely(bearer.at, bearer.length);
    if (!is_jwt && bearer.length > HTTP_TOKEN_MAX)
        return NULL;
    token_hash(http->tokens, bearer.at, bearer.length, connection->token);
    if (is_jwt) /* ours have no dot */
        return find_by_jwt(connection, bearer, wall_ms, result);
    const token *found = token_table_find(http->tokens, connection->token, wall_ms);
    connection->scopes = found != NULL ? found->scopes : 0;
    connection->token_expires_ms = found != NULL ? found->expires_ms : 0;
    return found;
}

static void refuse_token(connection *connection, exchange *exchange, access_result result)
{
    char challenge[192];
    connection->http->counts.refused[REFUSED_UNAUTHORIZED]++;
    audit_access(connection, exchange, 401, NULL);
    settle_body(connection, exchange);
    if (result == ACCESS_FORGED) /* each try costs us more than a connection costs the other side */
        exchange->keeps_alive = false;
    if (result == ACCESS_HIT) {
        answer_problem(exchange, 401, "a valid token is needed: Authorization: Bearer TOKEN");
        return;
    }
    snprintf(challenge, sizeof challenge, "Bearer realm=\"dromio\", error=\"invalid_token\", error_description=\"%s\"",
             access_result_text(result));
    answer_challenge(exchange, 401, challenge, access_result_text(result));
}

/* NULL after answering 401, or 503 where no token is known yet. */
static const token *check_token(connection *connection, exchange *exchange)
{
    access_result result;
    const token *found = find_token(connection, &result);
    if (found != NULL)
        strangers_know(connection);
    else
        strangers_forget(connection);
    if (found == NULL && !connection->http->is_ready) { /* which tokens are good is not known yet */
        settle_body(connection, exchange);
        answer_problem(exchange, 503, "the host is starting");
    } else if (found == NULL) {
        refuse_token(connection, exchange, result);
    }
    return found;
}

/* False after a 429: the application asks too often. */
static bool check_rate(connection *connection, exchange *exchange, const token *caller)
{
    http *http = connection->http;
    int64_t wait_ns;
    uint32_t share = http->config->gate_count > 0 ? http->config->gate_count : 1;
    if (token_may(http->tokens, caller, &http->config->limits, share, loop_now_ns(http->loop), &wait_ns))
        return true;
    settle_body(connection, exchange);
    answer_too_many(exchange, wait_ns, "the application asks more often than it may");
    return false;
}

static bool has_scope(const connection *connection, const route *route, const token *caller)
{
    return route->scopes & ROUTE_ONCE ? caller->is_one_time
                                      : (route->scopes & (ROUTE_ANY | ROUTE_OPEN)) != 0 ||
                                            (connection->scopes & (route->scopes | SCOPE_ADMIN)) != 0;
}

static bool check_scope(connection *connection, exchange *exchange, const route *route, const token *caller)
{
    bool is_good = has_scope(connection, route, caller);
    if (!is_good) {
        audit_access(connection, exchange, 403, caller->id);
        settle_body(connection, exchange);
        answer_challenge(exchange, 403, "Bearer realm=\"dromio\", error=\"insufficient_scope\"",
                         "the token's scopes do not cover this");
    }
    return is_good;
}

static bool check_body(connection *connection, exchange *exchange, const route *route)
{
    static const uint64_t limits[BODIES] = {
        [BODY_NONE] = HTTP_DISCARD_MAX,        [BODY_TWIN] = HTTP_BODY_TWIN_MAX,
        [BODY_PROPERTY] = HTTP_BODY_SMALL_MAX, [BODY_ACTION] = HTTP_BODY_SMALL_MAX,
        [BODY_QUERY] = HTTP_BODY_QUERY_MAX,    [BODY_APPLICATION] = HTTP_BODY_TWIN_MAX,
        [BODY_IMAGE] = HTTP_IMAGE_MAX,         [BODY_BULK] = UINT64_MAX,
        [BODY_NIDD_CONFIGURATION] = HTTP_BODY_TWIN_MAX, [BODY_NIDD_CONFIGURATION_PATCH] = HTTP_BODY_TWIN_MAX,
        [BODY_NIDD_DELIVERY] = HTTP_BODY_TWIN_MAX,      [BODY_NIDD_DELIVERY_PATCH] = HTTP_BODY_TWIN_MAX,
        [BODY_FORM] = FORM_MAX,
        [BODY_GROUP] = HTTP_BODY_SMALL_MAX,
        [BODY_TRACE] = HTTP_BODY_SMALL_MAX,
        [BODY_APPLICATION_PATCH] = HTTP_BODY_TWIN_MAX,
        [BODY_RDS_PORT] = HTTP_BODY_SMALL_MAX,
        [BODY_CAPIF_CHECK] = HTTP_BODY_SMALL_MAX, [BODY_CAPIF_REVOKE] = HTTP_BODY_SMALL_MAX, [BODY_CAPIF_NOTIFICATION] = HTTP_BODY_SMALL_MAX,
        [BODY_CAPIF_INVOKER] = HTTP_BODY_TWIN_MAX, [BODY_CAPIF_INVOKER_PATCH] = HTTP_BODY_TWIN_MAX, [BODY_CAPIF_SECURITY] = HTTP_BODY_TWIN_MAX,
        [BODY_T8] = HTTP_BODY_TWIN_MAX, [BODY_T8_PATCH] = HTTP_BODY_TWIN_MAX,
        [BODY_T8_SET] = HTTP_BODY_TWIN_MAX, [BODY_T8_COVERAGE] = HTTP_BODY_TWIN_MAX,
        [BODY_STOP] = HTTP_BODY_SMALL_MAX, [BODY_IMAGE_PATCH] = HTTP_BODY_SMALL_MAX,
    };
    bool is_json = route->body != BODY_NONE && route->body != BODY_IMAGE && route->body != BODY_BULK && route->body != BODY_FORM;
    slice expect = connection_field(connection, FIELD_EXPECT);
    connection->body_max = limits[route->body];
    if (is_json && has_body(connection) && has_field(connection, FIELD_CONTENT_TYPE) &&
        !content_is_json(connection_field(connection, FIELD_CONTENT_TYPE))) {
        if (!hides(connection, exchange))
            answer_problem(exchange, 415, "the body must be application/json");
        return false;
    }
    if (connection->body_expected != UINT64_MAX && connection->body_expected > connection->body_max) {
        connection->http->counts.refused[REFUSED_TOO_LARGE]++;
        if (!hides(connection, exchange))
            answer_problem(exchange, 413, "the body may have at most %llu bytes",
                           (unsigned long long)connection->body_max);
        return false;
    }
    if (expect.length > 0 && (expect.length != 12 || strncasecmp(expect.at, "100-continue", 12) != 0)) {
        settle_body(connection, exchange);
        answer_problem(exchange, 417, "only 100-continue can be expected");
        return false;
    }
    return true;
}

/* ---- head ---- */

/* /healthz, /openapi.json and the console: answered at once. */
static bool answer_local(connection *connection, exchange *exchange, const route *route)
{
    http *http = connection->http;
    switch (route->handler) {
    case HANDLER_HEALTH: health_answer(http, exchange); return true;
    case HANDLER_OPENAPI: openapi_answer(exchange); return true;
    case HANDLER_KEYS: oauth_keys(http, exchange); return true;
    case HANDLER_ISSUER: oauth_metadata(http, exchange); return true;
    default: return false;
    }
}

static bool is_console(const target *target)
{
    return slice_is(target->segments[0], "console");
}

/* The flat request so far: api_request, fields of path, query and header. */
static bool build_fields(connection *connection, exchange *exchange, const route *route, const target *target,
                         const token *caller)
{
    api_request request = { .operation = route->operation, .application = caller->number, .scopes = connection->scopes };
    dro_builder out = dro_builder_over(connection->request, sizeof connection->request);
    fields_fault fault = { 0 };
    dro_builder_bytes(&out, &request, sizeof request);
    if (!fields_of_path(&out, route, target, &fault) ||
        !fields_of_header(connection, exchange, &out, route, caller, &fault) ||
        !fields_of_query(connection, &out, route, target, &fault)) {
        connection->is_foreign = fields_are_foreign(target, caller);
        if (!hides(connection, exchange))
            answer_problem(exchange, fault.status, "%s", fault.detail);
        return false;
    }
    audit_put(connection, exchange, route, &out); /* behind what an Idempotency-Key is of */
    connection->is_foreign = fields_are_foreign(target, caller);
    if (out.err != DRO_OK) { /* every part has its bound; all of CAPIF's filters do not fit together */
        settle_body(connection, exchange);
        answer_problem(exchange, 414, "the parameters are too long together");
        return false;
    }
    connection->request_length = (uint32_t)dro_builder_length(&out);
    return true;
}

/* Opens what receives the body. */
static void open_sink(connection *connection, exchange *exchange, const route *route, const token *caller)
{
    http *http = connection->http;
    bool is_open = true;
    connection->sink = route->body == BODY_NONE ? SINK_DISCARD : SINK_COLLECT;
    if (route->handler == HANDLER_UPLOAD) {
        is_open = upload_begin(http, exchange);
        connection->sink = SINK_UPLOAD;
    } else if (route->handler == HANDLER_BULK) {
        is_open = bulk_begin(http, exchange, connection->request, connection->request_length);
        connection->sink = SINK_BULK;
    } else if (route->handler == HANDLER_QUERY) {
        is_open = query_begin(http, exchange, caller);
    }
    if (!is_open) {
        settle_body(connection, exchange);
        answer_busy(exchange, "too many of these are under way");
        return;
    }
    if (has_body(connection) && has_field(connection, FIELD_EXPECT) && !exchange->is_old &&
        connection->first == exchange) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        if (!block_chain_append(&http->blocks, &connection->out, go_on, sizeof go_on - 1))
            connection_break(connection);
        connection_mark(connection);
    }
}

static void answer_unknown(connection *connection, exchange *exchange, const route_path *path)
{
    settle_body(connection, exchange);
    if (path == NULL)
        answer_problem(exchange, 404, "there is nothing at this path");
    else
        answer_not_allowed(exchange, path->allow);
}

/* Who asks for a token shows himself in his own way. */
static void begin_token(connection *connection, exchange *exchange, const route *route, const target *target)
{
    api_request request = { .operation = route->operation };
    dro_builder out = dro_builder_over(connection->request, sizeof connection->request);
    fields_fault fault = { 0 };
    dro_builder_bytes(&out, &request, sizeof request);
    bool has_path = fields_of_path(&out, route, target, &fault);
    int refusal = has_path && connection->http->is_ready ? oauth_begin(connection, &out) : 0;
    connection->request_length = (uint32_t)dro_builder_length(&out);
    if (!has_path || !connection->http->is_ready || refusal != 0)
        settle_body(connection, exchange);
    if (!has_path)
        answer_problem(exchange, fault.status, "%s", fault.detail);
    else if (!connection->http->is_ready)
        answer_problem(exchange, 503, "the host is starting");
    else if (refusal != 0)
        oauth_refuse(connection->http, exchange, refusal);
    else if (check_body(connection, exchange, route))
        open_sink(connection, exchange, route, NULL);
}

static void begin_checked(connection *connection, exchange *exchange, unsigned method)
{
    http *http = connection->http;
    target target;
    slice raw = connection_text(connection, connection->head.target);
    int status = check_framing(connection);
    if (status != 0) {
        request_refuse(connection, status, status == 505 ? "HTTP/1.1 is spoken here" : "not a request this host takes");
        return;
    }
    status = target_read(&target, raw.at, raw.length, http->decoded);
    const route_path *path = status == 0 ? route_find(&target) : NULL;
    const route *route = path != NULL ? route_of(path, method) : NULL;
    if (status == 0 && method == METHOD_GET && is_console(&target)) {
        settle_body(connection, exchange);
        console_answer(http, exchange, &target, connection_field(connection, FIELD_IF_NONE_MATCH));
        return;
    }
    if (route != NULL)
        exchange->route = (uint16_t)route_index(route);
    if (route != NULL && route->handler == HANDLER_WEBSOCKET)
        websocket_head(connection);
    if (route != NULL && route->scopes & ROUTE_OPEN && answer_local(connection, exchange, route))
        return;
    if (route != NULL && route->handler == HANDLER_TOKEN) {
        begin_token(connection, exchange, route, &target);
        return;
    }
    const token *caller = check_token(connection, exchange);
    if (caller == NULL || !check_rate(connection, exchange, caller))
        return;
    if (caller->is_one_time && (route == NULL || (route->scopes & ROUTE_ONCE) == 0)) {
        settle_body(connection, exchange);
        answer_problem(exchange, 401, "this token is good for POST /v1/sessions only");
    } else if (status == 400) {
        settle_body(connection, exchange);
        answer_problem(exchange, 400, "the target is malformed");
    } else if (route == NULL) {
        answer_unknown(connection, exchange, path);
    } else if (check_scope(connection, exchange, route, caller) && !answer_local(connection, exchange, route) &&
               build_fields(connection, exchange, route, &target, caller) && check_body(connection, exchange, route)) {
        open_sink(connection, exchange, route, caller);
    }
}

bool request_begin(connection *connection)
{
    http *http = connection->http;
    llhttp_t *parser = &connection->parser;
    unsigned method = method_of(connection);
    if (must_wait(connection, method == METHOD_GET))
        return false;
    if (connection->first != NULL && !held_may_ask_all(http))
        return false;
    exchange *begun = exchange_take(http, connection, HTTP_EXCHANGES_MAX);
    bool is_busy = begun == NULL;
    if (is_busy && connection->first != NULL)
        return false; /* it waits behind its own */
    if (is_busy && (begun = exchange_take(http, connection, HTTP_EXCHANGES_ALL)) == NULL) {
        http->counts.refused[REFUSED_BUSY]++;
        connection_break(connection);
        return true;
    }
    begun->is_safe = method == METHOD_GET;
    begun->is_head = parser->method == HTTP_HEAD;
    begun->is_old = parser->http_major == 1 && parser->http_minor == 0;
    begun->keeps_alive = llhttp_should_keep_alive(parser) != 0;
    connection->current = begun;
    connection->sink = SINK_DISCARD;
    connection->discarded = 0;
    connection->wait_ms = 0;
    connection->is_whole = connection->is_foreign = false;
    connection->request_length = 0;
    connection->body = (span){ 0 };
    connection->body_expected = parser->flags & F_CHUNKED          ? UINT64_MAX
                                : parser->flags & F_CONTENT_LENGTH ? parser->content_length
                                                                   : 0;
    if (is_busy) {
        settle_body(connection, begun);
        answer_busy(begun, "the host has too much to do");
    } else {
        begin_checked(connection, begun, method);
    }
    return true;
}

/* ---- body ---- */

static void refuse_too_large(connection *connection)
{
    exchange *refused = connection->current;
    connection->http->counts.refused[REFUSED_TOO_LARGE]++;
    connection->wants_linger = true;
    refused->keeps_alive = false;
    if (connection->is_foreign)
        answer_problem(refused, 404, "no such twin");
    else
        answer_problem(refused, 413, "the body may have at most %llu bytes", (unsigned long long)connection->body_max);
}

bool request_body(connection *connection)
{
    const uint8_t *bytes = connection->in->bytes + connection->body.offset;
    uint32_t length = connection->body.length;
    exchange *owner = connection->current;
    if (owner == NULL || connection->sink == SINK_DISCARD) {
        connection->discarded += length;
        if (connection->discarded <= HTTP_DISCARD_MAX)
            return true;
        if (owner != NULL)
            refuse_too_large(connection);
        else
            request_refuse(connection, 413, "too much of a body nobody wants");
    } else if (connection->sink == SINK_COLLECT) {
        connection->is_whole = connection->body_expected == length;
        if (!connection->is_whole && !gathered_add(&connection->collected, bytes, length, connection->body_max))
            refuse_too_large(connection);
    } else if (connection->sink == SINK_UPLOAD) {
        if (!upload_take(owner, bytes, length))
            refuse_too_large(connection);
    } else {
        size_t taken = bulk_take(connection->http, owner, bytes, length);
        connection->body.offset += (uint32_t)taken;
        connection->body.length -= (uint32_t)taken;
        return connection->body.length == 0;
    }
    return true;
}

bool request_send(http *http, uint32_t core, uint64_t id, const void *bytes, uint32_t length, bool is_wiped)
{
    ring_writer *ring = &http->config->to_core[core];
    return length <= ring_body_max(ring) && ring_send(ring, MESSAGE_API, is_wiped ? RING_WIPE : 0, id, bytes, length);
}

bool request_send_all(http *http, exchange *exchange, const void *bytes, uint32_t length)
{
    bool is_whole = true;
    exchange->waiting = 0;
    for (uint32_t i = 0; i < http->config->core_count && is_whole; i++) {
        exchange->waiting |= 1u << i;
        is_whole = request_send(http, i, exchange_id(http, exchange, 0), bytes, length, false);
    }
    return is_whole;
}

static body_text body_of(const connection *connection)
{
    body_text text = { connection->collected.bytes, connection->collected.length };
    if (connection->is_whole)
        text = (body_text){ connection->in->bytes + connection->body.offset, connection->body.length };
    if (text.bytes == NULL)
        text.bytes = "";
    return text;
}

static bool shows_certificates(const http *http)
{
    const tls_context *tls = http->config->tls[TLS_HTTP];
    return tls != NULL && tls_context_verifies(tls);
}

/* By the table of its kind, which its path has put among the fields. */
static bool read_t8(connection *connection, const route *route, body_text json, dro_builder *out, body_fault *fault)
{
    dro_field room;
    const dro_field *kind = t8_find(out->start + sizeof(api_request), dro_builder_length(out) - sizeof(api_request), API_FIELD_EXPOSURE, &room);
    assert(kind != NULL && kind->length == 1 && kind->bytes[0] < EXPOSURE_KINDS); /* fields_of_path wrote it */
    t8_body what = { t8_apis[kind->bytes[0]], route->body == BODY_T8_PATCH, now_ms(connection->http) };
    return t8_body_read(connection->http->arena, json, &what, out, fault);
}

static bool read_body(connection *connection, const route *route, dro_builder *out, body_fault *fault)
{
    body_arena *arena = connection->http->arena;
    body_text json = body_of(connection);
    int64_t now = now_ms(connection->http);
    fields_put_body_hash(connection, out, json);
    switch (route->body) {
    case BODY_TWIN: return body_read_twin(arena, json, out, fault);
    case BODY_PROPERTY: return body_read_property(arena, json, out, fault);
    case BODY_ACTION: return body_read_action(arena, json, out, fault);
    case BODY_APPLICATION: return body_read_application(arena, json, out, fault);
    case BODY_APPLICATION_PATCH: return body_read_application_patch(arena, json, out, fault);
    case BODY_GROUP: return body_read_group(arena, json, out, fault);
    case BODY_QUERY: return body_read_query(arena, json, out, fault);
    case BODY_NIDD_CONFIGURATION: return nidd_body_read(arena, json, NIDD_IN_CONFIGURATION, now, out, fault);
    case BODY_NIDD_CONFIGURATION_PATCH: return nidd_body_read(arena, json, NIDD_IN_CONFIGURATION_PATCH, now, out, fault);
    case BODY_NIDD_DELIVERY: return nidd_body_read(arena, json, NIDD_IN_DELIVERY, now, out, fault);
    case BODY_NIDD_DELIVERY_PATCH: return nidd_body_read(arena, json, NIDD_IN_DELIVERY_PATCH, now, out, fault);
    case BODY_IMAGE_PATCH: return body_read_image_patch(arena, json, out, fault);
    case BODY_STOP: return body_read_stop(arena, json, out, fault);
    case BODY_TRACE: return body_read_trace(arena, json, out, fault);
    case BODY_RDS_PORT: return nidd_body_read_port(arena, json, out, fault);
    case BODY_CAPIF_CHECK: return capif_body_check(arena, json, out, fault);
    case BODY_CAPIF_REVOKE: return capif_body_revocation(arena, json, true, out, fault);
    case BODY_CAPIF_NOTIFICATION: return capif_body_revocation(arena, json, false, out, fault);
    case BODY_CAPIF_INVOKER: return capif_body_invoker(arena, json, false, out, fault);
    case BODY_CAPIF_INVOKER_PATCH: return capif_body_invoker(arena, json, true, out, fault);
    case BODY_CAPIF_SECURITY: return capif_body_security(arena, json, &(capif_place){ connection->http->aef, shows_certificates(connection->http) }, out, fault);
    case BODY_T8: case BODY_T8_PATCH: return read_t8(connection, route, json, out, fault);
    case BODY_T8_SET: return t8_body_read(arena, json, &(t8_body){ &t8_pattern_body, false, now }, out, fault);
    case BODY_T8_COVERAGE: return t8_body_read(arena, json, &(t8_body){ &t8_coverage, false, now }, out, fault);
    default: return true;
    }
}

static uint8_t kind_of(const route *route)
{
    return route->handler == HANDLER_DESCRIPTION ? EXCHANGE_DESCRIPTION
           : route->handler == HANDLER_METRICS   ? EXCHANGE_METRICS
                                                 : EXCHANGE_CORE;
}

static void set_deadline(http *http, exchange *exchange, uint64_t ms)
{
    exchange->deadline_ns = loop_now_ns(http->loop) + (int64_t)ms * NS_PER_MS;
}

/* The whole request is here: to whom it goes. */
static void dispatch(connection *connection, exchange *exchange)
{
    http *http = connection->http;
    const route *route = route_at(exchange->route);
    dro_builder out = dro_builder_over(http->scratch, sizeof http->scratch);
    body_fault fault;
    bool is_query = route->handler == HANDLER_QUERY;
    uint32_t head = is_query ? 0 : connection->request_length;
    dro_builder_bytes(&out, connection->request, head);
    bool is_good = read_body(connection, route, &out, &fault);
    if (!is_good && connection->is_foreign) {
        answer_problem(exchange, 404, "no such twin");
    } else if (!is_good) {
        answer_fault(exchange, &fault);
    } else if (route->handler == HANDLER_TOKEN) {
        oauth_ask(http, exchange, connection->request, connection->request_length, body_of(connection));
    } else if (is_query) {
        set_deadline(http, exchange, HTTP_ANSWER_MS);
        query_ask(http, exchange, connection->request, connection->request_length, out.start, dro_builder_length(&out));
    } else if (route->handler == HANDLER_BACKUP) {
        set_deadline(http, exchange, HTTP_ANSWER_MS);
        if (!backup_begin(http, exchange, connection->request, connection->request_length))
            answer_problem(exchange, 409, "a backup is being taken already");
    } else if (route->handler == HANDLER_STREAM) {
        set_deadline(http, exchange, HTTP_ANSWER_MS);
        if (!stream_begin(http, exchange, connection->request, connection->request_length))
            answer_busy(exchange, "too many streams are open");
    } else if (ccf_is_elsewhere(http, exchange, route) || ccf_needs_more(connection, exchange, route)) {
        exchange->waiting = 0; /* answered */
    } else if (route->handler == HANDLER_CCF) {
        ccf_answer(http, exchange, route, out.start, dro_builder_length(&out));
    } else if (route->handler == HANDLER_WEBSOCKET) {
        dro_field_pad(&out);
        set_deadline(http, exchange, HTTP_ANSWER_MS);
        websocket_begin(http, exchange, out.start, (uint32_t)dro_builder_length(&out));
    } else if (route->operation == API_NIDD_CONFIGURATION_LIST || route->operation == API_EXPOSURE_LIST) {
        set_deadline(http, exchange, HTTP_ANSWER_MS);
        if (!pages_begin(http, exchange, out.start, (uint32_t)dro_builder_length(&out)))
            answer_busy(exchange, "too many lists are being made");
    } else if (fan_is_wanted(http, out.start)) {
        set_deadline(http, exchange, HTTP_ANSWER_MS);
        fan_begin(http, exchange, out.start, (uint32_t)dro_builder_length(&out));
    } else {
        uint32_t core = home_of_request(http->config, out.start, dro_builder_length(&out));
        dro_field_pad(&out);
        exchange->kind = kind_of(route);
        exchange->waiting = 1u << core;
        exchange->is_untimed = connection->wait_ms > 0;
        set_deadline(http, exchange,
                     connection->wait_ms + (exchange->kind == EXCHANGE_METRICS ? HTTP_METRICS_MS : HTTP_ANSWER_MS));
        bool is_patient = exchange->kind == EXCHANGE_CORE && !exchange->is_untimed;
        bool is_asked = (!is_patient || held_may_ask(http, core)) &&
                        request_send(http, core, exchange_id(http, exchange, 0), out.start, (uint32_t)dro_builder_length(&out), route->body != BODY_NONE);
        if (!is_asked)
            held_refuse(exchange);
        else if (is_patient)
            held_asked(exchange, core);
    }
    dro_wipe(http->scratch, dro_builder_length(&out));
}

const token *request_caller(const connection *connection)
{
    int64_t wall_ms = now_ms(connection->http);
    bool is_over = connection->token_expires_ms != 0 && connection->token_expires_ms <= wall_ms;
    return is_over ? NULL : token_table_find(connection->http->tokens, connection->token, wall_ms);
}

/* The head was judged when it came; until its body is here its token may end, or may do less. False after a refusal. */
static bool is_still_allowed(connection *connection, exchange *exchange)
{
    const route *route = route_at(exchange->route);
    api_request head;
    if ((route->scopes & (ROUTE_OPEN | ROUTE_ONCE)) != 0)
        return true;
    const token *caller = request_caller(connection);
    if (caller == NULL) {
        audit_access(connection, exchange, 401, NULL);
        answer_problem(exchange, 401, "the token is not valid any more");
        return false;
    }
    connection->scopes &= caller->scopes;
    if (!has_scope(connection, route, caller)) {
        audit_access(connection, exchange, 403, caller->id);
        answer_problem(exchange, 403, "the application may not do that any more");
        return false;
    }
    memcpy(&head, connection->request, sizeof head);
    head.scopes &= connection->scopes;
    memcpy(connection->request, &head, sizeof head);
    return true;
}

void request_end(connection *connection)
{
    exchange *ended = connection->current;
    http *http = connection->http;
    if (ended == NULL)
        return;
    bool keeps_alive = ended->keeps_alive;
    if (connection->sink == SINK_BULK) {
        if (!bulk_end(http, ended)) {
            connection->is_blocked = true;
            return;
        }
    } else if (is_still_allowed(connection, ended)) {
        if (connection->sink == SINK_UPLOAD) {
            set_deadline(http, ended, HTTP_ADMIT_MS);
            upload_end(http, ended, connection->request, connection->request_length);
        } else {
            dispatch(connection, ended);
        }
    }
    if (!keeps_alive)
        connection->is_reading = false;
    connection->current = NULL;
    gathered_clear(&connection->collected);
}

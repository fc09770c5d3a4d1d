#include "gate/oauth.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/fields.h"
#include "base/wipe.h"
#include "gate/access.h"
#include "gate/answer.h"
#include "gate/audit.h"
#include "gate/form.h"
#include "gate/scope.h"
#include "gate/strangers.h"
#include "twin/access.h"
#include "twin/value.h"

enum { NS_PER_MS = 1000000, BASIC_MAX = 1024, ERROR_BYTES = 512, KEYS_BYTES = 4096, METADATA_BYTES = 4096 };

const char oauth_answer_lines[] = "\r\nPragma: no-cache"; /* RFC 6749 5.1 asks for it by name */

/* RFC 6749 5.2. */
static void refuse(exchange *exchange, int status, const char *error, const char *why)
{
    char body[ERROR_BYTES];
    int length = snprintf(body, sizeof body, "{\"error\":\"%s\",\"error_description\":\"%s\"}", error, why);
    answer made = { .status = status, .content_type = "application/json", .etag = ANSWER_NO_ETAG, .lines = oauth_answer_lines,
                    .challenge = status == 401 ? "Basic realm=\"dromio\", charset=\"UTF-8\"" : NULL };
    answer_whole(exchange, &made, body, (size_t)length);
}

static void refuse_unknown(http *http, exchange *exchange, const char *why)
{
    audit_access(exchange->owner, exchange, 401, NULL);
    http->counts.refused[REFUSED_UNAUTHORIZED]++;
    refuse(exchange, 401, "invalid_client", why);
}

static void refuse_client(http *http, exchange *exchange)
{
    refuse_unknown(http, exchange, "the client is not known, or its secret is wrong");
}

/* ---- who asks ---- */

static bool is_form(slice type)
{
    static const char wanted[] = "application/x-www-form-urlencoded";
    const uint32_t length = sizeof wanted - 1;
    return type.length >= length && strncasecmp(type.at, wanted, length) == 0 &&
           (type.length == length || type.at[length] == ';' || type.at[length] == ' ');
}

static void put_secret(http *http, dro_builder *out, slice secret)
{
    uint8_t hash[TOKEN_HASH];
    token_hash(http->tokens, secret.at, secret.length, hash);
    dro_field_put(out, API_FIELD_TOKEN, hash, sizeof hash);
}

/* "Basic base64(id:secret)", both form-encoded (RFC 6749 2.3.1). */
static bool read_basic(http *http, slice field, dro_builder *out)
{
    char plain[BASIC_MAX], decoded[BASIC_MAX];
    dro_builder bytes = dro_builder_over(plain, sizeof plain);
    bool is_good = field.length > 6 && strncasecmp(field.at, "basic ", 6) == 0 &&
                   dro_base64_read(&bytes, field.at + 6, field.length - 6) == DRO_OK;
    size_t length = dro_builder_length(&bytes);
    const char *colon = is_good ? memchr(plain, ':', length) : NULL;
    int id = -1, secret = -1;
    if (colon != NULL) {
        id = target_decode(plain, (size_t)(colon - plain), true, decoded);
        secret = id > 0 && id <= TOKEN_ID_MAX ? target_decode(colon + 1, length - (size_t)(colon - plain) - 1, true, decoded + id) : -1;
    }
    if (secret > 0) {
        dro_field_put(out, API_FIELD_APPLICATION, decoded, (size_t)id);
        put_secret(http, out, (slice){ decoded + id, (uint32_t)secret });
    }
    dro_wipe(plain, sizeof plain);
    dro_wipe(decoded, sizeof decoded);
    return secret > 0;
}

int oauth_begin(connection *connection, dro_builder *out)
{
    slice authorization = connection_field(connection, FIELD_AUTHORIZATION);
    slice type = connection_field(connection, FIELD_CONTENT_TYPE);
    if (type.length > 0 && !is_form(type))
        return 400;
    return authorization.length > 0 && !read_basic(connection->http, authorization, out) ? 401 : 0;
}

void oauth_refuse(http *http, exchange *exchange, int status)
{
    if (status == 401) /* before the body is read: it may show the client well */
        refuse_unknown(http, exchange, "the Authorization header shows no client (Basic, id and secret); a client is shown in one way: "
                                       "with client_id and client_secret in the form leave the header out");
    else
        refuse(exchange, 400, "invalid_request", "the body must be application/x-www-form-urlencoded");
}

/* ---- what is asked for ---- */

typedef struct asking {
    slice id, security;        /* `at` NULL: absent */
    uint8_t hash[TOKEN_HASH];  /* of the secret */
    bool has_secret;
    bool is_shown;             /* by a certificate, which the token will be bound to (RFC 8705) */
    shown_certificate shown;
} asking;

static void read_head(asking *out, const uint8_t *request, uint32_t length)
{
    dro_cursor in = dro_cursor_over(request, length);
    dro_field field;
    *out = (asking){ 0 };
    dro_cursor_bytes(&in, sizeof(api_request));
    while (dro_field_next(&in, &field)) {
        if (field.tag == API_FIELD_APPLICATION)
            out->id = (slice){ (const char *)field.bytes, field.length };
        else if (field.tag == API_FIELD_SECURITY)
            out->security = (slice){ (const char *)field.bytes, field.length };
        else if (field.tag == API_FIELD_TOKEN && field.length == TOKEN_HASH) {
            memcpy(out->hash, field.bytes, TOKEN_HASH);
            out->has_secret = true;
        }
    }
}

/* False: two ways at once (RFC 6749 2.3), or two names. */
static bool read_client(http *http, asking *asking, const form *form)
{
    slice id = form_get(form, "client_id"), secret = form_get(form, "client_secret");
    if (asking->has_secret && secret.at != NULL)
        return false;
    if (asking->id.at != NULL && id.at != NULL && (asking->id.length != id.length || memcmp(asking->id.at, id.at, id.length) != 0))
        return false;
    if (id.at != NULL)
        asking->id = id;
    if (secret.at != NULL) {
        token_hash(http->tokens, secret.at, secret.length, asking->hash);
        asking->has_secret = true;
    }
    return true;
}

/* Who does not even say who it is learns nothing else. */
static bool is_nobody(const asking *asking, const form *form)
{
    return asking->id.at == NULL && !asking->has_secret && !asking->is_shown && form_get(form, "client_id").at == NULL;
}

/* The client's entry, or NULL: by its secret, else by a certificate of its own (RFC 8705 2). */
static const token *find_client(http *http, asking *asking)
{
    dro_clock *clock = http->config->clock;
    const token *found = NULL;
    if (asking->has_secret)
        found = token_table_find(http->tokens, asking->hash, clock->wall_ms(clock));
    else if (asking->is_shown && asking->id.at != NULL)
        found = token_table_find_application(http->tokens, asking->id.at, asking->id.length);
    asking->is_shown = asking->is_shown && found != NULL && token_has_certificate(found, &asking->shown);
    if (!asking->has_secret && !asking->is_shown)
        return NULL;
    bool is_it = found != NULL && asking->id.at != NULL && found->number != 0 && found->expires_ms == 0 && slice_is(asking->id, found->id);
    bool is_here = asking->security.at == NULL || (is_it && slice_is(asking->security, found->id));
    return is_it && is_here ? found : NULL;
}

/* To the core: the names are what it looks for again. */
static void ask_core(http *http, exchange *exchange, const asking *asking, const token *client, slice scope)
{
    uint8_t bytes[sizeof(api_request) + TOKEN_ID_MAX + SCOPE_TEXT_MAX + 128 + AUDIT_TEXT + 16];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    api_request request = { .operation = API_ACCESS_TOKEN, .application = client->number, .scopes = client->scopes };
    dro_builder_bytes(&out, &request, sizeof request);
    audit_put(exchange->owner, exchange, route_at(exchange->route), &out);
    dro_field_put_text(&out, API_FIELD_APPLICATION, client->id);
    dro_field_put(&out, API_FIELD_TOKEN, client->hash, TOKEN_HASH);
    dro_field_put(&out, API_FIELD_SCOPE_TEXT, scope.at, scope.length);
    if (asking->is_shown)
        dro_field_put(&out, API_FIELD_THUMBPRINT, asking->shown.thumbprint, TOKEN_HASH);
    dro_field_pad(&out);
    exchange->kind = EXCHANGE_CORE;
    exchange->waiting = 1;
    exchange->deadline_ns = loop_now_ns(http->loop) + (int64_t)HTTP_ANSWER_MS * NS_PER_MS;
    if (out.err != DRO_OK || !request_send(http, 0, exchange_id(http, exchange, 0), bytes, (uint32_t)dro_builder_length(&out), false))
        answer_busy(exchange, "the host has too much to do");
}

/* Nothing asked for is all; what is asked for is granted whole or not at all (RFC 6749 3.3). */
static void grant(http *http, exchange *exchange, const asking *asking, const token *client, slice scope)
{
    char room[SCOPE_NAMES_MAX];
    scope_read wanted = scope_of(scope, http->aef);
    if (scope.at == NULL) {
        ask_core(http, exchange, asking, client, scope_names(client->scopes, room));
    } else if (scope.length > SCOPE_TEXT_MAX || wanted.is_malformed || wanted.has_unknown || wanted.bits == 0 ||
               (wanted.bits & ~client->scopes) != 0) {
        refuse(exchange, 400, "invalid_scope", "a scope is malformed, not known here, or not the client's");
    } else {
        ask_core(http, exchange, asking, client, scope);
    }
}

void oauth_ask(http *http, exchange *exchange, const uint8_t *request, uint32_t length, body_text body)
{
    static char room[FORM_MAX];
    connection *owner = exchange->owner;
    asking asking;
    form form;
    read_head(&asking, request, length);
    asking.is_shown = request_certificate(exchange->owner, &asking.shown);
    bool is_read = body.length <= sizeof room && form_read(&form, body.bytes, body.length, room);
    slice type = is_read ? form_get(&form, "grant_type") : (slice){ NULL, 0 };
    const token *client = NULL;
    int64_t wait_ns;
    if (!is_read)
        refuse(exchange, 400, "invalid_request", "the body is no form, or has a member twice");
    else if (is_nobody(&asking, &form))
        refuse_client(http, exchange);
    else if (type.at == NULL)
        refuse(exchange, 400, "invalid_request", "grant_type is missing");
    else if (!slice_is(type, "client_credentials"))
        refuse(exchange, 400, "unsupported_grant_type", "only client_credentials is taken");
    else if (!read_client(http, &asking, &form))
        refuse(exchange, 400, "invalid_request", "two ways of authentication were used (the Authorization header and client_secret in the form), or two names");
    else if ((client = find_client(http, &asking)) == NULL)
        refuse_client(http, exchange);
    else if (!token_may(http->tokens, client, &http->config->limits, http->config->gate_count > 0 ? http->config->gate_count : 1,
                        loop_now_ns(http->loop), &wait_ns))
        answer_too_many(exchange, wait_ns, "the application asks more often than it may");
    else
        grant(http, exchange, &asking, client, form_get(&form, "scope"));
    if (client != NULL)
        strangers_know(owner);
    dro_wipe(room, sizeof room);
}

/* ---- what others need to know ---- */

void oauth_keys(http *http, exchange *exchange)
{
    char bytes[KEYS_BYTES];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    answer made = { .status = 200, .content_type = "application/jwk-set+json", .etag = ANSWER_NO_ETAG, .is_stored = true,
                    .lines = "\r\nCache-Control: public, max-age=300" };
    access_put_keys(http->access, &out);
    answer_whole(exchange, &made, bytes, dro_builder_length(&out));
}

static void put_text(dro_builder *out, const char *text, const char *rest)
{
    char whole[1024];
    int length = snprintf(whole, sizeof whole, "%s%s", text, rest);
    json_text(out, whole, (size_t)length < sizeof whole ? (size_t)length : sizeof whole - 1);
}

void oauth_metadata(http *http, exchange *exchange)
{
    char bytes[METADATA_BYTES];
    const char *root = http->config->t8_root != NULL ? http->config->t8_root : "";
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    answer made = { .status = 200, .content_type = "application/json", .etag = ANSWER_NO_ETAG, .is_stored = true,
                    .lines = "\r\nCache-Control: public, max-age=300" };
    dro_builder_text(&out, "{\"issuer\":");
    put_text(&out, http->config->issuer != NULL ? http->config->issuer : "", "");
    dro_builder_text(&out, ",\"token_endpoint\":");
    put_text(&out, root, "/oauth2/token");
    dro_builder_text(&out, ",\"jwks_uri\":");
    put_text(&out, root, "/oauth2/jwks");
    dro_builder_text(&out, ",\"response_types_supported\":[],\"grant_types_supported\":[\"client_credentials\"],"
                           "\"token_endpoint_auth_methods_supported\":[\"client_secret_basic\",\"client_secret_post\",\"tls_client_auth\"],"
                           "\"tls_client_certificate_bound_access_tokens\":true,"
                           "\"scopes_supported\":[");
    for (size_t i = 0; i < SCOPES_MAX; i++) {
        dro_builder_text(&out, i > 0 ? "," : "");
        put_text(&out, scope_words[i].word, "");
    }
    dro_builder_text(&out, "]}");
    answer_whole(exchange, &made, bytes, dro_builder_length(&out));
}

#include "gate/fields.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "base/fields.h"
#include "twin/model.h"
#include "twin/ticket.h"
#include "twin/nidd.h"
#include "twin/t8.h"

static bool fail(fields_fault *fault, int status, const char *detail)
{
    *fault = (fields_fault){ status, detail };
    return false;
}

/* ---- path ---- */

/* The name of a T8 resource or a trace: 16 hexadecimal digits, as the core gives them out. */
static bool resource_read(slice text, uint64_t *out)
{
    *out = 0;
    for (uint32_t i = 0; i < text.length; i++) {
        const char *digits = "0123456789abcdef", *digit = text.at[i] != '\0' ? strchr(digits, text.at[i]) : NULL;
        if (digit == NULL)
            return false;
        *out = *out << 4 | (uint64_t)(digit - digits);
    }
    return text.length == 16;
}

/* A number of 0 to 15 without a sign or a leading zero; false: there is none. */
static bool port_number_read(slice text, uint32_t *at, uint8_t *out)
{
    uint32_t first = *at;
    unsigned number = 0;
    while (*at < text.length && text.at[*at] >= '0' && text.at[*at] <= '9' && *at - first < 2)
        number = number * 10 + (unsigned)(text.at[(*at)++] - '0');
    *out = (uint8_t)number;
    return *at > first && number <= NIDD_PORT_MAX && (*at - first == 1 || text.at[first] != '0');
}

/* "ue3-ef15": ports of the device and of this side. */
static bool rds_port_read(slice text, uint8_t out[2])
{
    uint32_t at = 2;
    if (text.length < 7 || memcmp(text.at, "ue", 2) != 0 || !port_number_read(text, &at, &out[0]))
        return false;
    if (text.length < at + 4 || memcmp(text.at + at, "-ef", 3) != 0)
        return false;
    at += 3;
    return port_number_read(text, &at, &out[1]) && at == text.length;
}

/* Parameters of a path that go on as they are, and those that are a resource's number. */
static const struct { unsigned parameter; uint8_t field; uint32_t most; const char *unknown; } texts[] = {
    { PARAMETER_NAME, API_FIELD_NAME, MODEL_NAME_MAX, "the twin's model has no such name" },
    { PARAMETER_APPLICATION, API_FIELD_APPLICATION, BODY_NAME_MAX, "no such application" },
    { PARAMETER_SCS_AS, API_FIELD_SCS_AS, BODY_NAME_MAX, "no such application" },
    { PARAMETER_SECURITY, API_FIELD_SECURITY, TOKEN_ID_MAX, "no such application" },
    { PARAMETER_INVOKER, API_FIELD_APPLICATION, TOKEN_ID_MAX, "nothing is called that" },
    { PARAMETER_APF, API_FIELD_CAPIF_APF, TOKEN_ID_MAX, "nothing is called that" },
    { PARAMETER_SERVICE_API, API_FIELD_CAPIF_ID, TOKEN_ID_MAX, "nothing is called that" },
    { PARAMETER_SET_ID, API_FIELD_SET_ID, T8_TEXT_MAX, "no such set" },
};
static const struct { unsigned parameter; uint8_t field; const char *unknown; } resources[] = {
    { PARAMETER_TRACE, API_FIELD_TRACE, "no such trace" },
    { PARAMETER_CONFIGURATION, API_FIELD_CONFIGURATION, "no such resource" },
    { PARAMETER_DELIVERY, API_FIELD_DELIVERY, "no such delivery" },
};

static bool put_by_table(dro_builder *out, unsigned parameter, slice text, fields_fault *fault)
{
    uint64_t number;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i].parameter != parameter)
            continue;
        if (text.length > texts[i].most)
            return fail(fault, 404, texts[i].unknown);
        dro_field_put(out, texts[i].field, text.at, text.length);
        return true;
    }
    for (size_t i = 0; i < sizeof resources / sizeof resources[0]; i++) {
        if (resources[i].parameter != parameter)
            continue;
        if (!resource_read(text, &number))
            return fail(fault, 404, resources[i].unknown);
        dro_field_put_u64(out, resources[i].field, number);
        return true;
    }
    return true;
}

static bool put_parameter(dro_builder *out, const route *route, unsigned parameter, slice text, fields_fault *fault)
{
    uint8_t ports[2];
    char identifier[IDENTIFIER_MAX + 1];
    uint8_t digest[32];
    uint64_t number;
    switch (parameter) {
    case PARAMETER_ID:
        if (!identifier_read(text, identifier))
            return fail(fault, route->method == METHOD_PUT && route->body == BODY_TWIN ? 400 : 404,
                        "the id is not an External Identifier, local@domain");
        dro_field_put_text(out, API_FIELD_ID, identifier);
        return true;
    case PARAMETER_GROUP:
        if (!identifier_read(text, identifier))
            return fail(fault, route->body == BODY_GROUP ? 400 : 404, "the group is not an External Group Identifier, local@domain");
        dro_field_put_text(out, API_FIELD_GROUP, identifier);
        return true;
    case PARAMETER_DIGEST:
        if (!digest_read(text, digest))
            return fail(fault, 404, "no such image: a digest is sha256: and 64 hexadecimal digits");
        dro_field_put(out, API_FIELD_IMAGE, digest, sizeof digest);
        return true;
    case PARAMETER_DOMAIN:
        if (text.length > IDENTIFIER_MAX || !domain_read(text, identifier))
            return fail(fault, 404, "no such domain");
        dro_field_put_text(out, API_FIELD_DOMAIN, identifier);
        return true;
    case PARAMETER_TICKET:
        if (!number_read(text, &number))
            return fail(fault, 404, "no such ticket");
        dro_field_put_u64(out, API_FIELD_TICKET, number);
        return true;
    case PARAMETER_RDS_PORT:
        if (!rds_port_read(text, ports))
            return fail(fault, 404, "no such ports: ue0-ef0 to ue15-ef15");
        dro_field_put(out, API_FIELD_RDS_PORT, ports, sizeof ports);
        return true;
    default: return put_by_table(out, parameter, text, fault);
    }
}

/* Which of T8's resources it is, its path says. */
static void put_exposure_kind(dro_builder *out, const target *target)
{
    for (int i = 0; i < EXPOSURE_KINDS; i++)
        if (slice_is(target->segments[0], t8_apis[i]->path)) {
            uint8_t kind = (uint8_t)i;
            dro_field_put(out, API_FIELD_EXPOSURE, &kind, 1);
        }
}

bool fields_of_path(dro_builder *out, const route *route, const target *target, fields_fault *fault)
{
    const route_path *path = route_find(target);
    bool is_of_set = route->operation >= API_PATTERN_GET && route->operation <= API_PATTERN_DELETE;
    if ((route->operation >= API_EXPOSURE_LIST && route->operation <= API_EXPOSURE_WEBSOCKET) || is_of_set)
        put_exposure_kind(out, target);
    assert(path != NULL); /* it has a route */
    for (uint32_t i = 0; i < path->count; i++)
        if (!put_parameter(out, route, path->segments[i].parameter, target->segments[i], fault))
            return false;
    return true;
}

bool fields_are_foreign(const target *target, const token *caller)
{
    char identifier[IDENTIFIER_MAX + 1];
    const route_path *path = route_find(target);
    assert(path != NULL);
    for (uint32_t i = 0; i < path->count; i++) {
        bool is_named = path->segments[i].parameter == PARAMETER_ID || path->segments[i].parameter == PARAMETER_GROUP;
        if (!is_named || !identifier_read(target->segments[i], identifier))
            continue;
        slice domain = identifier_domain(identifier);
        if (!token_has_domain(caller, domain.at, domain.length))
            return true;
    }
    return false;
}

/* ---- query ---- */

static const struct {
    const char *name;
    uint32_t bit;
} query_names[] = {
    { "model", QUERY_MODEL }, { "tag", QUERY_TAG },         { "limit", QUERY_LIMIT },       { "cursor", QUERY_CURSOR },
    { "wait", QUERY_WAIT },   { "timeout", QUERY_TIMEOUT }, { "property", QUERY_PROPERTY }, { "twin", QUERY_TWIN },
    { "state", QUERY_STATE }, { "history", QUERY_HISTORY },
    { "after", QUERY_AFTER }, { "network", QUERY_NETWORK },
    { "api-invoker-id", QUERY_API_INVOKER_ID }, { "api-name", QUERY_API_NAME }, { "api-version", QUERY_API_VERSION },
    { "comm-type", QUERY_COMM_TYPE }, { "protocol", QUERY_PROTOCOL }, { "aef-id", QUERY_AEF_ID }, { "data-format", QUERY_DATA_FORMAT },
    { "api-cat", QUERY_API_CAT }, { "preferred-aef-loc", QUERY_PREFERRED_AEF_LOC }, { "supported-features", QUERY_SUPPORTED_FEATURES },
    { "api-supported-features", QUERY_API_SUPPORTED_FEATURES }, { "authenticationInfo", QUERY_AUTHENTICATIONINFO },
    { "authorizationInfo", QUERY_AUTHORIZATIONINFO },
};

static bool put_tag(dro_builder *out, slice text, fields_fault *fault)
{
    uint8_t bytes[1 + BODY_NAME_MAX + BODY_TAG_TEXT_MAX];
    dro_builder tag = dro_builder_over(bytes, sizeof bytes);
    const char *mark = memchr(text.at, '=', text.length);
    size_t name = mark != NULL ? (size_t)(mark - text.at) : 0;
    size_t rest = mark != NULL ? text.length - name - 1 : 0;
    if (name == 0 || name > BODY_NAME_MAX || rest == 0 || rest > BODY_TAG_TEXT_MAX)
        return fail(fault, 400, "tag must be name=text");
    dro_builder_le(&tag, name, 1);
    dro_builder_bytes(&tag, text.at, name);
    dro_builder_bytes(&tag, mark + 1, rest);
    dro_field_put(out, API_FIELD_TAG, bytes, dro_builder_length(&tag));
    return true;
}

/* Of members in an operation of their group; the number is the core's enum group_shown. */
static bool put_state(dro_builder *out, slice text, fields_fault *fault)
{
    static const char *const states[] = { "waiting", "pending", "sent", "delivered", "reported", "failed" };
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (slice_is(text, states[i])) {
            uint8_t state = (uint8_t)i;
            dro_field_put(out, API_FIELD_STATUS, &state, 1);
            return true;
        }
    return fail(fault, 400, "state must be waiting, pending, sent, delivered, reported or failed");
}

/* A filter of CAPIF: what it is of must be, what it says may be anything. */
static bool put_filter(dro_builder *out, uint32_t bit, slice text, fields_fault *fault)
{
    assert(bit >= QUERY_CAPIF_FIRST);
    uint8_t bytes[1 + HTTP_CURSOR_MAX] = { (uint8_t)__builtin_ctz(bit / QUERY_CAPIF_FIRST) };
    bool is_hex = bit == QUERY_SUPPORTED_FEATURES || bit == QUERY_API_SUPPORTED_FEATURES;
    bool is_flag = bit == QUERY_AUTHENTICATIONINFO || bit == QUERY_AUTHORIZATIONINFO;
    if (text.length > HTTP_CURSOR_MAX)
        return fail(fault, 400, "a query parameter is too long");
    for (uint32_t i = 0; is_hex && i < text.length; i++)
        if (text.at[i] == '\0' || strchr("0123456789abcdefABCDEF", text.at[i]) == NULL)
            return fail(fault, 400, "features are hexadecimal digits");
    if (is_flag && !slice_is(text, "true") && !slice_is(text, "false"))
        return fail(fault, 400, "authenticationInfo and authorizationInfo are true or false");
    memcpy(bytes + 1, text.at, text.length);
    dro_field_put(out, API_FIELD_CAPIF_FILTER, bytes, 1 + text.length);
    return true;
}

static bool put_query(connection *connection, dro_builder *out, const route *route, uint32_t bit, slice text,
                      fields_fault *fault)
{
    char identifier[IDENTIFIER_MAX + 1];
    uint64_t number = 0;
    switch (bit) {
    case QUERY_MODEL:
        if (text.length == 0 || text.length > MODEL_NAME_MAX)
            return fail(fault, 400, "model must have 1 to 63 bytes");
        dro_field_put(out, API_FIELD_MODEL, text.at, text.length);
        return true;
    case QUERY_TAG: return put_tag(out, text, fault);
    case QUERY_LIMIT:
        if (!number_read(text, &number) || number == 0 || number > HTTP_LIMIT_MAX)
            return fail(fault, 400, "limit must be 1 to 1000");
        dro_field_put_u64(out, API_FIELD_LIMIT, number);
        return true;
    case QUERY_AFTER:
        if (!number_read(text, &number))
            return fail(fault, 400, "after must be the number of a message");
        dro_field_put_u64(out, API_FIELD_AFTER, number);
        return true;
    case QUERY_NETWORK:
        if (!slice_is(text, "true") && !slice_is(text, "false"))
            return fail(fault, 400, "network must be true or false");
        if (slice_is(text, "true"))
            dro_field_put(out, API_FIELD_NETWORK, NULL, 0);
        return true;
    case QUERY_HISTORY:
        if (!slice_is(text, "keep") && !slice_is(text, "drop"))
            return fail(fault, 400, "history must be keep or drop");
        if (slice_is(text, "drop"))
            dro_field_put(out, API_FIELD_HISTORY_DROPS, NULL, 0);
        return true;
    case QUERY_CURSOR:
        if (text.length == 0 || text.length > HTTP_CURSOR_MAX)
            return fail(fault, 400, "cursor is not one of ours");
        dro_field_put(out, API_FIELD_CURSOR, text.at, text.length);
        return true;
    case QUERY_WAIT: {
        bool is_reported = slice_is(text, "reported");
        uint8_t state = is_reported ? TICKET_REPORTED : TICKET_DELIVERED;
        if (!is_reported && !slice_is(text, "delivered"))
            return fail(fault, 400, "wait must be delivered or reported");
        dro_field_put(out, API_FIELD_WAIT, &state, 1);
        return true;
    }
    case QUERY_TIMEOUT:
        if (!duration_read(text, &number) || number == 0 || number > HTTP_WAIT_MAX_MS)
            return fail(fault, 400, "timeout must be a duration such as 500ms, 10s or 1m, at most 10m");
        connection->wait_ms = number;
        return true;
    case QUERY_PROPERTY:
        if (text.length == 0 || text.length > MODEL_NAME_MAX)
            return fail(fault, 400, "property must have 1 to 63 bytes");
        dro_field_put(out, route->handler == HANDLER_STREAM ? API_FIELD_PROPERTY : API_FIELD_NAME, text.at,
                      text.length);
        return true;
    case QUERY_STATE: return put_state(out, text, fault);
    case QUERY_TWIN:
        if (!identifier_read(text, identifier))
            return fail(fault, 400, "twin must be an External Identifier, local@domain");
        dro_field_put_text(out, API_FIELD_ID, identifier);
        return true;
    default: return put_filter(out, bit, text, fault);
    }
}

bool fields_of_query(connection *connection, dro_builder *out, const route *route, const target *target,
                     fields_fault *fault)
{
    slice query = target->query, name, value;
    uint32_t seen = 0;
    size_t room = HTTP_BLOCK_BYTES; /* the path has the first half */
    int status = 0;
    while (target_query_next(&query, &name, &value, connection->http->decoded, &room, &status)) {
        uint32_t bit = 0;
        for (size_t i = 0; i < sizeof query_names / sizeof *query_names; i++)
            if (slice_is(name, query_names[i].name))
                bit = query_names[i].bit;
        if ((route->queries & bit) == 0)
            return fail(fault, 400, "a query parameter is not known here");
        if (seen & bit)
            return fail(fault, 400, "a query parameter is there twice");
        seen |= bit;
        if (!put_query(connection, out, route, bit, value, fault))
            return false;
    }
    if (status != 0)
        return fail(fault, 400, "the query is malformed");
    if (route->operation == API_HISTORY && (seen & QUERY_PROPERTY) == 0)
        return fail(fault, 400, "property is missing");
    if ((seen & QUERY_WAIT) == 0) {
        connection->wait_ms = 0;
    } else {
        if (connection->wait_ms == 0)
            connection->wait_ms = HTTP_WAIT_DEFAULT_MS;
        dro_field_put_u64(out, API_FIELD_TIMEOUT, connection->wait_ms);
    }
    return true;
}

/* ---- header ---- */

/* One strong entity tag of ours, `"17"`. */
static bool etag_read(slice text, uint64_t *revision)
{
    if (text.length < 3 || text.at[0] != '"' || text.at[text.length - 1] != '"')
        return false;
    return number_read((slice){ text.at + 1, text.length - 2 }, revision);
}

/* Any entity tag, weak ones too: W/"..." without quotes inside. */
static bool is_etag(slice text)
{
    if (text.length > 2 && text.at[0] == 'W' && text.at[1] == '/') {
        text.at += 2;
        text.length -= 2;
    }
    return text.length >= 2 && text.at[0] == '"' && memchr(text.at + 1, '"', text.length - 1) == text.at + text.length - 1;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* What stands before the next comma, without blanks around; our tags hold none. Moves *list on. */
static slice list_next(slice *list)
{
    const char *comma = memchr(list->at, ',', list->length);
    slice item = { list->at, comma != NULL ? (uint32_t)(comma - list->at) : list->length };
    uint32_t used = item.length + (comma != NULL);
    list->at += used;
    list->length -= used;
    while (item.length > 0 && is_blank(item.at[0])) {
        item.at++;
        item.length--;
    }
    while (item.length > 0 && is_blank(item.at[item.length - 1]))
        item.length--;
    return item;
}

static bool put_if_match(connection *connection, dro_builder *out, fields_fault *fault)
{
    slice text = connection_field(connection, FIELD_IF_MATCH);
    uint64_t revision = UINT64_MAX; /* "*" */
    unsigned count = 0;
    if (text.length == 0)
        return true;
    if (slice_is(text, "*")) {
        dro_field_put_u64(out, API_FIELD_IF_MATCH, revision);
        return true;
    }
    while (text.length > 0) { /* a list (RFC 9110 13.1.1); a tag of somebody else matches nothing */
        slice tag = list_next(&text);
        if (tag.length == 0)
            continue;
        if (++count > HTTP_IF_MATCH_MAX)
            return fail(fault, 400, "If-Match may name at most 16 entity tags");
        if (etag_read(tag, &revision))
            dro_field_put_u64(out, API_FIELD_IF_MATCH, revision);
        else if (!is_etag(tag))
            return fail(fault, 400, "If-Match takes entity tags such as \"17\", with commas between");
        else
            dro_field_put_u64(out, API_FIELD_IF_MATCH, UINT64_MAX - 1);
    }
    return true;
}

static bool put_if_none_match(connection *connection, exchange *exchange, dro_builder *out, const route *route,
                              fields_fault *fault)
{
    slice text = connection_field(connection, FIELD_IF_NONE_MATCH);
    if (text.length == 0)
        return true;
    if (exchange->is_safe) {
        if (!etag_read(text, &exchange->if_none_match))
            exchange->if_none_match = UINT64_MAX;
        return true;
    }
    if (route->operation != API_TWIN_PUT || !slice_is(text, "*"))
        return fail(fault, 400, "If-None-Match takes * here, with PUT of a twin");
    dro_field_put(out, API_FIELD_IF_NONE_MATCH, NULL, 0);
    return true;
}

/* SHA-256 of application, method and path, and key; the body's follows later. The route counts by its name: keys are kept over
 * upgrades, and another version has other rows in its table. */
static bool put_idempotency(connection *connection, dro_builder *out, const route *route, const token *caller,
                            fields_fault *fault)
{
    slice key = connection_field(connection, FIELD_IDEMPOTENCY_KEY);
    uint8_t bytes[HTTP_REQUEST_MAX + HTTP_IDEMPOTENCY_KEY_MAX + ROUTE_NAME_MAX], hash[2 * TOKEN_HASH] = { 0 };
    dro_builder text = dro_builder_over(bytes, sizeof bytes);
    if (key.length == 0 || route->method == METHOD_GET || route->body == BODY_QUERY || route->body == BODY_IMAGE ||
        route->body == BODY_BULK)
        return true;
    if (key.length > HTTP_IDEMPOTENCY_KEY_MAX)
        return fail(fault, 400, "Idempotency-Key may have at most 255 bytes");
    dro_builder_le(&text, caller->number, 4);
    dro_builder_le(&text, strlen(route->name), 2);
    dro_builder_bytes(&text, route->name, strlen(route->name));
    dro_builder_le(&text, key.length, 2);
    dro_builder_bytes(&text, key.at, key.length);
    /* The fields of the path, so that "@" and "%40" are the same here too. */
    dro_builder_bytes(&text, out->start + sizeof(api_request), dro_builder_length(out) - sizeof(api_request));
    token_hash(connection->http->tokens, bytes, dro_builder_length(&text), hash);
    dro_field_put(out, API_FIELD_IDEMPOTENCY, hash, sizeof hash);
    return true;
}

void fields_put_body_hash(connection *connection, dro_builder *out, body_text body)
{
    dro_cursor in = dro_cursor_over(out->start, dro_builder_length(out));
    dro_field field;
    dro_cursor_bytes(&in, sizeof(api_request));
    while (dro_field_next(&in, &field))
        if (field.tag == API_FIELD_IDEMPOTENCY) /* put_idempotency left room for it */
            token_hash(connection->http->tokens, body.bytes, body.length,
                       out->start + (field.bytes - out->start) + TOKEN_HASH);
}

bool fields_of_header(connection *connection, exchange *exchange, dro_builder *out, const route *route,
                      const token *caller, fields_fault *fault)
{
    slice resume = connection_field(connection, FIELD_LAST_EVENT_ID);
    if (route->scopes & ROUTE_ONCE)
        dro_field_put(out, API_FIELD_TOKEN, caller->hash, TOKEN_HASH);
    if (!put_idempotency(connection, out, route, caller, fault) || !put_if_match(connection, out, fault) ||
        !put_if_none_match(connection, exchange, out, route, fault))
        return false;
    if (route->handler != HANDLER_STREAM || resume.length == 0)
        return true;
    if (resume.length > HTTP_RESUME_MAX)
        return fail(fault, 400, "Last-Event-ID is not one of ours");
    dro_field_put(out, API_FIELD_RESUME, resume.at, resume.length);
    return true;
}

bool content_is_json(slice content_type)
{
    const char *mark = memchr(content_type.at, ';', content_type.length);
    uint32_t length = mark != NULL ? (uint32_t)(mark - content_type.at) : content_type.length;
    while (length > 0 && (content_type.at[length - 1] == ' ' || content_type.at[length - 1] == '\t'))
        length--;
    if (length == 16 && strncasecmp(content_type.at, "application/json", 16) == 0)
        return true;
    /* What curl -d says when told nothing else. A page of another origin could send it, but never our tokens with it. */
    if (length == 33 && strncasecmp(content_type.at, "application/x-www-form-urlencoded", 33) == 0)
        return true;
    return length > 17 && strncasecmp(content_type.at, "application/", 12) == 0 &&
           strncasecmp(content_type.at + length - 5, "+json", 5) == 0;
}

#include "gate/ccf.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/fields.h"
#include "gate/answer.h"
#include "gate/service_api.h"
#include "ring/message.h"

enum { ANSWER_BYTES_MAX = 4 * SERVICE_API_BYTES_MAX };

bool ccf_is_elsewhere(http *http, exchange *exchange, const route *route)
{
    bool is_of_ccf = route->operation >= API_CAPIF_DISCOVER && route->operation <= API_INVOKER_SECURITY_REVOKE;
    bool is_of_aef = route->operation == API_CAPIF_CHECK || route->operation == API_CAPIF_REVOKE;
    if (!is_of_ccf || is_of_aef || http->config->capif.root[0] == '\0')
        return false;
    answer_problem(exchange, 404, "the CAPIF core function of this host is at %s", http->config->capif.root);
    return true;
}

bool ccf_needs_more(const connection *connection, exchange *exchange, const route *route)
{
    bool is_change = route->operation >= API_INVOKER_MAKE && route->operation <= API_INVOKER_SECURITY_DELETE && route->method != METHOD_GET;
    bool is_whole = connection->token_expires_ms == 0 || (connection->scopes & SCOPE_ADMIN) != 0;
    if (!is_change || is_whole)
        return false;
    answer_problem(exchange, 403, "an access token is not enough for this: it takes the application's secret or certificate");
    return true;
}

typedef struct asking {        /* `at` NULL: absent */
    slice invoker, apf, api;
    slice filters[CAPIF_FILTERS];
    uint32_t application, scopes;
} asking;

static slice slice_of(const dro_field *field)
{
    return (slice){ (const char *)field->bytes, field->length };
}

static asking read_asking(const void *request, size_t length)
{
    asking read = { 0 };
    api_request head;
    assert(length >= sizeof head); /* api.c wrote it */
    memcpy(&head, request, sizeof head);
    dro_cursor in = dro_cursor_over((const uint8_t *)request + sizeof head, length - sizeof head);
    dro_field field;
    read.application = head.application;
    read.scopes = head.scopes;
    while (dro_field_next(&in, &field))
        switch (field.tag) {
        case API_FIELD_APPLICATION: read.invoker = slice_of(&field); break;
        case API_FIELD_CAPIF_APF: read.apf = slice_of(&field); break;
        case API_FIELD_CAPIF_ID: read.api = slice_of(&field); break;
        case API_FIELD_CAPIF_FILTER:
            if (field.length > 0 && field.bytes[0] < CAPIF_FILTERS)
                read.filters[field.bytes[0]] = (slice){ (const char *)field.bytes + 1, field.length - 1 };
            break;
        default: break;
        }
    return read;
}

static service_place place_of(const http *http)
{
    const tls_context *tls = http->config->tls[TLS_HTTP];
    return (service_place){ http->aef, http->config->t8_root != NULL ? http->config->t8_root : "", tls != NULL && tls_context_verifies(tls) };
}

static void answer_json(exchange *exchange, dro_builder *body)
{
    answer made = { .status = 200, .content_type = "application/json", .etag = ANSWER_NO_ETAG };
    if (body->err == DRO_OK)
        answer_whole(exchange, &made, body->start, dro_builder_length(body));
    else
        answer_problem(exchange, 500, "the descriptions are too long");
}

/* Each API by the name it has; there is one publisher, the host. */
static void put_api(const http *http, dro_builder *out, const service_api *api)
{
    char id[SERVICE_API_NAME_MAX + 1];
    service_place place = place_of(http);
    snprintf(id, sizeof id, "%.*s", (int)api->name.length, api->name.at);
    service_api_write(out, api, &place, id);
}

/* ---- discovery ---- */

static bool is_one(slice wanted, const char *is)
{
    return wanted.at == NULL || slice_is(wanted, is);
}

static bool is_same(slice wanted, slice is)
{
    return wanted.at == NULL || (wanted.length == is.length && memcmp(wanted.at, is.at, is.length) == 0);
}

static bool is_asked_for(const http *http, const asking *asking, const service_api *api)
{
    const slice *filters = asking->filters;
    return is_same(filters[CAPIF_FILTER_NAME], api->name) && is_same(filters[CAPIF_FILTER_VERSION], api->version) &&
           (filters[CAPIF_FILTER_COMMUNICATION].at == NULL || service_api_has_type(api, filters[CAPIF_FILTER_COMMUNICATION])) &&
           is_one(filters[CAPIF_FILTER_PROTOCOL], "HTTP_1_1") && is_one(filters[CAPIF_FILTER_FORMAT], "JSON") &&
           is_one(filters[CAPIF_FILTER_AEF], http->aef) && filters[CAPIF_FILTER_CATEGORY].at == NULL;
}

/* The application that is asked for: the caller, or any for the administrator. NULL after a problem. */
static const token *invoker_of(http *http, exchange *exchange, const asking *asking)
{
    const token *found = token_table_find_application(http->tokens, asking->invoker.at, asking->invoker.length);
    bool is_admin = (asking->scopes & SCOPE_ADMIN) != 0;
    if (found != NULL && (is_admin || found->number == asking->application))
        return found;
    if (is_admin)
        answer_problem(exchange, 404, "no application is called that");
    else
        answer_problem(exchange, 403, "this token is not one of that API invoker");
    return NULL;
}

static void discover(http *http, exchange *exchange, asking *asking)
{
    static char bytes[ANSWER_BYTES_MAX];
    service_api apis[SERVICE_APIS_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    uint32_t count = service_apis(apis), shown = 0;
    asking->invoker = asking->filters[CAPIF_FILTER_INVOKER];
    if (asking->invoker.at == NULL) {
        answer_problem(exchange, 400, "api-invoker-id is missing");
        return;
    }
    const token *invoker = invoker_of(http, exchange, asking);
    if (invoker == NULL)
        return;
    uint32_t scopes = asking->scopes & SCOPE_ADMIN ? invoker->scopes : invoker->scopes & asking->scopes;
    dro_builder_text(&out, "{");
    for (uint32_t i = 0; i < count; i++) {
        if ((apis[i].scopes & scopes) == 0 || !is_asked_for(http, asking, &apis[i]))
            continue;
        dro_builder_text(&out, shown++ > 0 ? "," : "\"serviceAPIDescriptions\":[");
        put_api(http, &out, &apis[i]);
    }
    dro_builder_text(&out, shown > 0 ? "]}" : "}");
    answer_json(exchange, &out);
}

/* ---- what the host has published with itself ---- */

static bool is_publisher(http *http, exchange *exchange, const asking *asking)
{
    bool is_us = http->config->identity != NULL && slice_is(asking->apf, http->config->identity);
    if (!is_us)
        answer_problem(exchange, 404, "no publisher is called that: this host alone publishes here");
    return is_us;
}

static void published_list(http *http, exchange *exchange, const asking *asking)
{
    static char bytes[ANSWER_BYTES_MAX];
    service_api apis[SERVICE_APIS_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    uint32_t count = service_apis(apis);
    if (!is_publisher(http, exchange, asking))
        return;
    dro_builder_text(&out, "[");
    for (uint32_t i = 0; i < count; i++) {
        dro_builder_text(&out, i > 0 ? "," : "");
        put_api(http, &out, &apis[i]);
    }
    dro_builder_text(&out, "]");
    answer_json(exchange, &out);
}

static void published_get(http *http, exchange *exchange, const asking *asking)
{
    static char bytes[SERVICE_API_BYTES_MAX];
    service_api apis[SERVICE_APIS_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    uint32_t count = service_apis(apis), at = 0;
    if (!is_publisher(http, exchange, asking))
        return;
    while (at < count && !is_same(asking->api, apis[at].name))
        at++;
    if (at == count) {
        answer_problem(exchange, 404, "no service API is called that");
        return;
    }
    put_api(http, &out, &apis[at]);
    answer_json(exchange, &out);
}

void ccf_answer(http *http, exchange *exchange, const route *route, const void *request, size_t length)
{
    static const char check[] = "{\"supportedFeatures\":\"0\"}";
    asking asking = read_asking(request, length);
    dro_builder answer = dro_builder_over((void *)(uintptr_t)check, sizeof check - 1);
    answer.at = answer.end;
    switch (route->operation) {
    case API_CAPIF_DISCOVER: discover(http, exchange, &asking); break;
    case API_CAPIF_PUBLISHED_LIST: published_list(http, exchange, &asking); break;
    case API_CAPIF_PUBLISHED_GET: published_get(http, exchange, &asking); break;
    default: /* an invoker asks whether it is known here, before it comes */
        if (invoker_of(http, exchange, &asking) != NULL)
            answer_json(exchange, &answer);
        break;
    }
}

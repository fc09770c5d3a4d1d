#include "gate/service_api.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate/route.h"
#include "twin/value.h"

typedef struct resource { /* a route taken apart: "GET /3gpp-nidd/v1/{scsAsId}/configurations" */
    slice method, api, version, uri;
} resource;

static slice cut(slice *rest, char mark)
{
    const char *stop = memchr(rest->at, mark, rest->length);
    slice part = { rest->at, stop != NULL ? (uint32_t)(stop - rest->at) : rest->length };
    uint32_t used = part.length + (stop != NULL);
    rest->at += used;
    rest->length -= used;
    return part;
}

/* False: it is of no service API. The websocket of a configuration is told by T8 itself, it is no resource of the API. */
static bool resource_of(const route *route, resource *out)
{
    static const char prefix[] = "3gpp-", socket[] = "/websocket";
    slice rest = { route->name, (uint32_t)strlen(route->name) };
    out->method = cut(&rest, ' ');
    cut(&rest, '/');
    out->api = cut(&rest, '/');
    out->version = cut(&rest, '/');
    bool is_one = out->api.length > sizeof prefix - 1 && memcmp(out->api.at, prefix, sizeof prefix - 1) == 0 && rest.length > 0;
    out->uri = is_one ? (slice){ rest.at - 1, rest.length + 1 } : rest;
    return is_one && (rest.length < sizeof socket || memcmp(rest.at + rest.length - (sizeof socket - 1), socket, sizeof socket - 1) != 0);
}

static bool is_same(slice a, slice b)
{
    return a.length == b.length && memcmp(a.at, b.at, a.length) == 0;
}

uint32_t service_apis(service_api out[SERVICE_APIS_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < route_count(); i++) {
        resource of;
        uint32_t at = 0;
        if (!resource_of(route_at(i), &of))
            continue;
        while (at < count && !is_same(out[at].name, of.api))
            at++;
        if (at < count)
            out[at].scopes |= route_at(i)->scopes;
        else if (count < SERVICE_APIS_MAX)
            out[count++] = (service_api){ of.api, of.version, route_at(i)->scopes };
    }
    return count;
}

/* ---- as JSON ---- */

static void member(dro_builder *out, const char *name, slice text)
{
    dro_builder_text(out, "\"");
    dro_builder_text(out, name);
    dro_builder_text(out, "\":");
    json_text(out, text.at, text.length);
}

static slice slice_of(const char *text)
{
    return (slice){ text, (uint32_t)strlen(text) };
}

/* "{scsAsId}/subscriptions/{subscriptionId}" -> "individual subscriptions". */
static void write_name(dro_builder *out, slice uri)
{
    char text[160];
    slice last = { "", 0 }, rest = uri;
    bool is_individual = false;
    while (rest.length > 0) {
        slice part = cut(&rest, '/');
        is_individual = part.length > 0 && part.at[0] == '{';
        if (part.length > 0 && !is_individual)
            last = part;
    }
    int length = snprintf(text, sizeof text, "%s%.*s", is_individual ? "individual " : "", (int)last.length, last.at);
    member(out, "resourceName", (slice){ text, (uint32_t)length });
}

/* What is told of again and again has a resource that is subscribed to. */
static const char *type_of(const resource *of)
{
    static const char *const subscribed[] = { "/configurations", "/subscriptions", "/transactions" };
    for (size_t i = 0; i < sizeof subscribed / sizeof *subscribed; i++)
        if (memmem(of->uri.at, of->uri.length, subscribed[i], strlen(subscribed[i])) != NULL)
            return "SUBSCRIBE_NOTIFY";
    return "REQUEST_RESPONSE";
}

bool service_api_has_type(const service_api *api, slice type)
{
    for (uint32_t i = 0; i < route_count(); i++) {
        resource of;
        if (resource_of(route_at(i), &of) && is_same(of.api, api->name) && slice_is(type, type_of(&of)))
            return true;
    }
    return false;
}

/* Each resource once, at its first route, with the methods of all. */
static void write_resource(dro_builder *out, uint32_t first, const resource *of)
{
    dro_builder_text(out, "{");
    write_name(out, of->uri);
    dro_builder_text(out, ",\"commType\":\"");
    dro_builder_text(out, type_of(of));
    dro_builder_text(out, "\",");
    member(out, "uri", of->uri);
    dro_builder_text(out, ",\"operations\":[");
    for (uint32_t i = first, shown = 0; i < route_count(); i++) {
        resource other;
        if (!resource_of(route_at(i), &other) || !is_same(other.api, of->api) || !is_same(other.uri, of->uri))
            continue;
        dro_builder_text(out, shown++ > 0 ? "," : "");
        json_text(out, other.method.at, other.method.length);
    }
    dro_builder_text(out, "]}");
}

static bool is_new(uint32_t index, const resource *of)
{
    for (uint32_t i = 0; i < index; i++) {
        resource before;
        if (resource_of(route_at(i), &before) && is_same(before.api, of->api) && is_same(before.uri, of->uri))
            return false;
    }
    return true;
}

static void write_resources(dro_builder *out, const service_api *api)
{
    bool is_first = true;
    for (uint32_t i = 0; i < route_count(); i++) {
        resource of;
        if (!resource_of(route_at(i), &of) || !is_same(of.api, api->name) || !is_new(i, &of))
            continue;
        dro_builder_text(out, is_first ? "" : ",");
        write_resource(out, i, &of);
        is_first = false;
    }
}

/* Host and port of the root: an address is an interface, a name a domain; one of the two, not both. */
static void write_interface(dro_builder *out, const char *root)
{
    char host[256], number[8];
    const char *scheme = strstr(root, "://"), *at = scheme != NULL ? scheme + 3 : root, *stop = at + strcspn(at, "/");
    bool is_secure = strncmp(root, "https:", 6) == 0;
    const char *close = *at == '[' ? memchr(at, ']', (size_t)(stop - at)) : NULL;
    const char *colon = memchr(close != NULL ? close : at, ':', (size_t)(stop - (close != NULL ? close : at)));
    const char *end = colon != NULL ? colon : stop;
    unsigned long port = colon != NULL ? strtoul(colon + 1, NULL, 10) : is_secure ? 443 : 80;
    struct in6_addr ignored;
    int length = close != NULL ? snprintf(host, sizeof host, "%.*s", (int)(close - at - 1), at + 1) : snprintf(host, sizeof host, "%.*s", (int)(end - at), at);
    if (length < 0 || (size_t)length >= sizeof host)
        length = (int)sizeof host - 1;
    bool is_ipv6 = inet_pton(AF_INET6, host, &ignored) == 1;
    if (!is_ipv6 && inet_pton(AF_INET, host, &ignored) != 1) {
        bool is_usual = port == (is_secure ? 443u : 80u);
        if (!is_usual)
            snprintf(host + length, sizeof host - (size_t)length, ":%lu", port);
        member(out, "domainName", slice_of(host));
        return;
    }
    dro_builder_text(out, "\"interfaceDescriptions\":[{");
    member(out, is_ipv6 ? "ipv6Addr" : "ipv4Addr", slice_of(host));
    snprintf(number, sizeof number, "%lu", port > 65535 ? 0 : port);
    dro_builder_text(out, ",\"port\":");
    dro_builder_text(out, number);
    dro_builder_text(out, "}]");
}

void service_api_write(dro_builder *out, const service_api *api, const service_place *place, const char *id)
{
    dro_builder_text(out, "{");
    member(out, "apiName", api->name);
    if (id[0] != '\0') {
        dro_builder_text(out, ",");
        member(out, "apiId", slice_of(id));
    }
    dro_builder_text(out, ",\"aefProfiles\":[{");
    member(out, "aefId", slice_of(place->aef));
    dro_builder_text(out, ",\"versions\":[{");
    member(out, "apiVersion", api->version);
    dro_builder_text(out, ",\"resources\":[");
    write_resources(out, api);
    dro_builder_text(out, "]}],\"protocol\":\"HTTP_1_1\",\"dataFormat\":\"JSON\",\"securityMethods\":[\"OAUTH\"");
    dro_builder_text(out, place->has_certificates ? ",\"PKI\"]," : "],");
    write_interface(out, place->root);
    dro_builder_text(out, "}]}");
}

#include "gate/capif_body.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <yyjson.h>

#include "base/fields.h"
#include "base/wipe.h"
#include "gate/t8_body.h"
#include "ring/message.h"
#include "twin/value.h"

enum { MEMBERS_MAX = 64, FEATURES_MAX = 64 };

typedef struct reader {
    dro_builder *out;
    body_fault *fault;
} reader;

static bool refuse(const reader *in, const char *pointer, const char *why)
{
    in->fault->status = 400;
    snprintf(in->fault->pointer, sizeof in->fault->pointer, "%s", pointer);
    snprintf(in->fault->detail, sizeof in->fault->detail, "%s", why);
    return false;
}

/* An object of few members, none of them twice. */
static bool is_object(yyjson_val *value)
{
    size_t i, j, count, ignored;
    yyjson_val *key, *of, *other, *unused;
    if (!yyjson_is_obj(value) || yyjson_obj_size(value) > MEMBERS_MAX)
        return false;
    yyjson_obj_foreach(value, i, count, key, of)
    {
        (void)of;
        yyjson_obj_foreach(value, j, ignored, other, unused)
        {
            (void)unused;
            if (j > i && yyjson_equals_strn(other, yyjson_get_str(key), yyjson_get_len(key)))
                return false;
        }
    }
    return true;
}

static bool is_text(yyjson_val *value, size_t most)
{
    return yyjson_is_str(value) && yyjson_get_len(value) > 0 && yyjson_get_len(value) <= most &&
           memchr(yyjson_get_str(value), '\0', yyjson_get_len(value)) == NULL;
}

static void put_text(const reader *in, uint8_t tag, yyjson_val *value)
{
    dro_field_put(in->out, tag, yyjson_get_str(value), yyjson_get_len(value));
}

/* A text of an object as a field; absent is fine where it need not be there. */
static bool read_text(const reader *in, yyjson_val *object, const char *name, const char *pointer, uint8_t tag, size_t most, bool is_needed)
{
    yyjson_val *value = yyjson_obj_get(object, name);
    if (value == NULL && !is_needed)
        return true;
    if (!is_text(value, most))
        return refuse(in, pointer, value == NULL ? "is missing" : "must be a text, and not too long");
    put_text(in, tag, value);
    return true;
}

static bool is_features(yyjson_val *value)
{
    size_t length = yyjson_get_len(value);
    return yyjson_is_str(value) && length <= FEATURES_MAX && strspn(yyjson_get_str(value), "0123456789abcdefABCDEF") == length;
}

static bool read_features(const reader *in, yyjson_val *object, bool is_needed)
{
    yyjson_val *value = yyjson_obj_get(object, "supportedFeatures");
    if (value == NULL && !is_needed)
        return true;
    if (!is_features(value))
        return refuse(in, "/supportedFeatures", value == NULL ? "is missing" : "must be hexadecimal digits");
    put_text(in, API_FIELD_FEATURES, value);
    return true;
}

static bool read_link(const reader *in, yyjson_val *object, bool is_needed)
{
    yyjson_val *value = yyjson_obj_get(object, "notificationDestination");
    if (value == NULL && !is_needed)
        return true;
    if (!yyjson_is_str(value) || !t8_link_is_good((slice){ yyjson_get_str(value), (uint32_t)yyjson_get_len(value) }))
        return refuse(in, "/notificationDestination", value == NULL ? "is missing" : "must be an absolute URI of http or https");
    put_text(in, API_FIELD_DESTINATION, value);
    return true;
}

/* What says how an invoker is told of things; it is told of nothing here, so it is only to be well-formed. */
static bool check_wishes(const reader *in, yyjson_val *object)
{
    yyjson_val *test = yyjson_obj_get(object, "requestTestNotification"), *socket = yyjson_obj_get(object, "websockNotifConfig");
    yyjson_val *uri = yyjson_obj_get(socket, "websocketUri"), *wanted = yyjson_obj_get(socket, "requestWebsocketUri");
    if (test != NULL && !yyjson_is_bool(test))
        return refuse(in, "/requestTestNotification", "must be true or false");
    if (socket != NULL && (!is_object(socket) || (uri != NULL && !yyjson_is_str(uri)) || (wanted != NULL && !yyjson_is_bool(wanted))))
        return refuse(in, "/websockNotifConfig", "must be a WebsockNotifConfig");
    return true;
}

static bool too_large(const reader *in)
{
    refuse(in, "", "the body is too large");
    in->fault->status = 413;
    return false;
}

typedef bool (*read_fn)(const reader *in, yyjson_val *root, const void *context);

static bool read_all(body_arena *arena, body_text json, dro_builder *out, body_fault *fault, read_fn read, const void *context)
{
    size_t room, need = yyjson_read_max_memory_usage(json.length, YYJSON_READ_NOFLAG) + 1024;
    void *memory = body_arena_bytes(arena, &room);
    yyjson_alc pool;
    reader in = { out, fault };
    *fault = (body_fault){ 0 };
    if (need > room)
        return too_large(&in);
    yyjson_alc_pool_init(&pool, memory, need);
    yyjson_doc *document = yyjson_read_opts((char *)(uintptr_t)json.bytes, json.length, YYJSON_READ_NOFLAG, &pool, NULL);
    yyjson_val *root = yyjson_doc_get_root(document);
    bool is_good = is_object(root) ? read(&in, root, context) : refuse(&in, "", "the body must be a JSON object, with no member twice");
    dro_wipe(memory, need);
    return is_good && out->err != DRO_OK ? too_large(&in) : is_good;
}

/* ---- AEF security ---- */

static bool read_check(const reader *in, yyjson_val *root, const void *context)
{
    (void)context;
    return read_text(in, root, "apiInvokerId", "/apiInvokerId", API_FIELD_APPLICATION, TOKEN_ID_MAX, true) && read_features(in, root, true);
}

bool capif_body_check(body_arena *arena, body_text json, dro_builder *out, body_fault *fault)
{
    return read_all(arena, json, out, fault, read_check, NULL);
}

/* SecurityNotification. */
static bool read_notification(const reader *in, yyjson_val *object)
{
    yyjson_val *ids = yyjson_obj_get(object, "apiIds"), *cause = yyjson_obj_get(object, "cause"), *id;
    size_t i, count;
    if (!is_object(object))
        return refuse(in, "/revokeInfo", "must be a SecurityNotification");
    if (!read_text(in, object, "apiInvokerId", "/apiInvokerId", API_FIELD_APPLICATION, TOKEN_ID_MAX, true) ||
        !read_text(in, object, "aefId", "/aefId", API_FIELD_CAPIF_AEF, TOKEN_ID_MAX, false))
        return false;
    if (!is_text(cause, CAPIF_INFORMATION_MAX))
        return refuse(in, "/cause", cause == NULL ? "is missing" : "must be a text");
    if (!yyjson_is_arr(ids) || yyjson_arr_size(ids) == 0 || yyjson_arr_size(ids) > CAPIF_APIS_MAX)
        return refuse(in, "/apiIds", "must be a list of 1 to 16 texts");
    yyjson_arr_foreach(ids, i, count, id)
    {
        if (!is_text(id, TOKEN_ID_MAX))
            return refuse(in, "/apiIds", "must be a list of texts");
        put_text(in, API_FIELD_CAPIF_ID, id);
    }
    return true;
}

static bool read_revocation(const reader *in, yyjson_val *root, const void *context)
{
    bool is_wrapped = *(const bool *)context;
    if (!is_wrapped)
        return read_notification(in, root);
    return read_notification(in, yyjson_obj_get(root, "revokeInfo")) && read_features(in, root, true);
}

bool capif_body_revocation(body_arena *arena, body_text json, bool is_wrapped, dro_builder *out, body_fault *fault)
{
    return read_all(arena, json, out, fault, read_revocation, &is_wrapped);
}

/* ---- invokers ---- */

/* What an invoker would like to use; what it may is its application's scopes, so the list is looked at only. */
static bool check_api_list(const reader *in, yyjson_val *root)
{
    yyjson_val *list = yyjson_obj_get(root, "apiList"), *apis = yyjson_obj_get(list, "serviceAPIDescriptions"), *api;
    size_t i, count;
    if (list != NULL && (!is_object(list) || (apis != NULL && (!yyjson_is_arr(apis) || yyjson_arr_size(apis) == 0))))
        return refuse(in, "/apiList", "must be an APIList");
    yyjson_arr_foreach(apis, i, count, api)
        if (!is_object(api) || !yyjson_is_str(yyjson_obj_get(api, "apiName")))
            return refuse(in, "/apiList/serviceAPIDescriptions", "must be a list of ServiceAPIDescription");
    return true;
}

static bool read_onboarding(const reader *in, yyjson_val *root, bool is_needed)
{
    yyjson_val *information = yyjson_obj_get(root, "onboardingInformation");
    if (information == NULL && !is_needed)
        return true;
    if (!is_object(information))
        return refuse(in, "/onboardingInformation", information == NULL ? "is missing" : "must be an object");
    yyjson_val *certificate = yyjson_obj_get(information, "apiInvokerCertificate"), *secret = yyjson_obj_get(information, "onboardingSecret");
    if ((certificate != NULL && !yyjson_is_str(certificate)) || (secret != NULL && !yyjson_is_str(secret)))
        return refuse(in, "/onboardingInformation", "its members must be texts");
    return read_text(in, information, "apiInvokerPublicKey", "/onboardingInformation/apiInvokerPublicKey", API_FIELD_PUBLIC_KEY, CAPIF_KEY_MAX, true);
}

static bool read_invoker(const reader *in, yyjson_val *root, const void *context)
{
    bool is_patch = *(const bool *)context;
    yyjson_val *id = yyjson_obj_get(root, "apiInvokerId");
    if (id != NULL && !yyjson_is_str(id))
        return refuse(in, "/apiInvokerId", "must be a text");
    return read_onboarding(in, root, !is_patch) && read_link(in, root, !is_patch) && check_wishes(in, root) && check_api_list(in, root) &&
           read_text(in, root, "apiInvokerInformation", "/apiInvokerInformation", API_FIELD_INFORMATION, CAPIF_INFORMATION_MAX, false) &&
           read_features(in, root, false);
}

bool capif_body_invoker(body_arena *arena, body_text json, bool is_patch, dro_builder *out, body_fault *fault)
{
    return read_all(arena, json, out, fault, read_invoker, &is_patch);
}

/* ---- security contexts ---- */

static bool is_interface(yyjson_val *value)
{
    yyjson_val *v4 = yyjson_obj_get(value, "ipv4Addr"), *v6 = yyjson_obj_get(value, "ipv6Addr"), *port = yyjson_obj_get(value, "port");
    struct in6_addr ignored;
    if (!is_object(value) || (v4 == NULL) == (v6 == NULL))
        return false;
    yyjson_val *address = v4 != NULL ? v4 : v6;
    bool is_good = is_text(address, INET6_ADDRSTRLEN) && inet_pton(v4 != NULL ? AF_INET : AF_INET6, yyjson_get_str(address), &ignored) == 1;
    return is_good && (port == NULL || (yyjson_is_uint(port) && yyjson_get_uint(port) <= UINT16_MAX));
}

static void member(dro_builder *out, const char *name, yyjson_val *text)
{
    dro_builder_text(out, name);
    json_text(out, yyjson_get_str(text), yyjson_get_len(text));
}

/* The interface as it was understood. */
static void write_interface(dro_builder *out, yyjson_val *value)
{
    char port[32];
    yyjson_val *v4 = yyjson_obj_get(value, "ipv4Addr"), *number = yyjson_obj_get(value, "port");
    dro_builder_text(out, "\"interfaceDetails\":{");
    member(out, v4 != NULL ? "\"ipv4Addr\":" : "\"ipv6Addr\":", v4 != NULL ? v4 : yyjson_obj_get(value, "ipv6Addr"));
    snprintf(port, sizeof port, ",\"port\":%u", (unsigned)yyjson_get_uint(number));
    dro_builder_text(out, number != NULL ? port : "");
    dro_builder_text(out, "}");
}

/* Of the methods that are wanted the first that is here; NULL: none is. */
static const char *choose(yyjson_val *methods, const capif_place *place)
{
    size_t i, count;
    yyjson_val *method;
    yyjson_arr_foreach(methods, i, count, method)
    {
        if (yyjson_equals_str(method, "OAUTH"))
            return "OAUTH";
        if (yyjson_equals_str(method, "PKI") && place->has_certificates)
            return "PKI";
    }
    return NULL;
}

static bool write_row(const reader *in, dro_builder *json, yyjson_val *row, const capif_place *place)
{
    yyjson_val *interface = yyjson_obj_get(row, "interfaceDetails"), *aef = yyjson_obj_get(row, "aefId"), *api = yyjson_obj_get(row, "apiId");
    yyjson_val *methods = yyjson_obj_get(row, "prefSecurityMethods"), *method;
    size_t i, count;
    if (!is_object(row) || (interface == NULL) == (aef == NULL))
        return refuse(in, "/securityInfo", "each row has interfaceDetails or aefId, and not both");
    if (interface != NULL && !is_interface(interface))
        return refuse(in, "/securityInfo", "interfaceDetails must be an InterfaceDescription");
    if (aef != NULL && !yyjson_equals_str(aef, place->aef))
        return refuse(in, "/securityInfo", "aefId is not this host's");
    if (api != NULL && !is_text(api, TOKEN_ID_MAX))
        return refuse(in, "/securityInfo", "apiId must be a text");
    if (!yyjson_is_arr(methods) || yyjson_arr_size(methods) == 0 || yyjson_arr_size(methods) > CAPIF_METHODS_MAX)
        return refuse(in, "/securityInfo", "prefSecurityMethods must be a list of methods");
    yyjson_arr_foreach(methods, i, count, method)
        if (!is_text(method, TOKEN_ID_MAX))
            return refuse(in, "/securityInfo", "prefSecurityMethods must be a list of texts");
    const char *chosen = choose(methods, place);
    if (chosen == NULL)
        return refuse(in, "/securityInfo", place->has_certificates ? "of its methods none is here: OAUTH, PKI" : "of its methods none is here: OAUTH");
    dro_builder_text(json, "{");
    if (interface != NULL)
        write_interface(json, interface);
    else
        member(json, "\"aefId\":", aef);
    if (api != NULL)
        member(json, ",\"apiId\":", api);
    dro_builder_text(json, ",\"prefSecurityMethods\":[");
    yyjson_arr_foreach(methods, i, count, method)
        member(json, i > 0 ? "," : "", method);
    dro_builder_text(json, "],\"selSecurityMethod\":\"");
    dro_builder_text(json, chosen);
    dro_builder_text(json, "\"}");
    return true;
}

static bool read_security(const reader *in, yyjson_val *root, const void *context)
{
    char text[CAPIF_SECURITY_MAX];
    dro_builder json = dro_builder_over(text, sizeof text), link_room = *in->out;
    yyjson_val *rows = yyjson_obj_get(root, "securityInfo"), *features = yyjson_obj_get(root, "supportedFeatures"), *row;
    size_t i, count;
    if (!yyjson_is_arr(rows) || yyjson_arr_size(rows) == 0 || yyjson_arr_size(rows) > CAPIF_APIS_MAX)
        return refuse(in, "/securityInfo", "must be a list of 1 to 16 rows");
    if (!read_link(in, root, true) || !check_wishes(in, root) || (features != NULL && !read_features(in, root, true)))
        return false;
    *in->out = link_room; /* all of it is in the text */
    dro_builder_text(&json, "{\"securityInfo\":[");
    yyjson_arr_foreach(rows, i, count, row)
    {
        dro_builder_text(&json, i > 0 ? "," : "");
        if (!write_row(in, &json, row, context))
            return false;
    }
    member(&json, "],\"notificationDestination\":", yyjson_obj_get(root, "notificationDestination"));
    dro_builder_text(&json, features != NULL ? ",\"supportedFeatures\":\"0\"}" : "}");
    if (json.err != DRO_OK)
        return refuse(in, "/securityInfo", "is too large");
    dro_field_put(in->out, API_FIELD_SECURITY_CONTEXT, text, dro_builder_length(&json));
    return true;
}

bool capif_body_security(body_arena *arena, body_text json, const capif_place *place, dro_builder *out, body_fault *fault)
{
    return read_all(arena, json, out, fault, read_security, place);
}

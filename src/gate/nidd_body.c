#include "gate/nidd_body.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yyjson.h>

#include "base/base64.h"
#include "base/fields.h"
#include "base/wipe.h"
#include "gate/http_limits.h"
#include "gate/t8_body.h"
#include "ring/message.h"
#include "twin/model.h"

typedef struct reader {
    dro_builder *out;
    body_fault *fault;
    unsigned uses; /* bits of enum nidd_use; 0: no members of its */
    const char *parent; /* JSON pointer of the object */
    int64_t now_ms;
} reader;

__attribute__((format(printf, 3, 4))) static bool refuse(const reader *in, const char *name, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t room = sizeof in->fault->detail;
    size_t used = name[0] != '\0' ? (size_t)snprintf(in->fault->detail, room, "%s ", name) : 0;
    vsnprintf(in->fault->detail + used, room - used, format, arguments); /* names are those of our tables, and short */
    va_end(arguments);
    in->fault->status = 400;
    snprintf(in->fault->pointer, sizeof in->fault->pointer, "%s%s%s", in->parent, name[0] != '\0' ? "/" : "", name);
    return false;
}

static slice text_of(yyjson_val *value)
{
    return (slice){ unsafe_yyjson_get_str(value), (uint32_t)unsafe_yyjson_get_len(value) };
}

static bool put(const reader *in, const nidd_member *member, const void *bytes, size_t length)
{
    dro_field_put(in->out, member->field, bytes, length);
    return true;
}

static bool read_text(const reader *in, const nidd_member *member, yyjson_val *value)
{
    char identifier[IDENTIFIER_MAX + 1];
    slice text = text_of(value);
    switch ((nidd_kind)member->kind) {
    case NIDD_IDENTIFIER:
        if (!identifier_read(text, identifier))
            return refuse(in, member->name, "must be local@domain");
        return put(in, member, identifier, strlen(identifier));
    case NIDD_DIGITS:
        if (text.length < 5 || text.length > 15 || !t8_is_of(text, "0123456789"))
            return refuse(in, member->name, "must have 5 to 15 digits");
        break;
    case NIDD_LINK:
        if (!t8_link_is_good(text))
            return refuse(in, member->name, "must be an absolute URI of http or https, at most %d bytes", NIDD_LINK_MAX);
        break;
    case NIDD_HEX:
        if (text.length > NIDD_FEATURES_MAX || !t8_is_of(text, "0123456789abcdefABCDEF"))
            return refuse(in, member->name, "must be at most %d hexadecimal digits", NIDD_FEATURES_MAX);
        break; /* which of them are here too, the core says */
    default:
        if (text.length == 0 || text.length > NIDD_TEXT_MAX)
            return refuse(in, member->name, "must have 1 to %d bytes", NIDD_TEXT_MAX);
        break;
    }
    return put(in, member, text.at, text.length);
}

static bool read_data(const reader *in, const nidd_member *member, yyjson_val *value)
{
    uint8_t bytes[NIDD_DATA_MAX + 1]; /* one more: too large is the core's to say */
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    slice text = text_of(value);
    dro_err err = dro_base64_read(&out, text.at, text.length);
    if (err == DRO_LIMIT)
        return put(in, member, bytes, sizeof bytes);
    if (err != DRO_OK)
        return refuse(in, member->name, "must be base64");
    bool is_good = put(in, member, bytes, dro_builder_length(&out));
    dro_wipe(bytes, sizeof bytes);
    return is_good;
}

static bool read_port(const reader *in, const nidd_member *member, yyjson_val *value, uint8_t out[2])
{
    yyjson_val *device = yyjson_obj_get(value, "portUE"), *own = yyjson_obj_get(value, "portSCEF");
    if (!yyjson_is_uint(device) || !yyjson_is_uint(own) || unsafe_yyjson_get_uint(device) > NIDD_PORT_MAX ||
        unsafe_yyjson_get_uint(own) > NIDD_PORT_MAX)
        return refuse(in, member->name, "must have portUE and portSCEF of 0 to %d", NIDD_PORT_MAX);
    out[0] = (uint8_t)unsafe_yyjson_get_uint(device);
    out[1] = (uint8_t)unsafe_yyjson_get_uint(own);
    return true;
}

static bool read_ports(const reader *in, const nidd_member *member, yyjson_val *value)
{
    uint8_t ports[2 * NIDD_PORTS_MAX];
    size_t i, count;
    yyjson_val *item;
    if (!yyjson_is_arr(value) || yyjson_arr_size(value) == 0 || yyjson_arr_size(value) > NIDD_PORTS_MAX)
        return refuse(in, member->name, "must be an array of 1 to %d", NIDD_PORTS_MAX);
    yyjson_arr_foreach(value, i, count, item)
        if (!read_port(in, member, item, ports + 2 * i))
            return false;
    return put(in, member, ports, 2 * yyjson_arr_size(value));
}

static bool read_option(const reader *in, const nidd_member *member, yyjson_val *value)
{
    for (uint8_t i = 0; yyjson_is_str(value) && i < PDN_OPTIONS; i++)
        if (slice_is(text_of(value), pdn_establishment_option_text((pdn_establishment_option)i)))
            return put(in, member, &i, 1);
    return refuse(in, member->name, "must be WAIT_FOR_UE, INDICATE_ERROR or SEND_TRIGGER");
}

/* WebsockNotifConfig; the URI is this host's to give. */
static bool read_websocket(const reader *in, const nidd_member *member, yyjson_val *value)
{
    yyjson_val *wanted = yyjson_obj_get(value, "requestWebsocketUri");
    uint8_t truth = yyjson_is_true(wanted);
    if (!yyjson_is_obj(value) || (wanted != NULL && !yyjson_is_bool(wanted)))
        return refuse(in, member->name, "must be an object, with requestWebsocketUri true or false");
    return put(in, member, &truth, 1);
}

static bool read_scalar(const reader *in, const nidd_member *member, yyjson_val *value)
{
    int64_t number;
    uint8_t truth;
    switch ((nidd_kind)member->kind) {
    case NIDD_TIME:
        if (!yyjson_is_str(value) || !time_read(text_of(value), &number))
            return refuse(in, member->name, "must be a date and time (RFC 3339)");
        if (number <= in->now_ms)
            return refuse(in, member->name, "must be in the future");
        return put(in, member, &number, sizeof number);
    case NIDD_SECONDS:
        if (!yyjson_is_uint(value))
            return refuse(in, member->name, "must be a whole number of seconds");
        number = unsafe_yyjson_get_uint(value) > INT64_MAX ? INT64_MAX : (int64_t)unsafe_yyjson_get_uint(value);
        return put(in, member, &number, sizeof number);
    case NIDD_INTEGER:
        if (!yyjson_is_int(value) || (yyjson_is_uint(value) && unsafe_yyjson_get_uint(value) > INT64_MAX))
            return refuse(in, member->name, "must be a whole number");
        number = yyjson_get_sint(value);
        return put(in, member, &number, sizeof number);
    default:
        if (!yyjson_is_bool(value))
            return refuse(in, member->name, "must be true or false");
        truth = unsafe_yyjson_get_bool(value);
        return put(in, member, &truth, 1);
    }
}

static bool read_member(const reader *in, const nidd_member *member, yyjson_val *value)
{
    if (yyjson_is_null(value) && member->uses & NIDD_MAY_BE_NULL && in->uses & (NIDD_IN_CONFIGURATION_PATCH | NIDD_IN_DELIVERY_PATCH)) {
        dro_field_put_text(in->out, API_FIELD_NULLED, member->name);
        return true;
    }
    switch ((nidd_kind)member->kind) {
    case NIDD_OPTION: return read_option(in, member, value);
    case NIDD_WEBSOCKET_WANTED: return read_websocket(in, member, value);
    case NIDD_PORTS: return read_ports(in, member, value);
    case NIDD_PORT: {
        uint8_t ports[2];
        if (!read_port(in, member, value, ports))
            return false;
        return put(in, member, ports, sizeof ports);
    }
    case NIDD_TIME: case NIDD_SECONDS: case NIDD_INTEGER: case NIDD_BOOLEAN: return read_scalar(in, member, value);
    default: break;
    }
    if (!yyjson_is_str(value))
        return refuse(in, member->name, "must be a string");
    return member->kind == NIDD_BYTES ? read_data(in, member, value) : read_text(in, member, value);
}

static bool read_object(const reader *in, yyjson_val *object)
{
    static const char *const identities[] = { "externalId", "msisdn", "externalGroupId" };
    int identified = 0;
    if (!yyjson_is_obj(object))
        return refuse(in, "", "must be an object");
    for (size_t i = 0; i < nidd_member_count; i++) {
        yyjson_val *value = nidd_members[i].uses & in->uses ? yyjson_obj_get(object, nidd_members[i].name) : NULL;
        if (value != NULL && !read_member(in, &nidd_members[i], value))
            return false;
    }
    if (in->uses & (NIDD_IN_CONFIGURATION_PATCH | NIDD_IN_DELIVERY_PATCH))
        return true;
    for (size_t i = 0; i < sizeof identities / sizeof identities[0]; i++)
        identified += yyjson_obj_get(object, identities[i]) != NULL;
    if (identified != 1)
        return refuse(in, "", "one of externalId, msisdn and externalGroupId must be there");
    if (in->uses == NIDD_IN_CONFIGURATION && yyjson_obj_get(object, "notificationDestination") == NULL)
        return refuse(in, "notificationDestination", "is missing");
    if (in->uses == NIDD_IN_DELIVERY && yyjson_obj_get(object, "data") == NULL)
        return refuse(in, "data", "is missing");
    return true;
}

/* A configuration may bring its first downlink along. */
static bool read_first_delivery(const reader *in, yyjson_val *object)
{
    uint8_t bytes[4096];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    yyjson_val *list = yyjson_obj_get(object, "niddDownlinkDataTransfers");
    if (list == NULL)
        return true;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) != 1)
        return refuse(in, "niddDownlinkDataTransfers", "must be an array of one");
    reader inner = { &out, in->fault, NIDD_IN_DELIVERY, "/niddDownlinkDataTransfers/0", in->now_ms };
    if (!read_object(&inner, yyjson_arr_get_first(list)))
        return false;
    assert(out.err == DRO_OK); /* each member of a delivery has its bound */
    dro_field_put(in->out, API_FIELD_FIRST_DELIVERY, bytes, dro_builder_length(&out));
    return true;
}

/* ---- ManagePort ---- */

static uint8_t format_bit(yyjson_val *value)
{
    static const char *const names[] = { "CBOR", "JSON", "XML" };
    for (uint8_t i = 0; yyjson_is_str(value) && i < sizeof names / sizeof names[0]; i++)
        if (slice_is(text_of(value), names[i]))
            return (uint8_t)(1u << i);
    return 0;
}

static bool read_formats(const reader *in, yyjson_val *object, uint8_t formats[2])
{
    yyjson_val *list = yyjson_obj_get(object, "supportedFormats"), *one = yyjson_obj_get(object, "configuredFormat"), *item;
    size_t i, count;
    if (list != NULL && (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0))
        return refuse(in, "supportedFormats", "must be an array of CBOR, JSON or XML");
    yyjson_arr_foreach(list, i, count, item) {
        if (format_bit(item) == 0)
            return refuse(in, "supportedFormats", "must be an array of CBOR, JSON or XML");
        formats[0] |= format_bit(item);
    }
    formats[1] = format_bit(one);
    if (one != NULL && formats[1] == 0)
        return refuse(in, "configuredFormat", "must be CBOR, JSON or XML");
    return true;
}

static bool read_manage_port(const reader *in, yyjson_val *object)
{
    enum { HEAD = 3, APPLICATION_MAX = 64 /* RDS_APPLICATION_MAX */ };
    uint8_t bytes[HEAD + APPLICATION_MAX] = { 0 };
    yyjson_val *name = yyjson_obj_get(object, "appId"), *skips = yyjson_obj_get(object, "skipUeInquiry");
    if (!yyjson_is_obj(object))
        return refuse(in, "", "must be an object");
    if (!yyjson_is_str(name) || yyjson_get_len(name) == 0 || yyjson_get_len(name) > APPLICATION_MAX)
        return refuse(in, "appId", "must be a string of 1 to %d bytes", APPLICATION_MAX);
    if (skips != NULL && !yyjson_is_bool(skips))
        return refuse(in, "skipUeInquiry", "must be true or false");
    bytes[0] = yyjson_is_true(skips);
    if (!read_formats(in, object, bytes + 1))
        return false;
    memcpy(bytes + HEAD, yyjson_get_str(name), yyjson_get_len(name));
    dro_field_put(in->out, API_FIELD_RDS_MANAGED, bytes, HEAD + yyjson_get_len(name));
    return true;
}

/* ---- a body ---- */

static bool read_configuration(const reader *in, yyjson_val *object)
{
    return read_object(in, object) && read_first_delivery(in, object);
}

static bool too_large(const reader *in)
{
    refuse(in, "", "the body is too large");
    in->fault->status = 413;
    return false;
}

static bool read_all(body_arena *arena, body_text json, const reader *in, bool (*read_value)(const reader *in, yyjson_val *value))
{
    size_t room;
    void *memory = body_arena_bytes(arena, &room);
    size_t need = yyjson_read_max_memory_usage(json.length, YYJSON_READ_NOFLAG) + 1024;
    yyjson_alc pool;
    yyjson_read_err err;
    *in->fault = (body_fault){ 0 };
    if (need > room)
        return too_large(in);
    yyjson_alc_pool_init(&pool, memory, need);
    yyjson_doc *document = yyjson_read_opts((char *)(uintptr_t)json.bytes, json.length, YYJSON_READ_NOFLAG, &pool, &err);
    bool is_good = document != NULL ? read_value(in, yyjson_doc_get_root(document))
                                    : refuse(in, "", "not JSON at byte %zu: %s", err.pos, err.msg);
    dro_wipe(memory, need);
    return is_good && in->out->err != DRO_OK ? too_large(in) : is_good;
}

bool nidd_body_read(body_arena *arena, body_text json, enum nidd_use uses, int64_t now_ms, dro_builder *out, body_fault *fault)
{
    reader in = { out, fault, uses, "", now_ms };
    return read_all(arena, json, &in, uses == NIDD_IN_CONFIGURATION ? read_configuration : read_object);
}

bool nidd_body_read_port(body_arena *arena, body_text json, dro_builder *out, body_fault *fault)
{
    return read_all(arena, json, &(reader){ out, fault, 0, "", 0 }, read_manage_port);
}

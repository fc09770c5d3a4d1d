#include "gate/t8_body.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yyjson.h>

#include "base/base64.h"
#include "base/fields.h"
#include "base/wipe.h"
#include "twin/model.h"

typedef struct reader {
    dro_builder *out;
    body_fault *fault;
    int64_t now_ms;
    bool is_patch;
    uint32_t depth;
    size_t pointer_length;
    char pointer[BODY_POINTER_MAX]; /* of the value being read (RFC 6901); cut where it is too long */
} reader;

__attribute__((format(printf, 2, 3))) static bool refuse(const reader *in, const char *format, ...)
{
    const char *name = strrchr(in->pointer, '/');
    va_list arguments;
    _Static_assert(BODY_POINTER_MAX < BODY_DETAIL_MAX, "a name fits into the detail");
    va_start(arguments, format);
    size_t room = sizeof in->fault->detail;
    size_t used = name != NULL ? (size_t)snprintf(in->fault->detail, room, "%s ", name + 1) : 0;
    vsnprintf(in->fault->detail + used, room - used, format, arguments);
    va_end(arguments);
    in->fault->status = 400;
    memcpy(in->fault->pointer, in->pointer, sizeof in->pointer);
    return false;
}

/* One step down; the length to go back to. */
static size_t step(reader *in, const char *name, size_t length)
{
    size_t before = in->pointer_length, at = before;
    if (at + 1 < sizeof in->pointer)
        in->pointer[at++] = '/';
    for (size_t i = 0; i < length && at + 2 < sizeof in->pointer; i++) {
        bool is_escaped = name[i] == '~' || name[i] == '/';
        if (is_escaped)
            in->pointer[at++] = '~';
        in->pointer[at++] = !is_escaped ? name[i] : name[i] == '~' ? '0' : '1';
    }
    in->pointer[at] = '\0';
    in->pointer_length = at;
    return before;
}

static void step_back(reader *in, size_t before)
{
    in->pointer_length = before;
    in->pointer[before] = '\0';
}

static size_t step_item(reader *in, size_t place)
{
    char text[24];
    int length = snprintf(text, sizeof text, "%zu", place);
    return step(in, text, (size_t)length);
}

static slice text_of(yyjson_val *value)
{
    return (slice){ unsafe_yyjson_get_str(value), (uint32_t)unsafe_yyjson_get_len(value) };
}

static bool put(const reader *in, const t8_member *member, const void *bytes, size_t length)
{
    dro_field_put(in->out, member->field, bytes, length);
    return true;
}

/* ---- text ---- */

static bool is_visible(slice text)
{
    for (uint32_t i = 0; i < text.length; i++)
        if ((unsigned char)text.at[i] <= 0x20 || (unsigned char)text.at[i] >= 0x7f)
            return false;
    return true;
}

bool t8_is_of(slice text, const char *characters)
{
    for (uint32_t i = 0; i < text.length; i++)
        if (text.at[i] == '\0' || strchr(characters, text.at[i]) == NULL)
            return false;
    return true;
}

/* Of the authority that ends at `end`: none, or one that a connection can be made to. */
static bool is_port(slice text, uint32_t begin, uint32_t end)
{
    uint32_t at = end, port = 0;
    while (at > begin && text.at[at - 1] >= '0' && text.at[at - 1] <= '9')
        at--;
    if (at == begin || text.at[at - 1] != ':')
        return true;
    for (; at < end && port <= UINT16_MAX; at++)
        port = port * 10 + (uint32_t)(text.at[at] - '0');
    return port > 0 && port <= UINT16_MAX;
}

bool t8_link_is_good(slice text)
{
    uint32_t scheme = text.length > 8 && memcmp(text.at, "https://", 8) == 0 ? 8
                    : text.length > 7 && memcmp(text.at, "http://", 7) == 0  ? 7 : 0;
    if (scheme == 0 || text.length > T8_LINK_MAX || !is_visible(text))
        return false;
    uint32_t end = scheme;
    for (; end < text.length && text.at[end] != '/' && text.at[end] != '?' && text.at[end] != '#'; end++)
        if (text.at[end] == '@')
            return false;
    return is_port(text, scheme, end) && text.at[scheme] != '/' && text.at[scheme] != '?' && text.at[scheme] != ':';
}

static bool two_digits(slice text, uint32_t at, int most)
{
    if (at + 2 > text.length || text.at[at] < '0' || text.at[at] > '9' || text.at[at + 1] < '0' || text.at[at + 1] > '9')
        return false;
    return (text.at[at] - '0') * 10 + text.at[at + 1] - '0' <= most;
}

/* partial-time or full-time of RFC 3339: 20:15:00, 20:15:00.5, 20:15:00-08:00, 20:15:00Z. */
static bool is_time_of_day(slice text)
{
    uint32_t at = 8;
    if (!two_digits(text, 0, 23) || text.at[2] != ':' || !two_digits(text, 3, 59) || text.at[5] != ':' || !two_digits(text, 6, 60))
        return false;
    if (at < text.length && text.at[at] == '.') {
        uint32_t first = ++at;
        while (at < text.length && text.at[at] >= '0' && text.at[at] <= '9')
            at++;
        if (at == first)
            return false;
    }
    if (at == text.length || (at + 1 == text.length && (text.at[at] == 'Z' || text.at[at] == 'z')))
        return true;
    return at + 6 == text.length && (text.at[at] == '+' || text.at[at] == '-') && two_digits(text, at + 1, 23) &&
           text.at[at + 3] == ':' && two_digits(text, at + 4, 59);
}

static bool read_text(const reader *in, const t8_member *member, slice text)
{
    char identifier[IDENTIFIER_MAX + 1];
    int64_t most = member->most > 0 ? member->most : T8_TEXT_MAX, least = member->most > 0 ? member->least : 1;
    switch ((t8_kind)member->kind) {
    case T8_IDENTIFIER:
        if (!identifier_read(text, identifier))
            return refuse(in, "must be local@domain");
        return put(in, member, identifier, strlen(identifier));
    case T8_DIGITS:
        if (text.length < 5 || text.length > 15 || !t8_is_of(text, "0123456789"))
            return refuse(in, "must have 5 to 15 digits");
        break;
    case T8_LINK:
        if (!t8_link_is_good(text))
            return refuse(in, "must be an absolute URI of http or https, at most %d bytes", T8_LINK_MAX);
        break;
    case T8_FEATURES:
        if (text.length > T8_FEATURES_MAX || !t8_is_of(text, "0123456789abcdefABCDEF"))
            return refuse(in, "must be at most %d hexadecimal digits", T8_FEATURES_MAX);
        break; /* which of them are here too, the core says */
    case T8_TIME_OF_DAY:
        if (text.length > 32 || !is_time_of_day(text))
            return refuse(in, "must be a time of day (RFC 3339)");
        break;
    default:
        if (text.length < least || text.length > most)
            return refuse(in, "must have %lld to %lld bytes", (long long)least, (long long)most);
        break;
    }
    return put(in, member, text.at, text.length);
}

static bool read_time(const reader *in, const t8_member *member, slice text)
{
    int64_t ms;
    if (!time_read(text, &ms))
        return refuse(in, "must be a date and time (RFC 3339)");
    if (member->uses & T8_FUTURE && ms <= in->now_ms)
        return refuse(in, "must be in the future");
    return put(in, member, &ms, sizeof ms);
}

static bool read_bytes(const reader *in, const t8_member *member, slice text)
{
    uint8_t bytes[T8_FIELDS_MAX];
    size_t room = member->most > 0 ? (size_t)member->most : sizeof bytes;
    assert(room <= sizeof bytes); /* our own tables say it */
    dro_builder out = dro_builder_over(bytes, room);
    dro_err err = dro_base64_read(&out, text.at, text.length);
    bool is_good = err == DRO_OK       ? put(in, member, bytes, dro_builder_length(&out))
                   : err == DRO_LIMIT ? refuse(in, "must stand for at most %zu bytes", room)
                                      : refuse(in, "must be base64");
    dro_wipe(bytes, sizeof bytes);
    return is_good;
}

static bool read_option(const reader *in, const t8_member *member, slice text)
{
    char list[BODY_DETAIL_MAX] = "";
    for (uint8_t i = 0; member->options[i] != NULL; i++)
        if (slice_is(text, member->options[i]))
            return put(in, member, &i, 1);
    for (size_t i = 0, used = 0; member->options[i] != NULL && used + 4 < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", member->options[i]);
    return refuse(in, "must be one of %s", list);
}

/* ---- numbers ---- */

static bool read_integer(const reader *in, const t8_member *member, yyjson_val *value)
{
    bool is_usual = member->least == 0 && member->most == 0;
    int64_t least = is_usual ? 0 : member->least, most = is_usual ? T8_INTEGER_MAX : member->most, number;
    if (!yyjson_is_int(value))
        return refuse(in, "must be a whole number");
    number = yyjson_get_sint(value);
    bool is_huge = yyjson_is_uint(value) && yyjson_get_uint(value) > INT64_MAX;
    if (is_huge || number < least || number > most)
        return refuse(in, "must be %lld to %lld", (long long)least, (long long)most);
    return put(in, member, &number, sizeof number);
}

static bool read_number(const reader *in, const t8_member *member, yyjson_val *value)
{
    double number = yyjson_get_num(value);
    if (!yyjson_is_num(value) || number < 0) /* JSON has no infinity, and yyjson takes none for one */
        return refuse(in, "must be a number, 0 or more");
    return put(in, member, &number, sizeof number);
}

/* ---- objects ---- */

static bool read_object(reader *in, const t8_object *object, yyjson_val *value);

static bool read_inner(reader *in, const t8_member *member, yyjson_val *value, const slice *key)
{
    if (in->depth >= T8_DEPTH_MAX)
        return refuse(in, "is nested too deep");
    size_t begin = t8_object_begin(in->out, member->field);
    if (key != NULL)
        dro_field_put(in->out, T8_FIELD_KEY, key->at, key->length);
    bool is_patch = in->is_patch;
    in->is_patch = false; /* what is inside is given whole */
    in->depth++;
    bool is_good = read_object(in, member->object, value);
    in->depth--;
    in->is_patch = is_patch;
    t8_object_end(in->out, begin);
    return is_good;
}

static bool is_of_type(yyjson_val *value, enum t8_json_type type)
{
    switch (type) {
    case T8_JSON_OBJECT: return yyjson_is_obj(value);
    case T8_JSON_ARRAY: return yyjson_is_arr(value);
    case T8_JSON_TEXT: return yyjson_is_str(value);
    case T8_JSON_NUMBER: return yyjson_is_num(value);
    case T8_JSON_BOOLEAN: return yyjson_is_bool(value);
    default: return true;
    }
}

static bool read_json(const reader *in, const t8_member *member, yyjson_val *value)
{
    static const char *const types[] = { "a value", "an object", "an array", "a string", "a number", "true or false" };
    char bytes[16 * T8_JSON_MAX]; /* yyjson reckons with 6 bytes for each of a string's, and grows by copies */
    size_t length = 0;
    yyjson_alc pool;
    if (!is_of_type(value, (enum t8_json_type)member->least))
        return refuse(in, "must be %s", types[member->least]);
    if (member->uses & T8_DROPPED)
        return true;
    yyjson_alc_pool_init(&pool, bytes, sizeof bytes);
    char *text = yyjson_val_write_opts(value, YYJSON_WRITE_NOFLAG, &pool, &length, NULL);
    if (text == NULL || length > T8_JSON_MAX)
        return refuse(in, "is larger than %d bytes", T8_JSON_MAX);
    return put(in, member, text, length);
}

/* WebsockNotifConfig; the URI is this host's to give. */
static bool read_websocket(const reader *in, const t8_member *member, yyjson_val *value)
{
    yyjson_val *wanted = yyjson_obj_get(value, "requestWebsocketUri"), *given = yyjson_obj_get(value, "websocketUri");
    uint8_t truth = yyjson_is_true(wanted);
    if (!yyjson_is_obj(value) || (wanted != NULL && !yyjson_is_bool(wanted)) || (given != NULL && !yyjson_is_str(given)))
        return refuse(in, "must be an object, with requestWebsocketUri true or false");
    return put(in, member, &truth, 1);
}

static bool read_boolean(const reader *in, const t8_member *member, yyjson_val *value)
{
    uint8_t truth = yyjson_is_true(value);
    return yyjson_is_bool(value) ? put(in, member, &truth, 1) : refuse(in, "must be true or false");
}

static bool read_value(reader *in, const t8_member *member, yyjson_val *value)
{
    switch ((t8_kind)member->kind) {
    case T8_INTEGER: return read_integer(in, member, value);
    case T8_NUMBER: return read_number(in, member, value);
    case T8_BOOLEAN: return read_boolean(in, member, value);
    case T8_OBJECT: return read_inner(in, member, value, NULL);
    case T8_WEBSOCKET: return read_websocket(in, member, value);
    case T8_JSON: return read_json(in, member, value);
    default: break;
    }
    if (!yyjson_is_str(value))
        return refuse(in, "must be a string");
    switch ((t8_kind)member->kind) {
    case T8_TIME: return read_time(in, member, text_of(value));
    case T8_OPTION: return read_option(in, member, text_of(value));
    case T8_BYTES: return read_bytes(in, member, text_of(value));
    default: return read_text(in, member, text_of(value));
    }
}

static bool read_list(reader *in, const t8_member *member, yyjson_val *value)
{
    size_t i, count;
    yyjson_val *item;
    bool may_be_empty = member->uses & T8_MAY_BE_EMPTY;
    if (!yyjson_is_arr(value) || (yyjson_arr_size(value) == 0 && !may_be_empty) || yyjson_arr_size(value) > T8_LIST_MAX)
        return refuse(in, "must be an array of %d to %d", !may_be_empty, T8_LIST_MAX);
    if (yyjson_arr_size(value) == 0)
        return put(in, member, NULL, 0);
    yyjson_arr_foreach(value, i, count, item) {
        size_t before = step_item(in, i);
        if (!read_value(in, member, item))
            return false;
        step_back(in, before);
    }
    return true;
}

static bool read_map(reader *in, const t8_member *member, yyjson_val *value)
{
    size_t i, count;
    yyjson_val *key, *item;
    if (!yyjson_is_obj(value) || yyjson_obj_size(value) == 0 || yyjson_obj_size(value) > T8_LIST_MAX)
        return refuse(in, "must be an object with 1 to %d members", T8_LIST_MAX);
    yyjson_obj_foreach(value, i, count, key, item) {
        slice name = text_of(key);
        size_t before = step(in, name.at, name.length);
        if (name.length == 0 || name.length > T8_TEXT_MAX)
            return refuse(in, "must have a name of 1 to %d bytes", T8_TEXT_MAX);
        if (!read_inner(in, member, item, &name))
            return false;
        step_back(in, before);
    }
    return true;
}

static bool read_member(reader *in, const t8_member *member, yyjson_val *value)
{
    if (yyjson_is_null(value) && in->is_patch && member->uses & T8_NULLABLE) {
        dro_field_put(in->out, T8_FIELD_NULLED, &member->field, 1);
        return true;
    }
    if (member->kind == T8_MAP)
        return read_map(in, member, value);
    return member->uses & T8_LIST ? read_list(in, member, value) : read_value(in, member, value);
}

static bool read_object(reader *in, const t8_object *object, yyjson_val *value)
{
    if (!yyjson_is_obj(value))
        return refuse(in, "must be an object");
    for (uint32_t i = 0; i < object->count; i++) {
        const t8_member *member = &object->members[i];
        yyjson_val *given = member->uses & T8_READ_ONLY ? NULL : yyjson_obj_get(value, member->name);
        if (given == NULL && (in->is_patch || !(member->uses & T8_REQUIRED)))
            continue;
        size_t before = step(in, member->name, strlen(member->name));
        if (given == NULL)
            return refuse(in, "is missing");
        if (!read_member(in, member, given))
            return false;
        step_back(in, before);
    }
    return true;
}

/* ---- JSON patch (RFC 6902) ---- */

static const t8_member *member_named(const t8_object *object, slice name)
{
    for (uint32_t i = 0; i < object->count; i++)
        if (slice_is(name, object->members[i].name))
            return &object->members[i];
    return NULL;
}

/* "/member", "/member/3", "/member/-". */
static const t8_member *path_read(const t8_object *object, slice path, t8_change *change)
{
    if (path.length < 2 || path.at[0] != '/')
        return NULL;
    const char *mark = memchr(path.at + 1, '/', path.length - 1);
    slice name = { path.at + 1, mark == NULL ? path.length - 1 : (uint32_t)(mark - path.at - 1) };
    slice place = { mark == NULL ? path.at : mark + 1, mark == NULL ? 0 : path.length - name.length - 2 };
    const t8_member *member = member_named(object, name);
    uint64_t number = T8_CHANGE_END;
    bool is_place = mark == NULL || slice_is(place, "-") || (number_read(place, &number) && number < T8_LIST_MAX);
    if (member == NULL || !(member->uses & T8_PATCHED) || !is_place)
        return NULL;
    change->tag = member->field;
    change->place = mark == NULL ? T8_CHANGE_WHOLE : (uint16_t)number;
    return member;
}

static bool read_change(reader *in, const t8_object *object, yyjson_val *item)
{
    static const char *const kinds[] = { "add", "remove", "replace" };
    yyjson_val *operation = yyjson_obj_get(item, "op"), *path = yyjson_obj_get(item, "path"), *value = yyjson_obj_get(item, "value");
    t8_change change = { .kind = T8_CHANGE_REPLACE + 1 };
    if (!yyjson_is_obj(item) || !yyjson_is_str(operation) || !yyjson_is_str(path))
        return refuse(in, "must be an object with op and path");
    for (int i = 0; i <= T8_CHANGE_REPLACE; i++)
        if (slice_is(text_of(operation), kinds[i]))
            change.kind = (uint8_t)i;
    if (change.kind > T8_CHANGE_REPLACE)
        return refuse(in, "must have an op of add, remove or replace");
    const t8_member *member = path_read(object, text_of(path), &change);
    if (member == NULL)
        return refuse(in, "must have the path of a member that can be changed, or of an item of it");
    if (change.kind != T8_CHANGE_REMOVE && value == NULL)
        return refuse(in, "must have a value");
    size_t begin = t8_object_begin(in->out, T8_FIELD_CHANGE);
    dro_builder_bytes(in->out, &change, sizeof change);
    bool is_good = change.kind == T8_CHANGE_REMOVE      ? true
                   : change.place == T8_CHANGE_WHOLE ? read_member(in, member, value)
                                                     : read_value(in, member, value);
    t8_object_end(in->out, begin);
    return is_good;
}

static bool read_changes(reader *in, const t8_object *object, yyjson_val *value)
{
    size_t i, count;
    yyjson_val *item;
    if (!yyjson_is_arr(value) || yyjson_arr_size(value) == 0 || yyjson_arr_size(value) > T8_CHANGES_MAX)
        return refuse(in, "the patch must be an array of 1 to %d operations (RFC 6902)", T8_CHANGES_MAX);
    yyjson_arr_foreach(value, i, count, item) {
        size_t before = step_item(in, i);
        if (!read_change(in, object, item))
            return false;
        step_back(in, before);
    }
    return true;
}

/* ---- a body ---- */

/* Whom it is about: to the front, where the way to its core is looked for. */
static bool put_identity(const reader *in, const t8_api *api, yyjson_val *root, dro_builder *out, const uint8_t *fields, size_t length)
{
    static const struct { const char *name; uint8_t tag, bit; } identities[] = {
        { "externalId", T8_FIELD_ID, T8_BY_ID }, { "msisdn", T8_FIELD_MSISDN, T8_BY_MSISDN }, { "externalGroupId", T8_FIELD_GROUP, T8_BY_GROUP },
    };
    uint32_t count = 0;
    dro_field room;
    for (size_t i = 0; i < sizeof identities / sizeof identities[0]; i++)
        count += api->identities & identities[i].bit && yyjson_obj_get(root, identities[i].name) != NULL;
    if (count > 1 || (count == 0 && !(api->identities & T8_BY_NOBODY)))
        return refuse(in, api->identities & T8_BY_GROUP ? "one of externalId, msisdn and externalGroupId must be there"
                                                        : "one of externalId and msisdn must be there");
    for (size_t i = 0; i < sizeof identities / sizeof identities[0]; i++) {
        const dro_field *name = api->identities & identities[i].bit ? t8_find(fields, length, identities[i].tag, &room) : NULL;
        if (name != NULL)
            dro_field_put(out, identities[i].tag, name->bytes, name->length);
    }
    return true;
}

static bool read_root(reader *in, const t8_api *api, yyjson_val *root, dro_builder *out)
{
    if (in->is_patch && api->patch_kind == T8_PATCH_JSON)
        return read_changes(in, api->resource, root);
    if (!read_object(in, in->is_patch ? api->patch : api->resource, root))
        return false;
    return in->is_patch || put_identity(in, api, root, out, in->out->start, dro_builder_length(in->out));
}

static bool too_large(const reader *in)
{
    refuse(in, "the body is too large");
    in->fault->status = 413;
    return false;
}

bool t8_body_read(body_arena *arena, body_text json, const t8_body *what, dro_builder *out, body_fault *fault)
{
    uint8_t fields[T8_FIELDS_MAX];
    dro_builder inner = dro_builder_over(fields, sizeof fields);
    reader in = { .out = &inner, .fault = fault, .now_ms = what->now_ms, .is_patch = what->is_patch };
    size_t room, need = yyjson_read_max_memory_usage(json.length, YYJSON_READ_NOFLAG) + 1024;
    void *memory = body_arena_bytes(arena, &room);
    yyjson_alc pool;
    yyjson_read_err err;
    *fault = (body_fault){ 0 };
    if (need > room)
        return too_large(&in);
    yyjson_alc_pool_init(&pool, memory, need);
    yyjson_doc *document = yyjson_read_opts((char *)(uintptr_t)json.bytes, json.length, YYJSON_READ_NOFLAG, &pool, &err);
    bool is_good = document != NULL ? read_root(&in, what->api, yyjson_doc_get_root(document), out)
                                    : refuse(&in, "not JSON at byte %zu: %s", err.pos, err.msg);
    dro_wipe(memory, need);
    if (is_good && inner.err == DRO_OK)
        dro_field_put(out, API_FIELD_RESOURCE, fields, dro_builder_length(&inner));
    bool is_full = inner.err != DRO_OK || out->err != DRO_OK;
    dro_wipe(fields, sizeof fields);
    return is_good && is_full ? too_large(&in) : is_good;
}

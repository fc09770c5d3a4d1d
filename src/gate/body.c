#include "gate/body.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#include "base/fields.h"
#include "base/wipe.h"
#include "gate/scope.h"
#include "ring/message.h"
#include "twin/access.h"
#include "twin/apn.h"
#include "twin/budget.h"
#include "twin/value.h"

enum {
    ARENA_BYTES = 13 * HTTP_BODY_QUERY_MAX + 4096, /* what yyjson may need for the largest body */
    MEMBERS_MAX = 8,                               /* of an object with a fixed set of members */
};

struct body_arena {
    _Alignas(16) uint8_t bytes[ARENA_BYTES];
};

typedef struct reader {
    dro_builder *out;
    body_fault *fault;
    bool is_patch;     /* null takes a member away, a list replaces what was there (RFC 7396) */
} reader;

typedef struct member {
    const char *name;
    bool (*read)(reader *in, const char *pointer, yyjson_val *value);
} member;

body_arena *body_arena_new(void)
{
    return calloc(1, sizeof(body_arena));
}

void body_arena_free(body_arena *arena)
{
    free(arena);
}

void *body_arena_bytes(body_arena *arena, size_t *length)
{
    *length = sizeof arena->bytes;
    return arena->bytes;
}

__attribute__((format(printf, 4, 5))) static bool refuse(reader *in, int status, const char *pointer,
                                                         const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(in->fault->detail, sizeof in->fault->detail, format, arguments);
    va_end(arguments);
    in->fault->status = status;
    snprintf(in->fault->pointer, sizeof in->fault->pointer, "%s", pointer);
    return false;
}

/* Behind `parent`: "/name" with the escapes of RFC 6901. A name that is too long
 * to be one of ours is cut between characters. */
static void point_to(char out[BODY_POINTER_MAX], const char *parent, const char *name, size_t length)
{
    dro_builder text = dro_builder_over(out, BODY_POINTER_MAX - 1);
    if (length > BODY_NAME_MAX)
        for (length = BODY_NAME_MAX; length > 0 && ((unsigned char)name[length] & 0xc0) == 0x80;)
            length--;
    dro_builder_text(&text, parent);
    dro_builder_text(&text, "/");
    for (size_t i = 0; i < length; i++) {
        if (name[i] == '~' || name[i] == '/')
            dro_builder_text(&text, name[i] == '~' ? "~0" : "~1");
        else
            dro_builder_le(&text, (unsigned char)name[i] < 0x20 ? '?' : (unsigned char)name[i], 1);
    }
    *text.at = '\0';
}

static slice text_of(yyjson_val *value)
{
    return (slice){ unsafe_yyjson_get_str(value), (uint32_t)unsafe_yyjson_get_len(value) };
}

static bool read_text(reader *in, const char *pointer, yyjson_val *value, size_t minimum, size_t maximum)
{
    if (!yyjson_is_str(value))
        return refuse(in, 422, pointer, "%s must be a string", pointer + 1);
    size_t length = unsafe_yyjson_get_len(value);
    if (length < minimum || length > maximum)
        return refuse(in, 422, pointer, "%s must have %zu to %zu bytes", pointer + 1, minimum, maximum);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)unsafe_yyjson_get_str(value)[i] < 0x20)
            return refuse(in, 422, pointer, "%s must not hold control characters", pointer + 1);
    return true;
}

static bool put_null(reader *in, const char *name)
{
    dro_field_put_text(in->out, API_FIELD_NULLED, name);
    return true;
}

static bool read_digits(reader *in, const char *pointer, yyjson_val *value, uint8_t tag, size_t minimum)
{
    if (yyjson_is_null(value))
        return put_null(in, pointer + 1);
    if (!yyjson_is_str(value))
        return refuse(in, 422, pointer, "%s must be a string of digits", pointer + 1);
    slice text = text_of(value);
    bool is_good = text.length >= minimum && text.length <= IMSI_DIGITS_MAX;
    for (uint32_t i = 0; is_good && i < text.length; i++)
        is_good = text.at[i] >= '0' && text.at[i] <= '9';
    if (!is_good)
        return refuse(in, 422, pointer, "%s must have %zu to %d digits", pointer + 1, minimum, IMSI_DIGITS_MAX);
    dro_field_put(in->out, tag, text.at, text.length);
    return true;
}

static bool read_imsi(reader *in, const char *pointer, yyjson_val *value)
{
    return read_digits(in, pointer, value, API_FIELD_IMSI, 6);
}

static bool read_msisdn(reader *in, const char *pointer, yyjson_val *value)
{
    return read_digits(in, pointer, value, API_FIELD_MSISDN, 5);
}

static bool read_image(reader *in, const char *pointer, yyjson_val *value)
{
    uint8_t digest[32];
    if (yyjson_is_null(value))
        return put_null(in, pointer + 1);
    if (!yyjson_is_str(value))
        return refuse(in, 422, pointer, "image must be a string");
    if (!digest_read(text_of(value), digest))
        return refuse(in, 422, pointer, "image must be \"sha256:\" and 64 hexadecimal digits");
    dro_field_put(in->out, API_FIELD_IMAGE, digest, sizeof digest);
    return true;
}

static bool read_model(reader *in, const char *pointer, yyjson_val *value)
{
    if (yyjson_is_null(value))
        return put_null(in, pointer + 1);
    if (!read_text(in, pointer, value, 1, BODY_NAME_MAX))
        return false;
    dro_field_put(in->out, API_FIELD_MODEL, text_of(value).at, text_of(value).length);
    return true;
}

/* A list replaces what was there (RFC 7396), so an empty one removes all. */
static bool read_aliases(reader *in, const char *pointer, yyjson_val *value)
{
    if (yyjson_is_null(value))
        return put_null(in, pointer + 1);
    if (!yyjson_is_arr(value))
        return refuse(in, 422, pointer, "aliases must be an array of strings");
    if (yyjson_arr_size(value) == 0)
        return put_null(in, pointer + 1);
    if (yyjson_arr_size(value) > BODY_ALIASES_MAX)
        return refuse(in, 422, pointer, "aliases must have at most %d items", BODY_ALIASES_MAX);
    size_t i, count;
    yyjson_val *item;
    yyjson_arr_foreach(value, i, count, item)
    {
        char identifier[IDENTIFIER_MAX + 1], here[BODY_POINTER_MAX], number[8];
        snprintf(number, sizeof number, "%zu", i);
        point_to(here, pointer, number, strlen(number));
        if (!yyjson_is_str(item))
            return refuse(in, 422, here, "%s must be a string", here + 1);
        if (!identifier_read(text_of(item), identifier))
            return refuse(in, 422, here, "%s must be an External Identifier, local@domain", here + 1);
        dro_field_put_text(in->out, API_FIELD_ALIAS, identifier);
    }
    return true;
}

/* An object whose members the twin's maker or owner named. */
static bool read_named(reader *in, const char *pointer, yyjson_val *object, size_t maximum,
                       bool (*read)(reader *in, const char *pointer, slice name, yyjson_val *value))
{
    if (!yyjson_is_obj(object))
        return refuse(in, 422, pointer, "%s must be an object", pointer[0] == '/' ? pointer + 1 : "the body");
    if (yyjson_obj_size(object) > maximum)
        return refuse(in, 422, pointer, "at most %zu members are taken here", maximum);
    size_t i, count, j, ignored;
    yyjson_val *key, *value, *earlier, *unused;
    yyjson_obj_foreach(object, i, count, key, value)
    {
        char here[BODY_POINTER_MAX];
        slice name = text_of(key);
        point_to(here, pointer, name.at, name.length);
        if (name.length == 0 || name.length > BODY_NAME_MAX)
            return refuse(in, 422, here, "a name must have 1 to %d bytes", BODY_NAME_MAX);
        for (uint32_t c = 0; c < name.length; c++)
            if ((unsigned char)name.at[c] < 0x20 || name.at[c] == 0x7f)
                return refuse(in, 422, here, "a name must not hold control characters");
        yyjson_obj_foreach(object, j, ignored, earlier, unused)
        {
            if (j == i)
                break;
            if (unsafe_yyjson_equals_strn(earlier, name.at, name.length))
                return refuse(in, 422, here, "%s is there twice", here + 1);
        }
        if (!read(in, here, name, value))
            return false;
    }
    return true;
}

/* `tag`: u8 length of the name, the name, then what `rest` holds. */
static void put_named(reader *in, uint8_t tag, slice name, const void *rest, size_t length)
{
    uint8_t bytes[1 + BODY_NAME_MAX + 3 + VALUE_STRING_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_le(&out, name.length, 1);
    dro_builder_bytes(&out, name.at, name.length);
    dro_builder_bytes(&out, rest, length);
    dro_field_put(in->out, tag, bytes, dro_builder_length(&out));
    if (out.err != DRO_OK)
        in->out->err = out.err;
    dro_wipe(bytes, sizeof bytes);
}

static bool read_tag(reader *in, const char *pointer, slice name, yyjson_val *value)
{
    if (yyjson_is_null(value)) {
        put_named(in, API_FIELD_TAG, name, "", 0);
        return true;
    }
    if (!read_text(in, pointer, value, 1, BODY_TAG_TEXT_MAX))
        return false;
    put_named(in, API_FIELD_TAG, name, text_of(value).at, text_of(value).length);
    return true;
}

/* Any number, text, truth value or null, encoded (twin/value.h). */
static bool read_value(reader *in, const char *pointer, yyjson_val *json, dro_builder *out)
{
    value made = { .kind = VALUE_NONE };
    if (yyjson_is_bool(json)) {
        made.kind = VALUE_BOOLEAN;
        made.boolean = unsafe_yyjson_get_bool(json);
    } else if (yyjson_is_sint(json) || (yyjson_is_uint(json) && unsafe_yyjson_get_uint(json) <= INT64_MAX)) {
        made.kind = VALUE_INTEGER;
        made.integer = unsafe_yyjson_get_sint(json);
    } else if (yyjson_is_num(json)) {
        made.kind = VALUE_NUMBER;
        made.number = unsafe_yyjson_get_num(json);
    } else if (yyjson_is_str(json)) {
        if (unsafe_yyjson_get_len(json) > VALUE_STRING_MAX)
            return refuse(in, 422, pointer, "%s must have at most %d bytes", pointer + 1, VALUE_STRING_MAX);
        made.kind = VALUE_STRING;
        made.length = (uint32_t)unsafe_yyjson_get_len(json);
        made.string = unsafe_yyjson_get_str(json);
    } else if (!yyjson_is_null(json)) {
        return refuse(in, 422, pointer, "%s must be a number, a string or a boolean", pointer + 1);
    }
    value_write(out, &made);
    return true;
}

static bool put_value(reader *in, const char *pointer, uint8_t tag, slice name, yyjson_val *json)
{
    uint8_t bytes[3 + VALUE_STRING_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    bool is_good = read_value(in, pointer, json, &out);
    if (is_good)
        put_named(in, tag, name, bytes, dro_builder_length(&out));
    dro_wipe(bytes, sizeof bytes);
    return is_good;
}

static bool read_secret(reader *in, const char *pointer, slice name, yyjson_val *json)
{
    return put_value(in, pointer, API_FIELD_SECRET, name, json);
}

static bool read_input(reader *in, const char *pointer, slice name, yyjson_val *json)
{
    if (yyjson_is_null(json))
        return refuse(in, 422, pointer, "%s must be a number, a string or a boolean", pointer + 1);
    return put_value(in, pointer, API_FIELD_INPUT, name, json);
}

static bool read_tags(reader *in, const char *pointer, yyjson_val *value)
{
    return yyjson_is_null(value) ? put_null(in, pointer + 1) : read_named(in, pointer, value, BODY_TAGS_MAX, read_tag);
}

static bool read_secrets(reader *in, const char *pointer, yyjson_val *value)
{
    return yyjson_is_null(value) ? put_null(in, pointer + 1)
                                 : read_named(in, pointer, value, BODY_SECRETS_MAX, read_secret);
}

static bool read_property_value(reader *in, const char *pointer, yyjson_val *json)
{
    uint8_t bytes[3 + VALUE_STRING_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    if (yyjson_is_null(json))
        return refuse(in, 422, pointer, "value must be a number, a string or a boolean");
    if (!read_value(in, pointer, json, &out))
        return false;
    dro_field_put(in->out, API_FIELD_VALUE, bytes, dro_builder_length(&out));
    return true;
}

static bool read_line_id(reader *in, const char *pointer, yyjson_val *value)
{
    char identifier[IDENTIFIER_MAX + 1];
    if (!yyjson_is_str(value))
        return refuse(in, 422, pointer, "id must be a string");
    if (!identifier_read(text_of(value), identifier))
        return refuse(in, 422, pointer, "id must be an External Identifier, local@domain");
    dro_field_put_text(in->out, API_FIELD_ID, identifier);
    return true;
}

static bool read_application_id(reader *in, const char *pointer, yyjson_val *value)
{
    if (!read_text(in, pointer, value, 1, BODY_NAME_MAX))
        return false;
    slice text = text_of(value);
    for (uint32_t i = 0; i < text.length; i++) {
        char c = text.at[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || strchr("-._~", c) != NULL))
            return refuse(in, 422, pointer, "id must hold letters, digits and -._~ only"); /* unreserved, RFC 3986 */
    }
    if (subject_is_reserved(text.at, text.length))
        return refuse(in, 422, pointer, "this id is kept for the host itself; take another one");
    dro_field_put(in->out, API_FIELD_APPLICATION, text.at, text.length);
    return true;
}

static bool read_domains(reader *in, const char *pointer, yyjson_val *value)
{
    if (!yyjson_is_arr(value))
        return refuse(in, 422, pointer, "domains must be an array of strings");
    if (yyjson_arr_size(value) == 0 || yyjson_arr_size(value) > BODY_DOMAINS_MAX)
        return refuse(in, 422, pointer, "domains must have 1 to %d items", BODY_DOMAINS_MAX);
    size_t i, count;
    yyjson_val *item;
    yyjson_arr_foreach(value, i, count, item)
    {
        char domain[IDENTIFIER_MAX + 1], here[BODY_POINTER_MAX], number[8];
        snprintf(number, sizeof number, "%zu", i);
        point_to(here, pointer, number, strlen(number));
        if (!yyjson_is_str(item) || !domain_read(text_of(item), domain))
            return refuse(in, 422, here, "%s must be a domain name", here + 1);
        dro_field_put_text(in->out, API_FIELD_DOMAIN, domain);
    }
    return true;
}

static bool read_limit(reader *in, const char *pointer, slice name, yyjson_val *value)
{
    uint8_t field[5] = { 0 };
    while (field[0] < APPLICATION_LIMITS && !slice_is(name, limit_words[field[0]]))
        field[0]++;
    if (field[0] == APPLICATION_LIMITS)
        return refuse(in, 422, pointer, "%s is not a limit: requests_per_second, burst, downlinks_per_day, configurations, subscriptions", pointer + 1);
    if (in->is_patch && yyjson_is_null(value)) {
        dro_field_put(in->out, API_FIELD_CEILING, field, sizeof field);
        return true;
    }
    if (!yyjson_is_uint(value) || unsafe_yyjson_get_uint(value) > BODY_CEILING_MAX)
        return refuse(in, 422, pointer, "%s must be a whole number from 0 (no limit) to %d", pointer + 1, BODY_CEILING_MAX);
    uint32_t number = unsafe_yyjson_get_uint(value) == 0 ? LIMIT_NONE : (uint32_t)unsafe_yyjson_get_uint(value);
    memcpy(field + 1, &number, sizeof number);
    dro_field_put(in->out, API_FIELD_CEILING, field, sizeof field);
    return true;
}

static bool read_limits(reader *in, const char *pointer, yyjson_val *value)
{
    if (in->is_patch && yyjson_is_null(value))
        return put_null(in, pointer + 1);
    return read_named(in, pointer, value, APPLICATION_LIMITS, read_limit);
}

/* A value of a budget, at "/budget/SCOPE/NAME". */
static bool read_budget_value(reader *in, const char *pointer, slice name, yyjson_val *value, uint32_t scope)
{
    uint8_t field[6] = { (uint8_t)scope, (uint8_t)budget_value_find(name.at, name.length) };
    uint32_t number = BUDGET_UNSAID;
    if (field[1] == BUDGET_VALUES)
        return refuse(in, 422, pointer, "%s is none of a budget: cpu, messages, timers, log, storage, each with _burst too, and memory", pointer + 1);
    if (!yyjson_is_null(value)) {
        if (!yyjson_is_uint(value) || unsafe_yyjson_get_uint(value) > BUDGET_VALUE_MAX)
            return refuse(in, 422, pointer, "%s must be a whole number from 0 (no limit) to %d", pointer + 1, BUDGET_VALUE_MAX);
        number = (uint32_t)unsafe_yyjson_get_uint(value);
    }
    memcpy(field + 2, &number, sizeof number);
    dro_field_put(in->out, API_FIELD_BUDGET, field, sizeof field);
    return true;
}

static bool read_twin_budget(reader *in, const char *pointer, slice name, yyjson_val *value)
{
    return read_budget_value(in, pointer, name, value, BUDGET_OF_TWIN);
}

static bool read_image_budget(reader *in, const char *pointer, slice name, yyjson_val *value)
{
    return read_budget_value(in, pointer, name, value, BUDGET_OF_IMAGE);
}

static bool read_budget_scope(reader *in, const char *pointer, slice name, yyjson_val *value)
{
    uint32_t scope = budget_scope_find(name.at, name.length);
    if (scope == BUDGET_SCOPES)
        return refuse(in, 422, pointer, "%s is none of: twin, image", pointer + 1);
    if (yyjson_is_null(value))
        return put_null(in, budget_scope_name(scope));
    return read_named(in, pointer, value, BUDGET_VALUES, scope == BUDGET_OF_TWIN ? read_twin_budget : read_image_budget);
}

static bool read_budget(reader *in, const char *pointer, yyjson_val *value)
{
    return yyjson_is_null(value) ? put_null(in, "budget") : read_named(in, pointer, value, BUDGET_SCOPES, read_budget_scope);
}

/* "sha256:" and the fingerprint, or "dns:" and a name among the certificate's. */
static bool is_certificate(slice text)
{
    uint8_t digest[32];
    char name[IDENTIFIER_MAX + 1];
    if (text.length > 4 && memcmp(text.at, "dns:", 4) == 0)
        return domain_read((slice){ text.at + 4, text.length - 4 }, name);
    return digest_read(text, digest);
}

static bool is_apn(slice text)
{
    return apn_is_valid(text.at, text.length);
}

static bool read_texts(reader *in, const char *pointer, yyjson_val *value, uint8_t tag, bool (*is_good)(slice text), const char *what)
{
    size_t i, count;
    yyjson_val *item;
    if (in->is_patch)
        put_null(in, pointer + 1);
    if (in->is_patch && yyjson_is_null(value))
        return true;
    if (!yyjson_is_arr(value) || yyjson_arr_size(value) > BODY_APPLICATION_TEXTS_MAX)
        return refuse(in, 422, pointer, "%s must be an array of at most %d strings", pointer + 1, BODY_APPLICATION_TEXTS_MAX);
    yyjson_arr_foreach(value, i, count, item)
    {
        char here[BODY_POINTER_MAX], number[8];
        snprintf(number, sizeof number, "%zu", i);
        point_to(here, pointer, number, strlen(number));
        if (!yyjson_is_str(item) || !is_good(text_of(item)))
            return refuse(in, 422, here, "%s must be %s", here + 1, what);
        dro_field_put(in->out, tag, text_of(item).at, text_of(item).length);
    }
    return true;
}

static bool read_certificates(reader *in, const char *pointer, yyjson_val *value)
{
    return read_texts(in, pointer, value, API_FIELD_CERTIFICATE, is_certificate, "\"sha256:\" and 64 hexadecimal digits, or \"dns:\" and a name");
}

static bool read_apns(reader *in, const char *pointer, yyjson_val *value)
{
    return read_texts(in, pointer, value, API_FIELD_APN, is_apn, "an APN");
}

static bool read_scopes(reader *in, const char *pointer, yyjson_val *value)
{
    if (!yyjson_is_arr(value) || yyjson_arr_size(value) > SCOPES_MAX)
        return refuse(in, 422, pointer, "scopes must be an array of at most %d strings", SCOPES_MAX);
    uint64_t bits = 0;
    size_t i, count;
    yyjson_val *item;
    yyjson_arr_foreach(value, i, count, item)
    {
        uint32_t bit = yyjson_is_str(item) ? scope_bit(text_of(item).at, text_of(item).length) : 0;
        if (bit == 0) {
            char here[BODY_POINTER_MAX], number[8], names[SCOPE_NAMES_MAX];
            slice all = scope_names(SCOPE_ALL, names);
            snprintf(number, sizeof number, "%zu", i);
            point_to(here, pointer, number, strlen(number));
            return refuse(in, 422, here, "%s must be one of: %.*s", here + 1, (int)all.length, all.at);
        }
        bits |= bit;
    }
    dro_field_put_u64(in->out, API_FIELD_SCOPES, bits);
    return true;
}

static bool read_trace_twin(reader *in, const char *pointer, yyjson_val *value)
{
    char identifier[IDENTIFIER_MAX + 1];
    if (!yyjson_is_str(value) || !identifier_read(text_of(value), identifier))
        return refuse(in, 422, pointer, "twin must be an External Identifier, local@domain");
    dro_field_put_text(in->out, API_FIELD_ID, identifier);
    return true;
}

static bool read_trace_peer(reader *in, const char *pointer, yyjson_val *value)
{
    if (!read_text(in, pointer, value, 1, DIAMETER_IDENTITY_MAX))
        return false;
    dro_field_put(in->out, API_FIELD_PEER, unsafe_yyjson_get_str(value), unsafe_yyjson_get_len(value));
    return true;
}

static bool read_trace_seconds(reader *in, const char *pointer, yyjson_val *value)
{
    enum { LONGEST_S = 3600 };
    if (!yyjson_is_uint(value) || yyjson_get_uint(value) == 0 || yyjson_get_uint(value) > LONGEST_S)
        return refuse(in, 422, pointer, "seconds must be 1 to %d", LONGEST_S);
    dro_field_put_u64(in->out, API_FIELD_SECONDS, yyjson_get_uint(value));
    return true;
}

static bool read_sql(reader *in, const char *pointer, yyjson_val *value)
{
    if (!yyjson_is_str(value))
        return refuse(in, 422, pointer, "sql must be a string");
    slice text = text_of(value);
    /* A text that is too long the desk refuses, as any other error in it, with its position. */
    dro_builder_bytes(in->out, text.at, text.length <= HTTP_SQL_MAX ? text.length : HTTP_SQL_MAX + 1);
    return true;
}

static bool read_stop_reason(reader *in, const char *pointer, yyjson_val *value)
{
    if (!read_text(in, pointer, value, 0, BODY_REASON_MAX))
        return false;
    dro_field_put(in->out, API_FIELD_DETAIL, unsafe_yyjson_get_str(value), unsafe_yyjson_get_len(value));
    return true;
}

/* An object whose members are those of the table. `required` is a bit per row. */
static bool read_members(reader *in, yyjson_val *object, const member *members, size_t count, unsigned required)
{
    unsigned seen = 0;
    size_t i, size;
    yyjson_val *key, *value;
    if (!yyjson_is_obj(object))
        return refuse(in, 422, "", "the body must be an object");
    yyjson_obj_foreach(object, i, size, key, value)
    {
        char pointer[BODY_POINTER_MAX];
        size_t at = 0;
        point_to(pointer, "", text_of(key).at, text_of(key).length);
        while (at < count && !slice_is(text_of(key), members[at].name))
            at++;
        if (at == count)
            return refuse(in, 422, pointer, "%s is not a member known here", pointer + 1);
        if (seen & 1u << at)
            return refuse(in, 422, pointer, "%s is there twice", pointer + 1);
        seen |= 1u << at;
        if (!members[at].read(in, pointer, value))
            return false;
    }
    for (size_t at = 0; at < count; at++) {
        char pointer[BODY_POINTER_MAX];
        point_to(pointer, "", members[at].name, strlen(members[at].name));
        if (required & ~seen & 1u << at)
            return refuse(in, 422, pointer, "%s is missing", members[at].name);
    }
    return true;
}

/* Parses and hands the root to `read`; then the arena is wiped. */
static bool with_document(body_arena *arena, body_text json, reader *in,
                          bool (*read)(reader *in, yyjson_val *root, void *context), void *context)
{
    yyjson_alc pool;
    yyjson_read_err err;
    size_t need = yyjson_read_max_memory_usage(json.length, YYJSON_READ_NOFLAG) + 1024;
    *in->fault = (body_fault){ 0 };
    if (need > sizeof arena->bytes)
        return refuse(in, 413, "", "the body is too large");
    yyjson_alc_pool_init(&pool, arena->bytes, need);
    /* yyjson does not change its input unless asked to work in place. */
    yyjson_doc *document =
        yyjson_read_opts((char *)(uintptr_t)json.bytes, json.length, YYJSON_READ_NOFLAG, &pool, &err);
    bool is_good;
    if (document == NULL)
        is_good = refuse(in, 400, "", "not JSON at byte %zu: %s", err.pos, err.msg);
    else
        is_good = read(in, yyjson_doc_get_root(document), context);
    dro_wipe(arena->bytes, need);
    if (is_good && in->out->err != DRO_OK)
        return refuse(in, 413, "", "the body is too large");
    return is_good;
}

static const member twin_members[] = {
    { "id", read_line_id },    { "image", read_image },     { "model", read_model }, { "imsi", read_imsi },
    { "msisdn", read_msisdn }, { "aliases", read_aliases }, { "tags", read_tags },   { "secrets", read_secrets },
};
enum { TWIN_MEMBERS = sizeof twin_members / sizeof *twin_members };

static bool read_twin_root(reader *in, yyjson_val *root, void *context)
{
    (void)context; /* all but the id, which the path has */
    return read_members(in, root, twin_members + 1, TWIN_MEMBERS - 1, 0);
}

static bool read_line_root(reader *in, yyjson_val *root, void *context)
{
    char *id = context;
    yyjson_val *value = yyjson_obj_get(root, "id");
    if (yyjson_is_str(value) && !identifier_read(text_of(value), id))
        id[0] = '\0';
    return read_members(in, root, twin_members, TWIN_MEMBERS, 1);
}

static bool read_property_root(reader *in, yyjson_val *root, void *context)
{
    static const member members[] = { { "value", read_property_value } };
    (void)context;
    return read_members(in, root, members, 1, 1);
}

static bool read_action_root(reader *in, yyjson_val *root, void *context)
{
    (void)context;
    if (yyjson_is_null(root))
        return true; /* no input */
    return read_named(in, "", root, BODY_INPUTS_MAX, read_input);
}

static const member application_members[] = {
    { "id", read_application_id }, { "domains", read_domains }, { "scopes", read_scopes },
    { "limits", read_limits }, { "certificates", read_certificates }, { "apns", read_apns },
};
enum { APPLICATION_MEMBERS = sizeof application_members / sizeof *application_members };

static bool read_application_root(reader *in, yyjson_val *root, void *context)
{
    (void)context;
    return read_members(in, root, application_members, APPLICATION_MEMBERS, 7);
}

/* All but the id, which the path has. */
static bool read_application_patch_root(reader *in, yyjson_val *root, void *context)
{
    (void)context;
    return read_members(in, root, application_members + 1, APPLICATION_MEMBERS - 1, 0);
}

static bool read_trace_root(reader *in, yyjson_val *root, void *context)
{
    static const member members[] = {
        { "twin", read_trace_twin },
        { "peer", read_trace_peer },
        { "seconds", read_trace_seconds },
    };
    (void)context;
    if (yyjson_obj_get(root, "twin") != NULL && yyjson_obj_get(root, "peer") != NULL)
        return refuse(in, 422, "/peer", "a trace is of a twin or of a peer, not of both");
    return read_members(in, root, members, 3, yyjson_obj_get(root, "peer") == NULL ? 1 : 0);
}

static bool read_stop_root(reader *in, yyjson_val *root, void *context)
{
    static const member members[] = { { "reason", read_stop_reason } };
    (void)context;
    return read_members(in, root, members, 1, 0);
}

static bool read_image_patch_root(reader *in, yyjson_val *root, void *context)
{
    static const member members[] = { { "budget", read_budget } };
    (void)context;
    return read_members(in, root, members, 1, 1);
}

static bool read_query_root(reader *in, yyjson_val *root, void *context)
{
    static const member members[] = { { "sql", read_sql } };
    (void)context;
    return read_members(in, root, members, 1, 1);
}

bool body_read_twin(body_arena *arena, body_text json, dro_builder *out, body_fault *fault)
{
    return with_document(arena, json, &(reader){ out, fault, false }, read_twin_root, NULL);
}

bool body_read_twin_line(body_arena *arena, body_text json, dro_builder *out, char id[IDENTIFIER_MAX + 1],
                         body_fault *fault)
{
    id[0] = '\0';
    return with_document(arena, json, &(reader){ out, fault, false }, read_line_root, id);
}

bool body_read_property(body_arena *arena, body_text json, dro_builder *out, body_fault *fault)
{
    return with_document(arena, json, &(reader){ out, fault, false }, read_property_root, NULL);
}

bool body_read_action(body_arena *arena, body_text json, dro_builder *out, body_fault *fault)
{
    return json.length == 0 || with_document(arena, json, &(reader){ out, fault, false }, read_action_root, NULL);
}

bool body_read_application(body_arena *arena, body_text json, dro_builder *out, body_fault *fault)
{
    return with_document(arena, json, &(reader){ out, fault, false }, read_application_root, NULL);
}

bool body_read_application_patch(body_arena *arena, body_text json, dro_builder *out, body_fault *fault)
{
    return with_document(arena, json, &(reader){ out, fault, true }, read_application_patch_root, NULL);
}

static bool read_group_root(reader *in, yyjson_val *root, void *context)
{
    (void)context;
    return read_members(in, root, NULL, 0, 0);
}

bool body_read_group(body_arena *arena, body_text json, dro_builder *out, body_fault *fault)
{
    return json.length == 0 || with_document(arena, json, &(reader){ out, fault, false }, read_group_root, NULL);
}

static bool read_is_member(reader *in, const char *pointer, yyjson_val *value)
{
    if (!yyjson_is_bool(value))
        return refuse(in, 422, pointer, "member must be true or false");
    return true;
}

typedef struct member_line { char *id; bool *is_member; } member_line;

static bool read_member_line_root(reader *in, yyjson_val *root, void *context)
{
    static const member members[] = { { "id", read_line_id }, { "member", read_is_member } };
    const member_line *line = context;
    yyjson_val *value = yyjson_obj_get(root, "id");
    if (yyjson_is_str(value) && !identifier_read(text_of(value), line->id))
        line->id[0] = '\0';
    *line->is_member = !yyjson_is_false(yyjson_obj_get(root, "member"));
    return read_members(in, root, members, 2, 1);
}

bool body_read_member_line(body_arena *arena, body_text json, dro_builder *out, char id[IDENTIFIER_MAX + 1], bool *is_member,
                           body_fault *fault)
{
    member_line line = { id, is_member };
    id[0] = '\0';
    return with_document(arena, json, &(reader){ out, fault, false }, read_member_line_root, &line);
}

bool body_read_image_patch(body_arena *arena, body_text json, dro_builder *out, body_fault *fault)
{
    return with_document(arena, json, &(reader){ out, fault, true }, read_image_patch_root, NULL);
}

bool body_read_stop(body_arena *arena, body_text json, dro_builder *out, body_fault *fault)
{
    return json.length == 0 || with_document(arena, json, &(reader){ out, fault, false }, read_stop_root, NULL);
}

bool body_read_trace(body_arena *arena, body_text json, dro_builder *out, body_fault *fault)
{
    return with_document(arena, json, &(reader){ out, fault, false }, read_trace_root, NULL);
}

bool body_read_query(body_arena *arena, body_text json, dro_builder *out, body_fault *fault)
{
    return with_document(arena, json, &(reader){ out, fault, false }, read_query_root, NULL);
}

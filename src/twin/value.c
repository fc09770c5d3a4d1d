#include "twin/value.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <yyjson.h>

#include "base/utf8.h"

enum {
    NUMBER_TEXT_MAX = 40,      /* -1.7976931348623157e308 and its like, with room */
    NUMBER_SCRATCH_MAX = 1024, /* what yyjson needs to write one number */
};

/* Up to here every whole number is a double of its own. */
static const double EXACT_WHOLE_MAX = 9007199254740992.0;

uint32_t value_size(const value *value)
{
    switch (value->kind) {
    case VALUE_NONE: return 1;
    case VALUE_NUMBER: return 9;
    case VALUE_INTEGER: return 9;
    case VALUE_BOOLEAN: return 2;
    case VALUE_STRING: return 3 + value->length;
    }
    return 1;
}

void value_write(dro_builder *out, const value *value)
{
    bool is_writable = (value->kind != VALUE_NUMBER || isfinite(value->number)) &&
                       (value->kind != VALUE_STRING || value->length <= VALUE_STRING_MAX);
    if (!is_writable) {
        out->err = DRO_RANGE;
        return;
    }
    dro_builder_le(out, value->kind, 1);
    switch (value->kind) {
    case VALUE_NONE: break;
    case VALUE_NUMBER: dro_builder_bytes(out, &value->number, 8); break;
    case VALUE_INTEGER: dro_builder_le(out, (uint64_t)value->integer, 8); break;
    case VALUE_BOOLEAN: dro_builder_le(out, value->boolean ? 1 : 0, 1); break;
    case VALUE_STRING:
        dro_builder_le(out, value->length, 2);
        dro_builder_bytes(out, value->string, value->length);
        break;
    }
}

static void read_string(dro_cursor *in, value *value)
{
    value->length = (uint32_t)dro_cursor_le(in, 2);
    value->string = (const char *)dro_cursor_bytes(in, value->length);
    if (in->err == DRO_OK && value->length > VALUE_STRING_MAX)
        in->err = DRO_LIMIT;
    if (in->err == DRO_OK && !dro_utf8_is_valid(value->string, value->length))
        in->err = DRO_MALFORMED;
}

value value_read(dro_cursor *in)
{
    value value = { .kind = (value_kind)dro_cursor_le(in, 1) };
    uint64_t flag;
    switch (value.kind) {
    case VALUE_NONE: break;
    case VALUE_NUMBER: {
        uint64_t bits = dro_cursor_le(in, 8);
        memcpy(&value.number, &bits, 8);
        if (in->err == DRO_OK && !isfinite(value.number))
            in->err = DRO_RANGE;
        break;
    }
    case VALUE_INTEGER: value.integer = (int64_t)dro_cursor_le(in, 8); break;
    case VALUE_BOOLEAN:
        flag = dro_cursor_le(in, 1);
        if (in->err == DRO_OK && flag > 1)
            in->err = DRO_MALFORMED;
        value.boolean = flag == 1;
        break;
    case VALUE_STRING: read_string(in, &value); break;
    default: in->err = DRO_MALFORMED; /* what cannot be read is VALUE_NONE */
    }
    return in->err == DRO_OK ? value : (struct value){ .kind = VALUE_NONE };
}

static bool integer_equals_number(int64_t integer, double number)
{
    return number >= -0x1p63 && number < 0x1p63 && number == trunc(number) && (int64_t)number == integer;
}

bool value_equal(const value *a, const value *b)
{
    if (a->kind == VALUE_INTEGER && b->kind == VALUE_NUMBER)
        return integer_equals_number(a->integer, b->number);
    if (a->kind == VALUE_NUMBER && b->kind == VALUE_INTEGER)
        return integer_equals_number(b->integer, a->number);
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case VALUE_NONE: return true;
    case VALUE_NUMBER: return a->number == b->number;
    case VALUE_INTEGER: return a->integer == b->integer;
    case VALUE_BOOLEAN: return a->boolean == b->boolean;
    case VALUE_STRING:
        return a->length == b->length && (a->length == 0 || memcmp(a->string, b->string, a->length) == 0);
    }
    return false;
}

/* yyjson finds the shortest digits; a trailing ".0" says nothing in JSON. */
static void number_json(dro_builder *out, double number)
{
    char text[NUMBER_TEXT_MAX];
    if (!isfinite(number)) { /* JSON has no word for it */
        dro_builder_text(out, "null");
        return;
    }
    if (number == trunc(number) && fabs(number) < EXACT_WHOLE_MAX && !(number == 0 && signbit(number))) {
        snprintf(text, sizeof text, "%" PRId64, (int64_t)number);
        dro_builder_text(out, text);
        return;
    }
    char scratch[NUMBER_SCRATCH_MAX];
    yyjson_alc pool;
    yyjson_val real = { .tag = YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL, .uni.f64 = number };
    size_t length = 0;
    bool is_ready = yyjson_alc_pool_init(&pool, scratch, sizeof scratch);
    assert(is_ready);
    char *written = yyjson_val_write_opts(&real, YYJSON_WRITE_NOFLAG, &pool, &length, NULL);
    assert(written != NULL);
    if (length > 2 && memcmp(written + length - 2, ".0", 2) == 0)
        length -= 2;
    dro_builder_bytes(out, written, length);
}

void value_json(dro_builder *out, const value *value)
{
    char text[NUMBER_TEXT_MAX];
    switch (value->kind) {
    case VALUE_NONE: dro_builder_text(out, "null"); break;
    case VALUE_NUMBER: number_json(out, value->number); break;
    case VALUE_INTEGER:
        snprintf(text, sizeof text, "%" PRId64, value->integer);
        dro_builder_text(out, text);
        break;
    case VALUE_BOOLEAN: dro_builder_text(out, value->boolean ? "true" : "false"); break;
    case VALUE_STRING: json_text(out, value->string, value->length); break;
    }
}

static void escape(dro_builder *out, uint8_t byte)
{
    static const char shorts[32] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r' };
    char text[8];
    if (byte == '"' || byte == '\\')
        snprintf(text, sizeof text, "\\%c", byte);
    else if (byte < 32 && shorts[byte] != 0)
        snprintf(text, sizeof text, "\\%c", shorts[byte]);
    else
        snprintf(text, sizeof text, "\\u%04x", byte);
    dro_builder_text(out, text);
}

void json_text(dro_builder *out, const char *bytes, size_t length)
{
    size_t plain = 0; /* where the bytes not yet written begin */
    dro_builder_text(out, "\"");
    for (size_t i = 0; i < length;) {
        uint8_t byte = (uint8_t)bytes[i];
        size_t width = dro_utf8_step(bytes + i, length - i);
        if (width > 0 && byte >= 32 && byte != '"' && byte != '\\' && byte != 127) {
            i += width;
            continue;
        }
        dro_builder_bytes(out, bytes + plain, i - plain);
        if (width > 0)
            escape(out, byte);
        else
            dro_builder_text(out, "\xef\xbf\xbd"); /* U+FFFD in place of what is not UTF-8 */
        plain = ++i;
    }
    dro_builder_bytes(out, bytes + plain, length - plain);
    dro_builder_text(out, "\"");
}

#include "twin/line.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/fields.h"
#include "twin/plmn.h"
#include "twin/value.h"

void line_id(const line_origin *origin, char out[LINE_ID_TEXT])
{
    snprintf(out, LINE_ID_TEXT, "%016" PRIx64 "-%" PRIu32 ".%" PRIu32 "-%016" PRIx64 "-%" PRIu32, origin->series, origin->generation,
             origin->core, origin->place, origin->index);
}

void line_put(dro_builder *out, const char *format, ...)
{
    char text[160];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n >= sizeof text)
        out->err = DRO_LIMIT;
    else
        dro_builder_bytes(out, text, (size_t)n);
}

void line_put_hex(dro_builder *out, const uint8_t *bytes, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        char pair[2] = { digits[bytes[i] >> 4], digits[bytes[i] & 15] };
        dro_builder_bytes(out, pair, sizeof pair);
    }
}

void line_put_time(dro_builder *out, int64_t ms)
{
    char text[DRO_TIME_TEXT];
    dro_time_text(ms, text);
    line_put(out, "\"%s\"", text);
}

static void put_plmn(dro_builder *out, const uint8_t *bytes)
{
    char digits[PLMN_DIGITS_MAX + 1];
    if (plmn_read(bytes, digits))
        line_put(out, "\"%s\"", digits);
    else
        dro_builder_text(out, "null");
}

static void put_value(dro_builder *out, enum line_form form, const dro_field *field)
{
    dro_err ignored = DRO_OK;
    switch (form) {
    case LINE_TEXT: case LINE_LIST: json_text(out, (const char *)field->bytes, field->length); break;
    case LINE_NUMBER: line_put(out, "%" PRIu64, dro_field_u64(field, &ignored)); break;
    case LINE_TICKET: line_put(out, "\"%" PRIu64 "\"", dro_field_u64(field, &ignored)); break;
    case LINE_HEX: line_put(out, "\"%016" PRIx64 "\"", dro_field_u64(field, &ignored)); break;
    case LINE_TIME: line_put_time(out, (int64_t)dro_field_u64(field, &ignored)); break;
    case LINE_FLAG: dro_builder_text(out, "true"); break;
    case LINE_PLMN: put_plmn(out, field->bytes); break;
    case LINE_BYTES:
        dro_builder_text(out, "\"");
        line_put_hex(out, field->bytes, field->length);
        dro_builder_text(out, "\"");
        break;
    }
}

/* All fields of the member's tag: the first, of a list each. */
static dro_err put_member(dro_builder *out, const line_member *member, dro_cursor in)
{
    dro_field field;
    unsigned count = 0;
    while (dro_field_next(&in, &field)) {
        if (field.tag != member->tag || (count > 0 && member->form != LINE_LIST))
            continue;
        if (field.length < member->least || field.length > member->most)
            return DRO_MALFORMED;
        if (count++ == 0)
            line_put(out, ",\"%s\":%s", member->name, member->form == LINE_LIST ? "[" : "");
        else
            dro_builder_text(out, ",");
        put_value(out, (enum line_form)member->form, &field);
    }
    if (count > 0 && member->form == LINE_LIST)
        dro_builder_text(out, "]");
    return in.err;
}

dro_err line_put_members(dro_builder *out, const line_member *members, size_t count, dro_cursor in)
{
    dro_err err = DRO_OK;
    for (size_t i = 0; i < count && err == DRO_OK; i++)
        err = put_member(out, &members[i], in);
    return err;
}

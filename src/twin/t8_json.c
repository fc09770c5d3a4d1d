/* T8 objects as JSON, from their fields. What is in the fields was checked when it was read; a field
 * that does not fit its kind all the same is shown as null. */
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "twin/t8.h"
#include "twin/value.h"

static void put_features(dro_builder *out, const dro_field *field, uint64_t features)
{
    uint64_t theirs = 0;
    char text[24];
    for (uint32_t i = 0; i < field->length; i++)
        theirs = theirs << 4 | (uint64_t)(field->bytes[i] <= '9' ? field->bytes[i] - '0' : (field->bytes[i] | 0x20) - 'a' + 10);
    snprintf(text, sizeof text, "\"%llX\"", (unsigned long long)(theirs & features));
    dro_builder_text(out, text);
}

static void put_scalar(dro_builder *out, const t8_member *member, const dro_field *field)
{
    char text[DRO_TIME_TEXT];
    value made = { .kind = VALUE_INTEGER };
    bool is_good = field->length == sizeof made.integer;
    if (is_good)
        memcpy(&made.integer, field->bytes, sizeof made.integer);
    if (is_good && member->kind == T8_TIME) {
        dro_time_text(made.integer, text);
        json_text(out, text, strlen(text));
        return;
    }
    if (is_good && member->kind == T8_NUMBER) {
        double number;
        memcpy(&number, field->bytes, sizeof number);
        made = (value){ .kind = VALUE_NUMBER, .number = number };
    }
    if (is_good)
        value_json(out, &made);
    else
        dro_builder_text(out, "null");
}

static void put_option(dro_builder *out, const t8_member *member, const dro_field *field)
{
    uint32_t count = 0;
    while (member->options[count] != NULL)
        count++;
    if (field->length != 1 || field->bytes[0] >= count)
        dro_builder_text(out, "null");
    else
        json_text(out, member->options[field->bytes[0]], strlen(member->options[field->bytes[0]]));
}

static void put_object(dro_builder *out, const t8_object *object, const dro_field *field)
{
    dro_builder_text(out, "{");
    t8_members_json(out, object, field->bytes, field->length, 0, "");
    dro_builder_text(out, "}");
}

static void put_value(dro_builder *out, const t8_member *member, const dro_field *field, uint64_t features)
{
    switch ((t8_kind)member->kind) {
    case T8_TEXT: case T8_IDENTIFIER: case T8_DIGITS: case T8_LINK: case T8_TIME_OF_DAY:
        json_text(out, (const char *)field->bytes, field->length);
        break;
    case T8_FEATURES: put_features(out, field, features); break;
    case T8_TIME: case T8_INTEGER: case T8_NUMBER: put_scalar(out, member, field); break;
    case T8_BOOLEAN: dro_builder_text(out, field->length == 1 && field->bytes[0] != 0 ? "true" : "false"); break;
    case T8_OPTION: put_option(out, member, field); break;
    case T8_BYTES:
        dro_builder_text(out, "\"");
        dro_base64_put(out, field->bytes, field->length);
        dro_builder_text(out, "\"");
        break;
    case T8_OBJECT: case T8_MAP: put_object(out, member->object, field); break;
    case T8_WEBSOCKET: dro_builder_text(out, "{}"); break; /* its URI is the core's to write */
    case T8_JSON: dro_builder_bytes(out, field->bytes, field->length); break;
    }
}

/* All fields of a member that has several: an array, or the entries of a map. */
static void put_all(dro_builder *out, const t8_member *member, const uint8_t *fields, size_t length)
{
    bool is_map = member->kind == T8_MAP, is_first = true;
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field, room;
    dro_builder_text(out, is_map ? "{" : "[");
    while (dro_field_next(&in, &field)) {
        if (field.tag != member->field)
            continue;
        dro_builder_text(out, is_first ? "" : ",");
        is_first = false;
        const dro_field *key = is_map ? t8_find(field.bytes, field.length, T8_FIELD_KEY, &room) : NULL;
        if (is_map) {
            json_text(out, key != NULL ? (const char *)key->bytes : "", key != NULL ? key->length : 0);
            dro_builder_text(out, ":");
        }
        put_value(out, member, &field, 0);
    }
    dro_builder_text(out, is_map ? "}" : "]");
}

void t8_members_json(dro_builder *out, const t8_object *object, const uint8_t *fields, size_t length, uint64_t features, const char *separator)
{
    dro_field room;
    for (uint32_t i = 0; i < object->count; i++) {
        const t8_member *member = &object->members[i];
        const dro_field *field = member->uses & T8_HIDDEN ? NULL : t8_find(fields, length, member->field, &room);
        if (field == NULL)
            continue;
        dro_builder_text(out, separator);
        separator = ",";
        json_text(out, member->name, strlen(member->name));
        dro_builder_text(out, ":");
        if (member->uses & T8_LIST || member->kind == T8_MAP)
            put_all(out, member, fields, length);
        else
            put_value(out, member, field, features);
    }
}

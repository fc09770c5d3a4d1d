#include "twin/model.h"

#include <math.h>
#include <stdio.h>

#include "base/base64.h"
#include "base/utf8.h"
#include "base/wipe.h"

static bool is_name(const char *name, const char *bytes, size_t length)
{
    return strlen(name) == length && memcmp(name, bytes, length) == 0;
}

int model_property_find(const model *model, const char *name, size_t length)
{
    for (int i = 0; i < model->property_count; i++)
        if (is_name(model->properties[i].name, name, length))
            return i;
    return -1;
}

int model_action_find(const model *model, const char *name, size_t length)
{
    for (int i = 0; i < model->action_count; i++)
        if (is_name(model->actions[i].name, name, length))
            return i;
    return -1;
}

int model_event_find(const model *model, const char *name, size_t length)
{
    for (int i = 0; i < model->event_count; i++)
        if (is_name(model->events[i].name, name, length))
            return i;
    return -1;
}

int model_secret_find(const model *model, const char *name, size_t length)
{
    for (int i = 0; i < model->secret_count; i++)
        if (is_name(model->secrets[i].name, name, length))
            return i;
    return -1;
}

static dro_err check_number(const model_schema *schema, value *value)
{
    if (value->kind == VALUE_INTEGER) {
        value->kind = VALUE_NUMBER;
        value->number = (double)value->integer;
    }
    if (value->kind != VALUE_NUMBER)
        return DRO_MALFORMED;
    bool is_inside = isfinite(value->number) && (!schema->has_minimum || value->number >= schema->minimum) &&
                     (!schema->has_maximum || value->number <= schema->maximum);
    return is_inside ? DRO_OK : DRO_RANGE;
}

static dro_err check_integer(const model_schema *schema, value *value)
{
    if (value->kind == VALUE_NUMBER) {
        double number = value->number;
        if (isfinite(number) && number != trunc(number))
            return DRO_MALFORMED;
        if (!(number >= -0x1p63 && number < 0x1p63))
            return DRO_RANGE;
        value->kind = VALUE_INTEGER;
        value->integer = (int64_t)number;
    }
    if (value->kind != VALUE_INTEGER)
        return DRO_MALFORMED;
    /* Bounds are whole and below 2^53, so the conversion cannot carry a value over one. */
    bool is_inside = (!schema->has_minimum || (double)value->integer >= schema->minimum) &&
                     (!schema->has_maximum || (double)value->integer <= schema->maximum);
    return is_inside ? DRO_OK : DRO_RANGE;
}

static dro_err check_string(const model_schema *schema, const value *value)
{
    size_t length = value->length;
    if (value->kind != VALUE_STRING)
        return DRO_MALFORMED;
    if (length > VALUE_STRING_MAX)
        return DRO_RANGE;
    if (schema->is_base64) {
        uint8_t bytes[VALUE_STRING_MAX];
        dro_builder decoded = dro_builder_over(bytes, sizeof bytes);
        dro_err err = dro_base64_read(&decoded, value->string, value->length);
        length = dro_builder_length(&decoded);
        dro_wipe(bytes, sizeof bytes);
        if (err != DRO_OK)
            return err;
    } else if (!dro_utf8_is_valid(value->string, length)) {
        return DRO_MALFORMED;
    }
    return length >= schema->length_minimum && length <= schema->length_maximum ? DRO_OK : DRO_RANGE;
}

dro_err model_check(const model_schema *schema, value *value)
{
    switch (schema->kind) {
    case VALUE_NUMBER: return check_number(schema, value);
    case VALUE_INTEGER: return check_integer(schema, value);
    case VALUE_BOOLEAN: return value->kind == VALUE_BOOLEAN ? DRO_OK : DRO_MALFORMED;
    case VALUE_STRING: return check_string(schema, value);
    case VALUE_NONE: break;
    }
    return DRO_MALFORMED;
}

const char *value_kind_text(value_kind kind)
{
    static const char *const texts[] = { "nothing", "number", "integer", "boolean", "string" };
    return texts[kind];
}

const char *model_bounds_text(const model_schema *schema, char out[MODEL_BOUNDS_TEXT])
{
    bool is_number = schema->kind == VALUE_NUMBER || schema->kind == VALUE_INTEGER;
    out[0] = '\0';
    if (schema->kind == VALUE_STRING)
        snprintf(out, MODEL_BOUNDS_TEXT, "%u to %u bytes", schema->length_minimum, schema->length_maximum);
    else if (is_number && schema->has_minimum && schema->has_maximum)
        snprintf(out, MODEL_BOUNDS_TEXT, "%.16g to %.16g", schema->minimum, schema->maximum);
    else if (is_number && schema->has_minimum)
        snprintf(out, MODEL_BOUNDS_TEXT, "from %.16g", schema->minimum);
    else if (is_number && schema->has_maximum)
        snprintf(out, MODEL_BOUNDS_TEXT, "at most %.16g", schema->maximum);
    return out;
}

const char *model_schema_text(const model_schema *schema, char out[MODEL_SCHEMA_TEXT])
{
    char bounds[MODEL_BOUNDS_TEXT];
    model_bounds_text(schema, bounds);
    snprintf(out, MODEL_SCHEMA_TEXT, "%s%s%s", schema->is_base64 ? "base64" : value_kind_text(schema->kind), bounds[0] != '\0' ? ", " : "", bounds);
    return out;
}

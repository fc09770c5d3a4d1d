/* The flat form of a model: version u8, then all parts in order, little-endian,
 * texts as length u8 and bytes. */
#include "twin/model_rules.h"

enum { FLAT_VERSION = 1 };

enum schema_flag { HAS_MINIMUM = 1, HAS_MAXIMUM = 2, IS_BASE64 = 4, IS_REQUIRED = 8, SCHEMA_FLAGS = 15 };
enum property_flag { IS_WRITABLE = 1, IS_PRIVATE = 2, PROPERTY_FLAGS = 3 };

static void write_text(dro_builder *out, const char *text)
{
    dro_builder_le(out, strlen(text), 1);
    dro_builder_text(out, text);
}

static void write_schema(dro_builder *out, const model_schema *schema)
{
    int flags = (schema->has_minimum ? HAS_MINIMUM : 0) | (schema->has_maximum ? HAS_MAXIMUM : 0) |
                (schema->is_base64 ? IS_BASE64 : 0) | (schema->is_required ? IS_REQUIRED : 0);
    dro_builder_le(out, schema->kind, 1);
    dro_builder_le(out, (uint64_t)flags, 1);
    dro_builder_bytes(out, &schema->minimum, 8);
    dro_builder_bytes(out, &schema->maximum, 8);
    dro_builder_le(out, schema->length_minimum, 2);
    dro_builder_le(out, schema->length_maximum, 2);
}

static void write_property(dro_builder *out, const model_property *property)
{
    int flags = (property->is_writable ? IS_WRITABLE : 0) | (property->is_private ? IS_PRIVATE : 0);
    write_text(out, property->name);
    write_text(out, property->unit);
    write_schema(out, &property->schema);
    dro_builder_le(out, property->source, 1);
    dro_builder_le(out, (uint64_t)flags, 1);
    dro_builder_le(out, (uint16_t)property->stale_property, 2);
    dro_builder_le(out, property->stale_times, 2);
}

static void write_inputs(dro_builder *out, const model_input *inputs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        write_text(out, inputs[i].name);
        write_schema(out, &inputs[i].schema);
    }
}

void model_write(dro_builder *out, const model *model)
{
    dro_builder_le(out, FLAT_VERSION, 1);
    write_text(out, model->name);
    write_text(out, model->version);
    dro_builder_le(out, model->property_count, 1);
    dro_builder_le(out, model->action_count, 1);
    dro_builder_le(out, model->event_count, 1);
    dro_builder_le(out, model->secret_count, 1);
    for (uint32_t i = 0; i < model->property_count; i++)
        write_property(out, &model->properties[i]);
    for (uint32_t i = 0; i < model->action_count; i++) {
        write_text(out, model->actions[i].name);
        dro_builder_le(out, model->actions[i].input_count, 1);
        write_inputs(out, model->actions[i].inputs, model->actions[i].input_count);
    }
    for (uint32_t i = 0; i < model->event_count; i++) {
        write_text(out, model->events[i].name);
        write_text(out, model->events[i].unit);
        dro_builder_le(out, model->events[i].kind, 1);
    }
    write_inputs(out, model->secrets, model->secret_count);
}

/* `capacity` counts the NUL. */
static void read_text(dro_cursor *in, char *text, size_t capacity)
{
    size_t length = (size_t)dro_cursor_le(in, 1);
    const uint8_t *bytes = dro_cursor_bytes(in, length);
    if (bytes == NULL)
        return;
    if (length >= capacity || memchr(bytes, '\0', length) != NULL) {
        in->err = DRO_MALFORMED;
        return;
    }
    memcpy(text, bytes, length);
    text[length] = '\0';
}

static uint32_t read_upto(dro_cursor *in, uint32_t most)
{
    uint32_t number = (uint32_t)dro_cursor_le(in, 1);
    if (in->err == DRO_OK && number > most)
        in->err = DRO_MALFORMED;
    return in->err == DRO_OK ? number : 0;
}

static void read_schema(dro_cursor *in, model_schema *schema)
{
    schema->kind = (value_kind)read_upto(in, VALUE_STRING);
    uint32_t flags = read_upto(in, SCHEMA_FLAGS);
    schema->has_minimum = (flags & HAS_MINIMUM) != 0;
    schema->has_maximum = (flags & HAS_MAXIMUM) != 0;
    schema->is_base64 = (flags & IS_BASE64) != 0;
    schema->is_required = (flags & IS_REQUIRED) != 0;
    uint64_t bits = dro_cursor_le(in, 8);
    memcpy(&schema->minimum, &bits, 8);
    bits = dro_cursor_le(in, 8);
    memcpy(&schema->maximum, &bits, 8);
    schema->length_minimum = (uint16_t)dro_cursor_le(in, 2);
    schema->length_maximum = (uint16_t)dro_cursor_le(in, 2);
}

static void read_property(dro_cursor *in, model_property *property, uint16_t count)
{
    read_text(in, property->name, sizeof property->name);
    read_text(in, property->unit, sizeof property->unit);
    read_schema(in, &property->schema);
    property->source = (source)read_upto(in, SOURCE_APPLICATION);
    uint32_t flags = read_upto(in, PROPERTY_FLAGS);
    property->is_writable = (flags & IS_WRITABLE) != 0;
    property->is_private = (flags & IS_PRIVATE) != 0;
    property->stale_property = (int16_t)dro_cursor_le(in, 2);
    property->stale_times = (uint16_t)dro_cursor_le(in, 2);
    if (in->err == DRO_OK && (property->stale_property < -1 || property->stale_property >= (int)count))
        in->err = DRO_MALFORMED;
}

static void read_inputs(dro_cursor *in, model_input *inputs, uint32_t count)
{
    for (uint32_t i = 0; i < count && in->err == DRO_OK; i++) {
        read_text(in, inputs[i].name, sizeof inputs[i].name);
        read_schema(in, &inputs[i].schema);
    }
}

static void read_parts(model *out, dro_cursor *in)
{
    for (uint32_t i = 0; i < out->property_count && in->err == DRO_OK; i++)
        read_property(in, &out->properties[i], out->property_count);
    for (uint32_t i = 0; i < out->action_count && in->err == DRO_OK; i++) {
        model_action *action = &out->actions[i];
        read_text(in, action->name, sizeof action->name);
        action->input_count = (uint8_t)read_upto(in, MODEL_INPUTS_MAX);
        read_inputs(in, action->inputs, action->input_count);
    }
    for (uint32_t i = 0; i < out->event_count && in->err == DRO_OK; i++) {
        read_text(in, out->events[i].name, sizeof out->events[i].name);
        read_text(in, out->events[i].unit, sizeof out->events[i].unit);
        out->events[i].kind = (value_kind)read_upto(in, VALUE_STRING);
    }
    read_inputs(in, out->secrets, out->secret_count);
}

dro_err model_read(model *out, dro_cursor *in)
{
    memset(out, 0, sizeof *out);
    uint64_t version = dro_cursor_le(in, 1);
    if (in->err == DRO_OK && version != FLAT_VERSION)
        in->err = DRO_UNSUPPORTED;
    read_text(in, out->name, sizeof out->name);
    read_text(in, out->version, sizeof out->version);
    out->property_count = (uint16_t)read_upto(in, MODEL_PROPERTIES_MAX);
    out->action_count = (uint16_t)read_upto(in, MODEL_ACTIONS_MAX);
    out->event_count = (uint16_t)read_upto(in, MODEL_EVENTS_MAX);
    out->secret_count = (uint16_t)read_upto(in, MODEL_SECRETS_MAX);
    read_parts(out, in);
    if (in->err != DRO_OK)
        return in->err;
    model_reasons reasons = { .tell = NULL };
    model_rules_check(out, &reasons);
    return reasons.count == 0 ? DRO_OK : DRO_MALFORMED;
}

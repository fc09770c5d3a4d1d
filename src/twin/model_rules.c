#include "twin/model_rules.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "base/utf8.h"
#include "twin/event.h"

enum {
    BASE64_BYTES_MAX = VALUE_STRING_MAX / 4 * 3, /* what a text of VALUE_STRING_MAX stands for */
    STALE_TIMES_MAX = 1000,
};

/* A bound of an integer beyond this would not be the number that was written. */
static const double INTEGER_BOUND_MAX = 9007199254740991.0;

void model_refuse(model_reasons *reasons, const char *format, ...)
{
    char text[MODEL_REASON_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *at = text; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 127) /* names are foreign bytes; a terminal should not obey them */
            *at = '?';
    reasons->count++;
    if (reasons->tell != NULL)
        reasons->tell(reasons->context, text);
}

/* Names become C identifiers and columns of SQL tables. */
static bool is_identifier(const char *name)
{
    if (!isalpha((unsigned char)name[0]))
        return false;
    for (const char *at = name; *at != '\0'; at++)
        if (!isalnum((unsigned char)*at) && *at != '_')
            return false;
    return true;
}

static void check_name(const char *what, const char *name, model_reasons *reasons)
{
    if (!is_identifier(name))
        model_refuse(reasons, "%s \"%s\": a name is a letter, then letters, digits and _", what, name);
}

/* SQL does not tell columns apart by case. */
static bool is_column_of_every_table(const char *name)
{
    return strcasecmp(name, "id") == 0 || strcasecmp(name, "time") == 0 || strcasecmp(name, "revision") == 0 ||
           strcasecmp(name, "last_contact") == 0;
}

static bool is_model_part(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!(islower((unsigned char)text[i]) || isdigit((unsigned char)text[i]) ||
              (i > 0 && strchr("-._", text[i]) != NULL)))
            return false;
    return length > 0;
}

static void check_names_of_model(const model *model, model_reasons *reasons)
{
    const char *slash = strchr(model->name, '/');
    bool is_name = slash != NULL && is_model_part(model->name, (size_t)(slash - model->name)) &&
                   is_model_part(slash + 1, strlen(slash + 1));
    bool was_told = reasons->count > 0 && model->name[0] == '\0';
    if (!is_name && !was_told)
        model_refuse(reasons, "\"dromio:model\": \"%s\" is not maker/name in lower case (a-z 0-9 - . _)", model->name);
    bool is_version = model->version[0] != '\0';
    for (const char *at = model->version; *at != '\0'; at++)
        is_version = is_version && (isalnum((unsigned char)*at) || strchr(".+-_", *at) != NULL);
    was_told = reasons->count > 0 && model->version[0] == '\0';
    if (!is_version && !was_told)
        model_refuse(reasons, "version.model: \"%s\" is not letters, digits and . + - _, like 1.0.0", model->version);
}

static void check_unit(const char *what, const char *name, const char *unit, model_reasons *reasons)
{
    bool is_text = dro_utf8_is_valid(unit, strlen(unit));
    for (const char *at = unit; *at != '\0'; at++)
        is_text = is_text && (unsigned char)*at >= ' ' && *at != 127;
    if (!is_text)
        model_refuse(reasons, "%s \"%s\": its unit is not printable text", what, name);
}

static void check_bounds(const char *where, const model_schema *schema, model_reasons *reasons)
{
    bool is_finite = isfinite(schema->minimum) && isfinite(schema->maximum);
    bool fits_integer = is_finite && fabs(schema->minimum) <= INTEGER_BOUND_MAX &&
                        fabs(schema->maximum) <= INTEGER_BOUND_MAX && schema->minimum == trunc(schema->minimum) &&
                        schema->maximum == trunc(schema->maximum);
    if (!is_finite || (schema->kind == VALUE_INTEGER && !fits_integer))
        model_refuse(reasons, "%s: minimum and maximum of an integer are whole numbers below 2^53", where);
    if (schema->has_minimum && schema->has_maximum && schema->minimum > schema->maximum)
        model_refuse(reasons, "%s: minimum is above maximum", where);
}

static void check_lengths(const char *where, const model_schema *schema, model_reasons *reasons)
{
    int most = schema->is_base64 ? BASE64_BYTES_MAX : VALUE_STRING_MAX;
    if (schema->length_maximum > most)
        model_refuse(reasons, "%s: maxLength %u is over %d bytes", where, schema->length_maximum, most);
    if (schema->length_minimum > schema->length_maximum)
        model_refuse(reasons, "%s: minLength %u is above maxLength %u (64 when not said)", where,
                     schema->length_minimum, schema->length_maximum);
}

static void check_schema(const char *what, const char *name, const model_schema *schema, model_reasons *reasons)
{
    char where[MODEL_NAME_MAX + 32];
    snprintf(where, sizeof where, "%s \"%s\"", what, name);
    if (schema->kind == VALUE_NONE && reasons->count > 0)
        return;
    if (schema->kind < VALUE_NUMBER || schema->kind > VALUE_STRING) {
        model_refuse(reasons, "%s: has no type", where);
        return;
    }
    bool is_numeric = schema->kind == VALUE_NUMBER || schema->kind == VALUE_INTEGER;
    if (is_numeric)
        check_bounds(where, schema, reasons);
    else if (schema->has_minimum || schema->has_maximum)
        model_refuse(reasons, "%s: minimum and maximum are for numbers and integers", where);
    if (schema->kind == VALUE_STRING)
        check_lengths(where, schema, reasons);
    if (schema->is_base64 && (schema->kind != VALUE_STRING || strcmp(what, "secret") != 0))
        model_refuse(reasons, "%s: contentEncoding base64 is for secrets of type string", where);
}

/* Bytes its value takes in an event, at most. */
static uint32_t payload_bytes(const model_schema *schema)
{
    return schema->kind == VALUE_STRING ? 3u + schema->length_maximum : 9u;
}

static void check_payload(const char *what, const char *name, uint32_t bytes, model_reasons *reasons)
{
    if (bytes > EVENT_BYTES_MAX)
        model_refuse(reasons, "%s \"%s\": take up to %u bytes together, an event has %d; lower a maxLength", what, name,
                     bytes, EVENT_BYTES_MAX);
}

static void check_stale(const model *model, const model_property *property, model_reasons *reasons)
{
    if (property->stale_property == -1)
        return;
    const model_property *period = &model->properties[property->stale_property];
    bool is_numeric = period->schema.kind == VALUE_NUMBER || period->schema.kind == VALUE_INTEGER;
    if (!is_numeric)
        model_refuse(reasons, "property \"%s\": dromio:stale counts seconds of a number or integer, \"%s\" is none",
                     property->name, period->name);
    if (property->stale_times < 1 || property->stale_times > STALE_TIMES_MAX)
        model_refuse(reasons, "property \"%s\": dromio:stale.times is 1 to %d", property->name, STALE_TIMES_MAX);
}

static void check_property(const model *model, uint32_t index, model_reasons *reasons)
{
    const model_property *property = &model->properties[index];
    check_name("property", property->name, reasons);
    if (is_column_of_every_table(property->name))
        model_refuse(reasons, "property \"%s\": this name is a column of every table; take another", property->name);
    for (uint32_t i = 0; i < index; i++)
        if (strcasecmp(property->name, model->properties[i].name) == 0)
            model_refuse(reasons, "property \"%s\": is there twice (case does not count)", property->name);
    check_unit("property", property->name, property->unit, reasons);
    check_schema("property", property->name, &property->schema, reasons);
    if (property->is_private && property->is_writable)
        model_refuse(reasons, "property \"%s\": is private and writable; make it readOnly or a secret", property->name);
    check_stale(model, property, reasons);
}

static void check_inputs(const char *what, const model_input *inputs, uint32_t count, model_reasons *reasons)
{
    for (uint32_t i = 0; i < count; i++) {
        check_name(what, inputs[i].name, reasons);
        check_schema(what, inputs[i].name, &inputs[i].schema, reasons);
        for (uint32_t j = 0; j < i; j++)
            if (strcasecmp(inputs[i].name, inputs[j].name) == 0)
                model_refuse(reasons, "%s \"%s\": is there twice (case does not count)", what, inputs[i].name);
    }
}

static void check_action(const model *model, uint32_t index, model_reasons *reasons)
{
    const model_action *action = &model->actions[index];
    uint32_t bytes = 0;
    check_name("action", action->name, reasons);
    for (uint32_t i = 0; i < index; i++)
        if (strcasecmp(action->name, model->actions[i].name) == 0)
            model_refuse(reasons, "action \"%s\": is there twice (case does not count)", action->name);
    check_inputs("input", action->inputs, action->input_count, reasons);
    for (uint32_t i = 0; i < action->input_count; i++)
        bytes += payload_bytes(&action->inputs[i].schema);
    check_payload("inputs of action", action->name, bytes, reasons);
}

static void check_event(const model *model, uint32_t index, model_reasons *reasons)
{
    const model_event *event = &model->events[index];
    check_name("event", event->name, reasons);
    for (uint32_t i = 0; i < index; i++)
        if (strcasecmp(event->name, model->events[i].name) == 0)
            model_refuse(reasons, "event \"%s\": is there twice (case does not count)", event->name);
    check_unit("event", event->name, event->unit, reasons);
    if (event->kind != VALUE_NONE && event->kind != VALUE_NUMBER && event->kind != VALUE_STRING)
        model_refuse(reasons, "event \"%s\": its data is a number, a string or absent", event->name);
}

void model_rules_check(const model *model, model_reasons *reasons)
{
    uint32_t bytes = 0;
    check_names_of_model(model, reasons);
    for (uint32_t i = 0; i < model->property_count; i++)
        check_property(model, i, reasons);
    for (uint32_t i = 0; i < model->action_count; i++)
        check_action(model, i, reasons);
    for (uint32_t i = 0; i < model->event_count; i++)
        check_event(model, i, reasons);
    check_inputs("secret", model->secrets, model->secret_count, reasons);
    for (uint32_t i = 0; i < model->secret_count; i++)
        bytes += payload_bytes(&model->secrets[i].schema);
    check_payload("secrets of", model->name, bytes, reasons);
}

/* Reads Thing Model 1.1 JSON. Here: its words and types. What the words must keep to
 * is in model_rules.c, shared with the flat form. */
#include <stdio.h>
#include <yyjson.h>

#include "twin/model_rules.h"

enum { STRING_LENGTH_DEFAULT = 64 };

/* Constraints of JSON Schema that model_check does not know. */
static const char *const unchecked[] = {
    "enum", "const", "pattern", "format", "multipleOf", "exclusiveMinimum", "exclusiveMaximum", "oneOf", "anyOf",
    "allOf", "not",
};

typedef struct reader {
    model *model;
    model_reasons reasons;
} reader;

/* What is being read, for the reasons: kind of thing and its name. */
typedef struct place {
    const char *what, *name;
} place;

static const char *type_text(yyjson_val *json)
{
    return json == NULL ? "missing" : yyjson_get_type_desc(json);
}

/* Copies a text of less than `capacity` bytes; false after a reason. */
static bool take_text(reader *reader, place at, const char *member, yyjson_val *json, char *text, size_t capacity)
{
    if (!yyjson_is_str(json)) {
        model_refuse(&reader->reasons, "%s \"%s\": %s is %s, not a string", at.what, at.name, member, type_text(json));
        return false;
    }
    size_t length = yyjson_get_len(json);
    if (length >= capacity || strlen(yyjson_get_str(json)) != length) {
        model_refuse(&reader->reasons, "%s \"%s\": %s \"%.40s\" is longer than %zu bytes or has a NUL in it", at.what,
                     at.name, member, yyjson_get_str(json), capacity - 1);
        return false;
    }
    memcpy(text, yyjson_get_str(json), length + 1);
    return true;
}

static bool take_name(reader *reader, const char *what, yyjson_val *key, char *text)
{
    return take_text(reader, (place){ what, yyjson_get_str(key) }, "its name", key, text, MODEL_NAME_MAX + 1);
}

static bool take_flag(reader *reader, place at, yyjson_val *object, const char *member)
{
    yyjson_val *json = yyjson_obj_get(object, member);
    if (json != NULL && !yyjson_is_bool(json))
        model_refuse(&reader->reasons, "%s \"%s\": %s is %s, not true or false", at.what, at.name, member,
                     type_text(json));
    return yyjson_is_true(json);
}

static void take_bound(reader *reader, place at, yyjson_val *object, const char *member, bool *has, double *bound)
{
    yyjson_val *json = yyjson_obj_get(object, member);
    if (json == NULL)
        return;
    if (!yyjson_is_num(json)) {
        model_refuse(&reader->reasons, "%s \"%s\": %s is %s, not a number", at.what, at.name, member, type_text(json));
        return;
    }
    *has = true;
    *bound = yyjson_get_num(json);
}

static void take_length(reader *reader, place at, yyjson_val *object, const char *member, uint16_t *length)
{
    yyjson_val *json = yyjson_obj_get(object, member);
    if (json == NULL)
        return;
    if (!yyjson_is_uint(json) || yyjson_get_uint(json) > UINT16_MAX)
        model_refuse(&reader->reasons, "%s \"%s\": %s is not a whole number of bytes up to %d", at.what, at.name,
                     member, VALUE_STRING_MAX);
    else
        *length = (uint16_t)yyjson_get_uint(json);
}

static void take_unit(reader *reader, place at, yyjson_val *object, char *unit)
{
    yyjson_val *json = yyjson_obj_get(object, "unit");
    if (json != NULL)
        take_text(reader, at, "unit", json, unit, MODEL_UNIT_MAX + 1);
}

/* VALUE_NONE after a reason. */
static value_kind take_type(reader *reader, place at, yyjson_val *object)
{
    static const struct { const char *text; value_kind kind; } types[] = {
        { "number", VALUE_NUMBER },   { "integer", VALUE_INTEGER },
        { "boolean", VALUE_BOOLEAN }, { "string", VALUE_STRING },
    };
    yyjson_val *json = yyjson_obj_get(object, "type");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (yyjson_equals_str(json, types[i].text))
            return types[i].kind;
    model_refuse(&reader->reasons, "%s \"%s\": type is %s; number, integer, boolean and string are known", at.what,
                 at.name, yyjson_is_str(json) ? yyjson_get_str(json) : type_text(json));
    return VALUE_NONE;
}

static void take_encoding(reader *reader, place at, yyjson_val *object, model_schema *schema)
{
    yyjson_val *encoding = yyjson_obj_get(object, "contentEncoding");
    schema->is_base64 = yyjson_equals_str(encoding, "base64");
    if (encoding != NULL && !schema->is_base64)
        model_refuse(&reader->reasons, "%s \"%s\": contentEncoding is known as \"base64\" only", at.what, at.name);
}

/* `is_input`: an application writes it, so every constraint must be one the host checks. */
static void take_schema(reader *reader, place at, yyjson_val *object, bool is_input, model_schema *schema)
{
    schema->kind = take_type(reader, at, object);
    take_bound(reader, at, object, "minimum", &schema->has_minimum, &schema->minimum);
    take_bound(reader, at, object, "maximum", &schema->has_maximum, &schema->maximum);
    take_encoding(reader, at, object, schema);
    if (schema->kind == VALUE_STRING) {
        schema->length_maximum = STRING_LENGTH_DEFAULT;
        take_length(reader, at, object, "minLength", &schema->length_minimum);
        take_length(reader, at, object, "maxLength", &schema->length_maximum);
    }
    for (size_t i = 0; is_input && i < sizeof unchecked / sizeof *unchecked; i++)
        if (yyjson_obj_get(object, unchecked[i]) != NULL)
            model_refuse(&reader->reasons, "%s \"%s\": the host does not check \"%s\"; check it in the twin", at.what,
                         at.name, unchecked[i]);
}

/* An object of at most `most` members. NULL after a reason, or when it is not there. */
static yyjson_val *take_object(reader *reader, yyjson_val *parent, const char *member, size_t most)
{
    yyjson_val *json = yyjson_obj_get(parent, member);
    if (json == NULL)
        return NULL;
    if (!yyjson_is_obj(json)) {
        model_refuse(&reader->reasons, "%s: is %s, not an object", member, type_text(json));
        return NULL;
    }
    if (yyjson_obj_size(json) > most) {
        model_refuse(&reader->reasons, "%s: has %zu members, at most %zu are taken", member, yyjson_obj_size(json),
                     most);
        return NULL;
    }
    return json;
}

static bool is_object(reader *reader, place at, yyjson_val *json)
{
    if (!yyjson_is_obj(json))
        model_refuse(&reader->reasons, "%s \"%s\": is %s, not an object", at.what, at.name, type_text(json));
    else if (yyjson_obj_get(json, "tm:ref") != NULL)
        model_refuse(&reader->reasons, "%s \"%s\": tm:ref is not followed; write it out here", at.what, at.name);
    return yyjson_is_obj(json);
}

static void take_source(reader *reader, place at, yyjson_val *object, source *source)
{
    yyjson_val *json = yyjson_obj_get(object, "dromio:source");
    *source = SOURCE_TWIN;
    if (json == NULL)
        return;
    for (int i = SOURCE_DEVICE; i <= SOURCE_APPLICATION; i++)
        if (yyjson_equals_str(json, source_text((enum source)i))) {
            *source = (enum source)i;
            return;
        }
    model_refuse(&reader->reasons, "%s \"%s\": dromio:source is \"device\", \"twin\" or \"application\"", at.what,
                 at.name);
}

static void take_property(reader *reader, yyjson_val *key, yyjson_val *json)
{
    model_property *property = &reader->model->properties[reader->model->property_count++];
    place at = { "property", yyjson_get_str(key) };
    property->stale_property = -1;
    if (!take_name(reader, at.what, key, property->name) || !is_object(reader, at, json))
        return;
    property->is_writable = !take_flag(reader, at, json, "readOnly");
    property->is_private = take_flag(reader, at, json, "dromio:private");
    take_schema(reader, at, json, property->is_writable, &property->schema);
    take_unit(reader, at, json, property->unit);
    take_source(reader, at, json, &property->source);
}

/* After all properties, since it names one. */
static void take_stale(reader *reader, uint32_t index, yyjson_val *object)
{
    model_property *property = &reader->model->properties[index];
    yyjson_val *json = yyjson_obj_get(object, "dromio:stale");
    if (json == NULL)
        return;
    yyjson_val *name = yyjson_obj_get(json, "property"), *times = yyjson_obj_get(json, "times");
    int found = -1;
    if (yyjson_is_str(name))
        found = model_property_find(reader->model, yyjson_get_str(name), yyjson_get_len(name));
    if (found < 0) {
        model_refuse(&reader->reasons, "property \"%s\": dromio:stale.property names no property of this model",
                     property->name);
        return;
    }
    property->stale_property = (int16_t)found;
    property->stale_times = yyjson_is_uint(times) && yyjson_get_uint(times) <= UINT16_MAX
                          ? (uint16_t)yyjson_get_uint(times) : 0; /* the rules refuse 0 */
}

static void take_properties(reader *reader, yyjson_val *root)
{
    yyjson_val *properties = take_object(reader, root, "properties", MODEL_PROPERTIES_MAX);
    yyjson_val *key, *json;
    size_t i, count;
    if (properties == NULL)
        return;
    yyjson_obj_foreach(properties, i, count, key, json)
        take_property(reader, key, json);
    yyjson_obj_foreach(properties, i, count, key, json)
        take_stale(reader, (uint32_t)i, json);
}

static bool is_required(yyjson_val *required, yyjson_val *key)
{
    yyjson_val *name;
    size_t i, count;
    if (!yyjson_is_arr(required))
        return false;
    yyjson_arr_foreach(required, i, count, name)
        if (yyjson_equals_strn(name, yyjson_get_str(key), yyjson_get_len(key)))
            return true;
    return false;
}

static void check_required(reader *reader, place at, yyjson_val *required, yyjson_val *members)
{
    yyjson_val *name;
    size_t i, count;
    if (required == NULL)
        return;
    if (!yyjson_is_arr(required)) {
        model_refuse(&reader->reasons, "%s \"%s\": input.required is not an array", at.what, at.name);
        return;
    }
    yyjson_arr_foreach(required, i, count, name)
        if (!yyjson_is_str(name) || yyjson_obj_getn(members, yyjson_get_str(name), yyjson_get_len(name)) == NULL)
            model_refuse(&reader->reasons, "%s \"%s\": input.required names no member of the input", at.what, at.name);
}

static void take_inputs(reader *reader, place at, yyjson_val *input, model_action *action)
{
    yyjson_val *members = yyjson_obj_get(input, "properties"), *required = yyjson_obj_get(input, "required");
    yyjson_val *key, *json;
    size_t i, count;
    if (!yyjson_equals_str(yyjson_obj_get(input, "type"), "object") || !yyjson_is_obj(members)) {
        model_refuse(&reader->reasons, "%s \"%s\": input is an object with properties, or absent", at.what, at.name);
        return;
    }
    if (yyjson_obj_size(members) > MODEL_INPUTS_MAX) {
        model_refuse(&reader->reasons, "%s \"%s\": input has more than %d members", at.what, at.name, MODEL_INPUTS_MAX);
        return;
    }
    check_required(reader, at, required, members);
    yyjson_obj_foreach(members, i, count, key, json) {
        model_input *member = &action->inputs[action->input_count++];
        place inside = { "input", yyjson_get_str(key) };
        if (!take_name(reader, inside.what, key, member->name) || !is_object(reader, inside, json))
            continue;
        take_schema(reader, inside, json, true, &member->schema);
        member->schema.is_required = is_required(required, key);
    }
}

static void take_actions(reader *reader, yyjson_val *root)
{
    yyjson_val *actions = take_object(reader, root, "actions", MODEL_ACTIONS_MAX);
    yyjson_val *key, *json;
    size_t i, count;
    if (actions == NULL)
        return;
    yyjson_obj_foreach(actions, i, count, key, json) {
        model_action *action = &reader->model->actions[reader->model->action_count++];
        place at = { "action", yyjson_get_str(key) };
        if (!take_name(reader, at.what, key, action->name) || !is_object(reader, at, json))
            continue;
        yyjson_val *input = yyjson_obj_get(json, "input");
        if (input != NULL)
            take_inputs(reader, at, input, action);
    }
}

static void take_events(reader *reader, yyjson_val *root)
{
    yyjson_val *events = take_object(reader, root, "events", MODEL_EVENTS_MAX);
    yyjson_val *key, *json;
    size_t i, count;
    if (events == NULL)
        return;
    yyjson_obj_foreach(events, i, count, key, json) {
        model_event *event = &reader->model->events[reader->model->event_count++];
        place at = { "event", yyjson_get_str(key) };
        if (!take_name(reader, at.what, key, event->name) || !is_object(reader, at, json))
            continue;
        yyjson_val *data = yyjson_obj_get(json, "data");
        if (data == NULL)
            continue;
        event->kind = take_type(reader, at, data);
        take_unit(reader, at, data, event->unit);
    }
}

static void check_default(reader *reader, place at, yyjson_val *json, const model_schema *schema)
{
    value value = { .kind = VALUE_NONE };
    if (json == NULL || schema->kind == VALUE_NONE)
        return;
    if (yyjson_is_num(json))
        value = (struct value){ .kind = VALUE_NUMBER, .number = yyjson_get_num(json) };
    else if (yyjson_is_bool(json))
        value = (struct value){ .kind = VALUE_BOOLEAN, .boolean = yyjson_get_bool(json) };
    else if (yyjson_is_str(json) && yyjson_get_len(json) <= VALUE_STRING_MAX)
        value = (struct value){ .kind = VALUE_STRING, .length = (uint32_t)yyjson_get_len(json),
                                .string = yyjson_get_str(json) };
    if (model_check(schema, &value) != DRO_OK)
        model_refuse(&reader->reasons, "%s \"%s\": its default does not fit its own type and bounds", at.what, at.name);
}

static void take_secrets(reader *reader, yyjson_val *root)
{
    yyjson_val *secrets = take_object(reader, root, "dromio:secrets", MODEL_SECRETS_MAX);
    yyjson_val *key, *json;
    size_t i, count;
    if (secrets == NULL)
        return;
    yyjson_obj_foreach(secrets, i, count, key, json) {
        model_input *secret = &reader->model->secrets[reader->model->secret_count++];
        place at = { "secret", yyjson_get_str(key) };
        if (!take_name(reader, at.what, key, secret->name) || !is_object(reader, at, json))
            continue;
        take_schema(reader, at, json, true, &secret->schema);
        check_default(reader, at, yyjson_obj_get(json, "default"), &secret->schema);
    }
}

static bool is_or_has(yyjson_val *json, const char *text)
{
    yyjson_val *item;
    size_t i, count;
    if (yyjson_equals_str(json, text))
        return true;
    if (!yyjson_is_arr(json))
        return false;
    yyjson_arr_foreach(json, i, count, item)
        if (yyjson_equals_str(item, text))
            return true;
    return false;
}

/* Both may be left out; what is there must be that of a Thing Model 1.1. */
static void check_document(reader *reader, yyjson_val *root)
{
    yyjson_val *type = yyjson_obj_get(root, "@type"), *context = yyjson_obj_get(root, "@context");
    if (type != NULL && !is_or_has(type, "tm:ThingModel"))
        model_refuse(&reader->reasons, "@type: has no \"tm:ThingModel\"; is this a Thing Description?");
    if (context != NULL && !is_or_has(context, "https://www.w3.org/2022/wot/td/v1.1"))
        model_refuse(&reader->reasons, "@context: has no \"https://www.w3.org/2022/wot/td/v1.1\" (WoT 1.1)");
}

static void take_document(reader *reader, yyjson_val *root)
{
    yyjson_val *version = yyjson_obj_get(root, "version");
    place at = { "model", "" };
    check_document(reader, root);
    if (take_text(reader, at, "\"dromio:model\" (maker/name)", yyjson_obj_get(root, "dromio:model"),
                  reader->model->name, sizeof reader->model->name))
        at.name = reader->model->name;
    take_text(reader, at, "version.model", yyjson_is_obj(version) ? yyjson_obj_get(version, "model") : NULL,
              reader->model->version, sizeof reader->model->version);
    take_properties(reader, root);
    take_actions(reader, root);
    take_events(reader, root);
    take_secrets(reader, root);
    model_rules_check(reader->model, &reader->reasons);
}

dro_err model_parse(model *out, const char *json, size_t length, model_reason_fn reason, void *context)
{
    reader reader = { .model = out, .reasons = { .tell = reason, .context = context } };
    yyjson_read_err error;
    memset(out, 0, sizeof *out);
    if (length == 0 || length > MODEL_JSON_MAX) {
        model_refuse(&reader.reasons, "the model has %zu bytes, 1 to %d are taken", length, MODEL_JSON_MAX);
        return DRO_MALFORMED;
    }
    /* Without the in-place flag yyjson does not write to its input. */
    yyjson_doc *document = yyjson_read_opts((char *)(uintptr_t)json, length, YYJSON_READ_NOFLAG, NULL, &error);
    if (document == NULL && error.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return DRO_NOMEM;
    if (document == NULL)
        model_refuse(&reader.reasons, "the model is not JSON: %s at byte %zu", error.msg, error.pos);
    else if (!yyjson_is_obj(yyjson_doc_get_root(document)))
        model_refuse(&reader.reasons, "the model is a JSON %s, not an object",
                     yyjson_get_type_desc(yyjson_doc_get_root(document)));
    else
        take_document(&reader, yyjson_doc_get_root(document));
    yyjson_doc_free(document);
    return reader.reasons.count == 0 ? DRO_OK : DRO_MALFORMED;
}

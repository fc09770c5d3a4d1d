/* Model: what a twin shows to applications. Read from the W3C Thing Model 1.1
 * JSON inside an image by admit (foreign bytes), carried to the other rooms as
 * the checked flat form of model_write.
 *
 * Indexes of properties, actions, events and secrets are their order in the
 * JSON; the twin's generated header and the host agree by that.
 *
 * Our annotations in the Thing Model:
 *   "dromio:model": "acme/thermo"            the model's name (maker/name, required)
 *   "version": {"model": "1.0.0"}            required
 *   "dromio:secrets": {"calibration": {"type": "number", "default": 0},
 *                      "key": {"type": "string", "contentEncoding": "base64", "minLength": 16, "maxLength": 64}}
 *   property "dromio:source": "device" | "twin" | "application"   (default: twin)
 *   property "dromio:private": true          stays in the context, never shown
 *   property "dromio:stale": {"property": "period", "times": 3}   too old after times x its value in seconds
 * Names are a letter, then letters, digits and _; a model's name is lower case.
 * minLength and maxLength count bytes; of a base64 secret, decoded bytes.
 * JSON Schema words the host would not enforce (enum, pattern, ...) are refused where an
 * application writes. Secrets together, and the inputs of an action, fit into one event.
 * A twin gets a base64 secret decoded. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/builder.h"
#include "base/cursor.h"
#include "twin/quality.h"
#include "twin/value.h"

enum {
    MODEL_NAME_MAX = 63,      /* bytes of a model's, property's, action's name */
    MODEL_UNIT_MAX = 15,
    MODEL_VERSION_MAX = 31,
    MODEL_PROPERTIES_MAX = 64,
    MODEL_ACTIONS_MAX = 32,
    MODEL_EVENTS_MAX = 32,
    MODEL_SECRETS_MAX = 16,
    MODEL_INPUTS_MAX = 8,     /* members of an action's input */
    MODEL_JSON_MAX = 65536,   /* bytes of the Thing Model */
    MODEL_FLAT_MAX = 40960,   /* always enough for model_write */
    MODEL_REASON_MAX = 200,   /* bytes of one reason for refusal, with NUL */
};

/* The type of a value and what is allowed in it (a part of JSON Schema). */
typedef struct model_schema {
    value_kind kind;
    bool has_minimum, has_maximum;
    double minimum, maximum;     /* number and integer */
    uint16_t length_minimum;     /* string: bytes */
    uint16_t length_maximum;     /* string: bytes, at most VALUE_STRING_MAX; 64 when not said */
    bool is_base64;              /* secrets only */
    bool is_required;            /* action inputs only */
} model_schema;

typedef struct model_property {
    char name[MODEL_NAME_MAX + 1];
    char unit[MODEL_UNIT_MAX + 1];
    model_schema schema;
    source source;
    bool is_writable;            /* readOnly false or absent */
    bool is_private;
    int16_t stale_property;      /* index of the property with the period in seconds, or -1 */
    uint16_t stale_times;
} model_property;

typedef struct model_input {     /* one member of an action's input, or one secret */
    char name[MODEL_NAME_MAX + 1];
    model_schema schema;
} model_input;

typedef struct model_action {
    char name[MODEL_NAME_MAX + 1];
    uint8_t input_count;
    model_input inputs[MODEL_INPUTS_MAX]; /* the members of an input of type object, in order */
} model_action;

typedef struct model_event {
    char name[MODEL_NAME_MAX + 1];
    char unit[MODEL_UNIT_MAX + 1];
    value_kind kind;             /* of its data */
} model_event;

typedef struct model {
    char name[MODEL_NAME_MAX + 1];
    char version[MODEL_VERSION_MAX + 1];
    uint16_t property_count, action_count, event_count, secret_count;
    model_property properties[MODEL_PROPERTIES_MAX];
    model_action actions[MODEL_ACTIONS_MAX];
    model_event events[MODEL_EVENTS_MAX];
    model_input secrets[MODEL_SECRETS_MAX];
} model;

/* Called once for each thing that is wrong. */
typedef void (*model_reason_fn)(void *context, const char *reason);

/* Reads Thing Model JSON. DRO_MALFORMED after telling every reason. */
DRO_CHECKED dro_err model_parse(model *out, const char *json, size_t length, model_reason_fn reason, void *context);

/* The flat form that crosses rooms and stays in the log; model_read checks all of it again. */
void model_write(dro_builder *out, const model *model);
DRO_CHECKED dro_err model_read(model *out, dro_cursor *in);

/* Index by name, or -1. */
int model_property_find(const model *model, const char *name, size_t length);
int model_action_find(const model *model, const char *name, size_t length);
int model_event_find(const model *model, const char *name, size_t length);
int model_secret_find(const model *model, const char *name, size_t length);

/* Does the value fit? An integer is taken for a number schema and a number without
 * fraction for an integer schema (`value` is changed to the schema's kind).
 * DRO_MALFORMED: wrong type or not base64; DRO_RANGE: outside the bounds. */
DRO_CHECKED dro_err model_check(const model_schema *schema, value *value);

/* The bounds for a message: "10 to 65535", "from 10", "at most 3.5", "1 to 64 bytes"; "" where there are none. */
enum { MODEL_BOUNDS_TEXT = 64 };
const char *model_bounds_text(const model_schema *schema, char out[MODEL_BOUNDS_TEXT]);
/* What fits it: "integer, 10 to 65535", "base64, 16 to 16 bytes", "boolean". */
enum { MODEL_SCHEMA_TEXT = MODEL_BOUNDS_TEXT + 16 };
const char *model_schema_text(const model_schema *schema, char out[MODEL_SCHEMA_TEXT]);
const char *value_kind_text(value_kind kind);

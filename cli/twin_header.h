/* The C header `dromio twin build` makes from a model: numbers of properties,
 * actions, events and secrets, typed setters, typed decoders of payloads. */
#pragma once

#include <stdio.h>

#include "twin/model.h"

/* Bytes of the prefix all names of a header share, with NUL. */
enum { TWIN_PREFIX_MAX = MODEL_NAME_MAX + 2 };

/* What the names begin with: "acme/heat-pump" gives "heat_pump",
 * a name that begins with a digit or with the SDK's own "dromio" gets an underscore in front. */
void twin_header_prefix(const model *model, char prefix[TWIN_PREFIX_MAX]);

/* `json` is the Thing Model the model was read from: the defaults of its secrets are there. */
void twin_header_write(FILE *out, const model *model, const char *json, size_t length);

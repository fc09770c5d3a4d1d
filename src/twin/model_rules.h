/* What every model must keep to, whether it comes from JSON or from its flat form.
 * For the files of src/twin only. */
#pragma once

#include "twin/model.h"

/* Where reasons for refusal go. */
typedef struct model_reasons {
    model_reason_fn tell; /* NULL: only counted */
    void *context;
    uint32_t count;
} model_reasons;

void model_refuse(model_reasons *reasons, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A schema of kind VALUE_NONE is passed over when a reason has been told before:
 * the reader of JSON leaves it behind where it has already complained. */
void model_rules_check(const model *model, model_reasons *reasons);

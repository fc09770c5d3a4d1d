/* What the files of admit share. */
#pragma once

#include "cell/admit.h"
#include "cell/wasm.h"

/* Adds a reason to the admit_result `context`. */
void admit_reason(void *context, const char *reason);

/* wabt's wasm-validate looks at the image, in a process of its own with limits.
 * DRO_OK: it did, and told what it refuses. */
DRO_CHECKED dro_err validator_run(const uint8_t *wasm, size_t length, wasm_reason_fn reason, void *context);

/* admit_image, which calls `before_compiler` when only the compiler is still to come. */
DRO_CHECKED dro_err admit_image_staged(const uint8_t *wasm, size_t length, const admit_options *options,
                                       dro_err (*before_compiler)(void), admit_result *result);

/* Closes the process to all but what reading, validating and a child validator need
 * (no network, nothing opened for writing), then to what the compiler needs. */
DRO_CHECKED dro_err admit_confine(void);
DRO_CHECKED dro_err admit_confine_compiler(void);

/* The flat form in which a result crosses to the process that asked. *bytes is malloc'd. */
DRO_CHECKED dro_err admit_result_flatten(const admit_result *result, uint8_t **bytes, size_t *length);
DRO_CHECKED dro_err admit_result_unflatten(admit_result *result, const uint8_t *bytes, size_t length);

/* What the files of admit share. */
#pragma once

#include "cell/admit.h"
#include "cell/wasm.h"

/* Adds a reason to the admit_result `context`. */
void admit_reason(void *context, const char *reason);

/* wabt's wasm-validate looks at the image, in a process of its own with limits.
 * DRO_OK: it did, and told what it refuses. */
DRO_CHECKED dro_err validator_run(const uint8_t *wasm, size_t length, wasm_reason_fn reason, void *context);

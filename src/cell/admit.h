/* Admit: looks at an image before any cell sees it. Allow-list validation by our
 * own reader, a second independent validator (wabt's wasm-validate), the model,
 * the ABI, the rewrite (exports, exact memory) and the compilation to an artifact.
 * Runs in a short-lived process of its own: admit_process.
 *
 * Artifact: a header with what a cell needs to know (memory, event buffer,
 * exported globals, mode), the baseline memory, the compiled code. Only the core's
 * MAC makes it trustworthy; it is never accepted from outside. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "twin/admission.h"

enum {
    ADMIT_MEMORY_MAX = 1024 * 1024,  /* bytes of linear memory */
    ADMIT_CPU_S = 5,
    ADMIT_ADDRESS_SPACE = 512 * 1024 * 1024, /* of data; the engine reserves more address space */
};

/* Options of an engine that must match between admit and cell. */
typedef struct admit_options {
    int no_exact_memory;         /* the switch that turns exact memory off */
    int no_second_validator;     /* fuzzing and unit tests only */
} admit_options;

/* In this process. DRO_OK: looked at, see reason_count. Otherwise it could not be looked at. */
DRO_CHECKED dro_err admit_image(const uint8_t *wasm, size_t length, const admit_options *options, admit_result *result);
void admit_result_free(admit_result *result);

/* Was the artifact made by this engine, for this processor, with these options? Else
 * the image has to be looked at again. */
int admit_artifact_is_current(const uint8_t *artifact, size_t length, const admit_options *options);

/* The same in a child with limits (CPU, memory, no new privileges, no network):
 * reads the image from descriptor `wasm`, writes the flat result to descriptor
 * `out` (both memfds); closes all others but 0 to 2. Returns the exit code for
 * _exit. Forked by dromiod. */
int admit_process(int wasm, int out, const admit_options *options);
/* Reads what admit_process wrote. A child that died is a reason as well (`wait_status` of waitpid). */
DRO_CHECKED dro_err admit_result_read(int out, int wait_status, admit_result *result);

/* What becomes known of an image when it is looked at (cell/admit.h), before any cell
 * runs it: the core keeps it, the rooms pass it on. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "twin/model.h"

enum {
    ADMIT_WASM_MAX = 4 * 1024 * 1024,
    ADMIT_REASONS_MAX = 64,
    ADMIT_IMPORTS_MAX = 32,
};

enum admit_exports { ADMIT_EXPORTS_STATE = 1, ADMIT_EXPORTS_COMPUTE = 2 }; /* dromio_export_state and dromio_import_state; dromio_compute */

typedef struct admit_info {
    uint32_t memory_bytes;       /* as instantiated: exact, or whole pages */
    uint32_t baseline_bytes;     /* part of memory that differs from zero at the start */
    uint8_t is_exact;            /* exact memory; else a fresh instance per turn or plain pages */
    uint8_t is_fresh;            /* needs a fresh instance each turn */
    uint8_t exports;             /* enum admit_exports */
    uint8_t import_count;
    char imports[ADMIT_IMPORTS_MAX][32];
    model model;
} admit_info;

typedef struct admit_result {
    uint8_t *artifact;           /* malloc'd; NULL when rejected */
    size_t artifact_length;
    admit_info info;
    char *model_json;            /* malloc'd Thing Model as it was in the image */
    size_t model_json_length;
    uint32_t reason_count;       /* > 0: rejected */
    char reasons[ADMIT_REASONS_MAX][MODEL_REASON_MAX];
} admit_result;

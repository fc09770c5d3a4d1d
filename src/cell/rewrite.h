/* Rewrite: what admit changes in an image before it is compiled. Every mutable
 * global is exported as dromio:g0, dromio:g1, ..., every table as dromio:t0, ... if
 * tables are written; the memory gets exactly the size it needs where that is
 * known, else its maximum is left to the host; custom sections go.
 *
 * And so that a call can be ended: a second memory of one page, which the engine gives
 * (engine.h), and in each loop, at the start of each function that calls others, and
 * before each bulk operation a look at its first word. The image itself cannot name
 * that memory: what our reader accepts knows one only. */
#pragma once

#include "cell/wasm.h"

typedef struct rewrite_plan {
    uint32_t exact_bytes;  /* memory of page size 1 with min = max = this; 0: whole pages */
    bool has_host_limit;   /* the memory may grow as far as the host lets it */
    bool exports_tables;
} rewrite_plan;

/* *out is malloc'd. */
DRO_CHECKED dro_err rewrite_image(const wasm_image *image, const rewrite_plan *plan, uint8_t **out, size_t *length);

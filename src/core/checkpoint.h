/* The checkpoint: which segments still hold something that lives, and the hand that moves it on. */
#pragma once

#include <stdint.h>

#include "core/core.h"

typedef struct twin twin;

typedef struct base_counts {     /* what lives in a segment, by its number */
    uint32_t *counts;            /* a ring of `capacity` from `first` on */
    uint32_t first, capacity;
} base_counts;

int checkpoint_step(core *core);
/* A new full record of a twin. DRO_AGAIN: not now, or its context is being read for it. */
DRO_CHECKED dro_err checkpoint_rewrite(core *core, uint32_t twin);
uint64_t checkpoint_live_bytes(const core *core); /* what a log of nothing but what lives would take, about */
void base_move(core *core, twin *twin, uint32_t segment); /* its newest full record lies there now; 0: nowhere */
uint32_t base_count(const base_counts *bases, uint32_t segment);
void base_chunk(core *core, uint32_t segment, int by); /* so many more chunks live there */

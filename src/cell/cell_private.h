/* What the files of the cell share. */
#pragma once

#include "cell/cell.h"
#include "cell/image.h"
#include "cell/imports.h"
#include "cell/ticker.h"

struct cell {
    turn turn;                 /* what the imports get */
    cell_options options;
    engine *engine;
    ticker ticker;
    image *images;             /* as many as options.image_count; those not used are all zero */
    uint32_t deadline_micros;  /* the ticker's */
    bool is_blocked;           /* the last round ended because the ring of results was full */
    uint8_t *carried;          /* [CONTEXT_BYTES_MAX] the context that the last turn left, for the next one of the same twin */
    uint32_t carried_length;
    uint64_t carried_twin;     /* 0: nothing is carried */
    uint32_t carried_image;
    uint64_t stamp_start, stamp_start_ns; /* to learn what a stamp is worth */
    double nanos_per_stamp;
};

/* A time stamp that needs no system call whatever clock the kernel uses. */
static inline uint64_t cell_stamp(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t stamp;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(stamp));
    return stamp;
#else
#error "no cycle counter for this processor"
#endif
}

void cell_learn_stamps(cell *cell);
/* cell_turn with context and event where they are. */
size_t cell_turn_of(cell *cell, const turn_request *request, const uint8_t *context, const uint8_t *event, void *result, size_t capacity);
image *cell_image_of(const cell *cell, uint32_t index); /* NULL: not in this cell */
void cell_deadline_set(cell *cell, uint32_t micros);
enum turn_status cell_status_of(const cell *cell, engine_outcome outcome, const engine_memory *memory);
/* One call per image, so that the first turn finds everything in place. */
DRO_CHECKED dro_err cell_warm(cell *cell);

/* Cell: the room with guest code. It has slots (warm, empty instances of images),
 * takes turns from its ring, gives results to the other. It has no keys, files or
 * sockets; after cell_confine the kernel holds it to six system calls. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "ring/message.h"
#include "ring/ring.h"

typedef struct cell cell;

/* An admitted image: the artifact admit made (cell/admit.h), in memory. */
typedef struct cell_image {
    const uint8_t *artifact;   /* mapped read-only; borrowed as long as the cell lives */
    size_t length;             /* 0: this index is not used */
} cell_image;

typedef struct cell_options {
    const cell_image *images;  /* index = turn_request.image */
    uint32_t image_count;
    ring_reader *turns;        /* NULL: only cell_turn is used */
    ring_writer *results;
    int doorbell;              /* own eventfd, -1 in simulation */
    bool manual_ticks;         /* simulation: no ticker thread, deadlines by fuel-like counting are not checked */
    _Atomic uint64_t *running; /* shared with the core: turn id now running (0: none), so a crash blames one turn; may be NULL */
} cell_options;

DRO_CHECKED dro_err cell_new(cell **out, const cell_options *options);
void cell_free(cell *cell);

/* One turn, synchronously. `context` and `event` lie behind `request` as in the
 * message. Writes at most `capacity` bytes of result (struct, context, effects);
 * cell_result_max says how much is always enough for an image. */
size_t cell_turn(cell *cell, const turn_request *request, void *result, size_t capacity);
size_t cell_result_max(const cell *cell, uint32_t image);

/* Takes up to `max` turns from the ring; number taken. Publishes and releases. */
int cell_round(cell *cell, int max);
/* Holds this process to what a running cell needs (seccomp, undumpable). Call last. */
DRO_CHECKED dro_err cell_confine(cell *cell);
/* Works until the process ends. */
_Noreturn void cell_run(cell *cell);

/* Cell: the room with guest code. It has slots (warm, empty instances of images),
 * takes turns from its ring, gives results to the other. It has no keys, files or
 * sockets; after cell_confine the kernel holds it to seven system calls. */
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
    bool manual_ticks;         /* simulation: no ticker thread, so deadlines are not checked */
    _Atomic uint64_t *running; /* shared with the core: id of the turn that runs (0: none), so a crash blames one
                                * turn; may be NULL */
    bool gives_way;            /* once it is warm it has the CPU only while nobody else wants it; each result is told at once,
                                * for it may be long until the next */
} cell_options;

/* The thread that makes a cell is the one that runs its turns: deadlines count its CPU time.
 * DRO_UNSUPPORTED: an artifact of another engine or processor (admit_artifact_is_current);
 * DRO_CORRUPT: not an artifact. */
DRO_CHECKED dro_err cell_new(cell **out, const cell_options *options);
void cell_free(cell *cell);

/* One turn, synchronously. `context` and `event` lie behind `request` as in the
 * message. Writes at most `capacity` bytes of result (struct, context, effects);
 * cell_result_max says how much is always enough for an image. */
size_t cell_turn(cell *cell, const turn_request *request, void *result, size_t capacity);
size_t cell_result_max(const cell *cell, uint32_t image);

/* Upgrades: the state of a twin, in a form of its author's own, from the context of
 * one image to the bytes another image's build understands; both within the room of
 * an event (EVENT_BYTES_MAX). The twin can ask the host for nothing meanwhile.
 * TURN_BAD_RESULT: the image has no such function, or says -1 or too much.
 * TURN_MEMORY: the new context is larger than `capacity`. */
enum turn_status cell_export_state(cell *cell, uint32_t image, const void *context, size_t context_length, void *state,
                                   size_t capacity, size_t *state_length);
enum turn_status cell_import_state(cell *cell, uint32_t image, const void *state, size_t state_length, void *context,
                                   size_t capacity, size_t *context_length);

/* Takes up to `max` turns from the ring; number taken. Publishes and releases.
 * -1: the core broke the ring. */
int cell_round(cell *cell, int max);
/* Holds this process to what a running cell needs (seccomp, undumpable). Only then may it say to whom
 * it belongs that it is ready: so it may still write to that descriptor, -1: none. */
DRO_CHECKED dro_err cell_confine(cell *cell, int ready);
/* What `gives_way` says, of its threads; cell_confine does it. Without that option nothing. */
void cell_give_way(cell *cell);
/* Works until the process ends. */
_Noreturn void cell_run(cell *cell);

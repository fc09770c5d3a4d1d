/* Chunks: records of a twin that hold a part of its queue (core/queue.h), and the list of them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/queue.h"

enum {
    CHUNKS_MAX = 16,             /* of a queue; some are joined before there are more */
    CHUNKS_JOINED_BYTES = 256 * 1024, /* of fields in one that was joined */
};

/* Writes what may leave of a queue's memory, if anything, and frees it, with what is in chunks already. */
void chunks_write(core *core, uint32_t twin);
/* Part of a queue that may leave now? */
bool chunks_may_take(const core *core, uint32_t twin);
/* Those that were read, from read_first on, become one (twin_queue.read has their fields). */
void chunks_join(core *core, uint32_t twin, uint32_t end);
/* The newest small ones, to be joined: where they begin. */
uint32_t chunks_small(const twin_queue *queue);
/* Those placed before `place` or in old logs lie from *first to before *end. False: there are none. */
bool chunks_before(const twin_queue *queue, log_place place, uint32_t *first, uint32_t *end);
void chunks_forget(core *core, uint32_t twin); /* the list: what was in them is in memory or of no use */
/* Checks a chunk's record and gives its fields behind its head. */
DRO_CHECKED dro_err chunk_open(const twin *twin, const queue_chunk *chunk, const record_view *view, dro_cursor *fields);

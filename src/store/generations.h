/* Generations: which logs a host has. Every start with another number of cores begins a generation
 * of that many logs. The logs before it are only read, all of them by every core, until each core
 * has written what it keeps of them into its own new log; then they go.
 *
 * The list is a small file beside the host's own, `generations`, replaced whole. Without it there is
 * generation 0: one log. A generation is on the list once all its logs are there, and a log goes
 * only after its generation is marked as gone: wherever the power is cut, what the list says is
 * on the disk.
 *
 * Only core 0 writes here. */
#pragma once

#include "store/commit_log.h"
#include "store/log_store.h"

enum { GENERATIONS_MAX = 16 }; /* begun and not one of them finished */

typedef struct generation {
    uint32_t number, cores;
    bool is_gone;             /* its logs are not read any more, and may be partly there */
} generation;

typedef struct generations {
    uint32_t count;           /* 1 at least; the last one is written, those before are read */
    generation list[GENERATIONS_MAX];
} generations;

static inline const generation *generation_newest(const generations *list) { return &list->list[list->count - 1]; }

/* Reads the list on `host`, removes what is gone, begins a generation if the newest has not `cores`
 * logs. `store` may be NULL where there never was but generation 0.
 * DRO_LIMIT: GENERATIONS_MAX begun. DRO_CORRUPT, DRO_UNSUPPORTED, DRO_IO: told through dro_log. */
DRO_CHECKED dro_err generations_open(generations *list, disk *host, log_store *store, uint32_t cores);
/* All but the newest go: what they held is in the newest, durable. */
DRO_CHECKED dro_err generations_finish(generations *list, disk *host, log_store *store);
/* Has anything ever been written to one of the logs? What cannot be looked at may have been. */
bool generations_are_written(const generations *list, disk *host, log_store *store);

/* Calls `replay` for each record of the old logs that their replay points lead to: generation by
 * generation, in each log in order. `on_log` (NULL is fine) is told of each before: they are numbered
 * from 1. Changes nothing. */
DRO_CHECKED dro_err generations_replay(const generations *list, log_store *store, void (*on_log)(void *context, uint32_t number),
                                       commit_log_replay_fn replay, void *context);
/* The disk of the old log of that number. DRO_AGAIN: there are fewer. */
DRO_CHECKED dro_err generations_old_log(const generations *list, log_store *store, uint32_t number, disk **out);

enum { GENERATIONS_BYTES_MAX = 20 + GENERATIONS_MAX * 12 };
size_t generations_encode(const generations *list, uint8_t out[GENERATIONS_BYTES_MAX]);
DRO_CHECKED dro_err generations_decode(generations *list, const void *bytes, size_t length);

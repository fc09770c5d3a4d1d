/* Old logs: of another number of cores, read while what lives in them moves to the own one. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "store/commit_log.h"
#include "store/generations.h"

typedef struct core core;

enum { OLD_LOGS_MAX = 255 };     /* a chunk holds their number in a byte */
_Static_assert(GENERATIONS_MAX * 15 <= OLD_LOGS_MAX, "the logs of all but the newest of the generations");

/* A record of the old log of that number (generations_old_log); `buffer` has LOG_RECORD_MAX. */
DRO_CHECKED dro_err old_logs_read(core *core, uint32_t number, log_place place, void *buffer, size_t *length);
void old_logs_close(core *core); /* nothing leads there any more */

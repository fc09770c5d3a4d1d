/* The small files beside the segments: `epoch` (starts of this log), `replay`
 * (where recovery begins, and what the first round there must follow) and `end` (how far it was
 * acknowledged when it was closed). Each is
 * replaced whole, with a CRC32C at its end. Encoding and decoding are pure. */
#pragma once

#include "store/log_round.h"

enum {
    LOG_EPOCH_BYTES = 32,
    /* A restored copy begins so many starts later than its original, so that for as long nobody
     * takes one for the other. Keys never depend on it: each start has random bits of its own. */
    LOG_EPOCH_FENCE = 1024,
    LOG_REPLAY_BYTES = 40 + LOG_GROUPS * 16,
    LOG_END_BYTES = 32,
    LOG_RESTORED_BYTES = 200,    /* that are read of LOG_RESTORED */
};

/* There in a directory that a restore made, with a line that says of which backup, till the host has an entry of it in its audit log. */
#define LOG_RESTORED "restored"

typedef struct log_replay_point {
    uint32_t segment;
    log_state state; /* as it was before the first round of that segment */
} log_replay_point;

void log_epoch_encode(const log_epoch *epoch, uint8_t out[LOG_EPOCH_BYTES]);
/* DRO_CORRUPT: damaged. DRO_UNSUPPORTED: a newer format. */
DRO_CHECKED dro_err log_epoch_decode(log_epoch *epoch, const void *bytes, size_t length);

void log_replay_encode(const log_replay_point *point, uint8_t out[LOG_REPLAY_BYTES]);
DRO_CHECKED dro_err log_replay_decode(log_replay_point *point, const void *bytes, size_t length);

/* DRO_NOT_FOUND: there is none. DRO_CORRUPT and DRO_IO are told through dro_log. */
DRO_CHECKED dro_err log_replay_load(disk *disk, log_replay_point *point);
DRO_CHECKED dro_err log_replay_store(disk *disk, const log_replay_point *point);
/* The newest round that was acknowledged when the log was closed the last time, and its oldest segment then; 0: it never was
 * closed. A log that ends before that has lost something, though it may look like a power cut; one that begins later has lost
 * some of the past, though segments are dropped too. Errors as log_replay_load's, but for DRO_NOT_FOUND. */
typedef struct log_end { uint64_t round, segment; } log_end;
DRO_CHECKED dro_err log_end_load(disk *disk, log_end *end);
DRO_CHECKED dro_err log_end_store(disk *disk, const log_end *end);
/* Where generation 0 was: a replay point of a format that never comes. A dromiod from before there were
 * generations looks there for its log, and would find none and begin an empty host. */
DRO_CHECKED dro_err log_replay_fence(disk *disk);

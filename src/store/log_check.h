/* Log check: are the segments of a log whole? For one who has them as files or in a
 * backup and does not open the log: every checksum of every round is computed, and each
 * round follows the one before. Segments are given in order, oldest first. */
#pragma once

#include "store/log_files.h"

/* Bytes read (fewer only at the end) or -errno. */
typedef int64_t (*log_check_read_fn)(void *context, uint64_t offset, void *buffer, size_t length);

typedef struct log_check_source { /* of one segment */
    log_check_read_fn read;
    void *context;
    uint64_t bytes;
    bool is_exact;   /* it ends with a round: a copy without what was still being written */
} log_check_source;

typedef struct log_check {
    /* what was found */
    uint64_t rounds, records, epoch; /* epoch: of the newest round */
    uint32_t segment;   /* where it is damaged, */
    uint64_t offset;
    const char *why;    /* and how; NULL: it is not */
    /* how far it is */
    bool has_replay, is_begun;
    log_replay_point replay;
    log_state state;
    uint64_t known;     /* groups whose chain is known */
    uint32_t next;      /* segment that comes next; 0: any */
    uint32_t stop_segment; /* where rounds ended before their segment did, */
    uint64_t stop_offset;
    const char *stop_why;  /* and why; NULL: nowhere */
    uint8_t *window;
    uint64_t window_start;
    size_t window_length;
} log_check;

/* `replay`: what the log's file of that name says; NULL: there is none. */
DRO_CHECKED dro_err log_check_init(log_check *check, const log_replay_point *replay);
void log_check_fini(log_check *check);
/* DRO_CORRUPT: damaged, see segment, offset and why. DRO_UNSUPPORTED: of a newer version. DRO_IO: errno says why. */
DRO_CHECKED dro_err log_check_segment(log_check *check, uint32_t number, const log_check_source *source);
/* After the last segment, which is given again: is what lies behind its last round only what a power cut leaves? */
DRO_CHECKED dro_err log_check_end(log_check *check, const log_check_source *last);

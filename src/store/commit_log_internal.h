/* What the parts of the commit log share: commit_log.c writes, commit_log_recover.c
 * opens, commit_log_read.c reads and walks. */
#pragma once

#include "store/commit_log.h"
#include "store/log_files.h"
#include "store/log_round.h"
#include "store/log_segments.h"

enum {
    LOG_BUFFERS = LOG_ROUNDS_IN_FLIGHT + 1,       /* those being written and the one being gathered */
    LOG_ROUND_RECORDS_MAX = 65536,
    LOG_WALK_BYTES = LOG_RECORD_MAX + LOG_BLOCK,  /* a walk's window: any record fits */
    LOG_WALK_STEP = 64 * 1024,                    /* what it reads at a time where records are small */
};

typedef struct log_flight {
    uint64_t round;
    uint32_t segment;
    uint32_t buffer;
    uint64_t end;       /* behind the round in its segment */
    log_place end_place;
    bool is_done;
    int error;
} log_flight;

enum { LOG_FETCH_AHEAD = 1024 }; /* most records are smaller: one read does */
typedef struct log_fetch {
    bool is_used;
    uint64_t tag;
    log_place place;
    int64_t result;     /* of the disk */
    size_t wanted;      /* bytes asked for, the record's header with them */
    uint8_t *bytes;     /* `ahead`, or as long as the record; then owned */
    uint8_t ahead[LOG_FETCH_AHEAD];
} log_fetch;

struct commit_log {
    disk *disk;
    uint32_t segment_bytes;
    size_t round_bytes; /* most that one round takes */
    void *context;
    log_place (*on_placed)(void *context, uint64_t tag, log_place place);
    void (*on_soon)(void *context, uint64_t tag);
    void (*on_ahead)(void *context, int step, const uint8_t *record, size_t length);
    void (*on_read)(void *context, uint8_t *record, size_t length);
    log_segments segments;
    log_replay_point replay;
    log_state state;        /* after the newest round submitted */
    uint32_t last;          /* segment being written; not made yet when it is not in `segments` */
    uint64_t last_offset;   /* where the next round goes */
    uint64_t written;       /* bytes of rounds */
    uint64_t durable;       /* newest round that survives */
    log_place end_place;    /* behind its last record */
    bool is_failed;
    bool is_end_kept;         /* it was opened to write, so its closing is worth a word in `end` */

    uint8_t *buffers[LOG_BUFFERS];
    bool buffer_is_used[LOG_BUFFERS];
    size_t buffer_filled[LOG_BUFFERS]; /* by the largest round that was in it */
    uint32_t gathering;     /* buffer of `round` */
    log_round round;
    uint64_t *tags;         /* of the records gathered */
    uint32_t *offsets;

    log_flight flights[LOG_ROUNDS_IN_FLIGHT]; /* oldest first, from `flight_first` */
    uint32_t flight_first, flight_count;

    uint8_t *walk_bytes;    /* LOG_WALK_BYTES */

    log_fetch *fetches;     /* [LOG_FETCHES_MAX] */
    uint32_t fetch_count;   /* used */
    uint8_t fetch_done[LOG_FETCHES_MAX]; /* their numbers, those that are there */
    uint32_t fetch_done_count;
    uint32_t fetch_shown;   /* the one that was given out; LOG_FETCHES_MAX: none */
    bool may_signal;        /* somebody slept on the disk's descriptor: it is to be cleared */
};

bool log_walk_room(commit_log *log); /* makes walk_bytes. False: no memory */
DRO_CHECKED dro_err log_fetches_init(commit_log *log);
void log_fetches_fini(commit_log *log); /* waits for those under way */
dro_err log_damaged(const log_segment *segment, uint64_t offset, const char *why);

/* Fills `segments`, `replay`, `state` and all that follows from them. */
DRO_CHECKED dro_err commit_log_recover(commit_log *log, uint64_t epoch, commit_log_replay_fn replay, void *context);

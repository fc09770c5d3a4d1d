/* Replay: while one thread reads and checks the rounds of a log, its owner works on the records of
 * those before. The thread goes at most one segment ahead, and is gone when replay is. Order is the
 * log's: the owner sees no record before all before it.
 *
 * Only the thread touches the disk meanwhile. What its owner has it do with records that are checked (commit_log_options.on_read)
 * it does before they are given. */
#pragma once

#include "store/commit_log.h"
#include "store/log_round.h"

typedef struct log_replay log_replay;

typedef struct log_replay_options {
    size_t capacity;    /* bytes of the largest segment */
    commit_log_replay_fn replay; /* NULL: records are of no interest */
    void (*on_ahead)(void *context, int step, const uint8_t *record, size_t length); /* as in commit_log_options */
    void *context;
    /* Runs in the thread: reads rounds, and gives them with the functions below. What it returns is the
     * end of replay, unless a record was the end before. */
    dro_err (*read)(void *reader, log_replay *replay);
    void *reader;
} log_replay_options;

/* Blocks until all is replayed or something failed. */
DRO_CHECKED dro_err log_replay_run(const log_replay_options *options);

/* For `read` only. A segment begins: the room for its bytes, with nothing in it. NULL: nobody wants more. */
uint8_t *log_replay_enter(log_replay *replay, uint32_t segment);
/* All rounds of the segment up to `offset` are good. False: nobody wants more. */
bool log_replay_ready(log_replay *replay, uint64_t offset);

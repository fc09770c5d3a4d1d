/* Commit log: the truth on disk. Append-only segments of frames; a frame holds
 * one log group's records of a round, with length, checksum (CRC32C), sequence,
 * the group's epoch and a hash of the group's previous frame. A round writes all
 * its frames with one write that is durable when it completes; several rounds may
 * be in flight and are acknowledged strictly in order.
 *
 * Records are opaque here, but for their first 8 bytes: the place of the same
 * object's previous record (0: none). The log fills them in when it places the
 * record, so that a twin's timeline is a chain through the log.
 *
 * An I/O error is final: commit_log_failed, and nothing is acknowledged any more.
 * Belongs to one core. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/disk.h"

enum {
    LOG_GROUPS = 64,                      /* 4096 partitions, 64 each */
    LOG_RECORD_MAX = 512 * 1024,          /* one record */
    LOG_ROUND_BYTES_MAX = 4 * 1024 * 1024,/* one round; past it commit_log_append says DRO_AGAIN */
    LOG_ROUNDS_IN_FLIGHT = 4,
    LOG_AHEAD = 24,                       /* records that replay looks ahead */
    LOG_FETCHES_MAX = 128,                /* records being read at the same time */
    LOG_SEGMENT_BYTES = 64 * 1024 * 1024, /* default */
};

typedef struct commit_log commit_log;
typedef uint64_t log_place; /* segment number << 32 | offset / 8 of the record; 0: nowhere. Later is larger. */

typedef struct commit_log_options {
    disk *disk;              /* borrowed */
    uint64_t epoch;          /* of this start; larger than any before (see commit_log_epoch_next) */
    uint32_t segment_bytes;  /* 0: LOG_SEGMENT_BYTES */
    void *context;
    /* A record found its place (at submit). `tag` as given to append. Returns the
     * object's previous place, which goes into the record's first 8 bytes. May be NULL. */
    log_place (*on_placed)(void *context, uint64_t tag, log_place place);
    void (*on_soon)(void *context, uint64_t tag); /* on_placed comes after a few others: for the cache. NULL is fine */
    /* A record that replay gives soon, LOG_AHEAD records before it, LOG_AHEAD / 2 and LOG_AHEAD / 8 (`step` 0
     * to 2): a hint for the owner's caches, of bytes that are checked. May be NULL. */
    void (*on_ahead)(void *context, int step, const uint8_t *record, size_t length);
    /* A record that was read and checked, long before replay gives it, in the thread that reads: the owner may change its bytes
     * but for their number, as long as that needs nothing that replay touches. In order. May be NULL. */
    void (*on_read)(void *context, uint8_t *record, size_t length);
} commit_log_options;

/* Called for each record from the replay point on, in order. The bytes are
 * borrowed and start with the 8 bytes of the previous place. */
typedef dro_err (*commit_log_replay_fn)(void *context, uint32_t group, log_place place, const uint8_t *record, size_t length);

/* Opens or creates; replays. The first torn or foreign frame ends the log there
 * (that is where the power went); damage before the end is DRO_CORRUPT, told with
 * file and offset through dro_log. */
DRO_CHECKED dro_err commit_log_open(commit_log **out, const commit_log_options *options,
                                    commit_log_replay_fn replay, void *context);
void commit_log_close(commit_log *log); /* NULL is fine. Waits for rounds in flight */

/* Replays a log that nobody writes any more, as open does, and changes nothing. */
DRO_CHECKED dro_err commit_log_replay(disk *disk, commit_log_replay_fn replay, void *context);
/* The same log for commit_log_read, commit_log_walk (whose *place is 0 when all was seen), commit_log_segment_first and _last, and nothing
 * else but commit_log_close. */
DRO_CHECKED dro_err commit_log_open_old(commit_log **out, disk *disk);
/* Makes an empty log to be replayed, where there is none: it is there once this returns. */
DRO_CHECKED dro_err commit_log_make(disk *disk);

/* Copies the record (whose first 8 bytes are reserved) into the round being
 * gathered. DRO_AGAIN: the round is full, submit first. */
DRO_CHECKED dro_err commit_log_append(commit_log *log, uint32_t group, uint64_t tag, const void *record, size_t length);
/* Do a record of that length and another of `more` bytes still fit into the round being gathered? Or is it empty? */
bool commit_log_has_room(const commit_log *log, size_t length, size_t more);
/* The number the round being gathered will have. */
uint64_t commit_log_round(const commit_log *log);
bool commit_log_can_submit(const commit_log *log); /* something gathered and a flight free */
/* Starts writing the gathered round. DRO_LIMIT: no space for a new segment; the round
 * stays gathered, and a later call may do. */
DRO_CHECKED dro_err commit_log_submit(commit_log *log);
/* Space for LOG_ROUNDS_AHEAD full rounds more, whatever the disk has then: to be asked for behind each submit. DRO_LIMIT: there is none
 * for all of them, but for what is left of those that were there. DRO_IO: the log failed. */
enum { LOG_ROUNDS_AHEAD = 2 };
DRO_CHECKED dro_err commit_log_reserve(commit_log *log);
/* Newest round that is durable, after collecting completions (`wait`: for at least one). */
uint64_t commit_log_durable(commit_log *log, bool wait);
bool commit_log_failed(const commit_log *log);
int commit_log_descriptor(commit_log *log); /* to be asked for before each sleep on it */

/* Reads the record at `place` into `buffer` (LOG_RECORD_MAX holds any), checked
 * by its frame's checksum or an own one. DRO_NOT_FOUND: its segment was dropped
 * (or never was). Works for records already durable. */
DRO_CHECKED dro_err commit_log_read(commit_log *log, log_place place, void *buffer, size_t capacity, size_t *length);

/* The same without waiting: asked for now, begun with commit_log_fetch_start, there when
 * commit_log_fetched gives it. DRO_AGAIN: LOG_FETCHES_MAX are under way. DRO_NOT_FOUND: as above. */
typedef struct log_fetched {
    uint64_t tag;          /* as given */
    log_place place;
    dro_err err;           /* DRO_IO, DRO_CORRUPT: told through dro_log with file and offset; DRO_NOMEM */
    const uint8_t *record; /* borrowed until the next call */
    size_t length;
} log_fetched;
DRO_CHECKED dro_err commit_log_fetch(commit_log *log, log_place place, uint64_t tag);
void commit_log_fetch_start(commit_log *log);
bool commit_log_fetched(commit_log *log, log_fetched *out); /* the next one that is there */
bool commit_log_fetch_waits(commit_log *log);               /* is one there? */
uint32_t commit_log_fetching(const commit_log *log);        /* under way */

/* Walks records forward from `*place` (0: the oldest kept); calls `each` until it
 * returns false, `max` records were seen or the durable end is reached. *place is then where
 * to go on; it is commit_log_end when all was seen. DRO_NOT_FOUND: that place was dropped, or
 * never was one. */
DRO_CHECKED dro_err commit_log_walk(commit_log *log, log_place *place, uint32_t max,
                                    bool (*each)(void *context, uint32_t group, log_place place, const uint8_t *record, size_t length),
                                    void *context);
/* Place just behind the newest durable record: where a stream of "from now on" starts. */
log_place commit_log_end(const commit_log *log);

/* Segments: the owner rewrites objects whose newest full record lies in old
 * segments, then moves the replay point and drops what is not wanted. */
uint32_t commit_log_segment_first(const commit_log *log); /* oldest kept */
uint32_t commit_log_segment_last(const commit_log *log);  /* being written */
static inline uint32_t log_place_segment(log_place place) { return (uint32_t)(place >> 32); }
uint32_t commit_log_replay_segment(const commit_log *log);
/* Recovery starts at `segment` from now on (kept in a small file, durable on
 * return). DRO_AGAIN: a round before that segment is still being written. That what
 * was rewritten for it is durable is the owner's to know. */
DRO_CHECKED dro_err commit_log_set_replay(commit_log *log, uint32_t segment);
/* Removes segments before `segment`, which may not be later than the replay segment.
 * DRO_AGAIN: a record of one is being fetched; those before it are gone. */
DRO_CHECKED dro_err commit_log_drop(commit_log *log, uint32_t segment);
uint64_t commit_log_bytes(const commit_log *log); /* on disk */
uint64_t commit_log_written(const commit_log *log); /* in rounds, since it was opened */
size_t commit_log_memory(const commit_log *log); /* bytes that rounds have filled: at most (LOG_ROUNDS_IN_FLIGHT + 1) * LOG_ROUND_BYTES_MAX, kept for the next */

/* Copying a log while it is written: its `replay`, then of each kept segment its name
 * and as many bytes as are durable now (0: none, or no such segment). They do not change any
 * more as long as the segment is not dropped. */
disk *commit_log_disk(const commit_log *log); /* where all of them are */
uint64_t commit_log_segment_bytes(const commit_log *log, uint32_t segment);
enum { LOG_NAME_BYTES = 32 };
void log_segment_name(uint32_t number, char name[LOG_NAME_BYTES]);

/* Reads the newest epoch kept in the directory and keeps a larger one durably:
 * `fresh` (64 random bits for keys) and the counter are both durable before return. */
typedef struct log_epoch { uint64_t counter; uint64_t random; } log_epoch;
DRO_CHECKED dro_err commit_log_epoch_next(disk *disk, uint64_t random, log_epoch *out);

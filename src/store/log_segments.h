/* Segments: the files of one log, numbered from 1 without a gap, and the spare
 * files that once were segments. A spare is used again under a new number: its
 * blocks are written already, so a durable write costs half of what it costs in
 * space only allocated (measured: 128 KiB rounds, 4 in flight, 19,500 a second
 * instead of 8,000). Its old bytes belong to other places and never pass a check. */
#pragma once

#include "store/log_round.h"

enum {
    LOG_FILES_OPEN_MAX = 240, /* segments open for reading at once, beside those being read */
    LOG_SPARES_MAX = 4,
};
#define LOG_END_UNKNOWN UINT64_MAX

typedef struct log_segment {
    uint32_t number;
    int file;          /* -1: not open */
    bool is_pinned;    /* being written: its file stays open */
    uint32_t fetches;  /* under way: its file stays open */
    uint64_t bytes;    /* of the file */
    uint64_t end;      /* behind its last durable round; LOG_END_UNKNOWN: older than the replay point, not yet looked at */
    uint64_t used;     /* when it was last read, for choosing what to close */
    log_state *start;  /* state before its first round; NULL where `end` is unknown. Owned */
} log_segment;

typedef struct log_segments {
    disk *disk;
    log_segment *list; /* by number, without a gap */
    uint32_t count;
    uint32_t capacity;
    uint32_t open_count;
    uint64_t clock;    /* of `used` */
    uint32_t spares[LOG_SPARES_MAX]; /* names of spare files */
    uint32_t spare_count;
    uint64_t spare_bytes;
    bool is_read_only; /* somebody else's: spares are not looked at */
} log_segments;

void log_segments_init(log_segments *segments, disk *disk);
void log_segments_fini(log_segments *segments); /* closes files */

/* Lists what is there. DRO_CORRUPT: a segment is missing, in between or the one to
 * begin at (`from`; it may not be made yet when all are before it). */
DRO_CHECKED dro_err log_segments_scan(log_segments *segments, uint32_t from);

log_segment *log_segments_at(const log_segments *segments, uint32_t number); /* NULL: not there */
/* Opens the segment's file, closing another where too many are open. */
DRO_CHECKED dro_err log_segments_open(log_segments *segments, log_segment *segment);
/* Appends segment `number` (the last + 1, or any when there is none), of `bytes`, for writing:
 * a spare or a new file. DRO_LIMIT: no space on the disk. */
DRO_CHECKED dro_err log_segments_add(log_segments *segments, uint32_t number, uint64_t bytes, const log_state *start);
/* So many spares of `bytes`, so that so many segments can be added with a disk that is full; fewer than LOG_SPARES_MAX. DRO_LIMIT: no
 * space for them. */
DRO_CHECKED dro_err log_segments_reserve(log_segments *segments, uint32_t count, uint64_t bytes);
/* Forgets the first segment; its file becomes a spare or goes. */
DRO_CHECKED dro_err log_segments_drop_first(log_segments *segments, uint64_t spare_bytes);
/* Removes the last segment's file. */
DRO_CHECKED dro_err log_segments_remove_last(log_segments *segments);
uint64_t log_segments_bytes(const log_segments *segments);

/* The bytes of a round, as they lie in a segment. Pure: no file, no clock.
 *
 *   round  = header 64, record*, mark 8, frame 48 *, zeros up to a multiple of 4096
 *   record = word u32 (kind 6 bits, group 6 bits, length 20 bits), crc u32, bytes, zeros up to a multiple of 8
 *   mark   = word u32 (kind, frames), crc u32: here the records end
 *
 * Little-endian. A round begins at a multiple of 4096. Records lie in the order
 * they were appended, whatever their groups, so a later place is a later record.
 * A frame speaks for all records of one group in its round: how many, how long,
 * and a CRC over their words and CRCs, beside the group's epoch, its sequence and
 * the hash of the group's previous frame.
 *
 * A record's CRC begins with its place, so bytes from another segment, or from
 * another life of a recycled file, never pass for it. CRC and hash find damage,
 * not forgery: what must not be forged is sealed before it comes here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/commit_log.h"

enum {
    LOG_BLOCK = 4096,
    LOG_ROUND_HEADER = 64,
    LOG_RECORD_HEADER = 8,
    LOG_MARK_BYTES = 8,
    LOG_FRAME_BYTES = 48,
    LOG_RECORD_MIN = 8,    /* the previous place */
    LOG_FORMAT = 1,
};

/* What a round must follow. */
typedef struct log_chain {
    uint64_t sequence; /* of the group's newest frame; 0: none yet */
    uint64_t hash;     /* of that frame */
} log_chain;
typedef struct log_state {
    uint64_t epoch; /* of the newest round */
    uint64_t round; /* number of the newest round; 0: none yet */
    log_chain groups[LOG_GROUPS];
} log_state;

/* Bytes that a round with these records takes, without the padding at its end. */
static inline size_t log_round_size(size_t record_bytes, size_t frames)
{
    return LOG_ROUND_HEADER + record_bytes + LOG_MARK_BYTES + frames * LOG_FRAME_BYTES;
}
static inline size_t log_record_size(size_t length)
{
    return LOG_RECORD_HEADER + ((length + 7) & ~(size_t)7);
}
static inline size_t log_block_up(size_t bytes)
{
    return (bytes + LOG_BLOCK - 1) & ~(size_t)(LOG_BLOCK - 1);
}
static inline log_place log_place_at(uint32_t segment, uint64_t offset)
{
    return (log_place)segment << 32 | offset / 8;
}
static inline uint64_t log_place_offset(log_place place)
{
    return (place & UINT32_MAX) * 8;
}

/* ---- writing ---- */

/* A round being gathered in `bytes` (LOG_BLOCK-aligned, `capacity` a multiple of it). */
typedef struct log_round {
    uint8_t *bytes;
    size_t capacity;
    size_t length; /* header and records so far */
    uint32_t records;
    uint32_t group_records[LOG_GROUPS];
    uint32_t group_bytes[LOG_GROUPS];
    uint32_t frames; /* groups that have records */
} log_round;

void log_round_init(log_round *round, uint8_t *bytes, size_t capacity);
/* Offset of the record's header in the round, or 0: there is no room. */
uint32_t log_round_add(log_round *round, uint32_t group, const void *record, size_t length);
/* Puts the previous place into the record at `at` (from log_round_add) and
 * finishes its header. For all records, in order, between begin and end. */
typedef struct log_round_writer {
    log_round *round;
    uint32_t segment;
    uint64_t offset;
    uint32_t frame_crc[LOG_GROUPS];
    const log_state *state;
} log_round_writer;
void log_round_begin(log_round_writer *writer, log_round *round, const log_state *state, uint32_t segment, uint64_t offset);
void log_round_place(log_round_writer *writer, uint32_t at, log_place previous);
/* Writes mark, frames, header and padding; moves `state` on. Returns the bytes to
 * write; *end is the offset of the mark in the segment. */
size_t log_round_end(log_round_writer *writer, log_state *state, uint64_t *end);

/* ---- reading ---- */

typedef struct log_round_view { /* a round whose checksums all hold */
    const uint8_t *bytes;
    uint64_t epoch, round;
    uint32_t segment;
    uint64_t offset; /* of the round in the segment */
    uint32_t records, frames;
    size_t mark;     /* offsets in the round */
    size_t length;   /* with padding */
} log_round_view;

/* What is known from the first LOG_ROUND_HEADER bytes. DRO_MALFORMED: no round
 * for this place begins here; *why says it in words. DRO_UNSUPPORTED: a newer format. */
DRO_CHECKED dro_err log_round_peek(log_round_view *view, const uint8_t *bytes, uint32_t segment, uint64_t offset, const char **why);
/* Checks all of it. `available` bytes are there; DRO_TRUNCATED: fewer than it has. DRO_CORRUPT: a checksum fails. */
DRO_CHECKED dro_err log_round_check(log_round_view *view, const uint8_t *bytes, size_t available, uint32_t segment,
                                    uint64_t offset, const char **why);
/* That the (checked) round follows `state`, which moves on when it does. */
DRO_CHECKED dro_err log_round_follow(const log_round_view *view, log_state *state, const char **why);
/* For one who began in the middle of a log: the chain of a group that is not in `*known` (a bit for
 * each) is taken from the (checked) round's frame, so that the round follows. */
void log_round_adopt(const log_round_view *view, log_state *state, uint64_t *known);

enum log_item { LOG_ITEM_NONE, LOG_ITEM_RECORD, LOG_ITEM_MARK };
typedef struct log_record_view {
    uint32_t group;
    uint32_t length;
    uint32_t frames; /* of a mark */
} log_record_view;
/* What the 8 bytes of a record's or mark's header say. */
enum log_item log_record_peek(log_record_view *view, const uint8_t header[LOG_RECORD_HEADER]);
/* That header and the `length` bytes it speaks of belong to `place`. */
bool log_record_is_intact(const uint8_t header[LOG_RECORD_HEADER], const uint8_t *bytes, uint32_t length, log_place place);
bool log_mark_is_intact(const uint8_t *mark, log_place place);

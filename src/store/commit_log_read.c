/* Reading behind the writer: one record by its place, and walks. */
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "store/commit_log_internal.h"
#include "store/log_reader.h"

/* Reads up to `length` bytes of the segment; *got is less at the file's end. */
static dro_err read_bytes(commit_log *log, log_segment *segment, uint64_t offset, void *bytes, size_t length, size_t *got)
{
    dro_err err = log_segments_open(&log->segments, segment);
    if (err != DRO_OK)
        return err;
    if (offset >= segment->bytes)
        return DRO_NOT_FOUND;
    if (length > segment->bytes - offset)
        length = (size_t)(segment->bytes - offset);
    int64_t count = log->disk->read(log->disk, segment->file, offset, bytes, length);
    if (count < 0) {
        dro_error("log cannot-read file=segment-%08" PRIx32 " offset=%" PRIu64 " error=\"%s\"", segment->number, offset,
                  strerror((int)-count));
        return DRO_IO;
    }
    *got = (size_t)count;
    return DRO_OK;
}

dro_err log_damaged(const log_segment *segment, uint64_t offset, const char *why)
{
    dro_error("log damaged file=segment-%08" PRIx32 " offset=%" PRIu64 " reason=\"%s\" \"put the file back from a backup\"",
              segment->number, offset, why);
    return DRO_CORRUPT;
}

/* ---- one record ---- */

enum { READ_AHEAD = 1024 }; /* most records are smaller: one read does */

dro_err commit_log_read(commit_log *log, log_place place, void *buffer, size_t capacity, size_t *length)
{
    uint8_t ahead[READ_AHEAD];
    size_t got;
    uint64_t offset = log_place_offset(place);
    log_segment *segment = log_segments_at(&log->segments, log_place_segment(place));
    if (segment == NULL)
        return DRO_NOT_FOUND;
    if (segment->end != LOG_END_UNKNOWN && offset + LOG_RECORD_HEADER > segment->end)
        return DRO_NOT_FOUND;
    dro_err err = read_bytes(log, segment, offset, ahead, sizeof ahead, &got);
    if (err != DRO_OK)
        return err;
    log_record_view record;
    if (got < LOG_RECORD_HEADER || log_record_peek(&record, ahead) != LOG_ITEM_RECORD)
        return log_damaged(segment, offset, "no record begins here");
    if (record.length > capacity)
        return DRO_LIMIT;
    size_t there = got - LOG_RECORD_HEADER < record.length ? got - LOG_RECORD_HEADER : record.length;
    memcpy(buffer, ahead + LOG_RECORD_HEADER, there);
    if (there < record.length) {
        size_t rest = record.length - there;
        err = read_bytes(log, segment, offset + LOG_RECORD_HEADER + there, (uint8_t *)buffer + there, rest, &got);
        if (err != DRO_OK || got != rest)
            return err == DRO_IO ? err : log_damaged(segment, offset, "the file ends in the record");
    }
    if (!log_record_is_intact(ahead, buffer, record.length, place))
        return log_damaged(segment, offset, "a record is damaged");
    *length = record.length;
    return DRO_OK;
}

/* ---- walk ---- */

/* The end of a segment older than the replay point is not known from recovery: it
 * is looked for once, when somebody comes by. */
static dro_err find_end(commit_log *log, log_segment *segment)
{
    if (segment->end != LOG_END_UNKNOWN)
        return DRO_OK;
    log_reader reader;
    dro_err err = log_reader_init(&reader, &log->segments);
    if (err == DRO_OK)
        err = log_reader_enter(&reader, segment);
    uint64_t offset = 0, newest = 0;
    while (err == DRO_OK) {
        log_round_view view;
        const char *why;
        err = log_reader_round(&reader, offset, &view, &why);
        if (err != DRO_OK || (newest != 0 && view.round != newest + 1))
            break;
        newest = view.round;
        offset += view.length;
    }
    log_reader_fini(&reader);
    if (err == DRO_IO || err == DRO_NOMEM || err == DRO_UNSUPPORTED)
        return err;
    segment->end = offset;
    return DRO_OK;
}

struct walk {
    commit_log *log;
    log_segment *segment;
    uint64_t offset;       /* next item */
    uint64_t window;       /* offset of log->walk_bytes in the segment */
    size_t window_bytes;   /* 0: nothing read */
    bool is_first;         /* the caller's own place, which may be any number */
};

static dro_err walk_damaged(const struct walk *walk, const char *why)
{
    return walk->is_first ? DRO_NOT_FOUND : log_damaged(walk->segment, walk->offset, why);
}

/* `length` bytes at the walk's offset. */
static dro_err look(struct walk *walk, size_t length, const uint8_t **bytes)
{
    if (walk->offset + length > walk->segment->end)
        return walk_damaged(walk, "a record reaches past the end");
    if (walk->offset < walk->window || walk->offset + length > walk->window + walk->window_bytes) {
        uint64_t left = walk->segment->end - walk->offset;
        size_t most = length > LOG_WALK_STEP ? length : LOG_WALK_STEP;
        if (most > left)
            most = (size_t)left;
        size_t got;
        walk->window_bytes = 0;
        dro_err err = read_bytes(walk->log, walk->segment, walk->offset, walk->log->walk_bytes, most, &got);
        if (err != DRO_OK)
            return err;
        walk->window = walk->offset;
        walk->window_bytes = got;
        if (got < length)
            return walk_damaged(walk, "the file ends in a round");
    }
    *bytes = walk->log->walk_bytes + (walk->offset - walk->window);
    return DRO_OK;
}

/* To the next segment's beginning, where there is one with something durable. */
static dro_err next_segment(struct walk *walk, bool *is_there)
{
    log_segment *next = log_segments_at(&walk->log->segments, walk->segment->number + 1);
    *is_there = false;
    dro_err err = next == NULL ? DRO_OK : find_end(walk->log, next);
    if (next == NULL || err != DRO_OK || next->end == 0)
        return err;
    *is_there = true;
    walk->segment = next;
    walk->offset = 0;
    walk->window_bytes = 0;
    return DRO_OK;
}

/* At a multiple of LOG_BLOCK a round may begin: its first record is behind the header. */
static dro_err skip_header(struct walk *walk)
{
    const uint8_t *bytes;
    const char *why;
    log_round_view view;
    if (walk->offset % LOG_BLOCK != 0 || walk->offset + LOG_ROUND_HEADER > walk->segment->end)
        return DRO_OK;
    dro_err err = look(walk, LOG_ROUND_HEADER, &bytes);
    if (err == DRO_OK && log_round_peek(&view, bytes, walk->segment->number, walk->offset, &why) == DRO_OK)
        walk->offset += LOG_ROUND_HEADER;
    return err;
}

/* Goes to the next record; *bytes is NULL when there is none yet. */
static dro_err find_record(struct walk *walk, log_record_view *record, const uint8_t **bytes)
{
    for (;; walk->is_first = false) {
        *bytes = NULL;
        bool is_there = true;
        if (walk->offset >= walk->segment->end) {
            dro_err err = next_segment(walk, &is_there);
            if (err != DRO_OK || !is_there)
                return err;
        }
        dro_err err = skip_header(walk);
        if (err == DRO_OK)
            err = look(walk, LOG_RECORD_HEADER, bytes);
        if (err != DRO_OK)
            return err;
        log_place place = log_place_at(walk->segment->number, walk->offset);
        enum log_item item = log_record_peek(record, *bytes);
        if (item == LOG_ITEM_MARK && log_mark_is_intact(*bytes, place)) {
            walk->offset = log_block_up(walk->offset + LOG_MARK_BYTES + record->frames * LOG_FRAME_BYTES);
            continue;
        }
        if (item != LOG_ITEM_RECORD)
            return walk_damaged(walk, "no record begins here");
        err = look(walk, LOG_RECORD_HEADER + record->length, bytes);
        if (err == DRO_OK && !log_record_is_intact(*bytes, *bytes + LOG_RECORD_HEADER, record->length, place))
            return walk_damaged(walk, "a record is damaged");
        return err;
    }
}

/* The walk's beginning; `segment` stays NULL where nothing is written yet. */
static dro_err walk_begin(struct walk *walk, log_place *place)
{
    commit_log *log = walk->log;
    if (*place == 0)
        *place = log_place_at(commit_log_segment_first(log), 0);
    walk->offset = log_place_offset(*place);
    walk->segment = log_segments_at(&log->segments, log_place_segment(*place));
    if (walk->segment == NULL) /* the segment to be written next is not made before there is something to write */
        return *place == log_place_at(log->last, 0) ? DRO_OK : DRO_NOT_FOUND;
    dro_err err = find_end(log, walk->segment);
    if (err == DRO_OK && walk->offset > walk->segment->end)
        return DRO_NOT_FOUND;
    return err;
}

dro_err commit_log_walk(commit_log *log, log_place *place, uint32_t max,
                        bool (*each)(void *context, uint32_t group, log_place place, const uint8_t *record, size_t length),
                        void *context)
{
    struct walk walk = { .log = log, .is_first = true };
    if (log->walk_bytes == NULL && !log_walk_room(log)) /* of an old log, which mostly is not walked */
        return DRO_NOMEM;
    dro_err err = walk_begin(&walk, place);
    for (uint32_t i = 0; i < max && err == DRO_OK; i++) {
        log_record_view record;
        const uint8_t *bytes = NULL;
        err = walk.segment == NULL ? DRO_OK : find_record(&walk, &record, &bytes);
        if (err == DRO_OK && bytes == NULL)
            *place = log->end_place;
        if (err != DRO_OK || bytes == NULL)
            break;
        log_place at = log_place_at(walk.segment->number, walk.offset);
        walk.offset += log_record_size(record.length);
        walk.is_first = false;
        *place = log_place_at(walk.segment->number, walk.offset);
        if (!each(context, record.group, at, bytes + LOG_RECORD_HEADER, record.length))
            break;
    }
    return err;
}

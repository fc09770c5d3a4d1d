#include "store/log_round.h"

#include <assert.h>
#include <string.h>

#include "store/crc32c.h"

#define ROUND_MAGIC 0x314f5244u /* "DRO1"; its top six bits are no record's kind */
#define FRAME_MAGIC 0x31465244u /* "DRF1" */

enum {
    KIND_RECORD = 0x2a,
    KIND_MARK = 0x15,
    KIND_SHIFT = 26,
    GROUP_SHIFT = 20,
    LENGTH_MASK = (1 << GROUP_SHIFT) - 1,
    GROUP_MASK = LOG_GROUPS - 1,
};
_Static_assert((int)LOG_RECORD_MAX <= (int)LENGTH_MASK, "a record's length has 20 bits");
_Static_assert(LOG_GROUPS == 64, "a record's group has 6 bits");

struct round_header {
    uint32_t magic;
    uint16_t format;
    uint16_t frames;
    uint64_t epoch;
    uint64_t round;
    uint32_t segment;
    uint32_t offset;
    uint32_t record_bytes; /* from the header to the mark */
    uint32_t records;
    uint32_t reserved[5];
    uint32_t crc; /* of all before it */
};
_Static_assert(sizeof(struct round_header) == LOG_ROUND_HEADER, "layout on disk");

struct frame {
    uint32_t magic;
    uint16_t format;
    uint16_t group;
    uint64_t epoch;
    uint64_t sequence;
    uint64_t previous; /* hash of the group's previous frame; 0: none */
    uint32_t records;
    uint32_t bytes; /* of its records, with their headers */
    uint32_t reserved;
    uint32_t crc; /* of all before it, then of the 8-byte headers of its records */
};
_Static_assert(sizeof(struct frame) == LOG_FRAME_BYTES, "layout on disk");

static uint32_t load32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, 4);
    return value;
}

/* Mixes the 48 bytes of a frame, which hold its CRC, hence all of its records. */
static uint64_t frame_hash(const struct frame *frame)
{
    uint64_t words[LOG_FRAME_BYTES / 8], hash = 0x9e3779b97f4a7c15u;
    memcpy(words, frame, sizeof words);
    for (size_t i = 0; i < LOG_FRAME_BYTES / 8; i++) {
        hash = (hash ^ words[i]) * 0xbf58476d1ce4e5b9u;
        hash ^= hash >> 29;
    }
    return hash;
}

/* Of a record or a mark (which has no bytes): its place, its word, its bytes. */
static uint32_t item_crc(const uint8_t *header, const uint8_t *bytes, uint32_t length, log_place place)
{
    uint8_t prefix[12];
    memcpy(prefix, &place, 8);
    memcpy(prefix + 8, header, 4);
    return crc32c(crc32c(0, prefix, sizeof prefix), bytes, length);
}

/* ---- writing ---- */

void log_round_init(log_round *round, uint8_t *bytes, size_t capacity)
{
    *round = (log_round){ .bytes = bytes, .capacity = capacity, .length = LOG_ROUND_HEADER };
}

uint32_t log_round_add(log_round *round, uint32_t group, const void *record, size_t length)
{
    assert(group < LOG_GROUPS && length >= LOG_RECORD_MIN && length <= LOG_RECORD_MAX);
    size_t size = log_record_size(length);
    uint32_t frames = round->frames + (round->group_records[group] == 0);
    if (log_round_size(round->length - LOG_ROUND_HEADER + size, frames) > round->capacity)
        return 0;
    uint32_t at = (uint32_t)round->length;
    uint8_t *item = round->bytes + at;
    uint32_t word = (uint32_t)KIND_RECORD << KIND_SHIFT | group << GROUP_SHIFT | (uint32_t)length;
    memset(item + size - 8, 0, 8); /* the padding; a record has 8 bytes at least */
    memcpy(item, &word, 4);
    memcpy(item + LOG_RECORD_HEADER, record, length);
    round->length += size;
    round->records++;
    round->frames = frames;
    round->group_records[group]++;
    round->group_bytes[group] += (uint32_t)size;
    return at;
}

/* The frame of a group without its CRC. */
static struct frame frame_of(const log_round_writer *writer, uint32_t group)
{
    const log_chain *chain = &writer->state->groups[group];
    return (struct frame){
        .magic = FRAME_MAGIC,
        .format = LOG_FORMAT,
        .group = (uint16_t)group,
        .epoch = writer->state->epoch,
        .sequence = chain->sequence + 1,
        .previous = chain->hash,
        .records = writer->round->group_records[group],
        .bytes = writer->round->group_bytes[group],
    };
}

void log_round_begin(log_round_writer *writer, log_round *round, const log_state *state, uint32_t segment, uint64_t offset)
{
    assert(offset % LOG_BLOCK == 0);
    *writer = (log_round_writer){ .round = round, .segment = segment, .offset = offset, .state = state };
    for (uint32_t group = 0; group < LOG_GROUPS; group++) {
        if (round->group_records[group] == 0)
            continue;
        struct frame frame = frame_of(writer, group);
        writer->frame_crc[group] = crc32c(0, &frame, offsetof(struct frame, crc));
    }
}

void log_round_place(log_round_writer *writer, uint32_t at, log_place previous)
{
    uint8_t *item = writer->round->bytes + at;
    uint32_t word = load32(item);
    uint32_t group = word >> GROUP_SHIFT & GROUP_MASK;
    memcpy(item + LOG_RECORD_HEADER, &previous, 8);
    uint32_t crc = item_crc(item, item + LOG_RECORD_HEADER, word & LENGTH_MASK, log_place_at(writer->segment, writer->offset + at));
    memcpy(item + 4, &crc, 4);
    writer->frame_crc[group] = crc32c(writer->frame_crc[group], item, LOG_RECORD_HEADER);
}

size_t log_round_end(log_round_writer *writer, log_state *state, uint64_t *end)
{
    log_round *round = writer->round;
    size_t at = round->length;
    *end = writer->offset + at;
    uint32_t word = (uint32_t)KIND_MARK << KIND_SHIFT | round->frames;
    memcpy(round->bytes + at, &word, 4);
    uint32_t crc = item_crc(round->bytes + at, NULL, 0, log_place_at(writer->segment, *end));
    memcpy(round->bytes + at + 4, &crc, 4);
    at += LOG_MARK_BYTES;
    for (uint32_t group = 0; group < LOG_GROUPS; group++) {
        if (round->group_records[group] == 0)
            continue;
        struct frame frame = frame_of(writer, group);
        frame.crc = writer->frame_crc[group];
        memcpy(round->bytes + at, &frame, sizeof frame);
        at += sizeof frame;
        state->groups[group] = (log_chain){ frame.sequence, frame_hash(&frame) };
    }
    state->round++;
    struct round_header header = {
        .magic = ROUND_MAGIC,
        .format = LOG_FORMAT,
        .frames = (uint16_t)round->frames,
        .epoch = state->epoch,
        .round = state->round,
        .segment = writer->segment,
        .offset = (uint32_t)writer->offset,
        .record_bytes = (uint32_t)(round->length - LOG_ROUND_HEADER),
        .records = round->records,
    };
    header.crc = crc32c(0, &header, offsetof(struct round_header, crc));
    memcpy(round->bytes, &header, sizeof header);
    size_t padded = log_block_up(at);
    memset(round->bytes + at, 0, padded - at);
    return padded;
}

/* ---- reading ---- */

dro_err log_round_peek(log_round_view *view, const uint8_t *bytes, uint32_t segment, uint64_t offset, const char **why)
{
    struct round_header header;
    memcpy(&header, bytes, sizeof header);
    *why = "no round begins here";
    if (header.magic != ROUND_MAGIC)
        return DRO_MALFORMED;
    *why = "a round's header is damaged";
    if (header.crc != crc32c(0, &header, offsetof(struct round_header, crc)))
        return DRO_MALFORMED;
    *why = "the round belongs elsewhere";
    if (header.segment != segment || header.offset != offset)
        return DRO_MALFORMED;
    *why = "written by a newer version";
    if (header.format != LOG_FORMAT)
        return DRO_UNSUPPORTED;
    *why = "a round's header makes no sense";
    if (header.record_bytes > LOG_ROUND_BYTES_MAX || header.frames == 0 || header.frames > LOG_GROUPS || header.records == 0)
        return DRO_MALFORMED;
    *view = (log_round_view){
        .bytes = bytes,
        .epoch = header.epoch,
        .round = header.round,
        .segment = segment,
        .offset = offset,
        .records = header.records,
        .frames = header.frames,
        .mark = LOG_ROUND_HEADER + (size_t)header.record_bytes,
        .length = log_block_up(log_round_size(header.record_bytes, header.frames)),
    };
    return DRO_OK;
}

enum log_item log_record_peek(log_record_view *view, const uint8_t header[LOG_RECORD_HEADER])
{
    uint32_t word = load32(header);
    *view = (log_record_view){ .group = word >> GROUP_SHIFT & GROUP_MASK, .length = word & LENGTH_MASK };
    if (word >> KIND_SHIFT == KIND_RECORD)
        return view->length >= LOG_RECORD_MIN && view->length <= LOG_RECORD_MAX ? LOG_ITEM_RECORD : LOG_ITEM_NONE;
    if (word >> KIND_SHIFT != KIND_MARK)
        return LOG_ITEM_NONE;
    view->frames = view->length;
    view->length = 0;
    return view->group == 0 && view->frames > 0 && view->frames <= LOG_GROUPS ? LOG_ITEM_MARK : LOG_ITEM_NONE;
}

bool log_record_is_intact(const uint8_t header[LOG_RECORD_HEADER], const uint8_t *bytes, uint32_t length, log_place place)
{
    return load32(header + 4) == item_crc(header, bytes, length, place);
}

bool log_mark_is_intact(const uint8_t *mark, log_place place)
{
    return load32(mark + 4) == item_crc(mark, NULL, 0, place);
}

/* What the frames should say, gathered from the records. */
struct tally {
    uint32_t records[LOG_GROUPS];
    uint32_t bytes[LOG_GROUPS];
    uint32_t crc[LOG_GROUPS]; /* begun by the frame */
};

/* The fixed part of every frame, before its records are looked at. */
static bool frames_begin(const log_round_view *view, struct tally *tally)
{
    int before = -1;
    for (uint32_t i = 0; i < view->frames; i++) {
        struct frame frame;
        memcpy(&frame, view->bytes + view->mark + LOG_MARK_BYTES + i * LOG_FRAME_BYTES, sizeof frame);
        if (frame.magic != FRAME_MAGIC || frame.format != LOG_FORMAT || frame.group >= LOG_GROUPS || (int)frame.group <= before)
            return false;
        before = frame.group;
        tally->crc[frame.group] = crc32c(0, &frame, offsetof(struct frame, crc));
    }
    return true;
}

static bool records_are_intact(const log_round_view *view, struct tally *tally)
{
    size_t at = LOG_ROUND_HEADER;
    for (uint32_t i = 0; i < view->records; i++) {
        log_record_view record;
        if (view->mark - at < LOG_RECORD_HEADER || log_record_peek(&record, view->bytes + at) != LOG_ITEM_RECORD)
            return false;
        size_t size = log_record_size(record.length);
        const uint8_t *item = view->bytes + at;
        log_place place = log_place_at(view->segment, view->offset + at);
        if (view->mark - at < size || !log_record_is_intact(item, item + LOG_RECORD_HEADER, record.length, place))
            return false;
        tally->records[record.group]++;
        tally->bytes[record.group] += (uint32_t)size;
        tally->crc[record.group] = crc32c(tally->crc[record.group], view->bytes + at, LOG_RECORD_HEADER);
        at += size;
    }
    return at == view->mark;
}

static bool frames_are_intact(const log_round_view *view, struct tally *tally)
{
    for (uint32_t i = 0; i < view->frames; i++) {
        struct frame frame;
        memcpy(&frame, view->bytes + view->mark + LOG_MARK_BYTES + i * LOG_FRAME_BYTES, sizeof frame);
        uint32_t group = frame.group;
        if (frame.crc != tally->crc[group] || frame.records != tally->records[group] || frame.bytes != tally->bytes[group])
            return false;
        tally->records[group] = 0;
    }
    for (uint32_t group = 0; group < LOG_GROUPS; group++)
        if (tally->records[group] != 0)
            return false; /* records that no frame speaks for */
    return true;
}

dro_err log_round_check(log_round_view *view, const uint8_t *bytes, size_t available, uint32_t segment, uint64_t offset,
                        const char **why)
{
    *why = "the segment ends before the round's header";
    if (available < LOG_ROUND_HEADER)
        return DRO_TRUNCATED;
    dro_err err = log_round_peek(view, bytes, segment, offset, why);
    if (err != DRO_OK)
        return err;
    *why = "the segment ends before the round does";
    if (available < view->length)
        return DRO_TRUNCATED;
    struct tally tally;
    memset(&tally, 0, sizeof tally);
    *why = "a frame is damaged";
    if (!frames_begin(view, &tally))
        return DRO_CORRUPT;
    *why = "a record is damaged";
    if (!records_are_intact(view, &tally))
        return DRO_CORRUPT;
    *why = "a frame or the mark before it is damaged";
    log_record_view mark;
    if (!frames_are_intact(view, &tally) || log_record_peek(&mark, bytes + view->mark) != LOG_ITEM_MARK ||
        mark.frames != view->frames || !log_mark_is_intact(bytes + view->mark, log_place_at(segment, offset + view->mark)))
        return DRO_CORRUPT;
    *why = "";
    return DRO_OK;
}

void log_round_adopt(const log_round_view *view, log_state *state, uint64_t *known)
{
    for (uint32_t i = 0; i < view->frames; i++) {
        struct frame frame;
        memcpy(&frame, view->bytes + view->mark + LOG_MARK_BYTES + i * LOG_FRAME_BYTES, sizeof frame);
        if ((*known >> frame.group & 1) == 0)
            state->groups[frame.group] = (log_chain){ frame.sequence - 1, frame.previous };
        *known |= UINT64_C(1) << frame.group;
    }
}

dro_err log_round_follow(const log_round_view *view, log_state *state, const char **why)
{
    *why = "a round is missing before it";
    if (view->round != state->round + 1)
        return DRO_CORRUPT;
    *why = "the epoch goes back";
    if (view->epoch < state->epoch)
        return DRO_CORRUPT;
    *why = "a frame does not follow its group's previous one";
    struct frame frame;
    for (uint32_t i = 0; i < view->frames; i++) {
        memcpy(&frame, view->bytes + view->mark + LOG_MARK_BYTES + i * LOG_FRAME_BYTES, sizeof frame);
        const log_chain *chain = &state->groups[frame.group];
        if (frame.epoch != view->epoch || frame.sequence != chain->sequence + 1 || frame.previous != chain->hash)
            return DRO_CORRUPT;
    }
    for (uint32_t i = 0; i < view->frames; i++) {
        memcpy(&frame, view->bytes + view->mark + LOG_MARK_BYTES + i * LOG_FRAME_BYTES, sizeof frame);
        state->groups[frame.group] = (log_chain){ frame.sequence, frame_hash(&frame) };
    }
    state->round = view->round;
    state->epoch = view->epoch;
    *why = "";
    return DRO_OK;
}

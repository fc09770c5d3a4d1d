#include "store/commit_log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "store/commit_log_internal.h"

/* ---- open and close ---- */

/* Pages come when they are touched, so the room for the largest round costs nothing. */
static void *pages(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static void pages_free(void *at, size_t bytes)
{
    if (at != NULL)
        munmap(at, bytes);
}

bool log_walk_room(commit_log *log)
{
    log->walk_bytes = pages(LOG_WALK_BYTES);
    return log->walk_bytes != NULL;
}

static dro_err make_buffers(commit_log *log)
{
    bool is_short = false;
    for (int i = 0; i < LOG_BUFFERS; i++) {
        log->buffers[i] = pages(log->round_bytes);
        is_short |= log->buffers[i] == NULL;
    }
    log->tags = pages(LOG_ROUND_RECORDS_MAX * sizeof *log->tags);
    log->offsets = pages(LOG_ROUND_RECORDS_MAX * sizeof *log->offsets);
    log->walk_bytes = pages(LOG_WALK_BYTES);
    is_short |= log->tags == NULL || log->offsets == NULL || log->walk_bytes == NULL;
    return is_short ? DRO_NOMEM : DRO_OK;
}

/* Takes the buffer freed first: with few rounds under way the same few stay in the cache. */
static void gather_new_round(commit_log *log)
{
    uint32_t free_one = 0;
    while (log->buffer_is_used[free_one])
        free_one++; /* one more buffer than flights: there is one */
    log->buffer_is_used[free_one] = true;
    log->gathering = free_one;
    log_round_init(&log->round, log->buffers[free_one], log->round_bytes);
}

dro_err commit_log_open(commit_log **out, const commit_log_options *options, commit_log_replay_fn replay, void *context)
{
    assert(options->disk != NULL && options->epoch > 0);
    commit_log *log = calloc(1, sizeof *log);
    if (log == NULL)
        return DRO_NOMEM;
    uint64_t segment_bytes = options->segment_bytes == 0 ? LOG_SEGMENT_BYTES : options->segment_bytes;
    log->disk = options->disk;
    log->segment_bytes = (uint32_t)(segment_bytes & ~(uint64_t)(LOG_BLOCK - 1));
    assert(log->segment_bytes >= 2 * LOG_BLOCK);
    log->round_bytes = log->segment_bytes < LOG_ROUND_BYTES_MAX ? log->segment_bytes : LOG_ROUND_BYTES_MAX;
    log->context = options->context;
    log->on_placed = options->on_placed;
    log->on_soon = options->on_soon;
    log->on_ahead = options->on_ahead;
    log->on_read = options->on_read;
    log_segments_init(&log->segments, log->disk);
    dro_err err = make_buffers(log);
    if (err == DRO_OK)
        err = log_fetches_init(log);
    if (err == DRO_OK)
        err = commit_log_recover(log, options->epoch, replay, context);
    if (err != DRO_OK) {
        commit_log_close(log);
        return err;
    }
    gather_new_round(log);
    *out = log;
    return DRO_OK;
}

void commit_log_close(commit_log *log)
{
    if (log == NULL)
        return;
    while (log->flight_count > 0 && !log->is_failed)
        commit_log_durable(log, true);
    /* After a failure other writes may still be under way, out of our buffers. */
    for (uint32_t i = 0; i < log->flight_count; i++) {
        disk_completion done;
        bool is_done = log->flights[(log->flight_first + i) % LOG_ROUNDS_IN_FLIGHT].is_done;
        if (!is_done && log->disk->reap(log->disk, &done, 1, true) != 1)
            break;
    }
    if (log->is_end_kept && !log->is_failed && log->flight_count == 0) {
        log_end end = { log->durable, log->segments.count > 0 ? log->segments.list[0].number : 0 };
        (void)!log_end_store(log->disk, &end); /* without it the next start takes the log's own word for its end */
    }
    log_fetches_fini(log);
    log_segments_fini(&log->segments);
    for (int i = 0; i < LOG_BUFFERS; i++)
        pages_free(log->buffers[i], log->round_bytes);
    pages_free(log->tags, LOG_ROUND_RECORDS_MAX * sizeof *log->tags);
    pages_free(log->offsets, LOG_ROUND_RECORDS_MAX * sizeof *log->offsets);
    pages_free(log->walk_bytes, LOG_WALK_BYTES);
    free(log);
}

/* ---- gather ---- */

dro_err commit_log_append(commit_log *log, uint32_t group, uint64_t tag, const void *record, size_t length)
{
    if (group >= LOG_GROUPS || length < LOG_RECORD_MIN || length > LOG_RECORD_MAX ||
        log_round_size(log_record_size(length), 1) > log->round_bytes)
        return DRO_LIMIT;
    if (log->is_failed)
        return DRO_IO;
    if (log->round.records == LOG_ROUND_RECORDS_MAX)
        return DRO_AGAIN;
    uint32_t at = log_round_add(&log->round, group, record, length);
    if (at == 0)
        return DRO_AGAIN;
    log->tags[log->round.records - 1] = tag;
    log->offsets[log->round.records - 1] = at;
    return DRO_OK;
}

uint64_t commit_log_round(const commit_log *log)
{
    return log->state.round + 1;
}

bool commit_log_can_submit(const commit_log *log)
{
    return !log->is_failed && log->round.records > 0 && log->flight_count < LOG_ROUNDS_IN_FLIGHT;
}

/* ---- submit ---- */

static dro_err fail(commit_log *log, const char *what, int error)
{
    if (!log->is_failed)
        dro_error("log failed call=%s error=\"%s\" segment=%" PRIu32 " round=%" PRIu64
                  " \"nothing more is acknowledged; restart once the disk is well again\"",
                  what, strerror(error), log->last, log->durable + 1);
    log->is_failed = true;
    return DRO_IO;
}

/* A segment with room for `bytes`: the one being written, else a new one. */
static dro_err make_room(commit_log *log, size_t bytes)
{
    log_segment *last = log_segments_at(&log->segments, log->last);
    if (last != NULL && log->last_offset + bytes <= last->bytes)
        return DRO_OK;
    uint32_t number = last != NULL ? log->last + 1 : log->last;
    if (number == UINT32_MAX)
        return DRO_LIMIT;
    dro_err err = log_segments_add(&log->segments, number, log->segment_bytes, &log->state);
    if (err == DRO_OK) {
        log->last = number;
        log->last_offset = 0;
    }
    return err;
}

static void place_records(commit_log *log, log_round_writer *writer)
{
    enum { SOON = 8 };
    for (uint32_t i = 0; i < log->round.records; i++) {
        uint32_t at = log->offsets[i];
        if (log->on_soon != NULL && i + SOON < log->round.records)
            log->on_soon(log->context, log->tags[i + SOON]);
        log_place place = log_place_at(log->last, log->last_offset + at);
        log_place previous = log->on_placed != NULL ? log->on_placed(log->context, log->tags[i], place) : 0;
        log_round_place(writer, at, previous);
    }
}

bool commit_log_has_room(const commit_log *log, size_t length, size_t more)
{
    enum { FRAMES_MORE = 2 };
    size_t records = log->round.length - LOG_ROUND_HEADER + log_record_size(length) + log_record_size(more);
    bool has_room = log_round_size(records, log->round.frames + FRAMES_MORE) <= log->round_bytes && log->round.records + FRAMES_MORE <= LOG_ROUND_RECORDS_MAX;
    return has_room || log->round.records == 0;
}

dro_err commit_log_submit(commit_log *log)
{
    if (log->is_failed)
        return DRO_IO;
    if (!commit_log_can_submit(log))
        return DRO_AGAIN;
    size_t bytes = log_block_up(log_round_size(log->round.length - LOG_ROUND_HEADER, log->round.frames));
    dro_err err = make_room(log, bytes);
    if (err == DRO_IO)
        return fail(log, "open", EIO);
    if (err != DRO_OK)
        return err; /* no space or no memory: the round stays gathered, a later submit may do */
    log_round_writer writer;
    uint64_t mark;
    log_round_begin(&writer, &log->round, &log->state, log->last, log->last_offset);
    place_records(log, &writer);
    size_t written = log_round_end(&writer, &log->state, &mark);
    assert(written == bytes);
    if (bytes > log->buffer_filled[log->gathering])
        log->buffer_filled[log->gathering] = bytes;
    log_flight flight = {
        .round = log->state.round,
        .segment = log->last,
        .buffer = log->gathering,
        .end = log->last_offset + bytes,
        .end_place = log_place_at(log->last, mark),
    };
    const log_segment *last = log_segments_at(&log->segments, log->last);
    int error = log->disk->write_durable(log->disk, last->file, log->last_offset, log->round.bytes, bytes, flight.round);
    if (error < 0)
        return fail(log, "write", -error);
    log->flights[(log->flight_first + log->flight_count++) % LOG_ROUNDS_IN_FLIGHT] = flight;
    log->last_offset += bytes;
    log->written += bytes;
    gather_new_round(log);
    return DRO_OK;
}

dro_err commit_log_reserve(commit_log *log)
{
    if (log->is_failed)
        return DRO_IO;
    const log_segment *last = log_segments_at(&log->segments, log->last);
    uint64_t left = last != NULL ? last->bytes - log->last_offset : 0;
    uint32_t rounds = (uint32_t)(left / log->round_bytes), each = (uint32_t)(log->segment_bytes / log->round_bytes);
    if (rounds >= LOG_ROUNDS_AHEAD)
        return DRO_OK;
    dro_err err = log_segments_reserve(&log->segments, (LOG_ROUNDS_AHEAD - rounds + each - 1) / each, log->segment_bytes);
    return err == DRO_IO ? fail(log, "open", EIO) : err;
}

/* ---- acknowledge ---- */

static void on_completion(commit_log *log, const disk_completion *done)
{
    for (uint32_t i = 0; i < log->flight_count; i++) {
        log_flight *flight = &log->flights[(log->flight_first + i) % LOG_ROUNDS_IN_FLIGHT];
        if (flight->round != done->token)
            continue;
        flight->is_done = true;
        flight->error = done->error;
        if (done->error != 0)
            fail(log, "write", done->error);
        return;
    }
}

/* A file whose rounds are all durable and that no more rounds go to may be closed. */
static void unpin_before(commit_log *log, uint32_t segment)
{
    log_segment *before = log_segments_at(&log->segments, segment - 1);
    while (before != NULL && before->is_pinned) {
        before->is_pinned = false;
        before = log_segments_at(&log->segments, before->number - 1);
    }
}

/* In order only: a round counts when it and all before it are written. */
static void acknowledge(commit_log *log)
{
    while (log->flight_count > 0) {
        log_flight *flight = &log->flights[log->flight_first];
        if (!flight->is_done || flight->error != 0)
            return;
        log_segment *segment = log_segments_at(&log->segments, flight->segment);
        segment->end = flight->end;
        unpin_before(log, flight->segment);
        log->durable = flight->round;
        log->end_place = flight->end_place;
        log->buffer_is_used[flight->buffer] = false;
        log->flight_first = (log->flight_first + 1) % LOG_ROUNDS_IN_FLIGHT;
        log->flight_count--;
    }
}

uint64_t commit_log_durable(commit_log *log, bool wait)
{
    disk_completion done[LOG_ROUNDS_IN_FLIGHT];
    bool may_signal = log->may_signal;
    log->may_signal = false;
    if (log->flight_count == 0 || log->is_failed) {
        if (may_signal && log->disk->reap(log->disk, done, LOG_ROUNDS_IN_FLIGHT, false) < 0)
            fail(log, "reap", EIO);
        return log->durable;
    }
    uint64_t before = log->durable;
    do {
        int count = log->disk->reap(log->disk, done, LOG_ROUNDS_IN_FLIGHT, wait);
        if (count < 0 || (wait && count == 0)) {
            fail(log, "reap", count < 0 ? -count : EIO);
            return log->durable;
        }
        for (int i = 0; i < count; i++)
            on_completion(log, &done[i]);
        acknowledge(log);
    } while (wait && log->durable == before && !log->is_failed);
    return log->durable;
}

bool commit_log_failed(const commit_log *log)
{
    return log->is_failed;
}

int commit_log_descriptor(commit_log *log)
{
    log->may_signal = true;
    return log->disk->descriptor(log->disk);
}

log_place commit_log_end(const commit_log *log)
{
    return log->end_place;
}

/* ---- segments ---- */

uint32_t commit_log_segment_first(const commit_log *log)
{
    return log->segments.count > 0 ? log->segments.list[0].number : log->last;
}

uint32_t commit_log_segment_last(const commit_log *log)
{
    return log->last;
}

uint32_t commit_log_replay_segment(const commit_log *log)
{
    return log->replay.segment;
}

dro_err commit_log_set_replay(commit_log *log, uint32_t segment)
{
    if (log->is_failed)
        return DRO_IO;
    if (segment < log->replay.segment || segment > log->last)
        return DRO_RANGE;
    const log_segment *at = log_segments_at(&log->segments, segment);
    log_replay_point point = { segment, at != NULL ? *at->start : log->state };
    if (point.state.round > log->durable) /* a torn round there would no more hide those behind it */
        return DRO_AGAIN;
    dro_err err = log_replay_store(log->disk, &point);
    if (err == DRO_OK) {
        log->replay = point;
        unpin_before(log, segment);
    } else if (err == DRO_IO)
        fail(log, "replace", EIO); /* which of both points is on the disk is not known any more */
    return err;
}

dro_err commit_log_drop(commit_log *log, uint32_t segment)
{
    if (log->is_failed)
        return DRO_IO;
    if (segment > log->replay.segment)
        return DRO_RANGE;
    while (log->segments.count > 0 && log->segments.list[0].number < segment) {
        if (log->segments.list[0].fetches > 0)
            return DRO_AGAIN;
        dro_err err = log_segments_drop_first(&log->segments, log->segment_bytes);
        if (err != DRO_OK)
            return err == DRO_IO ? fail(log, "remove", EIO) : err;
    }
    return DRO_OK;
}

size_t commit_log_memory(const commit_log *log)
{
    size_t bytes = 0;
    for (int i = 0; i < LOG_BUFFERS; i++)
        bytes += log->buffer_filled[i];
    return bytes;
}

uint64_t commit_log_written(const commit_log *log)
{
    return log->written;
}

disk *commit_log_disk(const commit_log *log)
{
    return log->disk;
}

uint64_t commit_log_segment_bytes(const commit_log *log, uint32_t number)
{
    const log_segment *segment = log_segments_at(&log->segments, number);
    if (segment == NULL)
        return 0;
    return segment->end == LOG_END_UNKNOWN ? segment->bytes : segment->end;
}

uint64_t commit_log_bytes(const commit_log *log)
{
    return log_segments_bytes(&log->segments);
}

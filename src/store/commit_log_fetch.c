/* Fetches: records read while everything else goes on. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/commit_log_internal.h"

_Static_assert(LOG_FETCHES_MAX <= 255, "fetch_done holds their numbers");

dro_err log_fetches_init(commit_log *log)
{
    log->fetches = calloc(LOG_FETCHES_MAX, sizeof *log->fetches);
    log->fetch_shown = LOG_FETCHES_MAX;
    return log->fetches == NULL ? DRO_NOMEM : DRO_OK;
}

static log_segment *segment_of(const commit_log *log, const log_fetch *fetch)
{
    return log_segments_at(&log->segments, log_place_segment(fetch->place));
}

static void release(commit_log *log, log_fetch *fetch)
{
    if (fetch->bytes != fetch->ahead)
        free(fetch->bytes);
    fetch->bytes = NULL;
    fetch->is_used = false;
    segment_of(log, fetch)->fetches--; /* it was not dropped meanwhile */
    log->fetch_count--;
}

static void release_shown(commit_log *log)
{
    if (log->fetch_shown < LOG_FETCHES_MAX)
        release(log, &log->fetches[log->fetch_shown]);
    log->fetch_shown = LOG_FETCHES_MAX;
}

static void collect(commit_log *log, bool wait)
{
    disk_fetched done[LOG_FETCHES_MAX];
    int count = log->disk->fetch_reap(log->disk, done, LOG_FETCHES_MAX, wait);
    for (int i = 0; i < count; i++) {
        log_fetch *fetch = &log->fetches[done[i].token];
        assert(done[i].token < LOG_FETCHES_MAX && fetch->is_used);
        fetch->result = done[i].result;
        log->fetch_done[log->fetch_done_count++] = (uint8_t)done[i].token;
    }
}

void log_fetches_fini(commit_log *log)
{
    if (log->fetches == NULL)
        return;
    release_shown(log);
    commit_log_fetch_start(log);
    while (log->fetch_count > log->fetch_done_count) {
        uint32_t before = log->fetch_done_count;
        collect(log, true);
        if (log->fetch_done_count == before)
            break; /* the disk refuses: its own end waits for them */
    }
    for (uint32_t i = 0; i < log->fetch_done_count; i++)
        release(log, &log->fetches[log->fetch_done[i]]);
    if (log->fetch_count == 0)
        free(log->fetches); /* else it is still written to */
    log->fetches = NULL;
}

static dro_err ask(commit_log *log, log_fetch *fetch)
{
    const log_segment *segment = segment_of(log, fetch);
    uint64_t offset = log_place_offset(fetch->place);
    size_t length = fetch->wanted;
    if (length > segment->bytes - offset)
        length = (size_t)(segment->bytes - offset);
    int error = log->disk->fetch(log->disk, segment->file, offset, fetch->bytes, length, (uint64_t)(fetch - log->fetches));
    if (error == -EAGAIN)
        return DRO_AGAIN;
    if (error < 0) {
        dro_error("log cannot-read file=segment-%08" PRIx32 " offset=%" PRIu64 " error=\"%s\"", segment->number, offset, strerror(-error));
        return DRO_IO;
    }
    return DRO_OK;
}

dro_err commit_log_fetch(commit_log *log, log_place place, uint64_t tag)
{
    if (log->fetch_count == LOG_FETCHES_MAX)
        return DRO_AGAIN;
    log_segment *segment = log_segments_at(&log->segments, log_place_segment(place));
    if (segment == NULL || (segment->end != LOG_END_UNKNOWN && log_place_offset(place) + LOG_RECORD_HEADER > segment->end))
        return DRO_NOT_FOUND;
    dro_err err = log_segments_open(&log->segments, segment);
    if (err != DRO_OK)
        return err;
    if (log_place_offset(place) >= segment->bytes) /* what asks has it from a record: the segment was longer */
        return log_damaged(segment, log_place_offset(place), "the file ends before it");
    log_fetch *fetch = log->fetches;
    while (fetch->is_used)
        fetch++; /* the count says that one is free */
    fetch->tag = tag;
    fetch->place = place;
    fetch->bytes = fetch->ahead;
    fetch->wanted = sizeof fetch->ahead;
    err = ask(log, fetch);
    if (err != DRO_OK)
        return err;
    fetch->is_used = true;
    segment->fetches++;
    log->fetch_count++;
    return DRO_OK;
}

void commit_log_fetch_start(commit_log *log)
{
    if (log->fetch_count == log->fetch_done_count)
        return;
    int error = log->disk->fetch_start(log->disk);
    if (error < 0)
        dro_error("log cannot-read error=\"%s\" \"reads of the log do not begin\"", strerror(-error));
}

/* The disk gave what was asked for. DRO_AGAIN: there is more of the record. */
static dro_err look(commit_log *log, log_fetch *fetch, size_t *length)
{
    const log_segment *segment = segment_of(log, fetch);
    uint64_t offset = log_place_offset(fetch->place);
    if (fetch->result < 0) {
        dro_error("log cannot-read file=segment-%08" PRIx32 " offset=%" PRIu64 " error=\"%s\"", segment->number, offset,
                  strerror((int)-fetch->result));
        return DRO_IO;
    }
    log_record_view record;
    if (fetch->result < LOG_RECORD_HEADER || log_record_peek(&record, fetch->bytes) != LOG_ITEM_RECORD)
        return log_damaged(segment, offset, "no record begins here");
    size_t needed = LOG_RECORD_HEADER + (size_t)record.length;
    if (needed > fetch->wanted) {
        uint8_t *bytes = malloc(needed);
        if (bytes == NULL)
            return DRO_NOMEM;
        fetch->bytes = bytes;
        fetch->wanted = needed;
        dro_err err = ask(log, fetch);
        return err == DRO_OK ? DRO_AGAIN : err == DRO_AGAIN ? DRO_IO : err; /* one was just given back: there is room */
    }
    if ((size_t)fetch->result < needed)
        return log_damaged(segment, offset, "the file ends in the record");
    *length = record.length;
    return log_record_is_intact(fetch->bytes, fetch->bytes + LOG_RECORD_HEADER, record.length, fetch->place)
               ? DRO_OK : log_damaged(segment, offset, "a record is damaged");
}

bool commit_log_fetched(commit_log *log, log_fetched *out)
{
    release_shown(log);
    if (log->fetch_done_count == 0 && log->fetch_count > 0)
        collect(log, false);
    while (log->fetch_done_count > 0) {
        uint8_t number = log->fetch_done[--log->fetch_done_count];
        log_fetch *fetch = &log->fetches[number];
        size_t length = 0;
        dro_err err = look(log, fetch, &length);
        if (err == DRO_AGAIN)
            continue;
        log->fetch_shown = number;
        *out = (log_fetched){ fetch->tag, fetch->place, err, fetch->bytes + LOG_RECORD_HEADER, length };
        return true;
    }
    return false;
}

bool commit_log_fetch_waits(commit_log *log)
{
    if (log->fetch_done_count == 0 && log->fetch_count > 0)
        collect(log, false);
    return log->fetch_done_count > 0;
}

uint32_t commit_log_fetching(const commit_log *log)
{
    return log->fetch_count;
}

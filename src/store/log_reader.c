#include "store/log_reader.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/pages.h"

#define UNDER_WAY INT64_MIN /* no result yet */

size_t log_reader_capacity(const log_segments *segments)
{
    uint64_t capacity = LOG_BLOCK;
    for (uint32_t i = 0; i < segments->count; i++)
        if (segments->list[i].bytes > capacity)
            capacity = segments->list[i].bytes;
    return (size_t)log_block_up((size_t)capacity);
}

dro_err log_reader_init(log_reader *reader, log_segments *segments)
{
    *reader = (log_reader){ .segments = segments, .capacity = log_reader_capacity(segments) };
    reader->bytes = dro_pages_new(reader->capacity);
    return reader->bytes != NULL ? DRO_OK : DRO_NOMEM;
}

void log_reader_fini(log_reader *reader)
{
    log_reader_leave(reader);
    dro_pages_free(reader->bytes, reader->capacity);
    reader->bytes = NULL;
}

dro_err log_reader_enter(log_reader *reader, log_segment *segment)
{
    log_reader_leave(reader);
    dro_err err = log_segments_open(reader->segments, segment);
    reader->segment = segment;
    reader->length = reader->asked = 0;
    reader->limit = err == DRO_OK ? (size_t)segment->bytes : 0;
    return err;
}

static dro_err cannot_read(const log_reader *reader, int64_t error)
{
    dro_error("log cannot-read file=segment-%08" PRIx32 " offset=%zu error=\"%s\"", reader->segment->number, reader->length,
              strerror((int)-error));
    return DRO_IO;
}

/* ---- ahead ---- */

static int64_t *result_at(log_reader *reader, size_t offset)
{
    return &reader->results[offset / LOG_READ_STEP % LOG_READS_AHEAD];
}

/* The next steps, in whole blocks, so that they may come past the page cache. What the disk does not take is
 * read when its turn has come. */
static int ask(log_reader *reader)
{
    disk *files = reader->segments->disk;
    while (reader->asked < reader->limit && reader->asked < reader->length + LOG_READS_AHEAD * LOG_READ_STEP) {
        size_t left = log_block_up(reader->limit) - reader->asked, step = left < LOG_READ_STEP ? left : LOG_READ_STEP;
        int64_t *result = result_at(reader, reader->asked);
        int error = files->fetch(files, reader->segment->file, reader->asked, reader->bytes + reader->asked, step,
                                 (uint64_t)(result - reader->results));
        *result = error == 0 ? UNDER_WAY : error;
        reader->under_way += error == 0;
        reader->asked += step;
    }
    return files->fetch_start(files);
}

/* 0 or -errno. */
static int collect(log_reader *reader)
{
    disk_fetched done[LOG_READS_AHEAD];
    disk *files = reader->segments->disk;
    int count = files->fetch_reap(files, done, LOG_READS_AHEAD, true);
    for (int i = 0; i < count; i++) {
        assert(done[i].token < LOG_READS_AHEAD && reader->results[done[i].token] == UNDER_WAY);
        reader->results[done[i].token] = done[i].result;
        reader->under_way--;
    }
    return count < 0 ? count : 0;
}

void log_reader_leave(log_reader *reader)
{
    while (reader->under_way > 0)
        if (collect(reader) != 0)
            break; /* a disk that cannot even say so gives nothing any more */
    reader->under_way = 0;
}

/* What there is of the step that begins at `length`, waiting for it. */
static dro_err take_ahead(log_reader *reader)
{
    int64_t *result = result_at(reader, reader->length);
    int error = ask(reader);
    while (error == 0 && *result == UNDER_WAY)
        error = collect(reader);
    if (error != 0)
        return cannot_read(reader, error);
    if (*result > 0)
        reader->length += (size_t)*result;
    if (reader->length > reader->limit)
        reader->length = reader->limit; /* the block's rest */
    return DRO_OK;
}

/* ---- one by one ---- */

/* Up to the end of the step, by a call that waits. */
static dro_err take(log_reader *reader)
{
    disk *files = reader->segments->disk;
    size_t step = LOG_READ_STEP - reader->length % LOG_READ_STEP;
    if (step > reader->limit - reader->length)
        step = reader->limit - reader->length;
    int64_t got = files->read(files, reader->segment->file, reader->length, reader->bytes + reader->length, step);
    if (got < 0)
        return cannot_read(reader, got);
    reader->length += (size_t)got;
    if (got == 0)
        reader->limit = reader->length; /* shorter than it was a moment ago */
    return DRO_OK;
}

/* Bytes up to `upto`, as far as the file has them. What a fetch did not give, all or a part, a call may: the file
 * system may not know how to read past its cache. */
static dro_err fill(log_reader *reader, uint64_t upto)
{
    dro_err err = DRO_OK;
    while (err == DRO_OK && reader->length < upto && reader->length < reader->limit) {
        size_t before = reader->length;
        if (reader->is_ahead && before % LOG_READ_STEP == 0)
            err = take_ahead(reader);
        if (err == DRO_OK && (reader->length == before || (reader->length % LOG_READ_STEP != 0 && reader->length < reader->limit)))
            err = take(reader);
    }
    return err;
}

dro_err log_reader_round(log_reader *reader, uint64_t offset, log_round_view *view, const char **why)
{
    uint32_t number = reader->segment->number;
    dro_err err = fill(reader, offset + LOG_ROUND_HEADER);
    if (err != DRO_OK)
        return err;
    *why = "the segment is full";
    if (offset + LOG_ROUND_HEADER > reader->length)
        return DRO_TRUNCATED;
    err = log_round_peek(view, reader->bytes + offset, number, offset, why);
    if (err == DRO_OK)
        err = fill(reader, offset + view->length);
    if (err != DRO_OK)
        return err;
    return log_round_check(view, reader->bytes + offset, reader->length - offset, number, offset, why);
}

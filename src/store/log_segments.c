#include "store/log_segments.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum { NUMBERS_FIRST = 64 };

static dro_err told(const char *what, const char *name, int64_t error)
{
    dro_error("log cannot-%s file=%s error=\"%s\"", what, name, strerror((int)-error));
    return error == -ENOSPC || error == -EDQUOT ? DRO_LIMIT : error == -ENOMEM ? DRO_NOMEM : DRO_IO;
}

static void spare_name(uint32_t number, char name[LOG_NAME_BYTES])
{
    snprintf(name, LOG_NAME_BYTES, "spare-%08" PRIx32, number);
}

void log_segment_name(uint32_t number, char name[LOG_NAME_BYTES])
{
    snprintf(name, LOG_NAME_BYTES, "segment-%08" PRIx32, number);
}

/* The number in "KIND-xxxxxxxx", or 0. */
static uint32_t number_of(const char *name, const char *kind)
{
    size_t length = strlen(kind);
    char again[LOG_NAME_BYTES];
    if (strncmp(name, kind, length) != 0 || name[length] != '-' || strlen(name) != length + 9)
        return 0;
    uint32_t number = (uint32_t)strtoul(name + length + 1, NULL, 16);
    snprintf(again, sizeof again, "%s-%08" PRIx32, kind, number);
    return strcmp(again, name) == 0 ? number : 0;
}

void log_segments_init(log_segments *segments, disk *files)
{
    *segments = (log_segments){ .disk = files };
}

static void segment_close(log_segments *segments, log_segment *segment)
{
    if (segment->file < 0)
        return;
    segments->disk->close(segments->disk, segment->file);
    segment->file = -1;
    segments->open_count--;
}

void log_segments_fini(log_segments *segments)
{
    for (uint32_t i = 0; i < segments->count; i++) {
        segment_close(segments, &segments->list[i]);
        free(segments->list[i].start);
    }
    free(segments->list);
    *segments = (log_segments){ .disk = segments->disk };
}

/* ---- scan ---- */

struct found {
    uint32_t *segments;
    uint32_t count, capacity;
    uint32_t *spares;
    uint32_t spare_count, spare_capacity;
    dro_err err;
};

static void note(uint32_t **list, uint32_t *count, uint32_t *capacity, uint32_t number, dro_err *err)
{
    if (*count == *capacity) {
        uint32_t more = *capacity == 0 ? NUMBERS_FIRST : *capacity * 2;
        uint32_t *numbers = realloc(*list, more * sizeof *numbers);
        if (numbers == NULL) {
            *err = DRO_NOMEM;
            return;
        }
        *list = numbers;
        *capacity = more;
    }
    (*list)[(*count)++] = number;
}

static void on_name(void *context, const char *name)
{
    struct found *found = context;
    uint32_t number = number_of(name, "segment");
    if (number != 0)
        note(&found->segments, &found->count, &found->capacity, number, &found->err);
    number = number_of(name, "spare");
    if (number != 0)
        note(&found->spares, &found->spare_count, &found->spare_capacity, number, &found->err);
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static dro_err remove_file(disk *files, const char *name)
{
    int error = files->remove(files, name);
    return error == 0 ? DRO_OK : told("remove", name, error);
}

static dro_err push(log_segments *segments, const log_segment *segment)
{
    if (segments->count == segments->capacity) {
        uint32_t more = segments->capacity == 0 ? NUMBERS_FIRST : segments->capacity * 2;
        log_segment *list = realloc(segments->list, more * sizeof *list);
        if (list == NULL)
            return DRO_NOMEM;
        segments->list = list;
        segments->capacity = more;
    }
    segments->list[segments->count++] = *segment;
    return DRO_OK;
}

static dro_err missing(uint32_t number)
{
    char name[LOG_NAME_BYTES];
    log_segment_name(number, name);
    dro_error("log damaged file=%s offset=0 \"the segment is missing: put it back from a backup\"", name);
    return DRO_CORRUPT;
}

/* Takes the numbers, sorted, into the list. Segments are made and dropped one by
 * one, each durably, so a gap is damage wherever it is. */
static dro_err take(log_segments *segments, const struct found *found, uint32_t from)
{
    if (found->count > 0 && found->segments[0] > from)
        return missing(from);
    if (found->count > 0 && found->segments[found->count - 1] + 1 < from)
        return missing(from - 1);
    dro_err err = DRO_OK;
    for (uint32_t i = 0; i < found->count && err == DRO_OK; i++) {
        if (i > 0 && found->segments[i - 1] + 1 != found->segments[i])
            return missing(found->segments[i - 1] + 1);
        log_segment segment = { .number = found->segments[i], .file = -1, .end = LOG_END_UNKNOWN };
        err = push(segments, &segment);
        if (err == DRO_OK)
            err = log_segments_open(segments, log_segments_at(segments, segment.number)); /* learns its size */
    }
    return err;
}

static dro_err take_spares(log_segments *segments, const struct found *found)
{
    dro_err err = DRO_OK;
    for (uint32_t i = 0; i < found->spare_count && err == DRO_OK; i++) {
        char name[LOG_NAME_BYTES];
        spare_name(found->spares[i], name);
        disk *files = segments->disk;
        int file = files->open(files, name, 0);
        int64_t size = file < 0 ? file : files->size(files, file);
        if (file >= 0)
            files->close(files, file);
        if (size < 0)
            return told("open", name, size);
        if (segments->spare_bytes == 0)
            segments->spare_bytes = (uint64_t)size;
        if (segments->spare_count < LOG_SPARES_MAX && segments->spare_bytes == (uint64_t)size && size > 0)
            segments->spares[segments->spare_count++] = found->spares[i];
        else
            err = remove_file(files, name);
    }
    return err;
}

dro_err log_segments_scan(log_segments *segments, uint32_t from)
{
    struct found found = { 0 };
    int error = segments->disk->list(segments->disk, on_name, &found);
    dro_err err = error < 0 ? told("list", ".", error) : found.err;
    if (err == DRO_OK) {
        if (found.count > 0)
            qsort(found.segments, found.count, sizeof *found.segments, by_number);
        if (found.spare_count > 0)
            qsort(found.spares, found.spare_count, sizeof *found.spares, by_number);
        err = take(segments, &found, from);
    }
    if (err == DRO_OK && !segments->is_read_only)
        err = take_spares(segments, &found);
    free(found.segments);
    free(found.spares);
    return err;
}

/* ---- one segment ---- */

log_segment *log_segments_at(const log_segments *segments, uint32_t number)
{
    if (segments->count == 0 || number < segments->list[0].number || number - segments->list[0].number >= segments->count)
        return NULL;
    return &segments->list[number - segments->list[0].number];
}

static void close_least_used(log_segments *segments)
{
    log_segment *least = NULL;
    for (uint32_t i = 0; i < segments->count; i++) {
        log_segment *segment = &segments->list[i];
        if (segment->file >= 0 && !segment->is_pinned && segment->fetches == 0 && (least == NULL || segment->used < least->used))
            least = segment;
    }
    if (least != NULL)
        segment_close(segments, least);
}

dro_err log_segments_open(log_segments *segments, log_segment *segment)
{
    segment->used = ++segments->clock;
    if (segment->file >= 0)
        return DRO_OK;
    if (segments->open_count >= LOG_FILES_OPEN_MAX)
        close_least_used(segments);
    char name[LOG_NAME_BYTES];
    log_segment_name(segment->number, name);
    disk *files = segments->disk;
    int file = files->open(files, name, 0);
    if (file < 0)
        return told("open", name, file);
    int64_t size = files->size(files, file);
    if (size < 0) {
        files->close(files, file);
        return told("open", name, size);
    }
    segment->file = file;
    segment->bytes = (uint64_t)size;
    segments->open_count++;
    return DRO_OK;
}

dro_err log_segments_add(log_segments *segments, uint32_t number, uint64_t bytes, const log_state *start)
{
    assert(segments->count == 0 || segments->list[segments->count - 1].number + 1 == number);
    disk *files = segments->disk;
    char name[LOG_NAME_BYTES], spare[LOG_NAME_BYTES];
    log_segment_name(number, name);
    if (segments->spare_count > 0 && segments->spare_bytes == bytes) {
        spare_name(segments->spares[segments->spare_count - 1], spare);
        int error = files->rename(files, spare, name);
        if (error < 0)
            return told("rename", spare, error);
        segments->spare_count--;
    }
    log_state *copy = malloc(sizeof *copy);
    if (copy == NULL)
        return DRO_NOMEM;
    *copy = *start;
    if (segments->open_count >= LOG_FILES_OPEN_MAX)
        close_least_used(segments);
    int file = files->open(files, name, bytes);
    dro_err err = file < 0 ? told("open", name, file) : DRO_OK;
    if (err == DRO_OK) {
        log_segment segment = { .number = number, .file = file, .is_pinned = true, .bytes = bytes, .start = copy };
        err = push(segments, &segment);
        if (err != DRO_OK)
            files->close(files, file);
    }
    if (err != DRO_OK) {
        free(copy);
        return err;
    }
    segments->open_count++;
    return DRO_OK;
}

static bool is_spare(const log_segments *segments, uint32_t number)
{
    for (uint32_t i = 0; i < segments->spare_count; i++)
        if (segments->spares[i] == number)
            return true;
    return false;
}

static dro_err spare_make(log_segments *segments, uint64_t bytes)
{
    disk *files = segments->disk;
    uint32_t number = UINT32_MAX - 1; /* that no segment had or has soon */
    char name[LOG_NAME_BYTES];
    while (is_spare(segments, number))
        number--;
    spare_name(number, name);
    int file = files->open(files, name, bytes);
    if (file >= 0) {
        files->close(files, file);
        segments->spares[segments->spare_count++] = number;
        return DRO_OK;
    }
    files->remove(files, name); /* what of it found room */
    return file == -ENOSPC || file == -EDQUOT ? DRO_LIMIT : told("open", name, file);
}

dro_err log_segments_reserve(log_segments *segments, uint32_t count, uint64_t bytes)
{
    assert(count < LOG_SPARES_MAX);
    dro_err err = DRO_OK;
    while (err == DRO_OK && segments->spare_count > 0 && segments->spare_bytes != bytes) { /* of a start with other segments */
        char name[LOG_NAME_BYTES];
        spare_name(segments->spares[segments->spare_count - 1], name);
        err = remove_file(segments->disk, name);
        segments->spare_count -= err == DRO_OK;
    }
    if (err == DRO_OK)
        segments->spare_bytes = bytes;
    while (err == DRO_OK && segments->spare_count < count)
        err = spare_make(segments, bytes);
    return err;
}

/* Spares are space that holds nothing: few beside the log they serve. */
static bool has_room_for_spare(const log_segments *segments)
{
    enum { SEGMENTS_EACH = 8 };
    uint32_t most = segments->count / SEGMENTS_EACH < LOG_SPARES_MAX ? segments->count / SEGMENTS_EACH : LOG_SPARES_MAX;
    return segments->spare_count == 0 || segments->spare_count < most;
}

dro_err log_segments_drop_first(log_segments *segments, uint64_t spare_bytes)
{
    assert(segments->count > 0 && !segments->list[0].is_pinned && segments->list[0].fetches == 0);
    log_segment *segment = &segments->list[0];
    disk *files = segments->disk;
    char name[LOG_NAME_BYTES], spare[LOG_NAME_BYTES];
    log_segment_name(segment->number, name);
    spare_name(segment->number, spare);
    segment_close(segments, segment);
    if (segments->spare_count == 0)
        segments->spare_bytes = spare_bytes;
    bool is_kept = segment->bytes == segments->spare_bytes && has_room_for_spare(segments);
    int error = is_kept ? files->rename(files, name, spare) : files->remove(files, name);
    if (error < 0)
        return told("drop", name, error);
    if (is_kept)
        segments->spares[segments->spare_count++] = segment->number;
    free(segment->start);
    segments->count--;
    memmove(segments->list, segments->list + 1, segments->count * sizeof *segments->list);
    return DRO_OK;
}

dro_err log_segments_remove_last(log_segments *segments)
{
    assert(segments->count > 0);
    log_segment *segment = &segments->list[segments->count - 1];
    char name[LOG_NAME_BYTES];
    log_segment_name(segment->number, name);
    segment_close(segments, segment);
    dro_err err = remove_file(segments->disk, name);
    if (err != DRO_OK)
        return err;
    free(segment->start);
    segments->count--;
    return DRO_OK;
}

uint64_t log_segments_bytes(const log_segments *segments)
{
    uint64_t bytes = segments->spare_count * segments->spare_bytes;
    for (uint32_t i = 0; i < segments->count; i++)
        bytes += segments->list[i].bytes;
    return bytes;
}

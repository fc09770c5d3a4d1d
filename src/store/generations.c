#include "store/generations.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/builder.h"
#include "base/cursor.h"
#include "base/log.h"
#include "store/crc32c.h"
#include "store/log_files.h"

#define GENERATIONS_MAGIC 0x31475244u /* "DRG1" */
enum { FORMAT = 1, CORES_MAX = 16 };

static const char list_name[] = "generations";

/* ---- bytes ---- */

size_t generations_encode(const generations *list, uint8_t out[GENERATIONS_BYTES_MAX])
{
    dro_builder builder = dro_builder_over(out, GENERATIONS_BYTES_MAX);
    dro_builder_le(&builder, GENERATIONS_MAGIC, 4);
    dro_builder_le(&builder, FORMAT, 4);
    dro_builder_le(&builder, list->count, 4);
    for (uint32_t i = 0; i < list->count; i++) {
        dro_builder_le(&builder, list->list[i].number, 4);
        dro_builder_le(&builder, list->list[i].cores, 4);
        dro_builder_le(&builder, list->list[i].is_gone, 4);
    }
    dro_builder_le(&builder, 0, 4);
    dro_builder_le(&builder, crc32c(0, out, dro_builder_length(&builder)), 4);
    assert(builder.err == DRO_OK);
    return dro_builder_length(&builder);
}

static bool is_right(const generations *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        const generation *one = &list->list[i];
        if (one->cores == 0 || one->cores > CORES_MAX || (i > 0 && one->number <= one[-1].number) ||
            (one->number == 0 && one->cores != 1))
            return false;
    }
    return !generation_newest(list)->is_gone;
}

dro_err generations_decode(generations *list, const void *bytes, size_t length)
{
    dro_cursor in = dro_cursor_over(bytes, length);
    uint32_t sum = 0;
    *list = (generations){ 0 };
    if (length >= 20)
        memcpy(&sum, (const uint8_t *)bytes + length - 4, 4);
    if (length < 20 || sum != crc32c(0, bytes, length - 4) || dro_cursor_le(&in, 4) != GENERATIONS_MAGIC)
        return DRO_CORRUPT;
    if (dro_cursor_le(&in, 4) != FORMAT)
        return DRO_UNSUPPORTED;
    uint32_t count = (uint32_t)dro_cursor_le(&in, 4);
    if (count == 0 || count > GENERATIONS_MAX || length != 20 + count * 12)
        return DRO_CORRUPT;
    list->count = count;
    for (uint32_t i = 0; i < count; i++) {
        list->list[i].number = (uint32_t)dro_cursor_le(&in, 4);
        list->list[i].cores = (uint32_t)dro_cursor_le(&in, 4);
        list->list[i].is_gone = dro_cursor_le(&in, 4) != 0;
    }
    return is_right(list) ? DRO_OK : DRO_CORRUPT;
}

/* ---- the file ---- */

static dro_err told(const char *what, int64_t error)
{
    dro_error("log cannot-%s file=%s error=\"%s\"", what, list_name, strerror((int)-error));
    return error == -ENOSPC || error == -EDQUOT ? DRO_LIMIT : DRO_IO;
}

static dro_err load(generations *list, disk *host)
{
    uint8_t bytes[GENERATIONS_BYTES_MAX + 1];
    int file = host->open(host, list_name, 0);
    if (file == -ENOENT) {
        *list = (generations){ .count = 1, .list = { { .number = 0, .cores = 1 } } };
        return DRO_OK;
    }
    int64_t got = file < 0 ? file : host->read(host, file, 0, bytes, sizeof bytes);
    if (file >= 0)
        host->close(host, file);
    if (got < 0)
        return told("read", got);
    dro_err err = generations_decode(list, bytes, (size_t)got);
    if (err == DRO_UNSUPPORTED)
        dro_error("log unsupported file=%s \"written by a newer version: run that one\"", list_name);
    else if (err != DRO_OK)
        dro_error("log damaged file=%s offset=0 \"put it back from a backup of the same moment as the logs\"", list_name);
    return err;
}

static dro_err keep(const generations *list, disk *host)
{
    uint8_t bytes[GENERATIONS_BYTES_MAX];
    size_t length = generations_encode(list, bytes);
    int error = host->replace(host, list_name, bytes, length);
    return error == 0 ? DRO_OK : told("write", error);
}

/* ---- going ---- */

/* Removes the logs of what is marked as gone, then forgets it. */
static dro_err remove_gone(generations *list, disk *host, log_store *store)
{
    uint32_t gone = 0;
    while (list->list[gone].is_gone)
        gone++;
    if (gone == 0)
        return DRO_OK;
    for (uint32_t i = 0; i < gone; i++)
        for (uint32_t core = 0; core < list->list[i].cores; core++) {
            dro_err err = store->remove(store, list->list[i].number, core);
            if (err != DRO_OK)
                return err;
        }
    generations kept = *list;
    kept.count -= gone;
    memmove(kept.list, kept.list + gone, kept.count * sizeof *kept.list);
    dro_err err = keep(&kept, host);
    if (err == DRO_OK)
        *list = kept;
    return err;
}

/* Nothing is left of generation 0. */
static dro_err fence(const generations *list, disk *host)
{
    return list->list[0].number > 0 ? log_replay_fence(host) : DRO_OK;
}

dro_err generations_finish(generations *list, disk *host, log_store *store)
{
    if (list->count == 1)
        return DRO_OK;
    generations marked = *list;
    for (uint32_t i = 0; i + 1 < marked.count; i++)
        marked.list[i].is_gone = true;
    dro_err err = keep(&marked, host);
    if (err != DRO_OK)
        return err;
    *list = marked;
    err = remove_gone(list, host, store);
    return err == DRO_OK ? fence(list, host) : err;
}

/* ---- coming ---- */

static void on_segment(void *context, const char *name)
{
    *(bool *)context |= strncmp(name, "segment-", 8) == 0 || strcmp(name, "replay") == 0;
}

/* A host that never started has no log to read, not a log that is lost. */
static dro_err forget_never_made(generations *list, disk *host)
{
    bool is_there = false;
    if (list->count != 1 || list->list[0].number != 0)
        return DRO_OK;
    int error = host->list(host, on_segment, &is_there);
    if (error < 0)
        return told("list", error);
    list->count = is_there ? 1 : 0;
    return DRO_OK;
}

static dro_err begin(generations *list, disk *host, log_store *store, uint32_t cores)
{
    dro_err made = forget_never_made(list, host);
    if (made != DRO_OK)
        return made;
    if (list->count == GENERATIONS_MAX) {
        dro_error("log full file=%s \"the number of cores was changed %d times without the move to new logs once being finished; "
                  "start with %" PRIu32 " until the log says that old logs are gone\"",
                  list_name, GENERATIONS_MAX - 1, generation_newest(list)->cores);
        return DRO_LIMIT;
    }
    uint32_t number = list->count == 0 ? 1 : generation_newest(list)->number + 1;
    for (uint32_t core = 0; core < cores; core++) {
        disk *log;
        dro_err err = store->open(store, number, core, true, &log);
        if (err != DRO_OK)
            return err;
        err = commit_log_make(log);
        log->free(log);
        if (err != DRO_OK)
            return err;
    }
    generations longer = *list;
    longer.list[longer.count++] = (generation){ .number = number, .cores = cores };
    dro_err err = keep(&longer, host);
    if (err == DRO_OK)
        *list = longer;
    return err;
}

dro_err generations_open(generations *list, disk *host, log_store *store, uint32_t cores)
{
    dro_err err = load(list, host);
    if (err != DRO_OK)
        return err;
    bool is_plain = list->count == 1 && list->list[0].number == 0 && cores == 1;
    if (is_plain)
        return DRO_OK;
    if (store == NULL)
        return DRO_UNSUPPORTED;
    err = remove_gone(list, host, store);
    if (err == DRO_OK && generation_newest(list)->cores != cores)
        err = begin(list, host, store, cores);
    return err == DRO_OK ? fence(list, host) : err;
}

/* ---- reading ---- */

static void on_written(void *context, const char *name)
{
    *(bool *)context |= strncmp(name, "segment-", 8) == 0;
}

static bool is_written(disk *log)
{
    bool is_there = false;
    return log->list(log, on_written, &is_there) < 0 || is_there;
}

static bool log_is_written(log_store *store, uint32_t generation, uint32_t core)
{
    disk *log;
    dro_err err = store->open(store, generation, core, false, &log);
    if (err != DRO_OK)
        return err != DRO_NOT_FOUND;
    bool is_so = is_written(log);
    log->free(log);
    return is_so;
}

bool generations_are_written(const generations *list, disk *host, log_store *store)
{
    for (uint32_t i = 0; i < list->count; i++) {
        const generation *one = &list->list[i];
        bool is_so = one->number == 0 && is_written(host);
        for (uint32_t core = 0; one->number > 0 && store != NULL && core < one->cores && !is_so; core++)
            is_so = log_is_written(store, one->number, core);
        if (is_so)
            return true;
    }
    return false;
}

dro_err generations_old_log(const generations *list, log_store *store, uint32_t number, disk **out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i + 1 < list->count; i++) {
        const generation *old = &list->list[i];
        for (uint32_t core = 0; core < old->cores && !old->is_gone; core++) {
            if (++count != number)
                continue;
            dro_err err = store->open(store, old->number, core, false, out);
            if (err != DRO_NOT_FOUND)
                return err;
            dro_error("log damaged \"the log of core %" PRIu32 " of generation %" PRIu32 " is missing: put it back from a backup\"",
                      core, old->number);
            return DRO_CORRUPT;
        }
    }
    return DRO_AGAIN;
}

dro_err generations_replay(const generations *list, log_store *store, void (*on_log)(void *context, uint32_t number),
                           commit_log_replay_fn replay, void *context)
{
    disk *log;
    dro_err err = generations_old_log(list, store, 1, &log);
    for (uint32_t number = 1; err == DRO_OK;) {
        if (on_log != NULL)
            on_log(context, number);
        err = commit_log_replay(log, replay, context);
        log->free(log);
        if (err == DRO_OK)
            err = generations_old_log(list, store, ++number, &log);
    }
    return err == DRO_AGAIN ? DRO_OK : err;
}

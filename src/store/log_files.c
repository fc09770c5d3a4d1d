#include "store/log_files.h"

#include <errno.h>
#include <string.h>

#include "base/builder.h"
#include "base/cursor.h"
#include "base/log.h"
#include "store/crc32c.h"

#define EPOCH_MAGIC 0x31455244u  /* "DRE1" */
#define REPLAY_MAGIC 0x31505244u /* "DRP1" */
#define END_MAGIC 0x314e5244u    /* "DRN1" */

enum { FORMAT_NEVER = 0x7fffffff };

static const char epoch_name[] = "epoch";
static const char replay_name[] = "replay";
static const char end_name[] = "end";

/* ---- bytes ---- */

static void begin(dro_builder *out, uint32_t magic)
{
    dro_builder_le(out, magic, 4);
    dro_builder_le(out, LOG_FORMAT, 4);
}

static void end(dro_builder *out)
{
    dro_builder_le(out, 0, 4);
    dro_builder_le(out, crc32c(0, out->start, dro_builder_length(out)), 4);
}

/* A cursor behind magic and format, over what the CRC protects. */
static dro_err whole(dro_cursor *in, const void *bytes, size_t length, size_t expected, uint32_t magic)
{
    *in = dro_cursor_over(bytes, length);
    uint32_t sum = 0;
    if (length >= 4)
        memcpy(&sum, (const uint8_t *)bytes + length - 4, 4);
    if (length < 12 || sum != crc32c(0, bytes, length - 4) || dro_cursor_le(in, 4) != magic)
        return DRO_CORRUPT;
    if (dro_cursor_le(in, 4) != LOG_FORMAT)
        return DRO_UNSUPPORTED;
    return length == expected ? DRO_OK : DRO_CORRUPT;
}

void log_epoch_encode(const log_epoch *epoch, uint8_t out[LOG_EPOCH_BYTES])
{
    dro_builder builder = dro_builder_over(out, LOG_EPOCH_BYTES);
    begin(&builder, EPOCH_MAGIC);
    dro_builder_le(&builder, epoch->counter, 8);
    dro_builder_le(&builder, epoch->random, 8);
    end(&builder);
}

dro_err log_epoch_decode(log_epoch *epoch, const void *bytes, size_t length)
{
    dro_cursor in;
    dro_err err = whole(&in, bytes, length, LOG_EPOCH_BYTES, EPOCH_MAGIC);
    if (err != DRO_OK)
        return err;
    epoch->counter = dro_cursor_le(&in, 8);
    epoch->random = dro_cursor_le(&in, 8);
    return epoch->counter > 0 ? DRO_OK : DRO_CORRUPT;
}

void log_replay_encode(const log_replay_point *point, uint8_t out[LOG_REPLAY_BYTES])
{
    dro_builder builder = dro_builder_over(out, LOG_REPLAY_BYTES);
    begin(&builder, REPLAY_MAGIC);
    dro_builder_le(&builder, point->segment, 8);
    dro_builder_le(&builder, point->state.epoch, 8);
    dro_builder_le(&builder, point->state.round, 8);
    for (int group = 0; group < LOG_GROUPS; group++) {
        dro_builder_le(&builder, point->state.groups[group].sequence, 8);
        dro_builder_le(&builder, point->state.groups[group].hash, 8);
    }
    end(&builder);
}

dro_err log_replay_decode(log_replay_point *point, const void *bytes, size_t length)
{
    dro_cursor in;
    dro_err err = whole(&in, bytes, length, LOG_REPLAY_BYTES, REPLAY_MAGIC);
    if (err != DRO_OK)
        return err;
    uint64_t segment = dro_cursor_le(&in, 8);
    point->state.epoch = dro_cursor_le(&in, 8);
    point->state.round = dro_cursor_le(&in, 8);
    for (int group = 0; group < LOG_GROUPS; group++) {
        point->state.groups[group].sequence = dro_cursor_le(&in, 8);
        point->state.groups[group].hash = dro_cursor_le(&in, 8);
    }
    if (in.err != DRO_OK || segment == 0 || segment > UINT32_MAX)
        return DRO_CORRUPT;
    point->segment = (uint32_t)segment;
    return DRO_OK;
}

/* ---- files ---- */

/* Up to `capacity` bytes of the file; one more than it should have shows a file too long. */
static dro_err load(disk *files, const char *name, uint8_t *bytes, size_t capacity, size_t *length)
{
    int file = files->open(files, name, 0);
    if (file == -ENOENT)
        return DRO_NOT_FOUND;
    int64_t got = file < 0 ? file : files->read(files, file, 0, bytes, capacity);
    if (file >= 0)
        files->close(files, file);
    if (got < 0) {
        dro_error("log cannot-read file=%s error=\"%s\"", name, strerror((int)-got));
        return DRO_IO;
    }
    *length = (size_t)got;
    return DRO_OK;
}

static dro_err told(const char *name, int error)
{
    if (error == 0)
        return DRO_OK;
    dro_error("log cannot-write file=%s error=\"%s\"", name, strerror(-error));
    return error == -ENOSPC || error == -EDQUOT ? DRO_LIMIT : DRO_IO;
}

static dro_err store(disk *files, const char *name, const void *bytes, size_t length)
{
    return told(name, files->replace(files, name, bytes, length));
}

/* Always of the same length: once there was space for it, it needs none. */
static dro_err store_reserved(disk *files, const char *name, const void *bytes, size_t length)
{
    bool is_reserved = files->replace_reserved != NULL;
    return told(name, (is_reserved ? files->replace_reserved : files->replace)(files, name, bytes, length));
}

static dro_err tell_damage(dro_err err, const char *name, const char *advice)
{
    if (err == DRO_UNSUPPORTED)
        dro_error("log unsupported file=%s \"written by a newer version: run that one\"", name);
    else if (err != DRO_OK)
        dro_error("log damaged file=%s offset=0 \"%s\"", name, advice);
    return err;
}

dro_err log_replay_load(disk *files, log_replay_point *point)
{
    uint8_t bytes[LOG_REPLAY_BYTES + 1];
    size_t length;
    dro_err err = load(files, replay_name, bytes, sizeof bytes, &length);
    if (err != DRO_OK)
        return err;
    return tell_damage(log_replay_decode(point, bytes, length), replay_name,
                       "put it back from a backup of the same moment as the segments");
}

dro_err log_replay_store(disk *files, const log_replay_point *point)
{
    uint8_t bytes[LOG_REPLAY_BYTES];
    log_replay_encode(point, bytes);
    return store_reserved(files, replay_name, bytes, sizeof bytes); /* on a full disk segments are dropped, too: that makes space */
}

dro_err log_end_load(disk *files, log_end *found)
{
    uint8_t bytes[LOG_END_BYTES + 1];
    size_t length;
    dro_cursor in;
    *found = (log_end){ 0 };
    dro_err err = load(files, end_name, bytes, sizeof bytes, &length);
    if (err != DRO_OK)
        return err == DRO_NOT_FOUND ? DRO_OK : err;
    err = tell_damage(whole(&in, bytes, length, LOG_END_BYTES, END_MAGIC), end_name,
                      "put it back from a backup of the same moment as the segments; without it nobody knows whether the newest rounds are all there");
    if (err == DRO_OK)
        *found = (log_end){ dro_cursor_le(&in, 8), 0 };
    if (err == DRO_OK)
        found->segment = dro_cursor_le(&in, 8);
    return err;
}

dro_err log_end_store(disk *files, const log_end *reached)
{
    uint8_t bytes[LOG_END_BYTES];
    dro_builder builder = dro_builder_over(bytes, sizeof bytes);
    begin(&builder, END_MAGIC);
    dro_builder_le(&builder, reached->round, 8);
    dro_builder_le(&builder, reached->segment, 8);
    end(&builder);
    return store(files, end_name, bytes, sizeof bytes);
}

dro_err log_replay_fence(disk *files)
{
    uint8_t bytes[16];
    dro_builder builder = dro_builder_over(bytes, sizeof bytes);
    dro_builder_le(&builder, REPLAY_MAGIC, 4);
    dro_builder_le(&builder, FORMAT_NEVER, 4);
    end(&builder);
    int file = files->open(files, replay_name, 0);
    if (file < 0)
        return store(files, replay_name, bytes, sizeof bytes);
    files->close(files, file);
    return DRO_OK;
}

dro_err commit_log_epoch_next(disk *files, uint64_t random, log_epoch *out)
{
    uint8_t bytes[LOG_EPOCH_BYTES + 1];
    size_t length;
    log_epoch epoch = { 0 };
    dro_err err = load(files, epoch_name, bytes, sizeof bytes, &length);
    if (err == DRO_OK)
        err = tell_damage(log_epoch_decode(&epoch, bytes, length), epoch_name,
                          "put it back from a backup; its counter must be the newest epoch of the log at least");
    if (err != DRO_OK && err != DRO_NOT_FOUND)
        return err;
    if (epoch.counter == UINT64_MAX)
        return DRO_LIMIT;
    epoch = (log_epoch){ epoch.counter + 1, random };
    log_epoch_encode(&epoch, bytes);
    err = store_reserved(files, epoch_name, bytes, LOG_EPOCH_BYTES); /* a host starts with a full disk, too: to show what it has */
    if (err == DRO_OK)
        *out = epoch;
    return err;
}

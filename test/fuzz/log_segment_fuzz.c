/* A segment's bytes, as recovery, reads and walks meet them. The first byte chooses:
 * odd ones get their checksums put right where a round seems to be, since no fuzzer
 * guesses those; what is behind them is then looked at too. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/commit_log.h"
#include "store/crc32c.h"
#include "store/disk_memory.h"
#include "store/log_files.h"
#include "store/log_round.h"

enum { SEGMENT_BYTES = 64 * 1024, WALKS_MAX = 64, HEADER_CRC_AT = 60, FRAME_CRC_AT = 44, MARK_AT = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t load32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, 4);
    return value;
}

static void store32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, 4);
}

static void mend_item(uint8_t *item, uint32_t length, uint64_t offset)
{
    uint8_t prefix[12];
    uint64_t place = log_place_at(1, offset);
    memcpy(prefix, &place, 8);
    memcpy(prefix + 8, item, 4);
    store32(item + 4, crc32c(crc32c(0, prefix, sizeof prefix), item + 8, length));
}

/* Frames: each over its own records' headers. */
static void mend_frames(uint8_t *round, size_t available, size_t mark)
{
    for (size_t at = mark + LOG_MARK_BYTES; at + LOG_FRAME_BYTES <= available && memcmp(round + at, "DRF1", 4) == 0; at += LOG_FRAME_BYTES) {
        uint32_t crc = crc32c(0, round + at, FRAME_CRC_AT);
        log_record_view record;
        for (size_t item = LOG_ROUND_HEADER; item + 8 <= mark; item += log_record_size(record.length))
            if (log_record_peek(&record, round + item) == LOG_ITEM_RECORD && record.group == (round[at + 6] & 63))
                crc = crc32c(crc, round + item, 8);
        store32(round + at + FRAME_CRC_AT, crc);
    }
}

static void mend(uint8_t *bytes)
{
    for (size_t start = 0; start < SEGMENT_BYTES; start += LOG_BLOCK) {
        uint8_t *round = bytes + start;
        size_t available = SEGMENT_BYTES - start, mark = LOG_ROUND_HEADER + (size_t)load32(round + MARK_AT);
        if (memcmp(round, "DRO1", 4) != 0)
            continue;
        store32(round + HEADER_CRC_AT, crc32c(0, round, HEADER_CRC_AT));
        if (mark + LOG_MARK_BYTES > available)
            continue;
        log_record_view record;
        for (size_t item = LOG_ROUND_HEADER; item + 8 <= mark; item += log_record_size(record.length))
            if (log_record_peek(&record, round + item) != LOG_ITEM_RECORD || item + 8 + record.length > available)
                break;
            else
                mend_item(round + item, record.length, start + item);
        mend_item(round + mark, 0, start + mark);
        mend_frames(round, available, mark);
    }
}

static dro_err on_replay(void *context, uint32_t group, log_place place, const uint8_t *record, size_t length)
{
    (void)context;
    assert(group < LOG_GROUPS && length >= LOG_RECORD_MIN && length <= LOG_RECORD_MAX && log_place_segment(place) == 1);
    volatile uint8_t last = record[length - 1];
    (void)last;
    return DRO_OK;
}

static bool on_walk(void *context, uint32_t group, log_place place, const uint8_t *record, size_t length)
{
    uint8_t copy[SEGMENT_BYTES];
    size_t again;
    (void)group;
    assert(length <= sizeof copy);
    assert(commit_log_read(context, place, copy, sizeof copy, &again) == DRO_OK);
    assert(again == length && memcmp(copy, record, length) == 0);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[SEGMENT_BYTES];
    dro_log_setup("fuzz", DRO_LOG_NOTHING);
    if (size == 0 || size > SEGMENT_BYTES)
        return 0;
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, data + 1, size - 1);
    if (data[0] & 1)
        mend(bytes);
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_replay_point point = { .segment = 1 };
    if (disk == NULL || log_replay_store(disk, &point) != DRO_OK || disk->replace(disk, "segment-00000001", bytes, sizeof bytes) != 0)
        abort();
    commit_log *log;
    commit_log_options options = { .disk = disk, .epoch = UINT64_MAX, .segment_bytes = SEGMENT_BYTES };
    if (commit_log_open(&log, &options, on_replay, NULL) == DRO_OK) {
        log_place place = 0;
        assert(commit_log_walk(log, &place, UINT32_MAX, on_walk, log) == DRO_OK); /* what was replayed can be walked */
        for (uint64_t i = 0; i < WALKS_MAX && i < size; i++) {
            place = log_place_at(1, (uint64_t)data[i] * 264);
            dro_err err = commit_log_walk(log, &place, 3, on_walk, log);
            assert(err == DRO_OK || err == DRO_NOT_FOUND || err == DRO_CORRUPT);
        }
        commit_log_close(log);
    }
    disk->free(disk);
    return 0;
}

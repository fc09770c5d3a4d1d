#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/crc32c.h"
#include "store/disk_memory.h"
#include "store/log_files.h"

/* Made with Python's struct and a CRC32C of its own (commit_log_format_test.py). */
static const uint8_t epoch_file[LOG_EPOCH_BYTES] = {
    0x44, 0x52, 0x45, 0x31, 0x01, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, 0x00, 0x00, 0x00, 0x00, 0x62, 0xf4, 0xb0, 0x42,
};

static void the_epoch_file_is_as_written_down(void **state)
{
    (void)state;
    uint8_t bytes[LOG_EPOCH_BYTES];
    log_epoch epoch = { 3, 0x0102030405060708u }, back;
    log_epoch_encode(&epoch, bytes);
    assert_memory_equal(bytes, epoch_file, sizeof bytes);
    assert_int_equal(log_epoch_decode(&back, epoch_file, sizeof epoch_file), DRO_OK);
    assert_int_equal(back.counter, 3);
    assert_int_equal(back.random, epoch.random);
}

static void every_other_epoch_file_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[LOG_EPOCH_BYTES + 1] = { 0 };
    log_epoch epoch;
    memcpy(bytes, epoch_file, sizeof epoch_file);
    for (size_t length = 0; length <= sizeof bytes; length++)
        assert_int_equal(log_epoch_decode(&epoch, bytes, length), length == LOG_EPOCH_BYTES ? DRO_OK : DRO_CORRUPT);
    for (size_t bit = 0; bit < LOG_EPOCH_BYTES * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(log_epoch_decode(&epoch, bytes, LOG_EPOCH_BYTES), DRO_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void a_newer_format_is_not_called_damage(void **state)
{
    (void)state;
    uint8_t bytes[LOG_EPOCH_BYTES];
    log_epoch epoch;
    memcpy(bytes, epoch_file, sizeof bytes);
    bytes[4] = LOG_FORMAT + 1;
    uint32_t crc = crc32c(0, bytes, sizeof bytes - 4);
    memcpy(bytes + sizeof bytes - 4, &crc, 4);
    assert_int_equal(log_epoch_decode(&epoch, bytes, sizeof bytes), DRO_UNSUPPORTED);
}

static void a_replay_point_comes_back(void **state)
{
    (void)state;
    uint8_t bytes[LOG_REPLAY_BYTES + 1] = { 0 };
    log_replay_point point = { .segment = 7, .state = { .epoch = 3, .round = 99 } }, back;
    for (uint32_t group = 0; group < LOG_GROUPS; group++)
        point.state.groups[group] = (log_chain){ group * 3, ~(uint64_t)group };
    log_replay_encode(&point, bytes);
    assert_int_equal(log_replay_decode(&back, bytes, LOG_REPLAY_BYTES), DRO_OK);
    assert_int_equal(back.segment, 7);
    assert_memory_equal(&back.state, &point.state, sizeof point.state);
    for (size_t length = 0; length <= sizeof bytes; length++)
        if (length != LOG_REPLAY_BYTES)
            assert_int_equal(log_replay_decode(&back, bytes, length), DRO_CORRUPT);
    for (size_t bit = 0; bit < LOG_REPLAY_BYTES * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(log_replay_decode(&back, bytes, LOG_REPLAY_BYTES), DRO_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* Whatever call the power goes at, a counter once granted is never granted again. */
static void an_epoch_is_granted_once(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        disk *disk = disk_memory_new(&(disk_memory_faults){ .seed = seed });
        uint64_t granted = 0;
        for (uint64_t start = 0; start < 40; start++) {
            disk_memory_power_cut(disk, &(disk_memory_faults){ .crash_call = 1 + (start * 5 + seed) % 6, .seed = seed + start });
            log_epoch epoch;
            while (commit_log_epoch_next(disk, start, &epoch) == DRO_OK) {
                assert_true(epoch.counter > granted);
                assert_int_equal(epoch.random, start);
                granted = epoch.counter;
            }
        }
        assert_true(granted > 0);
        disk->free(disk);
    }
}

static void sum_put(uint8_t *bytes, size_t length)
{
    uint32_t sum = crc32c(0, bytes, length - 4);
    memcpy(bytes + length - 4, &sum, 4);
}

/* With a right sum, so that nothing but what they say is wrong. */
static void files_that_make_no_sense_are_refused(void **state)
{
    uint8_t bytes[LOG_REPLAY_BYTES + 8] = { 0 };
    log_epoch epoch = { 0, 7 };
    log_replay_point point = { .segment = 0 }, back;
    (void)state;
    log_epoch_encode(&epoch, bytes);
    assert_int_equal(log_epoch_decode(&epoch, bytes, LOG_EPOCH_BYTES), DRO_CORRUPT); /* no start was the 0th */
    log_epoch_encode(&(log_epoch){ 5, 7 }, bytes);
    sum_put(bytes, LOG_EPOCH_BYTES + 4);
    assert_int_equal(log_epoch_decode(&epoch, bytes, LOG_EPOCH_BYTES + 4), DRO_CORRUPT);
    log_replay_encode(&point, bytes);
    assert_int_equal(log_replay_decode(&back, bytes, LOG_REPLAY_BYTES), DRO_CORRUPT);
    bytes[8] = bytes[12] = 1; /* more than a number of a segment holds */
    sum_put(bytes, LOG_REPLAY_BYTES);
    assert_int_equal(log_replay_decode(&back, bytes, LOG_REPLAY_BYTES), DRO_CORRUPT);
}

static void the_last_epoch_is_followed_by_none(void **state)
{
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    uint8_t bytes[LOG_EPOCH_BYTES];
    log_epoch epoch;
    (void)state;
    log_epoch_encode(&(log_epoch){ UINT64_MAX, 1 }, bytes);
    assert_int_equal(disk->replace(disk, "epoch", bytes, sizeof bytes), 0);
    assert_int_equal(commit_log_epoch_next(disk, 1, &epoch), DRO_LIMIT);
    disk->free(disk);
}

/* A disk that became full takes no epoch from a host that was started once; a counter that is not kept is not granted. */
static void an_epoch_needs_no_space_once_one_was_granted(void **state)
{
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_epoch epoch = { 0 };
    (void)state;
    disk_memory_fill(disk, true);
    assert_int_equal(commit_log_epoch_next(disk, 1, &epoch), DRO_LIMIT);
    assert_int_equal(epoch.counter, 0);
    disk_memory_fill(disk, false);
    assert_int_equal(commit_log_epoch_next(disk, 2, &epoch), DRO_OK);
    disk_memory_fill(disk, true);
    for (uint64_t start = 2; start < 10; start++) {
        assert_int_equal(commit_log_epoch_next(disk, start, &epoch), DRO_OK);
        assert_int_equal(epoch.counter, start);
        disk_memory_power_cut(disk, &(disk_memory_faults){ 0 });
        disk_memory_fill(disk, true);
    }
    disk->free(disk);
}

int main(void)
{
    dro_log_setup("test", DRO_LOG_NOTHING);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_epoch_file_is_as_written_down),
        cmocka_unit_test(every_other_epoch_file_is_refused),
        cmocka_unit_test(a_newer_format_is_not_called_damage),
        cmocka_unit_test(a_replay_point_comes_back),
        cmocka_unit_test(an_epoch_is_granted_once),
        cmocka_unit_test(files_that_make_no_sense_are_refused),
        cmocka_unit_test(the_last_epoch_is_followed_by_none),
        cmocka_unit_test(an_epoch_needs_no_space_once_one_was_granted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

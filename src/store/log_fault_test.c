/* The log when the n-th allocation or the n-th call of its disk fails, for every n of a short life with several segments: what
 * was said to be durable is replayed, nothing else is, and what is read is what was written or an error. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/failing.h"
#include "base/log.h"
#include "store/commit_log.h"
#include "store/disk_memory.h"

enum { RECORDS = 60, LENGTH = 3000, SEGMENT = 64 * 1024, CALLS_MAX = 2000 };

FAILING(void *, malloc, (size_t size), (size), NULL)
FAILING(void *, calloc, (size_t count, size_t size), (count, size), NULL)
FAILING(void *, realloc, (void *old, size_t size), (old, size), NULL)
FAILING(int, posix_memalign, (void **out, size_t alignment, size_t size), (out, alignment, size), 12)
FAILING(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size), NULL)
FAILING(void *, mmap64, (void *at, size_t length, int protection, int flags, int fd, off_t offset), (at, length, protection, flags, fd, offset), MAP_FAILED)
FAILING(int, pthread_create, (pthread_t *out, const pthread_attr_t *how, void *(*run)(void *), void *context), (out, how, run, context), 11)

/* ---- a disk around the one in memory ---- */

static disk around, *within;

#define PASS(type, name, parameters, arguments) \
    static type pass_##name parameters \
    { \
        (void)self; \
        fault_spared++; /* what the disk in memory allocates never fails */ \
        type result = within->name arguments; \
        fault_spared--; \
        return result; \
    }

PASS(int, open, (disk *self, const char *name, uint64_t bytes), (within, name, bytes))
PASS(int64_t, size, (disk *self, int file), (within, file))
PASS(int64_t, read, (disk *self, int file, uint64_t offset, void *buffer, size_t length), (within, file, offset, buffer, length))
PASS(int, write_durable, (disk *self, int file, uint64_t offset, const void *buffer, size_t length, uint64_t token), (within, file, offset, buffer, length, token))
PASS(int, reap, (disk *self, disk_completion *done, int max, bool wait), (within, done, max, wait))
PASS(int, fetch, (disk *self, int file, uint64_t offset, void *buffer, size_t length, uint64_t token), (within, file, offset, buffer, length, token))
PASS(int, fetch_start, (disk *self), (within))
PASS(int, fetch_reap, (disk *self, disk_fetched *done, int max, bool wait), (within, done, max, wait))
PASS(int, replace, (disk *self, const char *name, const void *bytes, size_t length), (within, name, bytes, length))
PASS(int, replace_reserved, (disk *self, const char *name, const void *bytes, size_t length), (within, name, bytes, length))
PASS(int, replace_over, (disk *self, const char *name, const void *bytes, size_t length), (within, name, bytes, length))
PASS(int, rename, (disk *self, const char *from, const char *to), (within, from, to))
PASS(int, remove, (disk *self, const char *name), (within, name))
PASS(int, list, (disk *self, void (*each)(void *context, const char *name), void *context), (within, each, context))
PASS(int, descriptor, (disk *self), (within))

static void pass_close(disk *self, int file)
{
    (void)self;
    within->close(within, file);
}

static disk *disk_around(const disk_memory_faults *faults)
{
    fault_spared++;
    within = disk_memory_new(faults);
    fault_spared--;
    assert_non_null(within);
    around = *within; /* what is not passed on here is the inner one's own */
    around.open = pass_open, around.close = pass_close, around.size = pass_size, around.read = pass_read, around.write_durable = pass_write_durable;
    around.reap = pass_reap, around.fetch = pass_fetch, around.fetch_start = pass_fetch_start, around.fetch_reap = pass_fetch_reap, around.replace = pass_replace;
    around.replace_reserved = pass_replace_reserved, around.replace_over = pass_replace_over, around.rename = pass_rename, around.remove = pass_remove, around.list = pass_list, around.descriptor = pass_descriptor;
    return &around;
}

/* ---- a life of a log ---- */

static uint32_t told, durable;          /* records appended; of these the last that was durable */
static uint32_t replayed;               /* the last one seen in replay */
static log_place places[RECORDS + 1];

static void bytes_of(uint32_t number, uint8_t out[LENGTH])
{
    memset(out, (int)number, LENGTH);
    memset(out, 0, 8);
    memcpy(out + 8, &number, 4);
}

static log_place on_placed(void *context, uint64_t tag, log_place place)
{
    (void)context;
    places[tag] = place;
    return tag > 1 ? places[tag - 1] : 0;
}

static void is_right(const uint8_t *record, size_t length)
{
    uint8_t wanted[LENGTH];
    uint32_t number;
    assert_int_equal(length, LENGTH);
    memcpy(&number, record + 8, 4);
    assert_true(number >= 1 && number <= RECORDS);
    bytes_of(number, wanted);
    assert_memory_equal(record + 8, wanted + 8, LENGTH - 8);
}

static dro_err on_replay(void *context, uint32_t group, log_place place, const uint8_t *record, size_t length)
{
    uint32_t number;
    (void)context, (void)group, (void)place;
    is_right(record, length);
    memcpy(&number, record + 8, 4);
    assert_true(replayed == 0 || number == replayed + 1);
    replayed = number;
    return DRO_OK;
}

static bool on_walk(void *context, uint32_t group, log_place place, const uint8_t *record, size_t length)
{
    (void)group, (void)place;
    is_right(record, length);
    ++*(int *)context;
    return true;
}

static void append_some(commit_log *log, uint32_t most)
{
    uint8_t record[LENGTH];
    for (uint32_t i = 0; i < most && told < RECORDS && !commit_log_failed(log); i++) {
        bytes_of(told + 1, record);
        if (commit_log_append(log, (told + 1) % 3, told + 1, record, LENGTH) != DRO_OK)
            return;
        uint64_t round = commit_log_round(log);
        told++;
        dro_err err = commit_log_submit(log);
        for (int tries = 0; err == DRO_OK && tries < 8 && !commit_log_failed(log) && commit_log_durable(log, true) < round; tries++)
            continue;
        if (err != DRO_OK || commit_log_durable(log, false) < round)
            return;
        durable = told;
    }
}

static void look(commit_log *log, bool is_written)
{
    static uint8_t record[LOG_RECORD_MAX];
    size_t length;
    int walked = 0, fetched = 0;
    log_place from = 0;
    for (uint32_t number = durable > 40 ? durable - 40 : 1; number <= durable; number += 7)
        if (commit_log_read(log, places[number], record, sizeof record, &length) == DRO_OK)
            is_right(record, length);
    for (uint32_t number = durable > 4 ? durable - 3 : 1; is_written && number <= durable; number++)
        fetched += commit_log_fetch(log, places[number], number) == DRO_OK;
    if (is_written)
        commit_log_fetch_start(log);
    for (int tries = 0; fetched > 0 && tries < 64 && commit_log_fetching(log) > 0; tries++) {
        log_fetched got;
        if (!commit_log_fetched(log, &got))
            continue;
        if (got.err == DRO_OK)
            is_right(got.record, got.length);
    }
    dro_err err = commit_log_walk(log, &from, UINT32_MAX, on_walk, &walked);
    assert_true(err != DRO_OK || walked > 0 || durable == 0);
    assert_false(is_written && commit_log_fetch_waits(log));
}

static void epoch_and_open(disk *disk, commit_log **log, bool *is_open)
{
    log_epoch epoch;
    *is_open = false;
    if (commit_log_epoch_next(disk, 7, &epoch) != DRO_OK)
        return;
    commit_log_options options = { .disk = disk, .epoch = epoch.counter, .segment_bytes = SEGMENT, .on_placed = on_placed };
    replayed = 0;
    *is_open = commit_log_open(log, &options, on_replay, NULL) == DRO_OK;
}

static void life(disk *disk)
{
    commit_log *log;
    bool is_open;
    told = durable = 0;
    epoch_and_open(disk, &log, &is_open);
    if (!is_open)
        return;
    append_some(log, 25);
    look(log, true);
    append_some(log, RECORDS);
    if (durable == RECORDS && commit_log_set_replay(log, commit_log_segment_last(log)) == DRO_OK)
        assert_true(commit_log_drop(log, commit_log_segment_last(log) - 1) != DRO_MALFORMED);
    look(log, true);
    (void)commit_log_bytes(log);
    commit_log_close(log);
    /* another start, which only reads */
    if (commit_log_open_old(&log, disk) == DRO_OK) {
        look(log, false);
        commit_log_close(log);
    }
    replayed = 0;
    assert_true(commit_log_replay(disk, on_replay, NULL) != DRO_OK || durable < RECORDS || replayed >= durable);
}

/* What was durable comes back on a disk that works again; nothing that was never told does. */
static void comes_back(disk *disk)
{
    commit_log *log;
    bool is_open;
    disk_memory_power_cut(within, &(disk_memory_faults){ 0 });
    epoch_and_open(disk, &log, &is_open);
    assert_true(is_open);
    assert_true(durable == 0 || replayed >= durable);
    assert_true(replayed <= told);
    commit_log_close(log);
}

static void allocations(void **state)
{
    (void)state;
    for (int n = 1;; n++) {
        assert_true(n < CALLS_MAX);
        disk *disk = disk_around(&(disk_memory_faults){ 0 });
        fault_at(n, ENOMEM);
        life(disk);
        bool is_over = fault_is_past(n);
        if (is_over)
            assert_int_equal(durable, RECORDS);
        comes_back(disk);
        within->free(within);
        if (is_over)
            break;
    }
}

static void calls_of_the_disk(void **state)
{
    (void)state;
    fault_at(0, 0);
    for (uint64_t n = 1;; n++) {
        assert_true(n < CALLS_MAX);
        disk *disk = disk_around(&(disk_memory_faults){ .fail_call = n });
        life(disk);
        bool is_over = disk_memory_calls(within) < n;
        if (is_over)
            assert_int_equal(durable, RECORDS);
        comes_back(disk);
        within->free(within);
        if (is_over)
            break;
    }
}

/* ---- a disk that says what it should not ---- */

static commit_log *log_of(uint32_t records)
{
    commit_log *log;
    bool is_open;
    told = durable = 0;
    fault_at(0, 0);
    epoch_and_open(disk_around(&(disk_memory_faults){ 0 }), &log, &is_open);
    assert_true(is_open);
    append_some(log, records);
    assert_int_equal(durable, records);
    return log;
}

static void one_more(commit_log *log)
{
    uint8_t record[LENGTH];
    bytes_of(++told, record);
    assert_int_equal(commit_log_append(log, told % 3, told, record, LENGTH), DRO_OK);
    assert_int_equal(commit_log_submit(log), DRO_OK);
}

static int reap_error; /* 0: nothing is ever done */

static int reap_nothing(disk *self, disk_completion *done, int max, bool wait)
{
    (void)self, (void)done, (void)max, (void)wait;
    return reap_error;
}

/* It comes to its end, and nothing more is said to be durable. */
static void a_disk_that_completes_nothing(void **state)
{
    (void)state;
    for (reap_error = -EIO; reap_error <= 0; reap_error += EIO) {
        commit_log *log = log_of(3);
        one_more(log);
        around.reap = reap_nothing;
        uint64_t before = commit_log_durable(log, false);
        assert_int_equal(commit_log_failed(log), reap_error != 0); /* not to have ended yet is fine */
        assert_int_equal(commit_log_durable(log, true), before);
        assert_true(commit_log_failed(log));
        assert_int_equal(commit_log_reserve(log), DRO_IO);
        assert_int_equal(commit_log_submit(log), DRO_IO);
        commit_log_close(log);
        comes_back(&around);
        within->free(within);
    }
}

/* Its owner slept on the descriptor, and there was no write under way. */
static void a_disk_that_cannot_be_asked(void **state)
{
    (void)state;
    commit_log *log = log_of(3);
    uint64_t before = commit_log_durable(log, false);
    reap_error = -EIO;
    around.reap = reap_nothing;
    assert_int_equal(commit_log_durable(log, false), before); /* it is not asked without a reason */
    assert_false(commit_log_failed(log));
    (void)commit_log_descriptor(log);
    assert_int_equal(commit_log_durable(log, false), before);
    assert_true(commit_log_failed(log));
    commit_log_close(log);
    within->free(within);
}

static int reap_a_stranger(disk *self, disk_completion *done, int max, bool wait)
{
    (void)self, (void)wait;
    assert_true(max >= 1);
    done[0] = (disk_completion){ .token = UINT64_MAX };
    around.reap = pass_reap;
    return 1;
}

static void a_completion_of_nobody(void **state)
{
    (void)state;
    commit_log *log = log_of(3);
    uint64_t before = commit_log_durable(log, false);
    one_more(log);
    around.reap = reap_a_stranger;
    assert_int_equal(commit_log_durable(log, false), before);
    assert_true(around.reap == pass_reap); /* it was told */
    assert_int_equal(commit_log_durable(log, true), before + 1);
    commit_log_close(log);
    within->free(within);
}

static int no_room(disk *self, const char *name, const void *bytes, size_t length)
{
    (void)self, (void)name, (void)bytes, (void)length;
    return -ENOSPC;
}

static int no_room_to_rename(disk *self, const char *from, const char *to)
{
    (void)self, (void)from, (void)to;
    return -ENOSPC;
}

/* No space is no failure: the log goes on, and what was refused may be asked for again. */
static void a_full_disk_under_replay_point_and_drop(void **state)
{
    (void)state;
    commit_log *log = log_of(RECORDS);
    uint32_t first = commit_log_segment_first(log), last = commit_log_segment_last(log);
    assert_true(first < last);
    around.replace = around.replace_reserved = around.replace_over = no_room;
    assert_int_equal(commit_log_set_replay(log, last), DRO_LIMIT);
    assert_int_equal(commit_log_replay_segment(log), first);
    around.replace = pass_replace, around.replace_reserved = pass_replace_reserved, around.replace_over = pass_replace_over;
    assert_int_equal(commit_log_set_replay(log, last), DRO_OK);
    around.rename = no_room_to_rename;
    assert_int_equal(commit_log_drop(log, last), DRO_LIMIT);
    around.rename = pass_rename;
    assert_int_equal(commit_log_segment_first(log), first);
    assert_false(commit_log_failed(log));
    assert_int_equal(commit_log_drop(log, last), DRO_OK);
    assert_int_equal(commit_log_segment_first(log), last);
    commit_log_close(log);
    comes_back(&around);
    within->free(within);
}

/* Rounds of which a whole number does not fill a segment. */
static void append_rounds_of_four(commit_log *log, int count)
{
    uint8_t record[LENGTH];
    for (int i = 0; i < 4 * count; i++) {
        bytes_of(++told, record);
        assert_int_equal(commit_log_append(log, told % 3, told, record, LENGTH), DRO_OK);
        if (told % 4 != 0)
            continue;
        uint64_t round = commit_log_round(log);
        assert_int_equal(commit_log_submit(log), DRO_OK);
        assert_int_equal(commit_log_durable(log, true), round);
    }
}

/* Segments before the replay point count with their whole file until somebody looks for their end. */
static void the_end_of_an_old_segment(void **state)
{
    (void)state;
    commit_log *log = log_of(0);
    append_rounds_of_four(log, 8);
    uint32_t first = commit_log_segment_first(log), last = commit_log_segment_last(log);
    uint64_t end = commit_log_segment_bytes(log, first);
    bool is_open;
    assert_true(end < SEGMENT);
    assert_int_equal(commit_log_set_replay(log, last), DRO_OK);
    commit_log_close(log);
    epoch_and_open(&around, &log, &is_open);
    assert_true(is_open);
    assert_int_equal(commit_log_segment_bytes(log, first), SEGMENT);
    int walked = 0;
    log_place from = 0;
    assert_int_equal(commit_log_walk(log, &from, 1, on_walk, &walked), DRO_OK);
    assert_int_equal(walked, 1);
    assert_int_equal(commit_log_segment_bytes(log, first), end);
    assert_int_equal(commit_log_segment_bytes(log, last + 1), 0);
    commit_log_close(log);
    within->free(within);
}

int main(void)
{
    dro_log_setup("test", DRO_LOG_NOTHING);
    const struct CMUnitTest tests[] = {
        { "what_is_durable_outlives_any_allocation_that_fails", allocations, NULL, NULL, NULL },
        { "what_is_durable_outlives_any_call_of_the_disk_that_fails", calls_of_the_disk, NULL, NULL, NULL },
        cmocka_unit_test(a_disk_that_completes_nothing),
        cmocka_unit_test(a_disk_that_cannot_be_asked),
        cmocka_unit_test(a_completion_of_nobody),
        cmocka_unit_test(a_full_disk_under_replay_point_and_drop),
        cmocka_unit_test(the_end_of_an_old_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What the owner of a log meets; crashes are in commit_log_crash_test.c. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/commit_log_model.h"
#include "store/disk_directory.h"
#include "store/disk_memory.h"
#include "store/log_files.h"
#include "store/log_round.h"
#include "store/log_segments.h"

static const dro_log_level quiet = DRO_LOG_NOTHING;

/* ---- a log of known content ---- */

enum { ROUNDS = 60 };

struct kept { /* of a whole log, to be damaged and put back */
    char name[3][32];
    uint8_t *bytes[3];
    uint64_t size[3];
    int count;
};

static void open_model(log_model *model, disk *disk, uint64_t seed)
{
    log_model_init(model, disk, seed);
    assert_int_equal(log_model_open(model), DRO_OK);
}

static void append_round(log_model *model, uint32_t number, size_t length)
{
    uint8_t bytes[LOG_RECORD_MAX];
    model->records[number] = (model_record){
        .life = model->life, .object = number % MODEL_OBJECTS, .length = (uint32_t)length, .group = number % LOG_GROUPS };
    log_model_bytes(model, number, bytes);
    assert_int_equal(commit_log_append(model->log, number % LOG_GROUPS, number, bytes, length), DRO_OK);
    model->records[number].round = commit_log_round(model->log);
    model->count = number;
    assert_int_equal(commit_log_submit(model->log), DRO_OK);
    while (commit_log_durable(model->log, true) < model->records[number].round)
        continue;
    model->durable = number;
}

/* Rounds of one record each, about three segments of them. */
static void write_rounds(log_model *model)
{
    for (uint32_t i = 1; i <= ROUNDS; i++)
        append_round(model, i, 2500 + i);
}

/* ---- gathering ---- */

static void sizes_out_of_bounds_are_refused(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    static uint8_t bytes[LOG_RECORD_MAX + 1];
    open_model(&model, disk, 1);
    assert_int_equal(commit_log_append(model.log, 0, 0, bytes, 7), DRO_LIMIT);
    assert_int_equal(commit_log_append(model.log, LOG_GROUPS, 0, bytes, 8), DRO_LIMIT);
    assert_int_equal(commit_log_append(model.log, 0, 0, bytes, LOG_RECORD_MAX + 1), DRO_LIMIT);
    assert_int_equal(commit_log_append(model.log, 0, 0, bytes, MODEL_SEGMENT_BYTES), DRO_LIMIT); /* fits no segment */
    assert_false(commit_log_can_submit(model.log));
    assert_int_equal(commit_log_submit(model.log), DRO_AGAIN);
    log_model_fini(&model);
    disk->free(disk);
}

static void a_full_round_says_again_and_goes_on_after_submit(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    commit_log *log;
    static uint8_t bytes[LOG_RECORD_MAX];
    commit_log_options options = { .disk = disk, .epoch = 1 };
    assert_int_equal(commit_log_open(&log, &options, NULL, NULL), DRO_OK);
    int count = 0;
    dro_err err;
    while ((err = commit_log_append(log, (uint32_t)count % LOG_GROUPS, 0, bytes, LOG_RECORD_MAX)) == DRO_OK)
        count++;
    assert_int_equal(err, DRO_AGAIN);
    assert_in_range(count, LOG_ROUND_BYTES_MAX / LOG_RECORD_MAX - 1, LOG_ROUND_BYTES_MAX / LOG_RECORD_MAX);
    assert_int_equal(commit_log_submit(log), DRO_OK);
    assert_int_equal(commit_log_append(log, 0, 0, bytes, LOG_RECORD_MAX), DRO_OK);
    commit_log_close(log);
    disk->free(disk);
}

static void no_more_rounds_are_in_flight_than_allowed(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    uint8_t bytes[64] = { 0 };
    open_model(&model, disk, 1);
    for (int i = 0; i <= LOG_ROUNDS_IN_FLIGHT; i++) {
        assert_int_equal(commit_log_append(model.log, 0, 1, bytes, sizeof bytes), DRO_OK);
        bool is_free = i < LOG_ROUNDS_IN_FLIGHT;
        assert_int_equal(commit_log_can_submit(model.log), is_free);
        assert_int_equal(commit_log_submit(model.log), is_free ? DRO_OK : DRO_AGAIN);
    }
    while (commit_log_durable(model.log, true) < LOG_ROUNDS_IN_FLIGHT)
        continue;
    assert_int_equal(commit_log_submit(model.log), DRO_OK);
    log_model_fini(&model);
    disk->free(disk);
}

/* Each buffer keeps what its largest round filled, and the first free one is taken. */
static void rounds_keep_the_memory_of_the_largest(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    uint8_t bytes[6000] = { 0 };
    static const struct { size_t length; bool is_waited_for; size_t memory; } rounds[] = {
        { 6000, true, 2 * LOG_BLOCK }, /* the next buffer is taken before it is durable */
        { 64, true, 3 * LOG_BLOCK }, { 64, true, 3 * LOG_BLOCK }, { 64, false, 3 * LOG_BLOCK }, { 64, false, 3 * LOG_BLOCK },
        { 6000, true, 5 * LOG_BLOCK }, { 6000, true, 7 * LOG_BLOCK }, { 6000, true, 7 * LOG_BLOCK }, { 6000, true, 8 * LOG_BLOCK }, { 6000, true, 8 * LOG_BLOCK },
    };
    open_model(&model, disk, 1);
    assert_int_equal(commit_log_memory(model.log), 0);
    for (size_t i = 0; i < sizeof rounds / sizeof *rounds; i++) {
        assert_int_equal(commit_log_append(model.log, 0, 1, bytes, rounds[i].length), DRO_OK);
        uint64_t round = commit_log_round(model.log);
        assert_int_equal(commit_log_submit(model.log), DRO_OK);
        assert_int_equal(commit_log_memory(model.log), rounds[i].memory);
        while (rounds[i].is_waited_for && commit_log_durable(model.log, true) < round)
            continue;
    }
    log_model_fini(&model);
    disk->free(disk);
}

static void the_replay_point_waits_for_the_rounds_before_its_segment(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    static uint8_t bytes[40000];
    open_model(&model, disk, 1);
    for (int i = 0; i < 2; i++) { /* each leaves no room for the other in its segment */
        assert_int_equal(commit_log_append(model.log, 0, 1, bytes, sizeof bytes), DRO_OK);
        assert_int_equal(commit_log_submit(model.log), DRO_OK);
    }
    assert_int_equal(commit_log_segment_last(model.log), 2);
    assert_int_equal(commit_log_set_replay(model.log, 2), DRO_AGAIN);
    assert_int_equal(commit_log_set_replay(model.log, 1), DRO_OK);
    while (commit_log_durable(model.log, true) < 1)
        continue;
    assert_int_equal(commit_log_set_replay(model.log, 2), DRO_OK); /* what is in it may still be under way */
    log_model_fini(&model);
    disk->free(disk);
}

static void the_largest_record_comes_back(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    static uint8_t bytes[LOG_RECORD_MAX], back[LOG_RECORD_MAX];
    commit_log *log;
    commit_log_options options = { .disk = disk, .epoch = 1, .segment_bytes = 1 << 20 };
    assert_int_equal(commit_log_open(&log, &options, NULL, NULL), DRO_OK);
    for (size_t i = 8; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    assert_int_equal(commit_log_append(log, 63, 0, bytes, sizeof bytes), DRO_OK);
    assert_int_equal(commit_log_submit(log), DRO_OK);
    assert_int_equal(commit_log_durable(log, true), 1);
    size_t length;
    log_place place = log_place_at(1, LOG_ROUND_HEADER);
    assert_int_equal(commit_log_read(log, place, back, sizeof back, &length), DRO_OK);
    assert_int_equal(length, sizeof back);
    assert_memory_equal(back, bytes, sizeof back);
    assert_int_equal(commit_log_read(log, place, back, sizeof back - 1, &length), DRO_LIMIT);
    commit_log_close(log);
    disk->free(disk);
}

/* ---- places ---- */

static void any_number_is_not_a_place(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    open_model(&model, disk, 1);
    write_rounds(&model);
    static uint8_t bytes[LOG_RECORD_MAX];
    size_t length;
    uint32_t found = 0;
    for (uint64_t offset = 0; offset < MODEL_SEGMENT_BYTES; offset += 8) {
        log_place place = log_place_at(1, offset);
        found += commit_log_read(model.log, place, bytes, sizeof bytes, &length) == DRO_OK;
    }
    uint32_t there = 0;
    for (uint32_t i = 1; i <= ROUNDS; i++)
        there += log_place_segment(model.records[i].place) == 1;
    assert_int_equal(found, there);
    assert_int_equal(commit_log_read(model.log, log_place_at(1, 1u << 30), bytes, sizeof bytes, &length), DRO_NOT_FOUND);
    assert_int_equal(commit_log_read(model.log, log_place_at(99, 64), bytes, sizeof bytes, &length), DRO_NOT_FOUND);
    assert_int_equal(commit_log_read(model.log, 0, bytes, sizeof bytes, &length), DRO_NOT_FOUND);
    log_model_fini(&model);
    disk->free(disk);
}

static void bytes_copied_elsewhere_never_pass(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    static uint8_t bytes[LOG_RECORD_MAX];
    size_t length;
    uint64_t size;
    open_model(&model, disk, 1);
    write_rounds(&model);
    uint8_t *first = disk_memory_bytes(disk, "segment-00000001", &size);
    uint8_t *second = disk_memory_bytes(disk, "segment-00000002", &size);
    memcpy(second, first, size); /* a segment that another life left in a recycled file */
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        uint32_t segment = log_place_segment(model.records[i].place);
        dro_err err = commit_log_read(model.log, model.records[i].place, bytes, sizeof bytes, &length);
        assert_int_equal(err, segment == 2 ? DRO_CORRUPT : DRO_OK);
    }
    log_model_fini(&model);
    disk->free(disk);
}

struct counted {
    uint32_t records;
    log_place newest;
};

static bool count(void *context, uint32_t group, log_place place, const uint8_t *record, size_t length)
{
    struct counted *counted = context;
    (void)group, (void)record, (void)length;
    counted->records++;
    counted->newest = place;
    return true;
}

static void a_walk_goes_on_where_the_last_one_ended(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    open_model(&model, disk, 1);
    log_place place = commit_log_end(model.log);
    struct counted counted = { 0 };
    assert_int_equal(commit_log_walk(model.log, &place, 10, count, &counted), DRO_OK); /* nothing yet */
    assert_int_equal(counted.records, 0);
    for (uint32_t i = 1; i <= ROUNDS; i++) { /* over several segments */
        append_round(&model, i, 3000);
        counted.records = 0;
        assert_int_equal(commit_log_walk(model.log, &place, 10, count, &counted), DRO_OK);
        assert_int_equal(counted.records, 1);
        assert_int_equal(counted.newest, model.records[i].place);
        log_place from_end = commit_log_end(model.log);
        assert_int_equal(commit_log_walk(model.log, &from_end, 10, count, &counted), DRO_OK);
        assert_int_equal(counted.records, 1);
    }
    assert_true(commit_log_segment_last(model.log) > 2);
    log_model_fini(&model);
    disk->free(disk);
}

static void a_walk_from_nowhere_is_not_found(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    struct counted counted = { 0 };
    open_model(&model, disk, 1);
    write_rounds(&model);
    log_place bad[] = { log_place_at(1, 72), log_place_at(1, MODEL_SEGMENT_BYTES + 8), log_place_at(77, 0), 1, UINT64_MAX };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(commit_log_walk(model.log, &bad[i], 10, count, &counted), DRO_NOT_FOUND);
    assert_int_equal(counted.records, 0);
    log_model_fini(&model);
    disk->free(disk);
}

/* ---- segments ---- */

static void dropped_segments_are_used_again(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    uint64_t size;
    open_model(&model, disk, 1);
    write_rounds(&model);
    uint32_t last = commit_log_segment_last(model.log);
    assert_true(last >= 3);
    assert_int_equal(commit_log_drop(model.log, last), DRO_RANGE); /* replay would need it */
    assert_int_equal(commit_log_set_replay(model.log, last + 1), DRO_RANGE);
    assert_int_equal(commit_log_set_replay(model.log, last), DRO_OK);
    assert_int_equal(commit_log_set_replay(model.log, last - 1), DRO_RANGE); /* never back */
    assert_int_equal(commit_log_drop(model.log, last), DRO_OK);
    assert_int_equal(commit_log_segment_first(model.log), last);
    assert_non_null(disk_memory_bytes(disk, "spare-00000001", &size));
    uint64_t bytes = commit_log_bytes(model.log);
    assert_int_equal(bytes, (uint64_t)MODEL_SEGMENT_BYTES * 2); /* of few segments one is kept to be used again */
    for (uint32_t i = ROUNDS + 1; commit_log_segment_last(model.log) == last; i++)
        append_round(&model, i, 2500);
    assert_int_equal(commit_log_bytes(model.log), bytes); /* no new file */
    log_place dropped = model.records[1].place;
    struct counted counted = { 0 };
    uint8_t record[100];
    size_t length;
    assert_int_equal(commit_log_walk(model.log, &dropped, 1, count, &counted), DRO_NOT_FOUND);
    assert_int_equal(commit_log_read(model.log, dropped, record, sizeof record, &length), DRO_NOT_FOUND);
    log_model_fini(&model);
    disk->free(disk);
}

/* Waits for the only fetch under way. */
static log_fetched fetched_of(commit_log *log)
{
    log_fetched fetched = { 0 };
    do
        commit_log_fetch_start(log); /* a long record takes two reads */
    while (!commit_log_fetched(log, &fetched));
    return fetched;
}

static void a_segment_being_fetched_from_is_not_dropped(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    open_model(&model, disk, 1);
    write_rounds(&model);
    uint32_t last = commit_log_segment_last(model.log);
    assert_int_equal(commit_log_fetch(model.log, model.records[1].place, 77), DRO_OK);
    assert_int_equal(commit_log_fetching(model.log), 1);
    assert_int_equal(commit_log_set_replay(model.log, last), DRO_OK);
    assert_int_equal(commit_log_drop(model.log, last), DRO_AGAIN);
    log_fetched fetched = fetched_of(model.log);
    assert_int_equal(fetched.tag, 77);
    assert_int_equal(fetched.err, DRO_OK);
    assert_false(commit_log_fetched(model.log, &fetched));
    assert_int_equal(commit_log_drop(model.log, last), DRO_OK);
    assert_int_equal(commit_log_fetch(model.log, model.records[1].place, 77), DRO_NOT_FOUND);
    assert_int_equal(commit_log_fetching(model.log), 0);
    log_model_fini(&model);
    disk->free(disk);
}

/* Refused at once or by the disk later: that one fails, the log and the others go on. */
static void a_fetch_that_fails_is_alone(void **state)
{
    (void)state;
    int refused = 0, failed = 0;
    for (uint64_t call = 1; call <= 4; call++) {
        disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
        log_model model;
        open_model(&model, disk, 1);
        append_round(&model, 1, 2500);
        append_round(&model, 2, 200);
        disk_memory_power_cut(disk, &(disk_memory_faults){ .fail_call = call });
        dro_err err = commit_log_fetch(model.log, model.records[1].place, 1);
        refused += err == DRO_IO;
        if (err == DRO_OK)
            failed += fetched_of(model.log).err == DRO_IO;
        assert_int_equal(commit_log_fetching(model.log), 0 + (err == DRO_OK)); /* given out, not given back */
        disk_memory_power_cut(disk, NULL);
        assert_int_equal(commit_log_fetch(model.log, model.records[2].place, 2), DRO_OK);
        assert_int_equal(fetched_of(model.log).err, DRO_OK);
        assert_false(commit_log_failed(model.log));
        append_round(&model, 3, 300);
        log_model_fini(&model);
        disk->free(disk);
    }
    assert_int_equal(refused, 1);
    assert_int_equal(failed, 3); /* of 2500 bytes: the first read, the second's start and its end */
}

static void a_log_closes_with_fetches_under_way(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    open_model(&model, disk, 1);
    write_rounds(&model);
    uint32_t under_way = 0;
    while (under_way < LOG_FETCHES_MAX && commit_log_fetch(model.log, model.records[1 + under_way % ROUNDS].place, under_way) == DRO_OK)
        under_way++;
    assert_int_equal(under_way, LOG_FETCHES_MAX);
    assert_int_equal(commit_log_fetch(model.log, model.records[1].place, 0), DRO_AGAIN);
    log_model_fini(&model);
    disk->free(disk);
}

static void a_start_with_nothing_behind_the_replay_point_works(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    open_model(&model, disk, 1);
    write_rounds(&model);
    log_model_close(&model);
    assert_int_equal(log_model_open(&model), DRO_OK);
    uint32_t fresh = commit_log_segment_last(model.log);
    assert_int_equal(commit_log_set_replay(model.log, fresh), DRO_OK); /* not made yet */
    assert_int_equal(commit_log_drop(model.log, fresh), DRO_OK);
    model.first_kept = ROUNDS + 1;
    for (int i = 0; i < 3; i++) {
        log_place place = 0;
        struct counted counted = { 0 };
        assert_int_equal(commit_log_walk(model.log, &place, 10, count, &counted), DRO_OK);
        assert_int_equal(place, commit_log_end(model.log));
        log_model_close(&model);
        assert_int_equal(log_model_open(&model), DRO_OK);
        assert_int_equal(commit_log_segment_last(model.log), fresh);
        assert_int_equal(commit_log_round(model.log), ROUNDS + 1);
    }
    append_round(&model, ROUNDS + 1, 100);
    log_model_close(&model);
    assert_int_equal(log_model_open(&model), DRO_OK);
    assert_int_equal(model.durable, ROUNDS + 1);
    log_model_fini(&model);
    disk->free(disk);
}

static int (*open_before)(disk *disk, const char *name, uint64_t bytes);
static int refusals_left;

static int open_on_full_disk(disk *disk, const char *name, uint64_t bytes)
{
    if (bytes > 0 && refusals_left-- > 0)
        return -ENOSPC;
    return open_before(disk, name, bytes);
}

static void a_full_disk_keeps_the_round_for_later(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    uint8_t bytes[100];
    open_model(&model, disk, 1);
    open_before = disk->open;
    disk->open = open_on_full_disk;
    refusals_left = 3;
    model.records[1] = (model_record){ .life = 1, .length = sizeof bytes };
    log_model_bytes(&model, 1, bytes);
    assert_int_equal(commit_log_append(model.log, 0, 1, bytes, sizeof bytes), DRO_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(commit_log_submit(model.log), DRO_LIMIT);
        assert_true(commit_log_can_submit(model.log)); /* it may be tried again */
        assert_false(commit_log_failed(model.log));
        assert_int_equal(commit_log_durable(model.log, true), 0);
    }
    assert_int_equal(commit_log_submit(model.log), DRO_OK); /* somebody made room */
    assert_int_equal(commit_log_durable(model.log, true), 1);
    model.count = model.durable = 1;
    model.records[1].round = 1;
    log_model_check_all(&model);
    log_model_close(&model);
    disk->open = open_before;
    assert_int_equal(log_model_open(&model), DRO_OK);
    assert_int_equal(model.durable, 1);
    log_model_fini(&model);
    disk->free(disk);
}

/* Its replay point moves where there is no space: else what nothing lives in could not be dropped, and a log that filled its disk would never find any. Starts need none either. */
static void a_full_disk_takes_neither_starts_nor_what_can_be_dropped_from_a_log(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    open_model(&model, disk, 1);
    write_rounds(&model);
    uint32_t last = commit_log_segment_last(model.log);
    disk_memory_fill(disk, true);
    assert_int_equal(commit_log_set_replay(model.log, last), DRO_OK);
    assert_int_equal(commit_log_drop(model.log, last), DRO_OK);
    model.first_kept = ROUNDS;
    while (log_place_segment(model.records[model.first_kept - 1].place) == last)
        model.first_kept--;
    for (uint32_t i = ROUNDS + 1; commit_log_segment_last(model.log) == last; i++)
        append_round(&model, i, 2500);
    for (int i = 0; i < 3; i++) { /* stopped and started, then the power goes, all on the full disk */
        log_model_close(&model);
        if (i > 0)
            disk_memory_power_cut(disk, &(disk_memory_faults){ 0 });
        disk_memory_fill(disk, true);
        assert_int_equal(log_model_open(&model), DRO_OK);
        assert_int_equal(model.durable, model.count);
    }
    log_model_fini(&model);
    disk->free(disk);
}

/* What asks has its place from a record that is durable: the file was longer. Before the replay point nobody looked at it at the start. */
static void an_old_file_cut_short_gives_what_it_has_and_says_where_it_ends(void **state)
{
    (void)state;
    dro_log_setup("test", quiet);
    for (uint64_t left = 0; left < MODEL_SEGMENT_BYTES - LOG_BLOCK; left += 1500) {
        static uint8_t bytes[LOG_RECORD_MAX];
        disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
        log_model model;
        commit_log *log;
        size_t length;
        int good = 0, short_of = 0;
        open_model(&model, disk, 1);
        write_rounds(&model);
        assert_int_equal(commit_log_set_replay(model.log, commit_log_segment_last(model.log)), DRO_OK);
        log_model_close(&model);
        disk_memory_truncate(disk, "segment-00000001", left);
        assert_int_equal(commit_log_open_old(&log, disk), DRO_OK); /* the segment's end is not known */
        for (uint32_t i = 1; i <= ROUNDS && log_place_segment(model.records[i].place) == 1; i++) {
            dro_err err = commit_log_read(log, model.records[i].place, bytes, sizeof bytes, &length);
            good += err == DRO_OK;
            short_of += err == DRO_CORRUPT || err == DRO_NOT_FOUND;
            assert_true(err == DRO_OK || err == DRO_CORRUPT || err == DRO_NOT_FOUND);
        }
        assert_true(short_of > 0 && (good > 0 || left < 3 * LOG_BLOCK));
        struct counted counted = { 0, 0 };
        log_place from = 0;
        dro_err walked = commit_log_walk(log, &from, UINT32_MAX, count, &counted);
        assert_true(walked == DRO_OK || walked == DRO_CORRUPT || walked == DRO_NOT_FOUND);
        assert_true((int)counted.records >= good - 1);
        commit_log_close(log);
        commit_log_options options = { .disk = disk, .epoch = 1000, .segment_bytes = MODEL_SEGMENT_BYTES };
        assert_int_equal(commit_log_open(&log, &options, NULL, NULL), DRO_OK);
        for (uint32_t i = 1; i <= ROUNDS && log_place_segment(model.records[i].place) == 1; i++) {
            dro_err err = commit_log_fetch(log, model.records[i].place, i);
            if (err == DRO_OK)
                err = fetched_of(log).err;
            good -= err == DRO_OK;
            assert_true(err == DRO_OK || err == DRO_CORRUPT || err == DRO_NOT_FOUND);
        }
        assert_int_equal(good, 0);
        log_fetched none;
        assert_false(commit_log_fetched(log, &none));
        commit_log_close(log);
        log_model_fini(&model);
        disk->free(disk);
    }
}

static int fetches_left, fetch_error;

static int fetch_refused(disk *disk, int file, uint64_t offset, void *buffer, size_t length, uint64_t token)
{
    (void)disk, (void)file, (void)offset, (void)buffer, (void)length, (void)token;
    return fetch_error;
}

static int (*fetch_before)(disk *disk, int file, uint64_t offset, void *buffer, size_t length, uint64_t token);

static int fetch_some(disk *disk, int file, uint64_t offset, void *buffer, size_t length, uint64_t token)
{
    return fetches_left-- > 0 ? fetch_before(disk, file, offset, buffer, length, token) : fetch_refused(disk, file, offset, buffer, length, token);
}

static int start_refused(disk *disk)
{
    (void)disk;
    return -EIO;
}

static void what_the_disk_does_not_take_is_said_to_who_asked(void **state)
{
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    (void)state;
    dro_log_setup("test", quiet);
    open_model(&model, disk, 1);
    append_round(&model, 1, 2500);
    fetch_before = disk->fetch;
    disk->fetch = fetch_some;
    for (int times = 0; times <= 1; times++)
        for (fetch_error = -EIO;; fetch_error = -EAGAIN) {
            fetches_left = times;
            dro_err err = commit_log_fetch(model.log, model.records[1].place, 1);
            if (times == 0)
                assert_int_equal(err, fetch_error == -EIO ? DRO_IO : DRO_AGAIN);
            else
                assert_int_equal(fetched_of(model.log).err, DRO_IO); /* the second half of it */
            if (fetch_error == -EAGAIN)
                break;
        }
    disk->fetch = fetch_before;
    int (*start)(struct disk *disk) = disk->fetch_start;
    disk->fetch_start = start_refused;
    assert_int_equal(commit_log_fetch(model.log, model.records[1].place, 1), DRO_OK);
    commit_log_fetch_start(model.log);
    log_fetched none;
    assert_false(commit_log_fetched(model.log, &none));
    disk->fetch_start = start;
    assert_int_equal(fetched_of(model.log).err, DRO_OK);
    assert_int_equal(commit_log_fetch(model.log, (log_place)99 << 32, 1), DRO_NOT_FOUND);
    assert_int_equal(commit_log_fetch(model.log, model.records[1].place + 0xffffff, 1), DRO_NOT_FOUND);
    assert_int_equal(commit_log_fetch(model.log, (log_place)1 << 32, 1), DRO_OK);
    assert_int_equal(fetched_of(model.log).err, DRO_CORRUPT); /* a round's header is no record */
    log_model_fini(&model);
    disk->free(disk);
}

static void a_round_has_so_many_records_and_no_more(void **state)
{
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    commit_log *log;
    uint8_t bytes[8] = { 0 };
    uint32_t count = 0;
    (void)state;
    commit_log_options options = { .disk = disk, .epoch = 1, .segment_bytes = 4 << 20 };
    assert_int_equal(commit_log_open(&log, &options, NULL, NULL), DRO_OK);
    while (commit_log_append(log, 0, 0, bytes, sizeof bytes) == DRO_OK)
        count++;
    assert_int_equal(count, 65536);
    assert_false(commit_log_has_room(log, sizeof bytes, sizeof bytes));
    assert_int_equal(commit_log_submit(log), DRO_OK);
    assert_true(commit_log_has_room(log, sizeof bytes, sizeof bytes));
    commit_log_close(log);
    disk->free(disk);
}

static void names_that_are_not_of_the_log_are_left_alone_and_a_gap_is_named(void **state)
{
    static const char *const others[] = { "segment-0000000A", "segment-1", "segment_00000001", "spare-zzzzzzzz", "segment-000000001" };
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    uint64_t size;
    (void)state;
    dro_log_setup("test", quiet);
    open_model(&model, disk, 1);
    write_rounds(&model);
    log_model_close(&model);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_int_equal(disk->replace(disk, others[i], "x", 1), 0);
    assert_int_equal(log_model_open(&model), DRO_OK);
    log_model_check_all(&model);
    uint32_t last = commit_log_segment_last(model.log);
    log_model_close(&model);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_non_null(disk_memory_bytes(disk, others[i], &size));
    log_replay_point point = { .segment = last + 5 }; /* of another log */
    assert_int_equal(log_replay_store(disk, &point), DRO_OK);
    assert_int_equal(log_model_open(&model), DRO_CORRUPT);
    log_model_fini(&model);
    disk->free(disk);
}

static void space_is_kept_for_two_rounds_ahead(void **state)
{
    enum { LENGTH = 20000, EACH = MODEL_SEGMENT_BYTES / LENGTH }; /* as many as a round holds */
    static uint8_t bytes[LENGTH];
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    uint64_t size;
    (void)state;
    open_model(&model, disk, 1);
    assert_int_equal(commit_log_reserve(model.log), DRO_OK);
    assert_int_equal(commit_log_reserve(model.log), DRO_OK); /* no more than that */
    assert_non_null(disk_memory_bytes(disk, "spare-fffffffe", &size));
    assert_non_null(disk_memory_bytes(disk, "spare-fffffffd", &size));
    assert_null(disk_memory_bytes(disk, "spare-fffffffc", &size));
    disk_memory_fill(disk, true);
    for (uint32_t round = 1; round <= LOG_ROUNDS_AHEAD + 1; round++) {
        for (uint32_t i = 0; i < EACH; i++)
            assert_int_equal(commit_log_append(model.log, 0, 1, bytes, LENGTH), DRO_OK);
        assert_int_equal(commit_log_append(model.log, 0, 1, bytes, LENGTH), DRO_AGAIN);
        assert_int_equal(commit_log_submit(model.log), round <= LOG_ROUNDS_AHEAD ? DRO_OK : DRO_LIMIT);
        assert_int_equal(commit_log_reserve(model.log), DRO_LIMIT);
        while (round <= LOG_ROUNDS_AHEAD && commit_log_durable(model.log, true) < round)
            continue;
    }
    disk_memory_fill(disk, false);
    assert_int_equal(commit_log_submit(model.log), DRO_OK);
    assert_int_equal(commit_log_reserve(model.log), DRO_OK);
    commit_log_close(model.log);
    model.log = NULL;
    log_model_fini(&model);
    disk->free(disk);
}

/* Of a start with other segments: they would never be one, and held their space for ever. */
static void spares_of_another_size_go(void **state)
{
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    commit_log *log;
    uint64_t size;
    (void)state;
    for (uint32_t bytes = 64 * 1024; bytes <= 128 * 1024; bytes *= 2) {
        commit_log_options options = { .disk = disk, .epoch = bytes, .segment_bytes = bytes };
        assert_int_equal(commit_log_open(&log, &options, NULL, NULL), DRO_OK);
        assert_int_equal(commit_log_reserve(log), DRO_OK);
        assert_non_null(disk_memory_bytes(disk, "spare-fffffffe", &size));
        assert_int_equal(size, bytes);
        commit_log_close(log);
    }
    disk->free(disk);
}

static void more_segments_than_files_may_be_open_are_all_readable(void **state)
{
    (void)state;
    enum { RECORDS = 3 * LOG_FILES_OPEN_MAX, LENGTH = 4000, SMALL_SEGMENT = 8192 };
    static log_place places[RECORDS];
    static uint8_t bytes[LENGTH], back[LENGTH];
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    commit_log_options options = { .disk = disk, .segment_bytes = SMALL_SEGMENT };
    commit_log *log;
    for (uint64_t epoch = 1; epoch <= 2; epoch++) { /* written, then found */
        options.epoch = epoch;
        assert_int_equal(commit_log_open(&log, &options, NULL, NULL), DRO_OK);
        for (int i = 0; epoch == 1 && i < RECORDS; i++) {
            memset(bytes, i, sizeof bytes);
            assert_int_equal(commit_log_append(log, 5, 0, bytes, sizeof bytes), DRO_OK);
            assert_int_equal(commit_log_submit(log), DRO_OK);
            places[i] = log_place_at(commit_log_segment_last(log), LOG_ROUND_HEADER);
            while (commit_log_durable(log, true) < (uint64_t)i + 1)
                continue;
        }
        for (int i = 0; i < RECORDS; i++) {
            int at = i * 7 % RECORDS;
            size_t length;
            assert_int_equal(commit_log_read(log, places[at], back, sizeof back, &length), DRO_OK);
            assert_int_equal(length, LENGTH);
            assert_int_equal(back[LENGTH - 1], at & 0xff);
        }
        struct counted counted = { 0 };
        log_place place = 0;
        assert_int_equal(commit_log_walk(log, &place, UINT32_MAX, count, &counted), DRO_OK);
        assert_int_equal(counted.records, RECORDS);
        commit_log_close(log);
    }
    disk->free(disk);
}

/* ---- damage ---- */

static void keep(struct kept *kept, disk *disk)
{
    kept->count = 0;
    for (int i = 0; i < 3; i++) {
        snprintf(kept->name[i], sizeof kept->name[i], "segment-%08x", i + 1);
        const uint8_t *bytes = disk_memory_bytes(disk, kept->name[i], &kept->size[i]);
        assert_non_null(bytes);
        kept->bytes[i] = malloc(kept->size[i]);
        memcpy(kept->bytes[i], bytes, kept->size[i]);
        kept->count++;
    }
}

static void put_back(const struct kept *kept, disk *disk)
{
    for (int i = 0; i < kept->count; i++)
        assert_int_equal(disk->replace(disk, kept->name[i], kept->bytes[i], kept->size[i]), 0);
}

static void kept_free(struct kept *kept)
{
    for (int i = 0; i < kept->count; i++)
        free(kept->bytes[i]);
}

/* Opens after damage at `segment`, `offset`. Damage that a power cut may do cuts off
 * a few rounds; any other is refused; damage to what nobody needs changes nothing. */
static void check_damaged(disk *disk, const log_model *written, uint32_t segment, uint64_t offset, bool is_whole_tail)
{
    log_model model;
    log_model_init(&model, disk, 3);
    memcpy(model.records, written->records, (ROUNDS + 1) * sizeof *model.records);
    model.count = ROUNDS;
    model.epoch = written->epoch;
    dro_err err = log_model_open(&model); /* compares all that is replayed */
    log_place place = log_place_at(segment, offset);
    uint32_t after = 0; /* rounds that begin behind the damage */
    for (uint32_t i = 1; i <= ROUNDS; i++)
        after += model.records[i].place - LOG_ROUND_HEADER / 8 > place;
    if (err == DRO_OK) {
        assert_true(model.durable >= ROUNDS - LOG_ROUNDS_IN_FLIGHT || is_whole_tail);
        assert_true(model.durable == ROUNDS || after < LOG_ROUNDS_IN_FLIGHT || is_whole_tail);
    } else {
        assert_int_equal(err, DRO_CORRUPT);
        assert_true(after >= LOG_ROUNDS_IN_FLIGHT);
    }
    log_model_fini(&model);
}

static void a_flipped_bit_is_found_or_does_no_harm(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    struct kept kept;
    uint64_t size;
    open_model(&model, disk, 1);
    write_rounds(&model);
    log_model_close(&model);
    keep(&kept, disk);
    for (int i = 0; i < kept.count; i++) {
        for (uint64_t offset = 0; offset < kept.size[i]; offset += offset % LOG_BLOCK < 200 ? 3 : 331) {
            put_back(&kept, disk);
            disk_memory_bytes(disk, kept.name[i], &size)[offset] ^= (uint8_t)(1u << offset % 8);
            check_damaged(disk, &model, (uint32_t)i + 1, offset, false);
        }
    }
    kept_free(&kept);
    log_model_fini(&model);
    disk->free(disk);
}

static void a_file_cut_short_is_found_unless_it_is_the_tail(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    struct kept kept;
    open_model(&model, disk, 1);
    write_rounds(&model);
    log_model_close(&model);
    keep(&kept, disk);
    for (int i = 0; i < kept.count; i++) {
        for (uint64_t size = 0; size < kept.size[i]; size += 1024) {
            put_back(&kept, disk);
            disk_memory_truncate(disk, kept.name[i], size);
            check_damaged(disk, &model, (uint32_t)i + 1, size, i == 2);
        }
    }
    kept_free(&kept);
    log_model_fini(&model);
    disk->free(disk);
}

/* Nobody pulled the plug: the log was closed, and said how far it was acknowledged. */
static void the_newest_rounds_of_a_closed_log_do_not_go_silently(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    uint64_t size;
    open_model(&model, disk, 1);
    write_rounds(&model);
    log_model_close(&model);
    for (uint32_t round = ROUNDS - LOG_ROUNDS_IN_FLIGHT; round <= ROUNDS; round++) {
        char name[LOG_NAME_BYTES];
        log_place place = model.records[round].place;
        log_segment_name(log_place_segment(place), name);
        disk_memory_bytes(disk, name, &size)[log_place_offset(place)] ^= 1;
        assert_int_equal(log_model_open(&model), DRO_CORRUPT);
        log_model_close(&model);
        disk_memory_bytes(disk, name, &size)[log_place_offset(place)] ^= 1;
    }
    uint8_t *end = disk_memory_bytes(disk, "end", &size);
    end[size - 1] ^= 1;
    assert_int_equal(log_model_open(&model), DRO_CORRUPT);
    end[size - 1] ^= 1;
    assert_int_equal(disk->remove(disk, "end"), 0); /* as one who gives up what is missing does */
    assert_int_equal(log_model_open(&model), DRO_OK);
    log_model_fini(&model);
    disk->free(disk);
}

/* After a kill nothing says how far it was acknowledged, but rounds behind the damage do: only the newest ones may be torn. */
static void damage_in_the_middle_is_no_torn_end(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    uint64_t size;
    open_model(&model, disk, 1);
    write_rounds(&model);
    log_model_close(&model);
    assert_int_equal(disk->remove(disk, "end"), 0); /* as a kill leaves it */
    for (uint32_t round = 1; round <= ROUNDS - LOG_ROUNDS_IN_FLIGHT; round++) {
        char name[LOG_NAME_BYTES];
        log_place place = model.records[round].place;
        log_segment_name(log_place_segment(place), name);
        disk_memory_bytes(disk, name, &size)[log_place_offset(place)] ^= 1;
        assert_int_equal(log_model_open(&model), DRO_CORRUPT);
        log_model_close(&model);
        disk_memory_bytes(disk, name, &size)[log_place_offset(place)] ^= 1;
    }
    assert_int_equal(log_model_open(&model), DRO_OK);
    log_model_fini(&model);
    disk->free(disk);
}

static void damage_never_reads_as_a_record(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    static uint8_t bytes[LOG_RECORD_MAX], expected[LOG_RECORD_MAX];
    size_t length;
    uint64_t size;
    open_model(&model, disk, 1);
    write_rounds(&model);
    uint64_t at = log_place_offset(model.records[5].place);
    uint8_t *segment = disk_memory_bytes(disk, "segment-00000001", &size);
    log_model_bytes(&model, 5, expected);
    for (uint64_t i = 0; i < log_record_size(model.records[5].length); i++) {
        segment[at + i] ^= 0x10;
        dro_err err = commit_log_read(model.log, model.records[5].place, bytes, sizeof bytes, &length);
        assert_true(err == DRO_CORRUPT || err == DRO_LIMIT || memcmp(bytes, expected, length) == 0);
        assert_true(err != DRO_OK || i >= LOG_RECORD_HEADER + model.records[5].length); /* padding is nobody's */
        assert_int_equal(commit_log_fetch(model.log, model.records[5].place, 5), DRO_OK);
        log_fetched fetched = fetched_of(model.log);
        assert_true(fetched.err == DRO_CORRUPT || (fetched.err == DRO_OK && i >= LOG_RECORD_HEADER + model.records[5].length));
        struct counted counted = { 0 };
        log_place place = model.records[4].place;
        err = commit_log_walk(model.log, &place, 3, count, &counted);
        assert_true(err == DRO_OK || (err == DRO_CORRUPT && counted.records == 1));
        segment[at + i] ^= 0x10;
    }
    log_model_fini(&model);
    disk->free(disk);
}

static void a_missing_file_is_damage(void **state)
{
    (void)state;
    const char *const names[] = { "segment-00000001", "segment-00000002", "replay", "epoch" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
        log_model model;
        open_model(&model, disk, 1);
        write_rounds(&model);
        log_model_close(&model);
        assert_int_equal(disk->remove(disk, names[i]), 0);
        model.epoch = 0; /* the counter starts again without its file: the log notices */
        assert_int_equal(log_model_open(&model), DRO_CORRUPT);
        log_model_fini(&model);
        disk->free(disk);
    }
}

static dro_err refuse(void *context, uint32_t group, log_place place, const uint8_t *record, size_t length)
{
    (void)group, (void)place, (void)record, (void)length;
    return --*(int *)context == 0 ? DRO_CORRUPT : DRO_OK;
}

static void replay_passes_the_owners_refusal_on(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    open_model(&model, disk, 1);
    write_rounds(&model);
    log_model_close(&model);
    int left = 10;
    commit_log *log;
    commit_log_options options = { .disk = disk, .epoch = 5, .segment_bytes = MODEL_SEGMENT_BYTES };
    assert_int_equal(commit_log_open(&log, &options, refuse, &left), DRO_CORRUPT);
    assert_int_equal(left, 0);
    assert_int_equal(log_model_open(&model), DRO_OK); /* and nothing was lost by it */
    assert_int_equal(model.durable, ROUNDS);
    log_model_fini(&model);
    disk->free(disk);
}

enum { TOUCHED = 0x5a };
struct announced {
    uint64_t announced[3], replayed;
    uint64_t read, read_wrong; /* the reading thread's */
};

static void on_read(void *context, uint8_t *record, size_t length)
{
    struct announced *seen = context;
    uint64_t number;
    memcpy(&number, record + 8, sizeof number);
    seen->read_wrong += number != seen->read++ || length != 16 + 1 + number % 300 || record[length - 1] != 0;
    record[length - 1] = TOUCHED;
}

static void on_ahead(void *context, int step, const uint8_t *record, size_t length)
{
    struct announced *seen = context;
    uint64_t number;
    assert_in_range(length, 17, 16 + 300);
    memcpy(&number, record + 8, sizeof number);
    assert_int_equal(number, seen->announced[step]++); /* each once, in order */
    assert_true(step == 0 || number < seen->announced[step - 1]);
    assert_true(number >= seen->replayed && number <= seen->replayed + LOG_AHEAD);
}

static dro_err on_announced(void *context, uint32_t group, log_place place, const uint8_t *record, size_t length)
{
    struct announced *seen = context;
    uint64_t number;
    (void)group, (void)place;
    memcpy(&number, record + 8, sizeof number);
    assert_int_equal(number, seen->replayed++);
    assert_int_equal(record[length - 1], TOUCHED); /* it was read before */
    for (int step = 0; step < 3; step++)
        assert_true(seen->announced[step] > number);
    return DRO_OK;
}

static void replay_tells_what_comes(void **state)
{
    (void)state;
    enum { RECORDS = 500, IN_A_ROUND = 70 };
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    struct announced seen = { 0 };
    uint8_t record[16 + 300] = { 0 };
    commit_log_options options = { .disk = disk, .epoch = 1, .segment_bytes = 64 * 1024 };
    commit_log *log;
    assert_int_equal(commit_log_open(&log, &options, NULL, NULL), DRO_OK);
    for (uint64_t i = 0; i < RECORDS; i++) {
        memcpy(record + 8, &i, sizeof i);
        assert_int_equal(commit_log_append(log, i % LOG_GROUPS, i, record, 16 + 1 + i % 300), DRO_OK);
        if (i % IN_A_ROUND == 0 || i == RECORDS - 1)
            assert_int_equal(commit_log_submit(log), DRO_OK);
        while (commit_log_durable(log, false) + 2 < commit_log_round(log))
            continue;
    }
    while (commit_log_durable(log, true) + 1 < commit_log_round(log))
        continue;
    commit_log_close(log);
    options.epoch = 2;
    options.context = &seen;
    options.on_ahead = on_ahead;
    options.on_read = on_read;
    assert_int_equal(commit_log_open(&log, &options, on_announced, &seen), DRO_OK);
    assert_int_equal(seen.replayed, RECORDS);
    assert_int_equal(seen.read, RECORDS);
    assert_int_equal(seen.read_wrong, 0);
    for (int step = 0; step < 3; step++)
        assert_int_equal(seen.announced[step], RECORDS);
    commit_log_close(log);
    disk->free(disk);
}

static void a_failed_write_is_final(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    log_model model;
    uint8_t bytes[64] = { 0 };
    open_model(&model, disk, 1);
    append_round(&model, 1, 100);
    disk_memory_power_cut(disk, &(disk_memory_faults){ .fail_call = 1, .seed = 3 }); /* the very next call */
    for (int i = 0; i < 3; i++) {
        if (commit_log_append(model.log, 0, 2, bytes, sizeof bytes) == DRO_OK && commit_log_submit(model.log) == DRO_OK)
            assert_int_equal(commit_log_durable(model.log, true), 1);
        assert_true(commit_log_failed(model.log));
        assert_false(commit_log_can_submit(model.log));
    }
    assert_int_equal(commit_log_append(model.log, 0, 2, bytes, sizeof bytes), DRO_IO);
    assert_int_equal(commit_log_submit(model.log), DRO_IO);
    assert_int_equal(commit_log_durable(model.log, true), 1);
    assert_int_equal(commit_log_set_replay(model.log, 1), DRO_IO);
    assert_int_equal(commit_log_drop(model.log, 1), DRO_IO);
    log_model_fini(&model);
    disk->free(disk);
}

/* ---- on a real directory ---- */

static void works_in_a_directory(disk_way way)
{
    char directory[] = "commit_log_test.XXXXXX", command[64];
    disk *disk;
    log_model model;
    assert_non_null(mkdtemp(directory));
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    dro_err err = disk_open_directory_by(&disk, directory, way);
    if (err == DRO_UNSUPPORTED) {
        assert_int_equal(system(command), 0);
        skip();
    }
    assert_int_equal(err, DRO_OK);
    log_model_init(&model, disk, 8);
    for (int life = 0; life < 4; life++) {
        assert_int_equal(log_model_open(&model), DRO_OK);
        for (int i = 0; i < 150; i++)
            log_model_step(&model);
        assert_false(model.is_ended);
        log_model_settle(&model);
        log_model_check_all(&model);
        log_model_close(&model);
        disk->free(disk);
        assert_int_equal(disk_open_directory_by(&disk, directory, way), DRO_OK);
        model.disk = disk;
    }
    log_model_fini(&model);
    disk->free(disk);
    assert_int_equal(system(command), 0);
}

static void a_directory_by_ring_keeps_the_log(void **state)
{
    (void)state;
    works_in_a_directory(DISK_RING_DIRECT);
}

static void a_directory_by_calls_keeps_the_log(void **state)
{
    (void)state;
    works_in_a_directory(DISK_SYNC);
}

int main(void)
{
    dro_log_setup("test", quiet); /* damage is told, thousands of times */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_out_of_bounds_are_refused),
        cmocka_unit_test(a_full_round_says_again_and_goes_on_after_submit),
        cmocka_unit_test(no_more_rounds_are_in_flight_than_allowed),
        cmocka_unit_test(rounds_keep_the_memory_of_the_largest),
        cmocka_unit_test(the_replay_point_waits_for_the_rounds_before_its_segment),
        cmocka_unit_test(the_largest_record_comes_back),
        cmocka_unit_test(any_number_is_not_a_place),
        cmocka_unit_test(bytes_copied_elsewhere_never_pass),
        cmocka_unit_test(a_walk_goes_on_where_the_last_one_ended),
        cmocka_unit_test(a_walk_from_nowhere_is_not_found),
        cmocka_unit_test(dropped_segments_are_used_again),
        cmocka_unit_test(a_segment_being_fetched_from_is_not_dropped),
        cmocka_unit_test(a_fetch_that_fails_is_alone),
        cmocka_unit_test(a_log_closes_with_fetches_under_way),
        cmocka_unit_test(a_start_with_nothing_behind_the_replay_point_works),
        cmocka_unit_test(a_full_disk_keeps_the_round_for_later),
        cmocka_unit_test(a_full_disk_takes_neither_starts_nor_what_can_be_dropped_from_a_log),
        cmocka_unit_test(an_old_file_cut_short_gives_what_it_has_and_says_where_it_ends),
        cmocka_unit_test(what_the_disk_does_not_take_is_said_to_who_asked),
        cmocka_unit_test(a_round_has_so_many_records_and_no_more),
        cmocka_unit_test(names_that_are_not_of_the_log_are_left_alone_and_a_gap_is_named),
        cmocka_unit_test(space_is_kept_for_two_rounds_ahead),
        cmocka_unit_test(spares_of_another_size_go),
        cmocka_unit_test(more_segments_than_files_may_be_open_are_all_readable),
        cmocka_unit_test(a_flipped_bit_is_found_or_does_no_harm),
        cmocka_unit_test(a_file_cut_short_is_found_unless_it_is_the_tail),
        cmocka_unit_test(the_newest_rounds_of_a_closed_log_do_not_go_silently),
        cmocka_unit_test(damage_in_the_middle_is_no_torn_end),
        cmocka_unit_test(damage_never_reads_as_a_record),
        cmocka_unit_test(a_missing_file_is_damage),
        cmocka_unit_test(replay_passes_the_owners_refusal_on),
        cmocka_unit_test(replay_tells_what_comes),
        cmocka_unit_test(a_failed_write_is_final),
        cmocka_unit_test(a_directory_by_ring_keeps_the_log),
        cmocka_unit_test(a_directory_by_calls_keeps_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

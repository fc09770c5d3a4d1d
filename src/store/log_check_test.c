#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/commit_log_model.h"
#include "store/disk_memory.h"
#include "store/log_check.h"

enum { ROUNDS = 60, SEGMENTS_MAX = 8, GROUPS = 8 };

struct copy { /* of one segment */
    uint8_t *bytes;
    uint64_t length;
};

static int64_t read_copy(void *context, uint64_t offset, void *buffer, size_t length)
{
    const struct copy *from = context;
    uint64_t left = offset < from->length ? from->length - offset : 0;
    size_t got = length < left ? length : (size_t)left;
    memcpy(buffer, from->bytes + offset, got);
    return (int64_t)got;
}

struct world {
    disk *disk;
    log_model model;
    struct copy copies[SEGMENTS_MAX];
    uint32_t first, count;
    log_replay_point replay;
    bool has_replay, is_exact;
};

static size_t first_longer; /* the first record, by so many bytes */

static void append_round(log_model *model, uint32_t number)
{
    uint8_t bytes[2 * LOG_BLOCK];
    size_t length = 2500 + number + (number == 1 ? first_longer : 0);
    model->records[number] = (model_record){
        .life = model->life, .object = number % MODEL_OBJECTS, .length = (uint32_t)length, .group = number % GROUPS };
    log_model_bytes(model, number, bytes);
    assert_int_equal(commit_log_append(model->log, number % GROUPS, number, bytes, length), DRO_OK);
    model->records[number].round = commit_log_round(model->log);
    model->count = number;
    assert_int_equal(commit_log_submit(model->log), DRO_OK);
    while (commit_log_durable(model->log, true) < model->records[number].round)
        continue;
}

/* A copy as a backup takes it: of each segment what is durable. */
static void take_copies(struct world *w)
{
    w->first = commit_log_segment_first(w->model.log);
    for (uint32_t number = w->first; commit_log_segment_bytes(w->model.log, number) > 0; number++) {
        char name[LOG_NAME_BYTES];
        struct copy *copy = &w->copies[w->count++];
        assert_true(w->count <= SEGMENTS_MAX);
        log_segment_name(number, name);
        copy->length = commit_log_segment_bytes(w->model.log, number);
        copy->bytes = malloc(copy->length);
        int file = w->disk->open(w->disk, name, 0);
        assert_int_equal(w->disk->read(w->disk, file, 0, copy->bytes, copy->length), copy->length);
        w->disk->close(w->disk, file);
    }
    w->has_replay = log_replay_load(w->disk, &w->replay) == DRO_OK;
    assert_true(w->count >= 2);
}

static int make_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    dro_log_setup("test", DRO_LOG_NOTHING);
    w->disk = disk_memory_new(&(disk_memory_faults){ 0 });
    w->is_exact = true;
    log_model_init(&w->model, w->disk, 1);
    assert_int_equal(log_model_open(&w->model), DRO_OK);
    for (uint32_t i = 1; i <= ROUNDS; i++)
        append_round(&w->model, i);
    take_copies(w);
    *state = w;
    return 0;
}

static int free_world(void **state)
{
    struct world *w = *state;
    for (uint32_t i = 0; i < w->count; i++)
        free(w->copies[i].bytes);
    log_model_fini(&w->model);
    w->disk->free(w->disk);
    free(w);
    return 0;
}

static dro_err check_all(struct world *w, log_check *check, uint32_t from)
{
    log_check_source source = { 0 };
    dro_err err = log_check_init(check, w->has_replay ? &w->replay : NULL);
    for (uint32_t i = from; i < w->count && err == DRO_OK; i++) {
        source = (log_check_source){ read_copy, &w->copies[i], w->copies[i].length, w->is_exact };
        err = log_check_segment(check, w->first + i, &source);
    }
    if (err == DRO_OK)
        err = log_check_end(check, &source);
    log_check_fini(check);
    return err;
}

static void a_whole_log_is_whole(void **state)
{
    struct world *w = *state;
    log_check check;
    assert_int_equal(check_all(w, &check, 0), DRO_OK);
    assert_int_equal(check.rounds, ROUNDS);
    assert_int_equal(check.records, ROUNDS);
    assert_null(check.why);
}

static void without_its_replay_point_it_may_begin_anywhere(void **state)
{
    struct world *w = *state;
    log_check check;
    w->has_replay = false;
    assert_int_equal(check_all(w, &check, 1), DRO_OK);
    assert_true(check.rounds > 0 && check.rounds < ROUNDS);
}

static void every_changed_byte_of_a_copy_is_found_where_it_is(void **state)
{
    struct world *w = *state;
    for (uint32_t i = 0; i < w->count; i++)
        for (uint64_t at = i; at < w->copies[i].length; at += 97) {
            log_check check;
            w->copies[i].bytes[at] ^= 4;
            dro_err err = check_all(w, &check, 0);
            bool is_seen = err == DRO_CORRUPT && check.segment == w->first + i && check.offset <= at;
            bool is_padding = err == DRO_OK; /* zeros behind a round are nobody's: SHA-256 finds those */
            w->copies[i].bytes[at] ^= 4;
            assert_true(is_seen || (is_padding && w->copies[i].bytes[at] == 0));
        }
}

static void a_copy_that_ends_early_is_found(void **state)
{
    struct world *w = *state;
    struct copy *last = &w->copies[w->count - 1];
    log_check check;
    last->length -= LOG_BLOCK / 2;
    assert_int_equal(check_all(w, &check, 0), DRO_CORRUPT);
    assert_int_equal(check.segment, w->first + w->count - 1);
}

static void a_missing_segment_is_found(void **state)
{
    struct world *w = *state;
    log_check check;
    struct copy gone = w->copies[1];
    w->copies[1] = (struct copy){ gone.bytes, 0 };
    assert_int_equal(check_all(w, &check, 0), DRO_CORRUPT);
    w->copies[1] = gone;
    if (w->has_replay)
        assert_int_equal(check_all(w, &check, 1), DRO_CORRUPT); /* recovery begins in the first */
}

/* A directory: the last segment goes on with what was being written when the power went. */
static void a_torn_end_is_no_damage_but_a_hole_is(void **state)
{
    struct world *w = *state;
    struct copy *last = &w->copies[w->count - 1];
    log_check check;
    w->is_exact = false;
    last->bytes[last->length - LOG_BLOCK + 70] ^= 1; /* in the last round */
    assert_int_equal(check_all(w, &check, 0), DRO_OK);
    assert_int_equal(check.rounds, ROUNDS - 1);
    struct copy *first = &w->copies[0];
    first->bytes[70] ^= 1; /* and in the first, which others follow */
    assert_int_equal(check_all(w, &check, 0), DRO_CORRUPT);
    assert_int_equal(check.segment, w->first);
    assert_int_equal(check.offset, 0);
}

/* ---- a log whose recovery begins in its third segment ---- */

static int make_world_with_replay_point(void **state)
{
    make_world(state);
    struct world *w = *state;
    assert_int_equal(commit_log_set_replay(w->model.log, w->first + 2), DRO_OK);
    assert_int_equal(log_replay_load(w->disk, &w->replay), DRO_OK);
    assert_true(w->count >= 4);
    return 0;
}

static void segments_before_the_replay_point_are_checked_too(void **state)
{
    struct world *w = *state;
    log_check check;
    for (uint32_t from = 0; from <= 2; from++)
        assert_int_equal(check_all(w, &check, from), DRO_OK);
    assert_int_equal(check_all(w, &check, 3), DRO_CORRUPT);
    assert_int_equal(check.segment, w->first + 2);
    w->replay.state.round++;
    assert_int_equal(check_all(w, &check, 1), DRO_CORRUPT);
    assert_int_equal(check.segment, w->first + 2);
    assert_int_equal(check.offset, 0);
}

static void a_log_that_ends_before_its_replay_point_has_lost_a_segment(void **state)
{
    struct world *w = *state;
    log_check check;
    uint32_t count = w->count;
    w->count = 1;
    assert_int_equal(check_all(w, &check, 0), DRO_CORRUPT);
    assert_int_equal(check.segment, w->first + 1);
    w->count = 2; /* the one where recovery begins is not made before something goes there */
    assert_int_equal(check_all(w, &check, 0), DRO_OK);
    w->count = count;
}

static void a_segment_that_was_left_out_is_named(void **state)
{
    struct world *w = *state;
    log_check check;
    log_check_source source = { read_copy, &w->copies[0], w->copies[0].length, true };
    assert_int_equal(log_check_init(&check, NULL), DRO_OK);
    assert_int_equal(log_check_segment(&check, w->first, &source), DRO_OK);
    assert_int_equal(log_check_segment(&check, w->first + 2, &source), DRO_CORRUPT);
    assert_int_equal(check.segment, w->first + 1);
    log_check_fini(&check);
}

/* What the power left of the newest rounds may reach back into the segment before; whole rounds far behind it do not come of that. */
static void a_torn_end_may_begin_in_the_segment_before(void **state)
{
    struct world *w = *state;
    struct copy *last = &w->copies[w->count - 1], *before = last - 1;
    log_check check;
    w->is_exact = false;
    before->bytes[before->length - LOG_BLOCK] ^= 1;
    last->bytes[0] ^= 1;
    assert_int_equal(check_all(w, &check, 0), DRO_CORRUPT); /* rounds that were begun long after */
    assert_int_equal(check.segment, w->first + w->count - 2);
    memset(last->bytes + LOG_BLOCK, 0, last->length - LOG_BLOCK);
    assert_int_equal(check_all(w, &check, 0), DRO_OK);
    log_check_source source = { read_copy, last, last->length, false };
    assert_int_equal(log_check_init(&check, NULL), DRO_OK);
    assert_int_equal(log_check_segment(&check, w->first, &source), DRO_OK);
    assert_int_equal(log_check_end(&check, NULL), DRO_OK); /* nobody has it to look behind */
    log_check_fini(&check);
}

/* Another log's first segment held a round less, so its second begins with the number that is torn here; what it follows is another round. */
static void a_segment_of_another_log_does_not_follow_a_torn_one(void **state)
{
    struct world *w = *state, *other;
    void *made;
    log_check check;
    first_longer = LOG_BLOCK;
    make_world(&made);
    first_longer = 0;
    other = made;
    w->is_exact = w->has_replay = false;
    w->copies[0].bytes[w->copies[0].length - LOG_BLOCK + 70] ^= 1;
    struct copy mine = w->copies[1];
    w->copies[1] = other->copies[1];
    assert_int_equal(check_all(w, &check, 0), DRO_CORRUPT);
    assert_int_equal(check.segment, w->first + 1);
    assert_int_equal(check.offset, 0);
    assert_string_equal(check.why, "a frame does not follow its group's previous one");
    w->copies[1] = mine;
    free_world(&made);
}

/* ---- sources ---- */

struct odd { uint64_t gives; int error; int reads; }; /* zeros, then nothing or an error */

static int64_t read_odd(void *context, uint64_t offset, void *buffer, size_t length)
{
    struct odd *odd = context;
    odd->reads++;
    if (offset >= odd->gives)
        return -odd->error;
    size_t got = length < odd->gives - offset ? length : (size_t)(odd->gives - offset);
    memset(buffer, 0, got);
    return (int64_t)got;
}

static void a_file_that_cannot_be_read_is_no_damage_of_the_log(void **state)
{
    struct odd odd = { 0, EACCES, 0 };
    log_check check;
    log_check_source source = { read_odd, &odd, 4 * LOG_BLOCK, false };
    (void)state;
    assert_int_equal(log_check_init(&check, NULL), DRO_OK);
    assert_int_equal(log_check_segment(&check, 1, &source), DRO_IO);
    assert_int_equal(errno, EACCES);
    odd = (struct odd){ 4 * LOG_BLOCK, EIO, 0 };
    assert_int_equal(log_check_segment(&check, 2, &source), DRO_OK); /* nothing in it */
    check.window_length = 0;
    odd.gives = 0;
    assert_int_equal(log_check_end(&check, &source), DRO_IO);
    assert_int_equal(errno, EIO);
    log_check_fini(&check);
}

static void a_file_that_became_shorter_meanwhile_is_damage_of_a_copy(void **state)
{
    struct odd odd = { 0, 0, 0 };
    log_check check;
    log_check_source source = { read_odd, &odd, 4 * LOG_BLOCK, true };
    (void)state;
    assert_int_equal(log_check_init(&check, NULL), DRO_OK);
    assert_int_equal(log_check_segment(&check, 1, &source), DRO_CORRUPT);
    assert_string_equal(check.why, "the segment ends");
    log_check_fini(&check);
}

/* Found by branches that were never taken: in the last 4 MiB of each segment all was read again for each round. */
static void a_segment_is_read_once(void **state)
{
    enum { MIB = 1024 * 1024 };
    struct odd odd = { 17 * MIB, 0, 0 };
    log_check check;
    log_check_source source = { read_odd, &odd, 17 * MIB, false };
    (void)state;
    assert_int_equal(log_check_init(&check, NULL), DRO_OK);
    assert_int_equal(log_check_segment(&check, 1, &source), DRO_OK);
    assert_int_equal(log_check_end(&check, &source), DRO_OK); /* block by block, to its end */
    assert_true(odd.reads <= 6);
    log_check_fini(&check);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(segments_before_the_replay_point_are_checked_too, make_world_with_replay_point, free_world),
        cmocka_unit_test_setup_teardown(a_log_that_ends_before_its_replay_point_has_lost_a_segment, make_world_with_replay_point, free_world),
        cmocka_unit_test_setup_teardown(a_segment_that_was_left_out_is_named, make_world, free_world),
        cmocka_unit_test_setup_teardown(a_torn_end_may_begin_in_the_segment_before, make_world, free_world),
        cmocka_unit_test_setup_teardown(a_segment_of_another_log_does_not_follow_a_torn_one, make_world, free_world),
        cmocka_unit_test(a_file_that_cannot_be_read_is_no_damage_of_the_log),
        cmocka_unit_test(a_file_that_became_shorter_meanwhile_is_damage_of_a_copy),
        cmocka_unit_test(a_segment_is_read_once),
        cmocka_unit_test_setup_teardown(a_whole_log_is_whole, make_world, free_world),
        cmocka_unit_test_setup_teardown(without_its_replay_point_it_may_begin_anywhere, make_world, free_world),
        cmocka_unit_test_setup_teardown(every_changed_byte_of_a_copy_is_found_where_it_is, make_world, free_world),
        cmocka_unit_test_setup_teardown(a_copy_that_ends_early_is_found, make_world, free_world),
        cmocka_unit_test_setup_teardown(a_missing_segment_is_found, make_world, free_world),
        cmocka_unit_test_setup_teardown(a_torn_end_is_no_damage_but_a_hole_is, make_world, free_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Penalties, budgets and stops by themselves, on a clock of the test's. What they do to turns is in test/flow/test_budgets.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "core/budget.h"
#include "core/cells.h"
#include "core/conduct.h"
#include "core/state.h"
#include "core/stops.h"
#include "core/twin_table.h"

static twin twins[TWIN_CHUNK];
static twin *chunks[] = { twins };
static core here;

static int begin(void **state)
{
    (void)state;
    memset(twins, 0, sizeof twins);
    memset(&here, 0, sizeof here);
    here.chunks = chunks;
    here.count = 1;
    here.now_ms = 1000000;
    for (uint32_t i = 0; i < TWIN_CHUNK; i++)
        twins[i].number = i + 1;
    return 0;
}

static int end(void **state)
{
    (void)state;
    budgets_free(&here);
    for (uint32_t i = 0; i < TWIN_CHUNK; i++)
        penalty_free(&twins[i]);
    for (uint32_t i = 0; i < TWIN_CHUNK; i++)
        twin_extra_trim(&twins[i]);
    stops_free(&here);
    return 0;
}

static void limit(uint32_t scope, uint32_t kind, uint32_t rate, uint32_t burst)
{
    here.options.budgets[scope].of[kind] = rate;
    here.options.budgets[scope].of[BUDGET_BURST + kind] = burst;
    budgets_init(&here);
}

static void a_field_of_a_penalty_comes_and_goes(void **state)
{
    (void)state;
    uint8_t bytes[] = { 4, 2, 1, 0x40, 0x42, 0x0f, 0, 0, 0, 0, 0, 0x80, 0x84, 0x1e, 0, 0, 0, 0, 0 }; /* at 1000000, until 2000000 */
    dro_field field = { 130, sizeof bytes, bytes };
    assert_int_equal(penalty_apply(&twins[0], &field), DRO_OK);
    assert_true(twins[0].has_penalty);
    assert_int_equal(penalty_until_ms(&here, &twins[0]), 2000000);
    here.now_ms = 2000000;
    assert_int_equal(penalty_until_ms(&here, &twins[0]), 0);
    dro_field none = { 130, 0, NULL };
    assert_int_equal(penalty_apply(&twins[0], &none), DRO_OK);
    assert_false(twins[0].has_penalty);
}

static void a_damaged_penalty_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[19] = { 1, PENALTY_LEVEL_MAX + 1 };
    dro_field field = { 130, sizeof bytes, bytes };
    assert_int_equal(penalty_apply(&twins[0], &field), DRO_MALFORMED);
    bytes[1] = 1;
    for (field.length = 1; field.length < sizeof bytes; field.length++)
        assert_int_equal(penalty_apply(&twins[0], &field), DRO_MALFORMED);
    assert_false(twins[0].has_penalty);
}

/* A deadline an hour long ago at most, as the field says; records of before have none. */
static void probation_lasts_from_the_newest_deadline_on(void **state)
{
    (void)state;
    uint8_t bytes[27] = { 0, 0, 5, 0x40, 0x42, 0x0f };
    bytes[19] = 0x40, bytes[20] = 0x42, bytes[21] = 0x0f; /* at 1000000 */
    dro_field now = { 130, sizeof bytes, bytes }, before = { 130, 19, bytes };
    here.options.conduct.penalty_longest_ms = 3600000;
    assert_false(twin_is_on_probation(&here, &twins[0]));
    assert_int_equal(penalty_apply(&twins[0], &before), DRO_OK);
    assert_false(twin_is_on_probation(&here, &twins[0]));
    assert_int_equal(penalty_apply(&twins[0], &now), DRO_OK);
    assert_true(twin_is_on_probation(&here, &twins[0]));
    assert_false(twin_is_on_probation(&here, &twins[1]));
    here.now_ms = 4599999;
    assert_true(twin_is_on_probation(&here, &twins[0]));
    here.now_ms = 4600000;
    assert_false(twin_is_on_probation(&here, &twins[0]));
    for (now.length = 20; now.length < sizeof bytes; now.length++)
        assert_int_equal(penalty_apply(&twins[0], &now), DRO_MALFORMED);
}

static uint32_t asked_for, times_asked;

static void on_renew(core_supervisor *supervisor, uint32_t cell)
{
    (void)supervisor;
    asked_for = cell;
    times_asked++;
}

static void a_place_is_asked_for_once_and_used_when_it_is_there(void **state)
{
    (void)state;
    core_supervisor supervisor = { .renew_cell = on_renew };
    here.options.supervisor = &supervisor;
    here.options.cell_count = 3;
    times_asked = 0;
    assert_int_equal(cell_place_of(&here, 2, true), 2); /* none where there is no probation */
    assert_int_equal(cell_places(&here), 3);
    here.options.has_probation = true;
    assert_int_equal(cell_places(&here), 6);
    assert_int_equal(cell_place_of(&here, 2, false), 2);
    assert_int_equal(times_asked, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(cell_place_of(&here, 2, true), 2);
    assert_int_equal(times_asked, 1);
    assert_int_equal(asked_for, 5);
    here.cells[5].is_open = true;
    assert_int_equal(cell_place_of(&here, 2, true), 5);
    assert_int_equal(cell_place_of(&here, 2, false), 2);
    assert_int_equal(cell_place_of(&here, 0, true), 0);
    assert_int_equal(times_asked, 2);
    here.cells[5].is_open = false; /* dromiod starts another by itself */
    assert_int_equal(cell_place_of(&here, 2, true), 2);
    assert_int_equal(times_asked, 2);
}

static void those_on_probation_have_a_small_part_of_the_table(void **state)
{
    (void)state;
    here.options.cell_count = 1;
    here.options.has_probation = true;
    here.parts[1].turns = PROBATION_TURNS_MAX - 1;
    assert_false(turns_part_is_full(&here, 1));
    here.parts[1].turns++;
    assert_true(turns_part_is_full(&here, 1));
    assert_false(turns_part_is_full(&here, 0));
    here.parts[1] = (turn_part){ .turns = 1, .bytes = PROBATION_BYTES_MAX };
    assert_true(turns_part_is_full(&here, 1));
}

static void a_bucket_empties_and_fills(void **state)
{
    (void)state;
    limit(BUDGET_OF_TWIN, BUDGET_CPU, 60, 10); /* a ms a second, ten at once */
    turn turn = { .operation = TURN_UPLINK };
    budget_charge(&here, &turn, 9 * 1000000, 0, 100);
    assert_true(budget_lets_begin(&here, &turn));
    budget_charge(&here, &turn, 3 * 1000000, 0, 100);
    assert_false(budget_lets_begin(&here, &turn));
    assert_string_equal(here.budgets.reason, "budget_cpu");
    assert_in_range(budget_until_ms(&here, 0), here.now_ms + 2000, here.now_ms + 2010);
    here.now_ms += 1990;
    assert_false(budget_lets_begin(&here, &turn));
    here.now_ms += 20;
    assert_true(budget_lets_begin(&here, &turn));
    here.now_ms -= 1000000; /* a clock that is set back fills nothing, and ends nothing */
    assert_false(budget_lets_begin(&here, &turn));
}

static void small_charges_count_on_average(void **state)
{
    (void)state;
    enum { TIMES = 100000 };
    limit(BUDGET_OF_TWIN, BUDGET_CPU, 60, 1000);
    dro_random_seeded random;
    dro_random_seeded_init(&random, 7);
    double charged = 0;
    for (uint32_t i = 0; i < TIMES; i++) { /* a microsecond each: far below a part of the bucket */
        turn turn = { .operation = TURN_UPLINK, .twin = 0, .seed = dro_random_next(&random) };
        budget_charge(&here, &turn, 1000, 0, 100);
        for (uint32_t k = 0; twins[0].has_budget && k < BUDGET_SETS; k++)
            for (uint32_t way = 0; way < BUDGET_WAYS; way++)
                charged += here.budgets.sets[k][way].twin == 1 ? here.budgets.sets[k][way].spent[BUDGET_CPU] : 0;
        budget_forget(&here, 0);
    }
    assert_true(charged > 0.3 * TIMES && charged < 3.0 * TIMES); /* six expected, with one seed */
}

static void those_who_do_little_have_no_bucket(void **state)
{
    (void)state;
    limit(BUDGET_OF_TWIN, BUDGET_CPU, 6000, 3000);
    dro_random_seeded random;
    dro_random_seeded_init(&random, 7);
    uint32_t count = 0;
    for (uint32_t i = 0; i < TWIN_CHUNK; i++) {
        turn turn = { .operation = TURN_UPLINK, .twin = i, .seed = dro_random_next(&random) };
        budget_charge(&here, &turn, 1000, 0, 100);
    }
    for (uint32_t i = 0; i < TWIN_CHUNK; i++)
        count += twins[i].has_budget;
    assert_in_range(count, 0, TWIN_CHUNK / 1000);
}

static void of_too_many_the_oldest_begins_anew(void **state)
{
    (void)state;
    static twin more[8][TWIN_CHUNK];
    static twin *all[8];
    for (int i = 0; i < 8; i++)
        all[i] = more[i];
    here.chunks = all;
    limit(BUDGET_OF_TWIN, BUDGET_CPU, 60, 1);
    uint32_t count = 0;
    for (uint32_t i = 0; i < 8 * TWIN_CHUNK; i++, here.now_ms++) {
        turn turn = { .operation = TURN_UPLINK, .twin = i };
        budget_charge(&here, &turn, 2000000, 0, 100);
        assert_true(twin_at(&here, i)->has_budget);
    }
    for (uint32_t i = 0; i < 8 * TWIN_CHUNK; i++)
        count += twin_at(&here, i)->has_budget;
    assert_in_range(count, BUDGET_STATES / 2, BUDGET_STATES);
    for (uint32_t i = 8 * TWIN_CHUNK - BUDGET_SETS / 8; i < 8 * TWIN_CHUNK; i++) /* few of these share a set, and none so many */
        assert_true(twin_at(&here, i)->has_budget);
    here.chunks = chunks;
}

static void each_of_those_who_have_one_has_its_own(void **state)
{
    (void)state;
    limit(BUDGET_OF_TWIN, BUDGET_CPU, 60, 1);
    for (uint32_t i = 0; i < TWIN_CHUNK; i += 2) {
        turn turn = { .operation = TURN_UPLINK, .twin = i };
        budget_charge(&here, &turn, 2000000, 0, 100);
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < TWIN_CHUNK; i++) {
        turn turn = { .operation = TURN_UPLINK, .twin = i };
        assert_int_equal(budget_lets_begin(&here, &turn), !twins[i].has_budget);
        count += twins[i].has_budget;
    }
    assert_in_range(count, TWIN_CHUNK / 4, TWIN_CHUNK / 2);
    for (uint32_t i = 0; i < TWIN_CHUNK; i++)
        budget_forget(&here, i);
    for (uint32_t i = 0; i < TWIN_CHUNK; i++) {
        turn turn = { .operation = TURN_UPLINK, .twin = i };
        assert_true(budget_lets_begin(&here, &turn));
    }
}

static void an_image_has_a_share_on_each_core(void **state)
{
    (void)state;
    here.count = 2;
    limit(BUDGET_OF_IMAGE, BUDGET_STORAGE, 60, 1000);
    turn one = { .operation = TURN_UPLINK, .twin = 0 }, other = { .operation = TURN_UPLINK, .twin = 1 };
    budget_charge(&here, &one, 0, 0, 400);
    assert_true(budget_lets_begin(&here, &other));
    budget_charge(&here, &one, 0, 0, 200);
    assert_false(budget_lets_begin(&here, &other));
    assert_string_equal(here.budgets.reason, "budget_image_storage");
}

static void what_is_stopped_is_read_as_it_was_written(void **state)
{
    (void)state;
    uint8_t bytes[512], again[512];
    uint8_t row[] = { STOP_DOMAIN, 1, 0x40, 0x42, 0x0f, 0, 0, 0, 0, 0, 4, 'a', 'c', 'm', 'e', 'w', 'h', 'y' };
    dro_field field = { HOST_STOP, sizeof row, row };
    assert_int_equal(stop_read(&here, &field), DRO_OK);
    const stop *stop = stop_find(&here, STOP_DOMAIN, "acme");
    assert_non_null(stop);
    assert_string_equal(stop->reason, "why");
    assert_int_equal(stop->since_ms, 1000000);
    assert_true(stop->is_automatic);
    dro_builder out = dro_builder_over(bytes, sizeof bytes), expected = dro_builder_over(again, sizeof again);
    stops_write(&here, &out);
    dro_field_put(&expected, HOST_STOP, row, sizeof row);
    assert_int_equal(dro_builder_length(&out), dro_builder_length(&expected));
    assert_memory_equal(bytes, again, dro_builder_length(&out));
    for (field.length = 1; field.length < 15; field.length++)
        assert_int_equal(stop_read(&here, &field), DRO_CORRUPT);
    row[0] = STOP_KINDS;
    field.length = sizeof row;
    assert_int_equal(stop_read(&here, &field), DRO_CORRUPT);
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_field_of_a_penalty_comes_and_goes), CLAIM(a_damaged_penalty_is_refused), CLAIM(probation_lasts_from_the_newest_deadline_on),
        CLAIM(a_place_is_asked_for_once_and_used_when_it_is_there), CLAIM(those_on_probation_have_a_small_part_of_the_table),
        CLAIM(a_bucket_empties_and_fills),
        CLAIM(small_charges_count_on_average), CLAIM(those_who_do_little_have_no_bucket), CLAIM(of_too_many_the_oldest_begins_anew),
        CLAIM(each_of_those_who_have_one_has_its_own),
        CLAIM(an_image_has_a_share_on_each_core), CLAIM(what_is_stopped_is_read_as_it_was_written),
    };
    return cmocka_run_group_tests_name("conduct", tests, NULL, NULL);
}

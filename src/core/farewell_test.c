/* What the network has of twins that are gone: kept over the log, bounded, asked again. With peers it is test/flow/test_farewells.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/core_testbed.h"
#include "core/exposure.h"
#include "core/farewell.h"
#include "core/host_tables.h"
#include "core/number.h"
#include "core/record.h"
#include "core/state.h"
#include "core/twin_table.h"
#include "twin/t8.h"

static const uint64_t partition = 5ull << 52;

static farewell_table *all(void)
{
    return &here.world.core->farewells;
}

/* One with that reference, in the record that is open or its own. */
static void put(uint32_t reference)
{
    uint8_t bytes[64];
    dro_builder fields = dro_builder_over(bytes, sizeof bytes);
    farewell head = { .kind = INQUIRY_MONITORING, .until_ms = INT64_MAX };
    dro_field_put_text(&fields, API_FIELD_ID, "a@acme.example");
    dro_field_put(&fields, API_FIELD_REFERENCE_GONE, &reference, sizeof reference);
    farewell_put(here.world.core, partition, &head, bytes, dro_builder_length(&fields));
}

static void remove_twin(uint32_t index, uint32_t reference)
{
    record_begin(here.world.core, index, RECORD_GONE);
    put(reference);
    record_end(here.world.core);
    twin_forget(here.world.core, index);
}

static void assert_kept(uint32_t reference)
{
    assert_int_equal(all()->count, 1);
    assert_true(farewell_has(here.world.core, reference));
    assert_false(farewell_has(here.world.core, reference + 1));
    assert_int_equal(all()->first->number >> 52, partition >> 52);
    assert_int_equal(all()->first->kind, INQUIRY_MONITORING);
}

static void it_comes_with_the_record_that_removes_its_twin(void **state)
{
    (void)state;
    remove_twin(make_twin("a@acme.example", NULL), 77);
    for (int i = 0; i < 2; i++) {
        assert_kept(77);
        reopen();
    }
    assert_int_equal(twin_find(here.world.core, "a@acme.example", 14), NONE);
}

static void it_comes_with_the_hosts_tables_once_its_segment_is_gone(void **state)
{
    (void)state;
    remove_twin(make_twin("a@acme.example", NULL), 77);
    core_settle(here.world.core);
    uint32_t segment = commit_log_segment_last(here.world.core->log), index = make_twin("busy@acme.example", "001010000000002");
    connect_device("001010000000002");
    for (uint32_t i = 0; commit_log_segment_first(here.world.core->log) <= segment; i++) {
        assert_true(i < 20000);
        reading("001010000000002", i, (uint8_t)i);
        asker_forget();
    }
    assert_true(twin_at(here.world.core, index)->number != 0);
    reopen();
    assert_kept(77);
    host_tables_write(here.world.core); /* twice in what is replayed */
    reopen();
    assert_kept(77);
}

static void what_was_told_is_gone_over_a_restart(void **state)
{
    (void)state;
    put(77);
    host_tables_write(here.world.core);
    record_begin(here.world.core, NONE, RECORD_GROUPS);
    record_put(here.world.core, FIELD_FAREWELL_GONE, &all()->first->number, 8);
    record_end(here.world.core);
    reopen();
    assert_int_equal(all()->count, 0);
    assert_null(all()->first);
    assert_int_equal(all()->bytes, 0);
}

static void nobody_answers_and_the_pause_grows_to_a_bound(void **state)
{
    (void)state;
    enum { ROUNDS_MS = 50 }; /* that settling takes */
    int64_t pause_ms = FAREWELL_PAUSE_MS;
    put(77);
    for (int i = 0; i < 12; i++) {
        world_settle(&here.world);
        assert_in_range(all()->first->retry_ms - here.world.core->now_ms, pause_ms - ROUNDS_MS, pause_ms);
        world_advance(&here.world, pause_ms);
        pause_ms = 2 * pause_ms < FAREWELL_PAUSE_MAX_MS ? 2 * pause_ms : FAREWELL_PAUSE_MAX_MS;
    }
    assert_int_equal(pause_ms, FAREWELL_PAUSE_MAX_MS);
    assert_int_equal(all()->asked, 0);
}

static void what_the_network_forgets_by_itself_is_not_told(void **state)
{
    (void)state;
    farewell head = { .kind = INQUIRY_MONITORING, .until_ms = here.world.core->now_ms + FAREWELL_PAUSE_MS };
    farewell_put(here.world.core, partition, &head, (const uint8_t *)"", 0);
    world_settle(&here.world);
    assert_int_equal(all()->count, 1);
    world_advance(&here.world, FAREWELL_PAUSE_MS);
    world_settle(&here.world);
    assert_int_equal(all()->count, 0);
    assert_int_equal(here.world.core->counters.farewells_told, 0);
    reopen();
    assert_int_equal(all()->count, 0);
}

static void the_oldest_goes_beyond_the_bound(void **state)
{
    (void)state;
    enum { MORE = 3 };
    for (uint32_t i = 1; i <= FAREWELLS_MAX + MORE; i++) {
        put(i);
        if (i % 256 == 0)
            core_settle(here.world.core);
    }
    assert_int_equal(here.world.core->counters.farewells_dropped, MORE);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(all()->count, FAREWELLS_MAX);
        assert_false(farewell_has(here.world.core, MORE));
        assert_true(farewell_has(here.world.core, MORE + 1));
        reopen();
    }
}

static void its_reference_is_not_given_to_another(void **state)
{
    (void)state;
    core *core = here.world.core;
    const twin *twin = twin_at(core, make_twin("a@acme.example", NULL));
    uint32_t next = exposure_reference_new(core, twin) + 1;
    put(next);
    assert_int_equal(exposure_reference_new(core, twin), next + 1);
}

static void what_is_no_farewell_is_left_out(void **state)
{
    (void)state;
    uint8_t bytes[29] = { 1, [28] = INQUIRY_KINDS };
    farewell_replay(here.world.core, &(dro_field){ FIELD_FAREWELL, sizeof bytes, bytes });
    for (uint32_t length = 0; length < sizeof bytes; length++)
        farewell_replay(here.world.core, &(dro_field){ FIELD_FAREWELL, length, bytes });
    farewell_replay(here.world.core, &(dro_field){ FIELD_FAREWELL_GONE, 3, bytes });
    assert_int_equal(all()->count, 0);
    bytes[28] = INQUIRY_MONITORING;
    farewell_replay(here.world.core, &(dro_field){ FIELD_FAREWELL, sizeof bytes, bytes });
    assert_int_equal(all()->count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(it_comes_with_the_record_that_removes_its_twin),
        CLAIM(it_comes_with_the_hosts_tables_once_its_segment_is_gone),
        CLAIM(what_was_told_is_gone_over_a_restart),
        CLAIM(nobody_answers_and_the_pause_grows_to_a_bound),
        CLAIM(what_the_network_forgets_by_itself_is_not_told),
        CLAIM(the_oldest_goes_beyond_the_bound),
        CLAIM(its_reference_is_not_given_to_another),
        CLAIM(what_is_no_farewell_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

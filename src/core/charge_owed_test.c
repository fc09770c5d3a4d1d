/* What an application changes at a group is charged once, whatever becomes of the disk in the middle of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/charge_owed.h"
#include "core/core_testbed.h"
#include "core/exposure.h"
#include "core/groups.h"
#include "core/host.h"
#include "core/record.h"
#include "core/state.h"
#include "store/disk_memory.h"
#include "twin/charge.h"

enum { CALLS_MAX = 60, ROUNDS = 40 };

static void begin(void)
{
    world_options options = { .seed = 3, .segment_bytes = SEGMENT, .replay_bytes = 2 * SEGMENT, .timeline_bytes = 64 * SEGMENT, .is_charging = true,
                              .on_message = asker_hears };
    world_init(&here.world, &options);
    assert_int_equal(world_open(&here.world), DRO_OK);
    here.id = 100;
    request_begin(&request, API_APPLICATION_PUT);
    request_text(&request, API_FIELD_APPLICATION, "as1");
    request_text(&request, API_FIELD_DOMAIN, "acme.example");
    request_u64(&request, API_FIELD_SCOPES, SCOPE_MONITORING);
    assert_int_equal(status_of(ask()), 201);
    world_settle(&here.world);
}

static void end(void)
{
    world_fini(&here.world);
    asker_forget();
}

/* As api_exposure.c does it. */
static bool change(void)
{
    core *core = here.world.core;
    exposure of = { .number = 9, .application = application_find(core, "as1", 3)->number, .kind = EXPOSURE_MONITORING, .made_ms = core->now_ms };
    charge_owed_put(core, CHARGE_CONFIGURATION, &of, "LOSS_OF_CONNECTIVITY", NULL);
    if (groups_keep(core) == DRO_OK)
        return true;
    charge_owed_take_back(core);
    return false;
}

static bool count_one(void *context, uint32_t group, log_place place, const uint8_t *bytes, size_t length)
{
    record_view view;
    dro_field field;
    (void)group;
    (void)place;
    if (record_open(here.world.core, bytes, length, here.world.core->log_scratch, &view) == DRO_OK) {
        dro_cursor in = dro_cursor_over(view.fields, view.fields_length);
        while (dro_field_next(&in, &field))
            *(uint32_t *)context += field.tag == FIELD_CHARGE;
    }
    record_close(&view);
    return true;
}

static uint32_t charges_in_the_log(void)
{
    log_place place = 0;
    uint32_t count = 0;
    while (commit_log_walk(here.world.core->log, &place, 1000, count_one, &count) == DRO_OK && place != commit_log_end(here.world.core->log))
        continue;
    return count;
}

static void start_again(void)
{
    disk_memory_faults none = { .seed = 4 };
    world_power_cut(&here.world, &none);
    assert_int_equal(world_open(&here.world), DRO_OK);
    world_settle(&here.world);
}

/* The n-th call from the change on fails, or is the last that reaches the disk. False: there are fewer. */
static bool change_with_fault(void (*fault)(disk *disk, uint64_t in_calls), uint64_t call)
{
    begin();
    disk *disk = here.world.log_disk;
    uint64_t before = disk_memory_calls(disk);
    fault(disk, call);
    bool is_kept = change();
    for (int i = 0; i < ROUNDS && !world_failed(&here.world); i++)
        world_round(&here.world);
    bool was_hit = disk_memory_calls(disk) >= before + call;
    start_again();
    uint32_t charges = charges_in_the_log();
    assert_true(charges <= 1 && (charges == 1 || !is_kept));
    start_again();
    assert_int_equal(charges_in_the_log(), charges);
    end();
    return was_hit;
}

static void a_change_at_a_group_is_charged_once_whatever_call_fails(void **state)
{
    (void)state;
    uint64_t call = 1;
    while (change_with_fault(disk_memory_fail, call))
        assert_true(++call < CALLS_MAX);
    assert_true(call > 3); /* the tables, the write of the record and its completion at least */
}

static void a_change_at_a_group_is_charged_once_wherever_the_power_goes(void **state)
{
    (void)state;
    uint64_t call = 1;
    while (change_with_fault(disk_memory_cut, call))
        assert_true(++call < CALLS_MAX);
    assert_true(call > 3);
}

static void a_change_that_was_not_kept_is_not_charged(void **state)
{
    (void)state;
    begin();
    disk_memory_fill(here.world.log_disk, true);
    assert_false(change());
    disk_memory_fill(here.world.log_disk, false);
    world_settle(&here.world);
    assert_int_equal(charges_in_the_log(), 0);
    assert_true(change());
    world_settle(&here.world);
    assert_int_equal(charges_in_the_log(), 1);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_at_a_group_is_charged_once_whatever_call_fails),
        cmocka_unit_test(a_change_at_a_group_is_charged_once_wherever_the_power_goes),
        cmocka_unit_test(a_change_that_was_not_kept_is_not_charged),
    };
    return cmocka_run_group_tests_name("charge_owed", tests, NULL, NULL);
}

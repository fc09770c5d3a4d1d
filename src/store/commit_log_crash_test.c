/* The commit log on a disk whose power goes at every call, or that fails at every call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/commit_log_model.h"

enum {
    STEPS = 220,
    STEPS_AFTER = 25,
    CALLS_MAX = 100000,
};

static void work(log_model *model, int steps)
{
    for (int i = 0; i < steps && !model->is_ended; i++)
        log_model_step(model);
}

/* One life that ends at the given faults, one that does not, and a look at all of it. */
static uint64_t live_twice(const disk_memory_faults *faults, uint64_t seed)
{
    disk *disk = disk_memory_new(faults);
    log_model model;
    assert_non_null(disk);
    log_model_init(&model, disk, seed);
    if (log_model_open(&model) == DRO_OK) {
        work(&model, STEPS);
        if (!model.is_ended)
            log_model_settle(&model);
        log_model_close(&model);
    }
    uint64_t calls = disk_memory_calls(disk);
    disk_memory_power_cut(disk, &(disk_memory_faults){ .seed = seed + 1 });
    assert_int_equal(log_model_open(&model), DRO_OK);
    work(&model, STEPS_AFTER);
    log_model_settle(&model);
    log_model_check_all(&model);
    log_model_close(&model);
    disk_memory_power_cut(disk, NULL);
    assert_int_equal(log_model_open(&model), DRO_OK);
    log_model_check_all(&model);
    log_model_fini(&model);
    disk->free(disk);
    return calls;
}

static void at_every_call(bool is_crash, bool tear, uint64_t seed)
{
    uint64_t calls = live_twice(&(disk_memory_faults){ .seed = seed }, seed);
    assert_true(calls > STEPS);
    for (uint64_t n = 1; n <= calls; n++) {
        disk_memory_faults faults = { .tear = tear, .seed = seed + n * 7919 };
        *(is_crash ? &faults.crash_call : &faults.fail_call) = n;
        live_twice(&faults, seed);
    }
}

static void a_power_cut_at_any_call_loses_nothing_acknowledged(void **state)
{
    (void)state;
    at_every_call(true, false, 1);
}

static void a_power_cut_that_tears_writes_loses_nothing_acknowledged(void **state)
{
    (void)state;
    at_every_call(true, true, 2);
}

static void a_failure_of_any_call_acknowledges_nothing_false(void **state)
{
    (void)state;
    at_every_call(false, true, 3);
}

/* Power cuts during recovery and one life after the other, never a clean end. */
static void many_lives_each_cut_short_keep_what_was_acknowledged(void **state)
{
    (void)state;
    enum { LIVES = 400, LIFE_CALLS = 120 };
    disk *disk = disk_memory_new(&(disk_memory_faults){ .seed = 4 });
    log_model model;
    dro_random_seeded random;
    dro_random_seeded_init(&random, 44);
    log_model_init(&model, disk, 5);
    for (uint64_t life = 0; life < LIVES; life++) {
        disk_memory_faults faults = { .crash_call = 1 + dro_random_next(&random) % LIFE_CALLS, .tear = life % 2 == 0, .seed = life };
        disk_memory_power_cut(disk, &faults);
        if (log_model_open(&model) == DRO_OK) {
            work(&model, STEPS);
            log_model_close(&model);
        }
    }
    disk_memory_power_cut(disk, NULL);
    assert_int_equal(log_model_open(&model), DRO_OK);
    assert_true(model.durable > LIVES);
    log_model_check_all(&model);
    log_model_fini(&model);
    disk->free(disk);
}

int main(void)
{
    dro_log_setup("test", DRO_LOG_NOTHING); /* thousands of failures, all on purpose */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_power_cut_at_any_call_loses_nothing_acknowledged),
        cmocka_unit_test(a_power_cut_that_tears_writes_loses_nothing_acknowledged),
        cmocka_unit_test(a_failure_of_any_call_acknowledges_nothing_false),
        cmocka_unit_test(many_lives_each_cut_short_keep_what_was_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

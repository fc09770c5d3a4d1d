/* Timers of twins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "core/core_testbed.h"
#include "core/state.h"
#include "core/timers.h"
#include "core/twin_table.h"

static void timers_fire_in_order(void **state)
{
    (void)state;
    core *core = here.world.core;
    enum { COUNT = 200 };
    uint32_t indexes[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        char id[40];
        snprintf(id, sizeof id, "t%u@acme.example", i);
        indexes[i] = make_twin(id, NULL);
        asker_forget();
        twin_at(core, indexes[i])->retry_ms = core->now_ms + 1000000 + (i * 7919 % COUNT) * 1000;
        assert_int_equal(status_of(blink(id)), 202); /* it has mail, so the time counts */
    }
    for (uint32_t i = 0; i < COUNT; i += 3) { /* changed, and not yet told */
        twin_at(core, indexes[i])->retry_ms += 500;
        world_check(&here.world);
    }
    for (uint32_t i = 0; i < COUNT; i += 3)
        assert_int_equal(timers_update(core, indexes[i]), DRO_OK);
    int64_t last = 0;
    for (uint32_t n = 0; n < COUNT; n++) {
        uint32_t index = core->timers[1].twin;
        assert_true(timers_next(core) >= last);
        assert_int_equal(timers_next(core), twin_at(core, index)->retry_ms);
        last = timers_next(core);
        timers_remove(core, index);
    }
    assert_int_equal(core->timer_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(timers_fire_in_order),
    };
    return cmocka_run_group_tests_name("timers", tests, NULL, NULL);
}

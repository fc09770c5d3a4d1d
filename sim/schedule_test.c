#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "sim/schedule.h"

static void an_empty_one_has_nothing(void **state)
{
    (void)state;
    schedule *s = schedule_new(3);
    assert_true(schedule_next(s) == SCHEDULE_NEVER);
    assert_int_equal(schedule_take(s, INT64_MAX), -1);
    schedule_free(s);
}

static void what_is_not_due_stays(void **state)
{
    (void)state;
    schedule *s = schedule_new(3);
    schedule_set(s, 1, 10);
    assert_int_equal(schedule_take(s, 9), -1);
    assert_int_equal(schedule_take(s, 10), 1);
    assert_int_equal(schedule_take(s, 10), -1);
    schedule_free(s);
}

static void equal_times_come_in_order(void **state)
{
    (void)state;
    schedule *s = schedule_new(5);
    for (uint32_t i = 5; i-- > 0;)
        schedule_set(s, i, 7);
    for (int i = 0; i < 5; i++)
        assert_int_equal(schedule_take(s, 7), i);
    schedule_free(s);
}

static void never_takes_it_out(void **state)
{
    (void)state;
    schedule *s = schedule_new(2);
    schedule_set(s, 0, 1);
    schedule_set(s, 1, 2);
    schedule_set(s, 0, SCHEDULE_NEVER);
    assert_int_equal(schedule_next(s), 2);
    schedule_free(s);
}

/* Against the plain way: look at all, take the earliest. */
static void it_agrees_with_a_search_of_all(void **state)
{
    (void)state;
    enum { COUNT = 200, STEPS = 20000 };
    int64_t due[COUNT];
    dro_random_seeded random;
    dro_random_seeded_init(&random, 5);
    schedule *s = schedule_new(COUNT);
    for (int i = 0; i < COUNT; i++)
        due[i] = SCHEDULE_NEVER;
    for (int step = 0; step < STEPS; step++) {
        uint64_t dice = dro_random_next(&random);
        uint32_t index = (uint32_t)(dice % COUNT);
        if (dice >> 60 < 10) {
            due[index] = dice >> 60 == 0 ? SCHEDULE_NEVER : (int64_t)(dice >> 32 & 0xff);
            schedule_set(s, index, due[index]);
            continue;
        }
        int best = -1;
        for (int i = 0; i < COUNT; i++)
            if (due[i] <= 128 && (best < 0 || due[i] < due[best]))
                best = i;
        assert_int_equal(schedule_take(s, 128), best);
        if (best >= 0)
            due[best] = SCHEDULE_NEVER;
    }
    schedule_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_one_has_nothing),       cmocka_unit_test(what_is_not_due_stays),
        cmocka_unit_test(equal_times_come_in_order),      cmocka_unit_test(never_takes_it_out),
        cmocka_unit_test(it_agrees_with_a_search_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

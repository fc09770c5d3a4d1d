#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rate.h"

#define MS ((int64_t)1000000)

static uint32_t taken(dro_rate *rate, int64_t now_ns, uint32_t per_second, uint32_t burst)
{
    int64_t wait_ns;
    uint32_t count = 0;
    while (count < 1000 && dro_rate_take(rate, now_ns, per_second, burst, &wait_ns))
        count++;
    return count;
}

static void a_burst_then_one_after_the_other(void **state)
{
    dro_rate rate = { 0 };
    (void)state;
    assert_int_equal(taken(&rate, 1000 * MS, 10, 5), 5);
    assert_int_equal(taken(&rate, 1099 * MS, 10, 5), 0);
    assert_int_equal(taken(&rate, 1100 * MS, 10, 5), 1);
    assert_int_equal(taken(&rate, 1300 * MS, 10, 5), 2);
    assert_int_equal(taken(&rate, 60000 * MS, 10, 5), 5); /* rest is not saved beyond the burst */
}

static void who_is_refused_learns_how_long(void **state)
{
    dro_rate rate = { 0 };
    int64_t wait_ns;
    (void)state;
    assert_int_equal(taken(&rate, 0, 4, 1), 1);
    assert_false(dro_rate_take(&rate, 100 * MS, 4, 1, &wait_ns));
    assert_int_equal(wait_ns, 150 * MS);
    assert_true(dro_rate_take(&rate, 250 * MS, 4, 1, &wait_ns));
}

static void without_a_limit_all_may(void **state)
{
    dro_rate rate = { 0 };
    (void)state;
    assert_int_equal(taken(&rate, 0, 0, 0), 1000);
    assert_int_equal(taken(&rate, 0, 1, 0), 1); /* a burst is at least one */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_then_one_after_the_other),
        cmocka_unit_test(who_is_refused_learns_how_long),
        cmocka_unit_test(without_a_limit_all_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

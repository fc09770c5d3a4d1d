#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "sim/histogram.h"

static histogram h;

static void an_empty_one_says_nothing(void **state)
{
    (void)state;
    memset(&h, 0, sizeof h);
    assert_int_equal(histogram_at(&h, 0.5), 0);
}

static void every_value_is_found_again_within_a_sixteenth(void **state)
{
    (void)state;
    for (uint64_t value = 1; value < (uint64_t)1 << 62; value = value * 3 / 2 + 1) {
        memset(&h, 0, sizeof h);
        histogram_add(&h, value);
        uint64_t got = histogram_at(&h, 0.99);
        assert_true(got >= value - value / 16 && got <= value + value / 16);
    }
}

static void percentiles_of_a_thousand(void **state)
{
    (void)state;
    memset(&h, 0, sizeof h);
    for (uint64_t i = 0; i < 1000; i++)
        histogram_add(&h, i);
    assert_in_range(histogram_at(&h, 0.5), 470, 530);
    assert_in_range(histogram_at(&h, 0.99), 930, 1050);
    assert_in_range(histogram_at(&h, 1), 940, 1060);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_one_says_nothing),
        cmocka_unit_test(every_value_is_found_again_within_a_sixteenth),
        cmocka_unit_test(percentiles_of_a_thousand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "bench/zipf.h"

enum { ITEMS = 1000, DRAWS = 1000000 };

/* Each share within six standard deviations of what the law says. */
static void shares_follow_the_law(void **state)
{
    (void)state;
    uint32_t *drawn = zipf_draw(ITEMS, 1.1, DRAWS, 7), count[ITEMS] = { 0 };
    double sum = 0;
    for (int i = 0; i < ITEMS; i++)
        sum += pow(i + 1.0, -1.1);
    for (int i = 0; i < DRAWS; i++) {
        assert_true(drawn[i] < ITEMS);
        count[drawn[i]]++;
    }
    for (int i = 0; i < ITEMS; i++) {
        double share = pow(i + 1.0, -1.1) / sum, wanted = share * DRAWS, deviation = sqrt(wanted * (1 - share));
        if (fabs(count[i] - wanted) > 6 * deviation)
            fail_msg("rank %d: %u drawn, %.0f wanted", i, count[i], wanted);
    }
    free(drawn);
}

static void exponent_0_is_uniform_and_a_seed_repeats(void **state)
{
    (void)state;
    uint32_t *one = zipf_draw(4, 0, 1000, 3), *two = zipf_draw(4, 0, 1000, 3), count[4] = { 0 };
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(one[i], two[i]);
        count[one[i]]++;
    }
    for (int i = 0; i < 4; i++)
        assert_in_range(count[i], 160, 340);
    free(one);
    free(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_follow_the_law),
        cmocka_unit_test(exponent_0_is_uniform_and_a_seed_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim/expect.h"

static expect after(const uint8_t *sequences, size_t count)
{
    expect e = { 0 };
    for (size_t i = 0; i < count; i++)
        expect_reading(&e, sequences[i]);
    return e;
}
#define AFTER(...) after((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void check(expect e, uint32_t readings, uint32_t lost, uint32_t duplicates, uint32_t late)
{
    assert_int_equal(e.readings, readings);
    assert_int_equal(e.lost, lost);
    assert_int_equal(e.duplicates, duplicates);
    assert_int_equal(e.late, late);
}

static void the_first_frame_ever_loses_nothing(void **state)
{
    (void)state;
    check(AFTER(200), 1, 0, 0, 0);
}

static void a_gap_counts_what_is_missing(void **state)
{
    (void)state;
    check(AFTER(1, 2, 5), 3, 2, 0, 0);
    check(AFTER(0, 191), 2, 190, 0, 0);
}

static void the_sequence_wraps(void **state)
{
    (void)state;
    check(AFTER(254, 255, 0, 1), 4, 0, 0, 0);
}

static void the_same_again_is_a_duplicate(void **state)
{
    (void)state;
    check(AFTER(7, 7, 8), 2, 0, 1, 0);
}

static void from_192_on_it_is_late(void **state)
{
    (void)state;
    check(AFTER(0, 192), 1, 0, 0, 1);
    check(AFTER(10, 9, 11), 2, 0, 0, 1);
}

static void two_late_ones_in_sequence_are_a_restart(void **state)
{
    (void)state;
    check(AFTER(50, 0, 1, 2), 3, 0, 0, 1);
    check(AFTER(50, 0, 2, 3), 2, 0, 0, 2); /* 0 and 2 do not follow each other, 2 and 3 do */
}

static void a_good_one_between_two_late_ones_is_no_restart(void **state)
{
    (void)state;
    check(AFTER(50, 10, 51, 11), 2, 0, 0, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_frame_ever_loses_nothing), cmocka_unit_test(a_gap_counts_what_is_missing),
        cmocka_unit_test(the_sequence_wraps),                 cmocka_unit_test(the_same_again_is_a_duplicate),
        cmocka_unit_test(from_192_on_it_is_late),             cmocka_unit_test(two_late_ones_in_sequence_are_a_restart),
        cmocka_unit_test(a_good_one_between_two_late_ones_is_no_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

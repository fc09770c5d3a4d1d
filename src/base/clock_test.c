#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* The C library's own calendar. */
static void expect_same(int64_t wall_ms)
{
    char text[DRO_TIME_TEXT], expected[64];
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    size_t length = strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(expected + length, sizeof expected - length, ".%03dZ", (int)(wall_ms % 1000));
    dro_time_text(wall_ms, text);
    assert_string_equal(text, expected);
}

static void a_time_is_written_as_the_c_library_counts_it(void **state)
{
    (void)state;
    dro_random_seeded random;
    dro_random_seeded_init(&random, 7);
    for (int64_t day = 0; day < 60000; day++) /* every day until 2134, its first and last millisecond */
        for (int64_t edge = -1; edge <= 0; edge++)
            expect_same((day + 1) * 86400000 + edge);
    for (int i = 0; i < 100000; i++)
        expect_same((int64_t)(dro_random_next(&random) % UINT64_C(220000000000000)) + 32000000000000); /* to the year 9985 */
}

static void a_known_time_is_written_as_rfc_3339(void **state)
{
    (void)state;
    char text[DRO_TIME_TEXT];
    dro_time_text(1795348800123, text);
    assert_string_equal(text, "2026-11-22T12:00:00.123Z");
    dro_time_text(951782399999, text);
    assert_string_equal(text, "2000-02-28T23:59:59.999Z");
    dro_time_text(951782400000, text);
    assert_string_equal(text, "2000-02-29T00:00:00.000Z");
    dro_time_text(INT64_C(253402300799999), text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

static void what_the_format_has_not_is_the_epoch(void **state)
{
    (void)state;
    char text[DRO_TIME_TEXT];
    const int64_t outside[] = { INT64_MIN, -1, INT64_C(253402300800000), INT64_MAX };
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        dro_time_text(outside[i], text);
        assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    }
}

static const int64_t DAY_MS = 24 * 3600 * INT64_C(1000), NOW_MS = INT64_C(1795348800000);

static void a_clock_a_little_ahead_is_taken(void **state)
{
    (void)state;
    assert_int_equal(dro_clock_step(NOW_MS, NOW_MS, 1000), 0);
    assert_int_equal(dro_clock_step(NOW_MS, NOW_MS + 1, 1000), 1);
    assert_int_equal(dro_clock_step(NOW_MS, NOW_MS + 7 * DAY_MS, 1000), 7 * DAY_MS); /* a machine that was stopped */
}

static void a_clock_that_goes_back_makes_time_slower_but_never_back(void **state)
{
    (void)state;
    assert_int_equal(dro_clock_step(NOW_MS, NOW_MS - 30, 1000), -30);
    assert_int_equal(dro_clock_step(NOW_MS, NOW_MS - DAY_MS, 1000), -100);
    int64_t ours = NOW_MS, wall = NOW_MS - 3600 * 1000, steps = 0;
    for (; ours != wall && steps < 100000; steps++) {
        int64_t before = ours;
        ours += 1000;
        wall += 1000;
        ours += dro_clock_step(ours, wall, 1000);
        assert_true(ours > before);
    }
    assert_int_equal(steps, 36000); /* an hour in ten */
}

static void a_jump_of_years_is_not_believed(void **state)
{
    (void)state;
    assert_int_equal(dro_clock_step(NOW_MS, NOW_MS + 3650 * DAY_MS, 1000), 0);
    assert_int_equal(dro_clock_step(NOW_MS, NOW_MS - 3650 * DAY_MS, 1000), 0);
    assert_int_equal(dro_clock_step(NOW_MS, NOW_MS + 7 * DAY_MS + 1, 1000), 0);
    assert_int_equal(dro_clock_step(NOW_MS, NOW_MS - DAY_MS - 1, 1000), 0);
}

static void who_has_no_time_yet_takes_any(void **state)
{
    (void)state;
    assert_int_equal(dro_clock_step(1000, NOW_MS, 1000), NOW_MS - 1000); /* booted in 1970 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_is_written_as_the_c_library_counts_it),
        cmocka_unit_test(a_known_time_is_written_as_rfc_3339),
        cmocka_unit_test(what_the_format_has_not_is_the_epoch),
        cmocka_unit_test(a_clock_a_little_ahead_is_taken),
        cmocka_unit_test(a_clock_that_goes_back_makes_time_slower_but_never_back),
        cmocka_unit_test(a_jump_of_years_is_not_believed),
        cmocka_unit_test(who_has_no_time_yet_takes_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

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

enum { MS = 1000000 };

/* Our time in ms after a look at a clock that is `ahead_ms` of it, at once. */
static int64_t steered(int64_t ours_ms, int64_t ahead_ms, int64_t *off_ms)
{
    dro_clock_course course = { 5 * MS, ours_ms * MS, 0 };
    *off_ms = dro_clock_steer(&course, 1005 * MS, (ours_ms + 1000 + ahead_ms) * MS) / MS;
    return dro_clock_at(&course, 1005 * MS) / MS - 1000;
}

static void a_clock_a_little_ahead_is_taken(void **state)
{
    (void)state;
    int64_t off_ms;
    static const int64_t all[] = { 0, 1, 7 * DAY_MS /* a machine that was stopped */ };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_int_equal(steered(NOW_MS, all[i], &off_ms), NOW_MS + all[i]);
        assert_int_equal(off_ms, 0);
    }
}

static void a_clock_that_goes_back_makes_time_slower_but_never_back(void **state)
{
    (void)state;
    dro_clock_course course = { 0, NOW_MS * MS, 0 };
    int64_t behind_ms = 3600 * 1000, steps = 0, monotonic = 0, ours = NOW_MS * MS;
    for (; ours != NOW_MS * MS - behind_ms * MS + monotonic && steps < 100000; steps++) {
        assert_int_equal(dro_clock_steer(&course, monotonic, NOW_MS * MS - behind_ms * MS + monotonic), 0);
        assert_int_equal(dro_clock_at(&course, monotonic), ours); /* not at the look itself either */
        for (int part = 0; part < 4; part++) {
            monotonic += 250 * MS;
            int64_t next = dro_clock_at(&course, monotonic);
            assert_int_equal(next - ours, 225 * MS);
            ours = next;
        }
    }
    assert_int_equal(steps, 36000); /* an hour in ten */
}

static void time_is_as_slow_as_it_has_to_be_and_no_longer(void **state)
{
    (void)state;
    dro_clock_course course = { 0, NOW_MS * MS, 0 };
    assert_int_equal(dro_clock_steer(&course, 0, (NOW_MS - 30) * MS), 0);
    assert_int_equal(dro_clock_at(&course, 300 * MS), (NOW_MS + 270) * MS);
    assert_int_equal(dro_clock_at(&course, 3600 * 1000 * (int64_t)MS), (NOW_MS - 30 + 3600 * 1000) * MS); /* nobody looked in between */
}

static void a_jump_of_years_is_not_believed(void **state)
{
    (void)state;
    static const int64_t all[] = { 3650 * DAY_MS, -3650 * DAY_MS, 7 * DAY_MS + 1, -DAY_MS - 1 };
    int64_t off_ms;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_int_equal(steered(NOW_MS, all[i], &off_ms), NOW_MS);
        assert_int_equal(off_ms, all[i]);
    }
}

static void who_has_no_time_yet_takes_any(void **state)
{
    (void)state;
    int64_t off_ms;
    assert_int_equal(steered(1000, NOW_MS - 1000, &off_ms), NOW_MS); /* booted in 1970 */
    assert_int_equal(off_ms, 0);
}

/* ---- the shared clock ---- */

static struct timespec real, monotonic; /* what the machine says from here on; zero: what it has */

int clock_gettime(clockid_t which, struct timespec *out)
{
    if (monotonic.tv_sec == 0)
        return (int)syscall(SYS_clock_gettime, which, out);
    *out = which == CLOCK_REALTIME ? real : monotonic;
    return 0;
}

static void pass(int64_t ms)
{
    for (struct timespec *each = &real; each != NULL; each = each == &real ? &monotonic : NULL) {
        int64_t ns = each->tv_nsec + ms % 1000 * MS;
        each->tv_sec += ms / 1000 + ns / 1000000000;
        each->tv_nsec = ns % 1000000000;
    }
}

static int64_t told_ms(void)
{
    return dro_clock_system()->wall_ms(dro_clock_system());
}

/* It was made slower by a step back at each look: events within a second had times in the wrong order. */
static void rooms_see_no_step_back_when_dromiod_looks(void **state)
{
    (void)state;
    real = (struct timespec){ NOW_MS / 1000, 0 };
    monotonic = (struct timespec){ 1000, 0 };
    assert_int_equal(dro_clock_share(), DRO_OK);
    real.tv_sec -= 60;
    int64_t before = told_ms();
    assert_int_equal(before, NOW_MS);
    for (int looks = 0; looks < 700; looks++) {
        dro_clock_tend();
        assert_true(told_ms() >= before);
        before = told_ms();
        pass(looks % 7 == 6 ? 7001 : 999);
        assert_true(told_ms() > before);
        before = told_ms();
    }
    assert_int_equal(told_ms(), real.tv_sec * 1000 + real.tv_nsec / MS);
    real.tv_sec += 3650 * DAY_MS / 1000;
    dro_clock_tend();
    assert_int_equal(dro_clock_off_ms(), 3650 * DAY_MS);
    assert_int_equal(told_ms(), before);
    monotonic = (struct timespec){ 0 };
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_is_written_as_the_c_library_counts_it),
        cmocka_unit_test(a_known_time_is_written_as_rfc_3339),
        cmocka_unit_test(what_the_format_has_not_is_the_epoch),
        cmocka_unit_test(a_clock_a_little_ahead_is_taken),
        cmocka_unit_test(a_clock_that_goes_back_makes_time_slower_but_never_back),
        cmocka_unit_test(time_is_as_slow_as_it_has_to_be_and_no_longer),
        cmocka_unit_test(a_jump_of_years_is_not_believed),
        cmocka_unit_test(who_has_no_time_yet_takes_any),
        cmocka_unit_test(rooms_see_no_step_back_when_dromiod_looks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

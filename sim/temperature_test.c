#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/temperature.h"

static temperature read_into;
static unsigned line;

static dro_err read_text(const char *text)
{
    return temperature_read(&read_into, text, strlen(text), &line);
}

static void close_to(double got, double wanted)
{
    if (!(fabs(got - wanted) < 0.01))
        fail_msg("%f is not %f", got, wanted);
}

static void fahrenheit_becomes_celsius(void **state)
{
    (void)state;
    assert_int_equal(read_text("date,temp\n2010/01/01 00:00,32\n2010/01/01 01:00,212\n"), DRO_OK);
    close_to(temperature_at(&read_into, 0), 0);
    close_to(temperature_at(&read_into, 1), 100);
}

static void columns_come_in_any_order_and_with_seconds(void **state)
{
    (void)state;
    assert_int_equal(read_text("temp,date\r\n50,2010/01/02 00:00:00\r\n"), DRO_OK);
    close_to(temperature_at(&read_into, 24), 10);
}

static void between_two_hours_it_is_linear(void **state)
{
    (void)state;
    assert_int_equal(read_text("date,temp\n2010/01/01 00:00,32\n2010/01/01 01:00,50\n"), DRO_OK);
    close_to(temperature_at(&read_into, 0.25), 2.5);
}

static void missing_hours_are_interpolated(void **state)
{
    (void)state;
    assert_int_equal(read_text("date,temp\n2010/01/01 00:00,32\n2010/01/01 04:00,50\n2010/12/31 22:00,50\n"), DRO_OK);
    close_to(temperature_at(&read_into, 3), 7.5);
    close_to(temperature_at(&read_into, -1), 5); /* over the turn of the year */
}

static void the_year_repeats(void **state)
{
    (void)state;
    assert_int_equal(read_text("date,temp\n2010/01/01 05:00,41\n2010/01/01 06:00,50\n"), DRO_OK);
    close_to(temperature_at(&read_into, 5.5 + 3 * TEMPERATURE_HOURS), temperature_at(&read_into, 5.5));
    close_to(temperature_at(&read_into, 5.5 - 2 * TEMPERATURE_HOURS), 7.5);
}

static void a_leap_day_is_passed_over(void **state)
{
    (void)state;
    assert_int_equal(read_text("date,temp\n2012/02/28 00:00,32\n2012/02/29 00:00,99\n2012/03/01 00:00,50\n"), DRO_OK);
    close_to(temperature_at(&read_into, 59 * 24), 10);
}

static void bad_lines_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned line;
    } bad[] = {
        { "\n", 1 },
        { "date;temp\n", 1 },
        { "day,temp\n", 1 },
        { "date,date\n", 1 },
        { "date,temp,wind\n", 1 },
        { "date,temp\n2010/01/01 00:00\n", 2 },
        { "date,temp\n2010/01/01 00:00,\n", 2 },
        { "date,temp\n2010/01/01 00:00,warm\n", 2 },
        { "date,temp\n2010/01/01 00:00,1e9\n", 2 },
        { "date,temp\n2010/01/01 00:00,nan\n", 2 },
        { "date,temp\n2010/13/01 00:00,50\n", 2 },
        { "date,temp\n2010/04/31 00:00,50\n", 2 },
        { "date,temp\n2010/01/01 24:00,50\n", 2 },
        { "date,temp\n2010/01/01 00:00,50\n2010/01/01,50\n", 3 },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(read_text(bad[i].text), DRO_MALFORMED);
        assert_int_equal(line, bad[i].line);
    }
}

static void a_line_too_long_is_malformed(void **state)
{
    (void)state;
    char text[TEMPERATURE_LINE_MAX + 64] = "date,temp\n";
    memset(text + 10, ' ', TEMPERATURE_LINE_MAX + 10);
    assert_int_equal(read_text(text), DRO_MALFORMED);
    assert_int_equal(line, 2);
}

static void no_measurement_is_not_found(void **state)
{
    (void)state;
    assert_int_equal(read_text("date,temp\n"), DRO_NOT_FOUND);
    assert_int_equal(read_text(""), DRO_NOT_FOUND);
}

static void a_missing_file_is_an_io_error(void **state)
{
    (void)state;
    assert_int_equal(temperature_load(&read_into, "/nonexistent/temps.csv", &line), DRO_IO);
}

/* The real files: both have gaps, one its columns the other way round. */
static void the_measurements_of_two_cities_load(void **state)
{
    (void)state;
    static const char *const files[] = { "sf-temps.csv", "seattle-temps.csv" };
    const char *deps = getenv("DROMIO_DEPS");
    if (deps == NULL)
        skip();
    for (int i = 0; i < 2; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/share/%s", deps, files[i]);
        assert_int_equal(temperature_load(&read_into, path, &line), DRO_OK);
        for (int hour = 0; hour < TEMPERATURE_HOURS; hour++)
            assert_true(temperature_at(&read_into, hour) > -15 && temperature_at(&read_into, hour) < 40);
    }
    close_to(temperature_at(&read_into, 0), (39.4 - 32) / 1.8); /* first line of seattle-temps.csv */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fahrenheit_becomes_celsius),
        cmocka_unit_test(columns_come_in_any_order_and_with_seconds),
        cmocka_unit_test(between_two_hours_it_is_linear),
        cmocka_unit_test(missing_hours_are_interpolated),
        cmocka_unit_test(the_year_repeats),
        cmocka_unit_test(a_leap_day_is_passed_over),
        cmocka_unit_test(bad_lines_are_named),
        cmocka_unit_test(a_line_too_long_is_malformed),
        cmocka_unit_test(no_measurement_is_not_found),
        cmocka_unit_test(a_missing_file_is_an_io_error),
        cmocka_unit_test(the_measurements_of_two_cities_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

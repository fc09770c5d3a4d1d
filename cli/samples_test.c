/* The text of the format's own description (Prometheus, "Exposition formats", text format example). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "samples.h"

static const char text[] =
    "# HELP http_requests_total The total number of HTTP requests.\n"
    "# TYPE http_requests_total counter\n"
    "http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000\n"
    "http_requests_total{method=\"post\",code=\"400\"}    3 1395066363000\n"
    "\n"
    "# Escaping in label values:\n"
    "msdos_file_access_time_seconds{path=\"C:\\\\DIR\\\\FILE.TXT\",error=\"Cannot find file:\\n\\\"FILE.TXT\\\"\"} 1.458255915e9\n"
    "metric_without_timestamp_and_labels 12.47\n"
    "something_weird{problem=\"division by zero}\"} +Inf -3982045\n";

static void each_line_is_a_sample(void **state)
{
    (void)state;
    samples read;
    assert_true(samples_read(&read, text, strlen(text)));
    assert_int_equal(read.count, 5);
    assert_true(samples_sum(&read, "http_requests_total", NULL) == 1030);
    assert_true(samples_sum(&read, "http_requests_total", "code=\"400\"") == 3);
    assert_true(samples_sum(&read, "metric_without_timestamp_and_labels", NULL) == 12.47);
    assert_true(samples_sum(&read, "something_weird", NULL) > 1e300);
    assert_true(samples_sum(&read, "not_there", NULL) == 0);
    samples_fini(&read);
}

static void a_label_is_found_by_its_whole_name(void **state)
{
    (void)state;
    static const char line[] = "x{bad_code=\"1\",code=\"2\"} 3\n";
    samples read;
    char value[8];
    assert_true(samples_read(&read, line, strlen(line)));
    sample_label(samples_next(&read, "x", NULL), "code", value, sizeof value);
    assert_string_equal(value, "2");
    sample_label(samples_next(&read, "x", NULL), "none", value, sizeof value);
    assert_string_equal(value, "");
    assert_null(samples_next(&read, "x", samples_next(&read, "x", NULL)));
    samples_fini(&read);
}

static void what_is_no_sample_is_left_out(void **state)
{
    (void)state;
    static const char *const odd[] = { "", "\n\n", "name", "name ", "{a=\"b\"} 1", "name{a=\"b 1", "name{a=\"b\"}", "# x 1", "name x" };
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        samples read;
        assert_true(samples_read(&read, odd[i], strlen(odd[i])));
        assert_int_equal(read.count, 0);
        samples_fini(&read);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_line_is_a_sample),
        cmocka_unit_test(a_label_is_found_by_its_whole_name),
        cmocka_unit_test(what_is_no_sample_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

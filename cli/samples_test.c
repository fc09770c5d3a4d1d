/* The text of the format's own description (Prometheus, "Exposition formats", text format example). */
#include <math.h>
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

static void a_quantile_lies_in_the_bucket_that_reaches_it(void **state)
{
    (void)state;
    static const char old[] = "t_bucket{le=\"0.1\"} 10\nt_bucket{le=\"0.2\"} 10\nt_bucket{le=\"+Inf\"} 10\nt_sum 1\nt_count 10\n";
    static const char new[] = "t_bucket{le=\"0.1\"} 60\nt_bucket{le=\"0.2\"} 109\nt_bucket{le=\"+Inf\"} 110\nt_sum 9\nt_count 110\n";
    samples before, now, none;
    double count;
    assert_true(samples_read(&before, old, strlen(old)) && samples_read(&now, new, strlen(new)) && samples_read(&none, "", 0));
    assert_true(fabs(samples_quantile(&before, &now, "t", 0.25, &count) - 0.05) < 1e-9); /* half of the first 50 */
    assert_true(count == 100);
    assert_true(fabs(samples_quantile(&before, &now, "t", 0.5, &count) - 0.1) < 1e-9);
    assert_true(fabs(samples_quantile(&before, &now, "t", 0.99, &count) - 0.2) < 1e-9);
    assert_true(fabs(samples_quantile(&before, &now, "t", 1, &count) - 0.2) < 1e-9); /* past the last bound */
    assert_true(samples_quantile(&now, &now, "t", 0.5, &count) < 0 && count == 0);
    assert_true(samples_quantile(&none, &none, "t", 0.5, &count) < 0);
    assert_true(samples_quantile(&now, &before, "t", 0.5, &count) > 0 && count == 10); /* it began anew */
    samples_fini(&before);
    samples_fini(&now);
    samples_fini(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_line_is_a_sample),
        cmocka_unit_test(a_label_is_found_by_its_whole_name),
        cmocka_unit_test(what_is_no_sample_is_left_out),
        cmocka_unit_test(a_quantile_lies_in_the_bucket_that_reaches_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

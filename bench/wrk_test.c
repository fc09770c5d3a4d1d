#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bench/wrk.h"

static void a_report_is_the_line_that_begins_so(void **state)
{
    (void)state;
    wrk_report report;
    assert_true(wrk_read_report("Running 1s test @ http://127.0.0.1:1\n  no report 1 here\nreport 100 2000000 30 40 5 6\n", &report));
    assert_true(report.requests == 100 && report.micros == 2000000 && report.p50_micros == 30);
    assert_true(report.p99_micros == 40 && report.not_2xx == 5 && report.broken == 6);
    assert_true(wrk_read_report("report 1 2 3 4 5 6\n", &report));
}

static void what_is_cut_off_is_no_report(void **state)
{
    (void)state;
    wrk_report report;
    assert_false(wrk_read_report("", &report));
    assert_false(wrk_read_report("unable to connect to 127.0.0.1:1 Connection refused\n", &report));
    assert_false(wrk_read_report("report 100 2000000 30 40 5", &report));
    assert_false(wrk_read_report("a report 1 2 3 4 5 6\n", &report));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_is_the_line_that_begins_so),
        cmocka_unit_test(what_is_cut_off_is_no_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "base/latency.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void each_time_is_in_the_first_bucket_that_holds_it(void **state)
{
    (void)state;
    for (unsigned bucket = 0; bucket < DRO_LATENCY_BUCKETS; bucket++) {
        uint64_t bound = dro_latency_bound_nanos(bucket);
        assert_int_equal(dro_latency_bucket(bound), bucket);
        assert_int_equal(dro_latency_bucket(bound + 1), bucket + 1);
        assert_int_equal(dro_latency_bucket(bound - 1), bucket);
        assert_true(bucket == 0 || bound > dro_latency_bound_nanos(bucket - 1));
    }
    assert_int_equal(dro_latency_bucket(0), 0);
    assert_int_equal(dro_latency_bucket(UINT64_MAX / 2), DRO_LATENCY_BUCKETS);
    assert_int_equal(dro_latency_bound_nanos(0), 1000);
    assert_int_equal(dro_latency_bound_nanos(1), 1500);
    assert_int_equal(dro_latency_bound_nanos(20), 1024000);
}

static void parts_are_told_together(void **state)
{
    (void)state;
    static dro_latency one, two;
    static uint8_t room[8192];
    const dro_latency *parts[] = { &one, &two };
    dro_latency_add(&one, 700);
    dro_latency_add(&one, -5); /* the clock of another thread was ahead */
    dro_latency_add(&two, 1500);
    dro_latency_add(&two, 20ll * 1000000000);
    dro_builder out = dro_builder_over(room, sizeof room - 1);
    dro_latency_write(parts, 2, "x_seconds", "How long.", &out);
    assert_int_equal(out.err, DRO_OK);
    const char *text = (const char *)room;
    static const char begin[] = "# HELP x_seconds How long.\n# TYPE x_seconds histogram\n"
                                "x_seconds_bucket{le=\"1e-06\"} 2\nx_seconds_bucket{le=\"1.5e-06\"} 3\nx_seconds_bucket{le=\"2e-06\"} 3\n";
    static const char end[] = "x_seconds_bucket{le=\"12.582912\"} 3\nx_seconds_bucket{le=\"+Inf\"} 4\nx_seconds_sum 20.000002200\nx_seconds_count 4\n";
    assert_memory_equal(text, begin, sizeof begin - 1);
    assert_string_equal(text + strlen(text) - (sizeof end - 1), end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_time_is_in_the_first_bucket_that_holds_it),
        cmocka_unit_test(parts_are_told_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "bench/host.h"

static const char metrics[] = "# HELP dromio_turns_total Turns.\n# TYPE dromio_turns_total counter\n"
                              "dromio_turns_total{core=\"0\"} 12\ndromio_turns_total{core=\"1\"} 30\n"
                              "dromio_turns_total_more 7\ndromio_commits_total 5\nlast{a=\"}\n";

static void is(double got, double wanted)
{
    if (!(got > wanted - 1e-9 && got < wanted + 1e-9))
        fail_msg("%f is not %f", got, wanted);
}

static void a_counter_is_summed_over_its_labels(void **state)
{
    (void)state;
    is(host_counter_in(metrics, "dromio_turns_total"), 42);
    is(host_counter_in(metrics, "dromio_commits_total"), 5);
}

static void a_counter_that_is_not_there_is_no_zero(void **state)
{
    (void)state;
    is(host_counter_in(metrics, "dromio_turns"), -1);
    is(host_counter_in("", "dromio_turns_total"), -1);
}

/* On this very process: it has used some memory, and is its own kind of room. */
static void use_is_read_from_proc(void **state)
{
    (void)state;
    host_usage rooms[HOST_KINDS_MAX];
    int count;
    host h = { .pid = getpid() };
    host_usage all = host_use(&h, true, rooms, &count);
    assert_true(all.pss_bytes > 10000);
    assert_int_equal(count, 1);
    assert_true(rooms[0].pss_bytes == all.pss_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_counter_is_summed_over_its_labels),
        cmocka_unit_test(a_counter_that_is_not_there_is_no_zero),
        cmocka_unit_test(use_is_read_from_proc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

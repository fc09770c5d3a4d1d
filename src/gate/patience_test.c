/* How many requests may wait for a core, by how long they do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "gate/patience.h"

enum { ASKED = 4 * PATIENCE_LEAST };
static const int64_t ms = 1000000;
static int64_t now_ns;

static patience with_waiting(uint32_t count)
{
    patience of;
    now_ns = 1000 * ms;
    patience_init(&of, now_ns);
    for (uint32_t i = 0; i < count; i++)
        patience_asked(&of);
    return of;
}

/* `count` answers over so many milliseconds, each for a request that took `took_ms`; as many are asked anew. */
static void serve(patience *of, uint32_t count, int64_t over_ms, int64_t took_ms)
{
    for (uint32_t i = 1; i <= count; i++) {
        patience_answered(of, took_ms * ms, now_ns + over_ms * ms * i / count);
        patience_asked(of);
    }
    now_ns += over_ms * ms;
}

static void a_burst_that_is_answered_soon_has_no_bound(void **state)
{
    (void)state;
    patience of = with_waiting(ASKED);
    serve(&of, 5000, PATIENCE_INTERVAL_MS, PATIENCE_MS);
    assert_false(patience_is_over(&of));
}

static void a_queue_that_stands_is_cut_to_what_is_answered_in_time(void **state)
{
    (void)state;
    patience of = with_waiting(ASKED);
    serve(&of, 3000, PATIENCE_INTERVAL_MS, PATIENCE_MS + 1);
    assert_int_equal(of.most, 3000 * PATIENCE_MS / PATIENCE_INTERVAL_MS);
    assert_true(patience_is_over(&of));
    while (of.waiting >= of.most)
        patience_left(&of);
    assert_false(patience_is_over(&of));
}

static void one_quick_answer_in_an_interval_says_that_no_queue_stands(void **state)
{
    (void)state;
    patience of = with_waiting(ASKED);
    serve(&of, 1, 1, PATIENCE_MS / 2);
    serve(&of, 3000, PATIENCE_INTERVAL_MS, 10 * PATIENCE_MS);
    assert_int_equal(of.most, PATIENCE_ANY);
}

static void some_may_always_wait(void **state)
{
    (void)state;
    patience of = with_waiting(ASKED);
    serve(&of, 2, PATIENCE_INTERVAL_MS, 10 * PATIENCE_MS);
    assert_int_equal(of.most, PATIENCE_LEAST);
}

static void few_that_take_long_bound_nothing(void **state)
{
    (void)state;
    patience of = with_waiting(PATIENCE_LEAST / 2);
    serve(&of, 100, PATIENCE_INTERVAL_MS, 10 * PATIENCE_MS);
    assert_int_equal(of.most, PATIENCE_ANY);
}

/* Quick answers are what the bound is for: with ten times too much to do it may not grow because of them. */
static void a_bound_that_is_reached_stays_though_answers_are_quick(void **state)
{
    (void)state;
    patience of = with_waiting(ASKED);
    serve(&of, 3000, PATIENCE_INTERVAL_MS, 2 * PATIENCE_MS);
    while (of.waiting > of.most)
        patience_left(&of);
    for (int i = 0; i < 8; i++)
        serve(&of, 3000, PATIENCE_INTERVAL_MS, 1);
    assert_int_equal(of.most, 3000 * PATIENCE_MS / PATIENCE_INTERVAL_MS);
    serve(&of, 6000, PATIENCE_INTERVAL_MS, 1); /* turns have become quicker */
    assert_int_equal(of.most, 6000 * PATIENCE_MS / PATIENCE_INTERVAL_MS);
}

static void the_bound_goes_when_answers_are_quick_again_and_not_before(void **state)
{
    (void)state;
    patience of = with_waiting(ASKED);
    serve(&of, 3000, PATIENCE_INTERVAL_MS, 2 * PATIENCE_MS);
    uint32_t most = of.most;
    while (of.waiting + 1 >= of.most)
        patience_left(&of);
    for (int i = 0; i < 3; i++) /* in between; in the first of these it was reached at the beginning */
        serve(&of, 3000, PATIENCE_INTERVAL_MS, PATIENCE_MS);
    assert_int_equal(of.most, most);
    for (int i = 0; i < 8 && of.most != PATIENCE_ANY; i++)
        serve(&of, 3000, PATIENCE_INTERVAL_MS, PATIENCE_MS / 2 - 1);
    assert_int_equal(of.most, PATIENCE_ANY);
}

static void what_was_long_ago_bounds_nothing_now(void **state)
{
    (void)state;
    patience of = with_waiting(ASKED);
    serve(&of, 3000, PATIENCE_INTERVAL_MS, 2 * PATIENCE_MS);
    now_ns += PATIENCE_IDLE_MS * ms;
    patience_answered(&of, 10 * PATIENCE_MS * ms, now_ns);
    assert_int_equal(of.most, PATIENCE_ANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_that_is_answered_soon_has_no_bound),
        cmocka_unit_test(a_queue_that_stands_is_cut_to_what_is_answered_in_time),
        cmocka_unit_test(one_quick_answer_in_an_interval_says_that_no_queue_stands),
        cmocka_unit_test(some_may_always_wait),
        cmocka_unit_test(few_that_take_long_bound_nothing),
        cmocka_unit_test(a_bound_that_is_reached_stays_though_answers_are_quick),
        cmocka_unit_test(the_bound_goes_when_answers_are_quick_again_and_not_before),
        cmocka_unit_test(what_was_long_ago_bounds_nothing_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

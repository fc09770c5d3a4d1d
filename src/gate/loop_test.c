/* The loop over pipes and a clock that moves only when told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#include "gate/loop.h"

enum { TIMERS = 1000 };

static dro_clock_fake fake;
static loop *under_test;
static int called, order[TIMERS], order_count;

typedef struct numbered {
    loop_timer timer;
    int number;
} numbered;

static int setup(void **state)
{
    (void)state;
    dro_clock_fake_init(&fake, 0);
    under_test = loop_new(&fake.clock);
    called = order_count = 0;
    return under_test == NULL;
}

static int teardown(void **state)
{
    (void)state;
    loop_free(under_test);
    return 0;
}

static void note(loop_timer *timer)
{
    order[order_count++] = ((numbered *)timer)->number;
}

static void timers_run_in_order_and_once(void **state)
{
    (void)state;
    static numbered timers[TIMERS];
    for (int i = 0; i < TIMERS; i++) {
        timers[i] = (numbered){ .timer.on_due = note, .number = i * 7919 % TIMERS };
        assert_int_equal(loop_timer_set(under_test, &timers[i].timer, timers[i].number), DRO_OK);
    }
    for (int i = 0; i < TIMERS; i++)
        if (timers[i].number % 3 == 0)
            loop_timer_clear(under_test, &timers[i].timer);
    dro_clock_fake_advance(&fake, TIMERS / 2);
    loop_turn(under_test, 0);
    dro_clock_fake_advance(&fake, TIMERS);
    loop_turn(under_test, 0);
    loop_turn(under_test, 0);
    int expected = 0;
    for (int i = 0; i < order_count; i++, expected++) {
        if (expected % 3 == 0)
            expected++;
        assert_int_equal(order[i], expected);
    }
    assert_int_equal(order_count, TIMERS - (TIMERS + 2) / 3);
}

static void a_moved_timer_runs_at_its_new_time_only(void **state)
{
    (void)state;
    numbered one = { .timer.on_due = note, .number = 1 }, two = { .timer.on_due = note, .number = 2 };
    assert_int_equal(loop_timer_set(under_test, &one.timer, 10), DRO_OK);
    assert_int_equal(loop_timer_set(under_test, &two.timer, 20), DRO_OK);
    assert_int_equal(loop_timer_set(under_test, &one.timer, 30), DRO_OK);
    dro_clock_fake_advance(&fake, 25);
    loop_turn(under_test, 0);
    assert_int_equal(order_count, 1);
    assert_int_equal(order[0], 2);
    dro_clock_fake_advance(&fake, 25);
    loop_turn(under_test, 0);
    assert_int_equal(order_count, 2);
}

static void set_again(loop_timer *timer)
{
    called++;
    assert_int_equal(loop_timer_set(under_test, timer, loop_now_ns(under_test)), DRO_OK);
}

static void a_timer_that_sets_itself_does_not_hold_the_turn(void **state)
{
    (void)state;
    loop_timer timer = { .on_due = set_again };
    assert_int_equal(loop_timer_set(under_test, &timer, 0), DRO_OK);
    loop_turn(under_test, 0);
    loop_turn(under_test, 0);
    assert_int_equal(called, 2);
    loop_timer_clear(under_test, &timer);
    loop_timer_clear(under_test, &timer); /* clearing twice is fine */
    loop_turn(under_test, 0);
    assert_int_equal(called, 2);
}

typedef struct pair {
    loop_watch watch;
    struct pair *other;
} pair;

static void remove_both(loop_watch *watch, uint32_t events)
{
    (void)events;
    called++;
    loop_remove(under_test, watch);
    loop_remove(under_test, &((pair *)watch)->other->watch);
}

static void no_callback_follows_a_removal_in_the_same_turn(void **state)
{
    (void)state;
    int one[2], two[2];
    assert_int_equal(pipe(one), 0);
    assert_int_equal(pipe(two), 0);
    pair a = { .watch = { remove_both, one[0] } }, b = { .watch = { remove_both, two[0] }, .other = &a };
    a.other = &b;
    assert_int_equal(loop_add(under_test, &a.watch, EPOLLIN), DRO_OK);
    assert_int_equal(loop_add(under_test, &b.watch, EPOLLIN), DRO_OK);
    assert_int_equal(write(one[1], "x", 1), 1);
    assert_int_equal(write(two[1], "x", 1), 1);
    loop_turn(under_test, 0);
    assert_int_equal(called, 1);
    for (int i = 0; i < 2; i++) {
        close(one[i]);
        close(two[i]);
    }
}

static void on_read(loop_watch *watch, uint32_t events)
{
    char byte;
    assert_true(events & EPOLLIN);
    called += (int)read(watch->descriptor, &byte, 1);
}

static void a_watch_follows_its_descriptor_and_its_events(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    loop_watch watch = { on_read, ends[0] };
    assert_int_equal(loop_add(under_test, &watch, EPOLLIN), DRO_OK);
    loop_turn(under_test, 0);
    assert_int_equal(called, 0);
    assert_int_equal(write(ends[1], "ab", 2), 2);
    loop_turn(under_test, -1);
    assert_int_equal(called, 1);
    loop_change(under_test, &watch, 0);
    loop_turn(under_test, 0);
    assert_int_equal(called, 1);
    loop_change(under_test, &watch, EPOLLIN);
    loop_turn(under_test, -1);
    assert_int_equal(called, 2);
    loop_remove(under_test, &watch);
    close(ends[0]);
    close(ends[1]);
    loop_watch gone = { on_read, ends[0] };
    assert_int_equal(loop_add(under_test, &gone, EPOLLIN), DRO_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(timers_run_in_order_and_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_moved_timer_runs_at_its_new_time_only, setup, teardown),
        cmocka_unit_test_setup_teardown(a_timer_that_sets_itself_does_not_hold_the_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(no_callback_follows_a_removal_in_the_same_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(a_watch_follows_its_descriptor_and_its_events, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

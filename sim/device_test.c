#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "sim/device.h"

static temperature mild;
static device_counts counts;

/* A regular PSM device with a period of 100 s, reachable for 10 s. */
static device_settings settings(void)
{
    return (device_settings){ .seed = 1, .period_s = 100, .active_ms = 10000, .refused_ms = 1000, .busy_ms = 1000,
                              .mme_count = 1, .temperatures = { &mild }, .temperature_count = 1 };
}

static device attached(const device_settings *s)
{
    device d;
    for (int i = 0; i < TEMPERATURE_HOURS; i++)
        mild.celsius[i] = 15;
    counts = (device_counts){ 0 };
    device_init(&d, 0, s);
    assert_int_equal(device_next(&d), DEVICE_ESTABLISH);
    device_on_answer(&d, s, DEVICE_ESTABLISH, DEVICE_ANSWER_OK, 0);
    return d;
}

/* Wakes it at its next reading; the time. */
static int64_t wake_for_reading(device *d, const device_settings *s)
{
    int64_t when = d->next_reading;
    assert_false(device_wake(d, s, &counts, when));
    return when;
}

static reading take_uplink(device *d, const device_settings *s, int64_t now)
{
    reading got = { 0 };
    assert_int_equal(device_next(d), DEVICE_UPLINK);
    assert_true(frame_read_reading(device_uplink(d), &got));
    device_on_answer(d, s, DEVICE_UPLINK, DEVICE_ANSWER_OK, now);
    return got;
}

static void it_reads_at_its_period(void **state)
{
    (void)state;
    device_settings s = settings();
    device d = attached(&s);
    int64_t first = wake_for_reading(&d, &s);
    assert_true(first < 100000);
    assert_int_equal(device_due(&d), first + 100000);
    assert_int_equal(take_uplink(&d, &s, first).sequence, 0);
    assert_int_equal(device_next(&d), DEVICE_IDLE);
    int64_t second = wake_for_reading(&d, &s);
    assert_int_equal(take_uplink(&d, &s, second).sequence, 1);
    assert_int_equal(counts.readings_made, 2);
}

static void readings_that_could_not_be_made_in_time_are_left_out(void **state)
{
    (void)state;
    device_settings s = settings();
    device d = attached(&s);
    device_wake(&d, &s, &counts, 1000000);
    assert_int_equal(counts.readings_made, 1);
    assert_int_equal(device_due(&d), 1100000);
}

static void it_sleeps_after_its_active_time(void **state)
{
    (void)state;
    device_settings s = settings();
    device d = attached(&s);
    int64_t now = wake_for_reading(&d, &s);
    assert_true(device_is_awake(&d, now + 9999));
    assert_false(device_is_awake(&d, now + 10000));
    take_uplink(&d, &s, now + 5000); /* the answer starts the time again */
    assert_true(device_is_awake(&d, now + 14999));
}

static void the_temperature_is_the_measured_one(void **state)
{
    (void)state;
    device_settings s = settings();
    device d = attached(&s);
    reading got = take_uplink(&d, &s, wake_for_reading(&d, &s));
    assert_in_range(got.temperature, 1340, 1660); /* 15 degC and the device's own error */
}

static void the_battery_only_falls(void **state)
{
    (void)state;
    device_settings s = settings();
    device d = attached(&s);
    uint16_t before = UINT16_MAX;
    for (int i = 0; i < 2000; i++) {
        reading got = take_uplink(&d, &s, wake_for_reading(&d, &s));
        assert_true(got.battery <= before && got.battery >= DEVICE_BATTERY_EMPTY_MV);
        before = got.battery;
    }
}

static void a_full_outbox_gives_up_the_oldest_but_never_what_is_on_its_way(void **state)
{
    (void)state;
    device_settings s = settings();
    device d = attached(&s);
    wake_for_reading(&d, &s);
    reading got;
    frame_read_reading(device_uplink(&d), &got); /* 0 is on its way */
    for (int i = 0; i < 5; i++)
        wake_for_reading(&d, &s); /* 1 to 5; room for three */
    assert_int_equal(counts.readings_overrun, 2);
    device_on_answer(&d, &s, DEVICE_UPLINK, DEVICE_ANSWER_OK, d.next_reading - 1);
    for (uint8_t sequence = 3; sequence <= 5; sequence++)
        assert_int_equal(take_uplink(&d, &s, d.next_reading - 1).sequence, sequence);
    assert_int_equal(d.expected.lost, 2);
}

static void busy_waits_and_sends_the_same_frame_counted_once(void **state)
{
    (void)state;
    device_settings s = settings();
    device d = attached(&s);
    int64_t now = wake_for_reading(&d, &s);
    frame sent = *device_uplink(&d);
    device_on_answer(&d, &s, DEVICE_UPLINK, DEVICE_ANSWER_BUSY, now);
    assert_int_equal(device_next(&d), DEVICE_IDLE);
    device_wake(&d, &s, &counts, device_due(&d));
    assert_int_equal(device_next(&d), DEVICE_UPLINK);
    assert_memory_equal(device_uplink(&d), &sent, sizeof sent);
    assert_int_equal(d.sent, 1);
    assert_int_equal(d.acknowledged, 0);
}

static void a_refused_uplink_attaches_again_and_keeps_the_frame(void **state)
{
    (void)state;
    device_settings s = settings();
    device d = attached(&s);
    int64_t now = wake_for_reading(&d, &s);
    device_uplink(&d);
    device_on_answer(&d, &s, DEVICE_UPLINK, DEVICE_ANSWER_REFUSED, now);
    device_wake(&d, &s, &counts, device_due(&d));
    assert_int_equal(device_next(&d), DEVICE_ESTABLISH);
    device_on_answer(&d, &s, DEVICE_ESTABLISH, DEVICE_ANSWER_OK, now);
    assert_int_equal(take_uplink(&d, &s, now).sequence, 0);
}

static void a_command_to_an_awake_device_arrives_and_is_confirmed(void **state)
{
    (void)state;
    device_settings s = settings();
    device d = attached(&s);
    int64_t now = wake_for_reading(&d, &s), when;
    take_uplink(&d, &s, now);
    assert_int_equal(device_on_downlink(&d, &s, (const uint8_t[]){ 0x81, 0x00, 0x3c }, 3, now, now, &when), DELIVERY_HELD);
    assert_int_equal(device_due(&d), when);
    assert_in_range(when, now + DEVICE_RADIO_MS, now + 2 * DEVICE_RADIO_MS);
    assert_true(device_wake(&d, &s, &counts, when));
    assert_int_equal(d.period_s, 60);
    assert_int_equal(d.next_reading, when + 60000);
    assert_false(device_wake(&d, &s, &counts, device_due(&d)));
    static const uint8_t confirmation[] = { 0x02, 0x00, 0x3c };
    assert_int_equal(device_next(&d), DEVICE_UPLINK);
    assert_memory_equal(device_uplink(&d)->bytes, confirmation, sizeof confirmation);
    assert_int_equal(d.sent, 1); /* a confirmation is no reading */
}

static void a_second_command_on_the_way_is_not_taken(void **state)
{
    (void)state;
    device_settings s = settings();
    device d = attached(&s);
    int64_t now = wake_for_reading(&d, &s), when;
    assert_int_equal(device_on_downlink(&d, &s, (const uint8_t[]){ 0x82, 1 }, 2, now, now, &when), DELIVERY_HELD);
    assert_int_equal(device_on_downlink(&d, &s, (const uint8_t[]){ 0x82, 2 }, 2, now, now, &when), DELIVERY_ASLEEP);
}

static void a_command_too_long_is_not_taken(void **state)
{
    (void)state;
    device_settings s = settings();
    device d = attached(&s);
    static const uint8_t bytes[DEVICE_COMMAND_MAX + 1];
    int64_t now = wake_for_reading(&d, &s), when;
    assert_int_equal(device_on_downlink(&d, &s, bytes, sizeof bytes, now, now, &when), DELIVERY_ASLEEP);
}

static void a_sleeper_says_when_it_wakes_and_that_it_is_reachable(void **state)
{
    (void)state;
    device_settings s = settings();
    device d = attached(&s);
    int64_t now = wake_for_reading(&d, &s), when;
    take_uplink(&d, &s, now);
    now += 20000;
    d.is_regular = true;
    assert_int_equal(device_on_downlink(&d, &s, (const uint8_t[]){ 0x82, 1 }, 2, now, now, &when), DELIVERY_ASLEEP);
    assert_int_equal(when, d.next_reading);
    wake_for_reading(&d, &s);
    assert_int_equal(device_next(&d), DEVICE_REACHABLE);
    device_on_answer(&d, &s, DEVICE_REACHABLE, DEVICE_ANSWER_OK, when);
    assert_int_equal(device_next(&d), DEVICE_UPLINK);
}

static void of_an_irregular_sleeper_nobody_knows_when(void **state)
{
    (void)state;
    device_settings s = settings();
    device d = attached(&s);
    int64_t now = wake_for_reading(&d, &s) + 20000, when;
    d.is_regular = false;
    assert_int_equal(device_on_downlink(&d, &s, (const uint8_t[]){ 0x82, 1 }, 2, now, now, &when), DELIVERY_ASLEEP);
    assert_true(when == DEVICE_NEVER);
}

static void a_paged_device_is_held_until_its_occasion(void **state)
{
    (void)state;
    device_settings s = settings();
    s.edrx = 1;
    s.period_s = 60000;
    device d = attached(&s);
    int64_t now = wake_for_reading(&d, &s) + 20000, when;
    int64_t occasion = (now / DEVICE_EDRX_MS + 1) * DEVICE_EDRX_MS;
    assert_int_equal(device_on_downlink(&d, &s, (const uint8_t[]){ 0x82, 1 }, 2, now, now + 100, &when), DELIVERY_ASLEEP);
    assert_int_equal(when, occasion);
    assert_int_equal(device_on_downlink(&d, &s, (const uint8_t[]){ 0x82, 1 }, 2, now, now + 30000, &when), DELIVERY_HELD);
    assert_in_range(when, occasion, occasion + 2 * DEVICE_RADIO_MS);
}

static void nothing_moves_or_restarts_while_an_answer_is_awaited(void **state)
{
    (void)state;
    device_settings s = settings();
    s.restart = s.move = 1;
    s.mme_count = 2;
    device d = attached(&s);
    wake_for_reading(&d, &s);
    assert_int_equal(counts.restarts, 1);
    device_on_answer(&d, &s, DEVICE_RELEASE, DEVICE_ANSWER_OK, 0);
    device_on_answer(&d, &s, DEVICE_ESTABLISH, DEVICE_ANSWER_OK, 0);
    device_uplink(&d);
    wake_for_reading(&d, &s);
    assert_int_equal(counts.restarts, 1);
    assert_int_equal(counts.moves, 0);
}

static void the_same_seed_is_the_same_device(void **state)
{
    (void)state;
    device_settings s = settings();
    s.loss = s.late = s.restart = 0.2;
    device a = attached(&s), b = attached(&s);
    for (int i = 0; i < 200; i++) {
        device *both[] = { &a, &b };
        for (int k = 0; k < 2; k++) {
            int64_t now = wake_for_reading(both[k], &s);
            enum device_action next;
            while ((next = device_next(both[k])) != DEVICE_IDLE) {
                if (next == DEVICE_UPLINK)
                    device_uplink(both[k]);
                device_on_answer(both[k], &s, next, DEVICE_ANSWER_OK, now);
            }
        }
    }
    assert_int_equal(a.acknowledged, b.acknowledged);
    assert_memory_equal(&a.expected, &b.expected, sizeof a.expected);
    assert_memory_equal(&a.last, &b.last, sizeof a.last);
    assert_true(a.expected.lost > 0 && a.expected.late > 0);
}

static void a_lost_device_is_silent_until_it_is_back(void **state)
{
    (void)state;
    device_settings s = settings();
    device d = attached(&s);
    int64_t now = wake_for_reading(&d, &s), when;
    take_uplink(&d, &s, now);
    device_lose(&d, now + 500000);
    assert_int_equal(device_due(&d), now + 500000);
    assert_int_equal(device_on_downlink(&d, &s, (const uint8_t *)"\x82\x05", 2, now + 1, now + 9000, &when), DELIVERY_ASLEEP);
    assert_int_equal(when, DEVICE_NEVER);
    assert_false(device_trigger(&d, &s, now + 1));
    assert_false(device_wake(&d, &s, &counts, now + 499999));
    assert_int_equal(device_next(&d), DEVICE_IDLE);
    device_wake(&d, &s, &counts, now + 500000);
    assert_false(device_is_lost(&d));
    assert_int_equal(device_next(&d), DEVICE_ESTABLISH);
    device_on_answer(&d, &s, DEVICE_ESTABLISH, DEVICE_ANSWER_OK, now + 500100);
    assert_int_equal(device_next(&d), DEVICE_REACHABLE); /* for the downlink that failed */
    device_on_answer(&d, &s, DEVICE_REACHABLE, DEVICE_ANSWER_OK, now + 500150);
    assert_int_equal(take_uplink(&d, &s, now + 500200).sequence, 1);
}

static void timers_of_the_network_wake_it_between_readings(void **state)
{
    (void)state;
    device_settings s = settings();
    device d = attached(&s);
    int64_t first = wake_for_reading(&d, &s);
    take_uplink(&d, &s, first);
    device_set_timers(&d, 30000, 2000, first);
    assert_int_equal(device_due(&d), first + 30000);
    assert_false(device_is_awake(&d, first + 29999));
    device_wake(&d, &s, &counts, first + 30000);
    assert_true(device_is_awake(&d, first + 31999) && !device_is_awake(&d, first + 32000));
    assert_int_equal(device_next(&d), DEVICE_IDLE); /* it has nothing to send */
    assert_int_equal(device_due(&d), first + 60000);
    device_set_timers(&d, 0, 0, first + 32000);
    assert_int_equal(device_due(&d), first + 100000);
}

static void one_that_may_sleep_longer_reads_when_it_wakes(void **state)
{
    (void)state;
    device_settings s = settings();
    device d = attached(&s);
    int64_t first = wake_for_reading(&d, &s);
    take_uplink(&d, &s, first);
    device_set_timers(&d, 250000, 2000, first);
    assert_int_equal(device_due(&d), first + 100000); /* the reading it had set out for */
    device_wake(&d, &s, &counts, first + 100000);
    take_uplink(&d, &s, first + 100000);
    assert_int_equal(device_due(&d), first + 350000);
}

static void a_trigger_reaches_who_is_awake_or_paged(void **state)
{
    (void)state;
    device_settings s = settings();
    device d = attached(&s);
    int64_t now = wake_for_reading(&d, &s);
    take_uplink(&d, &s, now);
    assert_true(device_trigger(&d, &s, now + 5000));
    assert_int_equal(device_due(&d), now + 5000);
    device_wake(&d, &s, &counts, now + 5000);
    take_uplink(&d, &s, now + 5000);
    assert_false(device_trigger(&d, &s, now + 50000));
    d.is_edrx = true;
    assert_true(device_trigger(&d, &s, now + 50000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_reads_at_its_period),
        cmocka_unit_test(readings_that_could_not_be_made_in_time_are_left_out),
        cmocka_unit_test(it_sleeps_after_its_active_time),
        cmocka_unit_test(the_temperature_is_the_measured_one),
        cmocka_unit_test(the_battery_only_falls),
        cmocka_unit_test(a_full_outbox_gives_up_the_oldest_but_never_what_is_on_its_way),
        cmocka_unit_test(busy_waits_and_sends_the_same_frame_counted_once),
        cmocka_unit_test(a_refused_uplink_attaches_again_and_keeps_the_frame),
        cmocka_unit_test(a_command_to_an_awake_device_arrives_and_is_confirmed),
        cmocka_unit_test(a_second_command_on_the_way_is_not_taken),
        cmocka_unit_test(a_command_too_long_is_not_taken),
        cmocka_unit_test(a_sleeper_says_when_it_wakes_and_that_it_is_reachable),
        cmocka_unit_test(of_an_irregular_sleeper_nobody_knows_when),
        cmocka_unit_test(a_paged_device_is_held_until_its_occasion),
        cmocka_unit_test(nothing_moves_or_restarts_while_an_answer_is_awaited),
        cmocka_unit_test(the_same_seed_is_the_same_device),
        cmocka_unit_test(a_lost_device_is_silent_until_it_is_back),
        cmocka_unit_test(timers_of_the_network_wake_it_between_readings),
        cmocka_unit_test(one_that_may_sleep_longer_reads_when_it_wakes),
        cmocka_unit_test(a_trigger_reaches_who_is_awake_or_paged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

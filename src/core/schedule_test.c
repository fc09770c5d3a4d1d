/* When a device sleeps: what is kept of it, and what follows from it. How a twin asks for it is examples/calm,
 * how the network is asked test/flow/test_schedule.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "core/apply.h"
#include "core/core_testbed.h"
#include "core/network.h"
#include "core/record.h"
#include "core/schedule.h"
#include "core/state.h"
#include "core/timers.h"
#include "core/twin_table.h"
#include "twin/event.h"

static const char *const imsi = "001010000000001";
static const schedule_facts hourly = { 3600, 10, SCHEDULE_UNSAID, SCHEDULE_UNSAID };

static uint32_t connected_twin(void)
{
    uint32_t index = make_twin("a@acme.example", imsi);
    connect_device(imsi);
    return index;
}

static const twin *the_twin(uint32_t index)
{
    return twin_at(here.world.core, index);
}

static void pass(int64_t ms)
{
    world_advance(&here.world, ms);
    world_settle(&here.world);
}

static void wish(uint32_t index, schedule_wish of)
{
    record_begin(here.world.core, index, RECORD_DELTA);
    schedule_wished(here.world.core, index, &of);
    record_end(here.world.core);
}

static void learn(uint32_t index, schedule_facts facts, int64_t available_ms)
{
    record_begin(here.world.core, index, RECORD_DELTA);
    (void)schedule_learn(here.world.core, index, &facts, available_ms);
    record_end(here.world.core);
    assert_int_equal(timers_update(here.world.core, index), DRO_OK);
    world_settle(&here.world);
}

static const char *timeline_of(const char *id)
{
    on_twin(API_TIMELINE, id);
    request_u64(&request, API_FIELD_LIMIT, 100);
    request_bytes(&request, API_FIELD_NETWORK, NULL, 0);
    return json_of(ask());
}

static void a_wish_is_kept_and_shown(void **state)
{
    (void)state;
    uint32_t index = connected_twin();
    wish(index, (schedule_wish){ 3600, SCHEDULE_UNSAID, 4 });
    reopen();
    index = twin_find(here.world.core, "a@acme.example", 14);
    on_twin(API_TWIN_GET, "a@acme.example");
    assert_non_null(strstr(json_of(ask()), "\"schedule\":{\"state\":\"waiting\",\"wanted\":{\"latency\":3600,\"packets\":4},\"network\":{}}"));
    assert_non_null(strstr(timeline_of("a@acme.example"), "\"kind\":\"schedule\",\"id\":null,\"frame\":null,\"outcome\":\"waiting\""));
    wish(index, (schedule_wish){ SCHEDULE_UNSAID, SCHEDULE_UNSAID, SCHEDULE_UNSAID });
    assert_null(the_twin(index)->extra == NULL ? NULL : the_twin(index)->extra->schedule);
}

static void a_wish_that_is_there_already_changes_nothing(void **state)
{
    (void)state;
    uint32_t index = connected_twin();
    wish(index, (schedule_wish){ 3600, 10, SCHEDULE_UNSAID });
    int64_t first = the_twin(index)->extra->schedule->wished_ms;
    pass(5000);
    wish(index, (schedule_wish){ 3600, 10, SCHEDULE_UNSAID });
    assert_int_equal(the_twin(index)->extra->schedule->wished_ms, first);
    wish(index, (schedule_wish){ 7200, 10, SCHEDULE_UNSAID });
    assert_true(the_twin(index)->extra->schedule->wished_ms > first);
    assert_int_equal(the_twin(index)->extra->schedule->state, SCHEDULE_WAITING);
}

static void the_next_contact_is_a_periodic_tau_after_the_last(void **state)
{
    (void)state;
    uint32_t index = connected_twin();
    reading(imsi, 1, 1);
    int64_t last = the_twin(index)->last_contact_ms;
    learn(index, hourly, 0);
    assert_int_equal(the_twin(index)->next_contact_ms, last + 3600 * 1000);
    assert_int_equal(the_twin(index)->why, CONTACT_PATTERN);
    assert_int_equal(schedule_listens_until_ms(the_twin(index)), last + 10 * 1000);
    pass(60 * 1000);
    reading(imsi, 2, 2);
    assert_int_equal(the_twin(index)->next_contact_ms, the_twin(index)->last_contact_ms + 3600 * 1000);
    assert_int_equal(the_twin(index)->why, CONTACT_PATTERN);
    int64_t until = the_twin(index)->last_contact_ms + 30 * 1000;
    learn(index, (schedule_facts){ 7200, SCHEDULE_UNSAID, SCHEDULE_UNSAID, SCHEDULE_UNSAID }, until);
    reopen();
    index = twin_find(here.world.core, "a@acme.example", 14);
    assert_int_equal(the_twin(index)->next_contact_ms, the_twin(index)->last_contact_ms + 7200 * 1000);
    assert_int_equal(schedule_listens_until_ms(the_twin(index)), until);
}

/* The timer says when it is heard of at the latest: one that reports more often is expected by what was learned, until the timer changes. */
static void a_device_that_reports_more_often_is_expected_as_it_does(void **state)
{
    (void)state;
    uint32_t index = connected_twin();
    learn(index, hourly, 0);
    for (uint32_t i = 0; i < 6; i++) {
        pass(60 * 1000);
        reading(imsi, i, (uint8_t)i);
    }
    assert_int_equal(the_twin(index)->why, CONTACT_LEARNED);
    assert_in_range(the_twin(index)->next_contact_ms, the_twin(index)->last_contact_ms + 59 * 1000, the_twin(index)->last_contact_ms + 61 * 1000);
    learn(index, (schedule_facts){ 7200, SCHEDULE_UNSAID, SCHEDULE_UNSAID, SCHEDULE_UNSAID }, 0);
    assert_int_equal(the_twin(index)->why, CONTACT_PATTERN);
    assert_int_equal(the_twin(index)->next_contact_ms, the_twin(index)->last_contact_ms + 7200 * 1000);
    pass(60 * 1000);
    reading(imsi, 7, 7);
    assert_int_equal(the_twin(index)->why, CONTACT_PATTERN); /* it is learned anew */
}

static void a_missed_contact_is_expected_a_period_later(void **state)
{
    (void)state;
    uint32_t index = connected_twin();
    reading(imsi, 1, 1);
    int64_t last = the_twin(index)->last_contact_ms;
    learn(index, hourly, 0);
    assert_int_equal(schedule_next_ms(the_twin(index), last, last + 3600 * 1000), last + 7200 * 1000);
    assert_int_equal(schedule_next_ms(the_twin(index), last, last + 3600 * 1000 - 1), last + 3600 * 1000);
    assert_int_equal(schedule_next_ms(the_twin(index), COLUMNS_NEVER, last), COLUMNS_NEVER);
    learn(index, (schedule_facts){ SCHEDULE_UNSAID, SCHEDULE_UNSAID, SCHEDULE_UNSAID, 20480 }, 0);
    assert_int_equal(schedule_next_ms(the_twin(index), last, last + 20479), last + 20480); /* with eDRX it listens each cycle */
}

static void what_the_twin_says_itself_comes_first_where_it_is_sooner(void **state)
{
    (void)state;
    uint32_t index = connected_twin();
    reading(imsi, 1, 1);
    learn(index, hourly, 0);
    int64_t soon = here.world.core->now_ms + 1800 * 1000;
    record_begin(here.world.core, index, RECORD_DELTA);
    contact_expect(here.world.core, index, CONTACT_TWIN, soon);
    record_end(here.world.core);
    pass(60 * 1000);
    reading(imsi, 2, 2);
    assert_int_equal(the_twin(index)->next_contact_ms, soon);
    assert_int_equal(the_twin(index)->why, CONTACT_TWIN);
}

static void the_twin_is_told_once_even_over_a_restart(void **state)
{
    (void)state;
    uint32_t index = connected_twin();
    reading(imsi, 1, 1);
    record_begin(here.world.core, index, RECORD_DELTA);
    (void)schedule_learn(here.world.core, index, &hourly, 0);
    record_end(here.world.core); /* durable, and the turn for it not begun */
    core_settle(here.world.core);
    reopen();
    index = twin_find(here.world.core, "a@acme.example", 14);
    pass(1000);
    const char *first = strstr(timeline_of("a@acme.example"), "\"kind\":\"schedule\",\"id\":null,\"frame\":null,\"outcome\":\"not_handled\"");
    assert_non_null(first);
    assert_null(strstr(strstr(first, "cpu_micros"), "\"outcome\":\"not_handled\"")); /* once */
    assert_true(the_twin(index)->extra->schedule->is_told);
    learn(index, hourly, 0);
    assert_true(the_twin(index)->extra->schedule->is_told); /* nothing new */
}

static void a_downlink_that_found_it_asleep_is_tried_when_it_wakes(void **state)
{
    (void)state;
    uint32_t index = connected_twin();
    reading(imsi, 1, 1);
    learn(index, hourly, 0);
    pass(600 * 1000);
    asker_forget();
    assert_int_equal(status_of(write_period("a@acme.example", 600)), 202);
    world_settle(&here.world);
    answer_downlink(0, 5653); /* no Requested-Retransmission-Time */
    assert_null(downlink_heard());
    assert_int_equal(the_twin(index)->next_contact_ms, the_twin(index)->last_contact_ms + 3600 * 1000);
    pass(2990 * 1000);
    assert_null(downlink_heard());
    pass(20 * 1000);
    assert_non_null(downlink_heard());
}

static void a_field_that_cannot_be_is_refused(void **state)
{
    (void)state;
    uint32_t index = connected_twin();
    uint8_t bytes[64] = { SCHEDULE_STATES };
    learn(index, hourly, 0);
    for (uint32_t length = 1; length < 58; length++) {
        dro_field field = { .tag = FIELD_SCHEDULE, .bytes = bytes + 1, .length = length };
        assert_int_equal(apply_field(here.world.core, index, &field), DRO_MALFORMED);
    }
    dro_field unknown = { .tag = FIELD_SCHEDULE, .bytes = bytes, .length = 58 };
    assert_int_equal(apply_field(here.world.core, index, &unknown), DRO_MALFORMED);
    assert_int_equal(the_twin(index)->extra->schedule->facts.periodic_s, 3600);
    dro_field none = { .tag = FIELD_SCHEDULE };
    assert_int_equal(apply_field(here.world.core, index, &none), DRO_OK);
    assert_null(the_twin(index)->extra->schedule);
}

static void a_full_record_says_all_of_it(void **state)
{
    (void)state;
    uint32_t index = connected_twin();
    wish(index, (schedule_wish){ 3600, 10, 4 });
    learn(index, hourly, here.world.core->now_ms + 1000);
    record_full(here.world.core, index);
    schedule before = *the_twin(index)->extra->schedule;
    reopen();
    index = twin_find(here.world.core, "a@acme.example", 14);
    const schedule *after = the_twin(index)->extra->schedule;
    assert_true(schedule_wish_is_same(&before.wish, &after->wish));
    assert_memory_equal(&before.facts, &after->facts, sizeof before.facts);
    assert_true(before.wished_ms == after->wished_ms && before.facts_ms == after->facts_ms && before.available_ms == after->available_ms);
    assert_int_equal(before.state, after->state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_wish_is_kept_and_shown),
        CLAIM(a_wish_that_is_there_already_changes_nothing),
        CLAIM(the_next_contact_is_a_periodic_tau_after_the_last),
        CLAIM(a_device_that_reports_more_often_is_expected_as_it_does),
        CLAIM(a_missed_contact_is_expected_a_period_later),
        CLAIM(what_the_twin_says_itself_comes_first_where_it_is_sooner),
        CLAIM(the_twin_is_told_once_even_over_a_restart),
        CLAIM(a_downlink_that_found_it_asleep_is_tried_when_it_wakes),
        CLAIM(a_field_that_cannot_be_is_refused),
        CLAIM(a_full_record_says_all_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Downlinks that wait for a device, tickets, and who waits for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "core/core_testbed.h"
#include "core/number.h"
#include "core/record.h"
#include "core/queue.h"
#include "core/state.h"
#include "core/timers.h"
#include "core/stops.h"
#include "core/twin_table.h"

static void a_newer_write_takes_the_place_of_one_that_waits(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    assert_int_equal(status_of(write_period("a@acme.example", 600)), 202);
    assert_int_equal(status_of(write_period("a@acme.example", 700)), 202);
    const twin *twin = twin_at(here.world.core, index);
    assert_int_equal(twin->extra->mail_count, 1);
    assert_int_equal(newest(index)->state, TICKET_PENDING);
    assert_int_equal(newest(index)->next->state, TICKET_SUPERSEDED);
    connect_device("001010000000001");
    assert_int_equal(newest(index)->state, TICKET_SENT);
    answer_downlink(2001, 0);
    assert_int_equal(newest(index)->state, TICKET_DELIVERED);
    static const uint8_t confirm[] = { 2, 700 >> 8, 700 & 255 };
    assert_int_equal(uplink("001010000000001", 9, confirm, 3).result, 2001);
    assert_int_equal(newest(index)->state, TICKET_REPORTED);
    assert_int_equal(status_of(write_period("a@acme.example", 700)), 202); /* it is so already */
    assert_int_equal(newest(index)->state, TICKET_REPORTED);
}

static void another_value_confirmed_fails_the_ticket(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    write_period("a@acme.example", 600);
    answer_downlink(2001, 0);
    static const uint8_t confirm[] = { 2, 0, 99 };
    uplink("001010000000001", 9, confirm, 3);
    assert_int_equal(newest(index)->state, TICKET_FAILED);
    assert_string_equal(newest(index)->reason, "the device confirmed 99");
    assert_int_equal(twin_at(here.world.core, index)->extra->mail_count, 0);
}

static void what_was_sent_waits_again_after_a_restart(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    write_period("a@acme.example", 600);
    assert_int_equal(newest(index)->state, TICKET_SENT);
    uint64_t number = newest(index)->number;
    world_close(&here.world);
    assert_int_equal(world_open(&here.world), DRO_OK);
    index = twin_find(here.world.core, "a@acme.example", 14);
    assert_int_equal(newest(index)->number, number);
    assert_int_equal(newest(index)->state, TICKET_PENDING);
    asker_forget();
    assert_int_equal(reading("001010000000001", 1, 0).result, 2001); /* a contact */
    assert_non_null(downlink_heard());
}

/* The device has it and says so, but its answer to the delivery is lost. */
static uint32_t confirmed_while_it_is_out(void)
{
    static const uint8_t confirm[] = { 2, 600 >> 8, 600 & 255 };
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    write_period("a@acme.example", 600);
    assert_non_null(downlink_heard());
    assert_int_equal(uplink("001010000000001", 9, confirm, 3).result, 2001);
    assert_int_equal(newest(index)->state, TICKET_REPORTED);
    asker_forget();
    return index;
}

static void a_command_that_was_confirmed_is_not_sent_again(void **state)
{
    (void)state;
    uint32_t index = confirmed_while_it_is_out();
    world_gate_lose(&here.world, 0);
    world_gate_open(&here.world, 0);
    assert_int_equal(reading("001010000000001", 1, 0).result, 2001); /* a contact */
    assert_null(downlink_heard());
    assert_int_equal(twin_at(here.world.core, index)->extra->mail_count, 0);
    assert_int_equal(newest(index)->state, TICKET_REPORTED);
}

static void a_command_that_was_confirmed_is_not_sent_again_after_a_restart(void **state)
{
    (void)state;
    confirmed_while_it_is_out();
    world_close(&here.world);
    assert_int_equal(world_open(&here.world), DRO_OK);
    assert_int_equal(reading("001010000000001", 1, 0).result, 2001);
    assert_null(downlink_heard());
}

/* It stays the one that is out until its answer comes: then it is the next one's turn. */
static void after_a_command_that_was_confirmed_early_the_next_one_goes(void **state)
{
    static const uint8_t confirm[] = { 2, 600 >> 8, 600 & 255 };
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    write_period("a@acme.example", 600);
    const heard *first = downlink_heard();
    assert_non_null(first);
    uint64_t id = first->header.id;
    assert_int_equal(uplink("001010000000001", 9, confirm, 3).result, 2001);
    asker_forget();
    write_period("a@acme.example", 700);
    assert_null(downlink_heard()); /* one is out at a time */
    assert_int_equal(twin_at(here.world.core, index)->extra->mail_count, 2);
    downlink_answer taken = { .outcome = DOWNLINK_ANSWERED, .result = 2001 };
    assert_true(world_downlink_answer(&here.world, 0, id, &taken));
    world_settle(&here.world);
    assert_non_null(downlink_heard());
    assert_int_equal(twin_at(here.world.core, index)->extra->mail_count, 1);
}

/* The contact that would have taken it to the device was while its domain was stopped. */
static void what_waited_for_the_end_of_a_stop_goes_then(void **state)
{
    (void)state;
    make_twin("a@acme.example", "001010000000001");
    write_period("a@acme.example", 600);
    assert_int_equal(stop_begin(here.world.core, STOP_DOMAIN, "acme.example", "", false), DRO_OK);
    connect_device("001010000000001");
    assert_null(downlink_heard());
    assert_int_equal(stop_end(here.world.core, STOP_DOMAIN, "acme.example"), DRO_OK);
    world_settle(&here.world);
    assert_non_null(downlink_heard());
}

/* A gate has a connection to the node of all devices here. */
static void node_is_there(uint32_t index)
{
    uint8_t bytes[sizeof(peer_state) + 64];
    const char *host = here.world.core->hosts[twin_at(here.world.core, index)->connection.host].name;
    peer_state told = { .is_open = true, .applications = PEER_T6A, .host_length = (uint16_t)strlen(host) };
    memcpy(bytes, &told, sizeof told);
    memcpy(bytes + sizeof told, host, strlen(host));
    assert_true(world_send(&here.world, 1, MESSAGE_PEER, 0, bytes, sizeof told + strlen(host)));
    world_settle(&here.world);
}

/* Its connection is lost: the same request goes out over another one, if anybody needs it. */
static void a_command_that_was_confirmed_is_not_sent_over_another_connection(void **state)
{
    (void)state;
    downlink_answer lost = { .outcome = DOWNLINK_LOST, .end_to_end = 7 };
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    write_period("a@acme.example", 600);
    const heard *out = downlink_heard();
    assert_non_null(out);
    uint64_t id = out->header.id;
    static const uint8_t confirm[] = { 2, 600 >> 8, 600 & 255 };
    assert_int_equal(uplink("001010000000001", 9, confirm, 3).result, 2001);
    node_is_there(index);
    asker_forget();
    assert_true(world_downlink_answer(&here.world, 0, id, &lost));
    world_settle(&here.world);
    assert_null(downlink_heard());
    assert_int_equal(twin_at(here.world.core, index)->extra->mail_count, 0);
}

static void mail_expires(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", NULL);
    write_period("a@acme.example", 600);
    int64_t week_ms = DOWNLINK_EXPIRY_S * 1000ll;
    assert_true(core_next_due(here.world.core) > 0);
    world_advance(&here.world, week_ms - 1000);
    world_settle(&here.world);
    assert_int_equal(newest(index)->state, TICKET_PENDING);
    world_advance(&here.world, 2000);
    world_settle(&here.world);
    assert_int_equal(newest(index)->state, TICKET_EXPIRED);
    assert_int_equal(twin_at(here.world.core, index)->extra->mail_count, 0);
    assert_int_equal(core_next_due(here.world.core), -1);
}

static void mail_of_a_lost_gate_expires_all_the_same(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    write_period("a@acme.example", 600);
    assert_int_equal(newest(index)->state, TICKET_SENT);
    world_gate_lose(&here.world, 0);
    assert_int_equal(newest(index)->state, TICKET_PENDING);
    world_advance(&here.world, (DOWNLINK_EXPIRY_S + 1) * 1000ll);
    world_settle(&here.world);
    assert_int_equal(newest(index)->state, TICKET_EXPIRED);
}

/* A downlink that is in the log only, in a segment where something could not be read just now. */
static uint32_t mail_in_a_paused_segment(int64_t early_ms)
{
    core *core = here.world.core;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    record_begin(core, index, RECORD_DELTA);
    mailbox_put(core, index, 0, 0, core->now_ms + DOWNLINK_EXPIRY_S * 1000ll, (const uint8_t *)"on", 2);
    record_end(core);
    assert_int_equal(timers_update(core, index), DRO_OK);
    world_settle(&here.world);
    core->queues.budget = 1;
    world_settle(&here.world);
    assert_true(queue_is_away(twin_at(core, index)));
    core->queues.budget = 0;
    world_advance(&here.world, early_ms);
    world_settle(&here.world);
    assert_true(queue_is_away(twin_at(core, index)));
    core->unreadable_segment = log_place_segment(twin_at(core, index)->extra->queue.chunks[0].place);
    core->unreadable_until_ms = core->now_ms + REWRITE_PAUSE_S * 1000;
    return index;
}

static void what_cannot_be_read_is_sent_when_it_can(void **state)
{
    (void)state;
    uint32_t index = mail_in_a_paused_segment(0);
    connect_device("001010000000001");
    world_settle(&here.world);
    assert_null(downlink_heard());
    assert_int_equal(here.world.core->timers[twin_at(here.world.core, index)->timer_place].due_ms, here.world.core->unreadable_until_ms);
    world_advance(&here.world, REWRITE_PAUSE_S * 1000);
    world_settle(&here.world); /* nobody asks for it, the device says nothing */
    assert_non_null(downlink_heard());
}

static void what_cannot_be_read_expires_when_it_can(void **state)
{
    (void)state;
    uint32_t index = mail_in_a_paused_segment((DOWNLINK_EXPIRY_S - 1) * 1000ll);
    world_advance(&here.world, 2000);
    world_settle(&here.world);
    assert_int_equal(queue_mail_count(twin_at(here.world.core, index)), 1);
    assert_int_equal(timers_next(here.world.core), here.world.core->unreadable_until_ms); /* not at once, over and over */
    world_advance(&here.world, REWRITE_PAUSE_S * 1000);
    world_settle(&here.world);
    assert_int_equal(queue_mail_count(twin_at(here.world.core, index)), 0);
}

static void tickets_have_a_bound(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    for (int i = 0; i < 300; i++) { /* delivered, never confirmed */
        assert_int_equal(status_of(write_period("a@acme.example", 100 + i)), 202);
        answer_downlink(2001, 0);
    }
    assert_int_equal(twin_at(here.world.core, index)->extra->ticket_count, TWIN_TICKETS_MAX);
    reopen();
    assert_int_equal(twin_at(here.world.core, 0)->extra->ticket_count, TWIN_TICKETS_MAX);
}

/* What the twin sent of it is gone, or it never sent anything. */
static void a_ticket_without_mail_ends_all_the_same(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", NULL);
    write_period("a@acme.example", 600);
    uint64_t mail = twin_at(here.world.core, index)->extra->mail->number;
    record_begin(here.world.core, index, RECORD_DELTA);
    record_put(here.world.core, FIELD_MAIL_GONE, &mail, 8);
    record_end(here.world.core);
    reopen();
    index = twin_find(here.world.core, "a@acme.example", 14);
    assert_int_equal(newest(index)->state, TICKET_PENDING);
    assert_true(core_next_due(here.world.core) > 0);
    world_advance(&here.world, (DOWNLINK_EXPIRY_S + 1) * 1000ll);
    world_settle(&here.world);
    assert_int_equal(newest(index)->state, TICKET_EXPIRED);
    assert_int_equal(core_next_due(here.world.core), -1);
}

static void who_waits_for_a_device_is_told_when_the_host_stops(void **state)
{
    (void)state;
    make_twin("a@acme.example", NULL);
    uint64_t asked[2];
    for (int late = 0; late < 2; late++) {
        on_twin(API_PROPERTY_PUT, "a@acme.example");
        request_text(&request, API_FIELD_NAME, "period");
        request_value(&request, &(value){ .kind = VALUE_INTEGER, .integer = 600 + late });
        request_u64(&request, API_FIELD_WAIT, TICKET_REPORTED);
        request_u64(&request, API_FIELD_TIMEOUT, 600000);
        const heard *answer = ask();
        asked[late] = here.id;
        if (late == 0)
            assert_null(answer);
        core_drain(here.world.core);
        world_settle(&here.world);
        assert_int_equal(status_of(heard_of(asked[late])), 202);
    }
    assert_int_equal(here.world.core->waiter_count, 0);
}

static void a_full_mailbox_fails_the_command(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", NULL);
    for (int i = 0; i < TWIN_MAIL_MAX + 1; i++)
        assert_int_equal(status_of(blink("a@acme.example")), 202);
    assert_int_equal(newest(index)->state, TICKET_FAILED);
    assert_int_equal(newest(index)->next->state, TICKET_PENDING);
}

static void after_5653_only_a_contact_tries_again(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    write_period("a@acme.example", 600);
    answer_downlink(0, 5653);
    blink("a@acme.example");
    world_advance(&here.world, 3600 * 1000);
    world_settle(&here.world);
    assert_null(downlink_heard());
    assert_int_equal(newest(index)->next->state, TICKET_PENDING);
    reading("001010000000001", 1, 0);
    assert_non_null(downlink_heard());
    uint32_t answered = NONE, sent = NONE; /* after the answer to the uplink */
    for (uint32_t i = 0; i < here.count; i++)
        if (here.heard[i].header.type == MESSAGE_DOWNLINK)
            sent = i;
        else if (here.heard[i].header.id == here.id)
            answered = i;
    assert_true(answered < sent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_newer_write_takes_the_place_of_one_that_waits),
        CLAIM(another_value_confirmed_fails_the_ticket),
        CLAIM(what_was_sent_waits_again_after_a_restart),
        CLAIM(a_command_that_was_confirmed_is_not_sent_again),
        CLAIM(a_command_that_was_confirmed_is_not_sent_again_after_a_restart),
        CLAIM(a_command_that_was_confirmed_is_not_sent_over_another_connection),
        CLAIM(after_a_command_that_was_confirmed_early_the_next_one_goes),
        CLAIM(what_waited_for_the_end_of_a_stop_goes_then),
        CLAIM(mail_expires),
        CLAIM(mail_of_a_lost_gate_expires_all_the_same),
        CLAIM(what_cannot_be_read_is_sent_when_it_can),
        CLAIM(what_cannot_be_read_expires_when_it_can),
        CLAIM(tickets_have_a_bound),
        CLAIM(a_ticket_without_mail_ends_all_the_same),
        CLAIM(who_waits_for_a_device_is_told_when_the_host_stops),
        CLAIM(a_full_mailbox_fails_the_command),
        CLAIM(after_5653_only_a_contact_tries_again),
    };
    return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}

/* Turns of one twin that go to its cell together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/state.h"
#include "asker.h"

#define BUSY_ID "busy@acme.example"
#define BUSY "001010000000001"
enum { SEGMENT = 1 << 20, BURST = 40, FIRST_ID = 5000, FILLERS = 200 };

static uint32_t end_to_end;

static void begin_with(uint32_t trap_percent)
{
    world_options options = { .seed = 23, .segment_bytes = SEGMENT, .trap_percent = trap_percent, .on_message = asker_hears };
    asker_begin(&options);
    end_to_end = 0;
}

static int begin(void **state)
{
    (void)state;
    begin_with(0);
    return 0;
}

static int begin_with_traps(void **state)
{
    (void)state;
    begin_with(30);
    return 0;
}

static void make_device(const char *id, const char *imsi)
{
    on_twin(API_TWIN_PUT, id);
    request_text(&request, API_FIELD_MODEL, "acme/thermo");
    request_text(&request, API_FIELD_IMSI, imsi);
    assert_int_equal(status_of(ask()), 201);
    assert_true(world_connect(&here.world, 0, ++here.id, imsi, WORLD_ESTABLISH, false));
    world_settle(&here.world);
}

static void send_reading(uint64_t id, uint32_t number, uint8_t sequence)
{
    uint8_t frame[8] = { 1, sequence, 8, 0, 100, 0x0d, 0xac };
    for (int i = 0; i < 7; i++)
        frame[7] ^= frame[i];
    world_frame uplink = { .end_to_end = number, .data = frame, .length = sizeof frame };
    assert_true(world_uplink(&here.world, 0, id, BUSY, &uplink));
}

static void send_burst(uint64_t first_id)
{
    for (uint32_t i = 0; i < BURST; i++, end_to_end++)
        send_reading(first_id + i, end_to_end, (uint8_t)end_to_end);
}

static void all_are_kept(uint64_t first_id, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        network_answer answer;
        const heard *heard = heard_of(first_id + i);
        assert_non_null(heard);
        memcpy(&answer, heard->body, sizeof answer);
        assert_int_equal(answer.result, 2001);
    }
}

static long property(const char *name)
{
    on_twin(API_PROPERTY_GET, BUSY_ID);
    request_text(&request, API_FIELD_NAME, name);
    const char *value = strstr(json_of(ask()), "\"value\":");
    assert_non_null(value);
    return strtol(value + strlen("\"value\":"), NULL, 10);
}

/* The first one's result is in the ring, the others wait for it. */
static void first_of_a_burst_is_done(void)
{
    make_device(BUSY_ID, BUSY);
    send_burst(FIRST_ID);
    core_round(here.world.core);
    assert_int_equal(here.world.core->turn_count, 1);
    assert_int_equal(cell_round(here.world.room->cell, 64), 1);
}

static void uplinks_that_wait_go_together(void **state)
{
    (void)state;
    first_of_a_burst_is_done();
    core_round(here.world.core);
    assert_int_equal(here.world.core->turn_count, BURST - 1);
    assert_int_equal(cell_round(here.world.room->cell, 64), BURST - 1);
    core_round(here.world.core);
    assert_int_equal(here.world.core->turn_count, 0);
    world_settle(&here.world);
    all_are_kept(FIRST_ID, BURST);
    assert_int_equal(property("readings"), BURST);
    assert_int_equal(property("lost"), 0); /* so they were in order */
}

static void they_build_on_each_other_over_a_restart(void **state)
{
    (void)state;
    first_of_a_burst_is_done();
    world_settle(&here.world);
    core_settle(here.world.core);
    world_close(&here.world);
    assert_int_equal(world_open(&here.world), DRO_OK);
    asker_forget();
    world_settle(&here.world);
    send_burst(FIRST_ID);
    world_settle(&here.world);
    all_are_kept(FIRST_ID, BURST);
    assert_int_equal(property("readings"), 2 * BURST);
    assert_int_equal(property("lost"), 0);
}

static void a_repetition_waits_for_the_first_answer(void **state)
{
    (void)state;
    make_device(BUSY_ID, BUSY);
    for (uint32_t i = 0; i < 6; i++) /* 0 1 2 0 1 2 */
        send_reading(FIRST_ID + i, i % 3, (uint8_t)(i % 3));
    world_settle(&here.world);
    all_are_kept(FIRST_ID, 6);
    assert_int_equal(property("readings"), 3);
    assert_int_equal(property("duplicates"), 0); /* no turn saw one twice */
    assert_int_equal(here.world.core->counters.duplicates, 3);
}

static void what_builds_on_a_turn_that_failed_runs_again(void **state)
{
    (void)state;
    make_device(BUSY_ID, BUSY);
    for (uint32_t i = 0; i < 10; i++) {
        send_burst(FIRST_ID + i * BURST);
        world_settle(&here.world);
    }
    all_are_kept(FIRST_ID, 10 * BURST);
    uint64_t dead = here.world.core->counters.dead_letters;
    assert_in_range(dead, 1, 10 * BURST - 1);
    assert_int_equal(property("readings"), 10 * BURST - dead);
    assert_int_equal(property("duplicates") + property("late"), 0);
}

static void a_lost_cell_costs_none_of_them(void **state)
{
    (void)state;
    first_of_a_burst_is_done();
    core_round(here.world.core);
    assert_int_equal(cell_round(here.world.room->cell, 7), 7);
    world_cell_lose(&here.world);
    world_settle(&here.world);
    all_are_kept(FIRST_ID, BURST);
    assert_int_equal(property("readings"), BURST);
    assert_int_equal(property("lost") + property("late") + property("duplicates"), 0);
}

static uint32_t turns_in_state(enum turn_state state)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < CORE_TURNS_MAX; i++)
        count += here.world.core->turns[i].state == state;
    return count;
}

/* Frames of others nearly fill the ring, so not all that could go along find room. */
static void a_full_ring_keeps_their_order(void **state)
{
    (void)state;
    enum { FILLER = 1900, MESSAGE = FILLER + 100 };
    static const uint8_t large[FILLER];
    core *core = here.world.core;
    const ring_writer *turns = &core->cells[0].turns;
    char id[64], imsi[32];
    uint32_t fillers = 0;
    for (uint32_t i = 0; i < FILLERS; i++) {
        snprintf(id, sizeof id, "filler%u@acme.example", i);
        snprintf(imsi, sizeof imsi, "00101000001%04u", i);
        make_device(id, imsi);
    }
    make_device(BUSY_ID, BUSY);
    uint32_t start = turns->tail; /* the ring is empty */
    send_burst(FIRST_ID);
    core_round(core);
    for (; fillers < FILLERS && turns->capacity - (turns->tail - start) > MESSAGE; fillers++) {
        snprintf(imsi, sizeof imsi, "00101000001%04u", fillers);
        world_frame uplink = { .end_to_end = 90000 + fillers, .data = large, .length = sizeof large };
        assert_true(world_uplink(&here.world, 0, 90000 + fillers, imsi, &uplink));
        core_round(core);
    }
    assert_true(fillers < FILLERS && core->parts[0].waiting.first == NONE);
    assert_int_equal(cell_round(here.world.room->cell, 1), 1);
    core_round(core);
    assert_true(turns_in_state(TURN_HELD) > 0);
    world_settle(&here.world);
    all_are_kept(FIRST_ID, BURST);
    all_are_kept(90000, fillers);
    assert_int_equal(property("readings"), BURST);
    assert_int_equal(property("lost") + property("late") + property("duplicates"), 0);
}

int main(void)
{
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, begin, asker_end)
    const struct CMUnitTest tests[] = {
        CLAIM(uplinks_that_wait_go_together),
        CLAIM(they_build_on_each_other_over_a_restart),
        CLAIM(a_repetition_waits_for_the_first_answer),
        cmocka_unit_test_setup_teardown(what_builds_on_a_turn_that_failed_runs_again, begin_with_traps, asker_end),
        CLAIM(a_lost_cell_costs_none_of_them),
        CLAIM(a_full_ring_keeps_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A cell that was broken into: whatever it writes into its rings, the core gives it up, goes on, and keeps nothing of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/state.h"
#include "core/stops.h"
#include "core/twin_table.h"
#include "twin/effect.h"
#include "asker.h"

enum { TWINS = 3, FIRST_ID = 7000, HEAD_AT = 64 /* of a ring's memory: the reader's index */ };

static uint32_t end_to_end;

static void imsi_of(uint32_t twin, char imsi[16])
{
    snprintf(imsi, 16, "0010100000%05u", twin);
}

static int begin(void **state)
{
    world_options options = { .seed = 31, .segment_bytes = 1 << 20, .on_message = asker_hears };
    char id[64], imsi[16];
    (void)state;
    world_init(&here.world, &options);
    assert_int_equal(world_open(&here.world), DRO_OK);
    world_push_image(&here.world, THERMO);
    here.id = 100;
    asker_forget();
    end_to_end = 0;
    for (uint32_t i = 0; i < TWINS; i++) {
        snprintf(id, sizeof id, "t%u@acme.example", i);
        imsi_of(i, imsi);
        on_twin(API_TWIN_PUT, id);
        request_text(&request, API_FIELD_MODEL, "acme/thermo");
        request_text(&request, API_FIELD_IMSI, imsi);
        assert_int_equal(status_of(ask()), 201);
        assert_true(world_connect(&here.world, 0, ++here.id, imsi, WORLD_ESTABLISH, false));
        world_settle(&here.world);
    }
    return 0;
}

static void send_reading(uint32_t twin)
{
    uint8_t frame[8] = { 1, (uint8_t)end_to_end, 8, 0, 100, 0x0d, 0xac };
    char imsi[16];
    imsi_of(twin, imsi);
    for (int i = 0; i < 7; i++)
        frame[7] ^= frame[i];
    world_frame uplink = { .end_to_end = ++end_to_end, .data = frame, .length = sizeof frame };
    assert_true(world_uplink(&here.world, 0, FIRST_ID + twin, imsi, &uplink));
}

/* A turn of each twin is in the cell's ring. */
static void turns_are_sent(void)
{
    for (uint32_t i = 0; i < TWINS; i++)
        send_reading(i);
    core_round(here.world.core);
    assert_int_equal(here.world.core->cells[0].in_flight, TWINS);
}

static void answers(uint32_t twin, bool are_there)
{
    assert_int_equal(heard_of(FIRST_ID + twin) != NULL, are_there);
}

/* All the messages in the ring, as the cell sees them; it takes none. */
static void look_at_turns(ring_header headers[TWINS], turn_request requests[TWINS])
{
    uint32_t position = 0;
    for (int i = 0; i < TWINS; i++) {
        const uint8_t *body = ring_peek(&here.world.room->turns, &position, &headers[i]);
        assert_non_null(body);
        memcpy(&requests[i], body, sizeof requests[i]);
    }
}

static void answer_as(uint64_t id, uint64_t twin)
{
    turn_result result = { .twin = twin, .status = TURN_TRAP };
    assert_true(ring_send(&here.world.room->results, MESSAGE_TURN_RESULT, 0, id, &result, sizeof result));
    ring_publish(&here.world.room->results);
}

/* The cell was given up; a new one does what is left, and everybody is answered. */
static void is_given_up_and_all_goes_on(void)
{
    assert_false(here.world.core->cells[0].is_open);
    world_settle(&here.world);
    for (uint32_t i = 0; i < TWINS; i++)
        answers(i, true);
    assert_int_equal(here.world.core->turn_count, 0);
}

static void a_cell_that_leaves_one_turn_out_is_given_up(void **state)
{
    ring_header headers[TWINS];
    turn_request requests[TWINS];
    (void)state;
    turns_are_sent();
    look_at_turns(headers, requests);
    answer_as(headers[1].id, requests[1].twin);
    core_round(here.world.core);
    is_given_up_and_all_goes_on();
}

static void a_result_with_the_name_of_another_twin_is_none(void **state)
{
    ring_header headers[TWINS];
    turn_request requests[TWINS];
    (void)state;
    turns_are_sent();
    look_at_turns(headers, requests);
    answer_as(headers[0].id, requests[1].twin);
    core_round(here.world.core);
    is_given_up_and_all_goes_on();
}

/* Found by fuzzing: such a status was looked up in a table that has no place for it. */
static void a_status_that_no_cell_has_is_a_bad_result(void **state)
{
    static const uint32_t statuses[TWINS] = { TURN_STOPPED, 35, UINT32_MAX };
    ring_header headers[TWINS];
    turn_request requests[TWINS];
    (void)state;
    turns_are_sent();
    look_at_turns(headers, requests);
    for (int i = 0; i < TWINS; i++) {
        turn_result result = { .twin = requests[i].twin, .status = statuses[i] };
        assert_true(ring_send(&here.world.room->results, MESSAGE_TURN_RESULT, 0, headers[i].id, &result, sizeof result));
    }
    ring_publish(&here.world.room->results);
    core_round(here.world.core);
    world_settle(&here.world);
    for (uint32_t i = 0; i < TWINS; i++)
        answers(i, true);
    assert_int_equal(here.world.core->counters.set_aside, 0); /* nobody was penalised by a word of the cell's */
    assert_int_equal(here.world.core->turn_count, 0);
}

/* Lengths that reach past the message into what lies behind it in the ring. */
static void a_result_longer_than_its_message_is_none(void **state)
{
    ring_header headers[TWINS];
    turn_request requests[TWINS];
    (void)state;
    turns_are_sent();
    look_at_turns(headers, requests);
    turn_result result = { .twin = requests[0].twin, .status = TURN_OK, .context_length = 8, .effects_length = 8 };
    uint8_t message[sizeof result + 8] = { 0 };
    memcpy(message, &result, sizeof result);
    assert_true(ring_send(&here.world.room->results, MESSAGE_TURN_RESULT, 0, headers[0].id, message, sizeof message));
    ring_publish(&here.world.room->results);
    core_round(here.world.core);
    is_given_up_and_all_goes_on();
}

static void a_second_answer_is_none(void **state)
{
    ring_header headers[TWINS];
    turn_request requests[TWINS];
    (void)state;
    turns_are_sent();
    look_at_turns(headers, requests);
    answer_as(headers[0].id, requests[0].twin);
    answer_as(headers[0].id, requests[0].twin);
    core_round(here.world.core);
    is_given_up_and_all_goes_on();
}

static void a_cell_without_a_turn_that_leaves_no_room_is_given_up(void **state)
{
    uint32_t head = 0x7ffffff8;
    (void)state;
    memcpy((uint8_t *)here.world.room->turns_memory + HEAD_AT, &head, sizeof head);
    here.world.core->cells[0].turns.head_seen = here.world.core->cells[0].turns.tail - WORLD_RING; /* as after a lap: it has to look */
    send_reading(0);
    core_round(here.world.core);
    assert_int_equal(here.world.core->cells[0].in_flight, 0);
    assert_true(here.world.core->cells[0].is_short);
    assert_in_range(core_next_due(here.world.core), 0, CELL_STALL_MS * 1000000ll);
    world_advance(&here.world, CELL_STALL_MS + 1);
    core_round(here.world.core);
    world_settle(&here.world);
    answers(0, true);
}

static void turn_ends_its_cells(uint32_t twin)
{
    send_reading(twin);
    for (int i = 0; i < TURN_TRIES_MAX; i++) {
        core_round(here.world.core);
        assert_int_equal(here.world.core->cells[0].in_flight, 1);
        answer_as(12345, 1);
        core_round(here.world.core);
        assert_false(here.world.core->cells[0].is_open);
        world_cell_lose(&here.world);
    }
    core_round(here.world.core);
    assert_int_equal(here.world.core->turn_count, 0);
}

/* It breaks its ring each time, and says that nothing was running. */
static void what_ends_its_cell_again_and_again_is_buried_though_the_cell_blames_nobody(void **state)
{
    (void)state;
    turn_ends_its_cells(0);
    assert_int_equal(here.world.core->counters.dead_letters, 1);
    world_settle(&here.world);
    answers(0, true);
}

/* Of one twin it may be its context; of several it is the image. */
static void an_image_whose_twins_end_their_cells_is_quarantined(void **state)
{
    core *core = here.world.core;
    (void)state;
    core->options.conduct = (conduct_options){ .window_ms = 3600000, .quarantine_kills = 2 };
    for (uint32_t twin = 0; twin < 2; twin++) {
        assert_null(stop_of_image(core, twin_at(core, 0)->image));
        turn_ends_its_cells(twin);
        world_settle(&here.world);
        asker_forget();
    }
    const stop *stop = stop_of_image(core, twin_at(core, 0)->image);
    assert_non_null(stop);
    assert_string_equal(stop->reason, "turns of 2 twins killed their cells");
    send_reading(2);
    world_settle(&here.world);
    answers(2, true);
    assert_int_equal(core->counters.dead_letters, 3);
}

/* Somebody kills cells from outside: that is no turn's fault, unless it goes on and on. */
static void a_turn_outlives_a_few_deaths_of_its_cell(void **state)
{
    (void)state;
    for (int deaths = TURN_DEATHS_MAX - 1; deaths <= TURN_DEATHS_MAX + 1; deaths += 2) {
        uint64_t dead = here.world.core->counters.dead_letters;
        send_reading(0);
        for (int i = 0; i < deaths; i++) {
            core_round(here.world.core);
            world_cell_lose(&here.world);
        }
        world_settle(&here.world);
        assert_int_equal(here.world.core->counters.dead_letters - dead, deaths > TURN_DEATHS_MAX);
        answers(0, true);
        asker_forget();
    }
}

/* As a ring full of turns that all run into their deadline: results come, but the end of them is far. */
static void a_cell_that_works_on_for_what_was_stopped_is_replaced_and_nobody_blamed(void **state)
{
    ring_header headers[TWINS];
    turn_request requests[TWINS];
    core *core = here.world.core;
    (void)state;
    turns_are_sent();
    look_at_turns(headers, requests);
    assert_int_equal(stop_begin(core, STOP_CODE, "", "", false), DRO_OK);
    assert_in_range(core_next_due(core), 0, STOP_CELL_MS * 1000000ll);
    world_advance(&here.world, STOP_CELL_MS - 1);
    answer_as(headers[0].id, requests[0].twin);
    core_round(core);
    assert_int_equal(core->cells[0].in_flight, TWINS - 1);
    assert_false(core->cells[0].is_cut_short);
    world_advance(&here.world, 1);
    core_round(core);
    assert_true(core->cells[0].is_cut_short);
    assert_false(core->cells[0].is_given_up);
    world_settle(&here.world);
    for (uint32_t i = 0; i < TWINS; i++)
        answers(i, true);
    assert_int_equal(core->turn_count, 0);
    assert_int_equal(core->counters.set_aside, TWINS);
    assert_int_equal(core->counters.traps[TURN_HOST], 0);
    assert_int_equal(stop_end(core, STOP_CODE, ""), DRO_OK);
}

/* Those of other images and domains go through it again and again: none has died of anything. */
static void turns_that_were_not_stopped_outlive_each_cell_that_was_cut_short(void **state)
{
    core *core = here.world.core;
    (void)state;
    turns_are_sent();
    for (int i = 0; i <= TURN_DEATHS_MAX * TURN_TRIES_MAX; i++) {
        core->cells[0].is_cut_short = true;
        world_cell_lose(&here.world);
        core_round(core);
        assert_int_equal(core->cells[0].in_flight, TWINS);
    }
    world_settle(&here.world);
    for (uint32_t i = 0; i < TWINS; i++)
        answers(i, true);
    assert_int_equal(core->counters.dead_letters, 0);
}

/* ---- a cell of twins on probation ---- */

static struct place { void *turns_memory, *results_memory; ring_reader turns; ring_writer results; } place;

static void *new_ring(void)
{
    void *memory = aligned_alloc(64, (ring_bytes(WORLD_RING) + 63) & ~(size_t)63);
    assert_non_null(memory);
    ring_format(memory, WORLD_RING);
    return memory;
}

/* Another cell in that place. */
static void place_attach(void)
{
    ring_reader results;
    ring_writer turns;
    ring_format(place.turns_memory, WORLD_RING);
    ring_format(place.results_memory, WORLD_RING);
    ring_reader_open(&place.turns, place.turns_memory, WORLD_RING);
    ring_writer_open(&place.results, place.results_memory, WORLD_RING, -1);
    ring_reader_open(&results, place.results_memory, WORLD_RING);
    ring_writer_open(&turns, place.turns_memory, WORLD_RING, -1);
    core_cell_attach(here.world.core, 1, results, turns, here.world.image_count, NULL);
}

static int begin_with_probation(void **state)
{
    begin(state);
    place.turns_memory = new_ring();
    place.results_memory = new_ring();
    here.world.core->options.has_probation = true;
    here.world.core->options.conduct = (conduct_options){ .window_ms = 3600000, .quarantine_kills = 1 };
    place_attach();
    return 0;
}

static int end_with_probation(void **state)
{
    int end = asker_end(state);
    free(place.turns_memory);
    free(place.results_memory);
    return end;
}

static void place_answers(const ring_header *header, const turn_request *turn, uint32_t status)
{
    turn_result result = { .twin = turn->twin, .status = status };
    assert_true(ring_send(&place.results, MESSAGE_TURN_RESULT, 0, header->id, &result, sizeof result));
    ring_publish(&place.results);
}

/* The turns in its ring, each with an answer of that status. */
static int place_takes_all(uint32_t status)
{
    ring_header header;
    turn_request turn;
    dro_err err = DRO_OK;
    const uint8_t *body;
    int count = 0;
    while ((body = ring_next(&place.turns, &header, &err)) != NULL) {
        memcpy(&turn, body, sizeof turn);
        place_answers(&header, &turn, status);
        ring_done(&place.turns, &header);
        count++;
    }
    ring_release(&place.turns);
    return count;
}

/* The first try of each ran into its deadline. */
static void turns_are_tried_on_probation(void)
{
    ring_header headers[TWINS];
    turn_request requests[TWINS];
    turns_are_sent();
    look_at_turns(headers, requests);
    for (int i = 0; i < TWINS; i++) {
        turn_result result = { .twin = requests[i].twin, .status = TURN_DEADLINE };
        assert_true(ring_send(&here.world.room->results, MESSAGE_TURN_RESULT, 0, headers[i].id, &result, sizeof result));
    }
    ring_publish(&here.world.room->results);
    core_round(here.world.core);
    core_round(here.world.core);
    assert_int_equal(here.world.core->cells[0].in_flight, 0);
    assert_int_equal(here.world.core->cells[1].in_flight, TWINS);
}

static bool nobody_was_blamed(const core *core)
{
    return stop_of_image(core, twin_at(core, 0)->image) == NULL && core->counters.traps[TURN_HOST] == 0 && core->counters.dead_letters == 0;
}

/* All CPUs are busy with what comes before it: it is replaced again and again, and its turns did nothing. */
static void turns_whose_cell_has_no_cpu_time_for_long_have_killed_nothing(void **state)
{
    core *core = here.world.core;
    (void)state;
    turns_are_tried_on_probation();
    for (int i = 0; i <= TURN_DEATHS_MAX * TURN_TRIES_MAX; i++) {
        world_advance(&here.world, PROBATION_STALL_MS - 1); /* it may be silent for so long */
        core_round(core);
        assert_false(core->cells[1].is_cut_short);
        assert_in_range(core_next_due(core), 0, PROBATION_STALL_MS * 1000000ll);
        world_advance(&here.world, 1);
        core_round(core);
        assert_true(core->cells[1].is_cut_short); /* and no longer: it may really hang */
        assert_false(core->cells[1].is_given_up);
        core_cell_lost(core, 1);
        place_attach();
        core_round(core);
        assert_int_equal(core->cells[1].in_flight, TWINS);
        assert_true(nobody_was_blamed(core));
    }
    assert_int_equal(place_takes_all(TURN_OK), TWINS);
    world_settle(&here.world);
    for (uint32_t i = 0; i < TWINS; i++)
        answers(i, true);
    assert_int_equal(core->turn_count, 0);
    assert_true(nobody_was_blamed(core));
}

/* No want of CPU time does that. */
static void a_cell_on_probation_that_breaks_its_ring_still_has_somebody_to_blame(void **state)
{
    core *core = here.world.core;
    (void)state;
    turns_are_tried_on_probation();
    turn_result nobody = { .twin = 1, .status = TURN_TRAP };
    assert_true(ring_send(&place.results, MESSAGE_TURN_RESULT, 0, 12345, &nobody, sizeof nobody));
    ring_publish(&place.results);
    core_round(core);
    assert_false(core->cells[1].is_open);
    assert_true(core->cells[1].is_given_up);
    place_attach();
    core_round(core);
    assert_int_equal(core->counters.traps[TURN_HOST], 1);
    assert_non_null(stop_of_image(core, twin_at(core, 0)->image));
    world_settle(&here.world);
    for (uint32_t i = 0; i < TWINS; i++)
        answers(i, true);
}

/* The stop has ended, or its turns have: the cell stays. */
static void a_cell_that_is_busy_with_others_is_not_replaced_for_a_stop(void **state)
{
    core *core = here.world.core;
    (void)state;
    turns_are_sent();
    assert_int_equal(stop_begin(core, STOP_CODE, "", "", false), DRO_OK);
    assert_true(core->cells[0].stop_due_ns != 0);
    assert_int_equal(stop_end(core, STOP_CODE, ""), DRO_OK);
    world_advance(&here.world, STOP_CELL_MS);
    core_round(core);
    assert_int_equal(core->cells[0].stop_due_ns, 0);
    assert_false(core->cells[0].is_cut_short);
    world_settle(&here.world);
    assert_int_equal(core->counters.dead_letters, 0);
}

/* The cell goes on writing behind what it has published. */
static void effects_that_change_after_the_check_are_kept_as_checked(void **state)
{
    static const char before[] = "told", after[] = "\xff\xfe!!";
    uint8_t bytes[64];
    core *core = here.world.core;
    (void)state;
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    effect effect = { .kind = EFFECT_NOTIFY, .notify = { 0, { .kind = VALUE_STRING, .string = before, .length = 4 } } };
    effect_write(&out, &effect);
    size_t length = dro_builder_length(&out);
    assert_true(effects_take(core, bytes, (uint32_t)length));
    memcpy(bytes + length - 4, after, 4);
    assert_int_equal(core->effect_count, 1);
    assert_memory_equal(core->effects[0].notify.value.string, before, 4);
    effects_wipe(core);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(core->effect_bytes[i], 0);
}

int main(void)
{
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, begin, asker_end)
#define ON_PROBATION(name) cmocka_unit_test_setup_teardown(name, begin_with_probation, end_with_probation)
    const struct CMUnitTest tests[] = {
        CLAIM(a_cell_that_leaves_one_turn_out_is_given_up),
        CLAIM(a_result_with_the_name_of_another_twin_is_none),
        CLAIM(a_result_longer_than_its_message_is_none),
        CLAIM(a_second_answer_is_none),
        CLAIM(a_status_that_no_cell_has_is_a_bad_result),
        CLAIM(a_cell_without_a_turn_that_leaves_no_room_is_given_up),
        CLAIM(what_ends_its_cell_again_and_again_is_buried_though_the_cell_blames_nobody),
        CLAIM(an_image_whose_twins_end_their_cells_is_quarantined),
        CLAIM(a_cell_that_works_on_for_what_was_stopped_is_replaced_and_nobody_blamed),
        CLAIM(turns_that_were_not_stopped_outlive_each_cell_that_was_cut_short),
        CLAIM(a_cell_that_is_busy_with_others_is_not_replaced_for_a_stop),
        CLAIM(effects_that_change_after_the_check_are_kept_as_checked),
        CLAIM(a_turn_outlives_a_few_deaths_of_its_cell),
        ON_PROBATION(turns_whose_cell_has_no_cpu_time_for_long_have_killed_nothing),
        ON_PROBATION(a_cell_on_probation_that_breaks_its_ring_still_has_somebody_to_blame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

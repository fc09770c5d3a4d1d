/* A cell and what it must survive. With exact memory and, with the argument `plain`,
 * in whole pages; with `computing` of an image that says that it computes. */
#include "cell/cell.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/wipe.h"
#include "cell/cell_private.h"
#include "cell/test_images/probe.h"
#include "cell/test_support.h"
#include "cell/wasm.h"
#include "twin/event.h"

enum { PROBE, GROWING, TABLE, MOVED, ENDLESS, IMAGES };

static admit_options admitting;
static bool computes;
static test_bytes artifacts[IMAGES];

static int setup_with(void **state, bool manual_ticks)
{
    static const char *const names[] = { "probe", "grow", "table", "moved", "endless" };
    test_twin *twin = calloc(1, sizeof *twin);
    for (uint32_t i = 0; i < IMAGES && artifacts[i].bytes == NULL; i++)
        artifacts[i] = test_artifact(i == PROBE && computes ? "computing" : names[i], &admitting);
    twin->cell = test_cell(artifacts, IMAGES, manual_ticks);
    *state = twin;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, false);
}

static int setup_manual(void **state)
{
    return setup_with(state, true);
}

static int teardown(void **state)
{
    test_twin *twin = *state;
    cell_free(twin->cell);
    free(twin);
    return 0;
}

static void memory_is_kept_from_turn_to_turn(void **state)
{
    test_twin *twin = *state;
    for (int64_t i = 1; i <= 5; i++) {
        assert_int_equal(test_turn(twin, COUNT, NULL, 0), TURN_OK);
        assert_int_equal(twin->integer, i);
    }
    assert_in_range(twin->context_length, 9, 32);
}

static void twins_of_one_slot_do_not_meet(void **state)
{
    test_twin *one = *state, *other = calloc(1, sizeof *other);
    other->cell = one->cell;
    uint8_t put[8] = { 5, 0, 0, 0, 77, 0, 0, 0 };
    assert_int_equal(test_turn(one, STORE, put, sizeof put), TURN_OK);
    assert_int_equal(test_turn(other, LOAD, put, 1), TURN_OK);
    assert_int_equal(other->integer, 0);
    assert_int_equal(other->context_length, 0);
    assert_int_equal(test_turn(one, LOAD, put, 1), TURN_OK);
    assert_int_equal(one->integer, 77);
    free(other);
}

static void a_turn_that_changes_nothing_has_an_empty_context(void **state)
{
    test_twin *twin = *state;
    uint8_t put[8] = { 0, 0, 0, 0, 7, 0, 0, 0 }; /* what the baseline holds */
    assert_int_equal(test_turn(twin, STORE, put, sizeof put), TURN_OK);
    assert_int_equal(twin->context_length, 0);
}

static void the_outcome_comes_back(void **state)
{
    test_twin *twin = *state;
    assert_int_equal(test_turn(twin, SWALLOW, NULL, 0), TURN_OK);
    assert_int_equal(twin->result.outcome, EVENT_SWALLOWED);
    assert_int_equal(test_turn(twin, 9999, NULL, 0), TURN_OK);
    assert_int_equal(twin->result.outcome, EVENT_NOT_HANDLED);
    assert_true(twin->result.cpu_nanos > 0);
}

static void every_failure_costs_its_own_event_only(void **state)
{
    static const struct { uint32_t event; enum turn_status status; } failures[] = {
        { TRAP, TURN_TRAP },           { LOOP, TURN_DEADLINE },         { OUT_OF_BOUNDS, TURN_OUT_OF_BOUNDS },
        { OVERFLOW, TURN_STACK_OVERFLOW }, { BAD_OUTCOME, TURN_BAD_RESULT }, { EFFECTS_FLOOD, TURN_EFFECTS },
        { BIG_EFFECTS, TURN_EFFECTS }, { BAD_PROPERTY, TURN_EFFECTS },  { BAD_TYPE, TURN_EFFECTS },
        { LONG_TRIGGER, TURN_EFFECTS }, { BAD_PORT, TURN_EFFECTS },
        { BAD_EVENT, TURN_EFFECTS },   { NOT_FINITE, TURN_EFFECTS },    { BAD_QUALITY, TURN_EFFECTS },
        { LONG_TEXT, TURN_EFFECTS },   { BAD_UTF8, TURN_EFFECTS },      { BAD_POINTER, TURN_OUT_OF_BOUNDS },
        { DIG, TURN_OUT_OF_BOUNDS },   { DIVIDE, TURN_TRAP },         { BAD_CALL, TURN_TRAP },
    };
    test_twin *twin = *state;
    int64_t count = 0;
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
            enum turn_status status = (failures[i].status == TURN_DEADLINE ? test_turn_without_end : test_turn)(twin, failures[i].event, NULL, 0);
            if (status != failures[i].status)
                fail_msg("event %u: status %d", failures[i].event, status);
            assert_int_equal(twin->result.context_length, 0);
            assert_int_equal(twin->result.effects_length, 0);
            assert_int_equal(test_turn(twin, COUNT, NULL, 0), TURN_OK);
            assert_int_equal(twin->integer, ++count);
        }
}

static void a_store_behind_the_exact_memory_traps(void **state)
{
    test_twin *twin = *state;
    artifact artifact;
    assert_int_equal(artifact_read(&artifact, artifacts[PROBE].bytes, artifacts[PROBE].length), DRO_OK);
    assert_int_equal(artifact.info.is_exact, DROMIO_EXACT_MEMORY && !admitting.no_exact_memory && !computes);
    assert_int_equal(artifact.info.computes, computes);
    uint32_t length = artifact.info.memory_bytes;
    assert_int_equal(length % CHUNK, 0);
    assert_true(artifact.info.is_exact ? length < WASM_PAGE : length == WASM_PAGE);
    uint8_t event[12] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    memcpy(event + 8, &length, 4);
    assert_int_equal(test_turn(twin, SCAN, event, sizeof event), TURN_OK);
    length += 4;
    memcpy(event + 8, &length, 4);
    assert_int_equal(test_turn(twin, SCAN, event, sizeof event), TURN_OUT_OF_BOUNDS);
}

static void effects_come_out_as_they_were_asked_for(void **state)
{
    test_twin *twin = *state;
    effect effect;
    assert_int_equal(test_turn(twin, ALL_EFFECTS, NULL, 0), TURN_OK);
    dro_cursor in = dro_cursor_over(twin->effects, twin->effects_length);
    assert_true(effect_next(&in, &effect) && effect.kind == EFFECT_PROPERTY && effect.property.property == 0);
    assert_true(effect.property.value.number == 21.5 && effect.property.quality == QUALITY_CORRECTED);
    assert_true(effect_next(&in, &effect) && effect.property.value.integer == -5);
    assert_true(effect_next(&in, &effect) && effect.property.value.boolean);
    assert_true(effect_next(&in, &effect) && effect.property.value.length == 6);
    assert_memory_equal(effect.property.value.string, "gr\xc3\xbc\xc3\x9f", 6);
    assert_true(effect_next(&in, &effect) && effect.kind == EFFECT_DOWNLINK && effect.downlink.length == 3);
    assert_memory_equal(effect.downlink.bytes, "\x81\x02\x58", 3);
    assert_true(effect.downlink.merge_key == 9 && effect.downlink.expiry_s == 60);
    assert_true(effect_next(&in, &effect) && effect.kind == EFFECT_TIMER && effect.timer.timer == 4);
    assert_true(effect.timer.delay_ms == 5000);
    assert_true(effect_next(&in, &effect) && effect.kind == EFFECT_NOTIFY && effect.notify.value.kind == VALUE_NONE);
    assert_true(effect_next(&in, &effect) && effect.notify.event == 1 && effect.notify.value.number == 2.5);
    assert_true(effect_next(&in, &effect) && effect.notify.event == 2 && effect.notify.value.length == 3);
    assert_true(effect_next(&in, &effect) && effect.kind == EFFECT_TICKET && effect.ticket.ticket == 77);
    assert_true(effect.ticket.state == 4 && effect.ticket.length == 2);
    assert_true(effect_next(&in, &effect) && effect.kind == EFFECT_CONTACT && effect.contact.at == 123456789);
    assert_true(effect_next(&in, &effect) && effect.kind == EFFECT_TRIGGER && effect.trigger.trigger == 5 && effect.trigger.port == 4711);
    assert_true(effect.trigger.length == 4 && effect.trigger.validity_s == 60);
    assert_true(effect_next(&in, &effect) && effect.kind == EFFECT_SCHEDULE && effect.schedule.latency_s == 3600);
    assert_true(effect.schedule.response_s == SCHEDULE_UNSAID && effect.schedule.packets == 4);
    assert_true(effect_next(&in, &effect) && effect.kind == EFFECT_LOG && effect.log.level == 2);
    assert_false(effect_next(&in, &effect));
    assert_int_equal(in.err, DRO_OK);
}

static void time_and_random_are_the_turns_own(void **state)
{
    test_twin *twin = *state;
    dro_random_seeded expected;
    dro_random_seeded_init(&expected, 99);
    assert_int_equal(test_turn(twin, TIME_AND_RANDOM, NULL, 0), TURN_OK);
    assert_true(twin->integer == (int64_t)dro_random_next(&expected)); /* the last set wins in test_twin */
    uint8_t first[64];
    memcpy(first, twin->effects, twin->effects_length);
    assert_int_equal(test_turn(twin, TIME_AND_RANDOM, NULL, 0), TURN_OK);
    assert_memory_equal(first, twin->effects, twin->effects_length);
    dro_cursor in = dro_cursor_over(twin->effects, twin->effects_length);
    effect effect;
    assert_true(effect_next(&in, &effect) && effect.property.value.integer == 1700000000000);
}

static void a_nan_is_the_canonical_one_unless_the_image_computes(void **state)
{
    test_twin *twin = *state;
    assert_int_equal(test_turn(twin, NAN_BITS, NULL, 0), TURN_OK);
    volatile double zero = 0;
    double made = zero / zero; /* x86 itself makes 0xfff8... of it */
    uint64_t own;
    memcpy(&own, &made, sizeof own);
    assert_true((uint64_t)twin->integer == (computes ? own : 0x7ff8000000000000u));
}

static void every_turn_without_an_end_is_ended(void **state)
{
    enum { WAYS = 12 };
    test_twin *twin = *state;
    uint8_t carried[EVENT_BYTES_MAX];
    size_t length = 0;
    twin->image = ENDLESS;
    for (uint32_t way = 0; way < WAYS; way++) {
        enum turn_status status = test_turn_without_end(twin, way, NULL, 0);
        if (status != TURN_DEADLINE)
            fail_msg("way %u: status %d", way, status);
        assert_int_equal(test_turn(twin, WAYS, NULL, 0), TURN_OK); /* the next turn is not */
    }
    assert_int_equal(cell_export_state(twin->cell, ENDLESS, NULL, 0, carried, sizeof carried, &length), TURN_DEADLINE);
    assert_int_equal(cell_import_state(twin->cell, ENDLESS, carried, 4, twin->context, sizeof twin->context, &length),
                     TURN_DEADLINE);
}

static void a_longer_deadline_lets_a_longer_turn_end(void **state)
{
    test_twin *twin = *state;
    static _Alignas(8) uint8_t result[80 * 1024];
    struct { turn_request head; uint8_t rest[8]; } request = {
        { .image = PROBE, .event_kind = 3, .event_id = SPIN_MS, .deadline_micros = 60000000 }, { 0 } };
    cell_turn(twin->cell, &request.head, result, cell_result_max(twin->cell, PROBE));
    assert_int_equal(((turn_result *)result)->status, TURN_OK);
}

static void memory_that_grew_is_kept(void **state)
{
    test_twin *twin = *state;
    uint8_t three = 3, value = 200;
    twin->image = GROWING;
    assert_int_equal(test_turn(twin, 0, NULL, 0), TURN_OK);
    int64_t pages = twin->integer;
    assert_int_equal(twin->context_length, 0);
    assert_int_equal(test_turn(twin, 1, &three, 1), TURN_OK);
    assert_int_equal(twin->integer, pages);
    assert_int_equal(twin->context_length, CONTEXT_HEADER);
    assert_int_equal(test_turn(twin, 3, &value, 1), TURN_OK);
    assert_int_equal(test_turn(twin, 0, NULL, 0), TURN_OK);
    assert_int_equal(twin->integer, pages + 3);
    assert_int_equal(test_turn(twin, 4, NULL, 0), TURN_OK);
    assert_int_equal(twin->integer, 200);
}

static void a_memory_bomb_is_a_want_of_memory(void **state)
{
    test_twin *twin = *state;
    twin->image = GROWING;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(test_turn(twin, 2, NULL, 0), TURN_MEMORY);
        assert_int_equal(test_turn(twin, 0, NULL, 0), TURN_OK);
        assert_int_equal(twin->integer, 1);
    }
}

static void fresh_memory_holds_nothing_of_the_last_turn(void **state)
{
    test_twin *one = *state, *other = calloc(1, sizeof *other);
    uint8_t grow = 5, value = 99;
    one->image = GROWING;
    other->cell = one->cell;
    other->image = GROWING;
    assert_int_equal(test_turn(one, 1, &grow, 1), TURN_OK);
    assert_int_equal(test_turn(one, 3, &value, 1), TURN_OK);
    assert_int_equal(test_turn(other, 1, &grow, 1), TURN_OK);
    assert_int_equal(test_turn(other, 4, NULL, 0), TURN_OK);
    assert_int_equal(other->integer, 0);
    free(other);
}

static void globals_are_kept(void **state)
{
    test_twin *twin = *state;
    twin->image = TABLE;
    assert_int_equal(test_turn(twin, 0, NULL, 0), TURN_OK);
    assert_int_equal(twin->integer, 6 + 1);
    assert_int_equal(test_turn(twin, 0, NULL, 0), TURN_OK);
    assert_int_equal(twin->integer, 7 + 2);
    assert_int_equal(twin->context_length, CONTEXT_HEADER + 2 * CONTEXT_GLOBAL);
}

static void a_table_left_changed_fails_the_turn(void **state)
{
    test_twin *twin = *state;
    twin->image = TABLE;
    assert_int_equal(test_turn(twin, 1, NULL, 0), TURN_BAD_RESULT);
    assert_int_equal(test_turn(twin, 4, NULL, 0), TURN_OK);
    assert_int_equal(twin->integer, 2);
}

static void a_table_put_back_is_fine(void **state)
{
    test_twin *twin = *state;
    twin->image = TABLE;
    assert_int_equal(test_turn(twin, 2, NULL, 0), TURN_OK);
    assert_int_equal(twin->integer, 1);
}

static void a_dropped_segment_is_there_again(void **state)
{
    test_twin *twin = *state;
    twin->image = TABLE;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(test_turn(twin, 3, NULL, 0), TURN_OK);
        assert_int_equal(twin->integer, 'h');
    }
}

static void state_moves_to_another_build(void **state)
{
    test_twin *twin = *state;
    uint8_t put[8] = { 9, 0, 0, 0, 123, 0, 0, 0 }, carried[EVENT_BYTES_MAX];
    size_t length = 0, context_length = 0;
    for (int i = 0; i < 4; i++)
        assert_int_equal(test_turn(twin, COUNT, NULL, 0), TURN_OK);
    assert_int_equal(test_turn(twin, STORE, put, sizeof put), TURN_OK);
    assert_int_equal(cell_export_state(twin->cell, PROBE, twin->context, twin->context_length, carried, sizeof carried,
                                       &length), TURN_OK);
    assert_int_equal(length, 260);
    assert_int_equal(cell_import_state(twin->cell, MOVED, carried, length, twin->context, sizeof twin->context,
                                       &context_length), TURN_OK);
    twin->image = MOVED;
    twin->context_length = (uint32_t)context_length;
    assert_int_equal(test_turn(twin, 0, NULL, 0), TURN_OK);
    assert_int_equal(twin->integer, 5);
    assert_int_equal(test_turn(twin, 1, put, 1), TURN_OK);
    assert_int_equal(twin->integer, 123);
}

static void state_that_cannot_move_says_so(void **state)
{
    test_twin *twin = *state;
    uint8_t carried[EVENT_BYTES_MAX] = { 0 };
    size_t length = 0;
    test_signals_set();
    assert_int_equal(cell_export_state(twin->cell, MOVED, NULL, 0, carried, sizeof carried, &length), TURN_BAD_RESULT);
    assert_int_equal(cell_export_state(twin->cell, GROWING, NULL, 0, carried, sizeof carried, &length),
                     TURN_BAD_RESULT);
    assert_int_equal(cell_export_state(twin->cell, 77, NULL, 0, carried, sizeof carried, &length), TURN_HOST);
    assert_int_equal(cell_export_state(twin->cell, PROBE, carried, 9, carried, sizeof carried, &length),
                     TURN_BAD_CONTEXT);
    assert_int_equal(cell_import_state(twin->cell, PROBE, carried, 259, twin->context, 1000, &length), TURN_TRAP);
    assert_int_equal(cell_import_state(twin->cell, PROBE, carried, 260, twin->context, 8, &length), TURN_MEMORY);
    assert_int_equal(test_turn(twin, COUNT, NULL, 0), TURN_OK);
}

static void a_context_of_another_image_is_refused(void **state)
{
    test_twin *twin = *state;
    uint8_t far[CONTEXT_HEADER + 8] = { CONTEXT_VERSION };
    uint16_t chunk[2] = { 2000, 1 };
    uint32_t length = WASM_PAGE;
    memcpy(far + 4, &length, 4);
    memcpy(far + 8, chunk, 4);
    memcpy(twin->context, far, sizeof far);
    twin->context_length = sizeof far;
    assert_int_equal(test_turn(twin, COUNT, NULL, 0), TURN_BAD_CONTEXT);
    twin->context_length = 0;
    assert_int_equal(test_turn(twin, COUNT, NULL, 0), TURN_OK);
    assert_int_equal(twin->integer, 1);
}

static void an_image_that_is_not_here_is_said_so(void **state)
{
    test_twin *twin = *state;
    static _Alignas(8) uint8_t result[sizeof(turn_result)];
    turn_request request = { .image = 500 };
    assert_int_equal(cell_result_max(twin->cell, 500), sizeof(turn_result));
    assert_int_equal(cell_turn(twin->cell, &request, result, sizeof result), sizeof(turn_result));
    assert_int_equal(((turn_result *)result)->status, TURN_NO_IMAGE);
}

static void a_result_without_room_is_a_want_of_memory(void **state)
{
    test_twin *twin = *state;
    static _Alignas(8) uint8_t result[4096];
    struct { turn_request head; uint8_t rest[16]; } request = {
        { .image = PROBE, .event_kind = 3, .event_id = SMEAR, .event_length = 8, .deadline_micros = TEST_PATIENCE_MICROS }, { 0 } };
    memset(request.rest, 0xa5, sizeof request.rest);
    for (size_t room = sizeof(turn_result); room < 700; room += 8) {
        memset(result, 0xee, sizeof result);
        cell_turn(twin->cell, &request.head, result, room);
        assert_int_equal(((turn_result *)result)->status, TURN_MEMORY);
        for (size_t i = sizeof(turn_result); i < room; i++)
            assert_true(result[i] != 0xa5); /* nor is any of it left behind */
        assert_int_equal(result[room], 0xee);
    }
}

/* Random turns in a slot used over and over, and each in a cell made for it alone. */
static void a_used_slot_does_what_a_new_one_does(void **state)
{
    enum { TURNS = 300, TWINS = 8, EVENT_MOST = 40 };
    static const uint32_t events[] = { WALK, WALK, WALK, STORE, TRAP, OUT_OF_BOUNDS, OVERFLOW, EFFECTS_FLOOD, SMEAR,
                                       ALL_EFFECTS, TIME_AND_RANDOM, BAD_OUTCOME, SMEAR_TRAP };
    test_twin *used = *state, *twins = calloc(TWINS, sizeof *twins), *fresh = calloc(1, sizeof *fresh);
    dro_random_seeded random;
    dro_random_seeded_init(&random, 4711);
    for (int i = 0; i < TURNS; i++) {
        uint8_t event[EVENT_MOST];
        test_twin *twin = &twins[dro_random_next(&random) % TWINS];
        uint32_t id = events[dro_random_next(&random) % (sizeof events / sizeof events[0])];
        uint32_t length = 8 + (uint32_t)(dro_random_next(&random) % (EVENT_MOST - 8));
        random.random.fill(&random.random, event, length);
        memcpy(fresh, twin, sizeof *twin);
        fresh->cell = test_cell(artifacts, 1, true);
        twin->cell = used->cell;
        assert_int_equal(test_turn(twin, id, event, length), test_turn(fresh, id, event, length));
        cell_free(fresh->cell);
        assert_int_equal(twin->result.outcome, fresh->result.outcome);
        assert_int_equal(twin->context_length, fresh->context_length);
        assert_memory_equal(twin->context, fresh->context, twin->context_length);
        assert_int_equal(twin->effects_length, fresh->effects_length);
        assert_memory_equal(twin->effects, fresh->effects, twin->effects_length);
    }
    free(fresh);
    free(twins);
}

/* One twin writes its secret everywhere, the next looks for it everywhere. */
static void nothing_of_a_turn_is_left_for_the_next(void **state)
{
    enum { REUSES = 100000 };
    test_twin *twin = *state;
    dro_random_seeded random;
    dro_random_seeded_init(&random, 1);
    uint32_t end = twin->cell->images[PROBE].info.memory_bytes;
    for (int i = 0; i < REUSES; i++) {
        uint8_t event[16];
        random.random.fill(&random.random, event, 8);
        event[0] |= 1;
        uint32_t how = i % 100 == 0 ? SMEAR_TRAP : i % 2 == 0 ? SMEAR : WALK;
        twin->context_length = 0;
        assert_int_equal(test_turn(twin, how, event, 8), how == SMEAR_TRAP ? TURN_TRAP : TURN_OK);
        twin->context_length = 0;
        memcpy(event + 8, &end, 4);
        assert_int_equal(test_turn(twin, SCAN, event, 12), TURN_OK);
        if (twin->integer != 0)
            fail_msg("reuse %d: %lld traces", i, (long long)twin->integer);
    }
}

/* Not by the next twin, who is given the baseline: by the same one, to which it is no state. */
static void the_stack_of_a_turn_is_not_kept(void **state)
{
    test_twin *twin = *state;
    uint8_t event[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    assert_int_equal(test_turn(twin, SMEAR, event, sizeof event), TURN_OK);
    assert_int_equal(test_turn(twin, DEAD, NULL, 0), TURN_OK);
    assert_int_equal(twin->integer, 0);
    assert_int_equal(test_turn(twin, LOAD, event, 1), TURN_OK); /* what it left on purpose is */
    assert_true(twin->integer != 0);
}

static void grown_memory_is_cleared_however_a_turn_ended(void **state)
{
    enum { FILL = 5, LOOK_AT_ALL = 6, RETURNS = 0, TRAPS, LEAVES, STAYS, ENDS };
    static const enum turn_status ends[ENDS] = { TURN_MEMORY, TURN_TRAP, TURN_OUT_OF_BOUNDS, TURN_DEADLINE };
    test_twin *one = *state, *other = calloc(1, sizeof *other);
    uint8_t fill[16] = { 3, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8 };
    const uint8_t most[4] = { 15 };
    one->image = other->image = GROWING;
    other->cell = one->cell;
    for (fill[1] = RETURNS; fill[1] < ENDS; fill[1]++) {
        assert_int_equal((fill[1] == STAYS ? test_turn_without_end : test_turn)(one, FILL, fill, sizeof fill), ends[fill[1]]);
        other->context_length = 0;
        assert_int_equal(test_turn(other, LOOK_AT_ALL, most, sizeof most), TURN_OK);
        assert_int_equal(other->integer, 0);
    }
    free(other);
}

static void a_slot_is_byte_for_byte_as_it_was_made(void **state)
{
    test_twin *twin = *state;
    image *image = &twin->cell->images[PROBE];
    uint8_t event[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    static const uint32_t events[] = { COUNT, SMEAR, SMEAR_TRAP, LOOP, SMEAR_LOOP, OVERFLOW, OUT_OF_BOUNDS, BAD_TYPE };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        bool ends = events[i] != LOOP && events[i] != SMEAR_LOOP;
        (void)(ends ? test_turn : test_turn_without_end)(twin, events[i], event, sizeof event);
        assert_true(image->slot_count > 0);
        engine_instance *slot = image->slots[image->slot_count - 1];
        assert_memory_equal(engine_instance_memory(slot)->bytes, image->baseline, image->info.memory_bytes);
        for (uint32_t k = 0; k < image->info.global_count; k++)
            assert_true(engine_global_get(slot, k) == image->info.globals[k]);
        for (size_t k = 0; k < sizeof twin->cell->turn.effect_bytes; k++)
            assert_int_equal(twin->cell->turn.effect_bytes[k], 0);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(memory_is_kept_from_turn_to_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(twins_of_one_slot_do_not_meet, setup, teardown),
        cmocka_unit_test_setup_teardown(a_turn_that_changes_nothing_has_an_empty_context, setup, teardown),
        cmocka_unit_test_setup_teardown(the_outcome_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(every_failure_costs_its_own_event_only, setup, teardown),
        cmocka_unit_test_setup_teardown(a_store_behind_the_exact_memory_traps, setup, teardown),
        cmocka_unit_test_setup_teardown(effects_come_out_as_they_were_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(time_and_random_are_the_turns_own, setup, teardown),
        cmocka_unit_test_setup_teardown(a_nan_is_the_canonical_one_unless_the_image_computes, setup, teardown),
        cmocka_unit_test_setup_teardown(every_turn_without_an_end_is_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(a_longer_deadline_lets_a_longer_turn_end, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_that_grew_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_memory_bomb_is_a_want_of_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(fresh_memory_holds_nothing_of_the_last_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(globals_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_left_changed_fails_the_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_put_back_is_fine, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dropped_segment_is_there_again, setup, teardown),
        cmocka_unit_test_setup_teardown(state_moves_to_another_build, setup, teardown),
        cmocka_unit_test_setup_teardown(state_that_cannot_move_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(a_context_of_another_image_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(an_image_that_is_not_here_is_said_so, setup, teardown),
        cmocka_unit_test_setup_teardown(a_result_without_room_is_a_want_of_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(a_used_slot_does_what_a_new_one_does, setup_manual, teardown),
        cmocka_unit_test_setup_teardown(nothing_of_a_turn_is_left_for_the_next, setup_manual, teardown),
        cmocka_unit_test_setup_teardown(the_stack_of_a_turn_is_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(grown_memory_is_cleared_however_a_turn_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slot_is_byte_for_byte_as_it_was_made, setup, teardown),
    };
    test_signals_keep();
    admitting.no_exact_memory = argc > 1 && strcmp(argv[1], "plain") == 0;
    computes = argc > 1 && strcmp(argv[1], "computing") == 0;
    int failed = cmocka_run_group_tests_name(computes ? "cell, computing" : argc > 1 ? "cell, whole pages" : "cell", tests, NULL, NULL);
    for (uint32_t i = 0; i < IMAGES; i++)
        free(artifacts[i].bytes);
    return failed;
}

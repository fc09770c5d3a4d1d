#include "load/load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ring/message.h"

enum { CAPACITY = RING_CAPACITY_MIN, TWINS = 20, WINDOW = 8 };

typedef struct fixture { /* the test is the core */
    void *questions, *answers;
    ring_writer to_core, to_load;
    ring_reader from_core, from_load;
    dro_clock_fake clock;
    load *load;
} fixture;

static int begin(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    size_t bytes = (ring_bytes(CAPACITY) + 63) & ~(size_t)63;
    f->questions = aligned_alloc(64, bytes);
    f->answers = aligned_alloc(64, bytes);
    ring_format(f->questions, CAPACITY);
    ring_format(f->answers, CAPACITY);
    ring_writer_open(&f->to_core, f->questions, CAPACITY, -1);
    ring_reader_open(&f->from_load, f->questions, CAPACITY);
    ring_writer_open(&f->to_load, f->answers, CAPACITY, -1);
    ring_reader_open(&f->from_core, f->answers, CAPACITY);
    dro_clock_fake_init(&f->clock, 0);
    load_config config = { .core_count = 1, .to_core = &f->to_core, .from_core = &f->from_core, .twins = TWINS, .window = WINDOW, .seed = 1,
                           .clock = &f->clock.clock };
    assert_int_equal(load_new(&f->load, &config), DRO_OK);
    *state = f;
    return 0;
}

static int end(void **state)
{
    fixture *f = *state;
    load_free(f->load);
    free(f->questions);
    free(f->answers);
    free(f);
    return 0;
}

typedef struct asked { uint64_t id; uint16_t type; uint8_t body[256]; } asked;

/* What the load has asked; the core has taken it. */
static int take(fixture *f, asked out[WINDOW + 1])
{
    ring_header header;
    dro_err err;
    const uint8_t *body;
    int count = 0;
    while ((body = ring_next(&f->from_load, &header, &err)) != NULL) {
        assert_true(count <= WINDOW && header.flags & RING_WIPE && header.length - sizeof header <= sizeof out[0].body);
        out[count] = (asked){ .id = header.id, .type = header.type };
        memcpy(out[count++].body, body, header.length - sizeof header);
        ring_done(&f->from_load, &header);
    }
    assert_int_equal(err, DRO_OK);
    ring_release(&f->from_load);
    return count;
}

static void answer(fixture *f, uint64_t id, uint32_t result, uint32_t experimental)
{
    network_answer body = { result, experimental };
    assert_true(ring_send(&f->to_load, MESSAGE_NETWORK_ANSWER, 0, id, &body, sizeof body));
    ring_publish(&f->to_load);
}

static void attach_all(fixture *f)
{
    asked got[WINDOW + 1];
    for (int attached = 0; attached < TWINS;) {
        load_round(f->load);
        int count = take(f, got);
        assert_true(count > 0);
        for (int i = 0; i < count; i++, attached++) {
            assert_int_equal(got[i].type, MESSAGE_CONNECTION);
            answer(f, got[i].id, 2001, 0);
        }
    }
}

static void each_twin_is_attached_once(void **state)
{
    fixture *f = *state;
    asked got[WINDOW + 1];
    bool is_attached[TWINS] = { false };
    for (int rounds = 0; rounds < (TWINS + WINDOW - 1) / WINDOW; rounds++) {
        load_round(f->load);
        int count = take(f, got);
        for (int i = 0; i < count; i++) {
            connection_request request;
            memcpy(&request, got[i].body, sizeof request);
            assert_true(got[i].id < TWINS && !is_attached[got[i].id]);
            assert_int_equal(strtoull(request.user.imsi, NULL, 10), LOAD_IMSI_FIRST + got[i].id);
            assert_int_equal(strlen(request.user.imsi), IMSI_DIGITS_MAX);
            is_attached[got[i].id] = true;
            answer(f, got[i].id, 2001, 0);
        }
    }
    for (int i = 0; i < TWINS; i++)
        assert_true(is_attached[i]);
}

static void the_window_is_never_exceeded(void **state)
{
    fixture *f = *state;
    asked got[WINDOW + 1];
    attach_all(f);
    assert_true(load_round(f->load) > 0);
    assert_int_equal(take(f, got), WINDOW);
    assert_int_equal(load_round(f->load), 0);
    answer(f, got[0].id, 2001, 0);
    assert_int_equal(load_round(f->load), 2); /* one taken, one sent */
    assert_int_equal(take(f, got), 1);
}

static void a_twin_that_is_not_there_yet_is_asked_again_later(void **state)
{
    fixture *f = *state;
    asked got[WINDOW + 1];
    load_round(f->load);
    assert_int_equal(take(f, got), WINDOW);
    uint64_t refused = got[3].id;
    answer(f, refused, 0, 5652);
    load_round(f->load);
    assert_int_equal(take(f, got), 0); /* it waits */
    dro_clock_fake_advance(&f->clock, 1000000000);
    load_round(f->load);
    assert_int_equal(take(f, got), 1);
    assert_int_equal(got[0].id, refused);
}

/* The check byte is the XOR of the seven before: of all eight it is 0. */
static void readings_are_whole_and_in_sequence(void **state)
{
    fixture *f = *state;
    asked got[WINDOW + 1];
    uint8_t next[TWINS] = { 0 };
    attach_all(f);
    for (int rounds = 0; rounds < 200; rounds++) {
        load_round(f->load);
        int count = take(f, got);
        for (int i = 0; i < count; i++) {
            uplink_request request;
            memcpy(&request, got[i].body, sizeof request);
            assert_int_equal(got[i].type, MESSAGE_UPLINK);
            assert_int_equal(request.data_length, LOAD_FRAME_BYTES);
            const uint8_t *frame = got[i].body + sizeof request + request.host_length + request.realm_length;
            uint8_t check = 0;
            for (int k = 0; k < LOAD_FRAME_BYTES; k++)
                check ^= frame[k];
            assert_int_equal(check, 0);
            assert_int_equal(frame[0], 1);
            assert_int_equal(frame[1], next[got[i].id]++);
            answer(f, got[i].id, 2001, 0);
        }
    }
    for (int i = 0; i < TWINS; i++)
        assert_true(next[i] > 0); /* 1600 readings of 20 twins at random */
}

static void a_broken_ring_is_said(void **state)
{
    fixture *f = *state;
    load_round(f->load);
    uint32_t nonsense = 7;
    answer(f, 0, 2001, 0);
    memcpy(f->to_load.bytes, &nonsense, sizeof nonsense);
    assert_int_equal(load_round(f->load), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_twin_is_attached_once, begin, end),
        cmocka_unit_test_setup_teardown(the_window_is_never_exceeded, begin, end),
        cmocka_unit_test_setup_teardown(a_twin_that_is_not_there_yet_is_asked_again_later, begin, end),
        cmocka_unit_test_setup_teardown(readings_are_whole_and_in_sequence, begin, end),
        cmocka_unit_test_setup_teardown(a_broken_ring_is_said, begin, end),
    };
    return cmocka_run_group_tests_name("load", tests, NULL, NULL);
}

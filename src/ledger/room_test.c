/* The room between a scripted core and a disk that fails: what the core is told is durable, and each charge is there once. */
#include "ledger/ledger.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "ledger/files_fake.h"
#include "ledger/journal.h"
#include "ring/ledger.h"
#include "ring/message.h"
#include "twin/charge.h"

enum { RING = 256 * 1024, CHARGES = 60, MS = 1000000 };

/* A core whose log has CHARGES charges, number n at place n + 1. */
typedef struct scripted {
    files_fake fake;
    dro_clock_fake clock;
    dro_random_seeded random;
    void *there, *back;
    ring_writer to_room;
    ring_reader from_room;
    ring_reader in[1];
    ring_writer out[1];
    ledger_config config;
    ledger_room *room;
    uint64_t session, next, durable, failures;
} scripted;

static void rings_open(scripted *core)
{
    ring_format(core->there, RING);
    ring_format(core->back, RING);
    ring_writer_open(&core->to_room, core->there, RING, -1);
    ring_reader_open(&core->in[0], core->there, RING);
    ring_writer_open(&core->out[0], core->back, RING, -1);
    ring_reader_open(&core->from_room, core->back, RING);
}

static int core_setup(void **state)
{
    scripted *core = calloc(1, sizeof *core);
    assert_non_null(core);
    dro_log_setup("test", DRO_LOG_NOTHING);
    files_fake_init(&core->fake);
    dro_clock_fake_init(&core->clock, 1795420800000);
    dro_random_seeded_init(&core->random, 3);
    core->there = aligned_alloc(64, ring_bytes(RING));
    core->back = aligned_alloc(64, ring_bytes(RING));
    assert_true(core->there != NULL && core->back != NULL);
    rings_open(core);
    core->config = (ledger_config){ .kind = &journal_charging, .core_count = 1, .from_core = core->in, .to_core = core->out, .node = "n", .file_bytes = 3000, .file_age_s = 60,
                                      .clock = &core->clock.clock, .random = &core->random.random };
    core->room = ledger_room_new(&core->config, &core->fake.files);
    assert_non_null(core->room);
    *state = core;
    return 0;
}

static int core_teardown(void **state)
{
    scripted *core = *state;
    ledger_room_free(core->room);
    free(core->there);
    free(core->back);
    free(core);
    return 0;
}

static void listen(scripted *core)
{
    ring_header header;
    dro_err err;
    const uint8_t *body;
    while ((body = ring_next(&core->from_room, &header, &err)) != NULL) {
        ledger_state message;
        uint64_t charged = 0;
        memcpy(&message, body, sizeof message);
        for (uint32_t i = 0; i < message.place_count; i++) {
            ledger_place place;
            memcpy(&place, body + sizeof message + i * sizeof place, sizeof place);
            if (place.generation == 0)
                charged = place.place - 1 + place.index;
        }
        assert_true(message.session == 0 || charged >= core->durable); /* never back */
        if (message.session != 0)
            core->durable = charged;
        if (message.session != core->session)
            core->next = charged;
        core->session = message.session;
        core->failures = message.failures;
        ring_done(&core->from_room, &header);
    }
    ring_release(&core->from_room);
}

static void send(scripted *core, uint64_t session, uint64_t n)
{
    uint8_t bytes[sizeof(ledger_message) + 32];
    dro_builder out = dro_builder_over(bytes + sizeof(ledger_message), 32);
    dro_builder_le(&out, CHARGE_UPLINK, 1);
    charge_put_u32(&out, CHARGE_INPUT, (uint32_t)n);
    ledger_message message = { .place = { .place = n + 1 }, .time_ms = 1795420800000, .length = (uint32_t)dro_builder_length(&out) };
    memcpy(bytes, &message, sizeof message);
    assert_true(ring_send(&core->to_room, MESSAGE_LEDGER, 0, session, bytes, (uint32_t)sizeof message + message.length));
}

/* Until the room has done all it can for now, and time went on by a tenth of a second. */
static void play(scripted *core)
{
    listen(core);
    for (int i = 0; i < 3 && core->session != 0 && core->next < CHARGES; i++)
        send(core, core->session, core->next++);
    ring_publish(&core->to_room);
    for (int i = 0; i < 8 && ledger_room_round(core->room); i++)
        ;
    dro_clock_fake_advance(&core->clock, 100 * MS);
}

static uint64_t lines(const scripted *core)
{
    uint64_t count = 0;
    for (int i = 0; i < FAKE_INODES; i++) {
        const fake_name *name = &core->fake.names[i];
        const fake_bytes *bytes = &core->fake.now[name->inode];
        for (uint32_t k = 0; name->is_there && strncmp(name->name, "charging-", 9) == 0 && k < bytes->length; k++)
            count += bytes->bytes[k] == '\n';
    }
    return count;
}

static void finish(scripted *core)
{
    for (int i = 0; i < 3000 && core->durable < CHARGES; i++)
        play(core);
    assert_int_equal(core->durable, CHARGES);
    assert_int_equal(lines(core), CHARGES);
}

static void charges_become_lines_and_the_core_is_told(void **state)
{
    scripted *core = *state;
    finish(core);
    assert_int_equal(core->failures, 0);
}

static void every_call_that_fails_ends_a_session_and_loses_nothing(void **state)
{
    const int errors[] = { ENOSPC, EIO };
    for (uint64_t n = 1;; n++) {
        core_teardown(state);
        core_setup(state);
        scripted *core = *state;
        core->fake.fail_call = n;
        core->fake.error = errors[n % 2];
        finish(core);
        if (core->fake.calls < n)
            break;
        listen(core);
        assert_int_equal(core->failures, 1);
    }
}

static void a_disk_that_stays_full_is_tried_again(void **state)
{
    scripted *core = *state;
    for (int i = 0; i < 20; i++)
        play(core);
    uint64_t before = core->durable;
    core->fake.is_dead = true; /* each call fails from here on */
    for (int i = 0; i < 700; i++)
        play(core);
    assert_int_equal(core->session, 0);
    assert_true(core->failures >= 4 && core->failures <= 12); /* 1 s, 2 s, 4 s ... 30 s */
    assert_true(core->durable >= before && core->durable < CHARGES);
    core->fake.is_dead = false;
    finish(core);
}

static void what_is_of_another_session_is_ignored(void **state)
{
    scripted *core = *state;
    play(core);
    listen(core);
    assert_int_not_equal(core->session, 0);
    send(core, core->session + 1, 50);
    send(core, 0, 51);
    finish(core);
}

static void malformed_messages_are_passed_over(void **state)
{
    scripted *core = *state;
    play(core);
    listen(core);
    ledger_message message = { .place = { .generation = 9, .place = 1 }, .length = 5000 };
    assert_true(ring_send(&core->to_room, MESSAGE_LEDGER, 0, core->session, &message, sizeof message));
    assert_true(ring_send(&core->to_room, MESSAGE_LEDGER, 0, core->session, &message, 8));
    struct { ledger_message head; uint8_t bytes[8]; } unknown = { .head = { .place = { .generation = 9, .place = 2 }, .length = 3 }, .bytes = { 250 } };
    assert_true(ring_send(&core->to_room, MESSAGE_LEDGER, 0, core->session, &unknown, sizeof unknown));
    finish(core);
}

static void a_room_that_dies_is_followed_by_one_that_goes_on(void **state)
{
    scripted *core = *state;
    for (int death = 1; death < 12; death++) {
        for (int i = 0; i < death; i++)
            play(core);
        ledger_room_free(core->room); /* kill -9: what is in memory is gone */
        rings_open(core);
        core->session = 0;
        core->room = ledger_room_new(&core->config, &core->fake.files);
        assert_non_null(core->room);
    }
    finish(core);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, core_setup, core_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(charges_become_lines_and_the_core_is_told), TEST(every_call_that_fails_ends_a_session_and_loses_nothing),
        TEST(a_disk_that_stays_full_is_tried_again), TEST(what_is_of_another_session_is_ignored), TEST(malformed_messages_are_passed_over),
        TEST(a_room_that_dies_is_followed_by_one_that_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

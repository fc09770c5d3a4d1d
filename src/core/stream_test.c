/* Streams of events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/core_testbed.h"
#include "core/links.h"
#include "core/state.h"

static void subscribe(uint64_t id, const char *resume)
{
    request_begin(&request, 0);
    if (resume != NULL)
        request_text(&request, API_FIELD_RESUME, resume);
    assert_true(world_send(&here.world, 0, MESSAGE_SUBSCRIBE, id, request.bytes, dro_builder_length(&request.out)));
    world_settle(&here.world);
}

static uint32_t events_of(uint64_t id, uint64_t sequences[HEARD_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < here.count; i++)
        if (here.heard[i].header.type == MESSAGE_STREAM_EVENT && here.heard[i].header.id == id)
            sequences[count++] = strtoull(here.heard[i].body + sizeof(stream_event), NULL, 10);
    return count;
}

static void a_stream_resumes_where_it_was(void **state)
{
    (void)state;
    static uint64_t live[HEARD_MAX], late[HEARD_MAX];
    make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    subscribe(7, NULL);
    for (uint32_t i = 0; i < 40; i++)
        reading("001010000000001", i, (uint8_t)i);
    uint32_t count = events_of(7, live);
    assert_true(count > 40);
    char resume[24];
    snprintf(resume, sizeof resume, "%llu", (unsigned long long)live[count / 2]);
    for (int restart = 0; restart < 2; restart++) {
        asker_forget();
        if (restart)
            reopen();
        subscribe(8 + (uint64_t)restart, resume);
        uint32_t again = events_of(8 + (uint64_t)restart, late);
        assert_int_equal(again, count - count / 2 - 1);
        assert_memory_equal(late, live + count / 2 + 1, again * sizeof late[0]);
    }
}

static void a_stream_without_credit_waits_and_loses_nothing(void **state)
{
    (void)state;
    static uint64_t sequences[HEARD_MAX];
    make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    subscribe(7, NULL);
    here.world.core->options.timeline_bytes = 1 << 30; /* nothing is dropped */
    for (uint32_t i = 0; here.world.core->event_next < 1 + STREAM_CREDIT + 600; i++)
        reading("001010000000001", i, (uint8_t)i);
    uint32_t count = events_of(7, sequences);
    assert_true(count >= STREAM_CREDIT && count < STREAM_CREDIT + 50);
    uint64_t passed = STREAM_CREDIT;
    assert_true(world_send(&here.world, 0, MESSAGE_CREDIT, 7, &passed, sizeof passed));
    world_settle(&here.world);
    count = events_of(7, sequences);
    assert_int_equal(sequences[count - 1], here.world.core->event_next - 1);
    for (uint32_t i = 1; i < count; i++)
        assert_int_equal(sequences[i], sequences[i - 1] + 1);
}

enum { CROWD = 200 };
static uint64_t crowd_next[CROWD];

/* Events in order, none twice and none missing. */
static void on_crowd(void *context, uint32_t gate, const ring_header *header, const uint8_t *body, uint32_t length)
{
    (void)context, (void)length;
    if (header->type != MESSAGE_STREAM_EVENT)
        return;
    assert_int_equal(gate, 0);
    uint64_t *next = &crowd_next[header->id - 1];
    uint64_t sequence = strtoull((const char *)body + sizeof(stream_event), NULL, 10);
    assert_true(*next == 0 || sequence == *next);
    *next = sequence + 1;
}

static void streams_of_a_gate_that_stands_still_stay_in_their_bound(void **state)
{
    (void)state;
    make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    core *core = here.world.core;
    core->options.timeline_bytes = 1 << 30; /* nothing is dropped */
    here.world.options.on_message = on_crowd;
    memset(crowd_next, 0, sizeof crowd_next);
    for (uint64_t id = 1; id <= CROWD; id++)
        subscribe(id, NULL);
    const outbox *box = &core->gates[0].outbox;
    here.world.gates[0].is_open = false; /* it reads nothing, and is not known to be dead */
    uint8_t frame[8] = { 1, 0, 8, 0, 100, 0x0d, 0xac };
    for (uint32_t i = 0, full = 0; full < 50; full += core->gates[0].is_stopped, i++) {
        assert_true(i < 2000);
        frame[1] = (uint8_t)i;
        frame[7] = 0;
        for (int k = 0; k < 7; k++)
            frame[7] ^= frame[k];
        world_frame uplink = { .end_to_end = i, .data = frame, .length = sizeof frame };
        assert_true(world_uplink(&here.world, 1, ++here.id, "001010000000001", &uplink));
        world_settle(&here.world);
        assert_true(box->end - box->start < CORE_OUTBOX_MAX + 64 * 1024);
    }
    here.world.gates[0].is_open = true;
    world_settle(&here.world);
    for (uint32_t i = 0; i < CROWD; i++)
        assert_int_equal(crowd_next[i], core->event_next);
}

/* Older than what is kept by number, and older than what the log has: two reasons, one gap. */
static void a_gap_is_told_once(void **state)
{
    (void)state;
    here.world.core->event_next += 1 << 20; /* as after a move to another number of cores */
    make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    reading("001010000000001", 0, 0);
    asker_forget();
    subscribe(7, "5");
    uint32_t gaps = 0, events = 0;
    for (uint32_t i = 0; i < here.count; i++) {
        if (here.heard[i].header.type != MESSAGE_STREAM_EVENT)
            continue;
        events++;
        gaps += memmem(here.heard[i].body, here.heard[i].header.length, "dromio.gap.v1", 13) != NULL;
    }
    assert_int_equal(gaps, 1);
    assert_true(events > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_stream_resumes_where_it_was),
        CLAIM(a_stream_without_credit_waits_and_loses_nothing),
        CLAIM(streams_of_a_gate_that_stands_still_stay_in_their_bound),
        CLAIM(a_gap_is_told_once),
    };
    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}

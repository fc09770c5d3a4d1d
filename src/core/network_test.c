/* Contacts of devices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "core/core_testbed.h"
#include "core/record.h"
#include "core/state.h"
#include "core/twin_table.h"

static const char *timeline_of(const char *id)
{
    on_twin(API_TIMELINE, id);
    request_u64(&request, API_FIELD_LIMIT, 100);
    return json_of(ask());
}

static uint32_t occurrences(const char *text, const char *what)
{
    uint32_t count = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what))
        count++;
    return count;
}

static void reachability_in_the_middle_of_a_turn_waits_for_its_end(void **state)
{
    (void)state;
    make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    for (uint32_t i = 0; i < 3; i++) { /* one in a turn, two that wait; then the device is there, said twice, by a gate that dies */
        world_frame frame = { .end_to_end = 50 + i, .data = "x", .length = 1 };
        assert_true(world_uplink(&here.world, 0, 700 + i, "001010000000001", &frame));
    }
    assert_true(world_connect(&here.world, 1, 710, "001010000000001", WORLD_UPDATE, true));
    assert_true(world_connect(&here.world, 1, 711, "001010000000001", WORLD_UPDATE, true));
    core_round(here.world.core);
    assert_int_equal(here.world.core->turn_count, 1);
    world_gate_lose(&here.world, 1);
    world_settle(&here.world);
    world_gate_open(&here.world, 1);
    const char *timeline = timeline_of("a@acme.example");
    assert_int_equal(occurrences(timeline, "\"kind\":\"uplink\""), 3);
    assert_int_equal(occurrences(timeline, "\"kind\":\"reachability\""), 1);
    assert_true(strstr(timeline, "\"kind\":\"reachability\"") < strstr(timeline, "\"kind\":\"uplink\"")); /* newest first */
}

/* Removed and made again while nothing of it is durable yet: the same slot, another chain. */
static void a_twin_made_anew_within_a_round_has_its_whole_timeline(void **state)
{
    (void)state;
    enum { LIVES = 6, UPLINKS = 5 };
    for (uint32_t life = 0; life < LIVES; life++) {
        make_twin("a@acme.example", "001010000000001");
        connect_device("001010000000001");
        for (uint32_t i = 0; i < UPLINKS; i++)
            assert_int_equal(reading("001010000000001", life * UPLINKS + i, (uint8_t)i).result, 2001);
        if (life % 2 == 1)
            record_full(here.world.core, twin_find(here.world.core, "a@acme.example", 14));
        assert_int_equal(occurrences(timeline_of("a@acme.example"), "\"kind\":\"uplink\""), UPLINKS);
        assert_int_equal(occurrences(timeline_of("a@acme.example"), "\"kind\":\"created\""), 1);
        on_twin(API_TWIN_DELETE, "a@acme.example");
        assert_true(request_send(&here.world, 0, 900 + life, &request)); /* read together with the next life's first request */
    }
}

static void an_interval_is_learned(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    for (uint32_t i = 0; i < 6; i++) {
        reading("001010000000001", i, (uint8_t)i);
        world_advance(&here.world, 600 * 1000);
    }
    const twin *twin = twin_at(here.world.core, index);
    assert_int_equal(twin->why, CONTACT_LEARNED);
    assert_in_range(twin->learned_s, 598, 602);
    assert_in_range(twin->next_contact_ms - twin->last_contact_ms, 598000, 602000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(reachability_in_the_middle_of_a_turn_waits_for_its_end),
        CLAIM(a_twin_made_anew_within_a_round_has_its_whole_timeline),
        CLAIM(an_interval_is_learned),
    };
    return cmocka_run_group_tests_name("network", tests, NULL, NULL);
}

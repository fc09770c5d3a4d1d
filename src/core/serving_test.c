/* What serving networks say of connections: shared rows, records, charging ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "core/core_testbed.h"
#include "core/record.h"
#include "core/serving.h"
#include "core/state.h"
#include "core/twin_table.h"

static const char node[] = "mme7.visited.example", realm[] = "visited.example";

static connection_request roaming(const char *imsi, const char *type)
{
    connection_request wanted = { .user = { .bearer_length = 1, .bearer = { 5 } }, .rat_type = 1005, .uplink_rate = UINT32_MAX, .downlink_rate = UINT32_MAX,
                                   .has_plmn = 1, .plmn = { 0x62, 0xf2, 0x10 }, .host_length = sizeof node - 1, .realm_length = sizeof realm - 1 };
    strcpy(wanted.user.imsi, imsi);
    snprintf(wanted.type, sizeof wanted.type, "%s", type);
    return wanted;
}

static connection_answer connect_by(connection_request *wanted, const char *via)
{
    uint8_t bytes[sizeof *wanted + 512];
    connection_answer answer = { 0 };
    wanted->via_length = (uint16_t)strlen(via);
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_bytes(&out, wanted, sizeof *wanted);
    dro_builder_text(&out, node);
    dro_builder_text(&out, realm);
    dro_builder_text(&out, via);
    asker_forget();
    assert_true(world_send(&here.world, 0, MESSAGE_CONNECTION, ++here.id, bytes, dro_builder_length(&out)));
    world_settle(&here.world);
    for (uint32_t i = 0; i < here.count; i++)
        if (here.heard[i].header.type == MESSAGE_NETWORK_ANSWER)
            memcpy(&answer, here.heard[i].body, here.heard[i].header.length - sizeof(ring_header) < sizeof answer ? sizeof(network_answer) : sizeof answer);
    return answer;
}

static uint16_t row_of(uint32_t index)
{
    return twin_at(here.world.core, index)->connection.serving;
}

static void twins_that_say_the_same_share_a_row(void **state)
{
    (void)state;
    uint32_t a = make_twin("a@acme.example", "001010000000001"), b = make_twin("b@acme.example", "001010000000002");
    connection_request one = roaming("001010000000001", "35209900"), two = roaming("001010000000002", "35209900");
    assert_int_equal(connect_by(&one, "iwk.example").result, 2001);
    assert_int_equal(connect_by(&two, "iwk.example").result, 2001);
    assert_int_not_equal(row_of(a), 0);
    assert_int_equal(row_of(a), row_of(b));
    strcpy(two.type, "86000000");
    connect_by(&two, "iwk.example");
    assert_int_not_equal(row_of(a), row_of(b));
    assert_string_equal(serving_via(here.world.core, twin_at(here.world.core, b)), "iwk.example");
    connect_by(&two, ""); /* itself */
    assert_string_equal(serving_via(here.world.core, twin_at(here.world.core, b)), "");
    one.action = 1;
    assert_int_equal(connect_by(&one, "iwk.example").result, 2001);
    assert_int_equal(row_of(a), 0);
}

static void rows_have_a_bound_and_come_back(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001"), other = make_twin("b@acme.example", "001010000000002");
    connection_request wanted = roaming("001010000000001", ""), second = roaming("001010000000002", "99999999");
    for (uint32_t i = 0; i < 2 * SERVINGS_MAX; i++) { /* one after the other: each gives its row back */
        core *core = here.world.core;
        snprintf(wanted.type, sizeof wanted.type, "%08u", i);
        record_begin(core, index, RECORD_DELTA);
        serving_put(core, index, &wanted, "", 0);
        record_end(core);
        assert_int_not_equal(row_of(index), 0);
        if (i % 512 == 0)
            world_settle(&here.world);
    }
    assert_int_equal(connect_by(&second, "").result, 2001);
    assert_int_not_equal(row_of(other), 0);
}

static void a_restart_has_it_again_and_goes_on_with_charging_ids(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001"), last = 0;
    connection_request wanted = roaming("001010000000001", "35209900");
    for (uint32_t i = 0; i < 200; i++) { /* many more than the time that passes gives */
        connection_answer answer = connect_by(&wanted, "iwk.example");
        assert_true(answer.charging_id > last);
        last = answer.charging_id;
    }
    for (int with_full = 0; with_full < 2; with_full++) {
        if (with_full)
            record_full(here.world.core, index);
        world_settle(&here.world);
        reopen();
        index = twin_find(here.world.core, "a@acme.example", 14);
        assert_int_not_equal(row_of(index), 0);
        assert_string_equal(serving_via(here.world.core, twin_at(here.world.core, index)), "iwk.example");
        connection_answer answer = connect_by(&wanted, "iwk.example");
        assert_true(answer.charging_id > last);
        last = answer.charging_id;
    }
}

static void a_field_that_cannot_be_read_is_left_out(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    static const uint8_t good[] = { 1, 0x62, 0xf2, 0x10, 0xed, 3, 0, 0, 9, 0, 0, 0, 0, 2, '3', '5', 0, 'v' };
    core *core = here.world.core;
    record_begin(core, index, RECORD_DELTA);
    uint64_t dropped = core->counters.fields_dropped;
    for (size_t length = 1; length < sizeof good - 1; length++)
        record_put(core, FIELD_SERVING, good, length);
    assert_int_equal(core->counters.fields_dropped, dropped + sizeof good - 2);
    uint8_t bad[sizeof good];
    memcpy(bad, good, sizeof good);
    bad[13] = 99; /* a type longer than any */
    record_put(core, FIELD_SERVING, bad, sizeof bad);
    assert_int_equal(core->counters.fields_dropped, dropped + sizeof good - 1);
    assert_int_equal(row_of(index), 0);
    record_put(core, FIELD_SERVING, good, sizeof good);
    assert_int_not_equal(row_of(index), 0);
    record_end(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(twins_that_say_the_same_share_a_row), CLAIM(rows_have_a_bound_and_come_back), CLAIM(a_restart_has_it_again_and_goes_on_with_charging_ids),
        CLAIM(a_field_that_cannot_be_read_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

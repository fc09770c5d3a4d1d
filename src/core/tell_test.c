/* Answers to gates, and what a lost gate or cell costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "core/core_testbed.h"
#include "core/state.h"

static void answers_leave_in_order_when_the_ring_is_full(void **state)
{
    (void)state;
    enum { COUNT = 1500 };
    make_twin("a@acme.example", NULL);
    uint64_t first = here.id + 1;
    uint32_t sent = 0, seen = 0;
    asker_forget();
    while (sent < COUNT) {
        on_twin(API_TWIN_GET, "a@acme.example");
        if (!request_send(&here.world, 0, first + sent, &request))
            core_round(here.world.core); /* and the gate reads nothing */
        else
            sent++;
    }
    world_settle(&here.world);
    for (uint32_t i = 0; i < here.count; i++)
        assert_int_equal(here.heard[i].header.id, first + seen++);
    assert_int_equal(seen, COUNT);
}

static void a_new_gate_gets_no_answers_of_the_old_one(void **state)
{
    (void)state;
    make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    asker_forget();
    world_frame frame = { .end_to_end = 4, .data = "x", .length = 1 };
    for (uint64_t id = 1; id <= 3; id++) { /* one in a turn, two that wait */
        assert_true(world_uplink(&here.world, 0, id, "001010000000001", &frame));
        frame.end_to_end++;
    }
    on_twin(API_PROPERTY_PUT, "a@acme.example");
    request_text(&request, API_FIELD_NAME, "period");
    request_value(&request, &(value){ .kind = VALUE_INTEGER, .integer = 600 });
    request_u64(&request, API_FIELD_WAIT, TICKET_REPORTED);
    request_u64(&request, API_FIELD_TIMEOUT, 1000);
    assert_true(request_send(&here.world, 0, 9, &request));
    core_round(here.world.core);
    world_gate_lose(&here.world, 0);
    world_gate_open(&here.world, 0);
    world_settle(&here.world);
    world_advance(&here.world, 5000);
    world_settle(&here.world);
    assert_int_equal(here.count, 0);
    assert_int_equal(uplink("001010000000001", 4, "x", 1).result, 2001);
}

static void a_lost_cell_costs_its_turns_a_retry(void **state)
{
    (void)state;
    make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    world_frame frame = { .end_to_end = 4, .data = "x", .length = 1 };
    assert_true(world_uplink(&here.world, 0, 77, "001010000000001", &frame));
    core_round(here.world.core);
    assert_int_equal(here.world.core->turn_count, 1);
    world_cell_lose(&here.world);
    world_settle(&here.world);
    network_answer answer;
    memcpy(&answer, heard_of(77)->body, sizeof answer);
    assert_int_equal(answer.result, 2001);
}

static void two_twins_in_the_making_cannot_share_a_name(void **state)
{
    (void)state;
    static const char *const ids[] = { "a@acme.example", "b@acme.example", "alias@acme.example" };
    for (uint64_t i = 0; i < 3; i++) {
        on_twin(API_TWIN_PUT, ids[i]);
        request_text(&request, API_FIELD_MODEL, "acme/thermo");
        if (i < 2)
            request_text(&request, API_FIELD_ALIAS, "alias@acme.example");
        assert_true(request_send(&here.world, 0, 500 + i, &request));
    }
    world_settle(&here.world);
    assert_int_equal(status_of(heard_of(500)), 201);
    assert_int_equal(status_of(heard_of(501)), 409);
    assert_int_equal(status_of(heard_of(502)), 200); /* the name of the first by then */
}

static void what_no_gate_lets_through_is_refused(void **state)
{
    (void)state;
    on_twin(API_TWIN_PUT, "a@acme.example");
    request_text(&request, API_FIELD_MODEL, "acme/thermo");
    request_text(&request, API_FIELD_IMSI, "00101x");
    assert_int_equal(status_of(ask()), 422);
    request_begin(&request, API_TWIN_PUT);
    request_bytes(&request, API_FIELD_ID, "a@acme.e\0ample", 14);
    request_text(&request, API_FIELD_MODEL, "acme/thermo");
    assert_int_equal(status_of(ask()), 500);
    on_twin(API_TWIN_PUT, "a@acme.example");
    request_text(&request, API_FIELD_MODEL, "acme/thermo");
    request_bytes(&request, API_FIELD_ALIAS, "b@acme.e\0ample", 14);
    assert_int_equal(status_of(ask()), 422);
    assert_int_equal(here.world.core->twin_count, 0);
}

/* An alias is one name, however often it is said, and none if it is the id. */
static void aliases_are_a_set(void **state)
{
    (void)state;
    on_twin(API_TWIN_PUT, "a@acme.example");
    request_text(&request, API_FIELD_MODEL, "acme/thermo");
    request_text(&request, API_FIELD_ALIAS, "b@acme.example");
    request_text(&request, API_FIELD_ALIAS, "a@acme.example");
    request_text(&request, API_FIELD_ALIAS, "b@acme.example");
    assert_int_equal(status_of(ask()), 201);
    uint32_t index = twin_find(here.world.core, "b@acme.example", 14);
    assert_true(index != NONE);
    assert_int_equal(twin_at(here.world.core, index)->extra->alias_count, 1);
    on_twin(API_TWIN_PUT, "b@acme.example"); /* by its alias */
    request_text(&request, API_FIELD_ALIAS, "b@acme.example");
    assert_int_equal(status_of(ask()), 200);
    assert_int_equal(twin_find(here.world.core, "b@acme.example", 14), index);
    on_twin(API_TWIN_PUT, "a@acme.example");
    request_text(&request, API_FIELD_ALIAS, "");
    assert_int_equal(status_of(ask()), 200);
    assert_int_equal(twin_find(here.world.core, "b@acme.example", 14), NONE);
    assert_int_equal(twin_find(here.world.core, "a@acme.example", 14), index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(answers_leave_in_order_when_the_ring_is_full),
        CLAIM(a_new_gate_gets_no_answers_of_the_old_one),
        CLAIM(a_lost_cell_costs_its_turns_a_retry),
        CLAIM(two_twins_in_the_making_cannot_share_a_name),
        CLAIM(what_no_gate_lets_through_is_refused),
        CLAIM(aliases_are_a_set),
    };
    return cmocka_run_group_tests_name("tell", tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/peers.h"
#include "core/state.h"

enum { GATES = 3 };

static int set_up(void **state)
{
    core *core = calloc(1, sizeof *core);
    core->options.gate_count = GATES;
    dro_random_seeded_init(&core->random, 1);
    *state = core;
    return 0;
}

static int tear_down(void **state)
{
    core *core = *state;
    free(core->peers);
    free(core);
    return 0;
}

static void tell_of(core *core, uint32_t gate, const char *host, bool is_open)
{
    uint8_t bytes[1024];
    peer_state head = { .is_open = is_open, .applications = PEER_T6A, .host_length = (uint16_t)strlen(host), .realm_length = 1, .address_length = 1 };
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_bytes(&out, &head, sizeof head);
    dro_builder_text(&out, host);
    dro_builder_text(&out, "ra");
    for (size_t length = 0; length < dro_builder_length(&out); length++) /* what is cut short says nothing */
        peers_update(core, gate, bytes, (uint32_t)length);
    peers_update(core, gate, bytes, (uint32_t)dro_builder_length(&out));
}

static void a_downlink_goes_where_its_node_is_open(void **state)
{
    core *core = *state;
    assert_int_equal(peers_gate(core, &(peers_node){ "mme.example", "", "" }, 0), 0); /* of whom nobody told */
    tell_of(core, 2, "mme.example", true);
    tell_of(core, 1, "other.example", true);
    assert_int_equal(peers_gate(core, &(peers_node){ "mme.example", "", "" }, 0), 2);
    assert_int_equal(peers_gate(core, &(peers_node){ "MME.Example", "", "" }, 0), 2);
    assert_int_equal(peers_gate(core, &(peers_node){ "mme.example.org", "", "" }, 0), 0);
    assert_int_equal(peers_gate(core, &(peers_node){ "mme.exampl", "", "" }, 0), 0);
    tell_of(core, 1, "mme.example", true);
    assert_int_equal(peers_gate(core, &(peers_node){ "mme.example", "", "" }, 0), 1);
    assert_int_equal(peers_gate(core, &(peers_node){ "mme.example", "", "" }, 2), 2); /* where it was last, if it still is there */
    tell_of(core, 1, "mme.example", false);
    assert_int_equal(peers_gate(core, &(peers_node){ "mme.example", "", "" }, 1), 2);
    tell_of(core, 2, "mme.example", false);
    assert_int_equal(peers_gate(core, &(peers_node){ "mme.example", "", "" }, 1), 1);
    assert_int_equal(core->peer_count, 2); /* it is shown as closed */
}

static void the_peers_of_a_lost_gate_are_gone(void **state)
{
    core *core = *state;
    tell_of(core, 0, "a.example", true);
    tell_of(core, 1, "b.example", true);
    tell_of(core, 0, "c.example", false);
    tell_of(core, 1, "c.example", true);
    peers_gate_lost(core, 1);
    assert_int_equal(core->peer_count, 2); /* b was its alone; of c another gate told */
    assert_int_equal(peers_gate(core, &(peers_node){ "a.example", "", "" }, 2), 0);
    assert_int_equal(peers_gate(core, &(peers_node){ "c.example", "", "" }, 2), 2);
    peers_gate_lost(core, 0);
    assert_int_equal(core->peer_count, 0);
    peers_gate_lost(core, 0);
}

static void a_full_table_gives_up_who_is_gone(void **state)
{
    core *core = *state;
    char host[32];
    for (int i = 0; i < 1024; i++) {
        snprintf(host, sizeof host, "p%d.example", i);
        tell_of(core, 0, host, true);
    }
    tell_of(core, 1, "late.example", true);
    assert_int_equal(peers_gate(core, &(peers_node){ "late.example", "", "" }, 0), 0); /* no room: as if nobody had told */
    tell_of(core, 0, "p7.example", false);
    tell_of(core, 1, "late.example", true);
    assert_int_equal(peers_gate(core, &(peers_node){ "late.example", "", "" }, 0), 1);
    assert_int_equal(peers_gate(core, &(peers_node){ "p7.example", "", "" }, 1), 1);
    assert_int_equal(peers_gate(core, &(peers_node){ "p1023.example", "", "" }, 1), 0);
    assert_int_equal(core->peer_count, 1024);
}

static void tell_of_role(core *core, uint32_t gate, const char *host, uint32_t applications, uint16_t rank, bool is_open)
{
    uint8_t bytes[256];
    peer_state head = { .is_open = is_open, .applications = applications, .rank = rank, .host_length = (uint16_t)strlen(host), .realm_length = 4 };
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_bytes(&out, &head, sizeof head);
    dro_builder_text(&out, host);
    dro_builder_text(&out, "epc.");
    peers_update(core, gate, bytes, (uint32_t)dro_builder_length(&out));
}

static void the_first_hss_that_is_there_is_asked(void **state)
{
    core *core = *state;
    peer_route route;
    for (uint32_t i = 0; i < GATES; i++)
        core->gates[i].is_open = true;
    assert_false(peers_have_hss(core));
    tell_of_role(core, 0, "mme", PEER_T6A, UINT16_MAX, true);
    tell_of_role(core, 0, "dra", PEER_RELAY, 0, true);
    assert_false(peers_have_hss(core)); /* a relay alone is none */
    tell_of_role(core, 1, "stranger", PEER_S6T, UINT16_MAX, true);
    assert_true(peers_have_hss(core));
    assert_true(peers_route(core, PEER_S6T, NULL, 0, &route));
    assert_string_equal(route.host, "stranger");
    tell_of_role(core, 2, "second", PEER_S6T, 5, true);
    tell_of_role(core, 0, "first", PEER_S6T | PEER_T6A, 2, true);
    assert_true(peers_route(core, PEER_S6T, NULL, 0, &route));
    assert_string_equal(route.host, "first");
    assert_string_equal(route.realm, "epc.");
    tell_of_role(core, 0, "first", PEER_S6T | PEER_T6A, 2, false);
    assert_true(peers_route(core, PEER_S6T, NULL, 0, &route));
    assert_string_equal(route.host, "second");
    assert_int_equal(route.gate, 2);
    tell_of_role(core, 2, "second", PEER_S6T, 5, false);
    tell_of_role(core, 1, "stranger", PEER_S6T, UINT16_MAX, false);
    assert_true(peers_route(core, PEER_S6T, NULL, 0, &route)); /* it knows the way to one */
    assert_string_equal(route.host, "dra");
    assert_string_equal(route.realm, "");
    tell_of_role(core, 0, "dra", PEER_RELAY, 0, false);
    assert_false(peers_route(core, PEER_S6T, NULL, 0, &route));
    assert_true(peers_have_hss(core)); /* the authority, though away */
}

static void tell_of_load(core *core, const char *host, uint16_t rank, uint16_t load)
{
    uint8_t bytes[1024];
    peer_state head = { .is_open = true, .applications = PEER_S6T, .rank = rank, .load = load, .host_length = (uint16_t)strlen(host) };
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_bytes(&out, &head, sizeof head);
    dro_builder_text(&out, host);
    peers_update(core, 0, bytes, (uint32_t)dro_builder_length(&out));
}

static uint32_t asked_of(core *core, const char *host, uint32_t times)
{
    peer_route route;
    uint32_t count = 0;
    for (uint32_t i = 0; i < times; i++)
        count += peers_route(core, PEER_S6T, NULL, 0, &route) && strcmp(route.host, host) == 0;
    return count;
}

/* As weights of SRV: 65535 of one that has nothing to do, 0 of one that can do no more. */
static void those_that_tell_their_load_share_by_it(void **state)
{
    core *core = *state;
    core->gates[0].is_open = true;
    tell_of_load(core, "first", 0, 0);
    tell_of_load(core, "second", 1, 1);
    assert_int_equal(asked_of(core, "first", 100), 100); /* it says nothing of its load: by rank */
    tell_of_load(core, "first", 0, PEER_LOAD_FULL);
    assert_int_equal(asked_of(core, "second", 100), 100);
    tell_of_load(core, "first", 0, 1 + 75);
    assert_in_range(asked_of(core, "first", 10000), 1700, 2300); /* 25 parts of 125 */
    tell_of_load(core, "second", 1, PEER_LOAD_FULL);
    tell_of_load(core, "first", 0, PEER_LOAD_FULL);
    assert_int_equal(asked_of(core, "first", 100), 100);
}

static void an_hss_that_does_not_answer_comes_after_the_others(void **state)
{
    core *core = *state;
    peer_route route, other;
    core->gates[0].is_open = true;
    tell_of_role(core, 0, "first", PEER_S6T, 0, true);
    assert_true(peers_route(core, PEER_S6T, NULL, 0, &route) && route.is_last);
    tell_of_role(core, 0, "second", PEER_S6T, 1, true);
    tell_of_role(core, 0, "dra", PEER_RELAY, 2, true);
    assert_true(peers_route(core, PEER_S6T, NULL, 0, &route) && !route.is_last);
    assert_string_equal(route.host, "first");
    uint32_t silent[2] = { route.hash };
    assert_true(peers_route(core, PEER_S6T, silent, 1, &other)); /* the same question never goes there again */
    assert_string_equal(other.host, "second");
    silent[1] = other.hash;
    assert_true(peers_route(core, PEER_S6T, silent, 2, &other) && other.is_last);
    assert_string_equal(other.host, "dra");
    peers_silent(core, route.hash); /* other questions ask others first, for a while */
    assert_true(peers_route(core, PEER_S6T, NULL, 0, &other) && !other.is_last);
    assert_string_equal(other.host, "second");
    tell_of_role(core, 0, "first", PEER_S6T, 0, true); /* its counts, each 5 s */
    assert_true(peers_route(core, PEER_S6T, NULL, 0, &other));
    assert_string_equal(other.host, "second");
    tell_of_role(core, 0, "second", PEER_S6T, 1, false);
    tell_of_role(core, 0, "dra", PEER_RELAY, 2, false);
    assert_true(peers_route(core, PEER_S6T, NULL, 0, &other) && other.is_last); /* better than none */
    assert_string_equal(other.host, "first");
    tell_of_role(core, 0, "second", PEER_S6T, 1, true);
    core->now_ns += PEER_SILENT_MS * 1000000ll;
    assert_true(peers_route(core, PEER_S6T, NULL, 0, &other));
    assert_string_equal(other.host, "first");
    peers_silent(core, route.hash);
    tell_of_role(core, 0, "first", PEER_S6T, 0, false);
    tell_of_role(core, 0, "first", PEER_S6T, 0, true); /* a new connection is a new chance */
    assert_true(peers_route(core, PEER_S6T, NULL, 0, &other));
    assert_string_equal(other.host, "first");
}

static void a_node_that_is_away_is_reached_through_a_relay(void **state)
{
    core *core = *state;
    uint32_t gate;
    for (uint32_t i = 0; i < GATES; i++)
        core->gates[i].is_open = true;
    assert_false(peers_way(core, &(peers_node){ "mme", "", "" }, &gate));
    tell_of_role(core, 2, "dra", PEER_RELAY, 0, true);
    assert_true(peers_way(core, &(peers_node){ "mme", "", "" }, &gate) && gate == 2);
    tell_of_role(core, 1, "mme", PEER_T6A, 1, true);
    assert_true(peers_way(core, &(peers_node){ "MME", "", "" }, &gate) && gate == 1);
    core->gates[1].is_open = false;
    assert_false(peers_way(core, &(peers_node){ "mme", "", "" }, &gate));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_downlink_goes_where_its_node_is_open),
        TEST(the_peers_of_a_lost_gate_are_gone),
        TEST(a_full_table_gives_up_who_is_gone),
        TEST(the_first_hss_that_is_there_is_asked),
        TEST(those_that_tell_their_load_share_by_it),
        TEST(an_hss_that_does_not_answer_comes_after_the_others),
        TEST(a_node_that_is_away_is_reached_through_a_relay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

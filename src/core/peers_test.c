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
    assert_int_equal(peers_gate(core, "mme.example", 0), 0); /* of whom nobody told */
    tell_of(core, 2, "mme.example", true);
    tell_of(core, 1, "other.example", true);
    assert_int_equal(peers_gate(core, "mme.example", 0), 2);
    assert_int_equal(peers_gate(core, "MME.Example", 0), 2);
    assert_int_equal(peers_gate(core, "mme.example.org", 0), 0);
    assert_int_equal(peers_gate(core, "mme.exampl", 0), 0);
    tell_of(core, 1, "mme.example", true);
    assert_int_equal(peers_gate(core, "mme.example", 0), 1);
    assert_int_equal(peers_gate(core, "mme.example", 2), 2); /* where it was last, if it still is there */
    tell_of(core, 1, "mme.example", false);
    assert_int_equal(peers_gate(core, "mme.example", 1), 2);
    tell_of(core, 2, "mme.example", false);
    assert_int_equal(peers_gate(core, "mme.example", 1), 1);
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
    assert_int_equal(peers_gate(core, "a.example", 2), 0);
    assert_int_equal(peers_gate(core, "c.example", 2), 2);
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
    assert_int_equal(peers_gate(core, "late.example", 0), 0); /* no room: as if nobody had told */
    tell_of(core, 0, "p7.example", false);
    tell_of(core, 1, "late.example", true);
    assert_int_equal(peers_gate(core, "late.example", 0), 1);
    assert_int_equal(peers_gate(core, "p7.example", 1), 1);
    assert_int_equal(peers_gate(core, "p1023.example", 1), 0);
    assert_int_equal(core->peer_count, 1024);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_downlink_goes_where_its_node_is_open),
        TEST(the_peers_of_a_lost_gate_are_gone),
        TEST(a_full_table_gives_up_who_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

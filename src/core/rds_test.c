/* What the core keeps of the reliable data service. The procedure with a device is test/flow/test_rds.py. Frames here
 * are by the figure in wire/rds/frame_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "core/apply.h"
#include "core/core_testbed.h"
#include "core/rds_ports.h"
#include "core/record.h"
#include "core/state.h"
#include "core/twin_table.h"

static const char *const imsi = "001010000000001";
enum { PAIRS = 16 };
static uint32_t ends = 1000;

/* A twin with a reliable configuration over 16 pairs of ports, each the device's own with the same of ours; connected. */
static uint32_t configured_twin(void)
{
    uint8_t ports[2 * PAIRS];
    for (uint8_t i = 0; i < PAIRS; i++)
        ports[2 * i] = ports[2 * i + 1] = i;
    here.world.core->options.reliable_data = true;
    here.world.core->options.reliable_data_timer_s = 5;
    request_begin(&request, API_APPLICATION_PUT);
    request_text(&request, API_FIELD_APPLICATION, "as1");
    request_text(&request, API_FIELD_DOMAIN, "acme.example");
    request_u64(&request, API_FIELD_SCOPES, SCOPE_NIDD);
    assert_int_equal(status_of(ask()), 201);
    uint32_t index = make_twin("a@acme.example", imsi);
    connect_device(imsi);
    request_begin(&request, API_NIDD_CONFIGURATION_MAKE);
    request_text(&request, API_FIELD_SCS_AS, "as1");
    request_text(&request, API_FIELD_ID, "a@acme.example");
    request_text(&request, API_FIELD_DESTINATION, "http://as.example/notify");
    request_bytes(&request, API_FIELD_RELIABLE, "\1", 1);
    request_bytes(&request, API_FIELD_RDS_PORTS, ports, sizeof ports);
    assert_int_equal(status_of(ask()), 201);
    return index;
}

static void say(const void *frame, size_t length)
{
    assert_int_equal(uplink(imsi, ends++, frame, length).result, 2001);
}

/* SET_ACK_MODE over a pair. */
static void set_up(uint8_t port)
{
    say((const uint8_t[]){ 0x3c, (uint8_t)(port << 4 | port) }, 2);
}

/* The bytes of the newest downlink, which the network takes. */
static size_t taken(uint8_t *out)
{
    downlink_request request_out;
    const heard *heard = downlink_heard();
    assert_non_null(heard);
    memcpy(&request_out, heard->body, sizeof request_out);
    memcpy(out, heard->body + sizeof request_out + request_out.host_length + request_out.realm_length, request_out.data_length);
    answer_downlink(2001, 0);
    return request_out.data_length;
}

static const rds *rds_at(uint32_t index)
{
    const twin_extra *extra = twin_at(here.world.core, index)->extra;
    return extra == NULL ? NULL : extra->rds;
}

static void a_state_that_cannot_be_is_refused(void **state)
{
    (void)state;
    uint32_t index = configured_twin();
    static const struct { uint8_t bytes[20]; uint32_t length; } bad[] = {
        { { 0 }, 8 },                                                       /* no link of the pending one */
        { { 1, 0, 0, 0, 0, 0, 0, 0, 0 }, 9 },                               /* pending, and no link */
        { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 1, 0 }, 13 },                  /* a link too short */
        { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 16, 1, 0, 0 }, 14 },              /* port 16 */
        { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 16, 0, 0 }, 14 },
        { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 1, 8, 0 }, 14 },               /* V(S) 8 */
        { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 1, 0, 8 }, 14 },
        { { 1, 0, 0, 0, 0, 0, 0, 0, 1, 3, 1, 1, 0, 0 }, 14 },               /* pending on a second link */
    };
    static uint8_t many[9 + 5 * (RDS_LINKS_MAX + 1)];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(apply_field(here.world.core, index, &(dro_field){ FIELD_RDS, bad[i].length, bad[i].bytes }), DRO_MALFORMED);
    assert_int_equal(apply_field(here.world.core, index, &(dro_field){ FIELD_RDS, sizeof many, many }), DRO_MALFORMED);
    assert_null(rds_at(index));
    assert_int_equal(apply_field(here.world.core, index, &(dro_field){ FIELD_RDS_PORT, 12, many }), DRO_MALFORMED);
    assert_int_equal(apply_field(here.world.core, index, &(dro_field){ FIELD_RDS_PORT, 13, (const uint8_t[13]){ [8] = 16 } }), DRO_MALFORMED);
    assert_int_equal(apply_field(here.world.core, index, &(dro_field){ FIELD_RDS_PORT, 13 + RDS_APPLICATION_MAX + 1, (const uint8_t[13 + RDS_APPLICATION_MAX + 1]){ 0 } }), DRO_MALFORMED);
    assert_null(twin_at(here.world.core, index)->extra->rds_ports);
}

static void a_device_is_answered_and_heard_in_order(void **state)
{
    (void)state;
    uint32_t index = configured_twin();
    uint8_t bytes[64];
    set_up(3);
    assert_int_equal(taken(bytes), 2);
    assert_memory_equal(bytes, ((const uint8_t[]){ 0x7c, 0x33 }), 2); /* the same as a response */
    say((const uint8_t[]){ 0x28, 0x00, 0x33, 'a' }, 4);               /* I, A, N(S) 0 */
    assert_int_equal(taken(bytes), 3);
    assert_memory_equal(bytes, ((const uint8_t[]){ 0x70, 0x28, 0x33 }), 3); /* S, ACK, N(R) 1 */
    say((const uint8_t[]){ 0x28, 0x00, 0x33, 'a' }, 4);
    assert_int_equal(here.world.core->counters.rds_repeated, 1);
    assert_int_equal(taken(bytes), 3);
    assert_memory_equal(bytes, ((const uint8_t[]){ 0x70, 0x28, 0x33 }), 3);
    assert_int_equal(rds_at(index)->state.links[0].v_r, 1);
}

static void the_state_is_the_same_when_it_is_read_again(void **state)
{
    (void)state;
    uint32_t index = configured_twin();
    uint8_t bytes[64];
    for (uint8_t port = 0; port < 3; port++) {
        set_up(port);
        taken(bytes);
    }
    say((const uint8_t[]){ 0x20, 0x00, 0x11, 'a' }, 4);
    say((const uint8_t[]){ 0x3e, 0x22, 0x10, 0x45, 0x01, 1, 'x' }, 7); /* MANAGE_PORT: 4 and 5 are in nobody's rdsPorts */
    assert_memory_equal(bytes, ((const uint8_t[]){ 0x7c, 0x22 }), 2);
    assert_int_equal(taken(bytes), 6);
    assert_memory_equal(bytes, ((const uint8_t[]){ 0x5e, 0x10, 0x54, 0x01, 1, 'x' }), 6);
    for (int with_full = 0; with_full < 2; with_full++) {
        rds_state before = rds_at(index)->state;
        if (with_full)
            record_full(here.world.core, index);
        reopen();
        here.world.core->options.reliable_data = true;
        index = twin_find(here.world.core, "a@acme.example", 14);
        assert_int_equal(rds_at(index)->state.link_count, 3);
        assert_memory_equal(&rds_at(index)->state, &before, sizeof before);
        const rds_managed *port = rds_managed_find(twin_at(here.world.core, index), 4, 5);
        assert_non_null(port);
        assert_int_equal(port->flags, RDS_PORT_OF_DEVICE);
        assert_memory_equal(port->application, "x", 1);
    }
}

static void of_too_many_links_one_makes_room(void **state)
{
    (void)state;
    _Static_assert(PAIRS == (int)RDS_LINKS_MAX, "one more than there is room for, with the pair of no ports");
    uint32_t index = configured_twin();
    uint8_t bytes[64];
    for (uint8_t port = 0; port < PAIRS; port++) {
        set_up(port);
        taken(bytes);
    }
    say((const uint8_t[]){ 0x1c }, 1);
    assert_int_equal(taken(bytes), 1);
    assert_int_equal(bytes[0], 0x5c);
    assert_int_equal(rds_at(index)->state.link_count, RDS_LINKS_MAX);
    say((const uint8_t[]){ 0x00, 0x00, 'a' }, 3); /* it is up */
    assert_int_equal(here.world.core->counters.rds_refused, 0);
    say((const uint8_t[]){ 0x20, 0x00, 0x00, 'a' }, 4); /* the pair that made room is not */
    assert_int_equal(here.world.core->counters.rds_refused, 1);
}

/* A device asks for more while the answer to it is out: of a key the newest waits, of all keys a few. */
static void answers_to_a_device_are_few(void **state)
{
    (void)state;
    uint32_t index = configured_twin();
    const core *core = here.world.core;
    for (int i = 0; i < 2; i++)
        for (uint8_t port = 0; port < PAIRS; port++)
            set_up(port);
    const twin *twin = twin_at(core, index);
    assert_int_equal(twin->extra->mail_count, RDS_ANSWERS_MAX);
    assert_int_equal(twin->extra->control_count, RDS_ANSWERS_MAX);
    assert_true(core->counters.rds_dropped > 0);
    for (uint8_t i = 0; i < 2 * RDS_ANSWERS_MAX; i++)
        say((const uint8_t[]){ 0x28, (uint8_t)(i % RDS_MODULUS << 5), 0x00, 'a' }, 4);
    assert_int_equal(twin->extra->mail_count, RDS_ANSWERS_MAX);
    assert_int_equal(queue_mail_count(twin), RDS_ANSWERS_MAX);
    assert_int_equal(queue_wanted_count(twin), 0);
    assert_int_equal(queue_wanted_bytes(twin), 0);
    reopen();
    index = twin_find(here.world.core, "a@acme.example", 14);
    assert_int_equal(twin_at(here.world.core, index)->extra->control_count, RDS_ANSWERS_MAX);
    assert_int_equal(queue_wanted_count(twin_at(here.world.core, index)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_state_that_cannot_be_is_refused),
        CLAIM(a_device_is_answered_and_heard_in_order),
        CLAIM(the_state_is_the_same_when_it_is_read_again),
        CLAIM(of_too_many_links_one_makes_room),
        CLAIM(answers_to_a_device_are_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

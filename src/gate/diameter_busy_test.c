/* More than there is time for: what is refused, when a peer hears of it, and who is served meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gate/diameter_gate.h"
#include "gate/diameter_testbed.h"
#include "wire/diameter/read.h"
#include "wire/diameter/vectors.h"
#include "wire/diameter/write.h"

enum { BATCH = 100, IDS_MAX = BUSY_KEEP_A_CORE + BATCH, LONG_SESSION = 8000 };

static testbed bed;
static uint64_t ids[IDS_MAX]; /* of requests that the core took and has not answered */
static uint32_t id_count;

static int setup(void **state)
{
    (void)state;
    id_count = 0;
    testbed_init(&bed);
    testbed_start(&bed);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testbed_stop(&bed);
    return 0;
}

static uint64_t busy_count(void)
{
    return testbed_metric(&bed, "dromio_diameter_drops_total{reason=\"busy\"}");
}

static const diameter_peer *peer_named(const char *identity)
{
    return gate_peer_of(bed.gate, identity, NULL);
}

static uint32_t waiting(void)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < bed.gate->slots_used; i++)
        sum += bed.gate->peers[i] != NULL ? bed.gate->peers[i]->waiting : 0;
    return sum;
}

/* The core takes what came and answers nothing. */
static void core_takes(void)
{
    for (; id_count < waiting(); id_count++) {
        assert_true(testbed_core_has(&bed, MESSAGE_UPLINK));
        ids[id_count] = bed.id;
    }
}

static void core_answers_all(void)
{
    for (uint32_t i = 0; i < id_count; i++) {
        bed.id = ids[i];
        testbed_core_answers(&bed, DIAMETER_SUCCESS, 0);
    }
    id_count = 0;
}

/* Requests with Hop-by-Hop ids from `first` on. */
static void send_requests(int peer, uint32_t first, uint32_t count)
{
    static uint8_t bytes[BATCH * sizeof vector_odr];
    assert_true(count <= BATCH);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *at = bytes + i * sizeof vector_odr;
        memcpy(at, vector_odr, sizeof vector_odr);
        dro_builder id = dro_builder_over(at + 12, 4);
        dro_builder_be(&id, first + i, 4);
    }
    testbed_send(&bed, peer, bytes, count * sizeof vector_odr);
}

/* One peer asks until it is refused, and for some more; returns how many were taken. */
static uint32_t fill(int peer)
{
    uint32_t sent = 0;
    for (; busy_count() == 0; sent += BATCH) {
        assert_true(sent < BUSY_KEEP_A_CORE);
        send_requests(peer, sent, BATCH);
        core_takes();
    }
    return sent - (uint32_t)busy_count();
}

static int open_second(void)
{
    uint8_t cer[sizeof vector_cer];
    memcpy(cer, vector_cer, sizeof cer);
    memcpy(memmem(cer, sizeof cer, "mme1", 4), "mme2", 4);
    int peer = testbed_connect(&bed);
    testbed_send(&bed, peer, cer, sizeof cer);
    assert_true(testbed_receive(&bed, peer));
    assert_int_equal(testbed_result(&bed), DIAMETER_SUCCESS);
    return peer;
}

static void pass_ms(uint32_t ms)
{
    dro_clock_fake_advance(&bed.clock, ms * NS_PER_MS);
    testbed_turn(&bed);
}

static void expect(int peer, uint32_t result, uint32_t hop_by_hop)
{
    assert_true(testbed_receive(&bed, peer));
    assert_int_equal(testbed_result(&bed), result);
    assert_int_equal(bed.message.header.hop_by_hop, hop_by_hop);
}

static void the_greedy_is_refused_and_the_modest_is_served(void **state)
{
    (void)state;
    int greedy = testbed_open(&bed), modest = open_second();
    uint32_t taken = fill(greedy);
    assert_in_range(taken, BUSY_KEEP_A_CORE / 2, BUSY_KEEP_A_CORE * 9 / 10);
    uint64_t refused = busy_count();
    send_requests(modest, 0, BATCH); /* their bytes wait behind nobody's, and there is room for them */
    core_takes();
    assert_int_equal(busy_count(), refused);
    assert_int_equal(peer_named("mme2.example.org")->waiting, BATCH);
    testbed_send(&bed, greedy, vector_dwr, sizeof vector_dwr);
    assert_true(testbed_receive(&bed, greedy)); /* before what it is refused */
    assert_int_equal(bed.message.header.code, COMMAND_DEVICE_WATCHDOG);
    core_answers_all();
    for (uint32_t i = 0; i < taken; i++)
        expect(greedy, DIAMETER_SUCCESS, i);
    for (uint32_t i = 0; i < BATCH; i++)
        expect(modest, DIAMETER_SUCCESS, i);
    assert_int_equal(waiting(), 0);
    close(greedy);
    close(modest);
}

/* The order of its refusals is that of its requests; each is answered once. */
static void a_refusal_is_told_by_its_time(void **state)
{
    (void)state;
    int peer = testbed_open(&bed);
    uint32_t taken = fill(peer), refused = (uint32_t)busy_count();
    pass_ms(BUSY_TELL_MS - BUSY_LOOK_MS);
    assert_true(testbed_is_silent(&bed, peer));
    pass_ms(BUSY_LOOK_MS);
    for (uint32_t i = 0; i < refused; i++) {
        expect(peer, DIAMETER_TOO_BUSY, taken + i);
        assert_int_equal(bed.message.header.flags, DIAMETER_FLAG_PROXIABLE | DIAMETER_FLAG_ERROR);
        assert_true(diameter_is(diameter_find(&bed.message, AVP_SESSION_ID), "mme1.example.org;1;2"));
        assert_true(diameter_is_identity(diameter_find(&bed.message, AVP_ORIGIN_HOST), "scef.dromio.test"));
    }
    assert_true(testbed_is_silent(&bed, peer));
    assert_int_equal(bed.gate->parcel_count, 0);
    close(peer);
}

static void a_refusal_is_told_when_there_is_room_again(void **state)
{
    (void)state;
    int peer = testbed_open(&bed);
    uint32_t taken = fill(peer);
    core_answers_all();
    for (uint32_t i = 0; i < taken; i++)
        expect(peer, DIAMETER_SUCCESS, i);
    for (int look = 1; look < BUSY_CALM_LOOKS; look++) {
        pass_ms(BUSY_LOOK_MS);
        assert_true(testbed_is_silent(&bed, peer));
    }
    pass_ms(BUSY_LOOK_MS);
    expect(peer, DIAMETER_TOO_BUSY, taken);
    send_requests(peer, 7, 1);
    core_takes();
    assert_int_equal(waiting(), 1);
    close(peer);
}

/* RFC 6733 5.4: behind the DPA the peer reads nothing more. */
static void refusals_go_before_the_dpa(void **state)
{
    (void)state;
    int peer = testbed_open(&bed);
    uint32_t taken = fill(peer), refused = (uint32_t)busy_count();
    testbed_send(&bed, peer, vector_dpr, sizeof vector_dpr);
    for (uint32_t i = 0; i < refused; i++)
        expect(peer, DIAMETER_TOO_BUSY, taken + i);
    assert_true(testbed_receive(&bed, peer));
    assert_int_equal(bed.message.header.code, COMMAND_DISCONNECT_PEER);
    close(peer);
}

static void who_comes_next_hears_nothing_of_it(void **state)
{
    (void)state;
    int peer = testbed_open(&bed);
    fill(peer);
    close(peer);
    testbed_turn(&bed);
    core_answers_all();
    peer = testbed_open(&bed);
    testbed_pass(&bed, 1);
    assert_true(testbed_is_silent(&bed, peer));
    assert_int_equal(bed.gate->parcel_count, 0);
    close(peer);
}

/* Neither a wrong length nor an unknown command becomes a refusal for lack of time. */
static void what_is_wrong_is_still_said(void **state)
{
    (void)state;
    uint8_t wrong[sizeof vector_odr];
    int peer = testbed_open(&bed);
    fill(peer);
    memcpy(wrong, vector_odr, sizeof wrong);
    wrong[20 + 7] = 255; /* the Session-Id ends behind the message */
    testbed_send(&bed, peer, wrong, sizeof wrong);
    assert_true(testbed_receive(&bed, peer));
    assert_int_equal(testbed_result(&bed), DIAMETER_INVALID_AVP_LENGTH);
    memcpy(wrong, vector_odr, sizeof wrong);
    wrong[7] ^= 0x40;
    testbed_send(&bed, peer, wrong, sizeof wrong);
    assert_true(testbed_receive(&bed, peer));
    assert_int_equal(testbed_result(&bed), DIAMETER_COMMAND_UNSUPPORTED);
    close(peer);
}

/* A peer with many requests under way leaves part of the ring to others. */
static void the_ring_is_shared_too(void **state)
{
    (void)state;
    int greedy = testbed_open(&bed), modest = open_second();
    while (busy_count() == 0)
        send_requests(greedy, 0, BATCH);
    uint64_t refused = busy_count();
    send_requests(modest, 0, BUSY_FEW / 2);
    assert_int_equal(busy_count(), refused);
    assert_int_equal(peer_named("mme2.example.org")->waiting, BUSY_FEW / 2);
    close(greedy);
    close(modest);
}

/* A Session-Id so long that a parcel holds one refusal: memory is bounded, the next one is told at once. */
static void refusals_kept_are_bounded(void **state)
{
    (void)state;
    static uint8_t request[LONG_SESSION + sizeof vector_odr + 16];
    static char session[LONG_SESSION];
    int peer = testbed_open(&bed);
    fill(peer);
    memset(session, 's', sizeof session);
    dro_builder out = dro_builder_over(request, sizeof request);
    size_t begin = diameter_begin(&out, &(diameter_header){ .code = COMMAND_MO_DATA, .application = DIAMETER_APPLICATION_T6A,
                                                            .flags = DIAMETER_FLAG_REQUEST, .hop_by_hop = 77 });
    diameter_put(&out, AVP_SESSION_ID, session, sizeof session);
    dro_builder_bytes(&out, vector_odr + 48, sizeof vector_odr - 48);
    diameter_end(&out, begin);
    while (bed.gate->parcel_count < BUSY_PARCELS_MAX)
        testbed_send(&bed, peer, request, dro_builder_length(&out));
    assert_true(testbed_is_silent(&bed, peer));
    testbed_send(&bed, peer, request, dro_builder_length(&out));
    expect(peer, DIAMETER_TOO_BUSY, 77);
    assert_int_equal(bed.gate->parcel_count, BUSY_PARCELS_MAX);
    close(peer);
}

/* vector_odr with a DRMP, and with OC-Supported-Features. */
static void send_urgent(int peer, uint32_t priority, uint32_t hop_by_hop)
{
    uint8_t request[sizeof vector_odr + 64];
    dro_builder out = dro_builder_over(request, sizeof request);
    size_t begin = diameter_begin(&out, &(diameter_header){ .code = COMMAND_MO_DATA, .application = DIAMETER_APPLICATION_T6A,
                                                            .flags = DIAMETER_FLAG_REQUEST, .hop_by_hop = hop_by_hop });
    dro_builder_bytes(&out, vector_odr + DIAMETER_HEADER_BYTES, sizeof vector_odr - DIAMETER_HEADER_BYTES);
    diameter_put_u32(&out, AVP_DRMP, priority);
    overload_put_features(&out);
    diameter_end(&out, begin);
    testbed_send(&bed, peer, request, dro_builder_length(&out));
}

static void a_higher_priority_finds_room_and_a_lower_one_is_refused_first(void **state)
{
    (void)state;
    int peer = testbed_open(&bed), other = open_second();
    send_urgent(other, 15, 1); /* that there are such is known from now on */
    core_takes();
    for (uint32_t i = 0; !busy_is(peer_named("mme1.example.org")); i++) {
        send_requests(peer, i, waiting() + BATCH < busy_keep(bed.gate) * 2 / 3 ? BATCH : 1);
        core_takes();
    }
    assert_int_equal(busy_count(), 0);
    send_urgent(peer, 15, 10077);
    assert_int_equal(busy_count(), 1);
    pass_ms(BUSY_TELL_MS);
    expect(peer, DIAMETER_TOO_BUSY, 10077);
    assert_int_equal(diameter_u32(diameter_find(&bed.message, AVP_DRMP)), 15); /* repeated */
    assert_non_null(diameter_find(&bed.message, AVP_OC_SUPPORTED_FEATURES));
    while (busy_count() == 1) {
        send_requests(peer, 0, BATCH);
        core_takes();
    }
    uint64_t refused = busy_count();
    send_urgent(peer, 0, 10078);
    assert_int_equal(busy_count(), refused);
    core_takes();
    testbed_core_answers(&bed, DIAMETER_SUCCESS, 0); /* the last one it took */
    pass_ms(BUSY_TELL_MS);
    while (testbed_receive(&bed, peer) && bed.message.header.hop_by_hop != 10078)
        assert_int_equal(testbed_result(&bed), DIAMETER_TOO_BUSY);
    assert_int_equal(testbed_result(&bed), DIAMETER_SUCCESS);
    assert_int_equal(diameter_u32(diameter_find(&bed.message, AVP_DRMP)), 0);
    close(peer);
    close(other);
}

/* What a peer that knows overload reports is told: of those it sent, how many were refused. */
static void who_can_hear_of_it_is_told_of_overload(void **state)
{
    (void)state;
    int peer = testbed_open(&bed);
    fill(peer);
    for (uint32_t i = 0; i < 40; i++)
        send_urgent(peer, PRIORITY_USUAL, 10000 + i);
    pass_ms(1000); /* all of these were refused */
    send_urgent(peer, PRIORITY_USUAL, 20000);
    pass_ms(BUSY_TELL_MS);
    while (testbed_receive(&bed, peer) && bed.message.header.hop_by_hop != 20000)
        ;
    const diameter_avp *report = diameter_find(&bed.message, AVP_OC_OLR);
    assert_int_equal(diameter_u32(diameter_find_in(&bed.message, report, AVP_OC_REDUCTION_PERCENTAGE)), OVERLOAD_REDUCTION_MAX);
    assert_int_equal(testbed_metric(&bed, "\ndromio_diameter_overload_percent "), OVERLOAD_REDUCTION_MAX);
    uint32_t load = 1;
    assert_true(overload_load(&bed.message, "scef.dromio.test", &load));
    assert_in_range(load, 0, OVERLOAD_LOAD_MAX / 4); /* of what may wait little is left */
    core_answers_all();
    send_requests(peer, 30000, 1); /* it does not know of such */
    core_takes();
    core_answers_all();
    while (testbed_receive(&bed, peer) && bed.message.header.hop_by_hop != 30000)
        ;
    assert_null(diameter_find(&bed.message, AVP_OC_OLR));
    assert_null(diameter_find(&bed.message, AVP_LOAD));
    close(peer);
}

static void a_slow_core_has_fewer_waiting(void **state)
{
    (void)state;
    enum { SENT = 2 * PATIENCE_LEAST };
    int peer = testbed_open(&bed);
    for (uint32_t sent = 0; sent < SENT; sent += BATCH) {
        send_requests(peer, sent, BATCH);
        core_takes();
    }
    assert_int_equal(busy_count(), 0); /* far from BUSY_KEEP_A_CORE */
    pass_ms(2 * PATIENCE_INTERVAL_MS);
    bed.id = ids[--id_count];
    testbed_core_answers(&bed, DIAMETER_SUCCESS, 0); /* nothing sooner */
    send_requests(peer, SENT, 1);
    assert_int_equal(busy_count(), 1);
    while (waiting() > PATIENCE_LEAST / 2) {
        bed.id = ids[--id_count];
        testbed_core_answers(&bed, DIAMETER_SUCCESS, 0);
    }
    send_requests(peer, SENT + 1, 1);
    assert_int_equal(busy_count(), 1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_greedy_is_refused_and_the_modest_is_served),
        TEST(a_refusal_is_told_by_its_time),
        TEST(a_refusal_is_told_when_there_is_room_again),
        TEST(refusals_go_before_the_dpa),
        TEST(who_comes_next_hears_nothing_of_it),
        TEST(what_is_wrong_is_still_said),
        TEST(the_ring_is_shared_too),
        TEST(refusals_kept_are_bounded),
        TEST(a_higher_priority_finds_room_and_a_lower_one_is_refused_first),
        TEST(who_can_hear_of_it_is_told_of_overload),
        TEST(a_slow_core_has_fewer_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

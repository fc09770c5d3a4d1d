/* An IWK-SCEF between an MME and the SCEF of a home network, on a clock that moves only when told.
 * The MME's messages are python-diameter's (wire/diameter/vectors.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "gate/diameter_gate.h"
#include "gate/diameter_testbed.h"
#include "wire/diameter/read.h"
#include "wire/diameter/vectors.h"
#include "wire/diameter/write.h"

#define HOME "home.example"

static testbed bed;
static roaming_policy policy;
static int mme, scef;
static uint8_t buffer[TESTBED_BYTES], first[TESTBED_BYTES];

static int open_scef(const char *identity)
{
    dro_builder out = dro_builder_over(buffer, sizeof buffer);
    size_t begin = diameter_begin(&out, &(diameter_header){ .code = COMMAND_CAPABILITIES_EXCHANGE, .flags = DIAMETER_FLAG_REQUEST });
    diameter_put_text(&out, AVP_ORIGIN_HOST, identity);
    diameter_put_text(&out, AVP_ORIGIN_REALM, HOME);
    diameter_put_address(&out, AVP_HOST_IP_ADDRESS, "\x7f\0\0\1", 4);
    diameter_put_u32(&out, AVP_VENDOR_ID, 0);
    diameter_put_text(&out, AVP_PRODUCT_NAME, "test");
    diameter_put_application(&out, DIAMETER_APPLICATION_T6A);
    diameter_end(&out, begin);
    int peer = testbed_connect(&bed);
    testbed_send(&bed, peer, buffer, dro_builder_length(&out));
    assert_true(testbed_receive(&bed, peer));
    assert_int_equal(testbed_result(&bed), DIAMETER_SUCCESS);
    return peer;
}

static int setup(void **state)
{
    (void)state;
    testbed_init(&bed);
    policy = (roaming_policy){ .home_count = 1, .homes = { { .plmn = "00101", .realm = HOME } } };
    roaming_prepare(&policy);
    bed.config.roaming = &policy;
    testbed_start(&bed);
    mme = testbed_open(&bed);
    scef = open_scef("scef1." HOME);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (mme >= 0)
        close(mme);
    if (scef >= 0)
        close(scef);
    testbed_stop(&bed);
    return 0;
}

static void lose(int *peer)
{
    close(*peer);
    *peer = -1;
    testbed_turn(&bed);
}

static void expect(int peer, uint32_t result)
{
    assert_true(testbed_receive(&bed, peer));
    assert_int_equal(testbed_result(&bed), result);
}

/* The answer of whoever got bed.message. */
static size_t answer(uint32_t result)
{
    diameter_header header = diameter_answer_header(&bed.message.header, result);
    dro_builder out = dro_builder_over(buffer, sizeof buffer);
    size_t begin = diameter_begin(&out, &header);
    diameter_put_copy(&out, diameter_find(&bed.message, AVP_SESSION_ID));
    diameter_put_result(&out, result, 0);
    diameter_put_u32(&out, AVP_AUTH_SESSION_STATE, 1);
    diameter_put_text(&out, AVP_ORIGIN_HOST, "scef1." HOME);
    diameter_put_text(&out, AVP_ORIGIN_REALM, HOME);
    diameter_put(&out, AVP_CLASS, "odd", 3); /* padded; not in the grammar */
    diameter_end(&out, begin);
    return dro_builder_length(&out);
}

static void what_passes_is_what_was_sent_but_for_its_destination(void **state)
{
    (void)state;
    testbed_send(&bed, mme, vector_odr, sizeof vector_odr);
    assert_true(testbed_receive(&bed, scef));
    const diameter_header *header = &bed.message.header;
    assert_int_equal(header->flags, DIAMETER_FLAG_REQUEST | DIAMETER_FLAG_PROXIABLE);
    assert_int_equal(header->end_to_end, 0x0a0b0c0d);
    assert_int_not_equal(header->hop_by_hop, 0x01020304);
    const uint8_t *realm = memmem(vector_odr, sizeof vector_odr, "\0\0\1\x1b", 4); /* Destination-Realm's AVP code */
    size_t before = (size_t)(realm - vector_odr) - DIAMETER_HEADER_BYTES, behind = 20; /* Non-IP-Data, the last one */
    assert_memory_equal(bed.bytes + DIAMETER_HEADER_BYTES, vector_odr + DIAMETER_HEADER_BYTES, before);
    assert_memory_equal(bed.bytes + DIAMETER_HEADER_BYTES + before, vector_odr + sizeof vector_odr - behind, behind);
    assert_true(diameter_is(diameter_find(&bed.message, AVP_DESTINATION_REALM), HOME));
    assert_null(diameter_find(&bed.message, AVP_DESTINATION_HOST));
    assert_true(diameter_is(diameter_find(&bed.message, AVP_ROUTE_RECORD), "mme1.example.org"));
    const diameter_avp *data = diameter_find(&bed.message, AVP_NON_IP_DATA);
    assert_int_equal(data->length, 5);
    assert_memory_equal(data->data, "\1\2\3\4\5", 5);
}

static void an_answer_is_what_was_said_with_the_id_that_was_asked_with(void **state)
{
    (void)state;
    testbed_send(&bed, mme, vector_odr, sizeof vector_odr);
    assert_true(testbed_receive(&bed, scef));
    size_t length = answer(DIAMETER_SUCCESS);
    memcpy(first, buffer, length);
    testbed_send(&bed, scef, first, length);
    expect(mme, DIAMETER_SUCCESS);
    memcpy(first + 12, vector_odr + 12, 4);
    assert_int_equal(bed.message.header.length, length);
    assert_memory_equal(bed.bytes, first, length);
    assert_int_equal(testbed_metric(&bed, "dromio_diameter_pending{direction=\"in\"}"), 0);
    assert_int_equal(testbed_metric(&bed, "dromio_diameter_pending{direction=\"out\"}"), 0);
    testbed_send(&bed, scef, first, length); /* nobody asked */
    assert_true(testbed_is_silent(&bed, mme));
}

static void no_answer_in_time_is_3002_and_a_late_one_nobodys(void **state)
{
    (void)state;
    testbed_send(&bed, mme, vector_odr, sizeof vector_odr);
    assert_true(testbed_receive(&bed, scef));
    size_t length = answer(DIAMETER_SUCCESS);
    memcpy(first, buffer, length);
    testbed_pass(&bed, ANSWER_TIMEOUT_MS / 1000 - 5);
    assert_true(testbed_is_silent(&bed, mme));
    testbed_pass(&bed, 7);
    do
        assert_true(testbed_receive(&bed, mme));
    while (bed.message.header.code == COMMAND_DEVICE_WATCHDOG);
    assert_int_equal(testbed_result(&bed), DIAMETER_UNABLE_TO_DELIVER);
    assert_int_equal(bed.message.header.hop_by_hop, 0x01020304);
    testbed_send(&bed, scef, first, length);
    testbed_turn(&bed);
    assert_int_equal(testbed_metric(&bed, "dromio_diameter_drops_total{reason=\"unknown_answer\"}"), 1);
    assert_int_equal(testbed_metric(&bed, "dromio_interworking_unanswered_total{home=\"00101\",direction=\"up\"}"), 1);
}

/* An ODR with so much data. */
static size_t large_odr(size_t data)
{
    dro_builder out = dro_builder_over(first, sizeof first);
    dro_builder_bytes(&out, vector_odr, sizeof vector_odr - 20);
    uint8_t *bytes = buffer;
    memset(bytes, 0x5a, data);
    diameter_put(&out, AVP_NON_IP_DATA, bytes, data);
    return dro_builder_length(&out);
}

static void what_is_lost_goes_again_with_the_t_flag(void **state)
{
    (void)state;
    int second = open_scef("scef2." HOME);
    testbed_send_message(&bed, mme, first, large_odr(1000));
    assert_true(testbed_receive(&bed, scef));
    uint32_t hop_by_hop = bed.message.header.hop_by_hop;
    lose(&scef);
    assert_true(testbed_receive(&bed, second));
    assert_int_equal(bed.message.header.flags, DIAMETER_FLAG_REQUEST | DIAMETER_FLAG_PROXIABLE | DIAMETER_FLAG_RETRANSMITTED);
    assert_int_equal(bed.message.header.hop_by_hop, hop_by_hop);
    assert_int_equal(bed.message.header.end_to_end, 0x0a0b0c0d);
    assert_int_equal(diameter_find(&bed.message, AVP_NON_IP_DATA)->length, 1000);
    testbed_send(&bed, second, buffer, answer(DIAMETER_SUCCESS));
    expect(mme, DIAMETER_SUCCESS);
    close(second);
}

static void what_is_lost_waits_for_a_way_and_not_for_ever(void **state)
{
    (void)state;
    testbed_send(&bed, mme, vector_odr, sizeof vector_odr);
    assert_true(testbed_receive(&bed, scef));
    lose(&scef);
    testbed_pass(&bed, 3);
    assert_true(testbed_is_silent(&bed, mme));
    scef = open_scef("scef1." HOME);
    testbed_pass(&bed, 1);
    assert_true(testbed_receive(&bed, scef));
    assert_true((bed.message.header.flags & DIAMETER_FLAG_RETRANSMITTED) != 0);
    lose(&scef);
    testbed_pass(&bed, RELAY_HOLD_MS / 1000 + 1);
    expect(mme, DIAMETER_UNABLE_TO_DELIVER);
    scef = open_scef("scef1." HOME);
    testbed_pass(&bed, 2);
    assert_true(testbed_is_silent(&bed, scef));
    assert_int_equal(testbed_metric(&bed, "dromio_diameter_pending{direction=\"out\"}"), 0);
}

static void who_is_away_for_long_is_3002(void **state)
{
    (void)state;
    lose(&scef);
    testbed_send(&bed, mme, vector_odr, sizeof vector_odr); /* the first that meets no way: it may be back at once */
    testbed_pass(&bed, 2);
    assert_true(testbed_is_silent(&bed, mme));
    testbed_pass(&bed, RELAY_HOLD_MS / 1000);
    expect(mme, DIAMETER_UNABLE_TO_DELIVER);
    testbed_send(&bed, mme, vector_odr, sizeof vector_odr);
    expect(mme, DIAMETER_UNABLE_TO_DELIVER);
    assert_true((bed.message.header.flags & DIAMETER_FLAG_ERROR) != 0);
    assert_true(diameter_is(diameter_find(&bed.message, AVP_ORIGIN_HOST), "scef.dromio.test"));
    scef = open_scef("scef1." HOME);
    testbed_send(&bed, mme, vector_odr, sizeof vector_odr);
    assert_true(testbed_receive(&bed, scef));
    assert_int_equal(bed.message.header.flags, DIAMETER_FLAG_REQUEST | DIAMETER_FLAG_PROXIABLE);
}

static void what_is_held_for_who_is_gone_is_forgotten(void **state)
{
    (void)state;
    testbed_send(&bed, mme, vector_odr, sizeof vector_odr);
    assert_true(testbed_receive(&bed, scef));
    lose(&scef);
    lose(&mme);
    testbed_pass(&bed, 2);
    assert_int_equal(testbed_metric(&bed, "dromio_diameter_pending{direction=\"out\"}"), 0);
    assert_int_equal(testbed_metric(&bed, "dromio_diameter_pending{direction=\"in\"}"), 0);
}

static void what_is_too_long_to_be_kept_is_lost_with_its_way(void **state)
{
    (void)state;
    int second = open_scef("scef2." HOME);
    testbed_send_message(&bed, mme, first, large_odr(3000));
    assert_true(testbed_receive(&bed, scef));
    lose(&scef);
    expect(mme, DIAMETER_UNABLE_TO_DELIVER);
    assert_true(testbed_is_silent(&bed, second));
    close(second);
}

static void it_does_not_go_round_for_ever(void **state)
{
    (void)state;
    int others[3] = { open_scef("scef2." HOME), open_scef("scef3." HOME), open_scef("scef4." HOME) };
    testbed_send(&bed, mme, vector_odr, sizeof vector_odr);
    assert_true(testbed_receive(&bed, scef));
    lose(&scef);
    for (int i = 0; i < 2; i++) {
        assert_true(testbed_receive(&bed, others[i]));
        lose(&others[i]);
    }
    expect(mme, DIAMETER_UNABLE_TO_DELIVER);
    assert_true(testbed_is_silent(&bed, others[2]));
    close(others[2]);
}

static void a_home_network_that_is_silent_does_not_take_all(void **state)
{
    (void)state;
    enum { SENT = BUSY_KEEP_A_CORE + 100, BATCH = 250 };
    uint32_t refused = 0;
    for (uint32_t done = 0; done < SENT; done += BATCH) {
        dro_builder out = dro_builder_over(first, sizeof first);
        for (uint32_t i = 0; i < BATCH; i++)
            dro_builder_bytes(&out, vector_odr, sizeof vector_odr);
        testbed_send(&bed, mme, first, dro_builder_length(&out));
        while (recv(scef, first, sizeof first, MSG_DONTWAIT) > 0)
            testbed_turn(&bed);
    }
    refused = (uint32_t)testbed_metric(&bed, "dromio_diameter_drops_total{reason=\"busy\"}");
    assert_in_range(testbed_metric(&bed, "dromio_diameter_pending{direction=\"out\"}"), 1, BUSY_KEEP_A_CORE);
    assert_in_range(refused, 1, SENT);
    testbed_pass(&bed, 1);
    expect(mme, DIAMETER_TOO_BUSY);
}

/* Fills the table of events beyond its end. */
static void events_have_a_bound(void **state)
{
    (void)state;
    enum { MESSAGES = 330, EACH = 60, KEPT = EVENT_SETS * EVENT_WAYS };
    for (uint32_t i = 0; i < MESSAGES; i++) {
        dro_builder out = dro_builder_over(first, sizeof first);
        size_t begin = diameter_begin(&out, &(diameter_header){ .code = COMMAND_CONFIGURATION_INFORMATION, .application = DIAMETER_APPLICATION_T6A,
                                                                .flags = DIAMETER_FLAG_REQUEST | DIAMETER_FLAG_PROXIABLE });
        diameter_put_text(&out, AVP_SESSION_ID, "s");
        diameter_put_u32(&out, AVP_AUTH_SESSION_STATE, 1);
        diameter_put_text(&out, AVP_ORIGIN_HOST, "mme1.example.org");
        diameter_put_text(&out, AVP_ORIGIN_REALM, "example.org");
        diameter_put_text(&out, AVP_DESTINATION_REALM, "dromio.test");
        for (uint32_t j = 0; j < EACH; j++) {
            size_t group = diameter_group_begin(&out, AVP_MONITORING_EVENT_CONFIGURATION);
            diameter_put_u32(&out, AVP_SCEF_REFERENCE_ID, i * EACH + j + 1);
            diameter_put_text(&out, AVP_SCEF_ID, "scef1." HOME);
            diameter_put_u32(&out, AVP_MONITORING_TYPE, 0);
            diameter_group_end(&out, group);
        }
        diameter_end(&out, begin);
        testbed_send(&bed, mme, first, dro_builder_length(&out));
        expect(mme, DIAMETER_SUCCESS);
    }
    uint64_t kept = testbed_metric(&bed, "\ndromio_interworking_events ");
    assert_in_range(kept, KEPT / 2, KEPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CLAIM(what_passes_is_what_was_sent_but_for_its_destination), CLAIM(an_answer_is_what_was_said_with_the_id_that_was_asked_with),
        CLAIM(no_answer_in_time_is_3002_and_a_late_one_nobodys), CLAIM(what_is_lost_goes_again_with_the_t_flag),
        CLAIM(what_is_lost_waits_for_a_way_and_not_for_ever), CLAIM(what_is_held_for_who_is_gone_is_forgotten),
        CLAIM(who_is_away_for_long_is_3002),
        CLAIM(what_is_too_long_to_be_kept_is_lost_with_its_way), CLAIM(it_does_not_go_round_for_ever),
        CLAIM(a_home_network_that_is_silent_does_not_take_all), CLAIM(events_have_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

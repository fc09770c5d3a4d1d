/* The Diameter side of the gate as a peer and the core see it. Messages of peers
 * are python-diameter's (wire/diameter/vectors.h), or those made wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "gate/diameter_testbed.h"
#include "wire/diameter/check.h"
#include "wire/diameter/read.h"
#include "wire/diameter/vectors.h"
#include "wire/diameter/write.h"

static testbed bed;
static int mme;
static uint8_t buffer[TESTBED_BYTES];

static int setup(void **state)
{
    (void)state;
    testbed_init(&bed);
    testbed_start(&bed);
    return 0;
}

static int setup_open(void **state)
{
    setup(state);
    mme = testbed_open(&bed);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (mme > 0)
        close(mme);
    mme = 0;
    testbed_stop(&bed);
    return 0;
}

/* Whatever came before, a good peer is served at once. */
static void expect_service(void)
{
    int peer = testbed_connect(&bed);
    uint8_t cer[sizeof vector_cer];
    memcpy(cer, vector_cer, sizeof cer);
    memcpy(memmem(cer, sizeof cer, "mme1", 4), "mme9", 4);
    testbed_send(&bed, peer, cer, sizeof cer);
    assert_true(testbed_receive(&bed, peer));
    assert_int_equal(testbed_result(&bed), DIAMETER_SUCCESS);
    testbed_send(&bed, peer, vector_odr, sizeof vector_odr);
    assert_true(testbed_core_has(&bed, MESSAGE_UPLINK));
    testbed_core_answers(&bed, DIAMETER_SUCCESS, 0);
    assert_true(testbed_receive(&bed, peer));
    assert_int_equal(testbed_result(&bed), DIAMETER_SUCCESS);
    close(peer);
    testbed_turn(&bed);
}

/* A CER with this AVP changed or added by `change`. */
static void send_cer_with(void (*change)(dro_builder *out))
{
    dro_builder out = dro_builder_over(buffer, sizeof buffer);
    dro_builder_bytes(&out, vector_cer, sizeof vector_cer);
    change(&out);
    assert_int_equal(out.err, DRO_OK);
    mme = testbed_connect(&bed);
    testbed_send_message(&bed, mme, buffer, dro_builder_length(&out));
}

static const diameter_avp *failed_avp(void)
{
    const diameter_avp *failed = diameter_find(&bed.message, AVP_FAILED_AVP);
    assert_non_null(failed);
    assert_true(failed->length >= 8);
    return failed;
}

static uint32_t failed_code(void)
{
    const uint8_t *data = failed_avp()->data;
    return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

/* ---- uplinks ---- */

static void an_uplink_goes_to_the_core_and_its_answer_back(void **state)
{
    (void)state;
    testbed_send(&bed, mme, vector_odr, sizeof vector_odr);
    assert_true(testbed_core_has(&bed, MESSAGE_UPLINK));
    uplink_request uplink;
    memcpy(&uplink, bed.body, sizeof uplink);
    assert_string_equal(uplink.user.imsi, "001010000000001");
    assert_int_equal(uplink.user.bearer_length, 1);
    assert_int_equal(uplink.user.bearer[0], 5);
    assert_int_equal(uplink.end_to_end, 0x0a0b0c0d);
    assert_int_equal(uplink.is_retransmission, 0);
    assert_int_equal(uplink.is_exception, 0);
    assert_memory_equal(bed.body + sizeof uplink, "mme1.example.orgexample.org\x01\x02\x03\x04\x05", 16 + 11 + 5);
    testbed_core_answers(&bed, DIAMETER_SUCCESS, 0);
    assert_true(testbed_receive(&bed, mme));
    assert_int_equal(bed.message.header.length, sizeof vector_oda);
    assert_memory_equal(bed.bytes, vector_oda, sizeof vector_oda);
}

static void an_experimental_result_is_told_as_one(void **state)
{
    (void)state;
    testbed_send(&bed, mme, vector_odr, sizeof vector_odr);
    assert_true(testbed_core_has(&bed, MESSAGE_UPLINK));
    testbed_core_answers(&bed, 0, DIAMETER_ERROR_INVALID_EPS_BEARER);
    assert_true(testbed_receive(&bed, mme));
    assert_memory_equal(bed.bytes, vector_oda_experimental, sizeof vector_oda_experimental);
}

static void flags_of_an_uplink_reach_the_core(void **state)
{
    (void)state;
    memcpy(buffer, vector_odr_exception, sizeof vector_odr_exception);
    buffer[4] |= DIAMETER_FLAG_RETRANSMITTED;
    testbed_send(&bed, mme, buffer, sizeof vector_odr_exception);
    assert_true(testbed_core_has(&bed, MESSAGE_UPLINK));
    uplink_request uplink;
    memcpy(&uplink, bed.body, sizeof uplink);
    assert_int_equal(uplink.is_retransmission, 1);
    assert_int_equal(uplink.is_exception, 1);
}

static void proxy_info_comes_back_as_it_was(void **state)
{
    (void)state;
    testbed_send(&bed, mme, vector_odr_exception, sizeof vector_odr_exception);
    assert_true(testbed_core_has(&bed, MESSAGE_UPLINK));
    testbed_core_answers(&bed, DIAMETER_SUCCESS, 0);
    assert_true(testbed_receive(&bed, mme));
    const diameter_avp *proxy = diameter_find(&bed.message, AVP_PROXY_INFO);
    assert_true(diameter_is(diameter_find_in(&bed.message, proxy, AVP_PROXY_HOST), "proxy.example.org"));
    assert_true(diameter_is(diameter_find_in(&bed.message, proxy, AVP_PROXY_STATE), "\x01\x02\x03"));
    assert_int_equal(proxy->next, bed.message.count); /* the last one */
}

static void several_uplinks_of_one_read_are_answered_in_any_order(void **state)
{
    (void)state;
    enum { COUNT = 50 };
    uint64_t ids[COUNT];
    for (uint8_t i = 0; i < COUNT; i++) {
        uint8_t *at = buffer + i * sizeof vector_odr;
        memcpy(at, vector_odr, sizeof vector_odr);
        at[15] = i; /* Hop-by-Hop */
    }
    testbed_send(&bed, mme, buffer, COUNT * sizeof vector_odr);
    for (int i = 0; i < COUNT; i++) {
        assert_true(testbed_core_has(&bed, MESSAGE_UPLINK));
        ids[i] = bed.id;
    }
    for (int i = COUNT; i > 0; i--) {
        bed.id = ids[i - 1];
        testbed_core_answers(&bed, DIAMETER_SUCCESS, 0);
    }
    for (int i = COUNT; i > 0; i--) {
        assert_true(testbed_receive(&bed, mme));
        assert_int_equal(bed.message.header.hop_by_hop & 0xff, i - 1);
    }
}

static void a_message_in_single_bytes_is_one_message(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vector_odr; i++)
        testbed_send(&bed, mme, vector_odr + i, 1);
    assert_true(testbed_core_has(&bed, MESSAGE_UPLINK));
}

static void a_connection_goes_to_the_core(void **state)
{
    (void)state;
    testbed_send(&bed, mme, vector_cmr, sizeof vector_cmr);
    assert_true(testbed_core_has(&bed, MESSAGE_CONNECTION));
    connection_request request;
    memcpy(&request, bed.body, sizeof request);
    assert_int_equal(request.action, 0);
    assert_int_equal(request.is_reachable, 1);
    assert_int_equal(request.available_until, 1795348800);
    assert_int_equal(request.uplink_rate, 100);
    assert_int_equal(request.downlink_rate, 60);
    assert_int_equal(request.rat_type, 1005);
    assert_memory_equal(bed.body + sizeof request, "mme1.example.orgexample.orgnidd.test", 16 + 11 + 9);
    testbed_core_answers(&bed, 0, DIAMETER_ERROR_NIDD_CONFIGURATION_NOT_AVAILABLE);
    assert_true(testbed_receive(&bed, mme));
    assert_int_equal(bed.message.header.code, COMMAND_CONNECTION_MANAGEMENT);
    assert_int_equal(testbed_result(&bed), DIAMETER_ERROR_NIDD_CONFIGURATION_NOT_AVAILABLE);
}

enum { REPORTS_OF_RIR = 2 };

static void a_report_with_an_unknown_reference_is_refused_one_by_one(void **state)
{
    (void)state;
    testbed_send(&bed, mme, vector_rir, sizeof vector_rir);
    for (uint32_t place = 0; place < REPORTS_OF_RIR; place++) {
        network_report told;
        assert_true(testbed_core_has(&bed, MESSAGE_NETWORK_REPORT));
        memcpy(&told, bed.body, sizeof told);
        assert_int_equal(told.place, place);
        diameter_gate_on_report_answer(bed.gate, bed.id, &(report_answer){ VERDICT_NOT_THERE, place }, sizeof(report_answer));
    }
    assert_true(testbed_receive(&bed, mme));
    assert_int_equal(bed.message.header.length, sizeof vector_ria);
    assert_memory_equal(bed.bytes, vector_ria, sizeof vector_ria);
}

/* ---- downlinks ---- */

/* What the peer answers: a vector with the ids of the request in bed.message. */
static void answer_downlink(const uint8_t *vector, size_t length)
{
    uint8_t answer[512];
    char session[64];
    const diameter_avp *ours = diameter_find(&bed.message, AVP_SESSION_ID);
    snprintf(session, sizeof session, "%.*s", (int)ours->length, (const char *)ours->data);
    dro_builder out = dro_builder_over(answer, sizeof answer);
    diameter_header header = bed.message.header;
    header.flags = DIAMETER_FLAG_PROXIABLE;
    diameter_begin(&out, &header);
    diameter_put_text(&out, AVP_SESSION_ID, session);
    dro_builder_bytes(&out, vector + 48, length - 48); /* behind header and Session-Id */
    testbed_send_message(&bed, mme, answer, dro_builder_length(&out));
}

static downlink_answer told(void)
{
    downlink_answer answer;
    assert_true(testbed_core_has(&bed, MESSAGE_DOWNLINK_ANSWER));
    memcpy(&answer, bed.body, sizeof answer);
    return answer;
}

static void a_downlink_is_written_as_an_independent_host_would(void **state)
{
    (void)state;
    testbed_downlink(&bed, 99, "MME1.example.org", 1795348800, 1893456000);
    assert_true(testbed_receive(&bed, mme));
    diameter_fault fault;
    const diameter_command *command = diameter_command_find(COMMAND_MT_DATA, DIAMETER_APPLICATION_T6A, true);
    assert_true(diameter_check_request(&bed.message, command, &fault));
    assert_int_equal(bed.message.header.flags, DIAMETER_FLAG_REQUEST | DIAMETER_FLAG_PROXIABLE);
    const diameter_avp *user = diameter_find(&bed.message, AVP_USER_IDENTIFIER);
    assert_memory_equal(user->data - 12, vector_tdr + 48, 12 + 24); /* User-Identifier, byte for byte */
    assert_int_equal(diameter_time(diameter_find(&bed.message, AVP_SCEF_WAIT_TIME)), 1795348800);
    assert_int_equal(diameter_time(diameter_find(&bed.message, AVP_MAXIMUM_RETRANSMISSION_TIME)), 1893456000);
    assert_true(diameter_is(diameter_find(&bed.message, AVP_DESTINATION_REALM), "example.org"));
}

static void an_unreachable_device_comes_back_with_its_time(void **state)
{
    (void)state;
    testbed_downlink(&bed, 99, "mme1.example.org", 1795348810, 0);
    assert_true(testbed_receive(&bed, mme));
    answer_downlink(vector_tda_unreachable, sizeof vector_tda_unreachable);
    downlink_answer answer = told();
    assert_int_equal(bed.id, 99);
    assert_int_equal(answer.outcome, DOWNLINK_ANSWERED);
    assert_int_equal(answer.result, 0);
    assert_int_equal(answer.experimental, DIAMETER_ERROR_USER_TEMPORARILY_UNREACHABLE);
    assert_int_equal(answer.retransmission_time, 1893456000);
}

static void a_delivered_downlink_comes_back_with_its_flags(void **state)
{
    (void)state;
    testbed_downlink(&bed, 99, "mme1.example.org", 1795348810, 0);
    assert_true(testbed_receive(&bed, mme));
    answer_downlink(vector_tda_delivered, sizeof vector_tda_delivered);
    downlink_answer answer = told();
    assert_int_equal(answer.result, DIAMETER_SUCCESS);
    assert_int_equal(answer.flags, 1);
}

static void a_downlink_without_a_way_is_told_at_once(void **state)
{
    (void)state;
    testbed_downlink(&bed, 99, "mme2.example.org", 0, 0);
    assert_int_equal(told().outcome, DOWNLINK_NO_PEER);
    assert_true(testbed_is_silent(&bed, mme));
}

static void a_lost_connection_ends_its_downlinks(void **state)
{
    (void)state;
    testbed_downlink(&bed, 99, "mme1.example.org", 1795348810, 0);
    assert_true(testbed_receive(&bed, mme));
    uint32_t end_to_end = bed.message.header.end_to_end;
    close(mme);
    mme = 0;
    downlink_answer answer = told();
    assert_int_equal(answer.outcome, DOWNLINK_LOST);
    assert_int_equal(answer.end_to_end, end_to_end);
}

static void a_downlink_without_answer_ends_after_its_wait_time(void **state)
{
    (void)state;
    testbed_downlink(&bed, 99, "mme1.example.org", 1795348810, 0);
    assert_true(testbed_receive(&bed, mme));
    testbed_pass(&bed, 9);
    assert_false(testbed_core_has(&bed, MESSAGE_DOWNLINK_ANSWER));
    testbed_pass(&bed, 5);
    assert_int_equal(told().outcome, DOWNLINK_NO_ANSWER);
}

static void an_answer_without_result_counts_as_none(void **state)
{
    (void)state;
    testbed_downlink(&bed, 99, "mme1.example.org", 1795348810, 0);
    assert_true(testbed_receive(&bed, mme));
    answer_downlink(vector_tda_delivered, 48);
    assert_int_equal(told().outcome, DOWNLINK_NO_ANSWER);
    expect_service();
}

/* ---- answers nobody asked for (classes 5 and 7) ---- */

static void answers_nobody_asked_for_are_dropped_and_counted(void **state)
{
    (void)state;
    testbed_send(&bed, mme, vector_tda_delivered, sizeof vector_tda_delivered);
    testbed_send(&bed, mme, vector_oda, sizeof vector_oda);
    assert_true(testbed_is_silent(&bed, mme));
    assert_false(testbed_core_has(&bed, MESSAGE_DOWNLINK_ANSWER));
    assert_int_equal(testbed_metric(&bed, "dromio_diameter_drops_total{reason=\"unknown_answer\"}"), 2);
    expect_service();
}

static void only_the_answer_with_all_its_ids_is_taken(void **state)
{
    (void)state;
    testbed_downlink(&bed, 99, "mme1.example.org", 1795348810, 0);
    assert_true(testbed_receive(&bed, mme));
    diameter_header *header = &bed.message.header;
    header->hop_by_hop++;
    answer_downlink(vector_tda_delivered, sizeof vector_tda_delivered);
    header->hop_by_hop--;
    header->end_to_end ^= 0x80;
    answer_downlink(vector_tda_delivered, sizeof vector_tda_delivered);
    header->end_to_end ^= 0x80;
    header->code = COMMAND_MO_DATA;
    answer_downlink(vector_tda_delivered, sizeof vector_tda_delivered);
    header->code = COMMAND_MT_DATA;
    uint8_t *session = bed.bytes + 20 + 8 + 2; /* one letter of the Session-Id */
    *session ^= 1;
    answer_downlink(vector_tda_delivered, sizeof vector_tda_delivered);
    *session ^= 1;
    assert_false(testbed_core_has(&bed, MESSAGE_DOWNLINK_ANSWER));
    assert_int_equal(testbed_metric(&bed, "dromio_diameter_drops_total{reason=\"unknown_answer\"}"), 4);
    answer_downlink(vector_tda_delivered, sizeof vector_tda_delivered);
    assert_int_equal(told().outcome, DOWNLINK_ANSWERED);
}

static void a_watchdog_answer_nobody_asked_for_is_dropped(void **state)
{
    (void)state;
    memcpy(buffer, vector_cea, sizeof vector_cea);
    buffer[6] = 1; /* command 280 */
    buffer[7] = 0x18;
    testbed_send(&bed, mme, buffer, sizeof vector_cea);
    assert_true(testbed_is_silent(&bed, mme));
    assert_int_equal(testbed_metric(&bed, "dromio_diameter_drops_total{reason=\"unknown_answer\"}"), 1);
}

/* ---- capabilities refused (classes 1, 2, 4, 6, 8) ---- */

static void add_hosts(dro_builder *out)
{
    for (int i = 0; i < 64; i++)
        diameter_put_text(out, AVP_ORIGIN_HOST, "mme1.example.org");
}

static void an_avp_too_often_is_5009(void **state)
{
    (void)state;
    send_cer_with(add_hosts);
    assert_true(testbed_receive(&bed, mme));
    assert_int_equal(testbed_result(&bed), DIAMETER_AVP_OCCURS_TOO_MANY_TIMES);
    assert_int_equal(failed_code(), 264);
    assert_true(testbed_is_closed(&bed, mme));
    expect_service();
}

static void break_group(dro_builder *out)
{
    size_t group = diameter_group_begin(out, AVP_VENDOR_SPECIFIC_APPLICATION_ID);
    diameter_put_u32(out, AVP_VENDOR_ID, 10415);
    dro_builder_bytes(out, "\x00\x00\x01\x02\x40\x00\x00\xff\x01\x00\x00\x23", 12); /* says 255 bytes */
    diameter_group_end(out, group);
}

static void a_group_broken_inside_is_5014_and_closed(void **state)
{
    (void)state;
    send_cer_with(break_group);
    assert_true(testbed_receive(&bed, mme));
    assert_int_equal(testbed_result(&bed), DIAMETER_INVALID_AVP_LENGTH);
    assert_int_equal(failed_code(), 260); /* around the broken one */
    assert_true(testbed_is_closed(&bed, mme));
    expect_service();
}

static void short_address(dro_builder *out)
{
    diameter_put(out, AVP_HOST_IP_ADDRESS, "\x00\x02\x7f\x00\x00\x01", 6); /* IPv6 with 4 bytes */
}

static void a_length_that_lies_inside_a_value_is_5014(void **state)
{
    (void)state;
    send_cer_with(short_address);
    assert_true(testbed_receive(&bed, mme));
    assert_int_equal(testbed_result(&bed), DIAMETER_INVALID_AVP_LENGTH);
    assert_int_equal(failed_code(), 257);
    expect_service();
}

static void a_nul_in_an_identity_is_5004_and_others_are_served(void **state)
{
    (void)state;
    memcpy(buffer, vector_cer, sizeof vector_cer);
    memcpy(memmem(buffer, sizeof vector_cer, "mme1.", 5), "mm\0e1", 5);
    mme = testbed_connect(&bed);
    testbed_send(&bed, mme, buffer, sizeof vector_cer);
    assert_true(testbed_receive(&bed, mme));
    assert_int_equal(testbed_result(&bed), DIAMETER_INVALID_AVP_VALUE);
    assert_int_equal(failed_code(), 264);
    assert_true(testbed_is_closed(&bed, mme));
    expect_service();
}

static void before_capabilities_nothing_else_is_allowed(void **state)
{
    (void)state;
    const struct { const uint8_t *bytes; size_t length; } wrong[] = {
        { vector_odr, sizeof vector_odr }, { vector_cea, sizeof vector_cea }, { vector_dwr, sizeof vector_dwr },
        { vector_dpr, sizeof vector_dpr }, { vector_oda, sizeof vector_oda }, { vector_tdr, sizeof vector_tdr },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int peer = testbed_connect(&bed);
        testbed_send(&bed, peer, wrong[i].bytes, wrong[i].length);
        assert_true(testbed_is_closed(&bed, peer));
        close(peer);
    }
    assert_int_equal(testbed_metric(&bed, "dromio_diameter_drops_total{reason=\"state\"}"), sizeof wrong / sizeof wrong[0]);
    expect_service();
}

static void a_peer_that_shares_no_application_is_5010(void **state)
{
    (void)state;
    memcpy(buffer, vector_cer, sizeof vector_cer);
    buffer[sizeof vector_cer - 1] = 0x23; /* S6a */
    mme = testbed_connect(&bed);
    testbed_send(&bed, mme, buffer, sizeof vector_cer);
    assert_true(testbed_receive(&bed, mme));
    assert_int_equal(testbed_result(&bed), DIAMETER_NO_COMMON_APPLICATION);
    assert_true(testbed_is_closed(&bed, mme));
    expect_service();
}

static void a_peer_that_wants_tls_inside_is_5017(void **state)
{
    (void)state;
    dro_builder out = dro_builder_over(buffer, sizeof buffer);
    dro_builder_bytes(&out, vector_cer, sizeof vector_cer);
    diameter_put_u32(&out, AVP_INBAND_SECURITY_ID, 1);
    mme = testbed_connect(&bed);
    testbed_send_message(&bed, mme, buffer, dro_builder_length(&out));
    assert_true(testbed_receive(&bed, mme));
    assert_int_equal(testbed_result(&bed), DIAMETER_NO_COMMON_SECURITY);
}

/* ---- wrong requests on an open connection (classes 3, 4, 9, 13) ---- */

static void expect_refusal(const void *bytes, size_t length, uint32_t result)
{
    testbed_send_message(&bed, mme, bytes, length);
    assert_true(testbed_receive(&bed, mme));
    assert_int_equal(testbed_result(&bed), result);
    bool is_error = result / 1000 == 3;
    assert_int_equal((bed.message.header.flags & DIAMETER_FLAG_ERROR) != 0, is_error);
    assert_int_equal(bed.message.header.end_to_end, 0x0a0b0c0d);
    testbed_send(&bed, mme, vector_dwr, sizeof vector_dwr); /* and the connection goes on */
    assert_true(testbed_receive(&bed, mme));
    assert_int_equal(bed.message.header.code, COMMAND_DEVICE_WATCHDOG);
}

static void a_missing_routing_avp_is_5005_with_an_example(void **state)
{
    (void)state;
    memcpy(buffer, vector_odr, sizeof vector_odr);
    uint8_t *realm = memmem(buffer, sizeof vector_odr, "\x00\x00\x01\x1b", 4); /* Destination-Realm 283 */
    realm[3] = 0x19;                                                        /* 281, Error-Message */
    testbed_send(&bed, mme, buffer, sizeof vector_odr);
    assert_true(testbed_receive(&bed, mme));
    assert_int_equal(testbed_result(&bed), DIAMETER_MISSING_AVP);
    assert_int_equal(failed_code(), 283);
    expect_service();
}

static void header_and_avp_bits_are_judged(void **state)
{
    (void)state;
    memcpy(buffer, vector_odr, sizeof vector_odr);
    buffer[4] |= DIAMETER_FLAG_ERROR;
    expect_refusal(buffer, sizeof vector_odr, DIAMETER_INVALID_HDR_BITS);
    memcpy(buffer, vector_odr, sizeof vector_odr);
    buffer[24] |= 1; /* flags of Session-Id */
    expect_refusal(buffer, sizeof vector_odr, DIAMETER_INVALID_AVP_BITS);
}

static void what_is_not_known_is_refused_by_its_name(void **state)
{
    (void)state;
    memcpy(buffer, vector_odr, sizeof vector_odr);
    buffer[11] = 0x7f;
    expect_refusal(buffer, sizeof vector_odr, DIAMETER_APPLICATION_UNSUPPORTED);
    memcpy(buffer, vector_odr, sizeof vector_odr);
    buffer[7] = 0x01;
    expect_refusal(buffer, sizeof vector_odr, DIAMETER_COMMAND_UNSUPPORTED);
    memcpy(buffer, vector_tdr, sizeof vector_tdr); /* ours to send, not theirs */
    expect_refusal(buffer, sizeof vector_tdr, DIAMETER_COMMAND_UNSUPPORTED);
    memcpy(buffer, vector_odr, sizeof vector_odr);
    memcpy(buffer + sizeof vector_odr, "\x00\x00\xff\xff\x40\x00\x00\x09x\0\0\0", 12);
    expect_refusal(buffer, sizeof vector_odr + 12, DIAMETER_AVP_UNSUPPORTED);
}

static void an_unknown_avp_without_m_bit_is_ignored(void **state)
{
    (void)state;
    memcpy(buffer, vector_odr, sizeof vector_odr);
    memcpy(buffer + sizeof vector_odr, "\x00\x00\xff\xff\x00\x00\x00\x09x\0\0\0", 12);
    testbed_send_message(&bed, mme, buffer, sizeof vector_odr + 12);
    assert_true(testbed_core_has(&bed, MESSAGE_UPLINK));
}

static void a_request_for_somebody_else_is_refused(void **state)
{
    (void)state;
    memcpy(buffer, vector_odr, sizeof vector_odr);
    memcpy(memmem(buffer, sizeof vector_odr, "dromio.test", 11), "elsewhere.x", 11);
    expect_refusal(buffer, sizeof vector_odr, DIAMETER_REALM_NOT_SERVED);
    dro_builder out = dro_builder_over(buffer, sizeof buffer);
    dro_builder_bytes(&out, vector_odr, sizeof vector_odr);
    diameter_put_text(&out, AVP_DESTINATION_HOST, "other.dromio.test");
    expect_refusal(buffer, dro_builder_length(&out), DIAMETER_UNABLE_TO_DELIVER);
    out = dro_builder_over(buffer, sizeof buffer);
    dro_builder_bytes(&out, vector_odr, sizeof vector_odr);
    diameter_put_text(&out, AVP_ROUTE_RECORD, "scef.dromio.test");
    expect_refusal(buffer, dro_builder_length(&out), DIAMETER_LOOP_DETECTED);
}

static void an_imsi_that_is_none_is_5004(void **state)
{
    (void)state;
    memcpy(buffer, vector_odr, sizeof vector_odr);
    memcpy(memmem(buffer, sizeof vector_odr, "001010000000001", 15), "00101000000000x", 15);
    testbed_send(&bed, mme, buffer, sizeof vector_odr);
    assert_true(testbed_receive(&bed, mme));
    assert_int_equal(testbed_result(&bed), DIAMETER_INVALID_AVP_VALUE);
    assert_int_equal(failed_code(), 3102);
    assert_false(testbed_core_has(&bed, MESSAGE_UPLINK));
}

static void a_user_without_imsi_is_5005(void **state)
{
    (void)state;
    dro_builder out = dro_builder_over(buffer, sizeof buffer);
    dro_builder_bytes(&out, vector_odr, 48); /* header and Session-Id */
    diameter_group_end(&out, diameter_group_begin(&out, AVP_USER_IDENTIFIER));
    dro_builder_bytes(&out, vector_odr + 84, sizeof vector_odr - 84);
    testbed_send_message(&bed, mme, buffer, dro_builder_length(&out));
    assert_true(testbed_receive(&bed, mme));
    assert_int_equal(bed.message.header.length, sizeof vector_odr_missing);
    assert_memory_equal(bed.bytes, vector_odr_missing, sizeof vector_odr_missing);
}

static void nesting_too_deep_is_refused(void **state)
{
    (void)state;
    size_t groups[40];
    dro_builder out = dro_builder_over(buffer, sizeof buffer);
    dro_builder_bytes(&out, vector_odr, sizeof vector_odr);
    for (int i = 0; i < 40; i++)
        groups[i] = diameter_group_begin(&out, AVP_SERVING_NODE);
    for (int i = 40; i > 0; i--)
        diameter_group_end(&out, groups[i - 1]);
    expect_refusal(buffer, dro_builder_length(&out), DIAMETER_INVALID_AVP_VALUE);
}

static void more_avps_than_the_bound_are_refused(void **state)
{
    (void)state;
    dro_builder out = dro_builder_over(buffer, sizeof buffer);
    dro_builder_bytes(&out, vector_odr, sizeof vector_odr);
    for (int i = 0; i < DIAMETER_AVPS_MAX; i++)
        dro_builder_bytes(&out, "\x00\x00\xff\xff\x00\x00\x00\x08", 8);
    expect_refusal(buffer, dro_builder_length(&out), DIAMETER_UNABLE_TO_COMPLY);
}

static void a_wrong_version_or_length_is_answered_and_the_connection_ends(void **state)
{
    (void)state;
    const struct { int at; uint8_t value; uint32_t result; } wrong[] = {
        { 0, 2, DIAMETER_UNSUPPORTED_VERSION },
        { 3, 8, DIAMETER_INVALID_MESSAGE_LENGTH },
        { 3, 0xd3, DIAMETER_INVALID_MESSAGE_LENGTH },
        { 1, 0x7f, DIAMETER_INVALID_MESSAGE_LENGTH },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        memcpy(buffer, vector_odr, sizeof vector_odr);
        buffer[2] = 0;
        buffer[wrong[i].at] = wrong[i].value;
        testbed_send(&bed, mme, buffer, sizeof vector_odr);
        assert_true(testbed_receive(&bed, mme));
        assert_int_equal(testbed_result(&bed), wrong[i].result);
        assert_true(testbed_is_closed(&bed, mme));
        close(mme);
        mme = testbed_open(&bed);
    }
    expect_service();
}

static void every_cut_of_every_message_leaves_the_host_serving(void **state)
{
    (void)state;
    for (size_t length = DIAMETER_HEADER_BYTES; length < sizeof vector_odr; length += 4) {
        testbed_send_message(&bed, mme, vector_odr, length);
        if (length == sizeof vector_odr - 20) { /* just without Non-IP-Data */
            assert_true(testbed_core_has(&bed, MESSAGE_UPLINK));
            continue;
        }
        assert_true(testbed_receive(&bed, mme));
        assert_int_equal(testbed_result(&bed) / 1000, 5);
    }
    expect_service();
}

#define OPEN(test) cmocka_unit_test_setup_teardown(test, setup_open, teardown)
#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

/* TS 29.128: to a node that is no peer, by the one that spoke for it; with what is left of the APN's rate. */
static void a_release_goes_by_who_spoke_for_the_node_with_what_is_left(void **state)
{
    (void)state;
    const rate_status left = { .uplink = 3, .downlink = UINT32_MAX, .until_ms = 1795348800000 };
    downlink_request request = { .user = { .imsi = "001010000000001", .bearer_length = 1, .bearer = { 5 } },
                                 .host_length = 16, .realm_length = 11, .via_length = 16 };
    dro_builder out = dro_builder_over(buffer, sizeof buffer);
    dro_builder_bytes(&out, &request, sizeof request);
    dro_builder_text(&out, "mme7.example.net" "example.net" "MME1.example.org");
    dro_builder_bytes(&out, &left, sizeof left);
    diameter_gate_on_release(bed.gate, buffer, (uint32_t)dro_builder_length(&out));
    assert_true(testbed_receive(&bed, mme));
    assert_int_equal(bed.message.header.code, COMMAND_CONNECTION_MANAGEMENT);
    assert_true(diameter_is(diameter_find(&bed.message, AVP_DESTINATION_HOST), "mme7.example.net"));
    const diameter_avp *status = diameter_find(&bed.message, AVP_APN_RATE_CONTROL_STATUS);
    assert_int_equal(diameter_u32(diameter_find_in(&bed.message, status, AVP_UPLINK_NUMBER_OF_PACKETS_ALLOWED)), 3);
    assert_null(diameter_find_in(&bed.message, status, AVP_DOWNLINK_NUMBER_OF_PACKETS_ALLOWED));
    /* 2026-11-22 12:00 UTC in seconds since 1900, RFC 5905 */
    assert_true(diameter_u64(diameter_find_in(&bed.message, status, AVP_APN_RATE_CONTROL_STATUS_VALIDITY_TIME)) == (1795348800ull + 2208988800ull) << 32);
    diameter_gate_on_release(bed.gate, buffer, (uint32_t)sizeof request + 16 + 11 + 15); /* the name is cut off */
    assert_true(testbed_is_silent(&bed, mme));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPEN(an_uplink_goes_to_the_core_and_its_answer_back),
        OPEN(a_release_goes_by_who_spoke_for_the_node_with_what_is_left),
        OPEN(an_experimental_result_is_told_as_one),
        OPEN(flags_of_an_uplink_reach_the_core),
        OPEN(proxy_info_comes_back_as_it_was),
        OPEN(several_uplinks_of_one_read_are_answered_in_any_order),
        OPEN(a_message_in_single_bytes_is_one_message),
        OPEN(a_connection_goes_to_the_core),
        OPEN(a_report_with_an_unknown_reference_is_refused_one_by_one),
        OPEN(a_downlink_is_written_as_an_independent_host_would),
        OPEN(an_unreachable_device_comes_back_with_its_time),
        OPEN(a_delivered_downlink_comes_back_with_its_flags),
        OPEN(a_downlink_without_a_way_is_told_at_once),
        OPEN(a_lost_connection_ends_its_downlinks),
        OPEN(a_downlink_without_answer_ends_after_its_wait_time),
        OPEN(an_answer_without_result_counts_as_none),
        OPEN(answers_nobody_asked_for_are_dropped_and_counted),
        OPEN(only_the_answer_with_all_its_ids_is_taken),
        OPEN(a_watchdog_answer_nobody_asked_for_is_dropped),
        FRESH(an_avp_too_often_is_5009),
        FRESH(a_group_broken_inside_is_5014_and_closed),
        FRESH(a_length_that_lies_inside_a_value_is_5014),
        FRESH(a_nul_in_an_identity_is_5004_and_others_are_served),
        FRESH(before_capabilities_nothing_else_is_allowed),
        FRESH(a_peer_that_shares_no_application_is_5010),
        FRESH(a_peer_that_wants_tls_inside_is_5017),
        OPEN(a_missing_routing_avp_is_5005_with_an_example),
        OPEN(header_and_avp_bits_are_judged),
        OPEN(what_is_not_known_is_refused_by_its_name),
        OPEN(an_unknown_avp_without_m_bit_is_ignored),
        OPEN(a_request_for_somebody_else_is_refused),
        OPEN(an_imsi_that_is_none_is_5004),
        OPEN(a_user_without_imsi_is_5005),
        OPEN(nesting_too_deep_is_refused),
        OPEN(more_avps_than_the_bound_are_refused),
        OPEN(a_wrong_version_or_length_is_answered_and_the_connection_ends),
        OPEN(every_cut_of_every_message_leaves_the_host_serving),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

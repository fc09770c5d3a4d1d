/* Reading against messages of python-diameter (vectors.h) and against bytes made wrong by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/diameter/check.h"
#include "wire/diameter/read.h"
#include "wire/diameter/vectors.h"

static diameter_message message;
static diameter_fault fault;

static bool read_copy(const uint8_t *bytes, size_t length) /* exact copy: a sanitizer sees every byte too far */
{
    static uint8_t *copy;
    free(copy);
    copy = malloc(length > 0 ? length : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, length);
    return diameter_read(&message, copy, length, &fault);
}
#define READ(vector) read_copy(vector, sizeof vector)

static uint32_t judge(const uint8_t *bytes, size_t length)
{
    if (!read_copy(bytes, length))
        return fault.result;
    const diameter_header *header = &message.header;
    bool is_request = (header->flags & DIAMETER_FLAG_REQUEST) != 0;
    const diameter_command *command = diameter_command_find(header->code, header->application, is_request);
    assert_non_null(command);
    (void)(is_request ? diameter_check_request : diameter_check_answer)(&message, command, &fault);
    return fault.result;
}

static void an_uplink_is_read_whole(void **state)
{
    (void)state;
    assert_true(READ(vector_odr));
    assert_int_equal(message.header.code, COMMAND_MO_DATA);
    assert_int_equal(message.header.application, DIAMETER_APPLICATION_T6A);
    assert_int_equal(message.header.hop_by_hop, 0x01020304);
    assert_int_equal(message.header.end_to_end, 0x0a0b0c0d);
    assert_int_equal(message.header.flags, DIAMETER_FLAG_REQUEST | DIAMETER_FLAG_PROXIABLE);
    const diameter_avp *user = diameter_find(&message, AVP_USER_IDENTIFIER);
    assert_true(diameter_is(diameter_find_in(&message, user, AVP_USER_NAME), "001010000000001"));
    assert_null(diameter_find(&message, AVP_USER_NAME)); /* not at the top */
    const diameter_avp *data = diameter_find(&message, AVP_NON_IP_DATA);
    assert_int_equal(data->length, 5);
    assert_memory_equal(data->data, "\x01\x02\x03\x04\x05", 5);
    assert_true(diameter_is_identity(diameter_find(&message, AVP_ORIGIN_HOST), "MME1.example.org"));
}

static void values_come_out_by_type(void **state)
{
    (void)state;
    assert_true(READ(vector_cmr));
    assert_int_equal(diameter_time(diameter_find(&message, AVP_MAXIMUM_UE_AVAILABILITY_TIME)), 1795348800);
    const diameter_avp *rate = diameter_find(&message, AVP_SERVING_PLMN_RATE_CONTROL);
    assert_int_equal(diameter_u32(diameter_find_in(&message, rate, AVP_DOWNLINK_RATE_LIMIT)), 60);
    assert_int_equal(diameter_u32(diameter_find(&message, AVP_RAT_TYPE)), 1005);
    assert_true(READ(vector_tdr));
    assert_int_equal(diameter_time(diameter_find(&message, AVP_MAXIMUM_RETRANSMISSION_TIME)), 1893456000);
}

/* RFC 6733 4.3.1: the clock starts again "at 6h 28m 16s UTC, 7 February 2036". */
static void time_goes_on_after_2036(void **state)
{
    (void)state;
    const uint8_t zero[4] = { 0 }, later[4] = { 0, 0, 0, 1 }, before[4] = { 0xff, 0xff, 0xff, 0xff };
    diameter_avp avp = { .data = zero, .length = 4 };
    assert_int_equal(diameter_time(&avp), 2085978496);
    avp.data = later;
    assert_int_equal(diameter_time(&avp), 2085978497);
    avp.data = before;
    assert_int_equal(diameter_time(&avp), 2085978495);
}

static void equal_avps_are_walked_in_order(void **state)
{
    (void)state;
    assert_true(READ(vector_rir));
    const diameter_avp *report = diameter_find(&message, AVP_MONITORING_EVENT_REPORT);
    assert_int_equal(diameter_u32(diameter_find_in(&message, report, AVP_SCEF_REFERENCE_ID)), 77);
    report = diameter_find_next(&message, report);
    assert_int_equal(diameter_u32(diameter_find_in(&message, report, AVP_SCEF_REFERENCE_ID)), 78);
    assert_null(diameter_find_in(&message, report, AVP_SCEF_ID)); /* only in the first one */
    assert_null(diameter_find_next(&message, report));
}

static void results_of_answers_are_found(void **state)
{
    (void)state;
    uint32_t result, experimental;
    assert_true(READ(vector_tda_unreachable));
    diameter_result_of(&message, &result, &experimental);
    assert_int_equal(result, 0);
    assert_int_equal(experimental, DIAMETER_ERROR_USER_TEMPORARILY_UNREACHABLE);
    assert_true(READ(vector_oda));
    diameter_result_of(&message, &result, &experimental);
    assert_int_equal(result, DIAMETER_SUCCESS);
    assert_int_equal(experimental, 0);
}

static void what_an_independent_peer_writes_passes_the_grammar(void **state)
{
    (void)state;
    assert_int_equal(judge(vector_cer, sizeof vector_cer), 0);
    assert_int_equal(judge(vector_cer_ip6, sizeof vector_cer_ip6), 0);
    assert_int_equal(judge(vector_cea, sizeof vector_cea), 0);
    assert_int_equal(judge(vector_dwr, sizeof vector_dwr), 0);
    assert_int_equal(judge(vector_dpr, sizeof vector_dpr), 0);
    assert_int_equal(judge(vector_cmr, sizeof vector_cmr), 0);
    assert_int_equal(judge(vector_odr, sizeof vector_odr), 0);
    assert_int_equal(judge(vector_odr_exception, sizeof vector_odr_exception), 0);
    assert_int_equal(judge(vector_oda, sizeof vector_oda), 0);
    assert_int_equal(judge(vector_tdr, sizeof vector_tdr), 0);
    assert_int_equal(judge(vector_tda_unreachable, sizeof vector_tda_unreachable), 0);
    assert_int_equal(judge(vector_tda_delivered, sizeof vector_tda_delivered), 0);
    assert_int_equal(judge(vector_rir, sizeof vector_rir), 0);
    assert_int_equal(judge(vector_ria, sizeof vector_ria), 0);
}

/* RFC 6733 6.2: an answer repeats the ids, Session-Id and each Proxy-Info. */
static void skimming_finds_what_an_answer_repeats(void **state)
{
    static const uint8_t proxies[] = { 0, 0, 1, 28, 0x40, 0, 0, 12, 1, 2, 3, 4, 0, 0, 1, 28, 0x40, 0, 0, 9, 7, 0, 0, 0 };
    uint8_t bytes[sizeof vector_odr + sizeof proxies];
    (void)state;
    memcpy(bytes, vector_odr, sizeof vector_odr);
    memcpy(bytes + sizeof vector_odr, proxies, sizeof proxies);
    bytes[2] = (uint8_t)(sizeof bytes >> 8);
    bytes[3] = (uint8_t)sizeof bytes;
    assert_true(diameter_skim(&message, bytes, sizeof bytes));
    assert_int_equal(message.count, 3);
    assert_int_equal(message.header.code, COMMAND_MO_DATA);
    assert_ptr_equal(diameter_find(&message, AVP_SESSION_ID)->data, bytes + 28);
    const diameter_avp *proxy = diameter_find(&message, AVP_PROXY_INFO);
    assert_int_equal(proxy->length, 4);
    assert_int_equal(diameter_find_next(&message, proxy)->length, 1);
    assert_null(diameter_find_next(&message, diameter_find_next(&message, proxy)));
    bytes[sizeof vector_odr + 7] = 255; /* the first of them ends behind the message */
    assert_false(diameter_skim(&message, bytes, sizeof bytes));
    for (size_t length = 0; length < sizeof bytes; length++)
        assert_false(diameter_skim(&message, bytes, length));
}

static void more_than_the_bound_of_what_is_repeated_is_not_skimmed(void **state)
{
    static uint8_t bytes[DIAMETER_HEADER_BYTES + 8 * (DIAMETER_AVPS_MAX + 1)];
    (void)state;
    memcpy(bytes, vector_odr, DIAMETER_HEADER_BYTES);
    for (size_t at = DIAMETER_HEADER_BYTES; at < sizeof bytes; at += 8)
        memcpy(bytes + at, (const uint8_t[]){ 0, 0, 1, 28, 0x40, 0, 0, 8 }, 8);
    bytes[2] = (uint8_t)(sizeof bytes >> 8);
    bytes[3] = (uint8_t)sizeof bytes;
    assert_false(diameter_skim(&message, bytes, sizeof bytes));
}

static void every_shorter_message_has_a_wrong_length(void **state)
{
    (void)state;
    for (size_t length = 0; length < sizeof vector_odr; length++) {
        assert_false(read_copy(vector_odr, length));
        assert_int_equal(fault.result, DIAMETER_INVALID_MESSAGE_LENGTH);
    }
}

/* Cut at any place and with a header that says so, an AVP is broken or one is missing. */
static void every_message_cut_inside_is_refused(void **state)
{
    (void)state;
    uint8_t copy[sizeof vector_odr];
    for (size_t length = DIAMETER_HEADER_BYTES; length < sizeof vector_odr - 20; length += 4) {
        memcpy(copy, vector_odr, sizeof copy);
        copy[2] = (uint8_t)(length >> 8);
        copy[3] = (uint8_t)length;
        uint32_t result = judge(copy, length);
        assert_true(result == DIAMETER_INVALID_AVP_LENGTH || result == DIAMETER_MISSING_AVP);
        assert_true(fault.has_avp);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_uplink_is_read_whole),
        cmocka_unit_test(values_come_out_by_type),
        cmocka_unit_test(time_goes_on_after_2036),
        cmocka_unit_test(equal_avps_are_walked_in_order),
        cmocka_unit_test(results_of_answers_are_found),
        cmocka_unit_test(what_an_independent_peer_writes_passes_the_grammar),
        cmocka_unit_test(skimming_finds_what_an_answer_repeats),
        cmocka_unit_test(more_than_the_bound_of_what_is_repeated_is_not_skimmed),
        cmocka_unit_test(every_shorter_message_has_a_wrong_length),
        cmocka_unit_test(every_message_cut_inside_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

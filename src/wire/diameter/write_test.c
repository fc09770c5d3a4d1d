/* Writing: the same bytes as python-diameter writes (vectors.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "wire/diameter/read.h"
#include "wire/diameter/vectors.h"
#include "wire/diameter/write.h"

enum { AT_2026 = 1795348800, AT_2030 = 1893456000 };

static uint8_t buffer[2048];
static dro_builder out;
static size_t begin;

static void start(uint32_t code, uint8_t flags, const char *session)
{
    diameter_header header = { .code = code, .application = DIAMETER_APPLICATION_T6A, .hop_by_hop = 0x01020304,
                               .end_to_end = 0x0a0b0c0d, .flags = flags | DIAMETER_FLAG_PROXIABLE };
    out = dro_builder_over(buffer, sizeof buffer);
    begin = diameter_begin(&out, &header);
    diameter_put_text(&out, AVP_SESSION_ID, session);
}

static void put_origin(const char *host, const char *realm)
{
    diameter_put_u32(&out, AVP_AUTH_SESSION_STATE, 1);
    diameter_put_text(&out, AVP_ORIGIN_HOST, host);
    diameter_put_text(&out, AVP_ORIGIN_REALM, realm);
}

static void put_user(void)
{
    size_t group = diameter_group_begin(&out, AVP_USER_IDENTIFIER);
    diameter_put_text(&out, AVP_USER_NAME, "001010000000001");
    diameter_group_end(&out, group);
    diameter_put(&out, AVP_BEARER_IDENTIFIER, "\x05", 1);
}

static void expect(const uint8_t *bytes, size_t length)
{
    diameter_end(&out, begin);
    assert_int_equal(out.err, DRO_OK);
    assert_int_equal(dro_builder_length(&out), length);
    assert_memory_equal(buffer, bytes, length);
}

static void a_downlink_is_byte_for_byte(void **state)
{
    (void)state;
    start(COMMAND_MT_DATA, DIAMETER_FLAG_REQUEST, "scef.dromio.test;1;2");
    put_user();
    put_origin("scef.dromio.test", "dromio.test");
    diameter_put_text(&out, AVP_DESTINATION_HOST, "mme1.example.org");
    diameter_put_text(&out, AVP_DESTINATION_REALM, "example.org");
    diameter_put(&out, AVP_NON_IP_DATA, "\x81\x00\x3c", 3);
    diameter_put_time(&out, AVP_SCEF_WAIT_TIME, AT_2026);
    diameter_put_time(&out, AVP_MAXIMUM_RETRANSMISSION_TIME, AT_2030);
    expect(vector_tdr, sizeof vector_tdr);
}

static void an_experimental_result_is_grouped(void **state)
{
    (void)state;
    start(COMMAND_MO_DATA, 0, "mme1.example.org;1;2");
    diameter_put_result(&out, 0, DIAMETER_ERROR_INVALID_EPS_BEARER);
    put_origin("scef.dromio.test", "dromio.test");
    expect(vector_oda_experimental, sizeof vector_oda_experimental);
}

static void capabilities_are_byte_for_byte(void **state)
{
    (void)state;
    static const uint8_t loopback[] = { 127, 0, 0, 1 };
    diameter_header header = { .code = COMMAND_CAPABILITIES_EXCHANGE, .hop_by_hop = 0x01020304, .end_to_end = 0x0a0b0c0d };
    out = dro_builder_over(buffer, sizeof buffer);
    begin = diameter_begin(&out, &header);
    diameter_put_result(&out, DIAMETER_SUCCESS, 0);
    diameter_put_text(&out, AVP_ORIGIN_HOST, "mme1.example.org");
    diameter_put_text(&out, AVP_ORIGIN_REALM, "example.org");
    diameter_put_address(&out, AVP_HOST_IP_ADDRESS, loopback, sizeof loopback);
    diameter_put_u32(&out, AVP_VENDOR_ID, 0);
    diameter_put_text(&out, AVP_PRODUCT_NAME, "Dromio");
    diameter_put_u32(&out, AVP_ORIGIN_STATE_ID, 7);
    diameter_put_u32(&out, AVP_SUPPORTED_VENDOR_ID, DIAMETER_VENDOR_3GPP);
    diameter_put_application(&out, DIAMETER_APPLICATION_T6A);
    expect(vector_cea, sizeof vector_cea);
}

static void a_missing_avp_is_shown_as_zeros_inside_its_group(void **state)
{
    (void)state;
    const diameter_fault fault = { .result = DIAMETER_MISSING_AVP, .has_avp = true, .code = 1, .flags = 0x40,
                                   .around_count = 1, .around = { AVP_USER_IDENTIFIER } };
    start(COMMAND_MO_DATA, 0, "mme1.example.org;1;2");
    diameter_put_result(&out, DIAMETER_MISSING_AVP, 0);
    put_origin("scef.dromio.test", "dromio.test");
    diameter_put_failed(&out, &fault);
    expect(vector_odr_missing, sizeof vector_odr_missing);
}

static void a_full_buffer_is_told_once_at_the_end(void **state)
{
    (void)state;
    for (size_t room = 0; room < sizeof vector_oda_experimental; room++) {
        start(COMMAND_MO_DATA, 0, "mme1.example.org;1;2");
        out = dro_builder_over(buffer, room);
        diameter_header header = { .code = COMMAND_MO_DATA };
        begin = diameter_begin(&out, &header);
        diameter_put_text(&out, AVP_SESSION_ID, "mme1.example.org;1;2");
        diameter_put_result(&out, 0, DIAMETER_ERROR_INVALID_EPS_BEARER);
        put_origin("scef.dromio.test", "dromio.test");
        diameter_end(&out, begin);
        assert_int_equal(out.err, DRO_LIMIT);
    }
}

static void answers_keep_ids_and_mark_protocol_errors(void **state)
{
    (void)state;
    diameter_header request = { .flags = 0xd0, .hop_by_hop = 5, .end_to_end = 6, .code = 7, .application = 8 };
    diameter_header answer = diameter_answer_header(&request, DIAMETER_TOO_BUSY);
    assert_int_equal(answer.flags, DIAMETER_FLAG_PROXIABLE | DIAMETER_FLAG_ERROR);
    assert_int_equal(answer.hop_by_hop, 5);
    assert_int_equal(answer.end_to_end, 6);
    assert_int_equal(diameter_answer_header(&request, DIAMETER_MISSING_AVP).flags, DIAMETER_FLAG_PROXIABLE);
}

/* Digits and their TBCD by hand, after TS 29.002. */
static const struct { const char *digits; uint8_t bytes[8]; uint32_t length; } numbers[] = {
    { "1", { 0xf1 }, 1 }, { "49", { 0x94 }, 1 }, { "491723456", { 0x94, 0x71, 0x32, 0x54, 0xf6 }, 5 },
    { "123456789012345", { 0x21, 0x43, 0x65, 0x87, 0x09, 0x21, 0x43, 0xf5 }, 8 },
};

static void numbers_are_two_digits_a_byte_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char digits[DIAMETER_DIGITS_MAX + 1];
        diameter_avp avp = { .data = numbers[i].bytes, .length = numbers[i].length };
        out = dro_builder_over(buffer, sizeof buffer);
        diameter_put_tbcd(&out, AVP_MSISDN, numbers[i].digits);
        assert_memory_equal(buffer + 12, numbers[i].bytes, numbers[i].length);
        assert_int_equal(buffer[7], 12 + numbers[i].length);
        assert_true(diameter_tbcd(&avp, digits));
        assert_string_equal(digits, numbers[i].digits);
    }
}

static void what_is_no_number_is_refused(void **state)
{
    (void)state;
    static const struct { uint8_t bytes[9]; uint32_t length; } wrong[] = {
        { { 0 }, 0 }, { { 0xff }, 1 }, { { 0x2a }, 1 }, { { 0xa2 }, 1 }, { { 0xf1, 0x21 }, 2 }, { { 0x21, 0x1f }, 2 },
        { { 0x21, 0x43, 0x65, 0x87, 0x09, 0x21, 0x43, 0x65 }, 8 }, { { 0x21, 0x43, 0x65, 0x87, 0x09, 0x21, 0x43, 0x65, 0xf7 }, 9 },
    };
    char digits[DIAMETER_DIGITS_MAX + 1];
    assert_false(diameter_tbcd(NULL, digits));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        diameter_avp avp = { .data = wrong[i].bytes, .length = wrong[i].length };
        assert_false(diameter_tbcd(&avp, digits));
    }
}

/* RFC 6733 4.3.1: the family of IANA's address family numbers, then the address. */
static void addresses_are_of_two_families(void **state)
{
    (void)state;
    static const uint8_t v4[4] = { 192, 0, 2, 1 }, v6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };
    out = dro_builder_over(buffer, sizeof buffer);
    diameter_put_address(&out, AVP_HOST_IP_ADDRESS, v4, sizeof v4);
    assert_int_equal(dro_builder_length(&out), 16); /* 8, 6 and two of padding */
    assert_memory_equal(buffer + 4, ((uint8_t[]){ 0x40, 0, 0, 14, 0, 1, 192, 0, 2, 1, 0, 0 }), 12);
    out = dro_builder_over(buffer, sizeof buffer);
    diameter_put_address(&out, AVP_HOST_IP_ADDRESS, v6, sizeof v6);
    assert_int_equal(dro_builder_length(&out), 28);
    assert_memory_equal(buffer + 4, ((uint8_t[]){ 0x40, 0, 0, 26, 0, 2, 0x20, 0x01, 0x0d, 0xb8 }), 10);
}

static void without_any_result_there_is_one_of_nothing(void **state)
{
    (void)state;
    out = dro_builder_over(buffer, sizeof buffer);
    diameter_put_result(&out, 0, 0);
    assert_memory_equal(buffer, ((uint8_t[]){ 0, 0, 1, 12, 0x40, 0, 0, 12, 0, 0, 0, 0 }), 12); /* Result-Code 0, not a group */
}

static void a_copy_that_finds_no_room_is_told(void **state)
{
    (void)state;
    const diameter_avp missing = { .code = 1, .length = 100 };
    out = dro_builder_over(buffer, 20);
    diameter_put_copy(&out, &missing);
    assert_int_equal(out.err, DRO_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_downlink_is_byte_for_byte),
        cmocka_unit_test(an_experimental_result_is_grouped),
        cmocka_unit_test(capabilities_are_byte_for_byte),
        cmocka_unit_test(a_missing_avp_is_shown_as_zeros_inside_its_group),
        cmocka_unit_test(a_full_buffer_is_told_once_at_the_end),
        cmocka_unit_test(numbers_are_two_digits_a_byte_both_ways),
        cmocka_unit_test(what_is_no_number_is_refused),
        cmocka_unit_test(addresses_are_of_two_families),
        cmocka_unit_test(without_any_result_there_is_one_of_nothing),
        cmocka_unit_test(a_copy_that_finds_no_room_is_told),
        cmocka_unit_test(answers_keep_ids_and_mark_protocol_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Judging: values by type, grammars, and which fault is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "wire/diameter/check.h"
#include "wire/diameter/read.h"
#include "wire/diameter/vectors.h"
#include "wire/diameter/write.h"

static diameter_message message;
static diameter_fault fault;
static uint8_t buffer[8192];
static dro_builder out;

static uint32_t value(diameter_name name, const char *bytes, uint32_t length)
{
    diameter_avp avp = { .name = (uint16_t)name, .data = (const uint8_t *)bytes, .length = length };
    return diameter_check_value(&avp);
}
#define VALUE(name, text) value(name, text, sizeof text - 1)

/* The vector, then what `out` gets until judged(). */
static void begin(const uint8_t *vector, size_t length)
{
    out = dro_builder_over(buffer, sizeof buffer);
    dro_builder_bytes(&out, vector, length);
}
#define BEGIN(vector) begin(vector, sizeof vector)

static uint32_t judged(void)
{
    assert_int_equal(out.err, DRO_OK);
    diameter_end(&out, 0);
    if (!diameter_read(&message, buffer, dro_builder_length(&out), &fault))
        return fault.result;
    const diameter_header *header = &message.header;
    bool is_request = (header->flags & DIAMETER_FLAG_REQUEST) != 0;
    const diameter_command *command = diameter_command_find(header->code, header->application, is_request);
    assert_non_null(command);
    bool is_good = (is_request ? diameter_check_request : diameter_check_answer)(&message, command, &fault);
    assert_int_equal(is_good, fault.result == 0);
    return fault.result;
}

static void integers_have_their_width(void **state)
{
    (void)state;
    for (uint32_t length = 0; length < 12; length++) {
        assert_int_equal(value(AVP_RESULT_CODE, "0123456789ab", length), length == 4 ? 0 : DIAMETER_INVALID_AVP_LENGTH);
        assert_int_equal(value(AVP_OC_FEATURE_VECTOR, "0123456789ab", length), length == 8 ? 0 : DIAMETER_INVALID_AVP_LENGTH);
        assert_int_equal(value(AVP_SCEF_WAIT_TIME, "0123456789ab", length), length == 4 ? 0 : DIAMETER_INVALID_AVP_LENGTH);
        assert_int_equal(value(AVP_DISCONNECT_CAUSE, "0123456789ab", length), length == 4 ? 0 : DIAMETER_INVALID_AVP_LENGTH);
    }
}

static void addresses_fit_their_family(void **state)
{
    (void)state;
    assert_int_equal(VALUE(AVP_HOST_IP_ADDRESS, "\0\1\x7f\0\0\1"), 0);
    assert_int_equal(VALUE(AVP_HOST_IP_ADDRESS, "\0\2" "0123456789abcdef"), 0);
    assert_int_equal(VALUE(AVP_HOST_IP_ADDRESS, "\0\x08" "4912345"), 0); /* E.164 */
    assert_int_equal(VALUE(AVP_HOST_IP_ADDRESS, "\0\1\x7f\0\0"), DIAMETER_INVALID_AVP_LENGTH);
    assert_int_equal(VALUE(AVP_HOST_IP_ADDRESS, "\0\2" "0123456789abcde"), DIAMETER_INVALID_AVP_LENGTH);
    assert_int_equal(VALUE(AVP_HOST_IP_ADDRESS, "\0\1"), DIAMETER_INVALID_AVP_LENGTH);
    assert_int_equal(VALUE(AVP_HOST_IP_ADDRESS, ""), DIAMETER_INVALID_AVP_LENGTH);
    assert_int_equal(VALUE(AVP_HOST_IP_ADDRESS, "\0\0abcd"), DIAMETER_INVALID_AVP_VALUE);
    assert_int_equal(VALUE(AVP_HOST_IP_ADDRESS, "\xff\xff" "abcd"), DIAMETER_INVALID_AVP_VALUE);
}

static void identities_are_host_names(void **state)
{
    (void)state;
    char longest[256];
    memset(longest, 'a', sizeof longest);
    assert_int_equal(VALUE(AVP_ORIGIN_HOST, "mme-1.epc_x.MNC001.org"), 0);
    assert_int_equal(value(AVP_ORIGIN_HOST, longest, 255), 0);
    assert_int_equal(value(AVP_ORIGIN_HOST, longest, 256), DIAMETER_INVALID_AVP_VALUE);
    assert_int_equal(VALUE(AVP_ORIGIN_HOST, ""), DIAMETER_INVALID_AVP_VALUE);
    for (int c = 0; c < 256; c++) {
        char text[3] = { 'a', (char)c, 'b' };
        bool is_good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
        assert_int_equal(value(AVP_ORIGIN_HOST, text, 3), is_good ? 0 : DIAMETER_INVALID_AVP_VALUE);
    }
}

static void texts_are_utf8_without_nul(void **state)
{
    (void)state;
    assert_int_equal(VALUE(AVP_SESSION_ID, "a;1;2\xc3\xa9"), 0);
    assert_int_equal(VALUE(AVP_SESSION_ID, "a\0b"), DIAMETER_INVALID_AVP_VALUE);
    assert_int_equal(VALUE(AVP_SESSION_ID, "\xc0\xaf"), DIAMETER_INVALID_AVP_VALUE);
    assert_int_equal(VALUE(AVP_SESSION_ID, "\xed\xa0\x80"), DIAMETER_INVALID_AVP_VALUE);
    assert_int_equal(VALUE(AVP_SESSION_ID, "\xf4\x90\x80\x80"), DIAMETER_INVALID_AVP_VALUE);
    assert_int_equal(VALUE(AVP_SESSION_ID, "a\xe2\x82"), DIAMETER_INVALID_AVP_VALUE);
}

static void uris_have_a_scheme(void **state)
{
    (void)state;
    assert_int_equal(VALUE(AVP_REDIRECT_HOST, "aaa://host.example.org:3868;transport=tcp"), 0);
    assert_int_equal(VALUE(AVP_REDIRECT_HOST, "aaas://h"), 0);
    assert_int_equal(VALUE(AVP_REDIRECT_HOST, "aaa://"), DIAMETER_INVALID_AVP_VALUE);
    assert_int_equal(VALUE(AVP_REDIRECT_HOST, "http://host"), DIAMETER_INVALID_AVP_VALUE);
    assert_int_equal(VALUE(AVP_REDIRECT_HOST, "aaa://ho\nst"), DIAMETER_INVALID_AVP_VALUE);
    assert_int_equal(VALUE(AVP_REDIRECT_HOST, ""), DIAMETER_INVALID_AVP_VALUE);
}

static void one_too_many_is_told_with_the_one_too_many(void **state)
{
    (void)state;
    BEGIN(vector_odr);
    diameter_put_text(&out, AVP_DESTINATION_REALM, "other.test");
    assert_int_equal(judged(), DIAMETER_AVP_OCCURS_TOO_MANY_TIMES);
    assert_int_equal(fault.code, 283);
    assert_int_equal(fault.length, 10);
    assert_memory_equal(fault.data, "other.test", 10);
}

static void what_may_repeat_may(void **state)
{
    (void)state;
    BEGIN(vector_odr);
    for (int i = 0; i < 100; i++)
        diameter_put_text(&out, AVP_ROUTE_RECORD, "a.b");
    assert_int_equal(judged(), 0);
}

static void rules_hold_inside_groups_too(void **state)
{
    (void)state;
    BEGIN(vector_odr);
    size_t group = diameter_group_begin(&out, AVP_RRC_CAUSE_COUNTER);
    diameter_put_u32(&out, AVP_COUNTER_VALUE, 1);
    diameter_put_u32(&out, AVP_COUNTER_VALUE, 2);
    diameter_group_end(&out, group);
    assert_int_equal(judged(), DIAMETER_AVP_OCCURS_TOO_MANY_TIMES);
    assert_int_equal(fault.around_count, 1);
    assert_int_equal(fault.around[0], AVP_RRC_CAUSE_COUNTER);

    BEGIN(vector_odr);
    group = diameter_group_begin(&out, AVP_PROXY_INFO);
    diameter_put_text(&out, AVP_PROXY_HOST, "a.b");
    diameter_group_end(&out, group);
    assert_int_equal(judged(), DIAMETER_MISSING_AVP);
    assert_int_equal(fault.code, 33);
    assert_int_equal(fault.around[0], AVP_PROXY_INFO);
}

static void an_unknown_avp_matters_only_with_its_m_bit(void **state)
{
    (void)state;
    diameter_avp unknown = { .code = 60000, .vendor = 99, .data = (const uint8_t *)"x", .length = 1 };
    BEGIN(vector_odr);
    diameter_put_copy(&out, &unknown);
    assert_int_equal(judged(), 0);
    unknown.flags = DIAMETER_AVP_MANDATORY;
    BEGIN(vector_odr);
    size_t group = diameter_group_begin(&out, AVP_RRC_CAUSE_COUNTER);
    diameter_put_copy(&out, &unknown);
    diameter_group_end(&out, group);
    assert_int_equal(judged(), DIAMETER_AVP_UNSUPPORTED);
    assert_int_equal(fault.vendor, 99);
    BEGIN(vector_oda); /* in an answer it does not hurt */
    diameter_put_copy(&out, &unknown);
    assert_int_equal(judged(), 0);
}

static void what_a_failed_avp_holds_is_not_judged(void **state)
{
    (void)state;
    BEGIN(vector_oda);
    diameter_put(&out, AVP_FAILED_AVP, "\0\0\0\0\xff\xff\xff\xff", 8);
    assert_int_equal(judged(), 0);
}

static void padding_behind_the_last_avp_of_a_group_may_be_missing(void **state)
{
    (void)state;
    BEGIN(vector_odr);
    size_t group = diameter_group_begin(&out, AVP_TERMINAL_INFORMATION);
    dro_builder_bytes(&out, "\0\0\x05\x7b\xc0\0\0\x0d\0\0\x28\xaf" "9", 13); /* Software-Version, unpadded */
    diameter_group_end(&out, group);
    dro_builder_bytes(&out, "\0\0\0", 3);
    assert_int_equal(judged(), 0);
}

static void header_bits_fit_the_command(void **state)
{
    (void)state;
    BEGIN(vector_cer);
    buffer[4] |= DIAMETER_FLAG_PROXIABLE;
    assert_int_equal(judged(), DIAMETER_INVALID_HDR_BITS);
    BEGIN(vector_odr);
    buffer[4] |= DIAMETER_FLAG_ERROR;
    assert_int_equal(judged(), DIAMETER_INVALID_HDR_BITS);
    BEGIN(vector_oda);
    buffer[4] |= DIAMETER_FLAG_RETRANSMITTED;
    assert_int_equal(judged(), DIAMETER_INVALID_HDR_BITS);
    BEGIN(vector_odr);
    buffer[4] |= DIAMETER_FLAG_RETRANSMITTED | 0x0f; /* RFC 6733 3: reserved bits are ignored */
    assert_int_equal(judged(), 0);
}

static void an_answer_needs_a_result(void **state)
{
    (void)state;
    begin(vector_oda, 48); /* header and Session-Id */
    assert_int_equal(judged(), DIAMETER_MISSING_AVP);
    begin(vector_oda, 48);
    diameter_put_result(&out, 0, 5653);
    assert_int_equal(judged(), 0);
}

static void every_row_of_the_dictionary_is_found_by_its_code(void **state)
{
    (void)state;
    for (int name = 1; name < AVP_COUNT; name++)
        assert_int_equal(diameter_name_of(diameter_dictionary[name].code, diameter_dictionary[name].vendor), name);
    assert_int_equal(diameter_name_of(0, 0), AVP_UNKNOWN);
    assert_int_equal(diameter_name_of(UINT32_MAX, 0), AVP_UNKNOWN);
    assert_int_equal(diameter_name_of(UINT32_MAX, DIAMETER_VENDOR_3GPP), AVP_UNKNOWN);
    assert_int_equal(diameter_name_of(4315, 9), AVP_UNKNOWN);
}

static void one_code_has_a_grammar_for_each_application(void **state)
{
    (void)state;
    const diameter_command *t6a = diameter_command_find(COMMAND_REPORTING_INFORMATION, DIAMETER_APPLICATION_T6A, true);
    const diameter_command *s6t = diameter_command_find(COMMAND_REPORTING_INFORMATION, DIAMETER_APPLICATION_S6T, true);
    assert_non_null(t6a);
    assert_non_null(s6t);
    assert_ptr_not_equal(t6a, s6t);
    assert_null(diameter_command_find(COMMAND_MO_DATA, DIAMETER_APPLICATION_S6T, true));
    assert_null(diameter_command_find(COMMAND_MO_DATA, 0, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_have_their_width),
        cmocka_unit_test(addresses_fit_their_family),
        cmocka_unit_test(identities_are_host_names),
        cmocka_unit_test(texts_are_utf8_without_nul),
        cmocka_unit_test(uris_have_a_scheme),
        cmocka_unit_test(one_too_many_is_told_with_the_one_too_many),
        cmocka_unit_test(what_may_repeat_may),
        cmocka_unit_test(rules_hold_inside_groups_too),
        cmocka_unit_test(an_unknown_avp_matters_only_with_its_m_bit),
        cmocka_unit_test(what_a_failed_avp_holds_is_not_judged),
        cmocka_unit_test(padding_behind_the_last_avp_of_a_group_may_be_missing),
        cmocka_unit_test(header_bits_fit_the_command),
        cmocka_unit_test(an_answer_needs_a_result),
        cmocka_unit_test(every_row_of_the_dictionary_is_found_by_its_code),
        cmocka_unit_test(one_code_has_a_grammar_for_each_application),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

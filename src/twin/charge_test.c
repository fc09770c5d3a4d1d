#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "twin/charge.h"

static const line_origin origin = { .series = 0xabc, .generation = 2, .core = 1, .place = 0x500000040, .index = 3, .sequence = 7,
                                      .time_ms = 1795420800000, .node = "scef.dromio.test" };

static size_t make(uint8_t bytes[512])
{
    dro_builder out = dro_builder_over(bytes, 512);
    dro_builder_le(&out, CHARGE_DOWNLINK, 1);
    dro_field_put_text(&out, CHARGE_IDENTIFIER, "m1@acme.example");
    dro_field_put_text(&out, CHARGE_APPLICATION, "as1");
    dro_field_put_text(&out, CHARGE_APPLICATION, "as\"2");
    dro_field_put(&out, CHARGE_PLMN, "\x00\xf1\x10", 3); /* 001 01, TS 24.008 10.5.1.3 */
    charge_put_u32(&out, CHARGE_OUTPUT, 12);
    dro_field_put_u64(&out, CHARGE_REFERENCE, 0x6250);
    dro_field_put_u64(&out, CHARGE_SUBMITTED, 1795420799000);
    dro_field_put_text(&out, CHARGE_RESULT, "SUCCESS");
    dro_field_put(&out, CHARGE_EXCEPTION, "", 0);
    dro_field_put(&out, 200, "later", 5); /* of a newer build */
    assert_int_equal(out.err, DRO_OK);
    return dro_builder_length(&out);
}

static void a_line_says_what_its_charge_does(void **state)
{
    (void)state;
    uint8_t bytes[512], text[2048];
    size_t length = make(bytes);
    dro_builder out = dro_builder_over(text, sizeof text);
    assert_int_equal(charge_line(&out, &origin, bytes, length), DRO_OK);
    dro_builder_le(&out, 0, 1);
    assert_string_equal((char *)text,
        "{\"localSequenceNumber\":7,\"id\":\"0000000000000abc-2.1-0000000500000040-3\",\"recordType\":\"MT-Data\","
        "\"eventTimestamp\":\"2026-11-23T08:00:00.000Z\",\"sCEFID\":\"scef.dromio.test\",\"externalIdentifier\":\"m1@acme.example\","
        "\"scsAsIds\":[\"as1\",\"as\\\"2\"],\"servingNodePLMNIdentifier\":\"00101\",\"accountingOutputOctets\":12,\"reference\":\"0000000000006250\","
        "\"submissionTimestamp\":\"2026-11-23T07:59:59.000Z\",\"result\":\"SUCCESS\",\"exceptionReport\":true}\n");
}

static void a_network_code_has_three_digits_too(void **state)
{
    (void)state;
    uint8_t bytes[64], text[1024];
    dro_builder charge = dro_builder_over(bytes, sizeof bytes), out = dro_builder_over(text, sizeof text);
    dro_builder_le(&charge, CHARGE_UPLINK, 1);
    dro_field_put(&charge, CHARGE_PLMN, "\x13\x00\x14", 3); /* 310 410 */
    assert_int_equal(charge_line(&out, &origin, bytes, dro_builder_length(&charge)), DRO_OK);
    dro_builder_le(&out, 0, 1);
    assert_non_null(strstr((char *)text, "\"servingNodePLMNIdentifier\":\"310410\""));
}

/* At its fields' ends a shorter one is a charge with less; anywhere else it is none. Never more than was there. */
static void every_shorter_charge_is_looked_at(void **state)
{
    (void)state;
    uint8_t bytes[512], text[2048];
    size_t length = make(bytes);
    unsigned refused = 0;
    for (size_t n = 0; n < length; n++) {
        dro_builder out = dro_builder_over(text, sizeof text);
        refused += charge_line(&out, &origin, bytes, n) != DRO_OK;
    }
    assert_in_range(refused, length - 11, length - 1);
}

static void what_is_no_charge_is_malformed(void **state)
{
    (void)state;
    uint8_t text[2048];
    static const uint8_t kind[] = { 99 }, wide[] = { CHARGE_UPLINK, CHARGE_INPUT, 2, 0, 0 }, none[] = { 0 };
    dro_builder out = dro_builder_over(text, sizeof text);
    assert_int_equal(charge_line(&out, &origin, kind, sizeof kind), DRO_MALFORMED);
    assert_int_equal(charge_line(&out, &origin, none, sizeof none), DRO_MALFORMED);
    assert_int_equal(charge_line(&out, &origin, wide, sizeof wide), DRO_MALFORMED);
}

static void a_full_buffer_is_a_limit(void **state)
{
    (void)state;
    uint8_t bytes[512], text[64];
    dro_builder out = dro_builder_over(text, sizeof text);
    assert_int_equal(charge_line(&out, &origin, bytes, make(bytes)), DRO_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_says_what_its_charge_does), cmocka_unit_test(a_network_code_has_three_digits_too),
        cmocka_unit_test(every_shorter_charge_is_looked_at), cmocka_unit_test(what_is_no_charge_is_malformed),
        cmocka_unit_test(a_full_buffer_is_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

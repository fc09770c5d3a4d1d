/* Networks. The octets are those of TS 24.008 10.5.1.13's figure, as Wireshark decodes Visited-PLMN-Id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "twin/plmn.h"

static const struct { const char *digits; uint8_t bytes[PLMN_BYTES]; } known[] = {
    { "00101", { 0x00, 0xf1, 0x10 } },
    { "26201", { 0x62, 0xf2, 0x10 } },
    { "310410", { 0x13, 0x00, 0x14 } },
};

static void digits_and_octets_are_the_same_network(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint8_t bytes[PLMN_BYTES];
        char digits[PLMN_DIGITS_MAX + 1];
        plmn_write(known[i].digits, bytes);
        assert_memory_equal(bytes, known[i].bytes, PLMN_BYTES);
        assert_true(plmn_read(known[i].bytes, digits));
        assert_string_equal(digits, known[i].digits);
    }
}

static void octets_without_digits_are_no_network(void **state)
{
    (void)state;
    char digits[PLMN_DIGITS_MAX + 1];
    assert_false(plmn_read((const uint8_t[]){ 0xff, 0xff, 0xff }, digits));
    assert_false(plmn_read((const uint8_t[]){ 0x0a, 0xf1, 0x10 }, digits));
    assert_false(plmn_read((const uint8_t[]){ 0x00, 0xf1, 0xa0 }, digits));
}

static void five_or_six_digits_are_a_network(void **state)
{
    (void)state;
    assert_true(plmn_is_valid("00101") && plmn_is_valid("310410"));
    assert_false(plmn_is_valid("") || plmn_is_valid("0010") || plmn_is_valid("0010123") || plmn_is_valid("0010a") || plmn_is_valid("00101 "));
}

static void an_imsi_begins_with_its_network(void **state)
{
    (void)state;
    assert_true(plmn_is_of("00101", "001010000000001"));
    assert_false(plmn_is_of("001011", "001010000000001"));
    assert_false(plmn_is_of("00101", "0010"));
}

static void a_realm_has_three_digits_of_each_code(void **state)
{
    (void)state;
    char realm[PLMN_REALM_MAX];
    plmn_realm("26201", realm);
    assert_string_equal(realm, "epc.mnc001.mcc262.3gppnetwork.org");
    plmn_realm("310410", realm);
    assert_string_equal(realm, "epc.mnc410.mcc310.3gppnetwork.org");
}

static bool place(const char *text, size_t digits, uint8_t network[PLMN_BYTES], uint32_t *value)
{
    return plmn_place_read(text, strlen(text), digits, network, value);
}

static void a_place_is_its_network_and_hexadecimal_digits(void **state)
{
    (void)state;
    uint8_t network[PLMN_BYTES];
    uint32_t value;
    assert_true(place("262-01-0a1B2c3", PLACE_CELL_DIGITS, network, &value));
    assert_memory_equal(network, known[1].bytes, PLMN_BYTES);
    assert_int_equal(value, 0xa1b2c3);
    assert_true(place("310-410-ffff", PLACE_AREA_DIGITS, network, &value));
    assert_memory_equal(network, known[2].bytes, PLMN_BYTES);
    assert_int_equal(value, 0xffff);
}

static void what_is_nearly_a_place_is_none(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "26201ffff", "262-01ffff", "26-201-ffff", "2620-1-ffff", "262-1-ffff", "262-0123-ffff", "262-01-fff", "262-01-fffff", "262-01-fffg", "262-01--fff",
        "262-01-ffff-", "26x-01-ffff", "262-0x-ffff", "262-01- fff", "262-01-ffff                       ", "262-01-ffffffffffffffffffffffffffffffff",
    };
    uint8_t network[PLMN_BYTES];
    uint32_t value;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(place(bad[i], PLACE_AREA_DIGITS, network, &value));
    assert_false(plmn_place_read("262-01-ff\0f", 11, PLACE_AREA_DIGITS, network, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits_and_octets_are_the_same_network), cmocka_unit_test(octets_without_digits_are_no_network),
        cmocka_unit_test(five_or_six_digits_are_a_network), cmocka_unit_test(an_imsi_begins_with_its_network),
        cmocka_unit_test(a_realm_has_three_digits_of_each_code), cmocka_unit_test(a_place_is_its_network_and_hexadecimal_digits),
        cmocka_unit_test(what_is_nearly_a_place_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

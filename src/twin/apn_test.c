#include "twin/apn.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static bool same(const char *a, const char *b)
{
    return apn_is_same(a, strlen(a), b, strlen(b));
}

static void an_operator_identifier_does_not_make_another_network(void **state)
{
    (void)state;
    assert_true(same("iot", "IoT"));
    assert_true(same("iot.acme", "iot.acme.mnc001.mcc001.GPRS"));
    assert_false(same("iot", "iot2"));
    assert_false(same("iot", "iot.mnc01.mcc001.gprs"));
    assert_false(same("", "iot"));
    assert_true(same("", ""));
    assert_false(same("mnc001.mcc001.gprs", "iot")); /* all of it is an operator identifier: left as it is */
}

static void the_first_rule_that_fits_chooses(void **state)
{
    (void)state;
    static const apn_rule rules[] = { { "acme.example", "as1", "meters", false }, { "acme.example", "", "acme", true }, { "", "as9", "nine", false } };
    apn_policy policy = { .rules = rules, .rule_count = 3, .usual = "iot" };
    assert_string_equal(apn_choose(&policy, "as1", "acme.example", 12), "meters");
    assert_string_equal(apn_choose(&policy, "as2", "ACME.example", 12), "acme");
    assert_string_equal(apn_choose(&policy, "as9", "other.example", 13), "nine");
    assert_string_equal(apn_choose(&policy, "as2", "other.example", 13), "iot");
    policy.usual = NULL;
    assert_string_equal(apn_choose(&policy, "as2", "other.example", 13), "");
}

static void a_connection_nobody_configured_is_judged_by_its_network(void **state)
{
    (void)state;
    static const apn_rule rules[] = { { "acme.example", "", "meters", false }, { "", "", "open", true } };
    apn_policy policy = { .rules = rules, .rule_count = 2 };
    assert_false(apn_accepts(&policy, "METERS", 6, "acme.example", 12));
    assert_true(apn_accepts(&policy, "meters", 6, "other.example", 13)); /* that rule is not for it */
    assert_true(apn_accepts(&policy, "anything", 8, "acme.example", 12));
    assert_true(apn_accepts(&policy, "", 0, "acme.example", 12));
    policy.refuses = true;
    assert_false(apn_accepts(&policy, "anything", 8, "acme.example", 12));
    assert_false(apn_accepts(&policy, "", 0, "acme.example", 12));
    assert_true(apn_accepts(&policy, "open", 4, "acme.example", 12));
}

static void names_are_letters_digits_hyphens_and_dots(void **state)
{
    (void)state;
    char longest[APN_TEXT_MAX + 1];
    memset(longest, 'a', sizeof longest);
    assert_true(apn_is_valid("iot.acme-1", 10));
    assert_false(apn_is_valid("", 0));
    assert_false(apn_is_valid("i t", 3));
    assert_false(apn_is_valid("i\0t", 3));
    assert_true(apn_is_valid(longest, APN_TEXT_MAX));
    assert_false(apn_is_valid(longest, APN_TEXT_MAX + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_operator_identifier_does_not_make_another_network),
        cmocka_unit_test(the_first_rule_that_fits_chooses),
        cmocka_unit_test(a_connection_nobody_configured_is_judged_by_its_network),
        cmocka_unit_test(names_are_letters_digits_hyphens_and_dots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

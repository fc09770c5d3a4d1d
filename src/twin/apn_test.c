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
    assert_true(apn_has_policy(&policy));
    assert_false(apn_has_policy(&(apn_policy){ .usual = "", .refuses = true }));
    assert_true(apn_has_policy(&(apn_policy){ .usual = "iot" }));
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

static void a_rate_is_packets_in_a_unit_of_time(void **state)
{
    (void)state;
    apn_rate rate = { 0 };
    assert_true(apn_rate_read("100/hour", &rate));
    assert_int_equal(rate.packets, 100);
    assert_int_equal(rate.seconds, 3600);
    assert_true(apn_rate_read("16777215/week", &rate));
    assert_int_equal(rate.seconds, 7 * 24 * 3600);
    static const char *const bad[] = { "", "100", "/day", "0/day", "16777216/day", "-1/day", " 1/day", "1/days", "1 /day", "1/second", "99999999999999999999/day" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(apn_rate_read(bad[i], &rate));
}

static void the_first_rule_with_rates_for_the_apn_and_domain_counts(void **state)
{
    (void)state;
    static const apn_rule rules[] = { { .apn = "iot" },
                                      { .apn = "iot", .domain = "acme.example", .uplink = { 5, 60 } },
                                      { .apn = "iot", .downlink = { 7, 60 } } };
    apn_policy policy = { .rules = rules, .rule_count = 3 };
    assert_true(apn_has_rates(&policy));
    assert_ptr_equal(apn_rates(&policy, "IOT.mnc001.mcc001.gprs", 22, "acme.example", 12), &rules[1]);
    assert_ptr_equal(apn_rates(&policy, "iot", 3, "other.example", 13), &rules[2]);
    assert_null(apn_rates(&policy, "other", 5, "acme.example", 12));
    assert_null(apn_rates(&policy, "", 0, "acme.example", 12));
    policy.rule_count = 1;
    assert_false(apn_has_rates(&policy));
}

static void networks_bind_an_apn_of_a_domain(void **state)
{
    (void)state;
    apn_rule rules[] = { { .apn = "meters", .domain = "acme.example" }, { .apn = "meters" } };
    apn_policy policy = { .rules = rules, .rule_count = 2 };
    assert_true(apn_may_visit(&policy, "meters", 6, "acme.example", 12, "26202")); /* nothing is said */
    assert_false(apn_has_networks(&policy));
    assert_true(apn_add_visited(&rules[0], "26201") && apn_has_networks(&policy));
    assert_true(apn_may_visit(&policy, "METERS.mnc001.mcc001.gprs", 25, "acme.example", 12, "26201"));
    assert_false(apn_may_visit(&policy, "meters", 6, "acme.example", 12, "26202"));
    assert_false(apn_may_visit(&policy, "meters", 6, "acme.example", 12, "2620"));
    assert_true(apn_may_visit(&policy, "meters", 6, "other.example", 13, "26202"));
    assert_true(apn_may_visit(&policy, "boats", 5, "acme.example", 12, "26202"));
    assert_false(apn_add_visited(&rules[0], "262"));
    for (int i = 1; i < APN_NETWORKS_MAX; i++)
        assert_true(apn_add_visited(&rules[0], "26203"));
    assert_false(apn_add_visited(&rules[0], "26204"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_bind_an_apn_of_a_domain),
        cmocka_unit_test(an_operator_identifier_does_not_make_another_network),
        cmocka_unit_test(the_first_rule_that_fits_chooses),
        cmocka_unit_test(a_connection_nobody_configured_is_judged_by_its_network),
        cmocka_unit_test(names_are_letters_digits_hyphens_and_dots),
        cmocka_unit_test(a_rate_is_packets_in_a_unit_of_time),
        cmocka_unit_test(the_first_rule_with_rates_for_the_apn_and_domain_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Roaming agreements. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "gate/roaming.h"

static roaming_policy policy = {
    .home_count = 3,
    .homes = { { .plmn = "31041", .realm = "epc.mnc041.mcc310.3gppnetwork.org" },
               { .plmn = "310410", .realm = "epc.mnc410.mcc310.3gppnetwork.org", .hosts = { "scef.other.example" }, .host_count = 1 },
               { .plmn = "26201", .realm = "home.example" } },
};

static void the_longest_network_of_an_imsi_counts(void **state)
{
    (void)state;
    assert_int_equal(roaming_of_imsi(&policy, "310410000000001"), 1);
    assert_int_equal(roaming_of_imsi(&policy, "310411000000001"), 0);
    assert_int_equal(roaming_of_imsi(&policy, "262010000000001"), 2);
    assert_int_equal(roaming_of_imsi(&policy, "262020000000001"), ROAMING_NONE);
    assert_int_equal(roaming_of_imsi(&policy, "2620"), ROAMING_NONE);
    assert_int_equal(roaming_of_imsi(&policy, "262009999999999"), ROAMING_NONE);
    assert_int_equal(roaming_of_imsi(&policy, "310420000000001"), ROAMING_NONE);
    assert_int_equal(roaming_of_imsi(&policy, "310409000000001"), ROAMING_NONE);
}

static void a_realm_is_a_networks_in_any_case_of_letters(void **state)
{
    (void)state;
    assert_int_equal(roaming_of_realm(&policy, "HOME.example", 12), 2);
    assert_int_equal(roaming_of_realm(&policy, "home.exampl", 11), ROAMING_NONE);
    assert_int_equal(roaming_of_realm(&policy, "x.home.example", 14), ROAMING_NONE);
}

static void an_scef_is_known_by_its_name_or_by_the_realm_in_it(void **state)
{
    (void)state;
    assert_int_equal(roaming_of_host(&policy, "SCEF.other.example", 18), 1);
    assert_int_equal(roaming_of_host(&policy, "scef7.home.example", 18), 2);
    assert_int_equal(roaming_of_host(&policy, "home.example", 12), ROAMING_NONE);
    assert_int_equal(roaming_of_host(&policy, "evilhome.example", 16), ROAMING_NONE);
    assert_int_equal(roaming_of_host(&policy, ".home.example", 13), ROAMING_NONE);
}

static void what_is_not_listed_is_not_limited(void **state)
{
    (void)state;
    roaming_home home = { 0 };
    assert_true(roaming_has_apn(&home, "any", 3) && roaming_has_report(&home, 2));
    assert_true(roaming_add_apn(&home, "iot"));
    assert_true(roaming_has_apn(&home, "IOT.mnc001.mcc001.gprs", 22));
    assert_false(roaming_has_apn(&home, "internet", 8) || roaming_has_apn(&home, "", 0));
    assert_true(roaming_add_report(&home, "loss_of_connectivity"));
    assert_true(roaming_has_report(&home, 0));
    assert_false(roaming_has_report(&home, 2) || roaming_has_report(&home, 31) || roaming_has_report(&home, UINT32_MAX));
    assert_false(roaming_add_report(&home, "everything"));
}

static void none_is_a_list_without_reports(void **state)
{
    (void)state;
    roaming_home home = { 0 };
    assert_true(roaming_add_report(&home, "none"));
    assert_false(roaming_has_report(&home, 0) || roaming_has_report(&home, 2));
}

static void lists_have_an_end(void **state)
{
    (void)state;
    roaming_home home = { 0 };
    for (int i = 0; i < ROAMING_HOSTS_MAX; i++)
        assert_true(roaming_add_host(&home, "scef.example"));
    for (int i = 0; i < ROAMING_APNS_MAX; i++)
        assert_true(roaming_add_apn(&home, "iot"));
    assert_false(roaming_add_host(&home, "scef.example") || roaming_add_apn(&home, "iot"));
    assert_false(roaming_add_host(&(roaming_home){ 0 }, "") || roaming_add_apn(&(roaming_home){ 0 }, "a b"));
}

int main(void)
{
    roaming_prepare(&policy);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_network_of_an_imsi_counts), cmocka_unit_test(a_realm_is_a_networks_in_any_case_of_letters),
        cmocka_unit_test(an_scef_is_known_by_its_name_or_by_the_realm_in_it), cmocka_unit_test(what_is_not_listed_is_not_limited),
        cmocka_unit_test(none_is_a_list_without_reports), cmocka_unit_test(lists_have_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

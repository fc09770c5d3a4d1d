/* Which domains run together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "twin/trust.h"

static trust_policy policy;
static char error[200];

static uint32_t add(const char *name, uint32_t share, const char *domain)
{
    uint32_t group = policy.group_count++;
    policy.groups[group].share = share;
    assert_null(trust_name(&policy, group, name));
    if (domain != NULL)
        assert_null(trust_add_domain(&policy, group, domain));
    return group;
}

static uint32_t group_of(const char *domain)
{
    return trust_group_of(&policy, domain, strlen(domain));
}

static int begin(void **state)
{
    (void)state;
    memset(&policy, 0, sizeof policy);
    error[0] = '\0';
    return 0;
}

static void without_groups_cells_are_shared_by_number(void **state)
{
    uint32_t shares[TRUST_CELLS_MAX];
    (void)state;
    assert_int_equal(trust_group_of(NULL, "acme.example", 12), TRUST_NONE);
    for (uint32_t number = 0; number < 100; number++)
        assert_int_equal(trust_cell_of(NULL, 7, TRUST_NONE, number), number % 7);
    trust_shares(NULL, 4, shares);
    for (int i = 0; i < 4; i++)
        assert_int_equal(shares[i], 25);
    assert_true(trust_check(&policy, 1, error, sizeof error));
}

/* For each number of cells and groups: no domain of a group is in a cell with one that is not, and each cell has somebody. */
static void each_group_has_a_cell_that_nobody_else_has(void **state)
{
    (void)state;
    for (uint32_t groups = 1; groups <= TRUST_GROUPS_MAX; groups++) {
        char name[32];
        memset(&policy, 0, sizeof policy);
        for (uint32_t i = 0; i < groups; i++) {
            snprintf(name, sizeof name, "g%u.example", i);
            add(name, 0, name);
        }
        for (uint32_t cells = groups + 1; cells <= TRUST_CELLS_MAX; cells++) {
            uint32_t users[TRUST_CELLS_MAX] = { 0 };
            assert_true(trust_check(&policy, cells, error, sizeof error));
            for (uint32_t number = 0; number < 64; number++) {
                uint32_t cell = trust_cell_of(&policy, cells, TRUST_NONE, number);
                assert_true(cell < cells - groups);
                assert_int_equal(trust_group_of_cell(&policy, cells, cell), TRUST_NONE);
                users[cell]++;
            }
            for (uint32_t i = 0; i < groups; i++) {
                snprintf(name, sizeof name, "g%u.example", i);
                assert_int_equal(group_of(name), i);
                uint32_t cell = trust_cell_of(&policy, cells, i, 17 * i);
                assert_in_range(cell, cells - groups, cells - 1);
                assert_int_equal(trust_group_of_cell(&policy, cells, cell), i);
                assert_int_equal(users[cell]++, 0);
            }
            for (uint32_t i = 0; i < cells; i++)
                assert_true(users[i] > 0);
        }
    }
}

static void a_pattern_covers_what_is_below_it(void **state)
{
    (void)state;
    uint32_t acme = add("acme", 0, "*.ACME.example");
    assert_int_equal(group_of("water.acme.example"), acme);
    assert_int_equal(group_of("a.b.acme.example"), acme);
    assert_int_equal(group_of("acme.example"), TRUST_NONE);
    assert_int_equal(group_of("notacme.example"), TRUST_NONE);
    assert_int_equal(group_of("acme.example.evil.test"), TRUST_NONE);
    assert_int_equal(group_of(".acme.example"), TRUST_NONE);
    assert_null(trust_add_domain(&policy, acme, "acme.example"));
    assert_int_equal(group_of("acme.example"), acme);
}

static void no_domain_is_in_two_groups(void **state)
{
    static const char *const taken[] = { "gas.example", "GAS.example", "*.acme.example", "b.acme.example", "*.a.acme.example", "*.example" };
    (void)state;
    uint32_t first = add("first", 0, "gas.example"), second = add("second", 0, NULL);
    assert_null(trust_add_domain(&policy, first, "*.acme.example"));
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        assert_non_null(trust_add_domain(&policy, second, taken[i]));
    assert_int_equal(policy.groups[second].domain_count, 0);
    assert_null(trust_add_domain(&policy, second, "acme.example"));
    assert_null(trust_add_domain(&policy, second, "big-gas.example"));
}

static void what_is_no_name_or_domain_is_refused(void **state)
{
    static const char *const names[] = { "", "a b", "a\"b", "others", "0123456789012345678901234567890123" };
    static const char *const domains[] = { "", "*", "*.", "**.a", "a..b", "a.*", "-a.example", "a@b", "a/b", "a\"b" };
    char long_domain[300];
    (void)state;
    uint32_t group = add("a", 0, NULL);
    add("b", 0, "b.example");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_non_null(trust_name(&policy, group, names[i]));
    assert_non_null(trust_name(&policy, group, "b"));
    for (size_t i = 0; i < sizeof domains / sizeof domains[0]; i++)
        assert_non_null(trust_add_domain(&policy, group, domains[i]));
    memset(long_domain, 'a', sizeof long_domain);
    for (size_t i = 50; i < sizeof long_domain; i += 50)
        long_domain[i] = '.';
    long_domain[254] = '\0';
    assert_non_null(trust_add_domain(&policy, group, long_domain));
    long_domain[253] = '\0';
    assert_null(trust_add_domain(&policy, group, long_domain));
    for (uint32_t i = 1; i < TRUST_DOMAINS_MAX; i++) {
        char domain[32];
        snprintf(domain, sizeof domain, "d%u.example", i);
        assert_null(trust_add_domain(&policy, group, domain));
    }
    assert_non_null(trust_add_domain(&policy, group, "one.more.example"));
}

static void shares_add_up_to_a_core(void **state)
{
    uint32_t shares[TRUST_CELLS_MAX];
    (void)state;
    add("utilities", 50, "water.example");
    add("cars", 0, "cars.example");
    assert_true(trust_check(&policy, 4, error, sizeof error));
    trust_shares(&policy, 4, shares);
    assert_int_equal(shares[0], 16); /* what is left, in equal parts for two shared cells and the group without a share */
    assert_int_equal(shares[1], 16);
    assert_int_equal(shares[2], 50);
    assert_int_equal(shares[3], 16);
    policy.groups[1].share = 49;
    assert_true(trust_check(&policy, 3, error, sizeof error));
    trust_shares(&policy, 3, shares);
    assert_int_equal(shares[0], 1);
    assert_false(trust_check(&policy, 4, error, sizeof error));
    assert_non_null(strstr(error, "cpu adds up to 99"));
}

static void what_does_not_fit_together_is_refused(void **state)
{
    (void)state;
    add("a", 0, "a.example");
    add("b", 0, "b.example");
    assert_false(trust_check(&policy, 2, error, sizeof error));
    assert_non_null(strstr(error, "cells.max = 3"));
    assert_true(trust_check(&policy, 3, error, sizeof error));
    policy.groups[1].domain_count = 0;
    assert_false(trust_check(&policy, 3, error, sizeof error));
    assert_non_null(strstr(error, "cells.groups[1]: needs domains"));
    policy.groups[1].name[0] = '\0';
    assert_false(trust_check(&policy, 3, error, sizeof error));
    assert_non_null(strstr(error, "cells.groups[1]: needs a name"));
}

int main(void)
{
#define CLAIM(name) cmocka_unit_test_setup(name, begin)
    const struct CMUnitTest tests[] = {
        CLAIM(without_groups_cells_are_shared_by_number),
        CLAIM(each_group_has_a_cell_that_nobody_else_has),
        CLAIM(a_pattern_covers_what_is_below_it),
        CLAIM(no_domain_is_in_two_groups),
        CLAIM(what_is_no_name_or_domain_is_refused),
        CLAIM(shares_add_up_to_a_core),
        CLAIM(what_does_not_fit_together_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The names of budgets, as configurations and images have them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "twin/budget.h"

static uint32_t value_of(const char *name)
{
    return budget_value_find(name, strlen(name));
}

static void each_name_is_found(void **state)
{
    (void)state;
    static const char *const names[] = { "cpu", "messages", "timers", "log", "storage", "cpu_burst", "messages_burst", "timers_burst", "log_burst", "storage_burst", "memory" };
    assert_int_equal(sizeof names / sizeof names[0], BUDGET_VALUES);
    for (uint32_t i = 0; i < BUDGET_VALUES; i++) {
        assert_int_equal(value_of(names[i]), i);
        assert_string_equal(budget_value_name(i), names[i]);
    }
    assert_int_equal(budget_scope_find("twin", 4), BUDGET_OF_TWIN);
    assert_int_equal(budget_scope_find("image", 5), BUDGET_OF_IMAGE);
    assert_string_equal(budget_scope_name(BUDGET_OF_IMAGE), "image");
}

static void what_is_nearly_a_name_is_none(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "cp", "cpus", "CPU", "cpu_", "memory_burst", "bursts", "storagf" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(value_of(bad[i]), BUDGET_VALUES);
    assert_int_equal(budget_scope_find("twins", 5), BUDGET_SCOPES);
    assert_int_equal(budget_scope_find("twim", 4), BUDGET_SCOPES);
    assert_int_equal(budget_scope_find("", 0), BUDGET_SCOPES);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_name_is_found), cmocka_unit_test(what_is_nearly_a_name_is_none) };
    return cmocka_run_group_tests_name("budget names", tests, NULL, NULL);
}

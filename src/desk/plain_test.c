#include "desk/plain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static bool is_plain(const char *sql)
{
    static plain_query out;
    return plain_parse(&out, sql, strlen(sql));
}

static void a_plain_query_is_taken_apart(void **state)
{
    (void)state;
    static plain_query out;
    const char *sql = "SELECT site AS s, count( * ), avg(\"a\"\"b\") FROM \"acme/thermo\" WHERE x >= -1.5e2 AND NOT low AND "
                      "site = 'north' GROUP BY site ORDER BY 2 DESC, s LIMIT 5;";
    assert_true(plain_parse(&out, sql, strlen(sql)));
    assert_string_equal(out.table.text, "acme/thermo");
    assert_int_equal(out.item_count, 3);
    assert_int_equal(out.items[0].function, PLAIN_COLUMN);
    assert_string_equal(out.items[0].alias.text, "s");
    assert_int_equal(out.items[1].function, PLAIN_COUNT_ROWS);
    assert_memory_equal(out.items[1].text, "count( * )", 10);
    assert_int_equal(out.items[1].length, 10);
    assert_int_equal(out.items[2].function, PLAIN_AVG);
    assert_string_equal(out.items[2].column.text, "a\"b");
    assert_int_equal(out.test_count, 3);
    assert_int_equal(out.tests[0].op, SQLITE_INDEX_CONSTRAINT_GE);
    assert_true(out.tests[0].against.type == SQLITE_FLOAT && out.tests[0].against.number == -150);
    assert_true(out.tests[1].is_boolean && out.tests[1].against.integer == 0);
    assert_memory_equal(out.tests[2].against.text, "north", 5);
    assert_int_equal(out.group_count, 1);
    assert_int_equal(out.order_count, 2);
    assert_true(out.orders[0].item == 1 && out.orders[0].is_descending);
    assert_true(out.orders[1].item == 0 && !out.orders[1].is_descending);
    assert_int_equal(out.limit, 5);
}

static void what_is_not_plain_is_left_alone(void **state)
{
    (void)state;
    static const char *const others[] = {
        "", "select", "select 1", "select count(*)", "select * from t", "select distinct a from t",
        "select count(*) from t, u", "select count(*) from t join u", "select count(*) from t x", "select count(*) from (t)",
        "select count(distinct a) from t", "select count(a, b) from t", "select count() from t", "select t.a from t",
        "select sum(a + 1) from t", "select a + 1 from t", "select lower(a) from t", "select count(*) over () from t",
        "select count(*) from t where a = 1 or b = 2", "select count(*) from t where (a = 1)",
        "select count(*) from t where a = b", "select count(*) from t where 1 = a", "select count(*) from t where a <> 1",
        "select count(*) from t where a == 1", "select count(*) from t where a < = 1", "select count(*) from t where a = 1 + 1",
        "select count(*) from t where not a = 1", "select count(*) from t where a = 'it''s'", "select count(*) from t where a = 'x",
        "select count(*) from t where a = 0x10", "select count(*) from t where a = 1x", "select count(*) from t where a = 1.2.3",
        "select count(*) from t where a = 99999999999999999999", "select count(*) from t where a = null",
        "select count(*) from t where a in (1)", "select count(*) from t where a like 'x'", "select count(*) from t where a is true",
        "select count(*) from t where a = 'x' collate nocase", "select count(*) from t where", "select count(*) from t where order",
        "select a, count(*) from t group by a having count(*) > 1", "select a from t group by lower(a)",
        "select a from t group by 2", "select a from t group by 0", "select count(*) from t group by 1",
        "select b as a, count(*) from t group by a", "select a from t order by a nulls last", "select a from t order by b",
        "select a from t order by 2", "select a x, b x from t order by x", "select a from t order by a collate nocase",
        "select a from t limit -1", "select a from t limit 1 offset 2", "select a from t limit 1, 2", "select a from t limit 1.5",
        "select a from t union select b from u", "select a from t; select b from t", "with x as (select 1) select a from x",
        "select a from t as", "select a as from t", "select a b c from t", "select , from t", "select a from 't'",
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (is_plain(others[i]))
            print_message("%s\n", others[i]);
        assert_false(is_plain(others[i]));
    }
}

static void every_shorter_text_is_safe_to_read(void **state)
{
    (void)state;
    static plain_query out;
    const char *sql = "select a as \"b\", count(*) from t where x >= -1.5e2 and y = 'z' group by a order by 2 desc limit 5";
    for (size_t i = 0; i <= strlen(sql); i++)
        plain_parse(&out, sql, i);
}

static void limits_of_parts_hold(void **state)
{
    (void)state;
    char sql[8192] = "select count(*)";
    for (int i = 1; i < PLAIN_ITEMS_MAX; i++)
        strcat(sql, ", count(*)");
    size_t length = strlen(sql);
    strcat(sql, " from t");
    assert_true(is_plain(sql));
    sql[length] = '\0';
    strcat(sql, ", count(*) from t");
    assert_false(is_plain(sql));
    strcpy(sql, "select a from t where x");
    for (int i = 0; i < PLAIN_TESTS_MAX; i++)
        strcat(sql, " and x");
    assert_false(is_plain(sql));
    strcpy(sql, "select a from t group by a, a, a, a");
    assert_false(is_plain(sql));
    strcpy(sql, "select \"");
    memset(sql + 8, 'a', 300);
    strcpy(sql + 308, "\" from t");
    assert_false(is_plain(sql));
}

static void a_number_is_one_or_the_query_is_not_plain(void **state)
{
    (void)state;
    static plain_query out;
    static const struct { const char *text; double number; } good[] = { { "1e3", 1000 }, { "1E+3", 1000 }, { "25e-1", 2.5 }, { "-2", -2 }, { "9223372036854775807", 9223372036854775807.0 } };
    static const char *const bad[] = { "1a", "1_", "1e", "1e+", "1+2", "1..2", "9223372036854775808", "1e999", "-", "1.5.5",
                                       "1000000000000000000000000000000000000000000000000000000000000000000000000000000000000.5" };
    char sql[200];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        snprintf(sql, sizeof sql, "select a from t where x >= %s", good[i].text);
        assert_true(plain_parse(&out, sql, strlen(sql)));
        const bound *against = &out.tests[0].against;
        assert_true((against->type == SQLITE_INTEGER ? (double)against->integer : against->number) == good[i].number);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(sql, sizeof sql, "select a from t where x >= %s", bad[i]);
        assert_false(is_plain(sql));
    }
}

static void an_order_names_an_item_by_its_place(void **state)
{
    (void)state;
    assert_true(is_plain("select a, b from t order by 1, 2, a, b"));
    static const char *const others[] = { "0", "3", "1.0", "99999999999999999999", "1, 2, 1, 2, 1", "-1", "a, ", "" };
    char sql[100];
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        snprintf(sql, sizeof sql, "select a, b from t order by %s", others[i]);
        assert_false(is_plain(sql));
    }
    assert_true(is_plain("select a, count(*) from t group by 1"));
    assert_true(is_plain("select a, count(*) from t group by a"));
}

static void between_is_two_tests(void **state)
{
    (void)state;
    static plain_query out;
    const char *sql = "select a from t where x between 1 and 2.5";
    assert_true(plain_parse(&out, sql, strlen(sql)));
    assert_int_equal(out.test_count, 2);
    assert_true(out.tests[0].op == SQLITE_INDEX_CONSTRAINT_GE && out.tests[0].against.integer == 1);
    assert_true(out.tests[1].op == SQLITE_INDEX_CONSTRAINT_LE && out.tests[1].against.number == 2.5);
    static const char *const others[] = { "x between 1", "x between 1 and", "x between and 2", "x between 1 or 2", "not x between 1 and 2", "not x = 1", "x = ", "not x is null", "x is 1 2" };
    char text[100];
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        snprintf(text, sizeof text, "select a from t where %s", others[i]);
        assert_false(is_plain(text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_query_is_taken_apart),
        cmocka_unit_test(what_is_not_plain_is_left_alone),
        cmocka_unit_test(every_shorter_text_is_safe_to_read),
        cmocka_unit_test(limits_of_parts_hold),
        cmocka_unit_test(a_number_is_one_or_the_query_is_not_plain),
        cmocka_unit_test(an_order_names_an_item_by_its_place),
        cmocka_unit_test(between_is_two_tests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

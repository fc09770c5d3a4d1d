#include "desk/sql_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct seen {
    char names[256];
} seen;

static dro_err on_tag(void *context, const char *name, size_t length)
{
    seen *seen = context;
    strncat(seen->names, name, length);
    strcat(seen->names, ";");
    return DRO_OK;
}

static const char *rewritten(const char *sql, seen *seen)
{
    static char out[512];
    seen->names[0] = '\0';
    assert_int_equal(sql_rewrite(sql, strlen(sql), out, sql_rewritten_max(strlen(sql)), on_tag, seen), DRO_OK);
    return out;
}

static void a_tag_becomes_a_column(void **state)
{
    (void)state;
    seen seen;
    assert_string_equal(rewritten("select tag('site')", &seen), "select \"tag('site')\"");
    assert_string_equal(seen.names, "site;");
    assert_string_equal(rewritten("select t.TAG /* x */ ( 'a' ), tag('b')", &seen), "select t.\"tag('a')\", \"tag('b')\"");
    assert_string_equal(seen.names, "a;b;");
    assert_string_equal(rewritten("select tag('it''s \"x\"')", &seen), "select \"tag('it''s \"\"x\"\"')\"");
    assert_string_equal(seen.names, "it''s \"x\";");
}

static void what_only_looks_like_a_tag_stays(void **state)
{
    (void)state;
    static const char *const same[] = {
        "",
        "select tag(site)",
        "select 'tag(''site'')'",
        "select \"tag('site')\"",
        "select -- tag('site')\n 1",
        "select /* tag('site') */ 1",
        "select [tag('site')]",
        "select `tag('site')`",
        "select stag('site'), tags('site')",
        "select tag('a', 'b')",
        "select tag('a' || 'b')",
        "select tag('open",
        "select tag(",
        "select tag",
        "select 'open tag('x')",
    };
    seen seen;
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        assert_string_equal(rewritten(same[i], &seen), same[i]);
        assert_string_equal(seen.names, "");
    }
}

static void the_most_quotes_fit(void **state)
{
    (void)state;
    seen seen;
    assert_string_equal(rewritten("tag('\"\"\"\"\"\"\"\"')", &seen), "\"tag('\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"')\"");
    assert_string_equal(rewritten("tag('')tag('')tag('')", &seen), "\"tag('')\"\"tag('')\"\"tag('')\"");
    char small[8];
    assert_int_equal(sql_rewrite("select 1", 8, small, sizeof small, on_tag, &seen), DRO_LIMIT);
}

static void an_offset_is_found_in_the_text_before(void **state)
{
    (void)state;
    const char *sql = "a tag( 'x' ) b tag('y\"') c";
    seen seen;
    const char *out = rewritten(sql, &seen);
    assert_int_equal(sql_offset_before(sql, strlen(sql), (size_t)(strchr(out, 'a') - out)), 0);
    assert_int_equal(sql_offset_before(sql, strlen(sql), (size_t)(strstr(out, "\"tag('x") - out)), 2);
    assert_int_equal(sql_offset_before(sql, strlen(sql), (size_t)(strstr(out, "x')") - out)), 2);
    assert_int_equal(sql_offset_before(sql, strlen(sql), (size_t)(strchr(out, 'b') - out)), strchr(sql, 'b') - sql);
    assert_int_equal(sql_offset_before(sql, strlen(sql), (size_t)(strrchr(out, 'c') - out)), strrchr(sql, 'c') - sql);
    assert_int_equal(sql_offset_before(sql, strlen(sql), 1000), strlen(sql));
}

static void a_name_of_a_result_is_shown_as_it_was_written(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        { "count(\"tag('a')\")", "count(tag('a'))" },
        { "max(\"tag('it''s \"\"x\"\"')\") || \"b\"", "max(tag('it''s \"x\"')) || \"b\"" },
        { "tag('site')", "tag('site')" },
        { "'\"tag('", "'\"tag('" },
        { "\"tag(')\"", "\"tag(')\"" },
        { "", "" },
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s", pairs[i][0]);
        name[sql_name_shown(name)] = '\0';
        assert_string_equal(name, pairs[i][1]);
    }
}

static void the_end_of_a_statement_is_seen(void **state)
{
    (void)state;
    size_t at = 0;
    assert_true(sql_is_over(" ; -- x\n /* y */ ;", 18, &at));
    at = 0;
    assert_false(sql_is_over(" ; select", 9, &at));
    assert_int_equal(at, 3);
    at = 0;
    assert_true(sql_is_over("/* open", 7, &at));
}

static void names_are_found_as_tokens(void **state)
{
    (void)state;
    const char *sql = "select xa, 'a', -- a\n \"A\"";
    size_t at = 0;
    assert_true(sql_find(sql, strlen(sql), "a", 1, &at));
    assert_int_equal(at, 22);
    assert_false(sql_find(sql, strlen(sql), "b", 1, &at));
    assert_true(sql_begins_with(" /* x */ SELECT 1", 17, "select"));
    assert_false(sql_begins_with("selects", 7, "select"));
    assert_true(sql_is_plain("site_2", 6));
    assert_false(sql_is_plain("2site", 5));
    assert_false(sql_is_plain("a-b", 3));
    assert_false(sql_is_plain("", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tag_becomes_a_column),
        cmocka_unit_test(what_only_looks_like_a_tag_stays),
        cmocka_unit_test(the_most_quotes_fit),
        cmocka_unit_test(an_offset_is_found_in_the_text_before),
        cmocka_unit_test(a_name_of_a_result_is_shown_as_it_was_written),
        cmocka_unit_test(the_end_of_a_statement_is_seen),
        cmocka_unit_test(names_are_found_as_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

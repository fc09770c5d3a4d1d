#include "base/toml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static char seen[8192];

static const char *each(void *context, const toml_value *value)
{
    size_t at = strlen(seen);
    (void)context;
    if (strcmp(value->path, "bad") == 0)
        return "is not known";
    if (value->kind == TOML_STRING)
        snprintf(seen + at, sizeof seen - at, "%s=\"%s\";", value->path, value->text);
    else if (value->kind == TOML_FLOAT)
        snprintf(seen + at, sizeof seen - at, "%s=%g;", value->path, value->number);
    else
        snprintf(seen + at, sizeof seen - at, "%s=%lld%s;", value->path, (long long)value->integer, value->kind == TOML_BOOLEAN ? "b" : "");
    return NULL;
}

static int line;
static char error[TOML_TEXT_MAX];

static dro_err read_text(const char *text)
{
    seen[0] = '\0';
    return toml_read(text, strlen(text), each, NULL, &line, error);
}

static void values_are_told_with_their_paths(void **state)
{
    (void)state;
    assert_int_equal(read_text("top = 1\n[host]\nidentity = \"scef\" # why\nflag=true\n[a.b]\nc.d = -7\nx = 1.5\n"), DRO_OK);
    assert_string_equal(seen, "top=1;host.identity=\"scef\";host.flag=1b;a.b.c.d=-7;a.b.x=1.5;");
}

static void lists_and_tables_are_numbered(void **state)
{
    (void)state;
    assert_int_equal(read_text("[[p]]\nid=\"a\"\nl=[\"x\",\n \"y\",]\n[[p]]\nid='b'\nt={k=1,m=false}\n"), DRO_OK);
    assert_string_equal(seen, "p[0].id=\"a\";p[0].l[0]=\"x\";p[0].l[1]=\"y\";p[1].id=\"b\";p[1].t.k=1;p[1].t.m=0b;");
}

static void a_mistake_is_named_with_its_line(void **state)
{
    (void)state;
    static const struct { const char *text; int line; } wrong[] = {
        { "a", 1 }, { "a=\n", 1 }, { "\n\na=\"x\n", 3 }, { "a=1 b=2", 1 }, { "[a\n", 1 }, { "[[a]\n", 1 }, { "a={b=1", 1 },
        { "a=[1,2", 1 }, { "x=1\nbad=2\n", 2 }, { "a=\"\\q\"", 1 }, { "=1", 1 }, { "a=wrong", 1 },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(read_text(wrong[i].text), DRO_MALFORMED);
        assert_true(error[0] != '\0');
        assert_int_equal(line, wrong[i].line);
    }
}

static void nothing_nests_without_end(void **state)
{
    (void)state;
    char text[256] = "a=";
    memset(text + 2, '[', 200);
    assert_int_equal(read_text(text), DRO_MALFORMED);
    char path[600] = "";
    for (int i = 0; i < 120; i++)
        strcat(path, "abc.");
    strcat(path, "d=1");
    assert_int_equal(read_text(path), DRO_MALFORMED);
}

static void a_bare_word_of_set_is_a_string(void **state)
{
    (void)state;
    static const struct { const char *text, *seen; } sets[] = {
        { "off", "k=\"off\";" }, { "true", "k=1b;" }, { "12", "k=12;" }, { "127.0.0.1:80", "k=\"127.0.0.1:80\";" },
        { "\"12\"", "k=\"12\";" }, { "", "k=\"\";" }, { "[1,\"x\"]", "k[0]=1;k[1]=\"x\";" }, { "64MiB", "k=\"64MiB\";" },
    };
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        seen[0] = '\0';
        assert_int_equal(toml_read_value("k", sets[i].text, each, NULL, error), DRO_OK);
        assert_string_equal(seen, sets[i].seen);
    }
    assert_int_equal(toml_read_value("k", "\"x\" y", each, NULL, error), DRO_MALFORMED);
}

/* `count` times `part`. */
static const char *many(const char *before, const char *part, int count, const char *after)
{
    static char text[TOML_BYTES_MAX + 100];
    size_t at = (size_t)sprintf(text, "%s", before);
    for (int i = 0; i < count; i++)
        at += (size_t)sprintf(text + at, "%s", part);
    sprintf(text + at, "%s", after);
    return text;
}

static void what_is_too_long_is_refused_by_name(void **state)
{
    (void)state;
    assert_int_equal(read_text(many("a=\"", "x", TOML_TEXT_MAX - 3, "\"\n")), DRO_OK);
    assert_int_equal(read_text(many("a=\"", "x", TOML_TEXT_MAX, "\"\n")), DRO_MALFORMED);
    assert_string_equal(error, "string too long");
    assert_int_equal(read_text(many("", "k", TOML_PATH_MAX - 1, "=1\n")), DRO_OK);
    assert_int_equal(read_text(many("", "k", TOML_PATH_MAX, "=1\n")), DRO_MALFORMED);
    assert_string_equal(error, "key too long");
    assert_int_equal(read_text(many("", "k", TOML_TEXT_MAX + 10, "=1\n")), DRO_MALFORMED);
    assert_int_equal(read_text(many("[", "k", TOML_PATH_MAX - 1, "]\nx=1\n")), DRO_MALFORMED);
    assert_string_equal(error, "key too long");
    assert_int_equal(read_text(many("", "k", TOML_PATH_MAX - 1, "=[1]\n")), DRO_MALFORMED); /* no room for [0] */
    assert_int_equal(read_text(many("[[", "k", TOML_PATH_MAX - 1, "]]\n")), DRO_MALFORMED);
    assert_int_equal(read_text(many("#", "x", TOML_BYTES_MAX, "\n")), DRO_MALFORMED);
    assert_string_equal(error, "the file is too large");
}

static void there_are_only_so_many_arrays_of_tables(void **state)
{
    (void)state;
    char text[1000] = "";
    for (int i = 0; i < 33; i++) {
        assert_int_equal(read_text(text), DRO_OK);
        sprintf(text + strlen(text), "[[t%d]]\nx=1\n", i);
    }
    assert_int_equal(read_text(text), DRO_MALFORMED);
    assert_string_equal(error, "too many arrays of tables");
}

static void numbers_of_set_are_numbers(void **state)
{
    (void)state;
    static const struct { const char *text, *seen; } sets[] = { { "1.5", "k=1.5;" }, { "-3", "k=-3;" }, { "1e3", "k=1000;" }, { "1x", "k=\"1x\";" } };
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        seen[0] = '\0';
        assert_int_equal(toml_read_value("k", sets[i].text, each, NULL, error), DRO_OK);
        assert_string_equal(seen, sets[i].seen);
    }
    assert_int_equal(toml_read_value("k", many("", "x", TOML_TEXT_MAX, ""), each, NULL, error), DRO_MALFORMED);
    assert_string_equal(error, "string too long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_told_with_their_paths), cmocka_unit_test(lists_and_tables_are_numbered),
        cmocka_unit_test(a_mistake_is_named_with_its_line), cmocka_unit_test(nothing_nests_without_end),
        cmocka_unit_test(a_bare_word_of_set_is_a_string), cmocka_unit_test(what_is_too_long_is_refused_by_name),
        cmocka_unit_test(there_are_only_so_many_arrays_of_tables), cmocka_unit_test(numbers_of_set_are_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

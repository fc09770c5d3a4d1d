#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli.h"
#include "command.h"

enum { WORDS_MAX = 512 };

/* Splits at spaces; the words live until the next call. */
static bool parse(invocation *out, const char *line)
{
    static char text[4096];
    static char *argv[WORDS_MAX];
    int argc = 0;
    snprintf(text, sizeof text, "dromio %s", line);
    for (char *word = strtok(text, " "); word != NULL && argc < WORDS_MAX; word = strtok(NULL, " "))
        argv[argc++] = word;
    return invocation_parse(out, argc, argv);
}

static void a_command_has_its_arguments_and_options(void **state)
{
    (void)state;
    static invocation in;
    assert_true(parse(&in, "twin put a@b --model acme/thermo --tag x=1 --tag=y=2"));
    assert_string_equal(in.command->name, "twin put");
    assert_string_equal(invocation_argument(&in, 0), "a@b");
    assert_null(invocation_argument(&in, 1));
    assert_string_equal(invocation_option(&in, "--model"), "acme/thermo");
    assert_string_equal(invocation_option_at(&in, "--tag", 0), "x=1");
    assert_string_equal(invocation_option_at(&in, "--tag", 1), "y=2");
    assert_null(invocation_option_at(&in, "--tag", 2));
}

static void options_of_every_command_may_stand_anywhere(void **state)
{
    (void)state;
    static invocation in;
    assert_true(parse(&in, "-o json twin --host http://h get a@b"));
    assert_string_equal(in.command->name, "twin get");
    assert_string_equal(invocation_option(&in, "--output"), "json");
    assert_string_equal(invocation_option(&in, "--host"), "http://h");
    assert_true(parse(&in, "status -ondjson"));
    assert_string_equal(invocation_option(&in, "--output"), "ndjson");
}

static void the_last_of_an_option_counts(void **state)
{
    (void)state;
    static invocation in;
    assert_true(parse(&in, "status -o json -o table"));
    assert_string_equal(invocation_option(&in, "--output"), "table");
}

static void a_negative_number_is_an_argument(void **state)
{
    (void)state;
    static invocation in;
    assert_true(parse(&in, "twin set a@b limit -5.5"));
    assert_string_equal(invocation_argument(&in, 2), "-5.5");
    assert_true(parse(&in, "twin set a@b limit -.5"));
    assert_true(parse(&in, "query -"));
}

static void after_two_dashes_all_words_are_arguments(void **state)
{
    (void)state;
    static invocation in;
    assert_true(parse(&in, "query -- --help"));
    assert_false(in.is_help);
    assert_string_equal(invocation_argument(&in, 0), "--help");
}

static void expect_refused(const char *line, const char *why)
{
    static invocation in;
    assert_false(parse(&in, line));
    if (strstr(in.problem, why) == NULL)
        fail_msg("\"%s\" says: %s", line, in.problem);
}

static void what_cannot_be_is_refused_with_its_reason(void **state)
{
    (void)state;
    expect_refused("", "what shall it do");
    expect_refused("nonsense", "no command nonsense");
    expect_refused("twin", "which one");
    expect_refused("twin nonsense", "no such command: nonsense");
    expect_refused("twin get", "it takes ID");
    expect_refused("twin get a b", "too much: b");
    expect_refused("status --nonsense", "no option --nonsense here");
    expect_refused("status --tag x=1", "no option --tag here");
    expect_refused("status --host", "--host needs a value");
    expect_refused("status -o xml", "xml is not known");
    expect_refused("status -o js", "js is not known");
    expect_refused("status -o json ndjson", "too much");
    expect_refused("twin put a@b --create=yes", "--create takes no value");
    expect_refused("status -x", "no option -x here");
    expect_refused("status --outputs json", "no option --outputs");
}

static void controls_in_a_wrong_word_are_not_echoed(void **state)
{
    (void)state;
    static invocation in;
    assert_false(parse(&in, "\x1b[2J"));
    assert_null(strchr(in.problem, '\x1b'));
}

static void too_many_arguments_and_options_are_refused(void **state)
{
    (void)state;
    static invocation in;
    struct buffer line = { 0 };
    buffer_text(&line, "twin rm");
    for (int i = 0; i <= ARGUMENTS_MAX; i++)
        buffer_text(&line, " a");
    assert_false(parse(&in, line.bytes));
    buffer_clear(&line);
    buffer_text(&line, "status");
    for (int i = 0; i <= OPTIONS_GIVEN_MAX && i < WORDS_MAX - 3; i++)
        buffer_text(&line, " -ojson");
    assert_false(parse(&in, line.bytes));
    buffer_fini(&line);
}

static void help_needs_nothing_else(void **state)
{
    (void)state;
    static invocation in;
    assert_true(parse(&in, "--help"));
    assert_true(in.is_help && in.command == NULL);
    assert_true(parse(&in, "twin --help"));
    assert_true(in.is_help && in.command == NULL);
    assert_string_equal(in.group, "twin");
    assert_true(parse(&in, "twin get -h"));
    assert_string_equal(in.command->name, "twin get");
}

/* The table itself: what help, manual and completion are made of. */
static void every_command_is_whole(void **state)
{
    (void)state;
    for (const struct command *at = commands; at->name != NULL; at++) {
        assert_non_null(at->summary);
        assert_non_null(at->arguments);
        assert_non_null(at->examples[0]);
        assert_true((at->run != NULL) != (at->run_raw != NULL));
        int options = 0;
        for (const struct option *option = at->options; option->name != NULL; option++) {
            assert_true(strncmp(option->name, "--", 2) == 0 || strcmp(option->name, "-o") == 0);
            assert_non_null(option->text);
            assert_true(++options < COMMAND_OPTIONS_MAX);
        }
    }
}

static void durations_read_as_people_write_them(void **state)
{
    (void)state;
    assert_int_equal(duration_ms("500ms"), 500);
    assert_int_equal(duration_ms("10s"), 10000);
    assert_int_equal(duration_ms("1.5s"), 1500);
    assert_int_equal(duration_ms("2m"), 120000);
    assert_int_equal(duration_ms("2h"), 7200000);
    assert_int_equal(duration_ms("25h"), -1);
    assert_int_equal(duration_ms("7"), 7000);
    assert_int_equal(duration_ms("-1s"), -1);
    assert_int_equal(duration_ms(""), -1);
    assert_int_equal(duration_ms("s"), -1);
    assert_int_equal(duration_ms("10 s"), -1);
    assert_int_equal(duration_ms("nan"), -1);
    assert_int_equal(duration_ms("inf"), -1);
    assert_int_equal(duration_ms("9999h"), -1);
    assert_int_equal(duration_ms("1e30s"), -1);
}

static void expect_typed(const char *text, const char *json)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    struct buffer out = { 0 };
    yyjson_mut_doc_set_root(doc, json_typed(doc, text));
    assert_true(json_write(&out, doc));
    assert_string_equal(buffer_string(&out), json);
    buffer_fini(&out);
    yyjson_mut_doc_free(doc);
}

static void a_typed_value_is_json_where_it_is_a_scalar_else_text(void **state)
{
    (void)state;
    expect_typed("600", "600");
    expect_typed("-0.25", "-0.25");
    expect_typed("true", "true");
    expect_typed("null", "null");
    expect_typed("\"600\"", "\"600\"");
    expect_typed("north", "\"north\"");
    expect_typed("", "\"\"");
    expect_typed("{\"a\":1}", "\"{\\\"a\\\":1}\"");
    expect_typed("06", "\"06\"");
    expect_typed("5 6", "\"5 6\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_has_its_arguments_and_options),
        cmocka_unit_test(options_of_every_command_may_stand_anywhere),
        cmocka_unit_test(the_last_of_an_option_counts),
        cmocka_unit_test(a_negative_number_is_an_argument),
        cmocka_unit_test(after_two_dashes_all_words_are_arguments),
        cmocka_unit_test(what_cannot_be_is_refused_with_its_reason),
        cmocka_unit_test(controls_in_a_wrong_word_are_not_echoed),
        cmocka_unit_test(too_many_arguments_and_options_are_refused),
        cmocka_unit_test(help_needs_nothing_else),
        cmocka_unit_test(every_command_is_whole),
        cmocka_unit_test(durations_read_as_people_write_them),
        cmocka_unit_test(a_typed_value_is_json_where_it_is_a_scalar_else_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

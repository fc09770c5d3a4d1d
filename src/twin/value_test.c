#include "twin/value.h"

#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/utf8.h"

static value number(double number)
{
    return (value){ .kind = VALUE_NUMBER, .number = number };
}

static value integer(int64_t integer)
{
    return (value){ .kind = VALUE_INTEGER, .integer = integer };
}

static value string(const char *text)
{
    return (value){ .kind = VALUE_STRING, .length = (uint32_t)strlen(text), .string = text };
}

static void assert_json(value value, const char *expected)
{
    char text[600];
    dro_builder out = dro_builder_over(text, sizeof text - 1);
    value_json(&out, &value);
    assert_int_equal(out.err, DRO_OK);
    *out.at = '\0';
    assert_string_equal(text, expected);
}

/* IEEE 754 binary64 of 21.4 is 0x4035666666666666. */
static void a_number_is_written_as_the_header_says(void **state)
{
    (void)state;
    static const uint8_t expected[] = { 1, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x35, 0x40 };
    uint8_t bytes[16];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    value value = number(21.4);
    value_write(&out, &value);
    assert_int_equal(dro_builder_length(&out), sizeof expected);
    assert_memory_equal(bytes, expected, sizeof expected);
}

static void a_string_is_written_as_the_header_says(void **state)
{
    (void)state;
    static const uint8_t expected[] = { 4, 3, 0, 'a', 0xc3, 0xa9 };
    uint8_t bytes[16];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    value value = string("a\xc3\xa9");
    value_write(&out, &value);
    assert_int_equal(dro_builder_length(&out), sizeof expected);
    assert_memory_equal(bytes, expected, sizeof expected);
    assert_int_equal(value_size(&value), sizeof expected);
}

static void every_kind_reads_back(void **state)
{
    (void)state;
    const value values[] = { { .kind = VALUE_NONE }, number(-0.125), integer(INT64_MIN),
                             { .kind = VALUE_BOOLEAN, .boolean = true }, string(""), string("\xf0\x9f\x8c\xa1") };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        uint8_t bytes[32];
        dro_builder out = dro_builder_over(bytes, sizeof bytes);
        value_write(&out, &values[i]);
        assert_int_equal(dro_builder_length(&out), value_size(&values[i]));
        dro_cursor in = dro_cursor_over(bytes, dro_builder_length(&out));
        value back = value_read(&in);
        assert_int_equal(in.err, DRO_OK);
        assert_int_equal(dro_cursor_left(&in), 0);
        assert_int_equal(back.kind, values[i].kind);
        assert_true(value_equal(&back, &values[i]));
    }
}

static void every_shorter_value_is_truncated(void **state)
{
    (void)state;
    static const uint8_t values[][16] = {
        { 1, 0, 0, 0, 0, 0, 0, 0, 0x40 }, { 2, 1, 2, 3, 4, 5, 6, 7, 8 }, { 3, 1 }, { 4, 2, 0, 'a', 'b' },
    };
    static const size_t lengths[] = { 9, 9, 2, 5 };
    for (size_t i = 0; i < 4; i++)
        for (size_t length = 0; length < lengths[i]; length++) {
            dro_cursor in = dro_cursor_over(values[i], length);
            value value = value_read(&in);
            assert_int_equal(in.err, DRO_TRUNCATED);
            assert_int_equal(value.kind, VALUE_NONE);
        }
}

static void assert_refused(const uint8_t *bytes, size_t length, dro_err err)
{
    dro_cursor in = dro_cursor_over(bytes, length);
    value value = value_read(&in);
    assert_int_equal(in.err, err);
    assert_int_equal(value.kind, VALUE_NONE);
}

static void what_breaks_the_format_is_refused(void **state)
{
    (void)state;
    assert_refused((const uint8_t[]){ 5 }, 1, DRO_MALFORMED);
    assert_refused((const uint8_t[]){ 255 }, 1, DRO_MALFORMED);
    assert_refused((const uint8_t[]){ 3, 2 }, 2, DRO_MALFORMED);
    assert_refused((const uint8_t[]){ 1, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f }, 9, DRO_RANGE); /* infinity */
    assert_refused((const uint8_t[]){ 1, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f }, 9, DRO_RANGE); /* NaN */
    assert_refused((const uint8_t[]){ 4, 1, 0, 0xff }, 4, DRO_MALFORMED);
    uint8_t large[3 + VALUE_STRING_MAX + 1] = { 4, 1, 1 };
    assert_refused(large, sizeof large, DRO_LIMIT);
}

static void what_may_not_be_read_is_not_written(void **state)
{
    (void)state;
    char text[VALUE_STRING_MAX + 1] = { 0 };
    const value values[] = { number(NAN), number(INFINITY),
                             { .kind = VALUE_STRING, .length = sizeof text, .string = text } };
    for (size_t i = 0; i < 3; i++) {
        uint8_t bytes[600];
        dro_builder out = dro_builder_over(bytes, sizeof bytes);
        value_write(&out, &values[i]);
        assert_int_equal(out.err, DRO_RANGE);
        assert_int_equal(dro_builder_length(&out), 0);
    }
}

/* RFC 3629, 3 and 4, and the classic overlong and surrogate forms. */
static void utf8_is_exactly_rfc_3629(void **state)
{
    (void)state;
    static const char *const good[] = { "", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                                        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf" };
    static const char *const bad[] = { "\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf", "\xe1\x80",
                                       "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf0\x90\x80",
                                       "\xf4\x90\x80\x80",
                                       "\xf5\x80\x80\x80", "\xff", "a\xc2z" };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(dro_utf8_is_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(dro_utf8_is_valid(bad[i], strlen(bad[i])));
}

static void an_integer_equals_a_number_of_the_same_worth(void **state)
{
    (void)state;
    const value one = integer(1), one_number = number(1.0), half = number(0.5), max = integer(INT64_MAX),
                two_to_63 = number(0x1p63), yes = { .kind = VALUE_BOOLEAN, .boolean = true };
    assert_true(value_equal(&one, &one_number));
    assert_true(value_equal(&one_number, &one));
    assert_false(value_equal(&one, &half));
    assert_false(value_equal(&max, &two_to_63)); /* as doubles they would be the same */
    assert_false(value_equal(&one, &yes));
}

static void strings_of_other_length_differ(void **state)
{
    (void)state;
    const value a = string("a"), ab = string("ab"), b = string("b"), empty = string("");
    assert_true(value_equal(&a, &a));
    assert_false(value_equal(&a, &ab));
    assert_false(value_equal(&a, &b));
    assert_false(value_equal(&empty, &a));
}

static void json_numbers_have_no_more_digits_than_needed(void **state)
{
    (void)state;
    assert_json(number(21.4), "21.4");
    assert_json(number(0.1), "0.1");
    assert_json(number(0.1 + 0.2), "0.30000000000000004");
    assert_json(number(-3.05), "-3.05");
    assert_json(number(100), "100");
    assert_json(number(0), "0");
    assert_json(number(-0.0), "-0");
    assert_json(integer(INT64_MIN), "-9223372036854775808");
    assert_json(integer(65535), "65535");
}

static void json_numbers_read_back_the_same(void **state)
{
    (void)state;
    const double numbers[] = { 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 1e21, 1e22, 1e23,
                               9007199254740993.0,
                               123456789012345680.0, 1.0 / 3, 4.35, 2.675, -1e-7 };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char text[64];
        dro_builder out = dro_builder_over(text, sizeof text - 1);
        value value = number(numbers[i]);
        value_json(&out, &value);
        assert_int_equal(out.err, DRO_OK);
        *out.at = '\0';
        assert_true(strtod(text, NULL) == numbers[i]);
    }
}

static void json_of_other_kinds_is_plain(void **state)
{
    (void)state;
    assert_json((value){ .kind = VALUE_NONE }, "null");
    assert_json((value){ .kind = VALUE_BOOLEAN, .boolean = true }, "true");
    assert_json((value){ .kind = VALUE_BOOLEAN }, "false");
    assert_json(number(NAN), "null");
}

/* RFC 8259, 7: what must be escaped. */
static void json_text_escapes_what_it_must(void **state)
{
    (void)state;
    assert_json(string("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"");
    assert_json(string("\b\f\n\r\t\x01\x1f\x7f"), "\"\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\"");
    assert_json(string("\xc2\xb0""C"), "\"\xc2\xb0""C\"");
    assert_json((value){ .kind = VALUE_STRING, .length = 3, .string = "a\0b" }, "\"a\\u0000b\"");
}

static void json_text_replaces_what_is_not_utf8(void **state)
{
    (void)state;
    assert_json(string("a\xff\xc3z"), "\"a\xef\xbf\xbd\xef\xbf\xbdz\"");
}

static void a_full_buffer_is_a_limit(void **state)
{
    (void)state;
    value value = string("hello");
    for (size_t room = 0; room < 7; room++) {
        uint8_t bytes[8];
        dro_builder out = dro_builder_over(bytes, room);
        value_json(&out, &value);
        assert_int_equal(out.err, DRO_LIMIT);
        out = dro_builder_over(bytes, room);
        value_write(&out, &value);
        assert_int_equal(out.err, DRO_LIMIT);
    }
}

/* Of a reader that took what it should not have. */
static void what_is_no_kind_is_like_nothing(void **state)
{
    (void)state;
    uint8_t bytes[32];
    value none = { .kind = (value_kind)9 };
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    assert_int_equal(value_size(&none), 1);
    assert_false(value_equal(&none, &none));
    value_json(&out, &none);
    assert_int_equal(dro_builder_length(&out), 0);
    dro_cursor in = dro_cursor_over((const uint8_t[]){ 9 }, 1);
    assert_int_equal(value_read(&in).kind, VALUE_NONE);
    assert_int_equal(in.err, DRO_MALFORMED);
    in = dro_cursor_over(NULL, 0);
    assert_int_equal(value_read(&in).kind, VALUE_NONE);
    assert_int_equal(in.err, DRO_TRUNCATED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_written_as_the_header_says),
        cmocka_unit_test(a_string_is_written_as_the_header_says),
        cmocka_unit_test(every_kind_reads_back),
        cmocka_unit_test(every_shorter_value_is_truncated),
        cmocka_unit_test(what_breaks_the_format_is_refused),
        cmocka_unit_test(what_may_not_be_read_is_not_written),
        cmocka_unit_test(utf8_is_exactly_rfc_3629),
        cmocka_unit_test(an_integer_equals_a_number_of_the_same_worth),
        cmocka_unit_test(strings_of_other_length_differ),
        cmocka_unit_test(json_numbers_have_no_more_digits_than_needed),
        cmocka_unit_test(json_numbers_read_back_the_same),
        cmocka_unit_test(json_of_other_kinds_is_plain),
        cmocka_unit_test(json_text_escapes_what_it_must),
        cmocka_unit_test(json_text_replaces_what_is_not_utf8),
        cmocka_unit_test(a_full_buffer_is_a_limit),
        cmocka_unit_test(what_is_no_kind_is_like_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "text.h"

static void expect_escaped(const char *in, size_t length, const char *want)
{
    struct buffer out = { 0 };
    text_escape(&out, in, length);
    assert_string_equal(buffer_string(&out), want);
    buffer_fini(&out);
}

#define EXPECT_ESCAPED(in, want) expect_escaped(in, sizeof in - 1, want)

static void plain_text_stays_as_it_is(void **state)
{
    (void)state;
    EXPECT_ESCAPED("meter-17 Wärme 温度 \xf0\x9f\x8c\xa1", "meter-17 Wärme 温度 \xf0\x9f\x8c\xa1");
}

static void terminal_sequences_lose_their_escape(void **state)
{
    (void)state;
    EXPECT_ESCAPED("\x1b]0;owned\x07", "\\x1b]0;owned\\x07");
    EXPECT_ESCAPED("a\r\nb\tc\x7f", "a\\x0d\\nb\\tc\\x7f");
    EXPECT_ESCAPED("nul\0inside", "nul\\x00inside");
}

static void eight_bit_controls_and_direction_marks_are_shown(void **state)
{
    (void)state;
    EXPECT_ESCAPED("\xc2\x9b"
                   "31m",
                   "\\x9b31m"); /* U+009B, CSI */
    EXPECT_ESCAPED("\xe2\x80\xae"
                   "abc",
                   "\\u202eabc");
    EXPECT_ESCAPED("\xe2\x81\xa6", "\\u2066");
    EXPECT_ESCAPED("\xef\xbb\xbf", "\\ufeff");
}

/* The malformed sequences of Unicode 15, tables 3-8 to 3-11: each byte stands for itself. */
static void malformed_utf8_becomes_bytes(void **state)
{
    (void)state;
    EXPECT_ESCAPED("\xc0\xaf", "\\xc0\\xaf");                   /* overlong */
    EXPECT_ESCAPED("\xe0\x80\xbf", "\\xe0\\x80\\xbf");          /* overlong */
    EXPECT_ESCAPED("\xed\xa0\x80", "\\xed\\xa0\\x80");          /* surrogate */
    EXPECT_ESCAPED("\xf4\x91\x92\x93", "\\xf4\\x91\\x92\\x93"); /* past U+10FFFF */
    EXPECT_ESCAPED("\xe1\x80", "\\xe1\\x80");                   /* cut off */
    EXPECT_ESCAPED("\xff"
                   "A",
                   "\\xffA");
}

static void every_shorter_character_is_bytes(void **state)
{
    (void)state;
    static const char thermometer[] = "\xf0\x9f\x8c\xa1";
    for (size_t length = 1; length < 4; length++) {
        uint32_t code;
        assert_int_equal(text_decode(thermometer, length, &code), 1);
        assert_int_equal(code, UINT32_MAX);
    }
    uint32_t code;
    assert_int_equal(text_decode(thermometer, 4, &code), 4);
    assert_int_equal(code, 0x1f321);
}

static void json_stays_the_same_json_without_controls(void **state)
{
    (void)state;
    static const char in[] = "{\"a\": \"\x7f\xc2\x9b\xe2\x80\xae\xf3\xa0\x80\x81 ok\"}\n";
    struct buffer out = { 0 };
    text_escape_json(&out, in, sizeof in - 1);
    assert_string_equal(buffer_string(&out), "{\"a\": \"\\u007f\\u009b\\u202e\\udb40\\udc01 ok\"}\n");
    buffer_fini(&out);
}

static void width_counts_columns_not_bytes(void **state)
{
    (void)state;
    assert_int_equal(text_width("abc", 3), 3);
    assert_int_equal(text_width("Wärme", strlen("Wärme")), 5);
    assert_int_equal(text_width("温度", strlen("温度")), 4);
    assert_int_equal(text_width("e\xcc\x81", 3), 1); /* combining acute */
}

static void urls_keep_only_what_rfc_3986_does_not_reserve(void **state)
{
    (void)state;
    struct buffer out = { 0 };
    text_escape_url(&out, "a b/c?d#e%\xc3\xa4@x.y~-_", strlen("a b/c?d#e%\xc3\xa4@x.y~-_"));
    assert_string_equal(buffer_string(&out), "a%20b%2Fc%3Fd%23e%25%C3%A4@x.y~-_");
    buffer_fini(&out);
}

static void a_buffer_stops_at_its_limit_and_says_so(void **state)
{
    (void)state;
    struct buffer out = { .limit = 4 };
    buffer_text(&out, "abcd");
    assert_false(out.is_full);
    buffer_text(&out, "e");
    assert_true(out.is_full);
    assert_string_equal(buffer_string(&out), "abcd");
    buffer_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_stays_as_it_is),
        cmocka_unit_test(terminal_sequences_lose_their_escape),
        cmocka_unit_test(eight_bit_controls_and_direction_marks_are_shown),
        cmocka_unit_test(malformed_utf8_becomes_bytes),
        cmocka_unit_test(every_shorter_character_is_bytes),
        cmocka_unit_test(json_stays_the_same_json_without_controls),
        cmocka_unit_test(width_counts_columns_not_bytes),
        cmocka_unit_test(urls_keep_only_what_rfc_3986_does_not_reserve),
        cmocka_unit_test(a_buffer_stops_at_its_limit_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

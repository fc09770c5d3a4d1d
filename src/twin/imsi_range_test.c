#include "twin/imsi_range.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static bool has(const char *text, const char *imsi)
{
    imsi_range range;
    assert_true(imsi_range_read(&range, text, strlen(text)));
    return imsi_range_has(&range, imsi);
}

static void a_prefix_has_what_begins_with_it(void **state)
{
    (void)state;
    assert_true(has("00101", "001010000000001"));
    assert_true(has("001010000000001", "001010000000001"));
    assert_false(has("00101", "001020000000001"));
    assert_false(has("001010000000001", "00101000000000"));
    assert_false(has("00101", ""));
}

static void a_range_has_its_ends_and_numbers_of_their_length(void **state)
{
    static const char text[] = "001010000000005-001010000000009";
    (void)state;
    assert_true(has(text, "001010000000005"));
    assert_true(has(text, "001010000000009"));
    assert_false(has(text, "001010000000004"));
    assert_false(has(text, "001010000000010"));
    assert_false(has(text, "00101000000000"));
    assert_false(has(text, ""));
}

static void what_is_no_range_is_not_read(void **state)
{
    static const char *const wrong[] = { "", "-", "0010x", "2-1", "1-22", "1-", "-1", "1-2-3", "1234567890123456", "1234567890123456-1234567890123457" };
    imsi_range range;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(imsi_range_read(&range, wrong[i], strlen(wrong[i])));
    assert_true(imsi_range_read(&range, "12345", 3)); /* no more is looked at */
    assert_string_equal(range.low, "123");
}

static void what_is_written_is_read(void **state)
{
    static const char *const good[] = { "0", "00101", "001010000000000-001010000009999", "1-1" };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        imsi_range range;
        char text[IMSI_RANGE_TEXT];
        assert_true(imsi_range_read(&range, good[i], strlen(good[i])));
        assert_int_equal(imsi_range_write(&range, text), strlen(good[i]));
        assert_string_equal(text, good[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prefix_has_what_begins_with_it),
        cmocka_unit_test(a_range_has_its_ends_and_numbers_of_their_length),
        cmocka_unit_test(what_is_no_range_is_not_read),
        cmocka_unit_test(what_is_written_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* RESP as https://redis.io/docs/latest/develop/reference/protocol-spec/ has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "bench/redis.h"

static void an_update_is_an_array_of_bulk_strings(void **state)
{
    static const char sha[] = "0123456789abcdef0123456789abcdef01234567";
    static const char wanted[] =
        "*10\r\n$7\r\nEVALSHA\r\n$40\r\n0123456789abcdef0123456789abcdef01234567\r\n$1\r\n1\r\n"
        "$8\r\nt0000042\r\n$5\r\n20.49\r\n$2\r\n45\r\n$3\r\n3.6\r\n$5\r\n20.49\r\n$1\r\n1\r\n$13\r\n1700000000000\r\n";
    char out[REDIS_REQUEST_MAX];
    (void)state;
    size_t length = redis_write_update(out, sha, 42, 1, 1700000000000);
    assert_int_equal(length, sizeof wanted - 1);
    assert_memory_equal(out, wanted, length);
}

static void the_longest_update_fits(void **state)
{
    char out[REDIS_REQUEST_MAX];
    (void)state;
    assert_true(redis_write_update(out, "0123456789abcdef0123456789abcdef01234567", 9999999, 255, INT64_MAX) < sizeof out - 1);
}

static void replies_are_counted_in_any_pieces(void **state)
{
    static const char bytes[] = ":1\r\n:20\r\n-NOSCRIPT No matching script.\r\n-ERR other\r\n:3\r\n+OK\r\n";
    size_t length = sizeof bytes - 1;
    (void)state;
    for (size_t piece = 1; piece <= length; piece++) {
        redis_replies replies = { 0 };
        uint32_t ended = 0;
        for (size_t at = 0; at < length; at += piece)
            ended += redis_replies_feed(&replies, bytes + at, at + piece < length ? piece : length - at);
        assert_int_equal(ended, 6);
        assert_int_equal(replies.integers, 3);
        assert_int_equal(replies.errors, 2);
        assert_int_equal(replies.others, 1);
        assert_string_equal(replies.error, "NOSCRIPT No matching script.");
    }
}

static void half_a_reply_is_none(void **state)
{
    redis_replies replies = { 0 };
    (void)state;
    assert_int_equal(redis_replies_feed(&replies, ":1\r", 3), 0);
    assert_int_equal(replies.integers, 0);
    assert_int_equal(redis_replies_feed(&replies, "\n", 1), 1);
    assert_int_equal(replies.integers, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_update_is_an_array_of_bulk_strings),
        cmocka_unit_test(the_longest_update_fits),
        cmocka_unit_test(replies_are_counted_in_any_pieces),
        cmocka_unit_test(half_a_reply_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

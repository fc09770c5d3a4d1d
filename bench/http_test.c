#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "bench/http.h"

typedef struct seen {
    int statuses[8], count;
    char body[256];
    size_t length;
} seen;

static void on_body(void *owner, const char *bytes, size_t length)
{
    seen *s = owner;
    memcpy(s->body + s->length, bytes, length);
    s->length += length;
}

static void on_response(void *owner, int status)
{
    seen *s = owner;
    s->statuses[s->count++] = status;
}

static http_reader reader_for(seen *s)
{
    *s = (seen){ 0 };
    return (http_reader){ .owner = s, .on_body = on_body, .on_response = on_response };
}

/* RFC 9112: a body by length, one without, one in chunks; 1xx before an answer. */
static const char three[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
                            "HTTP/1.1 204 No Content\r\n\r\n"
                            "HTTP/1.1 100 Continue\r\n\r\n"
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n, w\r\n4\r\norld\r\n0\r\n\r\n";

static void answers_that_follow_each_other_are_told_apart(void **state)
{
    (void)state;
    seen s;
    http_reader reader = reader_for(&s);
    http_reader_init(&reader);
    assert_int_equal(http_reader_feed(&reader, three, sizeof three - 1), DRO_OK);
    assert_int_equal(s.count, 3);
    assert_int_equal(s.statuses[0], 200);
    assert_int_equal(s.statuses[1], 204);
    assert_int_equal(s.statuses[2], 200);
    assert_memory_equal(s.body, "hello, world", 12);
    assert_false(reader.is_last);
}

static void any_cut_into_two_pieces_reads_the_same(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < sizeof three; cut++) {
        seen s;
        http_reader reader = reader_for(&s);
        http_reader_init(&reader);
        assert_int_equal(http_reader_feed(&reader, three, cut), DRO_OK);
        assert_int_equal(http_reader_feed(&reader, three + cut, sizeof three - 1 - cut), DRO_OK);
        assert_int_equal(s.count, 3);
        assert_int_equal(s.length, 12);
    }
}

static void an_unfinished_answer_is_none(void **state)
{
    (void)state;
    static const char one[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    for (size_t length = 1; length < sizeof one - 1; length++) {
        seen s;
        http_reader reader = reader_for(&s);
        http_reader_init(&reader);
        assert_int_equal(http_reader_feed(&reader, one, length), DRO_OK);
        assert_int_equal(http_reader_end(&reader), DRO_TRUNCATED);
        assert_int_equal(s.count, 0);
    }
}

static void without_a_length_the_end_ends_it(void **state)
{
    (void)state;
    static const char open_ended[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsome";
    seen s;
    http_reader reader = reader_for(&s);
    http_reader_init(&reader);
    assert_int_equal(http_reader_feed(&reader, open_ended, sizeof open_ended - 1), DRO_OK);
    assert_int_equal(s.count, 0);
    assert_int_equal(http_reader_end(&reader), DRO_OK);
    assert_int_equal(s.count, 1);
    assert_true(reader.is_last);
}

static void what_is_no_http_is_malformed(void **state)
{
    (void)state;
    static const char *const bad[] = { "SSH-2.0-x\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\n",
                                       "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        seen s;
        http_reader reader = reader_for(&s);
        http_reader_init(&reader);
        assert_int_equal(http_reader_feed(&reader, bad[i], strlen(bad[i])), DRO_MALFORMED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_that_follow_each_other_are_told_apart),
        cmocka_unit_test(any_cut_into_two_pieces_reads_the_same),
        cmocka_unit_test(an_unfinished_answer_is_none),
        cmocka_unit_test(without_a_length_the_end_ends_it),
        cmocka_unit_test(what_is_no_http_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

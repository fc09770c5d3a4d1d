#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sse.h"

/* What came out, as "id|type|data;" each. */
struct seen {
    struct buffer text;
    int count, stop_after;
};

static bool on_event(void *context, const sse_event *event)
{
    struct seen *seen = context;
    buffer_printf(&seen->text, "%s|%s|%s;", event->id, event->type, event->data);
    return ++seen->count != seen->stop_after;
}

static void expect_events(const char *stream, const char *want)
{
    /* However the bytes are cut, the events are the same. */
    for (size_t step = 1; step <= strlen(stream); step++) {
        struct seen seen = { 0 };
        sse_reader reader;
        sse_init(&reader, on_event, &seen);
        for (size_t at = 0; at < strlen(stream); at += step)
            assert_true(sse_feed(&reader, stream + at, strlen(stream) - at < step ? strlen(stream) - at : step));
        assert_string_equal(buffer_string(&seen.text), want);
        sse_fini(&reader);
        buffer_fini(&seen.text);
    }
}

/* The examples of WHATWG HTML 9.2.6. */
static void the_standards_examples_read_as_it_says(void **state)
{
    (void)state;
    expect_events("data: YHOO\ndata: +2\ndata: 10\n\n", "|message|YHOO\n+2\n10;");
    expect_events(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
                  "1|message|first event;|message|second event;|message| third event;");
    expect_events("data\n\ndata\ndata\n\ndata:", "|message|;|message|\n;");
    expect_events("data:test\n\ndata: test\n\n", "|message|test;|message|test;");
}

static void all_three_line_ends_are_taken(void **state)
{
    (void)state;
    expect_events("event: a\r\ndata: 1\r\n\r\nevent: b\rdata: 2\r\revent: c\ndata: 3\n\n", "|a|1;|b|2;|c|3;");
}

static void a_byte_order_mark_may_lead(void **state)
{
    (void)state;
    expect_events("\xef\xbb\xbf"
                  "data: x\n\n",
                  "|message|x;");
}

static void the_id_stays_until_another_comes(void **state)
{
    (void)state;
    expect_events("id: 7\ndata: a\n\ndata: b\n\nid: 8\n\ndata: c\n\n", "7|message|a;7|message|b;8|message|c;");
}

static void comments_unknown_fields_and_events_without_data_are_left_out(void **state)
{
    (void)state;
    expect_events(": keep\n\nevent: x\n\nfoo: bar\nDATA: no\n\ndata: y\n\n", "|message|y;");
}

static void an_unfinished_event_is_forgotten_at_reset_and_the_id_kept(void **state)
{
    (void)state;
    struct seen seen = { 0 };
    sse_reader reader;
    sse_init(&reader, on_event, &seen);
    static const char before[] = "id: 1\ndata: a\n\nid: 2\ndata: lost", after[] = "data: b\n\n";
    assert_true(sse_feed(&reader, before, sizeof before - 1));
    sse_reset(&reader);
    assert_string_equal(reader.id, "1");
    assert_true(sse_feed(&reader, after, sizeof after - 1));
    assert_string_equal(buffer_string(&seen.text), "1|message|a;1|message|b;");
    sse_fini(&reader);
    buffer_fini(&seen.text);
}

static void retry_is_taken_only_as_digits(void **state)
{
    (void)state;
    struct seen seen = { 0 };
    sse_reader reader;
    sse_init(&reader, on_event, &seen);
    static const char wrong[] = "retry: -5\nretry: 1x\nretry: 99999999999999\nretry:\n", right[] = "retry: 3000\n";
    assert_true(sse_feed(&reader, wrong, sizeof wrong - 1));
    assert_int_equal(reader.retry_ms, -1);
    assert_true(sse_feed(&reader, right, sizeof right - 1));
    assert_int_equal(reader.retry_ms, 3000);
    sse_fini(&reader);
}

static void feed_many(sse_reader *reader, char byte, size_t count)
{
    char part[4096];
    memset(part, byte, sizeof part);
    for (; count > 0; count -= count < sizeof part ? count : sizeof part)
        assert_true(sse_feed(reader, part, count < sizeof part ? count : sizeof part));
}

static void a_line_too_long_drops_its_event_and_no_other(void **state)
{
    (void)state;
    struct seen seen = { 0 };
    sse_reader reader;
    sse_init(&reader, on_event, &seen);
    assert_true(sse_feed(&reader, "data: ", 6));
    feed_many(&reader, 'x', 3 * SSE_LINE_MAX);
    assert_true(sse_feed(&reader, "\n\ndata: next\n\n", 14));
    assert_string_equal(buffer_string(&seen.text), "|message|next;");
    assert_int_equal(reader.dropped, 1);
    assert_true(reader.line.capacity <= 2 * SSE_LINE_MAX + 2);
    sse_fini(&reader);
    buffer_fini(&seen.text);
}

static void data_too_long_over_many_lines_drops_its_event(void **state)
{
    (void)state;
    struct seen seen = { 0 };
    sse_reader reader;
    sse_init(&reader, on_event, &seen);
    for (int i = 0; i < 5; i++) {
        assert_true(sse_feed(&reader, "data: ", 6));
        feed_many(&reader, 'x', SSE_DATA_MAX / 4);
        assert_true(sse_feed(&reader, "\n", 1));
    }
    assert_true(sse_feed(&reader, "\ndata: next\n\n", 13));
    assert_string_equal(buffer_string(&seen.text), "|message|next;");
    assert_int_equal(reader.dropped, 1);
    sse_fini(&reader);
    buffer_fini(&seen.text);
}

static void a_type_too_long_drops_its_event_and_an_id_too_long_is_ignored(void **state)
{
    (void)state;
    struct seen seen = { 0 };
    sse_reader reader;
    sse_init(&reader, on_event, &seen);
    assert_true(sse_feed(&reader, "event: ", 7));
    feed_many(&reader, 't', SSE_TYPE_MAX + 1);
    assert_true(sse_feed(&reader, "\ndata: a\n\nid: ", 14));
    feed_many(&reader, 'i', SSE_ID_MAX + 1);
    assert_true(sse_feed(&reader, "\ndata: b\n\n", 10));
    assert_string_equal(buffer_string(&seen.text), "|message|b;");
    sse_fini(&reader);
    buffer_fini(&seen.text);
}

static void a_callback_ends_the_reading(void **state)
{
    (void)state;
    struct seen seen = { .stop_after = 1 };
    sse_reader reader;
    sse_init(&reader, on_event, &seen);
    assert_false(sse_feed(&reader, "data: a\n\ndata: b\n\n", 18));
    assert_int_equal(seen.count, 1);
    sse_fini(&reader);
    buffer_fini(&seen.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_standards_examples_read_as_it_says),
        cmocka_unit_test(all_three_line_ends_are_taken),
        cmocka_unit_test(a_byte_order_mark_may_lead),
        cmocka_unit_test(the_id_stays_until_another_comes),
        cmocka_unit_test(comments_unknown_fields_and_events_without_data_are_left_out),
        cmocka_unit_test(an_unfinished_event_is_forgotten_at_reset_and_the_id_kept),
        cmocka_unit_test(retry_is_taken_only_as_digits),
        cmocka_unit_test(a_line_too_long_drops_its_event_and_no_other),
        cmocka_unit_test(data_too_long_over_many_lines_drops_its_event),
        cmocka_unit_test(a_type_too_long_drops_its_event_and_an_id_too_long_is_ignored),
        cmocka_unit_test(a_callback_ends_the_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

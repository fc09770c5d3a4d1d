#include "gate/join.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static body_text body(const char *text)
{
    return (body_text){ text, strlen(text) };
}

static slice word(const char *text)
{
    return (slice){ text, (uint32_t)strlen(text) };
}

/* ---- pages ---- */

static void a_page_has_items_and_a_cursor(void **state)
{
    (void)state;
    join_page page;
    assert_true(join_page_read("twins", body("{\"twins\":[{\"id\":\"a@x\",\"tags\":{\"n\":\"],\\\"cursor\\\":\\\"t1\\\"}\"}},{\"v\":1e3}],\"cursor\":\"t1k\"}"), &page));
    assert_int_equal(page.count, 2);
    assert_true(slice_is(page.cursor, "t1k"));
    static const char items[] = "{\"id\":\"a@x\",\"tags\":{\"n\":\"],\\\"cursor\\\":\\\"t1\\\"}\"}},{\"v\":1e3}";
    assert_int_equal(page.items.length, sizeof items - 1);
    assert_memory_equal(page.items.bytes, items, sizeof items - 1);
}

static void a_last_page_has_no_cursor(void **state)
{
    (void)state;
    join_page page;
    assert_true(join_page_read("twins", body("{\"twins\":[]}"), &page));
    assert_int_equal(page.count + page.items.length + page.cursor.length, 0);
}

static void what_is_no_page_is_refused(void **state)
{
    (void)state;
    static const char *const others[] = {
        "", "{}", "[]", "{\"twins\":1}", "{\"twins\":[]", "{ \"twins\":[]}", "{\"twins\":[],\"cursor\":\"\"}",
        "{\"twins\":[],\"cursor\":\"a\",\"more\":1}", "{\"cursor\":\"b\",\"twins\":[],\"cursor\":\"a\"}", "{\"twins\":[1],\"cursor\":5}", "{\"twins\":[1],\"cursor\":\"b\",\"more\":[],\"cursor\":\"a\"}", "{\"cursor\":\"a\",\"twins\":[]}", "{\"dead_letters\":[]}",
    };
    join_page page;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(join_page_read("twins", body(others[i]), &page));
    static const char whole[] = "{\"twins\":[{\"id\":\"a\"}],\"cursor\":\"t\"}";
    for (size_t length = 0; length < sizeof whole - 1; length++)
        assert_false(join_page_read("twins", (body_text){ whole, length }, &page));
}

static void a_cursor_is_of_one_number_of_cores(void **state)
{
    (void)state;
    char text[64];
    uint32_t core;
    slice cursor;
    dro_builder out = dro_builder_over(text, sizeof text);
    join_cursor_write(&out, 12, 11, word("t1z"));
    assert_memory_equal(text, "c.b.t1z", 7);
    assert_true(join_cursor_read((slice){ text, 7 }, 12, &core, &cursor));
    assert_int_equal(core, 11);
    assert_true(slice_is(cursor, "t1z"));
    assert_true(join_cursor_read(word("c.0."), 12, &core, &cursor));
    assert_int_equal(cursor.length, 0);
    static const char *const others[] = { "", ".", "t1z", "4.1.t1", "c.c.t", "c.b", "c..t", "c.-1.t", "C.1.t", "c.zzzzzzzzzzzzzzzzzzzz.t", "c{.1.t", "c 1.t", "c.1 t", "3w5e11264sgsg.1.t" /* 2^64 */ };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(join_cursor_read(word(others[i]), 12, &core, &cursor));
}

/* ---- dead letters ---- */

static const char *letters(uint32_t limit, size_t room, uint32_t count, const char *const *texts)
{
    static char bytes[1024];
    body_text parts[GATE_CORES_MAX];
    for (uint32_t i = 0; i < count; i++)
        parts[i] = body(texts[i]);
    dro_builder out = dro_builder_over(bytes, room);
    if (!join_letters(parts, count, limit, &out))
        return "refused";
    bytes[dro_builder_length(&out)] = '\0';
    return bytes;
}

static const char *const three[] = {
    "{\"dead_letters\":[{\"n\":1.50,\"time\":\"2026-11-22T12:00:05.000Z\"},{\"n\":2,\"time\":\"2026-11-22T12:00:01.000Z\"}]}",
    "{\"dead_letters\":[]}",
    "{\"dead_letters\":[{\"n\":3,\"time\":\"2026-11-22T12:00:05.001Z\"},{\"n\":4,\"time\":\"2026-11-22T12:00:02.000Z\"},{\"n\":5}]}",
};

static void dead_letters_of_all_cores_come_newest_first(void **state)
{
    (void)state;
    assert_string_equal(letters(100, 1024, 3, three),
                        "{\"dead_letters\":[{\"n\":3,\"time\":\"2026-11-22T12:00:05.001Z\"},{\"n\":1.50,\"time\":\"2026-11-22T12:00:05.000Z\"},"
                        "{\"n\":4,\"time\":\"2026-11-22T12:00:02.000Z\"},{\"n\":2,\"time\":\"2026-11-22T12:00:01.000Z\"},{\"n\":5}]}");
}

/* One without a time is older than all that have one. */
static void a_dead_letter_without_a_time_comes_last(void **state)
{
    (void)state;
    static const char *const two[] = { "{\"dead_letters\":[{\"n\":5}]}", "{\"dead_letters\":[{\"n\":3,\"time\":\"2026-11-22T12:00:05.001Z\"}]}" };
    assert_string_equal(letters(100, 1024, 2, two), "{\"dead_letters\":[{\"n\":3,\"time\":\"2026-11-22T12:00:05.001Z\"},{\"n\":5}]}");
}

static void dead_letters_end_at_the_limit_or_where_there_is_no_room(void **state)
{
    (void)state;
    static const char one[] = "{\"dead_letters\":[{\"n\":3,\"time\":\"2026-11-22T12:00:05.001Z\"}]}";
    assert_string_equal(letters(1, 1024, 3, three), one);
    assert_string_equal(letters(0, 1024, 3, three), "{\"dead_letters\":[]}");
    assert_string_equal(letters(100, 80, 3, three), one);
    assert_string_equal(letters(100, 18, 3, three), "refused"); /* not even for an empty list */
}

static void what_is_no_list_of_dead_letters_is_refused(void **state)
{
    (void)state;
    static const char *const others[] = { "", "{}", "{\"dead_letters\":1}", "{\"dead_letters\":[", "[]" };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_string_equal(letters(100, 1024, 2, (const char *const[]){ three[0], others[i] }), "refused");
        assert_string_equal(letters(100, 1024, 2, (const char *const[]){ others[i], three[0] }), "refused");
    }
}

/* ---- status ---- */

static void an_application_s_status_counts_all_cores(void **state)
{
    (void)state;
    static char bytes[256];
    const body_text parts[] = { body("{\"version\":\"1\",\"uptime_s\":5,\"twins\":2,\"images\":1,\"dead_letters\":0}"),
                                body("{\"version\":\"1\",\"uptime_s\":4,\"twins\":40,\"images\":1,\"dead_letters\":3}") };
    dro_builder out = dro_builder_over(bytes, sizeof bytes - 1);
    assert_true(join_status(parts, 2, &out));
    assert_string_equal(bytes, "{\"version\":\"1\",\"uptime_s\":5,\"twins\":42,\"images\":1,\"dead_letters\":3}");
    const body_text others[] = { parts[0], body("{\"twins\":\"2\"}") };
    out = dro_builder_over(bytes, sizeof bytes - 1);
    assert_false(join_status(others, 2, &out));
    assert_false(join_status(&others[1], 1, &out));
    static const char *const bad[] = { "", "{}", "{\"twins\":1}", "{\"dead_letters\":1}", "{\"twins\":1,\"dead_letters\":-1}" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const body_text with[] = { body(bad[i]), parts[0], parts[1] }, behind[] = { parts[0], body(bad[i]), parts[1] };
        out = dro_builder_over(bytes, sizeof bytes - 1);
        assert_false(join_status(with, 3, &out));
        out = dro_builder_over(bytes, sizeof bytes - 1);
        assert_false(join_status(behind, 3, &out));
    }
    out = dro_builder_over(bytes, 10);
    assert_false(join_status(parts, 2, &out));
}

/* ---- events ---- */

static void positions_come_back_as_they_were(void **state)
{
    (void)state;
    uint64_t positions[GATE_CORES_MAX], read[GATE_CORES_MAX];
    char text[JOIN_POSITIONS_TEXT];
    for (uint32_t cores = 2; cores <= GATE_CORES_MAX; cores++) {
        for (uint32_t i = 0; i < cores; i++)
            positions[i] = i % 3 == 0 ? UINT64_MAX - i : i * 36;
        size_t length = join_positions_write(text, positions, cores);
        assert_true(length <= JOIN_POSITIONS_TEXT);
        assert_true(join_positions_read((slice){ text, (uint32_t)length }, read, cores));
        assert_memory_equal(read, positions, cores * sizeof positions[0]);
        assert_false(join_positions_read((slice){ text, (uint32_t)length }, read, cores - 1));
        assert_false(join_positions_read((slice){ text, (uint32_t)length }, read, cores + 1));
    }
}

static void positions_of_others_are_refused(void **state)
{
    (void)state;
    uint64_t read[GATE_CORES_MAX];
    static const char *const others[] = { "", "17", ".", "1.", ".1", "1.2.", "1..2", "1.2.3", "1.A", "1. 2", "1 2", "1.2 ", "3w5e11264sgsg.1", "zzzzzzzzzzzzzzzz.1" };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(join_positions_read(word(others[i]), read, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_has_items_and_a_cursor),
        cmocka_unit_test(a_last_page_has_no_cursor),
        cmocka_unit_test(what_is_no_page_is_refused),
        cmocka_unit_test(a_cursor_is_of_one_number_of_cores),
        cmocka_unit_test(dead_letters_of_all_cores_come_newest_first),
        cmocka_unit_test(a_dead_letter_without_a_time_comes_last),
        cmocka_unit_test(dead_letters_end_at_the_limit_or_where_there_is_no_room),
        cmocka_unit_test(what_is_no_list_of_dead_letters_is_refused),
        cmocka_unit_test(an_application_s_status_counts_all_cores),
        cmocka_unit_test(positions_come_back_as_they_were),
        cmocka_unit_test(positions_of_others_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

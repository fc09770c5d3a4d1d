#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gate/target.h"

static char room[2 * HTTP_TARGET_MAX];

static int read_target(target *out, const char *text)
{
    return target_read(out, text, strlen(text), room);
}

static slice text_of(const char *text)
{
    return (slice){ text, (uint32_t)strlen(text) };
}

static void assert_slice(slice given, const char *wanted)
{
    assert_int_equal(given.length, strlen(wanted));
    assert_memory_equal(given.at, wanted, given.length);
}

static void a_path_is_split_before_it_is_decoded(void **state)
{
    target target;
    (void)state;
    assert_int_equal(read_target(&target, "/v1/twins/a%2Fb%40c.example/td?x=1"), 0);
    assert_int_equal(target.count, 4);
    assert_slice(target.segments[2], "a/b@c.example");
    assert_slice(target.segments[3], "td");
    assert_slice(target.query, "x=1");
}

static void the_absolute_form_loses_its_authority(void **state)
{
    target target;
    (void)state;
    assert_int_equal(read_target(&target, "HTTP://host:80/v1/twins"), 0);
    assert_int_equal(target.count, 2);
    assert_int_equal(read_target(&target, "http://host"), 400);
}

static void a_trailing_slash_is_an_empty_segment(void **state)
{
    target target;
    (void)state;
    assert_int_equal(read_target(&target, "/console/"), 0);
    assert_int_equal(target.count, 2);
    assert_int_equal(target.segments[1].length, 0);
}

static void what_is_no_target_is_refused(void **state)
{
    static const char *const bad[] = { "",        "x",    "*",         "/%",   "/%4",     "/%zz",
                                       "/%00",    "/%1f", "/%7f",      "/%ff", "/%c0%af", "/%ed%a0%80",
                                       "/a/../b", "/.",   "/%2e%2e/x", "/a#b", "/\xff",   "/\x01" };
    target target;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(read_target(&target, bad[i]), 400);
    assert_int_equal(read_target(&target, "/1/2/3/4/5/6/7/8/9/10/11"), 404);
}

static void a_query_gives_its_parameters_in_order(void **state)
{
    slice query = text_of("a=1&&b=x+y%26&c&=d&e="), name, value;
    static const char *const wanted[][2] = { { "a", "1" }, { "b", "x y&" }, { "c", "" }, { "", "d" }, { "e", "" } };
    size_t used = 0;
    int status = 0;
    (void)state;
    for (size_t i = 0; i < 5; i++) {
        assert_true(target_query_next(&query, &name, &value, room, &used, &status));
        assert_slice(name, wanted[i][0]);
        assert_slice(value, wanted[i][1]);
    }
    assert_false(target_query_next(&query, &name, &value, room, &used, &status));
    assert_int_equal(status, 0);
}

static void a_broken_escape_in_a_query_is_400(void **state)
{
    slice query = text_of("a=%4"), name, value;
    size_t used = 0;
    int status = 0;
    (void)state;
    assert_false(target_query_next(&query, &name, &value, room, &used, &status));
    assert_int_equal(status, 400);
}

static void an_identifier_keeps_its_local_part_and_lowers_its_domain(void **state)
{
    char out[IDENTIFIER_MAX + 1];
    (void)state;
    assert_true(identifier_read(text_of("Meter.17+x@ACME.Example"), out));
    assert_string_equal(out, "Meter.17+x@acme.example");
    assert_slice(identifier_domain(out), "acme.example");
}

static void an_identifier_may_have_253_bytes_and_no_more(void **state)
{
    char text[300], out[IDENTIFIER_MAX + 1];
    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text + 245, "@b.c.dde", 8);
    assert_true(identifier_read((slice){ text, 253 }, out));
    assert_int_equal(strlen(out), 253);
    memset(text, 'a', sizeof text);
    memcpy(text + 246, "@b.c.dde", 8);
    assert_false(identifier_read((slice){ text, 254 }, out));
}

/* RFC 4282 clause 2.1; labels of RFC 1035. */
static void what_is_no_identifier_is_refused(void **state)
{
    static const char *const bad[] = {
        "",     "@",    "a",    "a@",   "@b",     "a@@b",  "a@b@c", ".a@b",   "a.@b",   "a..b@c", "a b@c", "a@b..c",
        "a@.b", "a@b.", "a@-b", "a@b-", "a@b-.c", "a@b_c", "a@b c", "\xff@b", "a\"b@c", "a,b@c",  "a:b@c", "a@\xc3\xa4"
    };
    char out[IDENTIFIER_MAX + 1];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(identifier_read(text_of(bad[i]), out));
}

static void durations_have_a_unit(void **state)
{
    uint64_t ms;
    (void)state;
    assert_true(duration_read(text_of("500ms"), &ms));
    assert_int_equal(ms, 500);
    assert_true(duration_read(text_of("10s"), &ms));
    assert_int_equal(ms, 10000);
    assert_true(duration_read(text_of("2m"), &ms));
    assert_int_equal(ms, 120000);
    static const char *const bad[] = { "",    "10", "s",           "ms",         "-1s", "1.5s",
                                       "1 s", "1h", "9999999999s", "999999999m", "1ss", "+1s" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(duration_read(text_of(bad[i]), &ms));
}

/* RFC 3339, 5.8, and dates whose seconds `date -d` gives. */
static void times_are_rfc_3339(void **state)
{
    static const struct { const char *text; int64_t ms; } good[] = {
        { "1970-01-01T00:00:00Z", 0 },
        { "1985-04-12T23:20:50.52Z", 482196050520 },
        { "1996-12-19T16:39:57-08:00", 851042397000 },
        { "1990-12-31T23:59:60Z", 662688000000 },
        { "2000-02-29t12:00:00.123456z", 951825600123 },
        { "2026-11-22T12:00:00+01:30", 1795343400000 },
        { "9999-12-31T23:59:59.999Z", 253402300799999 },
        { "2024-02-29T00:00:00Z", 1709164800000 },
        { "2024-02-29T00:00:00z", 1709164800000 },
    };
    static const char *const bad[] = { "", "2026-11-22", "2026-11-22T12:00:00", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z",
                                       "2026-11-31T00:00:00Z", "2026-11-22T24:00:00Z", "2026-11-22T12:60:00Z", "2026-11-22 12:00:00Z",
                                       "2026-11-22T12:00:00.Z", "2026-11-22T12:00:00+1:30", "2026-11-22T12:00:00Zx", "1969-12-31T23:59:59Z",
                                       "2026-11-22T12:00:00+25:00", "9999-12-31T23:59:60Z", "x026-11-22T12:00:00Z", "2026-11-22T12:00:61Z", "2100-02-29T00:00:00Z",
                                       "2026-11-22T12:00:00.5", "2026-11-22T12:00:00+01-30", "2026-11-22T12:00:00*01:30", "2026-11-22T12:00:00+x1:30",
                                       "2026-11-22T12:00:00+01:x0", "2026-11-22T12:00:00+01:60", "2026-11-22T12:00:00+24:00", "2026-1a-22T12:00:00Z",
                                       "2026/11-22T12:00:00Z", "2026-11/22T12:00:00Z", "2026-11-22T12.00:00Z", "2026-11-22T12:00.00Z", "2026-00-22T12:00:00Z",
                                       "2026-11-00T12:00:00Z", "2026-11-22Tx2:00:00Z", "2026-11-22T12:x0:00Z", "2026-11-22T12:00:x0Z", "2026-11-22T12:00:00y" };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t ms;
        assert_true(time_read(text_of(good[i].text), &ms));
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t ms;
        assert_false(time_read(text_of(bad[i]), &ms));
    }
}

static void digests_have_64_digits(void **state)
{
    char text[80] = "sha256:";
    uint8_t out[32];
    (void)state;
    memset(text + 7, 'A', 64);
    assert_true(digest_read(text_of(text), out));
    assert_int_equal(out[31], 0xaa);
    text[70] = 'g';
    assert_false(digest_read(text_of(text), out));
    text[70] = '\0';
    assert_false(digest_read(text_of(text), out));
    assert_false(digest_read(text_of("sha512:"), out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_split_before_it_is_decoded),
        cmocka_unit_test(the_absolute_form_loses_its_authority),
        cmocka_unit_test(a_trailing_slash_is_an_empty_segment),
        cmocka_unit_test(what_is_no_target_is_refused),
        cmocka_unit_test(a_query_gives_its_parameters_in_order),
        cmocka_unit_test(a_broken_escape_in_a_query_is_400),
        cmocka_unit_test(an_identifier_keeps_its_local_part_and_lowers_its_domain),
        cmocka_unit_test(an_identifier_may_have_253_bytes_and_no_more),
        cmocka_unit_test(what_is_no_identifier_is_refused),
        cmocka_unit_test(durations_have_a_unit),
        cmocka_unit_test(times_are_rfc_3339),
        cmocka_unit_test(digests_have_64_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fields.h"
#include "gate/http_limits.h"
#include "gate/token.h"

static bool is_narrowed; /* what the last take said */

static int set_up(void **state)
{
    *state = token_table_new();
    return *state == NULL;
}

static int tear_down(void **state)
{
    token_table_free(*state);
    return 0;
}

static dro_err take(token_table *table, credential row, const char *first, const char *second)
{
    uint8_t bytes[1024] = { 0 };
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_bytes(&out, &row, sizeof row);
    if (first != NULL)
        dro_field_put_text(&out, API_FIELD_DOMAIN, first);
    if (second != NULL)
        dro_field_put_text(&out, API_FIELD_DOMAIN, second);
    return token_table_take(table, bytes, ((uint32_t)dro_builder_length(&out) + 7) & ~7u, &is_narrowed); /* as the ring pads it */
}

static credential row_of(uint32_t number, uint8_t seed)
{
    credential row = { .number = number, .scopes = SCOPE_READ };
    memset(row.token, seed, sizeof row.token);
    return row;
}

/* SHA-256 of "abc": FIPS 180-4, example of appendix B.1. */
static void a_token_is_found_by_its_sha_256(void **state)
{
    static const uint8_t abc[] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                                   0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                                   0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad };
    credential row = row_of(7, 0);
    uint8_t hash[TOKEN_HASH];
    memcpy(row.token, abc, sizeof abc);
    assert_int_equal(take(*state, row, "a.example", NULL), DRO_OK);
    token_hash(*state, "abc", 3, hash);
    assert_memory_equal(hash, abc, sizeof abc);
    const token *found = token_table_find(*state, hash, 1);
    assert_non_null(found);
    assert_int_equal(found->number, 7);
    hash[31] ^= 1;
    assert_null(token_table_find(*state, hash, 1));
}

static void a_token_ends_at_its_time(void **state)
{
    credential row = row_of(1, 5);
    row.expires_ms = 1000;
    assert_int_equal(take(*state, row, NULL, NULL), DRO_OK);
    assert_non_null(token_table_find(*state, row.token, 999));
    assert_null(token_table_find(*state, row.token, 1000));
}

static void a_later_word_about_a_token_counts(void **state)
{
    credential row = row_of(1, 5);
    assert_int_equal(take(*state, row, "a.example", NULL), DRO_OK);
    row.scopes = SCOPE_WRITE;
    assert_int_equal(take(*state, row, "b.example", NULL), DRO_OK);
    const token *found = token_table_find(*state, row.token, 1);
    assert_int_equal(found->scopes, SCOPE_WRITE);
    assert_false(token_has_domain(found, "a.example", 9));
    assert_true(token_has_domain(found, "b.example", 9));
    assert_int_equal(token_table_count(*state), 1);
}

static void domains_are_compared_whole(void **state)
{
    credential row = row_of(1, 5);
    assert_int_equal(take(*state, row, "a.example", "bb.example"), DRO_OK);
    const token *found = token_table_find(*state, row.token, 1);
    assert_true(token_has_domain(found, "a.example", 9));
    assert_true(token_has_domain(found, "bb.example", 10));
    assert_false(token_has_domain(found, "b.example", 9));
    assert_false(token_has_domain(found, "a.exampl", 8));
    assert_false(token_has_domain(found, "", 0));
}

static void the_admin_has_every_domain(void **state)
{
    credential row = row_of(0, 5);
    row.scopes = SCOPE_ADMIN;
    assert_int_equal(take(*state, row, NULL, NULL), DRO_OK);
    assert_true(token_has_domain(token_table_find(*state, row.token, 1), "any.example", 11));
}

/* All in one run of the table, so that each removal has to close a gap. */
static void tokens_that_collide_survive_the_removal_of_others(void **state)
{
    enum { COUNT = 64 };
    credential rows[COUNT];
    for (uint8_t i = 0; i < COUNT; i++) {
        rows[i] = row_of(i, i);
        rows[i].token[0] = 0xff - i % 3; /* three homes near the end of the table: runs wrap around */
        rows[i].token[1] = 0xff;
        rows[i].token[2] = rows[i].token[3] = 0;
        assert_int_equal(take(*state, rows[i], NULL, NULL), DRO_OK);
    }
    for (uint8_t i = 0; i < COUNT; i += 2) {
        rows[i].is_gone = 1;
        assert_int_equal(take(*state, rows[i], NULL, NULL), DRO_OK);
    }
    for (uint8_t i = 0; i < COUNT; i++) {
        const token *found = token_table_find(*state, rows[i].token, 1);
        assert_int_equal(found != NULL, i % 2);
    }
    assert_int_equal(token_table_count(*state), COUNT / 2);
}

static void a_full_table_says_so_and_goes_on(void **state)
{
    credential row = row_of(1, 0);
    for (uint32_t i = 0; i < TOKENS_MAX; i++) {
        memcpy(row.token, &i, sizeof i);
        assert_int_equal(take(*state, row, NULL, NULL), DRO_OK);
    }
    memset(row.token, 0xee, sizeof row.token);
    assert_int_equal(take(*state, row, NULL, NULL), DRO_LIMIT);
    assert_null(token_table_find(*state, row.token, 1));
}

static void a_broken_message_changes_nothing(void **state)
{
    credential row = row_of(1, 5);
    uint8_t bytes[sizeof row + 4];
    memcpy(bytes, &row, sizeof row);
    memcpy(bytes + sizeof row, "\x15\x7f\x61\x62", 4); /* a domain longer than the message */
    for (uint32_t length = 0; length < sizeof row; length++)
        assert_int_equal(token_table_take(*state, bytes, length, &is_narrowed), DRO_MALFORMED);
    assert_int_equal(token_table_take(*state, bytes, sizeof bytes, &is_narrowed), DRO_MALFORMED);
    memcpy(bytes + sizeof row, "\x15\x02\x61\x00", 4); /* a NUL inside */
    assert_int_equal(token_table_take(*state, bytes, sizeof bytes, &is_narrowed), DRO_MALFORMED);
    assert_int_equal(token_table_count(*state), 0);
}

static bool is_named(const void *context, const char *name)
{
    return strcmp(context, name) == 0;
}

static void an_application_is_found_by_its_certificate(void **state)
{
    uint8_t bytes[1024] = { 0 };
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    credential row = row_of(7, 7);
    shown_certificate shown = { .has_name = is_named, .context = "as.example" };
    dro_builder_bytes(&out, &row, sizeof row);
    dro_field_put_text(&out, API_FIELD_APPLICATION, "as1");
    dro_field_put_text(&out, API_FIELD_CERTIFICATE, "sha256:0101010101010101010101010101010101010101010101010101010101010101");
    dro_field_put_text(&out, API_FIELD_CERTIFICATE, "dns:as.example");
    assert_int_equal(token_table_take(*state, bytes, ((uint32_t)dro_builder_length(&out) + 7) & ~7u, &is_narrowed), DRO_OK);
    const token *found = token_table_find_certificate(*state, &shown);
    assert_non_null(found);
    assert_string_equal(found->id, "as1");
    shown.context = "other.example";
    assert_null(token_table_find_certificate(*state, &shown));
    memset(shown.thumbprint, 1, sizeof shown.thumbprint);
    assert_ptr_equal(token_table_find_certificate(*state, &shown), found);
    assert_ptr_equal(token_table_find_application(*state, "as1", 3), found);
    assert_null(token_table_find_application(*state, "as", 2));
}

/* What lasts has to be judged again where less is allowed, and only there. */
static void a_token_that_is_good_for_less_is_told(void **state)
{
    credential row = row_of(7, 7);
    row.scopes = SCOPE_READ | SCOPE_NIDD;
    assert_int_equal(take(*state, row, "a.example", "b.example"), DRO_OK);
    assert_false(is_narrowed);
    assert_int_equal(take(*state, row, "b.example", "a.example"), DRO_OK);
    assert_false(is_narrowed);
    row.scopes |= SCOPE_WRITE;
    assert_int_equal(take(*state, row, "a.example", "b.example"), DRO_OK);
    assert_false(is_narrowed);
    row.scopes &= ~(uint32_t)SCOPE_READ;
    assert_int_equal(take(*state, row, "a.example", "b.example"), DRO_OK);
    assert_true(is_narrowed);
    assert_int_equal(take(*state, row, "a.example", NULL), DRO_OK);
    assert_true(is_narrowed);
    assert_int_equal(take(*state, row, "a.example", "b.example"), DRO_OK);
    assert_false(is_narrowed);
    row.is_gone = 1;
    assert_int_equal(take(*state, row, NULL, NULL), DRO_OK);
    assert_true(is_narrowed);
}

static void a_rate_is_shared_by_the_gates(void **state)
{
    static const application_limits usual = { .of = { [LIMIT_REQUESTS] = 4 } };
    credential row = row_of(7, 7);
    int64_t wait_ns;
    assert_int_equal(take(*state, row, "a.example", NULL), DRO_OK);
    const token *found = token_table_find(*state, row.token, 1);
    assert_true(token_may(*state, found, &usual, 2, 0, &wait_ns) && token_may(*state, found, &usual, 2, 0, &wait_ns));
    assert_false(token_may(*state, found, &usual, 2, 0, &wait_ns));
    assert_int_equal(wait_ns, 500000000);
    row.scopes = SCOPE_WRITE; /* told again: what was used stays used */
    assert_int_equal(take(*state, row, "a.example", NULL), DRO_OK);
    assert_false(token_may(*state, token_table_find(*state, row.token, 1), &usual, 2, 0, &wait_ns));
}

/* ---- messages of the core ---- */

typedef struct text_field { uint8_t tag; const void *bytes; uint32_t length; } text_field;
#define TEXT_FIELD(tag, text) { tag, text, sizeof text - 1 }

static dro_err take_fields(token_table *table, credential row, const text_field *fields, size_t count)
{
    static uint8_t bytes[64 * 1024];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_bytes(&out, &row, sizeof row);
    for (size_t i = 0; i < count; i++)
        dro_field_put(&out, fields[i].tag, fields[i].bytes, fields[i].length);
    assert_int_equal(out.err, DRO_OK);
    return token_table_take(table, bytes, (uint32_t)dro_builder_length(&out), &is_narrowed);
}

static const text_field ceiling_of_5 = TEXT_FIELD(API_FIELD_CEILING, "\0\5\0\0\0"), short_ceiling = TEXT_FIELD(API_FIELD_CEILING, "\0\5\0\0"),
                        no_ceiling = TEXT_FIELD(API_FIELD_CEILING, "\77\5\0\0\0"), short_revoked = TEXT_FIELD(API_FIELD_REVOKED, "\1\0\0\0\1");

static void limits_and_revocations_that_are_none_are_passed_over(void **state)
{
    uint8_t revoked[REVOCATIONS_MAX + 1][12];
    text_field fields[REVOCATIONS_MAX + 5] = { ceiling_of_5, short_ceiling, no_ceiling, short_revoked };
    credential row = row_of(7, 7);
    for (uint32_t i = 0; i <= REVOCATIONS_MAX; i++) {
        uint32_t scopes = 1u << i;
        int64_t at_ms = 100 * (i + 1);
        memcpy(revoked[i], &scopes, sizeof scopes);
        memcpy(revoked[i] + sizeof scopes, &at_ms, sizeof at_ms);
        fields[4 + i] = (text_field){ API_FIELD_REVOKED, revoked[i], sizeof revoked[i] };
    }
    assert_int_equal(take_fields(*state, row, fields, sizeof fields / sizeof *fields), DRO_OK);
    const token *found = token_table_find(*state, row.token, 1);
    assert_int_equal(found->limits.of[0], 5);
    /* What was issued at that moment or before is good for these scopes no more; there is room for four. */
    assert_int_equal(token_revoked(found, 401), 0);
    assert_int_equal(token_revoked(found, 400), 8);
    assert_int_equal(token_revoked(found, 201), 4 + 8);
    assert_int_equal(token_revoked(found, 1), 1 + 2 + 4 + 8);
}

static void a_new_revocation_makes_a_token_narrower(void **state)
{
    uint8_t one[12] = { SCOPE_READ }, other_time[12] = { SCOPE_READ, 0, 0, 0, 9 };
    text_field first = { API_FIELD_REVOKED, one, sizeof one }, second = { API_FIELD_REVOKED, other_time, sizeof other_time };
    credential row = row_of(7, 7);
    assert_int_equal(take_fields(*state, row, NULL, 0), DRO_OK);
    assert_int_equal(take_fields(*state, row, &first, 1), DRO_OK);
    assert_true(is_narrowed);
    assert_int_equal(take_fields(*state, row, &first, 1), DRO_OK);
    assert_false(is_narrowed);
    assert_int_equal(take_fields(*state, row, &second, 1), DRO_OK);
    assert_true(is_narrowed);
}

static void fewer_subscriptions_and_certificates_make_a_token_narrower(void **state)
{
    /* 0: as the host has it; LIMIT_NONE: no limit. */
    static const struct { uint32_t before, now; bool is_fewer; } all[] = {
        { 0, 0, false }, { 0, 5, true }, { 5, 5, false }, { 5, 4, true }, { 5, 6, false }, { 5, LIMIT_NONE, false }, { 5, 0, false },
        { LIMIT_NONE, 0, true }, { LIMIT_NONE, 7, true }, { LIMIT_NONE, LIMIT_NONE, false }, { 0, LIMIT_NONE, false },
    };
    static const text_field certificates[] = { TEXT_FIELD(API_FIELD_CERTIFICATE, "dns:a.example"), TEXT_FIELD(API_FIELD_CERTIFICATE, "dns:b.example") };
    credential row = row_of(7, 7);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        uint8_t before[5] = { LIMIT_SUBSCRIPTIONS }, now[5] = { LIMIT_SUBSCRIPTIONS };
        memcpy(before + 1, &all[i].before, 4);
        memcpy(now + 1, &all[i].now, 4);
        assert_int_equal(take_fields(*state, row, &(text_field){ API_FIELD_CEILING, before, 5 }, 1), DRO_OK);
        assert_int_equal(take_fields(*state, row, &(text_field){ API_FIELD_CEILING, now, 5 }, 1), DRO_OK);
        assert_int_equal(is_narrowed, all[i].is_fewer);
    }
    assert_int_equal(take_fields(*state, row, NULL, 0), DRO_OK);
    assert_int_equal(take_fields(*state, row, certificates, 2), DRO_OK);
    assert_false(is_narrowed);
    assert_int_equal(take_fields(*state, row, certificates + 1, 1), DRO_OK);
    assert_true(is_narrowed);
    assert_int_equal(take_fields(*state, row, certificates, 2), DRO_OK);
    assert_false(is_narrowed);
}

static void texts_that_are_too_long_or_none_are_refused(void **state)
{
    static char text[TOKEN_DOMAINS_MAX + 1];
    credential row = row_of(7, 7);
    memset(text, 'a', sizeof text);
    assert_int_equal(take_fields(*state, row, &(text_field){ API_FIELD_APPLICATION, text, TOKEN_ID_MAX }, 1), DRO_OK);
    assert_int_equal(take_fields(*state, row, &(text_field){ API_FIELD_APPLICATION, text, TOKEN_ID_MAX + 1 }, 1), DRO_LIMIT);
    assert_int_equal(take_fields(*state, row, &(text_field){ API_FIELD_DOMAIN, text, TOKEN_DOMAINS_MAX - 1 }, 1), DRO_OK);
    assert_int_not_equal(take_fields(*state, row, &(text_field){ API_FIELD_DOMAIN, text, TOKEN_DOMAINS_MAX }, 1), DRO_OK);
    assert_int_equal(take_fields(*state, row, &(text_field){ API_FIELD_CERTIFICATE, text, TOKEN_CERTIFICATES_MAX - 2 }, 1), DRO_OK);
    assert_int_not_equal(take_fields(*state, row, &(text_field){ API_FIELD_CERTIFICATE, text, TOKEN_CERTIFICATES_MAX - 1 }, 1), DRO_OK);
    assert_int_equal(take_fields(*state, row, &(text_field){ API_FIELD_APPLICATION, "a\0b", 3 }, 1), DRO_MALFORMED);
    assert_int_equal(take_fields(*state, row, &(text_field){ API_FIELD_APPLICATION, "", 0 }, 1), DRO_OK);
    assert_string_equal(token_table_find(*state, row.token, 1)->id, "");
}

/* The administrator and sessions of the console are no applications, whatever they are called. */
static void only_applications_are_found_by_name_and_certificate(void **state)
{
    static const text_field names[] = { TEXT_FIELD(API_FIELD_APPLICATION, "as1"), TEXT_FIELD(API_FIELD_CERTIFICATE, "dns:as.example") };
    shown_certificate shown = { .has_name = is_named, .context = "as.example" };
    credential admin = row_of(0, 1), session = row_of(7, 2), application = row_of(7, 3);
    session.expires_ms = 1000;
    assert_int_equal(take_fields(*state, admin, names, 2), DRO_OK);
    assert_int_equal(take_fields(*state, session, names, 2), DRO_OK);
    assert_null(token_table_find_application(*state, "as1", 3));
    assert_null(token_table_find_certificate(*state, &shown));
    assert_int_equal(take_fields(*state, application, names, 2), DRO_OK);
    assert_memory_equal(token_table_find_application(*state, "as1", 3)->hash, application.token, TOKEN_HASH);
    assert_memory_equal(token_table_find_certificate(*state, &shown)->hash, application.token, TOKEN_HASH);
    assert_null(token_table_find_application(*state, "as2", 3));
    text_field no_digest = TEXT_FIELD(API_FIELD_CERTIFICATE, "sha256:zz");
    assert_int_equal(take_fields(*state, application, &no_digest, 1), DRO_OK);
    assert_null(token_table_find_certificate(*state, &shown));
}

static void only_applications_have_a_rate_and_a_burst_beyond_it(void **state)
{
    static const application_limits usual = { .of = { [LIMIT_REQUESTS] = 1, [LIMIT_BURST] = 3 } }, none = { 0 };
    credential admin = row_of(0, 1), session = row_of(7, 2), application = row_of(7, 3);
    int64_t wait_ns;
    session.expires_ms = INT64_MAX;
    assert_int_equal(take(*state, admin, NULL, NULL), DRO_OK);
    assert_int_equal(take(*state, session, NULL, NULL), DRO_OK);
    assert_int_equal(take(*state, application, NULL, NULL), DRO_OK);
    const token *found = token_table_find(*state, application.token, 1);
    for (int i = 0; i < 10; i++) {
        assert_true(token_may(*state, token_table_find(*state, admin.token, 1), &usual, 1, 0, &wait_ns));
        assert_true(token_may(*state, token_table_find(*state, session.token, 1), &usual, 1, 0, &wait_ns));
        assert_true(token_may(*state, found, &none, 1, 0, &wait_ns));
        assert_int_equal(token_may(*state, found, &usual, 1, 0, &wait_ns), i < 3);
    }
    token gone = *found; /* forgotten meanwhile: there is nothing to count it by */
    gone.hash[0] ^= 1;
    assert_true(token_may(*state, &gone, &usual, 1, 0, &wait_ns));
}

/* As a set: whatever is put in and taken out, in any order, around the end of the table. */
static void a_table_is_a_set_whatever_goes_in_and_out(void **state)
{
    enum { COUNT = 48, STEPS = 4000 };
    bool is_in[COUNT] = { false };
    uint32_t random = 20261123, count = 0;
    for (int step = 0; step < STEPS; step++) {
        random = random * 1664525 + 1013904223;
        uint8_t which = (uint8_t)((random >> 16) % COUNT);
        credential row = row_of(1u + which, which);
        uint32_t home = (2u * TOKENS_MAX - 6 + which % 12) % (2u * TOKENS_MAX);
        memcpy(row.token, &home, sizeof home);
        row.is_gone = random >> 31 != 0;
        assert_int_equal(take(*state, row, NULL, NULL), DRO_OK);
        count += !row.is_gone && !is_in[which];
        count -= row.is_gone && is_in[which];
        is_in[which] = !row.is_gone;
        assert_int_equal(token_table_count(*state), count);
        for (uint8_t i = 0; i < COUNT; i++) {
            credential other = row_of(1u + i, i);
            uint32_t other_home = (2u * TOKENS_MAX - 6 + i % 12) % (2u * TOKENS_MAX);
            memcpy(other.token, &other_home, sizeof other_home);
            assert_int_equal(token_table_find(*state, other.token, 1) != NULL, is_in[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_application_is_found_by_its_certificate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_token_that_is_good_for_less_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_rate_is_shared_by_the_gates, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_token_is_found_by_its_sha_256, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_token_ends_at_its_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_later_word_about_a_token_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(domains_are_compared_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_admin_has_every_domain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tokens_that_collide_survive_the_removal_of_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_table_says_so_and_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_broken_message_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limits_and_revocations_that_are_none_are_passed_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_new_revocation_makes_a_token_narrower, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fewer_subscriptions_and_certificates_make_a_token_narrower, set_up, tear_down),
        cmocka_unit_test_setup_teardown(texts_that_are_too_long_or_none_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_applications_are_found_by_name_and_certificate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_applications_have_a_rate_and_a_burst_beyond_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_table_is_a_set_whatever_goes_in_and_out, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

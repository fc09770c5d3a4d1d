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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

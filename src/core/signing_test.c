/* The host's signing keys: over the times of tokens and keys, and over restarts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/signing.h"
#include "core/state.h"
#include "asker.h"

enum { TOKEN_LIFE_MS = TOKEN_LIFE_S * 1000, CREATED = 201 };
static const int64_t key_life_ms = SIGNING_KEY_LIFE_S * 1000ll;

static int begin(void **state)
{
    (void)state;
    world_options options = { .seed = 5, .on_message = asker_hears };
    world_init(&here.world, &options);
    here.id = 100;
    asker_forget();
    return world_open(&here.world) != DRO_OK;
}

static signing_key *keys(void)
{
    return here.world.core->signing.keys;
}

static uint32_t count_keys(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < SIGNING_KEYS_MAX; i++)
        count += keys()[i].number != 0;
    return count;
}

static const signing_key *signer(void)
{
    for (uint32_t i = 0; i < SIGNING_KEYS_MAX; i++)
        if (keys()[i].number != 0 && keys()[i].ended_ms == 0)
            return &keys()[i];
    fail();
    return NULL;
}

static void advance(int64_t ms)
{
    world_advance(&here.world, ms);
    world_settle(&here.world);
}

static void make_application(uint8_t secret[32])
{
    request_begin(&request, API_APPLICATION_PUT);
    request_text(&request, API_FIELD_APPLICATION, "app");
    request_text(&request, API_FIELD_DOMAIN, "acme.example");
    assert_int_equal(status_of(ask()), CREATED);
    memcpy(secret, application_find(here.world.core, "app", 3)->token, 32);
}

static const heard *ask_token(const uint8_t secret[32])
{
    request_begin(&request, API_ACCESS_TOKEN);
    request_text(&request, API_FIELD_APPLICATION, "app");
    request_bytes(&request, API_FIELD_TOKEN, secret, 32);
    request_text(&request, API_FIELD_SCOPE_TEXT, "read \"quoted\"");
    return ask();
}

static void a_key_follows_another_and_both_are_shown_for_a_tokens_life(void **state)
{
    (void)state;
    assert_int_equal(count_keys(), 1);
    uint32_t first = signer()->number;
    advance(key_life_ms - 1000);
    assert_int_equal(signer()->number, first);
    advance(1000);
    assert_int_equal(signer()->number, first + 1);
    assert_int_equal(count_keys(), 2);
    advance(TOKEN_LIFE_MS - 1000);
    assert_int_equal(count_keys(), 2);
    advance(1000);
    assert_int_equal(count_keys(), 1);
    assert_int_equal(signer()->number, first + 1);
}

static void keys_are_the_same_after_a_restart(void **state)
{
    (void)state;
    advance(key_life_ms);
    assert_int_equal(count_keys(), 2);
    signing_key before[SIGNING_KEYS_MAX];
    memcpy(before, keys(), sizeof before);
    core_settle(here.world.core);
    world_close(&here.world);
    assert_int_equal(world_open(&here.world), DRO_OK);
    assert_memory_equal(before, keys(), sizeof before);
    advance(10 * key_life_ms); /* asleep for long */
    assert_int_equal(count_keys(), 2);
    assert_int_equal(signer()->number, before[1].number + 1);
}

static void a_token_names_the_key_that_signed_it(void **state)
{
    uint8_t secret[32];
    (void)state;
    make_application(secret);
    const heard *given = ask_token(secret);
    assert_int_equal(status_of(given), 200);
    assert_non_null(strstr(json_of(given), "{\"access_token\":\"ey"));
    assert_non_null(strstr(json_of(given), "\"token_type\":\"Bearer\",\"expires_in\":3600,\"scope\":\"read \\\"quoted\\\"\"}"));
}

static void a_client_that_is_gone_or_renewed_gets_none(void **state)
{
    uint8_t secret[32];
    (void)state;
    make_application(secret);
    secret[31] ^= 1;
    const heard *refused = ask_token(secret);
    assert_int_equal(status_of(refused), 401);
    assert_non_null(strstr(json_of(refused), "invalid_client"));
    secret[31] ^= 1;
    request_begin(&request, API_APPLICATION_DELETE);
    request_text(&request, API_FIELD_APPLICATION, "app");
    assert_int_equal(status_of(ask()), 204);
    assert_int_equal(status_of(ask_token(secret)), 401);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_key_follows_another_and_both_are_shown_for_a_tokens_life, begin, asker_end),
        cmocka_unit_test_setup_teardown(keys_are_the_same_after_a_restart, begin, asker_end),
        cmocka_unit_test_setup_teardown(a_token_names_the_key_that_signed_it, begin, asker_end),
        cmocka_unit_test_setup_teardown(a_client_that_is_gone_or_renewed_gets_none, begin, asker_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

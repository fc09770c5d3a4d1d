/* The tables of a core beside its twins: End-to-End ids seen, Idempotency-Keys, and their dumps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "core/core_testbed.h"
#include "core/host.h"
#include "core/host_tables.h"
#include "core/network.h"
#include "core/number.h"
#include "core/record.h"
#include "core/state.h"
#include "core/twin_table.h"

/* ---- duplicates ---- */

static void the_newest_65536_are_known(void **state)
{
    (void)state;
    core *core = here.world.core;
    uint16_t host;
    uint32_t result;
    assert_int_equal(host_name_get(core, "mme9", 4, &host), DRO_OK);
    for (uint32_t i = 0; i < DUPLICATES_PER_HOST + 1000; i++)
        assert_int_equal(duplicate_add(core, host, i * 2654435761u, i), DRO_OK);
    for (uint32_t i = 0; i < DUPLICATES_PER_HOST + 1000; i++) {
        assert_int_equal(duplicate_find(core, host, i * 2654435761u, &result), i >= 1000);
        if (i >= 1000)
            assert_int_equal(result, i);
    }
    host_tables_write(core);
    reopen();
    core = here.world.core;
    for (uint32_t i = 0; i < DUPLICATES_PER_HOST + 1000; i++)
        assert_int_equal(duplicate_find(core, host, i * 2654435761u, &result), i >= 1000);
    for (uint32_t i = 0; i < 10; i++) /* still the oldest first */
        assert_int_equal(duplicate_add(core, host, ~i, 0), DRO_OK);
    assert_false(duplicate_find(core, host, 1009 * 2654435761u, &result));
    assert_true(duplicate_find(core, host, 1010 * 2654435761u, &result));
}

static void a_known_one_stays_where_it_is(void **state)
{
    (void)state;
    core *core = here.world.core;
    uint16_t host;
    uint32_t result;
    assert_int_equal(host_name_get(core, "mme9", 4, &host), DRO_OK);
    assert_int_equal(duplicate_add(core, host, 5, 2001), DRO_OK);
    assert_int_equal(duplicate_add(core, host, 5, 3004), DRO_OK);
    assert_true(duplicate_find(core, host, 5, &result));
    assert_int_equal(result, 2001);
    assert_int_equal(core->hosts[host].seen->count, 1);
}

/* An uplink by a node whose name was not heard before. */
static bool world_uplink_from(world *world, uint32_t number, const char *imsi)
{
    uint8_t bytes[sizeof(uplink_request) + 64];
    uplink_request uplink = { .user = { .bearer_length = 1, .bearer = { 5 } }, .end_to_end = number, .realm_length = 1, .data_length = 1 };
    char name[32];
    uplink.host_length = (uint16_t)snprintf(name, sizeof name, "stranger%u", number);
    snprintf(uplink.user.imsi, sizeof uplink.user.imsi, "%s", imsi);
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_bytes(&out, &uplink, sizeof uplink);
    dro_builder_text(&out, name);
    dro_builder_text(&out, "rx");
    return world_send(world, 0, MESSAGE_UPLINK, ++here.id, bytes, dro_builder_length(&out));
}

static void names_of_strangers_are_not_kept(void **state)
{
    (void)state;
    core *core = here.world.core;
    make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    uint32_t known = core->host_count;
    for (uint32_t i = 0; i < 2 * CORE_HOSTS_MAX; i++) { /* of a device that nobody knows */
        assert_true(world_uplink_from(&here.world, i, "001019999999999"));
        world_settle(&here.world);
        asker_forget();
    }
    assert_int_equal(core->host_count, known);
    assert_int_equal(reading("001010000000001", 1, 0).result, 2001);
}

static void an_origin_host_costs_what_it_sends(void **state)
{
    (void)state;
    core *core = here.world.core;
    uint32_t result;
    char name[32];
    uint16_t host[300];
    for (uint32_t i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "mme%u", i);
        assert_int_equal(host_name_get(core, name, strlen(name), &host[i]), DRO_OK);
        assert_int_equal(duplicate_add(core, host[i], i, 2001), DRO_OK);
    }
    assert_true(core->duplicates_held <= 300 * 64);
    for (uint32_t i = 0; i < 300; i++) /* more than all together may hold */
        for (uint32_t n = 0; n < DUPLICATES_PER_HOST + 5; n++)
            assert_int_equal(duplicate_add(core, host[i], 1000 + n, 2001), DRO_OK);
    assert_true(core->duplicates_held <= DUPLICATES_MAX + 300 * 64);
    for (uint32_t i = 0; i < 300; i++) { /* the newest are known, whoever may grow or not */
        uint32_t capacity = core->hosts[host[i]].seen->capacity, newest = 1000 + DUPLICATES_PER_HOST + 4;
        assert_true(duplicate_find(core, host[i], newest, &result));
        assert_true(duplicate_find(core, host[i], newest - capacity + 1, &result));
        assert_false(duplicate_find(core, host[i], newest - capacity, &result));
    }
    assert_int_equal(core->hosts[host[0]].seen->capacity, DUPLICATES_PER_HOST);
    for (uint32_t i = 0; i < core->host_count; i++) {
        duplicates_free(core->hosts[i].seen);
        core->hosts[i].seen = NULL;
    }
    assert_int_equal(core->duplicates_held, 0);
}

static void half_a_dump_changes_nothing(void **state)
{
    (void)state;
    core *core = here.world.core;
    uint8_t key[64] = { 1 }, begin_mark[3] = { 1, 0, 0 };
    uint32_t result;
    uint16_t host;
    make_twin("a@acme.example", NULL); /* of the domain that the dead letter is of */
    assert_int_equal(host_name_get(core, "mme9", 4, &host), DRO_OK);
    begin_mark[1] = (uint8_t)host;
    assert_int_equal(duplicate_add(core, host, 77, 2001), DRO_OK);
    record_begin(core, NONE, RECORD_IDEMPOTENCY);
    idempotent_put(core, key, key + 32, 202, "{}", 2);
    record_end(core);
    dead_letter_keep(core, 1, "{\"n\":1}", 7);
    host_tables_write(core);
    for (int kind = RECORD_DUPLICATES; kind <= RECORD_IDEMPOTENCY; kind++) { /* here the power went */
        record_begin(core, NONE, kind);
        record_put(core, FIELD_EVENT, begin_mark, sizeof begin_mark);
        record_end(core);
    }
    reopen();
    core = here.world.core;
    assert_true(duplicate_find(core, host, 77, &result));
    assert_non_null(idempotent_find(core, key));
    assert_int_equal(core->dead_letters.count, 1);
    assert_string_equal(core->dead_letters.list[0].text, "{\"n\":1}");
    assert_null(core->idempotency_dump);
}

/* Found by failing each call: recovery passed over a record of a twin whose full record came later, and with it over what the record
 * said of the tables, whose dump lay before. A device's repetition of an uplink had a second turn. */
static void what_a_record_says_of_the_tables_counts_before_its_twins_full_record(void **state)
{
    (void)state;
    uint8_t key[64] = { 1 };
    uint32_t index = make_twin("a@acme.example", "001010000000001"), number = 0;
    connect_device("001010000000001");
    core *core = here.world.core;
    for (uint32_t segment = commit_log_segment_last(core->log); commit_log_segment_last(core->log) == segment; number++)
        assert_int_equal(reading("001010000000001", number, (uint8_t)number).result, 2001);
    uint32_t segment = commit_log_segment_last(core->log);
    host_tables_write(core);
    assert_int_equal(reading("001010000000001", number, (uint8_t)number).result, 2001);
    record_begin(core, index, RECORD_DELTA);
    idempotent_put(core, key, key + 32, 202, "{}", 2);
    record_end(core);
    record_full(core, index);
    core_settle(core);
    assert_int_equal(commit_log_set_replay(core->log, segment), DRO_OK); /* the twin and the tables are behind it */
    reopen();
    core = here.world.core;
    assert_non_null(idempotent_find(core, key));
    uint64_t turns = core->counters.turns;
    for (uint32_t again = 0; again <= number; again++)
        assert_int_equal(uplink("001010000000001", again, "again", 5).result, 2001);
    assert_int_equal(core->counters.turns, turns);
}

/* They would be read by who has the host's key and an old copy of the log. */
static void dead_letters_and_answers_go_with_their_domain(void **state)
{
    (void)state;
    core *core = here.world.core;
    uint8_t key[64] = { 1 };
    uint32_t domain;
    make_twin("a@acme.example", NULL);
    make_twin("b@other.example", NULL);
    assert_int_equal(domain_get(core, "other.example", 13, &domain), DRO_OK);
    record_begin(core, twin_find(core, "b@other.example", 15), RECORD_DELTA);
    idempotent_put(core, key, key + 32, 202, "{}", 2);
    record_end(core);
    dead_letter_keep(core, 1, "{\"n\":1}", 7);
    dead_letter_keep(core, domain, "{\"n\":2}", 7);
    host_tables_write(core);
    reopen();
    core = here.world.core;
    assert_non_null(idempotent_find(core, key));
    assert_int_equal(core->dead_letters.count, 2);
    assert_int_equal(rotation_delete(core, domain), DRO_OK);
    for (int i = 0; i < 100 && !core->domains[domain].is_gone; i++) {
        world_advance(&here.world, 50);
        world_settle(&here.world);
    }
    assert_true(core->domains[domain].is_gone);
    reopen();
    core = here.world.core;
    assert_null(idempotent_find(core, key));
    assert_int_equal(core->dead_letters.count, 1);
    assert_string_equal(core->dead_letters.list[0].text, "{\"n\":1}");
    assert_int_equal(twin_find(core, "b@other.example", 15), NONE);
}

/* As it lies in copies of the log, too. */
static void an_old_dump_shows_nothing_of_a_domain_that_is_gone(void **state)
{
    (void)state;
    core *core = here.world.core;
    uint32_t domain;
    make_twin("a@acme.example", NULL);
    make_twin("b@other.example", NULL);
    assert_int_equal(domain_get(core, "other.example", 13, &domain), DRO_OK);
    dead_letter_keep(core, 1, "{\"n\":1}", 7);
    dead_letter_keep(core, domain, "{\"n\":2}", 7);
    host_tables_write(core);
    world_settle(&here.world);
    core->domains[domain].is_gone = true; /* its key alone */
    assert_int_equal(domain_keys_keep(core, true), DRO_OK);
    reopen();
    core = here.world.core;
    assert_int_equal(core->dead_letters.count, 1);
    assert_string_equal(core->dead_letters.list[0].text, "{\"n\":1}");
    assert_int_equal(twin_find(core, "b@other.example", 15), NONE);
    assert_true(core->shredded > 0);
    assert_int_equal(domain_find(core, "other.example", 13), NONE); /* the host's file has its name still */
    make_twin("b@other.example", NULL);
}

/* ---- idempotency ---- */

static void a_key_gives_the_first_answer_for_a_day(void **state)
{
    (void)state;
    uint8_t key[64] = { 3 };
    make_twin("a@acme.example", NULL);
    for (int round = 0; round < 2; round++) {
        on_twin(API_PROPERTY_PUT, "a@acme.example");
        request_text(&request, API_FIELD_NAME, "period");
        request_value(&request, &(value){ .kind = VALUE_INTEGER, .integer = 600 });
        request_u64(&request, API_FIELD_IF_MATCH, 1);
        request_bytes(&request, API_FIELD_IDEMPOTENCY, key, sizeof key);
        assert_int_equal(status_of(ask()), 202);
        reopen();
    }
    assert_int_equal(twin_at(here.world.core, 0)->revision, 2);
    key[32] = 1; /* another body */
    on_twin(API_TWIN_PUT, "b@acme.example");
    request_bytes(&request, API_FIELD_IDEMPOTENCY, key, sizeof key);
    assert_int_equal(status_of(ask()), 422);
    world_advance(&here.world, (IDEMPOTENCY_KEPT_S + 1) * 1000ll);
    world_settle(&here.world);
    assert_null(idempotent_find(here.world.core, key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(the_newest_65536_are_known),
        CLAIM(a_known_one_stays_where_it_is),
        CLAIM(names_of_strangers_are_not_kept),
        CLAIM(an_origin_host_costs_what_it_sends),
        CLAIM(half_a_dump_changes_nothing),
        CLAIM(what_a_record_says_of_the_tables_counts_before_its_twins_full_record),
        CLAIM(dead_letters_and_answers_go_with_their_domain),
        CLAIM(an_old_dump_shows_nothing_of_a_domain_that_is_gone),
        CLAIM(a_key_gives_the_first_answer_for_a_day),
    };
    return cmocka_run_group_tests_name("host_tables", tests, NULL, NULL);
}

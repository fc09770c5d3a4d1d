/* The core against a cell and a disk in memory: tables, records, tickets, timers, answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "asker.h"
#include "base/hash.h"
#include "core/host.h"
#include "core/host_tables.h"
#include "core/links.h"
#include "core/mailbox.h"
#include "core/network.h"
#include "core/number.h"
#include "core/record.h"
#include "core/state.h"
#include "core/timers.h"
#include "core/turn.h"
#include "core/twin_table.h"

enum { SEGMENT = 64 * 1024 };

static int begin(void **state)
{
    (void)state;
    world_options options = { .seed = 11, .segment_bytes = SEGMENT, .replay_bytes = 2 * SEGMENT, .timeline_bytes = 4 * SEGMENT, .on_message = asker_hears };
    world_init(&here.world, &options);
    assert_int_equal(world_open(&here.world), DRO_OK);
    world_push_image(&here.world, THERMO);
    here.id = 100;
    asker_forget();
    return 0;
}

static void reopen(void)
{
    core_settle(here.world.core);
    world_close(&here.world);
    assert_int_equal(world_open(&here.world), DRO_OK);
    world_settle(&here.world);
    world_check(&here.world);
}

static uint32_t make_twin(const char *id, const char *imsi)
{
    on_twin(API_TWIN_PUT, id);
    request_text(&request, API_FIELD_MODEL, "acme/thermo");
    if (imsi != NULL)
        request_text(&request, API_FIELD_IMSI, imsi);
    assert_int_equal(status_of(ask()), 201);
    uint32_t index = twin_find(here.world.core, id, strlen(id));
    assert_true(index != NONE);
    return index;
}

static const heard *write_property(const char *id, const char *name, value value)
{
    on_twin(API_PROPERTY_PUT, id);
    request_text(&request, API_FIELD_NAME, name);
    request_value(&request, &value);
    return ask();
}

static const heard *write_period(const char *id, int64_t seconds)
{
    return write_property(id, "period", (value){ .kind = VALUE_INTEGER, .integer = seconds });
}

static const heard *blink(const char *id)
{
    static const uint8_t input[] = { 7, 's', 'e', 'c', 'o', 'n', 'd', 's', VALUE_INTEGER, 9, 0, 0, 0, 0, 0, 0, 0 };
    on_twin(API_ACTION, id);
    request_text(&request, API_FIELD_NAME, "blink");
    request_bytes(&request, API_FIELD_INPUT, input, sizeof input);
    return ask();
}

static network_answer uplink(const char *imsi, uint32_t end_to_end, const void *data, size_t length)
{
    network_answer answer;
    world_frame frame = { .end_to_end = end_to_end, .data = data, .length = length };
    assert_true(world_uplink(&here.world, 0, ++here.id, imsi, &frame));
    world_settle(&here.world);
    memcpy(&answer, heard_of(here.id)->body, sizeof answer);
    return answer;
}

static network_answer reading(const char *imsi, uint32_t end_to_end, uint8_t sequence)
{
    uint8_t frame[8] = { 1, sequence, 8, 0, 100, 0x0d, 0xac };
    for (int i = 0; i < 7; i++)
        frame[7] ^= frame[i];
    return uplink(imsi, end_to_end, frame, sizeof frame);
}

static void connect_device(const char *imsi)
{
    assert_true(world_connect(&here.world, 0, ++here.id, imsi, WORLD_ESTABLISH, false));
    world_settle(&here.world);
}

static const heard *downlink_heard(void)
{
    for (uint32_t i = here.count; i-- > 0;)
        if (here.heard[i].header.type == MESSAGE_DOWNLINK)
            return &here.heard[i];
    return NULL;
}

static void answer_downlink(uint32_t result, uint32_t experimental)
{
    downlink_answer answer = { .outcome = DOWNLINK_ANSWERED, .result = result, .experimental = experimental };
    const heard *asked = downlink_heard();
    assert_non_null(asked);
    uint64_t id = asked->header.id;
    asker_forget();
    assert_true(world_downlink_answer(&here.world, 0, id, &answer));
    world_settle(&here.world);
}

static const ticket *newest(uint32_t index)
{
    return twin_at(here.world.core, index)->extra->tickets;
}

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

/* ---- records ---- */

static void a_full_record_says_all_of_a_twin(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    on_twin(API_TWIN_PUT, "a@acme.example");
    request_text(&request, API_FIELD_MSISDN, "4915100");
    request_text(&request, API_FIELD_ALIAS, "alias@acme.example");
    request_bytes(&request, API_FIELD_TAG, "\4sitenorth", 10);
    assert_int_equal(status_of(ask()), 200);
    connect_device("001010000000001");
    assert_int_equal(reading("001010000000001", 1, 0).result, 2001);
    assert_int_equal(status_of(write_period("a@acme.example", 600)), 202);
    answer_downlink(0, 5653);
    assert_int_equal(status_of(blink("a@acme.example")), 202);
    on_twin(API_TWIN_GET, "a@acme.example");
    char *before = strdup(json_of(ask()));
    core *core = here.world.core;
    uint64_t revision = twin_at(core, index)->context_revision;
    for (int i = 0; i < 2; i++) { /* from deltas, from a full record over what is there, from the full one alone */
        record_full(core, index);
        reopen();
        core = here.world.core;
    }
    on_twin(API_TWIN_GET, "a@acme.example");
    assert_string_equal(json_of(ask()), before);
    free(before);
    index = twin_find(core, "alias@acme.example", 18);
    assert_true(index != NONE && index == twin_find_imsi(core, "001010000000001"));
    const twin *twin = twin_at(core, index);
    assert_int_equal(twin->context_revision, revision);
    assert_int_equal(twin->flags & (TWIN_CONNECTED | TWIN_BLOCKED | TWIN_HAS_MSISDN), TWIN_CONNECTED | TWIN_BLOCKED | TWIN_HAS_MSISDN);
    assert_int_equal(twin->extra->mail_count, 2);
    assert_int_equal(twin->extra->ticket_count, 2);
    assert_int_equal(reading("001010000000001", 2, 1).result, 2001); /* the context opens */
}

static void checkpoints_drop_old_segments(void **state)
{
    (void)state;
    make_twin("quiet@acme.example", NULL);
    make_twin("busy@acme.example", "001010000000002");
    connect_device("001010000000002");
    for (uint32_t i = 0; i < 1200; i++) {
        assert_int_equal(reading("001010000000002", i, (uint8_t)i).result, 2001);
        asker_forget();
    }
    core *core = here.world.core;
    assert_true(commit_log_segment_first(core->log) > 1);
    assert_true(commit_log_segment_last(core->log) - commit_log_replay_segment(core->log) <= 4);
    reopen();
    core = here.world.core;
    assert_true(twin_find(core, "quiet@acme.example", 18) != NONE);
    assert_int_equal(reading("001010000000002", 1199, 0).result, 2001); /* known over the checkpoint */
    on_twin(API_PROPERTY_GET, "busy@acme.example");
    request_text(&request, API_FIELD_NAME, "readings");
    assert_non_null(strstr(json_of(ask()), "{\"value\":1200,"));
}

/* A twin made in the slot of one just removed: the log places both records afterwards. */
static void a_reused_slot_has_its_own_chain(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        char id[40];
        snprintf(id, sizeof id, "t%d@acme.example", i);
        uint32_t index = make_twin(id, NULL);
        const twin *twin = twin_at(here.world.core, index);
        core_settle(here.world.core);
        log_place last = twin->last;
        uint64_t number = twin->number;
        record_begin(here.world.core, index, RECORD_GONE);
        record_end(here.world.core);
        twin_forget(here.world.core, index);
        uint32_t next;
        assert_int_equal(twin_new(here.world.core, &next), DRO_OK);
        assert_int_equal(next, index);
        twin_at(here.world.core, next)->number = number + 1;
        core_settle(here.world.core);
        assert_true(twin_at(here.world.core, next)->last == 0 && last != 0);
        twin_free(here.world.core, next);
    }
}

/* ---- tickets and mail ---- */

static void a_newer_write_takes_the_place_of_one_that_waits(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    assert_int_equal(status_of(write_period("a@acme.example", 600)), 202);
    assert_int_equal(status_of(write_period("a@acme.example", 700)), 202);
    const twin *twin = twin_at(here.world.core, index);
    assert_int_equal(twin->extra->mail_count, 1);
    assert_int_equal(newest(index)->state, TICKET_PENDING);
    assert_int_equal(newest(index)->next->state, TICKET_SUPERSEDED);
    connect_device("001010000000001");
    assert_int_equal(newest(index)->state, TICKET_SENT);
    answer_downlink(2001, 0);
    assert_int_equal(newest(index)->state, TICKET_DELIVERED);
    static const uint8_t confirm[] = { 2, 700 >> 8, 700 & 255 };
    assert_int_equal(uplink("001010000000001", 9, confirm, 3).result, 2001);
    assert_int_equal(newest(index)->state, TICKET_REPORTED);
    assert_int_equal(status_of(write_period("a@acme.example", 700)), 202); /* it is so already */
    assert_int_equal(newest(index)->state, TICKET_REPORTED);
}

static void another_value_confirmed_fails_the_ticket(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    write_period("a@acme.example", 600);
    answer_downlink(2001, 0);
    static const uint8_t confirm[] = { 2, 0, 99 };
    uplink("001010000000001", 9, confirm, 3);
    assert_int_equal(newest(index)->state, TICKET_FAILED);
    assert_string_equal(newest(index)->reason, "the device confirmed 99");
    assert_int_equal(twin_at(here.world.core, index)->extra->mail_count, 0);
}

static void what_was_sent_waits_again_after_a_restart(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    write_period("a@acme.example", 600);
    assert_int_equal(newest(index)->state, TICKET_SENT);
    uint64_t number = newest(index)->number;
    world_close(&here.world);
    assert_int_equal(world_open(&here.world), DRO_OK);
    index = twin_find(here.world.core, "a@acme.example", 14);
    assert_int_equal(newest(index)->number, number);
    assert_int_equal(newest(index)->state, TICKET_PENDING);
    asker_forget();
    assert_int_equal(reading("001010000000001", 1, 0).result, 2001); /* a contact */
    assert_non_null(downlink_heard());
}

static void mail_expires(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", NULL);
    write_period("a@acme.example", 600);
    int64_t week_ms = DOWNLINK_EXPIRY_S * 1000ll;
    assert_true(core_next_due(here.world.core) > 0);
    world_advance(&here.world, week_ms - 1000);
    world_settle(&here.world);
    assert_int_equal(newest(index)->state, TICKET_PENDING);
    world_advance(&here.world, 2000);
    world_settle(&here.world);
    assert_int_equal(newest(index)->state, TICKET_EXPIRED);
    assert_int_equal(twin_at(here.world.core, index)->extra->mail_count, 0);
    assert_int_equal(core_next_due(here.world.core), -1);
}

static void mail_of_a_lost_gate_expires_all_the_same(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    write_period("a@acme.example", 600);
    assert_int_equal(newest(index)->state, TICKET_SENT);
    world_gate_lose(&here.world, 0);
    assert_int_equal(newest(index)->state, TICKET_PENDING);
    world_advance(&here.world, (DOWNLINK_EXPIRY_S + 1) * 1000ll);
    world_settle(&here.world);
    assert_int_equal(newest(index)->state, TICKET_EXPIRED);
}

static void tickets_have_a_bound(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    for (int i = 0; i < 300; i++) { /* delivered, never confirmed */
        assert_int_equal(status_of(write_period("a@acme.example", 100 + i)), 202);
        answer_downlink(2001, 0);
    }
    assert_int_equal(twin_at(here.world.core, index)->extra->ticket_count, TWIN_TICKETS_MAX);
    reopen();
    assert_int_equal(twin_at(here.world.core, 0)->extra->ticket_count, TWIN_TICKETS_MAX);
}

/* What the twin sent of it is gone, or it never sent anything. */
static void a_ticket_without_mail_ends_all_the_same(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", NULL);
    write_period("a@acme.example", 600);
    uint64_t mail = twin_at(here.world.core, index)->extra->mail->number;
    record_begin(here.world.core, index, RECORD_DELTA);
    record_put(here.world.core, FIELD_MAIL_GONE, &mail, 8);
    record_end(here.world.core);
    reopen();
    index = twin_find(here.world.core, "a@acme.example", 14);
    assert_int_equal(newest(index)->state, TICKET_PENDING);
    assert_true(core_next_due(here.world.core) > 0);
    world_advance(&here.world, (DOWNLINK_EXPIRY_S + 1) * 1000ll);
    world_settle(&here.world);
    assert_int_equal(newest(index)->state, TICKET_EXPIRED);
    assert_int_equal(core_next_due(here.world.core), -1);
}

static void who_waits_for_a_device_is_told_when_the_host_stops(void **state)
{
    (void)state;
    make_twin("a@acme.example", NULL);
    uint64_t asked[2];
    for (int late = 0; late < 2; late++) {
        on_twin(API_PROPERTY_PUT, "a@acme.example");
        request_text(&request, API_FIELD_NAME, "period");
        request_value(&request, &(value){ .kind = VALUE_INTEGER, .integer = 600 + late });
        request_u64(&request, API_FIELD_WAIT, TICKET_REPORTED);
        request_u64(&request, API_FIELD_TIMEOUT, 600000);
        const heard *answer = ask();
        asked[late] = here.id;
        if (late == 0)
            assert_null(answer);
        core_drain(here.world.core);
        world_settle(&here.world);
        assert_int_equal(status_of(heard_of(asked[late])), 202);
    }
    assert_int_equal(here.world.core->waiter_count, 0);
}

static void a_full_mailbox_fails_the_command(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", NULL);
    for (int i = 0; i < TWIN_MAIL_MAX + 1; i++)
        assert_int_equal(status_of(blink("a@acme.example")), 202);
    assert_int_equal(newest(index)->state, TICKET_FAILED);
    assert_int_equal(newest(index)->next->state, TICKET_PENDING);
}

static void after_5653_only_a_contact_tries_again(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    write_period("a@acme.example", 600);
    answer_downlink(0, 5653);
    blink("a@acme.example");
    world_advance(&here.world, 3600 * 1000);
    world_settle(&here.world);
    assert_null(downlink_heard());
    assert_int_equal(newest(index)->next->state, TICKET_PENDING);
    reading("001010000000001", 1, 0);
    assert_non_null(downlink_heard());
    uint32_t answered = NONE, sent = NONE; /* after the answer to the uplink */
    for (uint32_t i = 0; i < here.count; i++)
        if (here.heard[i].header.type == MESSAGE_DOWNLINK)
            sent = i;
        else if (here.heard[i].header.id == here.id)
            answered = i;
    assert_true(answered < sent);
}

/* ---- timers ---- */

static void timers_fire_in_order(void **state)
{
    (void)state;
    core *core = here.world.core;
    enum { COUNT = 200 };
    uint32_t indexes[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        char id[40];
        snprintf(id, sizeof id, "t%u@acme.example", i);
        indexes[i] = make_twin(id, NULL);
        asker_forget();
        twin_at(core, indexes[i])->retry_ms = core->now_ms + 1000000 + (i * 7919 % COUNT) * 1000;
        assert_int_equal(status_of(blink(id)), 202); /* it has mail, so the time counts */
    }
    for (uint32_t i = 0; i < COUNT; i += 3) { /* changed, and not yet told */
        twin_at(core, indexes[i])->retry_ms += 500;
        world_check(&here.world);
    }
    for (uint32_t i = 0; i < COUNT; i += 3)
        assert_int_equal(timers_update(core, indexes[i]), DRO_OK);
    int64_t last = 0;
    for (uint32_t n = 0; n < COUNT; n++) {
        uint32_t index = core->timers[1].twin;
        assert_true(timers_next(core) >= last);
        assert_int_equal(timers_next(core), twin_at(core, index)->retry_ms);
        last = timers_next(core);
        timers_remove(core, index);
    }
    assert_int_equal(core->timer_count, 0);
}

/* ---- answers, gates and cells ---- */

static void answers_leave_in_order_when_the_ring_is_full(void **state)
{
    (void)state;
    enum { COUNT = 1500 };
    make_twin("a@acme.example", NULL);
    uint64_t first = here.id + 1;
    uint32_t sent = 0, seen = 0;
    asker_forget();
    while (sent < COUNT) {
        on_twin(API_TWIN_GET, "a@acme.example");
        if (!request_send(&here.world, 0, first + sent, &request))
            core_round(here.world.core); /* and the gate reads nothing */
        else
            sent++;
    }
    world_settle(&here.world);
    for (uint32_t i = 0; i < here.count; i++)
        assert_int_equal(here.heard[i].header.id, first + seen++);
    assert_int_equal(seen, COUNT);
}

static void a_new_gate_gets_no_answers_of_the_old_one(void **state)
{
    (void)state;
    make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    asker_forget();
    world_frame frame = { .end_to_end = 4, .data = "x", .length = 1 };
    for (uint64_t id = 1; id <= 3; id++) { /* one in a turn, two that wait */
        assert_true(world_uplink(&here.world, 0, id, "001010000000001", &frame));
        frame.end_to_end++;
    }
    on_twin(API_PROPERTY_PUT, "a@acme.example");
    request_text(&request, API_FIELD_NAME, "period");
    request_value(&request, &(value){ .kind = VALUE_INTEGER, .integer = 600 });
    request_u64(&request, API_FIELD_WAIT, TICKET_REPORTED);
    request_u64(&request, API_FIELD_TIMEOUT, 1000);
    assert_true(request_send(&here.world, 0, 9, &request));
    core_round(here.world.core);
    world_gate_lose(&here.world, 0);
    world_gate_open(&here.world, 0);
    world_settle(&here.world);
    world_advance(&here.world, 5000);
    world_settle(&here.world);
    assert_int_equal(here.count, 0);
    assert_int_equal(uplink("001010000000001", 4, "x", 1).result, 2001);
}

static void a_lost_cell_costs_its_turns_a_retry(void **state)
{
    (void)state;
    make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    world_frame frame = { .end_to_end = 4, .data = "x", .length = 1 };
    assert_true(world_uplink(&here.world, 0, 77, "001010000000001", &frame));
    core_round(here.world.core);
    assert_int_equal(here.world.core->turn_count, 1);
    world_cell_lose(&here.world);
    world_settle(&here.world);
    network_answer answer;
    memcpy(&answer, heard_of(77)->body, sizeof answer);
    assert_int_equal(answer.result, 2001);
}

static void two_twins_in_the_making_cannot_share_a_name(void **state)
{
    (void)state;
    static const char *const ids[] = { "a@acme.example", "b@acme.example", "alias@acme.example" };
    for (uint64_t i = 0; i < 3; i++) {
        on_twin(API_TWIN_PUT, ids[i]);
        request_text(&request, API_FIELD_MODEL, "acme/thermo");
        if (i < 2)
            request_text(&request, API_FIELD_ALIAS, "alias@acme.example");
        assert_true(request_send(&here.world, 0, 500 + i, &request));
    }
    world_settle(&here.world);
    assert_int_equal(status_of(heard_of(500)), 201);
    assert_int_equal(status_of(heard_of(501)), 409);
    assert_int_equal(status_of(heard_of(502)), 200); /* the name of the first by then */
}

static void what_no_gate_lets_through_is_refused(void **state)
{
    (void)state;
    on_twin(API_TWIN_PUT, "a@acme.example");
    request_text(&request, API_FIELD_MODEL, "acme/thermo");
    request_text(&request, API_FIELD_IMSI, "00101x");
    assert_int_equal(status_of(ask()), 422);
    request_begin(&request, API_TWIN_PUT);
    request_bytes(&request, API_FIELD_ID, "a@acme.e\0ample", 14);
    request_text(&request, API_FIELD_MODEL, "acme/thermo");
    assert_int_equal(status_of(ask()), 500);
    on_twin(API_TWIN_PUT, "a@acme.example");
    request_text(&request, API_FIELD_MODEL, "acme/thermo");
    request_bytes(&request, API_FIELD_ALIAS, "b@acme.e\0ample", 14);
    assert_int_equal(status_of(ask()), 422);
    assert_int_equal(here.world.core->twin_count, 0);
}

/* ---- contacts ---- */

static const char *timeline_of(const char *id)
{
    on_twin(API_TIMELINE, id);
    request_u64(&request, API_FIELD_LIMIT, 100);
    return json_of(ask());
}

static uint32_t occurrences(const char *text, const char *what)
{
    uint32_t count = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what))
        count++;
    return count;
}

static void reachability_in_the_middle_of_a_turn_waits_for_its_end(void **state)
{
    (void)state;
    make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    for (uint32_t i = 0; i < 3; i++) { /* one in a turn, two that wait; then the device is there, said twice, by a gate that dies */
        world_frame frame = { .end_to_end = 50 + i, .data = "x", .length = 1 };
        assert_true(world_uplink(&here.world, 0, 700 + i, "001010000000001", &frame));
    }
    assert_true(world_connect(&here.world, 1, 710, "001010000000001", WORLD_UPDATE, true));
    assert_true(world_connect(&here.world, 1, 711, "001010000000001", WORLD_UPDATE, true));
    core_round(here.world.core);
    assert_int_equal(here.world.core->turn_count, 1);
    world_gate_lose(&here.world, 1);
    world_settle(&here.world);
    world_gate_open(&here.world, 1);
    const char *timeline = timeline_of("a@acme.example");
    assert_int_equal(occurrences(timeline, "\"kind\":\"uplink\""), 3);
    assert_int_equal(occurrences(timeline, "\"kind\":\"reachability\""), 1);
    assert_true(strstr(timeline, "\"kind\":\"reachability\"") < strstr(timeline, "\"kind\":\"uplink\"")); /* newest first */
}

/* Removed and made again while nothing of it is durable yet: the same slot, another chain. */
static void a_twin_made_anew_within_a_round_has_its_whole_timeline(void **state)
{
    (void)state;
    enum { LIVES = 6, UPLINKS = 5 };
    for (uint32_t life = 0; life < LIVES; life++) {
        make_twin("a@acme.example", "001010000000001");
        connect_device("001010000000001");
        for (uint32_t i = 0; i < UPLINKS; i++)
            assert_int_equal(reading("001010000000001", life * UPLINKS + i, (uint8_t)i).result, 2001);
        if (life % 2 == 1)
            record_full(here.world.core, twin_find(here.world.core, "a@acme.example", 14));
        assert_int_equal(occurrences(timeline_of("a@acme.example"), "\"kind\":\"uplink\""), UPLINKS);
        assert_int_equal(occurrences(timeline_of("a@acme.example"), "\"kind\":\"created\""), 1);
        on_twin(API_TWIN_DELETE, "a@acme.example");
        assert_true(request_send(&here.world, 0, 900 + life, &request)); /* read together with the next life's first request */
    }
}

static void an_interval_is_learned(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    for (uint32_t i = 0; i < 6; i++) {
        reading("001010000000001", i, (uint8_t)i);
        world_advance(&here.world, 600 * 1000);
    }
    const twin *twin = twin_at(here.world.core, index);
    assert_int_equal(twin->why, CONTACT_LEARNED);
    assert_in_range(twin->learned_s, 598, 602);
    assert_in_range(twin->next_contact_ms - twin->last_contact_ms, 598000, 602000);
}

/* ---- files ---- */

static void keys_that_are_gone_are_not_made_anew(void **state)
{
    (void)state;
    disk *disk = here.world.log_disk;
    make_twin("a@acme.example", NULL);
    core_settle(here.world.core);
    world_close(&here.world);
    uint8_t keys[1024];
    int file = disk->open(disk, "keys", 0);
    int64_t length = disk->size(disk, file);
    assert_true(length > 0 && length <= (int64_t)sizeof keys);
    assert_int_equal(disk->read(disk, file, 0, keys, (size_t)length), length);
    disk->close(disk, file);
    for (int is_empty = 0; is_empty < 2; is_empty++) {
        if (is_empty)
            assert_int_equal(disk->replace(disk, "keys", "", 0), 0);
        else
            assert_int_equal(disk->remove(disk, "keys"), 0);
        assert_int_equal(world_open(&here.world), DRO_NOT_FOUND);
    }
    file = disk->open(disk, "keys", 0);
    assert_int_equal(disk->size(disk, file), 0);
    disk->close(disk, file);
    assert_int_equal(disk->replace(disk, "keys", keys, (size_t)length), 0);
    assert_int_equal(world_open(&here.world), DRO_OK);
    assert_true(twin_find(here.world.core, "a@acme.example", 14) != NONE);
}

/* ---- images ---- */

static void file_of(uint32_t image, const char *suffix, char name[96])
{
    for (int i = 0; i < 32; i++)
        snprintf(name + 2 * i, 3, "%02x", here.world.core->images[image].digest[i]);
    snprintf(name + 64, 32, ".%s", suffix);
}

static uint8_t *image_file(const char *name, size_t *length)
{
    disk *disk = here.world.image_disk;
    int file = disk->open(disk, name, 0);
    assert_true(file >= 0);
    *length = (size_t)disk->size(disk, file);
    uint8_t *bytes = malloc(*length);
    assert_int_equal(disk->read(disk, file, 0, bytes, *length), *length);
    disk->close(disk, file);
    return bytes;
}

static void flip_a_bit(uint32_t image, const char *suffix)
{
    char name[96];
    size_t length;
    file_of(image, suffix, name);
    uint8_t *bytes = image_file(name, &length);
    bytes[length * 2 / 3] ^= 4;
    assert_int_equal(here.world.image_disk->replace(here.world.image_disk, name, bytes, length), 0);
    free(bytes);
}

/* Thermo with one more section that says nothing: another image of the same model. */
static void push_variant(uint8_t number)
{
    static uint8_t bytes[1 << 20];
    uint8_t section[] = { 0, 3, 1, 'x', number };
    char path[] = "/tmp/dromio-core-test-XXXXXX";
    FILE *thermo = fopen(THERMO, "rb");
    assert_non_null(thermo);
    size_t length = fread(bytes, 1, sizeof bytes - sizeof section, thermo);
    fclose(thermo);
    memcpy(bytes + length, section, sizeof section);
    int file = mkstemp(path);
    assert_int_equal(write(file, bytes, length + sizeof section), length + sizeof section);
    close(file);
    world_push_image(&here.world, path);
    unlink(path);
}

/* As after a start, before anything was compiled. */
static void open_again(void)
{
    core_settle(here.world.core);
    world_close(&here.world);
    assert_int_equal(world_open(&here.world), DRO_OK);
}

static void another_engine_has_its_images_made_anew_while_it_runs(void **state)
{
    (void)state;
    make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    assert_int_equal(reading("001010000000001", 1, 0).result, 2001);
    here.world.is_engine_other = true;
    open_again();
    assert_null(here.world.core->images[0].artifact);
    assert_int_equal(here.world.admit_count, 1);
    world_frame frame = { .end_to_end = 2, .data = "x", .length = 1 };
    assert_true(world_uplink(&here.world, 0, 77, "001010000000001", &frame));
    for (int i = 0; i < 10; i++)
        core_round(here.world.core);
    assert_null(heard_of(77)); /* it waits, and is not lost */
    world_settle(&here.world);
    network_answer answer;
    memcpy(&answer, heard_of(77)->body, sizeof answer);
    assert_int_equal(answer.result, 2001);
    here.world.is_engine_other = false;
    open_again();
    assert_int_equal(here.world.admit_count, 0); /* what was made anew is kept, and fits */
    assert_non_null(here.world.core->images[0].artifact);
}

static void an_artifact_that_is_not_what_was_written_is_made_anew(void **state)
{
    (void)state;
    char names[2][96];
    size_t length;
    make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    world_push_image(&here.world, THERMO_MOVED); /* the same model, other code */
    for (int what = 0; what < 3; what++) { /* a bit, another image's, none at all */
        disk *disk = here.world.image_disk;
        file_of(0, "artifact", names[0]);
        file_of(1, "artifact", names[1]);
        if (what == 0)
            flip_a_bit(0, "artifact");
        else if (what == 2)
            assert_int_equal(disk->remove(disk, names[0]), 0);
        else {
            uint8_t *other = image_file(names[1], &length);
            assert_int_equal(disk->replace(disk, names[0], other, length), 0);
            free(other);
        }
        open_again();
        assert_null(here.world.core->images[0].artifact);
        assert_non_null(here.world.core->images[1].artifact);
        world_settle(&here.world);
        assert_int_equal(reading("001010000000001", 10 + (uint32_t)what, (uint8_t)what).result, 2001);
        open_again();
        assert_int_equal(here.world.admit_count, 0);
        world_settle(&here.world);
    }
}

static void a_damaged_image_stops_its_own_twins_only(void **state)
{
    (void)state;
    uint8_t digest[32];
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    assert_int_equal(reading("001010000000001", 1, 0).result, 2001);
    assert_int_equal(status_of(write_period("a@acme.example", 600)), 202); /* it has mail, which expires one day */
    push_variant(1);
    memcpy(digest, here.world.core->images[0].digest, 32);
    make_twin("b@acme.example", "001010000000002"); /* the newest of the model */
    connect_device("001010000000002");
    flip_a_bit(0, "artifact");
    flip_a_bit(0, "wasm");
    open_again();
    world_settle(&here.world);
    index = twin_find(here.world.core, "a@acme.example", 14);
    assert_true(here.world.core->images[0].is_broken && twin_at(here.world.core, index)->image == 0);
    assert_int_equal(reading("001010000000001", 2, 1).result, 3004);
    assert_int_equal(status_of(write_period("a@acme.example", 700)), 503);
    on_twin(API_TWIN_PUT, "new@acme.example");
    request_bytes(&request, API_FIELD_IMAGE, digest, 32);
    assert_int_equal(status_of(ask()), 503);
    on_twin(API_TWIN_GET, "a@acme.example"); /* what is known of it is shown all the same */
    assert_int_equal(status_of(ask()), 200);
    assert_int_equal(reading("001010000000002", 3, 1).result, 2001);
    world_advance(&here.world, (DOWNLINK_EXPIRY_S + 1) * 1000ll);
    world_settle(&here.world); /* and does not turn in a circle over what is due */
    world_push_image(&here.world, THERMO);
    assert_false(here.world.core->images[0].is_broken);
    assert_int_equal(here.world.core->image_count, 2);
    assert_int_equal(reading("001010000000001", 4, 1).result, 2001);
    assert_int_equal(newest(index)->state, TICKET_EXPIRED);
    on_twin(API_PROPERTY_GET, "a@acme.example");
    request_text(&request, API_FIELD_NAME, "readings");
    assert_non_null(strstr(json_of(ask()), "{\"value\":2,")); /* its context is what it was */
    open_again();
    assert_int_equal(here.world.admit_count, 0);
}

static void on_name(void *context, const char *name)
{
    uint32_t *counts = context;
    counts[0]++;
    counts[1] += strcmp(name, "notes.txt") == 0;
}

static void what_an_interrupted_push_left_is_removed(void **state)
{
    (void)state;
    disk *disk = here.world.image_disk;
    uint32_t before[2] = { 0 }, after[2] = { 0 };
    char name[128];
    disk->list(disk, on_name, before);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s%064d%s", i / 2 == 1 ? "." : "", i % 2, (const char *const[]){ ".wasm", ".artifact", ".wasm.new", ".artifact.new" }[i]);
        assert_int_equal(disk->replace(disk, name, "left", 4), 0);
    }
    assert_int_equal(disk->replace(disk, "notes.txt", "mine", 4), 0);
    open_again();
    disk->list(disk, on_name, after);
    assert_int_equal(after[0], before[0] + 1);
    assert_int_equal(after[1], 1);
    assert_non_null(here.world.core->images[0].artifact);
}

static void more_images_than_there_can_be_are_507(void **state)
{
    (void)state;
    core *core = here.world.core;
    core->image_count = CORE_IMAGES_MAX; /* as if, all but the first unused */
    push_variant(7);
    assert_int_equal(status_of(heard_of(0x1a6e)), 507);
    assert_non_null(strstr(json_of(heard_of(0x1a6e)), "too_many_images"));
    world_push_image(&here.world, THERMO); /* that one is here */
    assert_int_equal(status_of(heard_of(0x1a6e)), 200);
    core->image_count = 1;
}

/* ---- streams ---- */

static void subscribe(uint64_t id, const char *resume)
{
    request_begin(&request, 0);
    if (resume != NULL)
        request_text(&request, API_FIELD_RESUME, resume);
    assert_true(world_send(&here.world, 0, MESSAGE_SUBSCRIBE, id, request.bytes, dro_builder_length(&request.out)));
    world_settle(&here.world);
}

static uint32_t events_of(uint64_t id, uint64_t sequences[HEARD_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < here.count; i++)
        if (here.heard[i].header.type == MESSAGE_STREAM_EVENT && here.heard[i].header.id == id)
            sequences[count++] = strtoull(here.heard[i].body + sizeof(stream_event), NULL, 10);
    return count;
}

static void a_stream_resumes_where_it_was(void **state)
{
    (void)state;
    static uint64_t live[HEARD_MAX], late[HEARD_MAX];
    make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    subscribe(7, NULL);
    for (uint32_t i = 0; i < 40; i++)
        reading("001010000000001", i, (uint8_t)i);
    uint32_t count = events_of(7, live);
    assert_true(count > 40);
    char resume[24];
    snprintf(resume, sizeof resume, "%llu", (unsigned long long)live[count / 2]);
    for (int restart = 0; restart < 2; restart++) {
        asker_forget();
        if (restart)
            reopen();
        subscribe(8 + (uint64_t)restart, resume);
        uint32_t again = events_of(8 + (uint64_t)restart, late);
        assert_int_equal(again, count - count / 2 - 1);
        assert_memory_equal(late, live + count / 2 + 1, again * sizeof late[0]);
    }
}

static void a_stream_without_credit_waits_and_loses_nothing(void **state)
{
    (void)state;
    static uint64_t sequences[HEARD_MAX];
    make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    subscribe(7, NULL);
    here.world.core->options.timeline_bytes = 1 << 30; /* nothing is dropped */
    for (uint32_t i = 0; here.world.core->event_next < 1 + STREAM_CREDIT + 600; i++)
        reading("001010000000001", i, (uint8_t)i);
    uint32_t count = events_of(7, sequences);
    assert_true(count >= STREAM_CREDIT && count < STREAM_CREDIT + 50);
    uint64_t passed = STREAM_CREDIT;
    assert_true(world_send(&here.world, 0, MESSAGE_CREDIT, 7, &passed, sizeof passed));
    world_settle(&here.world);
    count = events_of(7, sequences);
    assert_int_equal(sequences[count - 1], here.world.core->event_next - 1);
    for (uint32_t i = 1; i < count; i++)
        assert_int_equal(sequences[i], sequences[i - 1] + 1);
}

enum { CROWD = 200 };
static uint64_t crowd_next[CROWD];

/* Events in order, none twice and none missing. */
static void on_crowd(void *context, uint32_t gate, const ring_header *header, const uint8_t *body, uint32_t length)
{
    (void)context, (void)length;
    if (header->type != MESSAGE_STREAM_EVENT)
        return;
    assert_int_equal(gate, 0);
    uint64_t *next = &crowd_next[header->id - 1];
    uint64_t sequence = strtoull((const char *)body + sizeof(stream_event), NULL, 10);
    assert_true(*next == 0 || sequence == *next);
    *next = sequence + 1;
}

static void streams_of_a_gate_that_stands_still_stay_in_their_bound(void **state)
{
    (void)state;
    make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    core *core = here.world.core;
    core->options.timeline_bytes = 1 << 30; /* nothing is dropped */
    here.world.options.on_message = on_crowd;
    memset(crowd_next, 0, sizeof crowd_next);
    for (uint64_t id = 1; id <= CROWD; id++)
        subscribe(id, NULL);
    const outbox *box = &core->gates[0].outbox;
    here.world.gates[0].is_open = false; /* it reads nothing, and is not known to be dead */
    uint8_t frame[8] = { 1, 0, 8, 0, 100, 0x0d, 0xac };
    for (uint32_t i = 0, full = 0; full < 50; full += core->gates[0].is_stopped, i++) {
        assert_true(i < 2000);
        frame[1] = (uint8_t)i;
        frame[7] = 0;
        for (int k = 0; k < 7; k++)
            frame[7] ^= frame[k];
        world_frame uplink = { .end_to_end = i, .data = frame, .length = sizeof frame };
        assert_true(world_uplink(&here.world, 1, ++here.id, "001010000000001", &uplink));
        world_settle(&here.world);
        assert_true(box->end - box->start < CORE_OUTBOX_MAX + 64 * 1024);
    }
    here.world.gates[0].is_open = true;
    world_settle(&here.world);
    for (uint32_t i = 0; i < CROWD; i++)
        assert_int_equal(crowd_next[i], core->event_next);
}

int main(void)
{
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, begin, asker_end)
    const struct CMUnitTest tests[] = {
        CLAIM(the_newest_65536_are_known),
        CLAIM(a_known_one_stays_where_it_is),
        CLAIM(names_of_strangers_are_not_kept),
        CLAIM(an_origin_host_costs_what_it_sends),
        CLAIM(half_a_dump_changes_nothing),
        CLAIM(a_key_gives_the_first_answer_for_a_day),
        CLAIM(a_full_record_says_all_of_a_twin),
        CLAIM(checkpoints_drop_old_segments),
        CLAIM(a_reused_slot_has_its_own_chain),
        CLAIM(a_newer_write_takes_the_place_of_one_that_waits),
        CLAIM(another_value_confirmed_fails_the_ticket),
        CLAIM(what_was_sent_waits_again_after_a_restart),
        CLAIM(mail_expires),
        CLAIM(mail_of_a_lost_gate_expires_all_the_same),
        CLAIM(tickets_have_a_bound),
        CLAIM(a_ticket_without_mail_ends_all_the_same),
        CLAIM(who_waits_for_a_device_is_told_when_the_host_stops),
        CLAIM(a_full_mailbox_fails_the_command),
        CLAIM(after_5653_only_a_contact_tries_again),
        CLAIM(timers_fire_in_order),
        CLAIM(answers_leave_in_order_when_the_ring_is_full),
        CLAIM(a_new_gate_gets_no_answers_of_the_old_one),
        CLAIM(a_lost_cell_costs_its_turns_a_retry),
        CLAIM(two_twins_in_the_making_cannot_share_a_name),
        CLAIM(what_no_gate_lets_through_is_refused),
        CLAIM(reachability_in_the_middle_of_a_turn_waits_for_its_end),
        CLAIM(a_twin_made_anew_within_a_round_has_its_whole_timeline),
        CLAIM(an_interval_is_learned),
        CLAIM(keys_that_are_gone_are_not_made_anew),
        CLAIM(another_engine_has_its_images_made_anew_while_it_runs),
        CLAIM(an_artifact_that_is_not_what_was_written_is_made_anew),
        CLAIM(a_damaged_image_stops_its_own_twins_only),
        CLAIM(what_an_interrupted_push_left_is_removed),
        CLAIM(more_images_than_there_can_be_are_507),
        CLAIM(a_stream_resumes_where_it_was),
        CLAIM(a_stream_without_credit_waits_and_loses_nothing),
        CLAIM(streams_of_a_gate_that_stands_still_stay_in_their_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

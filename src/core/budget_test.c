/* Budgets in a host: what images have of their own, and what a turn beyond them comes to. Buckets by themselves are in
 * conduct_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "core/budget.h"
#include "core/core_testbed.h"
#include "core/number.h"
#include "core/record.h"
#include "core/state.h"
#include "core/timers.h"
#include "core/twin_table.h"
#include "store/disk_memory.h"

#define ID "a@acme.example"
#define IMSI "001010000000001"
#define UNSAID "\"cpu\":0,\"messages\":0,\"timers\":0,\"log\":0,\"storage\":0,\"cpu_burst\":0,\"messages_burst\":0,\"timers_burst\":0,\"log_burst\":0,\"storage_burst\":0"
#define HOSTS_OWN "\"budget\":{\"twin\":{" UNSAID ",\"memory\":0},\"image\":{" UNSAID ",\"memory\":0}}"

static uint32_t end_to_end;

static image_budget *budget_of(uint32_t core)
{
    return &here.world.seats[core].core->budgets.images[0];
}

/* The host's own, for what has no other. */
static void limit(uint32_t scope, uint32_t value, uint32_t number)
{
    core *core = here.world.core;
    core->options.budgets[scope].of[value] = number;
    budgets_init(core);
}

static void patch_begin(void)
{
    request_begin(&request, API_IMAGE_PATCH);
    request_bytes(&request, API_FIELD_IMAGE, here.world.core->images[0].digest, 32);
}

static void patch_put(uint8_t scope, uint8_t value, uint32_t number)
{
    uint8_t bytes[6] = { scope, value };
    memcpy(bytes + 2, &number, 4);
    request_bytes(&request, API_FIELD_BUDGET, bytes, sizeof bytes);
}

static const char *shown(void)
{
    request_begin(&request, API_IMAGE_GET);
    request_bytes(&request, API_FIELD_IMAGE, here.world.core->images[0].digest, 32);
    const heard *heard = ask();
    assert_int_equal(status_of(heard), 200);
    return json_of(heard);
}

static void is_problem(const heard *heard, uint16_t status, const char *type, uint32_t least_s, uint32_t most_s)
{
    api_reply reply;
    char wanted[64];
    assert_int_equal(status_of(heard), status);
    memcpy(&reply, heard->body, sizeof reply);
    assert_in_range(reply.retry_after_s, least_s, most_s);
    snprintf(wanted, sizeof wanted, "\"type\":\"%s\"", type);
    assert_non_null(strstr(json_of(heard), wanted));
}

static void send(void)
{
    end_to_end++;
    assert_int_equal(reading(IMSI, end_to_end, (uint8_t)end_to_end).result, 2001);
}

static uint32_t timers_of(uint32_t index)
{
    const twin_extra *extra = twin_at(here.world.core, index)->extra;
    return extra == NULL ? 0 : extra->timer_count;
}

static const char *newest_dead(void)
{
    const core *core = here.world.core;
    return core->dead_letters.list[(core->dead_letters.next + DEAD_LETTERS_MAX - 1) % DEAD_LETTERS_MAX].text;
}

/* ---- what an image has of its own ---- */

static void an_image_has_what_it_was_given_and_else_the_hosts(void **state)
{
    (void)state;
    assert_non_null(strstr(shown(), HOSTS_OWN));
    limit(BUDGET_OF_TWIN, BUDGET_LOG, 5000);
    patch_begin();
    patch_put(BUDGET_OF_TWIN, BUDGET_CPU, 600);
    patch_put(BUDGET_OF_TWIN, BUDGET_MEMORY, 100);
    patch_put(BUDGET_OF_IMAGE, BUDGET_BURST + BUDGET_MESSAGES, 7);
    assert_int_equal(status_of(ask()), 200);
    for (int i = 0; i < 2; i++) {
        const char *json = shown();
        assert_non_null(strstr(json, i == 0 ? "\"twin\":{\"cpu\":600,\"messages\":0,\"timers\":0,\"log\":5000," : "\"twin\":{\"cpu\":600,\"messages\":0,\"timers\":0,\"log\":0,"));
        assert_non_null(strstr(json, "\"memory\":100},\"image\":{\"cpu\":0,"));
        assert_non_null(strstr(json, "\"messages_burst\":7,"));
        reopen(); /* where the host has none any more */
    }
    assert_int_equal(budget_of(0)->twin.memory, 100);
    patch_begin();
    request_text(&request, API_FIELD_NULLED, "image"); /* of a scope, and of one value */
    patch_put(BUDGET_OF_TWIN, BUDGET_CPU, BUDGET_UNSAID);
    assert_int_equal(status_of(ask()), 200);
    assert_int_equal(budget_of(0)->twin.memory, 100);
    assert_false(budget_of(0)->twin.is_on);
    patch_begin();
    request_text(&request, API_FIELD_NULLED, "budget");
    assert_int_equal(status_of(ask()), 200);
    assert_non_null(strstr(shown(), HOSTS_OWN));
    assert_true(budget_of(0)->twin.memory == UINT64_MAX);
}

static void a_change_that_is_not_one_changes_nothing(void **state)
{
    (void)state;
    request_begin(&request, API_IMAGE_PATCH);
    assert_int_equal(status_of(ask()), 404); /* of which image? */
    request_begin(&request, API_IMAGE_PATCH);
    request_bytes(&request, API_FIELD_IMAGE, "another image, as long as a digest", 32);
    assert_int_equal(status_of(ask()), 404);
    patch_begin(); /* as no gate sends it */
    patch_put(BUDGET_SCOPES, BUDGET_CPU, 1);
    patch_put(BUDGET_OF_TWIN, BUDGET_VALUES, 1);
    request_bytes(&request, API_FIELD_BUDGET, "\0\0\1\0\0", 5);
    request_text(&request, API_FIELD_NULLED, "memory");
    assert_int_equal(status_of(ask()), 200);
    disk_memory_fill(here.world.log_disk, true);
    patch_begin();
    patch_put(BUDGET_OF_TWIN, BUDGET_CPU, 600);
    assert_int_equal(status_of(ask()), 503);
    disk_memory_fill(here.world.log_disk, false);
    assert_non_null(strstr(shown(), HOSTS_OWN));
    assert_false(budget_of(0)->twin.is_on);
}

static void a_damaged_field_of_the_hosts_file_is_refused(void **state)
{
    (void)state;
    core *core = here.world.core;
    uint8_t bytes[] = { 0, 0, 0, 0, BUDGET_OF_TWIN, BUDGET_MEMORY, 100, 0, 0, 0, BUDGET_OF_IMAGE, BUDGET_CPU, 60, 0, 0, 0 };
    dro_field field = { HOST_BUDGET, 0, bytes };
    for (field.length = 0; field.length < sizeof bytes; field.length++)
        assert_int_equal(budget_read(core, &field), field.length % 6 == 4 ? DRO_OK : DRO_CORRUPT);
    assert_int_equal(budget_read(core, &field), DRO_OK);
    assert_int_equal(budget_of(0)->twin.memory, 100);
    assert_int_equal(budget_of(0)->image.burst[BUDGET_CPU], 60000); /* a minute of it, in microseconds */
    bytes[10] = BUDGET_SCOPES;
    assert_int_equal(budget_read(core, &field), DRO_CORRUPT);
    bytes[10] = BUDGET_OF_IMAGE;
    bytes[11] = BUDGET_VALUES;
    assert_int_equal(budget_read(core, &field), DRO_CORRUPT);
    bytes[11] = BUDGET_CPU;
    bytes[0] = (uint8_t)core->image_count;
    assert_int_equal(budget_read(core, &field), DRO_CORRUPT);
    bytes[0] = 0;
    uint32_t table = core->images[0].table;
    core->images[0].table = NONE; /* a place without an image */
    assert_int_equal(budget_read(core, &field), DRO_CORRUPT);
    uint8_t written[64];
    dro_builder out = dro_builder_over(written, sizeof written);
    budgets_write(core, &out);
    assert_int_equal(dro_builder_length(&out), 0);
    core->images[0].table = table;
    budgets_write(core, &out);
    assert_true(dro_builder_length(&out) > sizeof bytes);
}

static void each_core_has_its_share_of_what_an_image_has(void **state)
{
    (void)state;
    patch_begin();
    patch_put(BUDGET_OF_IMAGE, BUDGET_STORAGE, 3000);
    patch_put(BUDGET_OF_TWIN, BUDGET_STORAGE, 3000);
    assert_int_equal(status_of(ask()), 200);
    world_settle(&here.world);
    for (uint32_t i = 0; i < 3; i++) {
        assert_in_range((long)budget_of(i)->image.burst[BUDGET_STORAGE], 999, 1001);
        assert_int_equal((long)budget_of(i)->twin.burst[BUDGET_STORAGE], 3000);
    }
    patch_begin();
    request_text(&request, API_FIELD_NULLED, "budget");
    assert_int_equal(status_of(ask()), 200);
    world_settle(&here.world);
    for (uint32_t i = 0; i < 3; i++)
        assert_false(budget_of(i)->image.is_on || budget_of(i)->twin.is_on);
}

/* ---- turns beyond it ---- */

/* Found by this test: of an image too the reason was "budget_messages". */
static void messages_beyond_it_are_not_sent(void **state)
{
    (void)state;
    static const char *const reasons[BUDGET_SCOPES] = { "budget_messages", "budget_image_messages" };
    uint32_t index = make_twin(ID, IMSI);
    for (uint32_t scope = 0; scope < BUDGET_SCOPES; scope++) {
        limit(scope, BUDGET_MESSAGES, 2);
        limit(scope, BUDGET_BURST + BUDGET_MESSAGES, 1);
        assert_int_equal(status_of(write_period(ID, 600)), 202);
        is_problem(write_period(ID, 700), 429, reasons[scope], 30, 31); /* half a minute for one */
        assert_int_equal(twin_at(here.world.core, index)->extra->ticket_count, scope + 1);
        assert_int_equal(budget_until_ms(here.world.core, index), 0); /* messages keep no turn from beginning */
        world_advance(&here.world, 31000);
        limit(scope, BUDGET_MESSAGES, 0);
    }
}

static void downlinks_notifications_and_triggers_are_messages(void **state)
{
    (void)state;
    uint32_t index = make_twin(ID, IMSI);
    core *core = here.world.core;
    turn turn = { .twin = index, .image = 0, .operation = TURN_UPLINK };
    limit(BUDGET_OF_TWIN, BUDGET_MESSAGES, 1);
    for (effect_kind kind = EFFECT_PROPERTY; kind <= EFFECT_SCHEDULE; kind++) {
        bool is_message = kind == EFFECT_DOWNLINK || kind == EFFECT_NOTIFY || kind == EFFECT_TRIGGER;
        for (core->effect_count = 1; core->effect_count <= 2; core->effect_count++) {
            core->effects[core->effect_count - 1].kind = kind;
            assert_int_equal(budget_lets_keep(core, &turn, 10), core->effect_count == 1 || !is_message);
        }
    }
    core->effect_count = 0;
}

static void the_smaller_of_two_budgets_counts(void **state)
{
    (void)state;
    make_twin(ID, IMSI);
    make_twin("b@acme.example", NULL);
    limit(BUDGET_OF_TWIN, BUDGET_MESSAGES, 2);
    limit(BUDGET_OF_IMAGE, BUDGET_MESSAGES, 3);
    assert_int_equal(status_of(write_period(ID, 600)), 202);
    assert_int_equal(status_of(write_period(ID, 600)), 202);
    is_problem(write_period(ID, 700), 429, "budget_messages", 30, 31);
    assert_int_equal(status_of(write_period("b@acme.example", 600)), 202);
    is_problem(write_period("b@acme.example", 600), 429, "budget_image_messages", 20, 21);
}

static void a_context_beyond_it_is_not_kept(void **state)
{
    (void)state;
    uint32_t index = make_twin(ID, IMSI);
    connect_device(IMSI);
    limit(BUDGET_OF_TWIN, BUDGET_MEMORY, 1);
    uint64_t revision = twin_at(here.world.core, index)->context_revision;
    is_problem(write_period(ID, 600), 429, "budget_memory", 60, 60);
    send();
    assert_non_null(strstr(newest_dead(), "\"reason\":\"budget_memory\""));
    assert_int_equal(twin_at(here.world.core, index)->context_revision, revision);
    limit(BUDGET_OF_TWIN, BUDGET_MEMORY, 1 << 20);
    assert_int_equal(status_of(write_period(ID, 600)), 202);
}

static uint32_t contexts_of_all(void)
{
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < here.world.core->twin_high; i++)
        bytes += twin_at(here.world.core, i)->context_length;
    return bytes;
}

/* Its twins together: who needs no more than before goes on, a new one and one that grows do not. */
static void an_image_has_so_much_for_all_contexts(void **state)
{
    (void)state;
    uint32_t index = make_twin(ID, IMSI);
    connect_device(IMSI);
    assert_int_equal(status_of(write_period(ID, 600)), 202);
    assert_int_equal(budget_of(0)->context_bytes, contexts_of_all());
    uint32_t one = twin_at(here.world.core, index)->context_length;
    limit(BUDGET_OF_IMAGE, BUDGET_MEMORY, 1);
    assert_true(one < 1024);
    char id[32];
    uint32_t made = 1;
    for (uint16_t status = 202; status == 202; made += status == 202) {
        snprintf(id, sizeof id, "n%u@acme.example", made);
        make_twin(id, NULL);
        const heard *answer = write_period(id, 600);
        status = status_of(answer);
        if (status != 202)
            is_problem(answer, 429, "budget_image_memory", 60, 60);
        assert_true(status == 202 || budget_of(0)->context_bytes + one > 1024);
        assert_true(made < 1000);
    }
    assert_true(made > 1 && budget_of(0)->context_bytes <= 1024);
    assert_int_equal(budget_of(0)->context_bytes, contexts_of_all());
    assert_int_equal(status_of(write_period(ID, 700)), 202); /* no larger */
    reopen();
    assert_int_equal(budget_of(0)->context_bytes, contexts_of_all());
    uint64_t before = budget_of(0)->context_bytes;
    on_twin(API_TWIN_DELETE, ID);
    assert_int_equal(status_of(ask()), 204);
    assert_int_equal(budget_of(0)->context_bytes, before - one);
}

static void put_timers(uint32_t index, uint32_t count)
{
    core *core = here.world.core;
    record_begin(core, index, RECORD_DELTA);
    for (uint32_t i = 1; i <= count; i++) {
        dro_builder *part = record_part(core);
        dro_builder_le(part, i, 4);
        dro_builder_le(part, (uint64_t)core->now_ms + 10, 8);
        record_part_end(core, FIELD_TIMER);
    }
    record_end(core);
    assert_int_equal(timers_update(core, index), DRO_OK);
}

/* Storage is what a turn's record took: the next event waits, or is refused, till there is room again. */
static void events_of_a_twin_that_used_up_its_storage_are_set_aside(void **state)
{
    (void)state;
    uint32_t index = make_twin(ID, IMSI);
    core *core = here.world.core;
    connect_device(IMSI);
    limit(BUDGET_OF_TWIN, BUDGET_STORAGE, 60);
    send(); /* one may go beyond */
    assert_true(twin_at(core, index)->has_budget);
    assert_false(twin_at(core, make_twin("b@acme.example", NULL))->has_budget); /* to make one is not its own doing */
    int64_t until_ms = budget_until_ms(core, index);
    assert_true(until_ms > core->now_ms);
    uint32_t seconds = (uint32_t)((until_ms - core->now_ms) / 1000);
    is_problem(write_period(ID, 600), 429, "budget_storage", seconds, seconds + 1);
    send();
    assert_non_null(strstr(newest_dead(), "\"reason\":\"budget_storage\""));
    put_timers(index, 1);
    world_advance(&here.world, until_ms - core->now_ms - 2000);
    world_settle(&here.world);
    assert_int_equal(timers_of(index), 1); /* it waits, and is not lost */
    world_advance(&here.world, 2100);
    world_settle(&here.world);
    assert_int_equal(timers_of(index), 0);
    world_advance(&here.world, 24 * 3600 * 1000);
    send(); /* full once more, and used up once more */
    assert_true(twin_at(core, index)->has_budget);
    world_advance(&here.world, 24 * 3600 * 1000);
    limit(BUDGET_OF_TWIN, BUDGET_STORAGE, 100 << 20);
    send(); /* so little of so much: it has no bucket any more */
    assert_false(twin_at(core, index)->has_budget);
}

/* Both are due at once: the second one, which waited for the end of the first, stays set. */
static void of_two_timers_at_once_one_waits(void **state)
{
    (void)state;
    uint32_t index = make_twin(ID, NULL);
    limit(BUDGET_OF_TWIN, BUDGET_TIMERS, 1);
    put_timers(index, 2);
    world_advance(&here.world, 11);
    world_settle(&here.world);
    assert_int_equal(timers_of(index), 1);
    assert_int_equal(here.world.core->counters.dead_letters, 0);
    world_advance(&here.world, 60000);
    world_settle(&here.world);
    assert_int_equal(timers_of(index), 0);
}

static void timers_have_a_budget_of_their_own(void **state)
{
    (void)state;
    uint32_t index = make_twin(ID, IMSI);
    core *core = here.world.core;
    connect_device(IMSI);
    limit(BUDGET_OF_TWIN, BUDGET_TIMERS, 1);
    put_timers(index, 1);
    world_advance(&here.world, 11);
    world_settle(&here.world);
    assert_int_equal(timers_of(index), 0);
    put_timers(index, 1);
    world_advance(&here.world, 30000); /* half of it is there again: one may go beyond */
    world_settle(&here.world);
    assert_int_equal(timers_of(index), 0);
    put_timers(index, 1);
    world_advance(&here.world, 29000);
    world_settle(&here.world);
    assert_int_equal(timers_of(index), 1); /* the next one waits */
    uint64_t dead = core->counters.dead_letters;
    assert_int_equal(status_of(write_period(ID, 600)), 202); /* nothing else waits for it */
    send();
    assert_int_equal(core->counters.dead_letters, dead);
    world_advance(&here.world, 1100);
    world_settle(&here.world);
    assert_int_equal(timers_of(index), 0);
    limit(BUDGET_OF_TWIN, BUDGET_MEMORY, 1);
    put_timers(index, 1); /* what comes of it may not be kept: it would run again and again */
    world_advance(&here.world, 60000);
    world_settle(&here.world);
    assert_int_equal(timers_of(index), 0);
    assert_non_null(strstr(newest_dead(), "\"reason\":\"budget_memory\""));
}

/* What is left of an image's is nobody's but the image's: another twin of it waits too. */
static void what_an_image_used_up_holds_all_its_twins(void **state)
{
    (void)state;
    make_twin(ID, IMSI);
    uint32_t other = make_twin("b@acme.example", NULL);
    connect_device(IMSI);
    limit(BUDGET_OF_IMAGE, BUDGET_STORAGE, 60);
    send();
    assert_false(twin_at(here.world.core, other)->has_budget);
    assert_true(budget_until_ms(here.world.core, other) > here.world.core->now_ms);
    is_problem(write_period("b@acme.example", 600), 429, "budget_image_storage", 1, 3600);
    on_twin(API_TWIN_PUT, "c@acme.example"); /* nor is one made */
    request_text(&request, API_FIELD_MODEL, "acme/thermo");
    is_problem(ask(), 429, "budget_image_storage", 1, 3600);
    assert_int_equal(twin_find(here.world.core, "c@acme.example", 14), NONE);
    on_twin(API_TWIN_PUT, "plain@acme.example");
    request_text(&request, API_FIELD_IMSI, "001010000000002");
    assert_int_equal(status_of(ask()), 201);
    assert_int_equal(budget_until_ms(here.world.core, twin_find(here.world.core, "plain@acme.example", 18)), 0);
}

static void the_log_of_a_turn_is_cut_where_its_budget_ends(void **state)
{
    (void)state;
    uint32_t index = make_twin(ID, IMSI);
    core *core = here.world.core;
    turn turn = { .twin = index, .image = 0, .operation = TURN_UPLINK }, plain = { .twin = index, .image = NONE };
    assert_int_equal(budget_log_left(core, &turn), UINT32_MAX);
    limit(BUDGET_OF_TWIN, BUDGET_LOG, 100);
    assert_int_equal(budget_log_left(core, &turn), 100);
    budget_charge(core, &turn, 0, 60, 1);
    assert_int_equal(budget_log_left(core, &turn), 40);
    limit(BUDGET_OF_IMAGE, BUDGET_LOG, 30);
    assert_int_equal(budget_log_left(core, &turn), 30);
    budget_charge(core, &turn, 0, 60, 1);
    assert_int_equal(budget_log_left(core, &turn), 0);
    assert_int_equal(budget_log_left(core, &plain), UINT32_MAX);
    assert_true(budget_lets_keep(core, &plain, UINT32_MAX));
    assert_true(budget_lets_begin(core, &turn)); /* it may run all the same */
    limit(BUDGET_OF_TWIN, BUDGET_LOG, 1 << 30);
    limit(BUDGET_OF_IMAGE, BUDGET_LOG, 0);
    assert_int_equal(budget_log_left(core, &turn), UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(an_image_has_what_it_was_given_and_else_the_hosts),
        CLAIM(a_change_that_is_not_one_changes_nothing),
        CLAIM(a_damaged_field_of_the_hosts_file_is_refused),
        cmocka_unit_test_setup_teardown(each_core_has_its_share_of_what_an_image_has, asker_begin_with_cores, asker_end),
        CLAIM(messages_beyond_it_are_not_sent),
        CLAIM(downlinks_notifications_and_triggers_are_messages),
        CLAIM(of_two_timers_at_once_one_waits),
        CLAIM(the_smaller_of_two_budgets_counts),
        CLAIM(a_context_beyond_it_is_not_kept),
        CLAIM(an_image_has_so_much_for_all_contexts),
        CLAIM(events_of_a_twin_that_used_up_its_storage_are_set_aside),
        CLAIM(timers_have_a_budget_of_their_own),
        CLAIM(what_an_image_used_up_holds_all_its_twins),
        CLAIM(the_log_of_a_turn_is_cut_where_its_budget_ends),
    };
    return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}

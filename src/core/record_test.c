/* Records and the log they are in: what one says, checkpoints, chains. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/core_testbed.h"
#include "core/limits.h"
#include "core/number.h"
#include "core/record.h"
#include "core/state.h"
#include "core/turn.h"
#include "core/twin_table.h"
#include "core/vault.h"
#include "store/disk_memory.h"

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

static void put_mail(core *core, uint8_t tag)
{
    dro_builder *part = record_part(core);
    dro_builder_le(part, core->mail_next, 8);
    dro_builder_le(part, 0, 8);
    dro_builder_le(part, 0, 4);
    dro_builder_le(part, (uint64_t)core->now_ms + 3600000, 8);
    record_part_end(core, tag);
}

static void put_timer(core *core, uint32_t number)
{
    dro_builder *part = record_part(core);
    dro_builder_le(part, number, 4);
    dro_builder_le(part, (uint64_t)core->now_ms + 3600000, 8);
    record_part_end(core, FIELD_TIMER);
}

/* More than a twin takes, whoever forgot to ask: the log has what was taken, and is read again. */
static void what_does_not_apply_is_not_in_the_log(void **state)
{
    (void)state;
    enum { MAIL = 2 * DOWNLINK_PACKETS_MAX, BEYOND = 3 };
    core *core = here.world.core;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    record_begin(core, index, RECORD_DELTA);
    for (uint32_t i = 0; i < MAIL + BEYOND; i++)
        put_mail(core, i < RDS_ANSWERS_MAX ? FIELD_RDS_MAIL : FIELD_MAIL);
    for (uint32_t i = 0; i < TWIN_TIMERS_MAX + BEYOND; i++)
        put_timer(core, i);
    for (uint32_t i = 0; i < TWIN_TICKETS_MAX + BEYOND; i++) {
        ticket one = { .number = core->ticket_next, .time_ms = core->now_ms, .made_ms = core->now_ms, .value = { .kind = VALUE_INTEGER } };
        ticket_put(core, index, &one);
    }
    assert_int_equal(core->counters.fields_dropped, 3 * BEYOND);
    uint64_t events = core->event_next;
    size_t length = record_size(core);
    record_put(core, FIELD_PROPERTY, "\377\377\0\0\0\0\0\0\0\0\0\0\0", 13); /* an event of a property that its model has not */
    record_put(core, FIELD_CONNECTION, "\376\377\376\377", 4);
    record_put(core, FIELD_RDS, "", 1);
    assert_int_equal(core->counters.fields_dropped, 3 * BEYOND + 3);
    assert_int_equal(core->event_next, events);
    assert_int_equal(record_size(core), length);
    record_end(core);
    for (int with_full = 0; with_full < 2; with_full++) {
        if (with_full)
            record_full(here.world.core, index);
        core_settle(here.world.core);
        world_close(&here.world);
        assert_int_equal(world_open(&here.world), DRO_OK);
        index = twin_find(here.world.core, "a@acme.example", 14);
        assert_true(index != NONE);
        const twin_extra *extra = twin_at(here.world.core, index)->extra;
        assert_int_equal(extra->mail_count, MAIL);
        assert_int_equal(extra->timer_count, TWIN_TIMERS_MAX);
        assert_int_equal(extra->ticket_count, TWIN_TICKETS_MAX);
    }
    record_begin(here.world.core, index, RECORD_DELTA); /* fewer wait at the end of a test */
    for (const mail *m; (m = twin_at(here.world.core, index)->extra->mail) != NULL;)
        record_put(here.world.core, FIELD_MAIL_GONE, &(uint64_t){ m->number }, 8);
    record_end(here.world.core);
}

/* More than a record holds. */
static void a_field_that_finds_no_room_is_not_applied(void **state)
{
    (void)state;
    static const uint8_t large[60000];
    core *core = here.world.core;
    uint32_t index = make_twin("a@acme.example", NULL);
    record_begin(core, index, RECORD_DELTA);
    while (core->counters.fields_dropped == 0)
        record_put(core, FIELD_LOG, large, sizeof large);
    while (core->counters.fields_dropped == 1)
        record_put(core, FIELD_LOG, large, 10);
    size_t length = record_size(core);
    put_timer(core, 1);
    assert_int_equal(core->counters.fields_dropped, 3);
    assert_int_equal(record_size(core), length);
    assert_null(twin_at(core, index)->extra);
    record_abandon(core);
}

/* ---- a full disk ---- */

static void disk_fills(bool is_full)
{
    disk_memory_fill(here.world.log_disk, is_full);
}

/* Uplinks until one is refused; all before it are answered, with a disk that stays full. */
static uint32_t until_refused(uint32_t number)
{
    uint32_t first = number;
    for (;; number++) {
        network_answer answer = reading("001010000000001", number, (uint8_t)number);
        if (answer.result != 2001) {
            assert_int_equal(answer.result, 3004);
            return number - first;
        }
        assert_true(number - first < 1000);
    }
}

static uint64_t readings_of(const char *id)
{
    on_twin(API_TWIN_GET, id);
    const char *json = json_of(ask()), *at = strstr(json, "\"readings\":{\"value\":");
    return at == NULL ? 0 : strtoull(at + 20, NULL, 10);
}

static void what_was_begun_has_its_space_when_changes_are_refused(void **state)
{
    (void)state;
    make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    disk_fills(true);
    uint32_t taken = until_refused(0);
    core *core = here.world.core;
    assert_true(taken > 0 && core->is_full && !core->is_stuck);
    assert_true(core->round_last <= core->round_told); /* nothing waits for space */
    assert_int_equal(readings_of("a@acme.example"), taken);
    assert_int_equal(status_of(write_period("a@acme.example", 600)), 503);
    disk_fills(false);
    world_advance(&here.world, CORE_FULL_RETRY_MS);
    world_settle(&here.world);
    assert_false(core->is_full);
    assert_int_equal(reading("001010000000001", taken, (uint8_t)taken).result, 2001);
    reopen();
    assert_int_equal(readings_of("a@acme.example"), taken + 1);
}

/* Found by starting a host whose disk was full: it could not replace the file of its epoch, and so not show what it has. */
static void a_start_with_a_full_disk_shows_what_is_there_and_refuses_changes(void **state)
{
    (void)state;
    make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    disk_fills(true);
    uint32_t taken = until_refused(0);
    for (uint64_t start = 0, epoch = 0; start < 3; start++) { /* as often as somebody starts it */
        reopen();
        assert_true(here.world.core->epoch.counter > epoch);
        epoch = here.world.core->epoch.counter;
        assert_true(here.world.core->is_full);
        assert_int_equal(readings_of("a@acme.example"), taken);
        assert_int_equal(reading("001010000000001", taken, (uint8_t)taken).result, 3004);
        assert_int_equal(status_of(write_period("a@acme.example", 600)), 503);
    }
    disk_fills(false);
    world_advance(&here.world, CORE_FULL_RETRY_MS);
    world_settle(&here.world);
    assert_int_equal(reading("001010000000001", taken, (uint8_t)taken).result, 2001);
    reopen();
    assert_int_equal(readings_of("a@acme.example"), taken + 1);
}

/* When even what was begun found no more space: results stay with their cells, which is no fault of these. */
static void turns_wait_while_a_round_waits_for_space(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    core *core = here.world.core;
    disk_fills(true);
    while (!core->is_stuck) { /* what the core itself writes is not refused */
        record_full(core, index);
        world_advance(&here.world, CORE_FULL_RETRY_MS);
        world_settle(&here.world);
    }
    core->is_full = false; /* the uplink came just before that was known */
    uint32_t heard_before = here.count;
    uint8_t frame[3] = { 2, 0, 60 };
    assert_true(world_uplink(&here.world, 0, ++here.id, "001010000000001", &(world_frame){ .end_to_end = 7, .data = frame, .length = sizeof frame }));
    for (int i = 0; i < 100; i++) { /* longer than a cell may be silent */
        world_round(&here.world);
        world_advance(&here.world, 500);
    }
    assert_true(turns_are_held(core));
    assert_int_equal(here.count, heard_before);
    assert_false(core->cells[0].is_given_up);
    disk_fills(false);
    world_settle(&here.world);
    network_answer answer;
    memcpy(&answer, heard_of(here.id)->body, sizeof answer);
    assert_int_equal(answer.result, 2001);
}

/* Nor does a refusal wait behind an answer that has to: that of a repeated uplink here. */
static void a_refusal_leaves_at_once_while_a_round_waits_for_space(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    assert_int_equal(reading("001010000000001", 1, 1).result, 2001);
    core *core = here.world.core;
    disk_fills(true);
    while (!core->is_stuck) {
        record_full(core, index);
        world_advance(&here.world, CORE_FULL_RETRY_MS);
        world_settle(&here.world);
    }
    uint64_t repeated = ++here.id, refused = ++here.id;
    assert_true(world_uplink(&here.world, 0, repeated, "001010000000001", &(world_frame){ .end_to_end = 1, .data = "", .length = 0 }));
    assert_true(world_uplink(&here.world, 0, refused, "001010000000001", &(world_frame){ .end_to_end = 2, .data = "", .length = 0 }));
    world_settle(&here.world);
    assert_null(heard_of(repeated));
    assert_non_null(heard_of(refused));
    network_answer answer;
    memcpy(&answer, heard_of(refused)->body, sizeof answer);
    assert_int_equal(answer.result, 3004);
    disk_fills(false);
    world_advance(&here.world, CORE_FULL_RETRY_MS);
    world_settle(&here.world);
    memcpy(&answer, heard_of(repeated)->body, sizeof answer);
    assert_int_equal(answer.result, 2001);
}

/* Its identities and properties are in clear nowhere once they are sealed. */
static void what_a_record_said_does_not_stay_in_memory(void **state)
{
    (void)state;
    make_twin("a@acme.example", "001010000000001");
    size_t length;
    const uint8_t *fields = record_fields(here.world.core, &length);
    assert_true(length > 14);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(fields[i], 0);
}

static void a_twin_that_was_deleted_stays_so(void **state)
{
    (void)state;
    make_twin("a@acme.example", "001010000000001");
    make_twin("b@acme.example", "001010000000002");
    on_twin(API_TWIN_DELETE, "a@acme.example");
    assert_int_equal(status_of(ask()), 204);
    for (int i = 0; i < 2; i++) {
        reopen();
        assert_true(twin_find(here.world.core, "a@acme.example", 14) == NONE);
        assert_true(twin_find_imsi(here.world.core, "001010000000001") == NONE);
        assert_true(twin_find(here.world.core, "b@acme.example", 14) != NONE);
    }
}

/* With one that comes again, the counter of nonces would begin again under the same keys. */
static void each_start_seals_in_an_epoch_of_its_own(void **state)
{
    uint64_t epochs[4];
    (void)state;
    for (int i = 0; i < 4; i++) {
        uint8_t sealed[8 + VAULT_OVERHEAD];
        vault_seal_log(here.world.core->vault, 0, "", 0, "12345678", 8, sealed);
        memcpy(&epochs[i], sealed, 8);
        for (int other = 0; other < i; other++)
            assert_true(epochs[i] != epochs[other]);
        reopen();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_full_record_says_all_of_a_twin),
        CLAIM(checkpoints_drop_old_segments),
        CLAIM(a_reused_slot_has_its_own_chain),
        CLAIM(what_does_not_apply_is_not_in_the_log),
        CLAIM(a_field_that_finds_no_room_is_not_applied),
        CLAIM(what_was_begun_has_its_space_when_changes_are_refused),
        CLAIM(a_start_with_a_full_disk_shows_what_is_there_and_refuses_changes),
        CLAIM(turns_wait_while_a_round_waits_for_space),
        CLAIM(a_refusal_leaves_at_once_while_a_round_waits_for_space),
        CLAIM(what_a_record_said_does_not_stay_in_memory),
        CLAIM(a_twin_that_was_deleted_stays_so),
        CLAIM(each_start_seals_in_an_epoch_of_its_own),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}

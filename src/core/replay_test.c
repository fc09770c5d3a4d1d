/* Records as a log may have them that another version wrote, or that somebody sealed who has the keys: replay takes them whole or
 * says that they are damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "core/audit.h"
#include "core/chunks.h"
#include "core/core_testbed.h"
#include "core/farewell.h"
#include "core/host_tables.h"
#include "core/number.h"
#include "core/record.h"
#include "core/rotation.h"
#include "core/state.h"
#include "core/twin_table.h"
#include "core/vault.h"

enum { HEADER = 48 };

static uint8_t record_bytes[HEADER + 8192 + VAULT_OVERHEAD], field_bytes[8192];
static dro_builder fields;

/* The head of a record (core/record.c), its fields sealed under its domain's key. */
typedef struct made { int kind; uint32_t domain; uint64_t twin, event_first; } made;

static dro_err replay(const made *head, log_place place)
{
    core *core = here.world.core;
    size_t plain = dro_builder_length(&fields);
    dro_builder out = dro_builder_over(record_bytes, sizeof record_bytes);
    dro_builder_le(&out, 0, 8);
    dro_builder_le(&out, (uint64_t)head->kind, 1);
    dro_builder_le(&out, 0, 3);
    dro_builder_le(&out, head->domain, 4);
    dro_builder_le(&out, head->twin, 8);
    dro_builder_le(&out, (uint64_t)core->now_ms, 8);
    dro_builder_le(&out, head->event_first, 8);
    dro_builder_le(&out, plain + VAULT_OVERHEAD, 4);
    dro_builder_le(&out, 0, 4);
    assert_int_equal(dro_builder_length(&out), HEADER);
    vault_seal_log(core->vault, head->domain, record_bytes + 8, HEADER - 8, field_bytes, plain, dro_builder_room(&out, plain + VAULT_OVERHEAD));
    return record_replay_any(core, 0, place, record_bytes, dro_builder_length(&out));
}

static void fields_begin(void)
{
    fields = dro_builder_over(field_bytes, sizeof field_bytes);
}

static void put_identity(const char *id)
{
    uint8_t bytes[64];
    dro_builder part = dro_builder_over(bytes, sizeof bytes);
    dro_builder_le(&part, 1, 4);
    dro_builder_le(&part, 0, 4);
    dro_builder_text(&part, id);
    dro_field_put(&fields, FIELD_IDENTITY, bytes, dro_builder_length(&part));
}

static log_place place(void)
{
    return (uint64_t)commit_log_segment_last(here.world.core->log) << 32 | 4096;
}

static uint64_t a_twin(void)
{
    return twin_at(here.world.core, make_twin("a@acme.example", "001010000000001"))->number;
}

static void a_head_that_cannot_be_is_damage(void **state)
{
    (void)state;
    core *core = here.world.core;
    const made head = { RECORD_DELTA, 1, a_twin(), 0 };
    static const struct { uint8_t at; uint32_t value; } lengths[] = {
        { 40, 0 }, { 40, VAULT_OVERHEAD - 1 }, { 40, 421 * 1024 }, { 40, UINT32_MAX }, { 44, 1 }, { 44, VAULT_OVERHEAD }, { 44, 70000 },
    };
    fields_begin();
    dro_field_put(&fields, FIELD_LOG, "\1said", 5);
    assert_int_equal(replay(&head, place()), DRO_OK);
    size_t length = HEADER + dro_builder_length(&fields) + VAULT_OVERHEAD;
    for (size_t i = 0; i < length; i++)
        assert_int_equal(record_replay_any(core, 0, place(), record_bytes, i), DRO_CORRUPT);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        static uint8_t copy[500 * 1024];
        memcpy(copy, record_bytes, length);
        memcpy(copy + lengths[i].at, &lengths[i].value, 4);
        assert_int_equal(record_replay_any(core, 0, place(), copy, sizeof copy), DRO_CORRUPT);
    }
    record_bytes[HEADER + 20] ^= 1;
    assert_int_equal(record_replay_any(core, 0, place(), record_bytes, length), DRO_CORRUPT);
    record_bytes[HEADER + 20] ^= 1;
    for (size_t at = 8; at < HEADER - 8; at++) { /* the head is part of what is sealed */
        record_bytes[at] ^= 1;
        assert_int_not_equal(record_replay_any(core, 0, place(), record_bytes, length), DRO_OK);
        record_bytes[at] ^= 1;
    }
    assert_int_equal(record_replay_any(core, 0, place(), record_bytes, length), DRO_OK);
}

/* In the thread that reads ahead, a damaged one is left for replay to find. */
static void one_that_was_read_ahead_is_told_the_same(void **state)
{
    (void)state;
    core *core = here.world.core;
    const made head = { RECORD_DELTA, 1, a_twin(), 0 };
    fields_begin();
    dro_field_put(&fields, FIELD_LOG, "\1said", 5);
    assert_int_equal(replay(&head, place()), DRO_OK);
    size_t length = HEADER + dro_builder_length(&fields) + VAULT_OVERHEAD;
    core->reading_vault = core->vault;
    uint8_t copy[256];
    memcpy(copy, record_bytes, length);
    record_read(core, copy, 10);
    assert_memory_equal(copy, record_bytes, length);
    assert_int_equal(record_replay_any(core, 0, place(), copy, 10), DRO_CORRUPT);
    record_read(core, copy, length);
    assert_int_equal(record_replay_any(core, 0, place(), copy, length), DRO_OK);
    memcpy(copy, record_bytes, length);
    copy[HEADER + 20] ^= 1;
    record_read(core, copy, length);
    assert_int_equal(record_replay_any(core, 0, place(), copy, length), DRO_CORRUPT);
    core->reading_vault = NULL;
}

static void what_a_head_says_is_read_without_its_key(void **state)
{
    (void)state;
    const made head = { RECORD_DELTA, 1, a_twin(), 0 };
    fields_begin();
    assert_int_equal(replay(&head, place()), DRO_OK);
    assert_false(record_has_charges(record_bytes, HEADER) || record_has_notes(record_bytes, HEADER));
    record_bytes[11] = 1;
    assert_true(record_has_charges(record_bytes, HEADER) && !record_has_notes(record_bytes, HEADER));
    record_bytes[11] = 2;
    assert_true(!record_has_charges(record_bytes, HEADER) && record_has_notes(record_bytes, HEADER));
    assert_false(record_has_charges(record_bytes, HEADER - 1) || record_has_notes(record_bytes, HEADER - 1));
    assert_true(record_twin(record_bytes, HEADER) == head.twin);
    assert_true(record_twin(record_bytes, HEADER - 1) == 0);
}

static void a_context_is_given_to_its_own_twin_alone(void **state)
{
    (void)state;
    uint8_t bytes[HEADER + 4 + 8] = { [9] = 1, [16] = 7, [40] = 4, [44] = 8 };
    twin twin = { .number = 7, .context_length = 8 };
    assert_ptr_equal(record_sealed_context(bytes, sizeof bytes, &twin), bytes + HEADER + 4);
    for (size_t i = 0; i < sizeof bytes; i++)
        assert_null(record_sealed_context(bytes, i, &twin));
    twin.number = 8;
    assert_null(record_sealed_context(bytes, sizeof bytes, &twin));
    twin.number = 7;
    twin.context_length = 7;
    assert_null(record_sealed_context(bytes, sizeof bytes, &twin));
    twin.context_length = 8;
    bytes[9] = 0;
    assert_null(record_sealed_context(bytes, sizeof bytes, &twin));
}

static void a_full_record_says_who_it_is(void **state)
{
    (void)state;
    core *core = here.world.core;
    made head = { RECORD_FULL, 1, a_twin() + 1, 5 };
    uint32_t count = core->twin_count;
    fields_begin();
    dro_field_put(&fields, FIELD_LOG, "\1said", 5);
    assert_int_equal(replay(&head, place()), DRO_CORRUPT);
    assert_int_equal(core->twin_count, count);
    put_identity("b@acme.example");
    assert_int_equal(replay(&head, place()), DRO_OK);
    assert_int_equal(core->twin_count, count + 1);
    uint32_t index = twin_find(core, "b@acme.example", 14);
    assert_int_equal(twin_at(core, index)->number, head.twin);
    fields_begin();
    uint8_t state_bytes[10] = { 0, 9 };
    for (size_t length = 0; length <= sizeof state_bytes; length++) {
        fields_begin();
        dro_field_put(&fields, FIELD_STATE, state_bytes, length);
        head.kind = RECORD_DELTA;
        assert_int_equal(replay(&head, place()) == DRO_OK, length == 9);
    }
    assert_int_equal(twin_at(core, index)->context_revision, 9);
}

static void a_record_of_nobody_counts_its_events_alone(void **state)
{
    (void)state;
    core *core = here.world.core;
    made head = { RECORD_DELTA, 1, a_twin() + 1, 0 };
    uint64_t events = core->event_next;
    head.event_first = events + 10;
    fields_begin();
    dro_field_put(&fields, FIELD_TRAP, "trap", 4);
    dro_field_put(&fields, FIELD_LOG, "\1said", 5);
    assert_int_equal(replay(&head, place()), DRO_OK); /* its full record comes later, or it is gone */
    assert_int_equal(core->event_next, events + 11);
    head.kind = RECORD_FULL; /* a full one tells nothing that is new */
    head.event_first = 0;
    put_identity("b@acme.example");
    assert_int_equal(replay(&head, place()), DRO_OK);
    assert_int_equal(core->event_next, events + 11);
    fields_begin();
    head.kind = RECORD_GONE;
    assert_int_equal(replay(&head, place()), DRO_OK);
    assert_int_equal(twin_find(core, "b@acme.example", 14), NONE);
    dro_builder_bytes(&fields, "\1\7x", 3); /* a field that ends outside */
    assert_int_equal(replay(&head, place()), DRO_TRUNCATED);
    head.kind = RECORD_DELTA;
    head.twin--;
    assert_int_equal(replay(&head, place()), DRO_TRUNCATED);
    head.twin = 0;
    head.domain = 0;
    head.kind = RECORD_DUPLICATES;
    fields_begin();
    dro_field_put(&fields, FIELD_DUPLICATE, "short", 5);
    assert_int_equal(replay(&head, place()), DRO_MALFORMED);
    fields_begin();
    dro_builder_bytes(&fields, "\1\7x", 3);
    head.kind = RECORD_IDEMPOTENCY;
    assert_int_equal(replay(&head, place()), DRO_TRUNCATED);
}

/* A part of a queue: no part of the timeline. */
static void a_chunk_is_a_part_of_its_twins_queue(void **state)
{
    (void)state;
    core *core = here.world.core;
    const made head = { RECORD_CHUNK, 1, a_twin(), 0 };
    uint32_t index = twin_find(core, "a@acme.example", 14);
    log_place last = twin_at(core, index)->last;
    uint8_t bytes[64];
    for (uint8_t kind = 0; kind <= 4; kind++) { /* 1: added, 2: whole, 3: joined, of which something must be said */
        dro_builder part = dro_builder_over(bytes, sizeof bytes);
        dro_builder_le(&part, 7, 4);
        dro_builder_le(&part, kind, 1);
        dro_builder_le(&part, 0, 2 + 2);
        dro_builder_le(&part, 0, 4);
        dro_builder_le(&part, INT64_MAX, 8);
        dro_builder_le(&part, 0, 8);
        dro_builder_le(&part, 0, 8);
        fields_begin();
        dro_field_put(&fields, FIELD_CHUNK, bytes, dro_builder_length(&part));
        assert_int_equal(replay(&head, place()) == DRO_OK, kind == 1 || kind == 2);
        if (kind != 1 && kind != 2)
            continue;
        const twin_queue *queue = &twin_at(core, index)->extra->queue;
        assert_int_equal(queue->chunk_count, 1);
        assert_int_equal(queue->chunks[0].id, 7);
        assert_true(queue->chunks[0].place == place());
        assert_int_equal(replay(&head, 0), DRO_OK); /* as from an old log, which is told where it reads (old_place) */
        assert_true(queue->chunks[queue->chunk_count - 1].place == core->old_place);
        chunks_forget(core, index);
    }
    assert_true(twin_at(core, index)->last == last);
}

static void usage_counts_once(void **state)
{
    (void)state;
    const made head = { RECORD_DELTA, 1, a_twin(), 0 };
    static const uint32_t usage[3] = { 5, 20000, 7 }; /* slot, day, downlinks */
    fields_begin();
    dro_field_put(&fields, FIELD_USAGE, usage, sizeof usage);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(replay(&head, place()), DRO_OK);
        assert_int_equal(here.world.core->usage[5].downlinks, 7);
    }
}

static void one_that_goes_leaves_its_farewells(void **state)
{
    (void)state;
    core *core = here.world.core;
    const made head = { RECORD_GONE, 1, a_twin(), 0 };
    uint8_t bytes[64] = { 0 };
    uint64_t number = 5ull << 52 | 77;
    dro_builder part = dro_builder_over(bytes, sizeof bytes);
    dro_builder_le(&part, number, 8);
    dro_builder_le(&part, INT64_MAX, 8);
    dro_builder_le(&part, 0, 4);
    dro_builder_le(&part, 99, 4);
    dro_builder_le(&part, 0, 4);
    dro_builder_le(&part, INQUIRY_MONITORING, 1);
    dro_field_put_text(&part, API_FIELD_ID, "a@acme.example");
    fields_begin();
    dro_field_put(&fields, FIELD_LOG, "\1said", 5);
    dro_field_put(&fields, FIELD_FAREWELL, bytes, dro_builder_length(&part));
    assert_int_equal(replay(&head, place()), DRO_OK);
    assert_int_equal(core->farewells.count, 1);
    assert_int_equal(twin_find(core, "a@acme.example", 14), NONE);
    fields_begin();
    dro_field_put(&fields, FIELD_FAREWELL_GONE, &number, 8);
    assert_int_equal(replay(&head, place()), DRO_OK);
    assert_int_equal(core->farewells.count, 0);
}

/* Its key was destroyed: nothing of it is read, but its events are not given out again. */
static void a_record_of_a_domain_that_is_gone_is_passed(void **state)
{
    (void)state;
    core *core = here.world.core;
    uint32_t domain;
    make_twin("a@other.example", NULL);
    assert_int_equal(domain_get(core, "other.example", 13, &domain), DRO_OK);
    made head = { RECORD_DELTA, domain, 12345, core->event_next + 5 };
    fields_begin();
    dro_field_put(&fields, FIELD_LOG, "\1said", 5);
    assert_int_equal(replay(&head, place()), DRO_OK);
    size_t length = HEADER + dro_builder_length(&fields) + VAULT_OVERHEAD;
    assert_int_equal(rotation_delete(core, domain), DRO_OK);
    for (int i = 0; i < 100 && !core->domains[domain].is_gone; i++) {
        world_advance(&here.world, 50);
        world_settle(&here.world);
    }
    assert_true(core->domains[domain].is_gone);
    uint64_t shredded = core->shredded;
    assert_int_equal(record_replay_any(core, 0, place(), record_bytes, length), DRO_OK);
    assert_int_equal(core->shredded, shredded + 1);
    assert_int_equal(core->event_next, head.event_first);
    uint64_t more = head.event_first + 3;
    memcpy(record_bytes + 32, &more, 8);
    assert_int_equal(record_replay_any(core, 0, place(), record_bytes, length), DRO_OK);
    assert_int_equal(core->event_next, more);
    uint32_t none = core->domain_count;
    memcpy(record_bytes + 12, &none, 4);
    assert_int_not_equal(record_replay_any(core, 0, place(), record_bytes, length), DRO_OK);
    dro_builder *part = record_part(core); /* nor is anything written of it */
    record_begin(core, NONE, RECORD_DEAD_LETTERS);
    part = record_part(core);
    dro_builder_text(part, "of nobody");
    size_t before = record_size(core);
    record_part_end_of(core, FIELD_DEAD, domain);
    assert_int_equal(record_size(core), before);
    part = record_part(core);
    dro_builder_text(part, "of nobody");
    record_part_end_of(core, FIELD_DEAD, none);
    assert_int_equal(record_size(core), before);
    record_abandon(core);
}

static void a_field_of_a_domain_opens_whole_or_not(void **state)
{
    (void)state;
    core *core = here.world.core;
    a_twin();
    record_begin(core, NONE, RECORD_DEAD_LETTERS);
    dro_builder *part = record_part(core);
    dro_builder_text(part, "of acme");
    record_part_end_of(core, FIELD_DEAD, 1);
    size_t length;
    const uint8_t *written = record_fields(core, &length);
    dro_cursor in = dro_cursor_over(written, length);
    dro_field sealed = { 0 }, field;
    assert_true(dro_field_next(&in, &sealed));
    assert_int_equal(sealed.tag, FIELD_OF_DOMAIN);
    uint8_t copy[128], plain[128];
    memcpy(copy, sealed.bytes, sealed.length);
    record_abandon(core);
    dro_field given = { FIELD_OF_DOMAIN, sealed.length, copy };
    assert_int_equal(record_field_of(core, &given, plain, &field), DRO_OK);
    assert_int_equal(field.tag, FIELD_DEAD);
    assert_int_equal(field.length, 7);
    assert_memory_equal(field.bytes, "of acme", 7);
    for (given.length = 0; given.length < sealed.length; given.length++)
        assert_int_not_equal(record_field_of(core, &given, plain, &field), DRO_OK);
    for (uint32_t i = 0; i < sealed.length; i++) {
        copy[i] ^= 2; /* the lowest bit of an epoch is none of its key's (core/vault.c) */
        assert_int_not_equal(record_field_of(core, &given, plain, &field), DRO_OK);
        copy[i] ^= 2;
    }
    memset(copy, 0xff, 4);
    assert_int_equal(record_field_of(core, &given, plain, &field), DRO_CORRUPT);
}

static void only_some_fields_are_events(void **state)
{
    (void)state;
    static const struct { uint8_t tag; bool is_event; } known[] = {
        { FIELD_NOTIFY, true }, { FIELD_TRAP, true }, { FIELD_PASSED, true }, { FIELD_REPORT, true }, { FIELD_LOG, false }, { FIELD_EVENT, false }, { FIELD_EXPOSURE, false },
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_int_equal(record_is_event(&(dro_field){ known[i].tag, 0, NULL }), known[i].is_event);
    uint8_t property[3] = { 0, 0, 0x80 };
    assert_false(record_is_event(&(dro_field){ FIELD_PROPERTY, 3, property })); /* no change */
    property[2] = 0;
    assert_true(record_is_event(&(dro_field){ FIELD_PROPERTY, 3, property }));
    assert_false(record_is_event(&(dro_field){ FIELD_PROPERTY, 2, property }));
    assert_false(record_is_event(&(dro_field){ FIELD_TICKET, 9, (uint8_t[9]){ 0 } }));
    assert_true(record_is_event(&(dro_field){ FIELD_TICKET, 10, (uint8_t[10]){ 0 } }));
}

static void before_1970_there_is_no_time(void **state)
{
    (void)state;
    a_twin();
    here.world.clock.wall_ms = -5;
    core_round(here.world.core);
    here.world.core->now_ms = -5;
    record_begin(here.world.core, twin_find(here.world.core, "a@acme.example", 14), RECORD_DELTA);
    record_end(here.world.core);
    assert_int_equal(here.world.core->now_ms, 0);
    here.world.clock.wall_ms = WORLD_START_MS;
    world_settle(&here.world);
}

/* Room for one more is one flight away: nothing is lost, and nothing waits for the end of the loop. */
static void a_round_that_is_full_is_written_and_the_next_one_takes_the_record(void **state)
{
    (void)state;
    enum { RECORDS = 600 };
    static const uint8_t line[10000];
    core *core = here.world.core;
    a_twin();
    uint32_t index = twin_find(core, "a@acme.example", 14);
    uint64_t first = 0, last = 0, revision = 100;
    for (int i = 0; i < RECORDS; i++, revision++) { /* no round of the core between them */
        record_begin(core, index, RECORD_DELTA);
        record_put(core, FIELD_LOG, line, sizeof line);
        record_put(core, FIELD_REVISION, &revision, 8);
        last = record_end(core);
        first = first == 0 ? last : first;
    }
    assert_true(last != ROUND_NEVER && last > first);
    reopen();
    assert_true(twin_at(here.world.core, twin_find(here.world.core, "a@acme.example", 14))->revision == revision - 1);
}

static int begin_audited(void **state)
{
    (void)state;
    world_options options = { .seed = 11, .segment_bytes = SEGMENT, .replay_bytes = 2 * SEGMENT, .timeline_bytes = 64 * SEGMENT, .is_audited = true, .on_message = asker_hears };
    asker_begin(&options);
    return 0;
}

typedef struct counts { uint32_t notes, told, others; } counts;

static bool count_one(void *context, uint32_t group, log_place at, const uint8_t *bytes, size_t length)
{
    counts *counts = context;
    record_view view;
    dro_field field;
    uint32_t notes = 0;
    (void)group;
    (void)at;
    if (record_open(here.world.core, bytes, length, here.world.core->log_scratch, &view) == DRO_OK) {
        dro_cursor in = dro_cursor_over(view.fields, view.fields_length);
        while (dro_field_next(&in, &field))
            notes += field.tag == FIELD_AUDIT;
    }
    record_close(&view);
    assert_int_equal(record_has_notes(bytes, length), notes > 0); /* told without opening it */
    counts->notes += notes;
    counts->told += record_has_notes(bytes, length);
    counts->others += notes == 0;
    return true;
}

static counts counted(void)
{
    counts counts = { 0 };
    log_place at = 0;
    core_settle(here.world.core);
    while (commit_log_walk(here.world.core->log, &at, 1000, count_one, &counts) == DRO_OK && at != commit_log_end(here.world.core->log))
        continue;
    return counts;
}

/* One inside a record of a twin is told in that record's round, in one of its own. */
static void a_note_of_the_audit_log_is_a_record_that_says_so(void **state)
{
    (void)state;
    core *core = here.world.core;
    a_twin();
    counts before = counted();
    audit_note(core, AUDIT_ROOM_DIED, "cell 0", NULL);
    record_begin(core, twin_find(core, "a@acme.example", 14), RECORD_DELTA);
    audit_note(core, AUDIT_TWIN_PENALIZED, "a@acme.example", "its turns failed");
    record_end(core);
    counts after = counted();
    assert_int_equal(after.notes, before.notes + 2);
    assert_int_equal(after.others, before.others + 1);
    reopen();
    assert_true(counted().notes >= after.notes);
}

/* As a bench asks for it. */
static void without_a_log_nothing_is_written(void **state)
{
    (void)state;
    core *core = here.world.core;
    a_twin();
    core->options.no_log = true;
    uint64_t round = core->round_last;
    record_begin(core, twin_find(core, "a@acme.example", 14), RECORD_DELTA);
    assert_int_equal(record_end(core), 0);
    assert_int_equal(core->round_last, round);
    core->options.no_log = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_head_that_cannot_be_is_damage),
        CLAIM(one_that_was_read_ahead_is_told_the_same),
        CLAIM(what_a_head_says_is_read_without_its_key),
        CLAIM(a_context_is_given_to_its_own_twin_alone),
        CLAIM(a_full_record_says_who_it_is),
        CLAIM(a_record_of_nobody_counts_its_events_alone),
        CLAIM(a_chunk_is_a_part_of_its_twins_queue),
        CLAIM(usage_counts_once),
        CLAIM(one_that_goes_leaves_its_farewells),
        CLAIM(a_record_of_a_domain_that_is_gone_is_passed),
        CLAIM(a_field_of_a_domain_opens_whole_or_not),
        CLAIM(only_some_fields_are_events),
        CLAIM(before_1970_there_is_no_time),
        CLAIM(a_round_that_is_full_is_written_and_the_next_one_takes_the_record),
        cmocka_unit_test_setup_teardown(a_note_of_the_audit_log_is_a_record_that_says_so, begin_audited, asker_end),
        CLAIM(without_a_log_nothing_is_written),
    };
    return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}

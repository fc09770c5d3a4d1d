/* What the core writes into its log of acts, and what it makes of bytes and heads that are not as they should be. Procedures with the
 * room and its files are test/flow/test_audit.py, the chain itself is src/ledger/journal_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "core/audit_parts.h"
#include "core/core_testbed.h"
#include "core/ledger.h"
#include "core/record.h"
#include "store/disk_memory.h"
#include "store/log_files.h"

enum { SERIES = 77 };

static int begin(void **state)
{
    (void)state;
    world_options options = { .seed = 5, .segment_bytes = SEGMENT, .replay_bytes = 2 * SEGMENT, .timeline_bytes = 64 * SEGMENT, .is_audited = true, .on_message = asker_hears };
    world_init(&here.world, &options);
    assert_int_equal(world_open(&here.world), DRO_OK);
    world_settle(&here.world);
    here.id = 100;
    asker_forget();
    return 0;
}

static core *the_core(void)
{
    return here.world.core;
}

/* ---- notes in the log ---- */

typedef struct found { uint16_t act; uint32_t count; uint64_t number; char detail[256]; } found; /* number: AUDIT_COUNT, of the last */

static void note_count(found *found, const dro_field *note)
{
    dro_cursor in = dro_cursor_over(note->bytes, note->length);
    dro_field field;
    dro_err err = DRO_OK;
    if (dro_cursor_le(&in, 2) != found->act)
        return;
    found->count++;
    while (dro_field_next(&in, &field)) {
        if (field.tag == AUDIT_DETAIL)
            snprintf(found->detail, sizeof found->detail, "%.*s", (int)field.length, (const char *)field.bytes);
        if (field.tag == AUDIT_COUNT)
            found->number = dro_field_u64(&field, &err);
    }
    assert_int_equal(err, DRO_OK);
}

static bool look(void *context, uint32_t group, log_place place, const uint8_t *bytes, size_t length)
{
    record_view view;
    dro_field field;
    (void)group;
    (void)place;
    if (record_open(the_core(), bytes, length, the_core()->log_scratch, &view) == DRO_OK) {
        dro_cursor in = dro_cursor_over(view.fields, view.fields_length);
        while (dro_field_next(&in, &field))
            if (field.tag == FIELD_AUDIT)
                note_count(context, &field);
    }
    record_close(&view);
    return true;
}

static found notes_of(enum audit_act act)
{
    log_place place = 0;
    found found = { .act = (uint16_t)act };
    world_settle(&here.world);
    while (commit_log_walk(the_core()->log, &place, 1000, look, &found) == DRO_OK && place != commit_log_end(the_core()->log))
        continue;
    return found;
}

static void what_a_gate_says_wrongly_is_not_kept(void **state)
{
    (void)state;
    static uint8_t long_one[AUDIT_BYTES_MAX + 8] = { AUDIT_PEER_LOST };
    const uint8_t unknown[] = { 0xff, 0xff }, half[] = { AUDIT_PEER_LOST }, cut[] = { AUDIT_PEER_LOST, 0, AUDIT_ACTOR, 9, 'p' };
    const uint8_t good[] = { AUDIT_PEER_LOST, 0, AUDIT_ACTOR, 1, 'p', 0, 0, 0 };
    audit_gate_says(the_core(), NULL, 0);
    audit_gate_says(the_core(), unknown, sizeof unknown);
    audit_gate_says(the_core(), half, sizeof half);
    audit_gate_says(the_core(), cut, sizeof cut);
    audit_gate_says(the_core(), long_one, sizeof long_one);
    assert_int_equal(notes_of(AUDIT_PEER_LOST).count, 0);
    audit_gate_says(the_core(), good, sizeof good);
    assert_int_equal(notes_of(AUDIT_PEER_LOST).count, 1);
}

static void refusals_beyond_their_number_are_counted(void **state)
{
    (void)state;
    for (int i = 0; i < AUDIT_REFUSALS_A_SECOND + 7; i++)
        audit_note_often(the_core(), AUDIT_TWIN_PENALIZED, "a@acme.example", NULL);
    assert_int_equal(audit_dropped(the_core()), 7);
    assert_int_equal(notes_of(AUDIT_TWIN_PENALIZED).count, AUDIT_REFUSALS_A_SECOND);
    found told = notes_of(AUDIT_REFUSALS_DROPPED);
    assert_int_equal(told.count, 1);
    assert_int_equal(told.number, 7);
}

static void notes_inside_an_open_record_come_behind_it_up_to_a_number(void **state)
{
    (void)state;
    const uint64_t number = 1;
    record_begin(the_core(), NONE, RECORD_GROUPS);
    for (int i = 0; i < AUDIT_NOTES_WAITING_MAX + 3; i++)
        audit_note(the_core(), AUDIT_ROOM_DIED, NULL, NULL);
    assert_int_equal(audit_dropped(the_core()), 3);
    record_put(the_core(), FIELD_AUDITED, &number, sizeof number);
    record_end(the_core());
    assert_int_equal(notes_of(AUDIT_ROOM_DIED).count, AUDIT_NOTES_WAITING_MAX);
}

static void what_the_tables_owe_is_read_whole_or_not_at_all(void **state)
{
    (void)state;
    static uint8_t bytes[8 + AUDIT_BYTES_MAX + 1];
    assert_int_equal(audit_read(the_core(), &(dro_field){ .bytes = bytes, .length = 7 }), DRO_CORRUPT);
    assert_int_equal(audit_read(the_core(), &(dro_field){ .bytes = bytes, .length = sizeof bytes }), DRO_CORRUPT);
    assert_int_equal(audit_read(the_core(), &(dro_field){ .bytes = bytes, .length = sizeof bytes - 1 }), DRO_OK);
}

/* ---- the head ---- */

/* A session of the room begins, whose files end with this line. Entries `audit.cut` so far. */
static uint32_t room_begins(uint64_t series, uint64_t sequence, uint8_t hash)
{
    ledger_state *said = (ledger_state *)ledger_said(the_core(), LEDGER_AUDIT);
    *said = (ledger_state){ .session = 1, .series = series, .sequence = sequence + 1 };
    memset(said->head, hash, sizeof said->head);
    audit_room_said(the_core(), true);
    said->session = 0; /* there is none to go on with */
    return notes_of(AUDIT_LOG_CUT).count;
}

static void seal_is(uint64_t series, uint64_t sequence, uint8_t hash)
{
    head *sealed = &the_core()->audit->sealed;
    *sealed = (head){ .series = series, .sequence = sequence };
    memset(sealed->hash, hash, sizeof sealed->hash);
}

static void files_that_end_before_what_was_sealed_were_cut(void **state)
{
    (void)state;
    assert_int_equal(room_begins(SERIES, 9, 1), 0);
    assert_int_equal(notes_of(AUDIT_LOG_BEGUN).count, 1);
    assert_int_equal(room_begins(SERIES, 9, 1), 0);
    assert_int_equal(room_begins(SERIES, 8, 1), 1);
    seal_is(SERIES, 9, 1);
    assert_int_equal(room_begins(SERIES, 9, 2), 2); /* as long, but not the same */
    seal_is(SERIES, 9, 1);
    assert_int_equal(room_begins(SERIES + 1, 1, 3), 2); /* another directory is no cut */
    assert_int_equal(notes_of(AUDIT_LOG_BEGUN).count, 2);
}

/* The answer of the room, when it was asked for the line that was sealed. */
static uint32_t room_answers(const char *line, uint32_t length_said)
{
    uint8_t body[sizeof(ledger_lines) + 256];
    ledger_lines lines = { .first = 1, .next = 10, .length = length_said };
    memcpy(body, &lines, sizeof lines);
    memcpy(body + sizeof lines, line, strlen(line));
    audit_room_answers(the_core(), AUDIT_ASKED_CHECK, body, sizeof lines + strlen(line));
    return notes_of(AUDIT_LOG_CUT).count;
}

static void files_that_are_longer_must_have_the_line_that_was_sealed(void **state)
{
    (void)state;
    char good[128], other[128], hash[2 * AUDIT_HASH_BYTES + 1];
    for (size_t i = 0; i < AUDIT_HASH_BYTES; i++)
        memcpy(hash + 2 * i, "0a", 3);
    snprintf(good, sizeof good, "{\"seq\":9,\"hash\":\"%s\"}\n", hash);
    hash[0] = '1';
    snprintf(other, sizeof other, "{\"seq\":9,\"hash\":\"%s\"}\n", hash);
    seal_is(SERIES, 9, 10);
    assert_int_equal(room_begins(SERIES, 12, 4), 0);
    assert_int_equal(room_answers(good, (uint32_t)strlen(good)), 0);
    assert_int_equal(room_answers(good, (uint32_t)strlen(good) + 1), 0); /* an answer that is none is passed over */
    audit_room_answers(the_core(), AUDIT_ASKED_CHECK, (const uint8_t *)"x", 1);
    assert_int_equal(room_answers(other, (uint32_t)strlen(other)), 1);
    assert_int_equal(room_answers("", 0), 2);
}

/* Whether what the files have now was sealed, two seconds later. */
static bool is_sealed_on(uint64_t sequence)
{
    ledger_state *said = (ledger_state *)ledger_said(the_core(), LEDGER_AUDIT);
    said->session = 1;
    the_core()->now_ns += 2000000000;
    audit_head_step(the_core());
    said->session = 0;
    return the_core()->audit->sealed.sequence == sequence;
}

static void a_check_that_was_not_answered_is_asked_for_in_the_next_session(void **state)
{
    (void)state;
    const ledger_lines failed = { .is_failed = 1 };
    seal_is(SERIES, 9, 10);
    assert_int_equal(room_begins(SERIES, 12, 4), 0);
    assert_false(is_sealed_on(12));
    audit_room_answers(the_core(), AUDIT_ASKED_CHECK, (const uint8_t *)&failed, sizeof failed); /* the files could not be read */
    assert_int_equal(notes_of(AUDIT_LOG_CUT).count, 0);
    assert_false(is_sealed_on(12));
    assert_int_equal(room_begins(SERIES, 13, 4), 0);
    assert_int_equal(the_core()->audit->asked_for.sequence, 9);
    assert_int_equal(room_answers("", 0), 1);
    assert_true(is_sealed_on(13));
}

/* ---- a restore's mark ---- */

static bool mark_is_there(void)
{
    disk *disk = here.world.log_disk;
    int file = disk->open(disk, LOG_RESTORED, 0);
    if (file >= 0)
        disk->close(disk, file);
    return file >= 0;
}

static found start_on_mark(const char *text)
{
    disk *disk = here.world.log_disk;
    assert_int_equal(disk->replace(disk, LOG_RESTORED, text, strlen(text)), 0);
    reopen();
    return notes_of(AUDIT_BACKUP_RESTORED);
}

static void a_restore_is_told_of_once(void **state)
{
    (void)state;
    assert_int_equal(notes_of(AUDIT_BACKUP_RESTORED).count, 0);
    found told = start_on_mark("backup sha256:ab\n");
    assert_int_equal(told.count, 1);
    assert_string_equal(told.detail, "backup sha256:ab");
    assert_false(mark_is_there());
    reopen();
    assert_int_equal(notes_of(AUDIT_BACKUP_RESTORED).count, 1);
}

static void a_mark_of_any_bytes_is_told_of_in_one_short_line(void **state)
{
    (void)state;
    char text[2 * LOG_RESTORED_BYTES + 1];
    assert_string_equal(start_on_mark("a\x01\"\n\xff b").detail, "a?\"?? b");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    found told = start_on_mark(text);
    assert_int_equal(told.count, 2);
    assert_int_equal(strlen(told.detail), LOG_RESTORED_BYTES);
    assert_int_equal(start_on_mark("").count, 3);
    assert_false(mark_is_there());
}

#define AUDITED(name) cmocka_unit_test_setup_teardown(name, begin, asker_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        AUDITED(what_a_gate_says_wrongly_is_not_kept),
        AUDITED(refusals_beyond_their_number_are_counted),
        AUDITED(notes_inside_an_open_record_come_behind_it_up_to_a_number),
        AUDITED(what_the_tables_owe_is_read_whole_or_not_at_all),
        AUDITED(a_check_that_was_not_answered_is_asked_for_in_the_next_session),
        AUDITED(files_that_end_before_what_was_sealed_were_cut),
        AUDITED(files_that_are_longer_must_have_the_line_that_was_sealed),
        AUDITED(a_restore_is_told_of_once),
        AUDITED(a_mark_of_any_bytes_is_told_of_in_one_short_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

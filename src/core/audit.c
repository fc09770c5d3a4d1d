#include "core/audit_parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/ledger.h"
#include "core/record.h"
#include "core/render.h"
#include "store/disk.h"
#include "store/log_files.h"

enum {
    ROOM_BYTES = AUDIT_BYTES_MAX + 512, /* of a record with one note */
    DROPPED_MS = 10000,          /* refusals without an entry are told of so often */
};

/* ---- notes ---- */

bool audit_is_able(const core *core)
{
    return core->audit != NULL && core->is_started && !core_failed(core) && !core->options.no_log;
}

void audit_note_record(core *core, const uint8_t *bytes, size_t length, uint64_t number)
{
    record_begin(core, NONE, RECORD_GROUPS);
    record_is_noted(core);
    record_put(core, FIELD_AUDIT, bytes, length);
    if (number != 0)
        record_put(core, FIELD_AUDITED, &number, sizeof number);
    record_end(core);
}

note *audit_note_new(const uint8_t *bytes, size_t length)
{
    note *made = calloc(1, sizeof *made + length);
    if (made == NULL)
        return NULL;
    made->length = (uint32_t)length;
    memcpy(made->bytes, bytes, length);
    return made;
}

/* Once the record that is open has ended. */
static void note_later(core *core, const uint8_t *bytes, size_t length, uint64_t number)
{
    struct audit *audit = core->audit;
    note *made = audit->waiting_count < AUDIT_NOTES_WAITING_MAX ? audit_note_new(bytes, length) : NULL;
    if (made == NULL) {
        dro_error("audit: an entry is lost: no memory");
        audit->dropped++;
        return;
    }
    made->number = number;
    *audit->waiting_end = made;
    audit->waiting_end = &made->next;
    audit->waiting_count++;
}

void audit_note_write(core *core, const uint8_t *bytes, size_t length, uint64_t number)
{
    if (record_is_open(core))
        note_later(core, bytes, length, number);
    else
        audit_note_record(core, bytes, length, number);
}

void audit_recorded(core *core)
{
    struct audit *audit = core->audit;
    if (audit->waiting == NULL || audit->is_writing)
        return;
    audit->is_writing = true;
    while (audit->waiting != NULL) {
        note *next = audit->waiting;
        audit->waiting = next->next;
        if (audit->waiting == NULL)
            audit->waiting_end = &audit->waiting;
        audit->waiting_count--;
        audit_note_record(core, next->bytes, next->length, next->number);
        free(next);
    }
    audit->is_writing = false;
}

void audit_note_bytes(core *core, const uint8_t *bytes, size_t length)
{
    if (audit_is_able(core))
        audit_note_write(core, bytes, length, 0);
    else if (core->audit != NULL)
        core->audit->dropped++;
}

void audit_text_put(dro_builder *out, uint8_t tag, const char *text)
{
    size_t length = text == NULL ? 0 : strlen(text);
    if (length > 0)
        dro_field_put(out, tag, text, length > 255 ? 255 : length);
}

size_t audit_note_build(uint8_t bytes[AUDIT_BYTES_MAX], enum audit_act act, const char *actor, const char *object, uint32_t status, const char *detail)
{
    dro_builder out = dro_builder_over(bytes, AUDIT_BYTES_MAX);
    uint16_t code = (uint16_t)status;
    dro_builder_le(&out, act, 2);
    audit_text_put(&out, AUDIT_ACTOR, actor);
    audit_text_put(&out, AUDIT_OBJECT, object);
    if (status != 0)
        dro_field_put(&out, AUDIT_STATUS, &code, sizeof code);
    audit_text_put(&out, AUDIT_DETAIL, detail);
    return dro_builder_length(&out);
}

void audit_note_of(core *core, enum audit_act act, const char *actor, const char *object, uint32_t status, const char *detail)
{
    uint8_t bytes[AUDIT_BYTES_MAX];
    if (core->audit != NULL)
        audit_note_bytes(core, bytes, audit_note_build(bytes, act, actor, object, status, detail));
}

void audit_note(core *core, enum audit_act act, const char *object, const char *detail)
{
    audit_note_of(core, act, "host", object, 0, detail);
}

void core_audit(core *core, uint32_t act, const char *object, const char *detail)
{
    audit_note(core, (enum audit_act)act, object, detail);
}

/* ---- the core's ---- */

dro_err audit_init(core *core)
{
    core->audit = calloc(1, sizeof *core->audit);
    if (core->audit == NULL)
        return DRO_NOMEM;
    core->audit->waiting_end = &core->audit->waiting;
    return ledger_init(core, LEDGER_AUDIT);
}

void audit_notes_free(note *first)
{
    while (first != NULL) {
        note *gone = first;
        first = gone->next;
        free(gone);
    }
}

void audit_fini(core *core)
{
    struct audit *audit = core->audit;
    if (audit == NULL)
        return;
    for (uint32_t i = 0; i < AUDIT_BUCKETS; i++)
        audit_notes_free(audit->pending[i]);
    audit_notes_free(audit->owed);
    audit_notes_free(audit->waiting);
    while (audit->asked != NULL) {
        asked *gone = audit->asked;
        audit->asked = gone->next;
        free(gone);
    }
    free(audit);
    core->audit = NULL;
}

static void dropped_tell(core *core)
{
    struct audit *audit = core->audit;
    uint8_t bytes[256];
    if (audit->dropped == audit->dropped_told || core->now_ns < audit->dropped_ns || !audit_is_able(core) || core->is_full)
        return;
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_le(&out, AUDIT_REFUSALS_DROPPED, 2);
    dro_field_put_text(&out, AUDIT_ACTOR, "host");
    dro_field_put_u64(&out, AUDIT_COUNT, audit->dropped - audit->dropped_told);
    audit->dropped_told = audit->dropped;
    audit->dropped_ns = core->now_ns + DROPPED_MS * 1000000ll;
    audit_note_bytes(core, bytes, dro_builder_length(&out));
}

/* What a restore left for the host's first start on what it made. The mark goes once the note is durable: after an end in between there are two. */
static int restored_step(core *core)
{
    struct audit *audit = core->audit;
    disk *disk = core->options.log_disk;
    char text[LOG_RESTORED_BYTES + 1];
    if (audit->restored == RESTORED_TOLD && audit->restored_round > core->round_told)
        return 0;
    if (audit->restored == RESTORED_TOLD) {
        int error = disk->remove(disk, LOG_RESTORED);
        if (error != 0)
            dro_warn("audit: the mark of a restore, log/" LOG_RESTORED ", cannot be removed: %s; the next start tells of it again", strerror(-error));
        audit->restored = RESTORED_DONE;
        return 1;
    }
    int file = disk->open(disk, LOG_RESTORED, 0);
    int64_t length = file < 0 ? file : disk->read(disk, file, 0, text, LOG_RESTORED_BYTES);
    if (file >= 0)
        disk->close(disk, file);
    audit->restored = length < 0 ? RESTORED_DONE : RESTORED_TOLD;
    if (length < 0 && length != -ENOENT)
        dro_warn("audit: the mark of a restore, log/" LOG_RESTORED ", cannot be read: %s", strerror((int)-length));
    if (length < 0)
        return 0;
    text[length] = '\0';
    for (char *at = text; *at != '\0'; at++)
        if (*at < ' ' || *at > '~')
            *at = at[1] == '\0' ? '\0' : '?';
    audit_note(core, AUDIT_BACKUP_RESTORED, NULL, text);
    audit->restored_round = core->round_last;
    return 1;
}

int audit_step(core *core)
{
    struct audit *audit = core->audit;
    int done = 0;
    audit_head_key(core);
    if (audit_is_able(core) && core->index == 0 && audit->owed != NULL)
        done += audit_owed_step(core);
    if (audit->restored != RESTORED_DONE && audit_is_able(core) && core->index == 0 && !core->is_full)
        done += restored_step(core);
    if (audit->asked != NULL)
        audit_asked_expire(core);
    dropped_tell(core);
    return done + (core->index == 0 ? audit_head_step(core) : 0);
}

int64_t audit_due_ns(const core *core)
{
    const struct audit *audit = core->audit;
    if (audit == NULL)
        return INT64_MAX;
    int64_t due = audit_head_due_ns(core);
    for (const asked *a = audit->asked; a != NULL; a = a->next)
        due = a->until_ns < due ? a->until_ns : due;
    if (audit->dropped != audit->dropped_told && audit->dropped_ns < due)
        due = audit->dropped_ns;
    return due;
}

bool audit_has_room(const core *core, size_t length)
{
    return core->audit == NULL || core->audit->pending_count == 0 || commit_log_has_room(core->log, length, ROOM_BYTES);
}

uint64_t audit_dropped(const core *core)
{
    return core->audit == NULL ? 0 : core->audit->dropped;
}

void audit_metrics(const core *core, dro_builder *out)
{
    const ledger_state *said = ledger_said(core, LEDGER_AUDIT);
    const struct { const char *name, *kind, *help; uint64_t value; } rows[] = {
        { "dromio_audit_is_writing", "gauge", "1: the audit files can be written.", said->session != 0 },
        { "dromio_audit_entries_total", "counter", "Entries in the audit files, of all starts.", said->sequence > 0 ? said->sequence - 1 : 0 },
        { "dromio_audit_failures_total", "counter", "Times the audit files could not be written.", said->failures },
        { "dromio_audit_cuts_total", "counter", "Times the audit files were found to be not what they were.", core->audit == NULL ? 0 : core->audit->cuts },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        json_put(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", rows[i].name, rows[i].help, rows[i].name, rows[i].kind, rows[i].name,
                 (unsigned long long)rows[i].value);
}

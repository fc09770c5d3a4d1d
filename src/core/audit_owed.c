/* Audit: what the host's tables keep is owed there till its note is durable in the log. */
#include "core/audit_parts.h"

#include <stdlib.h>
#include <string.h>

#include "core/record.h"

void audit_owe(core *core, enum audit_act act, const char *object, const char *detail)
{
    struct audit *audit = core->audit;
    uint8_t bytes[AUDIT_BYTES_MAX];
    if (audit == NULL)
        return;
    note *made = audit->owed_count < AUDIT_OWED_MAX ? audit_note_new(bytes, audit_note_build(bytes, act, "host", object, 0, detail)) : NULL;
    if (made == NULL) {
        audit->dropped++;
        return;
    }
    made->number = audit->number_next++;
    note **end = &audit->owed;
    while (*end != NULL)
        end = &(*end)->next;
    *end = made;
    audit->owed_count++;
}

static void write_one(note *of, dro_builder *out)
{
    uint8_t part[8 + AUDIT_BYTES_MAX];
    dro_builder inner = dro_builder_over(part, sizeof part);
    dro_builder_le(&inner, of->number, 8);
    dro_builder_bytes(&inner, of->bytes, of->length);
    dro_field_put(out, HOST_AUDIT, part, dro_builder_length(&inner));
    of->is_written = true;
}

/* Those whose record is durable stay away. */
void audit_write(core *core, dro_builder *out)
{
    struct audit *audit = core->audit;
    if (audit == NULL)
        return;
    for (note *o = audit->owed; o != NULL; o = o->next) {
        o->is_written = false;
        if (o->round == 0 || o->round > core->round_told)
            write_one(o, out);
    }
    if (audit->now != NULL)
        write_one(audit->now, out);
}

void audit_kept(core *core, bool is_kept)
{
    struct audit *audit = core->audit;
    if (audit == NULL)
        return;
    if (audit->now != NULL && is_kept)
        audit->now->is_in_file = audit->now->is_written;
    for (note **at = &audit->owed; *at != NULL;) {
        note *o = *at;
        if (is_kept)
            o->is_in_file = o->is_written;
        if (o->is_in_file || (o->is_written && !is_kept && o->round != 0)) {
            at = &o->next;
            continue;
        }
        *at = o->next; /* the file has it no more; or never had it, and what it tells of was not kept */
        audit->owed_count--;
        free(o);
    }
}

dro_err audit_read(core *core, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    uint64_t number = dro_cursor_le(&in, 8);
    if (in.err != DRO_OK || dro_cursor_left(&in) > AUDIT_BYTES_MAX)
        return DRO_CORRUPT;
    if (core->audit == NULL || core->index > 0 || core->is_started)
        return DRO_OK;
    note *made = audit_note_new(in.at, dro_cursor_left(&in));
    if (made == NULL)
        return DRO_NOMEM;
    made->number = number;
    made->is_in_file = true;
    made->next = core->audit->owed;
    core->audit->owed = made;
    core->audit->owed_count++;
    return DRO_OK;
}

void audit_replay(core *core, const dro_field *field)
{
    struct audit *audit = core->audit;
    if (audit == NULL || core->index > 0)
        return;
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    if (field->tag == FIELD_AUDIT_HEAD) {
        head sealed = { .series = dro_cursor_le(&in, 8), .sequence = dro_cursor_le(&in, 8) };
        const uint8_t *hash = dro_cursor_bytes(&in, AUDIT_HASH_BYTES);
        if (in.err != DRO_OK)
            return;
        memcpy(sealed.hash, hash, AUDIT_HASH_BYTES);
        audit->sealed = sealed;
        return;
    }
    while (dro_cursor_left(&in) >= 8) {
        uint64_t number = dro_cursor_le(&in, 8);
        for (note *o = audit->owed; o != NULL; o = o->next)
            if (o->number == number)
                o->round = 1; /* of before: durable */
    }
}

void audit_settle(core *core)
{
    if (core->audit != NULL)
        core->audit->number_next = core->epoch.counter << 32 | (uint64_t)core->index << 28 | 1;
}

/* What was kept while nobody could be answered any more. */
int audit_owed_step(core *core)
{
    struct audit *audit = core->audit;
    int done = 0;
    for (note *o = audit->owed; o != NULL; o = o->next) {
        if (o->round != 0 || !o->is_in_file)
            continue;
        uint8_t bytes[AUDIT_BYTES_MAX + 512];
        dro_builder out = dro_builder_over(bytes, sizeof bytes);
        dro_builder_bytes(&out, o->bytes, o->length);
        if (o->caller.id == 0 && o->number < core->epoch.counter << 32)
            dro_field_put_text(&out, AUDIT_DETAIL, "kept; the host ended before the answer left");
        audit_note_record(core, bytes, dro_builder_length(&out), o->number);
        o->round = core->round_last;
        done++;
    }
    return done;
}

void audit_dump(core *core)
{
    if (core->audit == NULL || core->index > 0)
        return;
    record_begin(core, NONE, RECORD_GROUPS);
    if (core->audit->sealed.series != 0)
        audit_seal(core);
    for (const note *o = core->audit->owed; o != NULL; o = o->next)
        if (o->round != 0)
            record_put(core, FIELD_AUDITED, &o->number, sizeof o->number);
    record_end(core);
}

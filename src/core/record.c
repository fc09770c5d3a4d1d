/* Records: a twin's change, sealed, as it goes into the log and comes back.
 *
 *   previous place u64 | kind u8, has context u8, 0 u8, told u8, domain u32, twin u64, time i64,
 *   first event u64, sealed length u32, context length u32 | sealed fields | sealed context
 *
 * Bytes 8 to 48 are the associated data of the fields. */
#include "core/conduct.h"
#include "core/farewell.h"
#include "core/rate.h"
#include "core/rds_ports.h"
#include "core/record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "base/log.h"
#include "base/wipe.h"
#include "core/apply.h"
#include "core/audit.h"
#include "core/checkpoint.h"
#include "core/cold.h"
#include "core/groups.h"
#include "core/host_tables.h"
#include "core/ledger.h"
#include "core/mailbox.h"
#include "core/names.h"
#include "core/nidd.h"
#include "core/number.h"
#include "core/schedule.h"
#include "core/serving.h"
#include "core/state.h"
#include "core/stream.h"
#include "core/tell.h"
#include "core/twin_table.h"

enum { HEADER = 48, FIELDS_MAX = 420 * 1024, PART_MAX = 70 * 1024, CONTEXT_MAX = CONTEXT_BYTES_MAX + VAULT_OVERHEAD };

enum { LAST_FIELDS = 32 }; /* of FIELDS_MAX, for what record_end adds: it is always there */
enum { TOLD = 11, TOLD_CHARGES = 1, TOLD_NOTES = 2 }; /* byte that says that there are charges or notes among the fields */

struct record {
    uint32_t twin;
    int kind;
    bool is_silent;              /* written as it is, not applied */
    bool has_context, has_charges, has_notes;
    const uint8_t *cold_context; /* sealed, of a twin whose own is not in memory */
    uint64_t event_first;
    dro_builder fields, part;
    uint8_t field_bytes[FIELDS_MAX], part_bytes[PART_MAX];
    uint8_t out[HEADER + FIELDS_MAX + VAULT_OVERHEAD + CONTEXT_MAX];
};

record *record_new(void)
{
    return calloc(1, sizeof(record));
}

void record_free(record *record)
{
    free(record);
}

void record_begin(core *core, uint32_t index, int kind)
{
    record *record = core->record;
    assert(record->kind == 0);
    record->twin = index;
    record->kind = kind;
    record->is_silent = kind == RECORD_CHUNK;
    record->has_context = record->has_charges = record->has_notes = false;
    record->cold_context = NULL;
    record->event_first = core->event_next;
    record->fields = dro_builder_over(record->field_bytes, FIELDS_MAX - LAST_FIELDS);
}

bool record_is_open(const core *core)
{
    return core->record->kind != 0;
}

uint32_t record_owner(const core *core)
{
    return core->record->twin == NONE ? 0 : twin_partition(twin_at(core, core->record->twin)) + 1;
}

bool record_is_event(const dro_field *field)
{
    switch (field->tag) {
    case FIELD_PROPERTY: return field->length > 2 && (field->bytes[2] & 0x80) == 0;
    case FIELD_TICKET: return field->length > 9;
    case FIELD_NOTIFY: case FIELD_TRAP: case FIELD_PASSED: case FIELD_REPORT: return true;
    case FIELD_EXPOSURE: return exposure_field_kind(field) == EXPOSURE_TRIGGER;
    default: return false;
    }
}

/* What did not apply is not written: recovery applies all that is, and ends at what it cannot. */
static void field_drop(core *core, const dro_builder *before, uint8_t tag, dro_err err)
{
    dro_builder *fields = &core->record->fields;
    dro_wipe(before->at, (size_t)(fields->at - before->at));
    *fields = *before;
    core->counters.fields_dropped++;
    if (err == DRO_NOMEM) /* its caller counts on it: what is answered for the rest of the record would not be true */
        core_no_memory("what a record says");
    dro_error("record field=%u \"%s\": left out", tag, dro_err_text(err));
}

void record_put(core *core, uint8_t tag, const void *bytes, size_t length)
{
    record *record = core->record;
    assert(record->kind != 0);
    dro_builder before = record->fields;
    dro_field_put(&record->fields, tag, bytes, length); /* first: applying may free the bytes */
    dro_field field = { tag, (uint32_t)length, bytes };
    bool is_event = record_is_event(&field) && record->kind != RECORD_FULL;
    bool is_applied = !record->is_silent && record->twin != NONE;
    dro_err err = !is_applied ? DRO_OK : record->fields.err != DRO_OK ? record->fields.err : apply_field(core, record->twin, &field);
    if (err == DRO_OK)
        core->event_next += is_event;
    else
        field_drop(core, &before, tag, err);
}

const uint8_t *record_fields(const core *core, size_t *length)
{
    *length = dro_builder_length(&core->record->fields);
    return core->record->field_bytes;
}

size_t record_size(const core *core)
{
    return HEADER + dro_builder_length(&core->record->fields) + VAULT_OVERHEAD;
}

void record_put_fields(core *core, const uint8_t *fields, size_t length)
{
    assert(core->record->kind == RECORD_CHUNK);
    dro_builder_bytes(&core->record->fields, fields, length);
}

void record_abandon(core *core)
{
    dro_wipe(core->record->field_bytes, dro_builder_length(&core->record->fields));
    core->record->kind = 0;
    if (core->releases != NULL)
        names_recorded(core, core->round_last);
}

dro_builder *record_part(core *core)
{
    core->record->part = dro_builder_over(core->record->part_bytes, PART_MAX);
    return &core->record->part;
}

void record_part_end(core *core, uint8_t tag)
{
    dro_builder *part = &core->record->part;
    assert(part->err == DRO_OK);
    record_put(core, tag, part->start, dro_builder_length(part));
    if (tag == FIELD_CHARGE)
        dro_wipe(part->start, dro_builder_length(part)); /* it may name the IMSI */
}

enum { OF_DOMAIN_HEAD = 5 };

void record_part_end_of(core *core, uint8_t tag, uint32_t domain)
{
    struct record *record = core->record;
    size_t length = dro_builder_length(&record->part);
    uint8_t head[OF_DOMAIN_HEAD] = { [4] = tag }, *sealed = core->log_scratch;
    if (domain == 0) {
        record_part_end(core, tag);
        return;
    }
    if (domain >= core->domain_count || core->domains[domain].is_gone) { /* of nobody */
        dro_wipe(record->part.start, length);
        return;
    }
    memcpy(head, &domain, 4);
    memcpy(sealed, head, sizeof head);
    vault_seal_log(core->vault, domain, head, sizeof head, record->part.start, length, sealed + sizeof head);
    dro_wipe(record->part.start, length);
    record_put(core, FIELD_OF_DOMAIN, sealed, sizeof head + length + VAULT_OVERHEAD);
}

dro_err record_field_of(core *core, const dro_field *sealed, uint8_t *plain, dro_field *field)
{
    uint32_t domain;
    if (sealed->length < OF_DOMAIN_HEAD + VAULT_OVERHEAD)
        return DRO_MALFORMED;
    memcpy(&domain, sealed->bytes, 4);
    if (domain >= core->domain_count)
        return DRO_CORRUPT;
    *field = (dro_field){ sealed->bytes[4], (uint32_t)(sealed->length - OF_DOMAIN_HEAD - VAULT_OVERHEAD), plain };
    return vault_open_log(core->vault, domain, sealed->bytes, OF_DOMAIN_HEAD, sealed->bytes + OF_DOMAIN_HEAD, sealed->length - OF_DOMAIN_HEAD, plain);
}

uint32_t record_domain(const core *core)
{
    return core->record->twin == NONE ? 0 : twin_at(core, core->record->twin)->domain;
}

void record_context(core *core, uint32_t slot, const uint8_t *plain, size_t length)
{
    twin *twin = twin_at(core, core->record->twin);
    core->record->has_context = true;
    twin->context_revision++;
    if (!context_room(core, core->record->twin, length > 0 ? (uint32_t)length + VAULT_OVERHEAD : 0))
        abort(); /* the turn's effects are applied: there is no way back */
    if (length == 0)
        return;
    vault_binding binding = { twin->domain, twin->number, core->images[twin->image].digest, twin->context_revision, slot };
    vault_seal_context(core->vault, &binding, plain, length, twin->context->sealed);
    twin->context->is_used_lately = true;
}

static void put_le(uint8_t *at, uint64_t value, size_t width)
{
    memcpy(at, &value, width);
}

/* The whole record in record->out; its length. */
static size_t record_build(core *core)
{
    record *record = core->record;
    const twin *twin = record->twin == NONE ? NULL : twin_at(core, record->twin);
    size_t plain = dro_builder_length(&record->fields);
    bool has_context = twin != NULL && (record->has_context || record->kind == RECORD_FULL);
    uint32_t context = has_context ? twin->context_length : 0;
    uint32_t domain = twin == NULL ? 0 : twin->domain;
    uint8_t *out = record->out;
    memset(out, 0, HEADER);
    out[8] = (uint8_t)record->kind;
    out[9] = has_context;
    out[TOLD] = (uint8_t)((record->has_charges ? TOLD_CHARGES : 0) | (record->has_notes ? TOLD_NOTES : 0));
    put_le(out + 12, domain, 4);
    put_le(out + 16, twin == NULL ? 0 : twin->number, 8);
    put_le(out + 24, (uint64_t)core->now_ms, 8);
    put_le(out + 32, record->event_first, 8);
    put_le(out + 40, plain + VAULT_OVERHEAD, 4);
    put_le(out + 44, context, 4);
    vault_seal_log(core->vault, domain, out + 8, HEADER - 8, record->field_bytes, plain, out + HEADER);
    if (record->kind == RECORD_FULL)
        rotation_sealed(core, twin_at(core, record->twin));
    size_t length = HEADER + plain + VAULT_OVERHEAD;
    if (context > 0)
        memcpy(out + length, twin->is_cold ? record->cold_context : twin->context->sealed, context);
    return length + context;
}

/* What record_placed is told: whose record found its place. The slot may be another twin's by then. */
enum { TAG_FULL = 26, TAG_CONTEXT = 27, TAG_REVISION = 28, TAG_NUMBER = 44 };
_Static_assert(CORE_TWINS_MAX <= 1 << TAG_FULL, "a tag holds any index");
static const uint64_t tag_chunk = 3ull << TAG_FULL; /* a full record is told from one with a context, which it has too; both: a chunk,
                                                      with its id instead of the revision */

static const uint64_t tag_note = UINT64_MAX - 1; /* of no twin, with notes of the audit log */

static uint64_t tag_of(uint32_t index, const twin *twin, const record *record)
{
    bool is_full = record->kind == RECORD_FULL, has_context = !is_full && record->has_context && twin->context_length > 0;
    if (record->kind == RECORD_CHUNK)
        return index | tag_chunk | (uint64_t)queue_chunk_newest(twin) << TAG_REVISION | twin->number << TAG_NUMBER;
    return index | (uint64_t)is_full << TAG_FULL | (uint64_t)has_context << TAG_CONTEXT |
           (twin->context_revision & 0xffff) << TAG_REVISION | twin->number << TAG_NUMBER;
}

/* Changes are refused while there is space for two rounds, and turns are held while there is half a round: nobody comes here unless
 * half a round of answers to what had been begun came since. None of it was acknowledged. */
static void no_space(void)
{
    dro_error("core: the disk is full, and so is what waits for space: it begins anew from the log");
    abort();
}

uint64_t record_end(core *core)
{
    record *record = core->record;
    uint32_t index = record->twin;
    assert(record->kind != 0 && record->fields.err == DRO_OK);
    record->fields.end += LAST_FIELDS;
    if (core->now_ms < 0)
        core->now_ms = 0;
    if (record->kind == RECORD_DELTA && index != NONE && queue_is_spent(twin_at(core, index)))
        record_put(core, FIELD_CHUNKS_SPENT, "", 0);
    if (index != NONE && (record->has_context || record->kind == RECORD_FULL)) {
        uint8_t state[9] = { twin_at(core, index)->flags & TWIN_BLOCKED };
        put_le(state + 1, twin_at(core, index)->context_revision, 8);
        dro_field_put(&record->fields, FIELD_STATE, state, sizeof state);
    }
    core->counters.records++;
    uint64_t round = 0;
    if (!core->options.no_log) {
        size_t length = record_build(core);
        if (record->kind == RECORD_FULL && record->is_silent) {
            core->full_bytes = core->full_bytes == 0 ? (uint32_t)length : (uint32_t)((core->full_bytes * 15ull + length) / 16);
            core->bytes_moved += length;
        }
        uint32_t group = index == NONE ? 0 : twin_group(twin_at(core, index));
        uint64_t tag = record->has_notes ? tag_note : index == NONE ? UINT64_MAX : tag_of(index, twin_at(core, index), record);
        bool has_room = record->has_notes || audit_has_room(core, length);
        dro_err err = has_room ? commit_log_append(core->log, group, tag, record->out, length) : DRO_AGAIN;
        while (err == DRO_AGAIN && !commit_log_failed(core->log)) { /* the round is full: room is one flight away */
            if (commit_log_can_submit(core->log) && core_submit(core) == DRO_LIMIT)
                no_space(); /* for what was applied */
            commit_log_durable(core->log, true);
            err = commit_log_append(core->log, group, tag, record->out, length);
        }
        round = err == DRO_OK ? core->round_last = commit_log_round(core->log) : ROUND_NEVER;
    }
    if (core->stream_count > 0) {
        record_view view = { record->kind, index == NONE ? 0 : twin_at(core, index)->domain,
                             index == NONE ? 0 : twin_at(core, index)->number, core->now_ms, record->event_first, 0,
                             record->field_bytes, dro_builder_length(&record->fields), NULL, 0 };
        streams_record(core, &view, round);
    }
    dro_wipe(record->field_bytes, dro_builder_length(&record->fields));
    record->kind = 0;
    if (core->releases != NULL)
        names_recorded(core, round);
    if (core->audit != NULL)
        audit_recorded(core);
    return round;
}

static twin *twin_of_tag(const core *core, uint64_t tag)
{
    return twin_at(core, tag & ((1u << TAG_FULL) - 1));
}

log_place record_placed(void *context, uint64_t tag, log_place place)
{
    core *core = context;
    if (!core->is_round_marked) {
        core->is_round_marked = true;
        streams_mark(core, core->round_event_first, place);
    }
    if (tag == tag_note)
        ledger_placed(core, LEDGER_AUDIT, place);
    if (tag >= tag_note)
        return 0;
    twin *twin = twin_of_tag(core, tag);
    if (twin->number == 0 || twin->number << TAG_NUMBER != tag >> TAG_NUMBER << TAG_NUMBER)
        return 0;
    if ((tag & tag_chunk) == tag_chunk) { /* no part of the timeline */
        queue_placed(core, tag & ((1u << TAG_FULL) - 1), (uint16_t)(tag >> TAG_REVISION), place);
        return 0;
    }
    log_place previous = twin->last;
    twin->last = place;
    if (tag >> TAG_FULL & 1)
        base_move(core, twin, log_place_segment(place));
    /* A context that had another turn since is in a record that comes later. */
    if (tag & tag_chunk && (tag >> TAG_REVISION & 0xffff) == (twin->context_revision & 0xffff))
        context_placed(twin, place);
    return previous;
}

/* Many turns lie between a record and its round: its twin is out of the cache again. */
void record_soon(void *context, uint64_t tag)
{
    enum { TO_WRITE = 1 };
    const core *core = context;
    if (tag >= tag_note)
        return;
    const twin *twin = twin_of_tag(core, tag);
    __builtin_prefetch(&twin->number, TO_WRITE);
    __builtin_prefetch(&twin->last, TO_WRITE);
    __builtin_prefetch(&twin->context);
}

/* What is not sealed; the fields as they are. */
static dro_err record_look(const uint8_t *bytes, size_t length, record_view *view)
{
    dro_cursor in = dro_cursor_over(bytes, length);
    *view = (record_view){ .previous = dro_cursor_le(&in, 8) };
    view->kind = (int)dro_cursor_le(&in, 1);
    dro_cursor_le(&in, 3);
    view->domain = (uint32_t)dro_cursor_le(&in, 4);
    view->twin = dro_cursor_le(&in, 8);
    view->time_ms = (int64_t)dro_cursor_le(&in, 8);
    view->event_first = dro_cursor_le(&in, 8);
    size_t sealed_length = dro_cursor_le(&in, 4);
    view->context_length = dro_cursor_le(&in, 4);
    view->fields = dro_cursor_bytes(&in, sealed_length);
    view->fields_length = sealed_length;
    view->context = dro_cursor_bytes(&in, view->context_length);
    if (in.err != DRO_OK || sealed_length < VAULT_OVERHEAD || sealed_length > FIELDS_MAX + VAULT_OVERHEAD ||
        view->context_length > CONTEXT_MAX || (view->context_length > 0 && view->context_length <= VAULT_OVERHEAD))
        return DRO_CORRUPT;
    view->key_tag = vault_sealed_tag(view->fields);
    return DRO_OK;
}

dro_err record_open(core *core, const uint8_t *bytes, size_t length, uint8_t *plain, record_view *view)
{
    dro_err err = record_look(bytes, length, view);
    const uint8_t *sealed = view->fields;
    view->fields = NULL;
    if (err != DRO_OK)
        return err;
    view->fields = plain;
    view->fields_length -= VAULT_OVERHEAD;
    return vault_open_log(core->vault, view->domain, bytes + 8, HEADER - 8, sealed, view->fields_length + VAULT_OVERHEAD, plain);
}

enum { OPENED = 10 }; /* of a record that was opened where it lies: the dro_err of that, where a zero was */

void record_read(void *context, uint8_t *bytes, size_t length)
{
    core *core = context;
    record_view view;
    if (record_look(bytes, length, &view) != DRO_OK)
        return; /* which replay finds, too */
    uint8_t *sealed = bytes + HEADER;
    bytes[OPENED] = (uint8_t)vault_open_log(core->reading_vault, view.domain, bytes + 8, HEADER - 8, sealed, view.fields_length,
                                            vault_in_place(sealed));
}

static dro_err record_opened(uint8_t *bytes, size_t length, record_view *view)
{
    dro_err err = record_look(bytes, length, view);
    view->fields = NULL;
    if (err != DRO_OK)
        return err;
    view->fields = vault_in_place(bytes + HEADER);
    view->fields_length -= VAULT_OVERHEAD;
    return (dro_err)bytes[OPENED];
}

void record_is_charged(core *core)
{
    core->record->has_charges = true;
}

bool record_has_charges(const uint8_t *bytes, size_t length)
{
    return length >= HEADER && (bytes[TOLD] & TOLD_CHARGES) != 0;
}

void record_is_noted(core *core)
{
    core->record->has_notes = true;
}

bool record_has_notes(const uint8_t *bytes, size_t length)
{
    return length >= HEADER && (bytes[TOLD] & TOLD_NOTES) != 0;
}

uint64_t record_twin(const uint8_t *bytes, size_t length)
{
    uint64_t number = 0;
    if (length >= HEADER)
        memcpy(&number, bytes + 16, sizeof number);
    return number;
}

const uint8_t *record_sealed_context(const uint8_t *bytes, size_t length, const twin *twin)
{
    dro_cursor in = dro_cursor_over(bytes, length);
    dro_cursor_bytes(&in, 9);
    bool has_context = dro_cursor_le(&in, 1) == 1;
    dro_cursor_bytes(&in, 6);
    uint64_t number = dro_cursor_le(&in, 8);
    dro_cursor_bytes(&in, 16);
    size_t sealed_length = dro_cursor_le(&in, 4), context_length = dro_cursor_le(&in, 4);
    dro_cursor_bytes(&in, sealed_length);
    const uint8_t *context = dro_cursor_bytes(&in, context_length);
    bool is_its = in.err == DRO_OK && has_context && number == twin->number && context_length == twin->context_length;
    return is_its ? context : NULL;
}

void record_close(record_view *view)
{
    if (view->fields != NULL)
        dro_wipe((uint8_t *)(uintptr_t)view->fields, view->fields_length);
    view->fields = NULL;
}

static uint32_t events_in(const record_view *view)
{
    dro_cursor in = dro_cursor_over(view->fields, view->fields_length);
    dro_field field;
    uint32_t count = 0;
    while (view->kind != RECORD_FULL && dro_field_next(&in, &field))
        count += record_is_event(&field);
    return count;
}

static dro_err replay_context(core *core, uint32_t index, log_place place, const record_view *view, const dro_field *state)
{
    twin *twin = twin_at(core, index);
    uint64_t revision;
    if (state->length != 9)
        return DRO_MALFORMED;
    memcpy(&revision, state->bytes + 1, 8);
    twin->context_revision = revision;
    uint32_t length = (uint32_t)view->context_length;
    bool is_in_memory = !twin->is_cold && twin->context != NULL;
    if (place != 0 && length > 0 && !is_in_memory && contexts_are_full(core->contexts, length)) {
        context_cool(core, index, place, length);
        return DRO_OK;
    }
    if (!context_room(core, index, length))
        return DRO_NOMEM;
    if (length == 0)
        return DRO_OK;
    assert(twin->context != NULL);
    memcpy(twin->context->sealed, view->context, length);
    twin->context->place = place;
    return DRO_OK;
}

/* Records of the host's own tables. */
static dro_err replay_host(core *core, const record_view *view)
{
    dro_cursor in = dro_cursor_over(view->fields, view->fields_length);
    dro_field field;
    dro_err err = DRO_OK;
    while (err == DRO_OK && dro_field_next(&in, &field))
        err = host_table_replay(core, view->kind, &field);
    return err == DRO_OK ? in.err : err;
}

/* What the network is to be told of one that is gone. */
static dro_err replay_gone(core *core, const record_view *view)
{
    dro_cursor in = dro_cursor_over(view->fields, view->fields_length);
    dro_field field;
    while (dro_field_next(&in, &field))
        if (field.tag == FIELD_FAREWELL || field.tag == FIELD_FAREWELL_GONE)
            farewell_replay(core, &field);
    return in.err;
}

/* A chunk, which is no part of the timeline. */
static dro_err replay_chunk(core *core, uint32_t index, log_place place, const record_view *view)
{
    size_t length = HEADER + view->fields_length + VAULT_OVERHEAD;
    return queue_replay_chunk(core, index, place != 0 ? place : core->old_place, view, length);
}

/* What a twin's record says of the host's tables. */
static void replay_beside(core *core, const dro_field *field)
{
    if (field->tag == FIELD_DEAD)
        dead_letter_replay(core, field);
    else if (field->tag == FIELD_IDEMPOTENT)
        idempotent_replay(core, field);
    else if (field->tag == FIELD_USAGE)
        usage_replay(core, field);
}

/* Of a twin whose full record comes later, or that is gone: its tables count all the same, for the dump of them may lie before this. */
static dro_err replay_unknown(core *core, const record_view *view)
{
    dro_cursor in = dro_cursor_over(view->fields, view->fields_length);
    dro_field field;
    dro_err err = DRO_OK;
    while (err == DRO_OK && dro_field_next(&in, &field)) {
        replay_beside(core, &field);
        if (field.tag == FIELD_DUPLICATE)
            err = apply_duplicate(core, (uint32_t)(view->twin >> 52), &field);
    }
    return err == DRO_OK ? in.err : err;
}

static dro_err replay(core *core, log_place place, const record_view *view)
{
    dro_err err = DRO_OK;
    uint32_t events = events_in(view);
    if (view->event_first + events > core->event_next)
        core->event_next = view->event_first + events;
    if (events > 0 && !core->is_reading_old)
        streams_mark(core, view->event_first, place);
    core->replay_domain = view->twin == 0 ? 0 : view->domain;
    core->replay_owner = view->twin == 0 ? 0 : (uint32_t)(view->twin >> 52) + 1;
    if (view->twin == 0)
        return replay_host(core, view);
    uint32_t index = twin_find_number(core, view->twin);
    if (view->kind == RECORD_GONE && (err = replay_gone(core, view)) != DRO_OK)
        return err;
    if (index == NONE && view->kind != RECORD_FULL)
        return view->kind == RECORD_DELTA ? replay_unknown(core, view) : DRO_OK;
    if (view->kind == RECORD_CHUNK)
        return replay_chunk(core, index, place, view);
    if (view->kind == RECORD_GONE) {
        twin_free(core, index);
        return DRO_OK;
    }
    if (index == NONE) {
        err = twin_new(core, &index);
        if (err != DRO_OK)
            return err;
        twin_at(core, index)->number = view->twin;
    } else if (view->kind == RECORD_FULL) {
        apply_reset(core, index);
    }
    twin *twin = twin_at(core, index);
    dro_cursor in = dro_cursor_over(view->fields, view->fields_length);
    dro_field field;
    while (err == DRO_OK && dro_field_next(&in, &field)) {
        err = apply_field(core, index, &field);
        if (err == DRO_OK && field.tag == FIELD_STATE)
            err = replay_context(core, index, place, view, &field);
        else if (err == DRO_OK)
            replay_beside(core, &field);
    }
    if (twin->row == NONE) { /* a full record that does not say who it is */
        twin_free(core, index);
        return DRO_CORRUPT;
    }
    twin->last = place;
    if (view->kind == RECORD_FULL) {
        twin->base_key = twin_base_key(view->key_tag);
        base_move(core, twin, log_place_segment(place));
    }
    return err == DRO_OK ? in.err : err;
}

/* A domain that was deleted, or a key that another has taken the place of. Its events are counted all the same. */
static dro_err replay_shredded(core *core, const record_view *view)
{
    if (view->domain >= core->domain_count)
        return DRO_CORRUPT;
    if (view->event_first > core->event_next)
        core->event_next = view->event_first;
    core->shredded++;
    return DRO_OK;
}

/* Of an old log: another core's twin. Told by the header alone; its events are counted all the same. */
static bool is_foreign(core *core, const uint8_t *bytes, size_t length)
{
    uint64_t number, event_first;
    if (!core->is_reading_old || length < HEADER)
        return false;
    memcpy(&number, bytes + 16, 8);
    memcpy(&event_first, bytes + 32, 8);
    if (number == 0 || core_owns(core, (uint32_t)(number >> 52)))
        return false;
    if (event_first > core->event_next)
        core->event_next = event_first;
    return true;
}

dro_err record_replay_any(void *context, uint32_t group, log_place place, const uint8_t *bytes, size_t length)
{
    core *core = context;
    (void)group;
    record_view view;
    core->old_place = core->is_reading_old ? place : 0;
    if (core->is_reading_old)
        place = 0; /* nothing but its chunks is read from there later */
    if (is_foreign(core, bytes, length))
        return DRO_OK;
    bool is_opened = core->reading_vault != NULL && !core->is_reading_old;
    dro_err err = is_opened ? record_opened((uint8_t *)(uintptr_t)bytes, length, &view)
                            : record_open(core, bytes, length, core->record->field_bytes, &view);
    if (err == DRO_OK)
        err = replay(core, place, &view);
    else if (err == DRO_NOT_FOUND) /* its key was destroyed: nothing that lives is in it */
        err = replay_shredded(core, &view);
    record_close(&view);
    return err;
}

static void full_waiting(core *core, const twin *twin)
{
    const twin_extra *extra = twin->extra;
    for (const mail *m = extra->mail; m != NULL; m = m->next)
        if (!m->is_in_chunk)
            mail_put(core, m);
    rds_full(core, twin);
    schedule_full(core, twin);
    rds_ports_full(core, twin);
    for (const ticket *t = extra->tickets; t != NULL; t = t->next)
        ticket_put(core, core->record->twin, t);
    for (int i = 0; i < extra->timer_count; i++) {
        dro_builder *part = record_part(core);
        dro_builder_le(part, extra->timers[i].number, 4);
        dro_builder_le(part, (uint64_t)extra->timers[i].due_ms, 8);
        record_part_end(core, FIELD_TIMER);
    }
}

static void full_lists(core *core, const twin *twin)
{
    const twin_extra *extra = twin->extra;
    if (extra != NULL && extra->alias_count > 0) {
        dro_builder *part = record_part(core);
        for (int i = 0; i < extra->alias_count; i++)
            dro_builder_bytes(part, extra->aliases[i], strlen(extra->aliases[i]) + 1);
        record_part_end(core, FIELD_ALIASES);
    }
    if (extra != NULL)
        queue_full(core, core->record->twin);
    penalty_write(core, twin);
    nidd_full(core, twin, true);
    if (extra != NULL)
        full_waiting(core, twin);
    nidd_full(core, twin, false);
}

static void full_numbers(core *core, const twin *twin)
{
    char digits[16];
    if (twin->flags & TWIN_HAS_IMSI && vault_identity_open(core->vault, twin->number, twin->imsi, digits) == DRO_OK)
        record_put(core, FIELD_IMSI, digits, strlen(digits));
    if (twin->flags & TWIN_HAS_MSISDN && vault_identity_open(core->vault, twin->number, twin->msisdn, digits) == DRO_OK)
        record_put(core, FIELD_MSISDN, digits, strlen(digits));
    dro_wipe(digits, sizeof digits);
    if (twin->flags & TWIN_CONNECTED) {
        dro_builder *part = record_part(core);
        dro_builder_le(part, twin->connection.host, 2);
        dro_builder_le(part, twin->connection.realm, 2);
        dro_builder_bytes(part, twin->connection.bearer, twin->connection.bearer_length);
        record_part_end(core, FIELD_CONNECTION);
        rates_full(core, twin);
        serving_full(core, twin);
    }
}

static void full_row(core *core, const twin *twin)
{
    size_t length;
    const uint8_t *tags = columns_tags_get(core->columns, twin->table, twin->row, &length);
    if (length > 0)
        record_put(core, FIELD_TAGS, tags, length);
    const model *model = twin_model(core, twin);
    for (uint32_t i = 0; i < model->property_count; i++) {
        if (model->properties[i].is_private)
            continue;
        cell_value cell;
        columns_value_get(core->columns, twin->table, twin->row, i, &cell);
        if (cell.value.kind == VALUE_NONE)
            continue;
        dro_builder *part = record_part(core);
        dro_builder_le(part, i, 2);
        dro_builder_le(part, (uint64_t)cell.quality | 0x80, 1); /* no change: not an event of the stream */
        dro_builder_le(part, (uint64_t)cell.source, 1);
        dro_builder_le(part, (uint64_t)cell.time_ms, 8);
        value_write(part, &cell.value);
        record_part_end(core, FIELD_PROPERTY);
    }
}

/* Under the newest key, before the record says that all of the twin is. */
static void context_renew(core *core, uint32_t index)
{
    twin *twin = twin_at(core, index);
    if (twin->context_length == 0 || !rotation_context_is_old(core, twin, twin->context->sealed))
        return;
    uint8_t *again = core->log_scratch;
    if (rotation_reseal(core, twin, twin->context->sealed, again) != DRO_OK)
        abort(); /* it was never out of memory, and memory lies: begin anew from the log */
    memcpy(twin->context->sealed, again, twin->context_length);
}

void record_full(core *core, uint32_t index)
{
    assert(!twin_at(core, index)->is_cold);
    context_renew(core, index);
    record_full_cold(core, index, NULL);
}

void record_full_cold(core *core, uint32_t index, const uint8_t *sealed)
{
    const twin *twin = twin_at(core, index);
    size_t length;
    const char *id = twin_id(core, twin, &length);
    assert(queue_is_placed(twin));
    record_begin(core, index, RECORD_FULL);
    core->record->is_silent = true;
    core->record->cold_context = sealed;
    dro_builder *part = record_part(core);
    dro_builder_le(part, twin->domain, 4);
    dro_builder_le(part, twin->image, 4);
    dro_builder_bytes(part, id, length);
    record_part_end(core, FIELD_IDENTITY);
    record_put(core, FIELD_REVISION, &twin->revision, 8);
    part = record_part(core);
    dro_builder_le(part, (uint64_t)twin->last_contact_ms, 8);
    dro_builder_le(part, (uint64_t)twin->next_contact_ms, 8);
    dro_builder_le(part, twin->why, 1);
    dro_builder_le(part, twin->contact_count, 1);
    dro_builder_le(part, twin->learned_s, 4);
    dro_builder_le(part, (uint64_t)twin->retry_ms, 8);
    record_part_end(core, FIELD_CONTACT);
    full_row(core, twin);
    full_numbers(core, twin);
    groups_full(core, twin);
    full_lists(core, twin);
    record_end(core);
}

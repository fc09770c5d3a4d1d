#include "core/chunks.h"

#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "base/log.h"
#include "core/checkpoint.h"
#include "core/groups.h"
#include "core/mailbox.h"
#include "core/nidd.h"
#include "core/number.h"
#include "core/rds.h"
#include "core/state.h"
#include "core/twin_table.h"

/* What a chunk does to the list of its twin. */
enum chunk_kind {
    CHUNK_ADDED = 1,             /* it has what was in memory only */
    CHUNK_WHOLE = 2,             /* it has all of the queue: those before it are of no use */
    CHUNK_JOINED = 3,            /* it has what others had, and takes their place */
};

typedef struct chunk_head {      /* FIELD_CHUNK */
    uint32_t id;
    uint8_t kind;
    uint16_t mail, deliveries;
    uint32_t bytes;              /* in memory */
    int64_t due_ms;
    uint64_t mail_last, delivery_last;
    uint32_t joined_first, joined_count; /* ids; they are neighbours in the list */
} chunk_head;

static twin_queue *queue_at(const core *core, uint32_t index)
{
    return &twin_at(core, index)->extra->queue;
}

/* ---- the list ---- */

static void count(core *core, const queue_chunk *chunk, int64_t by)
{
    if (chunk->place == 0)
        return;
    core->queues.chunks += (uint64_t)by;
    core->queues.chunk_bytes += (uint64_t)(by * chunk->bytes);
    if (chunk->old_log == 0)
        base_chunk(core, log_place_segment(chunk->place), (int)by);
}

static void remove_at(core *core, twin_queue *queue, uint32_t at, uint32_t many)
{
    if (many == 0) /* of no list, perhaps */
        return;
    for (uint32_t i = at; i < at + many; i++)
        count(core, &queue->chunks[i], -1);
    memmove(queue->chunks + at, queue->chunks + at + many, (queue->chunk_count - at - many) * sizeof *queue->chunks);
    queue->chunk_count = (uint8_t)(queue->chunk_count - many);
}

static dro_err put_at(core *core, twin_queue *queue, uint32_t at, const queue_chunk *chunk)
{
    if (queue->chunk_count == UINT8_MAX)
        return DRO_MALFORMED;
    queue_chunk *chunks = realloc(queue->chunks, (queue->chunk_count + 1u) * sizeof *chunks);
    if (chunks == NULL)
        return DRO_NOMEM;
    queue->chunks = chunks;
    memmove(chunks + at + 1, chunks + at, (queue->chunk_count - at) * sizeof *chunks);
    chunks[at] = *chunk;
    queue->chunk_count++;
    if (chunk->id >= queue->chunk_next)
        queue->chunk_next = chunk->id + 1;
    count(core, chunk, 1);
    return DRO_OK;
}

static void set_kept(const twin *twin, bool is_kept)
{
    for (mail *m = twin->extra->mail; m != NULL; m = m->next)
        m->is_in_chunk &= is_kept;
    for (nidd_delivery *d = twin->nidd != NULL ? twin->nidd->deliveries : NULL; d != NULL; d = d->next)
        d->is_in_chunk &= is_kept;
}

void chunks_forget(core *core, uint32_t index)
{
    twin_queue *queue = queue_at(core, index);
    if (queue->kept > 0)
        set_kept(twin_at(core, index), false);
    remove_at(core, queue, 0, queue->chunk_count);
    core->queues.away -= queue->away_mail;
    core->mail_count -= queue->away_mail;
    free(queue->chunks);
    free(queue->gone);
    queue->chunks = NULL;
    queue->gone = NULL;
    queue->away_mail = queue->away_deliveries = queue->gone_count = queue->kept = 0;
    queue->away_bytes = 0;
    queue->mail_last = queue->delivery_last = 0;
    queue->due_ms = INT64_MAX;
    queue->is_away = queue->is_stale = false;
}

uint32_t chunks_small(const twin_queue *queue)
{
    uint32_t at = queue->chunk_count, bytes = 0;
    while (at > 0 && (at + 2 > queue->chunk_count || queue->chunks[at - 1].bytes <= bytes))
        bytes += queue->chunks[--at].bytes;
    return at;
}

bool chunks_before(const twin_queue *queue, log_place place, uint32_t *first, uint32_t *end)
{
    *end = 0;
    for (uint32_t i = 0; i < queue->chunk_count; i++) {
        const queue_chunk *chunk = &queue->chunks[i];
        if (chunk->old_log == 0 && chunk->place >= place)
            continue;
        *first = *end == 0 ? i : *first;
        *end = i + 1;
    }
    return *end > 0;
}

/* ---- its record ---- */

static void head_put(core *core, const chunk_head *head, const queue_chunk *joined)
{
    dro_builder *part = record_part(core);
    dro_builder_le(part, head->id, 4);
    dro_builder_le(part, head->kind, 1);
    dro_builder_le(part, head->mail, 2);
    dro_builder_le(part, head->deliveries, 2);
    dro_builder_le(part, head->bytes, 4);
    dro_builder_le(part, (uint64_t)head->due_ms, 8);
    dro_builder_le(part, head->mail_last, 8);
    dro_builder_le(part, head->delivery_last, 8);
    for (uint32_t i = 0; joined != NULL && i < head->joined_count; i++)
        dro_builder_le(part, joined[i].id, 4);
    record_part_end(core, FIELD_CHUNK);
}

/* `in` is then behind the head. */
static dro_err head_read(dro_cursor *in, chunk_head *head)
{
    dro_field field;
    if (!dro_field_next(in, &field) || field.tag != FIELD_CHUNK)
        return DRO_MALFORMED;
    dro_cursor at = dro_cursor_over(field.bytes, field.length);
    *head = (chunk_head){ .id = (uint32_t)dro_cursor_le(&at, 4) };
    head->kind = (uint8_t)dro_cursor_le(&at, 1);
    head->mail = (uint16_t)dro_cursor_le(&at, 2);
    head->deliveries = (uint16_t)dro_cursor_le(&at, 2);
    head->bytes = (uint32_t)dro_cursor_le(&at, 4);
    head->due_ms = (int64_t)dro_cursor_le(&at, 8);
    head->mail_last = dro_cursor_le(&at, 8);
    head->delivery_last = dro_cursor_le(&at, 8);
    head->joined_count = (uint32_t)dro_cursor_left(&at) / 4;
    head->joined_first = (uint32_t)dro_cursor_le(&at, head->joined_count > 0 ? 4 : 0);
    bool is_right = head->kind >= CHUNK_ADDED && head->kind <= CHUNK_JOINED && (head->kind == CHUNK_JOINED) == (head->joined_count > 0);
    return at.err == DRO_OK && is_right ? DRO_OK : DRO_MALFORMED;
}

dro_err chunk_open(const twin *twin, const queue_chunk *chunk, const record_view *view, dro_cursor *fields)
{
    chunk_head head;
    *fields = dro_cursor_over(view->fields, view->fields_length);
    if (view->twin != twin->number || view->kind != RECORD_CHUNK || head_read(fields, &head) != DRO_OK || head.id != chunk->id)
        return DRO_CORRUPT;
    return DRO_OK;
}

/* ---- what it does: the same when it was just written and at recovery ---- */

static dro_err join(core *core, twin_queue *queue, const chunk_head *head, const queue_chunk *made)
{
    uint32_t at = 0;
    while (at < queue->chunk_count && queue->chunks[at].id != head->joined_first)
        at++;
    if (at + head->joined_count > queue->chunk_count)
        return DRO_CORRUPT;
    remove_at(core, queue, at, head->joined_count);
    return put_at(core, queue, at, made);
}

static void take_out(core *core, uint32_t index, dro_cursor *in)
{
    dro_field field;
    uint64_t number;
    while (dro_field_next(in, &field)) {
        if (field.length < sizeof number)
            continue;
        memcpy(&number, field.bytes, sizeof number);
        if (field.tag == FIELD_NIDD_DELIVERY)
            nidd_delivery_take(core, index, number);
        else if (field.tag == FIELD_MAIL || field.tag == FIELD_MAIL_RAW)
            mail_take(core, index, number);
    }
}

static dro_err apply(core *core, uint32_t index, const uint8_t *fields, size_t length, queue_chunk made)
{
    chunk_head head = { 0 };
    dro_cursor in = dro_cursor_over(fields, length);
    dro_err err = head_read(&in, &head);
    twin_queue *queue = queue_at(core, index);
    made.id = head.id;
    if (!queue->is_away)
        queue->due_ms = INT64_MAX;
    if (err != DRO_OK || head.kind == CHUNK_JOINED)
        return err == DRO_OK ? join(core, queue, &head, &made) : err;
    if (head.kind == CHUNK_WHOLE)
        chunks_forget(core, index);
    take_out(core, index, &in);
    queue->away_mail = (uint16_t)(queue->away_mail + head.mail);
    queue->away_deliveries = (uint16_t)(queue->away_deliveries + head.deliveries);
    queue->away_bytes += head.bytes;
    queue->due_ms = head.due_ms < queue->due_ms ? head.due_ms : queue->due_ms;
    queue->mail_last = head.mail_last > queue->mail_last ? head.mail_last : queue->mail_last;
    queue->delivery_last = head.delivery_last > queue->delivery_last ? head.delivery_last : queue->delivery_last;
    queue->is_away = true;
    core->mail_count += head.mail;
    core->queues.away += head.mail;
    err = put_at(core, queue, queue->chunk_count, &made);
    return err == DRO_OK ? in.err : err;
}

dro_err queue_replay_chunk(core *core, uint32_t index, log_place place, const record_view *view, size_t length)
{
    queue_chunk made = { .place = place, .bytes = length & 0xffffff, .old_log = core->old_log & 0xff };
    if (twin_extra_get(twin_at(core, index)) == NULL)
        return DRO_NOMEM;
    return apply(core, index, view->fields, view->fields_length, made);
}

void queue_placed(core *core, uint32_t index, uint16_t id, log_place place)
{
    twin_queue *queue = twin_at(core, index)->extra == NULL ? NULL : queue_at(core, index);
    if (queue == NULL)
        return;
    queue->unplaced--;
    for (uint32_t i = 0; i < queue->chunk_count; i++) {
        queue_chunk *chunk = &queue->chunks[i];
        if (chunk->place != 0 || (uint16_t)chunk->id != id)
            continue;
        chunk->place = place;
        count(core, chunk, 1);
        return;
    }
}

uint16_t queue_chunk_newest(const twin *twin)
{
    return (uint16_t)(twin->extra->queue.chunk_next - 1);
}

/* Ends the record being written, a chunk. */
static void end(core *core, uint32_t index, uint64_t *bytes)
{
    size_t length;
    const uint8_t *fields = record_fields(core, &length);
    queue_chunk made = { .bytes = (uint32_t)record_size(core) & 0xffffff };
    *bytes += made.bytes;
    dro_err err = apply(core, index, fields, length, made);
    if (err != DRO_OK)
        abort(); /* what it has is freed or about to be: begin anew from the log */
    queue_at(core, index)->unplaced++;
    record_end(core);
}

/* ---- leaving ---- */

/* Others in memory look for these, or their end is told by time. */
static bool is_needed(const twin *twin, const mail *m)
{
    return m->merge_key != 0 || m->is_control || m->is_of_group || m->is_sent || group_number_is(m->ticket) || ticket_find(twin, m->ticket) != NULL;
}

static bool is_awaited(const nidd_delivery *d)
{
    return d->is_awaited && !nidd_delivery_has_ended((nidd_delivery_status)d->status);
}

static const nidd_delivery *deliveries_of(const twin *twin)
{
    return twin->nidd != NULL ? twin->nidd->deliveries : NULL;
}

bool chunks_may_take(const core *core, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    bool is_some = false, is_stuck = false;
    if (twin->row == NONE || twin->base_segment == 0 || rds_due(twin) != INT64_MAX || twin->flags & (TWIN_RUNNING | TWIN_SENDING | TWIN_CREATING | TWIN_GONE))
        return false;
    for (const mail *m = twin->extra->mail; m != NULL; m = m->next) {
        is_some |= !is_needed(twin, m);
        is_stuck |= m->is_in_chunk && is_needed(twin, m);
    }
    for (const nidd_delivery *d = deliveries_of(twin); d != NULL; d = d->next) {
        is_some |= !is_awaited(d);
        is_stuck |= d->is_in_chunk && is_awaited(d);
    }
    return is_some && !is_stuck;
}

/* To be written: all that may leave, but for what an added chunk's elders have. */
static bool is_mail_of(const twin *twin, const mail *m, enum chunk_kind kind)
{
    return !is_needed(twin, m) && (kind == CHUNK_WHOLE || !m->is_in_chunk);
}

static bool is_delivery_of(const nidd_delivery *d, enum chunk_kind kind)
{
    return !is_awaited(d) && (kind == CHUNK_WHOLE || !d->is_in_chunk);
}

static chunk_head head_of(const twin *twin, enum chunk_kind kind)
{
    chunk_head head = { .id = twin->extra->queue.chunk_next, .kind = (uint8_t)kind, .due_ms = INT64_MAX };
    for (const mail *m = twin->extra->mail; m != NULL; m = m->next) {
        if (!is_mail_of(twin, m, kind))
            continue;
        head.mail++;
        head.bytes += (uint32_t)mail_memory(m);
        head.due_ms = m->expires_ms < head.due_ms ? m->expires_ms : head.due_ms;
        head.mail_last = m->number > head.mail_last ? m->number : head.mail_last;
    }
    for (const nidd_delivery *d = deliveries_of(twin); d != NULL; d = d->next) {
        if (!is_delivery_of(d, kind))
            continue;
        head.deliveries++;
        head.bytes += (uint32_t)nidd_delivery_memory(d);
        head.delivery_last = d->number > head.delivery_last ? d->number : head.delivery_last;
    }
    return head;
}

/* What is in memory as it is in the chunks goes: it is there already. */
static void drop_kept(core *core, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    twin_queue *queue = queue_at(core, index);
    if (!queue->is_away)
        queue->due_ms = INT64_MAX;
    for (mail *m = twin->extra->mail; m != NULL;) {
        mail *next = m->next;
        if (m->is_in_chunk) {
            queue->away_mail++;
            queue->away_bytes += (uint32_t)mail_memory(m);
            queue->due_ms = m->expires_ms < queue->due_ms ? m->expires_ms : queue->due_ms;
            core->mail_count++;
            core->queues.away++;
            m->is_in_chunk = false;
            mail_take(core, index, m->number);
        }
        m = next;
    }
    for (nidd_delivery *d = twin->nidd != NULL ? twin->nidd->deliveries : NULL; d != NULL;) {
        nidd_delivery *next = d->next;
        if (d->is_in_chunk) {
            queue->away_deliveries++;
            queue->away_bytes += (uint32_t)nidd_delivery_memory(d);
            d->is_in_chunk = false;
            nidd_delivery_take(core, index, d->number);
        }
        d = next;
    }
    queue->kept = 0;
    queue->is_away = true;
}

void chunks_write(core *core, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    const twin_queue *queue = queue_at(core, index);
    enum chunk_kind kind = queue->chunk_count > 0 && !queue->is_away && queue->is_stale ? CHUNK_WHOLE : CHUNK_ADDED;
    chunk_head head = head_of(twin, kind);
    if (head.mail > 0 || head.deliveries > 0) {
        record_begin(core, index, RECORD_CHUNK);
        head_put(core, &head, NULL);
        for (const nidd_delivery *d = deliveries_of(twin); d != NULL; d = d->next)
            if (is_delivery_of(d, kind))
                nidd_delivery_put(core, d, d->fields, d->length);
        for (const mail *m = twin->extra->mail; m != NULL; m = m->next)
            if (is_mail_of(twin, m, kind))
                mail_put(core, m);
        end(core, index, &core->queues.written);
    }
    if (queue->kept > 0)
        drop_kept(core, index);
}

void chunks_join(core *core, uint32_t index, uint32_t last)
{
    const twin_queue *queue = queue_at(core, index);
    chunk_head head = { .id = queue->chunk_next, .kind = CHUNK_JOINED, .due_ms = INT64_MAX, .joined_count = last - queue->read_first };
    record_begin(core, index, RECORD_CHUNK);
    head_put(core, &head, queue->chunks + queue->read_first);
    record_put_fields(core, queue->read, queue->read_bytes);
    end(core, index, &core->queues.moved);
}

/* ---- the full record ---- */

bool queue_is_placed(const twin *twin)
{
    const twin_queue *queue = twin->extra == NULL ? NULL : &twin->extra->queue;
    bool is_here = queue == NULL || (!queue->is_away && queue->is_stale); /* all of it goes into the record */
    for (uint32_t i = 0; !is_here && i < queue->chunk_count; i++)
        if (queue->chunks[i].place == 0 || queue->chunks[i].old_log != 0)
            return false;
    return true;
}

/* Those that are in memory too, and those that went, are counted: what went follows. */
static void totals_put(dro_builder *part, const twin *twin)
{
    const twin_queue *queue = &twin->extra->queue;
    uint32_t mail_total = queue->away_mail, deliveries = queue->away_deliveries, bytes = queue->away_bytes;
    int64_t due_ms = queue->due_ms;
    for (uint32_t i = 0; i < queue->gone_count; i++)
        *(queue->gone[i].is_delivery ? &deliveries : &mail_total) += 1;
    for (const mail *m = twin->extra->mail; m != NULL && queue->kept > 0; m = m->next) {
        mail_total += m->is_in_chunk;
        bytes += m->is_in_chunk ? (uint32_t)mail_memory(m) : 0;
        due_ms = m->is_in_chunk && m->expires_ms < due_ms ? m->expires_ms : due_ms;
    }
    for (const nidd_delivery *d = deliveries_of(twin); d != NULL && queue->kept > 0; d = d->next) {
        deliveries += d->is_in_chunk;
        bytes += d->is_in_chunk ? (uint32_t)nidd_delivery_memory(d) : 0;
    }
    dro_builder_le(part, mail_total, 2);
    dro_builder_le(part, deliveries, 2);
    dro_builder_le(part, bytes, 4);
    dro_builder_le(part, (uint64_t)due_ms, 8);
    dro_builder_le(part, queue->mail_last, 8);
    dro_builder_le(part, queue->delivery_last, 8);
    dro_builder_le(part, queue->chunk_next, 4);
}

void queue_full(core *core, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    const twin_queue *queue = &twin->extra->queue;
    if (queue->chunk_count > 0 && !queue->is_away && queue->is_stale)
        queue_drop(core, index); /* all of it is in memory, so in this record */
    if (queue->chunk_count == 0)
        return;
    dro_builder *part = record_part(core);
    totals_put(part, twin);
    for (uint32_t i = 0; i < queue->chunk_count; i++) {
        dro_builder_le(part, queue->chunks[i].place, 8);
        dro_builder_le(part, queue->chunks[i].id, 4);
        dro_builder_le(part, queue->chunks[i].bytes, 4);
    }
    record_part_end(core, FIELD_CHUNKS);
    for (uint32_t i = 0; i < queue->gone_count; i++)
        record_put(core, queue->gone[i].is_delivery ? FIELD_NIDD_DELIVERY_GONE : FIELD_MAIL_GONE, &queue->gone[i].number, 8);
}

dro_err queue_apply_chunks(core *core, uint32_t index, dro_cursor *in)
{
    if (twin_extra_get(twin_at(core, index)) == NULL)
        return DRO_NOMEM;
    twin_queue *queue = queue_at(core, index);
    queue->away_mail = (uint16_t)dro_cursor_le(in, 2);
    queue->away_deliveries = (uint16_t)dro_cursor_le(in, 2);
    queue->away_bytes = (uint32_t)dro_cursor_le(in, 4);
    queue->due_ms = (int64_t)dro_cursor_le(in, 8);
    queue->mail_last = dro_cursor_le(in, 8);
    queue->delivery_last = dro_cursor_le(in, 8);
    queue->chunk_next = (uint32_t)dro_cursor_le(in, 4);
    core->mail_count += queue->away_mail;
    core->queues.away += queue->away_mail;
    while (in->err == DRO_OK && dro_cursor_left(in) > 0) {
        queue_chunk chunk = { .place = dro_cursor_le(in, 8), .id = (uint32_t)dro_cursor_le(in, 4) };
        chunk.bytes = dro_cursor_le(in, 4) & 0xffffff;
        chunk.old_log = core->old_log & 0xff;
        dro_err err = in->err == DRO_OK && chunk.place != 0 ? put_at(core, queue, queue->chunk_count, &chunk) : DRO_MALFORMED;
        if (err != DRO_OK)
            return err;
    }
    if (queue->chunk_count == 0) /* away, and nowhere: nothing could be read */
        return DRO_MALFORMED;
    queue->is_away = true;
    return in->err;
}

bool queue_is_spent(const twin *twin)
{
    const twin_queue *queue = twin->extra == NULL ? NULL : &twin->extra->queue;
    return queue != NULL && queue->chunk_count > 0 && !queue->is_away && queue->kept == 0;
}

void queue_apply_spent(core *core, uint32_t index)
{
    if (twin_at(core, index)->extra != NULL)
        queue_drop(core, index);
}

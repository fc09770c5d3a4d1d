#include "core/queue.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/wipe.h"
#include "core/apply.h"
#include "core/chunks.h"
#include "core/cold.h"
#include "core/mailbox.h"
#include "core/nidd.h"
#include "core/number.h"
#include "core/old_logs.h"
#include "core/state.h"
#include "core/timers.h"
#include "core/turn.h"
#include "core/twin_table.h"

enum {
    STEPS_MAX = 4096,            /* queues looked at in a round */
    FULL_SLACK = 16 << 20,       /* bytes over twice the budget that are still taken */
    MOVES_MAX = 64,              /* queues read at a time to be written anew */
};

/* ---- lists ---- */

static twin_queue *queue_at(const core *core, uint32_t index)
{
    return &twin_at(core, index)->extra->queue;
}

static void list_remove(core *core, uint32_t index)
{
    twin_queue *queue = queue_at(core, index);
    struct queue_ends *ends = &core->queues.lists[queue->list];
    if (queue->list == QUEUE_NOWHERE)
        return;
    if (queue->before != NONE)
        queue_at(core, queue->before)->after = queue->after;
    else
        ends->first = queue->after;
    if (queue->after != NONE)
        queue_at(core, queue->after)->before = queue->before;
    else
        ends->last = queue->before;
    ends->count--;
    queue->list = QUEUE_NOWHERE;
}

static void list_put(core *core, uint32_t index, uint8_t list)
{
    twin_queue *queue = queue_at(core, index);
    struct queue_ends *ends = &core->queues.lists[list];
    list_remove(core, index);
    queue->list = list;
    queue->before = ends->last;
    queue->after = NONE;
    if (ends->last != NONE)
        queue_at(core, ends->last)->after = index;
    else
        ends->first = index;
    ends->last = index;
    ends->count++;
}

static bool is_read(const twin_queue *queue)
{
    return queue->list == QUEUE_WAITING || queue->list == QUEUE_READING;
}

void queues_init(core *core)
{
    for (int i = 0; i < QUEUE_LISTS; i++)
        core->queues.lists[i] = (struct queue_ends){ NONE, NONE, 0 };
    core->queues.budget = core->options.no_log ? 0 : core->options.downlink.memory;
}

/* ---- what others ask ---- */

bool queue_is_away(const twin *twin)
{
    return twin->extra != NULL && twin->extra->queue.is_away;
}

bool queue_is_loading(const twin *twin)
{
    return twin->extra != NULL && twin->extra->queue.is_wanted;
}

uint32_t queue_mail_count(const twin *twin)
{
    return twin->extra == NULL ? 0 : (uint32_t)twin->extra->mail_count + twin->extra->queue.away_mail;
}

uint32_t queue_delivery_count(const twin *twin)
{
    uint32_t here = twin->nidd == NULL ? 0 : twin->nidd->delivery_count;
    return twin->extra == NULL ? 0 : here + twin->extra->queue.away_deliveries;
}

uint32_t queue_bytes(const twin *twin)
{
    return twin->extra == NULL ? 0 : twin->extra->queue.bytes + twin->extra->queue.away_bytes;
}

uint32_t queue_wanted_count(const twin *twin)
{
    return twin->extra == NULL ? 0 : queue_mail_count(twin) - twin->extra->control_count;
}

uint32_t queue_wanted_bytes(const twin *twin)
{
    uint32_t bytes = queue_bytes(twin);
    for (const mail *m = twin->extra != NULL && twin->extra->control_count > 0 ? twin->extra->mail : NULL; m != NULL; m = m->next)
        bytes -= m->is_control ? (uint32_t)mail_memory(m) : 0;
    return bytes;
}

bool queues_are_full(const core *core)
{
    return core->queues.budget > 0 && core->queues.bytes > 2 * core->queues.budget + FULL_SLACK;
}

void queue_changed(core *core, uint32_t index, int64_t bytes)
{
    twin_queue *queue = queue_at(core, index);
    queue->bytes = (uint32_t)(queue->bytes + bytes);
    core->queues.bytes = (uint64_t)((int64_t)core->queues.bytes + bytes);
    if (is_read(queue))
        return;
    list_remove(core, index);
    if (queue->bytes > 0)
        list_put(core, index, QUEUE_HERE);
}

void queue_outdated(core *core, uint32_t index)
{
    queue_at(core, index)->kept--;
    queue_at(core, index)->is_stale = true;
}

/* ---- reading ---- */

/* Nothing is read any more. */
static void read_end(core *core, uint32_t index)
{
    twin_queue *queue = queue_at(core, index);
    core->queues.moves -= queue->is_moving;
    queue->is_moving = false;
    if (queue->read != NULL)
        dro_wipe(queue->read, queue->read_bytes);
    free(queue->read);
    queue->read = NULL;
    queue->read_bytes = 0;
    list_remove(core, index);
    if (queue->bytes > 0)
        list_put(core, index, QUEUE_HERE);
}

static void read_begin(core *core, uint32_t index, uint32_t first, uint32_t end, bool is_moving)
{
    twin_queue *queue = queue_at(core, index);
    queue->read_first = (uint8_t)first;
    queue->read_end = queue->read_last = (uint8_t)end;
    queue->is_moving = is_moving;
    core->queues.moves += is_moving;
    list_put(core, index, QUEUE_WAITING);
}

void queue_drop(core *core, uint32_t index)
{
    if (is_read(queue_at(core, index)))
        read_end(core, index);
    queue_at(core, index)->is_wanted = false;
    chunks_forget(core, index);
}

void queue_free(core *core, uint32_t index)
{
    twin_queue *queue = queue_at(core, index);
    queue_drop(core, index);
    list_remove(core, index);
    *queue = (twin_queue){ .bytes = queue->bytes, .due_ms = INT64_MAX, .unplaced = queue->unplaced, .chunk_next = queue->chunk_next };
    if (queue->bytes > 0)
        list_put(core, index, QUEUE_HERE);
}

bool queue_is_paused(const core *core, const twin *twin)
{
    const twin_queue *queue = twin->extra == NULL ? NULL : &twin->extra->queue;
    if (queue == NULL || core->now_ms >= core->unreadable_until_ms)
        return false;
    for (uint32_t i = 0; i < queue->chunk_count; i++)
        if (log_place_segment(queue->chunks[i].place) == core->unreadable_segment)
            return true;
    return false;
}

/* The twin's timer comes back to it once the pause is over. */
static void load_later(core *core, uint32_t index)
{
    queue_at(core, index)->due_ms = core->unreadable_until_ms;
    if (timers_update(core, index) != DRO_OK)
        dro_error("timers: out of memory");
}

bool queue_load(core *core, uint32_t index)
{
    twin_queue *queue = queue_at(core, index);
    if (queue_is_paused(core, twin_at(core, index))) {
        load_later(core, index);
        return false;
    }
    queue->is_wanted = true;
    if (!is_read(queue))
        read_begin(core, index, 0, queue->chunk_count, false);
    return true;
}

dro_err queue_move(core *core, uint32_t index, log_place before)
{
    uint32_t first, end;
    const twin_queue *queue = twin_at(core, index)->extra == NULL ? NULL : queue_at(core, index);
    if (queue == NULL || !chunks_before(queue, before, &first, &end) || is_read(queue) || queue->unplaced > 0)
        return DRO_NOT_FOUND;
    if (core->queues.moves >= MOVES_MAX)
        return DRO_AGAIN;
    read_begin(core, index, first, end, true);
    return DRO_OK;
}

/* ---- what was read ---- */

void queue_forget(core *core, uint32_t index, uint64_t number, bool is_delivery)
{
    const twin *twin = twin_at(core, index);
    twin_queue *queue = queue_is_away(twin) ? queue_at(core, index) : NULL;
    if (queue == NULL || core->is_started || number > (is_delivery ? queue->delivery_last : queue->mail_last))
        return;
    queue_gone *gone = realloc(queue->gone, (queue->gone_count + 1u) * sizeof *gone);
    if (gone == NULL)
        abort(); /* a few words: begin anew from the log */
    queue->gone = gone;
    gone[queue->gone_count++] = (queue_gone){ number, is_delivery };
    uint16_t *left = is_delivery ? &queue->away_deliveries : &queue->away_mail;
    if (*left > 0) {
        --*left;
        core->queues.away -= !is_delivery;
        core->mail_count -= !is_delivery;
    }
}

static bool is_gone(const twin_queue *queue, uint64_t number, bool is_delivery)
{
    for (uint32_t i = 0; i < queue->gone_count; i++)
        if (queue->gone[i].number == number && queue->gone[i].is_delivery == is_delivery)
            return true;
    return false;
}

/* A downlink or delivery of a chunk, unless something newer is known of it. */
static void take_field(core *core, uint32_t index, const dro_field *field)
{
    const twin *twin = twin_at(core, index);
    bool is_delivery = field->tag == FIELD_NIDD_DELIVERY;
    uint64_t number;
    if ((!is_delivery && field->tag != FIELD_MAIL && field->tag != FIELD_MAIL_RAW) || field->length < sizeof number)
        return;
    memcpy(&number, field->bytes, sizeof number);
    bool is_known = is_delivery ? nidd_delivery_find(twin, number) != NULL : mail_find(twin, number) != NULL;
    if (is_known || is_gone(queue_at(core, index), number, is_delivery)) {
        queue_at(core, index)->is_stale = true;
        return;
    }
    dro_err err = apply_field(core, index, field);
    nidd_delivery *delivery = is_delivery ? nidd_delivery_find(twin, number) : NULL;
    mail *mail = is_delivery ? NULL : mail_find(twin, number);
    if (delivery != NULL)
        delivery->is_in_chunk = true;
    if (mail != NULL)
        mail->is_in_chunk = true;
    queue_at(core, index)->kept++;
    if (err != DRO_OK)
        dro_error("queue field=%u \"%s\"", field->tag, dro_err_text(err));
}

/* All of it is there: into memory, the deliveries first, by which mail is ordered. */
static void take(core *core, uint32_t index)
{
    twin_queue *queue = queue_at(core, index);
    core->mail_count -= queue->away_mail; /* counted anew below */
    core->queues.away -= queue->away_mail;
    queue->away_mail = queue->away_deliveries = 0;
    queue->away_bytes = 0;
    queue->due_ms = INT64_MAX;
    queue->is_away = false;
    queue->is_stale = queue->gone_count > 0;
    for (uint32_t i = 0; i < queue->chunk_count; i++)
        queue->is_stale |= queue->chunks[i].old_log != 0;
    for (int pass = 0; pass < 2; pass++) {
        dro_cursor in = dro_cursor_over(queue->read, queue->read_bytes);
        dro_field field;
        while (dro_field_next(&in, &field))
            if ((field.tag == FIELD_NIDD_DELIVERY) == (pass == 0))
                take_field(core, index, &field);
    }
    free(queue->gone);
    queue->gone = NULL;
    queue->gone_count = 0;
}

static void unread(core *core, uint32_t index, log_place place)
{
    char text[64];
    dro_error("downlinks lost twin=%016llx place=\"%s\" \"they cannot be read: put the file back from a backup\"",
              (unsigned long long)twin_at(core, index)->number, context_where(place, text));
    core->counters.contexts_unreadable++;
    core->unreadable_segment = log_place_segment(place);
    core->unreadable_until_ms = core->now_ms + REWRITE_PAUSE_S * 1000;
    queue_at(core, index)->due_ms = core->unreadable_until_ms;
}

static dro_err fields_add(core *core, uint32_t index, const queue_chunk *chunk, const record_view *view)
{
    twin_queue *queue = queue_at(core, index);
    dro_cursor in;
    dro_err err = chunk_open(twin_at(core, index), chunk, view, &in);
    uint8_t *read = err == DRO_OK ? realloc(queue->read, queue->read_bytes + dro_cursor_left(&in) + 1) : NULL;
    if (read == NULL)
        return err == DRO_OK ? DRO_NOMEM : err;
    queue->read = read;
    memcpy(read + queue->read_bytes, in.at, dro_cursor_left(&in));
    queue->read_bytes += (uint32_t)dro_cursor_left(&in);
    return DRO_OK;
}

static dro_err record_add(core *core, uint32_t index, const queue_chunk *chunk, const uint8_t *record, size_t length)
{
    record_view view = { 0 };
    dro_err err = record_open(core, record, length, core->log_scratch + LOG_RECORD_MAX, &view);
    if (err == DRO_OK)
        err = fields_add(core, index, chunk, &view);
    record_close(&view);
    return err;
}

/* All that was wanted was read. */
static void read_done(core *core, uint32_t index)
{
    twin_queue *queue = queue_at(core, index);
    bool is_all = queue->read_first == 0 && queue->read_last == queue->chunk_count;
    if (!queue->is_wanted) {
        chunks_join(core, index, queue->read_last);
        read_end(core, index);
        return;
    }
    if (!is_all) { /* it was to be moved when somebody came for it */
        read_end(core, index);
        read_begin(core, index, 0, queue->chunk_count, false);
        return;
    }
    core->queues.reads++;
    queue->is_wanted = false;
    if (queue->is_away)
        take(core, index);
    read_end(core, index);
    nidd_loaded(core, index);
    twin_resume(core, index);
}

static void read_failed(core *core, uint32_t index, log_place place)
{
    unread(core, index, place);
    queue_at(core, index)->is_wanted = false;
    read_end(core, index);
    twin_resume(core, index);
}

static const queue_chunk *chunk_next(const twin_queue *queue)
{
    return &queue->chunks[queue->read_end - 1];
}

/* One more of it was read. True: that was all. */
static bool read_on(twin_queue *queue)
{
    queue->read_end--;
    if (queue->is_moving && !queue->is_wanted && queue->read_bytes > CHUNKS_JOINED_BYTES)
        queue->read_first = queue->read_end; /* enough for one chunk */
    return queue->read_end == queue->read_first;
}

/* Of another number of cores: these are read where they are, one after the other. True: that was all, or the end of it. */
static bool read_old(core *core, uint32_t index)
{
    twin_queue *queue = queue_at(core, index);
    while (chunk_next(queue)->old_log != 0) {
        const queue_chunk *chunk = chunk_next(queue);
        size_t length;
        dro_err err = old_logs_read(core, chunk->old_log, chunk->place, core->log_scratch, &length);
        if (err == DRO_OK)
            err = record_add(core, index, chunk, core->log_scratch, length);
        if (err != DRO_OK) {
            read_failed(core, index, chunk->place);
            return true;
        }
        if (read_on(queue)) {
            read_done(core, index);
            return true;
        }
    }
    return false;
}

/* Another one in the same segment could not be read meanwhile: one told of is enough. */
static void read_later(core *core, uint32_t index)
{
    bool is_wanted = queue_at(core, index)->is_wanted;
    queue_at(core, index)->is_wanted = false;
    read_end(core, index);
    if (!is_wanted)
        return;
    load_later(core, index);
    twin_resume(core, index);
}

static bool is_durable(const core *core, log_place place)
{
    return place != 0 && place < commit_log_end(core->log);
}

/* DRO_AGAIN: not now. */
static dro_err read_next(core *core, uint32_t index)
{
    if (read_old(core, index))
        return DRO_OK;
    log_place place = chunk_next(queue_at(core, index))->place;
    dro_err err = is_durable(core, place) ? cold_fetch_queue(core, index, place) : DRO_AGAIN;
    if (err == DRO_OK)
        list_put(core, index, QUEUE_READING);
    return err == DRO_AGAIN ? DRO_AGAIN : DRO_OK;
}

void queue_fetched(core *core, uint32_t index, const log_fetched *fetched)
{
    const twin *twin = twin_at(core, index);
    twin_queue *queue = twin->extra == NULL ? NULL : &twin->extra->queue;
    if (queue == NULL || !is_read(queue) || chunk_next(queue)->old_log != 0 || chunk_next(queue)->place != fetched->place)
        return; /* it was dropped meanwhile */
    dro_err err = fetched->err;
    if (err == DRO_OK)
        err = record_add(core, index, chunk_next(queue), fetched->record, fetched->length);
    if (err != DRO_OK) {
        read_failed(core, index, fetched->place);
    } else if (read_on(queue)) {
        read_done(core, index);
    } else if (read_next(core, index) == DRO_AGAIN) {
        list_put(core, index, QUEUE_WAITING);
    }
}

bool queues_are_read(const core *core)
{
    return core->queues.lists[QUEUE_WAITING].first == NONE && core->queues.lists[QUEUE_READING].first == NONE;
}

/* ---- leaving ---- */

/* What is in memory leaves; before there are too many chunks, some are joined. */
static void leave(core *core, uint32_t index)
{
    const twin_queue *queue = queue_at(core, index);
    bool is_whole = !queue->is_away && queue->is_stale; /* one takes the place of all */
    if (queue->chunk_count < CHUNKS_MAX || is_whole) {
        chunks_write(core, index);
        return;
    }
    bool may_read = core->queues.moves < MOVES_MAX && queue->unplaced == 0 && !queue_is_paused(core, twin_at(core, index));
    if (may_read)
        read_begin(core, index, chunks_small(queue), queue->chunk_count, true);
}

/* Less than others have: it stays a while, as one large chunk is better than many small ones. */
static bool is_small(const core *core, uint32_t index)
{
    return !core->queues.is_pressed && (uint64_t)queue_at(core, index)->bytes * core->queues.lists[QUEUE_HERE].count < core->queues.bytes;
}

int queues_step(core *core)
{
    queue_table *queues = &core->queues;
    int done = 0;
    for (; queues->lists[QUEUE_WAITING].first != NONE && done < STEPS_MAX; done++) {
        uint32_t index = queues->lists[QUEUE_WAITING].first;
        if (queue_is_paused(core, twin_at(core, index)))
            read_later(core, index);
        else if (read_next(core, index) == DRO_AGAIN)
            break;
    }
    if (queues->budget == 0 || core_refusal(core) != NULL)
        return done;
    uint32_t last = queues->lists[QUEUE_HERE].last;
    int left = 0;
    for (int i = 0; i < STEPS_MAX && queues->bytes > queues->budget; i++) {
        uint32_t index = queues->lists[QUEUE_HERE].first;
        if (index == NONE)
            break;
        bool may = !is_small(core, index) && chunks_may_take(core, index);
        left += may;
        if (may)
            leave(core, index);
        if (queue_at(core, index)->list == QUEUE_HERE) /* what may not leave now */
            list_put(core, index, QUEUE_HERE);
        if (index == last) /* once round */
            break;
    }
    queues->is_pressed = left == 0 && queues->bytes > queues->budget;
    return done + left;
}

void queues_gate_lost(core *core, uint32_t gate)
{
    for (int list = QUEUE_WAITING; list <= QUEUE_READING; list++)
        for (uint32_t index = core->queues.lists[list].first; index != NONE; index = queue_at(core, index)->after)
            twin_deferred_gate_lost(core, index, gate);
}

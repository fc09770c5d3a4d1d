#include "core/queue.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/apply.h"
#include "core/checkpoint.h"
#include "core/cold.h"
#include "core/groups.h"
#include "core/mailbox.h"
#include "core/nidd.h"
#include "core/number.h"
#include "core/rds.h"
#include "core/state.h"
#include "core/turn.h"
#include "core/twin_table.h"

enum {
    STEPS_MAX = 512,             /* queues looked at in a round */
    FULL_SLACK = 16 << 20,       /* bytes over twice the budget that are still taken */
};

/* ---- lists ---- */

static twin_queue *queue_at(const core *core, uint32_t index)
{
    return &twin_at(core, index)->extra->queue;
}

/* Bytes that are about to go: in a full record that is not durable yet, or on top of what is read to be put into one. */
static uint64_t *bytes_of(core *core, uint8_t list)
{
    return list >= QUEUE_LEAVING ? &core->queues.leaving_bytes : NULL;
}

static void list_remove(core *core, uint32_t index)
{
    twin_queue *queue = queue_at(core, index);
    struct queue_ends *ends = &core->queues.lists[queue->list];
    if (queue->list == QUEUE_NOWHERE)
        return;
    if (bytes_of(core, queue->list) != NULL)
        *bytes_of(core, queue->list) -= queue->bytes;
    if (queue->before != NONE)
        queue_at(core, queue->before)->after = queue->after;
    else
        ends->first = queue->after;
    if (queue->after != NONE)
        queue_at(core, queue->after)->before = queue->before;
    else
        ends->last = queue->before;
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
    if (bytes_of(core, list) != NULL)
        *bytes_of(core, list) += queue->bytes;
}

void queues_init(core *core)
{
    for (int i = 0; i < QUEUE_LISTS; i++)
        core->queues.lists[i] = (struct queue_ends){ NONE, NONE };
    core->queues.budget = core->options.no_log ? 0 : core->options.downlink.memory;
}

/* ---- what others ask ---- */

bool queue_is_away(const twin *twin)
{
    return twin->extra != NULL && twin->extra->queue.is_away;
}

bool queue_is_loading(const twin *twin)
{
    return twin->extra != NULL && (twin->extra->queue.list == QUEUE_WAITING || twin->extra->queue.list == QUEUE_READING);
}

uint32_t queue_mail_count(const twin *twin)
{
    return twin->extra == NULL ? 0 : (uint32_t)twin->extra->mail_count + twin->extra->queue.away_mail;
}

uint32_t queue_delivery_count(const twin *twin)
{
    uint32_t here = twin->extra == NULL || twin->extra->nidd == NULL ? 0 : twin->extra->nidd->delivery_count;
    return twin->extra == NULL ? 0 : here + twin->extra->queue.away_deliveries;
}

uint32_t queue_bytes(const twin *twin)
{
    return twin->extra == NULL ? 0 : twin->extra->queue.bytes + twin->extra->queue.away_bytes;
}

bool queues_are_full(const core *core)
{
    return core->queues.budget > 0 && core->queues.bytes > 2 * core->queues.budget + FULL_SLACK;
}

void queue_changed(core *core, uint32_t index, int64_t bytes)
{
    twin_queue *queue = queue_at(core, index);
    bool is_loading = queue_is_loading(twin_at(core, index));
    if (!is_loading)
        list_remove(core, index);
    else
        core->queues.leaving_bytes = (uint64_t)((int64_t)core->queues.leaving_bytes + bytes);
    queue->bytes = (uint32_t)(queue->bytes + bytes);
    core->queues.bytes = (uint64_t)((int64_t)core->queues.bytes + bytes);
    queue->is_clean = false;
    if (!is_loading && queue->bytes > 0)
        list_put(core, index, QUEUE_HERE);
}

void queue_free(core *core, uint32_t index)
{
    twin_queue *queue = queue_at(core, index);
    list_remove(core, index);
    core->queues.rewrites -= queue->is_rewritten;
    core->queues.away -= queue->away_mail;
    core->mail_count -= queue->away_mail;
    free(queue->gone);
    uint32_t bytes = queue->bytes;
    *queue = (twin_queue){ .bytes = bytes, .due_ms = INT64_MAX, .unplaced = queue->unplaced };
    if (bytes > 0)
        list_put(core, index, QUEUE_HERE);
}

/* ---- leaving ---- */

/* What the newest full record has is enough to have it all back, and nobody needs it soon. */
static bool may_leave(const core *core, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    if (twin->row == NONE || twin->base_segment == 0 || twin->flags & (TWIN_RUNNING | TWIN_SENDING | TWIN_CREATING | TWIN_GONE))
        return false;
    for (const mail *m = twin->extra->mail; m != NULL; m = m->next)
        if (m->merge_key != 0 || m->is_control || m->is_of_group || group_number_is(m->ticket)) /* newer ones, or its operation, look for it */
            return false;
    if (nidd_has_awaited(twin) || (twin->extra->rds != NULL && twin->extra->rds->state.pending != 0)) /* its end is told by time */
        return false;
    for (const ticket *t = twin->extra->tickets; t != NULL; t = t->next)
        if (t->state < TICKET_DELIVERED) /* it looks for its mail */
            return false;
    return true;
}

static void leave(core *core, uint32_t index)
{
    twin *twin = twin_at(core, index);
    twin_extra *extra = twin->extra;
    twin_queue *queue = &extra->queue;
    list_remove(core, index);
    queue->is_away = true;
    queue->due_ms = INT64_MAX;
    queue->away_mail = extra->mail_count;
    queue->away_deliveries = extra->nidd != NULL ? extra->nidd->delivery_count : 0;
    queue->away_bytes = queue->bytes;
    core->queues.bytes -= queue->bytes;
    core->queues.away += queue->away_mail;
    queue->bytes = 0;
    while (extra->mail != NULL) {
        mail *next = extra->mail->next;
        if (extra->mail->expires_ms < queue->due_ms)
            queue->due_ms = extra->mail->expires_ms;
        free(extra->mail);
        extra->mail = next;
    }
    extra->mail_count = 0;
    nidd_deliveries_leave(twin);
}

static bool is_durable(const core *core, log_place place)
{
    return place < commit_log_end(core->log);
}

/* Those whose full record is durable by now go; one that was touched since is not in this list any more. */
static int leave_some(core *core)
{
    int done = 0;
    for (; done < STEPS_MAX; done++) {
        uint32_t index = core->queues.lists[QUEUE_LEAVING].first;
        if (index == NONE)
            break;
        const twin_queue *queue = queue_at(core, index);
        if (!queue->is_clean || !may_leave(core, index))
            list_put(core, index, QUEUE_HERE);
        else if (queue->unplaced > 0 || queue->place == 0 || !is_durable(core, queue->place))
            break;
        else
            leave(core, index);
    }
    return done;
}

/* Gives one a full record, or has its older part read first: both come back as changed or clean. */
static void write_back(core *core, uint32_t index)
{
    twin *twin = twin_at(core, index);
    twin_queue *queue = &twin->extra->queue;
    if (queue->is_clean && !queue->is_away) {
        list_put(core, index, QUEUE_LEAVING);
    } else if (queue->is_away) {
        queue->is_leaving = queue_load(core, index);
        if (!queue->is_leaving)
            list_put(core, index, QUEUE_HERE);
    } else if (!twin->is_cold) {
        uint64_t moved = core->bytes_moved;
        record_full(core, index);
        core->bytes_moved = moved; /* the checkpoint did not ask for it: it adds to the log */
        list_put(core, index, QUEUE_LEAVING);
    } else {
        list_put(core, index, QUEUE_HERE); /* a later lap finds it clean */
        dro_err ignored = core->rewrites_in_flight < REWRITES_MAX ? cold_rewrite(core, index) : DRO_AGAIN;
        (void)ignored; /* told */
    }
}

bool queues_are_read(const core *core)
{
    return core->queues.lists[QUEUE_WAITING].first == NONE && core->queues.lists[QUEUE_READING].first == NONE;
}

int queues_step(core *core)
{
    queue_table *queues = &core->queues;
    int done = 0;
    for (; queues->lists[QUEUE_WAITING].first != NONE && done < STEPS_MAX; done++) {
        uint32_t index = queues->lists[QUEUE_WAITING].first;
        log_place place = queue_at(core, index)->place;
        dro_err err = is_durable(core, place) ? cold_fetch_queue(core, index, place) : DRO_AGAIN;
        if (err == DRO_AGAIN)
            break;
        if (err == DRO_OK)
            queue_reading(core, index);
    }
    if (queues->budget == 0 || core_refusal(core) != NULL)
        return done;
    done += leave_some(core);
    uint32_t last = queues->lists[QUEUE_HERE].last;
    for (int i = 0; i < STEPS_MAX && queues->bytes - queues->leaving_bytes > queues->budget; i++) {
        uint32_t index = queues->lists[QUEUE_HERE].first;
        if (index == NONE)
            break;
        bool may = may_leave(core, index);
        done += may;
        if (may)
            write_back(core, index);
        else
            list_put(core, index, QUEUE_HERE);
        if (index == last) /* once round */
            break;
    }
    return done;
}

/* ---- the full record ---- */

void queue_written(core *core, uint32_t index)
{
    twin_queue *queue = twin_at(core, index)->extra == NULL ? NULL : queue_at(core, index);
    if (queue == NULL || queue->bytes == 0)
        return;
    queue->is_clean = true;
    queue->place = 0;
    queue->unplaced++;
}

void queue_placed(twin *twin, log_place place)
{
    twin_queue *queue = twin->extra == NULL ? NULL : &twin->extra->queue;
    if (queue == NULL || queue->unplaced == 0)
        return;
    queue->unplaced--;
    if (queue->is_clean && queue->unplaced == 0)
        queue->place = place;
}

void queue_replayed(core *core, uint32_t index, log_place place)
{
    twin_queue *queue = twin_at(core, index)->extra == NULL ? NULL : queue_at(core, index);
    if (queue == NULL || queue->bytes == 0)
        return;
    queue->is_clean = place != 0; /* not of the logs of another number of cores */
    queue->place = place;
    if (queue->is_clean && core->queues.budget > 0 && core->queues.bytes > core->queues.budget && may_leave(core, index))
        leave(core, index);
}

bool queue_forget(core *core, uint32_t index, uint64_t number, bool is_delivery)
{
    const twin *twin = twin_at(core, index);
    if (!queue_is_away(twin) || core->is_started)
        return false;
    twin_queue *queue = queue_at(core, index);
    queue_gone *gone = realloc(queue->gone, (queue->gone_count + 1u) * sizeof *gone);
    if (gone == NULL)
        return false;
    queue->gone = gone;
    gone[queue->gone_count++] = (queue_gone){ number, is_delivery };
    uint16_t *left = is_delivery ? &queue->away_deliveries : &queue->away_mail;
    if (*left > 0) {
        --*left;
        core->queues.away -= !is_delivery;
        core->mail_count -= !is_delivery;
    }
    return true;
}

/* ---- and back ---- */

bool queue_is_paused(const core *core, const twin *twin)
{
    return queue_is_away(twin) && core->now_ms < core->unreadable_until_ms &&
           log_place_segment(twin->extra->queue.place) == core->unreadable_segment;
}

void queue_reading(core *core, uint32_t index)
{
    list_put(core, index, QUEUE_READING);
}

bool queue_load(core *core, uint32_t index)
{
    if (queue_is_paused(core, twin_at(core, index)))
        return false;
    if (!queue_is_loading(twin_at(core, index)))
        list_put(core, index, QUEUE_WAITING);
    return true;
}

bool queue_load_to_rewrite(core *core, uint32_t index)
{
    twin_queue *queue = queue_at(core, index);
    if (core->queues.rewrites >= REWRITES_MAX || !queue_load(core, index))
        return false;
    core->queues.rewrites += !queue->is_rewritten;
    queue->is_rewritten = true;
    return true;
}

static bool is_gone(const twin_queue *queue, uint64_t number, bool is_delivery)
{
    for (uint32_t i = 0; i < queue->gone_count; i++)
        if (queue->gone[i].number == number && queue->gone[i].is_delivery == is_delivery)
            return true;
    return false;
}

/* A downlink or delivery of the record, unless something newer is known of it. */
static void take_field(core *core, uint32_t index, const dro_field *field)
{
    const twin *twin = twin_at(core, index);
    bool is_delivery = field->tag == FIELD_NIDD_DELIVERY;
    uint64_t number;
    if ((!is_delivery && field->tag != FIELD_MAIL && field->tag != FIELD_MAIL_RAW) || field->length < sizeof number)
        return;
    memcpy(&number, field->bytes, sizeof number);
    bool is_known = is_delivery ? nidd_delivery_find(twin, number) != NULL : mail_find(twin, number) != NULL;
    if (is_known || is_gone(queue_at(core, index), number, is_delivery))
        return;
    dro_err err = apply_field(core, index, field);
    if (err != DRO_OK)
        dro_error("queue field=%u \"%s\"", field->tag, dro_err_text(err));
}

static void take(core *core, uint32_t index, const record_view *view)
{
    twin_queue *queue = queue_at(core, index);
    bool is_same = queue->bytes == 0 && queue->gone_count == 0;
    log_place place = queue->place;
    core->mail_count -= queue->away_mail; /* counted anew below */
    core->queues.away -= queue->away_mail;
    queue->away_mail = queue->away_deliveries = 0;
    queue->away_bytes = 0;
    queue->is_away = false;
    dro_cursor in = dro_cursor_over(view->fields, view->fields_length);
    dro_field field;
    while (dro_field_next(&in, &field))
        take_field(core, index, &field);
    queue = queue_at(core, index);
    free(queue->gone);
    queue->gone = NULL;
    queue->gone_count = 0;
    queue->is_clean = is_same;
    queue->place = is_same ? place : 0;
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

void queue_fetched(core *core, uint32_t index, const log_fetched *fetched)
{
    const twin *twin = twin_at(core, index);
    twin_queue *queue = twin->extra == NULL ? NULL : &twin->extra->queue;
    record_view view = { 0 };
    if (queue == NULL || queue->list != QUEUE_READING || queue->place != fetched->place)
        return; /* another twin's slot by now */
    bool is_rewritten = queue->is_rewritten, is_leaving = queue->is_leaving;
    core->queues.rewrites -= is_rewritten;
    core->queues.reads++;
    queue->is_rewritten = queue->is_leaving = false;
    list_remove(core, index);
    dro_err err = fetched->err;
    if (err == DRO_OK)
        err = record_open(core, fetched->record, fetched->length, core->log_scratch + LOG_RECORD_MAX, &view);
    if (err == DRO_OK && view.twin == twin->number && view.kind == RECORD_FULL)
        take(core, index, &view);
    else
        unread(core, index, fetched->place);
    record_close(&view);
    if (queue->bytes > 0)
        list_put(core, index, QUEUE_HERE);
    if (!queue->is_away)
        nidd_loaded(core, index);
    if (is_rewritten && !queue->is_away)
        checkpoint_rewrite(core, index);
    else if (is_leaving && queue->list == QUEUE_HERE && may_leave(core, index))
        write_back(core, index); /* at once: all of it is in memory now */
    twin_resume(core, index);
}

void queues_gate_lost(core *core, uint32_t gate)
{
    for (int list = QUEUE_WAITING; list <= QUEUE_READING; list++)
        for (uint32_t index = core->queues.lists[list].first; index != NONE; index = queue_at(core, index)->after)
            twin_deferred_gate_lost(core, index, gate);
}

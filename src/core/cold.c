/* Cold contexts: the sealed contexts that are not in memory are read from the log at
 * their twin's next event. The turn waits for that, other twins go on; what cannot be
 * read is the end of that one event, and of nothing else. */
#include "core/cold.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "core/number.h"
#include "core/record.h"
#include "core/state.h"
#include "core/turn.h"
#include "core/twin_table.h"

/* What a fetch is for: a turn by its id (serial << 32 | index), a twin that the checkpoint rewrites,
 * or a twin's queue (its number's lower half << 32 | REWRITE or QUEUE | index). */
#define REWRITE 0x80000000u
#define QUEUE 0x40000000u
_Static_assert(CORE_TURNS_MAX <= QUEUE && CORE_TWINS_MAX <= QUEUE, "both fit beside the marks");

static bool is_durable(const core *core, log_place place)
{
    return !core->is_started || place < commit_log_end(core->log);
}

bool context_may_leave(void *owner, const context *context)
{
    const core *core = owner;
    twin *twin = twin_at(core, context->twin);
    log_place place = context->place;
    if (twin->flags & TWIN_RUNNING || place == 0 || !is_durable(core, place))
        return false;
    twin->is_cold = true;
    twin->context_place = place;
    return true;
}

static void length_set(core *core, twin *twin, uint32_t length)
{
    if (twin->image != NONE)
        core->budgets.images[twin->image].context_bytes += (uint64_t)length - twin->context_length;
    twin->context_length = length;
}

bool context_room(core *core, uint32_t index, uint32_t length)
{
    twin *twin = twin_at(core, index);
    context *old = twin->is_cold ? NULL : twin->context;
    context *context = old;
    if (old == NULL || length == 0 || !contexts_fits(old, length)) {
        contexts_give(core->contexts, old);
        context = length > 0 ? contexts_take(core->contexts, index, length) : NULL;
    } else {
        context->place = 0;
        context->is_read = false;
    }
    twin->is_cold = false;
    twin->context = context;
    length_set(core, twin, context != NULL ? length : 0);
    return length == 0 || context != NULL;
}

void context_forget(core *core, twin *twin)
{
    if (!twin->is_cold)
        contexts_give(core->contexts, twin->context);
    twin->is_cold = false;
    twin->context = NULL;
    length_set(core, twin, 0);
}

void context_cool(core *core, uint32_t index, log_place place, uint32_t length)
{
    twin *twin = twin_at(core, index);
    context_forget(core, twin);
    twin->is_cold = true;
    twin->context_place = place;
    length_set(core, twin, length);
}

void context_placed(twin *twin, log_place place)
{
    if (twin->is_cold)
        twin->context_place = place;
    else if (twin->context != NULL)
        twin->context->place = place;
}

/* ---- turns that wait for their context ---- */

void cold_wait(core *core, turn *turn)
{
    turn->state = TURN_FETCHING;
    turn_line_put(core, &core->cold, turn);
}

const char *context_where(log_place place, char text[64])
{
    snprintf(text, 64, "segment-%08x at %llu", log_place_segment(place), (unsigned long long)(uint32_t)place * 8);
    return text;
}

static void fail(core *core, turn *turn, log_place place, dro_err err)
{
    char text[64];
    if (err == DRO_NOT_FOUND) /* a segment goes only when nothing lives in it */
        dro_error("context lost twin=%016llx place=\"%s\" \"its segment is gone\"",
                  (unsigned long long)twin_at(core, turn->twin)->number, context_where(place, text));
    core->counters.contexts_unreadable++;
    turn_unreadable(core, turn, context_where(place, text));
}

void cold_start(core *core)
{
    uint32_t index = turn_line_take(&core->cold);
    while (index != NONE) { /* those that cannot go yet keep their order */
        turn *turn = &core->turns[index];
        log_place place = twin_at(core, turn->twin)->context_place;
        index = turn->next;
        dro_err err = is_durable(core, place) ? commit_log_fetch(core->log, place, turn_id(core, turn)) : DRO_AGAIN;
        if (err == DRO_AGAIN)
            cold_wait(core, turn);
        else if (err != DRO_OK)
            fail(core, turn, place, err);
    }
    commit_log_fetch_start(core->log);
    contexts_trim(core->contexts);
}

static void turn_fetched(core *core, turn *turn, const log_fetched *fetched)
{
    twin *twin = twin_at(core, turn->twin);
    log_place place = twin->context_place; /* a newer copy of the same, perhaps */
    const uint8_t *sealed = fetched->err == DRO_OK ? record_sealed_context(fetched->record, fetched->length, twin) : NULL;
    if (sealed == NULL) {
        fail(core, turn, fetched->place, fetched->err);
        return;
    }
    if (fetched->place != place && rotation_context_is_old(core, twin, sealed)) { /* what was written since is under the newest key */
        cold_wait(core, turn);
        return;
    }
    if (!context_room(core, turn->twin, twin->context_length)) {
        twin->is_cold = true;
        twin->context_place = place;
        fail(core, turn, place, DRO_NOMEM);
        return;
    }
    memcpy(twin->context->sealed, sealed, twin->context_length);
    twin->context->place = place;
    twin->context->is_read = true;
    turn_go(core, turn);
}

/* The hand comes by often while a segment cannot go: it does not say so each time. */
static void rewrite_failed(core *core, log_place place)
{
    core->counters.contexts_unreadable++;
    core->unreadable_segment = log_place_segment(place);
    core->unreadable_until_ms = core->now_ms + REWRITE_PAUSE_S * 1000;
}

static void rewrite_fetched(core *core, const log_fetched *fetched)
{
    uint32_t index = (uint32_t)fetched->tag & ~REWRITE;
    const twin *twin = twin_at(core, index);
    core->rewrites_in_flight--;
    if (twin->number == 0 || (uint32_t)twin->number != fetched->tag >> 32)
        return; /* gone meanwhile */
    if (!twin->is_cold || twin->context_place != fetched->place || !queue_is_placed(twin))
        return; /* it had a turn, or another copy was written: the next lap sees to it if need be */
    const uint8_t *sealed = fetched->err == DRO_OK ? record_sealed_context(fetched->record, fetched->length, twin) : NULL;
    if (sealed == NULL) {
        rewrite_failed(core, fetched->place); /* told. Its segment stays, and a later lap tries again */
        return;
    }
    uint8_t *again = core->log_scratch;
    if (!rotation_context_is_old(core, twin, sealed))
        record_full_cold(core, index, sealed);
    else if (rotation_reseal(core, twin, sealed, again) == DRO_OK)
        record_full_cold(core, index, again);
    else
        rewrite_failed(core, fetched->place);
}

int cold_take(core *core)
{
    int count = 0;
    log_fetched fetched;
    while (commit_log_fetched(core->log, &fetched)) {
        count++;
        if (fetched.tag & REWRITE) {
            rewrite_fetched(core, &fetched);
            continue;
        }
        if (fetched.tag & QUEUE) {
            uint32_t index = (uint32_t)fetched.tag & ~QUEUE;
            if (index < core->twin_high && (uint32_t)twin_at(core, index)->number == fetched.tag >> 32)
                queue_fetched(core, index, &fetched);
            continue;
        }
        turn *turn = &core->turns[(uint32_t)fetched.tag]; /* it waits: nothing ends a turn in this state */
        turn_fetched(core, turn, &fetched);
    }
    return count;
}

dro_err cold_rewrite(core *core, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    if (!is_durable(core, twin->context_place))
        return DRO_AGAIN;
    uint64_t tag = (uint64_t)(uint32_t)twin->number << 32 | REWRITE | index;
    dro_err err = commit_log_fetch(core->log, twin->context_place, tag);
    if (err == DRO_OK)
        core->rewrites_in_flight++;
    else if (err != DRO_AGAIN)
        rewrite_failed(core, twin->context_place);
    return err;
}

dro_err cold_fetch_queue(core *core, uint32_t index, log_place place)
{
    uint64_t tag = (uint64_t)(uint32_t)twin_at(core, index)->number << 32 | QUEUE | index;
    dro_err err = commit_log_fetch(core->log, place, tag);
    if (err != DRO_OK && err != DRO_AGAIN) {
        log_fetched failed = { .tag = tag, .place = place, .err = err };
        queue_fetched(core, index, &failed);
    }
    return err;
}

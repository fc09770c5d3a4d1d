/* Deferred: messages that wait for a turn of their twin to end, and go on then. */
#include "core/turn.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/wipe.h"
#include "core/links.h"
#include "core/mailbox.h"
#include "core/network.h"
#include "core/rds.h"
#include "core/state.h"
#include "core/timers.h"
#include "core/twin_table.h"

deferred *deferred_new(uint32_t gate, const ring_header *header, const uint8_t *body)
{
    uint32_t length = header->length - (uint32_t)sizeof *header;
    deferred *late = malloc(sizeof *late + length);
    if (late == NULL)
        return NULL;
    *late = (deferred){ .gate = gate, .length = length, .header = *header };
    if (length > 0)
        memcpy(late->body, body, length);
    return late;
}

void deferred_free(deferred *late)
{
    dro_wipe(late->body, late->length);
    free(late);
}

dro_err twin_defer(core *core, uint32_t index, uint32_t gate, const ring_header *header, const uint8_t *body)
{
    twin_extra *extra = twin_extra_get(twin_at(core, index));
    if (extra == NULL)
        return DRO_NOMEM;
    if (extra->deferred_count >= TWIN_DEFERRED_MAX)
        return DRO_LIMIT;
    deferred *late = deferred_new(gate, header, body);
    if (late == NULL)
        return DRO_NOMEM;
    if (extra->deferred == NULL)
        extra->deferred = late;
    else
        extra->deferred_last->next = late;
    extra->deferred_last = late;
    extra->deferred_count++;
    return DRO_OK;
}

/* The event "can be reached" of its own: no gate waits for it, so none takes it along. A second
 * one behind the first would say nothing new. */
void twin_defer_reachable(core *core, uint32_t index)
{
    static const ring_header nothing = { .length = sizeof nothing };
    const twin_extra *extra = twin_at(core, index)->extra;
    if (extra != NULL && extra->deferred != NULL && extra->deferred_last->gate == NONE)
        return;
    if (twin_defer(core, index, NONE, &nothing, NULL) != DRO_OK)
        core->counters.refused++;
}

static void deferred_gate_lost(twin_extra *extra, uint32_t gate)
{
    deferred **at = &extra->deferred;
    extra->deferred_last = NULL;
    while (*at != NULL) {
        deferred *late = *at;
        if (late->gate != gate) {
            extra->deferred_last = late;
            at = &late->next;
            continue;
        }
        *at = late->next;
        deferred_free(late);
        extra->deferred_count--;
    }
}

void twin_deferred_gate_lost(core *core, uint32_t index, uint32_t gate)
{
    deferred_gate_lost(twin_at(core, index)->extra, gate);
}

void turns_gate_lost(core *core, uint32_t gate)
{
    for (uint32_t i = 0; i < CORE_TURNS_MAX; i++) { /* only a twin in a turn, or whose queue is read, has messages that wait */
        turn *turn = &core->turns[i];
        if (turn->state == TURN_FREE)
            continue;
        if (turn->caller.gate == gate)
            turn->caller.gate = NONE;
        if (twin_at(core, turn->twin)->extra != NULL)
            deferred_gate_lost(twin_at(core, turn->twin)->extra, gate);
    }
}

static deferred *deferred_pop(twin *twin)
{
    twin_extra *extra = twin->extra;
    deferred *first = extra->deferred;
    extra->deferred = first->next;
    extra->deferred_count--;
    return first;
}

static void deferred_take(core *core, uint32_t index)
{
    deferred *late = deferred_pop(twin_at(core, index));
    if (late->gate == NONE)
        network_reachable(core, index);
    else if (core->gates[late->gate].is_open)
        message_take(core, late->gate, &late->header, late->body);
    deferred_free(late);
}

/* A repetition of one that is under way waits for that one's answer. */
static bool may_go_along(const core *core, const deferred *late, const turn *first)
{
    uplink_request request;
    if (late == NULL || late->gate == NONE || late->header.type != MESSAGE_UPLINK || late->length < sizeof request)
        return false;
    memcpy(&request, late->body, sizeof request);
    for (const turn *turn = first; turn->end_to_end != request.end_to_end; turn = &core->turns[turn->behind])
        if (turn->behind == NONE)
            return true;
    return false;
}

/* An uplink's turn was put into the ring: the uplinks that wait for it go along, in one visit to the
 * cell. One trip for each would bound a busy twin (docs/internals/turn_path.md). */
static void chain_uplinks(core *core, uint32_t index)
{
    const turn *first = core->turn_last == NONE ? NULL : &core->turns[core->turn_last];
    if (first == NULL || first->twin != index || first->operation != TURN_UPLINK || rds_is_on(core, twin_at(core, index)))
        return; /* which RDS frame is new is known once the one before is kept */
    core->chain = index;
    for (int i = 1; i < TURN_CHAIN_MAX && core->turn_last != NONE && !turns_are_full(core) && !turns_part_is_full(core, first->cell); i++) {
        if (!may_go_along(core, twin_at(core, index)->extra->deferred, first))
            break;
        deferred_take(core, index);
    }
    core->chain = NONE;
}

void twin_resume(core *core, uint32_t index)
{
    twin *twin = twin_at(core, index);
    uint64_t number = twin->number;
    while (twin->number == number && (twin->flags & TWIN_RUNNING) == 0 && !queue_is_loading(twin) && twin->extra != NULL && twin->extra->deferred != NULL) {
        core->turn_last = NONE;
        deferred_take(core, index);
        if (twin->number == number && twin->flags & TWIN_RUNNING)
            chain_uplinks(core, index);
    }
    if (twin->number != number || twin->flags & TWIN_RUNNING || queue_is_loading(twin))
        return;
    mailbox_flush(core, index);
    if (timers_update(core, index) != DRO_OK)
        dro_error("timers: out of memory");
    twin_extra_trim(twin);
}

void twin_forget(core *core, uint32_t index)
{
    twin *twin = twin_at(core, index);
    deferred *late = twin->extra != NULL ? twin->extra->deferred : NULL;
    if (twin->extra != NULL)
        twin->extra->deferred = NULL;
    twin_free(core, index);
    while (late != NULL) { /* they find no such twin now, and say so */
        deferred *next = late->next;
        if (late->gate != NONE && core->gates[late->gate].is_open)
            message_take(core, late->gate, &late->header, late->body);
        deferred_free(late);
        late = next;
    }
}

/* What must be true of the core's memory between two rounds. */
#include <stdlib.h>

#include "core/checkpoint.h"
#include "core/mailbox.h"
#include "core/names.h"
#include "core/number.h"
#include "core/state.h"
#include "core/turn.h"
#include "core/twin_table.h"
#include "world.h"

static void check_extra(const core *core, uint32_t index, const twin *twin)
{
    const twin_extra *extra = twin->extra;
    uint32_t mail_count = 0, controls = 0, tickets = 0, waiting = 0, sent = 0;
    if (extra == NULL)
        return;
    for (const mail *m = extra->mail; m != NULL; m = m->next) {
        mail_count++;
        sent += m->is_sent;
        controls += m->is_control;
        WORLD_ASSERT(m->number < core->mail_next);
        bool is_alike = m->next != NULL && m->priority == m->next->priority && m->is_control == m->next->is_control;
        WORLD_ASSERT(!is_alike || m->number < m->next->number);
    }
    uint64_t newest = UINT64_MAX;
    for (const ticket *t = extra->tickets; t != NULL; t = t->next, tickets++) {
        WORLD_ASSERT(t->number < newest && t->number < core->ticket_next);
        WORLD_ASSERT(t->state <= TICKET_EXPIRED);
        WORLD_ASSERT(t->index < (t->is_action ? twin_model(core, twin)->action_count : twin_model(core, twin)->property_count));
        newest = t->number;
    }
    for (const deferred *d = extra->deferred; d != NULL; d = d->next) {
        waiting++;
        WORLD_ASSERT(d->next != NULL || d == extra->deferred_last);
    }
    WORLD_ASSERT(mail_count == extra->mail_count && mail_count - controls <= TWIN_MAIL_MAX);
    WORLD_ASSERT(controls == extra->control_count && controls <= RDS_ANSWERS_MAX + RDS_QUESTIONS_MAX);
    WORLD_ASSERT(tickets == extra->ticket_count && tickets <= TWIN_TICKETS_MAX);
    WORLD_ASSERT(waiting == extra->deferred_count && waiting <= TWIN_DEFERRED_MAX);
    WORLD_ASSERT(waiting == 0 || (twin->flags & TWIN_RUNNING) != 0);
    WORLD_ASSERT(sent == ((twin->flags & TWIN_SENDING) != 0 ? 1 : 0)); /* one MT-Data-Request at a time */
    WORLD_ASSERT(extra->alias_count <= TWIN_ALIASES_MAX && extra->timer_count <= TWIN_TIMERS_MAX);
    for (int i = 0; i < extra->alias_count; i++)
        WORLD_ASSERT(twin_find(core, extra->aliases[i], strlen(extra->aliases[i])) == index);
}

/* A context that is not in memory is in the log: in a record that is durable, or soon will be and has
 * a copy before it, in a segment that stays. */
static void check_context(const core *core, uint32_t index, const twin *twin)
{
    if (twin->base_segment != 0)
        WORLD_ASSERT(twin->base_segment >= commit_log_replay_segment(core->log) && base_count(&core->bases, twin->base_segment) > 0);
    if (twin->is_cold) {
        WORLD_ASSERT(twin->context_length > 0);
        WORLD_ASSERT((twin->base_segment != 0 || core->is_moving) && log_place_segment(twin->context_place) >= twin->base_segment);
    } else if (twin->context != NULL) {
        WORLD_ASSERT(twin->context->twin == index);
        WORLD_ASSERT(twin->context->place == 0 || log_place_segment(twin->context->place) >= twin->base_segment);
    }
}

static void check_bases(const core *core)
{
    uint32_t sum = 0, placed = 0, chunk_sum = 0, chunks = 0;
    for (uint32_t i = 0; i < core->twin_high; i++) {
        const twin *twin = twin_at(core, i);
        placed += twin->number != 0 && twin->base_segment != 0;
        for (uint32_t k = 0; twin->number != 0 && twin->extra != NULL && k < twin->extra->queue.chunk_count; k++)
            chunks += twin->extra->queue.chunks[k].place != 0 && twin->extra->queue.chunks[k].old_log == 0;
    }
    for (uint32_t segment = commit_log_segment_first(core->log); segment <= commit_log_segment_last(core->log); segment++) {
        sum += base_count(&core->bases, segment);
        chunk_sum += base_count(&core->chunk_bases, segment);
    }
    WORLD_ASSERT(sum == placed && chunk_sum == chunks);
}

static uint32_t check_twin(const core *core, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    if (twin->number == 0)
        return 0;
    size_t length = 0;
    const char *id = twin_id(core, twin, &length);
    WORLD_ASSERT(id != NULL && twin_find(core, id, length) == index);
    WORLD_ASSERT(twin_find_number(core, twin->number) == index);
    WORLD_ASSERT((twin->row == NONE) == ((twin->flags & TWIN_CREATING) != 0));
    WORLD_ASSERT(twin->domain < core->domain_count);
    WORLD_ASSERT(twin->image < core->image_count || (twin->image == NONE && twin->context == NULL)); /* NONE: without code */
    WORLD_ASSERT((twin->context == NULL) == (twin->context_length == 0));
    check_context(core, index, twin);
    if (twin->timer_place != 0)
        WORLD_ASSERT(twin->timer_place <= core->timer_count && core->timers[twin->timer_place].twin == index);
    if (twin->timer_place > 1)
        WORLD_ASSERT(core->timers[twin->timer_place / 2].due_ms <= core->timers[twin->timer_place].due_ms);
    check_extra(core, index, twin);
    return 1;
}

static void check_turns(const core *core)
{
    uint32_t used = 0, first = 0, running = 0;
    size_t bytes = 0;
    for (uint32_t i = 0; i < CORE_TURNS_MAX; i++) {
        const turn *turn = &core->turns[i];
        if (turn->state == TURN_FREE)
            continue;
        used++;
        bytes += turn->length;
        first += !turn->is_behind;
        if (turn->behind != NONE)
            WORLD_ASSERT(core->turns[turn->behind].is_behind && core->turns[turn->behind].twin == turn->twin);
        WORLD_ASSERT(twin_at(core, turn->twin)->number != 0);
        WORLD_ASSERT((twin_at(core, turn->twin)->flags & TWIN_RUNNING) != 0);
    }
    for (uint32_t i = 0; i < core->twin_high; i++)
        running += twin_at(core, i)->number != 0 && (twin_at(core, i)->flags & TWIN_RUNNING) != 0;
    WORLD_ASSERT(used == core->turn_count && first == running && bytes == core->turn_bytes);
}

static void check_core(const core *core)
{
    uint32_t live = 0;
    for (uint32_t i = 0; i < core->twin_high; i++)
        live += check_twin(core, i);
    WORLD_ASSERT(live == core->twin_count);
    check_turns(core);
    check_bases(core);
    WORLD_ASSERT(core->met_count == 0 && core->waiter_count <= WAITERS_MAX);
    WORLD_ASSERT(core->ids.live <= core->ids.used && core->numbers.live == live);
}

/* A name leads every gate to the core that has its twin. */
static void check_names(const world *world, const core *core)
{
    for (uint32_t i = 0; i < core->twin_high; i++) {
        const twin *twin = twin_at(core, i);
        size_t length;
        const char *id = twin->number != 0 ? twin_id(core, twin, &length) : NULL;
        if (id == NULL)
            continue;
        WORLD_ASSERT(directory_route(&world->directory, DIRECTORY_ID, id, length) == core->index);
        WORLD_ASSERT(core_owns(core, twin_partition(twin)));
    }
}

void world_check(const world *world)
{
    for (uint32_t i = 0; i < world->core_count; i++) {
        check_core(world->seats[i].core);
        if (world->core_count > 1)
            check_names(world, world->seats[i].core);
    }
}

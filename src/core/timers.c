/* One heap over all twins: each is in it once, by the earliest time anything of it
 * is due (a timer, a retransmission, an expiry). */
#include "core/timers.h"

#include <stdlib.h>

#include "core/conduct.h"
#include "core/mailbox.h"
#include "core/nidd.h"
#include "core/rds_ports.h"
#include "core/schedule.h"
#include "core/state.h"
#include "core/stops.h"
#include "core/turn.h"
#include "core/twin_table.h"
#include "twin/event.h"

/* Timers of a twin that is stopped or set aside wait; INT64_MAX: until stops_settle comes back to it. */
static int64_t timers_wait_until(const core *core, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    bool is_stopped = core->stops.has_any && twin->image != NONE &&
                      (core->stops.has_code || core->domains[twin->domain].is_stopped || core->images[twin->image].is_stopped);
    if (is_stopped)
        return INT64_MAX;
    int64_t penalty_ms = penalty_until_ms(core, twin), budget_ms = budget_until_ms(core, index);
    return penalty_ms > budget_ms ? penalty_ms : budget_ms;
}

static int64_t due_of(const core *core, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    int64_t due = mailbox_due(twin), nidd = nidd_due(twin), rds = rds_due(twin);
    if (nidd < due)
        due = nidd;
    if (rds < due)
        due = rds;
    if (rds_ports_due(twin) < due)
        due = rds_ports_due(twin);
    if (schedule_due(twin) < due)
        due = schedule_due(twin);
    if (stop_holds_twin(core, index)) /* nothing of it is done; stops_settle comes back to it */
        return INT64_MAX;
    int64_t free_ms = timers_wait_until(core, index);
    for (int i = 0; twin->extra != NULL && i < twin->extra->timer_count; i++) {
        int64_t timer_ms = twin->extra->timers[i].due_ms > free_ms ? twin->extra->timers[i].due_ms : free_ms;
        due = timer_ms < due ? timer_ms : due;
    }
    return due;
}

/* The heap has its own copy of each time: a twin's changes at many places, and the order
 * must hold until timers_update is told. */
static void set(core *core, uint32_t place, struct timer_entry entry)
{
    core->timers[place] = entry;
    twin_at(core, entry.twin)->timer_place = place;
}

static void sift_up(core *core, uint32_t place)
{
    struct timer_entry entry = core->timers[place];
    while (place > 1 && core->timers[place / 2].due_ms > entry.due_ms) {
        set(core, place, core->timers[place / 2]);
        place /= 2;
    }
    set(core, place, entry);
}

static void sift_down(core *core, uint32_t place)
{
    struct timer_entry entry = core->timers[place];
    for (;;) {
        uint32_t child = place * 2;
        if (child > core->timer_count)
            break;
        if (child < core->timer_count && core->timers[child + 1].due_ms < core->timers[child].due_ms)
            child++;
        if (core->timers[child].due_ms >= entry.due_ms)
            break;
        set(core, place, core->timers[child]);
        place = child;
    }
    set(core, place, entry);
}

void timers_remove(core *core, uint32_t index)
{
    twin *twin = twin_at(core, index);
    uint32_t place = twin->timer_place;
    if (place == 0)
        return;
    twin->timer_place = 0;
    struct timer_entry last = core->timers[core->timer_count--];
    if (last.twin == index)
        return;
    set(core, place, last);
    sift_up(core, place);
    sift_down(core, twin_at(core, last.twin)->timer_place);
}

dro_err timers_update(core *core, uint32_t index)
{
    twin *twin = twin_at(core, index);
    int64_t due_ms = due_of(core, index);
    if (due_ms == INT64_MAX) {
        timers_remove(core, index);
        return DRO_OK;
    }
    if (twin->timer_place == 0) {
        if (core->timer_count + 1 >= core->timer_capacity) {
            uint32_t capacity = core->timer_capacity == 0 ? 1024 : core->timer_capacity * 2;
            struct timer_entry *timers = realloc(core->timers, capacity * sizeof *timers);
            if (timers == NULL)
                return DRO_NOMEM;
            core->timers = timers;
            core->timer_capacity = capacity;
        }
        set(core, ++core->timer_count, (struct timer_entry){ due_ms, index });
    }
    core->timers[twin->timer_place].due_ms = due_ms;
    sift_up(core, twin->timer_place);
    sift_down(core, twin->timer_place);
    return DRO_OK;
}

int64_t timers_next(const core *core)
{
    return core->timer_count == 0 ? INT64_MAX : core->timers[1].due_ms;
}

/* The number of a timer of the twin that is due, or -1. */
static int timer_due(const core *core, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    for (int i = 0; twin->extra != NULL && i < twin->extra->timer_count; i++)
        if (twin->extra->timers[i].due_ms <= core->now_ms && timers_wait_until(core, index) <= core->now_ms)
            return i;
    return -1;
}

int timers_due(core *core)
{
    int done = 0;
    for (; done < CORE_TIMER_BATCH && timers_next(core) <= core->now_ms; done++) {
        uint32_t index = core->timers[1].twin;
        twin *twin = twin_at(core, index);
        if (twin->flags & TWIN_RUNNING || twin_is_broken(core, index)) { /* looked at again when its turn ends, its image is mended */
            timers_remove(core, index);
            continue;
        }
        int slot = timer_due(core, index);
        if (slot < 0) {
            mailbox_expire(core, index);
            nidd_expire(core, index);
            rds_expire(core, index);
            rds_ports_expire(core, index);
            schedule_expire(core, index);
            mailbox_flush(core, index);
        } else if (turns_part_is_full(core, turn_cell_of(core, index))) {
            core->timers[1].due_ms = core->now_ms + CORE_PART_RETRY_MS;
            sift_down(core, 1);
            continue;
        } else {
            uint32_t number = twin->extra->timers[slot].number;
            turn *turn = turn_new(core, index, TURN_TIMER);
            if (turn == NULL)
                break;
            if (turn_event(core, turn, EVENT_TIMER, number, NULL, 0) != DRO_OK) {
                turn_free(core, turn);
                break;
            }
            timers_remove(core, index);
            turn_send(core, turn);
            continue;
        }
        if (twin->number != 0 && timers_update(core, index) != DRO_OK)
            break;
    }
    return done;
}

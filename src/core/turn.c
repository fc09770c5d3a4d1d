/* Turns: sent to a cell, taken back, kept. */
#include "core/turn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/ahead.h"
#include "core/api.h"
#include "core/cells.h"
#include "core/cold.h"
#include "core/conduct.h"
#include "core/links.h"
#include "core/mailbox.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/timers.h"
#include "core/twin_table.h"
#include "twin/effect.h"
#include "twin/event.h"

/* ---- to the cell ---- */

/* What came back from the log is not what was sealed for this twin. The next event reads it again. */
static void turn_unopened(core *core, turn *turn)
{
    twin *twin = twin_at(core, turn->twin);
    log_place place = twin->context->place;
    char text[64];
    const char *where = context_where(place, text);
    dro_error("context damaged twin=%016llx place=\"%s\" \"it does not open: put the file back from a backup\"",
              (unsigned long long)twin->number, where);
    core->counters.contexts_unreadable++;
    context_cool(core, turn->twin, place, twin->context_length);
    turn_unreadable(core, turn, where);
}

static bool cell_takes(const cell_link *cell, const core *core, uint32_t image)
{
    return cell->is_open && image < cell->image_count && core->images[image].is_ready && !cell->lacks[image];
}

static void request_write(const core *core, const turn *turn, uint32_t context, uint8_t *room)
{
    const twin *twin = twin_at(core, turn->twin);
    turn_request *request = (turn_request *)(void *)room; /* bodies in rings are aligned to 8; all of it is set */
    request->twin = twin->number;
    request->wall_ms = core->now_ms;
    request->seed = turn->seed;
    request->image = turn->image;
    request->event_kind = turn->kind;
    request->event_id = turn->event_id;
    request->deadline_micros = TURN_DEADLINE_MICROS;
    request->context_length = context;
    request->event_length = turn->length;
}

/* Room for a turn in the ring of a cell, NULL: none now. A cell that has no turn and yet leaves no room has broken its
 * index: that is a silence too, which ends as CELL_STALL_MS says. */
static uint8_t *cell_room(core *core, cell_link *cell, uint32_t length)
{
    uint8_t *room = ring_reserve(&cell->turns, length);
    if (room == NULL && !cell->is_short && cell->in_flight == 0)
        cell->heard_ns = core->now_ns;
    cell->is_short = room == NULL;
    return room;
}

static void turn_commit(core *core, turn *turn, uint16_t type, uint32_t length)
{
    cell_link *cell = &core->cells[turn->cell];
    ring_commit(&cell->turns, type, RING_WIPE, turn_id(core, turn), length);
    share_give(&core->shares, turn->cell, core->now_ns);
    core->parts[turn->cell].given++;
    turn->order = cell->sent++;
    if (cell->in_flight++ == 0)
        cell->heard_ns = core->now_ns;
    turn->state = TURN_SENT;
    turn->is_old_cell = turn->is_stale = false;
    core->turn_last = turn_slot(core, turn);
}

/* True: it is in the ring, or at its end. */
static bool turn_try(core *core, turn *turn)
{
    twin *twin = twin_at(core, turn->twin);
    cell_link *cell = &core->cells[turn->cell];
    if (!cell_takes(cell, core, turn->image) || !share_lets(&core->shares, turn->cell))
        return false;
    uint32_t context = twin->context_length > 0 ? twin->context_length - VAULT_OVERHEAD : 0;
    uint32_t context_padded = (context + 7u) & ~7u;
    uint32_t length = (uint32_t)sizeof(turn_request) + context_padded + turn->length;
    uint8_t *room = cell_room(core, cell, length);
    if (room == NULL)
        return false;
    request_write(core, turn, context, room);
    if (context > 0) {
        vault_binding binding = { twin->domain, twin->number, core->images[turn->image].digest, twin->context_revision,
                                  turn_slot(core, turn) };
        dro_err err = vault_open_context(core->vault, &binding, twin->context->sealed, twin->context_length, room + sizeof(turn_request));
        if (err != DRO_OK && !twin->context->is_read) /* memory that lies: nothing this process says can be trusted any more */
            abort();
        if (err != DRO_OK) {
            turn_unopened(core, turn);
            return true;
        }
        memset(room + sizeof(turn_request) + context, 0, context_padded - context);
    }
    if (turn->length > 0)
        memcpy(room + sizeof(turn_request) + context_padded, turn->event, turn->length);
    turn_commit(core, turn, MESSAGE_TURN, length);
    return true;
}

/* Behind the turn that was put into the ring last, which is of the same twin: the cell goes on with
 * the context that turn leaves. */
static bool turn_try_behind(core *core, turn *turn)
{
    cell_link *cell = &core->cells[turn->cell];
    uint32_t length = (uint32_t)sizeof(turn_request) + turn->length;
    uint8_t *room = cell_takes(cell, core, turn->image) ? cell_room(core, cell, length) : NULL;
    if (room == NULL)
        return false;
    request_write(core, turn, 0, room);
    if (turn->length > 0)
        memcpy(room + sizeof(turn_request), turn->event, turn->length);
    turn_commit(core, turn, MESSAGE_TURN_NEXT, length);
    return true;
}

static void wait_in_line(core *core, turn *turn)
{
    turn->state = TURN_WAITING;
    turn_line_put(core, &core->parts[turn->cell].waiting, turn);
    core->shares.of[turn->cell].waiting++;
}

static void turn_pass(core *core, turn *turn);
static void turn_leave_out(core *core, turn *turn, uint8_t status);
static void turn_settle(core *core, turn *turn, const turn_result *result, uint32_t status, const uint8_t *context);

void turn_send(core *core, turn *turn)
{
    twin *twin = twin_at(core, turn->twin);
    uint8_t forbidden = turn_forbidden(core, turn, false);
    if (forbidden != 0 && twin->flags & TWIN_RUNNING) { /* one of a chain: others may be behind it */
        static const turn_result none = { 0 };
        turn_settle(core, turn, &none, forbidden, NULL);
        return;
    }
    if (forbidden != 0) {
        turn_leave_out(core, turn, forbidden);
        return;
    }
    if (turn->image == NONE) {
        turn_pass(core, turn);
        return;
    }
    twin->flags |= TWIN_RUNNING;
    core->counters.context_misses += twin->is_cold;
    core->counters.context_hits += !twin->is_cold && twin->context != NULL;
    if (twin->is_cold)
        cold_wait(core, turn);
    else
        turn_go(core, turn);
}

void turn_go(core *core, turn *turn)
{
    if (core->parts[turn->cell].waiting.first != NONE || !turn_try(core, turn))
        wait_in_line(core, turn);
}

void turn_send_behind(core *core, turn *turn)
{
    struct turn *before = &core->turns[core->turn_last];
    before->behind = turn_slot(core, turn);
    turn->is_behind = true;
    turn_move(core, turn, before->cell);
    core->counters.context_hits++;
    if (!turn_try_behind(core, turn)) {
        turn->state = TURN_HELD;
        core->turn_last = NONE;
    }
}

/* What this turn would have left for those behind it will not be kept. */
static void behind_are_stale(core *core, const turn *turn)
{
    for (uint32_t i = turn->behind; i != NONE; i = core->turns[i].behind)
        core->turns[i].is_stale = true;
}

static void wait_again(core *core, turn *turn)
{
    behind_are_stale(core, turn);
    wait_in_line(core, turn);
}

/* The turn before it is over. Its result may be on its way, or was for nothing. */
static void turn_goes_first(core *core, turn *turn)
{
    turn->is_behind = false;
    if (turn->state == TURN_HELD)
        turn_send(core, turn);
}

void turns_publish(core *core)
{
    for (uint32_t i = 0; i < cell_places(core); i++)
        if (core->cells[i].is_open)
            ring_publish(&core->cells[i].turns);
}

static bool is_in_cell(const turn *turn, uint32_t cell, bool is_old)
{
    return turn->state == TURN_SENT && turn->cell == cell && turn->is_old_cell == is_old;
}

/* The turn that ended its cell. The cell says which one it runs, but what was broken in it may say another, or none: then
 * it is the next one that would have been answered, if we gave the cell up. NONE: nobody is to blame. */
static uint32_t turn_to_blame(core *core, const cell_link *link, uint32_t cell, bool is_old)
{
    uint64_t running = link->running != NULL ? atomic_load(link->running) : 0;
    uint32_t index = (uint32_t)running;
    if (index < CORE_TURNS_MAX && turn_id(core, &core->turns[index]) == running && is_in_cell(&core->turns[index], cell, is_old))
        return index;
    for (uint32_t i = 0; link->is_given_up && i < CORE_TURNS_MAX; i++)
        if (is_in_cell(&core->turns[i], cell, is_old) && core->turns[i].order == link->answered)
            return i;
    return NONE;
}

static void resend(core *core, cell_link *link, uint32_t cell, bool is_old)
{
    uint32_t blamed = turn_to_blame(core, link, cell, is_old);
    for (uint32_t i = 0; i < CORE_TURNS_MAX; i++) {
        turn *turn = &core->turns[i];
        if (!is_in_cell(turn, cell, is_old))
            continue;
        if (!link->is_cut_short && (i == blamed || ++turn->deaths >= TURN_DEATHS_MAX))
            turn->tries++;
        if (turn->is_behind)
            turn->state = TURN_HELD;
        else
            wait_in_line(core, turn);
    }
    share_lose(&core->shares, cell, link->in_flight);
    link->in_flight = 0;
}

void turns_resend(core *core, uint32_t cell)
{
    resend(core, &core->cells[cell], cell, false);
}

void turns_resend_old(core *core, uint32_t cell)
{
    resend(core, &core->old_cells[cell], cell, true);
}

/* ---- what was stopped ---- */

static bool has_stopped_turns(const core *core, uint32_t cell, bool is_old)
{
    for (uint32_t i = 0; core->stops.has_any && i < CORE_TURNS_MAX; i++)
        if (is_in_cell(&core->turns[i], cell, is_old) && turn_stopped(core, &core->turns[i]) != 0)
            return true;
    return false;
}

static void stop_watch(const core *core, cell_link *link, uint32_t cell, bool is_old)
{
    if (link->is_open && link->in_flight > 0 && link->stop_due_ns == 0 && has_stopped_turns(core, cell, is_old))
        link->stop_due_ns = core->now_ns + STOP_CELL_MS * 1000000ll;
}

void turns_stop(core *core)
{
    for (uint32_t i = 0; i < cell_places(core); i++) {
        stop_watch(core, &core->old_cells[i], i, true);
        stop_watch(core, &core->cells[i], i, false);
    }
}

int64_t turns_stop_due_ns(const core *core)
{
    int64_t due_ns = INT64_MAX;
    for (uint32_t i = 0; i < cell_places(core); i++) {
        const cell_link *both[] = { &core->cells[i], &core->old_cells[i] };
        for (int k = 0; k < 2; k++)
            if (both[k]->is_open && both[k]->stop_due_ns != 0 && both[k]->stop_due_ns < due_ns)
                due_ns = both[k]->stop_due_ns;
    }
    return due_ns;
}

/* Turns that run into their deadline one after the other are results too, a ring full of them seconds of work for nothing.
 * It is asked for again, should another cell have been in its place when dromiod heard of it. */
static void cut_short(core *core, cell_link *link, uint32_t cell, bool is_old)
{
    if (link->stop_due_ns == 0 || core->now_ns < link->stop_due_ns)
        return;
    link->stop_due_ns = 0;
    if (!has_stopped_turns(core, cell, is_old))
        return;
    dro_warn("cell=%u is busy with turns of what was stopped: replaced", cell);
    link->stop_due_ns = core->now_ns + STOP_CELL_MS * 1000000ll;
    link->is_cut_short = true;
    core->options.supervisor->replace_cell(core->options.supervisor, cell, is_old, true);
}

/* ---- back from the cell ---- */

/* Over without having begun: nothing waits for its end, but for what an uplink's contact lets go. */
static void turn_leave_out(core *core, turn *turn, uint8_t status)
{
    uint32_t index = turn->twin;
    uint64_t number = twin_at(core, index)->number;
    turn_set_aside(core, turn, status);
    turn_free(core, turn);
    if (twin_at(core, index)->number != number)
        return;
    mailbox_flush(core, index);
    if (timers_update(core, index) != DRO_OK)
        dro_error("timers: out of memory");
}

/* It is over: kept or buried, and what waited for its end goes on. */
static void turn_settle(core *core, turn *turn, const turn_result *result, uint32_t status, const uint8_t *context)
{
    uint32_t index = turn->twin;
    uint64_t number = twin_at(core, index)->number;
    uint32_t behind = turn->behind;
    if (behind == NONE)
        twin_at(core, index)->flags &= (uint8_t)~TWIN_RUNNING;
    else if (status != TURN_OK)
        behind_are_stale(core, turn);
    bool is_put = turn->operation == TURN_CREATE || turn->operation == TURN_CONFIGURE;
    if (status > TURN_UNREADABLE)
        turn_set_aside(core, turn, (uint8_t)status);
    else if (status == TURN_OK && is_put && api_put_is_taken(core, turn)) {
        if (turn->operation == TURN_CREATE)
            twin_forget(core, index);
    } else if (status == TURN_OK)
        turn_keep(core, turn, result, context);
    else
        turn_bury(core, turn, status, turn_failure_text(status), result->cpu_nanos);
    effects_wipe(core);
    turn_free(core, turn);
    if (behind != NONE)
        turn_goes_first(core, &core->turns[behind]);
    else if (twin_at(core, index)->number == number)
        twin_resume(core, index);
}

/* A twin without code leaves everything alone: nobody is asked, and nothing waits. */
static void turn_pass(core *core, turn *turn)
{
    static const turn_result passed = { .status = TURN_OK, .outcome = EVENT_NOT_HANDLED };
    core->effect_count = 0;
    turn_settle(core, turn, &passed, TURN_OK, NULL);
}

static void turn_finish(core *core, turn *turn, const turn_result *result, const uint8_t *context, const uint8_t *effects)
{
    uint32_t status = result->status;
    core->counters.turns++;
    dro_latency_add(&core->latencies[BOARD_TURN_CPU], result->cpu_nanos);
    uint8_t forbidden = turn_forbidden(core, turn, true);
    if (forbidden != 0) { /* meanwhile: what it says counts for nothing */
        turn_settle(core, turn, result, forbidden, NULL);
        return;
    }
    bool is_known = status == TURN_DEADLINE && twin_at(core, turn->twin)->has_penalty;
    if ((status == TURN_DEADLINE || status == TURN_HOST) && !is_known && ++turn->tries < TURN_TRIES_MAX) {
        budget_charge(core, turn, result->cpu_nanos, 0, 0);
        if (status == TURN_DEADLINE) /* whoever it was that took so long, others need not wait for the second try */
            turn_move(core, turn, cell_place_of(core, core->domains[twin_at(core, turn->twin)->domain].cell, true));
        wait_again(core, turn);
        return;
    }
    if (status >= TURN_UNREADABLE) /* what a core alone says of a turn, or nobody */
        status = TURN_BAD_RESULT;
    if (status == TURN_OK && !effects_take(core, effects, result->effects_length))
        status = TURN_EFFECTS;
    if (status == TURN_OK && result->outcome > EVENT_SWALLOWED)
        status = TURN_BAD_RESULT;
    if (status == TURN_OK && !budget_lets_keep(core, turn, result->context_length)) {
        budget_charge(core, turn, result->cpu_nanos, 0, 0);
        status = TURN_BUDGET;
    }
    turn_settle(core, turn, result, status, context);
}

/* Who asked over HTTP is told and may ask again; the event of a device or a timer is a dead letter. */
void turn_unreadable(core *core, turn *turn, const char *where)
{
    uint32_t index = turn->twin;
    uint64_t number = twin_at(core, index)->number;
    char reason[128];
    uint32_t behind = turn->behind;
    snprintf(reason, sizeof reason, "%s: %s", turn_failure_text(TURN_UNREADABLE), where);
    if (behind == NONE)
        twin_at(core, index)->flags &= (uint8_t)~TWIN_RUNNING;
    behind_are_stale(core, turn);
    bool is_asked = turn->operation == TURN_WRITE || turn->operation == TURN_ACTION || turn->operation == TURN_CONFIGURE;
    if (is_asked && turn->operation_of == 0)
        tell_problem(core, turn->caller, 503, "context_unreadable", "%s; the host's log says more", reason);
    else
        turn_bury(core, turn, TURN_UNREADABLE, reason, 0);
    turn_free(core, turn);
    if (behind != NONE)
        turn_goes_first(core, &core->turns[behind]);
    else if (twin_at(core, index)->number == number)
        twin_resume(core, index);
}

/* The turn a result belongs to, or NULL: the cell made it up, or left one out. */
static turn *turn_of(core *core, const cell_link *link, uint32_t cell, bool is_old, const ring_header *header, const turn_result *result)
{
    uint32_t index = (uint32_t)header->id;
    size_t body = header->length - sizeof *header;
    if (header->type != MESSAGE_TURN_RESULT || body < sizeof *result || index >= CORE_TURNS_MAX)
        return NULL;
    turn *turn = &core->turns[index];
    if (!is_in_cell(turn, cell, is_old) || turn->serial != header->id >> 32 || turn->order != link->answered ||
        twin_at(core, turn->twin)->number != result->twin)
        return NULL;
    if (result->status != TURN_OK)
        return turn;
    uint64_t need = sizeof *result + (((uint64_t)result->context_length + 7) & ~7ull) + result->effects_length;
    if (need > body || result->context_length > CONTEXT_BYTES_MAX || result->effects_length > EFFECTS_BYTES_MAX)
        return NULL;
    return turn;
}

bool turns_are_held(const core *core)
{
    return core->is_stuck && !commit_log_has_room(core->log, LOG_RECORD_MAX, 0);
}

/* A cell that broke its ring, or is silent for too long. Where turns have the CPU only while nobody else wants it, silence says
 * nothing of them: nobody is to blame, however often it happens. */
static void give_up(core *core, uint32_t index, cell_link *cell, bool is_old, bool is_broken)
{
    bool is_starved = !is_broken && index >= core->options.cell_count;
    dro_error("cell=%u %s: replaced", index, is_broken ? "broke its ring" : "gives no results");
    cell->heard_ns = core->now_ns;
    if (is_starved)
        cell->is_cut_short = true;
    else
        cell->is_given_up = true;
    core->options.supervisor->replace_cell(core->options.supervisor, index, is_old, is_starved);
    if (is_broken && is_old)
        core_old_cell_lost(core, index);
    else if (is_broken)
        core_cell_lost(core, index);
}

static int take(core *core, uint32_t index, cell_link *cell, bool is_old)
{
    int count = 0, known = 0;
    ring_header header;
    dro_err err = DRO_OK;
    const uint8_t *body;
    bool is_held = turns_are_held(core);
    while (count < CORE_CELL_BATCH && !is_held) {
        if (count >= known)
            known = count + ahead_results(core, cell);
        if ((body = ring_next(&cell->results, &header, &err)) == NULL)
            break;
        turn_result result;
        size_t have = header.length - sizeof header;
        memcpy(&result, body, have < sizeof result ? have : sizeof result);
        turn *turn = turn_of(core, cell, index, is_old, &header, &result);
        if (turn == NULL) {
            err = DRO_CORRUPT;
            break;
        }
        const uint8_t *context = body + sizeof result;
        cell->in_flight--;
        cell->answered++;
        share_take(&core->shares, index, result.cpu_nanos, core->now_ns);
        if (turn->is_behind) { /* of a turn before it that waits to be tried again */
            turn->state = TURN_HELD;
        } else if (turn->is_stale) {
            turn_send(core, turn);
        } else if (result.status == TURN_NO_IMAGE) {
            if (!is_old && !cell->lacks[turn->image])
                cell_lacks_image(core, index, turn->image);
            cell->lacks[turn->image] = true;
            wait_again(core, turn);
        } else {
            turn_finish(core, turn, &result, context, context + ((result.context_length + 7u) & ~7u));
        }
        ring_done(&cell->results, &header);
        count++;
        is_held = turns_are_held(core);
    }
    ring_release(&cell->results);
    if (count > 0 || is_held)
        cell->heard_ns = core->now_ns;
    bool is_stalled = (cell->in_flight > 0 || cell->is_short) && core->now_ns - cell->heard_ns > cell_stall_ms(core, index) * 1000000ll;
    if (err != DRO_OK || is_stalled)
        give_up(core, index, cell, is_old, err != DRO_OK);
    else
        cut_short(core, cell, index, is_old);
    return count;
}

int turns_take(core *core)
{
    int count = 0;
    for (uint32_t i = 0; i < cell_places(core); i++) {
        if (core->old_cells[i].is_open)
            count += take(core, i, &core->old_cells[i], true);
        if (core->cells[i].is_open)
            count += take(core, i, &core->cells[i], false);
    }
    return count;
}

/* Those of a line from here on go on waiting, behind what came meanwhile. */
static void wait_on(core *core, uint32_t cell, uint32_t first, uint32_t last, uint32_t count)
{
    turn_part *part = &core->parts[cell];
    if (part->waiting.last == NONE)
        part->waiting.first = first;
    else
        core->turns[part->waiting.last].next = first;
    part->waiting.last = last;
    core->shares.of[cell].waiting += count;
}

static int send_waiting(core *core, uint32_t cell)
{
    turn_part *part = &core->parts[cell];
    uint32_t last = part->waiting.last, left = core->shares.of[cell].waiting, index = turn_line_take(&part->waiting);
    int done = 0;
    core->shares.of[cell].waiting = 0;
    while (index != NONE) { /* those that cannot go keep their order */
        turn *turn = &core->turns[index];
        if (!share_lets(&core->shares, cell)) {
            wait_on(core, cell, index, last, left);
            break;
        }
        left--;
        index = turn->next;
        if (turn->tries >= TURN_TRIES_MAX || core->images[turn->image].is_broken || turn_forbidden(core, turn, true) != 0) { /* it killed its cells; or no cell can have its code */
            turn_result failed = { .status = TURN_HOST };
            turn_finish(core, turn, &failed, NULL, NULL);
            done++;
        } else if (turn_try(core, turn)) {
            done++;
        } else {
            wait_in_line(core, turn);
        }
    }
    return done;
}

int turns_send_waiting(core *core)
{
    int done = 0;
    for (uint32_t i = 0; i < cell_places(core); i++)
        if (core->parts[i].waiting.first != NONE)
            done += send_waiting(core, i);
    return done;
}

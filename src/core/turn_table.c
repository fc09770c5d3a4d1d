/* The table of turns in flight: its rows, and which part of it is whose. */
#include "core/turn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/wipe.h"
#include "core/api.h"
#include "core/cells.h"
#include "core/conduct.h"
#include "core/groups.h"
#include "core/state.h"
#include "core/twin_table.h"
#include "twin/event.h"

_Static_assert((int)SHARE_CELLS_MAX == (int)CORE_PLACES_MAX && (int)TRUST_CELLS_MAX == (int)CORE_CELLS_MAX && (int)BOARD_CELLS == (int)CORE_CELLS_MAX, "a share for each cell");

dro_err turns_init(core *core)
{
    core->turns = calloc(CORE_TURNS_MAX, sizeof(turn));
    if (core->turns == NULL)
        return DRO_NOMEM;
    for (uint32_t i = 0; i < CORE_TURNS_MAX; i++)
        core->turns[i].next = i + 1 < CORE_TURNS_MAX ? i + 1 : NONE;
    core->turn_free = 0;
    for (uint32_t i = 0; i < CORE_PLACES_MAX; i++)
        core->parts[i].waiting = (turn_line){ NONE, NONE };
    uint32_t weights[SHARE_CELLS_MAX], cells = core->options.cell_count;
    trust_shares(core->options.trust, cells, weights);
    for (uint32_t i = cells; i < cell_places(core); i++)
        weights[i] = weights[i - cells] / PROBATION_SHARE > 0 ? weights[i - cells] / PROBATION_SHARE : 1;
    shares_init(&core->shares, weights, cell_places(core), core->options.trust != NULL && core->options.trust->group_count > 0);
    core->cold = (turn_line){ NONE, NONE };
    core->turn_last = core->chain = NONE;
    return DRO_OK;
}

bool turns_are_full(const core *core)
{
    return core->turn_count + CORE_TIMER_BATCH >= CORE_TURNS_MAX || core->turn_bytes >= CORE_TURN_BYTES_MAX;
}

bool turns_part_is_full(const core *core, uint32_t cell)
{
    const turn_part *part = &core->parts[cell];
    if (cell >= core->options.cell_count)
        return part->turns >= PROBATION_TURNS_MAX || part->bytes >= PROBATION_BYTES_MAX;
    return core->options.cell_count > 1 && (part->turns + core->turn_count + CORE_TIMER_BATCH >= CORE_TURNS_MAX ||
                                            part->bytes + core->turn_bytes >= CORE_TURN_BYTES_MAX);
}

uint32_t turn_cell_of(core *core, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    return cell_place_of(core, core->domains[twin->domain].cell, twin_is_on_probation(core, twin));
}

void turn_move(core *core, turn *turn, uint32_t place)
{
    core->parts[turn->cell].turns--;
    core->parts[turn->cell].bytes -= turn->length;
    turn->cell = (uint8_t)place;
    core->parts[place].turns++;
    core->parts[place].bytes += turn->length;
}

/* A twin without code needs no cell, unless it is being given some. */
static bool has_room(core *core, uint32_t index, uint8_t operation)
{
    bool is_plain = twin_at(core, index)->image == NONE && operation != TURN_CREATE && operation != TURN_CONFIGURE;
    uint32_t cell = turn_cell_of(core, index);
    if (is_plain || !turns_part_is_full(core, cell))
        return true;
    core->parts[cell].refused++;
    return false;
}

bool twin_is_broken(const core *core, uint32_t index)
{
    uint32_t image = twin_at(core, index)->image;
    return image != NONE && core->images[image].is_broken;
}

turn *turn_new(core *core, uint32_t index, uint8_t operation)
{
    uint32_t free = core->turn_free;
    if (free == NONE || core->turn_bytes >= CORE_TURN_BYTES_MAX || twin_is_broken(core, index) || !has_room(core, index, operation))
        return NULL;
    turn *turn = &core->turns[free];
    core->turn_free = turn->next;
    core->turn_count++;
    *turn = (struct turn){ .twin = index, .next = NONE, .behind = NONE, .operation = operation,
                           .serial = ++core->turn_serial, .state = TURN_WAITING, .wait = TICKET_PENDING };
    turn->caller.gate = NONE;
    turn->image = twin_at(core, index)->image;
    turn->cell = (uint8_t)turn_cell_of(core, index);
    core->parts[turn->cell].turns++;
    turn->seed = dro_random_next(&core->random);
    return turn;
}

void turn_free(core *core, turn *turn)
{
    uint32_t index = (uint32_t)(turn - core->turns);
    if (turn->event != NULL) {
        dro_wipe(turn->event, turn->length);
        core->turn_bytes -= turn->length;
        core->parts[turn->cell].bytes -= turn->length;
        if (turn->event != turn->small)
            free(turn->event);
    }
    if (turn->operation_of != 0)
        group_turn_freed(core, turn);
    api_put_end(core, turn->put);
    free(turn->nidd);
    free(turn->report);
    free(turn->idempotency);
    free(turn->text);
    core->parts[turn->cell].turns--;
    *turn = (struct turn){ .next = core->turn_free };
    core->turn_free = index;
    core->turn_count--;
}

dro_err turn_event(core *core, turn *turn, uint8_t kind, uint32_t id, const void *payload, size_t length)
{
    assert(turn->event == NULL);
    if (length > EVENT_BYTES_MAX)
        return DRO_LIMIT;
    turn->kind = kind;
    turn->event_id = id;
    if (length == 0)
        return DRO_OK;
    turn->event = length <= sizeof turn->small ? turn->small : malloc(length);
    if (turn->event == NULL)
        return DRO_NOMEM;
    memcpy(turn->event, payload, length);
    turn->length = (uint32_t)length;
    core->turn_bytes += length;
    core->parts[turn->cell].bytes += length;
    return DRO_OK;
}

uint32_t turn_slot(const core *core, const turn *turn)
{
    return (uint32_t)(turn - core->turns);
}

uint64_t turn_id(const core *core, const turn *turn)
{
    return (uint64_t)turn->serial << 32 | turn_slot(core, turn);
}

void turn_line_put(core *core, turn_line *line, turn *turn)
{
    uint32_t index = (uint32_t)(turn - core->turns);
    turn->next = NONE;
    if (line->last == NONE)
        line->first = index;
    else
        core->turns[line->last].next = index;
    line->last = index;
}

uint32_t turn_line_take(turn_line *line)
{
    uint32_t first = line->first;
    *line = (turn_line){ NONE, NONE };
    return first;
}

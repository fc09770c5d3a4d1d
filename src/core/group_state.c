/* What becomes of the members in an operation: a part each, counted. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "core/authorization.h"
#include "core/charge.h"
#include "core/groups.h"
#include "core/mailbox.h"
#include "core/nidd.h"
#include "core/record.h"
#include "core/render.h"
#include "core/tell.h"
#include "core/turn.h"
#include "core/twin_table.h"

#define WAITS(status) GROUP_SHOWN_PENDING, DELIVERY_##status, false
#define FAILS(status) GROUP_SHOWN_FAILED, DELIVERY_##status, true

static const group_state_row rows[GROUP_STATES] = {
    [GROUP_STATE_NONE] = { GROUP_SHOWN_WAITING, DELIVERY_BUFFERING, true, NULL },
    [GROUP_STATE_WAITING] = { GROUP_SHOWN_WAITING, DELIVERY_BUFFERING, false, NULL },
    [GROUP_STATE_RUNNING] = { GROUP_SHOWN_WAITING, DELIVERY_BUFFERING, false, NULL },
    [GROUP_STATE_PENDING] = { WAITS(BUFFERING), NULL },
    [GROUP_STATE_UNREACHABLE] = { WAITS(BUFFERING_TEMPORARILY_NOT_REACHABLE), "the device sleeps" },
    [GROUP_STATE_SENT] = { GROUP_SHOWN_SENT, DELIVERY_SENDING, false, NULL },
    [GROUP_STATE_DELIVERED] = { GROUP_SHOWN_DELIVERED, DELIVERY_SUCCESS_NEXT_HOP_UNACKNOWLEDGED, true, NULL },
    [GROUP_STATE_ACKNOWLEDGED] = { GROUP_SHOWN_DELIVERED, DELIVERY_SUCCESS_NEXT_HOP_ACKNOWLEDGED, true, NULL },
    [GROUP_STATE_REPORTED] = { GROUP_SHOWN_REPORTED, DELIVERY_SUCCESS, true, NULL },
    [GROUP_STATE_FAILED] = { FAILS(FAILURE), "the command failed; the twin's ticket says why" },
    [GROUP_STATE_REFUSED] = { FAILS(FAILURE), "the twin refused it" },
    [GROUP_STATE_NETWORK] = { FAILS(FAILURE_NEXT_HOP), "the network refused it" },
    [GROUP_STATE_EXPIRED] = { FAILS(FAILURE_TIMEOUT), "the device was not reached in time" },
    [GROUP_STATE_NO_SUBSCRIPTION] = { FAILS(FAILURE), "the device has no subscription here" },
    /* INDICATE_ERROR: no status of its own in T8; FAILURE_TEMPORARILY_NOT_REACHABLE is of a device that sleeps. */
    [GROUP_STATE_NO_CONNECTION] = { FAILS(FAILURE), "the device has no connection" },
    [GROUP_STATE_NOT_REACHABLE] = { FAILS(FAILURE_TEMPORARILY_NOT_REACHABLE), "the device cannot be reached now" },
    [GROUP_STATE_FULL] = { FAILS(FAILURE), "too much waits for the device" },
    [GROUP_STATE_NOT_KNOWN] = { FAILS(FAILURE), "the twin's model does not know this" },
    [GROUP_STATE_RANGE] = { FAILS(FAILURE), "wrong type or out of range for the twin's model" },
    [GROUP_STATE_READ_ONLY] = { FAILS(FAILURE), "read-only in the twin's model" },
    [GROUP_STATE_BROKEN] = { FAILS(FAILURE), "the image of the twin is damaged on this host" },
    [GROUP_STATE_SUPERSEDED] = { FAILS(FAILURE), "a newer command took its place" },
};

const group_state_row *group_state_of(uint8_t state)
{
    return &rows[state < GROUP_STATES ? state : GROUP_STATE_FAILED];
}

const char *group_shown_text(uint32_t shown)
{
    static const char *const texts[GROUP_SHOWN_STATES] = { "waiting", "pending", "sent", "delivered", "reported", "failed" };
    return texts[shown < GROUP_SHOWN_STATES ? shown : GROUP_SHOWN_FAILED];
}

/* ---- parts ---- */

static dro_err parts_room(group_operation *operation, const group *group)
{
    if (operation->part_capacity >= group->capacity)
        return DRO_OK;
    group_part *grown = realloc(operation->parts, group->capacity * sizeof *grown);
    if (grown == NULL)
        return DRO_NOMEM;
    memset(grown + operation->part_capacity, 0, (group->capacity - operation->part_capacity) * sizeof *grown);
    operation->parts = grown;
    operation->part_capacity = group->capacity;
    return DRO_OK;
}

dro_err group_parts_room(core *core, const group *group)
{
    for (uint32_t i = 0; core->groups->operation_count > 0 && i < GROUP_OPERATIONS_MAX; i++) {
        group_operation *operation = core->groups->operations[i];
        dro_err err = operation == NULL || operation->group != group->number ? DRO_OK : parts_room(operation, group);
        if (err != DRO_OK)
            return err;
    }
    return DRO_OK;
}

void group_part_set(core *core, group_operation *operation, uint32_t place, uint8_t state)
{
    if (place >= operation->part_capacity)
        return;
    group_part *part = &operation->parts[place];
    core->groups->sent += (state == GROUP_STATE_SENT) - (part->state == GROUP_STATE_SENT);
    if (part->state != GROUP_STATE_NONE)
        operation->counts[part->state]--;
    if (state != GROUP_STATE_NONE)
        operation->counts[state]++;
    part->state = state;
    if (state == GROUP_STATE_NONE)
        part->told = GROUP_STATE_NONE;
    operation->is_changed = core->groups->is_changed = true;
}

/* Whoever joined before it and has no part yet waits for one. */
static void parts_wait(core *core, group_operation *operation, const group *group)
{
    for (uint32_t place = 0; place < group->place_count; place++) {
        uint32_t number = group_place(group, place);
        if (number != 0 && membership_at(core, number)->since < operation->number && operation->parts[place].state == GROUP_STATE_NONE)
            group_part_set(core, operation, place, GROUP_STATE_WAITING);
        else if (number != 0 && operation->parts[place].state == GROUP_STATE_SENT)
            group_part_set(core, operation, place, GROUP_STATE_PENDING);
    }
    operation->is_walking = operation->is_changed = core->groups->is_changed = true;
    operation->cursor = 0;
}

dro_err group_operation_begin(core *core, group_operation *begun)
{
    const group *group = group_at(core, begun->group);
    if (group == NULL)
        return DRO_OK; /* it goes in the same version of the tables */
    dro_err err = parts_room(begun, group);
    begun->tell_ms = group_tell_first(core, begun);
    if (err == DRO_OK && core->is_started)
        parts_wait(core, begun, group);
    return err;
}

void groups_recovered(core *core)
{
    for (uint32_t i = 0; i < GROUP_OPERATIONS_MAX; i++) {
        group_operation *operation = core->groups->operations[i];
        const group *group = operation == NULL ? NULL : group_at(core, operation->group);
        if (group == NULL)
            continue;
        parts_wait(core, operation, group);
        operation->is_resumed = true;
    }
    for (uint32_t i = 0; i < core->groups->configuration_high; i++) { /* a crash may have come between the tables and the members */
        group_configuration *configuration = core->groups->configurations[i];
        if (configuration != NULL && configuration->status == NIDD_TERMINATED_UE_NOT_AUTHORIZED)
            authorization_group_revoked(core, configuration);
    }
}

/* ---- records ---- */

/* Of the member in the operation; NULL: it takes no part. */
static membership *part_of(core *core, uint32_t index, const group_operation *operation)
{
    const group *group = operation == NULL ? NULL : group_at(core, operation->group);
    membership *of = group == NULL ? NULL : membership_find(core, twin_at(core, index), group);
    return of != NULL && of->place < operation->part_capacity && of->since < operation->number ? of : NULL;
}

static void put(core *core, const group_operation *operation, uint8_t state, uint8_t version)
{
    dro_builder *part = record_part(core);
    dro_builder_le(part, operation->number, 4);
    dro_builder_le(part, state, 1);
    dro_builder_le(part, version, 1);
    record_part_end(core, FIELD_GROUP_STATE);
}

void group_state_put(core *core, uint32_t index, uint64_t number, group_state state)
{
    group_operation *operation = group_operation_at(core, number);
    const membership *of = part_of(core, index, operation);
    if (of == NULL || operation->parts[of->place].state == state)
        return;
    if (operation->kind == GROUP_DOWNLINK && rows[state].is_final && !rows[operation->parts[of->place].state].is_final)
        charge_member(core, index, operation, (nidd_delivery_status)rows[state].delivery);
    put(core, operation, (uint8_t)state, operation->parts[of->place].version);
}

dro_err group_state_apply(core *core, uint32_t index, dro_cursor *in)
{
    uint64_t number = group_number((uint32_t)dro_cursor_le(in, 4));
    uint8_t state = (uint8_t)dro_cursor_le(in, 1), version = (uint8_t)dro_cursor_le(in, 1);
    if (in->err != DRO_OK || state >= GROUP_STATES)
        return DRO_MALFORMED;
    group_operation *operation = group_operation_at(core, number); /* none: it is gone */
    const membership *of = part_of(core, index, operation);
    if (of == NULL)
        return DRO_OK;
    group_part_set(core, operation, of->place, state);
    operation->parts[of->place].version = version;
    if (version != operation->version && !group_state_of(state)->is_final)
        operation->is_walking = true; /* it was replaced meanwhile */
    return DRO_OK;
}

void group_state_sent(core *core, uint32_t index, uint64_t number)
{
    group_operation *operation = group_number_is(number) ? group_operation_at(core, number) : NULL;
    const membership *of = part_of(core, index, operation);
    if (of != NULL)
        group_part_set(core, operation, of->place, GROUP_STATE_SENT);
}

void group_state_again(core *core, uint32_t index, uint64_t number)
{
    group_operation *operation = group_operation_at(core, number);
    const membership *of = part_of(core, index, operation);
    if (of == NULL || operation->parts[of->place].state != GROUP_STATE_RUNNING)
        return;
    group_part_set(core, operation, of->place, GROUP_STATE_WAITING);
    operation->is_walking = true;
}

/* As recovery shall find them: what only was in memory is left out. */
void group_parts_full(core *core, const group *group, uint32_t place)
{
    for (uint32_t i = 0; core->groups->operation_count > 0 && i < GROUP_OPERATIONS_MAX; i++) {
        const group_operation *operation = core->groups->operations[i];
        if (operation == NULL || operation->is_gone || operation->group != group->number || place >= operation->part_capacity)
            continue;
        const group_part *part = &operation->parts[place];
        if (part->state == GROUP_STATE_SENT)
            put(core, operation, GROUP_STATE_PENDING, part->version);
        else if (part->state > GROUP_STATE_RUNNING)
            put(core, operation, part->state, part->version);
    }
}

/* ---- what becomes of downlinks and commands ---- */

void group_delivery_end(core *core, uint32_t index, uint64_t number, nidd_delivery_status status)
{
    switch (status) {
    case DELIVERY_SUCCESS_NEXT_HOP_ACKNOWLEDGED: group_state_put(core, index, number, GROUP_STATE_ACKNOWLEDGED); break;
    case DELIVERY_FAILURE_NEXT_HOP: group_state_put(core, index, number, GROUP_STATE_NETWORK); break;
    case DELIVERY_FAILURE_TEMPORARILY_NOT_REACHABLE: group_state_put(core, index, number, GROUP_STATE_NOT_REACHABLE); break;
    case DELIVERY_FAILURE_TIMEOUT: group_state_put(core, index, number, GROUP_STATE_EXPIRED); break;
    default:
        group_state_put(core, index, number, status < DELIVERY_FAILURE ? GROUP_STATE_DELIVERED : GROUP_STATE_FULL);
        break;
    }
}

void group_delivery_wait(core *core, uint32_t index, uint64_t number)
{
    group_state_put(core, index, number, GROUP_STATE_UNREACHABLE);
}

void group_ticket_moved(core *core, uint32_t index, const ticket *moved)
{
    static const uint8_t states[] = {
        [TICKET_PENDING] = GROUP_STATE_PENDING, [TICKET_SENT] = GROUP_STATE_SENT, [TICKET_DELIVERED] = GROUP_STATE_DELIVERED,
        [TICKET_REPORTED] = GROUP_STATE_REPORTED, [TICKET_SUPERSEDED] = GROUP_STATE_SUPERSEDED, [TICKET_FAILED] = GROUP_STATE_FAILED,
        [TICKET_EXPIRED] = GROUP_STATE_EXPIRED,
    };
    if (moved->operation != 0 && moved->state < sizeof states)
        group_state_put(core, index, moved->operation, (group_state)states[moved->state]);
}

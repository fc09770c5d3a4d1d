/* A round's part of what is done to groups: bounded, so that nobody else waits for it.
 *
 * An operation walks the places of its group. A member whose twin is busy is met again in the next
 * pass; where too much is under way the walk waits for answers, which wake the core. */
#include "core/charge_owed.h"
#include "core/exposure.h"
#include "core/groups.h"

#include <string.h>

#include "base/fields.h"
#include "core/api.h"
#include "core/authorization.h"
#include "core/mailbox.h"
#include "core/nidd.h"
#include "core/peers.h"
#include "core/record.h"
#include "core/schedule.h"
#include "core/turn.h"
#include "core/twin_table.h"
#include "twin/event.h"

typedef enum begun { BEGUN, BEGUN_NOT, BEGUN_LATER /* its twin is busy */, BEGUN_FULL /* too much is under way */ } begun;

/* ---- beginning one member ---- */

static begun end_at_once(core *core, const group_operation *operation, uint32_t index, group_state state)
{
    record_begin(core, index, RECORD_DELTA);
    group_state_put(core, index, group_number(operation->number), state);
    record_end(core);
    return BEGUN_NOT;
}

static void mail_of_operation_gone(core *core, uint32_t index, uint64_t number)
{
    const twin *twin = twin_at(core, index);
    for (mail *m = nidd_mail(twin, number, NULL); m != NULL;) {
        uint64_t gone = m->number;
        bool is_sent = m->is_sent;
        m = nidd_mail(twin, number, m);
        if (!is_sent)
            record_put(core, FIELD_MAIL_GONE, &gone, 8);
    }
}

bool group_downlinks_revoke(core *core, uint32_t index, uint32_t place, const group_configuration *revoked)
{
    bool has_begun = false;
    for (uint32_t i = 0; core->groups->operation_count > 0 && i < GROUP_OPERATIONS_MAX; i++) {
        const group_operation *of = core->groups->operations[i];
        if (of == NULL || of->is_gone || of->configuration != revoked->number || place >= of->part_capacity)
            continue;
        uint8_t state = of->parts[place].state;
        if (state != GROUP_STATE_WAITING && state != GROUP_STATE_PENDING && state != GROUP_STATE_UNREACHABLE)
            continue; /* of what is out the answer decides */
        if (!has_begun)
            record_begin(core, index, RECORD_DELTA);
        has_begun = true;
        mail_of_operation_gone(core, index, group_number(of->number));
        group_state_put(core, index, group_number(of->number), GROUP_STATE_NO_SUBSCRIPTION);
    }
    if (has_begun)
        record_end(core);
    return has_begun;
}

static uint8_t pdn_option_of(const core *core, const group_operation *operation)
{
    dro_field room;
    const dro_field *option = nidd_field(operation->fields, operation->length, API_FIELD_PDN_OPTION, &room);
    const group_configuration *configuration = group_configuration_at(core, group_number(operation->configuration));
    if (option == NULL && configuration != NULL)
        option = nidd_field(configuration->fields, configuration->length, API_FIELD_PDN_OPTION, &room);
    return option != NULL && option->length == 1 ? option->bytes[0] : PDN_WAIT_FOR_UE;
}

static bool is_revoked(const core *core, const group_operation *operation)
{
    const group_configuration *of = group_configuration_at(core, group_number(operation->configuration));
    return of != NULL && of->status == NIDD_TERMINATED_UE_NOT_AUTHORIZED;
}

static bool may_wait(const core *core, const group_operation *operation)
{
    dro_field room;
    dro_err ignored = DRO_OK;
    if (is_revoked(core, operation))
        return false;
    const dro_field *latency = nidd_field(operation->fields, operation->length, API_FIELD_MAXIMUM_LATENCY, &room);
    if (latency != NULL && dro_field_u64(latency, &ignored) == 0)
        return false;
    const dro_field *data = nidd_field(operation->fields, operation->length, API_FIELD_DATA, &room);
    return data == NULL || data->length <= core->options.downlink.size;
}

bool group_may_wait(const core *core, uint64_t number)
{
    const group_operation *operation = group_operation_at(core, number);
    return operation != NULL && (operation->kind != GROUP_DOWNLINK || may_wait(core, operation)); /* none: it was taken back */
}

/* What speaks against a downlink to the member, as it would to the device alone; NONE: nothing. */
static group_state downlink_refusal(const core *core, const group_operation *operation, const twin *twin)
{
    bool is_connected = (twin->flags & TWIN_CONNECTED) != 0;
    if ((twin->flags & TWIN_HAS_IMSI) == 0 || is_revoked(core, operation))
        return GROUP_STATE_NO_SUBSCRIPTION;
    if (!is_connected && pdn_option_of(core, operation) == PDN_INDICATE_ERROR)
        return GROUP_STATE_NO_CONNECTION;
    bool is_asleep = !is_connected || twin->flags & TWIN_BLOCKED;
    return is_asleep && !may_wait(core, operation) ? GROUP_STATE_NOT_REACHABLE : GROUP_STATE_NONE;
}

/* A connected device whose serving node is away, as all are after a start, would count as asleep: it is waited for. */
static bool is_reachable(const core *core, const twin *twin)
{
    bool is_connected = twin->flags & TWIN_CONNECTED && (twin->flags & TWIN_BLOCKED) == 0;
    const peers_node node = network_node(core, twin);
    return !is_connected || peers_reach(core, &node);
}

/* Nobody else sends what waited when the host ended. */
static begun send_again(core *core, uint32_t index)
{
    if (!is_reachable(core, twin_at(core, index)))
        return BEGUN_LATER;
    mailbox_flush(core, index);
    return BEGUN;
}

static begun begin_downlink(core *core, group_operation *operation, uint32_t index, uint32_t place)
{
    dro_field room;
    group_state refusal = downlink_refusal(core, operation, twin_at(core, index));
    const dro_field *data = nidd_field(operation->fields, operation->length, API_FIELD_DATA, &room);
    uint64_t number = group_number(operation->number);
    if (!is_reachable(core, twin_at(core, index)))
        return BEGUN_LATER;
    if (nidd_mail(twin_at(core, index), number, NULL) != NULL) { /* it was replaced meanwhile */
        record_begin(core, index, RECORD_DELTA);
        mail_of_operation_gone(core, index, number);
        record_end(core);
    }
    if (refusal != GROUP_STATE_NONE || data == NULL)
        return end_at_once(core, operation, index, data == NULL ? GROUP_STATE_FAILED : refusal);
    turn *turn = turn_new(core, index, TURN_DOWNLINK);
    if (turn == NULL)
        return BEGUN_FULL;
    if (turn_event(core, turn, EVENT_DOWNLINK, 0, data->bytes, data->length) != DRO_OK) {
        turn_free(core, turn);
        return BEGUN_FULL;
    }
    group_turn_mark(core, turn, operation, place);
    turn_send(core, turn);
    return BEGUN;
}

void group_turn_mark(core *core, turn *turn, group_operation *operation, uint32_t place)
{
    turn->operation_of = group_number(operation->number);
    core->groups->turns++;
    group_part_set(core, operation, place, GROUP_STATE_RUNNING);
}

static begun begin_member(core *core, group_operation *operation, uint32_t index, uint32_t place)
{
    const twin *twin = twin_at(core, index);
    if (twin->row == NONE || twin->flags & (TWIN_RUNNING | TWIN_CREATING))
        return BEGUN_LATER;
    group_part *part = &operation->parts[place];
    if (part->state == GROUP_STATE_PENDING && (part->version == operation->version || operation->kind != GROUP_DOWNLINK))
        return send_again(core, index);
    part->version = operation->version;
    if (twin_is_broken(core, index))
        return end_at_once(core, operation, index, GROUP_STATE_BROKEN);
    if (operation->expires_ms <= core->now_ms)
        return end_at_once(core, operation, index, GROUP_STATE_EXPIRED);
    if (turns_part_is_full(core, turn_cell_of(core, index)))
        return BEGUN_LATER;
    if (operation->kind == GROUP_DOWNLINK)
        return begin_downlink(core, operation, index, place);
    if (!is_reachable(core, twin))
        return BEGUN_LATER;
    group_state state = api_group_command(core, operation, index, place);
    if (state == GROUP_STATE_WAITING)
        return BEGUN_FULL;
    return state == GROUP_STATE_NONE ? BEGUN : end_at_once(core, operation, index, state);
}

/* ---- its turn ---- */

void group_turn_begin(core *core, turn *turn)
{
    group_operation *operation = group_operation_at(core, turn->operation_of);
    const twin *twin = twin_at(core, turn->twin);
    if (operation == NULL)
        return; /* taken back while the turn ran */
    group_state_put(core, turn->twin, turn->operation_of, twin->flags & TWIN_BLOCKED ? GROUP_STATE_UNREACHABLE : GROUP_STATE_PENDING);
    turn->ticket = turn->operation_of;
}

static void group_mail_put(core *core, uint32_t index, const group_operation *operation)
{
    if (!mailbox_has_room(core, index, group_number(operation->number), 0))
        return;
    dro_builder *part = record_part(core);
    dro_builder_le(part, core->mail_next, 8);
    dro_builder_le(part, group_number(operation->number), 8);
    dro_builder_le(part, (uint64_t)operation->expires_ms, 8);
    record_part_end(core, FIELD_GROUP_MAIL);
}

void group_turn_end(core *core, turn *turn, uint32_t outcome)
{
    const group_operation *operation = turn->ticket == 0 ? NULL : group_operation_at(core, turn->ticket);
    if (operation == NULL)
        return;
    if (outcome == EVENT_NOT_HANDLED)
        group_mail_put(core, turn->twin, operation);
    else if (nidd_mail(twin_at(core, turn->twin), turn->ticket, NULL) == NULL) /* the twin refuses it */
        group_state_put(core, turn->twin, turn->ticket, GROUP_STATE_REFUSED);
}

void group_turn_failed(core *core, turn *turn)
{
    group_state_put(core, turn->twin, turn->operation_of, GROUP_STATE_FAILED);
}

void group_turn_done(core *core, turn *turn)
{
    mailbox_flush(core, turn->twin);
}

void group_turn_freed(core *core, const turn *turn)
{
    core->groups->turns--;
    group_state_again(core, turn->twin, turn->operation_of);
}

const uint8_t *group_mail_bytes(const core *core, const mail *mail, uint32_t *length)
{
    dro_field room;
    const group_operation *operation = group_operation_at(core, mail->ticket);
    const dro_field *data = operation == NULL ? NULL : nidd_field(operation->fields, operation->length, API_FIELD_DATA, &room);
    *length = data == NULL ? 0 : data->length;
    return data == NULL ? NULL : data->bytes;
}

bool group_mail_is_orphan(const core *core, const mail *mail)
{
    return group_number_is(mail->ticket) && group_operation_at(core, mail->ticket) == NULL;
}

static void orphans_drop(core *core, uint32_t index)
{
    bool has_begun = false;
    for (const mail *m = twin_at(core, index)->extra->mail; m != NULL;) {
        const mail *next = m->next;
        uint64_t gone = m->number;
        if (!m->is_sent && group_mail_is_orphan(core, m)) {
            if (!has_begun)
                record_begin(core, index, RECORD_DELTA);
            has_begun = true;
            record_put(core, FIELD_MAIL_GONE, &gone, 8);
        }
        m = next;
    }
    if (has_begun)
        record_end(core);
}

void group_mail_trim(core *core, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    const mail *first = twin->extra != NULL ? twin->extra->mail : NULL;
    if (first != NULL && !first->is_sent && group_mail_is_orphan(core, first))
        orphans_drop(core, index);
}

void group_mail_recovered(core *core, uint32_t index)
{
    for (const mail *m = twin_at(core, index)->extra->mail; m != NULL && !core->groups->has_orphans; m = m->next)
        core->groups->has_orphans = group_mail_is_orphan(core, m);
}

/* A crash came between the tables without an operation and the records of its members: the rest is done after it. */
static int orphans_clear(core *core)
{
    groups *groups = core->groups;
    uint32_t end = core->twin_high - groups->orphan_cursor < GROUP_SCAN ? core->twin_high : groups->orphan_cursor + GROUP_SCAN;
    for (; groups->orphan_cursor < end; groups->orphan_cursor++) {
        const twin *twin = twin_at(core, groups->orphan_cursor);
        if (twin->number != 0 && twin->row != NONE && twin->extra != NULL)
            orphans_drop(core, groups->orphan_cursor);
    }
    groups->has_orphans = end < core->twin_high;
    return 1;
}

bool group_mail_bounced(core *core, uint32_t index, mail *sent)
{
    twin *twin = twin_at(core, index);
    const ticket *ticket = sent->ticket == 0 ? NULL : ticket_find(twin, sent->ticket);
    uint64_t number = ticket != NULL ? ticket->operation : sent->ticket;
    group_operation *operation = group_operation_at(core, number);
    const peers_node node = network_node(core, twin);
    if (operation == NULL || sent->sent_host != twin->connection.host || !peers_reach(core, &node))
        return false;
    sent->is_sent = false;
    twin->flags &= (uint8_t)~TWIN_SENDING;
    record_begin(core, index, RECORD_DELTA);
    if (ticket != NULL)
        ticket_move(core, index, ticket->number, TICKET_PENDING, "");
    group_state_put(core, index, number, GROUP_STATE_PENDING);
    record_end(core);
    if (!operation->is_walking)
        operation->cursor = 0;
    operation->has_bounced = operation->is_walking = true;
    operation->again_ms = core->now_ms + GROUP_AGAIN_MS;
    return true;
}

/* ---- the walk ---- */

static bool wants(const group_operation *operation, const group_part *part)
{
    if (operation->is_resumed && part->state == GROUP_STATE_PENDING)
        return true;
    bool waits = part->state == GROUP_STATE_PENDING || part->state == GROUP_STATE_UNREACHABLE;
    waits |= part->state == GROUP_STATE_RUNNING; /* with what it was before: met again when that turn is over */
    return part->state == GROUP_STATE_WAITING || (waits && operation->kind == GROUP_DOWNLINK && part->version != operation->version);
}

static bool has_room(const core *core, const group_operation *operation)
{
    const groups *groups = core->groups;
    bool is_downlink = operation->kind == GROUP_DOWNLINK;
    return groups->turns < GROUP_TURNS_MAX && !turns_are_full(core) &&
           (!is_downlink || groups->sent + groups->turns < GROUP_SENT_MAX / core->count);
}

/* Of the places; false: nothing more can be done now. */
static bool walk_some(core *core, group_operation *operation, const group *group, uint32_t *batch)
{
    for (uint32_t looked = 0; looked < GROUP_SCAN && operation->cursor < group->place_count; looked++, operation->cursor++) {
        uint32_t number = group_place(group, operation->cursor);
        if (number == 0 || !wants(operation, &operation->parts[operation->cursor]))
            continue;
        if (*batch == 0)
            return true;
        begun how = has_room(core, operation) ? begin_member(core, operation, membership_at(core, number)->twin, operation->cursor) : BEGUN_FULL;
        if (how == BEGUN_FULL)
            return false;
        operation->has_skipped |= how == BEGUN_LATER;
        operation->has_begun |= how != BEGUN_LATER;
        *batch -= how != BEGUN_LATER;
    }
    return true;
}

/* A serving node may be away for days. */
static uint32_t pause_of(group_operation *operation)
{
    uint32_t longer = operation->pause_ms * 2 < GROUP_AGAIN_MAX_MS ? operation->pause_ms * 2 : GROUP_AGAIN_MAX_MS;
    operation->pause_ms = operation->has_begun || operation->pause_ms == 0 ? GROUP_AGAIN_MS : longer;
    return operation->pause_ms;
}

static bool walk(core *core, group_operation *operation, uint32_t *batch)
{
    const group *group = group_at(core, operation->group);
    if (group == NULL) {
        operation->is_walking = false;
        return false;
    }
    if (operation->cursor == 0 && operation->has_bounced) {
        operation->is_resumed = true;
        operation->has_bounced = false;
    }
    if (!walk_some(core, operation, group, batch))
        return false;
    if (operation->cursor < group->place_count)
        return true;
    operation->cursor = 0;
    operation->is_walking = operation->has_skipped || operation->has_bounced;
    operation->again_ms = operation->is_walking ? core->now_ms + pause_of(operation) : 0;
    operation->has_begun = false;
    operation->is_resumed &= operation->has_skipped;
    operation->has_skipped = false;
    return false;
}

/* ---- what is gone ---- */

static int groups_clear(core *core)
{
    groups *groups = core->groups;
    for (uint32_t i = 0; i < groups->high; i++) {
        group *gone = &groups->list[i];
        if (gone->id == NULL || !gone->is_gone)
            continue;
        groups->has_gone = true;
        if (group_clear_some(core, gone, GROUP_SCAN))
            group_clear(core, gone);
        return 1;
    }
    return 0;
}

/* What waits of it in mailboxes is taken back. */
static void take_back(core *core, group_operation *gone, uint32_t index, uint32_t place)
{
    if (twin_at(core, index)->row != NONE && nidd_mail(twin_at(core, index), group_number(gone->number), NULL) != NULL) {
        record_begin(core, index, RECORD_DELTA);
        mail_of_operation_gone(core, index, group_number(gone->number));
        record_end(core);
    }
    group_part_set(core, gone, place, GROUP_STATE_NONE);
}

/* Also one that was removed: its members are there until its operations are cleared. */
static const group *group_of_gone(const core *core, uint32_t number)
{
    for (uint32_t i = 0; i < core->groups->high; i++)
        if (core->groups->list[i].id != NULL && core->groups->list[i].number == number)
            return &core->groups->list[i];
    return NULL;
}

static int operation_clear(core *core, group_operation *gone)
{
    const group *group = group_of_gone(core, gone->group);
    uint32_t most = GROUP_BATCH;
    for (uint32_t looked = 0; group != NULL && looked < GROUP_SCAN && most > 0 && gone->cursor < group->place_count; looked++, gone->cursor++) {
        uint32_t number = group_place(group, gone->cursor);
        if (number == 0 || gone->parts[gone->cursor].state < GROUP_STATE_RUNNING)
            continue;
        take_back(core, gone, membership_at(core, number)->twin, gone->cursor);
        most--;
    }
    if (group == NULL || gone->cursor >= group->place_count)
        group_operation_forget(core, gone);
    return 1;
}

static int clear(core *core)
{
    groups *groups = core->groups;
    int done = 0;
    groups->has_gone = false;
    for (uint32_t i = 0; i < GROUP_OPERATIONS_MAX; i++) {
        if (groups->operations[i] == NULL || !groups->operations[i]->is_gone)
            continue;
        groups->has_gone = true;
        if (done == 0)
            done = operation_clear(core, groups->operations[i]);
    }
    return done > 0 ? done : groups_clear(core);
}

/* ---- network parameters of groups ---- */

void groups_unsure(core *core, uint32_t number)
{
    group *of = group_at(core, number);
    if (of == NULL) /* removed: who leaves it is looked at then */
        return;
    of->unsure_cursor = 0;
    of->is_unsure = core->groups->has_unsure = true;
}

/* What is to be done for a member its own timer does: here it is only said. */
static int unsure_step(core *core)
{
    groups *groups = core->groups;
    uint32_t looked = 0;
    groups->has_unsure = false;
    for (uint32_t i = 0; i < groups->high; i++) {
        group *of = &groups->list[i];
        if (of->id == NULL || of->is_gone || !of->is_unsure)
            continue;
        for (; looked < GROUP_SCAN && of->unsure_cursor < of->place_count; looked++, of->unsure_cursor++)
            if (group_place(of, of->unsure_cursor) != 0)
                schedule_look_soon(core, membership_at(core, group_place(of, of->unsure_cursor))->twin);
        of->is_unsure = of->unsure_cursor < of->place_count;
        groups->has_unsure |= of->is_unsure;
    }
    return 1;
}

int groups_step(core *core)
{
    groups *groups = core->groups;
    uint32_t batch = GROUP_BATCH;
    bool has_more = false;
    if (core_refusal(core) != NULL)
        return 0;
    int done = groups->has_gone ? clear(core) : 0;
    if (groups->has_orphans)
        done += orphans_clear(core);
    done += groups->has_unsure ? unsure_step(core) : 0;
    done += authorization_groups_step(core);
    for (uint32_t i = 0; groups->operation_count > 0 && i < GROUP_OPERATIONS_MAX; i++) {
        group_operation *operation = groups->operations[(groups->walk_next + i) % GROUP_OPERATIONS_MAX];
        if (operation != NULL && operation->is_walking && !operation->is_gone && operation->again_ms <= core->now_ms)
            has_more |= walk(core, operation, &batch);
    }
    groups->walk_next++; /* another is the first in the next round */
    done += groups_tell(core) + exposures_groups_step(core) + charges_owed_step(core);
    return done + has_more + (int)(GROUP_BATCH - batch);
}

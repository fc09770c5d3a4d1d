/* Operations of groups over /v1: a property written or an action called on all members is one
 * ticket of the group, on core 0; what became of each member is asked of the members' cores. */
#include <stdio.h>
#include <string.h>

#include "base/fields.h"
#include "core/call.h"
#include "core/groups.h"
#include "core/host.h"
#include "core/host_tables.h"
#include "core/nidd.h"
#include "core/record.h"
#include "core/render.h"
#include "core/tell.h"
#include "core/twin_table.h"

/* ---- counts ---- */

uint32_t group_operation_members(const core *core, const group_operation *operation, uint32_t shown[GROUP_SHOWN_STATES], uint32_t *open)
{
    uint32_t counts[GROUP_STATES], members = 0;
    group_operation_counts(core, operation, counts);
    memset(shown, 0, GROUP_SHOWN_STATES * sizeof *shown);
    *open = 0;
    for (uint32_t state = GROUP_STATE_WAITING; state < GROUP_STATES; state++) {
        const group_state_row *row = group_state_of((uint8_t)state);
        shown[row->shown] += counts[state];
        *open += row->is_final ? 0 : counts[state];
        members += counts[state];
    }
    return members;
}

/* The oldest that is over for all members makes room. */
static group_operation *oldest_ended(const core *core)
{
    group_operation *oldest = NULL;
    for (uint32_t i = 0; i < GROUP_OPERATIONS_MAX; i++) {
        group_operation *operation = core->groups->operations[i];
        uint32_t shown[GROUP_SHOWN_STATES], open;
        if (operation == NULL || operation->is_gone || (oldest != NULL && oldest->number < operation->number))
            continue;
        group_operation_members(core, operation, shown, &open);
        if (open == 0)
            oldest = operation;
    }
    return oldest;
}

dro_err group_operation_make(core *core, const group_operation *head, const uint8_t *fields, group_operation **out)
{
    group_operation *ended = core->groups->operation_count < GROUP_OPERATIONS_MAX ? NULL : oldest_ended(core);
    if (ended != NULL) {
        group_operation_remove(core, ended);
        group_operation_forget(core, ended); /* nothing of it waits anywhere */
    }
    dro_err err = group_operation_add(core, head, fields, out);
    if (err != DRO_OK)
        return err;
    err = groups_keep(core);
    if (err != DRO_OK)
        group_operation_remove(core, *out);
    return err;
}

/* ---- as JSON ---- */

static void value_put(const group_operation *operation, dro_builder *out)
{
    dro_field room;
    const dro_field *field = nidd_field(operation->fields, operation->length, API_FIELD_VALUE, &room);
    dro_cursor in = dro_cursor_over(field == NULL ? NULL : field->bytes, field == NULL ? 0 : field->length);
    value value = value_read(&in);
    if (field != NULL && in.err == DRO_OK && value.kind != VALUE_NONE)
        value_json(out, &value);
    else
        dro_builder_text(out, "null");
}

static void inputs_put(const group_operation *operation, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(operation->fields, operation->length);
    dro_field field;
    bool is_first = true;
    dro_builder_text(out, "{");
    while (dro_field_next(&in, &field)) {
        if (field.tag != API_FIELD_INPUT)
            continue;
        dro_cursor part = dro_cursor_over(field.bytes, field.length);
        size_t length = dro_cursor_le(&part, 1);
        const uint8_t *name = dro_cursor_bytes(&part, length);
        value value = value_read(&part);
        if (part.err != DRO_OK)
            continue;
        dro_builder_text(out, is_first ? "" : ",");
        json_text(out, (const char *)name, length);
        dro_builder_text(out, ":");
        value_json(out, &value);
        is_first = false;
    }
    dro_builder_text(out, "}");
}

static void ticket_put_json(core *core, const group *group, const group_operation *operation, dro_builder *out)
{
    dro_field room;
    uint32_t shown[GROUP_SHOWN_STATES], open, members = group_operation_members(core, operation, shown, &open);
    const dro_field *name = nidd_field(operation->fields, operation->length, API_FIELD_NAME, &room);
    json_put(out, "{\"ticket\":\"%u\",\"group\":", operation->number);
    json_string(out, group->id);
    json_put(out, ",\"state\":\"%s\",\"%s\":", open > 0 ? "running" : "ended", operation->kind == GROUP_WRITE ? "property" : "action");
    json_text(out, name == NULL ? "" : (const char *)name->bytes, name == NULL ? 0 : name->length);
    dro_builder_text(out, ",\"value\":");
    if (operation->kind == GROUP_WRITE)
        value_put(operation, out);
    else
        inputs_put(operation, out);
    json_put(out, ",\"members\":%u,\"counts\":{", members);
    for (uint32_t i = 0; i < GROUP_SHOWN_STATES; i++)
        json_put(out, "%s\"%s\":%u", i > 0 ? "," : "", group_shown_text(i), shown[i]);
    dro_builder_text(out, "},\"time\":");
    json_time(out, operation->made_ms);
    dro_builder_text(out, "}");
}

/* ---- requests ---- */

/* The ticket of the path; NULL after a problem. */
static group_operation *ticket_find_of(core *core, const call *call, const group *group)
{
    group_operation *found = call->ticket > UINT32_MAX ? NULL : group_operation_at(core, group_number((uint32_t)call->ticket));
    if (found != NULL && found->group == group->number && found->configuration == 0)
        return found;
    tell_problem(core, call->caller, 404, "about:blank", "no ticket %llu is kept for this group", (unsigned long long)call->ticket);
    return NULL;
}

void api_group_ticket_list(core *core, const call *call)
{
    const group *group = call_group(core, call);
    if (group == NULL)
        return;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    bool is_first = true;
    dro_builder_text(&out, "{\"tickets\":[");
    for (uint32_t i = 0; i < GROUP_OPERATIONS_MAX; i++) {
        const group_operation *operation = core->groups->operations[i];
        if (operation == NULL || operation->is_gone || operation->group != group->number || operation->configuration != 0)
            continue;
        dro_builder_text(&out, is_first ? "" : ",");
        ticket_put_json(core, group, operation, &out);
        is_first = false;
    }
    dro_builder_text(&out, "]}");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

void api_group_ticket_get(core *core, const call *call)
{
    const group *group = call_group(core, call);
    const group_operation *found = group == NULL ? NULL : ticket_find_of(core, call, group);
    if (found == NULL)
        return;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    ticket_put_json(core, group, found, &out);
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

/* What waits for a turn is not begun; what is in the mailboxes or with the devices goes its way. */
void api_group_ticket_delete(core *core, const call *call)
{
    const group *group = call_group(core, call);
    group_operation *gone = group == NULL ? NULL : ticket_find_of(core, call, group);
    if (gone == NULL)
        return;
    group_operation_remove(core, gone);
    if (groups_keep(core) != DRO_OK)
        tell_problem(core, call->caller, 503, "about:blank", "the removal could not be kept");
    else
        call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
}

static bool put_exception(core *core, const call *call, const group *group, uint32_t place, dro_builder *out)
{
    const group_operation *operation = group_operation_at(core, group_number((uint32_t)call->ticket));
    uint8_t state = operation == NULL || place >= operation->part_capacity ? GROUP_STATE_NONE : operation->parts[place].state;
    const group_state_row *row = group_state_of(state);
    uint32_t wanted = call->has_shown ? call->shown : GROUP_SHOWN_FAILED;
    if (state == GROUP_STATE_NONE || row->shown != wanted)
        return false;
    size_t length;
    const char *id = twin_id(core, twin_at(core, membership_at(core, group_place(group, place))->twin), &length);
    dro_builder_text(out, "{\"id\":");
    json_text(out, id, length);
    json_put(out, ",\"state\":\"%s\",\"reason\":", group_shown_text(row->shown));
    if (row->reason != NULL)
        json_string(out, row->reason);
    else
        dro_builder_text(out, "null");
    dro_builder_text(out, "}");
    return true;
}

void api_group_ticket_members(core *core, const call *call)
{
    const group *group = call_group(core, call);
    if (group != NULL && ticket_find_of(core, call, group) != NULL)
        group_page(core, call, group, put_exception);
}

/* The name, the value and the inputs: what each member's command is made of. */
static void operation_fields(const call *call, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    dro_field field;
    while (dro_field_next(&in, &field))
        if (field.tag == API_FIELD_NAME || field.tag == API_FIELD_VALUE || field.tag == API_FIELD_INPUT)
            dro_field_put(out, (uint8_t)field.tag, field.bytes, field.length);
}

static void keep_idempotency(core *core, const call *call, const dro_builder *answer)
{
    if (call->idempotency == NULL)
        return;
    record_begin(core, NONE, RECORD_GROUPS);
    idempotent_put(core, call->idempotency, call->idempotency + 32, 202, answer->start, dro_builder_length(answer));
    record_end(core);
}

void group_usage(core *core, uint32_t application, const group *group)
{
    usage_downlinks(core, application, (uint32_t)group_members_all(core, group));
    usage_keep(core, application);
}

static void operation_make(core *core, const call *call, group_operation_kind kind)
{
    uint8_t fields[GROUP_FIELDS_MAX];
    char location[360];
    group_operation *made;
    const group *group = call_group(core, call);
    if (group == NULL || !call_idempotent(core, call) || call_quota_is_reached(core, call, group_members_all(core, group)))
        return;
    dro_builder given = dro_builder_over(fields, sizeof fields);
    operation_fields(call, &given);
    group_operation head = { .group = group->number, .application = call->application, .scopes = call->scopes, .kind = (uint8_t)kind,
                             .made_ms = core->now_ms, .expires_ms = core->now_ms + DOWNLINK_EXPIRY_S * 1000ll,
                             .length = (uint16_t)dro_builder_length(&given) };
    dro_err err = given.err == DRO_OK ? group_operation_make(core, &head, fields, &made) : DRO_RANGE;
    if (err == DRO_RANGE)
        tell_problem(core, call->caller, 413, "about:blank", "the input is too large");
    else if (err == DRO_LIMIT)
        tell_problem(core, call->caller, 503, "too_many_operations", "%d operations of groups are under way; wait for one to end", GROUP_OPERATIONS_MAX);
    else if (err != DRO_OK)
        tell_problem(core, call->caller, 503, "about:blank", "the operation could not be kept: %s", dro_err_text(err));
    if (err != DRO_OK)
        return;
    if (call_counted(core, call) != NULL)
        group_usage(core, call->application, group);
    snprintf(location, sizeof location, "/v1/groups/%s/tickets/%u", group->id, made->number);
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    ticket_put_json(core, group, made, &out);
    keep_idempotency(core, call, &out);
    call_reply(core, call, 202, UINT64_MAX, location, &out);
}

void api_group_property_put(core *core, const call *call)
{
    operation_make(core, call, GROUP_WRITE);
}

void api_group_action(core *core, const call *call)
{
    operation_make(core, call, GROUP_ACTION);
}

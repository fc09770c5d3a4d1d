/* Commands: property writes and actions become tickets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/groups.h"
#include "core/api.h"
#include "core/call.h"
#include "core/host_tables.h"
#include "core/mailbox.h"
#include "core/nidd.h"
#include "core/number.h"
#include "core/rate.h"
#include "core/record.h"
#include "core/report.h"
#include "core/render.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/turn.h"
#include "core/twin_table.h"
#include "twin/event.h"

void api_ticket_json(core *core, const twin *twin, const ticket *ticket, dro_builder *out)
{
    (void)core;
    const model *model = twin_model(core, twin);
    json_put(out, "{\"ticket\":\"%llu\",\"state\":\"%s\",", (unsigned long long)ticket->number, ticket_state_text(ticket->state));
    dro_builder_text(out, ticket->is_action ? "\"action\":" : "\"property\":");
    json_string(out, ticket->is_action ? model->actions[ticket->index].name : model->properties[ticket->index].name);
    dro_builder_text(out, ",\"value\":");
    if (ticket->value.kind == VALUE_NONE)
        dro_builder_text(out, "null");
    else if (ticket->is_action) /* the input as JSON, made by us */
        dro_builder_bytes(out, ticket->value.string, ticket->value.length);
    else
        value_json(out, &ticket->value);
    dro_builder_text(out, ",\"time\":");
    json_time(out, ticket->time_ms);
    dro_builder_text(out, ",\"next\":");
    json_time(out, ticket->state != TICKET_PENDING ? COLUMNS_NEVER : rate_resume_ms(twin) != 0 ? rate_resume_ms(twin) : twin->next_contact_ms);
    dro_builder_text(out, ",\"reason\":");
    if (ticket->reason[0] != '\0')
        json_string(out, ticket->reason);
    else
        dro_builder_text(out, "null");
    dro_builder_text(out, "}");
}

static bool is_kept(const core *core, const ticket *ticket)
{
    return ticket->state < TICKET_REPORTED || core->now_ms - ticket->time_ms < TICKET_KEPT_S * 1000ll;
}

void api_ticket_list(core *core, const call *call)
{
    uint32_t index = call_twin(core, call);
    if (index == NONE || call_deferred_new(core, call, index))
        return;
    const twin *twin = twin_at(core, index);
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    dro_builder_text(&out, "{\"tickets\":[");
    bool is_first = true;
    for (const ticket *t = twin->extra != NULL ? twin->extra->tickets : NULL; t != NULL; t = t->next) {
        if (!is_kept(core, t))
            continue;
        dro_builder_text(&out, is_first ? "" : ",");
        api_ticket_json(core, twin, t, &out);
        is_first = false;
    }
    dro_builder_text(&out, "]}");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

void api_ticket_get(core *core, const call *call)
{
    uint32_t index = call_twin(core, call);
    if (index == NONE || call_deferred_new(core, call, index))
        return;
    const twin *twin = twin_at(core, index);
    const ticket *ticket = ticket_find(twin, call->ticket);
    if (ticket == NULL || !is_kept(core, ticket)) {
        tell_problem(core, call->caller, 404, "about:blank", "no ticket %llu is kept for this twin", (unsigned long long)call->ticket);
        return;
    }
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    api_ticket_json(core, twin, ticket, &out);
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

static void ticket_answer(core *core, caller caller, uint32_t index, uint64_t number, ticket_state wait, int64_t until_ns)
{
    const twin *twin = twin_at(core, index);
    const ticket *ticket = ticket_find(twin, number);
    if (caller.gate == NONE || ticket == NULL)
        return;
    bool is_reached = wait != TICKET_PENDING && ticket->state >= wait;
    if (wait != TICKET_PENDING && !is_reached && until_ns > core->now_ns && !core->is_draining && core->waiter_count + core->met_count < WAITERS_MAX) {
        waiter_add(core, index, number, wait, until_ns, caller);
        return;
    }
    char location[360];
    size_t length;
    const char *id = twin_id(core, twin, &length);
    snprintf(location, sizeof location, "/v1/twins/%.*s/tickets/%llu", (int)length, id, (unsigned long long)number);
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    api_ticket_json(core, twin, ticket, &out);
    reply reply = { .status = is_reached && ticket->state <= TICKET_REPORTED ? 200 : 202, .content = CONTENT_JSON,
                    .etag = twin->revision, .location = location };
    tell_reply(core, caller, &reply, core->scratch, dro_builder_length(&out));
}

static int64_t wait_until(const core *core, const call *call)
{
    return core->now_ns + (int64_t)(call->timeout_ms < WAIT_MS_MAX ? call->timeout_ms : WAIT_MS_MAX) * 1000000;
}

static void keep_ticket_idempotency(core *core, const uint8_t (*keys)[32], const twin *twin, uint64_t number)
{
    if (keys == NULL)
        return;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    api_ticket_json(core, twin, ticket_find(twin, number), &out);
    idempotent_put(core, keys[0], keys[1], 202, core->scratch, dro_builder_length(&out));
}

/* ---- what a turn for a command keeps ---- */

/* A newer write takes the place of those that still wait. */
static void supersede(core *core, uint32_t index, uint8_t property)
{
    const twin *twin = twin_at(core, index);
    for (const ticket *t = twin->extra != NULL ? twin->extra->tickets : NULL; t != NULL;) {
        const ticket *next = t->next;
        if (!t->is_action && t->index == property && t->state == TICKET_PENDING) {
            uint64_t number = t->number;
            const mail *waiting = mail_of_ticket(twin, number);
            if (waiting != NULL && !waiting->is_sent)
                record_put(core, FIELD_MAIL_GONE, &waiting->number, 8);
            ticket_move(core, index, number, TICKET_SUPERSEDED, "a newer write took its place");
        }
        t = next;
    }
}

void api_turn_begin(core *core, turn *turn)
{
    if (turn->application != 0)
        usage_put(core, turn->application);
    if (turn->operation == TURN_CREATE || turn->operation == TURN_CONFIGURE) {
        api_put_write(core, turn);
        return;
    }
    if (turn->operation == TURN_DOWNLINK)
        (turn->operation_of != 0 ? group_turn_begin : nidd_turn_begin)(core, turn);
    if (turn->operation != TURN_WRITE && turn->operation != TURN_ACTION)
        return;
    bool is_action = turn->operation == TURN_ACTION;
    uint64_t revision = twin_at(core, turn->twin)->revision + 1;
    if (!is_action) {
        record_put(core, FIELD_REVISION, &revision, 8);
        supersede(core, turn->twin, (uint8_t)turn->event_id);
    }
    turn->ticket = ticket_make(core, turn->twin, is_action, (uint8_t)turn->event_id, &turn->value, TICKET_PENDING, turn->operation_of);
}

void api_turn_end(core *core, turn *turn, uint32_t outcome)
{
    if (turn->operation == TURN_REPORT)
        report_turn_end(core, turn);
    if (turn->operation == TURN_DOWNLINK) {
        (turn->operation_of != 0 ? group_turn_end : nidd_turn_end)(core, turn, outcome);
        return;
    }
    if (turn->ticket != 0 && outcome == EVENT_NOT_HANDLED)
        ticket_move(core, turn->twin, turn->ticket, TICKET_FAILED, "the twin does not handle this");
    if (turn->ticket != 0)
        keep_ticket_idempotency(core, (const uint8_t (*)[32])turn->idempotency, twin_at(core, turn->twin), turn->ticket);
    else if (turn->idempotency != NULL)
        api_put_idempotency(core, (const uint8_t (*)[32])turn->idempotency, turn->twin, turn->operation == TURN_CREATE ? 201 : 200);
}

void api_turn_failed(core *core, turn *turn, const char *reason)
{
    if (turn->application != 0)
        usage_put(core, turn->application);
    if (turn->operation == TURN_DOWNLINK)
        (turn->operation_of != 0 ? group_turn_failed : nidd_turn_failed)(core, turn);
    if (turn->operation == TURN_REPORT)
        report_turn_end(core, turn);
    if (turn->operation != TURN_WRITE && turn->operation != TURN_ACTION)
        return;
    char text[64];
    snprintf(text, sizeof text, "the twin failed: %s", reason);
    turn->ticket = ticket_make(core, turn->twin, turn->operation == TURN_ACTION, (uint8_t)turn->event_id, &turn->value, TICKET_PENDING, turn->operation_of);
    ticket_move(core, turn->twin, turn->ticket, TICKET_FAILED, text);
}

void api_turn_done(core *core, turn *turn)
{
    if (turn->operation == TURN_CONFIGURE && twin_at(core, turn->twin)->image != turn->image)
        tell_problem(core, turn->caller, 422, "twin_failed", "the twin failed while it was given its image; it has none");
    else if (turn->operation == TURN_CREATE || turn->operation == TURN_CONFIGURE)
        api_put_answer(core, turn->caller, turn->twin, api_put_is_new(turn));
    else if (turn->operation == TURN_DOWNLINK)
        (turn->operation_of != 0 ? group_turn_done : nidd_turn_done)(core, turn);
    else if (turn->operation == TURN_REPORT)
        report_turn_done(core, turn);
    else if (turn->ticket != 0) {
        mailbox_flush(core, turn->twin);
        ticket_answer(core, turn->caller, turn->twin, turn->ticket, turn->wait, turn->wait_until_ns);
    }
}

/* ---- requests ---- */

const application *call_counted(core *core, const call *call)
{
    return call->scopes & SCOPE_ADMIN ? NULL : application_at(core, call->application);
}

bool call_quota_is_reached(core *core, const call *call, uint64_t more)
{
    const application *caller = call_counted(core, call);
    if (caller == NULL || usage_has_room(core, caller, LIMIT_DOWNLINKS, more))
        return false;
    tell_problem(core, call->caller, 429, "quota_exceeded", "the application may send %u downlinks a day; it has sent %llu, and this would be %llu more",
                 usage_limit(core, caller, LIMIT_DOWNLINKS), (unsigned long long)usage_downlinks_today(core, caller->number), (unsigned long long)more);
    return true;
}

/* The turn of a command; NULL: too much is under way. */
static turn *command_turn_new(core *core, uint32_t index, uint8_t operation, uint8_t kind, uint32_t id, const value *value,
                              const dro_builder *payload, const uint8_t *idempotency)
{
    turn *turn = turn_new(core, index, operation);
    dro_err err = turn == NULL ? DRO_LIMIT : turn_event(core, turn, kind, id, payload->start, dro_builder_length(payload));
    if (err == DRO_OK && idempotency != NULL) {
        turn->idempotency = malloc(64);
        err = turn->idempotency == NULL ? DRO_NOMEM : DRO_OK;
        if (err == DRO_OK)
            memcpy(turn->idempotency, idempotency, 64);
    }
    if (err == DRO_OK && value->kind == VALUE_STRING) {
        turn->text = malloc(value->length + 1u);
        err = turn->text == NULL ? DRO_NOMEM : DRO_OK;
        if (err == DRO_OK)
            memcpy(turn->text, value->string, value->length);
    }
    if (err != DRO_OK) {
        if (turn != NULL)
            turn_free(core, turn);
        return NULL;
    }
    turn->value = *value;
    if (value->kind == VALUE_STRING)
        turn->value.string = turn->text;
    return turn;
}

static void command_turn(core *core, const call *call, uint32_t index, uint8_t operation, uint8_t kind, uint32_t id,
                         const value *value, const dro_builder *payload)
{
    if (twin_is_broken(core, index)) {
        tell_broken(core, call->caller, twin_at(core, index)->image);
        return;
    }
    if (call_quota_is_reached(core, call, 1))
        return;
    turn *turn = command_turn_new(core, index, operation, kind, id, value, payload, call->idempotency);
    if (turn == NULL) {
        tell_problem(core, call->caller, 503, "about:blank", "too much is under way; try again");
        return;
    }
    const application *caller = call_counted(core, call);
    if (caller != NULL) {
        turn->application = caller->number;
        usage_downlinks(core, caller->number, 1);
    }
    turn->caller = call->caller;
    turn->wait = call->wait;
    turn->wait_until_ns = wait_until(core, call);
    turn_send(core, turn);
}

/* Nothing to do: the device has said this value already, and nothing else is on its way. */
static bool is_reported(core *core, const twin *twin, uint32_t property, const value *wanted)
{
    for (const ticket *t = twin->extra != NULL ? twin->extra->tickets : NULL; t != NULL; t = t->next)
        if (!t->is_action && t->index == property && t->state < TICKET_REPORTED)
            return false;
    cell_value now;
    columns_value_get(core->columns, twin->table, twin->row, property, &now);
    return now.value.kind != VALUE_NONE && value_equal(&now.value, wanted);
}

void api_property_put(core *core, const call *call)
{
    uint32_t index = call_twin(core, call);
    if (index == NONE || call_deferred(core, call, index))
        return;
    twin *twin = twin_at(core, index);
    int property = call_property(core, call, index);
    if (property < 0)
        return;
    const model_property *what = &twin_model(core, twin)->properties[property];
    if (!what->is_writable) {
        tell_problem(core, call->caller, 405, "about:blank", "%s is read-only", what->name);
        return;
    }
    if (!call_idempotent(core, call) || !call_precondition(core, call, twin))
        return;
    value value = call->value;
    dro_err err = call->has_value ? model_check(&what->schema, &value) : DRO_MALFORMED;
    if (err != DRO_OK) {
        char bounds[MODEL_BOUNDS_TEXT];
        model_bounds_text(&what->schema, bounds);
        tell_problem(core, call->caller, 422, "about:blank", "/value: %s for %s (%s%s%s%s%s)",
                     err == DRO_RANGE ? "out of range" : "wrong type", what->name, value_kind_text(what->schema.kind),
                     what->unit[0] != '\0' ? " in " : "", what->unit, bounds[0] != '\0' ? ", " : "", bounds);
        return;
    }
    if (is_reported(core, twin, (uint32_t)property, &value)) {
        uint64_t revision = twin->revision + 1;
        record_begin(core, index, RECORD_DELTA);
        record_put(core, FIELD_REVISION, &revision, 8);
        uint64_t number = ticket_make(core, index, false, (uint8_t)property, &value, TICKET_REPORTED, 0);
        keep_ticket_idempotency(core, (const uint8_t (*)[32])call->idempotency, twin, number);
        record_end(core);
        ticket_answer(core, call->caller, index, number, call->wait, 0);
        return;
    }
    uint8_t payload[VALUE_STRING_MAX + 16];
    dro_builder out = dro_builder_over(payload, sizeof payload);
    value_write(&out, &value);
    command_turn(core, call, index, TURN_WRITE, EVENT_PROPERTY_WRITE, (uint32_t)property, &value, &out);
}

/* One value for each member of the action's input, in order, and the same as JSON. False after a 422. */
static bool inputs_read(core *core, const call *call, const model_action *action, dro_builder *payload, dro_builder *json)
{
    uint32_t known = 0, given = 0;
    dro_field field;
    dro_builder_text(json, "{");
    for (uint32_t i = 0; i < action->input_count; i++) {
        const model_input *input = &action->inputs[i];
        value found = { .kind = VALUE_NONE };
        dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
        given = 0;
        while (dro_field_next(&in, &field)) {
            given += field.tag == API_FIELD_INPUT;
            dro_cursor part = dro_cursor_over(field.bytes, field.length);
            size_t n = dro_cursor_le(&part, 1);
            const uint8_t *name = dro_cursor_bytes(&part, n);
            if (field.tag != API_FIELD_INPUT || name == NULL || n != strlen(input->name) || memcmp(name, input->name, n) != 0)
                continue;
            found = value_read(&part);
            known++;
            dro_err err = part.err == DRO_OK ? model_check(&input->schema, &found) : part.err;
            if (err != DRO_OK) {
                char asked[MODEL_SCHEMA_TEXT];
                tell_problem(core, call->caller, 422, "about:blank", "/%s: %s (%s)", input->name, err == DRO_RANGE ? "out of range" : "wrong type",
                             model_schema_text(&input->schema, asked));
                return false;
            }
            dro_builder_text(json, known > 1 ? "," : "");
            json_string(json, input->name);
            dro_builder_text(json, ":");
            value_json(json, &found);
        }
        if (found.kind == VALUE_NONE && input->schema.is_required) {
            tell_problem(core, call->caller, 422, "about:blank", "/%s is required", input->name);
            return false;
        }
        value_write(payload, &found);
    }
    dro_builder_text(json, "}");
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    given = 0;
    while (dro_field_next(&in, &field))
        given += field.tag == API_FIELD_INPUT;
    if (given == known && payload->err == DRO_OK)
        return true;
    tell_problem(core, call->caller, 422, "about:blank", "the input has a member that %s does not know", action->name);
    return false;
}

void api_action(core *core, const call *call)
{
    uint32_t index = call_twin(core, call);
    if (index == NONE || call_deferred(core, call, index))
        return;
    const model *model = twin_model(core, twin_at(core, index));
    int action = model_action_find(model, call->name.at, call->name.length);
    if (action < 0) {
        tell_problem(core, call->caller, 404, "about:blank", "%s has no action %.*s", model->name, (int)call->name.length, call->name.at);
        return;
    }
    if (!call_idempotent(core, call) || !call_precondition(core, call, twin_at(core, index)))
        return;
    uint8_t payload[MODEL_INPUTS_MAX * (VALUE_STRING_MAX + 8)];
    uint8_t text[VALUE_STRING_MAX];
    dro_builder out = dro_builder_over(payload, sizeof payload < EVENT_BYTES_MAX ? sizeof payload : EVENT_BYTES_MAX);
    dro_builder json = dro_builder_over(text, sizeof text);
    if (!inputs_read(core, call, &model->actions[action], &out, &json))
        return;
    value input = { .kind = json.err == DRO_OK ? VALUE_STRING : VALUE_NONE, .length = (uint32_t)dro_builder_length(&json) };
    input.string = (const char *)text;
    command_turn(core, call, index, TURN_ACTION, EVENT_ACTION, (uint32_t)action, &input, &out);
}

/* ---- the same for a member of a group: nobody waits, what comes of it is counted ---- */

static group_state member_turn(core *core, group_operation *operation, uint32_t index, uint32_t place, uint8_t kind, uint32_t id,
                               const value *value, const dro_builder *payload)
{
    bool is_write = operation->kind == GROUP_WRITE;
    turn *turn = command_turn_new(core, index, is_write ? TURN_WRITE : TURN_ACTION, kind, id, value, payload, NULL);
    if (turn == NULL)
        return GROUP_STATE_WAITING;
    group_turn_mark(core, turn, operation, place);
    turn_send(core, turn);
    return GROUP_STATE_NONE;
}

static group_state member_write(core *core, group_operation *operation, const call *call, uint32_t index, uint32_t place)
{
    const twin *twin = twin_at(core, index);
    const model *model = twin_model(core, twin);
    int property = model_property_find(model, call->name.at, call->name.length);
    if (property < 0 || model->properties[property].is_private)
        return GROUP_STATE_NOT_KNOWN;
    if (!model->properties[property].is_writable)
        return GROUP_STATE_READ_ONLY;
    value value = call->value;
    if (!call->has_value || model_check(&model->properties[property].schema, &value) != DRO_OK)
        return GROUP_STATE_RANGE;
    if (is_reported(core, twin, (uint32_t)property, &value)) {
        uint64_t revision = twin->revision + 1;
        record_begin(core, index, RECORD_DELTA);
        record_put(core, FIELD_REVISION, &revision, 8);
        (void)ticket_make(core, index, false, (uint8_t)property, &value, TICKET_REPORTED, group_number(operation->number));
        record_end(core);
        return GROUP_STATE_NONE;
    }
    uint8_t payload[VALUE_STRING_MAX + 16];
    dro_builder out = dro_builder_over(payload, sizeof payload);
    value_write(&out, &value);
    return member_turn(core, operation, index, place, EVENT_PROPERTY_WRITE, (uint32_t)property, &value, &out);
}

static group_state member_action(core *core, group_operation *operation, const call *call, uint32_t index, uint32_t place)
{
    const model *model = twin_model(core, twin_at(core, index));
    int action = model_action_find(model, call->name.at, call->name.length);
    if (action < 0)
        return GROUP_STATE_NOT_KNOWN;
    uint8_t payload[MODEL_INPUTS_MAX * (VALUE_STRING_MAX + 8)];
    uint8_t text[VALUE_STRING_MAX];
    dro_builder out = dro_builder_over(payload, sizeof payload < EVENT_BYTES_MAX ? sizeof payload : EVENT_BYTES_MAX);
    dro_builder json = dro_builder_over(text, sizeof text);
    if (!inputs_read(core, call, &model->actions[action], &out, &json))
        return GROUP_STATE_RANGE;
    value input = { .kind = json.err == DRO_OK ? VALUE_STRING : VALUE_NONE, .length = (uint32_t)dro_builder_length(&json) };
    input.string = (const char *)text;
    return member_turn(core, operation, index, place, EVENT_ACTION, (uint32_t)action, &input, &out);
}

group_state api_group_command(core *core, group_operation *operation, uint32_t index, uint32_t place)
{
    call call;
    if (call_of_fields(&call, operation->fields, operation->length) != DRO_OK)
        return GROUP_STATE_FAILED;
    return operation->kind == GROUP_WRITE ? member_write(core, operation, &call, index, place)
                                          : member_action(core, operation, &call, index, place);
}

/* DeviceTriggering of T8 (TS 29.122, 5.7): triggers of applications, replaced and recalled. */
#include "core/trigger_question.h"

#include <string.h>

#include "base/wipe.h"
#include "core/call.h"
#include "core/charge.h"
#include "core/farewell.h"
#include "core/nidd.h"
#include "core/number.h"
#include "core/record.h"
#include "core/state.h"
#include "core/turn.h"
#include "core/twin_table.h"
#include "twin/t8_trigger.h"

/* ---- made and changed ---- */

static uint32_t reference_of(const inquiry_said *said)
{
    dro_field room;
    uint32_t reference = 0;
    const dro_field *field = t8_find(said->fields, said->length, API_FIELD_REFERENCE, &room);
    if (field != NULL && field->length == sizeof reference)
        memcpy(&reference, field->bytes, sizeof reference);
    return reference;
}

/* The request goes on with the answer and the reference it was asked with. */
static void request_done(core *core, const inquiry *asked, const inquiry_said *said)
{
    uint8_t bytes[TRIGGER_QUESTION_BYTES];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    uint32_t reference = (uint32_t)asked->subject;
    inquiry_said more = *said;
    dro_builder_bytes(&out, said->fields, said->fields == NULL ? 0 : said->length);
    dro_field_put(&out, API_FIELD_REFERENCE, &reference, sizeof reference);
    more.fields = bytes;
    more.length = dro_builder_length(&out);
    if (said->outcome != INQUIRY_ANSWERED || out.err != DRO_OK)
        inquiry_tell_why(core, asked, said->outcome != INQUIRY_ANSWERED ? said : &(inquiry_said){ .why = "the network says too much" });
    else
        (void)inquiry_take_up(core, asked, &more); /* who asked may be gone */
    dro_wipe(bytes, sizeof bytes);
    if (asked->kind != INQUIRY_SUBSCRIBER)
        trigger_flight_end(core, reference);
}

static bool is_same(const exposure_call *call)
{
    static const uint8_t tags[] = { API_FIELD_VALIDITY, API_FIELD_TRIGGER_PRIORITY, API_FIELD_APPLICATION_PORT, API_FIELD_PAYLOAD };
    for (size_t i = 0; i < sizeof tags; i++) {
        dro_field rooms[2];
        const dro_field *before = t8_find(call->old->fields, call->old->length, tags[i], &rooms[0]);
        const dro_field *after = t8_find(call->fields, call->length, tags[i], &rooms[1]);
        if (before == NULL || after == NULL || before->length != after->length || memcmp(before->bytes, after->bytes, before->length) != 0)
            return false;
    }
    return true;
}

static bool trigger_is_good(core *core, const exposure_call *call)
{
    if (call->old == NULL || core->said != NULL)
        return true;
    trigger_state state = trigger_state_of(call->old->fields, call->old->length);
    if (trigger_has_ended(trigger_result_of(call->old)))
        tell_cause(core, call->call->caller, 409, "TRIGGER_ENDED", "the trigger has ended: %s", trigger_result_text(trigger_result_of(call->old)));
    else if (!is_same(call) && !state.may_change)
        tell_cause(core, call->call->caller, 403, "OPERATION_NOT_ALLOWED", "who delivers the trigger does not replace triggers");
    else
        return true;
    return false;
}

/* Asks for the trigger of the call, or goes on behind the subscriber's data. True: the request waits, or was refused. */
static bool request_ask(core *core, const exposure_call *call, uint32_t reference, const inquiry_said *subscriber)
{
    uint8_t fields[T8_FIELDS_MAX + 64], bytes[TRIGGER_QUESTION_BYTES];
    char room[TRIGGER_NODE_BYTES + 1];
    const char *why;
    dro_field found;
    dro_builder members = dro_builder_over(fields, sizeof fields), out = dro_builder_over(bytes, sizeof bytes);
    trigger_put_members(call->fields, call->length, &members);
    if (call->old != NULL) { /* who has it */
        trigger_state state = trigger_state_of(call->old->fields, call->old->length);
        trigger_put_state(TRIGGER_RESULT_TRIGGERED, &state, t8_find(call->old->fields, call->old->length, API_FIELD_TRIGGER_NODE, &found), &members);
    }
    trigger_wanted asked = { .fields = fields, .length = dro_builder_length(&members), .reference = reference, .subscriber = subscriber,
                     .action = call->old == NULL ? TRIGGER_SEND : TRIGGER_REPLACE, .old_reference = call->old == NULL ? 0 : call->old->reference };
    inquiry question = { .twin = twin_at(core, call->twin)->number, .subject = reference, .done = request_done };
    if (members.err != DRO_OK) {
        tell_problem(core, call->call->caller, 413, "about:blank", "the transaction is too large");
    } else if (trigger_question(core, &asked, &out, &question, room) == 0) {
        trigger_way_of(core, &why);
        tell_problem(core, call->call->caller, 503, "about:blank", "%s", why);
    } else {
        if (question.kind != INQUIRY_SUBSCRIBER)
            trigger_flight_begin(core, reference);
        if (!inquiry_defer(core, call->call, &question))
            trigger_flight_end(core, reference);
    }
    dro_wipe(bytes, sizeof bytes);
    return true;
}

static bool trigger_asks(core *core, const exposure_call *call)
{
    const inquiry_said *said = core->said;
    if (said == NULL && call->old != NULL && is_same(call))
        return false; /* only where it is told of is another */
    if (said == NULL)
        return request_ask(core, call, exposure_reference_new(core, twin_at(core, call->twin)), NULL);
    trigger_answer answer = trigger_answer_of(said);
    if (!trigger_is_taken(answer.word)) {
        core->counters.triggers_refused++;
        trigger_tell_refused(core, call->call->caller, &answer, said->code);
        return true;
    }
    return answer.stage == TRIGGER_BY_SUBSCRIBER ? request_ask(core, call, reference_of(said), said) : false;
}

static bool trigger_made(core *core, const exposure_call *call, exposure *head, dro_builder *fields)
{
    const inquiry_said *said = core->said;
    uint8_t node[TRIGGER_NODE_BYTES];
    dro_field room;
    *fields = dro_builder_over(fields->start, (size_t)(fields->end - fields->start));
    trigger_put_members(call->fields, call->length, fields);
    if (said == NULL) { /* nothing that concerns the network has changed */
        trigger_state state = trigger_state_of(call->old->fields, call->old->length);
        trigger_put_state(trigger_result_of(call->old), &state, t8_find(call->old->fields, call->old->length, API_FIELD_TRIGGER_NODE, &room), fields);
        return true;
    }
    trigger_answer answer = trigger_answer_of(said);
    trigger_state state = trigger_state_sent(core, &answer, trigger_validity_of(call->fields, call->length));
    head->reference = reference_of(said);
    core->counters.triggers_sent++;
    const dro_field *at = trigger_node_put(said, node, &room);
    if (at == NULL && call->old != NULL) /* it was asked by name */
        at = t8_find(call->old->fields, call->old->length, API_FIELD_TRIGGER_NODE, &room);
    trigger_put_state(call->old == NULL ? TRIGGER_RESULT_TRIGGERED : TRIGGER_RESULT_REPLACED, &state, at, fields);
    return true;
}

static int64_t trigger_until(const uint8_t *fields, size_t length)
{
    return trigger_state_of(fields, length).ends_ms;
}

/* ---- recalled ---- */

/* Who deleted it hears: recalled, or gone without that. */
static void tell_ended(core *core, const inquiry *asked, const exposure *ended, bool is_recalled)
{
    caller caller = asked->late == NULL ? (struct caller){ NONE, 0 } : (struct caller){ asked->late->gate, asked->late->header.id };
    if (caller.gate == NONE || !core->gates[caller.gate].is_open)
        return;
    reply reply = { .status = 204, .etag = UINT64_MAX };
    if (!is_recalled || ended == NULL) {
        tell_reply(core, caller, &reply, NULL, 0);
        return;
    }
    union { exposure shown; uint8_t room[sizeof(exposure) + T8_FIELDS_MAX]; } as;
    dro_builder fields = dro_builder_over(as.shown.fields, T8_FIELDS_MAX), out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    trigger_state state = trigger_state_of(ended->fields, ended->length);
    as.shown = *ended;
    trigger_put_members(ended->fields, ended->length, &fields);
    trigger_put_state(TRIGGER_RESULT_TERMINATE, &state, NULL, &fields);
    as.shown.length = (uint16_t)dro_builder_length(&fields);
    exposure_json(core, &as.shown, &out);
    reply.status = 200;
    reply.content = CONTENT_JSON;
    tell_reply(core, caller, &reply, out.start, dro_builder_length(&out));
}

static void recall_end(core *core, uint32_t index, uint64_t number)
{
    const exposure *ended = exposure_of(twin_at(core, index), number);
    record_begin(core, index, RECORD_DELTA);
    if (ended != NULL && !trigger_has_ended(trigger_result_of(ended)))
        charge_exposure(core, index, CHARGE_TRIGGER, ended, NULL, trigger_result_text(TRIGGER_RESULT_TERMINATE));
    exposure_gone(core, index, number);
    record_end(core);
    nidd_trim(twin_at(core, index));
    trigger_timers(core, index);
}

static void recall_done(core *core, const inquiry *asked, const inquiry_said *said);

/* The next question of a recall; false: it cannot be asked now. */
static bool recall_ask(core *core, uint32_t index, exposure *ended, const inquiry_said *subscriber, deferred *late)
{
    uint8_t bytes[TRIGGER_QUESTION_BYTES];
    char room[TRIGGER_NODE_BYTES + 1];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    trigger_wanted asked = { .fields = ended->fields, .length = ended->length, .reference = exposure_reference_new(core, twin_at(core, index)),
                     .old_reference = ended->reference, .action = TRIGGER_RECALL, .subscriber = subscriber };
    inquiry question = { .twin = twin_at(core, index)->number, .subject = ended->number, .late = late, .had_late = late != NULL, .done = recall_done };
    trigger_question(core, &asked, &out, &question, room);
    bool is_asked = inquiry_begin(core, &question) == NULL;
    dro_wipe(bytes, sizeof bytes);
    ended->is_asked = is_asked;
    return is_asked;
}

static void recall_done(core *core, const inquiry *asked, const inquiry_said *said)
{
    uint32_t index;
    exposure *ended = exposure_find(core, asked->subject, &index);
    bool is_answered = said->outcome == INQUIRY_ANSWERED;
    trigger_answer answer = is_answered ? trigger_answer_of(said) : (trigger_answer){ .word = TRIGGER_TEMPORARY };
    bool is_recalled = is_answered && trigger_is_taken(answer.word) && answer.stage != TRIGGER_BY_SUBSCRIBER;
    if (ended == NULL || ended->status != EXPOSURE_ENDING) {
        tell_ended(core, asked, NULL, false);
        return;
    }
    if (is_answered && trigger_is_taken(answer.word) && !is_recalled) { /* who deleted it is told now: the service centre comes later */
        tell_ended(core, asked, NULL, false);
        if (!recall_ask(core, index, ended, said, NULL))
            trigger_again(core, index, ended);
        return;
    }
    tell_ended(core, asked, ended, is_recalled);
    bool may_help = !is_answered || trigger_word_rows[answer.word].way == TRIGGER_WAY_RETRY;
    if (may_help && trigger_state_of(ended->fields, ended->length).ends_ms > core->now_ms)
        trigger_again(core, index, ended);
    else
        recall_end(core, index, ended->number);
}

/* Its application has it no more; what the network still has is recalled, if that can be. */
static void trigger_ends(core *core, uint32_t index, exposure *ended, const call *call)
{
    trigger_state state = trigger_state_of(ended->fields, ended->length);
    bool is_out = !trigger_has_ended(trigger_result_of(ended)) && state.is_sent && state.may_change && state.ends_ms > core->now_ms;
    if (!is_out) {
        recall_end(core, index, ended->number);
        if (call != NULL)
            call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
        return;
    }
    deferred *late = call == NULL || core->is_draining ? NULL : deferred_new(call->gate, call->header, call->message);
    if (!recall_ask(core, index, ended, NULL, late)) {
        trigger_again(core, index, ended);
        late = NULL;
    }
    if (late == NULL && call != NULL)
        call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
}

/* Where it was sent by a service centre the subscriber's data is asked for first, as for any recall. */
static void trigger_forsaken(core *core, const twin *twin, const exposure *lost)
{
    trigger_state state = trigger_state_of(lost->fields, lost->length);
    if (trigger_has_ended(trigger_result_of(lost)) || !state.is_sent || !state.may_change || state.ends_ms <= core->now_ms)
        return;
    farewell head = { .kind = INQUIRY_TRIGGER, .reference = exposure_reference_new(core, twin), .gone = lost->reference, .until_ms = state.ends_ms };
    farewell_put(core, twin->number, &head, lost->fields, lost->length);
}

const exposure_class trigger_class = {
    .api = &t8_trigger, .is_good = trigger_is_good, .asks = trigger_asks, .made = trigger_made, .ends = trigger_ends, .expires = trigger_expires,
    .begins = trigger_begin, .forsaken = trigger_forsaken, .until = trigger_until,
};

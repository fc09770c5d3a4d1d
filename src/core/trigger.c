#include "core/trigger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/wipe.h"
#include "core/call.h"
#include "core/charge.h"
#include "core/groups.h"
#include "core/host.h"
#include "core/inquiry.h"
#include "core/names.h"
#include "core/network.h"
#include "core/nidd.h"
#include "core/number.h"
#include "core/peers.h"
#include "core/record.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/timers.h"
#include "core/turn.h"
#include "core/twin_table.h"
#include "twin/event.h"
#include "twin/t8_trigger.h"

enum {
    RESULT_SUCCESS = 2001, RESULT_TOO_BUSY = 3004, RESULT_UNKNOWN_REFERENCE = 5004, RESULT_UNABLE_TO_COMPLY = 5012,
    FIELDS_MAX = T8_FIELDS_MAX + 512, NODE_MAX = 2 * DIAMETER_IDENTITY_MAX + 1,
    TWIN_VALIDITY_S = 3600,
};

/* ---- what is kept with a trigger ---- */

static trigger_state state_of(const uint8_t *fields, size_t length)
{
    dro_field room;
    trigger_state state = { .ends_ms = INT64_MAX };
    const dro_field *field = t8_find(fields, length, API_FIELD_TRIGGER_STATE, &room);
    if (field != NULL && field->length == sizeof state)
        memcpy(&state, field->bytes, sizeof state);
    return state;
}

static uint32_t result_of(const exposure *trigger)
{
    return t8_option(trigger->fields, trigger->length, API_FIELD_DELIVERY_RESULT, TRIGGER_RESULT_TRIGGERED);
}

/* The members without what this host adds. */
static void put_members(const uint8_t *fields, size_t length, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    while (dro_field_next(&in, &field))
        if (field.tag != API_FIELD_DELIVERY_RESULT && field.tag != API_FIELD_TRIGGER_STATE && field.tag != API_FIELD_TRIGGER_NODE)
            dro_field_put(out, (uint8_t)field.tag, field.bytes, field.length);
}

static void put_state(uint32_t result, const trigger_state *state, const dro_field *node, dro_builder *out)
{
    uint8_t byte = (uint8_t)result;
    dro_field_put(out, API_FIELD_DELIVERY_RESULT, &byte, 1);
    dro_field_put(out, API_FIELD_TRIGGER_STATE, state, sizeof *state);
    if (node != NULL)
        dro_field_put(out, API_FIELD_TRIGGER_NODE, node->bytes, node->length);
}

/* Inside a record: the same trigger with another head and state. */
static void put_again(core *core, const exposure *old, const exposure *head, uint32_t result, const trigger_state *state, const dro_field *node)
{
    uint8_t bytes[T8_FIELDS_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    exposure changed = *head;
    changed.until_ms = state->ends_ms;
    put_members(old->fields, old->length, &out);
    put_state(result, state, node, &out);
    if (out.err == DRO_OK)
        exposure_put(core, &changed, bytes, dro_builder_length(&out));
}

static int64_t validity_of(const uint8_t *fields, size_t length)
{
    return t8_integer(fields, length, API_FIELD_VALIDITY, 0);
}

/* ---- who is asked ---- */

/* Both parts of the longer way; `is_there`: peers_have, peers_are_open. A relay may lead to one of them. */
static bool has_centre(const core *core, bool (*is_there)(const struct core *core, uint32_t applications))
{
    bool has_relay = is_there(core, PEER_RELAY), has_subscribers = is_there(core, PEER_S6M), has_centres = is_there(core, PEER_T4);
    return (has_subscribers && (has_centres || has_relay)) || (has_centres && has_relay);
}

/* Who is asked first about a new trigger; 0: nobody can be, for the reason in *why. Who is connected comes first. */
static enum inquiry_kind way_of(const core *core, const char **why)
{
    *why = "no peer triggers devices: neither an MTC-IWF (tsp) nor an HSS (s6m) with an SMS-SC (t4) is in diameter.peers or has connected";
    bool has_function = peers_have(core, PEER_TSP), has_longer = has_centre(core, peers_have), has_sender = core->options.trigger_sender[0] != '\0';
    if (has_function && (peers_are_open(core, PEER_TSP) || !has_longer || !has_sender || !has_centre(core, peers_are_open)))
        return INQUIRY_TRIGGER;
    if (!has_longer)
        return 0;
    *why = "t8.trigger_sender is not set: a service centre (SMS-SC) has to be told who sends a trigger";
    return has_sender ? INQUIRY_SUBSCRIBER : 0;
}

/* ---- triggers under way ---- */

/* Its outcome may come before the answer to its question, or while its twin is in a turn: it waits here. */
struct trigger_flight {
    trigger_flight *next;
    uint32_t reference;
    deferred *early;
};

static trigger_flight *flight_find(const core *core, uint32_t reference)
{
    trigger_flight *found = core->flights;
    while (found != NULL && found->reference != reference)
        found = found->next;
    return found;
}

/* As many as there are inquiries; without memory an early outcome is not known. */
static void flight_begin(core *core, uint32_t reference)
{
    trigger_flight *made = flight_find(core, reference) != NULL ? NULL : calloc(1, sizeof *made);
    if (made == NULL)
        return;
    made->reference = reference;
    made->next = core->flights;
    core->flights = made;
}

static void flight_end(core *core, uint32_t reference)
{
    trigger_flight **at = &core->flights;
    while (*at != NULL && (*at)->reference != reference)
        at = &(*at)->next;
    trigger_flight *gone = *at;
    if (gone == NULL)
        return;
    *at = gone->next;
    if (gone->early != NULL) {
        message_take(core, gone->early->gate, &gone->early->header, gone->early->body);
        deferred_free(gone->early);
    }
    free(gone);
}

void triggers_free(core *core)
{
    while (core->flights != NULL) {
        trigger_flight *gone = core->flights;
        core->flights = gone->next;
        if (gone->early != NULL)
            deferred_free(gone->early);
        free(gone);
    }
}

/* ---- questions ---- */

typedef struct wanted {           /* a trigger that somebody is to be asked for */
    const uint8_t *fields;       /* of the exposure */
    size_t length;
    uint32_t reference, old_reference;
    enum trigger_action action;
    const inquiry_said *subscriber; /* behind the question for it; else NULL */
} wanted;

/* The device as it was named, or as the subscriber's data names it. */
static void put_names(const wanted *asked, dro_builder *out)
{
    static const uint8_t given[] = { API_FIELD_ID, API_FIELD_MSISDN }, known[] = { API_FIELD_IMSI, API_FIELD_MSISDN, API_FIELD_SERVING_NODES };
    const inquiry_said *said = asked->subscriber;
    dro_field room;
    bool has_number = said != NULL && t8_find(said->fields, said->length, API_FIELD_MSISDN, &room) != NULL;
    for (size_t i = 0; i < sizeof given; i++) {
        const dro_field *field = t8_find(asked->fields, asked->length, given[i], &room);
        if (field != NULL && !(has_number && given[i] == API_FIELD_MSISDN))
            dro_field_put(out, given[i], field->bytes, field->length);
    }
    for (size_t i = 0; said != NULL && i < sizeof known; i++) {
        const dro_field *field = t8_find(said->fields, said->length, known[i], &room);
        if (field != NULL)
            dro_field_put(out, known[i], field->bytes, field->length);
    }
}

static void put_question(const core *core, const wanted *asked, dro_builder *out)
{
    dro_field room;
    const dro_field *payload = t8_find(asked->fields, asked->length, API_FIELD_PAYLOAD, &room);
    trigger_request request = {
        .reference = asked->reference, .old_reference = asked->old_reference, .action = (uint8_t)asked->action,
        .validity_s = (uint32_t)validity_of(asked->fields, asked->length),
        .port = (uint16_t)t8_integer(asked->fields, asked->length, API_FIELD_APPLICATION_PORT, 0),
        .has_priority = t8_option(asked->fields, asked->length, API_FIELD_TRIGGER_PRIORITY, TRIGGER_PRIORITY_NONE) == TRIGGER_PRIORITY_HIGH,
    };
    put_names(asked, out);
    dro_field_put(out, API_FIELD_PAYLOAD, payload != NULL ? payload->bytes : (const uint8_t *)"", payload != NULL ? payload->length : 0);
    if (core->options.trigger_sender[0] != '\0')
        dro_field_put_text(out, API_FIELD_SENDER, core->options.trigger_sender);
    dro_field_put(out, API_FIELD_TRIGGER, &request, sizeof request);
}

/* Host and realm of who has a trigger; NULL: anybody of the kind may be asked. */
static void node_of(const uint8_t *fields, size_t length, const char **host, const char **realm, char room[NODE_MAX + 1])
{
    dro_field found;
    const dro_field *node = t8_find(fields, length, API_FIELD_TRIGGER_NODE, &found);
    *host = *realm = NULL;
    if (node == NULL || node->length > NODE_MAX || memchr(node->bytes, 0, node->length) == NULL)
        return;
    memcpy(room, node->bytes, node->length);
    room[node->length] = '\0';
    *host = room;
    *realm = room + strlen(room) + 1;
}

/* Who has a trigger is asked to replace or recall it, by its name; a new one goes to whoever is there. */
static enum inquiry_kind prepare(const core *core, const wanted *asked, dro_builder *out, inquiry *question, char room[NODE_MAX + 1])
{
    trigger_state state = state_of(asked->fields, asked->length);
    const char *why;
    bool is_new = asked->action == TRIGGER_SEND;
    if (asked->subscriber != NULL)
        question->kind = INQUIRY_MESSAGE;
    else if (is_new)
        question->kind = way_of(core, &why);
    else
        question->kind = state.stage == TRIGGER_BY_FUNCTION ? INQUIRY_TRIGGER : INQUIRY_SUBSCRIBER;
    if (!is_new && question->kind != INQUIRY_SUBSCRIBER)
        node_of(asked->fields, asked->length, &question->host, &question->realm, room);
    put_question(core, asked, out);
    question->fields = out->start;
    question->length = dro_builder_length(out);
    return question->kind;
}

/* ---- what is said ---- */

static trigger_answer answer_of(const inquiry_said *said)
{
    dro_field room;
    trigger_answer answer = { .word = TRIGGER_ANSWER, .diagnostic = TRIGGER_NO_DIAGNOSTIC };
    const dro_field *field = t8_find(said->fields, said->length, API_FIELD_TRIGGER_WORD, &room);
    if (field != NULL && field->length == sizeof answer)
        memcpy(&answer, field->bytes, sizeof answer);
    if (answer.word >= TRIGGER_WORDS)
        answer.word = TRIGGER_ANSWER;
    return answer;
}

static void tell_refused(core *core, caller caller, const trigger_answer *answer, uint32_t code)
{
    static const char *const diagnostics[] = { [TRIGGER_NOT_DELETED] = "; the one before is still there",
                                               [TRIGGER_NOT_STORED] = "; the new one was not stored" };
    const trigger_word_row *row = &trigger_word_rows[answer->word];
    const char *more = answer->diagnostic <= TRIGGER_NOT_STORED ? diagnostics[answer->diagnostic] : "";
    if (row->cause[0] != '\0')
        tell_cause(core, caller, row->status, row->cause, "%s (%u)%s", row->detail, code, more);
    else
        tell_problem(core, caller, row->status, "about:blank", "%s (%u)%s", row->detail, code, more);
}

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
    uint8_t bytes[FIELDS_MAX];
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
        flight_end(core, reference);
}

/* ---- an application's ---- */

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
    trigger_state state = state_of(call->old->fields, call->old->length);
    if (trigger_has_ended(result_of(call->old)))
        tell_cause(core, call->call->caller, 409, "TRIGGER_ENDED", "the trigger has ended: %s", trigger_result_text(result_of(call->old)));
    else if (!is_same(call) && !state.may_change)
        tell_cause(core, call->call->caller, 403, "OPERATION_NOT_ALLOWED", "who delivers the trigger does not replace triggers");
    else
        return true;
    return false;
}

/* Asks for the trigger of the call, or goes on behind the subscriber's data. True: the request waits, or was refused. */
static bool request_ask(core *core, const exposure_call *call, uint32_t reference, const inquiry_said *subscriber)
{
    uint8_t fields[T8_FIELDS_MAX + 64], bytes[FIELDS_MAX];
    char room[NODE_MAX + 1];
    const char *why;
    dro_field found;
    dro_builder members = dro_builder_over(fields, sizeof fields), out = dro_builder_over(bytes, sizeof bytes);
    put_members(call->fields, call->length, &members);
    if (call->old != NULL) { /* who has it */
        trigger_state state = state_of(call->old->fields, call->old->length);
        put_state(TRIGGER_RESULT_TRIGGERED, &state, t8_find(call->old->fields, call->old->length, API_FIELD_TRIGGER_NODE, &found), &members);
    }
    wanted asked = { .fields = fields, .length = dro_builder_length(&members), .reference = reference, .subscriber = subscriber,
                     .action = call->old == NULL ? TRIGGER_SEND : TRIGGER_REPLACE, .old_reference = call->old == NULL ? 0 : call->old->reference };
    inquiry question = { .twin = twin_at(core, call->twin)->number, .subject = reference, .done = request_done };
    if (members.err != DRO_OK) {
        tell_problem(core, call->call->caller, 413, "about:blank", "the transaction is too large");
    } else if (prepare(core, &asked, &out, &question, room) == 0) {
        way_of(core, &why);
        tell_problem(core, call->call->caller, 503, "about:blank", "%s", why);
    } else {
        if (question.kind != INQUIRY_SUBSCRIBER)
            flight_begin(core, reference);
        if (!inquiry_defer(core, call->call, &question))
            flight_end(core, reference);
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
    trigger_answer answer = answer_of(said);
    if (!trigger_is_taken(answer.word)) {
        core->counters.triggers_refused++;
        tell_refused(core, call->call->caller, &answer, said->code);
        return true;
    }
    return answer.stage == TRIGGER_BY_SUBSCRIBER ? request_ask(core, call, reference_of(said), said) : false;
}

/* Who has it now; *room keeps it. */
static const dro_field *node_put(const inquiry_said *said, uint8_t bytes[NODE_MAX], dro_field *room)
{
    dro_builder out = dro_builder_over(bytes, NODE_MAX);
    if (said->host == NULL)
        return NULL;
    dro_builder_bytes(&out, said->host, strlen(said->host) + 1);
    dro_builder_text(&out, said->realm);
    *room = (dro_field){ API_FIELD_TRIGGER_NODE, (uint32_t)dro_builder_length(&out), bytes };
    return out.err == DRO_OK ? room : NULL;
}

static trigger_state state_sent(const core *core, const trigger_answer *answer, int64_t validity_s)
{
    return (trigger_state){ .ends_ms = core->now_ms + validity_s * 1000 + TRIGGER_GRACE_MS, .may_change = answer->may_change != 0,
                            .stage = answer->stage, .is_sent = 1 };
}

static bool trigger_made(core *core, const exposure_call *call, exposure *head, dro_builder *fields)
{
    const inquiry_said *said = core->said;
    uint8_t node[NODE_MAX];
    dro_field room;
    *fields = dro_builder_over(fields->start, (size_t)(fields->end - fields->start));
    put_members(call->fields, call->length, fields);
    if (said == NULL) { /* nothing that concerns the network has changed */
        trigger_state state = state_of(call->old->fields, call->old->length);
        put_state(result_of(call->old), &state, t8_find(call->old->fields, call->old->length, API_FIELD_TRIGGER_NODE, &room), fields);
        return true;
    }
    trigger_answer answer = answer_of(said);
    trigger_state state = state_sent(core, &answer, validity_of(call->fields, call->length));
    head->reference = reference_of(said);
    core->counters.triggers_sent++;
    const dro_field *at = node_put(said, node, &room);
    if (at == NULL && call->old != NULL) /* it was asked by name */
        at = t8_find(call->old->fields, call->old->length, API_FIELD_TRIGGER_NODE, &room);
    put_state(call->old == NULL ? TRIGGER_RESULT_TRIGGERED : TRIGGER_RESULT_REPLACED, &state, at, fields);
    return true;
}

static int64_t trigger_until(const uint8_t *fields, size_t length)
{
    return state_of(fields, length).ends_ms;
}

/* ---- its end ---- */

static void take_care(core *core, uint32_t index)
{
    if (timers_update(core, index) != DRO_OK)
        dro_error("timers: out of memory");
}

/* Inside a record: what became of it, and for whom it was hears. */
static void end_put(core *core, uint32_t index, const exposure *trigger, uint32_t result)
{
    dro_field room;
    uint64_t number = trigger->number;
    trigger_state state = state_of(trigger->fields, trigger->length);
    state.ends_ms = core->now_ms + TRIGGER_ENDED_KEPT_MS;
    exposure head = *trigger;
    head.status = EXPOSURE_ACTIVE;
    if (!trigger_has_ended(result_of(trigger)))
        charge_exposure(core, index, CHARGE_TRIGGER, trigger, NULL, trigger_result_text(result));
    put_again(core, trigger, &head, result, &state, t8_find(trigger->fields, trigger->length, API_FIELD_TRIGGER_NODE, &room));
    const exposure *kept = exposure_of(twin_at(core, index), number);
    uint8_t notice[8], byte = (uint8_t)result;
    dro_builder out = dro_builder_over(notice, sizeof notice);
    dro_field_put(&out, API_FIELD_DELIVERY_RESULT, &byte, 1);
    if (kept != NULL && kept->destination != NONE)
        exposure_notice(core, index, kept, notice, dro_builder_length(&out));
    core->counters.triggers_ended++;
}

static uint8_t event_outcome_of(uint32_t result)
{
    switch (result) {
    case TRIGGER_RESULT_SUCCESS: return EVENT_TRIGGER_DELIVERED;
    case TRIGGER_RESULT_EXPIRED: return EVENT_TRIGGER_EXPIRED;
    case TRIGGER_RESULT_FAILURE: return EVENT_TRIGGER_FAILED;
    case TRIGGER_RESULT_UNCONFIRMED: return EVENT_TRIGGER_UNCONFIRMED;
    default: return EVENT_TRIGGER_UNKNOWN;
    }
}

/* A twin hears it in a turn, whose record ends the trigger. False: there is no room for the turn. */
static bool end_by_turn(core *core, uint32_t index, const exposure *trigger, uint32_t result, caller caller)
{
    uint8_t outcome = event_outcome_of(result);
    turn *turn = turn_new(core, index, TURN_TRIGGER);
    if (turn == NULL)
        return false;
    if (turn_event(core, turn, EVENT_TRIGGER_OUTCOME, state_of(trigger->fields, trigger->length).event_id, &outcome, 1) != DRO_OK) {
        turn_free(core, turn);
        return false;
    }
    turn->caller = caller;
    turn->trigger = trigger->number;
    turn->trigger_result = (uint8_t)result;
    turn_send(core, turn);
    return true;
}

/* The twin is in no turn. False: not now. */
static bool trigger_end(core *core, uint32_t index, exposure *trigger, uint32_t result, caller caller)
{
    uint8_t purpose = state_of(trigger->fields, trigger->length).purpose;
    if (purpose == TRIGGER_OF_TWIN && twin_at(core, index)->image != NONE)
        return end_by_turn(core, index, trigger, result, caller);
    record_begin(core, index, RECORD_DELTA);
    end_put(core, index, trigger, result);
    if (purpose == TRIGGER_OF_DOWNLINK && result != TRIGGER_RESULT_SUCCESS)
        nidd_deliveries_untriggered(core, index);
    uint64_t round = record_end(core);
    if (caller.gate != NONE)
        network_answer_send(core, caller, RESULT_SUCCESS, 0, round);
    take_care(core, index);
    return true;
}

void trigger_turn_keep(core *core, const turn *turn)
{
    exposure *trigger = exposure_of(twin_at(core, turn->twin), turn->trigger);
    if (trigger != NULL)
        end_put(core, turn->twin, trigger, turn->trigger_result);
}

void trigger_turn_done(core *core, const turn *turn, uint64_t round)
{
    if (turn->caller.gate != NONE)
        network_answer_send(core, turn->caller, RESULT_SUCCESS, 0, round);
    take_care(core, turn->twin);
}

/* Its validity is over without a word, or it ended and its time here is over. */
static void trigger_expires(core *core, uint32_t index, exposure *ended)
{
    if (!trigger_has_ended(result_of(ended))) {
        if (!trigger_end(core, index, ended, TRIGGER_RESULT_EXPIRED, (caller){ NONE, 0 }))
            ended->until_ms = core->now_ms + TRIGGER_RETRY_MS; /* not durable: after a start it is due again */
        return;
    }
    record_begin(core, index, RECORD_DELTA);
    exposure_over(core, index, ended);
    record_end(core);
}

/* ---- the network says what became of one ---- */

/* Do all names in the report, if it has any, mean this twin? */
static bool is_of_twin(core *core, const uint8_t *fields, size_t length, uint32_t index)
{
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    char digits[16];
    while (dro_field_next(&in, &field)) {
        uint32_t found = index;
        bool is_number = field.tag == API_FIELD_IMSI || field.tag == API_FIELD_MSISDN;
        snprintf(digits, sizeof digits, "%.*s", is_number ? (int)field.length : 0, (const char *)field.bytes);
        if (field.tag == API_FIELD_ID)
            found = twin_find(core, (const char *)field.bytes, field.length);
        else if (field.tag == API_FIELD_IMSI)
            found = twin_find_imsi(core, digits);
        else if (field.tag == API_FIELD_MSISDN)
            found = twin_find_msisdn(core, digits);
        dro_wipe(digits, sizeof digits);
        if (found != index && found != NONE) /* one that nobody here has may be the network's own */
            return false;
    }
    return true;
}

static void outcome_take(core *core, uint32_t gate, const ring_header *header, const uint8_t *body, const trigger_outcome *outcome,
                         uint32_t index, exposure *trigger)
{
    caller caller = { gate, header->id };
    if (core_refusal(core) != NULL)
        network_answer_send(core, caller, RESULT_TOO_BUSY, 0, 0);
    else if (twin_at(core, index)->flags & TWIN_RUNNING) {
        if (twin_defer(core, index, gate, header, body) != DRO_OK)
            network_answer_send(core, caller, RESULT_TOO_BUSY, 0, 0);
    } else if (trigger_has_ended(result_of(trigger))) /* it was said before, and counts once */
        network_answer_send(core, caller, RESULT_SUCCESS, 0, round_now(core));
    else if (!trigger_end(core, index, trigger, outcome->result, caller))
        network_answer_send(core, caller, RESULT_TOO_BUSY, 0, 0);
}

void triggers_on_outcome(core *core, uint32_t gate, const ring_header *header, const uint8_t *body)
{
    caller caller = { gate, header->id };
    size_t length = header->length - sizeof *header;
    trigger_outcome outcome = { .reference = 0 };
    uint32_t index = NONE;
    if (length >= sizeof outcome)
        memcpy(&outcome, body, sizeof outcome);
    size_t names = sizeof outcome + outcome.host_length + outcome.realm_length;
    if (length < names || outcome.result >= TRIGGER_RESULTS || !trigger_has_ended(outcome.result)) {
        network_answer_send(core, caller, RESULT_UNABLE_TO_COMPLY, 0, 0);
        return;
    }
    trigger_flight *flight = flight_find(core, outcome.reference);
    exposure *trigger = outcome.reference == 0 ? NULL : exposure_find_reference(core, outcome.reference, &index);
    bool is_known = trigger != NULL && index != NONE && trigger->kind == EXPOSURE_TRIGGER && is_of_twin(core, body + names, length - names, index);
    if (is_known) {
        outcome_take(core, gate, header, body, &outcome, index, trigger);
    } else if (flight != NULL && trigger == NULL) {
        if (flight->early == NULL)
            flight->early = deferred_new(gate, header, body);
        else
            network_answer_send(core, caller, RESULT_TOO_BUSY, 0, 0);
    } else {
        core->counters.triggers_unknown++;
        network_answer_send(core, caller, RESULT_UNKNOWN_REFERENCE, 0, 0);
    }
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
    trigger_state state = state_of(ended->fields, ended->length);
    as.shown = *ended;
    put_members(ended->fields, ended->length, &fields);
    put_state(TRIGGER_RESULT_TERMINATE, &state, NULL, &fields);
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
    if (ended != NULL && !trigger_has_ended(result_of(ended)))
        charge_exposure(core, index, CHARGE_TRIGGER, ended, NULL, trigger_result_text(TRIGGER_RESULT_TERMINATE));
    exposure_gone(core, index, number);
    record_end(core);
    nidd_trim(twin_at(core, index));
    take_care(core, index);
}

static void recall_done(core *core, const inquiry *asked, const inquiry_said *said);

/* The next question of a recall; false: it cannot be asked now. */
static bool recall_ask(core *core, uint32_t index, exposure *ended, const inquiry_said *subscriber, deferred *late)
{
    uint8_t bytes[FIELDS_MAX];
    char room[NODE_MAX + 1];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    wanted asked = { .fields = ended->fields, .length = ended->length, .reference = exposure_reference_new(core, twin_at(core, index)),
                     .old_reference = ended->reference, .action = TRIGGER_RECALL, .subscriber = subscriber };
    inquiry question = { .twin = twin_at(core, index)->number, .subject = ended->number, .late = late, .had_late = late != NULL, .done = recall_done };
    prepare(core, &asked, &out, &question, room);
    bool is_asked = inquiry_begin(core, &question) == NULL;
    dro_wipe(bytes, sizeof bytes);
    ended->is_asked = is_asked;
    return is_asked;
}

static void recall_again(core *core, uint32_t index, exposure *ended)
{
    ended->is_asked = false;
    int64_t pause_ms = (int64_t)TRIGGER_RETRY_MS << (ended->retries < TRIGGER_RETRY_SHIFT ? ended->retries : TRIGGER_RETRY_SHIFT);
    if (ended->retries < TRIGGER_RETRY_SHIFT)
        ended->retries++;
    ended->retry_ms = core->now_ms + pause_ms;
    take_care(core, index);
}

static void recall_done(core *core, const inquiry *asked, const inquiry_said *said)
{
    uint32_t index;
    exposure *ended = exposure_find(core, asked->subject, &index);
    bool is_answered = said->outcome == INQUIRY_ANSWERED;
    trigger_answer answer = is_answered ? answer_of(said) : (trigger_answer){ .word = TRIGGER_TEMPORARY };
    bool is_recalled = is_answered && trigger_is_taken(answer.word) && answer.stage != TRIGGER_BY_SUBSCRIBER;
    if (ended == NULL || ended->status != EXPOSURE_ENDING) {
        tell_ended(core, asked, NULL, false);
        return;
    }
    if (is_answered && trigger_is_taken(answer.word) && !is_recalled) { /* who deleted it is told now: the service centre comes later */
        tell_ended(core, asked, NULL, false);
        if (!recall_ask(core, index, ended, said, NULL))
            recall_again(core, index, ended);
        return;
    }
    tell_ended(core, asked, ended, is_recalled);
    bool may_help = !is_answered || trigger_word_rows[answer.word].way == TRIGGER_WAY_RETRY;
    if (may_help && state_of(ended->fields, ended->length).ends_ms > core->now_ms)
        recall_again(core, index, ended);
    else
        recall_end(core, index, ended->number);
}

/* Its application has it no more; what the network still has is recalled, if that can be. */
static void trigger_ends(core *core, uint32_t index, exposure *ended, const call *call)
{
    trigger_state state = state_of(ended->fields, ended->length);
    bool is_out = !trigger_has_ended(result_of(ended)) && state.is_sent && state.may_change && state.ends_ms > core->now_ms;
    if (!is_out) {
        recall_end(core, index, ended->number);
        if (call != NULL)
            call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
        return;
    }
    deferred *late = call == NULL || core->is_draining ? NULL : deferred_new(call->gate, call->header, call->message);
    if (!recall_ask(core, index, ended, NULL, late)) {
        recall_again(core, index, ended);
        late = NULL;
    }
    if (late == NULL && call != NULL)
        call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
}

static void forsaken_done(core *core, const inquiry *asked, const inquiry_said *said)
{
    (void)core, (void)asked, (void)said; /* it goes whatever the network says */
}

static void trigger_forsaken(core *core, const twin *twin, const exposure *lost)
{
    uint8_t bytes[FIELDS_MAX];
    char room[NODE_MAX + 1];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    trigger_state state = state_of(lost->fields, lost->length);
    if (trigger_has_ended(result_of(lost)) || !state.is_sent || !state.may_change || state.stage != TRIGGER_BY_FUNCTION)
        return;
    wanted asked = { .fields = lost->fields, .length = lost->length, .reference = exposure_reference_new(core, twin),
                     .old_reference = lost->reference, .action = TRIGGER_RECALL };
    inquiry question = { .done = forsaken_done };
    prepare(core, &asked, &out, &question, room);
    (void)inquiry_begin(core, &question); /* if it cannot be told it expires there by itself */
}

/* ---- the host's own ---- */

static void own_done(core *core, const inquiry *asked, const inquiry_said *said);

/* The next question about it; false: it cannot be asked now. */
static bool own_ask(core *core, uint32_t index, exposure *made, const inquiry_said *subscriber)
{
    uint8_t bytes[FIELDS_MAX];
    char room[NODE_MAX + 1];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    wanted asked = { .fields = made->fields, .length = made->length, .reference = made->reference, .subscriber = subscriber };
    inquiry question = { .twin = twin_at(core, index)->number, .subject = made->number, .done = own_done };
    bool is_asked = prepare(core, &asked, &out, &question, room) != 0 && inquiry_begin(core, &question) == NULL;
    dro_wipe(bytes, sizeof bytes);
    made->is_asked = is_asked;
    return is_asked;
}

/* It cannot be sent: who wants it hears, or it is tried again. The twin may be in a turn. */
static void own_failed(core *core, uint32_t index, exposure *made, bool may_help)
{
    bool is_running = twin_at(core, index)->flags & TWIN_RUNNING;
    made->is_asked = false;
    if (is_running || (may_help && made->until_ms > core->now_ms) || core_refusal(core) != NULL ||
        !trigger_end(core, index, made, TRIGGER_RESULT_FAILURE, (caller){ NONE, 0 }))
        recall_again(core, index, made);
}

/* Inside nothing: it is at the network. */
static void own_sent(core *core, uint32_t index, const exposure *made, const trigger_answer *answer, const inquiry_said *said)
{
    uint8_t node[NODE_MAX];
    dro_field room;
    trigger_state before = state_of(made->fields, made->length);
    trigger_state state = state_sent(core, answer, validity_of(made->fields, made->length));
    exposure head = *made;
    state.event_id = before.event_id;
    state.purpose = before.purpose;
    head.status = EXPOSURE_ACTIVE;
    core->counters.triggers_sent++;
    record_begin(core, index, RECORD_DELTA);
    put_again(core, made, &head, TRIGGER_RESULT_TRIGGERED, &state, node_put(said, node, &room));
    record_end(core);
    take_care(core, index);
}

static void own_done(core *core, const inquiry *asked, const inquiry_said *said)
{
    uint32_t index;
    exposure *made = exposure_find(core, asked->subject, &index);
    if (made == NULL || made->status != EXPOSURE_MAKING)
        return; /* its outcome came first, or it is gone */
    if (said->outcome != INQUIRY_ANSWERED) {
        own_failed(core, index, made, true);
        return;
    }
    trigger_answer answer = answer_of(said);
    if (!trigger_is_taken(answer.word)) {
        core->counters.triggers_refused++;
        own_failed(core, index, made, trigger_word_rows[answer.word].way == TRIGGER_WAY_RETRY);
    } else if (answer.stage != TRIGGER_BY_SUBSCRIBER)
        own_sent(core, index, made, &answer, said);
    else if (!own_ask(core, index, made, said))
        own_failed(core, index, made, true);
}

static void trigger_begin(core *core, uint32_t index, exposure *made)
{
    const char *why;
    if (made->until_ms <= core->now_ms || way_of(core, &why) == 0)
        own_failed(core, index, made, made->made_ms < core->started_ms); /* behind a start the peers come one by one */
    else if (!own_ask(core, index, made, NULL))
        recall_again(core, index, made);
}

static exposure *own_find(const twin *twin, uint8_t purpose)
{
    exposure *found = twin->nidd == NULL ? NULL : twin->nidd->exposures;
    while (found != NULL && (found->kind != EXPOSURE_TRIGGER || found->application != 0 || state_of(found->fields, found->length).purpose != purpose))
        found = found->next;
    return found;
}

bool trigger_is_out(const twin *twin)
{
    const exposure *found = own_find(twin, TRIGGER_OF_DOWNLINK);
    return found != NULL && (!trigger_has_ended(result_of(found)) || result_of(found) == TRIGGER_RESULT_SUCCESS);
}

typedef struct own { uint8_t purpose; uint32_t event_id, validity_s; uint16_t port; const uint8_t *payload; size_t length; } own;

/* Inside a record. */
static bool own_put(core *core, uint32_t index, const own *wanted)
{
    uint8_t bytes[T8_FIELDS_MAX], none = 0;
    size_t length;
    const twin *twin = twin_at(core, index);
    exposure *before = own_find(twin, wanted->purpose);
    const char *id = twin_id(core, twin, &length);
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    int64_t validity = wanted->validity_s, port = wanted->port;
    trigger_state state = { .ends_ms = core->now_ms + validity * 1000 + TRIGGER_GRACE_MS, .event_id = wanted->event_id, .purpose = wanted->purpose };
    if (before != NULL)
        exposure_gone(core, index, before->number);
    if (!exposure_has_room(twin))
        return false;
    dro_field_put(&out, API_FIELD_ID, id, length);
    dro_field_put(&out, API_FIELD_VALIDITY, &validity, 8);
    dro_field_put(&out, API_FIELD_TRIGGER_PRIORITY, &none, 1);
    dro_field_put(&out, API_FIELD_APPLICATION_PORT, &port, 8);
    dro_field_put(&out, API_FIELD_PAYLOAD, wanted->payload, wanted->length);
    put_state(TRIGGER_RESULT_TRIGGERED, &state, NULL, &out);
    exposure head = { .number = exposure_number_new(core, twin), .reference = exposure_reference_new(core, twin), .kind = EXPOSURE_TRIGGER,
                      .status = EXPOSURE_MAKING, .made_ms = core->now_ms, .until_ms = state.ends_ms };
    if (out.err == DRO_OK)
        exposure_put(core, &head, bytes, dro_builder_length(&out));
    return out.err == DRO_OK;
}

bool trigger_of_twin(core *core, uint32_t index, const effect *wanted)
{
    const exposure *before = own_find(twin_at(core, index), TRIGGER_OF_TWIN);
    bool is_soon = before != NULL && (!trigger_has_ended(result_of(before)) || before->made_ms + TWIN_TRIGGER_PAUSE_MS > core->now_ms);
    uint32_t validity_s = wanted->trigger.validity_s;
    own own = { .purpose = TRIGGER_OF_TWIN, .event_id = wanted->trigger.trigger, .port = wanted->trigger.port, .payload = wanted->trigger.bytes,
                .length = wanted->trigger.length, .validity_s = validity_s != 0 ? validity_s : TWIN_VALIDITY_S };
    return !is_soon && own_put(core, index, &own);
}

void trigger_for_downlink(core *core, uint32_t index, int64_t until_ms)
{
    const char *why;
    const exposure *before = own_find(twin_at(core, index), TRIGGER_OF_DOWNLINK);
    bool is_soon = before != NULL && (!trigger_has_ended(result_of(before)) || before->made_ms + TWIN_TRIGGER_PAUSE_MS > core->now_ms);
    int64_t validity_s = (until_ms - core->now_ms + 999) / 1000;
    own own = { .purpose = TRIGGER_OF_DOWNLINK, .port = (uint16_t)core->options.trigger_port, .payload = (const uint8_t *)"",
                .validity_s = (uint32_t)(validity_s < 1 ? 1 : validity_s > UINT32_MAX ? UINT32_MAX : validity_s) };
    if (!is_soon && way_of(core, &why) != 0)
        (void)own_put(core, index, &own); /* without room it waits like WAIT_FOR_UE */
}

bool trigger_row(const dro_field *field, trigger_line *out)
{
    exposure head;
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    if (exposure_head_read(&in, &head) != DRO_OK || head.kind != EXPOSURE_TRIGGER)
        return false;
    uint32_t result = t8_option(in.at, dro_cursor_left(&in), API_FIELD_DELIVERY_RESULT, TRIGGER_RESULT_UNKNOWN);
    *out = (trigger_line){ .number = head.number, .reference = head.reference, .outcome = trigger_result_text(result) };
    if (head.status == EXPOSURE_ENDING)
        out->outcome = trigger_result_text(TRIGGER_RESULT_TERMINATE);
    else if (head.status == EXPOSURE_MAKING)
        out->outcome = "WANTED";
    return true;
}

const exposure_class trigger_class = {
    .api = &t8_trigger, .is_good = trigger_is_good, .asks = trigger_asks, .made = trigger_made, .ends = trigger_ends, .expires = trigger_expires,
    .begins = trigger_begin, .forsaken = trigger_forsaken, .until = trigger_until,
};

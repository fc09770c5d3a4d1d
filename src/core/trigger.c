#include "core/trigger_question.h"

#include <stdio.h>
#include <string.h>

#include "base/wipe.h"
#include "core/charge.h"
#include "core/host.h"
#include "core/names.h"
#include "core/network.h"
#include "core/nidd.h"
#include "core/number.h"
#include "core/record.h"
#include "core/state.h"
#include "core/turn.h"
#include "core/twin_table.h"
#include "twin/event.h"

enum {
    RESULT_SUCCESS = 2001, RESULT_TOO_BUSY = 3004, RESULT_UNKNOWN_REFERENCE = 5004, RESULT_UNABLE_TO_COMPLY = 5012,
    TWIN_VALIDITY_S = 3600,
};

/* ---- its end ---- */

/* Inside a record: what became of it, and for whom it was hears. */
static void end_put(core *core, uint32_t index, const exposure *trigger, uint32_t result)
{
    dro_field room;
    uint64_t number = trigger->number;
    trigger_state state = trigger_state_of(trigger->fields, trigger->length);
    state.ends_ms = core->now_ms + TRIGGER_ENDED_KEPT_MS;
    exposure head = *trigger;
    head.status = EXPOSURE_ACTIVE;
    if (!trigger_has_ended(trigger_result_of(trigger)))
        charge_exposure(core, index, CHARGE_TRIGGER, trigger, NULL, trigger_result_text(result));
    trigger_put_again(core, trigger, &head, result, &state, t8_find(trigger->fields, trigger->length, API_FIELD_TRIGGER_NODE, &room));
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
    if (turn_event(core, turn, EVENT_TRIGGER_OUTCOME, trigger_state_of(trigger->fields, trigger->length).event_id, &outcome, 1) != DRO_OK) {
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
    uint8_t purpose = trigger_state_of(trigger->fields, trigger->length).purpose;
    if (purpose == TRIGGER_OF_TWIN && twin_at(core, index)->image != NONE)
        return end_by_turn(core, index, trigger, result, caller);
    record_begin(core, index, RECORD_DELTA);
    end_put(core, index, trigger, result);
    if (purpose == TRIGGER_OF_DOWNLINK && result != TRIGGER_RESULT_SUCCESS)
        nidd_deliveries_untriggered(core, index);
    uint64_t round = record_end(core);
    if (caller.gate != NONE)
        network_answer_send(core, caller, RESULT_SUCCESS, 0, round);
    trigger_timers(core, index);
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
    trigger_timers(core, turn->twin);
}

void trigger_expires(core *core, uint32_t index, exposure *ended)
{
    if (!trigger_has_ended(trigger_result_of(ended))) {
        if (!trigger_end(core, index, ended, TRIGGER_RESULT_EXPIRED, (caller){ NONE, 0 }))
            ended->until_ms = core->now_ms + TRIGGER_RETRY_MS; /* not durable: after a start it is due again */
        return;
    }
    record_begin(core, index, RECORD_DELTA);
    exposure_over(core, index, ended, "expired");
    record_end(core);
}

/* ---- the network says what became of one ---- */

/* Whose name it is: a twin here, another core's, or nobody's. */
static bool is_others(core *core, const dro_field *name, uint32_t index)
{
    char digits[16];
    uint32_t found = NONE;
    directory_kind kind = name->tag == API_FIELD_IMSI ? DIRECTORY_IMSI : name->tag == API_FIELD_MSISDN ? DIRECTORY_MSISDN : DIRECTORY_ID;
    snprintf(digits, sizeof digits, "%.*s", kind == DIRECTORY_ID ? 0 : (int)name->length, (const char *)name->bytes);
    if (kind == DIRECTORY_ID)
        found = twin_find(core, (const char *)name->bytes, name->length);
    else if (kind == DIRECTORY_IMSI)
        found = twin_find_imsi(core, digits);
    else
        found = twin_find_msisdn(core, digits);
    dro_wipe(digits, sizeof digits);
    if (found != NONE)
        return found != index;
    return core->count > 1 && directory_has(&core->options.directory, kind, (const char *)name->bytes, name->length);
}

/* Do the names in the report, if it has any, mean this twin? One that nobody here has may be the network's own. */
static bool is_of_twin(core *core, const uint8_t *fields, size_t length, uint32_t index)
{
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    while (dro_field_next(&in, &field))
        if ((field.tag == API_FIELD_ID || field.tag == API_FIELD_IMSI || field.tag == API_FIELD_MSISDN) && is_others(core, &field, index))
            return false;
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
    } else if (trigger_has_ended(trigger_result_of(trigger))) /* it was said before, and counts once */
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
    trigger_flight *flight = trigger_flight_find(core, outcome.reference);
    exposure *trigger = outcome.reference == 0 ? NULL : exposure_find_reference(core, outcome.reference, &index);
    bool is_known = trigger != NULL && index != NONE && trigger->kind == EXPOSURE_TRIGGER && is_of_twin(core, body + names, length - names, index) &&
                    twin_is_of_peer(core, index, body + names, length - names);
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

/* ---- the host's own ---- */

static void own_done(core *core, const inquiry *asked, const inquiry_said *said);

/* The next question about it; false: it cannot be asked now. */
static bool own_ask(core *core, uint32_t index, exposure *made, const inquiry_said *subscriber)
{
    uint8_t bytes[TRIGGER_QUESTION_BYTES];
    char room[TRIGGER_NODE_BYTES + 1];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    trigger_wanted asked = { .fields = made->fields, .length = made->length, .reference = made->reference, .subscriber = subscriber };
    inquiry question = { .twin = twin_at(core, index)->number, .subject = made->number, .done = own_done };
    bool is_asked = trigger_question(core, &asked, &out, &question, room) != 0 && inquiry_begin(core, &question) == NULL;
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
        trigger_again(core, index, made);
}

/* Inside nothing: it is at the network. */
static void own_sent(core *core, uint32_t index, const exposure *made, const trigger_answer *answer, const inquiry_said *said)
{
    uint8_t node[TRIGGER_NODE_BYTES];
    dro_field room;
    trigger_state before = trigger_state_of(made->fields, made->length);
    trigger_state state = trigger_state_sent(core, answer, trigger_validity_of(made->fields, made->length));
    exposure head = *made;
    state.event_id = before.event_id;
    state.purpose = before.purpose;
    head.status = EXPOSURE_ACTIVE;
    core->counters.triggers_sent++;
    record_begin(core, index, RECORD_DELTA);
    trigger_put_again(core, made, &head, TRIGGER_RESULT_TRIGGERED, &state, trigger_node_put(said, node, &room));
    record_end(core);
    trigger_timers(core, index);
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
    trigger_answer answer = trigger_answer_of(said);
    if (!trigger_is_taken(answer.word)) {
        core->counters.triggers_refused++;
        own_failed(core, index, made, trigger_word_rows[answer.word].way == TRIGGER_WAY_RETRY);
    } else if (answer.stage != TRIGGER_BY_SUBSCRIBER)
        own_sent(core, index, made, &answer, said);
    else if (!own_ask(core, index, made, said))
        own_failed(core, index, made, true);
}

void trigger_begin(core *core, uint32_t index, exposure *made)
{
    const char *why;
    if (made->until_ms <= core->now_ms || trigger_way_of(core, &why) == 0)
        own_failed(core, index, made, made->made_ms <= core->started_ms); /* behind a start the peers come one by one */
    else if (!own_ask(core, index, made, NULL))
        trigger_again(core, index, made);
}

static exposure *own_find(const twin *twin, uint8_t purpose)
{
    exposure *found = twin->nidd == NULL ? NULL : twin->nidd->exposures;
    while (found != NULL && (found->kind != EXPOSURE_TRIGGER || found->application != 0 || trigger_state_of(found->fields, found->length).purpose != purpose))
        found = found->next;
    return found;
}

bool trigger_is_out(const twin *twin)
{
    const exposure *found = own_find(twin, TRIGGER_OF_DOWNLINK);
    return found != NULL && (!trigger_has_ended(trigger_result_of(found)) || trigger_result_of(found) == TRIGGER_RESULT_SUCCESS);
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
    trigger_put_state(TRIGGER_RESULT_TRIGGERED, &state, NULL, &out);
    exposure head = { .number = exposure_number_new(core, twin), .reference = exposure_reference_new(core, twin), .kind = EXPOSURE_TRIGGER,
                      .status = EXPOSURE_MAKING, .made_ms = core->now_ms, .until_ms = state.ends_ms };
    if (out.err == DRO_OK)
        exposure_put(core, &head, bytes, dro_builder_length(&out));
    return out.err == DRO_OK;
}

bool trigger_of_twin(core *core, uint32_t index, const effect *wanted)
{
    const exposure *before = own_find(twin_at(core, index), TRIGGER_OF_TWIN);
    bool is_soon = before != NULL && (!trigger_has_ended(trigger_result_of(before)) || before->made_ms + TWIN_TRIGGER_PAUSE_MS > core->now_ms);
    uint32_t validity_s = wanted->trigger.validity_s;
    own own = { .purpose = TRIGGER_OF_TWIN, .event_id = wanted->trigger.trigger, .port = wanted->trigger.port, .payload = wanted->trigger.bytes,
                .length = wanted->trigger.length, .validity_s = validity_s != 0 ? validity_s : TWIN_VALIDITY_S };
    return !is_soon && own_put(core, index, &own);
}

void trigger_for_downlink(core *core, uint32_t index, int64_t until_ms)
{
    const char *why;
    const exposure *before = own_find(twin_at(core, index), TRIGGER_OF_DOWNLINK);
    bool is_soon = before != NULL && (!trigger_has_ended(trigger_result_of(before)) || before->made_ms + TWIN_TRIGGER_PAUSE_MS > core->now_ms);
    int64_t validity_s = (until_ms - core->now_ms + 999) / 1000;
    own own = { .purpose = TRIGGER_OF_DOWNLINK, .port = (uint16_t)core->options.trigger_port, .payload = (const uint8_t *)"",
                .validity_s = (uint32_t)(validity_s < 1 ? 1 : validity_s > UINT32_MAX ? UINT32_MAX : validity_s) };
    if (!is_soon && trigger_way_of(core, &why) != 0)
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

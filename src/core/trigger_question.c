#include "core/trigger_question.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/peers.h"
#include "core/state.h"
#include "core/timers.h"
#include "core/turn.h"
#include "twin/t8_trigger.h"

/* ---- what is kept with a trigger ---- */

trigger_state trigger_state_of(const uint8_t *fields, size_t length)
{
    dro_field room;
    trigger_state state = { .ends_ms = INT64_MAX };
    const dro_field *field = t8_find(fields, length, API_FIELD_TRIGGER_STATE, &room);
    if (field != NULL && field->length == sizeof state)
        memcpy(&state, field->bytes, sizeof state);
    return state;
}

uint32_t trigger_result_of(const exposure *trigger)
{
    return t8_option(trigger->fields, trigger->length, API_FIELD_DELIVERY_RESULT, TRIGGER_RESULT_TRIGGERED);
}

/* The members without what this host adds. */
void trigger_put_members(const uint8_t *fields, size_t length, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    while (dro_field_next(&in, &field))
        if (field.tag != API_FIELD_DELIVERY_RESULT && field.tag != API_FIELD_TRIGGER_STATE && field.tag != API_FIELD_TRIGGER_NODE)
            dro_field_put(out, (uint8_t)field.tag, field.bytes, field.length);
}

void trigger_put_state(uint32_t result, const trigger_state *state, const dro_field *node, dro_builder *out)
{
    uint8_t byte = (uint8_t)result;
    dro_field_put(out, API_FIELD_DELIVERY_RESULT, &byte, 1);
    dro_field_put(out, API_FIELD_TRIGGER_STATE, state, sizeof *state);
    if (node != NULL)
        dro_field_put(out, API_FIELD_TRIGGER_NODE, node->bytes, node->length);
}

/* Inside a record: the same trigger with another head and state. */
void trigger_put_again(core *core, const exposure *old, const exposure *head, uint32_t result, const trigger_state *state, const dro_field *node)
{
    uint8_t bytes[T8_FIELDS_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    exposure changed = *head;
    changed.until_ms = state->ends_ms;
    trigger_put_members(old->fields, old->length, &out);
    trigger_put_state(result, state, node, &out);
    if (out.err == DRO_OK)
        exposure_put(core, &changed, bytes, dro_builder_length(&out));
}

int64_t trigger_validity_of(const uint8_t *fields, size_t length)
{
    return t8_integer(fields, length, API_FIELD_VALIDITY, 0);
}

/* ---- who is asked ---- */

static const char *sender_of(const core *core)
{
    return core->options.trigger_sender != NULL ? core->options.trigger_sender : "";
}

/* Both parts of the longer way; `is_there`: peers_have, peers_are_open. A relay may lead to one of them. */
static bool has_centre(const core *core, bool (*is_there)(const struct core *core, uint32_t applications))
{
    bool has_relay = is_there(core, PEER_RELAY), has_subscribers = is_there(core, PEER_S6M), has_centres = is_there(core, PEER_T4);
    return (has_subscribers && (has_centres || has_relay)) || (has_centres && has_relay);
}

/* Who is asked first about a new trigger; 0: nobody can be, for the reason in *why. Who is connected comes first. */
enum inquiry_kind trigger_way_of(const core *core, const char **why)
{
    *why = "no peer triggers devices: neither an MTC-IWF (tsp) nor an HSS (s6m) with an SMS-SC (t4) is in diameter.peers or has connected";
    bool has_function = peers_have(core, PEER_TSP), has_longer = has_centre(core, peers_have), has_sender = sender_of(core)[0] != '\0';
    if (has_function && (peers_are_open(core, PEER_TSP) || !has_longer || !has_sender || !has_centre(core, peers_are_open)))
        return INQUIRY_TRIGGER;
    if (!has_longer)
        return 0;
    *why = "t8.trigger_sender is not set: a service centre (SMS-SC) has to be told who sends a trigger";
    return has_sender ? INQUIRY_SUBSCRIBER : 0;
}

/* ---- triggers under way ---- */

trigger_flight *trigger_flight_find(const core *core, uint32_t reference)
{
    trigger_flight *found = core->flights;
    while (found != NULL && found->reference != reference)
        found = found->next;
    return found;
}

/* As many as there are inquiries; without memory an early outcome is not known. */
void trigger_flight_begin(core *core, uint32_t reference)
{
    trigger_flight *made = trigger_flight_find(core, reference) != NULL ? NULL : calloc(1, sizeof *made);
    if (made == NULL)
        return;
    made->reference = reference;
    made->next = core->flights;
    core->flights = made;
}

void trigger_flight_end(core *core, uint32_t reference)
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

/* The device as it was named, or as the subscriber's data names it. */
static void put_names(const trigger_wanted *asked, dro_builder *out)
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

static void put_question(const core *core, const trigger_wanted *asked, dro_builder *out)
{
    dro_field room;
    const dro_field *payload = t8_find(asked->fields, asked->length, API_FIELD_PAYLOAD, &room);
    trigger_request request = {
        .reference = asked->reference, .old_reference = asked->old_reference, .action = (uint8_t)asked->action,
        .validity_s = (uint32_t)trigger_validity_of(asked->fields, asked->length),
        .port = (uint16_t)t8_integer(asked->fields, asked->length, API_FIELD_APPLICATION_PORT, 0),
        .has_priority = t8_option(asked->fields, asked->length, API_FIELD_TRIGGER_PRIORITY, TRIGGER_PRIORITY_NONE) == TRIGGER_PRIORITY_HIGH,
    };
    put_names(asked, out);
    dro_field_put(out, API_FIELD_PAYLOAD, payload != NULL ? payload->bytes : (const uint8_t *)"", payload != NULL ? payload->length : 0);
    if (sender_of(core)[0] != '\0')
        dro_field_put_text(out, API_FIELD_SENDER, sender_of(core));
    dro_field_put(out, API_FIELD_TRIGGER, &request, sizeof request);
}

/* Host and realm of who has a trigger; NULL: anybody of the kind may be asked. */
static void node_of(const uint8_t *fields, size_t length, const char **host, const char **realm, char room[TRIGGER_NODE_BYTES + 1])
{
    dro_field found;
    const dro_field *node = t8_find(fields, length, API_FIELD_TRIGGER_NODE, &found);
    *host = *realm = NULL;
    if (node == NULL || node->length > TRIGGER_NODE_BYTES || memchr(node->bytes, 0, node->length) == NULL)
        return;
    memcpy(room, node->bytes, node->length);
    room[node->length] = '\0';
    *host = room;
    *realm = room + strlen(room) + 1;
}

/* Who has a trigger is asked to replace or recall it, by its name; a new one goes to whoever is there. */
enum inquiry_kind trigger_question(const core *core, const trigger_wanted *asked, dro_builder *out, inquiry *question, char room[TRIGGER_NODE_BYTES + 1])
{
    trigger_state state = trigger_state_of(asked->fields, asked->length);
    const char *why;
    bool is_new = asked->action == TRIGGER_SEND;
    if (asked->subscriber != NULL)
        question->kind = INQUIRY_MESSAGE;
    else if (is_new)
        question->kind = trigger_way_of(core, &why);
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

trigger_answer trigger_answer_of(const inquiry_said *said)
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

void trigger_tell_refused(core *core, caller caller, const trigger_answer *answer, uint32_t code)
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

/* Who has it now; *room keeps it. */
const dro_field *trigger_node_put(const inquiry_said *said, uint8_t bytes[TRIGGER_NODE_BYTES], dro_field *room)
{
    dro_builder out = dro_builder_over(bytes, TRIGGER_NODE_BYTES);
    if (said->host == NULL)
        return NULL;
    dro_builder_bytes(&out, said->host, strlen(said->host) + 1);
    dro_builder_text(&out, said->realm);
    *room = (dro_field){ API_FIELD_TRIGGER_NODE, (uint32_t)dro_builder_length(&out), bytes };
    return out.err == DRO_OK ? room : NULL;
}

trigger_state trigger_state_sent(const core *core, const trigger_answer *answer, int64_t validity_s)
{
    return (trigger_state){ .ends_ms = core->now_ms + validity_s * 1000 + TRIGGER_GRACE_MS, .may_change = answer->may_change != 0,
                            .stage = answer->stage, .is_sent = 1 };
}

void trigger_timers(core *core, uint32_t index)
{
    if (timers_update(core, index) != DRO_OK)
        dro_error("timers: out of memory");
}

void trigger_again(core *core, uint32_t index, exposure *ended)
{
    ended->is_asked = false;
    int64_t pause_ms = (int64_t)TRIGGER_RETRY_MS << (ended->retries < TRIGGER_RETRY_SHIFT ? ended->retries : TRIGGER_RETRY_SHIFT);
    if (ended->retries < TRIGGER_RETRY_SHIFT)
        ended->retries++;
    ended->retry_ms = core->now_ms + pause_ms;
    trigger_timers(core, index);
}

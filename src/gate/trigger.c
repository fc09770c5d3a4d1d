/* Device triggering over Diameter: Tsp, this host being the SCS (TS 29.368); S6m (TS 29.336) and T4 (TS 29.337), this
 * host being the MTC-IWF. The core knows triggers in the words of twin/trigger.h alone. */
#include <string.h>

#include "base/fields.h"
#include "base/wipe.h"
#include "gate/inquiry.h"
#include "twin/trigger.h"
#include "wire/diameter/check.h"
#include "wire/diameter/read.h"
#include "wire/diameter/write.h"

enum {
    ACTION_TRIGGER = 1, ACTION_REPORT = 2, ACTION_RECALL = 3, ACTION_REPLACE = 4, /* Action-Type */
    SERVICE_DEVICE_TRIGGER = 0,        /* Service-ID */
    FROM_MTC_IWF = 1,                  /* SIR-Flags, bit 0 */
    FEATURE_LIST = 1, REPLACE_AND_RECALL = 1, /* of Supported-Features: bit 0; of Feature-Supported-In-Final-Target too */
    INTERNATIONAL_NUMBER = 0x91,       /* type of address, TS 23.040 9.1.2.5 */
    SENDER_BYTES_MAX = 2 + (DIAMETER_DIGITS_MAX + 1) / 2,
    OUTCOME_BYTES = 3072,              /* of one message: two names of 255 bytes, identities, the peer's IMSIs */
    SUCCESS_FIRST = 2000, SUCCESS_LAST = 2999,
};

/* ---- questions ---- */

typedef struct question {
    dro_field id, msisdn, imsi, payload, nodes; /* tag 0: not there */
    char sender[DIAMETER_DIGITS_MAX + 1];
    trigger_request trigger;
} question;

static void copy_digits(const dro_field *field, char out[DIAMETER_DIGITS_MAX + 1])
{
    size_t length = field->length > DIAMETER_DIGITS_MAX ? 0 : field->length;
    memcpy(out, field->bytes, length);
    out[length] = '\0';
}

static question question_of(const inquiry_question *asked)
{
    question found = { .sender = "" };
    dro_cursor in = dro_cursor_over(asked->fields, asked->length);
    dro_field field;
    while (dro_field_next(&in, &field)) {
        switch (field.tag) {
        case API_FIELD_ID: found.id = field; break;
        case API_FIELD_MSISDN: found.msisdn = field; break;
        case API_FIELD_IMSI: found.imsi = field; break;
        case API_FIELD_PAYLOAD: found.payload = field; break;
        case API_FIELD_SERVING_NODES: found.nodes = field; break;
        case API_FIELD_SENDER: copy_digits(&field, found.sender); break;
        case API_FIELD_TRIGGER:
            if (field.length == sizeof found.trigger)
                memcpy(&found.trigger, field.bytes, sizeof found.trigger);
            break;
        default: break;
        }
    }
    return found;
}

/* Somebody is named, and a trigger is. */
static bool is_whole(const question *asked)
{
    return (asked->id.tag != 0 || asked->msisdn.tag != 0 || asked->imsi.tag != 0) && asked->trigger.reference != 0;
}

static void put_msisdn(const dro_field *msisdn, dro_builder *out)
{
    char digits[DIAMETER_DIGITS_MAX + 1];
    copy_digits(msisdn, digits);
    diameter_put_tbcd(out, AVP_MSISDN, digits);
    dro_wipe(digits, sizeof digits);
}

/* All that is known of who it is. */
static void put_user(const question *asked, dro_builder *out)
{
    size_t group = diameter_group_begin(out, AVP_USER_IDENTIFIER);
    if (asked->imsi.tag != 0)
        diameter_put(out, AVP_USER_NAME, asked->imsi.bytes, asked->imsi.length);
    if (asked->msisdn.tag != 0)
        put_msisdn(&asked->msisdn, out);
    if (asked->id.tag != 0)
        diameter_put(out, AVP_EXTERNAL_IDENTIFIER, asked->id.bytes, asked->id.length);
    diameter_group_end(out, group);
}

/* An address as short messages have it (TS 23.040 9.1.2.5): how many digits, the kind of number, digits as TBCD. */
static void put_sender(const question *asked, dro_builder *out)
{
    uint8_t address[SENDER_BYTES_MAX];
    size_t count = strlen(asked->sender), length = 2 + (count + 1) / 2;
    address[0] = (uint8_t)count;
    address[1] = INTERNATIONAL_NUMBER;
    for (size_t i = 0; i < count; i += 2) {
        uint32_t high = i + 1 < count ? (uint32_t)(asked->sender[i + 1] - '0') : 0xf;
        address[2 + i / 2] = (uint8_t)(high << 4 | (uint32_t)(asked->sender[i] - '0'));
    }
    diameter_put(out, AVP_SM_RP_SMEA, address, length);
}

static void put_features(dro_builder *out)
{
    size_t group = diameter_group_begin(out, AVP_SUPPORTED_FEATURES);
    diameter_put_u32(out, AVP_VENDOR_ID, DIAMETER_VENDOR_3GPP);
    diameter_put_u32(out, AVP_FEATURE_LIST_ID, FEATURE_LIST);
    diameter_put_u32(out, AVP_FEATURE_LIST, REPLACE_AND_RECALL);
    diameter_group_end(out, group);
}

static void put_trigger_data(const question *asked, dro_builder *out)
{
    size_t group = diameter_group_begin(out, AVP_TRIGGER_DATA);
    diameter_put(out, AVP_PAYLOAD, asked->payload.bytes, asked->payload.length);
    diameter_put_u32(out, AVP_PRIORITY_INDICATION, asked->trigger.has_priority);
    diameter_put_u32(out, AVP_APPLICATION_PORT_IDENTIFIER, asked->trigger.port);
    diameter_group_end(out, group);
}

bool tsp_put_action(diameter_gate *gate, const inquiry_question *said, dro_builder *out)
{
    (void)gate;
    static const uint32_t types[] = { [TRIGGER_SEND] = ACTION_TRIGGER, [TRIGGER_RECALL] = ACTION_RECALL, [TRIGGER_REPLACE] = ACTION_REPLACE };
    question asked = question_of(said);
    const trigger_request *trigger = &asked.trigger;
    diameter_put_u32(out, AVP_AUTH_APPLICATION_ID, DIAMETER_APPLICATION_TSP);
    size_t group = diameter_group_begin(out, AVP_DEVICE_ACTION);
    if (asked.id.tag != 0)
        diameter_put(out, AVP_EXTERNAL_IDENTIFIER, asked.id.bytes, asked.id.length);
    else if (asked.msisdn.tag != 0)
        put_msisdn(&asked.msisdn, out);
    if (asked.sender[0] != '\0')
        diameter_put_tbcd(out, AVP_SCS_IDENTITY, asked.sender);
    diameter_put_u32(out, AVP_REFERENCE_NUMBER, trigger->reference);
    if (trigger->action != TRIGGER_SEND)
        diameter_put_u32(out, AVP_OLD_REFERENCE_NUMBER, trigger->old_reference);
    diameter_put_u32(out, AVP_ACTION_TYPE, trigger->action <= TRIGGER_REPLACE ? types[trigger->action] : ACTION_TRIGGER);
    if (trigger->action != TRIGGER_RECALL) {
        put_trigger_data(&asked, out);
        diameter_put_u32(out, AVP_VALIDITY_TIME, trigger->validity_s);
    }
    diameter_group_end(out, group);
    put_features(out);
    return is_whole(&asked);
}

bool s6m_put_subscriber(diameter_gate *gate, const inquiry_question *said, dro_builder *out)
{
    (void)gate;
    question asked = question_of(said);
    put_user(&asked, out);
    diameter_put_u32(out, AVP_SERVICE_ID, SERVICE_DEVICE_TRIGGER);
    diameter_put_tbcd(out, AVP_SCS_IDENTITY, asked.sender);
    size_t parameters = diameter_group_begin(out, AVP_SERVICE_PARAMETERS);
    size_t group = diameter_group_begin(out, AVP_T4_PARAMETERS);
    diameter_put_u32(out, AVP_PRIORITY_INDICATION, asked.trigger.has_priority);
    put_sender(&asked, out);
    diameter_group_end(out, group);
    diameter_put_u32(out, AVP_APPLICATION_PORT_IDENTIFIER, asked.trigger.port);
    diameter_group_end(out, parameters);
    diameter_put_u32(out, AVP_SIR_FLAGS, FROM_MTC_IWF);
    return is_whole(&asked);
}

bool t4_put_trigger(diameter_gate *gate, const inquiry_question *said, dro_builder *out)
{
    (void)gate;
    question asked = question_of(said);
    const trigger_request *trigger = &asked.trigger;
    put_user(&asked, out);
    put_sender(&asked, out);
    diameter_put(out, AVP_PAYLOAD, asked.payload.bytes, asked.payload.length);
    if (asked.nodes.tag != 0)
        dro_builder_bytes(out, asked.nodes.bytes, asked.nodes.length);
    diameter_put_u32(out, AVP_REFERENCE_NUMBER, trigger->reference);
    if (trigger->action != TRIGGER_RECALL) {
        diameter_put_u32(out, AVP_VALIDITY_TIME, trigger->validity_s);
        diameter_put_u32(out, AVP_PRIORITY_INDICATION, trigger->has_priority);
        diameter_put_u32(out, AVP_APPLICATION_PORT_IDENTIFIER, trigger->port);
    }
    if (trigger->action != TRIGGER_SEND)
        diameter_put_u32(out, AVP_OLD_REFERENCE_NUMBER, trigger->old_reference);
    diameter_put_u32(out, AVP_TRIGGER_ACTION, trigger->action);
    put_features(out);
    return is_whole(&asked);
}

/* ---- answers ---- */

/* What the result alone says. */
static uint32_t word_of_result(const diameter_message *answer)
{
    uint32_t result, experimental;
    diameter_result_of(answer, &result, &experimental);
    if (experimental != 0)
        return trigger_meaning(TRIGGER_EXPERIMENTAL, experimental, TRIGGER_ANSWER);
    return result >= SUCCESS_FIRST && result <= SUCCESS_LAST ? TRIGGER_ACCEPTED : TRIGGER_PERMANENT;
}

/* A node that has too much to do is another matter (VERDICT_BUSY): then another one is asked. */
static void put_word(enum trigger_stage stage, uint32_t word, bool may_change, const diameter_avp *diagnostic, inquiry_answer *told, dro_builder *out)
{
    uint32_t number = diagnostic == NULL ? TRIGGER_NO_DIAGNOSTIC : diameter_u32(diagnostic);
    trigger_answer said = { .stage = (uint8_t)stage, .word = (uint8_t)word, .may_change = may_change,
                            .diagnostic = (uint8_t)(number < TRIGGER_NO_DIAGNOSTIC ? number : TRIGGER_NO_DIAGNOSTIC) };
    dro_field_put(out, API_FIELD_TRIGGER_WORD, &said, sizeof said);
    if (told->verdict != VERDICT_BUSY && told->verdict != VERDICT_NOT_TAKEN)
        told->verdict = trigger_is_taken(word) ? VERDICT_DONE : VERDICT_REFUSED;
}

bool tsp_read_action(diameter_gate *gate, const pending_outgoing *entry, const diameter_message *answer, inquiry_answer *told, dro_builder *out)
{
    (void)gate, (void)entry;
    const diameter_avp *notification = diameter_find(answer, AVP_DEVICE_NOTIFICATION);
    const diameter_avp *status = diameter_find_in(answer, notification, AVP_REQUEST_STATUS);
    const diameter_avp *target = diameter_find(answer, AVP_FEATURE_SUPPORTED_IN_FINAL_TARGET);
    uint32_t word = word_of_result(answer);
    if (status != NULL && (word == TRIGGER_ACCEPTED || diameter_u32(status) != 0)) /* of an error both may speak: the status says more */
        word = trigger_meaning(TRIGGER_REQUEST_STATUS, told->code = diameter_u32(status), TRIGGER_ANSWER);
    put_word(TRIGGER_BY_FUNCTION, word, (diameter_u32(target) & REPLACE_AND_RECALL) != 0, diameter_find_in(answer, notification, AVP_MTC_ERROR_DIAGNOSTIC), told, out);
    return true;
}

static bool has_feature(const diameter_message *answer)
{
    const diameter_avp *features = diameter_find(answer, AVP_SUPPORTED_FEATURES);
    for (; features != NULL; features = diameter_find_next(answer, features))
        if (diameter_u32(diameter_find_in(answer, features, AVP_VENDOR_ID)) == DIAMETER_VENDOR_3GPP &&
            diameter_u32(diameter_find_in(answer, features, AVP_FEATURE_LIST_ID)) == FEATURE_LIST &&
            (diameter_u32(diameter_find_in(answer, features, AVP_FEATURE_LIST)) & REPLACE_AND_RECALL) != 0)
            return true;
    return false;
}

bool t4_read_trigger(diameter_gate *gate, const pending_outgoing *entry, const diameter_message *answer, inquiry_answer *told, dro_builder *out)
{
    (void)gate, (void)entry;
    put_word(TRIGGER_BY_CENTRE, word_of_result(answer), has_feature(answer), diameter_find(answer, AVP_MTC_ERROR_DIAGNOSTIC), told, out);
    return true;
}

/* The nodes as they came: what T4 has them for is written the same. Those that find no room are left out. */
static void put_nodes(const diameter_message *answer, const diameter_avp *data, dro_builder *out)
{
    uint8_t bytes[TRIGGER_NODES_MAX];
    dro_builder nodes = dro_builder_over(bytes, sizeof bytes);
    static const diameter_name names[] = { AVP_SERVING_NODE, AVP_ADDITIONAL_SERVING_NODE };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const diameter_avp *node = diameter_find_in(answer, data, names[i]);
        for (; node != NULL; node = diameter_find_next(answer, node)) {
            size_t before = dro_builder_length(&nodes);
            diameter_put_copy(&nodes, node);
            if (nodes.err != DRO_OK) {
                nodes = dro_builder_over(bytes, sizeof bytes);
                nodes.at += before;
            }
        }
    }
    if (dro_builder_length(&nodes) > 0)
        dro_field_put(out, API_FIELD_SERVING_NODES, bytes, dro_builder_length(&nodes));
}

/* Why the HSS gives no node (HSS-Cause), the worst first. */
static uint32_t word_of_cause(uint32_t causes)
{
    uint32_t word = TRIGGER_ACCEPTED;
    for (uint32_t bit = 0; bit < 32; bit++) {
        uint32_t means = causes >> bit & 1 ? trigger_meaning(TRIGGER_HSS_CAUSE, bit, TRIGGER_ACCEPTED) : TRIGGER_ACCEPTED;
        if (means != TRIGGER_ACCEPTED && (word == TRIGGER_ACCEPTED || word == TRIGGER_ABSENT))
            word = means;
    }
    return word;
}

bool s6m_read_subscriber(diameter_gate *gate, const pending_outgoing *entry, const diameter_message *answer, inquiry_answer *told, dro_builder *out)
{
    (void)gate, (void)entry;
    const diameter_avp *user = diameter_find(answer, AVP_USER_IDENTIFIER), *wrong;
    const diameter_avp *data = diameter_find_in(answer, diameter_find(answer, AVP_SERVICE_DATA), AVP_T4_DATA);
    uint32_t word = word_of_result(answer);
    for (; user != NULL && word == TRIGGER_ACCEPTED; user = diameter_find_next(answer, user))
        if (!s6t_put_identities(answer, user, out, &wrong))
            return false;
    if (word == TRIGGER_ACCEPTED)
        word = word_of_cause(diameter_u32(diameter_find_in(answer, data, AVP_HSS_CAUSE)));
    put_word(TRIGGER_BY_SUBSCRIBER, word, false, NULL, told, out);
    if (word == TRIGGER_ACCEPTED) /* who is absent is not tried at a node: the service centre waits for an alert */
        put_nodes(answer, data, out);
    return true;
}

/* ---- what became of a trigger ---- */

static bool refuse_missing_top(diameter_peer *peer, diameter_name name)
{
    t6a_refuse_missing(peer, name, name);
    peer->gate->fault.around_count = 0;
    return false;
}

typedef struct report {
    const diameter_avp *user, *reference; /* user: the group with its names */
    uint32_t result;                      /* trigger_result */
} report;

static bool judge_user(diameter_peer *peer, const diameter_message *request, const diameter_avp *user)
{
    char imsi[IMSI_DIGITS_MAX + 1];
    bool is_good = !t6a_imsi(diameter_find_in(request, user, AVP_USER_NAME), imsi) || t6a_judge_user(peer, imsi, NULL);
    dro_wipe(imsi, sizeof imsi);
    return is_good;
}

static uint32_t home_of_reference(const gate_config *config, uint32_t reference)
{
    return config->core_count == 1 ? 0 : directory_core(config->directory, reference >> 20);
}

/* `bytes` are `length` of a whole message. */
static bool send_outcome(diameter_peer *peer, const diameter_message *request, const diameter_command *command, uint32_t reference,
                         const uint8_t *bytes, size_t length)
{
    ring_writer *ring = &peer->gate->config->to_core[home_of_reference(peer->gate->config, reference)];
    uint64_t id;
    uint8_t *body = t6a_reserve(peer, request, command, ring, length, &id);
    if (body == NULL)
        return false;
    pending_find_incoming(peer->gate->pending, id)->reference = reference;
    memcpy(body, bytes, length);
    ring_commit(ring, MESSAGE_TRIGGER_OUTCOME, RING_WIPE, id, (uint32_t)length);
    return true;
}

static bool put_outcome(diameter_peer *peer, const diameter_message *request, const report *said, dro_builder *out)
{
    const diameter_avp *host = diameter_find(request, AVP_ORIGIN_HOST), *realm = diameter_find(request, AVP_ORIGIN_REALM), *wrong;
    trigger_outcome outcome = { .reference = diameter_u32(said->reference), .end_to_end = request->header.end_to_end, .result = (uint8_t)said->result,
                                .is_retransmission = (request->header.flags & DIAMETER_FLAG_RETRANSMITTED) != 0,
                                .host_length = (uint16_t)host->length, .realm_length = (uint16_t)realm->length };
    dro_builder_bytes(out, &outcome, sizeof outcome);
    dro_builder_bytes(out, host->data, host->length);
    dro_builder_bytes(out, realm->data, realm->length);
    if (!s6t_put_identities(request, said->user, out, &wrong))
        return t6a_refuse_avp(peer, DIAMETER_INVALID_AVP_VALUE, request, wrong);
    t6a_put_imsis(peer, out);
    dro_field_pad(out);
    return out->err == DRO_OK || t6a_refuse(peer, DIAMETER_UNABLE_TO_COMPLY);
}

static bool on_report(diameter_peer *peer, const diameter_message *request, const diameter_command *command, const report *said)
{
    uint8_t bytes[OUTCOME_BYTES];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    bool is_good = put_outcome(peer, request, said, &out) && judge_user(peer, request, said->user) &&
                   send_outcome(peer, request, command, diameter_u32(said->reference), bytes, dro_builder_length(&out));
    dro_wipe(bytes, sizeof bytes);
    return is_good;
}

bool tsp_on_device_notification(diameter_peer *peer, const diameter_message *request, const diameter_command *command)
{
    const diameter_avp *notification = diameter_find(request, AVP_DEVICE_NOTIFICATION);
    const diameter_avp *outcome = diameter_find_in(request, notification, AVP_DELIVERY_OUTCOME);
    report said = { .user = notification, .reference = diameter_find_in(request, notification, AVP_REFERENCE_NUMBER) };
    if (notification == NULL)
        return refuse_missing_top(peer, AVP_DEVICE_NOTIFICATION);
    if (diameter_u32(diameter_find_in(request, notification, AVP_ACTION_TYPE)) != ACTION_REPORT)
        return t6a_refuse(peer, DIAMETER_UNABLE_TO_COMPLY); /* short messages of devices without a number: not done */
    if (outcome == NULL)
        return t6a_refuse_missing(peer, AVP_DEVICE_NOTIFICATION, AVP_DELIVERY_OUTCOME);
    said.result = trigger_meaning(TRIGGER_DELIVERY_OUTCOME, diameter_u32(outcome), TRIGGER_RESULT_UNKNOWN);
    return on_report(peer, request, command, &said);
}

bool t4_on_delivery_report(diameter_peer *peer, const diameter_message *request, const diameter_command *command)
{
    report said = { .user = diameter_find(request, AVP_USER_IDENTIFIER), .reference = diameter_find(request, AVP_REFERENCE_NUMBER) };
    if (said.reference == NULL)
        return refuse_missing_top(peer, AVP_REFERENCE_NUMBER);
    said.result = trigger_meaning(TRIGGER_SM_OUTCOME, diameter_u32(diameter_find(request, AVP_SM_DELIVERY_OUTCOME_T4)), TRIGGER_RESULT_UNKNOWN);
    return on_report(peer, request, command, &said);
}

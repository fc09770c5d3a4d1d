#include "gate/inquiry.h"

#include <string.h>

#include "base/wipe.h"
#include "wire/diameter/check.h"
#include "wire/diameter/read.h"
#include "wire/diameter/write.h"

enum {
    NO_STATE_MAINTAINED = 1,
    REQUEST_BYTES = 16384,        /* a question of ours: what the core sends is half of that */
    FIELDS_BYTES = 16384,         /* of an answer */
};

static const inquiry_row rows[INQUIRY_KINDS] = {
    [INQUIRY_PATTERNS] = { COMMAND_CONFIGURATION_INFORMATION, DIAMETER_APPLICATION_S6T, PEER_S6T, s6t_put_patterns, s6t_read_patterns },
    [INQUIRY_PARAMETERS] = { COMMAND_CONFIGURATION_INFORMATION, DIAMETER_APPLICATION_S6T, PEER_S6T, s6t_put_parameters, s6t_read_parameters },
    [INQUIRY_COVERAGE] = { COMMAND_CONFIGURATION_INFORMATION, DIAMETER_APPLICATION_S6T, PEER_S6T, s6t_put_coverage, s6t_read_coverage },
    [INQUIRY_NIDD] = { COMMAND_NIDD_INFORMATION, DIAMETER_APPLICATION_S6T, PEER_S6T, s6t_put_nidd, s6t_read_nidd },
    [INQUIRY_MONITORING] = { COMMAND_CONFIGURATION_INFORMATION, DIAMETER_APPLICATION_S6T, PEER_S6T, s6t_put_monitoring, s6t_read_monitoring },
    [INQUIRY_AREA] = { COMMAND_CONFIGURATION_INFORMATION, DIAMETER_APPLICATION_T6A, PEER_T6A, t6a_put_area, t6a_read_area },
    [INQUIRY_SUBSCRIBER] = { COMMAND_SUBSCRIBER_INFORMATION, DIAMETER_APPLICATION_S6M, PEER_S6M, s6m_put_subscriber, s6m_read_subscriber },
    [INQUIRY_TRIGGER] = { COMMAND_DEVICE_ACTION, DIAMETER_APPLICATION_TSP, PEER_TSP, tsp_put_action, tsp_read_action },
    [INQUIRY_MESSAGE] = { COMMAND_DEVICE_TRIGGER, DIAMETER_APPLICATION_T4, PEER_T4, t4_put_trigger, t4_read_trigger },
};

static const inquiry_row *row_of(uint32_t kind)
{
    return kind < INQUIRY_KINDS && rows[kind].put != NULL ? &rows[kind] : NULL;
}

/* RFC 6733, 7.1.3: a protocol error is of the way or of the node's size of the day, or says that this is not taken here at all. */
static bool is_not_taken(uint32_t result)
{
    switch (result) {
    case 3001: /* DIAMETER_COMMAND_UNSUPPORTED */
    case 3003: /* DIAMETER_REALM_NOT_SERVED */
    case 3007: /* DIAMETER_APPLICATION_UNSUPPORTED */
    case 3008: /* DIAMETER_INVALID_HDR_BITS */
    case 3009: /* DIAMETER_INVALID_AVP_BITS */
        return true;
    default: return false;
    }
}

enum inquiry_verdict inquiry_verdict_of(uint32_t result, uint32_t experimental)
{
    switch (experimental) {
    case 0: break;
    case DIAMETER_ERROR_USER_UNKNOWN: return VERDICT_USER_UNKNOWN;
    case DIAMETER_ERROR_OPERATION_NOT_ALLOWED:
    case DIAMETER_ERROR_UNAUTHORIZED_REQUESTING_ENTITY:
    case DIAMETER_ERROR_UNAUTHORIZED_SERVICE: return VERDICT_NOT_ALLOWED;
    case DIAMETER_ERROR_REQUESTED_RANGE_IS_NOT_ALLOWED: return VERDICT_OUT_OF_RANGE;
    case DIAMETER_ERROR_CONFIGURATION_EVENT_STORAGE_NOT_SUCCESSFUL: return VERDICT_NOT_KEPT;
    case DIAMETER_ERROR_CONFIGURATION_EVENT_NON_EXISTANT: return VERDICT_NOT_THERE;
    case DIAMETER_ERROR_REQUESTED_LOCATION_NOT_SERVED: return VERDICT_NOT_SERVED;
    default: return VERDICT_REFUSED;
    }
    if (is_not_taken(result))
        return VERDICT_NOT_TAKEN;
    return result >= 5000 ? VERDICT_UNFIT : result >= 2000 && result < 3000 ? VERDICT_DONE : VERDICT_BUSY;
}

dro_field inquiry_field(const inquiry_question *asked, uint32_t tag)
{
    dro_cursor in = dro_cursor_over(asked->fields, asked->length);
    dro_field field;
    while (dro_field_next(&in, &field))
        if (field.tag == tag)
            return field;
    return (dro_field){ .tag = 0 };
}

/* ---- answers ---- */

static bool send_answer(diameter_gate *gate, const pending_outgoing *entry, const inquiry_answer *answer, const dro_builder *fields)
{
    ring_writer *ring = &gate->config->to_core[entry->core];
    uint32_t length = fields == NULL ? 0 : (uint32_t)dro_builder_length(fields);
    uint8_t *body = sizeof *answer + length > ring_body_max(ring) ? NULL : ring_reserve(ring, (uint32_t)sizeof *answer + length);
    if (body == NULL)
        return false;
    memcpy(body, answer, sizeof *answer);
    if (length > 0)
        memcpy(body + sizeof *answer, fields->start, length);
    ring_commit(ring, MESSAGE_INQUIRY_ANSWER, RING_WIPE, entry->core_id, (uint32_t)sizeof *answer + length);
    return true;
}

bool inquiry_tell(diameter_gate *gate, const pending_outgoing *entry, uint32_t outcome)
{
    return send_answer(gate, entry, &(inquiry_answer){ .outcome = outcome, .verdict = VERDICT_BUSY, .end_to_end = entry->end_to_end }, NULL);
}

bool inquiry_on_answer(diameter_gate *gate, pending_outgoing *entry, const diameter_message *message)
{
    uint8_t bytes[FIELDS_BYTES];
    uint32_t result, experimental;
    dro_builder fields = dro_builder_over(bytes, sizeof bytes);
    diameter_result_of(message, &result, &experimental);
    inquiry_answer answer = { .outcome = INQUIRY_ANSWERED, .verdict = inquiry_verdict_of(result, experimental),
                              .code = experimental != 0 ? experimental : result, .end_to_end = entry->end_to_end };
    bool is_good = rows[entry->inquiry].read(gate, entry, message, &answer, &fields);
    dro_field_pad(&fields);
    is_good &= fields.err == DRO_OK;
    if (is_good && send_answer(gate, entry, &answer, &fields))
        pending_drop_outgoing(gate->pending, entry);
    else if (is_good) /* no room for all of it: then as if none had come */
        t6a_keep_untold(gate, entry, INQUIRY_NO_ANSWER);
    dro_wipe(bytes, sizeof bytes);
    return is_good;
}

/* ---- the core asks ---- */

static uint32_t reference_of(const inquiry_question *asked)
{
    dro_field field = inquiry_field(asked, API_FIELD_REFERENCE);
    uint32_t reference = 0;
    if (field.tag != 0 && field.length == sizeof reference)
        memcpy(&reference, field.bytes, sizeof reference);
    return reference;
}

static int64_t timeout_of(const inquiry_request *request)
{
    bool is_wanted = request->timeout_ms > 0 && request->timeout_ms < INQUIRY_TIMEOUT_MS;
    return is_wanted ? request->timeout_ms : INQUIRY_TIMEOUT_MS;
}

/* No Destination-Host where any node of the realm may answer, so the same request can go to another one. False: nothing was sent. */
static bool send_question(diameter_gate *gate, diameter_peer *peer, pending_outgoing *entry, const inquiry_question *asked,
                          const uint8_t *text, dro_builder *out)
{
    const inquiry_request *request = asked->request;
    const inquiry_row *row = &rows[request->kind];
    size_t begin = t6a_request_begin(gate, peer, entry, row->command, row->application, request->is_again ? DIAMETER_FLAG_RETRANSMITTED : 0, out);
    diameter_put_u32(out, AVP_AUTH_SESSION_STATE, NO_STATE_MAINTAINED);
    peer_put_origin(gate, out);
    if (request->is_to_host)
        diameter_put(out, AVP_DESTINATION_HOST, text, request->host_length);
    if (request->realm_length > 0)
        diameter_put(out, AVP_DESTINATION_REALM, text + request->host_length, request->realm_length);
    else
        diameter_put_text(out, AVP_DESTINATION_REALM, gate->config->realm);
    if (!row->put(gate, asked, out) || out->err != DRO_OK)
        return false;
    t6a_request_end(gate, peer, entry, begin, out);
    return true;
}

/* Then the core asks another node, or has the application ask again. */
static bool is_left_out(diameter_gate *gate, const diameter_peer *peer, const inquiry_request *request, const uint8_t *text)
{
    bool has_realm = request->realm_length > 0;
    overload_way way = { .application = rows[request->kind].application, .priority = PRIORITY_USUAL };
    if (request->is_to_host) {
        way.host = text;
        way.host_length = request->host_length;
    } else {
        way.realm = has_realm ? text + request->host_length : (const uint8_t *)gate->config->realm;
        way.realm_length = has_realm ? request->realm_length : (uint32_t)strlen(gate->config->realm);
    }
    return !request->is_again && t6a_abates(gate, peer, &way);
}

static void end_abated(diameter_gate *gate, pending_outgoing *entry)
{
    if (inquiry_tell(gate, entry, INQUIRY_ABATED))
        pending_drop_outgoing(gate->pending, entry);
    else
        t6a_keep_untold(gate, entry, INQUIRY_ABATED);
}

static void end_unsent(diameter_gate *gate, pending_outgoing *entry, bool is_fit)
{
    inquiry_answer unfit = { .outcome = INQUIRY_ANSWERED, .verdict = VERDICT_UNFIT, .code = DIAMETER_UNABLE_TO_COMPLY };
    diameter_count_drop(&gate->counts, is_fit ? DIAMETER_DROP_NO_PEER : DIAMETER_DROP_BAD_CORE_MESSAGE);
    if (is_fit ? inquiry_tell(gate, entry, INQUIRY_NO_PEER) : send_answer(gate, entry, &unfit, NULL))
        pending_drop_outgoing(gate->pending, entry);
    else
        t6a_keep_untold(gate, entry, INQUIRY_NO_PEER);
}

void inquiry_ask(diameter_gate *gate, uint32_t core, uint64_t id, const inquiry_request *request, const uint8_t *text, uint32_t length)
{
    uint32_t names = (uint32_t)request->host_length + request->realm_length;
    inquiry_question asked = { request, text + names, length - names };
    const inquiry_row *row = row_of(request->kind);
    pending_outgoing *entry = row == NULL ? NULL : pending_put_outgoing(gate->pending);
    dro_builder out;
    if (entry == NULL) { /* the core's own time limit ends it */
        diameter_count_drop(&gate->counts, row == NULL ? DIAMETER_DROP_BAD_CORE_MESSAGE : DIAMETER_DROP_BUSY);
        return;
    }
    entry->kind = OUTGOING_INQUIRY;
    entry->inquiry = request->kind;
    entry->core = core;
    entry->core_id = id;
    entry->group = request->group;
    entry->reference = reference_of(&asked);
    entry->end_to_end = request->is_again ? request->end_to_end : gate->end_to_end++;
    entry->peer_slot = entry->peer_generation = UINT32_MAX;
    entry->deadline_ns = loop_now_ns(gate->home) + timeout_of(request) * NS_PER_MS;
    diameter_peer *peer = t6a_next_hop(gate, text, request->host_length, row->peers);
    if (peer != NULL && is_left_out(gate, peer, request, text)) {
        end_abated(gate, entry);
        return;
    }
    bool has_way = peer != NULL && peer_room(peer, REQUEST_BYTES, &out);
    if (!has_way || !send_question(gate, peer, entry, &asked, text, &out))
        end_unsent(gate, entry, !has_way);
}

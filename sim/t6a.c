#include "sim/t6a.h"

#include <stdio.h>
#include <string.h>

#include "wire/diameter/read.h"
#include "wire/diameter/write.h"

enum {
    NO_STATE_MAINTAINED = 1,     /* Auth-Session-State */
    CAUSE_REBOOTING = 0,         /* Disconnect-Cause */
    CMR_UE_REACHABLE = 1,
    TDA_ACKNOWLEDGED = 1,
    PLMN_BYTES = 3, PLMN_DIGITS = 6,
    PRODUCT_VENDOR = 0,
    INCOMPLETE_LIST = 1,         /* NIA-Flags and NIR-Flags */
    GROUP_IDENTIFIER = 1,        /* Type-Of-External-Identifier */
    LONG_AGO = 946684800,        /* the year 2000 */
    HOP_BY_HOP_OFFSET = 12,
    END_TO_END_OFFSET = 16,
    SESSION_DIGITS = 10,         /* of the low half of a Session-Id */
};

static size_t begin(dro_builder *out, uint32_t command, uint32_t application, uint8_t flags, uint32_t hop_by_hop,
                    uint32_t end_to_end)
{
    diameter_header header = { .version = DIAMETER_VERSION, .code = command, .application = application, .flags = flags,
                               .hop_by_hop = hop_by_hop, .end_to_end = end_to_end };
    return diameter_begin(out, &header);
}

static void put_origin(dro_builder *out, const t6a_names *names)
{
    diameter_put_text(out, AVP_ORIGIN_HOST, names->host);
    diameter_put_text(out, AVP_ORIGIN_REALM, names->realm);
}

void t6a_write_capabilities_request(dro_builder *out, const t6a_names *names, uint32_t hop_by_hop, uint32_t end_to_end)
{
    static const uint8_t address[4] = { 127, 0, 0, 1 };
    size_t message = begin(out, COMMAND_CAPABILITIES_EXCHANGE, 0, DIAMETER_FLAG_REQUEST, hop_by_hop, end_to_end);
    put_origin(out, names);
    diameter_put_address(out, AVP_HOST_IP_ADDRESS, address, sizeof address);
    diameter_put_u32(out, AVP_VENDOR_ID, PRODUCT_VENDOR);
    diameter_put_text(out, AVP_PRODUCT_NAME, "dromio-sim");
    diameter_put_u32(out, AVP_ORIGIN_STATE_ID, names->origin_state);
    diameter_put_u32(out, AVP_SUPPORTED_VENDOR_ID, DIAMETER_VENDOR_3GPP);
    diameter_put_application(out, names->application != 0 ? names->application : DIAMETER_APPLICATION_T6A);
    diameter_end(out, message);
}

void t6a_write_watchdog_request(dro_builder *out, const t6a_names *names, uint32_t hop_by_hop, uint32_t end_to_end)
{
    size_t message = begin(out, COMMAND_DEVICE_WATCHDOG, 0, DIAMETER_FLAG_REQUEST, hop_by_hop, end_to_end);
    put_origin(out, names);
    diameter_put_u32(out, AVP_ORIGIN_STATE_ID, names->origin_state);
    diameter_end(out, message);
}

void t6a_write_disconnect_request(dro_builder *out, const t6a_names *names, uint32_t hop_by_hop, uint32_t end_to_end)
{
    size_t message = begin(out, COMMAND_DISCONNECT_PEER, 0, DIAMETER_FLAG_REQUEST, hop_by_hop, end_to_end);
    put_origin(out, names);
    diameter_put_u32(out, AVP_DISCONNECT_CAUSE, CAUSE_REBOOTING);
    diameter_end(out, message);
}

void t6a_write_digits(char *out, uint64_t number, uint32_t count)
{
    for (; count > 0; number /= 10)
        out[--count] = (char)('0' + number % 10);
}

static void put_session(dro_builder *out, t6a_names *names)
{
    char session[T6A_SESSION_MAX];
    snprintf(session, sizeof session, "%s;%u;%0*u", names->host, names->session_high, SESSION_DIGITS, names->session_low++);
    diameter_put_text(out, AVP_SESSION_ID, session);
}

static void put_user(dro_builder *out, const t6a_request *request)
{
    size_t group = diameter_group_begin(out, AVP_USER_IDENTIFIER);
    diameter_put_text(out, AVP_USER_NAME, request->imsi);
    diameter_group_end(out, group);
    diameter_put(out, AVP_BEARER_IDENTIFIER, &request->bearer, 1);
}

/* MCC and MNC, nibble-swapped as TS 29.272 has it: those said, else of the IMSI, whose MNC has two digits here. */
static void put_visited_plmn(dro_builder *out, const char *imsi, const char *said)
{
    const char *digits = said != NULL && said[0] != '\0' ? said : imsi;
    uint8_t digit[PLMN_DIGITS] = { [5] = 0xf };
    for (int i = 0; i < (digits != imsi && strlen(digits) == PLMN_DIGITS ? PLMN_DIGITS : PLMN_DIGITS - 1); i++)
        digit[i] = (uint8_t)(digits[i] - '0');
    uint8_t plmn[PLMN_BYTES] = { (uint8_t)(digit[1] << 4 | digit[0]), (uint8_t)(digit[5] << 4 | digit[2]),
                                 (uint8_t)(digit[4] << 4 | digit[3]) };
    diameter_put(out, AVP_VISITED_PLMN_ID, plmn, sizeof plmn);
}

static void put_connection(dro_builder *out, const t6a_request *request)
{
    if (request->is_reachable)
        diameter_put_u32(out, AVP_CMR_FLAGS, CMR_UE_REACHABLE);
    if (request->available_until != 0)
        diameter_put_time(out, AVP_MAXIMUM_UE_AVAILABILITY_TIME, request->available_until);
    diameter_put_u32(out, AVP_CONNECTION_ACTION, request->action);
    if (request->action != CONNECTION_ESTABLISHMENT)
        return;
    diameter_put_text(out, AVP_SERVICE_SELECTION, request->apn);
    diameter_put_u32(out, AVP_RAT_TYPE, RAT_EUTRAN_NB_IOT);
    put_visited_plmn(out, request->imsi, request->plmn);
}

/* ---- an uplink like the one before ---- */

/* `bytes` are a whole MO-Data-Request. */
static void uplink_remember(t6a_uplink *last, const t6a_request *request, const uint8_t *bytes, size_t length)
{
    static diameter_message message; /* 20 KB; this program has one thread */
    diameter_fault fault;
    if (length > sizeof last->bytes || !diameter_read(&message, bytes, length, &fault))
        return;
    const diameter_avp *session = diameter_find(&message, AVP_SESSION_ID), *data = diameter_find(&message, AVP_NON_IP_DATA);
    const diameter_avp *imsi = diameter_find_in(&message, diameter_find(&message, AVP_USER_IDENTIFIER), AVP_USER_NAME);
    const diameter_avp *bearer = diameter_find(&message, AVP_BEARER_IDENTIFIER);
    last->session_at = (uint16_t)(session->data + session->length - SESSION_DIGITS - bytes);
    last->imsi_at = (uint16_t)(imsi->data - bytes);
    last->bearer_at = (uint16_t)(bearer->data - bytes);
    last->data_at = (uint16_t)(data->data - bytes);
    last->imsi_length = (uint16_t)imsi->length;
    last->data_length = (uint16_t)request->data_length;
    last->length = (uint16_t)length;
    memcpy(last->bytes, bytes, length);
}

static void put_u32_at(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* False: it is not like the last one. */
static bool uplink_write_like_last(dro_builder *out, t6a_names *names, const t6a_request *request, uint32_t hop_by_hop,
                                   uint32_t end_to_end)
{
    const t6a_uplink *last = &names->uplink;
    if (last->length == 0 || request->data_length != last->data_length || strlen(request->imsi) != last->imsi_length)
        return false;
    uint8_t *at = dro_builder_room(out, last->length);
    if (at == NULL)
        return false;
    memcpy(at, last->bytes, last->length);
    put_u32_at(at + HOP_BY_HOP_OFFSET, hop_by_hop);
    put_u32_at(at + END_TO_END_OFFSET, end_to_end);
    t6a_write_digits((char *)at + last->session_at, names->session_low++, SESSION_DIGITS);
    memcpy(at + last->imsi_at, request->imsi, last->imsi_length);
    at[last->bearer_at] = request->bearer;
    memcpy(at + last->data_at, request->data, last->data_length);
    return true;
}

void t6a_write_request(dro_builder *out, t6a_names *names, const t6a_request *request, uint32_t hop_by_hop,
                       uint32_t end_to_end)
{
    bool is_uplink = request->command == COMMAND_MO_DATA;
    if (is_uplink && uplink_write_like_last(out, names, request, hop_by_hop, end_to_end))
        return;
    size_t message = begin(out, request->command, DIAMETER_APPLICATION_T6A, DIAMETER_FLAG_REQUEST | DIAMETER_FLAG_PROXIABLE,
                           hop_by_hop, end_to_end);
    put_session(out, names);
    put_user(out, request);
    diameter_put_u32(out, AVP_AUTH_SESSION_STATE, NO_STATE_MAINTAINED);
    put_origin(out, names);
    diameter_put_text(out, AVP_DESTINATION_HOST, names->destination_host);
    diameter_put_text(out, AVP_DESTINATION_REALM, names->destination_realm);
    if (request->command == COMMAND_CONNECTION_MANAGEMENT)
        put_connection(out, request);
    else
        diameter_put(out, AVP_NON_IP_DATA, request->data, request->data_length);
    diameter_end(out, message);
    if (is_uplink && out->err == DRO_OK)
        uplink_remember(&names->uplink, request, out->start + message, dro_builder_length(out) - message);
}

static size_t begin_answer(dro_builder *out, const t6a_message *to, uint32_t result)
{
    diameter_header request = { .version = DIAMETER_VERSION, .code = to->command, .application = to->application,
                                .hop_by_hop = to->hop_by_hop, .end_to_end = to->end_to_end,
                                .flags = to->application != 0 ? DIAMETER_FLAG_PROXIABLE : 0 };
    diameter_header header = diameter_answer_header(&request, result);
    size_t message = diameter_begin(out, &header);
    if (to->session.length > 0)
        diameter_put(out, AVP_SESSION_ID, to->session.bytes, to->session.length);
    return message;
}

void t6a_write_answer(dro_builder *out, const t6a_names *names, const t6a_message *to, uint32_t result)
{
    size_t message = begin_answer(out, to, result);
    diameter_put_u32(out, AVP_RESULT_CODE, result);
    put_origin(out, names);
    diameter_end(out, message);
}

void t6a_write_delivery(dro_builder *out, const t6a_names *names, const t6a_message *to, const t6a_delivery *delivery)
{
    size_t message = begin_answer(out, to, delivery->result);
    diameter_put_result(out, delivery->result, delivery->experimental);
    diameter_put_u32(out, AVP_AUTH_SESSION_STATE, NO_STATE_MAINTAINED);
    put_origin(out, names);
    if (delivery->retransmission_time != 0)
        diameter_put_time(out, AVP_REQUESTED_RETRANSMISSION_TIME, delivery->retransmission_time);
    if (delivery->is_acknowledged)
        diameter_put_u32(out, AVP_TDA_FLAGS, TDA_ACKNOWLEDGED);
    diameter_end(out, message);
}

static void put_member(dro_builder *out, const s6t_member *member)
{
    size_t group = diameter_group_begin(out, AVP_GROUP_USER_IDENTIFIER);
    diameter_put_text(out, AVP_USER_NAME, member->imsi);
    diameter_put_text(out, AVP_EXTERNAL_IDENTIFIER, member->name);
    diameter_group_end(out, group);
}

void s6t_write_answer(dro_builder *out, const t6a_names *names, const t6a_message *to, const s6t_answer *answer)
{
    size_t message = begin_answer(out, to, answer->result);
    diameter_put_result(out, answer->result, answer->experimental);
    diameter_put_u32(out, AVP_AUTH_SESSION_STATE, NO_STATE_MAINTAINED);
    put_origin(out, names);
    if (answer->result == DIAMETER_SUCCESS) {
        size_t group = diameter_group_begin(out, AVP_NIDD_AUTHORIZATION_RESPONSE);
        if (answer->imsi != NULL)
            diameter_put_text(out, AVP_USER_NAME, answer->imsi);
        if (answer->name != NULL)
            diameter_put_text(out, AVP_EXTERNAL_IDENTIFIER, answer->name);
        if (answer->granted_until != 0)
            diameter_put_time(out, AVP_GRANTED_VALIDITY_TIME, answer->granted_until);
        diameter_group_end(out, group);
    }
    for (uint32_t i = 0; i < answer->member_count; i++)
        put_member(out, &answer->members[i]);
    if (answer->is_incomplete)
        diameter_put_u32(out, AVP_NIA_FLAGS, INCOMPLETE_LIST);
    diameter_end(out, message);
}

void s6t_write_request(dro_builder *out, t6a_names *names, const s6t_request *request, uint32_t hop_by_hop, uint32_t end_to_end)
{
    size_t message = begin(out, COMMAND_NIDD_INFORMATION, DIAMETER_APPLICATION_S6T, DIAMETER_FLAG_REQUEST | DIAMETER_FLAG_PROXIABLE,
                           hop_by_hop, end_to_end);
    put_session(out, names);
    diameter_put_u32(out, AVP_AUTH_SESSION_STATE, NO_STATE_MAINTAINED);
    put_origin(out, names);
    diameter_put_text(out, AVP_DESTINATION_HOST, names->destination_host);
    diameter_put_text(out, AVP_DESTINATION_REALM, names->destination_realm);
    size_t group = diameter_group_begin(out, AVP_USER_IDENTIFIER);
    diameter_put_text(out, AVP_EXTERNAL_IDENTIFIER, request->name);
    if (request->is_group)
        diameter_put_u32(out, AVP_TYPE_OF_EXTERNAL_IDENTIFIER, GROUP_IDENTIFIER);
    diameter_group_end(out, group);
    if (request->is_revoked) {
        size_t update = diameter_group_begin(out, AVP_NIDD_AUTHORIZATION_UPDATE);
        group = diameter_group_begin(out, AVP_APN_VALIDITY_TIME);
        diameter_put_time(out, AVP_GRANTED_VALIDITY_TIME, LONG_AGO);
        diameter_group_end(out, group);
        diameter_group_end(out, update);
    }
    if (request->is_incomplete)
        diameter_put_u32(out, AVP_NIR_FLAGS, INCOMPLETE_LIST);
    for (uint32_t i = 0; i < request->member_count; i++)
        put_member(out, &request->members[i]);
    diameter_end(out, message);
}

static void put_application(dro_builder *out, uint32_t application)
{
    if (application == DIAMETER_APPLICATION_TSP) /* the others have it in Vendor-Specific-Application-Id, if at all */
        diameter_put_u32(out, AVP_AUTH_APPLICATION_ID, application);
}

void t6a_write_custom(dro_builder *out, t6a_names *names, const t6a_custom *request, uint32_t hop_by_hop, uint32_t end_to_end)
{
    size_t message = begin(out, request->command, request->application, DIAMETER_FLAG_REQUEST | DIAMETER_FLAG_PROXIABLE, hop_by_hop, end_to_end);
    put_session(out, names);
    put_application(out, request->application);
    diameter_put_u32(out, AVP_AUTH_SESSION_STATE, NO_STATE_MAINTAINED);
    put_origin(out, names);
    diameter_put_text(out, AVP_DESTINATION_HOST, names->destination_host);
    diameter_put_text(out, AVP_DESTINATION_REALM, names->destination_realm);
    request->put(out, request->what);
    diameter_end(out, message);
}

void t6a_write_custom_answer(dro_builder *out, const t6a_names *names, const t6a_message *to, uint32_t result, uint32_t experimental,
                             const t6a_custom *answer)
{
    size_t message = begin_answer(out, to, result);
    put_application(out, to->application);
    diameter_put_result(out, result, experimental);
    diameter_put_u32(out, AVP_AUTH_SESSION_STATE, NO_STATE_MAINTAINED);
    put_origin(out, names);
    if (answer->put != NULL)
        answer->put(out, answer->what);
    diameter_end(out, message);
}

static t6a_text text_of(const diameter_avp *avp)
{
    return avp != NULL ? (t6a_text){ avp->data, avp->length } : (t6a_text){ NULL, 0 };
}

static void take_user(t6a_message *out, const diameter_message *message, const diameter_avp *user)
{
    out->user_name = text_of(diameter_find_in(message, user, AVP_USER_NAME));
    out->external_identifier = text_of(diameter_find_in(message, user, AVP_EXTERNAL_IDENTIFIER));
    out->identifier_type = diameter_u32(diameter_find_in(message, user, AVP_TYPE_OF_EXTERNAL_IDENTIFIER));
}

static void take_avp(t6a_message *out, const diameter_message *message, const diameter_avp *avp)
{
    switch (avp->name) {
    case AVP_RESULT_CODE: out->result = diameter_u32(avp); break;
    case AVP_EXPERIMENTAL_RESULT:
        out->experimental = diameter_u32(diameter_find_in(message, avp, AVP_EXPERIMENTAL_RESULT_CODE));
        break;
    case AVP_SESSION_ID: out->session = text_of(avp); break;
    case AVP_ORIGIN_HOST: out->origin_host = text_of(avp); break;
    case AVP_ORIGIN_REALM: out->origin_realm = text_of(avp); break;
    case AVP_USER_IDENTIFIER: take_user(out, message, avp); break;
    case AVP_NIDD_AUTHORIZATION_REQUEST: out->apn = text_of(diameter_find_in(message, avp, AVP_SERVICE_SELECTION)); break;
    case AVP_CONNECTION_ACTION: out->action = diameter_u32(avp); break;
    case AVP_BEARER_IDENTIFIER: out->bearer = text_of(avp); break;
    case AVP_NON_IP_DATA: out->data = text_of(avp); break;
    case AVP_SCEF_WAIT_TIME: out->wait_until = diameter_time(avp); break;
    case AVP_MAXIMUM_RETRANSMISSION_TIME: out->retransmit_until = diameter_time(avp); break;
    default: break;
    }
}

dro_err t6a_read(t6a_message *out, const uint8_t *bytes, size_t length)
{
    static diameter_message message; /* 20 KB; this program has one thread */
    diameter_fault fault = { 0 };
    *out = (t6a_message){ 0 };
    if (!diameter_read(&message, bytes, length, &fault))
        return DRO_MALFORMED;
    const diameter_header *header = &message.header;
    *out = (t6a_message){ .command = header->code, .application = header->application, .hop_by_hop = header->hop_by_hop,
                          .end_to_end = header->end_to_end, .is_request = (header->flags & DIAMETER_FLAG_REQUEST) != 0,
                          .is_error = (header->flags & DIAMETER_FLAG_ERROR) != 0,
                          .is_retransmission = (header->flags & DIAMETER_FLAG_RETRANSMITTED) != 0, .whole = &message };
    /* Backwards, so that the first of a name is what stays. */
    for (const diameter_avp *avp = message.avps + message.count; avp-- != message.avps;)
        if (avp->parent == DIAMETER_TOP)
            take_avp(out, &message, avp);
    return DRO_OK;
}

uint32_t t6a_length(const uint8_t first[4])
{
    uint32_t length = diameter_length(first);
    return first[0] == DIAMETER_VERSION && length >= DIAMETER_HEADER_BYTES && length % 4 == 0 ? length : 0;
}

void t6a_mark_retransmission(uint8_t *request, uint32_t hop_by_hop)
{
    enum { FLAGS_OFFSET = 4 };
    request[FLAGS_OFFSET] |= DIAMETER_FLAG_RETRANSMITTED;
    put_u32_at(request + HOP_BY_HOP_OFFSET, hop_by_hop);
}

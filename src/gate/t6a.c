/* T6a (TS 29.128) and what of S6t (TS 29.336) comes from the HSS: requests become
 * messages to the core, its answers and downlinks become Diameter. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/wipe.h"
#include "gate/diameter_gate.h"
#include "gate/home.h"
#include "gate/inquiry.h"
#include "gate/report.h"
#include "wire/diameter/check.h"
#include "wire/diameter/read.h"
#include "wire/diameter/write.h"

enum {
    IMSI_DIGITS_MIN = 6,
    NO_STATE_MAINTAINED = 1,
    ACTION_ABSENT = 255, ACTION_RELEASE = 1, ACTION_LAST = 2,
    FLAG_UE_REACHABLE = 1,
    APN_BYTES_MAX = 255,
    ANSWER_BYTES = 768 + OVERLOAD_AVPS_MAX, /* without what repeats the request */
    DOWNLINK_BYTES = 1536,        /* without data */
};
#define ABSENT UINT32_MAX

/* ---- requests ---- */

/* A handler fills gate->fault and answers false when the request is wrong. */
typedef bool (*request_handler)(diameter_peer *peer, const diameter_message *request, const diameter_command *command);

static bool on_connection_management(diameter_peer *peer, const diameter_message *request, const diameter_command *command);
static bool on_mo_data(diameter_peer *peer, const diameter_message *request, const diameter_command *command);

static const struct t6a_command {
    uint32_t code, application;
    uint32_t bit; /* enum peer_application */
    request_handler handler;
} t6a_commands[] = {
    { COMMAND_MO_DATA, DIAMETER_APPLICATION_T6A, PEER_T6A, on_mo_data },
    { COMMAND_CONNECTION_MANAGEMENT, DIAMETER_APPLICATION_T6A, PEER_T6A, on_connection_management },
    { COMMAND_REPORTING_INFORMATION, DIAMETER_APPLICATION_T6A, PEER_T6A, report_on_request },
    { COMMAND_REPORTING_INFORMATION, DIAMETER_APPLICATION_S6T, PEER_S6T, report_on_request },
    { COMMAND_NIDD_INFORMATION, DIAMETER_APPLICATION_S6T, PEER_S6T, s6t_on_nidd_information },
    { COMMAND_DEVICE_NOTIFICATION, DIAMETER_APPLICATION_TSP, PEER_TSP, tsp_on_device_notification },
    { COMMAND_DELIVERY_REPORT, DIAMETER_APPLICATION_T4, PEER_T4, t4_on_delivery_report },
};

bool t6a_refuse(diameter_peer *peer, uint32_t result)
{
    peer->gate->fault = (diameter_fault){ .result = result };
    return false;
}

bool t6a_refuse_avp(diameter_peer *peer, uint32_t result, const diameter_message *request, const diameter_avp *avp)
{
    diameter_fault *fault = &peer->gate->fault;
    *fault = (diameter_fault){ .result = result, .has_avp = true, .code = avp->code, .vendor = avp->vendor,
                               .flags = avp->flags, .data = avp->data, .length = avp->length };
    if (avp->parent != DIAMETER_TOP) {
        fault->around_count = 1;
        fault->around[0] = request->avps[avp->parent].name;
    }
    return false;
}

bool t6a_refuse_missing(diameter_peer *peer, diameter_name around, diameter_name name)
{
    const diameter_entry *entry = &diameter_dictionary[name];
    peer->gate->fault = (diameter_fault){ .result = DIAMETER_MISSING_AVP, .has_avp = true, .code = entry->code, .vendor = entry->vendor,
                                          .flags = entry->flags, .length = diameter_type_least(entry->type),
                                          .around_count = 1, .around = { (uint16_t)around } };
    return false;
}

/* Is it for us (RFC 6733 6.1.4)? 0, or the Result-Code. */
static uint32_t judge_destination(const diameter_gate *gate, const diameter_message *request, bool is_passing)
{
    const diameter_avp *host = diameter_find(request, AVP_DESTINATION_HOST);
    const diameter_avp *route = diameter_find(request, AVP_ROUTE_RECORD);
    for (; route != NULL; route = diameter_find_next(request, route))
        if (diameter_is_identity(route, gate->config->identity))
            return DIAMETER_LOOP_DETECTED;
    if (is_passing)
        return 0;
    if (host != NULL)
        return diameter_is_identity(host, gate->config->identity) ? 0 : DIAMETER_UNABLE_TO_DELIVER;
    bool is_ours = diameter_is_identity(diameter_find(request, AVP_DESTINATION_REALM), gate->config->realm);
    return is_ours ? 0 : DIAMETER_REALM_NOT_SERVED;
}

static const peer_policy *policy_of(const diameter_peer *peer)
{
    return peer->row == NO_ROW ? NULL : &peer->gate->config->peers[peer->row].policy;
}

bool peer_serves_realm(const diameter_peer *peer, const void *realm, size_t length)
{
    const peer_policy *policy = policy_of(peer);
    bool is_own = strlen(peer->realm) == length && strncasecmp(peer->realm, realm, length) == 0;
    return is_own || policy == NULL || peer_policy_has_realm(policy, realm, length);
}

/* A listed peer speaks for itself; an agent for nodes of its own realm and of those listed with it. */
static bool judge_origin(diameter_peer *peer, const diameter_message *request)
{
    const diameter_avp *host = diameter_find(request, AVP_ORIGIN_HOST), *realm = diameter_find(request, AVP_ORIGIN_REALM);
    const peer_policy *policy = policy_of(peer);
    bool is_agent = (peer->applications & (PEER_RELAY | PEER_T7)) != 0;
    bool is_own = diameter_is_identity(host, peer->identity) && diameter_is_identity(realm, peer->realm);
    if (policy == NULL && !is_own && (peer->applications & (PEER_T6A | PEER_RELAY | PEER_T7)) == PEER_T6A) {
        peer->applications |= PEER_T7; /* nobody listed it: that it speaks for others is how it is known */
        gate_tell_peer(peer->gate, peer);
    }
    if (policy == NULL || is_own)
        return true;
    bool is_host_good = is_agent || diameter_is_identity(host, peer->identity);
    if (is_host_good && is_agent && peer_serves_realm(peer, realm->data, realm->length))
        return true;
    diameter_count_drop(&peer->gate->counts, DIAMETER_DROP_ORIGIN);
    if (gate_may_log(peer->gate))
        dro_warn("peer_origin peer=%s \"a request of it bears another node's name or realm\"", peer->identity);
    return t6a_refuse_avp(peer, DIAMETER_INVALID_AVP_VALUE, request, is_host_good ? realm : host);
}

/* Per connection, which is one of one gate. */
static bool judge_rate(diameter_peer *peer)
{
    const peer_policy *policy = policy_of(peer);
    int64_t wait_ns;
    uint32_t per_second = policy != NULL ? policy->requests_per_second : 0;
    if (dro_rate_take(&peer->rate, loop_now_ns(peer->gate->home), per_second, per_second, &wait_ns))
        return true;
    diameter_count_drop(&peer->gate->counts, DIAMETER_DROP_RATE);
    return t6a_refuse(peer, DIAMETER_TOO_BUSY);
}

/* TS 29.128 6.5: a node that may not do this for that user, or over that APN. */
bool t6a_judge_user(diameter_peer *peer, const char *imsi, const diameter_avp *apn)
{
    const peer_policy *policy = policy_of(peer);
    if (policy == NULL || (peer_policy_has_imsi(policy, imsi) && (apn == NULL || peer_policy_has_apn(policy, apn->data, apn->length))))
        return true;
    diameter_count_drop(&peer->gate->counts, DIAMETER_DROP_NOT_ALLOWED);
    peer->gate->fault = (diameter_fault){ .experimental = DIAMETER_ERROR_OPERATION_NOT_ALLOWED };
    return false;
}

bool t6a_has_imsis(const diameter_peer *peer)
{
    const peer_policy *policy = policy_of(peer);
    return policy != NULL && policy->range_count > 0;
}

void t6a_put_imsis(const diameter_peer *peer, dro_builder *out)
{
    const peer_policy *policy = policy_of(peer);
    char text[IMSI_RANGE_TEXT];
    for (uint32_t i = 0; policy != NULL && i < policy->range_count; i++)
        dro_field_put(out, API_FIELD_PEER_IMSIS, text, imsi_range_write(&policy->ranges[i], text));
}

bool t6a_judge_named(diameter_peer *peer, const diameter_avp *user_name)
{
    return user_name != NULL || !t6a_has_imsis(peer) || t6a_judge_user(peer, "", NULL);
}

void t6a_on_request(diameter_peer *peer, const diameter_message *request, const diameter_command *command)
{
    diameter_gate *gate = peer->gate;
    const struct t6a_command *row = NULL;
    for (size_t i = 0; i < sizeof t6a_commands / sizeof t6a_commands[0] && row == NULL; i++)
        if (t6a_commands[i].code == command->code && t6a_commands[i].application == command->application)
            row = &t6a_commands[i];
    bool is_passing = gate->interworking != NULL && interworking_concerns(gate, request, command);
    uint32_t result = judge_destination(gate, request, is_passing);
    uint32_t bit = is_passing ? PEER_T6A : row == NULL ? 0 : row->bit;
    bool is_good;
    busy_heard_priority(gate, overload_priority(request));
    if (row == NULL && !is_passing)
        is_good = t6a_refuse(peer, DIAMETER_COMMAND_UNSUPPORTED);
    else if ((peer->applications & (bit | PEER_RELAY)) == 0)
        is_good = t6a_refuse(peer, DIAMETER_APPLICATION_UNSUPPORTED);
    else if (result != 0)
        is_good = t6a_refuse(peer, result);
    else if (peer->state != PEER_OPEN)
        is_good = t6a_refuse(peer, DIAMETER_TOO_BUSY); /* we are leaving */
    else
        is_good = judge_origin(peer, request) && judge_rate(peer) &&
                  (is_passing ? interworking_on_request : row->handler)(peer, request, command);
    if (!is_good && gate->fault.result == DIAMETER_TOO_BUSY && peer->state == PEER_OPEN)
        busy_answer(peer, command);
    else if (!is_good)
        peer_answer_error(peer, command, &gate->fault);
}

bool t6a_imsi(const diameter_avp *name, char out[IMSI_DIGITS_MAX + 1])
{
    if (name == NULL || name->length < IMSI_DIGITS_MIN || name->length > IMSI_DIGITS_MAX)
        return false;
    for (uint32_t i = 0; i < name->length; i++)
        if (name->data[i] < '0' || name->data[i] > '9')
            return false;
    memcpy(out, name->data, name->length);
    out[name->length] = '\0';
    return true;
}

/* IMSI and bearer. */
static bool read_user(diameter_peer *peer, const diameter_message *request, network_user *user)
{
    const diameter_avp *group = diameter_find(request, AVP_USER_IDENTIFIER);
    const diameter_avp *name = diameter_find_in(request, group, AVP_USER_NAME);
    const diameter_avp *bearer = diameter_find(request, AVP_BEARER_IDENTIFIER);
    *user = (network_user){ .bearer_length = 0 };
    if (name == NULL)
        return t6a_refuse_missing(peer, AVP_USER_IDENTIFIER, AVP_USER_NAME);
    if (!t6a_imsi(name, user->imsi))
        return t6a_refuse_avp(peer, DIAMETER_INVALID_AVP_VALUE, request, name);
    if (bearer->length == 0 || bearer->length > BEARER_BYTES_MAX)
        return t6a_refuse_avp(peer, DIAMETER_INVALID_AVP_VALUE, request, bearer);
    user->bearer_length = (uint8_t)bearer->length;
    memcpy(user->bearer, bearer->data, bearer->length);
    return true;
}

bool t6a_refuse_busy(diameter_peer *peer, const diameter_message *request)
{
    diameter_count_drop(&peer->gate->counts, DIAMETER_DROP_BUSY);
    if (overload_is_heard(request))
        overload_count(&peer->gate->overload, true);
    return t6a_refuse(peer, DIAMETER_TOO_BUSY);
}

pending_incoming *t6a_keep(diameter_peer *peer, const diameter_message *request, const diameter_command *command, uint64_t *id)
{
    diameter_gate *gate = peer->gate;
    pending_incoming *entry;
    if (pending_put_incoming(gate->pending, request, command, id, &entry) != DRO_OK) {
        t6a_refuse_busy(peer, request);
        return NULL;
    }
    peer->waiting++;
    patience_asked(&gate->patience);
    entry->is_patient = true;
    entry->peer_slot = peer->slot;
    entry->peer_generation = peer->generation;
    entry->deadline_ns = loop_now_ns(gate->home) + CORE_TIMEOUT_MS * NS_PER_MS;
    overload_note(&gate->overload, pending_incoming_count(gate->pending), busy_keep(gate));
    return entry;
}

/* Space in the ring of the user's core and an entry for the answer, or 3004. */
uint8_t *t6a_reserve(diameter_peer *peer, const diameter_message *request, const diameter_command *command,
                     ring_writer *ring, size_t length, uint64_t *id)
{
    if (length > ring_body_max(ring)) {
        t6a_refuse(peer, DIAMETER_UNABLE_TO_COMPLY);
        return NULL;
    }
    uint8_t *body = busy_has_space(peer, ring, (uint32_t)length) ? ring_reserve(ring, (uint32_t)length) : NULL;
    if (body == NULL) {
        t6a_refuse_busy(peer, request);
    } else if (t6a_keep(peer, request, command, id) == NULL) {
        body = NULL;
    }
    return body;
}

static uint8_t *append(uint8_t *at, const diameter_avp *avp)
{
    if (avp == NULL || avp->length == 0)
        return at;
    memcpy(at, avp->data, avp->length);
    return at + avp->length;
}

static uint16_t length_of(const diameter_avp *avp)
{
    return avp == NULL ? 0 : (uint16_t)avp->length;
}

static bool on_mo_data(diameter_peer *peer, const diameter_message *request, const diameter_command *command)
{
    const diameter_avp *host = diameter_find(request, AVP_ORIGIN_HOST);
    const diameter_avp *realm = diameter_find(request, AVP_ORIGIN_REALM);
    const diameter_avp *data = diameter_find(request, AVP_NON_IP_DATA);
    uint64_t id;
    uplink_request uplink = {
        .end_to_end = request->header.end_to_end,
        .is_retransmission = (request->header.flags & DIAMETER_FLAG_RETRANSMITTED) != 0,
        .is_exception = diameter_find(request, AVP_RRC_CAUSE_COUNTER) != NULL,
        .host_length = length_of(host), .realm_length = length_of(realm), .data_length = length_of(data),
    };
    if (!read_user(peer, request, &uplink.user) || !t6a_judge_user(peer, uplink.user.imsi, NULL))
        return false;
    size_t length = sizeof uplink + uplink.host_length + uplink.realm_length + uplink.data_length;
    ring_writer *ring = &peer->gate->config->to_core[home_of_imsi(peer->gate->config, &uplink.user)];
    uint8_t *body = t6a_reserve(peer, request, command, ring, length, &id);
    if (body != NULL) {
        memcpy(body, &uplink, sizeof uplink);
        append(append(append(body + sizeof uplink, host), realm), data);
        ring_commit(ring, MESSAGE_UPLINK, RING_WIPE, id, (uint32_t)length);
    }
    dro_wipe(&uplink, sizeof uplink);
    return body != NULL;
}

static uint32_t u32_or_absent(const diameter_avp *avp)
{
    return avp == NULL ? ABSENT : diameter_u32(avp);
}

/* 3GPP-Charging-Characteristics, Terminal-Information: what is longer than it may be is left out. Of the IMEI the digits
 * that are the type's (TS 23.003 6.2.1): the others name the device, and nothing here needs them. */
static void read_text(const diameter_avp *avp, char *out, size_t most)
{
    if (avp == NULL || avp->length > most)
        return;
    for (uint32_t i = 0; i < avp->length; i++)
        if (avp->data[i] < '!' || avp->data[i] > '~')
            return;
    memcpy(out, avp->data, avp->length);
}

static bool are_digits(const uint8_t *text, uint32_t length)
{
    while (length > 0 && text[length - 1] >= '0' && text[length - 1] <= '9')
        length--;
    return length == 0;
}

static void read_terminal(const diameter_message *request, connection_request *connection)
{
    const diameter_avp *terminal = diameter_find(request, AVP_TERMINAL_INFORMATION);
    const diameter_avp *imei = diameter_find_in(request, terminal, AVP_IMEI);
    if (imei != NULL && imei->length >= DEVICE_TYPE_DIGITS && are_digits(imei->data, DEVICE_TYPE_DIGITS))
        memcpy(connection->type, imei->data, DEVICE_TYPE_DIGITS);
    read_text(diameter_find_in(request, terminal, AVP_SOFTWARE_VERSION), connection->software, SOFTWARE_DIGITS);
    read_text(diameter_find(request, AVP_3GPP_CHARGING_CHARACTERISTICS), connection->charging, CHARGING_TEXT_MAX);
}

/* The validity time as an NTP timestamp (RFC 5905 6): seconds since 1900, and their fractions. */
enum { NTP_UNIX_S = 2208988800u };

static void read_rate_status(const diameter_message *request, rate_status *out)
{
    const diameter_avp *status = diameter_find(request, AVP_APN_RATE_CONTROL_STATUS);
    uint64_t time = diameter_u64(diameter_find_in(request, status, AVP_APN_RATE_CONTROL_STATUS_VALIDITY_TIME));
    int64_t seconds = (int64_t)(time >> 32) - NTP_UNIX_S;
    *out = (rate_status){ u32_or_absent(diameter_find_in(request, status, AVP_UPLINK_NUMBER_OF_PACKETS_ALLOWED)),
                          u32_or_absent(diameter_find_in(request, status, AVP_DOWNLINK_NUMBER_OF_PACKETS_ALLOWED)),
                          status != NULL && seconds > 0 ? seconds * 1000 : 0 };
}

static void put_rate_status(const rate_status *left, dro_builder *out)
{
    if (left->until_ms == 0)
        return;
    size_t group = diameter_group_begin(out, AVP_APN_RATE_CONTROL_STATUS);
    if (left->uplink != ABSENT)
        diameter_put_u32(out, AVP_UPLINK_NUMBER_OF_PACKETS_ALLOWED, left->uplink);
    if (left->downlink != ABSENT)
        diameter_put_u32(out, AVP_DOWNLINK_NUMBER_OF_PACKETS_ALLOWED, left->downlink);
    uint64_t seconds = (uint64_t)(left->until_ms + 999) / 1000 + NTP_UNIX_S;
    diameter_put_u64(out, AVP_APN_RATE_CONTROL_STATUS_VALIDITY_TIME, seconds << 32);
    diameter_group_end(out, group);
}

static bool on_connection_management(diameter_peer *peer, const diameter_message *request, const diameter_command *command)
{
    const diameter_avp *host = diameter_find(request, AVP_ORIGIN_HOST);
    const diameter_avp *realm = diameter_find(request, AVP_ORIGIN_REALM);
    const diameter_avp *apn = diameter_find(request, AVP_SERVICE_SELECTION);
    const diameter_avp *action = diameter_find(request, AVP_CONNECTION_ACTION);
    const diameter_avp *rate = diameter_find(request, AVP_SERVING_PLMN_RATE_CONTROL);
    const diameter_avp *plmn = diameter_find(request, AVP_VISITED_PLMN_ID);
    const char *via = diameter_is_identity(host, peer->identity) ? "" : peer->identity;
    uint64_t id;
    connection_request connection = {
        .end_to_end = request->header.end_to_end,
        .action = action == NULL ? ACTION_ABSENT : (uint8_t)diameter_u32(action),
        .is_reachable = (diameter_u32(diameter_find(request, AVP_CMR_FLAGS)) & FLAG_UE_REACHABLE) != 0,
        .is_retransmission = (request->header.flags & DIAMETER_FLAG_RETRANSMITTED) != 0,
        .available_until = diameter_time(diameter_find(request, AVP_MAXIMUM_UE_AVAILABILITY_TIME)),
        .uplink_rate = u32_or_absent(diameter_find_in(request, rate, AVP_UPLINK_RATE_LIMIT)),
        .downlink_rate = u32_or_absent(diameter_find_in(request, rate, AVP_DOWNLINK_RATE_LIMIT)),
        .rat_type = u32_or_absent(diameter_find(request, AVP_RAT_TYPE)),
        .host_length = length_of(host), .realm_length = length_of(realm), .apn_length = length_of(apn),
        .via_length = (uint16_t)strlen(via), .has_plmn = plmn != NULL,
    };
    if (plmn != NULL && plmn->length != sizeof connection.plmn)
        return t6a_refuse_avp(peer, DIAMETER_INVALID_AVP_LENGTH, request, plmn);
    if (action != NULL && diameter_u32(action) > ACTION_LAST)
        return t6a_refuse_avp(peer, DIAMETER_INVALID_AVP_VALUE, request, action);
    if (apn != NULL && apn->length > APN_BYTES_MAX)
        return t6a_refuse_avp(peer, DIAMETER_INVALID_AVP_VALUE, request, apn);
    if (!read_user(peer, request, &connection.user) || !t6a_judge_user(peer, connection.user.imsi, apn))
        return false;
    if (plmn != NULL)
        memcpy(connection.plmn, plmn->data, sizeof connection.plmn);
    read_terminal(request, &connection);
    read_rate_status(request, &connection.rates);
    size_t length = sizeof connection + connection.host_length + connection.realm_length + connection.apn_length + connection.via_length;
    ring_writer *ring = &peer->gate->config->to_core[home_of_imsi(peer->gate->config, &connection.user)];
    uint8_t *body = t6a_reserve(peer, request, command, ring, length, &id);
    if (body != NULL) {
        memcpy(body, &connection, sizeof connection);
        memcpy(append(append(append(body + sizeof connection, host), realm), apn), via, connection.via_length);
        ring_commit(ring, MESSAGE_CONNECTION, RING_WIPE, id, (uint32_t)length);
    }
    dro_wipe(&connection, sizeof connection);
    return body != NULL;
}

/* ---- answers ---- */

size_t t6a_answer_begin(const diameter_gate *gate, const diameter_message *request, uint32_t result, uint32_t experimental, dro_builder *out)
{
    const diameter_avp *session = diameter_find(request, AVP_SESSION_ID);
    diameter_header header = diameter_answer_header(&request->header, result);
    size_t begin = diameter_begin(out, &header);
    if (session != NULL)
        diameter_put_copy(out, session);
    diameter_put_result(out, result, experimental);
    diameter_put_u32(out, AVP_AUTH_SESSION_STATE, NO_STATE_MAINTAINED);
    peer_put_origin(gate, out);
    return begin;
}

static void count_answer(diameter_peer *peer, const diameter_command *request, uint32_t result, uint32_t experimental)
{
    const diameter_command *answer = diameter_command_find(request->code, request->application, false);
    peer->answers++;
    peer->errors += result < 2000 || result >= 3000; /* 0: an experimental one */
    gate_count_answer(peer->gate, peer, DIAMETER_OUT, answer, result, experimental);
}

void t6a_answer_end(diameter_peer *peer, const diameter_message *request, const diameter_command *command, size_t begin, uint32_t result,
                    uint32_t experimental, dro_builder *out)
{
    for (const diameter_avp *proxy = diameter_find(request, AVP_PROXY_INFO); proxy != NULL;
         proxy = diameter_find_next(request, proxy))
        diameter_put_copy(out, proxy);
    diameter_end(out, begin);
    peer_send(peer, out);
    count_answer(peer, command, result, experimental);
}

void t6a_drop(diameter_gate *gate, pending_incoming *entry)
{
    diameter_peer *peer = gate_peer_find(gate, entry->peer_slot, entry->peer_generation);
    if (peer != NULL)
        peer->waiting--;
    if (entry->is_patient)
        patience_left(&gate->patience);
    pending_drop_incoming(gate->pending, entry);
}

/* Of a trigger that the core does not know: which one it was. */
static void put_unknown_reference(const pending_incoming *entry, dro_builder *out)
{
    const diameter_entry *name = &diameter_dictionary[AVP_REFERENCE_NUMBER];
    uint8_t number[4] = { (uint8_t)(entry->reference >> 24), (uint8_t)(entry->reference >> 16), (uint8_t)(entry->reference >> 8), (uint8_t)entry->reference };
    diameter_fault fault = { .result = DIAMETER_INVALID_AVP_VALUE, .has_avp = true, .code = name->code, .vendor = name->vendor, .flags = name->flags,
                             .data = number, .length = sizeof number, .around = { AVP_DEVICE_NOTIFICATION },
                             .around_count = entry->command->application == DIAMETER_APPLICATION_TSP };
    diameter_put_failed(out, &fault);
}

static void put_connection(const connection_answer *said, dro_builder *out)
{
    if (said->charging_id != 0)
        diameter_put_u32(out, AVP_PDN_CONNECTION_CHARGING_ID, said->charging_id);
    put_rate_status(&said->rates, out);
}

void t6a_answer_with(diameter_gate *gate, pending_incoming *entry, const t6a_answer_more *more)
{
    diameter_peer *peer = gate_peer_find(gate, entry->peer_slot, entry->peer_generation);
    const uint8_t *echo = pending_echo(entry);
    dro_builder out;
    bool is_there = peer != NULL && (peer->state == PEER_OPEN || peer->state == PEER_CLOSING);
    if (entry->hears_overload)
        overload_count(&gate->overload, more->result == DIAMETER_TOO_BUSY);
    if (!is_there) {
        diameter_count_drop(&gate->counts, DIAMETER_DROP_CORE_LATE);
    } else if (peer_room(peer, ANSWER_BYTES + more->most + entry->echo_length, &out)) {
        diameter_header request = { .code = entry->command->code, .application = entry->command->application,
                                    .hop_by_hop = entry->hop_by_hop, .end_to_end = entry->end_to_end, .flags = entry->flags };
        diameter_header header = diameter_answer_header(&request, more->result);
        size_t begin = diameter_begin(&out, &header);
        dro_builder_bytes(&out, echo, entry->session_length);
        diameter_put_result(&out, more->result, more->experimental);
        diameter_put_u32(&out, AVP_AUTH_SESSION_STATE, NO_STATE_MAINTAINED);
        peer_put_origin(gate, &out);
        if (entry->hears_overload)
            dro_builder_bytes(&out, gate->overload.told.avps, gate->overload.told.length);
        if (more->put != NULL)
            more->put(more->of, &out);
        if (request.application == DIAMETER_APPLICATION_TSP)
            diameter_put_u32(&out, AVP_AUTH_APPLICATION_ID, DIAMETER_APPLICATION_TSP);
        if (entry->reference != 0 && more->result == DIAMETER_INVALID_AVP_VALUE)
            put_unknown_reference(entry, &out);
        if (more->connection != NULL)
            put_connection(more->connection, &out);
        dro_builder_bytes(&out, echo + entry->session_length, (size_t)(entry->echo_length - entry->session_length));
        diameter_end(&out, begin);
        peer_send(peer, &out);
        count_answer(peer, entry->command, more->result, more->experimental);
    }
    t6a_drop(gate, entry);
}

void t6a_answer(diameter_gate *gate, pending_incoming *entry, uint32_t result, uint32_t experimental)
{
    t6a_answer_with(gate, entry, &(t6a_answer_more){ .result = result, .experimental = experimental });
}

void t6a_answer_connection(diameter_gate *gate, pending_incoming *entry, const connection_answer *said)
{
    t6a_answer_with(gate, entry, &(t6a_answer_more){ .result = said->result, .experimental = said->experimental, .connection = said });
}

/* ---- requests of ours ---- */

static bool tell_core(diameter_gate *gate, uint32_t core, uint64_t id, const downlink_answer *answer)
{
    return ring_send(&gate->config->to_core[core], MESSAGE_DOWNLINK_ANSWER, 0, id, answer, sizeof *answer);
}

/* The request is over. What the core cannot take now stays in its entry. */
static void finish(diameter_gate *gate, pending_outgoing *entry, const downlink_answer *answer)
{
    if (tell_core(gate, entry->core, entry->core_id, answer)) {
        pending_drop_outgoing(gate->pending, entry);
        return;
    }
    entry->is_answered = true;
    entry->answer = *answer;
    gate->untold++;
}

void t6a_keep_untold(diameter_gate *gate, pending_outgoing *entry, uint32_t outcome)
{
    entry->is_answered = true;
    entry->answer = (downlink_answer){ .outcome = outcome };
    gate->untold++;
}

static void finish_without_answer(diameter_gate *gate, pending_outgoing *entry, diameter_reason reason)
{
    bool is_lost = reason == DIAMETER_DROP_CONNECTION_LOST;
    uint32_t outcome = is_lost ? INQUIRY_LOST : INQUIRY_NO_ANSWER;
    diameter_count_drop(&gate->counts, reason);
    if (reason == DIAMETER_DROP_ANSWER_TIMEOUT)
        gate_count_timeout(gate, gate_peer_find(gate, entry->peer_slot, entry->peer_generation), entry);
    if (entry->kind == OUTGOING_RELAY)
        relay_without_answer(gate, entry, reason);
    else if (entry->kind == OUTGOING_DOWNLINK)
        finish(gate, entry, &(downlink_answer){ .outcome = is_lost ? DOWNLINK_LOST : DOWNLINK_NO_ANSWER, .end_to_end = entry->end_to_end });
    else if (entry->kind == OUTGOING_RELEASE || inquiry_tell(gate, entry, outcome))
        pending_drop_outgoing(gate->pending, entry);
    else
        t6a_keep_untold(gate, entry, outcome);
}

static void tell_again(void *context, pending_outgoing *entry)
{
    diameter_gate *gate = context;
    bool is_told = entry->is_answered && (entry->kind == OUTGOING_DOWNLINK ? tell_core(gate, entry->core, entry->core_id, &entry->answer)
                                                                           : inquiry_tell(gate, entry, entry->answer.outcome));
    if (!is_told)
        return;
    pending_drop_outgoing(gate->pending, entry);
    gate->untold--;
}

void t6a_tell_again(diameter_gate *gate)
{
    if (gate->untold > 0)
        pending_each_outgoing(gate->pending, tell_again, gate);
}

static void lose(void *context, pending_outgoing *entry)
{
    diameter_peer *peer = context;
    if (!entry->is_answered && entry->peer_slot == peer->slot && entry->peer_generation == peer->generation)
        finish_without_answer(peer->gate, entry, DIAMETER_DROP_CONNECTION_LOST);
}

void t6a_peer_lost(diameter_peer *peer)
{
    pending_each_outgoing(peer->gate->pending, lose, peer);
}

static void sweep_incoming(void *context, pending_incoming *entry)
{
    diameter_gate *gate = context;
    if (entry->deadline_ns > loop_now_ns(gate->home))
        return;
    diameter_count_drop(&gate->counts, DIAMETER_DROP_CORE_TIMEOUT);
    t6a_answer(gate, entry, DIAMETER_UNABLE_TO_DELIVER, 0);
}

static void sweep_outgoing(void *context, pending_outgoing *entry)
{
    diameter_gate *gate = context;
    if (!entry->is_answered && entry->deadline_ns <= loop_now_ns(gate->home))
        finish_without_answer(gate, entry, DIAMETER_DROP_ANSWER_TIMEOUT);
}

void t6a_sweep(diameter_gate *gate)
{
    pending_each_incoming(gate->pending, sweep_incoming, gate);
    pending_each_outgoing(gate->pending, sweep_outgoing, gate);
    relay_go_on(gate);
    t6a_tell_again(gate);
}

/* "identity;high;low" (RFC 6733 8.8). */
static int session_text(const diameter_gate *gate, uint32_t low, char *out, size_t size)
{
    return snprintf(out, size, "%s;%u;%u", gate->config->identity, gate->session_high, low);
}

static bool is_our_session(const diameter_gate *gate, const diameter_message *answer, const pending_outgoing *entry)
{
    char text[DIAMETER_IDENTITY_MAX + 32];
    const diameter_avp *session = diameter_find(answer, AVP_SESSION_ID);
    session_text(gate, entry->session, text, sizeof text);
    return session == NULL || diameter_is(session, text); /* an error made on the way may be without */
}

/* A node says how busy it is itself; an agent passes on what nodes of its realms say. */
static bool bears_own_name(const diameter_peer *peer, const diameter_message *answer)
{
    const diameter_avp *host = diameter_find(answer, AVP_ORIGIN_HOST), *realm = diameter_find(answer, AVP_ORIGIN_REALM);
    bool is_own = diameter_is_identity(host, peer->identity) && diameter_is_identity(realm, peer->realm);
    return is_own || ((peer->applications & (PEER_RELAY | PEER_T7)) != 0 && realm != NULL && peer_serves_realm(peer, realm->data, realm->length));
}

/* What the answer says of overload and load. */
static void hear_load(diameter_peer *peer, const diameter_message *answer)
{
    int64_t now_ns = loop_now_ns(peer->gate->home);
    uint32_t load;
    if (!bears_own_name(peer, answer))
        peer->gate->overload.bad += diameter_find(answer, AVP_OC_OLR) != NULL;
    else if (overload_hear(&peer->gate->overload, answer, now_ns))
        peer->is_news = true;
    if (!overload_load(answer, peer->identity, &load))
        return;
    peer->is_news |= load != peer->load || peer->load_until_ns <= now_ns;
    peer->load = load;
    peer->load_until_ns = now_ns + OVERLOAD_LOAD_S * 1000 * NS_PER_MS;
}

void t6a_on_answer(diameter_peer *peer, const diameter_message *answer, const diameter_command *command, bool is_good)
{
    diameter_gate *gate = peer->gate;
    const diameter_header *header = &answer->header;
    pending_outgoing *entry = pending_find_outgoing(gate->pending, header->hop_by_hop);
    bool is_ours = entry != NULL && !entry->is_answered && entry->peer_slot == peer->slot &&
                   entry->peer_generation == peer->generation && entry->end_to_end == header->end_to_end &&
                   entry->code == header->code && entry->application == header->application &&
                   (entry->kind == OUTGOING_RELAY || is_our_session(gate, answer, entry));
    if (!is_ours) {
        diameter_count_drop(&gate->counts, DIAMETER_DROP_UNKNOWN_ANSWER);
        peer->errors++;
        return;
    }
    if (!is_good) {
        finish_without_answer(gate, entry, DIAMETER_DROP_MALFORMED_ANSWER);
        return;
    }
    uint32_t result, experimental;
    diameter_result_of(answer, &result, &experimental);
    gate_count_answer(gate, peer, DIAMETER_IN, command, result, experimental);
    hear_load(peer, answer);
    if (entry->kind == OUTGOING_RELAY) {
        relay_on_answer(gate, entry, answer, command, result, experimental);
        return;
    }
    if (entry->kind == OUTGOING_INQUIRY) {
        if (!inquiry_on_answer(gate, entry, answer))
            finish_without_answer(gate, entry, DIAMETER_DROP_MALFORMED_ANSWER);
        return;
    }
    if (entry->kind == OUTGOING_RELEASE) { /* whatever it says, the connection is gone on this side */
        pending_drop_outgoing(gate->pending, entry);
        return;
    }
    downlink_answer told = {
        .outcome = DOWNLINK_ANSWERED, .result = result, .experimental = experimental,
        .retransmission_time = diameter_time(diameter_find(answer, AVP_REQUESTED_RETRANSMISSION_TIME)),
        .flags = diameter_u32(diameter_find(answer, AVP_TDA_FLAGS)),
    };
    finish(gate, entry, &told);
}

diameter_peer *t6a_next_hop(diameter_gate *gate, const uint8_t *host, size_t length, uint32_t application)
{
    uint32_t hash = gate_identity_hash((const char *)host, length);
    diameter_peer *relay = NULL;
    for (uint32_t i = 0; i < gate->slots_used; i++) {
        diameter_peer *peer = gate->peers[i];
        if (peer == NULL || !peer_is_ready(peer))
            continue;
        bool is_same = peer->identity_hash == hash && (peer->applications & (application | PEER_RELAY)) != 0 &&
                       strlen(peer->identity) == length && strncasecmp(peer->identity, (const char *)host, length) == 0;
        if (is_same)
            return peer;
        if ((peer->applications & PEER_RELAY) != 0 && relay == NULL)
            relay = peer;
    }
    return relay;
}

/* ---- downlinks ---- */

static bool is_identity(const char *text, const uint8_t *bytes, size_t length)
{
    return strlen(text) == length && strncasecmp(text, (const char *)bytes, length) == 0;
}

/* The node itself, else who spoke for it last, else a relay, else another SCEF of its realm. NULL: nobody. As core/peers.h. */
static diameter_peer *way_to(diameter_gate *gate, const downlink_request *request, const uint8_t *text)
{
    enum { NOBODY, BESIDE, RELAY, VIA, NODE };
    const uint8_t *realm = text + request->host_length, *via = realm + request->realm_length + request->data_length;
    uint32_t hash = gate_identity_hash((const char *)text, request->host_length), most = NOBODY;
    diameter_peer *best = NULL;
    for (uint32_t i = 0; i < gate->slots_used && most < NODE; i++) {
        diameter_peer *peer = gate->peers[i];
        if (peer == NULL || !peer_is_ready(peer) || (peer->applications & (PEER_T6A | PEER_RELAY)) == 0)
            continue;
        bool is_node = peer->identity_hash == hash && is_identity(peer->identity, text, request->host_length);
        bool is_via = request->via_length > 0 && is_identity(peer->identity, via, request->via_length);
        bool is_beside = (peer->applications & PEER_T7) != 0 && is_identity(peer->realm, realm, request->realm_length);
        uint32_t fit = is_node ? NODE : is_via ? VIA : (peer->applications & PEER_RELAY) != 0 ? RELAY : is_beside ? BESIDE : NOBODY;
        if (fit > most) {
            most = fit;
            best = peer;
        }
    }
    return best;
}

int64_t t6a_answer_deadline(const diameter_gate *gate, uint32_t wait_until)
{
    dro_clock *clock = gate->config->clock;
    int64_t wait_ms = ANSWER_TIMEOUT_MS;
    if (wait_until != 0)
        wait_ms = (int64_t)wait_until * 1000 - clock->wall_ms(clock) + ANSWER_MARGIN_MS;
    if (wait_ms < ANSWER_MARGIN_MS)
        wait_ms = ANSWER_MARGIN_MS;
    if (wait_ms > ANSWER_TIMEOUT_MAX_MS)
        wait_ms = ANSWER_TIMEOUT_MAX_MS;
    return loop_now_ns(gate->home) + wait_ms * NS_PER_MS;
}

size_t t6a_request_begin(diameter_gate *gate, diameter_peer *peer, pending_outgoing *entry, uint32_t code, uint32_t application,
                         uint8_t flags, dro_builder *out)
{
    char session[DIAMETER_IDENTITY_MAX + 32];
    entry->peer_slot = peer->slot;
    entry->peer_generation = peer->generation;
    entry->code = code;
    entry->application = application;
    entry->session = gate->session_low++;
    diameter_header header = { .code = code, .application = application,
                               .flags = (uint8_t)(flags | DIAMETER_FLAG_REQUEST | DIAMETER_FLAG_PROXIABLE),
                               .hop_by_hop = entry->hop_by_hop, .end_to_end = entry->end_to_end };
    size_t begin = diameter_begin(out, &header);
    session_text(gate, entry->session, session, sizeof session);
    diameter_put_text(out, AVP_SESSION_ID, session);
    return begin;
}

static bool has_rule(const diameter_command *command, diameter_name name)
{
    for (uint32_t i = 0; command != NULL && i < command->rule_count; i++)
        if (diameter_rules[command->first_rule + i].name == name)
            return true;
    return false;
}

void t6a_request_end(diameter_gate *gate, diameter_peer *peer, const pending_outgoing *entry, size_t begin, dro_builder *out)
{
    const diameter_command *command = diameter_command_find(entry->code, entry->application, true);
    if (has_rule(command, AVP_OC_SUPPORTED_FEATURES))
        overload_put_features(out);
    diameter_end(out, begin);
    peer_send(peer, out);
    gate_count_request(gate, peer, DIAMETER_OUT, command);
}

bool t6a_abates(diameter_gate *gate, const diameter_peer *peer, const overload_way *way)
{
    overload_way sent = *way;
    if (sent.host == NULL && (peer->applications & PEER_RELAY) == 0) { /* nobody routes it any further (RFC 7683 7.6) */
        sent.host = (const uint8_t *)peer->identity;
        sent.host_length = (uint32_t)strlen(peer->identity);
    }
    if (!overload_abates(&gate->overload, &sent, loop_now_ns(gate->home)))
        return false;
    diameter_count_drop(&gate->counts, DIAMETER_DROP_ABATED);
    return true;
}

/* IMSI, bearer, and the way to the serving node. */
static void put_destination(const diameter_gate *gate, const downlink_request *request, const uint8_t *text, dro_builder *out)
{
    size_t group = diameter_group_begin(out, AVP_USER_IDENTIFIER);
    diameter_put(out, AVP_USER_NAME, request->user.imsi, strnlen(request->user.imsi, IMSI_DIGITS_MAX));
    diameter_group_end(out, group);
    diameter_put(out, AVP_BEARER_IDENTIFIER, request->user.bearer, request->user.bearer_length);
    if (request->priority != 0)
        diameter_put_u32(out, AVP_DRMP, request->priority - 1u);
    diameter_put_u32(out, AVP_AUTH_SESSION_STATE, NO_STATE_MAINTAINED);
    peer_put_origin(gate, out);
    diameter_put(out, AVP_DESTINATION_HOST, text, request->host_length);
    diameter_put(out, AVP_DESTINATION_REALM, text + request->host_length, request->realm_length);
}

static void put_data(const downlink_request *request, const uint8_t *text, dro_builder *out)
{
    diameter_put(out, AVP_NON_IP_DATA, text + request->host_length + request->realm_length, request->data_length);
    if (request->wait_until != 0)
        diameter_put_time(out, AVP_SCEF_WAIT_TIME, request->wait_until);
    if (request->retransmit_until != 0)
        diameter_put_time(out, AVP_MAXIMUM_RETRANSMISSION_TIME, request->retransmit_until);
}

/* Nothing was sent. An entry keeps the news when the ring is full; when there is
 * no entry either, the core's own time limit ends it. */
static void tell_no_peer(diameter_gate *gate, uint32_t core, uint64_t id, pending_outgoing *entry)
{
    downlink_answer answer = { .outcome = DOWNLINK_NO_PEER };
    diameter_count_drop(&gate->counts, DIAMETER_DROP_NO_PEER);
    if (entry != NULL)
        finish(gate, entry, &answer);
    else if (!tell_core(gate, core, id, &answer))
        diameter_count_drop(&gate->counts, DIAMETER_DROP_BUSY);
}

/* One that goes again was under way when its connection ended. */
static bool is_left_out(diameter_gate *gate, const diameter_peer *peer, const downlink_request *request, const uint8_t *text)
{
    overload_way way = { .host = text, .host_length = request->host_length, .application = DIAMETER_APPLICATION_T6A,
                         .priority = request->priority == 0 ? PRIORITY_USUAL : request->priority - 1u };
    return !request->is_again && t6a_abates(gate, peer, &way);
}

void t6a_downlink(diameter_gate *gate, uint32_t core, uint64_t id, const downlink_request *request, const uint8_t *text)
{
    diameter_peer *peer = way_to(gate, request, text);
    pending_outgoing *entry = pending_put_outgoing(gate->pending);
    dro_builder out;
    if (entry == NULL) {
        tell_no_peer(gate, core, id, NULL);
        return;
    }
    entry->kind = OUTGOING_DOWNLINK;
    entry->core = core;
    entry->core_id = id;
    entry->peer_slot = entry->peer_generation = UINT32_MAX;
    if (peer == NULL || !peer_room(peer, DOWNLINK_BYTES + request->data_length, &out)) {
        tell_no_peer(gate, core, id, entry);
        return;
    }
    if (is_left_out(gate, peer, request, text)) { /* as if the node itself had said so */
        finish(gate, entry, &(downlink_answer){ .outcome = DOWNLINK_ANSWERED, .result = DIAMETER_TOO_BUSY });
        return;
    }
    entry->end_to_end = request->is_again ? request->end_to_end : gate->end_to_end++;
    entry->deadline_ns = t6a_answer_deadline(gate, request->wait_until);
    size_t begin = t6a_request_begin(gate, peer, entry, COMMAND_MT_DATA, DIAMETER_APPLICATION_T6A,
                                     request->is_again ? DIAMETER_FLAG_RETRANSMITTED : 0, &out);
    put_destination(gate, request, text, &out);
    put_data(request, text, &out);
    t6a_request_end(gate, peer, entry, begin, &out);
}

/* Should it not arrive, the MME learns at the device's next uplink that there is no such connection. */
void t6a_release(diameter_gate *gate, const downlink_request *request, const uint8_t *text, const rate_status *left)
{
    diameter_peer *peer = way_to(gate, request, text);
    pending_outgoing *entry = peer == NULL ? NULL : pending_put_outgoing(gate->pending);
    dro_builder out;
    bool is_abated = entry != NULL && is_left_out(gate, peer, request, text);
    if (entry == NULL || is_abated || !peer_room(peer, DOWNLINK_BYTES, &out)) {
        if (!is_abated)
            diameter_count_drop(&gate->counts, peer == NULL ? DIAMETER_DROP_NO_PEER : DIAMETER_DROP_BUSY);
        if (entry != NULL)
            pending_drop_outgoing(gate->pending, entry);
        return;
    }
    entry->kind = OUTGOING_RELEASE;
    entry->end_to_end = gate->end_to_end++;
    entry->deadline_ns = loop_now_ns(gate->home) + RELEASE_TIMEOUT_MS * NS_PER_MS;
    size_t begin = t6a_request_begin(gate, peer, entry, COMMAND_CONNECTION_MANAGEMENT, DIAMETER_APPLICATION_T6A, 0, &out);
    put_destination(gate, request, text, &out);
    diameter_put_u32(&out, AVP_CONNECTION_ACTION, ACTION_RELEASE);
    put_rate_status(left, &out);
    t6a_request_end(gate, peer, entry, begin, &out);
}

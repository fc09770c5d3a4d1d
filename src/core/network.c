/* The network's requests: uplinks (MO-Data) and connections (TS 29.128). */
#include "core/network.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/wipe.h"
#include "core/ahead.h"
#include "core/authorization.h"
#include "core/charge.h"
#include "core/connection_refusal.h"
#include "core/exposure.h"
#include "core/follow.h"
#include "core/host.h"
#include "core/mailbox.h"
#include "core/number.h"
#include "core/peers.h"
#include "core/rate.h"
#include "core/rds.h"
#include "core/record.h"
#include "core/schedule.h"
#include "core/serving.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/timers.h"
#include "core/turn.h"
#include "core/twin_table.h"
#include "twin/event.h"
#include "twin/plmn.h"

enum { /* result codes the core answers with */
    RESULT_SUCCESS = 2001, RESULT_TOO_BUSY = 3004, RESULT_UNABLE_TO_COMPLY = 5012,
    EXPERIMENTAL_USER_UNKNOWN = 5001, EXPERIMENTAL_INVALID_EPS_BEARER = 5651,
    ESTABLISH = 0, RELEASE = 1, /* Connection-Action */
    LEARN_AFTER = 3, /* contacts before an interval is believed */
};

void network_answer_send(core *core, caller caller, uint32_t result, uint32_t experimental, uint64_t round)
{
    /* Stored at once, as it is copied: of two halves the copy would wait for the store buffer, in which the
     * record for the log still is. */
    uint64_t halves = (uint64_t)experimental << 32 | result;
    network_answer answer;
    _Static_assert(sizeof answer == sizeof halves && offsetof(network_answer, experimental) == 4, "result, then experimental");
    memcpy(&answer, &halves, sizeof answer);
    if (caller.gate == NONE)
        return;
    bool is_reply_free = core->is_reply_free;
    core->is_reply_free |= result == RESULT_TOO_BUSY; /* promises nothing: it need not wait for space behind what does */
    tell(core, caller.gate, MESSAGE_NETWORK_ANSWER, 0, caller.id, &answer, sizeof answer, round);
    core->is_reply_free = is_reply_free;
}

/* ---- contacts ---- */

static void contact_put(core *core, const twin *twin, int64_t last, int64_t next, contact_why why, uint32_t learned_s)
{
    dro_builder *part = record_part(core);
    dro_builder_le(part, (uint64_t)last, 8);
    dro_builder_le(part, (uint64_t)next, 8);
    dro_builder_le(part, why, 1);
    dro_builder_le(part, twin->contact_count, 1);
    dro_builder_le(part, learned_s, 4);
    dro_builder_le(part, (uint64_t)twin->retry_ms, 8);
    record_part_end(core, FIELD_CONTACT);
}

void contact_heard(core *core, uint32_t index)
{
    twin *twin = twin_at(core, index);
    uint32_t learned_s = twin->learned_s;
    int64_t before_ms = twin->last_contact_ms;
    if (twin->last_contact_ms != COLUMNS_NEVER && core->now_ms > twin->last_contact_ms) {
        int64_t interval_s = (core->now_ms - twin->last_contact_ms + 500) / 1000;
        if (interval_s > 0 && interval_s < UINT32_MAX / 4) {
            /* A smoothed mean; a schedule that really changed is taken over within a few contacts. */
            learned_s = twin->contact_count < 2 ? (uint32_t)interval_s : (uint32_t)((3 * (int64_t)learned_s + interval_s) / 4);
            if (twin->contact_count < 255)
                twin->contact_count++;
        }
    }
    twin->retry_ms = 0;
    twin->flags &= (uint8_t)~TWIN_BLOCKED;
    int64_t next = COLUMNS_NEVER;
    contact_why why = CONTACT_UPLINK;
    int64_t pattern_ms = schedule_next_ms(twin, core->now_ms, core->now_ms);
    bool is_twins = twin->why == CONTACT_TWIN && twin->next_contact_ms > core->now_ms;
    if (is_twins && (pattern_ms == COLUMNS_NEVER || twin->next_contact_ms <= pattern_ms)) {
        next = twin->next_contact_ms;
        why = CONTACT_TWIN;
    } else if (pattern_ms != COLUMNS_NEVER) {
        next = pattern_ms;
        why = CONTACT_PATTERN;
    }
    /* The network says when it is heard of at the latest; most devices have something to say before that. */
    int64_t learned_ms = core->now_ms + (int64_t)learned_s * 1000;
    if (why != CONTACT_TWIN && twin->contact_count >= LEARN_AFTER && learned_s > 0 && (next == COLUMNS_NEVER || learned_ms < next)) {
        next = learned_ms;
        why = CONTACT_LEARNED;
    }
    contact_put(core, twin, core->now_ms, next, why, learned_s);
    monitoring_contact(core, index, before_ms);
}

void contact_open(core *core, uint32_t index, int64_t until_ms)
{
    twin *twin = twin_at(core, index);
    twin->retry_ms = 0;
    twin->flags &= (uint8_t)~TWIN_BLOCKED;
    int64_t before_ms = twin->last_contact_ms;
    contact_put(core, twin, core->now_ms, until_ms > core->now_ms ? until_ms : core->now_ms, CONTACT_REACHABLE, twin->learned_s);
    monitoring_contact(core, index, before_ms);
}

void contact_expect(core *core, uint32_t index, contact_why why, int64_t next_ms)
{
    twin *twin = twin_at(core, index);
    if (why == CONTACT_RETRANSMISSION)
        twin->retry_ms = next_ms;
    else if (why == CONTACT_PATTERN && twin->flags & TWIN_BLOCKED)
        twin->retry_ms = next_ms + SCHEDULE_LISTENS_MS;
    contact_put(core, twin, twin->last_contact_ms, next_ms, why, twin->learned_s);
}

peers_node network_node(const core *core, const twin *twin)
{
    if (!(twin->flags & TWIN_CONNECTED))
        return (peers_node){ "", "", "" };
    return (peers_node){ core->hosts[twin->connection.host].name, core->hosts[twin->connection.realm].name, serving_via(core, twin) };
}

/* ---- requests ---- */

/* Texts behind a fixed part: checked against the message once. */
static bool texts_fit(const ring_header *header, size_t fixed, size_t first, size_t second, size_t behind)
{
    return header->length - sizeof *header >= fixed + first + second + behind && first <= DIAMETER_IDENTITY_MAX &&
           second <= DIAMETER_IDENTITY_MAX;
}

static bool bearer_matches(const twin *twin, const network_user *user)
{
    return twin->connection.bearer_length == user->bearer_length &&
           memcmp(twin->connection.bearer, user->bearer, user->bearer_length) == 0;
}

/* A frame of the reliable data service that is nothing for the twin. */
static void uplink_control(core *core, caller caller, const uplink_request *request, uint32_t index, uint16_t host, const rds_heard *heard)
{
    record_begin(core, index, RECORD_DELTA);
    put_uplink(core, index, host, request->end_to_end);
    charge_uplink(core, index, request->data_length, request->is_exception);
    rds_keep_control(core, index, heard);
    network_answer_send(core, caller, RESULT_SUCCESS, 0, record_end(core));
    mailbox_flush(core, index);
    if (timers_update(core, index) != DRO_OK)
        core->counters.refused++;
}

static void uplink_turn(core *core, uint32_t gate, const ring_header *header, const uint8_t *body,
                        const uplink_request *request, uint32_t index, uint16_t host)
{
    caller caller = { gate, header->id };
    twin *twin = twin_at(core, index);
    bool is_kept = host != NONE16 && core->hosts[host].is_kept;
    bool goes_along = core->chain == index;
    if (twin->flags & TWIN_RUNNING && !goes_along) {
        core->counters.uplinks--; /* counted when it is taken up again */
        if (twin_defer(core, index, gate, header, body) != DRO_OK)
            network_answer_send(core, caller, RESULT_TOO_BUSY, 0, 0);
        return;
    }
    /* A name is kept for good, so only of one who serves a device that is connected. */
    const char *name = (const char *)body + sizeof *request;
    dro_err err = is_kept ? DRO_OK : host_name_get(core, name, request->host_length, &host);
    if (err == DRO_AGAIN && question_ask(core, BOARD_HOST_NAME, name, request->host_length, gate, header, body)) {
        core->counters.uplinks--; /* counted when it is taken up again */
        return;
    }
    if (err != DRO_OK) {
        network_answer_send(core, caller, RESULT_TOO_BUSY, 0, 0);
        return;
    }
    if (!rate_takes_uplink(core, index, request->is_exception)) {
        network_answer_send(core, caller, RESULT_UNABLE_TO_COMPLY, 0, 0); /* not 3004: another try would not help */
        return;
    }
    const uint8_t *data = body + sizeof *request + request->host_length + request->realm_length;
    size_t length = request->data_length;
    rds_heard heard = { 0 };
    if (rds_is_on(core, twin)) {
        rds_hear(core, index, data, length, &heard);
        if (!heard.is_data) {
            twin->connection.gate = (uint8_t)gate;
            uplink_control(core, caller, request, index, host, &heard);
            return;
        }
        data = heard.frame.information;
        length = heard.frame.length;
    }
    turn *turn = turn_new(core, index, TURN_UPLINK);
    if (turn == NULL || turn_event(core, turn, EVENT_UPLINK, request->is_exception, data, length) != DRO_OK) {
        if (turn != NULL)
            turn_free(core, turn);
        network_answer_send(core, caller, RESULT_TOO_BUSY, 0, 0);
        return;
    }
    turn->caller = caller;
    turn->host = host;
    turn->end_to_end = request->end_to_end;
    turn->sign = heard.sign;
    twin->connection.gate = (uint8_t)gate;
    if (goes_along)
        turn_send_behind(core, turn);
    else
        turn_send(core, turn);
}

void network_uplink(core *core, uint32_t gate, const ring_header *header, const uint8_t *body)
{
    caller caller = { gate, header->id };
    uplink_request request = { 0 };
    if (header->length - sizeof *header >= sizeof request)
        memcpy(&request, body, sizeof request);
    if (header->length - sizeof *header < sizeof request ||
        !texts_fit(header, sizeof request, request.host_length, request.realm_length, request.data_length) ||
        request.data_length > EVENT_BYTES_MAX ||
        request.user.bearer_length > BEARER_BYTES_MAX || request.user.imsi[15] != '\0') {
        network_answer_send(core, caller, RESULT_UNABLE_TO_COMPLY, 0, 0);
        return;
    }
    core->counters.uplinks++;
    uint16_t host = NONE16;
    uint32_t result;
    bool is_met = host_name_find(core, (const char *)body + sizeof request, request.host_length, &host);
    if (is_met && duplicate_find(core, host, request.end_to_end, &result)) {
        core->counters.duplicates++;
        network_answer_send(core, caller, result, 0, round_now(core));
        return;
    }
    uint64_t hash;
    if (!ahead_knows(core, request.user.imsi, &hash))
        hash = imsi_hash(core, request.user.imsi);
    uint32_t index = twin_find_imsi_hash(core, hash);
    if (index == NONE || twin_at(core, index)->row == NONE)
        network_answer_send(core, caller, 0, EXPERIMENTAL_USER_UNKNOWN, 0);
    else if (!(twin_at(core, index)->flags & TWIN_CONNECTED) || !bearer_matches(twin_at(core, index), &request.user))
        network_answer_send(core, caller, 0, EXPERIMENTAL_INVALID_EPS_BEARER, 0);
    else if (core_refusal(core) != NULL)
        network_answer_send(core, caller, RESULT_TOO_BUSY, 0, 0);
    else
        uplink_turn(core, gate, header, body, &request, index, host);
}

static void put_connection(core *core, uint16_t host, uint16_t realm, const network_user *user)
{
    dro_builder *part = record_part(core);
    dro_builder_le(part, host, 2);
    dro_builder_le(part, realm, 2);
    dro_builder_bytes(part, user->bearer, user->bearer_length);
    record_part_end(core, FIELD_CONNECTION);
}

/* The twin learns that its device can be reached. */
void network_reachable(core *core, uint32_t index)
{
    if (twin_at(core, index)->flags & TWIN_RUNNING) {
        twin_defer_reachable(core, index);
        return;
    }
    turn *turn = turn_new(core, index, TURN_REACHABLE);
    if (turn == NULL)
        return;
    dro_err err = turn_event(core, turn, EVENT_REACHABILITY, 1, NULL, 0);
    if (err == DRO_OK)
        turn_send(core, turn);
    else
        turn_free(core, turn);
}

static void connection_change(core *core, caller caller, const connection_request *request, const uint8_t *texts, uint32_t index)
{
    twin *twin = twin_at(core, index);
    bool is_known = twin->flags & TWIN_CONNECTED && bearer_matches(twin, &request->user);
    uint16_t host, realm;
    if (request->action != ESTABLISH && !is_known) {
        connection_refuse(core, caller, request, texts, index, REFUSAL_BEARER);
        return;
    }
    if (host_name_get(core, (const char *)texts, request->host_length, &host) != DRO_OK ||
        host_name_get(core, (const char *)texts + request->host_length, request->realm_length, &realm) != DRO_OK) {
        network_answer_send(core, caller, RESULT_TOO_BUSY, 0, 0);
        return;
    }
    if (request->action == RELEASE && host != twin->connection.host) { /* the one before; the device has moved on */
        connection_refuse(core, caller, request, texts, index, REFUSAL_MOVED);
        return;
    }
    const char *apn = (const char *)texts + request->host_length + request->realm_length;
    connection_answer answer = { .result = RESULT_SUCCESS };
    core->counters.connections++;
    record_begin(core, index, RECORD_DELTA);
    if (request->action == RELEASE) {
        answer.rates = rate_left(core, twin);
        charge_connection(core, index, CHARGE_RELEASED, 0);
        record_put(core, FIELD_CONNECTION, "", 0);
    } else {
        answer.charging_id = request->action == ESTABLISH ? serving_charging_id(core) : 0;
        put_connection(core, host, realm, &request->user);
        rates_put(core, index, request, apn);
        serving_put(core, index, request, apn + request->apn_length, answer.charging_id);
    }
    if (request->action == ESTABLISH) {
        rds_reset(core, index);
        rate_go_on(core, index, &request->rates);
        charge_connection(core, index, CHARGE_ESTABLISHED, answer.charging_id);
    }
    twin->connection.gate = (uint8_t)caller.gate;
    if (request->is_reachable || request->action == ESTABLISH) {
        twin->retry_ms = 0;
        twin->flags &= (uint8_t)~TWIN_BLOCKED;
    }
    if (request->is_reachable)
        contact_open(core, index, (int64_t)request->available_until * 1000);
    uint64_t round = record_end(core);
    if (caller.gate != NONE)
        tell(core, caller.gate, MESSAGE_NETWORK_ANSWER, 0, caller.id, &answer, sizeof answer, round);
    if (request->is_reachable)
        network_reachable(core, index);
    mailbox_flush(core, index);
}

void network_release_begin(core *core, uint32_t index, network_release *gone)
{
    const twin *twin = twin_at(core, index);
    if (!(twin->flags & TWIN_CONNECTED))
        return;
    const peers_node node = network_node(core, twin);
    const rate_status left = rate_left(core, twin);
    downlink_request request = { .host_length = (uint16_t)strlen(node.host), .realm_length = (uint16_t)strlen(node.realm),
                                 .via_length = (uint16_t)strlen(node.via) };
    request.user.bearer_length = twin->connection.bearer_length;
    memcpy(request.user.bearer, twin->connection.bearer, BEARER_BYTES_MAX);
    if (vault_identity_open(core->vault, twin->number, twin->imsi, request.user.imsi) == DRO_OK) {
        dro_builder out = dro_builder_over(gone->message, sizeof gone->message);
        dro_builder_bytes(&out, &request, sizeof request);
        dro_builder_text(&out, node.host);
        dro_builder_text(&out, node.realm);
        dro_builder_text(&out, node.via);
        dro_builder_bytes(&out, &left, sizeof left);
        gone->length = out.err == DRO_OK ? (uint32_t)dro_builder_length(&out) : 0;
        gone->gate = peers_gate(core, &node, twin->connection.gate);
    }
    dro_wipe(&request, sizeof request);
    charge_connection(core, index, CHARGE_RELEASED, 0);
    record_put(core, FIELD_CONNECTION, "", 0);
}

void network_release_send(core *core, network_release *gone, uint64_t round)
{
    if (gone->length > 0 && core->gates[gone->gate].is_open)
        tell(core, gone->gate, MESSAGE_RELEASE, RING_WIPE, 0, gone->message, gone->length, round);
    dro_wipe(gone->message, gone->length);
    gone->length = 0;
}

/* True: core 0 has a name of the request to number first. Not of one that will be refused: a name is kept for good. */
static bool names_are_asked(core *core, uint32_t gate, const ring_header *header, const uint8_t *body, uint32_t index)
{
    connection_request copy, *request = &copy;
    memcpy(&copy, body, sizeof copy);
    const twin *twin = twin_at(core, index);
    if (copy.action != 0 && !(twin->flags & TWIN_CONNECTED && bearer_matches(twin, &copy.user)))
        return false;
    const char *host = (const char *)body + sizeof *request, *realm = host + request->host_length;
    uint16_t number;
    if (host_name_get(core, host, request->host_length, &number) == DRO_AGAIN)
        return question_ask(core, BOARD_HOST_NAME, host, request->host_length, gate, header, body);
    return host_name_get(core, realm, request->realm_length, &number) == DRO_AGAIN &&
           question_ask(core, BOARD_HOST_NAME, realm, request->realm_length, gate, header, body);
}

/* May the APN be used in the network that the device visits? An update without an APN is of the connection's. */
static bool is_network_allowed(const core *core, uint32_t index, const connection_request *request, const char *apn)
{
    const twin *twin = twin_at(core, index);
    const char *domain = twin->domain < core->domain_count ? core->domains[twin->domain].name : "";
    size_t length = request->apn_length;
    char plmn[PLMN_DIGITS_MAX + 1];
    if (length == 0 && request->action != ESTABLISH && twin->extra != NULL && twin->extra->rates != NULL) {
        apn = twin->extra->rates->apn;
        length = strlen(apn);
    }
    if (!request->has_plmn || !plmn_read(request->plmn, plmn) || plmn_is_of(plmn, request->user.imsi))
        return true;
    return apn_may_visit(&core->options.apns, apn, length, domain, strlen(domain), plmn);
}

/* Texts in the fixed part of a message of a gate. */
static bool request_texts_end(const connection_request *request)
{
    return request->charging[CHARGING_TEXT_MAX] == '\0' && request->type[DEVICE_TYPE_DIGITS] == '\0' && request->software[SOFTWARE_DIGITS] == '\0';
}

void network_connection(core *core, uint32_t gate, const ring_header *header, const uint8_t *body)
{
    caller caller = { gate, header->id };
    connection_request request = { 0 };
    if (header->length - sizeof *header >= sizeof request)
        memcpy(&request, body, sizeof request);
    if (header->length - sizeof *header < sizeof request ||
        !texts_fit(header, sizeof request, request.host_length, request.realm_length, (size_t)request.apn_length + request.via_length) ||
        request.via_length > DIAMETER_IDENTITY_MAX || !request_texts_end(&request) ||
        request.user.bearer_length > BEARER_BYTES_MAX || request.user.imsi[15] != '\0') {
        network_answer_send(core, caller, RESULT_UNABLE_TO_COMPLY, 0, 0);
        return;
    }
    const uint8_t *texts = body + sizeof request, *apn = texts + request.host_length + request.realm_length;
    uint32_t index = twin_find_imsi(core, request.user.imsi);
    if (core_refusal(core) != NULL)
        network_answer_send(core, caller, RESULT_TOO_BUSY, 0, 0);
    else if (index == NONE || twin_at(core, index)->row == NONE)
        connection_refuse(core, caller, &request, texts, index, REFUSAL_NO_TWIN);
    else if (request.action == ESTABLISH && !authorization_lets_connect(core, index, (const char *)apn, request.apn_length))
        connection_refuse(core, caller, &request, texts, index, REFUSAL_NO_CONFIGURATION);
    else if (request.action != RELEASE && !is_network_allowed(core, index, &request, (const char *)apn))
        connection_refuse(core, caller, &request, texts, index, REFUSAL_VISITED);
    else if (!names_are_asked(core, gate, header, body, index))
        connection_change(core, caller, &request, texts, index);
}

void network_connections_gate_lost(core *core, uint32_t gate)
{
    for (uint32_t i = 0; i < core->twin_high; i++) {
        twin *twin = twin_at(core, i);
        mail *sent = twin->number != 0 && twin->flags & TWIN_SENDING ? twin->extra->mail : NULL;
        while (sent != NULL && !sent->is_sent)
            sent = sent->next;
        if (sent == NULL || sent->sent_gate != gate) /* the connection may be at another gate by now */
            continue;
        ticket *ticket = sent->ticket != 0 ? ticket_find(twin, sent->ticket) : NULL;
        if (ticket != NULL && ticket->state == TICKET_SENT)
            ticket->state = TICKET_PENDING;
        sent->is_sent = false;
        twin->flags &= (uint8_t)~TWIN_SENDING;
        if (timers_update(core, i) != DRO_OK) /* it may expire again */
            dro_error("timers: out of memory");
    }
}

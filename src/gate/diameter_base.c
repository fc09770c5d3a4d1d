#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <netinet/in.h>

#include "base/log.h"
#include "gate/diameter_gate.h"
#include "gate/sctp.h"
#include "wire/diameter/read.h"
#include "wire/diameter/write.h"

enum {
    NO_INBAND_SECURITY = 0,
    BASE_MESSAGE_BYTES = 1536, /* two identities, two realms and the capabilities */
};

/* What this host speaks, in the order in which it says so. */
static const struct { uint32_t application, bit; } applications[] = {
    { DIAMETER_APPLICATION_T6A, PEER_T6A }, { DIAMETER_APPLICATION_S6T, PEER_S6T }, { DIAMETER_APPLICATION_TSP, PEER_TSP },
    { DIAMETER_APPLICATION_S6M, PEER_S6M }, { DIAMETER_APPLICATION_T4, PEER_T4 }, { DIAMETER_APPLICATION_RELAY, PEER_RELAY },
};

/* ---- writing ---- */

static diameter_header base_request(diameter_peer *peer, uint32_t code)
{
    diameter_gate *gate = peer->gate;
    peer->watchdog_hop_by_hop = (uint32_t)dro_random_next(&gate->random);
    peer->watchdog_end_to_end = gate->end_to_end++;
    diameter_count_request(&gate->counts, DIAMETER_OUT, diameter_command_find(code, 0, true));
    return (diameter_header){ .code = code, .flags = DIAMETER_FLAG_REQUEST, .hop_by_hop = peer->watchdog_hop_by_hop,
                              .end_to_end = peer->watchdog_end_to_end };
}

static bool is_our_answer(const diameter_peer *peer, const diameter_header *header)
{
    return header->hop_by_hop == peer->watchdog_hop_by_hop && header->end_to_end == peer->watchdog_end_to_end;
}

static void put_host_address(const struct sockaddr_storage *address, dro_builder *out)
{
    const struct sockaddr_in *ip4 = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *ip6 = (const struct sockaddr_in6 *)address;
    if (address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&ip6->sin6_addr))
        diameter_put_address(out, AVP_HOST_IP_ADDRESS, ip6->sin6_addr.s6_addr + 12, 4);
    else if (address->ss_family == AF_INET6)
        diameter_put_address(out, AVP_HOST_IP_ADDRESS, &ip6->sin6_addr, 16);
    else
        diameter_put_address(out, AVP_HOST_IP_ADDRESS, &ip4->sin_addr, 4);
}

/* RFC 6733 5.3.5: of SCTP all that the peer may use. */
static void put_host_addresses(const diameter_peer *peer, dro_builder *out)
{
    struct sockaddr_storage address = { .ss_family = AF_INET };
    socklen_t size = sizeof address;
    host_addresses all = { .count = 0 };
    if (peer->is_sctp)
        sctp_local(peer->watch.descriptor, &all);
    for (uint32_t i = 0; i < all.count; i++)
        put_host_address(&all.list[i], out);
    if (all.count > 0)
        return;
    getsockname(peer->watch.descriptor, (struct sockaddr *)&address, &size);
    put_host_address(&address, out);
}

static void put_capabilities(const diameter_peer *peer, dro_builder *out)
{
    put_host_addresses(peer, out);
    diameter_put_u32(out, AVP_VENDOR_ID, 0);
    diameter_put_text(out, AVP_PRODUCT_NAME, "Dromio");
    diameter_put_u32(out, AVP_ORIGIN_STATE_ID, peer->gate->origin_state);
}

static void put_applications(uint32_t offered, dro_builder *out)
{
    diameter_put_u32(out, AVP_SUPPORTED_VENDOR_ID, DIAMETER_VENDOR_3GPP);
    /* Peers of RFC 3588 (freeDiameter) take its absence for a wish for IPsec. */
    diameter_put_u32(out, AVP_INBAND_SECURITY_ID, NO_INBAND_SECURITY);
    for (size_t i = 0; i < sizeof applications / sizeof applications[0]; i++)
        if (applications[i].bit != PEER_RELAY && (offered & applications[i].bit) != 0)
            diameter_put_application(out, applications[i].application);
}

void base_send_cea(diameter_peer *peer, const diameter_header *request, const diameter_fault *fault)
{
    dro_builder out;
    uint32_t failed = fault->has_avp ? fault->length : 0;
    if (!peer_room(peer, BASE_MESSAGE_BYTES + failed, &out))
        return;
    uint32_t result = fault->result != 0 ? fault->result : DIAMETER_SUCCESS;
    diameter_header header = diameter_answer_header(request, result);
    header.flags &= (uint8_t)~DIAMETER_FLAG_PROXIABLE;
    size_t begin = diameter_begin(&out, &header);
    diameter_put_result(&out, result, 0);
    peer_put_origin(peer->gate, &out);
    put_capabilities(peer, &out);
    diameter_put_failed(&out, fault);
    put_applications(UINT32_MAX, &out);
    diameter_end(&out, begin);
    peer_send(peer, &out);
    peer->answers++;
    diameter_count_answer(&peer->gate->counts, DIAMETER_OUT, diameter_command_find(header.code, 0, false), result, 0);
}

/* Asked by us, it hears of what we have to do with it alone: an SCEF that is told of S6t takes us for an HSS. */
static uint32_t offered_to(const diameter_peer *peer)
{
    uint32_t agreed = peer->row == NO_ROW ? 0 : peer->gate->config->peers[peer->row].applications;
    return agreed == 0 || (agreed & PEER_RELAY) != 0 ? UINT32_MAX : agreed;
}

static void send_cer(diameter_peer *peer)
{
    dro_builder out;
    if (!peer_room(peer, BASE_MESSAGE_BYTES, &out))
        return;
    diameter_header header = base_request(peer, COMMAND_CAPABILITIES_EXCHANGE);
    size_t begin = diameter_begin(&out, &header);
    peer_put_origin(peer->gate, &out);
    put_capabilities(peer, &out);
    put_applications(offered_to(peer), &out);
    diameter_end(&out, begin);
    peer_send(peer, &out);
}

void base_send_dwr(diameter_peer *peer)
{
    dro_builder out;
    if (!peer_room(peer, BASE_MESSAGE_BYTES, &out))
        return;
    diameter_header header = base_request(peer, COMMAND_DEVICE_WATCHDOG);
    peer->asked_ns = loop_now_ns(peer->gate->home);
    size_t begin = diameter_begin(&out, &header);
    peer_put_origin(peer->gate, &out);
    diameter_put_u32(&out, AVP_ORIGIN_STATE_ID, peer->gate->origin_state);
    diameter_end(&out, begin);
    peer_send(peer, &out);
}

void base_send_dpr(diameter_peer *peer, uint32_t cause)
{
    dro_builder out;
    if (!peer_room(peer, BASE_MESSAGE_BYTES, &out))
        return;
    diameter_header header = base_request(peer, COMMAND_DISCONNECT_PEER);
    size_t begin = diameter_begin(&out, &header);
    peer_put_origin(peer->gate, &out);
    diameter_put_u32(&out, AVP_DISCONNECT_CAUSE, cause);
    diameter_end(&out, begin);
    peer_send(peer, &out);
    peer->state = PEER_CLOSING;
    peer->deadline_ns = loop_now_ns(peer->gate->home) + CLOSING_TIMEOUT_MS * NS_PER_MS;
}

/* DWA and DPA. */
static void send_success(diameter_peer *peer, const diameter_header *request, bool has_state)
{
    dro_builder out;
    if (!peer_room(peer, BASE_MESSAGE_BYTES, &out))
        return;
    diameter_header header = diameter_answer_header(request, DIAMETER_SUCCESS);
    size_t begin = diameter_begin(&out, &header);
    diameter_put_result(&out, DIAMETER_SUCCESS, 0);
    peer_put_origin(peer->gate, &out);
    if (has_state)
        diameter_put_u32(&out, AVP_ORIGIN_STATE_ID, peer->gate->origin_state);
    diameter_end(&out, begin);
    peer_send(peer, &out);
    peer->answers++;
    diameter_count_answer(&peer->gate->counts, DIAMETER_OUT, diameter_command_find(header.code, 0, false), DIAMETER_SUCCESS, 0);
}

/* ---- capabilities ---- */

static uint32_t application_bit(uint32_t application)
{
    for (size_t i = 0; i < sizeof applications / sizeof applications[0]; i++)
        if (applications[i].application == application)
            return applications[i].bit;
    return 0;
}

/* What both sides know, of the applications in a CER or CEA. */
static uint32_t common_applications(const diameter_message *message)
{
    uint32_t bits = 0;
    const diameter_avp *avp;
    for (avp = diameter_find(message, AVP_AUTH_APPLICATION_ID); avp != NULL; avp = diameter_find_next(message, avp))
        bits |= application_bit(diameter_u32(avp));
    for (avp = diameter_find(message, AVP_VENDOR_SPECIFIC_APPLICATION_ID); avp != NULL;
         avp = diameter_find_next(message, avp))
        bits |= application_bit(diameter_u32(diameter_find_in(message, avp, AVP_AUTH_APPLICATION_ID)));
    return bits;
}

/* Without the AVP no security is asked for; TLS inside of the connection is not offered. */
static bool has_common_security(const diameter_message *message)
{
    const diameter_avp *avp = diameter_find(message, AVP_INBAND_SECURITY_ID);
    bool is_common = avp == NULL;
    for (; avp != NULL; avp = diameter_find_next(message, avp))
        is_common |= diameter_u32(avp) == NO_INBAND_SECURITY;
    return is_common;
}

static char *text_of(const diameter_avp *avp)
{
    return avp == NULL ? NULL : strndup((const char *)avp->data, avp->length);
}

/* Who it says it is. False: memory is short. */
static bool take_identity(diameter_peer *peer, const diameter_message *message)
{
    free(peer->identity);
    free(peer->realm);
    peer->identity = text_of(diameter_find(message, AVP_ORIGIN_HOST));
    peer->realm = text_of(diameter_find(message, AVP_ORIGIN_REALM));
    if (peer->identity == NULL || peer->realm == NULL)
        return false;
    peer->identity_hash = gate_identity_hash(peer->identity, strlen(peer->identity));
    return true;
}

/* 0, or the Result-Code that refuses this peer. */
static uint32_t judge_capabilities(diameter_peer *peer, const diameter_message *message, int row)
{
    const gate_config *config = peer->gate->config;
    const gate_peer_config *known = row == NO_ROW ? NULL : &config->peers[row];
    bool is_realm = known == NULL || known->realm[0] == '\0' || strcasecmp(known->realm, peer->realm) == 0;
    if ((known == NULL && !config->accept_any_peer) || !is_realm || strcasecmp(peer->identity, config->identity) == 0)
        return DIAMETER_UNKNOWN_PEER;
    if (!tls_may_be(&peer->tls, peer->identity)) { /* its certificate is another's */
        if (gate_may_log(peer->gate))
            dro_warn("peer_certificate address=%s \"its certificate has no DNS name %s\"", peer->address, peer->identity);
        gate_note_refusal(peer, AUDIT_CERTIFICATE_REFUSED, DIAMETER_UNKNOWN_PEER, peer->identity, "its certificate has another name");
        return DIAMETER_UNKNOWN_PEER;
    }
    peer->applications = common_applications(message);
    if (known != NULL && known->applications != 0)
        peer->applications = (peer->applications & known->applications) |
                             (peer->applications & PEER_T6A ? known->applications & PEER_T7 : 0); /* a role: no CER says it */
    if (peer->applications == 0)
        return DIAMETER_NO_COMMON_APPLICATION;
    return has_common_security(message) ? 0 : DIAMETER_NO_COMMON_SECURITY;
}

static void open_peer(diameter_peer *peer)
{
    diameter_gate *gate = peer->gate;
    peer->state = PEER_OPEN;
    peer->deadline_ns = INT64_MAX;
    if (peer->row != NO_ROW)
        gate->rows[peer->row].backoff_ms = BACKOFF_FIRST_MS;
    base_watchdog_reset(peer);
    dro_info("peer_open peer=%s realm=%s address=%s applications=%u", peer->identity, peer->realm, peer->address,
             peer->applications);
    gate_tell_peer(gate, peer);
}

static void refuse_cer(diameter_peer *peer, const diameter_header *request, uint32_t result, diameter_reason reason)
{
    diameter_fault fault = { .result = result };
    diameter_count_drop(&peer->gate->counts, reason);
    peer->errors++;
    if (gate_may_log(peer->gate))
        dro_warn("peer_refused address=%s result=%u", peer->address, result);
    if (reason == DIAMETER_DROP_CER_REFUSED && result != DIAMETER_TOO_BUSY && tls_may_be(&peer->tls, peer->identity)) /* else its certificate is told of */
        gate_note_refusal(peer, AUDIT_PEER_REFUSED, result, peer->identity, NULL);
    base_send_cea(peer, request, &fault);
    peer_drain(peer);
}

/* Our own connection to an identity on which no CEA has come yet. */
static diameter_peer *our_attempt(diameter_gate *gate, const char *identity)
{
    for (uint32_t i = 0; i < gate->slots_used; i++) {
        diameter_peer *peer = gate->peers[i];
        bool is_attempt = peer != NULL && peer->is_ours &&
                          (peer->state == PEER_CONNECTING || peer->state == PEER_HANDSHAKE || peer->state == PEER_WAIT_CEA);
        if (is_attempt && strcasecmp(peer->identity, identity) == 0)
            return peer;
    }
    return NULL;
}

/* RFC 6733 5.6.4, on the responder. True: this connection waits for the other one. */
static bool is_held_by_election(diameter_peer *peer)
{
    diameter_gate *gate = peer->gate;
    diameter_peer *ours = our_attempt(gate, peer->identity);
    if (ours == NULL)
        return false;
    if (ours->state == PEER_WAIT_CEA && strcmp(gate->config->identity, peer->identity) < 0)
        return true;
    diameter_count_drop(&gate->counts, DIAMETER_DROP_ELECTION);
    ours->is_ours = false; /* its end is no event of the election */
    peer_close(ours);
    return false;
}

/* A second connection of one identity: the old one stays (RFC 6733 5.6), unless its
 * peer has gone without a word. So it is asked, and has a moment to answer. */
static bool is_dead(diameter_peer *other)
{
    int64_t now_ns = loop_now_ns(other->gate->home);
    if (other->state != PEER_OPEN)
        return false;
    if (other->is_watchdog_pending)
        return now_ns - other->asked_ns > PROBE_MS * NS_PER_MS;
    base_watchdog_expired(other);
    return other->state == PEER_GONE;
}

void base_on_cer(diameter_peer *peer, const diameter_message *request)
{
    diameter_gate *gate = peer->gate;
    const diameter_header *header = &request->header;
    if (!take_identity(peer, request)) {
        diameter_count_drop(&gate->counts, DIAMETER_DROP_NO_MEMORY);
        peer_close(peer);
        return;
    }
    int row = gate_row_of(gate, peer->identity);
    uint32_t refusal = gate->is_stopping ? DIAMETER_TOO_BUSY : judge_capabilities(peer, request, row);
    if (refusal != 0) {
        refuse_cer(peer, header, refusal, DIAMETER_DROP_CER_REFUSED);
        return;
    }
    diameter_peer *other = gate_peer_of(gate, peer->identity, peer);
    if (other != NULL && !is_dead(other)) {
        refuse_cer(peer, header, DIAMETER_ELECTION_LOST, DIAMETER_DROP_ELECTION);
        return;
    }
    if (other != NULL)
        peer_close(other); /* gone already is fine */
    peer->row = row;
    if (row != NO_ROW)
        gate->rows[row].connections++;
    if (is_held_by_election(peer)) {
        peer->state = PEER_ELECTION;
        peer->cer_hop_by_hop = header->hop_by_hop;
        peer->cer_end_to_end = header->end_to_end;
        return;
    }
    base_send_cea(peer, header, &(diameter_fault){ .result = 0 });
    if (peer->state != PEER_GONE)
        open_peer(peer);
}

void base_end_election(diameter_gate *gate, const char *identity)
{
    for (uint32_t i = 0; identity != NULL && i < gate->slots_used; i++) {
        diameter_peer *peer = gate->peers[i];
        if (peer == NULL || peer->state != PEER_ELECTION || strcasecmp(peer->identity, identity) != 0)
            continue;
        diameter_header request = { .code = COMMAND_CAPABILITIES_EXCHANGE, .hop_by_hop = peer->cer_hop_by_hop,
                                    .end_to_end = peer->cer_end_to_end };
        base_send_cea(peer, &request, &(diameter_fault){ .result = 0 });
        if (peer->state != PEER_GONE)
            open_peer(peer);
        return;
    }
}

/* Capabilities told again on an open connection: the same peer, and still something in common. */
void base_on_cer_again(diameter_peer *peer, const diameter_message *request)
{
    bool is_same = diameter_is_identity(diameter_find(request, AVP_ORIGIN_HOST), peer->identity);
    uint32_t refusal = is_same ? judge_capabilities(peer, request, peer->row) : DIAMETER_UNKNOWN_PEER;
    if (refusal != 0) {
        refuse_cer(peer, &request->header, refusal, DIAMETER_DROP_CER_REFUSED);
        return;
    }
    base_send_cea(peer, &request->header, &(diameter_fault){ .result = 0 });
    gate_tell_peer(peer->gate, peer);
}

void base_on_connected(diameter_peer *peer)
{
    peer->state = PEER_WAIT_CEA;
    peer->deadline_ns = loop_now_ns(peer->gate->home) + CER_TIMEOUT_MS * NS_PER_MS;
    send_cer(peer);
}

/* Connections of theirs to the peer that just opened: the election is lost for them. */
static void close_held(diameter_gate *gate, const diameter_peer *winner)
{
    for (uint32_t i = 0; i < gate->slots_used; i++) {
        diameter_peer *peer = gate->peers[i];
        if (peer == NULL || peer->state != PEER_ELECTION || strcasecmp(peer->identity, winner->identity) != 0)
            continue;
        diameter_count_drop(&gate->counts, DIAMETER_DROP_ELECTION);
        peer_close(peer);
    }
}

void base_on_cea(diameter_peer *peer, const diameter_message *answer)
{
    diameter_gate *gate = peer->gate;
    uint32_t result = diameter_u32(diameter_find(answer, AVP_RESULT_CODE));
    const char *expected = gate->config->peers[peer->row].identity;
    diameter_count_answer(&gate->counts, DIAMETER_IN, diameter_command_find(answer->header.code, 0, false), result, 0);
    bool is_good = is_our_answer(peer, &answer->header) && result == DIAMETER_SUCCESS &&
                   diameter_is_identity(diameter_find(answer, AVP_ORIGIN_HOST), expected) &&
                   take_identity(peer, answer) && judge_capabilities(peer, answer, peer->row) == 0;
    if (!is_good) {
        diameter_count_drop(&gate->counts, DIAMETER_DROP_CEA_REFUSED);
        if (gate_may_log(gate))
            dro_warn("peer_refused_us peer=%s result=%u", expected, result);
        if (result == DIAMETER_SUCCESS) /* it would have us, and is another one than it should be */
            gate_note_refusal(peer, AUDIT_PEER_REFUSED, DIAMETER_UNKNOWN_PEER, expected, "it is not who was expected");
        peer_close(peer);
        return;
    }
    diameter_peer *other = gate_peer_of(gate, peer->identity, peer);
    if (other != NULL && other->state != PEER_ELECTION) { /* theirs was quicker */
        diameter_count_drop(&gate->counts, DIAMETER_DROP_ELECTION);
        peer_close(peer);
        return;
    }
    open_peer(peer);
    close_held(gate, peer);
}

/* ---- watchdog and disconnect ---- */

static void watchdog_set(diameter_peer *peer)
{
    uint32_t wait_ms = WATCHDOG_MS - WATCHDOG_JITTER_MS + gate_jitter(peer->gate, 2 * WATCHDOG_JITTER_MS + 1);
    peer->watchdog_ns = loop_now_ns(peer->gate->home) + wait_ms * NS_PER_MS;
}

void base_watchdog_reset(diameter_peer *peer)
{
    if (peer->is_suspect)
        dro_info("peer_back peer=%s", peer->identity);
    peer->is_suspect = false;
    watchdog_set(peer);
}

/* OKAY -> asks; OKAY and asked -> SUSPECT: no requests go there; SUSPECT -> closed. */
void base_watchdog_expired(diameter_peer *peer)
{
    watchdog_set(peer);
    if (!peer->is_watchdog_pending) {
        peer->is_watchdog_pending = true;
        base_send_dwr(peer);
        return;
    }
    if (!peer->is_suspect) {
        peer->is_suspect = true;
        dro_warn("peer_suspect peer=%s", peer->identity);
        return;
    }
    diameter_count_drop(&peer->gate->counts, DIAMETER_DROP_WATCHDOG);
    peer_close(peer);
}

void base_on_dwr(diameter_peer *peer, const diameter_message *request)
{
    send_success(peer, &request->header, true);
}

void base_on_dwa(diameter_peer *peer, const diameter_message *answer)
{
    diameter_gate *gate = peer->gate;
    if (!peer->is_watchdog_pending || !is_our_answer(peer, &answer->header)) {
        diameter_count_drop(&gate->counts, DIAMETER_DROP_UNKNOWN_ANSWER);
        return;
    }
    peer->is_watchdog_pending = false;
    uint32_t result = diameter_u32(diameter_find(answer, AVP_RESULT_CODE));
    diameter_count_answer(&gate->counts, DIAMETER_IN, diameter_command_find(answer->header.code, 0, false), result, 0);
}

void base_on_dpr(diameter_peer *peer, const diameter_message *request)
{
    peer->disconnect_cause = (int)diameter_u32(diameter_find(request, AVP_DISCONNECT_CAUSE));
    dro_info("peer_disconnects peer=%s cause=%d", peer->identity, peer->disconnect_cause);
    busy_tell_peer(peer); /* before the DPA, behind which nothing is read */
    send_success(peer, &request->header, false);
    peer_drain(peer);
}

void base_on_dpa(diameter_peer *peer, const diameter_message *answer)
{
    diameter_gate *gate = peer->gate;
    if (!is_our_answer(peer, &answer->header)) {
        diameter_count_drop(&gate->counts, DIAMETER_DROP_UNKNOWN_ANSWER);
        return;
    }
    uint32_t result = diameter_u32(diameter_find(answer, AVP_RESULT_CODE));
    diameter_count_answer(&gate->counts, DIAMETER_IN, diameter_command_find(answer->header.code, 0, false), result, 0);
    peer_close(peer);
}

/* Requests that pass through this host (RFC 6733 6.1 and 6.2), as an IWK-SCEF has them: what is not ours
 * to answer goes on with a Hop-by-Hop id of ours and a Route-Record, its answer back with the one it came
 * with; all else stays as it is. Each waits in both tables of diameter_pending.h, and a copy beside the
 * second one, so that it can go another way, with the T flag, when its next hop is lost. Is there none just now
 * it is held for a moment: 3002 would let who asked send it anew, and it may have arrived. What comes for a home
 * network whose last way was lost a moment ago is held too.
 *
 * interworking.c says what passes and why; here is how. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/wipe.h"
#include "gate/diameter_gate.h"
#include "wire/diameter/read.h"
#include "wire/diameter/write.h"

enum {
    ADDED_BYTES = 1024,            /* Destination-Realm, Route-Record, Serving-PLMN-Rate-Control, Visited-PLMN-Id */
    HOP_BY_HOP_AT = 12, FLAGS_AT = 4,
};

typedef struct relay_copy {        /* of the entry with the same index */
    uint64_t incoming;             /* id of who waits for the answer */
    uint32_t length;               /* of the message as it was sent; 0: too long to be kept */
    uint32_t data_length;          /* Non-IP-Data */
    uint16_t host_at, host_length; /* Destination-Host in it */
    uint16_t realm_at, realm_length;
    int16_t home;
    bool is_up;
    uint8_t ways;
    const diameter_command *command;
    uint8_t bytes[RELAY_COPY_BYTES];
} relay_copy;

struct relay {
    uint32_t held;                 /* entries that are with nobody */
    int64_t away_ns[ROAMING_HOMES_MAX]; /* since when no way to it is known; 0: there was one */
    relay_copy copies[PENDING_REQUESTS_MAX]; /* touched as far as requests ever waited at once */
};

relay *relay_new(void)
{
    return calloc(1, sizeof(relay));
}

void relay_free(relay *relay)
{
    if (relay == NULL)
        return;
    for (uint32_t i = 0; i < PENDING_REQUESTS_MAX; i++)
        if (relay->copies[i].length > 0)
            dro_wipe(relay->copies[i].bytes, relay->copies[i].length);
    free(relay);
}

static relay_copy *copy_of(diameter_gate *gate, const pending_outgoing *entry)
{
    return &gate->relay->copies[entry->hop_by_hop & (PENDING_REQUESTS_MAX - 1)];
}

/* ---- the next hop ---- */

typedef struct way {
    const diameter_peer *from;     /* not back there */
    const diameter_message *request; /* not where it has been; NULL: not looked at */
    const uint8_t *host;           /* Destination-Host; */
    uint32_t host_length;          /* 0: any of the realm */
    const uint8_t *realm;
    uint32_t realm_length;
    const roaming_home *home;      /* towards it; NULL: towards a serving node */
} way;

static bool has_been_at(const diameter_message *request, const diameter_peer *peer)
{
    const diameter_avp *route = request == NULL ? NULL : diameter_find(request, AVP_ROUTE_RECORD);
    while (route != NULL && !diameter_is_identity(route, peer->identity))
        route = diameter_find_next(request, route);
    return route != NULL;
}

static bool is_same(const char *text, const uint8_t *bytes, uint32_t length)
{
    return strlen(text) == length && strncasecmp(text, (const char *)bytes, length) == 0;
}

/* How good a next hop: 0 none; more is better. An SCEF of another home network is none for anybody else's. */
static uint32_t fitness(const way *way, const diameter_peer *peer)
{
    const roaming_policy *policy = peer->gate->config->roaming;
    bool is_beside = is_same(peer->gate->config->realm, (const uint8_t *)peer->realm, (uint32_t)strlen(peer->realm)); /* one of this network leads to no other */
    bool is_agent = (peer->applications & PEER_RELAY) != 0 || ((peer->applications & PEER_T7) != 0 && (way->home == NULL || !is_beside));
    bool is_named = way->host_length > 0 && is_same(peer->identity, way->host, way->host_length);
    int home = roaming_of_realm(policy, peer->realm, strlen(peer->realm));
    bool is_stranger = home != ROAMING_NONE && (way->home == NULL || way->home != &policy->homes[home]);
    if (is_stranger)
        return 0;
    if (is_named)
        return 100;
    for (uint32_t i = 0; way->home != NULL && way->host_length == 0 && i < way->home->host_count; i++)
        if (strcasecmp(peer->identity, way->home->hosts[i]) == 0)
            return 50 - i;
    if (way->host_length == 0 && is_same(peer->realm, way->realm, way->realm_length))
        return 10;
    return is_agent && peer_serves_realm(peer, way->realm, way->realm_length) ? 1 : 0;
}

static diameter_peer *next_hop(diameter_gate *gate, const way *way)
{
    diameter_peer *best = NULL;
    uint32_t most = 0;
    for (uint32_t i = 0; i < gate->slots_used; i++) {
        diameter_peer *peer = gate->peers[i];
        bool is_open = peer != NULL && peer != way->from && peer_is_ready(peer) && (peer->applications & (PEER_T6A | PEER_RELAY)) != 0;
        uint32_t fit = is_open ? fitness(way, peer) : 0;
        if (fit <= most || has_been_at(way->request, peer))
            continue;
        most = fit;
        best = peer;
    }
    return best;
}

diameter_peer *relay_next_hop(diameter_peer *from, const relay_plan *plan)
{
    const roaming_home *home = plan->is_up ? &from->gate->config->roaming->homes[plan->home] : NULL;
    way way = { from, NULL, plan->host, plan->host_length, plan->realm, plan->realm_length, home };
    return next_hop(from->gate, &way);
}

/* ---- on its way ---- */

static const uint8_t *begin_of(const diameter_avp *avp)
{
    return avp->data - ((avp->flags & DIAMETER_AVP_VENDOR) != 0 ? 12 : 8);
}

/* As it came, with the destination the plan has, and what it adds. */
static void put_request(const diameter_peer *from, const diameter_message *request, const relay_plan *plan, uint32_t hop_by_hop,
                        dro_builder *out)
{
    diameter_header header = request->header;
    header.hop_by_hop = hop_by_hop;
    size_t begin = diameter_begin(out, &header);
    const uint8_t *end = request->bytes + request->header.length;
    for (uint32_t i = 0; i < request->count; i = request->avps[i].next) {
        const diameter_avp *avp = &request->avps[i];
        const uint8_t *behind = avp->next < request->count ? begin_of(&request->avps[avp->next]) : end;
        if (avp->name == AVP_DESTINATION_HOST || avp->name == AVP_DESTINATION_REALM)
            continue;
        dro_builder_bytes(out, begin_of(avp), (size_t)(behind - begin_of(avp)));
    }
    if (plan->host_length > 0)
        diameter_put(out, AVP_DESTINATION_HOST, plan->host, plan->host_length);
    diameter_put(out, AVP_DESTINATION_REALM, plan->realm, plan->realm_length);
    if (plan->adds_rate) {
        const roaming_home *home = &from->gate->config->roaming->homes[plan->home];
        size_t group = diameter_group_begin(out, AVP_SERVING_PLMN_RATE_CONTROL);
        diameter_put_u32(out, AVP_UPLINK_RATE_LIMIT, home->uplink_rate);
        diameter_put_u32(out, AVP_DOWNLINK_RATE_LIMIT, home->downlink_rate);
        diameter_group_end(out, group);
    }
    if (plan->adds_plmn) {
        uint8_t plmn[PLMN_BYTES];
        plmn_write(from->gate->config->roaming->plmn, plmn);
        diameter_put(out, AVP_VISITED_PLMN_ID, plmn, sizeof plmn);
    }
    diameter_put_text(out, AVP_ROUTE_RECORD, from->identity);
    diameter_end(out, begin);
}

static void count_sent(diameter_gate *gate, diameter_peer *to, pending_outgoing *entry, relay_copy *copy)
{
    entry->peer_slot = to->slot;
    entry->peer_generation = to->generation;
    copy->ways++;
    gate_count_request(gate, to, DIAMETER_OUT, copy->command);
}

/* Sends it and keeps a copy; false: that peer is gone. */
static bool send_first(diameter_peer *from, diameter_peer *to, const diameter_message *request, const relay_plan *plan,
                       pending_outgoing *entry, relay_copy *copy)
{
    diameter_gate *gate = from->gate;
    dro_builder out;
    if (!peer_room(to, request->header.length + ADDED_BYTES, &out))
        return false;
    put_request(from, request, plan, entry->hop_by_hop, &out);
    size_t length = dro_builder_length(&out);
    copy->length = length <= RELAY_COPY_BYTES ? (uint32_t)length : 0;
    memcpy(copy->bytes, out.start, copy->length);
    copy->ways = 0;
    peer_send(to, &out);
    count_sent(gate, to, entry, copy);
    return true;
}

/* Where the destination's names are in the copy, for another way. */
static void note_destination(relay_copy *copy)
{
    copy->host_length = copy->realm_length = 0;
    for (uint32_t at = DIAMETER_HEADER_BYTES; at + 8 <= copy->length;) {
        const uint8_t *avp = copy->bytes + at;
        uint32_t code = (uint32_t)avp[0] << 24 | (uint32_t)avp[1] << 16 | (uint32_t)avp[2] << 8 | avp[3], length = diameter_length(avp + 4);
        bool is_ours = (avp[4] & DIAMETER_AVP_VENDOR) == 0;
        if (is_ours && code == diameter_dictionary[AVP_DESTINATION_HOST].code) {
            copy->host_at = (uint16_t)(at + 8);
            copy->host_length = (uint16_t)(length - 8);
        } else if (is_ours && code == diameter_dictionary[AVP_DESTINATION_REALM].code) {
            copy->realm_at = (uint16_t)(at + 8);
            copy->realm_length = (uint16_t)(length - 8);
        }
        at += (length + 3) & ~3u;
    }
}

static void forget(diameter_gate *gate, pending_outgoing *entry)
{
    relay_copy *copy = copy_of(gate, entry);
    dro_wipe(copy->bytes, copy->length);
    copy->length = 0;
    pending_drop_outgoing(gate->pending, entry);
}

/* A place in both tables; false after t6a_refuse. */
static bool begin_waiting(diameter_peer *from, const diameter_message *request, const diameter_command *command,
                          pending_incoming **asked, pending_outgoing **entry)
{
    diameter_gate *gate = from->gate;
    uint64_t id;
    if (request->header.length + ADDED_BYTES > DIAMETER_MESSAGE_MAX) {
        t6a_refuse(from, DIAMETER_UNABLE_TO_COMPLY);
        return false;
    }
    *entry = pending_put_outgoing(gate->pending);
    dro_err err = *entry == NULL ? DRO_LIMIT : pending_put_incoming(gate->pending, request, command, &id, asked);
    if (err != DRO_OK) {
        if (*entry != NULL)
            pending_drop_outgoing(gate->pending, *entry);
        t6a_refuse_busy(from, request);
        return false;
    }
    (*entry)->kind = OUTGOING_RELAY;
    (*entry)->end_to_end = request->header.end_to_end;
    (*entry)->code = command->code;
    (*entry)->application = command->application;
    (*entry)->peer_slot = (*entry)->peer_generation = UINT32_MAX;
    (*entry)->deadline_ns = t6a_answer_deadline(gate, diameter_time(diameter_find(request, AVP_SCEF_WAIT_TIME)));
    (*asked)->peer_slot = from->slot;
    (*asked)->peer_generation = from->generation;
    (*asked)->deadline_ns = (*entry)->deadline_ns + ANSWER_MARGIN_MS * NS_PER_MS; /* the other entry ends it */
    copy_of(gate, *entry)->incoming = id;
    from->waiting++;
    return true;
}

/* With nobody for now. */
static void hold(diameter_gate *gate, pending_outgoing *entry)
{
    int64_t last_ns = loop_now_ns(gate->home) + RELAY_HOLD_MS * NS_PER_MS;
    entry->peer_slot = entry->peer_generation = UINT32_MAX;
    entry->deadline_ns = entry->deadline_ns < last_ns ? entry->deadline_ns : last_ns;
    gate->relay->held++;
}

/* Was there a way to the home network until a moment ago? Then there will be, perhaps. */
static bool is_just_away(diameter_gate *gate, const way *way, const relay_plan *plan)
{
    struct way anywhere = *way;
    anywhere.request = NULL;
    if (!plan->is_up || gate->relay->held >= RELAY_HELD_MAX || next_hop(gate, &anywhere) != NULL) /* there is one, but it has been there */
        return false;
    int64_t *away_ns = &gate->relay->away_ns[plan->home], now_ns = loop_now_ns(gate->home);
    if (*away_ns == 0)
        *away_ns = now_ns;
    return now_ns - *away_ns < RELAY_HOLD_MS * NS_PER_MS;
}

/* False: too long to be kept. */
static bool hold_first(diameter_peer *from, const diameter_message *request, const relay_plan *plan, pending_outgoing *entry, relay_copy *copy)
{
    dro_builder out = dro_builder_over(copy->bytes, sizeof copy->bytes);
    put_request(from, request, plan, entry->hop_by_hop, &out);
    copy->length = out.err == DRO_OK ? (uint32_t)dro_builder_length(&out) : 0;
    copy->ways = 0;
    if (out.err == DRO_OK)
        hold(from->gate, entry);
    return out.err == DRO_OK;
}

bool relay_request(diameter_peer *from, const diameter_message *request, const diameter_command *command, const relay_plan *plan)
{
    diameter_gate *gate = from->gate;
    const roaming_home *home = plan->is_up ? &gate->config->roaming->homes[plan->home] : NULL;
    way way = { from, request, plan->host, plan->host_length, plan->realm, plan->realm_length, home };
    const diameter_avp *data = diameter_find(request, AVP_NON_IP_DATA);
    pending_incoming *asked;
    pending_outgoing *entry = NULL;
    diameter_peer *to = next_hop(gate, &way);
    if (to != NULL && plan->is_up)
        gate->relay->away_ns[plan->home] = 0;
    if (to == NULL && !is_just_away(gate, &way, plan)) {
        diameter_count_drop(&gate->counts, DIAMETER_DROP_NO_PEER);
        return t6a_refuse(from, DIAMETER_UNABLE_TO_DELIVER);
    }
    if (!begin_waiting(from, request, command, &asked, &entry))
        return false;
    relay_copy *copy = copy_of(gate, entry);
    copy->home = (int16_t)plan->home;
    copy->is_up = plan->is_up;
    copy->command = command;
    copy->data_length = data == NULL ? 0 : data->length;
    if (to != NULL ? send_first(from, to, request, plan, entry, copy) : hold_first(from, request, plan, entry, copy))
        return true;
    forget(gate, entry);
    t6a_drop(gate, asked);
    return t6a_refuse(from, DIAMETER_UNABLE_TO_DELIVER);
}

/* ---- without an answer ---- */

static bool go_another_way(diameter_gate *gate, pending_outgoing *entry, relay_copy *copy, const pending_incoming *asked)
{
    diameter_peer *from = gate_peer_find(gate, asked->peer_slot, asked->peer_generation);
    const roaming_home *home = copy->is_up ? &gate->config->roaming->homes[copy->home] : NULL;
    dro_builder out;
    if (from == NULL || copy->length == 0 || copy->ways == RELAY_WAYS_MAX)
        return false;
    note_destination(copy);
    way way = { from, NULL, copy->bytes + copy->host_at, copy->host_length, copy->bytes + copy->realm_at, copy->realm_length, home };
    diameter_peer *to = next_hop(gate, &way);
    if (to == NULL || !peer_room(to, copy->length, &out))
        return false;
    if (copy->ways > 0)
        copy->bytes[FLAGS_AT] |= DIAMETER_FLAG_RETRANSMITTED; /* RFC 6733 5.5.4 */
    dro_builder_bytes(&out, copy->bytes, copy->length);
    peer_send(to, &out);
    count_sent(gate, to, entry, copy);
    interworking_count(gate, copy->home, copy->is_up, INTERWORKING_FAILOVER, 1);
    return true;
}

void relay_without_answer(diameter_gate *gate, pending_outgoing *entry, diameter_reason reason)
{
    relay_copy *copy = copy_of(gate, entry);
    pending_incoming *asked = pending_find_incoming(gate->pending, copy->incoming);
    bool is_held = entry->peer_slot == UINT32_MAX, is_lost = reason == DIAMETER_DROP_CONNECTION_LOST;
    if (asked != NULL && is_lost && go_another_way(gate, entry, copy, asked))
        return;
    if (asked != NULL && is_lost && copy->length > 0 && copy->ways < RELAY_WAYS_MAX && !gate->is_stopping && gate->relay->held < RELAY_HELD_MAX) {
        hold(gate, entry);
        return;
    }
    gate->relay->held -= is_held;
    interworking_count(gate, copy->home, copy->is_up, INTERWORKING_UNANSWERED, 1);
    forget(gate, entry);
    if (asked != NULL)
        t6a_answer(gate, asked, DIAMETER_UNABLE_TO_DELIVER, 0);
}

static void go_on(void *context, pending_outgoing *entry)
{
    diameter_gate *gate = context;
    if (entry->kind != OUTGOING_RELAY || entry->peer_slot != UINT32_MAX)
        return;
    relay_copy *copy = copy_of(gate, entry);
    const pending_incoming *asked = pending_find_incoming(gate->pending, copy->incoming);
    if (asked == NULL || gate_peer_find(gate, asked->peer_slot, asked->peer_generation) == NULL)
        relay_without_answer(gate, entry, DIAMETER_DROP_ANSWER_TIMEOUT); /* who asked is gone */
    else if (go_another_way(gate, entry, copy, asked))
        gate->relay->held--;
}

void relay_go_on(diameter_gate *gate)
{
    if (gate->relay != NULL && gate->relay->held > 0)
        pending_each_outgoing(gate->pending, go_on, gate);
}

/* ---- the way back ---- */

static void put_answer(diameter_peer *to, const diameter_message *answer, const pending_incoming *asked)
{
    dro_builder out;
    if (!peer_room(to, answer->header.length, &out))
        return;
    dro_builder_bytes(&out, answer->bytes, answer->header.length);
    uint8_t *hop_by_hop = out.start + HOP_BY_HOP_AT;
    for (int i = 0; i < 4; i++)
        hop_by_hop[i] = (uint8_t)(asked->hop_by_hop >> (24 - 8 * i));
    peer_send(to, &out);
}

void relay_on_answer(diameter_gate *gate, pending_outgoing *entry, const diameter_message *answer, const diameter_command *command,
                     uint32_t result, uint32_t experimental)
{
    relay_copy *copy = copy_of(gate, entry);
    pending_incoming *asked = pending_find_incoming(gate->pending, copy->incoming);
    diameter_peer *to = asked == NULL ? NULL : gate_peer_find(gate, asked->peer_slot, asked->peer_generation);
    bool is_there = to != NULL && (to->state == PEER_OPEN || to->state == PEER_CLOSING);
    if (is_there) {
        put_answer(to, answer, asked);
        to->answers++;
        gate_count_answer(gate, to, DIAMETER_OUT, command, result, experimental);
        interworking_passed(gate, copy->home, copy->is_up, copy->command, copy->data_length, result);
    } else {
        diameter_count_drop(&gate->counts, DIAMETER_DROP_CORE_LATE);
    }
    forget(gate, entry);
    if (asked != NULL)
        t6a_drop(gate, asked);
}

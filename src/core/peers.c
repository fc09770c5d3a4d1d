/* Peers: Diameter nodes, as the gates tell of them. Each gate tells every core, so a
 * downlink goes to the gate where its serving node is, whatever gate that was before. */
#include "core/peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/audit.h"
#include "core/call.h"
#include "core/number.h"
#include "core/render.h"
#include "core/state.h"

enum { PEERS_KEPT = 1024, PEER_HOST_MAX = 255, PEER_ADDRESS_MAX = 127 };

typedef struct peer_entry {
    char host[PEER_HOST_MAX + 1], realm[PEER_HOST_MAX + 1], address[PEER_ADDRESS_MAX + 1];
    uint32_t told, open;          /* bits of gates: that spoke of it, that have it open */
    peer_state state;             /* as last told of an open connection, or of none */
    int64_t silent_until_ns;      /* it left a question without an answer: others are asked first until then */
} peer_entry;

typedef struct peer_table {
    uint32_t hashes[PEERS_KEPT];  /* of the hosts; apart, since every downlink looks here */
    peer_entry entries[PEERS_KEPT];
} peer_table;

/* Identities are compared without regard to case (RFC 6733 4.3.1). */
static uint32_t host_hash(const char *host, size_t length)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] + 32 : host[i])) * 16777619u;
    return hash;
}

static uint32_t peer_find(const core *core, const char *host, size_t length)
{
    uint32_t hash = host_hash(host, length);
    for (uint32_t i = 0; i < core->peer_count; i++)
        if (core->peers->hashes[i] == hash && strncasecmp(core->peers->entries[i].host, host, length) == 0 &&
            core->peers->entries[i].host[length] == '\0')
            return i;
    return NONE;
}

/* A new entry; where all are taken, the place of one that no gate has open. */
static uint32_t peer_place(core *core)
{
    if (core->peer_count < PEERS_KEPT)
        return core->peer_count++;
    for (uint32_t i = 0; i < PEERS_KEPT; i++)
        if (core->peers->entries[i].open == 0)
            return i;
    return NONE;
}

/* A peer that any gate has open now, or that none has any more. */
static void audit_peer(core *core, const peer_entry *entry)
{
    char actor[PEER_HOST_MAX + 8];
    snprintf(actor, sizeof actor, "peer %.200s", entry->host);
    audit_note_of(core, entry->open != 0 ? AUDIT_PEER_CONNECTED : AUDIT_PEER_LOST, actor, entry->address, 0, NULL);
}

void peers_update(core *core, uint32_t gate, const uint8_t *body, uint32_t length)
{
    peer_state state;
    if (length < sizeof state)
        return;
    memcpy(&state, body, sizeof state);
    if (length < sizeof state + state.host_length + state.realm_length + state.address_length || state.host_length > PEER_HOST_MAX ||
        state.realm_length > PEER_HOST_MAX || state.address_length > PEER_ADDRESS_MAX)
        return;
    if (core->peers == NULL && (core->peers = calloc(1, sizeof *core->peers)) == NULL)
        return;
    const char *host = (const char *)body + sizeof state;
    uint32_t index = peer_find(core, host, state.host_length), bit = 1u << gate;
    bool is_new = index == NONE;
    if (is_new && (index = peer_place(core)) == NONE)
        return;
    peer_entry *entry = &core->peers->entries[index];
    uint32_t told = (is_new ? 0 : entry->told) | bit, open = (is_new ? 0 : entry->open) & ~bit;
    if (open != 0 && !state.is_open) { /* another gate has it, and tells what there is to tell */
        entry->told = told;
        entry->open = open;
        return;
    }
    bool was_open = !is_new && entry->open != 0; /* a new connection is a new chance */
    int64_t silent_until_ns = was_open && state.is_open ? entry->silent_until_ns : 0;
    *entry = (peer_entry){ .state = state, .told = told, .open = open | (state.is_open ? bit : 0), .silent_until_ns = silent_until_ns };
    memcpy(entry->host, host, state.host_length);
    memcpy(entry->realm, host + state.host_length, state.realm_length);
    memcpy(entry->address, host + state.host_length + state.realm_length, state.address_length);
    if (core->index == 0 && was_open != (entry->open != 0))
        audit_peer(core, entry);
    core->peers->hashes[index] = host_hash(host, state.host_length);
}

void peers_gate_lost(core *core, uint32_t gate)
{
    uint32_t kept = 0, bit = 1u << gate;
    for (uint32_t i = 0; i < core->peer_count; i++) {
        peer_entry *entry = &core->peers->entries[i];
        entry->told &= ~bit;
        entry->open &= ~bit;
        if (entry->told == 0)
            continue;
        core->peers->entries[kept] = *entry;
        core->peers->hashes[kept++] = core->peers->hashes[i];
    }
    core->peer_count = kept;
}

/* The gates that have it open, a bit each. */
static uint32_t open_of(const core *core, const char *host)
{
    uint32_t index = host[0] == '\0' ? NONE : peer_find(core, host, strlen(host));
    return index == NONE ? 0 : core->peers->entries[index].open;
}

/* Relays, and SCEFs of a realm, such as the IWK-SCEFs of a visited network: another path to its nodes. */
static uint32_t open_agents(const core *core, const char *realm)
{
    uint32_t open = 0;
    for (uint32_t i = 0; i < core->peer_count && open == 0; i++) {
        const peer_entry *entry = &core->peers->entries[i];
        bool leads = entry->state.applications & PEER_RELAY || (entry->state.applications & PEER_T7 && strcasecmp(entry->realm, realm) == 0);
        open = leads ? entry->open : 0;
    }
    return open;
}

static uint32_t open_ways(const core *core, const peers_node *node)
{
    uint32_t open = open_of(core, node->host);
    if (open == 0)
        open = open_of(core, node->via);
    return open != 0 ? open : open_agents(core, node->realm);
}

uint32_t peers_gate(const core *core, const peers_node *node, uint32_t usual)
{
    if (core->options.gate_count == 1)
        return usual;
    uint32_t open = open_of(core, node->host);
    if (open == 0)
        open = open_of(core, node->via);
    return open == 0 || open >> usual & 1 ? usual : (uint32_t)__builtin_ctz(open);
}

bool peers_reach(const core *core, const peers_node *node)
{
    return open_ways(core, node) != 0;
}

bool peers_way(const core *core, const peers_node *node, uint32_t *gate)
{
    uint32_t open = open_ways(core, node);
    *gate = open == 0 ? 0 : (uint32_t)__builtin_ctz(open);
    return open != 0 && core->gates[*gate].is_open;
}

bool peers_have(const core *core, uint32_t applications)
{
    for (uint32_t i = 0; i < core->peer_count; i++)
        if (core->peers->entries[i].state.applications & applications)
            return true;
    return false;
}

bool peers_have_hss(const core *core)
{
    return core->options.has_hss || peers_have(core, PEER_S6T);
}

bool peers_are_open(const core *core, uint32_t applications)
{
    for (uint32_t i = 0; i < core->peer_count; i++)
        if (core->peers->entries[i].open != 0 && core->peers->entries[i].state.applications & applications)
            return true;
    return false;
}

/* Who answered of late before who did not, who speaks it before a relay, then by their order in the configuration. */
static uint32_t preference_of(const core *core, const peer_entry *entry, uint32_t applications)
{
    bool is_one = (entry->state.applications & applications) != 0;
    if (entry->open == 0 || (!is_one && !(entry->state.applications & PEER_RELAY)))
        return UINT32_MAX;
    return (uint32_t)(entry->silent_until_ns > core->now_ns) << 17 | (uint32_t)!is_one << 16 | entry->state.rank;
}

static bool is_among(uint32_t hash, const uint32_t *list, uint32_t count)
{
    uint32_t i = 0;
    while (i < count && list[i] != hash)
        i++;
    return i < count;
}

/* Where the first one tells its load, those as good as it that tell theirs too share by it: weights as of SRV (RFC 8583 7.3). */
static uint32_t share_load(core *core, uint32_t applications, uint32_t first, const uint32_t *silent, uint32_t silent_count)
{
    uint32_t kind = preference_of(core, &core->peers->entries[first], applications) >> 16, chosen = first;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < core->peer_count && core->peers->entries[first].state.load > 0; i++) {
        const peer_entry *entry = &core->peers->entries[i];
        uint32_t preference = preference_of(core, entry, applications), load = entry->state.load;
        bool is_equal = preference != UINT32_MAX && preference >> 16 == kind && !is_among(core->peers->hashes[i], silent, silent_count);
        if (!is_equal || load == 0 || load > PEER_LOAD_FULL)
            continue;
        sum += PEER_LOAD_FULL - load;
        if (sum > 0 && dro_random_next(&core->random) % sum < PEER_LOAD_FULL - load)
            chosen = i;
    }
    return chosen;
}

bool peers_route(core *core, uint32_t applications, const uint32_t *silent, uint32_t silent_count, peer_route *route)
{
    uint32_t best = NONE, least = UINT32_MAX, count = 0;
    for (uint32_t i = 0; i < core->peer_count; i++) {
        uint32_t preference = preference_of(core, &core->peers->entries[i], applications);
        if (preference == UINT32_MAX || is_among(core->peers->hashes[i], silent, silent_count))
            continue;
        count++;
        if (preference < least) {
            least = preference;
            best = i;
        }
    }
    if (best == NONE)
        return false;
    best = share_load(core, applications, best, silent, silent_count);
    route->hash = core->peers->hashes[best];
    route->is_last = count == 1;
    const peer_entry *entry = &core->peers->entries[best];
    route->host = entry->host;
    route->realm = entry->state.applications & applications ? entry->realm : "";
    route->gate = (uint32_t)__builtin_ctz(entry->open);
    return core->gates[route->gate].is_open;
}

void peers_name(const core *core, uint32_t hash, uint32_t applications, const char **host, const char **realm)
{
    *host = *realm = NULL;
    for (uint32_t i = 0; i < core->peer_count; i++) {
        if (core->peers->hashes[i] != hash || !(core->peers->entries[i].state.applications & applications))
            continue;
        *host = core->peers->entries[i].host;
        *realm = core->peers->entries[i].realm;
        return;
    }
}

void peers_silent(core *core, uint32_t hash)
{
    for (uint32_t i = 0; i < core->peer_count; i++)
        if (core->peers->hashes[i] == hash)
            core->peers->entries[i].silent_until_ns = core->now_ns + PEER_SILENT_MS * 1000000ll;
}

/* ---- GET /v1/peers ---- */

/* An application learns that the network is there, not where it is nor what else goes through it. */
static void peer_json(const peer_entry *peer, bool is_whole, dro_builder *out)
{
    static const struct { uint32_t bit; const char *name, *role; } roles[] = {
        { PEER_T6A, "t6a", "mme" }, { PEER_S6T, "s6t", "hss" }, { PEER_S6M, "s6m", "hss" }, { PEER_TSP, "tsp", "mtc-iwf" },
        { PEER_T4, "t4", "sms-sc" }, { PEER_T7, "t7", "scef" }, { PEER_RELAY, "relay", "relay" },
    };
    dro_builder_text(out, "{\"identity\":");
    json_string(out, peer->host);
    dro_builder_text(out, ",\"realm\":");
    json_string(out, peer->realm);
    json_put(out, ",\"state\":\"%s\",\"applications\":[", peer->open != 0 ? "open" : "closed");
    for (uint32_t i = 0, shown = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (peer->state.applications & roles[i].bit)
            json_put(out, "%s\"%s\"", shown++ > 0 ? "," : "", roles[i].name);
    dro_builder_text(out, "],\"roles\":[");
    const char *last = "";
    for (uint32_t i = 0, shown = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (!(peer->state.applications & roles[i].bit) || strcmp(roles[i].role, last) == 0)
            continue; /* one node, two applications */
        last = roles[i].role;
        json_put(out, "%s\"%s\"", shown++ > 0 ? "," : "", last);
    }
    dro_builder_text(out, "]");
    if (peer->open != 0 && peer->state.load > 0)
        json_put(out, ",\"load\":%u", peer->state.load - 1u);
    if (peer->open != 0 && peer->state.reduction > 0)
        json_put(out, ",\"reduction\":%u", peer->state.reduction);
    if (is_whole) {
        dro_builder_text(out, ",\"address\":");
        json_string(out, peer->address);
        json_put(out, ",\"requests\":%llu,\"answers\":%llu,\"errors\":%llu", (unsigned long long)peer->state.requests,
                 (unsigned long long)peer->state.answers, (unsigned long long)peer->state.errors);
    }
    dro_builder_text(out, "}");
}

void api_peers(core *core, const call *call)
{
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES - 8);
    dro_builder_text(&out, "{\"peers\":[");
    for (uint32_t i = 0; i < core->peer_count; i++) {
        uint8_t *before = out.at;
        dro_builder_text(&out, i > 0 ? "," : "");
        peer_json(&core->peers->entries[i], (call->scopes & SCOPE_ADMIN) != 0, &out);
        if (out.err != DRO_OK) { /* as many as fit */
            out.err = DRO_OK;
            out.at = before;
            break;
        }
    }
    out.end += 8;
    dro_builder_text(&out, "]}");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

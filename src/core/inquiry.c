#include "core/inquiry.h"

#include <stdlib.h>
#include <string.h>

#include "base/wipe.h"
#include "core/peers.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/twin_table.h"
#include "twin/t8.h"
#include "wire/diameter/dict.h"

enum { SLOT_BITS = 10 };
_Static_assert(1 << SLOT_BITS == INQUIRIES_MAX, "a slot is the low bits of an id");

typedef struct inquiry_slot {    /* one question without an answer */
    uint64_t id;                 /* in the rings; 0: free */
    inquiry asked;               /* host, realm and fields are behind each other in `bytes` */
    int64_t until_ns;
    uint32_t tries, next_free;
    uint32_t peer;               /* hash of the one that has the question, */
    uint32_t silent[INQUIRY_TRIES_MAX], silent_count; /* of those that had it and did not answer */
    inquiry_request request;
    uint8_t *bytes;              /* owned, wiped */
} inquiry_slot;

typedef struct inquiry_table {
    inquiry_slot list[INQUIRIES_MAX];
    uint32_t used, free, count;  /* slots ever used, first free of them */
    uint32_t counts[INQUIRY_KINDS]; /* of those that ask the same nodes, under the first kind that does */
    uint64_t serial;
} inquiry_table;

/* Who is asked, and how that is said to people. */
#define OF_HSS "no HSS can be reached", "the HSS does not answer", "the HSS is busy", "the HSS, or a node on the way to it, does not take such requests"
static const struct { uint32_t peers; const char *away, *silent, *busy, *not_taken; } roles[INQUIRY_KINDS] = {
    [INQUIRY_NIDD] = { PEER_S6T, OF_HSS },
    [INQUIRY_MONITORING] = { PEER_S6T, OF_HSS },
    [INQUIRY_PATTERNS] = { PEER_S6T, OF_HSS },
    [INQUIRY_PARAMETERS] = { PEER_S6T, OF_HSS },
    [INQUIRY_COVERAGE] = { PEER_S6T, OF_HSS },
    [INQUIRY_AREA] = { PEER_T6A, "the serving node cannot be reached", "the serving node does not answer", "the serving node is busy",
                       "no serving node takes such requests" },
    [INQUIRY_SUBSCRIBER] = { PEER_S6M, OF_HSS },
    [INQUIRY_TRIGGER] = { PEER_TSP, "no trigger function (MTC-IWF) can be reached", "the trigger function (MTC-IWF) does not answer",
                          "the trigger function (MTC-IWF) is busy", "the trigger function (MTC-IWF) does not take such requests" },
    [INQUIRY_MESSAGE] = { PEER_T4, "no service centre (SMS-SC) can be reached", "the service centre (SMS-SC) does not answer",
                          "the service centre (SMS-SC) is busy", "the service centre (SMS-SC) does not take such requests" },
};

/* ---- the table ---- */

/* Nodes that are silent do not keep other ones from being asked. */
static uint32_t *count_of(inquiry_table *table, enum inquiry_kind kind)
{
    uint32_t first = 0;
    while (roles[first].peers != roles[kind].peers)
        first++;
    return &table->counts[first];
}

static inquiry_slot *slot_new(core *core, enum inquiry_kind kind)
{
    inquiry_table *table = core->inquiries;
    if (table == NULL) {
        table = core->inquiries = calloc(1, sizeof *table);
        if (table == NULL)
            return NULL;
        table->free = NONE;
    }
    uint32_t index = table->free != NONE ? table->free : table->used;
    if (index == INQUIRIES_MAX || *count_of(table, kind) == INQUIRIES_OF_NODES_MAX)
        return NULL;
    inquiry_slot *made = &table->list[index];
    if (index == table->free)
        table->free = made->next_free;
    else
        table->used++;
    table->count++;
    ++*count_of(table, kind);
    *made = (inquiry_slot){ .id = ++table->serial << SLOT_BITS | index, .asked = { .kind = kind } };
    return made;
}

static inquiry_slot *slot_find(const core *core, uint64_t id)
{
    inquiry_table *table = core->inquiries;
    uint32_t index = (uint32_t)(id & (INQUIRIES_MAX - 1));
    return table != NULL && id != 0 && index < table->used && table->list[index].id == id ? &table->list[index] : NULL;
}

static void bytes_free(uint8_t *bytes, size_t length)
{
    if (bytes != NULL)
        dro_wipe(bytes, length);
    free(bytes);
}

static size_t bytes_of(const inquiry_slot *slot)
{
    return slot->request.host_length + slot->request.realm_length + slot->asked.length;
}

static void slot_free(core *core, inquiry_slot *gone)
{
    inquiry_table *table = core->inquiries;
    bytes_free(gone->bytes, bytes_of(gone));
    --*count_of(table, gone->asked.kind);
    *gone = (inquiry_slot){ .next_free = table->free };
    table->free = (uint32_t)(gone - table->list);
    table->count--;
}

/* The asker hears; what it begins from there may have the place of this one. */
static void slot_end(core *core, inquiry_slot *slot, const inquiry_said *said)
{
    inquiry asked = slot->asked;
    uint8_t *bytes = slot->bytes;
    size_t length = bytes_of(slot);
    slot->bytes = NULL;
    slot_free(core, slot);
    asked.done(core, &asked, said);
    bytes_free(bytes, length);
    if (asked.late != NULL)
        deferred_free(asked.late);
}

static void slot_fail(core *core, inquiry_slot *slot, enum inquiry_outcome outcome, const char *why)
{
    slot_end(core, slot, &(inquiry_said){ .outcome = outcome == INQUIRY_ANSWERED ? INQUIRY_NO_ANSWER : outcome, .verdict = VERDICT_BUSY, .why = why });
}

static void slot_not_taken(core *core, inquiry_slot *slot, uint32_t code)
{
    const char *why = roles[slot->asked.kind].not_taken;
    slot_end(core, slot, &(inquiry_said){ .outcome = INQUIRY_NOT_TAKEN, .verdict = VERDICT_NOT_TAKEN, .why = why, .code = code });
}

/* ---- asking ---- */

/* Who can be followed by another is not given all of the time. */
static uint32_t timeout_of(const core *core, const inquiry_slot *slot, bool is_last)
{
    int64_t left_ms = (slot->until_ns - core->now_ns) / 1000000;
    int64_t wanted = is_last || left_ms < INQUIRY_OTHER_MS ? left_ms : INQUIRY_OTHER_MS;
    return wanted > 0 ? (uint32_t)wanted : 1;
}

/* The next hop. A node that alone can answer is asked through its own connection, or by a relay. */
static bool route_of(core *core, const inquiry_slot *slot, peer_route *route)
{
    if (slot->asked.host == NULL)
        return peers_route(core, roles[slot->asked.kind].peers, slot->silent, slot->silent_count, route);
    *route = (peer_route){ .host = slot->asked.host, .realm = slot->asked.realm, .is_last = true };
    return slot->silent_count == 0 && peers_way(core, &(peers_node){ slot->asked.host, "", "" }, &route->gate);
}

/* False: none can be reached that was not asked yet. */
static bool slot_send(core *core, inquiry_slot *slot)
{
    uint8_t message[sizeof(inquiry_request) + 2 * DIAMETER_IDENTITY_MAX + INQUIRY_FIELDS_MAX + 8];
    peer_route route;
    if (slot->tries++ >= INQUIRY_TRIES_MAX || !route_of(core, slot, &route))
        return false;
    slot->peer = route.hash;
    slot->request.timeout_ms = timeout_of(core, slot, route.is_last);
    dro_builder out = dro_builder_over(message, sizeof message);
    inquiry_request request = slot->request;
    request.host_length = (uint16_t)strlen(route.host);
    request.realm_length = (uint16_t)strlen(route.realm);
    dro_builder_bytes(&out, &request, sizeof request);
    dro_builder_text(&out, route.host);
    dro_builder_text(&out, route.realm);
    dro_builder_bytes(&out, slot->asked.fields, slot->asked.length);
    dro_field_pad(&out);
    tell(core, route.gate, MESSAGE_INQUIRY, RING_WIPE, slot->id, message, (uint32_t)dro_builder_length(&out), 0);
    dro_wipe(message, sizeof message);
    return true;
}

/* Host and realm with their zeros, then the fields. */
static bool keep_bytes(inquiry_slot *slot, const inquiry *asked)
{
    size_t host = asked->host == NULL ? 0 : strlen(asked->host) + 1, realm = asked->realm == NULL ? 0 : strlen(asked->realm) + 1;
    if (host > DIAMETER_IDENTITY_MAX + 1 || realm > DIAMETER_IDENTITY_MAX + 1 || asked->length > INQUIRY_FIELDS_MAX)
        return false;
    uint8_t *bytes = malloc(host + realm + asked->length + 1);
    if (bytes == NULL)
        return false;
    slot->bytes = bytes;
    slot->request.host_length = (uint16_t)host; /* until it is sent: bytes kept */
    slot->request.realm_length = (uint16_t)realm;
    if (host > 0)
        slot->asked.host = memcpy(bytes, asked->host, host);
    if (realm > 0)
        slot->asked.realm = memcpy(bytes + host, asked->realm, realm);
    if (asked->length > 0)
        memcpy(bytes + host + realm, asked->fields, asked->length);
    slot->asked.fields = bytes + host + realm;
    return true;
}

const char *inquiry_begin(core *core, const inquiry *asked)
{
    inquiry_slot *made = slot_new(core, asked->kind);
    const char *why = made == NULL ? "too many questions wait for the network" : NULL;
    if (made != NULL) {
        made->asked = *asked;
        made->asked.had_late = asked->late != NULL;
        made->until_ns = core->now_ns + INQUIRY_WAIT_MS * 1000000ll;
        made->request = (inquiry_request){ .kind = (uint8_t)asked->kind, .is_to_host = asked->host != NULL, .group = asked->group };
        why = !keep_bytes(made, asked) ? "out of memory" : slot_send(core, made) ? NULL : roles[asked->kind].away;
    }
    if (why == NULL)
        return NULL;
    if (made != NULL)
        slot_free(core, made);
    if (asked->late != NULL)
        deferred_free(asked->late);
    return why;
}

bool inquiry_defer(core *core, const call *call, inquiry *asked)
{
    asked->late = core->is_draining ? NULL : deferred_new(call->gate, call->header, call->message);
    const char *why = asked->late == NULL ? "the host has no room for it now" : inquiry_begin(core, asked);
    if (why != NULL)
        tell_problem(core, call->caller, 503, "about:blank", "%s; try again", why);
    return why == NULL;
}

bool inquiry_has_node(const core *core, enum inquiry_kind kind)
{
    return roles[kind].peers == PEER_S6T ? peers_have_hss(core) : peers_have(core, roles[kind].peers);
}

/* ---- answers ---- */

bool inquiry_take_up(core *core, const inquiry *asked, const inquiry_said *said)
{
    deferred *late = asked->late;
    if (late == NULL || !core->gates[late->gate].is_open)
        return false;
    const inquiry_said *before = core->said;
    core->said = said;
    message_take(core, late->gate, &late->header, late->body);
    core->said = before;
    return true;
}

void inquiry_tell_refusal(core *core, caller caller, uint32_t code)
{
    const char *name = diameter_cause_of(code);
    tell_problem(core, caller, 500, "about:blank", "the network refused it (%u%s%s)", code, name[0] != '\0' ? " " : "", name);
}

void inquiry_tell_why(core *core, const inquiry *asked, const inquiry_said *said)
{
    if (asked->late == NULL || !core->gates[asked->late->gate].is_open)
        return;
    caller caller = { asked->late->gate, asked->late->header.id };
    if (said->outcome == INQUIRY_NOT_TAKEN) /* to try again would be in vain */
        tell_problem(core, caller, 500, "about:blank", "%s (%u)", said->why, said->code);
    else
        tell_problem(core, caller, 503, "about:blank", "%s; try again", said->why);
}

/* One that was lost on its way, or left without an answer, goes through another node as the same request. */
static void ask_another(core *core, inquiry_slot *slot, const inquiry_answer *answer)
{
    bool is_silent = answer->outcome == INQUIRY_NO_ANSWER, is_abated = answer->outcome == INQUIRY_ABATED;
    const char *why = is_silent ? roles[slot->asked.kind].silent : is_abated ? roles[slot->asked.kind].busy : roles[slot->asked.kind].away;
    if (answer->outcome != INQUIRY_NO_PEER && !is_abated) {
        slot->request.is_again = 1;
        slot->request.end_to_end = answer->end_to_end;
    }
    if ((is_silent || is_abated) && slot->silent_count < INQUIRY_TRIES_MAX) {
        slot->silent[slot->silent_count++] = slot->peer;
        if (is_silent && slot->asked.host == NULL)
            peers_silent(core, slot->peer);
    }
    if (!slot_send(core, slot))
        slot_fail(core, slot, (enum inquiry_outcome)answer->outcome, why);
}

static void slot_answered(core *core, inquiry_slot *slot, const inquiry_answer *answer, const uint8_t *fields, size_t length)
{
    inquiry_said said = { .outcome = INQUIRY_ANSWERED, .verdict = (enum inquiry_verdict)answer->verdict, .code = answer->code, .fields = fields,
                          .length = length };
    peers_name(core, slot->peer, roles[slot->asked.kind].peers, &said.host, &said.realm);
    slot_end(core, slot, &said);
}

void inquiries_on_answer(core *core, uint32_t gate, const ring_header *header, const uint8_t *body)
{
    inquiry_answer answer;
    inquiry_slot *slot = slot_find(core, header->id);
    if (slot == NULL || header->length - sizeof *header < sizeof answer)
        return;
    memcpy(&answer, body, sizeof answer);
    if (answer.outcome != INQUIRY_ANSWERED) {
        ask_another(core, slot, &answer);
        return;
    }
    uint32_t index = slot->asked.twin == 0 ? NONE : twin_find_number(core, slot->asked.twin);
    bool is_running = index != NONE && twin_at(core, index)->flags & TWIN_RUNNING;
    if (answer.verdict == VERDICT_BUSY)
        slot_fail(core, slot, INQUIRY_ANSWERED, roles[slot->asked.kind].busy);
    else if (answer.verdict == VERDICT_NOT_TAKEN)
        slot_not_taken(core, slot, answer.code);
    else if (is_running && twin_defer(core, index, gate, header, body) == DRO_OK)
        return;
    else if (is_running || core_refusal(core) != NULL)
        slot_fail(core, slot, INQUIRY_ANSWERED, "the twin is busy");
    else
        slot_answered(core, slot, &answer, body + sizeof answer, header->length - sizeof *header - sizeof answer);
}

bool inquiry_is_about(const core *core, uint32_t reference)
{
    const inquiry_table *table = core->inquiries;
    for (uint32_t i = 0; table != NULL && table->count > 0 && i < table->used; i++) {
        const inquiry *asked = &table->list[i].asked;
        dro_field room;
        bool is_one = table->list[i].id != 0 && t8_find(asked->fields, asked->length, API_FIELD_REFERENCE, &room) != NULL &&
                      room.length == sizeof reference && memcmp(room.bytes, &reference, sizeof reference) == 0;
        if (is_one)
            return true;
    }
    return false;
}

void inquiries_due(core *core)
{
    inquiry_table *table = core->inquiries;
    for (uint32_t i = 0; table != NULL && table->count > 0 && i < table->used; i++) {
        inquiry_slot *slot = &table->list[i];
        bool is_over = slot->until_ns <= core->now_ns || (core->is_draining && slot->asked.late != NULL);
        if (slot->id != 0 && is_over)
            slot_fail(core, slot, INQUIRY_NO_ANSWER, roles[slot->asked.kind].silent);
    }
}

/* Who asked is gone; the network's word is taken all the same. What the gate itself was to ask ends with its time. */
void inquiries_gate_lost(core *core, uint32_t gate)
{
    inquiry_table *table = core->inquiries;
    for (uint32_t i = 0; table != NULL && i < table->used; i++) {
        inquiry *asked = &table->list[i].asked;
        if (table->list[i].id == 0 || asked->late == NULL || asked->late->gate != gate)
            continue;
        deferred_free(asked->late);
        asked->late = NULL;
    }
}

void inquiries_free(core *core)
{
    inquiry_table *table = core->inquiries;
    for (uint32_t i = 0; table != NULL && i < table->used; i++) {
        if (table->list[i].id == 0)
            continue;
        if (table->list[i].asked.late != NULL)
            deferred_free(table->list[i].asked.late);
        slot_free(core, &table->list[i]);
    }
    free(table);
    core->inquiries = NULL;
}

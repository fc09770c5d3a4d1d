/* Too much to do. What is beyond the bounds of diameter_gate.h is refused with 3004 from little more than
 * its header, and told a moment later, many at a time (docs/decisions/005-diameter.md): a peer that sends
 * anew for each answer would else be refused the faster the less a refusal costs, and that takes the CPU
 * from who does the work. Nothing is held back once there is room. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/wipe.h"
#include "gate/diameter_gate.h"
#include "wire/diameter/read.h"

/* Refusals of one peer that it has not been told yet: whole messages. */
struct busy_parcel {
    busy_parcel *next;
    uint32_t peer_slot, peer_generation;
    int64_t due_ns;
    uint32_t length;
    uint8_t bytes[BUSY_PARCEL_BYTES];
};

/* ---- what a gate keeps ---- */

uint32_t busy_keep(const diameter_gate *gate)
{
    return gate->patience.most < gate->keep_most ? gate->patience.most : gate->keep_most;
}

/* Requests of a lower priority find less room and are refused first, those of a higher one last. */
static uint32_t keep_of(const diameter_gate *gate, uint32_t priority)
{
    uint32_t usual = busy_keep(gate), part = usual / BUSY_PRIORITY_SHARE, most = usual + part;
    if (priority == PRIORITY_USUAL)
        return usual;
    return priority > PRIORITY_USUAL ? usual - part : most < PENDING_REQUESTS_MAX ? most : PENDING_REQUESTS_MAX;
}

static uint32_t keep_most(const gate_config *config)
{
    uint32_t gates = config->gate_count == 0 ? 1 : config->gate_count;
    uint32_t most = BUSY_KEEP_A_CORE * config->core_count / gates;
    if (most < BUSY_KEEP_LEAST)
        return BUSY_KEEP_LEAST;
    return most < PENDING_REQUESTS_MAX ? most : PENDING_REQUESTS_MAX;
}

static bool is_beyond(const diameter_peer *peer, uint32_t most)
{
    uint32_t kept = pending_incoming_count(peer->gate->pending);
    return kept >= most || peer->waiting >= BUSY_SHARE * (most - kept);
}

bool busy_is(const diameter_peer *peer)
{
    const diameter_gate *gate = peer->gate;
    return is_beyond(peer, gate->hears_priority ? keep_of(gate, PRIORITY_LAST) : busy_keep(gate));
}

void busy_heard_priority(diameter_gate *gate, uint32_t priority)
{
    if (priority > PRIORITY_USUAL) /* from now on it is looked for in time */
        gate->hears_priority = true;
}

bool busy_has_space(const diameter_peer *peer, ring_writer *ring, uint32_t length)
{
    uint32_t free = peer->waiting < BUSY_FEW ? 0 : ring->capacity / BUSY_RING_SHARE;
    return ring_has_room(ring, length + free);
}

/* ---- telling ---- */

static void send_parcel(diameter_peer *peer, const busy_parcel *parcel)
{
    dro_builder out;
    bool is_there = peer->state == PEER_OPEN || peer->state == PEER_CLOSING;
    if (parcel->length == 0 || !is_there || !peer_room(peer, parcel->length, &out))
        return;
    dro_builder_bytes(&out, parcel->bytes, parcel->length);
    peer_send_untraced(peer, &out);
}

static void drop_first(diameter_gate *gate)
{
    busy_parcel *parcel = gate->first_parcel;
    gate->first_parcel = parcel->next;
    if (gate->first_parcel == NULL)
        gate->last_parcel = NULL;
    gate->parcel_count--;
    dro_wipe(parcel->bytes, parcel->length);
    free(parcel);
}

static void tell_until(diameter_gate *gate, int64_t due_ns)
{
    while (gate->first_parcel != NULL && gate->first_parcel->due_ns <= due_ns) {
        busy_parcel *parcel = gate->first_parcel;
        diameter_peer *peer = gate_peer_find(gate, parcel->peer_slot, parcel->peer_generation);
        if (peer != NULL && peer->refusals == parcel)
            peer->refusals = NULL;
        if (peer != NULL)
            send_parcel(peer, parcel);
        drop_first(gate);
    }
}

/* Between two rounds of a core there may be little for a moment; for several looks there is only when
 * those who would send wait for their answers. */
static bool has_room_again(diameter_gate *gate)
{
    bool is_calm = pending_incoming_count(gate->pending) < busy_keep(gate) / BUSY_CALM_SHARE;
    gate->calm_looks = is_calm ? gate->calm_looks + 1 : 0;
    return gate->calm_looks >= BUSY_CALM_LOOKS;
}

static bool look_later(diameter_gate *gate)
{
    return loop_timer_set(gate->home, &gate->busy_look, loop_now_ns(gate->home) + BUSY_LOOK_MS * NS_PER_MS) == DRO_OK;
}

static void on_look(loop_timer *timer)
{
    diameter_gate *gate = (diameter_gate *)((char *)timer - offsetof(diameter_gate, busy_look));
    tell_until(gate, has_room_again(gate) ? INT64_MAX : loop_now_ns(gate->home));
    if (gate->first_parcel != NULL && !look_later(gate))
        tell_until(gate, INT64_MAX);
}

void busy_tell_peer(diameter_peer *peer)
{
    for (busy_parcel *parcel = peer->gate->first_parcel; parcel != NULL; parcel = parcel->next) {
        if (parcel->peer_slot != peer->slot || parcel->peer_generation != peer->generation)
            continue;
        send_parcel(peer, parcel);
        dro_wipe(parcel->bytes, parcel->length);
        parcel->length = 0;
    }
}

/* ---- refusing ---- */

static busy_parcel *new_parcel(diameter_peer *peer)
{
    diameter_gate *gate = peer->gate;
    bool is_first = gate->first_parcel == NULL;
    busy_parcel *parcel = gate->parcel_count < BUSY_PARCELS_MAX ? malloc(sizeof *parcel) : NULL;
    if (parcel != NULL && is_first && !look_later(gate)) {
        free(parcel);
        parcel = NULL;
    }
    if (parcel == NULL)
        return NULL;
    parcel->next = NULL;
    parcel->peer_slot = peer->slot;
    parcel->peer_generation = peer->generation;
    parcel->due_ns = loop_now_ns(gate->home) + BUSY_TELL_MS * NS_PER_MS;
    parcel->length = 0;
    if (is_first)
        gate->first_parcel = parcel;
    else
        gate->last_parcel->next = parcel;
    gate->last_parcel = parcel;
    gate->parcel_count++;
    peer->refusals = parcel;
    return parcel;
}

/* One with room for so much; NULL: none, so the peer is told at once. */
static busy_parcel *parcel_for(diameter_peer *peer, size_t most)
{
    busy_parcel *parcel = peer->refusals;
    if (most > BUSY_PARCEL_BYTES)
        return NULL;
    return parcel != NULL && BUSY_PARCEL_BYTES - parcel->length >= most ? parcel : new_parcel(peer);
}

void busy_answer(diameter_peer *peer, const diameter_command *command)
{
    diameter_gate *gate = peer->gate;
    diameter_fault fault = { .result = DIAMETER_TOO_BUSY };
    busy_parcel *parcel = parcel_for(peer, peer_error_bytes(&gate->message, &fault));
    if (parcel == NULL) {
        peer_answer_error(peer, command, &fault);
        return;
    }
    dro_builder out = dro_builder_over(parcel->bytes + parcel->length, BUSY_PARCEL_BYTES - parcel->length);
    peer_put_error(peer, command, &fault, &out);
    parcel->length += (uint32_t)dro_builder_length(&out);
}

bool busy_refuse(diameter_peer *peer, const uint8_t *bytes, uint32_t length)
{
    diameter_gate *gate = peer->gate;
    if (!diameter_skim(&gate->message, bytes, length))
        return false;
    const diameter_header *header = &gate->message.header;
    const diameter_command *command = diameter_command_find(header->code, header->application, true);
    bool is_refused = (header->flags & DIAMETER_FLAG_REQUEST) != 0 && command != NULL && command->application != DIAMETER_APPLICATION_BASE;
    if (!is_refused)
        return false;
    uint32_t priority = overload_priority(&gate->message);
    if (!is_beyond(peer, keep_of(gate, priority)))
        return false;
    busy_heard_priority(gate, priority);
    peer->requests++;
    gate_count_request(gate, peer, DIAMETER_IN, command);
    diameter_count_drop(&gate->counts, DIAMETER_DROP_BUSY);
    if (overload_is_heard(&gate->message))
        overload_count(&gate->overload, true);
    busy_answer(peer, command);
    return true;
}

/* ---- life ---- */

void busy_init(diameter_gate *gate)
{
    gate->busy_look.on_due = on_look;
    gate->keep_most = keep_most(gate->config);
    patience_init(&gate->patience, loop_now_ns(gate->home));
}

void busy_fini(diameter_gate *gate)
{
    loop_timer_clear(gate->home, &gate->busy_look);
    while (gate->first_parcel != NULL)
        drop_first(gate);
}

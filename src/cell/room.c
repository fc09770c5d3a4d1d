/* The cell as a room: turns from one ring, results into the other. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/wipe.h"
#include "cell/cell_private.h"
#ifdef DROMIO_HOSTILE
#include "cell/hostile.h"
#endif
#include "twin/event.h"

enum {
    ROUND_TURNS = 64,          /* before results are published */
    FULL_WAIT_NANOS = 50000,   /* the core rings nobody when it has taken results */
    EXIT_BROKEN_RING = 3,
    STACK_TRACES = ENGINE_STACK + 32 * 1024, /* how deep a turn may have left words on the stack */
};

/* Guest code ran on this stack and left copies of what it worked with below. */
__attribute__((noinline)) static void wipe_stack(void)
{
    uint8_t below[STACK_TRACES];
    dro_wipe(below, sizeof below);
}

static size_t padded(size_t length)
{
    return (length + 7) & ~(size_t)7;
}

static bool request_is_whole(const turn_request *request, size_t body)
{
    return padded(request->context_length) + request->event_length <= body - sizeof *request;
}

static bool is_turn(const ring_header *header)
{
    return header->type == MESSAGE_TURN || header->type == MESSAGE_TURN_NEXT;
}

static void carry_wipe(cell *cell)
{
    dro_wipe(cell->carried, cell->carried_length);
    cell->carried_length = 0;
    cell->carried_twin = 0;
}

/* What a turn left, when the next message is a turn of the same twin that goes on with it. */
static void carry(cell *cell, const ring_header *header, const turn_request *request, const turn_result *result)
{
    ring_header next;
    uint32_t position = header->length;
    carry_wipe(cell);
    if (result->status != TURN_OK || result->context_length > CONTEXT_BYTES_MAX ||
        ring_peek(cell->options.turns, &position, &next) == NULL || next.type != MESSAGE_TURN_NEXT)
        return;
    memcpy(cell->carried, result + 1, result->context_length);
    cell->carried_length = result->context_length;
    cell->carried_twin = request->twin;
    cell->carried_image = request->image;
}

/* The turn of a message; bytes of its result. */
static size_t run(cell *cell, const ring_header *header, const turn_request *request, turn_result *result, size_t capacity)
{
    if (header->type == MESSAGE_TURN)
        return cell_turn(cell, request, result, capacity);
    *result = (turn_result){ .twin = request->twin, .status = TURN_HOST };
    if (request->context_length != 0 || cell->carried_twin != request->twin || cell->carried_image != request->image)
        return sizeof *result; /* the turn before left nothing */
    turn_request with = *request;
    with.context_length = cell->carried_length;
    return cell_turn_of(cell, &with, cell->carried, (const uint8_t *)(request + 1), result, capacity);
}

/* One message. False: no room for its result now. */
static bool take_turn(cell *cell, const ring_header *header, const uint8_t *body)
{
    size_t length = header->length - sizeof *header;
    const turn_request *request = (const turn_request *)body;
    uint32_t most = ring_body_max(cell->options.results);
    size_t capacity = length >= sizeof *request ? cell_result_max(cell, request->image) : sizeof(turn_result);
    if (capacity > most)
        capacity = most;
    void *room = ring_reserve(cell->options.results, (uint32_t)capacity);
    if (room == NULL)
        return false;
    turn_result *result = room;
    if (length < sizeof *request || !request_is_whole(request, length)) {
        *result = (turn_result){ .status = TURN_HOST };
        ring_commit(cell->options.results, MESSAGE_TURN_RESULT, 0, header->id, sizeof *result);
        return true;
    }
    if (cell->options.running != NULL)
        atomic_store_explicit(cell->options.running, header->id, memory_order_relaxed);
    size_t used = run(cell, header, request, result, capacity);
    if (cell->options.running != NULL)
        atomic_store_explicit(cell->options.running, 0, memory_order_relaxed);
    carry(cell, header, request, result);
    uint64_t id = header->id;
    uint32_t length_used = (uint32_t)used;
#ifdef DROMIO_HOSTILE
    hostile_forge(cell, result, &id, &length_used);
#endif
    ring_commit(cell->options.results, MESSAGE_TURN_RESULT, RING_WIPE, id, length_used);
#ifdef DROMIO_HOSTILE
    hostile_commit(cell);
#endif
    return true;
}

int cell_round(cell *cell, int max)
{
    ring_header header;
    dro_err err = DRO_OK;
    int taken = 0;
    assert(cell->options.turns != NULL);
    cell->is_blocked = false;
    if (cell->options.gives_way && max > 1)
        max = 1;
    while (taken < max && !cell->is_blocked) {
        const uint8_t *body = ring_next(cell->options.turns, &header, &err);
        if (body == NULL)
            break;
        if (is_turn(&header) && !take_turn(cell, &header, body)) {
            cell->is_blocked = true;
            break;
        }
        ring_done(cell->options.turns, &header);
        taken++;
    }
    if (taken > 0) {
        wipe_stack();
        ring_release(cell->options.turns);
        ring_publish(cell->options.results);
#ifdef DROMIO_HOSTILE
        hostile_published(cell);
#endif
    }
    return err == DRO_OK ? taken : -1;
}

_Noreturn void cell_run(cell *cell)
{
    for (;;) {
        int taken = cell_round(cell, ROUND_TURNS);
        if (taken < 0)
            _exit(EXIT_BROKEN_RING);
        if (cell->is_blocked) {
            struct timespec wait = { 0, FULL_WAIT_NANOS };
            clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, NULL);
        }
        if (taken > 0 || cell->is_blocked || ring_prepare_sleep(cell->options.turns))
            continue;
        uint64_t rings;
        ticker_rest(&cell->ticker);
        ssize_t ignored = read(cell->options.doorbell, &rings, sizeof rings);
        (void)ignored;
        ticker_go_on(&cell->ticker);
        ring_awake(cell->options.turns);
    }
}

dro_err cell_warm(cell *cell)
{
    struct { turn_request request; uint8_t nothing[8]; } probe;
    size_t capacity = 0;
    for (uint32_t i = 0; i < cell->options.image_count; i++)
        if (cell_result_max(cell, i) > capacity)
            capacity = cell_result_max(cell, i);
    uint8_t *room = aligned_alloc(8, padded(capacity));
    if (room == NULL && capacity > 0)
        return DRO_NOMEM;
    for (uint32_t i = 0; i < cell->options.image_count; i++) {
        if (cell->images[i].code == NULL)
            continue;
        memset(&probe, 0, sizeof probe);
        probe.request.image = i;
        probe.request.event_kind = EVENT_REACHABILITY;
        probe.request.deadline_micros = 1000;
        cell_turn(cell, &probe.request, room, padded(capacity)); /* what it answers is of no interest */
    }
    free(room);
    return DRO_OK;
}

/* A core gone wild: turns with any numbers, contexts and events. The cell answers each message of a turn with one result
 * whose lengths are true, or says that the ring is broken; and a good turn after it works as ever. Input: messages, each
 * flags u8, image u8, kind u8, context length u16, event length u16, then both. Flags: 1 the next turn of the same twin,
 * 2 lengths in the message are the input's own and lie, 4 the good context of the turn before, 8 another type. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_world.h"
#include "twin/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RING = 512 * 1024, MESSAGES_MAX = 32, DEADLINE_MICROS = 1000, BODY_MAX = 100 * 1024, IS_NEXT = 1, LIES = 2, GOES_ON = 4, IS_OTHER = 8 };

static struct {
    void *there, *back;
    ring_writer turns;
    ring_reader results, in;
    ring_writer out;
    cell *cell;
    uint8_t context[CONTEXT_BYTES_MAX];
    uint32_t context_length;
} bed;

static void rings_begin(void)
{
    ring_format(bed.there, RING);
    ring_format(bed.back, RING);
    ring_writer_open(&bed.turns, bed.there, RING, -1);
    ring_reader_open(&bed.in, bed.there, RING);
    ring_writer_open(&bed.out, bed.back, RING, -1);
    ring_reader_open(&bed.results, bed.back, RING);
}

static void begin(void)
{
    static world_request request;
    world *world = fuzz_world(true, NULL);
    (void)request;
    bed.there = aligned_alloc(64, (ring_bytes(RING) + 63) & ~(size_t)63);
    bed.back = aligned_alloc(64, (ring_bytes(RING) + 63) & ~(size_t)63);
    if (bed.there == NULL || bed.back == NULL)
        abort();
    rings_begin();
    cell_options options = { .images = world->images, .image_count = world->image_count, .turns = &bed.in, .results = &bed.out, .doorbell = -1, .manual_ticks = false };
    if (cell_new(&bed.cell, &options) != DRO_OK)
        abort();
}

static void end(void)
{
    cell_free(bed.cell);
    free(bed.there);
    free(bed.back);
}

/* Results that came; the last one's status. */
static uint32_t hear(uint32_t *status)
{
    ring_header header;
    dro_err err;
    const uint8_t *body;
    uint32_t count = 0;
    while ((body = ring_next(&bed.results, &header, &err)) != NULL) {
        turn_result result;
        size_t length = header.length - sizeof header;
        assert(header.type == MESSAGE_TURN_RESULT && length >= sizeof result);
        memcpy(&result, body, sizeof result);
        assert(result.status <= TURN_NO_IMAGE);
        size_t context = ((size_t)result.context_length + 7) & ~(size_t)7;
        assert(result.status != TURN_OK || (result.context_length <= CONTEXT_BYTES_MAX && sizeof result + context + result.effects_length <= length));
        if (result.status == TURN_OK) {
            memcpy(bed.context, body + sizeof result, result.context_length);
            bed.context_length = result.context_length;
        }
        *status = result.status;
        count++;
        ring_done(&bed.results, &header);
    }
    assert(err == DRO_OK);
    ring_release(&bed.results);
    return count;
}

static bool send(uint16_t type, const turn_request *request, const uint8_t *context, size_t context_length, const uint8_t *event, size_t event_length)
{
    static uint8_t body[BODY_MAX];
    size_t at = sizeof *request, padded = (context_length + 7) & ~(size_t)7;
    if (at + padded + event_length > sizeof body)
        return false;
    memset(body, 0, at + padded);
    memcpy(body, request, sizeof *request);
    if (context_length > 0)
        memcpy(body + at, context, context_length);
    if (event_length > 0)
        memcpy(body + at + padded, event, event_length);
    if (!ring_send(&bed.turns, type, 0, 9, body, (uint32_t)(at + padded + event_length)))
        return false;
    ring_publish(&bed.turns);
    return true;
}

static void good_turn(void)
{
    uint32_t status = TURN_HOST;
    turn_request request = { .twin = 1, .image = 0, .event_kind = EVENT_UPLINK, .deadline_micros = 100 * DEADLINE_MICROS, .event_length = 5 };
    bool is_sent = send(MESSAGE_TURN, &request, NULL, 0, (const uint8_t *)"\1\0\0\0\0", 5);
    assert(is_sent);
    (void)is_sent;
    int taken = cell_round(bed.cell, 8);
    assert(taken == 1 && hear(&status) == 1);
    assert(status == TURN_OK || status == TURN_TRAP || status == TURN_DEADLINE);
    (void)taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (bed.cell == NULL) {
        begin();
        if (atexit(end) != 0)
            abort();
    }
    dro_cursor in = dro_cursor_over(data, size);
    bed.context_length = 0;
    for (int i = 0; i < MESSAGES_MAX && dro_cursor_left(&in) >= 7; i++) {
        uint8_t flags = (uint8_t)dro_cursor_le(&in, 1);
        turn_request request = { .twin = 1, .seed = i, .deadline_micros = DEADLINE_MICROS };
        request.image = (uint32_t)dro_cursor_le(&in, 1);
        request.event_kind = (uint32_t)dro_cursor_le(&in, 1);
        request.context_length = (uint32_t)dro_cursor_le(&in, 2);
        request.event_length = (uint32_t)dro_cursor_le(&in, 2);
        size_t context = request.context_length < dro_cursor_left(&in) ? request.context_length : dro_cursor_left(&in);
        const uint8_t *context_bytes = dro_cursor_bytes(&in, context);
        size_t event = request.event_length < dro_cursor_left(&in) ? request.event_length : dro_cursor_left(&in);
        const uint8_t *event_bytes = dro_cursor_bytes(&in, event);
        if ((flags & GOES_ON) != 0 && context == 0) {
            context_bytes = bed.context;
            context = bed.context_length;
        }
        if ((flags & LIES) == 0) {
            request.context_length = (uint32_t)context;
            request.event_length = (uint32_t)event;
        } else if ((flags & 64) != 0) {
            request.context_length = UINT32_MAX - request.context_length;
        }
        uint16_t type = flags & IS_OTHER ? MESSAGE_TURN_RESULT : flags & IS_NEXT ? MESSAGE_TURN_NEXT : MESSAGE_TURN;
        uint32_t status = TURN_HOST;
        if (!send(type, &request, context_bytes, context, event_bytes, event))
            continue;
        int taken = cell_round(bed.cell, 8);
        assert(taken == 1 && hear(&status) == (type == MESSAGE_TURN_RESULT ? 0u : 1u));
        (void)taken;
    }
    good_turn();
    return 0;
}

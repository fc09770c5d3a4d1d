/* A hostile cell: whatever it answers, the core keeps a sound result, buries a bad one or
 * gives the cell up. Input: for each turn flags u8, status u8, outcome u8, context length
 * u16, effects length u16, bytes of effects u16, then these bytes. */
#include <stdlib.h>

#include "fuzz_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WRONG_ID = 1, WRONG_TWIN = 2, WRONG_TYPE = 4, TWICE = 8 };

static void answer(world_room *room, const ring_header *header, const turn_request *asked, dro_cursor *in)
{
    static uint8_t message[sizeof(turn_result) + 32 * 1024];
    uint8_t flags = (uint8_t)dro_cursor_le(in, 1);
    turn_result result = { .twin = asked->twin + ((flags & WRONG_TWIN) != 0) };
    result.status = (uint32_t)dro_cursor_le(in, 1);
    result.outcome = (uint32_t)dro_cursor_le(in, 1);
    result.context_length = (uint32_t)dro_cursor_le(in, 2);
    result.effects_length = (uint32_t)dro_cursor_le(in, 2);
    size_t length = dro_cursor_le(in, 2);
    if (length > dro_cursor_left(in))
        length = dro_cursor_left(in);
    const uint8_t *bytes = dro_cursor_bytes(in, length);
    dro_builder out = dro_builder_over(message, sizeof message);
    dro_builder_bytes(&out, &result, sizeof result);
    uint32_t context = (result.context_length + 7u) & ~7u;
    if (context <= 8192 && result.status == TURN_OK) { /* room for a context, so that effects come behind it */
        uint8_t *at = dro_builder_room(&out, context);
        memset(at, 'c', context);
    }
    if (bytes != NULL)
        dro_builder_bytes(&out, bytes, length);
    uint16_t type = flags & WRONG_TYPE ? MESSAGE_TURN : MESSAGE_TURN_RESULT;
    for (int i = 0; i <= (flags & TWICE ? 1 : 0); i++)
        if (!ring_send(&room->results, type, 0, header->id ^ (flags & WRONG_ID), message, (uint32_t)dro_builder_length(&out)))
            return;
    ring_publish(&room->results);
}

static void answer_all(world *world, dro_cursor *in)
{
    ring_header header;
    dro_err err;
    const uint8_t *body;
    world_room *room = world->room;
    while (dro_cursor_left(in) > 0 && (body = ring_next(&room->turns, &header, &err)) != NULL) {
        turn_request asked;
        memcpy(&asked, body, sizeof asked);
        answer(room, &header, &asked, in);
        ring_done(&room->turns, &header);
    }
    ring_release(&room->turns);
}

static void ask_turns(world *world)
{
    static world_request request;
    static uint32_t end_to_end;
    for (uint32_t i = 0; i < FUZZ_TWINS; i++) {
        world_frame frame = { .end_to_end = ++end_to_end, .data = "frame", .length = 5 };
        world_uplink(world, 0, 100 + i, fuzz_imsis[i], &frame);
    }
    request_begin(&request, API_PROPERTY_PUT);
    request_text(&request, API_FIELD_ID, fuzz_ids[0]);
    request_text(&request, API_FIELD_NAME, "period");
    request_value(&request, &(value){ .kind = VALUE_INTEGER, .integer = 600 });
    request_send(world, 0, 200, &request);
    request_begin(&request, API_TWIN_PUT);
    request_text(&request, API_FIELD_ID, "new@acme.example");
    request_text(&request, API_FIELD_MODEL, "acme/thermo");
    request_send(world, 0, 201, &request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { ROUNDS = 12 };
    world *world = fuzz_world(false, NULL);
    dro_cursor in = dro_cursor_over(data, size);
    ask_turns(world);
    for (int i = 0; i < ROUNDS; i++) {
        core_round(world->core);
        answer_all(world, &in);
        world_round(world);
        world_check(world);
    }
    static uint8_t bad[8] = { 0, TURN_TRAP };
    for (int i = 0; i < 8 && world->core->turn_count > 0; i++) { /* let the rest go */
        for (int n = 0; n < 64; n++) {
            dro_cursor end = dro_cursor_over(bad, sizeof bad);
            answer_all(world, &end);
        }
        world_settle(world);
    }
    world_check(world);
    return 0;
}

/* What a gate may send, good or not: the core takes it, answers or ignores it, and stays
 * whole. Input: messages, each type u8, length u16, body; in an API request the first byte
 * is the operation and the rest its fields. */
#include <stdlib.h>

#include "fuzz_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_message(void *context, uint32_t gate, const ring_header *header, const uint8_t *body, uint32_t length)
{
    (void)context;
    (void)gate;
    if (header->type != MESSAGE_API_REPLY)
        return;
    api_reply reply;
    memcpy(&reply, body, sizeof reply);
    WORLD_ASSERT(sizeof reply + reply.location_length + reply.body_length <= length);
    WORLD_ASSERT(reply.status >= 200 && reply.status < 600);
}

static void send(world *world, uint8_t type, const uint8_t *bytes, size_t length, uint64_t id)
{
    static world_request request;
    if (type != MESSAGE_API && type != MESSAGE_SUBSCRIBE) {
        world_send(world, 0, type, id, bytes, length);
        return;
    }
    request_begin(&request, type == MESSAGE_API && length > 0 ? bytes[0] : 0);
    if (length > 0)
        dro_builder_bytes(&request.out, bytes + 1, length - 1);
    world_send(world, 0, type, id, request.bytes, dro_builder_length(&request.out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { MESSAGES_MAX = 64, BODY_MAX = 16 * 1024 };
    world *world = fuzz_world(true, on_message);
    dro_cursor in = dro_cursor_over(data, size);
    for (uint64_t id = 1; id <= MESSAGES_MAX && dro_cursor_left(&in) > 3; id++) {
        uint8_t type = (uint8_t)dro_cursor_le(&in, 1);
        size_t length = dro_cursor_le(&in, 2);
        if (length > dro_cursor_left(&in))
            length = dro_cursor_left(&in);
        const uint8_t *bytes = dro_cursor_bytes(&in, length);
        uint8_t *exact = malloc(length + 1);
        memcpy(exact, bytes, length);
        if (type != 0 && length <= BODY_MAX)
            send(world, type, exact, length, id);
        free(exact);
        if (id % 4 == 0)
            world_round(world);
    }
    world_settle(world);
    world_check(world);
    return 0;
}

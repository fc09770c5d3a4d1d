/* A twin whose device says what native code it runs in its cell: action u8, then what that takes (src/cell/hostile.c). What it
 * came to is the property `result`. */
#include "hostile.h"

enum { KEY_BYTES_MAX = 64 };

static struct state {
    uint32_t length, turns;
    uint8_t key[KEY_BYTES_MAX];
} state __attribute__((aligned(64)));

static int32_t on_secrets(uint32_t length)
{
    hostile_secrets secrets;
    if (!hostile_read_secrets(&secrets, length) || secrets.key.length > KEY_BYTES_MAX)
        return DROMIO_NOT_HANDLED;
    if (secrets.key.change != DROMIO_ABSENT) {
        state.length = secrets.key.length;
        memcpy(state.key, secrets.key.bytes, secrets.key.length);
    }
    return DROMIO_HANDLED;
}

static int32_t on_uplink(uint32_t length)
{
    int32_t result = length > 0 ? dromio_native(dromio_payload[0], dromio_payload + 1, length - 1) : -1;
    hostile_set_result(result, DROMIO_GOOD);
    hostile_set_said("done", 4, DROMIO_GOOD);
    hostile_set_turns(++state.turns, DROMIO_GOOD);
    return DROMIO_HANDLED;
}

int32_t dromio_event(uint32_t kind, uint32_t id, uint32_t length)
{
    (void)id;
    switch (kind) {
    case DROMIO_EVENT_CREATED:
    case DROMIO_EVENT_CONFIGURED: return on_secrets(length);
    case DROMIO_EVENT_UPLINK: return on_uplink(length);
    default: return DROMIO_NOT_HANDLED;
    }
}

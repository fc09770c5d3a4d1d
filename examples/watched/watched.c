/* A tracker whose twin listens to the mobile network: what an application has watched over T8 (loss of connectivity,
 * location, roaming, reachability) comes here as the event `network`. Its frames mean nothing to the twin and pass. */
#include "watched.h"

static struct state {
    uint32_t lost;
    uint32_t network_length;
    uint8_t network[8];
} state __attribute__((aligned(64))); /* contexts are kept in pieces of 64 bytes */

static void note_network(const dromio_value *network)
{
    bool is_same = network->length == state.network_length && memcmp(network->bytes, state.network, network->length) == 0;
    if (network->kind != DROMIO_VALUE_STRING || network->length > sizeof state.network || is_same)
        return;
    if (state.network_length > 0)
        watched_notify_moved((const char *)network->bytes, network->length);
    memcpy(state.network, network->bytes, network->length);
    state.network_length = network->length;
    watched_set_network((const char *)network->bytes, network->length, DROMIO_GOOD);
}

static int32_t on_network(uint32_t id, uint32_t length)
{
    dromio_network said;
    if (!dromio_read_network(&said, length) || said.said != DROMIO_SAID_EVENT)
        return DROMIO_NOT_HANDLED;
    if (id == DROMIO_NETWORK_LOST)
        watched_set_lost(++state.lost, DROMIO_GOOD);
    watched_set_attached(id != DROMIO_NETWORK_LOST, DROMIO_GOOD);
    note_network(&said.network);
    if (said.cell.kind == DROMIO_VALUE_STRING)
        watched_set_cell((const char *)said.cell.bytes, said.cell.length, DROMIO_GOOD);
    return DROMIO_HANDLED;
}

int32_t dromio_event(uint32_t kind, uint32_t id, uint32_t length)
{
    switch (kind) {
    case DROMIO_EVENT_CREATED: return DROMIO_HANDLED;
    case DROMIO_EVENT_NETWORK: return on_network(id, length);
    default: return DROMIO_NOT_HANDLED;
    }
}

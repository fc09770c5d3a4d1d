/* What the network tells: uplinks, connections, that a device can be reached; and which of it came
 * twice. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/peers.h"
#include "core/tell.h"
#include "core/twin_table.h"

void network_uplink(core *core, uint32_t gate, const ring_header *header, const uint8_t *body);
void network_connection(core *core, uint32_t gate, const ring_header *header, const uint8_t *body);
void network_answer_send(core *core, caller caller, uint32_t result, uint32_t experimental, uint64_t round);
void network_reachable(core *core, uint32_t twin);       /* a turn for the event, once no other runs */
peers_node network_node(const core *core, const twin *twin); /* where its device is connected */
void network_connections_gate_lost(core *core, uint32_t gate);
typedef struct network_release { /* a connection that this host ends, for its MME */
    uint32_t length, gate;       /* length 0: none */
    uint8_t message[sizeof(downlink_request) + 3 * DIAMETER_IDENTITY_MAX + sizeof(rate_status)];
} network_release;
/* Inside a record: takes the connection away, if there is one; `gone` is to be sent after it. */
void network_release_begin(core *core, uint32_t twin, network_release *gone);
void network_release_send(core *core, network_release *gone, uint64_t round); /* and wipes it */
void contact_heard(core *core, uint32_t twin);           /* an uplink; puts FIELD_CONTACT */
void contact_open(core *core, uint32_t twin, int64_t until_ms); /* it can be reached now, so long at most; puts FIELD_CONTACT */
void contact_expect(core *core, uint32_t twin, contact_why why, int64_t next_ms); /* puts FIELD_CONTACT */

bool duplicate_find(const core *core, uint16_t host, uint32_t end_to_end, uint32_t *result);
/* A result and the owner (partition + 1 of its twin, 0: not known) it has for another number of cores. */
enum { DUPLICATE_RESULT_BITS = 19 };
static inline uint32_t duplicate_word(uint32_t result, uint32_t owner)
{
    return (result & ((1u << DUPLICATE_RESULT_BITS) - 1)) | owner << DUPLICATE_RESULT_BITS;
}
static inline uint32_t duplicate_owner(uint32_t word) { return word >> DUPLICATE_RESULT_BITS; }
DRO_CHECKED dro_err duplicate_add(core *core, uint16_t host, uint32_t end_to_end, uint32_t word);

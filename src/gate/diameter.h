/* Diameter side of the gate: peers (RFC 6733, RFC 3539) and T6a (TS 29.128).
 * Puts checked requests into the core's ring, writes the core's answers and
 * MT-Data-Requests to the peers. Messages are wiped once handled: they carry IMSIs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/builder.h"
#include "gate/gate.h"
#include "gate/loop.h"
#include "ring/message.h"

typedef struct diameter_gate diameter_gate;

/* Borrows config and loop for its whole life. */
DRO_CHECKED dro_err diameter_gate_new(diameter_gate **out, const gate_config *config, loop *loop);
void diameter_gate_free(diameter_gate *gate);

/* Messages of a core, `id` from the ring header; lengths are checked here. */
void diameter_gate_on_answer(diameter_gate *gate, uint64_t id, const void *body, uint32_t length);   /* MESSAGE_NETWORK_ANSWER */
/* MESSAGE_DOWNLINK; its answer goes back to that core. */
void diameter_gate_on_downlink(diameter_gate *gate, uint32_t core, uint64_t id, const void *body, uint32_t length);
/* MESSAGE_RELEASE: a T6a connection that this host ends. */
void diameter_gate_on_release(diameter_gate *gate, const void *body, uint32_t length);
/* MESSAGE_INQUIRY; its answer goes back to that core. */
void diameter_gate_on_inquiry(diameter_gate *gate, uint32_t core, uint64_t id, const void *body, uint32_t length);
void diameter_gate_on_report_answer(diameter_gate *gate, uint64_t id, const void *body, uint32_t length); /* MESSAGE_REPORT_ANSWER */
/* MESSAGE_TRACE: what to tell of; MESSAGE_TRACED: for the core that it names. */
void diameter_gate_on_trace(diameter_gate *gate, uint64_t id, const void *body, uint32_t length);
void diameter_gate_on_traced(diameter_gate *gate, const void *body, uint32_t length);
/* Writes out what gathered in this turn of the loop (one write per peer). */
void diameter_gate_flush(diameter_gate *gate);
/* Prometheus text: connections, requests and answers per command and result, errors per reason. */
void diameter_gate_metrics(diameter_gate *gate, dro_builder *out);
/* Disconnect-Peer-Request to all; true when all are closed. Call until true or a time limit. */
bool diameter_gate_stop(diameter_gate *gate);

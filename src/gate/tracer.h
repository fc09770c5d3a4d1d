/* Tracer: tells the cores of Diameter messages that somebody traces (core/trace.h).
 *
 * A small table of what is looked for. While it is empty, a message costs one look at its count.
 * Requests of a device are known by the IMSI in them, their answers by the request's ids and
 * connection. Never waits: what finds no room in a ring is counted and told with the next. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "gate/gate.h"
#include "ring/message.h"

enum {
    TRACER_ROWS_MAX = 64,     /* traces of all cores at once; more are not looked for, and counted as lost */
    TRACER_OPEN_MAX = 64,     /* requests of one device whose answers are waited for */
};

typedef struct tracer tracer;

tracer *tracer_new(const gate_config *config);
void tracer_free(tracer *tracer); /* NULL is fine; wipes */
/* MESSAGE_TRACE and MESSAGE_TRACED of a core; lengths are checked here. */
void tracer_on_trace(tracer *tracer, uint64_t id, const void *body, uint32_t length);
void tracer_on_traced(tracer *tracer, const void *body, uint32_t length);
/* Is anything looked for? */
bool tracer_is_on(const tracer *tracer);
/* One whole message that came or goes. `peer` NULL: not known yet, the message's Origin-Host stands for it. */
void tracer_message(tracer *tracer, const char *peer, uint64_t connection, bool is_out, const uint8_t *bytes, size_t length);

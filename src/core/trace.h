/* Traces: the messages of one device's procedures, or of a Diameter peer, while somebody looks.
 *
 * An administrator switches one on for a bounded time. Gates then tell of the Diameter messages
 * that match (gate/tracer.h), the core notes the T8 ones itself; both go into the trace's ring,
 * where the oldest make room and are counted as lost. Nothing of it is durable. While no trace
 * runs (core->trace_count is 0), it costs that look.
 *
 * A trace is its core's: of a twin, that of the twin; of a peer, core 0. Its number has the core
 * in the lowest four bits. No identity of the network is kept in it: devices are named by their
 * External Identifiers. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/core.h"
#include "core/number.h"
#include "core/tell.h"

typedef struct call call;
typedef struct notice notice;

enum {
    TRACES_MAX = 16,               /* of one core; ended ones too, while nobody needs their place */
    TRACE_MESSAGES_MAX = 512,      /* kept of each */
    TRACE_CALLS_MAX = 64,          /* T8 requests whose answers are waited for */
    TRACE_USUAL_S = 600,
    TRACE_MAX_S = 3600,
    TRACE_PAGE = 200,              /* messages in one answer */
};

typedef struct trace_table trace_table;

void trace_table_free(trace_table *table); /* NULL is fine */
/* Ends those whose time is over. */
void traces_expire(core *core);
int64_t traces_due_ms(const core *core);   /* when the next one ends; INT64_MAX: none runs */
/* A gate that has just come learns what is looked for. */
void traces_gate_attached(core *core, uint32_t gate);
void traces_gate_lost(core *core, uint32_t gate);
/* MESSAGE_TRACED: a Diameter message of a trace here, or of another core's with a device of this one. */
void trace_on_message(core *core, uint32_t gate, const uint8_t *body, uint32_t length);

/* ---- T8, while core->trace_count > 0 ---- */
void trace_call(core *core, const call *call);
void trace_reply(core *core, caller caller, const reply *told, size_t length);
void trace_notice_sent(core *core, const notice *sent);
void trace_notice_answered(core *core, const notice *told, uint32_t status);

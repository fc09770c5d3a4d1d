/* Audit: what the gate says for the audit log (docs/audit.md): of each request that is told of, where it came from; and what the
 * gate itself has refused, told together so that nobody floods the log. */
#pragma once

#include "base/builder.h"
#include "gate/http.h"
#include "gate/route.h"
#include "twin/audit.h"

enum {
    AUDIT_REFUSALS_KEPT = 32,    /* kinds of refusals of one period that have an entry of their own; others share one */
    AUDIT_REFUSALS_MS = 10000,   /* the period */
    AUDIT_TEXT = 128,
};

/* API_FIELD_AUDIT of a request whose route has an act, if such are told of. */
void audit_put(const connection *connection, const exchange *exchange, const route *route, dro_builder *out);

/* What was refused since the last period, by who, whence, what and how. */
typedef struct audit_refusal {
    uint16_t act, status;
    uint64_t count;
    int64_t first_ms;
    char actor[AUDIT_TEXT], source[AUDIT_TEXT], object[AUDIT_TEXT];
} audit_refusal;

typedef struct audit_refusals {
    audit_refusal list[AUDIT_REFUSALS_KEPT + 1]; /* the last one: all others */
    uint32_t count;
    int64_t due_ns;              /* 0: nothing to tell */
} audit_refusals;

/* A request that may not be made: 401, 403. `actor` NULL: whoever it is. */
void audit_access(const connection *connection, const exchange *exchange, uint16_t status, const char *actor);
/* Borrowed texts; NULL: not known. `source` without its port, so that many tries from one place are one. */
void audit_refused(audit_refusals *here, dro_clock *clock, enum audit_act act, uint16_t status, const char *actor, const char *source, const char *object);
/* To core 0, once the period is over. */
void audit_refusals_tell(audit_refusals *here, int64_t now_ns, ring_writer *core);
void audit_address(int descriptor, bool has_port, char out[AUDIT_TEXT]);

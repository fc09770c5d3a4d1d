/* Audit: what the gate says for the audit log (docs/audit.md): of each request that is told of, where it came from; and what the
 * gate itself has refused, told together so that nobody floods the log. */
#pragma once

#include "base/builder.h"
#include "gate/http.h"
#include "gate/refusals.h"
#include "gate/route.h"
#include "twin/audit.h"

enum { AUDIT_TEXT = REFUSAL_TEXT };

/* API_FIELD_AUDIT of a request whose route has an act, if such are told of. */
void audit_put(const connection *connection, const exchange *exchange, const route *route, dro_builder *out);

/* What was refused since the last period. */
typedef struct audit_refusals { refusals access, certificates; } audit_refusals;

/* A request that may not be made: 401, 403. `actor` NULL: whoever it is. */
void audit_access(const connection *connection, const exchange *exchange, uint16_t status, const char *actor);
/* A handshake that failed, if for the certificate of the other side. */
void audit_certificate(const connection *connection);
/* To core 0, once the period is over. */
void audit_refusals_tell(http *http, int64_t now_ns);
void audit_address(int descriptor, bool has_port, char out[AUDIT_TEXT]);

/* Connection-Management-Requests that the core refuses: whoever runs the host finds each in the twin's timeline, a line in the
 * log and a count. One of a twin is a record that changes nothing. */
#pragma once

#include "base/builder.h"
#include "base/fields.h"
#include "core/call.h"

typedef enum connection_refusal {
    REFUSAL_NO_TWIN, REFUSAL_NO_CONFIGURATION, REFUSAL_VISITED, REFUSAL_BEARER, REFUSAL_MOVED,
    CONNECTION_REFUSALS,
} connection_refusal;

/* Answers it. `twin`: NONE where nobody here has the IMSI; in no record. */
void connection_refuse(core *core, caller caller, const connection_request *request, const uint8_t *texts, uint32_t twin, connection_refusal why);
/* Of FIELD_CONNECTION_REFUSED: members of `network` in a timeline, each with a comma in front. */
void connection_refusal_json(const dro_field *field, dro_builder *out);

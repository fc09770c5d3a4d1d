/* Bodies of T8's NIDD resources (foreign bytes) -> fields, by the table of twin/nidd.c.
 * Members nobody knows are passed over: a later release of TS 29.122 may have them. */
#pragma once

#include "gate/body.h"
#include "twin/nidd.h"

/* `uses`: one of enum nidd_use. `now_ms`: a duration ends later. False: `fault` says why, with status 400 or 413. */
bool nidd_body_read(body_arena *arena, body_text json, enum nidd_use uses, int64_t now_ms, dro_builder *out, body_fault *fault);
/* ManagePort -> RDS_MANAGED. */
bool nidd_body_read_port(body_arena *arena, body_text json, dro_builder *out, body_fault *fault);

/* What the two halves of T8's NIDD operations share: configurations are in api_nidd.c,
 * deliveries in api_nidd_delivery.c. Not for anybody else. */
#pragma once

#include "core/call.h"
#include "core/nidd.h"

/* ---- api_nidd.c ---- */

/* The configuration of the path, if it is the caller's; else NULL after a problem. */
nidd_configuration *nidd_configuration_called(core *core, const call *call, uint32_t *twin);
/* True: what waits for the device is in the log only, and the request waits until it is read. */
bool nidd_call_queued(core *core, const call *call, uint32_t twin);
/* Does the body of a downlink name the configuration's device? False after a problem. */
bool nidd_twin_is_named(core *core, const call *call, const uint8_t *fields, size_t length, const application *owner, uint32_t twin);
bool nidd_tell_apn(core *core, const call *call); /* the 403 for an APN of others; true */
void nidd_configuration_reply(core *core, caller caller, uint16_t status, uint32_t twin, const nidd_configuration *configuration);
void nidd_self_write(core *core, const nidd_configuration *configuration, uint64_t delivery, dro_builder *out); /* delivery 0: none */

uint32_t nidd_packet_max(const core *core, const nidd_configuration *configuration); /* bytes of a downlink */

/* ---- api_nidd_delivery.c ---- */

/* A configuration's deliveries as JSON, a comma between two. */
void nidd_deliveries_put(core *core, const twin *twin, const nidd_configuration *configuration, bool with_ended, dro_builder *out);
bool nidd_has_waiting(const twin *twin, const nidd_configuration *configuration);
/* Of the downlink inside a new configuration, before that is made: are its members good; then, may it be sent or wait?
 * As for a downlink of its own. False after a problem: there is no configuration either. */
bool nidd_first_is_good(core *core, const call *call, const application *owner, uint32_t twin);
bool nidd_first_is_allowed(core *core, const call *call, const application *owner, uint32_t twin);
/* Answers the call with the configuration, after the turn of the downlink that came inside, if one did. */
void nidd_first_delivery(core *core, const call *call, uint32_t twin, const nidd_configuration *configuration);

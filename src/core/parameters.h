/* Network parameters of applications (NpConfiguration of T8), and what the network says of them. */
#pragma once

#include "core/exposure.h"
#include "twin/schedule.h"

extern const exposure_class parameters_class;

/* LATENCY, RESPONSE_TIME and PACKETS among the fields of the network's word. */
schedule_facts parameters_facts(const uint8_t *fields, size_t length);
/* Does an application suggest something for the device, or for a group that it is in? */
bool parameters_are_there(const core *core, uint32_t twin);

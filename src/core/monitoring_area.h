/* How many devices are in an area, by the serving nodes' word. */
#pragma once

#include "core/exposure.h"

enum { MONITORING_NODES_MAX = 32 /* serving nodes that are asked */ };

/* Is each place of locationArea one that a serving node of this network can be asked about? */
bool monitoring_area_is_readable(const uint8_t *fields, size_t length);
/* Asks all of them; the request is taken up again with the sum as a report (API_FIELD_REPORT), or was told why not. */
void monitoring_area_ask(core *core, const exposure_call *wanted);

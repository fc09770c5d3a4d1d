/* Queueing: downlinks of an application for the twins of the load, in place of readings
 * (load_config.packets): a configuration for each twin, then so many rounds of one downlink
 * for each. No device is attached, so all of them wait. A downlink says which of its
 * twin's it is: the twin's number, how many went before it (32 bits each, little-endian). */
#pragma once

#include "load/load.h"

typedef struct queueing queueing;
DRO_CHECKED dro_err queueing_new(queueing **out, const load_config *config);
void queueing_free(queueing *queueing); /* NULL is fine */
int queueing_round(queueing *queueing); /* as load_round */

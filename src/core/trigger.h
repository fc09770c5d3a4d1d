/* Device triggers: what an application, a twin or a waiting downlink wants of who wakes devices. */
#pragma once

#include "core/core.h"

/* What became of a trigger, from who delivers it. */
void triggers_on_outcome(core *core, uint32_t gate, const ring_header *header, const uint8_t *body);

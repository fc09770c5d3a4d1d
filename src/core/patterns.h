/* CpProvisioning of T8 (TS 29.122, 5.10; TS 23.682, 5.10): communication patterns of a device or group. */
#pragma once

#include "core/exposure.h"

extern const exposure_class patterns_class;

void api_pattern_get(core *core, const call *call);
void api_pattern_put(core *core, const call *call);
void api_pattern_delete(core *core, const call *call);

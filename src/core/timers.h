/* When something of a twin is due: a heap of the earliest time of each. Wall milliseconds. */
#pragma once

#include <stdint.h>

#include "core/core.h"

DRO_CHECKED dro_err timers_update(core *core, uint32_t twin); /* its earliest due time changed */
void timers_remove(core *core, uint32_t twin);
int timers_due(core *core);
int64_t timers_next(const core *core); /* wall ms, INT64_MAX: none */

/* What the cells of each trust group cost and have to do, as /v1/status and /metrics show it. */
#pragma once

#include "base/builder.h"
#include "core/core.h"

void cells_show(core *core);  /* to the other cores, over the board */
void cells_status(const core *core, dro_builder *out);
void cells_metrics(const core *core, dro_builder *out);

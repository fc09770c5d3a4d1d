/* Charging: what is charged goes into the log (core/charge.h), and from there to the room that writes it (core/ledger.h). Here it is shown. */
#pragma once

#include "base/builder.h"
#include "core/core.h"

void charging_metrics(const core *core, dro_builder *out);

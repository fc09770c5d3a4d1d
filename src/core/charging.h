/* Charging: reads what is to be charged for back from the log, in order, once it is durable, and gives it to the
 * room that writes the charging files (ring/charging.h). So there is nothing to lose beside the log: after any
 * end, reading goes on where the files are durable.
 *
 * A segment whose charges are not in a file yet is not dropped; but no more than options.charging.backlog_bytes of
 * them are held for that. What falls out is passed over, told, and is a line of its own (CHARGE_GAP).
 * Core 0 also reads the logs of other numbers of cores, which stay until they are charged. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/builder.h"
#include "core/core.h"

DRO_CHECKED dro_err charging_init(core *core);
void charging_fini(core *core);
int charging_step(core *core);
int64_t charging_due_ns(const core *core);             /* monotonic; INT64_MAX: nothing is due */
bool charging_prepare_sleep(core *core);               /* as ring_prepare_sleep */
void charging_awake(core *core);
uint64_t charging_reached(const core *core);            /* the place in the log before which all is charged */
uint32_t charging_segment_first(const core *core);     /* segments from this one on are still needed */
uint64_t charging_gaps(const core *core);
void charging_metrics(const core *core, dro_builder *out);
bool charging_needs_old(const core *core);             /* logs of other numbers of cores */
uint64_t charging_backlog(const core *core);           /* bytes of this core's log that are not charged */

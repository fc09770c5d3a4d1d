/* A backup of this core: one at a time, read by a gate piece by piece. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/core.h"

int backup_step(core *core);
void backup_end(core *core, const char *why); /* NULL: it was wanted */
void backup_gate_lost(core *core, uint32_t gate);
/* The oldest segment that it still has to read; UINT32_MAX: any may go. */
uint32_t backup_segment_first(const core *core);
/* Until all cores have begun no name may leave this one: see core/backup.c. */
bool backup_holds_names(const core *core);
int64_t backup_due_ns(const core *core); /* when there is something to do for it; -1: no backup runs */

/* Contexts that are in the log only, and their way back into memory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/contexts.h"
#include "core/turn.h"
#include "core/twin_table.h"

bool context_may_leave(void *core, const context *context);
/* Room in memory for a twin's sealed context of `length` bytes (0: none); what was in it is gone. False: no memory. */
DRO_CHECKED bool context_room(core *core, uint32_t twin, uint32_t length);
void context_cool(core *core, uint32_t twin, log_place place, uint32_t length); /* it is there and not in memory */
void context_forget(core *core, twin *twin);
void context_placed(twin *twin, log_place place); /* the newest record that has it found its place */
const char *context_where(log_place place, char text[64]); /* where a context should be: for the log and whoever asked */
void cold_wait(core *core, turn *turn);       /* until its context was read */
/* A queue's record: queue_fetched has it later, or has heard that it cannot be read. DRO_AGAIN: not now. */
dro_err cold_fetch_queue(core *core, uint32_t twin, log_place place);
void cold_start(core *core);                  /* reads of those that wait */
int cold_take(core *core);                    /* contexts that came */
DRO_CHECKED dro_err cold_rewrite(core *core, uint32_t twin); /* reads the context, then writes a full record. DRO_AGAIN: not now */

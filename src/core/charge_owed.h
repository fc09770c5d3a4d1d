/* Charges owed: what applications change at groups is kept in the host's tables, not in the log, from which charges come. So the charge is
 * kept with the change, in the same write of the tables, and goes from there into a record of its own: with its number, by which a start
 * knows it from those that were not recorded yet. It leaves the tables once its record is durable. All of core 0. */
#pragma once

#include "base/builder.h"
#include "core/state.h"

typedef struct exposure exposure;

enum { HOST_CHARGE = 50, CHARGES_OWED_MAX = 2048 /* a group's exposures, each twice */, CHARGE_OWED_BYTES = 2048 };

/* Before groups_keep. `event`, `result`: as of charge_exposure. */
void charge_owed_put(core *core, uint8_t kind, const exposure *of, const char *event, const char *result);
void charge_owed_take_back(core *core);                   /* groups_keep failed, and the change is not there either: the newest goes */
void charges_owed_kept(core *core);                       /* the tables are durable: those in them may be recorded */
int charges_owed_step(core *core);                        /* records those; how many */
void charges_owed_settle(core *core);                     /* at a start, when all records are read */
void charges_owed_fini(core *core);

/* ---- the host's tables, and the log ---- */

void charges_owed_write(const core *core, dro_builder *out);
DRO_CHECKED dro_err charges_owed_read(core *core, const dro_field *field);
void charges_owed_replay(core *core, const dro_field *field); /* a FIELD_CHARGED */
void charges_owed_dump(core *core);                       /* with the host's tables of this core in its log */

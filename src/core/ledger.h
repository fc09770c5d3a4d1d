/* Ledger: reads what is to be told in files back from the log, in order, once it is durable, and gives it to the room that
 * writes them (ring/ledger.h): charges (core/charge.h) to one, notes of the audit log (core/audit.h) to another. So there is
 * nothing to lose beside the log: after any end, reading goes on where the files are durable.
 *
 * A segment whose entries are not in a file yet is not dropped; but no more than the kind's backlog of them are held for that.
 * What falls out is passed over, told, and is a line of its own (CHARGE_GAP, AUDIT_LOG_GAP).
 * Core 0 also reads the logs of other numbers of cores, which stay until they are told.
 *
 * Charges are in nearly every record and are found by reading on; notes are few, so the core remembers where they lie. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/core.h"
#include "ring/ledger.h"

typedef struct ledger ledger;

DRO_CHECKED dro_err ledger_init(core *core, enum ledger_kind kind);
void ledgers_fini(core *core);
int ledgers_step(core *core);
int64_t ledgers_due_ns(const core *core);              /* monotonic; INT64_MAX: nothing is due */
bool ledgers_prepare_sleep(core *core);                /* as ring_prepare_sleep */
void ledgers_awake(core *core);
uint32_t ledgers_segment_first(const core *core);      /* segments from this one on are still needed */
bool ledgers_need_old(const core *core);               /* logs of other numbers of cores */
uint64_t ledger_reached(const core *core, enum ledger_kind kind); /* the place in the log before which all is told */
uint64_t ledger_gaps(const core *core, enum ledger_kind kind);
uint64_t ledger_backlog(const core *core, enum ledger_kind kind); /* bytes of this core's log that are not told */
void ledger_placed(core *core, enum ledger_kind kind, uint64_t place); /* an entry lies there, of a kind whose entries are few */

/* What its room said last. session 0: its files cannot be written. */
const ledger_state *ledger_said(const core *core, enum ledger_kind kind);
const ledger_place *ledger_places(const core *core, enum ledger_kind kind);
const ledger_file *ledger_files(const core *core, enum ledger_kind kind);
/* Asks the room for lines; false: it cannot be asked now. It answers once, by on_ledger_lines; a room that ends does not. */
bool ledger_ask(core *core, enum ledger_kind kind, const ledger_question *question);
#define LEDGER_ALL_OF_IT UINT64_MAX                    /* place of an old log that is told to its end */

/* Audit: who did what, with what end, goes into the log as a note (FIELD_AUDIT, twin/audit.h), and from there to the room that
 * writes the audit files (core/ledger.h).
 *
 * A request that is told of brings API_FIELD_AUDIT (the gate puts it by the column `audit` of spec/routes.csv). It is pending
 * until it is answered; the note is written in the same round of the log as what it did, and the answer waits for that round:
 * so nothing is acknowledged without its entry, and nothing that is kept lacks it. What the host's tables keep, a file of their
 * own, is owed there first, in the same write as the change (as core/charge_owed.h does), and has its record after.
 *
 * Refusals are told of too, REFUSALS_A_SECOND of them; more are counted in one note. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/builder.h"
#include "base/fields.h"
#include "core/tell.h"
#include "twin/audit.h"

struct call;

enum {
    AUDIT_PENDING_MAX = 65536,   /* requests under way, of one core; more are refused */
    AUDIT_OWED_MAX = 256,        /* beyond that no more are kept until some are written */
    AUDIT_REFUSALS_A_SECOND = 50,
    AUDIT_NOTES_WAITING_MAX = 1024, /* inside a record that is still open */
    AUDIT_LINES_MAX = 1000,      /* of one page */
};

enum { HOST_AUDIT = 57 };        /* field of the host's file: number u64, note */

/* ---- one line to tell of something the host itself did, or saw ----
 *
 * Anywhere but inside host_keep; also while a record is open, whose round it then shares. `object`, `detail` NULL: none. */
void audit_note(core *core, enum audit_act act, const char *object, const char *detail);
/* The same of somebody: "peer mme.example", "application as1". status 0: nobody was answered. */
void audit_note_of(core *core, enum audit_act act, const char *actor, const char *object, uint32_t status, const char *detail);
/* As audit_note, of what guests can bring about as often as they like: counts among the refusals. */
void audit_note_often(core *core, enum audit_act act, const char *object, const char *detail);
/* Bytes as in FIELD_AUDIT. */
void audit_note_bytes(core *core, const uint8_t *note, size_t length);
/* Before host_keep, of what that keeps and no request asked for: owed with it. Else as audit_note. */
void audit_owe(core *core, enum audit_act act, const char *object, const char *detail);

/* ---- requests ---- */

/* False: too many are under way. Again for one that had to wait. */
bool audit_begin(core *core, const struct call *call);
void audit_pause(core *core);                          /* the request is out of hand: host_keep is not its doing any more */
void audit_resume(core *core, caller caller);          /* goes on with one that was answered later: its part of host_keep */
void audit_object(core *core, caller caller, const char *object); /* of what it did something to, where the request does not say it */
void audit_answered(core *core, caller caller, const reply *reply); /* every answer comes by here, once */
void audit_gate_lost(core *core, uint32_t gate);
void audit_gate_says(core *core, const uint8_t *body, size_t length); /* MESSAGE_AUDIT */

/* ---- the core's ---- */

DRO_CHECKED dro_err audit_init(core *core);
void audit_fini(core *core);
int audit_step(core *core);
int64_t audit_due_ns(const core *core);
void audit_recorded(core *core);                       /* a record has ended */
bool audit_has_room(const core *core, size_t length);  /* in this round, for a record of that length and the note of what it does */
uint64_t audit_dropped(const core *core);
void audit_metrics(const core *core, dro_builder *out);
void audit_room_said(core *core, bool is_new_session);
void audit_room_lost(core *core);
void audit_room_answers(core *core, uint64_t id, const uint8_t *body, size_t length); /* MESSAGE_LEDGER_LINES */
void api_audit_list(core *core, const struct call *call);
void api_audit_head(core *core, const struct call *call);

/* ---- the host's tables, and the log ---- */

void audit_write(core *core, dro_builder *out);        /* into the host's file; */
void audit_kept(core *core, bool is_kept);             /* which is durable, or was not written */
DRO_CHECKED dro_err audit_read(core *core, const dro_field *field);
void audit_replay(core *core, const dro_field *field); /* a FIELD_AUDITED or FIELD_AUDIT_HEAD */
void audit_settle(core *core);                         /* when all records are read */
void audit_dump(core *core);                           /* with the host's tables of this core in its log */

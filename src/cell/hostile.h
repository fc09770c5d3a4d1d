/* Hostile: a cell whose sandbox is broken, for tools/prove sandbox (meson option `hostile`, never in a shipped build).
 * Guest code has one more import, "native", which does in native code what its number says, in the process of the
 * cell and behind its filter. Whatever is tried here may not reach anybody else. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cell/cell.h"
#include "cell/imports.h"

/* What the number means: test/proof/sandbox.py reads this list and knows what each may come to. */
enum hostile_action {
    ACTION_CALL,              /* a system call; its form in hostile.c */
    ACTION_SEARCH,            /* how often a needle lies in all that can be read */
    ACTION_SHARED,            /* how many shared mappings can be written */
    ACTION_WRITABLE_CODE,     /* how many mappings can be written and executed */
    ACTION_SCRIBBLE,          /* garbage into all shared mappings that can be written */
    ACTION_BLAME_NOBODY,      /* says that no turn runs, and ends */
    ACTION_BLAME_ANOTHER,     /* says that the next turn runs, and ends */
    ACTION_SILENT,            /* never answers */
    ACTION_LATE,              /* answers after seconds */
    ACTION_RING_BELL,         /* rings the core all the time */
    ACTION_JUMP,              /* jumps into data */
    ACTION_WRITE_CODE,        /* writes over its own code */
    /* the result of this turn, before it is in the ring */
    ACTION_FORGED_TWIN, ACTION_FORGED_ID, ACTION_OLD_ID, ACTION_CONTEXT_HUGE, ACTION_EFFECTS_HUGE, ACTION_LENGTHS_WRAP, ACTION_STATUS_UNKNOWN,
    ACTION_OUTCOME_UNKNOWN, ACTION_CPU_HUGE, ACTION_CPU_NONE, ACTION_EFFECTS_GARBAGE, ACTION_EFFECTS_TOO_MANY, ACTION_FOREIGN_PROPERTY,
    ACTION_FOREIGN_TICKET, ACTION_BAD_TEXT, ACTION_CONTEXT_GARBAGE, ACTION_SHORT, ACTION_DEADLINE_LIE, ACTION_EVENTS_FLOOD,
    /* its message, before it shows */
    ACTION_LENGTH_0, ACTION_LENGTH_4, ACTION_LENGTH_ODD, ACTION_LENGTH_HUGE, ACTION_LENGTH_PAST_TAIL, ACTION_TYPE_TURN, ACTION_TYPE_PAD, ACTION_TYPE_UNKNOWN,
    ACTION_TWICE, ACTION_FLOOD,
    /* once it shows */
    ACTION_TAIL_ODD, ACTION_TAIL_BACK, ACTION_TAIL_FAR, ACTION_PADS, ACTION_PADS_ENDLESS, ACTION_HEAD_FORWARD, ACTION_HEAD_BACK, ACTION_SLEEPING,
    ACTION_CHANGE_HEADER, ACTION_CHANGE_RESULT, ACTION_CHANGE_EFFECTS, ACTION_CHANGE_CONTEXT,
};

/* Before the filter closes: what there is to attack. */
void hostile_prepare(cell *cell);
int32_t hostile_act(turn *turn, uint32_t action, const uint8_t *bytes, uint32_t length);
/* The result of the turn, before it is committed; the message, before it is published; afterwards. */
void hostile_forge(cell *cell, turn_result *result, uint64_t *id, uint32_t *length);
void hostile_commit(cell *cell);
void hostile_published(cell *cell);

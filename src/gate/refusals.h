/* Refusals: what a gate refused, for the audit log, told together so that nobody floods it. Of each kind a list: what is the same
 * in a period is one entry with a count; of those that differ REFUSALS_KEPT in a minute have one of their own, and
 * all others of a period share one, which says how many. */
#pragma once

#include <stdint.h>

#include "base/clock.h"
#include "ring/ring.h"
#include "twin/audit.h"

enum {
    REFUSALS_KEPT = 32,          /* of a list, in a minute */
    REFUSALS_MS = 10000,         /* the period */
    REFUSALS_MINUTE_MS = 60000,
    REFUSAL_TEXT = 128,
};

typedef struct refusal_words {   /* borrowed; NULL: not known */
    const char *actor, *source;  /* whence, without its port, so that many tries from one place are one */
    const char *object, *detail;
} refusal_words;

typedef struct refusal {
    uint16_t act, status;
    uint64_t count;
    int64_t first_ms;
    char actor[REFUSAL_TEXT], source[REFUSAL_TEXT], object[REFUSAL_TEXT], detail[REFUSAL_TEXT];
} refusal;

typedef struct refusals {        /* of one act; all zero: none */
    refusal list[REFUSALS_KEPT], others;
    uint32_t count, of_minute;   /* entries; those of their own since the minute began */
    int64_t due_ns, minute_ns;   /* due 0: nothing to tell */
} refusals;

void refusals_note(refusals *here, dro_clock *clock, enum audit_act act, uint16_t status, const refusal_words *words);
/* To core 0, once the period is over. What finds no room in the ring goes with the next call. */
void refusals_tell(refusals *here, int64_t now_ns, ring_writer *core);

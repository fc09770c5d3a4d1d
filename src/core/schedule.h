/* When a device sleeps: what its twin wishes (effect 10), what the network has for it, and when it can
 * be reached because of that.
 *
 * A wish is kept in the record of its turn and asked for afterwards, one at a time for a device and
 * schedule.pause apart: a newer one takes the place of one that waits. What the network makes of it, and
 * what it says on its own, are facts; the contact that is expected next and the retries of downlinks follow
 * them. The twin is told by event 12, again after a restart until a turn has kept it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/builder.h"
#include "base/fields.h"
#include "twin/schedule.h"

typedef struct core core;
typedef struct twin twin;

enum {
    SCHEDULE_LISTENS_MS = 1000,      /* after the device woke: a downlink that waited for it is tried then */
    SCHEDULE_RETRY_MS = 10 * 1000,   /* no sooner than so much after a try that failed */
};

typedef struct schedule {        /* of one twin */
    schedule_wish wish;          /* the newest */
    schedule_facts facts;
    int64_t wished_ms, facts_ms; /* when; 0: never */
    int64_t available_ms;        /* Maximum-UE-Availability-Time; 0: not said */
    uint32_t reference;          /* of what the network was asked for; 0: nothing of it is there */
    uint8_t state;               /* schedule_state of the wish */
    bool is_told;                /* the twin knows */
    /* not kept */
    bool is_telling;             /* a turn is on its way with all of this */
    bool is_asking;              /* the network's word is awaited */
    int64_t ask_ms;              /* not before then */
} schedule;

/* The next time that the device listens because of what is known, after `now_ms`; `from_ms`: its last contact. COLUMNS_NEVER: not known. */
int64_t schedule_next_ms(const twin *twin, int64_t from_ms, int64_t now_ms);
int64_t schedule_listens_until_ms(const twin *twin); /* it can be reached so long; COLUMNS_NEVER: not known */

/* Inside a record. */
void schedule_wished(core *core, uint32_t twin, const schedule_wish *wish);
/* The network said so, of its own or as its answer: SCHEDULE_UNSAID what it did not say. */
void schedule_learn(core *core, uint32_t twin, const schedule_facts *facts, int64_t available_ms);
void schedule_move(core *core, uint32_t twin, schedule_state state, uint32_t reference); /* of the wish */
void schedule_told(core *core, uint32_t twin);  /* its turn for event 12 is over */

DRO_CHECKED dro_err schedule_apply(twin *twin, const dro_field *field);
void schedule_full(core *core, const twin *twin);
void schedule_free(twin *twin);

int64_t schedule_due(const twin *twin);      /* INT64_MAX: nothing is */
bool schedule_expire(core *core, uint32_t twin); /* false: no room for its turn just now */

void schedule_ask(core *core, uint32_t twin);
void schedule_json(const twin *twin, dro_builder *out);  /* ,"available_until":...,"schedule":{...}; nothing without one */
const char *schedule_field_state(const dro_field *field);
void schedule_field_json(const dro_field *field, dro_builder *out); /* of a record, for the timeline */

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
    SCHEDULE_PAUSE_MS = 60 * 1000,   /* between two questions about one device */
    SCHEDULE_AGAIN_MS = 1000,        /* after one that nobody answered, twice as long each further time, */
    SCHEDULE_AGAIN_MAX_MS = 5 * 60 * 1000, /* at most */
    SCHEDULE_HELD_MS = 60 * 1000,    /* until it is looked again whether an application's parameters count still */
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
    bool is_unsure;              /* a group that it is in has other parameters, or it is in another: held or not, is to be seen */
    bool is_telling;             /* a turn is on its way with all of this */
    bool is_asking;              /* the network's word is awaited */
    uint8_t failures;            /* questions in a row that nobody answered */
    int64_t ask_ms;              /* not before then */
} schedule;

/* The next time that the device listens because of what is known, after `now_ms`; `from_ms`: its last contact. COLUMNS_NEVER: not known. */
int64_t schedule_next_ms(const twin *twin, int64_t from_ms, int64_t now_ms);
int64_t schedule_listens_until_ms(const twin *twin); /* it can be reached so long; COLUMNS_NEVER: not known */

/* Inside a record. */
void schedule_wished(core *core, uint32_t twin, const schedule_wish *wish);
/* The network said so, of its own or as its answer: SCHEDULE_UNSAID what it did not say. True: some of it is new. */
bool schedule_learn(core *core, uint32_t twin, const schedule_facts *facts, int64_t available_ms);
void schedule_move(core *core, uint32_t twin, schedule_state state, uint32_t reference); /* of the wish */
void schedule_told(core *core, uint32_t twin);  /* its turn for event 12 is over */
void schedule_held(core *core, uint32_t twin);  /* an application's parameters count from now on */
void schedule_freed(core *core, uint32_t twin); /* those of one do not any more */

/* Outside of records too: whether parameters of a group count for the twin may have changed; it is looked at soon, by the timer heap. */
void schedule_look_soon(core *core, uint32_t twin);
void schedule_forget(core *core, uint32_t twin, uint32_t reference); /* the network's facts; what it has of the wish from now on */
void schedule_cancelled(core *core, uint32_t twin); /* by the network */

uint32_t schedule_find(core *core, uint32_t reference); /* the twin whose wish the network knows by that; NONE */
void schedule_forsaken(core *core, const twin *twin);   /* as exposures_forsaken */

DRO_CHECKED dro_err schedule_apply(core *core, uint32_t twin, const dro_field *field);
void schedule_full(core *core, const twin *twin);
void schedule_free(core *core, uint32_t twin);

int64_t schedule_due(const twin *twin);      /* INT64_MAX: nothing is */
bool schedule_expire(core *core, uint32_t twin); /* false: no room for its turn just now */

void schedule_ask(core *core, uint32_t twin);
void schedule_json(const twin *twin, dro_builder *out);  /* ,"available_until":...,"schedule":{...}; nothing without one */
const char *schedule_field_state(const dro_field *field);
bool schedule_field_says(const dro_field *field);                    /* anything at all */
void schedule_field_json(const dro_field *field, dro_builder *out); /* of a record, for the timeline */

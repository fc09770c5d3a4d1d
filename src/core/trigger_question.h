/* What is kept with a trigger, who is asked about it and how: for trigger.c and api_trigger.c alone. */
#pragma once

#include "core/inquiry.h"
#include "core/tell.h"
#include "core/trigger.h"
#include "twin/t8.h"

enum {
    TRIGGER_QUESTION_BYTES = T8_FIELDS_MAX + 512,
    TRIGGER_NODE_BYTES = 2 * DIAMETER_IDENTITY_MAX + 1,
};

/* ---- what is kept with it ---- */

trigger_state trigger_state_of(const uint8_t *fields, size_t length);
uint32_t trigger_result_of(const exposure *trigger); /* enum trigger_result */
int64_t trigger_validity_of(const uint8_t *fields, size_t length);
/* The members without what this host adds; and that. `node`: who has it, or NULL. */
void trigger_put_members(const uint8_t *fields, size_t length, dro_builder *out);
void trigger_put_state(uint32_t result, const trigger_state *state, const dro_field *node, dro_builder *out);
/* Inside a record: the same trigger with another head and state. */
void trigger_put_again(core *core, const exposure *old, const exposure *head, uint32_t result, const trigger_state *state, const dro_field *node);

/* ---- who is asked ---- */

/* Who is asked first about a new trigger; 0: nobody can be, for the reason in *why. Who is connected comes first. */
enum inquiry_kind trigger_way_of(const core *core, const char **why);

/* Its outcome may come before the answer to its question, or while its twin is in a turn: it waits here. */
typedef struct trigger_flight {
    struct trigger_flight *next;
    uint32_t reference;
    deferred *early;
} trigger_flight;

trigger_flight *trigger_flight_find(const core *core, uint32_t reference);
void trigger_flight_begin(core *core, uint32_t reference);
void trigger_flight_end(core *core, uint32_t reference); /* an early outcome is taken up */

typedef struct trigger_wanted {   /* a trigger that somebody is to be asked for */
    const uint8_t *fields;       /* of the exposure */
    size_t length;
    uint32_t reference, old_reference;
    enum trigger_action action;
    const inquiry_said *subscriber; /* behind the question for it; else NULL */
} trigger_wanted;

/* Fills fields, kind and node of the question; `room` keeps the node's names. 0: nobody can be asked. */
enum inquiry_kind trigger_question(const core *core, const trigger_wanted *asked, dro_builder *out, inquiry *question, char room[TRIGGER_NODE_BYTES + 1]);

/* ---- what is said ---- */

trigger_answer trigger_answer_of(const inquiry_said *said);
void trigger_tell_refused(core *core, caller caller, const trigger_answer *answer, uint32_t code);
/* Who has it now; *room keeps it. NULL: not known. */
const dro_field *trigger_node_put(const inquiry_said *said, uint8_t bytes[TRIGGER_NODE_BYTES], dro_field *room);
trigger_state trigger_state_sent(const core *core, const trigger_answer *answer, int64_t validity_s);

/* ---- time ---- */

void trigger_timers(core *core, uint32_t twin);
/* Nobody could be asked: later, and later each time. */
void trigger_again(core *core, uint32_t twin, exposure *ended);
void trigger_expires(core *core, uint32_t twin, exposure *ended); /* its validity is over, or it ended and its time here is */
void trigger_begin(core *core, uint32_t twin, exposure *made);    /* the host's own: its time has come */

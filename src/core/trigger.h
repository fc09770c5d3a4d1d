/* Device triggers (TS 23.682, 5.2; TS 29.122, 4.4.6): the network wakes a device by a short message. Three ask for them: an
 * application over T8, a twin by its host call, and a downlink that waits with SEND_TRIGGER. Each trigger is an exposure
 * (core/exposure.h); the host's own have no application. Where somebody who triggers devices is among the peers it is asked;
 * else this host does its part: it asks the subscriber's data and hands the trigger to a service centre for short messages.
 *
 * What becomes of a trigger is told once: the record of its end answers the network and tells who asked. */
#pragma once

#include "core/core.h"
#include "core/exposure.h"
#include "twin/effect.h"
#include "twin/trigger.h"

enum trigger_purpose { TRIGGER_OF_APPLICATION, TRIGGER_OF_TWIN, TRIGGER_OF_DOWNLINK };
typedef struct trigger_state {   /* kept behind a trigger's members as API_FIELD_TRIGGER_STATE */
    int64_t ends_ms;             /* without an outcome by then it has expired; behind an outcome: it is forgotten */
    uint32_t event_id;           /* of a twin's: its number for it */
    uint8_t purpose;             /* enum trigger_purpose */
    uint8_t may_change;          /* who has it can replace and recall it */
    uint8_t stage;               /* enum trigger_stage: who has it */
    uint8_t is_sent;
} trigger_state;

typedef struct turn turn;

/* What became of a trigger, from who delivers it. */
void triggers_on_outcome(core *core, uint32_t gate, const ring_header *header, const uint8_t *body);
void triggers_free(core *core);

/* Inside the record of a turn: its twin wants its device triggered. False: too soon, or one is under way. */
bool trigger_of_twin(core *core, uint32_t twin, const effect *wanted);
/* Inside the record of the turn that tells a twin what became of its trigger, and behind it. */
void trigger_turn_keep(core *core, const turn *turn);
void trigger_turn_done(core *core, const turn *turn, uint64_t round);
/* Inside a record: a downlink waits for a device that has no connection. */
void trigger_for_downlink(core *core, uint32_t twin, int64_t until_ms);
bool trigger_is_out(const twin *twin); /* one for a downlink: under way, or the device has had it of late */

typedef struct trigger_line { uint64_t number; uint32_t reference; const char *outcome; } trigger_line;
/* What a FIELD_EXPOSURE in a timeline says of a trigger; false: it is of none. */
bool trigger_row(const dro_field *field, trigger_line *out);

extern const exposure_class trigger_class;

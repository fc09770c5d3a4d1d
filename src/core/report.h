/* Reports: what nodes of the network say on their own of what they watch for applications (core/exposure.h). Each is one
 * message: found by its reference, of a group by its member; known by its number if it comes again. One record holds
 * what it changes: how many there were, the notice to the application, the turn of the twin that it was an event for,
 * and the report itself, which timelines and streams show. The node is answered once that is durable. */
#pragma once

#include "core/exposure.h"
#include "core/limits.h"
#include "core/turn.h"
#include "ring/message.h"

typedef struct reports_heard { uint64_t numbers[REPORTS_REMEMBERED]; } reports_heard; /* newest first; 0: none */

typedef struct report_turn {     /* what a turn carries */
    uint64_t number, exposure;
    uint32_t place;
    uint8_t kind;                /* enum told_kind */
    uint16_t length;
    uint8_t fields[];            /* of enum monitoring_report_field */
} report_turn;

/* Of a group's: do the fields of a MESSAGE_NETWORK_REPORT name a member? And that member as the network names it, else as this host
 * does (REPORT_ID, REPORT_MSISDN). Of a limited peer the network's name counts only for a twin of this core that is that peer's.
 * NULL: by a number that nobody here knows. */
bool report_is_of_member(const uint8_t *fields, size_t length);
const dro_field *report_member(core *core, const uint8_t *fields, size_t length, dro_field *room);
void reports_on_message(core *core, uint32_t gate, const ring_header *header, const uint8_t *body); /* MESSAGE_NETWORK_REPORT */
/* Its part in the record of its turn, whatever became of that; and behind it. */
void report_turn_end(core *core, turn *turn);
void report_turn_done(core *core, turn *turn);
/* Fields of records. */
DRO_CHECKED dro_err report_apply(core *core, uint32_t twin, const dro_field *field);
/* Of groups, on core 0: numbers of the newest, in records of no twin. */
void reports_replay(core *core, const dro_field *field);
void reports_write(core *core);
void reports_fini(core *core);
void reports_full(core *core, const twin *twin);
/* A report as JSON, of a record's field: {"type":...,"said":...,"report":{...}} */
void report_json(const dro_field *field, dro_builder *out);

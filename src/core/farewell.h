/* Farewells: what the network has of twins that are gone, and is still to be told that it is over. Each is one question
 * (core/inquiry.h), kept in the record that removed its twin, and with the host's tables. It is asked until the network
 * has answered, later each time; what the network does not know is over too.
 *
 * Belongs to one core: its number has the partition of what it was of, so another number of cores finds its own. */
#pragma once

#include "base/fields.h"
#include "core/core.h"

typedef struct farewell {
    struct farewell *next;       /* oldest first */
    uint64_t number;             /* the partition on top */
    int64_t until_ms;            /* the network forgets it by itself then; INT64_MAX: never */
    int64_t retry_ms;            /* it is asked (again) then. Not durable, as the following */
    uint64_t round;              /* asked once that is durable; UINT64_MAX: its record is not ended yet */
    uint8_t retries;
    bool is_asked;
    uint32_t group;              /* as inquiry.group */
    uint32_t reference, gone;    /* of a trigger: of its recall, of itself */
    uint8_t kind;                /* inquiry_kind; INQUIRY_TRIGGER: of a trigger, however it was sent */
    uint16_t length;
    uint8_t fields[];            /* of the question; of a trigger: those of its exposure */
} farewell;

typedef struct farewell_table {
    farewell *first, *last;
    uint32_t count, asked;
    uint64_t bytes;
    int64_t due_ms;              /* none is due before */
    uint64_t round;              /* nor before that is durable */
} farewell_table;

/* In the record that is open, else in one of its own. `head`: until, group, references, kind; `partition`: a number with it on top. */
void farewell_put(core *core, uint64_t partition, const farewell *head, const uint8_t *fields, size_t length);
bool farewell_has(const core *core, uint32_t reference); /* the network may know it still */

void farewell_replay(core *core, const dro_field *field);
void farewells_write(core *core);        /* with the host's tables */
int farewells_step(core *core);
int64_t farewells_due(const core *core); /* INT64_MAX: nothing is to be done */
void farewells_free(core *core);

/* Subscribers of events. Events are no table: a stream that is behind reads them from the log, at the
 * marks of where which event lies. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/record.h"
#include "core/state.h"

typedef struct stream {          /* a subscriber of events */
    uint64_t id;                 /* the gate's; 0: free */
    uint32_t gate, application, scopes;
    uint64_t sent, passed;       /* events sent, events the gate has passed on */
    uint64_t next;               /* sequence it wants next while it catches up */
    bool is_behind;
    bool may_pass;               /* what it is sent need not wait behind what is stuck */
    bool has_told_gap;           /* of events before its first: once */
    log_place place;             /* where the catching up goes on */
    char *twin, *model, *property;
} stream;

void streams_subscribe(core *core, uint32_t gate, const ring_header *header, const uint8_t *body);
void streams_unsubscribe(core *core, uint32_t gate, uint64_t id);
void streams_credit(core *core, uint32_t gate, uint64_t id, uint64_t passed);
void streams_gate_lost(core *core, uint32_t gate);
void streams_record(core *core, const record_view *view, uint64_t round); /* a record just written */
int streams_catch_up(core *core);
void streams_mark(core *core, uint64_t sequence, log_place place);

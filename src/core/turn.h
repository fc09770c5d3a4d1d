/* Turns in flight: from the event that begins one to the record that keeps it. A turn is a row of
 * core->turns and belongs to turn_table.c; what it owns (event, text, put, nidd, idempotency) goes with
 * turn_free. One turn at a time for a twin: what comes meanwhile is deferred and belongs to the twin. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/number.h"
#include "core/rds_sign.h"
#include "core/tell.h"
#include "ring/message.h"
#include "twin/model.h"
#include "twin/ticket.h"

typedef struct deferred {       /* a message that waits for a turn to end */
    struct deferred *next;
    uint32_t gate, length;      /* gate NONE: no message, the event "can be reached" */
    ring_header header;
    uint8_t body[];
} deferred;

enum turn_state { TURN_FREE, TURN_WAITING, TURN_SENT, TURN_FETCHING, TURN_HELD /* until the turns before it ended */ };

/* Why a turn came to nothing, beside what a cell says (enum turn_status): its context cannot be read. */
enum { TURN_UNREADABLE = TURN_NO_IMAGE + 1,
       TURN_STOPPED, TURN_QUARANTINED, TURN_PENALTY, TURN_BUDGET /* it was not run, or not any more: core/conduct.h */ };

enum turn_operation { TURN_UPLINK, TURN_WRITE, TURN_ACTION, TURN_TIMER, TURN_CREATE, TURN_CONFIGURE, TURN_REACHABLE, TURN_DOWNLINK, TURN_REPORT,
                      TURN_TRIGGER, TURN_SCHEDULE };

enum { TURN_EVENT_SMALL = 64 /* bytes of an event kept in the turn itself: nearly all are shorter */ };

typedef struct turn {            /* a turn in flight */
    uint32_t twin, next;         /* index; next free or next waiting */
    uint32_t serial;             /* upper half of its id in the rings */
    uint32_t order;              /* of the turns sent to its cell: they are answered in that order */
    uint32_t image;              /* its twin's, or the one it is being given; NONE: plain, no cell sees it */
    uint8_t cell, tries, kind, state;
    uint8_t deaths;              /* of cells that had it, whoever is to blame */
    bool is_old_cell;            /* sent to the cell that is being replaced */
    bool is_behind;              /* another turn of its twin is before it */
    bool is_stale;               /* sent, and what it builds on was not kept: its result is none */
    uint32_t behind;             /* the turn that builds on this one, NONE: none */
    uint64_t seed;
    uint8_t operation;           /* enum turn_operation */
    bool has_duplicate;
    uint32_t event_id, length;
    uint8_t *event;              /* payload: `small`, or owned */
    uint8_t small[TURN_EVENT_SMALL];
    caller caller;
    uint64_t ticket;             /* of a property write or action */
    uint32_t end_to_end;
    uint16_t host;
    rds_sign sign;               /* of an uplink that came in an RDS frame */
    value value;                 /* what a command asks for; strings in text */
    char *text;                  /* owned */
    struct put *put;             /* a twin being made or configured; owned */
    struct report_turn *report;  /* what the network says: core/report.h; owned */
    bool is_reachable;           /* of it: the device can be reached now */
    struct nidd_request *nidd;   /* a delivery being made or changed; owned */
    uint8_t (*idempotency)[32];  /* key and body hashes of the request, owned; NULL: none */
    ticket_state wait;
    int64_t wait_until_ns;
    uint32_t application;        /* whose downlinks it counts among; 0: nobody's */
    uint64_t trigger;            /* number of the one whose outcome the twin hears, and its trigger_result */
    uint8_t trigger_result;
    uint64_t operation_of;       /* a group's operation that it is a part of; 0: of none */
} turn;

typedef struct turn_line { uint32_t first, last; } turn_line; /* through turn.next, in order; NONE: empty */

typedef struct turn_part {       /* of the table of turns, what is of one cell's domains */
    turn_line waiting;           /* that it has not taken yet */
    uint32_t turns;              /* all of them */
    size_t bytes;                /* of their events */
    uint64_t refused;            /* for want of room in its part, ever */
    uint64_t given;              /* to the cell, ever */
} turn_part;

/* ---- turn_table.c ---- */
dro_err turns_init(core *core);
bool twin_is_broken(const core *core, uint32_t twin); /* its image is */
turn *turn_new(core *core, uint32_t twin, uint8_t operation); /* NULL: full, or broken */
void turn_free(core *core, turn *turn);
DRO_CHECKED dro_err turn_event(core *core, turn *turn, uint8_t kind, uint32_t id, const void *payload, size_t length);
bool turns_are_full(const core *core);
/* Has the twin's cell as much of the table of turns as is left for all? Others have room all the same; alone it has the whole. */
bool turns_part_is_full(const core *core, uint32_t cell);
uint32_t turn_cell_of(core *core, uint32_t twin); /* the place of its next turn, core/cells.h */
void turn_move(core *core, turn *turn, uint32_t place); /* into the part of another place, before it is sent */
uint32_t turn_slot(const core *core, const turn *turn); /* its row */
uint64_t turn_id(const core *core, const turn *turn); /* what it is called in rings and reads */
void turn_line_put(core *core, turn_line *line, turn *turn);
uint32_t turn_line_take(turn_line *line);     /* all of them: the first, or NONE */

/* ---- turn_keep.c: what becomes of a turn that is over ---- */
void put_uplink(core *core, uint32_t twin, uint16_t host, uint32_t end_to_end); /* in a record: the contact, and not twice */
void turn_keep(core *core, turn *turn, const turn_result *result, const uint8_t *context); /* after effects_take. The turn stays the caller's */
/* It changes nothing of the twin; its event is kept as a dead letter, or whoever asked is told. The turn stays the caller's. */
void turn_bury(core *core, turn *turn, uint32_t status, const char *reason, uint32_t cpu_nanos);
const char *turn_failure_text(uint32_t status);

/* ---- turn.c: to the cell and back ---- */
void turn_go(core *core, turn *turn);         /* its twin is marked running, its context is there */
void turn_unreadable(core *core, turn *turn, const char *where); /* its context is not: the turn ends */
void turn_send(core *core, turn *turn);       /* marks the twin running; waits when the cell is away or full */
void turn_send_behind(core *core, turn *turn); /* right behind core->turn_last, a turn of the same twin */
int turns_send_waiting(core *core);
void turns_publish(core *core);
bool turns_are_held(const core *core);         /* results wait: for what they change there would be no space */
int turns_take(core *core);                   /* results of the cells */
void turns_stop(core *core);                  /* something was stopped: no cell is busy with turns of it for longer than STOP_CELL_MS */
int64_t turns_stop_due_ns(const core *core);  /* when turns_take is to look at that; INT64_MAX: nothing to see */
void turns_resend(core *core, uint32_t cell); /* after its cell was lost */
void turns_resend_old(core *core, uint32_t cell);
void turns_gate_lost(core *core, uint32_t gate); /* nobody waits for their answers any more */
void message_take(core *core, uint32_t gate, const ring_header *header, const uint8_t *body); /* core.c */

/* ---- effects.c: what a turn asked for ---- */
/* Reads the effects of a result. They come from a cell, which is not trusted: false when they are not whole. */
DRO_CHECKED bool effects_take(core *core, const uint8_t *effects, uint32_t length);
uint32_t effects_keep(core *core, turn *turn); /* those that were taken, inside the turn's record; bytes of log lines among them */
void effects_wipe(core *core);                /* private properties may be among them */
void timer_put(core *core, uint32_t twin, uint32_t number, int64_t due_ms); /* inside a record; due_ms < 0: gone */

/* ---- deferred.c ---- */
void twin_deferred_gate_lost(core *core, uint32_t twin, uint32_t gate);
deferred *deferred_new(uint32_t gate, const ring_header *header, const uint8_t *body); /* NULL: no memory */
void deferred_free(deferred *late); /* wiped */
DRO_CHECKED dro_err twin_defer(core *core, uint32_t twin, uint32_t gate, const ring_header *header, const uint8_t *body);
void twin_defer_reachable(core *core, uint32_t twin);
void twin_resume(core *core, uint32_t twin);  /* its turn ended: what waited goes on */
void twin_forget(core *core, uint32_t twin);  /* the same, but the twin is gone: those who wait are told */

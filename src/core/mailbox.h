/* What waits for a device and those who wait for it: downlinks (mail), the tickets of writes and
 * actions, and requests that wait for a ticket's state (waiters).
 *
 * Mail and tickets belong to their twin's extra and are made and freed by fields of records only
 * (apply.c), so that recovery makes the same ones; waiters are gone with a restart. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/tell.h"
#include "core/twin_table.h"
#include "ring/message.h"
#include "twin/ticket.h"

typedef struct mail { /* a downlink waiting for the device */
    struct mail *next;
    uint64_t number, ticket;
    uint32_t merge_key;
    int32_t priority;           /* a higher one leaves first */
    uint16_t length;
    bool is_sent;
    bool is_raw;                /* its bytes are those of its delivery (`ticket`), kept there */
    bool is_control;            /* a frame of the reliable data service, as it goes: core/rds.c */
    bool is_of_group;           /* `ticket` is a group's operation, which has the bytes */
    bool is_in_chunk;           /* a chunk of the log has it too */
    uint8_t sent_gate;          /* of the one that is sent: by which gate, */
    uint16_t sent_host;         /* to which serving node */
    uint8_t sent_again;         /* times, after its connection was lost */
    int64_t sent_ms;            /* when */
    int64_t expires_ms;
    uint8_t bytes[];
} mail;

typedef struct ticket {
    struct ticket *next;
    uint64_t number;
    bool is_action;
    uint8_t index;              /* of the property or action */
    ticket_state state;
    int64_t time_ms;            /* of the last change of state */
    int64_t made_ms;
    uint64_t operation;         /* of a group that it is the part of; 0: of none */
    value value;                /* strings live in text */
    char reason[64];
    char text[];
} ticket;

typedef struct waiter {          /* a request that waits for a ticket's state */
    uint32_t twin;
    uint64_t ticket;
    ticket_state state;
    bool is_delivery;            /* `ticket` is a delivery's number */
    int64_t until_ns;
    caller caller;
} waiter;

/* twin_table.c */
void ticket_free(ticket *ticket);
ticket *ticket_find(const twin *twin, uint64_t number);
mail *mail_find(const twin *twin, uint64_t number);
mail *mail_of_ticket(const twin *twin, uint64_t number);

/* apply.c */
bool mail_take(core *core, uint32_t twin, uint64_t number); /* out of memory. False: it is not there */

/* mailbox.c */
static inline size_t mail_memory(const mail *mail) { return sizeof *mail + mail->length; }
void mail_put(core *core, const mail *mail); /* inside a record: as it is */
/* Inside a record. False: too much waits, and who asked was told. */
bool mailbox_has_room(core *core, uint32_t twin, uint64_t ticket, uint32_t length);
const uint8_t *mail_bytes(const twin *twin, const mail *mail, uint32_t *length); /* for the device */
/* The same for a delivery that passes as its application gave it. */
void mailbox_put_raw(core *core, uint32_t twin, uint64_t delivery, int64_t expires_ms);
void mailbox_put(core *core, uint32_t twin, uint64_t ticket, uint32_t merge_key, int64_t expires_ms, const uint8_t *bytes, uint32_t length);
void mailbox_flush(core *core, uint32_t twin);           /* sends the next one if the device may be reached; inside no record */
void mailbox_on_answer(core *core, uint64_t id, const downlink_answer *answer);
void mailbox_expire(core *core, uint32_t twin);
int64_t mailbox_due(const twin *twin);
void ticket_put(core *core, uint32_t twin, const ticket *ticket);
void ticket_move(core *core, uint32_t twin, uint64_t number, ticket_state state, const char *reason);
/* `operation`: of a group, 0: of none. */
uint64_t ticket_make(core *core, uint32_t twin, bool is_action, uint8_t index, const value *value, ticket_state state, uint64_t operation);
ticket *ticket_newest(const twin *twin, uint8_t property);
void waiter_add(core *core, uint32_t twin, uint64_t ticket, ticket_state state, int64_t until_ns, caller caller);
void waiter_add_delivery(core *core, uint32_t twin, uint64_t delivery, int64_t until_ns, caller caller);
bool waiter_is_there(const core *core, uint32_t twin, uint64_t delivery);
void waiters_delivery(core *core, uint32_t twin, uint64_t delivery); /* it ended, or the device sleeps */
void waiters_due(core *core);
void waiters_ticket(core *core, uint32_t twin, uint64_t ticket);
void waiters_gate_lost(core *core, uint32_t gate);

/* Ticket: the life of a command.  pending -> sent -> delivered -> reported */
#pragma once

typedef enum ticket_state {
    TICKET_PENDING,    /* waits in the mailbox */
    TICKET_SENT,       /* written to the network */
    TICKET_DELIVERED,  /* the network says the device has it */
    TICKET_REPORTED,   /* the device confirmed the same value */
    TICKET_FAILED,
    TICKET_SUPERSEDED, /* a newer one took its place */
    TICKET_EXPIRED,
} ticket_state;

const char *ticket_state_text(ticket_state state);

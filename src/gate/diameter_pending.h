/* Requests that wait for an answer: those of peers, asked of the core, and ours,
 * asked of peers. Two tables of fixed size; an entry's id has a generation, so a
 * late answer never meets another request. Not allocating, except for an echo
 * that is longer than usual. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "ring/message.h"
#include "wire/diameter/pdu.h"

enum {
    PENDING_REQUESTS_MAX = 16384, /* each table; a power of two */
    ECHO_USUAL = 168,             /* Session-Id and Proxy-Info kept in place */
    ECHO_MAX = 8192,              /* and at most */
    CORE_TIMEOUT_MS = 30000,
};

/* From a peer; what its answer repeats. */
typedef struct pending_incoming {
    uint32_t generation, next_free;
    uint32_t peer_slot, peer_generation;
    uint32_t hop_by_hop, end_to_end;
    int64_t deadline_ns;
    const diameter_command *command; /* of the request; NULL: the entry is free */
    uint8_t *more;                   /* the echo, when it is longer than usual */
    uint16_t session_length, echo_length;
    uint8_t flags;
    bool hears_overload;             /* the sender can be told of overload */
    bool is_patient;                 /* no core has answered yet: it counts among those that wait for one */
    uint8_t cores_left;              /* how many cores are still to answer; what the ones before said: */
    network_answer said;
    struct pending_reports *reports; /* of a Reporting-Information-Request, owned: report.c */
    uint32_t reference;              /* of a trigger's outcome: what the answer says where it is unknown; 0: none */
    uint8_t usual[ECHO_USUAL];       /* Session-Id and DRMP AVPs, then Proxy-Info AVPs */
} pending_incoming;

enum outgoing_kind { OUTGOING_DOWNLINK, OUTGOING_RELEASE, OUTGOING_INQUIRY, OUTGOING_RELAY };

/* To a peer. */
typedef struct pending_outgoing {
    uint32_t generation, next_free;
    uint32_t peer_slot, peer_generation;
    uint32_t hop_by_hop, end_to_end;
    uint32_t session;                /* last part of the Session-Id */
    uint32_t code, application;
    uint8_t kind;                    /* enum outgoing_kind */
    bool is_used;
    bool is_answered;                /* but the core does not know yet */
    uint8_t inquiry;                 /* enum inquiry_kind */
    downlink_answer answer;          /* of an inquiry: the outcome */
    uint32_t core;                   /* whose message it is, */
    uint64_t core_id;                /* and its id */
    uint32_t group;                  /* of an inquiry: the number of the group that was asked about; 0: a device */
    uint32_t reference;              /* of an inquiry about an exposure: what the network calls it; 0: none */
    int64_t deadline_ns;
} pending_outgoing;

typedef struct pending_table pending_table;

pending_table *pending_new(void);
void pending_free(pending_table *table); /* wipes; NULL is fine */

/* Keeps what the answer needs. DRO_LIMIT: the table is full or the echo too long;
 * DRO_NOMEM. The id is for the core. */
DRO_CHECKED dro_err pending_put_incoming(pending_table *table, const diameter_message *request,
                                         const diameter_command *command, uint64_t *id, pending_incoming **entry);
/* NULL: nobody waits under that id. */
pending_incoming *pending_find_incoming(pending_table *table, uint64_t id);
void pending_drop_incoming(pending_table *table, pending_incoming *entry);
const uint8_t *pending_echo(const pending_incoming *entry);

/* NULL: the table is full. Sets hop_by_hop. */
pending_outgoing *pending_put_outgoing(pending_table *table);
/* By Hop-by-Hop id; NULL: nothing waits under it. */
pending_outgoing *pending_find_outgoing(pending_table *table, uint32_t hop_by_hop);
void pending_drop_outgoing(pending_table *table, pending_outgoing *entry);

/* Calls for all entries in use up to the highest ever used; `each` may drop the entry it is given. */
void pending_each_incoming(pending_table *table, void (*each)(void *context, pending_incoming *entry), void *context);
void pending_each_outgoing(pending_table *table, void (*each)(void *context, pending_outgoing *entry), void *context);
/* In use now. */
uint32_t pending_incoming_count(const pending_table *table);
uint32_t pending_outgoing_count(const pending_table *table);

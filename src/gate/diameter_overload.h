/* How much is too much, told and heard: overload (DOIC, RFC 7683, the loss algorithm), load (RFC 8583) and
 * the priority of requests (DRMP, RFC 7944). One of each gate. Allocates nothing; knows no connections.
 *
 * Told: of the requests whose senders can hear of it, how many had to be refused in the last second is what
 * their senders are asked to leave out. Heard: what is in force of hosts and realms, and which requests of
 * ours that holds back. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/builder.h"
#include "wire/diameter/pdu.h"

enum {
    PRIORITY_FIRST = 0, PRIORITY_USUAL = 10, PRIORITY_LAST = 15, /* DRMP: a lower one is served first; usual: without the AVP */
    OVERLOAD_REPORTS_MAX = 256,     /* heard of and not over; the one that is over first makes room */
    OVERLOAD_NAME_MAX = 255,
    OVERLOAD_AVPS_MAX = 448,        /* OC-Supported-Features, OC-OLR, Load */
    OVERLOAD_VALID_S = 30,          /* of a report that does not say how long, and of ours */
    OVERLOAD_VALID_MAX_S = 86400,   /* RFC 7683 7.5: what is longer counts as not said */
    OVERLOAD_AGAIN_S = 15,          /* ours goes on under a new number by then */
    OVERLOAD_OVER_S = 60,           /* so long it is told that it is over */
    OVERLOAD_REDUCTION_MAX = 95,    /* ours: some must come, or nobody hears that it is over */
    OVERLOAD_EASE = 4,              /* in each second in which nothing was refused one of so many parts more may come */
    OVERLOAD_SLACK = 50,            /* one refused of so many is no overload */
    OVERLOAD_DEBT_MAX = 8,          /* requests held back later because one of higher priority came */
    OVERLOAD_LOAD_MAX = 65535,      /* Load-Value: nothing to do; 0: all there is */
    OVERLOAD_LOAD_S = 60,           /* what a peer said of its load is believed */
};

typedef struct overload_told {
    uint64_t taken, refused;        /* this second, of those who can hear of it */
    uint32_t kept_most;             /* this second, of what is kept at most: in parts of OVERLOAD_LOAD_MAX */
    uint32_t reduction;             /* percent */
    uint32_t load;                  /* Load-Value */
    uint64_t number;                /* OC-Sequence-Number; 0: nothing to tell yet */
    int64_t numbered_ns, over_ns;   /* since when; when it was over */
    uint32_t length;
    uint8_t avps[OVERLOAD_AVPS_MAX]; /* for answers to those who can hear of it */
} overload_told;

typedef struct overload_report {
    uint32_t hash, application;     /* of the name */
    uint64_t number;
    int64_t until_ns;               /* an old one is kept for its number */
    uint16_t debt;                  /* hundredths of requests to hold back */
    uint8_t is_realm, reduction;
    char name[OVERLOAD_NAME_MAX + 1];
} overload_report;

typedef struct overload {
    const char *identity;           /* this host's */
    overload_told told;
    uint32_t heard_count;
    overload_report heard[OVERLOAD_REPORTS_MAX];
    uint64_t taken, old, bad;       /* reports that were followed; that said nothing new; that could not be read */
} overload;

void overload_init(overload *here, const char *identity, int64_t wall_ms);

/* ---- told ---- */

/* Can the sender of this request hear of overload? */
bool overload_is_heard(const diameter_message *request);
/* A request whose sender can was answered by more than a refusal for want of time, or refused. */
static inline void overload_count(overload *here, bool is_refused)
{
    here->told.refused += is_refused;
    here->told.taken += !is_refused;
}
/* What is kept of `most` now. */
static inline void overload_note(overload *here, uint32_t kept, uint32_t most)
{
    uint32_t share = kept >= most ? OVERLOAD_LOAD_MAX : (uint32_t)((uint64_t)kept * OVERLOAD_LOAD_MAX / most);
    if (share > here->told.kept_most)
        here->told.kept_most = share;
}
/* Once a second. */
void overload_tick(overload *here, int64_t now_ns, int64_t wall_ms);

/* ---- heard ---- */

/* Reports in an answer to one of ours. True: what is in force has changed. */
bool overload_hear(overload *here, const diameter_message *answer, int64_t now_ns);
/* The Load-Value that an answer gives of that node: as a host or as a peer, the lower one. False: none. */
bool overload_load(const diameter_message *answer, const char *identity, uint32_t *load);
/* Percent that a node asked to be left out, of any application; 0: nothing is in force. */
uint32_t overload_reduction(const overload *here, const char *identity, int64_t now_ns);

typedef struct overload_way {       /* of a request that is about to leave */
    const uint8_t *host, *realm;    /* Destination-Host, or the node that will surely get it (NULL: any); Destination-Realm (NULL: has a host) */
    uint32_t host_length, realm_length, application;
    uint32_t priority;
} overload_way;
/* Is it one of those to be left out? Then it must not leave. */
bool overload_abates(overload *here, const overload_way *way, int64_t now_ns);

/* ---- priority ---- */

/* A request's DRMP; what cannot be one is as if it were absent. */
uint32_t overload_priority(const diameter_message *request);
/* The AVP as an answer repeats it; NULL: nothing to repeat. */
const diameter_avp *overload_priority_avp(const diameter_message *request);
/* OC-Supported-Features: this host knows the loss algorithm. */
void overload_put_features(dro_builder *out);

void overload_text(const overload *here, dro_builder *out);

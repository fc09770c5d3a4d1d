/* Monte: monitoring events (TS 23.682 5.6). What exposure functions want to hear of the devices, as HSSs take it
 * (S6t CIR) and MMEs report it (T6a RIR). One for all nodes of the network. No socket of its own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sim/peer.h"

enum {
    MONTE_WATCHES_MAX = 1 << 22,
    MONTE_SCEFS_MAX = 16,         /* exposure functions that asked */
    MONTE_REPORTS_MAX = 1 << 16,  /* on their way to a connection */
    MONTE_STATUSES_MAX = 64,      /* configurations in one request */
    MONTE_TAU_LEAST_S = 5,        /* a periodic timer below it is raised */
    MONTE_PLMNS_MAX = 16,         /* of a coverage restriction */
    MONTE_PLACES_MAX = 64,        /* of an area */
};
enum monte_type { /* Monitoring-Type */
    MONTE_LOSS = 0, MONTE_REACHABLE = 1, MONTE_LOCATION = 2, MONTE_IMEI = 3, MONTE_ROAMING = 4, MONTE_FAILURE = 5, MONTE_AVAILABLE = 6,
    MONTE_AREA = 7, MONTE_PDN = 10,
};

typedef struct monte_counts {
    uint64_t configured, removed, refused;
    uint64_t reports, reports_taken, reports_unknown, reports_dropped; /* dropped: too many on their way */
    uint64_t schedules, coverages, counted;     /* counted: areas */
} monte_counts;

typedef struct monte_event {
    uint32_t device;
    enum monte_type type;
    uint32_t available_until;     /* MONTE_REACHABLE, MONTE_AVAILABLE: seconds since 1970 */
    bool is_deleted;              /* MONTE_PDN; else it was created */
} monte_event;

typedef struct monte_idle {       /* how a device sleeps */
    uint32_t active_s, periodic_s; /* 0: it has no such timer */
    bool is_edrx;
} monte_idle;

typedef struct monte_network {    /* what it asks of the network around it */
    void *owner;
    uint32_t (*serving)(void *owner, uint32_t device);                                   /* index of its MME */
    void (*name)(void *owner, uint32_t device, char out[T6A_NAME_MAX + 1]);              /* its External Identifier */
    void (*schedule)(void *owner, uint32_t device, uint32_t tau_s, uint32_t active_s);   /* a device's timers; 0: its own */
    bool (*attached)(void *owner, uint32_t device);
    monte_idle (*idle)(void *owner, uint32_t device);
    const char *imsi_first, *apn;
    uint32_t devices;
} monte_network;

typedef struct monte monte;

monte *monte_new(const monte_network *around); /* NULL: no memory */
void monte_free(monte *monte);                 /* NULL is fine */

/* A Configuration-Information-Request about one device, or (NULL `device`) about all of them: taken and answered. */
void monte_configure(monte *monte, peer *from, const t6a_message *request, const uint32_t *device);
/* The same at an MME: how many devices are attached in an area of it. */
void monte_count_area(monte *monte, peer *from, const t6a_message *request, uint32_t mme);
/* Where a device may use coverage enhancement: set, or only asked for. */
void monte_coverage(monte *monte, peer *from, const t6a_message *request, const uint32_t *device);
/* It happened: those who want to hear of it will. */
void monte_tell(monte *monte, const monte_event *event);
/* How long a device is to be away before some still waiting for it hear of its loss: who waits for no more than `away_s` is told. */
void monte_tell_loss(monte *monte, uint32_t device, uint32_t away_s);
void monte_back(monte *monte, uint32_t device);
/* Sends what this MME has to report, as far as the connection has room. */
void monte_pump(monte *monte, uint32_t mme, peer *to, uint64_t tag, int64_t now_ns);
/* The answer to a report; `number` is the low half of its tag. */
void monte_answered(monte *monte, uint32_t number, const t6a_message *answer);
const monte_counts *monte_count(const monte *monte);

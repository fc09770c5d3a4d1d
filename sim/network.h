/* Network: the devices, the MMEs that serve them, and what passes between them and
 * the host. One epoll loop, one thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sim/device.h"
#include "sim/histogram.h"
#include "sim/hss.h"
#include "sim/iwf.h"
#include "sim/monte.h"
#include "sim/options.h"
#include "sim/peer.h"

enum {
    NETWORK_DRAIN_MS = 5000,  /* at the end: wait for answers this long */
    NETWORK_TICK_MS = 20,
    NETWORK_AWAKE_MS = 300,   /* of the wall clock: no device sleeps sooner, however fast its time runs */
    NETWORK_REFUSED_MS = 10000, /* of the wall clock: then an attach that was refused is tried again */
    NETWORK_BUSY_MS = 500,    /* of the wall clock: then a request the host was too busy for */
    NETWORK_HOLD_S = 10,      /* an MME keeps a downlink for an eDRX device, without SCEF-Wait-Time */
};

enum uplink_result { UPLINK_OK, UPLINK_BUSY, UPLINK_REFUSED, UPLINK_RESULTS };

typedef struct network_counts {
    uint64_t attaches, attaches_refused, releases, reachables;
    uint64_t uplinks, uplink[UPLINK_RESULTS], duplicates, duplicates_answered, duplicates_differ;
    uint64_t released;           /* connections that the host ended */
    uint64_t lost, found;        /* devices */
    uint64_t downlinks, downlinks_delivered, downlinks_asleep, downlinks_unknown, downlinks_unanswered;
    device_counts devices;
    uint32_t last_refusal; /* result or experimental result of the newest refused attach or uplink */
} network_counts;

typedef struct network_view { /* now */
    uint32_t attached, asleep, awake, waiting, open_mmes;
} network_view;

typedef struct network network;

/* Borrows options and temperatures for its life. NULL: no memory or no epoll. */
network *network_new(const options *options, tls_context *tls, const temperature *const *temperatures, uint32_t temperature_count);
void network_free(network *network); /* NULL is fine */

/* One turn of the loop, waiting at most `wait_ms`. */
void network_turn(network *network, int wait_ms);
/* No new requests from now on; what is on its way is still answered. */
void network_stop(network *network);
bool network_is_idle(const network *network);     /* nothing waits for an answer */
bool network_is_attached(const network *network); /* every device is */
/* Says DPR to all; true when all connections are closed. Call until true. */
bool network_close(network *network);

const network_counts *network_count(const network *network);
const histogram *network_latency(const network *network);  /* of ODRs, microseconds */
network_view network_look(const network *network);         /* walks all devices */
peer_counts network_peer_counts(const network *network);   /* of all of them */
hss_counts network_hss_counts(const network *network);     /* of all HSSs */
const monte_counts *network_monte_counts(const network *network);
iwf_counts network_iwf_counts(const network *network);
uint32_t network_device_count(const network *network);
device *network_device(network *network, uint32_t index);
int64_t network_find(const network *network, const char *imsi); /* its index, -1: none of ours */
void network_imsi(const network *network, uint32_t index, char out[16]);

/* Load: twins of the model acme/thermo on a host, and the MME connections that send
 * their readings. One uplink per twin is outstanding at most. */
#pragma once

#include "bench/host.h"
#include "sim/histogram.h"
#include "sim/peer.h"

enum { LOAD_CONNECTIONS_MAX = 64, LOAD_IDLE_MS = 30000 /* nothing answered for so long: failed */ };

typedef struct load load;

typedef struct load_counts {
    uint64_t attached, attach_refused, uplinks, answered, busy, refused;
    uint32_t last_refusal; /* Result-Code or Experimental-Result-Code of the newest one not answered 2001 */
} load_counts;

/* Uploads the image; its digest is used by load_provision. */
bool load_image(const host *host, const char *path);
/* Twins t0 to t(count-1) @bench.example with IMSIs; *per_second of them. */
bool load_provision(const host *host, uint32_t count, double *per_second);

load *load_new(const host *host, uint32_t twins, uint32_t connections, uint32_t window);
void load_free(load *load); /* NULL is fine */
/* CMR for every twin; all answered 2001. */
bool load_attach(load *load);
/* Readings of all twins in turn, for a time; answers are counted and timed from the call on. */
bool load_drive(load *load, double seconds);
/* Exactly `count` readings of each twin, all answered 2001. */
bool load_drive_each(load *load, uint32_t count);
/* One reading, and its answer: microseconds, or -1. */
double load_once(load *load);
const load_counts *load_count(const load *load);
histogram *load_latency(load *load);
void load_reset(load *load); /* counts and times from 0 */

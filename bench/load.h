/* Load: twins of the model acme/thermo on a host, and the MME connections that send
 * their readings. One uplink per twin is outstanding at most,
 * unless load_choose says otherwise. */
#pragma once

#include "bench/host.h"
#include "sim/histogram.h"
#include "sim/peer.h"

enum { LOAD_CONNECTIONS_MAX = 64, LOAD_DOMAINS_MAX = 10000, LOAD_IDLE_MS = 30000 /* nothing answered for so long: failed */ };

typedef struct load load;

typedef struct load_counts {
    uint64_t attached, attach_refused, uplinks, answered, busy, refused, unsent;
    uint64_t downlinks; /* taken, with load_take_downlinks */
    uint64_t wrong;     /* of those: with load_expect, one more of its twin than was sent, or not the next one */
    uint32_t last_refusal; /* Result-Code or Experimental-Result-Code of the newest one not answered 2001 */
} load_counts;

/* Uploads the image; its digest is used by load_provision. */
bool load_image(const host *host, const char *path);
/* Twins t0 to t(count-1) @bench.example with IMSIs; *per_second of them. */
bool load_provision(const host *host, uint32_t count, double *per_second);
/* The same in turn in so many domains: bench0000.example, ... */
bool load_provision_in(const host *host, uint32_t count, uint32_t domains, double *per_second);

load *load_new(const host *host, uint32_t twins, uint32_t connections, uint32_t window);
void load_free(load *load); /* NULL is fine */
/* CMR for every twin; all answered 2001. */
bool load_attach(load *load);
/* Readings of all twins in turn, for a time; answers are counted and timed from the call on. */
bool load_drive(load *load, double seconds);
/* From now on load_drive sends of the twins listed, in this order, again and again, with at most
 * `depth` requests of one twin outstanding. `twins` is borrowed. */
void load_choose(load *load, const uint32_t *twins, uint32_t count, uint32_t depth);
/* Readings of all twins in turn, so many a second whether they are answered or not, as far as the
 * windows go. What could not be sent is counted as unsent. */
bool load_offer(load *load, double per_second, double seconds);
/* Exactly `count` readings of each twin, all answered 2001. */
bool load_drive_each(load *load, uint32_t count);
/* Sends nothing; answers downlinks 2001 until `count` have come. */
bool load_take_downlinks(load *load, uint64_t count);
void load_take_always(load *load); /* in whatever it does from now on */
enum { LOAD_LABEL_BYTES = 8 };
/* From now on each downlink is looked at: it begins with its twin's number and how many went to it before (32 bits
 * each, little-endian). `taken`[twins] counts them; borrowed. */
void load_expect(load *load, uint16_t *taken);
/* Waits until nothing is outstanding. */
bool load_drain(load *load);
/* So many readings of all twins in turn, each answered 2001. */
bool load_send(load *load, uint32_t count);
/* When the newest uplink of each twin left, into `sent_ns`[twins], borrowed; NULL: nowhere. */
void load_stamp(load *load, _Atomic int64_t *sent_ns);
/* One reading, and its answer: microseconds, or -1. */
double load_once(load *load);
const load_counts *load_count(const load *load);
histogram *load_latency(load *load);      /* without those refused 3xxx, */
histogram *load_busy_latency(load *load); /* which are here */
void load_reset(load *load); /* counts and times from 0 */

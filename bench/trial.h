/* What every benchmark of a whole host begins and ends with: the host with its
 * image and twins, how much of each, and the host's counters and CPU time at a moment. */
#pragma once

#include "bench/bench.h"

enum { TRIAL_WINDOW = 1024 /* requests without an answer on one connection */ };

/* A host that runs, with the image and its twins. `set`: settings with blanks between, or NULL. False: said why; host_fini is due all the same. */
bool trial_begin(const bench_options *options, host *host, uint32_t twins, const char *set, bench_result *result);
/* Stops it and starts it with these settings instead (NULL: none). */
bool trial_start_with(host *host, const char *set);
uint32_t trial_twins(const bench_options *options, uint32_t usual, uint32_t quick);
double trial_seconds(const bench_options *options, double usual, double quick);

/* Notifications that are let wait while more are caused: one a device, so that what each took is known and none has more than a host keeps. */
enum { TRIAL_WAITING_MAX = 8192, TRIAL_BATCHES = 4 };
uint32_t trial_waiting(uint32_t devices);
uint32_t trial_batch(uint32_t devices); /* so many are caused at a time; a part of the above */

typedef struct snapshot { /* counters and CPU of the host at one moment */
    int64_t at_ns;
    double turns, commits;
    host_usage all, rooms[HOST_KINDS_MAX];
    int room_count;
} snapshot;
void snapshot_take(const host *host, snapshot *out);
/* CPU of each kind of room between both, a share of `operations` each: PREFIX_cpu_micros_KIND, prefix NULL: none. */
void trial_set_room_cpu(bench_result *result, const char *prefix, const snapshot *before, const snapshot *after, double operations);

/* PREFIX_NAME, in `out`. */
const char *trial_name(char out[64], const char *prefix, const char *name);

/* What the result is set beside: peer, peer_per_second, ratio. */
/* `cpu_micros`: its CPU for one, -1 where that says nothing. */
void trial_set_peer(bench_result *result, const char *peer, double per_second, double cpu_micros);

/* Stops the host and starts it, kills it and starts it, with nothing of its data in the page cache; `also_cached`: each once more with
 * all of it there, as far as it fits. A twin must then say what it said before. Milliseconds to the first answer after
 * the kill, -1: said why. */
double trial_restarts(host *host, uint32_t twins, bool also_cached, bench_result *result);

/* Latencies: how many of something took how long, in buckets that never change: 1 us, 1.5, 2, 3, 4, 6, ...
 * 12.6 s, and what is longer. A percentile is right to half a bucket, a sixth to a quarter of its value. One
 * thread writes, without a lock; any process that maps the memory may read. Zeroed memory is empty. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/builder.h"

enum { DRO_LATENCY_BUCKETS = 48 }; /* and one for what is longer than the last */

typedef struct dro_latency {
    _Atomic uint64_t nanos;        /* of all together */
    _Atomic uint64_t counts[DRO_LATENCY_BUCKETS + 1];
} dro_latency;

/* The upper bound of a bucket, itself included. */
static inline uint64_t dro_latency_bound_nanos(unsigned bucket)
{
    return UINT64_C(500) * ((bucket % 2 == 0 ? 2u : 3u) << bucket / 2);
}

static inline unsigned dro_latency_bucket(uint64_t nanos)
{
    uint64_t halves = (nanos + 499) / 500; /* half microseconds */
    if (halves <= 2)
        return 0;
    unsigned power = 63u - (unsigned)__builtin_clzll(halves - 1);
    unsigned bucket = 2 * power - (halves <= UINT64_C(3) << (power - 1) ? 1 : 0);
    return bucket < DRO_LATENCY_BUCKETS ? bucket : DRO_LATENCY_BUCKETS;
}

static inline void dro_latency_raise(_Atomic uint64_t *word, uint64_t by)
{
    atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + by, memory_order_relaxed);
}

/* A negative time counts as none. */
static inline void dro_latency_add(dro_latency *latency, int64_t nanos)
{
    uint64_t took = nanos > 0 ? (uint64_t)nanos : 0;
    dro_latency_raise(&latency->nanos, took);
    dro_latency_raise(&latency->counts[dro_latency_bucket(took)], 1);
}

/* The parts together, as a histogram of the Prometheus text format, in seconds. */
void dro_latency_write(const dro_latency *const *parts, uint32_t count, const char *name, const char *help, dro_builder *out);

#include "sim/histogram.h"

enum { STEPS = 16, STEP_BITS = 4 };

static uint32_t bucket_of(uint64_t micros)
{
    if (micros < STEPS)
        return (uint32_t)micros;
    uint32_t high = 63u - (uint32_t)__builtin_clzll(micros);
    return (high - STEP_BITS + 1) * STEPS + (uint32_t)(micros >> (high - STEP_BITS) & (STEPS - 1));
}

/* Middle of a bucket. */
static uint64_t value_of(uint32_t bucket)
{
    if (bucket < STEPS)
        return bucket;
    uint32_t shift = bucket / STEPS - 1;
    return ((uint64_t)(STEPS + bucket % STEPS) << shift) + (((uint64_t)1 << shift) >> 1);
}

void histogram_add(histogram *h, uint64_t micros)
{
    h->bucket[bucket_of(micros)]++;
    h->count++;
}

uint64_t histogram_at(const histogram *h, double share)
{
    uint64_t wanted = (uint64_t)((double)h->count * share), seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen > wanted || (seen == h->count && seen > 0))
            return value_of(i);
    }
    return 0;
}

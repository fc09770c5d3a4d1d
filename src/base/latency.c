#include "base/latency.h"

#include <inttypes.h>
#include <stdio.h>

static uint64_t word_of(const dro_latency *const *parts, uint32_t count, unsigned bucket)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += atomic_load_explicit(&parts[i]->counts[bucket], memory_order_relaxed);
    return sum;
}

void dro_latency_write(const dro_latency *const *parts, uint32_t count, const char *name, const char *help, dro_builder *out)
{
    char line[256];
    uint64_t all = 0, nanos = 0;
    snprintf(line, sizeof line, "# HELP %s %s\n# TYPE %s histogram\n", name, help, name);
    dro_builder_text(out, line);
    for (unsigned bucket = 0; bucket < DRO_LATENCY_BUCKETS; bucket++) {
        all += word_of(parts, count, bucket);
        snprintf(line, sizeof line, "%s_bucket{le=\"%.10g\"} %" PRIu64 "\n", name, (double)dro_latency_bound_nanos(bucket) / 1e9, all);
        dro_builder_text(out, line);
    }
    all += word_of(parts, count, DRO_LATENCY_BUCKETS);
    for (uint32_t i = 0; i < count; i++)
        nanos += atomic_load_explicit(&parts[i]->nanos, memory_order_relaxed);
    snprintf(line, sizeof line, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.9f\n%s_count %" PRIu64 "\n", name, all, name,
             (double)nanos / 1e9, name, all);
    dro_builder_text(out, line);
}

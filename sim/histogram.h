/* Histogram of times in microseconds: buckets a sixteenth of their value wide, so
 * a percentile is right to about 6 %. */
#pragma once

#include <stdint.h>

enum { HISTOGRAM_BUCKETS = 64 * 16 };

typedef struct histogram {
    uint64_t count;
    uint64_t bucket[HISTOGRAM_BUCKETS];
} histogram;

void histogram_add(histogram *histogram, uint64_t micros);
/* The value below which `share` (0 to 1) of all lie; 0 when there is none. */
uint64_t histogram_at(const histogram *histogram, double share);

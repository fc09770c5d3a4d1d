#include "bench/zipf.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"

/* The first rank whose sum is above `at`. */
static uint32_t find(const double *sums, uint32_t items, double at)
{
    uint32_t low = 0, high = items - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (sums[middle] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

uint32_t *zipf_draw(uint32_t items, double exponent, uint32_t draws, uint64_t seed)
{
    enum { MANTISSA_BITS = 53 };
    double *sums = malloc(items * sizeof *sums), sum = 0;
    uint32_t *out = malloc(draws * sizeof *out);
    if (sums == NULL || out == NULL) {
        free(sums);
        free(out);
        return NULL;
    }
    for (uint32_t i = 0; i < items; i++)
        sums[i] = sum += pow(i + 1.0, -exponent);
    dro_random_seeded random;
    dro_random_seeded_init(&random, seed);
    for (uint32_t i = 0; i < draws; i++)
        out[i] = find(sums, items, ldexp((double)(dro_random_next(&random) >> (64 - MANTISSA_BITS)), -MANTISSA_BITS) * sum);
    free(sums);
    return out;
}

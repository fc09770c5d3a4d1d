/* Samples: what /metrics shows at one moment (Prometheus text format 0.0.4). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { SAMPLES_MAX = 16384 };

typedef struct sample {
    const char *name, *labels; /* labels: what stands in the braces, or "" */
    double value;
} sample;

typedef struct samples {
    sample *list;
    size_t count, capacity;
    char *text; /* what they point into */
} samples;

/* Takes the text apart; lines that are none are left out. False: no memory, or more than SAMPLES_MAX. */
bool samples_read(samples *out, const char *text, size_t length);
void samples_fini(samples *samples);
/* The sum over all labels that contain `label` (NULL: any). */
double samples_sum(const samples *samples, const char *name, const char *label);
/* The next of this name after `from` (NULL: the first), or NULL. */
const sample *samples_next(const samples *samples, const char *name, const sample *from);
/* Of the times that histogram `name` took in between `before` and `now`, the one below which `share` (0 to 1) lie, within
 * its bucket by proportion; past the last bound that bound. `count`: of how many. Negative where there is none. */
double samples_quantile(const samples *before, const samples *now, const char *name, double share, double *count);
/* The value of a label, at most `size` - 1 bytes; "" where it is not there. */
void sample_label(const sample *sample, const char *label, char *out, size_t size);

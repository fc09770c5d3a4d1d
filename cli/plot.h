/* Plot: numbers as a line of blocks, low to high. */
#pragma once

#include <stddef.h>

#include "buffer.h"

enum { PLOT_COLUMNS = 64 };

/* `values` oldest first; NAN leaves a gap. More than PLOT_COLUMNS are averaged in groups. */
void plot_line(struct buffer *out, const double *values, size_t count);

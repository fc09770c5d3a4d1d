#include "plot.h"

#include <math.h>

static double average(const double *values, size_t from, size_t to)
{
    double sum = 0;
    size_t count = 0;
    for (size_t i = from; i < to; i++) {
        if (isfinite(values[i])) {
            sum += values[i];
            count++;
        }
    }
    return count > 0 ? sum / (double)count : NAN;
}

void plot_line(struct buffer *out, const double *values, size_t count)
{
    static const char *const blocks[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
    double points[PLOT_COLUMNS];
    double low = INFINITY, high = -INFINITY;
    size_t columns = count < PLOT_COLUMNS ? count : PLOT_COLUMNS;
    for (size_t i = 0; i < columns; i++) {
        points[i] = average(values, i * count / columns, (i + 1) * count / columns);
        if (isfinite(points[i])) {
            low = fmin(low, points[i]);
            high = fmax(high, points[i]);
        }
    }
    for (size_t i = 0; i < columns; i++) {
        if (!isfinite(points[i])) {
            buffer_text(out, " ");
            continue;
        }
        double part = high > low ? (points[i] - low) / (high - low) : 0.5;
        buffer_text(out, blocks[(int)fmin(7, floor(part * 8))]);
    }
}

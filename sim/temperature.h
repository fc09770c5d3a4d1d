/* Temperature: hourly measurements of one year, from a CSV file with the columns
 * `date` (YYYY/MM/DD HH:MM...) and `temp` (degrees Fahrenheit), in any order.
 * Hours the file leaves out are interpolated. */
#pragma once

#include <stddef.h>

#include "base/err.h"

enum {
    TEMPERATURE_HOURS = 365 * 24,        /* a leap day is passed over */
    TEMPERATURE_LINE_MAX = 256,
    TEMPERATURE_FILE_MAX = 4 * 1024 * 1024,
};

typedef struct temperature {
    float celsius[TEMPERATURE_HOURS];
} temperature;

/* DRO_MALFORMED: a column is missing, or a line is not what it should be (its number in *line).
 * DRO_NOT_FOUND: no measurement at all. */
DRO_CHECKED dro_err temperature_read(temperature *out, const char *text, size_t length, unsigned *line);
/* The same from a file; DRO_IO with errno when it cannot be read. */
DRO_CHECKED dro_err temperature_load(temperature *out, const char *path, unsigned *line);
/* At any hour of any year, between two measurements linearly; the year repeats. */
double temperature_at(const temperature *from, double hour);

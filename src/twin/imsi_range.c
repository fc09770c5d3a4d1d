#include "twin/imsi_range.h"

#include <stdio.h>
#include <string.h>

static bool is_digits(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] < '0' || text[i] > '9')
            return false;
    return length > 0 && length <= IMSI_RANGE_DIGITS;
}

bool imsi_range_read(imsi_range *out, const char *text, size_t length)
{
    const char *dash = memchr(text, '-', length);
    size_t first = dash != NULL ? (size_t)(dash - text) : length;
    *out = (imsi_range){ .low = "" };
    if (!is_digits(text, first))
        return false;
    memcpy(out->low, text, first);
    if (dash == NULL)
        return true;
    if (length - first - 1 != first || !is_digits(dash + 1, first) || memcmp(dash + 1, text, first) < 0)
        return false;
    memcpy(out->high, dash + 1, first);
    return true;
}

size_t imsi_range_write(const imsi_range *range, char out[IMSI_RANGE_TEXT])
{
    return (size_t)snprintf(out, IMSI_RANGE_TEXT, "%s%s%s", range->low, range->high[0] != '\0' ? "-" : "", range->high);
}

bool imsi_range_has(const imsi_range *range, const char *imsi)
{
    size_t length = strlen(range->low);
    if (range->high[0] == '\0')
        return strncmp(imsi, range->low, length) == 0;
    return strlen(imsi) == length && strcmp(imsi, range->low) >= 0 && strcmp(imsi, range->high) <= 0;
}

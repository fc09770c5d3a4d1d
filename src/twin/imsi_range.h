/* Ranges of IMSIs: which devices a Diameter peer speaks of (`imsis` of its row). Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { IMSI_RANGE_DIGITS = 15, IMSI_RANGE_TEXT = 2 * IMSI_RANGE_DIGITS + 2 };

typedef struct imsi_range {
    char low[IMSI_RANGE_DIGITS + 1];  /* the first one, or what they begin with */
    char high[IMSI_RANGE_DIGITS + 1]; /* the last one, with as many digits; "": low is a prefix */
} imsi_range;

/* "00101", or "001010000000000-001010000009999". */
bool imsi_range_read(imsi_range *out, const char *text, size_t length);
/* As it is read; its length. */
size_t imsi_range_write(const imsi_range *range, char out[IMSI_RANGE_TEXT]);
bool imsi_range_has(const imsi_range *range, const char *imsi);

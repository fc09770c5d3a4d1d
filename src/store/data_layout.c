#include "store/data_layout.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char head[] = "dromio layout ";

size_t data_layout_write(uint32_t layout, char out[DATA_LAYOUT_TEXT])
{
    return (size_t)snprintf(out, DATA_LAYOUT_TEXT, "%s%" PRIu32 "\n", head, layout);
}

bool data_layout_read(const char *text, size_t length, uint32_t *layout)
{
    char copy[DATA_LAYOUT_TEXT] = { 0 }, again[DATA_LAYOUT_TEXT];
    if (length <= sizeof head - 1 || length >= sizeof copy)
        return false;
    memcpy(copy, text, length);
    *layout = (uint32_t)strtoul(copy + sizeof head - 1, NULL, 10);
    return *layout > 0 && data_layout_write(*layout, again) == length && memcmp(again, text, length) == 0;
}

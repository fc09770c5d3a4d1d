#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

static bool follows(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* The second byte has a range of its own after four of the lead bytes (RFC 3629, 4). */
static bool second_fits(uint8_t lead, uint8_t second)
{
    switch (lead) {
    case 0xe0: return second >= 0xa0 && second <= 0xbf;
    case 0xed: return second >= 0x80 && second <= 0x9f;
    case 0xf0: return second >= 0x90 && second <= 0xbf;
    case 0xf4: return second >= 0x80 && second <= 0x8f;
    default: return follows(second);
    }
}

size_t dro_utf8_step(const void *bytes, size_t left)
{
    const uint8_t *at = bytes;
    if (left == 0)
        return 0;
    if (at[0] < 0x80)
        return 1;
    size_t width = at[0] >= 0xc2 && at[0] <= 0xdf ? 2 : at[0] >= 0xe0 && at[0] <= 0xef ? 3
                 : at[0] >= 0xf0 && at[0] <= 0xf4 ? 4 : 0;
    if (width == 0 || left < width || !second_fits(at[0], at[1]))
        return 0;
    for (size_t i = 2; i < width; i++)
        if (!follows(at[i]))
            return 0;
    return width;
}

/* Bytes below 0x80 from here on; eight at a time, as most text is nothing else. */
static size_t ascii_length(const uint8_t *at, size_t length)
{
    size_t count = 0;
    uint64_t eight;
    for (; length - count >= sizeof eight; count += sizeof eight) {
        memcpy(&eight, at + count, sizeof eight);
        if ((eight & 0x8080808080808080u) != 0)
            break;
    }
    while (count < length && at[count] < 0x80)
        count++;
    return count;
}

bool dro_utf8_is_valid(const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    while (length > 0) {
        size_t plain = ascii_length(at, length);
        at += plain;
        length -= plain;
        if (length == 0)
            break;
        size_t width = dro_utf8_step(at, length);
        if (width == 0)
            return false;
        at += width;
        length -= width;
    }
    return true;
}

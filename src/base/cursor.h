/* Cursor: reads bytes that somebody else wrote. It remembers its first failure
 * and then gives zeros, so a parser reads straight on and asks once at the end.
 * Borrows the bytes. */
#pragma once

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

typedef struct dro_cursor {
    const uint8_t *at;
    const uint8_t *end;
    dro_err err;
} dro_cursor;

static inline dro_cursor dro_cursor_over(const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    return (dro_cursor){ at, length == 0 ? at : at + length, DRO_OK }; /* NULL has no offsets, not even 0 */
}

static inline size_t dro_cursor_left(const dro_cursor *in)
{
    return (size_t)(in->end - in->at);
}

/* `length` bytes, or NULL after which `err` is DRO_TRUNCATED. */
static inline const uint8_t *dro_cursor_bytes(dro_cursor *in, size_t length)
{
    if (in->err != DRO_OK || dro_cursor_left(in) < length) {
        if (in->err == DRO_OK)
            in->err = DRO_TRUNCATED;
        in->at = in->end;
        return NULL;
    }
    const uint8_t *bytes = in->at;
    in->at += length;
    return bytes;
}

/* Big-endian unsigned integer of 1 to 8 bytes. */
static inline uint64_t dro_cursor_be(dro_cursor *in, size_t width)
{
    const uint8_t *bytes = dro_cursor_bytes(in, width);
    uint64_t value = 0;
    uint32_t four;
    if (bytes == NULL)
        return 0;
    if (width == sizeof four) { /* the usual one, at once; compilers do not see it in the loop */
        memcpy(&four, bytes, sizeof four);
        return be32toh(four);
    }
    for (size_t i = 0; i < width; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* Little-endian, as our own records and WebAssembly have it. Widths not of a power of two, or known
 * only at run time, go through shifts: memcpy would store bytes one at a time, and reading all eight
 * right behind waits for the store buffer. */
static inline uint64_t dro_cursor_le(dro_cursor *in, size_t width)
{
    const uint8_t *bytes = dro_cursor_bytes(in, width);
    uint64_t value = 0;
    uint32_t four;
    uint16_t two;
    if (bytes == NULL)
        return 0;
    switch (width) {
    case 1: return *bytes;
    case sizeof two: memcpy(&two, bytes, sizeof two); return two;
    case sizeof four: memcpy(&four, bytes, sizeof four); return four;
    case sizeof value: memcpy(&value, bytes, sizeof value); return value;
    default: break;
    }
    for (size_t i = 0; i < width; i++)
        value |= (uint64_t)bytes[i] << 8 * i;
    return value;
}

/* LEB128 of at most 64 bits. */
static inline uint64_t dro_cursor_varint(dro_cursor *in)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint64_t byte = dro_cursor_le(in, 1);
        if (shift == 63 && byte > 1)
            break;
        value |= (byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return value;
    }
    if (in->err == DRO_OK)
        in->err = DRO_MALFORMED;
    return 0;
}

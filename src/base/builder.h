/* Builder: writes bytes into a buffer the caller owns. Like the cursor it
 * remembers its first failure (DRO_LIMIT: the buffer is full) and then writes
 * nothing, so a writer writes straight on and asks once. */
#pragma once

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

typedef struct dro_builder {
    uint8_t *start;
    uint8_t *at;
    uint8_t *end;
    dro_err err;
} dro_builder;

static inline dro_builder dro_builder_over(void *bytes, size_t capacity)
{
    uint8_t *start = bytes;
    return (dro_builder){ start, start, start + capacity, DRO_OK };
}

static inline size_t dro_builder_length(const dro_builder *out)
{
    return (size_t)(out->at - out->start);
}

/* Room for `length` bytes that the caller fills, or NULL. */
static inline uint8_t *dro_builder_room(dro_builder *out, size_t length)
{
    if (out->err != DRO_OK || (size_t)(out->end - out->at) < length) {
        out->err = DRO_LIMIT;
        return NULL;
    }
    uint8_t *room = out->at;
    out->at += length;
    return room;
}

static inline void dro_builder_bytes(dro_builder *out, const void *bytes, size_t length)
{
    uint8_t *room = dro_builder_room(out, length);
    if (out->err == DRO_OK && length > 0) /* not `room != NULL`: gcc 14 then warns of a copy to NULL */
        memcpy(room, bytes, length);
}

static inline void dro_builder_text(dro_builder *out, const char *text)
{
    dro_builder_bytes(out, text, strlen(text));
}

static inline void dro_builder_be(dro_builder *out, uint64_t value, size_t width)
{
    uint8_t *room = dro_builder_room(out, width);
    uint32_t four = htobe32((uint32_t)value);
    if (room == NULL)
        return;
    if (width == sizeof four) { /* the usual one, at once; compilers do not see it in the loop */
        memcpy(room, &four, sizeof four);
        return;
    }
    for (size_t i = 0; i < width; i++)
        room[i] = (uint8_t)(value >> (8 * (width - 1 - i)));
}

static inline void dro_builder_le(dro_builder *out, uint64_t value, size_t width)
{
    dro_builder_bytes(out, &value, width);
}

static inline void dro_builder_varint(dro_builder *out, uint64_t value)
{
    while (value >= 0x80) {
        dro_builder_le(out, (value & 0x7f) | 0x80, 1);
        value >>= 7;
    }
    dro_builder_le(out, value, 1);
}

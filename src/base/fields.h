/* Fields: a flat list of tagged byte strings, the one body format of messages
 * between rooms, of effects and of log records.
 *
 *   field = tag u8, length varint, bytes
 *
 * Little-endian integers of exactly the width the tag's table says. An unknown
 * tag is skipped by its length, so both sides may be one version apart. */
#pragma once

#include "base/builder.h"
#include "base/cursor.h"

typedef struct dro_field {
    uint32_t tag;
    uint32_t length;
    const uint8_t *bytes; /* borrowed */
} dro_field;

static inline void dro_field_put(dro_builder *out, uint8_t tag, const void *bytes, size_t length)
{
    dro_builder_le(out, tag, 1);
    dro_builder_varint(out, length);
    dro_builder_bytes(out, bytes, length);
}

static inline void dro_field_put_u64(dro_builder *out, uint8_t tag, uint64_t value)
{
    dro_field_put(out, tag, &value, 8);
}

static inline void dro_field_put_text(dro_builder *out, uint8_t tag, const char *text)
{
    dro_field_put(out, tag, text, strlen(text));
}

/* A ring's messages are padded to 8 bytes: the padding as a field of tag 0, which no list has. */
static inline void dro_field_pad(dro_builder *out)
{
    size_t odd = dro_builder_length(out) % 8;
    if (odd != 0)
        dro_field_put(out, 0, "\0\0\0\0\0\0\0", odd == 7 ? 7 : 6 - odd);
}

/* True while there is a field; false at the end or at the first failure, which
 * is then in `in->err`. */
static inline int dro_field_next(dro_cursor *in, dro_field *field)
{
    if (in->err != DRO_OK || in->at == in->end)
        return 0;
    field->tag = (uint32_t)dro_cursor_le(in, 1);
    uint64_t length = dro_cursor_varint(in);
    if (in->err == DRO_OK && length > UINT32_MAX)
        in->err = DRO_MALFORMED;
    field->length = (uint32_t)length;
    field->bytes = dro_cursor_bytes(in, (size_t)length);
    return in->err == DRO_OK;
}

/* The field as an integer of 1 to 8 bytes; 0 and *err when it has another width. */
static inline uint64_t dro_field_u64(const dro_field *field, dro_err *err)
{
    uint64_t value = 0;
    if (field->length == 0 || field->length > 8) {
        *err = DRO_MALFORMED;
        return 0;
    }
    memcpy(&value, field->bytes, field->length);
    return value;
}

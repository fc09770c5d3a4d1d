#include "cell/rewrite.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/builder.h"

enum {
    LIMIT_MAXIMUM = 1, LIMIT_PAGE_SIZE = 8,  /* flags of a memory's limits */
    PAGES_MAX = 65536,                       /* what a 32-bit memory can have */
    NAMES_BYTES_MAX = 64 * (WASM_GLOBALS_MAX + WASM_TABLES_MAX) + 64,
    LENGTH_BYTES_MAX = 5,                    /* of a 32-bit length */
};

/* Is the word at 0 of the second memory set? Then the call ends here. The load is an atomic one so that no
 * compiler takes it out of a loop; nothing is left on the stack, and no call makes a loop keep what it needs
 * in memory (docs/decisions/008). */
static const uint8_t stop_check[] = {
    0x41, 0,                      /* i32.const 0 */
    0xfe, 0x10, 0x40 | 2, 1, 0,   /* i32.atomic.load of memory 1, aligned to 4, offset 0 */
    0x04, 0x40, 0x00, 0x0b,       /* if unreachable end */
};

static void write_section(dro_builder *out, uint8_t id, const dro_builder *body)
{
    dro_builder_le(out, id, 1);
    dro_builder_varint(out, dro_builder_length(body));
    dro_builder_bytes(out, body->start, dro_builder_length(body));
    assert(body->err == DRO_OK); /* each has room for all that an image that was read can have */
}

static void write_memory(dro_builder *out, const wasm_image *image, const rewrite_plan *plan)
{
    uint8_t room[32];
    dro_builder body = dro_builder_over(room, sizeof room);
    dro_builder_le(&body, 2, 1); /* the image's own and the engine's */
    if (plan->exact_bytes > 0) {
        dro_builder_le(&body, LIMIT_MAXIMUM | LIMIT_PAGE_SIZE, 1);
        dro_builder_varint(&body, plan->exact_bytes);
        dro_builder_varint(&body, plan->exact_bytes);
        dro_builder_varint(&body, 0); /* log2 of the page size */
    } else {
        dro_builder_le(&body, LIMIT_MAXIMUM, 1);
        dro_builder_varint(&body, image->memory_minimum);
        dro_builder_varint(&body, plan->has_host_limit ? PAGES_MAX : image->memory_minimum);
    }
    dro_builder_le(&body, LIMIT_MAXIMUM, 1);
    dro_builder_varint(&body, 1);
    dro_builder_varint(&body, 1);
    write_section(out, WASM_MEMORY, &body);
}

/* The same body with the checks in it. *stop is the next of the image's stops. */
static void write_body(dro_builder *out, const wasm_image *image, const uint8_t *body, uint32_t length, uint32_t *stop)
{
    uint32_t at = (uint32_t)(body - image->bytes), end = at + length, first = *stop;
    while (*stop < image->stop_count && image->stops[*stop] <= end)
        ++*stop;
    dro_builder_varint(out, length + (*stop - first) * sizeof stop_check);
    for (uint32_t i = first; i < *stop; i++) {
        dro_builder_bytes(out, image->bytes + at, image->stops[i] - at);
        dro_builder_bytes(out, stop_check, sizeof stop_check);
        at = image->stops[i];
    }
    dro_builder_bytes(out, image->bytes + at, end - at);
}

static dro_err write_code(dro_builder *out, const wasm_image *image, const wasm_section *section)
{
    dro_cursor in = dro_cursor_over(image->bytes + section->offset, section->length);
    uint64_t count = dro_cursor_varint(&in);
    size_t capacity = section->length + image->stop_count * sizeof stop_check + (count + 1) * LENGTH_BYTES_MAX;
    uint8_t *room = malloc(capacity);
    if (room == NULL)
        return DRO_NOMEM;
    dro_builder body = dro_builder_over(room, capacity);
    dro_builder_varint(&body, count);
    for (uint32_t stop = 0; count > 0; count--) {
        uint32_t length = (uint32_t)dro_cursor_varint(&in);
        const uint8_t *bytes = dro_cursor_bytes(&in, length);
        assert(bytes != NULL); /* wasm_read found all of them */
        write_body(&body, image, bytes, length, &stop);
    }
    write_section(out, WASM_CODE, &body);
    free(room);
    return DRO_OK;
}

static void write_export(dro_builder *out, char letter, uint32_t number, uint8_t kind, uint32_t index)
{
    char name[24];
    int length = snprintf(name, sizeof name, "dromio:%c%u", letter, number);
    dro_builder_varint(out, (uint64_t)length);
    dro_builder_text(out, name);
    dro_builder_le(out, kind, 1);
    dro_builder_varint(out, index);
}

static uint32_t mutable_count(const wasm_image *image)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < image->global_count; i++)
        count += image->globals[i].is_mutable;
    return count;
}

/* The old entries follow their count unchanged, ours behind them. */
static dro_err write_exports(dro_builder *out, const wasm_image *image, const wasm_section *section,
                          const rewrite_plan *plan)
{
    dro_cursor in = dro_cursor_over(image->bytes + section->offset, section->length);
    uint64_t count = dro_cursor_varint(&in);
    size_t capacity = section->length + NAMES_BYTES_MAX;
    uint8_t *room = malloc(capacity);
    if (room == NULL)
        return DRO_NOMEM;
    dro_builder body = dro_builder_over(room, capacity);
    uint32_t tables = plan->exports_tables ? image->table_count : 0;
    dro_builder_varint(&body, count + mutable_count(image) + tables);
    dro_builder_bytes(&body, in.at, dro_cursor_left(&in));
    for (uint32_t i = 0, number = 0; i < image->global_count; i++)
        if (image->globals[i].is_mutable)
            write_export(&body, 'g', number++, WASM_KIND_GLOBAL, i);
    for (uint32_t i = 0; i < tables; i++)
        write_export(&body, 't', i, WASM_KIND_TABLE, i);
    write_section(out, WASM_EXPORT, &body);
    free(room);
    return DRO_OK;
}

dro_err rewrite_image(const wasm_image *image, const rewrite_plan *plan, uint8_t **out, size_t *length)
{
    size_t capacity = image->length + 2 * NAMES_BYTES_MAX + image->stop_count * sizeof stop_check +
                      image->function_count * LENGTH_BYTES_MAX;
    uint8_t *room = malloc(capacity);
    if (room == NULL)
        return DRO_NOMEM;
    dro_builder to = dro_builder_over(room, capacity);
    dro_builder_bytes(&to, image->bytes, 8); /* magic and version */
    dro_err err = DRO_OK;
    for (uint32_t i = 0; i < image->section_count && err == DRO_OK; i++) {
        const wasm_section *section = &image->sections[i];
        if (section->id == WASM_MEMORY) {
            write_memory(&to, image, plan);
        } else if (section->id == WASM_EXPORT) {
            err = write_exports(&to, image, section, plan);
        } else if (section->id == WASM_CODE) {
            err = write_code(&to, image, section);
        } else if (section->id != WASM_CUSTOM) {
            dro_builder_le(&to, section->id, 1);
            dro_builder_varint(&to, section->length);
            dro_builder_bytes(&to, image->bytes + section->offset, section->length);
        }
    }
    if (err != DRO_OK) {
        free(room);
        return err;
    }
    assert(to.err == DRO_OK);
    *out = room;
    *length = dro_builder_length(&to);
    return DRO_OK;
}

#include "twin_wasm.h"

#include <stdio.h>

#include "base/cursor.h"

#define MODEL_SECTION "dromio.model"

enum section { SECTION_CUSTOM = 0, SECTION_IMPORT = 2, SECTION_MEMORY = 5, SECTION_GLOBAL = 6, SECTION_EXPORT = 7 };
enum external { EXTERNAL_FUNCTION, EXTERNAL_TABLE, EXTERNAL_MEMORY, EXTERNAL_GLOBAL };
enum { OPCODE_I32_CONST = 0x41, OPCODE_END = 0x0b, HAS_MAXIMUM = 1, SECTIONS_MAX = 64 };

typedef struct reader {
    twin_wasm *out;
    uint32_t global_count;
    int64_t globals[TWIN_WASM_GLOBALS_MAX]; /* first value where it is a plain i32, else -1 */
    uint32_t heap_base;                     /* index of the global, ~0: none */
} reader;

static uint32_t take_u32(dro_cursor *in)
{
    uint64_t value = dro_cursor_varint(in);
    if (in->err == DRO_OK && value > UINT32_MAX)
        in->err = DRO_MALFORMED;
    return in->err == DRO_OK ? (uint32_t)value : 0;
}

/* Signed LEB128 of 32 bits. */
static int32_t take_s32(dro_cursor *in)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        uint64_t byte = dro_cursor_le(in, 1);
        value |= (byte & 0x7f) << shift;
        if ((byte & 0x80) != 0)
            continue;
        if ((byte & 0x40) != 0)
            value |= ~(uint64_t)0 << (shift + 7);
        return (int32_t)value;
    }
    in->err = DRO_MALFORMED;
    return 0;
}

static dro_cursor take_name(dro_cursor *in)
{
    uint32_t length = take_u32(in);
    const uint8_t *bytes = dro_cursor_bytes(in, length);
    return dro_cursor_over(bytes, bytes == NULL ? 0 : length);
}

static bool is_name(const dro_cursor *name, const char *text)
{
    return dro_cursor_left(name) == strlen(text) && memcmp(name->at, text, strlen(text)) == 0;
}

static void keep_name(dro_cursor *in, twin_wasm_name *names, uint32_t *count, const dro_cursor *name,
                      const char *before)
{
    if (in->err == DRO_OK && *count == TWIN_WASM_NAMES_MAX)
        in->err = DRO_LIMIT;
    if (in->err != DRO_OK)
        return;
    snprintf(names[*count].text, sizeof names[*count].text, "%s%.*s", before, (int)dro_cursor_left(name), name->at);
    (*count)++;
}

static void skip_limits(dro_cursor *in)
{
    uint32_t flags = take_u32(in);
    take_u32(in);
    if ((flags & HAS_MAXIMUM) != 0)
        take_u32(in);
}

static void read_import(reader *reader, dro_cursor *in)
{
    char before[TWIN_WASM_NAME_MAX + 1] = "";
    dro_cursor module = take_name(in), name = take_name(in);
    bool is_ours = is_name(&module, "dromio");
    if (!is_ours)
        snprintf(before, sizeof before, "%.*s.", (int)dro_cursor_left(&module), module.at);
    switch (dro_cursor_le(in, 1)) {
    case EXTERNAL_FUNCTION: take_u32(in); break;
    case EXTERNAL_TABLE:
        dro_cursor_le(in, 1);
        skip_limits(in);
        break;
    case EXTERNAL_MEMORY: skip_limits(in); break;
    case EXTERNAL_GLOBAL: dro_cursor_le(in, 2); break;
    default: in->err = DRO_MALFORMED;
    }
    keep_name(in, reader->out->imports, &reader->out->import_count, &name, before);
    reader->out->has_foreign_import = reader->out->has_foreign_import || !is_ours;
}

static void read_export(reader *reader, dro_cursor *in)
{
    dro_cursor name = take_name(in);
    uint64_t kind = dro_cursor_le(in, 1);
    uint32_t index = take_u32(in);
    if (kind == EXTERNAL_GLOBAL && is_name(&name, "__heap_base"))
        reader->heap_base = index;
    keep_name(in, reader->out->exports, &reader->out->export_count, &name, "");
}

/* Only the form our linker writes: a number, or an address, then the end. */
static void read_global(reader *reader, dro_cursor *in)
{
    dro_cursor_le(in, 2); /* type, mutability */
    if (dro_cursor_le(in, 1) != OPCODE_I32_CONST || reader->global_count == TWIN_WASM_GLOBALS_MAX) {
        in->err = in->err == DRO_OK ? DRO_UNSUPPORTED : in->err;
        return;
    }
    reader->globals[reader->global_count++] = (uint32_t)take_s32(in);
    if (dro_cursor_le(in, 1) != OPCODE_END && in->err == DRO_OK)
        in->err = DRO_MALFORMED;
}

static void read_memory(reader *reader, dro_cursor *in)
{
    uint32_t flags = take_u32(in);
    reader->out->pages = take_u32(in);
    if ((flags & HAS_MAXIMUM) != 0)
        take_u32(in);
}

static void read_each(reader *reader, dro_cursor *in, void (*read)(struct reader *, dro_cursor *))
{
    uint32_t count = take_u32(in);
    for (uint32_t i = 0; i < count && in->err == DRO_OK; i++) /* each takes a byte at least, so the input bounds it */
        read(reader, in);
}

static void read_section(reader *reader, uint64_t id, dro_cursor *in)
{
    dro_cursor name;
    switch (id) {
    case SECTION_CUSTOM:
        name = take_name(in);
        reader->out->has_model = reader->out->has_model || is_name(&name, MODEL_SECTION);
        break;
    case SECTION_IMPORT: read_each(reader, in, read_import); break;
    case SECTION_MEMORY: read_each(reader, in, read_memory); break;
    case SECTION_GLOBAL: read_each(reader, in, read_global); break;
    case SECTION_EXPORT: read_each(reader, in, read_export); break;
    default: break;
    }
}

static dro_cursor after_header(const uint8_t *bytes, size_t length)
{
    static const uint8_t header[] = { 0, 'a', 's', 'm', 1, 0, 0, 0 };
    dro_cursor in = dro_cursor_over(bytes, length);
    const uint8_t *start = dro_cursor_bytes(&in, sizeof header);
    if (start != NULL && memcmp(start, header, sizeof header) != 0)
        in.err = DRO_MALFORMED;
    return in;
}

dro_err twin_wasm_read(twin_wasm *out, const uint8_t *bytes, size_t length)
{
    reader reader = { .out = out, .heap_base = UINT32_MAX };
    memset(out, 0, sizeof *out);
    out->heap_base = -1;
    dro_cursor in = after_header(bytes, length);
    for (int sections = 0; in.err == DRO_OK && in.at < in.end; sections++) {
        uint64_t id = dro_cursor_le(&in, 1);
        uint32_t size = take_u32(&in);
        const uint8_t *body = dro_cursor_bytes(&in, size);
        if (body == NULL || sections == SECTIONS_MAX)
            return in.err != DRO_OK ? in.err : DRO_LIMIT;
        dro_cursor section = dro_cursor_over(body, size);
        read_section(&reader, id, &section);
        in.err = section.err;
    }
    if (reader.heap_base < reader.global_count)
        out->heap_base = reader.globals[reader.heap_base];
    return in.err;
}

bool twin_wasm_exports(const twin_wasm *wasm, const char *name)
{
    for (uint32_t i = 0; i < wasm->export_count; i++)
        if (strcmp(wasm->exports[i].text, name) == 0)
            return true;
    return false;
}

const char *twin_wasm_model(const uint8_t *bytes, size_t length, size_t *model_length)
{
    dro_cursor in = after_header(bytes, length);
    while (in.err == DRO_OK && in.at < in.end) {
        uint64_t id = dro_cursor_le(&in, 1);
        uint32_t size = take_u32(&in);
        const uint8_t *body = dro_cursor_bytes(&in, size);
        if (body == NULL || id != SECTION_CUSTOM)
            continue;
        dro_cursor section = dro_cursor_over(body, size);
        dro_cursor name = take_name(&section);
        if (section.err != DRO_OK || !is_name(&name, MODEL_SECTION))
            continue;
        *model_length = dro_cursor_left(&section);
        return (const char *)section.at;
    }
    return NULL;
}

void twin_wasm_write_model(dro_builder *out, const char *json, size_t length)
{
    dro_builder_le(out, SECTION_CUSTOM, 1);
    dro_builder_varint(out, 1 + strlen(MODEL_SECTION) + length);
    dro_builder_le(out, strlen(MODEL_SECTION), 1);
    dro_builder_text(out, MODEL_SECTION);
    dro_builder_bytes(out, json, length);
}

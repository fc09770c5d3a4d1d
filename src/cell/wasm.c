#include "cell/wasm.h"

#include <stdarg.h>
#include <stdio.h>

#include "cell/admit.h"

_Static_assert((int)WASM_REASON_MAX == (int)MODEL_REASON_MAX, "reasons are copied");
_Static_assert((int)WASM_IMPORTS_MAX == (int)ADMIT_IMPORTS_MAX, "imports are listed");

static const char *const section_names[] = { "custom", "type",   "import", "function", "table", "memory",    "global",
                                             "export", "start",  "element", "code",     "data",  "data count" };
/* Where a section stands among the others; data count comes before code. */
static const uint8_t section_order[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 10 };

static void tell(wasm_reader *reader, const char *format, va_list arguments)
{
    char text[WASM_REASON_MAX], place[64] = "";
    int used = 0;
    if (reader->section >= 0)
        used = snprintf(place, sizeof place, "%s section, offset 0x%zx", section_names[reader->section],
                        (size_t)(reader->in.at - reader->image->bytes));
    if (reader->function >= 0)
        snprintf(place + used, sizeof place - (size_t)used, ", function %lld", (long long)reader->function);
    used = snprintf(text, sizeof text, "%s%s", place, place[0] != '\0' ? ": " : "");
    vsnprintf(text + used, sizeof text - (size_t)used, format, arguments);
    reader->reason_count++;
    reader->reason(reader->context, text);
}

void wasm_tell(wasm_reader *reader, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    tell(reader, format, arguments);
    va_end(arguments);
}

void wasm_fail(wasm_reader *reader, const char *format, ...)
{
    va_list arguments;
    if (reader->has_failed)
        return;
    va_start(arguments, format);
    tell(reader, format, arguments);
    va_end(arguments);
    reader->has_failed = true;
    if (reader->function < 0 && reader->section != WASM_START)
        reader->image->is_broken = true;
    reader->in.at = reader->in.end;
}

uint8_t wasm_byte(wasm_reader *reader)
{
    const uint8_t *byte = dro_cursor_bytes(&reader->in, 1);
    if (byte == NULL)
        wasm_fail(reader, "the image ends in the middle of something");
    return byte != NULL ? *byte : 0;
}

uint64_t wasm_unsigned(wasm_reader *reader, unsigned bits)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < bits && !reader->has_failed; shift += 7) {
        uint64_t byte = wasm_byte(reader);
        if (bits - shift < 7 && (byte & 0x7f) >> (bits - shift) != 0)
            break;
        value |= (byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return value;
    }
    wasm_fail(reader, "a number is longer than %u bits", bits);
    return 0;
}

int64_t wasm_signed(wasm_reader *reader, unsigned bits)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < bits && !reader->has_failed; shift += 7) {
        uint64_t byte = wasm_byte(reader);
        unsigned left = bits - shift;
        if (left < 7) { /* the bits past the last one all repeat the sign */
            uint64_t rest = (byte & 0x7f) >> (left - 1), ones = 0x7fu >> (left - 1);
            if (rest != 0 && rest != ones)
                break;
        }
        value |= (byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            if ((byte & 0x40) != 0 && shift + 7 < 64)
                value |= ~(uint64_t)0 << (shift + 7);
            return (int64_t)value;
        }
    }
    wasm_fail(reader, "a number is longer than %u bits", bits);
    return 0;
}

uint32_t wasm_u32(wasm_reader *reader)
{
    return (uint32_t)wasm_unsigned(reader, 32);
}

uint8_t wasm_value_type(wasm_reader *reader)
{
    uint8_t type = wasm_byte(reader);
    if ((type >= WASM_TYPE_V128 && type <= WASM_TYPE_I32) || type == WASM_TYPE_FUNCREF || reader->has_failed)
        return type;
    if (type == 0x6f)
        wasm_fail(reader, "externref is not accepted");
    else
        wasm_fail(reader, "value type 0x%02x is not accepted (garbage collection and typed references are not)", type);
    return 0;
}

bool wasm_text_is(const wasm_text *text, const char *other)
{
    return text->length == strlen(other) && memcmp(text->bytes, other, text->length) == 0;
}

const wasm_export *wasm_export_find(const wasm_image *image, const char *name)
{
    for (uint32_t i = 0; i < image->export_count; i++)
        if (wasm_text_is(&image->exports[i].name, name))
            return &image->exports[i];
    return NULL;
}

/* Names end up in reasons, lists and the console: printable ASCII only. */
static wasm_text read_name(wasm_reader *reader)
{
    uint32_t length = wasm_u32(reader);
    const uint8_t *bytes = dro_cursor_bytes(&reader->in, length);
    if (bytes == NULL || length > WASM_NAME_MAX) {
        wasm_fail(reader, bytes == NULL ? "a name ends outside the section" : "a name is longer than %d bytes",
                  WASM_NAME_MAX);
        return (wasm_text){ "", 0 };
    }
    for (uint32_t i = 0; i < length; i++)
        if (bytes[i] < 0x20 || bytes[i] > 0x7e) {
            wasm_fail(reader, "a name has a byte outside printable ASCII");
            return (wasm_text){ "", 0 };
        }
    return (wasm_text){ (const char *)bytes, length };
}

static uint32_t read_count(wasm_reader *reader, const char *what, uint32_t have, uint32_t max)
{
    uint32_t count = wasm_u32(reader);
    if (!reader->has_failed && count > max - have) {
        wasm_fail(reader, "%u %s; at most %u are accepted", count, what, max - have);
        return 0;
    }
    return reader->has_failed ? 0 : count;
}

static void read_types(wasm_reader *reader)
{
    wasm_image *image = reader->image;
    uint32_t count = read_count(reader, "types", 0, WASM_TYPES_MAX);
    for (uint32_t i = 0; i < count && !reader->has_failed; i++) {
        wasm_type *type = &image->types[i];
        uint8_t form = wasm_byte(reader);
        if (form != 0x60)
            wasm_fail(reader, "type %u is not a function type (garbage collection is not accepted)", i);
        type->parameter_count = (uint8_t)read_count(reader, "parameters", 0, WASM_PARAMETERS_MAX);
        for (uint32_t k = 0; k < type->parameter_count && !reader->has_failed; k++)
            type->parameters[k] = wasm_value_type(reader);
        type->result_count = (uint8_t)read_count(reader, "results", 0, WASM_RESULTS_MAX);
        for (uint32_t k = 0; k < type->result_count && !reader->has_failed; k++)
            type->results[k] = wasm_value_type(reader);
        image->type_count = i + 1;
    }
}

static uint32_t read_type_index(wasm_reader *reader)
{
    uint32_t index = wasm_u32(reader);
    if (!reader->has_failed && index >= reader->image->type_count)
        wasm_fail(reader, "type %u does not exist", index);
    return reader->has_failed ? 0 : index;
}

static void read_imports(wasm_reader *reader)
{
    wasm_image *image = reader->image;
    uint32_t count = read_count(reader, "imports", 0, WASM_IMPORTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        wasm_import import = { .offset = (uint32_t)(reader->in.at - image->bytes) };
        wasm_text module = read_name(reader);
        import.name = read_name(reader);
        uint8_t kind = wasm_byte(reader);
        import.is_refused = !reader->has_failed && !wasm_text_is(&module, "dromio");
        if (import.is_refused)
            wasm_tell(reader, "import %.*s.%.*s: a twin imports from module dromio only", (int)module.length,
                      module.bytes, (int)import.name.length, import.name.bytes);
        if (kind != WASM_KIND_FUNCTION) {
            wasm_fail(reader, "import %.*s: only functions can be imported, no memory, table, global or tag",
                      (int)import.name.length, import.name.bytes);
            return;
        }
        import.type = read_type_index(reader);
        if (reader->has_failed)
            return;
        image->functions[image->function_count++] = import.type;
        image->imports[image->import_count++] = import;
    }
}

static void read_functions(wasm_reader *reader)
{
    wasm_image *image = reader->image;
    uint32_t count = read_count(reader, "functions", image->function_count, WASM_FUNCTIONS_MAX);
    for (uint32_t i = 0; i < count && !reader->has_failed; i++)
        image->functions[image->function_count++] = read_type_index(reader);
}

static void read_tables(wasm_reader *reader)
{
    wasm_image *image = reader->image;
    uint32_t count = read_count(reader, "tables", 0, WASM_TABLES_MAX);
    for (uint32_t i = 0; i < count && !reader->has_failed; i++) {
        uint8_t type = wasm_byte(reader);
        if (type != WASM_TYPE_FUNCREF)
            wasm_fail(reader, "table %u is not of funcref", i);
        uint8_t flags = wasm_byte(reader);
        if (flags > 1)
            wasm_fail(reader, "table %u has limits of kind 0x%02x (shared or 64-bit tables are not accepted)", i,
                      flags);
        image->tables[i].minimum = wasm_u32(reader);
        if (flags == 1 && wasm_u32(reader) < image->tables[i].minimum)
            wasm_fail(reader, "table %u: maximum below minimum", i);
        if (image->tables[i].minimum > WASM_TABLE_ELEMENTS_MAX)
            wasm_fail(reader, "table %u has %u elements; at most %d are accepted", i, image->tables[i].minimum,
                      WASM_TABLE_ELEMENTS_MAX);
        image->table_count = i + 1;
    }
}

static void read_memories(wasm_reader *reader)
{
    wasm_image *image = reader->image;
    uint32_t count = wasm_u32(reader);
    if (count != 1)
        wasm_fail(reader, "%u memories; a twin has exactly one", count);
    uint8_t flags = wasm_byte(reader);
    if (flags & 2)
        wasm_fail(reader, "shared memory and threads are not accepted");
    if (flags & 4)
        wasm_fail(reader, "64-bit memory is not accepted");
    if (flags > 1)
        wasm_fail(reader, "custom page sizes are not accepted from outside");
    image->memory_minimum = wasm_u32(reader);
    image->has_memory_maximum = flags == 1;
    image->memory_maximum = flags == 1 ? wasm_u32(reader) : ADMIT_MEMORY_MAX / WASM_PAGE;
    if (image->has_memory_maximum && image->memory_maximum < image->memory_minimum)
        wasm_fail(reader, "memory: maximum below minimum");
    if (image->memory_minimum < 1 || image->memory_minimum > ADMIT_MEMORY_MAX / WASM_PAGE)
        wasm_fail(reader, "memory of %u pages; 1 to %d are accepted", image->memory_minimum,
                  ADMIT_MEMORY_MAX / WASM_PAGE);
    image->has_memory = !reader->has_failed;
}

static uint64_t const_number(wasm_reader *reader, uint8_t opcode, uint8_t type)
{
    static const uint8_t number_types[] = { WASM_TYPE_I32, WASM_TYPE_I64, WASM_TYPE_F32, WASM_TYPE_F64 };
    if (number_types[opcode - 0x41] != type)
        wasm_fail(reader, "a constant of another type than what it initialises");
    if (opcode == 0x41)
        return (uint32_t)wasm_signed(reader, 32);
    if (opcode == 0x42)
        return (uint64_t)wasm_signed(reader, 64);
    size_t width = opcode == 0x43 ? 4 : 8;
    uint64_t value = 0;
    const uint8_t *bytes = dro_cursor_bytes(&reader->in, width);
    if (bytes == NULL)
        wasm_fail(reader, "a constant ends outside the section");
    else
        memcpy(&value, bytes, width);
    return value;
}

/* One constant and `end`. Nothing imported is a global, so global.get has nothing to get. */
static uint64_t read_constant(wasm_reader *reader, uint8_t type)
{
    uint64_t value = 0;
    uint8_t opcode = wasm_byte(reader);
    if (reader->has_failed)
        return 0;
    if (opcode >= 0x41 && opcode <= 0x44) {
        value = const_number(reader, opcode, type);
    } else if (opcode == 0xd2 && type == WASM_TYPE_FUNCREF) {
        if (wasm_u32(reader) >= reader->image->function_count)
            wasm_fail(reader, "ref.func of a function that does not exist");
    } else if (opcode == 0xd0 && type == WASM_TYPE_FUNCREF) {
        if (wasm_byte(reader) != WASM_TYPE_FUNCREF)
            wasm_fail(reader, "ref.null of another type than funcref");
    } else if (opcode == 0xfd && type == WASM_TYPE_V128) {
        if (wasm_u32(reader) != 12 || dro_cursor_bytes(&reader->in, 16) == NULL)
            wasm_fail(reader, "only v128.const can initialise a v128");
    } else {
        wasm_fail(reader, "opcode 0x%02x in a constant expression; only constants of the right type are accepted",
                  opcode);
    }
    if (!reader->has_failed && wasm_byte(reader) != 0x0b)
        wasm_fail(reader, "a constant expression of more than one instruction is not accepted");
    return value;
}

static void read_globals(wasm_reader *reader)
{
    wasm_image *image = reader->image;
    uint32_t count = read_count(reader, "globals", 0, WASM_GLOBALS_MAX), mutable_count = 0;
    for (uint32_t i = 0; i < count && !reader->has_failed; i++) {
        wasm_global *global = &image->globals[i];
        global->type = wasm_value_type(reader);
        uint8_t mutability = wasm_byte(reader);
        if (mutability > 1)
            wasm_fail(reader, "global %u has flags 0x%02x (shared globals are not accepted)", i, mutability);
        global->is_mutable = mutability == 1;
        mutable_count += mutability;
        if (global->is_mutable && (global->type == WASM_TYPE_FUNCREF || global->type == WASM_TYPE_V128))
            wasm_fail(reader, "global %u: a mutable global is a number; references and vectors cannot be kept", i);
        global->value = read_constant(reader, global->type);
        image->global_count = i + 1;
    }
    if (mutable_count > WASM_MUTABLE_GLOBALS_MAX)
        wasm_fail(reader, "%u mutable globals; at most %d are accepted", mutable_count, WASM_MUTABLE_GLOBALS_MAX);
}

static void read_exports(wasm_reader *reader)
{
    wasm_image *image = reader->image;
    uint32_t count = read_count(reader, "exports", 0, WASM_EXPORTS_MAX);
    for (uint32_t i = 0; i < count && !reader->has_failed; i++) {
        wasm_export export = { .name = read_name(reader) };
        export.kind = wasm_byte(reader);
        export.index = wasm_u32(reader);
        if (reader->has_failed)
            return;
        const uint32_t counts[] = { image->function_count, image->table_count, image->has_memory, image->global_count };
        if (export.kind > WASM_KIND_GLOBAL || export.index >= counts[export.kind])
            wasm_fail(reader, "export %.*s is of something that does not exist", (int)export.name.length,
                      export.name.bytes);
        for (uint32_t k = 0; k < image->export_count && !reader->has_failed; k++)
            if (image->exports[k].name.length == export.name.length &&
                memcmp(image->exports[k].name.bytes, export.name.bytes, export.name.length) == 0)
                wasm_fail(reader, "two exports are called %.*s", (int)export.name.length, export.name.bytes);
        if (export.name.length >= 7 && memcmp(export.name.bytes, "dromio:", 7) == 0)
            wasm_fail(reader, "export %.*s: names that begin with dromio: are the host's own",
                      (int)export.name.length, export.name.bytes);
        image->exports[image->export_count] = export;
        image->export_count += !reader->has_failed;
    }
}

static void read_element_items(wasm_reader *reader, bool are_expressions, uint32_t count)
{
    for (uint32_t i = 0; i < count && !reader->has_failed; i++)
        if (are_expressions)
            read_constant(reader, WASM_TYPE_FUNCREF);
        else if (wasm_u32(reader) >= reader->image->function_count)
            wasm_fail(reader, "an element names a function that does not exist");
}

/* Flags: bit 0 passive or declarative, bit 1 explicit table (or declarative), bit 2 expressions. */
static void read_elements(wasm_reader *reader)
{
    wasm_image *image = reader->image;
    uint32_t count = read_count(reader, "element segments", 0, WASM_ELEMENTS_MAX);
    for (uint32_t i = 0; i < count && !reader->has_failed; i++) {
        uint32_t flags = wasm_u32(reader), table = 0, offset = 0;
        bool is_active = (flags & 1) == 0;
        if (flags > 7)
            wasm_fail(reader, "element segment %u has unknown flags 0x%x", i, flags);
        if (is_active && (flags & 2))
            table = wasm_u32(reader);
        if (is_active)
            offset = (uint32_t)read_constant(reader, WASM_TYPE_I32);
        if ((flags & 3) != 0) {
            uint8_t kind = wasm_byte(reader);
            if (!reader->has_failed && kind != ((flags & 4) ? WASM_TYPE_FUNCREF : 0))
                wasm_fail(reader, "element segment %u is not of functions", i);
        }
        uint32_t items = read_count(reader, "elements in a segment", 0, WASM_TABLE_ELEMENTS_MAX);
        if (is_active && !reader->has_failed &&
            (table >= image->table_count || (uint64_t)offset + items > image->tables[table].minimum))
            wasm_fail(reader, "element segment %u lies outside its table", i);
        read_element_items(reader, (flags & 4) != 0, items);
        image->element_count = i + 1;
    }
}

static void read_data(wasm_reader *reader)
{
    wasm_image *image = reader->image;
    uint32_t announced = image->data_count;
    uint32_t count = read_count(reader, "data segments", 0, WASM_DATA_MAX);
    if (!reader->has_failed && image->has_data_count && count != announced)
        wasm_fail(reader, "%u data segments, but the data count section says %u", count, announced);
    for (uint32_t i = 0; i < count && !reader->has_failed; i++) {
        wasm_data *data = &image->data[i];
        uint32_t flags = wasm_u32(reader);
        if (flags > 2 || (flags == 2 && wasm_u32(reader) != 0))
            wasm_fail(reader, "data segment %u: multiple memories are not accepted", i);
        data->is_active = flags != 1;
        if (data->is_active)
            data->address = (uint32_t)read_constant(reader, WASM_TYPE_I32);
        data->length = wasm_u32(reader);
        if (!reader->has_failed && dro_cursor_bytes(&reader->in, data->length) == NULL)
            wasm_fail(reader, "data segment %u ends outside the section", i);
        uint64_t memory = image->has_memory ? (uint64_t)image->memory_minimum * WASM_PAGE : 0;
        if (data->is_active && !reader->has_failed && (uint64_t)data->address + data->length > memory)
            wasm_fail(reader, "data segment %u lies outside the memory", i);
        image->data_count = i + 1;
    }
}

static void read_code(wasm_reader *reader)
{
    uint32_t defined = reader->image->function_count - reader->image->import_count;
    uint32_t count = wasm_u32(reader);
    if (!reader->has_failed && count != defined)
        wasm_fail(reader, "%u function bodies for %u functions", count, defined);
    dro_cursor outer = reader->in;
    reader->body_count = reader->has_failed ? 0 : count;
    for (uint32_t i = 0; i < reader->body_count; i++) {
        reader->in = outer;
        uint32_t length = wasm_u32(reader);
        if (reader->has_failed)
            return;
        const uint8_t *body = dro_cursor_bytes(&reader->in, length);
        outer = reader->in;
        reader->function = reader->image->import_count + i;
        if (body == NULL || length > WASM_BODY_MAX) {
            wasm_fail(reader, body == NULL ? "the body ends outside the section" : "the body is longer than %d bytes",
                      WASM_BODY_MAX);
        } else {
            reader->in = dro_cursor_over(body, length);
            wasm_read_body(reader, reader->image->import_count + i);
        }
        reader->function = -1;
        if (body == NULL)
            return;
        reader->has_failed = false; /* told; the next body stands for itself */
    }
    reader->in = outer;
}

static void read_custom(wasm_reader *reader)
{
    uint32_t length = wasm_u32(reader);
    const uint8_t *name = dro_cursor_bytes(&reader->in, length);
    if (name == NULL) {
        wasm_fail(reader, "the name of a custom section ends outside it");
        return;
    }
    wasm_image *image = reader->image;
    wasm_text title = { (const char *)name, length };
    wasm_text rest = { (const char *)reader->in.at, (uint32_t)dro_cursor_left(&reader->in) };
    if (wasm_text_is(&title, "dromio.model")) {
        if (image->has_model)
            wasm_tell(reader, "two sections dromio.model");
        image->model = rest;
        image->has_model = true;
    }
    if (wasm_text_is(&title, "dromio.memory")) {
        image->memory_note = rest;
        image->has_memory_note = true;
    }
    reader->in.at = reader->in.end;
}

static void read_section(wasm_reader *reader, uint8_t id)
{
    static void (*const readers[])(wasm_reader *) = {
        [WASM_CUSTOM] = read_custom,   [WASM_TYPE] = read_types,       [WASM_IMPORT] = read_imports,
        [WASM_FUNCTION] = read_functions, [WASM_TABLE] = read_tables,  [WASM_MEMORY] = read_memories,
        [WASM_GLOBAL] = read_globals,  [WASM_EXPORT] = read_exports,   [WASM_ELEMENT] = read_elements,
        [WASM_CODE] = read_code,       [WASM_DATA] = read_data,
    };
    wasm_image *image = reader->image;
    if (id == WASM_START) {
        wasm_fail(reader, "a start function is not accepted; use the event created");
    } else if (id == WASM_DATA_COUNT) {
        image->data_count = read_count(reader, "data segments", 0, WASM_DATA_MAX);
        image->has_data_count = true;
    } else {
        readers[id](reader);
    }
    if (!reader->has_failed && reader->in.at != reader->in.end)
        wasm_fail(reader, "%zu bytes too many", dro_cursor_left(&reader->in));
}

static void read_sections(wasm_reader *reader, dro_cursor all)
{
    uint8_t reached = 0;
    while (all.at != all.end) {
        reader->in = all;
        reader->section = -1;
        reader->has_failed = false;
        uint8_t id = wasm_byte(reader);
        uint32_t length = wasm_u32(reader);
        all = reader->in;
        const uint8_t *body = dro_cursor_bytes(&all, length);
        if (id > WASM_DATA_COUNT) {
            wasm_tell(reader, id == 13 ? "exceptions are not accepted (tag section)" : "unknown section %u", id);
        } else if (body == NULL || reader->has_failed) {
            wasm_fail(reader, "section %u ends outside the image", id);
        } else {
            wasm_image *image = reader->image;
            if (image->section_count == WASM_SECTIONS_MAX) {
                wasm_tell(reader, "more than %d sections", WASM_SECTIONS_MAX);
                return;
            }
            image->sections[image->section_count++] =
                (wasm_section){ id, (uint32_t)(body - image->bytes), length };
            reader->in = dro_cursor_over(body, length);
            reader->section = id;
            if (id != WASM_CUSTOM && section_order[id] <= reached)
                wasm_fail(reader, "the section is out of order or there twice");
            else
                read_section(reader, id);
            reached = id != WASM_CUSTOM && section_order[id] > reached ? section_order[id] : reached;
        }
        if (body == NULL)
            return;
    }
}

dro_err wasm_read(wasm_image *image, const uint8_t *bytes, size_t length, wasm_reason_fn reason, void *context)
{
    static const uint8_t magic[8] = { 0, 'a', 's', 'm', 1, 0, 0, 0 };
    *image = (wasm_image){ .bytes = bytes, .length = length };
    wasm_reader reader = { .image = image, .in = dro_cursor_over(bytes, length), .section = -1, .function = -1,
                           .reason = reason, .context = context };
    if (length < sizeof magic || length > ADMIT_WASM_MAX || memcmp(bytes, magic, sizeof magic) != 0) {
        if (length > ADMIT_WASM_MAX)
            wasm_tell(&reader, "the image is larger than %d bytes", ADMIT_WASM_MAX);
        else
            wasm_tell(&reader, "this is not a WebAssembly module of version 1");
        return DRO_MALFORMED;
    }
    read_sections(&reader, dro_cursor_over(bytes + sizeof magic, length - sizeof magic));
    reader.section = -1;
    if (reader.reason_count == 0 && reader.body_count != image->function_count - image->import_count)
        wasm_tell(&reader, "there are functions, but no code section");
    return reader.reason_count == 0 ? DRO_OK : DRO_MALFORMED;
}

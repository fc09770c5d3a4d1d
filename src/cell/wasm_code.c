/* The opcodes a function body may have, as a table of what follows each. */
#include "cell/wasm.h"

enum shape { /* 0: not accepted */
    REFUSED, PLAIN, BLOCK, LOOP, IF, ELSE, END, LABEL, LABELS, CALL, CALL_INDIRECT, SELECT_TYPED, LOCAL, GLOBAL_GET,
    GLOBAL_SET, TABLE_READ, TABLE_WRITE, LOAD1, LOAD2, LOAD4, LOAD8, LOAD16, MEMORY_SIZE, MEMORY_GROW, CONST_I32,
    CONST_I64, CONST_4, CONST_8, CONST_16, REF_NULL, REF_FUNC, LANES16, LANES8, LANES4, LANES2,
    LOAD1_LANE, LOAD2_LANE, LOAD4_LANE, LOAD8_LANE, SHUFFLE,
    MEMORY_INIT, DATA_DROP, MEMORY_COPY, MEMORY_FILL, TABLE_INIT, ELEMENT_DROP, TABLE_COPY,
};

static const uint8_t plain_shapes[256] = {
    [0x00] = PLAIN, [0x01] = PLAIN, [0x02] = BLOCK, [0x03] = LOOP, [0x04] = IF, [0x05] = ELSE, [0x0b] = END,
    [0x0c] = LABEL, [0x0d] = LABEL, [0x0e] = LABELS, [0x0f] = PLAIN, [0x10] = CALL, [0x11] = CALL_INDIRECT,
    [0x1a] = PLAIN, [0x1b] = PLAIN, [0x1c] = SELECT_TYPED, [0x20 ... 0x22] = LOCAL, [0x23] = GLOBAL_GET,
    [0x24] = GLOBAL_SET, [0x25] = TABLE_READ, [0x26] = TABLE_WRITE,
    [0x28] = LOAD4, [0x29] = LOAD8, [0x2a] = LOAD4, [0x2b] = LOAD8, [0x2c] = LOAD1, [0x2d] = LOAD1, [0x2e] = LOAD2,
    [0x2f] = LOAD2, [0x30] = LOAD1, [0x31] = LOAD1, [0x32] = LOAD2, [0x33] = LOAD2, [0x34] = LOAD4, [0x35] = LOAD4,
    [0x36] = LOAD4, [0x37] = LOAD8, [0x38] = LOAD4, [0x39] = LOAD8, [0x3a] = LOAD1, [0x3b] = LOAD2, [0x3c] = LOAD1,
    [0x3d] = LOAD2, [0x3e] = LOAD4, [0x3f] = MEMORY_SIZE, [0x40] = MEMORY_GROW, [0x41] = CONST_I32,
    [0x42] = CONST_I64, [0x43] = CONST_4, [0x44] = CONST_8, [0x45 ... 0xc4] = PLAIN,
    [0xd0] = REF_NULL, [0xd1] = PLAIN, [0xd2] = REF_FUNC,
};

static const uint8_t prefix_fc_shapes[] = { /* saturating conversions, bulk memory, tables */
    [0 ... 7] = PLAIN, [8] = MEMORY_INIT, [9] = DATA_DROP, [10] = MEMORY_COPY, [11] = MEMORY_FILL, [12] = TABLE_INIT,
    [13] = ELEMENT_DROP, [14] = TABLE_COPY, [15] = TABLE_WRITE, [16] = TABLE_READ, [17] = TABLE_WRITE,
};

static const uint8_t prefix_fd_shapes[256] = { /* fixed-width SIMD; the gaps are not assigned */
    [0x00] = LOAD16, [0x01 ... 0x06] = LOAD8, [0x07] = LOAD1, [0x08] = LOAD2, [0x09] = LOAD4, [0x0a] = LOAD8,
    [0x0b] = LOAD16, [0x0c] = CONST_16, [0x0d] = SHUFFLE, [0x0e ... 0x14] = PLAIN, [0x15 ... 0x17] = LANES16,
    [0x18 ... 0x1a] = LANES8, [0x1b ... 0x1c] = LANES4, [0x1d ... 0x1e] = LANES2, [0x1f ... 0x20] = LANES4,
    [0x21 ... 0x22] = LANES2, [0x23 ... 0x53] = PLAIN, [0x54] = LOAD1_LANE, [0x55] = LOAD2_LANE, [0x56] = LOAD4_LANE,
    [0x57] = LOAD8_LANE, [0x58] = LOAD1_LANE, [0x59] = LOAD2_LANE, [0x5a] = LOAD4_LANE, [0x5b] = LOAD8_LANE,
    [0x5c] = LOAD4, [0x5d] = LOAD8, [0x5e ... 0x99] = PLAIN, [0x9b ... 0xa1] = PLAIN, [0xa3 ... 0xa4] = PLAIN,
    [0xa7 ... 0xae] = PLAIN, [0xb1] = PLAIN, [0xb5 ... 0xba] = PLAIN, [0xbc ... 0xc1] = PLAIN, [0xc3 ... 0xc4] = PLAIN,
    [0xc7 ... 0xce] = PLAIN, [0xd1] = PLAIN, [0xd5 ... 0xe1] = PLAIN, [0xe3 ... 0xed] = PLAIN, [0xef ... 0xff] = PLAIN,
};

typedef struct body {
    uint32_t function, local_count, depth;
    bool calls;                   /* functions of the image: it may be part of a recursion */
    bool is_if[WASM_NESTING_MAX]; /* an open if without its else */
} body;

static const char *feature_of(uint8_t opcode)
{
    if ((opcode >= 0x06 && opcode <= 0x0a) || opcode == 0x18 || opcode == 0x19 || opcode == 0x1f)
        return "exceptions";
    if (opcode == 0x12 || opcode == 0x13)
        return "tail calls";
    if (opcode == 0x14 || opcode == 0x15 || (opcode >= 0xd3 && opcode <= 0xd6))
        return "typed function references";
    if (opcode == 0xfb)
        return "garbage collection";
    if (opcode == 0xfe)
        return "threads and atomics";
    return "unknown instructions";
}

static uint32_t index_below(wasm_reader *reader, uint32_t count, const char *what)
{
    uint32_t index = wasm_u32(reader);
    if (!reader->has_failed && index >= count)
        wasm_fail(reader, "%s %u does not exist", what, index);
    return reader->has_failed ? 0 : index;
}

static void memory_needed(wasm_reader *reader)
{
    if (!reader->image->has_memory)
        wasm_fail(reader, "memory is used, but there is none");
}

static void read_address(wasm_reader *reader, unsigned width_log2)
{
    memory_needed(reader);
    uint32_t alignment = wasm_u32(reader);
    if (!reader->has_failed && (alignment & 64) != 0)
        wasm_fail(reader, "multiple memories are not accepted");
    else if (!reader->has_failed && alignment > width_log2)
        wasm_fail(reader, "an access is aligned to more than its width");
    wasm_u32(reader);
}

static void read_lane(wasm_reader *reader, uint8_t lanes)
{
    uint8_t lane = wasm_byte(reader);
    if (!reader->has_failed && lane >= lanes)
        wasm_fail(reader, "lane %u of %u", lane, lanes);
}

static void memory_zero(wasm_reader *reader, unsigned count)
{
    memory_needed(reader);
    while (count-- > 0)
        if (wasm_byte(reader) != 0)
            wasm_fail(reader, "multiple memories are not accepted");
}

/* Block type: empty, one value type, or the index of a function type. */
static void open_block(wasm_reader *reader, body *body, bool is_if)
{
    uint8_t first = dro_cursor_left(&reader->in) > 0 ? *reader->in.at : 0x40;
    if (first == 0x40 || (first & 0xc0) == 0x40) {
        if (first == 0x40)
            wasm_byte(reader);
        else
            wasm_value_type(reader);
    } else {
        int64_t index = wasm_signed(reader, 33);
        if (!reader->has_failed && (index < 0 || index >= reader->image->type_count))
            wasm_fail(reader, "a block has a type that does not exist");
    }
    if (body->depth == WASM_NESTING_MAX)
        wasm_fail(reader, "blocks are nested deeper than %d", WASM_NESTING_MAX);
    if (!reader->has_failed)
        body->is_if[body->depth++] = is_if;
}

/* A call can be ended where the cursor is. */
static void stop_add(wasm_reader *reader, const uint8_t *at)
{
    wasm_image *image = reader->image;
    if (image->stop_count == WASM_STOPS_MAX)
        wasm_fail(reader, "more than %d loops, functions and bulk operations", WASM_STOPS_MAX);
    else
        image->stops[image->stop_count++] = (uint32_t)(at - image->bytes);
}

static void stop_remove(wasm_image *image, uint32_t stop)
{
    image->stop_count--;
    memmove(&image->stops[stop], &image->stops[stop + 1], (image->stop_count - stop) * sizeof image->stops[0]);
}

static void read_control(wasm_reader *reader, body *body, enum shape shape)
{
    switch (shape) {
    case BLOCK:
    case IF:
        open_block(reader, body, shape == IF);
        break;
    case LOOP:
        open_block(reader, body, false);
        stop_add(reader, reader->in.at);
        break;
    case ELSE:
        if (!body->is_if[body->depth - 1])
            wasm_fail(reader, "else without if");
        else
            body->is_if[body->depth - 1] = false;
        break;
    case END:
        body->depth--;
        break;
    case LABEL:
        index_below(reader, body->depth, "label");
        break;
    case LABELS: {
        uint32_t count = wasm_u32(reader);
        if (count > WASM_TARGETS_MAX)
            wasm_fail(reader, "br_table with more than %d targets", WASM_TARGETS_MAX);
        for (uint32_t i = 0; i <= count && !reader->has_failed; i++)
            index_below(reader, body->depth, "label");
        break;
    }
    default: /* SELECT_TYPED */
        if (wasm_u32(reader) != 1)
            wasm_fail(reader, "select of more than one value");
        wasm_value_type(reader);
        break;
    }
}

static void read_reference(wasm_reader *reader, body *body, enum shape shape)
{
    wasm_image *image = reader->image;
    switch (shape) {
    case CALL:
        body->calls |= index_below(reader, image->function_count, "function") >= image->import_count;
        break;
    case REF_FUNC:
        index_below(reader, image->function_count, "function");
        break;
    case CALL_INDIRECT:
        body->calls = true;
        index_below(reader, image->type_count, "type");
        index_below(reader, image->table_count, "table");
        break;
    case LOCAL:
        index_below(reader, body->local_count, "local");
        break;
    case GLOBAL_GET:
        index_below(reader, image->global_count, "global");
        break;
    case GLOBAL_SET: {
        uint32_t index = index_below(reader, image->global_count, "global");
        if (!reader->has_failed && !image->globals[index].is_mutable)
            wasm_fail(reader, "global %u is constant and is set", index);
        break;
    }
    default: /* REF_NULL */
        if (wasm_value_type(reader) != WASM_TYPE_FUNCREF)
            wasm_fail(reader, "ref.null of another type than funcref");
        break;
    }
}

static void read_bulk(wasm_reader *reader, enum shape shape, const uint8_t *at)
{
    wasm_image *image = reader->image;
    if (shape != TABLE_READ && shape != DATA_DROP && shape != ELEMENT_DROP)
        stop_add(reader, at);
    switch (shape) {
    case MEMORY_INIT:
    case DATA_DROP:
        if (!image->has_data_count)
            wasm_fail(reader, "data segments are used, but there is no data count section");
        index_below(reader, image->data_count, "data segment");
        if (shape == MEMORY_INIT)
            memory_zero(reader, 1);
        image->drops_segments |= shape == DATA_DROP;
        break;
    case MEMORY_COPY:
    case MEMORY_FILL:
        memory_zero(reader, shape == MEMORY_COPY ? 2 : 1);
        break;
    case TABLE_INIT:
    case ELEMENT_DROP:
        index_below(reader, image->element_count, "element segment");
        if (shape == TABLE_INIT)
            index_below(reader, image->table_count, "table");
        image->writes_tables |= shape == TABLE_INIT;
        image->drops_segments |= shape == ELEMENT_DROP;
        break;
    case TABLE_COPY:
        index_below(reader, image->table_count, "table");
        index_below(reader, image->table_count, "table");
        image->writes_tables = true;
        break;
    default: /* TABLE_READ, TABLE_WRITE */
        index_below(reader, image->table_count, "table");
        image->writes_tables |= shape == TABLE_WRITE;
        break;
    }
}

static void read_memory_or_constant(wasm_reader *reader, enum shape shape)
{
    size_t width = 0;
    switch (shape) {
    case LOAD1: case LOAD2: case LOAD4: case LOAD8: case LOAD16:
        read_address(reader, shape - LOAD1);
        break;
    case LOAD1_LANE: case LOAD2_LANE: case LOAD4_LANE: case LOAD8_LANE:
        read_address(reader, shape - LOAD1_LANE);
        read_lane(reader, (uint8_t)(16 >> (shape - LOAD1_LANE)));
        break;
    case LANES16: case LANES8: case LANES4: case LANES2:
        read_lane(reader, (uint8_t)(16 >> (shape - LANES16)));
        break;
    case SHUFFLE:
        for (int i = 0; i < 16; i++)
            read_lane(reader, 32);
        break;
    case MEMORY_SIZE:
    case MEMORY_GROW:
        memory_zero(reader, 1);
        reader->image->uses_memory_size |= shape == MEMORY_SIZE;
        reader->image->uses_memory_grow |= shape == MEMORY_GROW;
        break;
    case CONST_I32:
        wasm_signed(reader, 32);
        break;
    case CONST_I64:
        wasm_signed(reader, 64);
        break;
    case CONST_4: width = 4; break;
    case CONST_8: width = 8; break;
    default: width = 16; break; /* CONST_16 */
    }
    if (dro_cursor_bytes(&reader->in, width) == NULL)
        wasm_fail(reader, "the body ends in a constant");
}

static enum shape read_opcode(wasm_reader *reader)
{
    uint8_t opcode = wasm_byte(reader);
    if (opcode != 0xfc && opcode != 0xfd) {
        if (plain_shapes[opcode] == REFUSED)
            wasm_fail(reader, "opcode 0x%02x: %s are not accepted", opcode, feature_of(opcode));
        return plain_shapes[opcode];
    }
    uint32_t number = wasm_u32(reader);
    enum shape shape = REFUSED;
    if (opcode == 0xfc && number < sizeof prefix_fc_shapes)
        shape = prefix_fc_shapes[number];
    if (opcode == 0xfd && number < sizeof prefix_fd_shapes)
        shape = prefix_fd_shapes[number];
    if (shape == REFUSED)
        wasm_fail(reader, "opcode 0x%02x 0x%x: %s are not accepted", opcode, number,
                  opcode == 0xfd && number >= 0x100 ? "relaxed SIMD instructions" : "unknown instructions");
    return shape;
}

static void read_locals(wasm_reader *reader, body *body)
{
    uint32_t groups = wasm_u32(reader);
    for (uint32_t i = 0; i < groups && !reader->has_failed; i++) {
        uint32_t count = wasm_u32(reader);
        wasm_value_type(reader);
        if (!reader->has_failed && count > WASM_LOCALS_MAX - body->local_count)
            wasm_fail(reader, "more than %d locals", WASM_LOCALS_MAX);
        if (!reader->has_failed)
            body->local_count += count;
    }
}

void wasm_read_body(wasm_reader *reader, uint32_t function)
{
    wasm_image *image = reader->image;
    body body = { .function = function, .local_count = image->types[image->functions[function]].parameter_count,
                  .depth = 1 };
    uint32_t entry = image->stop_count;
    read_locals(reader, &body);
    stop_add(reader, reader->in.at);
    while (!reader->has_failed && body.depth > 0) {
        const uint8_t *at = reader->in.at;
        enum shape shape = read_opcode(reader);
        if (reader->has_failed || shape == PLAIN)
            continue;
        if (shape <= LABELS || shape == SELECT_TYPED)
            read_control(reader, &body, shape);
        else if (shape <= GLOBAL_SET || shape == REF_NULL || shape == REF_FUNC)
            read_reference(reader, &body, shape);
        else if (shape >= MEMORY_INIT || shape == TABLE_READ || shape == TABLE_WRITE)
            read_bulk(reader, shape, at);
        else
            read_memory_or_constant(reader, shape);
    }
    if (!reader->has_failed && reader->in.at != reader->in.end)
        wasm_fail(reader, "bytes after the end of the body");
    if (!reader->has_failed && !body.calls)
        stop_remove(image, entry);
}

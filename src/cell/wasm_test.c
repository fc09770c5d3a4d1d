/* Images byte by byte, as an attacker writes them: the binary format of the WebAssembly core specification, 5. What authors'
 * tools write is in admit_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/builder.h"
#include "cell/admit.h"
#include "cell/wasm.h"

enum { BYTES_MAX = 4 << 20 };

static uint8_t *bytes;
static dro_builder out;
static wasm_image *image;
static char told[4096];
static uint32_t told_count;

static void on_reason(void *context, const char *reason)
{
    (void)context;
    assert_true(strlen(reason) < WASM_REASON_MAX);
    if (told_count++ < 8) {
        strncat(told, reason, sizeof told - strlen(told) - 2);
        strcat(told, "\n");
    }
}

static int begin(void **state)
{
    (void)state;
    bytes = malloc(BYTES_MAX);
    image = malloc(sizeof *image);
    return bytes == NULL || image == NULL;
}

static int end(void **state)
{
    (void)state;
    free(bytes);
    free(image);
    return 0;
}

static void module_begin(void)
{
    out = dro_builder_over(bytes, BYTES_MAX);
    dro_builder_bytes(&out, "\0asm\1\0\0\0", 8);
}

static void section(uint8_t id, const void *body, size_t length)
{
    dro_builder_le(&out, id, 1);
    dro_builder_varint(&out, length);
    dro_builder_bytes(&out, body, length);
}

static dro_err read_module(void)
{
    told[0] = '\0';
    told_count = 0;
    assert_int_equal(out.err, DRO_OK);
    return wasm_read(image, bytes, dro_builder_length(&out), on_reason, NULL);
}

static void is_refused(const char *reason)
{
    assert_int_equal(read_module(), DRO_MALFORMED);
    if (strstr(told, reason) == NULL)
        fail_msg("no \"%s\" in: %s", reason, told);
}

#define SECTION(id, text) section(id, text, sizeof(text) - 1)
#define TYPES() SECTION(WASM_TYPE, "\1\x60\0\0") /* one: nothing to nothing */
#define FUNCTIONS() SECTION(WASM_FUNCTION, "\1\0")
#define MEMORY() SECTION(WASM_MEMORY, "\1\0\1")

/* A module whose only function has this code, behind all that it may name; a table of 8, a mutable and a constant global. */
static void module_of_code(const void *code, size_t length, bool has_data_count)
{
    static uint8_t body[BYTES_MAX / 2];
    dro_builder function = dro_builder_over(body, sizeof body);
    module_begin();
    TYPES();
    FUNCTIONS();
    SECTION(WASM_TABLE, "\1\x70\0\x8");
    MEMORY();
    SECTION(WASM_GLOBAL, "\2\x7f\1\x41\0\x0b\x7f\0\x41\0\x0b");
    SECTION(WASM_ELEMENT, "\1\1\0\1\0"); /* passive, of function 0 */
    if (has_data_count)
        SECTION(WASM_DATA_COUNT, "\1");
    dro_builder_le(&function, 1, 1);
    dro_builder_varint(&function, length + 2);
    dro_builder_le(&function, 0, 1); /* no locals */
    dro_builder_bytes(&function, code, length);
    dro_builder_le(&function, 0x0b, 1);
    section(WASM_CODE, body, dro_builder_length(&function));
    SECTION(WASM_DATA, "\1\1\1x"); /* passive */
}

#define CODE(text) module_of_code(text, sizeof(text) - 1, true)

static void is_taken(void)
{
    if (read_module() != DRO_OK)
        fail_msg("told: %s", told);
}

/* ---- the file ---- */

static void what_is_no_module_is_refused(void **state)
{
    (void)state;
    module_begin();
    is_taken(); /* nothing is in it */
    bytes[4] = 2;
    is_refused("not a WebAssembly module of version 1");
    module_begin();
    out.at -= 1;
    is_refused("not a WebAssembly module of version 1");
    told[0] = '\0';
    uint8_t *large = calloc(1, ADMIT_WASM_MAX + 1);
    assert_int_equal(wasm_read(image, large, ADMIT_WASM_MAX + 1, on_reason, NULL), DRO_MALFORMED);
    assert_non_null(strstr(told, "the image is larger than"));
    free(large);
}

static void sections_keep_to_their_order_and_their_bytes(void **state)
{
    (void)state;
    module_begin();
    FUNCTIONS();
    TYPES();
    is_refused("out of order");
    module_begin();
    TYPES();
    TYPES();
    is_refused("out of order or there twice");
    module_begin();
    SECTION(13, "");
    is_refused("tag section");
    module_begin();
    SECTION(14, "");
    is_refused("unknown section 14");
    module_begin();
    dro_builder_bytes(&out, "\1\5\1", 3);
    is_refused("section 1 ends outside the image");
    module_begin();
    dro_builder_bytes(&out, "\1\x80", 2);
    is_refused("the image ends in the middle of something");
    module_begin();
    SECTION(WASM_TYPE, "\1\x60\0\0\0");
    is_refused("1 bytes too many");
    module_begin();
    SECTION(WASM_START, "\0");
    is_refused("a start function is not accepted");
    module_begin();
    for (int i = 0; i <= WASM_SECTIONS_MAX; i++)
        SECTION(WASM_CUSTOM, "\1x");
    is_refused("more than 64 sections");
    module_begin();
    SECTION(WASM_CUSTOM, "\2x");
    is_refused("the name of a custom section ends outside it");
}

static void mutable_globals_are_counted(void **state)
{
    (void)state;
    uint8_t body[1 + 5 * (WASM_MUTABLE_GLOBALS_MAX + 1)];
    for (uint8_t count = WASM_MUTABLE_GLOBALS_MAX; count <= WASM_MUTABLE_GLOBALS_MAX + 1; count++) {
        body[0] = count;
        for (uint8_t i = 0; i < count; i++)
            memcpy(body + 1 + 5 * i, "\x7f\1\x41\0\x0b", 5);
        module_begin();
        section(WASM_GLOBAL, body, 1u + 5u * count);
        if (count == WASM_MUTABLE_GLOBALS_MAX)
            is_taken();
        else
            is_refused("33 mutable globals; at most 32 are accepted");
    }
}

static void each_shorter_module_is_refused(void **state)
{
    (void)state;
    CODE("\xfc\x0a\0\0");
    size_t length = dro_builder_length(&out);
    is_taken();
    uint32_t good = 0;
    for (size_t i = 0; i < length; i++) {
        told_count = 0;
        dro_err err = wasm_read(image, bytes, i, on_reason, NULL);
        assert_int_equal(err == DRO_OK, told_count == 0);
        good += err == DRO_OK;
    }
    assert_in_range(good, 1, 3); /* it ended between two sections, before there was a function */
}

/* ---- numbers and names ---- */

static void numbers_have_as_many_bits_as_they_say(void **state)
{
    (void)state;
    static const struct { const char *bytes; uint8_t length; const char *reason; } types[] = {
        { "\x80\x80\x80\x80\x10", 5, "a number is longer than 32 bits" },     /* a bit above */
        { "\x80\x80\x80\x80\x80\0", 6, "a number is longer than 32 bits" },   /* a sixth byte, of nothing */
        { "\xff\xff\xff\xff\x0f", 5, "4294967295 types; at most 512 are accepted" },
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        module_begin();
        section(WASM_TYPE, types[i].bytes, types[i].length);
        is_refused(types[i].reason);
    }
    module_begin(); /* the same, longer than it need be: 5.2.2 allows it */
    SECTION(WASM_TYPE, "\x81\x80\x80\x80\0\x60\0\0");
    is_taken();
}

static void constants_keep_their_sign(void **state)
{
    (void)state;
    static const struct { const char *bytes; uint8_t length; uint8_t type; uint64_t value; } good[] = {
        { "\x41\x7f", 2, WASM_TYPE_I32, UINT32_MAX },
        { "\x41\xff\xff\xff\xff\x7f", 6, WASM_TYPE_I32, UINT32_MAX },
        { "\x41\x80\x80\x80\x80\x78", 6, WASM_TYPE_I32, 0x80000000 },
        { "\x42\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11, WASM_TYPE_I64, UINT64_MAX },
        { "\x42\x40", 2, WASM_TYPE_I64, (uint64_t)-64 },
        { "\x43\0\0\x80\x3f", 5, WASM_TYPE_F32, 0x3f800000 },
        { "\x44\0\0\0\0\0\0\xf0\x3f", 9, WASM_TYPE_F64, 0x3ff0000000000000 },
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint8_t body[32] = { 1, good[i].type, 1 };
        memcpy(body + 3, good[i].bytes, good[i].length);
        body[3 + good[i].length] = 0x0b;
        module_begin();
        section(WASM_GLOBAL, body, 4u + good[i].length);
        is_taken();
        assert_true(image->globals[0].value == good[i].value);
    }
    static const struct { const char *bytes; uint8_t length; const char *reason; } bad[] = {
        { "\1\x7f\1\x41\xff\xff\xff\xff\x3f\x0b", 10, "a number is longer than 32 bits" }, /* the bits past the last are no sign */
        { "\1\x7f\1\x41\x80\x80\x80\x80\x80\0\x0b", 11, "a number is longer than 32 bits" },
        { "\1\x7f\1\x42\0\x0b", 6, "of another type than what it initialises" },
        { "\1\x7d\1\x43\0\0", 6, "a constant ends outside the section" },
        { "\1\x7f\1\x23\0\x0b", 6, "only constants of the right type" },                   /* global.get: none is imported */
        { "\1\x7f\1\x41\0\x41\0\x0b", 8, "more than one instruction" },
        { "\1\x7f\2\x41\0\x0b", 6, "shared globals are not accepted" },
        { "\1\x70\1\xd0\x70\x0b", 6, "a mutable global is a number" },
        { "\1\x7b\1\xfd\x0c\1\2\3\4\5\6\7\x8\1\2\3\4\5\6\7\x8\x0b", 22, "a mutable global is a number" },
        { "\1\x70\0\xd0\x6f\x0b", 6, "ref.null of another type than funcref" },
        { "\1\x70\0\xd2\0\x0b", 6, "ref.func of a function that does not exist" },
        { "\1\x7b\0\xfd\x0d\x0b", 6, "only v128.const" },
        { "\1\x7b\0\xfd\x0c\x0b", 6, "only v128.const" },                                   /* and all of it */
        { "\1\x7f\0\xfd\x0c\x0b", 6, "only constants of the right type" },
        { "\1\x7f\0\xd0\x70\x0b", 6, "only constants of the right type" },
        { "\1\x7f\0\xd2\0\x0b", 6, "only constants of the right type" },
        { "\1\x6f\0\xd0\x6f\x0b", 6, "externref is not accepted" },
        { "\1\x64\0", 3, "value type 0x64 is not accepted" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        module_begin();
        section(WASM_GLOBAL, bad[i].bytes, bad[i].length);
        is_refused(bad[i].reason);
    }
    module_begin();
    SECTION(WASM_GLOBAL, "\2\x70\0\xd0\x70\x0b\x7b\0\xfd\x0c\1\2\3\4\5\6\7\10\1\2\3\4\5\6\7\10\x0b");
    is_taken();
}

static void names_are_short_and_printable(void **state)
{
    (void)state;
    char name[3 + WASM_NAME_MAX + 3];
    for (int length = WASM_NAME_MAX; length <= WASM_NAME_MAX + 1; length++) {
        dro_builder body = dro_builder_over((uint8_t *)name, sizeof name);
        dro_builder_le(&body, 1, 1);
        dro_builder_varint(&body, (uint64_t)length);
        memset(dro_builder_room(&body, (size_t)length), 'a', (size_t)length);
        dro_builder_bytes(&body, "\2\0", 2); /* the memory */
        module_begin();
        MEMORY();
        section(WASM_EXPORT, name, dro_builder_length(&body));
        if (length == WASM_NAME_MAX)
            is_taken();
        else
            is_refused("a name is longer than 127 bytes");
    }
    static const struct { const char *bytes; uint8_t length; const char *reason; } bad[] = {
        { "\1\x7fx", 3, "a name ends outside the section" },
        { "\1\1\x1f\2\0", 5, "outside printable ASCII" },
        { "\1\1\x7f\2\0", 5, "outside printable ASCII" },
        { "\1\1x\2\1", 5, "export x is of something that does not exist" },
        { "\1\1x\4\0", 5, "export x is of something that does not exist" },
        { "\1\1x\2", 4, "the image ends in the middle of something" },
        { "\2\1x\2\0\1x\2\0", 9, "two exports are called x" },
        { "\1\7dromio:\2\0", 11, "names that begin with dromio:" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        module_begin();
        MEMORY();
        section(WASM_EXPORT, bad[i].bytes, bad[i].length);
        is_refused(bad[i].reason);
    }
    module_begin();
    MEMORY();
    SECTION(WASM_EXPORT, "\3\1x\2\0\1y\2\0\2xy\2\0");
    is_taken();
    assert_null(wasm_export_find(image, "z"));
    assert_ptr_equal(wasm_export_find(image, "xy"), &image->exports[2]);
}

/* ---- sections ---- */

static void each_section_says_what_is_wrong_in_it(void **state)
{
    (void)state;
    static const struct { uint8_t id; const char *bytes; uint8_t length; const char *reason; } bad[] = {
        { WASM_TYPE, "\2\x5f\0\0\x60\0\0", 7, "type 0 is not a function type" },
        { WASM_TYPE, "\1\x60\x21", 3, "33 parameters; at most 32" },
        { WASM_TYPE, "\1\x60\0\x11", 4, "17 results; at most 16" },
        { WASM_TYPE, "\1\x60\2\x6f\x7f\0", 6, "externref" },
        { WASM_TYPE, "\1\x60\0\2\x6f\x7f", 6, "externref" },
        { WASM_IMPORT, "\1\6dromio\1x\0\5", 12, "type 5 does not exist" },
        { WASM_IMPORT, "\1\6dromio\1x\2\0\1", 13, "only functions can be imported" },
        { WASM_IMPORT, "\1\3env\1x\0\0", 9, "a twin imports from module dromio only" },
        { WASM_IMPORT, "\2\x6env", 5, "a name ends outside the section" },
        { WASM_FUNCTION, "\2\7\0", 3, "type 7 does not exist" },
        { WASM_TABLE, "\5", 1, "5 tables; at most 4" },
        { WASM_TABLE, "\2\x6f\0\1\x70\0\1", 7, "table 0 is not of funcref" },
        { WASM_TABLE, "\1\x70\2\1", 4, "table 0" },
        { WASM_TABLE, "\1\x70\1\2\1", 5, "maximum below minimum" },
        { WASM_TABLE, "\1\x70\0\x81\x20", 5, "table 0 has 4097 elements; at most 4096" },
        { WASM_GLOBAL, "\2\x6f\0\xd0\x6f\x0b\x7f\0\x41\0\x0b", 11, "externref" },
        { WASM_EXPORT, "\2\1x\2\0\1y\2\0", 9, "export x is of something that does not exist" },
        { WASM_DATA, "\2\1\x7fx\1\0", 6, "data segment 0 ends outside the section" },
        { WASM_DATA_COUNT, "\xff\xff\3", 3, "65535 data segments; at most 1024" },
        { WASM_MEMORY, "\2\0\1\0\1", 5, "2 memories; a twin has exactly one" },
        { WASM_MEMORY, "\1\3\1\1", 4, "shared memory and threads" },
        { WASM_MEMORY, "\1\4\1", 3, "64-bit memory" },
        { WASM_MEMORY, "\1\x8\1\0", 4, "custom page sizes" },
        { WASM_MEMORY, "\1\1\2\1", 4, "memory: maximum below minimum" },
        { WASM_MEMORY, "\1\0\0", 3, "memory of 0 pages" },
        { WASM_MEMORY, "\1\0\xff\x7f", 4, "memory of 16383 pages" },
        { WASM_ELEMENT, "\1\x8", 2, "unknown flags 0x8" },
        { WASM_ELEMENT, "\1\0\x41\0\x0b\1\0", 7, "element segment 0 lies outside its table" }, /* there is no table */
        { WASM_ELEMENT, "\1\1\1\0", 4, "element segment 0 is not of functions" },
        { WASM_ELEMENT, "\1\5\x6f\0", 4, "element segment 0 is not of functions" },
        { WASM_ELEMENT, "\1\1\0\2\7\7", 6, "an element names a function that does not exist" },
        { WASM_ELEMENT, "\1\5\x70\2\xd2\7\x0b\xd0\x70\x0b", 10, "ref.func of a function that does not exist" },
        { WASM_ELEMENT, "\1\1", 2, "the image ends in the middle of something" },
        { WASM_DATA, "\1\2\1", 3, "multiple memories are not accepted" },
        { WASM_DATA, "\1\3", 2, "multiple memories are not accepted" },
        { WASM_DATA, "\1\1\2x", 4, "data segment 0 ends outside the section" },
        { WASM_DATA, "\1\0\x41\0\x0b\1x", 7, "data segment 0 lies outside the memory" }, /* there is none */
        { WASM_CODE, "\1\2\0\x0b", 4, "1 function bodies for 0 functions" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        module_begin();
        section(bad[i].id, bad[i].bytes, bad[i].length);
        is_refused(bad[i].reason);
    }
    module_begin();
    SECTION(WASM_MEMORY, "\1\1\1\2");
    is_taken();
    assert_true(image->has_memory_maximum && image->memory_maximum == 2);
}

static void segments_lie_inside_what_they_fill(void **state)
{
    (void)state;
    static const struct { const char *bytes; uint8_t length; bool is_good; } elements[] = {
        { "\1\0\x41\6\x0b\2\0\0", 8, true },
        { "\1\0\x41\7\x0b\2\0\0", 8, false },          /* one beyond the table of 8 */
        { "\1\0\x41\x7f\x0b\2\0\0", 8, false },        /* at 4294967295 */
        { "\1\2\0\x41\0\x0b\0\1\0", 9, true },         /* with its table named */
        { "\1\2\1\x41\0\x0b\0\1\0", 9, false },
        { "\1\4\x41\0\x0b\1\xd2\0\x0b", 9, true },     /* of expressions */
        { "\1\7\x70\1\xd0\x70\x0b", 7, true },         /* declarative */
    };
    for (size_t i = 0; i < sizeof elements / sizeof elements[0]; i++) {
        module_begin();
        TYPES();
        FUNCTIONS();
        SECTION(WASM_TABLE, "\1\x70\0\x8");
        section(WASM_ELEMENT, elements[i].bytes, elements[i].length);
        SECTION(WASM_CODE, "\1\2\0\x0b");
        if (elements[i].is_good)
            is_taken();
        else
            is_refused("element segment 0 lies outside its table");
    }
    module_begin();
    MEMORY();
    SECTION(WASM_DATA, "\2\0\x41\xff\xff\3\x0b\1x\2\0\x41\0\x0b\1x"); /* the last byte of a page; and with its memory named */
    is_taken();
    module_begin();
    MEMORY();
    SECTION(WASM_DATA, "\1\0\x41\x80\x80\4\x0b\1x");
    is_refused("data segment 0 lies outside the memory");
    module_begin();
    SECTION(WASM_DATA_COUNT, "\2");
    SECTION(WASM_DATA, "\1\1\0");
    is_refused("1 data segments, but the data count section says 2");
}

static void notes_of_the_host_are_in_custom_sections(void **state)
{
    (void)state;
    module_begin();
    SECTION(WASM_CUSTOM, "\14dromio.model{}");
    SECTION(WASM_CUSTOM, "\15dromio.memory7");
    SECTION(WASM_CUSTOM, "\4name\0");
    is_taken();
    assert_true(image->has_model && image->has_memory_note);
    assert_true(wasm_text_is(&image->model, "{}") && wasm_text_is(&image->memory_note, "7"));
    SECTION(WASM_CUSTOM, "\14dromio.model{}");
    is_refused("two sections dromio.model");
}

/* ---- code ---- */

static void bodies_end_where_they_say(void **state)
{
    (void)state;
    static const struct { const char *bytes; uint8_t length; const char *reason; } bad[] = {
        { "\1\3\0\x0b", 4, "the body ends outside the section" },
        { "\1\3\0\x0b\0", 5, "bytes after the end of the body" },
        { "\1\1\0", 3, "the image ends in the middle of something" },
        { "\1\x80", 2, "the image ends in the middle of something" },
        { "\1\4\1\1\x6f\x0b", 6, "externref" },
        { "\1\6\1\x81\x10\x7f\x0b\x0b", 8, "more than 2048 locals" },
        { "\1\5\1\xff\xff\xff\xff", 7, "more than 2048 locals" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        module_begin();
        TYPES();
        FUNCTIONS();
        section(WASM_CODE, bad[i].bytes, bad[i].length);
        if (i == 6)
            assert_int_equal(read_module(), DRO_MALFORMED); /* the count is not even whole */
        else
            is_refused(bad[i].reason);
    }
    module_begin();
    TYPES();
    FUNCTIONS();
    is_refused("there are functions, but no code section");
    static uint8_t long_body[WASM_BODY_MAX + 16];
    memset(long_body, 1, sizeof long_body);
    CODE("");
    module_of_code(long_body, WASM_BODY_MAX - 2, true);
    is_taken();
    module_of_code(long_body, WASM_BODY_MAX - 1, true);
    is_refused("the body is longer than 524288 bytes");
}

static void code_names_only_what_is_there(void **state)
{
    (void)state;
    static const struct { const char *bytes; uint8_t length; const char *reason; } bad[] = {
        { "\x10\1", 2, "function 1 does not exist" }, { "\xd2\1", 2, "function 1 does not exist" }, { "\x11\1\0", 3, "type 1 does not exist" }, { "\x11\0\1", 3, "table 1 does not exist" },
        { "\x20\0", 2, "local 0 does not exist" }, { "\x23\2", 2, "global 2 does not exist" }, { "\x24\2", 2, "global 2 does not exist" }, { "\x24\1", 2, "global 1 is constant and is set" },
        { "\x25\1", 2, "table 1 does not exist" }, { "\x26\1", 2, "table 1 does not exist" }, { "\x0c\1", 2, "label 1 does not exist" }, { "\x0e\1\0\1", 4, "label 1 does not exist" },
        { "\x0e\x81\x20", 3, "br_table with more than 4096 targets" }, { "\x02\5", 2, "a block has a type that does not exist" }, { "\x02\x6f", 2, "externref" }, { "\x05", 1, "else without if" },
        { "\x02\x40\x05\x0b", 4, "else without if" }, { "\x04\x40\x05\x05\x0b", 5, "else without if" }, { "\x1c\2\x7f\x7f", 4, "select of more than one value" }, { "\x1c\1\x6f", 3, "externref" },
        { "\xd0\x6f", 2, "externref" }, { "\xd0\x7f", 2, "ref.null of another type than funcref" }, { "\xfc\x8\1\0", 4, "data segment 1 does not exist" }, { "\xfc\x9\1", 3, "data segment 1 does not exist" },
        { "\xfc\x0c\1\0", 4, "element segment 1 does not exist" }, { "\xfc\x0c\0\1", 4, "table 1 does not exist" }, { "\xfc\x0d\1", 3, "element segment 1 does not exist" }, { "\xfc\x0e\1\0", 4, "table 1 does not exist" },
        { "\xfc\x0f\1", 3, "table 1 does not exist" }, { "\xfc\x8\0\1", 4, "multiple memories" }, { "\xfc\x0a\0\1", 4, "multiple memories" }, { "\x3f\1", 2, "multiple memories" },
        { "\x28\x42\0\0", 4, "multiple memories" }, { "\x28\3\0", 3, "aligned to more than its width" }, { "\x2c\1\0", 3, "aligned to more than its width" },
        { "\xfd\x18\x8", 3, "lane 8 of 8" }, { "\xfd\x1b\4", 3, "lane 4 of 4" }, { "\xfd\x1d\2", 3, "lane 2 of 2" }, { "\xfd\x55\1\0\x8", 5, "lane 8 of 8" },
        { "\xfd\x56\2\0\4", 5, "lane 4 of 4" }, { "\x02\x80\x7f", 3, "a block has a type that does not exist" }, { "\xfd\x15\x10", 3, "lane 16 of 16" }, { "\xfd\x54\0\0\x10", 5, "lane 16 of 16" }, { "\xfd\x57\0\0\2", 5, "lane 2 of 2" }, { "\xfd\x0d\x20", 3, "lane 32 of 32" },
        { "\x43\0", 2, "the body ends in a constant" }, { "\xfd\x0c\0", 3, "the body ends in a constant" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        module_of_code(bad[i].bytes, bad[i].length, true);
        is_refused(bad[i].reason);
    }
}

static void code_that_is_sound_is_taken(void **state)
{
    (void)state;
    CODE("\x02\x40\x0b\x03\x7f\x41\0\x0b\x1a\x02\0\x0b\x04\x40\x05\x0b\x0c\0\x0e\1\0\0\x10\0\x11\0\0\x1c\1\x7f\xd0\x70\xd2\0\x23\0\x24\0\x25\0\x26\0"
         "\x28\2\0\x2c\0\0\xfd\0\4\0\xfd\x15\x0f\xfd\x57\0\0\1\xfd\x0d\0\1\2\3\4\5\6\7\x8\x9\x0a\x0b\x0c\x0d\x0e\x1f\x3f\0\x40\0\x42\0\x43\0\0\0\0\x44\0\0\0\0\0\0\0\0"
         "\xfc\0\xfc\x8\0\0\xfc\x9\0\xfc\x0a\0\0\xfc\x0b\0\xfc\x0c\0\0\xfc\x0d\0\xfc\x0e\0\0\xfc\x0f\0\xfc\x10\0\xfc\x11\0");
    is_taken();
    assert_true(image->writes_tables && image->drops_segments && image->uses_memory_size && image->uses_memory_grow);
    assert_int_equal(image->stop_count, 10); /* the function, which calls itself; its loop; table.set and what takes long at once */
    CODE("\x02\0\x0b\x02\x7f\x41\0\x0b\x1a"); /* a block with the type of a function, and with one value */
    is_taken();
    CODE("\x01");
    is_taken();
    assert_int_equal(image->stop_count, 0);
    assert_false(image->writes_tables || image->drops_segments || image->uses_memory_size || image->uses_memory_grow);
}

static void memory_and_segments_are_used_where_there_are_some(void **state)
{
    (void)state;
    module_of_code("\xfc\x9\0", 3, false);
    is_refused("data segments are used, but there is no data count section");
    static const struct { const char *bytes; uint8_t length; } uses[] = { { "\x28\0\0", 3 }, { "\x3f\0", 2 }, { "\x40\0", 2 }, { "\xfc\x0b\0", 3 } };
    for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++) {
        uint8_t body[16] = { 1, (uint8_t)(uses[i].length + 2), 0 };
        memcpy(body + 3, uses[i].bytes, uses[i].length);
        body[3 + uses[i].length] = 0x0b;
        module_begin();
        TYPES();
        FUNCTIONS();
        section(WASM_CODE, body, 4u + uses[i].length);
        is_refused("memory is used, but there is none");
    }
}

static void opcodes_of_proposals_are_named(void **state)
{
    (void)state;
    static const struct { uint8_t opcode; const char *reason; } refused[] = {
        { 0x06, "exceptions" }, { 0x07, "exceptions" }, { 0x08, "exceptions" }, { 0x09, "exceptions" }, { 0x0a, "exceptions" }, { 0x18, "exceptions" }, { 0x19, "exceptions" }, { 0x1f, "exceptions" },
        { 0x12, "tail calls" }, { 0x13, "tail calls" }, { 0x14, "typed function references" }, { 0x15, "typed function references" }, { 0xd3, "typed function references" },
        { 0xd6, "typed function references" }, { 0xfb, "garbage collection" }, { 0xfe, "threads and atomics" }, { 0xd7, "unknown instructions" }, { 0x16, "unknown instructions" },
        { 0x27, "unknown instructions" }, { 0xff, "unknown instructions" },
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        module_of_code(&refused[i].opcode, 1, true);
        is_refused(refused[i].reason);
    }
    CODE("\xfd\x80\2");
    is_refused("relaxed SIMD instructions");
    CODE("\xfd\x9a\1");
    is_refused("opcode 0xfd 0x9a: unknown instructions");
    CODE("\xfc\x12");
    is_refused("opcode 0xfc 0x12: unknown instructions");
    CODE("\xfc\x80\2");
    is_refused("unknown instructions");
}

static void depth_and_number_of_blocks_have_a_bound(void **state)
{
    (void)state;
    static uint8_t code[2 * (WASM_STOPS_MAX + 16) + 2 * (WASM_STOPS_MAX + 16)];
    for (int depth = WASM_NESTING_MAX - 1; depth <= WASM_NESTING_MAX; depth++) { /* the function is one too */
        size_t length = 0;
        for (int i = 0; i < depth; i++, length += 2)
            memcpy(code + length, "\x02\x40", 2);
        memset(code + length, 0x0b, (size_t)depth);
        module_of_code(code, length + (size_t)depth, true);
        if (depth < WASM_NESTING_MAX)
            is_taken();
        else
            is_refused("blocks are nested deeper than 512");
    }
    for (uint32_t loops = WASM_STOPS_MAX - 1; loops <= WASM_STOPS_MAX; loops++) { /* the function is one too, till its end shows that it calls nobody */
        for (uint32_t i = 0; i < loops; i++)
            memcpy(code + 3 * i, "\x03\x40\x0b", 3);
        module_of_code(code, 3 * loops, true);
        if (loops < WASM_STOPS_MAX)
            is_taken();
        else
            is_refused("more than 65536 loops, functions and bulk operations");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_module_is_refused),
        cmocka_unit_test(sections_keep_to_their_order_and_their_bytes),
        cmocka_unit_test(mutable_globals_are_counted),
        cmocka_unit_test(each_shorter_module_is_refused),
        cmocka_unit_test(numbers_have_as_many_bits_as_they_say),
        cmocka_unit_test(constants_keep_their_sign),
        cmocka_unit_test(names_are_short_and_printable),
        cmocka_unit_test(each_section_says_what_is_wrong_in_it),
        cmocka_unit_test(segments_lie_inside_what_they_fill),
        cmocka_unit_test(notes_of_the_host_are_in_custom_sections),
        cmocka_unit_test(bodies_end_where_they_say),
        cmocka_unit_test(code_names_only_what_is_there),
        cmocka_unit_test(code_that_is_sound_is_taken),
        cmocka_unit_test(memory_and_segments_are_used_where_there_are_some),
        cmocka_unit_test(opcodes_of_proposals_are_named),
        cmocka_unit_test(depth_and_number_of_blocks_have_a_bound),
    };
    return cmocka_run_group_tests_name("wasm", tests, begin, end);
}

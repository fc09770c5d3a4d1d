/* Wasm: reads the binary format of an uploaded image, by allow-list. It knows
 * MVP, sign extension, saturating conversions, bulk memory, multi-value, funcref
 * tables and fixed-width SIMD; everything else is a reason for refusal, told in
 * words an author of a twin understands. Structure, indexes, limits and constant
 * expressions are checked here; types on the stack are left to the two validators
 * that follow (wabt's and the engine's).
 *
 * Borrows the bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cursor.h"
#include "base/err.h"

enum {
    WASM_PAGE = 65536,
    WASM_TYPES_MAX = 512,
    WASM_PARAMETERS_MAX = 32,
    WASM_RESULTS_MAX = 16,
    WASM_IMPORTS_MAX = 32,
    WASM_FUNCTIONS_MAX = 8192,     /* with imported ones */
    WASM_TABLES_MAX = 4,
    WASM_TABLE_ELEMENTS_MAX = 4096,
    WASM_GLOBALS_MAX = 256,
    WASM_MUTABLE_GLOBALS_MAX = 32,
    WASM_EXPORTS_MAX = 256,
    WASM_ELEMENTS_MAX = 256,       /* element segments */
    WASM_DATA_MAX = 1024,          /* data segments */
    WASM_LOCALS_MAX = 2048,        /* of one function, with parameters */
    WASM_BODY_MAX = 512 * 1024,    /* bytes of one function */
    WASM_NESTING_MAX = 512,        /* blocks in blocks */
    WASM_TARGETS_MAX = 4096,       /* of one br_table */
    WASM_STOPS_MAX = 65536,        /* loops, functions that call others, bulk operations */
    WASM_NAME_MAX = 127,           /* bytes of an import's or export's name */
    WASM_SECTIONS_MAX = 64,
    WASM_REASON_MAX = 200,         /* bytes of one reason with NUL */
};

enum wasm_value_type { WASM_TYPE_I32 = 0x7f, WASM_TYPE_I64 = 0x7e, WASM_TYPE_F32 = 0x7d, WASM_TYPE_F64 = 0x7c, WASM_TYPE_V128 = 0x7b,
                       WASM_TYPE_FUNCREF = 0x70 };
enum wasm_kind { WASM_KIND_FUNCTION, WASM_KIND_TABLE, WASM_KIND_MEMORY, WASM_KIND_GLOBAL };
enum wasm_section_id { WASM_CUSTOM, WASM_TYPE, WASM_IMPORT, WASM_FUNCTION, WASM_TABLE, WASM_MEMORY, WASM_GLOBAL,
                       WASM_EXPORT, WASM_START, WASM_ELEMENT, WASM_CODE, WASM_DATA, WASM_DATA_COUNT };

typedef struct wasm_text { const char *bytes; uint32_t length; } wasm_text;

typedef struct wasm_type {
    uint8_t parameter_count, result_count;
    uint8_t parameters[WASM_PARAMETERS_MAX];
    uint8_t results[WASM_RESULTS_MAX];
} wasm_type;

typedef struct wasm_import { wasm_text name; uint32_t type; uint32_t offset; bool is_refused; } wasm_import; /* is_refused: told already */
typedef struct wasm_table { uint32_t minimum; } wasm_table;
typedef struct wasm_export { wasm_text name; uint8_t kind; uint32_t index; } wasm_export;
typedef struct wasm_section { uint8_t id; uint32_t offset, length; } wasm_section; /* of the body */
typedef struct wasm_data { bool is_active; uint32_t address, length; } wasm_data;

typedef struct wasm_global {
    uint8_t type;
    bool is_mutable;
    uint64_t value; /* of a number's initialiser */
} wasm_global;

typedef struct wasm_image {
    const uint8_t *bytes;
    size_t length;
    uint32_t type_count, import_count, function_count, table_count, global_count, export_count;
    uint32_t element_count, data_count, section_count;
    bool has_memory, has_memory_maximum, has_data_count;
    bool is_broken;                            /* a section could not be read to its end: what is here is not all */
    uint32_t memory_minimum, memory_maximum;   /* pages */
    bool uses_memory_size, uses_memory_grow, writes_tables, drops_segments;
    wasm_text model;                           /* custom section dromio.model */
    bool has_model;
    wasm_text memory_note;                     /* custom section dromio.memory */
    bool has_memory_note;
    wasm_section sections[WASM_SECTIONS_MAX];
    wasm_type types[WASM_TYPES_MAX];
    wasm_import imports[WASM_IMPORTS_MAX];
    uint32_t functions[WASM_FUNCTIONS_MAX];    /* type of each; imported ones first */
    wasm_table tables[WASM_TABLES_MAX];
    wasm_global globals[WASM_GLOBALS_MAX];
    wasm_export exports[WASM_EXPORTS_MAX];
    wasm_data data[WASM_DATA_MAX];
    /* Offsets in the code where a call can be ended, ascending. A call that meets none of them for long does not
     * exist: whatever repeats is a loop or a function that is called, and only bulk operations take long at once. */
    uint32_t stop_count;
    uint32_t stops[WASM_STOPS_MAX];
} wasm_image;

typedef void (*wasm_reason_fn)(void *context, const char *reason);

/* Reads all of it. DRO_MALFORMED after telling every reason. `image` is large: allocate it. */
DRO_CHECKED dro_err wasm_read(wasm_image *image, const uint8_t *bytes, size_t length, wasm_reason_fn reason,
                              void *context);

const wasm_export *wasm_export_find(const wasm_image *image, const char *name);
bool wasm_text_is(const wasm_text *text, const char *other);

/* ---- Between wasm.c and wasm_code.c ---- */

typedef struct wasm_reader {
    wasm_image *image;
    dro_cursor in;          /* of the section or body being read */
    int section;            /* for reasons; -1: none */
    int64_t function;       /* for reasons; -1: none */
    bool has_failed;        /* this section or body: the first failure is told, the rest is skipped */
    uint32_t reason_count;
    uint32_t body_count;    /* bodies the code section has */
    wasm_reason_fn reason;
    void *context;
} wasm_reader;

/* Tells a reason with its place and ends the section or body. */
__attribute__((format(printf, 2, 3))) void wasm_fail(wasm_reader *reader, const char *format, ...);
/* Tells a reason without ending anything. */
__attribute__((format(printf, 2, 3))) void wasm_tell(wasm_reader *reader, const char *format, ...);
uint32_t wasm_u32(wasm_reader *reader);
uint64_t wasm_unsigned(wasm_reader *reader, unsigned bits);
int64_t wasm_signed(wasm_reader *reader, unsigned bits);
uint8_t wasm_byte(wasm_reader *reader);
uint8_t wasm_value_type(wasm_reader *reader);
/* One function body; the cursor is over exactly it. */
void wasm_read_body(wasm_reader *reader, uint32_t function);

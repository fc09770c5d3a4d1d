/* What an author wants to know of an image just built, and the section with its model.
 * Reads the output of our own linker with named bounds; the host trusts none of this
 * and looks for itself (src/cell/admit.h). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/builder.h"
#include "base/err.h"

enum {
    TWIN_WASM_MAX = 4 * 1024 * 1024, /* bytes of an image, ADMIT_WASM_MAX */
    TWIN_WASM_NAME_MAX = 63,
    TWIN_WASM_NAMES_MAX = 64,        /* imports, and exports */
    TWIN_WASM_GLOBALS_MAX = 64,
    TWIN_WASM_PAGE = 65536,
};

typedef struct twin_wasm_name {
    char text[TWIN_WASM_NAME_MAX + 1];
} twin_wasm_name;

typedef struct twin_wasm {
    uint32_t import_count, export_count;
    twin_wasm_name imports[TWIN_WASM_NAMES_MAX]; /* of the module `dromio`; others as "module.name" */
    twin_wasm_name exports[TWIN_WASM_NAMES_MAX];
    bool has_foreign_import;
    uint32_t pages;     /* of memory at the start */
    int64_t heap_base;  /* end of stack and data; -1: not exported */
    bool has_model;
} twin_wasm;

DRO_CHECKED dro_err twin_wasm_read(twin_wasm *out, const uint8_t *bytes, size_t length);
bool twin_wasm_exports(const twin_wasm *wasm, const char *name);
/* Bytes of the model inside, borrowed; NULL: there is none. */
const char *twin_wasm_model(const uint8_t *bytes, size_t length, size_t *model_length);
/* The custom section `dromio.model`, to be appended to an image. */
void twin_wasm_write_model(dro_builder *out, const char *json, size_t length);

/* Artifact: what admit makes of an image and a cell loads. Only a MAC makes it
 * trustworthy; the reader checks its form all the same, so that a broken one ends
 * as an error and not as a crash. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "cell/engine.h"
#include "twin/model.h"

enum {
    ARTIFACT_CODE_MAX = 64 * 1024 * 1024,
    ARTIFACT_KEY_MAX = 63,
    CHUNK = 64, /* contexts are made of chunks; the memory's length is a multiple */
};

/* What a cell needs to know besides code and memory. */
typedef struct artifact_info {
    uint32_t memory_bytes;       /* at the start */
    uint32_t memory_limit;       /* what it may grow to */
    uint32_t event_buffer;       /* address; EVENT_BYTES_MAX bytes */
    uint32_t dead_start, dead_end; /* stack: dead between turns while dead_global holds its first value */
    uint32_t dead_global;        /* number of the stack pointer; only if dead_end > dead_start */
    uint32_t global_count;       /* mutable ones */
    uint32_t table_count;        /* watched ones: none unless tables are written */
    uint64_t globals[ENGINE_GLOBALS_MAX]; /* first values, bits */
    bool is_exact, is_fresh, exports_state;
    bool computes;               /* whole pages, compiled for speed: see engine.h */
    bool is_plain_wanted;        /* made with exact memory switched off */
    uint8_t property_count, event_count;
    uint8_t property_kinds[MODEL_PROPERTIES_MAX]; /* value_kind */
    uint8_t event_kinds[MODEL_EVENTS_MAX];
} artifact_info;

typedef struct artifact {        /* borrows the bytes it was read from */
    artifact_info info;
    char key[ARTIFACT_KEY_MAX + 1]; /* engine_key of the maker */
    const uint8_t *baseline;     /* memory at the start; zeros follow */
    uint32_t baseline_length;
    const uint8_t *code;
    size_t code_length;
} artifact;

/* *bytes is malloc'd. */
DRO_CHECKED dro_err artifact_write(const artifact *artifact, uint8_t **bytes, size_t *length);
DRO_CHECKED dro_err artifact_read(artifact *artifact, const uint8_t *bytes, size_t length);

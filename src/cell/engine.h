/* Engine: the WebAssembly engine behind a few functions; nothing else includes its
 * header. One thread uses an engine; only engine_stop and engine_call_number may come
 * from another.
 *
 * Memories of instances are ours: mapped once, kept in a list, cleared when an
 * instance goes. So an instance can be made and freed after the filter has closed,
 * with no system call, as long as one of its size was made before.
 *
 * A module may have a second memory: it is one page of the engine's own, the same in
 * all instances, and its first word is not zero once the call that runs is to end. The
 * code that looks at it, and traps, is put into an image by rewrite.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    ENGINE_STACK = 64 * 1024,     /* bytes of native stack guest code may use */
    ENGINE_REASON_MAX = 200,
    ENGINE_ENTRIES_MAX = 4,       /* exported functions that are called */
    ENGINE_GLOBALS_MAX = 32,
    ENGINE_TABLES_MAX = 4,
    ENGINE_NAME_MAX = 24,
    ENGINE_COMPUTES_RESERVED_MIB = 4096, /* address space of a memory of code that computes */
    ENGINE_COMPUTES_GUARD_MIB = 32,      /* and behind it */
};

typedef struct engine engine;
typedef struct engine_code engine_code;
typedef struct engine_instance engine_instance;

typedef union engine_value { /* of a parameter or result */
    int32_t i32;
    int64_t i64;
    double f64;
    uint8_t bytes[16];
} engine_value;

/* A function guest code imports. Parameters are in `values`, the result goes to
 * values[0]. False stops the call with ENGINE_REFUSED. */
typedef bool (*engine_import_fn)(void *context, engine_value *values);

typedef struct engine_import {
    const char *name;
    const uint8_t *parameters;       /* types as WebAssembly encodes them */
    uint32_t parameter_count;
    uint8_t result;                  /* 0: none */
    engine_import_fn call;
} engine_import;

/* Code that computes is compiled for speed: its memory is whole pages, which cannot grow, in address space where
 * nothing else is, so that no address is compared; and the bits of a NaN are the processor's. */
typedef struct engine_options {
    const char *module;              /* of the imports */
    const engine_import *imports;    /* borrowed for the life of the engine */
    uint32_t import_count;
    const char *entries[ENGINE_ENTRIES_MAX]; /* names of exported functions, NULL: none */
    void *context;                   /* for the imports */
} engine_options;

typedef enum engine_outcome {
    ENGINE_DONE,
    ENGINE_TRAP,
    ENGINE_OUT_OF_BOUNDS,
    ENGINE_STACK_OVERFLOW,
    ENGINE_DEADLINE,     /* engine_stop ended it */
    ENGINE_REFUSED,      /* an import said no */
    ENGINE_FAILED,       /* the engine itself */
} engine_outcome;

/* The linear memory of an instance. Grows in place, up to `limit`. */
typedef struct engine_memory {
    uint8_t *bytes;
    uint32_t length;     /* now */
    uint32_t capacity;   /* mapped */
    uint32_t limit;      /* growth stops here */
    bool was_refused;    /* guest code asked for more than `limit` */
} engine_memory;

typedef struct engine_code_options {
    uint32_t global_count; /* exported as dromio:g0, dromio:g1, ... */
    uint32_t table_count;  /* exported as dromio:t0, ... */
    uint32_t memory_limit; /* bytes the memory may grow to */
    bool computes;         /* as it was compiled */
} engine_code_options;

DRO_CHECKED dro_err engine_new(engine **out, const engine_options *options);
void engine_free(engine *engine);

/* As an author's image has to be: without a second memory, atomic loads or pages of another
 * size, which only rewrite.h may bring in. DRO_MALFORMED: `reason` says why. */
DRO_CHECKED dro_err engine_validate(engine *engine, const uint8_t *wasm, size_t length, char reason[ENGINE_REASON_MAX]);
/* Validates and compiles; *code is malloc'd. DRO_MALFORMED: `reason` says why. */
DRO_CHECKED dro_err engine_compile(engine *engine, const uint8_t *wasm, size_t length, bool computes,
                                   uint8_t **code, size_t *code_length, char reason[ENGINE_REASON_MAX]);
/* Takes what engine_compile of an equal engine made, nothing else: it is native code.
 * DRO_UNSUPPORTED: made by another engine, for another processor, or with other imports. */
DRO_CHECKED dro_err engine_load(engine_code **out, engine *engine, const uint8_t *code, size_t length,
                                const engine_code_options *options, char reason[ENGINE_REASON_MAX]);
void engine_code_free(engine_code *code);

/* Names what an artifact depends on: engine, processor. Equal text: engine_load will take it. */
const char *engine_key(void);

DRO_CHECKED dro_err engine_instance_new(engine_instance **out, engine_code *code);
void engine_instance_free(engine_instance *instance); /* clears its memory */
engine_memory *engine_instance_memory(engine_instance *instance);
bool engine_has_entry(const engine_instance *instance, uint32_t entry);

/* Calls entry number `entry`; parameters in and results out of `values`. */
engine_outcome engine_call(engine_instance *instance, uint32_t entry, engine_value *values, uint32_t value_count);

/* The bits of a mutable number. */
uint64_t engine_global_get(engine_instance *instance, uint32_t global);
bool engine_global_set(engine_instance *instance, uint32_t global, uint64_t bits);
/* DRO_LIMIT, DRO_NOMEM: not grown. */
DRO_CHECKED dro_err engine_memory_grow_to(engine_instance *instance, uint32_t length);
/* A digest of what the tables of an instance hold; comparable within the same instance only. */
uint64_t engine_tables_digest(engine_instance *instance);

/* From any thread: the number of the call that runs or ran last, and the end of that call, if it still
 * runs, at the next place where it looks. Code that was not rewritten never looks. */
uint32_t engine_call_number(const engine *engine);
void engine_stop(engine *engine, uint32_t call);

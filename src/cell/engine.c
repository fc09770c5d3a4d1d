#include "cell/engine.h"

#include <assert.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <wasmtime.h>

#include "base/wipe.h"

/* The long-term line comes with the official headers. The header made from the wheel's bindings
 * (tools/wasmtime_header.py) has numbers where callbacks return pointers, no const, and an
 * underscore behind what is a keyword of Python. */
#ifdef WASMTIME_API_H
typedef wasmtime_error_t *error_result;
typedef wasm_trap_t *trap_result;
typedef uint8_t *bytes_result;
typedef const wasm_memorytype_t memory_type;
static wasmtime_global_t global_of(const wasmtime_extern_t *found) { return found->of.global; }
#else
typedef uint64_t error_result, trap_result, bytes_result;
typedef wasm_memorytype_t memory_type;
static wasmtime_global_t global_of(const wasmtime_extern_t *found) { return found->of.global_; }
#endif

/* Values of enumerations, which the header made from the wheel does not have.
 * engine_test.c checks each by what it does. */
enum { KIND_I32 = 0, KIND_I64 = 1, KIND_F64 = 3 };               /* wasm_valkind_enum, wasmtime_valkind */
enum { EXTERN_FUNC = 0, EXTERN_GLOBAL = 1, EXTERN_TABLE = 2, EXTERN_MEMORY = 3 };
enum { TRAP_STACK_OVERFLOW = 0, TRAP_OUT_OF_BOUNDS = 1, TRAP_UNREACHABLE = 9 };
enum { OPT_LEVEL_SPEED = 1 };

enum {
    RESERVED = 64 * 1024,           /* address space the engine wants for a memory */
    GUARD = 64 * 1024,              /* ours, behind each memory: never touched by right code */
    MEMORIES_MAX = 4096,
    CODE_VERSION = 2,               /* of what this file and rewrite.c make of an image: older artifacts are made anew */
    WASM_PAGE_BYTES = 64 * 1024,
    STOP_BYTES = WASM_PAGE_BYTES,   /* the second memory, of which one word is used */
};

/* Wherever a 32-bit address and the offset of an access lead, it is this memory or no memory: nothing is compared. */
static const size_t COMPUTES_RESERVED = (size_t)ENGINE_COMPUTES_RESERVED_MIB << 20;
static const size_t COMPUTES_GUARD = (size_t)ENGINE_COMPUTES_GUARD_MIB << 20;

static const uint64_t STOP_FLAG = 1; /* of the stop word; the call's number is above */
enum { STOP_CALL_SHIFT = 32 };
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the flag is in the half that guest code looks at");

_Static_assert(sizeof(engine_value) == sizeof(wasmtime_val_raw_t), "values are passed as they are");

typedef struct pooled_memory {
    engine_memory memory;
    size_t mapped;             /* address space, with what is reserved and the guard */
    bool computes;             /* for code that compares no addresses */
    engine_instance *user;
    struct pooled_memory *next;
} pooled_memory;

typedef struct bound_import { engine *engine; const engine_import *import; } bound_import;

typedef struct variant { /* of the engine: what its code can rely on */
    wasm_engine_t *wasm;
    wasmtime_linker_t *linker;
} variant;

struct engine {
    engine_options options;
    variant variants[2];       /* usual, for images that compute; made when first needed */
    bound_import *bound;
    pooled_memory *free_memories;
    uint32_t memory_count;
    engine_instance *making;   /* whose memory is being made */
    _Atomic uint64_t *stop;    /* its lower half is what guest code looks at: end the call? */
    uint32_t call;             /* number of the last one */
    bool was_refused;          /* an import ended the call */
    bool knows_signal_stack;
    void *signal_stack;        /* the engine's own, of the thread that calls */
    size_t signal_stack_bytes;
};

struct engine_code {
    engine *engine;
    engine_code_options options;
    wasmtime_module_t *module;
    wasmtime_instance_pre_t *pre;
};

struct engine_instance {
    engine_code *code;
    wasmtime_store_t *store;
    wasmtime_context_t *context;
    wasmtime_instance_t instance;
    pooled_memory *pooled;
    uint8_t entry_bits;
    uint8_t global_kinds[ENGINE_GLOBALS_MAX];
    wasmtime_func_t entries[ENGINE_ENTRIES_MAX];
    wasmtime_global_t globals[ENGINE_GLOBALS_MAX];
    wasmtime_table_t tables[ENGINE_TABLES_MAX];
};

/* ---- Memories ---- */

static pooled_memory *pooled_memory_map(engine *engine, uint32_t capacity, bool computes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t usable = ((size_t)capacity + page - 1) & ~(page - 1);
    size_t total = (usable < RESERVED ? RESERVED : usable) + GUARD;
    if (computes)
        total = COMPUTES_RESERVED + COMPUTES_GUARD;
    pooled_memory *pooled = calloc(1, sizeof *pooled);
    if (pooled == NULL || engine->memory_count >= MEMORIES_MAX) {
        free(pooled);
        return NULL;
    }
    uint8_t *bytes = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (bytes == MAP_FAILED || mprotect(bytes, usable, PROT_READ | PROT_WRITE) != 0) {
        if (bytes != MAP_FAILED)
            munmap(bytes, total);
        free(pooled);
        return NULL;
    }
    pooled->memory.bytes = bytes;
    pooled->memory.capacity = (uint32_t)usable;
    pooled->mapped = total;
    pooled->computes = computes;
    engine->memory_count++;
    return pooled;
}

static void pooled_memory_unmap(pooled_memory *pooled)
{
    munmap(pooled->memory.bytes, pooled->mapped);
    free(pooled);
}

/* Code that compares no addresses can reach all that is mapped, so that has to be what it asked for. */
static bool pooled_memory_fits(const pooled_memory *pooled, uint32_t capacity, bool computes)
{
    return pooled->computes == computes &&
           (computes ? pooled->memory.capacity == capacity : pooled->memory.capacity >= capacity);
}

/* The smallest free one that is large enough, so that a large one stays for who needs it. */
static pooled_memory *pooled_memory_take(engine *engine, uint32_t capacity, bool computes)
{
    pooled_memory **best = NULL;
    for (pooled_memory **at = &engine->free_memories; *at != NULL; at = &(*at)->next)
        if (pooled_memory_fits(*at, capacity, computes) &&
            (best == NULL || (*at)->memory.capacity < (*best)->memory.capacity))
            best = at;
    if (best == NULL)
        return pooled_memory_map(engine, capacity, computes);
    pooled_memory *pooled = *best;
    *best = pooled->next;
    return pooled;
}

static bytes_result on_memory_get(void *env, size_t *byte_size, size_t *byte_capacity)
{
    pooled_memory *pooled = env;
    *byte_size = pooled->memory.length;
    *byte_capacity = pooled->memory.capacity;
    return (bytes_result)(uintptr_t)pooled->memory.bytes;
}

static error_result on_memory_grow(void *env, size_t length)
{
    pooled_memory *pooled = env;
    if (length > pooled->memory.limit || length > pooled->memory.capacity) {
        pooled->memory.was_refused = true;
        return (error_result)(uintptr_t)wasmtime_error_new((char *)(uintptr_t)"the memory is at its limit");
    }
    pooled->memory.length = (uint32_t)length;
    return 0;
}

static void on_memory_gone(void *env)
{
    pooled_memory *pooled = env;
    engine *engine = pooled->user->code->engine;
    dro_wipe(pooled->memory.bytes, pooled->memory.length);
    pooled->memory.length = 0;
    pooled->user->pooled = NULL;
    pooled->user = NULL;
    pooled->next = engine->free_memories;
    engine->free_memories = pooled;
}

static bytes_result on_stop_get(void *env, size_t *byte_size, size_t *byte_capacity)
{
    *byte_size = *byte_capacity = STOP_BYTES;
    return (bytes_result)(uintptr_t)env;
}

static error_result on_stop_grow(void *env, size_t length)
{
    (void)env, (void)length;
    return (error_result)(uintptr_t)wasmtime_error_new((char *)(uintptr_t)"the memory is at its limit");
}

static void on_stop_gone(void *env)
{
    (void)env; /* the engine's, for all instances */
}

/* A module has the image's own memory and, where admit rewrote it, ours. */
static error_result on_memory_new(void *env, memory_type *type, size_t minimum, size_t maximum, size_t reserved,
                                  size_t guard, wasmtime_linear_memory_t *out)
{
    engine *engine = env;
    engine_instance *instance = engine->making;
    (void)type, (void)maximum, (void)reserved, (void)guard;
    assert(instance != NULL);
    if (instance->pooled != NULL) {
        *out = (wasmtime_linear_memory_t){ .env = (void *)engine->stop, .get_memory = on_stop_get,
                                           .grow_memory = on_stop_grow, .finalizer = on_stop_gone };
        return 0;
    }
    const engine_code_options *options = &instance->code->options;
    uint32_t limit = options->memory_limit;
    bool fits = options->computes ? minimum == limit && limit % WASM_PAGE_BYTES == 0 : minimum <= limit;
    pooled_memory *pooled = fits ? pooled_memory_take(engine, limit, options->computes) : NULL;
    if (pooled == NULL)
        return (error_result)(uintptr_t)wasmtime_error_new((char *)(uintptr_t)"no memory for an instance");
    pooled->memory.length = (uint32_t)minimum;
    pooled->memory.limit = limit;
    pooled->memory.was_refused = false;
    pooled->user = instance;
    instance->pooled = pooled;
    out->env = pooled;
    out->get_memory = on_memory_get;
    out->grow_memory = on_memory_grow;
    out->finalizer = on_memory_gone;
    return 0;
}

/* ---- Engine ---- */

enum config_for { FOR_USUAL, FOR_COMPUTING, FOR_VALIDATION };

/* Three things are known in what admit rewrote only: an author's image is validated without. */
static wasm_config_t *config_new(engine *engine, enum config_for purpose)
{
    bool is_rewritten = purpose != FOR_VALIDATION, computes = purpose == FOR_COMPUTING;
    wasm_config_t *config = wasm_config_new();
    wasmtime_memory_creator_t creator = { .env = engine, .new_memory = on_memory_new };
    wasmtime_config_wasm_threads_set(config, is_rewritten);
    wasmtime_config_shared_memory_set(config, false);
    wasmtime_config_wasm_tail_call_set(config, false);
    wasmtime_config_wasm_reference_types_set(config, true);
    wasmtime_config_wasm_function_references_set(config, false);
    wasmtime_config_wasm_gc_set(config, false);
    wasmtime_config_wasm_simd_set(config, true);
    wasmtime_config_wasm_relaxed_simd_set(config, false);
    wasmtime_config_wasm_bulk_memory_set(config, true);
    wasmtime_config_wasm_multi_value_set(config, true);
    wasmtime_config_wasm_multi_memory_set(config, is_rewritten);
    wasmtime_config_wasm_memory64_set(config, false);
    wasmtime_config_wasm_exceptions_set(config, false);
    wasmtime_config_wasm_stack_switching_set(config, false);
    wasmtime_config_wasm_wide_arithmetic_set(config, false);
    wasmtime_config_wasm_custom_page_sizes_set(config, is_rewritten);
    wasmtime_config_parallel_compilation_set(config, false);
    wasmtime_config_cranelift_nan_canonicalization_set(config, !computes);
    wasmtime_config_cranelift_opt_level_set(config, OPT_LEVEL_SPEED);
    wasmtime_config_epoch_interruption_set(config, false); /* calls end by the stop word */
    wasmtime_config_native_unwind_info_set(config, false);
    wasmtime_config_max_wasm_stack_set(config, ENGINE_STACK);
    wasmtime_config_memory_reservation_set(config, computes ? COMPUTES_RESERVED : RESERVED);
    wasmtime_config_memory_guard_size_set(config, computes ? COMPUTES_GUARD : 0);
    wasmtime_config_memory_reservation_for_growth_set(config, 0);
    wasmtime_config_memory_init_cow_set(config, false); /* memories are ours, see engine.h */
    wasmtime_config_host_memory_creator_set(config, &creator);
    return config;
}

static trap_result on_import(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *values, size_t count)
{
    const bound_import *bound = env;
    (void)caller, (void)count;
    if (bound->import->call(bound->engine->options.context, (engine_value *)values))
        return 0;
    bound->engine->was_refused = true;
    static const char text[] = "the host refused a call";
    return (trap_result)(uintptr_t)wasmtime_trap_new((char *)(uintptr_t)text, sizeof text - 1);
}

static void valtypes_of(wasm_valtype_vec_t *out, const uint8_t *encoded, uint32_t count)
{
    enum { TYPES_MAX = 16, ENCODED_I32 = 0x7f, ENCODED_I64 = 0x7e };
    wasm_valtype_t *types[TYPES_MAX];
    assert(count <= TYPES_MAX);
    for (uint32_t i = 0; i < count; i++)
        types[i] = wasm_valtype_new(encoded[i] == ENCODED_I32   ? KIND_I32
                                    : encoded[i] == ENCODED_I64 ? KIND_I64
                                                                : KIND_F64);
    if (count == 0)
        wasm_valtype_vec_new_empty(out);
    else
        wasm_valtype_vec_new(out, count, types);
}

static void variant_free(variant *variant)
{
    if (variant->linker != NULL)
        wasmtime_linker_delete(variant->linker);
    if (variant->wasm != NULL)
        wasm_engine_delete(variant->wasm);
    *variant = (struct variant){ 0 };
}

static dro_err linker_fill(engine *engine, wasmtime_linker_t *linker)
{
    const engine_options *options = &engine->options;
    for (uint32_t i = 0; i < options->import_count; i++) {
        wasm_valtype_vec_t parameters, results;
        const engine_import *import = &options->imports[i];
        engine->bound[i] = (bound_import){ engine, import };
        valtypes_of(&parameters, import->parameters, import->parameter_count);
        valtypes_of(&results, &import->result, import->result != 0);
        wasm_functype_t *type = wasm_functype_new(&parameters, &results);
        wasmtime_error_t *error = wasmtime_linker_define_func_unchecked(
            linker, (char *)(uintptr_t)options->module, strlen(options->module),
            (char *)(uintptr_t)import->name, strlen(import->name), type, on_import, &engine->bound[i], NULL);
        wasm_functype_delete(type);
        if (error != NULL) {
            wasmtime_error_delete(error);
            return DRO_UNSUPPORTED;
        }
    }
    return DRO_OK;
}

/* NULL: no memory for it. */
static const variant *variant_of(engine *engine, bool computes)
{
    variant *variant = &engine->variants[computes];
    if (variant->linker != NULL)
        return variant;
    variant->wasm = wasm_engine_new_with_config(config_new(engine, computes ? FOR_COMPUTING : FOR_USUAL));
    variant->linker = variant->wasm != NULL ? wasmtime_linker_new(variant->wasm) : NULL;
    if (variant->linker != NULL && linker_fill(engine, variant->linker) == DRO_OK)
        return variant;
    variant_free(variant);
    return NULL;
}

dro_err engine_new(engine **out, const engine_options *options)
{
    engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return DRO_NOMEM;
    engine->options = *options;
    engine->bound = calloc(options->import_count + 1, sizeof *engine->bound);
    void *stop = mmap(NULL, STOP_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    engine->stop = stop != MAP_FAILED ? stop : NULL;
    if (engine->bound == NULL || engine->stop == NULL || variant_of(engine, false) == NULL) {
        engine_free(engine);
        return DRO_NOMEM;
    }
    *out = engine;
    return DRO_OK;
}

void engine_free(engine *engine)
{
    if (engine == NULL)
        return;
    variant_free(&engine->variants[false]);
    variant_free(&engine->variants[true]);
    while (engine->free_memories != NULL) {
        pooled_memory *pooled = engine->free_memories;
        engine->free_memories = pooled->next;
        pooled_memory_unmap(pooled);
    }
    if (engine->stop != NULL)
        munmap((void *)engine->stop, STOP_BYTES);
    free(engine->bound);
    free(engine);
}

uint32_t engine_call_number(const engine *engine)
{
    return (uint32_t)(atomic_load_explicit(engine->stop, memory_order_acquire) >> STOP_CALL_SHIFT);
}

void engine_stop(engine *engine, uint32_t call)
{
    /* Another call may have begun meanwhile: then the word is no longer what it was. */
    uint64_t running = (uint64_t)call << STOP_CALL_SHIFT;
    atomic_compare_exchange_strong_explicit(engine->stop, &running, running | STOP_FLAG, memory_order_relaxed,
                                            memory_order_relaxed);
}

#if defined(__x86_64__)
#include <cpuid.h>
static uint64_t processor_bits(void)
{
    uint32_t a, b, c, d, bits[6] = { 0 };
    if (__get_cpuid(1, &a, &b, &c, &d) != 0)
        bits[0] = c & ~(1u << 27), bits[1] = d; /* OSXSAVE may differ between early and late */
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0)
        bits[2] = b, bits[3] = c, bits[4] = d;
    if (__get_cpuid(0x80000001, &a, &b, &c, &d) != 0)
        bits[5] = c;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof bits; i++)
        hash = (hash ^ ((const uint8_t *)bits)[i]) * 0x100000001b3u;
    return hash;
}
#else
#include <sys/auxv.h>
static uint64_t processor_bits(void)
{
    return (uint64_t)getauxval(AT_HWCAP) * 31 + getauxval(AT_HWCAP2);
}
#endif

const char *engine_key(void)
{
    static char key[64];
    if (key[0] == '\0')
        snprintf(key, sizeof key, "%s/%d/%016llx", DROMIO_ENGINE_VERSION, CODE_VERSION,
                 (unsigned long long)processor_bits());
    return key;
}

/* ---- Code ---- */

static dro_err error_take(wasmtime_error_t *error, dro_err err, char reason[ENGINE_REASON_MAX])
{
    if (error == NULL)
        return DRO_OK;
    wasm_name_t message;
    wasmtime_error_message(error, &message);
    snprintf(reason, ENGINE_REASON_MAX, "%.*s", (int)message.size, (const char *)message.data);
    for (char *at = reason; *at != '\0'; at++)
        if (*at < 0x20 || *at > 0x7e)
            *at = ' ';
    wasm_byte_vec_delete(&message);
    wasmtime_error_delete(error);
    return err;
}

dro_err engine_validate(engine *engine, const uint8_t *wasm, size_t length, char reason[ENGINE_REASON_MAX])
{
    wasm_engine_t *strict = wasm_engine_new_with_config(config_new(engine, FOR_VALIDATION));
    if (strict == NULL)
        return DRO_NOMEM;
    dro_err err = error_take(wasmtime_module_validate(strict, (uint8_t *)(uintptr_t)wasm, length), DRO_MALFORMED, reason);
    wasm_engine_delete(strict);
    return err;
}

dro_err engine_compile(engine *engine, const uint8_t *wasm, size_t length, bool computes, uint8_t **code,
                       size_t *code_length, char reason[ENGINE_REASON_MAX])
{
    const variant *variant = variant_of(engine, computes);
    wasmtime_module_t *module = NULL;
    wasm_byte_vec_t bytes = { 0 };
    if (variant == NULL)
        return DRO_NOMEM;
    dro_err err = error_take(wasmtime_module_new(variant->wasm, (uint8_t *)(uintptr_t)wasm, length, &module),
                             DRO_MALFORMED, reason);
    if (err == DRO_OK)
        err = error_take(wasmtime_module_serialize(module, &bytes), DRO_NOMEM, reason);
    if (err == DRO_OK) {
        *code = malloc(bytes.size);
        *code_length = bytes.size;
        if (*code != NULL)
            memcpy(*code, bytes.data, bytes.size);
        else
            err = DRO_NOMEM;
        wasm_byte_vec_delete(&bytes);
    }
    if (module != NULL)
        wasmtime_module_delete(module);
    return err;
}

dro_err engine_load(engine_code **out, engine *engine, const uint8_t *code, size_t length,
                    const engine_code_options *options, char reason[ENGINE_REASON_MAX])
{
    assert(options->global_count <= ENGINE_GLOBALS_MAX && options->table_count <= ENGINE_TABLES_MAX);
    const variant *variant = variant_of(engine, options->computes);
    engine_code *loaded = variant != NULL ? calloc(1, sizeof *loaded) : NULL;
    if (loaded == NULL)
        return DRO_NOMEM;
    loaded->engine = engine;
    loaded->options = *options;
    dro_err err = error_take(wasmtime_module_deserialize(variant->wasm, (uint8_t *)(uintptr_t)code, length,
                                                         &loaded->module), DRO_UNSUPPORTED, reason);
    if (err == DRO_OK)
        err = error_take(wasmtime_linker_instantiate_pre(variant->linker, loaded->module, &loaded->pre),
                         DRO_UNSUPPORTED, reason);
    if (err != DRO_OK) {
        engine_code_free(loaded);
        return err;
    }
    *out = loaded;
    return DRO_OK;
}

void engine_code_free(engine_code *code)
{
    if (code == NULL)
        return;
    if (code->pre != NULL)
        wasmtime_instance_pre_delete(code->pre);
    if (code->module != NULL)
        wasmtime_module_delete(code->module);
    free(code);
}

/* ---- Instances ---- */

static bool export_get(engine_instance *instance, const char *name, uint8_t kind, wasmtime_extern_t *out)
{
    return wasmtime_instance_export_get(instance->context, &instance->instance, (char *)(uintptr_t)name, strlen(name),
                                        out) && out->kind == kind;
}

static bool numbered_get(engine_instance *instance, char letter, uint32_t number, uint8_t kind, wasmtime_extern_t *out)
{
    char name[ENGINE_NAME_MAX];
    snprintf(name, sizeof name, "dromio:%c%u", letter, number);
    return export_get(instance, name, kind, out);
}

static bool exports_find(engine_instance *instance)
{
    const engine_options *options = &instance->code->engine->options;
    wasmtime_extern_t found;
    for (uint32_t i = 0; i < ENGINE_ENTRIES_MAX; i++)
        if (options->entries[i] != NULL && export_get(instance, options->entries[i], EXTERN_FUNC, &found)) {
            instance->entries[i] = found.of.func;
            instance->entry_bits |= (uint8_t)(1u << i);
        }
    for (uint32_t i = 0; i < instance->code->options.global_count; i++) {
        if (!numbered_get(instance, 'g', i, EXTERN_GLOBAL, &found))
            return false;
        wasmtime_val_t value;
        instance->globals[i] = global_of(&found);
        wasmtime_global_get(instance->context, &instance->globals[i], &value);
        instance->global_kinds[i] = value.kind;
    }
    for (uint32_t i = 0; i < instance->code->options.table_count; i++) {
        if (!numbered_get(instance, 't', i, EXTERN_TABLE, &found))
            return false;
        instance->tables[i] = found.of.table;
    }
    return instance->pooled != NULL;
}

dro_err engine_instance_new(engine_instance **out, engine_code *code)
{
    engine_instance *instance = calloc(1, sizeof *instance);
    engine *engine = code->engine;
    if (instance == NULL)
        return DRO_NOMEM;
    instance->code = code;
    instance->store = wasmtime_store_new(engine->variants[code->options.computes].wasm, NULL, NULL);
    instance->context = wasmtime_store_context(instance->store);
    wasm_trap_t *trap = NULL;
    engine->making = instance;
    wasmtime_error_t *error =
        wasmtime_instance_pre_instantiate(code->pre, instance->context, &instance->instance, &trap);
    engine->making = NULL;
    bool is_made = error == NULL && trap == NULL;
    if (error != NULL)
        wasmtime_error_delete(error);
    if (trap != NULL)
        wasm_trap_delete(trap);
    if (!is_made || !exports_find(instance)) {
        engine_instance_free(instance);
        return DRO_NOMEM;
    }
    *out = instance;
    return DRO_OK;
}

void engine_instance_free(engine_instance *instance)
{
    if (instance == NULL)
        return;
    wasmtime_store_delete(instance->store);
    assert(instance->pooled == NULL);
    free(instance);
}

engine_memory *engine_instance_memory(engine_instance *instance)
{
    return &instance->pooled->memory;
}

bool engine_has_entry(const engine_instance *instance, uint32_t entry)
{
    return (instance->entry_bits >> entry & 1) != 0;
}

/* A trap is a signal, and the kernel puts all registers on the signal stack: with
 * whatever the twin was working on. Known after the first call, before any filter. */
static void signal_stack_learn(engine *engine)
{
    stack_t stack;
    if (sigaltstack(NULL, &stack) == 0 && (stack.ss_flags & SS_DISABLE) == 0) {
        engine->signal_stack = stack.ss_sp;
        engine->signal_stack_bytes = stack.ss_size;
    }
    engine->knows_signal_stack = true;
}

static engine_outcome outcome_of(engine_instance *instance, wasmtime_error_t *error, wasm_trap_t *trap)
{
    /* What on_import answers comes out as an error, not as a trap. */
    const engine *engine = instance->code->engine;
    engine_outcome outcome = engine->was_refused ? ENGINE_REFUSED : ENGINE_FAILED;
    bool is_stopped = (atomic_load_explicit(engine->stop, memory_order_relaxed) & STOP_FLAG) != 0;
    uint8_t code;
    if (trap != NULL) {
        if (wasmtime_trap_code(trap, &code))
            outcome = code == TRAP_STACK_OVERFLOW ? ENGINE_STACK_OVERFLOW
                      : code == TRAP_OUT_OF_BOUNDS ? ENGINE_OUT_OF_BOUNDS
                      : code == TRAP_UNREACHABLE && is_stopped ? ENGINE_DEADLINE
                                                   : ENGINE_TRAP;
        wasm_trap_delete(trap);
    }
    if (error != NULL)
        wasmtime_error_delete(error);
    dro_wipe(engine->signal_stack, engine->signal_stack_bytes);
    return outcome;
}

engine_outcome engine_call(engine_instance *instance, uint32_t entry, engine_value *values, uint32_t value_count)
{
    assert(entry < ENGINE_ENTRIES_MAX && engine_has_entry(instance, entry));
    wasm_trap_t *trap = NULL;
    engine *engine = instance->code->engine;
    engine->was_refused = false;
    atomic_store_explicit(engine->stop, (uint64_t)++engine->call << STOP_CALL_SHIFT, memory_order_release);
    wasmtime_error_t *error = wasmtime_func_call_unchecked(instance->context, &instance->entries[entry],
                                                           (wasmtime_val_raw_t *)values, value_count, &trap);
    if (__builtin_expect(!engine->knows_signal_stack, 0))
        signal_stack_learn(engine);
    if (__builtin_expect(error == NULL && trap == NULL, 1))
        return ENGINE_DONE;
    return outcome_of(instance, error, trap);
}

uint64_t engine_global_get(engine_instance *instance, uint32_t global)
{
    wasmtime_val_t value;
    uint64_t bits = 0;
    wasmtime_global_get(instance->context, &instance->globals[global], &value);
    memcpy(&bits, &value.of, value.kind == KIND_I64 || value.kind == KIND_F64 ? 8 : 4);
    return bits;
}

bool engine_global_set(engine_instance *instance, uint32_t global, uint64_t bits)
{
    wasmtime_val_t value = { .kind = instance->global_kinds[global] };
    memcpy(&value.of, &bits, sizeof bits);
    wasmtime_error_t *error = wasmtime_global_set(instance->context, &instance->globals[global], &value);
    if (error != NULL)
        wasmtime_error_delete(error);
    return error == NULL;
}

dro_err engine_memory_grow_to(engine_instance *instance, uint32_t length)
{
    engine_memory *memory = engine_instance_memory(instance);
    wasmtime_extern_t found;
    uint64_t before;
    if (length == memory->length)
        return DRO_OK;
    if (length < memory->length || length > memory->limit || (length - memory->length) % WASM_PAGE_BYTES != 0 ||
        !export_get(instance, "memory", EXTERN_MEMORY, &found))
        return DRO_LIMIT;
    wasmtime_error_t *error = wasmtime_memory_grow(instance->context, &found.of.memory,
                                                   (length - memory->length) / WASM_PAGE_BYTES, &before);
    if (error != NULL)
        wasmtime_error_delete(error);
    return error == NULL ? DRO_OK : DRO_NOMEM;
}

uint64_t engine_tables_digest(engine_instance *instance)
{
    uint64_t digest = 0xcbf29ce484222325u;
    for (uint32_t i = 0; i < instance->code->options.table_count; i++) {
        uint64_t size = wasmtime_table_size(instance->context, &instance->tables[i]);
        digest = (digest ^ size) * 0x100000001b3u;
        for (uint64_t k = 0; k < size; k++) {
            wasmtime_val_t value = { 0 };
            if (!wasmtime_table_get(instance->context, &instance->tables[i], k, &value))
                continue;
            uint64_t function = (uint64_t)(uintptr_t)value.of.funcref.__private;
            digest = (digest ^ function ^ (value.of.funcref.store_id == 0)) * 0x9e3779b97f4a7c15u;
            digest ^= digest >> 29;
            wasmtime_val_unroot(&value);
        }
    }
    return digest;
}

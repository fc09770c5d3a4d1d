#include "cell/admit.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi_imports.h"
#include "cell/admit_private.h"
#include "cell/artifact.h"
#include "cell/imports.h"
#include "cell/rewrite.h"
#include "cell/ticker.h"
#include "twin/event.h"

typedef struct admission {
    admit_result *result;
    const admit_options *options;
    wasm_image *image;
    artifact_info info;
    rewrite_plan plan;
} admission;

static bool is_exact_off(const admit_options *options)
{
    return !DROMIO_EXACT_MEMORY || (options != NULL && options->no_exact_memory != 0);
}

void admit_reason(void *context, const char *reason)
{
    admit_result *result = context;
    if (result->reason_count >= ADMIT_REASONS_MAX)
        return;
    snprintf(result->reasons[result->reason_count++], MODEL_REASON_MAX, "%s", reason);
}

__attribute__((format(printf, 2, 3))) static void reason(admission *admission, const char *format, ...)
{
    char text[MODEL_REASON_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    admit_reason(admission->result, text);
}

/* ---- The ABI ---- */

static bool type_matches(const wasm_type *type, const abi_function *function)
{
    return type->parameter_count == function->parameter_count &&
           type->result_count == (function->result != ABI_NONE) &&
           memcmp(type->parameters, function->parameters, function->parameter_count) == 0 &&
           (type->result_count == 0 || type->results[0] == function->result);
}

static const char *type_name(uint8_t type)
{
    return type == ABI_I32 ? "i32" : type == ABI_I64 ? "i64" : type == ABI_F64 ? "f64" : "";
}

static void tell_signature(admission *admission, const char *what, const abi_function *function)
{
    char parameters[128] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < function->parameter_count && used < sizeof parameters - 8; i++)
        used += (size_t)snprintf(parameters + used, sizeof parameters - used, "%s%s", i > 0 ? ", " : "",
                                 type_name(function->parameters[i]));
    reason(admission, "%s %s must have the signature (%s) -> (%s)", what, function->name, parameters,
           type_name(function->result));
}

static void check_imports(admission *admission)
{
    const wasm_image *image = admission->image;
    for (uint32_t i = 0; i < image->import_count; i++) {
        const wasm_import *import = &image->imports[i];
        const abi_function *function = NULL;
        for (uint32_t k = 0; k < ABI_IMPORT_COUNT && function == NULL; k++)
            if (wasm_text_is(&import->name, abi_imports[k].name))
                function = &abi_imports[k];
        if (import->is_refused)
            continue;
        if (function == NULL)
            reason(admission, "import section, offset 0x%x: the host has no function %.*s", import->offset,
                   (int)import->name.length, import->name.bytes);
        else if (!type_matches(&image->types[import->type], function))
            tell_signature(admission, "import", function);
        if (i < ADMIT_IMPORTS_MAX)
            snprintf(admission->result->info.imports[i], sizeof admission->result->info.imports[i], "%.*s",
                     (int)import->name.length, import->name.bytes);
        admission->result->info.import_count = (uint8_t)(i + 1);
    }
}

/* 1 there and right, 0 not there, -1 told. */
static int check_export(admission *admission, const abi_function *function)
{
    const wasm_image *image = admission->image;
    const wasm_export *export = wasm_export_find(image, function->name);
    if (export == NULL) {
        if (function->is_required)
            reason(admission, "the function %s is not exported", function->name);
        return 0;
    }
    if (export->kind != WASM_KIND_FUNCTION || !type_matches(&image->types[image->functions[export->index]], function)) {
        tell_signature(admission, "export", function);
        return -1;
    }
    return 1;
}

static void check_exports(admission *admission)
{
    const wasm_image *image = admission->image;
    int state = 0;
    for (uint32_t i = 0; i < ABI_EXPORT_COUNT; i++) {
        int found = check_export(admission, &abi_exports[i]);
        if (found == 1 && (i == ABI_EXPORT_EXPORT_STATE || i == ABI_EXPORT_IMPORT_STATE))
            state++;
        if (found == 1 && i == ABI_EXPORT_COMPUTE)
            admission->info.computes = true;
    }
    if (state == 1)
        reason(admission, "dromio_export_state and dromio_import_state come together or not at all");
    admission->info.exports_state = state == 2;
    const wasm_export *memory = wasm_export_find(image, "memory");
    if (!image->has_memory || memory == NULL || memory->kind != WASM_KIND_MEMORY)
        reason(admission, "the memory is not exported as memory");
    for (uint32_t i = 0; i < image->export_count; i++)
        if (image->exports[i].kind == WASM_KIND_MEMORY && !wasm_text_is(&image->exports[i].name, "memory"))
            reason(admission, "the memory is exported under another name, %.*s", (int)image->exports[i].name.length,
                   image->exports[i].name.bytes);
}

static void check_model(admission *admission)
{
    const wasm_image *image = admission->image;
    admit_result *result = admission->result;
    if (!image->has_model) {
        reason(admission, "there is no custom section dromio.model with the Thing Model");
        return;
    }
    if (image->model.length > MODEL_JSON_MAX) {
        reason(admission, "the Thing Model is longer than %d bytes", MODEL_JSON_MAX);
        return;
    }
    uint32_t before = result->reason_count;
    dro_err err = model_parse(&result->info.model, image->model.bytes, image->model.length, admit_reason, result);
    if (err != DRO_OK && result->reason_count == before)
        reason(admission, "the Thing Model cannot be read: %s", dro_err_text(err));
    result->model_json = malloc(image->model.length + 1);
    if (result->model_json == NULL)
        return;
    memcpy(result->model_json, image->model.bytes, image->model.length);
    result->model_json[image->model.length] = '\0';
    result->model_json_length = image->model.length;
}

/* ---- The plan ---- */

/* What the image says it needs: 0 when it says nothing. */
static uint64_t memory_said(admission *admission)
{
    const wasm_image *image = admission->image;
    const wasm_export *heap = wasm_export_find(image, "__heap_base");
    uint32_t bytes;
    if (image->has_memory_note) {
        if (image->memory_note.length != sizeof bytes) {
            reason(admission, "the custom section dromio.memory is not one 32-bit number of bytes");
            return 0;
        }
        memcpy(&bytes, image->memory_note.bytes, sizeof bytes);
        return bytes;
    }
    if (heap == NULL || heap->kind != WASM_KIND_GLOBAL)
        return 0;
    const wasm_global *global = &image->globals[heap->index];
    return global->type == WASM_TYPE_I32 && !global->is_mutable ? (uint32_t)global->value : 0;
}

static uint32_t data_end(const wasm_image *image)
{
    uint32_t end = 0;
    for (uint32_t i = 0; i < image->data_count; i++)
        if (image->data[i].is_active && image->data[i].address + image->data[i].length > end)
            end = image->data[i].address + image->data[i].length;
    return end;
}

static void plan_memory(admission *admission)
{
    const wasm_image *image = admission->image;
    artifact_info *info = &admission->info;
    uint32_t pages = image->memory_minimum * WASM_PAGE;
    uint64_t said = (memory_said(admission) + CHUNK - 1) & ~(uint64_t)(CHUNK - 1);
    bool can_be_exact = !is_exact_off(admission->options) && !info->computes && !image->uses_memory_size && !image->uses_memory_grow;
    info->is_fresh = image->uses_memory_grow || image->writes_tables || image->drops_segments;
    info->is_plain_wanted = is_exact_off(admission->options);
    info->is_exact = can_be_exact && said > 0 && said <= pages && data_end(image) <= said;
    info->memory_bytes = info->is_exact ? (uint32_t)said : pages;
    info->memory_limit = info->memory_bytes;
    if (info->computes && image->uses_memory_grow)
        reason(admission, "dromio_compute and memory.grow: the memory of an image that computes does not grow");
    if (image->uses_memory_grow) {
        uint32_t most = ADMIT_MEMORY_MAX / WASM_PAGE;
        info->memory_limit = (image->memory_maximum < most ? image->memory_maximum : most) * WASM_PAGE;
    }
    info->table_count = image->writes_tables ? image->table_count : 0;
    admission->plan = (rewrite_plan){ info->is_exact ? info->memory_bytes : 0, image->uses_memory_grow,
                                      image->writes_tables };
}

static void plan_globals(admission *admission)
{
    const wasm_image *image = admission->image;
    artifact_info *info = &admission->info;
    for (uint32_t i = 0; i < image->global_count; i++)
        if (image->globals[i].is_mutable)
            info->globals[info->global_count++] = image->globals[i].value;
}

/* The linker's first global is the stack pointer. With the stack first (the layout
 * of our SDK), the stack is all that lies below its first value: dead between turns.
 * A wrong guess would lose state, so everything must fit: the pointer is mutable and
 * lies below the heap, and no data and no event buffer lies below it. */
static void plan_stack(admission *admission)
{
    const wasm_image *image = admission->image;
    artifact_info *info = &admission->info;
    const wasm_export *heap = wasm_export_find(image, "__heap_base");
    if (heap == NULL || heap->kind != WASM_KIND_GLOBAL || image->global_count == 0)
        return;
    const wasm_global *pointer = &image->globals[0], *base = &image->globals[heap->index];
    bool fits = pointer->is_mutable && pointer->type == WASM_TYPE_I32 && !base->is_mutable &&
                pointer->value < base->value && pointer->value <= info->event_buffer;
    for (uint32_t i = 0; i < image->data_count && fits; i++)
        fits = image->data[i].is_active && image->data[i].address >= pointer->value;
    if (!fits)
        return;
    info->dead_end = (uint32_t)pointer->value;
    info->dead_global = 0; /* the first mutable one */
}

/* ---- Compiling ---- */

enum { PROBE_DEADLINE_MICROS = 10000 };

typedef struct probe { turn turn; ticker ticker; } probe;

static void call_event_buffer(admission *admission, probe *probe, engine_instance *instance)
{
    const engine_memory *memory = engine_instance_memory(instance);
    engine_value values[1] = { { 0 } };
    turn_begin(&probe->turn, &admission->info, memory, 0, 0);
    probe->turn.is_mute = true;
    engine_outcome outcome = engine_call(instance, ENTRY_EVENT_BUFFER, values, 1);
    uint64_t address = (uint32_t)values[0].i32;
    if (outcome == ENGINE_REFUSED)
        reason(admission, "dromio_event_buffer calls the host; it only says an address");
    else if (outcome != ENGINE_DONE)
        reason(admission, "dromio_event_buffer traps or does not end");
    else if (address == 0 || address + EVENT_BYTES_MAX > admission->info.memory_bytes)
        reason(admission, "dromio_event_buffer says %llu: %d bytes from there are not inside the memory of %u bytes",
               (unsigned long long)address, EVENT_BYTES_MAX, admission->info.memory_bytes);
    else
        admission->info.event_buffer = (uint32_t)address;
}

/* Makes an instance to see what the memory holds at the start and where events go. */
static dro_err look_at_instance(admission *admission, probe *probe, engine_code *code, uint8_t **baseline)
{
    engine_instance *instance = NULL;
    dro_err err = engine_instance_new(&instance, code);
    if (err != DRO_OK)
        return err;
    const engine_memory *memory = engine_instance_memory(instance);
    *baseline = malloc(memory->length);
    if (*baseline == NULL)
        err = DRO_NOMEM;
    else
        memcpy(*baseline, memory->bytes, memory->length);
    if (err == DRO_OK) {
        call_event_buffer(admission, probe, instance);
        bool is_same = memory->length == admission->info.memory_bytes &&
                       memcmp(*baseline, memory->bytes, memory->length) == 0;
        for (uint32_t i = 0; i < admission->info.global_count; i++)
            is_same &= engine_global_get(instance, i) == admission->info.globals[i];
        if (!is_same && admission->result->reason_count == 0)
            reason(admission, "dromio_event_buffer changes the memory; it only says an address");
    }
    engine_instance_free(instance);
    return err;
}

static void artifact_make(admission *admission, const uint8_t *baseline, const uint8_t *code, size_t length,
                          dro_err *err)
{
    admit_result *result = admission->result;
    artifact artifact = { .info = admission->info, .baseline = baseline, .code = code, .code_length = length };
    artifact.baseline_length = admission->info.memory_bytes;
    while (artifact.baseline_length > 0 && baseline[artifact.baseline_length - 1] == 0)
        artifact.baseline_length--;
    snprintf(artifact.key, sizeof artifact.key, "%s", engine_key());
    const model *model = &result->info.model;
    artifact.info.property_count = (uint8_t)model->property_count;
    for (uint32_t i = 0; i < model->property_count; i++)
        artifact.info.property_kinds[i] = (uint8_t)model->properties[i].schema.kind;
    artifact.info.event_count = (uint8_t)model->event_count;
    for (uint32_t i = 0; i < model->event_count; i++)
        artifact.info.event_kinds[i] = (uint8_t)model->events[i].kind;
    *err = artifact_write(&artifact, &result->artifact, &result->artifact_length);
    result->info.memory_bytes = artifact.info.memory_bytes;
    result->info.baseline_bytes = artifact.baseline_length;
    result->info.is_exact = artifact.info.is_exact;
    result->info.is_fresh = artifact.info.is_fresh;
    result->info.exports = (uint8_t)((artifact.info.exports_state ? ADMIT_EXPORTS_STATE : 0) | (artifact.info.computes ? ADMIT_EXPORTS_COMPUTE : 0));
}

static dro_err compile(admission *admission, engine *engine, probe *probe)
{
    uint8_t *wasm = NULL, *code = NULL, *baseline = NULL;
    size_t wasm_length = 0, code_length = 0;
    char why[ENGINE_REASON_MAX] = "";
    engine_code *loaded = NULL;
    dro_err err = engine_validate(engine, admission->image->bytes, admission->image->length, why);
    if (err == DRO_OK)
        err = rewrite_image(admission->image, &admission->plan, &wasm, &wasm_length);
    if (err == DRO_OK)
        err = engine_compile(engine, wasm, wasm_length, admission->info.computes, &code, &code_length, why);
    if (err == DRO_MALFORMED) {
        reason(admission, "the compiler refuses it: %s", why);
        err = DRO_OK;
    } else if (err == DRO_OK) {
        engine_code_options options = { admission->info.global_count, admission->info.table_count,
                                        admission->info.memory_limit, admission->info.computes };
        err = engine_load(&loaded, engine, code, code_length, &options, why);
        if (err == DRO_OK)
            err = look_at_instance(admission, probe, loaded, &baseline);
        if (err == DRO_OK)
            plan_stack(admission);
        if (err == DRO_OK && admission->result->reason_count == 0)
            artifact_make(admission, baseline, code, code_length, &err);
    }
    engine_code_free(loaded);
    free(baseline);
    free(code);
    free(wasm);
    return err;
}

static dro_err compile_with_engine(admission *admission)
{
    probe *probe = calloc(1, sizeof *probe);
    engine *engine = NULL;
    if (probe == NULL)
        return DRO_NOMEM;
    engine_options options = imports_engine_options(&probe->turn);
    dro_err err = engine_new(&engine, &options);
    if (err == DRO_OK)
        err = ticker_start(&probe->ticker, engine);
    if (err == DRO_OK)
        ticker_deadline_set(&probe->ticker, PROBE_DEADLINE_MICROS);
    if (err == DRO_OK)
        err = compile(admission, engine, probe);
    ticker_stop(&probe->ticker);
    engine_free(engine);
    free(probe);
    return err;
}

dro_err admit_image(const uint8_t *wasm, size_t length, const admit_options *options, admit_result *result)
{
    return admit_image_staged(wasm, length, options, NULL, result);
}

dro_err admit_image_staged(const uint8_t *wasm, size_t length, const admit_options *options,
                           dro_err (*before_compiler)(void), admit_result *result)
{
    static const admit_options defaults;
    memset(result, 0, sizeof *result);
    admission admission = { .result = result, .options = options != NULL ? options : &defaults };
    admission.image = malloc(sizeof *admission.image);
    if (admission.image == NULL)
        return DRO_NOMEM;
    dro_err err = wasm_read(admission.image, wasm, length, admit_reason, result);
    if (err == DRO_OK || (err == DRO_MALFORMED && !admission.image->is_broken)) { /* every reason at once */
        check_imports(&admission);
        check_exports(&admission);
        check_model(&admission);
    }
    if (err == DRO_OK) {
        plan_memory(&admission);
        plan_globals(&admission);
        if (!admission.options->no_second_validator)
            err = validator_run(wasm, length, admit_reason, result);
    }
    err = err == DRO_MALFORMED ? DRO_OK : err; /* told */
    if (err == DRO_OK && result->reason_count == 0 && before_compiler != NULL)
        err = before_compiler();
    if (err == DRO_OK && result->reason_count == 0)
        err = compile_with_engine(&admission);
    free(admission.image);
    if (err != DRO_OK)
        admit_result_free(result);
    return err;
}

int admit_artifact_is_current(const uint8_t *bytes, size_t length, const admit_options *options)
{
    artifact artifact;
    if (artifact_read(&artifact, bytes, length) != DRO_OK || strcmp(artifact.key, engine_key()) != 0)
        return 0;
    return is_exact_off(options) == artifact.info.is_plain_wanted;
}

void admit_result_free(admit_result *result)
{
    free(result->artifact);
    free(result->model_json);
    memset(result, 0, sizeof *result);
}

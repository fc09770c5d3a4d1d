#include "cell/image.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "twin/event.h"

dro_err image_init(image *image, engine *engine, const uint8_t *bytes, size_t length)
{
    artifact artifact;
    char reason[ENGINE_REASON_MAX];
    memset(image, 0, sizeof *image);
    dro_err err = artifact_read(&artifact, bytes, length);
    if (err != DRO_OK)
        return err;
    image->info = artifact.info;
    engine_code_options options = { artifact.info.global_count, artifact.info.table_count, artifact.info.memory_limit,
                                    artifact.info.computes };
    err = engine_load(&image->code, engine, artifact.code, artifact.code_length, &options, reason);
    if (err == DRO_OK)
        image->baseline = aligned_alloc(CHUNK, artifact.info.memory_limit);
    if (err == DRO_OK && image->baseline == NULL)
        err = DRO_NOMEM;
    if (err == DRO_OK) {
        memset(image->baseline, 0, artifact.info.memory_limit);
        memcpy(image->baseline, artifact.baseline, artifact.baseline_length);
        engine_instance *first = image_take(image);
        const engine_memory *memory = first != NULL ? engine_instance_memory(first) : NULL;
        bool is_as_said = first != NULL && memory->length == image->info.memory_bytes &&
                          memcmp(memory->bytes, image->baseline, memory->length) == 0 &&
                          engine_has_entry(first, ENTRY_EVENT);
        for (uint32_t i = 0; is_as_said && i < image->info.global_count; i++)
            is_as_said = engine_global_get(first, i) == image->info.globals[i];
        if (first != NULL)
            image_give(image, first, true);
        err = is_as_said ? DRO_OK : DRO_CORRUPT;
    }
    if (err != DRO_OK)
        image_fini(image);
    return err;
}

void image_fini(image *image)
{
    while (image->slot_count > 0)
        engine_instance_free(image->slots[--image->slot_count]);
    engine_code_free(image->code);
    free(image->baseline);
    memset(image, 0, sizeof *image);
}

engine_instance *image_take(image *image)
{
    engine_instance *instance = NULL;
    if (image->slot_count > 0)
        return image->slots[--image->slot_count];
    return engine_instance_new(&instance, image->code) == DRO_OK ? instance : NULL;
}

void image_give(image *image, engine_instance *instance, bool is_sound)
{
    if (is_sound && !image->info.is_fresh && image->slot_count < IMAGE_SLOTS)
        image->slots[image->slot_count++] = instance;
    else
        engine_instance_free(instance);
}

dro_err image_apply(image *image, engine_instance *instance, const uint8_t *context, size_t length)
{
    uint32_t memory_length, number;
    dro_err err = context_check(&image->info, context, length, &memory_length);
    if (err == DRO_OK)
        err = engine_memory_grow_to(instance, memory_length);
    if (err != DRO_OK)
        return err;
    for (uint32_t i = 0; i < context_global_count(context, length); i++) {
        uint64_t bits = context_global(context, i, &number);
        if (!engine_global_set(instance, number, bits))
            return DRO_RANGE;
    }
    context_apply_memory(context, length, engine_instance_memory(instance)->bytes);
    return DRO_OK;
}

/* True when the stack below its pointer holds nothing that lives on. */
static bool stack_is_dead(const image *image, const uint64_t *globals)
{
    const artifact_info *info = &image->info;
    return info->dead_end > info->dead_start && globals[info->dead_global] == info->globals[info->dead_global];
}

static bool globals_read(const image *image, engine_instance *instance, uint64_t *globals)
{
    bool is_changed = false;
    for (uint32_t i = 0; i < image->info.global_count; i++) {
        globals[i] = engine_global_get(instance, i);
        is_changed |= globals[i] != image->info.globals[i];
    }
    return is_changed;
}

static void reset_bytes(const image *image, uint8_t *memory, uint32_t from, uint32_t to)
{
    memcpy(memory + from, image->baseline + from, to - from);
}

dro_err image_collect(image *image, engine_instance *instance, void *room, size_t capacity, size_t *length)
{
    const artifact_info *info = &image->info;
    const engine_memory *memory = engine_instance_memory(instance);
    uint64_t globals[ENGINE_GLOBALS_MAX];
    context_writer out;
    bool is_sound = true;
    context_begin(&out, room, capacity);
    if (globals_read(image, instance, globals))
        for (uint32_t i = 0; i < info->global_count; i++)
            if (globals[i] != info->globals[i]) {
                context_put_global(&out, i, globals[i]);
                is_sound &= engine_global_set(instance, i, info->globals[i]);
            }
    /* The event was there for the turn only, the stack below its pointer is dead: neither is state that the twin
     * is given again. The next twin would not see them either way, all memory is put back below. */
    reset_bytes(image, memory->bytes, info->event_buffer, info->event_buffer + EVENT_BYTES_MAX);
    if (stack_is_dead(image, globals))
        reset_bytes(image, memory->bytes, info->dead_start, info->dead_end);
    context_put_memory(&out, memory->bytes, image->baseline, 0, memory->length);
    bool has_grown = memory->length != info->memory_bytes;
    *length = context_end(&out, memory->length);
    if (*length == 0 && has_grown && !out.is_full)
        *length = CONTEXT_HEADER; /* the size alone is a state */
    if (!info->is_fresh && (!is_sound || has_grown))
        return DRO_CORRUPT;
    return out.is_full ? DRO_LIMIT : DRO_OK;
}

bool image_reset(image *image, engine_instance *instance)
{
    const engine_memory *memory = engine_instance_memory(instance);
    if (image->info.is_fresh || memory->length != image->info.memory_bytes)
        return false;
    memcpy(memory->bytes, image->baseline, memory->length);
    for (uint32_t i = 0; i < image->info.global_count; i++)
        if (engine_global_get(instance, i) != image->info.globals[i] &&
            !engine_global_set(instance, i, image->info.globals[i]))
            return false;
    return true;
}

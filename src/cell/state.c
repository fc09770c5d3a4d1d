/* State out of one image's context and into another's: how a twin is upgraded. */
#include <string.h>

#include "base/wipe.h"
#include "cell/cell_private.h"
#include "twin/event.h"

enum { STATE_DEADLINE_MICROS = 10000 };

static enum turn_status call(cell *cell, image *image, engine_instance *instance, uint32_t entry, engine_value *value)
{
    const engine_memory *memory = engine_instance_memory(instance);
    if (!engine_has_entry(instance, entry))
        return TURN_BAD_RESULT;
    turn_begin(&cell->turn, &image->info, memory, 0, 0);
    cell->turn.is_mute = true;
    cell_deadline_set(cell, STATE_DEADLINE_MICROS);
    enum turn_status status = cell_status_of(cell, engine_call(instance, entry, value, 1), memory);
    turn_end(&cell->turn);
    return status;
}

enum turn_status cell_export_state(cell *cell, uint32_t index, const void *context, size_t context_length, void *state,
                                   size_t capacity, size_t *state_length)
{
    image *image = cell_image_of(cell, index);
    engine_instance *instance = image != NULL ? image_take(image) : NULL;
    engine_value value = { 0 };
    *state_length = 0;
    if (instance == NULL)
        return TURN_HOST;
    enum turn_status status = TURN_BAD_CONTEXT;
    if (image_apply(image, instance, context, context_length) == DRO_OK)
        status = call(cell, image, instance, ENTRY_EXPORT_STATE, &value);
    uint32_t length = (uint32_t)value.i32;
    if (status == TURN_OK && (length > EVENT_BYTES_MAX || length > capacity))
        status = TURN_BAD_RESULT;
    if (status == TURN_OK) {
        memcpy(state, engine_instance_memory(instance)->bytes + image->info.event_buffer, length);
        *state_length = length;
    }
    image_give(image, instance, image_reset(image, instance));
    return status;
}

enum turn_status cell_import_state(cell *cell, uint32_t index, const void *state, size_t state_length, void *context,
                                   size_t capacity, size_t *context_length)
{
    image *image = cell_image_of(cell, index);
    engine_value value = { .i32 = (int32_t)state_length };
    *context_length = 0;
    if (state_length > EVENT_BYTES_MAX)
        return TURN_BAD_CONTEXT;
    engine_instance *instance = image != NULL ? image_take(image) : NULL;
    if (instance == NULL)
        return TURN_HOST;
    if (state_length > 0)
        memcpy(engine_instance_memory(instance)->bytes + image->info.event_buffer, state, state_length);
    enum turn_status status = call(cell, image, instance, ENTRY_IMPORT_STATE, &value);
    bool is_sound;
    if (status == TURN_OK) {
        dro_err err = image_collect(image, instance, context, capacity, context_length);
        is_sound = err != DRO_CORRUPT;
        if (err != DRO_OK)
            dro_wipe(context, capacity);
        if (err != DRO_OK)
            status = err == DRO_LIMIT ? TURN_MEMORY : TURN_HOST;
    } else {
        is_sound = image_reset(image, instance);
    }
    image_give(image, instance, is_sound);
    return status;
}

/* Image: the code of all twins of a model, loaded, with the memory it starts with
 * and its slots. A slot is a warm, empty instance into which a context is put for
 * one turn; after it the slot is again as it was made, or it is thrown away and
 * made anew. */
#pragma once

#include "cell/artifact.h"
#include "cell/context.h"
#include "cell/engine.h"
#include "cell/imports.h"

enum { IMAGE_SLOTS = 2 }; /* warm instances of one image: one to use, one should it be thrown away */

typedef struct image {
    artifact_info info;
    engine_code *code;
    uint8_t *baseline;           /* memory_limit bytes, aligned to CHUNK */
    uint32_t slot_count;
    engine_instance *slots[IMAGE_SLOTS];
} image;

DRO_CHECKED dro_err image_init(image *image, engine *engine, const uint8_t *artifact, size_t length);
void image_fini(image *image);

/* An instance as the image starts with, and back. `is_sound` false: never used again. */
engine_instance *image_take(image *image);
void image_give(image *image, engine_instance *instance, bool is_sound);

/* Context into an instance that image_take gave. DRO_OK or what is wrong with the context. */
DRO_CHECKED dro_err image_apply(image *image, engine_instance *instance, const uint8_t *context, size_t length);
/* Context out of the instance, which is as at the start afterwards.
 * DRO_LIMIT: it does not fit; DRO_CORRUPT: the instance cannot be reset. */
DRO_CHECKED dro_err image_collect(image *image, engine_instance *instance, void *room, size_t capacity, size_t *length);
/* The same without giving the context. False: it cannot be reset. */
bool image_reset(image *image, engine_instance *instance);

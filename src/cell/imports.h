/* Imports: what a twin may ask its host, sdk/abi.json's list. Each call either adds
 * an effect to the turn, answers from the turn's own fixed inputs (time, seed), or
 * ends the turn. Pointers and numbers come from guest code: all are checked. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/builder.h"
#include "base/clock.h"
#include "cell/artifact.h"
#include "cell/engine.h"
#include "ring/message.h"
#include "twin/effect.h"

/* The turn that runs now; one per cell. */
typedef struct turn {
    const artifact_info *info;
    const engine_memory *memory;
    int64_t wall_ms;
    dro_random_seeded random;
    uint64_t seed;
    bool is_random_ready;
    bool is_mute;               /* no imports now: dromio_event_buffer, state out and in */
    enum turn_status refused_as; /* why an import ended the turn */
    uint32_t effect_count;
    dro_builder effects;
    uint8_t effect_bytes[EFFECTS_BYTES_MAX];
} turn;

enum entry { ENTRY_EVENT, ENTRY_EVENT_BUFFER, ENTRY_EXPORT_STATE, ENTRY_IMPORT_STATE };

/* Options of an engine for twins. `turn` is what the imports work on. */
engine_options imports_engine_options(turn *turn);

void turn_begin(turn *turn, const artifact_info *info, const engine_memory *memory, int64_t wall_ms, uint64_t seed);
void turn_end(turn *turn); /* clears what the turn left */

/* Images kept by the core: files beside the log, artifacts in memory for the cells. */
#pragma once

#include "core/state.h"

/* Keeps an admitted image: files first, then the host's table, then the cells.
 * DRO_EXISTS: a model of that name with other properties is here. */
DRO_CHECKED dro_err image_add(core *core, const uint8_t digest[32], const uint8_t *wasm, size_t length,
                              const admit_result *result, uint32_t *index);
/* At start: reads the artifacts back, checks them, hands them to the supervisor. */
DRO_CHECKED dro_err images_load(core *core);
void uploads_free(core *core);
void uploads_gate_lost(core *core, uint32_t gate);

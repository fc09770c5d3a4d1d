/* Images kept by the core: files beside the log, artifacts in memory for the cells. */
#pragma once

#include "core/state.h"

/* Keeps an admitted image: files first, then the host's table, then the cells. One that is here is
 * mended if need be. DRO_EXISTS: a model of that name with other properties is here. DRO_LIMIT: as many
 * as there can be. */
DRO_CHECKED dro_err image_add(core *core, const uint8_t digest[32], const uint8_t *wasm, size_t length,
                              const admit_result *result, uint32_t *index);
/* At start: removes what an interrupted push left, reads the artifacts back, checks them, hands them to
 * the supervisor. One that does not fit this engine or processor, or is not what was written, is made
 * anew from its image, meanwhile its twins' turns wait. One whose image is damaged too is broken until
 * it is pushed again; the others run. */
DRO_CHECKED dro_err images_load(core *core);
/* The answer to one that had to be looked at again: another engine, another processor. */
void image_readmitted(core *core, uint32_t index, const admit_result *result);
uint32_t image_find(const core *core, const uint8_t digest[32]); /* or NONE */
enum { READMITS_MAX = 4 }; /* at once */
enum { READMIT = 64 }; /* ids of admissions from here on are images by index; below: uploads */
void uploads_free(core *core);
void uploads_gate_lost(core *core, uint32_t gate);

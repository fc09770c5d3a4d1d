/* Cells of trust groups: which images each is to have, what they cost and have to do, as /v1/status and /metrics show it. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/builder.h"
#include "core/limits.h"

/* Places: each of a core's cells, and behind them, where there is probation, one more for each. Twins whose turns ran
 * into their deadline run there, at the lowest priority, until they did well for long enough (core/conduct.h): what they
 * cost, the twins that they would share a cell with do not wait for. Such a place has no cell until one is wanted. */
typedef struct core core;
uint32_t cell_places(const core *core);
/* Where turns of a cell's twins go. The cell itself, while that of those on probation is not up; it is asked for then. */
uint32_t cell_place_of(core *core, uint32_t cell, bool is_on_probation);

/* Images that a cell is to have, by index: where there are trust groups, those that twins of its domains have, or had since the start. */
typedef struct cell_images { _Atomic uint64_t bits[CORE_IMAGES_MAX / 64]; } cell_images;
static inline bool cell_images_has(const cell_images *images, uint32_t image)
{
    return (atomic_load_explicit(&images->bits[image / 64], memory_order_acquire) >> image % 64 & 1) != 0;
}

void cells_recovered(core *core); /* what its twins have is what their cells are to have */
void cell_lacks_image(core *core, uint32_t place, uint32_t image); /* it says that it has not the code of a turn */
void cells_show(core *core);  /* to the other cores, over the board */
void cells_status(const core *core, dro_builder *out);
void cells_metrics(const core *core, dro_builder *out);

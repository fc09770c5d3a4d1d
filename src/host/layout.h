/* Layout: the shared memory of a host, made by dromiod before any room is forked.
 * A room keeps what is its own and unmaps the rest. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "core/limits.h"

enum {
    GATE_SETS = 3,  /* rings of a gate: a restarted one gets a set nobody uses any more */
    CELL_SETS = 4,  /* the running one, the one being replaced, the one being started, the one just lost */
    GATE_RING = 2 * 1024 * 1024,
    DESK_RING = 512 * 1024,
    CELL_RING = 1024 * 1024,
};

typedef struct gate_memory { void *to_core, *from_core, *to_desk, *from_desk; } gate_memory;
typedef struct cell_memory { void *turns, *results; } cell_memory;

typedef struct layout {
    uint32_t gate_count, cell_count;
    gate_memory gates[CORE_GATES_MAX][GATE_SETS];
    cell_memory cells[CORE_CELLS_MAX][CELL_SETS];
    _Atomic uint64_t *running; /* [cell][set]: the turn it runs */
    void *columns;
    size_t columns_bytes;
} layout;

DRO_CHECKED dro_err layout_new(layout *layout, uint32_t gates, uint32_t cells, size_t columns_bytes);
void layout_free(layout *layout);
void layout_format_gate(layout *layout, uint32_t gate, uint32_t set);
void layout_format_cell(layout *layout, uint32_t cell, uint32_t set);
/* Unmaps all but what the room needs. */
void layout_keep_gate(layout *layout, uint32_t gate, uint32_t set);
void layout_keep_cell(layout *layout, uint32_t cell, uint32_t set);
void layout_keep_core(layout *layout);
void layout_keep_desk(layout *layout);

/* Layout: the shared memory of a host, made by dromiod before any room is forked.
 * A room keeps what is its own and unmaps the rest.
 *
 * Pairs: each core has cells, columns and rings of its own. Gates and the desk meet all
 * cores; the cores share a board. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "core/cells.h"
#include "core/limits.h"
#include "ring/ledger.h"

enum {
    CORES_MAX = 16,
    GATE_SETS = 3,  /* rings of a gate: a restarted one gets a set nobody uses any more */
    CELL_SETS = 4,  /* the running one, the one being replaced, the one being started, the one just lost */
    GATE_RING = 2 * 1024 * 1024,
    DESK_RING = 512 * 1024,
    CELL_RING = 1024 * 1024,
    LEDGER_SETS = 3, /* as of a gate */
    LEDGER_RING = 1024 * 1024,
    LEDGER_SAID_RING = 256 * 1024,
};

typedef struct gate_memory { void *to_core[CORES_MAX], *from_core[CORES_MAX], *to_desk, *from_desk; } gate_memory;
typedef struct ledger_memory { void *from_core[CORES_MAX], *to_core[CORES_MAX]; } ledger_memory;
typedef struct cell_memory { void *turns, *results, *running /* the turn it runs; pages of its own: no cell sees another's */; } cell_memory;

typedef struct layout {
    uint32_t core_count, gate_count, cell_count, place_count; /* cells and their places: of each core; core/cells.h */
    gate_memory gates[CORE_GATES_MAX][GATE_SETS];
    cell_memory cells[CORES_MAX][CORE_PLACES_MAX][CELL_SETS];
    ledger_memory ledgers[LEDGERS][LEDGER_SETS]; /* none of a kind that is off */
    void *columns[CORES_MAX];
    size_t columns_bytes;                        /* of each core */
    void *directory;                             /* names to cores, twin/directory.h */
    size_t directory_bytes;
    void *wanted[CORES_MAX];                     /* cell_images of its cells: which images each is to have. A core writes, dromiod and new cells read */
    void *board;                                 /* of the cores alone, core/board.h */
    size_t board_bytes;
} layout;

typedef struct layout_shape {
    uint32_t cores, gates, cells;
    bool has_probation;
    size_t columns_bytes, directory_bytes, board_bytes;
    bool has_ledger[LEDGERS];
} layout_shape;

DRO_CHECKED dro_err layout_new(layout *layout, const layout_shape *shape);
void layout_free(layout *layout);
void layout_format_gate(layout *layout, uint32_t gate, uint32_t set);
void layout_format_cell(layout *layout, uint32_t core, uint32_t cell, uint32_t set);
static inline _Atomic uint64_t *layout_running(const layout *layout, uint32_t core, uint32_t cell, uint32_t set)
{
    return layout->cells[core][cell][set].running;
}
void layout_format_ledger(layout *layout, enum ledger_kind kind, uint32_t set);
/* A place of twins on probation has the images of its cell. */
static inline cell_images *layout_wanted(const layout *layout, uint32_t core, uint32_t place)
{
    return (cell_images *)layout->wanted[core] + place % layout->cell_count;
}
/* "cell 0", with several cores "cell 1.0"; "probation 0" */
const char *layout_cell_name(const layout *layout, uint32_t core, uint32_t place, char name[32]);
/* Unmaps all but what the room needs. */
void layout_keep_gate(layout *layout, uint32_t gate, uint32_t set);
void layout_keep_cell(layout *layout, uint32_t core, uint32_t cell, uint32_t set);
void layout_keep_core(layout *layout, uint32_t core);
void layout_keep_desk(layout *layout);
void layout_keep_ledger(layout *layout, enum ledger_kind kind, uint32_t set);

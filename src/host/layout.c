#include "host/layout.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "ring/ring.h"

enum { NO_CORE = CORES_MAX, RUNNING_BYTES = sizeof(uint64_t), WANTED_BYTES = CORE_CELLS_MAX * sizeof(cell_images) };

/* Nothing of 0 bytes is whole too. */
static bool share(void **memory, size_t bytes)
{
    if (bytes == 0)
        return true;
    void *made = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *memory = made == MAP_FAILED ? NULL : made;
    return *memory != NULL;
}

static void unshare(void **memory, size_t bytes)
{
    if (*memory != NULL)
        munmap(*memory, bytes);
    *memory = NULL;
}

/* ---- making ---- */

static bool make_gate(gate_memory *made, uint32_t cores)
{
    bool is_whole = share(&made->to_desk, ring_bytes(DESK_RING)) && share(&made->from_desk, ring_bytes(DESK_RING));
    for (uint32_t i = 0; i < cores && is_whole; i++)
        is_whole = share(&made->to_core[i], ring_bytes(GATE_RING)) && share(&made->from_core[i], ring_bytes(GATE_RING));
    return is_whole;
}

static bool make_core(layout *layout, uint32_t core)
{
    bool is_whole = share(&layout->columns[core], layout->columns_bytes) && share(&layout->wanted[core], WANTED_BYTES);
    for (uint32_t cell = 0; cell < layout->place_count; cell++)
        for (int set = 0; set < CELL_SETS && is_whole; set++) {
            cell_memory *made = &layout->cells[core][cell][set];
            is_whole = share(&made->turns, ring_bytes(CELL_RING)) && share(&made->results, ring_bytes(CELL_RING)) &&
                       share(&made->running, RUNNING_BYTES);
        }
    return is_whole;
}

static bool make_ledger(ledger_memory *made, uint32_t cores)
{
    bool is_whole = true;
    for (uint32_t i = 0; i < cores && is_whole; i++)
        is_whole = share(&made->from_core[i], ring_bytes(LEDGER_RING)) && share(&made->to_core[i], ring_bytes(LEDGER_SAID_RING));
    return is_whole;
}

dro_err layout_new(layout *layout, const layout_shape *shape)
{
    assert(shape->cores >= 1 && shape->cores <= CORES_MAX && shape->gates <= CORE_GATES_MAX && shape->cells <= CORE_CELLS_MAX);
    *layout = (struct layout){ .core_count = shape->cores, .gate_count = shape->gates, .cell_count = shape->cells,
                               .place_count = shape->has_probation ? 2 * shape->cells : shape->cells,
                               .columns_bytes = shape->columns_bytes, .directory_bytes = shape->directory_bytes,
                               .board_bytes = shape->board_bytes };
    bool is_whole = share(&layout->directory, layout->directory_bytes) && share(&layout->board, layout->board_bytes);
    for (uint32_t gate = 0; gate < layout->gate_count; gate++)
        for (int set = 0; set < GATE_SETS && is_whole; set++)
            is_whole = make_gate(&layout->gates[gate][set], layout->core_count);
    for (uint32_t core = 0; core < layout->core_count && is_whole; core++)
        is_whole = make_core(layout, core);
    for (int kind = 0; kind < LEDGERS; kind++)
        for (int set = 0; set < LEDGER_SETS && is_whole && shape->has_ledger[kind]; set++)
            is_whole = make_ledger(&layout->ledgers[kind][set], layout->core_count);
    if (is_whole)
        return DRO_OK;
    layout_free(layout);
    return DRO_NOMEM;
}

const char *layout_cell_name(const layout *layout, uint32_t core, uint32_t place, char name[32])
{
    const char *kind = place < layout->cell_count ? "cell" : "probation";
    if (layout->core_count > 1)
        snprintf(name, 32, "%s %u.%u", kind, core, place % layout->cell_count);
    else
        snprintf(name, 32, "%s %u", kind, place % layout->cell_count);
    return name;
}

/* ---- unmapping ---- */

static void free_desk_rings(gate_memory *memory)
{
    unshare(&memory->to_desk, ring_bytes(DESK_RING));
    unshare(&memory->from_desk, ring_bytes(DESK_RING));
}

/* Rings with all cores but one. */
static void free_core_rings(gate_memory *memory, uint32_t kept)
{
    for (uint32_t i = 0; i < CORES_MAX; i++) {
        if (i == kept)
            continue;
        unshare(&memory->to_core[i], ring_bytes(GATE_RING));
        unshare(&memory->from_core[i], ring_bytes(GATE_RING));
    }
}

static void free_gates_but(layout *layout, const gate_memory *kept)
{
    for (uint32_t gate = 0; gate < layout->gate_count; gate++)
        for (int set = 0; set < GATE_SETS; set++)
            if (&layout->gates[gate][set] != kept) {
                free_desk_rings(&layout->gates[gate][set]);
                free_core_rings(&layout->gates[gate][set], NO_CORE);
            }
}

static void free_ledger_rings(ledger_memory *memory, uint32_t kept_core)
{
    for (uint32_t i = 0; i < CORES_MAX; i++) {
        if (i == kept_core)
            continue;
        unshare(&memory->from_core[i], ring_bytes(LEDGER_RING));
        unshare(&memory->to_core[i], ring_bytes(LEDGER_SAID_RING));
    }
}

static void free_ledgers_but(layout *layout, const ledger_memory *kept, uint32_t kept_core)
{
    for (int kind = 0; kind < LEDGERS; kind++)
        for (int set = 0; set < LEDGER_SETS; set++)
            if (&layout->ledgers[kind][set] != kept)
                free_ledger_rings(&layout->ledgers[kind][set], kept_core);
}

static void free_cells_but(layout *layout, uint32_t core, const cell_memory *kept)
{
    for (uint32_t cell = 0; cell < layout->place_count; cell++)
        for (int set = 0; set < CELL_SETS; set++)
            if (&layout->cells[core][cell][set] != kept) {
                unshare(&layout->cells[core][cell][set].turns, ring_bytes(CELL_RING));
                unshare(&layout->cells[core][cell][set].results, ring_bytes(CELL_RING));
                unshare(&layout->cells[core][cell][set].running, RUNNING_BYTES);
            }
}

/* What is one core's own. */
static void free_core(layout *layout, uint32_t core)
{
    free_cells_but(layout, core, NULL);
    unshare(&layout->columns[core], layout->columns_bytes);
    unshare(&layout->wanted[core], WANTED_BYTES);
}

static void free_cores_but(layout *layout, uint32_t kept)
{
    for (uint32_t core = 0; core < layout->core_count; core++)
        if (core != kept)
            free_core(layout, core);
}

static void free_directory(layout *layout)
{
    unshare(&layout->directory, layout->directory_bytes);
}

static void free_board(layout *layout)
{
    unshare(&layout->board, layout->board_bytes);
}

void layout_free(layout *layout)
{
    free_gates_but(layout, NULL);
    free_ledgers_but(layout, NULL, NO_CORE);
    free_cores_but(layout, NO_CORE);
    free_directory(layout);
    free_board(layout);
}

/* ---- new rings ---- */

void layout_format_gate(layout *layout, uint32_t gate, uint32_t set)
{
    gate_memory *memory = &layout->gates[gate][set];
    for (uint32_t i = 0; i < layout->core_count; i++) {
        ring_format(memory->to_core[i], GATE_RING);
        ring_format(memory->from_core[i], GATE_RING);
    }
    ring_format(memory->to_desk, DESK_RING);
    ring_format(memory->from_desk, DESK_RING);
}

void layout_format_ledger(layout *layout, enum ledger_kind kind, uint32_t set)
{
    for (uint32_t i = 0; i < layout->core_count; i++) {
        ring_format(layout->ledgers[kind][set].from_core[i], LEDGER_RING);
        ring_format(layout->ledgers[kind][set].to_core[i], LEDGER_SAID_RING);
    }
}

void layout_format_cell(layout *layout, uint32_t core, uint32_t cell, uint32_t set)
{
    ring_format(layout->cells[core][cell][set].turns, CELL_RING);
    ring_format(layout->cells[core][cell][set].results, CELL_RING);
    atomic_store(layout_running(layout, core, cell, set), 0);
}

/* ---- what a room keeps ---- */

void layout_keep_gate(layout *layout, uint32_t gate, uint32_t set)
{
    free_cores_but(layout, NO_CORE);
    free_gates_but(layout, &layout->gates[gate][set]);
    free_ledgers_but(layout, NULL, NO_CORE);
    free_board(layout);
    mprotect(layout->directory, layout->directory_bytes, PROT_READ);
}

void layout_keep_cell(layout *layout, uint32_t core, uint32_t cell, uint32_t set)
{
    free_gates_but(layout, NULL);
    free_ledgers_but(layout, NULL, NO_CORE);
    free_cores_but(layout, core);
    free_cells_but(layout, core, &layout->cells[core][cell][set]);
    unshare(&layout->columns[core], layout->columns_bytes);
    unshare(&layout->wanted[core], WANTED_BYTES);
    free_directory(layout);
    free_board(layout);
}

void layout_keep_core(layout *layout, uint32_t core)
{
    for (uint32_t gate = 0; gate < layout->gate_count; gate++)
        for (int set = 0; set < GATE_SETS; set++) {
            free_desk_rings(&layout->gates[gate][set]);
            free_core_rings(&layout->gates[gate][set], core);
        }
    free_ledgers_but(layout, NULL, core);
    free_cores_but(layout, core);
}

void layout_keep_desk(layout *layout)
{
    for (uint32_t gate = 0; gate < layout->gate_count; gate++)
        for (int set = 0; set < GATE_SETS; set++)
            free_core_rings(&layout->gates[gate][set], NO_CORE);
    for (uint32_t core = 0; core < layout->core_count; core++) {
        free_cells_but(layout, core, NULL);
        unshare(&layout->wanted[core], WANTED_BYTES);
        mprotect(layout->columns[core], layout->columns_bytes, PROT_READ);
    }
    free_ledgers_but(layout, NULL, NO_CORE);
    free_directory(layout);
    free_board(layout);
}

void layout_keep_ledger(layout *layout, enum ledger_kind kind, uint32_t set)
{
    free_gates_but(layout, NULL);
    free_ledgers_but(layout, &layout->ledgers[kind][set], NO_CORE);
    free_cores_but(layout, NO_CORE);
    free_directory(layout);
    free_board(layout);
}

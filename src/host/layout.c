#include "host/layout.h"

#include <string.h>
#include <sys/mman.h>

#include "ring/ring.h"

static void *shared(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void unshare(void **memory, size_t bytes)
{
    if (*memory != NULL)
        munmap(*memory, bytes);
    *memory = NULL;
}

dro_err layout_new(layout *layout, uint32_t gates, uint32_t cells, size_t columns_bytes)
{
    *layout = (struct layout){ .gate_count = gates, .cell_count = cells, .columns_bytes = columns_bytes };
    bool is_whole = (layout->running = shared(sizeof(uint64_t) * CORE_CELLS_MAX * CELL_SETS)) != NULL &&
                    (layout->columns = shared(columns_bytes)) != NULL;
    for (uint32_t g = 0; g < gates; g++)
        for (int s = 0; s < GATE_SETS; s++) {
            gate_memory *m = &layout->gates[g][s];
            m->to_core = shared(ring_bytes(GATE_RING));
            m->from_core = shared(ring_bytes(GATE_RING));
            m->to_desk = shared(ring_bytes(DESK_RING));
            m->from_desk = shared(ring_bytes(DESK_RING));
            is_whole &= m->to_core != NULL && m->from_core != NULL && m->to_desk != NULL && m->from_desk != NULL;
        }
    for (uint32_t c = 0; c < cells; c++)
        for (int s = 0; s < CELL_SETS; s++) {
            cell_memory *m = &layout->cells[c][s];
            m->turns = shared(ring_bytes(CELL_RING));
            m->results = shared(ring_bytes(CELL_RING));
            is_whole &= m->turns != NULL && m->results != NULL;
        }
    if (is_whole)
        return DRO_OK;
    layout_free(layout);
    return DRO_NOMEM;
}

static void free_gate(gate_memory *m)
{
    unshare(&m->to_core, ring_bytes(GATE_RING));
    unshare(&m->from_core, ring_bytes(GATE_RING));
    unshare(&m->to_desk, ring_bytes(DESK_RING));
    unshare(&m->from_desk, ring_bytes(DESK_RING));
}

static void free_cell(cell_memory *m)
{
    unshare(&m->turns, ring_bytes(CELL_RING));
    unshare(&m->results, ring_bytes(CELL_RING));
}

static void free_columns(layout *layout)
{
    unshare(&layout->columns, layout->columns_bytes);
}

static void free_cells_but(layout *layout, const cell_memory *kept)
{
    for (uint32_t c = 0; c < layout->cell_count; c++)
        for (int s = 0; s < CELL_SETS; s++)
            if (&layout->cells[c][s] != kept)
                free_cell(&layout->cells[c][s]);
}

static void free_gates_but(layout *layout, const gate_memory *kept)
{
    for (uint32_t g = 0; g < layout->gate_count; g++)
        for (int s = 0; s < GATE_SETS; s++)
            if (&layout->gates[g][s] != kept)
                free_gate(&layout->gates[g][s]);
}

void layout_free(layout *layout)
{
    free_columns(layout);
    free_cells_but(layout, NULL);
    free_gates_but(layout, NULL);
    if (layout->running != NULL)
        munmap((void *)layout->running, sizeof(uint64_t) * CORE_CELLS_MAX * CELL_SETS);
    layout->running = NULL;
}

void layout_format_gate(layout *layout, uint32_t gate, uint32_t set)
{
    gate_memory *m = &layout->gates[gate][set];
    ring_format(m->to_core, GATE_RING);
    ring_format(m->from_core, GATE_RING);
    ring_format(m->to_desk, DESK_RING);
    ring_format(m->from_desk, DESK_RING);
}

void layout_format_cell(layout *layout, uint32_t cell, uint32_t set)
{
    ring_format(layout->cells[cell][set].turns, CELL_RING);
    ring_format(layout->cells[cell][set].results, CELL_RING);
    atomic_store(&layout->running[cell * CELL_SETS + set], 0);
}

void layout_keep_gate(layout *layout, uint32_t gate, uint32_t set)
{
    free_columns(layout);
    free_cells_but(layout, NULL);
    free_gates_but(layout, &layout->gates[gate][set]);
}

void layout_keep_cell(layout *layout, uint32_t cell, uint32_t set)
{
    free_columns(layout);
    free_gates_but(layout, NULL);
    free_cells_but(layout, &layout->cells[cell][set]);
}

static void free_desk_rings(layout *layout)
{
    for (uint32_t g = 0; g < layout->gate_count; g++)
        for (int s = 0; s < GATE_SETS; s++) {
            unshare(&layout->gates[g][s].to_desk, ring_bytes(DESK_RING));
            unshare(&layout->gates[g][s].from_desk, ring_bytes(DESK_RING));
        }
}

void layout_keep_core(layout *layout)
{
    free_desk_rings(layout);
}

void layout_keep_desk(layout *layout)
{
    free_cells_but(layout, NULL);
    for (uint32_t g = 0; g < layout->gate_count; g++)
        for (int s = 0; s < GATE_SETS; s++) {
            unshare(&layout->gates[g][s].to_core, ring_bytes(GATE_RING));
            unshare(&layout->gates[g][s].from_core, ring_bytes(GATE_RING));
        }
    mprotect(layout->columns, layout->columns_bytes, PROT_READ);
}

#include "core/cells.h"

#include "core/render.h"
#include "core/state.h"
#include "core/twin_table.h"

/* ---- places ---- */

uint32_t cell_places(const core *core)
{
    return core->options.has_probation ? 2 * core->options.cell_count : core->options.cell_count;
}

uint32_t cell_place_of(core *core, uint32_t cell, bool is_on_probation)
{
    uint32_t place = core->options.cell_count + cell;
    if (!is_on_probation || !core->options.has_probation)
        return cell;
    if (core->cells[place].is_open)
        return place;
    if (!core->is_probation_wanted[cell]) {
        core->is_probation_wanted[cell] = true;
        core->options.supervisor->renew_cell(core->options.supervisor, place);
    }
    return cell;
}

/* ---- images ---- */

/* False: it was wanted before. */
static bool want(const core *core, uint32_t cell, uint32_t image)
{
    _Atomic uint64_t *bits = &core->options.cell_images[cell].bits[image / 64];
    uint64_t bit = 1ull << image % 64;
    return (atomic_fetch_or_explicit(bits, bit, memory_order_acq_rel) & bit) == 0;
}

void cells_recovered(core *core)
{
    uint32_t renewed = 0;
    for (uint32_t i = 0; core->options.cell_images != NULL && i < core->twin_high; i++) {
        const twin *twin = twin_at(core, i);
        if (twin->number != 0 && twin->image != NONE && want(core, core->domains[twin->domain].cell, twin->image))
            renewed |= 1u << core->domains[twin->domain].cell;
    }
    for (uint32_t cell = 0; renewed >> cell != 0; cell++)
        if (renewed >> cell & 1)
            core->options.supervisor->renew_cell(core->options.supervisor, cell);
}

/* One for twins on probation has what its cell has, and is not renewed with it. */
void cell_lacks_image(core *core, uint32_t place, uint32_t image)
{
    uint32_t cells = core->options.cell_count;
    if (core->options.cell_images != NULL && (want(core, place % cells, image) || place >= cells))
        core->options.supervisor->renew_cell(core->options.supervisor, place);
}

/* ---- counts ---- */

static uint64_t count_of_place(const core *core, uint32_t place, enum board_cell_count what)
{
    switch (what) {
    case BOARD_CELL_CPU_NS: return core->shares.of[place].cpu_ns;
    case BOARD_CELL_TURNS: return core->cells[place].in_flight + core->old_cells[place].in_flight;
    case BOARD_CELL_WAITING: return core->shares.of[place].waiting;
    case BOARD_CELL_REFUSED: return core->parts[place].refused;
    case BOARD_CELL_PROBATION: return place < core->options.cell_count ? 0 : core->parts[place].given;
    default: return 0;
    }
}

static uint64_t count_here(const core *core, uint32_t cell, enum board_cell_count what)
{
    uint64_t count = 0;
    for (uint32_t place = cell; place < cell_places(core); place += core->options.cell_count)
        count += count_of_place(core, place, what);
    return count;
}

void cells_show(core *core)
{
    for (uint32_t i = 0; i < core->options.cell_count; i++)
        for (int what = 0; what < BOARD_CELL_COUNTS; what++)
            board_cell_put(&core->board, i, (enum board_cell_count)what, count_here(core, i, (enum board_cell_count)what));
}

typedef struct group_counts { uint64_t of[BOARD_CELL_COUNTS]; uint32_t cells, share; } group_counts;

/* Of all its cells, on all cores; the share is one core's. */
static group_counts counts_of(const core *core, uint32_t group)
{
    group_counts counts = { .share = 0 };
    for (uint32_t i = 0; i < core->options.cell_count; i++) {
        if (trust_group_of_cell(core->options.trust, core->options.cell_count, i) != group)
            continue;
        counts.cells++;
        counts.share += core->shares.of[i].weight;
        for (int what = 0; what < BOARD_CELL_COUNTS; what++)
            counts.of[what] += count_here(core, i, (enum board_cell_count)what) +
                               (core->count > 1 ? board_cell_counted(&core->board, i, (enum board_cell_count)what) : 0);
    }
    return counts;
}

/* Each group, then those that are in none; `i` counts from 0. False: there is no more. */
static bool group_next(const core *core, uint32_t i, uint32_t *group)
{
    uint32_t count = core->options.trust == NULL ? 0 : core->options.trust->group_count;
    *group = i < count ? i : TRUST_NONE;
    return i <= count;
}

void cells_status(const core *core, dro_builder *out)
{
    uint32_t group;
    dro_builder_text(out, ",\"cells\":[");
    for (uint32_t i = 0; group_next(core, i, &group); i++) {
        group_counts counts = counts_of(core, group);
        json_put(out, "%s{\"group\":\"%s\",\"cells\":%u,\"share\":%u,\"cpu_seconds\":%.6f,\"turns\":%llu,\"waiting\":%llu,\"refused\":%llu,\"probation\":%llu}", i > 0 ? "," : "",
                 trust_group_name(core->options.trust, group), counts.cells, counts.share, (double)counts.of[BOARD_CELL_CPU_NS] / 1e9,
                 (unsigned long long)counts.of[BOARD_CELL_TURNS], (unsigned long long)counts.of[BOARD_CELL_WAITING],
                 (unsigned long long)counts.of[BOARD_CELL_REFUSED], (unsigned long long)counts.of[BOARD_CELL_PROBATION]);
    }
    dro_builder_text(out, "]");
}

static double shown(const group_counts *counts, int what)
{
    return what == BOARD_CELL_CPU_NS ? (double)counts->of[what] / 1e9 : (double)(what == BOARD_CELL_COUNTS ? counts->share : counts->of[what]);
}

void cells_metrics(const core *core, dro_builder *out)
{
    static const struct { const char *name, *kind, *help; } rows[] = {
        [BOARD_CELL_CPU_NS] = { "dromio_cell_cpu_seconds_total", "counter", "CPU time of turns, by trust group." },
        [BOARD_CELL_TURNS] = { "dromio_cell_turns_in_flight", "gauge", "Turns in the cells of a trust group." },
        [BOARD_CELL_WAITING] = { "dromio_cell_turns_waiting", "gauge", "Turns that no cell of their trust group has taken yet." },
        [BOARD_CELL_REFUSED] = { "dromio_cell_turns_refused_total", "counter", "Turns refused because too many of their trust group were under way." },
        [BOARD_CELL_PROBATION] = { "dromio_cell_probation_turns_total", "counter", "Turns of twins on probation, in the cells that are for those." },
        [BOARD_CELL_COUNTS] = { "dromio_cell_share_percent", "gauge", "Share of a core's cell time, by trust group." },
    };
    for (int what = 0; what <= BOARD_CELL_COUNTS; what++) {
        uint32_t group;
        json_put(out, "# HELP %s %s\n# TYPE %s %s\n", rows[what].name, rows[what].help, rows[what].name, rows[what].kind);
        for (uint32_t i = 0; group_next(core, i, &group); i++) {
            group_counts counts = counts_of(core, group);
            json_put(out, "%s{group=\"%s\"} %.9g\n", rows[what].name, trust_group_name(core->options.trust, group), shown(&counts, what));
        }
    }
}

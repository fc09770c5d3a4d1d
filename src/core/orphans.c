#include "core/orphans.h"

#include "core/core.h"
#include "core/exposure.h"
#include "core/groups.h"
#include "core/nidd.h"
#include "core/queue.h"
#include "core/record.h"
#include "core/state.h"
#include "core/twin_table.h"

enum {
    TABLES = 1 + EXPOSURE_KINDS,
    ORPHANS_BATCH = 64,     /* looked at in a round */
    ORPHANS_AGAIN_MS = 100, /* till those are met again whose twin was busy, or is being read */
};

void orphans_look(core *core)
{
    core->nidd.orphans = (orphans){ .is_looking = true };
}

int64_t orphans_due_ms(const core *core)
{
    return core->nidd.orphans.is_looking ? core->nidd.orphans.again_ms : INT64_MAX;
}

/* Of the tables of owners: NIDD configurations, then each kind of exposures. */
static owner_table *table_of(core *core, uint32_t table)
{
    return table == 0 ? &core->nidd.owners : &core->exposures.owners[table - 1];
}

static bool drop_exposure(core *core, uint64_t number)
{
    uint32_t index;
    exposure *lost = exposure_find(core, number, &index);
    if (lost == NULL || index == NONE || lost->status == EXPOSURE_ENDING)
        return true;
    if (twin_at(core, index)->flags & (TWIN_RUNNING | TWIN_CREATING))
        return false;
    exposure_end(core, index, lost, NULL);
    return true;
}

/* False: not now. */
static bool drop(core *core, uint64_t number)
{
    uint32_t index;
    if (nidd_configuration_find(core, number, &index) == NULL)
        return true;
    if (twin_at(core, index)->flags & (TWIN_RUNNING | TWIN_CREATING))
        return false;
    if (queue_is_away(twin_at(core, index))) {
        queue_load(core, index);
        return false;
    }
    record_begin(core, index, RECORD_DELTA);
    nidd_configuration_gone(core, index, number);
    record_end(core);
    nidd_trim(twin_at(core, index));
    twin_extra_trim(twin_at(core, index));
    return true;
}

int orphans_step(core *core)
{
    orphans *orphans = &core->nidd.orphans;
    uint32_t looked = 0;
    if (!orphans->is_looking || orphans->again_ms > core->now_ms || core_refusal(core) != NULL)
        return 0;
    if (core->index == 0 && orphans->owner == 0 && orphans->table == 0) {
        group_configurations_orphaned(core);
        exposure_groups_orphaned(core);
    }
    if (orphans->owner == 0)
        orphans->owner = owner_lost(core, table_of(core, orphans->table), 0);
    while (looked < ORPHANS_BATCH && orphans->table < TABLES) {
        owner_table *table = table_of(core, orphans->table);
        uint64_t number = orphans->owner == 0 ? 0 : owner_next(core, table, orphans->owner, orphans->after);
        orphans->after = owner_rank(number);
        looked++;
        if (number != 0) {
            orphans->has_skipped |= !(orphans->table == 0 ? drop : drop_exposure)(core, number);
            continue;
        }
        orphans->owner = orphans->owner == 0 ? 0 : owner_lost(core, table, orphans->owner);
        if (orphans->owner == 0 && ++orphans->table < TABLES)
            orphans->owner = owner_lost(core, table_of(core, orphans->table), 0);
    }
    if (orphans->table == TABLES)
        *orphans = (struct orphans){ .is_looking = orphans->has_skipped, .again_ms = core->now_ms + ORPHANS_AGAIN_MS };
    return (int)looked;
}

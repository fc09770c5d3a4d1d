#include "core/orphans.h"

#include "core/core.h"
#include "core/groups.h"
#include "core/nidd.h"
#include "core/queue.h"
#include "core/record.h"
#include "core/state.h"
#include "core/twin_table.h"

enum {
    ORPHANS_BATCH = 64,     /* configurations looked at in a round */
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
    if (core->index == 0 && orphans->owner == 0)
        group_configurations_orphaned(core);
    if (orphans->owner == 0)
        orphans->owner = owner_lost(core, 0);
    while (orphans->owner != 0 && looked < ORPHANS_BATCH) {
        uint64_t number = owner_next(core, orphans->owner, orphans->after);
        orphans->after = owner_rank(number);
        if (number == 0)
            orphans->owner = owner_lost(core, orphans->owner);
        else if (!drop(core, number))
            orphans->has_skipped = true;
        looked++;
    }
    if (orphans->owner == 0)
        *orphans = (struct orphans){ .is_looking = orphans->has_skipped, .again_ms = core->now_ms + ORPHANS_AGAIN_MS };
    return (int)looked;
}

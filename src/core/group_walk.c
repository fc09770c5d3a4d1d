/* A round's part of what is done to groups: bounded, so that nobody else waits for it. */
#include "core/groups.h"
#include "core/mailbox.h"
#include "core/nidd.h"
#include "core/record.h"
#include "core/render.h"
#include "core/tell.h"
#include "core/turn.h"
#include "core/twin_table.h"


/* ---- what is gone ---- */

static int groups_clear(core *core)
{
    groups *groups = core->groups;
    groups->has_gone = false;
    for (uint32_t i = 0; i < groups->high; i++) {
        group *gone = &groups->list[i];
        if (gone->id == NULL || !gone->is_gone)
            continue;
        groups->has_gone = true;
        if (group_clear_some(core, gone, GROUP_SCAN))
            group_clear(core, gone);
        return 1;
    }
    return 0;
}

int groups_step(core *core)
{
    return core->groups->has_gone ? groups_clear(core) : 0;
}

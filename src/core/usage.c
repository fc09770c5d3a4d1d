#include "core/usage.h"

#include "core/groups.h"
#include "core/state.h"

_Static_assert((int)USAGE_SLOTS == (int)BOARD_USAGE, "room on the board");
enum { DAY_MS = 24 * 3600 * 1000 };

static uint32_t today(const core *core)
{
    return (uint32_t)(core->now_ms / DAY_MS);
}

static void show(core *core, uint32_t slot)
{
    const application_usage *usage = &core->usage[slot];
    if (core->count > 1)
        board_usage_put(&core->board, slot, usage->configurations, (uint64_t)usage->day << 32 | usage->downlinks);
}

void usage_configuration(core *core, uint32_t application, int change)
{
    core->usage[application % USAGE_SLOTS].configurations += (uint32_t)change;
    show(core, application % USAGE_SLOTS);
}

void usage_downlink(core *core, uint32_t application)
{
    application_usage *usage = &core->usage[application % USAGE_SLOTS];
    if (usage->day != today(core)) {
        usage->day = today(core);
        usage->downlinks = 0;
    }
    usage->downlinks++;
    show(core, application % USAGE_SLOTS);
}

uint64_t usage_configurations(const core *core, uint32_t application)
{
    uint32_t slot = application % USAGE_SLOTS;
    uint64_t of_groups = 0; /* the host's: every core has them all */
    for (uint32_t i = 0; i < core->groups->configuration_high; i++)
        of_groups += core->groups->configurations[i] != NULL && core->groups->configurations[i]->application == application;
    return of_groups + core->usage[slot].configurations + (core->count > 1 ? board_usage_configurations(&core->board, slot) : 0);
}

uint64_t usage_downlinks(const core *core, uint32_t application)
{
    uint32_t slot = application % USAGE_SLOTS;
    uint64_t here = core->usage[slot].day == today(core) ? core->usage[slot].downlinks : 0;
    return here + (core->count > 1 ? board_usage_downlinks(&core->board, slot, today(core)) : 0);
}

uint32_t usage_limit(const core *core, const application *application, enum application_limit limit)
{
    return application->limits.of[limit] != 0 ? application->limits.of[limit] : core->options.limits.of[limit];
}

bool usage_has_room(const core *core, const application *application, enum application_limit limit)
{
    uint32_t most = usage_limit(core, application, limit);
    uint64_t used = limit == LIMIT_CONFIGURATIONS ? usage_configurations(core, application->number) : usage_downlinks(core, application->number);
    return most == 0 || used < most;
}

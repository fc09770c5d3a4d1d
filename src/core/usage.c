#include "core/usage.h"

#include "core/groups.h"
#include "core/record.h"
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

void usage_downlinks(core *core, uint32_t application, uint32_t count)
{
    application_usage *usage = &core->usage[application % USAGE_SLOTS];
    if (usage->day != today(core)) {
        usage->day = today(core);
        usage->downlinks = 0;
    }
    usage->downlinks += count;
    show(core, application % USAGE_SLOTS);
}

static void slot_put(core *core, uint32_t slot)
{
    dro_builder *part = record_part(core);
    dro_builder_le(part, slot, 4);
    dro_builder_le(part, core->usage[slot].day, 4);
    dro_builder_le(part, core->usage[slot].downlinks, 4);
    record_part_end(core, FIELD_USAGE);
}

void usage_put(core *core, uint32_t application)
{
    slot_put(core, application % USAGE_SLOTS);
}

void usage_keep(core *core, uint32_t application)
{
    record_begin(core, NONE, RECORD_GROUPS);
    usage_put(core, application);
    record_end(core);
}

void usage_replay(core *core, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    uint32_t slot = (uint32_t)dro_cursor_le(&in, 4), day = (uint32_t)dro_cursor_le(&in, 4), downlinks = (uint32_t)dro_cursor_le(&in, 4);
    if (in.err != DRO_OK || slot >= USAGE_SLOTS || core->is_reading_old) /* another number of cores: whose part it would be is not said */
        return;
    application_usage *usage = &core->usage[slot];
    if (day < usage->day || (day == usage->day && downlinks <= usage->downlinks))
        return;
    usage->day = day;
    usage->downlinks = downlinks;
    show(core, slot);
}

void usage_write(core *core)
{
    enum { SLOTS = 1024 }; /* in one record */
    for (uint32_t from = 0; from < USAGE_SLOTS; from += SLOTS) {
        uint32_t slot = from;
        while (slot < from + SLOTS && (core->usage[slot].day != today(core) || core->usage[slot].downlinks == 0))
            slot++;
        if (slot == from + SLOTS)
            continue;
        record_begin(core, NONE, RECORD_GROUPS);
        for (; slot < from + SLOTS; slot++)
            if (core->usage[slot].day == today(core) && core->usage[slot].downlinks > 0)
                slot_put(core, slot);
        record_end(core);
    }
}

uint64_t usage_configurations(const core *core, uint32_t application)
{
    uint32_t slot = application % USAGE_SLOTS;
    uint64_t of_groups = 0; /* the host's: every core has them all */
    for (uint32_t i = 0; i < core->groups->configuration_high; i++)
        of_groups += core->groups->configurations[i] != NULL && core->groups->configurations[i]->application == application;
    for (uint32_t i = 0; i < core->exposures.group_high; i++)
        of_groups += core->exposures.of_groups[i] != NULL && core->exposures.of_groups[i]->application == application;
    return of_groups + core->usage[slot].configurations + (core->count > 1 ? board_usage_configurations(&core->board, slot) : 0);
}

uint64_t usage_downlinks_today(const core *core, uint32_t application)
{
    uint32_t slot = application % USAGE_SLOTS;
    uint64_t here = core->usage[slot].day == today(core) ? core->usage[slot].downlinks : 0;
    return here + (core->count > 1 ? board_usage_downlinks(&core->board, slot, today(core)) : 0);
}

uint32_t usage_limit(const core *core, const application *application, enum application_limit limit)
{
    return limit_in_force(&application->limits, &core->options.limits, limit);
}

bool usage_has_room(const core *core, const application *application, enum application_limit limit, uint64_t more)
{
    uint32_t most = usage_limit(core, application, limit);
    uint64_t used = limit == LIMIT_CONFIGURATIONS ? usage_configurations(core, application->number) : usage_downlinks_today(core, application->number);
    return most == 0 || used + more <= most;
}

int64_t usage_next_day_s(const core *core)
{
    return (DAY_MS - core->now_ms % DAY_MS + 999) / 1000;
}

/* Members of groups: a field of the member's record, and for each group the list of its members on this core. */
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "core/groups.h"
#include "core/mailbox.h"
#include "core/nidd.h"
#include "core/record.h"
#include "core/render.h"
#include "core/schedule.h"
#include "core/tell.h"
#include "core/turn.h"
#include "core/twin_table.h"

/* ---- the list ---- */

static group *group_of(const core *core, const membership *of)
{
    return &core->groups->list[of->group];
}

membership *membership_find(const core *core, const twin *twin, const group *wanted)
{
    uint32_t number = twin->memberships;
    while (number != 0 && group_of(core, membership_at(core, number)) != wanted)
        number = membership_at(core, number)->next;
    return number == 0 ? NULL : membership_at(core, number);
}

static uint32_t membership_count(const core *core, const twin *twin)
{
    uint32_t count = 0;
    for (uint32_t number = twin->memberships; number != 0; number = membership_at(core, number)->next)
        count++;
    return count;
}

static uint32_t membership_new(core *core)
{
    groups *groups = core->groups;
    uint32_t number = groups->membership_free;
    if (number != 0) {
        groups->membership_free = groups->memberships[number].next;
        return number;
    }
    if (groups->membership_count + 1 >= groups->membership_capacity) {
        uint32_t capacity = groups->membership_capacity == 0 ? 64 : groups->membership_capacity * 2;
        membership *grown = capacity >= GROUP_HOLE ? NULL : realloc(groups->memberships, capacity * sizeof *grown);
        if (grown == NULL)
            return 0;
        groups->memberships = grown;
        groups->membership_capacity = capacity;
    }
    return ++groups->membership_count;
}

static void membership_free(core *core, uint32_t number)
{
    core->groups->memberships[number].next = core->groups->membership_free;
    core->groups->membership_free = number;
}

/* A member keeps its place as long as it is one: cursors and parts of operations stay good. */
static dro_err place_take(core *core, group *group, uint32_t number, uint32_t *place)
{
    if (group->hole != 0) {
        *place = group->hole - 1;
        group->hole = group->places[*place] & ~GROUP_HOLE;
    } else {
        if (group->place_count == group->capacity) {
            uint32_t capacity = group->capacity == 0 ? 16 : group->capacity * 2;
            uint32_t *grown = realloc(group->places, capacity * sizeof *grown);
            if (grown == NULL)
                return DRO_NOMEM;
            group->places = grown;
            group->capacity = capacity;
            dro_err err = group_parts_room(core, group);
            if (err != DRO_OK)
                return err;
        }
        *place = group->place_count++;
    }
    group->places[*place] = number;
    group->member_count++;
    return DRO_OK;
}

static void place_leave(core *core, group *group, uint32_t place)
{
    for (uint32_t i = 0; core->groups->operation_count > 0 && i < GROUP_OPERATIONS_MAX; i++) {
        group_operation *operation = core->groups->operations[i];
        if (operation != NULL && operation->group == group->number)
            group_part_set(core, operation, place, GROUP_STATE_NONE);
    }
    group->places[place] = GROUP_HOLE | group->hole;
    group->hole = place + 1;
    group->member_count--;
    core->groups->member_count--;
    core->groups->is_changed = true;
}

static dro_err join(core *core, uint32_t index, group *group, uint32_t since)
{
    twin *twin = twin_at(core, index);
    membership *known = membership_find(core, twin, group);
    if (known != NULL) {
        known->is_kept = true;
        return DRO_OK;
    }
    uint32_t place, number = membership_new(core);
    if (number == 0)
        return DRO_NOMEM;
    dro_err err = place_take(core, group, number, &place);
    if (err != DRO_OK) {
        membership_free(core, number);
        return err;
    }
    *membership_at(core, number) = (membership){ .group = (uint32_t)(group - core->groups->list), .twin = index, .next = twin->memberships,
                                                 .place = place, .since = since, .is_kept = true };
    twin->memberships = number;
    core->groups->member_count++;
    core->groups->is_changed = true;
    return DRO_OK;
}

static void leave(core *core, uint32_t index, const group *group)
{
    for (uint32_t *at = &twin_at(core, index)->memberships; *at != 0; at = &membership_at(core, *at)->next) {
        uint32_t number = *at;
        membership *gone = membership_at(core, number);
        if (group_of(core, gone) != group)
            continue;
        *at = gone->next;
        place_leave(core, group_of(core, gone), gone->place);
        membership_free(core, number);
        return;
    }
}

void groups_leave_all(core *core, uint32_t index)
{
    twin *twin = twin_at(core, index);
    while (twin->memberships != 0)
        leave(core, index, group_of(core, membership_at(core, twin->memberships)));
}

bool group_clear_some(core *core, group *gone, uint32_t most)
{
    uint32_t looked = 0;
    while (gone->place_count > 0 && looked++ < most) {
        uint32_t number = group_place(gone, gone->place_count - 1);
        if (number != 0) {
            uint32_t index = membership_at(core, number)->twin;
            leave(core, index, gone);
            schedule_look_soon(core, index);
        }
        gone->place_count--; /* holes behind it are not asked for again: nobody joins a group that is gone */
    }
    return gone->place_count == 0;
}

/* ---- records ---- */

void group_join(core *core, const group *group)
{
    dro_builder *part = record_part(core);
    dro_builder_le(part, group->number, 4);
    dro_builder_le(part, core->groups->next - 1, 4); /* all that were begun before */
    record_part_end(core, FIELD_GROUP);
}

void group_leave(core *core, const group *group)
{
    record_put(core, FIELD_GROUP_GONE, &group->number, 4);
}

dro_err group_apply(core *core, uint32_t index, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    group *group = group_at(core, (uint32_t)dro_cursor_le(&in, 4)); /* none: it is gone, and so are its memberships */
    uint32_t since = field->tag == FIELD_GROUP ? (uint32_t)dro_cursor_le(&in, 4) : 0;
    if (in.err != DRO_OK || group == NULL)
        return in.err;
    if (field->tag == FIELD_GROUP) {
        dro_err err = join(core, index, group, since);
        if (err == DRO_OK)
            schedule_look_soon(core, index);
        return err;
    }
    leave(core, index, group);
    schedule_look_soon(core, index);
    return DRO_OK;
}

void groups_full(core *core, const twin *twin)
{
    for (uint32_t number = twin->memberships; number != 0; number = membership_at(core, number)->next) {
        const membership *of = membership_at(core, number);
        const group *group = group_of(core, of);
        if (group->is_gone)
            continue;
        dro_builder *part = record_part(core);
        dro_builder_le(part, group->number, 4);
        dro_builder_le(part, of->since, 4);
        record_part_end(core, FIELD_GROUP);
        group_parts_full(core, group, of->place);
    }
}

void groups_render(const core *core, const twin *twin, dro_builder *out)
{
    bool is_first = true;
    for (uint32_t number = twin->memberships; number != 0; number = membership_at(core, number)->next) {
        const group *group = group_of(core, membership_at(core, number));
        if (group->is_gone)
            continue;
        dro_builder_text(out, is_first ? ",\"groups\":[" : ",");
        json_string(out, group->id);
        is_first = false;
    }
    dro_builder_text(out, is_first ? "" : "]");
}

bool group_has_room(const core *core, const twin *twin)
{
    return membership_count(core, twin) < TWIN_GROUPS_MAX;
}

/* ---- an HSS's lists ---- */

static uint32_t twin_named(core *core, const group_identity *named)
{
    char digits[16] = { 0 };
    if (named->kind == DIRECTORY_ID)
        return twin_find(core, named->text, named->length);
    if (named->length >= sizeof digits)
        return NONE;
    memcpy(digits, named->text, named->length);
    return named->kind == DIRECTORY_IMSI ? twin_find_imsi(core, digits) : twin_find_msisdn(core, digits);
}

static bool may_join(const core *core, uint32_t index, const group *group)
{
    const twin *twin = twin_at(core, index);
    return twin->row != NONE && twin->domain == group->domain && (membership_find(core, twin, group) != NULL || group_has_room(core, twin));
}

static void list_begin(core *core, group *group)
{
    for (uint32_t i = 0; i < group->place_count; i++)
        if (group_place(group, i) != 0)
            membership_at(core, group_place(group, i))->is_kept = false;
    group->listing = group->repeating = 0;
    group->is_list_begun = true;
}

static void list_end(core *core, group *group)
{
    for (uint32_t i = 0; i < group->place_count; i++) {
        uint32_t number = group_place(group, i);
        if (number == 0 || membership_at(core, number)->is_kept)
            continue;
        record_begin(core, membership_at(core, number)->twin, RECORD_DELTA);
        group_leave(core, group);
        record_end(core);
    }
    group->is_list_begun = false;
    group->listed = group->listing;
    group->repeated = group->repeating;
    core->groups->is_changed = true;
}

/* One that is a member already; named twice it is counted once. */
static void member_named(group *group, membership *known)
{
    group->repeating += known->is_kept;
    known->is_kept = true;
}

dro_err group_members_told(core *core, const char *id, size_t length, const group_identity *list, uint32_t count, bool is_last)
{
    group *group = group_find(core, id, length);
    if (group == NULL)
        return DRO_NOT_FOUND;
    if (group->kind != GROUP_HSS)
        return DRO_EXISTS;
    uint32_t before = group->listed;
    if (!group->is_list_begun)
        list_begin(core, group);
    group->listing += count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = twin_named(core, &list[i]);
        if (index == NONE || !may_join(core, index, group)) /* of another core, or of none */
            continue;
        if (membership_find(core, twin_at(core, index), group) != NULL) {
            member_named(group, membership_find(core, twin_at(core, index), group));
        } else {
            record_begin(core, index, RECORD_DELTA);
            group_join(core, group);
            record_end(core);
        }
    }
    if (is_last)
        list_end(core, group);
    return is_last && core->index == 0 && group->listed != before ? groups_keep(core) : DRO_OK;
}

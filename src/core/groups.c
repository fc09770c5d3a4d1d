/* Groups: the host's tables of them. Core 0 changes and keeps them, the others take them from the board. */
#include "core/groups.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "base/hash.h"
#include "base/log.h"
#include "core/authorization.h"
#include "core/charge_owed.h"
#include "core/follow.h"
#include "core/host.h"
#include "core/exposure.h"
#include "core/nidd.h"
#include "core/twin_table.h"
#include "twin/identifier.h"

dro_err groups_init(core *core)
{
    core->groups = calloc(1, sizeof *core->groups);
    if (core->groups == NULL)
        return DRO_NOMEM;
    core->groups->next = 1;
    core->groups->list = calloc(GROUPS_MAX, sizeof *core->groups->list);
    return core->groups->list == NULL ? DRO_NOMEM : DRO_OK;
}

/* ---- finding ---- */

static uint64_t number_hash(const core *core, uint32_t number)
{
    return dro_hash_mix(number, core->hash_key);
}

group *group_find(const core *core, const char *id, size_t length)
{
    index_probe probe = index_begin(id_hash(core, id, length));
    uint32_t slot;
    while (index_next(&core->groups->ids, &probe, &slot)) {
        group *found = &core->groups->list[slot];
        if (found->id != NULL && !found->is_gone && strlen(found->id) == length && memcmp(found->id, id, length) == 0)
            return found;
    }
    return NULL;
}

group *group_at(const core *core, uint32_t number)
{
    index_probe probe = index_begin(number_hash(core, number));
    uint32_t slot;
    while (index_next(&core->groups->numbers, &probe, &slot)) {
        group *found = &core->groups->list[slot];
        if (found->id != NULL && !found->is_gone && found->number == number)
            return found;
    }
    return NULL;
}

group_configuration *group_configuration_at(const core *core, uint64_t number)
{
    for (uint32_t i = 0; group_number_is(number) && i < core->groups->configuration_high; i++) {
        group_configuration *found = core->groups->configurations[i];
        if (found != NULL && group_number(found->number) == number)
            return found;
    }
    return NULL;
}

group_operation *group_operation_at(const core *core, uint64_t number)
{
    for (uint32_t i = 0; group_number_is(number) && core->groups->operation_count > 0 && i < GROUP_OPERATIONS_MAX; i++) {
        group_operation *found = core->groups->operations[i];
        if (found != NULL && !found->is_gone && group_number(found->number) == number)
            return found;
    }
    return NULL;
}

/* ---- groups ---- */

static uint32_t slot_free(const core *core)
{
    for (uint32_t i = 0; i < core->groups->high; i++)
        if (core->groups->list[i].id == NULL)
            return i;
    return core->groups->high < GROUPS_MAX ? core->groups->high : NONE;
}

static dro_err group_put(core *core, const group *head, const char *id, size_t length)
{
    uint32_t slot = head->slot;
    group *made = &core->groups->list[slot];
    char *text = strndup(id, length);
    if (text == NULL)
        return DRO_NOMEM;
    dro_err err = index_add(&core->groups->ids, id_hash(core, id, length), slot);
    if (err == DRO_OK && (err = index_add(&core->groups->numbers, number_hash(core, head->number), slot)) != DRO_OK)
        index_remove(&core->groups->ids, id_hash(core, id, length), slot);
    if (err != DRO_OK) {
        free(text);
        return err;
    }
    *made = *head;
    made->id = text;
    made->is_listed = true;
    core->groups->group_count++;
    if (slot >= core->groups->high)
        core->groups->high = slot + 1;
    return DRO_OK;
}

dro_err group_add(core *core, const char *id, size_t length, uint32_t domain, group_kind kind, group **out)
{
    uint32_t slot = slot_free(core);
    if (slot == NONE)
        return DRO_LIMIT;
    group head = { .slot = slot, .number = core->groups->next, .domain = domain, .kind = (uint8_t)kind, .made_ms = core->now_ms };
    dro_err err = group_put(core, &head, id, length);
    if (err != DRO_OK)
        return err;
    core->groups->next++;
    *out = &core->groups->list[slot];
    return DRO_OK;
}

/* Out of sight at once; its members here go a number a round, then the slot is free. */
static void group_hide(core *core, group *gone)
{
    index_remove(&core->groups->ids, id_hash(core, gone->id, strlen(gone->id)), gone->slot);
    index_remove(&core->groups->numbers, number_hash(core, gone->number), gone->slot);
    gone->is_gone = core->groups->has_gone = true;
}

void group_remove(core *core, group *gone)
{
    for (uint32_t i = 0; i < GROUP_OPERATIONS_MAX; i++)
        if (core->groups->operations[i] != NULL && core->groups->operations[i]->group == gone->number)
            group_operation_remove(core, core->groups->operations[i]);
    for (uint32_t i = 0; i < GROUP_CONFIGURATIONS_MAX; i++)
        if (core->groups->configurations[i] != NULL && core->groups->configurations[i]->group == gone->number)
            group_configuration_remove(core, core->groups->configurations[i]);
    exposure_groups_of(core, gone->number);
    group_hide(core, gone);
}

/* ---- configurations ---- */

static int64_t time_of(const uint8_t *fields, size_t length, uint32_t tag, int64_t absent)
{
    dro_field room;
    int64_t time_ms = absent;
    const dro_field *time = nidd_field(fields, length, tag, &room);
    if (time != NULL && time->length == sizeof time_ms)
        memcpy(&time_ms, time->bytes, sizeof time_ms);
    return time_ms;
}

/* Its destination and fields in place of those it had. */
static dro_err configuration_set(core *core, group_configuration *changed, const uint8_t *fields, uint16_t length)
{
    uint32_t destination;
    uint8_t *copy = malloc(length + 1u);
    dro_err err = copy == NULL ? DRO_NOMEM : destination_of_fields(core, group_number(changed->number), fields, length, &destination);
    if (err != DRO_OK) {
        free(copy);
        return err;
    }
    memcpy(copy, fields, length);
    if (changed->fields != NULL)
        destination_release(core, changed->destination);
    free(changed->fields);
    changed->fields = copy;
    changed->length = length;
    changed->destination = destination;
    changed->until_ms = time_of(fields, length, API_FIELD_DURATION, INT64_MAX);
    changed->granted_ms = time_of(fields, length, API_FIELD_GRANTED, INT64_MAX);
    changed->renew_ms = nidd_renewal_ms(changed->granted_ms, time_of(fields, length, API_FIELD_AUTHORIZED, 0));
    changed->renewals = 0;
    return DRO_OK;
}

dro_err group_configuration_add(core *core, const group_configuration *head, const uint8_t *fields, group_configuration **out)
{
    uint32_t slot = 0;
    while (slot < GROUP_CONFIGURATIONS_MAX && core->groups->configurations[slot] != NULL)
        slot++;
    if (slot == GROUP_CONFIGURATIONS_MAX)
        return DRO_LIMIT;
    group_configuration *made = calloc(1, sizeof *made);
    if (made == NULL)
        return DRO_NOMEM;
    *made = *head;
    made->fields = NULL;
    made->notice = NULL;
    made->is_listed = true;
    dro_err err = configuration_set(core, made, fields, head->length);
    if (err != DRO_OK) {
        free(made);
        return err;
    }
    core->groups->configurations[slot] = made;
    if (slot >= core->groups->configuration_high)
        core->groups->configuration_high = slot + 1;
    core->groups->configuration_count++;
    *out = made;
    return DRO_OK;
}

dro_err group_configuration_change(core *core, group_configuration *changed, const uint8_t *fields, uint16_t length)
{
    return configuration_set(core, changed, fields, length);
}

void group_configuration_remove(core *core, group_configuration *gone)
{
    for (uint32_t i = 0; i < GROUP_OPERATIONS_MAX; i++)
        if (core->groups->operations[i] != NULL && core->groups->operations[i]->configuration == gone->number)
            group_operation_remove(core, core->groups->operations[i]);
    for (uint32_t i = 0; i < GROUP_CONFIGURATIONS_MAX; i++)
        if (core->groups->configurations[i] == gone)
            core->groups->configurations[i] = NULL;
    core->groups->configuration_count--;
    if (gone->notice != NULL)
        notice_group_free(core, gone->notice);
    destination_release(core, gone->destination);
    free(gone->fields);
    free(gone);
}

void group_configurations_orphaned(core *core)
{
    bool has_changed = false;
    for (uint32_t i = 0; i < GROUP_CONFIGURATIONS_MAX; i++) {
        group_configuration *configuration = core->groups->configurations[i];
        if (configuration == NULL || application_at(core, configuration->application) != NULL)
            continue;
        group_configuration_remove(core, configuration);
        has_changed = true;
    }
    if (has_changed && groups_keep(core) != DRO_OK)
        dro_warn("groups' configurations of an application that is gone: they could not be taken away; the next start does");
}

/* ---- operations ---- */

static uint8_t *copy_of(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length + 1);
    if (copy != NULL && length > 0)
        memcpy(copy, bytes, length);
    return copy;
}

static void operation_free(group_operation *gone)
{
    free(gone->fields);
    free(gone->parts);
    free(gone);
}

static dro_err operation_put(core *core, uint32_t slot, const group_operation *head, const uint8_t *fields, group_operation **out)
{
    group_operation *made = malloc(sizeof *made);
    if (made == NULL)
        return DRO_NOMEM;
    *made = *head;
    made->slot = slot;
    made->is_listed = true;
    made->fields = copy_of(fields, head->length);
    dro_err err = made->fields == NULL ? DRO_NOMEM : group_operation_begin(core, made);
    if (err != DRO_OK) {
        operation_free(made);
        return err;
    }
    core->groups->operations[slot] = made;
    core->groups->operation_count++;
    *out = made;
    return DRO_OK;
}

dro_err group_operation_add(core *core, const group_operation *head, const uint8_t *fields, group_operation **out)
{
    uint32_t slot = 0;
    while (slot < GROUP_OPERATIONS_MAX && core->groups->operations[slot] != NULL)
        slot++;
    if (slot == GROUP_OPERATIONS_MAX)
        return DRO_LIMIT;
    group_operation numbered = *head;
    numbered.number = core->groups->next;
    dro_err err = operation_put(core, slot, &numbered, fields, out);
    if (err == DRO_OK)
        core->groups->next++;
    return err;
}

dro_err group_operation_replace(core *core, group_operation *changed, const uint8_t *fields, uint16_t length)
{
    uint8_t *copy = copy_of(fields, length);
    if (copy == NULL)
        return DRO_NOMEM;
    (void)core;
    free(changed->fields);
    changed->fields = copy;
    changed->length = length;
    changed->version++;
    changed->is_walking = true;
    changed->is_all_told = false;
    changed->cursor = 0;
    return DRO_OK;
}

/* Out of sight at once; what of it waits in mailboxes goes a number a round, then the slot is free. */
void group_operation_remove(core *core, group_operation *gone)
{
    if (gone->notice != NULL)
        notice_group_free(core, gone->notice);
    gone->notice = NULL;
    gone->is_gone = core->groups->has_gone = true;
    gone->cursor = 0;
}

/* ---- kept with the host's tables ---- */

dro_err groups_keep(core *core)
{
    dro_err err = host_keep(core);
    if (err != DRO_OK)
        return err;
    charges_owed_kept(core);
    follow_wake(core);
    return DRO_OK;
}

/* A row of the tables: its numbers, then the rest of it as it is. */
typedef struct column { size_t offset, bytes; } column;
#define COLUMN(type, member) { offsetof(type, member), sizeof ((type *)0)->member }

static const column group_columns[] = {
    COLUMN(group, slot), COLUMN(group, number), COLUMN(group, domain), COLUMN(group, kind), COLUMN(group, made_ms),
};
static const column listed_columns[] = { COLUMN(group, number), COLUMN(group, listed) };
static const column configuration_columns[] = {
    COLUMN(group_configuration, number), COLUMN(group_configuration, group), COLUMN(group_configuration, application),
    COLUMN(group_configuration, status), COLUMN(group_configuration, made_ms),
};
static const column operation_columns[] = {
    COLUMN(group_operation, slot), COLUMN(group_operation, number), COLUMN(group_operation, group), COLUMN(group_operation, configuration),
    COLUMN(group_operation, application), COLUMN(group_operation, scopes), COLUMN(group_operation, kind), COLUMN(group_operation, version),
    COLUMN(group_operation, priority), COLUMN(group_operation, made_ms), COLUMN(group_operation, expires_ms),
};
#define COLUMNS(columns) columns, sizeof columns / sizeof columns[0]

static void row_write(dro_builder *out, uint8_t tag, const column *columns, size_t count, const void *row, const void *rest, size_t length)
{
    uint8_t part[128 + GROUP_FIELDS_MAX];
    _Static_assert((int)GROUP_FIELDS_MAX >= (int)NIDD_FIELDS_MAX && (int)GROUP_FIELDS_MAX >= (int)EXTERNAL_IDENTIFIER_MAX, "room for any rest");
    dro_builder inner = dro_builder_over(part, sizeof part);
    for (size_t i = 0; i < count; i++)
        dro_builder_bytes(&inner, (const uint8_t *)row + columns[i].offset, columns[i].bytes); /* little-endian, as all is */
    dro_builder_bytes(&inner, rest, length);
    dro_field_put(out, tag, part, dro_builder_length(&inner));
}

static void row_read(dro_cursor *in, const column *columns, size_t count, void *row)
{
    for (size_t i = 0; i < count; i++) {
        const uint8_t *bytes = dro_cursor_bytes(in, columns[i].bytes);
        if (bytes != NULL)
            memcpy((uint8_t *)row + columns[i].offset, bytes, columns[i].bytes);
    }
}

static void group_write(dro_builder *out, const group *group)
{
    row_write(out, HOST_GROUP, COLUMNS(group_columns), group, group->id, strlen(group->id));
    if (group->listed > 0)
        row_write(out, HOST_GROUP_LISTED, COLUMNS(listed_columns), group, NULL, 0);
}

void groups_write(const core *core, dro_builder *out)
{
    const groups *groups = core->groups;
    dro_field_put(out, HOST_GROUP_NUMBERS, &groups->next, 4);
    for (uint32_t i = 0; i < groups->high; i++)
        if (groups->list[i].id != NULL && !groups->list[i].is_gone)
            group_write(out, &groups->list[i]);
    for (uint32_t i = 0; i < GROUP_CONFIGURATIONS_MAX; i++)
        if (groups->configurations[i] != NULL)
            row_write(out, HOST_GROUP_CONFIGURATION, COLUMNS(configuration_columns), groups->configurations[i],
                      groups->configurations[i]->fields, groups->configurations[i]->length);
    for (uint32_t i = 0; i < GROUP_OPERATIONS_MAX; i++)
        if (groups->operations[i] != NULL && !groups->operations[i]->is_gone)
            row_write(out, HOST_GROUP_OPERATION, COLUMNS(operation_columns), groups->operations[i], groups->operations[i]->fields,
                      groups->operations[i]->length);
    exposure_groups_write(core, out);
    charges_owed_write(core, out);
}

/* ---- read ---- */

static dro_err read_group(core *core, dro_cursor *in)
{
    group head = { .number = 0 };
    row_read(in, COLUMNS(group_columns), &head);
    size_t length = dro_cursor_left(in);
    const char *id = (const char *)dro_cursor_bytes(in, length);
    if (in->err != DRO_OK || head.slot >= GROUPS_MAX || head.kind > GROUP_HSS || length == 0 || head.domain >= core->domain_count)
        return DRO_CORRUPT;
    group *known = &core->groups->list[head.slot];
    if (known->id != NULL && known->number == head.number) {
        known->is_listed = true;
        return DRO_OK;
    }
    if (known->id != NULL) { /* the slot is another's since: the old one's members cannot be let go slowly */
        if (!known->is_gone)
            group_hide(core, known);
        group_clear(core, known);
    }
    return group_put(core, &head, id, length);
}

static dro_err read_listed(core *core, dro_cursor *in)
{
    group head = { .number = 0 };
    row_read(in, COLUMNS(listed_columns), &head);
    group *known = in->err == DRO_OK ? group_at(core, head.number) : NULL;
    if (known != NULL)
        known->listed = head.listed;
    return in->err;
}

static dro_err read_configuration(core *core, dro_cursor *in)
{
    group_configuration head = { .number = 0 };
    row_read(in, COLUMNS(configuration_columns), &head);
    if (in->err != DRO_OK || dro_cursor_left(in) > NIDD_FIELDS_MAX)
        return DRO_CORRUPT;
    head.length = (uint16_t)dro_cursor_left(in);
    group_configuration *known = group_configuration_at(core, group_number(head.number));
    if (known == NULL) {
        dro_err err = group_configuration_add(core, &head, in->at, &known);
        if (err == DRO_OK && head.status == NIDD_TERMINATED_UE_NOT_AUTHORIZED)
            authorization_group_revoked(core, known);
        return err;
    }
    bool is_revoked = head.status == NIDD_TERMINATED_UE_NOT_AUTHORIZED && known->status != head.status;
    known->is_listed = true;
    known->status = head.status;
    if (is_revoked)
        authorization_group_revoked(core, known);
    bool is_same = known->length == head.length && memcmp(known->fields, in->at, head.length) == 0;
    return is_same ? DRO_OK : configuration_set(core, known, in->at, head.length);
}

static dro_err read_operation(core *core, dro_cursor *in)
{
    group_operation head = { .number = 0 };
    row_read(in, COLUMNS(operation_columns), &head);
    if (in->err != DRO_OK || head.slot >= GROUP_OPERATIONS_MAX || head.kind >= GROUP_OPERATION_KINDS || dro_cursor_left(in) > GROUP_FIELDS_MAX)
        return DRO_CORRUPT;
    head.length = (uint16_t)dro_cursor_left(in);
    group_operation *known = core->groups->operations[head.slot];
    if (known != NULL && known->number == head.number) {
        known->is_listed = true;
        if (known->version == head.version)
            return DRO_OK;
        dro_err err = group_operation_replace(core, known, in->at, head.length);
        known->version = head.version;
        known->priority = head.priority;
        known->expires_ms = head.expires_ms;
        return err;
    }
    if (known != NULL) /* its slot is another's since */
        group_operation_forget(core, known);
    return operation_put(core, head.slot, &head, in->at, &known);
}

dro_err groups_read(core *core, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    switch (field->tag) {
    case HOST_GROUP_NUMBERS: core->groups->next = (uint32_t)dro_cursor_le(&in, 4); return in.err;
    case HOST_GROUP: return read_group(core, &in);
    case HOST_GROUP_LISTED: return read_listed(core, &in);
    case HOST_GROUP_CONFIGURATION: return read_configuration(core, &in);
    case HOST_GROUP_OPERATION: return read_operation(core, &in);
    case HOST_EXPOSURE: return exposure_groups_read(core, field);
    case HOST_CHARGE: return charges_owed_read(core, field);
    default: return DRO_OK;
    }
}

void groups_follow_begin(core *core)
{
    groups *groups = core->groups;
    for (uint32_t i = 0; i < groups->high; i++)
        groups->list[i].is_listed = false;
    for (uint32_t i = 0; i < GROUP_CONFIGURATIONS_MAX; i++)
        if (groups->configurations[i] != NULL)
            groups->configurations[i]->is_listed = false;
    for (uint32_t i = 0; i < GROUP_OPERATIONS_MAX; i++)
        if (groups->operations[i] != NULL)
            groups->operations[i]->is_listed = false;
    exposure_groups_follow_begin(core);
}

void groups_follow_end(core *core)
{
    groups *groups = core->groups;
    exposure_groups_follow_end(core);
    for (uint32_t i = 0; i < GROUP_OPERATIONS_MAX; i++)
        if (groups->operations[i] != NULL && !groups->operations[i]->is_listed && !groups->operations[i]->is_gone)
            group_operation_remove(core, groups->operations[i]);
    for (uint32_t i = 0; i < GROUP_CONFIGURATIONS_MAX; i++)
        if (groups->configurations[i] != NULL && !groups->configurations[i]->is_listed)
            group_configuration_remove(core, groups->configurations[i]);
    for (uint32_t i = 0; i < groups->high; i++)
        if (groups->list[i].id != NULL && !groups->list[i].is_listed && !groups->list[i].is_gone)
            group_hide(core, &groups->list[i]);
}

/* ---- clearing away ---- */

void group_clear(core *core, group *gone)
{
    while (!group_clear_some(core, gone, UINT32_MAX))
        ;
    free(gone->id);
    free(gone->places);
    *gone = (group){ 0 };
    core->groups->group_count--;
}

void group_operation_forget(core *core, group_operation *gone)
{
    core->groups->operations[gone->slot] = NULL;
    core->groups->operation_count--;
    core->groups->sent -= gone->counts[GROUP_STATE_SENT];
    operation_free(gone);
}

void groups_fini(core *core)
{
    groups *groups = core->groups;
    if (groups == NULL)
        return;
    for (uint32_t i = 0; i < GROUP_OPERATIONS_MAX; i++)
        if (groups->operations[i] != NULL) {
            free(groups->operations[i]->notice);
            operation_free(groups->operations[i]);
        }
    for (uint32_t i = 0; i < GROUP_CONFIGURATIONS_MAX; i++)
        if (groups->configurations[i] != NULL) {
            free(groups->configurations[i]->notice);
            free(groups->configurations[i]->fields);
            free(groups->configurations[i]);
        }
    for (uint32_t i = 0; groups->list != NULL && i < groups->high; i++) {
        free(groups->list[i].id);
        free(groups->list[i].places);
    }
    index_fini(&groups->ids);
    index_fini(&groups->numbers);
    free(groups->memberships);
    free(groups->list);
    free(groups);
    core->groups = NULL;
}

/* ---- counts of all cores ---- */

uint64_t group_members_all(const core *core, const group *group)
{
    return group->member_count + (core->count > 1 ? board_group_members(&core->board, UINT32_MAX, group->slot, group->number) : 0);
}

uint64_t group_unknown(const core *core, const group *group)
{
    uint64_t repeated = group->repeated + (core->count > 1 ? board_group_repeated(&core->board, group->slot, group->number) : 0);
    uint64_t found = repeated + group_members_all(core, group);
    return group->listed > found ? group->listed - found : 0;
}

void groups_show(core *core)
{
    groups *groups = core->groups;
    if (!groups->is_changed)
        return;
    groups->is_changed = false;
    for (uint32_t i = 0; i < groups->high; i++)
        board_group_put(&core->board, i, groups->list[i].id == NULL ? 0 : groups->list[i].number, groups->list[i].member_count, groups->list[i].repeated);
    for (uint32_t i = 0; i < GROUP_OPERATIONS_MAX; i++)
        if (groups->operations[i] != NULL && groups->operations[i]->is_changed) {
            groups->operations[i]->is_changed = false;
            board_operation_put(&core->board, i, groups->operations[i]->number, groups->operations[i]->counts, GROUP_STATES);
        }
}

/* Sums over all cores. */
void group_operation_counts(const core *core, const group_operation *operation, uint32_t counts[GROUP_STATES])
{
    const group *group = group_at(core, operation->group);
    memcpy(counts, operation->counts, sizeof operation->counts);
    uint32_t missing = core->count > 1 ? board_operation_add(&core->board, operation->slot, operation->number, counts, GROUP_STATES) : 0;
    if (missing != 0 && group != NULL) /* cores that did not take it up yet: all their members wait */
        counts[GROUP_STATE_WAITING] += (uint32_t)board_group_members(&core->board, missing, group->slot, group->number);
}

uint32_t groups_of_domain(const core *core, uint32_t domain)
{
    const groups *groups = core->groups;
    uint32_t count = 0;
    for (uint32_t i = 0; i < groups->high; i++)
        count += groups->list[i].id != NULL && !groups->list[i].is_gone && groups->list[i].domain == domain;
    return count;
}

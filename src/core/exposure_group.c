/* Exposures of groups, and those that are of no device: rows of the host's tables, which core 0 keeps and the others follow. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/authorization.h"
#include "core/call.h"
#include "core/exposure.h"
#include "core/groups.h"
#include "core/nidd.h"
#include "core/number.h"
#include "core/state.h"

enum { ROW_HEAD = 8 + 4 + 4 + 4 + 4 + 8 + 8 + 1 + 1 };

static uint32_t slot_of(const core *core, uint64_t number)
{
    for (uint32_t i = 0; i < core->exposures.group_high; i++)
        if (core->exposures.of_groups[i] != NULL && core->exposures.of_groups[i]->number == number)
            return i;
    return NONE;
}

static uint32_t slot_free(core *core)
{
    exposure_table *table = &core->exposures;
    if (table->of_groups == NULL)
        table->of_groups = calloc(GROUP_EXPOSURES_MAX, sizeof table->of_groups[0]);
    for (uint32_t i = 0; table->of_groups != NULL && i < GROUP_EXPOSURES_MAX; i++)
        if (table->of_groups[i] == NULL)
            return i;
    return NONE;
}

/* A change of them is one of who may say how members sleep. */
static void members_unsure(core *core, const exposure *changed)
{
    if (changed->kind == EXPOSURE_PARAMETERS && changed->group != 0)
        groups_unsure(core, changed->group);
}

dro_err exposure_group_put(core *core, const exposure *head, const uint8_t *fields, size_t length, exposure **out)
{
    dro_field room;
    uint32_t slot = slot_of(core, head->number);
    exposure *old = slot != NONE ? core->exposures.of_groups[slot] : NULL;
    uint32_t destination = NONE;
    if (slot == NONE && (slot = slot_free(core)) == NONE)
        return DRO_LIMIT;
    if (t8_find(fields, length, T8_FIELD_DESTINATION, &room) != NULL && destination_of_fields(core, head->number, fields, length, &destination) != DRO_OK)
        return DRO_LIMIT;
    exposure *made = malloc(sizeof *made + length);
    if (made == NULL) {
        if (destination != NONE)
            destination_release(core, destination);
        return DRO_NOMEM;
    }
    *made = *head;
    memcpy(made->fields, fields, length);
    made->length = (uint16_t)length;
    made->destination = destination;
    made->next = NULL;
    made->news = NULL;
    made->is_listed = true;
    if (old != NULL) {
        made->news = old->news;
        if (old->destination != NONE)
            destination_release(core, old->destination);
        free(old);
    } else {
        core->exposures.group_count++;
    }
    core->exposures.of_groups[slot] = made;
    if (slot >= core->exposures.group_high)
        core->exposures.group_high = slot + 1;
    members_unsure(core, made);
    *out = made;
    return DRO_OK;
}

void exposure_group_remove(core *core, exposure *gone)
{
    uint32_t slot = slot_of(core, gone->number);
    exposure_news_free(core, gone);
    if (gone->destination != NONE)
        destination_release(core, gone->destination);
    core->exposures.of_groups[slot] = NULL;
    core->exposures.group_count--;
    members_unsure(core, gone);
    free(gone);
}

static void tables_keep(core *core)
{
    if (groups_keep(core) != DRO_OK)
        dro_warn("what applications have at groups could not be written; it is with the next change");
}

void exposure_group_gone(core *core, exposure *gone)
{
    uint32_t group = gone->group;
    exposure_charge(core, NONE, gone, gone->until_ms <= core->now_ms ? "expired" : "cancelled");
    exposure_group_remove(core, gone);
    tables_keep(core);
    if (group != 0)
        authorization_group_refused(core, group); /* one of an HSS's that nothing is had of any more */
}

void exposure_group_end(core *core, exposure *ended, const call *call)
{
    const exposure_class *class = exposure_classes[ended->kind];
    bool is_told = class != NULL && class->ends != NULL && ended->status == EXPOSURE_ACTIVE;
    exposure_charge(core, NONE, ended, call == NULL && ended->until_ms <= core->now_ms ? "expired" : "removed");
    if (is_told) {
        ended->status = EXPOSURE_ENDING;
        members_unsure(core, ended);
    } else {
        exposure_group_remove(core, ended);
    }
    tables_keep(core);
    if (is_told)
        class->ends(core, NONE, ended, call);
    else if (call != NULL)
        call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
}

bool exposure_group_has(const core *core, uint32_t group)
{
    for (uint32_t i = 0; i < core->exposures.group_high; i++)
        if (core->exposures.of_groups[i] != NULL && core->exposures.of_groups[i]->group == group)
            return true;
    return false;
}

void exposure_groups_of(core *core, uint32_t group)
{
    for (uint32_t i = 0; group != 0 && i < core->exposures.group_high; i++)
        if (core->exposures.of_groups[i] != NULL && core->exposures.of_groups[i]->group == group &&
            core->exposures.of_groups[i]->status == EXPOSURE_ACTIVE)
            exposure_group_end(core, core->exposures.of_groups[i], NULL);
}

bool exposure_groups_orphaned(core *core)
{
    bool has_ended = false;
    for (uint32_t i = 0; i < core->exposures.group_high; i++) {
        exposure *lost = core->exposures.of_groups[i];
        if (lost == NULL || lost->status != EXPOSURE_ACTIVE || application_at(core, lost->application) != NULL)
            continue;
        exposure_group_end(core, lost, NULL);
        has_ended = true;
    }
    return has_ended;
}

/* ---- the host's tables ---- */

void exposure_groups_write(const core *core, dro_builder *out)
{
    uint8_t part[ROW_HEAD + T8_FIELDS_MAX];
    for (uint32_t i = 0; i < core->exposures.group_high; i++) {
        const exposure *row = core->exposures.of_groups[i];
        dro_builder inner = dro_builder_over(part, sizeof part);
        if (row == NULL)
            continue;
        dro_builder_le(&inner, row->number, 8);
        dro_builder_le(&inner, row->reference, 4);
        dro_builder_le(&inner, row->application, 4);
        dro_builder_le(&inner, row->group, 4);
        dro_builder_le(&inner, row->reports, 4);
        dro_builder_le(&inner, (uint64_t)row->made_ms, 8);
        dro_builder_le(&inner, (uint64_t)row->until_ms, 8);
        dro_builder_le(&inner, row->kind, 1);
        dro_builder_le(&inner, row->status, 1);
        dro_builder_bytes(&inner, row->fields, row->length);
        dro_field_put(out, HOST_EXPOSURE, part, dro_builder_length(&inner));
    }
}

static bool is_same(const exposure *known, const exposure *head, const uint8_t *fields)
{
    return known->reference == head->reference && known->status == head->status && known->reports == head->reports &&
           known->until_ms == head->until_ms && known->length == head->length && memcmp(known->fields, fields, head->length) == 0;
}

dro_err exposure_groups_read(core *core, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    exposure head = { .number = dro_cursor_le(&in, 8), .destination = NONE }, *kept;
    head.reference = (uint32_t)dro_cursor_le(&in, 4);
    head.application = (uint32_t)dro_cursor_le(&in, 4);
    head.group = (uint32_t)dro_cursor_le(&in, 4);
    head.reports = (uint32_t)dro_cursor_le(&in, 4);
    head.made_ms = (int64_t)dro_cursor_le(&in, 8);
    head.until_ms = (int64_t)dro_cursor_le(&in, 8);
    head.kind = (uint8_t)dro_cursor_le(&in, 1);
    head.status = (uint8_t)dro_cursor_le(&in, 1);
    if (in.err != DRO_OK || head.kind >= EXPOSURE_KINDS || head.status >= EXPOSURE_STATUSES || dro_cursor_left(&in) > T8_FIELDS_MAX)
        return DRO_CORRUPT;
    head.length = (uint16_t)dro_cursor_left(&in);
    uint32_t slot = slot_of(core, head.number);
    exposure *known = slot == NONE ? NULL : core->exposures.of_groups[slot];
    if (known != NULL && is_same(known, &head, in.at)) {
        known->is_listed = true;
        return DRO_OK;
    }
    return exposure_group_put(core, &head, in.at, head.length, &kept);
}

void exposure_groups_follow_begin(core *core)
{
    for (uint32_t i = 0; i < core->exposures.group_high; i++)
        if (core->exposures.of_groups[i] != NULL)
            core->exposures.of_groups[i]->is_listed = false;
}

void exposure_groups_follow_end(core *core)
{
    for (uint32_t i = 0; i < core->exposures.group_high; i++)
        if (core->exposures.of_groups[i] != NULL && !core->exposures.of_groups[i]->is_listed)
            exposure_group_remove(core, core->exposures.of_groups[i]);
}

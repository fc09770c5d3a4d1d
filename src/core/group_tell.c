/* What applications are told of groups: uplinks of members, results of operations, that a configuration has ended.
 *
 * Results go when all are final, or each time the guard time is over (TS 23.682, 5.5.3): some hundred
 * in a notification, one notification of an operation at a time. They are read from the members' parts
 * when they go, so nothing is kept for them; that all were taken is a record of this core. */
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "base/log.h"
#include "core/authorization.h"
#include "core/exposure.h"
#include "core/groups.h"
#include "core/host.h"
#include "core/nidd.h"
#include "core/record.h"
#include "core/twin_table.h"
#include "twin/event.h"

/* ---- uplinks ---- */

static bool is_in_force(core *core, const group *group, const group_configuration *configuration)
{
    return configuration->status == NIDD_ACTIVE && configuration->until_ms > core->now_ms &&
           application_may(core, configuration->application, SCOPE_NIDD, group->domain);
}

void group_uplink(core *core, uint32_t index, const uint8_t *data, size_t length)
{
    for (uint32_t number = twin_at(core, index)->memberships; number != 0; number = membership_at(core, number)->next) {
        const group *group = &core->groups->list[membership_at(core, number)->group];
        for (uint32_t i = 0; !group->is_gone && i < core->groups->configuration_high; i++) {
            const group_configuration *configuration = core->groups->configurations[i];
            if (configuration == NULL || configuration->group != group->number || !is_in_force(core, group, configuration))
                continue;
            uint8_t fields[512 + EVENT_BYTES_MAX];
            size_t id_length;
            const char *id = twin_id(core, twin_at(core, index), &id_length);
            dro_builder out = dro_builder_over(fields, sizeof fields);
            dro_field_put(&out, API_FIELD_ID, id, id_length);
            dro_field_put(&out, API_FIELD_DATA, data, length);
            notice_put_of(core, index, group_number(configuration->number), NOTICE_UPLINK, fields, dro_builder_length(&out));
        }
    }
}

/* ---- results ---- */

static uint32_t open_parts(const group_operation *operation)
{
    uint32_t count = 0;
    for (uint32_t state = GROUP_STATE_WAITING; state < GROUP_STATES; state++)
        if (!group_state_of((uint8_t)state)->is_final)
            count += operation->counts[state];
    return count;
}

/* At the guard time everybody's, later those that came to an end since. */
static bool is_news(const group_part *part)
{
    return part->state != GROUP_STATE_NONE && part->told != part->state &&
           (group_state_of(part->state)->is_final || part->told == GROUP_STATE_NONE);
}

static void put_result(core *core, dro_builder *out, uint32_t index, const group_part *part)
{
    const twin *twin = twin_at(core, index);
    size_t length;
    const char *id = twin_id(core, twin, &length);
    uint8_t status = group_state_of(part->state)->delivery;
    dro_field_put(out, API_FIELD_ID, id, length);
    dro_field_put(out, API_FIELD_STATUS, &status, 1);
    if (part->state == GROUP_STATE_UNREACHABLE && twin->retry_ms != 0)
        dro_field_put(out, API_FIELD_TIME, &twin->retry_ms, sizeof twin->retry_ms);
}

/* Some of the news from the cursor on. */
static uint32_t put_results(core *core, group_operation *operation, const group *group, dro_builder *out)
{
    uint32_t count = 0;
    for (uint32_t looked = 0; looked < GROUP_SCAN && count < GROUP_RESULTS_MAX && operation->tell_cursor < group->place_count;
         looked++, operation->tell_cursor++) {
        uint32_t number = group_place(group, operation->tell_cursor);
        group_part *part = &operation->parts[operation->tell_cursor];
        uint32_t index = number == 0 ? NONE : membership_at(core, number)->twin;
        if (number == 0 || !is_news(part) || twin_at(core, index)->row == NONE)
            continue;
        uint8_t *before = out->at;
        put_result(core, out, index, part);
        if (out->err != DRO_OK) { /* full: the rest is the next notification's */
            out->err = DRO_OK;
            out->at = before;
            break;
        }
        part->told = part->state;
        count++;
    }
    return count;
}

static void send_results(core *core, group_operation *operation, const group *group, const group_configuration *to)
{
    static _Thread_local uint8_t results[GROUP_NOTICE_BYTES], fields[GROUP_NOTICE_BYTES + 64];
    dro_builder inner = dro_builder_over(results, sizeof results), out = dro_builder_over(fields, sizeof fields);
    if (put_results(core, operation, group, &inner) == 0)
        return;
    dro_field_put_u64(&out, API_FIELD_DELIVERY, group_number(operation->number));
    dro_field_put(&out, API_FIELD_RESULTS, results, dro_builder_length(&inner));
    operation->notice = notice_of_group(core, to->destination, group_number(to->number), NOTICE_GROUP, fields, dro_builder_length(&out));
    if (operation->notice == NULL) {
        core->counters.notices_dropped++;
        dro_warn("groups: no memory for a notification of results");
    }
}

/* Nothing more will be told of it. */
static void told_put(core *core, const group_operation *operation)
{
    record_begin(core, NONE, RECORD_GROUPS);
    record_put(core, FIELD_GROUP_TOLD, &operation->number, 4);
    record_end(core);
}

static int64_t guard_ms(const core *core)
{
    return (core->options.group_guard_s > 0 ? core->options.group_guard_s : GROUP_GUARD_S) * 1000ll;
}

static bool begins(const core *core, const group_operation *operation)
{
    bool is_over = !operation->is_walking && open_parts(operation) == 0;
    return is_over || operation->tell_ms <= core->now_ms;
}

static int tell_results(core *core, group_operation *operation, const group *group, const group_configuration *to)
{
    if (operation->notice != NULL || (!operation->is_telling && !begins(core, operation)))
        return 0;
    operation->is_telling = true;
    send_results(core, operation, group, to);
    if (operation->notice != NULL || operation->tell_cursor < group->place_count)
        return 1;
    operation->is_telling = false;
    operation->tell_cursor = 0;
    operation->tell_ms = core->now_ms + guard_ms(core);
    operation->is_all_told = !operation->is_walking && open_parts(operation) == 0 && !group_has_news(operation, group);
    if (operation->is_all_told)
        told_put(core, operation);
    return 1;
}

bool group_has_news(const group_operation *operation, const group *group)
{
    for (uint32_t place = 0; place < group->place_count; place++)
        if (group_place(group, place) != 0 && is_news(&operation->parts[place]))
            return true;
    return false;
}

int64_t group_tell_first(const core *core, const group_operation *operation)
{
    int64_t first_ms = operation->made_ms + guard_ms(core);
    return operation->expires_ms < first_ms ? operation->expires_ms : first_ms;
}

void group_told_replay(core *core, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    group_operation *operation = group_operation_at(core, group_number((uint32_t)dro_cursor_le(&in, 4)));
    if (operation != NULL && !core->is_reading_old) /* another number of cores: what is told twice is not lost */
        operation->is_all_told = true;
}

void groups_told_write(core *core)
{
    for (uint32_t i = 0; core->groups->operation_count > 0 && i < GROUP_OPERATIONS_MAX; i++)
        if (core->groups->operations[i] != NULL && core->groups->operations[i]->is_all_told)
            told_put(core, core->groups->operations[i]);
}

/* ---- time ---- */

void group_configuration_end(core *core, group_configuration *ended, nidd_status status)
{
    uint8_t fields[16], told = (uint8_t)status;
    dro_builder out = dro_builder_over(fields, sizeof fields);
    ended->status = told;
    if (status == NIDD_TERMINATED_UE_NOT_AUTHORIZED)
        authorization_group_revoked(core, ended);
    dro_field_put(&out, API_FIELD_STATUS, &told, 1);
    if (ended->notice == NULL)
        ended->notice = notice_of_group(core, ended->destination, group_number(ended->number), NOTICE_CONFIGURATION, fields, dro_builder_length(&out));
    if (groups_keep(core) != DRO_OK)
        dro_warn("groups: the end of a configuration could not be kept");
}

static int64_t configuration_due(const group_configuration *configuration)
{
    int64_t due = configuration->until_ms < configuration->granted_ms ? configuration->until_ms : configuration->granted_ms;
    return configuration->renew_ms < due ? configuration->renew_ms : due;
}

/* Core 0: its duration is over, or the HSS's grant is, or ends soon. */
static int configuration_is_due(core *core, group_configuration *configuration)
{
    if (configuration->status != NIDD_ACTIVE || configuration_due(configuration) > core->now_ms)
        return 0;
    if (configuration->until_ms <= core->now_ms || configuration->granted_ms <= core->now_ms)
        group_configuration_end(core, configuration, NIDD_TERMINATED);
    else
        authorization_renew_group(core, configuration);
    return 1;
}

static int64_t operation_kept_until(const group_operation *operation)
{
    return operation->expires_ms + TICKET_KEPT_S * 1000ll;
}

static int host_due(core *core)
{
    groups *groups = core->groups;
    int done = 0;
    for (uint32_t i = 0; i < groups->configuration_high; i++)
        if (groups->configurations[i] != NULL)
            done += configuration_is_due(core, groups->configurations[i]);
    bool is_changed = false;
    for (uint32_t i = 0; i < GROUP_OPERATIONS_MAX; i++)
        if (groups->operations[i] != NULL && !groups->operations[i]->is_gone && operation_kept_until(groups->operations[i]) <= core->now_ms) {
            group_operation_remove(core, groups->operations[i]);
            is_changed = true;
        }
    if (is_changed && groups_keep(core) != DRO_OK)
        dro_warn("groups: old operations could not be forgotten");
    return done + is_changed;
}

int64_t groups_due_ms(const core *core)
{
    const groups *groups = core->groups;
    int64_t due = INT64_MAX;
    for (uint32_t i = 0; groups->operation_count > 0 && i < GROUP_OPERATIONS_MAX; i++) {
        const group_operation *operation = groups->operations[i];
        if (operation == NULL || operation->is_gone)
            continue;
        if (operation->configuration != 0 && !operation->is_all_told && operation->notice == NULL && operation->tell_ms < due)
            due = operation->tell_ms;
        if (operation->is_walking && operation->again_ms != 0 && operation->again_ms < due)
            due = operation->again_ms;
        if (core->index == 0 && operation_kept_until(operation) < due)
            due = operation_kept_until(operation);
    }
    if (groups->is_releasing && groups->release_ms != 0 && groups->release_ms < due)
        due = groups->release_ms;
    for (uint32_t i = 0; core->index == 0 && i < groups->configuration_high; i++)
        if (groups->configurations[i] != NULL && groups->configurations[i]->status == NIDD_ACTIVE && configuration_due(groups->configurations[i]) < due)
            due = configuration_due(groups->configurations[i]);
    return due;
}

int groups_tell(core *core)
{
    groups *groups = core->groups;
    int done = 0;
    if (groups->configuration_count == 0 && groups->operation_count == 0)
        return 0;
    if (core->index == 0)
        done += host_due(core);
    for (uint32_t i = 0; groups->operation_count > 0 && i < GROUP_OPERATIONS_MAX; i++) {
        group_operation *operation = groups->operations[i];
        if (operation == NULL || operation->is_gone || operation->is_all_told || operation->configuration == 0)
            continue;
        const group *group = group_at(core, operation->group);
        const group_configuration *to = group_configuration_at(core, group_number(operation->configuration));
        if (group != NULL && to != NULL)
            done += tell_results(core, operation, group, to);
    }
    return done;
}

void group_notice_gone(core *core, const notice *gone)
{
    groups *groups = core->groups;
    exposure_news_gone(core, gone);
    for (uint32_t i = 0; i < GROUP_OPERATIONS_MAX; i++)
        if (groups->operations[i] != NULL && groups->operations[i]->notice == gone)
            groups->operations[i]->notice = NULL;
    for (uint32_t i = 0; i < groups->configuration_high; i++)
        if (groups->configurations[i] != NULL && groups->configurations[i]->notice == gone)
            groups->configurations[i]->notice = NULL;
}

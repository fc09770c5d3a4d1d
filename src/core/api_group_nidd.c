/* NIDD of groups over T8 (TS 29.122, 4.4.5.3): configurations with an externalGroupId and their
 * deliveries. All on core 0; the members' cores do what follows. */
#include <string.h>

#include "base/fields.h"
#include "core/authorization.h"
#include "core/api_nidd.h"
#include "core/call.h"
#include "core/groups.h"
#include "core/host.h"
#include "core/nidd.h"
#include "core/render.h"
#include "core/tell.h"

/* ---- as JSON ---- */

static void self_write(core *core, const group_configuration *configuration, uint32_t operation, dro_builder *out)
{
    dro_builder_text(out, core->options.t8_root != NULL ? core->options.t8_root : "");
    nidd_path_write(application_at(core, configuration->application), group_number(configuration->number),
                    operation != 0 ? group_number(operation) : 0, out);
}

static const char *location_of(core *core, const group_configuration *configuration, uint32_t operation, char *out, size_t room)
{
    dro_builder self = dro_builder_over(out, room - 1);
    self_write(core, configuration, operation, &self);
    *self.at = '\0';
    return out;
}

/* Of all members together: it is over when it is for each, and a success when it was for one. */
static nidd_delivery_status status_of(const core *core, const group_operation *operation)
{
    uint32_t shown[GROUP_SHOWN_STATES], open, members = group_operation_members(core, operation, shown, &open);
    if (shown[GROUP_SHOWN_WAITING] > 0 || shown[GROUP_SHOWN_SENT] > 0)
        return DELIVERY_SENDING;
    if (open > 0)
        return DELIVERY_BUFFERING;
    return members == 0 || shown[GROUP_SHOWN_DELIVERED] + shown[GROUP_SHOWN_REPORTED] > 0 ? DELIVERY_SUCCESS : DELIVERY_FAILURE;
}

static void delivery_put(core *core, const group_configuration *configuration, const group_operation *operation, dro_builder *out)
{
    dro_builder_text(out, "{\"self\":\"");
    self_write(core, configuration, operation->number, out);
    json_put(out, "\",\"deliveryStatus\":\"%s\"", nidd_delivery_status_text(status_of(core, operation)));
    nidd_members_put(out, operation->fields, operation->length, 0);
    dro_builder_text(out, "}");
}

static bool is_delivery_of(const group_operation *operation, const group_configuration *configuration)
{
    return operation != NULL && !operation->is_gone && operation->configuration == configuration->number;
}

static uint32_t deliveries_put(core *core, const group_configuration *configuration, bool with_ended, dro_builder *out)
{
    uint32_t shown = 0;
    for (uint32_t i = 0; i < GROUP_OPERATIONS_MAX; i++) {
        const group_operation *operation = core->groups->operations[i];
        if (!is_delivery_of(operation, configuration) || (!with_ended && nidd_delivery_has_ended(status_of(core, operation))))
            continue;
        dro_builder_text(out, shown++ > 0 ? "," : "");
        delivery_put(core, configuration, operation, out);
    }
    return shown;
}

static void configuration_put(core *core, const group_configuration *configuration, dro_builder *out)
{
    dro_builder_text(out, "{\"self\":\"");
    self_write(core, configuration, 0, out);
    json_put(out, "\",\"status\":\"%s\",\"maximumPacketSize\":%d", nidd_status_text((nidd_status)configuration->status), NIDD_DATA_MAX);
    nidd_members_put(out, configuration->fields, configuration->length, 0);
    if (nidd_wants_websocket(configuration->fields, configuration->length))
        nidd_websocket_put(core, configuration->application, group_number(configuration->number), out);
    uint8_t *before = out->at;
    dro_builder_text(out, ",\"niddDownlinkDataTransfers\":[");
    if (deliveries_put(core, configuration, false, out) > 0)
        dro_builder_text(out, "]");
    else if (out->err == DRO_OK)
        out->at = before; /* an empty list is not allowed */
    dro_builder_text(out, "}");
}

uint64_t group_configurations_put(core *core, const application *owner, uint64_t from, dro_builder *out)
{
    for (uint64_t i = from - NIDD_LIST_GROUPS; i < core->groups->configuration_high; i++) {
        const group_configuration *configuration = core->groups->configurations[i];
        if (configuration == NULL || configuration->application != owner->number)
            continue;
        if (dro_builder_length(out) >= NIDD_LIST_PAGE)
            return NIDD_LIST_GROUPS + i;
        dro_builder_text(out, dro_builder_length(out) > 0 ? "," : "");
        configuration_put(core, configuration, out);
    }
    return UINT64_MAX;
}

static void configuration_reply(core *core, const call *call, uint16_t status, const group_configuration *configuration)
{
    char location[NIDD_PATH_MAX + 300];
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    configuration_put(core, configuration, &out);
    call_reply(core, call, status, UINT64_MAX, status == 201 ? location_of(core, configuration, 0, location, sizeof location) : NULL, &out);
}

static void delivery_reply(core *core, const call *call, uint16_t status, const group_configuration *configuration, const group_operation *operation)
{
    char location[NIDD_PATH_MAX + 300];
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    delivery_put(core, configuration, operation, &out);
    call_reply(core, call, status, UINT64_MAX,
               status == 201 ? location_of(core, configuration, operation->number, location, sizeof location) : NULL, &out);
}

/* ---- whose ---- */

static group_configuration *configuration_find(core *core, const call *call)
{
    const application *owner = nidd_owner_find(core, call);
    group_configuration *found = owner == NULL ? NULL : group_configuration_at(core, call->configuration);
    const group *of = found == NULL ? NULL : group_at(core, found->group);
    if (owner == NULL || (found != NULL && found->application == owner->number && (of == NULL || nidd_is_in_reach(core, call, owner, of->domain))))
        return found;
    tell_problem(core, call->caller, 404, "about:blank", "no configuration %016llx is here", (unsigned long long)call->configuration);
    return NULL;
}

/* The group that a body names, if the application may see it. */
static group *group_named(core *core, const call *call, const application *owner)
{
    group *named = call->group.at == NULL ? NULL : group_find(core, call->group.at, call->group.length);
    if (named != NULL && application_sees(core, owner->number, 0, named->domain))
        return named;
    tell_cause(core, call->caller, 404, "USER_UNKNOWN", "no group is known by this identifier");
    return NULL;
}

static void not_kept(core *core, const call *call, dro_err err)
{
    if (err == DRO_LIMIT)
        tell_cause(core, call->caller, 403, "QUOTA_EXCEEDED", "the host has no room for another one of a group");
    else
        tell_problem(core, call->caller, 503, "about:blank", "it could not be kept: %s", dro_err_text(err));
}

/* ---- deliveries ---- */

/* False after a problem. */
static bool delivery_is_good(core *core, const call *call, const uint8_t *fields, size_t length)
{
    dro_field room;
    const dro_field *data = nidd_field(fields, length, API_FIELD_DATA, &room);
    uint32_t data_length = data == NULL ? 0 : data->length;
    const dro_field *reliable = nidd_field(fields, length, API_FIELD_RELIABLE, &room);
    if (data == NULL || data_length == 0)
        tell_problem(core, call->caller, 400, "about:blank", "data is missing");
    else if (length > GROUP_FIELDS_MAX)
        tell_problem(core, call->caller, 413, "about:blank", "the delivery is too large");
    else if (data_length > NIDD_DATA_MAX)
        tell_cause(core, call->caller, 403, "DATA_TOO_LARGE", "at most %d bytes go to a device at once", NIDD_DATA_MAX);
    else if (reliable != NULL && reliable->length == 1 && reliable->bytes[0] != 0)
        tell_cause(core, call->caller, 500, "FAILURE_RDS_DISABLED", "the reliable data service is not enabled");
    else
        return true;
    return false;
}

/* Its times and priority from what the application gave. */
static void head_fill(const core *core, group_operation *head, const uint8_t *fields, size_t length)
{
    dro_field room;
    dro_err ignored = DRO_OK;
    const dro_field *latency = nidd_field(fields, length, API_FIELD_MAXIMUM_LATENCY, &room);
    uint64_t latency_s = latency == NULL ? 0 : dro_field_u64(latency, &ignored);
    uint64_t age_s = (uint64_t)core->options.downlink.age_s;
    int64_t kept_s = (int64_t)(latency_s == 0 || latency_s > age_s ? age_s : latency_s);
    const dro_field *priority = nidd_field(fields, length, API_FIELD_PRIORITY, &room);
    int64_t wanted = priority == NULL ? 0 : (int64_t)dro_field_u64(priority, &ignored);
    head->expires_ms = core->now_ms + kept_s * 1000;
    head->priority = wanted > INT32_MAX ? INT32_MAX : wanted < INT32_MIN ? INT32_MIN : (int32_t)wanted;
    head->length = (uint16_t)length;
}

static dro_err delivery_begin(core *core, const group_configuration *configuration, const uint8_t *fields, size_t length, group_operation **out)
{
    group_operation head = { .group = configuration->group, .configuration = configuration->number,
                             .application = configuration->application, .kind = GROUP_DOWNLINK, .made_ms = core->now_ms };
    head_fill(core, &head, fields, length);
    dro_err err = group_operation_make(core, &head, fields, out);
    const group *group = err == DRO_OK ? group_at(core, configuration->group) : NULL;
    if (group != NULL)
        group_usage(core, configuration->application, group);
    return err;
}

/* Mail of groups stays in memory until it has left: that of all open downlinks and of one more has room in downlink.memory. */
static bool memory_is_full(const core *core, const group *group)
{
    uint64_t waiting = group_members_all(core, group);
    for (uint32_t i = 0; i < GROUP_OPERATIONS_MAX; i++) {
        const group_operation *operation = core->groups->operations[i];
        uint32_t shown[GROUP_SHOWN_STATES], open = 0;
        if (operation != NULL && !operation->is_gone && operation->kind == GROUP_DOWNLINK)
            group_operation_members(core, operation, shown, &open);
        waiting += open;
    }
    return core->queues.budget > 0 && waiting * sizeof(mail) > core->queues.budget * core->count;
}

void api_group_delivery_make(core *core, const call *call)
{
    uint8_t fields[GROUP_FIELDS_MAX];
    group_operation *made;
    const group_configuration *configuration = configuration_find(core, call);
    const application *owner = configuration == NULL ? NULL : application_at(core, configuration->application);
    const group *named = owner == NULL ? NULL : group_named(core, call, owner);
    if (named == NULL)
        return;
    dro_builder members = dro_builder_over(fields, sizeof fields);
    nidd_members_of(call, &members, true);
    if (members.err != DRO_OK)
        tell_problem(core, call->caller, 413, "about:blank", "the delivery is too large");
    else if (named->number != configuration->group)
        tell_problem(core, call->caller, 400, "about:blank", "the identifier is not the configuration's");
    else if (configuration->status != NIDD_ACTIVE)
        tell_problem(core, call->caller, 403, "about:blank", "the configuration is %s", nidd_status_text((nidd_status)configuration->status));
    else if (memory_is_full(core, named)) {
        core->counters.refused++;
        tell_problem(core, call->caller, 503, "about:blank", "too much waits for members of groups (downlink.memory); try again");
    } else if (delivery_is_good(core, call, fields, dro_builder_length(&members)) &&
             !nidd_quota_is_reached(core, call, owner, LIMIT_DOWNLINKS, group_members_all(core, named))) {
        dro_err err = delivery_begin(core, configuration, fields, dro_builder_length(&members), &made);
        if (err != DRO_OK)
            not_kept(core, call, err);
        else
            delivery_reply(core, call, 201, configuration, made);
    }
}

/* The delivery of the path; NULL after a problem. */
static group_operation *delivery_find(core *core, const call *call, const group_configuration *configuration)
{
    group_operation *found = group_operation_at(core, call->delivery);
    if (is_delivery_of(found, configuration))
        return found;
    tell_problem(core, call->caller, 404, "about:blank", "no delivery %016llx is here", (unsigned long long)call->delivery);
    return NULL;
}

/* For some member it has not left yet. False after a problem. */
static bool delivery_is_waiting(core *core, const call *call, const group_operation *operation)
{
    uint32_t shown[GROUP_SHOWN_STATES], open;
    group_operation_members(core, operation, shown, &open);
    if (shown[GROUP_SHOWN_WAITING] + shown[GROUP_SHOWN_PENDING] > 0)
        return true;
    if (open > 0)
        tell_problem(core, call->caller, 409, "about:blank", "the downlink is being sent to the last members");
    else
        tell_problem(core, call->caller, 404, "about:blank", "the downlink has ended for all members");
    return false;
}

void api_group_delivery_get(core *core, const call *call)
{
    const group_configuration *configuration = configuration_find(core, call);
    const group_operation *found = configuration == NULL ? NULL : delivery_find(core, call, configuration);
    if (found != NULL)
        delivery_reply(core, call, 200, configuration, found);
}

void api_group_delivery_list(core *core, const call *call)
{
    const group_configuration *configuration = configuration_find(core, call);
    if (configuration == NULL)
        return;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    dro_builder_text(&out, "[");
    deliveries_put(core, configuration, true, &out);
    dro_builder_text(&out, "]");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

/* PUT and PATCH: members whose downlink has not left get the new one. */
void api_group_delivery_change(core *core, const call *call)
{
    uint8_t fields[GROUP_FIELDS_MAX + NIDD_FIELDS_MAX];
    const group_configuration *configuration = configuration_find(core, call);
    group_operation *changed = configuration == NULL ? NULL : delivery_find(core, call, configuration);
    if (changed == NULL || !delivery_is_waiting(core, call, changed))
        return;
    const application *owner = application_at(core, configuration->application);
    const group *named = call->operation == API_NIDD_DELIVERY_PUT && owner != NULL ? group_named(core, call, owner) : NULL;
    if (call->operation == API_NIDD_DELIVERY_PUT && named == NULL)
        return;
    if (named != NULL && named->number != configuration->group) {
        tell_problem(core, call->caller, 400, "about:blank", "the identifier is not the configuration's");
        return;
    }
    dro_builder members = dro_builder_over(fields, sizeof fields);
    if (call->operation == API_NIDD_DELIVERY_PATCH)
        nidd_patched(changed->fields, changed->length, call, &members);
    else
        nidd_members_of(call, &members, true);
    size_t length = dro_builder_length(&members);
    if (members.err != DRO_OK || length > GROUP_FIELDS_MAX) {
        tell_problem(core, call->caller, 413, "about:blank", "the delivery is too large");
        return;
    }
    if (!delivery_is_good(core, call, fields, length))
        return;
    dro_err err = group_operation_replace(core, changed, fields, (uint16_t)length);
    if (err == DRO_OK) {
        head_fill(core, changed, fields, length);
        err = groups_keep(core);
    }
    if (err != DRO_OK)
        not_kept(core, call, err);
    else
        delivery_reply(core, call, 200, configuration, changed);
}

void api_group_delivery_delete(core *core, const call *call)
{
    const group_configuration *configuration = configuration_find(core, call);
    group_operation *gone = configuration == NULL ? NULL : delivery_find(core, call, configuration);
    if (gone == NULL || !delivery_is_waiting(core, call, gone))
        return;
    group_operation_remove(core, gone);
    dro_err err = groups_keep(core);
    if (err != DRO_OK)
        not_kept(core, call, err);
    else
        call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
}

/* ---- configurations ---- */

static void test_notice(core *core, const call *call, group_configuration *made)
{
    dro_field room;
    const dro_field *test = nidd_field(call->fields, call->fields_length, API_FIELD_TEST, &room);
    if (test != NULL && test->length == 1 && test->bytes[0] != 0)
        made->notice = notice_of_group(core, made->destination, group_number(made->number), NOTICE_TEST, NULL, 0);
}

/* A downlink that came with its configuration: the configuration is the answer, whatever becomes of it. */
static void first_delivery(core *core, const call *call, const group_configuration *configuration)
{
    dro_field room;
    group_operation *made;
    const dro_field *first = nidd_field(call->fields, call->fields_length, API_FIELD_FIRST_DELIVERY, &room);
    if (first != NULL && first->length <= GROUP_FIELDS_MAX &&
        delivery_begin(core, configuration, first->bytes, first->length, &made) != DRO_OK)
        core->counters.refused++;
}

static bool first_is_good(core *core, const call *call)
{
    dro_field room;
    const dro_field *first = nidd_field(call->fields, call->fields_length, API_FIELD_FIRST_DELIVERY, &room);
    if (first == NULL)
        return true;
    dro_field of, inner;
    const dro_field *group = nidd_field(call->fields, call->fields_length, API_FIELD_GROUP, &of);
    const dro_field *named = nidd_field(first->bytes, first->length, API_FIELD_GROUP, &inner);
    if (group == NULL || named == NULL || named->length != group->length || memcmp(named->bytes, group->bytes, group->length) != 0) {
        tell_problem(core, call->caller, 400, "about:blank", "the downlink's identifier is not the configuration's");
        return false;
    }
    return delivery_is_good(core, call, first->bytes, first->length);
}

void api_group_configuration_make(core *core, const call *call)
{
    uint8_t fields[NIDD_FIELDS_MAX];
    dro_field room;
    const application *owner = nidd_owner_find(core, call);
    if (owner == NULL || !first_is_good(core, call) || nidd_quota_is_reached(core, call, owner, LIMIT_CONFIGURATIONS, 1) ||
        authorization_asks_group(core, call, owner))
        return;
    const group *named = group_named(core, call, owner);
    if (named != NULL && nidd_field(call->fields, call->fields_length, API_FIELD_FIRST_DELIVERY, &room) != NULL &&
        nidd_quota_is_reached(core, call, owner, LIMIT_DOWNLINKS, group_members_all(core, named)))
        return;
    if (named == NULL || (!authorization_apn_is_open_group(core, owner, named) && nidd_tell_apn(core, call)) ||
        !authorization_is_good_group(core, call))
        return;
    dro_builder members = dro_builder_over(fields, sizeof fields);
    nidd_members_of(call, &members, false);
    authorization_put_group(core, owner, named, &members);
    if (members.err != DRO_OK) {
        tell_problem(core, call->caller, 413, "about:blank", "the configuration is too large");
        return;
    }
    group_configuration *made, head = { .number = core->groups->next, .group = named->number, .application = owner->number,
                                        .status = NIDD_ACTIVE, .made_ms = core->now_ms, .length = (uint16_t)dro_builder_length(&members) };
    dro_err err = group_configuration_add(core, &head, fields, &made);
    if (err == DRO_OK) {
        core->groups->next++;
        err = groups_keep(core);
        if (err != DRO_OK)
            group_configuration_remove(core, made);
    }
    if (err != DRO_OK) {
        not_kept(core, call, err);
        return;
    }
    test_notice(core, call, made);
    first_delivery(core, call, made);
    configuration_reply(core, call, 201, made);
}

void api_group_configuration_get(core *core, const call *call)
{
    const group_configuration *found = configuration_find(core, call);
    if (found != NULL)
        configuration_reply(core, call, 200, found);
}

void api_group_configuration_patch(core *core, const call *call)
{
    uint8_t fields[2 * NIDD_FIELDS_MAX];
    group_configuration *changed = configuration_find(core, call);
    if (changed == NULL)
        return;
    dro_builder members = dro_builder_over(fields, sizeof fields);
    nidd_patched(changed->fields, changed->length, call, &members);
    if (members.err != DRO_OK || dro_builder_length(&members) > NIDD_FIELDS_MAX) {
        tell_problem(core, call->caller, 413, "about:blank", "the configuration is too large");
        return;
    }
    dro_err err = group_configuration_change(core, changed, fields, (uint16_t)dro_builder_length(&members));
    if (err == DRO_OK)
        err = groups_keep(core);
    if (err != DRO_OK)
        not_kept(core, call, err);
    else
        configuration_reply(core, call, 200, changed);
}

void api_group_websocket(core *core, const call *call)
{
    const group_configuration *found = configuration_find(core, call);
    if (found != NULL)
        nidd_websocket_begin(core, call, found->fields, found->length, found->destination);
}

/* All that waits for it goes too. */
void api_group_configuration_delete(core *core, const call *call)
{
    group_configuration *gone = configuration_find(core, call);
    if (gone == NULL)
        return;
    group_configuration_remove(core, gone);
    dro_err err = groups_keep(core);
    if (err != DRO_OK)
        not_kept(core, call, err);
    else
        call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
}

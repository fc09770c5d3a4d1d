/* NIDD configurations of T8 (TS 29.122, 5.6). An application works under its own id only;
 * another's configurations are not there for it. */
#include <string.h>

#include "base/base64.h"
#include "base/fields.h"
#include "core/api_nidd.h"
#include "core/authorization.h"
#include "core/groups.h"
#include "core/host.h"
#include "core/number.h"
#include "core/peers.h"
#include "core/rds.h"
#include "core/record.h"
#include "core/render.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/timers.h"
#include "core/turn.h"
#include "core/twin_table.h"

/* ---- as JSON ---- */

static void ports_put(dro_builder *out, const dro_field *field, bool is_list)
{
    dro_builder_text(out, is_list ? "[" : "");
    for (uint32_t i = 0; i + 1 < field->length; i += 2)
        json_put(out, "%s{\"portUE\":%u,\"portSCEF\":%u}", i > 0 ? "," : "", field->bytes[i], field->bytes[i + 1]);
    dro_builder_text(out, is_list ? "]" : "");
}

/* SupportedFeatures (TS 29.571): those that the application has and this host, in hexadecimal. */
static void features_put(dro_builder *out, const dro_field *field, uint64_t features)
{
    uint64_t theirs = 0;
    for (uint32_t i = 0; i < field->length; i++)
        theirs = theirs << 4 | (uint64_t)(field->bytes[i] <= '9' ? field->bytes[i] - '0' : (field->bytes[i] | 0x20) - 'a' + 10);
    json_put(out, "\"%llX\"", (unsigned long long)(theirs & features));
}

static void member_put(dro_builder *out, const nidd_member *member, const dro_field *field)
{
    dro_err ignored = DRO_OK;
    int64_t time_ms = 0;
    switch ((nidd_kind)member->kind) {
    case NIDD_TEXT: case NIDD_IDENTIFIER: case NIDD_DIGITS: case NIDD_LINK:
        json_text(out, (const char *)field->bytes, field->length);
        break;
    case NIDD_TIME:
        memcpy(&time_ms, field->bytes, field->length == 8 ? 8 : 0);
        json_time(out, time_ms);
        break;
    case NIDD_SECONDS: json_put(out, "%llu", (unsigned long long)dro_field_u64(field, &ignored)); break;
    case NIDD_INTEGER: json_put(out, "%lld", (long long)dro_field_u64(field, &ignored)); break;
    case NIDD_BOOLEAN: dro_builder_text(out, dro_field_u64(field, &ignored) != 0 ? "true" : "false"); break;
    case NIDD_OPTION:
        json_put(out, "\"%s\"", pdn_establishment_option_text((pdn_establishment_option)dro_field_u64(field, &ignored)));
        break;
    case NIDD_BYTES:
        dro_builder_text(out, "\"");
        dro_base64_put(out, field->bytes, field->length);
        dro_builder_text(out, "\"");
        break;
    case NIDD_PORT: ports_put(out, field, false); break;
    case NIDD_PORTS: ports_put(out, field, true); break;
    case NIDD_WEBSOCKET_WANTED: case NIDD_HEX: break; /* websocket_put, features_put */
    }
}

void nidd_members_put(dro_builder *out, const uint8_t *fields, size_t length, uint64_t features)
{
    dro_field room;
    for (size_t i = 0; i < nidd_member_count; i++) {
        const dro_field *field = nidd_field(fields, length, nidd_members[i].field, &room);
        if (field == NULL || nidd_members[i].field == API_FIELD_TEST || nidd_members[i].field == API_FIELD_WEBSOCKET)
            continue;
        json_put(out, ",\"%s\":", nidd_members[i].name);
        if (nidd_members[i].kind == NIDD_HEX)
            features_put(out, field, features);
        else
            member_put(out, &nidd_members[i], field);
    }
}

void nidd_self_write(core *core, const nidd_configuration *configuration, uint64_t delivery, dro_builder *out)
{
    dro_builder_text(out, core->options.t8_root != NULL ? core->options.t8_root : "");
    nidd_path_write(application_at(core, configuration->application), configuration->number, delivery, out);
}

/* The URI is that of the configuration, with ws for http and wss for https. */
void nidd_websocket_put(core *core, uint32_t owner, uint64_t configuration, dro_builder *out)
{
    const char *root = core->options.t8_root != NULL ? core->options.t8_root : "";
    dro_builder_text(out, ",\"websockNotifConfig\":{\"requestWebsocketUri\":true,\"websocketUri\":\"ws");
    dro_builder_text(out, strncmp(root, "http", 4) == 0 ? root + 4 : root);
    nidd_path_write(application_at(core, owner), configuration, 0, out);
    dro_builder_text(out, "/websocket\"}");
}

uint32_t nidd_packet_max(const core *core, const nidd_configuration *configuration)
{
    return core->options.reliable_data && configuration->is_reliable ? RDS_N201 : NIDD_DATA_MAX;
}

static void configuration_put(core *core, const twin *twin, const nidd_configuration *configuration, bool with_transfers, dro_builder *out)
{
    dro_builder_text(out, "{\"self\":\"");
    nidd_self_write(core, configuration, 0, out);
    json_put(out, "\",\"status\":\"%s\",\"maximumPacketSize\":%u", nidd_status_text((nidd_status)configuration->status), nidd_packet_max(core, configuration));
    nidd_members_put(out, configuration->fields, configuration->length, core->options.reliable_data ? RDS_FEATURES : 0);
    if (nidd_wants_websocket(configuration->fields, configuration->length))
        nidd_websocket_put(core, configuration->application, configuration->number, out);
    if (with_transfers && nidd_has_waiting(twin, configuration)) {
        dro_builder_text(out, ",\"niddDownlinkDataTransfers\":[");
        nidd_deliveries_put(core, twin, configuration, false, out);
        dro_builder_text(out, "]");
    }
    dro_builder_text(out, "}");
}

/* ---- whose ---- */

/* The application of the path, if the caller is it; else NULL after a problem. */
const application *nidd_owner_find(core *core, const call *call)
{
    const application *owner = call->scs_as.at == NULL ? NULL : application_find(core, call->scs_as.at, call->scs_as.length);
    bool is_caller = owner != NULL && (call->application == owner->number || call->scopes & SCOPE_ADMIN);
    if (is_caller)
        return owner;
    if (call->scopes & SCOPE_ADMIN)
        tell_problem(core, call->caller, 404, "about:blank", "no application is called %.*s", (int)call->scs_as.length, call->scs_as.at);
    else
        tell_problem(core, call->caller, 403, "about:blank", "this token is not one of %.*s", (int)call->scs_as.length, call->scs_as.at);
    return NULL;
}

bool nidd_is_in_reach(core *core, const call *call, const application *owner, uint32_t domain)
{
    switch (call->operation) {
    case API_NIDD_CONFIGURATION_PATCH:
    case API_NIDD_DELIVERY_MAKE:
    case API_NIDD_DELIVERY_PUT:
    case API_NIDD_DELIVERY_PATCH:
    case API_NIDD_PORT_PUT:
    case API_NIDD_PORT_DELETE:
    case API_EXPOSURE_PUT:
    case API_EXPOSURE_PATCH:
    case API_PATTERN_PUT:
    case API_PATTERN_DELETE: return (call->scopes & SCOPE_ADMIN) != 0 || application_sees(core, owner->number, 0, domain);
    default: return true;
    }
}

nidd_configuration *nidd_configuration_called(core *core, const call *call, uint32_t *index)
{
    const application *owner = nidd_owner_find(core, call);
    nidd_configuration *found = owner == NULL ? NULL : nidd_configuration_find(core, call->configuration, index);
    if (owner != NULL && (found == NULL || found->application != owner->number || !nidd_is_in_reach(core, call, owner, twin_at(core, *index)->domain))) {
        tell_problem(core, call->caller, 404, "about:blank", "no configuration %016llx is here", (unsigned long long)call->configuration);
        return NULL;
    }
    return found;
}

/* True: what waits for the device is in the log only, and the request waits until it is read. */
bool nidd_call_queued(core *core, const call *call, uint32_t index)
{
    if (!queue_is_away(twin_at(core, index)))
        return false;
    if (!queue_load(core, index))
        tell_problem(core, call->caller, 503, "about:blank", "what waits for the device cannot be read now; the host's log says more");
    else if (twin_defer(core, index, call->gate, call->header, call->message) != DRO_OK)
        tell_problem(core, call->caller, 503, "about:blank", "too many requests wait for this twin");
    return true;
}

uint32_t nidd_twin_named(core *core, const call *call, const uint8_t *fields, size_t length, const application *owner)
{
    dro_field room;
    const dro_field *id = nidd_field(fields, length, API_FIELD_ID, &room);
    uint32_t index = NONE;
    if (id != NULL) {
        index = twin_find(core, (const char *)id->bytes, id->length);
    } else if ((id = nidd_field(fields, length, API_FIELD_MSISDN, &room)) != NULL) {
        char digits[16] = { 0 };
        memcpy(digits, id->bytes, id->length < sizeof digits ? id->length : 0);
        index = twin_find_msisdn(core, digits);
    }
    uint32_t scopes = call->scopes & SCOPE_ADMIN && owner->number != 0 ? 0 : call->scopes;
    if (index != NONE && (twin_at(core, index)->row == NONE || application_sees(core, owner->number, scopes, twin_at(core, index)->domain)))
        return index;
    tell_cause(core, call->caller, 404, "USER_UNKNOWN", "no device is known by this identifier");
    return NONE;
}

/* Does the body of a downlink name the configuration's device? False after a problem. */
bool nidd_twin_is_named(core *core, const call *call, const uint8_t *fields, size_t length, const application *owner, uint32_t index)
{
    uint32_t named = owner == NULL ? NONE : nidd_twin_named(core, call, fields, length, owner);
    if (named != NONE && named != index)
        tell_problem(core, call->caller, 400, "about:blank", "the identifier is not the configuration's");
    return named == index;
}

/* ---- configurations ---- */

void nidd_configuration_reply(core *core, caller caller, uint16_t status, uint32_t index, const nidd_configuration *configuration)
{
    char location[NIDD_PATH_MAX + 300];
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    dro_builder self = dro_builder_over(location, sizeof location - 1);
    nidd_self_write(core, configuration, 0, &self);
    *self.at = '\0';
    configuration_put(core, twin_at(core, index), configuration, true, &out);
    if (out.err != DRO_OK) {
        tell_problem(core, caller, 507, "about:blank", "the answer is larger than %d bytes", SCRATCH_BYTES);
        return;
    }
    reply reply = { .status = status, .content = CONTENT_JSON, .etag = UINT64_MAX, .location = status == 201 ? location : NULL };
    tell_reply(core, caller, &reply, out.start, dro_builder_length(&out));
}

static bool is_nidd_field(uint32_t tag)
{
    for (size_t i = 0; i < nidd_member_count; i++)
        if (nidd_members[i].field == tag && tag != API_FIELD_DATA)
            return true;
    return false;
}

/* The members of a configuration among the call's fields. */
void nidd_members_of(const call *call, dro_builder *out, bool with_data)
{
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    dro_field field;
    while (dro_field_next(&in, &field))
        if (is_nidd_field(field.tag) || (with_data && field.tag == API_FIELD_DATA))
            dro_field_put(out, (uint8_t)field.tag, field.bytes, field.length);
}

uint64_t nidd_number_next(core *core, const twin *twin)
{
    while (nidd_event_id(core->nidd.next) == 0) /* to a twin that is "of this event" */
        core->nidd.next++;
    return (twin->number & PARTITION_MASK) | (core->nidd.next++ & ~PARTITION_MASK);
}

/* What speaks against making one, said to the caller. */
static bool configuration_is_refused(core *core, const call *call, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    const nidd *nidd = twin->nidd;
    dro_field room;
    if (nidd != NULL && nidd->configuration_count >= TWIN_CONFIGURATIONS_MAX)
        tell_cause(core, call->caller, 403, "QUOTA_EXCEEDED", "a device has %d configurations at most", TWIN_CONFIGURATIONS_MAX);
    else if (nidd_field(call->fields, call->fields_length, API_FIELD_GROUP, &room) != NULL)
        tell_cause(core, call->caller, 404, "USER_UNKNOWN", "no group is known by this identifier");
    else if (!(twin->flags & TWIN_HAS_IMSI) && !peers_have_hss(core))
        tell_cause(core, call->caller, 403, "NIDD_NOT_AUTHORIZED", "the device has no subscription here");
    else
        return false;
    return true;
}

void api_nidd_configuration_get(core *core, const call *call)
{
    uint32_t index;
    const nidd_configuration *found = nidd_configuration_called(core, call, &index);
    if (found != NULL && !nidd_call_queued(core, call, index))
        nidd_configuration_reply(core, call->caller, 200, index, found);
}

/* A page of those behind call->after, in the order they were made, those of groups last; see gate/pages.c. */
void api_nidd_configuration_list(core *core, const call *call)
{
    const application *owner = nidd_owner_find(core, call);
    if (owner == NULL)
        return;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    uint64_t next = call->after;
    for (uint64_t number; next < NIDD_LIST_GROUPS && dro_builder_length(&out) < NIDD_LIST_PAGE; next = owner_rank(number)) {
        uint32_t index;
        if ((number = owner_next(core, &core->nidd.owners, owner->number, next)) == 0) {
            next = NIDD_LIST_GROUPS;
            break;
        }
        dro_builder_text(&out, dro_builder_length(&out) > 0 ? "," : "");
        const nidd_configuration *shown = nidd_configuration_find(core, number, &index);
        configuration_put(core, twin_at(core, index), shown, false, &out);
    }
    if (next >= NIDD_LIST_GROUPS)
        next = core->index == 0 ? group_configurations_put(core, owner, next, &out) : UINT64_MAX;
    call_reply(core, call, 200, next, NULL, &out);
}

/* Old members, with those of the patch in their place and without those it sets to null. */
void nidd_patched(const uint8_t *old, size_t length, const call *call, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(old, length);
    dro_field field, room;
    while (dro_field_next(&in, &field)) {
        bool is_new = nidd_field(call->fields, call->fields_length, field.tag, &room) != NULL;
        dro_cursor nulls = dro_cursor_over(call->fields, call->fields_length);
        while (dro_field_next(&nulls, &room))
            for (size_t i = 0; room.tag == API_FIELD_NULLED && i < nidd_member_count; i++)
                is_new |= nidd_members[i].field == field.tag && strlen(nidd_members[i].name) == room.length &&
                          memcmp(nidd_members[i].name, room.bytes, room.length) == 0;
        if (!is_new)
            dro_field_put(out, (uint8_t)field.tag, field.bytes, field.length);
    }
    nidd_members_of(call, out, true);
}

void api_nidd_configuration_patch(core *core, const call *call)
{
    uint32_t index;
    uint8_t fields[2 * NIDD_FIELDS_MAX];
    const nidd_configuration *old = nidd_configuration_called(core, call, &index);
    if (old == NULL || call_deferred(core, call, index) || nidd_call_queued(core, call, index))
        return;
    dro_builder members = dro_builder_over(fields, sizeof fields);
    nidd_patched(old->fields, old->length, call, &members);
    if (members.err != DRO_OK || dro_builder_length(&members) > NIDD_FIELDS_MAX) {
        tell_problem(core, call->caller, 413, "about:blank", "the configuration is too large");
        return;
    }
    uint64_t number = old->number;
    uint32_t application = old->application;
    int64_t made_ms = old->made_ms;
    nidd_status status = (nidd_status)old->status;
    record_begin(core, index, RECORD_DELTA);
    nidd_configuration_put(core, number, application, made_ms, status, fields, dro_builder_length(&members));
    record_end(core);
    const nidd_configuration *now = nidd_configuration_find(core, number, &index);
    if (now == NULL) {
        tell_problem(core, call->caller, 503, "about:blank", "no room for the changed configuration");
        return;
    }
    nidd_configuration_reply(core, call->caller, 200, index, now);
    if (timers_update(core, index) != DRO_OK)
        core->counters.refused++;
}

void nidd_websocket_begin(core *core, const call *call, const uint8_t *fields, size_t length, uint32_t destination)
{
    if (!nidd_wants_websocket(fields, length)) {
        tell_problem(core, call->caller, 404, "about:blank", "the configuration was made without requestWebsocketUri");
        return;
    }
    call_reply(core, call, 200, UINT64_MAX, NULL, NULL); /* before the first notice */
    destination_connect(core, destination, call->gate, call->caller.id);
}

void api_nidd_websocket(core *core, const call *call)
{
    uint32_t index;
    const nidd_configuration *found = nidd_configuration_called(core, call, &index);
    if (found != NULL)
        nidd_websocket_begin(core, call, found->fields, found->length, found->destination);
}

void api_nidd_configuration_delete(core *core, const call *call)
{
    uint32_t index;
    const nidd_configuration *gone = nidd_configuration_called(core, call, &index);
    if (gone == NULL || call_deferred(core, call, index) || nidd_call_queued(core, call, index))
        return;
    record_begin(core, index, RECORD_DELTA);
    nidd_configuration_gone(core, index, gone->number);
    record_end(core);
    nidd_trim(twin_at(core, index));
    twin_extra_trim(twin_at(core, index));
    call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
}

/* True after a 403: T8 has no 429 of its own for what is counted over time (TS 29.122 5.6.4.1). */
bool nidd_quota_is_reached(core *core, const call *call, const application *owner, enum application_limit limit, uint64_t more)
{
    if (usage_has_room(core, owner, limit, more))
        return false;
    tell_cause(core, call->caller, 403, "QUOTA_EXCEEDED", limit == LIMIT_CONFIGURATIONS ? "the application has as many configurations as it may: %u"
               : "this would be more downlinks today than the application may send: %u", usage_limit(core, owner, limit));
    return true;
}

bool nidd_tell_apn(core *core, const call *call)
{
    tell_cause(core, call->caller, 403, "OPERATION_NOT_ALLOWED", "the APN of this device or group is not one of the application's");
    return true;
}

/* True after a 403: the device's APN is not among the application's. */
static bool apn_is_refused(core *core, const call *call, const application *owner, uint32_t index)
{
    return !authorization_apn_is_open(core, owner, index) && nidd_tell_apn(core, call);
}

void api_nidd_configuration_make(core *core, const call *call)
{
    uint8_t fields[NIDD_FIELDS_MAX];
    dro_field room;
    const application *owner = nidd_owner_find(core, call);
    uint32_t index = owner == NULL ? NONE : nidd_twin_named(core, call, call->fields, call->fields_length, owner);
    if (index == NONE || call_deferred(core, call, index) || !nidd_first_is_good(core, call, owner, index) ||
        configuration_is_refused(core, call, index) || apn_is_refused(core, call, owner, index) ||
        nidd_quota_is_reached(core, call, owner, LIMIT_CONFIGURATIONS, 1) || !nidd_first_is_allowed(core, call, owner, index) ||
        authorization_asks(core, call, owner, index) || !authorization_is_good(core, call, index))
        return;
    dro_builder members = dro_builder_over(fields, sizeof fields);
    nidd_members_of(call, &members, false);
    authorization_put(core, owner, index, &members);
    if (members.err != DRO_OK) {
        tell_problem(core, call->caller, 413, "about:blank", "the configuration is too large");
        return;
    }
    network_release gone = { .length = 0 };
    uint64_t number = nidd_number_next(core, twin_at(core, index));
    const dro_field *test = nidd_field(call->fields, call->fields_length, API_FIELD_TEST, &room);
    bool wants_test = test != NULL && test->length == 1 && test->bytes[0] != 0;
    record_begin(core, index, RECORD_DELTA);
    if (core->grant != NULL)
        authorization_bind(core, index, core->grant, &gone);
    nidd_configuration_put(core, number, owner->number, core->now_ms, NIDD_ACTIVE, fields, dro_builder_length(&members));
    const nidd_configuration *made = nidd_configuration_find(core, number, &index);
    if (made != NULL && wants_test)
        notice_put(core, index, made, NOTICE_TEST, NULL, 0);
    network_release_send(core, &gone, record_end(core));
    if (made == NULL) {
        tell_problem(core, call->caller, 503, "about:blank", "no room for another configuration");
        return;
    }
    if (timers_update(core, index) != DRO_OK)
        core->counters.refused++;
    nidd_first_delivery(core, call, index, made);
}

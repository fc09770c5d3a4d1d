/* NIDD operations of T8 (TS 29.122, 5.6). An application works under its own id only;
 * another's configurations are not there for it. */
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/fields.h"
#include "core/authorization.h"
#include "core/groups.h"
#include "core/call.h"
#include "core/host.h"
#include "core/mailbox.h"
#include "core/nidd.h"
#include "core/number.h"
#include "core/peers.h"
#include "core/rate.h"
#include "core/record.h"
#include "core/render.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/timers.h"
#include "core/turn.h"
#include "core/twin_table.h"
#include "twin/event.h"

/* ---- as JSON ---- */

static void ports_put(dro_builder *out, const dro_field *field, bool is_list)
{
    dro_builder_text(out, is_list ? "[" : "");
    for (uint32_t i = 0; i + 1 < field->length; i += 2)
        json_put(out, "%s{\"portUE\":%u,\"portSCEF\":%u}", i > 0 ? "," : "", field->bytes[i], field->bytes[i + 1]);
    dro_builder_text(out, is_list ? "]" : "");
}

static void member_put(dro_builder *out, const nidd_member *member, const dro_field *field)
{
    dro_err ignored = DRO_OK;
    int64_t time_ms = 0;
    switch ((nidd_kind)member->kind) {
    case NIDD_TEXT: case NIDD_IDENTIFIER: case NIDD_DIGITS: case NIDD_LINK: case NIDD_HEX:
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
    case NIDD_WEBSOCKET_WANTED: break; /* websocket_put */
    }
}

void nidd_members_put(dro_builder *out, const uint8_t *fields, size_t length)
{
    dro_field room;
    for (size_t i = 0; i < nidd_member_count; i++) {
        const dro_field *field = nidd_field(fields, length, nidd_members[i].field, &room);
        if (field == NULL || nidd_members[i].field == API_FIELD_TEST || nidd_members[i].field == API_FIELD_WEBSOCKET)
            continue;
        json_put(out, ",\"%s\":", nidd_members[i].name);
        member_put(out, &nidd_members[i], field);
    }
}

static void self_write(core *core, const nidd_configuration *configuration, uint64_t delivery, dro_builder *out)
{
    dro_builder_text(out, core->options.t8_root != NULL ? core->options.t8_root : "");
    nidd_path_write(application_at(core, configuration->application), configuration->number, delivery, out);
}

static void delivery_put(core *core, const twin *twin, const nidd_configuration *configuration, const nidd_delivery *delivery, dro_builder *out)
{
    dro_builder_text(out, "{\"self\":\"");
    self_write(core, configuration, delivery->number, out);
    json_put(out, "\",\"deliveryStatus\":\"%s\"", nidd_delivery_status_text(nidd_delivery_now(twin, delivery)));
    bool is_held = rate_resume_ms(twin) != 0 && !nidd_delivery_has_ended((nidd_delivery_status)delivery->status);
    if (delivery->retry_ms != 0 || is_held) {
        dro_builder_text(out, ",\"requestedRetransmissionTime\":");
        json_time(out, is_held ? rate_resume_ms(twin) : delivery->retry_ms);
    }
    nidd_members_put(out, delivery->fields, delivery->length);
    dro_builder_text(out, "}");
}

static void deliveries_put(core *core, const twin *twin, const nidd_configuration *configuration, bool with_ended, dro_builder *out)
{
    bool is_first = true;
    for (const nidd_delivery *d = twin->extra->nidd->deliveries; d != NULL; d = d->next) {
        if (d->configuration != configuration->number || (!with_ended && nidd_delivery_has_ended((nidd_delivery_status)d->status)))
            continue;
        dro_builder_text(out, is_first ? "" : ",");
        delivery_put(core, twin, configuration, d, out);
        is_first = false;
    }
}

static bool has_waiting(const twin *twin, const nidd_configuration *configuration)
{
    for (const nidd_delivery *d = twin->extra->nidd->deliveries; d != NULL; d = d->next)
        if (d->configuration == configuration->number && !nidd_delivery_has_ended((nidd_delivery_status)d->status))
            return true;
    return false;
}

static bool wants_websocket(const nidd_configuration *configuration)
{
    dro_field room;
    const dro_field *wanted = nidd_field(configuration->fields, configuration->length, API_FIELD_WEBSOCKET, &room);
    return wanted != NULL && wanted->length == 1 && wanted->bytes[0] != 0;
}

/* The URI is that of the configuration, with ws for http and wss for https. */
static void websocket_put(core *core, const nidd_configuration *configuration, dro_builder *out)
{
    const char *root = core->options.t8_root != NULL ? core->options.t8_root : "";
    if (!wants_websocket(configuration))
        return;
    dro_builder_text(out, ",\"websockNotifConfig\":{\"requestWebsocketUri\":true,\"websocketUri\":\"ws");
    dro_builder_text(out, strncmp(root, "http", 4) == 0 ? root + 4 : root);
    nidd_path_write(application_at(core, configuration->application), configuration->number, 0, out);
    dro_builder_text(out, "/websocket\"}");
}

static void configuration_put(core *core, const twin *twin, const nidd_configuration *configuration, bool with_transfers, dro_builder *out)
{
    dro_builder_text(out, "{\"self\":\"");
    self_write(core, configuration, 0, out);
    json_put(out, "\",\"status\":\"%s\",\"maximumPacketSize\":%d", nidd_status_text((nidd_status)configuration->status), NIDD_DATA_MAX);
    nidd_members_put(out, configuration->fields, configuration->length);
    websocket_put(core, configuration, out);
    if (with_transfers && has_waiting(twin, configuration)) {
        dro_builder_text(out, ",\"niddDownlinkDataTransfers\":[");
        deliveries_put(core, twin, configuration, false, out);
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

static nidd_configuration *configuration_find(core *core, const call *call, uint32_t *index)
{
    const application *owner = nidd_owner_find(core, call);
    nidd_configuration *found = owner == NULL ? NULL : nidd_configuration_find(core, call->configuration, index);
    if (owner != NULL && (found == NULL || found->application != owner->number)) {
        tell_problem(core, call->caller, 404, "about:blank", "no configuration %016llx is here", (unsigned long long)call->configuration);
        return NULL;
    }
    return found;
}

/* True: what waits for the device is in the log only, and the request waits until it is read. */
static bool call_queued(core *core, const call *call, uint32_t index)
{
    if (!queue_is_away(twin_at(core, index)))
        return false;
    if (!queue_load(core, index))
        tell_problem(core, call->caller, 503, "about:blank", "what waits for the device cannot be read now; the host's log says more");
    else if (twin_defer(core, index, call->gate, call->header, call->message) != DRO_OK)
        tell_problem(core, call->caller, 503, "about:blank", "too many requests wait for this twin");
    return true;
}

/* The twin that a body names, seen by the application; NONE after a problem. */
static uint32_t twin_named(core *core, const call *call, const uint8_t *fields, size_t length, const application *owner)
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
static bool twin_is_named(core *core, const call *call, const uint8_t *fields, size_t length, const application *owner, uint32_t index)
{
    uint32_t named = owner == NULL ? NONE : twin_named(core, call, fields, length, owner);
    if (named != NONE && named != index)
        tell_problem(core, call->caller, 400, "about:blank", "the identifier is not the configuration's");
    return named == index;
}

/* ---- configurations ---- */

static void configuration_reply(core *core, caller caller, uint16_t status, uint32_t index, const nidd_configuration *configuration)
{
    char location[NIDD_PATH_MAX + 300];
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    dro_builder self = dro_builder_over(location, sizeof location - 1);
    self_write(core, configuration, 0, &self);
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

static uint64_t number_next(core *core, const twin *twin)
{
    while (nidd_event_id(core->nidd.next) == 0) /* to a twin that is "of this event" */
        core->nidd.next++;
    return (twin->number & PARTITION_MASK) | (core->nidd.next++ & ~PARTITION_MASK);
}

/* What speaks against making one, said to the caller. */
static bool configuration_is_refused(core *core, const call *call, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    const nidd *nidd = twin->extra == NULL ? NULL : twin->extra->nidd;
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
    const nidd_configuration *found = configuration_find(core, call, &index);
    if (found != NULL && !call_queued(core, call, index))
        configuration_reply(core, call->caller, 200, index, found);
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
        if ((number = owner_next(core, owner->number, next)) == 0) {
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
    const nidd_configuration *old = configuration_find(core, call, &index);
    if (old == NULL || call_deferred(core, call, index) || call_queued(core, call, index))
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
    configuration_reply(core, call->caller, 200, index, now);
    if (timers_update(core, index) != DRO_OK)
        core->counters.refused++;
}

/* The caller is a websocket from now on: what is told of the configuration goes there. */
void api_nidd_websocket(core *core, const call *call)
{
    uint32_t index;
    const nidd_configuration *configuration = configuration_find(core, call, &index);
    if (configuration == NULL)
        return;
    if (!wants_websocket(configuration)) {
        tell_problem(core, call->caller, 404, "about:blank", "the configuration was made without requestWebsocketUri");
        return;
    }
    call_reply(core, call, 200, UINT64_MAX, NULL, NULL); /* before the first notice */
    destination_connect(core, configuration->destination, call->gate, call->caller.id);
}

void api_nidd_configuration_delete(core *core, const call *call)
{
    uint32_t index;
    const nidd_configuration *gone = configuration_find(core, call, &index);
    if (gone == NULL || call_deferred(core, call, index) || call_queued(core, call, index))
        return;
    record_begin(core, index, RECORD_DELTA);
    nidd_configuration_gone(core, index, gone->number);
    record_end(core);
    nidd_trim(twin_at(core, index));
    twin_extra_trim(twin_at(core, index));
    call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
}

/* ---- deliveries ---- */

static void delivery_location(core *core, const nidd_configuration *configuration, uint64_t number, char *out, size_t room)
{
    dro_builder self = dro_builder_over(out, room - 1);
    self_write(core, configuration, number, &self);
    *self.at = '\0';
}

/* NiddDownlinkDataDeliveryFailure (TS 29.122, 5.6.2.1.9). */
static void failure_reply(core *core, caller caller, const char *cause, const char *detail, int64_t retry_ms)
{
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    json_put(&out, "{\"problemDetail\":{\"status\":500,\"title\":\"Not delivered\",\"detail\":\"%s\",\"cause\":\"%s\"}", detail, cause);
    if (retry_ms != 0) {
        dro_builder_text(&out, ",\"requestedRetransmissionTime\":");
        json_time(&out, retry_ms);
    }
    dro_builder_text(&out, "}");
    reply reply = { .status = 500, .content = CONTENT_JSON, .etag = UINT64_MAX };
    tell_reply(core, caller, &reply, out.start, dro_builder_length(&out));
}

void nidd_delivery_answer(core *core, caller caller, uint32_t index, uint64_t number)
{
    const twin *twin = twin_at(core, index);
    const nidd_delivery *delivery = twin->number == 0 ? NULL : nidd_delivery_find(twin, number);
    uint32_t of = index;
    const nidd_configuration *configuration = delivery == NULL ? NULL : nidd_configuration_find(core, delivery->configuration, &of);
    char location[NIDD_PATH_MAX + 300];
    if (caller.gate == NONE)
        return;
    if (configuration == NULL) {
        tell_problem(core, caller, 404, "about:blank", "the configuration was removed meanwhile");
        return;
    }
    nidd_delivery_status status = nidd_delivery_now(twin, delivery);
    if (status >= DELIVERY_FAILURE) {
        failure_reply(core, caller, nidd_delivery_status_text(status), "the downlink was not delivered", delivery->retry_ms);
        return;
    }
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    delivery_put(core, twin, configuration, delivery, &out);
    delivery_location(core, configuration, number, location, sizeof location);
    bool is_done = nidd_delivery_has_ended(status);
    reply reply = { .status = is_done ? 200 : 201, .content = CONTENT_JSON, .etag = UINT64_MAX, .location = is_done ? NULL : location };
    tell_reply(core, caller, &reply, out.start, dro_builder_length(&out));
}

/* What can be said without its device. False after a problem. */
static bool data_is_good(core *core, const call *call, const uint8_t *fields, size_t length)
{
    dro_field room;
    const dro_field *data = nidd_field(fields, length, API_FIELD_DATA, &room);
    if (data == NULL || data->length == 0) {
        tell_problem(core, call->caller, 400, "about:blank", "data is missing");
        return false;
    }
    if (data->length > NIDD_DATA_MAX) {
        tell_cause(core, call->caller, 403, "DATA_TOO_LARGE", "at most %d bytes go to a device at once", NIDD_DATA_MAX);
        return false;
    }
    const dro_field *reliable = nidd_field(fields, length, API_FIELD_RELIABLE, &room);
    if (reliable != NULL && reliable->length == 1 && reliable->bytes[0] != 0) {
        failure_reply(core, call->caller, "FAILURE_RDS_DISABLED", "the reliable data service is not enabled", 0);
        return false;
    }
    return true;
}

/* False after a problem. */
static bool delivery_is_good(core *core, const call *call, uint32_t index, const nidd_configuration *configuration,
                             const uint8_t *fields, size_t length)
{
    const twin *twin = twin_at(core, index);
    dro_field room;
    if (!data_is_good(core, call, fields, length))
        return false;
    const dro_field *option = nidd_field(fields, length, API_FIELD_PDN_OPTION, &room);
    uint8_t how = option != NULL && option->length == 1 ? option->bytes[0] : configuration->pdn_establishment_option;
    if (!(twin->flags & TWIN_CONNECTED) && how == PDN_INDICATE_ERROR) {
        failure_reply(core, call->caller, "PDN_CONNECTION_NOT_ESTABLISHED", "the device has no connection", 0);
        return false;
    }
    const dro_field *latency = nidd_field(fields, length, API_FIELD_MAXIMUM_LATENCY, &room);
    dro_err ignored = DRO_OK;
    bool is_asleep = !(twin->flags & TWIN_CONNECTED) || twin->flags & TWIN_BLOCKED;
    if (is_asleep && latency != NULL && dro_field_u64(latency, &ignored) == 0) {
        failure_reply(core, call->caller, "FAILURE_TEMPORARILY_NOT_REACHABLE", "the device cannot be reached now", twin->retry_ms);
        return false;
    }
    const dro_field *data = nidd_field(fields, length, API_FIELD_DATA, &room);
    if (is_asleep && data->length > core->options.downlink.size) {
        failure_reply(core, call->caller, "FAILURE_TEMPORARILY_NOT_REACHABLE",
                      "the device cannot be reached now, and a downlink as large as this does not wait", twin->retry_ms);
        return false;
    }
    return true;
}

static nidd_request *request_new(core *core, const nidd_configuration *configuration, uint64_t number, const dro_builder *members)
{
    dro_field room;
    dro_err ignored = DRO_OK;
    size_t length = dro_builder_length(members);
    nidd_request *made = members->err == DRO_OK ? malloc(sizeof *made + length) : NULL;
    if (made == NULL)
        return NULL;
    const dro_field *latency = nidd_field(members->start, length, API_FIELD_MAXIMUM_LATENCY, &room);
    uint64_t latency_s = latency == NULL ? 0 : dro_field_u64(latency, &ignored);
    uint64_t age_s = (uint64_t)core->options.downlink.age_s;
    int64_t kept_s = (int64_t)(latency_s == 0 || latency_s > age_s ? age_s : latency_s);
    const dro_field *priority = nidd_field(members->start, length, API_FIELD_PRIORITY, &room);
    int64_t wanted = priority == NULL ? 0 : (int64_t)dro_field_u64(priority, &ignored);
    *made = (nidd_request){ .configuration = configuration->number, .number = number, .is_new = number == 0,
                            .expires_ms = core->now_ms + kept_s * 1000, .length = (uint16_t)length };
    made->priority = wanted > INT32_MAX ? INT32_MAX : wanted < INT32_MIN ? INT32_MIN : (int32_t)wanted;
    memcpy(made->fields, members->start, length);
    return made;
}

/* The twin sees the downlink first: it may shape or refuse it. */
static void delivery_turn(core *core, const call *call, uint32_t index, nidd_request *request)
{
    dro_field room;
    if (request != NULL && request->is_new)
        request->number = number_next(core, twin_at(core, index)); /* its twin is told it */
    turn *turn = request == NULL ? NULL : turn_new(core, index, TURN_DOWNLINK);
    dro_err err = turn == NULL ? DRO_LIMIT : DRO_OK;
    const dro_field *data = request == NULL ? NULL : nidd_field(request->fields, request->length, API_FIELD_DATA, &room);
    if (err == DRO_OK && data != NULL)
        err = turn_event(core, turn, EVENT_DOWNLINK, nidd_event_id(request->number), data->bytes, data->length);
    if (err != DRO_OK) {
        if (turn != NULL)
            turn_free(core, turn);
        free(request);
        tell_problem(core, call->caller, 503, "about:blank", "too much is under way; try again");
        return;
    }
    turn->nidd = request;
    turn->caller = call->caller;
    turn_send(core, turn);
}

/* A downlink that came with its configuration: the configuration is the answer, whatever becomes of it. */
static void first_delivery(core *core, const call *call, uint32_t index, const nidd_configuration *configuration)
{
    uint8_t fields[NIDD_FIELDS_MAX];
    dro_field room;
    const dro_field *first = nidd_field(call->fields, call->fields_length, API_FIELD_FIRST_DELIVERY, &room);
    dro_builder members = dro_builder_over(fields, sizeof fields);
    if (first != NULL)
        dro_builder_bytes(&members, first->bytes, first->length);
    nidd_request *request = first == NULL ? NULL : request_new(core, configuration, 0, &members);
    if (request == NULL) {
        configuration_reply(core, call->caller, 201, index, configuration);
        return;
    }
    request->is_first = true;
    delivery_turn(core, call, index, request);
}

bool nidd_quota_is_reached(core *core, const call *call, const application *owner, enum application_limit limit)
{
    if (usage_has_room(core, owner, limit))
        return false;
    tell_cause(core, call->caller, 403, "QUOTA_EXCEEDED", limit == LIMIT_CONFIGURATIONS ? "the application has as many configurations as it may: %u"
               : "the application has sent as many downlinks today as it may: %u", usage_limit(core, owner, limit));
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

static bool first_is_good(core *core, const call *call, const application *owner, uint32_t index)
{
    dro_field room;
    const dro_field *first = nidd_field(call->fields, call->fields_length, API_FIELD_FIRST_DELIVERY, &room);
    return first == NULL || (data_is_good(core, call, first->bytes, first->length) &&
                             twin_is_named(core, call, first->bytes, first->length, owner, index));
}

void api_nidd_configuration_make(core *core, const call *call)
{
    uint8_t fields[NIDD_FIELDS_MAX];
    dro_field room;
    const application *owner = nidd_owner_find(core, call);
    uint32_t index = owner == NULL ? NONE : twin_named(core, call, call->fields, call->fields_length, owner);
    if (index == NONE || call_deferred(core, call, index) || !first_is_good(core, call, owner, index) ||
        configuration_is_refused(core, call, index) ||
        apn_is_refused(core, call, owner, index) || nidd_quota_is_reached(core, call, owner, LIMIT_CONFIGURATIONS) || authorization_asks(core, call, owner, index) || !authorization_is_good(core, call, index))
        return;
    dro_builder members = dro_builder_over(fields, sizeof fields);
    nidd_members_of(call, &members, false);
    authorization_put(core, owner, index, &members);
    if (members.err != DRO_OK) {
        tell_problem(core, call->caller, 413, "about:blank", "the configuration is too large");
        return;
    }
    network_release gone = { .length = 0 };
    uint64_t number = number_next(core, twin_at(core, index));
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
    first_delivery(core, call, index, made);
}

/* Whose downlinks a device takes: the oldest configuration's that is in force. */
static bool is_downlink_owner(const twin *twin, const nidd_configuration *configuration)
{
    const nidd_configuration *oldest = twin->extra->nidd->configurations;
    while (oldest != NULL && oldest->status != NIDD_ACTIVE)
        oldest = oldest->next;
    return oldest != NULL && oldest->application == configuration->application;
}

/* The oldest that has ended, in memory; NULL: none. */
static const nidd_delivery *ended_oldest(const twin *twin)
{
    const nidd_delivery *d = twin->extra->nidd->deliveries;
    while (d != NULL && !nidd_delivery_has_ended((nidd_delivery_status)d->status))
        d = d->next;
    return d;
}

/* Of one more delivery with so many bytes of members: more than a device's queue may have, unless ended ones go? */
static bool is_crowded(const core *core, const twin *twin, size_t length)
{
    const downlink_limits *limits = &core->options.downlink;
    return queue_bytes(twin) + sizeof(nidd_delivery) + sizeof(mail) + length > limits->bytes ||
           queue_delivery_count(twin) >= limits->packets + TWIN_DELIVERIES_ENDED_MAX;
}

static bool has_room(const core *core, const twin *twin, size_t length)
{
    const downlink_limits *limits = &core->options.downlink;
    return queue_mail_count(twin) < limits->packets && queue_bytes(twin) - nidd_ended_bytes(twin) + sizeof(nidd_delivery) + sizeof(mail) + length <= limits->bytes;
}

/* Too much waits for this device. Said to the caller. */
static void tell_full(core *core, const call *call, uint32_t index)
{
    const downlink_limits *limits = &core->options.downlink;
    core->counters.refused++;
    tell_cause(core, call->caller, 403, "QUOTA_EXCEEDED", "%u downlinks with %u bytes wait for the device; at most %u and %u do",
               queue_mail_count(twin_at(core, index)), queue_bytes(twin_at(core, index)), limits->packets, limits->bytes);
}

void api_nidd_delivery_make(core *core, const call *call)
{
    uint32_t index;
    uint8_t fields[NIDD_FIELDS_MAX];
    const nidd_configuration *configuration = configuration_find(core, call, &index);
    if (configuration == NULL || call_deferred(core, call, index))
        return;
    dro_builder members = dro_builder_over(fields, sizeof fields);
    nidd_members_of(call, &members, true);
    if (is_crowded(core, twin_at(core, index), dro_builder_length(&members)) && call_queued(core, call, index))
        return; /* ended ones may have to go */
    if (members.err != DRO_OK) {
        tell_problem(core, call->caller, 413, "about:blank", "the delivery is too large");
        return;
    }
    const application *owner = application_at(core, configuration->application);
    if (!twin_is_named(core, call, call->fields, call->fields_length, owner, index))
        return;
    if (configuration->status != NIDD_ACTIVE)
        tell_problem(core, call->caller, 403, "about:blank", "the configuration is %s", nidd_status_text((nidd_status)configuration->status));
    else if (!is_downlink_owner(twin_at(core, index), configuration))
        tell_cause(core, call->caller, 403, "OPERATION_NOT_ALLOWED", "another application owns this device's downlinks");
    else if (queues_are_full(core))
        tell_problem(core, call->caller, 503, "about:blank", "too much waits for all devices; try again");
    else if (!delivery_is_good(core, call, index, configuration, fields, dro_builder_length(&members)))
        return; /* it was told why */
    else if (!has_room(core, twin_at(core, index), dro_builder_length(&members)))
        tell_full(core, call, index);
    else if (!nidd_quota_is_reached(core, call, owner, LIMIT_DOWNLINKS)) {
        usage_downlink(core, owner->number);
        delivery_turn(core, call, index, request_new(core, configuration, 0, &members));
    }
}

/* The delivery of the path while it can still be changed; NULL after a problem. */
static const nidd_delivery *delivery_find(core *core, const call *call, uint32_t index, const nidd_configuration *configuration)
{
    const nidd_delivery *found = nidd_delivery_find(twin_at(core, index), call->delivery);
    if (found != NULL && found->configuration == configuration->number)
        return found;
    tell_problem(core, call->caller, 404, "about:blank", "no delivery %016llx is here", (unsigned long long)call->delivery);
    return NULL;
}

static bool delivery_is_waiting(core *core, const call *call, uint32_t index, const nidd_delivery *delivery)
{
    nidd_delivery_status now = nidd_delivery_now(twin_at(core, index), delivery);
    if (now == DELIVERY_SENDING)
        tell_problem(core, call->caller, 409, "about:blank", "the downlink is being sent");
    else if (nidd_delivery_has_ended(now))
        tell_problem(core, call->caller, 404, "about:blank", "the downlink has ended: %s", nidd_delivery_status_text(now));
    else
        return true;
    return false;
}

void api_nidd_delivery_change(core *core, const call *call)
{
    uint32_t index;
    uint8_t fields[2 * NIDD_FIELDS_MAX];
    const nidd_configuration *configuration = configuration_find(core, call, &index);
    if (configuration == NULL || call_deferred(core, call, index) || call_queued(core, call, index))
        return;
    const nidd_delivery *old = delivery_find(core, call, index, configuration);
    if (old == NULL || !delivery_is_waiting(core, call, index, old))
        return;
    const application *owner = application_at(core, configuration->application);
    if (call->operation == API_NIDD_DELIVERY_PUT && !twin_is_named(core, call, call->fields, call->fields_length, owner, index))
        return;
    dro_builder members = dro_builder_over(fields, sizeof fields);
    if (call->operation == API_NIDD_DELIVERY_PATCH)
        nidd_patched(old->fields, old->length, call, &members);
    else
        nidd_members_of(call, &members, true);
    if (members.err != DRO_OK || dro_builder_length(&members) > NIDD_FIELDS_MAX)
        tell_problem(core, call->caller, 413, "about:blank", "the delivery is too large");
    else if (delivery_is_good(core, call, index, configuration, fields, dro_builder_length(&members)))
        delivery_turn(core, call, index, request_new(core, configuration, old->number, &members));
}

void api_nidd_delivery_get(core *core, const call *call)
{
    uint32_t index;
    const nidd_configuration *configuration = configuration_find(core, call, &index);
    if (configuration != NULL && call_queued(core, call, index))
        return;
    const nidd_delivery *found = configuration == NULL ? NULL : delivery_find(core, call, index, configuration);
    if (found == NULL)
        return;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    delivery_put(core, twin_at(core, index), configuration, found, &out);
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

void api_nidd_delivery_list(core *core, const call *call)
{
    uint32_t index;
    const nidd_configuration *configuration = configuration_find(core, call, &index);
    if (configuration == NULL || call_queued(core, call, index))
        return;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    dro_builder_text(&out, "[");
    deliveries_put(core, twin_at(core, index), configuration, true, &out);
    dro_builder_text(&out, "]");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

void api_nidd_delivery_delete(core *core, const call *call)
{
    uint32_t index;
    const nidd_configuration *configuration = configuration_find(core, call, &index);
    if (configuration == NULL || call_deferred(core, call, index) || call_queued(core, call, index))
        return;
    const nidd_delivery *gone = delivery_find(core, call, index, configuration);
    if (gone == NULL || !delivery_is_waiting(core, call, index, gone))
        return;
    uint64_t number = gone->number;
    record_begin(core, index, RECORD_DELTA);
    nidd_mail_gone(core, twin_at(core, index), number);
    record_put(core, FIELD_NIDD_DELIVERY_GONE, &number, 8);
    record_end(core);
    call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
}

/* ---- its turn ---- */

/* Those that have ended make room, the oldest first. */
static void ended_evict(core *core, const twin *twin, size_t length)
{
    while (is_crowded(core, twin, length) && ended_oldest(twin) != NULL) {
        uint64_t number = ended_oldest(twin)->number;
        record_put(core, FIELD_NIDD_DELIVERY_GONE, &number, 8);
    }
}

void nidd_turn_begin(core *core, turn *turn)
{
    nidd_request *request = turn->nidd;
    const twin *twin = twin_at(core, turn->twin);
    uint32_t ignored;
    if (nidd_configuration_find(core, request->configuration, &ignored) == NULL)
        return; /* removed while the turn ran: nothing is kept, and nidd_turn_done says so */
    if (!request->is_new)
        nidd_mail_gone(core, twin, request->number);
    ended_evict(core, twin, request->length);
    nidd_delivery delivery = { .number = request->number, .configuration = request->configuration, .made_ms = core->now_ms,
                               .expires_ms = request->expires_ms, .priority = request->priority };
    delivery.status = twin->flags & TWIN_BLOCKED ? DELIVERY_BUFFERING_TEMPORARILY_NOT_REACHABLE : DELIVERY_BUFFERING;
    nidd_delivery_put(core, &delivery, request->fields, request->length);
    turn->ticket = request->number;
}

static bool nidd_is_awaited(const twin *twin, uint64_t number)
{
    const nidd_delivery *delivery = nidd_delivery_find(twin, number);
    return delivery != NULL && delivery->is_awaited;
}

void nidd_turn_end(core *core, turn *turn, uint32_t outcome)
{
    const nidd_request *request = turn->nidd;
    if (turn->ticket == 0)
        return;
    if (outcome == EVENT_NOT_HANDLED)
        mailbox_put_raw(core, turn->twin, turn->ticket, request->expires_ms);
    else if (nidd_mail(twin_at(core, turn->twin), turn->ticket, NULL) == NULL && !nidd_is_awaited(twin_at(core, turn->twin), turn->ticket)) /* the twin refuses it */
        nidd_delivery_end(core, turn->twin, turn->ticket, DELIVERY_FAILURE);
}

void nidd_turn_failed(core *core, turn *turn)
{
    nidd_turn_begin(core, turn);
    if (turn->ticket != 0)
        nidd_delivery_end(core, turn->twin, turn->ticket, DELIVERY_FAILURE);
}

void nidd_turn_done(core *core, turn *turn)
{
    const nidd_delivery *delivery = turn->ticket == 0 ? NULL : nidd_delivery_find(twin_at(core, turn->twin), turn->ticket);
    uint32_t index = turn->twin;
    if (delivery != NULL)
        mailbox_flush(core, turn->twin);
    const nidd_configuration *made = turn->nidd->is_first ? nidd_configuration_find(core, turn->nidd->configuration, &index) : NULL;
    if (made != NULL) {
        configuration_reply(core, turn->caller, 201, index, made);
        return;
    }
    bool is_out = delivery != NULL && nidd_delivery_now(twin_at(core, turn->twin), delivery) == DELIVERY_SENDING;
    if (is_out && turn->caller.gate != NONE && core->waiter_count + core->met_count < WAITERS_MAX)
        waiter_add_delivery(core, turn->twin, turn->ticket, core->now_ns + DELIVERY_WAIT_MS * 1000000ll, turn->caller);
    else
        nidd_delivery_answer(core, turn->caller, turn->twin, turn->ticket);
}

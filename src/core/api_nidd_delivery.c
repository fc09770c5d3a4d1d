/* Downlink data deliveries of T8 (TS 29.122, 5.6): one downlink of an application to a device,
 * from the request over its twin's turn to the answer. */
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "core/api_nidd.h"
#include "core/host.h"
#include "core/mailbox.h"
#include "core/rate.h"
#include "core/rds_ports.h"
#include "core/record.h"
#include "core/render.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/trigger.h"
#include "core/turn.h"
#include "core/twin_table.h"
#include "twin/event.h"

/* ---- as JSON ---- */

static void delivery_put(core *core, const twin *twin, const nidd_configuration *configuration, const nidd_delivery *delivery, dro_builder *out)
{
    dro_builder_text(out, "{\"self\":\"");
    nidd_self_write(core, configuration, delivery->number, out);
    json_put(out, "\",\"deliveryStatus\":\"%s\"", nidd_delivery_status_text(nidd_delivery_now(twin, delivery)));
    bool is_held = rate_resume_ms(twin) != 0 && !nidd_delivery_has_ended((nidd_delivery_status)delivery->status);
    if (delivery->retry_ms != 0 || is_held) {
        dro_builder_text(out, ",\"requestedRetransmissionTime\":");
        json_time(out, is_held ? rate_resume_ms(twin) : delivery->retry_ms);
    }
    nidd_members_put(out, delivery->fields, delivery->length, 0);
    dro_builder_text(out, "}");
}

void nidd_deliveries_put(core *core, const twin *twin, const nidd_configuration *configuration, bool with_ended, dro_builder *out)
{
    bool is_first = true;
    for (const nidd_delivery *d = twin->nidd->deliveries; d != NULL; d = d->next) {
        if (d->configuration != configuration->number || (!with_ended && nidd_delivery_has_ended((nidd_delivery_status)d->status)))
            continue;
        dro_builder_text(out, is_first ? "" : ",");
        delivery_put(core, twin, configuration, d, out);
        is_first = false;
    }
}

bool nidd_has_waiting(const twin *twin, const nidd_configuration *configuration)
{
    for (const nidd_delivery *d = twin->nidd->deliveries; d != NULL; d = d->next)
        if (d->configuration == configuration->number && !nidd_delivery_has_ended((nidd_delivery_status)d->status))
            return true;
    return false;
}

/* ---- made, shown, changed ---- */

static void delivery_location(core *core, const nidd_configuration *configuration, uint64_t number, char *out, size_t room)
{
    dro_builder self = dro_builder_over(out, room - 1);
    nidd_self_write(core, configuration, number, &self);
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

/* Of a request: a configuration that is not made for its downlink's sake has a plain problem as its answer. */
static void failure_tell(core *core, const call *call, const char *cause, const char *detail, int64_t retry_ms)
{
    if (call->operation == API_NIDD_CONFIGURATION_MAKE)
        tell_cause(core, call->caller, 500, cause, "%s", detail);
    else
        failure_reply(core, call->caller, cause, detail, retry_ms);
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
    return true;
}

/* Can it go to the device now, or wait for it? `option`: of its configuration. False after a problem. */
static bool delivery_is_possible(core *core, const call *call, uint32_t index, uint8_t option, const uint8_t *fields, size_t length)
{
    const twin *twin = twin_at(core, index);
    dro_field room;
    const dro_field *own = nidd_field(fields, length, API_FIELD_PDN_OPTION, &room);
    uint8_t how = own != NULL && own->length == 1 ? own->bytes[0] : option;
    if (!(twin->flags & TWIN_CONNECTED) && how == PDN_INDICATE_ERROR) {
        failure_tell(core, call, "PDN_CONNECTION_NOT_ESTABLISHED", "the device has no connection", 0);
        return false;
    }
    const dro_field *latency = nidd_field(fields, length, API_FIELD_MAXIMUM_LATENCY, &room);
    dro_err ignored = DRO_OK;
    bool is_asleep = !(twin->flags & TWIN_CONNECTED) || twin->flags & TWIN_BLOCKED;
    if (is_asleep && latency != NULL && dro_field_u64(latency, &ignored) == 0) {
        failure_tell(core, call, "FAILURE_TEMPORARILY_NOT_REACHABLE", "the device cannot be reached now", twin->retry_ms);
        return false;
    }
    const dro_field *data = nidd_field(fields, length, API_FIELD_DATA, &room);
    if (is_asleep && data->length > core->options.downlink.size) {
        failure_tell(core, call, "FAILURE_TEMPORARILY_NOT_REACHABLE",
                     "the device cannot be reached now, and a downlink as large as this does not wait", twin->retry_ms);
        return false;
    }
    return true;
}

/* What it asks of the reliable data service, against its configuration's members. False after a problem. */
static bool reliable_is_good(core *core, const call *call, const uint8_t *fields, size_t length, const uint8_t *of, size_t of_length, uint32_t index)
{
    dro_field room;
    bool is_reliable = core->options.reliable_data && rds_is_wanted(of, of_length, false);
    bool has_port = nidd_field(fields, length, API_FIELD_RDS_PORT, &room) != NULL;
    const dro_field *data = nidd_field(fields, length, API_FIELD_DATA, &room);
    rds_pair pair = rds_pair_of(fields, length, of, of_length);
    if (rds_is_wanted(fields, length, false) && !is_reliable)
        failure_tell(core, call, "FAILURE_RDS_DISABLED", core->options.reliable_data ? "the configuration was made without reliableDataService"
                     : "the reliable data service is not enabled (t8.reliable_data_service)", 0);
    else if (is_reliable && data != NULL && data->length > RDS_N201)
        tell_cause(core, call->caller, 403, "DATA_TOO_LARGE", "at most %d bytes go to a device at once in a frame", RDS_N201);
    else if (is_reliable && has_port && !rds_has_pair(of, of_length, &pair) && !rds_manages(twin_at(core, index), call->configuration, &pair))
        tell_cause(core, call->caller, 403, "RDS_PORT_UNKNOWN", "the configuration has no ports ue%u-ef%u", pair.device, pair.own);
    else
        return true;
    return false;
}

/* False after a problem. */
static bool delivery_is_good(core *core, const call *call, uint32_t index, const nidd_configuration *configuration,
                             const uint8_t *fields, size_t length)
{
    return data_is_good(core, call, fields, length) &&
           reliable_is_good(core, call, fields, length, configuration->fields, configuration->length, index) &&
           delivery_is_possible(core, call, index, configuration->pdn_establishment_option, fields, length);
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
    *made = (nidd_request){ .configuration = configuration->number, .application = configuration->application, .number = number, .is_new = number == 0,
                            .expires_ms = core->now_ms + kept_s * 1000, .length = (uint16_t)length };
    made->priority = wanted > INT32_MAX ? INT32_MAX : wanted < INT32_MIN ? INT32_MIN : (int32_t)wanted;
    memcpy(made->fields, members->start, length);
    return made;
}

/* The twin sees the downlink first: it may shape or refuse it. False after a problem. */
static bool delivery_turn(core *core, const call *call, uint32_t index, nidd_request *request)
{
    dro_field room;
    if (request != NULL && request->is_new)
        request->number = nidd_number_next(core, twin_at(core, index)); /* its twin is told it */
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
        return false;
    }
    turn->nidd = request;
    turn->caller = call->caller;
    if (request->is_new) {
        turn->application = request->application;
        usage_downlinks(core, turn->application, 1);
    }
    turn_send(core, turn);
    return true;
}

/* Whose downlinks a device takes: the oldest configuration's that is in force. */
static bool is_downlink_owner(const twin *twin, uint32_t application)
{
    const nidd *nidd = twin->nidd;
    const nidd_configuration *oldest = nidd == NULL ? NULL : nidd->configurations;
    while (oldest != NULL && oldest->status != NIDD_ACTIVE)
        oldest = oldest->next;
    return oldest == NULL || oldest->application == application;
}

/* The oldest that has ended, in memory; NULL: none. */
static const nidd_delivery *ended_oldest(const twin *twin)
{
    const nidd_delivery *d = twin->nidd->deliveries;
    while (d != NULL && !nidd_delivery_has_ended((nidd_delivery_status)d->status))
        d = d->next;
    return d;
}

/* Of one more delivery with so many bytes of members: more than a device's queue may have, unless ended ones go? */
static bool is_crowded(const core *core, const twin *twin, size_t length)
{
    const downlink_limits *limits = &core->options.downlink;
    return queue_wanted_bytes(twin) + sizeof(nidd_delivery) + sizeof(mail) + length > limits->bytes ||
           queue_delivery_count(twin) >= limits->packets + TWIN_DELIVERIES_ENDED_MAX;
}

static bool has_room(const core *core, const twin *twin, size_t length)
{
    const downlink_limits *limits = &core->options.downlink;
    return queue_wanted_count(twin) < limits->packets && queue_wanted_bytes(twin) - nidd_ended_bytes(twin) + sizeof(nidd_delivery) + sizeof(mail) + length <= limits->bytes;
}

/* Too much waits for this device. Said to the caller. */
static void tell_full(core *core, const call *call, uint32_t index)
{
    const downlink_limits *limits = &core->options.downlink;
    core->counters.refused++;
    tell_cause(core, call->caller, 403, "QUOTA_EXCEEDED", "%u downlinks with %u bytes wait for the device; at most %u and %u do",
               queue_wanted_count(twin_at(core, index)), queue_wanted_bytes(twin_at(core, index)), limits->packets, limits->bytes);
}

/* May the application give this device one more now? False after a problem. */
static bool delivery_is_allowed(core *core, const call *call, const application *owner, uint32_t index, uint8_t option,
                                const uint8_t *fields, size_t length)
{
    const twin *twin = twin_at(core, index);
    if (!is_downlink_owner(twin, owner->number))
        tell_cause(core, call->caller, 403, "OPERATION_NOT_ALLOWED", "another application owns this device's downlinks");
    else if (queues_are_full(core))
        tell_problem(core, call->caller, 503, "about:blank", "too much waits for all devices; try again");
    else if (!data_is_good(core, call, fields, length) || !delivery_is_possible(core, call, index, option, fields, length))
        return false;
    else if (!has_room(core, twin, length))
        tell_full(core, call, index);
    else
        return !nidd_quota_is_reached(core, call, owner, LIMIT_DOWNLINKS, 1);
    return false;
}

void api_nidd_delivery_make(core *core, const call *call)
{
    uint32_t index;
    uint8_t fields[NIDD_FIELDS_MAX];
    const nidd_configuration *configuration = nidd_configuration_called(core, call, &index);
    if (configuration == NULL || call_deferred(core, call, index))
        return;
    dro_builder members = dro_builder_over(fields, sizeof fields);
    nidd_members_of(call, &members, true);
    if (is_crowded(core, twin_at(core, index), dro_builder_length(&members)) && nidd_call_queued(core, call, index))
        return; /* ended ones may have to go */
    if (members.err != DRO_OK) {
        tell_problem(core, call->caller, 413, "about:blank", "the delivery is too large");
        return;
    }
    const application *owner = application_at(core, configuration->application);
    if (!nidd_twin_is_named(core, call, call->fields, call->fields_length, owner, index))
        return;
    if (configuration->status != NIDD_ACTIVE) {
        tell_problem(core, call->caller, 403, "about:blank", "the configuration is %s", nidd_status_text((nidd_status)configuration->status));
        return;
    }
    if (!reliable_is_good(core, call, fields, dro_builder_length(&members), configuration->fields, configuration->length, index) ||
        !delivery_is_allowed(core, call, owner, index, configuration->pdn_establishment_option, fields, dro_builder_length(&members)))
        return;
    (void)delivery_turn(core, call, index, request_new(core, configuration, 0, &members)); /* it says so if it cannot */
}

/* ---- the one inside a new configuration ---- */

bool nidd_first_is_good(core *core, const call *call, const application *owner, uint32_t index)
{
    dro_field room;
    const dro_field *first = nidd_field(call->fields, call->fields_length, API_FIELD_FIRST_DELIVERY, &room);
    return first == NULL || (data_is_good(core, call, first->bytes, first->length) &&
                             reliable_is_good(core, call, first->bytes, first->length, call->fields, call->fields_length, index) &&
                             nidd_twin_is_named(core, call, first->bytes, first->length, owner, index));
}

bool nidd_first_is_allowed(core *core, const call *call, const application *owner, uint32_t index)
{
    dro_field room, of;
    const dro_field *first = nidd_field(call->fields, call->fields_length, API_FIELD_FIRST_DELIVERY, &room);
    const dro_field *option = nidd_field(call->fields, call->fields_length, API_FIELD_PDN_OPTION, &of);
    if (first == NULL)
        return true;
    if (is_crowded(core, twin_at(core, index), first->length) && nidd_call_queued(core, call, index))
        return false; /* ended ones may have to go */
    return delivery_is_allowed(core, call, owner, index, option != NULL && option->length == 1 ? option->bytes[0] : PDN_WAIT_FOR_UE,
                               first->bytes, first->length);
}

/* Neither is made without the other: whoever asked tries again, and shall not have two configurations then. */
static void configuration_undo(core *core, uint32_t index, uint64_t number)
{
    record_begin(core, index, RECORD_DELTA);
    nidd_configuration_gone(core, index, number);
    record_end(core);
    nidd_trim(twin_at(core, index));
    twin_extra_trim(twin_at(core, index));
}

void nidd_first_delivery(core *core, const call *call, uint32_t index, const nidd_configuration *configuration)
{
    uint8_t fields[NIDD_FIELDS_MAX];
    dro_field room;
    const dro_field *first = nidd_field(call->fields, call->fields_length, API_FIELD_FIRST_DELIVERY, &room);
    dro_builder members = dro_builder_over(fields, sizeof fields);
    uint64_t number = configuration->number;
    if (first == NULL) {
        nidd_configuration_reply(core, call->caller, 201, index, configuration);
        return;
    }
    dro_builder_bytes(&members, first->bytes, first->length);
    nidd_request *request = request_new(core, configuration, 0, &members);
    if (request != NULL)
        request->is_first = true;
    if (!delivery_turn(core, call, index, request))
        configuration_undo(core, index, number);
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
    const nidd_configuration *configuration = nidd_configuration_called(core, call, &index);
    if (configuration == NULL || call_deferred(core, call, index) || nidd_call_queued(core, call, index))
        return;
    const nidd_delivery *old = delivery_find(core, call, index, configuration);
    if (old == NULL || !delivery_is_waiting(core, call, index, old))
        return;
    const application *owner = application_at(core, configuration->application);
    if (call->operation == API_NIDD_DELIVERY_PUT && !nidd_twin_is_named(core, call, call->fields, call->fields_length, owner, index))
        return;
    dro_builder members = dro_builder_over(fields, sizeof fields);
    if (call->operation == API_NIDD_DELIVERY_PATCH)
        nidd_patched(old->fields, old->length, call, &members);
    else
        nidd_members_of(call, &members, true);
    if (members.err != DRO_OK || dro_builder_length(&members) > NIDD_FIELDS_MAX)
        tell_problem(core, call->caller, 413, "about:blank", "the delivery is too large");
    else if (delivery_is_good(core, call, index, configuration, fields, dro_builder_length(&members)))
        (void)delivery_turn(core, call, index, request_new(core, configuration, old->number, &members));
}

void api_nidd_delivery_get(core *core, const call *call)
{
    uint32_t index;
    const nidd_configuration *configuration = nidd_configuration_called(core, call, &index);
    if (configuration != NULL && nidd_call_queued(core, call, index))
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
    const nidd_configuration *configuration = nidd_configuration_called(core, call, &index);
    if (configuration == NULL || nidd_call_queued(core, call, index))
        return;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    dro_builder_text(&out, "[");
    nidd_deliveries_put(core, twin_at(core, index), configuration, true, &out);
    dro_builder_text(&out, "]");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

void api_nidd_delivery_delete(core *core, const call *call)
{
    uint32_t index;
    const nidd_configuration *configuration = nidd_configuration_called(core, call, &index);
    if (configuration == NULL || call_deferred(core, call, index) || nidd_call_queued(core, call, index))
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

/* The device is to be woken: of the downlink itself, or of its configuration. */
static bool wants_trigger(core *core, const nidd_request *request)
{
    dro_field room;
    uint32_t ignored;
    const nidd_configuration *configuration = nidd_configuration_find(core, request->configuration, &ignored);
    const dro_field *own = nidd_field(request->fields, request->length, API_FIELD_PDN_OPTION, &room);
    uint8_t option = own != NULL && own->length == 1 ? own->bytes[0] : configuration != NULL ? configuration->pdn_establishment_option : PDN_WAIT_FOR_UE;
    return option == PDN_SEND_TRIGGER;
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
    if (!(twin->flags & TWIN_CONNECTED) && wants_trigger(core, request)) {
        trigger_for_downlink(core, turn->twin, request->expires_ms);
        delivery.status = trigger_is_out(twin) ? DELIVERY_TRIGGERED : delivery.status;
    }
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
        nidd_configuration_reply(core, turn->caller, 201, index, made);
        return;
    }
    const twin *twin = twin_at(core, turn->twin);
    nidd_delivery_status now = delivery == NULL ? DELIVERY_FAILURE : nidd_delivery_now(twin, delivery);
    bool is_out = now == DELIVERY_SENDING || (!nidd_delivery_has_ended(now) && rds_holds(twin));
    if (is_out && turn->caller.gate != NONE && core->waiter_count + core->met_count < WAITERS_MAX)
        waiter_add_delivery(core, turn->twin, turn->ticket, core->now_ns + DELIVERY_WAIT_MS * 1000000ll, turn->caller);
    else
        nidd_delivery_answer(core, turn->caller, turn->twin, turn->ticket);
}

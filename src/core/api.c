/* API requests: taken apart, checked against the caller's domains, given to the
 * one who answers. */
#include "core/api.h"

#include <stdlib.h>
#include <string.h>

#include "core/audit.h"
#include "core/call.h"
#include "core/coverage.h"
#include "core/groups.h"
#include "core/host.h"
#include "core/host_tables.h"
#include "core/number.h"
#include "core/patterns.h"
#include "core/render.h"
#include "core/state.h"
#include "core/stops.h"
#include "core/tell.h"
#include "core/timeline.h"
#include "core/trace.h"
#include "core/turn.h"
#include "core/twin_table.h"

static text text_of(const dro_field *field)
{
    return (text){ (const char *)field->bytes, field->length };
}

/* The name of a twin. No gate lets one with a NUL through: it would be found by one half of the core and not by the other. */
static text id_of(const dro_field *field, dro_err *err)
{
    if (field->length > 0 && memchr(field->bytes, '\0', field->length) != NULL)
        *err = DRO_MALFORMED;
    return text_of(field);
}

static void read_field(call *call, const dro_field *field, dro_err *err)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    switch (field->tag) {
    case API_FIELD_ID: call->id = id_of(field, err); break;
    case API_FIELD_NAME: call->name = text_of(field); break;
    case API_FIELD_MODEL: call->model = text_of(field); break;
    case API_FIELD_TAG: call->tag = text_of(field); break;
    case API_FIELD_CURSOR: call->cursor = text_of(field); break;
    case API_FIELD_APPLICATION: call->application_id = text_of(field); break;
    case API_FIELD_TOKEN: call->token = text_of(field); break;
    case API_FIELD_IMAGE: call->image = field->length == 32 ? field->bytes : NULL; break;
    case API_FIELD_IDEMPOTENCY: call->idempotency = field->length == 64 ? field->bytes : NULL; break;
    case API_FIELD_VALUE:
        call->value = value_read(&in);
        call->has_value = in.err == DRO_OK;
        break;
    case API_FIELD_IF_MATCH:
        if (call->if_match_count < IF_MATCH_MAX)
            call->if_match[call->if_match_count++] = dro_field_u64(field, err);
        break;
    case API_FIELD_IF_NONE_MATCH: call->if_none_match = true; break;
    case API_FIELD_LIMIT:
        call->limit = dro_field_u64(field, err);
        call->has_limit = true;
        break;
    case API_FIELD_WAIT: call->wait = (ticket_state)dro_field_u64(field, err); break;
    case API_FIELD_TIMEOUT: call->timeout_ms = dro_field_u64(field, err); break;
    case API_FIELD_TICKET: call->ticket = dro_field_u64(field, err); break;
    case API_FIELD_SCOPES: call->new_scopes = dro_field_u64(field, err); break;
    case API_FIELD_BODY:
        call->body = field->bytes;
        call->body_length = field->length;
        break;
    case API_FIELD_LAST: call->is_last = true; break;
    case API_FIELD_GROUP: call->group = id_of(field, err); break;
    case API_FIELD_STATUS:
        call->shown = field->length == 1 ? field->bytes[0] : 0;
        call->has_shown = true;
        break;
    case API_FIELD_SCS_AS: call->scs_as = text_of(field); break;
    case API_FIELD_CONFIGURATION: call->configuration = dro_field_u64(field, err); break;
    case API_FIELD_DELIVERY: call->delivery = dro_field_u64(field, err); break;
    case API_FIELD_RESOURCE:
        call->resource = field->bytes;
        call->resource_length = field->length;
        break;
    case API_FIELD_EXPOSURE: call->exposure = (uint32_t)dro_field_u64(field, err); break;
    case API_FIELD_NETWORK: call->with_network = true; break;
    case API_FIELD_HISTORY_DROPS: call->drops_history = true; break;
    case API_FIELD_DOMAIN: call->domain = text_of(field); break;
    case API_FIELD_PEER: call->peer = text_of(field); break;
    case API_FIELD_SECONDS: call->seconds = dro_field_u64(field, err); break;
    case API_FIELD_TRACE: call->trace = dro_field_u64(field, err); break;
    case API_FIELD_AFTER: call->after = dro_field_u64(field, err); break;
    default: break; /* those that repeat are read where they are used */
    }
}

dro_err call_read(call *call, uint32_t gate, const ring_header *header, const uint8_t *body)
{
    api_request request;
    size_t length = header->length - sizeof *header;
    *call = (struct call){ .caller = { gate, header->id }, .gate = gate, .header = header, .message = body };
    if (length < sizeof request)
        return DRO_TRUNCATED;
    memcpy(&request, body, sizeof request);
    call->operation = request.operation;
    call->application = request.application;
    call->scopes = request.scopes;
    call->fields = body + sizeof request;
    call->fields_length = length - sizeof request;
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    dro_field field;
    dro_err err = DRO_OK;
    /* Tag 0 is the padding behind the last field. */
    while (err == DRO_OK && dro_cursor_left(&in) > 0 && *in.at != 0 && dro_field_next(&in, &field))
        read_field(call, &field, &err);
    call->fields_length = (size_t)(in.at - call->fields);
    return err == DRO_OK ? in.err : err;
}

dro_err call_of_fields(call *call, const uint8_t *fields, size_t length)
{
    *call = (struct call){ .caller = { NONE, 0 }, .gate = NONE, .fields = fields, .fields_length = length };
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    dro_err err = DRO_OK;
    while (err == DRO_OK && dro_field_next(&in, &field))
        read_field(call, &field, &err);
    return err == DRO_OK ? in.err : err;
}

uint32_t call_twin(core *core, const call *call)
{
    uint32_t index = call->id.at == NULL ? NONE : twin_find(core, call->id.at, call->id.length);
    if (index != NONE && (twin_at(core, index)->row == NONE || application_sees(core, call->application, call->scopes, twin_at(core, index)->domain)))
        return index;
    tell_problem(core, call->caller, 404, "about:blank", "no twin is called %.*s", (int)call->id.length, call->id.at != NULL ? call->id.at : "");
    return NONE;
}

bool call_deferred(core *core, const call *call, uint32_t index)
{
    if (!(twin_at(core, index)->flags & TWIN_RUNNING))
        return false;
    if (twin_defer(core, index, call->gate, call->header, call->message) != DRO_OK)
        tell_problem(core, call->caller, 503, "about:blank", "too many requests wait for this twin");
    return true;
}

bool call_precondition(core *core, const call *call, const twin *twin)
{
    if (call->if_none_match) {
        tell_problem(core, call->caller, 412, "about:blank", "the twin is there already");
        return false;
    }
    bool is_met = call->if_match_count == 0;
    for (uint32_t i = 0; i < call->if_match_count; i++)
        is_met |= call->if_match[i] == UINT64_MAX || call->if_match[i] == twin->revision;
    if (is_met)
        return true;
    tell_problem(core, call->caller, 412, "about:blank", "the twin's revision is %llu", (unsigned long long)twin->revision);
    return false;
}

bool call_nulls(const call *call, const char *member)
{
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    dro_field field;
    while (dro_field_next(&in, &field))
        if (field.tag == API_FIELD_NULLED && field.length == strlen(member) && memcmp(field.bytes, member, field.length) == 0)
            return true;
    return false;
}

void call_reply(core *core, const call *call, uint16_t status, uint64_t etag, const char *location, const dro_builder *body)
{
    if (body != NULL && body->err != DRO_OK) {
        tell_problem(core, call->caller, 507, "about:blank", "the answer is larger than %d bytes; ask for less", SCRATCH_BYTES);
        return;
    }
    reply reply = { .status = status, .content = body == NULL ? CONTENT_NONE : CONTENT_JSON, .etag = etag, .location = location };
    tell_reply(core, call->caller, &reply, body == NULL ? NULL : body->start, body == NULL ? 0 : dro_builder_length(body));
}

void call_key_reused(core *core, const call *call)
{
    tell_problem(core, call->caller, 422, "idempotency_key_reused", "this Idempotency-Key was used with another body");
}

bool call_idempotent(core *core, const call *call)
{
    const idempotent *known = call->idempotency == NULL ? NULL : idempotent_find(core, call->idempotency);
    if (known == NULL)
        return true;
    if (memcmp(known->body, call->idempotency + 32, 32) != 0) {
        call_key_reused(core, call);
        return false;
    }
    uint32_t index = call->operation == API_TWIN_PUT ? twin_find(core, call->id.at, call->id.length) : NONE;
    if (index != NONE && known->length == 0) { /* a twin is not kept twice: it is shown as it is now */
        api_put_answer(core, call->caller, index, known->status == 201);
        return false;
    }
    reply reply = { .status = known->status, .content = known->length > 0 ? CONTENT_JSON : CONTENT_NONE, .etag = UINT64_MAX };
    tell_reply(core, call->caller, &reply, known->answer, known->length);
    return false;
}

static void property_list(core *core, const call *call)
{
    uint32_t index = call_twin(core, call);
    if (index == NONE || call_deferred_new(core, call, index))
        return;
    const twin *twin = twin_at(core, index);
    const model *model = twin_model(core, twin);
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    dro_builder_text(&out, "{");
    for (uint32_t i = 0, shown = 0; i < model->property_count; i++) {
        if (model->properties[i].is_private)
            continue;
        dro_builder_text(&out, shown++ > 0 ? "," : "");
        json_string(&out, model->properties[i].name);
        dro_builder_text(&out, ":");
        render_property(core, twin, i, &out);
    }
    dro_builder_text(&out, "}");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

bool call_deferred_new(core *core, const call *call, uint32_t index)
{
    return twin_at(core, index)->row == NONE && call_deferred(core, call, index);
}

int call_property(core *core, const call *call, uint32_t index)
{
    const model *model = twin_model(core, twin_at(core, index));
    int property = model_property_find(model, call->name.at, call->name.length);
    if (property >= 0 && !model->properties[property].is_private)
        return property;
    tell_problem(core, call->caller, 404, "about:blank", "%s has no property %.*s", model->name, (int)call->name.length, call->name.at);
    return -1;
}

static void property_get(core *core, const call *call)
{
    uint32_t index = call_twin(core, call);
    if (index == NONE || call_deferred_new(core, call, index))
        return;
    int property = call_property(core, call, index);
    if (property < 0)
        return;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    render_property(core, twin_at(core, index), (uint32_t)property, &out);
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

static uint32_t limited(const call *call, uint32_t usual, uint32_t most)
{
    if (!call->has_limit || call->limit == 0)
        return usual;
    return call->limit > most ? most : (uint32_t)call->limit;
}

static void timeline(core *core, const call *call)
{
    uint32_t index = call_twin(core, call);
    if (index == NONE || call_deferred_new(core, call, index))
        return;
    size_t length = timeline_json(core, index, limited(call, TIMELINE_LIMIT, TIMELINE_LIMIT_MAX), call->with_network, (char *)core->scratch, SCRATCH_BYTES);
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    out.at += length;
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

static void history(core *core, const call *call)
{
    uint32_t index = call_twin(core, call);
    if (index == NONE || call_deferred_new(core, call, index))
        return;
    int property = call_property(core, call, index);
    if (property < 0)
        return;
    size_t length = history_json(core, index, (uint32_t)property, limited(call, HISTORY_LIMIT, HISTORY_LIMIT_MAX), (char *)core->scratch, SCRATCH_BYTES);
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    out.at += length;
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

static void thing_description(core *core, const call *call)
{
    uint32_t index = call_twin(core, call);
    if (index == NONE || call_deferred_new(core, call, index))
        return;
    static const char plain[] = "{\"@context\":\"https://www.w3.org/2022/wot/td/v1.1\",\"@type\":\"tm:ThingModel\","
                                "\"title\":\"A device as it is\",\"dromio:model\":\"" PLAIN_MODEL "\",\"version\":{\"model\":\"1.0.0\"},"
                                "\"events\":{\"data\":{\"title\":\"What the device sent\",\"data\":{\"type\":\"string\",\"contentEncoding\":\"base64\"}}}}";
    const twin *twin = twin_at(core, index);
    const image *image = twin->image == NONE ? NULL : &core->images[twin->image];
    size_t length;
    const char *id = twin_id(core, twin, &length);
    char location[300];
    memcpy(location, id, length);
    location[length] = '\0';
    reply reply = { .status = 200, .content = CONTENT_THING_MODEL, .etag = UINT64_MAX, .location = location };
    tell_reply(core, call->caller, &reply, image != NULL ? image->model_json : plain, image != NULL ? image->model_json_length : sizeof plain - 1);
}

static void barrier(core *core, const call *call)
{
    call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
}

static void (*const operations[])(core *core, const call *call) = {
    [API_IMAGE_PUT] = api_image_put,
    [API_IMAGE_LIST] = api_image_list,
    [API_IMAGE_GET] = api_image_get,
    [API_TWIN_PUT] = api_twin_put,
    [API_TWIN_GET] = api_twin_get,
    [API_TWIN_DELETE] = api_twin_delete,
    [API_TWIN_LIST] = api_twin_list,
    [API_PROPERTY_LIST] = property_list,
    [API_PROPERTY_GET] = property_get,
    [API_PROPERTY_PUT] = api_property_put,
    [API_ACTION] = api_action,
    [API_TICKET_LIST] = api_ticket_list,
    [API_TICKET_GET] = api_ticket_get,
    [API_TIMELINE] = timeline,
    [API_HISTORY] = history,
    [API_THING_DESCRIPTION] = thing_description,
    [API_APPLICATION_PUT] = api_application_put,
    [API_APPLICATION_LIST] = api_application_list,
    [API_APPLICATION_GET] = api_application_get,
    [API_APPLICATION_PATCH] = api_application_patch,
    [API_APPLICATION_DELETE] = api_application_delete,
    [API_APPLICATION_TOKEN] = api_application_token,
    [API_LOGIN] = api_login,
    [API_SESSION] = api_session,
    [API_DEAD_LETTERS] = api_dead_letters,
    [API_STATUS] = api_status,
    [API_PEERS] = api_peers,
    [API_METRICS] = api_metrics,
    [API_CAPIF_STATUS] = api_capif_status,
    [API_CAPIF_REVOKE] = api_capif_revoke,
    [API_INVOKER_SECURITY_REVOKE] = api_capif_revoke,
    [API_INVOKER_MAKE] = api_invoker_make,
    [API_INVOKER_PUT] = api_invoker_change,
    [API_INVOKER_PATCH] = api_invoker_change,
    [API_INVOKER_DELETE] = api_invoker_delete,
    [API_INVOKER_SECURITY_GET] = api_invoker_security_get,
    [API_INVOKER_SECURITY_PUT] = api_invoker_security_put,
    [API_INVOKER_SECURITY_UPDATE] = api_invoker_security_put,
    [API_INVOKER_SECURITY_DELETE] = api_invoker_security_delete,
    [API_BARRIER] = barrier,
    [API_BACKUP] = api_backup,
    [API_ACCESS_TOKEN] = api_access_token,
    [API_NIDD_CONFIGURATION_LIST] = api_nidd_configuration_list,
    [API_NIDD_CONFIGURATION_MAKE] = api_nidd_configuration_make,
    [API_NIDD_CONFIGURATION_GET] = api_nidd_configuration_get,
    [API_NIDD_CONFIGURATION_PATCH] = api_nidd_configuration_patch,
    [API_NIDD_CONFIGURATION_DELETE] = api_nidd_configuration_delete,
    [API_NIDD_DELIVERY_LIST] = api_nidd_delivery_list,
    [API_NIDD_DELIVERY_MAKE] = api_nidd_delivery_make,
    [API_NIDD_DELIVERY_GET] = api_nidd_delivery_get,
    [API_NIDD_DELIVERY_PUT] = api_nidd_delivery_change,
    [API_NIDD_DELIVERY_PATCH] = api_nidd_delivery_change,
    [API_NIDD_DELIVERY_DELETE] = api_nidd_delivery_delete,
    [API_GROUP_LIST] = api_group_list,
    [API_GROUP_PUT] = api_group_put,
    [API_GROUP_GET] = api_group_get,
    [API_GROUP_DELETE] = api_group_delete,
    [API_GROUP_MEMBER_LIST] = api_group_member_list,
    [API_GROUP_MEMBER_PUT] = api_group_member_put,
    [API_GROUP_MEMBER_DELETE] = api_group_member_delete,
    [API_GROUP_PROPERTY_PUT] = api_group_property_put,
    [API_GROUP_ACTION] = api_group_action,
    [API_GROUP_TICKET_LIST] = api_group_ticket_list,
    [API_GROUP_TICKET_GET] = api_group_ticket_get,
    [API_GROUP_TICKET_DELETE] = api_group_ticket_delete,
    [API_GROUP_TICKET_MEMBERS] = api_group_ticket_members,
    [API_NIDD_WEBSOCKET] = api_nidd_websocket,
    [API_NIDD_PORT_LIST] = api_nidd_port_list,
    [API_NIDD_PORT_GET] = api_nidd_port_get,
    [API_NIDD_PORT_PUT] = api_nidd_port_put,
    [API_NIDD_PORT_DELETE] = api_nidd_port_delete,
    [API_CHARGING_GET] = api_charging_get,
    [API_AUDIT_LIST] = api_audit_list,
    [API_AUDIT_HEAD] = api_audit_head,
    [API_TWIN_EXPOSURES] = api_twin_exposures,
    [API_EXPOSURE_LIST] = api_exposure_list,
    [API_EXPOSURE_MAKE] = api_exposure_make,
    [API_EXPOSURE_GET] = api_exposure_get,
    [API_EXPOSURE_PUT] = api_exposure_put,
    [API_EXPOSURE_PATCH] = api_exposure_patch,
    [API_EXPOSURE_DELETE] = api_exposure_delete,
    [API_EXPOSURE_WEBSOCKET] = api_exposure_websocket,
    [API_COVERAGE_QUERY] = api_coverage,
    [API_COVERAGE_CONFIGURE] = api_coverage,
    [API_PATTERN_GET] = api_pattern_get,
    [API_PATTERN_PUT] = api_pattern_put,
    [API_PATTERN_DELETE] = api_pattern_delete,
    [API_TRACE_MAKE] = api_trace_make,
    [API_TRACE_GET] = api_trace_get,
    [API_TRACE_DELETE] = api_trace_delete,
    [API_IMAGE_PATCH] = api_image_patch,
    [API_DOMAIN_LIST] = api_domain_list,
    [API_DOMAIN_GET] = api_domain_get,
    [API_DOMAIN_ROTATE] = api_domain_rotate,
    [API_DOMAIN_DELETE] = api_domain_delete,
    [API_REKEY] = api_rekey,
    [API_STOP_LIST] = api_stop_list,
    [API_STOP_PUT] = api_stop_put,
    [API_STOP_DELETE] = api_stop_delete,
    [API_PENALTY_DELETE] = api_penalty_delete,
};

/* The same paths, where they name a configuration of a group. */
static void (*const of_groups[])(core *core, const call *call) = {
    [API_NIDD_CONFIGURATION_MAKE] = api_group_configuration_make,
    [API_NIDD_CONFIGURATION_GET] = api_group_configuration_get,
    [API_NIDD_CONFIGURATION_PATCH] = api_group_configuration_patch,
    [API_NIDD_CONFIGURATION_DELETE] = api_group_configuration_delete,
    [API_NIDD_WEBSOCKET] = api_group_websocket,
    [API_NIDD_DELIVERY_LIST] = api_group_delivery_list,
    [API_NIDD_DELIVERY_MAKE] = api_group_delivery_make,
    [API_NIDD_DELIVERY_GET] = api_group_delivery_get,
    [API_NIDD_DELIVERY_PUT] = api_group_delivery_change,
    [API_NIDD_DELIVERY_PATCH] = api_group_delivery_change,
    [API_NIDD_DELIVERY_DELETE] = api_group_delivery_delete,
};

static bool is_of_group(const call *call)
{
    if (call->operation >= sizeof of_groups / sizeof of_groups[0] || of_groups[call->operation] == NULL)
        return false;
    return call->operation == API_NIDD_CONFIGURATION_MAKE ? call->group.at != NULL : group_number_is(call->configuration);
}

static bool changes_something(uint32_t operation)
{
    return operation == API_IMAGE_PUT || operation == API_TWIN_PUT || operation == API_TWIN_DELETE ||
           operation == API_PROPERTY_PUT || operation == API_ACTION || operation == API_APPLICATION_PUT ||
           operation == API_APPLICATION_DELETE || operation == API_APPLICATION_TOKEN || operation == API_APPLICATION_PATCH ||
           operation == API_NIDD_CONFIGURATION_MAKE || operation == API_NIDD_CONFIGURATION_PATCH ||
           operation == API_NIDD_CONFIGURATION_DELETE || operation == API_NIDD_DELIVERY_MAKE ||
           operation == API_NIDD_DELIVERY_PUT || operation == API_NIDD_DELIVERY_PATCH || operation == API_NIDD_DELIVERY_DELETE ||
           operation == API_EXPOSURE_MAKE || operation == API_EXPOSURE_PUT || operation == API_EXPOSURE_PATCH ||
           operation == API_EXPOSURE_DELETE || operation == API_PATTERN_PUT || operation == API_PATTERN_DELETE || operation == API_NIDD_PORT_PUT || operation == API_NIDD_PORT_DELETE ||
           operation == API_GROUP_PUT || operation == API_GROUP_DELETE || operation == API_GROUP_MEMBER_PUT || operation == API_GROUP_MEMBER_DELETE ||
           operation == API_GROUP_PROPERTY_PUT || operation == API_GROUP_ACTION || operation == API_GROUP_TICKET_DELETE || operation == API_CAPIF_REVOKE ||
           operation == API_STOP_PUT || operation == API_IMAGE_PATCH || operation == API_STOP_DELETE || operation == API_PENALTY_DELETE ||
           (operation >= API_INVOKER_MAKE && operation <= API_INVOKER_DELETE) ||
           (operation >= API_INVOKER_SECURITY_PUT && operation <= API_INVOKER_SECURITY_REVOKE) ||
           (operation >= API_DOMAIN_ROTATE && operation <= API_REKEY);
}

/* Answered though the log is broken: from the host's own tables and counters, or what is durable. */
static bool shows_no_twin(uint32_t operation)
{
    return operation == API_DOMAIN_LIST || operation == API_DOMAIN_GET || operation == API_CAPIF_STATUS || operation == API_STOP_LIST || operation == API_INVOKER_SECURITY_GET || operation == API_IMAGE_LIST || operation == API_IMAGE_GET || operation == API_APPLICATION_LIST ||
           operation == API_APPLICATION_GET || operation == API_LOGIN || operation == API_SESSION || operation == API_STATUS ||
           operation == API_PEERS || operation == API_METRICS || operation == API_BACKUP ||
           operation == API_ACCESS_TOKEN || operation == API_CHARGING_GET || operation == API_AUDIT_LIST || operation == API_AUDIT_HEAD || operation == API_TRACE_MAKE ||
           operation == API_TRACE_GET || operation == API_TRACE_DELETE;
}

/* Of a domain that is stopped; a problem of its own where the caller may not see the twin. */
static bool is_held(core *core, const call *call)
{
    if (!core->stops.has_any || call->id.at == NULL || (call->scopes & SCOPE_ADMIN) != 0)
        return false;
    uint32_t index = twin_find(core, call->id.at, call->id.length);
    return index != NONE && stop_holds_twin(core, index) && application_sees(core, call->application, call->scopes, twin_at(core, index)->domain);
}

void api_request_take(core *core, uint32_t gate, const ring_header *header, const uint8_t *body)
{
    call call;
    dro_err err = call_read(&call, gate, header, body);
    if (err != DRO_OK || call.operation >= sizeof operations / sizeof operations[0] || operations[call.operation] == NULL) {
        tell_problem(core, call.caller, 500, "about:blank", "the gate sent a request the core cannot read");
        return;
    }
    bool is_change = changes_something(call.operation);
    if (core->trace_count > 0)
        trace_call(core, &call);
    /* On a full disk reads go on; they may show what still waits for space. */
    core->is_reply_free = shows_no_twin(call.operation) || (core->is_full && !is_change);
    const char *refusal = is_change || (core_failed(core) && !core->is_reply_free) ? core_refusal(core) : NULL;
    if (refusal != NULL) {
        tell_problem(core, call.caller, 503, core_failed(core) ? "storage_failed" : "about:blank", "%s", refusal);
        core->is_reply_free = false;
        return;
    }
    if (!audit_begin(core, &call)) {
        tell_problem(core, call.caller, 503, "about:blank", "too many requests are under way");
        core->is_reply_free = false;
        return;
    }
    if (is_change && is_held(core, &call)) {
        tell_later(core, call.caller, 503, "stopped", STOP_RETRY_S, "an operator has stopped the domain");
        return;
    }
    (is_of_group(&call) ? of_groups : operations)[call.operation](core, &call);
    core->is_reply_free = false;
    audit_pause(core);
}

/* Ports of the reliable data service as T8 manages them (TS 29.122, .../rds-ports): rds_ports.c keeps them. */
#include <string.h>

#include "base/fields.h"
#include "core/api_nidd.h"
#include "core/mailbox.h"
#include "core/rds_ports.h"
#include "core/record.h"
#include "core/render.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/timers.h"
#include "core/twin_table.h"

static void formats_put(dro_builder *out, const char *name, uint8_t formats, bool is_list)
{
    static const struct { uint8_t bit; const char *text; } known[] = { { RDS_CBOR, "CBOR" }, { RDS_JSON, "JSON" }, { RDS_XML, "XML" } };
    const char *comma = "";
    if (formats == 0)
        return;
    json_put(out, ",\"%s\":%s", name, is_list ? "[" : "");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if ((formats & known[i].bit) == 0)
            continue;
        json_put(out, "%s\"%s\"", comma, known[i].text);
        comma = ",";
    }
    dro_builder_text(out, is_list ? "]" : "");
}

static void path_put(core *core, const nidd_configuration *configuration, const rds_managed *managed, dro_builder *out)
{
    nidd_self_write(core, configuration, 0, out);
    json_put(out, "/rds-ports/ue%u-ef%u", managed->device, managed->own);
}

/* ManagePort (TS 29.122, 5.6.2.1.13). */
static void managed_put(core *core, const nidd_configuration *configuration, const rds_managed *managed, dro_builder *out)
{
    dro_builder_text(out, "{\"self\":\"");
    path_put(core, configuration, managed, out);
    dro_builder_text(out, "\",\"appId\":");
    json_text(out, managed->application, managed->length);
    json_put(out, ",\"manageEntity\":\"%s\"", managed->flags & RDS_PORT_OF_DEVICE ? "UE" : "AS");
    if (managed->flags & RDS_PORT_SKIPS)
        dro_builder_text(out, ",\"skipUeInquiry\":true");
    formats_put(out, "supportedFormats", managed->formats, true);
    formats_put(out, "configuredFormat", managed->configured, false);
    dro_builder_text(out, "}");
}

/* The configuration of the path, if ports can be managed at all; else NULL after a problem. */
static nidd_configuration *configuration_called(core *core, const call *call, uint32_t *index)
{
    nidd_configuration *found = nidd_configuration_called(core, call, index);
    if (found == NULL || core->options.reliable_data)
        return found;
    tell_cause(core, call->caller, 403, "OPERATION_NOT_ALLOWED", "the reliable data service is not enabled (t8.reliable_data_service)");
    return NULL;
}

static bool pair_called(const call *call, rds_pair *pair)
{
    dro_field room;
    const dro_field *port = nidd_field(call->fields, call->fields_length, API_FIELD_RDS_PORT, &room);
    if (port == NULL || port->length != 2)
        return false;
    *pair = (rds_pair){ true, port->bytes[0], port->bytes[1] };
    return true;
}

/* The reserved pair of the path; NULL after a 404. */
static const rds_managed *managed_called(core *core, const call *call, uint32_t index, const nidd_configuration *configuration)
{
    rds_pair pair = { 0 };
    if (pair_called(call, &pair) && rds_manages(twin_at(core, index), configuration->number, &pair))
        return rds_managed_find(twin_at(core, index), pair.device, pair.own);
    tell_problem(core, call->caller, 404, "about:blank", "no ports ue%u-ef%u are reserved here", pair.device, pair.own);
    return NULL;
}

void api_nidd_port_list(core *core, const call *call)
{
    uint32_t index;
    const char *comma = "";
    const nidd_configuration *configuration = configuration_called(core, call, &index);
    if (configuration == NULL)
        return;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    dro_builder_text(&out, "[");
    for (const rds_managed *m = rds_managed_first(twin_at(core, index)); m != NULL; m = m->next) {
        if (!rds_manages(twin_at(core, index), configuration->number, &(rds_pair){ true, m->device, m->own }))
            continue;
        dro_builder_text(&out, comma);
        managed_put(core, configuration, m, &out);
        comma = ",";
    }
    dro_builder_text(&out, "]");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

void api_nidd_port_get(core *core, const call *call)
{
    uint32_t index;
    const nidd_configuration *configuration = configuration_called(core, call, &index);
    const rds_managed *found = configuration == NULL ? NULL : managed_called(core, call, index, configuration);
    if (found == NULL)
        return;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    managed_put(core, configuration, found, &out);
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

/* False after a problem. */
static bool may_reserve(core *core, const call *call, uint32_t index, const nidd_configuration *configuration, const rds_pair *pair)
{
    uint32_t count = 0;
    for (const rds_managed *m = rds_managed_first(twin_at(core, index)); m != NULL; m = m->next)
        count++;
    if (configuration->status != NIDD_ACTIVE)
        tell_problem(core, call->caller, 403, "about:blank", "the configuration is %s", nidd_status_text((nidd_status)configuration->status));
    else if (!configuration->is_reliable)
        tell_cause(core, call->caller, 403, "OPERATION_NOT_ALLOWED", "the configuration was made without reliableDataService");
    else if (rds_port_is_taken(twin_at(core, index), pair))
        tell_problem(core, call->caller, 409, "about:blank", "ports ue%u-ef%u of the device are in use", pair->device, pair->own);
    else if (count >= RDS_PORTS_MAX)
        tell_cause(core, call->caller, 403, "QUOTA_EXCEEDED", "at most %d pairs of ports are managed for a device", RDS_PORTS_MAX);
    else
        return true;
    return false;
}

void api_nidd_port_put(core *core, const call *call)
{
    uint32_t index;
    dro_field room;
    rds_pair pair = { 0 };
    char location[NIDD_PATH_MAX + 300];
    const nidd_configuration *configuration = configuration_called(core, call, &index);
    if (configuration == NULL || call_deferred(core, call, index))
        return;
    const dro_field *body = nidd_field(call->fields, call->fields_length, API_FIELD_RDS_MANAGED, &room);
    if (body == NULL || body->length < 3 || body->length > 3 + RDS_APPLICATION_MAX || !pair_called(call, &pair)) {
        tell_problem(core, call->caller, 400, "about:blank", "appId is missing");
        return;
    }
    if (!may_reserve(core, call, index, configuration, &pair))
        return;
    bool skips = body->bytes[0] != 0;
    rds_managed made = { .configuration = configuration->number, .device = pair.device, .own = pair.own, .formats = body->bytes[1],
                         .configured = body->bytes[2], .length = (uint8_t)(body->length - 3), .flags = skips ? RDS_PORT_SKIPS : RDS_PORT_ASKED };
    record_begin(core, index, RECORD_DELTA);
    rds_managed_put(core, &made, (const char *)body->bytes + 3);
    const rds_managed *kept = rds_managed_find(twin_at(core, index), pair.device, pair.own);
    if (kept != NULL)
        rds_managed_ask(core, index, kept, skips ? RDS_NOTIFY : RDS_RESERVE);
    record_end(core);
    if (kept == NULL) {
        tell_problem(core, call->caller, 503, "about:blank", "no room for another pair of ports");
        return;
    }
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES), self = dro_builder_over(location, sizeof location - 1);
    path_put(core, configuration, kept, &self);
    *self.at = '\0';
    managed_put(core, configuration, kept, &out);
    if (skips)
        call_reply(core, call, 201, UINT64_MAX, location, &out);
    else
        call_reply(core, call, 202, UINT64_MAX, NULL, NULL);
    mailbox_flush(core, index);
    if (timers_update(core, index) != DRO_OK)
        core->counters.refused++;
}

void api_nidd_port_delete(core *core, const call *call)
{
    uint32_t index;
    const nidd_configuration *configuration = configuration_called(core, call, &index);
    if (configuration == NULL || call_deferred(core, call, index))
        return;
    const rds_managed *found = managed_called(core, call, index, configuration);
    if (found == NULL)
        return;
    record_begin(core, index, RECORD_DELTA);
    rds_managed_ask(core, index, found, RDS_RELEASE);
    rds_managed_gone(core, found->device, found->own);
    record_end(core);
    call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
    mailbox_flush(core, index);
    if (timers_update(core, index) != DRO_OK)
        core->counters.refused++;
}

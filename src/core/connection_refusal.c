#include "core/connection_refusal.h"

#include <string.h>

#include "base/log.h"
#include "core/network.h"
#include "core/record.h"
#include "core/render.h"
#include "core/state.h"
#include "core/twin_table.h"

enum { ESTABLISH = 0, NS_PER_S = 1000000000 }; /* Connection-Action */

/* Experimental results of TS 29.128, 6.5; `other`: of an update or a release. */
static const struct { uint32_t establish, other; const char *text; } rows[CONNECTION_REFUSALS] = {
    [REFUSAL_NO_TWIN] = { 5652, 5001, "no twin here has the IMSI" },
    [REFUSAL_NO_CONFIGURATION] = { 5652, 5652, "no NIDD configuration is in force for the device over the APN, and t8.apns does not let it without one" },
    [REFUSAL_VISITED] = { 5101, 5101, "t8.apns does not let the APN be used in the visited network" },
    [REFUSAL_BEARER] = { 5651, 5651, "the device has no connection by that bearer here" },
    [REFUSAL_MOVED] = { 5651, 5651, "the connection is another serving node's by now" },
};

/* True: this one may have a record. A node that asks for ever must not fill the log. */
static bool may_record(core *core)
{
    if (core->now_ns >= core->refusals.until_ns) {
        core->refusals.until_ns = core->now_ns + NS_PER_S;
        core->refusals.count = 0;
    }
    return core->refusals.count++ < CONNECTION_REFUSALS_MAX;
}

static void put_row(core *core, uint32_t index, uint32_t code, connection_refusal why, const uint8_t *host, uint32_t length)
{
    record_begin(core, index, RECORD_DELTA);
    dro_builder *part = record_part(core);
    dro_builder_le(part, code, 4);
    dro_builder_le(part, why, 1);
    dro_builder_bytes(part, host, length);
    record_part_end(core, FIELD_CONNECTION_REFUSED);
    record_end(core);
}

/* Without the device: who it is, its timeline says. */
static void say(core *core, uint32_t code, connection_refusal why, const uint8_t *host, uint32_t length)
{
    core->refusals.unsaid++;
    if (core->now_ns < core->refusals.say_ns)
        return;
    dro_warn("connection_refused node=%.*s result=%u reason=\"%s\" since_last=%u", (int)length, (const char *)host, code, rows[why].text, core->refusals.unsaid);
    core->refusals.say_ns = core->now_ns + (int64_t)CONNECTION_REFUSAL_LOG_S * NS_PER_S;
    core->refusals.unsaid = 0;
}

void connection_refuse(core *core, caller caller, const connection_request *request, const uint8_t *texts, uint32_t index, connection_refusal why)
{
    uint32_t code = request->action == ESTABLISH ? rows[why].establish : rows[why].other;
    core->counters.connections_refused++;
    say(core, code, why, texts, request->host_length);
    if (index != NONE && twin_at(core, index)->row != NONE && may_record(core))
        put_row(core, index, code, why, texts, request->host_length);
    network_answer_send(core, caller, 0, code, 0);
}

void connection_refusal_json(const dro_field *field, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    uint32_t code = (uint32_t)dro_cursor_le(&in, 4), why = (uint32_t)dro_cursor_le(&in, 1);
    dro_builder_text(out, ",\"peer\":");
    json_text(out, (const char *)in.at, dro_cursor_left(&in));
    json_put(out, ",\"result\":%u,\"reason\":\"%s\"", code, why < CONNECTION_REFUSALS ? rows[why].text : "unknown");
}

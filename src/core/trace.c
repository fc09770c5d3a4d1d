#include "core/trace.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/wipe.h"
#include "core/call.h"
#include "core/nidd.h"
#include "core/render.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/turn.h"
#include "core/twin_table.h"
#include "twin/value.h"

enum { PEER_TEXT = 256, DEVICE_TEXT = 256, COMMAND_TEXT = 48, CORE_BITS = 4, CORE_MASK = (1 << CORE_BITS) - 1 };
_Static_assert(CORE_GATES_MAX <= 32, "a gate is a bit of traces that are on");

typedef struct trace_message {
    int64_t time_ms;
    uint32_t result, hop_by_hop, end_to_end, bytes;
    bool is_out, is_request, is_t8;
    char command[COMMAND_TEXT], peer[PEER_TEXT], device[DEVICE_TEXT];
} trace_message;

typedef struct trace {
    uint64_t number;             /* 0: a free place */
    uint64_t twin;               /* 0: of a peer */
    char peer[PEER_TEXT];        /* "*": any */
    char device[DEVICE_TEXT];    /* as it was asked for */
    int64_t until_ms;
    bool is_on;
    uint64_t count, lost;        /* messages so far, lost on the way here */
    trace_message messages[TRACE_MESSAGES_MAX]; /* number n is at (n - 1) % TRACE_MESSAGES_MAX */
} trace;

struct trace_table {
    trace *traces[TRACES_MAX];
    uint64_t next;
    struct trace_call { caller caller; uint32_t index; uint16_t operation; bool is_used; } calls[TRACE_CALLS_MAX];
    uint32_t next_call;
};

static trace_table *table_of(core *core)
{
    if (core->traces == NULL)
        core->traces = calloc(1, sizeof *core->traces);
    return core->traces;
}

void trace_table_free(trace_table *table)
{
    for (uint32_t i = 0; table != NULL && i < TRACES_MAX; i++)
        free(table->traces[i]);
    free(table);
}

static trace *trace_find(const core *core, uint64_t number)
{
    for (uint32_t i = 0; core->traces != NULL && number != 0 && i < TRACES_MAX; i++)
        if (core->traces->traces[i] != NULL && core->traces->traces[i]->number == number)
            return core->traces->traces[i];
    return NULL;
}

/* ---- the ring ---- */

static trace_message *message_at(trace *of, uint64_t number)
{
    return &of->messages[(number - 1) % TRACE_MESSAGES_MAX];
}

static void text_put(char *out, size_t room, const void *text, size_t length)
{
    size_t used = length < room ? length : room - 1;
    if (used > 0)
        memcpy(out, text, used);
    out[used] = '\0';
}

/* An answer of Diameter names no device: its request does. */
static void device_of_request(trace *of, trace_message *answer)
{
    uint64_t oldest = of->count > TRACE_MESSAGES_MAX ? of->count - TRACE_MESSAGES_MAX : 0;
    for (uint64_t at = of->count; at > oldest; at--) {
        const trace_message *request = message_at(of, at);
        if (request != answer && request->is_request && !request->is_t8 && request->is_out != answer->is_out &&
            request->hop_by_hop == answer->hop_by_hop && request->end_to_end == answer->end_to_end &&
            strcmp(request->peer, answer->peer) == 0) {
            memcpy(answer->device, request->device, sizeof answer->device);
            return;
        }
    }
}

static trace_message *message_new(trace *of, int64_t time_ms)
{
    trace_message *made = message_at(of, ++of->count);
    *made = (trace_message){ .time_ms = time_ms };
    return made;
}

static void device_put(core *core, uint32_t index, char out[DEVICE_TEXT])
{
    size_t length;
    const char *id = index == NONE ? NULL : twin_id(core, twin_at(core, index), &length);
    out[0] = '\0';
    if (id != NULL)
        text_put(out, DEVICE_TEXT, id, length);
}

/* ---- Diameter: gates tell of it ---- */

static void gate_tell(core *core, uint32_t gate, const trace *told)
{
    struct { trace_request head; char text[PEER_TEXT]; } message = { .head = { .is_on = told->is_on, .is_peer = told->twin == 0, .core = core->index } };
    uint32_t index = told->twin == 0 ? NONE : twin_find_number(core, told->twin);
    if (told->twin == 0) {
        message.head.text_length = (uint16_t)strlen(told->peer);
        memcpy(message.text, told->peer, message.head.text_length);
    } else if (told->is_on) {
        const twin *twin = index == NONE ? NULL : twin_at(core, index);
        if (twin == NULL || !(twin->flags & TWIN_HAS_IMSI) ||
            vault_identity_open(core->vault, twin->number, twin->imsi, message.head.imsi) != DRO_OK)
            message.head.imsi[0] = '\0'; /* only by its other names */
        if (twin == NULL || !(twin->flags & TWIN_HAS_MSISDN) ||
            vault_identity_open(core->vault, twin->number, twin->msisdn, message.head.msisdn) != DRO_OK)
            message.head.msisdn[0] = '\0';
        message.head.text_length = (uint16_t)strlen(told->device);
        memcpy(message.text, told->device, message.head.text_length);
    }
    tell(core, gate, MESSAGE_TRACE, RING_WIPE, told->number, &message, (uint32_t)(sizeof message.head + message.head.text_length), 0);
    dro_wipe(&message.head, sizeof message.head);
}

static void traces_tell(core *core, const trace *told)
{
    for (uint32_t i = 0; i < core->options.gate_count; i++)
        if (core->gates[i].is_open)
            gate_tell(core, i, told);
}

void traces_gate_attached(core *core, uint32_t gate)
{
    for (uint32_t i = 0; core->trace_count > 0 && i < TRACES_MAX; i++)
        if (core->traces->traces[i] != NULL && core->traces->traces[i]->is_on)
            gate_tell(core, gate, core->traces->traces[i]);
}

void traces_gate_lost(core *core, uint32_t gate)
{
    for (uint32_t i = 0; core->traces != NULL && i < TRACE_CALLS_MAX; i++)
        if (core->traces->calls[i].caller.gate == gate)
            core->traces->calls[i].is_used = false;
}

static void take(core *core, const traced *told, const char *peer, const char *device)
{
    trace *of = trace_find(core, told->trace);
    if (of == NULL || !of->is_on)
        return;
    trace_message *made = message_new(of, told->time_ms);
    made->result = told->result;
    made->hop_by_hop = told->hop_by_hop;
    made->end_to_end = told->end_to_end;
    made->bytes = told->bytes;
    made->is_out = told->is_out;
    made->is_request = told->is_request;
    of->lost += told->lost;
    text_put(made->command, sizeof made->command, told->command, strnlen(told->command, sizeof told->command));
    text_put(made->peer, sizeof made->peer, peer, told->peer_length);
    text_put(made->device, sizeof made->device, device, told->device_length);
    if (made->device[0] == '\0' && !made->is_request)
        device_of_request(of, made);
}

/* Another core's trace: it gets the device's name, and nobody's IMSI. */
static void pass_on(core *core, uint32_t gate, traced *told, const char *peer, const char *device)
{
    uint8_t message[sizeof *told + PEER_TEXT + DEVICE_TEXT];
    dro_builder out = dro_builder_over(message, sizeof message);
    told->device_length = (uint16_t)strlen(device);
    dro_builder_bytes(&out, told, sizeof *told);
    dro_builder_bytes(&out, peer, told->peer_length);
    dro_builder_bytes(&out, device, told->device_length);
    tell(core, gate, MESSAGE_TRACED, 0, told->trace, message, (uint32_t)dro_builder_length(&out), 0);
}

void trace_on_message(core *core, uint32_t gate, const uint8_t *body, uint32_t length)
{
    traced told;
    char device[DEVICE_TEXT] = "";
    if (length < sizeof told)
        return;
    memcpy(&told, body, sizeof told);
    if ((size_t)told.peer_length + told.device_length > length - sizeof told || told.peer_length >= PEER_TEXT ||
        told.device_length >= DEVICE_TEXT || told.imsi[sizeof told.imsi - 1] != '\0' || told.msisdn[sizeof told.msisdn - 1] != '\0')
        return;
    const char *peer = (const char *)body + sizeof told;
    text_put(device, sizeof device, peer + told.peer_length, told.device_length);
    bool is_ours = told.core == core->index;
    uint32_t index = told.imsi[0] != '\0' ? twin_find_imsi(core, told.imsi) : told.msisdn[0] != '\0' ? twin_find_msisdn(core, told.msisdn) : NONE;
    if (index != NONE)
        device_put(core, index, device);
    dro_wipe(told.imsi, sizeof told.imsi);
    dro_wipe(told.msisdn, sizeof told.msisdn);
    told.device_length = (uint16_t)strlen(device);
    if (is_ours)
        take(core, &told, peer, device);
    else if (told.core < core->count)
        pass_on(core, gate, &told, peer, device);
}

/* ---- T8: seen here ---- */

static const struct { uint16_t operation; const char *text; } t8_requests[] = {
    { API_NIDD_CONFIGURATION_MAKE, "POST configurations" },   { API_NIDD_CONFIGURATION_GET, "GET configuration" },
    { API_NIDD_CONFIGURATION_PATCH, "PATCH configuration" },  { API_NIDD_CONFIGURATION_DELETE, "DELETE configuration" },
    { API_NIDD_DELIVERY_LIST, "GET deliveries" },             { API_NIDD_DELIVERY_MAKE, "POST deliveries" },
    { API_NIDD_DELIVERY_GET, "GET delivery" },                { API_NIDD_DELIVERY_PUT, "PUT delivery" },
    { API_NIDD_DELIVERY_PATCH, "PATCH delivery" },            { API_NIDD_DELIVERY_DELETE, "DELETE delivery" },
    { API_NIDD_PORT_LIST, "GET ports" },                      { API_NIDD_PORT_GET, "GET port" },
    { API_NIDD_PORT_PUT, "PUT port" },                        { API_NIDD_PORT_DELETE, "DELETE port" },
};

static const char *request_text(uint32_t operation)
{
    for (size_t i = 0; i < sizeof t8_requests / sizeof t8_requests[0]; i++)
        if (t8_requests[i].operation == operation)
            return t8_requests[i].text;
    return NULL;
}

typedef struct t8_message {
    const char *command, *peer;
    size_t peer_length;
    bool is_out, is_request;
    uint32_t result, bytes;
} t8_message;

/* `twin` 0: it is of a group, so only the trace of all has it. */
static bool is_wanted(const trace *by, uint64_t twin)
{
    bool is_of_all = by != NULL && by->twin == 0 && strcmp(by->peer, "*") == 0;
    return by != NULL && by->is_on && (is_of_all || (twin != 0 && by->twin == twin));
}

/* `index` NONE: of a group. False: no trace wants to know. */
static bool note(core *core, uint32_t index, const t8_message *seen)
{
    bool is_noted = false;
    uint64_t number = index != NONE ? twin_at(core, index)->number : 0;
    bool is_gone = index != NONE && number == 0;
    for (uint32_t i = 0; !is_gone && i < TRACES_MAX; i++) {
        trace *by = core->traces->traces[i];
        if (!is_wanted(by, number))
            continue;
        is_noted = true;
        if (seen == NULL)
            continue;
        trace_message *made = message_new(by, core->now_ms);
        made->is_t8 = true;
        made->is_out = seen->is_out;
        made->is_request = seen->is_request;
        made->result = seen->result;
        made->bytes = seen->bytes;
        text_put(made->command, sizeof made->command, seen->command, strlen(seen->command));
        text_put(made->peer, sizeof made->peer, seen->peer, seen->peer_length);
        device_put(core, index, made->device);
    }
    return is_noted;
}

static uint32_t twin_of_call(core *core, const call *call)
{
    dro_field room;
    uint32_t index;
    if (call->configuration != 0)
        return nidd_configuration_find(core, call->configuration, &index) != NULL ? index : NONE;
    const dro_field *id = nidd_field(call->fields, call->fields_length, API_FIELD_ID, &room);
    if (id != NULL)
        return twin_find(core, (const char *)id->bytes, id->length);
    char digits[16] = { 0 };
    const dro_field *msisdn = nidd_field(call->fields, call->fields_length, API_FIELD_MSISDN, &room);
    if (msisdn == NULL || msisdn->length >= sizeof digits)
        return NONE;
    memcpy(digits, msisdn->bytes, msisdn->length);
    return twin_find_msisdn(core, digits);
}

/* Was it seen before it waited for its twin's turn? */
static bool is_known(const trace_table *table, caller caller)
{
    for (uint32_t i = 0; i < TRACE_CALLS_MAX; i++)
        if (table->calls[i].is_used && table->calls[i].caller.gate == caller.gate && table->calls[i].caller.id == caller.id)
            return true;
    return false;
}

void trace_call(core *core, const call *call)
{
    trace_table *table = core->traces;
    const char *command = request_text(call->operation);
    uint32_t index = command == NULL || call->scs_as.at == NULL || is_known(table, call->caller) ? NONE : twin_of_call(core, call);
    if (index == NONE || twin_at(core, index)->number == 0)
        return;
    dro_field room;
    const dro_field *data = nidd_field(call->fields, call->fields_length, API_FIELD_DATA, &room);
    t8_message seen = { .command = command, .peer = call->scs_as.at, .peer_length = call->scs_as.length, .is_request = true,
                        .bytes = data != NULL ? data->length : 0 };
    if (!note(core, index, &seen))
        return;
    table->calls[table->next_call++ % TRACE_CALLS_MAX] = (struct trace_call){ call->caller, index, (uint16_t)call->operation, true };
}

void trace_reply(core *core, caller caller, const reply *told, size_t length)
{
    trace_table *table = core->traces;
    for (uint32_t i = 0; i < TRACE_CALLS_MAX; i++) {
        struct trace_call *waited = &table->calls[i];
        if (!waited->is_used || waited->caller.gate != caller.gate || waited->caller.id != caller.id)
            continue;
        waited->is_used = false;
        note(core, waited->index, &(t8_message){ .command = request_text(waited->operation), .peer = "", .is_out = true,
                                                 .result = told->status, .bytes = (uint32_t)length });
        return;
    }
}

static const char *notice_text(uint8_t kind)
{
    static const char *const texts[] = {
        [NOTICE_TEST] = "TestNotification", [NOTICE_UPLINK] = "NiddUplinkDataNotification",
        [NOTICE_CONFIGURATION] = "NiddConfigurationStatusNotification",
        [NOTICE_DELIVERY] = "NiddDownlinkDataDeliveryStatusNotification",
        [NOTICE_GROUP] = "GmdNiddDownlinkDataDeliveryNotification", [NOTICE_PORTS] = "ManagePortNotification",
    };
    return kind < sizeof texts / sizeof texts[0] && texts[kind] != NULL ? texts[kind] : "notification";
}

static void note_notice(core *core, const notice *of, bool is_sent, uint32_t status)
{
    dro_field room;
    uint32_t ignored;
    const nidd_configuration *configuration = nidd_configuration_find(core, of->configuration, &ignored);
    const application *owner = configuration == NULL ? NULL : application_at(core, configuration->application);
    const dro_field *data = is_sent ? nidd_field(of->bytes, of->length, API_FIELD_DATA, &room) : NULL;
    const char *peer = owner != NULL ? owner->id : "";
    note(core, of->twin, &(t8_message){ .command = notice_text(of->kind), .peer = peer, .peer_length = strlen(peer), .is_out = is_sent,
                                        .is_request = is_sent, .result = status, .bytes = data != NULL ? data->length : 0 });
}

void trace_notice_sent(core *core, const notice *sent)
{
    note_notice(core, sent, true, 0);
}

void trace_notice_answered(core *core, const notice *told, uint32_t status)
{
    note_notice(core, told, false, status);
}

/* ---- time ---- */

static void trace_end(core *core, trace *ended)
{
    if (!ended->is_on)
        return;
    ended->is_on = false;
    core->trace_count--;
    traces_tell(core, ended);
}

void traces_expire(core *core)
{
    for (uint32_t i = 0; i < TRACES_MAX; i++) {
        trace *at = core->traces->traces[i];
        if (at != NULL && at->is_on && at->until_ms <= core->now_ms)
            trace_end(core, at);
    }
}

int64_t traces_due_ms(const core *core)
{
    int64_t due = INT64_MAX;
    for (uint32_t i = 0; core->trace_count > 0 && i < TRACES_MAX; i++) {
        const trace *at = core->traces->traces[i];
        if (at != NULL && at->is_on && at->until_ms < due)
            due = at->until_ms;
    }
    return due;
}

/* ---- POST, GET and DELETE /v1/traces ---- */

/* One for the same is gone on with. */
static trace *trace_of(const core *core, uint64_t twin, text peer)
{
    for (uint32_t i = 0; i < TRACES_MAX; i++) {
        trace *at = core->traces->traces[i];
        bool is_same = at != NULL && at->is_on && at->twin == twin;
        if (is_same && (twin != 0 || (strlen(at->peer) == peer.length && strncasecmp(at->peer, peer.at, peer.length) == 0)))
            return at;
    }
    return NULL;
}

/* A free place, or that of the one that ended first; NULL: all run. */
static trace **trace_place(trace_table *table)
{
    trace **oldest = NULL;
    for (uint32_t i = 0; i < TRACES_MAX; i++) {
        trace **at = &table->traces[i];
        if (*at == NULL)
            return at;
        if (!(*at)->is_on && (oldest == NULL || (*at)->until_ms < (*oldest)->until_ms))
            oldest = at;
    }
    return oldest;
}

static void head_put(core *core, const trace *shown, dro_builder *out)
{
    json_put(out, "{\"trace\":\"%016llx\",\"twin\":", (unsigned long long)shown->number);
    if (shown->twin != 0)
        json_string(out, shown->device);
    else
        dro_builder_text(out, "null");
    dro_builder_text(out, ",\"peer\":");
    if (shown->twin == 0)
        json_string(out, shown->peer);
    else
        dro_builder_text(out, "null");
    json_put(out, ",\"state\":\"%s\",\"until\":", shown->is_on && shown->until_ms > core->now_ms ? "on" : "ended");
    json_time(out, shown->until_ms);
}

static trace *trace_new(core *core, const call *call, uint32_t index)
{
    trace **place = trace_place(core->traces);
    trace *made = place == NULL ? NULL : calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    free(*place);
    *place = made;
    made->number = (++core->traces->next + (uint64_t)core->started_ms) << CORE_BITS | core->index;
    made->is_on = true;
    core->trace_count++;
    if (index != NONE) {
        made->twin = twin_at(core, index)->number;
        device_put(core, index, made->device);
    } else {
        text_put(made->peer, sizeof made->peer, call->peer.at, call->peer.length);
    }
    return made;
}

void api_trace_make(core *core, const call *call)
{
    uint32_t index = NONE;
    char location[64];
    if (call->id.at != NULL && (index = call_twin(core, call)) == NONE)
        return;
    if (call->id.at == NULL && (call->peer.at == NULL || call->peer.length == 0 || call->peer.length >= PEER_TEXT)) {
        tell_problem(core, call->caller, 422, "about:blank", "what is to be traced: a twin or a peer");
        return;
    }
    trace *made = table_of(core) == NULL ? NULL : trace_of(core, index != NONE ? twin_at(core, index)->number : 0, call->peer);
    bool is_new = made == NULL;
    if (is_new && core->traces != NULL)
        made = trace_new(core, call, index);
    if (made == NULL) {
        tell_problem(core, call->caller, 503, "about:blank", "%d traces run here; end one", TRACES_MAX);
        return;
    }
    uint64_t seconds = call->seconds == 0 ? TRACE_USUAL_S : call->seconds > TRACE_MAX_S ? TRACE_MAX_S : call->seconds;
    made->until_ms = core->now_ms + (int64_t)seconds * 1000;
    traces_tell(core, made);
    tell_flush(core); /* all gates have it before one has the answer: what comes behind that is traced */
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    head_put(core, made, &out);
    json_put(&out, ",\"continued\":%s}", is_new ? "false" : "true");
    dro_builder path = dro_builder_over(location, sizeof location - 1);
    json_put(&path, "/v1/traces/%016llx", (unsigned long long)made->number);
    *path.at = '\0';
    call_reply(core, call, is_new ? 201 : 200, UINT64_MAX, is_new ? location : NULL, &out);
}

static trace *trace_called(core *core, const call *call)
{
    trace *found = trace_find(core, call->trace);
    if (found == NULL)
        tell_problem(core, call->caller, 404, "about:blank", "no trace %016llx is here", (unsigned long long)call->trace);
    return found;
}

static void text_or_null(dro_builder *out, const char *name, const char *text)
{
    json_put(out, ",\"%s\":", name);
    if (text[0] != '\0')
        json_string(out, text);
    else
        dro_builder_text(out, "null");
}

static void message_put(uint64_t number, const trace_message *shown, dro_builder *out)
{
    json_put(out, "{\"number\":%llu,\"time\":", (unsigned long long)number);
    json_time(out, shown->time_ms);
    json_put(out, ",\"protocol\":\"%s\",\"direction\":\"%s\",\"kind\":\"%s\"", shown->is_t8 ? "t8" : "diameter",
             shown->is_out ? "out" : "in", shown->is_request ? "request" : "answer");
    text_or_null(out, "peer", shown->peer);
    text_or_null(out, "device", shown->device);
    text_or_null(out, "command", shown->command);
    if (shown->result != 0)
        json_put(out, ",\"result\":%u", shown->result);
    else
        dro_builder_text(out, ",\"result\":null");
    if (shown->is_t8)
        dro_builder_text(out, ",\"hop_by_hop\":null,\"end_to_end\":null");
    else
        json_put(out, ",\"hop_by_hop\":\"0x%08x\",\"end_to_end\":\"0x%08x\"", shown->hop_by_hop, shown->end_to_end);
    json_put(out, ",\"bytes\":%u}", shown->bytes);
}

void api_trace_get(core *core, const call *call)
{
    trace *shown = trace_called(core, call);
    if (shown == NULL)
        return;
    uint64_t oldest = shown->count > TRACE_MESSAGES_MAX ? shown->count - TRACE_MESSAGES_MAX : 0;
    uint64_t after = call->after > shown->count ? shown->count : call->after;
    uint64_t first = after > oldest ? after : oldest;
    uint64_t most = call->has_limit && call->limit < TRACE_PAGE ? call->limit : TRACE_PAGE;
    uint64_t last = shown->count - first < most ? shown->count : first + most;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    head_put(core, shown, &out);
    json_put(&out, ",\"lost\":%llu,\"next\":%llu,\"more\":%s,\"messages\":[", (unsigned long long)shown->lost + (first - after),
             (unsigned long long)last, last < shown->count ? "true" : "false");
    for (uint64_t number = first + 1; number <= last; number++) {
        dro_builder_text(&out, number > first + 1 ? "," : "");
        message_put(number, message_at(shown, number), &out);
    }
    dro_builder_text(&out, "]}");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

void api_trace_delete(core *core, const call *call)
{
    trace *gone = trace_called(core, call);
    if (gone == NULL)
        return;
    trace_end(core, gone);
    for (uint32_t i = 0; i < TRACES_MAX; i++)
        if (core->traces->traces[i] == gone)
            core->traces->traces[i] = NULL;
    free(gone);
    call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
}

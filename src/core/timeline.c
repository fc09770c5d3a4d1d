/* Timelines and histories: read back from the log, along a twin's chain of records. */
#include "core/connection_refusal.h"
#include "core/timeline.h"

#include <string.h>

#include "base/log.h"
#include "core/cold.h"
#include "core/record.h"
#include "core/render.h"
#include "core/report.h"
#include "core/schedule.h"
#include "core/serving.h"
#include "core/state.h"
#include "core/trigger.h"
#include "core/turn.h"
#include "core/twin_table.h"
#include "twin/event.h"
#include "twin/nidd.h"
#include "twin/ticket.h"
#include "twin/value.h"

static const char *const outcomes[] = { "handled", "not_handled", "swallowed" };

static void put_hex(dro_builder *out, const uint8_t *bytes, size_t length)
{
    dro_builder_text(out, "\"");
    for (size_t i = 0; i < length; i++)
        json_put(out, "%02x", bytes[i]);
    dro_builder_text(out, "\"");
}

static void put_event(const model *model, const dro_field *field, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    event_kind kind = (event_kind)dro_cursor_le(&in, 1);
    uint32_t id = (uint32_t)dro_cursor_le(&in, 4);
    uint32_t outcome = (uint32_t)dro_cursor_le(&in, 1);
    uint32_t cpu_nanos = (uint32_t)dro_cursor_le(&in, 4);
    json_put(out, ",\"kind\":\"%s\",\"id\":", event_kind_text(kind));
    if (kind == EVENT_PROPERTY_WRITE && id < model->property_count)
        json_string(out, model->properties[id].name);
    else if (kind == EVENT_ACTION && id < model->action_count)
        json_string(out, model->actions[id].name);
    else if (kind == EVENT_TIMER || kind == EVENT_TRIGGER_OUTCOME)
        json_put(out, "%u", id);
    else if (kind == EVENT_UPLINK && id == 1)
        dro_builder_text(out, "null,\"exception\":true");
    else
        dro_builder_text(out, "null");
    dro_builder_text(out, ",\"frame\":");
    if (kind == EVENT_UPLINK || kind == EVENT_DOWNLINK)
        put_hex(out, in.at, dro_cursor_left(&in));
    else
        dro_builder_text(out, "null");
    if (outcome < 3)
        json_put(out, ",\"outcome\":\"%s\"", outcomes[outcome]);
    else
        json_put(out, ",\"outcome\":\"%s: %s\"", outcome > 16 + TURN_UNREADABLE ? "set aside" : "trap", turn_failure_text(outcome - 16));
    json_put(out, ",\"cpu_micros\":%.3g", cpu_nanos / 1000.0);
}

/* A member that gathers all fields of one kind; opens it at the first. */
typedef void (*put_fn)(const model *model, dro_cursor *in, dro_builder *out);

static void put_list(const record_view *view, const model *model, uint32_t tag, const char *open, const char *close,
                     put_fn put, dro_builder *out)
{
    dro_cursor all = dro_cursor_over(view->fields, view->fields_length);
    dro_field field;
    bool is_first = true;
    dro_builder_text(out, open);
    while (dro_field_next(&all, &field)) {
        if (field.tag != tag)
            continue;
        dro_builder_text(out, is_first ? "" : ",");
        dro_cursor in = dro_cursor_over(field.bytes, field.length);
        put(model, &in, out);
        is_first = false;
    }
    dro_builder_text(out, close);
}

static void put_property(const model *model, dro_cursor *in, dro_builder *out)
{
    uint32_t property = (uint32_t)dro_cursor_le(in, 2);
    dro_cursor_le(in, 2);
    dro_cursor_le(in, 8);
    value value = value_read(in);
    json_string(out, property < model->property_count ? model->properties[property].name : "");
    dro_builder_text(out, ":");
    value_json(out, &value);
}

static void put_downlink(const model *model, dro_cursor *in, dro_builder *out)
{
    (void)model;
    dro_cursor_bytes(in, 28);
    put_hex(out, in->at, dro_cursor_left(in));
}

/* A downlink that passed as it came is the frame of its event. */
static void put_raw(const record_view *view, dro_builder *out)
{
    dro_cursor all = dro_cursor_over(view->fields, view->fields_length);
    dro_field field = { 0 };
    bool is_raw = false;
    while (dro_field_next(&all, &field))
        is_raw |= field.tag == FIELD_MAIL_RAW;
    dro_cursor again = dro_cursor_over(view->fields, view->fields_length);
    while (is_raw && dro_field_next(&again, &field) && field.tag != FIELD_EVENT)
        ;
    if (!is_raw || field.tag != FIELD_EVENT || field.length < 10)
        return;
    dro_builder_text(out, ",\"downlinks\":[");
    put_hex(out, field.bytes + 10, field.length - 10);
    dro_builder_text(out, "]");
}

static void put_notification(const model *model, dro_cursor *in, dro_builder *out)
{
    uint32_t event = (uint32_t)dro_cursor_le(in, 2);
    value value = value_read(in);
    dro_builder_text(out, "{\"event\":");
    json_string(out, event < model->event_count ? model->events[event].name : "");
    dro_builder_text(out, ",\"value\":");
    if (value.kind == VALUE_NONE)
        dro_builder_text(out, "null");
    else
        value_json(out, &value);
    dro_builder_text(out, "}");
}

static void put_timer(const model *model, dro_cursor *in, dro_builder *out)
{
    (void)model;
    uint32_t timer = (uint32_t)dro_cursor_le(in, 4);
    int64_t due = (int64_t)dro_cursor_le(in, 8);
    json_put(out, "{\"timer\":%u,\"at\":", timer);
    json_time(out, due < 0 ? COLUMNS_NEVER : due);
    dro_builder_text(out, "}");
}

static void put_log(const model *model, dro_cursor *in, dro_builder *out)
{
    (void)model;
    dro_cursor_le(in, 1);
    json_text(out, (const char *)in->at, dro_cursor_left(in));
}

static bool find_field(const record_view *view, uint32_t tag, dro_field *out)
{
    dro_cursor in = dro_cursor_over(view->fields, view->fields_length);
    while (dro_field_next(&in, out))
        if (out->tag == tag)
            return true;
    return false;
}

/* Behind an event of the network: what it said. */
static void put_report(const record_view *view, dro_builder *out)
{
    dro_field field;
    if (!find_field(view, FIELD_REPORT, &field))
        return;
    dro_builder_text(out, ",\"network_report\":");
    report_json(&field, out);
}

/* ---- procedures of the network, as far as the log has them ---- */

static void put_peer(const core *core, uint32_t host, dro_builder *out)
{
    dro_builder_text(out, ",\"peer\":");
    if (host < core->host_count && core->hosts[host].name != NULL)
        json_string(out, core->hosts[host].name);
    else
        dro_builder_text(out, "null");
}

static void put_contact(const record_view *view, dro_builder *out)
{
    static const char *const texts[] = { "unknown", "uplink", "reachable", "retransmission_time", "pattern", "twin", "learned" };
    dro_field field;
    if (!find_field(view, FIELD_CONTACT, &field))
        return;
    dro_cursor in = dro_cursor_over(field.bytes, field.length);
    dro_cursor_le(&in, 8);
    int64_t next = (int64_t)dro_cursor_le(&in, 8);
    uint32_t why = (uint32_t)dro_cursor_le(&in, 1);
    json_put(out, ",\"contact\":{\"why\":\"%s\",\"next\":", why < sizeof texts / sizeof texts[0] ? texts[why] : "unknown");
    json_time(out, next);
    dro_builder_text(out, "}");
}

/* Behind an event: the MO-Data-Request that brought it. */
static void put_uplink_procedure(const core *core, const record_view *view, dro_builder *out)
{
    dro_field field;
    if (!find_field(view, FIELD_DUPLICATE, &field)) {
        dro_builder_text(out, ",\"network\":null");
        return;
    }
    dro_cursor in = dro_cursor_over(field.bytes, field.length);
    uint32_t host = (uint32_t)dro_cursor_le(&in, 2), end_to_end = (uint32_t)dro_cursor_le(&in, 4);
    dro_builder_text(out, ",\"network\":{\"command\":\"ODR\"");
    put_peer(core, host, out);
    json_put(out, ",\"end_to_end\":\"0x%08x\",\"result\":%u", end_to_end, (uint32_t)dro_cursor_le(&in, 4));
    put_contact(view, out);
    dro_builder_text(out, "}");
}

/* A connection that changed, or what became of a downlink; false: the record has neither. */
static bool put_procedure(const core *core, const record_view *view, dro_builder *out)
{
    static const char rest[] = ",\"frame\":null,\"outcome\":\"%s\",\"cpu_micros\":0,\"properties\":{},\"downlinks\":[],"
                               "\"notifications\":[],\"timers\":[],\"log\":[],\"network\":{\"command\":%s";
    dro_field field;
    trigger_line trigger;
    if (find_field(view, FIELD_CONNECTION_REFUSED, &field)) {
        dro_builder_text(out, ",\"kind\":\"connection\",\"id\":null");
        json_put(out, rest, "refused", "\"CMR\"");
        connection_refusal_json(&field, out);
    } else if (find_field(view, FIELD_CONNECTION, &field)) {
        dro_cursor in = dro_cursor_over(field.bytes, field.length);
        bool is_there = field.length >= 4;
        dro_builder_text(out, ",\"kind\":\"connection\",\"id\":null");
        json_put(out, rest, is_there ? "established" : "released", "\"CMR\"");
        put_peer(core, is_there ? (uint32_t)dro_cursor_le(&in, 2) : UINT32_MAX, out);
        if (is_there && find_field(view, FIELD_SERVING, &field))
            serving_render_field(&field, out);
    } else if (find_field(view, FIELD_TICKET, &field)) {
        dro_cursor in = dro_cursor_over(field.bytes, field.length);
        uint64_t number = dro_cursor_le(&in, 8);
        dro_cursor_le(&in, 2);
        ticket_state state = (ticket_state)dro_cursor_le(&in, 1);
        dro_cursor_bytes(&in, 16);
        uint32_t reason = (uint32_t)dro_cursor_le(&in, 1);
        const uint8_t *text = dro_cursor_bytes(&in, reason);
        json_put(out, ",\"kind\":\"delivery\",\"id\":%llu", (unsigned long long)number);
        json_put(out, rest, ticket_state_text(state), state == TICKET_SENT ? "\"TDR\"" : state == TICKET_DELIVERED ? "\"TDA\"" : "null");
        dro_builder_text(out, ",\"reason\":");
        json_text(out, (const char *)text, text != NULL ? reason : 0);
    } else if (find_field(view, FIELD_NIDD_DELIVERY, &field)) {
        dro_cursor in = dro_cursor_over(field.bytes, field.length);
        uint64_t number = dro_cursor_le(&in, 8);
        dro_cursor_bytes(&in, 36);
        uint32_t status = (uint32_t)dro_cursor_le(&in, 1);
        json_put(out, ",\"kind\":\"delivery\",\"id\":\"%016llx\"", (unsigned long long)number);
        json_put(out, rest, status < DELIVERY_STATUSES ? nidd_delivery_status_text((nidd_delivery_status)status) : "unknown",
                 status == DELIVERY_SENDING ? "\"TDR\"" : "null"); /* another status may have come without an answer of the network */
    } else if (find_field(view, FIELD_EXPOSURE, &field) && trigger_row(&field, &trigger)) {
        json_put(out, ",\"kind\":\"trigger\",\"id\":\"%016llx\"", (unsigned long long)trigger.number);
        json_put(out, rest, trigger.outcome, "null");
        json_put(out, ",\"reference\":%u", trigger.reference);
    } else if (find_field(view, FIELD_SCHEDULE, &field)) {
        dro_builder_text(out, ",\"kind\":\"schedule\",\"id\":null");
        json_put(out, rest, schedule_field_state(&field), "null");
        dro_builder_text(out, ",\"schedule\":");
        schedule_field_json(&field, out);
    } else {
        return false;
    }
    put_contact(view, out);
    dro_builder_text(out, "}}");
    return true;
}

static bool put_record(const core *core, const model *model, const record_view *view, bool with_network, bool is_first, dro_builder *out)
{
    uint8_t *before = out->at;
    dro_field field;
    dro_builder_text(out, is_first ? "{\"time\":" : ",{\"time\":");
    json_time(out, view->time_ms);
    if (!find_field(view, FIELD_EVENT, &field)) {
        bool is_procedure = with_network && view->kind == RECORD_DELTA && put_procedure(core, view, out);
        if (!is_procedure && out->err == DRO_OK)
            out->at = before;
        return is_procedure;
    }
    put_event(model, &field, out);
    put_list(view, model, FIELD_PROPERTY, ",\"properties\":{", "}", put_property, out);
    put_list(view, model, FIELD_MAIL, ",\"downlinks\":[", "]", put_downlink, out);
    put_raw(view, out);
    put_list(view, model, FIELD_NOTIFY, ",\"notifications\":[", "]", put_notification, out);
    put_list(view, model, FIELD_TIMER, ",\"timers\":[", "]", put_timer, out);
    put_list(view, model, FIELD_LOG, ",\"log\":[", "]", put_log, out);
    put_report(view, out);
    if (find_field(view, FIELD_SCHEDULE, &field) && schedule_field_says(&field)) {
        dro_builder_text(out, ",\"schedule\":");
        schedule_field_json(&field, out);
    }
    if (with_network)
        put_uplink_procedure(core, view, out);
    dro_builder_text(out, "}");
    return true;
}

/* Follows the chain; false at its end. The view is closed by the next call, or by the caller. */
static bool chain_next(core *core, const twin *twin, log_place *place, record_view *view)
{
    uint8_t *sealed = core->log_scratch;
    uint8_t *plain = core->log_scratch + LOG_RECORD_MAX;
    size_t length;
    record_close(view);
    if (*place == 0 || log_place_segment(*place) < commit_log_segment_first(core->log)) /* what is older was dropped */
        return false;
    dro_err err = commit_log_read(core->log, *place, sealed, LOG_RECORD_MAX, &length);
    if (err == DRO_OK)
        err = record_open(core, sealed, length, plain, view);
    if (err != DRO_OK || view->twin != twin->number || view->previous >= *place) {
        char where[64];
        if (log_place_segment(*place) < commit_log_segment_last(core->log))
            dro_error("timeline damaged twin=%016llx place=\"%s\" \"its past is not shown from there on: put the file back from a backup\"",
                      (unsigned long long)twin->number, context_where(*place, where));
        return false;
    }
    *place = view->previous;
    return true;
}

size_t timeline_json(core *core, uint32_t index, uint32_t limit, bool with_network, char *text, size_t capacity)
{
    const twin *twin = twin_at(core, index);
    dro_builder out = dro_builder_over(text, capacity - 8);
    record_view view = { 0 };
    core_settle(core);
    log_place place = twin->last;
    dro_builder_text(&out, "{\"events\":[");
    for (uint32_t read = 0, shown = 0; read < TIMELINE_READS_MAX && shown < limit && chain_next(core, twin, &place, &view); read++) {
        uint8_t *before = out.at;
        shown += put_record(core, twin_model(core, twin), &view, with_network, shown == 0, &out);
        if (out.err != DRO_OK) {
            out.err = DRO_OK;
            out.at = before;
            break;
        }
    }
    record_close(&view);
    out.end += 8;
    dro_builder_text(&out, "]}");
    return dro_builder_length(&out);
}

static bool put_past(const record_view *view, uint32_t wanted, bool is_first, dro_builder *out)
{
    dro_cursor all = dro_cursor_over(view->fields, view->fields_length);
    dro_field field;
    while (view->kind == RECORD_DELTA && dro_field_next(&all, &field)) {
        dro_cursor in = dro_cursor_over(field.bytes, field.length);
        if (field.tag != FIELD_PROPERTY || dro_cursor_le(&in, 2) != wanted)
            continue;
        quality quality = (enum quality)(dro_cursor_le(&in, 1) & 3);
        source source = (enum source)dro_cursor_le(&in, 1);
        int64_t time = (int64_t)dro_cursor_le(&in, 8);
        value value = value_read(&in);
        dro_builder_text(out, is_first ? "{\"time\":" : ",{\"time\":");
        json_time(out, time);
        dro_builder_text(out, ",\"value\":");
        value_json(out, &value);
        json_put(out, ",\"quality\":\"%s\",\"source\":\"%s\"}", quality_text(quality), source_text(source));
        return true;
    }
    return false;
}

size_t history_json(core *core, uint32_t index, uint32_t property, uint32_t limit, char *text, size_t capacity)
{
    const twin *twin = twin_at(core, index);
    const model_property *what = &twin_model(core, twin)->properties[property];
    dro_builder out = dro_builder_over(text, capacity - 8);
    record_view view = { 0 };
    core_settle(core);
    log_place place = twin->last;
    dro_builder_text(&out, "{\"property\":");
    json_string(&out, what->name);
    dro_builder_text(&out, ",\"unit\":");
    if (what->unit[0] != '\0')
        json_string(&out, what->unit);
    else
        dro_builder_text(&out, "null");
    dro_builder_text(&out, ",\"values\":[");
    for (uint32_t read = 0, shown = 0; read < TIMELINE_READS_MAX && shown < limit && chain_next(core, twin, &place, &view); read++) {
        uint8_t *before = out.at;
        shown += put_past(&view, property, shown == 0, &out);
        if (out.err != DRO_OK) {
            out.err = DRO_OK;
            out.at = before;
            break;
        }
    }
    record_close(&view);
    out.end += 8;
    dro_builder_text(&out, "]}");
    return dro_builder_length(&out);
}

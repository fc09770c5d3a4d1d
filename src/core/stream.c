/* Streams: events for subscribers, in commit order per twin. A stream that is
 * current gets an event as its record is written; one that resumes, or whose gate
 * is slow, reads the log until it is current again. So nothing is kept for it. */
#include "core/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/log.h"
#include "core/api.h"
#include "core/call.h"
#include "core/host.h"
#include "core/mailbox.h"
#include "core/number.h"
#include "core/record.h"
#include "core/render.h"
#include "core/report.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/trigger.h"
#include "core/twin_table.h"
#include "twin/event.h"

enum {
    MARKS = 8192,
    MARK_STEP = 16,         /* events between two marks */
    MARK_MARGIN = 32768,    /* a round's records are ordered by group, not by event: start earlier */
    CATCH_UP_RECORDS = 512, /* of a stream in a round */
    EVENT_JSON_MAX = 8192,    /* a frame of EVENT_BYTES_MAX as base64 is the longest */
};

void streams_mark(core *core, uint64_t sequence, log_place place)
{
    if (core->marks == NULL && (core->marks = calloc(MARKS, sizeof *core->marks)) == NULL)
        return;
    const struct event_mark *newest = &core->marks[(core->mark_next + MARKS - 1) % MARKS];
    if (core->mark_count > 0 && sequence < newest->sequence + MARK_STEP)
        return;
    core->marks[core->mark_next] = (struct event_mark){ sequence, place };
    core->mark_next = (core->mark_next + 1) % MARKS;
    if (core->mark_count < MARKS)
        core->mark_count++;
}

/* Where to start reading so that no event from `sequence` on is missed; *is_whole says if that is possible. */
static log_place mark_find(const core *core, uint64_t sequence, bool *is_whole)
{
    log_place best = 0;
    for (uint32_t i = 0; i < core->mark_count; i++) { /* newest first */
        const struct event_mark *mark = &core->marks[(core->mark_next + MARKS - 1 - i) % MARKS];
        best = mark->place;
        if (mark->sequence + MARK_MARGIN <= sequence)
            break;
    }
    const struct event_mark *oldest = &core->marks[(core->mark_next + MARKS - core->mark_count) % MARKS];
    *is_whole = core->mark_count == 0 || sequence >= oldest->sequence;
    return best;
}

/* ---- one event ---- */

typedef struct stream_item {
    const record_view *view;
    const dro_field *field;
    uint64_t sequence;
    const twin *twin;
    const char *id;
    size_t id_length;
} stream_item;

static bool same(const char *wanted, const char *text, size_t length)
{
    return wanted == NULL || (strlen(wanted) == length && memcmp(wanted, text, length) == 0);
}

static bool stream_wants(core *core, const stream *stream, const stream_item *item)
{
    const model *model = twin_model(core, item->twin);
    if (!same(stream->twin, item->id, item->id_length) || !same(stream->model, model->name, strlen(model->name)) ||
        !application_sees(core, stream->application, stream->scopes, item->twin->domain))
        return false;
    if (stream->property == NULL)
        return true;
    if (item->field->tag == FIELD_PROPERTY) {
        uint16_t property;
        memcpy(&property, item->field->bytes, 2);
        return property < model->property_count && strcmp(stream->property, model->properties[property].name) == 0;
    }
    if (item->field->tag == FIELD_TICKET && item->field->bytes[8] == 0)
        return item->field->bytes[9] < model->property_count && strcmp(stream->property, model->properties[item->field->bytes[9]].name) == 0;
    return false;
}

/* The frame that its record's event was of. */
static void passed_data(const stream_item *item, dro_builder *out)
{
    enum { BEFORE = 10 }; /* of FIELD_EVENT */
    dro_cursor in = dro_cursor_over(item->view->fields, item->view->fields_length);
    dro_field field = { 0 };
    while (dro_field_next(&in, &field) && field.tag != FIELD_EVENT)
        ;
    bool is_there = field.tag == FIELD_EVENT && field.length >= BEFORE;
    dro_builder_text(out, "{\"event\":\"data\",\"value\":\"");
    if (is_there)
        dro_base64_put(out, field.bytes + BEFORE, field.length - BEFORE);
    dro_builder_text(out, "\",\"contentEncoding\":\"base64\",\"time\":");
    json_time(out, item->view->time_ms);
    dro_builder_text(out, "}");
}

static void property_data(const stream_item *item, const model *model, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(item->field->bytes, item->field->length);
    uint32_t property = (uint32_t)dro_cursor_le(&in, 2);
    quality quality = (enum quality)(dro_cursor_le(&in, 1) & 3);
    source source = (enum source)dro_cursor_le(&in, 1);
    int64_t time = (int64_t)dro_cursor_le(&in, 8);
    value value = value_read(&in);
    dro_builder_text(out, "{\"property\":");
    json_string(out, property < model->property_count ? model->properties[property].name : "");
    dro_builder_text(out, ",\"value\":");
    value_json(out, &value);
    dro_builder_text(out, ",\"unit\":");
    if (property < model->property_count && model->properties[property].unit[0] != '\0')
        json_string(out, model->properties[property].unit);
    else
        dro_builder_text(out, "null");
    dro_builder_text(out, ",\"time\":");
    json_time(out, time);
    json_put(out, ",\"quality\":\"%s\",\"source\":\"%s\"}", quality_text(quality), source_text(source));
}

static void notify_data(const stream_item *item, const model *model, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(item->field->bytes, item->field->length);
    uint32_t event = (uint32_t)dro_cursor_le(&in, 2);
    value value = value_read(&in);
    dro_builder_text(out, "{\"event\":");
    json_string(out, event < model->event_count ? model->events[event].name : "");
    dro_builder_text(out, ",\"value\":");
    if (value.kind == VALUE_NONE)
        dro_builder_text(out, "null");
    else
        value_json(out, &value);
    dro_builder_text(out, ",\"time\":");
    json_time(out, item->view->time_ms);
    dro_builder_text(out, "}");
}

static void trigger_data(const stream_item *item, dro_builder *out)
{
    trigger_line line = { .outcome = "" };
    (void)trigger_row(item->field, &line); /* record_is_event has looked */
    json_put(out, "{\"trigger\":\"%016llx\",\"reference\":%u,\"result\":\"%s\",\"time\":", (unsigned long long)line.number, line.reference, line.outcome);
    json_time(out, item->view->time_ms);
    dro_builder_text(out, "}");
}

static void trap_data(core *core, const stream_item *item, dro_builder *out)
{
    dro_builder_text(out, "{\"reason\":");
    json_text(out, (const char *)item->field->bytes, item->field->length);
    dro_builder_text(out, ",\"image\":");
    render_digest(core, item->twin->image, out);
    dro_builder_text(out, "}");
}

static void ticket_data(core *core, const stream_item *item, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(item->field->bytes, item->field->length);
    ticket ticket = { .number = dro_cursor_le(&in, 8) };
    ticket.is_action = dro_cursor_le(&in, 1) != 0;
    ticket.index = (uint8_t)dro_cursor_le(&in, 1);
    ticket.state = (ticket_state)dro_cursor_le(&in, 1);
    ticket.time_ms = (int64_t)dro_cursor_le(&in, 8);
    ticket.made_ms = (int64_t)dro_cursor_le(&in, 8);
    size_t reason_length = dro_cursor_le(&in, 1);
    const uint8_t *reason = dro_cursor_bytes(&in, reason_length);
    if (reason_length < sizeof ticket.reason && reason != NULL)
        memcpy(ticket.reason, reason, reason_length);
    ticket.value = value_read(&in);
    api_ticket_json(core, item->twin, &ticket, out);
}

/* A field that record_is_event shows: its JSON, and what type of event it is. */
static const char *event_data(core *core, const stream_item *item, dro_builder *out)
{
    const model *model = twin_model(core, item->twin);
    switch (item->field->tag) {
    case FIELD_PROPERTY: property_data(item, model, out); return "dromio.property.changed.v1";
    case FIELD_NOTIFY: notify_data(item, model, out); return "dromio.event.v1";
    case FIELD_PASSED: passed_data(item, out); return "dromio.event.v1";
    case FIELD_EXPOSURE: trigger_data(item, out); return "dromio.trigger.v1";
    case FIELD_REPORT: report_json(item->field, out); return "dromio.network.v1";
    case FIELD_TRAP: trap_data(core, item, out); return "dromio.trap.v1";
    default: ticket_data(core, item, out); return "dromio.ticket.v1";
    }
}

static void message_send(core *core, stream *stream, const char *id, const char *type, const uint8_t *data, size_t length, uint64_t round)
{
    uint8_t message[sizeof(stream_event) + 64 + EVENT_JSON_MAX + 1024];
    stream_event head = { (uint32_t)strlen(id), (uint32_t)strlen(type), (uint32_t)length, 0 };
    dro_builder out = dro_builder_over(message, sizeof message);
    dro_builder_bytes(&out, &head, sizeof head);
    dro_builder_text(&out, id);
    dro_builder_text(&out, type);
    dro_builder_bytes(&out, data, length);
    if (out.err != DRO_OK)
        return;
    /* One that was opened while the log is stuck: what it reads there is durable, and nothing of it waits. */
    bool is_reply_free = core->is_reply_free;
    stream->may_pass = stream->may_pass && stream->is_behind && core_refusal(core) != NULL;
    core->is_reply_free |= stream->may_pass;
    tell(core, stream->gate, MESSAGE_STREAM_EVENT, 0, stream->id, message, (uint32_t)dro_builder_length(&out), round);
    core->is_reply_free = is_reply_free;
    stream->sent++;
}

static size_t event_json(core *core, const stream_item *item, uint8_t json[EVENT_JSON_MAX], const char **type)
{
    uint8_t data[EVENT_JSON_MAX / 2];
    dro_builder inner = dro_builder_over(data, sizeof data);
    *type = event_data(core, item, &inner);
    dro_builder out = dro_builder_over(json, EVENT_JSON_MAX);
    char core_of[16] = ""; /* a sequence is its core's own */
    if (core->count > 1)
        snprintf(core_of, sizeof core_of, "%u-", core->index);
    json_put(&out, "{\"specversion\":\"1.0\",\"id\":\"%s%llu\",\"source\":\"/v1/twins\",\"type\":\"%s\",\"subject\":",
             core_of, (unsigned long long)item->sequence, *type);
    json_text(&out, item->id, item->id_length);
    dro_builder_text(&out, ",\"time\":");
    json_time(&out, item->view->time_ms);
    dro_builder_text(&out, ",\"datacontenttype\":\"application/json\",\"data\":");
    dro_builder_bytes(&out, data, dro_builder_length(&inner));
    dro_builder_text(&out, "}");
    return inner.err == DRO_OK && out.err == DRO_OK ? dro_builder_length(&out) : 0;
}

/* What its gate has not taken yet counts too: a gate that stands still must not fill our memory. */
static bool has_credit(const core *core, const stream *stream)
{
    return stream->sent - stream->passed < STREAM_CREDIT && !outbox_is_full(&core->gates[stream->gate].outbox);
}

/* The events of a record, one after the other; false when `each` had enough. */
typedef bool (*event_fn)(core *core, const stream_item *item, void *context);

static bool events_each(core *core, const record_view *view, event_fn each, void *context)
{
    uint32_t index = view->twin == 0 || view->kind == RECORD_FULL ? NONE : twin_find_number(core, view->twin);
    if (index == NONE || twin_at(core, index)->row == NONE)
        return true;
    stream_item item = { .view = view, .sequence = view->event_first, .twin = twin_at(core, index) };
    item.id = twin_id(core, item.twin, &item.id_length);
    dro_cursor in = dro_cursor_over(view->fields, view->fields_length);
    dro_field field;
    item.field = &field;
    while (dro_field_next(&in, &field)) {
        if (!record_is_event(&field))
            continue;
        if (!each(core, &item, context))
            return false;
        item.sequence++;
    }
    return true;
}

static bool live_event(core *core, const stream_item *item, void *context)
{
    uint64_t round = *(const uint64_t *)context;
    uint8_t json[EVENT_JSON_MAX];
    size_t length = 0;
    const char *type = NULL;
    char id[24];
    for (uint32_t i = 0, seen = 0; i < STREAMS_MAX && seen < core->stream_count; i++) {
        stream *stream = &core->streams[i];
        if (stream->id == 0)
            continue;
        seen++;
        if (stream->is_behind || !stream_wants(core, stream, item))
            continue;
        if (!has_credit(core, stream)) {
            stream->is_behind = true;
            stream->next = item->sequence;
            stream->place = 0;
            continue;
        }
        if (type == NULL)
            length = event_json(core, item, json, &type);
        snprintf(id, sizeof id, "%llu", (unsigned long long)item->sequence);
        if (length > 0)
            message_send(core, stream, id, type, json, length, round);
    }
    return true;
}

void streams_record(core *core, const record_view *view, uint64_t round)
{
    events_each(core, view, live_event, &round);
}

/* ---- catching up ---- */

typedef struct catch_up { stream *stream; core *core; } catch_up;

static bool late_event(core *core, const stream_item *item, void *context)
{
    stream *stream = context;
    uint8_t json[EVENT_JSON_MAX];
    const char *type;
    char id[24];
    if (item->sequence < stream->next || !stream_wants(core, stream, item))
        return true;
    size_t length = event_json(core, item, json, &type);
    snprintf(id, sizeof id, "%llu", (unsigned long long)item->sequence);
    if (length > 0)
        message_send(core, stream, id, type, json, length, 0);
    return true;
}

static bool late_record(void *context, uint32_t group, log_place place, const uint8_t *bytes, size_t length)
{
    (void)group;
    (void)place;
    catch_up *late = context;
    record_view view;
    if (record_open(late->core, bytes, length, late->core->log_scratch, &view) == DRO_OK)
        events_each(late->core, &view, late_event, late->stream);
    record_close(&view);
    return has_credit(late->core, late->stream);
}

/* The first event that can be told again. Who was before it goes on there: at the next time nothing is missing. */
static uint64_t event_oldest(const core *core)
{
    const struct event_mark *oldest = core->mark_count > 0 ? &core->marks[(core->mark_next + MARKS - core->mark_count) % MARKS] : NULL;
    uint64_t kept = core->event_next > STREAM_EVENTS_KEPT ? core->event_next - STREAM_EVENTS_KEPT : 1;
    return oldest != NULL && oldest->sequence > kept ? oldest->sequence : kept;
}

static void gap_send(core *core, stream *stream)
{
    char gap[300], when[DRO_TIME_TEXT];
    dro_time_text(core->now_ms, when);
    int length = snprintf(gap, sizeof gap, "{\"specversion\":\"1.0\",\"id\":\"gap-%llu\",\"time\":\"%s\",\"source\":\"/v1/twins\",\"type\":\"dromio.gap.v1\",\"data\":{\"reason\":\"events older than what is kept are missing here\"}}",
                          (unsigned long long)stream->next, when);
    char id[24];
    snprintf(id, sizeof id, "%llu", (unsigned long long)stream->next - 1); /* whoever resumes here misses no more than that */
    message_send(core, stream, id, "dromio.gap.v1", (const uint8_t *)gap, (size_t)length, 0);
}

static int catch_up_one(core *core, stream *stream)
{
    if (!has_credit(core, stream))
        return 0;
    if (stream->place == 0) {
        bool is_whole;
        stream->place = mark_find(core, stream->next, &is_whole);
        if (!is_whole && !stream->has_told_gap)
            gap_send(core, stream);
        stream->has_told_gap = true;
    }
    log_place before = stream->place;
    catch_up late = { stream, core };
    dro_err err = commit_log_walk(core->log, &stream->place, CATCH_UP_RECORDS, late_record, &late);
    if (err == DRO_NOT_FOUND) {
        gap_send(core, stream);
        stream->place = 0;
        stream->next = core->event_next;
        stream->is_behind = false;
        return 1;
    }
    bool is_at_end = err == DRO_OK && stream->place == commit_log_end(core->log);
    if (is_at_end && core->round_last <= core->round_told) {
        stream->is_behind = false;
        return 1;
    }
    return stream->place != before;
}

int streams_catch_up(core *core)
{
    int done = 0;
    for (uint32_t i = 0, seen = 0; i < STREAMS_MAX && seen < core->stream_count; i++) {
        stream *stream = &core->streams[i];
        if (stream->id == 0)
            continue;
        seen++;
        if (stream->is_behind)
            done += catch_up_one(core, stream);
    }
    return done;
}

/* ---- subscribing ---- */

static void stream_clear(core *core, stream *stream)
{
    free(stream->twin);
    free(stream->model);
    free(stream->property);
    core->stream_count--;
    core->gates[stream->gate].stream_count--;
    *stream = (struct stream){ 0 };
}

static stream *stream_find(core *core, uint32_t gate, uint64_t id)
{
    for (uint32_t i = 0; i < STREAMS_MAX; i++)
        if (core->streams[i].id == id && id != 0 && core->streams[i].gate == gate)
            return &core->streams[i];
    return NULL;
}

void streams_subscribe(core *core, uint32_t gate, const ring_header *header, const uint8_t *body)
{
    call call;
    dro_err err = call_read(&call, gate, header, body);
    stream *stream = NULL;
    for (uint32_t i = 0; i < STREAMS_MAX && stream == NULL; i++)
        if (core->streams[i].id == 0)
            stream = &core->streams[i];
    if (err != DRO_OK || stream == NULL || header->id == 0) {
        tell_problem(core, call.caller, 503, "about:blank", "%d event streams are open already", STREAMS_MAX);
        return;
    }
    if (call.id.at != NULL && call_twin(core, &call) == NONE)
        return;
    *stream = (struct stream){ .id = header->id, .gate = gate, .application = call.application, .scopes = call.scopes,
                               .next = core->event_next };
    core->stream_count++;
    stream->twin = call.id.at == NULL ? NULL : strndup(call.id.at, call.id.length);
    stream->model = call.model.at == NULL ? NULL : strndup(call.model.at, call.model.length);
    dro_cursor in = dro_cursor_over(call.fields, call.fields_length);
    dro_field field;
    while (dro_field_next(&in, &field)) {
        if (field.tag == API_FIELD_HELD)
            stream->sent = STREAM_CREDIT; /* and nothing is passed on yet */
        if (field.tag == API_FIELD_PROPERTY && stream->property == NULL)
            stream->property = strndup((const char *)field.bytes, field.length);
        if (field.tag != API_FIELD_RESUME || field.length == 0 || field.length > 20)
            continue;
        char text[24] = { 0 };
        memcpy(text, field.bytes, field.length);
        uint64_t last = strtoull(text, NULL, 10);
        if (last + 1 < core->event_next) {
            uint64_t oldest = event_oldest(core);
            stream->is_behind = true;
            stream->has_told_gap = last + 1 < oldest;
            stream->next = stream->has_told_gap ? oldest : last + 1;
        }
    }
    reply reply = { .status = 200, .content = CONTENT_NONE, .etag = stream->next - 1 };
    stream->may_pass = core_refusal(core) != NULL;
    core->is_reply_free = true; /* it shows nothing yet: also at a full disk it need not wait */
    tell_reply(core, call.caller, &reply, NULL, 0);
    core->is_reply_free = false;
    if (stream->has_told_gap)
        gap_send(core, stream);
}

void streams_unsubscribe(core *core, uint32_t gate, uint64_t id)
{
    stream *stream = stream_find(core, gate, id);
    if (stream != NULL)
        stream_clear(core, stream);
}

void streams_credit(core *core, uint32_t gate, uint64_t id, uint64_t passed)
{
    stream *stream = stream_find(core, gate, id);
    if (stream != NULL && passed <= stream->sent - stream->passed)
        stream->passed += passed;
}

void streams_gate_lost(core *core, uint32_t gate)
{
    for (uint32_t i = 0; i < STREAMS_MAX; i++)
        if (core->streams[i].id != 0 && core->streams[i].gate == gate)
            stream_clear(core, &core->streams[i]);
}

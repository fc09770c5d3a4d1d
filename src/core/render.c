/* JSON texts of answers. */
#include "core/render.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/conduct.h"
#include "core/groups.h"
#include "core/mailbox.h"
#include "core/schedule.h"
#include "core/serving.h"
#include "core/state.h"
#include "core/twin_table.h"

void json_put(dro_builder *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t room = (size_t)(out->end - out->at);
    int n = vsnprintf((char *)out->at, room, format, arguments);
    va_end(arguments);
    if (out->err != DRO_OK || n < 0 || (size_t)n >= room) {
        out->err = DRO_LIMIT;
        return;
    }
    out->at += n;
}

void json_string(dro_builder *out, const char *text)
{
    json_text(out, text, strlen(text));
}

void json_time(dro_builder *out, int64_t ms)
{
    char text[DRO_TIME_TEXT];
    if (ms == COLUMNS_NEVER) {
        dro_builder_text(out, "null");
        return;
    }
    dro_time_text(ms, text);
    json_put(out, "\"%s\"", text);
}

/* Too old for what its model says of it? Decided when read. */
static bool is_stale(core *core, const twin *twin, const model_property *property, const cell_value *value)
{
    if (property->stale_property < 0 || value->value.kind == VALUE_NONE)
        return false;
    cell_value period;
    columns_value_get(core->columns, twin->table, twin->row, (uint32_t)property->stale_property, &period);
    double seconds;
    if (period.value.kind == VALUE_INTEGER)
        seconds = (double)period.value.integer;
    else if (period.value.kind == VALUE_NUMBER)
        seconds = period.value.number;
    else
        return false;
    return (double)(core->now_ms - value->time_ms) > seconds * 1000.0 * property->stale_times;
}

static void render_desired(const twin *twin, uint32_t property, dro_builder *out)
{
    const ticket *ticket = ticket_newest(twin, (uint8_t)property);
    if (ticket == NULL) {
        dro_builder_text(out, ",\"desired\":null");
        return;
    }
    dro_builder_text(out, ",\"desired\":{\"value\":");
    value_json(out, &ticket->value);
    dro_builder_text(out, ",\"time\":");
    json_time(out, ticket->made_ms);
    json_put(out, ",\"state\":\"%s\",\"ticket\":\"%llu\"}", ticket_state_text(ticket->state),
             (unsigned long long)ticket->number);
}

void render_property(core *core, const twin *twin, uint32_t index, dro_builder *out)
{
    const model_property *property = &twin_model(core, twin)->properties[index];
    cell_value value;
    columns_value_get(core->columns, twin->table, twin->row, index, &value);
    dro_builder_text(out, "{\"value\":");
    if (value.value.kind == VALUE_NONE)
        dro_builder_text(out, "null");
    else
        value_json(out, &value.value);
    dro_builder_text(out, ",\"unit\":");
    if (property->unit[0] != '\0')
        json_string(out, property->unit);
    else
        dro_builder_text(out, "null");
    dro_builder_text(out, ",\"time\":");
    if (value.value.kind == VALUE_NONE) {
        dro_builder_text(out, "null,\"quality\":null,\"source\":null");
    } else {
        json_time(out, value.time_ms);
        quality shown = is_stale(core, twin, property, &value) ? QUALITY_STALE : value.quality;
        json_put(out, ",\"quality\":\"%s\",\"source\":\"%s\"", quality_text(shown), source_text(value.source));
    }
    if (property->is_writable)
        render_desired(twin, index, out);
    dro_builder_text(out, "}");
}

static void render_tags(core *core, const twin *twin, dro_builder *out)
{
    size_t length;
    const uint8_t *tags = columns_tags_get(core->columns, twin->table, twin->row, &length);
    dro_cursor in = dro_cursor_over(tags, length);
    dro_builder_text(out, "{");
    for (bool first = true; dro_cursor_left(&in) > 0; first = false) {
        size_t name_length = dro_cursor_le(&in, 1);
        const uint8_t *name = dro_cursor_bytes(&in, name_length);
        size_t text_length = dro_cursor_le(&in, 2);
        const uint8_t *text = dro_cursor_bytes(&in, text_length);
        if (in.err != DRO_OK)
            break;
        dro_builder_text(out, first ? "" : ",");
        json_text(out, (const char *)name, name_length);
        dro_builder_text(out, ":");
        json_text(out, (const char *)text, text_length);
    }
    dro_builder_text(out, "}");
}

static void render_contact(const twin *twin, dro_builder *out)
{
    static const char *const whys[] = { "unknown", "uplink", "reachable", "retransmission_time", "pattern", "twin", "learned" };
    dro_builder_text(out, "{\"last\":");
    json_time(out, twin->last_contact_ms);
    dro_builder_text(out, ",\"next\":");
    json_time(out, twin->next_contact_ms);
    json_put(out, ",\"why\":\"%s\"", whys[twin->why]);
    schedule_json(twin, out);
    dro_builder_text(out, "}");
}

void render_digest(const core *core, uint32_t image, dro_builder *out)
{
    if (image == NONE) {
        dro_builder_text(out, "null");
        return;
    }
    dro_builder_text(out, "\"sha256:");
    for (int i = 0; i < 32; i++)
        json_put(out, "%02x", core->images[image].digest[i]);
    dro_builder_text(out, "\"");
}

void render_twin(core *core, uint32_t index, bool is_whole, dro_builder *out)
{
    const twin *twin = twin_at(core, index);
    const model *model = twin_model(core, twin);
    size_t length;
    const char *id = twin_id(core, twin, &length);
    dro_builder_text(out, "{\"id\":");
    json_text(out, id, length);
    dro_builder_text(out, ",\"model\":");
    if (twin->image == NONE)
        dro_builder_text(out, "null");
    else
        json_string(out, model->name);
    dro_builder_text(out, ",\"image\":");
    render_digest(core, twin->image, out);
    json_put(out, ",\"revision\":%llu,\"aliases\":[", (unsigned long long)twin->revision);
    for (int i = 0; twin->extra != NULL && i < twin->extra->alias_count; i++) {
        dro_builder_text(out, i > 0 ? "," : "");
        json_string(out, twin->extra->aliases[i]);
    }
    dro_builder_text(out, "],\"tags\":");
    render_tags(core, twin, out);
    dro_builder_text(out, ",\"properties\":{");
    for (uint32_t i = 0, shown = 0; i < model->property_count; i++) {
        if (model->properties[i].is_private)
            continue;
        dro_builder_text(out, shown++ > 0 ? "," : "");
        json_string(out, model->properties[i].name);
        dro_builder_text(out, ":");
        render_property(core, twin, i, out);
    }
    dro_builder_text(out, "},\"contact\":");
    render_contact(twin, out);
    serving_render(core, twin, is_whole, out);
    json_put(out, ",\"mailbox\":%u", queue_mail_count(twin));
    groups_render(core, twin, out);
    penalty_render(core, twin, out);
    dro_builder_text(out, "}");
}

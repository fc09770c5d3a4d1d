#include "twin_lines.h"

#include <stdarg.h>
#include <stdlib.h>

#include "twin/effect.h"
#include "twin/event.h"
#include "twin/ticket.h"

enum { LINE_MAX_BYTES = 4096 };

typedef struct line {
    dro_builder text;
    char bytes[LINE_MAX_BYTES];
} line;

static void line_begin(line *line)
{
    line->text = dro_builder_over(line->bytes, sizeof line->bytes);
}

static void line_put(line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void line_put(line *line, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    dro_builder_text(&line->text, text);
}

void twin_lines_add(twin_lines *out, const char *line, size_t length)
{
    if (out->count == LINES_MAX || length + 1 > sizeof out->bytes - out->used) {
        out->is_full = true;
        return;
    }
    char *copy = out->bytes + out->used;
    memcpy(copy, line, length);
    copy[length] = '\0';
    out->used += length + 1;
    out->lines[out->count++] = copy;
}

static void line_property(line *line, const model *model, const effect *effect)
{
    if (effect->property.property >= model->property_count) {
        line_put(line, "property %u (the model has none)", effect->property.property);
        return;
    }
    const model_property *property = &model->properties[effect->property.property];
    value value = effect->property.value;
    line_put(line, "%s = ", property->name);
    value_json(&line->text, &value);
    if (effect->property.quality != QUALITY_GOOD)
        line_put(line, " (%s)", quality_text(effect->property.quality));
    if (model_check(&property->schema, &value) != DRO_OK)
        line_put(line, " (the model does not allow it)");
}

static void line_downlink(line *line, const effect *effect)
{
    line_put(line, "downlink ");
    for (uint32_t i = 0; i < effect->downlink.length; i++)
        line_put(line, "%02x", effect->downlink.bytes[i]);
    if (effect->downlink.merge_key != 0)
        line_put(line, " merge %u", effect->downlink.merge_key);
    if (effect->downlink.expiry_s != 0)
        line_put(line, " expiry %u", effect->downlink.expiry_s);
}

static void line_event(line *line, const model *model, const effect *effect)
{
    bool is_known = effect->notify.event < model->event_count;
    line_put(line, "event %s", is_known ? model->events[effect->notify.event].name : "(the model has none)");
    if (effect->notify.value.kind == VALUE_NONE)
        return;
    line_put(line, " ");
    value_json(&line->text, &effect->notify.value);
}

static void line_ticket(line *line, const effect *effect)
{
    ticket_state state = (ticket_state)effect->ticket.state;
    line_put(line, "ticket %s", state == TICKET_SENT ? "awaited" : ticket_state_text(state));
    if (effect->ticket.length == 0)
        return;
    line_put(line, " ");
    json_text(&line->text, effect->ticket.reason, effect->ticket.length);
}

static void line_schedule(line *line, const schedule_wish *wish)
{
    const struct { const char *name; uint32_t value; } parts[] = {
        { "latency", wish->latency_s }, { "response", wish->response_s }, { "packets", wish->packets },
    };
    line_put(line, schedule_wish_is_empty(wish) ? "schedule off" : "schedule");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (parts[i].value != SCHEDULE_UNSAID)
            line_put(line, " %s %u", parts[i].name, parts[i].value);
}

static void line_effect(line *line, const model *model, const effect *effect)
{
    static const char *const levels[] = { "debug", "info", "warning", "error" };
    switch (effect->kind) {
    case EFFECT_PROPERTY: line_property(line, model, effect); break;
    case EFFECT_DOWNLINK: line_downlink(line, effect); break;
    case EFFECT_TIMER:
        if (effect->timer.delay_ms < 0)
            line_put(line, "timer %u off", effect->timer.timer);
        else
            line_put(line, "timer %u in %lld ms", effect->timer.timer, (long long)effect->timer.delay_ms);
        break;
    case EFFECT_NOTIFY: line_event(line, model, effect); break;
    case EFFECT_TICKET: line_ticket(line, effect); break;
    case EFFECT_LOG:
        line_put(line, "log %s ", levels[effect->log.level]);
        json_text(&line->text, effect->log.text, effect->log.length);
        break;
    case EFFECT_CONTACT: line_put(line, "contact at %lld", (long long)effect->contact.at); break;
    case EFFECT_SCHEDULE: line_schedule(line, &effect->schedule); break;
    case EFFECT_PEER: break;
    case EFFECT_TRIGGER:
        line_put(line, "trigger %u port %u ", effect->trigger.trigger, effect->trigger.port);
        for (uint32_t i = 0; i < effect->trigger.length; i++)
            line_put(line, "%02x", effect->trigger.bytes[i]);
        if (effect->trigger.validity_s != 0)
            line_put(line, " validity %u", effect->trigger.validity_s);
        break;
    }
}

static void add_text(twin_lines *out, const char *text)
{
    twin_lines_add(out, text, strlen(text));
}

void twin_lines_of(twin_lines *out, const model *model, const twin_turn_end *end)
{
    line line;
    effect effect;
    out->count = 0;
    out->used = 0;
    out->is_full = false;
    if (end->fault != NULL) {
        line_begin(&line);
        line_put(&line, "failed: %s", end->fault);
        twin_lines_add(out, line.bytes, dro_builder_length(&line.text));
        return;
    }
    dro_cursor in = dro_cursor_over(end->effects, end->effects_length);
    while (effect_next(&in, &effect)) {
        line_begin(&line);
        line_effect(&line, model, &effect);
        twin_lines_add(out, line.bytes, dro_builder_length(&line.text));
    }
    if (in.err != DRO_OK)
        add_text(out, "(effects that cannot be read)");
    if (end->outcome == EVENT_NOT_HANDLED)
        add_text(out, "not handled");
    if (end->outcome == EVENT_SWALLOWED)
        add_text(out, "swallowed");
    if (out->is_full) {
        out->count = LINES_MAX - 1;
        out->lines[out->count++] = "(more than fits)";
    }
}

bool twin_lines_equal(const twin_lines *a, const twin_lines *b)
{
    bool is_equal = a->count == b->count;
    for (uint32_t i = 0; is_equal && i < a->count; i++)
        is_equal = strcmp(a->lines[i], b->lines[i]) == 0;
    return is_equal;
}

/* Longest common part by the usual table; both lists are short. */
void twin_lines_print_difference(FILE *out, const twin_lines *expected, const twin_lines *actual)
{
    static uint16_t common[LINES_MAX + 1][LINES_MAX + 1]; /* of what is left from i and j on */
    memset(common, 0, sizeof common);
    for (int i = (int)expected->count - 1; i >= 0; i--)
        for (int j = (int)actual->count - 1; j >= 0; j--) {
            uint16_t skip = common[i + 1][j] > common[i][j + 1] ? common[i + 1][j] : common[i][j + 1];
            bool is_same = strcmp(expected->lines[i], actual->lines[j]) == 0;
            common[i][j] = is_same ? (uint16_t)(common[i + 1][j + 1] + 1) : skip;
        }
    uint32_t i = 0, j = 0;
    while (i < expected->count || j < actual->count) {
        bool both = i < expected->count && j < actual->count;
        if (both && strcmp(expected->lines[i], actual->lines[j]) == 0) {
            fprintf(out, "    %s\n", expected->lines[i]);
            i++;
            j++;
        } else if (j == actual->count || (both && common[i + 1][j] >= common[i][j + 1])) {
            fprintf(out, "  - %s\n", expected->lines[i++]);
        } else {
            fprintf(out, "  + %s\n", actual->lines[j++]);
        }
    }
}

/* Effects: what a turn asked for, kept in the record of its turn. */
#include "core/trigger.h"
#include "core/turn.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/wipe.h"
#include "core/groups.h"
#include "core/mailbox.h"
#include "core/network.h"
#include "core/nidd.h"
#include "core/record.h"
#include "core/render.h"
#include "core/schedule.h"
#include "core/state.h"
#include "core/twin_table.h"
#include "twin/effect.h"

static bool differs(core *core, const twin *twin, uint32_t property, const cell_value *now)
{
    cell_value before;
    columns_value_get(core->columns, twin->table, twin->row, property, &before);
    return !value_equal(&before.value, &now->value) || before.quality != now->quality;
}

/* The device (or the twin for it) told a writable property's value: which command does that end? */
static void confirm(core *core, uint32_t index, uint8_t property, const value *told)
{
    const twin *twin = twin_at(core, index);
    bool is_newest = true, is_met = false;
    for (ticket *t = twin->extra != NULL ? twin->extra->tickets : NULL; t != NULL;) {
        uint64_t number = t->number;
        ticket *next = t->next;
        if (!t->is_action && t->index == property && t->state <= TICKET_DELIVERED) {
            if (is_met) {
                ticket_move(core, index, number, TICKET_SUPERSEDED, "a newer value was confirmed");
            } else if (value_equal(&t->value, told)) {
                is_met = true;
                mail *waiting = mail_of_ticket(twin, number);
                if (waiting != NULL && !waiting->is_sent)
                    record_put(core, FIELD_MAIL_GONE, &waiting->number, 8);
                ticket_move(core, index, number, TICKET_REPORTED, "");
            } else if (is_newest && t->state == TICKET_DELIVERED) {
                char json[64], reason[64];
                dro_builder text = dro_builder_over(json, sizeof json - 1);
                value_json(&text, told);
                snprintf(reason, sizeof reason, "the device confirmed %.*s",
                         text.err == DRO_OK ? (int)dro_builder_length(&text) : 0, json);
                ticket_move(core, index, number, TICKET_FAILED, reason);
            }
            is_newest = false;
        }
        t = next;
    }
}

static void keep_property(core *core, uint32_t index, const effect *effect)
{
    twin *twin = twin_at(core, index);
    const model *model = twin_model(core, twin);
    uint32_t property = effect->property.property;
    if (property >= model->property_count)
        return;
    model_schema any = model->properties[property].schema;
    any.has_minimum = any.has_maximum = false;
    value value = effect->property.value;
    if (model_check(&any, &value) != DRO_OK)
        return;
    cell_value cell = { value, core->now_ms, effect->property.quality, model->properties[property].source };
    bool is_private = model->properties[property].is_private;
    uint8_t quality = (uint8_t)cell.quality;
    if (is_private || !differs(core, twin, property, &cell))
        quality |= 0x80;
    dro_builder *part = record_part(core);
    dro_builder_le(part, property, 2);
    dro_builder_le(part, quality, 1);
    dro_builder_le(part, (uint64_t)cell.source, 1);
    dro_builder_le(part, (uint64_t)cell.time_ms, 8);
    value_write(part, &value);
    if (!is_private)
        record_part_end(core, FIELD_PROPERTY);
    if (model->properties[property].is_writable && twin->extra != NULL && twin->extra->tickets != NULL)
        confirm(core, index, (uint8_t)property, &value);
}

void timer_put(core *core, uint32_t index, uint32_t number, int64_t due_ms)
{
    const twin *twin = twin_at(core, index);
    bool is_known = false;
    for (int i = 0; twin->extra != NULL && i < twin->extra->timer_count; i++)
        is_known |= twin->extra->timers[i].number == number;
    if (!is_known && (due_ms < 0 || (twin->extra != NULL && twin->extra->timer_count == TWIN_TIMERS_MAX)))
        return;
    dro_builder *part = record_part(core);
    dro_builder_le(part, number, 4);
    dro_builder_le(part, (uint64_t)due_ms, 8);
    record_part_end(core, FIELD_TIMER);
}

/* A line of the host's own in the twin's timeline. */
static void put_log(core *core, const char *text)
{
    enum { LEVEL_WARNING = 2 };
    dro_builder *part = record_part(core);
    dro_builder_le(part, LEVEL_WARNING, 1);
    dro_builder_text(part, text);
    record_part_end(core, FIELD_LOG);
}

static void keep_effect(core *core, turn *turn, const effect *effect, uint32_t *log_left)
{
    uint32_t index = turn->twin;
    twin *twin = twin_at(core, index);
    dro_builder *part;
    switch (effect->kind) {
    case EFFECT_PROPERTY: keep_property(core, index, effect); break;
    case EFFECT_DOWNLINK: {
        int64_t age_s = core->options.downlink.age_s, wanted_s = effect->downlink.expiry_s;
        int64_t expiry_s = wanted_s > 0 && wanted_s < age_s ? wanted_s : age_s;
        mailbox_put(core, index, turn->ticket, effect->downlink.merge_key, core->now_ms + expiry_s * 1000,
                    effect->downlink.bytes, effect->downlink.length);
        break;
    }
    case EFFECT_TIMER: {
        int64_t delay = effect->timer.delay_ms;
        int64_t due = delay < 0 ? -1 : delay > INT64_MAX / 4 ? INT64_MAX / 2 : core->now_ms + delay;
        timer_put(core, index, effect->timer.timer, due);
        break;
    }
    case EFFECT_NOTIFY:
        if (effect->notify.event >= twin_model(core, twin)->event_count)
            break;
        part = record_part(core);
        dro_builder_le(part, effect->notify.event, 2);
        value_write(part, &effect->notify.value);
        record_part_end(core, FIELD_NOTIFY);
        break;
    case EFFECT_TICKET: {
        char reason[64];
        uint64_t number = effect->ticket.ticket != 0 ? effect->ticket.ticket : turn->ticket;
        snprintf(reason, sizeof reason, "%.*s", (int)effect->ticket.length, effect->ticket.reason);
        if (effect->ticket.state == TICKET_REPORTED || effect->ticket.state == TICKET_FAILED)
            ticket_move(core, index, number, (ticket_state)effect->ticket.state, reason);
        nidd_delivery_report(core, index, number, (ticket_state)effect->ticket.state);
        break;
    }
    case EFFECT_LOG:
        if (effect->log.length > *log_left) {
            *log_left = 0; /* none after it either */
            break;
        }
        *log_left -= *log_left != UINT32_MAX ? effect->log.length : 0;
        part = record_part(core);
        dro_builder_le(part, effect->log.level, 1);
        dro_builder_bytes(part, effect->log.text, effect->log.length);
        record_part_end(core, FIELD_LOG);
        break;
    case EFFECT_CONTACT:
        if (effect->contact.at > core->now_ms)
            contact_expect(core, index, CONTACT_TWIN, effect->contact.at);
        break;
    case EFFECT_SCHEDULE: schedule_wished(core, index, &effect->schedule); break;
    case EFFECT_PEER: break; /* reserved */
    case EFFECT_TRIGGER:
        if (!trigger_of_twin(core, index, effect))
            put_log(core, "a trigger is left out: one is under way, or was less than a minute ago");
        break;
    }
}

uint32_t effects_keep(core *core, turn *turn)
{
    uint32_t log_left = UINT32_MAX, bytes = 0, left_out = 0;
    bool has_log = false;
    for (uint32_t i = 0; i < core->effect_count; i++) {
        const effect *effect = &core->effects[i];
        if (effect->kind == EFFECT_LOG && !has_log) {
            has_log = true;
            log_left = budget_log_left(core, turn);
        }
        bool is_left_out = effect->kind == EFFECT_LOG && effect->log.length > log_left;
        left_out += is_left_out;
        bytes += effect->kind == EFFECT_LOG && !is_left_out ? effect->log.length + 1 : 0;
        keep_effect(core, turn, effect, &log_left);
    }
    if (left_out > 0) {
        core->counters.log_left_out += left_out;
        put_log(core, "lines of its log are left out: budget_log");
    }
    return bytes;
}

/* The cell can still write to where they lie: what is checked has to be what is kept. */
bool effects_take(core *core, const uint8_t *effects, uint32_t length)
{
    assert(length <= sizeof core->effect_bytes);
    memcpy(core->effect_bytes, effects, length);
    core->effect_length = length;
    dro_cursor in = dro_cursor_over(core->effect_bytes, length);
    core->effect_count = 0;
    while (core->effect_count < EFFECTS_MAX && effect_next(&in, &core->effects[core->effect_count]))
        core->effect_count++;
    return in.err == DRO_OK && in.at == in.end;
}

void effects_wipe(core *core)
{
    dro_wipe(core->effects, core->effect_count * sizeof core->effects[0]);
    dro_wipe(core->effect_bytes, core->effect_length);
    core->effect_count = 0;
    core->effect_length = 0;
}

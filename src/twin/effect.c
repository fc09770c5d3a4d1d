#include "twin/effect.h"

#include "base/fields.h"
#include "twin/model.h"
#include "twin/ticket.h"

enum { LOG_LEVEL_MAX = 3 };

static size_t effect_size(const effect *effect)
{
    switch (effect->kind) {
    case EFFECT_PROPERTY: return 3 + value_size(&effect->property.value);
    case EFFECT_DOWNLINK: return 8 + (size_t)effect->downlink.length;
    case EFFECT_TIMER: return 12;
    case EFFECT_NOTIFY: return 2 + value_size(&effect->notify.value);
    case EFFECT_TICKET: return 9 + (size_t)effect->ticket.length;
    case EFFECT_LOG: return 1 + (size_t)effect->log.length;
    case EFFECT_CONTACT: return 8;
    case EFFECT_SCHEDULE: return 12;
    case EFFECT_PEER: return 0;
    case EFFECT_TRIGGER: return 10 + (size_t)effect->trigger.length;
    }
    return 0;
}

void effect_write(dro_builder *out, const effect *effect)
{
    dro_builder_le(out, effect->kind, 1);
    dro_builder_varint(out, effect_size(effect));
    switch (effect->kind) {
    case EFFECT_PROPERTY:
        dro_builder_le(out, effect->property.property, 2);
        dro_builder_le(out, effect->property.quality, 1);
        value_write(out, &effect->property.value);
        break;
    case EFFECT_DOWNLINK:
        dro_builder_le(out, effect->downlink.merge_key, 4);
        dro_builder_le(out, effect->downlink.expiry_s, 4);
        dro_builder_bytes(out, effect->downlink.bytes, effect->downlink.length);
        break;
    case EFFECT_TIMER:
        dro_builder_le(out, effect->timer.timer, 4);
        dro_builder_le(out, (uint64_t)effect->timer.delay_ms, 8);
        break;
    case EFFECT_NOTIFY:
        dro_builder_le(out, effect->notify.event, 2);
        value_write(out, &effect->notify.value);
        break;
    case EFFECT_TICKET:
        dro_builder_le(out, effect->ticket.ticket, 8);
        dro_builder_le(out, effect->ticket.state, 1);
        dro_builder_bytes(out, effect->ticket.reason, effect->ticket.length);
        break;
    case EFFECT_LOG:
        dro_builder_le(out, effect->log.level, 1);
        dro_builder_bytes(out, effect->log.text, effect->log.length);
        break;
    case EFFECT_CONTACT: dro_builder_le(out, (uint64_t)effect->contact.at, 8); break;
    case EFFECT_SCHEDULE:
        dro_builder_le(out, effect->schedule.latency_s, 4);
        dro_builder_le(out, effect->schedule.response_s, 4);
        dro_builder_le(out, effect->schedule.packets, 4);
        break;
    case EFFECT_PEER: out->err = DRO_UNSUPPORTED; break;
    case EFFECT_TRIGGER:
        dro_builder_le(out, effect->trigger.trigger, 4);
        dro_builder_le(out, effect->trigger.port, 2);
        dro_builder_le(out, effect->trigger.validity_s, 4);
        dro_builder_bytes(out, effect->trigger.bytes, effect->trigger.length);
        break;
    }
}

/* All that is left, if it is not more than `most`. */
static const uint8_t *take_rest(dro_cursor *in, uint32_t most, uint32_t *length)
{
    size_t left = dro_cursor_left(in);
    if (in->err == DRO_OK && left > most)
        in->err = DRO_LIMIT;
    *length = in->err == DRO_OK ? (uint32_t)left : 0;
    return dro_cursor_bytes(in, *length);
}

/* An integer of the width that is at most `most`. */
static uint32_t take_upto(dro_cursor *in, size_t width, uint32_t most)
{
    uint32_t number = (uint32_t)dro_cursor_le(in, width);
    if (in->err == DRO_OK && number > most)
        in->err = DRO_RANGE;
    return number;
}

static void read_parts(dro_cursor *in, effect *effect)
{
    switch (effect->kind) {
    case EFFECT_PROPERTY:
        effect->property.property = (uint16_t)take_upto(in, 2, MODEL_PROPERTIES_MAX - 1);
        effect->property.quality = (quality)take_upto(in, 1, QUALITY_ESTIMATED); /* stale is decided when read */
        effect->property.value = value_read(in);
        break;
    case EFFECT_DOWNLINK:
        effect->downlink.merge_key = (uint32_t)dro_cursor_le(in, 4);
        effect->downlink.expiry_s = (uint32_t)dro_cursor_le(in, 4);
        effect->downlink.bytes = take_rest(in, EFFECT_BYTES_MAX, &effect->downlink.length);
        break;
    case EFFECT_TIMER:
        effect->timer.timer = (uint32_t)dro_cursor_le(in, 4);
        effect->timer.delay_ms = (int64_t)dro_cursor_le(in, 8);
        break;
    case EFFECT_NOTIFY:
        effect->notify.event = (uint16_t)take_upto(in, 2, MODEL_EVENTS_MAX - 1);
        effect->notify.value = value_read(in);
        break;
    case EFFECT_TICKET:
        effect->ticket.ticket = dro_cursor_le(in, 8);
        effect->ticket.state = (uint8_t)take_upto(in, 1, TICKET_FAILED);
        if (in->err == DRO_OK && effect->ticket.state < TICKET_REPORTED && effect->ticket.state != TICKET_SENT) /* it ends one, or awaits the device's word */
            in->err = DRO_RANGE;
        effect->ticket.reason = (const char *)take_rest(in, EFFECT_TEXT_MAX, &effect->ticket.length);
        break;
    case EFFECT_LOG:
        effect->log.level = (uint8_t)take_upto(in, 1, LOG_LEVEL_MAX);
        effect->log.text = (const char *)take_rest(in, EFFECT_TEXT_MAX, &effect->log.length);
        break;
    case EFFECT_CONTACT: effect->contact.at = (int64_t)dro_cursor_le(in, 8); break;
    case EFFECT_SCHEDULE:
        effect->schedule.latency_s = (uint32_t)dro_cursor_le(in, 4);
        effect->schedule.response_s = (uint32_t)dro_cursor_le(in, 4);
        effect->schedule.packets = (uint32_t)dro_cursor_le(in, 4);
        if (in->err == DRO_OK && schedule_wish_fault(&effect->schedule) != NULL)
            in->err = DRO_RANGE;
        break;
    case EFFECT_TRIGGER:
        effect->trigger.trigger = (uint32_t)dro_cursor_le(in, 4);
        effect->trigger.port = (uint16_t)dro_cursor_le(in, 2);
        effect->trigger.validity_s = (uint32_t)dro_cursor_le(in, 4);
        effect->trigger.bytes = take_rest(in, EFFECT_TRIGGER_MAX, &effect->trigger.length);
        break;
    default: in->err = DRO_MALFORMED; /* EFFECT_PEER too: nothing writes it yet */
    }
    if (in->err == DRO_OK && dro_cursor_left(in) > 0)
        in->err = DRO_MALFORMED;
}

bool effect_next(dro_cursor *in, effect *effect)
{
    dro_field field;
    if (!dro_field_next(in, &field))
        return false;
    dro_cursor parts = dro_cursor_over(field.bytes, field.length);
    memset(effect, 0, sizeof *effect);
    effect->kind = (effect_kind)field.tag;
    read_parts(&parts, effect);
    in->err = parts.err;
    return parts.err == DRO_OK;
}

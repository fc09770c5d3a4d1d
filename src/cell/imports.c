#include "cell/imports.h"

#include <math.h>

#include "abi_imports.h"
#include "base/utf8.h"
#include "base/wipe.h"
#ifdef DROMIO_HOSTILE
#include "cell/hostile.h"
#endif
#include "twin/event.h"
#include "twin/ticket.h"

_Static_assert((int)ABI_LIMIT_EVENT_BYTES == (int)EVENT_BYTES_MAX, "sdk/abi.json and twin/event.h agree");
_Static_assert((int)ABI_LIMIT_DOWNLINK_BYTES == (int)EFFECT_BYTES_MAX, "sdk/abi.json and twin/effect.h agree");
_Static_assert((int)ABI_LIMIT_TRIGGER_BYTES == (int)EFFECT_TRIGGER_MAX, "sdk/abi.json and twin/effect.h agree");
_Static_assert((int)ABI_LIMIT_TEXT_BYTES == (int)EFFECT_TEXT_MAX, "sdk/abi.json and twin/effect.h agree");
_Static_assert((int)ABI_LIMIT_EFFECTS_BYTES == (int)EFFECTS_BYTES_MAX, "sdk/abi.json and twin/effect.h agree");
_Static_assert((int)ABI_LIMIT_EFFECTS == (int)EFFECTS_MAX, "sdk/abi.json and twin/effect.h agree");
_Static_assert(EVENT_HANDLED == 0 && EVENT_NOT_HANDLED == 1 && EVENT_SWALLOWED == 2, "outcomes are the ABI's");

static bool refuse(turn *turn, enum turn_status status)
{
    turn->refused_as = status;
    return false;
}

/* Bytes of guest memory, or NULL. */
static const uint8_t *guest_bytes(const turn *turn, int32_t address, int32_t length)
{
    uint64_t start = (uint32_t)address, count = (uint32_t)length;
    return start + count <= turn->memory->length ? turn->memory->bytes + start : NULL;
}

static bool put(turn *turn, const effect *effect)
{
    if (turn->is_mute || turn->effect_count == EFFECTS_MAX)
        return refuse(turn, TURN_EFFECTS);
    effect_write(&turn->effects, effect);
    turn->effect_count++;
    return turn->effects.err == DRO_OK || refuse(turn, TURN_EFFECTS);
}

static bool put_property(turn *turn, int32_t property, int32_t quality, value value)
{
    if ((uint32_t)property >= turn->info->property_count || turn->info->property_kinds[property] != value.kind ||
        (uint32_t)quality > QUALITY_ESTIMATED)
        return refuse(turn, TURN_EFFECTS);
    effect effect = { .kind = EFFECT_PROPERTY };
    effect.property.property = (uint16_t)property;
    effect.property.quality = (enum quality)quality;
    effect.property.value = value;
    return put(turn, &effect);
}

/* A text value: UTF-8 in guest memory. */
static bool guest_text(turn *turn, int32_t address, int32_t length, value *out)
{
    const uint8_t *bytes = guest_bytes(turn, address, length);
    if (bytes == NULL)
        return refuse(turn, TURN_OUT_OF_BOUNDS);
    if ((uint32_t)length > VALUE_STRING_MAX || !dro_utf8_is_valid((const char *)bytes, (uint32_t)length))
        return refuse(turn, TURN_EFFECTS);
    *out = (value){ .kind = VALUE_STRING, .length = (uint32_t)length, .string = (const char *)bytes };
    return true;
}

static bool property_set_number(void *context, engine_value *values)
{
    if (!isfinite(values[1].f64))
        return refuse(context, TURN_EFFECTS);
    return put_property(context, values[0].i32, values[2].i32,
                        (value){ .kind = VALUE_NUMBER, .number = values[1].f64 });
}

static bool property_set_integer(void *context, engine_value *values)
{
    return put_property(context, values[0].i32, values[2].i32,
                        (value){ .kind = VALUE_INTEGER, .integer = values[1].i64 });
}

static bool property_set_boolean(void *context, engine_value *values)
{
    return put_property(context, values[0].i32, values[2].i32,
                        (value){ .kind = VALUE_BOOLEAN, .boolean = values[1].i32 != 0 });
}

static bool property_set_string(void *context, engine_value *values)
{
    value text;
    return guest_text(context, values[1].i32, values[2].i32, &text) &&
           put_property(context, values[0].i32, values[3].i32, text);
}

static bool downlink(void *context, engine_value *values)
{
    turn *turn = context;
    effect effect = { .kind = EFFECT_DOWNLINK };
    effect.downlink.bytes = guest_bytes(turn, values[0].i32, values[1].i32);
    effect.downlink.length = (uint32_t)values[1].i32;
    effect.downlink.merge_key = (uint32_t)values[2].i32;
    effect.downlink.expiry_s = (uint32_t)values[3].i32;
    if (effect.downlink.bytes == NULL)
        return refuse(turn, TURN_OUT_OF_BOUNDS);
    if (effect.downlink.length > EFFECT_BYTES_MAX)
        return refuse(turn, TURN_EFFECTS);
    return put(turn, &effect);
}

static bool timer(void *context, engine_value *values)
{
    effect effect = { .kind = EFFECT_TIMER };
    effect.timer.timer = (uint32_t)values[0].i32;
    effect.timer.delay_ms = values[1].i64;
    return put(context, &effect);
}

static bool put_notify(turn *turn, int32_t event, value value)
{
    if ((uint32_t)event >= turn->info->event_count || turn->info->event_kinds[event] != value.kind)
        return refuse(turn, TURN_EFFECTS);
    effect effect = { .kind = EFFECT_NOTIFY };
    effect.notify.event = (uint16_t)event;
    effect.notify.value = value;
    return put(turn, &effect);
}

static bool notify(void *context, engine_value *values)
{
    return put_notify(context, values[0].i32, (value){ .kind = VALUE_NONE });
}

static bool notify_number(void *context, engine_value *values)
{
    if (!isfinite(values[1].f64))
        return refuse(context, TURN_EFFECTS);
    return put_notify(context, values[0].i32, (value){ .kind = VALUE_NUMBER, .number = values[1].f64 });
}

static bool notify_string(void *context, engine_value *values)
{
    value text;
    return guest_text(context, values[1].i32, values[2].i32, &text) && put_notify(context, values[0].i32, text);
}

/* Reasons and log lines end up in JSON: they are texts like any other. */
static bool short_text(turn *turn, int32_t address, int32_t length, value *out)
{
    if ((uint32_t)length > EFFECT_TEXT_MAX)
        return refuse(turn, TURN_EFFECTS);
    return guest_text(turn, address, length, out);
}

static bool ticket(void *context, engine_value *values)
{
    turn *turn = context;
    effect effect = { .kind = EFFECT_TICKET };
    value reason;
    int32_t state = values[1].i32;
    if (state != TICKET_SENT && state != TICKET_REPORTED && state != TICKET_FAILED)
        return refuse(turn, TURN_EFFECTS);
    if (!short_text(turn, values[2].i32, values[3].i32, &reason))
        return false;
    effect.ticket.ticket = (uint64_t)values[0].i64;
    effect.ticket.state = (uint8_t)state;
    effect.ticket.reason = reason.string;
    effect.ticket.length = reason.length;
    return put(turn, &effect);
}

static bool contact_at(void *context, engine_value *values)
{
    effect effect = { .kind = EFFECT_CONTACT };
    effect.contact.at = values[0].i64;
    return put(context, &effect);
}

/* What cannot be asked for of a network is the twin's mistake. */
static bool schedule(void *context, engine_value *values)
{
    effect effect = { .kind = EFFECT_SCHEDULE };
    effect.schedule = (schedule_wish){ (uint32_t)values[0].i32, (uint32_t)values[1].i32, (uint32_t)values[2].i32 };
    if (schedule_wish_fault(&effect.schedule) != NULL)
        return refuse(context, TURN_EFFECTS);
    return put(context, &effect);
}

static bool trigger(void *context, engine_value *values)
{
    turn *turn = context;
    effect effect = { .kind = EFFECT_TRIGGER };
    effect.trigger.trigger = (uint32_t)values[0].i32;
    effect.trigger.port = (uint16_t)values[1].i32;
    effect.trigger.bytes = guest_bytes(turn, values[2].i32, values[3].i32);
    effect.trigger.length = (uint32_t)values[3].i32;
    effect.trigger.validity_s = (uint32_t)values[4].i32;
    if (effect.trigger.bytes == NULL)
        return refuse(turn, TURN_OUT_OF_BOUNDS);
    if (effect.trigger.length > EFFECT_TRIGGER_MAX || (uint32_t)values[1].i32 > UINT16_MAX)
        return refuse(turn, TURN_EFFECTS);
    return put(turn, &effect);
}

static bool write_log(void *context, engine_value *values)
{
    enum { LEVEL_ERROR = 3 };
    turn *turn = context;
    effect effect = { .kind = EFFECT_LOG };
    value text;
    if ((uint32_t)values[0].i32 > LEVEL_ERROR)
        return refuse(turn, TURN_EFFECTS);
    if (!short_text(turn, values[1].i32, values[2].i32, &text))
        return false;
    effect.log.level = (uint8_t)values[0].i32;
    effect.log.text = text.string;
    effect.log.length = text.length;
    return put(turn, &effect);
}

static bool now(void *context, engine_value *values)
{
    turn *turn = context;
    if (turn->is_mute)
        return refuse(turn, TURN_EFFECTS);
    values[0].i64 = turn->wall_ms;
    return true;
}

static bool random_bits(void *context, engine_value *values)
{
    turn *turn = context;
    if (turn->is_mute)
        return refuse(turn, TURN_EFFECTS);
    if (!turn->is_random_ready)
        dro_random_seeded_init(&turn->random, turn->seed);
    turn->is_random_ready = true;
    values[0].i64 = (int64_t)dro_random_next(&turn->random);
    return true;
}

#ifdef DROMIO_HOSTILE
static bool native(void *context, engine_value *values)
{
    turn *turn = context;
    const uint8_t *bytes = guest_bytes(turn, values[1].i32, values[2].i32);
    if (bytes == NULL)
        return refuse(turn, TURN_OUT_OF_BOUNDS);
    values[0].i32 = hostile_act(turn, (uint32_t)values[0].i32, bytes, (uint32_t)values[2].i32);
    return true;
}
#endif

static const engine_import_fn calls[ABI_IMPORT_COUNT] = {
    [ABI_IMPORT_PROPERTY_SET_NUMBER] = property_set_number,
    [ABI_IMPORT_PROPERTY_SET_INTEGER] = property_set_integer,
    [ABI_IMPORT_PROPERTY_SET_BOOLEAN] = property_set_boolean,
    [ABI_IMPORT_PROPERTY_SET_STRING] = property_set_string,
    [ABI_IMPORT_DOWNLINK] = downlink,
    [ABI_IMPORT_TIMER] = timer,
    [ABI_IMPORT_NOTIFY] = notify,
    [ABI_IMPORT_NOTIFY_NUMBER] = notify_number,
    [ABI_IMPORT_NOTIFY_STRING] = notify_string,
    [ABI_IMPORT_TICKET] = ticket,
    [ABI_IMPORT_CONTACT_AT] = contact_at,
    [ABI_IMPORT_TRIGGER] = trigger,
    [ABI_IMPORT_SCHEDULE] = schedule,
    [ABI_IMPORT_LOG] = write_log,
    [ABI_IMPORT_NOW] = now,
    [ABI_IMPORT_RANDOM] = random_bits,
#ifdef DROMIO_HOSTILE
    [ABI_IMPORT_NATIVE] = native,
#endif
};

engine_options imports_engine_options(turn *turn)
{
    static engine_import imports[ABI_IMPORT_COUNT];
    for (uint32_t i = 0; i < ABI_IMPORT_COUNT; i++)
        imports[i] = (engine_import){ abi_imports[i].name, abi_imports[i].parameters, abi_imports[i].parameter_count,
                                      abi_imports[i].result, calls[i] };
    return (engine_options){
        .module = ABI_MODULE, .imports = imports, .import_count = ABI_IMPORT_COUNT,
        .entries = { [ENTRY_EVENT] = "dromio_event", [ENTRY_EVENT_BUFFER] = "dromio_event_buffer",
                     [ENTRY_EXPORT_STATE] = "dromio_export_state", [ENTRY_IMPORT_STATE] = "dromio_import_state" },
        .context = turn,
    };
}

void turn_begin(turn *turn, const artifact_info *info, const engine_memory *memory, int64_t wall_ms, uint64_t seed)
{
    turn->info = info;
    turn->memory = memory;
    turn->wall_ms = wall_ms;
    turn->seed = seed;
    turn->is_random_ready = false;
    turn->is_mute = false;
    turn->refused_as = TURN_TRAP;
    turn->effect_count = 0;
    turn->effects = dro_builder_over(turn->effect_bytes, sizeof turn->effect_bytes);
}

void turn_end(turn *turn)
{
    dro_wipe(turn->effect_bytes, dro_builder_length(&turn->effects));
    dro_wipe(&turn->random, sizeof turn->random);
    turn->seed = 0;
    turn->effects.at = turn->effects.start;
}

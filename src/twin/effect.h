/* Effect: what a turn asks for. A list of effects is a field list (base/fields.h);
 * the tag is the effect's kind, the bytes its parts in the order given here.
 * Written by a cell, which the core does not trust: effect_read checks it all. */
#pragma once

#include "twin/quality.h"
#include "twin/schedule.h"
#include "twin/value.h"

typedef enum effect_kind {
    EFFECT_PROPERTY = 1, /* property u16, quality u8, value             */
    EFFECT_DOWNLINK = 2, /* merge_key u32, expiry_s u32, bytes          */
    EFFECT_TIMER = 3,    /* timer u32, delay_ms i64 (negative: cancel)  */
    EFFECT_NOTIFY = 4,   /* event u16, value                            */
    EFFECT_TICKET = 5,   /* ticket u64 (0: this event's), state u8, reason text */
    EFFECT_LOG = 6,      /* level u8, text                              */
    EFFECT_CONTACT = 7,  /* at wall_ms i64: the device's next contact   */
    EFFECT_PEER = 8,     /* reserved: message to a peer twin            */
    EFFECT_TRIGGER = 9,  /* trigger u32, port u16, validity_s u32, bytes */
    EFFECT_SCHEDULE = 10,/* latency_s u32, response_s u32, packets u32; SCHEDULE_UNSAID: left to the network */
} effect_kind;

enum {
    EFFECT_BYTES_MAX = 1500,   /* one downlink */
    EFFECT_TEXT_MAX = 200,     /* reason, log */
    EFFECT_TRIGGER_MAX = 133,  /* bytes of a trigger: one short message behind its ports (TS 23.040 9.2.3.24.4) */
    EFFECTS_BYTES_MAX = 8192,  /* all effects of one turn, encoded */
    EFFECTS_MAX = 128,         /* in one turn */
};

typedef struct effect {
    effect_kind kind;
    union {
        struct { uint16_t property; quality quality; value value; } property;
        struct { uint32_t merge_key, expiry_s; const uint8_t *bytes; uint32_t length; } downlink;
        struct { uint32_t timer; int64_t delay_ms; } timer;
        struct { uint16_t event; value value; } notify;
        struct { uint64_t ticket; uint8_t state; const char *reason; uint32_t length; } ticket;
        struct { uint8_t level; const char *text; uint32_t length; } log;
        struct { int64_t at; } contact;
        struct { uint32_t trigger, validity_s; uint16_t port; const uint8_t *bytes; uint32_t length; } trigger;
        schedule_wish schedule;
    };
} effect;

void effect_write(dro_builder *out, const effect *effect);
/* False at the end or on failure (then in->err). Borrows the input. Failures: an
 * unknown kind, a part missing or left over, an index, quality, level or state that no
 * model or ABI has, a value value_read refuses, bytes past their limit. Reason and log
 * text may be any bytes; json_text makes them presentable. The caller counts EFFECTS_MAX. */
bool effect_next(dro_cursor *in, effect *effect);

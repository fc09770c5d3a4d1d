/* For authors of twins: what nearly every twin needs besides the ABI itself.
 * The header `dromio twin build` makes from a model includes this one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dromio_abi.h"

/* Where the host has put the payload of the event. */
extern uint8_t dromio_payload[DROMIO_LIMIT_EVENT_BYTES];

/* Logs a literal: DROMIO_LOG(DROMIO_LOG_INFO, "restarted"). */
#define DROMIO_LOG(level, literal) dromio_log(level, literal, sizeof(literal) - 1)

/* In place of a number of dromio_schedule: left to the network. In a schedule event: not known. */
#define DROMIO_UNSAID UINT32_MAX

/* To the nearest 1/parts: dromio_round(21.700000000000003, 100) is 21.7. */
static inline double dromio_round(double value, double parts)
{
    double whole = value * parts;
    bool is_exact = whole > -9007199254740992.0 && whole < 9007199254740992.0;
    return is_exact ? __builtin_rint(whole) / parts : value;
}

/* ---- Frames: read straight on, ask once. After the end everything reads as 0. ---- */

typedef struct dromio_reader {
    const uint8_t *at, *end;
    bool failed;
} dromio_reader;

static inline dromio_reader dromio_reader_over(const void *bytes, uint32_t length)
{
    const uint8_t *at = bytes;
    return (dromio_reader){ at, at + length, false };
}

static inline const uint8_t *dromio_take(dromio_reader *in, uint32_t length)
{
    if (in->failed || (size_t)(in->end - in->at) < length) {
        in->failed = true;
        in->at = in->end;
        return NULL;
    }
    in->at += length;
    return in->at - length;
}

/* Big-endian, 1 to 8 bytes. */
static inline uint64_t dromio_take_be(dromio_reader *in, uint32_t width)
{
    const uint8_t *bytes = dromio_take(in, width);
    uint64_t value = 0;
    for (uint32_t i = 0; bytes != NULL && i < width; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* Little-endian, 1 to 8 bytes. */
static inline uint64_t dromio_take_le(dromio_reader *in, uint32_t width)
{
    const uint8_t *bytes = dromio_take(in, width);
    uint64_t value = 0;
    for (uint32_t i = 0; bytes != NULL && i < width; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

/* What a schedule event says the network has for the device; DROMIO_UNSAID: not known. */
typedef struct dromio_schedule_facts { uint32_t periodic_s, active_s, packets, edrx_ms; } dromio_schedule_facts;

static inline bool dromio_read_schedule(dromio_schedule_facts *out, uint32_t length)
{
    dromio_reader in = dromio_reader_over(dromio_payload, length);
    out->periodic_s = (uint32_t)dromio_take_le(&in, 4);
    out->active_s = (uint32_t)dromio_take_le(&in, 4);
    out->packets = (uint32_t)dromio_take_le(&in, 4);
    out->edrx_ms = (uint32_t)dromio_take_le(&in, 4);
    return !in.failed;
}

/* ---- Writing frames and state: the caller sees to the room. ---- */

static inline uint8_t *dromio_put_be(uint8_t *at, uint64_t value, uint32_t width)
{
    for (uint32_t i = 0; i < width; i++)
        at[i] = (uint8_t)(value >> (8 * (width - 1 - i)));
    return at + width;
}

static inline uint8_t *dromio_put_le(uint8_t *at, uint64_t value, uint32_t width)
{
    for (uint32_t i = 0; i < width; i++)
        at[i] = (uint8_t)(value >> (8 * i));
    return at + width;
}

static inline uint8_t *dromio_put_bytes(uint8_t *at, const void *bytes, uint32_t length)
{
    memcpy(at, bytes, length);
    return at + length;
}

/* ---- Values in payloads (the decoders of a model's header are made of these) ---- */

/* A secret or an optional input: was it in this event? */
enum dromio_change { DROMIO_ABSENT, DROMIO_GIVEN, DROMIO_REMOVED };

typedef struct dromio_value {
    enum dromio_value_kind kind;
    uint32_t length;         /* of bytes */
    union {
        double number;
        int64_t integer;
        bool boolean;
        const uint8_t *bytes; /* in the payload, not NUL-terminated */
    };
} dromio_value;

static inline dromio_value dromio_take_value(dromio_reader *in)
{
    dromio_value value = { .kind = (enum dromio_value_kind)dromio_take_le(in, 1) };
    switch (value.kind) {
    case DROMIO_VALUE_NUMBER: {
        uint64_t bits = dromio_take_le(in, 8);
        memcpy(&value.number, &bits, 8);
        break;
    }
    case DROMIO_VALUE_INTEGER: value.integer = (int64_t)dromio_take_le(in, 8); break;
    case DROMIO_VALUE_BOOLEAN: value.boolean = dromio_take_le(in, 1) != 0; break;
    case DROMIO_VALUE_STRING:
        value.length = (uint32_t)dromio_take_le(in, 2);
        value.bytes = dromio_take(in, value.length);
        break;
    default: break;
    }
    return value;
}

/* ---- The event `network`: what the mobile network says of the device ---- */

enum dromio_network_id { /* the event's id: what was watched */
    DROMIO_NETWORK_LOST, DROMIO_NETWORK_REACHABLE, DROMIO_NETWORK_LOCATION, DROMIO_NETWORK_IMEI, DROMIO_NETWORK_ROAMING,
    DROMIO_NETWORK_FAILURE, DROMIO_NETWORK_AVAILABLE, DROMIO_NETWORK_AREA, DROMIO_NETWORK_PDN,
};
enum dromio_network_said { DROMIO_SAID_EVENT, DROMIO_SAID_ENDED, DROMIO_SAID_SUSPENDED, DROMIO_SAID_RESUMED };

/* Numbers are -1, strings empty where the network did not say it. */
typedef struct dromio_network {
    int64_t said;                 /* enum dromio_network_said */
    int64_t time_ms, available_until_ms;
    int64_t reachability;         /* 0 SMS, 1 data */
    int64_t loss_reason, roaming;
    dromio_value network, cell, tracking_area; /* "001-01", "001-01-0a1b2c3", "001-01-00ff" */
    int64_t location_age_minutes, imei_change, failure_cause;
    int64_t active_time_s, periodic_timer_s;
    int64_t pdn;                  /* 0 created, 1 released */
    dromio_value apn;
} dromio_network;

static inline int64_t dromio_take_number(dromio_reader *in)
{
    dromio_value value = dromio_take_value(in);
    return value.kind == DROMIO_VALUE_INTEGER ? value.integer : -1;
}

/* The payload of the event; false: it is none. Strings are in it. */
static inline bool dromio_read_network(dromio_network *out, uint32_t length)
{
    dromio_reader in = dromio_reader_over(dromio_payload, length);
    out->said = dromio_take_number(&in);
    out->time_ms = dromio_take_number(&in);
    out->available_until_ms = dromio_take_number(&in);
    out->reachability = dromio_take_number(&in);
    out->loss_reason = dromio_take_number(&in);
    out->roaming = dromio_take_number(&in);
    out->network = dromio_take_value(&in);
    out->cell = dromio_take_value(&in);
    out->tracking_area = dromio_take_value(&in);
    out->location_age_minutes = dromio_take_number(&in);
    out->imei_change = dromio_take_number(&in);
    out->failure_cause = dromio_take_number(&in);
    out->active_time_s = dromio_take_number(&in);
    out->periodic_timer_s = dromio_take_number(&in);
    out->pdn = dromio_take_number(&in);
    out->apn = dromio_take_value(&in);
    return !in.failed; /* a newer host may say more behind it */
}

/* A value of the kind the model says, or DROMIO_ABSENT or DROMIO_REMOVED; another kind fails the reader. */
static inline enum dromio_change dromio_take_member(dromio_reader *in, enum dromio_value_kind kind, dromio_value *value)
{
    *value = dromio_take_value(in);
    if (in->failed || value->kind == DROMIO_VALUE_NONE)
        return DROMIO_ABSENT;
    if (value->kind == DROMIO_VALUE_REMOVED)
        return DROMIO_REMOVED;
    if (value->kind != kind) {
        in->failed = true;
        return DROMIO_ABSENT;
    }
    return DROMIO_GIVEN;
}

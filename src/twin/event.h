/* Event: anything a twin is called with. Kinds and numbers are the twin ABI's. */
#pragma once

#include <stdint.h>

typedef enum event_kind {
    EVENT_CREATED = 1,        /* payload: a value for each secret of the model, in order */
    EVENT_CONFIGURED = 2,     /* the same; VALUE_NONE: unchanged */
    EVENT_UPLINK = 3,         /* payload: the frame as it came */
    EVENT_PROPERTY_WRITE = 4, /* id: property; payload: one value */
    EVENT_ACTION = 5,         /* id: action; payload: a value for each input, in order */
    EVENT_TIMER = 6,          /* id: timer */
    EVENT_REACHABILITY = 7,   /* id: 1 reachable */
    EVENT_DOWNLINK = 8,       /* payload: raw bytes of an application */
    EVENT_PEER = 9,
    EVENT_NETWORK = 10,       /* id: monitoring type (T8's order); payload: a value for each member, in order: sdk/abi.json */
    EVENT_TRIGGER_OUTCOME = 11, /* id: the trigger; payload: enum event_trigger_outcome u8 */
    EVENT_SCHEDULE = 12,      /* id: schedule_state; payload: schedule_facts, four u32 */
} event_kind;

enum {
    EVENT_BYTES_MAX = 2048,      /* room in every twin's event buffer */
    /* In EVENT_CONFIGURED in place of a value: the secret is gone, its default counts again. */
    EVENT_SECRET_REMOVED = 0xff,
};

const char *event_kind_text(event_kind kind);

/* What became of a trigger, as its twin hears it. */
enum event_trigger_outcome { EVENT_TRIGGER_DELIVERED, EVENT_TRIGGER_EXPIRED, EVENT_TRIGGER_FAILED, EVENT_TRIGGER_UNCONFIRMED, EVENT_TRIGGER_UNKNOWN };

/* What dromio_event returns. */
typedef enum event_outcome { EVENT_HANDLED, EVENT_NOT_HANDLED, EVENT_SWALLOWED } event_outcome;

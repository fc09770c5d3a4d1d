/* When a device sleeps, as its twin wishes it and as the network has it (TS 23.682, 4.5.20 and 4.5.4):
 * a maximum latency sets the periodic TAU timer, a maximum response time the active time. */
#pragma once

#include <stdint.h>

#define SCHEDULE_UNSAID UINT32_MAX /* not asked for; not known */

typedef struct schedule_wish { uint32_t latency_s, response_s, packets; } schedule_wish;

typedef struct schedule_facts {
    uint32_t periodic_s;         /* periodic RAU/TAU timer (T3412): the device is heard of at least so often */
    uint32_t active_s;           /* active time (T3324): it listens so long after a contact */
    uint32_t packets;            /* downlinks that the serving gateway keeps */
    uint32_t edrx_ms;            /* eDRX cycle: it listens that often */
} schedule_facts;

typedef enum schedule_state {    /* of a wish; the twin ABI's numbers, but the first */
    SCHEDULE_WAITING = 0,        /* to be asked for */
    SCHEDULE_APPLIED = 1, SCHEDULE_REFUSED = 2,
    SCHEDULE_HELD = 3,           /* an application's network parameters count instead */
    SCHEDULE_CANCELLED = 4,      /* by the network */
    SCHEDULE_NONE = 5,           /* nothing is wished for, facts may be there; to a twin: they are what the event is about */
    SCHEDULE_STATES,
} schedule_state;
const char *schedule_state_text(schedule_state state);

enum { /* of a wish, and of network parameters of T8 */
    SCHEDULE_LATENCY_MIN_S = 60,
    SCHEDULE_LATENCY_MAX_S = 35712000, /* 31 times 320 hours: the longest GPRS timer 3 (TS 24.008, 10.5.7.4a) */
    SCHEDULE_RESPONSE_MAX_S = 11160,   /* 31 decihours: the longest GPRS timer 2 (TS 24.008, 10.5.7.3) */
    SCHEDULE_PACKETS_MAX = 1000,
};

/* NULL: it can be asked for; else what is wrong with it. */
const char *schedule_wish_fault(const schedule_wish *wish);
static inline int schedule_wish_is_empty(const schedule_wish *wish)
{
    return wish->latency_s == SCHEDULE_UNSAID && wish->response_s == SCHEDULE_UNSAID && wish->packets == SCHEDULE_UNSAID;
}
static inline int schedule_wish_is_same(const schedule_wish *one, const schedule_wish *other)
{
    return one->latency_s == other->latency_s && one->response_s == other->response_s && one->packets == other->packets;
}

/* Device: one simulated NB-IoT thermometer and what its MME knows of it. Pure:
 * time comes in, no socket, no clock; the same seed and the same answers give the
 * same device. All times are simulated milliseconds since the start of the run.
 *
 * The owner calls device_wake when device_due is reached, sends what device_next
 * wants (one request outstanding per device), and tells the answer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "expect.h"
#include "frame.h"
#include "temperature.h"

enum {
    DEVICE_OUTBOX = 4,         /* frames a device keeps while the network does not take them; then the oldest goes */
    DEVICE_COMMAND_MAX = 16,   /* bytes of a downlink the device's modem takes */
    DEVICE_PERIOD_S = 600,
    DEVICE_ACTIVE_MS = 10000,  /* T3324: stays reachable after an uplink */
    DEVICE_EDRX_MS = 20480,    /* paging cycle of an eDRX device */
    DEVICE_RADIO_MS = 300,     /* least time of a downlink over the air; twice that at most */
    DEVICE_CONFIRM_MS = 1000,  /* from a command to its confirmation */
    DEVICE_BATTERY_FULL_MV = 3650,
    DEVICE_BATTERY_EMPTY_MV = 2500,
    DEVICE_TEMPERATURES_MAX = 8,
};

#define DEVICE_NEVER INT64_MAX

typedef struct device_settings {
    uint64_t seed;
    double loss, duplicate, late, restart, move; /* probabilities, at each uplink */
    double edrx;                                 /* share of devices with eDRX instead of PSM */
    uint16_t period_s;
    int64_t active_ms;
    int64_t refused_ms;                          /* wait after an attach was refused */
    int64_t busy_ms;                             /* wait after the host said it is busy */
    uint32_t mme_count;
    bool is_quiet;                               /* attaches, but never reads */
    double start_hour;                           /* of the year, at time 0 */
    const temperature *temperatures[DEVICE_TEMPERATURES_MAX];
    uint32_t temperature_count;
} device_settings;

typedef struct device_counts { /* of all devices of a run */
    uint64_t readings_made, readings_lost, readings_overrun, readings_late, restarts, moves;
    uint64_t periods_set, blinks, commands_unknown;
} device_counts;

/* What a device wants of its network now. */
enum device_action { DEVICE_IDLE, DEVICE_RELEASE, DEVICE_ESTABLISH, DEVICE_REACHABLE, DEVICE_UPLINK };

typedef struct device {
    uint64_t random;
    int64_t next_reading, awake_until, confirm_at, retry_at;
    int64_t tau_at;              /* its next periodic update; DEVICE_NEVER: it has no timer of its own */
    int64_t back_at;             /* lost until then; DEVICE_NEVER: it is not */
    uint32_t tau_ms;             /* periodic timer that the network gave it; 0: none */
    uint32_t active_ms;          /* ...and how long it stays reachable; 0: as all others */
    int64_t command_at;          /* a downlink on its way over the air; DEVICE_NEVER: none */
    uint8_t command[DEVICE_COMMAND_MAX];
    uint8_t command_length;
    uint8_t mme;                 /* index of the MME that serves it */
    uint8_t wants;               /* bits of enum device_action: 1 << action */
    uint8_t sequence;            /* of the next reading */
    uint8_t outbox_count;
    uint8_t city;
    bool is_attached, is_edrx, is_regular, is_unreachable, is_busy, has_delayed;
    uint16_t period_s, confirm_period_s;
    frame outbox[DEVICE_OUTBOX];
    frame delayed;               /* sent after the reading that follows it */
    float bias, phase_hours, battery_mv;

    uint32_t sent, acknowledged; /* readings written to a socket, answered 2001 */
    uint32_t doubt_before;       /* of earlier runs: written, never answered */
    expect expected;
    reading last;                /* newest reading that was acknowledged and that a twin accepts */
    bool is_head_sent;           /* outbox[0] was written and has no answer yet */
    bool is_head_counted;        /* ... and is in `sent`; a frame sent again after "busy" counts once */
} device;

void device_init(device *device, uint32_t index, const device_settings *settings);
int64_t device_due(const device *device);
/* Does what is due at `now`. True when a downlink arrived: the owner answers its TDR with success. */
bool device_wake(device *device, const device_settings *settings, device_counts *counts, int64_t now);
enum device_action device_next(const device *device);
/* The frame of DEVICE_UPLINK, which is on its way from now on. */
const frame *device_uplink(device *device);

enum device_answer { DEVICE_ANSWER_OK, DEVICE_ANSWER_BUSY, DEVICE_ANSWER_REFUSED };
void device_on_answer(device *device, const device_settings *settings, enum device_action asked,
                      enum device_answer answer, int64_t now);

/* Out of reach until then: it neither sends nor hears anything. */
void device_lose(device *device, int64_t until);
bool device_is_lost(const device *device);
/* Timers that the network gives it (0: none): it wakes that often at least, and stays awake that long. */
void device_set_timers(device *device, uint32_t tau_ms, uint32_t active_ms, int64_t now);
/* A short message reached it: it takes a reading now. False: it cannot be reached now. */
bool device_trigger(device *device, const device_settings *settings, int64_t now);

/* The host has ended its connection: it attaches again. */
void device_on_release(device *device, const device_settings *settings, int64_t now);

enum delivery { DELIVERY_HELD, DELIVERY_ASLEEP };
/* A downlink for the device. DELIVERY_HELD: it arrives when device_wake says so, at `*when`.
 * DELIVERY_ASLEEP: not taken; `*when` is the next wake-up, DEVICE_NEVER when the network does not
 * know it. `hold_until`: how long the MME may keep it for an eDRX device. */
enum delivery device_on_downlink(device *device, const device_settings *settings, const uint8_t *bytes, uint32_t length,
                                 int64_t now, int64_t hold_until, int64_t *when);
bool device_is_awake(const device *device, int64_t now);
/* True at the settings' probability, from the device's own dice. */
bool device_roll(device *device, double probability);

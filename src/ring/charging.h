/* Charging: what cores and the room that writes the charging files say to each other.
 *
 * The room begins each session by telling every core how far all logs are charged; the core reads its own log
 * from there on and sends what it finds. A failure of the room ends the session: it says so with session 0, and
 * begins another one once its files can be written again. What belongs to another session is ignored. */
#pragma once

#include <stdint.h>

enum {
    CHARGING_PLACES_MAX = 272, /* logs: of all generations */
    CHARGING_FILES_MAX = 32,   /* that are told of */
    CHARGING_NAME = 64,
    CHARGING_CORES_MAX = 16,
};

/* A log is charged up to its record at `place`; of that, `index` charges are. */
typedef struct charging_place {
    uint32_t generation, core;
    uint64_t place;
    uint32_t index, reserved;
} charging_place;

/* MESSAGE_CHARGE: core -> room; the ring header's id is the session. Without bytes: nothing is left before `place`. */
typedef struct charge_message {
    charging_place place;
    int64_t time_ms;
    uint32_t length, reserved;
} charge_message;              /* then the charge (twin/charge.h) */

typedef struct charging_file {
    char name[CHARGING_NAME];
    uint64_t bytes;
} charging_file;

/* MESSAGE_CHARGED: room -> core; all that is said is durable. */
typedef struct charged_message {
    uint64_t session;          /* 0: none, the files cannot be written: `error` */
    uint64_t series, number, length, sequence;
    int64_t opened_ms;
    uint64_t malformed, failures; /* of this start */
    uint32_t place_count, file_count;
    char error[96];
} charged_message;             /* then places, then files */

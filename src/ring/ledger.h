/* Ledgers: what cores and a room that writes files about their logs say to each other; one room for charging, one for audit.
 *
 * The room begins each session by telling every core how far all logs are in its files; the core reads its own log
 * from there on and sends what it finds. A failure of the room ends the session: it says so with session 0, and
 * begins another one once its files can be written again. What belongs to another session is ignored. */
#pragma once

#include <stdint.h>

enum {
    LEDGER_PLACES_MAX = 272, /* logs: of all generations */
    LEDGER_FILES_MAX = 32,   /* that are told of */
    LEDGER_NAME = 64,
    LEDGER_CORES_MAX = 16,
};

/* A log is told up to its record at `place`; of that, `index` entries are. */
typedef struct ledger_place {
    uint32_t generation, core;
    uint64_t place;
    uint32_t index, reserved;
} ledger_place;

enum ledger_kind { LEDGER_CHARGING, LEDGER_AUDIT, LEDGERS };

/* MESSAGE_LEDGER: core -> room; the ring header's id is the session. Without bytes: nothing is left before `place`. */
typedef struct ledger_message {
    ledger_place place;
    int64_t time_ms;
    uint32_t length, reserved;
} ledger_message;              /* then the entry: twin/charge.h, twin/audit.h */

/* MESSAGE_LEDGER_QUESTION: core -> room; lines of an audit log from `since` on, as many as fit. */
typedef struct ledger_question {
    uint64_t id, since;        /* id: of the answer's ring header */
    uint32_t lines_max, reserved;
} ledger_question;

enum { LEDGER_LINES_MAX = 48 * 1024 }; /* bytes of one answer */
/* MESSAGE_LEDGER_LINES: room -> core; whole lines, as they are in the files. */
typedef struct ledger_lines {
    uint64_t first;            /* oldest line that there is; 0: none */
    uint64_t next;             /* where to go on: behind the last of these */
    uint32_t length, is_failed;
} ledger_lines;                /* then the lines */

typedef struct ledger_file {
    char name[LEDGER_NAME];
    uint64_t bytes;
} ledger_file;

/* MESSAGE_LEDGER_STATE: room -> core; all that is said is durable. */
typedef struct ledger_state {
    uint64_t session;          /* 0: none, the files cannot be written: `error` */
    uint64_t series, number, length, sequence;
    int64_t opened_ms;
    uint64_t malformed, failures; /* of this start */
    uint32_t place_count, file_count;
    uint8_t head[32];          /* of an audit log: the hash of line `sequence` - 1 */
    char error[96];
} ledger_state;             /* then places, then files */

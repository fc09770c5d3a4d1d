/* Ledger: the room that writes files of lines about what is in the host's logs: one for charging, one for the audit log.
 * It has no keys and no sockets; of the disk it sees its own directory alone. Cores send it what they find in their
 * logs (ring/ledger.h); it is told nothing that is not durable there, and says back how far that is in its files. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "ring/ring.h"

typedef struct journal_kind journal_kind;

typedef struct ledger_config {
    const journal_kind *kind; /* ledger/journal.h */
    uint32_t core_count;
    ring_reader *from_core;  /* [core_count], as all of these */
    ring_writer *to_core;
    int doorbell;
    const char *directory;   /* made if missing */
    const char *node;        /* identity of the host */
    uint64_t file_bytes;
    int64_t file_age_s;
    dro_clock *clock;
    dro_random *random;
} ledger_config;

_Noreturn void ledger_run(const ledger_config *config);

/* What is ready; for ledger_run and tests. A room is made once a process. */
typedef struct ledger_room ledger_room;
typedef struct files files;
ledger_room *ledger_room_new(const ledger_config *config, files *files); /* NULL: no memory */
void ledger_room_free(ledger_room *room);
/* False: nothing to do. */
bool ledger_room_round(ledger_room *room);
int64_t ledger_room_due_ns(const ledger_room *room); /* until something is; -1: nothing */

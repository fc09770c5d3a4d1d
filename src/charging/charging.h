/* Charging: the room that writes the charging files. It has no keys and no sockets; of the disk it sees the
 * charging directory alone. Cores send it what they find in their logs (ring/charging.h); it is told nothing
 * that is not durable there, and says back how far that is in its files. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "ring/ring.h"

typedef struct charging_config {
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
} charging_config;

_Noreturn void charging_run(const charging_config *config);

/* What is ready; for charging_run and tests. A room is made once a process. */
typedef struct charging_room charging_room;
typedef struct files files;
charging_room *charging_room_new(const charging_config *config, files *files); /* NULL: no memory */
void charging_room_free(charging_room *room);
/* False: nothing to do. */
bool charging_room_round(charging_room *room);
int64_t charging_room_due_ns(const charging_room *room); /* until something is; -1: nothing */

/* Desk: answers queries. Maps the property columns read-only; SQLite's virtual
 * tables read them, its authorizer allows reading and listed functions only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "ring/ring.h"

enum {
    DESK_CORES_MAX = 16,
    DESK_SQL_MAX = 64 * 1024,
    DESK_CPU_MS = 2000,
    DESK_MEMORY = 64 * 1024 * 1024,
    DESK_ROWS_MAX = 10000,
};

typedef struct desk_config {
    uint32_t gate_count;
    ring_reader *from_gate; /* [gate_count] */
    ring_writer *to_gate;   /* [gate_count] */
    const uint32_t *stale;  /* [gate_count] what lies before this place in from_gate was asked of a desk that died; NULL: nothing */
    int doorbell;
    const void *const *columns; /* [core_count] mapped read-only */
    uint32_t core_count;
    size_t columns_bytes;       /* of each */
    dro_clock *clock;
} desk_config;

int desk_run(const desk_config *config, int stop);

/* What is ready; for desk_run and tests. Borrows the config's rings. */
typedef struct desk_room desk_room;
desk_room *desk_room_new(const desk_config *config); /* NULL: why was told through the log */
void desk_room_free(desk_room *room);                /* NULL is fine */
/* One question of each gate at most. DRO_CORRUPT: a gate broke its ring. */
DRO_CHECKED dro_err desk_room_round(desk_room *room, bool *did_work);

/* One query in this process, for tests: the JSON answer (api_reply's body) into
 * `out`; *status is the HTTP status. Each core's columns have `bytes` bytes; a table's rows are those of all of them. */
typedef struct desk desk;
DRO_CHECKED dro_err desk_new(desk **out, const void *const *columns, uint32_t core_count, size_t bytes, dro_clock *clock);
void desk_free(desk *desk);
size_t desk_query(desk *desk, const char *sql, size_t length, const char *domains, size_t domains_length,
                  int all_domains, char *out, size_t capacity, int *status);

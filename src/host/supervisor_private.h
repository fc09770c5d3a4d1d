/* What the parts of the supervisor share: supervisor.c has all rooms but the cells, supervisor_cells.c those. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "host/config.h"
#include "host/layout.h"
#include "host/renewal.h"
#include "host/room.h"
#include "host/usage.h"

enum {
    ADMITS_MAX = CORE_IMAGES_MAX, /* at a start all may have to be looked at again */
    RESTART_WINDOW_MS = 10000,    /* in which deaths are counted */
    ROOM_PAUSE_MS = 1000,         /* a room that could not be forked is tried again */
};

typedef struct admit_child { pid_t pid; uint32_t core; uint64_t id; } admit_child; /* core: who asked */

typedef struct cell_slot {
    pid_t current, old, starting;
    uint32_t current_set, old_set, starting_set, last_set;
    int ready;                 /* read end, while one is starting */
    uint32_t starting_images;
    bool wants_new;            /* new images came while the old cell was not drained */
    pid_t cut_short;           /* to be killed for what was stopped: a death that does not count */
    int deaths;                /* of cells that had been ready, since... */
    int64_t deaths_ms;
    int64_t start_ms;          /* when the next one is due; 0: none waits */
    int64_t pause_ms;          /* before the last one: of twins on probation, that were never ready */
} cell_slot;

typedef struct core_slot {     /* a core and its cells */
    pid_t pid;
    int control, core_end;     /* ours, the core's */
    cell_slot cells[CORE_PLACES_MAX]; /* by place, core/cells.h */
    bool is_ready, is_stopped;
} core_slot;

typedef struct supervisor {
    const config *config;
    layout layout;
    room_context room;
    int signals;
    pid_t ledgers[LEDGERS];    /* 0: off */
    pid_t desk, gates[CORE_GATES_MAX];
    struct { int64_t desk_ms, ledgers_ms[LEDGERS], gates_ms[CORE_GATES_MAX]; } again; /* those that could not be forked: when they are tried; 0: they were */
    core_slot cores[CORES_MAX];
    admit_child admits[ADMITS_MAX];
    uint32_t image_count;      /* in the bundle for all cells */
    renewal renewal;           /* of the certificates */
    uint64_t gates_ready;      /* that said so in this run */
    bool is_running, is_stopping;
    int64_t stop_by_ms, window_ms;
    int deaths;
    uint8_t admin_token[32];
    usage usage;               /* what the rooms cost */
    int64_t looked_ms;
    bool is_clock_off;         /* the machine's clock is not believed */
} supervisor;

/* ---- supervisor.c ---- */

int64_t supervisor_now_ms(void);
/* As fork(2); the log says what could not be forked. */
pid_t supervisor_fork(const char *what);
/* A room that could not be forked is none, and is due again later. */
bool supervisor_is_started(pid_t *pid, int64_t *again_ms);
bool supervisor_is_due(int64_t at_ms);
void supervisor_tell_core(supervisor *here, uint32_t core, uint32_t type, uint32_t index, uint32_t set, uint32_t number);
/* One that is needed ended: true when too many did in RESTART_WINDOW_MS. */
bool supervisor_is_hopeless(supervisor *here);
/* How a room ended, in words. */
const char *supervisor_how(int status, char text[64]);

/* ---- supervisor_cells.c ---- */

/* A new one beside it, which takes over once it is ready. */
void supervisor_cell_renew(supervisor *here, uint32_t core, uint32_t index);
/* All that there are, and all that there have to be. */
void supervisor_cells_renew(supervisor *here);
/* The core needs it no more. */
void supervisor_cell_drained(const cell_slot *slot);
/* The core gave it up. Cut short: for what was stopped, so its death is not held against it. */
void supervisor_cell_replace(cell_slot *slot, bool is_old, bool is_cut_short);
/* Those that say they are ready take over. False: none did. */
bool supervisor_cells_take(supervisor *here);
void supervisor_cells_start_due(supervisor *here);
/* The exit code of the host, or -1: it goes on. */
int supervisor_cell_died(supervisor *here, uint32_t core, uint32_t index, pid_t pid, int status);

/* World: cores with a cell each, and their logs, in one thread, on fake time, from one seed. The gates are
 * the test: it sends their messages and is given the core's. Rings lie in plain memory,
 * files on a disk in memory. The same seed and the same calls give the same trace. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/builder.h"
#include "base/clock.h"
#include "base/fields.h"
#include "cell/admit.h"
#include "cell/cell.h"
#include "core/core.h"
#include "ring/message.h"
#include "ring/ring.h"
#include "store/disk.h"
#include "store/log_store.h"
#include "twin/directory.h"
#include "twin/value.h"

enum {
    WORLD_GATES = 2,
    WORLD_CORES_MAX = 4,
    WORLD_DOWNLINKS = 256,          /* newest whose core is known */
    WORLD_RING = 256 * 1024,        /* small, so that rings fill */
    WORLD_COLUMNS_BYTES = 64 << 20,
    WORLD_REQUEST_MAX = 48 * 1024,
};
#define WORLD_START_MS 1700000000000

typedef struct world world;
typedef void (*world_message_fn)(void *context, uint32_t gate, const ring_header *header, const uint8_t *body, uint32_t length);

typedef struct world_options {
    uint64_t seed;
    uint32_t segment_bytes;         /* 0: the log's default */
    uint64_t timeline_bytes, replay_bytes;
    uint64_t context_bytes;         /* of contexts in memory; 0: all */
    disk_memory_faults faults;      /* of the log's disk */
    uint32_t cores;                 /* 0: 1; world_cores changes it between two starts */
    bool no_cell;                   /* turns wait, or the test is the cell */
    bool is_traced;
    bool is_charging;               /* what is charged is kept for a room that may come */
    bool is_audited;                /* the same for the audit log */
    uint32_t trap_percent;          /* of the chances to: the turn of a reading ends as a trap */
    world_message_fn on_message;    /* what the core says to a gate */
    int (*on_gate)(void *context, uint32_t gate); /* instead: a real gate's turn, and how much it did */
    void *context;
    const char *directory;          /* the host's data lie there, on a real disk; NULL: on one in memory */
    const uint8_t *admin_token;     /* its SHA-256; NULL: nobody has it */
} world_options;

typedef struct world_room {         /* rings of one cell */
    void *turns_memory, *results_memory;
    ring_reader turns;
    ring_writer results;
    cell *cell;
} world_room;

typedef struct world_gate {         /* rings with each core; a message goes to the core of its twin, else to core 0 */
    void *in_memory[WORLD_CORES_MAX], *out_memory[WORLD_CORES_MAX];
    ring_writer to_core[WORLD_CORES_MAX];
    ring_reader from_core[WORLD_CORES_MAX];
    bool is_open;
} world_gate;

typedef struct world_seat {         /* a core and its cell */
    core_supervisor supervisor;     /* first: what the core sees */
    struct world *world;
    uint32_t index;
    void *columns;
    core *core;
    world_room *room, *old_room;
    bool is_image_new, is_cell_wanted;
} world_seat;

struct world {
    world_options options;
    uint32_t core_count;
    world_seat seats[WORLD_CORES_MAX];
    dro_clock_fake clock;
    dro_random_seeded random;       /* the test's */
    dro_random_seeded core_random;  /* what the core is given */
    disk *log_disk, *image_disk;
    log_store_memory logs;
    log_store_directory directory_logs;
    void *directory_memory, *board_memory;
    directory directory;
    core *core;                     /* core 0, and the room of its cell */
    world_room *room;
    world_gate gates[WORLD_GATES];
    struct { uint64_t id; uint32_t core; } downlinks[WORLD_DOWNLINKS];
    uint32_t downlink_next;
    cell_image images[256];         /* borrowed from core 0 until the next call */
    uint32_t image_count;
    bool is_engine_other;           /* no artifact that is kept fits */
    struct { uint64_t id; uint8_t *wasm; size_t length; } admits[8];
    uint32_t admit_count;
    FILE *trace;
    char *trace_text;
    size_t trace_length;
};

/* An image admitted once for all worlds of this process. */
void world_init(world *world, const world_options *options);
void world_fini(world *world);

/* Opens the cores on the disks as they are. */
dro_err world_open(world *world);
void world_cores(world *world, uint32_t cores); /* how many the next world_open opens */
void world_close(world *world);     /* as a kill: nothing is waited for */
void world_forget(world *world);    /* a core has ended in the middle of something: its memory is lost */
/* The power goes and comes: what was not durable is gone. The core is closed. */
bool world_failed(const world *world); /* a core's log is broken */
void world_power_cut(world *world, const disk_memory_faults *next);

/* One round of everything, in an order the seed decides; how much was done. */
int world_round(world *world);
/* Gates take what cores have sent them; nothing else goes on. */
void world_hear(world *world);
/* Rounds until nothing is left to do. */
void world_settle(world *world);
void world_advance(world *world, int64_t ms);
uint32_t world_below(world *world, uint32_t limit); /* random, from the seed */
bool world_chance(world *world, uint32_t percent);

void world_gate_open(world *world, uint32_t gate);
void world_gate_lose(world *world, uint32_t gate);
void world_cell_lose(world *world); /* a new one follows */
/* False: the ring is full. */
bool world_send(world *world, uint32_t gate, uint16_t type, uint64_t id, const void *body, size_t length);
void world_trace(world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The whole trace, with a digest of the log's files behind it. */
const char *world_trace_end(world *world, size_t *length);

/* ---- requests of the API ---- */
typedef struct world_request {
    dro_builder out;
    uint8_t bytes[WORLD_REQUEST_MAX];
} world_request;
void world_request_begin(world_request *request, uint16_t operation);
bool world_request_send(world *world, uint32_t gate, uint64_t id, const world_request *request);
/* Not by these names to the linker: the gate has functions of them. */
static inline void request_begin(world_request *request, uint16_t operation) { world_request_begin(request, operation); }
static inline bool request_send(world *world, uint32_t gate, uint64_t id, const world_request *request)
{
    return world_request_send(world, gate, id, request);
}
void request_text(world_request *request, uint8_t tag, const char *text);
void request_bytes(world_request *request, uint8_t tag, const void *bytes, size_t length);
void request_u64(world_request *request, uint8_t tag, uint64_t number);
void request_value(world_request *request, const value *value);
/* Pushes a file as image and waits until it is kept. */
void world_push_image(world *world, const char *path);

/* ---- the network's messages ---- */
typedef struct world_frame { uint32_t end_to_end; bool is_retransmission; const void *data; size_t length; } world_frame;
bool world_uplink(world *world, uint32_t gate, uint64_t id, const char *imsi, const world_frame *frame);
enum world_action { WORLD_ESTABLISH, WORLD_RELEASE, WORLD_UPDATE };
bool world_connect(world *world, uint32_t gate, uint64_t id, const char *imsi, enum world_action action, bool is_reachable);
bool world_downlink_answer(world *world, uint32_t gate, uint64_t id, const downlink_answer *answer);

/* Everything of the core's memory that must be true between two rounds; aborts with a line
 * that says what is not. */
void world_check(const world *world);
void world_fail(const char *file, int line, const char *what);
extern void (*world_on_fail)(void); /* called before it aborts; NULL: nothing more is said */
#define WORLD_ASSERT(claim) ((claim) ? (void)0 : world_fail(__FILE__, __LINE__, #claim))

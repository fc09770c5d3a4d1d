/* Simulation: a whole host in one thread on fake time, from one seed: cores with their cells, gates, logs on a disk that
 * loses its power, and around it a network of MMEs with devices, applications and a follower of events, who speak
 * Diameter and HTTP over sockets whose bytes come late, in pieces, twice or not at all.
 *
 * What everybody was told is written down (struct device), and everything that is said is held against it. All that
 * happens goes into one hash: the same seed gives the same. */
#pragma once

#include "gate/gate.h"
#include "sim/t6a.h"
#include "world.h"

enum {
    SIM_DEVICES_MAX = 8,
    SIM_MMES = 2,
    SIM_CUSTOMERS = 3,
    SIM_COMMANDS_MAX = 60,    /* of a device's life; a command says its number in one octet */
    SIM_DELAYED_MAX = 16,     /* answers of an MME that are under way */
    SIM_OLD = 8,
    SIM_LINES = 80,           /* of the trace that a failure shows */
    SIM_LINE_BYTES = 240,
    LINK_BYTES = 64 * 1024,
};

typedef struct simulation simulation;

/* ---- link.c: one side of a connection to a gate ---- */

typedef struct pipe_end {
    int socket;               /* -1: closed */
    bool is_ready;            /* there is something to read, or its end */
    uint32_t gate;
    int64_t held_until_ms;    /* what is written before leaves later */
    uint32_t out_length, in_length;
    uint8_t out[LINK_BYTES], in[LINK_BYTES];
} pipe_end;

bool link_open(simulation *sim, pipe_end *link, bool is_diameter);
void link_close(pipe_end *link);
void link_write(pipe_end *link, const void *bytes, size_t length);
int link_step(simulation *sim, pipe_end *link);  /* how much went either way; a link that ended is closed afterwards */
void link_take(pipe_end *link, size_t length);   /* of what came in: done with so much */
void link_move(simulation *sim, pipe_end *to, pipe_end *from);
void links_look(simulation *sim);            /* which of all can be read */

/* ---- network.c: MMEs and their devices ---- */

typedef struct delayed { int64_t due_ms; uint32_t length; uint8_t bytes[512]; } delayed;

typedef struct mme {
    pipe_end link, ghost;         /* ghost: a connection that was given up, and whose bytes still come */
    int64_t ghost_ms;         /* when they do */
    bool is_open;
    int64_t next_ms;          /* it connects then, or gives up waiting for a CEA */
    uint32_t hop_by_hop, end_to_end;
    t6a_names names;
    delayed delayed[SIM_DELAYED_MAX];
    uint32_t delayed_count;
} mme;

enum command_fate { COMMAND_ASKED, COMMAND_PENDING, COMMAND_SENT, COMMAND_DELIVERED, COMMAND_REPORTED, COMMAND_ENDED };

typedef struct command {
    bool is_action;
    uint8_t fate;             /* as an answer showed it */
    uint64_t ticket;          /* 0: not acknowledged */
    uint32_t received, delivered; /* how often the device got it, and said so */
} command;

enum device_asks { DEVICE_IDLE, DEVICE_CONNECTS, DEVICE_READS, DEVICE_CONFIRMS };

typedef struct device {
    char id[40], imsi[16];
    uint32_t mme, customer;
    bool is_made, is_connected;
    /* the device itself */
    int64_t awake_until_ms, wake_ms;
    enum device_asks asks;    /* what it waits for an answer to */
    uint32_t end_to_end, tries;
    int64_t again_ms;         /* when it sends that once more */
    uint32_t length;
    uint8_t request[512];
    uint32_t sent, acked;     /* readings */
    struct { uint32_t end_to_end, length; uint8_t bytes[512]; } old[SIM_OLD]; /* answered requests */
    uint32_t old_count;
    int confirm, confirming;  /* a period that it has to confirm, -1; the one whose confirmation is under way */
    int period;               /* as it was told */
    uint32_t newest_command;  /* that it got, plus one */
    /* what its application knows */
    command commands[SIM_COMMANDS_MAX];
    uint32_t command_count;
    uint32_t readings_seen;   /* in an answer */
    uint64_t period_shown;    /* at the end */
    uint64_t event_seen;      /* readings, of the newest event */
    bool is_event_known, is_temperature_seen;
} device;

void network_init(simulation *sim);
int network_step(simulation *sim);
int64_t network_due(const simulation *sim);  /* when something happens by itself */
void network_fini(simulation *sim);
void network_lose(simulation *sim);          /* a connection goes, its bytes perhaps come later */

/* ---- customer.c: applications ---- */

enum customer_asks { ASKS_NOTHING, ASKS_IMAGE, ASKS_MAKE, ASKS_TWIN, ASKS_COMMAND, ASKS_TICKET };

typedef struct customer {
    pipe_end link;
    enum customer_asks asks;
    uint32_t device, command; /* that it is about */
    uint32_t acked;           /* readings of the device when it asked */
    bool is_sent, is_doubtful; /* doubtful: on a full disk reads show what still waits for space (docs/operations.md) */
    uint64_t full_disks;      /* so often the disk was full when it asked */
    int64_t next_ms, give_up_ms;
    uint32_t length, keys;
    char request[4096];
} customer;

void customers_init(simulation *sim);
int customers_step(simulation *sim);
int64_t customers_due(const simulation *sim);
void customers_fini(simulation *sim);
void customer_lose(simulation *sim);
/* Everything was asked for and answered, and every command has come to an end. */
bool customers_are_done(const simulation *sim);

/* An answer that is whole in the link: its status, its body (ended by a NUL) and how many bytes it takes. */
typedef struct http_answer { int status; char *body; size_t body_length, length; } http_answer;
bool http_answer_read(pipe_end *link, http_answer *out);

/* ---- follower.c: somebody who follows all events ---- */

typedef struct follower {
    pipe_end link;
    bool is_open, may_miss;   /* may_miss: a gap may be told of: there was another number of cores, and a core without events since says so again */
    bool has_gaps;            /* at any start: the log is too short */
    int64_t next_ms;
    char last_id[256];
    uint64_t events, gaps;
} follower;

void follower_init(simulation *sim);
int follower_step(simulation *sim);
int64_t follower_due(const simulation *sim);
void follower_fini(simulation *sim);

/* ---- the whole ---- */

typedef struct sim_options {
    uint64_t seed;
    bool is_traced;
    uint32_t minutes;         /* of simulated time; 0: by the seed */
} sim_options;

typedef struct sim_counts {
    uint64_t steps, readings, answers, commands, delivered, repeated, events, power_cuts, kills, broken_disks, full_disks, gates_lost, cells_lost, moves;
} sim_counts;

struct simulation {
    world world;              /* first */
    sim_options options;
    int64_t began_ms, end_ms;
    uint32_t device_count;
    device devices[SIM_DEVICES_MAX];
    mme mmes[SIM_MMES];
    customer customers[SIM_CUSTOMERS];
    follower follower;
    struct sim_gate { gate_room *room; int http, diameter, doorbell, stop; char http_name[16], diameter_name[16]; size_t http_length, diameter_length; } gates[WORLD_GATES];
    int epoll;                /* all links */
    bool is_image_kept, is_disk_full;
    int idle;                 /* rounds in which nothing was done */
    bool is_calm;             /* nothing breaks any more: what is under way comes to its end */
    uint64_t hash;
    sim_counts counts;
    char lines[SIM_LINES][SIM_LINE_BYTES];
    uint64_t line_next;
};

/* The whole life of one seed; its hash. Aborts with the seed and its last lines where something is not as it must be. */
uint64_t simulate(const sim_options *options, sim_counts *counts, int64_t *simulated_ms);

int64_t sim_now(const simulation *sim);
uint32_t sim_below(simulation *sim, uint32_t limit);
bool sim_chance(simulation *sim, uint32_t permille);
void sim_note(simulation *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint64_t sim_digest(const void *bytes, size_t length);
/* Turns of this device that ended badly for good: their readings are dead letters. */
uint32_t sim_letters(simulation *sim, const device *device);
const char *sim_token(void);
const uint8_t *sim_image(size_t *length); /* the image of all twins */
void sim_fail(simulation *sim, const char *file, int line, const char *what);
#define SIM_MUST(sim, claim) ((claim) ? (void)0 : sim_fail(sim, __FILE__, __LINE__, #claim))

/* Load: a room that sits where a gate sits and sends what devices would send, so that
 * turns can be measured without sockets. Only there with bench.load.
 *
 * It attaches the twins whose IMSIs dromio-bench provisions, as they come to be, then
 * sends readings of acme/thermo (8 bytes, each with its twin's next sequence and a valid
 * check) of twins chosen at random, `window` unanswered at a time. It answers nothing: a
 * downlink goes back to its mailbox. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "ring/ring.h"
#include "twin/directory.h"

enum {
    LOAD_TWINS_MAX = 10 * 1000 * 1000,
    LOAD_WINDOW_MAX = 65536,
    LOAD_FRAME_BYTES = 8,
};
#define LOAD_IMSI_FIRST UINT64_C(1010000000001) /* 001010000000001; as dromio-bench provisions them */

typedef struct load_config {
    uint32_t core_count;
    ring_writer *to_core;     /* [core_count] */
    ring_reader *from_core;   /* [core_count] */
    const directory *directory; /* where twins are; NULL with one core */
    int doorbell;             /* own eventfd */
    int ready;                /* eventfd: rung once it runs; 0: nobody asks */
    uint32_t twins, window;
    uint32_t packets;         /* downlinks queued for each twin instead of readings; 0: none */
    uint64_t seed;
    dro_clock *clock;
} load_config;

typedef struct load load;
DRO_CHECKED dro_err load_new(load **out, const load_config *config);
void load_free(load *load); /* NULL is fine */
/* Takes the answers there are and fills the window; how many messages that were. -1: the core broke its ring. */
int load_round(load *load);
/* Works until asked to stop (the descriptor `stop` becomes readable); an exit code. */
int load_run(const load_config *config, int stop);

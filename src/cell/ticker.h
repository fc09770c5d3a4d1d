/* Ticker: a thread that tells the engine how much CPU time the thread that made it
 * has used. It sleeps on that thread's CPU clock: so a deadline counts CPU time and
 * not the time other processes took, and an idle cell is never woken. (The clock
 * itself cannot be read here or there: clock_gettime for a CPU clock is a system
 * call, and not one of the six; see docs/decisions.) */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/err.h"
#include "cell/engine.h"

enum { TICK_MICROS = 1000 };

typedef struct ticker {
    engine *engine;
    clockid_t clock;           /* of the thread that is watched */
    pthread_t thread;
    bool is_running;
    _Atomic bool has_started;
    _Atomic uint64_t ticks;    /* TICK_MICROS of CPU time each; as fine as the kernel's own tick */
} ticker;

/* Watches the calling thread. Returns once the thread runs. */
DRO_CHECKED dro_err ticker_start(ticker *ticker, engine *engine);
void ticker_stop(ticker *ticker);

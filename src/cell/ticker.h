/* Ticker: a thread that tells the engine that the thread which made it has used
 * more CPU time. It sleeps on that thread's CPU clock: so a deadline counts CPU
 * time and not the time other processes took, and an idle cell is never woken.
 * (Nobody reads that clock: clock_gettime for a CPU clock is a system call, and not
 * one of the six; see docs/decisions.)
 *
 * Each tick says: since the last one at least `step` of CPU time went by. It may be
 * more: the kernel looks at such clocks at its own tick, 1 to 4 ms. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/err.h"
#include "cell/engine.h"

enum { TICK_MICROS_MIN = 1000 };

typedef struct ticker {
    engine *engine;
    clockid_t clock;               /* of the thread that is watched */
    pthread_t thread;
    bool is_running;
    _Atomic bool has_started;
    _Atomic uint32_t step_micros;
    _Atomic uint64_t ticks;
} ticker;

/* Watches the calling thread. Returns once the thread runs. */
DRO_CHECKED dro_err ticker_start(ticker *ticker, engine *engine);
void ticker_stop(ticker *ticker);

/* Ticks that are at least `micros` of CPU time when counted from a first one, with
 * the step they are meant for. */
uint32_t ticker_ticks_for(uint32_t micros, uint32_t *step_micros);

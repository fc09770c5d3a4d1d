/* Ticker: a thread that ends calls of an engine that use more CPU time than they
 * may. It sleeps on that thread's CPU clock: so a deadline counts CPU
 * time and not the time other processes took, and an idle cell is never woken.
 * (Nobody reads that clock: clock_gettime for a CPU clock is a system call, and not
 * one of the six; see docs/decisions.)
 *
 * Each tick says: since the last one at least `step` of CPU time went by. It may be
 * more: the kernel looks at such clocks at its own tick, 1 to 4 ms. The first tick
 * of a call may come right after its start: counting begins there. So a call gets at
 * least its deadline of CPU time, and about twice that at most, plus two of the
 * kernel's ticks. */
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
    _Atomic uint32_t step_micros, deadline_ticks;
    _Atomic uint64_t ticks;        /* all so far */
    uint32_t call, call_ticks;     /* the thread's own: the call it saw last, and ticks since its first */
} ticker;

/* Watches the calling thread, which makes the engine's calls. Returns once the thread runs. */
DRO_CHECKED dro_err ticker_start(ticker *ticker, engine *engine);
void ticker_stop(ticker *ticker);
/* For the calls that come. They end after so much CPU time. */
void ticker_deadline_set(ticker *ticker, uint32_t micros);

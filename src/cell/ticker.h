/* Ticker: a thread that ends calls of an engine that use more CPU time than they may. It wakes twice a millisecond
 * while the thread that makes the calls is at work, and looks at that thread's CPU clock: so a deadline counts CPU
 * time and not the time other processes took. Clocks of threads that sleep are seen by the kernel at its own tick
 * alone, 1 to 4 ms late; this one is not (docs/decisions/007-cell.md).
 *
 * Counting begins when a call is first seen, half a millisecond after its start at most. So a call gets at least its
 * deadline of CPU time, and half a millisecond more at most if the ticker gets its own turn at once. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/err.h"
#include "cell/engine.h"

enum {
    TICK_MICROS = 500,
    TICKER_IDLE_TICKS = 40, /* without a call, while the thread rests: then the ticker rests too */
};

typedef struct ticker {
    engine *engine;
    clockid_t clock;               /* CPU time of the thread that is watched */
    pthread_t thread;
    bool is_running;
    _Atomic bool has_started, is_to_end, is_parked;
    _Atomic uint32_t has_rest;     /* a futex: the watched thread waits for work */
    _Atomic uint32_t deadline_micros;
    _Atomic uint64_t ticks;        /* all so far */
} ticker;

/* Watches the calling thread, which makes the engine's calls. Returns once the ticker runs. */
DRO_CHECKED dro_err ticker_start(ticker *ticker, engine *engine);
void ticker_stop(ticker *ticker);
/* For the calls that come. They end after so much CPU time. */
void ticker_deadline_set(ticker *ticker, uint32_t micros);

/* The watched thread is about to wait, and has something to do again. Between the two the ticker may park, so that
 * nobody wakes an idle cell; a thread that never says so is looked at all the time. */
void ticker_rest(ticker *ticker);
void ticker_go_on(ticker *ticker);

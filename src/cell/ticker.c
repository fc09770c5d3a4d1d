#include "cell/ticker.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>

enum {
    MICROS_PER_S = 1000000,
    TICKER_STACK = 256 * 1024, /* cancelling unwinds, and resolving its symbols takes stack */
    FINE_MICROS = 8000, /* up to here one tick is the whole deadline */
    COARSE_PARTS = 8,   /* above, a deadline is cut in so many: the kernel's rounding up stays small */
};

static void end_late_call(ticker *ticker)
{
    uint32_t call = engine_call_number(ticker->engine);
    bool is_seen = call == ticker->call;
    ticker->call = call;
    ticker->call_ticks = is_seen ? ticker->call_ticks + 1 : 0;
    if (ticker->call_ticks >= atomic_load_explicit(&ticker->deadline_ticks, memory_order_relaxed))
        engine_stop(ticker->engine, call);
}

static void *tick(void *argument)
{
    ticker *ticker = argument;
    atomic_store(&ticker->has_started, true);
    for (;;) {
        /* Relative to now, each time: a tick that came late says nothing about the next. */
        uint32_t micros = atomic_load_explicit(&ticker->step_micros, memory_order_relaxed);
        struct timespec step = { micros / MICROS_PER_S, (long)(micros % MICROS_PER_S) * 1000 };
        int err = clock_nanosleep(ticker->clock, 0, &step, NULL);
        if (err == EINTR)
            continue;
        if (err != 0)
            return NULL; /* the watched thread is gone */
        atomic_fetch_add_explicit(&ticker->ticks, 1, memory_order_relaxed);
        end_late_call(ticker);
    }
}

dro_err ticker_start(ticker *ticker, engine *engine)
{
    pthread_attr_t attributes;
    *ticker = (struct ticker){ .engine = engine, .step_micros = TICK_MICROS_MIN, .deadline_ticks = 1 };
    if (pthread_getcpuclockid(pthread_self(), &ticker->clock) != 0 || pthread_attr_init(&attributes) != 0)
        return DRO_UNSUPPORTED;
    pthread_attr_setstacksize(&attributes, TICKER_STACK);
    sigset_t all, before; /* signals are for the thread that is watched */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&ticker->thread, &attributes, tick, ticker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (err != 0)
        return DRO_NOMEM;
    ticker->is_running = true;
    while (!atomic_load(&ticker->has_started))
        sched_yield();
    return DRO_OK;
}

void ticker_stop(ticker *ticker)
{
    if (!ticker->is_running)
        return;
    pthread_cancel(ticker->thread); /* clock_nanosleep is a cancellation point; it holds nothing */
    pthread_join(ticker->thread, NULL);
    ticker->is_running = false;
}

void ticker_deadline_set(ticker *ticker, uint32_t micros)
{
    uint32_t step = micros < TICK_MICROS_MIN ? TICK_MICROS_MIN : micros, ticks = 1;
    if (micros > FINE_MICROS) {
        step = micros / COARSE_PARTS < FINE_MICROS ? FINE_MICROS : micros / COARSE_PARTS;
        ticks = micros / step + (micros % step != 0);
    }
    atomic_store_explicit(&ticker->step_micros, step, memory_order_relaxed);
    atomic_store_explicit(&ticker->deadline_ticks, ticks, memory_order_relaxed);
}

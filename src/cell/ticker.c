#include "cell/ticker.h"

#include <errno.h>
#include <sched.h>

enum { NANOS_PER_S = 1000000000, TICKER_STACK = 256 * 1024 }; /* cancelling unwinds, and resolving its symbols takes stack */

static void add_micros(struct timespec *time, long micros)
{
    time->tv_nsec += micros * 1000;
    if (time->tv_nsec >= NANOS_PER_S) {
        time->tv_nsec -= NANOS_PER_S;
        time->tv_sec++;
    }
}

static void *tick(void *argument)
{
    ticker *ticker = argument;
    struct timespec next;
    clock_gettime(ticker->clock, &next); /* once, before the filter closes */
    atomic_store(&ticker->has_started, true);
    for (;;) {
        add_micros(&next, TICK_MICROS);
        int err = clock_nanosleep(ticker->clock, TIMER_ABSTIME, &next, NULL);
        if (err != 0 && err != EINTR)
            return NULL; /* the watched thread is gone */
        atomic_fetch_add_explicit(&ticker->ticks, 1, memory_order_relaxed);
        engine_tick(ticker->engine);
    }
}

dro_err ticker_start(ticker *ticker, engine *engine)
{
    pthread_attr_t attributes;
    *ticker = (struct ticker){ .engine = engine };
    if (pthread_getcpuclockid(pthread_self(), &ticker->clock) != 0 || pthread_attr_init(&attributes) != 0)
        return DRO_UNSUPPORTED;
    pthread_attr_setstacksize(&attributes, TICKER_STACK);
    int err = pthread_create(&ticker->thread, &attributes, tick, ticker);
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

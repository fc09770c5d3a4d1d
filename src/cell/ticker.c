#include "cell/ticker.h"

#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    NANOS_PER_MICRO = 1000,
    TICKER_STACK = 256 * 1024, /* what threads have of their own lies in it too */
    SLEEP_LEAST_NANOS = 20 * NANOS_PER_MICRO,
};

/* What the thread has seen of the call that runs, or ran last. */
typedef struct sighting { uint32_t call; uint64_t since_nanos; } sighting;

/* False: the watched thread is gone. */
static bool cpu_nanos(const ticker *ticker, uint64_t *nanos)
{
    struct timespec now;
    if (clock_gettime(ticker->clock, &now) != 0)
        return false;
    *nanos = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    return true;
}

/* Ends the call if it has had its time; nanoseconds until the next look. `now` was read after the number of the call: else
 * the time before a call that began in between would be counted as its own. */
static uint64_t look(ticker *ticker, sighting *seen, uint32_t call, uint64_t now)
{
    uint64_t deadline = (uint64_t)atomic_load_explicit(&ticker->deadline_micros, memory_order_relaxed) * NANOS_PER_MICRO;
    if (call != seen->call)
        *seen = (sighting){ call, now };
    uint64_t had = now - seen->since_nanos, tick = TICK_MICROS * NANOS_PER_MICRO;
    if (had >= deadline) { /* one that has ended meanwhile has nothing to lose */
        engine_stop(ticker->engine, call);
        return tick;
    }
    uint64_t left = deadline - had;
    return left > tick ? tick : left < SLEEP_LEAST_NANOS ? SLEEP_LEAST_NANOS : left;
}

/* Until the watched thread goes on. */
static void park(ticker *ticker)
{
    atomic_store(&ticker->is_parked, true);
    while (atomic_load(&ticker->has_rest) != 0 && !atomic_load(&ticker->is_to_end))
        syscall(SYS_futex, &ticker->has_rest, FUTEX_WAIT_PRIVATE, 1, NULL);
    atomic_store(&ticker->is_parked, false);
}

static void *tick(void *argument)
{
    ticker *ticker = argument;
    sighting seen = { 0 };
    uint32_t idle = 0;
    uint64_t now = 0;
    atomic_store(&ticker->has_started, true);
    while (!atomic_load_explicit(&ticker->is_to_end, memory_order_relaxed)) {
        uint32_t last = seen.call, call = engine_call_number(ticker->engine);
        if (!cpu_nanos(ticker, &now))
            break;
        struct timespec step = { 0, (long)look(ticker, &seen, call, now) };
        idle = seen.call == last && atomic_load_explicit(&ticker->has_rest, memory_order_relaxed) != 0 ? idle + 1 : 0;
        if (idle >= TICKER_IDLE_TICKS) {
            park(ticker);
            idle = 0;
            continue;
        }
        clock_nanosleep(CLOCK_MONOTONIC, 0, &step, NULL); /* relative to now: a tick that came late says nothing about the next */
        atomic_fetch_add_explicit(&ticker->ticks, 1, memory_order_relaxed);
    }
    return NULL;
}

static void unpark(ticker *ticker)
{
    if (atomic_load(&ticker->is_parked))
        syscall(SYS_futex, &ticker->has_rest, FUTEX_WAKE_PRIVATE, 1);
}

void ticker_rest(ticker *ticker)
{
    atomic_store_explicit(&ticker->has_rest, 1, memory_order_relaxed);
}

void ticker_go_on(ticker *ticker)
{
    atomic_store(&ticker->has_rest, 0); /* before is_parked is read: who parks looks the other way round */
    unpark(ticker);
}

dro_err ticker_start(ticker *ticker, engine *engine)
{
    pthread_attr_t attributes;
    *ticker = (struct ticker){ .engine = engine, .deadline_micros = 2 * TICK_MICROS };
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
    while (!atomic_load(&ticker->has_started)) /* what a thread does at its start is more than a filter lets it do */
        sched_yield();
    return DRO_OK;
}

void ticker_stop(ticker *ticker)
{
    if (!ticker->is_running)
        return;
    atomic_store(&ticker->is_to_end, true);
    ticker_go_on(ticker);
    pthread_join(ticker->thread, NULL);
    ticker->is_running = false;
}

void ticker_deadline_set(ticker *ticker, uint32_t micros)
{
    atomic_store_explicit(&ticker->deadline_micros, micros, memory_order_relaxed);
}

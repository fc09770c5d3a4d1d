#include "moment.h"

#include <signal.h>
#include <stddef.h>
#include <sys/time.h>
#include <time.h>

#include "base/clock.h"

enum { TICK_MICROS = 10 * 1000 };

static volatile sig_atomic_t is_interrupted;

/* A signal can come just before the call that it should end, and a write that was cut short is begun again by stdio:
 * so from then on ticks end whatever would block. */
static void on_signal(int number)
{
    const struct itimerval ticks = { { 0, TICK_MICROS }, { 0, TICK_MICROS } };
    (void)number;
    if (is_interrupted)
        return;
    is_interrupted = 1;
    setitimer(ITIMER_REAL, &ticks, NULL);
}

static void on_tick(int number)
{
    (void)number;
}

int64_t moment_ms(void)
{
    dro_clock *clock = dro_clock_system();
    return clock->monotonic_ns(clock) / 1000000;
}

void moment_catch_interrupts(void)
{
    struct sigaction action = { .sa_handler = on_tick }; /* no SA_RESTART: what blocks ends at once */
    sigaction(SIGALRM, &action, NULL);
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool moment_is_interrupted(void)
{
    return is_interrupted != 0;
}

void moment_wait(int64_t ms)
{
    struct timespec pause = { ms / 1000, ms % 1000 * 1000000 };
    if (!is_interrupted)
        nanosleep(&pause, NULL);
}

#include "moment.h"

#include <signal.h>
#include <stddef.h>

#include "base/clock.h"

static volatile sig_atomic_t is_interrupted;

static void on_signal(int number)
{
    (void)number;
    is_interrupted = 1;
}

int64_t moment_ms(void)
{
    dro_clock *clock = dro_clock_system();
    return clock->monotonic_ns(clock) / 1000000;
}

void moment_catch_interrupts(void)
{
    struct sigaction action = { .sa_handler = on_signal }; /* no SA_RESTART: a wait ends at once */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool moment_is_interrupted(void)
{
    return is_interrupted != 0;
}

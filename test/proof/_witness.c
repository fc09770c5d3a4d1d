/* A witness of when the machine stood still: on each CPU a thread of real-time priority that wants to wake every
 * millisecond. Whenever one is late by more than half of that, no program could run there, whatever it is: the kernel was
 * busy, or another system had the CPU. Writes "FROM TO" a line, in seconds of CLOCK_MONOTONIC, until its input ends. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { CPUS_MAX = 64, PERIOD_NS = 1000000, LATE_NS = 500000 };

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static void *watch(void *argument)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(*(int *)argument, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0 || sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ 1 }) != 0) {
        puts("none");
        fflush(stdout);
        return NULL;
    }
    for (;;) {
        int64_t due = now_ns() + PERIOD_NS;
        struct timespec at = { due / 1000000000, due % 1000000000 };
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        int64_t now = now_ns();
        if (now - due > LATE_NS) {
            char line[64];
            int length = snprintf(line, sizeof line, "%.6f %.6f\n", (double)due / 1e9, (double)now / 1e9);
            if (write(STDOUT_FILENO, line, (size_t)length) != length)
                return NULL;
        }
    }
}

int main(void)
{
    static int cpus[CPUS_MAX];
    static pthread_t threads[CPUS_MAX];
    cpu_set_t allowed;
    char byte;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return 1;
    for (int cpu = 0, n = 0; cpu < CPU_SETSIZE && n < CPUS_MAX; cpu++) {
        if (!CPU_ISSET(cpu, &allowed))
            continue;
        cpus[n] = cpu;
        if (pthread_create(&threads[n], NULL, watch, &cpus[n]) != 0)
            return 1;
        n++;
    }
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    return 0;
}

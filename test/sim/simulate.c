/* Lives of whole hosts, each from a seed. See simulation.h.
 *
 *   simulate [--seed N] [--count N] [--minutes N] [--trace] [--again N]
 *
 * --again N: every N-th seed is lived twice, and its hash must be the same. Prints one JSON object at the end. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "simulation.h"

typedef struct sums { sim_counts counts; int64_t simulated_ms; uint64_t hash, seeds, again; } sums;

static void add(sums *all, const sim_counts *counts, int64_t simulated_ms, uint64_t hash)
{
    uint64_t *to = (uint64_t *)&all->counts;
    const uint64_t *from = (const uint64_t *)counts;
    for (size_t i = 0; i < sizeof *counts / sizeof *to; i++)
        to[i] += from[i];
    all->simulated_ms += simulated_ms;
    all->hash = all->hash * 31 + hash;
    all->seeds++;
}

static void print(const sums *all, double seconds)
{
    const sim_counts *c = &all->counts;
    printf("{\"seeds\":%" PRIu64 ",\"twice\":%" PRIu64 ",\"hash\":\"%016" PRIx64 "\",\"cpu_seconds\":%.3f,\"simulated_seconds\":%.0f,\"steps\":%" PRIu64
           ",\"readings\":%" PRIu64 ",\"answers\":%" PRIu64 ",\"commands\":%" PRIu64 ",\"delivered\":%" PRIu64 ",\"repeated\":%" PRIu64 ",\"events\":%" PRIu64
           ",\"power_cuts\":%" PRIu64 ",\"kills\":%" PRIu64 ",\"broken_disks\":%" PRIu64 ",\"full_disks\":%" PRIu64 ",\"gates_lost\":%" PRIu64
           ",\"cells_lost\":%" PRIu64 ",\"moves\":%" PRIu64 "}\n",
           all->seeds, all->again, all->hash, seconds, (double)all->simulated_ms / 1000, c->steps, c->readings, c->answers, c->commands, c->delivered, c->repeated,
           c->events, c->power_cuts, c->kills, c->broken_disks, c->full_disks, c->gates_lost, c->cells_lost, c->moves);
}

static uint64_t number_of(const char *text)
{
    char *end;
    uint64_t number = text == NULL ? 0 : strtoull(text, &end, 10);
    if (text == NULL || *end != '\0' || *text == '\0') {
        fprintf(stderr, "usage: simulate [--seed N] [--count N] [--minutes N] [--trace] [--again N]\n");
        exit(2);
    }
    return number;
}

static double cpu_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void live(sums *all, const sim_options *options, bool is_twice)
{
    sim_counts counts;
    int64_t simulated_ms;
    uint64_t hash = simulate(options, &counts, &simulated_ms);
    add(all, &counts, simulated_ms, hash);
    if (!is_twice)
        return;
    all->again++;
    if (simulate(options, &counts, &simulated_ms) != hash) {
        fprintf(stderr, "seed %" PRIu64 ": the second time was not like the first\n", options->seed);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    sim_options options = { .seed = 1 };
    uint64_t count = 1, again = 0;
    sums all = { 0 };
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            options.is_traced = true;
            continue;
        }
        uint64_t number = number_of(argv[i + 1]);
        if (strcmp(argv[i], "--seed") == 0)
            options.seed = number;
        else if (strcmp(argv[i], "--count") == 0)
            count = number;
        else if (strcmp(argv[i], "--minutes") == 0)
            options.minutes = (uint32_t)number;
        else if (strcmp(argv[i], "--again") == 0)
            again = number;
        else
            number_of(NULL);
        i++;
    }
    double begun = cpu_s();
    for (uint64_t i = 0; i < count; i++, options.seed++)
        live(&all, &options, again > 0 && i % again == 0);
    print(&all, cpu_s() - begun);
    return 0;
}

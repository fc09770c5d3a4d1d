/* One benchmark after the other of the same twins: what should not depend on how many there are, and shows it if it does. At
 * ten million a population takes minutes to make, so it is made once. */
#include <stdio.h>

#include "bench/bench.h"
#include "bench/benches.h"
#include "bench/trial.h"

enum {
    WINDOW = 4 * TRIAL_WINDOW, /* as the durable benchmark's */
    FRAMES_EACH = 20,          /* as the density benchmark's, */
    FRAMES_EACH_OF_MANY = 4,   /* but for those, of whom it would take ten minutes */
    MANY = 2000000,
    SET_BYTES = 128,
};

typedef struct part {
    const char *name; /* NULL: it has several, each with a name */
    bool (*run)(const bench_options *options, host *host, uint32_t twins, bench_result *result);
} part;

static uint64_t empty_bytes;     /* of the host without twins */
static double bulk_per_second;

/* Makes the twins: the room that plays a gate has to be there before them. */
static bool durable(const bench_options *o, host *h, uint32_t twins, bench_result *r)
{
    char set[SET_BYTES];
    empty_bytes = host_use(h, true, NULL, NULL).pss_bytes;
    snprintf(set, sizeof set, "bench.load=%u bench.window=%d", twins, WINDOW);
    if (!trial_start_with(h, set) || !load_provision(h, twins, &bulk_per_second))
        return false;
    return turns_measured(o, h, twins, WINDOW, r);
}

/* What is sent over one connection: it knows which frame is the next of a twin. */
static bool sockets(const bench_options *o, host *h, uint32_t twins, bench_result *r)
{
    static bench_result density, latency, diameter;
    bench_result_init(&density);
    bench_result_init(&latency);
    bench_result_init(&diameter);
    load *l = trial_start_with(h, NULL) ? load_new(h, twins, 1, TRIAL_WINDOW) : NULL;
    bool is_fine = l != NULL && memory_measured(h, l, twins, twins > MANY ? FRAMES_EACH_OF_MANY : FRAMES_EACH, empty_bytes, &density) &&
                   latency_measured(o, h, l, &latency) && uplinks_measured(o, h, l, &diameter);
    load_free(l);
    bench_set_number(&density, "bulk_twins_per_second", (double)(uint64_t)bulk_per_second);
    bench_set_result(r, "density", &density);
    bench_set_result(r, "latency", &latency);
    bench_set_result(r, "diameter", &diameter);
    return is_fine;
}

static bool restart(const bench_options *o, host *h, uint32_t twins, bench_result *r)
{
    (void)o;
    bench_set_number(r, "log_bytes", host_counter(h, "dromio_log_bytes"));
    return trial_restarts(h, twins, false, r) >= 0;
}

/* A reading of each comes first: those of a load that begins anew are late ones once, and cost less. */
static bool cold(const bench_options *o, host *h, uint32_t twins, bench_result *r)
{
    char set[SET_BYTES];
    snprintf(set, sizeof set, "bench.load=%u contexts.memory=%llu", twins, (unsigned long long)cold_contexts_bytes(twins));
    return trial_start_with(h, set) && cold_measured(o, h, twins, twins, r);
}

static bool http(const bench_options *o, host *h, uint32_t twins, bench_result *r)
{
    return gets_measured(o, h, twins, r);
}

bool bench_growth(const bench_options *o, bench_result *r)
{
    static host h;
    static bench_result one;
    static const part parts[] = { { "durable", durable }, { NULL, sockets }, { "http", http },
                                  { "restart", restart }, { "cold", cold } };
    uint32_t twins = trial_twins(o, 100000, 5000);
    bool is_fine = trial_begin(o, &h, 0, NULL, r);
    bench_set_number(r, "twins", twins);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && is_fine; i++) {
        bench_result_init(&one);
        is_fine = parts[i].run(o, &h, twins, parts[i].name != NULL ? &one : r);
        if (parts[i].name != NULL)
            bench_set_result(r, parts[i].name, &one);
    }
    host_fini(&h);
    return is_fine;
}

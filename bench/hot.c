/* Uplinks that do not spread evenly: one twin alone, few twins that get most (Zipf), many
 * domains; each beside uniform ones over the same connections. */
#include <stdlib.h>

#include "bench/benches.h"
#include "bench/load.h"
#include "bench/trial.h"
#include "bench/zipf.h"

enum {
    CONNECTIONS = 4,
    DOMAINS = 200,
    DRAWS = 1 << 20,
    DEPTH = 448,    /* of one twin outstanding: the host keeps 512 waiting (TWIN_DEFERRED_MAX) */
    SPREAD = 7919,  /* a prime: ranks that follow each other are not neighbours in memory */
    SEED = 11,
};
static const double zipf_exponent = 1.1;

typedef struct mix {
    const char *name;   /* NAME_per_second and so on */
    double exponent;    /* of Zipf's law */
    uint32_t twins;     /* drawn from */
} mix;

static bool drive(const bench_options *o, const host *h, load *l, const mix *m, double *rate, bench_result *r)
{
    static snapshot before, after;
    char name[64];
    uint32_t *drawn = zipf_draw(m->twins, m->exponent, m->twins == 1 ? 1 : DRAWS, SEED), count = m->twins == 1 ? 1 : DRAWS;
    if (drawn == NULL)
        return bench_fail("no memory");
    for (uint32_t i = 0; i < count; i++)
        drawn[i] = (uint32_t)((uint64_t)drawn[i] * SPREAD % m->twins);
    load_choose(l, drawn, count, DEPTH);
    bool is_fine = load_drive(l, 0.5);
    load_reset(l);
    snapshot_take(h, &before);
    is_fine = is_fine && load_drive(l, trial_seconds(o, 6, 1.5));
    snapshot_take(h, &after);
    load_choose(l, NULL, 0, 0);
    is_fine = is_fine && load_drain(l); /* one twin's requests come back before the next mix */
    free(drawn);
    if (!is_fine)
        return false;
    *rate = (after.turns - before.turns) / ((double)(after.at_ns - before.at_ns) / 1e9);
    bench_set_number(r, trial_name(name, m->name, "per_second"), (double)(uint64_t)*rate);
    bench_set_number(r, trial_name(name, m->name, "cpu_micros"), (after.all.cpu_s - before.all.cpu_s) * 1e6 / (after.turns - before.turns));
    bench_set_number(r, trial_name(name, m->name, "p50_micros"), (double)histogram_at(load_latency(l), 0.5));
    bench_set_number(r, trial_name(name, m->name, "p99_micros"), (double)histogram_at(load_latency(l), 0.99));
    bench_set_number(r, trial_name(name, m->name, "answered_3xxx"), (double)load_count(l)->busy);
    return load_count(l)->refused == 0 || bench_fail("an uplink was answered %u", load_count(l)->last_refusal);
}

static bool one_domain(const bench_options *o, uint32_t twins, double *uniform, bench_result *r)
{
    static host h;
    double zipf = 0, one = 0;
    load *l = NULL;
    bool is_fine = trial_begin(o, &h, twins, NULL, r) && (l = load_new(&h, twins, CONNECTIONS, TRIAL_WINDOW)) != NULL &&
                   load_attach(l) && drive(o, &h, l, &(mix){ "uniform", 0, twins }, uniform, r) &&
                   drive(o, &h, l, &(mix){ "zipf", zipf_exponent, twins }, &zipf, r) &&
                   drive(o, &h, l, &(mix){ "one_twin", 0, 1 }, &one, r);
    if (is_fine) {
        r->per_second = one;
        bench_set_number(r, "zipf_to_uniform", zipf / *uniform);
    }
    load_free(l);
    host_fini(&h);
    return is_fine;
}

static bool many_domains(const bench_options *o, uint32_t twins, double uniform, bench_result *r)
{
    static host h;
    double rate = 0, made;
    load *l = NULL;
    bool is_fine = host_init(&h, o->dromiod, o->directory, NULL, 0) && host_start(&h) && load_image(&h, o->image) &&
                   load_provision_in(&h, twins, DOMAINS, &made) && (l = load_new(&h, twins, CONNECTIONS, TRIAL_WINDOW)) != NULL &&
                   load_attach(l) && drive(o, &h, l, &(mix){ "domains", 0, twins }, &rate, r);
    if (is_fine)
        bench_set_number(r, "domains_to_uniform", rate / uniform);
    load_free(l);
    host_fini(&h);
    return is_fine;
}

bool bench_hot(const bench_options *o, bench_result *r)
{
    uint32_t twins = trial_twins(o, 1000000, 10000);
    double uniform = 0;
    bench_set_number(r, "connections", CONNECTIONS);
    bench_set_number(r, "window", TRIAL_WINDOW);
    bench_set_number(r, "depth_of_a_twin", DEPTH);
    bench_set_number(r, "zipf_exponent", zipf_exponent);
    bench_set_number(r, "domains", DOMAINS);
    bench_set_per_second_is(r, "of one twin alone");
    return one_domain(o, twins, &uniform, r) && many_domains(o, twins, uniform, r);
}

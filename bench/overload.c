/* More than the host can take: uplinks offered at once, twice and five times its peak,
 * whether they are answered or not. What counts is how many are still answered 2001, how
 * the others are refused, whether memory stays bounded, and when all is as before. */
#include <stdio.h>

#include "bench/benches.h"
#include "bench/load.h"
#include "bench/trial.h"
#include "sim/peer.h"

enum {
    CONNECTIONS = 8,
    CONNECTIONS_MANY = 32, /* where many times the peak is asked for: what is refused is told 400 ms later, so many requests are out at once */
    PEAK_WINDOWS = 4096, /* of all connections while the peak is looked for, */
    PEAK_WINDOWS_LEAST = 1024, /* and of those whose host does less: it lets so many wait, and more only for PEAK_WAIT_MS */
    PEAK_WAIT_MS = 20,
    WINDOW = PEER_WINDOW_MAX - 1, /* of each connection under overload: five times what a gate keeps in all */
    STEPS = 3,
    SLICE_MS = 250,      /* of the way back */
    RECOVERY_MS = 15000, /* longer is not looked at */
};
static const struct { const char *name; double times; } steps[STEPS] = { { "1x", 1 }, { "2x", 2 }, { "5x", 5 } };
static const double recovered_share = 0.9;
static const int curve_percents[] = { 10, 25, 50, 75, 90, 100, 125, 150, 200 }; /* of the peak */

typedef struct flood { /* what one step gave */
    double goodput, refused, offered, unsent, cpu_micros, p50_micros, p99_micros, refused_p99_micros;
    uint64_t pss_bytes;
} flood;

static uint32_t connections_of(const bench_options *o)
{
    return o->times > 0 ? CONNECTIONS_MANY : CONNECTIONS;
}

/* As many requests as a host with that peak has at once without refusing any; 0: not known yet. */
static uint32_t windows_of(const bench_options *o, double peak)
{
    double most = peak * PEAK_WAIT_MS / 1000;
    if (peak == 0)
        return (o->times > 0 ? PEAK_WINDOWS_LEAST : PEAK_WINDOWS) / connections_of(o);
    return (most < PEAK_WINDOWS_LEAST ? PEAK_WINDOWS_LEAST : most < PEAK_WINDOWS ? (uint32_t)most : PEAK_WINDOWS) / connections_of(o);
}

static load *connect_all(const host *h, uint32_t twins, uint32_t connections, uint32_t window)
{
    load *l = load_new(h, twins, connections, window);
    if (l == NULL)
        bench_fail("no memory");
    return l;
}

static bool find_peak(const bench_options *o, const host *h, uint32_t twins, double *peak, bench_result *r)
{
    load *l = connect_all(h, twins, connections_of(o), windows_of(o, 0));
    bool is_fine = l != NULL && load_attach(l) && load_drive(l, 0.5);
    if (is_fine) {
        load_reset(l);
        int64_t begin = bench_now_ns();
        is_fine = load_drive(l, trial_seconds(o, 5, 1.5));
        *peak = (double)load_count(l)->answered / ((double)(bench_now_ns() - begin) / 1e9);
        bench_set_number(r, "peak_per_second", (double)(uint64_t)*peak);
        bench_set_number(r, "peak_p99_micros", (double)histogram_at(load_latency(l), 0.99));
    }
    load_free(l);
    return is_fine;
}

static bool offer(const host *h, load *l, const char *step, double rate, double seconds, flood *out, bench_result *r)
{
    load_reset(l);
    static snapshot before, after;
    snapshot_take(h, &before);
    int64_t begin = bench_now_ns();
    if (!load_offer(l, rate, seconds))
        return false;
    double took = (double)(bench_now_ns() - begin) / 1e9;
    const load_counts *c = load_count(l);
    if (c->refused > 0)
        return bench_fail("an uplink was answered %u, neither 2001 nor 3004", c->last_refusal);
    snapshot_take(h, &after);
    if (r != NULL)
        trial_set_room_cpu(r, step, &before, &after, (double)c->answered);
    *out = (flood){ .goodput = (double)c->answered / took, .refused = (double)c->busy / took, .offered = (double)c->uplinks / took,
                    .unsent = (double)c->unsent / took, .cpu_micros = (after.all.cpu_s - before.all.cpu_s) * 1e6 / (double)(c->answered + 1),
                    .p50_micros = (double)histogram_at(load_latency(l), 0.5),
                    .p99_micros = (double)histogram_at(load_latency(l), 0.99),
                    .refused_p99_micros = (double)histogram_at(load_busy_latency(l), 0.99), .pss_bytes = host_use(h, true, NULL, NULL).pss_bytes };
    return true;
}

static void set_flood(bench_result *r, const char *step, const flood *f)
{
    char name[64];
    bench_set_number(r, trial_name(name, step, "answered_per_second"), (double)(uint64_t)f->goodput);
    bench_set_number(r, trial_name(name, step, "refused_per_second"), (double)(uint64_t)f->refused);
    bench_set_number(r, trial_name(name, step, "sent_per_second"), (double)(uint64_t)f->offered);
    bench_set_number(r, trial_name(name, step, "unsent_per_second"), (double)(uint64_t)f->unsent);
    bench_set_number(r, trial_name(name, step, "cpu_micros"), f->cpu_micros);
    bench_set_number(r, trial_name(name, step, "p99_micros"), f->p99_micros);
    bench_set_number(r, trial_name(name, step, "refused_p99_micros"), f->refused_p99_micros);
    bench_set_number(r, trial_name(name, step, "pss_bytes"), (double)f->pss_bytes);
}

/* Milliseconds from the end of the overload to the first slice at the peak's window in which no
 * request was refused and as many were answered as before, or almost. */
static double recovery_ms(const bench_options *o, const host *h, uint32_t twins, double peak)
{
    int64_t begin = bench_now_ns();
    load *l = connect_all(h, twins, connections_of(o), windows_of(o, peak));
    double found = -1;
    while (l != NULL && found < 0 && bench_now_ns() - begin < RECOVERY_MS * (int64_t)1000000) {
        load_reset(l);
        int64_t slice = bench_now_ns();
        if (!load_drive(l, SLICE_MS / 1000.0))
            break;
        double rate = (double)load_count(l)->answered / ((double)(bench_now_ns() - slice) / 1e9);
        if (rate >= recovered_share * peak && load_count(l)->busy == 0)
            found = (double)(slice - begin) / 1e6;
    }
    load_free(l);
    return found;
}

/* The peak and many times the peak, as the devices of many networks would. */
static bool flood_many(const bench_options *o, const host *h, load *l, uint32_t twins, double peak, uint64_t before, bench_result *r)
{
    flood f = { 0 };
    bool is_fine = offer(h, l, "once", peak, trial_seconds(o, 6, 1.5), &f, r);
    if (is_fine) {
        set_flood(r, "once", &f);
        is_fine = offer(h, l, "many", o->times * peak, trial_seconds(o, 6, 1.5), &f, r);
    }
    load_free(l);
    if (!is_fine)
        return false;
    set_flood(r, "many", &f);
    r->per_second = f.goodput;
    r->p99_micros = f.p99_micros;
    bench_set_number(r, "goodput_to_peak", f.goodput / peak);
    bench_set_number(r, "pss_bytes_before", (double)before);
    bench_set_number(r, "recovery_ms", recovery_ms(o, h, twins, peak));
    return !bench_is_interrupted();
}

static bool flood_all(const bench_options *o, const host *h, uint32_t twins, double peak, bench_result *r)
{
    flood f = { 0 };
    load *l = connect_all(h, twins, connections_of(o), WINDOW);
    bool is_fine = l != NULL;
    uint64_t before = host_use(h, true, NULL, NULL).pss_bytes;
    if (o->times > 0) /* so many at once, and what they have outstanding counts to the end */
        return is_fine && flood_many(o, h, l, twins, peak, before, r);
    for (int i = 0; i < STEPS && is_fine; i++) {
        is_fine = offer(h, l, steps[i].name, steps[i].times * peak, trial_seconds(o, 6, 1.5), &f, r);
        if (is_fine)
            set_flood(r, steps[i].name, &f);
    }
    load_free(l); /* with what it has outstanding: devices do not wait for each other */
    if (!is_fine)
        return false;
    r->per_second = f.goodput;
    r->cpu_micros = f.cpu_micros;
    r->p99_micros = f.p99_micros;
    bench_set_number(r, "goodput_to_peak", f.goodput / peak);
    bench_set_number(r, "pss_bytes_before", (double)before);
    double back = recovery_ms(o, h, twins, peak);
    bench_set_number(r, "recovery_ms", back);
    return !bench_is_interrupted();
}

bool bench_overload(const bench_options *o, bench_result *r)
{
    if (o->is_http)
        return overload_over_http(o, r);
    static host h;
    uint32_t twins = trial_twins(o, 200000, 50000);
    double peak = 0;
    bool is_fine = trial_begin(o, &h, twins, NULL, r) && find_peak(o, &h, twins, &peak, r) && flood_all(o, &h, twins, peak, r);
    bench_set_number(r, "connections", connections_of(o));
    bench_set_number(r, "window", WINDOW);
    bench_set_per_second_is(r, o->times > 0 ? "answered 2001 while --times the peak is offered" : "answered 2001 while five times the peak is offered");
    host_fini(&h);
    return is_fine;
}

/* Latency against offered load, up to where requests are refused. */
static bool follow_curve(const bench_options *o, const host *h, uint32_t twins, double peak, bench_result *r)
{
    load *l = connect_all(h, twins, CONNECTIONS, WINDOW);
    bool is_fine = l != NULL;
    for (size_t i = 0; i < sizeof curve_percents / sizeof curve_percents[0] && is_fine; i++) {
        char step[32], name[64];
        flood f = { 0 };
        snprintf(step, sizeof step, "at_%d", curve_percents[i]);
        is_fine = offer(h, l, step, peak * curve_percents[i] / 100, trial_seconds(o, 3, 0.8), &f, NULL) && load_drain(l);
        if (!is_fine)
            break;
        bench_set_number(r, trial_name(name, step, "sent_per_second"), (double)(uint64_t)f.offered);
        bench_set_number(r, trial_name(name, step, "answered_per_second"), (double)(uint64_t)f.goodput);
        bench_set_number(r, trial_name(name, step, "refused_per_second"), (double)(uint64_t)f.refused);
        bench_set_number(r, trial_name(name, step, "p50_micros"), f.p50_micros);
        bench_set_number(r, trial_name(name, step, "p99_micros"), f.p99_micros);
        if (curve_percents[i] == 50) {
            r->per_second = f.goodput;
            r->cpu_micros = f.cpu_micros;
            r->p50_micros = f.p50_micros;
            r->p99_micros = f.p99_micros;
        }
    }
    load_free(l);
    return is_fine;
}

bool bench_curve(const bench_options *o, bench_result *r)
{
    static host h;
    uint32_t twins = trial_twins(o, 200000, 50000);
    double peak = 0;
    bool is_fine = trial_begin(o, &h, twins, NULL, r) && find_peak(o, &h, twins, &peak, r) && follow_curve(o, &h, twins, peak, r);
    bench_set_number(r, "connections", CONNECTIONS);
    bench_set_per_second_is(r, "answered 2001 while half of the peak is offered");
    host_fini(&h);
    return is_fine;
}

/* What size costs: contexts that are not in memory, restarts, a log that is kept small under load. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/benches.h"
#include "bench/http.h"
#include "bench/load.h"
#include "bench/trial.h"

enum {
    CONNECTIONS = 4,
    POLL_MS = 20,
    PROBES_MAX = 100000,
};

/* ---- cold ---- */

/* Until every twin is attached and had about one reading. */
static bool wait_warm(const host *h, double wanted)
{
    double newest = -1;
    int64_t moved_ns = bench_now_ns();
    while (!bench_is_interrupted()) {
        double turns = host_counter(h, "dromio_turns_total");
        if (turns >= wanted)
            return true;
        if (turns != newest)
            moved_ns = bench_now_ns();
        newest = turns;
        if (bench_now_ns() - moved_ns > LOAD_IDLE_MS * (int64_t)1000000)
            return bench_fail("no turn for %d s", LOAD_IDLE_MS / 1000);
        nanosleep(&(struct timespec){ 0, POLL_MS * 1000000l }, NULL);
    }
    return false;
}

/* Reads of properties beside the load: they need no context, so they show whether the core stands still. */
static void probe(const host *h, uint32_t twins, double seconds, histogram *out)
{
    static http_text text;
    char path[128];
    int64_t end = bench_now_ns() + (int64_t)(seconds * 1e9);
    for (uint32_t i = 0; bench_now_ns() < end && i < PROBES_MAX && !bench_is_interrupted(); i++) {
        snprintf(path, sizeof path, "/v1/twins/t%07u@bench.example/properties/temperature", i * 7919 % twins);
        int64_t begin_ns = bench_now_ns();
        if (http_get(h->http_port, path, h->token, &text) == 200)
            histogram_add(out, (uint64_t)(bench_now_ns() - begin_ns) / 1000);
        nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
    }
}

bool cold_measured(const bench_options *o, const host *h, uint32_t twins, double turns_before, bench_result *r)
{
    static snapshot before, after;
    static histogram probes;
    probes = (histogram){ 0 };
    if (!wait_warm(h, turns_before))
        return false;
    double hits = host_counter(h, "dromio_context_hits_total"), misses = host_counter(h, "dromio_context_misses_total");
    snapshot_take(h, &before);
    probe(h, twins, trial_seconds(o, 15, 4), &probes);
    snapshot_take(h, &after);
    hits = host_counter(h, "dromio_context_hits_total") - hits;
    misses = host_counter(h, "dromio_context_misses_total") - misses;
    double turns = after.turns - before.turns;
    if (before.turns < 0 || turns <= 0)
        return bench_fail("dromio_turns_total did not move");
    r->per_second = turns / ((double)(after.at_ns - before.at_ns) / 1e9);
    r->cpu_micros = (after.all.cpu_s - before.all.cpu_s) * 1e6 / turns;
    r->p50_micros = (double)histogram_at(&probes, 0.5);
    r->p99_micros = (double)histogram_at(&probes, 0.99);
    bench_set_text(r, "micros_of", "a GET of a property beside the load, on a new connection");
    bench_set_number(r, "turns", turns);
    bench_set_number(r, "read_from_log", misses / (hits + misses));
    bench_set_number(r, "context_bytes", host_counter(h, "dromio_context_bytes"));
    bench_set_number(r, "unreadable", host_counter(h, "dromio_contexts_unreadable_total"));
    bench_set_number(r, "log_bytes", host_counter(h, "dromio_log_bytes"));
    trial_set_room_cpu(r, NULL, &before, &after, turns);
    return true;
}

/* About a quarter of them: those of young twins have some 60 bytes. */
uint64_t cold_contexts_bytes(uint32_t twins)
{
    enum { LEAST = 65536, EACH = 16 };
    return (uint64_t)twins * EACH > LEAST ? (uint64_t)twins * EACH : LEAST;
}

bool bench_cold(const bench_options *o, bench_result *r)
{
    static host h;
    uint32_t twins = trial_twins(o, 1000000, 20000);
    char set[128];
    snprintf(set, sizeof set, "bench.load=%u contexts.memory=%llu", twins, (unsigned long long)cold_contexts_bytes(twins));
    bool is_fine = trial_begin(o, &h, twins, set, r) && cold_measured(o, &h, twins, 2.0 * twins, r); /* each was made by a turn, too */
    host_fini(&h);
    return is_fine;
}

/* ---- restart ---- */

bool bench_restart(const bench_options *o, bench_result *r)
{
    enum { READINGS = 2 };
    static host h;
    uint32_t twins = trial_twins(o, 1000000, 20000);
    load *l = NULL;
    bool is_fine = trial_begin(o, &h, twins, NULL, r);
    if (is_fine) {
        l = load_new(&h, twins, CONNECTIONS, TRIAL_WINDOW);
        is_fine = l != NULL && load_attach(l) && load_drive_each(l, READINGS);
    }
    load_free(l);
    bench_set_number(r, "readings_each", READINGS);
    bench_set_number(r, "log_bytes", is_fine ? host_counter(&h, "dromio_log_bytes") : -1);
    double after_kill = is_fine ? trial_restarts(&h, twins, true, r) : -1;
    is_fine = after_kill > 0;
    if (is_fine)
        r->per_second = twins / (after_kill / 1e3);
    host_fini(&h);
    return is_fine;
}

/* ---- compaction ---- */

typedef struct half { double per_second, p50, p99, cpu_micros, log_most, live; } half;

/* Readings for a time, with a look at the log's size once a second. */
static bool drive(const host *h, load *l, double seconds, half *out)
{
    static snapshot before, after;
    *out = (half){ 0 };
    load_reset(l);
    snapshot_take(h, &before);
    for (int64_t end = bench_now_ns() + (int64_t)(seconds * 1e9); bench_now_ns() < end;) {
        if (!load_drive(l, 1))
            return false;
        double bytes = host_counter(h, "dromio_log_bytes");
        out->log_most = bytes > out->log_most ? bytes : out->log_most;
    }
    snapshot_take(h, &after);
    double turns = after.turns - before.turns;
    out->per_second = turns / ((double)(after.at_ns - before.at_ns) / 1e9);
    out->cpu_micros = (after.all.cpu_s - before.all.cpu_s) * 1e6 / turns;
    out->p50 = (double)histogram_at(load_latency(l), 0.5);
    out->p99 = (double)histogram_at(load_latency(l), 0.99);
    out->live = host_counter(h, "dromio_log_live_bytes");
    return load_count(l)->refused == 0 || bench_fail("%llu readings were refused", (unsigned long long)load_count(l)->refused);
}

static bool run_half(const bench_options *o, uint32_t twins, const char *set, bench_result *r, half *out)
{
    static host h;
    load *l = NULL;
    bool is_fine = trial_begin(o, &h, twins, set, r);
    if (is_fine) {
        l = load_new(&h, twins, CONNECTIONS, TRIAL_WINDOW);
        is_fine = l != NULL && load_attach(l) && load_drive_each(l, o->is_quick ? 1 : 4) && drive(&h, l, trial_seconds(o, 20, 4), out);
    }
    load_free(l);
    host_fini(&h);
    return is_fine;
}

/* The same load on a host that never compacts, and on one that keeps its log as small as it may. */
bool bench_compaction(const bench_options *o, bench_result *r)
{
    /* Segments are small beside what lives. */
    const char *never = o->is_quick ? "log.timeline=0 log.segment=1MiB log.replay=1024GiB" : "log.timeline=0 log.segment=8MiB log.replay=1024GiB";
    const char *always = o->is_quick ? "log.timeline=0 log.segment=1MiB log.replay=1MiB" : "log.timeline=0 log.segment=8MiB log.replay=1MiB";
    uint32_t twins = trial_twins(o, 200000, 10000);
    half without, with;
    if (!run_half(o, twins, never, r, &without))
        return false;
    bench_result_init(r);
    if (!run_half(o, twins, always, r, &with))
        return false;
    r->per_second = with.per_second;
    r->cpu_micros = with.cpu_micros;
    r->p50_micros = with.p50;
    r->p99_micros = with.p99;
    bench_set_number(r, "connections", CONNECTIONS);
    bench_set_number(r, "window", TRIAL_WINDOW);
    bench_set_number(r, "without_per_second", without.per_second);
    bench_set_number(r, "without_cpu_micros", without.cpu_micros);
    bench_set_number(r, "without_p50_micros", without.p50);
    bench_set_number(r, "without_p99_micros", without.p99);
    bench_set_number(r, "p99_ratio", with.p99 / without.p99);
    bench_set_number(r, "live_bytes", with.live);
    bench_set_number(r, "log_bytes_most", with.log_most);
    bench_set_number(r, "space_ratio", with.log_most / with.live);
    return true;
}

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bench/benches.h"
#include "bench/http.h"
#include "bench/load.h"
#include "bench/trial.h"

enum {
    TWINS = 1000000,
    TWINS_QUICK = 100000,
    POLL_MS = 50,
    ATTACH_MS = 300000, /* until all twins are attached and readings flow */
    TWINS_ASKED = 8,    /* whether they took what was sent */
};

static void nap_ms(int ms)
{
    nanosleep(&(struct timespec){ ms / 1000, (long)(ms % 1000) * 1000000 }, NULL);
}

/* Turns are made of readings once there are more uplinks than twins could have in flight. */
static bool wait_for_readings(const host *h)
{
    for (int64_t until = bench_now_ns() + ATTACH_MS * (int64_t)1000000; bench_now_ns() < until; nap_ms(POLL_MS)) {
        if (bench_is_interrupted())
            return false;
        if (host_counter(h, "dromio_uplinks_total") > 10 * TRIAL_WINDOW)
            return true;
    }
    return bench_fail("no readings after %d s", ATTACH_MS / 1000);
}

/* The load's frames are good: no twin rejected one. */
static bool readings_were_good(const host *h, uint32_t twins)
{
    static http_text text;
    for (uint32_t i = 0; i < TWINS_ASKED; i++) {
        char path[128];
        uint32_t twin = (uint32_t)((uint64_t)i * twins / TWINS_ASKED);
        snprintf(path, sizeof path, "/v1/twins/t%07u@bench.example/properties/rejected", twin);
        int status = http_get(h->http_port, path, h->token, &text);
        if (status != 200 || strstr(text.bytes, "\"value\":0,") == NULL)
            return bench_fail("twin %u took a reading for a bad one, or is not there: %d %s", twin, status, text.bytes);
    }
    return true;
}

static double cpu_of(const snapshot *s, const char *kind)
{
    for (int i = 0; i < s->room_count; i++)
        if (strcmp(s->rooms[i].kind, kind) == 0)
            return s->rooms[i].cpu_s;
    return 0;
}

bool turns_measured(const bench_options *o, const host *h, uint32_t twins, uint32_t window, bench_result *r)
{
    static snapshot before, after;
    double seconds = trial_seconds(o, 15, 6);
    if (!wait_for_readings(h))
        return false;
    nap_ms(1000); /* to get warm */
    snapshot_take(h, &before);
    for (int64_t end = bench_now_ns() + (int64_t)(seconds * 1e9); bench_now_ns() < end && !bench_is_interrupted();)
        nap_ms(POLL_MS);
    snapshot_take(h, &after);
    double turns = after.turns - before.turns, took = (double)(after.at_ns - before.at_ns) / 1e9;
    double load_s = cpu_of(&after, "load") - cpu_of(&before, "load");
    if (bench_is_interrupted())
        return false;
    if (before.turns < 0 || turns <= 0)
        return bench_fail("dromio_turns_total did not move");
    r->per_second = turns / took;
    r->cpu_micros = (after.all.cpu_s - before.all.cpu_s - load_s) * 1e6 / turns; /* the load is not the host's */
    bench_set_number(r, "window", window);
    bench_set_number(r, "seconds", seconds);
    bench_set_number(r, "turns", turns);
    bench_set_number(r, "commits", after.commits - before.commits);
    trial_set_room_cpu(r, NULL, &before, &after, turns);
    return readings_were_good(h, twins);
}

bool turns_without_sockets(const bench_options *o, const char *set, uint32_t window, bench_result *r)
{
    static host h;
    char all[256];
    uint32_t twins = trial_twins(o, TWINS, TWINS_QUICK);
    snprintf(all, sizeof all, "%sbench.load=%u bench.window=%u", set, twins, window);
    bool is_fine = trial_begin(o, &h, twins, all, r) && turns_measured(o, &h, twins, window, r);
    bench_set_text(r, "load", "a room of the host that writes into the core's ring; random twins");
    host_fini(&h);
    return is_fine;
}

bool bench_turns(const bench_options *o, bench_result *r)
{
    return turns_without_sockets(o, "bench.no_log=true ", TRIAL_WINDOW, r);
}

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/benches.h"
#include "bench/disk.h"
#include "bench/freediameter.h"
#include "bench/http.h"
#include "bench/load.h"
#include "bench/program.h"
#include "bench/redis.h"
#include "bench/trial.h"
#include "bench/wrk.h"

enum {
    DURABLE_CONNECTIONS = 4,
    UPLINK_TWINS = 100000,
    UPLINK_TWINS_QUICK = 10000,
    HTTP_CONNECTIONS = 8,
    HTTP_DEPTH = 16,
    FRAMES_EACH = 20,
    LATENCY_EVENTS = 5000,
};

/* ---- uplinks over Diameter ---- */

bool uplinks_measured(const bench_options *o, const host *h, load *l, bench_result *r)
{
    static snapshot before, after;
    double seconds = trial_seconds(o, 15, 6);
    if (!load_drive(l, 1)) /* a second to get warm */
        return false;
    load_reset(l);
    snapshot_take(h, &before);
    double load_s = bench_cpu_s();
    if (!load_drive(l, seconds))
        return false;
    load_s = bench_cpu_s() - load_s;
    snapshot_take(h, &after);
    const load_counts *c = load_count(l);
    double took = (double)(after.at_ns - before.at_ns) / 1e9, turns = after.turns - before.turns;
    if (before.turns < 0 || turns <= 0)
        return bench_fail("dromio_turns_total did not move");
    r->per_second = turns / took;
    r->cpu_micros = (after.all.cpu_s - before.all.cpu_s) * 1e6 / turns;
    r->p50_micros = (double)histogram_at(load_latency(l), 0.5);
    r->p99_micros = (double)histogram_at(load_latency(l), 0.99);
    bench_set_number(r, "seconds", seconds);
    bench_set_number(r, "turns", turns);
    bench_set_number(r, "commits", after.commits - before.commits);
    bench_set_number(r, "answered_2001", (double)c->answered);
    bench_set_number(r, "answered_3xxx", (double)c->busy);
    bench_set_number(r, "answered_otherwise", (double)c->refused);
    bench_set_number(r, "last_refusal", c->last_refusal);
    trial_set_room_cpu(r, NULL, &before, &after, turns);
    bench_set_number(r, "cpu_micros_load", load_s * 1e6 / turns); /* of this program, which is not the host's */
    return true;
}

static bool uplinks(const bench_options *o, bench_result *r, uint32_t connections, const char *set)
{
    static host h;
    uint32_t twins = trial_twins(o, UPLINK_TWINS, UPLINK_TWINS_QUICK);
    load *l = NULL;
    bool is_fine = trial_begin(o, &h, twins, set, r);
    if (is_fine) {
        l = load_new(&h, twins, connections, TRIAL_WINDOW);
        is_fine = l != NULL;
    }
    bench_set_number(r, "connections", connections);
    bench_set_number(r, "window", TRIAL_WINDOW);
    is_fine = is_fine && load_attach(l) && uplinks_measured(o, &h, l, r);
    load_free(l);
    host_fini(&h);
    return is_fine;
}

static bool bench_diameter(const bench_options *o, bench_result *r)
{
    return uplinks(o, r, 1, NULL) &&
           (o->is_alone || freediameter_compare(o, trial_twins(o, UPLINK_TWINS, UPLINK_TWINS_QUICK), trial_seconds(o, 5, 2), r));
}

static bool bench_durable(const bench_options *o, bench_result *r)
{
    static bench_result sockets; /* what is set beside Redis: both are asked through sockets */
    bench_result_init(&sockets);
    if (!turns_without_sockets(o, "", DURABLE_CONNECTIONS * TRIAL_WINDOW, r) || !uplinks(o, &sockets, DURABLE_CONNECTIONS, NULL))
        return false;
    if (!o->is_alone && !redis_compare(o, trial_twins(o, UPLINK_TWINS, UPLINK_TWINS_QUICK), trial_seconds(o, 8, 3), &sockets))
        return false;
    memcpy(r->peer, sockets.peer, sizeof r->peer);
    r->peer_per_second = sockets.peer_per_second;
    r->peer_cpu_micros = sockets.peer_cpu_micros;
    r->ratio = sockets.ratio;
    r->compared_per_second = sockets.per_second;
    if (r->ratio >= 0)
        bench_set_text(r, "ratio_is", "sockets.per_second / peer_per_second");
    bench_set_result(r, "sockets", &sockets);
    return true;
}

/* ---- reading properties over HTTP ---- */

typedef struct reader {
    const host *host;
    uint32_t twins;
    int marks;
    snapshot before, after;
} reader;

static int property_path(void *owner, uint64_t number, char *out, size_t room)
{
    const reader *read = owner;
    return snprintf(out, room, "/v1/twins/t%07u@bench.example/properties/temperature",
                    (uint32_t)(number * 7919 % read->twins));
}

static void on_mark(void *owner)
{
    reader *read = owner;
    snapshot_take(read->host, read->marks++ == 0 ? &read->before : &read->after);
}

bool gets_measured(const bench_options *o, const host *h, uint32_t twins, bench_result *r)
{
    static http_load gets;
    static reader read;
    double seconds = trial_seconds(o, 10, 5);
    read = (reader){ .host = h, .twins = twins };
    gets = (http_load){ .port = h->http_port, .token = h->token, .connections = HTTP_CONNECTIONS, .depth = HTTP_DEPTH,
                        .owner = &read, .path = property_path };
    if (!http_load_run(&gets, 1, seconds, on_mark))
        return bench_is_interrupted() ? false : bench_fail("a connection broke under load");
    if (gets.answers == 0)
        return bench_fail("%llu answers, none of them 200", (unsigned long long)gets.errors);
    double took = (double)(read.after.at_ns - read.before.at_ns) / 1e9;
    r->per_second = (double)gets.answers / took;
    r->cpu_micros = (read.after.all.cpu_s - read.before.all.cpu_s) * 1e6 / (double)(gets.answers + gets.errors);
    r->p50_micros = (double)histogram_at(&gets.latency, 0.5);
    r->p99_micros = (double)histogram_at(&gets.latency, 0.99);
    bench_set_text(r, "request", "GET /v1/twins/{id}/properties/temperature, keep-alive");
    bench_set_number(r, "connections", HTTP_CONNECTIONS);
    bench_set_number(r, "depth", HTTP_DEPTH);
    bench_set_number(r, "seconds", seconds);
    bench_set_number(r, "answers_200", (double)gets.answers);
    bench_set_number(r, "answers_otherwise", (double)gets.errors);
    trial_set_room_cpu(r, NULL, &read.before, &read.after, (double)(gets.answers + gets.errors));
    return true;
}

/* The same twins over HTTPS. wrk does not look at who signed the certificate. */
static bool read_over_tls(const bench_options *o, host *h, uint32_t twins, bench_result *r)
{
    static char certificate[4200], key[4200];
    char wrk[4096], curl[4096];
    if (!program_find("wrk", wrk, sizeof wrk) || !program_find("curl", curl, sizeof curl))
        return true; /* wrk_measure has said so */
    host_stop(h, false);
    snprintf(certificate, sizeof certificate, "http.tls.certificate=\"%s/certificate.pem\"", h->directory);
    snprintf(key, sizeof key, "http.tls.key=\"%s/key.pem\"", h->directory);
    h->sets[0] = certificate;
    h->sets[1] = key;
    h->set_count = 2;
    h->is_tls = true;
    return program_make_certificate(h->directory, "localhost") && host_start(h) &&
           wrk_measure(o, h, "https", "tls", twins, trial_seconds(o, 8, 3), r);
}

static bool bench_http(const bench_options *o, bench_result *r)
{
    static host h;
    uint32_t twins = trial_twins(o, 10000, 2000);
    load *l = NULL;
    bool is_fine = trial_begin(o, &h, twins, NULL, r);
    if (is_fine) {
        l = load_new(&h, twins, 1, TRIAL_WINDOW);
        is_fine = l != NULL && load_attach(l) && load_drive_each(l, 1);
    }
    load_free(l); /* the connection goes, the readings stay */
    is_fine = is_fine && gets_measured(o, &h, twins, r) &&
              (o->is_alone || (wrk_measure(o, &h, "http", "wrk", twins, trial_seconds(o, 8, 3), r) && read_over_tls(o, &h, twins, r)));
    host_fini(&h);
    return is_fine;
}

/* ---- memory, restart ---- */

static void set_room_memory(bench_result *r, const host_usage *rooms, int count)
{
    for (int i = 0; i < count; i++) {
        char name[64];
        snprintf(name, sizeof name, "pss_%.31s", rooms[i].kind);
        bench_set_number(r, name, (double)rooms[i].pss_bytes);
    }
}

bool memory_measured(const host *h, load *l, uint32_t twins, uint32_t frames_each, uint64_t empty_bytes, bench_result *r)
{
    static host_usage rooms[HOST_KINDS_MAX];
    int room_count;
    int64_t begin_ns = bench_now_ns();
    if (!load_attach(l))
        return false;
    double attach_s = (double)(bench_now_ns() - begin_ns) / 1e9;
    begin_ns = bench_now_ns();
    if (!load_drive_each(l, frames_each))
        return false;
    double drive_s = (double)(bench_now_ns() - begin_ns) / 1e9;
    host_usage after = host_use(h, true, rooms, &room_count);
    r->bytes_per_twin = ((double)after.pss_bytes - (double)empty_bytes) / twins;
    bench_set_number(r, "frames_each", frames_each);
    bench_set_number(r, "pss_before", (double)empty_bytes);
    bench_set_number(r, "pss_after", (double)after.pss_bytes);
    set_room_memory(r, rooms, room_count);
    bench_set_number(r, "attaches_per_second", (double)(uint64_t)(twins / attach_s));
    bench_set_number(r, "uplinks_per_second", (double)(uint64_t)((double)twins * frames_each / drive_s));
    return true;
}

static bool density_measured(host *h, uint32_t twins, bench_result *r)
{
    double per_second;
    uint64_t empty_bytes = host_use(h, true, NULL, NULL).pss_bytes;
    if (!load_provision(h, twins, &per_second))
        return false;
    bench_set_number(r, "twins", twins);
    bench_set_number(r, "bulk_twins_per_second", (double)(uint64_t)per_second);
    load *l = load_new(h, twins, 1, TRIAL_WINDOW);
    bool is_fine = l != NULL && memory_measured(h, l, twins, FRAMES_EACH, empty_bytes, r);
    load_free(l);
    return is_fine;
}

static bool bench_density(const bench_options *o, bench_result *r)
{
    static host h;
    uint32_t twins = trial_twins(o, 200000, 20000);
    bool is_fine = trial_begin(o, &h, 0, NULL, r) && density_measured(&h, twins, r) && trial_restarts(&h, twins, false, r) > 0;
    host_fini(&h);
    return is_fine;
}

/* ---- one event at a time ---- */

bool latency_measured(const bench_options *o, const host *h, load *l, bench_result *r)
{
    static histogram once;
    static snapshot before, after;
    uint32_t count = 0;
    once = (histogram){ 0 };
    if (load_once(l) < 0)
        return false;
    if (!disk_measure(h->directory, r, "fsync_before"))
        return false;
    snapshot_take(h, &before);
    for (int64_t end = bench_now_ns() + (int64_t)(trial_seconds(o, 10, 4) * 1e9);
         count < LATENCY_EVENTS && bench_now_ns() < end; count++) {
        double took = load_once(l);
        if (took < 0)
            return bench_is_interrupted() ? false : bench_fail("an uplink was not answered 2001");
        histogram_add(&once, (uint64_t)took);
    }
    snapshot_take(h, &after);
    if (!disk_measure(h->directory, r, "fsync_after"))
        return false;
    r->p50_micros = (double)histogram_at(&once, 0.5);
    r->p99_micros = (double)histogram_at(&once, 0.99);
    r->per_second = count / ((double)(after.at_ns - before.at_ns) / 1e9);
    r->cpu_micros = (after.all.cpu_s - before.all.cpu_s) * 1e6 / count;
    bench_set_number(r, "events", count);
    bench_set_number(r, "outstanding", 1);
    bench_set_number(r, "commits", after.commits - before.commits);
    trial_set_room_cpu(r, NULL, &before, &after, count);
    return true;
}

static bool bench_latency(const bench_options *o, bench_result *r)
{
    static host h;
    uint32_t twins = trial_twins(o, 1000, 1000);
    load *l = NULL;
    bool is_fine = trial_begin(o, &h, twins, NULL, r);
    if (is_fine) {
        l = load_new(&h, twins, 1, TRIAL_WINDOW); /* to attach; then one is outstanding */
        is_fine = l != NULL && load_attach(l) && latency_measured(o, &h, l, r);
    }
    load_free(l);
    host_fini(&h);
    return is_fine;
}

const bench_row bench_rows[] = {
    { "turns", "the same as durable without a log (bench.no_log): what turns cost alone", bench_turns },
    { "durable", "readings of random twins, each answered after its commit; a second row feeds them through sockets", bench_durable },
    { "diameter", "uplinks (ODR) over one MME connection, window 1024, durable answers a second", bench_diameter },
    { "http", "GETs of a property, keep-alive and pipelined over eight connections", bench_http },
    { "density", "bytes of memory a twin (PSS of all rooms), bulk twins a second, time to restart", bench_density },
    { "latency", "one uplink at a time on an idle host, beside the disk's own fsync", bench_latency },
    { "cold", "readings of random twins while most contexts are in the log only (16 bytes of contexts.memory a twin)", bench_cold },
    { "restart", "time to the first answer after a stop and after kill -9, by the number of twins", bench_restart },
    { "growth", "the same twins for most of the above, one after the other: what should not depend on how many there are", bench_growth },
    { "compaction", "the same durable load with a log that only grows, and with one kept as small as it may be", bench_compaction },
    { "hot", "uplinks of one twin alone, by Zipf's law, and in 200 domains, beside uniform ones", bench_hot },
    { "nidd", "uplinks (ODR) of 16 MMEs until the application has answered each one's notification (T8)", bench_nidd },
    { "monte", "reports of the network (RIR) of 16 MMEs until the application has answered each one's notification (T8 monitoring)", bench_monte },
    { "queue", "downlinks of applications queued for sleeping devices, their bytes of memory, and how fast they leave", bench_queue },
    { "overload", "uplinks offered at one, two and five times the peak: what is still answered, how the rest is refused", bench_overload },
    { "group", "one downlink to all members of a group (T8), until the last MT-Data-Request was answered", bench_group },
    { "curve", "latency against offered load, from a tenth of the peak to twice the peak", bench_curve },
    { "compute", "FIR, FFT and Keccak in a twin beside the same source compiled natively", bench_compute },
};
const int bench_row_count = sizeof bench_rows / sizeof bench_rows[0];

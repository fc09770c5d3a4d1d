#include "bench/trial.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/disk.h"
#include "bench/http.h"
#include "bench/load.h"

enum { SET_BYTES = 1024 };

static const char image_hint[] = "acme/thermo, 8-byte frames, column updates on";

/* The settings of a text, good until the next ones. */
static int settings_of(const char *set, const char *sets[HOST_SETS_MAX])
{
    static char words[SET_BYTES];
    int count = 0;
    char *rest;
    snprintf(words, sizeof words, "%s", set != NULL ? set : "");
    for (char *word = strtok_r(words, " ", &rest); word != NULL && count < HOST_SETS_MAX; word = strtok_r(NULL, " ", &rest))
        sets[count++] = word;
    return count;
}

bool trial_begin(const bench_options *o, host *h, uint32_t twins, const char *set, bench_result *r)
{
    const char *sets[HOST_SETS_MAX];
    double per_second = 0;
    const char *needed[] = { o->dromiod, o->image };
    *h = (host){ 0 };
    for (int i = 0; i < 2; i++)
        if (access(needed[i], R_OK) != 0)
            return bench_fail("%s: %s", needed[i], strerror(errno));
    if (!host_init(h, o->dromiod, o->directory, sets, settings_of(set, sets)) || !host_start(h) || !load_image(h, o->image))
        return false;
    if (twins > 0 && !load_provision(h, twins, &per_second))
        return false;
    bench_set_text(r, "twin", image_hint);
    bench_set_text(r, "set", set != NULL ? set : "");
    bench_set_text(r, "load_on", "same machine");
    bench_set_number(r, "cpus", (double)sysconf(_SC_NPROCESSORS_ONLN));
    bench_set_text(r, "data", o->directory);
    if (twins > 0) {
        bench_set_number(r, "twins", twins);
        bench_set_number(r, "bulk_twins_per_second", (double)(uint64_t)per_second);
    }
    return true;
}

bool trial_start_with(host *h, const char *set)
{
    host_stop(h, false);
    h->set_count = settings_of(set, h->sets);
    return host_start(h);
}

uint32_t trial_twins(const bench_options *o, uint32_t usual, uint32_t quick)
{
    return o->twins != 0 ? o->twins : o->is_quick ? quick : usual;
}

double trial_seconds(const bench_options *o, double usual, double quick)
{
    return o->seconds > 0 ? o->seconds : o->is_quick ? quick : usual;
}

uint32_t trial_waiting(uint32_t devices)
{
    return devices < TRIAL_WAITING_MAX ? devices : TRIAL_WAITING_MAX;
}

uint32_t trial_batch(uint32_t devices)
{
    return (trial_waiting(devices) + TRIAL_BATCHES - 1) / TRIAL_BATCHES;
}

void snapshot_take(const host *h, snapshot *s)
{
    s->turns = host_counter(h, "dromio_turns_total");
    s->commits = host_counter(h, "dromio_commits_total");
    s->all = host_use(h, false, s->rooms, &s->room_count);
    s->at_ns = bench_now_ns();
}

void trial_set_room_cpu(bench_result *r, const char *prefix, const snapshot *a, const snapshot *b, double operations)
{
    for (int i = 0; i < b->room_count; i++) {
        double before = 0;
        for (int k = 0; k < a->room_count; k++)
            if (strcmp(a->rooms[k].kind, b->rooms[i].kind) == 0)
                before = a->rooms[k].cpu_s;
        char name[64];
        snprintf(name, sizeof name, "%s%scpu_micros_%.31s", prefix != NULL ? prefix : "", prefix != NULL ? "_" : "", b->rooms[i].kind);
        bench_set_number(r, name, (b->rooms[i].cpu_s - before) * 1e6 / operations);
    }
}

const char *trial_name(char out[64], const char *prefix, const char *name)
{
    snprintf(out, 64, "%s_%s", prefix, name);
    return out;
}

void trial_set_peer(bench_result *r, const char *peer, double per_second, double cpu_micros)
{
    snprintf(r->peer, sizeof r->peer, "%s", peer);
    r->peer_per_second = per_second;
    r->ratio = r->per_second / per_second;
    r->peer_cpu_micros = cpu_micros;
}

/* ---- restarts ---- */

static bool ask(const host *h, uint32_t twin, http_text *text)
{
    char path[128];
    snprintf(path, sizeof path, "/v1/twins/t%07u@bench.example/properties/readings", twin);
    int status = http_get(h->http_port, path, h->token, text);
    return status == 200 || bench_fail("twin %u answers %d %s", twin, status, text->bytes);
}

/* Milliseconds from the start of the program to the first property of a twin over HTTP. */
static double first_answer_ms(host *h, uint32_t twin, bool is_kill, bool is_cached, bench_result *r, const char *prefix)
{
    static http_text before, after;
    char name[64];
    if (!ask(h, twin, &before))
        return -1;
    int64_t begin_ns = bench_now_ns();
    host_stop(h, is_kill);
    if (!is_kill)
        bench_set_number(r, trial_name(name, prefix, "stop_ms"), (double)(bench_now_ns() - begin_ns) / 1e6);
    disk_forget(h->directory);
    if (is_cached)
        disk_load(h->directory);
    bench_set_number(r, trial_name(name, prefix, "in_page_cache"), disk_cached(h->directory));
    begin_ns = bench_now_ns();
    if (!host_start(h) || !ask(h, twin, &after))
        return -1;
    double took = (double)(bench_now_ns() - begin_ns) / 1e6;
    bench_set_number(r, trial_name(name, prefix, "ms"), took);
    if (strcmp(before.bytes, after.bytes) == 0)
        return took;
    bench_fail("twin %u said %s, and after a restart %s", twin, before.bytes, after.bytes);
    return -1;
}

double trial_restarts(host *h, uint32_t twins, bool also_cached, bench_result *r)
{
    if (first_answer_ms(h, twins / 2, false, false, r, "restart") < 0)
        return -1;
    double after_kill = first_answer_ms(h, twins - 1, true, false, r, "restart_after_kill");
    bool is_fine = after_kill >= 0 && (!also_cached || (first_answer_ms(h, twins / 3, false, true, r, "restart_cached") >= 0 &&
                                                        first_answer_ms(h, 0, true, true, r, "restart_cached_after_kill") >= 0));
    return is_fine ? after_kill : -1;
}

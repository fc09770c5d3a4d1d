/* More than the host can take over HTTP: so many clients as it takes for its peak, then many times as many. A client has
 * one action out, and asks again as soon as it is answered, whatever the answer is: nobody heeds Retry-After. */
#include <stdio.h>
#include <sys/resource.h>

#include "bench/benches.h"
#include "bench/http.h"
#include "bench/trial.h"

enum {
    CLIENTS = 800,
    SPARE = 64,          /* connections of the host that others may have */
    RECOVERY_TRIES = 40, /* each takes SLICE_S */
};
static const double slice_s = 0.25, recovered_share = 0.9;

typedef struct crowd { /* clients that measure one step */
    const host *host;
    uint32_t twins;
    int marks;
    snapshot before, after;
} crowd;

static int action_path(void *owner, uint64_t number, char *out, size_t room)
{
    const crowd *c = owner;
    return snprintf(out, room, "/v1/twins/t%07u@bench.example/actions/act", (uint32_t)(number * 7919 % c->twins));
}

static int action_body(void *owner, uint64_t number, char *out, size_t room)
{
    (void)owner;
    (void)number;
    return snprintf(out, room, "{}");
}

static void on_mark(void *owner)
{
    crowd *c = owner;
    snapshot_take(c->host, c->marks++ == 0 ? &c->before : &c->after);
}

typedef struct crowded { /* what one step gave */
    double answered, refused, p99_micros, seconds;
} crowded;

static bool ask(const bench_options *o, crowd *c, uint32_t clients, double warm_s, double seconds, crowded *out)
{
    static http_load actions;
    (void)o;
    c->marks = 0;
    actions = (http_load){ .port = c->host->http_port, .token = c->host->token, .connections = clients, .depth = 1, .owner = c,
                           .path = action_path, .body = action_body };
    if (!http_load_run(&actions, warm_s, seconds, on_mark))
        return bench_fail("a connection broke under load");
    if (actions.errors != actions.busy)
        return bench_fail("an action was answered %d, neither 2xx nor 503", actions.error);
    out->seconds = (double)(c->after.at_ns - c->before.at_ns) / 1e9;
    out->answered = (double)actions.answers / out->seconds;
    out->refused = (double)actions.busy / out->seconds;
    out->p99_micros = (double)histogram_at(&actions.latency, 0.99);
    return true;
}

static void set_crowded(bench_result *r, const char *step, const crowd *c, const crowded *found)
{
    char name[64];
    bench_set_number(r, trial_name(name, step, "answered_per_second"), (double)(uint64_t)found->answered);
    bench_set_number(r, trial_name(name, step, "refused_per_second"), (double)(uint64_t)found->refused);
    bench_set_number(r, trial_name(name, step, "p99_micros"), found->p99_micros);
    bench_set_number(r, trial_name(name, step, "cpu_micros"), (c->after.all.cpu_s - c->before.all.cpu_s) * 1e6 / (found->answered * found->seconds + 1));
    trial_set_room_cpu(r, step, &c->before, &c->after, found->answered * found->seconds + 1);
    bench_set_number(r, trial_name(name, step, "pss_bytes"), (double)host_use(c->host, true, NULL, NULL).pss_bytes);
}

static bool recover(const bench_options *o, crowd *c, double peak, bench_result *r)
{
    int64_t begin = bench_now_ns();
    double found = -1;
    for (int i = 0; i < RECOVERY_TRIES && found < 0; i++) {
        crowded slice = { 0 };
        int64_t since = bench_now_ns();
        if (!ask(o, c, CLIENTS, slice_s, slice_s, &slice))
            return false;
        if (slice.answered >= recovered_share * peak && slice.refused < 1)
            found = (double)(since - begin) / 1e6;
    }
    bench_set_number(r, "recovery_ms", found);
    return true;
}

bool overload_over_http(const bench_options *o, bench_result *r)
{
    static host h;
    static crowd c;
    uint32_t twins = trial_twins(o, 200000, 50000), many = (uint32_t)(CLIENTS * (o->times > 0 ? o->times : 5));
    double seconds = trial_seconds(o, 6, 1.5);
    struct rlimit files;
    crowded peak = { 0 }, crowded_many = { 0 };
    if (many > HTTP_CONNECTIONS_MAX - SPARE)
        many = HTTP_CONNECTIONS_MAX - SPARE;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    bool is_fine = setrlimit(RLIMIT_NOFILE, &files) == 0 && trial_begin(o, &h, twins, "host.cores=1 host.gates=1", r);
    c = (crowd){ .host = &h, .twins = twins };
    is_fine = is_fine && ask(o, &c, CLIENTS, seconds / 4, seconds, &peak);
    if (is_fine)
        set_crowded(r, "peak", &c, &peak);
    is_fine = is_fine && ask(o, &c, many, seconds / 4, seconds, &crowded_many);
    if (is_fine) {
        set_crowded(r, "many", &c, &crowded_many);
        r->per_second = crowded_many.answered;
        r->p99_micros = crowded_many.p99_micros;
        bench_set_number(r, "goodput_to_peak", crowded_many.answered / peak.answered);
        bench_set_number(r, "clients_at_the_peak", CLIENTS);
        bench_set_number(r, "clients", many);
        is_fine = recover(o, &c, peak.answered, r);
    }
    bench_set_per_second_is(r, "actions answered 2xx while so many clients ask");
    host_fini(&h);
    return is_fine;
}

/* From a device's MO-Data-Request to the application's 204: uplinks over many MMEs, each told in a POST
 * (T8 NIDD notification) to a sink in this program. Devices are provisioned and configured all, connected
 * up to CONNECTED_MAX of them; what they cost in memory is looked at before the load. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/benches.h"
#include "bench/http.h"
#include "bench/load.h"
#include "bench/sink.h"
#include "bench/trial.h"

enum {
    MMES = 16,
    WINDOW = 256,       /* of each: together below what a gate keeps */
    CONNECTED_MAX = 1000000,
    DEVICES = 100000,
    DEVICES_QUICK = 20000,
    ALONE = 500,        /* one at a time */
    POSTS_CONNECTIONS = 8,
    POSTS_DEPTH = 32,
};

typedef struct notifying {
    host *host;
    load *load;
    sink *sink;
    uint32_t devices, connected;
    _Atomic int64_t *sent_ns; /* [connected] when the newest uplink of each left */
    _Atomic uint64_t strange; /* notifications that name no connected device or hold no data */
    histogram took;           /* written by the sink's thread; read while nothing is under way */
} notifying;

static uint32_t mmes_of(const notifying *n)
{
    return n->connected < MMES ? n->connected : MMES; /* none without a device */
}

/* In the sink's thread. */
static void on_notification(void *owner, const char *body, size_t length)
{
    notifying *n = owner;
    static const char name[] = "\"externalId\":\"t";
    const char *at = strstr(body, name);
    unsigned long device = at != NULL ? strtoul(at + sizeof name - 1, NULL, 10) : n->connected;
    (void)length;
    if (device >= n->connected || strstr(body, "\"data\":\"") == NULL) {
        n->strange++;
        return;
    }
    histogram_add(&n->took, (uint64_t)(bench_now_ns() - n->sent_ns[device]) / 1000);
}

/* ---- configurations ---- */

static int path(void *owner, uint64_t number, char *out, size_t room)
{
    (void)owner;
    (void)number;
    return snprintf(out, room, "/3gpp-nidd/v1/bench/configurations");
}

static int body(void *owner, uint64_t number, char *out, size_t room)
{
    const notifying *n = owner;
    return snprintf(out, room, "{\"externalId\":\"t%07u@bench.example\",\"notificationDestination\":\"http://127.0.0.1:%u/\"}",
                    (uint32_t)number, sink_port(n->sink));
}

static bool configure(notifying *n, bench_result *r)
{
    static http_text answer;
    static http_load posts;
    static const char application[] = "{\"id\":\"bench\",\"domains\":[\"bench.example\"],\"scopes\":[\"nidd\"]}";
    posts = (http_load){ .port = n->host->http_port, .token = n->host->token, .connections = POSTS_CONNECTIONS, .depth = POSTS_DEPTH,
                         .owner = n, .path = path, .body = body };
    int status = http_send(n->host->http_port, "POST", "/v1/applications", n->host->token, "application/json", application,
                           sizeof application - 1, &answer);
    if (status != 201)
        return bench_fail("the application was answered %d %s", status, answer.bytes);
    int64_t begun = bench_now_ns();
    if (!http_load_count(&posts, n->devices) || posts.errors > 0)
        return bench_fail("%llu configurations were refused, the newest with %d", (unsigned long long)posts.errors, posts.error);
    bench_set_number(r, "configurations_per_second", (double)(uint64_t)(n->devices / ((double)(bench_now_ns() - begun) / 1e9)));
    return true;
}

/* ---- uplinks ---- */

static bool alone(notifying *n, bench_result *r)
{
    n->took = (histogram){ 0 };
    uint64_t sent = sink_count(n->sink);
    for (int i = 0; i < ALONE; i++)
        if (load_once(n->load) < 0 || !sink_wait(n->sink, ++sent, 0))
            return bench_is_interrupted() ? false : bench_fail("an uplink was not answered 2001");
    bench_set_number(r, "alone_p50_micros", (double)histogram_at(&n->took, 0.5));
    bench_set_number(r, "alone_p99_micros", (double)histogram_at(&n->took, 0.99));
    return true;
}

static bool together(notifying *n, double seconds, bench_result *r)
{
    static snapshot before, after;
    n->took = (histogram){ 0 };
    uint64_t first = sink_count(n->sink), sent = first;
    double sink_s = sink_cpu_s(n->sink);
    uint32_t batch = trial_batch(n->connected), waiting = trial_waiting(n->connected);
    snapshot_take(n->host, &before);
    for (int64_t end = bench_now_ns() + (int64_t)(seconds * 1e9); bench_now_ns() < end; sent += batch)
        if (!load_send(n->load, batch) || !sink_wait(n->sink, sent + batch, waiting - batch))
            return false;
    if (!sink_wait(n->sink, sent, 0)) /* the last one counts, too */
        return false;
    snapshot_take(n->host, &after);
    double count = (double)(sent - first);
    r->per_second = count / ((double)(after.at_ns - before.at_ns) / 1e9);
    r->cpu_micros = (after.all.cpu_s - before.all.cpu_s) * 1e6 / count;
    r->p50_micros = (double)histogram_at(&n->took, 0.5);
    r->p99_micros = (double)histogram_at(&n->took, 0.99);
    trial_set_room_cpu(r, NULL, &before, &after, count);
    bench_set_number(r, "sink_cpu_micros", (sink_cpu_s(n->sink) - sink_s) * 1e6 / count);
    bench_set_number(r, "notifications", count);
    if (sink_count(n->sink) != sent || n->strange > 0)
        return bench_fail("%llu notifications of %llu uplinks, %llu of them strange", (unsigned long long)(sink_count(n->sink) - first),
                          (unsigned long long)(sent - first), (unsigned long long)n->strange);
    return true;
}

/* Bytes of the host now; what it has more than `before`, for each device, goes to the result. */
static uint64_t weigh(const notifying *n, uint64_t before, const char *step, bench_result *r)
{
    char name[64];
    uint64_t bytes = host_use(n->host, true, NULL, NULL).pss_bytes;
    snprintf(name, sizeof name, "bytes_%s", step);
    bench_set_number(r, name, ((double)bytes - (double)before) / n->devices);
    return bytes;
}

static bool measure(const bench_options *o, notifying *n, uint64_t empty_bytes, bench_result *r)
{
    n->load = load_new(n->host, n->connected, mmes_of(n), WINDOW);
    n->sent_ns = calloc(n->connected, sizeof *n->sent_ns);
    if (n->load == NULL || n->sent_ns == NULL)
        return bench_fail("no memory");
    load_stamp(n->load, n->sent_ns);
    uint64_t bytes = weigh(n, empty_bytes, "provisioned", r);
    if (!configure(n, r))
        return false;
    bytes = weigh(n, bytes, "configured", r);
    if (!load_attach(n->load))
        return false;
    bytes = weigh(n, bytes, "connected", r);
    bench_set_number(r, "pss_bytes", (double)bytes);
    r->bytes_per_twin = ((double)bytes - (double)empty_bytes) / n->devices;
    return alone(n, r) && together(n, trial_seconds(o, 15, 5), r);
}

bool bench_nidd(const bench_options *o, bench_result *r)
{
    static host h;
    static notifying n;
    double per_second;
    n = (notifying){ .host = &h, .devices = trial_twins(o, DEVICES, DEVICES_QUICK) };
    n.connected = n.devices < CONNECTED_MAX ? n.devices : CONNECTED_MAX;
    n.sink = sink_new(&n, on_notification);
    bool is_fine = n.sink != NULL && trial_begin(o, &h, 0, "t8.allow_callbacks=127.0.0.0/8", r);
    uint64_t empty_bytes = is_fine ? host_use(&h, true, NULL, NULL).pss_bytes : 0;
    is_fine = is_fine && load_provision(&h, n.devices, &per_second) && measure(o, &n, empty_bytes, r);
    bench_set_number(r, "twins", n.devices);
    bench_set_number(r, "configurations", n.devices);
    bench_set_number(r, "connected", n.connected);
    bench_set_number(r, "mmes", mmes_of(&n));
    bench_set_number(r, "waiting_most", trial_waiting(n.connected));
    bench_set_per_second_is(r, "notifications answered 204 by the sink, from the ODR on");
    load_free(n.load);
    host_fini(&h);
    sink_free(n.sink); /* the host is gone: nothing comes any more */
    free((void *)n.sent_ns);
    return is_fine;
}

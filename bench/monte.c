/* From a report of the network (T6a Reporting-Information-Request) to the application's 204: MMEs report events of
 * devices that each have one monitoring subscription (T8), made over an HSS in this program. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "bench/benches.h"
#include "bench/http.h"
#include "bench/load.h"
#include "bench/sink.h"
#include "bench/trial.h"
#include "wire/diameter/read.h"
#include "wire/diameter/write.h"

enum {
    MMES = 16,
    WINDOW = 256,           /* of each: together below what a gate keeps */
    DEVICES = 100000,
    DEVICES_QUICK = 20000,
    ALONE = 500,            /* one at a time */
    POSTS_CONNECTIONS = 8,
    POSTS_DEPTH = 32,
    EVENTS = 64, WAIT_MS = 10,
    HSS_OPEN_MS = 10000,
    NAME_DIGITS = 7,        /* "t0000123@bench.example", as bench/load.c makes them */
    LOSS_OF_CONNECTIVITY = 0, MAX_DETECTION_TIME_EXPIRED_MME = 2,
};
static const char domain[] = "@bench.example";
static const char scef[] = "scef.dromio.test";

typedef struct watching watching;
typedef struct lane { /* an MME */
    watching *owner;
    peer *peer;
    char identity[64];
} lane;

struct watching {
    host *host;
    sink *sink;
    uint32_t devices, next;       /* next: whose event is reported next */
    _Atomic uint32_t *references; /* [devices] as the HSS was told */
    _Atomic int64_t *sent_ns;     /* [devices] when the newest report left */
    _Atomic uint64_t strange;     /* notifications that name no device or no event */
    histogram took;               /* written by the sink's thread; read while nothing is under way */
    /* the MMEs, in the thread of the benchmark */
    lane lanes[MMES];
    int epoll;
    uint64_t answered, refused;
    uint32_t last_refusal;
    int64_t now_ns;
    /* the HSS, in a thread of its own */
    peer *hss;
    int hss_epoll;
    pthread_t thread;
    bool is_started;
    atomic_bool ends, is_open;
};

/* The number in the name of a device, or `devices`. */
static uint32_t device_of(const watching *w, const char *name, size_t length)
{
    uint32_t number = 0;
    if (length < 1 + NAME_DIGITS || name[0] != 't')
        return w->devices;
    for (int i = 1; i <= NAME_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9')
            return w->devices;
        number = number * 10 + (uint32_t)(name[i] - '0');
    }
    return number < w->devices ? number : w->devices;
}

/* In the sink's thread. */
static void on_notification(void *owner, const char *body, size_t length)
{
    watching *w = owner;
    static const char name[] = "\"externalId\":\"";
    const char *at = strstr(body, name);
    uint32_t device = at == NULL ? w->devices : device_of(w, at + sizeof name - 1, length - (size_t)(at + sizeof name - 1 - body));
    if (device >= w->devices || strstr(body, "\"LOSS_OF_CONNECTIVITY\"") == NULL) {
        w->strange++;
        return;
    }
    histogram_add(&w->took, (uint64_t)(bench_now_ns() - w->sent_ns[device]) / 1000);
}

/* ---- the HSS ---- */

static void put_status(dro_builder *out, const void *what)
{
    const uint32_t *reference = what;
    size_t group = diameter_group_begin(out, AVP_MONITORING_EVENT_CONFIG_STATUS);
    size_t report = diameter_group_begin(out, AVP_SERVICE_REPORT);
    size_t result = diameter_group_begin(out, AVP_SERVICE_RESULT);
    diameter_put_u32(out, AVP_SERVICE_RESULT_CODE, DIAMETER_SUCCESS);
    diameter_group_end(out, result);
    diameter_group_end(out, report);
    diameter_put_u32(out, AVP_SCEF_REFERENCE_ID, *reference);
    diameter_put_text(out, AVP_SCEF_ID, scef);
    diameter_group_end(out, group);
}

static void on_configuration(void *owner, peer *from, const t6a_message *request)
{
    watching *w = owner;
    const diameter_avp *wanted = diameter_find(request->whole, AVP_MONITORING_EVENT_CONFIGURATION);
    uint32_t reference = diameter_u32(diameter_find_in(request->whole, wanted, AVP_SCEF_REFERENCE_ID));
    uint32_t device = device_of(w, (const char *)request->external_identifier.bytes, request->external_identifier.length);
    if (request->command != COMMAND_CONFIGURATION_INFORMATION || device >= w->devices || reference == 0) {
        peer_answer(from, request, DIAMETER_UNABLE_TO_COMPLY);
        return;
    }
    w->references[device] = reference;
    peer_answer_custom(from, request, DIAMETER_SUCCESS, 0, &(t6a_custom){ .put = put_status, .what = &reference });
}

static void on_hss_open(void *owner, peer *from)
{
    (void)from;
    atomic_store(&((watching *)owner)->is_open, true);
}

static void on_no_answer(void *owner, peer *from, uint32_t slot, uint64_t tag, int64_t micros, const t6a_message *answer)
{
    (void)owner, (void)from, (void)slot, (void)tag, (void)micros, (void)answer; /* it asks nothing */
}

static void *run_hss(void *context)
{
    watching *w = context;
    struct epoll_event events[EVENTS];
    while (!atomic_load(&w->ends)) {
        int got = epoll_wait(w->hss_epoll, events, EVENTS, WAIT_MS);
        int64_t now_ns = bench_now_ns();
        for (int i = 0; i < got; i++)
            peer_on_ready(events[i].data.ptr, events[i].events, now_ns);
        peer_tick(w->hss, now_ns);
        peer_flush(w->hss);
    }
    return NULL;
}

static bool hss_start(watching *w)
{
    w->hss_epoll = epoll_create1(EPOLL_CLOEXEC);
    peer_config config = { .connect = w->host->diameter, .identity = "hss.bench.dromio.test", .realm = "bench.dromio.test",
                           .application = DIAMETER_APPLICATION_S6T, .window = WINDOW, .seed = 1, .epoll = w->hss_epoll, .owner = w,
                           .on_open = on_hss_open, .on_answer = on_no_answer, .on_request = on_configuration };
    w->hss = w->hss_epoll < 0 ? NULL : peer_new(&config);
    w->is_started = w->hss != NULL && pthread_create(&w->thread, NULL, run_hss, w) == 0;
    if (!w->is_started)
        return bench_fail("no HSS: no memory");
    for (int64_t until = bench_now_ns() + HSS_OPEN_MS * INT64_C(1000000); !atomic_load(&w->is_open) && bench_now_ns() < until;)
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    return atomic_load(&w->is_open) || bench_fail("the host does not take the HSS's connection");
}

static void hss_stop(watching *w)
{
    atomic_store(&w->ends, true);
    if (w->is_started)
        pthread_join(w->thread, NULL);
    peer_free(w->hss);
    if (w->hss_epoll >= 0)
        close(w->hss_epoll);
}

/* ---- subscriptions ---- */

static int path(void *owner, uint64_t number, char *out, size_t room)
{
    (void)owner;
    (void)number;
    return snprintf(out, room, "/3gpp-monitoring-event/v1/bench/subscriptions");
}

static int body(void *owner, uint64_t number, char *out, size_t room)
{
    const watching *w = owner;
    return snprintf(out, room, "{\"externalId\":\"t%07u%s\",\"notificationDestination\":\"http://127.0.0.1:%u/\","
                    "\"monitoringType\":\"LOSS_OF_CONNECTIVITY\",\"maximumDetectionTime\":60,\"maximumNumberOfReports\":1000000000}",
                    (uint32_t)number, domain, sink_port(w->sink));
}

static bool subscribe(watching *w, bench_result *r)
{
    static http_text answer;
    static http_load posts;
    static const char application[] = "{\"id\":\"bench\",\"domains\":[\"bench.example\"],\"scopes\":[\"monitoring\"]}";
    posts = (http_load){ .port = w->host->http_port, .token = w->host->token, .connections = POSTS_CONNECTIONS, .depth = POSTS_DEPTH,
                         .owner = w, .path = path, .body = body };
    int status = http_send(w->host->http_port, "POST", "/v1/applications", w->host->token, "application/json", application,
                           sizeof application - 1, &answer);
    if (status != 201)
        return bench_fail("the application was answered %d %s", status, answer.bytes);
    int64_t begun = bench_now_ns();
    if (!http_load_count(&posts, w->devices) || posts.errors > 0)
        return bench_fail("%llu subscriptions were refused, the newest with %d", (unsigned long long)posts.errors, posts.error);
    for (uint32_t i = 0; i < w->devices; i++)
        if (w->references[i] == 0)
            return bench_fail("the HSS was not asked about t%07u%s", i, domain);
    bench_set_number(r, "subscriptions_per_second", (double)(uint64_t)(w->devices / ((double)(bench_now_ns() - begun) / 1e9)));
    return true;
}

/* ---- reports ---- */

static void put_report(dro_builder *out, const void *what)
{
    const uint32_t *reference = what;
    size_t group = diameter_group_begin(out, AVP_MONITORING_EVENT_REPORT);
    diameter_put_u32(out, AVP_SCEF_REFERENCE_ID, *reference);
    diameter_put_text(out, AVP_SCEF_ID, scef);
    diameter_put_u32(out, AVP_MONITORING_TYPE, LOSS_OF_CONNECTIVITY);
    diameter_put_u32(out, AVP_LOSS_OF_CONNECTIVITY_REASON, MAX_DETECTION_TIME_EXPIRED_MME);
    diameter_group_end(out, group);
}

static void on_answer(void *owner, peer *from, uint32_t slot, uint64_t tag, int64_t micros, const t6a_message *answer)
{
    watching *w = ((lane *)owner)->owner;
    (void)from, (void)slot, (void)tag, (void)micros;
    w->answered += answer->result == DIAMETER_SUCCESS;
    if (answer->result == DIAMETER_SUCCESS)
        return;
    w->refused++;
    w->last_refusal = answer->experimental != 0 ? answer->experimental : answer->result;
}

static void on_request(void *owner, peer *from, const t6a_message *request)
{
    (void)owner;
    peer_answer(from, request, DIAMETER_COMMAND_UNSUPPORTED);
}

static void on_open(void *owner, peer *from)
{
    (void)owner;
    (void)from;
}

static bool lanes_make(watching *w)
{
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < MMES && w->epoll >= 0; i++) {
        lane *at = &w->lanes[i];
        at->owner = w;
        snprintf(at->identity, sizeof at->identity, "mme%u.bench.dromio.test", i + 1);
        peer_config config = { .connect = w->host->diameter, .identity = at->identity, .realm = "bench.dromio.test", .window = WINDOW, .seed = i + 1,
                               .epoll = w->epoll, .owner = at, .on_open = on_open, .on_answer = on_answer, .on_request = on_request };
        at->peer = peer_new(&config);
        if (at->peer == NULL)
            return bench_fail("no memory");
    }
    return w->epoll >= 0 || bench_fail("no epoll");
}

static void lanes_turn(watching *w)
{
    struct epoll_event events[EVENTS];
    int got = epoll_wait(w->epoll, events, EVENTS, WAIT_MS);
    w->now_ns = bench_now_ns();
    for (int i = 0; i < got; i++)
        peer_on_ready(events[i].data.ptr, events[i].events, w->now_ns);
    for (uint32_t i = 0; i < MMES; i++) {
        peer_tick(w->lanes[i].peer, w->now_ns);
        peer_flush(w->lanes[i].peer);
    }
}

/* Of all devices in turn, over all MMEs in turn. */
static uint64_t send_some(watching *w, uint64_t most)
{
    uint64_t sent = 0;
    w->now_ns = bench_now_ns();
    for (uint32_t full = 0, i = 0; sent < most && full < MMES; i = (i + 1) % MMES) {
        peer *to = w->lanes[i].peer;
        if (!peer_has_room(to)) {
            full++;
            continue;
        }
        full = 0;
        uint32_t reference = w->references[w->next];
        w->sent_ns[w->next] = w->now_ns;
        peer_send_custom(to, &(t6a_custom){ COMMAND_REPORTING_INFORMATION, DIAMETER_APPLICATION_T6A, put_report, &reference }, w->next, w->now_ns);
        w->next = (w->next + 1) % w->devices;
        sent++;
    }
    for (uint32_t i = 0; i < MMES; i++)
        peer_flush(w->lanes[i].peer);
    return sent;
}

/* So many, each answered 2001. */
static bool report(watching *w, uint64_t count)
{
    uint64_t wanted = w->answered + count;
    for (uint64_t left = count; w->answered < wanted;) {
        left -= send_some(w, left);
        lanes_turn(w);
        if (bench_is_interrupted())
            return false;
        if (w->refused > 0)
            return bench_fail("a report was answered %u", w->last_refusal);
    }
    return true;
}

static bool alone(watching *w, bench_result *r)
{
    w->took = (histogram){ 0 };
    uint64_t sent = sink_count(w->sink);
    for (int i = 0; i < ALONE; i++)
        if (!report(w, 1) || !sink_wait(w->sink, ++sent, 0))
            return false;
    bench_set_number(r, "alone_p50_micros", (double)histogram_at(&w->took, 0.5));
    bench_set_number(r, "alone_p99_micros", (double)histogram_at(&w->took, 0.99));
    return true;
}

static bool together(watching *w, double seconds, bench_result *r)
{
    static snapshot before, after;
    w->took = (histogram){ 0 };
    uint64_t first = sink_count(w->sink), sent = first;
    double sink_s = sink_cpu_s(w->sink);
    uint32_t batch = trial_batch(w->devices), waiting = trial_waiting(w->devices);
    snapshot_take(w->host, &before);
    for (int64_t end = bench_now_ns() + (int64_t)(seconds * 1e9); bench_now_ns() < end; sent += batch)
        if (!report(w, batch) || !sink_wait(w->sink, sent + batch, waiting - batch))
            return false;
    if (!sink_wait(w->sink, sent, 0)) /* the last one counts, too */
        return false;
    snapshot_take(w->host, &after);
    double count = (double)(sent - first);
    r->per_second = count / ((double)(after.at_ns - before.at_ns) / 1e9);
    r->cpu_micros = (after.all.cpu_s - before.all.cpu_s) * 1e6 / count;
    r->p50_micros = (double)histogram_at(&w->took, 0.5);
    r->p99_micros = (double)histogram_at(&w->took, 0.99);
    trial_set_room_cpu(r, NULL, &before, &after, count);
    bench_set_number(r, "sink_cpu_micros", (sink_cpu_s(w->sink) - sink_s) * 1e6 / count);
    bench_set_number(r, "notifications", count);
    if (sink_count(w->sink) != sent || w->strange > 0)
        return bench_fail("%llu notifications of %llu reports, %llu of them strange", (unsigned long long)(sink_count(w->sink) - first),
                          (unsigned long long)(sent - first), (unsigned long long)w->strange);
    return true;
}

/* ---- the whole ---- */

static bool measure(const bench_options *o, watching *w, bench_result *r)
{
    w->references = calloc(w->devices, sizeof *w->references);
    w->sent_ns = calloc(w->devices, sizeof *w->sent_ns);
    if (w->references == NULL || w->sent_ns == NULL)
        return bench_fail("no memory");
    if (!hss_start(w) || !lanes_make(w))
        return false;
    uint64_t bytes = host_use(w->host, true, NULL, NULL).pss_bytes;
    if (!subscribe(w, r))
        return false;
    bench_set_number(r, "bytes_subscribed", ((double)host_use(w->host, true, NULL, NULL).pss_bytes - (double)bytes) / w->devices);
    return alone(w, r) && together(w, trial_seconds(o, 15, 5), r);
}

bool bench_monte(const bench_options *o, bench_result *r)
{
    static host h;
    static watching w;
    double per_second;
    w = (watching){ .host = &h, .devices = trial_twins(o, DEVICES, DEVICES_QUICK), .epoll = -1, .hss_epoll = -1 };
    w.sink = sink_new(&w, on_notification);
    bool is_fine = w.sink != NULL && trial_begin(o, &h, 0, "t8.allow_callbacks=127.0.0.0/8", r) &&
                   load_provision(&h, w.devices, &per_second) && measure(o, &w, r);
    bench_set_number(r, "twins", w.devices);
    bench_set_number(r, "subscriptions", w.devices);
    bench_set_number(r, "mmes", MMES);
    bench_set_number(r, "waiting_most", trial_waiting(w.devices));
    bench_set_per_second_is(r, "notifications answered 204 by the sink, from the RIR on");
    for (uint32_t i = 0; i < MMES; i++)
        peer_free(w.lanes[i].peer);
    if (w.epoll >= 0)
        close(w.epoll);
    hss_stop(&w);
    host_fini(&h);
    sink_free(w.sink); /* the host is gone: nothing comes any more */
    free((void *)w.references);
    free((void *)w.sent_ns);
    return is_fine;
}

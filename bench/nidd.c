/* Downlinks of applications for devices that sleep: how many a second are queued (T8, each answered
 * when it is durable), what one costs in memory while most of them wait in the log only, how long a
 * host with all of them takes to start after a kill, and how fast they leave when all devices wake. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/benches.h"
#include "bench/http.h"
#include "bench/load.h"
#include "bench/trial.h"

enum {
    PACKETS = 32,        /* of a device */
    DATA_BYTES = 60,
    NAME_BYTES = 16,     /* of a configuration */
    CONNECTIONS = 8,
    DEPTH = 32,
    MMES = 4,
};
static const char base[] = "/3gpp-nidd/v1/bench/configurations";

typedef struct queueing {
    uint32_t twins;
    char (*names)[NAME_BYTES + 1]; /* of their configurations */
    char data[DATA_BYTES / 3 * 4 + 1];
} queueing;

static bool application_make(const host *h)
{
    static http_text answer;
    static const char body[] = "{\"id\":\"bench\",\"domains\":[\"bench.example\"],\"scopes\":[\"nidd\"]}";
    int status = http_send(h->http_port, "POST", "/v1/applications", h->token, "application/json", body, sizeof body - 1, &answer);
    return status == 201 || bench_fail("the application was answered %d %s", status, answer.bytes);
}

/* Notifications go nowhere: the destination refuses, as nobody listens there. */
static bool configuration_make(const host *h, uint32_t twin, char name[NAME_BYTES + 1])
{
    static http_text answer;
    char body[256];
    int length = snprintf(body, sizeof body, "{\"externalId\":\"t%07u@bench.example\",\"notificationDestination\":\"http://192.0.2.1/\"}", twin);
    int status = http_send(h->http_port, "POST", base, h->token, "application/json", body, (size_t)length, &answer);
    const char *at = strstr(answer.bytes, base);
    if (status != 201 || at == NULL || strlen(at) < sizeof base + NAME_BYTES)
        return bench_fail("a configuration was answered %d %s", status, answer.bytes);
    memcpy(name, at + sizeof base, NAME_BYTES);
    name[NAME_BYTES] = '\0';
    return true;
}

static bool configurations_make(const host *h, queueing *q)
{
    bool is_fine = application_make(h);
    for (uint32_t i = 0; i < q->twins && is_fine && !bench_is_interrupted(); i++)
        is_fine = configuration_make(h, i, q->names[i]);
    return is_fine && !bench_is_interrupted();
}

/* Round by round, so that every device is asked for again only when all others were. */
static int path(void *owner, uint64_t number, char *out, size_t room)
{
    const queueing *q = owner;
    return snprintf(out, room, "%s/%s/downlink-data-deliveries", base, q->names[number % q->twins]);
}

static int body(void *owner, uint64_t number, char *out, size_t room)
{
    const queueing *q = owner;
    return snprintf(out, room, "{\"externalId\":\"t%07u@bench.example\",\"data\":\"%s\"}", (uint32_t)(number % q->twins), q->data);
}

static bool queue_all(const host *h, queueing *q, bench_result *r)
{
    static http_load posts;
    static snapshot before, after;
    uint64_t count = (uint64_t)q->twins * PACKETS;
    posts = (http_load){ .port = h->http_port, .token = h->token, .connections = CONNECTIONS, .depth = DEPTH, .owner = q, .path = path, .body = body };
    uint64_t empty = host_use(h, true, NULL, NULL).pss_bytes;
    snapshot_take(h, &before);
    if (!http_load_count(&posts, count) || posts.errors > 0)
        return bench_fail("%llu of %llu downlinks were refused, the newest with %d", (unsigned long long)posts.errors,
                          (unsigned long long)count, posts.error);
    snapshot_take(h, &after);
    r->per_second = (double)count / ((double)(after.at_ns - before.at_ns) / 1e9);
    r->cpu_micros = (after.all.cpu_s - before.all.cpu_s) * 1e6 / (double)count;
    r->p50_micros = (double)histogram_at(&posts.latency, 0.5);
    r->p99_micros = (double)histogram_at(&posts.latency, 0.99);
    trial_set_room_cpu(r, "queue", &before, &after, (double)count);
    bench_set_number(r, "downlinks", (double)count);
    bench_set_number(r, "bytes_of_memory_a_downlink", ((double)host_use(h, true, NULL, NULL).pss_bytes - (double)empty) / (double)count);
    bench_set_number(r, "downlink_bytes", host_counter(h, "dromio_downlink_bytes"));
    bench_set_number(r, "in_the_log_only", host_counter(h, "dromio_downlinks_away"));
    bench_set_number(r, "log_bytes_a_downlink", host_counter(h, "dromio_log_bytes") / (double)count);
    return host_counter(h, "dromio_mailbox_downlinks") == (double)count || bench_fail("not all of them wait");
}

static bool restart(host *h, uint64_t count, bench_result *r)
{
    host_stop(h, true);
    int64_t begin_ns = bench_now_ns();
    if (!host_start(h))
        return false;
    bench_set_number(r, "restart_after_kill_ms", (double)(bench_now_ns() - begin_ns) / 1e6);
    bench_set_number(r, "downlink_bytes_after_restart", host_counter(h, "dromio_downlink_bytes"));
    return host_counter(h, "dromio_mailbox_downlinks") == (double)count || bench_fail("after a restart not all of them wait");
}

static bool flush_all(const host *h, const queueing *q, bench_result *r)
{
    static snapshot before, after;
    uint64_t count = (uint64_t)q->twins * PACKETS;
    load *l = load_new(h, q->twins, MMES, TRIAL_WINDOW);
    if (l == NULL)
        return bench_fail("no memory");
    load_take_always(l);
    snapshot_take(h, &before);
    bool is_fine = load_attach(l) && load_take_downlinks(l, count);
    snapshot_take(h, &after);
    bench_set_number(r, "flushed_per_second", (double)count / ((double)(after.at_ns - before.at_ns) / 1e9));
    bench_set_number(r, "flush_cpu_micros", (after.all.cpu_s - before.all.cpu_s) * 1e6 / (double)count);
    bench_set_number(r, "queues_read", host_counter(h, "dromio_downlink_reads_total"));
    load_free(l);
    return is_fine;
}

bool bench_nidd(const bench_options *o, bench_result *r)
{
    static host h;
    queueing q = { .twins = trial_twins(o, 20000, 1500) };
    const char *set = o->is_quick ? "downlink.memory=1MiB" : "downlink.memory=16MiB";
    q.names = calloc(q.twins, sizeof *q.names);
    memset(q.data, 'A', sizeof q.data - 1);
    bool is_fine = (q.names != NULL || bench_fail("no memory")) && trial_begin(o, &h, q.twins, set, r) && configurations_make(&h, &q) &&
                   queue_all(&h, &q, r) && restart(&h, (uint64_t)q.twins * PACKETS, r) && flush_all(&h, &q, r);
    bench_set_number(r, "connections", CONNECTIONS);
    bench_set_number(r, "depth", DEPTH);
    bench_set_number(r, "downlinks_a_device", PACKETS);
    bench_set_number(r, "data_bytes", DATA_BYTES);
    bench_set_text(r, "per_second_is", "queued, each answered 201 when durable");
    free(q.names);
    host_fini(&h);
    return is_fine;
}

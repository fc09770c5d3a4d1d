/* Downlinks of applications for devices that sleep: how many a second are queued (T8, each answered
 * when it is durable), what one costs in memory and in the log while most of them wait there only, how
 * long a host with all of them takes to start after a kill, and how fast they leave when all devices
 * wake. Each says which of its device's it is: one that is lost, comes twice or too early fails it.
 *
 * --twins 312500 is ten million of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "bench/benches.h"
#include "bench/http.h"
#include "bench/load.h"
#include "bench/trial.h"

enum {
    PACKETS = 32,        /* of a device */
    DATA_BYTES = 60,
    NAME_BYTES = 16,     /* of a configuration */
    CONNECTIONS = 16,
    DEPTH = 64,
    MMES = 4,
    MANY = 31250,        /* devices from which on memory is the usual 256 MiB: a million downlinks */
    IN_HOST = 150000,    /* devices from which on a room of the host asks for them: HTTP takes half an hour for ten million */
    LOAD_SETTINGS = 3,
    ATTACH_WINDOW = 64,  /* requests of an MME without an answer: a host that is busy with what leaves refuses more */
};
static const char base[] = "/3gpp-nidd/v1/bench/configurations";

typedef struct queueing {
    uint32_t twins;
    char (*names)[NAME_BYTES + 1]; /* of their configurations */
    uint16_t *taken;               /* downlinks that came */
    uint32_t round;                /* how many each device has */
    bool is_in_host;               /* a room of the host asks for them, in place of HTTP */
    double log_written, pss;       /* bytes, before any was queued */
} queueing;

static bool application_make(const host *h)
{
    static http_text answer;
    static const char body[] = "{\"id\":\"bench\",\"domains\":[\"bench.example\"],\"scopes\":[\"nidd\"]}";
    int status = http_send(h->http_port, "POST", "/v1/applications", h->token, "application/json", body, sizeof body - 1, &answer);
    return status == 201 || bench_fail("the application was answered %d %s", status, answer.bytes);
}

static int configuration_path(void *owner, uint64_t number, char *out, size_t room)
{
    (void)owner;
    (void)number;
    return snprintf(out, room, "%s", base);
}

/* Notifications go nowhere: the destination refuses, as nobody listens there. */
static int configuration_body(void *owner, uint64_t number, char *out, size_t room)
{
    (void)owner;
    return snprintf(out, room, "{\"externalId\":\"t%07u@bench.example\",\"notificationDestination\":\"http://192.0.2.1/\"}", (uint32_t)number);
}

static void on_configuration(void *owner, uint64_t number, int status, const char *text)
{
    queueing *q = owner;
    const char *at = strstr(text, base);
    if (status == 201 && at != NULL && strlen(at) >= sizeof base + NAME_BYTES)
        memcpy(q->names[number], at + sizeof base, NAME_BYTES);
}

/* Until a gauge of the host is that. */
static bool wait_for(const host *h, const char *gauge, double count)
{
    while (host_counter(h, gauge) < count) {
        if (bench_is_interrupted() || host_counter(h, gauge) < 0)
            return bench_fail("%s did not become %.0f", gauge, count);
        usleep(50000);
    }
    return true;
}

static bool configurations_make(const host *h, queueing *q)
{
    static http_load posts;
    if (q->is_in_host)
        return application_make(h) && wait_for(h, "dromio_nidd_configurations", q->twins);
    posts = (http_load){ .port = h->http_port, .token = h->token, .connections = CONNECTIONS, .depth = DEPTH, .owner = q,
                         .path = configuration_path, .body = configuration_body, .on_answer = on_configuration };
    if (!application_make(h))
        return false;
    if (!http_load_count(&posts, q->twins) || posts.errors > 0)
        return bench_fail("%llu configurations were refused, the newest with %d", (unsigned long long)posts.errors, posts.error);
    for (uint32_t i = 0; i < q->twins; i++)
        if (q->names[i][0] == '\0')
            return bench_fail("the configuration of twin %u has no name", i);
    return true;
}

/* Round by round: a device is asked for again when all others were answered. */
static int path(void *owner, uint64_t number, char *out, size_t room)
{
    const queueing *q = owner;
    return snprintf(out, room, "%s/%s/downlink-data-deliveries", base, q->names[number]);
}

static int body(void *owner, uint64_t number, char *out, size_t room)
{
    const queueing *q = owner;
    char text[DATA_BYTES / 3 * 4 + 1];
    uint8_t data[DATA_BYTES] = { 0 };
    uint32_t label[LOAD_LABEL_BYTES / 4] = { (uint32_t)number, q->round };
    dro_builder base64 = dro_builder_over(text, sizeof text - 1);
    memcpy(data, label, sizeof label);
    dro_base64_put(&base64, data, sizeof data);
    text[dro_builder_length(&base64)] = '\0';
    return snprintf(out, room, "{\"externalId\":\"t%07u@bench.example\",\"data\":\"%s\"}", label[0], text);
}

/* PREFIX_...: what all of it takes now. */
static void set_sizes(const host *h, const queueing *q, const char *prefix, uint64_t count, bench_result *r)
{
    char name[64];
    double pss = (double)host_use(h, true, NULL, NULL).pss_bytes;
    bench_set_number(r, trial_name(name, prefix, "memory_bytes"), pss);
    bench_set_number(r, trial_name(name, prefix, "memory_bytes_a_downlink"), (pss - q->pss) / (double)count);
    bench_set_number(r, trial_name(name, prefix, "downlink_memory_bytes"), host_counter(h, "dromio_downlink_bytes"));
    bench_set_number(r, trial_name(name, prefix, "log_bytes"), host_counter(h, "dromio_log_bytes"));
    bench_set_number(r, trial_name(name, prefix, "log_live_bytes"), host_counter(h, "dromio_log_live_bytes"));
}

static bool queue_by_http(const host *h, queueing *q, bench_result *r)
{
    static http_load posts;
    posts = (http_load){ .port = h->http_port, .token = h->token, .connections = CONNECTIONS, .depth = DEPTH, .owner = q, .path = path, .body = body };
    for (q->round = 0; q->round < PACKETS; q->round++)
        if (!http_load_count(&posts, q->twins) || posts.errors > 0)
            return bench_fail("%llu of %u downlinks were refused, the newest with %d", (unsigned long long)posts.errors, q->twins, posts.error);
    r->p50_micros = (double)histogram_at(&posts.latency, 0.5);
    r->p99_micros = (double)histogram_at(&posts.latency, 0.99);
    return true;
}

static bool queue_all(const host *h, queueing *q, bench_result *r)
{
    static snapshot before, after;
    uint64_t count = (uint64_t)q->twins * PACKETS;
    q->pss = (double)host_use(h, true, NULL, NULL).pss_bytes;
    q->log_written = host_counter(h, "dromio_log_written_bytes_total");
    bench_set_number(r, "empty_memory_bytes", q->pss);
    snapshot_take(h, &before);
    double queued = (double)count - host_counter(h, "dromio_mailbox_downlinks"); /* the room of the host has begun */
    bool is_fine = q->is_in_host ? wait_for(h, "dromio_mailbox_downlinks", (double)count) : queue_by_http(h, q, r);
    snapshot_take(h, &after);
    if (!is_fine)
        return false;
    r->per_second = queued / ((double)(after.at_ns - before.at_ns) / 1e9);
    r->cpu_micros = (after.all.cpu_s - before.all.cpu_s) * 1e6 / queued;
    trial_set_room_cpu(r, "queue", &before, &after, queued);
    bench_set_number(r, "downlinks", (double)count);
    set_sizes(h, q, "queued", count, r);
    bench_set_number(r, "in_the_log_only", host_counter(h, "dromio_downlinks_away"));
    bench_set_number(r, "chunks", host_counter(h, "dromio_downlink_chunks"));
    bench_set_number(r, "chunk_bytes_a_downlink", host_counter(h, "dromio_downlink_chunk_bytes") / (double)count);
    bench_set_number(r, "log_bytes_a_downlink", (host_counter(h, "dromio_log_written_bytes_total") - q->log_written) / (double)count);
    bench_set_number(r, "moved_bytes_a_downlink", host_counter(h, "dromio_downlink_moved_bytes_total") / (double)count);
    return host_counter(h, "dromio_mailbox_downlinks") == (double)count || bench_fail("not all of them wait");
}

static bool restart(host *h, const queueing *q, uint64_t count, bench_result *r)
{
    host_stop(h, true);
    h->set_count -= q->is_in_host ? LOAD_SETTINGS : 0;
    int64_t begin_ns = bench_now_ns();
    if (!host_start(h))
        return false;
    bench_set_number(r, "restart_after_kill_ms", (double)(bench_now_ns() - begin_ns) / 1e6);
    set_sizes(h, q, "restarted", count, r);
    return host_counter(h, "dromio_mailbox_downlinks") == (double)count || bench_fail("after a restart not all of them wait");
}

/* Each device has got all of its own, in order and once. */
static bool all_came(const queueing *q, const load_counts *counts)
{
    for (uint32_t i = 0; i < q->twins; i++)
        if (q->taken[i] != PACKETS)
            return bench_fail("the device of twin %u got %u downlinks, not %d", i, q->taken[i], PACKETS);
    return counts->wrong == 0 || bench_fail("%llu downlinks came twice or out of order", (unsigned long long)counts->wrong);
}

static bool flush_all(const host *h, const queueing *q, bench_result *r)
{
    static snapshot before, after;
    uint64_t count = (uint64_t)q->twins * PACKETS;
    load *l = load_new(h, q->twins, MMES, ATTACH_WINDOW);
    if (l == NULL)
        return bench_fail("no memory");
    load_take_always(l);
    load_expect(l, q->taken);
    double written = host_counter(h, "dromio_log_written_bytes_total");
    snapshot_take(h, &before);
    bool is_fine = load_attach(l) && load_take_downlinks(l, count);
    snapshot_take(h, &after);
    bench_set_number(r, "flushed_per_second", (double)count / ((double)(after.at_ns - before.at_ns) / 1e9));
    bench_set_number(r, "flush_cpu_micros", (after.all.cpu_s - before.all.cpu_s) * 1e6 / (double)count);
    trial_set_room_cpu(r, "flush", &before, &after, (double)count);
    bench_set_number(r, "flush_log_bytes_a_downlink", (host_counter(h, "dromio_log_written_bytes_total") - written) / (double)count);
    bench_set_number(r, "queues_read", host_counter(h, "dromio_downlink_reads_total"));
    set_sizes(h, q, "flushed", count, r);
    is_fine = is_fine && all_came(q, load_count(l));
    load_free(l);
    return is_fine;
}

bool bench_queue(const bench_options *o, bench_result *r)
{
    static host h;
    queueing q = { .twins = trial_twins(o, 20000, 1500) };
    char set[256] = "downlink.memory=16MiB";
    q.is_in_host = q.twins >= IN_HOST;
    if (q.is_in_host)
        snprintf(set, sizeof set, "downlink.memory=256MiB bench.load=%u bench.downlinks=%d bench.window=4096", q.twins, PACKETS);
    else if (o->is_quick || q.twins >= MANY)
        snprintf(set, sizeof set, "downlink.memory=%s", o->is_quick ? "1MiB" : "256MiB");
    q.names = calloc(q.twins, sizeof *q.names);
    q.taken = calloc(q.twins, sizeof *q.taken);
    bool is_fine = ((q.names != NULL && q.taken != NULL) || bench_fail("no memory")) && trial_begin(o, &h, q.twins, set, r) &&
                   configurations_make(&h, &q) && queue_all(&h, &q, r) && restart(&h, &q, (uint64_t)q.twins * PACKETS, r) && flush_all(&h, &q, r);
    if (!q.is_in_host) {
        bench_set_number(r, "connections", CONNECTIONS);
        bench_set_number(r, "depth", DEPTH);
    }
    bench_set_number(r, "downlinks_a_device", PACKETS);
    bench_set_number(r, "data_bytes", DATA_BYTES);
    bench_set_per_second_is(r, q.is_in_host ? "queued by a room of the host, each answered 201 when durable"
                                                      : "queued over HTTP, each answered 201 when durable");
    free(q.names);
    free(q.taken);
    host_fini(&h);
    return is_fine;
}

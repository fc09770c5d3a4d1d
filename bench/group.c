/* One downlink to all members of a group (TS 29.122, 4.4.5.3): from its POST until the last member's
 * MT-Data-Request was answered. Devices are connected, thermo leaves raw downlinks as they are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/benches.h"
#include "bench/http.h"
#include "bench/load.h"
#include "bench/trial.h"

enum {
    MEMBERS = 100000,
    MEMBERS_QUICK = 10000,
    CONNECTIONS = 2,
    ROUNDS = 5, ROUNDS_QUICK = 2,
    LINE = 32, /* {"id":"t0000000@bench.example"} and its end */
};

typedef struct members { /* lines to send, answers to them */
    uint32_t next;
    uint64_t joined;
    char line[LINE + 1];
    size_t at;
    char tail[16]; /* end of what came, where "status":201 may be cut */
} members;

static size_t next_lines(void *owner, char *out, size_t room)
{
    members *m = owner;
    size_t length = 0;
    while (length < room) {
        if (m->at == LINE) {
            snprintf(m->line, sizeof m->line, "{\"id\":\"t%07u@bench.example\"}\n", m->next++);
            m->at = 0;
        }
        size_t part = LINE - m->at < room - length ? LINE - m->at : room - length;
        memcpy(out + length, m->line + m->at, part);
        m->at += part;
        length += part;
    }
    return length;
}

/* Each line that says 201 ends in "201}". */
static void count_joined(void *owner, const char *bytes, size_t length)
{
    members *m = owner;
    for (size_t i = 0; i < length; i++) {
        memmove(m->tail, m->tail + 1, 4);
        m->tail[4] = bytes[i];
        m->joined += memcmp(m->tail, "201}\n", 5) == 0;
    }
}

static bool join_all(const host *h, uint32_t count, bench_result *r)
{
    members m = { .at = LINE };
    int64_t begun = bench_now_ns();
    int status = http_do(&(http_call){ .port = h->http_port, .method = "POST", .path = "/v1/groups/all@bench.example/members:bulk",
                                       .token = h->token, .type = "application/x-ndjson", .source = next_lines,
                                       .length = (uint64_t)count * LINE, .sink = count_joined, .owner = &m });
    bench_set_number(r, "joins_per_second", count / ((double)(bench_now_ns() - begun) / 1e9));
    return (status == 200 && m.joined == count) || bench_fail("members:bulk: %d, %llu of %u joined", status, (unsigned long long)m.joined, count);
}

static bool ask(const host *h, const char *method, const char *path, const char *body, int wanted, http_text *answer)
{
    int status = http_send(h->http_port, method, path, h->token, "application/json", body, strlen(body), answer);
    return status == wanted || bench_fail("%s %s: %d %s", method, path, status, answer->bytes);
}

/* The path of the configuration's deliveries. */
static bool configure(const host *h, char *path, size_t room)
{
    static http_text answer;
    static const char application[] = "{\"id\":\"as1\",\"domains\":[\"bench.example\"],\"scopes\":[\"nidd\"]}";
    /* No address of this machine is taken without t8.allow_callbacks: results are made and go nowhere. */
    static const char configuration[] = "{\"externalGroupId\":\"all@bench.example\",\"notificationDestination\":\"http://127.0.0.1:9/\"}";
    if (!ask(h, "POST", "/v1/applications", application, 201, &answer) ||
        !ask(h, "POST", "/3gpp-nidd/v1/as1/configurations", configuration, 201, &answer))
        return false;
    const char *at = strstr(answer.bytes, "/3gpp-nidd"), *end = at == NULL ? NULL : strchr(at, '"');
    if (end == NULL)
        return bench_fail("no link in %s", answer.bytes);
    snprintf(path, room, "%.*s/downlink-data-deliveries", (int)(end - at), at);
    return true;
}

static bool send_once(const host *h, load *l, const char *path, uint32_t count, double *post_s, double *all_s)
{
    static http_text answer;
    uint64_t before = load_count(l)->downlinks;
    int64_t begun = bench_now_ns();
    if (!ask(h, "POST", path, "{\"externalGroupId\":\"all@bench.example\",\"data\":\"gQJY\"}", 201, &answer))
        return false;
    *post_s = (double)(bench_now_ns() - begun) / 1e9;
    if (!load_take_downlinks(l, before + count))
        return false;
    *all_s = (double)(bench_now_ns() - begun) / 1e9;
    return true;
}

static bool measure(const bench_options *o, host *h, load *l, uint32_t count, bench_result *r)
{
    static snapshot before, after;
    char path[512];
    double post_s, all_s, slowest_s = 0, posts_s = 0, sum_s = 0;
    int rounds = o->is_quick ? ROUNDS_QUICK : ROUNDS;
    if (!load_attach(l) || !join_all(h, count, r) || !configure(h, path, sizeof path) || !send_once(h, l, path, count, &post_s, &all_s))
        return false; /* the first one is to get warm */
    snapshot_take(h, &before);
    for (int i = 0; i < rounds; i++) {
        if (!send_once(h, l, path, count, &post_s, &all_s))
            return false;
        sum_s += all_s;
        posts_s += post_s;
        slowest_s = all_s > slowest_s ? all_s : slowest_s;
    }
    snapshot_take(h, &after);
    double sent = (double)count * rounds;
    r->per_second = sent / sum_s;
    r->cpu_micros = (after.all.cpu_s - before.all.cpu_s) * 1e6 / sent;
    bench_set_per_second_is(r, "MT-Data-Requests answered, from the POST on");
    bench_set_number(r, "rounds", rounds);
    bench_set_number(r, "post_ms", posts_s * 1e3 / rounds);
    bench_set_number(r, "slowest_s", slowest_s);
    bench_set_number(r, "commits", after.commits - before.commits);
    trial_set_room_cpu(r, NULL, &before, &after, sent);
    return true;
}

bool bench_group(const bench_options *o, bench_result *r)
{
    static host h;
    static http_text answer;
    uint32_t members = trial_twins(o, MEMBERS, MEMBERS_QUICK);
    load *l = NULL;
    bool is_fine = trial_begin(o, &h, members, NULL, r) && ask(&h, "PUT", "/v1/groups/all@bench.example", "{}", 201, &answer);
    if (is_fine) {
        l = load_new(&h, members, CONNECTIONS, TRIAL_WINDOW);
        is_fine = l != NULL;
    }
    bench_set_number(r, "members", members);
    bench_set_number(r, "connections", CONNECTIONS);
    is_fine = is_fine && measure(o, &h, l, members, r);
    load_free(l);
    host_fini(&h);
    return is_fine;
}

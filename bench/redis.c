#include "bench/redis.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/program.h"
#include "bench/trial.h"
#include "sim/t6a.h"

enum {
    DEPTHS = 5,
    IN_BYTES = 64 * 1024,
    OUT_BYTES = REDIS_DEPTH_MAX * REDIS_REQUEST_MAX,
    WAIT_MS = 50,
    SHA_DIGITS = 40,
    DIGITS = 20, /* of a 64-bit number */
    REPLY_MS = 10000, /* without any reply for so long: broken */
};
static const uint32_t depths[DEPTHS] = { 1, 4, 16, 64, 256 };

/* What a reading changes of a thermometer: its fields, and how many there were. Without what the
 * thermometer's own code does (check, order, average): Redis gets it done. */
static const char script[] =
    "redis.call('HSET',KEYS[1],'temperature',ARGV[1],'humidity',ARGV[2],'battery',ARGV[3],'average',ARGV[4],'sequence',ARGV[5],'time',ARGV[6]) "
    "return redis.call('HINCRBY',KEYS[1],'readings',1)";

/* ---- the protocol, pure ---- */

/* No printf: the load is to cost little. What goes past REDIS_REQUEST_MAX is not written. */
static size_t put_bytes(char *out, size_t at, const char *bytes, size_t length)
{
    if (length > REDIS_REQUEST_MAX - at)
        return at;
    memcpy(out + at, bytes, length);
    return at + length;
}

/* Decimal digits into the end of `out`; where they begin. */
static char *digits_of(char out[DIGITS], uint64_t number)
{
    size_t begin = DIGITS;
    do {
        out[--begin] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return out + begin;
}

static size_t put_bulk(char *out, size_t at, const char *bytes, size_t length)
{
    char room[DIGITS], *digits = digits_of(room, length);
    at = put_bytes(out, at, "$", 1);
    at = put_bytes(out, at, digits, (size_t)(room + DIGITS - digits));
    at = put_bytes(out, at, "\r\n", 2);
    at = put_bytes(out, at, bytes, length);
    return put_bytes(out, at, "\r\n", 2);
}

static size_t put_text(char *out, size_t at, const char *text)
{
    return put_bulk(out, at, text, strlen(text));
}

static size_t put_number(char *out, size_t at, uint64_t number)
{
    char room[DIGITS], *digits = digits_of(room, number);
    return put_bulk(out, at, digits, (size_t)(room + DIGITS - digits));
}

size_t redis_write_update(char out[REDIS_REQUEST_MAX], const char *sha, uint32_t twin, uint8_t sequence, int64_t now_ms)
{
    char key[] = "t0000000", temperature[] = "20.00"; /* and hundredths */
    t6a_write_digits(key + 1, twin, sizeof key - 2);
    t6a_write_digits(temperature + 3, (sequence * 7 + twin) % 64, 2);
    size_t at = put_bytes(out, 0, "*10\r\n", 5);
    at = put_text(out, at, "EVALSHA");
    at = put_text(out, at, sha);
    at = put_text(out, at, "1");
    at = put_bulk(out, at, key, sizeof key - 1);
    at = put_bulk(out, at, temperature, sizeof temperature - 1);
    at = put_text(out, at, "45");
    at = put_text(out, at, "3.6");
    at = put_bulk(out, at, temperature, sizeof temperature - 1); /* of the last 16; as if the client had it at hand */
    at = put_number(out, at, sequence);
    return put_number(out, at, (uint64_t)now_ms);
}

static void line_end(redis_replies *r)
{
    r->integers += r->kind == ':';
    r->errors += r->kind == '-';
    r->others += r->kind != ':' && r->kind != '-';
    r->kind = 0;
}

uint32_t redis_replies_feed(redis_replies *r, const char *bytes, size_t length)
{
    uint32_t ended = 0;
    for (size_t i = 0; i < length; i++) {
        if (r->kind == 0)
            r->kind = bytes[i];
        else if (bytes[i] == '\n') {
            line_end(r);
            ended++;
        } else if (r->kind == '-' && r->errors == 0 && bytes[i] != '\r' && r->error_length < sizeof r->error - 1)
            r->error[r->error_length++] = bytes[i];
    }
    return ended;
}

/* ---- the server ---- */

typedef struct server {
    program program;
    char binary[4096], directory[4096], socket[4200], log[4200], sha[SHA_DIGITS + 1], version[64];
} server;

static int server_connect(const server *s)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (strlen(s->socket) >= sizeof address.sun_path)
        return -1;
    memcpy(address.sun_path, s->socket, strlen(s->socket) + 1);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor >= 0 && connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0)
        return descriptor;
    if (descriptor >= 0)
        close(descriptor);
    return -1;
}

/* SCRIPT LOAD answers "$40\r\n<sha>\r\n". */
static bool server_load_script(server *s)
{
    char request[1024], answer[256];
    size_t got = 0, length = (size_t)snprintf(request, sizeof request, "*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$%zu\r\n%s\r\n",
                                              sizeof script - 1, script);
    int descriptor = server_connect(s);
    bool is_fine = descriptor >= 0 && send(descriptor, request, length, MSG_NOSIGNAL) == (ssize_t)length;
    while (is_fine && got < SHA_DIGITS + 7) {
        ssize_t n = recv(descriptor, answer + got, sizeof answer - 1 - got, 0);
        is_fine = n > 0;
        got += is_fine ? (size_t)n : 0;
    }
    if (descriptor >= 0)
        close(descriptor);
    answer[got] = '\0';
    if (!is_fine || strncmp(answer, "$40\r\n", 5) != 0)
        return bench_fail("redis-server does not take the script: %s", answer);
    memcpy(s->sha, answer + 5, SHA_DIGITS);
    s->sha[SHA_DIGITS] = '\0';
    return true;
}

static void server_version(server *s)
{
    char line[256];
    char *arguments[] = { s->binary, (char *)"--version", NULL };
    program_first_line(arguments, line, sizeof line); /* Redis server v=7.0.15 sha=... */
    const char *version = strstr(line, "v=");
    snprintf(s->version, sizeof s->version, "redis %.*s", version != NULL ? (int)strcspn(version + 2, " ") : 0,
             version != NULL ? version + 2 : "");
}

static bool server_start(server *s, const char *where)
{
    if (!directory_make(where, s->directory, sizeof s->directory))
        return false;
    snprintf(s->socket, sizeof s->socket, "%s/redis.sock", s->directory);
    snprintf(s->log, sizeof s->log, "%s/log", s->directory);
    server_version(s);
    const char *arguments[] = { s->binary, "--port", "0", "--unixsocket", s->socket, "--dir", s->directory,
                                "--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0",
                                "--save", "", "--latency-tracking", "no", "--daemonize", "no", NULL };
    if (!program_start(&s->program, (char *const *)arguments, s->log))
        return false;
    for (int64_t until = bench_now_ns() + REDIS_READY_MS * (int64_t)1000000; bench_now_ns() < until; program_nap_ms(5)) {
        int descriptor = server_connect(s);
        if (descriptor >= 0) {
            close(descriptor);
            return server_load_script(s);
        }
        if (bench_is_interrupted() || !program_is_running(&s->program))
            break;
    }
    return bench_is_interrupted() ? false : bench_fail("%s did not start", s->binary);
}

/* ---- updates ---- */

typedef struct lane { /* a connection */
    int descriptor;
    bool is_watching_out;
    uint32_t outstanding;
    size_t length, sent;
    redis_replies replies;
    char out[OUT_BYTES];
} lane;

typedef struct drive {
    const server *server;
    uint32_t twins, depth;
    uint64_t number;
    int64_t now_ms, heard_ns;
    int epoll;
    lane lanes[REDIS_CONNECTIONS];
} drive;

static bool flush(drive *d, lane *l)
{
    while (l->sent < l->length) {
        ssize_t sent = send(l->descriptor, l->out + l->sent, l->length - l->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return bench_fail("redis: %s", strerror(errno));
        if (sent < 0)
            break;
        l->sent += (size_t)sent;
    }
    bool is_left = l->sent < l->length;
    if (is_left != l->is_watching_out) {
        struct epoll_event event = { .events = EPOLLIN | (is_left ? EPOLLOUT : 0), .data.ptr = l };
        epoll_ctl(d->epoll, EPOLL_CTL_MOD, l->descriptor, &event);
        l->is_watching_out = is_left;
    }
    return true;
}

static bool fill(drive *d, lane *l)
{
    if (l->sent == l->length)
        l->sent = l->length = 0;
    while (l->outstanding < d->depth && OUT_BYTES - l->length >= REDIS_REQUEST_MAX) {
        uint64_t number = d->number++;
        l->length += redis_write_update(l->out + l->length, d->server->sha, (uint32_t)(number % d->twins),
                                        (uint8_t)(number / d->twins), d->now_ms);
        l->outstanding++;
    }
    return flush(d, l);
}

static bool on_ready(drive *d, lane *l)
{
    static char in[IN_BYTES];
    ssize_t got = recv(l->descriptor, in, sizeof in, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        return bench_fail("redis closed a connection");
    if (got > 0) {
        l->outstanding -= redis_replies_feed(&l->replies, in, (size_t)got);
        d->heard_ns = bench_now_ns();
    }
    if (l->replies.errors > 0 || l->replies.others > 0)
        return bench_fail("redis answers %s", l->replies.errors > 0 ? l->replies.error : "what was not asked for");
    return fill(d, l);
}

static uint64_t answered(const drive *d)
{
    uint64_t sum = 0;
    for (int i = 0; i < REDIS_CONNECTIONS; i++)
        sum += d->lanes[i].replies.integers;
    return sum;
}

static bool step(drive *d)
{
    struct epoll_event events[REDIS_CONNECTIONS];
    int got = epoll_wait(d->epoll, events, REDIS_CONNECTIONS, WAIT_MS);
    d->now_ms = bench_now_ns() / 1000000;
    for (int i = 0; i < got; i++)
        if (!on_ready(d, events[i].data.ptr))
            return false;
    if (bench_now_ns() - d->heard_ns > REPLY_MS * (int64_t)1000000)
        return bench_fail("redis has not answered for %d s", REPLY_MS / 1000);
    return !bench_is_interrupted();
}

static bool open_lanes(drive *d)
{
    d->heard_ns = bench_now_ns();
    for (int i = 0; i < REDIS_CONNECTIONS; i++) {
        lane *l = &d->lanes[i];
        l->descriptor = server_connect(d->server);
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = l };
        if (l->descriptor < 0 || epoll_ctl(d->epoll, EPOLL_CTL_ADD, l->descriptor, &event) != 0)
            return bench_fail("redis: no connection: %s", strerror(errno));
    }
    return true;
}

static void drive_free(drive *d)
{
    for (int i = 0; d != NULL && i < REDIS_CONNECTIONS; i++)
        if (d->lanes[i].descriptor >= 0)
            close(d->lanes[i].descriptor);
    if (d != NULL && d->epoll >= 0)
        close(d->epoll);
    free(d);
}

static drive *drive_new(const server *s, uint32_t twins)
{
    drive *d = calloc(1, sizeof *d);
    if (d == NULL)
        return NULL;
    d->server = s;
    d->twins = twins;
    for (int i = 0; i < REDIS_CONNECTIONS; i++)
        d->lanes[i].descriptor = -1;
    d->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (d->epoll >= 0 && open_lanes(d))
        return d;
    drive_free(d);
    return NULL;
}

/* Deeper from here on; what is out above a smaller depth comes back by itself. */
static bool set_depth(drive *d, uint32_t depth)
{
    d->depth = depth;
    d->now_ms = bench_now_ns() / 1000000;
    for (int i = 0; i < REDIS_CONNECTIONS; i++)
        if (!fill(d, &d->lanes[i]))
            return false;
    return true;
}

/* Updates a second, -1: broken. */
static double run_for(drive *d, double seconds)
{
    int64_t begin = bench_now_ns(), end = begin + (int64_t)(seconds * 1e9);
    uint64_t before = answered(d);
    while (bench_now_ns() < end)
        if (!step(d))
            return -1;
    return (double)(answered(d) - before) / ((double)(bench_now_ns() - begin) / 1e9);
}

/* The depth with the most updates in a short time. */
static uint32_t best_depth(drive *d, double seconds, bench_result *r)
{
    uint32_t best = 0;
    double most = 0;
    for (int i = 0; i < DEPTHS; i++) {
        char name[64];
        double rate = set_depth(d, depths[i]) && run_for(d, seconds / 4) >= 0 ? run_for(d, seconds) : -1;
        if (rate < 0)
            return 0;
        snprintf(name, sizeof name, "peer_per_second_depth_%u", depths[i]);
        bench_set_number(r, name, (double)(uint64_t)rate);
        if (rate > most) {
            most = rate;
            best = depths[i];
        }
    }
    return best;
}

static bool measure(server *s, drive *d, double seconds, bench_result *r)
{
    if (!set_depth(d, REDIS_DEPTH_MAX))
        return false;
    while (answered(d) < d->twins) /* all keys are there */
        if (!step(d))
            return false;
    uint32_t depth = best_depth(d, seconds / 8, r);
    if (depth == 0 || !set_depth(d, depth) || run_for(d, seconds / 8) < 0)
        return false;
    uint64_t before = answered(d);
    double cpu = program_cpu(&s->program), load_s = bench_cpu_s(), rate = run_for(d, seconds);
    if (rate <= 0)
        return false;
    cpu = program_cpu(&s->program) - cpu;
    load_s = bench_cpu_s() - load_s;
    double updates = (double)(answered(d) - before);
    trial_set_peer(r, s->version, rate, cpu * 1e6 / updates);
    bench_set_number(r, "peer_cpu_micros_load", load_s * 1e6 / updates);
    bench_set_number(r, "peer_depth", depth);
    bench_set_number(r, "peer_connections", REDIS_CONNECTIONS);
    bench_set_text(r, "peer_settings", "EVALSHA of HSET (6 fields) + HINCRBY, appendfsync always, unix socket, no rewrites");
    return true;
}

bool redis_compare(const bench_options *o, uint32_t twins, double seconds, bench_result *r)
{
    static server s;
    drive *d = NULL;
    s = (server){ 0 };
    if (!program_find("redis-server", s.binary, sizeof s.binary)) {
        bench_set_text(r, "peer_note", "redis-server is not installed: no comparison (tools/setup --compare)");
        return true;
    }
    bool is_fine = server_start(&s, o->directory) && (d = drive_new(&s, twins)) != NULL && measure(&s, d, seconds, r);
    drive_free(d);
    if (!is_fine && !bench_is_interrupted())
        program_show_log(s.log);
    program_stop(&s.program);
    directory_remove(s.directory);
    return is_fine;
}

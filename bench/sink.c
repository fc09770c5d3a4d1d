#include "bench/sink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <llhttp.h>

#include "bench/bench.h"

enum { EVENTS = 64, WAIT_MS = 50, IN_BYTES = 256 * 1024, ANSWERS_MAX = 1024 /* in one write */, PAUSE_NS = 100000 };
static const char accepted[] = "HTTP/1.1 204 No Content\r\n\r\n";

typedef struct lane { /* a connection */
    sink *sink;
    int descriptor; /* -1: free */
    uint32_t due;   /* answers to what was read */
    llhttp_t parser;
    size_t length;
    char body[SINK_BODY_MAX + 1];
} lane;

struct sink {
    void *owner;
    void (*on_request)(void *owner, const char *body, size_t length);
    int listener, epoll;
    uint16_t port;
    bool is_started;
    pthread_t thread;
    clockid_t clock;
    atomic_bool ends;
    _Atomic uint64_t count;
    llhttp_settings_t settings;
    char in[IN_BYTES], out[ANSWERS_MAX * (sizeof accepted - 1)];
    lane lanes[SINK_CONNECTIONS_MAX];
};

/* ---- one connection ---- */

static int on_begin(llhttp_t *parser)
{
    ((lane *)parser->data)->length = 0;
    return 0;
}

static int on_body(llhttp_t *parser, const char *bytes, size_t length)
{
    lane *l = parser->data;
    size_t part = length < SINK_BODY_MAX - l->length ? length : SINK_BODY_MAX - l->length;
    memcpy(l->body + l->length, bytes, part);
    l->length += part;
    return 0;
}

static int on_complete(llhttp_t *parser)
{
    lane *l = parser->data;
    l->body[l->length] = '\0';
    l->due++;
    l->sink->on_request(l->sink->owner, l->body, l->length);
    atomic_fetch_add_explicit(&l->sink->count, 1, memory_order_release);
    return 0;
}

/* Answers are short and few: a connection that takes less than is offered has broken. */
static bool answer_all(sink *s, lane *l)
{
    while (l->due > 0) {
        uint32_t count = l->due < ANSWERS_MAX ? l->due : ANSWERS_MAX;
        size_t length = count * (sizeof accepted - 1);
        if (send(l->descriptor, s->out, length, MSG_NOSIGNAL) != (ssize_t)length)
            return false;
        l->due -= count;
    }
    return true;
}

static void lane_read(sink *s, lane *l)
{
    ssize_t got = recv(l->descriptor, s->in, sizeof s->in, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0 && llhttp_execute(&l->parser, s->in, (size_t)got) == HPE_OK && answer_all(s, l))
        return;
    close(l->descriptor);
    l->descriptor = -1;
}

static void lane_open(sink *s)
{
    int descriptor = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    uint32_t at = 0;
    while (at < SINK_CONNECTIONS_MAX && s->lanes[at].descriptor >= 0)
        at++;
    lane *l = &s->lanes[at];
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = l };
    if (descriptor < 0)
        return;
    if (at == SINK_CONNECTIONS_MAX || epoll_ctl(s->epoll, EPOLL_CTL_ADD, descriptor, &event) != 0) {
        close(descriptor);
        return;
    }
    l->sink = s;
    l->descriptor = descriptor;
    l->due = 0;
    llhttp_init(&l->parser, HTTP_REQUEST, &s->settings);
    l->parser.data = l;
}

static void *run(void *context)
{
    sink *s = context;
    struct epoll_event events[EVENTS];
    while (!atomic_load_explicit(&s->ends, memory_order_acquire)) {
        int got = epoll_wait(s->epoll, events, EVENTS, WAIT_MS);
        for (int i = 0; i < got; i++) {
            if (events[i].data.ptr == NULL)
                lane_open(s);
            else
                lane_read(s, events[i].data.ptr);
        }
    }
    return NULL;
}

/* ---- the whole ---- */

static bool listen_on(sink *s)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t length = sizeof address;
    struct epoll_event event = { .events = EPOLLIN };
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (s->listener < 0 || s->epoll < 0 || bind(s->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(s->listener, SINK_CONNECTIONS_MAX) != 0 || getsockname(s->listener, (struct sockaddr *)&address, &length) != 0)
        return false;
    s->port = ntohs(address.sin_port);
    return epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listener, &event) == 0;
}

sink *sink_new(void *owner, void (*on_request)(void *owner, const char *body, size_t length))
{
    sink *s = calloc(1, sizeof *s);
    if (s == NULL) {
        bench_fail("no memory");
        return NULL;
    }
    s->owner = owner;
    s->on_request = on_request;
    s->listener = s->epoll = -1;
    for (int i = 0; i < SINK_CONNECTIONS_MAX; i++)
        s->lanes[i].descriptor = -1;
    for (int i = 0; i < ANSWERS_MAX; i++)
        memcpy(s->out + (size_t)i * (sizeof accepted - 1), accepted, sizeof accepted - 1);
    llhttp_settings_init(&s->settings);
    s->settings.on_message_begin = on_begin;
    s->settings.on_body = on_body;
    s->settings.on_message_complete = on_complete;
    s->is_started = listen_on(s) && pthread_create(&s->thread, NULL, run, s) == 0;
    if (s->is_started && pthread_getcpuclockid(s->thread, &s->clock) == 0)
        return s;
    bench_fail("the sink of notifications: %s", strerror(errno));
    sink_free(s);
    return NULL;
}

void sink_free(sink *s)
{
    if (s == NULL)
        return;
    atomic_store_explicit(&s->ends, true, memory_order_release);
    if (s->is_started)
        pthread_join(s->thread, NULL);
    for (int i = 0; i < SINK_CONNECTIONS_MAX; i++)
        if (s->lanes[i].descriptor >= 0)
            close(s->lanes[i].descriptor);
    if (s->listener >= 0)
        close(s->listener);
    if (s->epoll >= 0)
        close(s->epoll);
    free(s);
}

uint16_t sink_port(const sink *s)
{
    return s->port;
}

uint64_t sink_count(const sink *s)
{
    return atomic_load_explicit(&s->count, memory_order_acquire);
}

bool sink_wait(const sink *s, uint64_t sent, uint64_t most)
{
    uint64_t newest = sink_count(s);
    int64_t moved_ns = bench_now_ns();
    for (uint64_t count = newest; count + most < sent; count = sink_count(s)) {
        if (bench_is_interrupted())
            return false;
        if (count != newest)
            moved_ns = bench_now_ns();
        newest = count;
        if (bench_now_ns() - moved_ns > SINK_LATE_S * INT64_C(1000000000))
            return bench_fail("%llu of %llu notifications came, none for %d s", (unsigned long long)count, (unsigned long long)sent, SINK_LATE_S);
        nanosleep(&(struct timespec){ 0, PAUSE_NS }, NULL);
    }
    return true;
}

double sink_cpu_s(const sink *s)
{
    struct timespec spent = { 0, 0 };
    clock_gettime(s->clock, &spent);
    return (double)spent.tv_sec + (double)spent.tv_nsec / 1e9;
}

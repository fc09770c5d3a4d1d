#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/http.h"

enum { IN_BYTES = 256 * 1024, ANSWER_BYTES = 2048, EVENTS = 64, WAIT_MS = 50 };

typedef struct lane { /* a connection */
    http_load *load;
    http_reader reader;
    int descriptor;
    bool is_measuring, is_watching_out;
    uint32_t outstanding, oldest;        /* ring of send times */
    int64_t sent_ns[HTTP_DEPTH_MAX];
    uint64_t numbers[HTTP_DEPTH_MAX];    /* of the requests */
    size_t answer_length;
    char answer[ANSWER_BYTES];           /* with NUL */
    size_t length, sent;
    char *out;                           /* depth * HTTP_REQUEST_MAX */
} lane;

typedef struct drive {
    http_load *load;
    lane *lanes;
    int epoll;
    uint64_t number, most; /* of the next request, and where they end */
} drive;

static void on_body(void *owner, const char *bytes, size_t length)
{
    lane *l = owner;
    size_t room = ANSWER_BYTES - 1 - l->answer_length;
    memcpy(l->answer + l->answer_length, bytes, length < room ? length : room);
    l->answer_length += length < room ? length : room;
}

static void on_response(void *owner, int status)
{
    lane *l = owner;
    l->answer[l->answer_length] = '\0';
    l->answer_length = 0;
    if (l->load->on_answer != NULL)
        l->load->on_answer(l->load->owner, l->numbers[l->oldest], status, l->answer);
    int64_t took = bench_now_ns() - l->sent_ns[l->oldest];
    l->oldest = (l->oldest + 1) % HTTP_DEPTH_MAX;
    l->outstanding--;
    if (!l->is_measuring)
        return;
    bool is_good = status >= 200 && status < 300;
    l->load->answers += is_good;
    l->load->errors += !is_good;
    l->load->busy += status == 503;
    if (!is_good)
        l->load->error = status;
    if (status != 503)
        histogram_add(&l->load->latency, (uint64_t)took / 1000);
}

static void fill(drive *d, lane *l)
{
    http_load *load = d->load;
    char path[512];
    if (l->sent == l->length)
        l->sent = l->length = 0;
    int64_t now = bench_now_ns();
    while (d->number < d->most && l->outstanding < load->depth && load->depth * (size_t)HTTP_REQUEST_MAX - l->length >= HTTP_REQUEST_MAX) {
        char body[512] = "", about[96] = "";
        int length = load->body != NULL ? load->body(load->owner, d->number, body, sizeof body) : 0;
        if (load->body != NULL)
            snprintf(about, sizeof about, "Content-Type: application/json\r\nContent-Length: %d\r\n", length);
        l->numbers[(l->oldest + l->outstanding) % HTTP_DEPTH_MAX] = d->number;
        load->path(load->owner, d->number++, path, sizeof path);
        int n = snprintf(l->out + l->length, HTTP_REQUEST_MAX,
                         "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAuthorization: Bearer %s\r\n%s\r\n%s", load->body != NULL ? "POST" : "GET",
                         path, load->port, load->token, about, body);
        l->length += (size_t)n;
        l->sent_ns[(l->oldest + l->outstanding++) % HTTP_DEPTH_MAX] = now;
    }
}

/* False: broken. */
static bool flush(drive *d, lane *l)
{
    while (l->sent < l->length) {
        ssize_t sent = send(l->descriptor, l->out + l->sent, l->length - l->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        if (sent < 0)
            break;
        l->sent += (size_t)sent;
    }
    bool wants_out = l->sent < l->length;
    if (wants_out != l->is_watching_out) {
        struct epoll_event event = { .events = EPOLLIN | (wants_out ? EPOLLOUT : 0), .data.ptr = l };
        l->is_watching_out = wants_out;
        return epoll_ctl(d->epoll, EPOLL_CTL_MOD, l->descriptor, &event) == 0;
    }
    return true;
}

static bool on_ready(drive *d, lane *l)
{
    static char in[IN_BYTES];
    ssize_t got = recv(l->descriptor, in, sizeof in, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        return false;
    if (got > 0 && http_reader_feed(&l->reader, in, (size_t)got) != DRO_OK)
        return false;
    if (l->reader.is_last)
        return false;
    fill(d, l);
    return flush(d, l);
}

static bool open_lanes(drive *d)
{
    for (uint32_t i = 0; i < d->load->connections; i++) {
        lane *l = &d->lanes[i];
        l->load = d->load;
        l->reader = (http_reader){ .owner = l, .on_response = on_response, .on_body = d->load->on_answer != NULL ? on_body : NULL };
        http_reader_init(&l->reader);
        l->descriptor = http_connect(d->load->port);
        l->out = malloc(d->load->depth * (size_t)HTTP_REQUEST_MAX);
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = l };
        if (l->out == NULL || l->descriptor < 0 || epoll_ctl(d->epoll, EPOLL_CTL_ADD, l->descriptor, &event) != 0)
            return false;
        fill(d, l);
        if (!flush(d, l))
            return false;
    }
    return true;
}

static bool turn(drive *d)
{
    struct epoll_event events[EVENTS];
    int got = epoll_wait(d->epoll, events, EVENTS, WAIT_MS);
    for (int i = 0; i < got; i++)
        if (!on_ready(d, events[i].data.ptr))
            return false;
    return true;
}

static bool run_until(drive *d, int64_t end_ns)
{
    while (bench_now_ns() < end_ns && !bench_is_interrupted())
        if (!turn(d))
            return false;
    return !bench_is_interrupted();
}

static bool drive_begin(drive *d, http_load *load, uint64_t most)
{
    *d = (drive){ .load = load, .most = most, .epoll = epoll_create1(EPOLL_CLOEXEC) };
    d->lanes = calloc(load->connections, sizeof *d->lanes);
    for (uint32_t i = 0; d->lanes != NULL && i < load->connections; i++)
        d->lanes[i].descriptor = -1;
    return d->lanes != NULL && d->epoll >= 0 && open_lanes(d);
}

static void measure(drive *d)
{
    for (uint32_t i = 0; i < d->load->connections; i++)
        d->lanes[i].is_measuring = true;
}

static void drive_end(drive *d)
{
    for (uint32_t i = 0; d->lanes != NULL && i < d->load->connections; i++) {
        if (d->lanes[i].descriptor >= 0)
            close(d->lanes[i].descriptor);
        free(d->lanes[i].out);
    }
    if (d->epoll >= 0)
        close(d->epoll);
    free(d->lanes);
}

bool http_load_run(http_load *load, double warm_s, double seconds, void (*on_measured)(void *owner))
{
    drive d;
    bool is_fine = drive_begin(&d, load, UINT64_MAX) && run_until(&d, bench_now_ns() + (int64_t)(warm_s * 1e9));
    if (is_fine) {
        on_measured(load->owner); /* begins */
        measure(&d);
        is_fine = run_until(&d, bench_now_ns() + (int64_t)(seconds * 1e9));
        on_measured(load->owner); /* ends */
    }
    drive_end(&d);
    return is_fine;
}

bool http_load_count(http_load *load, uint64_t count)
{
    drive d;
    load->answers = load->errors = 0;
    bool is_fine = drive_begin(&d, load, count);
    if (is_fine)
        measure(&d); /* nothing was answered yet: answers are read below */
    while (is_fine && load->answers + load->errors < count)
        is_fine = turn(&d) && !bench_is_interrupted();
    drive_end(&d);
    return is_fine;
}

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/http.h"

enum { PIECE = 64 * 1024 };

typedef struct exchange {
    const http_call *call;
    int descriptor, status;
    size_t length, sent;     /* of `out` */
    uint64_t body_left;
    char out[PIECE];
} exchange;

static void on_body(void *owner, const char *bytes, size_t length)
{
    exchange *e = owner;
    if (e->call->sink != NULL)
        e->call->sink(e->call->owner, bytes, length);
}

static void on_response(void *owner, int status)
{
    ((exchange *)owner)->status = status;
}

int http_connect(uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (descriptor < 0)
        return -1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0)
        return descriptor;
    close(descriptor);
    return -1;
}

static void write_head(exchange *e)
{
    const http_call *c = e->call;
    int n = snprintf(e->out, sizeof e->out, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n", c->method, c->path, c->port);
    if (c->token != NULL)
        n += snprintf(e->out + n, sizeof e->out - (size_t)n, "Authorization: Bearer %s\r\n", c->token);
    if (c->source != NULL)
        n += snprintf(e->out + n, sizeof e->out - (size_t)n, "Content-Type: %s\r\nContent-Length: %llu\r\n", c->type,
                      (unsigned long long)c->length);
    n += snprintf(e->out + n, sizeof e->out - (size_t)n, "\r\n");
    e->length = (size_t)n;
    e->body_left = c->source != NULL ? c->length : 0;
}

/* False: broken. */
static bool send_some(exchange *e)
{
    if (e->sent == e->length && e->body_left > 0) {
        size_t room = e->body_left < PIECE ? (size_t)e->body_left : PIECE;
        e->length = e->call->source(e->call->owner, e->out, room);
        e->body_left -= e->length;
        e->sent = 0;
    }
    ssize_t sent = send(e->descriptor, e->out + e->sent, e->length - e->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0)
        e->sent += (size_t)sent;
    return sent >= 0 || errno == EAGAIN || errno == EINTR;
}

/* False: the connection is over; e->status says whether with an answer. */
static bool receive_some(exchange *e, http_reader *reader)
{
    char in[PIECE];
    ssize_t got = recv(e->descriptor, in, sizeof in, MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    if (got == 0) {
        if (http_reader_end(reader) != DRO_OK)
            e->status = 0; /* cut off in the middle */
        return false;
    }
    if (http_reader_feed(reader, in, (size_t)got) != DRO_OK)
        return false;
    return e->status == 0;
}

int http_do(const http_call *call)
{
    exchange *e = calloc(1, sizeof *e);
    if (e == NULL)
        return 0;
    http_reader reader = { .owner = e, .on_body = on_body, .on_response = on_response };
    http_reader_init(&reader);
    e->call = call;
    e->descriptor = http_connect(call->port);
    bool goes_on = e->descriptor >= 0;
    if (goes_on)
        write_head(e);
    /* An answer may begin while the body is still being sent (twins:bulk): both directions at once. */
    while (goes_on && !bench_is_interrupted()) {
        bool has_more = e->sent < e->length || e->body_left > 0;
        struct pollfd poller = { e->descriptor, (short)(POLLIN | (has_more ? POLLOUT : 0)), 0 };
        int ready = poll(&poller, 1, HTTP_CALL_MS);
        if (ready < 0 && errno == EINTR)
            continue;
        goes_on = ready > 0;
        if (goes_on && (poller.revents & POLLOUT))
            goes_on = send_some(e);
        if (goes_on && (poller.revents & ~POLLOUT))
            goes_on = receive_some(e, &reader);
    }
    if (e->descriptor >= 0)
        close(e->descriptor);
    int status = e->status;
    free(e);
    return status;
}

void http_text_sink(void *owner, const char *bytes, size_t length)
{
    http_text *text = owner;
    size_t room = sizeof text->bytes - 1 - text->length;
    if (length > room)
        length = room;
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

typedef struct small_body {
    const char *bytes;
    size_t at;
    http_text *text;
} small_body;

static size_t small_source(void *owner, char *out, size_t room)
{
    small_body *body = owner;
    memcpy(out, body->bytes + body->at, room); /* never asked for more than there is */
    body->at += room;
    return room;
}

static void small_sink(void *owner, const char *bytes, size_t length)
{
    small_body *body = owner;
    if (body->text != NULL)
        http_text_sink(body->text, bytes, length);
}

int http_send(uint16_t port, const char *method, const char *path, const char *token, const char *type, const void *body,
              size_t length, http_text *text)
{
    small_body small = { body, 0, text };
    if (text != NULL) {
        text->length = 0;
        text->bytes[0] = '\0';
    }
    return http_do(&(http_call){ .port = port, .method = method, .path = path, .token = token, .type = type,
                                 .source = body != NULL ? small_source : NULL, .length = length, .sink = small_sink,
                                 .owner = &small });
}

int http_get(uint16_t port, const char *path, const char *token, http_text *text)
{
    return http_send(port, "GET", path, token, NULL, NULL, 0, text);
}

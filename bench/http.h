/* HTTP/1.1 as a client: a reader of responses (pure), one exchange at a time for
 * what prepares a benchmark, and requests pipelined over several connections for
 * the benchmark itself. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <llhttp.h>

#include "base/err.h"
#include "sim/histogram.h"

enum {
    HTTP_CONNECTIONS_MAX = 8192,
    HTTP_DEPTH_MAX = 256,
    HTTP_REQUEST_MAX = 1024,
    HTTP_BODY_MAX = 1024 * 1024, /* of an answer that is kept */
    HTTP_CALL_MS = 30000,        /* an exchange in which nothing moves for so long has failed */
};

/* Reads responses that follow each other on one connection. `reader` must not move. */
typedef struct http_reader {
    void *owner;
    void (*on_body)(void *owner, const char *bytes, size_t length);
    void (*on_response)(void *owner, int status); /* a whole one */
    llhttp_t parser;
    llhttp_settings_t settings;
    bool is_last; /* the server will close */
} http_reader;

void http_reader_init(http_reader *reader);
/* DRO_MALFORMED: no HTTP response. */
DRO_CHECKED dro_err http_reader_feed(http_reader *reader, const char *bytes, size_t length);
/* The connection ended: completes a response whose end is the connection's. */
DRO_CHECKED dro_err http_reader_end(http_reader *reader);

typedef struct http_call {
    uint16_t port; /* on 127.0.0.1 */
    const char *method, *path, *token, *type;
    /* Body: `length` bytes, asked for in pieces; NULL: none. Fills at most `room`, returns how much. */
    size_t (*source)(void *owner, char *out, size_t room);
    uint64_t length;
    void (*sink)(void *owner, const char *bytes, size_t length); /* NULL: the answer's body is dropped */
    void *owner;
} http_call;
/* Status of the answer, 0: no connection, or it broke. */
int http_do(const http_call *call);
int http_connect(uint16_t port); /* a blocking descriptor, or -1 */

typedef struct http_text { /* a sink that keeps the text, with NUL; longer ones are cut */
    size_t length;
    char bytes[HTTP_BODY_MAX];
} http_text;
void http_text_sink(void *text, const char *bytes, size_t length);
/* GET into `text`. */
int http_get(uint16_t port, const char *path, const char *token, http_text *text);
/* POST or another method with a small JSON body. */
int http_send(uint16_t port, const char *method, const char *path, const char *token, const char *type, const void *body,
              size_t length, http_text *text);

typedef struct http_load {
    uint16_t port;
    const char *token;
    uint32_t connections, depth;
    void *owner;
    int (*path)(void *owner, uint64_t number, char *out, size_t room); /* of request `number`; its length */
    int (*body)(void *owner, uint64_t number, char *out, size_t room); /* JSON of a POST; NULL: they are GETs */
    void (*on_answer)(void *owner, uint64_t number, int status, const char *body); /* NULL: nobody wants to know; a long body is cut */
    uint64_t answers, errors; /* status 2xx, and any other */
    uint64_t busy;            /* of those: 503 */
    int error;                /* the newest other status */
    histogram latency;        /* without the 503 */
} http_load;
/* GETs for `seconds` after `warm_s`; on_measured is called with `owner` when measuring begins and
 * when it ends. False: a connection broke, or an interrupt. */
/* Exactly `count` of them, the first is number 0. False as above. */
bool http_load_count(http_load *load, uint64_t count);
bool http_load_run(http_load *load, double warm_s, double seconds, void (*on_measured)(void *owner));

/* Client: requests to the host's HTTP API, one at a time. Problems are told on
 * standard error, in words, with what to do next; callers pass on exit codes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "buffer.h"

enum {
    CLIENT_CONNECT_SECONDS = 10,
    CLIENT_REQUEST_SECONDS = 60,          /* without a request's own */
    CLIENT_IDLE_SECONDS = 45,             /* of a stream: the host sends a comment every 15 s */
    CLIENT_ANSWER_MAX = 64 * 1024 * 1024, /* bytes of an answer kept in memory */
    CLIENT_HEADERS_MAX = 8,
    CLIENT_TOKEN_MAX = 1024,
};

typedef struct client_config { /* borrowed during client_new */
    const char *host;          /* URL */
    const char *token;         /* NULL: none */
    const char *ca;            /* file, NULL: the system's */
} client_config;

struct request {
    const char *method;
    const char *path; /* "/v1/twins", escaped */
    const char *accept;
    const char *content_type; /* NULL: application/json where there is a body */
    const char *body;
    size_t body_length;
    FILE *body_file;                         /* instead of body: streamed, chunked */
    const char *headers[CLIENT_HEADERS_MAX]; /* "If-Match: \"7\"", ends at NULL */
    long timeout_ms; /* whole request; 0: CLIENT_REQUEST_SECONDS; -1: none, but CLIENT_IDLE_SECONDS */
    bool (*on_bytes)(void *context, const char *bytes, size_t length); /* of a 2xx answer, as it comes; false ends it */
    bool (*on_idle)(void *context);                                    /* now and then; false ends it */
    void *context;
    bool is_farewell; /* sent although the user has interrupted (moment.h); any other request ends then */
};

struct response {
    long status;        /* 0: none came */
    long retry_after_s; /* -1: not said */
    struct buffer body; /* what on_bytes did not take */
    bool is_ended;      /* a callback ended it */
    bool is_untrusted;  /* the host's certificate was not taken */
    char etag[64];
    char reason[256]; /* why there is no whole answer */
    int transport;    /* EXIT_OK, EXIT_UNREACHABLE, EXIT_TIMED_OUT, EXIT_INTERRUPTED or EXIT_FAILED */
};

/* NULL after saying why. */
struct client *client_new(const client_config *config);
void client_free(struct client *client);
const char *client_host(const struct client *client);

/* What came; `out` is the caller's to fini, also on failure. */
void client_send(struct client *client, const struct request *request, struct response *out);
void response_fini(struct response *response);

/* EXIT_OK for 2xx; else tells the problem and gives its exit code. */
int client_judge(const struct client *client, const struct response *response);

/* Both: send and judge. */
int client_call(struct client *client, const struct request *request, struct response *out);

/* Answer: writes the HTTP response of an exchange into its place in the
 * connection's order. Errors are RFC 9457 problem details. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/builder.h"
#include "gate/http.h"

#define ANSWER_NO_ETAG UINT64_MAX

typedef struct answer {
    int status;
    const char *content_type;    /* NULL: no body */
    uint64_t etag;               /* strong; ANSWER_NO_ETAG */
    const char *location;        /* with location_length; not NUL-terminated */
    uint32_t location_length;
    uint32_t retry_after_s;
    const char *allow;           /* of 405 */
    const char *challenge;       /* WWW-Authenticate; NULL: the usual one with 401, none else */
    const char *lines;           /* further whole header lines, "" or NULL for none */
    bool is_stored;              /* a cache may keep it */
    bool is_lasting;             /* its body lasts as long as the host, and is not copied */
} answer;

/* All at once. */
void answer_whole(exchange *exchange, const answer *answer, const void *body, size_t length);
/* In parts of unknown number: chunked, or until the close for an HTTP/1.0 client or a stream. */
void answer_begin(exchange *exchange, const answer *answer, bool is_stream);
void answer_part(exchange *exchange, const void *bytes, size_t length);
void answer_end(exchange *exchange);

/* {"type":"about:blank","title","status","detail"}. */
__attribute__((format(printf, 3, 4))) void answer_problem(exchange *exchange, int status, const char *format, ...);
/* 429 (RFC 6585 4) with Retry-After, in whole seconds. */
void answer_too_many(exchange *exchange, int64_t wait_ns, const char *detail);
/* A problem that says how to come in (RFC 6750 3). */
void answer_challenge(exchange *exchange, int status, const char *challenge, const char *detail);
void answer_fault(exchange *exchange, const body_fault *fault);
void answer_not_allowed(exchange *exchange, const char *allow);
/* 503 with Retry-After: 1. */
void answer_busy(exchange *exchange, const char *detail);

void problem_write(dro_builder *out, int status, const char *detail, const char *pointer);
/* "404 Not Found" */
const char *status_text(int status);

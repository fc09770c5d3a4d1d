/* From bytes to a request and its checks: what is refused, with which status, and whether the connection goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fields.h"
#include "gate/http_testbed.h"

#define HEALTH "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
#define SHA "sha256:0101010101010101010101010101010101010101010101010101010101010101"
#define ID_16 "0123456789abcdef"

/* Long texts, in pieces that a socket takes. */
static void say_all(http_testbed *host, const char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        ssize_t part = send(host->client, text + at, length - at > 8000 ? 8000 : length - at, MSG_NOSIGNAL);
        if (part <= 0)
            return; /* it was closed */
        at += (size_t)part;
        bed_turn(host);
    }
    bed_turn(host);
}

static void assert_status(http_testbed *host, const char *request, int status, const char *word)
{
    char start[16];
    bed_begin_anew(host);
    say_all(host, request, strlen(request));
    snprintf(start, sizeof start, "HTTP/1.1 %d ", status);
    bed_hear(host);
    if (strncmp(host->text, start, strlen(start)) != 0 || strstr(host->text, word) == NULL)
        fail_msg("%.100s: heard %.300s, wanted %d %s", request, host->text, status, word);
}

static int times(const char *text, const char *wanted)
{
    int found = 0;
    for (const char *at = text; (at = strstr(at, wanted)) != NULL; at++)
        found++;
    return found;
}

/* ---- messages (RFC 9112) ---- */

static void what_is_no_request_of_http_1_1_is_refused(void **state)
{
    static const struct { const char *request; int status; const char *word; } all[] = {
        { "BREW / HTTP/1.1\r\nHost: h\r\n\r\n", 501, "no such method" },
        { "brew / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "" },
        { "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505, "HTTP/1.1 is spoken here" },
        { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/1.1 is spoken here" },
        { "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 501, "not a request this host takes" },
        { "GET / HTTP/1.1\r\n\r\n", 400, "not a request this host takes" },                          /* 3.2: no Host */
        { "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400, "" },                                  /* two of them */
        { "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400, "" },                               /* 5.2: folded */
        { "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "" },                  /* 6.1 */
        { "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, "" },
        { "PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "" },                 /* 6.1 */
        { "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "" },
        { "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 400, "" },
        { "GET /%zz HTTP/1.1\r\nHost: h\r\n" BED_TOKEN "\r\n", 400, "the target is malformed" },
        { "OPTIONS /v1/twins HTTP/1.1\r\nHost: h\r\n" BED_TOKEN "\r\n", 405, "\r\nAllow: " },
        { "DELETE /v1/twins HTTP/1.1\r\nHost: h\r\n" BED_TOKEN "\r\n", 405, "\r\nAllow: " },
        { "GET /v1/nothing HTTP/1.1\r\nHost: h\r\n" BED_TOKEN "\r\n", 404, "nothing at this path" },
        { "PUT /v1/twins/a@b.example HTTP/1.1\r\nHost: h\r\n" BED_TOKEN "Expect: 200-ok\r\nContent-Length: 2\r\n\r\n", 417, "100-continue" },
        { "PUT /v1/twins/a@b.example HTTP/1.1\r\nHost: h\r\n" BED_TOKEN "Expect: 101-continue\r\nContent-Length: 2\r\n\r\n", 417, "100-continue" },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_status(*state, all[i].request, all[i].status, all[i].word);
    bed_begin_anew(*state);
    bed_say(*state, "GET /healthz HTTP/1.0\r\n\r\n"); /* which needs no Host */
    bed_assert_heard(*state, "HTTP/1.1 200 ");
}

static void heads_have_bounds(void **state)
{
    static char text[64 * 1024];
    http_testbed *host = *state;
    int at = sprintf(text, "GET /healthz HTTP/1.1\r\nHost: h\r\n");
    for (int i = 1; i < HTTP_HEADERS_MAX; i++)
        at += sprintf(text + at, "X-%d: y\r\n", i);
    strcpy(text + at, "\r\n");
    assert_status(host, text, 200, "");
    strcpy(text + at, "X-More: y\r\n\r\n");
    assert_status(host, text, 431, "the header is too large");
    sprintf(text, "GET /%0*d HTTP/1.1\r\nHost: h\r\n\r\n", HTTP_TARGET_MAX, 0);
    assert_status(host, text, 414, "the target is too long");
    sprintf(text, "GET /healthz HTTP/1.1\r\nHost: h\r\nX: %0*d\r\n\r\n", HTTP_BLOCK_BYTES, 0);
    assert_status(host, text, 431, "the header is too large");
    memset(text, '\n', HTTP_BLOCK_BYTES + 1); /* 2.2: empty lines before a request, but not for ever */
    text[HTTP_BLOCK_BYTES + 1] = '\0';
    assert_status(host, text, 414, "");
}

/* Heads in pieces: what is in small blocks, what in large ones, and what is pushed to the front. */
static void a_head_may_come_in_any_pieces(void **state)
{
    static char text[64 * 1024];
    http_testbed *host = *state;
    static const size_t steps[] = { 1, 7, 900, 1500, 5000, 16000 };
    int length = sprintf(text, "GET /healthz HTTP/1.1\r\nHost: h\r\nX: %05000d\r\n\r\n" HEALTH, 0);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        bed_begin_anew(host);
        for (size_t at = 0; at < (size_t)length; at += steps[i]) {
            size_t part = (size_t)length - at < steps[i] ? (size_t)length - at : steps[i];
            assert_int_equal(send(host->client, text + at, part, MSG_NOSIGNAL), part);
            bed_turn(host);
        }
        bed_hear(host);
        assert_int_equal(times(host->text, "HTTP/1.1 200 "), 2);
    }
    length = 0;
    for (int i = 0; i < 8; i++) /* of 5 KiB each: they do not end where the buffer ends */
        length += sprintf(text + length, "GET /healthz HTTP/1.1\r\nHost: h\r\nX: %05000d\r\n\r\n", 0);
    bed_begin_anew(host);
    say_all(host, text, (size_t)length);
    bed_hear(host);
    assert_int_equal(times(host->text, "HTTP/1.1 200 "), 8);
}

#define CHUNKED "PUT /v1/twins/a@b.example" BED_HEAD "Transfer-Encoding: chunked\r\n\r\n"

/* RFC 9112 7.1. */
static void chunks_are_put_together_and_trailers_passed_over(void **state)
{
    static char text[3 * HTTP_TRAILER_MAX];
    http_testbed *host = *state;
    bed_say(host, CHUNKED "1\r\n{\r\n1\r\n}\r\n0\r\nX-Sum: 5\r\nHost: other\r\n\r\n");
    assert_int_not_equal(bed_asked(host, MESSAGE_API), 0);
    assert_status(host, CHUNKED "1;a=b\r\n{\r\n", 400, "not a request of HTTP/1.1"); /* extensions */
    sprintf(text, CHUNKED "0\r\nX: %0*d\r\n\r\n", HTTP_TRAILER_MAX + 1, 0);
    assert_status(host, text, 431, "the header is too large");
    sprintf(text, CHUNKED "0\r\nX%0*d: a\r\n\r\n", HTTP_TRAILER_MAX + 1, 0);
    assert_status(host, text, 431, "the header is too large");
    assert_status(host, CHUNKED "zz\r\n", 400, "");
}

static void a_field_of_which_two_are_too_many(void **state)
{
    http_testbed *host = *state;
    assert_status(host, "GET /healthz HTTP/1.1\r\nHost: h\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n", 200, ""); /* a list */
    assert_status(host, "GET /healthz HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n\r\n", 200, "");
    assert_status(host, "GET /healthz HTTP/1.1\r\nHost: h\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n", 400, "not a request of HTTP/1.1");
    assert_status(host, "GET /healthz HTTP/1.1\r\nHost: h \t\r\n\r\n", 200, "");
}

/* ---- who may ---- */

static void tokens_are_read_as_rfc_6750_writes_them(void **state)
{
    static char text[12 * 1024];
    http_testbed *host = *state;
    static const struct { const char *value; bool is_good; } all[] = {
        { "Bearer abc", true }, { "bearer abc", true }, { "Bearer    abc", true }, { "Bearer", false }, { "Basic abc", false }, { "Bearer abd", false }, { "abc", false },
        { "Bearerabc", false },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        sprintf(text, "GET /v1/twins HTTP/1.1\r\nHost: h\r\nAuthorization: %s\r\n\r\n", all[i].value);
        bed_begin_anew(host);
        bed_say(host, text);
        assert_int_equal(bed_asked(host, MESSAGE_API) != 0, all[i].is_good);
        if (!all[i].is_good)
            bed_assert_heard(host, "HTTP/1.1 401 ");
    }
    sprintf(text, "GET /v1/twins HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %0*d\r\n\r\n", HTTP_TOKEN_MAX + 1, 0);
    assert_status(host, text, 401, "WWW-Authenticate: ");
    sprintf(text, "GET /v1/twins HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %0*d\r\n\r\n", 6145, 0);
    assert_status(host, text, 401, "WWW-Authenticate: ");
    assert_status(host, "GET /v1/twins HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer a.b.c\r\n\r\n", 401, "invalid_token");
    assert_status(host, "GET /v1/twins HTTP/1.1\r\nHost: h\r\n\r\n", 401, "WWW-Authenticate: ");
}

static void a_token_without_the_scope_is_403(void **state)
{
    http_testbed *host = *state;
    bed_let_application_in(host, "as1", SCOPE_READ, "b.example");
    assert_status(host, "PUT /v1/twins/a@b.example" BED_HEAD "Content-Length: 2\r\n\r\n{}", 403, "insufficient_scope");
    bed_begin_anew(host);
    bed_say(host, "GET /v1/status" BED_HEAD "\r\n");
    assert_int_not_equal(bed_asked(host, MESSAGE_API), 0);
}

static void a_token_for_once_is_good_for_a_session_only(void **state)
{
    http_testbed *host = *state;
    credential row = { .scopes = SCOPE_ADMIN, .is_one_time = 1 };
    token_hash(host->http->tokens, "once", 4, row.token);
    http_on_message(host->http, 0, MESSAGE_CREDENTIAL, 0, &row, sizeof row);
    assert_status(host, "GET /v1/twins HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer once\r\n\r\n", 401, "POST /v1/sessions only");
    assert_status(host, "GET /v1/nothing HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer once\r\n\r\n", 401, "POST /v1/sessions only");
    assert_status(host, "POST /v1/sessions" BED_HEAD "\r\n", 403, "insufficient_scope");
    bed_begin_anew(host);
    bed_say(host, "POST /v1/sessions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer once\r\n\r\n");
    assert_int_not_equal(bed_asked(host, MESSAGE_API), 0);
}

static void nothing_is_refused_before_tokens_are_known(void **state)
{
    http_testbed *host = *state;
    host->http->is_ready = false;
    assert_status(host, "GET /v1/twins HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer other\r\n\r\n", 503, "the host is starting");
    assert_status(host, "POST /oauth2/token HTTP/1.1\r\nHost: h\r\nContent-Length: 29\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\ngrant_type=client_credentials", 503,
                  "the host is starting");
    assert_status(host, "GET /v1/twins HTTP/1.1\r\nHost: h\r\n\r\n", 503, "the host is starting");
}

/* RFC 6749 4.4, TS 29.222 8.5. */
/* What is malformed behind an answered head ends the connection, after that answer. */
static void a_body_that_breaks_behind_its_refusal_ends_the_connection(void **state)
{
    http_testbed *host = *state;
    bed_say(host, "PUT /v1/nothing" BED_HEAD "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    bed_assert_heard(host, "HTTP/1.1 404 ");
    bed_say(host, "zz\r\n" HEALTH);
    bed_hear(host);
    assert_int_equal(times(host->text, "HTTP/1.1 "), 1);
    bed_later(host, HTTP_LINGER_MS + 1);
    assert_int_equal(host->http->connection_count, 0);
    bed_connect(host); /* and where the answer to the one before is still to come */
    bed_say(host, BED_GET_TWIN);
    uint64_t id = bed_asked(host, MESSAGE_API);
    bed_say(host, "GET /v1/nothing" BED_HEAD "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\nzz\r\n" HEALTH);
    bed_answer(host, id, 200);
    bed_hear(host);
    assert_int_equal(times(host->text, "HTTP/1.1 "), 2);
    bed_later(host, HTTP_LINGER_MS + 1);
    assert_int_equal(host->http->connection_count, 0);
}

/* 100 Continue is for who is the first in line. */
static void who_waits_behind_others_is_not_asked_for_a_body(void **state)
{
    http_testbed *host = *state;
    bed_say(host, BED_GET_TWIN);
    uint64_t id = bed_asked(host, MESSAGE_API);
    bed_say(host, "GET /v1/twins" BED_HEAD "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    bed_hear(host);
    assert_int_equal(host->length, 0);
    bed_say(host, "{}");
    bed_answer(host, id, 200);
    bed_answer(host, bed_asked(host, MESSAGE_API), 200);
    bed_hear(host);
    assert_int_equal(times(host->text, "HTTP/1.1 200 "), 2);
    assert_int_equal(times(host->text, "HTTP/1.1 100 "), 0);
}

static void who_asks_for_a_token_shows_himself(void **state)
{
    char text[1200];
    assert_status(*state, "POST /oauth2/token HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 401, "\"error\":\"invalid_client\"");
    sprintf(text, "POST /capif-security/v1/securities/%0256d/token HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 0);
    assert_status(*state, text, 404, "no such application");
    sprintf(text, "POST /oauth2/token HTTP/1.1\r\nHost: h\r\nAuthorization: Basic YTpi\r\nContent-Length: %d\r\n\r\n", FORM_MAX + 1);
    assert_status(*state, text, 413, "at most 8192 bytes");
    assert_status(*state, "POST /oauth2/token HTTP/1.1\r\nHost: h\r\nAuthorization: Basic ???\r\nContent-Length: 2\r\n\r\na=", 401, "\"error\":");
    assert_status(*state, "GET /.well-known/oauth-authorization-server HTTP/1.1\r\nHost: h\r\n\r\n", 200, "\"token_endpoint\":\"/oauth2/token\""); /* RFC 8414 */
    assert_status(*state, "POST /oauth2/token HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", 400, "invalid_request");
    assert_status(*state, "GET /oauth2/jwks HTTP/1.1\r\nHost: h\r\n\r\n", 200, "\"keys\"");
}

static void an_application_that_asks_too_often_waits(void **state)
{
    http_testbed *host = *state;
    host->config.gate_count = 2;
    host->config.limits.of[LIMIT_REQUESTS] = 2; /* one a second of each gate */
    bed_let_application_in(host, "as1", SCOPE_READ, "b.example");
    bed_say(host, "GET /v1/twins/a@b.example" BED_HEAD "\r\n");
    bed_answer(host, bed_asked(host, MESSAGE_API), 200);
    host->length = 0;
    bed_hear(host);
    host->length = 0;
    bed_say(host, "GET /v1/twins/a@b.example" BED_HEAD "\r\n");
    bed_assert_heard(host, "HTTP/1.1 429 ");
    assert_non_null(strstr(host->text, "\r\nRetry-After: 1\r\n"));
    bed_later(host, 1000);
    host->length = 0;
    bed_say(host, "GET /v1/twins/a@b.example" BED_HEAD "\r\n");
    assert_int_not_equal(bed_asked(host, MESSAGE_API), 0);
}

/* Not even that a body is too large or of a wrong kind. */
static void of_a_foreign_twin_nothing_is_told(void **state)
{
    static char text[HTTP_BODY_TWIN_MAX * 2];
    http_testbed *host = *state;
    bed_let_application_in(host, "as1", SCOPE_READ | SCOPE_WRITE, "b.example");
    assert_status(host, "PUT /v1/twins/a@c.example" BED_HEAD "Content-Type: text/html\r\nContent-Length: 1\r\n\r\nx", 404, "no such twin");
    assert_status(host, "PUT /v1/twins/a@c.example" BED_HEAD "Content-Length: 70000\r\n\r\n", 404, "no such twin");
    assert_status(host, "PUT /v1/twins/a@c.example" BED_HEAD "Content-Length: 1\r\n\r\nx", 404, "no such twin");
    int at = sprintf(text, "PUT /v1/twins/a@c.example" BED_HEAD "Transfer-Encoding: chunked\r\n\r\n%x\r\n", HTTP_BODY_TWIN_MAX + 1);
    memset(text + at, 'x', HTTP_BODY_TWIN_MAX + 1);
    text[at + HTTP_BODY_TWIN_MAX + 1] = '\0';
    assert_status(host, text, 404, "no such twin");
    memcpy(strstr(text, "c.example"), "b", 1);
    assert_status(host, text, 413, "at most 65536 bytes");
}

/* ---- bodies ---- */

static void what_a_refused_request_brings_is_read_to_a_bound(void **state)
{
    static char text[3 * HTTP_DISCARD_MAX];
    http_testbed *host = *state;
    int at = sprintf(text, "PUT /v1/nothing" BED_HEAD "Content-Length: %d\r\n\r\n", HTTP_DISCARD_MAX);
    memset(text + at, 'x', HTTP_DISCARD_MAX);
    strcpy(text + at + HTTP_DISCARD_MAX, HEALTH);
    say_all(host, text, strlen(text));
    bed_assert_heard(host, "HTTP/1.1 404 ");
    assert_int_equal(times(host->text, "HTTP/1.1 200 "), 1); /* the connection goes on */
    bed_begin_anew(host);
    at = sprintf(text, "PUT /v1/nothing" BED_HEAD "Transfer-Encoding: chunked\r\n\r\n%x\r\n", HTTP_DISCARD_MAX + 1);
    memset(text + at, 'x', HTTP_DISCARD_MAX + 1);
    strcpy(text + at + HTTP_DISCARD_MAX + 1, "\r\n0\r\n\r\n" HEALTH);
    say_all(host, text, strlen(text));
    bed_assert_heard(host, "HTTP/1.1 404 ");
    assert_int_equal(times(host->text, "HTTP/1.1 200 "), 0);
    bed_begin_anew(host);
    memcpy(text, "GET /v1/twins  ", 15); /* one that is to be answered */
    say_all(host, text, strlen(text));
    bed_assert_heard(host, "HTTP/1.1 413 ");
}

/* RFC 9110 10.1.1. */
static void who_waits_to_be_asked_for_a_body_is_asked(void **state)
{
    http_testbed *host = *state;
    bed_say(host, "PUT /v1/twins/a@b.example" BED_HEAD "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    bed_assert_heard(host, "HTTP/1.1 100 Continue\r\n\r\n");
    bed_say(host, "{}");
    assert_int_not_equal(bed_asked(host, MESSAGE_API), 0);
    bed_begin_anew(host);
    bed_say(host, "PUT /v1/twins/a@b.example HTTP/1.0\r\n" BED_TOKEN "Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n");
    bed_hear(host);
    assert_int_equal(host->length, 0); /* 1.0 does not know it */
    bed_say(host, "{}");
    assert_int_not_equal(bed_asked(host, MESSAGE_API), 0);
    assert_status(host, "PUT /v1/nothing" BED_HEAD "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n", 404, "\r\nConnection: close\r\n");
}

static void a_body_that_the_ring_has_no_room_for_is_503(void **state)
{
    static char body[64 * 1024], text[80 * 1024];
    http_testbed *host = *state;
    strcpy(body, "{\"tags\":{");
    for (int i = 0; i < BODY_TAGS_MAX; i++)
        sprintf(body + strlen(body), "%s\"%060d\":\"%0250d\"", i > 0 ? "," : "", i, 0);
    strcat(body, "},\"secrets\":{");
    for (int i = 0; i < BODY_SECRETS_MAX; i++)
        sprintf(body + strlen(body), "%s\"%060d\":\"%0250d\"", i > 0 ? "," : "", i, 0);
    strcat(body, "},\"aliases\":[");
    for (int i = 0; i < BODY_ALIASES_MAX; i++)
        sprintf(body + strlen(body), "%s\"%0200d@b.example\"", i > 0 ? "," : "", i);
    strcat(body, "]}");
    assert_true(strlen(body) > ring_body_max(&host->to_core) && strlen(body) < HTTP_BODY_TWIN_MAX);
    snprintf(text, sizeof text, "PUT /v1/twins/a@b.example" BED_HEAD "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
    say_all(host, text, strlen(text));
    bed_later(host, HTTP_HELD_MS + HTTP_HELD_LOOK_MS); /* refusals wait a little */
    bed_assert_heard(host, "HTTP/1.1 503 ");
    assert_int_equal(bed_asked(host, MESSAGE_API), 0);
}

/* Each resource has a reader of its own kind of body. */
static void each_body_is_read_by_its_own_reader(void **state)
{
    static const struct { const char *line, *body; int status; const char *word; } all[] = {
        { "PUT /v1/twins/a@b.example", "{\"x\":1}", 422, "x is not a member" },
        { "PUT /v1/twins/a@b.example/properties/p", "{}", 422, "value is missing" },
        { "POST /v1/twins/a@b.example/actions/p", "5", 422, "must be an object" },
        { "POST /v1/applications", "{}", 422, "id is missing" },
        { "PATCH /v1/applications/a", "{\"id\":\"a\"}", 422, "id is not a member" },
        { "PUT /v1/groups/g@b.example", "{\"x\":1}", 422, "x is not a member" },
        { "POST /v1/query", "{}", 422, "sql is missing" },
        { "PATCH /v1/images/" SHA, "{}", 422, "budget is missing" },
        { "PUT /v1/stops/code", "{\"reason\":5}", 422, "reason must be" },
        { "POST /v1/traces", "{}", 422, "twin is missing" },
        { "POST /3gpp-nidd/v1/as1/configurations", "{\"externalId\":\"a@b.example\"}", 400, "notificationDestination is missing" },
        { "PATCH /3gpp-nidd/v1/as1/configurations/" ID_16, "{\"duration\":5}", 400, "duration must be" },
        { "POST /3gpp-nidd/v1/as1/configurations/" ID_16 "/downlink-data-deliveries", "{\"externalId\":\"a@b.example\"}", 400, "data is missing" },
        { "PATCH /3gpp-nidd/v1/as1/configurations/" ID_16 "/downlink-data-deliveries/" ID_16, "{\"data\":5}", 400, "data must be" },
        { "PUT /3gpp-nidd/v1/as1/configurations/" ID_16 "/rds-ports/ue1-ef1", "{}", 400, "appId must be" },
        { "POST /3gpp-monitoring-event/v1/as1/subscriptions", "{}", 400, "is missing" },
        { "PATCH /3gpp-monitoring-event/v1/as1/subscriptions/" ID_16, "{}", 400, "array of 1 to 64 operations" },
        { "PUT /3gpp-cp-parameter-provisioning/v1/as1/subscriptions/" ID_16 "/cpSets/a", "5", 400, "must be an object" },
        { "POST /3gpp-ecr-control/v1/query", "5", 400, "must be an object" },
        { "POST /aef-security/v1/check-authentication", "{}", 400, "is missing" },
        { "POST /aef-security/v1/revoke-authorization", "{}", 400, "SecurityNotification" },
        { "POST /capif-security/v1/trustedInvokers/a/delete", "{}", 400, "is missing" },
        { "POST /api-invoker-management/v1/onboardedInvokers", "{}", 400, "is missing" },
        { "PATCH /api-invoker-management/v1/onboardedInvokers/a", "{\"apiInvokerId\":5}", 400, "must be a text" },
        { "PUT /capif-security/v1/trustedInvokers/a", "{}", 400, "1 to 16 rows" },
    };
    char text[1024];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        sprintf(text, "%s" BED_HEAD "Content-Length: %zu\r\n\r\n%s", all[i].line, strlen(all[i].body), all[i].body);
        assert_status(*state, text, all[i].status, all[i].word);
    }
}

/* A duration is over when the host's clock says so, whatever the machine's says. */
static void what_has_to_be_in_the_future_is_judged_by_the_hosts_clock(void **state)
{
    http_testbed *host = *state;
    static const struct { const char *line, *format; } all[] = {
        { "POST /3gpp-nidd/v1/as1/configurations", "{\"externalId\":\"a@b.example\",\"notificationDestination\":\"http://h\",\"duration\":\"%s\"}" },
        { "PATCH /3gpp-network-parameter-configuration/v1/as1/configurations/" ID_16, "{\"validityTime\":\"%s\"}" },
    };
    char body[256], text[1024];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        snprintf(body, sizeof body, all[i].format, "2026-11-22T11:59:59Z");
        sprintf(text, "%s" BED_HEAD "Content-Length: %zu\r\n\r\n%s", all[i].line, strlen(body), body);
        assert_status(host, text, 400, "in the future");
        snprintf(body, sizeof body, all[i].format, "2026-11-22T12:00:01Z");
        sprintf(text, "%s" BED_HEAD "Content-Length: %zu\r\n\r\n%s", all[i].line, strlen(body), body);
        bed_begin_anew(host);
        bed_say(host, text);
        assert_int_not_equal(bed_asked(host, MESSAGE_API), 0);
    }
}

/* ---- too much at once ---- */

/* As if so many were under way, of others. */
static void when_too_many_are_under_way_a_request_is_503(void **state)
{
    http_testbed *host = *state;
    bed_say(host, BED_GET_TWIN);
    uint64_t id = bed_asked(host, MESSAGE_API);
    uint32_t others = HTTP_EXCHANGES_MAX - host->http->under_way;
    host->http->under_way += others;
    bed_say(host, BED_GET_TWIN); /* it waits behind its own */
    assert_int_equal(bed_asked(host, MESSAGE_API), 0);
    host->http->under_way -= others;
    bed_answer(host, id, 200);
    bed_answer(host, bed_asked(host, MESSAGE_API), 200);
    bed_hear(host);
    assert_int_equal(times(host->text, "HTTP/1.1 200 "), 2);
    host->http->under_way += HTTP_EXCHANGES_MAX;
    host->length = 0;
    bed_say(host, BED_GET_TWIN);
    bed_assert_heard(host, "HTTP/1.1 503 ");
    host->http->under_way -= HTTP_EXCHANGES_MAX;
    bed_begin_anew(host);
    host->http->under_way += HTTP_EXCHANGES_ALL; /* not even a refusal has a place */
    bed_say(host, BED_GET_TWIN);
    bed_hear(host);
    assert_int_equal(host->length, 0);
    assert_int_equal(host->http->connection_count, 0);
    bed_connect(host);
    bed_say(host, "BREW / HTTP/1.1\r\n\r\n");
    assert_int_equal(host->http->connection_count, 0);
    host->http->under_way -= HTTP_EXCHANGES_ALL;
    assert_int_equal(host->http->under_way, 0);
}

static void no_request_is_read_while_too_much_waits_to_be_written(void **state)
{
    enum { BYTES = 100 * 1024 };
    static char body[BYTES + 1];
    http_testbed *host = *state;
    int asked = 0, small = 4096;
    memset(body, 'x', BYTES);
    setsockopt(host->client, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    for (int i = 0; i < 12; i++) {
        bed_say(host, BED_GET_TWIN);
        uint64_t id = bed_asked(host, MESSAGE_API);
        if (id != 0)
            bed_answer_with(host, id, CONTENT_JSON, body);
        asked += id != 0;
    }
    assert_in_range(asked, 3, 6); /* 256 KiB, and what the socket took */
    for (int piece = 0; piece < 4; piece++) { /* little is taken: it is still too much */
        ssize_t got = recv(host->client, host->text, 4096, MSG_DONTWAIT);
        assert_true(got > 0);
        bed_turn(host);
    }
    assert_int_equal(bed_asked(host, MESSAGE_API), 0);
    for (int turn = 0; turn < 2000 && asked < 9; turn++) {
        bed_hear(host); /* it reads */
        host->length = 0;
        bed_turn(host);
        uint64_t id = bed_asked(host, MESSAGE_API);
        if (id != 0)
            bed_answer_with(host, id, CONTENT_JSON, body);
        asked += id != 0;
    }
    assert_int_equal(asked, 9);
}

static void one_backup_is_taken_at_a_time(void **state)
{
    http_testbed *host = *state;
    bed_say(host, "GET /v1/backup" BED_HEAD "\r\n");
    int first = host->client;
    bed_connect(host);
    bed_say(host, "GET /v1/backup" BED_HEAD "\r\n");
    bed_assert_heard(host, "HTTP/1.1 409 ");
    close(first);
}

static void so_many_long_lists_are_made_at_a_time(void **state)
{
    http_testbed *host = *state;
    int clients[HTTP_FANS_MAX];
    for (int i = 0; i < HTTP_FANS_MAX; i++) {
        bed_say(host, "GET /3gpp-nidd/v1/as1/configurations" BED_HEAD "\r\n");
        clients[i] = host->client;
        bed_connect(host);
    }
    bed_say(host, "GET /3gpp-nidd/v1/as1/configurations" BED_HEAD "\r\n");
    bed_assert_heard(host, "HTTP/1.1 503 ");
    for (int i = 0; i < HTTP_FANS_MAX; i++)
        close(clients[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_set_up, bed_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_no_request_of_http_1_1_is_refused),
        TEST(heads_have_bounds),
        TEST(a_head_may_come_in_any_pieces),
        TEST(chunks_are_put_together_and_trailers_passed_over),
        TEST(a_field_of_which_two_are_too_many),
        TEST(tokens_are_read_as_rfc_6750_writes_them),
        TEST(a_token_without_the_scope_is_403),
        TEST(a_token_for_once_is_good_for_a_session_only),
        TEST(nothing_is_refused_before_tokens_are_known),
        TEST(a_body_that_breaks_behind_its_refusal_ends_the_connection),
        TEST(who_waits_behind_others_is_not_asked_for_a_body),
        TEST(who_asks_for_a_token_shows_himself),
        TEST(an_application_that_asks_too_often_waits),
        TEST(of_a_foreign_twin_nothing_is_told),
        TEST(what_a_refused_request_brings_is_read_to_a_bound),
        TEST(who_waits_to_be_asked_for_a_body_is_asked),
        TEST(a_body_that_the_ring_has_no_room_for_is_503),
        TEST(each_body_is_read_by_its_own_reader),
        TEST(what_has_to_be_in_the_future_is_judged_by_the_hosts_clock),
        TEST(when_too_many_are_under_way_a_request_is_503),
        TEST(no_request_is_read_while_too_much_waits_to_be_written),
        TEST(one_backup_is_taken_at_a_time),
        TEST(so_many_long_lists_are_made_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The HTTP side on fake time, with a scripted core: what happens when somebody is slow, silent or full. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "gate/http_testbed.h"

static void a_silent_core_is_504_after_its_time(void **state)
{
    http_testbed *host = *state;
    bed_say(host, BED_GET_TWIN);
    uint64_t id = bed_asked(host, MESSAGE_API);
    bed_later(host, HTTP_ANSWER_MS - 1000);
    bed_hear(host);
    assert_int_equal(host->length, 0);
    bed_later(host, 2000);
    bed_assert_heard(host, "HTTP/1.1 504 ");
    host->length = 0;
    bed_answer(host, id, 200); /* too late: it belongs to nobody */
    bed_say(host, BED_GET_TWIN);
    assert_false(bed_hear(host));
    assert_int_equal(host->length, 0);
    assert_int_equal(host->http->counts.late, 2);
}

static void a_wait_may_last_as_long_as_was_asked_for(void **state)
{
    http_testbed *host = *state;
    bed_say(host, "PUT /v1/twins/a@b.example/properties/p?wait=reported&timeout=60s HTTP/1.1\r\nHost: h\r\n"
              "Authorization: Bearer abc\r\nContent-Length: 11\r\n\r\n{\"value\":1}");
    uint64_t id = bed_asked(host, MESSAGE_API);
    assert_int_not_equal(id, 0);
    bed_later(host, 61000);
    bed_answer(host, id, 202);
    bed_assert_heard(host, "HTTP/1.1 202 ");
}

static void a_write_that_waits_for_another_costs_nothing_meanwhile(void **state)
{
    http_testbed *host = *state;
    bed_say(host, "POST /v1/logins HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\n\r\n"
              "POST /v1/logins HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\n\r\n" BED_GET_TWIN);
    uint64_t first = bed_asked(host, MESSAGE_API);
    assert_int_equal(bed_asked(host, MESSAGE_API), 0);
    assert_int_equal(http_wait_ms(host->http), -1);
    bed_answer(host, first, 200);
    uint64_t second = bed_asked(host, MESSAGE_API);
    assert_int_not_equal(second, 0);
    assert_int_equal(bed_asked(host, MESSAGE_API), 0);
    bed_answer(host, second, 200);
    assert_int_not_equal(bed_asked(host, MESSAGE_API), 0);
    assert_int_equal(http_wait_ms(host->http), -1);
}

static void a_full_ring_is_503_with_retry_after(void **state)
{
    http_testbed *host = *state;
    while (ring_send(&host->to_core, MESSAGE_PEER, 0, 0, "x", 1))
        ;
    bed_say(host, BED_GET_TWIN);
    bed_later(host, HTTP_HELD_MS - HTTP_HELD_LOOK_MS);
    bed_hear(host);
    assert_int_equal(host->length, 0); /* who asks again at once is not to be refused the faster */
    bed_later(host, 2 * HTTP_HELD_LOOK_MS);
    bed_assert_heard(host, "HTTP/1.1 503 ");
    assert_non_null(strstr(host->text, "\r\nRetry-After: 1\r\n"));
}

static void what_would_wait_too_long_is_refused_or_read_later(void **state)
{
    http_testbed *host = *state;
    patience *core = &host->http->patience[0];
    core->most = 1; /* as while a queue stands */
    bed_say(host, BED_GET_TWIN);
    uint64_t id = bed_asked(host, MESSAGE_API);
    assert_int_equal(core->waiting, 1);
    bed_say(host, BED_GET_TWIN); /* behind its own: not read yet */
    assert_int_equal(host->http->under_way, 1);
    bed_answer(host, id, 200);
    bed_assert_heard(host, "HTTP/1.1 200 ");
    bed_answer(host, bed_asked(host, MESSAGE_API), 200);
    bed_assert_heard(host, "HTTP/1.1 200 ");
    assert_int_equal(core->waiting, 0);
    bed_begin_anew(host);
    core->most = 0;
    bed_say(host, BED_GET_TWIN);
    bed_later(host, HTTP_HELD_MS + HTTP_HELD_LOOK_MS);
    bed_assert_heard(host, "HTTP/1.1 503 ");
}

static void who_leaves_waits_no_more(void **state)
{
    http_testbed *host = *state;
    patience *core = &host->http->patience[0];
    bed_say(host, BED_GET_TWIN);
    bed_asked(host, MESSAGE_API);
    assert_int_equal(core->waiting, 1);
    close(host->client);
    bed_turn(host);
    assert_int_equal(core->waiting, 0);
    bed_connect(host);
    core->most = 0;
    bed_say(host, BED_GET_TWIN);
    close(host->client); /* before it is told */
    bed_later(host, HTTP_HELD_MS + HTTP_HELD_LOOK_MS);
    assert_int_equal(host->http->under_way, 0);
    assert_int_equal(host->http->held.count, 0);
    bed_connect(host);
}

static void an_answer_for_a_client_that_left_is_dropped(void **state)
{
    http_testbed *host = *state;
    bed_say(host, BED_GET_TWIN);
    uint64_t id = bed_asked(host, MESSAGE_API);
    close(host->client);
    bed_turn(host);
    assert_int_equal(host->http->connection_count, 0);
    bed_connect(host);
    bed_say(host, BED_GET_TWIN); /* takes the same place under another generation */
    uint64_t other = bed_asked(host, MESSAGE_API);
    assert_int_not_equal(id, other);
    bed_answer(host, id, 404);
    bed_hear(host);
    assert_int_equal(host->length, 0);
    bed_answer(host, other, 200);
    bed_assert_heard(host, "HTTP/1.1 200 ");
}

static void a_client_that_closed_its_side_is_not_told_of_again(void **state)
{
    http_testbed *host = *state;
    bed_say(host, BED_GET_TWIN);
    shutdown(host->client, SHUT_WR);
    bed_turn(host);
    assert_int_equal(host->http->open->events, 0); /* or the loop would spin on it */
    bed_answer(host, bed_asked(host, MESSAGE_API), 200);
    assert_true(bed_hear(host));
    bed_assert_heard(host, "HTTP/1.1 200 ");
}

static void an_id_nobody_gave_is_dropped(void **state)
{
    http_testbed *host = *state;
    bed_say(host, BED_GET_TWIN);
    uint64_t id = bed_asked(host, MESSAGE_API);
    bed_answer(host, 0, 200);
    bed_answer(host, UINT64_MAX, 200);
    bed_answer(host, id ^ 1ull << 40, 200);
    bed_hear(host);
    assert_int_equal(host->length, 0);
    bed_answer(host, id, 200);
    bed_assert_heard(host, "HTTP/1.1 200 ");
}

static void a_malformed_answer_is_dropped(void **state)
{
    http_testbed *host = *state;
    bed_say(host, BED_GET_TWIN);
    uint64_t id = bed_asked(host, MESSAGE_API);
    api_reply reply = { .status = 200, .body_length = 1 };
    for (uint32_t length = 0; length <= sizeof reply; length++)
        http_on_message(host->http, 0, MESSAGE_API_REPLY, id, &reply, length);
    reply = (api_reply){ .status = 200, .location_length = UINT32_MAX, .body_length = UINT32_MAX };
    http_on_message(host->http, 0, MESSAGE_API_REPLY, id, &reply, sizeof reply);
    reply = (api_reply){ .status = 99 };
    http_on_message(host->http, 0, MESSAGE_API_REPLY, id, &reply, sizeof reply);
    bed_turn(host);
    bed_hear(host);
    assert_int_equal(host->length, 0);
}

static void an_idle_connection_is_closed_without_a_word(void **state)
{
    http_testbed *host = *state;
    bed_later(host, HTTP_IDLE_MS - 1000);
    assert_false(bed_hear(host));
    bed_later(host, 2000);
    assert_true(bed_hear(host));
    assert_int_equal(host->length, 0);
}

static void a_waiting_connection_is_not_idle(void **state)
{
    http_testbed *host = *state;
    for (int i = 0; i < 10; i++) {
        bed_say(host, BED_GET_TWIN);
        uint64_t id = bed_asked(host, MESSAGE_API);
        bed_later(host, HTTP_ANSWER_MS - 1000);
        bed_answer(host, id, 200);
    }
    assert_false(bed_hear(host));
}

static void a_head_that_comes_drop_by_drop_is_408_all_the_same(void **state)
{
    http_testbed *host = *state;
    for (int i = 0; i < 10 && host->length == 0; i++) {
        bed_say(host, i == 0 ? "GET / HTTP/1.1\r\nX: " : "x");
        bed_later(host, HTTP_HEAD_MS / 8);
        bed_hear(host);
    }
    bed_assert_heard(host, "HTTP/1.1 408 ");
    bed_later(host, HTTP_LINGER_MS + 1);
    assert_true(bed_hear(host));
}

static void a_body_that_does_not_come_is_408(void **state)
{
    http_testbed *host = *state;
    bed_say(host,
        "PUT /v1/twins/a@b.example HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\nContent-Length: 5\r\n\r\n{");
    bed_later(host, HTTP_BODY_MS + 1);
    bed_assert_heard(host, "HTTP/1.1 408 ");
}

static void a_client_that_does_not_read_is_closed(void **state)
{
    http_testbed *host = *state;
    for (int i = 0; i < 2000 && block_pool_bytes(&host->http->blocks) < 8 * HTTP_BLOCK_BYTES; i++) {
        ssize_t ignored = send(host->client, BED_GET_TWIN, strlen(BED_GET_TWIN), MSG_NOSIGNAL);
        (void)ignored;
        bed_turn(host);
        for (uint64_t id = bed_asked(host, MESSAGE_API); id != 0; id = bed_asked(host, MESSAGE_API))
            bed_answer(host, id, 200);
    }
    assert_true(block_pool_bytes(&host->http->blocks) >= 2 * HTTP_BLOCK_BYTES);
    bed_later(host, HTTP_WRITE_MS + 1);
    assert_int_equal(host->http->connection_count, 0);
    assert_int_equal(block_pool_bytes(&host->http->blocks), 0);
    assert_int_equal(host->http->counts.refused[REFUSED_SLOW], 1);
}

static void a_stream_gets_a_comment_when_nothing_happens(void **state)
{
    http_testbed *host = *state;
    bed_say(host, "GET /v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\n\r\n");
    uint64_t id = bed_asked(host, MESSAGE_SUBSCRIBE);
    api_reply reply = { .status = 200, .etag = UINT64_MAX };
    http_on_message(host->http, 0, MESSAGE_API_REPLY, id, &reply, sizeof reply);
    bed_turn(host);
    bed_assert_heard(host, "HTTP/1.1 200 ");
    for (int i = 0; i < 20; i++) {
        host->length = 0;
        bed_later(host, HTTP_COMMENT_MS + 1);
        bed_assert_heard(host, ":\n\n");
    }
    close(host->client);
    bed_turn(host);
    assert_int_equal(bed_asked(host, MESSAGE_UNSUBSCRIBE), id);
    bed_connect(host);
}

static void events_are_credited_once_they_are_written(void **state)
{
    http_testbed *host = *state;
    struct {
        stream_event head;
        char text[3];
    } event = { { 1, 1, 1, 0 }, "itd" };
    bed_say(host, "GET /v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\n\r\n");
    uint64_t id = bed_asked(host, MESSAGE_SUBSCRIBE);
    api_reply reply = { .status = 200, .etag = UINT64_MAX };
    http_on_message(host->http, 0, MESSAGE_API_REPLY, id, &reply, sizeof reply);
    bed_turn(host);
    bed_hear(host);
    host->length = 0;
    for (int i = 0; i < STREAM_CREDIT / 2; i++)
        http_on_message(host->http, 0, MESSAGE_STREAM_EVENT, id, &event, sizeof event.head + 3);
    bed_turn(host);
    bed_assert_heard(host, "id: i\nevent: t\ndata: d\n\nid: i\n");
    assert_int_equal(bed_asked(host, MESSAGE_CREDIT), id);
    assert_int_equal(bed_asked(host, MESSAGE_CREDIT), 0);
}

static void a_stream_that_is_not_read_is_closed(void **state)
{
    http_testbed *host = *state;
    static uint8_t event[sizeof(stream_event) + 3 + 8000];
    stream_event head = { 1, 1, 8000, 0 };
    int small = 4096;
    memcpy(event, &head, sizeof head);
    memset(event + sizeof head, 'e', 3 + 8000);
    setsockopt(host->client, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    bed_say(host, "GET /v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\n\r\n");
    uint64_t id = bed_asked(host, MESSAGE_SUBSCRIBE);
    api_reply reply = { .status = 200, .etag = UINT64_MAX };
    http_on_message(host->http, 0, MESSAGE_API_REPLY, id, &reply, sizeof reply);
    for (int i = 0; i < 60 && host->http->open->out.bytes < 100000; i++) { /* what the sockets hold, and more */
        http_on_message(host->http, 0, MESSAGE_STREAM_EVENT, id, event, sizeof head + 2 + 8000);
        bed_turn(host);
    }
    assert_true(host->http->open->out.bytes > 0);
    bed_later(host, HTTP_WRITE_MS + 1);
    assert_int_equal(host->http->connection_count, 0);
    assert_int_equal(host->http->counts.slow_streams, 1);
}

/* Its answer is made and partly written; nothing more comes from it. */
static void a_client_that_closed_its_side_still_gets_all_of_its_answer(void **state)
{
    enum { BYTES = 120 * 1024 };
    static char body[BYTES + 1];
    http_testbed *host = *state;
    int small = 4096;
    memset(body, 'x', BYTES);
    setsockopt(host->client, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    for (int i = 0; i < 3; i++) {
        bed_say(host, BED_GET_TWIN);
        bed_answer_with(host, bed_asked(host, MESSAGE_API), CONTENT_JSON, body);
    }
    shutdown(host->client, SHUT_WR);
    size_t heard = 0;
    bool is_closed = false;
    for (int turn = 0; turn < 2000 && !is_closed; turn++) {
        bed_turn(host);
        is_closed = bed_hear(host);
        heard += host->length;
        host->length = 0;
    }
    assert_true(is_closed);
    assert_true(heard > 3 * BYTES);
}

/* What was there before the end is handled, also what is refused; then there is nobody to wait for. */
static void requests_in_front_of_the_end_are_answered_and_refused(void **state)
{
    http_testbed *host = *state;
    bed_say(host, "POST /v1/logins HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\n\r\n"
                  "PUT /v1/nothing HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    uint64_t id = bed_asked(host, MESSAGE_API);
    shutdown(host->client, SHUT_WR);
    bed_turn(host);
    bed_answer(host, id, 200);
    assert_true(bed_hear(host)); /* at once */
    bed_assert_heard(host, "HTTP/1.1 200 ");
    assert_non_null(strstr(host->text, "HTTP/1.1 404 "));
}

static void who_does_not_read_an_answer_is_closed_with_what_he_asked_since(void **state)
{
    enum { BYTES = 120 * 1024 };
    static char body[BYTES + 1];
    http_testbed *host = *state;
    int small = 4096;
    memset(body, 'x', BYTES);
    setsockopt(host->client, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    for (int i = 0; i < 20 && (host->http->open->out.bytes == 0 || i == 0); i++) {
        bed_say(host, BED_GET_TWIN);
        bed_answer_with(host, bed_asked(host, MESSAGE_API), CONTENT_JSON, body);
    }
    assert_true(host->http->open->out.bytes > 0);
    bed_say(host, BED_GET_TWIN);
    assert_int_not_equal(bed_asked(host, MESSAGE_API), 0);
    bed_later(host, HTTP_WRITE_MS + 1);
    assert_int_equal(host->http->connection_count, 0);
    assert_int_equal(host->http->under_way, 0);
    assert_int_equal(host->http->counts.slow_streams, 0);
}

/* ---- websockets ---- */

/* RFC 6455 1.3: the key of its example; 5.7: a masked Ping with "Hello" and the Pong to it. */
#define WEBSOCKET "GET /3gpp-nidd/v1/as1/configurations/0123456789abcdef/websocket" BED_HEAD "Upgrade: websocket\r\nConnection: Upgrade\r\n" \
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
static const char ping_hello[] = "\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", pong_hello[] = "\x8a\x05Hello";

static uint64_t open_websocket(http_testbed *host, const char *request, size_t length)
{
    api_reply reply = { .status = 200, .etag = UINT64_MAX };
    assert_int_equal(send(host->client, request, length, MSG_NOSIGNAL), length);
    bed_turn(host);
    uint64_t id = bed_asked(host, MESSAGE_API);
    assert_int_not_equal(id, 0);
    bed_hear(host);
    assert_int_equal(host->length, 0);
    http_on_message(host->http, 0, MESSAGE_API_REPLY, id, &reply, sizeof reply);
    bed_turn(host);
    bed_assert_heard(host, "HTTP/1.1 101 Switching Protocols\r\n");
    assert_non_null(strstr(host->text, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    return id;
}

static void a_websocket_is_pinged_and_ends_in_silence(void **state)
{
    http_testbed *host = *state;
    open_websocket(host, WEBSOCKET, sizeof WEBSOCKET - 1);
    for (int i = 0; i < 6; i++) { /* a Pong each time: it goes on beyond the silence that would end it */
        host->length = 0;
        bed_later(host, HTTP_COMMENT_MS + 1);
        bed_hear(host);
        assert_int_equal(host->length, 2);
        assert_memory_equal(host->text, "\x89\x00", 2);
        assert_int_equal(send(host->client, "\x8a\x80\0\0\0\0", 6, MSG_NOSIGNAL), 6);
        bed_turn(host);
    }
    for (int i = 0; i < 4; i++)
        bed_later(host, HTTP_COMMENT_MS + 1);
    assert_true(bed_hear(host));
}

static void frames_behind_a_request_wait_for_its_answer(void **state)
{
    char text[sizeof WEBSOCKET + sizeof ping_hello];
    http_testbed *host = *state;
    memcpy(text, WEBSOCKET, sizeof WEBSOCKET - 1);
    memcpy(text + sizeof WEBSOCKET - 1, ping_hello, sizeof ping_hello - 1);
    open_websocket(host, text, sizeof WEBSOCKET - 1 + sizeof ping_hello - 1);
    bed_hear(host);
    const char *behind = strstr(host->text, "\r\n\r\n") + 4;
    assert_int_equal(host->text + host->length - behind, sizeof pong_hello - 1);
    assert_memory_equal(behind, pong_hello, sizeof pong_hello - 1);
}

static void a_core_is_told_of_a_websocket_that_has_gone(void **state)
{
    http_testbed *host = *state;
    websocket_gone gone;
    uint64_t id = open_websocket(host, WEBSOCKET, sizeof WEBSOCKET - 1);
    shutdown(host->client, SHUT_WR);
    bed_turn(host);
    assert_int_equal(host->http->connection_count, 0);
    assert_int_equal(bed_asked(host, MESSAGE_WEBSOCKET_GONE), id);
    memcpy(&gone, host->body, sizeof gone);
    assert_int_equal(gone.configuration, 0x0123456789abcdef);
    assert_int_equal(host->http->websocket_count, 0);
}

/* ---- ends ---- */

/* After a refusal so much is read in one turn; the rest in the next. */
static void a_flood_behind_a_refusal_is_read_in_turns(void **state)
{
    static char flood[150 * 1024];
    http_testbed *host = *state;
    bed_say(host, "BREW / HTTP/1.1\r\n\r\n");
    bed_assert_heard(host, "HTTP/1.1 501 ");
    ssize_t sent = send(host->client, flood, sizeof flood, MSG_NOSIGNAL);
    assert_true(sent > 16 * 4096);
    loop_turn(host->loop, 0);
    assert_int_equal(host->http->connection_count, 1);
    bed_turn(host);
    bed_later(host, HTTP_LINGER_MS + 1);
    assert_true(bed_hear(host));
}

/* A stranger's next request waits until it has taken the answer to its last. */
static void a_stranger_that_reads_nothing_is_told_nothing_more(void **state)
{
    enum { REQUESTS = 3000 };
    static const char request[] = "GET /v1/twins HTTP/1.1\r\nHost: h\r\n\r\n";
    http_testbed *host = *state;
    int small = 2048;
    size_t answers = 0;
    setsockopt(host->client, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    for (int i = 0; i < REQUESTS; i++) {
        ssize_t ignored = send(host->client, request, sizeof request - 1, MSG_NOSIGNAL);
        (void)ignored;
        bed_turn(host);
        assert_true(host->http->open->out.bytes < HTTP_BLOCK_SMALL);
    }
    for (int turn = 0; turn < 20000 && answers < REQUESTS / 2; turn++) {
        bed_hear(host);
        for (const char *at = host->text; (at = strstr(at, "HTTP/1.1 401 ")) != NULL; at++)
            answers++;
        host->length = 0;
        host->text[0] = '\0';
        bed_turn(host);
    }
    assert_true(answers > 10);
}

static void health_is_503_until_the_core_has_spoken(void **state)
{
    http_testbed *host = *state;
    host->http->is_ready = false;
    bed_say(host, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    bed_assert_heard(host, "HTTP/1.1 503 ");
    bed_let_in(host, false);
    host->length = 0;
    bed_say(host, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    bed_assert_heard(host, "HTTP/1.1 200 ");
}

static void health_says_that_the_disk_is_full(void **state)
{
    http_testbed *host = *state;
    static const char *const words[] = { "\"storage\":\"ok\"", "\"storage\":\"full\"", "\"storage\":\"failed\"", "\"storage\":\"failed\"" };
    bed_let_in(host, false);
    for (uint32_t said = 0; said < 4; said++) { /* the last is none that there is: something is wrong */
        storage_news news = { .state = said };
        http_on_message(host->http, 0, MESSAGE_STORAGE, 0, &news, sizeof news);
        http_on_message(host->http, HTTP_DESK, MESSAGE_STORAGE, 0, &(storage_news){ STORAGE_OK, 0 }, sizeof news); /* none of its business */
        host->length = 0;
        bed_say(host, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
        bed_assert_heard(host, "HTTP/1.1 200 ");
        assert_non_null(strstr(host->text, words[said]));
    }
}

static void health_is_503_while_the_core_answers_nothing(void **state)
{
    http_testbed *host = *state;
    int first = host->client;
    bed_say(host, BED_GET_TWIN);
    bed_later(host, HTTP_SILENT_MS + 1000);
    bed_connect(host);
    bed_say(host, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    bed_assert_heard(host, "HTTP/1.1 503 ");
    bed_answer(host, bed_asked(host, MESSAGE_API), 200);
    host->length = 0;
    bed_say(host, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    bed_assert_heard(host, "HTTP/1.1 200 ");
    close(first);
}

static void metrics_are_told_without_the_core_too(void **state)
{
    http_testbed *host = *state;
    bed_say(host, "GET /metrics HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\n\r\n");
    bed_later(host, HTTP_METRICS_MS + HTTP_SWEEP_MS);
    bed_assert_heard(host, "HTTP/1.1 200 ");
    assert_non_null(strstr(host->text, "dromio_gate_core_answers 0\n"));
}

static void a_bulk_line_the_core_forgot_ends_the_request(void **state)
{
    http_testbed *host = *state;
    bed_say(host, "POST /v1/twins:bulk HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\nContent-Length: 23\r\n\r\n"
              "{\"id\":\"a@b.example\"}\n   ");
    assert_int_not_equal(bed_asked(host, MESSAGE_API), 0);
    bed_later(host, HTTP_ANSWER_MS + HTTP_SWEEP_MS);
    bed_assert_heard(host, "HTTP/1.1 504 ");
}

static void a_bulk_request_waits_for_room_in_the_ring(void **state)
{
    http_testbed *host = *state;
    while (ring_send(&host->to_core, MESSAGE_PEER, 0, 0, "x", 1))
        ;
    bed_say(host, "POST /v1/twins:bulk HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\nContent-Length: 21\r\n\r\n"
              "{\"id\":\"a@b.example\"}\n");
    assert_int_equal(http_wait_ms(host->http), 1); /* a full ring makes no sound when it empties */
    while (bed_asked(host, MESSAGE_PEER) == 0 && !ring_is_empty(&host->core))
        ;
    bed_turn(host);
    uint64_t id = bed_asked(host, MESSAGE_API);
    assert_int_not_equal(id, 0);
    bed_answer(host, id, 201);
    bed_assert_heard(host, "HTTP/1.1 200 ");
    assert_non_null(strstr(host->text, "{\"id\":\"a@b.example\",\"status\":201}"));
}

static void stopping_waits_for_what_is_under_way(void **state)
{
    http_testbed *host = *state;
    bed_say(host, BED_GET_TWIN);
    uint64_t id = bed_asked(host, MESSAGE_API);
    assert_false(http_stop(host->http));
    bed_turn(host);
    assert_false(bed_hear(host));
    bed_answer(host, id, 200);
    assert_true(http_stop(host->http));
    bed_assert_heard(host, "HTTP/1.1 200 ");
    assert_non_null(strstr(host->text, "\r\nConnection: close\r\n"));
    assert_true(bed_hear(host));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_set_up, bed_tear_down)

static void a_connection_gives_back_what_it_took(void **state)
{
    http_testbed *host = *state;
    size_t before = 0;
    for (int n = 0; n < 40; n++) {
        close(host->client);
        bed_turn(host);
        if (n == 20) /* pools and lists have what they will ever have */
            before = mallinfo2().uordblks;
        bed_connect(host);
        host->length = 0;
        bed_say(host, BED_GET_TWIN);
        bed_answer(host, bed_asked(host, MESSAGE_API), 200);
        bed_assert_heard(host, "HTTP/1.1 200 ");
    }
    close(host->client);
    bed_turn(host);
    assert_int_equal(mallinfo2().uordblks, before);
    bed_connect(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_silent_core_is_504_after_its_time),
        TEST(a_wait_may_last_as_long_as_was_asked_for),
        TEST(a_write_that_waits_for_another_costs_nothing_meanwhile),
        TEST(a_full_ring_is_503_with_retry_after),
        TEST(what_would_wait_too_long_is_refused_or_read_later),
        TEST(who_leaves_waits_no_more),
        TEST(an_answer_for_a_client_that_left_is_dropped),
        TEST(a_client_that_closed_its_side_is_not_told_of_again),
        TEST(an_id_nobody_gave_is_dropped),
        TEST(a_malformed_answer_is_dropped),
        TEST(an_idle_connection_is_closed_without_a_word),
        TEST(a_waiting_connection_is_not_idle),
        TEST(a_head_that_comes_drop_by_drop_is_408_all_the_same),
        TEST(a_body_that_does_not_come_is_408),
        TEST(a_client_that_does_not_read_is_closed),
        TEST(a_stream_gets_a_comment_when_nothing_happens),
        TEST(events_are_credited_once_they_are_written),
        TEST(a_stream_that_is_not_read_is_closed),
        TEST(a_client_that_closed_its_side_still_gets_all_of_its_answer),
        TEST(requests_in_front_of_the_end_are_answered_and_refused),
        TEST(who_does_not_read_an_answer_is_closed_with_what_he_asked_since),
        TEST(a_websocket_is_pinged_and_ends_in_silence),
        TEST(frames_behind_a_request_wait_for_its_answer),
        TEST(a_core_is_told_of_a_websocket_that_has_gone),
        TEST(a_flood_behind_a_refusal_is_read_in_turns),
        TEST(a_stranger_that_reads_nothing_is_told_nothing_more),
        TEST(health_is_503_until_the_core_has_spoken),
        TEST(health_says_that_the_disk_is_full),
        TEST(health_is_503_while_the_core_answers_nothing),
        TEST(metrics_are_told_without_the_core_too),
        TEST(a_bulk_line_the_core_forgot_ends_the_request),
        TEST(a_bulk_request_waits_for_room_in_the_ring),
        TEST(a_connection_gives_back_what_it_took),
        TEST(stopping_waits_for_what_is_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

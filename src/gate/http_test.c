/* The HTTP side on fake time, with a scripted core: what happens when somebody is slow, silent or full. */
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

#include "gate/http.h"

enum { RING_BYTES = RING_CAPACITY_MIN, NS_PER_MS = 1000000, TEXT_BYTES = 1 << 20, TURNS = 4 };

#define GET_TWIN "GET /v1/twins/a@acme.example HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\n\r\n"

/* SHA-256 of "abc": FIPS 180-4, appendix B.1. */
static const uint8_t abc[] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                               0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                               0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad };

typedef struct fixture {
    dro_clock_fake clock;
    loop *loop;
    http *http;
    gate_config config;
    ring_writer to_core;
    ring_reader core;
    void *memory;
    int client;
    char text[TEXT_BYTES]; /* what the client read */
    size_t length;
} fixture;

static void let_in(fixture *host, bool is_gone)
{
    credential row = { .scopes = SCOPE_ADMIN, .is_gone = is_gone };
    memcpy(row.token, abc, sizeof abc);
    http_on_message(host->http, 0, MESSAGE_CREDENTIAL, 0, &row, sizeof row);
}

static void connect_client(fixture *host)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    connection_open(host->http, pair[0]);
    host->client = pair[1];
    host->length = 0;
    host->text[0] = '\0';
}

static int set_up(void **state)
{
    fixture *host = calloc(1, sizeof *host);
    *state = host;
    host->memory = aligned_alloc(64, (ring_bytes(RING_BYTES) + 63) & ~(size_t)63);
    if (host->memory == NULL)
        return 1;
    ring_format(host->memory, RING_BYTES);
    ring_writer_open(&host->to_core, host->memory, RING_BYTES, -1);
    ring_reader_open(&host->core, host->memory, RING_BYTES);
    dro_clock_fake_init(&host->clock, 1795348800000);
    host->loop = loop_new(&host->clock.clock);
    host->config = (gate_config){ .core_count = 1,
                                  .to_core = &host->to_core,
                                  .http_listener = eventfd(0, EFD_NONBLOCK),
                                  .clock = &host->clock.clock };
    if (http_new(&host->http, &host->config, host->loop, NULL, NULL) != DRO_OK)
        return 1;
    let_in(host, false);
    connect_client(host);
    return 0;
}

static int tear_down(void **state)
{
    fixture *host = *state;
    http_free(host->http);
    loop_free(host->loop);
    close(host->config.http_listener);
    close(host->client);
    free(host->memory);
    free(host);
    return 0;
}

static void turn(fixture *host)
{
    for (int i = 0; i < TURNS; i++) {
        loop_turn(host->loop, 0);
        http_turn(host->http);
        ring_publish(&host->to_core);
    }
}

static void later(fixture *host, int64_t ms)
{
    dro_clock_fake_advance(&host->clock, ms * NS_PER_MS);
    turn(host);
}

static void say(fixture *host, const char *text)
{
    assert_int_equal(send(host->client, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    turn(host);
}

/* Everything so far; true when the gate closed the connection. */
static bool hear(fixture *host)
{
    for (;;) {
        ssize_t got = recv(host->client, host->text + host->length, TEXT_BYTES - 1 - host->length, MSG_DONTWAIT);
        if (got <= 0)
            return got == 0;
        host->length += (size_t)got;
        host->text[host->length] = '\0';
    }
}

static void assert_heard(fixture *host, const char *start)
{
    hear(host);
    if (strncmp(host->text, start, strlen(start)) != 0)
        fail_msg("heard %.200s", host->text);
}

/* The next message to the core; its id. 0: none. */
static uint64_t asked(fixture *host, uint16_t type)
{
    ring_header header;
    dro_err err;
    if (ring_next(&host->core, &header, &err) == NULL)
        return 0;
    assert_int_equal(header.type, type);
    ring_done(&host->core, &header);
    ring_release(&host->core);
    return header.id;
}

static void answer(fixture *host, uint64_t id, uint16_t status)
{
    struct {
        api_reply reply;
        char body[2];
    } message = { { .status = status, .content = CONTENT_JSON, .etag = UINT64_MAX, .body_length = 2 }, "{}" };
    http_on_message(host->http, 0, MESSAGE_API_REPLY, id, &message, sizeof message);
    turn(host);
}

static void a_silent_core_is_504_after_its_time(void **state)
{
    fixture *host = *state;
    say(host, GET_TWIN);
    uint64_t id = asked(host, MESSAGE_API);
    later(host, HTTP_ANSWER_MS - 1000);
    hear(host);
    assert_int_equal(host->length, 0);
    later(host, 2000);
    assert_heard(host, "HTTP/1.1 504 ");
    host->length = 0;
    answer(host, id, 200); /* too late: it belongs to nobody */
    say(host, GET_TWIN);
    assert_false(hear(host));
    assert_int_equal(host->length, 0);
    assert_int_equal(host->http->counts.late, 2);
}

static void a_wait_may_last_as_long_as_was_asked_for(void **state)
{
    fixture *host = *state;
    say(host, "PUT /v1/twins/a@b.example/properties/p?wait=reported&timeout=60s HTTP/1.1\r\nHost: h\r\n"
              "Authorization: Bearer abc\r\nContent-Length: 11\r\n\r\n{\"value\":1}");
    uint64_t id = asked(host, MESSAGE_API);
    assert_int_not_equal(id, 0);
    later(host, 61000);
    answer(host, id, 202);
    assert_heard(host, "HTTP/1.1 202 ");
}

static void a_write_that_waits_for_another_costs_nothing_meanwhile(void **state)
{
    fixture *host = *state;
    say(host, "POST /v1/logins HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\n\r\n"
              "POST /v1/logins HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\n\r\n" GET_TWIN);
    uint64_t first = asked(host, MESSAGE_API);
    assert_int_equal(asked(host, MESSAGE_API), 0);
    assert_int_equal(http_wait_ms(host->http), -1);
    answer(host, first, 200);
    uint64_t second = asked(host, MESSAGE_API);
    assert_int_not_equal(second, 0);
    assert_int_equal(asked(host, MESSAGE_API), 0);
    answer(host, second, 200);
    assert_int_not_equal(asked(host, MESSAGE_API), 0);
    assert_int_equal(http_wait_ms(host->http), -1);
}

static void a_full_ring_is_503_with_retry_after(void **state)
{
    fixture *host = *state;
    while (ring_send(&host->to_core, MESSAGE_PEER, 0, 0, abc, sizeof abc))
        ;
    say(host, GET_TWIN);
    assert_heard(host, "HTTP/1.1 503 ");
    assert_non_null(strstr(host->text, "\r\nRetry-After: 1\r\n"));
}

static void an_answer_for_a_client_that_left_is_dropped(void **state)
{
    fixture *host = *state;
    say(host, GET_TWIN);
    uint64_t id = asked(host, MESSAGE_API);
    close(host->client);
    turn(host);
    assert_int_equal(host->http->connection_count, 0);
    connect_client(host);
    say(host, GET_TWIN); /* takes the same place under another generation */
    uint64_t other = asked(host, MESSAGE_API);
    assert_int_not_equal(id, other);
    answer(host, id, 404);
    hear(host);
    assert_int_equal(host->length, 0);
    answer(host, other, 200);
    assert_heard(host, "HTTP/1.1 200 ");
}

static void a_client_that_closed_its_side_is_not_told_of_again(void **state)
{
    fixture *host = *state;
    say(host, GET_TWIN);
    shutdown(host->client, SHUT_WR);
    turn(host);
    assert_int_equal(host->http->open->events, 0); /* or the loop would spin on it */
    answer(host, asked(host, MESSAGE_API), 200);
    assert_true(hear(host));
    assert_heard(host, "HTTP/1.1 200 ");
}

static void an_id_nobody_gave_is_dropped(void **state)
{
    fixture *host = *state;
    say(host, GET_TWIN);
    uint64_t id = asked(host, MESSAGE_API);
    answer(host, 0, 200);
    answer(host, UINT64_MAX, 200);
    answer(host, id ^ 1ull << 40, 200);
    hear(host);
    assert_int_equal(host->length, 0);
    answer(host, id, 200);
    assert_heard(host, "HTTP/1.1 200 ");
}

static void a_malformed_answer_is_dropped(void **state)
{
    fixture *host = *state;
    say(host, GET_TWIN);
    uint64_t id = asked(host, MESSAGE_API);
    api_reply reply = { .status = 200, .body_length = 1 };
    for (uint32_t length = 0; length <= sizeof reply; length++)
        http_on_message(host->http, 0, MESSAGE_API_REPLY, id, &reply, length);
    reply = (api_reply){ .status = 200, .location_length = UINT32_MAX, .body_length = UINT32_MAX };
    http_on_message(host->http, 0, MESSAGE_API_REPLY, id, &reply, sizeof reply);
    reply = (api_reply){ .status = 99 };
    http_on_message(host->http, 0, MESSAGE_API_REPLY, id, &reply, sizeof reply);
    turn(host);
    hear(host);
    assert_int_equal(host->length, 0);
}

static void an_idle_connection_is_closed_without_a_word(void **state)
{
    fixture *host = *state;
    later(host, HTTP_IDLE_MS - 1000);
    assert_false(hear(host));
    later(host, 2000);
    assert_true(hear(host));
    assert_int_equal(host->length, 0);
}

static void a_waiting_connection_is_not_idle(void **state)
{
    fixture *host = *state;
    for (int i = 0; i < 10; i++) {
        say(host, GET_TWIN);
        uint64_t id = asked(host, MESSAGE_API);
        later(host, HTTP_ANSWER_MS - 1000);
        answer(host, id, 200);
    }
    assert_false(hear(host));
}

static void a_head_that_comes_drop_by_drop_is_408_all_the_same(void **state)
{
    fixture *host = *state;
    for (int i = 0; i < 10 && host->length == 0; i++) {
        say(host, i == 0 ? "GET / HTTP/1.1\r\nX: " : "x");
        later(host, HTTP_HEAD_MS / 8);
        hear(host);
    }
    assert_heard(host, "HTTP/1.1 408 ");
    later(host, HTTP_LINGER_MS + 1);
    assert_true(hear(host));
}

static void a_body_that_does_not_come_is_408(void **state)
{
    fixture *host = *state;
    say(host,
        "PUT /v1/twins/a@b.example HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\nContent-Length: 5\r\n\r\n{");
    later(host, HTTP_BODY_MS + 1);
    assert_heard(host, "HTTP/1.1 408 ");
}

static void a_client_that_does_not_read_is_closed(void **state)
{
    fixture *host = *state;
    for (int i = 0; i < 2000 && block_pool_bytes(&host->http->blocks) < 8 * HTTP_BLOCK_BYTES; i++) {
        ssize_t ignored = send(host->client, GET_TWIN, strlen(GET_TWIN), MSG_NOSIGNAL);
        (void)ignored;
        turn(host);
        for (uint64_t id = asked(host, MESSAGE_API); id != 0; id = asked(host, MESSAGE_API))
            answer(host, id, 200);
    }
    assert_true(block_pool_bytes(&host->http->blocks) >= 2 * HTTP_BLOCK_BYTES);
    later(host, HTTP_WRITE_MS + 1);
    assert_int_equal(host->http->connection_count, 0);
    assert_int_equal(block_pool_bytes(&host->http->blocks), 0);
    assert_int_equal(host->http->counts.refused[REFUSED_SLOW], 1);
}

static void a_stream_gets_a_comment_when_nothing_happens(void **state)
{
    fixture *host = *state;
    say(host, "GET /v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\n\r\n");
    uint64_t id = asked(host, MESSAGE_SUBSCRIBE);
    api_reply reply = { .status = 200, .etag = UINT64_MAX };
    http_on_message(host->http, 0, MESSAGE_API_REPLY, id, &reply, sizeof reply);
    turn(host);
    assert_heard(host, "HTTP/1.1 200 ");
    for (int i = 0; i < 20; i++) {
        host->length = 0;
        later(host, HTTP_COMMENT_MS + 1);
        assert_heard(host, ":\n\n");
    }
    close(host->client);
    turn(host);
    assert_int_equal(asked(host, MESSAGE_UNSUBSCRIBE), id);
    connect_client(host);
}

static void events_are_credited_once_they_are_written(void **state)
{
    fixture *host = *state;
    struct {
        stream_event head;
        char text[3];
    } event = { { 1, 1, 1, 0 }, "itd" };
    say(host, "GET /v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\n\r\n");
    uint64_t id = asked(host, MESSAGE_SUBSCRIBE);
    api_reply reply = { .status = 200, .etag = UINT64_MAX };
    http_on_message(host->http, 0, MESSAGE_API_REPLY, id, &reply, sizeof reply);
    turn(host);
    hear(host);
    host->length = 0;
    for (int i = 0; i < STREAM_CREDIT / 2; i++)
        http_on_message(host->http, 0, MESSAGE_STREAM_EVENT, id, &event, sizeof event.head + 3);
    turn(host);
    assert_heard(host, "id: i\nevent: t\ndata: d\n\nid: i\n");
    assert_int_equal(asked(host, MESSAGE_CREDIT), id);
    assert_int_equal(asked(host, MESSAGE_CREDIT), 0);
}

static void health_is_503_until_the_core_has_spoken(void **state)
{
    fixture *host = *state;
    host->http->is_ready = false;
    say(host, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_heard(host, "HTTP/1.1 503 ");
    let_in(host, false);
    host->length = 0;
    say(host, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_heard(host, "HTTP/1.1 200 ");
}

static void health_says_that_the_disk_is_full(void **state)
{
    fixture *host = *state;
    static const char *const words[] = { "\"storage\":\"ok\"", "\"storage\":\"full\"", "\"storage\":\"failed\"", "\"storage\":\"failed\"" };
    let_in(host, false);
    for (uint32_t said = 0; said < 4; said++) { /* the last is none that there is: something is wrong */
        storage_news news = { .state = said };
        http_on_message(host->http, 0, MESSAGE_STORAGE, 0, &news, sizeof news);
        http_on_message(host->http, HTTP_DESK, MESSAGE_STORAGE, 0, &(storage_news){ STORAGE_OK, 0 }, sizeof news); /* none of its business */
        host->length = 0;
        say(host, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_heard(host, "HTTP/1.1 200 ");
        assert_non_null(strstr(host->text, words[said]));
    }
}

static void health_is_503_while_the_core_answers_nothing(void **state)
{
    fixture *host = *state;
    int first = host->client;
    say(host, GET_TWIN);
    later(host, HTTP_SILENT_MS + 1000);
    connect_client(host);
    say(host, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_heard(host, "HTTP/1.1 503 ");
    answer(host, asked(host, MESSAGE_API), 200);
    host->length = 0;
    say(host, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_heard(host, "HTTP/1.1 200 ");
    close(first);
}

static void metrics_are_told_without_the_core_too(void **state)
{
    fixture *host = *state;
    say(host, "GET /metrics HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\n\r\n");
    later(host, HTTP_METRICS_MS + HTTP_SWEEP_MS);
    assert_heard(host, "HTTP/1.1 200 ");
    assert_non_null(strstr(host->text, "dromio_gate_core_answers 0\n"));
}

static void a_bulk_line_the_core_forgot_ends_the_request(void **state)
{
    fixture *host = *state;
    say(host, "POST /v1/twins:bulk HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\nContent-Length: 23\r\n\r\n"
              "{\"id\":\"a@b.example\"}\n   ");
    assert_int_not_equal(asked(host, MESSAGE_API), 0);
    later(host, HTTP_ANSWER_MS + HTTP_SWEEP_MS);
    assert_heard(host, "HTTP/1.1 504 ");
}

static void a_bulk_request_waits_for_room_in_the_ring(void **state)
{
    fixture *host = *state;
    while (ring_send(&host->to_core, MESSAGE_PEER, 0, 0, abc, sizeof abc))
        ;
    say(host, "POST /v1/twins:bulk HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\nContent-Length: 21\r\n\r\n"
              "{\"id\":\"a@b.example\"}\n");
    assert_int_equal(http_wait_ms(host->http), 1); /* a full ring makes no sound when it empties */
    while (asked(host, MESSAGE_PEER) == 0 && !ring_is_empty(&host->core))
        ;
    turn(host);
    uint64_t id = asked(host, MESSAGE_API);
    assert_int_not_equal(id, 0);
    answer(host, id, 201);
    assert_heard(host, "HTTP/1.1 200 ");
    assert_non_null(strstr(host->text, "{\"id\":\"a@b.example\",\"status\":201}"));
}

static void stopping_waits_for_what_is_under_way(void **state)
{
    fixture *host = *state;
    say(host, GET_TWIN);
    uint64_t id = asked(host, MESSAGE_API);
    assert_false(http_stop(host->http));
    turn(host);
    assert_false(hear(host));
    answer(host, id, 200);
    assert_true(http_stop(host->http));
    assert_heard(host, "HTTP/1.1 200 ");
    assert_non_null(strstr(host->text, "\r\nConnection: close\r\n"));
    assert_true(hear(host));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_silent_core_is_504_after_its_time),
        TEST(a_wait_may_last_as_long_as_was_asked_for),
        TEST(a_write_that_waits_for_another_costs_nothing_meanwhile),
        TEST(a_full_ring_is_503_with_retry_after),
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
        TEST(health_is_503_until_the_core_has_spoken),
        TEST(health_says_that_the_disk_is_full),
        TEST(health_is_503_while_the_core_answers_nothing),
        TEST(metrics_are_told_without_the_core_too),
        TEST(a_bulk_line_the_core_forgot_ends_the_request),
        TEST(a_bulk_request_waits_for_room_in_the_ring),
        TEST(stopping_waits_for_what_is_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Queries: a barrier of the core, then the desk, with what the caller may see; and what happens when either has no room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gate/http_testbed.h"
#include "gate/parts.h"

static void ask(http_testbed *host, const char *sql)
{
    static char text[2 * HTTP_SQL_MAX];
    snprintf(text, sizeof text, "POST /v1/query" BED_HEAD "Content-Length: %zu\r\n\r\n{\"sql\":\"%s\"}", strlen(sql) + 10, sql);
    size_t length = strlen(text), sent = 0;
    while (sent < length) { /* more than a socket takes at once */
        ssize_t part = write(host->client, text + sent, length - sent);
        assert_true(part > 0);
        sent += (size_t)part;
    }
    for (size_t read = 0; read <= length; read += HTTP_BLOCK_BYTES)
        bed_turn(host);
}

static void fill(ring_writer *ring)
{
    while (ring_send(ring, MESSAGE_PEER, 0, 0, "x", 1))
        ;
    ring_publish(ring);
}

static void the_desk_is_asked_once_all_before_is_visible(void **state)
{
    http_testbed *host = *state;
    query_request head;
    bed_let_application_in(host, "as1", SCOPE_READ, "acme.example");
    ask(host, "select 1");
    uint64_t id = bed_asked(host, MESSAGE_API);
    assert_int_not_equal(id, 0);
    assert_int_equal(bed_asked_desk(host), 0); /* not yet */
    bed_answer(host, id, 200);
    assert_int_not_equal(bed_asked_desk(host), 0);
    memcpy(&head, host->body, sizeof head);
    assert_false(head.all_domains);
    assert_int_equal(head.domains_length, 13);
    assert_memory_equal(host->body + sizeof head, "acme.example", 13);
    assert_int_equal(head.sql_length, 8);
    assert_memory_equal(host->body + sizeof head + 13, "select 1", 8);
}

static void the_administrator_sees_all_domains(void **state)
{
    http_testbed *host = *state;
    query_request head;
    ask(host, "select 1");
    bed_answer(host, bed_asked(host, MESSAGE_API), 200);
    assert_int_not_equal(bed_asked_desk(host), 0);
    memcpy(&head, host->body, sizeof head);
    assert_true(head.all_domains);
    assert_int_equal(head.domains_length, 0);
}

/* Whose places are given back when they leave. */
static void so_many_queries_are_under_way_at_most(void **state)
{
    http_testbed *host = *state;
    int clients[HTTP_QUERIES_MAX];
    for (int i = 0; i < HTTP_QUERIES_MAX; i++) {
        ask(host, "select 1");
        assert_int_not_equal(bed_asked(host, MESSAGE_API), 0);
        clients[i] = host->client;
        bed_connect(host);
    }
    ask(host, "select 1");
    bed_assert_heard(host, "HTTP/1.1 503 ");
    assert_non_null(strstr(host->text, "\r\nRetry-After: 1\r\n"));
    assert_int_equal(bed_asked(host, MESSAGE_API), 0);
    for (int i = 0; i < HTTP_QUERIES_MAX; i++)
        close(clients[i]);
    bed_turn(host);
    assert_int_equal(host->http->query_count, 0);
    bed_begin_anew(host);
    ask(host, "select 1");
    assert_int_not_equal(bed_asked(host, MESSAGE_API), 0);
}

static void a_core_without_room_is_503(void **state)
{
    http_testbed *host = *state;
    fill(&host->to_core);
    ask(host, "select 1");
    bed_assert_heard(host, "HTTP/1.1 503 ");
    assert_int_equal(host->http->query_count, 0);
}

static void a_desk_without_room_is_503(void **state)
{
    http_testbed *host = *state;
    ask(host, "select 1");
    fill(&host->to_desk);
    bed_answer(host, bed_asked(host, MESSAGE_API), 200);
    bed_assert_heard(host, "HTTP/1.1 503 ");
    assert_non_null(strstr(host->text, "the desk has too many queries"));
    assert_int_equal(host->http->query_count, 0);
}

/* 64 KiB of SQL, and more than the desk's ring takes as one message here. */
static void a_query_that_the_desks_ring_has_no_room_for_is_503(void **state)
{
    static char sql[HTTP_SQL_MAX + 1];
    http_testbed *host = *state;
    memset(sql, 'x', HTTP_SQL_MAX);
    assert_true(ring_body_max(&host->to_desk) < HTTP_SQL_MAX);
    ask(host, sql);
    bed_answer(host, bed_asked(host, MESSAGE_API), 200);
    bed_assert_heard(host, "HTTP/1.1 503 ");
    assert_int_equal(bed_asked_desk(host), 0);
}

static void a_gate_without_a_desk_says_so(void **state)
{
    http_testbed *host = *state;
    host->config.to_desk = NULL;
    ask(host, "select 1");
    bed_answer(host, bed_asked(host, MESSAGE_API), 200);
    bed_assert_heard(host, "HTTP/1.1 503 ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_set_up, bed_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_desk_is_asked_once_all_before_is_visible),
        TEST(the_administrator_sees_all_domains),
        TEST(so_many_queries_are_under_way_at_most),
        TEST(a_core_without_room_is_503),
        TEST(a_desk_without_room_is_503),
        TEST(a_query_that_the_desks_ring_has_no_room_for_is_503),
        TEST(a_gate_without_a_desk_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What strangers make a gate hold: numbers of connections, bytes of buffers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "gate/http_testbed.h"

#define REQUEST "GET /v1/twins HTTP/1.1\r\nHost: h\r\n\r\n"
#define PAGE_REQUEST "GET /console/page.js HTTP/1.1\r\nHost: h\r\n\r\n"

enum { PAGE_BYTES = 600 * 1024 }; /* more than a socket takes */

static size_t size_of(enum block_size size)
{
    return sizeof(block) + (size == BLOCK_SMALL ? HTTP_BLOCK_SMALL : HTTP_BLOCK_BYTES);
}

static bool is_closed(int client)
{
    char byte;
    return recv(client, &byte, sizeof byte, MSG_DONTWAIT) == 0;
}

/* Of those that hold half a long head the oldest goes for another, whoever holds less stays. */
static void of_those_that_hold_more_than_the_least_there_are_so_many(void **state)
{
    enum { MORE = 3, COUNT = HTTP_HEAVY_MAX + MORE };
    static char head[2 * HTTP_BLOCK_SMALL] = "GET /v1/twins HTTP/1.1\r\nHost: h\r\nX-A: ";
    http_testbed *host = *state;
    int clients[COUNT], light = host->client;
    memset(head + strlen(head), 'a', sizeof head - strlen(head) - 1);
    bed_say(host, "GET /v1/twins HTTP/1.1\r\nX-A: "); /* the oldest of all */
    for (int i = 0; i < COUNT; i++) {
        bed_connect(host);
        clients[i] = host->client;
        bed_say(host, head);
        assert_int_equal(host->http->lists[LIST_HEAVY].count, i < HTTP_HEAVY_MAX ? i + 1 : HTTP_HEAVY_MAX);
    }
    assert_int_equal(host->http->counts.evicted, MORE);
    assert_int_equal(host->http->connection_count, 1 + HTTP_HEAVY_MAX);
    assert_int_equal(block_pool_bytes(&host->http->blocks), size_of(BLOCK_SMALL) + HTTP_HEAVY_MAX * size_of(BLOCK_LARGE));
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(is_closed(clients[i]), i < MORE);
        close(clients[i]);
    }
    assert_false(is_closed(light));
    host->client = light;
    bed_turn(host);
    assert_int_equal(host->http->lists[LIST_HEAVY].count, 0);
    assert_int_equal(block_pool_bytes(&host->http->blocks), size_of(BLOCK_SMALL));
}

/* It holds one answer, and what it sent since waits unread. */
static void who_reads_no_refusal_gets_no_other(void **state)
{
    http_testbed *host = *state;
    uint64_t *refused = &host->http->counts.refused[REFUSED_UNAUTHORIZED];
    for (int i = 0; i < 10000 && host->http->open->out.bytes == 0; i++)
        bed_say(host, REQUEST);
    uint64_t before = *refused;
    assert_true(before > 1 && host->http->open->out.bytes > 0);
    assert_int_equal(block_pool_bytes(&host->http->blocks), size_of(BLOCK_SMALL));
    for (int i = 0; i < 50; i++)
        bed_say(host, REQUEST);
    assert_int_equal(*refused, before);
    assert_int_equal(block_pool_bytes(&host->http->blocks), size_of(BLOCK_SMALL) + size_of(BLOCK_LARGE));
    while (host->http->open->out.bytes > 0 || *refused < before + 50) {
        size_t had = host->length;
        bed_hear(host);
        assert_true(host->length > had || host->http->open->out.bytes == 0);
        bed_turn(host);
    }
    assert_int_equal(*refused, before + 50);
    assert_int_equal(block_pool_bytes(&host->http->blocks), 0);
}

static int set_up_with_a_page(void **state)
{
    static char directory[] = "/tmp/dromio-console-XXXXXX", page[PAGE_BYTES];
    char path[sizeof directory + sizeof "/page.js"];
    if (mkdtemp(directory) == NULL)
        return 1;
    memset(page, 'p', sizeof page);
    snprintf(path, sizeof path, "%s/page.js", directory);
    FILE *file = fopen(path, "w");
    bool is_good = file != NULL && fwrite(page, 1, sizeof page, file) == sizeof page;
    is_good = file != NULL && fclose(file) == 0 && is_good;
    http_testbed *host = *state = bed_new();
    host->config.console_directory = directory;
    is_good = is_good && bed_open(host) == 0;
    unlink(path);
    rmdir(directory);
    return is_good ? 0 : 1;
}

/* Files of the console are there once, however many have asked for them and read nothing. */
static void a_page_that_nobody_reads_is_there_once(void **state)
{
    enum { COUNT = 20 };
    http_testbed *host = *state;
    int clients[COUNT];
    for (int i = 0; i < COUNT; i++) {
        clients[i] = host->client;
        bed_say(host, PAGE_REQUEST);
        assert_true(host->http->open->out.bytes > HTTP_BLOCK_BYTES);
        assert_int_equal(block_pool_bytes(&host->http->blocks), 0);
        bed_connect(host);
    }
    assert_int_equal(host->http->lists[LIST_HEAVY].count, 0);
    close(host->client);
    host->client = clients[0];
    bed_turn(host);
    for (size_t had = SIZE_MAX; had != host->length; bed_turn(host)) {
        had = host->length;
        bed_hear(host);
    }
    const char *page = strstr(host->text, "\r\n\r\n");
    assert_non_null(page);
    assert_int_equal(strspn(page + 4, "p"), PAGE_BYTES);
    assert_int_equal(host->text + host->length - (page + 4), PAGE_BYTES);
    for (int i = 1; i < COUNT; i++)
        close(clients[i]);
    bed_turn(host);
    assert_int_equal(host->http->connection_count, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_set_up, bed_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(of_those_that_hold_more_than_the_least_there_are_so_many),
        TEST(who_reads_no_refusal_gets_no_other),
        cmocka_unit_test_setup_teardown(a_page_that_nobody_reads_is_there_once, set_up_with_a_page, bed_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

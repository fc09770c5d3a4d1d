#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/http.h"
#include "bench/sink.h"

typedef struct seen { char bodies[4][SINK_BODY_MAX + 1]; size_t count; } seen;

static void keep(void *owner, const char *body, size_t length)
{
    seen *s = owner;
    if (s->count < 4)
        memcpy(s->bodies[s->count], body, length);
    s->count++;
}

static void each_request_is_answered_and_its_body_shown(void **state)
{
    (void)state;
    static http_text answer;
    static seen came;
    came = (seen){ .count = 0 };
    sink *s = sink_new(&came, keep);
    assert_non_null(s);
    assert_int_equal(http_send(sink_port(s), "POST", "/a", NULL, "application/json", "{\"a\":1}", 7, &answer), 204);
    assert_int_equal(http_send(sink_port(s), "POST", "/b", NULL, "application/json", "{}", 2, &answer), 204);
    assert_int_equal(sink_count(s), 2);
    assert_true(sink_cpu_s(s) > 0);
    sink_free(s);
    assert_int_equal(came.count, 2);
    assert_string_equal(came.bodies[0], "{\"a\":1}");
    assert_string_equal(came.bodies[1], "{}");
}

/* Two in one segment, the third in two. */
static void a_connection_is_kept_for_many(void **state)
{
    (void)state;
    static seen came;
    came = (seen){ .count = 0 };
    static const char two[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none"
                              "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ntwoPOST / HTTP/1.1\r\nHost: a\r\nConte";
    static const char rest[] = "nt-Length: 5\r\n\r\nthree";
    static const char wanted[] = "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    char got[sizeof wanted] = "";
    sink *s = sink_new(&came, keep);
    assert_non_null(s);
    int descriptor = http_connect(sink_port(s));
    assert_true(descriptor >= 0);
    assert_int_equal(send(descriptor, two, sizeof two - 1, 0), sizeof two - 1);
    assert_int_equal(recv(descriptor, got, (sizeof wanted - 1) / 3 * 2, MSG_WAITALL), (sizeof wanted - 1) / 3 * 2);
    assert_int_equal(send(descriptor, rest, sizeof rest - 1, 0), sizeof rest - 1);
    assert_int_equal(recv(descriptor, got + (sizeof wanted - 1) / 3 * 2, (sizeof wanted - 1) / 3, MSG_WAITALL), (sizeof wanted - 1) / 3);
    assert_string_equal(got, wanted);
    close(descriptor);
    sink_free(s);
    assert_int_equal(came.count, 3);
    assert_string_equal(came.bodies[2], "three");
}

static void what_is_no_request_ends_its_connection_only(void **state)
{
    (void)state;
    static http_text answer;
    static seen came;
    char byte;
    came = (seen){ .count = 0 };
    sink *s = sink_new(&came, keep);
    assert_non_null(s);
    int descriptor = http_connect(sink_port(s));
    assert_int_equal(send(descriptor, "what is this\r\n\r\n", 16, 0), 16);
    assert_true(recv(descriptor, &byte, 1, 0) <= 0);
    close(descriptor);
    assert_int_equal(http_send(sink_port(s), "POST", "/", NULL, "application/json", "{}", 2, &answer), 204);
    sink_free(s);
    assert_int_equal(came.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_request_is_answered_and_its_body_shown),
        cmocka_unit_test(a_connection_is_kept_for_many),
        cmocka_unit_test(what_is_no_request_ends_its_connection_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

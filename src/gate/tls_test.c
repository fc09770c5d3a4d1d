/* TLS against a client of OpenSSL's own: what a stranger costs, what is refused, how certificates change. */
#include "gate/tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "gate/certificate_sample.h"
#include "gate/tls_bundle.h"

enum { DAYS = 24 * 3600, TURNS = 100 };

static certificate_sample first, second;
static tls_context *under_test;

static tls_pem pem_of(const char *text)
{
    return (tls_pem){ text, (uint32_t)strlen(text) };
}

static tls_pems pems_of(const char *certificate, const char *key)
{
    return (tls_pems){ .parts = { [TLS_CERTIFICATE] = pem_of(certificate), [TLS_KEY] = pem_of(key) } };
}

static int make_all(void **state)
{
    (void)state;
    certificate_sample_make(&first, 10 * DAYS);
    certificate_sample_make(&second, 20 * DAYS);
    return 0;
}

static int begin(void **state)
{
    tls_pems pems = pems_of(first.certificate, first.key);
    tls_fault fault;
    (void)state;
    return tls_context_new(&under_test, TLS_HTTP, &pems, &fault) == DRO_OK ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    tls_context_free(under_test);
    return 0;
}

/* Of TCP, which keeps bytes back until there are enough of them. */
static void connected(int ends[2])
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(ends[0], (struct sockaddr *)&at, sizeof at), 0);
    setsockopt(ends[0], IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)); /* a small piece goes at once */
    ends[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(ends[1] >= 0);
    close(listener);
}

typedef struct pair { /* a client and a session of ours */
    int ends[2];
    SSL_CTX *client_context;
    SSL *client;
    tls_session session;
    bool was_evicted;
} pair;

static void on_evicted(tls_session *session)
{
    ((pair *)(void *)((char *)session - offsetof(pair, session)))->was_evicted = true;
}

static void pair_open(pair *on)
{
    memset(on, 0, sizeof *on);
    connected(on->ends);
    tls_accept(&on->session, under_test, on->ends[1], on_evicted);
}

static void pair_close(pair *on)
{
    tls_fini(&on->session);
    SSL_free(on->client);
    SSL_CTX_free(on->client_context);
    close(on->ends[0]);
    close(on->ends[1]);
}

/* The client's ClientHello, not sent. */
static size_t hello_of(uint8_t *out, size_t capacity)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *client = SSL_new(context);
    BIO *sent = BIO_new(BIO_s_mem());
    SSL_set_bio(client, BIO_new(BIO_s_mem()), sent);
    assert_true(SSL_connect(client) < 0);
    int length = BIO_read(sent, out, (int)capacity);
    SSL_free(client);
    SSL_CTX_free(context);
    assert_true(length > 0);
    return (size_t)length;
}

static tls_step step_when_ready(pair *on)
{
    int epoll = epoll_create1(0);
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP };
    assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, on->ends[1], &event), 0);
    assert_int_equal(epoll_wait(epoll, &event, 1, 20000), 1);
    close(epoll);
    return tls_handshake(&on->session);
}

/* Both sides in turn until we are through. */
static void shake_hands(pair *on)
{
    on->client_context = SSL_CTX_new(TLS_client_method());
    on->client = SSL_new(on->client_context);
    SSL_set_fd(on->client, on->ends[0]);
    struct timeval short_while = { .tv_usec = 1000 }, long_while = { .tv_sec = 20 };
    setsockopt(on->ends[0], SOL_SOCKET, SO_RCVTIMEO, &short_while, sizeof short_while);
    tls_step step = TLS_AGAIN;
    int client = 0;
    for (int turn = 0; turn < TURNS * 100 && (step == TLS_AGAIN || client != 1); turn++) {
        if (client != 1)
            client = SSL_connect(on->client);
        if (step == TLS_AGAIN)
            step = tls_handshake(&on->session);
    }
    assert_int_equal(step, TLS_DONE);
    assert_int_equal(client, 1);
    setsockopt(on->ends[0], SOL_SOCKET, SO_RCVTIMEO, &long_while, sizeof long_while);
}

/* ---- strangers ---- */

static void every_part_of_a_hello_costs_nothing(void **state)
{
    uint8_t hello[4096];
    size_t length = hello_of(hello, sizeof hello);
    (void)state;
    for (size_t part = 0; part < length; part += part < 12 ? 1 : 37) {
        pair on;
        pair_open(&on);
        assert_int_equal(send(on.ends[0], hello, part, 0), part);
        assert_int_equal(tls_handshake(&on.session), TLS_AGAIN);
        assert_null(on.session.ssl);
        assert_int_equal(tls_events(&on.session), EPOLLIN);
        assert_int_equal(send(on.ends[0], hello + part, length - part, 0), length - part);
        tls_step step;
        while ((step = step_when_ready(&on)) == TLS_AGAIN && on.session.ssl == NULL)
            ;
        assert_int_equal(step, TLS_AGAIN); /* now it is the client's turn */
        assert_non_null(on.session.ssl);
        pair_close(&on);
    }
}

static void half_a_hello_and_the_end_is_a_failure(void **state)
{
    uint8_t hello[4096];
    size_t length = hello_of(hello, sizeof hello);
    (void)state;
    for (size_t part = 0; part < length; part += 61) {
        pair on;
        pair_open(&on);
        assert_int_equal(send(on.ends[0], hello, part, 0), part);
        shutdown(on.ends[0], SHUT_WR);
        tls_step step;
        while ((step = step_when_ready(&on)) == TLS_AGAIN)
            ;
        assert_int_equal(step, TLS_FAILED);
        assert_non_null(on.session.why);
        pair_close(&on);
    }
}

static void what_is_no_hello_is_told_apart(void **state)
{
    static const struct { uint8_t bytes[9]; tls_step expected; } all[] = {
        { "GET / HTT", TLS_PLAIN },
        { { 1, 0, 0, 200, 128, 0, 1, 1, 0 }, TLS_PLAIN },      /* a CER */
        { { 0x80, 46, 1, 3, 1, 0, 0, 0, 0 }, TLS_PLAIN },      /* SSL 2 */
        { { 22, 3, 1, 0, 200, 2, 0, 0, 196 }, TLS_FAILED },    /* a ServerHello */
        { { 22, 3, 1, 0, 3, 1, 0, 0, 0 }, TLS_FAILED },        /* a record shorter than its message's header */
        { { 22, 3, 1, 0x40, 1, 1, 0, 0x3f, 0 }, TLS_FAILED },  /* a record longer than records are */
        { { 22, 3, 1, 0x40, 0, 1, 0, 0x40, 1 }, TLS_FAILED },  /* TLS_HELLO_MAX + 1 */
        { { 22, 3, 1, 0x40, 0, 1, 0, 0x40, 0 }, TLS_AGAIN },   /* TLS_HELLO_MAX */
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        pair on;
        pair_open(&on);
        assert_int_equal(send(on.ends[0], all[i].bytes, sizeof all[i].bytes, 0), sizeof all[i].bytes);
        assert_int_equal(step_when_ready(&on), all[i].expected);
        assert_null(on.session.ssl);
        pair_close(&on);
    }
}

static void the_oldest_handshake_goes_for_a_new_one(void **state)
{
    enum { COUNT = TLS_HANDSHAKES_MAX + 3 };
    uint8_t hello[4096];
    size_t length = hello_of(hello, sizeof hello);
    pair *all = calloc(COUNT, sizeof *all);
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        pair_open(&all[i]);
        assert_int_equal(send(all[i].ends[0], hello, length, 0), length);
        tls_step step;
        while ((step = step_when_ready(&all[i])) == TLS_AGAIN && all[i].session.ssl == NULL)
            ;
        assert_int_equal(step, TLS_AGAIN);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(all[i].was_evicted, i < 3);
        assert_int_equal(all[i].session.ssl == NULL, i < 3);
    }
    assert_int_equal(tls_handshake(&all[0].session), TLS_FAILED);
    for (int i = 0; i < COUNT; i++) /* in an order that takes from the middle too */
        pair_close(&all[i * 11 % COUNT]); /* 11 does not divide COUNT */
    free(all);
}

/* ---- bytes ---- */

static void bytes_go_both_ways(void **state)
{
    pair on;
    char text[64];
    (void)state;
    pair_open(&on);
    shake_hands(&on);
    errno = 0;
    assert_int_equal(tls_receive(&on.session, text, sizeof text), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(SSL_write(on.client, "question", 8), 8);
    assert_int_equal(tls_receive(&on.session, text, 3), 3);
    assert_true(tls_has_more(&on.session)); /* taken from the socket, not yet from us */
    assert_int_equal(tls_receive(&on.session, text + 3, sizeof text - 3), 5);
    assert_memory_equal(text, "question", 8);
    assert_false(tls_has_more(&on.session));
    assert_int_equal(tls_send(&on.session, "answer", 6), 6);
    assert_int_equal(SSL_read(on.client, text, sizeof text), 6);
    tls_end(&on.session);
    assert_int_equal(SSL_read(on.client, text, sizeof text), 0);
    assert_int_equal(SSL_get_error(on.client, 0), SSL_ERROR_ZERO_RETURN);
    SSL_shutdown(on.client);
    assert_int_equal(tls_receive(&on.session, text, sizeof text), 0);
    pair_close(&on);
}

/* Else whoever stops in the middle of a record would keep the loop busy. */
static void half_a_record_is_nothing_more_to_read(void **state)
{
    pair on;
    uint8_t records[256];
    char text[64];
    (void)state;
    pair_open(&on);
    shake_hands(&on);
    BIO *sent = BIO_new(BIO_s_mem());
    SSL_set0_wbio(on.client, sent);
    assert_int_equal(SSL_write(on.client, "first", 5), 5);
    int first_length = BIO_read(sent, records, sizeof records);
    assert_int_equal(SSL_write(on.client, "second", 6), 6);
    int length = first_length + BIO_read(sent, records + first_length, (int)sizeof records - first_length);
    for (int part = 1; part < first_length; part += 4) {
        assert_int_equal(send(on.ends[0], records + part - (part == 1 ? 1 : 4), part == 1 ? 1 : 4, 0), part == 1 ? 1 : 4);
        assert_int_equal(tls_receive(&on.session, text, sizeof text), -1);
        assert_int_equal(errno, EAGAIN);
        assert_false(tls_has_more(&on.session));
    }
    int done = (first_length - 2) / 4 * 4 + 1;
    assert_int_equal(send(on.ends[0], records + done, (size_t)(length - 3 - done), 0), length - 3 - done);
    assert_int_equal(tls_receive(&on.session, text, sizeof text), 5);
    assert_int_equal(tls_receive(&on.session, text, sizeof text), -1);
    assert_false(tls_has_more(&on.session));
    assert_int_equal(send(on.ends[0], records + length - 3, 3, 0), 3);
    assert_int_equal(tls_receive(&on.session, text, sizeof text), 6);
    assert_memory_equal(text, "second", 6);
    pair_close(&on);
}

static void what_the_client_does_not_read_waits(void **state)
{
    static uint8_t bytes[16 * 1024];
    pair on;
    size_t sent = 0;
    ssize_t n;
    (void)state;
    memset(bytes, 'x', sizeof bytes);
    pair_open(&on);
    shake_hands(&on);
    while ((n = tls_send(&on.session, bytes, sizeof bytes)) > 0)
        sent += (size_t)n;
    assert_int_equal(errno, EAGAIN);
    size_t got = 0;
    for (int turn = 0; turn < 100000 && got < sent + sizeof bytes; turn++) {
        int result = SSL_read(on.client, bytes, sizeof bytes);
        got += result > 0 ? (size_t)result : 0;
        if (n < 0)
            n = tls_send(&on.session, bytes, sizeof bytes); /* the one that had to wait, with the same bytes */
    }
    assert_int_equal(got, sent + sizeof bytes);
    pair_close(&on);
}

/* ---- certificates ---- */

static void new_ones_are_for_new_connections(void **state)
{
    tls_pems pems = pems_of(second.certificate, second.key);
    tls_fault fault;
    pair before, after;
    char text[8];
    (void)state;
    int64_t end_before = tls_context_expires_s(under_test);
    pair_open(&before);
    shake_hands(&before);
    assert_int_equal(tls_context_renew(under_test, &pems, &fault), DRO_OK);
    assert_true(llabs(tls_context_expires_s(under_test) - end_before - 10 * DAYS) < 60);
    pair_open(&after);
    shake_hands(&after);
    X509 *shown[] = { SSL_get0_peer_certificate(before.client), SSL_get0_peer_certificate(after.client) };
    assert_int_not_equal(X509_cmp(shown[0], shown[1]), 0);
    assert_int_equal(tls_send(&before.session, "still", 5), 5);
    assert_int_equal(SSL_read(before.client, text, sizeof text), 5);
    pair_close(&before);
    pair_close(&after);
}

static void what_is_wrong_is_told_and_changes_nothing(void **state)
{
    char broken[SAMPLE_PEM_MAX];
    memcpy(broken, first.certificate, sizeof broken);
    memset(broken + 100, '?', 4);
    const struct { const char *certificate, *key, *ca; tls_part part; const char *why; } all[] = {
        { "nothing", first.key, "", TLS_CERTIFICATE, "no certificate" },
        { broken, first.key, "", TLS_CERTIFICATE, "cannot be read" },
        { first.certificate, "nothing", "", TLS_KEY, "no private key" },
        { first.certificate, second.key, "", TLS_KEY, "not the key of the certificate" },
        { first.certificate, first.certificate, "", TLS_KEY, "no private key" },
        { first.certificate, first.key, "nothing", TLS_CA, "no certificate" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        tls_pems pems = pems_of(all[i].certificate, all[i].key);
        tls_fault fault = { 0 };
        int64_t before = tls_context_expires_s(under_test);
        pems.parts[TLS_CA] = pem_of(all[i].ca);
        assert_int_equal(tls_context_renew(under_test, &pems, &fault), DRO_MALFORMED);
        assert_int_equal(fault.part, all[i].part);
        assert_non_null(strstr(fault.why, all[i].why));
        assert_int_equal(tls_context_expires_s(under_test), before);
        assert_false(tls_context_verifies(under_test));
    }
}

static const tls_pem files[CAPIF_FILES] = { [CAPIF_FILES - 1] = { "secret", 6 } };
static const tls_pem sets[TLS_KEY_SETS_MAX] = { [TLS_KEY_SETS_MAX - 1] = { "{\"keys\":[]}", 11 } };

static void a_bundle_gives_back_what_was_put_in(void **state)
{
    tls_pems put[TLS_LISTENERS] = { [TLS_DIAMETER] = pems_of(first.certificate, first.key) };
    tls_bundle bundle;
    (void)state;
    put[TLS_DIAMETER].parts[TLS_CA] = pem_of(second.certificate);
    memset(put[TLS_DIAMETER].ticket_key, 7, TLS_TICKET_KEY_BYTES);
    int file = tls_bundle_file();
    assert_int_equal(tls_bundle_write(file, put, sets, files), DRO_OK);
    assert_int_equal(write(file, "x", 1), -1); /* sealed */
    assert_int_equal(tls_bundle_open(&bundle, file), DRO_OK);
    assert_int_equal(bundle.key_sets[0].length, 0);
    assert_int_equal(bundle.key_sets[TLS_KEY_SETS_MAX - 1].length, 11);
    assert_memory_equal(bundle.key_sets[TLS_KEY_SETS_MAX - 1].bytes, "{\"keys\":[]}", 11);
    assert_int_equal(bundle.capif[CAPIF_CERTIFICATE].length, 0);
    assert_int_equal(bundle.capif[CAPIF_FILES - 1].length, 6);
    assert_memory_equal(bundle.capif[CAPIF_FILES - 1].bytes, "secret", 6);
    close(file);
    for (int part = 0; part < TLS_PARTS; part++) {
        assert_int_equal(bundle.listeners[TLS_HTTP].parts[part].length, 0);
        assert_int_equal(bundle.listeners[TLS_DIAMETER].parts[part].length, put[TLS_DIAMETER].parts[part].length);
        assert_memory_equal(bundle.listeners[TLS_DIAMETER].parts[part].bytes, put[TLS_DIAMETER].parts[part].bytes,
                            put[TLS_DIAMETER].parts[part].length);
    }
    assert_memory_equal(bundle.listeners[TLS_DIAMETER].ticket_key, put[TLS_DIAMETER].ticket_key, TLS_TICKET_KEY_BYTES);
    tls_bundle_close(&bundle);
}

static void every_shorter_bundle_is_refused(void **state)
{
    tls_pems put[TLS_LISTENERS] = { pems_of(first.certificate, first.key) };
    uint8_t bytes[2 * SAMPLE_PEM_MAX];
    tls_bundle bundle;
    (void)state;
    int whole = tls_bundle_file();
    assert_int_equal(tls_bundle_write(whole, put, sets, files), DRO_OK);
    ssize_t length = pread(whole, bytes, sizeof bytes, 0);
    for (ssize_t shorter = 0; shorter < length; shorter++) {
        int file = tls_bundle_file();
        assert_int_equal(write(file, bytes, (size_t)shorter), shorter);
        assert_int_not_equal(tls_bundle_open(&bundle, file), DRO_OK);
        close(file);
    }
    close(whole);
}

int main(void)
{
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        CLAIM(every_part_of_a_hello_costs_nothing), CLAIM(half_a_hello_and_the_end_is_a_failure), CLAIM(what_is_no_hello_is_told_apart),
        CLAIM(the_oldest_handshake_goes_for_a_new_one), CLAIM(bytes_go_both_ways),
        CLAIM(half_a_record_is_nothing_more_to_read), CLAIM(what_the_client_does_not_read_waits),
        CLAIM(new_ones_are_for_new_connections), CLAIM(what_is_wrong_is_told_and_changes_nothing),
        CLAIM(a_bundle_gives_back_what_was_put_in), CLAIM(every_shorter_bundle_is_refused),
    };
    return cmocka_run_group_tests(tests, make_all, NULL);
}

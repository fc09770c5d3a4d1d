/* HTTP over TLS, with a client of OpenSSL's own: what is the same as without, and what only TLS brings. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fields.h"
#include "gate/certificate_sample.h"
#include "gate/http_testbed.h"

enum { DAYS = 24 * 3600, TURNS = 2000, RECORD = 16 * 1024 };

static certificate_sample ours, theirs;
static SSL_CTX *client_context;
static SSL *client;

static int make_certificates(void **state)
{
    (void)state;
    certificate_sample_make(&ours, 10 * DAYS);
    certificate_sample_make(&theirs, 10 * DAYS);
    return 0;
}

static int set_up_with(void **state, const char *authority)
{
    http_testbed *host = bed_new();
    tls_pems pems = { .parts = { [TLS_CERTIFICATE] = { ours.certificate, (uint32_t)strlen(ours.certificate) }, [TLS_KEY] = { ours.key, (uint32_t)strlen(ours.key) },
                                 [TLS_CA] = { authority, (uint32_t)strlen(authority) } },
                      .is_optional = true };
    tls_fault fault;
    *state = host;
    if (tls_context_new(&host->config.tls[TLS_HTTP], TLS_HTTP, &pems, &fault) != DRO_OK || bed_open(host) != 0)
        return 1;
    close(host->client);
    host->client = -1;
    bed_turn(host);
    client_context = SSL_CTX_new(TLS_client_method());
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, "");
}

static int set_up_with_authority(void **state)
{
    return set_up_with(state, theirs.certificate);
}

static void drop_client(http_testbed *host)
{
    SSL_free(client);
    client = NULL;
    if (host->client >= 0)
        close(host->client);
    host->client = -1;
    bed_turn(host);
}

static int tear_down(void **state)
{
    http_testbed *host = *state;
    tls_context *context = host->config.tls[TLS_HTTP];
    drop_client(host);
    SSL_CTX_free(client_context);
    bed_free(host);
    tls_context_free(context);
    return 0;
}

/* TCP, whose receive mark the gate sets. */
static void come(http_testbed *host)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
    host->client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(host->client, (struct sockaddr *)&at, sizeof at), 0);
    setsockopt(host->client, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    connection_open(host->http, accept4(listener, NULL, NULL, SOCK_NONBLOCK));
    close(listener);
    struct timeval short_while = { .tv_usec = 1000 };
    setsockopt(host->client, SOL_SOCKET, SO_RCVTIMEO, &short_while, sizeof short_while);
    host->length = 0;
    host->text[0] = '\0';
}

static void shake_hands(http_testbed *host)
{
    come(host);
    client = SSL_new(client_context);
    SSL_set_fd(client, host->client);
    int done = 0;
    for (int turn = 0; turn < TURNS && done != 1; turn++) {
        done = SSL_connect(client);
        bed_turn(host);
    }
    assert_int_equal(done, 1);
}

static void say(http_testbed *host, const char *text, size_t length)
{
    assert_int_equal(SSL_write(client, text, (int)length), length);
    bed_turn(host);
}

/* Reads until the text holds it so many times. */
static void hear(http_testbed *host, const char *wanted, int count)
{
    for (int turn = 0; turn < TURNS; turn++) {
        int got = SSL_read(client, host->text + host->length, (int)(BED_TEXT_BYTES - 1 - host->length));
        host->length += got > 0 ? (size_t)got : 0;
        host->text[host->length] = '\0';
        int found = 0;
        for (const char *at = host->text; (at = strstr(at, wanted)) != NULL; at++)
            found++;
        if (found >= count)
            return;
        bed_turn(host);
    }
    fail_msg("'%s' not %d times in %.300s", wanted, count, host->text);
}

/* Did the gate close it? */
static bool is_left(http_testbed *host)
{
    for (int turn = 0; turn < TURNS && host->http->connection_count > 0; turn++)
        bed_turn(host);
    return host->http->connection_count == 0;
}

static void a_request_is_answered(void **state)
{
    http_testbed *host = *state;
    shake_hands(host);
    say(host, BED_GET_TWIN, strlen(BED_GET_TWIN));
    bed_answer(host, bed_asked(host, MESSAGE_API), 200);
    hear(host, "HTTP/1.1 200 ", 1);
    assert_int_equal(SSL_shutdown(client), 0);
    assert_true(is_left(host));
}

static void who_speaks_http_without_tls_is_told_so_in_http(void **state)
{
    http_testbed *host = *state;
    come(host);
    bed_say(host, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int turn = 0; turn < TURNS && host->length == 0; turn++) {
        bed_hear(host);
        bed_turn(host);
    }
    bed_assert_heard(host, "HTTP/1.1 400 ");
    assert_non_null(strstr(host->text, "TLS is spoken here: https"));
}

static void a_broken_handshake_ends_the_connection(void **state)
{
    http_testbed *host = *state;
    static const uint8_t server_hello[] = { 22, 3, 1, 0, 200, 2, 0, 0, 196 };
    come(host);
    assert_int_equal(send(host->client, server_hello, sizeof server_hello, 0), sizeof server_hello);
    assert_true(is_left(host));
}

static void a_handshake_that_does_not_come_ends_after_its_time(void **state)
{
    http_testbed *host = *state;
    come(host);
    bed_turn(host);
    bed_later(host, HTTP_HANDSHAKE_MS - 100);
    assert_int_equal(host->http->connection_count, 1);
    bed_later(host, 200);
    assert_int_equal(host->http->connection_count, 0);
    static char text[16 * 1024];
    dro_builder metrics = dro_builder_over(text, sizeof text - 1);
    tls_metrics(host->config.tls, &metrics);
    *metrics.at = '\0';
    assert_non_null(strstr(text, "timeout"));
}

/* A record of 16 KiB is more than there is room for behind half a head: what OpenSSL holds back no event tells of. */
static void no_byte_of_a_record_is_forgotten(void **state)
{
    enum { REQUESTS = 61, EACH = 269 };
    static char text[REQUESTS * EACH + 1];
    http_testbed *host = *state;
    static const char head[] = "GET /v1/twins/a@acme.example" BED_HEAD "X-Padding: ";
    for (int i = 0; i < REQUESTS; i++)
        sprintf(text + strlen(text), "%s%0*d\r\n\r\n", head, (int)(EACH - 4 - strlen(head)), 0);
    size_t length = strlen(text), half = 100;
    assert_true(length - half < RECORD && length > RECORD); /* less room than the record has */
    shake_hands(host);
    say(host, text, half);
    for (size_t at = half; at < length; at += RECORD)
        say(host, text + at, length - at < RECORD ? length - at : RECORD);
    int asked = 0;
    for (int turn = 0; turn < TURNS && asked < REQUESTS; turn++) {
        uint64_t id = bed_asked(host, MESSAGE_API);
        if (id != 0)
            bed_answer(host, id, 200);
        asked += id != 0;
        bed_turn(host);
    }
    assert_int_equal(asked, REQUESTS);
    hear(host, "HTTP/1.1 200 ", REQUESTS);
}

/* The same behind a request that has to wait: a write after a read. */
static void what_waits_behind_a_write_goes_on_with_its_answer(void **state)
{
    static char text[2 * RECORD];
    http_testbed *host = *state;
    shake_hands(host);
    int requests = 0;
    char one[400] = "";
    for (; requests == 0 || strlen(text) + strlen(one) < RECORD + 119; requests++) {
        snprintf(one, sizeof one, "PUT /v1/twins/a@acme.example/properties/p" BED_HEAD "X-Padding: %0100d\r\nContent-Length: 11\r\n\r\n{\"value\":1}", 0);
        strcat(text, one);
    }
    say(host, text, 120);
    say(host, text + 120, strlen(text) - 120);
    for (int i = 0; i < requests; i++) { /* one after the other */
        uint64_t id = bed_asked(host, MESSAGE_API);
        assert_int_not_equal(id, 0);
        assert_int_equal(bed_asked(host, MESSAGE_API), 0);
        bed_answer(host, id, 200);
    }
    hear(host, "HTTP/1.1 200 ", requests);
}

static void a_large_answer_waits_for_a_client_that_reads_slowly(void **state)
{
    enum { REQUESTS = 8, BYTES = 100 * 1024 };
    static char body[BYTES + 1];
    http_testbed *host = *state;
    memset(body, 'x', BYTES);
    shake_hands(host);
    for (int i = 0; i < REQUESTS; i++) {
        say(host, BED_GET_TWIN, strlen(BED_GET_TWIN));
        uint64_t id = 0;
        for (int turn = 0; turn < TURNS && id == 0; turn++) {
            id = bed_asked(host, MESSAGE_API);
            bed_turn(host);
        }
        bed_answer_with(host, id, CONTENT_JSON, body);
    }
    hear(host, "HTTP/1.1 200 ", REQUESTS);
    size_t bytes = 0;
    for (int turn = 0; turn < TURNS; turn++) {
        int got = SSL_read(client, host->text + host->length, (int)(BED_TEXT_BYTES - 1 - host->length));
        host->length += got > 0 ? (size_t)got : 0;
        bytes = host->length;
        if (bytes >= (size_t)REQUESTS * BYTES)
            break;
        bed_turn(host);
    }
    assert_true(bytes >= (size_t)REQUESTS * BYTES);
}

static void let_in_by_certificate(http_testbed *host, const char *text)
{
    uint8_t bytes[1024] = { 0 };
    credential row = { .number = 7, .scopes = SCOPE_READ, .token = { 9 } };
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_bytes(&out, &row, sizeof row);
    dro_field_put_text(&out, API_FIELD_APPLICATION, "as1");
    dro_field_put_text(&out, API_FIELD_DOMAIN, "acme.example");
    dro_field_put_text(&out, API_FIELD_CERTIFICATE, text);
    http_on_message(host->http, 0, MESSAGE_CREDENTIAL, 0, bytes, (uint32_t)dro_builder_length(&out));
}

static void show_certificate(const certificate_sample *sample)
{
    BIO *bio = BIO_new_mem_buf(sample->certificate, -1);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    bio = BIO_new_mem_buf(sample->key, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_int_equal(SSL_CTX_use_certificate(client_context, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(client_context, key), 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void thumbprint(const certificate_sample *sample, char out[80])
{
    uint8_t digest[32];
    BIO *bio = BIO_new_mem_buf(sample->certificate, -1);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    assert_int_equal(X509_digest(certificate, EVP_sha256(), digest, NULL), 1);
    strcpy(out, "sha256:");
    for (int i = 0; i < 32; i++)
        sprintf(out + 7 + 2 * i, "%02x", digest[i]);
    X509_free(certificate);
    BIO_free(bio);
}

#define BARE " HTTP/1.1\r\nHost: h\r\n\r\n"

static void an_application_is_known_by_its_certificate_alone(void **state)
{
    http_testbed *host = *state;
    static const char request[] = "GET /v1/twins/a@acme.example" BARE;
    char text[80];
    thumbprint(&theirs, text);
    let_in_by_certificate(host, text);
    shake_hands(host); /* without one */
    assert_true(host->http->open->is_stranger);
    say(host, request, sizeof request - 1);
    hear(host, "HTTP/1.1 401 ", 1);
    drop_client(host);
    show_certificate(&theirs);
    shake_hands(host);
    say(host, request, sizeof request - 1);
    assert_false(host->http->open->is_stranger);
    uint64_t id = bed_asked(host, MESSAGE_API);
    assert_int_not_equal(id, 0);
    bed_answer(host, id, 200);
    hear(host, "HTTP/1.1 200 ", 1);
    static const char wrong[] = "GET /v1/twins/a@acme.example HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer wrong\r\n\r\n";
    say(host, wrong, sizeof wrong - 1); /* who shows a token is judged by it */
    hear(host, "HTTP/1.1 401 ", 1);
    assert_int_equal(bed_asked(host, MESSAGE_API), 0);
    drop_client(host);
    let_in_by_certificate(host, "dns:other.example"); /* it has another now */
    shake_hands(host);
    say(host, request, sizeof request - 1);
    hear(host, "HTTP/1.1 401 ", 1);
}

static void the_oldest_of_too_many_handshakes_goes(void **state)
{
    static int clients[TLS_HANDSHAKES_MAX + 1];
    http_testbed *host = *state;
    uint8_t hello[4096];
    SSL *hidden = SSL_new(client_context);
    BIO *sent = BIO_new(BIO_s_mem());
    SSL_set_bio(hidden, BIO_new(BIO_s_mem()), sent);
    assert_true(SSL_connect(hidden) < 0);
    int length = BIO_read(sent, hello, sizeof hello);
    SSL_free(hidden);
    for (int i = 0; i <= TLS_HANDSHAKES_MAX; i++) {
        come(host);
        clients[i] = host->client;
        host->client = -1;
        assert_int_equal(send(clients[i], hello, (size_t)length, 0), length);
        bed_turn(host);
    }
    for (int turn = 0; turn < TURNS && host->http->connection_count > TLS_HANDSHAKES_MAX; turn++)
        bed_turn(host);
    assert_int_equal(host->http->connection_count, TLS_HANDSHAKES_MAX);
    char bytes[4096]; /* our half of the handshake, and the end */
    ssize_t got;
    while ((got = recv(clients[0], bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        ;
    assert_int_equal(got, 0);
    for (int i = 0; i <= TLS_HANDSHAKES_MAX; i++)
        close(clients[i]);
    assert_true(is_left(host));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_answered),
        TEST(who_speaks_http_without_tls_is_told_so_in_http),
        TEST(a_broken_handshake_ends_the_connection),
        TEST(a_handshake_that_does_not_come_ends_after_its_time),
        TEST(no_byte_of_a_record_is_forgotten),
        TEST(what_waits_behind_a_write_goes_on_with_its_answer),
        TEST(a_large_answer_waits_for_a_client_that_reads_slowly),
        TEST(the_oldest_of_too_many_handshakes_goes),
        cmocka_unit_test_setup_teardown(an_application_is_known_by_its_certificate_alone, set_up_with_authority, tear_down),
    };
    return cmocka_run_group_tests(tests, make_certificates, NULL);
}

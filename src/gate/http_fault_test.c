/* The HTTP side when calls fail: memory, sockets, descriptors. Whatever fails, no request is done by half, nothing is left behind,
 * and the next one is served. The calls go through wrappers (linked with --wrap). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/crypto.h>

#include "base/failing.h"
#include "base/fields.h"
#include "gate/http_testbed.h"
#include "gate/join.h"
#include "gate/jwt.h"

FAILING(void *, malloc, (size_t size), (size), NULL)
FAILING(void *, calloc, (size_t count, size_t size), (count, size), NULL)
FAILING(void *, realloc, (void *memory, size_t size), (memory, size), NULL)

static bool fails_in_openssl; /* else its calls neither fail nor count */

/* Of the gate's side of a connection: so many of the next calls end with this error. */
static struct { int client, count, error; } refused = { -1, 0, 0 };

static bool is_refused(int descriptor)
{
    if (refused.count == 0 || descriptor == refused.client)
        return false;
    refused.count--;
    errno = refused.error;
    return true;
}

#define REFUSING(type, name, parameters, arguments) \
    type __real_##name parameters; \
    type __wrap_##name parameters; \
    type __wrap_##name parameters { return is_refused(descriptor) ? -1 : __real_##name arguments; }
REFUSING(ssize_t, recv, (int descriptor, void *bytes, size_t length, int flags), (descriptor, bytes, length, flags))
REFUSING(ssize_t, send, (int descriptor, const void *bytes, size_t length, int flags), (descriptor, bytes, length, flags))
REFUSING(ssize_t, sendmsg, (int descriptor, const struct msghdr *message, int flags), (descriptor, message, flags))
REFUSING(int, accept4, (int descriptor, struct sockaddr *address, socklen_t *length, int flags), (descriptor, address, length, flags))

static int epoll_error; /* of the next descriptor that is added */
int __real_epoll_ctl(int epoll, int operation, int descriptor, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int descriptor, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int descriptor, struct epoll_event *event)
{
    if (operation == EPOLL_CTL_ADD && epoll_error != 0) {
        errno = epoll_error;
        epoll_error = 0;
        return -1;
    }
    return __real_epoll_ctl(epoll, operation, descriptor, event);
}

static void refuse(http_testbed *host, int count, int error)
{
    refused.client = host->client;
    refused.count = count;
    refused.error = error;
}

static int nothing_fails(void **state)
{
    (void)state;
    fault_at(0, 0);
    fails_in_openssl = false;
    refused.count = 0;
    epoll_error = 0;
    return 0;
}

static int tear_down(void **state)
{
    nothing_fails(state);
    return bed_tear_down(state);
}

/* ---- memory ---- */

/* With more domains than the first piece of what is gathered holds. */
static void let_in_with_many_domains(http_testbed *host)
{
    static uint8_t bytes[16 * 1024];
    credential row = { .number = 7, .scopes = SCOPE_READ | SCOPE_WRITE | SCOPE_IMAGES | SCOPE_NIDD };
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    token_hash(host->http->tokens, "many", 4, row.token);
    dro_builder_bytes(&out, &row, sizeof row);
    for (int i = 0; i < 400; i++)
        dro_field_put_text(&out, API_FIELD_DOMAIN, "acme.example");
    http_on_message(host->http, 0, MESSAGE_CREDENTIAL, 0, bytes, (uint32_t)dro_builder_length(&out));
}

static void send_slowly(http_testbed *host, const char *text, size_t step)
{
    for (size_t at = 0, length = strlen(text); at < length; at += step) {
        ssize_t ignored = send(host->client, text + at, length - at < step ? length - at : step, MSG_NOSIGNAL);
        (void)ignored; /* it may be closed already */
        bed_turn(host);
    }
}

#define MANY " HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer many\r\n"

static void one_of_each(http_testbed *host)
{
    static char long_query[10 * 1024]; /* more than what is gathered has room for at first */
    snprintf(long_query, sizeof long_query, "POST /v1/query" MANY "Content-Length: 6010\r\n\r\n{\"sql\":\"%06000d\"}", 0);
    const char *const all[] = {
        "GET /v1/twins/a@acme.example" MANY "\r\n",
        "PUT /v1/twins/a@acme.example" MANY "Content-Length: 22\r\n\r\n{\"model\":\"acme/thermo\"}",
        "POST /v1/query" MANY "Content-Length: 18\r\n\r\n{\"sql\":\"select 1\"}",
        "POST /v1/twins:bulk" MANY "Content-Length: 26\r\n\r\n{\"id\":\"a@acme.example\"}\r\n\r\n",
        "POST /v1/images" MANY "Content-Length: 5\r\n\r\nimage",
        "GET /v1/events" MANY "\r\n",
        long_query,
        "GET /v1/twins/a@acme.example/td" MANY "\r\n",
        "GET /openapi.json" MANY "\r\n",
        "BREW / HTTP/1.1\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        uint64_t id;
        bed_connect(host);
        send_slowly(host, all[i], strlen(all[i]) > 1000 ? 3000 : 40);
        while (!ring_is_empty(&host->core)) {
            ring_header header;
            dro_err err;
            if (ring_next(&host->core, &header, &err) == NULL)
                break;
            id = header.id;
            ring_done(&host->core, &header);
            ring_release(&host->core);
            bed_answer(host, id, 200);
        }
        bed_hear(host);
        close(host->client);
        host->client = -1;
        bed_turn(host);
    }
}

static void without_memory_nothing_is_left_and_the_next_is_served(void **state)
{
    http_testbed *host = *state;
    let_in_with_many_domains(host);
    close(host->client);
    bed_turn(host);
    bool is_past = false;
    int n = 1;
    for (; !is_past; n++) {
        block_pool_trim(&host->http->blocks); /* else what an earlier request got would be there */
        fault_at(n, ENOMEM);
        one_of_each(host);
        is_past = fault_is_past(n);
        bed_turn(host);
        assert_int_equal(host->http->connection_count, 0);
        assert_int_equal(host->http->under_way, 0);
        assert_int_equal(host->http->query_count + host->http->bulk_count + host->http->stream_count + host->http->upload_count, 0);
        assert_int_equal(block_pool_bytes(&host->http->blocks), 0);
        while (!ring_is_empty(&host->core) && bed_asked(host, MESSAGE_UNSUBSCRIBE) != 0)
            ;
        bed_connect(host);
        bed_say(host, BED_GET_TWIN);
        bed_answer(host, bed_asked(host, MESSAGE_API), 200);
        bed_assert_heard(host, "HTTP/1.1 200 ");
        close(host->client);
        host->client = -1;
        bed_turn(host);
    }
    assert_true(n > 10);
}

static void a_timer_without_memory_closes_its_connection(void **state)
{
    enum { COUNT = 200 };
    http_testbed *host = *state;
    int clients[COUNT], closed = 0;
    fault_at(1, ENOMEM);
    fault_spared = 1;
    for (int i = 0; i < COUNT; i++) { /* more timers than there is room for: it grows */
        clients[i] = host->client;
        fault_spared = 0;
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        fault_at(2, ENOMEM); /* the connection's own is the first */
        connection_open(host->http, pair[0]);
        fault_at(0, 0);
        host->client = pair[1];
        bed_turn(host);
        closed += bed_hear(host);
    }
    assert_true(closed > 0);
    assert_int_equal(host->http->connection_count, COUNT + 1 - closed);
    for (int i = 0; i < COUNT; i++)
        close(clients[i]);
}

static void what_is_gathered_has_a_bound_and_stays_when_it_cannot_grow(void **state)
{
    static uint8_t bytes[20000];
    gathered all = { 0 };
    (void)state;
    memset(bytes, 7, sizeof bytes);
    assert_true(gathered_add(&all, bytes, 10, 10));
    assert_false(gathered_add(&all, bytes, 1, 10));
    assert_false(gathered_add(&all, bytes, 0, 9)); /* it is beyond already */
    assert_true(gathered_add(&all, bytes, 0, 10));
    fault_at(1, ENOMEM);
    assert_false(gathered_add(&all, bytes, 5000, 20000));
    fault_at(0, 0);
    assert_int_equal(all.length, 10);
    assert_true(gathered_add(&all, bytes, 19990, 20000)); /* at once more than twice */
    assert_memory_equal(all.bytes, bytes, 20000);
    gathered_clear(&all);
    assert_null(all.bytes);
    gathered_clear(&all);
}

static void blocks_without_memory_are_none(void **state)
{
    block_pool pool = { 0 };
    block_chain chain = { 0 };
    (void)state;
    fault_at(1, ENOMEM);
    assert_null(block_take(&pool, BLOCK_LARGE));
    block *small = block_take(&pool, BLOCK_SMALL);
    assert_non_null(small);
    fault_at(1, ENOMEM);
    assert_null(block_resize(&pool, small, 0, BLOCK_LARGE)); /* what there was stays */
    block_give(&pool, small);
    block_pool_trim(&pool);
    fault_at(1, ENOMEM); /* no small one: a large one does */
    assert_true(block_chain_append(&pool, &chain, "a", 1));
    assert_int_equal(chain.first->capacity, HTTP_BLOCK_BYTES);
    block_chain_clear(&pool, &chain);
    block_pool_trim(&pool);
    fault_at(1, ENOMEM);
    assert_false(block_chain_append_lasting(&chain, "a", 1));
    assert_true(block_chain_append_lasting(&chain, "", 0));
    fault_at(0, 0);
    block_pool_fini(&pool);
}

/* ---- tokens and keys ---- */

/* RFC 7515, appendix A.3; a P-256 key and an Ed25519 one (RFC 8037, appendix A). */
static const char token_text[] = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
                                 ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
static const char set[] = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"
                          "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
                          "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEw"
                          "OWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxX"
                          "FvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"}]}";

/* What OpenSSL keeps for ever is there before anything fails. */
static void read_keys(jwt_key keys[JWK_SET_MAX], uint32_t *count)
{
    char why[JWK_WHY_MAX];
    assert_int_equal(jwk_set_read(keys, count, set, strlen(set), why), DRO_OK);
    assert_int_equal(*count, 3);
    fails_in_openssl = true;
}

static void free_keys(jwt_key keys[JWK_SET_MAX], uint32_t count)
{
    while (count > 0)
        jwt_key_free(&keys[--count]);
}

static void without_memory_no_key_is_kept(void **state)
{
    jwt_key keys[JWK_SET_MAX], made;
    uint32_t count;
    char why[JWK_WHY_MAX];
    int failed = 0;
    bool is_past = false;
    (void)state;
    read_keys(keys, &count);
    free_keys(keys, count);
    for (int n = 1; !is_past; n++) {
        fault_at(n, ENOMEM);
        dro_err err = jwk_set_read(keys, &count, set, strlen(set), why);
        is_past = fault_is_past(n);
        assert_int_equal(count, err == DRO_OK ? 3 : 0);
        failed += err != DRO_OK;
        free_keys(keys, count);
    }
    assert_true(failed > 3);
    is_past = false;
    for (int n = 1; !is_past; n++) {
        fault_at(n, ENOMEM);
        dro_err err = jwk_of_ed25519(&made, "k", (const uint8_t[JWK_PUBLIC]){ 1 });
        is_past = fault_is_past(n);
        assert_int_equal(err == DRO_OK, made.key != NULL);
        jwt_key_free(&made);
    }
}

/* Of a good one some are not seen to be good; of a bad one none is. */
static void without_memory_no_signature_is_good(void **state)
{
    jwt_key keys[JWK_SET_MAX];
    uint32_t count;
    jwt token;
    jwt_memory *memory = jwt_memory_new();
    (void)state;
    read_keys(keys, &count);
    assert_int_equal(jwt_read(&token, memory, token_text, strlen(token_text)), DRO_OK);
    assert_true(jwt_is_signed(&token, &keys[0]));
    for (int is_broken = 0; is_broken < 2; is_broken++) {
        bool is_past = false;
        int good = 0;
        for (int n = 1; !is_past; n++) {
            fault_at(n, ENOMEM);
            good += jwt_is_signed(&token, &keys[0]);
            is_past = fault_is_past(n);
        }
        assert_int_equal(good > 0, !is_broken);
        token.signature[5] ^= 1;
    }
    free_keys(keys, count);
    jwt_memory_free(memory);
}

static void a_table_of_tokens_without_memory_is_none(void **state)
{
    credential row = { .number = 1, .token = { 1 } };
    bool is_narrowed, is_past = false;
    int none = 0;
    (void)state;
    fails_in_openssl = true;
    for (int n = 1; !is_past; n++) {
        fault_at(n, ENOMEM);
        token_table *table = token_table_new();
        is_past = fault_is_past(n);
        none += table == NULL;
        token_table_free(table);
    }
    assert_true(none > 1);
    token_table *table = token_table_new();
    fault_at(1, ENOMEM);
    assert_int_equal(token_table_take(table, &row, sizeof row, &is_narrowed), DRO_NOMEM);
    fault_at(0, 0);
    assert_null(token_table_find(table, row.token, 1));
    assert_int_equal(token_table_take(table, &row, sizeof row, &is_narrowed), DRO_OK);
    token_table_free(table);
}

/* All of it, or nothing. */
static void without_memory_nothing_is_joined(void **state)
{
    static const char one[] = "{\"dead_letters\":[{\"n\":3,\"time\":\"2026-11-22T12:00:05.001Z\"}]}", status[] = "{\"twins\":2,\"dead_letters\":1}";
    const body_text letters[] = { { one, sizeof one - 1 } }, parts[] = { { status, sizeof status - 1 } };
    bool is_past = false;
    (void)state;
    for (int n = 1; !is_past; n++) {
        char text[256] = "";
        dro_builder out = dro_builder_over(text, sizeof text - 1);
        fault_at(n, ENOMEM);
        bool is_joined = join_letters(letters, 1, 10, &out);
        is_past = fault_is_past(n);
        assert_true(!is_joined || strcmp(text, one) == 0 || strcmp(text, "{\"dead_letters\":[]}") == 0); /* of letters as many as there is room for */
    }
    is_past = false;
    for (int n = 1; !is_past; n++) {
        char text[256] = "";
        dro_builder out = dro_builder_over(text, sizeof text - 1);
        fault_at(n, ENOMEM);
        bool is_joined = join_status(parts, 1, &out);
        is_past = fault_is_past(n);
        assert_true(!is_joined || strcmp(text, status) == 0);
    }
}

/* ---- sockets ---- */

static void a_read_that_is_interrupted_is_made_again(void **state)
{
    http_testbed *host = *state;
    static const int passing[] = { EINTR, EAGAIN };
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++) {
        refuse(host, 1, passing[i]);
        bed_say(host, BED_GET_TWIN);
        bed_answer(host, bed_asked(host, MESSAGE_API), 200);
        bed_assert_heard(host, "HTTP/1.1 200 ");
        host->length = 0;
    }
    refuse(host, 1, ECONNRESET);
    bed_say(host, BED_GET_TWIN);
    bed_hear(host);
    assert_int_equal(host->http->connection_count, 0);
}

static void a_write_that_is_interrupted_is_made_again(void **state)
{
    http_testbed *host = *state;
    static const int passing[] = { EINTR, EAGAIN };
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++) {
        bed_say(host, BED_GET_TWIN);
        uint64_t id = bed_asked(host, MESSAGE_API);
        refuse(host, 1, passing[i]);
        bed_answer(host, id, 200);
        bed_assert_heard(host, "HTTP/1.1 200 ");
        host->length = 0;
    }
    bed_say(host, BED_GET_TWIN);
    uint64_t id = bed_asked(host, MESSAGE_API);
    refuse(host, 1, EPIPE);
    bed_answer(host, id, 200);
    assert_true(bed_hear(host));
    assert_int_equal(host->length, 0);
    assert_int_equal(host->http->connection_count, 0);
}

static void what_still_comes_after_a_refusal_is_read_and_thrown_away(void **state)
{
    http_testbed *host = *state;
    static const struct { int error; bool is_open; } all[] = { { EINTR, true }, { EAGAIN, true }, { ECONNRESET, false } };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        bed_begin_anew(host);
        bed_say(host, "BREW / HTTP/1.1\r\n\r\n");
        bed_assert_heard(host, "HTTP/1.1 501 ");
        bed_say(host, "more that nobody wants");
        refuse(host, 1, all[i].error);
        bed_say(host, "and more");
        refused.count = 0;
        assert_int_equal(host->http->connection_count, all[i].is_open);
    }
}

static void a_descriptor_that_cannot_be_watched_is_closed(void **state)
{
    http_testbed *host = *state;
    close(host->client);
    bed_turn(host);
    epoll_error = ENOSPC;
    bed_connect(host);
    assert_true(bed_hear(host));
    assert_int_equal(host->http->connection_count, 0);
}

/* ---- who comes in, and who has to go ---- */

static int listen_set_up(void **state)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    http_testbed *host = bed_new();
    *state = host;
    close(host->config.http_listener);
    host->config.http_listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "dromio-http-fault-%d", getpid());
    assert_int_equal(bind(host->config.http_listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(host->config.http_listener, 128), 0);
    return bed_open(host);
}

static int come(http_testbed *host)
{
    struct sockaddr_un address;
    socklen_t length = sizeof address;
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(getsockname(host->config.http_listener, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, length), 0);
    return client;
}

static void whoever_waits_at_the_door_comes_in(void **state)
{
    enum { COUNT = HTTP_ACCEPT_MAX + 6 };
    http_testbed *host = *state;
    int clients[COUNT];
    for (int i = 0; i < COUNT; i++)
        clients[i] = come(host);
    loop_turn(host->loop, 0);
    assert_int_equal(host->http->connection_count, 1 + HTTP_ACCEPT_MAX); /* so many in a turn */
    bed_turn(host);
    assert_int_equal(host->http->connection_count, 1 + COUNT);
    for (int i = 0; i < COUNT; i++)
        close(clients[i]);
}

static void who_goes_away_at_the_door_keeps_nobody_out(void **state)
{
    http_testbed *host = *state;
    static const int passing[] = { EINTR, ECONNABORTED };
    int clients[2];
    for (int i = 0; i < 2; i++) {
        clients[i] = come(host);
        refuse(host, 1, passing[i]);
        bed_turn(host);
        assert_int_equal(host->http->connection_count, 2 + i);
    }
    close(clients[0]);
    close(clients[1]);
}

/* Accepting pauses for a tenth of a second, and somebody who does nothing makes room. */
static void without_descriptors_an_idle_client_goes(void **state)
{
    http_testbed *host = *state;
    bed_later(host, HTTP_EVICT_AFTER_MS + 1);
    int client = come(host);
    refuse(host, 1, EMFILE);
    bed_turn(host);
    assert_true(bed_hear(host));
    assert_int_equal(host->http->counts.evicted, 1);
    assert_int_equal(host->http->connection_count, 0);
    assert_false(host->http->is_accepting);
    bed_later(host, 100);
    assert_int_equal(host->http->connection_count, 1);
    close(client);
}

/* Better busy than deaf. */
static void nobody_is_kept_out_for_lack_of_a_timer(void **state)
{
    enum { LEAST = 52, MOST = 68 };
    (void)state;
    for (int others = LEAST; others < MOST; others++) { /* at some number of timers there is no room for another */
        void *own;
        int clients[MOST];
        assert_int_equal(listen_set_up(&own), 0);
        http_testbed *host = own;
        for (int i = 0; i < others; i++) {
            clients[i] = host->client;
            bed_connect(host);
        }
        int client = come(host);
        refuse(host, 1, EMFILE);
        fault_at(1, ENOMEM);
        loop_turn(host->loop, 0);
        fault_at(0, 0);
        refused.count = 0;
        bed_later(host, 101);
        assert_int_equal(host->http->connection_count, others + 2);
        for (int i = 0; i < others; i++)
            close(clients[i]);
        close(client);
        tear_down(&own);
    }
}

/* One that is known by its token. */
static int come_known(http_testbed *host, const char *first, const char *then)
{
    bed_connect(host);
    bed_say(host, first);
    uint64_t id = bed_asked(host, MESSAGE_API);
    if (id != 0 && then != NULL)
        bed_answer(host, id, 200);
    bed_hear(host);
    if (then != NULL && then[0] != '\0')
        bed_say(host, then);
    return host->client;
}

static bool is_closed(int client)
{
    char byte;
    ssize_t got;
    while ((got = recv(client, &byte, 1, MSG_DONTWAIT)) > 0)
        ;
    return got == 0;
}

/* As if all places were taken, by others. */
static void let_one_come_when_all_places_are_taken(http_testbed *host)
{
    uint32_t others = HTTP_CONNECTIONS_MAX - host->http->connection_count;
    host->http->connection_count += others;
    int client = come(host);
    loop_turn(host->loop, 0);
    host->http->connection_count -= others;
    bed_turn(host);
    close(client);
    bed_later(host, 2);
}

static void half_a_head_goes_before_the_idle_and_those_before_none(void **state)
{
    http_testbed *host = *state;
    close(host->client);
    bed_turn(host);
    int waiting = come_known(host, BED_GET_TWIN, NULL);                                /* for the core */
    int in_body = come_known(host, BED_GET_TWIN, "PUT /v1/twins/a@b.example" BED_HEAD "Content-Length: 9\r\n\r\n{");
    int half = come_known(host, BED_GET_TWIN, "GET /v1/tw");
    int idle = come_known(host, BED_GET_TWIN, "");
    bed_later(host, 10);
    int idle_later = come_known(host, BED_GET_TWIN, "");
    int half_later = come_known(host, BED_GET_TWIN, "GET /v1/twi");
    bed_later(host, HTTP_EVICT_AFTER_MS + 1);
    int fresh = come_known(host, BED_GET_TWIN, "");
    let_one_come_when_all_places_are_taken(host);
    assert_true(is_closed(half) && is_closed(half_later));
    assert_false(is_closed(idle) || is_closed(idle_later) || is_closed(in_body) || is_closed(waiting) || is_closed(fresh));
    let_one_come_when_all_places_are_taken(host);
    assert_true(is_closed(idle));
    assert_false(is_closed(idle_later) || is_closed(in_body) || is_closed(waiting) || is_closed(fresh));
    let_one_come_when_all_places_are_taken(host);
    assert_true(is_closed(idle_later));
    let_one_come_when_all_places_are_taken(host); /* nobody is idle for long */
    assert_false(is_closed(in_body) || is_closed(waiting) || is_closed(fresh));
    assert_int_equal(host->http->counts.evicted, 4);
    close(half), close(half_later), close(idle), close(idle_later), close(in_body), close(waiting);
}

/* Of what has no request under way: one whose refused body still comes, and one that has not read its answer, stay. */
static void who_is_idle_longest_goes_whoever_came_first(void **state)
{
    static char body[200 * 1024];
    http_testbed *host = *state;
    memset(body, 'x', sizeof body - 1);
    close(host->client);
    bed_turn(host);
    int first = come_known(host, BED_GET_TWIN, "");
    int discarding = come_known(host, BED_GET_TWIN, "PUT /v1/nothing" BED_HEAD "Content-Length: 9\r\n\r\n{");
    bed_connect(host);
    int small = 4096, unread = host->client;
    setsockopt(unread, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    for (int i = 0; i < 3; i++) {
        bed_say(host, BED_GET_TWIN);
        uint64_t id = bed_asked(host, MESSAGE_API);
        if (id != 0)
            bed_answer_with(host, id, CONTENT_JSON, body + 100 * 1024);
    }
    int second = come_known(host, BED_GET_TWIN, "");
    bed_later(host, 10);
    host->client = first;
    bed_say(host, BED_GET_TWIN); /* the first was busy last */
    bed_answer(host, bed_asked(host, MESSAGE_API), 200);
    bed_later(host, HTTP_EVICT_AFTER_MS + 1);
    let_one_come_when_all_places_are_taken(host);
    assert_true(is_closed(second));
    assert_false(is_closed(first) || is_closed(discarding));
    close(second), close(discarding), close(unread);
}

/* No more than so many in one go. */
static void many_halves_of_heads_go_in_several_goes(void **state)
{
    enum { COUNT = HTTP_ACCEPT_MAX + 3 };
    http_testbed *host = *state;
    int clients[COUNT], left = 0;
    close(host->client);
    bed_turn(host);
    for (int i = 0; i < COUNT; i++)
        clients[i] = come_known(host, BED_GET_TWIN, "GET /v1/tw");
    bed_later(host, HTTP_EVICT_AFTER_MS + 1);
    let_one_come_when_all_places_are_taken(host);
    for (int i = 0; i < COUNT; i++)
        left += !is_closed(clients[i]);
    assert_int_equal(left, COUNT - HTTP_ACCEPT_MAX);
    host->client = -1;
    for (int i = 0; i < COUNT; i++)
        close(clients[i]);
}

/* What it says in the same turn comes too late. */
static void who_has_to_go_is_heard_no_more(void **state)
{
    http_testbed *host = *state;
    close(host->client);
    bed_turn(host);
    int half = come_known(host, BED_GET_TWIN, "GET /v1/twins/a@b.example HTTP/1.1\r\n");
    bed_later(host, HTTP_EVICT_AFTER_MS + 1);
    uint32_t others = HTTP_CONNECTIONS_MAX - host->http->connection_count;
    host->http->connection_count += others;
    int client = come(host); /* the listener is ready first */
    static const char rest[] = "Host: h\r\n" BED_TOKEN "\r\n";
    assert_int_equal(send(half, rest, sizeof rest - 1, MSG_NOSIGNAL), sizeof rest - 1);
    loop_turn(host->loop, 0);
    host->http->connection_count -= others;
    bed_turn(host);
    assert_int_equal(bed_asked(host, MESSAGE_API), 0);
    assert_int_equal(host->http->counts.evicted, 1);
    close(client), close(half);
    host->client = -1;
}

static void who_leaves_in_the_same_moment_makes_nobody_stay(void **state)
{
    http_testbed *host = *state;
    close(host->client);
    bed_turn(host);
    int leaving = come_known(host, BED_GET_TWIN, ""), idle = come_known(host, BED_GET_TWIN, "");
    bed_later(host, HTTP_EVICT_AFTER_MS + 1);
    uint32_t others = HTTP_CONNECTIONS_MAX - host->http->connection_count;
    host->http->connection_count += others;
    close(leaving); /* it is ready first */
    int client = come(host);
    loop_turn(host->loop, 0);
    host->http->connection_count -= others;
    bed_turn(host);
    assert_int_equal(host->http->counts.evicted, 1); /* the other one: who left is gone anyway */
    assert_true(is_closed(idle));
    close(client), close(idle);
    host->client = -1;
}

static void strangers_go_before_all_who_are_known(void **state)
{
    http_testbed *host = *state;
    int stranger = host->client, known = come_known(host, BED_GET_TWIN, "GET /v1/tw");
    bed_later(host, HTTP_EVICT_AFTER_MS + 1);
    let_one_come_when_all_places_are_taken(host);
    assert_true(is_closed(stranger));
    assert_false(is_closed(known));
    close(stranger);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_set_up, tear_down)
#define AT_THE_DOOR(name) cmocka_unit_test_setup_teardown(name, listen_set_up, tear_down)

static void *count_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return fails_in_openssl ? malloc(size) : __real_malloc(size);
}

static void *count_realloc(void *memory, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return fails_in_openssl ? realloc(memory, size) : __real_realloc(memory, size);
}

static void count_free(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_memory_nothing_is_left_and_the_next_is_served),
        TEST(a_timer_without_memory_closes_its_connection),
        cmocka_unit_test(what_is_gathered_has_a_bound_and_stays_when_it_cannot_grow),
        cmocka_unit_test(blocks_without_memory_are_none),
        cmocka_unit_test_teardown(without_memory_no_key_is_kept, nothing_fails),
        cmocka_unit_test_teardown(without_memory_no_signature_is_good, nothing_fails),
        cmocka_unit_test_teardown(a_table_of_tokens_without_memory_is_none, nothing_fails),
        cmocka_unit_test(without_memory_nothing_is_joined),
        TEST(a_read_that_is_interrupted_is_made_again),
        TEST(a_write_that_is_interrupted_is_made_again),
        TEST(what_still_comes_after_a_refusal_is_read_and_thrown_away),
        TEST(a_descriptor_that_cannot_be_watched_is_closed),
        AT_THE_DOOR(whoever_waits_at_the_door_comes_in),
        AT_THE_DOOR(who_goes_away_at_the_door_keeps_nobody_out),
        AT_THE_DOOR(without_descriptors_an_idle_client_goes),
        cmocka_unit_test(nobody_is_kept_out_for_lack_of_a_timer),
        AT_THE_DOOR(who_has_to_go_is_heard_no_more),
        AT_THE_DOOR(who_leaves_in_the_same_moment_makes_nobody_stay),
        AT_THE_DOOR(half_a_head_goes_before_the_idle_and_those_before_none),
        AT_THE_DOOR(strangers_go_before_all_who_are_known),
        AT_THE_DOOR(who_is_idle_longest_goes_whoever_came_first),
        AT_THE_DOOR(many_halves_of_heads_go_in_several_goes),
    };
    if (CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free) != 1)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

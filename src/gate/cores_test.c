/* The HTTP side with several scripted cores: who is asked what, and what is made of their answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fields.h"
#include "gate/http.h"

enum { CORES = 3, RING_BYTES = RING_CAPACITY_MIN, NS_PER_MS = 1000000, TEXT_BYTES = 1 << 20, TURNS = 4, BODY_BYTES = 8192 };

#define HEAD " HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\n"

/* SHA-256 of "abc": FIPS 180-4, appendix B.1. */
static const uint8_t abc[] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                               0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                               0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad };

typedef struct fixture {
    dro_clock_fake clock;
    loop *loop;
    http *http;
    gate_config config;
    ring_writer to_core[CORES], to_desk;
    ring_reader core[CORES], desk;
    void *memory[CORES + 1];
    directory directory;
    int client;
    char text[TEXT_BYTES];
    size_t length;
    uint8_t body[BODY_BYTES]; /* of the message last asked for */
    uint32_t body_length;
} fixture;

static void *ring_make(ring_writer *writer, ring_reader *reader)
{
    void *memory = aligned_alloc(64, (ring_bytes(RING_BYTES) + 63) & ~(size_t)63);
    assert_non_null(memory);
    ring_format(memory, RING_BYTES);
    ring_writer_open(writer, memory, RING_BYTES, -1);
    ring_reader_open(reader, memory, RING_BYTES);
    return memory;
}

static void directory_make(fixture *host)
{
    void *memory = mmap(NULL, directory_bytes(CORES), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(directory_format(memory, CORES), DRO_OK);
    assert_int_equal(directory_open(&host->directory, memory, CORES), DRO_OK);
    directory_key_set(&host->directory, 17);
}

static int set_up(void **state)
{
    fixture *host = calloc(1, sizeof *host);
    credential row = { .scopes = SCOPE_ADMIN };
    int pair[2];
    *state = host;
    for (int i = 0; i < CORES; i++)
        host->memory[i] = ring_make(&host->to_core[i], &host->core[i]);
    host->memory[CORES] = ring_make(&host->to_desk, &host->desk);
    directory_make(host);
    dro_clock_fake_init(&host->clock, 1795348800000);
    host->loop = loop_new(&host->clock.clock);
    host->config = (gate_config){ .core_count = CORES, .to_core = host->to_core, .to_desk = &host->to_desk, .directory = &host->directory,
                                  .http_listener = eventfd(0, EFD_NONBLOCK), .clock = &host->clock.clock };
    assert_int_equal(http_new(&host->http, &host->config, host->loop, NULL, NULL), DRO_OK);
    memcpy(row.token, abc, sizeof abc);
    http_on_message(host->http, 0, MESSAGE_CREDENTIAL, 0, &row, sizeof row);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    connection_open(host->http, pair[0]);
    host->client = pair[1];
    return 0;
}

static int tear_down(void **state)
{
    fixture *host = *state;
    http_free(host->http);
    loop_free(host->loop);
    close(host->config.http_listener);
    close(host->client);
    munmap(host->directory.shared, directory_bytes(CORES));
    for (int i = 0; i <= CORES; i++)
        free(host->memory[i]);
    free(host);
    return 0;
}

static void turn(fixture *host)
{
    for (int i = 0; i < TURNS; i++) {
        loop_turn(host->loop, 0);
        http_turn(host->http);
        for (int core = 0; core < CORES; core++)
            ring_publish(&host->to_core[core]);
        ring_publish(&host->to_desk);
    }
}

static void say(fixture *host, const char *text)
{
    host->length = 0;
    host->text[0] = '\0';
    assert_int_equal(send(host->client, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    turn(host);
}

static const char *heard(fixture *host)
{
    for (ssize_t got; (got = recv(host->client, host->text + host->length, TEXT_BYTES - 1 - host->length, MSG_DONTWAIT)) > 0;) {
        host->length += (size_t)got;
        host->text[host->length] = '\0';
    }
    return host->text;
}

static void assert_heard(fixture *host, const char *part)
{
    if (strstr(heard(host), part) == NULL)
        fail_msg("heard %.400s\nwithout %s", host->text, part);
}

/* The next message in a ring, which must be of this type; its id. 0: none. */
static uint64_t taken(fixture *host, ring_reader *ring, uint16_t type)
{
    ring_header header;
    dro_err err;
    const uint8_t *body = ring_next(ring, &header, &err);
    if (body == NULL)
        return 0;
    assert_int_equal(header.type, type);
    host->body_length = header.length - (uint32_t)sizeof header;
    assert_true(host->body_length <= BODY_BYTES);
    memcpy(host->body, body, host->body_length);
    ring_done(ring, &header);
    ring_release(ring);
    return header.id;
}

static uint64_t asked(fixture *host, uint32_t core, uint16_t type)
{
    return taken(host, &host->core[core], type);
}

/* A field of the message last asked for, as text; "": it has none. */
static const char *field_of(fixture *host, uint32_t tag)
{
    static char text[300];
    dro_cursor in = dro_cursor_over(host->body, host->body_length);
    dro_field field;
    text[0] = '\0';
    dro_cursor_bytes(&in, sizeof(api_request));
    while (in.at < in.end && *in.at != 0 && dro_field_next(&in, &field))
        if (field.tag == tag)
            snprintf(text, sizeof text, "%.*s", (int)field.length, (const char *)field.bytes);
    return text;
}

static bool has_field(fixture *host, uint32_t tag)
{
    dro_cursor in = dro_cursor_over(host->body, host->body_length);
    dro_field field;
    dro_cursor_bytes(&in, sizeof(api_request));
    while (in.at < in.end && *in.at != 0 && dro_field_next(&in, &field))
        if (field.tag == tag)
            return true;
    return false;
}

static uint64_t limit_of(fixture *host)
{
    dro_cursor in = dro_cursor_over(host->body, host->body_length);
    dro_field field;
    dro_err err = DRO_OK;
    dro_cursor_bytes(&in, sizeof(api_request));
    while (in.at < in.end && *in.at != 0 && dro_field_next(&in, &field))
        if (field.tag == API_FIELD_LIMIT)
            return dro_field_u64(&field, &err);
    return 0;
}

static void reply(fixture *host, uint32_t core, uint64_t id, uint16_t status, uint64_t etag, const char *text)
{
    uint8_t bytes[BODY_BYTES];
    api_reply head = { .status = status, .content = CONTENT_JSON, .etag = etag, .body_length = (uint32_t)strlen(text) };
    memcpy(bytes, &head, sizeof head);
    memcpy(bytes + sizeof head, text, strlen(text));
    http_on_message(host->http, core, MESSAGE_API_REPLY, id, bytes, (uint32_t)(sizeof head + strlen(text)));
    turn(host);
}

static void answer(fixture *host, uint32_t core, uint64_t id, const char *text)
{
    reply(host, core, id, 200, UINT64_MAX, text);
}

/* ---- one core ---- */

static void a_request_goes_to_the_core_of_its_twin(void **state)
{
    fixture *host = *state;
    uint32_t counts[CORES] = { 0 };
    char id[32], text[256];
    for (int i = 0; i < 32; i++) {
        snprintf(id, sizeof id, "t%d@acme.example", i);
        uint32_t home = directory_route(&host->directory, DIRECTORY_ID, id, strlen(id));
        snprintf(text, sizeof text, "GET /v1/twins/t%d%%40ACME.example" HEAD "\r\n", i);
        say(host, text);
        uint64_t number = asked(host, home, MESSAGE_API);
        assert_int_not_equal(number, 0);
        answer(host, home, number, "{}");
        assert_heard(host, "HTTP/1.1 200 ");
        counts[home]++;
    }
    for (uint32_t core = 0; core < CORES; core++)
        assert_true(counts[core] > 0 && asked(host, core, MESSAGE_API) == 0);
}

static void an_alias_leads_to_the_core_of_its_twin(void **state)
{
    fixture *host = *state;
    static const char alias[] = "other@buoys.example";
    uint32_t home = directory_route(&host->directory, DIRECTORY_ID, alias, sizeof alias - 1), other = (home + 1) % CORES;
    uint32_t partition = 0;
    while (directory_core(&host->directory, partition) != other)
        partition++;
    assert_int_equal(directory_claim(&host->directory, DIRECTORY_ID, alias, sizeof alias - 1, partition), DRO_OK);
    say(host, "DELETE /v1/twins/other@buoys.example" HEAD "\r\n");
    assert_int_not_equal(asked(host, other, MESSAGE_API), 0);
}

static void what_is_the_host_s_goes_to_core_0(void **state)
{
    fixture *host = *state;
    static const char *const paths[] = { "/v1/images", "/v1/applications", "/v1/status", "/v1/peers", "/metrics" };
    char text[256];
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        snprintf(text, sizeof text, "GET %s" HEAD "\r\n", paths[i]);
        say(host, text);
        uint64_t id = asked(host, 0, MESSAGE_API);
        assert_int_not_equal(id, 0);
        answer(host, 0, id, "{}");
        assert_heard(host, "HTTP/1.1 200 ");
    }
    assert_int_equal(asked(host, 1, MESSAGE_API) + asked(host, 2, MESSAGE_API), 0);
}

static void lines_of_bulk_go_to_their_cores_and_come_back_in_order(void **state)
{
    enum { LINES = 24 };
    fixture *host = *state;
    char text[4096], id[32];
    size_t length = 0;
    uint32_t homes[LINES];
    for (int i = 0; i < LINES; i++) {
        snprintf(id, sizeof id, "b%d@acme.example", i);
        homes[i] = directory_route(&host->directory, DIRECTORY_ID, id, strlen(id));
        length += (size_t)snprintf(text + length, sizeof text - length, "{\"id\":\"%s\"}\n", id);
    }
    char head[256];
    snprintf(head, sizeof head, "POST /v1/twins:bulk" HEAD "Content-Length: %zu\r\n\r\n", length);
    assert_int_equal(send(host->client, head, strlen(head), 0), strlen(head));
    say(host, text);
    uint64_t numbers[LINES];
    for (int i = 0; i < LINES; i++)
        assert_int_not_equal(numbers[i] = asked(host, homes[i], MESSAGE_API), 0);
    for (int i = LINES - 1; i >= 0; i--) /* the last one first */
        reply(host, homes[i], numbers[i], 201, (uint64_t)i + 1, "");
    const char *at = heard(host);
    for (int i = 0; i < LINES; i++) {
        snprintf(text, sizeof text, "{\"id\":\"b%d@acme.example\",\"status\":201,\"revision\":%d}", i, i + 1);
        at = strstr(at, text);
        assert_non_null(at);
    }
}

/* ---- pages ---- */

static void a_page_is_filled_by_one_core_after_the_other(void **state)
{
    fixture *host = *state;
    say(host, "GET /v1/twins?limit=3&model=acme/thermo" HEAD "\r\n");
    uint64_t id = asked(host, 0, MESSAGE_API);
    assert_int_equal(limit_of(host), 3);
    assert_string_equal(field_of(host, API_FIELD_MODEL), "acme/thermo");
    answer(host, 0, id, "{\"twins\":[{\"n\":1}]}");
    id = asked(host, 1, MESSAGE_API);
    assert_int_equal(limit_of(host), 2);
    assert_string_equal(field_of(host, API_FIELD_MODEL), "acme/thermo");
    answer(host, 1, id, "{\"twins\":[]}");
    id = asked(host, 2, MESSAGE_API);
    answer(host, 2, id, "{\"twins\":[{\"n\":2},{\"n\":3}],\"cursor\":\"t5\"}");
    assert_heard(host, "\r\n\r\n{\"twins\":[{\"n\":1},{\"n\":2},{\"n\":3}],\"cursor\":\"3.2.t5\"}");
    say(host, "GET /v1/twins?limit=3&cursor=3.2.t5" HEAD "\r\n");
    id = asked(host, 2, MESSAGE_API);
    assert_string_equal(field_of(host, API_FIELD_CURSOR), "t5");
    answer(host, 2, id, "{\"twins\":[{\"n\":4}]}");
    assert_heard(host, "\r\n\r\n{\"twins\":[{\"n\":4}]}");
}

static void a_page_that_ends_with_a_core_goes_on_with_the_next(void **state)
{
    fixture *host = *state;
    say(host, "GET /v1/twins?limit=1" HEAD "\r\n");
    answer(host, 0, asked(host, 0, MESSAGE_API), "{\"twins\":[{\"n\":1}]}");
    assert_heard(host, "{\"twins\":[{\"n\":1}],\"cursor\":\"3.1.\"}");
    say(host, "GET /v1/twins?limit=1&cursor=3.1." HEAD "\r\n");
    uint64_t id = asked(host, 1, MESSAGE_API);
    assert_false(has_field(host, API_FIELD_CURSOR));
    answer(host, 1, id, "{\"twins\":[{\"n\":2}]}");
    assert_heard(host, "\"cursor\":\"3.2.\"}");
}

static void a_cursor_of_another_number_of_cores_is_400(void **state)
{
    fixture *host = *state;
    say(host, "GET /v1/twins?cursor=4.1.t5" HEAD "\r\n");
    assert_heard(host, "HTTP/1.1 400 ");
    say(host, "GET /v1/twins?cursor=t5" HEAD "\r\n");
    assert_heard(host, "HTTP/1.1 400 ");
}

static void what_a_core_refuses_of_a_page_is_told(void **state)
{
    fixture *host = *state;
    say(host, "GET /v1/twins?cursor=3.1.nonsense" HEAD "\r\n");
    reply(host, 1, asked(host, 1, MESSAGE_API), 400, UINT64_MAX, "{\"status\":400}");
    assert_heard(host, "HTTP/1.1 400 ");
    say(host, "GET /v1/twins" HEAD "\r\n");
    answer(host, 0, asked(host, 0, MESSAGE_API), "{\"no\":\"page\"}");
    assert_heard(host, "HTTP/1.1 500 ");
    assert_int_equal(host->http->fan_count, 0);
}

static void only_so_many_lists_are_made_at_once(void **state)
{
    fixture *host = *state;
    for (int i = 0; i < HTTP_FANS_MAX; i++)
        say(host, "GET /v1/twins" HEAD "\r\n");
    assert_int_equal(host->http->fan_count, HTTP_FANS_MAX);
    say(host, "GET /v1/dead-letters" HEAD "\r\n");
    for (int i = 0; i < HTTP_FANS_MAX; i++) {
        uint64_t id = asked(host, 0, MESSAGE_API);
        for (uint32_t core = 0; core < CORES; id = ++core < CORES ? asked(host, core, MESSAGE_API) : 0)
            answer(host, core, id, "{\"twins\":[]}");
    }
    assert_heard(host, "HTTP/1.1 503 ");
    assert_int_equal(host->http->fan_count, 0);
}

/* ---- all at once ---- */

static void dead_letters_are_those_of_all_cores(void **state)
{
    fixture *host = *state;
    uint64_t ids[CORES];
    say(host, "GET /v1/dead-letters?limit=2" HEAD "\r\n");
    for (uint32_t core = 0; core < CORES; core++)
        assert_int_not_equal(ids[core] = asked(host, core, MESSAGE_API), 0);
    answer(host, 2, ids[2], "{\"dead_letters\":[{\"n\":3,\"time\":\"2026-01-01T00:00:03.000Z\"}]}");
    answer(host, 0, ids[0], "{\"dead_letters\":[{\"n\":1,\"time\":\"2026-01-01T00:00:01.000Z\"}]}");
    assert_string_equal(heard(host), "");
    answer(host, 1, ids[1], "{\"dead_letters\":[{\"n\":2,\"time\":\"2026-01-01T00:00:02.000Z\"}]}");
    assert_heard(host, "{\"dead_letters\":[{\"n\":3,\"time\":\"2026-01-01T00:00:03.000Z\"},{\"n\":2,\"time\":\"2026-01-01T00:00:02.000Z\"}]}");
}

static void the_desk_is_asked_once_all_cores_have_shown_what_they_answered(void **state)
{
    fixture *host = *state;
    uint64_t ids[CORES];
    say(host, "POST /v1/query" HEAD "Content-Length: 16\r\n\r\n{\"sql\":\"select\"}");
    for (uint32_t core = 0; core < CORES; core++)
        assert_int_not_equal(ids[core] = asked(host, core, MESSAGE_API), 0);
    reply(host, 1, ids[1], 204, UINT64_MAX, "");
    reply(host, 0, ids[0], 204, UINT64_MAX, "");
    assert_int_equal(taken(host, &host->desk, MESSAGE_QUERY), 0);
    reply(host, 2, ids[2], 204, UINT64_MAX, "");
    uint64_t question = taken(host, &host->desk, MESSAGE_QUERY);
    assert_int_not_equal(question, 0);
    answer(host, HTTP_DESK, question, "{\"rows\":[]}");
    assert_heard(host, "{\"rows\":[]}");
}

static void the_desk_speaks_of_queries_only(void **state)
{
    fixture *host = *state;
    stream_event event = { 0 };
    credential row = { .scopes = SCOPE_ADMIN, .token = { 1 } };
    say(host, "GET /v1/status" HEAD "\r\n");
    uint64_t id = asked(host, 0, MESSAGE_API);
    answer(host, HTTP_DESK, id, "{\"forged\":1}");
    http_on_message(host->http, HTTP_DESK, MESSAGE_STREAM_EVENT, id, &event, sizeof event);
    http_on_message(host->http, HTTP_DESK, MESSAGE_CREDENTIAL, 0, &row, sizeof row);
    assert_string_equal(heard(host), "");
    assert_int_equal(token_table_count(host->http->tokens), 1);
    answer(host, 0, id, "{}");
    assert_heard(host, "HTTP/1.1 200 ");
}

static void health_is_503_while_one_core_answers_nothing(void **state)
{
    fixture *host = *state;
    int first = host->client, pair[2];
    uint64_t ids[CORES];
    say(host, "GET /v1/dead-letters" HEAD "\r\n");
    for (uint32_t core = 0; core < CORES; core++)
        ids[core] = asked(host, core, MESSAGE_API);
    dro_clock_fake_advance(&host->clock, (HTTP_SILENT_MS + 1000) * (int64_t)NS_PER_MS);
    answer(host, 0, ids[0], "{\"dead_letters\":[]}");
    answer(host, 2, ids[2], "{\"dead_letters\":[]}");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    connection_open(host->http, pair[0]);
    host->client = pair[1];
    say(host, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_heard(host, "HTTP/1.1 503 ");
    answer(host, 1, ids[1], "{\"dead_letters\":[]}");
    say(host, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_heard(host, "HTTP/1.1 200 ");
    close(first);
}

/* ---- backups ---- */

static void piece(fixture *host, uint32_t core, uint64_t id)
{
    struct { api_reply reply; backup_piece piece; } empty = {
        .reply = { .status = 200, .content = CONTENT_PIECE, .more = true, .etag = UINT64_MAX, .body_length = sizeof(backup_piece) } };
    http_on_message(host->http, core, MESSAGE_API_REPLY, id, &empty, sizeof empty);
    turn(host);
}

/* A core ends a backup of which it hears nothing. */
static void cores_that_wait_for_their_part_of_a_backup_hear_that_it_goes_on(void **state)
{
    fixture *host = *state;
    uint64_t ids[CORES];
    say(host, "GET /v1/backup" HEAD "\r\n");
    for (uint32_t i = 1; i <= CORES; i++) {
        ids[i % CORES] = asked(host, i % CORES, MESSAGE_API);
        assert_int_not_equal(ids[i % CORES], 0);
        piece(host, i % CORES, ids[i % CORES]);
    }
    for (uint32_t core = 0; core < CORES; core++) {
        assert_int_equal(asked(host, core, MESSAGE_API), ids[core]);
        assert_true(limit_of(host) == BACKUP_ALL_BEGAN);
    }
    for (int i = 0; i < HTTP_BACKUP_WINDOW; i++) {
        assert_int_equal(asked(host, 0, MESSAGE_API), ids[0]);
        assert_int_equal(limit_of(host), 1 + i);
    }
    for (int again = 0; again < 3; again++) {
        assert_int_equal(asked(host, 1, MESSAGE_API), 0);
        dro_clock_fake_advance(&host->clock, HTTP_BACKUP_SIGN_MS * (int64_t)NS_PER_MS);
        piece(host, 0, ids[0]);
        assert_int_equal(asked(host, 0, MESSAGE_API), ids[0]);
        assert_true(limit_of(host) != BACKUP_ALL_BEGAN);
        for (uint32_t core = 1; core < CORES; core++) {
            assert_int_equal(asked(host, core, MESSAGE_API), ids[core]);
            assert_true(limit_of(host) == BACKUP_ALL_BEGAN);
        }
    }
}

/* ---- events ---- */

static void event(fixture *host, uint32_t core, uint64_t id, const char *number, const char *type)
{
    uint8_t bytes[256];
    stream_event head = { (uint32_t)strlen(number), (uint32_t)strlen(type), 1, 0 };
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_bytes(&out, &head, sizeof head);
    dro_builder_text(&out, number);
    dro_builder_text(&out, type);
    dro_builder_text(&out, "d");
    http_on_message(host->http, core, MESSAGE_STREAM_EVENT, id, bytes, (uint32_t)dro_builder_length(&out));
    turn(host);
}

static uint64_t stream_open(fixture *host, const char *resume, const char *const resumed[CORES])
{
    char text[256];
    uint64_t id = 0;
    snprintf(text, sizeof text, "GET /v1/events" HEAD "%s\r\n", resume);
    say(host, text);
    for (uint32_t core = 0; core < CORES; core++) {
        id = asked(host, core, MESSAGE_SUBSCRIBE);
        assert_int_not_equal(id, 0);
        assert_true(has_field(host, API_FIELD_HELD));
        assert_string_equal(field_of(host, API_FIELD_RESUME), resumed[core]);
    }
    return id;
}

static void streams_answer(fixture *host, uint64_t id)
{
    reply(host, 1, id, 200, 20, "");
    reply(host, 0, id, 200, 10, "");
    assert_string_equal(heard(host), "");
    reply(host, 2, id, 200, 72, "");
    assert_heard(host, "HTTP/1.1 200 ");
}

static const char *const from_now[CORES] = { "", "", "" };

static void a_stream_tells_how_far_it_is_in_each_core(void **state)
{
    fixture *host = *state;
    uint64_t id = stream_open(host, "", from_now);
    streams_answer(host, id);
    for (uint32_t core = 0; core < CORES; core++) {
        uint64_t credit;
        assert_int_equal(asked(host, core, MESSAGE_CREDIT), id);
        memcpy(&credit, host->body, sizeof credit);
        assert_int_equal(credit, STREAM_CREDIT);
    }
    event(host, 1, id, "21", "one");
    event(host, 0, id, "46", "two");
    assert_heard(host, "\r\n\r\nid: a.l.20\nevent: one\ndata: d\n\nid: 1a.l.20\nevent: two\ndata: d\n\n");
    close(host->client);
    turn(host);
    for (uint32_t core = 0; core < CORES; core++)
        assert_int_equal(asked(host, core, MESSAGE_UNSUBSCRIBE), id);
    assert_int_equal(host->http->stream_count, 0);
    host->client = dup(STDERR_FILENO);
}

static void a_stream_resumes_in_each_core_where_it_was(void **state)
{
    fixture *host = *state;
    static const char *const resumed[CORES] = { "46", "21", "72" };
    uint64_t id = stream_open(host, "Last-Event-ID: 1a.l.20\r\n", resumed);
    streams_answer(host, id);
    assert_null(strstr(heard(host), "dromio.gap.v1"));
}

static void an_id_of_another_number_of_cores_begins_with_a_gap(void **state)
{
    fixture *host = *state;
    uint64_t id = stream_open(host, "Last-Event-ID: 46\r\n", from_now);
    streams_answer(host, id);
    assert_heard(host, "\r\n\r\nid: a.k.20\nevent: dromio.gap.v1\ndata: {\"specversion\":\"1.0\",\"id\":\"gap-a.k.20\"");
}

static void a_gap_in_one_core_is_told_once_all_have_answered(void **state)
{
    fixture *host = *state;
    static const char *const resumed[CORES] = { "1", "1", "1" };
    uint64_t id = stream_open(host, "Last-Event-ID: 1.1.1\r\n", resumed);
    reply(host, 1, id, 200, 20, "");
    event(host, 1, id, "20", "dromio.gap.v1");
    reply(host, 0, id, 200, 10, "");
    reply(host, 2, id, 200, 72, "");
    const char *first = strstr(heard(host), "event: dromio.gap.v1");
    assert_non_null(first);
    assert_null(strstr(first + 1, "event: dromio.gap.v1"));
}

static void a_stream_of_one_twin_is_that_of_its_core(void **state)
{
    fixture *host = *state;
    uint32_t home = directory_route(&host->directory, DIRECTORY_ID, "a@acme.example", 14);
    say(host, "GET /v1/events?twin=a@acme.example" HEAD "\r\n");
    for (uint32_t core = 0; core < CORES; core++) {
        uint64_t id = asked(host, core, MESSAGE_SUBSCRIBE);
        assert_true((id != 0) == (core == home));
        if (id != 0)
            reply(host, core, id, 200, 5, "");
    }
    assert_heard(host, "HTTP/1.1 200 ");
}

static void what_one_core_refuses_ends_the_stream_in_all(void **state)
{
    fixture *host = *state;
    uint64_t id = stream_open(host, "", from_now);
    reply(host, 0, id, 200, 10, "");
    reply(host, 1, id, 503, UINT64_MAX, "{\"status\":503}");
    assert_heard(host, "HTTP/1.1 503 ");
    for (uint32_t core = 0; core < CORES; core++)
        assert_int_equal(asked(host, core, MESSAGE_UNSUBSCRIBE), id);
}

static void a_stream_that_one_full_ring_refused_is_taken_back_from_the_others(void **state)
{
    fixture *host = *state;
    while (ring_send(&host->to_core[1], MESSAGE_PEER, 0, 0, abc, sizeof abc))
        ;
    say(host, "GET /v1/events" HEAD "\r\n");
    assert_heard(host, "HTTP/1.1 503 ");
    uint64_t id = asked(host, 0, MESSAGE_SUBSCRIBE);
    assert_int_not_equal(id, 0);
    assert_int_equal(asked(host, 0, MESSAGE_UNSUBSCRIBE), id);
    assert_int_equal(asked(host, 2, MESSAGE_SUBSCRIBE), 0);
    assert_int_equal(host->http->stream_count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_goes_to_the_core_of_its_twin),
        TEST(an_alias_leads_to_the_core_of_its_twin),
        TEST(what_is_the_host_s_goes_to_core_0),
        TEST(lines_of_bulk_go_to_their_cores_and_come_back_in_order),
        TEST(a_page_is_filled_by_one_core_after_the_other),
        TEST(a_page_that_ends_with_a_core_goes_on_with_the_next),
        TEST(a_cursor_of_another_number_of_cores_is_400),
        TEST(what_a_core_refuses_of_a_page_is_told),
        TEST(only_so_many_lists_are_made_at_once),
        TEST(dead_letters_are_those_of_all_cores),
        TEST(the_desk_is_asked_once_all_cores_have_shown_what_they_answered),
        TEST(the_desk_speaks_of_queries_only),
        TEST(health_is_503_while_one_core_answers_nothing),
        TEST(cores_that_wait_for_their_part_of_a_backup_hear_that_it_goes_on),
        TEST(a_stream_tells_how_far_it_is_in_each_core),
        TEST(a_stream_resumes_in_each_core_where_it_was),
        TEST(an_id_of_another_number_of_cores_begins_with_a_gap),
        TEST(a_gap_in_one_core_is_told_once_all_have_answered),
        TEST(a_stream_of_one_twin_is_that_of_its_core),
        TEST(what_one_core_refuses_ends_the_stream_in_all),
        TEST(a_stream_that_one_full_ring_refused_is_taken_back_from_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Bytes of a client -> the HTTP side of the gate -> a scripted core. The first
 * byte says how the rest is cut into reads. Whatever comes: nothing is left when
 * the client is gone, and what the core gets is well formed. */
#include <assert.h>
#include <errno.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fields.h"
#include "base/log.h"
#include "gate/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RING_BYTES = 1 << 20, TURNS_AFTER = 8, NS_PER_MS = 1000000 };

static struct {
    dro_clock_fake clock;
    loop *loop;
    http *http;
    gate_config config;
    ring_writer to_core, to_desk;
    ring_reader core;
    ring_reader desk;
} host;

static void *ring_memory(void)
{
    void *memory = aligned_alloc(64, (ring_bytes(RING_BYTES) + 63) & ~(size_t)63);
    assert(memory != NULL);
    ring_format(memory, RING_BYTES);
    return memory;
}

static void put_token(const char *text, uint32_t scopes, uint8_t is_one_time)
{
    struct {
        credential row;
        uint8_t domain[2 + 12];
    } message = { .row = { .number = scopes == SCOPE_ADMIN ? 0 : 1, .scopes = scopes, .is_one_time = is_one_time } };
    SHA256((const uint8_t *)text, strlen(text), message.row.token);
    message.domain[0] = API_FIELD_DOMAIN;
    message.domain[1] = 12;
    memcpy(message.domain + 2, "acme.example", 12);
    http_on_message(host.http, 0, MESSAGE_CREDENTIAL, 0, &message, sizeof message.row + sizeof message.domain);
}

static void start(void)
{
    void *memory = ring_memory();
    dro_log_setup("fuzz", DRO_LOG_ERROR);
    dro_clock_fake_init(&host.clock, 1795348800000);
    ring_writer_open(&host.to_core, memory, RING_BYTES, -1);
    ring_reader_open(&host.core, memory, RING_BYTES);
    memory = ring_memory();
    ring_writer_open(&host.to_desk, memory, RING_BYTES, -1);
    ring_reader_open(&host.desk, memory, RING_BYTES);
    host.loop = loop_new(&host.clock.clock);
    host.config = (gate_config){ .core_count = 1,
                                 .to_core = &host.to_core,
                                 .to_desk = &host.to_desk,
                                 .version = "1",
                                 .http_listener = eventfd(0, EFD_NONBLOCK),
                                 .clock = &host.clock.clock };
    dro_err err = http_new(&host.http, &host.config, host.loop, NULL, NULL);
    assert(err == DRO_OK);
    (void)err;
    put_token("a", SCOPE_ADMIN, 0);
    put_token("r", SCOPE_READ | SCOPE_WRITE | SCOPE_IMAGES, 0);
    put_token("o", SCOPE_ADMIN, 1);
}

/* What the core may rely on: fields end where the message ends, names are short, ids are ids. */
static uint16_t check_request(const uint8_t *body, uint32_t length)
{
    api_request request;
    dro_field field;
    assert(length >= sizeof request);
    memcpy(&request, body, sizeof request);
    dro_cursor in = dro_cursor_over(body + sizeof request, length - sizeof request);
    while (dro_field_next(&in, &field)) {
        assert(field.tag <= API_FIELD_PROPERTY);
        if (field.tag == API_FIELD_ID || field.tag == API_FIELD_ALIAS)
            assert(field.length >= 3 && field.length <= 253 && memchr(field.bytes, '@', field.length) != NULL);
        if (field.tag == API_FIELD_IMSI)
            assert(field.length >= 6 && field.length <= 15);
        if (field.tag == API_FIELD_IMAGE)
            assert(field.length == 32);
    }
    assert(in.err == DRO_OK);
    return request.operation;
}

static void answer(uint64_t id, uint16_t status, uint8_t content, uint8_t more, const char *body)
{
    uint8_t bytes[512];
    api_reply reply = {
        .status = status, .content = content, .more = more, .etag = id % 3, .body_length = (uint32_t)strlen(body)
    };
    memcpy(bytes, &reply, sizeof reply);
    memcpy(bytes + sizeof reply, body, strlen(body));
    http_on_message(host.http, 0, MESSAGE_API_REPLY, id, bytes, (uint32_t)(sizeof reply + strlen(body)));
}

static void on_message(const ring_header *header, const uint8_t *body)
{
    static uint32_t count;
    uint32_t length = header->length - (uint32_t)sizeof *header;
    uint16_t operation = 0;
    if (header->type == MESSAGE_API || header->type == MESSAGE_SUBSCRIBE)
        operation = check_request(body, length);
    if (header->type == MESSAGE_SUBSCRIBE) {
        struct {
            stream_event head;
            char text[8];
        } event = { { 2, 2, 4, 0 }, "idevdata" };
        answer(header->id, 200, CONTENT_NONE, 0, "");
        http_on_message(host.http, 0, MESSAGE_STREAM_EVENT, header->id, &event, sizeof event);
    } else if (header->type == MESSAGE_QUERY || operation == API_BARRIER) {
        answer(header->id, 200, CONTENT_JSON, 0, "{}");
    } else if (operation == API_THING_DESCRIPTION) {
        answer(header->id, 200, CONTENT_THING_MODEL, 0,
               "{\"title\":\"t\",\"properties\":{\"a\":{\"type\":\"number\"}}}");
    } else if (header->type == MESSAGE_API && operation != API_IMAGE_PUT) {
        switch (count++ % 4) {
        case 0: answer(header->id, 404, CONTENT_PROBLEM, 0, "{\"status\":404}"); break;
        case 1:
            answer(header->id, 200, CONTENT_JSON, 1, "{");
            answer(header->id, 200, CONTENT_JSON, 0, "}");
            break;
        default: answer(header->id, 200, CONTENT_JSON, 0, "{}"); break;
        }
    }
}

static void drain(ring_reader *reader, ring_writer *writer)
{
    ring_header header;
    dro_err err;
    const uint8_t *body;
    ring_publish(writer);
    while ((body = ring_next(reader, &header, &err)) != NULL) {
        on_message(&header, body);
        ring_done(reader, &header);
    }
    assert(err == DRO_OK);
    ring_release(reader);
}

static void turn(int client)
{
    char waste[65536];
    loop_turn(host.loop, 0);
    http_turn(host.http);
    drain(&host.core, &host.to_core);
    drain(&host.desk, &host.to_desk);
    http_turn(host.http);
    while (client >= 0 && recv(client, waste, sizeof waste, MSG_DONTWAIT) > 0)
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int pair[2];
    if (host.http == NULL)
        start();
    if (size < 2 || size > 100000 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) != 0)
        return 0;
    size_t step = data[0] == 0 ? size : data[0];
    connection_open(host.http, pair[0]);
    int tries = 0; /* it may rightly read no more: an event stream in front, an answer that never comes */
    for (size_t at = 1; at < size && tries < TURNS_AFTER;) {
        size_t part = size - at < step ? size - at : step;
        ssize_t sent = send(pair[1], data + at, part, MSG_NOSIGNAL);
        if (sent > 0)
            at += (size_t)sent;
        else if (errno != EAGAIN)
            break;
        turn(pair[1]);
        tries = sent > 0 ? 0 : tries + 1;
    }
    if (data[0] & 1) /* sometimes it waits for the end of its time */
        dro_clock_fake_advance(&host.clock, (int64_t)HTTP_ANSWER_MS * 2 * NS_PER_MS);
    shutdown(pair[1], SHUT_WR);
    for (int i = 0; i < TURNS_AFTER; i++)
        turn(pair[1]);
    close(pair[1]);
    for (int i = 0; i < TURNS_AFTER; i++)
        turn(-1);
    dro_clock_fake_advance(&host.clock, (int64_t)HTTP_UPLOAD_MS * 2 * NS_PER_MS);
    for (int i = 0; i < TURNS_AFTER; i++)
        turn(-1);
    assert(host.http->connection_count == 0 && host.http->under_way == 0 && block_pool_bytes(&host.http->blocks) == 0);
    assert(host.http->bulk_count == 0 && host.http->stream_count == 0 && host.http->query_count == 0 &&
           host.http->upload_count == 0);
    return 0;
}

#include "gate/http_testbed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fields.h"

enum { NS_PER_MS = 1000000, TURNS = 4 };

/* SHA-256 of "abc": FIPS 180-4, appendix B.1. */
static const uint8_t abc[] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                               0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                               0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad };

static void *ring_make(ring_writer *writer, ring_reader *reader)
{
    void *memory = aligned_alloc(64, (ring_bytes(BED_RING_BYTES) + 63) & ~(size_t)63);
    assert_non_null(memory);
    ring_format(memory, BED_RING_BYTES);
    ring_writer_open(writer, memory, BED_RING_BYTES, -1);
    ring_reader_open(reader, memory, BED_RING_BYTES);
    return memory;
}

http_testbed *bed_new(void)
{
    http_testbed *bed = calloc(1, sizeof *bed);
    assert_non_null(bed);
    bed->memory[0] = ring_make(&bed->to_core, &bed->core);
    bed->memory[1] = ring_make(&bed->to_desk, &bed->desk);
    dro_clock_fake_init(&bed->clock, 1795348800000);
    bed->loop = loop_new(&bed->clock.clock);
    bed->client = -1;
    bed->config = (gate_config){ .core_count = 1,
                                 .to_core = &bed->to_core,
                                 .to_desk = &bed->to_desk,
                                 .http_listener = eventfd(0, EFD_NONBLOCK),
                                 .clock = &bed->clock.clock };
    return bed;
}

int bed_open(http_testbed *bed)
{
    if (http_new(&bed->http, &bed->config, bed->loop, NULL, NULL) != DRO_OK)
        return 1;
    bed_let_in(bed, false);
    bed_connect(bed);
    return 0;
}

void bed_free(http_testbed *bed)
{
    http_free(bed->http);
    loop_free(bed->loop);
    close(bed->config.http_listener);
    if (bed->client >= 0)
        close(bed->client);
    free(bed->memory[0]);
    free(bed->memory[1]);
    free(bed);
}

int bed_set_up(void **state)
{
    *state = bed_new();
    return bed_open(*state);
}

int bed_tear_down(void **state)
{
    bed_free(*state);
    return 0;
}

void bed_let_in(http_testbed *bed, bool is_gone)
{
    credential row = { .scopes = SCOPE_ADMIN, .is_gone = is_gone };
    memcpy(row.token, abc, sizeof abc);
    http_on_message(bed->http, 0, MESSAGE_CREDENTIAL, 0, &row, sizeof row);
}

void bed_let_application_in(http_testbed *bed, const char *id, uint32_t scopes, const char *domain)
{
    uint8_t bytes[1024] = { 0 };
    credential row = { .number = 7, .scopes = scopes };
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    memcpy(row.token, abc, sizeof abc);
    dro_builder_bytes(&out, &row, sizeof row);
    dro_field_put_text(&out, API_FIELD_APPLICATION, id);
    dro_field_put_text(&out, API_FIELD_DOMAIN, domain);
    http_on_message(bed->http, 0, MESSAGE_CREDENTIAL, 0, bytes, (uint32_t)dro_builder_length(&out));
}

void bed_connect(http_testbed *bed)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    connection_open(bed->http, pair[0]);
    bed->client = pair[1];
    bed->length = 0;
    bed->text[0] = '\0';
}

void bed_turn(http_testbed *bed)
{
    for (int i = 0; i < TURNS; i++) {
        loop_turn(bed->loop, 0);
        http_turn(bed->http);
        ring_publish(&bed->to_core);
        ring_publish(&bed->to_desk);
    }
}

void bed_later(http_testbed *bed, int64_t ms)
{
    dro_clock_fake_advance(&bed->clock, ms * NS_PER_MS);
    bed_turn(bed);
}

void bed_say(http_testbed *bed, const char *text)
{
    assert_int_equal(send(bed->client, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    bed_turn(bed);
}

bool bed_hear(http_testbed *bed)
{
    for (;;) {
        ssize_t got = recv(bed->client, bed->text + bed->length, BED_TEXT_BYTES - 1 - bed->length, MSG_DONTWAIT);
        if (got <= 0)
            return got == 0;
        bed->length += (size_t)got;
        bed->text[bed->length] = '\0';
    }
}

void bed_assert_heard(http_testbed *bed, const char *start)
{
    bed_hear(bed);
    if (strncmp(bed->text, start, strlen(start)) != 0)
        fail_msg("heard %.400s", bed->text);
}

static uint64_t asked(http_testbed *bed, ring_reader *reader, uint16_t type)
{
    ring_header header;
    dro_err err;
    const uint8_t *body = ring_next(reader, &header, &err);
    if (body == NULL)
        return 0;
    assert_int_equal(header.type, type);
    bed->body_length = header.length - (uint32_t)sizeof header;
    assert_true(bed->body_length <= sizeof bed->body);
    memcpy(bed->body, body, bed->body_length);
    ring_done(reader, &header);
    ring_release(reader);
    return header.id;
}

uint64_t bed_asked(http_testbed *bed, uint16_t type)
{
    return asked(bed, &bed->core, type);
}

uint64_t bed_asked_desk(http_testbed *bed)
{
    return asked(bed, &bed->desk, MESSAGE_QUERY);
}

void bed_answer_with(http_testbed *bed, uint64_t id, uint8_t content, const char *text)
{
    static uint8_t message[BED_BODY_BYTES];
    api_reply reply = { .status = 200, .content = content, .etag = UINT64_MAX, .body_length = (uint32_t)strlen(text) };
    assert_true(sizeof reply + reply.body_length <= sizeof message);
    memcpy(message, &reply, sizeof reply);
    memcpy(message + sizeof reply, text, reply.body_length);
    http_on_message(bed->http, 0, MESSAGE_API_REPLY, id, message, (uint32_t)sizeof reply + reply.body_length);
    bed_turn(bed);
}

void bed_answer(http_testbed *bed, uint64_t id, uint16_t status)
{
    struct {
        api_reply reply;
        char body[2];
    } message = { { .status = status, .content = CONTENT_JSON, .etag = UINT64_MAX, .body_length = 2 }, "{}" };
    http_on_message(bed->http, 0, MESSAGE_API_REPLY, id, &message, sizeof message);
    bed_turn(bed);
}

void bed_begin_anew(http_testbed *bed)
{
    close(bed->client);
    bed_turn(bed);
    while (!ring_is_empty(&bed->core)) {
        ring_header header;
        dro_err err;
        if (ring_next(&bed->core, &header, &err) == NULL)
            break;
        ring_done(&bed->core, &header);
        ring_release(&bed->core);
    }
    bed_connect(bed);
}

/* What foreign HTTP servers answer: an application to a notification, or (first byte odd) a CAPIF core function to its
 * publisher, again and again with the next part of the input: each part is u16 LE length, bytes; the server closes after each.
 * A line `HTTP/1.1 NNN` is put in front unless the input has one. Whatever comes: the core hears what became of the notice,
 * what the publisher keeps is short and well formed, and the cycle goes on. */
#include <assert.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/fields.h"
#include "base/log.h"
#include "gate/courier.h"
#include "gate/publisher.h"
#include "ring/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RING_BYTES = 256 * 1024, TURNS_MAX = 64, PARTS_MAX = 12, INPUT_MAX = 64 * 1024, LONG_MS = 400 * 1000 };

static struct {
    dro_clock_fake clock;
    loop *home;
    int listener;
    char root[64];
    void *memory;
    ring_writer to_core;
    ring_reader core;
    uint32_t answers, states;
} bed;

static void on_aef(void *context, const char *aef)
{
    (void)context;
    assert(strlen(aef) < 256);
}

static void begin(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    if (bed.memory == NULL) {
        dro_log_setup("fuzz", DRO_LOG_NOTHING);
        dro_clock_fake_init(&bed.clock, 1795348800000);
        bed.memory = aligned_alloc(64, (ring_bytes(RING_BYTES) + 63) & ~(size_t)63);
        bed.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (bed.memory == NULL || bind(bed.listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(bed.listener, 64) != 0 ||
            getsockname(bed.listener, (struct sockaddr *)&address, &length) != 0)
            abort();
        snprintf(bed.root, sizeof bed.root, "http://127.0.0.1:%u", ntohs(address.sin_port));
    }
    ring_format(bed.memory, RING_BYTES);
    ring_writer_open(&bed.to_core, bed.memory, RING_BYTES, -1);
    ring_reader_open(&bed.core, bed.memory, RING_BYTES);
    bed.home = loop_new(&bed.clock.clock);
    bed.answers = bed.states = 0;
    if (bed.home == NULL)
        abort();
}

static void check_state(const uint8_t *body, size_t length)
{
    dro_cursor in = dro_cursor_over(body, length);
    dro_field field;
    assert(length >= sizeof(capif_news) && length <= sizeof(capif_news) + CAPIF_STATE_MAX);
    dro_cursor_bytes(&in, sizeof(capif_news));
    while (dro_field_next(&in, &field))
        assert(field.tag == API_FIELD_CAPIF_API || field.length < 512);
    assert(in.err == DRO_OK);
}

static void hear(void)
{
    ring_header header;
    dro_err err;
    const uint8_t *body;
    ring_publish(&bed.to_core);
    while ((body = ring_next(&bed.core, &header, &err)) != NULL) {
        if (header.type == MESSAGE_NOTICE_ANSWER) {
            notice_answer answer;
            memcpy(&answer, body, sizeof answer);
            assert(answer.outcome <= NOTICE_FAILED && (answer.outcome != NOTICE_TAKEN || answer.status / 100 == 2));
            bed.answers++;
        } else {
            assert(header.type == MESSAGE_CAPIF_STATE);
            check_state(body, header.length - sizeof header);
            bed.states++;
        }
        ring_done(&bed.core, &header);
    }
    assert(err == DRO_OK);
    ring_release(&bed.core);
}

/* The server: reads what was asked, says the bytes and goes. A reset, so that no port waits. */
static bool serve(const uint8_t *bytes, size_t length)
{
    static const char line[] = "HTTP/1.1 200 OK\r\n\r\n";
    char asked[16 * 1024];
    int peer = accept4(bed.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (peer < 0)
        return false;
    for (int i = 0; i < TURNS_MAX && recv(peer, asked, sizeof asked, 0) <= 0; i++)
        loop_turn(bed.home, 0);
    if (length < 5 || memcmp(bytes, "HTTP/", 5) != 0)
        if (send(peer, line, sizeof line - 1, MSG_NOSIGNAL) < 0)
            length = 0;
    if (length > 0 && send(peer, bytes, length, MSG_NOSIGNAL) < 0)
        length = 0;
    shutdown(peer, SHUT_WR);
    for (int i = 0; i < 8; i++)
        loop_turn(bed.home, 0);
    struct linger at_once = { 1, 0 };
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(peer);
    return true;
}

/* Until somebody calls. */
static bool answer_next(const uint8_t *bytes, size_t length)
{
    for (int i = 0; i < TURNS_MAX; i++) {
        loop_turn(bed.home, 0);
        if (serve(bytes, length))
            return true;
        hear();
    }
    return false;
}

static void notify(dro_cursor *in)
{
    uint8_t message[512];
    char link[128];
    notice_request request = { .kind = NOTICE_TEST };
    dro_builder out = dro_builder_over(message, sizeof message);
    courier_options options = { .root = "http://scef.dromio.test", .allow = "127.0.0.0/8", .to_core = &bed.to_core };
    courier *made;
    if (courier_new(&made, bed.home, &options) != DRO_OK)
        abort();
    snprintf(link, sizeof link, "%s/n", bed.root);
    dro_builder_bytes(&out, &request, sizeof request);
    dro_field_put_text(&out, API_FIELD_DESTINATION, link);
    dro_field_put_text(&out, API_FIELD_NAME, "/3gpp-nidd/v1/a/configurations/1");
    courier_on_notice(made, 0, 7, message, (uint32_t)dro_builder_length(&out));
    answer_next(in->at, dro_cursor_left(in));
    for (int i = 0; i < 8; i++)
        loop_turn(bed.home, 0);
    dro_clock_fake_advance(&bed.clock, LONG_MS * 1000000ll);
    for (int i = 0; i < 8 && bed.answers == 0; i++) {
        loop_turn(bed.home, 0);
        courier_flush(made);
        hear();
    }
    courier_free(made);
    assert(bed.answers <= 1);
}

static void publish(dro_cursor *in, bool is_registering)
{
    static const tls_pem no_files[CAPIF_FILES];
    gate_config config = { .identity = "scef.dromio.test", .t8_root = "http://scef.dromio.test", .clock = &bed.clock.clock, .core_count = 1,
                           .capif = { .publish = !is_registering, .check_s = 1, .allow = "127.0.0.0/8" } };
    publisher_options options = { .config = &config, .files = no_files, .to_core = &bed.to_core, .on_aef = on_aef };
    publisher *made;
    uint8_t state[256] = { 0 };
    dro_builder out = dro_builder_over(state, sizeof state);
    snprintf(config.capif.root, sizeof config.capif.root, "%s", bed.root);
    if (publisher_new(&made, bed.home, &options) != DRO_OK)
        abort();
    if (is_registering) { /* it is to leave: what it has there goes */
        dro_field_put_text(&out, API_FIELD_CAPIF_ROOT, bed.root);
        dro_field_put_text(&out, API_FIELD_CAPIF_REGISTRATION, "r1");
        dro_field_put_text(&out, API_FIELD_CAPIF_API, "\2\12 3gpp-nidd ");
        dro_field_pad(&out);
    }
    publisher_on_state(made, state, (uint32_t)dro_builder_length(&out));
    for (int i = 0; i < PARTS_MAX && dro_cursor_left(in) > 2; i++) {
        size_t length = dro_cursor_le(in, 2);
        if (length > dro_cursor_left(in))
            length = dro_cursor_left(in);
        if (!answer_next(dro_cursor_bytes(in, length), length))
            break;
        for (int k = 0; k < 8; k++)
            loop_turn(bed.home, 0);
        hear();
        publisher_flush(made);
        dro_clock_fake_advance(&bed.clock, LONG_MS * 1000000ll); /* after a failure it waits */
    }
    hear();
    uint8_t text[1024];
    out = dro_builder_over(text, sizeof text);
    publisher_metrics(made, &out);
    publisher_free(made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || size > INPUT_MAX)
        return 0;
    begin();
    dro_cursor in = dro_cursor_over(data + 1, size - 1);
    if (data[0] % 2 == 0)
        notify(&in);
    else
        publish(&in, data[0] % 4 == 3);
    loop_free(bed.home);
    for (int peer; (peer = accept4(bed.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;)
        close(peer);
    return 0;
}

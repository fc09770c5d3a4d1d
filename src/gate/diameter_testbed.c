#include "gate/diameter_testbed.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/diameter/check.h"
#include "wire/diameter/read.h"
#include "wire/diameter/vectors.h"

enum { TURNS_MAX = 2000, TURN_WAIT_MS = 1, METRICS_BYTES = 65536 };

void testbed_init(testbed *bed)
{
    *bed = (testbed){ 0 };
    dro_clock_fake_init(&bed->clock, 1795348800000); /* 2026-11-22 */
    bed->memory = aligned_alloc(64, (ring_bytes(TESTBED_RING) + 63) & ~(size_t)63);
    assert(bed->memory != NULL);
    ring_format(bed->memory, TESTBED_RING);
    ring_writer_open(&bed->to_core, bed->memory, TESTBED_RING, -1);
    ring_reader_open(&bed->core, bed->memory, TESTBED_RING);
    bed->config = (gate_config){ .core_count = 1, .to_core = &bed->to_core, .identity = "scef.dromio.test",
                                 .realm = "dromio.test", .peers = bed->peers, .accept_any_peer = true,
                                 .clock = &bed->clock.clock, .diameter_listener = -1 };
}

void testbed_start(testbed *bed)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert(descriptor >= 0);
    int result = bind(descriptor, (struct sockaddr *)&address, size) | listen(descriptor, 128) |
                 getsockname(descriptor, (struct sockaddr *)&address, &size);
    assert(result == 0);
    bed->port = ntohs(address.sin_port);
    bed->config.diameter_listener = descriptor;
    bed->home = loop_new(bed->config.clock);
    dro_err err = diameter_gate_new(&bed->gate, &bed->config, bed->home);
    assert(err == DRO_OK);
    testbed_turn(bed);
}

void testbed_stop(testbed *bed)
{
    diameter_gate_free(bed->gate);
    loop_free(bed->home);
    if (bed->config.diameter_listener >= 0)
        close(bed->config.diameter_listener);
    free(bed->memory);
}

void testbed_turn(testbed *bed)
{
    for (int i = 0; i < 3; i++) {
        loop_turn(bed->home, TURN_WAIT_MS);
        diameter_gate_flush(bed->gate);
    }
}

void testbed_pass(testbed *bed, uint32_t seconds)
{
    for (uint32_t i = 0; i < seconds; i++) {
        dro_clock_fake_advance(&bed->clock, 1000000000);
        testbed_turn(bed);
    }
}

int testbed_connect(testbed *bed)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(bed->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    assert(descriptor >= 0);
    int result = connect(descriptor, (struct sockaddr *)&address, sizeof address);
    assert(result == 0);
    testbed_turn(bed);
    return descriptor;
}

int testbed_open(testbed *bed)
{
    int descriptor = testbed_connect(bed);
    testbed_send(bed, descriptor, vector_cer, sizeof vector_cer);
    bool is_open = testbed_receive(bed, descriptor) && testbed_result(bed) == DIAMETER_SUCCESS;
    assert(is_open);
    return descriptor;
}

void testbed_send(testbed *bed, int socket, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (size_t done = 0; done < length;) {
        ssize_t sent = send(socket, at + done, length - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return; /* the other side has closed: the test sees it when it reads */
        done += sent > 0 ? (size_t)sent : 0;
        testbed_turn(bed);
    }
}

void testbed_send_message(testbed *bed, int socket, const void *bytes, size_t length)
{
    uint8_t copy[TESTBED_BYTES];
    assert(length <= sizeof copy);
    memcpy(copy, bytes, length);
    copy[1] = (uint8_t)(length >> 16);
    copy[2] = (uint8_t)(length >> 8);
    copy[3] = (uint8_t)length;
    testbed_send(bed, socket, copy, length);
}

/* 1: all there; 0: the connection ended; -1: not within the limit. */
static int receive_bytes(testbed *bed, int socket, uint8_t *out, size_t length)
{
    for (int turn = 0; turn < TURNS_MAX && length > 0; turn++) {
        ssize_t got = recv(socket, out, length, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return 0;
        if (got > 0) {
            out += got;
            length -= (size_t)got;
        } else {
            testbed_turn(bed);
        }
    }
    return length == 0 ? 1 : -1;
}

bool testbed_receive(testbed *bed, int socket)
{
    diameter_fault fault;
    if (receive_bytes(bed, socket, bed->bytes, 4) != 1)
        return false;
    uint32_t length = diameter_length(bed->bytes);
    assert(length >= DIAMETER_HEADER_BYTES && length <= sizeof bed->bytes);
    if (receive_bytes(bed, socket, bed->bytes + 4, length - 4) != 1)
        return false;
    bool is_good = diameter_read(&bed->message, bed->bytes, length, &fault);
    assert(is_good); /* what the gate writes can be read */
    return true;
}

bool testbed_is_closed(testbed *bed, int socket)
{
    uint8_t byte;
    int result;
    while ((result = receive_bytes(bed, socket, &byte, 1)) == 1)
        ;
    return result == 0;
}

bool testbed_is_silent(testbed *bed, int socket)
{
    uint8_t byte;
    for (int i = 0; i < 10; i++)
        testbed_turn(bed);
    return recv(socket, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

uint32_t testbed_result(const testbed *bed)
{
    uint32_t result, experimental;
    diameter_result_of(&bed->message, &result, &experimental);
    return result != 0 ? result : experimental;
}

bool testbed_core_has(testbed *bed, uint16_t type)
{
    ring_header header;
    dro_err err;
    for (int turn = 0; turn < 20; turn++) {
        const uint8_t *body = ring_next(&bed->core, &header, &err);
        assert(err == DRO_OK);
        if (body == NULL) {
            testbed_turn(bed);
            continue;
        }
        bed->type = header.type;
        bed->id = header.id;
        bed->length = header.length - (uint32_t)sizeof header;
        memcpy(bed->body, body, bed->length);
        ring_done(&bed->core, &header);
        ring_release(&bed->core);
        if (bed->type == type)
            return true;
    }
    return false;
}

void testbed_core_answers(testbed *bed, uint32_t result, uint32_t experimental)
{
    network_answer answer = { result, experimental };
    diameter_gate_on_answer(bed->gate, bed->id, &answer, sizeof answer);
}

void testbed_downlink(testbed *bed, uint64_t id, const char *host, uint32_t wait_until, uint32_t retransmit_until)
{
    uint8_t body[sizeof(downlink_request) + 600];
    downlink_request request = { .user = { .imsi = "001010000000001", .bearer_length = 1, .bearer = { 5 } },
                                 .wait_until = wait_until, .retransmit_until = retransmit_until,
                                 .host_length = (uint16_t)strlen(host), .realm_length = 11, .data_length = 3 };
    dro_builder out = dro_builder_over(body, sizeof body);
    dro_builder_bytes(&out, &request, sizeof request);
    dro_builder_text(&out, host);
    dro_builder_text(&out, "example.org");
    dro_builder_bytes(&out, "\x81\x00\x3c", 3);
    assert(out.err == DRO_OK);
    diameter_gate_on_downlink(bed->gate, 0, id, body, (uint32_t)dro_builder_length(&out));
}

uint64_t testbed_metric(testbed *bed, const char *name)
{
    static char text[METRICS_BYTES];
    dro_builder out = dro_builder_over(text, sizeof text - 1);
    diameter_gate_metrics(bed->gate, &out);
    assert(out.err == DRO_OK);
    *out.at = '\0';
    const char *line = strstr(text, name);
    return line == NULL ? 0 : strtoull(strchr(line, ' ') + 1, NULL, 10);
}

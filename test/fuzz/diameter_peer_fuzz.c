/* What one peer may send, over a socket pair into the whole Diameter side of the
 * gate. The first byte says: bit 0, capabilities are exchanged first; bit 1, a
 * downlink waits for its answer; bit 2, the core answers; bits 4 to 7, into how
 * many pieces the bytes are cut. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "gate/diameter_gate.h"
#include "wire/diameter/vectors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RING_BYTES = 64 * 1024, INPUT_MAX = 32 * 1024, SOCKET_BYTES = 1 << 20 };

static dro_clock_fake clock_now;
static loop *home;
static diameter_gate *gate;
static ring_writer to_core;
static ring_reader core;
static gate_config config = { .core_count = 1, .to_core = &to_core, .diameter_listener = -1, .identity = "scef.dromio.test",
                              .realm = "dromio.test", .accept_any_peer = true, .clock = &clock_now.clock };

static void start(void)
{
    void *memory = aligned_alloc(64, (ring_bytes(RING_BYTES) + 63) & ~(size_t)63);
    dro_log_setup("fuzz", DRO_LOG_ERROR);
    dro_clock_fake_init(&clock_now, 1795348800000);
    if (memory == NULL)
        abort();
    ring_format(memory, RING_BYTES);
    ring_writer_open(&to_core, memory, RING_BYTES, -1);
    ring_reader_open(&core, memory, RING_BYTES);
    home = loop_new(&clock_now.clock);
    if (home == NULL || diameter_gate_new(&gate, &config, home) != DRO_OK)
        abort();
}

static void serve_core(bool is_answering)
{
    ring_header header;
    dro_err err;
    network_answer answer = { .experimental = DIAMETER_ERROR_INVALID_EPS_BEARER };
    while (ring_next(&core, &header, &err) != NULL) {
        uint64_t id = header.id;
        bool is_request = header.type == MESSAGE_UPLINK || header.type == MESSAGE_CONNECTION;
        ring_done(&core, &header);
        if (is_request && is_answering)
            diameter_gate_on_answer(gate, id, &answer, sizeof answer);
    }
    ring_release(&core);
}

static void turn(int peer, bool is_answering)
{
    static uint8_t ignored[64 * 1024];
    loop_turn(home, 0);
    diameter_gate_flush(gate);
    serve_core(is_answering);
    diameter_gate_flush(gate);
    while (recv(peer, ignored, sizeof ignored, MSG_DONTWAIT) > 0)
        ;
}

static void send_downlink(void)
{
    struct {
        downlink_request request;
        char text[32];
    } body = { .request = { .user = { .imsi = "001010000000001", .bearer_length = 1 }, .host_length = 16, .realm_length = 11,
                            .data_length = 1 } };
    memcpy(body.text, "mme1.example.orgexample.orgx", 28);
    diameter_gate_on_downlink(gate, 0, 1, &body, sizeof body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int ends[2], bytes = SOCKET_BYTES;
    if (gate == NULL)
        start();
    if (size < 2 || size > INPUT_MAX || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0)
        return 0;
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    diameter_peer *peer = gate_peer_new(gate, ends[0], PEER_WAIT_CER);
    if (peer == NULL || !peer_watch(peer, EPOLLIN))
        abort();
    uint8_t choice = data[0];
    bool is_answering = (choice & 4) != 0;
    if ((choice & 1) != 0 && write(ends[1], vector_cer, sizeof vector_cer) > 0)
        turn(ends[1], is_answering);
    if ((choice & 2) != 0)
        send_downlink();
    size_t pieces = 1 + (choice >> 4), step = (size - 1 + pieces - 1) / pieces;
    for (size_t at = 1; at < size; at += step) {
        size_t length = size - at < step ? size - at : step;
        if (send(ends[1], data + at, length, MSG_NOSIGNAL) < 0)
            break;
        turn(ends[1], is_answering);
    }
    close(ends[1]);
    dro_clock_fake_advance(&clock_now, 700ll * 1000 * 1000 * 1000); /* whatever waits is over */
    turn(-1, false);
    turn(-1, false);
    if (gate->slots_used > 0 && gate->peers[0] != NULL)
        abort(); /* a peer survived its socket */
    return 0;
}

/* What one peer may send, over a socket pair into the whole Diameter side of the
 * gate. The first byte says: bit 0, capabilities are exchanged first; bit 1, a
 * downlink waits for its answer; bit 2, the core answers; bits 4 to 7, into how
 * many pieces the bytes are cut. */
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "fuzz_gate.h"
#include "wire/diameter/vectors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 32 * 1024 };

static bool is_answering;

static void serve(fuzz_gate *bed)
{
    ring_header header;
    dro_err err;
    network_answer answer = { .experimental = DIAMETER_ERROR_INVALID_EPS_BEARER };
    while (ring_next(&bed->core, &header, &err) != NULL) {
        uint64_t id = header.id;
        bool is_request = header.type == MESSAGE_UPLINK || header.type == MESSAGE_CONNECTION;
        ring_done(&bed->core, &header);
        if (is_request && is_answering)
            diameter_gate_on_answer(bed->gate, id, &answer, sizeof answer);
    }
}

static void turn(fuzz_gate *bed)
{
    static uint8_t ignored[64 * 1024];
    fuzz_gate_turn(bed);
    while (fuzz_gate_said(bed, ignored, sizeof ignored) > 0)
        ;
}

static void send_downlink(const fuzz_gate *bed)
{
    struct {
        downlink_request request;
        char text[32];
    } body = { .request = { .user = { .imsi = "001010000000001", .bearer_length = 1 }, .host_length = 16, .realm_length = 11,
                            .data_length = 1 } };
    memcpy(body.text, "mme1.example.orgexample.orgx", 28);
    diameter_gate_on_downlink(bed->gate, 0, 1, &body, sizeof body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fuzz_gate bed;
    if (size < 2 || size > INPUT_MAX || !fuzz_gate_begin(&bed, serve))
        return 0;
    uint8_t choice = data[0];
    is_answering = (choice & 4) != 0;
    if ((choice & 1) != 0 && send(bed.peer, vector_cer, sizeof vector_cer, MSG_NOSIGNAL) > 0)
        turn(&bed);
    if ((choice & 2) != 0)
        send_downlink(&bed);
    size_t pieces = 1 + (choice >> 4), step = (size - 1 + pieces - 1) / pieces;
    for (size_t at = 1; at < size; at += step) {
        size_t length = size - at < step ? size - at : step;
        if (send(bed.peer, data + at, length, MSG_NOSIGNAL) < 0)
            break;
        turn(&bed);
    }
    is_answering = false;
    fuzz_gate_end(&bed);
    return 0;
}

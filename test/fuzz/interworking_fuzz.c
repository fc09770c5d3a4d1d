/* What an MME and the SCEF of a home network may say to an IWK-SCEF: the AVPs behind good first ones of a request of
 * either (first byte: bits 0 to 2 the command, bit 3 who), or of the answer to an MO-Data-Request that was
 * passed on (bit 4). A request that passes can be read, and nothing waits for ever. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz_gate.h"
#include "wire/diameter/read.h"
#include "wire/diameter/vectors.h"
#include "wire/diameter/write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 16 * 1024, MESSAGE_BYTES = 20 * 1024, COMMAND = 7, OF_SCEF = 8, IS_ANSWER = 16 };

static roaming_policy policy = { .plmn = "26201", .home_count = 1, .homes = { { .plmn = "00101", .realm = "home.example", .uplink_rate = 50 } } };

static void serve(fuzz_gate *bed)
{
    ring_header header;
    dro_err err;
    for (const uint8_t *body; (body = ring_next(&bed->core, &header, &err)) != NULL;)
        ring_done(&bed->core, &header); /* nobody is at home here */
}

static void put_origin(bool is_scef, dro_builder *out)
{
    diameter_put_text(out, AVP_ORIGIN_HOST, is_scef ? "scef1.home.example" : "mme1.example.org");
    diameter_put_text(out, AVP_ORIGIN_REALM, is_scef ? "home.example" : "example.org");
}

static void open_as_scef(fuzz_gate *bed)
{
    uint8_t message[512];
    dro_builder out = dro_builder_over(message, sizeof message);
    size_t begin = diameter_begin(&out, &(diameter_header){ .code = COMMAND_CAPABILITIES_EXCHANGE, .flags = DIAMETER_FLAG_REQUEST });
    put_origin(true, &out);
    diameter_put_address(&out, AVP_HOST_IP_ADDRESS, "\x7f\0\0\1", 4);
    diameter_put_u32(&out, AVP_VENDOR_ID, 0);
    diameter_put_text(&out, AVP_PRODUCT_NAME, "fuzz");
    diameter_put_application(&out, DIAMETER_APPLICATION_T6A);
    diameter_end(&out, begin);
    if (send(bed->peer, message, dro_builder_length(&out), MSG_NOSIGNAL) < 0)
        abort();
}

static void send_with(int peer, const diameter_header *header, bool is_scef, const uint8_t *data, size_t size)
{
    static uint8_t message[MESSAGE_BYTES];
    dro_builder out = dro_builder_over(message, sizeof message);
    size_t begin = diameter_begin(&out, header);
    diameter_put_text(&out, AVP_SESSION_ID, "mme1.example.org;1;1");
    if ((header->flags & DIAMETER_FLAG_REQUEST) == 0) {
        diameter_put_u32(&out, AVP_RESULT_CODE, DIAMETER_SUCCESS);
    } else {
        size_t group = diameter_group_begin(&out, AVP_USER_IDENTIFIER);
        diameter_put_text(&out, AVP_USER_NAME, "001010000000001");
        diameter_group_end(&out, group);
        if (header->code != COMMAND_REPORTING_INFORMATION && header->code != COMMAND_CONFIGURATION_INFORMATION)
            diameter_put(&out, AVP_BEARER_IDENTIFIER, "\5", 1);
        diameter_put_text(&out, AVP_DESTINATION_REALM, "dromio.test");
        if (is_scef)
            diameter_put_text(&out, AVP_DESTINATION_HOST, "mme1.example.org");
    }
    diameter_put_u32(&out, AVP_AUTH_SESSION_STATE, 1);
    put_origin(is_scef, &out);
    dro_builder_bytes(&out, data, size & ~(size_t)3);
    diameter_end(&out, begin);
    if (out.err != DRO_OK || send(peer, message, dro_builder_length(&out), MSG_NOSIGNAL) < 0)
        abort();
}

/* Each request that was written to a peer can be read; the header of the last one. */
static bool read_all(int peer, diameter_header *asked)
{
    static uint8_t said[128 * 1024];
    static diameter_message message;
    diameter_fault fault;
    ssize_t got = recv(peer, said, sizeof said, MSG_DONTWAIT);
    bool has_request = false;
    for (ssize_t at = 0; at + 4 <= got; at += diameter_length(said + at)) {
        if (diameter_length(said + at) > (size_t)(got - at))
            break; /* the socket had no room for more */
        bool is_read = diameter_read(&message, said + at, diameter_length(said + at), &fault);
        bool is_request = (message.header.flags & DIAMETER_FLAG_REQUEST) != 0; /* a refusal repeats the Proxy-Info that it refuses */
        if (!is_read && is_request && fault.result != DIAMETER_UNABLE_TO_COMPLY) /* more AVPs than we would read ourselves */
            abort();
        if (is_request && message.header.application == DIAMETER_APPLICATION_T6A) {
            has_request = true;
            *asked = message.header;
        }
    }
    return has_request;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t commands[] = { COMMAND_MO_DATA, COMMAND_MT_DATA, COMMAND_CONNECTION_MANAGEMENT, COMMAND_REPORTING_INFORMATION,
                                         COMMAND_CONFIGURATION_INFORMATION };
    static fuzz_gate bed;
    if (bed.gate == NULL)
        roaming_prepare(&policy);
    bed.roaming = &policy;
    if (size < 2 || size > INPUT_MAX || !fuzz_gate_begin(&bed, serve))
        return 0;
    int mme = bed.peer;
    if (send(mme, vector_cer, sizeof vector_cer, MSG_NOSIGNAL) < 0)
        abort();
    fuzz_gate_turn(&bed);
    if (!fuzz_gate_begin(&bed, serve)) {
        bed.peer = mme;
        fuzz_gate_end(&bed);
        return 0;
    }
    open_as_scef(&bed);
    fuzz_gate_turn(&bed);
    diameter_header header = { .code = commands[(data[0] & COMMAND) % 5], .application = DIAMETER_APPLICATION_T6A, .hop_by_hop = 1, .end_to_end = 1,
                               .flags = DIAMETER_FLAG_REQUEST | DIAMETER_FLAG_PROXIABLE }, asked;
    bool is_answer = (data[0] & IS_ANSWER) != 0, is_scef = !is_answer && (data[0] & OF_SCEF) != 0;
    if (is_answer)
        header.code = COMMAND_MO_DATA;
    send_with(is_scef ? bed.peer : mme, &header, is_scef, data + 1, is_answer ? 0 : size - 1);
    fuzz_gate_turn(&bed);
    bool has_passed = read_all(is_scef ? mme : bed.peer, &asked);
    if (is_answer && !has_passed)
        abort(); /* a good request did not pass */
    if (is_answer) {
        asked.flags = DIAMETER_FLAG_PROXIABLE;
        send_with(bed.peer, &asked, true, data + 1, size - 1);
        fuzz_gate_turn(&bed);
    }
    read_all(is_scef ? bed.peer : mme, &asked);
    close(mme);
    fuzz_gate_end(&bed);
    if (pending_incoming_count(bed.gate->pending) > 0 || pending_outgoing_count(bed.gate->pending) > 0)
        abort();
    return 0;
}

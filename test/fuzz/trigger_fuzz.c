/* What nodes may say of triggers: the AVPs behind good first ones of a Device-Notification-Request (0), a
 * Delivery-Report-Request (1), or of the answer to a question of ours (2 to 4: Tsp, S6m, T4), over a socket pair into the
 * whole Diameter side of the gate. What reaches the core is what the core expects. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fields.h"
#include "fuzz_gate.h"
#include "twin/identifier.h"
#include "twin/trigger.h"
#include "wire/diameter/vectors.h"
#include "wire/diameter/write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 16 * 1024, MESSAGE_BYTES = 20 * 1024, REFERENCE = 0x12300007 };

static const struct { uint32_t code, application, inquiry; } kinds[] = { /* inquiry 0: a request of theirs */
    { COMMAND_DEVICE_NOTIFICATION, DIAMETER_APPLICATION_TSP, 0 },
    { COMMAND_DELIVERY_REPORT, DIAMETER_APPLICATION_T4, 0 },
    { COMMAND_DEVICE_ACTION, DIAMETER_APPLICATION_TSP, INQUIRY_TRIGGER },
    { COMMAND_SUBSCRIBER_INFORMATION, DIAMETER_APPLICATION_S6M, INQUIRY_SUBSCRIBER },
    { COMMAND_DEVICE_TRIGGER, DIAMETER_APPLICATION_T4, INQUIRY_MESSAGE },
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static void check_field(const dro_field *field)
{
    char identifier[EXTERNAL_IDENTIFIER_MAX + 1];
    trigger_answer said;
    switch (field->tag) {
    case API_FIELD_IMSI: case API_FIELD_MSISDN:
        if (field->length == 0 || field->length > DIAMETER_DIGITS_MAX)
            abort();
        for (uint32_t i = 0; i < field->length; i++)
            if (field->bytes[i] < '0' || field->bytes[i] > '9')
                abort();
        break;
    case API_FIELD_ID:
        if (!external_identifier_read((const char *)field->bytes, field->length, identifier))
            abort();
        break;
    case API_FIELD_TRIGGER_WORD:
        if (field->length != sizeof said)
            abort();
        memcpy(&said, field->bytes, sizeof said);
        if (said.word >= TRIGGER_WORDS || said.may_change > 1)
            abort();
        break;
    case API_FIELD_SERVING_NODES:
        if (field->length == 0 || field->length > TRIGGER_NODES_MAX || field->length % 4 != 0)
            abort();
        break;
    case 0: break;
    default: abort();
    }
}

static void check_fields(const uint8_t *fields, size_t length)
{
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    while (dro_field_next(&in, &field))
        check_field(&field);
    if (in.err != DRO_OK)
        abort();
}

static void check_outcome(const uint8_t *body, size_t length)
{
    trigger_outcome outcome;
    memcpy(&outcome, body, sizeof outcome);
    size_t names = sizeof outcome + outcome.host_length + outcome.realm_length;
    if (outcome.result >= TRIGGER_RESULTS || names > length)
        abort();
    check_fields(body + names, length - names);
}

static void serve(fuzz_gate *bed)
{
    ring_header header;
    dro_err err;
    const uint8_t *body;
    network_answer answer = { .result = DIAMETER_INVALID_AVP_VALUE };
    while ((body = ring_next(&bed->core, &header, &err)) != NULL) {
        uint64_t id = header.id;
        uint32_t type = header.type;
        size_t length = header.length - sizeof header;
        if (type == MESSAGE_TRIGGER_OUTCOME)
            check_outcome(body, length);
        else if (type == MESSAGE_INQUIRY_ANSWER)
            check_fields(body + sizeof(inquiry_answer), length - sizeof(inquiry_answer));
        ring_done(&bed->core, &header);
        if (type == MESSAGE_TRIGGER_OUTCOME)
            diameter_gate_on_answer(bed->gate, id, &answer, sizeof answer);
    }
}

/* What the gate wrote; its length. */
static size_t turn(fuzz_gate *bed, uint8_t *said, size_t room)
{
    fuzz_gate_turn(bed);
    return fuzz_gate_said(bed, said, room);
}

/* The CER of an MME, as that of the node. */
static void open_as(fuzz_gate *bed, uint32_t application, uint8_t *said, size_t room)
{
    uint8_t cer[sizeof vector_cer];
    memcpy(cer, vector_cer, sizeof cer);
    cer[sizeof cer - 1] = application & 0xff; /* its last AVP is Auth-Application-Id */
    if (send(bed->peer, cer, sizeof cer, MSG_NOSIGNAL) < 0)
        abort();
    turn(bed, said, room);
}

static uint32_t number_at(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* The core asks; the ids of the question. */
static void ask(fuzz_gate *bed, uint32_t inquiry, diameter_header *header, uint8_t *said, size_t room)
{
    uint8_t body[256];
    dro_builder out = dro_builder_over(body, sizeof body);
    inquiry_request request = { .kind = (uint8_t)inquiry, .host_length = 16 };
    trigger_request trigger = { .reference = REFERENCE, .port = 4711, .validity_s = 60 };
    dro_builder_bytes(&out, &request, sizeof request);
    dro_builder_text(&out, "mme1.example.org");
    dro_field_put_text(&out, API_FIELD_ID, "t1@acme.example");
    dro_field_put_text(&out, API_FIELD_PAYLOAD, "wake up");
    dro_field_put(&out, API_FIELD_TRIGGER, &trigger, sizeof trigger);
    diameter_gate_on_inquiry(bed->gate, 0, 1, body, (uint32_t)dro_builder_length(&out));
    if (turn(bed, said, room) < 20)
        abort(); /* no question was asked */
    header->flags = DIAMETER_FLAG_PROXIABLE;
    header->hop_by_hop = number_at(said + 12);
    header->end_to_end = number_at(said + 16);
}

static void send_with(int peer, const diameter_header *header, const uint8_t *data, size_t size)
{
    static uint8_t message[MESSAGE_BYTES];
    dro_builder out = dro_builder_over(message, sizeof message);
    size_t begin = diameter_begin(&out, header);
    if ((header->flags & DIAMETER_FLAG_REQUEST) != 0) {
        diameter_put_text(&out, AVP_SESSION_ID, "mme1.example.org;1;1");
        diameter_put_text(&out, AVP_DESTINATION_HOST, "scef.dromio.test");
        diameter_put_text(&out, AVP_DESTINATION_REALM, "dromio.test");
    } else {
        diameter_put_u32(&out, AVP_RESULT_CODE, DIAMETER_SUCCESS);
    }
    if (header->application == DIAMETER_APPLICATION_TSP)
        diameter_put_u32(&out, AVP_AUTH_APPLICATION_ID, DIAMETER_APPLICATION_TSP);
    diameter_put_u32(&out, AVP_AUTH_SESSION_STATE, 1);
    diameter_put_text(&out, AVP_ORIGIN_HOST, "mme1.example.org");
    diameter_put_text(&out, AVP_ORIGIN_REALM, "example.org");
    dro_builder_bytes(&out, data, size & ~(size_t)3);
    diameter_end(&out, begin);
    if (out.err != DRO_OK || send(peer, message, dro_builder_length(&out), MSG_NOSIGNAL) < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t said[64 * 1024];
    static fuzz_gate bed;
    if (size < 2 || size > INPUT_MAX || !fuzz_gate_begin(&bed, serve))
        return 0;
    uint32_t kind = data[0] % KINDS;
    open_as(&bed, kinds[kind].application, said, sizeof said);
    diameter_header header = { .code = kinds[kind].code, .application = kinds[kind].application, .hop_by_hop = 1, .end_to_end = 1,
                               .flags = DIAMETER_FLAG_REQUEST | DIAMETER_FLAG_PROXIABLE };
    if (kinds[kind].inquiry != 0)
        ask(&bed, kinds[kind].inquiry, &header, said, sizeof said);
    send_with(bed.peer, &header, data + 1, size - 1);
    turn(&bed, said, sizeof said);
    fuzz_gate_end(&bed);
    return 0;
}

/* What an HSS may say of NIDD authorisation: the AVPs behind good first ones of a
 * NIDD-Information-Request (first byte even) or of the answer to one of ours (odd; 3: about a group), over a socket
 * pair into the whole Diameter side of the gate. What reaches the core is what the core expects. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fields.h"
#include "fuzz_gate.h"
#include "twin/identifier.h"
#include "wire/diameter/vectors.h"
#include "wire/diameter/write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 16 * 1024, MESSAGE_BYTES = 20 * 1024 };

static void check_digits(const dro_field *field)
{
    if (field->length == 0 || field->length > DIAMETER_DIGITS_MAX)
        abort();
    for (uint32_t i = 0; i < field->length; i++)
        if (field->bytes[i] < '0' || field->bytes[i] > '9')
            abort();
}

static void check_fields(const uint8_t *fields, size_t length)
{
    char identifier[EXTERNAL_IDENTIFIER_MAX + 1];
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    while (dro_field_next(&in, &field)) {
        if (field.tag != 0 && length % 8 != 0)
            abort(); /* what pads a message would be read as fields */
        if (field.tag == API_FIELD_IMSI || field.tag == API_FIELD_MSISDN)
            check_digits(&field);
        else if (field.tag == API_FIELD_ID && !external_identifier_read((const char *)field.bytes, field.length, identifier))
            abort();
        else if (field.tag == API_FIELD_APN_VALIDITY && field.length < 4)
            abort();
    }
    if (in.err != DRO_OK)
        abort();
}

static void serve(fuzz_gate *bed)
{
    ring_header header;
    dro_err err;
    const uint8_t *body;
    network_answer answer = { .result = DIAMETER_SUCCESS };
    while ((body = ring_next(&bed->core, &header, &err)) != NULL) {
        uint64_t id = header.id;
        uint32_t type = header.type;
        size_t length = header.length - sizeof header;
        if (type == MESSAGE_INQUIRY_ANSWER)
            check_fields(body + sizeof(inquiry_answer), length - sizeof(inquiry_answer));
        else if (type == MESSAGE_AUTHORIZATION_UPDATE)
            check_fields(body + sizeof(authorization_update), length - sizeof(authorization_update));
        else if (type == MESSAGE_GROUP_MEMBERS)
            check_fields(body + sizeof(group_members), length - sizeof(group_members));
        ring_done(&bed->core, &header);
        if (type == MESSAGE_AUTHORIZATION_UPDATE || type == MESSAGE_GROUP_MEMBERS)
            diameter_gate_on_answer(bed->gate, id, &answer, sizeof answer);
    }
}

/* What the gate wrote; its length. */
static size_t turn(fuzz_gate *bed, uint8_t *said, size_t room)
{
    fuzz_gate_turn(bed);
    return fuzz_gate_said(bed, said, room);
}

/* The CER of an MME, as that of an HSS. */
static void open_as_hss(fuzz_gate *bed, uint8_t *said, size_t room)
{
    uint8_t cer[sizeof vector_cer];
    memcpy(cer, vector_cer, sizeof cer);
    cer[sizeof cer - 1] = DIAMETER_APPLICATION_S6T & 0xff; /* its last AVP is Auth-Application-Id */
    if (send(bed->peer, cer, sizeof cer, MSG_NOSIGNAL) < 0)
        abort();
    turn(bed, said, room);
}

static uint32_t number_at(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void send_with(int peer, const diameter_header *header, const uint8_t *data, size_t size)
{
    static uint8_t message[MESSAGE_BYTES];
    dro_builder out = dro_builder_over(message, sizeof message);
    size_t begin = diameter_begin(&out, header);
    if ((header->flags & DIAMETER_FLAG_REQUEST) != 0) {
        diameter_put_text(&out, AVP_SESSION_ID, "mme1.example.org;1;1");
        diameter_put_text(&out, AVP_DESTINATION_REALM, "dromio.test");
    } else {
        diameter_put_u32(&out, AVP_RESULT_CODE, DIAMETER_SUCCESS);
    }
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
    open_as_hss(&bed, said, sizeof said);
    diameter_header header = { .code = COMMAND_NIDD_INFORMATION, .application = DIAMETER_APPLICATION_S6T, .hop_by_hop = 1, .end_to_end = 1,
                               .flags = DIAMETER_FLAG_REQUEST | DIAMETER_FLAG_PROXIABLE };
    if (data[0] % 2 == 1) {
        uint8_t body[128];
        dro_builder out = dro_builder_over(body, sizeof body);
        inquiry_request request = { .kind = INQUIRY_NIDD, .host_length = 16, .group = data[0] % 4 == 3 ? 1 : 0 };
        dro_builder_bytes(&out, &request, sizeof request);
        dro_builder_text(&out, "mme1.example.org");
        dro_field_put_text(&out, API_FIELD_ID, "t1@acme.example");
        diameter_gate_on_inquiry(bed.gate, 0, 1, body, (uint32_t)dro_builder_length(&out));
        if (turn(&bed, said, sizeof said) < 20)
            abort(); /* no question was asked */
        header.flags = DIAMETER_FLAG_PROXIABLE;
        header.hop_by_hop = number_at(said + 12);
        header.end_to_end = number_at(said + 16);
    }
    send_with(bed.peer, &header, data + 1, size - 1);
    turn(&bed, said, sizeof said);
    fuzz_gate_end(&bed);
    return 0;
}

/* What nodes may say of what they watch: the AVPs behind good first ones of a Reporting-Information-Request (first byte
 * 0: of an HSS, 2: of a serving node) or of the answer to a question about monitoring (1: an HSS's, 3: a serving node's),
 * over a socket pair into the whole Diameter side of the gate. What reaches the core is what T8's tables say. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fields.h"
#include "fuzz_gate.h"
#include "twin/identifier.h"
#include "twin/t8_monitoring.h"
#include "wire/diameter/vectors.h"
#include "wire/diameter/write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 16 * 1024, MESSAGE_BYTES = 20 * 1024, REFERENCE = 1 << 20 | 7 };

static void check_object(const t8_object *object, const uint8_t *fields, size_t length)
{
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    while (dro_field_next(&in, &field)) {
        const t8_member *member = t8_member_of(object, field.tag);
        uint32_t options = 0;
        if (member == NULL)
            abort();
        while (member->options != NULL && member->options[options] != NULL)
            options++;
        bool is_good = true;
        switch (member->kind) {
        case T8_TEXT: is_good = field.length > 0 && field.length <= T8_TEXT_MAX; break;
        case T8_INTEGER: case T8_TIME: case T8_NUMBER: is_good = field.length == 8; break;
        case T8_BOOLEAN: is_good = field.length == 1 && field.bytes[0] <= 1; break;
        case T8_OPTION: is_good = field.length == 1 && field.bytes[0] < options; break;
        case T8_OBJECT: check_object(member->object, field.bytes, field.length); break;
        default: break;
        }
        if (!is_good)
            abort();
    }
    if (in.err != DRO_OK)
        abort();
}

static void check_told(const uint8_t *fields, size_t length)
{
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    while (dro_field_next(&in, &field)) {
        if (field.tag == TOLD_FIELD_REPORT)
            check_object(&t8_monitoring_report, field.bytes, field.length);
        else if (field.length != 1)
            abort();
    }
    if (in.err != DRO_OK)
        abort();
}

static void check_fields(const uint8_t *fields, size_t length)
{
    char identifier[EXTERNAL_IDENTIFIER_MAX + 1];
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    while (dro_field_next(&in, &field)) {
        if (field.tag == API_FIELD_TOLD)
            check_told(field.bytes, field.length);
        else if (field.tag == API_FIELD_REPORT)
            check_object(&t8_monitoring_report, field.bytes, field.length);
        else if (field.tag == API_FIELD_ID && !external_identifier_read((const char *)field.bytes, field.length, identifier))
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
    while ((body = ring_next(&bed->core, &header, &err)) != NULL) {
        uint64_t id = header.id;
        size_t length = header.length - sizeof header;
        bool is_report = header.type == MESSAGE_NETWORK_REPORT;
        network_report head = { 0 };
        if (header.type == MESSAGE_INQUIRY_ANSWER)
            check_fields(body + sizeof(inquiry_answer), length - sizeof(inquiry_answer));
        if (is_report) {
            memcpy(&head, body, sizeof head);
            check_fields(body + sizeof head, length - sizeof head);
        }
        ring_done(&bed->core, &header);
        report_answer answer = { head.reference == REFERENCE ? VERDICT_DONE : VERDICT_NOT_THERE, head.place };
        if (is_report)
            diameter_gate_on_report_answer(bed->gate, id, &answer, sizeof answer);
    }
}

static size_t turn(fuzz_gate *bed, uint8_t *said, size_t room)
{
    fuzz_gate_turn(bed);
    return fuzz_gate_said(bed, said, room);
}

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
    diameter_put_u32(&out, AVP_AUTH_SESSION_STATE, 1);
    diameter_put_text(&out, AVP_ORIGIN_HOST, "mme1.example.org");
    diameter_put_text(&out, AVP_ORIGIN_REALM, "example.org");
    dro_builder_bytes(&out, data, size & ~(size_t)3);
    diameter_end(&out, begin);
    if (out.err != DRO_OK || send(peer, message, dro_builder_length(&out), MSG_NOSIGNAL) < 0)
        abort();
}

/* What a subscription is made of; of an area: which. */
static void put_resource(bool is_area, dro_builder *out)
{
    size_t resource = t8_object_begin(out, API_FIELD_RESOURCE);
    t8_put_byte(out, MONITORING_TYPE, is_area ? MONITORING_NUMBER_OF_UES_IN_AN_AREA : MONITORING_LOCATION_REPORTING);
    if (is_area) {
        size_t area = t8_object_begin(out, MONITORING_AREA);
        dro_field_put_text(out, AREA_CELLS, "001-01-0a1b2c3");
        t8_object_end(out, area);
    }
    t8_object_end(out, resource);
}

static void ask(fuzz_gate *bed, bool is_area)
{
    uint8_t body[256];
    uint32_t reference = REFERENCE;
    dro_builder out = dro_builder_over(body, sizeof body);
    inquiry_request request = { .kind = is_area ? INQUIRY_AREA : INQUIRY_MONITORING, .host_length = 16, .is_to_host = is_area };
    dro_builder_bytes(&out, &request, sizeof request);
    dro_builder_text(&out, "mme1.example.org");
    dro_field_put_text(&out, API_FIELD_ID, "t1@acme.example");
    dro_field_put(&out, API_FIELD_REFERENCE, &reference, sizeof reference);
    put_resource(is_area, &out);
    diameter_gate_on_inquiry(bed->gate, 0, 1, body, (uint32_t)dro_builder_length(&out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t said[64 * 1024];
    static fuzz_gate bed;
    if (size < 2 || size > INPUT_MAX || !fuzz_gate_begin(&bed, serve))
        return 0;
    bool is_answer = data[0] % 2 == 1, is_of_node = data[0] % 4 >= 2;
    uint32_t application = is_of_node ? DIAMETER_APPLICATION_T6A : DIAMETER_APPLICATION_S6T;
    open_as(&bed, application, said, sizeof said);
    diameter_header header = { .code = COMMAND_REPORTING_INFORMATION, .application = application, .hop_by_hop = 1, .end_to_end = 1,
                               .flags = DIAMETER_FLAG_REQUEST | DIAMETER_FLAG_PROXIABLE };
    if (is_answer) {
        ask(&bed, is_of_node);
        if (turn(&bed, said, sizeof said) < 20)
            abort(); /* no question was asked */
        header.code = COMMAND_CONFIGURATION_INFORMATION;
        header.flags = DIAMETER_FLAG_PROXIABLE;
        header.hop_by_hop = number_at(said + 12);
        header.end_to_end = number_at(said + 16);
    }
    send_with(bed.peer, &header, data + 1, size - 1);
    turn(&bed, said, sizeof said);
    fuzz_gate_end(&bed);
    return 0;
}

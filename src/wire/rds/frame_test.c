/* Frames by the figure of spec/rds_frame.csv, worked out by hand, bit by bit:
 *
 *          8    7    6    5   4   3   2   1
 *   I      PD   C/R  ADS  0   A   N(S)          N(R) (8-6) S (5-4) R (3-1)   ports
 *   S      PD   C/R  ADS  1   0   A   X   X     as I                         ports
 *   UI     PD   C/R  ADS  1   1   0   X   X     N(U) (8-6) X                 ports
 *   U      PD   C/R  ADS  1   1   1   M                                      ports
 *
 * No capture of a device has been seen: these bytes prove that the codec is the table, not that the table is TS 24.250. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/rds/frame.h"

/* Acknowledgement asked for, N(S) 5, N(R) 2, ACK, from port 3 to port 7. */
static const uint8_t i_frame[] = { 0x2d, 0x48, 0x37, 'h', 'i' };
/* The same from the only application: no port octet. */
static const uint8_t i_frame_portless[] = { 0x0d, 0x48, 'h', 'i' };
/* Response, N(R) 6, SACK with bitmap 5, from port 15 to port 0. */
static const uint8_t s_frame[] = { 0x70, 0xdd, 0xf0 };
/* N(U) 4, from port 1 to port 2. */
static const uint8_t ui_frame[] = { 0x38, 0x80, 0x12, 'h', 'i' };
/* SET_ACK_MODE, command, no ports: the shortest header. */
static const uint8_t u_frame[] = { 0x1c };
/* MANAGE_PORT, response, ports 9 and 10. */
static const uint8_t u_frame_manage[] = { 0x7e, 0x9a, 'h', 'i' };

static rds_frame frame_of(enum rds_type type, const char *information)
{
    size_t length = strlen(information);
    return (rds_frame){ .type = type, .information = length > 0 ? (const uint8_t *)information : NULL, .length = length };
}

static rds_frame ported(rds_frame frame, uint8_t source, uint8_t destination)
{
    frame.fields[RDS_FIELD_ADS] = 1;
    frame.fields[RDS_FIELD_SOURCE_PORT] = source;
    frame.fields[RDS_FIELD_DESTINATION_PORT] = destination;
    return frame;
}

static void assert_both_ways(const rds_frame *frame, const uint8_t *bytes, size_t length)
{
    uint8_t room[64];
    dro_builder out = dro_builder_over(room, sizeof room);
    rds_put(&out, frame);
    assert_int_equal(out.err, DRO_OK);
    assert_int_equal(dro_builder_length(&out), length);
    assert_memory_equal(room, bytes, length);
    rds_frame read;
    assert_int_equal(rds_read(bytes, length, &read), RDS_GOOD);
    assert_int_equal(read.type, frame->type);
    for (int i = 0; i < RDS_FIELDS; i++)
        if (i != RDS_FIELD_PD && i != RDS_FIELD_TYPE)
            assert_int_equal(read.fields[i], frame->fields[i]);
    assert_int_equal(read.length, frame->length);
    assert_true(read.length == 0 || memcmp(read.information, frame->information, read.length) == 0);
}

static void an_information_frame_has_numbers_ports_and_asks(void **state)
{
    (void)state;
    rds_frame frame = frame_of(RDS_I, "hi");
    frame.fields[RDS_FIELD_A] = 1;
    frame.fields[RDS_FIELD_N_S] = 5;
    frame.fields[RDS_FIELD_N_R] = 2;
    frame.fields[RDS_FIELD_S] = RDS_ACK;
    assert_both_ways(&frame, i_frame_portless, sizeof i_frame_portless);
    frame = ported(frame, 3, 7);
    assert_both_ways(&frame, i_frame, sizeof i_frame);
}

static void a_supervisory_frame_acknowledges(void **state)
{
    (void)state;
    rds_frame frame = ported(frame_of(RDS_S, ""), 15, 0);
    frame.fields[RDS_FIELD_C_R] = RDS_RESPONSE;
    frame.fields[RDS_FIELD_N_R] = 6;
    frame.fields[RDS_FIELD_S] = RDS_SACK;
    frame.fields[RDS_FIELD_R] = 5;
    assert_both_ways(&frame, s_frame, sizeof s_frame);
}

static void an_unconfirmed_frame_has_its_own_number(void **state)
{
    (void)state;
    rds_frame frame = ported(frame_of(RDS_UI, "hi"), 1, 2);
    frame.fields[RDS_FIELD_N_U] = 4;
    assert_both_ways(&frame, ui_frame, sizeof ui_frame);
}

static void a_control_frame_is_one_octet(void **state)
{
    (void)state;
    rds_frame frame = frame_of(RDS_U, "");
    frame.fields[RDS_FIELD_M] = RDS_SET_ACK_MODE;
    assert_both_ways(&frame, u_frame, sizeof u_frame);
    frame = ported(frame_of(RDS_U, "hi"), 9, 10);
    frame.fields[RDS_FIELD_C_R] = RDS_RESPONSE;
    frame.fields[RDS_FIELD_M] = RDS_MANAGE_PORT;
    assert_both_ways(&frame, u_frame_manage, sizeof u_frame_manage);
}

static void every_shorter_header_is_truncated(void **state)
{
    (void)state;
    static const struct { const uint8_t *bytes; size_t header; } frames[] = {
        { i_frame, 3 }, { i_frame_portless, 2 }, { s_frame, 3 }, { ui_frame, 3 }, { u_frame_manage, 2 },
    };
    rds_frame read;
    assert_int_equal(rds_read(NULL, 0, &read), RDS_EMPTY);
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++)
        for (size_t length = 1; length < frames[i].header; length++)
            assert_int_equal(rds_read(frames[i].bytes, length, &read), RDS_TRUNCATED);
}

static void bad_frames_are_refused_by_name(void **state)
{
    (void)state;
    static uint8_t long_frame[RDS_HEADER_MAX + RDS_N201 + 1] = { 0x38, 0x00, 0x12 };
    static const struct { uint8_t bytes[6]; size_t length; rds_fault fault; } bad[] = {
        { { 0xad, 0x48, 0x37, 'h', 'i' }, 5, RDS_FOREIGN },             /* the I frame above, PD 1 */
        { { 0xff }, 1, RDS_FOREIGN },
        { { 0x1f }, 1, RDS_UNKNOWN_FUNCTION },                          /* M 3 is nothing */
        { { 0x10, 0x08, 'h' }, 3, RDS_UNEXPECTED_INFORMATION },
    };
    rds_frame read;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(rds_read(bad[i].bytes, bad[i].length, &read), bad[i].fault);
    assert_int_equal(rds_read(long_frame, sizeof long_frame, &read), RDS_TOO_LONG);
    assert_int_equal(rds_read(long_frame, sizeof long_frame - 1, &read), RDS_GOOD);
    for (int fault = 0; fault < RDS_FAULTS; fault++)
        assert_true(strlen(rds_fault_text((rds_fault)fault)) > 3);
    assert_string_equal(rds_fault_text((rds_fault)RDS_FAULTS), "unknown");
}

static void spare_bits_are_passed_over(void **state)
{
    (void)state;
    static const uint8_t bytes[] = { 0x3b, 0x9f, 0x12, 'h', 'i' };
    rds_frame read;
    assert_int_equal(rds_read(bytes, sizeof bytes, &read), RDS_GOOD);
    assert_int_equal(read.type, RDS_UI);
    assert_int_equal(read.fields[RDS_FIELD_N_U], 4);
    assert_int_equal(read.fields[RDS_FIELD_X], 0);
}

static void a_full_buffer_takes_no_frame(void **state)
{
    (void)state;
    uint8_t room[4];
    rds_frame frame = ported(frame_of(RDS_I, "hi"), 3, 7);
    dro_builder out = dro_builder_over(room, sizeof room);
    rds_put(&out, &frame);
    assert_int_equal(out.err, DRO_LIMIT);
}

/* RESERVE, accepted; 3 and 7, JSON and CBOR, "meter"; 4 and 8, nothing. */
static const uint8_t managed[] = { 0x10, 0x37, 0x03, 5, 'm', 'e', 't', 'e', 'r', 0x48, 0x00, 0 };

static void ports_are_managed_in_pairs(void **state)
{
    (void)state;
    rds_manage read;
    uint8_t room[64];
    assert_int_equal(rds_manage_read(managed, sizeof managed, &read), RDS_GOOD);
    assert_int_equal(read.action, RDS_RESERVE);
    assert_int_equal(read.status, RDS_ACCEPTED);
    assert_int_equal(read.count, 2);
    assert_int_equal(read.ports[0].source, 3);
    assert_int_equal(read.ports[0].destination, 7);
    assert_int_equal(read.ports[0].formats, RDS_CBOR | RDS_JSON);
    assert_int_equal(read.ports[0].length, 5);
    assert_memory_equal(read.ports[0].application, "meter", 5);
    assert_int_equal(read.ports[1].length, 0);
    dro_builder out = dro_builder_over(room, sizeof room);
    rds_manage_put(&out, &read);
    assert_int_equal(dro_builder_length(&out), sizeof managed);
    assert_memory_equal(room, managed, sizeof managed);
}

static void bad_ports_are_refused(void **state)
{
    (void)state;
    uint8_t many[1 + 3 * (RDS_PORTS_MAX + 1)] = { 0x30 };
    uint8_t long_name[4 + RDS_APPLICATION_MAX + 1] = { 0x10, 0x11, 0, RDS_APPLICATION_MAX + 1 };
    rds_manage read;
    assert_int_equal(rds_manage_read(NULL, 0, &read), RDS_BAD_PORTS);
    assert_int_equal(rds_manage_read((const uint8_t[]){ 0x00 }, 1, &read), RDS_BAD_PORTS);
    assert_int_equal(rds_manage_read((const uint8_t[]){ 0x50 }, 1, &read), RDS_BAD_PORTS);
    for (size_t length = 2; length < sizeof managed; length++)
        if (length != 9) /* the end of the first pair */
            assert_int_equal(rds_manage_read(managed, length, &read), RDS_BAD_PORTS);
    assert_int_equal(rds_manage_read(many, sizeof many, &read), RDS_BAD_PORTS);
    assert_int_equal(rds_manage_read(many, sizeof many - 3, &read), RDS_GOOD);
    assert_int_equal(read.count, RDS_PORTS_MAX);
    assert_int_equal(rds_manage_read(long_name, sizeof long_name, &read), RDS_BAD_PORTS);
}

/* Each first octet of the service is of some type: the figure leaves none out. */
static void every_first_octet_has_a_type_and_a_name(void **state)
{
    (void)state;
    static const struct { uint8_t mask, value; enum rds_type type; const char *name; } types[] = {
        { 0x10, 0x00, RDS_I, "I" }, { 0x18, 0x10, RDS_S, "S" }, { 0x1c, 0x18, RDS_UI, "UI" }, { 0x1c, 0x1c, RDS_U, "U" },
    };
    for (unsigned first = 0; first < 0x80; first++) {
        uint8_t bytes[8] = { (uint8_t)first };
        rds_frame read;
        assert_int_not_equal(rds_read(bytes, sizeof bytes, &read), RDS_UNKNOWN_TYPE);
        for (int i = 0; i < 4; i++)
            if ((first & types[i].mask) == types[i].value)
                assert_string_equal(rds_type_text(read.type), types[i].name);
    }
    assert_string_equal(rds_type_text(RDS_TYPES), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_information_frame_has_numbers_ports_and_asks),
        cmocka_unit_test(a_supervisory_frame_acknowledges),
        cmocka_unit_test(an_unconfirmed_frame_has_its_own_number),
        cmocka_unit_test(a_control_frame_is_one_octet),
        cmocka_unit_test(every_shorter_header_is_truncated),
        cmocka_unit_test(bad_frames_are_refused_by_name),
        cmocka_unit_test(spare_bits_are_passed_over),
        cmocka_unit_test(a_full_buffer_takes_no_frame),
        cmocka_unit_test(ports_are_managed_in_pairs),
        cmocka_unit_test(bad_ports_are_refused),
        cmocka_unit_test(every_first_octet_has_a_type_and_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

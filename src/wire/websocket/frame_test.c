/* Frames of RFC 6455 5.7, and what Autobahn's cases ask of a server: bad ones by a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/websocket/frame.h"

/* RFC 6455 5.7: "Hello", masked with 37 fa 21 3d. */
static const uint8_t hello[] = { 0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58 };

typedef struct told { websocket_event event; size_t used; char text[WEBSOCKET_MESSAGE_MAX]; size_t length; } told;

static told hear(websocket_reader *reader, const void *bytes, size_t length)
{
    static uint8_t copy[WEBSOCKET_FRAME_MAX + 64];
    told out = { 0 };
    websocket_text text;
    assert_true(length <= sizeof copy);
    memcpy(copy, bytes, length);
    out.event = websocket_read(reader, copy, length, &out.used, &text);
    out.length = text.length;
    if (text.length > 0)
        memcpy(out.text, text.bytes, text.length);
    return out;
}

/* A masked frame with the mask 0, so that its payload can be read here. */
static size_t frame(uint8_t *out, uint8_t first, const void *payload, size_t length)
{
    size_t at = 0;
    out[at++] = first;
    if (length < 126) {
        out[at++] = (uint8_t)(0x80 | length);
    } else {
        out[at++] = 0x80 | 126;
        out[at++] = (uint8_t)(length >> 8);
        out[at++] = (uint8_t)length;
    }
    memset(out + at, 0, 4);
    at += 4;
    if (length > 0)
        memcpy(out + at, payload, length);
    return at + length;
}

static void the_masked_hello_of_the_rfc(void **state)
{
    (void)state;
    websocket_reader reader = { 0 };
    told got = hear(&reader, hello, sizeof hello);
    assert_int_equal(got.event, WEBSOCKET_MESSAGE);
    assert_int_equal(got.used, sizeof hello);
    assert_int_equal(got.length, 5);
    assert_memory_equal(got.text, "Hello", 5);
}

static void every_shorter_frame_needs_more(void **state)
{
    (void)state;
    for (size_t length = 0; length < sizeof hello; length++) {
        websocket_reader reader = { 0 };
        told got = hear(&reader, hello, length);
        assert_int_equal(got.event, WEBSOCKET_NEEDS_MORE);
        assert_int_equal(got.used, 0);
    }
}

static void a_message_in_fragments_with_a_ping_between(void **state)
{
    (void)state;
    uint8_t bytes[64];
    websocket_reader reader = { 0 };
    assert_int_equal(hear(&reader, bytes, frame(bytes, 0x01, "Hel", 3)).event, WEBSOCKET_NOTHING);
    told ping = hear(&reader, bytes, frame(bytes, 0x89, "x", 1));
    assert_int_equal(ping.event, WEBSOCKET_PING);
    assert_memory_equal(ping.text, "x", 1);
    assert_int_equal(hear(&reader, bytes, frame(bytes, 0x00, "", 0)).event, WEBSOCKET_NOTHING);
    told whole = hear(&reader, bytes, frame(bytes, 0x80, "lo", 2));
    assert_int_equal(whole.event, WEBSOCKET_MESSAGE);
    assert_int_equal(whole.length, 5);
    assert_memory_equal(whole.text, "Hello", 5);
}

static void a_character_may_be_split_between_frames(void **state)
{
    (void)state;
    uint8_t bytes[64];
    websocket_reader reader = { 0 };
    assert_int_equal(hear(&reader, bytes, frame(bytes, 0x01, "\xc3", 1)).event, WEBSOCKET_NOTHING);
    assert_int_equal(hear(&reader, bytes, frame(bytes, 0x80, "\xa4", 1)).event, WEBSOCKET_MESSAGE);
}

static void the_longest_message_and_one_byte_more(void **state)
{
    (void)state;
    uint8_t bytes[WEBSOCKET_FRAME_MAX + 64], payload[WEBSOCKET_FRAME_MAX + 1];
    memset(payload, 'a', sizeof payload);
    websocket_reader reader = { 0 };
    assert_int_equal(hear(&reader, bytes, frame(bytes, 0x81, payload, WEBSOCKET_FRAME_MAX)).event, WEBSOCKET_MESSAGE);
    assert_int_equal(hear(&reader, bytes, frame(bytes, 0x81, payload, WEBSOCKET_FRAME_MAX + 1)).event, WEBSOCKET_BROKEN);
    assert_int_equal(reader.code, WEBSOCKET_TOO_BIG);
    reader = (websocket_reader){ 0 };
    assert_int_equal(hear(&reader, bytes, frame(bytes, 0x01, payload, WEBSOCKET_MESSAGE_MAX)).event, WEBSOCKET_NOTHING);
    assert_int_equal(hear(&reader, bytes, frame(bytes, 0x80, payload, 1)).event, WEBSOCKET_BROKEN);
    assert_int_equal(reader.code, WEBSOCKET_TOO_BIG);
}

/* What a client may not send, by the header alone where that gives it away. */
static const struct { const char *what; uint8_t bytes[16]; size_t length; uint16_t code; } bad[] = {
    { "not masked", { 0x81, 0x05, 'H', 'e', 'l', 'l', 'o' }, 7, 1002 },
    { "reserved bit 1", { 0xc1, 0x80 }, 2, 1002 },
    { "reserved bit 2", { 0xa1, 0x80 }, 2, 1002 },
    { "reserved bit 3", { 0x91, 0x80 }, 2, 1002 },
    { "opcode 3", { 0x83, 0x80 }, 2, 1002 },
    { "opcode 7", { 0x87, 0x80 }, 2, 1002 },
    { "opcode 11", { 0x8b, 0x80 }, 2, 1002 },
    { "opcode 15", { 0x8f, 0x80 }, 2, 1002 },
    { "a ping in fragments", { 0x09, 0x80 }, 2, 1002 },
    { "a close in fragments", { 0x08, 0x80 }, 2, 1002 },
    { "a ping of 126 bytes", { 0x89, 0xfe, 0, 126 }, 4, 1002 },
    { "a ping with a length of 64 bits", { 0x89, 0xff }, 2, 1002 },
    { "a continuation of nothing", { 0x80, 0x80 }, 2, 1002 },
    { "binary", { 0x82, 0x80 }, 2, 1003 },
    { "a length of 16 bits that fits 7", { 0x81, 0xfe, 0, 125 }, 4, 1002 },
    { "a length of 64 bits that fits 16", { 0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff }, 10, 1002 },
    { "a length with its highest bit", { 0x81, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0 }, 10, 1002 },
    { "64 KiB", { 0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0 }, 10, 1009 },
    { "text that is not UTF-8", { 0x81, 0x81, 0, 0, 0, 0, 0xff }, 7, 1007 },
    { "a surrogate", { 0x81, 0x83, 0, 0, 0, 0, 0xed, 0xa0, 0x80 }, 9, 1007 },
    { "half a code in a close", { 0x88, 0x81, 0, 0, 0, 0, 3 }, 7, 1002 },
    { "close with 999", { 0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe7 }, 8, 1002 },
    { "close with 1004", { 0x88, 0x82, 0, 0, 0, 0, 0x03, 0xec }, 8, 1002 },
    { "close with 1005", { 0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed }, 8, 1002 },
    { "close with 1006", { 0x88, 0x82, 0, 0, 0, 0, 0x03, 0xee }, 8, 1002 },
    { "close with 1016", { 0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf8 }, 8, 1002 },
    { "close with 2999", { 0x88, 0x82, 0, 0, 0, 0, 0x0b, 0xb7 }, 8, 1002 },
    { "close with 5000", { 0x88, 0x82, 0, 0, 0, 0, 0x13, 0x88 }, 8, 1002 },
    { "a reason that is not UTF-8", { 0x88, 0x83, 0, 0, 0, 0, 0x03, 0xe8, 0xff }, 9, 1007 },
};

static void each_bad_frame_has_its_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        websocket_reader reader = { 0 };
        told got = hear(&reader, bad[i].bytes, bad[i].length);
        if (got.event != WEBSOCKET_BROKEN || reader.code != bad[i].code)
            fail_msg("%s: event %d code %u", bad[i].what, got.event, reader.code);
    }
}

static void a_new_text_inside_a_message_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[32];
    websocket_reader reader = { 0 };
    assert_int_equal(hear(&reader, bytes, frame(bytes, 0x01, "a", 1)).event, WEBSOCKET_NOTHING);
    assert_int_equal(hear(&reader, bytes, frame(bytes, 0x81, "b", 1)).event, WEBSOCKET_BROKEN);
    assert_int_equal(reader.code, WEBSOCKET_PROTOCOL_ERROR);
}

static void closes_that_are_good(void **state)
{
    (void)state;
    static const uint16_t codes[] = { 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1014, 3000, 3999, 4000, 4999 };
    uint8_t bytes[32];
    websocket_reader reader = { 0 };
    assert_int_equal(hear(&reader, bytes, frame(bytes, 0x88, "", 0)).event, WEBSOCKET_CLOSE);
    assert_int_equal(reader.code, 1005);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        uint8_t payload[] = { (uint8_t)(codes[i] >> 8), (uint8_t)codes[i], 'o', 'k' };
        reader = (websocket_reader){ 0 };
        assert_int_equal(hear(&reader, bytes, frame(bytes, 0x88, payload, sizeof payload)).event, WEBSOCKET_CLOSE);
        assert_int_equal(reader.code, codes[i]);
    }
}

/* RFC 6455 5.7: an unmasked "Hello", and headers of 256 bytes and 64 KiB. */
static void headers_of_the_server(void **state)
{
    (void)state;
    static const uint8_t small[] = { 0x81, 0x05 }, middle[] = { 0x81, 0x7e, 0x01, 0x00 }, large[] = { 0x81, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0 };
    static const struct { size_t length; const uint8_t *bytes; size_t count; } wanted[] = {
        { 5, small, sizeof small }, { 256, middle, sizeof middle }, { 65536, large, sizeof large },
    };
    for (size_t i = 0; i < 3; i++) {
        uint8_t bytes[WEBSOCKET_HEADER_MAX];
        dro_builder out = dro_builder_over(bytes, sizeof bytes);
        websocket_header_put(&out, OPCODE_TEXT, wanted[i].length);
        assert_int_equal(dro_builder_length(&out), wanted[i].count);
        assert_memory_equal(bytes, wanted[i].bytes, wanted[i].count);
    }
    uint8_t bytes[4];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    websocket_close_put(&out, 1002);
    assert_memory_equal(bytes, "\x88\x02\x03\xea", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_masked_hello_of_the_rfc),
        cmocka_unit_test(every_shorter_frame_needs_more),
        cmocka_unit_test(a_message_in_fragments_with_a_ping_between),
        cmocka_unit_test(a_character_may_be_split_between_frames),
        cmocka_unit_test(the_longest_message_and_one_byte_more),
        cmocka_unit_test(each_bad_frame_has_its_code),
        cmocka_unit_test(a_new_text_inside_a_message_is_refused),
        cmocka_unit_test(closes_that_are_good),
        cmocka_unit_test(headers_of_the_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

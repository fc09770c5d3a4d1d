#include "wire/websocket/frame.h"

#include <string.h>

#include "base/utf8.h"

enum {
    BIT_FINAL = 0x80, BITS_RESERVED = 0x70, BIT_MASKED = 0x80, BIT_CONTROL = 0x08,
    LENGTH_16 = 126, LENGTH_64 = 127, MASK_BYTES = 4, CODE_ABSENT = 1005,
};

typedef struct frame {
    uint8_t opcode;
    bool is_final;
    size_t header;           /* bytes of it, the mask included */
    uint64_t length;
    uint8_t *payload;
} frame;

static websocket_event broken(websocket_reader *reader, uint16_t code)
{
    reader->code = code;
    return WEBSOCKET_BROKEN;
}

static bool is_control(const frame *at)
{
    return (at->opcode & BIT_CONTROL) != 0;
}

static bool is_known(uint8_t opcode)
{
    return opcode <= OPCODE_BINARY || (opcode >= OPCODE_CLOSE && opcode <= OPCODE_PONG);
}

/* Length, with its bytes: in the shortest form (5.2). False: not whole yet, or (code set) wrong. */
static bool read_length(websocket_reader *reader, const uint8_t *bytes, size_t length, frame *out)
{
    uint8_t first = bytes[1] & (BIT_MASKED - 1);
    size_t more = first == LENGTH_16 ? 2 : first == LENGTH_64 ? 8 : 0;
    out->header = 2 + more + MASK_BYTES;
    out->length = first;
    if (length < 2 + more)
        return false;
    if (more > 0)
        out->length = 0;
    for (size_t i = 0; i < more; i++)
        out->length = out->length << 8 | bytes[2 + i];
    if ((first == LENGTH_16 && out->length < LENGTH_16) || (first == LENGTH_64 && (out->length <= UINT16_MAX || out->length >> 63 != 0)))
        reader->code = WEBSOCKET_PROTOCOL_ERROR;
    return reader->code == 0;
}

/* What the header alone gives away is judged before the rest is waited for. */
static websocket_event read_frame(websocket_reader *reader, uint8_t *bytes, size_t length, frame *out)
{
    reader->code = 0;
    if (length < 2)
        return WEBSOCKET_NEEDS_MORE;
    *out = (frame){ .opcode = bytes[0] & 0x0f, .is_final = (bytes[0] & BIT_FINAL) != 0 };
    bool is_good = (bytes[0] & BITS_RESERVED) == 0 && is_known(out->opcode) && (bytes[1] & BIT_MASKED) != 0; /* 5.1: clients mask */
    if (!is_good || (is_control(out) && (!out->is_final || (bytes[1] & (BIT_MASKED - 1)) > WEBSOCKET_CONTROL_MAX)))
        return broken(reader, WEBSOCKET_PROTOCOL_ERROR);
    if (!is_control(out) && (out->opcode == OPCODE_CONTINUATION) != reader->is_in_message)
        return broken(reader, WEBSOCKET_PROTOCOL_ERROR);
    if (out->opcode == OPCODE_BINARY)
        return broken(reader, WEBSOCKET_UNSUPPORTED);
    if (!read_length(reader, bytes, length, out))
        return reader->code != 0 ? WEBSOCKET_BROKEN : WEBSOCKET_NEEDS_MORE;
    if (out->length > WEBSOCKET_FRAME_MAX || (!is_control(out) && out->length > WEBSOCKET_MESSAGE_MAX - reader->length))
        return broken(reader, WEBSOCKET_TOO_BIG);
    if (length - (out->header - MASK_BYTES) < MASK_BYTES + out->length)
        return WEBSOCKET_NEEDS_MORE;
    out->payload = bytes + out->header;
    const uint8_t *mask = out->payload - MASK_BYTES;
    for (size_t i = 0; i < out->length; i++)
        out->payload[i] ^= mask[i % MASK_BYTES];
    return WEBSOCKET_NOTHING;
}

/* Codes that may be in a Close (7.4.2). */
static bool is_code(uint16_t code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) || (code >= 3000 && code <= 4999);
}

static websocket_event take_close(websocket_reader *reader, const frame *at)
{
    reader->code = CODE_ABSENT;
    if (at->length == 0)
        return WEBSOCKET_CLOSE;
    uint16_t code = at->length < 2 ? 0 : (uint16_t)((uint32_t)at->payload[0] << 8 | at->payload[1]);
    if (!is_code(code))
        return broken(reader, WEBSOCKET_PROTOCOL_ERROR);
    if (!dro_utf8_is_valid(at->payload + 2, at->length - 2))
        return broken(reader, WEBSOCKET_INVALID_DATA);
    reader->code = code;
    return WEBSOCKET_CLOSE;
}

static websocket_event take_data(websocket_reader *reader, const frame *at, websocket_text *out)
{
    memcpy(reader->message + reader->length, at->payload, at->length);
    reader->length += (uint32_t)at->length;
    reader->is_in_message = !at->is_final;
    if (!at->is_final)
        return WEBSOCKET_NOTHING;
    *out = (websocket_text){ reader->message, reader->length };
    reader->length = 0;
    return dro_utf8_is_valid(out->bytes, out->length) ? WEBSOCKET_MESSAGE : broken(reader, WEBSOCKET_INVALID_DATA);
}

websocket_event websocket_read(websocket_reader *reader, uint8_t *bytes, size_t length, size_t *used, websocket_text *out)
{
    frame at;
    *used = 0;
    *out = (websocket_text){ 0 };
    websocket_event event = read_frame(reader, bytes, length, &at);
    if (event != WEBSOCKET_NOTHING)
        return event;
    *used = at.header + at.length;
    if (!is_control(&at))
        return take_data(reader, &at, out);
    *out = (websocket_text){ at.payload, at.length };
    return at.opcode == OPCODE_CLOSE ? take_close(reader, &at) : at.opcode == OPCODE_PING ? WEBSOCKET_PING : WEBSOCKET_PONG;
}

void websocket_header_put(dro_builder *out, enum websocket_opcode opcode, size_t length)
{
    dro_builder_le(out, BIT_FINAL | (unsigned)opcode, 1);
    if (length < LENGTH_16) {
        dro_builder_le(out, length, 1);
        return;
    }
    bool is_short = length <= UINT16_MAX;
    dro_builder_le(out, is_short ? LENGTH_16 : LENGTH_64, 1);
    for (int shift = is_short ? 8 : 56; shift >= 0; shift -= 8)
        dro_builder_le(out, (uint64_t)length >> shift & 0xff, 1);
}

void websocket_close_put(dro_builder *out, uint16_t code)
{
    websocket_header_put(out, OPCODE_CLOSE, 2);
    dro_builder_le(out, code >> 8, 1);
    dro_builder_le(out, code & 0xff, 1);
}

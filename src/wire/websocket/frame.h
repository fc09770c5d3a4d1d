/* Websocket frames (RFC 6455 5), the server's side: bytes of a client -> whole messages, and headers of
 * what the server sends. Pure: no socket, no clock. No extensions are spoken. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/builder.h"

enum {
    WEBSOCKET_FRAME_MAX = 4096,      /* payload of a client's frame */
    WEBSOCKET_MESSAGE_MAX = 4096,    /* of all frames of a message together */
    WEBSOCKET_CONTROL_MAX = 125,
    WEBSOCKET_HEADER_MAX = 14,
};

enum websocket_opcode { OPCODE_CONTINUATION = 0, OPCODE_TEXT = 1, OPCODE_BINARY = 2, OPCODE_CLOSE = 8, OPCODE_PING = 9, OPCODE_PONG = 10 };

enum websocket_code { /* of Close, 7.4.1 */
    WEBSOCKET_NORMAL = 1000, WEBSOCKET_GOING_AWAY = 1001, WEBSOCKET_PROTOCOL_ERROR = 1002, WEBSOCKET_UNSUPPORTED = 1003,
    WEBSOCKET_INVALID_DATA = 1007, WEBSOCKET_POLICY = 1008, WEBSOCKET_TOO_BIG = 1009,
};

typedef enum websocket_event {
    WEBSOCKET_NEEDS_MORE,  /* nothing was used: the frame is not whole yet */
    WEBSOCKET_NOTHING,     /* a frame was used; its message goes on */
    WEBSOCKET_MESSAGE,     /* a text message; binary ones are refused */
    WEBSOCKET_PING, WEBSOCKET_PONG,
    WEBSOCKET_CLOSE,       /* `code` is the client's, or 1005 where it gave none; nothing more comes */
    WEBSOCKET_BROKEN,      /* `code` says why: to be sent in a Close, then the connection ends */
} websocket_event;

typedef struct websocket_reader {
    bool is_in_message;
    uint16_t code;
    uint32_t length;       /* of the message so far */
    uint8_t message[WEBSOCKET_MESSAGE_MAX];
} websocket_reader;

typedef struct websocket_text { /* borrows the reader's or the caller's bytes, until the next call */
    const uint8_t *bytes;
    size_t length;
} websocket_text;

/* The next frame of `bytes`, which is unmasked in place. *used: how many bytes are done with. */
websocket_event websocket_read(websocket_reader *reader, uint8_t *bytes, size_t length, size_t *used, websocket_text *out);
/* Header of a whole, unmasked message of the server. */
void websocket_header_put(dro_builder *out, enum websocket_opcode opcode, size_t length);
/* Close with a code. */
void websocket_close_put(dro_builder *out, uint16_t code);

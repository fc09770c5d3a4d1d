/* Notifications over websocket (TS 29.122, websockNotifConfig; RFC 6455): an application connects to its
 * configuration's websocketUri, and what its core sends as notices of that configuration leaves here.
 *
 * A GET with Upgrade is a request to the configuration's core, which keeps the socket as the destination's; its 200
 * becomes our 101. From then on the connection's bytes are frames. A notice is one text frame with the JSON that
 * HTTP would have carried, and a Ping that names it; a Pong that names it, or a later one, says that it was taken.
 * With the subprotocol dromio.notifications.v1 the frame is {"notification":"7","content":{...}} and the
 * application itself says {"taken":"7"}. What was not taken when the connection ends goes back to the core.
 *
 * How 3GPP wants frames to look is not settled here: all of it is frame_write and taken_by in websocket.c. */
#pragma once

#include "gate/http.h"

/* 426, 400 or 503 are answered here; true: it is on its way to the core. */
bool websocket_begin(http *http, exchange *exchange, const void *request, uint32_t length);
/* Of the request's head, before its body: what the handshake needs is kept. */
void websocket_head(connection *connection);
void websocket_on_reply(http *http, exchange *exchange, const api_reply *reply);
/* Bytes of a connection that is one. */
void websocket_process(connection *connection);
void websocket_drop(http *http, exchange *exchange);
/* A notice: a core's `id`. False: no such websocket, or it takes no more now. */
bool websocket_notice(void *http, uint64_t socket, uint32_t core, uint64_t id, const void *body, size_t length);
/* Another one of the same configuration is there. */
void websocket_replaced(http *http, uint64_t socket);
/* Tells the cores what was taken; frees those that are gone. */
void websocket_turn(http *http);
bool websocket_is_waiting(const http *http); /* for room in a ring */
int64_t websocket_due_ns(const exchange *exchange);
void websocket_ping(http *http, exchange *exchange);
void websocket_close_token(http *http, const uint8_t hash[TOKEN_HASH]);
void websocket_leave(connection *connection); /* Close 1001: the host stops */
void websocket_fini(http *http);

/* Parts of the HTTP side that answer requests, beside plain questions to the core. */
#pragma once

#include "gate/http.h"

/* ---- upload.c: POST /v1/images. Kept here until it is whole, so that a slow
 * client never holds a half image in the core; then passed on in parts. ---- */
bool upload_begin(http *http, exchange *exchange); /* false: HTTP_UPLOADS_MAX are there */
bool upload_take(exchange *exchange, const void *bytes, size_t length); /* false: too large */
void upload_end(http *http, exchange *exchange, const void *request, uint32_t length);
void upload_drop(http *http, exchange *exchange);
void upload_turn(http *http);
bool upload_is_waiting(const http *http);

/* ---- bulk.c: POST /v1/twins:bulk ---- */
bool bulk_begin(http *http, exchange *exchange, const void *request, uint32_t length);
/* How many bytes were taken; fewer: connection_resume follows when it goes on. */
size_t bulk_take(http *http, exchange *exchange, const void *bytes, size_t length);
bool bulk_end(http *http, exchange *exchange); /* false: not yet; connection_resume follows */
void bulk_on_reply(http *http, exchange *exchange, uint32_t part, const api_reply *reply, const uint8_t *body);
void bulk_drop(http *http, exchange *exchange);
void bulk_turn(http *http);
bool bulk_is_waiting(const http *http); /* for room in the ring */

/* ---- stream.c: GET /v1/events ---- */
bool stream_begin(http *http, exchange *exchange, const void *request, uint32_t length);
void stream_on_reply(http *http, exchange *exchange, uint32_t core, const api_reply *reply);
void stream_on_event(http *http, exchange *exchange, uint32_t core, const void *body, uint32_t length);
void stream_drop(http *http, exchange *exchange);
void stream_turn(http *http);
/* When a comment is due, or its token ends, for a connection with a stream. */
int64_t stream_due_ns(const exchange *exchange);
void stream_comment(http *http, exchange *exchange);
bool stream_is_waiting(const http *http); /* for room in a ring */
void stream_fini(http *http);
/* A token is gone: so are the streams opened with it. */
void stream_close_token(http *http, const uint8_t hash[TOKEN_HASH]);

/* ---- backup.c: GET /v1/backup: the cores' files as one tar ---- */
bool backup_begin(http *http, exchange *exchange, const void *request, uint32_t length); /* false: one is under way, or no memory */
void backup_on_reply(http *http, exchange *exchange, uint32_t core, const api_reply *reply, const uint8_t *body);
void backup_drop(http *http, exchange *exchange);
void backup_turn(http *http);
bool backup_is_waiting(const http *http); /* for room in the ring */

/* ---- query.c: POST /v1/query: barrier of every core, then the desk ---- */
bool query_begin(http *http, exchange *exchange, const token *caller); /* false: HTTP_QUERIES_MAX are under way */
void query_ask(http *http, exchange *exchange, const void *request, uint32_t length, const void *sql, size_t sql_length);
void query_on_barrier(http *http, exchange *exchange); /* of all cores */

/* ---- fan.c: lists of all twins, of several cores ---- */
bool fan_is_wanted(const http *http, const void *request);
/* Asks, or says why not. */
void fan_begin(http *http, exchange *exchange, const void *request, uint32_t length);
void fan_on_reply(http *http, exchange *exchange, uint32_t core, const api_reply *reply, const uint8_t *body);
void fan_drop(http *http, exchange *exchange);

/* ---- pages.c: lists of any length ---- */
bool pages_begin(http *http, exchange *exchange, const void *request, uint32_t length); /* false: too many lists are being made */
void pages_on_reply(http *http, exchange *exchange, uint32_t core, const api_reply *reply, const uint8_t *body);
void pages_drop(http *http, exchange *exchange);
void pages_turn(http *http);
bool pages_are_waiting(const http *http); /* for room in a ring */

/* ---- description.c: Thing Model -> Thing Description ---- */
void description_answer(http *http, exchange *exchange, const char *id, size_t id_length, const uint8_t *model, size_t length);

/* ---- console.c: files under /console/, read once at start ---- */
console *console_new(const char *directory); /* NULL: no memory; a directory that is not there is an empty console */
void console_free(console *console);
void console_answer(http *http, exchange *exchange, const target *target, slice if_none_match);

/* ---- metrics.c ---- */
void metrics_on_reply(http *http, exchange *exchange, const api_reply *reply, const uint8_t *body);
void metrics_without_core(http *http, exchange *exchange);

/* ---- health.c ---- */
void health_answer(http *http, exchange *exchange);
void openapi_answer(exchange *exchange);

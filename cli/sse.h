/* Server-sent events (WHATWG HTML 9.2.6): bytes as they come -> events. Fields
 * other than id, event, data and retry are ignored, as are comments. An event
 * with more than SSE_DATA_MAX bytes of data, or a longer line, is dropped and
 * counted: memory stays bounded whatever comes. */
#pragma once

#include <stdint.h>

#include "buffer.h"

enum { SSE_LINE_MAX = 256 * 1024, SSE_DATA_MAX = 256 * 1024, SSE_ID_MAX = 1024, SSE_TYPE_MAX = 128 };

typedef struct sse_event {
    const char *id;   /* last id seen, "" for none */
    const char *type; /* "message" where the stream did not say */
    const char *data;
    size_t data_length;
} sse_event; /* borrowed, until the callback returns */

/* False ends the reading. */
typedef bool (*sse_event_fn)(void *context, const sse_event *event);

typedef struct sse_reader {
    struct buffer line, data;
    char id[SSE_ID_MAX + 1]; /* last event id: stays over reconnects */
    char pending_id[SSE_ID_MAX + 1];
    char type[SSE_TYPE_MAX + 1];
    bool has_data, is_dropping_line, is_dropping_event, was_cr, is_begun;
    uint64_t dropped;
    int64_t retry_ms; /* as the server asked; -1: it did not */
    sse_event_fn on_event;
    void *context;
} sse_reader;

void sse_init(sse_reader *reader, sse_event_fn on_event, void *context);
void sse_fini(sse_reader *reader);
/* False once a callback said so. */
bool sse_feed(sse_reader *reader, const char *bytes, size_t length);
/* The connection ended: an unfinished event is forgotten, the id is kept. */
void sse_reset(sse_reader *reader);

/* Sink: an application's HTTP server on 127.0.0.1, in a thread of its own. Answers every request 204, keeps
 * connections, and shows what came to its owner. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SINK_CONNECTIONS_MAX = 64, SINK_BODY_MAX = 8 * 1024, SINK_LATE_S = 60 };

typedef struct sink sink;

/* on_request: called in the sink's thread with each body, cut at SINK_BODY_MAX. NULL: said why. */
sink *sink_new(void *owner, void (*on_request)(void *owner, const char *body, size_t length));
void sink_free(sink *sink); /* NULL is fine */
uint16_t sink_port(const sink *sink);
uint64_t sink_count(const sink *sink); /* requests answered; any thread */
/* Until at most `most` of `sent` requests have not come yet. False: interrupted, or said why: none came for SINK_LATE_S. */
bool sink_wait(const sink *sink, uint64_t sent, uint64_t most);
double sink_cpu_s(const sink *sink);   /* of its thread; any thread */

/* Answers and everything else that leaves for a gate, in log order: what shows something leaves once
 * the round that holds it is durable. Rounds count from 1 (store/commit_log.h); 0: now. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/core.h"
#include "core/links.h"

typedef struct caller {          /* who waits for an answer */
    uint32_t gate;
    uint64_t id;
} caller;

typedef struct reply {
    uint16_t status;
    uint8_t content;
    uint32_t retry_after_s;
    uint64_t etag;
    const char *location;
} reply;

#define ROUND_NEVER UINT64_MAX

/* After `round` is durable (0: now) the message goes to the gate. */
void tell(core *core, uint32_t gate, uint16_t type, uint16_t flags, uint64_t id, const void *body, uint32_t length, uint64_t round);

bool outbox_is_full(const outbox *box);
void tell_flush(core *core);
uint64_t round_now(core *core); /* what an answer must wait for so that nothing it shows can be lost */

void tell_reply(core *core, caller caller, const reply *reply, const void *body, size_t length);
/* With TS 29.122's "cause"; NULL: none. */
void tell_cause(core *core, caller caller, uint16_t status, const char *cause, const char *format, ...) __attribute__((format(printf, 5, 6)));
/* A problem with one member of the body: a JSON pointer (RFC 6901), in TS 29.122's invalidParams. Cause NULL: none. */
void tell_invalid(core *core, caller caller, uint16_t status, const char *cause, const char *pointer, const char *format, ...) __attribute__((format(printf, 6, 7)));
void tell_broken(core *core, caller caller, uint32_t image); /* 503 */
/* May be asked again after so many seconds. */
void tell_later(core *core, caller caller, uint16_t status, const char *type, uint32_t retry_after_s, const char *format, ...) __attribute__((format(printf, 6, 7)));
struct stop;
/* 503: try again; 409: not with this image. */
void tell_quarantined(core *core, caller caller, uint16_t status, const struct stop *stop);
void tell_problem(core *core, caller caller, uint16_t status, const char *type, const char *format, ...) __attribute__((format(printf, 5, 6)));

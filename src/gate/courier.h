/* Courier: takes notifications to applications (TS 29.122, 5.2.5.2): POSTs JSON to
 * the destinations of notices and says what became of each. libcurl's multi interface
 * on the gate's loop; connections are kept and used again.
 *
 * Destinations are foreign: no redirect is followed, only http and https are spoken,
 * and an address is looked at when it is connected to: loopback, link-local, private
 * and other special ones are refused unless `allow` has them. */
#pragma once

#include "base/builder.h"
#include "gate/loop.h"
#include "ring/ring.h"

enum {
    COURIER_NOTICES_MAX = 2048,      /* under way */
    COURIER_CONNECTIONS_MAX = 512,
    COURIER_CONNECTIONS_EACH = 8,    /* to one host and port */
    COURIER_CONNECT_MS = 5 * 1000,
    COURIER_ANSWER_MS = 20 * 1000,
    COURIER_ANSWER_BYTES_MAX = 64 * 1024, /* of an answer's body, which nobody reads */
    COURIER_BODY_MAX = 256 * 1024,   /* of a notification: of a group it says much */
    COURIER_RANGES_MAX = 64,
};

typedef struct courier courier;
typedef struct courier_options {
    const char *root;                /* what links of T8 begin with; NULL: nothing */
    const char *allow;               /* NULL: none. Address ranges, "127.0.0.0/8 ::1/128": commas or blanks between */
    ring_writer *to_core;            /* answers; of each core */
} courier_options;

DRO_CHECKED dro_err courier_new(courier **out, loop *loop, const courier_options *options);
void courier_free(courier *courier); /* NULL is fine */
/* Where notices of websockets go: false, it is not there or takes no more. */
typedef bool (*courier_socket)(void *context, uint64_t socket, uint32_t core, uint64_t id, const void *body, size_t length);
void courier_sockets(courier *courier, courier_socket send, void *context);
/* MESSAGE_NOTICE of a core; lengths are checked here. */
void courier_on_notice(courier *courier, uint32_t core, uint64_t id, const void *body, uint32_t length);
/* Tells answers that found no room in a ring. True: some still wait. */
bool courier_flush(courier *courier);
void courier_metrics(const courier *courier, dro_builder *out);
/* Good form of courier_options.allow? */
bool courier_ranges_are_good(const char *allow);
/* May this address be connected to, with these ranges allowed? */
bool courier_may_reach(const char *address, const char *allow);
struct sockaddr;
bool courier_may_connect(const struct sockaddr *to, const char *allow);

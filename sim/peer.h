/* Peer: one Diameter connection of an MME or HSS to the host. Connects, exchanges
 * capabilities, answers and sends watchdogs, keeps a window of requests without an
 * answer, and connects again with backoff when the host goes away; then every
 * unanswered request is sent again with the T flag and its End-to-End id. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "gate/tls.h"
#include "sim/t6a.h"

enum {
    PEER_WINDOW_MAX = 4096,
    PEER_MESSAGE_MAX = 64 * 1024, /* longest message it takes */
    PEER_IN_BYTES = 256 * 1024,
    PEER_OUT_BYTES = 8 * 1024 * 1024,
    PEER_OUT_ROOM = 512 * 1024,   /* reads on only while this much of the output is free */
    PEER_BACKOFF_MS_MIN = 100,
    PEER_BACKOFF_MS_MAX = 5000,
    PEER_CONNECT_MS = 5000,       /* until the CEA is there */
    PEER_WATCHDOG_MS = 30000,     /* Tw of RFC 3539 */
    PEER_RESEND_MS = 30000,       /* an answer that takes longer is asked for again */
    PEER_CLOSE_MS = 1000,         /* until the DPA is there */
};

typedef struct peer peer;

typedef struct peer_config { /* borrowed for the peer's life */
    const char *connect;     /* host:port, numeric or a name; resolved at each attempt */
    const char *identity, *realm;
    tls_context *tls;        /* NULL: plain TCP */
    const char *tls_name;    /* the host's, in its certificate */
    uint32_t application;    /* 0: T6a */
    uint32_t window;
    uint64_t seed;
    int epoll;               /* the peer's descriptor is added here, with the peer as data */
    void *owner;
    void (*on_open)(void *owner, peer *peer);
    /* `slot` may be given to peer_send_again inside the callback. */
    void (*on_answer)(void *owner, peer *peer, uint32_t slot, uint64_t tag, int64_t micros, const t6a_message *answer);
    void (*on_request)(void *owner, peer *peer, const t6a_message *request);
} peer_config;

typedef struct peer_counts {
    uint64_t connects, losses, sent, resent, answers, strays, malformed, watchdogs;
} peer_counts;

peer *peer_new(const peer_config *config); /* NULL: no memory */
void peer_free(peer *peer);                /* NULL is fine */

/* Ready on epoll; and now and then (each 50 ms at most) for all that time brings. */
void peer_on_ready(peer *peer, uint32_t epoll_events, int64_t now_ns);
void peer_tick(peer *peer, int64_t now_ns);
/* Writes out what gathered. */
void peer_flush(peer *peer);

bool peer_is_open(const peer *peer);
bool peer_has_room(const peer *peer); /* open, and the window takes another request */
uint32_t peer_outstanding(const peer *peer);
uint32_t peer_generation(const peer *peer); /* another number for each connection */
const peer_counts *peer_count(const peer *peer);

/* Only while peer_has_room. The slot the request waits in. */
uint32_t peer_send(peer *peer, const t6a_request *request, uint64_t tag, int64_t now_ns);
/* A request of an HSS; the same rules. */
uint32_t peer_send_nidd(peer *peer, const s6t_request *request, uint64_t tag, int64_t now_ns);
/* One whose AVPs somebody else puts; the same rules. */
uint32_t peer_send_custom(peer *peer, const t6a_custom *request, uint64_t tag, int64_t now_ns);
/* The request of this slot once more, T flag and the same End-to-End id; false: no room. */
bool peer_send_again(peer *peer, uint32_t slot, uint64_t tag, int64_t now_ns);
/* An answer to a request of the host, which may have come in on an earlier call. */
void peer_answer_delivery(peer *peer, const t6a_message *to, const t6a_delivery *delivery);
void peer_answer_nidd(peer *peer, const t6a_message *to, const s6t_answer *answer);
void peer_answer(peer *peer, const t6a_message *to, uint32_t result);
void peer_answer_custom(peer *peer, const t6a_message *to, uint32_t result, uint32_t experimental, const t6a_custom *answer);

/* Says DPR; afterwards no reconnection. True when the connection is closed. Call until true. */
bool peer_close(peer *peer, int64_t now_ns);

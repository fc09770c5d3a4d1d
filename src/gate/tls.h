/* TLS (OpenSSL 3) on the gate's own loop: what the connections of a listener share,
 * and one connection. Nothing here waits; the owner of a connection watches its
 * descriptor and bounds the time of its handshake.
 *
 * A stranger costs the kernel's memory only, until its whole ClientHello is there:
 * then, for as long as the handshake takes, OpenSSL's; at most TLS_HANDSHAKES_MAX at
 * once of a listener, the oldest goes for a new one. */
#pragma once

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/builder.h"
#include "base/err.h"

enum {
    TLS_HANDSHAKES_MAX = 256,             /* unfinished ones of a listener */
    TLS_HELLO_MAX = 16 * 1024,            /* bytes of a ClientHello */
    TLS_CERTIFICATES_MAX = 32 * 1024,     /* bytes of a client's certificates */
    TLS_TICKET_KEY_BYTES = 80,
    TLS_WHY_MAX = 160,
    TLS_WARN_DAYS = 30,                   /* before its end a certificate is spoken of */
};

typedef enum tls_listener { TLS_HTTP, TLS_DIAMETER, TLS_LISTENERS } tls_listener;
typedef enum tls_part { TLS_CERTIFICATE, TLS_KEY, TLS_CA, TLS_PARTS } tls_part;

typedef struct tls_pem { /* borrowed; length 0: there is none */
    const char *bytes;
    uint32_t length;
} tls_pem;

typedef struct tls_pems { /* of one listener */
    tls_pem parts[TLS_PARTS];
    uint8_t ticket_key[TLS_TICKET_KEY_BYTES];
    bool is_optional; /* who shows no certificate of `ca` may come in all the same */
} tls_pems;

typedef struct tls_fault { /* what is wrong, in words for whoever made the files */
    tls_part part;
    char why[TLS_WHY_MAX];
} tls_fault;

/* ---- what connections of a listener share ---- */

typedef struct tls_context tls_context;

/* DRO_MALFORMED: the fault says which file. Clients must show a certificate of `ca` where there is one. */
DRO_CHECKED dro_err tls_context_new(tls_context **out, tls_listener listener, const tls_pems *pems, tls_fault *fault);
void tls_context_free(tls_context *context); /* after its sessions */
/* New connections get the new ones. On failure all stays as it is. */
DRO_CHECKED dro_err tls_context_renew(tls_context *context, const tls_pems *pems, tls_fault *fault);
/* The earliest end among the certificates we show, seconds since 1970. */
int64_t tls_context_expires_s(const tls_context *context);
bool tls_context_verifies(const tls_context *context); /* there is a `ca` */
const char *tls_listener_name(tls_listener listener);
/* Prometheus text of all listeners; NULL: that one has no TLS, and no lines but the heads. */
void tls_metrics(tls_context *const contexts[TLS_LISTENERS], dro_builder *out);

/* ---- one connection ---- */

typedef enum tls_step { TLS_DONE, TLS_AGAIN, TLS_PLAIN, TLS_FAILED } tls_step;

typedef struct tls_session tls_session;
struct tls_session { /* embedded in its owner; all zero: no TLS */
    tls_context *context;
    SSL *ssl;                         /* NULL until the ClientHello is here */
    tls_session *older, *newer;       /* while its handshake is under way */
    void (*on_evicted)(tls_session *session); /* another one needs the place: the owner closes it */
    const char *why;                  /* after TLS_FAILED, for the log */
    int descriptor;
    uint32_t awaited;                 /* bytes that were asked of the kernel */
    bool is_open, is_failed, is_listed, wants_write;
    bool is_certificate_bad;          /* after TLS_FAILED: the other side's is, or it has none */
    bool is_dry;                      /* what OpenSSL holds is no whole record: the rest is still to come */
};

static inline bool tls_is_on(const tls_session *session)
{
    return session->context != NULL;
}

/* A connection somebody made to us; nothing is allocated yet. */
void tls_accept(tls_session *session, tls_context *context, int descriptor, void (*on_evicted)(tls_session *));
/* One of ours, to the peer of that name; its certificate must have the name, and be of `ca`. */
DRO_CHECKED dro_err tls_connect(tls_session *session, tls_context *context, int descriptor, const char *name,
                                void (*on_evicted)(tls_session *));
/* TLS_AGAIN: when the descriptor is ready for tls_events. TLS_PLAIN: the other side
 * speaks no TLS, and nothing it said has been read. */
tls_step tls_handshake(tls_session *session);
/* What epoll is to watch while the handshake goes on. */
uint32_t tls_events(const tls_session *session);
/* The time of its handshake is over (for the counters). */
void tls_timed_out(tls_session *session);
/* As recv and send do it without waiting: -1 and EAGAIN, 0 for the end. */
ssize_t tls_receive(tls_session *session, void *bytes, size_t length);
ssize_t tls_send(tls_session *session, const void *bytes, size_t length);
/* Bytes have been taken from the descriptor that tls_receive has not given yet: no event tells of them. */
bool tls_has_more(const tls_session *session);
/* Says that no more comes; once. */
void tls_end(tls_session *session);
void tls_fini(tls_session *session); /* not the descriptor */
/* The SHA-256 of the certificate that the other side showed, and that was found good; false: it showed none. */
bool tls_thumbprint(const tls_session *session, uint8_t out[32]);
/* Is that one of its DNS names? */
bool tls_has_name(const tls_session *session, const char *name);
/* May the other side call itself so? Where certificates are asked for, one of its DNS names must say it. */
bool tls_may_be(const tls_session *session, const char *name);

/* What tls.c and tls_context.c share. Not for others. */
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "gate/tls.h"

typedef enum tls_count {
    TLS_COUNT_DONE, TLS_COUNT_RESUMED, TLS_COUNT_PLAIN, TLS_COUNT_VERSION, TLS_COUNT_CERTIFICATE, TLS_COUNT_TIMEOUT,
    TLS_COUNT_EVICTED, TLS_COUNT_FAILED, TLS_COUNTS,
} tls_count;

/* A peer is one name, said in full; the subject's common name is no name of a host (RFC 9525). */
enum { TLS_NAME_FLAGS = X509_CHECK_FLAG_NO_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT };

struct tls_context {
    SSL_CTX *ssl;             /* running connections hold the one they began with */
    tls_listener listener;
    bool verifies;
    int64_t expires_s;
    tls_session *oldest, *newest;
    uint32_t handshakes;
    uint64_t counts[TLS_COUNTS];
    uint64_t renewals, renewals_failed;
};

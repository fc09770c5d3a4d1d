#include "gate/tls.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/sockios.h>

#include "gate/tls_private.h"

enum {
    RECORD_HEADER = 5,
    HELLO_HEADER = 4,            /* of the handshake message inside the record */
    RECORD_HANDSHAKE = 22,
    RECORD_BYTES_MAX = 16 * 1024,
    HANDSHAKE_CLIENT_HELLO = 1,
};

/* ---- handshakes under way, oldest first ---- */

static void list_add(tls_session *session)
{
    tls_context *context = session->context;
    session->older = context->newest;
    session->newer = NULL;
    if (context->newest != NULL)
        context->newest->newer = session;
    else
        context->oldest = session;
    context->newest = session;
    context->handshakes++;
    session->is_listed = true;
}

static void list_remove(tls_session *session)
{
    tls_context *context = session->context;
    if (!session->is_listed)
        return;
    if (session->older != NULL)
        session->older->newer = session->newer;
    else
        context->oldest = session->newer;
    if (session->newer != NULL)
        session->newer->older = session->older;
    else
        context->newest = session->older;
    session->older = session->newer = NULL;
    context->handshakes--;
    session->is_listed = false;
}

/* Its memory is given back at once: only so the bound holds. */
static void make_place(tls_context *context)
{
    tls_session *oldest = context->oldest;
    if (context->handshakes < TLS_HANDSHAKES_MAX)
        return;
    context->counts[TLS_COUNT_EVICTED]++;
    list_remove(oldest);
    SSL_free(oldest->ssl);
    oldest->ssl = NULL;
    oldest->is_failed = true;
    oldest->on_evicted(oldest);
}

static tls_step failed(tls_session *session, tls_count reason, const char *why)
{
    session->context->counts[reason]++;
    session->is_failed = true;
    session->is_certificate_bad = reason == TLS_COUNT_CERTIFICATE;
    session->why = why;
    list_remove(session);
    SSL_free(session->ssl);
    session->ssl = NULL;
    ERR_clear_error();
    return TLS_FAILED;
}

/* ---- before the handshake ---- */

void tls_accept(tls_session *session, tls_context *context, int descriptor, void (*on_evicted)(tls_session *))
{
    *session = (tls_session){ .context = context, .descriptor = descriptor, .on_evicted = on_evicted };
}

static bool begin(tls_session *session)
{
    make_place(session->context);
    session->ssl = SSL_new(session->context->ssl);
    if (session->ssl == NULL || SSL_set_fd(session->ssl, session->descriptor) != 1)
        return false;
    list_add(session);
    return true;
}

dro_err tls_connect(tls_session *session, tls_context *context, int descriptor, const char *name,
                    void (*on_evicted)(tls_session *))
{
    tls_accept(session, context, descriptor, on_evicted);
    bool is_fine = begin(session) && SSL_set1_host(session->ssl, name) == 1 &&
                   SSL_set_tlsext_host_name(session->ssl, name) == 1;
    if (!is_fine) {
        failed(session, TLS_COUNT_FAILED, "no memory");
        return DRO_NOMEM;
    }
    SSL_set_hostflags(session->ssl, TLS_NAME_FLAGS);
    SSL_set_verify(session->ssl, SSL_VERIFY_PEER, NULL);
    SSL_set_connect_state(session->ssl);
    return DRO_OK;
}

/* The kernel wakes us when so many bytes are here; TLS_DONE when they cannot or need not be waited for. */
static tls_step await(tls_session *session, uint32_t bytes)
{
    int here = 0, wanted = (int)bytes, one = 1;
    bool is_here = ioctl(session->descriptor, SIOCINQ, &here) != 0 || here >= wanted;
    if (!is_here && session->awaited < bytes) {
        session->awaited = bytes;
        if (setsockopt(session->descriptor, SOL_SOCKET, SO_RCVLOWAT, &wanted, sizeof wanted) == 0)
            return TLS_AGAIN;
    }
    /* Woken for less: that is the end, or the kernel cannot keep more. OpenSSL finds out. */
    if (session->awaited > 0)
        setsockopt(session->descriptor, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
    return TLS_DONE;
}

/* Looks at the ClientHello without taking it. */
static tls_step look(tls_session *session)
{
    uint8_t head[RECORD_HEADER + HELLO_HEADER];
    ssize_t got = recv(session->descriptor, head, sizeof head, MSG_PEEK | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return TLS_AGAIN;
    if (got <= 0)
        return failed(session, TLS_COUNT_FAILED, "closed before the handshake");
    if (head[0] != RECORD_HANDSHAKE || (got > 1 && head[1] != 3)) {
        session->context->counts[TLS_COUNT_PLAIN]++;
        session->why = "not TLS";
        return TLS_PLAIN;
    }
    if (got < (ssize_t)sizeof head)
        return await(session, sizeof head);
    uint32_t record = (uint32_t)head[3] << 8 | head[4];
    uint32_t hello = (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8];
    if (head[5] != HANDSHAKE_CLIENT_HELLO || record < HELLO_HEADER || record > RECORD_BYTES_MAX || hello > TLS_HELLO_MAX)
        return failed(session, TLS_COUNT_FAILED, "no ClientHello");
    return await(session, RECORD_HEADER + record);
}

/* ---- the handshake ---- */

/* Counts and words for what OpenSSL says; the words live for ever. */
static tls_step failed_of(tls_session *session, int error)
{
    unsigned long code = ERR_peek_error();
    long verified = SSL_get_verify_result(session->ssl);
    if (error == SSL_ERROR_SYSCALL || code == 0)
        return failed(session, TLS_COUNT_FAILED, "the connection ended");
    switch (ERR_GET_REASON(code)) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION: return failed(session, TLS_COUNT_VERSION, "older than TLS 1.2");
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return failed(session, TLS_COUNT_CERTIFICATE, "it shows no certificate");
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        return failed(session, TLS_COUNT_CERTIFICATE, X509_verify_cert_error_string(verified));
    default: break;
    }
    const char *why = ERR_reason_error_string(code);
    return failed(session, TLS_COUNT_FAILED, why != NULL ? why : "it failed");
}

tls_step tls_handshake(tls_session *session)
{
    if (session->is_failed)
        return TLS_FAILED;
    if (session->ssl == NULL) {
        tls_step seen = look(session);
        if (seen != TLS_DONE)
            return seen;
        if (!begin(session))
            return failed(session, TLS_COUNT_FAILED, "no memory");
        SSL_set_accept_state(session->ssl);
    }
    int result = SSL_do_handshake(session->ssl);
    if (result != 1) {
        int error = SSL_get_error(session->ssl, result);
        session->wants_write = error == SSL_ERROR_WANT_WRITE;
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
            return TLS_AGAIN;
        return failed_of(session, error);
    }
    session->wants_write = false;
    session->is_open = true;
    list_remove(session);
    session->context->counts[SSL_session_reused(session->ssl) ? TLS_COUNT_RESUMED : TLS_COUNT_DONE]++;
    return TLS_DONE;
}

uint32_t tls_events(const tls_session *session)
{
    return session->wants_write ? EPOLLOUT : EPOLLIN;
}

void tls_timed_out(tls_session *session)
{
    failed(session, TLS_COUNT_TIMEOUT, "the handshake took too long");
}

/* ---- bytes ---- */

/* -1 with errno, or 0 at the end. */
static ssize_t not_done(tls_session *session, int result)
{
    int error = SSL_get_error(session->ssl, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        session->wants_write = error == SSL_ERROR_WANT_WRITE;
        errno = EAGAIN;
        return -1;
    }
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    session->is_failed = true; /* OpenSSL has told the other side why */
    ERR_clear_error();
    errno = EPROTO;
    return -1;
}

ssize_t tls_receive(tls_session *session, void *bytes, size_t length)
{
    size_t got = 0;
    if (session->is_failed || length == 0) {
        errno = EPROTO;
        return -1;
    }
    session->wants_write = false;
    int result = SSL_read_ex(session->ssl, bytes, length, &got);
    session->is_dry = result != 1;
    return result == 1 ? (ssize_t)got : not_done(session, result);
}

ssize_t tls_send(tls_session *session, const void *bytes, size_t length)
{
    size_t put = 0;
    if (session->is_failed || length == 0) {
        errno = EPIPE;
        return -1;
    }
    int result = SSL_write_ex(session->ssl, bytes, length, &put);
    if (result == 1)
        return (ssize_t)put;
    ssize_t done = not_done(session, result);
    session->wants_write = false; /* the owner has bytes to send, and asks anyway */
    if (done == 0)
        errno = EPIPE;
    return -1;
}

bool tls_has_more(const tls_session *session)
{
    return session->is_open && !session->is_failed && !session->is_dry && SSL_has_pending(session->ssl) == 1;
}

void tls_end(tls_session *session)
{
    if (!session->is_open || session->is_failed || (SSL_get_shutdown(session->ssl) & SSL_SENT_SHUTDOWN) != 0)
        return;
    if (SSL_shutdown(session->ssl) < 0)
        ERR_clear_error(); /* the other side does not read: it will see the end of the connection */
}

void tls_fini(tls_session *session)
{
    if (session->context == NULL)
        return;
    list_remove(session);
    SSL_free(session->ssl);
    *session = (tls_session){ 0 };
}

static X509 *shown_certificate(const tls_session *session)
{
    bool is_verified = session->context != NULL && session->context->verifies && session->ssl != NULL &&
                       SSL_get_verify_result(session->ssl) == X509_V_OK;
    return is_verified ? SSL_get0_peer_certificate(session->ssl) : NULL;
}

bool tls_thumbprint(const tls_session *session, uint8_t out[32])
{
    unsigned length = 0;
    X509 *shown = shown_certificate(session);
    return shown != NULL && X509_digest(shown, EVP_sha256(), out, &length) == 1 && length == 32;
}

bool tls_has_name(const tls_session *session, const char *name)
{
    X509 *shown = shown_certificate(session);
    return shown != NULL && X509_check_host(shown, name, strlen(name), TLS_NAME_FLAGS, NULL) == 1;
}

bool tls_may_be(const tls_session *session, const char *name)
{
    if (session->context == NULL || !session->context->verifies)
        return true;
    X509 *shown = session->ssl == NULL ? NULL : SSL_get0_peer_certificate(session->ssl);
    return shown != NULL && X509_check_host(shown, name, strlen(name), TLS_NAME_FLAGS, NULL) == 1;
}

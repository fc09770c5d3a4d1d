#include <inttypes.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gate/tls_private.h"

/* TLS 1.3 has good ones only; of TLS 1.2 those with forward secrecy and authenticated encryption. */
static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL";

static const char *const listener_names[TLS_LISTENERS] = { [TLS_HTTP] = "http", [TLS_DIAMETER] = "diameter" };

const char *tls_listener_name(tls_listener listener)
{
    return listener_names[listener];
}

/* ---- reading PEM ---- */

static dro_err wrong(tls_fault *fault, tls_part part, const char *why)
{
    fault->part = part;
    snprintf(fault->why, sizeof fault->why, "%s", why);
    ERR_clear_error();
    return DRO_MALFORMED;
}

/* What OpenSSL has against it. */
static dro_err wrong_of(tls_fault *fault, tls_part part, const char *what)
{
    char why[TLS_WHY_MAX];
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    snprintf(why, sizeof why, "%s%s%s", what, reason != NULL ? ": " : "", reason != NULL ? reason : "");
    return wrong(fault, part, why);
}

static BIO *bio_over(const tls_pem *pem)
{
    return BIO_new_mem_buf(pem->bytes, (int)pem->length);
}

/* Nobody is there to type a passphrase. */
static int no_passphrase(char *text, int size, int is_writing, void *was_asked)
{
    (void)text, (void)size, (void)is_writing;
    *(bool *)was_asked = true;
    return -1;
}

/* The next certificate; NULL: there is none, or *is_broken. */
static X509 *next_certificate(BIO *in, bool *is_broken)
{
    X509 *certificate = PEM_read_bio_X509(in, NULL, NULL, NULL);
    *is_broken = certificate == NULL && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE;
    if (!*is_broken)
        ERR_clear_error(); /* "no start line": the end of the file */
    return certificate;
}

static int64_t end_of(const X509 *certificate)
{
    struct tm end;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) != 1)
        return 0;
    return timegm(&end);
}

/* The first is the host's own, others lead from it to the authority. */
static dro_err take_certificates(SSL_CTX *ssl, const tls_pem *pem, int64_t *expires_s, tls_fault *fault)
{
    BIO *in = bio_over(pem);
    X509 *certificate;
    bool is_broken = in == NULL;
    dro_err err = DRO_OK;
    int count = 0;
    while (err == DRO_OK && !is_broken && (certificate = next_certificate(in, &is_broken)) != NULL) {
        int64_t end = end_of(certificate);
        bool is_taken = count++ == 0 ? SSL_CTX_use_certificate(ssl, certificate) == 1
                                     : SSL_CTX_add1_chain_cert(ssl, certificate) == 1;
        if (end < *expires_s)
            *expires_s = end;
        X509_free(certificate);
        if (!is_taken)
            err = wrong_of(fault, TLS_CERTIFICATE, "not a certificate for a server");
    }
    BIO_free(in);
    if (err == DRO_OK && is_broken)
        err = wrong_of(fault, TLS_CERTIFICATE, "a certificate cannot be read");
    else if (err == DRO_OK && count == 0)
        err = wrong(fault, TLS_CERTIFICATE, "no certificate is in it (PEM)");
    return err;
}

static dro_err take_key(SSL_CTX *ssl, const tls_pem *pem, tls_fault *fault)
{
    bool was_asked = false;
    BIO *in = bio_over(pem);
    EVP_PKEY *key = in == NULL ? NULL : PEM_read_bio_PrivateKey(in, NULL, no_passphrase, &was_asked);
    BIO_free(in);
    if (key == NULL && was_asked)
        return wrong(fault, TLS_KEY, "it has a passphrase: the host takes keys without one");
    if (key == NULL)
        return memmem(pem->bytes, pem->length, "PRIVATE KEY-----", 16) == NULL
                   ? wrong(fault, TLS_KEY, "no private key is in it (PEM)")
                   : wrong_of(fault, TLS_KEY, "the key cannot be read");
    bool is_taken = SSL_CTX_use_PrivateKey(ssl, key) == 1 && SSL_CTX_check_private_key(ssl) == 1;
    EVP_PKEY_free(key);
    if (is_taken)
        return DRO_OK;
    int reason = ERR_GET_REASON(ERR_peek_last_error());
    bool is_other = reason == X509_R_KEY_VALUES_MISMATCH || reason == X509_R_KEY_TYPE_MISMATCH;
    return is_other ? wrong(fault, TLS_KEY, "it is not the key of the certificate") : wrong_of(fault, TLS_KEY, "not a key for a server");
}

static dro_err take_authorities(SSL_CTX *ssl, const tls_pem *pem, tls_fault *fault)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ssl);
    BIO *in = bio_over(pem);
    X509 *authority;
    bool is_broken = in == NULL;
    int count = 0;
    while (!is_broken && (authority = next_certificate(in, &is_broken)) != NULL) {
        is_broken = X509_STORE_add_cert(store, authority) != 1 || SSL_CTX_add_client_CA(ssl, authority) != 1;
        X509_free(authority);
        count++;
    }
    BIO_free(in);
    if (is_broken)
        return wrong_of(fault, TLS_CA, "a certificate cannot be read");
    return count > 0 ? DRO_OK : wrong(fault, TLS_CA, "no certificate is in it (PEM)");
}

/* ---- settings ---- */

/* HTTP/1.1, or nothing that the client speaks. */
static int choose_protocol(SSL *ssl, const uint8_t **out, uint8_t *length, const uint8_t *offered, unsigned offered_length, void *context)
{
    static const uint8_t ours[] = "\x08http/1.1";
    uint8_t *chosen;
    (void)ssl, (void)context;
    if (SSL_select_next_proto(&chosen, length, ours, sizeof ours - 1, offered, offered_length) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* Tickets for HTTP, whose clients come again and again; a Diameter peer stays for months,
 * and a full handshake looks at its certificate again. */
static bool set_resumption(SSL_CTX *ssl, tls_listener listener, const tls_pems *pems)
{
    uint8_t key[TLS_TICKET_KEY_BYTES];
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    if (listener != TLS_HTTP) {
        SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
        return SSL_CTX_set_num_tickets(ssl, 0) == 1;
    }
    memcpy(key, pems->ticket_key, sizeof key);
    bool is_set = SSL_CTX_set_num_tickets(ssl, 1) == 1 && SSL_CTX_set_tlsext_ticket_keys(ssl, key, sizeof key) == 1;
    OPENSSL_cleanse(key, sizeof key);
    return is_set;
}

static bool set_up(SSL_CTX *ssl, tls_listener listener, const tls_pems *pems)
{
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CLEANSE_PLAINTEXT |
                                 /* HTTP and Diameter say themselves how long a message is. */
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ssl, 1); /* one system call a read instead of two a record */
    SSL_CTX_set_max_cert_list(ssl, TLS_CERTIFICATES_MAX);
    SSL_CTX_set_security_level(ssl, 2);
    if (listener == TLS_HTTP)
        SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, NULL);
    return SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) == 1 && SSL_CTX_set_max_proto_version(ssl, 0) == 1 &&
           SSL_CTX_set_cipher_list(ssl, ciphers) == 1 && set_resumption(ssl, listener, pems);
}

static dro_err load(SSL_CTX *ssl, tls_listener listener, const tls_pems *pems, int64_t *expires_s, tls_fault *fault)
{
    const tls_pem *ca = &pems->parts[TLS_CA];
    if (!set_up(ssl, listener, pems))
        return wrong_of(fault, TLS_CERTIFICATE, "OpenSSL refuses its settings");
    dro_err err = DRO_OK;
    *expires_s = INT64_MAX;
    if (pems->parts[TLS_CERTIFICATE].length > 0 || pems->parts[TLS_KEY].length > 0) { /* a client may have none */
        err = take_certificates(ssl, &pems->parts[TLS_CERTIFICATE], expires_s, fault);
        if (err == DRO_OK)
            err = take_key(ssl, &pems->parts[TLS_KEY], fault);
    }
    if (err == DRO_OK && ca->length > 0) {
        err = take_authorities(ssl, ca, fault);
        SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | (pems->is_optional ? 0 : SSL_VERIFY_FAIL_IF_NO_PEER_CERT), NULL);
    }
    return err;
}

/* ---- life ---- */

dro_err tls_context_renew(tls_context *context, const tls_pems *pems, tls_fault *fault)
{
    int64_t expires_s = 0;
    SSL_CTX *ssl = SSL_CTX_new(TLS_method());
    if (ssl == NULL)
        return DRO_NOMEM;
    dro_err err = load(ssl, context->listener, pems, &expires_s, fault);
    if (err != DRO_OK) {
        SSL_CTX_free(ssl);
        context->renewals_failed++;
        return err;
    }
    SSL_CTX_free(context->ssl);
    context->ssl = ssl;
    context->expires_s = expires_s;
    context->verifies = pems->parts[TLS_CA].length > 0;
    context->renewals++;
    return DRO_OK;
}

dro_err tls_context_new(tls_context **out, tls_listener listener, const tls_pems *pems, tls_fault *fault)
{
    tls_context *made = calloc(1, sizeof *made);
    if (made == NULL)
        return DRO_NOMEM;
    made->listener = listener;
    dro_err err = tls_context_renew(made, pems, fault);
    if (err != DRO_OK) {
        tls_context_free(made);
        return err;
    }
    *out = made;
    return DRO_OK;
}

void tls_context_free(tls_context *context)
{
    if (context == NULL)
        return;
    SSL_CTX_free(context->ssl);
    free(context);
}

int64_t tls_context_expires_s(const tls_context *context)
{
    return context->expires_s;
}

bool tls_context_verifies(const tls_context *context)
{
    return context->verifies;
}

/* ---- metrics ---- */

typedef void (*put_lines)(const tls_context *context, dro_builder *out);

static void put_end(const tls_context *context, dro_builder *out)
{
    char line[160];
    snprintf(line, sizeof line, "dromio_tls_certificate_expires_seconds{listener=\"%s\"} %" PRId64 "\n",
             tls_listener_name(context->listener), context->expires_s);
    dro_builder_text(out, line);
}

static void put_handshakes(const tls_context *context, dro_builder *out)
{
    static const char *const names[TLS_COUNTS] = {
        [TLS_COUNT_DONE] = "done",       [TLS_COUNT_RESUMED] = "resumed",         [TLS_COUNT_PLAIN] = "plain",
        [TLS_COUNT_VERSION] = "version", [TLS_COUNT_CERTIFICATE] = "certificate", [TLS_COUNT_TIMEOUT] = "timeout",
        [TLS_COUNT_EVICTED] = "evicted", [TLS_COUNT_FAILED] = "failed",
    };
    char line[160];
    for (int i = 0; i < TLS_COUNTS; i++) {
        snprintf(line, sizeof line, "dromio_tls_handshakes_total{listener=\"%s\",result=\"%s\"} %" PRIu64 "\n",
                 tls_listener_name(context->listener), names[i], context->counts[i]);
        dro_builder_text(out, line);
    }
}

static void put_loads(const tls_context *context, dro_builder *out)
{
    char line[160];
    snprintf(line, sizeof line, "dromio_tls_certificate_loads_total{listener=\"%s\"} %" PRIu64 "\n",
             tls_listener_name(context->listener), context->renewals);
    dro_builder_text(out, line);
}

static void put_family(tls_context *const contexts[TLS_LISTENERS], dro_builder *out, const char *head, put_lines put)
{
    dro_builder_text(out, head);
    for (int i = 0; i < TLS_LISTENERS; i++)
        if (contexts[i] != NULL)
            put(contexts[i], out);
}

void tls_metrics(tls_context *const contexts[TLS_LISTENERS], dro_builder *out)
{
    put_family(contexts, out,
               "# HELP dromio_tls_certificate_expires_seconds When the certificate ends, seconds since 1970.\n"
               "# TYPE dromio_tls_certificate_expires_seconds gauge\n", put_end);
    put_family(contexts, out,
               "# HELP dromio_tls_handshakes_total Handshakes by result.\n# TYPE dromio_tls_handshakes_total counter\n",
               put_handshakes);
    put_family(contexts, out,
               "# HELP dromio_tls_certificate_loads_total Times certificate and key were loaded, the first included.\n"
               "# TYPE dromio_tls_certificate_loads_total counter\n", put_loads);
}

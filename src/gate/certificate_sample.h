/* For tests: a certificate that vouches for itself, and its key. */
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

enum { SAMPLE_PEM_MAX = 4096 };

typedef struct certificate_sample {
    char certificate[SAMPLE_PEM_MAX], key[SAMPLE_PEM_MAX];
} certificate_sample;

static inline void sample_text(BIO *bio, char out[SAMPLE_PEM_MAX])
{
    int length = BIO_read(bio, out, SAMPLE_PEM_MAX - 1);
    assert_true(length > 0);
    out[length] = '\0';
    BIO_free(bio);
}

static inline void certificate_sample_make(certificate_sample *out, long seconds)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), seconds);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_set_pubkey(certificate, key);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, certificate);
    sample_text(bio, out->certificate);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    sample_text(bio, out->key);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

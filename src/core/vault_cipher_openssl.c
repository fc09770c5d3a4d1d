#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/wipe.h"
#include "core/vault_cipher.h"

/* OpenSSL keeps the expanded key inside its context, on the heap. So a key goes in
 * for each operation, and after it a key of zeros takes its place. */
typedef struct openssl_cipher {
    vault_cipher cipher;
    EVP_CIPHER *gcm, *ecb;
    EVP_CIPHER_CTX *gcm_context, *ecb_context;
} openssl_cipher;

static const uint8_t zeros[VAULT_KEY];

static openssl_cipher *of(vault_cipher *cipher)
{
    return (openssl_cipher *)cipher;
}

static void openssl_free(vault_cipher *cipher)
{
    openssl_cipher *self = of(cipher);
    EVP_CIPHER_CTX_free(self->gcm_context);
    EVP_CIPHER_CTX_free(self->ecb_context);
    EVP_CIPHER_free(self->gcm);
    EVP_CIPHER_free(self->ecb);
    free(self);
}

static void openssl_schedule(vault_cipher *cipher, const uint8_t key[VAULT_KEY], uint8_t schedule[VAULT_SCHEDULE])
{
    (void)cipher;
    memcpy(schedule, key, VAULT_KEY);
}

static void ecb(openssl_cipher *self, const uint8_t *key, int is_encryption, const uint8_t *in, uint8_t *out, size_t count)
{
    int length;
    EVP_CIPHER_CTX *context = self->ecb_context;
    assert(count * VAULT_BLOCK < INT32_MAX);
    int ok = EVP_CipherInit_ex2(context, NULL, key, NULL, is_encryption, NULL);
    EVP_CIPHER_CTX_set_padding(context, 0);
    ok = ok && EVP_CipherUpdate(context, out, &length, in, (int)(count * VAULT_BLOCK));
    ok = EVP_CipherInit_ex2(context, NULL, zeros, NULL, 1, NULL) && ok;
    assert(ok && "AES-256-ECB cannot fail on whole blocks");
}

static void openssl_blocks(vault_cipher *cipher, const uint8_t schedule[VAULT_SCHEDULE], const uint8_t *in, uint8_t *out, size_t count)
{
    ecb(of(cipher), schedule, 1, in, out, count);
}

static void openssl_unblock(vault_cipher *cipher, const uint8_t key[VAULT_KEY], const uint8_t in[VAULT_BLOCK], uint8_t out[VAULT_BLOCK])
{
    ecb(of(cipher), key, 0, in, out, 1);
}

static void openssl_gcm_key(vault_cipher *cipher, const uint8_t key[VAULT_KEY], uint8_t gcm_key[VAULT_GCM_KEY])
{
    (void)cipher;
    memcpy(gcm_key, key, VAULT_KEY);
}

static void gcm_forget(openssl_cipher *self)
{
    int ok = EVP_CipherInit_ex2(self->gcm_context, NULL, zeros, zeros, 1, NULL);
    assert(ok);
    (void)ok;
}

static void openssl_seal(vault_cipher *cipher, const uint8_t *gcm_key, const uint8_t nonce[VAULT_NONCE], const void *associated,
                         size_t associated_length, const uint8_t *plain, size_t length, uint8_t *sealed, uint8_t tag[VAULT_TAG])
{
    EVP_CIPHER_CTX *context = of(cipher)->gcm_context;
    int done;
    assert(length < INT32_MAX && associated_length < INT32_MAX);
    int ok = EVP_CipherInit_ex2(context, NULL, gcm_key, nonce, 1, NULL);
    if (associated_length > 0)
        ok = ok && EVP_CipherUpdate(context, NULL, &done, associated, (int)associated_length);
    if (length > 0)
        ok = ok && EVP_CipherUpdate(context, sealed, &done, plain, (int)length);
    ok = ok && EVP_CipherFinal_ex(context, tag, &done) && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, VAULT_TAG, tag);
    assert(ok && "AES-256-GCM cannot fail to seal");
    gcm_forget(of(cipher));
}

static bool openssl_open(vault_cipher *cipher, const uint8_t *gcm_key, const uint8_t nonce[VAULT_NONCE], const void *associated,
                         size_t associated_length, const uint8_t *sealed, size_t length, uint8_t *plain, const uint8_t tag[VAULT_TAG])
{
    EVP_CIPHER_CTX *context = of(cipher)->gcm_context;
    int done;
    uint8_t rest[VAULT_BLOCK], expected[VAULT_TAG];
    assert(length < INT32_MAX && associated_length < INT32_MAX);
    memcpy(expected, tag, VAULT_TAG);
    int ok = EVP_CipherInit_ex2(context, NULL, gcm_key, nonce, 0, NULL);
    if (associated_length > 0)
        ok = ok && EVP_CipherUpdate(context, NULL, &done, associated, (int)associated_length);
    if (length > 0)
        ok = ok && EVP_CipherUpdate(context, plain, &done, sealed, (int)length);
    ok = ok && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, VAULT_TAG, expected);
    ok = ok && EVP_CipherFinal_ex(context, rest, &done) > 0;
    gcm_forget(of(cipher));
    if (!ok)
        dro_wipe(plain, length);
    return ok;
}

vault_cipher *vault_cipher_openssl(uint8_t *work)
{
    openssl_cipher *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    self->cipher = (vault_cipher){
        .name = "openssl",
        .free = openssl_free,
        .schedule = openssl_schedule,
        .blocks = openssl_blocks,
        .unblock = openssl_unblock,
        .gcm_key = openssl_gcm_key,
        .seal = openssl_seal,
        .open = openssl_open,
        .work = work,
    };
    self->gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    self->ecb = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
    self->gcm_context = EVP_CIPHER_CTX_new();
    self->ecb_context = EVP_CIPHER_CTX_new();
    if (self->gcm == NULL || self->ecb == NULL || self->gcm_context == NULL || self->ecb_context == NULL ||
        !EVP_CipherInit_ex2(self->gcm_context, self->gcm, zeros, zeros, 1, NULL) ||
        !EVP_CipherInit_ex2(self->ecb_context, self->ecb, zeros, NULL, 1, NULL)) {
        openssl_free(&self->cipher);
        return NULL;
    }
    return &self->cipher;
}

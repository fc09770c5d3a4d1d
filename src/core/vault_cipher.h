/* Ciphers of the vault: AES-256 blocks and AES-256-GCM, by intel-ipsec-mb where it
 * is, else by OpenSSL. What they expand keys into lies in memory of the caller, and
 * none of them leaves a key anywhere else. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    VAULT_KEY = 32,
    VAULT_NONCE = 12,
    VAULT_TAG = 16,
    VAULT_BLOCK = 16,
    VAULT_SCHEDULE = 240,      /* an AES-256 key schedule, 16-aligned */
    VAULT_GCM_KEY = 1280,      /* an expanded AES-256-GCM key, 64-aligned; 1008 of it before intel-ipsec-mb 2 */
    VAULT_CIPHER_WORK = 768,   /* of one operation, 64-aligned; wiped by the operation where it held anything */
};

typedef struct vault_cipher vault_cipher;
struct vault_cipher {
    const char *name;
    void (*free)(vault_cipher *cipher);
    /* Expands a key for `blocks`. */
    void (*schedule)(vault_cipher *cipher, const uint8_t key[VAULT_KEY], uint8_t schedule[VAULT_SCHEDULE]);
    void (*blocks)(vault_cipher *cipher, const uint8_t schedule[VAULT_SCHEDULE], const uint8_t *in, uint8_t *out, size_t count);
    void (*unblock)(vault_cipher *cipher, const uint8_t key[VAULT_KEY], const uint8_t in[VAULT_BLOCK], uint8_t out[VAULT_BLOCK]);
    /* Expands a key for `seal` and `open`. */
    void (*gcm_key)(vault_cipher *cipher, const uint8_t key[VAULT_KEY], uint8_t gcm_key[VAULT_GCM_KEY]);
    void (*seal)(vault_cipher *cipher, const uint8_t *gcm_key, const uint8_t nonce[VAULT_NONCE], const void *associated,
                 size_t associated_length, const uint8_t *plain, size_t length, uint8_t *sealed, uint8_t tag[VAULT_TAG]);
    /* False: not authentic, and `plain` is wiped. */
    bool (*open)(vault_cipher *cipher, const uint8_t *gcm_key, const uint8_t nonce[VAULT_NONCE], const void *associated,
                 size_t associated_length, const uint8_t *sealed, size_t length, uint8_t *plain, const uint8_t tag[VAULT_TAG]);
    uint8_t *work; /* VAULT_CIPHER_WORK bytes where secrets may be; borrowed */
};

/* NULL: not in this build, or not for this processor. */
vault_cipher *vault_cipher_ipsec_mb(uint8_t *work);
vault_cipher *vault_cipher_openssl(uint8_t *work);

/* The better one that passes a known answer. NULL: none does. */
vault_cipher *vault_cipher_best(uint8_t *work);
/* Test case 16 of the GCM specification (McGrew and Viega), both ways. */
bool vault_cipher_is_right(vault_cipher *cipher);
bool vault_tags_are_equal(const uint8_t *a, const uint8_t *b); /* in constant time */

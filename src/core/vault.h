/* Vault: keys, and sealing with them. Belongs to one core.
 *
 * Master key: a file (0600, made at first start). Domain keys: random, wrapped by
 * the master key (AES-256-GCM), kept by the owner in the log as `vault_wrapped`.
 * In memory all keys live in one memfd_secret mapping where the kernel has it,
 * else locked and undumpable; vault_is_secret says which.
 *
 * A domain has one key, or two while one takes the place of another; the newer one seals. A key's
 * generation is 0 for the first of a domain, then one more each time.
 *
 * Per key of a domain three keys are derived: context, log, identity.
 *  - A context's key is AES-PRF(context key; twin number | epoch), the epoch the
 *    64 random bits of the start that sealed it.
 *  - One 96-bit nonce counter a core and epoch, never per twin, never rolled back.
 *  - A sealed context is: epoch u64, nonce counter 56 bits, lowest byte of the key's generation,
 *    ciphertext, tag 16. The nonce is that second u64, then zeros.
 *    Associated data: twin number u64, image digest 32, revision u64.
 *  - A sealed log part is the same under the domain's log key of the epoch; its
 *    associated data the caller's.
 * No plaintext stays behind in here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"

typedef struct vault vault;

enum {
    VAULT_OVERHEAD = 32,       /* sealed length = plain length + this */
    VAULT_WRAPPED = 60,        /* nonce 12, key 32, tag 16 */
    VAULT_DOMAINS_MAX = 16384,
    VAULT_EPOCH_CACHE = 64,    /* log keys of old epochs kept expanded */
    VAULT_ROTATIONS_MAX = 64,  /* domains with two keys at a time */
    VAULT_GENERATION_MAX = 0xfffe,
    VAULT_GENERATION_GONE = 0xffff, /* in the file of keys: a domain that was deleted, its key is zeros */
    VAULT_TAG_AT = 7,          /* byte of a nonce with the key's tag */
};

/* A domain's key is called by both in one number. */
static inline uint32_t vault_key(uint32_t domain, uint16_t generation) { return domain | (uint32_t)generation << 16; }
static inline uint32_t vault_key_domain(uint32_t key) { return key & 0xffff; }
static inline uint16_t vault_key_generation(uint32_t key) { return (uint16_t)(key >> 16); }

typedef struct vault_options {
    const char *master_key_path; /* read or made; NULL with `master_key` for tests */
    const uint8_t *master_key;   /* 32 bytes, copied; else NULL */
    uint64_t epoch;              /* 64 random bits, durable before the first seal */
    dro_random *random;          /* borrowed */
} vault_options;

DRO_CHECKED dro_err vault_open(vault **out, const vault_options *options);
void vault_close(vault *vault); /* wipes */
/* Another with the same domains, for a thread that opens parts of the log and does nothing else with it, while the first goes
 * on with all but domains. It is closed before that. DRO_UNSUPPORTED: there is no secret memory for its keys. */
DRO_CHECKED dro_err vault_open_beside(vault **out, const vault *first);
bool vault_is_secret(const vault *vault); /* keys sit in memfd_secret */

/* Makes a `key` (vault_key) of a domain (0 .. VAULT_DOMAINS_MAX - 1; 0 is the host's own) and gives its
 * wrapped form to keep. One of a later generation than the domain has seals from now on, and the one that
 * did becomes its older key. DRO_LIMIT: it has an older one already, or too many domains have. */
DRO_CHECKED dro_err vault_domain_new(vault *vault, uint32_t key, uint8_t wrapped[VAULT_WRAPPED]);
/* Takes a key kept before, in any order. DRO_CORRUPT: not under this master key, or damaged. */
DRO_CHECKED dro_err vault_domain_load(vault *vault, uint32_t key, const uint8_t wrapped[VAULT_WRAPPED]);
/* A key to keep, which seals nothing before it is loaded. */
void vault_key_make(vault *vault, uint32_t key, uint8_t wrapped[VAULT_WRAPPED]);
bool vault_domain_has(const vault *vault, uint32_t key);
/* Forgets its older key, or all of it: what was sealed under them cannot be opened again. */
void vault_older_drop(vault *vault, uint32_t domain);
void vault_domain_drop(vault *vault, uint32_t domain);

/* Another master key: vault_rewrap wraps keys under it until vault_master_take makes it the only one. */
void vault_master_next(vault *vault, const uint8_t master[32]);
DRO_CHECKED dro_err vault_rewrap(vault *vault, uint32_t key, const uint8_t wrapped[VAULT_WRAPPED], uint8_t again[VAULT_WRAPPED]);
void vault_master_take(vault *vault);

/* Which key sealed this, and which one seals: the lowest byte of its generation. */
static inline uint8_t vault_sealed_tag(const uint8_t *sealed) { return sealed[8 + VAULT_TAG_AT]; }
uint8_t vault_newest_tag(const vault *vault, uint32_t domain);

typedef struct vault_binding {   /* what a context is bound to */
    uint32_t domain;
    uint64_t twin;
    const uint8_t *image;        /* 32 bytes */
    uint64_t revision;
    uint32_t slot;               /* binds nothing: who opens and seals again under one slot finds the key expanded */
} vault_binding;

/* Writes length + VAULT_OVERHEAD bytes to `sealed`. */
void vault_seal_context(vault *vault, const vault_binding *binding, const void *plain, size_t length, uint8_t *sealed);
/* Writes length - VAULT_OVERHEAD bytes to `plain`. DRO_CORRUPT: not what was sealed for this binding. DRO_NOT_FOUND: its key
 * is not here any more. */
DRO_CHECKED dro_err vault_open_context(vault *vault, const vault_binding *binding, const uint8_t *sealed, size_t length, void *plain);

/* The same plain bytes under the domain's newest key: `again` is as long as `sealed`, and holds them in clear for a moment. */
DRO_CHECKED dro_err vault_reseal_context(vault *vault, const vault_binding *binding, const uint8_t *sealed, size_t length, uint8_t *again);

void vault_seal_log(vault *vault, uint32_t domain, const void *associated, size_t associated_length,
                    const void *plain, size_t length, uint8_t *sealed);
DRO_CHECKED dro_err vault_open_log(vault *vault, uint32_t domain, const void *associated, size_t associated_length,
                                   const uint8_t *sealed, size_t length, void *plain);
/* Where a part's plain bytes are when it is opened in place. */
uint8_t *vault_in_place(uint8_t *sealed);

/* Ed25519 (RFC 8032) with the host's signing key of that number: a key for each number comes from
 * the host's own key, and is in clear only while it signs. */
enum { VAULT_PUBLIC = 32, VAULT_SIGNATURE = 64 };
DRO_CHECKED dro_err vault_sign_public(vault *vault, uint32_t number, uint8_t public_key[VAULT_PUBLIC]);
DRO_CHECKED dro_err vault_sign(vault *vault, uint32_t number, const void *bytes, size_t length, uint8_t signature[VAULT_SIGNATURE]);

/* Keyed hash (PRF under the host's identity key) of an identity such as an IMSI:
 * equal texts give equal hashes, nothing else is learned. */
void vault_identity_hash(vault *vault, const char *kind, const void *text, size_t length, uint64_t hash[2]);
/* The same of several texts, in much less time than one after the other. */
enum { VAULT_IDENTITIES_MAX = 16 };
void vault_identity_hashes(vault *vault, const char *kind, const char *const texts[], uint32_t count, uint64_t hashes[][2]);
/* An identity of up to 15 digits, kept unreadable in 16 bytes bound to its twin. */
void vault_identity_seal(vault *vault, uint64_t twin, const char *digits, uint8_t sealed[16]);
/* Gives the digits back with NUL (at most 15 + 1). DRO_CORRUPT: not this twin's. */
DRO_CHECKED dro_err vault_identity_open(vault *vault, uint64_t twin, const uint8_t sealed[16], char digits[16]);

#include "core/vault.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/wipe.h"
#include "core/vault_cipher.h"
#include "core/vault_master.h"
#include "core/vault_secret.h"

enum {
    CHUNK_DOMAINS = 64, /* secret memory is taken a chunk at a time: most hosts have few domains */
    CHUNKS = VAULT_DOMAINS_MAX / CHUNK_DOMAINS,
    ASSOCIATED_CONTEXT = 48,
    HEADER = 16,        /* epoch, counter */
    IDENTITY_DIGITS = 15,
};
#define COUNTER_END (1ull << 56) /* of a nonce's counter: above is the key's tag. Enough for centuries of a start */

/* How many expanded keys are kept. The small set is for where little secret memory is granted. */
struct cache_sizes {
    uint32_t twins; /* powers of two */
    uint32_t logs;
};
static const struct cache_sizes large = { 1024, 256 }, small = { 16, VAULT_EPOCH_CACHE / 4 };

/* ---- all that is secret: one mapping for the vault, one per chunk of domains ---- */

struct secrets {
    uint8_t work[VAULT_CIPHER_WORK] __attribute__((aligned(64)));
    uint8_t gcm_key[VAULT_GCM_KEY] __attribute__((aligned(64)));     /* of one operation */
    uint8_t schedule[VAULT_SCHEDULE] __attribute__((aligned(16)));   /* of one operation */
    uint8_t master[VAULT_KEY];
    uint8_t wrap[VAULT_KEY];
    uint8_t wrap_next[VAULT_KEY];                                    /* of the master key that is to come */
    uint8_t key[VAULT_KEY];                                          /* of one operation */
    uint8_t purpose[VAULT_KEY];                                      /* of one operation */
    uint8_t blocks[2 * VAULT_BLOCK];
    uint8_t hash_schedule[VAULT_SCHEDULE] __attribute__((aligned(16)));
    uint8_t hash_subkeys[2][VAULT_BLOCK];                            /* K1, K2 of CMAC */
    uint8_t identity_schedule[VAULT_SCHEDULE] __attribute__((aligned(16)));
    uint8_t identity[VAULT_KEY];
    uint8_t signing_schedule[VAULT_SCHEDULE] __attribute__((aligned(16)));
    uint8_t cached[][VAULT_GCM_KEY] __attribute__((aligned(64)));    /* twins, then logs */
};

struct domain {                  /* one of its keys */
    uint8_t context[VAULT_SCHEDULE] __attribute__((aligned(16))); /* of the context key */
    uint8_t log[VAULT_KEY];
    uint16_t generation;
    uint8_t older;               /* place of its older key + 1; 0: it has none */
    bool is_loaded;
};

struct chunk {
    struct domain domains[CHUNK_DOMAINS];
};

struct olders {                  /* keys that are being replaced: few at a time */
    struct domain keys[VAULT_ROTATIONS_MAX];
};

/* ---- what is not ---- */

struct cache_entry { /* beside secrets.cached of the same index */
    uint64_t twin;   /* or 0 for a log key */
    uint64_t epoch;
    uint32_t domain; /* with the key's tag above CACHE_TAG */
    bool is_used;
};
enum { CACHE_TAG = 24 };

struct vault {
    vault_cipher *cipher;
    struct secrets *secrets;
    size_t secrets_bytes;
    struct chunk *chunks[CHUNKS];
    struct olders *olders; /* NULL before the first */
    struct cache_sizes sizes;
    struct cache_entry *cache;
    bool is_secret;
    bool is_beside;   /* its chunks are another's */
    uint64_t epoch;
    uint64_t counter; /* of the nonce: the next one to use */
    dro_random *random;
};

/* ---- what is sealed is noted, in builds that look for a nonce used twice (test/proof/nonces.py) ---- */

#ifdef DROMIO_NOTED_SEALS
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <unistd.h>

/* 28 bytes into a file of this process: the first half of the key's SHA-256, the nonce. One write, which a kill leaves whole. */
static void vault_note(const vault *self, const uint8_t *key, const uint8_t nonce[VAULT_NONCE])
{
    static int file = -1;
    static int owner;
    const char *directory = getenv("DROMIO_NOTED_SEALS");
    uint8_t note[SHA256_DIGEST_LENGTH + VAULT_NONCE];
    (void)self;
    if (directory == NULL)
        return;
    if (file < 0 || owner != (int)getpid()) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%d-%llx", directory, owner = (int)getpid(), (unsigned long long)self->epoch);
        file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (file < 0)
            abort();
    }
    SHA256(key, VAULT_KEY, note); /* both ciphers begin an expanded key with the key itself */
    memcpy(note + 16, nonce, VAULT_NONCE);
    if (write(file, note, 16 + VAULT_NONCE) != 16 + VAULT_NONCE)
        abort();
    dro_wipe(note, sizeof note);
}
#else
static void vault_note(const vault *self, const uint8_t *key, const uint8_t nonce[VAULT_NONCE])
{
    (void)self;
    (void)key;
    (void)nonce;
}
#endif

/* ---- keys from keys ---- */

static void store64(uint8_t *at, uint64_t value)
{
    memcpy(at, &value, 8);
}

static uint64_t load64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, 8);
    return value;
}

/* AES-PRF: the two blocks (number; epoch with its lowest bit clear and set), under
 * the schedule, are the key. So 63 bits of an epoch count. */
static void derive(vault *self, const uint8_t *schedule, uint64_t number, uint64_t epoch, uint8_t key[VAULT_KEY])
{
    uint8_t *blocks = self->secrets->blocks;
    for (int half = 0; half < 2; half++) {
        store64(blocks + half * VAULT_BLOCK, number);
        store64(blocks + half * VAULT_BLOCK + 8, (epoch & ~(uint64_t)1) | (uint64_t)half);
    }
    self->cipher->blocks(self->cipher, schedule, blocks, key, 2);
}

/* A key for another purpose: blocks of the purpose's name and a half's number. */
static void derive_named(vault *self, const uint8_t key[VAULT_KEY], const char *name, uint8_t out[VAULT_KEY])
{
    uint8_t *blocks = self->secrets->blocks;
    memset(blocks, 0, 2 * VAULT_BLOCK);
    assert(strlen(name) < VAULT_BLOCK);
    for (int half = 0; half < 2; half++) {
        memccpy(blocks + half * VAULT_BLOCK, name, '\0', VAULT_BLOCK);
        blocks[half * VAULT_BLOCK + VAULT_BLOCK - 1] = (uint8_t)(half + 1);
    }
    self->cipher->schedule(self->cipher, key, self->secrets->schedule);
    self->cipher->blocks(self->cipher, self->secrets->schedule, blocks, out, 2);
    dro_wipe(self->secrets->schedule, VAULT_SCHEDULE);
}

/* ---- open and close ---- */

static dro_err make_secrets(vault *self, struct cache_sizes sizes)
{
    size_t cached = (size_t)sizes.twins + sizes.logs;
    self->sizes = sizes;
    self->secrets_bytes = (sizeof(struct secrets) + cached * VAULT_GCM_KEY + 4095) & ~(size_t)4095;
    self->secrets = vault_secret_new(self->secrets_bytes, &self->is_secret);
    return self->secrets == NULL ? DRO_NOMEM : DRO_OK;
}

static dro_err take_master(vault *self, const vault_options *options)
{
    uint8_t *master = self->secrets->master;
    if (options->master_key != NULL)
        memcpy(master, options->master_key, VAULT_KEY);
    dro_err err = options->master_key != NULL ? DRO_OK : vault_master_load(options->master_key_path, options->random, master);
    if (err == DRO_OK)
        derive_named(self, master, "wrap", self->secrets->wrap);
    return err;
}

dro_err vault_open(vault **out, const vault_options *options)
{
    assert(options->random != NULL && (options->master_key != NULL || options->master_key_path != NULL));
    vault *self = calloc(1, sizeof *self);
    if (self == NULL)
        return DRO_NOMEM;
    self->epoch = options->epoch;
    self->random = options->random;
    dro_err err = make_secrets(self, large);
    if (err == DRO_OK && !self->is_secret) { /* perhaps only too much of it */
        vault_secret_free(self->secrets, self->secrets_bytes);
        err = make_secrets(self, small);
    }
    if (err == DRO_OK) {
        self->cache = calloc((size_t)self->sizes.twins + self->sizes.logs, sizeof *self->cache);
        self->cipher = vault_cipher_best(self->secrets->work);
        err = self->cache == NULL ? DRO_NOMEM : self->cipher == NULL ? DRO_UNSUPPORTED : take_master(self, options);
    }
    if (err != DRO_OK) {
        vault_close(self);
        return err;
    }
    dro_info("vault open cipher=%s secret=%s", self->cipher->name, self->is_secret ? "yes" : "no");
    *out = self;
    return DRO_OK;
}

void vault_close(vault *self)
{
    if (self == NULL)
        return;
    if (self->cipher != NULL)
        self->cipher->free(self->cipher);
    for (int i = 0; i < CHUNKS && !self->is_beside; i++)
        vault_secret_free(self->chunks[i], sizeof *self->chunks[i]);
    if (!self->is_beside)
        vault_secret_free(self->olders, sizeof *self->olders);
    vault_secret_free(self->secrets, self->secrets_bytes);
    free(self->cache);
    free(self);
}

dro_err vault_open_beside(vault **out, const vault *first)
{
    vault *self = calloc(1, sizeof *self);
    if (self == NULL)
        return DRO_NOMEM;
    self->is_beside = true;
    memcpy(self->chunks, first->chunks, sizeof self->chunks);
    self->olders = first->olders;
    dro_err err = make_secrets(self, (struct cache_sizes){ .logs = large.logs });
    if (err == DRO_OK) {
        self->cache = calloc(self->sizes.logs, sizeof *self->cache);
        self->cipher = vault_cipher_best(self->secrets->work);
        err = self->cache == NULL || self->cipher == NULL ? DRO_NOMEM : first->is_secret && !self->is_secret ? DRO_UNSUPPORTED : DRO_OK;
    }
    if (err != DRO_OK) {
        vault_close(self);
        return err;
    }
    *out = self;
    return DRO_OK;
}

bool vault_is_secret(const vault *self)
{
    return self->is_secret;
}

/* ---- domains ---- */

/* Its newest key. */
static struct domain *domain_at(const vault *self, uint32_t number)
{
    struct chunk *chunk = number < VAULT_DOMAINS_MAX ? self->chunks[number / CHUNK_DOMAINS] : NULL;
    struct domain *domain = chunk == NULL ? NULL : &chunk->domains[number % CHUNK_DOMAINS];
    return domain != NULL && domain->is_loaded ? domain : NULL;
}

static struct domain *older_of(const vault *self, const struct domain *domain)
{
    return domain->older == 0 ? NULL : &self->olders->keys[domain->older - 1];
}

static void *secret_more(vault *self, size_t bytes, uint32_t number)
{
    bool is_secret;
    void *memory = vault_secret_new(bytes, &is_secret);
    if (self->is_secret && !is_secret)
        dro_warn("vault no-secret-memory domains=%u \"RLIMIT_MEMLOCK is used up: further keys are only locked\"", number);
    self->is_secret = self->is_secret && (memory == NULL || is_secret);
    return memory;
}

static struct domain *domain_room(vault *self, uint32_t number)
{
    struct chunk **chunk = &self->chunks[number / CHUNK_DOMAINS];
    if (*chunk == NULL)
        *chunk = secret_more(self, sizeof **chunk, number);
    return *chunk == NULL ? NULL : &(*chunk)->domains[number % CHUNK_DOMAINS];
}

/* The place of an older key of the domain: its own or a free one. */
static dro_err older_room(vault *self, struct domain *domain, uint32_t number)
{
    if (self->olders == NULL && (self->olders = secret_more(self, sizeof *self->olders, number)) == NULL)
        return DRO_NOMEM;
    for (uint8_t i = 0; i < VAULT_ROTATIONS_MAX && domain->older == 0; i++)
        if (!self->olders->keys[i].is_loaded)
            domain->older = (uint8_t)(i + 1);
    return domain->older == 0 ? DRO_LIMIT : DRO_OK;
}

/* CMAC's subkeys (NIST SP 800-38B, 6.1). */
static void double_block(const uint8_t in[VAULT_BLOCK], uint8_t out[VAULT_BLOCK])
{
    uint8_t carry = (uint8_t)-(in[0] >> 7) & 0x87;
    for (int i = 0; i < VAULT_BLOCK - 1; i++)
        out[i] = (uint8_t)(in[i] << 1 | in[i + 1] >> 7);
    out[VAULT_BLOCK - 1] = (uint8_t)(in[VAULT_BLOCK - 1] << 1) ^ carry;
}

/* Identities belong to the host, not to a tenant: their keys come from domain 0. */
static void take_identity_keys(vault *self, const uint8_t key[VAULT_KEY])
{
    struct secrets *secrets = self->secrets;
    vault_cipher *cipher = self->cipher;
    derive_named(self, key, "identity hash", secrets->purpose);
    cipher->schedule(cipher, secrets->purpose, secrets->hash_schedule);
    dro_wipe(secrets->purpose, VAULT_KEY);
    memset(secrets->blocks, 0, VAULT_BLOCK);
    cipher->blocks(cipher, secrets->hash_schedule, secrets->blocks, secrets->blocks, 1);
    double_block(secrets->blocks, secrets->hash_subkeys[0]);
    double_block(secrets->hash_subkeys[0], secrets->hash_subkeys[1]);
    derive_named(self, key, "identity seal", secrets->identity);
    cipher->schedule(cipher, secrets->identity, secrets->identity_schedule);
    derive_named(self, key, "signing", secrets->purpose);
    cipher->schedule(cipher, secrets->purpose, secrets->signing_schedule);
    dro_wipe(secrets->purpose, VAULT_KEY);
}

static void forget_cached(vault *self, uint32_t number)
{
    for (uint32_t i = 0; i < self->sizes.twins + self->sizes.logs; i++) {
        if (!self->cache[i].is_used || (self->cache[i].domain & ((1u << CACHE_TAG) - 1)) != number)
            continue;
        self->cache[i].is_used = false;
        dro_wipe(self->secrets->cached[i], VAULT_GCM_KEY);
    }
}

static void take_key(vault *self, struct domain *domain, uint32_t number, uint16_t generation, const uint8_t key[VAULT_KEY])
{
    forget_cached(self, number); /* of another key under this number */
    derive_named(self, key, "log", domain->log);
    derive_named(self, key, "context", self->secrets->purpose);
    self->cipher->schedule(self->cipher, self->secrets->purpose, domain->context);
    dro_wipe(self->secrets->purpose, VAULT_KEY);
    if (number == 0)
        take_identity_keys(self, key);
    domain->generation = generation;
    domain->is_loaded = true;
}

/* Where a key of that generation goes: the newest one makes room for a newer. */
static dro_err key_room(vault *self, uint32_t key, struct domain **out)
{
    uint32_t number = vault_key_domain(key);
    uint16_t generation = vault_key_generation(key);
    if (number >= VAULT_DOMAINS_MAX)
        return DRO_RANGE;
    struct domain *domain = *out = domain_room(self, number);
    if (domain == NULL)
        return DRO_NOMEM;
    if (!domain->is_loaded || domain->generation == generation)
        return DRO_OK;
    struct domain *older = older_of(self, domain);
    if (older != NULL && older->generation != generation)
        return DRO_LIMIT;
    dro_err err = older_room(self, domain, number);
    if (err != DRO_OK)
        return err;
    if (generation > domain->generation) {
        self->olders->keys[domain->older - 1] = *domain;
        self->olders->keys[domain->older - 1].older = 0;
    } else {
        *out = older_of(self, domain);
    }
    return DRO_OK;
}

/* A wrapped key is bound to its number and generation. */
static size_t wrap_binding(uint32_t key, uint8_t out[16])
{
    memcpy(out, "domain key\0", 12);
    memcpy(out + 12, &key, 4);
    return 16;
}

/* Wraps secrets->key. */
static void wrap(vault *self, const uint8_t *wrap, uint32_t number, uint8_t wrapped[VAULT_WRAPPED])
{
    struct secrets *secrets = self->secrets;
    uint8_t binding[16];
    size_t length = wrap_binding(number, binding);
    self->random->fill(self->random, wrapped, VAULT_NONCE);
    self->cipher->gcm_key(self->cipher, wrap, secrets->gcm_key);
    vault_note(self, secrets->gcm_key, wrapped);
    self->cipher->seal(self->cipher, secrets->gcm_key, wrapped, binding, length, secrets->key, VAULT_KEY,
                       wrapped + VAULT_NONCE, wrapped + VAULT_NONCE + VAULT_KEY);
}

/* Into secrets->key. */
static dro_err unwrap(vault *self, uint32_t number, const uint8_t wrapped[VAULT_WRAPPED])
{
    struct secrets *secrets = self->secrets;
    uint8_t binding[16];
    size_t length = wrap_binding(number, binding);
    self->cipher->gcm_key(self->cipher, secrets->wrap, secrets->gcm_key);
    return self->cipher->open(self->cipher, secrets->gcm_key, wrapped, binding, length, wrapped + VAULT_NONCE, VAULT_KEY,
                              secrets->key, wrapped + VAULT_NONCE + VAULT_KEY) ? DRO_OK : DRO_CORRUPT;
}

dro_err vault_domain_new(vault *self, uint32_t key, uint8_t wrapped[VAULT_WRAPPED])
{
    struct domain *domain;
    dro_err err = key_room(self, key, &domain);
    if (err != DRO_OK)
        return err;
    self->random->fill(self->random, self->secrets->key, VAULT_KEY);
    wrap(self, self->secrets->wrap, key, wrapped);
    take_key(self, domain, vault_key_domain(key), vault_key_generation(key), self->secrets->key);
    dro_wipe(self->secrets->key, VAULT_KEY);
    return DRO_OK;
}

void vault_key_make(vault *self, uint32_t key, uint8_t wrapped[VAULT_WRAPPED])
{
    self->random->fill(self->random, self->secrets->key, VAULT_KEY);
    wrap(self, self->secrets->wrap, key, wrapped);
    dro_wipe(self->secrets->key, VAULT_KEY);
}

dro_err vault_domain_load(vault *self, uint32_t key, const uint8_t wrapped[VAULT_WRAPPED])
{
    struct domain *domain;
    if (vault_key_domain(key) >= VAULT_DOMAINS_MAX)
        return DRO_RANGE;
    dro_err err = unwrap(self, key, wrapped);
    if (err == DRO_OK)
        err = key_room(self, key, &domain);
    if (err == DRO_OK)
        take_key(self, domain, vault_key_domain(key), vault_key_generation(key), self->secrets->key);
    dro_wipe(self->secrets->key, VAULT_KEY);
    return err;
}

bool vault_domain_has(const vault *self, uint32_t key)
{
    const struct domain *domain = domain_at(self, vault_key_domain(key));
    const struct domain *older = domain == NULL ? NULL : older_of(self, domain);
    return domain != NULL && (domain->generation == vault_key_generation(key) ||
                              (older != NULL && older->generation == vault_key_generation(key)));
}

void vault_older_drop(vault *self, uint32_t number)
{
    struct domain *domain = domain_at(self, number), *older = domain == NULL ? NULL : older_of(self, domain);
    if (older == NULL)
        return;
    forget_cached(self, number);
    dro_wipe(older, sizeof *older);
    domain->older = 0;
}

void vault_domain_drop(vault *self, uint32_t number)
{
    vault_older_drop(self, number);
    struct domain *domain = domain_at(self, number);
    if (domain == NULL)
        return;
    forget_cached(self, number);
    dro_wipe(domain, sizeof *domain);
    if (number != 0)
        return;
    dro_wipe(self->secrets->hash_schedule, VAULT_SCHEDULE);
    dro_wipe(self->secrets->hash_subkeys, sizeof self->secrets->hash_subkeys);
    dro_wipe(self->secrets->identity_schedule, VAULT_SCHEDULE);
    dro_wipe(self->secrets->identity, VAULT_KEY);
    dro_wipe(self->secrets->signing_schedule, VAULT_SCHEDULE);
}

/* ---- another master key ---- */

void vault_master_next(vault *self, const uint8_t master[VAULT_KEY])
{
    derive_named(self, master, "wrap", self->secrets->wrap_next);
}

dro_err vault_rewrap(vault *self, uint32_t key, const uint8_t wrapped[VAULT_WRAPPED], uint8_t again[VAULT_WRAPPED])
{
    dro_err err = unwrap(self, key, wrapped);
    if (err == DRO_OK)
        wrap(self, self->secrets->wrap_next, key, again);
    dro_wipe(self->secrets->key, VAULT_KEY);
    return err;
}

void vault_master_take(vault *self)
{
    memcpy(self->secrets->wrap, self->secrets->wrap_next, VAULT_KEY);
    dro_wipe(self->secrets->wrap_next, VAULT_KEY);
}

/* ---- expanded keys, kept for a while ---- */

static uint64_t mix(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

static bool is_of(const struct cache_entry *entry, uint32_t domain, uint64_t twin, uint64_t epoch)
{
    return entry->is_used && entry->twin == twin && entry->epoch == epoch && entry->domain == domain;
}

static uint32_t cache_name(uint32_t number, const struct domain *key)
{
    return number | (uint32_t)(uint8_t)key->generation << CACHE_TAG;
}

/* The key that sealed this: its tag is the lowest byte of a generation, and no more than two live. */
static dro_err key_of(const vault *self, uint32_t number, const uint8_t *sealed, size_t length, const struct domain **out)
{
    const struct domain *domain = domain_at(self, number);
    if (length < VAULT_OVERHEAD)
        return DRO_CORRUPT;
    if (domain == NULL)
        return DRO_NOT_FOUND;
    uint8_t age = (uint8_t)(domain->generation - vault_sealed_tag(sealed));
    const struct domain *older = older_of(self, domain);
    bool is_older = older != NULL && age == (uint8_t)(domain->generation - older->generation);
    *out = age == 0 ? domain : is_older ? older : NULL;
    bool is_past = age <= INT8_MAX && age <= domain->generation;
    return *out != NULL ? DRO_OK : is_past ? DRO_NOT_FOUND : DRO_CORRUPT;
}

/* From a turn's open to its seal the key stays expanded, where the domain's key lies. */
static const uint8_t *twin_key(vault *self, const struct domain *domain, const vault_binding *binding, uint64_t epoch)
{
    uint32_t at = binding->slot & (self->sizes.twins - 1);
    struct cache_entry *entry = &self->cache[at];
    if (!is_of(entry, cache_name(binding->domain, domain), binding->twin, epoch)) {
        derive(self, domain->context, binding->twin, epoch, self->secrets->key);
        self->cipher->gcm_key(self->cipher, self->secrets->key, self->secrets->cached[at]);
        *entry = (struct cache_entry){ binding->twin, epoch, cache_name(binding->domain, domain), true };
    }
    return self->secrets->cached[at];
}

static const uint8_t *log_key(vault *self, const struct domain *domain, uint32_t number, uint64_t epoch)
{
    uint32_t at = self->sizes.twins + ((uint32_t)mix(epoch + number) & (self->sizes.logs - 1));
    struct cache_entry *entry = &self->cache[at];
    if (!is_of(entry, cache_name(number, domain), 0, epoch)) {
        self->cipher->schedule(self->cipher, domain->log, self->secrets->schedule);
        derive(self, self->secrets->schedule, number, epoch, self->secrets->key);
        dro_wipe(self->secrets->schedule, VAULT_SCHEDULE);
        self->cipher->gcm_key(self->cipher, self->secrets->key, self->secrets->cached[at]);
        *entry = (struct cache_entry){ 0, epoch, cache_name(number, domain), true };
    }
    return self->secrets->cached[at];
}

/* ---- seal and open ---- */

/* The counter never goes back in an epoch, and an epoch is new at every start. The key's tag is its uppermost byte. */
static void take_nonce(vault *self, uint16_t generation, uint8_t nonce[VAULT_NONCE])
{
    assert(self->counter < COUNTER_END);
    memset(nonce, 0, VAULT_NONCE);
    store64(nonce, self->counter++);
    nonce[VAULT_TAG_AT] = (uint8_t)generation;
}

static void nonce_of(const uint8_t *sealed, uint8_t nonce[VAULT_NONCE])
{
    memset(nonce, 0, VAULT_NONCE);
    memcpy(nonce, sealed + 8, 8);
}

static void seal(vault *self, const struct domain *domain, const uint8_t *key, const void *associated, size_t associated_length,
                 const void *plain, size_t length, uint8_t *sealed)
{
    uint8_t nonce[VAULT_NONCE];
    take_nonce(self, domain->generation, nonce);
    vault_note(self, key, nonce);
    store64(sealed, self->epoch);
    memcpy(sealed + 8, nonce, 8);
    self->cipher->seal(self->cipher, key, nonce, associated, associated_length, plain, length, sealed + HEADER,
                       sealed + HEADER + length);
}

static dro_err open_sealed(vault *self, const uint8_t *key, const void *associated, size_t associated_length,
                           const uint8_t *sealed, size_t length, void *plain)
{
    uint8_t nonce[VAULT_NONCE];
    nonce_of(sealed, nonce);
    size_t inner = length - VAULT_OVERHEAD;
    return self->cipher->open(self->cipher, key, nonce, associated, associated_length, sealed + HEADER, inner, plain,
                              sealed + HEADER + inner) ? DRO_OK : DRO_CORRUPT;
}

static void associate(const vault_binding *binding, uint8_t out[ASSOCIATED_CONTEXT])
{
    store64(out, binding->twin);
    memcpy(out + 8, binding->image, 32);
    store64(out + 40, binding->revision);
}

void vault_seal_context(vault *self, const vault_binding *binding, const void *plain, size_t length, uint8_t *sealed)
{
    const struct domain *domain = domain_at(self, binding->domain);
    assert(domain != NULL);
    uint8_t associated[ASSOCIATED_CONTEXT];
    associate(binding, associated);
    const uint8_t *key = twin_key(self, domain, binding, self->epoch);
    seal(self, domain, key, associated, sizeof associated, plain, length, sealed);
}

dro_err vault_open_context(vault *self, const vault_binding *binding, const uint8_t *sealed, size_t length, void *plain)
{
    const struct domain *domain = NULL;
    dro_err err = key_of(self, binding->domain, sealed, length, &domain);
    if (err != DRO_OK)
        return err;
    uint8_t associated[ASSOCIATED_CONTEXT];
    associate(binding, associated);
    const uint8_t *key = twin_key(self, domain, binding, load64(sealed));
    return open_sealed(self, key, associated, sizeof associated, sealed, length, plain);
}

dro_err vault_reseal_context(vault *self, const vault_binding *binding, const uint8_t *sealed, size_t length, uint8_t *again)
{
    dro_err err = vault_open_context(self, binding, sealed, length, vault_in_place(again));
    if (err == DRO_OK)
        vault_seal_context(self, binding, vault_in_place(again), length - VAULT_OVERHEAD, again);
    return err;
}

void vault_seal_log(vault *self, uint32_t number, const void *associated, size_t associated_length, const void *plain,
                    size_t length, uint8_t *sealed)
{
    const struct domain *domain = domain_at(self, number);
    assert(domain != NULL);
    seal(self, domain, log_key(self, domain, number, self->epoch), associated, associated_length, plain, length, sealed);
}

dro_err vault_open_log(vault *self, uint32_t number, const void *associated, size_t associated_length, const uint8_t *sealed,
                       size_t length, void *plain)
{
    const struct domain *domain = NULL;
    dro_err err = key_of(self, number, sealed, length, &domain);
    if (err != DRO_OK)
        return err;
    const uint8_t *key = log_key(self, domain, number, load64(sealed));
    return open_sealed(self, key, associated, associated_length, sealed, length, plain);
}

uint8_t vault_newest_tag(const vault *self, uint32_t number)
{
    const struct domain *domain = domain_at(self, number);
    return domain == NULL ? 0 : (uint8_t)domain->generation;
}

uint8_t *vault_in_place(uint8_t *sealed)
{
    return sealed + HEADER;
}

/* ---- signatures ---- */

/* OpenSSL takes a copy into memory of its own, and wipes it when the key is freed: so it is made for each use. */
static EVP_PKEY *signing_key(vault *self, uint32_t number)
{
    if (domain_at(self, 0) == NULL)
        return NULL;
    derive(self, self->secrets->signing_schedule, number, 0, self->secrets->key);
    EVP_PKEY *made = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, self->secrets->key, VAULT_KEY);
    dro_wipe(self->secrets->key, VAULT_KEY);
    return made;
}

dro_err vault_sign_public(vault *self, uint32_t number, uint8_t public_key[VAULT_PUBLIC])
{
    EVP_PKEY *key = signing_key(self, number);
    size_t length = VAULT_PUBLIC;
    bool is_good = key != NULL && EVP_PKEY_get_raw_public_key(key, public_key, &length) == 1;
    EVP_PKEY_free(key);
    return is_good ? DRO_OK : DRO_NOMEM;
}

dro_err vault_sign(vault *self, uint32_t number, const void *bytes, size_t length, uint8_t signature[VAULT_SIGNATURE])
{
    EVP_PKEY *key = signing_key(self, number);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t made = VAULT_SIGNATURE;
    bool is_good = key != NULL && context != NULL && EVP_DigestSignInit_ex(context, NULL, NULL, NULL, NULL, key, NULL) == 1 &&
                   EVP_DigestSign(context, signature, &made, bytes, length) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return is_good ? DRO_OK : DRO_NOMEM;
}

/* ---- identities ---- */

struct cmac {
    uint8_t state[VAULT_BLOCK];
    uint8_t block[VAULT_BLOCK];
    size_t length; /* in block */
};

static void cmac_step(vault *self, struct cmac *cmac)
{
    for (int i = 0; i < VAULT_BLOCK; i++)
        cmac->state[i] ^= cmac->block[i];
    self->cipher->blocks(self->cipher, self->secrets->hash_schedule, cmac->state, cmac->state, 1);
    cmac->length = 0;
}

static void cmac_add(vault *self, struct cmac *cmac, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    while (length > 0) {
        if (cmac->length == VAULT_BLOCK) /* the last block is kept for the end */
            cmac_step(self, cmac);
        size_t room = VAULT_BLOCK - cmac->length, part = length < room ? length : room;
        memcpy(cmac->block + cmac->length, at, part);
        cmac->length += part;
        at += part;
        length -= part;
    }
}

static void cmac_end(vault *self, struct cmac *cmac)
{
    const uint8_t *subkey = self->secrets->hash_subkeys[cmac->length == VAULT_BLOCK ? 0 : 1];
    if (cmac->length < VAULT_BLOCK) {
        memset(cmac->block + cmac->length, 0, VAULT_BLOCK - cmac->length);
        cmac->block[cmac->length] = 0x80;
    }
    for (int i = 0; i < VAULT_BLOCK; i++)
        cmac->block[i] ^= subkey[i];
    cmac_step(self, cmac);
}

void vault_identity_hash(vault *self, const char *kind, const void *text, size_t length, uint64_t hash[2])
{
    assert(domain_at(self, 0) != NULL);
    struct cmac cmac;
    memset(&cmac, 0, sizeof cmac);
    cmac_add(self, &cmac, kind, strlen(kind) + 1); /* its NUL keeps kind and text apart */
    cmac_add(self, &cmac, text, length);
    cmac_end(self, &cmac);
    memcpy(hash, cmac.state, VAULT_BLOCK);
    dro_wipe(&cmac, sizeof cmac);
}

enum { LANE_BYTES = 2 * VAULT_BLOCK }; /* a kind and an identity are hardly longer */

typedef struct lanes { /* messages beside each other: their ciphers overlap */
    uint8_t first[VAULT_IDENTITIES_MAX][VAULT_BLOCK], last[VAULT_IDENTITIES_MAX][VAULT_BLOCK];
    uint8_t state[VAULT_IDENTITIES_MAX][VAULT_BLOCK];
    bool has_first[VAULT_IDENTITIES_MAX];
} lanes;

/* The blocks of CMAC: the last one, padded, with a subkey. False: too long for a lane. */
static bool lane_fill(const vault *self, lanes *lanes, uint32_t lane, const char *kind, const char *text)
{
    uint8_t message[LANE_BYTES] = { 0 };
    size_t before = strlen(kind) + 1, length = before + strlen(text);
    if (length > LANE_BYTES)
        return false;
    memcpy(message, kind, before);
    memcpy(message + before, text, length - before);
    bool has_first = lanes->has_first[lane] = length > VAULT_BLOCK, is_whole = length == (has_first ? LANE_BYTES : VAULT_BLOCK);
    if (!is_whole)
        message[length] = 0x80;
    memcpy(lanes->first[lane], message, VAULT_BLOCK);
    memcpy(lanes->last[lane], message + (has_first ? VAULT_BLOCK : 0), VAULT_BLOCK);
    for (int i = 0; i < VAULT_BLOCK; i++)
        lanes->last[lane][i] ^= self->secrets->hash_subkeys[is_whole ? 0 : 1][i];
    dro_wipe(message, sizeof message);
    return true;
}

void vault_identity_hashes(vault *self, const char *kind, const char *const texts[], uint32_t count, uint64_t hashes[][2])
{
    assert(domain_at(self, 0) != NULL && count <= VAULT_IDENTITIES_MAX);
    const uint8_t *schedule = self->secrets->hash_schedule;
    lanes lanes = { .has_first = { 0 } };
    bool is_lane[VAULT_IDENTITIES_MAX];
    for (uint32_t i = 0; i < count; i++)
        is_lane[i] = lane_fill(self, &lanes, i, kind, texts[i]);
    self->cipher->blocks(self->cipher, schedule, lanes.first[0], lanes.state[0], count);
    for (uint32_t lane = 0; lane < count; lane++)
        for (int i = 0; i < VAULT_BLOCK; i++)
            lanes.state[lane][i] = (lanes.has_first[lane] ? lanes.state[lane][i] : 0) ^ lanes.last[lane][i];
    self->cipher->blocks(self->cipher, schedule, lanes.state[0], lanes.state[0], count);
    for (uint32_t i = 0; i < count; i++) {
        if (is_lane[i])
            memcpy(hashes[i], lanes.state[i], VAULT_BLOCK);
        else
            vault_identity_hash(self, kind, texts[i], strlen(texts[i]), hashes[i]);
    }
    dro_wipe(&lanes, sizeof lanes);
}

/* 16 half bytes: the number of digits, the digits, zeros; then the twin. Under the
 * block cipher alone: what lies on the wrong twin gives that twin's number only by
 * a chance of 2^-64. */
void vault_identity_seal(vault *self, uint64_t twin, const char *digits, uint8_t sealed[16])
{
    size_t length = strlen(digits);
    assert(domain_at(self, 0) != NULL && length <= IDENTITY_DIGITS);
    uint8_t *block = self->secrets->blocks;
    memset(block, 0, VAULT_BLOCK);
    block[0] = (uint8_t)(length << 4);
    for (size_t i = 0; i < length; i++) {
        assert(digits[i] >= '0' && digits[i] <= '9');
        uint8_t digit = (uint8_t)(digits[i] - '0');
        block[(i + 1) / 2] |= (uint8_t)((i + 1) % 2 == 0 ? digit << 4 : digit);
    }
    store64(block + 8, twin);
    self->cipher->blocks(self->cipher, self->secrets->identity_schedule, block, sealed, 1);
    dro_wipe(block, VAULT_BLOCK);
}

dro_err vault_identity_open(vault *self, uint64_t twin, const uint8_t sealed[16], char digits[16])
{
    memset(digits, 0, IDENTITY_DIGITS + 1);
    if (domain_at(self, 0) == NULL)
        return DRO_CORRUPT;
    uint8_t *block = self->secrets->blocks;
    self->cipher->unblock(self->cipher, self->secrets->identity, sealed, block);
    size_t length = block[0] >> 4;
    bool is_right = load64(block + 8) == twin;
    for (size_t i = 0; i < IDENTITY_DIGITS; i++) {
        uint8_t digit = (i + 1) % 2 == 0 ? block[(i + 1) / 2] >> 4 : block[(i + 1) / 2] & 15;
        is_right &= i < length ? digit <= 9 : digit == 0;
        digits[i] = (char)(i < length ? '0' + digit : 0);
    }
    dro_wipe(block, VAULT_BLOCK);
    if (!is_right)
        dro_wipe(digits, IDENTITY_DIGITS + 1);
    return is_right ? DRO_OK : DRO_CORRUPT;
}

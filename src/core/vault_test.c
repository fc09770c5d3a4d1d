/* Expected bytes come from OpenSSL's own EVP and MAC functions, used here as the
 * second implementation, and from published vectors. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "base/log.h"
#include "core/vault.h"
#include "core/vault_cipher.h"
#include "core/vault_master.h"
#include "core/vault_secret.h"

enum { PLAIN = 256, TEXT_MAX = 1024 };

static const uint8_t master[32] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };
static const uint8_t image[32] = { 0xaa, 0xbb };
static uint8_t unwrapping_master[32];
static dro_random_seeded seeded;

static vault *vault_at(uint64_t epoch)
{
    vault *vault;
    vault_options options = { .master_key = master, .epoch = epoch, .random = &seeded.random };
    assert_int_equal(vault_open(&vault, &options), DRO_OK);
    return vault;
}

static int seed(void **state)
{
    (void)state;
    dro_random_seeded_init(&seeded, 7);
    memcpy(unwrapping_master, master, 32);
    return 0;
}

/* ---- the same by OpenSSL ---- */

static void ecb(const uint8_t key[32], const uint8_t *in, uint8_t *out, int blocks)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int length;
    assert_int_equal(EVP_EncryptInit_ex(context, EVP_aes_256_ecb(), NULL, key, NULL), 1);
    EVP_CIPHER_CTX_set_padding(context, 0);
    assert_int_equal(EVP_EncryptUpdate(context, out, &length, in, blocks * 16), 1);
    EVP_CIPHER_CTX_free(context);
}

static void named(const uint8_t key[32], const char *name, uint8_t out[32])
{
    uint8_t in[32] = { 0 };
    for (int half = 0; half < 2; half++) {
        memcpy(in + 16 * half, name, strlen(name));
        in[16 * half + 15] = (uint8_t)(half + 1);
    }
    ecb(key, in, out, 2);
}

static void of_number(const uint8_t key[32], uint64_t number, uint64_t epoch, uint8_t out[32])
{
    uint64_t in[4] = { number, epoch & ~1ull, number, epoch | 1 };
    ecb(key, (const uint8_t *)in, out, 2);
}

static int gcm_open(const uint8_t key[32], const uint8_t nonce[12], const void *associated, size_t associated_length,
                    const uint8_t *sealed, size_t length, const uint8_t tag[16], uint8_t *plain)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    uint8_t copy[16];
    int done;
    memcpy(copy, tag, 16);
    int ok = EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, nonce) &&
        EVP_DecryptUpdate(context, NULL, &done, associated, (int)associated_length) &&
        EVP_DecryptUpdate(context, plain, &done, sealed, (int)length) &&
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, copy) && EVP_DecryptFinal_ex(context, plain + length, &done) > 0;
    EVP_CIPHER_CTX_free(context);
    return ok;
}

static void unwrap(uint32_t number, const uint8_t wrapped[VAULT_WRAPPED], uint8_t key[32])
{
    uint8_t wrap[32], binding[16] = "domain key\0", plain[64];
    memcpy(binding + 12, &number, 4);
    named(unwrapping_master, "wrap", wrap);
    assert_true(gcm_open(wrap, wrapped, binding, 16, wrapped + 12, 32, wrapped + 44, plain));
    memcpy(key, plain, 32);
}

/* ---- ciphers ---- */

static uint8_t work[2][VAULT_CIPHER_WORK] __attribute__((aligned(64)));

/* FIPS 197, C.3. */
static void blocks_match_fips_197(void **state)
{
    (void)state;
    static const uint8_t expected[16] = { 0x8e, 0xa2, 0xb7, 0xca, 0x51, 0x67, 0x45, 0xbf, 0xea, 0xfc, 0x49, 0x90, 0x4b, 0x49, 0x60, 0x89 };
    enum { BLOCKS = 9 };
    uint8_t key[32], in[16 * BLOCKS], out[16 * BLOCKS], back[16];
    static uint8_t schedule[VAULT_SCHEDULE] __attribute__((aligned(16)));
    for (int i = 0; i < 32; i++)
        key[i] = (uint8_t)i;
    for (int i = 0; i < 16 * BLOCKS; i++)
        in[i] = (uint8_t)(i % 16 * 0x11);
    vault_cipher *ciphers[] = { vault_cipher_ipsec_mb(work[0]), vault_cipher_openssl(work[1]) };
    for (int c = 0; c < 2; c++) {
        if (ciphers[c] == NULL)
            continue;
        ciphers[c]->schedule(ciphers[c], key, schedule);
        for (size_t count = 1; count <= BLOCKS; count++) {
            memset(out, 0, sizeof out);
            ciphers[c]->blocks(ciphers[c], schedule, in, out, count);
            for (size_t i = 0; i < count; i++)
                assert_memory_equal(out + 16 * i, expected, 16);
        }
        ciphers[c]->unblock(ciphers[c], key, expected, back);
        assert_memory_equal(back, in, 16);
        assert_true(vault_cipher_is_right(ciphers[c]));
        ciphers[c]->free(ciphers[c]);
    }
}

static void both_ciphers_seal_and_open_the_same(void **state)
{
    (void)state;
    vault_cipher *one = vault_cipher_ipsec_mb(work[0]), *other = vault_cipher_openssl(work[1]);
    static uint8_t keys[2][VAULT_GCM_KEY] __attribute__((aligned(64)));
    uint8_t key[32], nonce[12], text[TEXT_MAX], sealed[2][TEXT_MAX], plain[TEXT_MAX], tags[2][16];
    assert_non_null(other);
    if (one == NULL) {
        other->free(other);
        skip(); /* this build or processor has only one */
    }
    for (size_t length = 0; length < TEXT_MAX; length += 1 + length / 8) {
        for (size_t associated = 0; associated < 80; associated += 13) {
            seeded.random.fill(&seeded.random, key, sizeof key);
            seeded.random.fill(&seeded.random, nonce, sizeof nonce);
            seeded.random.fill(&seeded.random, text, sizeof text);
            one->gcm_key(one, key, keys[0]);
            other->gcm_key(other, key, keys[1]);
            one->seal(one, keys[0], nonce, key, associated % 32, text, length, sealed[0], tags[0]);
            other->seal(other, keys[1], nonce, key, associated % 32, text, length, sealed[1], tags[1]);
            assert_memory_equal(sealed[0], sealed[1], length);
            assert_memory_equal(tags[0], tags[1], 16);
            assert_true(one->open(one, keys[0], nonce, key, associated % 32, sealed[1], length, plain, tags[1]));
            assert_memory_equal(plain, text, length);
            tags[0][length % 16] ^= 1;
            assert_false(one->open(one, keys[0], nonce, key, associated % 32, sealed[1], length, plain, tags[0]));
            assert_false(other->open(other, keys[1], nonce, key, associated % 32, sealed[1], length, plain, tags[0]));
            for (size_t i = 0; i < length; i++)
                assert_int_equal(plain[i], 0); /* nothing that was not authentic is left */
        }
    }
    one->free(one);
    other->free(other);
}

/* ---- contexts and log parts ---- */

static void a_sealed_context_is_what_the_header_says(void **state)
{
    (void)state;
    uint8_t wrapped[VAULT_WRAPPED], domain[32], context[32], key[32], associated[48], nonce[12] = { 0 };
    uint8_t plain[PLAIN], sealed[PLAIN + VAULT_OVERHEAD], back[PLAIN + 16];
    const uint64_t epoch = 0x8877665544332211u, twin = 0x0123456789abcdefu, revision = 42;
    vault *vault = vault_at(epoch);
    assert_int_equal(vault_domain_new(vault, 9, wrapped), DRO_OK);
    memset(plain, 'p', sizeof plain);
    vault_binding binding = { 9, twin, image, revision };
    for (uint64_t counter = 0; counter < 3; counter++) {
        vault_seal_context(vault, &binding, plain, sizeof plain, sealed);
        assert_memory_equal(sealed, &epoch, 8);
        assert_memory_equal(sealed + 8, &counter, 8);
        unwrap(9, wrapped, domain);
        named(domain, "context", context);
        of_number(context, twin, epoch, key);
        memcpy(associated, &twin, 8);
        memcpy(associated + 8, image, 32);
        memcpy(associated + 40, &revision, 8);
        memcpy(nonce, &counter, 8);
        assert_true(gcm_open(key, nonce, associated, 48, sealed + 16, PLAIN, sealed + 16 + PLAIN, back));
        assert_memory_equal(back, plain, PLAIN);
    }
    vault_close(vault);
}

static void a_sealed_log_part_is_what_the_header_says(void **state)
{
    (void)state;
    uint8_t wrapped[VAULT_WRAPPED], domain[32], log[32], key[32], nonce[12] = { 0 };
    uint8_t sealed[5 + VAULT_OVERHEAD], back[32];
    vault *vault = vault_at(77);
    assert_int_equal(vault_domain_new(vault, 3, wrapped), DRO_OK);
    vault_seal_log(vault, 3, "about", 5, "plain", 5, sealed);
    unwrap(3, wrapped, domain);
    named(domain, "log", log);
    of_number(log, 3, 77, key);
    assert_true(gcm_open(key, nonce, "about", 5, sealed + 16, 5, sealed + 21, back));
    assert_memory_equal(back, "plain", 5);
    assert_int_equal(vault_open_log(vault, 3, "about", 5, sealed, sizeof sealed, back), DRO_OK);
    assert_memory_equal(back, "plain", 5);
    assert_int_equal(vault_open_log(vault, 3, "other", 5, sealed, sizeof sealed, back), DRO_CORRUPT);
    assert_int_equal(vault_open_log(vault, 3, "about", 4, sealed, sizeof sealed, back), DRO_CORRUPT);
    assert_int_equal(vault_open_log(vault, 4, "about", 5, sealed, sizeof sealed, back), DRO_NOT_FOUND);
    vault_seal_log(vault, 3, NULL, 0, NULL, 0, sealed); /* nothing at all can be sealed too */
    assert_int_equal(vault_open_log(vault, 3, NULL, 0, sealed, VAULT_OVERHEAD, NULL), DRO_OK);
    vault_close(vault);
}

static void a_context_opens_only_for_what_it_is_bound_to(void **state)
{
    (void)state;
    uint8_t wrapped[VAULT_WRAPPED], plain[PLAIN] = "text", sealed[PLAIN + VAULT_OVERHEAD], back[PLAIN];
    uint8_t other_image[32] = { 0xaa, 0xbc };
    vault *vault = vault_at(5);
    assert_int_equal(vault_domain_new(vault, 1, wrapped), DRO_OK);
    assert_int_equal(vault_domain_new(vault, 2, wrapped), DRO_OK);
    vault_binding right = { 1, 100, image, 7 };
    vault_binding wrong[] = { { 2, 100, image, 7 }, { 1, 101, image, 7 }, { 1, 100, other_image, 7 }, { 1, 100, image, 8 }, { 3, 100, image, 7 } };
    vault_seal_context(vault, &right, plain, PLAIN, sealed);
    assert_int_equal(vault_open_context(vault, &right, sealed, sizeof sealed, back), DRO_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(vault_open_context(vault, &wrong[i], sealed, sizeof sealed, back), wrong[i].domain == 3 ? DRO_NOT_FOUND : DRO_CORRUPT);
    for (size_t bit = 0; bit < sizeof sealed * 8; bit++) { /* epoch, counter, text, tag */
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        bool is_lowest_of_epoch = bit == 0; /* 63 bits of it count */
        assert_int_equal(vault_open_context(vault, &right, sealed, sizeof sealed, back), is_lowest_of_epoch ? DRO_OK : DRO_CORRUPT);
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t length = 0; length < sizeof sealed; length++)
        assert_int_equal(vault_open_context(vault, &right, sealed, length, back), DRO_CORRUPT);
    assert_int_equal(vault_open_context(vault, &right, sealed, sizeof sealed, back), DRO_OK);
    vault_close(vault);
}

static void what_one_start_sealed_the_next_opens(void **state)
{
    (void)state;
    uint8_t wrapped[VAULT_WRAPPED], plain[PLAIN] = "kept", sealed[PLAIN + VAULT_OVERHEAD], back[PLAIN];
    vault *vault = vault_at(1000);
    assert_int_equal(vault_domain_new(vault, 1, wrapped), DRO_OK);
    vault_binding binding = { 1, 100, image, 7 };
    vault_seal_context(vault, &binding, plain, PLAIN, sealed);
    vault_close(vault);
    for (uint64_t epoch = 2000; epoch < 2080; epoch += 2) {
        vault = vault_at(epoch);
        assert_int_equal(vault_open_context(vault, &binding, sealed, sizeof sealed, back), DRO_NOT_FOUND);
        assert_int_equal(vault_domain_load(vault, 1, wrapped), DRO_OK);
        assert_int_equal(vault_open_context(vault, &binding, sealed, sizeof sealed, back), DRO_OK);
        assert_memory_equal(back, plain, PLAIN);
        vault_seal_context(vault, &binding, plain, PLAIN, sealed);
        vault_close(vault);
    }
}

/* As recovery does: parts of several domains and starts, opened where they lie by another with keys of its own. */
static void one_beside_opens_parts_of_the_log_in_place(void **state)
{
    (void)state;
    enum { STARTS = 5, DOMAINS = 3, GONE = 2 };
    uint8_t wrapped[DOMAINS][VAULT_WRAPPED], sealed[STARTS][DOMAINS][PLAIN + VAULT_OVERHEAD], plain[PLAIN] = "what the log has";
    vault *first = NULL, *beside = NULL;
    for (uint64_t start = 0; start < STARTS; start++) {
        vault_close(first);
        first = vault_at(100 * (start + 1));
        for (uint32_t domain = 0; domain < DOMAINS; domain++) {
            dro_err made = start == 0 ? vault_domain_new(first, domain, wrapped[domain]) : vault_domain_load(first, domain, wrapped[domain]);
            assert_int_equal(made, DRO_OK);
            vault_seal_log(first, domain, "said", 4, plain, PLAIN, sealed[start][domain]);
        }
    }
    vault_domain_drop(first, GONE);
    dro_err err = vault_open_beside(&beside, first);
    if (err == DRO_UNSUPPORTED) {
        vault_close(first);
        skip(); /* too little secret memory is granted */
    }
    assert_int_equal(err, DRO_OK);
    for (int start = 0; start < STARTS; start++) {
        for (uint32_t domain = 0; domain < DOMAINS; domain++) {
            uint8_t *at = sealed[start][domain], whole[PLAIN + VAULT_OVERHEAD];
            memcpy(whole, at, sizeof whole);
            err = vault_open_log(beside, domain, "said", 4, at, sizeof whole, vault_in_place(at));
            assert_int_equal(err, domain == GONE ? DRO_NOT_FOUND : DRO_OK);
            if (domain != GONE)
                assert_memory_equal(vault_in_place(at), plain, PLAIN);
            assert_int_equal(vault_open_log(beside, domain, "else", 4, whole, sizeof whole, vault_in_place(whole)),
                             domain == GONE ? DRO_NOT_FOUND : DRO_CORRUPT);
        }
    }
    vault_close(beside);
    vault_seal_log(first, 1, "said", 4, plain, PLAIN, sealed[0][1]); /* the first has its domains still */
    vault_close(first);
}

static void many_twins_share_the_cache_and_keep_their_own_keys(void **state)
{
    (void)state;
    enum { TWINS = 5000, SMALL = 16 };
    static uint8_t sealed[TWINS][SMALL + VAULT_OVERHEAD];
    uint8_t wrapped[VAULT_WRAPPED], plain[SMALL] = "small", back[SMALL];
    vault *vault = vault_at(6);
    assert_int_equal(vault_domain_new(vault, 0, wrapped), DRO_OK);
    assert_int_equal(vault_domain_new(vault, 200, wrapped), DRO_OK);
    for (uint64_t i = 0; i < TWINS; i++) {
        vault_binding binding = { i % 2 * 200, i * 0x10001, image, i, (uint32_t)i / 3 }; /* some share a slot */
        vault_seal_context(vault, &binding, plain, SMALL, sealed[i]);
    }
    for (uint64_t i = 0; i < TWINS; i++) {
        vault_binding binding = { i % 2 * 200, i * 0x10001, image, i, (uint32_t)i / 2 };
        assert_int_equal(vault_open_context(vault, &binding, sealed[i], sizeof sealed[i], back), DRO_OK);
        binding.domain = 200 - binding.domain;
        assert_int_equal(vault_open_context(vault, &binding, sealed[i], sizeof sealed[i], back), DRO_CORRUPT);
    }
    vault_close(vault);
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

/* Nonces over lives that end anywhere: (key's epoch, counter) never comes twice. The
 * epoch is the random part that commit_log_epoch_next makes durable before the first seal. */
static void no_nonce_comes_twice_over_many_lives(void **state)
{
    (void)state;
    enum { LIVES = 60, SEALS = 50 };
    static uint8_t seen[LIVES * SEALS][16];
    int count = 0;
    uint8_t wrapped[VAULT_WRAPPED], plain[8] = { 0 }, sealed[8 + VAULT_OVERHEAD];
    vault *vault = vault_at(1);
    assert_int_equal(vault_domain_new(vault, 1, wrapped), DRO_OK);
    vault_close(vault);
    for (int life = 0; life < LIVES; life++) {
        uint64_t epoch;
        seeded.random.fill(&seeded.random, &epoch, sizeof epoch);
        vault = vault_at(epoch);
        assert_int_equal(vault_domain_load(vault, 1, wrapped), DRO_OK);
        for (int i = 0; i < (life * 7) % SEALS; i++) { /* ... and then the power goes */
            vault_binding binding = { 1, 5, image, 0 };
            if (i % 3 == 0)
                vault_seal_log(vault, 1, "", 0, plain, 8, sealed);
            else
                vault_seal_context(vault, &binding, plain, 8, sealed);
            memcpy(seen[count++], sealed, 16);
        }
        vault_close(vault);
    }
    qsort(seen, (size_t)count, sizeof *seen, by_bytes);
    for (int i = 1; i < count; i++)
        assert_memory_not_equal(seen[i - 1], seen[i], sizeof *seen);
    assert_true(count > LIVES);
}

/* ---- domains ---- */

static void a_wrapped_key_opens_only_whole_under_its_master_and_number(void **state)
{
    (void)state;
    uint8_t wrapped[VAULT_WRAPPED], other_master[32] = { 1, 2, 3 };
    vault *first = vault_at(5), *other;
    vault_options options = { .master_key = other_master, .epoch = 5, .random = &seeded.random };
    assert_int_equal(vault_domain_new(first, 8, wrapped), DRO_OK);
    assert_int_equal(vault_open(&other, &options), DRO_OK);
    assert_int_equal(vault_domain_load(other, 8, wrapped), DRO_CORRUPT);
    vault_close(other);
    assert_int_equal(vault_domain_load(first, 9, wrapped), DRO_CORRUPT);
    for (size_t bit = 0; bit < VAULT_WRAPPED * 8; bit++) {
        wrapped[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(vault_domain_load(first, 8, wrapped), DRO_CORRUPT);
        wrapped[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(vault_domain_load(first, 8, wrapped), DRO_OK);
    assert_int_equal(vault_domain_new(first, VAULT_DOMAINS_MAX, wrapped), DRO_RANGE);
    assert_int_equal(vault_domain_load(first, VAULT_DOMAINS_MAX, wrapped), DRO_RANGE);
    assert_int_equal(vault_domain_new(first, VAULT_DOMAINS_MAX - 1, wrapped), DRO_OK);
    vault_close(first);
}

/* What the header says of a sealed part's second word: a counter of 56 bits, the key's tag above. */
static void a_newer_key_seals_and_both_open(void **state)
{
    (void)state;
    uint8_t wrapped[3][VAULT_WRAPPED], plain[PLAIN] = "turned", parts[3][PLAIN + VAULT_OVERHEAD], contexts[3][PLAIN + VAULT_OVERHEAD], back[PLAIN];
    vault *vault = vault_at(5);
    vault_binding binding = { 1, 100, image, 7, 3 };
    for (uint16_t generation = 0; generation < 3; generation++) {
        vault_older_drop(vault, 1);
        assert_int_equal(vault_domain_new(vault, vault_key(1, generation), wrapped[generation]), DRO_OK);
        assert_int_equal(vault_newest_tag(vault, 1), generation);
        vault_seal_log(vault, 1, "", 0, plain, PLAIN, parts[generation]);
        vault_seal_context(vault, &binding, plain, PLAIN, contexts[generation]);
        assert_int_equal(parts[generation][15], generation);
        assert_int_equal(vault_sealed_tag(contexts[generation]), generation);
        for (uint16_t i = 0; i <= generation; i++) { /* the older one opens, the one before is gone */
            dro_err expected = i + 1 >= generation ? DRO_OK : DRO_NOT_FOUND;
            assert_int_equal(vault_open_log(vault, 1, "", 0, parts[i], sizeof parts[i], back), expected);
            assert_int_equal(vault_open_context(vault, &binding, contexts[i], sizeof contexts[i], back), expected);
            assert_int_equal(vault_domain_has(vault, vault_key(1, i)), expected == DRO_OK);
        }
    }
    assert_int_equal(vault_domain_new(vault, vault_key(1, 3), wrapped[0]), DRO_LIMIT); /* two are enough */
    vault_close(vault);
    vault = vault_at(7); /* and loaded in either order */
    assert_int_equal(vault_domain_load(vault, vault_key(1, 2), wrapped[2]), DRO_OK);
    assert_int_equal(vault_domain_load(vault, vault_key(1, 2), wrapped[1]), DRO_CORRUPT); /* a wrapped key is of its generation */
    assert_int_equal(vault_domain_load(vault, vault_key(1, 1), wrapped[1]), DRO_OK);
    assert_int_equal(vault_open_log(vault, 1, "", 0, parts[1], sizeof parts[1], back), DRO_OK);
    assert_int_equal(vault_open_log(vault, 1, "", 0, parts[2], sizeof parts[2], back), DRO_OK);
    vault_seal_log(vault, 1, "", 0, plain, PLAIN, parts[0]);
    assert_int_equal(vault_sealed_tag(parts[0]), 2);
    vault_older_drop(vault, 1);
    assert_int_equal(vault_open_log(vault, 1, "", 0, parts[1], sizeof parts[1], back), DRO_NOT_FOUND);
    vault_close(vault);
}

/* A file of keys that is older than the log must not look like keys that were destroyed. */
static void what_a_later_key_sealed_is_not_taken_for_shredded(void **state)
{
    (void)state;
    uint8_t wrapped[2][VAULT_WRAPPED], plain[PLAIN] = "later", part[PLAIN + VAULT_OVERHEAD], back[PLAIN];
    vault *vault = vault_at(5);
    assert_int_equal(vault_domain_new(vault, vault_key(1, 0), wrapped[0]), DRO_OK);
    assert_int_equal(vault_domain_new(vault, vault_key(1, 1), wrapped[1]), DRO_OK);
    vault_seal_log(vault, 1, "", 0, plain, PLAIN, part);
    vault_close(vault);
    vault = vault_at(7);
    assert_int_equal(vault_domain_load(vault, vault_key(1, 0), wrapped[0]), DRO_OK);
    assert_int_equal(vault_open_log(vault, 1, "", 0, part, sizeof part, back), DRO_CORRUPT);
    vault_close(vault);
}

static void another_master_key_wraps_the_same_keys(void **state)
{
    (void)state;
    uint8_t wrapped[VAULT_WRAPPED], again[VAULT_WRAPPED], plain[PLAIN] = "same", part[PLAIN + VAULT_OVERHEAD], back[PLAIN];
    uint8_t next[32] = { 9, 8, 7 };
    vault *vault = vault_at(5), *other;
    assert_int_equal(vault_domain_new(vault, vault_key(4, 6), wrapped), DRO_OK);
    vault_seal_log(vault, 4, "", 0, plain, PLAIN, part);
    vault_master_next(vault, next);
    assert_int_equal(vault_rewrap(vault, vault_key(4, 5), wrapped, again), DRO_CORRUPT);
    assert_int_equal(vault_rewrap(vault, vault_key(4, 6), wrapped, again), DRO_OK);
    assert_int_equal(vault_domain_load(vault, vault_key(4, 6), again), DRO_CORRUPT); /* not yet */
    vault_master_take(vault);
    assert_int_equal(vault_domain_load(vault, vault_key(4, 6), again), DRO_OK);
    assert_int_equal(vault_domain_load(vault, vault_key(4, 6), wrapped), DRO_CORRUPT);
    vault_close(vault);
    vault_options options = { .master_key = next, .epoch = 9, .random = &seeded.random };
    assert_int_equal(vault_open(&other, &options), DRO_OK);
    assert_int_equal(vault_domain_load(other, vault_key(4, 6), again), DRO_OK);
    assert_int_equal(vault_open_log(other, 4, "", 0, part, sizeof part, back), DRO_OK);
    assert_memory_equal(back, plain, PLAIN);
    vault_close(other);
}

static void dropping_a_domain_shreds_what_was_sealed_under_it(void **state)
{
    (void)state;
    uint8_t wrapped[2][VAULT_WRAPPED], plain[PLAIN] = "gone", context[PLAIN + VAULT_OVERHEAD], part[PLAIN + VAULT_OVERHEAD], back[PLAIN];
    vault *vault = vault_at(5);
    vault_binding binding = { 1, 100, image, 7 };
    assert_int_equal(vault_domain_new(vault, 1, wrapped[0]), DRO_OK);
    vault_seal_context(vault, &binding, plain, PLAIN, context);
    vault_seal_log(vault, 1, "", 0, plain, PLAIN, part);
    vault_domain_drop(vault, 1);
    vault_domain_drop(vault, 1);
    vault_domain_drop(vault, VAULT_DOMAINS_MAX);
    assert_int_equal(vault_open_context(vault, &binding, context, sizeof context, back), DRO_NOT_FOUND);
    assert_int_equal(vault_open_log(vault, 1, "", 0, part, sizeof part, back), DRO_NOT_FOUND);
    assert_int_equal(vault_domain_new(vault, 1, wrapped[1]), DRO_OK); /* the number again, another key */
    assert_int_equal(vault_open_context(vault, &binding, context, sizeof context, back), DRO_CORRUPT);
    assert_int_equal(vault_open_log(vault, 1, "", 0, part, sizeof part, back), DRO_CORRUPT);
    assert_int_equal(vault_domain_load(vault, 1, wrapped[0]), DRO_OK); /* who kept the wrapped key keeps all */
    assert_int_equal(vault_open_context(vault, &binding, context, sizeof context, back), DRO_OK);
    assert_int_equal(vault_open_log(vault, 1, "", 0, part, sizeof part, back), DRO_OK);
    vault_close(vault);
}

/* ---- identities ---- */

static void an_identity_hash_is_the_cmac_of_kind_and_text(void **state)
{
    (void)state;
    uint8_t wrapped[VAULT_WRAPPED], domain[32], key[32], message[80], expected[16];
    uint64_t hash[2];
    vault *vault = vault_at(5);
    assert_int_equal(vault_domain_new(vault, 0, wrapped), DRO_OK);
    unwrap(0, wrapped, domain);
    named(domain, "identity hash", key);
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "CMAC", NULL);
    for (size_t length = 0; length < 60; length++) {
        memset(message, 0, sizeof message);
        memcpy(message, "imsi", 5);
        memset(message + 5, 'x', length);
        char name[] = "AES-256-CBC";
        OSSL_PARAM parameters[] = { OSSL_PARAM_construct_utf8_string("cipher", name, 0), OSSL_PARAM_construct_end() };
        EVP_MAC_CTX *context = EVP_MAC_CTX_new(mac);
        size_t done;
        assert_int_equal(EVP_MAC_init(context, key, 32, parameters), 1);
        assert_int_equal(EVP_MAC_update(context, message, 5 + length), 1);
        assert_int_equal(EVP_MAC_final(context, expected, &done, 16), 1);
        EVP_MAC_CTX_free(context);
        vault_identity_hash(vault, "imsi", message + 5, length, hash);
        assert_memory_equal(hash, expected, 16);
    }
    EVP_MAC_free(mac);
    vault_close(vault);
}

static void identities_hashed_at_once_are_as_one_by_one(void **state)
{
    (void)state;
    static const char digits[] = "012345678901234567890123456789012345678901234567890123456789";
    uint8_t wrapped[VAULT_WRAPPED];
    uint64_t hashes[VAULT_IDENTITIES_MAX][2], one[2];
    const char *texts[VAULT_IDENTITIES_MAX];
    vault *vault = vault_at(5);
    assert_int_equal(vault_domain_new(vault, 0, wrapped), DRO_OK);
    for (uint32_t length = 0; length < 40; length++) /* with longer and shorter ones beside, also such as are no two blocks */
        for (uint32_t count = 0; count <= VAULT_IDENTITIES_MAX; count++) {
            for (uint32_t i = 0; i < count; i++)
                texts[i] = digits + sizeof digits - 1 - (length + i * 5) % 40;
            vault_identity_hashes(vault, "imsi", texts, count, hashes);
            for (uint32_t i = 0; i < count; i++) {
                vault_identity_hash(vault, "imsi", texts[i], strlen(texts[i]), one);
                assert_memory_equal(hashes[i], one, sizeof one);
            }
        }
    vault_close(vault);
}

static void kinds_of_identity_do_not_mix(void **state)
{
    (void)state;
    uint8_t wrapped[VAULT_WRAPPED];
    uint64_t one[2], other[2];
    vault *vault = vault_at(5);
    assert_int_equal(vault_domain_new(vault, 0, wrapped), DRO_OK);
    vault_identity_hash(vault, "imsi", "123456", 6, one);
    vault_identity_hash(vault, "msisdn", "123456", 6, other);
    assert_memory_not_equal(one, other, 16);
    vault_identity_hash(vault, "imsi1", "23456", 5, other);
    assert_memory_not_equal(one, other, 16);
    vault_close(vault);
    vault = vault_at(6); /* the same in every start: it is looked up by it */
    assert_int_equal(vault_domain_load(vault, 0, wrapped), DRO_OK);
    vault_identity_hash(vault, "imsi", "123456", 6, other);
    assert_memory_equal(one, other, 16);
    vault_close(vault);
}

static void an_identity_opens_on_its_twin_only(void **state)
{
    (void)state;
    static const char *const all[] = { "", "1", "12", "00101", "001010000000001", "999999999999999" };
    uint8_t wrapped[VAULT_WRAPPED], sealed[16], domain[32], key[32], again[16];
    char digits[16];
    vault *vault = vault_at(5);
    assert_int_equal(vault_domain_new(vault, 0, wrapped), DRO_OK);
    assert_int_equal(vault_domain_new(vault, 7, wrapped), DRO_OK);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        vault_identity_seal(vault, 1234, all[i], sealed);
        assert_int_equal(vault_identity_open(vault, 1234, sealed, digits), DRO_OK);
        assert_string_equal(digits, all[i]);
        assert_int_equal(vault_identity_open(vault, 1235, sealed, digits), DRO_CORRUPT);
        assert_string_equal(digits, "");
        for (size_t bit = 0; bit < 128; bit++) {
            sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(vault_identity_open(vault, 1234, sealed, digits), DRO_CORRUPT);
            sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    vault_close(vault);
    vault = vault_at(5);
    assert_int_equal(vault_domain_new(vault, 0, wrapped), DRO_OK);
    vault_identity_seal(vault, 0x1122334455667788u, "001010000000001", sealed);
    static const uint8_t plain[16] = { 0xf0, 0x01, 0x01, 0, 0, 0, 0, 0x01, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11 };
    unwrap(0, wrapped, domain);
    named(domain, "identity seal", key);
    ecb(key, plain, again, 1);
    assert_memory_equal(sealed, again, 16);
    vault_close(vault);
}

/* ---- the master key's file ---- */

static char directory[64], path[128];

static int make_directory(void **state)
{
    snprintf(directory, sizeof directory, "vault_test.XXXXXX");
    if (mkdtemp(directory) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/master.key", directory);
    return seed(state);
}

static int drop_directory(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    return system(command);
}

static void a_master_key_is_made_once_and_for_its_owner_alone(void **state)
{
    (void)state;
    uint8_t first[32], second[32];
    struct stat stat_of;
    assert_int_equal(vault_master_load(path, &seeded.random, first), DRO_OK);
    assert_int_equal(stat(path, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 07777, 0600);
    assert_int_equal(stat_of.st_size, 32);
    assert_int_equal(stat_of.st_nlink, 1);
    assert_int_equal(vault_master_load(path, &seeded.random, second), DRO_OK);
    assert_memory_equal(first, second, 32);
    assert_int_equal(chmod(path, 0400), 0); /* as systemd hands credentials over */
    assert_int_equal(vault_master_load(path, &seeded.random, second), DRO_OK);
}

static void a_master_key_that_others_may_read_is_refused(void **state)
{
    (void)state;
    uint8_t key[32];
    static const mode_t modes[] = { 0640, 0604, 0620, 0602, 0610, 0644 };
    assert_int_equal(vault_master_load(path, &seeded.random, key), DRO_OK);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(chmod(path, modes[i]), 0);
        assert_int_equal(vault_master_load(path, &seeded.random, key), DRO_DENIED);
    }
    vault *vault;
    vault_options options = { .master_key_path = path, .epoch = 1, .random = &seeded.random };
    assert_int_equal(vault_open(&vault, &options), DRO_DENIED);
}

static void a_master_key_of_another_size_is_never_replaced(void **state)
{
    (void)state;
    uint8_t key[32];
    for (off_t size = 0; size < 40; size += size == 30 ? 1 : 2) {
        if (size == 32)
            continue;
        int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
        assert_int_equal(ftruncate(fd, size), 0);
        close(fd);
        assert_int_equal(vault_master_load(path, &seeded.random, key), DRO_CORRUPT);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(vault_master_load(path, &seeded.random, key), DRO_CORRUPT);
    assert_int_equal(vault_master_load("no/such/directory/key", &seeded.random, key), DRO_IO);
}

/* ---- secrets in memory ---- */

static void secret_memory_is_read_by_nobody_else(void **state)
{
    (void)state;
    bool is_secret;
    uint8_t back[16];
    uint8_t *memory = vault_secret_new(8192, &is_secret);
    assert_non_null(memory);
    memset(memory, 0x5a, 8192);
    struct iovec to = { back, sizeof back }, from = { memory, sizeof back };
    if (is_secret)
        assert_int_equal(process_vm_readv(getpid(), &to, 1, &from, 1, 0), -1);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        _exit(*(volatile uint8_t *)memory == 0x5a);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status)); /* not even mapped there */
    vault_secret_free(memory, 8192);
    vault_secret_free(NULL, 1);
}

enum { SECRETS = 7 };

/* Opens a vault, uses every key, says the wrapped keys and waits to be looked at. */
static void be_looked_at(int tell, int wait)
{
    uint8_t wrapped[2][VAULT_WRAPPED], sealed[PLAIN + VAULT_OVERHEAD], plain[PLAIN] = "p", id[16], byte;
    char digits[16];
    uint64_t hash[2];
    vault *vault;
    vault_options options = { .master_key_path = path, .epoch = 4, .random = &seeded.random };
    bool ok = vault_open(&vault, &options) == DRO_OK && vault_domain_new(vault, 0, wrapped[0]) == DRO_OK &&
        vault_domain_new(vault, 1, wrapped[1]) == DRO_OK && vault_domain_load(vault, 1, wrapped[1]) == DRO_OK;
    vault_binding binding = { 1, 100, image, 7 };
    vault_seal_context(vault, &binding, plain, PLAIN, sealed);
    ok = ok && vault_open_context(vault, &binding, sealed, sizeof sealed, plain) == DRO_OK;
    vault_seal_log(vault, 1, "", 0, plain, PLAIN, sealed);
    ok = ok && vault_open_log(vault, 1, "", 0, sealed, sizeof sealed, plain) == DRO_OK;
    vault_identity_hash(vault, "imsi", "123456", 6, hash);
    vault_identity_seal(vault, 1, "123456", id);
    ok = ok && vault_identity_open(vault, 1, id, digits) == DRO_OK && vault_is_secret(vault);
    ok = ok && write(tell, wrapped, sizeof wrapped) == sizeof wrapped && read(wait, &byte, 1) == 1;
    _exit(ok ? 0 : 1);
}

/* Whether 16 bytes at a multiple of 4 are a half of one of the keys. */
static int halves_in(const uint8_t *bytes, size_t length, uint8_t keys[SECRETS][32])
{
    int found = 0;
    for (size_t at = 0; at + 16 <= length; at += 4)
        for (int key = 0; key < SECRETS; key++)
            found += memcmp(bytes + at, keys[key], 16) == 0 || memcmp(bytes + at, keys[key] + 16, 16) == 0;
    return found;
}

static int halves_in_process(pid_t process, uint8_t keys[SECRETS][32], size_t *looked_at)
{
    enum { CHUNK = 1 << 20 };
    char name[64], line[512];
    uint8_t *bytes = malloc(CHUNK);
    snprintf(name, sizeof name, "/proc/%d/maps", (int)process);
    FILE *maps = fopen(name, "r");
    snprintf(name, sizeof name, "/proc/%d/mem", (int)process);
    int memory = open(name, O_RDONLY);
    int found = 0;
    assert_true(bytes != NULL && maps != NULL && memory >= 0);
    *looked_at = 0;
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long from, to;
        char rights[5];
        if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) != 3 || rights[1] != 'w')
            continue;
        for (; from < to; from += CHUNK) {
            size_t length = to - from < CHUNK ? to - from : CHUNK;
            ssize_t got = pread(memory, bytes, length, (off_t)from);
            if (got <= 0)
                continue; /* secret, or not touched */
            found += halves_in(bytes, (size_t)got, keys);
            *looked_at += (size_t)got;
        }
    }
    fclose(maps);
    close(memory);
    free(bytes);
    return found;
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

static void no_key_is_readable_in_the_process(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* the sanitizer's own memory is terabytes to read */
#endif
    uint8_t wrapped[2][VAULT_WRAPPED], keys[SECRETS][32];
    int tell[2], wait[2], status;
    bool is_secret;
    void *probe = vault_secret_new(4096, &is_secret);
    vault_secret_free(probe, 4096);
    if (!is_secret)
        skip(); /* the kernel has no memfd_secret */
    assert_true(pipe(tell) == 0 && pipe(wait) == 0);
    pid_t child = fork();
    if (child == 0)
        be_looked_at(tell[1], wait[0]);
    close(tell[1]);
    assert_int_equal(read(tell[0], wrapped, sizeof wrapped), sizeof wrapped);
    int fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, keys[0], 32), 32);
    close(fd);
    memcpy(unwrapping_master, keys[0], 32);
    named(keys[0], "wrap", keys[1]);
    unwrap(1, wrapped[1], keys[2]);
    named(keys[2], "context", keys[3]);
    named(keys[2], "log", keys[4]);
    of_number(keys[3], 100, 4, keys[5]);
    of_number(keys[4], 1, 4, keys[6]);
    size_t looked_at;
    int found = halves_in_process(child, keys, &looked_at);
    assert_int_equal(write(wait[1], "x", 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    memcpy(unwrapping_master, master, 32);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(looked_at > 100000);
    assert_int_equal(found, 0);
    assert_true(halves_in_process(getpid(), keys, &looked_at) >= SECRETS); /* the search finds what is there */
}

/* Seed by the header: AES-PRF under the key "signing" of the host's own; then RFC 8032, by OpenSSL's verifier. */
static void what_a_signing_key_signs_its_public_key_verifies(void **state)
{
    uint8_t wrapped[VAULT_WRAPPED], first[VAULT_PUBLIC], second[VAULT_PUBLIC], again[VAULT_PUBLIC], signature[VAULT_SIGNATURE];
    vault *vault = vault_at(1);
    (void)state;
    assert_int_not_equal(vault_sign_public(vault, 1, first), DRO_OK); /* without the host's key */
    assert_int_equal(vault_domain_new(vault, 0, wrapped), DRO_OK);
    assert_int_equal(vault_sign_public(vault, 1, first), DRO_OK);
    assert_int_equal(vault_sign_public(vault, 2, second), DRO_OK);
    assert_memory_not_equal(first, second, VAULT_PUBLIC);
    assert_int_equal(vault_sign(vault, 1, "abc", 3, signature), DRO_OK);
    vault_close(vault);
    vault = vault_at(2); /* another start */
    assert_int_equal(vault_domain_load(vault, 0, wrapped), DRO_OK);
    assert_int_equal(vault_sign_public(vault, 1, again), DRO_OK);
    assert_memory_equal(first, again, VAULT_PUBLIC);
    vault_close(vault);
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, first, VAULT_PUBLIC);
    for (int is_wrong = 0; is_wrong < 2; is_wrong++) {
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        assert_int_equal(EVP_DigestVerifyInit(context, NULL, NULL, NULL, key), 1);
        assert_int_equal(EVP_DigestVerify(context, signature, sizeof signature, (const uint8_t *)(is_wrong ? "abd" : "abc"), 3), !is_wrong);
        EVP_MD_CTX_free(context);
    }
    EVP_PKEY_free(key);
}

int main(void)
{
    dro_log_setup("test", DRO_LOG_NOTHING);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(blocks_match_fips_197, seed),
        cmocka_unit_test_setup(both_ciphers_seal_and_open_the_same, seed),
        cmocka_unit_test_setup(a_sealed_context_is_what_the_header_says, seed),
        cmocka_unit_test_setup(a_sealed_log_part_is_what_the_header_says, seed),
        cmocka_unit_test_setup(a_context_opens_only_for_what_it_is_bound_to, seed),
        cmocka_unit_test_setup(what_one_start_sealed_the_next_opens, seed),
        cmocka_unit_test_setup(one_beside_opens_parts_of_the_log_in_place, seed),
        cmocka_unit_test_setup(many_twins_share_the_cache_and_keep_their_own_keys, seed),
        cmocka_unit_test_setup(no_nonce_comes_twice_over_many_lives, seed),
        cmocka_unit_test_setup(a_wrapped_key_opens_only_whole_under_its_master_and_number, seed),
        cmocka_unit_test_setup(dropping_a_domain_shreds_what_was_sealed_under_it, seed),
        cmocka_unit_test_setup(a_newer_key_seals_and_both_open, seed),
        cmocka_unit_test_setup(what_a_later_key_sealed_is_not_taken_for_shredded, seed),
        cmocka_unit_test_setup(another_master_key_wraps_the_same_keys, seed),
        cmocka_unit_test_setup(what_a_signing_key_signs_its_public_key_verifies, seed),
        cmocka_unit_test_setup(an_identity_hash_is_the_cmac_of_kind_and_text, seed),
        cmocka_unit_test_setup(identities_hashed_at_once_are_as_one_by_one, seed),
        cmocka_unit_test_setup(kinds_of_identity_do_not_mix, seed),
        cmocka_unit_test_setup(an_identity_opens_on_its_twin_only, seed),
        cmocka_unit_test_setup_teardown(a_master_key_is_made_once_and_for_its_owner_alone, make_directory, drop_directory),
        cmocka_unit_test_setup_teardown(a_master_key_that_others_may_read_is_refused, make_directory, drop_directory),
        cmocka_unit_test_setup_teardown(a_master_key_of_another_size_is_never_replaced, make_directory, drop_directory),
        cmocka_unit_test(secret_memory_is_read_by_nobody_else),
        cmocka_unit_test_setup_teardown(no_key_is_readable_in_the_process, make_directory, drop_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

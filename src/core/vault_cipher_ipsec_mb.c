#include "core/vault_cipher.h"

#if defined(DROMIO_IPSEC_MB) && defined(__x86_64__)

#include <stdlib.h>
#include <string.h>

#include <immintrin.h>
#include <intel-ipsec-mb.h>

#include "base/wipe.h"

enum { ROUNDS = 14, BESIDE = 4 };

typedef struct ipsec_mb_cipher {
    vault_cipher cipher;
    IMB_MGR *manager;
} ipsec_mb_cipher;

/* One operation's scratch, in the caller's secret memory. */
struct work {
    struct gcm_context_data context;
    uint8_t tag[VAULT_TAG];
    uint8_t nothing[8];
    uint8_t forward[VAULT_SCHEDULE] __attribute__((aligned(16)));
    uint8_t backward[VAULT_SCHEDULE] __attribute__((aligned(16)));
};
_Static_assert(sizeof(struct gcm_key_data) <= VAULT_GCM_KEY, "an expanded key fits");
_Static_assert(sizeof(struct work) <= VAULT_CIPHER_WORK, "the scratch fits");

static IMB_MGR *manager_of(vault_cipher *cipher)
{
    return ((ipsec_mb_cipher *)cipher)->manager;
}

static struct work *work_of(vault_cipher *cipher)
{
    return (struct work *)(void *)cipher->work;
}

static void ipsec_mb_free(vault_cipher *cipher)
{
    free_mb_mgr(manager_of(cipher));
    free(cipher);
}

/* The library gives both schedules; the other direction's is scratch. */
static void ipsec_mb_schedule(vault_cipher *cipher, const uint8_t key[VAULT_KEY], uint8_t schedule[VAULT_SCHEDULE])
{
    struct work *work = work_of(cipher);
    IMB_AES_KEYEXP_256(manager_of(cipher), key, schedule, work->backward);
    dro_wipe(work->backward, VAULT_SCHEDULE);
}

__attribute__((target("aes"), always_inline)) static inline __m128i load(const uint8_t *in, __m128i key)
{
    return _mm_xor_si128(_mm_loadu_si128((const __m128i *)(const void *)in), key);
}

__attribute__((target("aes"), always_inline)) static inline void store(uint8_t *out, __m128i state, __m128i key)
{
    _mm_storeu_si128((__m128i *)(void *)out, _mm_aesenclast_si128(state, key));
}

/* Four blocks a step, whose rounds overlap; the last ones more than once where there are fewer. */
__attribute__((target("aes"))) static void ipsec_mb_blocks(vault_cipher *cipher, const uint8_t schedule[VAULT_SCHEDULE],
                                                            const uint8_t *in, uint8_t *out, size_t count)
{
    const __m128i *keys = (const __m128i *)(const void *)schedule;
    (void)cipher;
    for (size_t done = 0; done < count; done += BESIDE) {
        size_t at[BESIDE];
        for (size_t i = 0; i < BESIDE; i++)
            at[i] = (done + i < count ? done + i : count - 1) * VAULT_BLOCK;
        __m128i a = load(in + at[0], keys[0]), b = load(in + at[1], keys[0]);
        __m128i c = load(in + at[2], keys[0]), d = load(in + at[3], keys[0]);
        for (int round = 1; round < ROUNDS; round++) {
            a = _mm_aesenc_si128(a, keys[round]);
            b = _mm_aesenc_si128(b, keys[round]);
            c = _mm_aesenc_si128(c, keys[round]);
            d = _mm_aesenc_si128(d, keys[round]);
        }
        store(out + at[0], a, keys[ROUNDS]);
        store(out + at[1], b, keys[ROUNDS]);
        store(out + at[2], c, keys[ROUNDS]);
        store(out + at[3], d, keys[ROUNDS]);
    }
}

/* Rare: identities are opened only to write a Diameter message. */
__attribute__((target("aes"))) static void ipsec_mb_unblock(vault_cipher *cipher, const uint8_t key[VAULT_KEY],
                                                             const uint8_t in[VAULT_BLOCK], uint8_t out[VAULT_BLOCK])
{
    struct work *work = work_of(cipher);
    IMB_AES_KEYEXP_256(manager_of(cipher), key, work->forward, work->backward);
    const __m128i *keys = (const __m128i *)(const void *)work->backward;
    __m128i a = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(const void *)in), keys[0]);
    for (int round = 1; round < ROUNDS; round++)
        a = _mm_aesdec_si128(a, keys[round]);
    _mm_storeu_si128((__m128i *)(void *)out, _mm_aesdeclast_si128(a, keys[ROUNDS]));
    dro_wipe(work->forward, VAULT_SCHEDULE);
    dro_wipe(work->backward, VAULT_SCHEDULE);
}

static void ipsec_mb_gcm_key(vault_cipher *cipher, const uint8_t key[VAULT_KEY], uint8_t gcm_key[VAULT_GCM_KEY])
{
    IMB_AES256_GCM_PRE(manager_of(cipher), key, (struct gcm_key_data *)(void *)gcm_key);
}

/* The library wants a pointer even to nothing. */
static const void *some(vault_cipher *cipher, const void *bytes, size_t length)
{
    return length > 0 ? bytes : work_of(cipher)->nothing;
}

static void ipsec_mb_seal(vault_cipher *cipher, const uint8_t *gcm_key, const uint8_t nonce[VAULT_NONCE], const void *associated,
                          size_t associated_length, const uint8_t *plain, size_t length, uint8_t *sealed, uint8_t tag[VAULT_TAG])
{
    struct work *work = work_of(cipher);
    IMB_AES256_GCM_ENC(manager_of(cipher), (const struct gcm_key_data *)(const void *)gcm_key, &work->context, sealed,
                       some(cipher, plain, length), length, nonce, some(cipher, associated, associated_length),
                       associated_length, tag, VAULT_TAG);
}

static bool ipsec_mb_open(vault_cipher *cipher, const uint8_t *gcm_key, const uint8_t nonce[VAULT_NONCE], const void *associated,
                          size_t associated_length, const uint8_t *sealed, size_t length, uint8_t *plain,
                          const uint8_t tag[VAULT_TAG])
{
    struct work *work = work_of(cipher);
    IMB_AES256_GCM_DEC(manager_of(cipher), (const struct gcm_key_data *)(const void *)gcm_key, &work->context, plain,
                       some(cipher, sealed, length), length, nonce, some(cipher, associated, associated_length),
                       associated_length, work->tag, VAULT_TAG);
    if (vault_tags_are_equal(work->tag, tag))
        return true;
    dro_wipe(plain, length);
    return false;
}

vault_cipher *vault_cipher_ipsec_mb(uint8_t *work)
{
    if (!__builtin_cpu_supports("aes"))
        return NULL;
    ipsec_mb_cipher *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    self->cipher = (vault_cipher){
        .name = "ipsec-mb",
        .free = ipsec_mb_free,
        .schedule = ipsec_mb_schedule,
        .blocks = ipsec_mb_blocks,
        .unblock = ipsec_mb_unblock,
        .gcm_key = ipsec_mb_gcm_key,
        .seal = ipsec_mb_seal,
        .open = ipsec_mb_open,
        .work = work,
    };
    self->manager = alloc_mb_mgr(0);
    if (self->manager == NULL) {
        free(self);
        return NULL;
    }
    init_mb_mgr_auto(self->manager, NULL);
    if (imb_get_errno(self->manager) != 0) {
        ipsec_mb_free(&self->cipher);
        return NULL;
    }
    return &self->cipher;
}

#else

vault_cipher *vault_cipher_ipsec_mb(uint8_t *work)
{
    (void)work;
    return NULL;
}

#endif

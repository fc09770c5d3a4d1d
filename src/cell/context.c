#include "cell/context.h"

#include <string.h>

#include "cell/admit.h"
#include "ring/message.h"

enum { WORD = 4, CHUNK_WORDS = CHUNK / WORD, CHUNK_HEADER = 4, CHUNK_BYTES_MAX = CHUNK_HEADER + CHUNK };

_Static_assert(ADMIT_MEMORY_MAX / CHUNK <= 1 << 16, "numbers of chunks have 16 bits");

size_t context_bound(const artifact_info *info)
{
    size_t most = CONTEXT_HEADER + (size_t)info->global_count * CONTEXT_GLOBAL +
                  (size_t)info->memory_limit / CHUNK * CHUNK_BYTES_MAX;
    return most < CONTEXT_BYTES_MAX ? most : CONTEXT_BYTES_MAX;
}

static uint32_t read_u32(const uint8_t *at)
{
    uint32_t number;
    memcpy(&number, at, sizeof number);
    return number;
}

static uint16_t read_u16(const uint8_t *at)
{
    uint16_t number;
    memcpy(&number, at, sizeof number);
    return number;
}

static dro_err check_globals(const artifact_info *info, const uint8_t *at, uint32_t count)
{
    int64_t last = -1;
    for (uint32_t i = 0; i < count; i++, at += CONTEXT_GLOBAL) {
        uint32_t number = read_u32(at);
        if (number >= info->global_count || (int64_t)number <= last)
            return DRO_RANGE;
        last = number;
    }
    return DRO_OK;
}

dro_err context_check(const artifact_info *info, const uint8_t *context, size_t length, uint32_t *memory_length)
{
    *memory_length = info->memory_bytes;
    if (length == 0)
        return DRO_OK;
    if (length < CONTEXT_HEADER || length > CONTEXT_BYTES_MAX)
        return DRO_TRUNCATED;
    if (context[0] != CONTEXT_VERSION || read_u16(context + 2) != 0)
        return DRO_UNSUPPORTED;
    *memory_length = read_u32(context + 4);
    if (*memory_length < info->memory_bytes || *memory_length > info->memory_limit || *memory_length % CHUNK != 0)
        return DRO_RANGE;
    size_t at = CONTEXT_HEADER + (size_t)context[1] * CONTEXT_GLOBAL;
    if (at > length)
        return DRO_TRUNCATED;
    dro_err err = check_globals(info, context + CONTEXT_HEADER, context[1]);
    int64_t last = -1;
    while (err == DRO_OK && at < length) {
        if (length - at < CHUNK_HEADER)
            return DRO_TRUNCATED;
        uint16_t chunk = read_u16(context + at), mask = read_u16(context + at + 2);
        if (chunk <= last || mask == 0 || ((uint32_t)chunk + 1) * CHUNK > *memory_length)
            return DRO_RANGE;
        last = chunk;
        at += CHUNK_HEADER + (size_t)__builtin_popcount(mask) * WORD;
    }
    if (err == DRO_OK && at != length)
        err = DRO_TRUNCATED;
    return err;
}

void context_apply_memory(const uint8_t *context, size_t length, uint8_t *memory)
{
    if (length == 0)
        return;
    const uint8_t *at = context + CONTEXT_HEADER + (size_t)context[1] * CONTEXT_GLOBAL, *end = context + length;
    while (at < end) {
        uint8_t *chunk = memory + (size_t)read_u16(at) * CHUNK;
        uint32_t mask = read_u16(at + 2);
        at += CHUNK_HEADER;
        for (; mask != 0; mask &= mask - 1, at += WORD)
            memcpy(chunk + (size_t)__builtin_ctz(mask) * WORD, at, WORD);
    }
}

uint32_t context_global_count(const uint8_t *context, size_t length)
{
    return length == 0 ? 0 : context[1];
}

uint64_t context_global(const uint8_t *context, uint32_t at, uint32_t *number)
{
    const uint8_t *entry = context + CONTEXT_HEADER + (size_t)at * CONTEXT_GLOBAL;
    uint64_t bits;
    *number = read_u32(entry);
    memcpy(&bits, entry + 4, sizeof bits);
    return bits;
}

void context_begin(context_writer *out, void *room, size_t capacity)
{
    uint8_t *start = room;
    size_t usable = capacity < CONTEXT_BYTES_MAX ? capacity : CONTEXT_BYTES_MAX;
    *out = (context_writer){ start, start, start + usable, usable < CONTEXT_HEADER };
    if (out->is_full)
        return;
    memset(start, 0, CONTEXT_HEADER);
    start[0] = CONTEXT_VERSION;
    out->at += CONTEXT_HEADER;
}

void context_put_global(context_writer *out, uint32_t number, uint64_t bits)
{
    if (out->is_full || out->end - out->at < CONTEXT_GLOBAL) {
        out->is_full = true;
        return;
    }
    memcpy(out->at, &number, 4);
    memcpy(out->at + 4, &bits, 8);
    out->at += CONTEXT_GLOBAL;
    out->start[1]++;
}

size_t context_end(context_writer *out, uint32_t memory_length)
{
    if (out->is_full)
        return 0;
    memcpy(out->start + 4, &memory_length, 4);
    size_t length = (size_t)(out->at - out->start);
    return length == CONTEXT_HEADER ? 0 : length;
}

/* ---- Comparing ---- */

static bool chunk_header(context_writer *out, uint32_t at, uint32_t mask)
{
    ptrdiff_t need = CHUNK_HEADER + __builtin_popcount(mask) * WORD;
    if (out->is_full || out->end - out->at < need) {
        out->is_full = true;
        return false;
    }
    uint16_t header[2] = { (uint16_t)(at / CHUNK), (uint16_t)mask };
    memcpy(out->at, header, sizeof header);
    out->at += CHUNK_HEADER;
    return true;
}

static void put_words(context_writer *out, const uint8_t *chunk, uint32_t at, uint32_t mask)
{
    if (!chunk_header(out, at, mask))
        return;
    for (; mask != 0; mask &= mask - 1, out->at += WORD)
        memcpy(out->at, chunk + (size_t)__builtin_ctz(mask) * WORD, WORD);
}

static void put_portable(context_writer *out, uint8_t *memory, const uint8_t *baseline, uint32_t from, uint32_t to)
{
    for (uint32_t at = from; at < to; at += CHUNK) {
        if (memcmp(memory + at, baseline + at, CHUNK) == 0)
            continue;
        uint32_t mask = 0;
        for (uint32_t i = 0; i < CHUNK_WORDS; i++)
            mask |= (uint32_t)(read_u32(memory + at + i * WORD) != read_u32(baseline + at + i * WORD)) << i;
        put_words(out, memory + at, at, mask);
        memcpy(memory + at, baseline + at, CHUNK);
    }
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2"))) static void put_avx2(context_writer *out, uint8_t *memory, const uint8_t *baseline,
                                                     uint32_t from, uint32_t to)
{
    for (uint32_t at = from; at < to; at += CHUNK) {
        __m256i low = _mm256_loadu_si256((const __m256i *)(memory + at));
        __m256i high = _mm256_loadu_si256((const __m256i *)(memory + at + 32));
        __m256i base_low = _mm256_loadu_si256((const __m256i *)(baseline + at));
        __m256i base_high = _mm256_loadu_si256((const __m256i *)(baseline + at + 32));
        __m256i differs = _mm256_or_si256(_mm256_xor_si256(low, base_low), _mm256_xor_si256(high, base_high));
        if (_mm256_testz_si256(differs, differs))
            continue;
        uint32_t same = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(low, base_low)));
        same |= (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(high, base_high))) << 8;
        put_words(out, memory + at, at, ~same & 0xffff);
        _mm256_storeu_si256((__m256i *)(memory + at), base_low);
        _mm256_storeu_si256((__m256i *)(memory + at + 32), base_high);
    }
}

#define AVX512 __attribute__((target("avx512f,avx512bw")))

AVX512 static void put_chunk_avx512(context_writer *out, uint8_t *memory, const uint8_t *baseline, uint32_t at)
{
    __m512i now = _mm512_loadu_si512(memory + at), base = _mm512_loadu_si512(baseline + at);
    __mmask16 mask = _mm512_cmpneq_epi32_mask(now, base);
    if (mask == 0)
        return;
    if (chunk_header(out, at, mask)) {
        uint32_t count = (uint32_t)__builtin_popcount(mask);
        /* A masked store of the packed words: never past the room that was checked. */
        _mm512_mask_storeu_epi32(out->at, (__mmask16)((1u << count) - 1), _mm512_maskz_compress_epi32(mask, now));
        out->at += count * WORD;
    }
    _mm512_storeu_si512(memory + at, base);
}

AVX512 static void put_avx512(context_writer *out, uint8_t *memory, const uint8_t *baseline, uint32_t from, uint32_t to)
{
    enum { STRIDE = 4 * CHUNK };
    uint32_t at = from;
    for (; at + STRIDE <= to; at += STRIDE) {
        __m512i differs = _mm512_setzero_si512();
        for (uint32_t i = 0; i < STRIDE; i += CHUNK)
            differs = _mm512_or_si512(differs, _mm512_xor_si512(_mm512_loadu_si512(memory + at + i),
                                                                _mm512_loadu_si512(baseline + at + i)));
        if (__builtin_expect(_mm512_test_epi64_mask(differs, differs) == 0, 1))
            continue;
        for (uint32_t i = 0; i < STRIDE; i += CHUNK)
            put_chunk_avx512(out, memory, baseline, at + i);
    }
    for (; at < to; at += CHUNK)
        put_chunk_avx512(out, memory, baseline, at);
}
#endif

uint32_t context_ways(context_way out[4])
{
    uint32_t count = 0;
    out[count++] = (context_way){ "portable", put_portable };
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2"))
        out[count++] = (context_way){ "avx2", put_avx2 };
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
        out[count++] = (context_way){ "avx512", put_avx512 };
#endif
    return count;
}

void context_put_memory(context_writer *out, uint8_t *memory, const uint8_t *baseline, uint32_t from, uint32_t to)
{
    static context_put_fn best;
    if (best == NULL) {
        context_way ways[4];
        best = ways[context_ways(ways) - 1].put;
    }
    best(out, memory, baseline, from, to);
}

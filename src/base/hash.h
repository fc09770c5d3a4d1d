/* Keyed hashing for tables (not for secrets: see core/vault.h), and an index from
 * hash to number that a table puts over its rows. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t dro_hash_mix(uint64_t a, uint64_t b)
{
    __uint128_t product = (__uint128_t)(a ^ 0x9e3779b97f4a7c15u) * (b ^ 0xd6e8feb86659fd93u);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Unpredictable without the key, so that nobody can choose colliding names. */
static inline uint64_t dro_hash(uint64_t key, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    uint64_t hash = dro_hash_mix(key, length);
    while (length >= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        hash = dro_hash_mix(hash ^ word, key);
        at += 8;
        length -= 8;
    }
    uint64_t last = 0;
    for (size_t i = 0; i < length; i++) /* as the word above reads them; without a store to wait for */
        last |= (uint64_t)at[i] << 8 * i;
    return dro_hash_mix(hash ^ last, key + 1);
}

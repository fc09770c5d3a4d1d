/* The part of <string.h> a twin has: a freestanding program brings no C library. */
#pragma once

#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t length);
void *memmove(void *to, const void *from, size_t length);
void *memset(void *to, int byte, size_t length);
int memcmp(const void *a, const void *b, size_t length);

/* A short copy of a length that the compiler knows: loads and stores, not a call as clang makes of it. */
static inline __attribute__((always_inline)) void *dromio_copy(void *restrict to, const void *restrict from,
                                                               size_t length)
{
    enum { SHORT = 64, WORD = 8 };
    uint8_t *out = to;
    const uint8_t *in = from;
    size_t at = 0;
    if (!__builtin_constant_p(length) || length > SHORT)
        return memcpy(to, from, length);
    for (; at + WORD <= length; at += WORD)
        __builtin_memcpy(out + at, in + at, WORD);
    for (; at < length; at++)
        out[at] = in[at];
    return to;
}
#define memcpy(...) dromio_copy(__VA_ARGS__)

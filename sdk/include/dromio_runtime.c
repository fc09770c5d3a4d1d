/* Linked into every twin: the event buffer, the ABI's mark, and the few functions a
 * compiler calls behind a freestanding program's back. */
#include "dromio.h"

uint8_t dromio_payload[DROMIO_LIMIT_EVENT_BYTES];

void dromio_abi_1(void)
{
}

void *dromio_event_buffer(void)
{
    return dromio_payload;
}

#ifdef __wasm__
#undef memcpy
void *memcpy(void *restrict to, const void *restrict from, size_t length)
{
    uint8_t *out = to;
    const uint8_t *in = from;
    while (length-- > 0)
        *out++ = *in++;
    return to;
}

void *memmove(void *to, const void *from, size_t length)
{
    uint8_t *out = to;
    const uint8_t *in = from;
    if (out <= in)
        return memcpy(to, from, length);
    while (length-- > 0)
        out[length] = in[length];
    return to;
}

void *memset(void *to, int byte, size_t length)
{
    uint8_t *out = to;
    while (length-- > 0)
        *out++ = (uint8_t)byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t length)
{
    const uint8_t *left = a, *right = b;
    for (; length > 0; length--, left++, right++)
        if (*left != *right)
            return *left < *right ? -1 : 1;
    return 0;
}
#endif

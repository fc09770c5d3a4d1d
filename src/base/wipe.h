/* Clears bytes that held secrets, in a way the compiler may not drop. */
#pragma once

#include <stddef.h>
#include <string.h>

static inline void dro_wipe(void *bytes, size_t length)
{
    if (length > 0)
        memset(bytes, 0, length);
    __asm__ volatile("" : : "r"(bytes) : "memory");
}

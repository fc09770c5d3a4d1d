/* A twin that asks for memory as it goes. */
#include "twin.h"

enum { SIZE, GROW, BOMB, PUT, GET, FILL, LOOK };
enum { FILL_RETURNS, FILL_TRAPS, FILL_LEAVES, FILL_STAYS }; /* how it ends */

static u32 end_of_memory(void)
{
    return (u32)__builtin_wasm_memory_size(0) * 65536;
}

static void grow(u32 pages)
{
    if (__builtin_wasm_memory_grow(0, pages) == (u32)-1)
        __builtin_trap();
}

/* The event is pages, how to end, and from its byte 8 on the 8 bytes that all of the memory is filled with. */
static void fill(void)
{
    u32 how = event_buffer[1];
    u64 with;
    __builtin_memcpy(&with, event_buffer + 8, 8);
    grow(event_buffer[0]);
    for (u32 at = 0; at < end_of_memory(); at += 8)
        *(volatile u64 *)at = with;
    if (how == FILL_TRAPS)
        __builtin_trap();
    if (how == FILL_LEAVES)
        *(volatile u32 *)0x7fffff00 = 1;
    while (how == FILL_STAYS)
        *(volatile u64 *)event_buffer = with;
}

/* How many words of all of the memory are not zero? It has no data; the event is of 4 bytes. */
static void look(void)
{
    u32 found = 0;
    grow(event_buffer[0]);
    for (u32 at = 0; at < end_of_memory(); at += 4)
        found += at != (u32)event_buffer && *(volatile u32 *)at != 0;
    property_set_integer(1, found, 0);
}

EXPORT(dromio_event) i32 dromio_event(u32 kind, u32 id, u32 length)
{
    (void)kind, (void)length;
    volatile u32 *far;
    switch (id) {
    case SIZE: property_set_integer(1, (i64)__builtin_wasm_memory_size(0), 0); return 0;
    case GROW: property_set_integer(1, (i64)__builtin_wasm_memory_grow(0, event_buffer[0]), 0); return 0;
    case BOMB:
        for (;;)
            if (__builtin_wasm_memory_grow(0, 1) == (u32)-1)
                __builtin_trap();
    case PUT:
        far = (u32 *)(__builtin_wasm_memory_size(0) * 65536 - 4);
        *far = event_buffer[0];
        return 0;
    case GET:
        far = (u32 *)(__builtin_wasm_memory_size(0) * 65536 - 4);
        property_set_integer(1, *far, 0);
        return 0;
    case FILL: fill(); return 0;
    case LOOK: look(); return 0;
    }
    return 1;
}

/* A twin that asks for memory as it goes. */
#include "twin.h"

enum { SIZE, GROW, BOMB, PUT, GET };

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
    }
    return 1;
}

/* probe.c's successor: the same state, laid out otherwise. */
#include "twin.h"

static u32 values[64];
static u8 padding[1000] = { 1 };
static u64 count = 3;

EXPORT(dromio_event) i32 dromio_event(u32 kind, u32 id, u32 length)
{
    (void)kind, (void)length;
    if (id == 0)
        count++;
    property_set_integer(1, id == 0 ? (i64)count : values[event_buffer[0] % 64] + (i64)padding[999], 0);
    return 0;
}

EXPORT(dromio_export_state) i32 dromio_export_state(void)
{
    return -1; /* an author may say there is no way back */
}

EXPORT(dromio_import_state) void dromio_import_state(i32 length)
{
    if (length != 260)
        __builtin_trap();
    count = event_buffer[0] | (u32)event_buffer[1] << 8;
    __builtin_memcpy(values, event_buffer + 4, 256);
}

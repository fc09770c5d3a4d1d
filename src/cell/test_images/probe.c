/* A twin that does what the event's id says: everything a host must survive. */
#include "probe.h"
#include "twin.h"

static struct { u32 count, value[64]; u8 text[512]; } state = { .value = { 7, 8, 9 } };
static volatile u32 sink, wrong;

/* Uses the stack in memory; it comes first there, so it ends outside. */
__attribute__((noinline)) static u32 dig(u32 depth)
{
    volatile u32 pad[32];
    pad[depth % 32] = depth;
    return depth == 0 ? 0 : dig(depth - 1) + pad[depth % 32];
}

/* Uses the engine's stack only. */
__attribute__((noinline)) static u32 fall(u32 depth)
{
    return depth == 0 ? sink : fall(depth - 1) * 3 + sink;
}

static void all_effects(void)
{
    property_set_number(0, 21.5, 1);
    property_set_integer(1, -5, 0);
    property_set_boolean(2, 2, 2);
    property_set_string(3, "gr\xc3\xbc\xc3\x9f", 6, 0);
    downlink("\x81\x02\x58", 3, 9, 60);
    timer(4, 5000);
    notify(0);
    notify_number(1, 2.5);
    notify_string(2, "hot", 3);
    ticket(77, 4, "no", 2);
    contact_at(123456789);
    trigger(5, 4711, "wake", 4, 60);
    schedule(3600, -1, 4);
    log_line(2, "line", 4);
}

static i32 refused(u32 id)
{
    switch (id) {
    case EFFECTS_FLOOD: for (i32 i = 0; i < 1000; i++) timer(i, i); return 0;
    case BIG_EFFECTS: for (i32 i = 0; i < 100; i++) downlink((void *)4096, 1500, 0, 0); return 0;
    case BAD_PROPERTY: property_set_number(4, 1, 0); return 0;
    case BAD_TYPE: property_set_number(1, 1, 0); return 0;
    case NOT_FINITE: property_set_number(0, __builtin_inf(), 0); return 0;
    case BAD_QUALITY: property_set_number(0, 1, 3); return 0;
    case BAD_POINTER: property_set_string(3, (void *)0xfffffff0u, 32, 0); return 0;
    case LONG_TEXT: log_line(1, (void *)4096, 201); return 0;
    case BAD_UTF8: property_set_string(3, "\xff\xfe", 2, 0); return 0;
    case LONG_TRIGGER: trigger(1, 1, (void *)4096, 134, 0); return 0;
    case BAD_PORT: trigger(1, 65536, "", 0, 0); return 0;
    case BAD_EVENT: notify_number(0, 1); return 0;
    }
    return 1;
}

static i32 breaks(u32 id)
{
    switch (id) {
    case TRAP: __builtin_trap();
    case LOOP: for (;;) sink++;
    case OUT_OF_BOUNDS: *(volatile u32 *)0x7fffff00 = 1; return 0;
    case OVERFLOW: sink = fall(100000000); return 0;
    case DIG: sink = dig(100000000); return 0;
    case BAD_OUTCOME: return 3;
    case DIVIDE: sink = 7000 / (sink - sink); return 0;
    case BAD_CALL: wrong = (u32)dromio_event_buffer; ((void (*)(double))wrong)(1.0); return 0;
    case SPIN_MS: for (u32 i = 0; i < 2000000; i++) sink++; return 0;
    }
    return refused(id);
}

static u32 word_at(u32 at)
{
    u32 word;
    __builtin_memcpy(&word, event_buffer + at, 4);
    return word;
}

/* Writes the event all over: state, nearly all of the stack, its own buffer. May end there, with the stack pointer down. */
__attribute__((noinline)) static void smear(u32 length, u32 id)
{
    volatile u32 stack[896];
    for (u32 i = 0; i < sizeof stack / 4; i++)
        stack[i] = word_at(i % 2 * 4);
    for (u32 i = 0; i < sizeof state.text; i++)
        state.text[i] = event_buffer[i % length];
    for (u32 i = length; i < sizeof event_buffer; i++)
        event_buffer[i] = event_buffer[i % length];
    for (u32 i = 0; i < 64; i++)
        state.value[i] = word_at(i * 4 % length);
    if (id == SMEAR_TRAP)
        __builtin_trap();
    while (id == SMEAR_LOOP)
        sink++;
}

/* Is there any trace of the 8 bytes of the event in the memory, besides the event itself? */
static i32 scan(u32 end)
{
    u64 want;
    u32 found = 0;
    __builtin_memcpy(&want, event_buffer, 8);
    for (u32 at = 64; at + 8 <= end; at += 4) {
        u64 have = *(volatile u32 *)at | (u64) * (volatile u32 *)(at + 4) << 32;
        if (have == want && at != (u32)event_buffer)
            found++;
    }
    property_set_integer(1, found, 0);
    return 0;
}

/* All that it can see, in a number: where its stack is, and its memory from the first byte to the end. */
__attribute__((noinline)) static i64 look(u32 end)
{
    volatile u8 here;
    u64 seen = (u32)&here;
    for (u32 at = 0; at < end; at += 8)
        seen = (seen ^ *(volatile u64 *)at) * 0x100000001b3;
    return (i64)seen;
}

/* How much of the stack, of which nothing is in use but this frame, is not zero? */
__attribute__((noinline)) static u32 dead_words(void)
{
    volatile u8 here;
    u32 found = 0;
    for (u32 at = 0; at + 4 <= (u32)&here; at += 4)
        found += *(volatile u32 *)at != 0;
    return found;
}

/* A random walk of the state that depends on all of it. */
static i32 walk(u32 length)
{
    u32 x = state.count * 2654435761u;
    for (u32 i = 0; i < length; i++) {
        x = (x ^ event_buffer[i]) * 16777619u;
        state.value[x % 64] += x;
        state.text[(x >> 8) % sizeof state.text] ^= (u8)x;
    }
    state.count++;
    property_set_integer(1, x, 0);
    log_line(1, "walked", 6);
    return (i32)(x % 3);
}

static void nan_bits(void)
{
    volatile double zero = 0;
    double made = zero / zero;
    u64 bits;
    __builtin_memcpy(&bits, &made, 8);
    property_set_integer(1, (i64)bits, 0);
}

EXPORT(dromio_event) i32 dromio_event(u32 kind, u32 id, u32 length)
{
    (void)kind;
    switch (id) {
    case COUNT: state.count++; property_set_integer(1, state.count, 0); return 0;
    case STORE: state.value[event_buffer[0] % 64] = word_at(4); return 0;
    case LOAD: property_set_integer(1, state.value[event_buffer[0] % 64], 0); return 0;
    case ALL_EFFECTS: all_effects(); return 0;
    case TIME_AND_RANDOM: property_set_integer(1, now(), 0); property_set_integer(1, random_bits(), 0); return 0;
    case NAN_BITS: nan_bits(); return 0;
    case SWALLOW: return 2;
    case SCAN: return scan(word_at(8));
    case SMEAR: case SMEAR_TRAP: case SMEAR_LOOP: smear(length, id); return 0;
    case LOOK: property_set_integer(1, look(word_at(0)), 0); return 0;
    case DEAD: property_set_integer(1, dead_words(), 0); return 0;
    case WALK: return walk(length);
    }
    state.count += 1000; /* must be gone after the trap */
    return breaks(id);
}

EXPORT(dromio_export_state) i32 dromio_export_state(void)
{
    __builtin_memcpy(event_buffer, &state.count, 4);
    __builtin_memcpy(event_buffer + 4, state.value, 256);
    return 260;
}

EXPORT(dromio_import_state) void dromio_import_state(i32 length)
{
    if (length != 260)
        __builtin_trap();
    __builtin_memcpy(&state.count, event_buffer, 4);
    __builtin_memcpy(state.value, event_buffer + 4, 256);
}

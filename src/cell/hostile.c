#include "cell/hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cell/cell_private.h"
#include "twin/effect.h"

enum {
    MAPPINGS_MAX = 512,
    CALL_ARGUMENTS = 6,
    CALL_BYTES = 4096,
    COUNT_MAX = 1000,
    NEEDLE_MASK = 0x5a,       /* needles come masked, so that the message that asks holds none */
    X32 = 0x40000000,
    TAIL_AT = 0, HEAD_AT = 64, SLEEPING_AT = 128, BYTES_AT = 192, /* of a ring's memory: ring/ring.c */
    BUSY_ROUNDS = 4000000,
    LATE_S = 2,
    BELLS = 200000,
};

typedef struct mapping { uintptr_t from, to; bool reads, writes, executes, is_shared; } mapping;

static cell *here;
static mapping mappings[MAPPINGS_MAX];
static uint32_t mapping_count;
static enum hostile_action pending = ACTION_CALL; /* what the hooks do with the result of this turn */
static uint32_t message_at;                       /* offset of its message in the ring */
static uint64_t last_id;
static uint8_t call_bytes[CALL_BYTES];

void hostile_prepare(cell *cell)
{
    char line[512], rights[8];
    unsigned long from, to;
    FILE *maps = fopen("/proc/self/maps", "re");
    here = cell;
    pending = ACTION_CALL;
    fputs("dromiod: hostile build: guest code runs native code in its cell\n", stderr);
    while (maps != NULL && mapping_count < MAPPINGS_MAX && fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || strstr(line, "[v") != NULL)
            continue; /* not what is the kernel's own */
        mappings[mapping_count++] = (mapping){ from, to, rights[0] == 'r', rights[1] == 'w', rights[2] == 'x', rights[3] == 's' };
    }
    if (maps != NULL)
        fclose(maps);
}

/* ---- calls ---- */

static long call_native(uint64_t number, const uint64_t a[CALL_ARGUMENTS])
{
#if defined(__x86_64__)
    long result;
    register uint64_t r10 __asm__("r10") = a[3];
    register uint64_t r8 __asm__("r8") = a[4];
    register uint64_t r9 __asm__("r9") = a[5];
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return result;
#else
    register uint64_t x8 __asm__("x8") = number;
    register uint64_t x0 __asm__("x0") = a[0];
    register uint64_t x1 __asm__("x1") = a[1];
    register uint64_t x2 __asm__("x2") = a[2];
    register uint64_t x3 __asm__("x3") = a[3];
    register uint64_t x4 __asm__("x4") = a[4];
    register uint64_t x5 __asm__("x5") = a[5];
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return (long)x0;
#endif
}

/* As a program of 32 bits would. */
static long call_i386(uint32_t number, const uint64_t a[CALL_ARGUMENTS])
{
#if defined(__x86_64__)
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a[0]), "c"(a[1]), "d"(a[2]), "S"(a[3]), "D"(a[4]) : "memory", "r8", "r9", "r10", "r11");
    return result;
#else
    (void)number, (void)a;
    return -ENOSYS;
#endif
}

/* The oldest way, a page of the kernel's at an address that everybody knows. */
static long call_vsyscall(uint64_t number)
{
#if defined(__x86_64__)
    static const uintptr_t page = 0xffffffffff600000;
    enum { STEP = 1024 };
    struct timespec time[2];
    long (*entry)(void *, void *);
    uintptr_t address = page + STEP * (uintptr_t)number;
    memcpy(&entry, &address, sizeof entry);
    return entry(&time[0], NULL);
#else
    (void)number;
    return -ENOSYS;
#endif
}

/* Way u8 (0 the usual one, 1 int 0x80, 2 x32, 3 vsyscall), number u32, then 6 times: is it an offset into the bytes behind? u8,
 * value u64; then bytes. */
static int32_t call(const uint8_t *bytes, uint32_t length)
{
    dro_cursor in = dro_cursor_over(bytes, length);
    uint64_t arguments[CALL_ARGUMENTS];
    uint8_t way = (uint8_t)dro_cursor_le(&in, 1);
    uint32_t number = (uint32_t)dro_cursor_le(&in, 4);
    for (int i = 0; i < CALL_ARGUMENTS; i++) {
        bool is_offset = dro_cursor_le(&in, 1) != 0;
        uint64_t value = dro_cursor_le(&in, 8);
        arguments[i] = is_offset ? (uint64_t)(uintptr_t)call_bytes + value % CALL_BYTES : value;
    }
    size_t left = dro_cursor_left(&in) < CALL_BYTES ? dro_cursor_left(&in) : CALL_BYTES;
    const uint8_t *rest = dro_cursor_bytes(&in, left);
    if (in.err != DRO_OK)
        return -EINVAL;
    memset(call_bytes, 0, sizeof call_bytes);
    memcpy(call_bytes, rest, left);
    long result = way == 1 ? call_i386(number, arguments) : way == 2 ? call_native(X32 | (uint64_t)number, arguments)
                : way == 3 ? call_vsyscall(number) : call_native(number, arguments);
    return result > INT32_MAX ? INT32_MAX : (int32_t)result;
}

/* ---- looking around ---- */

static uint32_t needles_in(const mapping *mapping, const uint8_t *masked, uint32_t length)
{
    uint32_t found = 0;
    uint8_t first = masked[0] ^ NEEDLE_MASK;
    const uint8_t *at = (const uint8_t *)mapping->from, *end = (const uint8_t *)mapping->to;
    while (end - at >= (ptrdiff_t)length && (at = memchr(at, first, (size_t)(end - at) - length + 1)) != NULL) {
        uint32_t i = 1;
        while (i < length && at[i] == (masked[i] ^ NEEDLE_MASK))
            i++;
        found += i == length;
        at++;
    }
    return found;
}

static int32_t search(const uint8_t *masked, uint32_t length)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < mapping_count && length > 0; i++)
        if (mappings[i].reads)
            found += needles_in(&mappings[i], masked, length);
    return found < COUNT_MAX ? (int32_t)found : COUNT_MAX;
}

static int32_t mappings_with(bool is_shared, bool executes)
{
    int32_t count = 0;
    for (uint32_t i = 0; i < mapping_count; i++)
        count += mappings[i].writes && mappings[i].is_shared >= is_shared && mappings[i].executes >= executes;
    return count;
}

/* ---- the end, one way or another ---- */

_Noreturn static void hold(void)
{
    struct timespec while_s = { 1, 0 };
    for (;;)
        clock_nanosleep(CLOCK_MONOTONIC, 0, &while_s, NULL);
}

_Noreturn static void scribble(void)
{
    for (uint32_t i = 0; i < mapping_count; i++)
        if (mappings[i].writes && mappings[i].is_shared)
            memset((void *)mappings[i].from, 0xa5, mappings[i].to - mappings[i].from);
    hold();
}

/* The message behind the one that is being handled, if there is one. */
static uint64_t next_id(void)
{
    ring_header header = { 0 };
    uint32_t position = 0;
    if (ring_peek(here->options.turns, &position, &header) != NULL)
        ring_peek(here->options.turns, &position, &header);
    return header.id;
}

_Noreturn static void blame(uint64_t id)
{
    if (here->options.running != NULL)
        atomic_store(here->options.running, id);
    _exit(0);
}

static void ring_the_bell(void)
{
    uint64_t one = 1;
    for (int i = 0; i < BELLS; i++)
        if (write(here->options.results->doorbell, &one, sizeof one) < 0)
            return;
}

static void jump(void)
{
    void (*entry)(void);
    void *data = call_bytes;
    memset(call_bytes, 0xc3, sizeof call_bytes); /* returns, if anybody runs it */
    memcpy(&entry, &data, sizeof entry);
    entry();
}

static void write_code(void)
{
    int32_t (*own)(turn *, uint32_t, const uint8_t *, uint32_t) = hostile_act;
    uint8_t *code;
    memcpy(&code, &own, sizeof code);
    *(volatile uint8_t *)code = 0xc3;
}

int32_t hostile_act(turn *turn, uint32_t action, const uint8_t *bytes, uint32_t length)
{
    struct timespec late = { LATE_S, 0 };
    (void)turn;
    pending = ACTION_CALL;
    if (here == NULL) /* at the image's admission */
        return 0;
    switch (action) {
    case ACTION_CALL: return call(bytes, length);
    case ACTION_SEARCH: return search(bytes, length);
    case ACTION_SHARED: return mappings_with(true, false);
    case ACTION_WRITABLE_CODE: return mappings_with(false, true);
    case ACTION_SCRIBBLE: scribble();
    case ACTION_BLAME_NOBODY: blame(0);
    case ACTION_BLAME_ANOTHER: blame(next_id());
    case ACTION_SILENT: hold();
    case ACTION_LATE: clock_nanosleep(CLOCK_MONOTONIC, 0, &late, NULL); return 0;
    case ACTION_RING_BELL: ring_the_bell(); return 0;
    case ACTION_JUMP: jump(); return 0;
    case ACTION_WRITE_CODE: write_code(); return 0;
    default: pending = (enum hostile_action)action; return 0;
    }
}

/* ---- the result ---- */

/* In place of what the turn asked for. */
static void forge_effects(turn_result *result, uint32_t *length)
{
    uint8_t *at = (uint8_t *)(result + 1) + ((result->context_length + 7u) & ~7u);
    dro_builder out = dro_builder_over(at, EFFECTS_BYTES_MAX);
    effect effect = { .kind = EFFECT_TIMER };
    switch (pending) {
    case ACTION_EFFECTS_GARBAGE:
        for (uint32_t i = 0; i < 512; i++)
            dro_builder_le(&out, i * 2654435761u >> 7, 1);
        break;
    case ACTION_EFFECTS_TOO_MANY:
        for (uint32_t i = 0; i <= EFFECTS_MAX; i++)
            effect_write(&out, &effect);
        break;
    case ACTION_FOREIGN_PROPERTY:
        effect.kind = EFFECT_PROPERTY;
        effect.property.property = 200;
        effect.property.value = (value){ .kind = VALUE_INTEGER, .integer = 1 };
        effect_write(&out, &effect);
        break;
    case ACTION_FOREIGN_TICKET:
        effect.kind = EFFECT_TICKET;
        effect.ticket.state = 3;
        for (uint64_t ticket = 1; ticket < 100; ticket++) {
            effect.ticket.ticket = ticket;
            effect_write(&out, &effect);
        }
        break;
    case ACTION_BAD_TEXT:
        effect.kind = EFFECT_PROPERTY;
        effect.property.property = 1;
        effect.property.value = (value){ .kind = VALUE_STRING, .string = "\xff\xfe\"}", .length = 4 };
        effect_write(&out, &effect);
        break;
    default: /* ACTION_EVENTS_FLOOD */
        effect.kind = EFFECT_NOTIFY;
        effect.notify.value.kind = VALUE_NONE;
        for (uint32_t i = 0; i < EFFECTS_MAX; i++)
            effect_write(&out, &effect);
    }
    result->effects_length = (uint32_t)dro_builder_length(&out);
    *length = (uint32_t)((uint8_t *)out.at - (uint8_t *)result);
}

void hostile_forge(cell *cell, turn_result *result, uint64_t *id, uint32_t *length)
{
    uint64_t own = *id;
    message_at = cell->options.results->tail & (cell->options.results->capacity - 1);
    switch (pending) {
    case ACTION_FORGED_TWIN: result->twin ^= 1; break;
    case ACTION_FORGED_ID: *id += (uint64_t)1 << 32; break;
    case ACTION_OLD_ID: *id = last_id; break;
    case ACTION_CONTEXT_HUGE: result->context_length = UINT32_MAX; break;
    case ACTION_EFFECTS_HUGE: result->effects_length = UINT32_MAX; break;
    case ACTION_LENGTHS_WRAP: result->context_length = UINT32_MAX - 7; result->effects_length = 64; break;
    case ACTION_STATUS_UNKNOWN: result->status = 0x7fffffff; break;
    case ACTION_OUTCOME_UNKNOWN: result->outcome = 0x80000000; break;
    case ACTION_CPU_HUGE: result->cpu_nanos = UINT32_MAX; break;
    case ACTION_CPU_NONE: result->cpu_nanos = 0; break;
    case ACTION_DEADLINE_LIE: result->status = TURN_DEADLINE; break;
    case ACTION_CONTEXT_GARBAGE: memset(result + 1, 0xa5, result->context_length); break;
    case ACTION_SHORT: *length = 4; break;
    case ACTION_EFFECTS_GARBAGE: case ACTION_EFFECTS_TOO_MANY: case ACTION_FOREIGN_PROPERTY: case ACTION_FOREIGN_TICKET:
    case ACTION_BAD_TEXT: case ACTION_EVENTS_FLOOD: forge_effects(result, length); break;
    default: break;
    }
    last_id = own;
}

/* ---- the message ---- */

static ring_header *own_header(cell *cell)
{
    return (ring_header *)(void *)(cell->options.results->bytes + message_at);
}

/* The same message again, `times` more. */
static void repeat(cell *cell, uint32_t times)
{
    ring_header header = *own_header(cell);
    static uint8_t body[RING_MESSAGE_MAX];
    uint32_t length = header.length - (uint32_t)sizeof header;
    memcpy(body, own_header(cell) + 1, length);
    while (times-- > 0 && ring_send(cell->options.results, header.type, header.flags, header.id, body, length))
        ;
}

void hostile_commit(cell *cell)
{
    ring_header *header = own_header(cell);
    switch (pending) {
    case ACTION_LENGTH_0: header->length = 0; break;
    case ACTION_LENGTH_4: header->length = 4; break;
    case ACTION_LENGTH_ODD: header->length += 1; break;
    case ACTION_LENGTH_HUGE: header->length = 0xfffffff8; break;
    case ACTION_LENGTH_PAST_TAIL: header->length += 4096; break;
    case ACTION_TYPE_TURN: header->type = MESSAGE_TURN; break;
    case ACTION_TYPE_PAD: header->type = 0; break;
    case ACTION_TYPE_UNKNOWN: header->type = 0xffff; break;
    case ACTION_TWICE: repeat(cell, 1); break;
    case ACTION_FLOOD: repeat(cell, UINT32_MAX); break;
    default: break;
    }
}

static _Atomic uint32_t *word_of(void *shared, size_t at)
{
    return (_Atomic uint32_t *)(void *)((uint8_t *)shared + at);
}

static void fill_with_pads(cell *cell)
{
    ring_writer *results = cell->options.results;
    ring_header pad = { .length = 8 };
    for (uint32_t at = 0; at < results->capacity; at += 8)
        memcpy(results->bytes + at, &pad, 8);
}

/* Turns a word over and back, while the core may be reading it. */
static void flicker(uint8_t *at, uint32_t length, uint8_t mask)
{
    volatile uint8_t *bytes = at;
    for (uint32_t i = 0; i < BUSY_ROUNDS; i++)
        bytes[length > 0 ? i % length : 0] ^= mask;
}

static void change(cell *cell)
{
    ring_header *header = own_header(cell);
    turn_result result;
    memcpy(&result, header + 1, sizeof result);
    uint8_t *context = (uint8_t *)(header + 1) + sizeof result, *effects = context + ((result.context_length + 7u) & ~7u);
    switch (pending) {
    case ACTION_CHANGE_HEADER: flicker((uint8_t *)header, sizeof *header, 0xff); break;
    case ACTION_CHANGE_RESULT: flicker((uint8_t *)(header + 1), sizeof result, 0x7f); break;
    case ACTION_CHANGE_EFFECTS: flicker(effects, result.effects_length, 0xff); break;
    default: flicker(context, result.context_length, 0xff); break;
    }
}

void hostile_published(cell *cell)
{
    void *results = cell->options.results->shared, *turns = cell->options.turns->shared;
    uint32_t tail = cell->options.results->tail, capacity = cell->options.results->capacity;
    enum hostile_action now = pending;
    switch (now) {
    case ACTION_TAIL_ODD: atomic_store(word_of(results, TAIL_AT), tail + 3); break;
    case ACTION_TAIL_BACK: atomic_store(word_of(results, TAIL_AT), tail - 4096); break;
    case ACTION_TAIL_FAR: atomic_store(word_of(results, TAIL_AT), tail + capacity + 8); break;
    case ACTION_PADS:
        fill_with_pads(cell);
        atomic_store(word_of(results, TAIL_AT), tail + capacity / 2);
        break;
    case ACTION_PADS_ENDLESS:
        fill_with_pads(cell);
        for (uint32_t i = 1; i < BUSY_ROUNDS; i++)
            atomic_store(word_of(results, TAIL_AT), tail + 8 * i);
        break;
    case ACTION_HEAD_FORWARD: atomic_store(word_of(turns, HEAD_AT), 0x7ffffff8); break;
    case ACTION_HEAD_BACK: atomic_store(word_of(turns, HEAD_AT), atomic_load(word_of(turns, HEAD_AT)) - 0x10000); break;
    case ACTION_SLEEPING:
        for (uint32_t i = 0; i < BUSY_ROUNDS; i++)
            atomic_store(word_of(turns, SLEEPING_AT), i & 1);
        break;
    case ACTION_CHANGE_HEADER: case ACTION_CHANGE_RESULT: case ACTION_CHANGE_EFFECTS: case ACTION_CHANGE_CONTEXT: change(cell); break;
    default: break;
    }
    pending = ACTION_CALL;
    bool holds = now == ACTION_TAIL_ODD || now == ACTION_TAIL_BACK || now == ACTION_TAIL_FAR || now == ACTION_PADS || now == ACTION_PADS_ENDLESS ||
                 now == ACTION_HEAD_FORWARD || now == ACTION_HEAD_BACK;
    if (holds) {
        uint64_t one = 1; /* the core looks now, not when it wakes the next time */
        ssize_t ignored = write(cell->options.results->doorbell, &one, sizeof one);
        (void)ignored;
        hold();
    }
}

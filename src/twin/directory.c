#include "twin/directory.h"

#include <assert.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "base/hash.h"

enum {
    MAGIC = 0x31445244,  /* "DRD1" */
    TABLES = DIRECTORY_PARTITIONS,
    PARTITION_BITS = 12,
    LEVEL_MIN = 9,       /* a table begins with 2^9 names: one page, so every outgrown one is whole pages */
    LEVEL_MAX = 17,      /* in all 512 Mi places */
    TRIES_MAX = 200000,  /* looks at a table that keeps changing, then its writer is taken for dead */
    TRIES_SPIN = 100,
};

typedef _Atomic uint64_t slot; /* tag << PARTITION_BITS | partition; 0: free */

/* One of TABLES hash tables, linear probing. An odd version: names are being moved. */
typedef struct table {
    _Atomic uint64_t version;
    _Atomic uint32_t lock;  /* of its writers */
    _Atomic uint32_t level; /* 2^level slots; 0: as LEVEL_MIN */
    _Atomic uint32_t used;
    uint32_t reserved[3];
} table;

struct directory_shared {
    uint32_t magic, core_count;
    _Atomic uint32_t is_ready;
    uint32_t reserved;
    uint64_t key;
    uint64_t reserved2[5];
    table tables[TABLES]; /* with one core: none of it and nothing behind */
};

enum { HEAD_BYTES = 256 * 1024 }; /* then slots, from a page on */
_Static_assert(sizeof(directory_shared) <= HEAD_BYTES, "tables begin behind the head");

typedef struct name { uint32_t table; uint64_t tag; } name;

/* ---- memory ---- */

size_t directory_bytes(uint32_t core_count)
{
    if (core_count <= 1)
        return 4096;
    return HEAD_BYTES + (size_t)TABLES * ((2ull << LEVEL_MAX) - (1ull << LEVEL_MIN)) * sizeof(slot);
}

dro_err directory_format(void *memory, uint32_t core_count)
{
    assert(core_count >= 1 && core_count <= DIRECTORY_CORES_MAX && (uintptr_t)memory % 4096 == 0);
    if (madvise(memory, directory_bytes(core_count), MADV_REMOVE) != 0)
        return DRO_IO;
    directory_shared *shared = memory;
    shared->magic = MAGIC;
    shared->core_count = core_count;
    return DRO_OK;
}

void directory_key_set(directory *directory, uint64_t key)
{
    directory->shared->key = key;
    atomic_store_explicit(&directory->shared->is_ready, 1, memory_order_release);
}

bool directory_is_ready(const directory *directory)
{
    return atomic_load_explicit(&directory->shared->is_ready, memory_order_acquire) != 0;
}

dro_err directory_open(directory *directory, void *memory, uint32_t core_count)
{
    *directory = (struct directory){ .shared = memory, .core_count = core_count };
    return directory->shared->magic == MAGIC && directory->shared->core_count == core_count ? DRO_OK : DRO_CORRUPT;
}

static uint32_t level_of(const table *table)
{
    uint32_t level = atomic_load_explicit(&table->level, memory_order_acquire);
    return level >= LEVEL_MIN && level <= LEVEL_MAX ? level : LEVEL_MIN;
}

static slot *slots_of(const directory *directory, uint32_t table, uint32_t level)
{
    size_t before = (size_t)TABLES * ((1ull << level) - (1ull << LEVEL_MIN)); /* of the smaller sizes */
    return (slot *)(void *)((uint8_t *)directory->shared + HEAD_BYTES) + before + ((size_t)table << level);
}

/* ---- finding ---- */

static uint64_t hash_of(uint64_t key, directory_kind kind, const char *text, size_t length)
{
    return dro_hash(key + (uint64_t)kind * 0x9e3779b97f4a7c15u, text, length);
}

static name name_of(const directory *directory, directory_kind kind, const char *text, size_t length)
{
    uint64_t hash = hash_of(directory->shared->key, kind, text, length);
    uint64_t tag = hash & ((1ull << (64 - PARTITION_BITS)) - 1);
    return (name){ (uint32_t)(hash >> (64 - PARTITION_BITS)), tag != 0 ? tag : 1 };
}

uint32_t directory_partition_keyed(uint64_t key, directory_kind kind, const char *text, size_t length)
{
    return (uint32_t)(hash_of(key, kind, text, length) >> (64 - PARTITION_BITS));
}

uint32_t directory_partition(const directory *directory, directory_kind kind, const char *text, size_t length)
{
    return name_of(directory, kind, text, length).table;
}

/* The word of the name among 2^level slots, 0 where it is not. `at`: its place, or the first free one.
 * Loads are acquiring: what the caller looks at next is not older. */
static uint64_t probe(const slot *slots, uint32_t level, uint64_t tag, uint32_t *at)
{
    uint32_t mask = (1u << level) - 1;
    *at = (uint32_t)tag & mask;
    for (uint32_t n = 0; n <= mask; n++, *at = (*at + 1) & mask) {
        uint64_t word = atomic_load_explicit(&slots[*at], memory_order_acquire);
        if (word == 0 || word >> PARTITION_BITS == tag)
            return word;
    }
    return 0;
}

static void pause_at(uint32_t tries)
{
    if (tries % TRIES_SPIN == TRIES_SPIN - 1)
        sched_yield(); /* who changes it may be waiting for this CPU */
}

/* The word of the name, 0: nobody has it. */
static uint64_t find_word(const directory *directory, const name *name)
{
    const table *table = &directory->shared->tables[name->table];
    for (uint32_t tries = 0; tries < TRIES_MAX; tries++) {
        uint64_t before = atomic_load_explicit(&table->version, memory_order_acquire);
        uint32_t level = level_of(table), at;
        uint64_t word = probe(slots_of(directory, name->table, level), level, name->tag, &at);
        if (before % 2 == 0 && atomic_load_explicit(&table->version, memory_order_relaxed) == before)
            return word;
        pause_at(tries);
    }
    return 0;
}

uint32_t directory_find(const directory *directory, directory_kind kind, const char *text, size_t length)
{
    name name = name_of(directory, kind, text, length);
    uint64_t word = directory->core_count <= 1 ? 0 : find_word(directory, &name);
    return word != 0 ? (uint32_t)word & (DIRECTORY_PARTITIONS - 1) : name.table;
}

bool directory_has(const directory *directory, directory_kind kind, const char *text, size_t length)
{
    name name = name_of(directory, kind, text, length);
    return directory->core_count <= 1 || find_word(directory, &name) != 0;
}

uint32_t directory_route(const directory *directory, directory_kind kind, const char *text, size_t length)
{
    return directory->core_count <= 1 ? 0 : directory_core(directory, directory_find(directory, kind, text, length));
}

uint64_t directory_count(const directory *directory)
{
    uint64_t count = 0;
    for (uint32_t i = 0; directory->core_count > 1 && i < TABLES; i++)
        count += atomic_load_explicit(&directory->shared->tables[i].used, memory_order_relaxed);
    return count;
}

/* ---- writing ---- */

static void lock(table *table)
{
    for (uint32_t tries = 0; atomic_exchange_explicit(&table->lock, 1, memory_order_acquire) != 0; tries++)
        pause_at(tries);
}

static void unlock(table *table)
{
    atomic_store_explicit(&table->lock, 0, memory_order_release);
}

/* Between these two readers see nothing for sure. Slots are stored releasing: none is seen
 * changed before the odd version is. */
static void change_begin(table *table)
{
    atomic_fetch_add_explicit(&table->version, 1, memory_order_acq_rel);
}

static void change_end(table *table)
{
    atomic_fetch_add_explicit(&table->version, 1, memory_order_release);
}

static void slot_put(slot *slot, uint64_t word)
{
    atomic_store_explicit(slot, word, memory_order_release);
}

/* Copies the table to twice its size; the smaller one goes back to the system. */
static dro_err grow(directory *directory, uint32_t number)
{
    table *table = &directory->shared->tables[number];
    uint32_t level = level_of(table);
    if (level == LEVEL_MAX)
        return DRO_LIMIT;
    slot *from = slots_of(directory, number, level);
    slot *to = slots_of(directory, number, level + 1);
    for (uint32_t i = 0; i < 1u << level; i++) {
        uint64_t word = atomic_load_explicit(&from[i], memory_order_relaxed);
        uint32_t at;
        if (word == 0)
            continue;
        probe(to, level + 1, word >> PARTITION_BITS, &at);
        slot_put(&to[at], word);
    }
    change_begin(table);
    atomic_store_explicit(&table->level, level + 1, memory_order_release);
    change_end(table);
    (void)madvise((void *)from, sizeof(slot) << level, MADV_REMOVE); /* where that fails it stays, unused: a table never shrinks */
    return DRO_OK;
}

/* Room for one more: a quarter stays free, so that probing stays short. */
static dro_err make_room(directory *directory, uint32_t number)
{
    const table *table = &directory->shared->tables[number];
    uint32_t used = atomic_load_explicit(&table->used, memory_order_relaxed);
    return used < (3u << level_of(table)) / 4 ? DRO_OK : grow(directory, number);
}

static dro_err claim(directory *directory, const name *name, uint32_t partition)
{
    table *table = &directory->shared->tables[name->table];
    uint64_t word = name->tag << PARTITION_BITS | partition;
    uint32_t level = level_of(table), at;
    uint64_t old = probe(slots_of(directory, name->table, level), level, name->tag, &at);
    if (old != 0 && directory_core(directory, (uint32_t)old & (DIRECTORY_PARTITIONS - 1)) != directory_core(directory, partition))
        return DRO_EXISTS;
    if (old == 0) {
        dro_err err = make_room(directory, name->table);
        if (err != DRO_OK)
            return err;
        level = level_of(table);
        probe(slots_of(directory, name->table, level), level, name->tag, &at);
        atomic_fetch_add_explicit(&table->used, 1, memory_order_relaxed);
    }
    slot_put(&slots_of(directory, name->table, level)[at], word);
    return DRO_OK;
}

dro_err directory_claim(directory *directory, directory_kind kind, const char *text, size_t length, uint32_t partition)
{
    assert(partition < DIRECTORY_PARTITIONS);
    if (directory->core_count <= 1)
        return DRO_OK;
    name name = name_of(directory, kind, text, length);
    table *table = &directory->shared->tables[name.table];
    lock(table);
    dro_err err = claim(directory, &name, partition);
    unlock(table);
    return err;
}

/* Takes the word at `hole` out and closes the gap behind it. */
static void take_out(slot *slots, uint32_t level, uint32_t hole)
{
    uint32_t mask = (1u << level) - 1;
    for (uint32_t at = (hole + 1) & mask;; at = (at + 1) & mask) {
        uint64_t word = atomic_load_explicit(&slots[at], memory_order_relaxed);
        if (word == 0)
            break;
        uint32_t home = (uint32_t)(word >> PARTITION_BITS) & mask;
        if (((at - home) & mask) < ((at - hole) & mask))
            continue; /* it lies between the hole and where it belongs */
        slot_put(&slots[hole], word);
        hole = at;
    }
    slot_put(&slots[hole], 0);
}

void directory_release(directory *directory, directory_kind kind, const char *text, size_t length, uint32_t partition)
{
    if (directory->core_count <= 1)
        return;
    name name = name_of(directory, kind, text, length);
    table *table = &directory->shared->tables[name.table];
    lock(table);
    uint32_t level = level_of(table), at;
    slot *slots = slots_of(directory, name.table, level);
    uint64_t word = probe(slots, level, name.tag, &at);
    if (word != 0 && directory_core(directory, (uint32_t)word & (DIRECTORY_PARTITIONS - 1)) == directory_core(directory, partition)) {
        change_begin(table);
        take_out(slots, level, at);
        change_end(table);
        atomic_fetch_sub_explicit(&table->used, 1, memory_order_relaxed);
    }
    unlock(table);
}

#include "core/index.h"

#include <assert.h>
#include <stdlib.h>

enum { CAPACITY_FIRST = 64 };
#define DEAD 0x00000000ffffffffu /* number + 1 is never 2^32 - 1 */

void index_fini(index_table *index)
{
    free(index->entries);
    *index = (index_table){ 0 };
}

static uint64_t entry_of(uint64_t hash, uint32_t number)
{
    return (hash & 0xffffffff00000000u) | (number + 1u);
}

static void place(index_table *index, uint64_t entry, uint32_t at)
{
    at &= index->mask;
    while (index->entries[at] != 0 && index->entries[at] != DEAD)
        at = (at + 1) & index->mask;
    if (index->entries[at] == 0)
        index->used++;
    index->entries[at] = entry;
    index->live++;
}

/* The place of an entry is its hash's upper half folded, so that growing needs no rows. */
static uint32_t home(uint64_t entry)
{
    uint64_t h = (entry >> 32) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32);
}

static dro_err grow(index_table *index)
{
    uint32_t capacity = CAPACITY_FIRST;
    while (capacity / 4 * 3 <= index->live + 1) {
        if (capacity >= 1u << 30)
            return DRO_LIMIT;
        capacity *= 2;
    }
    index_table larger = { .entries = calloc(capacity, sizeof(uint64_t)), .mask = capacity - 1 };
    if (larger.entries == NULL)
        return DRO_NOMEM;
    for (uint32_t i = 0; index->entries != NULL && i <= index->mask; i++)
        if (index->entries[i] != 0 && index->entries[i] != DEAD)
            place(&larger, index->entries[i], home(index->entries[i]));
    free(index->entries);
    *index = larger;
    return DRO_OK;
}

dro_err index_add(index_table *index, uint64_t hash, uint32_t number)
{
    assert(number < 0xfffffffeu);
    if (index->entries == NULL || (index->used + 1) > index->mask / 4 * 3) {
        dro_err err = grow(index);
        if (err != DRO_OK)
            return err;
    }
    uint64_t entry = entry_of(hash, number);
    place(index, entry, home(entry));
    return DRO_OK;
}

void index_remove(index_table *index, uint64_t hash, uint32_t number)
{
    if (index->entries == NULL)
        return;
    uint64_t entry = entry_of(hash, number);
    for (uint32_t at = home(entry) & index->mask; index->entries[at] != 0; at = (at + 1) & index->mask) {
        if (index->entries[at] != entry)
            continue;
        index->entries[at] = DEAD;
        index->live--;
        return;
    }
}

void index_prefetch(const index_table *index, uint64_t hash)
{
    if (index->entries != NULL)
        __builtin_prefetch(&index->entries[home(hash >> 32 << 32) & index->mask]);
}

bool index_next(const index_table *index, index_probe *probe, uint32_t *number)
{
    if (index->entries == NULL)
        return false;
    uint32_t tag = (uint32_t)(probe->hash >> 32);
    if (probe->steps == 0)
        probe->at = home((uint64_t)tag << 32) & index->mask;
    for (; probe->steps <= index->mask; probe->steps++) {
        uint64_t entry = index->entries[probe->at];
        if (entry == 0)
            return false;
        probe->at = (probe->at + 1) & index->mask;
        if (entry != DEAD && (uint32_t)(entry >> 32) == tag) {
            probe->steps++;
            *number = (uint32_t)entry - 1;
            return true;
        }
    }
    return false;
}

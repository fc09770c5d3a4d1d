#include "core/index.h"

#include <assert.h>

#include "base/pages.h"

enum { CAPACITY_FIRST_BITS = 9, CAPACITY_FIRST = 1 << CAPACITY_FIRST_BITS, HUGE_FROM = 2 * DRO_PAGES_HUGE };
#define DEAD 0x00000000ffffffffu /* number + 1 is never 2^32 - 1 */

static size_t table_bytes(const index_table *index)
{
    return ((size_t)index->mask + 1) * sizeof *index->entries;
}

void index_fini(index_table *index)
{
    dro_pages_free(index->entries, table_bytes(index));
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

/* The place of an entry is the upper end of its hash's upper half mixed: growing needs no rows, and
 * keeps the order. */
static uint32_t home(const index_table *index, uint64_t entry)
{
    uint64_t h = (entry >> 32) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32) >> index->shift;
}

/* For `count` entries and one more. */
static dro_err grow(index_table *index, uint32_t count)
{
    uint32_t capacity = CAPACITY_FIRST, shift = 32 - CAPACITY_FIRST_BITS;
    for (; capacity / 4 * 3 <= count + 1; capacity *= 2, shift--)
        if (capacity >= 1u << 30)
            return DRO_LIMIT;
    index_table larger = { .mask = capacity - 1, .shift = shift };
    larger.entries = dro_pages_new(table_bytes(&larger));
    if (larger.entries == NULL)
        return DRO_NOMEM;
    if (table_bytes(&larger) >= HUGE_FROM) {
        dro_pages_huge(larger.entries, table_bytes(&larger));
        dro_pages_soon(larger.entries, table_bytes(&larger));
    }
    for (uint32_t i = 0; index->entries != NULL && i <= index->mask; i++)
        if (index->entries[i] != 0 && index->entries[i] != DEAD)
            place(&larger, index->entries[i], home(&larger, index->entries[i]));
    index_fini(index);
    *index = larger;
    return DRO_OK;
}

void index_reserve(index_table *index, uint32_t count)
{
    bool has_room = index->entries != NULL && count < index->mask / 4 * 3;
    dro_err ignored = has_room ? DRO_OK : grow(index, count > index->live ? count : index->live);
    (void)ignored;
}

dro_err index_add(index_table *index, uint64_t hash, uint32_t number)
{
    assert(number < 0xfffffffeu);
    if (index->entries == NULL || (index->used + 1) > index->mask / 4 * 3) {
        dro_err err = grow(index, index->live);
        if (err != DRO_OK)
            return err;
    }
    uint64_t entry = entry_of(hash, number);
    place(index, entry, home(index, entry));
    return DRO_OK;
}

void index_remove(index_table *index, uint64_t hash, uint32_t number)
{
    if (index->entries == NULL)
        return;
    uint64_t entry = entry_of(hash, number);
    for (uint32_t at = home(index, entry); index->entries[at] != 0; at = (at + 1) & index->mask) {
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
        __builtin_prefetch(&index->entries[home(index, hash)]);
}

bool index_next(const index_table *index, index_probe *probe, uint32_t *number)
{
    if (index->entries == NULL)
        return false;
    uint32_t tag = (uint32_t)(probe->hash >> 32);
    if (probe->steps == 0)
        probe->at = home(index, probe->hash);
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

#include "core/duplicates.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "core/limits.h"

enum {
    CAPACITY_FIRST = 64,
    FORGET_AHEAD = 8, /* which of the oldest is fetched into the cache: it goes soon */
    TO_WRITE = 1,
};
_Static_assert((DUPLICATES_PER_HOST & (DUPLICATES_PER_HOST - 1)) == 0, "tables are masked");

duplicates *duplicates_new(uint32_t *held)
{
    duplicates *seen = calloc(1, sizeof *seen);
    if (seen != NULL)
        seen->held = held;
    return seen;
}

void duplicates_free(duplicates *seen)
{
    if (seen == NULL)
        return;
    *seen->held -= seen->capacity;
    free(seen->ring);
    free(seen->table);
    free(seen);
}

static uint32_t mask_of(const duplicates *seen)
{
    return 2 * seen->capacity - 1;
}

static uint32_t home_of(const duplicates *seen, uint32_t end_to_end)
{
    return (uint32_t)(dro_hash_mix(end_to_end, 0x5bd1e995u) >> 32) & mask_of(seen);
}

static uint32_t slot_of(const duplicates *seen, uint32_t end_to_end)
{
    uint32_t at = home_of(seen, end_to_end);
    while (seen->table[at].position != 0 && seen->table[at].end_to_end != end_to_end)
        at = (at + 1) & mask_of(seen);
    return at;
}

bool duplicates_find(const duplicates *seen, uint32_t end_to_end, uint32_t *result)
{
    if (seen == NULL || seen->capacity == 0)
        return false;
    uint32_t position = seen->table[slot_of(seen, end_to_end)].position;
    if (position == 0)
        return false;
    *result = seen->ring[position - 1].result;
    return true;
}

void duplicates_prefetch(const duplicates *seen, uint32_t end_to_end)
{
    if (seen != NULL && seen->capacity > 0)
        __builtin_prefetch(&seen->table[home_of(seen, end_to_end)], TO_WRITE);
}

/* Takes one out and closes the gap behind it (linear probing). */
static void forget(duplicates *seen, uint32_t position)
{
    uint32_t mask = mask_of(seen), hole = slot_of(seen, seen->ring[position].end_to_end);
    seen->table[hole].position = 0;
    for (uint32_t at = (hole + 1) & mask; seen->table[at].position != 0; at = (at + 1) & mask) {
        uint32_t home = home_of(seen, seen->table[at].end_to_end);
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        seen->table[hole] = seen->table[at];
        seen->table[at].position = 0;
        hole = at;
    }
}

static void add(duplicates *seen, uint32_t end_to_end, uint32_t result)
{
    uint32_t position = seen->next;
    if (seen->count == seen->capacity) {
        duplicates_prefetch(seen, seen->ring[(position + FORGET_AHEAD) % seen->capacity].end_to_end);
        forget(seen, position);
    } else {
        seen->count++;
    }
    seen->ring[position] = (duplicate){ end_to_end, result };
    seen->table[slot_of(seen, end_to_end)] = (duplicate_slot){ end_to_end, position + 1 };
    seen->next = (position + 1) % seen->capacity;
}

static bool may_grow(const duplicates *seen, uint32_t capacity)
{
    return capacity <= DUPLICATES_PER_HOST && (seen->capacity == 0 || *seen->held - seen->capacity + capacity <= DUPLICATES_MAX);
}

/* The same ids, oldest first, in twice the room. */
static bool grow(duplicates *seen)
{
    uint32_t capacity = seen->capacity == 0 ? CAPACITY_FIRST : 2 * seen->capacity;
    if (!may_grow(seen, capacity))
        return false;
    duplicates larger = { .held = seen->held, .capacity = capacity };
    larger.ring = calloc(capacity, sizeof *larger.ring);
    larger.table = calloc(2 * (size_t)capacity, sizeof *larger.table);
    if (larger.ring == NULL || larger.table == NULL) {
        free(larger.ring);
        free(larger.table);
        return false;
    }
    for (uint32_t n = 0; n < seen->count; n++) {
        const duplicate *known = &seen->ring[duplicates_nth(seen, n)];
        add(&larger, known->end_to_end, known->result);
    }
    *seen->held += capacity - seen->capacity;
    free(seen->ring);
    free(seen->table);
    seen->ring = larger.ring;
    seen->table = larger.table;
    seen->capacity = larger.capacity;
    seen->count = larger.count;
    seen->next = larger.next;
    return true;
}

dro_err duplicates_put(duplicates *seen, uint32_t end_to_end, uint32_t result)
{
    uint32_t known;
    if (duplicates_find(seen, end_to_end, &known))
        return DRO_OK;
    if (seen->count == seen->capacity && !grow(seen) && seen->capacity == 0)
        return DRO_NOMEM;
    add(seen, end_to_end, result);
    return DRO_OK;
}

static dro_err put_oldest(duplicates *seen)
{
    duplicate oldest = seen->waiting[seen->settled_count++ % DUPLICATES_WAITING];
    return duplicates_put(seen, oldest.end_to_end, oldest.result);
}

dro_err duplicates_put_later(duplicates *seen, uint32_t end_to_end, uint32_t result)
{
    dro_err err = seen->waiting_count - seen->settled_count == DUPLICATES_WAITING ? put_oldest(seen) : DRO_OK;
    duplicates_prefetch(seen, end_to_end);
    seen->waiting[seen->waiting_count++ % DUPLICATES_WAITING] = (duplicate){ end_to_end, result };
    return err;
}

dro_err duplicates_settle(duplicates *seen)
{
    dro_err err = DRO_OK;
    while (seen != NULL && err == DRO_OK && seen->settled_count != seen->waiting_count)
        err = put_oldest(seen);
    return err;
}

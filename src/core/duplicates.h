/* Duplicates: the newest End-to-End ids of one Origin-Host with the result each got
 * (RFC 6733, 3). Small at first; grows with what the host sends, up to
 * DUPLICATES_PER_HOST, as long as all together hold at most DUPLICATES_MAX. A host that may not
 * grow forgets its oldest earlier. A look-up comes with each uplink: the id lies beside its
 * position, so that one cache line does. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

typedef struct duplicate { uint32_t end_to_end, result; } duplicate;
typedef struct duplicate_slot { uint32_t end_to_end, position; } duplicate_slot; /* in the ring, + 1; 0: empty */

enum { DUPLICATES_WAITING = 8 };
typedef struct duplicates {
    uint32_t *held;              /* ids there is room for in all of the core; shared */
    duplicate *ring;             /* newest `count`, the oldest at `next` once it is full */
    duplicate_slot *table;       /* open addressing; twice the capacity */
    uint32_t capacity, count, next;
    uint32_t waiting_count;      /* ever; the newest DUPLICATES_WAITING of them at most are still to be put */
    uint32_t settled_count;
    duplicate waiting[DUPLICATES_WAITING];
} duplicates;

duplicates *duplicates_new(uint32_t *held);
void duplicates_free(duplicates *seen); /* NULL is fine */
/* Nothing when the id is there already. DRO_NOMEM: not even a first few fit. */
DRO_CHECKED dro_err duplicates_put(duplicates *seen, uint32_t end_to_end, uint32_t result);
/* The same for recovery, which puts millions and looks for none: a few puts later, when the id's place is in the
 * cache. duplicates_settle before anybody looks. */
DRO_CHECKED dro_err duplicates_put_later(duplicates *seen, uint32_t end_to_end, uint32_t result);
DRO_CHECKED dro_err duplicates_settle(duplicates *seen); /* NULL is fine */
bool duplicates_find(const duplicates *seen, uint32_t end_to_end, uint32_t *result);
/* Has what duplicates_find will look at fetched into the cache. */
void duplicates_prefetch(const duplicates *seen, uint32_t end_to_end);
/* Position of the n-th oldest. */
static inline uint32_t duplicates_nth(const duplicates *seen, uint32_t n)
{
    return (seen->next + seen->capacity - seen->count + n) % seen->capacity;
}

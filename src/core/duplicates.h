/* Duplicates: the newest End-to-End ids of one Origin-Host with the result each got
 * (RFC 6733, 3). Small at first; grows with what the host sends, up to
 * DUPLICATES_PER_HOST, as long as all together hold at most DUPLICATES_MAX. A host that may not
 * grow forgets its oldest earlier. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

typedef struct duplicates {
    uint32_t *held;              /* ids there is room for in all of the core; shared */
    uint32_t *ring;              /* newest `count`, the oldest at `next` once it is full */
    uint32_t *results;
    uint32_t *table;             /* open addressing over the ring: position + 1; twice the capacity */
    uint32_t capacity, count, next;
} duplicates;

duplicates *duplicates_new(uint32_t *held);
void duplicates_free(duplicates *seen); /* NULL is fine */
/* Nothing when the id is there already. DRO_NOMEM: not even a first few fit. */
DRO_CHECKED dro_err duplicates_put(duplicates *seen, uint32_t end_to_end, uint32_t result);
bool duplicates_find(const duplicates *seen, uint32_t end_to_end, uint32_t *result);
/* Position of the n-th oldest. */
static inline uint32_t duplicates_nth(const duplicates *seen, uint32_t n)
{
    return (seen->next + seen->capacity - seen->count + n) % seen->capacity;
}

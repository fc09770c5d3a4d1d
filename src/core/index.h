/* Index: hash -> number of a row in somebody's table. Keeps 8 bytes an entry (the
 * upper hash half and the number); the caller compares the rows it gets. Entries lie in
 * the order of their hashes, so growing reads and writes memory from one end to the other. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

typedef struct index_table {
    uint64_t *entries;  /* hash's upper half << 32 | number + 1; 0: empty, 1 << 63 | 0: was there */
    uint32_t mask;      /* capacity - 1 */
    uint32_t shift;     /* 32 - log2(capacity) */
    uint32_t used;      /* live and dead entries */
    uint32_t live;
} index_table;

typedef struct index_probe { /* walks the numbers that may fit a hash */
    uint64_t hash;
    uint32_t at, steps;
} index_probe;

void index_fini(index_table *index);
DRO_CHECKED dro_err index_add(index_table *index, uint64_t hash, uint32_t number);
/* Room for that many in all without growing in between. A wish: less memory means that it grows later. */
void index_reserve(index_table *index, uint32_t count);
void index_remove(index_table *index, uint64_t hash, uint32_t number);
static inline index_probe index_begin(uint64_t hash)
{
    return (index_probe){ hash, (uint32_t)hash, 0 };
}
/* Has the first place to look at fetched into the cache. */
void index_prefetch(const index_table *index, uint64_t hash);
/* The next candidate, or false. */
bool index_next(const index_table *index, index_probe *probe, uint32_t *number);

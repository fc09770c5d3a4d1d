/* Owners: what each application has of one kind (NIDD configurations, ...), in the order it was made, so that a list of
 * it looks at no others. Numbers only: 8 bytes for each, at most as many again for those that are gone. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

typedef struct core core;

enum { OWNERS_BUCKETS = 256 };

typedef struct owner_list owner_list;
typedef struct owner_table {
    owner_list *buckets[OWNERS_BUCKETS]; /* by the application's number */
    bool (*is_there)(core *core, uint64_t number, uint32_t application); /* still, and its own */
} owner_table;

DRO_CHECKED dro_err owner_add(core *core, owner_table *table, uint32_t application, uint64_t number);
void owner_remove(owner_table *table, uint32_t application);
/* At the end of recovery: in order, without those that are gone. */
void owners_settle(core *core, owner_table *table);
/* The lowest number above `after` of one that has something here and is no application any more; 0: none is left. */
uint32_t owner_lost(core *core, const owner_table *table, uint32_t after);
uint64_t owner_rank(uint64_t number);  /* its place in the order; no two have the same */
/* The next one behind the rank `after` (0: the first) that is there; 0: none is left. */
uint64_t owner_next(core *core, owner_table *table, uint32_t application, uint64_t after);
void owners_fini(owner_table *table);

/* Duplicates (RFC 6733, 3): the newest End-to-End ids of each Origin-Host and what they
 * were answered. Looked up for each uplink, so all that a look-up needs is in one
 * place of the table: the id itself lies beside its position. */
#include <stdlib.h>

#include "base/hash.h"
#include "core/state.h"

enum {
    SLOTS = 2 * DUPLICATES_PER_HOST, /* open addressing, half full at most */
    FORGET_AHEAD = 8,                /* which of the oldest is fetched into the cache: it goes soon */
    TO_WRITE = 1,
};

static uint32_t home(uint32_t end_to_end)
{
    return (uint32_t)(dro_hash_mix(end_to_end, 0x5bd1e995u) >> 32) & (SLOTS - 1);
}

duplicates *duplicates_new(void)
{
    duplicates *seen = calloc(1, sizeof *seen);
    if (seen == NULL)
        return NULL;
    seen->ring = malloc(DUPLICATES_PER_HOST * sizeof *seen->ring);
    seen->table = calloc(SLOTS, sizeof *seen->table);
    if (seen->ring != NULL && seen->table != NULL)
        return seen;
    duplicates_free(seen);
    return NULL;
}

void duplicates_free(duplicates *seen)
{
    if (seen == NULL)
        return;
    free(seen->ring);
    free(seen->table);
    free(seen);
}

/* Where it is, or the empty slot where it would be. */
static uint32_t slot_of(const duplicates *seen, uint32_t end_to_end)
{
    uint32_t at = home(end_to_end);
    while (seen->table[at].position != 0 && seen->table[at].end_to_end != end_to_end)
        at = (at + 1) & (SLOTS - 1);
    return at;
}

bool duplicate_find(const core *core, uint16_t host, uint32_t end_to_end, uint32_t *result)
{
    const duplicates *seen = core->hosts[host].seen;
    if (seen == NULL)
        return false;
    uint32_t position = seen->table[slot_of(seen, end_to_end)].position;
    if (position == 0)
        return false;
    *result = seen->ring[position - 1].result;
    return true;
}

void duplicate_prefetch(const core *core, uint16_t host, uint32_t end_to_end)
{
    const duplicates *seen = core->hosts[host].seen;
    if (seen != NULL)
        __builtin_prefetch(&seen->table[home(end_to_end)], TO_WRITE);
}

/* Takes one out and closes the gap behind it (linear probing). */
static void forget(duplicates *seen, uint32_t position)
{
    uint32_t hole = slot_of(seen, seen->ring[position].end_to_end);
    seen->table[hole].position = 0;
    for (uint32_t at = (hole + 1) & (SLOTS - 1); seen->table[at].position != 0; at = (at + 1) & (SLOTS - 1)) {
        if (((at - home(seen->table[at].end_to_end)) & (SLOTS - 1)) < ((at - hole) & (SLOTS - 1)))
            continue;
        seen->table[hole] = seen->table[at];
        seen->table[at].position = 0;
        hole = at;
    }
}

dro_err duplicate_add(core *core, uint16_t host, uint32_t end_to_end, uint32_t result)
{
    struct host *of = &core->hosts[host];
    if (of->seen == NULL && (of->seen = duplicates_new()) == NULL)
        return DRO_NOMEM;
    duplicates_put(of->seen, end_to_end, result);
    return DRO_OK;
}

void duplicates_put(duplicates *seen, uint32_t end_to_end, uint32_t result)
{
    uint32_t slot = slot_of(seen, end_to_end);
    if (seen->table[slot].position != 0)
        return;
    uint32_t position = seen->next;
    if (seen->count == DUPLICATES_PER_HOST) {
        uint32_t soon = seen->ring[(position + FORGET_AHEAD) % DUPLICATES_PER_HOST].end_to_end;
        __builtin_prefetch(&seen->table[home(soon)], TO_WRITE);
        forget(seen, position);
        slot = slot_of(seen, end_to_end);
    } else {
        seen->count++;
    }
    seen->ring[position] = (duplicate){ end_to_end, result };
    seen->table[slot] = (duplicate_slot){ end_to_end, position + 1 };
    seen->next = (position + 1) % DUPLICATES_PER_HOST;
}

#include "core/shares.h"

#include <string.h>

void shares_init(share_table *table, const uint32_t *weights, uint32_t count, bool is_on)
{
    *table = (share_table){ .count = count, .is_on = is_on };
    for (uint32_t i = 0; i < count; i++)
        table->of[i] = (share){ .weight = weights[i], .typical_ns = SHARE_FIRST_NS };
}

static uint64_t by_weight(const share *share, uint64_t cpu_ns)
{
    return cpu_ns * 100 / share->weight;
}

static uint64_t in_cell_ns(const share *share)
{
    return share->given * share->typical_ns;
}


/* The least `spent` of those that want, but for one. UINT64_MAX: there is no other. */
static uint64_t least_of_others(const share_table *table, uint32_t but)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < table->count; i++)
        if (i != but && table->of[i].wants && table->of[i].spent < least)
            least = table->of[i].spent;
    return least;
}

bool share_lets(const share_table *table, uint32_t cell)
{
    const share *share = &table->of[cell];
    if (!table->is_on)
        return true;
    uint64_t given_ns = in_cell_ns(share);
    if (share->given > 0 && given_ns >= SHARE_QUANTUM_NS) /* what is in a cell cannot be taken back */
        return false;
    if (table->wanting <= share->wants)
        return true;
    return share->spent + by_weight(share, given_ns) < least_of_others(table, cell) + by_weight(share, SHARE_QUANTUM_NS);
}

/* One that could be given turns and is not is down, or has not the code. */
static bool wants(const share_table *table, uint32_t cell, int64_t now_ns)
{
    const share *share = &table->of[cell];
    bool is_used = share->given > 0 ? now_ns - share->heard_ns < SHARE_SILENT_NS : !share_lets(table, cell);
    return is_used && (share->given + share->waiting) * share->typical_ns >= SHARE_WANTS_NS;
}

void shares_look(share_table *table, int64_t now_ns)
{
    uint64_t most = 0;
    if (!table->is_on)
        return;
    table->wanting = 0;
    for (uint32_t i = 0; i < table->count; i++) {
        share *share = &table->of[i];
        bool wanted = share->wants;
        share->wants = wants(table, i, now_ns);
        if (share->wants && !wanted && share->spent < table->level)
            share->spent = table->level; /* what it left to others is theirs */
        table->wanting += share->wants;
        most = share->spent > most ? share->spent : most;
    }
    uint64_t least = table->wanting > 0 ? least_of_others(table, UINT32_MAX) : most; /* nobody wants: nobody owes either */
    table->level = least > table->level ? least : table->level;
}

void share_give(share_table *table, uint32_t cell, int64_t now_ns)
{
    share *share = &table->of[cell];
    if (share->given++ == 0)
        share->heard_ns = now_ns;
}

/* Up soon: turns that got longer are in the cell by the hundred. Down slowly, so that a few short ones between do not hide the long ones. */
static void learn(share *share, uint64_t cpu_ns)
{
    if (cpu_ns < SHARE_TURN_LEAST_NS)
        cpu_ns = SHARE_TURN_LEAST_NS;
    if (cpu_ns > share->typical_ns)
        share->typical_ns += (cpu_ns - share->typical_ns + 7) / 8;
    else
        share->typical_ns -= (share->typical_ns - cpu_ns) / 32;
}

void share_take(share_table *table, uint32_t cell, uint64_t cpu_ns, int64_t now_ns)
{
    share *share = &table->of[cell];
    share->given -= share->given > 0;
    share->heard_ns = now_ns;
    share->cpu_ns += cpu_ns;
    if (table->count == 1)
        return;
    learn(share, cpu_ns);
    if (table->is_on)
        share->spent += by_weight(share, cpu_ns);
}

void share_lose(share_table *table, uint32_t cell, uint32_t turns)
{
    share *share = &table->of[cell];
    share->given -= turns < share->given ? turns : share->given;
}

bool share_is_quick(const share_table *table, uint32_t cell, int64_t now_ns)
{
    const share *share = &table->of[cell];
    bool is_heard = share->given > 0 && now_ns - share->heard_ns < SHARE_QUICK_NS;
    return is_heard && share_lets(table, cell) && (share->given + share->waiting) * share->typical_ns < SHARE_QUICK_NS;
}

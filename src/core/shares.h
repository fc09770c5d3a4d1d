/* Shares: which of a core's cells are handed turns while several want more CPU than there is (docs/decisions/051.md).
 * Arithmetic alone: it knows of turns given to a cell, of the CPU time they took, and of the clock.
 *
 * A cell's `spent` is its CPU time by its share. One that is ahead of another that wants CPU too is given no more
 * than SHARE_QUANTUM_NS beyond it; so while two want, each has its share to within a quantum. Nobody is held
 * back for one that does not want, or does not use, what is left to it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    SHARE_CELLS_MAX = 32,
    SHARE_QUANTUM_NS = 10 * 1000 * 1000, /* CPU time in turns that a cell was given, or is ahead */
    SHARE_WANTS_NS = 200 * 1000,         /* of it in turns that it has: with less a cell waits for turns rather than for the CPU */
    SHARE_SILENT_NS = 250 * 1000 * 1000, /* without a result: it does not use what is left to it; nobody waits for it. A turn to its deadline takes 50 ms on a busy machine */
    SHARE_QUICK_NS = 20 * 1000 * 1000,   /* what it has will be done in, if it is no slower than before */
    SHARE_FIRST_NS = 1000 * 1000,        /* a turn's cost before the first was measured: as much as it may be */
    SHARE_TURN_LEAST_NS = 1000,
};

typedef struct share {
    uint32_t weight;             /* per cent */
    uint32_t given;              /* turns in the cell */
    uint32_t waiting;            /* that it could be given; whoever keeps them counts them here */
    uint64_t typical_ns;         /* of a turn, smoothed: up soon, down slowly */
    uint64_t spent;              /* ns of CPU * 100 / weight, counted from where the others were when it began to want */
    uint64_t cpu_ns;             /* all that it ever used */
    int64_t heard_ns;            /* its newest result, or when it was given turns while it had none */
    bool wants;
} share;

typedef struct share_table {
    share of[SHARE_CELLS_MAX];
    uint32_t count, wanting;
    uint64_t level;              /* where one that begins to want begins */
    bool is_on;
} share_table;

/* `weights` of count cells; off: nothing is ever held back, and only what was used is counted. */
void shares_init(share_table *table, const uint32_t *weights, uint32_t count, bool is_on);
/* At the beginning of each round, before results are taken. */
void shares_look(share_table *table, int64_t now_ns);
/* May the cell be given another turn? */
bool share_lets(const share_table *table, uint32_t cell);
void share_give(share_table *table, uint32_t cell, int64_t now_ns);
void share_take(share_table *table, uint32_t cell, uint64_t cpu_ns, int64_t now_ns); /* its result */
/* Its cell was lost, or replaced, with turns that count no longer. */
void share_lose(share_table *table, uint32_t cell, uint32_t turns);
/* Will it have done all that it has, and what waits for it, in a moment? */
bool share_is_quick(const share_table *table, uint32_t cell, int64_t now_ns);

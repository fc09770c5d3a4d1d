#include "core/board.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    MAGIC = 0x31425244, /* "DRB1" */
    COPIES_MAX = 1000,  /* of tables that change while they are copied */
};

enum question_state { QUESTION_NONE, QUESTION_ASKED, QUESTION_ANSWERED };

typedef struct board_core { /* written by its core; the answer by core 0 */
    _Atomic uint32_t state;
    uint32_t question, length;
    int32_t answer;
    uint8_t text[BOARD_QUESTION_MAX];
    _Atomic uint32_t is_moved;
    uint32_t reserved;
    _Atomic uint64_t counters[BOARD_COUNTERS];
    struct { _Atomic uint64_t twins, turns, traps[BOARD_TRAPS]; } images[BOARD_IMAGES];
    struct { _Atomic uint32_t window, twins, killers, failures; } strikes[BOARD_IMAGES];
    _Atomic uint32_t strikes_put, strikes_seen; /* how often; the second is core 0's */
    struct { _Atomic uint64_t configurations, downlinks; } usage[BOARD_USAGE]; /* downlinks: day << 32 | of that day */
    _Atomic uint64_t groups[BOARD_GROUPS]; /* number << 32 | members */
    _Atomic uint64_t repeated[BOARD_GROUPS]; /* the same of names that an HSS repeated */
    struct { _Atomic uint32_t number, counts[BOARD_GROUP_STATES]; } operations[BOARD_GROUP_OPERATIONS];
    struct { _Atomic uint64_t twins, state; } domains[BOARD_DOMAINS];
    _Atomic uint64_t cells[BOARD_CELLS][BOARD_CELL_COUNTS];
    dro_latency latencies[BOARD_LATENCIES];
} board_core;

struct board_shared {
    uint32_t magic, count;
    _Atomic uint32_t is_started;
    log_epoch epoch;
    generations generations;
    _Atomic uint64_t version;
    uint64_t lengths[2];    /* of the two newest versions, by version % 2 */
    board_core cores[BOARD_CORES_MAX];
    uint8_t tables[2][BOARD_TABLES_MAX];
};

size_t board_bytes(uint32_t core_count)
{
    return core_count <= 1 ? 0 : (sizeof(board_shared) + 4095) & ~(size_t)4095;
}

dro_err board_format(void *memory, uint32_t core_count)
{
    assert(core_count >= 2 && core_count <= BOARD_CORES_MAX && (uintptr_t)memory % 4096 == 0);
    if (madvise(memory, board_bytes(core_count), MADV_REMOVE) != 0)
        return DRO_IO;
    board_shared *shared = memory;
    shared->magic = MAGIC;
    shared->count = core_count;
    return DRO_OK;
}

dro_err board_open(board *board, void *memory, uint32_t index, uint32_t count)
{
    *board = (struct board){ memory, index, count };
    return board->shared->magic == MAGIC && board->shared->count == count && index < count ? DRO_OK : DRO_CORRUPT;
}

/* ---- the start ---- */

void board_start(board *board, const log_epoch *epoch, const generations *generations)
{
    board->shared->epoch = *epoch;
    board->shared->generations = *generations;
    atomic_store_explicit(&board->shared->is_started, 1, memory_order_release);
}

bool board_started(const board *board, log_epoch *epoch, generations *generations)
{
    if (atomic_load_explicit(&board->shared->is_started, memory_order_acquire) == 0)
        return false;
    *epoch = board->shared->epoch;
    *generations = board->shared->generations;
    return true;
}

/* ---- the host's tables ---- */

/* Two copies: while one is read the next version goes to the other. */
dro_err board_tables_put(board *board, const void *bytes, size_t length)
{
    if (length > BOARD_TABLES_MAX)
        return DRO_LIMIT;
    uint64_t version = atomic_load_explicit(&board->shared->version, memory_order_relaxed) + 1;
    memcpy(board->shared->tables[version % 2], bytes, length);
    board->shared->lengths[version % 2] = length;
    atomic_store_explicit(&board->shared->version, version, memory_order_release);
    return DRO_OK;
}

uint64_t board_tables_version(const board *board)
{
    return atomic_load_explicit(&board->shared->version, memory_order_acquire);
}

dro_err board_tables_get(const board *board, uint8_t **bytes, size_t *length, uint64_t *version)
{
    for (int i = 0; i < COPIES_MAX; i++) {
        *version = board_tables_version(board);
        *length = board->shared->lengths[*version % 2];
        if (*length > BOARD_TABLES_MAX) /* being written */
            continue;
        *bytes = malloc(*length + 1);
        if (*bytes == NULL)
            return DRO_NOMEM;
        memcpy(*bytes, board->shared->tables[*version % 2], *length);
        /* It is written over only for the version after the next one. Adding nothing, unlike a load,
         * is not done before the copying. */
        if (atomic_fetch_add_explicit(&board->shared->version, 0, memory_order_acq_rel) == *version)
            return DRO_OK;
        free(*bytes);
        *bytes = NULL;
    }
    return DRO_AGAIN;
}

/* ---- questions ---- */

bool board_ask(board *board, uint32_t question, const void *text, size_t length)
{
    board_core *mine = &board->shared->cores[board->index];
    if (length > BOARD_QUESTION_MAX || atomic_load_explicit(&mine->state, memory_order_acquire) != QUESTION_NONE)
        return false;
    mine->question = question;
    mine->length = (uint32_t)length;
    memcpy(mine->text, text, length);
    atomic_store_explicit(&mine->state, QUESTION_ASKED, memory_order_release);
    return true;
}

uint32_t board_asked(const board *board, uint32_t core, void *text, size_t *length)
{
    const board_core *theirs = &board->shared->cores[core];
    if (atomic_load_explicit(&theirs->state, memory_order_acquire) != QUESTION_ASKED || theirs->length > BOARD_QUESTION_MAX)
        return 0;
    *length = theirs->length;
    memcpy(text, theirs->text, *length);
    return theirs->question;
}

void board_answer(board *board, uint32_t core, dro_err err)
{
    board_core *theirs = &board->shared->cores[core];
    theirs->answer = (int32_t)err;
    atomic_store_explicit(&theirs->state, QUESTION_ANSWERED, memory_order_release);
}

bool board_answered(board *board, dro_err *err)
{
    board_core *mine = &board->shared->cores[board->index];
    if (atomic_load_explicit(&mine->state, memory_order_acquire) != QUESTION_ANSWERED)
        return false;
    *err = (dro_err)mine->answer;
    atomic_store_explicit(&mine->state, QUESTION_NONE, memory_order_relaxed);
    return true;
}

/* ---- old generations ---- */

void board_moved(board *board)
{
    atomic_store_explicit(&board->shared->cores[board->index].is_moved, 1, memory_order_release);
}

bool board_all_moved(const board *board)
{
    for (uint32_t i = 0; i < board->count; i++)
        if (atomic_load_explicit(&board->shared->cores[i].is_moved, memory_order_acquire) == 0)
            return false;
    return true;
}

/* ---- counters ---- */

void board_count(board *board, uint32_t counter, uint64_t value)
{
    atomic_store_explicit(&board->shared->cores[board->index].counters[counter], value, memory_order_relaxed);
}

void board_count_image(board *board, uint32_t image, uint32_t twins, uint64_t turns, const uint64_t traps[BOARD_TRAPS])
{
    board_core *mine = &board->shared->cores[board->index];
    atomic_store_explicit(&mine->images[image].twins, twins, memory_order_relaxed);
    atomic_store_explicit(&mine->images[image].turns, turns, memory_order_relaxed);
    for (int i = 0; i < BOARD_TRAPS; i++)
        atomic_store_explicit(&mine->images[image].traps[i], traps[i], memory_order_relaxed);
}

void board_strikes_put(board *board, uint32_t image, const board_strikes *strikes)
{
    board_core *mine = &board->shared->cores[board->index];
    atomic_store_explicit(&mine->strikes[image].twins, strikes->twins, memory_order_relaxed);
    atomic_store_explicit(&mine->strikes[image].killers, strikes->killers, memory_order_relaxed);
    atomic_store_explicit(&mine->strikes[image].failures, strikes->failures, memory_order_relaxed);
    atomic_store_explicit(&mine->strikes[image].window, strikes->window, memory_order_release);
    atomic_fetch_add_explicit(&mine->strikes_put, 1, memory_order_release);
}

/* Some of it may be of the put after: it is more, then. */
board_strikes board_strikes_of(const board *board, uint32_t core, uint32_t image)
{
    const board_core *theirs = &board->shared->cores[core];
    board_strikes strikes = { .window = atomic_load_explicit(&theirs->strikes[image].window, memory_order_acquire) };
    strikes.twins = atomic_load_explicit(&theirs->strikes[image].twins, memory_order_relaxed);
    strikes.killers = atomic_load_explicit(&theirs->strikes[image].killers, memory_order_relaxed);
    strikes.failures = atomic_load_explicit(&theirs->strikes[image].failures, memory_order_relaxed);
    return strikes;
}

bool board_strikes_are_new(board *board)
{
    bool are_new = false;
    for (uint32_t i = 1; i < board->count; i++) {
        board_core *theirs = &board->shared->cores[i];
        uint32_t put = atomic_load_explicit(&theirs->strikes_put, memory_order_acquire);
        are_new |= put != atomic_load_explicit(&theirs->strikes_seen, memory_order_relaxed);
        atomic_store_explicit(&theirs->strikes_seen, put, memory_order_relaxed);
    }
    return are_new;
}

void board_usage_put(board *board, uint32_t slot, uint32_t configurations, uint64_t downlinks)
{
    board_core *mine = &board->shared->cores[board->index];
    atomic_store_explicit(&mine->usage[slot].configurations, configurations, memory_order_relaxed);
    atomic_store_explicit(&mine->usage[slot].downlinks, downlinks, memory_order_relaxed);
}

uint64_t board_usage_configurations(const board *board, uint32_t slot)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < board->count; i++)
        if (i != board->index)
            sum += atomic_load_explicit(&board->shared->cores[i].usage[slot].configurations, memory_order_relaxed);
    return sum;
}

uint64_t board_usage_downlinks(const board *board, uint32_t slot, uint32_t day)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < board->count; i++) {
        uint64_t told = i != board->index ? atomic_load_explicit(&board->shared->cores[i].usage[slot].downlinks, memory_order_relaxed) : 0;
        sum += told >> 32 == day ? told & UINT32_MAX : 0;
    }
    return sum;
}

void board_domain_twins(board *board, uint32_t domain, uint32_t twins)
{
    atomic_store_explicit(&board->shared->cores[board->index].domains[domain].twins, twins, memory_order_relaxed);
}

void board_domain_state(board *board, uint32_t domain, uint64_t state)
{
    atomic_store_explicit(&board->shared->cores[board->index].domains[domain].state, state, memory_order_release);
}

uint64_t board_domain_twins_of_others(const board *board, uint32_t domain)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < board->count; i++)
        if (i != board->index)
            sum += atomic_load_explicit(&board->shared->cores[i].domains[domain].twins, memory_order_relaxed);
    return sum;
}

uint64_t board_domain_state_of(const board *board, uint32_t core, uint32_t domain)
{
    return atomic_load_explicit(&board->shared->cores[core].domains[domain].state, memory_order_acquire);
}

dro_latency *board_latencies(const board *board, uint32_t core)
{
    return board->shared->cores[core].latencies;
}

uint64_t board_count_of(const board *board, uint32_t core, uint32_t counter)
{
    return atomic_load_explicit(&board->shared->cores[core].counters[counter], memory_order_relaxed);
}

uint64_t board_counted(const board *board, uint32_t counter)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < board->count; i++)
        if (i != board->index)
            sum += atomic_load_explicit(&board->shared->cores[i].counters[counter], memory_order_relaxed);
    return sum;
}

void board_cell_put(board *board, uint32_t cell, enum board_cell_count what, uint64_t value)
{
    atomic_store_explicit(&board->shared->cores[board->index].cells[cell][what], value, memory_order_relaxed);
}

uint64_t board_cell_counted(const board *board, uint32_t cell, enum board_cell_count what)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < board->count; i++)
        if (i != board->index)
            sum += atomic_load_explicit(&board->shared->cores[i].cells[cell][what], memory_order_relaxed);
    return sum;
}

uint64_t board_counted_twins(const board *board, uint32_t image)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < board->count; i++)
        if (i != board->index)
            sum += atomic_load_explicit(&board->shared->cores[i].images[image].twins, memory_order_relaxed);
    return sum;
}

uint64_t board_counted_turns(const board *board, uint32_t image)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < board->count; i++)
        if (i != board->index)
            sum += atomic_load_explicit(&board->shared->cores[i].images[image].turns, memory_order_relaxed);
    return sum;
}

uint64_t board_counted_traps(const board *board, uint32_t image, uint32_t trap)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < board->count; i++)
        if (i != board->index)
            sum += atomic_load_explicit(&board->shared->cores[i].images[image].traps[trap], memory_order_relaxed);
    return sum;
}

/* ---- groups ---- */

void board_group_put(board *board, uint32_t slot, uint32_t number, uint32_t members, uint32_t repeated)
{
    if (board->shared == NULL)
        return;
    atomic_store_explicit(&board->shared->cores[board->index].groups[slot], (uint64_t)number << 32 | members, memory_order_relaxed);
    atomic_store_explicit(&board->shared->cores[board->index].repeated[slot], (uint64_t)number << 32 | repeated, memory_order_relaxed);
}

uint64_t board_group_repeated(const board *board, uint32_t slot, uint32_t number)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < board->count; i++) {
        uint64_t word = atomic_load_explicit(&board->shared->cores[i].repeated[slot], memory_order_relaxed);
        if (i != board->index && word >> 32 == number)
            sum += (uint32_t)word;
    }
    return sum;
}

uint64_t board_group_members(const board *board, uint32_t cores, uint32_t slot, uint32_t number)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < board->count; i++) {
        uint64_t word = atomic_load_explicit(&board->shared->cores[i].groups[slot], memory_order_relaxed);
        if (i != board->index && cores >> i & 1 && word >> 32 == number)
            sum += (uint32_t)word;
    }
    return sum;
}

/* A reader may see some counts of now and some of the round before: they are for people. */
void board_operation_put(board *board, uint32_t slot, uint32_t number, const uint32_t *counts, uint32_t count)
{
    if (board->shared == NULL)
        return;
    board_core *mine = &board->shared->cores[board->index];
    for (uint32_t i = 0; i < count; i++)
        atomic_store_explicit(&mine->operations[slot].counts[i], counts[i], memory_order_relaxed);
    atomic_store_explicit(&mine->operations[slot].number, number, memory_order_release);
}

uint32_t board_operation_add(const board *board, uint32_t slot, uint32_t number, uint32_t *counts, uint32_t count)
{
    uint32_t missing = 0;
    for (uint32_t i = 0; i < board->count; i++) {
        const board_core *theirs = &board->shared->cores[i];
        if (i == board->index)
            continue;
        if (atomic_load_explicit(&theirs->operations[slot].number, memory_order_acquire) != number) {
            missing |= 1u << i;
            continue;
        }
        for (uint32_t state = 0; state < count; state++)
            counts[state] += atomic_load_explicit(&theirs->operations[slot].counts[state], memory_order_relaxed);
    }
    return missing;
}

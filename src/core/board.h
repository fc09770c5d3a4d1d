/* Board: what the cores of one host share, in memory no other room has. Core 0 writes the host's own
 * tables, whole, as version after version; the others copy the newest when they see that there is one.
 * Each core asks core 0 for what is new in them, one question at a time, and shows its counters.
 *
 * Nothing is locked: each word has one writer. A core that dies takes all with it, and the board is
 * formatted anew. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/latency.h"
#include "store/commit_log.h"
#include "store/generations.h"

enum {
    BOARD_CORES_MAX = 16,
    BOARD_QUESTION_MAX = 512,
    BOARD_TABLES_MAX = 72 * 1024 * 1024, /* the host's file and the keys' */
};

size_t board_bytes(uint32_t core_count); /* of a shared mapping, sparse */
/* Makes an empty one of zeroed or used memory. Only while nobody uses it. */
DRO_CHECKED dro_err board_format(void *memory, uint32_t core_count);

typedef struct board_shared board_shared;
typedef struct board { board_shared *shared; uint32_t index, count; } board;
/* DRO_CORRUPT: no board for so many cores. */
DRO_CHECKED dro_err board_open(board *board, void *memory, uint32_t index, uint32_t count);

/* ---- the start ---- */

/* Core 0 says that the others may go on, after its first board_tables_put. */
void board_start(board *board, const log_epoch *epoch, const generations *generations);
/* False: not yet. */
bool board_started(const board *board, log_epoch *epoch, generations *generations);

/* ---- the host's tables ---- */

/* Core 0: a new version. It is there for all before anything that comes after the return. */
DRO_CHECKED dro_err board_tables_put(board *board, const void *bytes, size_t length);
uint64_t board_tables_version(const board *board); /* 0: none yet */
/* Copies the newest version; the caller frees it. */
DRO_CHECKED dro_err board_tables_get(const board *board, uint8_t **bytes, size_t *length, uint64_t *version);

/* ---- questions ---- */

enum board_question { BOARD_DOMAIN = 1, BOARD_HOST_NAME = 2 };
/* False: the question before is not answered yet. */
bool board_ask(board *board, uint32_t question, const void *text, size_t length);
/* Core 0: the next question of `core`; 0: none. `text` has BOARD_QUESTION_MAX. */
uint32_t board_asked(const board *board, uint32_t core, void *text, size_t *length);
void board_answer(board *board, uint32_t core, dro_err err);
/* True once: the answer is there. */
bool board_answered(board *board, dro_err *err);

/* ---- old generations ---- */

void board_moved(board *board); /* this core needs none of the old logs any more */
bool board_all_moved(const board *board);

/* ---- counters ---- */

enum { BOARD_COUNTERS = 96, BOARD_IMAGES = 256, BOARD_TRAPS = 16 };
void board_count(board *board, uint32_t counter, uint64_t value);
void board_count_image(board *board, uint32_t image, uint32_t twins, uint64_t turns, const uint64_t traps[BOARD_TRAPS]);
/* What of an image's turns failed in a window of time (core/conduct.h). Of a window that is over nothing counts. */
typedef struct board_strikes { uint32_t window, twins, killers, failures; } board_strikes;
void board_strikes_put(board *board, uint32_t image, const board_strikes *strikes);
board_strikes board_strikes_of(const board *board, uint32_t core, uint32_t image);
bool board_strikes_are_new(board *board); /* core 0: some core has put more since it asked last */
/* What applications use, by slot; of the other cores, today's downlinks only. */
enum { BOARD_USAGE = 4096 };
void board_usage_put(board *board, uint32_t slot, uint32_t configurations, uint64_t downlinks);
uint64_t board_usage_configurations(const board *board, uint32_t slot);
uint64_t board_usage_downlinks(const board *board, uint32_t slot, uint32_t day);
/* Members of groups and counts of groups' operations, by slot; a number says whose they are. */
enum { BOARD_GROUPS = 4096, BOARD_GROUP_OPERATIONS = 256, BOARD_GROUP_STATES = 24 };
void board_group_put(board *board, uint32_t slot, uint32_t number, uint32_t members, uint32_t repeated);
uint64_t board_group_repeated(const board *board, uint32_t slot, uint32_t number); /* of the other cores */
void board_operation_put(board *board, uint32_t slot, uint32_t number, const uint32_t *counts, uint32_t count);
/* Of the other cores; `cores`: bits of those that count. */
uint64_t board_group_members(const board *board, uint32_t cores, uint32_t slot, uint32_t number);
/* Bits of the other cores that did not show this operation yet. */
uint32_t board_operation_add(const board *board, uint32_t slot, uint32_t number, uint32_t *counts, uint32_t count);
/* Twins of a domain, and how far a core is with a change of its keys (core/rotation.c); by the domain's number. */
enum { BOARD_DOMAINS = 16384 };
void board_domain_twins(board *board, uint32_t domain, uint32_t twins);
void board_domain_state(board *board, uint32_t domain, uint64_t state);
uint64_t board_domain_twins_of_others(const board *board, uint32_t domain);
uint64_t board_domain_state_of(const board *board, uint32_t core, uint32_t domain);
/* What a core's cells cost and have to do. */
enum { BOARD_CELLS = 16 };
enum board_cell_count { BOARD_CELL_CPU_NS, BOARD_CELL_TURNS, BOARD_CELL_WAITING, BOARD_CELL_REFUSED, BOARD_CELL_PROBATION, BOARD_CELL_COUNTS };
void board_cell_put(board *board, uint32_t cell, enum board_cell_count what, uint64_t value);
uint64_t board_cell_counted(const board *board, uint32_t cell, enum board_cell_count what); /* of the other cores */
/* What a core measures lies here, where all may read it; only its own core writes. */
enum board_latency { BOARD_ROUND, BOARD_TURN_CPU, BOARD_LATENCIES };
dro_latency *board_latencies(const board *board, uint32_t core); /* [BOARD_LATENCIES] */
/* Sums over the other cores. */
uint64_t board_counted(const board *board, uint32_t counter);
uint64_t board_count_of(const board *board, uint32_t core, uint32_t counter);
uint64_t board_counted_twins(const board *board, uint32_t image);
uint64_t board_counted_turns(const board *board, uint32_t image);
uint64_t board_counted_traps(const board *board, uint32_t image, uint32_t trap);

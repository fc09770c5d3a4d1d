/* Aggregate: answers plain queries (desk/plain.h) in loops over columns, without
 * SQLite's row by row. What it answers is what SQLite would, up to the rounding of
 * sums of numbers; what it is not sure of it leaves to SQLite. */
#pragma once

#include "desk/answer.h"
#include "desk/view.h"

enum { AGGREGATE_GROUPS_MAX = 4096 };

/* *is_answered: `answer` has the columns and rows, up to the end of "rows". Errors
 * are those of rows_next; then nothing is answered. */
DRO_CHECKED dro_err aggregate_answer(view *view, const char *sql, size_t length, answer *answer, bool *is_answered);

/* Range: a comparison of a column with a number, as an interval that a loop can
 * test without looking at types again. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/columns_read.h"

typedef struct range {
    union {
        struct { double low, high; } number;
        struct { int64_t low, high; } integer; /* also booleans: 0 and 1 */
    };
    bool is_empty; /* nothing matches */
} range;

typedef struct bound { /* what a column is compared with */
    int type;          /* SQLITE_INTEGER, FLOAT, TEXT, NULL or BLOB */
    int64_t integer;
    double number;
    const char *text;  /* borrowed */
    size_t length;
} bound;

bound bound_of(sqlite3_value *value);

/* The values of a column of this kind that SQLite would keep under `op`
 * (SQLITE_INDEX_CONSTRAINT_EQ, LT, LE, GT, GE) `against`. False: no interval says it. */
bool range_make(range *out, value_kind kind, unsigned char op, const bound *against);

/* Keeps those of rows[first .. row_count - 1] whose value is set and in the range. */
void range_keep(const range *range, value_kind kind, const void *values, const uint16_t *states, columns_batch *batch,
                uint32_t first);

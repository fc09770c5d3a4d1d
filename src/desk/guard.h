/* Guard: what a query may do, and for how long. */
#pragma once

#include <sqlite3.h>

#include "base/clock.h"
#include "desk/view.h"

enum {
    GUARD_EXPRESSION_DEPTH = 256,
    GUARD_COLUMNS = 1024,       /* of a table, result or GROUP BY */
    GUARD_COMPOUND_SELECTS = 64,
    GUARD_FUNCTION_ARGUMENTS = 64,
    GUARD_LIKE_PATTERN = 256,   /* bytes */
    GUARD_VALUE_BYTES = 128 * 1024, /* one text or row inside SQLite: bounds what a single step can take */
    GUARD_PROGRAM_STEPS = 250000,
    GUARD_TRIM_SET = 64,        /* characters that trim() takes off: it compares each of a text with all of them */
    GUARD_PROGRESS_STEPS = 50,  /* between two looks at a coarse clock; when it has moved, at the CPU's */
};

/* A file system for SQLite that has no files, and `clock` for 'now'. */
typedef struct guard_vfs {
    sqlite3_vfs vfs;
    dro_clock *clock;
} guard_vfs;
DRO_CHECKED dro_err guard_vfs_register(guard_vfs *vfs, dro_clock *clock);
void guard_vfs_unregister(guard_vfs *vfs);

/* Holds a view's connection to reading its tables. */
DRO_CHECKED dro_err guard_connection(view *view);

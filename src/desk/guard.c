#include "desk/guard.h"

#include <string.h>
#include <strings.h>

#include "desk/rows.h"

/* ---- the file system that is none ---- */

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
    (void)vfs;
    (void)name;
    (void)flags;
    (void)out_flags;
    file->pMethods = NULL;
    return SQLITE_CANTOPEN;
}

static int vfs_time(sqlite3_vfs *vfs, sqlite3_int64 *out)
{
    static const sqlite3_int64 unix_epoch = INT64_C(210866760000000); /* as a Julian day number in ms */
    dro_clock *clock = ((guard_vfs *)vfs)->clock;
    *out = unix_epoch + clock->wall_ms(clock);
    return SQLITE_OK;
}

static int vfs_time_in_days(sqlite3_vfs *vfs, double *out)
{
    sqlite3_int64 ms;
    int result = vfs_time(vfs, &ms);
    *out = (double)ms / 86400000.0;
    return result;
}

dro_err guard_vfs_register(guard_vfs *vfs, dro_clock *clock)
{
    const sqlite3_vfs *system = sqlite3_vfs_find(NULL);
    if (system == NULL)
        return DRO_UNSUPPORTED;
    vfs->vfs = *system;
    vfs->vfs.pNext = NULL;
    vfs->vfs.zName = "desk";
    vfs->vfs.xOpen = vfs_open;
    vfs->vfs.xCurrentTime = vfs_time_in_days;
    vfs->vfs.xCurrentTimeInt64 = vfs_time;
    vfs->clock = clock;
    return sqlite3_vfs_register(&vfs->vfs, 0) == SQLITE_OK ? DRO_OK : DRO_NOMEM;
}

void guard_vfs_unregister(guard_vfs *vfs)
{
    sqlite3_vfs_unregister(&vfs->vfs);
}

/* ---- what may be done ---- */

/* Sorted. Left out: what makes blobs, loads, changes, or looks at the connection. */
static const char *const functions[] = {
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "avg", "ceil", "ceiling", "char", "coalesce",
    "cos", "cosh", "count", "cume_dist", "current_date", "current_time", "current_timestamp", "date", "datetime",
    "degrees", "dense_rank", "exp", "first_value", "floor", "format", "glob", "group_concat", "hex", "ifnull", "iif",
    "instr", "julianday", "lag", "last_value", "lead", "length", "like", "likelihood", "likely", "ln", "log", "log10",
    "log2", "lower", "ltrim", "max", "min", "mod", "nth_value", "ntile", "nullif", "percent_rank", "pi", "pow",
    "power", "printf", "quote", "radians", "random", "rank", "replace", "round", "row_number", "rtrim", "sign", "sin",
    "sinh", "sqrt", "strftime", "substr", "substring", "sum", "tan", "tanh", "time", "total", "trim", "trunc", "typeof",
    "unicode", "unixepoch", "unlikely", "upper",
};

static bool is_function_allowed(const char *name)
{
    size_t low = 0, high = sizeof functions / sizeof functions[0];
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcasecmp(name, functions[middle]);
        if (order == 0)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

/* A row's number would tell how many rows of others are before it. A name read
 * without a column is also that of a subquery; what is neither that nor ours has
 * one of SQLite's reserved prefixes, since all other modules are dropped. */
static bool is_read_allowed(const view *view, const char *table, const char *column)
{
    if (table == NULL || column == NULL)
        return false;
    if (column[0] == '\0')
        return strncasecmp(table, "sqlite_", 7) != 0 && strncasecmp(table, "pragma_", 7) != 0;
    return strcmp(column, "ROWID") != 0 && view_find_table(view, table) != NULL;
}

static int authorize(void *context, int action, const char *first, const char *second, const char *database,
                     const char *inner)
{
    (void)database;
    const view *view = context;
    (void)database;
    (void)inner;
    if (view->is_declaring) /* SQLite's own steps while a table is declared */
        return SQLITE_OK;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_RECURSIVE: return SQLITE_OK;
    case SQLITE_READ: return is_read_allowed(view, first, second) ? SQLITE_OK : SQLITE_DENY;
    case SQLITE_FUNCTION: return second != NULL && is_function_allowed(second) ? SQLITE_OK : SQLITE_DENY;
    default: return SQLITE_DENY;
    }
}

static int on_progress(void *context)
{
    const view *view = context;
    return rows_cpu_ns() > view->limits->cpu_end_ns;
}

static void limits_set(sqlite3 *db)
{
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, GUARD_VALUE_BYTES);
    sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, GUARD_VALUE_BYTES * 2);
    sqlite3_limit(db, SQLITE_LIMIT_COLUMN, GUARD_COLUMNS);
    sqlite3_limit(db, SQLITE_LIMIT_EXPR_DEPTH, GUARD_EXPRESSION_DEPTH);
    sqlite3_limit(db, SQLITE_LIMIT_COMPOUND_SELECT, GUARD_COMPOUND_SELECTS);
    sqlite3_limit(db, SQLITE_LIMIT_VDBE_OP, GUARD_PROGRAM_STEPS);
    sqlite3_limit(db, SQLITE_LIMIT_FUNCTION_ARG, GUARD_FUNCTION_ARGUMENTS);
    sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(db, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, GUARD_LIKE_PATTERN);
    sqlite3_limit(db, SQLITE_LIMIT_VARIABLE_NUMBER, 1);
    sqlite3_limit(db, SQLITE_LIMIT_TRIGGER_DEPTH, 1);
    sqlite3_limit(db, SQLITE_LIMIT_WORKER_THREADS, 0);
}

dro_err guard_connection(view *view)
{
    static const int off[] = { SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, SQLITE_DBCONFIG_TRUSTED_SCHEMA,
                               SQLITE_DBCONFIG_DQS_DML, SQLITE_DBCONFIG_DQS_DDL, SQLITE_DBCONFIG_ENABLE_TRIGGER,
                               SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER };
    sqlite3 *db = view->db;
    if (sqlite3_exec(db, "pragma temp_store = memory; pragma query_only = on", NULL, NULL, NULL) != SQLITE_OK)
        return DRO_NOMEM;
    sqlite3_drop_modules(db, NULL);
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++)
        sqlite3_db_config(db, off[i], 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    limits_set(db);
    sqlite3_set_authorizer(db, authorize, view);
    sqlite3_progress_handler(db, GUARD_PROGRESS_STEPS, on_progress, view);
    return DRO_OK;
}

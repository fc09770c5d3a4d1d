#include "desk/guard.h"

#include <string.h>
#include <strings.h>
#include <time.h>

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

/* SQLite's own compare each character of a text with each of a set of any size, within one step. */
enum trim_ends { TRIM_LEFT = 1, TRIM_RIGHT = 2 };
static const int trim_left = TRIM_LEFT, trim_right = TRIM_RIGHT, trim_both = TRIM_LEFT | TRIM_RIGHT;

typedef struct trim_set { struct { const uint8_t *at; size_t length; } characters[GUARD_TRIM_SET]; size_t count; } trim_set;

static bool trim_set_read(trim_set *set, const uint8_t *at, const uint8_t *end)
{
    for (set->count = 0; at < end; set->count++) {
        const uint8_t *begin = at++;
        while (at < end && (*at & 0xc0) == 0x80)
            at++;
        if (set->count == GUARD_TRIM_SET)
            return false;
        set->characters[set->count].at = begin;
        set->characters[set->count].length = (size_t)(at - begin);
    }
    return true;
}

/* Bytes of the set's character that `at` to `end` begins with (or ends with); 0: none. */
static size_t trimmed(const trim_set *set, const uint8_t *at, const uint8_t *end, bool is_left)
{
    for (size_t i = 0; i < set->count; i++) {
        size_t length = set->characters[i].length;
        if (length <= (size_t)(end - at) && memcmp(is_left ? at : end - length, set->characters[i].at, length) == 0)
            return length;
    }
    return 0;
}

static void trim(sqlite3_context *context, int count, sqlite3_value **values)
{
    int ends = *(const int *)sqlite3_user_data(context);
    const uint8_t *at = sqlite3_value_text(values[0]), *of = sqlite3_value_text(values[1]);
    trim_set set;
    (void)count;
    if (at == NULL || of == NULL)
        return;
    const uint8_t *end = at + sqlite3_value_bytes(values[0]);
    if (!trim_set_read(&set, of, of + sqlite3_value_bytes(values[1]))) {
        sqlite3_result_error(context, "trim takes at most 64 characters off", -1);
        return;
    }
    for (size_t length; (ends & TRIM_LEFT) != 0 && (length = trimmed(&set, at, end, true)) > 0;)
        at += length;
    for (size_t length; (ends & TRIM_RIGHT) != 0 && (length = trimmed(&set, at, end, false)) > 0;)
        end -= length;
    sqlite3_result_text(context, (const char *)at, (int)(end - at), SQLITE_TRANSIENT);
}

static dro_err functions_replace(sqlite3 *db)
{
    static const struct { const char *name; const int *ends; } trims[] = { { "trim", &trim_both }, { "ltrim", &trim_left }, { "rtrim", &trim_right } };
    for (size_t i = 0; i < sizeof trims / sizeof trims[0]; i++)
        if (sqlite3_create_function(db, trims[i].name, 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, (void *)trims[i].ends, trim, NULL, NULL) != SQLITE_OK)
            return DRO_NOMEM;
    return DRO_OK;
}

static int on_progress(void *context)
{
    const view *view = context;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    int64_t now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    if (now_ns == view->limits->looked_ns)
        return 0;
    view->limits->looked_ns = now_ns;
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
    if (functions_replace(db) != DRO_OK)
        return DRO_NOMEM;
    sqlite3_set_authorizer(db, authorize, view);
    sqlite3_progress_handler(db, GUARD_PROGRESS_STEPS, on_progress, view);
    return DRO_OK;
}

#include "desk/desk.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/log.h"
#include "desk/aggregate.h"
#include "desk/guard.h"
#include "desk/query.h"
#include "desk/rows.h"
#include "desk/sql_text.h"
#include "desk/view.h"

enum { CONNECTIONS_KEPT_MAX = DESK_MEMORY / 8 }; /* bytes of idle connections; more are closed first */

struct desk {
    uint32_t region_count;
    const columns *regions[DESK_CORES_MAX];
    dro_clock *clock;
    guard_vfs vfs;
    scan_limits limits;
    catalogue *catalogue;
    int cpu_ms;
    answer own; /* of desk_query */
    char sql[2 * DESK_SQL_MAX + 1]; /* rewritten */
};

static const char type_invalid[] = "invalid_query";
static const char type_expensive[] = "query_too_expensive";

static dro_err attach(desk *desk, const void *const *memory, uint32_t count, size_t bytes)
{
    assert(count >= 1 && count <= DESK_CORES_MAX);
    dro_err err = DRO_OK;
    for (uint32_t i = 0; err == DRO_OK && i < count; i++) {
        columns *region = NULL;
        err = columns_attach(&region, memory[i], bytes);
        if (err == DRO_OK)
            desk->regions[desk->region_count++] = region;
    }
    return err;
}

dro_err desk_new(desk **out, const void *const *columns, uint32_t core_count, size_t bytes, dro_clock *clock)
{
    desk *made = calloc(1, sizeof *made);
    *out = NULL;
    if (made == NULL)
        return DRO_NOMEM;
    made->clock = clock;
    made->cpu_ms = DESK_CPU_MS;
    uint64_t unused;
    sqlite3_randomness(sizeof unused, &unused); /* takes its seed while files can still be opened */
    dro_err err = attach(made, columns, core_count, bytes);
    if (err == DRO_OK)
        err = guard_vfs_register(&made->vfs, clock);
    if (err == DRO_OK)
        err = catalogue_new(&made->catalogue, made->regions, made->region_count, &made->limits, &made->vfs.vfs);
    if (err != DRO_OK) {
        desk_free(made);
        return err;
    }
    sqlite3_hard_heap_limit64(DESK_MEMORY);
    *out = made;
    return DRO_OK;
}

void desk_free(desk *desk)
{
    if (desk == NULL)
        return;
    catalogue_free(desk->catalogue);
    if (desk->vfs.clock != NULL)
        guard_vfs_unregister(&desk->vfs);
    for (uint32_t i = 0; i < desk->region_count; i++)
        columns_free((columns *)desk->regions[i]);
    answer_fini(&desk->own);
    free(desk);
}

void desk_limit_cpu(desk *desk, int ms)
{
    desk->cpu_ms = ms;
}

/* ---- problems ---- */

static void refuse(answer *answer, const char *detail, size_t position)
{
    answer_refusal(answer, 400, type_invalid, "the query is not valid", detail, (int64_t)position);
}

static void too_expensive(answer *answer, const char *detail)
{
    answer_refusal(answer, 422, type_expensive, "the query is too expensive", detail, ANSWER_NO_POSITION);
}

static void no_memory(answer *answer)
{
    answer_refusal(answer, 503, "unavailable", "not now", "the desk has no memory left", ANSWER_NO_POSITION);
}

/* The name a message of SQLite ends with ("no such column: x"); false: it has none. */
static bool named(const char *message, const char **name, size_t *length)
{
    const char *colon = strstr(message, ": ");
    if (colon == NULL)
        return false;
    *name = colon + 2;
    const char *dot = strrchr(*name, '.'); /* table.column */
    if (dot != NULL)
        *name = dot + 1;
    *length = strcspn(*name, "()");
    return *length > 0;
}

/* Where in the caller's text the error is, as well as SQLite and we can tell. */
static size_t error_position(desk *desk, const view *view, const query *query, const char *message)
{
    int offset = sqlite3_error_offset(view->db);
    size_t length = 0, at = 0;
    const char *name;
    (void)desk;
    if (offset >= 0)
        return sql_offset_before(query->sql, query->length, (size_t)offset);
    if (named(message, &name, &length) && sql_find(query->sql, query->length, name, length, &at))
        return at;
    return 0;
}

/* SQLite's words, with what the caller may need to know in addition. */
static void explain(const view *view, const char *message, char *out, size_t capacity)
{
    static const char no_table[] = "no such table: ";
    char candidates[PROBLEM_DETAIL_MAX / 2];
    snprintf(out, capacity, "%s", message);
    if (strncmp(message, no_table, strlen(no_table)) == 0 &&
        view_candidates(view, message + strlen(no_table), candidates, sizeof candidates))
        snprintf(out, capacity, "%s: it could be %s", message, candidates);
    else if (strcasecmp(message, "no such function: tag") == 0)
        snprintf(out, capacity, "tag() takes one name in single quotes: tag('site')");
    else if (strcmp(message, "not authorized") == 0)
        snprintf(out, capacity, "only select is allowed");
}

/* The rows could not be read to the end. */
static void answer_failure(const desk *desk, dro_err err, answer *answer)
{
    char detail[PROBLEM_DETAIL_MAX];
    switch (err) {
    case DRO_LIMIT:
        snprintf(detail, sizeof detail, "it needs more than %d ms of CPU time", desk->cpu_ms);
        too_expensive(answer, detail);
        return;
    case DRO_NOMEM:
        snprintf(detail, sizeof detail, "it needs more than %d MiB of memory", DESK_MEMORY >> 20);
        too_expensive(answer, detail);
        return;
    case DRO_AGAIN:
        answer_refusal(answer, 503, "unavailable", "not now", "the rows are being changed; try again",
                       ANSWER_NO_POSITION);
        return;
    default:
        dro_error("columns unreadable: %s", dro_err_text(err));
        answer_refusal(answer, 500, "internal", "the rows cannot be read", dro_err_text(err), ANSWER_NO_POSITION);
        return;
    }
}

static void answer_error(desk *desk, const view *view, const query *query, int result, answer *answer)
{
    char detail[PROBLEM_DETAIL_MAX];
    const char *message = sqlite3_errmsg(view->db);
    if (desk->limits.err != DRO_OK) {
        answer_failure(desk, desk->limits.err, answer);
        return;
    }
    switch (result & 0xff) {
    case SQLITE_INTERRUPT: answer_failure(desk, DRO_LIMIT, answer); return;
    case SQLITE_NOMEM: answer_failure(desk, DRO_NOMEM, answer); return;
    case SQLITE_TOOBIG:
        snprintf(detail, sizeof detail, "a text or row in it is longer than %d bytes", GUARD_VALUE_BYTES);
        too_expensive(answer, detail);
        return;
    default:
        explain(view, message, detail, sizeof detail);
        refuse(answer, detail, error_position(desk, view, query, message));
        return;
    }
}

/* ---- text ---- */

static dro_err on_tag(void *context, const char *name, size_t length)
{
    char plain[VIEW_TAG_NAME_MAX + 1];
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        if (used >= VIEW_TAG_NAME_MAX)
            return DRO_LIMIT;
        plain[used++] = name[i];
        i += name[i] == '\''; /* two stand for one */
    }
    return view_add_tag_call(context, plain, used);
}

/* Puts the statement into desk->sql and its tags into the view. */
static dro_err rewrite(desk *desk, view *view, const query *query)
{
    size_t capacity = sizeof desk->sql;
    assert(sql_rewritten_max(query->length) <= capacity);
    dro_err err = sql_rewrite(query->sql, query->length, desk->sql, capacity, on_tag, view);
    if (err == DRO_LIMIT) { /* names of earlier queries may be in the way */
        view_drop_tag_calls(view);
        err = sql_rewrite(query->sql, query->length, desk->sql, capacity, on_tag, view);
    }
    return err == DRO_OK ? view_declare(view) : err;
}

/* What SQLite would not refuse in our words; true: refused. */
static bool is_refused(const query *query, answer *answer)
{
    const char *nul = query->length == 0 ? NULL : memchr(query->sql, '\0', query->length);
    size_t at = 0;
    if (query->length > DESK_SQL_MAX)
        refuse(answer, "the statement is longer than 65536 bytes", DESK_SQL_MAX);
    else if (nul != NULL)
        refuse(answer, "there is a NUL byte in the text", (size_t)(nul - query->sql));
    else if (sql_is_over(query->sql, query->length, &at))
        refuse(answer, "there is no statement", 0);
    else if (!sql_begins_with(query->sql + at, query->length - at, "select") &&
             !sql_begins_with(query->sql + at, query->length - at, "with") &&
             !sql_begins_with(query->sql + at, query->length - at, "values"))
        refuse(answer, "only select is allowed", at);
    else
        return false;
    return true;
}

/* ---- run ---- */

static bool is_boolean(sqlite3_stmt *statement, int column)
{
    const char *type = sqlite3_column_decltype(statement, column);
    return type != NULL && strcmp(type, "BOOLEAN") == 0;
}

/* False: a blob, for which JSON has no word. */
static bool put_cell(sqlite3_stmt *statement, int column, bool is_boolean, answer *answer)
{
    value cell = { .kind = VALUE_NONE };
    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
        cell.kind = VALUE_INTEGER;
        cell.integer = sqlite3_column_int64(statement, column);
        if (is_boolean && (cell.integer == 0 || cell.integer == 1)) {
            cell.kind = VALUE_BOOLEAN;
            cell.boolean = sqlite3_column_int(statement, column) == 1;
        }
        break;
    case SQLITE_FLOAT:
        cell.kind = VALUE_NUMBER;
        cell.number = sqlite3_column_double(statement, column);
        break;
    case SQLITE_TEXT: {
        const char *text = (const char *)sqlite3_column_text(statement, column);
        answer_text(answer, text == NULL ? "" : text, (size_t)sqlite3_column_bytes(statement, column));
        return true;
    }
    case SQLITE_BLOB: return false;
    default: break;
    }
    answer_value(answer, &cell);
    return true;
}

static void put_columns(sqlite3_stmt *statement, int count, answer *answer)
{
    answer_raw(answer, "{\"columns\":[");
    for (int i = 0; i < count; i++) {
        const char *name = sqlite3_column_name(statement, i);
        char *shown = sqlite3_mprintf("%s", name == NULL ? "" : name);
        answer_raw(answer, i > 0 ? "," : "");
        answer_text(answer, shown == NULL ? "" : shown, shown == NULL ? 0 : sql_name_shown(shown));
        sqlite3_free(shown);
    }
    answer_raw(answer, "],\"rows\":[");
}

/* Steps through all rows. SQLITE_DONE; else an error of SQLite, or SQLITE_OK when
 * the answer already is a problem. */
static int put_rows(sqlite3_stmt *statement, answer *answer)
{
    bool booleans[GUARD_COLUMNS];
    int count = sqlite3_column_count(statement), rows = 0, result;
    for (int i = 0; i < count; i++)
        booleans[i] = is_boolean(statement, i);
    put_columns(statement, count, answer);
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        if (rows == DESK_ROWS_MAX) {
            too_expensive(answer, "it has more than 10000 rows; use limit, or count and group by");
            return SQLITE_OK;
        }
        answer_raw(answer, rows++ > 0 ? ",[" : "[");
        for (int i = 0; i < count; i++) {
            answer_raw(answer, i > 0 ? "," : "");
            if (!put_cell(statement, i, booleans[i], answer)) {
                refuse(answer, "a result is a blob; use hex() or cast it to text", 0);
                return SQLITE_OK;
            }
        }
        answer_raw(answer, "]");
        if (answer->is_full) {
            too_expensive(answer, "its answer is larger than 16 MiB");
            return SQLITE_OK;
        }
    }
    return result;
}

/* Prepares the one statement; NULL: refused. */
static sqlite3_stmt *prepare(desk *desk, view *view, const query *query, answer *answer)
{
    sqlite3_stmt *statement = NULL;
    const char *tail = NULL;
    size_t length = strlen(desk->sql), at;
    int result = sqlite3_prepare_v2(view->db, desk->sql, (int)length + 1, &statement, &tail);
    if (result != SQLITE_OK) {
        answer_error(desk, view, query, result, answer);
        return NULL;
    }
    at = (size_t)(tail - desk->sql);
    if (!sql_is_over(desk->sql, length, &at))
        refuse(answer, "only one statement is allowed", sql_offset_before(query->sql, query->length, at));
    else if (!sqlite3_stmt_readonly(statement) || sqlite3_stmt_isexplain(statement) != 0 ||
             sqlite3_column_count(statement) == 0 || sqlite3_column_count(statement) > GUARD_COLUMNS)
        refuse(answer, "only select is allowed", 0);
    else
        return statement;
    sqlite3_finalize(statement);
    return NULL;
}

static void put_end(desk *desk, int64_t began_ns, answer *answer)
{
    value micros = { .kind = VALUE_INTEGER, .integer = (desk->clock->monotonic_ns(desk->clock) - began_ns) / 1000 };
    answer_raw(answer, "],\"micros\":");
    answer_value(answer, &micros);
    answer_raw(answer, "}");
    if (answer->is_full)
        too_expensive(answer, "its answer is larger than 16 MiB");
}

static void run(desk *desk, view *view, const query *query, int64_t began_ns, answer *answer)
{
    bool is_answered;
    dro_err err = aggregate_answer(view, desk->sql, strlen(desk->sql), answer, &is_answered);
    if (err != DRO_OK) {
        answer_failure(desk, err, answer);
        return;
    }
    sqlite3_stmt *statement = is_answered ? NULL : prepare(desk, view, query, answer);
    int result = is_answered ? SQLITE_DONE : statement == NULL ? SQLITE_OK : put_rows(statement, answer);
    if (result == SQLITE_DONE)
        put_end(desk, began_ns, answer);
    else if (result != SQLITE_OK)
        answer_error(desk, view, query, result, answer);
    sqlite3_finalize(statement);
}

void desk_answer(desk *desk, const query *query, answer *answer)
{
    int64_t began_ns = desk->clock->monotonic_ns(desk->clock);
    view *view;
    answer_reset(answer);
    if (is_refused(query, answer))
        return;
    if (sqlite3_memory_used() > CONNECTIONS_KEPT_MAX)
        catalogue_clear(desk->catalogue);
    desk->limits.err = DRO_OK;
    desk->limits.cpu_end_ns = rows_cpu_ns() + (int64_t)desk->cpu_ms * 1000000;
    dro_err err = catalogue_view(desk->catalogue, query->domains, query->domains_length, query->all_domains, &view);
    if (err == DRO_OK)
        err = rewrite(desk, view, query);
    if (err == DRO_LIMIT)
        refuse(answer, "there are more than 64 different names in tag(), or one is longer than 255 bytes", 0);
    else if (err != DRO_OK)
        no_memory(answer);
    else
        run(desk, view, query, began_ns, answer);
    if (desk->limits.err != DRO_OK || answer->status == 422)
        catalogue_clear(desk->catalogue); /* after a failure start from a clean connection */
}

size_t desk_query(desk *desk, const char *sql, size_t length, const char *domains, size_t domains_length,
                  int all_domains, char *out, size_t capacity, int *status)
{
    query query = { .sql = sql,
                    .length = length,
                    .domains = domains,
                    .domains_length = domains_length,
                    .all_domains = all_domains != 0 };
    desk_answer(desk, &query, &desk->own);
    if (desk->own.length >= capacity)
        too_expensive(&desk->own, "its answer does not fit");
    *status = desk->own.status;
    size_t used = desk->own.length < capacity ? desk->own.length : 0;
    if (used > 0)
        memcpy(out, desk->own.bytes, used);
    if (capacity > 0)
        out[used] = '\0';
    return used;
}

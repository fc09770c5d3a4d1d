#include "desk/scan.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "desk/rows.h"

enum { LAST_USED_BIT = 63 /* of SQLite's mask of used columns: this one and all later ones */ };

/* ---- table ---- */

typedef struct scan_table {
    sqlite3_vtab base;
    const view_table *table;
} scan_table;

static const char *declared_type(const table_property *property)
{
    if (!property->is_uniform)
        return "";
    switch (property->kind) {
    case VALUE_NUMBER: return "REAL";
    case VALUE_INTEGER: return "INTEGER";
    case VALUE_BOOLEAN: return "BOOLEAN";
    case VALUE_STRING: return "TEXT";
    case VALUE_NONE: break;
    }
    return "";
}

static int on_connect(sqlite3 *db, void *client, int count, const char *const *arguments, sqlite3_vtab **out,
                      char **problem)
{
    (void)count;
    (void)arguments;
    const view_table *table = client;
    const table_description *description = table->description;
    sqlite3_str *text = sqlite3_str_new(db);
    sqlite3_str_appendall(text, "create table t(id TEXT");
    for (uint16_t i = 0; i < description->property_count; i++)
        sqlite3_str_appendf(text, ", \"%w\" %s", description->properties[i].name,
                            declared_type(&description->properties[i]));
    sqlite3_str_appendall(text, ", time TEXT, revision INTEGER, last_contact TEXT");
    for (uint32_t i = 0; i < table->tag_count; i++)
        sqlite3_str_appendf(text, ", \"%w\" TEXT HIDDEN", table->tags[i].name);
    for (uint32_t i = 0; i < table->view->tag_call_count; i++) {
        char *name = sqlite3_mprintf("tag(%Q)", table->view->tag_calls[i].name); /* as the query wrote it */
        sqlite3_str_appendf(text, ", \"%w\" TEXT HIDDEN", name == NULL ? "" : name);
        sqlite3_free(name);
    }
    sqlite3_str_appendall(text, ")");
    char *schema = sqlite3_str_finish(text);
    table->view->is_declaring = true;
    int result = schema == NULL ? SQLITE_NOMEM : sqlite3_declare_vtab(db, schema);
    table->view->is_declaring = false;
    sqlite3_free(schema);
    scan_table *made = result == SQLITE_OK ? sqlite3_malloc(sizeof *made) : NULL;
    if (made == NULL) {
        if (result != SQLITE_OK)
            *problem = sqlite3_mprintf("%s", sqlite3_errmsg(db));
        return result == SQLITE_OK ? SQLITE_NOMEM : result;
    }
    *made = (scan_table){ .table = table };
    *out = &made->base;
    return SQLITE_OK;
}

static int on_disconnect(sqlite3_vtab *base)
{
    sqlite3_free(base);
    return SQLITE_OK;
}

/* ---- plan ---- */

static double rows_estimate(const scan_table *scan)
{
    double chunks = 1;
    const table_part *parts = scan->table->description->parts;
    for (uint32_t i = 0; i < scan->table->description->part_count; i++)
        chunks += columns_chunk_count(scan->table->view->regions[parts[i].region], parts[i].table);
    return chunks * COLUMNS_CHUNK_ROWS;
}

static rows_push push_of(const scan_table *scan, sqlite3_index_info *info, int number)
{
    const struct sqlite3_index_constraint *constraint = &info->aConstraint[number];
    sqlite3_value *value = NULL;
    bound against = { 0 };
    if (!constraint->usable || constraint->iColumn < 0 || sqlite3_vtab_in(info, number, -1))
        return ROWS_NOT;
    column_ref column = table_column(scan->table, (uint32_t)constraint->iColumn);
    if (column.kind != COLUMN_PROPERTY && strcasecmp(sqlite3_vtab_collation(info, number), "BINARY") != 0)
        return ROWS_NOT;
    bool is_known = sqlite3_vtab_rhs_value(info, number, &value) == SQLITE_OK && value != NULL;
    if (is_known)
        against = bound_of(value);
    return rows_can_test(column, constraint->op, is_known ? &against : NULL);
}

/* The plan is a text: the used columns as hex, then column:op for each argument. */
static int on_best_index(sqlite3_vtab *base, sqlite3_index_info *info)
{
    const scan_table *scan = (const scan_table *)base;
    double rows = rows_estimate(scan), cost = rows;
    sqlite3_str *plan = sqlite3_str_new(NULL);
    int pushed = 0, ranges = 0, tags = 0, ids = 0;
    sqlite3_str_appendf(plan, "%llx", info->colUsed);
    for (int i = 0; i < info->nConstraint; i++) {
        rows_push push = push_of(scan, info, i);
        if (push == ROWS_NOT)
            continue;
        const struct sqlite3_index_constraint *constraint = &info->aConstraint[i];
        column_kind kind = table_column(scan->table, (uint32_t)constraint->iColumn).kind;
        if (kind == COLUMN_ID    ? ids++ >= 1
            : kind == COLUMN_TAG ? tags++ >= ROWS_TAGS_MAX
                                 : ranges++ >= ROWS_RANGES_MAX)
            continue;
        sqlite3_str_appendf(plan, " %d:%d", constraint->iColumn, constraint->op);
        info->aConstraintUsage[i].argvIndex = ++pushed;
        info->aConstraintUsage[i].omit = push == ROWS_EXACT;
        bool is_equal = constraint->op == SQLITE_INDEX_CONSTRAINT_EQ;
        rows = kind == COLUMN_ID ? 1 : rows / (is_equal ? 20 : 3);
        cost = kind == COLUMN_ID ? cost / 20 : cost / (is_equal ? 4 : 2);
    }
    info->idxStr = sqlite3_str_finish(plan);
    info->needToFreeIdxStr = 1;
    info->idxNum = pushed;
    info->estimatedRows = rows < 1 ? 1 : (sqlite3_int64)rows;
    info->estimatedCost = cost + rows;
    return info->idxStr == NULL ? SQLITE_NOMEM : SQLITE_OK;
}

/* ---- cursor ---- */

typedef struct scan_cursor {
    sqlite3_vtab_cursor base;
    rows rows;
    uint32_t at; /* in the batch's rows */
} scan_cursor;

static int on_open(sqlite3_vtab *base, sqlite3_vtab_cursor **out)
{
    scan_cursor *made = sqlite3_malloc(sizeof *made);
    if (made == NULL)
        return SQLITE_NOMEM;
    memset(made, 0, sizeof *made);
    rows_init(&made->rows, ((const scan_table *)base)->table);
    *out = &made->base;
    return SQLITE_OK;
}

static int on_close(sqlite3_vtab_cursor *base)
{
    rows_fini(&((scan_cursor *)base)->rows);
    sqlite3_free(base);
    return SQLITE_OK;
}

static int result_of(dro_err err)
{
    return err == DRO_OK ? SQLITE_OK : err == DRO_NOMEM ? SQLITE_NOMEM : err == DRO_LIMIT ? SQLITE_INTERRUPT : SQLITE_ERROR;
}

static int next_batch(scan_cursor *cursor)
{
    cursor->at = 0;
    return result_of(rows_next(&cursor->rows));
}

static int on_filter(sqlite3_vtab_cursor *base, int count, const char *plan, int argument_count, sqlite3_value **arguments)
{
    scan_cursor *cursor = (scan_cursor *)base;
    const view_table *table = cursor->rows.table;
    char *at = NULL;
    dro_err err = DRO_OK;
    rows_restart(&cursor->rows);
    uint64_t used = strtoull(plan, &at, 16);
    uint32_t columns = table_column_count(table);
    for (uint32_t i = 0; i < columns; i++)
        if (used >> (i < LAST_USED_BIT ? i : LAST_USED_BIT) & 1)
            rows_want(&cursor->rows, table_column(table, i));
    for (int i = 0; i < count && i < argument_count && err == DRO_OK; i++) {
        uint32_t number = (uint32_t)strtoul(at, &at, 10);
        unsigned char op = (unsigned char)strtoul(at + 1, &at, 10);
        bound against = bound_of(arguments[i]);
        err = rows_test(&cursor->rows, table_column(table, number), op, &against);
    }
    return err == DRO_OK ? next_batch(cursor) : result_of(err);
}

static int on_next(sqlite3_vtab_cursor *base)
{
    scan_cursor *cursor = (scan_cursor *)base;
    return ++cursor->at < cursor->rows.batch->row_count ? SQLITE_OK : next_batch(cursor);
}

static int on_eof(sqlite3_vtab_cursor *base)
{
    return ((scan_cursor *)base)->rows.is_over;
}

/* ---- values ---- */

static void result_time(sqlite3_context *context, int64_t ms)
{
    char text[DRO_TIME_TEXT];
    if (ms == COLUMNS_NEVER)
        return; /* NULL */
    dro_time_text(ms, text);
    sqlite3_result_text(context, text, DRO_TIME_TEXT - 1, SQLITE_TRANSIENT);
}

static void result_property(sqlite3_context *context, const rows *rows, const table_property *property,
                            uint32_t row)
{
    const columns_batch *batch = rows->batch;
    uint8_t column = rows_column(rows, property);
    if (column == PART_HAS_NOT || batch->states[column][row] == 0)
        return;
    const columns_column *from = &rows_part(rows)->columns[column];
    const uint8_t *place = batch->values[column] + (size_t)row * from->width;
    double number;
    int64_t integer;
    switch (from->kind) {
    case VALUE_NUMBER: memcpy(&number, place, sizeof number), sqlite3_result_double(context, number); break;
    case VALUE_INTEGER: memcpy(&integer, place, sizeof integer), sqlite3_result_int64(context, integer); break;
    case VALUE_BOOLEAN: sqlite3_result_int(context, *place != 0); break;
    case VALUE_STRING:
        sqlite3_result_text(context, (const char *)place, batch->lengths[column][row], SQLITE_TRANSIENT);
        break;
    case VALUE_NONE: break;
    }
}

static void result_tag(sqlite3_context *context, const columns_batch *batch, const tag_name *tag, uint32_t row)
{
    size_t tags_length, length;
    const uint8_t *tags = columns_batch_tags(batch, row, &tags_length);
    const char *text = tags == NULL ? NULL : columns_tag_find(tags, tags_length, tag->name, tag->length, &length);
    if (text != NULL)
        sqlite3_result_text(context, text, (int)length, SQLITE_TRANSIENT);
}

static int on_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int number)
{
    const scan_cursor *cursor = (const scan_cursor *)base;
    const columns_batch *batch = cursor->rows.batch;
    uint32_t row = batch->rows[cursor->at];
    column_ref column = table_column(cursor->rows.table, (uint32_t)number);
    size_t length;
    switch (column.kind) {
    case COLUMN_ID: {
        const char *id = columns_batch_id(batch, row, &length);
        sqlite3_result_text(context, id, (int)length, SQLITE_TRANSIENT);
        break;
    }
    case COLUMN_PROPERTY: result_property(context, &cursor->rows, column.property, row); break;
    case COLUMN_TIME: result_time(context, columns_batch_newest(batch, row)); break;
    case COLUMN_REVISION: sqlite3_result_int64(context, (sqlite3_int64)columns_batch_revision(batch, row)); break;
    case COLUMN_CONTACT: result_time(context, columns_batch_contact(batch, row)); break;
    case COLUMN_TAG: result_tag(context, batch, column.tag, row); break;
    }
    return SQLITE_OK;
}

/* Only SQLite itself sees it, when it joins the results of an OR. */
static int on_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out)
{
    const scan_cursor *cursor = (const scan_cursor *)base;
    const rows *rows = &cursor->rows;
    *out = (sqlite3_int64)rows->part << 32 | (sqlite3_int64)(rows->chunk - 1) * COLUMNS_CHUNK_ROWS |
           rows->batch->rows[cursor->at];
    return SQLITE_OK;
}

const sqlite3_module scan_module = {
    .iVersion = 0,
    .xConnect = on_connect, /* no xCreate: the table is there by its name alone */
    .xBestIndex = on_best_index,
    .xDisconnect = on_disconnect,
    .xDestroy = on_disconnect,
    .xOpen = on_open,
    .xClose = on_close,
    .xFilter = on_filter,
    .xNext = on_next,
    .xEof = on_eof,
    .xColumn = on_column,
    .xRowid = on_rowid,
};

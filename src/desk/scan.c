#include "desk/scan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "desk/range.h"

enum {
    RANGES_MAX = 12,      /* comparisons pushed down into one scan; SQLite tests the rest */
    TAG_TESTS_MAX = 4,
    CHUNKS_PER_LOOK = 16, /* between two looks at the CPU clock */
    LAST_USED_BIT = 63,   /* of SQLite's mask of used columns: this one and all later ones */
};

int64_t scan_cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- columns of the virtual table ---- */

typedef struct scan_table {
    sqlite3_vtab base;
    const view_table *table;
    uint32_t call_count; /* tag('name') columns it was declared with */
} scan_table;

typedef enum column_kind { COLUMN_ID, COLUMN_PROPERTY, COLUMN_TIME, COLUMN_REVISION, COLUMN_CONTACT, COLUMN_TAG } column_kind;

typedef struct column_ref {
    column_kind kind;
    const table_property *property;
    const tag_name *tag;
} column_ref;

static column_ref column_at(const scan_table *scan, int number)
{
    const table_description *description = scan->table->description;
    uint32_t at = (uint32_t)number;
    if (at == 0)
        return (column_ref){ .kind = COLUMN_ID };
    if ((at -= 1) < description->property_count)
        return (column_ref){ .kind = COLUMN_PROPERTY, .property = &description->properties[at] };
    if ((at -= description->property_count) < 3)
        return (column_ref){ .kind = at == 0 ? COLUMN_TIME : at == 1 ? COLUMN_REVISION : COLUMN_CONTACT };
    if ((at -= 3) < scan->table->tag_count)
        return (column_ref){ .kind = COLUMN_TAG, .tag = &scan->table->tags[at] };
    return (column_ref){ .kind = COLUMN_TAG, .tag = &scan->table->view->tag_calls[at - scan->table->tag_count] };
}

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
    *made = (scan_table){ .table = table, .call_count = table->view->tag_call_count };
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
    for (uint32_t i = 0; i < scan->table->description->part_count; i++)
        chunks += columns_chunk_count(scan->table->view->columns, scan->table->description->parts[i]);
    return chunks * COLUMNS_CHUNK_ROWS;
}

typedef enum push { PUSH_NOT, PUSH_HINT, PUSH_EXACT } push; /* HINT: SQLite tests the rows kept again */

static bool is_comparison(unsigned char op)
{
    return op == SQLITE_INDEX_CONSTRAINT_EQ || op == SQLITE_INDEX_CONSTRAINT_LT || op == SQLITE_INDEX_CONSTRAINT_LE ||
           op == SQLITE_INDEX_CONSTRAINT_GT || op == SQLITE_INDEX_CONSTRAINT_GE;
}

static push push_of(const scan_table *scan, sqlite3_index_info *info, int number)
{
    const struct sqlite3_index_constraint *constraint = &info->aConstraint[number];
    sqlite3_value *against = NULL;
    range unused;
    if (!constraint->usable || constraint->iColumn < 0 || sqlite3_vtab_in(info, number, -1))
        return PUSH_NOT;
    column_ref column = column_at(scan, constraint->iColumn);
    bool is_known = sqlite3_vtab_rhs_value(info, number, &against) == SQLITE_OK && against != NULL;
    if (column.kind == COLUMN_PROPERTY && column.property->is_uniform && column.property->kind != VALUE_STRING) {
        if (constraint->op == SQLITE_INDEX_CONSTRAINT_ISNULL || constraint->op == SQLITE_INDEX_CONSTRAINT_ISNOTNULL)
            return PUSH_HINT;
        if (!is_comparison(constraint->op))
            return PUSH_NOT;
        return is_known && range_make(&unused, column.property->kind, constraint->op, against) ? PUSH_EXACT : PUSH_HINT;
    }
    if ((column.kind != COLUMN_ID && column.kind != COLUMN_TAG) || constraint->op != SQLITE_INDEX_CONSTRAINT_EQ ||
        strcasecmp(sqlite3_vtab_collation(info, number), "BINARY") != 0)
        return PUSH_NOT;
    return is_known && sqlite3_value_type(against) == SQLITE_TEXT ? PUSH_EXACT : PUSH_HINT;
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
        push push = push_of(scan, info, i);
        if (push == PUSH_NOT)
            continue;
        const struct sqlite3_index_constraint *constraint = &info->aConstraint[i];
        column_kind kind = column_at(scan, constraint->iColumn).kind;
        if (kind == COLUMN_ID ? ids++ >= 1 : kind == COLUMN_TAG ? tags++ >= TAG_TESTS_MAX : ranges++ >= RANGES_MAX)
            continue;
        sqlite3_str_appendf(plan, " %d:%d", constraint->iColumn, constraint->op);
        info->aConstraintUsage[i].argvIndex = ++pushed;
        info->aConstraintUsage[i].omit = push == PUSH_EXACT;
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

typedef struct range_test {
    const table_property *property;
    unsigned char op; /* ISNULL, ISNOTNULL or a comparison: then `range` */
    range range;
} range_test;

typedef struct tag_test {
    const tag_name *tag;
    char *text; /* owned */
    size_t length;
    uint64_t era;
    uint8_t known[COLUMNS_TAG_SETS_MAX + 1]; /* by set: 0 not looked at, 1 differs, 2 equal */
} tag_test;

typedef struct scan_cursor {
    sqlite3_vtab_cursor base;
    const scan_table *scan;
    uint64_t used; /* columns, as in SQLite's mask */
    bool is_over, is_nothing;
    uint32_t part, chunk, at, looks;
    int range_count, tag_count;
    range_test ranges[RANGES_MAX];
    tag_test *tags[TAG_TESTS_MAX]; /* allocated once, kept */
    char *id;                      /* owned; wanted.id borrows it */
    columns_wanted wanted;
    columns_batch *batch;          /* lies in `memory` */
    void *memory;
    size_t memory_bytes;
    const columns_table *placed; /* what the batch is laid out for */
    columns_wanted placed_wanted;
} scan_cursor;

static int on_open(sqlite3_vtab *base, sqlite3_vtab_cursor **out)
{
    scan_cursor *made = sqlite3_malloc(sizeof *made);
    if (made == NULL)
        return SQLITE_NOMEM;
    memset(made, 0, sizeof *made);
    made->scan = (const scan_table *)base;
    *out = &made->base;
    return SQLITE_OK;
}

static int on_close(sqlite3_vtab_cursor *base)
{
    scan_cursor *cursor = (scan_cursor *)base;
    for (int i = 0; i < TAG_TESTS_MAX; i++) {
        if (cursor->tags[i] != NULL)
            sqlite3_free(cursor->tags[i]->text);
        sqlite3_free(cursor->tags[i]);
    }
    sqlite3_free(cursor->id);
    sqlite3_free(cursor->memory);
    sqlite3_free(cursor);
    return SQLITE_OK;
}

/* The column of the part being read, or PART_HAS_NOT. */
static uint8_t column_of_part(const scan_cursor *cursor, const table_property *property)
{
    return property->of_part[cursor->part];
}

/* Called between copy and check: values may be torn, the batch is then read again. */
static void keep_by_values(void *context, columns_batch *batch, uint32_t first)
{
    const scan_cursor *cursor = context;
    for (int i = 0; i < cursor->range_count; i++) {
        const range_test *test = &cursor->ranges[i];
        uint8_t column = column_of_part(cursor, test->property);
        bool wants_null = test->op == SQLITE_INDEX_CONSTRAINT_ISNULL;
        uint32_t kept = first;
        if (column == PART_HAS_NOT) { /* never set in these rows */
            batch->row_count = wants_null ? batch->row_count : first;
            continue;
        }
        const uint16_t *states = batch->states[column];
        if (!wants_null && test->op != SQLITE_INDEX_CONSTRAINT_ISNOTNULL) {
            range_keep(&test->range, test->property->kind, batch->values[column], states, batch, first);
            continue;
        }
        for (uint32_t at = first; at < batch->row_count; at++) {
            uint16_t row = batch->rows[at];
            batch->rows[kept] = row;
            kept += (states[row] == 0) == wants_null;
        }
        batch->row_count = kept;
    }
}

static bool tag_is_equal(tag_test *test, const columns_batch *batch, uint32_t row)
{
    uint16_t set = batch->tag_set[row];
    size_t tags_length, length = 0;
    if (test->era != batch->tags->era) {
        memset(test->known, 0, sizeof test->known);
        test->era = batch->tags->era;
    }
    if (test->known[set] == 0) {
        const uint8_t *tags = columns_batch_tags(batch, row, &tags_length);
        const char *text =
            tags == NULL ? NULL : columns_tag_find(tags, tags_length, test->tag->name, test->tag->length, &length);
        test->known[set] = text != NULL && length == test->length && memcmp(text, test->text, length) == 0 ? 2 : 1;
    }
    return test->known[set] == 2;
}

static void keep_by_tags(void *context, columns_batch *batch, uint32_t first)
{
    scan_cursor *cursor = context;
    for (int i = 0; i < cursor->tag_count; i++) {
        uint32_t kept = first;
        for (uint32_t at = first; at < batch->row_count; at++) {
            uint16_t row = batch->rows[at];
            batch->rows[kept] = row;
            kept += tag_is_equal(cursor->tags[i], batch, row);
        }
        batch->row_count = kept;
    }
}

static void want_column(scan_cursor *cursor, column_ref column)
{
    switch (column.kind) {
    case COLUMN_ID: cursor->wanted.more |= COLUMNS_WANT_ID; break;
    case COLUMN_TIME: cursor->wanted.more |= COLUMNS_WANT_TIME; break;
    case COLUMN_REVISION: cursor->wanted.more |= COLUMNS_WANT_REVISION; break;
    case COLUMN_CONTACT: cursor->wanted.more |= COLUMNS_WANT_CONTACT; break;
    case COLUMN_TAG: cursor->wanted.more |= COLUMNS_WANT_TAGS; break;
    case COLUMN_PROPERTY:
        if (column_of_part(cursor, column.property) != PART_HAS_NOT)
            cursor->wanted.values |= UINT64_C(1) << column_of_part(cursor, column.property);
        break;
    }
}

/* What to copy of the rows of the part being read. */
static void wanted_fill(scan_cursor *cursor)
{
    const scan_table *scan = cursor->scan;
    int columns = 1 + scan->table->description->property_count + 3 + (int)scan->table->tag_count + (int)scan->call_count;
    cursor->wanted.values = 0;
    cursor->wanted.more = cursor->wanted.id != NULL ? COLUMNS_WANT_ID : 0;
    for (int i = 0; i < columns; i++)
        if (cursor->used >> (i < LAST_USED_BIT ? i : LAST_USED_BIT) & 1)
            want_column(cursor, column_at(scan, i));
    for (int i = 0; i < cursor->range_count; i++)
        want_column(cursor, (column_ref){ .kind = COLUMN_PROPERTY, .property = cursor->ranges[i].property });
    if (cursor->tag_count > 0)
        cursor->wanted.more |= COLUMNS_WANT_TAGS;
}

static const columns_table *part_of(const scan_cursor *cursor)
{
    return cursor->scan->table->description->parts[cursor->part];
}

/* Lays the batch out for the part; in a join mostly as it already is. */
static int batch_prepare(scan_cursor *cursor)
{
    const columns_table *part = part_of(cursor);
    wanted_fill(cursor);
    if (cursor->placed == part && cursor->placed_wanted.values == cursor->wanted.values &&
        cursor->placed_wanted.more == cursor->wanted.more)
        return SQLITE_OK;
    size_t bytes = columns_batch_bytes(part, &cursor->wanted);
    if (bytes > cursor->memory_bytes) {
        sqlite3_free(cursor->memory);
        cursor->placed = NULL;
        cursor->memory = sqlite3_malloc64(bytes);
        cursor->memory_bytes = cursor->memory == NULL ? 0 : bytes;
        if (cursor->memory == NULL)
            return SQLITE_NOMEM;
    }
    cursor->batch = columns_batch_place(part, &cursor->wanted, cursor->memory);
    for (int i = 0; i < cursor->tag_count; i++)
        cursor->tags[i]->era = 0;
    cursor->placed = part;
    cursor->placed_wanted = cursor->wanted;
    return SQLITE_OK;
}

static int give_up(scan_cursor *cursor, dro_err err, int result)
{
    cursor->scan->table->view->limits->err = err;
    cursor->is_over = true;
    return result;
}

/* Reads chunks until one has a row to show. */
static int find_rows(scan_cursor *cursor)
{
    const view *view = cursor->scan->table->view;
    const table_description *description = cursor->scan->table->description;
    for (; cursor->part < description->part_count; cursor->part++, cursor->chunk = 0) {
        uint32_t chunks = columns_chunk_count(view->columns, part_of(cursor));
        if (cursor->chunk == 0 && chunks > 0 && batch_prepare(cursor) != SQLITE_OK)
            return SQLITE_NOMEM;
        while (cursor->chunk < chunks) {
            if (++cursor->looks % CHUNKS_PER_LOOK == 0 && scan_cpu_ns() > view->limits->cpu_end_ns)
                return give_up(cursor, DRO_LIMIT, SQLITE_INTERRUPT);
            dro_err err =
                columns_batch_read(view->columns, part_of(cursor), cursor->chunk++, &cursor->wanted, cursor->batch);
            if (err != DRO_OK)
                return give_up(cursor, err, SQLITE_ERROR);
            cursor->at = 0;
            if (cursor->batch->row_count > 0)
                return SQLITE_OK;
        }
    }
    cursor->is_over = true;
    return SQLITE_OK;
}

/* ---- filter ---- */

static int text_copy(char **to, size_t *length, sqlite3_value *value)
{
    sqlite3_free(*to);
    *length = (size_t)sqlite3_value_bytes(value);
    *to = sqlite3_malloc64(*length + 1);
    if (*to == NULL)
        return SQLITE_NOMEM;
    memcpy(*to, sqlite3_value_text(value), *length);
    return SQLITE_OK;
}

static int tag_add(scan_cursor *cursor, const tag_name *tag, sqlite3_value *against)
{
    tag_test **place = &cursor->tags[cursor->tag_count];
    if (*place == NULL) {
        *place = sqlite3_malloc(sizeof **place);
        if (*place == NULL)
            return SQLITE_NOMEM;
        memset(*place, 0, sizeof **place);
    }
    (*place)->tag = tag;
    (*place)->era = 0;
    int result = text_copy(&(*place)->text, &(*place)->length, against);
    cursor->tag_count += result == SQLITE_OK;
    return result;
}

/* One comparison of the plan with the value SQLite has now. */
static int test_add(scan_cursor *cursor, int number, unsigned char op, sqlite3_value *against)
{
    column_ref column = column_at(cursor->scan, number);
    int type = sqlite3_value_type(against);
    if (column.kind == COLUMN_PROPERTY) {
        range_test test = { .property = column.property, .op = op };
        bool is_null_test = op == SQLITE_INDEX_CONSTRAINT_ISNULL || op == SQLITE_INDEX_CONSTRAINT_ISNOTNULL;
        if (is_null_test || range_make(&test.range, column.property->kind, op, against))
            cursor->ranges[cursor->range_count++] = test;
        return SQLITE_OK;
    }
    cursor->is_nothing = cursor->is_nothing || type == SQLITE_NULL;
    if (type != SQLITE_TEXT)
        return SQLITE_OK;
    if (column.kind == COLUMN_TAG)
        return tag_add(cursor, column.tag, against);
    int result = text_copy(&cursor->id, &cursor->wanted.id_length, against);
    cursor->wanted.id = cursor->id;
    return result;
}

static int on_filter(sqlite3_vtab_cursor *base, int count, const char *plan, int argument_count, sqlite3_value **arguments)
{
    scan_cursor *cursor = (scan_cursor *)base;
    char *at = NULL;
    int result = SQLITE_OK;
    cursor->part = cursor->chunk = cursor->at = 0;
    cursor->range_count = cursor->tag_count = 0;
    cursor->is_over = cursor->is_nothing = false;
    cursor->used = strtoull(plan, &at, 16);
    cursor->wanted = (columns_wanted){ .filter_values = keep_by_values,
                                       .filter_tags = keep_by_tags,
                                       .context = cursor,
                                       .domains = cursor->scan->table->view->all_domains
                                                      ? NULL
                                                      : cursor->scan->table->view->bitmap };
    for (int i = 0; i < count && i < argument_count && result == SQLITE_OK; i++) {
        int number = (int)strtol(at, &at, 10);
        int op = (int)strtol(at + 1, &at, 10);
        result = test_add(cursor, number, (unsigned char)op, arguments[i]);
    }
    if (result != SQLITE_OK)
        return result;
    cursor->is_over = cursor->is_nothing;
    return cursor->is_over ? SQLITE_OK : find_rows(cursor);
}

static int on_next(sqlite3_vtab_cursor *base)
{
    scan_cursor *cursor = (scan_cursor *)base;
    return ++cursor->at < cursor->batch->row_count ? SQLITE_OK : find_rows(cursor);
}

static int on_eof(sqlite3_vtab_cursor *base)
{
    return ((scan_cursor *)base)->is_over;
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

static void result_property(sqlite3_context *context, const scan_cursor *cursor, const table_property *property,
                            uint32_t row)
{
    const columns_batch *batch = cursor->batch;
    uint8_t column = column_of_part(cursor, property);
    if (column == PART_HAS_NOT || batch->states[column][row] == 0)
        return;
    const columns_column *from = &part_of(cursor)->columns[column];
    const uint8_t *place = batch->values[column] + (size_t)row * from->width;
    switch (from->kind) {
    case VALUE_NUMBER: sqlite3_result_double(context, ((const double *)batch->values[column])[row]); break;
    case VALUE_INTEGER: sqlite3_result_int64(context, ((const int64_t *)batch->values[column])[row]); break;
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
    const columns_batch *batch = cursor->batch;
    uint32_t row = batch->rows[cursor->at];
    column_ref column = column_at(cursor->scan, number);
    size_t length;
    switch (column.kind) {
    case COLUMN_ID: {
        const char *id = columns_batch_id(batch, row, &length);
        sqlite3_result_text(context, id, (int)length, SQLITE_TRANSIENT);
        break;
    }
    case COLUMN_PROPERTY: result_property(context, cursor, column.property, row); break;
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
    *out = (sqlite3_int64)cursor->part << 32 | (sqlite3_int64)(cursor->chunk - 1) * COLUMNS_CHUNK_ROWS |
           cursor->batch->rows[cursor->at];
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

#include "desk/rows.h"

#include <string.h>
#include <strings.h>
#include <time.h>

enum { CHUNKS_PER_LOOK = 16 /* between two looks at the CPU clock */ };

int64_t rows_cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- columns ---- */

enum { BEHIND_PROPERTIES = 3 /* time, revision, last_contact */ };

uint32_t table_column_count(const view_table *table)
{
    return 1u + table->description->property_count + BEHIND_PROPERTIES + table->tag_count + table->view->tag_call_count;
}

column_ref table_column(const view_table *table, uint32_t number)
{
    const table_description *description = table->description;
    if (number == 0)
        return (column_ref){ .kind = COLUMN_ID };
    if ((number -= 1) < description->property_count)
        return (column_ref){ .kind = COLUMN_PROPERTY, .property = &description->properties[number] };
    if ((number -= description->property_count) < BEHIND_PROPERTIES)
        return (column_ref){ .kind = number == 0 ? COLUMN_TIME : number == 1 ? COLUMN_REVISION : COLUMN_CONTACT };
    if ((number -= BEHIND_PROPERTIES) < table->tag_count)
        return (column_ref){ .kind = COLUMN_TAG, .tag = &table->tags[number] };
    return (column_ref){ .kind = COLUMN_TAG, .tag = &table->view->tag_calls[number - table->tag_count] };
}

static bool is_name(const char *name, size_t length, const char *of)
{
    return strlen(of) == length && strncasecmp(name, of, length) == 0;
}

/* Is it tag('NAME')? A quote in NAME is doubled. */
static bool is_tag_call(const char *name, size_t length, const tag_name *call)
{
    static const char open[] = "tag('", close[] = "')";
    size_t at = sizeof open - 1, end = length - (sizeof close - 1);
    if (length < at + sizeof close - 1 || memcmp(name, open, at) != 0 || memcmp(name + end, close, sizeof close - 1) != 0)
        return false;
    for (uint32_t i = 0; i < call->length; i++) {
        if (at >= end || name[at] != call->name[i])
            return false;
        at += name[at] == '\'' ? 2 : 1;
    }
    return at == end;
}

bool table_column_find(const view_table *table, const char *name, size_t length, column_ref *out)
{
    static const char *const builtins[] = { "time", "revision", "last_contact" };
    uint32_t properties = table->description->property_count;
    for (uint32_t i = 0; i < table->view->tag_call_count; i++) {
        *out = (column_ref){ .kind = COLUMN_TAG, .tag = &table->view->tag_calls[i] };
        if (is_tag_call(name, length, out->tag))
            return true;
    }
    for (uint32_t i = 0; i < 1 + properties + BEHIND_PROPERTIES + table->tag_count; i++) {
        column_ref column = table_column(table, i);
        const char *of = column.kind == COLUMN_ID         ? "id"
                         : column.kind == COLUMN_PROPERTY ? column.property->name
                         : column.kind == COLUMN_TAG      ? column.tag->name
                                                          : builtins[i - 1 - properties];
        *out = column;
        if (is_name(name, length, of))
            return true;
    }
    return false;
}

/* ---- life ---- */

void rows_init(rows *rows, const view_table *table)
{
    *rows = (struct rows){ .table = table };
    rows_restart(rows);
}

void rows_fini(rows *rows)
{
    for (int i = 0; i < ROWS_TAGS_MAX; i++) {
        if (rows->tags[i] != NULL)
            sqlite3_free(rows->tags[i]->text);
        sqlite3_free(rows->tags[i]);
    }
    sqlite3_free(rows->id);
    sqlite3_free(rows->memory);
}

/* Called between copy and check: values may be torn, the batch is then read again. */
static void keep_by_values(void *context, columns_batch *batch, uint32_t first)
{
    const rows *rows = context;
    for (int i = 0; i < rows->range_count; i++) {
        const range_test *test = &rows->ranges[i];
        uint8_t column = rows_column(rows, test->property);
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
    rows *rows = context;
    for (int i = 0; i < rows->tag_count; i++) {
        uint32_t kept = first;
        for (uint32_t at = first; at < batch->row_count; at++) {
            uint16_t row = batch->rows[at];
            batch->rows[kept] = row;
            kept += tag_is_equal(rows->tags[i], batch, row);
        }
        batch->row_count = kept;
    }
}

/* ---- what is asked for ---- */

void rows_restart(rows *rows)
{
    rows->part = rows->chunk = 0;
    rows->range_count = rows->tag_count = 0;
    rows->is_over = rows->is_nothing = false;
    rows->more = 0;
    memset(rows->properties, 0, sizeof rows->properties);
    rows->wanted = (columns_wanted){ .filter_values = keep_by_values,
                                     .filter_tags = keep_by_tags,
                                     .context = rows };
}

void rows_want(rows *rows, column_ref column)
{
    switch (column.kind) {
    case COLUMN_ID: rows->more |= COLUMNS_WANT_ID; break;
    case COLUMN_TIME: rows->more |= COLUMNS_WANT_TIME; break;
    case COLUMN_REVISION: rows->more |= COLUMNS_WANT_REVISION; break;
    case COLUMN_CONTACT: rows->more |= COLUMNS_WANT_CONTACT; break;
    case COLUMN_TAG: rows->more |= COLUMNS_WANT_TAGS; break;
    case COLUMN_PROPERTY: {
        size_t number = (size_t)(column.property - rows->table->description->properties);
        rows->properties[number / 64] |= UINT64_C(1) << number % 64;
        break;
    }
    }
}

static bool is_comparison(unsigned char op)
{
    return op == SQLITE_INDEX_CONSTRAINT_EQ || op == SQLITE_INDEX_CONSTRAINT_LT || op == SQLITE_INDEX_CONSTRAINT_LE ||
           op == SQLITE_INDEX_CONSTRAINT_GT || op == SQLITE_INDEX_CONSTRAINT_GE;
}

rows_push rows_can_test(column_ref column, unsigned char op, const bound *against)
{
    range unused;
    if (column.kind == COLUMN_PROPERTY && column.property->is_uniform && column.property->kind != VALUE_STRING) {
        if (op == SQLITE_INDEX_CONSTRAINT_ISNULL || op == SQLITE_INDEX_CONSTRAINT_ISNOTNULL)
            return ROWS_EXACT;
        if (!is_comparison(op))
            return ROWS_NOT;
        return against != NULL && range_make(&unused, column.property->kind, op, against) ? ROWS_EXACT : ROWS_HINT;
    }
    if ((column.kind != COLUMN_ID && column.kind != COLUMN_TAG) || op != SQLITE_INDEX_CONSTRAINT_EQ)
        return ROWS_NOT;
    return against != NULL && against->type == SQLITE_TEXT ? ROWS_EXACT : ROWS_HINT;
}

static dro_err text_copy(char **to, size_t *length, const bound *from)
{
    sqlite3_free(*to);
    *length = from->length;
    *to = sqlite3_malloc64(from->length + 1);
    if (*to == NULL)
        return DRO_NOMEM;
    if (from->length > 0)
        memcpy(*to, from->text, from->length);
    return DRO_OK;
}

static dro_err tag_add(rows *rows, const tag_name *tag, const bound *against)
{
    tag_test **place = &rows->tags[rows->tag_count];
    if (*place == NULL) {
        *place = sqlite3_malloc(sizeof **place);
        if (*place == NULL)
            return DRO_NOMEM;
        memset(*place, 0, sizeof **place);
    }
    (*place)->tag = tag;
    (*place)->era = 0;
    dro_err err = text_copy(&(*place)->text, &(*place)->length, against);
    rows->tag_count += err == DRO_OK;
    rows->more |= COLUMNS_WANT_TAGS;
    return err;
}

dro_err rows_test(rows *rows, column_ref column, unsigned char op, const bound *against)
{
    if (column.kind == COLUMN_PROPERTY) {
        range_test test = { .property = column.property, .op = op };
        bool is_null_test = op == SQLITE_INDEX_CONSTRAINT_ISNULL || op == SQLITE_INDEX_CONSTRAINT_ISNOTNULL;
        if (rows->range_count < ROWS_RANGES_MAX &&
            (is_null_test || range_make(&test.range, column.property->kind, op, against))) {
            rows->ranges[rows->range_count++] = test;
            rows_want(rows, column);
        }
        return DRO_OK;
    }
    rows->is_nothing = rows->is_nothing || against->type == SQLITE_NULL;
    if (against->type != SQLITE_TEXT || (column.kind == COLUMN_TAG && rows->tag_count >= ROWS_TAGS_MAX))
        return DRO_OK;
    if (column.kind == COLUMN_TAG)
        return tag_add(rows, column.tag, against);
    dro_err err = text_copy(&rows->id, &rows->wanted.id_length, against);
    rows->wanted.id = rows->id;
    rows->more |= COLUMNS_WANT_ID;
    return err;
}

/* ---- reading ---- */

/* What to copy of the rows of this part. */
static void wanted_fill(rows *rows)
{
    const table_description *description = rows->table->description;
    rows->wanted.more = rows->more;
    rows->wanted.values = 0;
    for (uint16_t i = 0; i < description->property_count; i++) {
        uint8_t column = rows_column(rows, &description->properties[i]);
        if ((rows->properties[i / 64] >> i % 64 & 1) != 0 && column != PART_HAS_NOT)
            rows->wanted.values |= UINT64_C(1) << column;
    }
}

/* Lays the batch out for the part; in a join mostly as it already is. */
static dro_err batch_prepare(rows *rows)
{
    const columns_table *part = rows_part(rows);
    wanted_fill(rows);
    if (rows->placed == part && rows->placed_wanted.values == rows->wanted.values &&
        rows->placed_wanted.more == rows->wanted.more)
        return DRO_OK;
    size_t bytes = columns_batch_bytes(part, &rows->wanted);
    if (bytes > rows->memory_bytes) {
        sqlite3_free(rows->memory);
        rows->placed = NULL;
        rows->memory = sqlite3_malloc64(bytes);
        rows->memory_bytes = rows->memory == NULL ? 0 : bytes;
        if (rows->memory == NULL)
            return DRO_NOMEM;
    }
    rows->batch = columns_batch_place(part, &rows->wanted, rows->memory);
    for (int i = 0; i < rows->tag_count; i++)
        rows->tags[i]->era = 0;
    rows->placed = part;
    rows->placed_wanted = rows->wanted;
    return DRO_OK;
}

static dro_err give_up(rows *rows, dro_err err)
{
    rows->table->view->limits->err = err;
    rows->is_over = true;
    return err;
}

dro_err rows_next(rows *rows)
{
    const view *view = rows->table->view;
    const table_description *description = rows->table->description;
    for (; rows->part < description->part_count && !rows->is_nothing; rows->part++, rows->chunk = 0) {
        uint32_t number = description->parts[rows->part].region;
        const columns *region = view->regions[number];
        uint32_t chunks = columns_chunk_count(region, rows_part(rows));
        rows->wanted.domains = view->all_domains ? NULL : view->bitmaps[number];
        if (rows->chunk == 0 && chunks > 0 && batch_prepare(rows) != DRO_OK)
            return DRO_NOMEM;
        while (rows->chunk < chunks) {
            if (++rows->looks % CHUNKS_PER_LOOK == 0 && rows_cpu_ns() > view->limits->cpu_end_ns)
                return give_up(rows, DRO_LIMIT);
            dro_err err = columns_batch_read(region, rows_part(rows), rows->chunk++, &rows->wanted, rows->batch);
            if (err != DRO_OK)
                return give_up(rows, err);
            if (rows->batch->row_count > 0)
                return DRO_OK;
        }
    }
    rows->is_over = true;
    return DRO_OK;
}

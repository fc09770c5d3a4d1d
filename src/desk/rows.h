/* Rows: what a view can see of a table, in batches: chunk by chunk, filtered by
 * domain and by simple comparisons, only the columns asked for. Under SQLite's scans
 * and under plain aggregates. */
#pragma once

#include "desk/range.h"
#include "desk/view.h"

enum {
    ROWS_RANGES_MAX = 12, /* comparisons of numbers in one scan */
    ROWS_TAGS_MAX = 4,    /* comparisons of tags */
};

typedef enum column_kind { COLUMN_ID, COLUMN_PROPERTY, COLUMN_TIME, COLUMN_REVISION, COLUMN_CONTACT, COLUMN_TAG } column_kind;

typedef struct column_ref {
    column_kind kind;
    const table_property *property;
    const tag_name *tag;
} column_ref;

/* The table's columns, in the order in which they are declared. */
uint32_t table_column_count(const view_table *table);
column_ref table_column(const view_table *table, uint32_t number);
bool table_column_find(const view_table *table, const char *name, size_t length, column_ref *out);

typedef struct range_test {
    const table_property *property;
    unsigned char op; /* SQLITE_INDEX_CONSTRAINT_ISNULL, ISNOTNULL, or a comparison: then `range` */
    range range;
} range_test;

typedef struct tag_test {
    const tag_name *tag;
    char *text; /* owned */
    size_t length;
    uint64_t era;
    uint8_t known[COLUMNS_TAG_SETS_MAX + 1]; /* by set: 0 not looked at, 1 differs, 2 equal */
} tag_test;

typedef struct rows {
    const view_table *table;
    bool is_over;
    columns_batch *batch; /* not empty unless is_over */
    uint32_t part, chunk; /* `chunk` is the next one */
    /* what was asked for */
    unsigned more;
    uint64_t properties[TABLE_PROPERTIES_MAX / 64];
    bool is_nothing;
    int range_count, tag_count;
    range_test ranges[ROWS_RANGES_MAX];
    tag_test *tags[ROWS_TAGS_MAX]; /* allocated once, kept */
    char *id;                      /* owned; wanted.id borrows it */
    /* how it is read */
    uint32_t looks;
    columns_wanted wanted;
    void *memory; /* SQLite's, so that its limit counts it; the batch lies in it */
    size_t memory_bytes;
    const columns_table *placed;
    columns_wanted placed_wanted;
} rows;

void rows_init(rows *rows, const view_table *table);
void rows_fini(rows *rows);

/* A new scan: nothing wanted, nothing tested. */
void rows_restart(rows *rows);
void rows_want(rows *rows, column_ref column);

typedef enum rows_push { ROWS_NOT, ROWS_HINT, ROWS_EXACT } rows_push;
/* Would a test be made? HINT: it may keep rows that it should not. `against` NULL: not known yet. */
rows_push rows_can_test(column_ref column, unsigned char op, const bound *against);
/* Keeps only rows for which the comparison holds, as far as it can be tested here. */
DRO_CHECKED dro_err rows_test(rows *rows, column_ref column, unsigned char op, const bound *against);

/* The next batch. Besides DRO_NOMEM: DRO_LIMIT no CPU time left, DRO_AGAIN and
 * DRO_CORRUPT as columns_batch_read; these are also noted in the view's limits. */
DRO_CHECKED dro_err rows_next(rows *rows);

/* The part that the batch is of, and its column of a property (or PART_HAS_NOT). */
static inline const columns_table *rows_part(const rows *rows)
{
    return rows->table->description->parts[rows->part].table;
}

static inline uint8_t rows_column(const rows *rows, const table_property *property)
{
    return property->of_part[rows->part];
}

int64_t rows_cpu_ns(void); /* of this thread */

/* Table: rows for a terminal, columns aligned. Rows gather until the table is
 * flushed (or TABLE_ROWS_PAGE are there); widths only grow, so a long listing
 * streams with bounded memory. Everything put in is escaped. */
#pragma once

#include <stdio.h>

#include "buffer.h"

enum {
    TABLE_COLUMNS_MAX = 64,
    TABLE_ROWS_PAGE = 512,
    TABLE_CELL_COLUMNS = 64, /* a longer cell is shown whole but does not widen its column */
};

/* `heads` are borrowed until the table is freed. NULL: no memory, or too many columns. */
struct table *table_new(FILE *out, const char *const *heads, size_t count);
void table_free(struct table *table); /* NULL is fine; what is not flushed is lost */
void table_cell(struct table *table, const char *text, size_t length,
                bool is_number); /* left to right, row after row */
void table_text(struct table *table, const char *text);
/* Prints what is there, the heads before the first row. False: something did not fit in memory. */
bool table_flush(struct table *table);
size_t table_rows(const struct table *table); /* ever put in, whole ones */

#include "table.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

struct cell {
    size_t offset, length, columns;
    bool is_number;
};

struct table {
    FILE *out;
    const char *const *heads;
    size_t count;
    size_t widths[TABLE_COLUMNS_MAX];
    struct buffer text;
    size_t cells_used;
    size_t rows;
    bool is_headed, has_failed;
    struct cell cells[]; /* count x TABLE_ROWS_PAGE */
};

struct table *table_new(FILE *out, const char *const *heads, size_t count)
{
    if (count == 0 || count > TABLE_COLUMNS_MAX)
        return NULL;
    struct table *table = calloc(1, sizeof *table + count * TABLE_ROWS_PAGE * sizeof(struct cell));
    if (table == NULL)
        return NULL;
    table->out = out;
    table->heads = heads;
    table->count = count;
    for (size_t i = 0; i < count; i++)
        table->widths[i] = text_width(heads[i], strlen(heads[i]));
    return table;
}

void table_free(struct table *table)
{
    if (table == NULL)
        return;
    buffer_fini(&table->text);
    free(table);
}

void table_cell(struct table *table, const char *text, size_t length, bool is_number)
{
    if (table->cells_used == table->count * TABLE_ROWS_PAGE)
        table_flush(table);
    size_t column = table->cells_used % table->count;
    struct cell *cell = &table->cells[table->cells_used++];
    cell->offset = table->text.length;
    cell->is_number = is_number;
    text_escape(&table->text, text, length);
    cell->length = table->text.length - cell->offset;
    cell->columns = text_width(buffer_string(&table->text) + cell->offset, cell->length);
    if (cell->columns > table->widths[column] && cell->columns <= TABLE_CELL_COLUMNS)
        table->widths[column] = cell->columns;
    if (column + 1 == table->count)
        table->rows++;
}

void table_text(struct table *table, const char *text)
{
    table_cell(table, text, strlen(text), false);
}

static void print_cell(struct table *table, size_t column, const char *text, size_t length, size_t columns,
                       bool is_number)
{
    size_t pad = columns < table->widths[column] ? table->widths[column] - columns : 0;
    bool is_last = column + 1 == table->count;
    if (is_number)
        fprintf(table->out, "%*s", (int)pad, "");
    fwrite(text, 1, length, table->out);
    if (!is_number && !is_last)
        fprintf(table->out, "%*s", (int)pad, "");
    fputs(is_last ? "\n" : "  ", table->out);
}

static void print_heads(struct table *table)
{
    /* A head stands over its column: right where the first row has a number. */
    for (size_t i = 0; i < table->count; i++)
        print_cell(table, i, table->heads[i], strlen(table->heads[i]),
                   text_width(table->heads[i], strlen(table->heads[i])),
                   table->cells_used > i && table->cells[i].is_number);
    table->is_headed = true;
}

bool table_flush(struct table *table)
{
    if (table->text.is_full)
        table->has_failed = true;
    size_t whole = table->cells_used - table->cells_used % table->count;
    if (!table->is_headed)
        print_heads(table);
    for (size_t i = 0; i < whole && !table->has_failed; i++) {
        const struct cell *cell = &table->cells[i];
        print_cell(table, i % table->count, buffer_string(&table->text) + cell->offset, cell->length, cell->columns,
                   cell->is_number);
    }
    table->cells_used = 0;
    buffer_clear(&table->text);
    return !table->has_failed;
}

size_t table_rows(const struct table *table)
{
    return table->rows;
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plot.h"
#include "table.h"

static const char *const two[] = { "ID", "VALUE" };

static char *printed;
static size_t printed_length;

static struct table *open_table(FILE **out, const char *const *heads, size_t count)
{
    *out = open_memstream(&printed, &printed_length);
    return table_new(*out, heads, count);
}

static void expect_printed(struct table *table, FILE *out, const char *want)
{
    assert_true(table_flush(table));
    table_free(table);
    fclose(out);
    assert_string_equal(printed, want);
    free(printed);
}

static void columns_are_aligned_and_numbers_stand_right(void **state)
{
    (void)state;
    FILE *out;
    struct table *table = open_table(&out, two, 2);
    table_text(table, "a");
    table_cell(table, "21.4", 4, true);
    table_text(table, "longer");
    table_cell(table, "12345.67", 8, true);
    expect_printed(table, out, "ID         VALUE\na           21.4\nlonger  12345.67\n");
}

static void wide_and_accented_text_keeps_the_alignment(void **state)
{
    (void)state;
    FILE *out;
    struct table *table = open_table(&out, two, 2);
    table_text(table, "温度");
    table_text(table, "x");
    table_text(table, "ä");
    table_text(table, "y");
    expect_printed(table, out, "ID    VALUE\n温度  x\nä     y\n");
}

static void controls_in_cells_are_escaped(void **state)
{
    (void)state;
    FILE *out;
    struct table *table = open_table(&out, two, 2);
    table_text(table, "\x1b[2J");
    table_text(table, "a\nb");
    expect_printed(table, out, "ID       VALUE\n\\x1b[2J  a\\nb\n");
}

static void an_empty_table_is_its_heads(void **state)
{
    (void)state;
    FILE *out;
    struct table *table = open_table(&out, two, 2);
    expect_printed(table, out, "ID  VALUE\n");
}

static void a_very_long_cell_is_whole_and_does_not_widen_its_column(void **state)
{
    (void)state;
    char text[TABLE_CELL_COLUMNS + 2];
    FILE *out;
    struct table *table = open_table(&out, two, 2);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    table_text(table, text);
    table_text(table, "1");
    table_text(table, "a");
    table_text(table, "2");
    assert_true(table_flush(table));
    table_free(table);
    fclose(out);
    assert_non_null(strstr(printed, text));
    assert_non_null(strstr(printed, "\na   2\n"));
    free(printed);
}

static void more_rows_than_a_page_stream_under_one_head(void **state)
{
    (void)state;
    FILE *out;
    struct table *table = open_table(&out, two, 2);
    size_t lines = 0;
    for (int i = 0; i < 2 * TABLE_ROWS_PAGE + 1; i++) {
        table_text(table, "a");
        table_text(table, "b");
    }
    assert_int_equal(table_rows(table), 2 * TABLE_ROWS_PAGE + 1);
    assert_true(table_flush(table));
    table_free(table);
    fclose(out);
    for (size_t i = 0; i < printed_length; i++)
        lines += printed[i] == '\n';
    assert_int_equal(lines, 2 * TABLE_ROWS_PAGE + 2);
    free(printed);
}

static void no_columns_and_too_many_columns_are_refused(void **state)
{
    (void)state;
    static const char *heads[TABLE_COLUMNS_MAX + 1];
    for (size_t i = 0; i < TABLE_COLUMNS_MAX + 1; i++)
        heads[i] = "h";
    assert_null(table_new(stdout, heads, 0));
    assert_null(table_new(stdout, heads, TABLE_COLUMNS_MAX + 1));
}

static void expect_plot(const double *values, size_t count, const char *want)
{
    struct buffer out = { 0 };
    plot_line(&out, values, count);
    assert_string_equal(buffer_string(&out), want);
    buffer_fini(&out);
}

static void a_plot_goes_from_lowest_to_highest_and_leaves_gaps(void **state)
{
    (void)state;
    expect_plot((const double[]){ 1, 2, __builtin_nan(""), 3 }, 4, "▁▅ █");
    expect_plot((const double[]){ 5, 5 }, 2, "▅▅");
    expect_plot(NULL, 0, "");
}

static void a_plot_of_many_values_stays_as_wide_as_it_may(void **state)
{
    (void)state;
    double values[1000];
    struct buffer out = { 0 };
    for (int i = 0; i < 1000; i++)
        values[i] = i;
    plot_line(&out, values, 1000);
    assert_int_equal(out.length, PLOT_COLUMNS * 3);
    buffer_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_aligned_and_numbers_stand_right),
        cmocka_unit_test(wide_and_accented_text_keeps_the_alignment),
        cmocka_unit_test(controls_in_cells_are_escaped),
        cmocka_unit_test(an_empty_table_is_its_heads),
        cmocka_unit_test(a_very_long_cell_is_whole_and_does_not_widen_its_column),
        cmocka_unit_test(more_rows_than_a_page_stream_under_one_head),
        cmocka_unit_test(no_columns_and_too_many_columns_are_refused),
        cmocka_unit_test(a_plot_goes_from_lowest_to_highest_and_leaves_gaps),
        cmocka_unit_test(a_plot_of_many_values_stays_as_wide_as_it_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Intervals that say what SQLite's comparisons say. */
#include "desk/range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <cmocka.h>

enum { LT = SQLITE_INDEX_CONSTRAINT_LT, LE = SQLITE_INDEX_CONSTRAINT_LE, EQ = SQLITE_INDEX_CONSTRAINT_EQ, GE = SQLITE_INDEX_CONSTRAINT_GE, GT = SQLITE_INDEX_CONSTRAINT_GT };
static const unsigned char ops[] = { LT, LE, EQ, GE, GT };
#define UNKNOWN SQLITE_INDEX_CONSTRAINT_LIKE

static bool holds(double value, unsigned char op, double against)
{
    switch (op) {
    case LT: return value < against;
    case LE: return value <= against;
    case EQ: return value == against;
    case GE: return value >= against;
    default: return value > against;
    }
}

static void whole_numbers_are_compared_with_any_number(void **state)
{
    (void)state;
    static const double against[] = { -2, -1.5, -1, -0.5, 0, 0.5, 1, 2.25, 3 };
    for (size_t i = 0; i < sizeof against / sizeof against[0]; i++)
        for (size_t k = 0; k < sizeof ops; k++)
            for (int is_whole = 0; is_whole < 2; is_whole++) {
                bound bound = { .type = is_whole ? SQLITE_INTEGER : SQLITE_FLOAT, .integer = (int64_t)against[i], .number = against[i] };
                if (is_whole && against[i] != floor(against[i]))
                    continue;
                range range;
                assert_true(range_make(&range, VALUE_INTEGER, ops[k], &bound));
                for (int64_t value = -4; value <= 4; value++) {
                    bool is_inside = !range.is_empty && value >= range.integer.low && value <= range.integer.high;
                    assert_int_equal(is_inside, holds((double)value, ops[k], against[i]));
                }
            }
}

static void numbers_are_compared_with_any_number(void **state)
{
    (void)state;
    static const double values[] = { -INFINITY, -2, -1.5, -1.4999999999999998, 0, 1, 1.0000000000000002, INFINITY };
    static const bound bounds[] = { { .type = SQLITE_INTEGER, .integer = 1 }, { .type = SQLITE_FLOAT, .number = -1.5 }, { .type = SQLITE_INTEGER, .integer = INT64_C(1) << 53 },
                                    { .type = SQLITE_INTEGER, .integer = -(INT64_C(1) << 53) } };
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++)
        for (size_t k = 0; k < sizeof ops; k++) {
            double against = bounds[i].type == SQLITE_INTEGER ? (double)bounds[i].integer : bounds[i].number;
            range range;
            assert_true(range_make(&range, VALUE_NUMBER, ops[k], &bounds[i]));
            for (size_t v = 0; v < sizeof values / sizeof values[0]; v++)
                assert_int_equal(values[v] >= range.number.low && values[v] <= range.number.high, holds(values[v], ops[k], against));
        }
}

static void the_ends_of_whole_numbers_are_ends(void **state)
{
    (void)state;
    range range;
    bound least = { .type = SQLITE_INTEGER, .integer = INT64_MIN }, most = { .type = SQLITE_INTEGER, .integer = INT64_MAX };
    assert_true(range_make(&range, VALUE_INTEGER, LT, &least));
    assert_true(range.is_empty);
    assert_true(range_make(&range, VALUE_INTEGER, GT, &most));
    assert_true(range.is_empty);
    assert_true(range_make(&range, VALUE_INTEGER, GE, &most));
    assert_true(!range.is_empty && range.integer.low == INT64_MAX && range.integer.high == INT64_MAX);
}

static void nothing_compares_with_null(void **state)
{
    (void)state;
    range range;
    assert_true(range_make(&range, VALUE_NUMBER, EQ, &(bound){ .type = SQLITE_NULL }));
    assert_true(range.is_empty);
}

static void what_no_interval_says_is_left_to_sqlite(void **state)
{
    (void)state;
    range range;
    static const struct { value_kind kind; unsigned char op; bound bound; } others[] = {
        { VALUE_INTEGER, UNKNOWN, { .type = SQLITE_INTEGER } }, { VALUE_INTEGER, UNKNOWN, { .type = SQLITE_FLOAT, .number = 0.5 } }, { VALUE_NUMBER, UNKNOWN, { .type = SQLITE_INTEGER } },
        { VALUE_NUMBER, UNKNOWN, { .type = SQLITE_FLOAT } }, { VALUE_NUMBER, EQ, { .type = SQLITE_TEXT, .text = "1", .length = 1 } },
        { VALUE_INTEGER, EQ, { .type = SQLITE_FLOAT, .number = 0x1p62 } }, { VALUE_INTEGER, EQ, { .type = SQLITE_FLOAT, .number = -0x1p62 } },
        { VALUE_INTEGER, EQ, { .type = SQLITE_FLOAT, .number = NAN } }, { VALUE_NUMBER, EQ, { .type = SQLITE_INTEGER, .integer = (INT64_C(1) << 53) + 1 } },
        { VALUE_NUMBER, EQ, { .type = SQLITE_INTEGER, .integer = -(INT64_C(1) << 53) - 1 } }, { VALUE_STRING, EQ, { .type = SQLITE_INTEGER } }, { VALUE_STRING, EQ, { .type = SQLITE_FLOAT } },
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(range_make(&range, others[i].kind, others[i].op, &others[i].bound));
}

static void rows_that_are_set_and_inside_are_kept(void **state)
{
    (void)state;
    static const double numbers[] = { 1, 2, 3, 4 };
    static const int64_t integers[] = { 1, 2, 3, 4 };
    static const uint8_t flags[] = { 0, 1, 1, 0 };
    static const uint16_t states[] = { 1, 1, 0, 1 };
    static columns_batch batch;
    uint16_t *rows = batch.rows;
    static const struct { value_kind kind; const void *values; int64_t least; uint32_t kept; uint16_t first, second; } cases[] = {
        { VALUE_NUMBER, numbers, 2, 2, 1, 3 }, { VALUE_INTEGER, integers, 2, 2, 1, 3 }, { VALUE_BOOLEAN, flags, 1, 1, 1, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        range range;
        assert_true(range_make(&range, cases[i].kind, GE, &(bound){ .type = SQLITE_INTEGER, .integer = cases[i].least }));
        for (uint16_t row = 0; row < 5; row++)
            rows[row] = row == 0 ? 77 : (uint16_t)(row - 1); /* one that was kept before stays */
        batch.row_count = 5;
        range_keep(&range, cases[i].kind, cases[i].values, states, &batch, 1);
        assert_int_equal(batch.row_count, 1 + cases[i].kept);
        assert_int_equal(rows[0], 77);
        assert_int_equal(rows[1], cases[i].first);
        assert_true(cases[i].kept < 2 || rows[2] == cases[i].second);
        range.is_empty = true;
        range_keep(&range, cases[i].kind, cases[i].values, states, &batch, 1);
        assert_int_equal(batch.row_count, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_are_compared_with_any_number),
        cmocka_unit_test(numbers_are_compared_with_any_number),
        cmocka_unit_test(the_ends_of_whole_numbers_are_ends),
        cmocka_unit_test(nothing_compares_with_null),
        cmocka_unit_test(what_no_interval_says_is_left_to_sqlite),
        cmocka_unit_test(rows_that_are_set_and_inside_are_kept),
    };
    return cmocka_run_group_tests_name("range", tests, NULL, NULL);
}

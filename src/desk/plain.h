/* Plain: the shape of a query that needs no general engine, recognised in its text:
 *
 *   select ITEM, ... from TABLE [where TEST and ...] [group by COLUMN, ...]
 *   [order by ITEM [asc|desc], ...] [limit N]
 *
 * ITEM is a column, or count sum total avg min max of one; TEST compares a column
 * with a literal, or is a boolean column. Everything else is not plain. Pure:
 * names are not looked up here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "desk/range.h"

enum {
    PLAIN_ITEMS_MAX = 16,
    PLAIN_TESTS_MAX = 8,
    PLAIN_GROUPS_MAX = 3,
    PLAIN_ORDERS_MAX = 4,
    PLAIN_NAME_MAX = 255,
};

typedef struct plain_name {
    uint32_t length;
    char text[PLAIN_NAME_MAX + 1]; /* without quotes */
} plain_name;

typedef enum plain_function {
    PLAIN_COLUMN,
    PLAIN_COUNT_ROWS, /* count(*) */
    PLAIN_COUNT,
    PLAIN_SUM,
    PLAIN_TOTAL,
    PLAIN_AVG,
    PLAIN_MIN,
    PLAIN_MAX,
} plain_function;

typedef struct plain_item {
    plain_function function;
    plain_name column; /* not of count(*) */
    bool has_alias;
    plain_name alias;
    const char *text;  /* as written, without the alias; borrows the SQL */
    size_t length;
} plain_item;

typedef struct plain_test {
    plain_name column;
    bool is_boolean;  /* the column itself is the condition: = `against`, only for a boolean one */
    unsigned char op; /* SQLITE_INDEX_CONSTRAINT_... */
    bound against;    /* text borrows the SQL */
} plain_test;

typedef struct plain_order {
    uint32_t item;
    bool is_descending;
} plain_order;

typedef struct plain_query {
    plain_name table;
    uint32_t item_count, test_count, group_count, order_count;
    plain_item items[PLAIN_ITEMS_MAX];
    plain_test tests[PLAIN_TESTS_MAX];
    plain_name groups[PLAIN_GROUPS_MAX];
    plain_order orders[PLAIN_ORDERS_MAX];
    int64_t limit; /* -1: none */
} plain_query;

/* False: not plain. */
bool plain_parse(plain_query *out, const char *sql, size_t length);

#include "desk/plain.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "desk/sql_text.h"

enum { NUMBER_TEXT_MAX = 63 };

typedef struct parser {
    const char *sql;
    size_t length;
    sql_token token; /* the one looked at, */
    size_t at, end;  /* and its place */
    size_t behind;   /* where the one before it ended */
} parser;

static void next(parser *in)
{
    in->behind = in->end;
    do {
        in->at = in->end;
        in->token = sql_next(in->sql, in->length, &in->end);
    } while (in->token == SQL_SPACE);
    if (in->token == SQL_END)
        in->at = in->end = in->length;
}

static bool take_word(parser *in, const char *word)
{
    size_t length = strlen(word);
    if (in->token != SQL_WORD || in->end - in->at != length || strncasecmp(in->sql + in->at, word, length) != 0)
        return false;
    next(in);
    return true;
}

static bool take_sign(parser *in, char sign)
{
    if (in->token != SQL_OTHER || in->end - in->at != 1 || in->sql[in->at] != sign)
        return false;
    next(in);
    return true;
}

/* A plain word that is no keyword, or a name in double quotes. */
static bool take_name(parser *in, plain_name *out)
{
    const char *from = in->sql + in->at;
    size_t length = in->end - in->at;
    out->length = 0;
    if (length == 0 || length > PLAIN_NAME_MAX)
        return false;
    if (in->token == SQL_WORD && !sqlite3_keyword_check(from, (int)length)) {
        memcpy(out->text, from, length);
        out->length = (uint32_t)length;
    } else if (in->token == SQL_QUOTED && length > 2 && from[0] == '"' && from[length - 1] == '"') {
        for (size_t i = 1; i + 1 < length; i++) {
            out->text[out->length++] = from[i];
            i += from[i] == '"'; /* two stand for one */
        }
    } else {
        return false;
    }
    out->text[out->length] = '\0';
    next(in);
    return true;
}

/* ---- literals ---- */

/* A number as SQLite reads it; it may be several of our tokens. */
static bool take_number(parser *in, bool is_negative, bound *out)
{
    char text[NUMBER_TEXT_MAX + 1] = { is_negative ? '-' : '+' };
    size_t used = 1, at = in->at;
    bool is_whole = true;
    for (; at < in->length && used < NUMBER_TEXT_MAX; at++) {
        char byte = in->sql[at], before = text[used - 1];
        bool is_exponent_sign = (byte == '+' || byte == '-') && (before == 'e' || before == 'E');
        if (!isdigit((unsigned char)byte) && byte != '.' && byte != 'e' && byte != 'E' && !is_exponent_sign)
            break;
        is_whole = is_whole && isdigit((unsigned char)byte);
        text[used++] = byte;
    }
    char *end;
    errno = 0;
    *out = (bound){ .type = is_whole ? SQLITE_INTEGER : SQLITE_FLOAT };
    if (is_whole)
        out->integer = strtoll(text, &end, 10);
    else
        out->number = strtod(text, &end);
    bool is_followed = at < in->length && (isalnum((unsigned char)in->sql[at]) || in->sql[at] == '_');
    if (used < 2 || errno != 0 || *end != '\0' || is_followed)
        return false;
    in->end = at;
    next(in);
    return true;
}

static bool take_literal(parser *in, bound *out)
{
    if (in->token == SQL_STRING) {
        const char *from = in->sql + in->at + 1;
        size_t length = in->end - in->at;
        if (length < 2 || from[length - 2] != '\'' || memchr(from, '\'', length - 2) != NULL)
            return false; /* not closed, or with a quote inside */
        *out = (bound){ .type = SQLITE_TEXT, .text = from, .length = length - 2 };
        next(in);
        return true;
    }
    *out = (bound){ .type = SQLITE_INTEGER };
    if (take_word(in, "false"))
        return true;
    if (take_word(in, "true")) {
        out->integer = 1;
        return true;
    }
    bool is_negative = take_sign(in, '-');
    char first = in->at < in->length ? in->sql[in->at] : '\0';
    return in->token == SQL_OTHER && (isdigit((unsigned char)first) || first == '.') && take_number(in, is_negative, out);
}

/* ---- parts ---- */

static bool take_function(parser *in, plain_item *item)
{
    static const struct { const char *name; plain_function function; } functions[] = {
        { "count", PLAIN_COUNT }, { "sum", PLAIN_SUM }, { "total", PLAIN_TOTAL },
        { "avg", PLAIN_AVG },     { "min", PLAIN_MIN }, { "max", PLAIN_MAX },
    };
    parser before = *in;
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        if (!take_word(in, functions[i].name))
            continue;
        if (!take_sign(in, '('))
            break;
        item->function = functions[i].function;
        if (item->function == PLAIN_COUNT && take_sign(in, '*')) {
            item->function = PLAIN_COUNT_ROWS;
            return take_sign(in, ')');
        }
        return take_name(in, &item->column) && take_sign(in, ')');
    }
    *in = before;
    item->function = PLAIN_COLUMN;
    return take_name(in, &item->column);
}

static bool take_items(parser *in, plain_query *out)
{
    do {
        if (out->item_count == PLAIN_ITEMS_MAX)
            return false;
        plain_item *item = &out->items[out->item_count++];
        size_t start = in->at;
        if (!take_function(in, item))
            return false;
        item->text = in->sql + start;
        item->length = in->behind - start;
        bool is_named = take_word(in, "as");
        item->has_alias = take_name(in, &item->alias);
        if (is_named && !item->has_alias)
            return false;
    } while (take_sign(in, ','));
    return true;
}

static bool test_add(plain_query *out, const plain_name *column, unsigned char op, const bound *against)
{
    if (out->test_count == PLAIN_TESTS_MAX)
        return false;
    out->tests[out->test_count++] = (plain_test){ .column = *column, .op = op, .against = *against };
    return true;
}

static bool take_comparison(parser *in, unsigned char *op)
{
    size_t at = in->at;
    bool is_less = take_sign(in, '<'), is_greater = !is_less && take_sign(in, '>');
    if (!is_less && !is_greater) {
        *op = SQLITE_INDEX_CONSTRAINT_EQ;
        return take_sign(in, '=');
    }
    bool is_equal = in->at == at + 1 && take_sign(in, '=');
    *op = is_less ? (is_equal ? SQLITE_INDEX_CONSTRAINT_LE : SQLITE_INDEX_CONSTRAINT_LT)
                  : (is_equal ? SQLITE_INDEX_CONSTRAINT_GE : SQLITE_INDEX_CONSTRAINT_GT);
    return true;
}

static bool take_test(parser *in, plain_query *out)
{
    plain_name column;
    bound low = { .type = SQLITE_INTEGER, .integer = 1 }, high;
    unsigned char op;
    bool is_negated = take_word(in, "not");
    if (!take_name(in, &column))
        return false;
    if (take_word(in, "is")) {
        op = take_word(in, "not") ? SQLITE_INDEX_CONSTRAINT_ISNOTNULL : SQLITE_INDEX_CONSTRAINT_ISNULL;
        return !is_negated && take_word(in, "null") && test_add(out, &column, op, &low);
    }
    if (take_word(in, "between"))
        return !is_negated && take_literal(in, &low) && take_word(in, "and") && take_literal(in, &high) &&
               test_add(out, &column, SQLITE_INDEX_CONSTRAINT_GE, &low) &&
               test_add(out, &column, SQLITE_INDEX_CONSTRAINT_LE, &high);
    if (take_comparison(in, &op))
        return !is_negated && take_literal(in, &low) && test_add(out, &column, op, &low);
    low.integer = !is_negated;
    if (!test_add(out, &column, SQLITE_INDEX_CONSTRAINT_EQ, &low))
        return false;
    out->tests[out->test_count - 1].is_boolean = true;
    return true;
}

static bool take_tests(parser *in, plain_query *out)
{
    do {
        if (!take_test(in, out))
            return false;
    } while (take_word(in, "and"));
    return true;
}

static bool is_same(const plain_name *a, const plain_name *b)
{
    return a->length == b->length && strncasecmp(a->text, b->text, a->length) == 0;
}

/* 1, 2, ... as the place of an item. */
static bool take_position(parser *in, const plain_query *query, uint32_t *item)
{
    bound number;
    if (in->token != SQL_OTHER || !take_number(in, false, &number))
        return false;
    *item = (uint32_t)number.integer - 1;
    return number.type == SQLITE_INTEGER && number.integer >= 1 && number.integer <= query->item_count;
}

/* Groups are columns; an alias of one counts where no column has its name, which
 * only the caller knows: so an alias must not differ from what it names. */
static bool take_groups(parser *in, plain_query *out)
{
    do {
        uint32_t item;
        if (out->group_count == PLAIN_GROUPS_MAX)
            return false;
        plain_name *group = &out->groups[out->group_count++];
        if (in->token == SQL_OTHER) {
            if (!take_position(in, out, &item) || out->items[item].function != PLAIN_COLUMN)
                return false;
            *group = out->items[item].column;
        } else if (!take_name(in, group)) {
            return false;
        }
        for (uint32_t i = 0; i < out->item_count; i++)
            if (out->items[i].has_alias && is_same(&out->items[i].alias, group) &&
                !is_same(&out->items[i].column, group))
                return false;
    } while (take_sign(in, ','));
    return true;
}

/* An item by its alias, its column's name or its text. */
static bool take_ordered_item(parser *in, const plain_query *query, uint32_t *item)
{
    plain_item written = { .function = PLAIN_COLUMN };
    uint32_t found = 0;
    if (in->token == SQL_OTHER)
        return take_position(in, query, item);
    if (!take_function(in, &written))
        return false;
    for (uint32_t i = 0; i < query->item_count; i++) {
        const plain_item *one = &query->items[i];
        bool is_alias = written.function == PLAIN_COLUMN && one->has_alias && is_same(&one->alias, &written.column);
        bool is_it = one->function == written.function &&
                     (written.function == PLAIN_COUNT_ROWS || is_same(&one->column, &written.column));
        if (is_alias || is_it) {
            *item = i;
            found++;
        }
    }
    return found == 1;
}

static bool take_orders(parser *in, plain_query *out)
{
    do {
        if (out->order_count == PLAIN_ORDERS_MAX)
            return false;
        plain_order *order = &out->orders[out->order_count++];
        if (!take_ordered_item(in, out, &order->item))
            return false;
        order->is_descending = take_word(in, "desc");
        if (!order->is_descending)
            take_word(in, "asc");
    } while (take_sign(in, ','));
    return true;
}

bool plain_parse(plain_query *out, const char *sql, size_t length)
{
    parser in = { .sql = sql, .length = length };
    bound limit = { .integer = -1 };
    out->item_count = out->test_count = out->group_count = out->order_count = 0;
    next(&in);
    if (!take_word(&in, "select") || !take_items(&in, out) || !take_word(&in, "from") || !take_name(&in, &out->table))
        return false;
    if (take_word(&in, "where") && !take_tests(&in, out))
        return false;
    if (take_word(&in, "group") && !(take_word(&in, "by") && take_groups(&in, out)))
        return false;
    if (take_word(&in, "order") && !(take_word(&in, "by") && take_orders(&in, out)))
        return false;
    if (take_word(&in, "limit") && !(take_literal(&in, &limit) && limit.type == SQLITE_INTEGER && limit.integer >= 0))
        return false;
    out->limit = limit.integer;
    return in.token == SQL_END || sql_is_over(sql, length, &in.at);
}

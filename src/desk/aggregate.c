#include "desk/aggregate.h"

#include <stdlib.h>
#include <string.h>

#include "desk/plain.h"
#include "desk/rows.h"

enum {
    KEY_SLOTS = AGGREGATE_GROUPS_MAX * 2,
    TEXTS_MAX = 4096,           /* different texts of one tag */
    TEXT_BYTES_MAX = 64 * 1024, /* of all of them */
    CODE_NULL = 0,              /* of a group's column: NULL; else a boolean + 1, or a text's number + 1 */
};

/* The texts of one tag, numbered as they come. */
typedef struct texts {
    uint32_t count, used;
    uint32_t starts[TEXTS_MAX], lengths[TEXTS_MAX];
    uint16_t slots[TEXTS_MAX * 2]; /* number + 1 */
    uint64_t era;
    uint16_t codes[COLUMNS_TAG_SETS_MAX + 1]; /* by set of tags; UNKNOWN: not looked at */
    char bytes[TEXT_BYTES_MAX];
} texts;
enum { UNKNOWN = UINT16_MAX };

typedef struct state { /* of one item in one group */
    uint64_t count;
    double sum, low, high;
    int64_t whole_sum, whole_low, whole_high;
} state;

typedef struct work {
    const view_table *table;
    plain_query query;
    column_ref items[PLAIN_ITEMS_MAX], groups[PLAIN_GROUPS_MAX];
    uint32_t item_group[PLAIN_ITEMS_MAX]; /* of a PLAIN_COLUMN: which group's column it is */
    rows rows;
    uint32_t group_count;
    uint64_t keys[AGGREGATE_GROUPS_MAX]; /* codes, 16 bits each */
    uint16_t slots[KEY_SLOTS];           /* group + 1 */
    state *states;                       /* [group_capacity][item_count] */
    uint32_t group_capacity;
    texts *texts[PLAIN_GROUPS_MAX];
    uint16_t group_of[COLUMNS_CHUNK_ROWS]; /* of the batch's rows, in their order */
    bool is_too_much;                      /* more than there is room for, or an overflow: SQLite's turn */
} work;

/* ---- names ---- */

static bool is_countable(column_ref column)
{
    return column.kind == COLUMN_PROPERTY && column.property->is_uniform && column.property->kind != VALUE_STRING;
}

static bool is_same(column_ref a, column_ref b)
{
    return a.kind == b.kind && a.property == b.property && a.tag == b.tag;
}

static bool groups_resolve(work *work)
{
    for (uint32_t i = 0; i < work->query.group_count; i++) {
        const plain_name *name = &work->query.groups[i];
        column_ref *column = &work->groups[i];
        if (!table_column_find(work->table, name->text, name->length, column))
            return false;
        bool is_boolean = is_countable(*column) && column->property->kind == VALUE_BOOLEAN;
        if (column->kind != COLUMN_TAG && !is_boolean)
            return false;
        rows_want(&work->rows, *column);
    }
    return true;
}

static bool items_resolve(work *work)
{
    bool has_aggregate = work->query.group_count > 0;
    for (uint32_t i = 0; i < work->query.item_count; i++) {
        const plain_item *item = &work->query.items[i];
        column_ref *column = &work->items[i];
        uint32_t group = 0;
        has_aggregate = has_aggregate || item->function != PLAIN_COLUMN;
        if (item->function == PLAIN_COUNT_ROWS)
            continue;
        if (!table_column_find(work->table, item->column.text, item->column.length, column))
            return false;
        rows_want(&work->rows, *column);
        if (item->function != PLAIN_COLUMN) {
            if (!is_countable(*column))
                return false;
            continue;
        }
        while (group < work->query.group_count && !is_same(work->groups[group], *column))
            group++;
        work->item_group[i] = group;
        if (group == work->query.group_count)
            return false;
    }
    return has_aggregate;
}

/* Every test must be exact: nobody looks at the rows again. */
static dro_err tests_resolve(work *work, bool *is_plain)
{
    uint32_t ids = 0;
    *is_plain = false;
    for (uint32_t i = 0; i < work->query.test_count; i++) {
        const plain_test *test = &work->query.tests[i];
        column_ref column;
        if (!table_column_find(work->table, test->column.text, test->column.length, &column) ||
            rows_can_test(column, test->op, &test->against) != ROWS_EXACT)
            return DRO_OK;
        if (test->is_boolean && column.property->kind != VALUE_BOOLEAN)
            return DRO_OK;
        ids += column.kind == COLUMN_ID;
        bool is_tag_too_many = column.kind == COLUMN_TAG && work->rows.tag_count >= ROWS_TAGS_MAX;
        if (ids > 1 || is_tag_too_many || work->rows.range_count >= ROWS_RANGES_MAX)
            return DRO_OK;
        dro_err err = rows_test(&work->rows, column, test->op, &test->against);
        if (err != DRO_OK)
            return err;
    }
    *is_plain = true;
    return DRO_OK;
}

/* ---- groups ---- */

static uint32_t text_hash(const char *text, size_t length)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)text[i]) * 16777619u;
    return hash ^ hash >> 15;
}

/* The text's number + 1; UNKNOWN: no room. */
static uint16_t text_code(texts *texts, const char *text, size_t length)
{
    uint32_t slot = text_hash(text, length) % (TEXTS_MAX * 2);
    for (; texts->slots[slot] != 0; slot = (slot + 1) % (TEXTS_MAX * 2)) {
        uint32_t number = texts->slots[slot] - 1u;
        if (texts->lengths[number] == length && memcmp(texts->bytes + texts->starts[number], text, length) == 0)
            return texts->slots[slot];
    }
    if (texts->count == TEXTS_MAX || length > TEXT_BYTES_MAX - texts->used)
        return UNKNOWN;
    memcpy(texts->bytes + texts->used, text, length);
    texts->starts[texts->count] = texts->used;
    texts->lengths[texts->count] = (uint32_t)length;
    texts->used += (uint32_t)length;
    texts->slots[slot] = (uint16_t)++texts->count;
    return texts->slots[slot];
}

static uint16_t tag_code(work *work, uint32_t group, uint32_t row)
{
    const columns_batch *batch = work->rows.batch;
    texts *texts = work->texts[group];
    uint16_t *code = &texts->codes[batch->tag_set[row]];
    if (*code != UNKNOWN)
        return *code;
    const tag_name *tag = work->groups[group].tag;
    size_t tags_length, length = 0;
    const uint8_t *tags = columns_batch_tags(batch, row, &tags_length);
    const char *text = tags == NULL ? NULL : columns_tag_find(tags, tags_length, tag->name, tag->length, &length);
    uint16_t found = text == NULL ? CODE_NULL : text_code(texts, text, length);
    work->is_too_much = work->is_too_much || found == UNKNOWN;
    *code = found;
    return found;
}

static uint16_t boolean_code(const work *work, uint32_t group, uint32_t row)
{
    const columns_batch *batch = work->rows.batch;
    uint8_t column = rows_column(&work->rows, work->groups[group].property);
    if (column == PART_HAS_NOT || batch->states[column][row] == 0)
        return CODE_NULL;
    return (uint16_t)(1 + (batch->values[column][row] != 0));
}

static bool groups_grow(work *work)
{
    uint32_t capacity = work->group_capacity == 0 ? 16 : work->group_capacity * 2;
    state *states = realloc(work->states, (size_t)capacity * work->query.item_count * sizeof *states);
    if (states == NULL)
        return false;
    size_t old = (size_t)work->group_capacity * work->query.item_count;
    memset(states + old, 0, ((size_t)capacity * work->query.item_count - old) * sizeof *states);
    work->states = states;
    work->group_capacity = capacity;
    return true;
}

static uint16_t group_find(work *work, uint64_t key)
{
    uint32_t slot = (uint32_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 40) % KEY_SLOTS;
    for (; work->slots[slot] != 0; slot = (slot + 1) % KEY_SLOTS)
        if (work->keys[work->slots[slot] - 1] == key)
            return (uint16_t)(work->slots[slot] - 1);
    if (work->group_count == AGGREGATE_GROUPS_MAX ||
        (work->group_count == work->group_capacity && !groups_grow(work))) {
        work->is_too_much = true;
        return 0;
    }
    work->keys[work->group_count] = key;
    work->slots[slot] = (uint16_t)(work->group_count + 1);
    return (uint16_t)work->group_count++;
}

/* Fills group_of for the batch. */
static void groups_assign(work *work)
{
    const columns_batch *batch = work->rows.batch;
    uint64_t last_key = 0;
    uint16_t last = 0;
    for (uint32_t i = 0; i < work->query.group_count; i++)
        if (work->texts[i] != NULL && work->texts[i]->era != batch->tags->era) {
            memset(work->texts[i]->codes, 0xff, sizeof work->texts[i]->codes);
            work->texts[i]->era = batch->tags->era;
        }
    for (uint32_t i = 0; i < batch->row_count; i++) {
        uint64_t key = 0;
        for (uint32_t group = 0; group < work->query.group_count; group++)
            key = key << 16 | (work->texts[group] != NULL ? tag_code(work, group, batch->rows[i])
                                                          : boolean_code(work, group, batch->rows[i]));
        if (i == 0 || key != last_key)
            last = group_find(work, key);
        last_key = key;
        work->group_of[i] = last;
    }
}

/* ---- sums ---- */

static void numbers_add(work *work, uint32_t item, const double *values, const uint16_t *states)
{
    const columns_batch *batch = work->rows.batch;
    for (uint32_t i = 0; i < batch->row_count; i++) {
        uint32_t row = batch->rows[i];
        state *to = &work->states[(size_t)work->group_of[i] * work->query.item_count + item];
        if (states[row] == 0)
            continue;
        double one = values[row];
        to->low = to->count == 0 || one < to->low ? one : to->low;
        to->high = to->count == 0 || one > to->high ? one : to->high;
        to->sum += one;
        to->count++;
    }
}

/* The same for one group: its state stays in registers. */
static void numbers_add_all(work *work, uint32_t item, const double *values, const uint16_t *states)
{
    const columns_batch *batch = work->rows.batch;
    state to = work->states[item];
    for (uint32_t i = 0; i < batch->row_count; i++) {
        uint32_t row = batch->rows[i];
        if (states[row] == 0)
            continue;
        double one = values[row];
        to.low = to.count == 0 || one < to.low ? one : to.low;
        to.high = to.count == 0 || one > to.high ? one : to.high;
        to.sum += one;
        to.count++;
    }
    work->states[item] = to;
}

static void integers_add(work *work, uint32_t item, const void *values, bool is_boolean, const uint16_t *states)
{
    const columns_batch *batch = work->rows.batch;
    for (uint32_t i = 0; i < batch->row_count; i++) {
        uint32_t row = batch->rows[i];
        state *to = &work->states[(size_t)work->group_of[i] * work->query.item_count + item];
        if (states[row] == 0)
            continue;
        int64_t one = is_boolean ? ((const uint8_t *)values)[row] != 0 : ((const int64_t *)values)[row];
        to->whole_low = to->count == 0 || one < to->whole_low ? one : to->whole_low;
        to->whole_high = to->count == 0 || one > to->whole_high ? one : to->whole_high;
        to->sum += (double)one;
        bool overflows = __builtin_add_overflow(to->whole_sum, one, &to->whole_sum);
        work->is_too_much = work->is_too_much || (overflows && work->query.items[item].function == PLAIN_SUM);
        to->count++;
    }
}

static void rows_count(work *work, uint32_t item)
{
    uint32_t count = work->rows.batch->row_count, items = work->query.item_count;
    if (work->query.group_count == 0)
        work->states[item].count += count;
    else
        for (uint32_t i = 0; i < count; i++)
            work->states[(size_t)work->group_of[i] * items + item].count++;
}

static void batch_add(work *work)
{
    const columns_batch *batch = work->rows.batch;
    if (work->query.group_count > 0)
        groups_assign(work);
    for (uint32_t i = 0; i < work->query.item_count && !work->is_too_much; i++) {
        if (work->query.items[i].function == PLAIN_COLUMN)
            continue;
        if (work->query.items[i].function == PLAIN_COUNT_ROWS) {
            rows_count(work, i);
            continue;
        }
        value_kind kind = work->items[i].property->kind;
        uint8_t column = rows_column(&work->rows, work->items[i].property);
        if (column == PART_HAS_NOT)
            continue;
        const void *values = batch->values[column];
        if (kind != VALUE_NUMBER)
            integers_add(work, i, values, kind == VALUE_BOOLEAN, batch->states[column]);
        else if (work->query.group_count == 0)
            numbers_add_all(work, i, values, batch->states[column]);
        else
            numbers_add(work, i, values, batch->states[column]);
    }
}

/* ---- results ---- */

static value column_value(const work *work, uint32_t group, uint32_t number)
{
    uint16_t code = (uint16_t)(work->keys[group] >> 16 * (work->query.group_count - 1 - number));
    value out = { .kind = VALUE_NONE };
    if (code == CODE_NULL)
        return out;
    const texts *texts = work->texts[number];
    out.kind = texts == NULL ? VALUE_BOOLEAN : VALUE_STRING;
    if (texts == NULL) {
        out.boolean = code == 2;
    } else {
        out.string = texts->bytes + texts->starts[code - 1];
        out.length = texts->lengths[code - 1];
    }
    return out;
}

static value item_value(const work *work, uint32_t group, uint32_t item)
{
    const state *state = &work->states[(size_t)group * work->query.item_count + item];
    plain_function function = work->query.items[item].function;
    value number = { .kind = VALUE_NUMBER }, whole = { .kind = VALUE_INTEGER };
    if (function == PLAIN_COLUMN)
        return column_value(work, group, work->item_group[item]);
    bool is_number = function != PLAIN_COUNT_ROWS && work->items[item].property->kind == VALUE_NUMBER;
    if (state->count == 0 && function != PLAIN_COUNT_ROWS && function != PLAIN_COUNT && function != PLAIN_TOTAL)
        return (value){ .kind = VALUE_NONE };
    switch (function) {
    case PLAIN_COLUMN:
    case PLAIN_COUNT_ROWS:
    case PLAIN_COUNT: whole.integer = (int64_t)state->count; return whole;
    case PLAIN_TOTAL: number.number = state->sum; return number;
    case PLAIN_AVG: number.number = state->sum / (double)state->count; return number;
    case PLAIN_SUM: number.number = state->sum; whole.integer = state->whole_sum; break;
    case PLAIN_MIN: number.number = state->low; whole.integer = state->whole_low; break;
    case PLAIN_MAX: number.number = state->high; whole.integer = state->whole_high; break;
    }
    return is_number ? number : whole;
}

/* As SQLite sorts: NULL, numbers, text by bytes. */
static int compare_values(const value *a, const value *b)
{
    if (a->kind == VALUE_NONE || b->kind == VALUE_NONE)
        return (a->kind != VALUE_NONE) - (b->kind != VALUE_NONE);
    switch (a->kind) { /* of one item all have one kind */
    case VALUE_NUMBER: return (a->number > b->number) - (a->number < b->number);
    case VALUE_INTEGER: return (a->integer > b->integer) - (a->integer < b->integer);
    case VALUE_BOOLEAN: return a->boolean - b->boolean;
    case VALUE_STRING: {
        size_t least = a->length < b->length ? a->length : b->length;
        int order = memcmp(a->string, b->string, least);
        return order != 0 ? order : (a->length > b->length) - (a->length < b->length);
    }
    case VALUE_NONE: break;
    }
    return 0;
}

static int compare_groups(const void *a, const void *b, void *context)
{
    const work *work = context;
    uint32_t first = *(const uint16_t *)a, second = *(const uint16_t *)b;
    for (uint32_t i = 0; i < work->query.order_count; i++) {
        value left = item_value(work, first, work->query.orders[i].item);
        value right = item_value(work, second, work->query.orders[i].item);
        int order = compare_values(&left, &right);
        if (order != 0)
            return work->query.orders[i].is_descending ? -order : order;
    }
    for (uint32_t i = 0; i < work->query.group_count; i++) {
        value left = column_value(work, first, i), right = column_value(work, second, i);
        int order = compare_values(&left, &right);
        if (order != 0)
            return order;
    }
    return 0;
}

static void names_write(const work *work, answer *answer)
{
    answer_raw(answer, "{\"columns\":[");
    for (uint32_t i = 0; i < work->query.item_count; i++) {
        const plain_item *item = &work->query.items[i];
        const column_ref *column = &work->items[i];
        answer_raw(answer, i > 0 ? "," : "");
        if (item->has_alias) {
            answer_text(answer, item->alias.text, item->alias.length);
        } else if (item->function == PLAIN_COLUMN) {
            bool is_call = strncmp(item->column.text, "tag('", 5) == 0;
            const char *name = is_call                        ? item->column.text
                               : column->kind == COLUMN_TAG ? column->tag->name
                                                              : column->property->name;
            answer_text(answer, name, strlen(name));
        } else {
            answer_text(answer, item->text, item->length);
        }
    }
    answer_raw(answer, "],\"rows\":[");
}

static void groups_write(work *work, answer *answer)
{
    uint16_t order[AGGREGATE_GROUPS_MAX];
    names_write(work, answer);
    for (uint32_t i = 0; i < work->group_count; i++)
        order[i] = (uint16_t)i;
    qsort_r(order, work->group_count, sizeof *order, compare_groups, work);
    for (uint32_t i = 0; i < work->group_count && (work->query.limit < 0 || i < work->query.limit); i++) {
        answer_raw(answer, i > 0 ? ",[" : "[");
        for (uint32_t item = 0; item < work->query.item_count; item++) {
            value cell = item_value(work, order[i], item);
            answer_raw(answer, item > 0 ? "," : "");
            answer_value(answer, &cell);
        }
        answer_raw(answer, "]");
    }
}

/* ---- the whole ---- */

static dro_err work_prepare(work *work, const view_table *table, bool *is_plain)
{
    work->table = table;
    rows_init(&work->rows, table);
    *is_plain = false;
    if (!groups_resolve(work) || !items_resolve(work))
        return DRO_OK;
    for (uint32_t i = 0; i < work->query.group_count; i++) {
        if (work->groups[i].kind != COLUMN_TAG)
            continue;
        work->texts[i] = calloc(1, sizeof *work->texts[i]);
        if (work->texts[i] == NULL)
            return DRO_NOMEM;
    }
    if (work->query.group_count == 0) {
        work->group_count = 1; /* also without any row */
        if (!groups_grow(work))
            return DRO_NOMEM;
    }
    return tests_resolve(work, is_plain);
}

static void work_free(work *work)
{
    for (uint32_t i = 0; i < PLAIN_GROUPS_MAX; i++)
        free(work->texts[i]);
    rows_fini(&work->rows);
    free(work->states);
    free(work);
}

dro_err aggregate_answer(view *view, const char *sql, size_t length, answer *answer, bool *is_answered)
{
    work *work = calloc(1, sizeof *work);
    bool is_plain = false;
    dro_err err = DRO_OK;
    *is_answered = false;
    if (work == NULL)
        return DRO_NOMEM;
    const view_table *table = plain_parse(&work->query, sql, length) ? view_find_table(view, work->query.table.text) : NULL;
    if (table != NULL)
        err = work_prepare(work, table, &is_plain);
    if (err == DRO_OK && is_plain)
        while ((err = rows_next(&work->rows)) == DRO_OK && !work->rows.is_over && !work->is_too_much)
            batch_add(work);
    if (err == DRO_OK && is_plain && !work->is_too_much) {
        groups_write(work, answer);
        *is_answered = true;
    }
    work_free(work);
    return err;
}

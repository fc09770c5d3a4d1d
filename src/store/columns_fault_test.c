/* Columns in regions that are too small, and with allocations that fail: for every size and every n. What was taken is there for
 * a reader, what was refused changed nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/failing.h"
#include "base/log.h"
#include "store/columns.h"
#include "store/columns_layout.h"
#include "store/columns_read.h"

enum { REGION = 24 * 1024 * 1024, STEP = 64 * 1024, ROWS = 40, TAGS = 300, CALLS_MAX = 200 };

FAILING(void *, calloc, (size_t count, size_t size), (count, size), NULL)
FAILING(void *, malloc, (size_t size), (size), NULL)
FAILING(void *, realloc, (void *old, size_t size), (old, size), NULL)

static uint8_t *memory;

static const model shown = { .name = "acme/all",
                             .property_count = 6,
                             .properties = { { .name = "number", .schema = { .kind = VALUE_NUMBER } },
                                             { .name = "count", .schema = { .kind = VALUE_INTEGER } },
                                             { .name = "on", .schema = { .kind = VALUE_BOOLEAN } },
                                             { .name = "text", .schema = { .kind = VALUE_STRING, .length_maximum = 20 } },
                                             { .name = "long", .schema = { .kind = VALUE_STRING } },
                                             { .name = "secret", .is_private = true, .schema = { .kind = VALUE_NUMBER } } } };

static size_t id_of(uint32_t row, char out[256])
{
    return (size_t)snprintf(out, 256, "%0*u@acme.example", 1 + (int)row * 5, row); /* of many lengths */
}

static size_t tags_of(uint32_t row, uint8_t out[COLUMNS_TAGS_MAX])
{
    char name[16];
    size_t at = 0;
    for (uint32_t i = 0; i <= row % 8; i++) {
        size_t length = (size_t)snprintf(name, sizeof name, "tag%u", row * 8 + i), text = 4 + row;
        out[at++] = (uint8_t)length;
        memcpy(out + at, name, length);
        at += length;
        out[at++] = (uint8_t)text;
        out[at++] = 0;
        memset(out + at, 'x', text);
        at += text;
    }
    return at;
}

static void values_set(columns *writer, uint32_t table, uint32_t row)
{
    static const char text[] = "longer than twenty bytes it is";
    cell_value values[] = { { .value = { .kind = VALUE_NUMBER, .number = row }, .time_ms = 5 },
                            { .value = { .kind = VALUE_INTEGER, .integer = -(int64_t)row }, .time_ms = 5 },
                            { .value = { .kind = VALUE_BOOLEAN, .boolean = row % 2 == 0 }, .time_ms = 5 },
                            { .value = { .kind = VALUE_STRING, .length = sizeof text - 1, .string = text }, .time_ms = 5 },
                            { .value = { .kind = VALUE_NUMBER, .number = 1 }, .time_ms = 5 }, /* of another kind: cleared */
                            { .value = { .kind = VALUE_NUMBER, .number = 1 }, .time_ms = 5 } };
    columns_row_begin(writer, table, row);
    for (uint32_t i = 0; i < 6; i++)
        columns_value_set(writer, table, row, i, &values[i]);
    columns_revision_set(writer, table, row, row + 1);
    columns_contact_set(writer, table, row, row % 3 == 0 ? COLUMNS_NEVER : 1000 + row);
    columns_row_end(writer, table, row);
}

static bool taken[ROWS], tagged[ROWS];
static uint32_t rows[ROWS];

static void fill(columns *writer, uint32_t table)
{
    for (uint32_t i = 0; i < ROWS; i++) {
        char id[256];
        uint8_t tags[COLUMNS_TAGS_MAX];
        taken[i] = columns_row_add(writer, table, 100 + i, i % 2, id, id_of(i, id), &rows[i]) == DRO_OK;
        tagged[i] = taken[i] && columns_tags_set(writer, table, rows[i], tags, tags_of(i, tags)) == DRO_OK;
        if (taken[i])
            values_set(writer, table, rows[i]);
        if (taken[i] && i % 5 == 4) { /* gone, and its place is used again */
            columns_row_remove(writer, table, rows[i]);
            taken[i] = columns_row_add(writer, table, 100 + i, i % 2, id, id_of(i, id), &rows[i]) == DRO_OK;
            tagged[i] = taken[i] && columns_tags_set(writer, table, rows[i], tags, tags_of(i, tags)) == DRO_OK &&
                        columns_tags_set(writer, table, rows[i], NULL, 0) == DRO_OK && columns_tags_set(writer, table, rows[i], tags, tags_of(i, tags)) == DRO_OK;
            if (taken[i])
                values_set(writer, table, rows[i]);
        }
    }
}

static void look(columns *writer, uint32_t table)
{
    for (uint32_t i = 0; i < ROWS; i++) {
        char id[256];
        uint8_t tags[COLUMNS_TAGS_MAX];
        size_t length;
        cell_value got;
        if (!taken[i])
            continue;
        const char *has = columns_id_get(writer, table, rows[i], &length);
        assert_int_equal(length, id_of(i, id));
        assert_memory_equal(has, id, length);
        columns_value_prefetch(writer, table, rows[i], 5);
        columns_row_prefetch(writer, table, rows[i]);
        columns_contact_prefetch(writer, table, rows[i]);
        columns_value_get(writer, table, rows[i], 1, &got);
        assert_true(got.value.kind == VALUE_INTEGER && got.value.integer == -(int64_t)rows[i]);
        columns_value_get(writer, table, rows[i], 3, &got);
        assert_int_equal(got.value.length, 20);
        columns_value_get(writer, table, rows[i], 4, &got);
        assert_int_equal(got.value.kind, VALUE_NONE);
        const uint8_t *has_tags = columns_tags_get(writer, table, rows[i], &length);
        if (tagged[i]) {
            assert_int_equal(length, tags_of(i, tags));
            assert_memory_equal(has_tags, tags, length);
        }
    }
}

/* A reader finds as many rows as were taken. */
static void read_all(size_t bytes)
{
    columns *reader;
    columns_table table;
    columns_wanted wanted = { .values = UINT64_MAX, .more = COLUMNS_WANT_ID | COLUMNS_WANT_TAGS | COLUMNS_WANT_TIME | COLUMNS_WANT_REVISION | COLUMNS_WANT_CONTACT };
    uint32_t wants = 0, found = 0;
    for (uint32_t i = 0; i < ROWS; i++)
        wants += taken[i];
    if (columns_attach(&reader, memory, bytes) != DRO_OK)
        return;
    if (columns_table_count(reader) > 0 && columns_table_read(reader, 0, &table) == DRO_OK) {
        columns_mark mark;
        void *room = __real_malloc(columns_batch_bytes(&table, &wanted));
        columns_batch *batch = columns_batch_place(&table, &wanted, room);
        for (uint32_t at = 0; columns_mark_read(reader, &table, at, &mark); at++)
            continue;
        for (uint32_t chunk = 0; chunk < columns_chunk_count(reader, &table); chunk++) {
            assert_int_equal(columns_batch_read(reader, &table, chunk, &wanted, batch), DRO_OK);
            found += batch->row_count;
        }
        free(room);
    }
    assert_int_equal(found, wants);
    columns_free(reader);
}

static dro_err life(size_t bytes)
{
    columns *writer;
    uint32_t table;
    memset(taken, 0, sizeof taken);
    dro_err err = columns_create(&writer, memory, bytes);
    if (err != DRO_OK)
        return err;
    dro_err named = columns_domain_set(writer, 0, "acme.example"), second = columns_domain_set(writer, 1, "other.example");
    assert_true(named == DRO_OK && second == DRO_OK);
    err = columns_table_add(writer, &shown, &table);
    if (err == DRO_OK) {
        fill(writer, table);
        look(writer, table);
    }
    assert_true(columns_bytes_used(writer) <= bytes);
    columns_free(writer);
    fault_spared++;
    read_all(bytes);
    fault_spared--;
    return err;
}

static uint32_t count_taken(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < ROWS; i++)
        count += taken[i] && tagged[i];
    return count;
}

static void a_region_of_any_size_holds_what_it_took(void **state)
{
    uint32_t before = 0;
    (void)state;
    for (size_t bytes = STEP / 16; bytes <= REGION; bytes += bytes < 4 * 1024 * 1024 ? STEP / 2 : 8 * STEP) {
        memset(memory, 0, REGION);
        life(bytes);
        before = count_taken() > before ? count_taken() : before;
        if (before == ROWS)
            break;
    }
    assert_int_equal(before, ROWS);
}

static void allocations_that_fail_cost_columns_at_most(void **state)
{
    (void)state;
    for (int n = 1;; n++) {
        assert_true(n < CALLS_MAX);
        memset(memory, 0, REGION);
        fault_at(n, ENOMEM);
        dro_err err = life(REGION);
        bool is_over = fault_is_past(n);
        assert_true(err == DRO_OK || err == DRO_NOMEM);
        if (is_over) {
            assert_int_equal(count_taken(), ROWS);
            break;
        }
    }
}

static void what_is_out_of_bounds_is_refused(void **state)
{
    static char longest[UINT8_MAX + 2];
    static const uint8_t bad[][8] = { { 5, 'a' }, { 1, 'a', 9, 0, 'x' }, { 1, 'a', 1 } };
    static const size_t lengths[] = { 2, 5, 3 };
    static model many = { .name = "acme/many" };
    columns *writer;
    uint32_t table, row;
    (void)state;
    memset(memory, 0, REGION);
    memset(longest, 'd', COLUMNS_DOMAIN_MAX + 1);
    assert_int_equal(columns_create(&writer, memory, REGION), DRO_OK);
    assert_int_equal(columns_domain_set(writer, COLUMNS_DOMAINS_MAX, "a"), DRO_LIMIT);
    assert_int_equal(columns_domain_set(writer, 0, ""), DRO_LIMIT);
    assert_int_equal(columns_domain_set(writer, 0, longest), DRO_LIMIT);
    assert_int_equal(columns_domain_set(writer, 3, "a"), DRO_OK);
    assert_int_equal(columns_domain_set(writer, 3, "a"), DRO_OK);
    assert_int_equal(columns_domain_set(writer, 3, "b"), DRO_EXISTS);
    assert_int_equal(columns_domain_set(writer, 3, "ab"), DRO_EXISTS);
    assert_int_equal(columns_domain_set(writer, 1, "lower"), DRO_OK); /* behind the highest */
    many.property_count = MODEL_PROPERTIES_MAX + 1;
    assert_int_equal(columns_table_add(writer, &many, &table), DRO_LIMIT);
    assert_int_equal(columns_table_add(writer, &shown, &table), DRO_OK);
    assert_int_equal(columns_row_add(writer, table, 1, COLUMNS_DOMAINS_MAX, "a@a", 3, &row), DRO_LIMIT);
    assert_int_equal(columns_row_add(writer, table, 1, 3, "a@a", 0, &row), DRO_LIMIT);
    assert_int_equal(columns_row_add(writer, table, 1, 3, longest, UINT8_MAX + 1, &row), DRO_LIMIT);
    assert_int_equal(columns_row_add(writer, table, 1, 3, "a@a", 3, &row), DRO_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(columns_tags_set(writer, table, row, bad[i], lengths[i]), DRO_MALFORMED);
    columns_free(writer);
    columns_free(NULL);
}

/* ---- many of each ---- */

static columns *writer_of(size_t bytes, uint32_t *table, const model *model)
{
    columns *writer;
    memset(memory, 0, REGION);
    assert_int_equal(columns_create(&writer, memory, bytes), DRO_OK);
    assert_int_equal(columns_domain_set(writer, 0, "acme.example"), DRO_OK);
    assert_int_equal(columns_table_add(writer, model, table), DRO_OK);
    return writer;
}

static size_t one_tag(uint8_t out[64], const char *kind, uint32_t number)
{
    char name[32];
    size_t length = (size_t)snprintf(name, sizeof name, "%s%u", kind, number);
    out[0] = (uint8_t)length;
    memcpy(out + 1, name, length);
    out[length + 1] = 1;
    out[length + 2] = 0;
    out[length + 3] = 'x';
    return length + 4;
}

static uint32_t marks_seen(void)
{
    columns *reader;
    columns_table table;
    columns_mark mark;
    uint32_t count = 0;
    fault_spared++;
    assert_int_equal(columns_attach(&reader, memory, REGION), DRO_OK);
    assert_int_equal(columns_table_read(reader, 0, &table), DRO_OK);
    while (columns_mark_read(reader, &table, count, &mark))
        count++;
    columns_free(reader);
    fault_spared--;
    return count;
}

/* 1200 sets of tags, each of a name of its own, with allocations that fail: a name may be no column, a set is always found again, and none is left over. */
static void many_sets_and_names_of_tags_outlive_allocations_that_fail(void **state)
{
    enum { SETS = 1200 };
    static uint32_t all[SETS];
    static uint64_t used;
    (void)state;
    for (int n = 1, is_over = 0; !is_over; n++) {
        uint32_t table;
        char id[32];
        uint8_t tags[64];
        columns *writer = writer_of(REGION, &table, &shown);
        fault_at(n, ENOMEM);
        for (uint32_t i = 0; i < SETS; i++) {
            size_t length = (size_t)snprintf(id, sizeof id, "%u@acme.example", i);
            assert_int_equal(columns_row_add(writer, table, i, 0, id, length, &all[i]), DRO_OK);
            assert_int_equal(columns_tags_set(writer, table, all[i], tags, one_tag(tags, "name", i)), DRO_OK);
        }
        uint32_t marks = marks_seen();
        is_over = fault_is_past(n);
        assert_true(is_over ? marks == SETS + 1 : marks >= SETS / 3);
        for (uint32_t i = 0; i < SETS; i++) {
            size_t length, wanted = one_tag(tags, "name", i);
            const uint8_t *has = columns_tags_get(writer, table, all[i], &length);
            assert_int_equal(length, wanted);
            assert_memory_equal(has, tags, length);
        }
        for (uint32_t round = 0; round < 3; round++) { /* given up and taken again: no more space than before */
            for (uint32_t i = 0; i < SETS; i++)
                assert_int_equal(columns_tags_set(writer, table, all[i], NULL, 0), DRO_OK);
            for (uint32_t i = SETS; i-- > 0;)
                assert_int_equal(columns_tags_set(writer, table, all[i], tags, one_tag(tags, "name", i)), DRO_OK);
            assert_true(round == 0 || columns_bytes_used(writer) == used);
            used = columns_bytes_used(writer);
        }
        columns_row_remove(writer, table, all[0]);
        size_t length = 1;
        assert_null(columns_tags_get(writer, table, all[0], &length));
        assert_null(columns_id_get(writer, table, all[0], &length));
        assert_int_equal(length, 0);
        columns_free(writer);
    }
}

/* The names of a table's tags that can be columns have an end; tags go on. */
static void a_table_has_so_many_names_of_tags_and_no_more(void **state)
{
    enum { MOST = COLUMNS_MARK_PAGES_MAX * COLUMNS_MARKS_PER_PAGE };
    uint32_t table, row;
    uint8_t tags[64];
    (void)state;
    columns *writer = writer_of(REGION, &table, &shown);
    assert_int_equal(columns_row_add(writer, table, 1, 0, "a@acme.example", 14, &row), DRO_OK);
    for (uint32_t i = 0; i < MOST + 10; i++)
        assert_int_equal(columns_tags_set(writer, table, row, tags, one_tag(tags, "", i)), DRO_OK);
    assert_int_equal(marks_seen(), MOST);
    uint8_t unnamed[] = { 0, 1, 0, 'x' }, longest[COLUMNS_MARK_MAX + 6] = { COLUMNS_MARK_MAX + 1 };
    assert_int_equal(columns_tags_set(writer, table, row, unnamed, sizeof unnamed), DRO_OK);
    memset(longest + 1, 'l', COLUMNS_MARK_MAX + 1);
    assert_int_equal(columns_tags_set(writer, table, row, longest, COLUMNS_MARK_MAX + 4), DRO_OK);
    assert_int_equal(marks_seen(), MOST);
    columns_free(writer);
}

static void there_are_so_many_tables_and_no_more(void **state)
{
    static const model plain = { .name = "acme/plain" };
    enum { BYTES = 4 * REGION };
    uint32_t table;
    columns *writer;
    (void)state;
    void *room = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(room, MAP_FAILED);
    assert_int_equal(columns_create(&writer, room, BYTES), DRO_OK);
    for (uint32_t i = 0; i < COLUMNS_TABLES_MAX; i++)
        assert_int_equal(columns_table_add(writer, &plain, &table), DRO_OK);
    assert_int_equal(columns_table_add(writer, &plain, &table), DRO_LIMIT);
    columns_free(writer);
    munmap(room, BYTES);
}

/* Around every place where something new begins: a byte too little is refused, and what was taken before is sound. */
static void a_region_that_ends_anywhere_in_something_new_is_refused_whole(void **state)
{
    uint32_t table, row;
    (void)state;
    for (size_t bytes = sizeof(columns_header) + COLUMNS_PAGE, more = 0; more < 256 * 1024; more += 1024 + 8) {
        columns *writer;
        memset(memory, 0, bytes + more);
        assert_int_equal(columns_create(&writer, memory, bytes + more), DRO_OK);
        dro_err err = columns_table_add(writer, &shown, &table);
        assert_true(err == DRO_OK || (err == DRO_LIMIT && more <= sizeof(columns_table_layout) + COLUMNS_PAGE));
        if (err == DRO_OK && columns_row_add(writer, table, 1, 0, "a@acme.example", 14, &row) == DRO_OK) {
            uint8_t named[64];
            dro_err put = columns_tags_set(writer, table, row, named, one_tag(named, "name", 1));
            assert_true(put == DRO_OK || put == DRO_LIMIT);
        }
        assert_true(columns_bytes_used(writer) <= bytes + more);
        columns_free(writer);
    }
}

/* Big chunks in a big region, whose pages are asked for before they are needed. */
static void a_table_of_long_strings_fills_a_big_region(void **state)
{
    static model wide = { .name = "acme/wide", .property_count = 24 };
    enum { ROWS_WIDE = 32 * COLUMNS_CHUNK_ROWS };
    size_t bytes = 128u << 20;
    columns *writer;
    uint32_t table, row, count = 0;
    (void)state;
    for (uint16_t i = 0; i < wide.property_count; i++)
        wide.properties[i] = (model_property){ .name = "text", .schema = { .kind = VALUE_STRING, .length_maximum = i == 0 ? VALUE_STRING_MAX + 1 : 0 } };
    void *room = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(room, MAP_FAILED);
    assert_int_equal(columns_create(&writer, room, bytes), DRO_OK);
    assert_int_equal(columns_table_add(writer, &wide, &table), DRO_OK);
    for (; count < ROWS_WIDE; count++) {
        char id[32];
        size_t length = (size_t)snprintf(id, sizeof id, "%u@acme.example", count);
        if (columns_row_add(writer, table, count, 0, id, length, &row) != DRO_OK)
            break;
        columns_row_prefetch(writer, table, row);
    }
    assert_in_range(count, 8 * COLUMNS_CHUNK_ROWS, ROWS_WIDE - 1);
    columns_free(writer);
    munmap(room, bytes);
}

static cell_value set_and_get(columns *writer, uint32_t table, uint32_t row, uint32_t property, cell_value cell)
{
    cell_value got;
    columns_value_set(writer, table, row, property, &cell);
    columns_value_get(writer, table, row, property, &got);
    return got;
}

static void numbers_are_kept_as_the_property_has_them_or_not_at_all(void **state)
{
    enum { NUMBER, COUNT, ON, TEXT };
    static const double odd[] = { 1e300, -1e300, 0x1p63, 0.0 / 0.0 };
    uint32_t table, row;
    (void)state;
    columns *writer = writer_of(REGION, &table, &shown);
    assert_int_equal(columns_row_add(writer, table, 1, 0, "a@acme.example", 14, &row), DRO_OK);
    columns_row_begin(writer, table, row);
    cell_value got = set_and_get(writer, table, row, NUMBER, (cell_value){ .value = { .kind = VALUE_INTEGER, .integer = 7 }, .time_ms = -1 });
    assert_true(got.value.kind == VALUE_NUMBER && got.value.number == 7.0 && got.time_ms == 0);
    got = set_and_get(writer, table, row, COUNT, (cell_value){ .value = { .kind = VALUE_NUMBER, .number = -0x1p63 }, .time_ms = INT64_MAX });
    assert_true(got.value.kind == VALUE_INTEGER && got.value.integer == INT64_MIN && got.time_ms == ((int64_t)1 << COLUMNS_TIME_BITS) - 1);
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        got = set_and_get(writer, table, row, COUNT, (cell_value){ .value = { .kind = VALUE_NUMBER, .number = odd[i] } });
        assert_int_equal(got.value.kind, VALUE_NONE);
    }
    got = set_and_get(writer, table, row, ON, (cell_value){ .value = { .kind = VALUE_BOOLEAN, .boolean = true } });
    assert_true(got.value.kind == VALUE_BOOLEAN && got.value.boolean);
    got = set_and_get(writer, table, row, TEXT, (cell_value){ .value = { .kind = VALUE_INTEGER, .integer = 7 } });
    assert_int_equal(got.value.kind, VALUE_NONE);
    got = set_and_get(writer, table, row, NUMBER, (cell_value){ .value = { .kind = VALUE_NONE } });
    assert_int_equal(got.value.kind, VALUE_NONE);
    columns_value_prefetch(writer, table, row, NUMBER);
    columns_value_prefetch(writer, table, row, 99); /* no such property */
    columns_revision_set(writer, table, row, UINT64_MAX);
    columns_contact_set(writer, table, row, -5);
    columns_row_end(writer, table, row);
    columns_free(writer);
}

int main(void)
{
    dro_log_setup("test", DRO_LOG_NOTHING);
    memory = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_region_of_any_size_holds_what_it_took),
        cmocka_unit_test(allocations_that_fail_cost_columns_at_most),
        cmocka_unit_test(what_is_out_of_bounds_is_refused),
        cmocka_unit_test(many_sets_and_names_of_tags_outlive_allocations_that_fail),
        cmocka_unit_test(a_table_has_so_many_names_of_tags_and_no_more),
        cmocka_unit_test(there_are_so_many_tables_and_no_more),
        cmocka_unit_test(a_region_that_ends_anywhere_in_something_new_is_refused_whole),
        cmocka_unit_test(a_table_of_long_strings_fills_a_big_region),
        cmocka_unit_test(numbers_are_kept_as_the_property_has_them_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Columns in regions that are too small, and with allocations that fail: for every size and every n. What was taken is there for
 * a reader, what was refused changed nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/columns.h"
#include "store/columns_layout.h"
#include "store/columns_read.h"

enum { REGION = 24 * 1024 * 1024, STEP = 64 * 1024, ROWS = 40, TAGS = 300, CALLS_MAX = 200 };

static struct { int at, count; } fault;

static bool fails(void)
{
    return ++fault.count == fault.at;
}

#define WRAP(name, parameters, arguments) \
    void *__real_##name parameters; \
    void *__wrap_##name parameters; \
    void *__wrap_##name parameters { return fails() ? NULL : __real_##name arguments; }
WRAP(calloc, (size_t count, size_t size), (count, size))
WRAP(malloc, (size_t size), (size))
WRAP(realloc, (void *old, size_t size), (old, size))

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
    int at = fault.at;
    fault.at = 0;
    read_all(bytes);
    fault.at = at;
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
        fault.count = 0;
        fault.at = n;
        dro_err err = life(REGION);
        bool is_over = fault.count < n;
        fault.at = 0;
        assert_true(err == DRO_OK || err == DRO_NOMEM);
        if (is_over) {
            assert_int_equal(count_taken(), ROWS);
            break;
        }
    }
}

static void what_is_out_of_bounds_is_refused(void **state)
{
    static char longest[COLUMNS_DOMAIN_MAX + 2];
    static const uint8_t bad[][8] = { { 5, 'a' }, { 1, 'a', 9, 0, 'x' }, { 1, 'a', 1 } };
    static const size_t lengths[] = { 2, 5, 3 };
    static model many = { .name = "acme/many" };
    columns *writer;
    uint32_t table, row;
    (void)state;
    memset(memory, 0, REGION);
    memset(longest, 'd', sizeof longest - 1);
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
    assert_int_equal(columns_row_add(writer, table, 1, 3, "a@a", 3, &row), DRO_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(columns_tags_set(writer, table, row, bad[i], lengths[i]), DRO_MALFORMED);
    columns_free(writer);
    columns_free(NULL);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "store/columns.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/columns_layout.h"
#include "store/columns_read.h"

enum { REGION = 256 * 1024 * 1024 };

enum { TEMPERATURE, SECRET, COUNT, LOW, NOTE, PROPERTIES };
static const uint64_t all_values = 0xf; /* columns of the four that are not private */

typedef struct fixture {
    void *memory;
    columns *writer, *reader;
    uint32_t table;
    columns_table layout;
    void *batch_memory;
} fixture;

static cell_value read_value(const columns *region, uint32_t table, uint32_t row, uint32_t property)
{
    cell_value value;
    columns_value_get(region, table, row, property, &value);
    return value;
}

static void property_fill(model_property *property, const char *name, value_kind kind)
{
    snprintf(property->name, sizeof property->name, "%s", name);
    property->schema.kind = kind;
    property->schema.length_maximum = 8;
}

static void model_fill(model *out)
{
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "acme/probe");
    out->property_count = PROPERTIES;
    property_fill(&out->properties[TEMPERATURE], "temperature", VALUE_NUMBER);
    property_fill(&out->properties[SECRET], "secret", VALUE_NUMBER);
    out->properties[SECRET].is_private = true;
    property_fill(&out->properties[COUNT], "count", VALUE_INTEGER);
    property_fill(&out->properties[LOW], "low", VALUE_BOOLEAN);
    property_fill(&out->properties[NOTE], "note", VALUE_STRING);
}

static int region_setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    static model probe;
    model_fill(&probe);
    f->memory = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(f->memory, MAP_FAILED);
    assert_int_equal(columns_create(&f->writer, f->memory, REGION), DRO_OK);
    assert_int_equal(columns_domain_set(f->writer, 0, "acme.example"), DRO_OK);
    assert_int_equal(columns_domain_set(f->writer, 7, "other.example"), DRO_OK);
    assert_int_equal(columns_table_add(f->writer, &probe, &f->table), DRO_OK);
    assert_int_equal(columns_attach(&f->reader, f->memory, REGION), DRO_OK);
    assert_int_equal(columns_table_read(f->reader, f->table, &f->layout), DRO_OK);
    *state = f;
    return 0;
}

static int region_teardown(void **state)
{
    fixture *f = *state;
    columns_free(f->reader);
    columns_free(f->writer);
    munmap(f->memory, REGION);
    free(f->batch_memory);
    free(f);
    return 0;
}

static uint32_t add(fixture *f, uint64_t twin, uint32_t domain, const char *id)
{
    uint32_t row = UINT32_MAX;
    assert_int_equal(columns_row_add(f->writer, f->table, twin, domain, id, strlen(id), &row), DRO_OK);
    return row;
}

static void set_number(fixture *f, uint32_t row, uint32_t property, double number, int64_t time_ms)
{
    cell_value cell = { .value = { .kind = VALUE_NUMBER, .number = number },
                        .time_ms = time_ms,
                        .quality = QUALITY_CORRECTED,
                        .source = SOURCE_TWIN };
    columns_value_set(f->writer, f->table, row, property, &cell);
}

static void set_text(fixture *f, uint32_t row, const char *text)
{
    cell_value cell = { .value = { .kind = VALUE_STRING, .length = (uint32_t)strlen(text), .string = text } };
    columns_value_set(f->writer, f->table, row, NOTE, &cell);
}

/* One tag. */
static size_t tag(uint8_t *out, const char *name, const char *text)
{
    dro_builder builder = dro_builder_over(out, 256);
    dro_builder_le(&builder, strlen(name), 1);
    dro_builder_text(&builder, name);
    dro_builder_le(&builder, strlen(text), 2);
    dro_builder_text(&builder, text);
    return dro_builder_length(&builder);
}

static void set_tag(fixture *f, uint32_t row, const char *name, const char *text)
{
    uint8_t bytes[256];
    size_t length = tag(bytes, name, text);
    assert_int_equal(columns_tags_set(f->writer, f->table, row, bytes, length), DRO_OK);
}

static columns_batch *batch_for(fixture *f, const columns_wanted *wanted)
{
    free(f->batch_memory);
    size_t bytes = columns_batch_bytes(&f->layout, wanted);
    f->batch_memory = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    memset(f->batch_memory, 0xa5, bytes);
    return columns_batch_place(&f->layout, wanted, f->batch_memory);
}

static const unsigned want_all =
    COLUMNS_WANT_ID | COLUMNS_WANT_TAGS | COLUMNS_WANT_TIME | COLUMNS_WANT_REVISION | COLUMNS_WANT_CONTACT;

/* ---- writing ---- */

static void a_row_starts_with_everything_never_set(void **state)
{
    fixture *f = *state;
    uint32_t row = add(f, 1, 0, "a@acme.example");
    size_t length;
    columns_row_prefetch(f->writer, f->table, row); /* changes nothing */
    for (uint32_t i = 0; i < PROPERTIES; i++) {
        cell_value cell = read_value(f->writer, f->table, row, i);
        assert_int_equal(cell.value.kind, VALUE_NONE);
        assert_true(cell.time_ms == COLUMNS_NEVER);
    }
    assert_null(columns_tags_get(f->writer, f->table, row, &length));
    assert_memory_equal(columns_id_get(f->writer, f->table, row, &length), "a@acme.example", 14);
    assert_int_equal(length, 14);
}

static void a_value_comes_back_with_time_quality_and_source(void **state)
{
    fixture *f = *state;
    uint32_t row = add(f, 1, 0, "a@acme.example");
    set_number(f, row, TEMPERATURE, 21.4, 1795348800123);
    cell_value cell = read_value(f->writer, f->table, row, TEMPERATURE);
    assert_int_equal(cell.value.kind, VALUE_NUMBER);
    assert_true(cell.value.number == 21.4);
    assert_true(cell.time_ms == 1795348800123);
    assert_int_equal(cell.quality, QUALITY_CORRECTED);
    assert_int_equal(cell.source, SOURCE_TWIN);
}

static void a_private_property_has_no_column(void **state)
{
    fixture *f = *state;
    uint32_t row = add(f, 1, 0, "a@acme.example");
    set_number(f, row, SECRET, 1, 1);
    assert_int_equal(read_value(f->writer, f->table, row, SECRET).value.kind, VALUE_NONE);
    assert_int_equal(f->layout.column_count, PROPERTIES - 1);
    for (uint16_t i = 0; i < f->layout.column_count; i++)
        assert_string_not_equal(f->layout.columns[i].name, "secret");
}

static void a_value_of_another_kind_clears_the_property(void **state)
{
    fixture *f = *state;
    uint32_t row = add(f, 1, 0, "a@acme.example");
    set_number(f, row, LOW, 1, 1);
    assert_int_equal(read_value(f->writer, f->table, row, LOW).value.kind, VALUE_NONE);
    set_number(f, row, COUNT, 12, 1);
    assert_int_equal(read_value(f->writer, f->table, row, COUNT).value.integer, 12);
    set_number(f, row, COUNT, 1e300, 1);
    assert_int_equal(read_value(f->writer, f->table, row, COUNT).value.kind, VALUE_NONE);
    columns_value_set(f->writer, f->table, row, PROPERTIES, &(cell_value){ 0 }); /* no such property */
}

static void a_string_is_cut_at_its_width(void **state)
{
    fixture *f = *state;
    uint32_t row = add(f, 1, 0, "a@acme.example");
    set_text(f, row, "123456789");
    cell_value cell = read_value(f->writer, f->table, row, NOTE);
    assert_int_equal(cell.value.length, 8);
    assert_memory_equal(cell.value.string, "12345678", 8);
}

static void a_removed_row_is_used_again_and_is_clean(void **state)
{
    fixture *f = *state;
    uint32_t first = add(f, 1, 0, "a@acme.example"), second = add(f, 2, 0, "b@acme.example");
    set_number(f, first, TEMPERATURE, 5, 5);
    set_tag(f, first, "site", "north");
    columns_row_remove(f->writer, f->table, first);
    size_t length;
    assert_null(columns_id_get(f->writer, f->table, first, &length));
    assert_int_equal(add(f, 3, 7, "c@other.example"), first);
    assert_int_equal(read_value(f->writer, f->table, first, TEMPERATURE).value.kind, VALUE_NONE);
    assert_null(columns_tags_get(f->writer, f->table, first, &length));
    assert_int_equal(add(f, 4, 0, "d@acme.example"), second + 1);
}

static void adding_and_removing_for_long_takes_no_more_space(void **state)
{
    fixture *f = *state;
    char id[200];
    uint64_t used = 0;
    for (unsigned i = 0; i < 50000; i++) {
        snprintf(id, sizeof id, "%0*u@acme.example", 1 + (int)(i % 150), i);
        uint32_t row = add(f, i, 0, id);
        snprintf(id, sizeof id, "%0*u", 1 + (int)(i % 199), i);
        set_tag(f, row, "serial", id);
        columns_row_remove(f->writer, f->table, row);
        if (i == 1000)
            used = columns_bytes_used(f->writer);
    }
    assert_int_equal(columns_row_count(f->writer, f->table), 1);
    assert_int_equal(columns_bytes_used(f->writer), used);
}

static void equal_tags_take_space_once(void **state)
{
    fixture *f = *state;
    size_t length;
    uint32_t first = add(f, 1, 0, "a@acme.example"), second = add(f, 2, 0, "b@acme.example");
    set_tag(f, first, "site", "north");
    set_tag(f, second, "site", "north");
    const uint8_t *shared = columns_tags_get(f->writer, f->table, first, &length);
    assert_ptr_equal(shared, columns_tags_get(f->writer, f->table, second, &length));
    columns_row_remove(f->writer, f->table, first);
    shared = columns_tags_get(f->writer, f->table, second, &length);
    const char *text = columns_tag_find(shared, length, "site", 4, &length);
    assert_int_equal(length, 5);
    assert_memory_equal(text, "north", 5);
}

static void tags_that_are_no_pairs_are_refused(void **state)
{
    fixture *f = *state;
    uint32_t row = add(f, 1, 0, "a@acme.example");
    uint8_t bytes[256];
    size_t length = tag(bytes, "site", "north");
    for (size_t i = 1; i < length; i++)
        assert_int_equal(columns_tags_set(f->writer, f->table, row, bytes, i), DRO_MALFORMED);
    static uint8_t large[COLUMNS_TAGS_MAX + 1];
    assert_int_equal(columns_tags_set(f->writer, f->table, row, large, sizeof large), DRO_LIMIT);
    assert_null(columns_tags_get(f->writer, f->table, row, &length));
}

static void many_different_tags_and_none_are_kept(void **state)
{
    fixture *f = *state;
    char text[32];
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(text, sizeof text, "%u@acme.example", i);
        uint32_t row = add(f, i, 0, text);
        snprintf(text, sizeof text, "serial-%u", i);
        set_tag(f, row, "serial", text);
    }
    assert_int_equal(columns_tags_set(f->writer, f->table, 5, NULL, 0), DRO_OK);
    for (unsigned i = 0; i < 3000; i++) {
        size_t length, text_length = 0;
        const uint8_t *tags = columns_tags_get(f->writer, f->table, i, &length);
        snprintf(text, sizeof text, "serial-%u", i);
        const char *found = columns_tag_find(tags, length, "serial", 6, &text_length);
        assert_int_equal(found == NULL, i == 5);
        if (found != NULL) {
            assert_int_equal(text_length, strlen(text));
            assert_memory_equal(found, text, text_length);
        }
    }
}

static void a_numeric_property_takes_at_most_14_bytes(void **state)
{
    (void)state;
    static model few, more;
    model_fill(&few);
    model_fill(&more);
    property_fill(&more.properties[more.property_count++], "another", VALUE_NUMBER);
    void *memory = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    columns *writer, *reader;
    uint32_t tables[2];
    columns_table layouts[2];
    assert_int_equal(columns_create(&writer, memory, REGION), DRO_OK);
    assert_int_equal(columns_table_add(writer, &few, &tables[0]), DRO_OK);
    assert_int_equal(columns_table_add(writer, &more, &tables[1]), DRO_OK);
    assert_int_equal(columns_attach(&reader, memory, REGION), DRO_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(columns_table_read(reader, tables[i], &layouts[i]), DRO_OK);
    assert_true(layouts[1].chunk_bytes - layouts[0].chunk_bytes <= 14 * COLUMNS_CHUNK_ROWS);
    columns_free(reader);
    columns_free(writer);
    munmap(memory, REGION);
}

static void a_full_region_says_so_and_stays_sound(void **state)
{
    (void)state;
    static model probe;
    model_fill(&probe);
    size_t bytes = sizeof(columns_header) + 1024 * 1024;
    bytes = (bytes + 4095) & ~(size_t)4095;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    columns *writer;
    uint32_t table, row, count = 0;
    assert_int_equal(columns_create(&writer, memory, bytes), DRO_OK);
    assert_int_equal(columns_domain_set(writer, 0, "acme.example"), DRO_OK);
    assert_int_equal(columns_table_add(writer, &probe, &table), DRO_OK);
    dro_err err;
    while ((err = columns_row_add(writer, table, count, 0, "x@acme.example", 14, &row)) == DRO_OK)
        count++;
    assert_int_equal(err, DRO_LIMIT);
    assert_true(count >= COLUMNS_CHUNK_ROWS);
    assert_int_equal(columns_row_count(writer, table), count);
    columns_row_remove(writer, table, 3);
    assert_int_equal(columns_row_add(writer, table, count, 0, "y@acme.example", 14, &row), DRO_OK);
    assert_int_equal(row, 3);
    columns_free(writer);
    assert_int_equal(columns_create(&writer, memory, 4096), DRO_LIMIT);
    munmap(memory, bytes);
}

static void limits_of_numbers_and_names_hold(void **state)
{
    fixture *f = *state;
    char name[COLUMNS_DOMAIN_MAX + 2];
    uint32_t row;
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(columns_domain_set(f->writer, 1, name), DRO_LIMIT);
    assert_int_equal(columns_domain_set(f->writer, COLUMNS_DOMAINS_MAX, "x.example"), DRO_LIMIT);
    assert_int_equal(columns_domain_set(f->writer, 0, "x.example"), DRO_EXISTS);
    assert_int_equal(columns_domain_set(f->writer, 0, "acme.example"), DRO_OK);
    assert_int_equal(columns_row_add(f->writer, f->table, 1, COLUMNS_DOMAINS_MAX, "a@b", 3, &row), DRO_LIMIT);
    assert_int_equal(columns_row_add(f->writer, f->table, 1, 0, "", 0, &row), DRO_LIMIT);
}

/* ---- reading ---- */

static void a_reader_sees_only_rows_of_its_domains(void **state)
{
    fixture *f = *state;
    uint8_t domains[COLUMNS_DOMAIN_BITMAP] = { 1 << 7 };
    columns_wanted wanted = { .more = want_all, .values = all_values, .domains = domains };
    add(f, 1, 0, "a@acme.example");
    uint32_t mine = add(f, 2, 7, "b@other.example");
    columns_batch *batch = batch_for(f, &wanted);
    assert_int_equal(columns_batch_read(f->reader, &f->layout, 0, &wanted, batch), DRO_OK);
    assert_int_equal(batch->row_count, 1);
    assert_int_equal(batch->rows[0], mine);
    size_t length;
    assert_memory_equal(columns_batch_id(batch, mine, &length), "b@other.example", 15);
    assert_int_equal(length, 15);
}

static void a_batch_holds_what_was_written(void **state)
{
    fixture *f = *state;
    columns_wanted wanted = { .more = want_all, .values = all_values };
    uint32_t row = add(f, 1, 0, "a@acme.example");
    columns_row_begin(f->writer, f->table, row);
    set_number(f, row, TEMPERATURE, -3.5, 5000);
    set_number(f, row, COUNT, 9, 1795348800123);
    set_text(f, row, "hello");
    columns_row_end(f->writer, f->table, row);
    columns_revision_set(f->writer, f->table, row, UINT64_C(0x123456789abc));
    columns_contact_set(f->writer, f->table, row, 1795348800000);
    set_tag(f, row, "site", "north");
    columns_batch *batch = batch_for(f, &wanted);
    assert_int_equal(columns_batch_read(f->reader, &f->layout, 0, &wanted, batch), DRO_OK);
    assert_int_equal(batch->row_count, 1);
    assert_true(((double *)batch->values[0])[row] == -3.5);
    assert_true(((int64_t *)batch->values[1])[row] == 9);
    assert_int_equal(batch->states[2][row], 0);
    assert_int_equal(batch->lengths[3][row], 5);
    assert_memory_equal(batch->values[3] + row * 8, "hello", 5);
    assert_true(columns_batch_newest(batch, row) == 1795348800123);
    assert_true(columns_batch_revision(batch, row) == UINT64_C(0x123456789abc));
    assert_true(columns_batch_contact(batch, row) == 1795348800000);
    size_t length;
    const uint8_t *tags = columns_batch_tags(batch, row, &length);
    assert_memory_equal(columns_tag_find(tags, length, "site", 4, &length), "north", 5);
    assert_null(columns_tag_find(tags, length, "sit", 3, &length));
}

static void never_is_told_apart_from_the_year_1970(void **state)
{
    fixture *f = *state;
    columns_wanted wanted = { .more = want_all };
    uint32_t never = add(f, 1, 0, "a@acme.example"), early = add(f, 2, 0, "b@acme.example");
    columns_contact_set(f->writer, f->table, never, COLUMNS_NEVER);
    columns_contact_set(f->writer, f->table, early, 0);
    set_number(f, early, TEMPERATURE, 1, 0);
    columns_batch *batch = batch_for(f, &wanted);
    assert_int_equal(columns_batch_read(f->reader, &f->layout, 0, &wanted, batch), DRO_OK);
    assert_true(columns_batch_contact(batch, never) == COLUMNS_NEVER);
    assert_true(columns_batch_contact(batch, early) == 0);
    assert_true(columns_batch_newest(batch, never) == COLUMNS_NEVER);
    assert_true(columns_batch_newest(batch, early) == 0);
}

static void one_id_is_found_among_many(void **state)
{
    fixture *f = *state;
    char id[32];
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(id, sizeof id, "%u@acme.example", i);
        add(f, i, 0, id);
    }
    columns_wanted wanted = { .more = COLUMNS_WANT_ID, .id = "2077@acme.example", .id_length = 17 };
    columns_batch *batch = batch_for(f, &wanted);
    assert_int_equal(columns_chunk_count(f->reader, &f->layout), 3);
    for (uint32_t chunk = 0; chunk < 3; chunk++) {
        assert_int_equal(columns_batch_read(f->reader, &f->layout, chunk, &wanted, batch), DRO_OK);
        assert_int_equal(batch->row_count, chunk == 2);
    }
    assert_int_equal(batch->rows[0], 2077 - 2048);
    assert_int_equal(columns_batch_read(f->reader, &f->layout, 3, &wanted, batch), DRO_CORRUPT);
}

static void marks_name_the_tags_of_each_domain(void **state)
{
    fixture *f = *state;
    uint64_t version = columns_version(f->reader);
    uint32_t ours = add(f, 1, 0, "a@acme.example"), theirs = add(f, 2, 7, "b@other.example");
    set_tag(f, ours, "site", "north");
    set_tag(f, theirs, "building", "7");
    set_tag(f, add(f, 3, 0, "c@acme.example"), "site", "south");
    columns_mark mark;
    char seen[256] = "";
    assert_true(columns_version(f->reader) > version);
    assert_int_equal(columns_mark_count(f->reader, &f->layout), 4);
    for (uint32_t i = 0; columns_mark_read(f->reader, &f->layout, i, &mark); i++)
        snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%u:%.*s ", mark.domain, mark.length, mark.name);
    assert_string_equal(seen, "0: 7: 0:site 7:building ");
}

static void a_writer_that_died_in_a_step_does_not_hang_the_reader(void **state)
{
    fixture *f = *state;
    columns_wanted wanted = { .values = all_values };
    uint32_t row = add(f, 1, 0, "a@acme.example");
    columns_batch *batch = batch_for(f, &wanted);
    columns_row_begin(f->writer, f->table, row);
    assert_int_equal(columns_batch_read(f->reader, &f->layout, 0, &wanted, batch), DRO_AGAIN);
    columns_row_end(f->writer, f->table, row);
    assert_int_equal(columns_batch_read(f->reader, &f->layout, 0, &wanted, batch), DRO_OK);
}

static void a_foreign_region_is_refused(void **state)
{
    fixture *f = *state;
    columns *reader;
    columns_table table;
    assert_int_equal(columns_attach(&reader, f->memory, 4096), DRO_CORRUPT);
    assert_int_equal(columns_attach(&reader, f->memory, REGION - 4096), DRO_CORRUPT);
    assert_int_equal(columns_table_read(f->reader, 1, &table), DRO_NOT_FOUND);
    columns_header *header = f->memory;
    columns_table_layout *layout = (void *)((uint8_t *)f->memory + header->tables[0]);
    uint32_t values = layout->columns[0].values;
    layout->columns[0].values = layout->chunk_bytes - 8;
    assert_int_equal(columns_table_read(f->reader, 0, &table), DRO_CORRUPT);
    layout->columns[0].values = values;
    assert_int_equal(columns_table_read(f->reader, 0, &table), DRO_OK);
    layout->times = layout->chunk_bytes - 8;
    assert_int_equal(columns_table_read(f->reader, 0, &table), DRO_CORRUPT);
    header->tables[0] = REGION - 8;
    assert_int_equal(columns_table_read(f->reader, 0, &table), DRO_CORRUPT);
    header->magic = 0;
    assert_int_equal(columns_attach(&reader, f->memory, REGION), DRO_CORRUPT);
}

/* Whatever word of what the reader goes by is another: it reads what can be read or gives up, and what it shows has its bounds. */
static void a_region_with_any_word_changed_is_read_or_refused(void **state)
{
    static const uint32_t words[] = { 0, 1, 7, 0x101, 0x00ff00ff, 0x7fffffff, 0xffffffff };
    fixture *f = *state;
    columns_wanted wanted = { .values = all_values, .more = want_all };
    uint32_t row = add(f, 1, 0, "a@acme.example");
    set_text(f, row, "text");
    set_tag(f, row, "site", "north");
    columns_batch *batch = batch_for(f, &wanted);
    columns_header *header = f->memory;
    columns_table_layout *table = (void *)((uint8_t *)f->memory + header->tables[0]);
    uint64_t *page = (void *)((uint8_t *)f->memory + table->chunk_pages[0]);
    columns_chunk_layout *chunk = (void *)((uint8_t *)f->memory + page[0]);
    columns_tags_layout *tags = (void *)((uint8_t *)f->memory + (size_t)chunk->tags[0] * COLUMNS_UNIT);
    const struct { void *at; size_t bytes; } areas[] = {
        { table, offsetof(columns_table_layout, columns[6]) }, { &table->chunk_pages[0], 16 }, { &table->mark_pages[0], 16 }, { page, 16 },
        { header, offsetof(columns_header, tables[2]) }, { &header->domains[0], 8 }, { &chunk->id[0], 4 }, { &chunk->tags[0], 4 }, { &chunk->domain[0], 4 },
        { (uint8_t *)chunk + table->columns[3].lengths, 4 }, { (uint8_t *)f->memory + table->mark_pages[0], 8 }, { tags, 12 },
        { (uint8_t *)f->memory + (size_t)chunk->id[0] * COLUMNS_UNIT, 4 },
    };
    uint32_t shown = 0, refused = 0;
    for (size_t area = 0; area < sizeof areas / sizeof areas[0]; area++)
        for (size_t at = 0; at < areas[area].bytes / 4 * 4; at += 4)
            for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
                uint32_t *word = (uint32_t *)((uint8_t *)areas[area].at + at), before = *word;
                columns *reader;
                columns_table seen;
                columns_mark mark;
                char name[COLUMNS_DOMAIN_MAX];
                *word = words[i];
                dro_err err = columns_attach(&reader, f->memory, REGION);
                if (err == DRO_OK) {
                    err = columns_table_read(reader, 0, &seen);
                    assert_true(columns_domain_read(reader, 0, name) <= COLUMNS_DOMAIN_MAX);
                    if (err == DRO_OK && columns_batch_bytes(&seen, &wanted) <= columns_batch_bytes(&f->layout, &wanted)) {
                        batch = columns_batch_place(&seen, &wanted, f->batch_memory);
                        err = columns_batch_read(reader, &seen, 0, &wanted, batch);
                        assert_true(err != DRO_OK || batch->row_count <= COLUMNS_CHUNK_ROWS);
                        for (uint32_t m = 0; m < 4 && columns_mark_read(reader, &seen, m, &mark); m++)
                            assert_true(mark.length <= COLUMNS_MARK_MAX);
                    }
                    columns_free(reader);
                }
                shown += err == DRO_OK;
                refused += err != DRO_OK;
                *word = before;
            }
    assert_true(shown > 100 && refused > 100);
    assert_int_equal(columns_attach(&f->reader, (uint8_t *)f->memory + 4, REGION), DRO_CORRUPT);
    assert_int_equal(columns_attach(&f->reader, f->memory, 8), DRO_CORRUPT);
}

/* ---- both at once ---- */

enum { WRITER_ROWS = 40, READS = 3000, WRITER_BURST = 200 };
struct shared { _Atomic int stop; _Atomic unsigned reads; };

/* Each step leaves all of a row equal to its count, and replaces rows and tags. */
static void write_until_told(fixture *f, const struct shared *shared)
{
    uint32_t rows[WRITER_ROWS];
    char text[32];
    for (unsigned i = 0; i < WRITER_ROWS; i++)
        rows[i] = UINT32_MAX;
    for (unsigned n = 1, seen = 0; !shared->stop; n++) {
        /* A reader that is far slower, as under a sanitizer, has its turn as well. */
        while (n % WRITER_BURST == 0 && shared->reads == seen && !shared->stop)
            sched_yield();
        seen = n % WRITER_BURST == 0 ? shared->reads : seen;
        uint32_t *row = &rows[n % WRITER_ROWS];
        if (*row != UINT32_MAX && n % 3 == 0) {
            columns_row_remove(f->writer, f->table, *row);
            *row = UINT32_MAX;
        }
        if (*row == UINT32_MAX) {
            snprintf(text, sizeof text, "%u@acme.example", n);
            columns_row_add(f->writer, f->table, n, 0, text, strlen(text), row) == DRO_OK ? (void)0 : abort();
        }
        columns_row_begin(f->writer, f->table, *row);
        set_number(f, *row, TEMPERATURE, n, n);
        set_number(f, *row, COUNT, n, n);
        snprintf(text, sizeof text, "%u", n % 10000000);
        set_text(f, *row, text);
        set_tag(f, *row, "n", text);
        columns_revision_set(f->writer, f->table, *row, n);
        columns_row_end(f->writer, f->table, *row);
    }
}

/* False: the row mixes two steps. A row just added has nothing yet. */
static bool row_is_whole(const columns_batch *batch, uint32_t at)
{
    char text[32];
    size_t length, tags_length;
    if (batch->states[0][at] == 0)
        return batch->states[1][at] == 0 && batch->tag_set[at] == 0 && columns_batch_revision(batch, at) == 0;
    unsigned n = (unsigned)((double *)batch->values[0])[at];
    snprintf(text, sizeof text, "%u", n % 10000000);
    const uint8_t *tags = columns_batch_tags(batch, at, &tags_length);
    const char *tagged = columns_tag_find(tags, tags_length, "n", 1, &length);
    const char *id = columns_batch_id(batch, at, &tags_length);
    return ((int64_t *)batch->values[1])[at] == n && columns_batch_revision(batch, at) == n &&
           columns_batch_newest(batch, at) == (int64_t)n && tagged != NULL && length == strlen(text) &&
           memcmp(tagged, text, length) == 0 && batch->lengths[3][at] == strlen(text) &&
           memcmp(batch->values[3] + at * 8, text, strlen(text)) == 0 &&
           memcmp(id + tags_length - 13, "@acme.example", 13) == 0;
}

static void a_reader_never_sees_half_a_step(void **state)
{
    fixture *f = *state;
    struct shared *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    columns_wanted wanted = { .values = all_values, .more = want_all };
    columns_batch *batch = batch_for(f, &wanted);
    unsigned rows = 0, torn = 0, reads = 0;
    add(f, 0, 0, "first@acme.example");
    pid_t writer = fork();
    if (writer == 0) {
        write_until_told(f, shared);
        _exit(0);
    }
    while (reads < READS) {
        dro_err err = columns_batch_read(f->reader, &f->layout, 0, &wanted, batch);
        assert_int_not_equal(err, DRO_CORRUPT);
        if (err != DRO_OK) /* the machine may be busy with others */
            continue;
        shared->reads = ++reads;
        for (uint32_t i = 0; i < batch->row_count; i++, rows++)
            torn += !row_is_whole(batch, batch->rows[i]);
    }
    shared->stop = 1;
    int status;
    assert_int_equal(waitpid(writer, &status, 0), writer);
    assert_int_equal(status, 0);
    assert_int_equal(torn, 0);
    assert_true(rows > READS);
    munmap(shared, 4096);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, region_setup, region_teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_row_starts_with_everything_never_set),
        CASE(a_value_comes_back_with_time_quality_and_source),
        CASE(a_private_property_has_no_column),
        CASE(a_value_of_another_kind_clears_the_property),
        CASE(a_string_is_cut_at_its_width),
        CASE(a_removed_row_is_used_again_and_is_clean),
        CASE(adding_and_removing_for_long_takes_no_more_space),
        CASE(equal_tags_take_space_once),
        CASE(tags_that_are_no_pairs_are_refused),
        CASE(many_different_tags_and_none_are_kept),
        CASE(a_numeric_property_takes_at_most_14_bytes),
        CASE(a_full_region_says_so_and_stays_sound),
        CASE(limits_of_numbers_and_names_hold),
        CASE(a_reader_sees_only_rows_of_its_domains),
        CASE(a_batch_holds_what_was_written),
        CASE(never_is_told_apart_from_the_year_1970),
        CASE(one_id_is_found_among_many),
        CASE(marks_name_the_tags_of_each_domain),
        CASE(a_writer_that_died_in_a_step_does_not_hang_the_reader),
        CASE(a_foreign_region_is_refused),
        CASE(a_region_with_any_word_changed_is_read_or_refused),
        CASE(a_reader_never_sees_half_a_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "store/columns.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cursor.h"
#include "base/pages.h"
#include "store/columns_handle.h"

enum {
    CLASS_SMALL = 16,     /* classes of 16, 32, ... 256 bytes, */
    CLASS_COUNT = 24,     /* then these */
    BUCKETS_FIRST = 1024, /* of a hash table; a power of two */
    SOON_BYTES = 8 * 1024 * 1024, /* the next of these is asked for when one is begun, */
    SOON_FROM = 8 * SOON_BYTES,  /* once there are so many that one more is little */
    HUGE_FROM = 16 * DRO_PAGES_HUGE, /* a region's first megabytes come in small pages: many hosts need no more */
};
static const uint16_t class_large[CLASS_COUNT - CLASS_SMALL] = { 320, 384, 448, 512, 640, 768, 896, 1040 };

/* What only the writer needs; rebuilt with the region at each start. */
struct columns_writer {
    uint64_t seed; /* of the hashes: applications choose tags */
    uint64_t used;
    uint32_t free_rows[COLUMNS_TABLES_MAX]; /* row + 1 */
    uint32_t free_blocks[CLASS_COUNT];      /* references, linked through the blocks' first bytes */
    uint32_t slab_at[CLASS_COUNT], slab_end[CLASS_COUNT];
    uint32_t *tag_buckets; /* references of tags blocks */
    uint32_t tag_bucket_count, tag_count;
    const columns_mark_layout **marks; /* open addressing */
    uint32_t *mark_tables;             /* beside it: the table of the mark */
    uint32_t mark_capacity, mark_count;
};

static uint64_t hash_bytes(uint64_t seed, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    uint64_t hash = seed ^ length;
    while (length > 0) {
        uint64_t word = 0;
        size_t part = length < 8 ? length : 8;
        memcpy(&word, at, part);
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
        at += part;
        length -= part;
    }
    return hash ^ hash >> 32;
}

/* ---- space ---- */

static void *at_offset(const columns *region, uint64_t offset)
{
    assert(offset < region->bytes);
    return region->memory + offset;
}

static void *at_reference(const columns *region, uint32_t reference)
{
    return at_offset(region, (uint64_t)reference * COLUMNS_UNIT);
}

/* Fresh zeroed space, aligned; its offset, or 0 when the region is full. */
static uint64_t space_take(columns *region, uint64_t bytes, uint64_t alignment)
{
    uint64_t offset = (region->writer->used + alignment - 1) & ~(alignment - 1);
    if (offset > region->bytes || region->bytes - offset < bytes)
        return 0;
    uint64_t before = region->writer->used / SOON_BYTES, now = (offset + bytes) / SOON_BYTES;
    region->writer->used = offset + bytes;
    if (now > before && offset >= SOON_FROM && (now + 2) * SOON_BYTES <= region->bytes)
        dro_pages_soon(region->memory + (now + 1) * SOON_BYTES, SOON_BYTES);
    return offset;
}

static unsigned class_of(size_t bytes)
{
    if (bytes <= CLASS_SMALL * COLUMNS_UNIT)
        return (unsigned)((bytes + COLUMNS_UNIT - 1) / COLUMNS_UNIT) - 1;
    unsigned large = 0;
    while (class_large[large] < bytes)
        large++;
    return CLASS_SMALL + large;
}

static uint32_t class_bytes(unsigned class)
{
    return class < CLASS_SMALL ? (class + 1) * COLUMNS_UNIT : class_large[class - CLASS_SMALL];
}

/* A block of at least `bytes`, or 0. */
static uint32_t block_take(columns *region, size_t bytes)
{
    struct columns_writer *writer = region->writer;
    unsigned class = class_of(bytes);
    uint32_t reference = writer->free_blocks[class];
    if (reference != 0) {
        memcpy(&writer->free_blocks[class], at_reference(region, reference), sizeof reference);
        return reference;
    }
    uint32_t units = class_bytes(class) / COLUMNS_UNIT;
    if (writer->slab_end[class] - writer->slab_at[class] < units) {
        uint64_t slab = space_take(region, COLUMNS_SLAB, COLUMNS_PAGE);
        if (slab == 0)
            return 0;
        writer->slab_at[class] = (uint32_t)(slab / COLUMNS_UNIT);
        writer->slab_end[class] = (uint32_t)((slab + COLUMNS_SLAB) / COLUMNS_UNIT);
    }
    reference = writer->slab_at[class];
    writer->slab_at[class] += units;
    return reference;
}

/* Only within a step of the chunk that used the block (see columns_layout.h). */
static void block_give(columns *region, uint32_t reference, size_t bytes)
{
    uint32_t *head = &region->writer->free_blocks[class_of(bytes)];
    memcpy(at_reference(region, reference), head, sizeof *head);
    *head = reference;
}

/* ---- region ---- */

dro_err columns_create(columns **out, void *memory, size_t bytes)
{
    assert(memory != NULL && ((uintptr_t)memory & (COLUMNS_PAGE - 1)) == 0);
    *out = NULL;
    if (bytes < sizeof(columns_header) + COLUMNS_PAGE)
        return DRO_LIMIT;
    columns *made = calloc(1, sizeof *made);
    struct columns_writer *writer = calloc(1, sizeof *writer);
    uint32_t *buckets = calloc(BUCKETS_FIRST, sizeof *buckets);
    if (made == NULL || writer == NULL || buckets == NULL) {
        free(buckets);
        free(writer);
        free(made);
        return DRO_NOMEM;
    }
    dro_random_system()->fill(dro_random_system(), &writer->seed, sizeof writer->seed);
    writer->tag_buckets = buckets;
    writer->tag_bucket_count = BUCKETS_FIRST;
    writer->used = sizeof(columns_header);
    made->memory = memory;
    made->bytes = bytes > COLUMNS_REGION_MAX ? COLUMNS_REGION_MAX : bytes;
    made->header = memory;
    made->writer = writer;
    if (made->bytes > HUGE_FROM)
        dro_pages_huge(made->memory + HUGE_FROM, made->bytes - HUGE_FROM);
    made->header->bytes = made->bytes;
    made->header->magic = COLUMNS_MAGIC;
    *out = made;
    return DRO_OK;
}

void columns_free(columns *region)
{
    if (region == NULL)
        return;
    if (region->writer != NULL) {
        free(region->writer->tag_buckets);
        free(region->writer->marks);
        free(region->writer->mark_tables);
        free(region->writer);
    }
    free(region);
}

static void catalogue_changed(columns *region)
{
    atomic_fetch_add_explicit(&region->header->version, 1, memory_order_release);
}

dro_err columns_domain_set(columns *region, uint32_t number, const char *name)
{
    size_t length = strlen(name);
    if (number >= COLUMNS_DOMAINS_MAX || length == 0 || length > COLUMNS_DOMAIN_MAX)
        return DRO_LIMIT;
    columns_domain_layout *domain = &region->header->domains[number];
    if (domain->length != 0)
        return domain->length == length && memcmp(domain->name, name, length) == 0 ? DRO_OK : DRO_EXISTS;
    memcpy(domain->name, name, length);
    atomic_store_explicit(&domain->length, (uint8_t)length, memory_order_release);
    if (number >= region->header->domain_count)
        atomic_store_explicit(&region->header->domain_count, number + 1, memory_order_release);
    catalogue_changed(region);
    return DRO_OK;
}

static columns_table_layout *table_at(const columns *region, uint32_t table)
{
    assert(region->writer != NULL && table < region->header->table_count);
    return at_offset(region, region->header->tables[table]);
}

static uint32_t array_place(uint32_t *end, uint32_t width)
{
    uint32_t offset = *end;
    *end += width * COLUMNS_CHUNK_ROWS;
    return offset;
}

static void column_place(columns_column_layout *column, const model_property *property, uint32_t *end)
{
    memcpy(column->name, property->name, sizeof column->name);
    column->kind = (uint8_t)property->schema.kind;
    assert(column->kind != VALUE_NONE); /* no model has such a property (twin/model_rules.c) */
    switch (property->schema.kind) {
    case VALUE_NUMBER:
    case VALUE_INTEGER: column->width = 8; break;
    case VALUE_BOOLEAN: column->width = 1; break;
    default: /* a string */
        column->width = property->schema.length_maximum;
        if (column->width == 0 || column->width > VALUE_STRING_MAX)
            column->width = VALUE_STRING_MAX;
    }
    column->values = array_place(end, column->width);
    column->states = array_place(end, sizeof(uint16_t));
    column->lengths = column->kind == VALUE_STRING ? array_place(end, sizeof(uint16_t)) : 0;
}

dro_err columns_table_add(columns *region, const model *shown, uint32_t *table)
{
    uint32_t number = region->header->table_count;
    if (number >= COLUMNS_TABLES_MAX || shown->property_count > MODEL_PROPERTIES_MAX)
        return DRO_LIMIT;
    uint64_t offset = space_take(region, sizeof(columns_table_layout), COLUMNS_PAGE);
    if (offset == 0)
        return DRO_LIMIT;
    columns_table_layout *made = at_offset(region, offset);
    uint32_t end = sizeof(columns_chunk_layout);
    memcpy(made->name, shown->name, sizeof made->name);
    made->property_count = shown->property_count;
    for (uint16_t i = 0; i < shown->property_count; i++) {
        made->column_of[i] = COLUMNS_NO_COLUMN;
        if (shown->properties[i].is_private)
            continue;
        made->column_of[i] = (uint8_t)made->column_count;
        column_place(&made->columns[made->column_count++], &shown->properties[i], &end);
    }
    made->times = array_place(&end, made->column_count * (uint32_t)sizeof(uint32_t));
    made->chunk_bytes = end;
    atomic_store_explicit(&region->header->tables[number], offset, memory_order_release);
    atomic_store_explicit(&region->header->table_count, number + 1, memory_order_release);
    catalogue_changed(region);
    *table = number;
    return DRO_OK;
}

/* ---- marks ---- */

static bool marks_grow(struct columns_writer *writer)
{
    uint32_t capacity = writer->mark_capacity == 0 ? BUCKETS_FIRST : writer->mark_capacity * 2;
    const columns_mark_layout **marks = calloc(capacity, sizeof *marks);
    uint32_t *tables = calloc(capacity, sizeof *tables);
    if (marks == NULL || tables == NULL) {
        free(marks);
        free(tables);
        return false;
    }
    for (uint32_t i = 0; i < writer->mark_capacity; i++) {
        const columns_mark_layout *mark = writer->marks[i];
        if (mark == NULL)
            continue;
        uint64_t hash = hash_bytes(writer->seed ^ writer->mark_tables[i], mark, 3u + mark->length);
        while (marks[hash & (capacity - 1)] != NULL)
            hash++;
        marks[hash & (capacity - 1)] = mark;
        tables[hash & (capacity - 1)] = writer->mark_tables[i];
    }
    free(writer->marks);
    free(writer->mark_tables);
    writer->marks = marks;
    writer->mark_tables = tables;
    writer->mark_capacity = capacity;
    return true;
}

/* A place for one more mark of the table, or NULL: then its name is no column. */
static columns_mark_layout *mark_place(columns *region, columns_table_layout *table)
{
    uint32_t count = table->mark_count;
    if (count >= COLUMNS_MARK_PAGES_MAX * COLUMNS_MARKS_PER_PAGE)
        return NULL;
    _Atomic uint64_t *page = &table->mark_pages[count / COLUMNS_MARKS_PER_PAGE];
    if (*page == 0) {
        uint64_t offset = space_take(region, COLUMNS_MARKS_PER_PAGE * sizeof(columns_mark_layout), COLUMNS_PAGE);
        if (offset == 0)
            return NULL;
        atomic_store_explicit(page, offset, memory_order_release);
    }
    return (columns_mark_layout *)at_offset(region, *page) + count % COLUMNS_MARKS_PER_PAGE;
}

/* Notes that rows of `domain` are in the table or carry a tag of this name. A
 * mark that finds no space only means one column less to queries. */
static void mark_note(columns *region, uint32_t table, uint16_t domain, const void *name, size_t length)
{
    struct columns_writer *writer = region->writer;
    if (length > COLUMNS_MARK_MAX || (writer->mark_count * 2 >= writer->mark_capacity && !marks_grow(writer)))
        return;
    columns_mark_layout wanted = { .domain = domain, .length = (uint8_t)length };
    memcpy(wanted.name, name, length);
    uint64_t hash = hash_bytes(writer->seed ^ table, &wanted, 3 + length);
    uint32_t slot;
    for (; slot = (uint32_t)(hash & (writer->mark_capacity - 1)), writer->marks[slot] != NULL; hash++)
        if (writer->mark_tables[slot] == table && memcmp(writer->marks[slot], &wanted, 3 + length) == 0)
            return;
    columns_table_layout *layout = table_at(region, table);
    columns_mark_layout *mark = mark_place(region, layout);
    if (mark == NULL)
        return;
    *mark = wanted;
    writer->marks[slot] = mark;
    writer->mark_tables[slot] = table;
    writer->mark_count++;
    atomic_fetch_add_explicit(&layout->mark_count, 1, memory_order_release);
    catalogue_changed(region);
}

/* ---- rows ---- */

static columns_chunk_layout *chunk_at(const columns *region, const columns_table_layout *table, uint32_t row)
{
    assert(row < table->row_count);
    uint32_t chunk = row / COLUMNS_CHUNK_ROWS;
    const uint64_t *page = at_offset(region, table->chunk_pages[chunk / COLUMNS_CHUNKS_PER_PAGE]);
    return at_offset(region, page[chunk % COLUMNS_CHUNKS_PER_PAGE]);
}

/* Makes the chunk's version odd; false when it already is: the caller's caller
 * has begun the step and will end it. */
static bool step_begin(columns_chunk_layout *chunk)
{
    uint64_t version = atomic_load_explicit(&chunk->version, memory_order_relaxed);
    if (version & 1)
        return false;
    atomic_store_explicit(&chunk->version, version + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    return true;
}

static void step_end(columns_chunk_layout *chunk, bool begun)
{
    if (begun)
        atomic_store_explicit(&chunk->version, chunk->version + 1, memory_order_release);
}

/* One more row at the table's end. */
static dro_err row_append(columns *region, columns_table_layout *table, uint32_t *row)
{
    uint32_t next = table->row_count, chunk = next / COLUMNS_CHUNK_ROWS;
    if (next % COLUMNS_CHUNK_ROWS == 0) {
        if (chunk >= COLUMNS_CHUNK_PAGES_MAX * COLUMNS_CHUNKS_PER_PAGE)
            return DRO_LIMIT;
        _Atomic uint64_t *page = &table->chunk_pages[chunk / COLUMNS_CHUNKS_PER_PAGE];
        if (*page == 0) {
            uint64_t offset = space_take(region, COLUMNS_PAGE, COLUMNS_PAGE);
            if (offset == 0)
                return DRO_LIMIT;
            atomic_store_explicit(page, offset, memory_order_release);
        }
        uint64_t place = space_take(region, table->chunk_bytes, COLUMNS_PAGE);
        if (place == 0)
            return DRO_LIMIT;
        _Atomic uint64_t *chunks = at_offset(region, *page);
        atomic_store_explicit(&chunks[chunk % COLUMNS_CHUNKS_PER_PAGE], place, memory_order_release);
    }
    atomic_store_explicit(&table->row_count, next + 1, memory_order_release);
    *row = next;
    return DRO_OK;
}

static dro_err row_take(columns *region, uint32_t table, uint32_t *row)
{
    columns_table_layout *layout = table_at(region, table);
    uint32_t *head = &region->writer->free_rows[table];
    if (*head == 0)
        return row_append(region, layout, row);
    *row = *head - 1;
    *head = chunk_at(region, layout, *row)->id[*row % COLUMNS_CHUNK_ROWS];
    return DRO_OK;
}

dro_err columns_row_add(columns *region, uint32_t table, uint64_t twin, uint32_t domain, const char *id,
                        size_t id_length, uint32_t *row)
{
    columns_table_layout *layout = table_at(region, table);
    if (domain >= COLUMNS_DOMAINS_MAX || id_length == 0 || id_length > UINT8_MAX)
        return DRO_LIMIT;
    uint32_t block = block_take(region, sizeof(columns_id_layout) + id_length);
    if (block == 0)
        return DRO_LIMIT;
    dro_err err = row_take(region, table, row);
    if (err != DRO_OK) {
        block_give(region, block, sizeof(columns_id_layout) + id_length); /* nobody has seen it */
        return err;
    }
    columns_chunk_layout *chunk = chunk_at(region, layout, *row);
    uint32_t at = *row % COLUMNS_CHUNK_ROWS;
    bool begun = step_begin(chunk);
    columns_id_layout *copy = at_reference(region, block);
    copy->length = (uint8_t)id_length;
    memcpy(copy->id, id, id_length);
    chunk->id[at] = block;
    chunk->id_print[at] = columns_id_print(id, id_length);
    chunk->twin[at] = twin;
    chunk->tags[at] = 0;
    chunk->revision_low[at] = 0;
    chunk->revision_high[at] = 0;
    chunk->contact_low[at] = 0;
    chunk->contact_high[at] = 0;
    for (uint16_t i = 0; i < layout->column_count; i++)
        ((uint16_t *)((uint8_t *)chunk + layout->columns[i].states))[at] = 0;
    chunk->domain[at] = (uint16_t)(domain + 1);
    step_end(chunk, begun);
    mark_note(region, table, (uint16_t)domain, "", 0);
    return DRO_OK;
}

static void tags_release(columns *region, uint32_t reference)
{
    struct columns_writer *writer = region->writer;
    if (reference == 0)
        return;
    columns_tags_layout *block = at_reference(region, reference);
    if (--block->references > 0)
        return;
    uint64_t hash = hash_bytes(writer->seed, block->tags, block->length);
    uint32_t *link = &writer->tag_buckets[hash & (writer->tag_bucket_count - 1)];
    while (*link != reference)
        link = &((columns_tags_layout *)at_reference(region, *link))->next;
    *link = block->next;
    writer->tag_count--;
    atomic_fetch_add_explicit(&region->header->tags_freed, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* counted before it can be written again */
    block_give(region, reference, sizeof *block + block->length);
}

void columns_row_remove(columns *region, uint32_t table, uint32_t row)
{
    columns_chunk_layout *chunk = chunk_at(region, table_at(region, table), row);
    uint32_t at = row % COLUMNS_CHUNK_ROWS;
    assert(chunk->domain[at] != 0);
    bool begun = step_begin(chunk);
    columns_id_layout *id = at_reference(region, chunk->id[at]);
    chunk->domain[at] = 0;
    block_give(region, chunk->id[at], sizeof *id + id->length);
    tags_release(region, chunk->tags[at]);
    chunk->tags[at] = 0;
    chunk->id[at] = region->writer->free_rows[table];
    region->writer->free_rows[table] = row + 1;
    step_end(chunk, begun);
}

/* ---- tags ---- */

static void tag_buckets_grow(columns *region)
{
    struct columns_writer *writer = region->writer;
    uint32_t count = writer->tag_bucket_count * 2;
    uint32_t *buckets = calloc(count, sizeof *buckets);
    if (buckets == NULL)
        return; /* longer chains are slower, not wrong */
    for (uint32_t i = 0; i < writer->tag_bucket_count; i++)
        for (uint32_t reference = writer->tag_buckets[i]; reference != 0;) {
            columns_tags_layout *block = at_reference(region, reference);
            uint32_t next = block->next;
            uint64_t hash = hash_bytes(writer->seed, block->tags, block->length);
            block->next = buckets[hash & (count - 1)];
            buckets[hash & (count - 1)] = reference;
            reference = next;
        }
    free(writer->tag_buckets);
    writer->tag_buckets = buckets;
    writer->tag_bucket_count = count;
}

/* The block with these tags, one reference more; 0: region full. */
static uint32_t tags_hold(columns *region, const void *tags, size_t length)
{
    struct columns_writer *writer = region->writer;
    if (writer->tag_count >= writer->tag_bucket_count)
        tag_buckets_grow(region);
    uint64_t hash = hash_bytes(writer->seed, tags, length);
    uint32_t *bucket = &writer->tag_buckets[hash & (writer->tag_bucket_count - 1)];
    for (uint32_t reference = *bucket; reference != 0;) {
        columns_tags_layout *block = at_reference(region, reference);
        if (block->length == length && memcmp(block->tags, tags, length) == 0) {
            block->references++;
            return reference;
        }
        reference = block->next;
    }
    uint32_t reference = block_take(region, sizeof(columns_tags_layout) + length);
    if (reference == 0)
        return 0;
    columns_tags_layout *block = at_reference(region, reference);
    block->next = *bucket;
    block->references = 1;
    block->length = (uint16_t)length;
    memcpy(block->tags, tags, length);
    *bucket = reference;
    writer->tag_count++;
    return reference;
}

/* The next pair's name; false at the end or when the bytes are no pairs. */
static bool tag_next(dro_cursor *in, const uint8_t **name, size_t *length)
{
    if (in->at == in->end)
        return false;
    *length = (size_t)dro_cursor_le(in, 1);
    *name = dro_cursor_bytes(in, *length);
    dro_cursor_bytes(in, (size_t)dro_cursor_le(in, 2));
    return in->err == DRO_OK;
}

dro_err columns_tags_set(columns *region, uint32_t table, uint32_t row, const void *tags, size_t length)
{
    columns_chunk_layout *chunk = chunk_at(region, table_at(region, table), row);
    uint32_t at = row % COLUMNS_CHUNK_ROWS, held = 0;
    const uint8_t *name;
    size_t name_length;
    assert(chunk->domain[at] != 0);
    if (length > COLUMNS_TAGS_MAX)
        return DRO_LIMIT;
    dro_cursor in = dro_cursor_over(tags, length);
    while (tag_next(&in, &name, &name_length))
        ;
    if (in.err != DRO_OK)
        return DRO_MALFORMED;
    if (length > 0 && (held = tags_hold(region, tags, length)) == 0)
        return DRO_LIMIT;
    bool begun = step_begin(chunk);
    uint32_t old = chunk->tags[at];
    chunk->tags[at] = held;
    tags_release(region, old);
    step_end(chunk, begun);
    in = dro_cursor_over(tags, length);
    while (tag_next(&in, &name, &name_length))
        if (name_length > 0)
            mark_note(region, table, (uint16_t)(chunk->domain[at] - 1), name, name_length);
    return DRO_OK;
}

/* ---- values ---- */

/* What does not fit into 48 bits becomes the largest that does. */
static void wide_set(uint32_t *low, uint16_t *high, uint64_t wide)
{
    uint64_t most = ((uint64_t)1 << COLUMNS_WIDE_BITS) - 1;
    wide = wide > most ? most : wide;
    *low = (uint32_t)wide;
    *high = (uint16_t)(wide >> 32);
}

void columns_revision_set(columns *region, uint32_t table, uint32_t row, uint64_t revision)
{
    columns_chunk_layout *chunk = chunk_at(region, table_at(region, table), row);
    uint32_t at = row % COLUMNS_CHUNK_ROWS;
    bool begun = step_begin(chunk);
    wide_set(&chunk->revision_low[at], &chunk->revision_high[at], revision);
    step_end(chunk, begun);
}

void columns_contact_set(columns *region, uint32_t table, uint32_t row, int64_t last_contact_ms)
{
    columns_chunk_layout *chunk = chunk_at(region, table_at(region, table), row);
    uint32_t at = row % COLUMNS_CHUNK_ROWS;
    bool begun = step_begin(chunk);
    wide_set(&chunk->contact_low[at], &chunk->contact_high[at],
             last_contact_ms == COLUMNS_NEVER ? 0 : last_contact_ms < 0 ? 1 : (uint64_t)last_contact_ms + 1);
    step_end(chunk, begun);
}

void columns_row_begin(columns *region, uint32_t table, uint32_t row)
{
    bool begun = step_begin(chunk_at(region, table_at(region, table), row));
    assert(begun); /* one row at a time */
}

void columns_row_end(columns *region, uint32_t table, uint32_t row)
{
    columns_chunk_layout *chunk = chunk_at(region, table_at(region, table), row);
    assert(chunk->version & 1);
    step_end(chunk, true);
}

static bool is_storable(const columns_column_layout *column, const value *from)
{
    bool is_numeric = column->kind == VALUE_NUMBER || column->kind == VALUE_INTEGER;
    return from->kind == column->kind || (is_numeric && (from->kind == VALUE_NUMBER || from->kind == VALUE_INTEGER));
}

/* False: it can not be put into the column (an integer column has no 1e300). */
static bool value_put(uint8_t *chunk, const columns_column_layout *column, uint32_t at, const value *from)
{
    uint8_t *place = chunk + column->values + (size_t)at * column->width;
    if (!is_storable(column, from))
        return false;
    switch ((value_kind)column->kind) {
    case VALUE_NUMBER: {
        double number = from->kind == VALUE_NUMBER ? from->number : (double)from->integer;
        memcpy(place, &number, sizeof number);
        return true;
    }
    case VALUE_INTEGER: {
        if (from->kind == VALUE_NUMBER && !(from->number >= -0x1p63 && from->number < 0x1p63))
            return false;
        int64_t integer = from->kind == VALUE_INTEGER ? from->integer : (int64_t)from->number;
        memcpy(place, &integer, sizeof integer);
        return true;
    }
    case VALUE_BOOLEAN: *place = from->boolean; return true;
    default: { /* a string */
        uint16_t length = (uint16_t)(from->length < column->width ? from->length : column->width);
        ((uint16_t *)(chunk + column->lengths))[at] = length;
        memcpy(place, from->string, length);
        return true;
    }
    }
}

static const columns_column_layout *column_of(const columns_table_layout *table, uint32_t property)
{
    uint8_t column = property < table->property_count ? table->column_of[property] : COLUMNS_NO_COLUMN;
    return column == COLUMNS_NO_COLUMN ? NULL : &table->columns[column];
}

/* Of the value's time: the low bits. */
static uint32_t *time_at(const columns_table_layout *table, const columns_column_layout *column, uint8_t *chunk, uint32_t at)
{
    return (uint32_t *)(void *)(chunk + table->times) + (size_t)at * table->column_count + (column - table->columns);
}

void columns_value_set(columns *region, uint32_t table, uint32_t row, uint32_t property, const cell_value *cell)
{
    columns_table_layout *layout = table_at(region, table);
    const columns_column_layout *column = column_of(layout, property);
    columns_chunk_layout *chunk = chunk_at(region, layout, row);
    uint32_t at = row % COLUMNS_CHUNK_ROWS;
    if (column == NULL)
        return;
    bool begun = step_begin(chunk);
    uint64_t most = ((uint64_t)1 << COLUMNS_TIME_BITS) - 1;
    uint64_t time = cell->time_ms < 0 ? 0 : (uint64_t)cell->time_ms > most ? most : (uint64_t)cell->time_ms;
    uint16_t *state = (uint16_t *)((uint8_t *)chunk + column->states) + at;
    if (value_put((uint8_t *)chunk, column, at, &cell->value)) {
        *time_at(layout, column, (uint8_t *)chunk, at) = (uint32_t)time;
        *state = (uint16_t)(time >> 32 << 4 | ((unsigned)cell->quality & 3) << 2 | ((unsigned)cell->source % 3 + 1));
    } else {
        *state = 0;
    }
    step_end(chunk, begun);
}

enum { TO_WRITE = 1 };

void columns_value_prefetch(const columns *region, uint32_t table, uint32_t row, uint32_t property)
{
    const columns_table_layout *layout = table_at(region, table);
    const columns_column_layout *column = column_of(layout, property);
    if (column == NULL)
        return;
    uint8_t *chunk = (uint8_t *)chunk_at(region, layout, row);
    uint32_t at = row % COLUMNS_CHUNK_ROWS;
    __builtin_prefetch(chunk + column->values + (size_t)at * column->width, TO_WRITE);
    __builtin_prefetch(time_at(layout, column, chunk, at), TO_WRITE);
    __builtin_prefetch(chunk + column->states + at * sizeof(uint16_t), TO_WRITE);
}

void columns_contact_prefetch(const columns *region, uint32_t table, uint32_t row)
{
    const columns_chunk_layout *chunk = chunk_at(region, table_at(region, table), row);
    uint32_t at = row % COLUMNS_CHUNK_ROWS;
    __builtin_prefetch(&chunk->version, TO_WRITE);
    __builtin_prefetch(&chunk->contact_low[at], TO_WRITE);
    __builtin_prefetch(&chunk->contact_high[at], TO_WRITE);
}

void columns_row_prefetch(const columns *region, uint32_t table, uint32_t row)
{
    const columns_table_layout *layout = table_at(region, table);
    const columns_chunk_layout *chunk = chunk_at(region, layout, row);
    const uint8_t *arrays = (const uint8_t *)chunk;
    uint32_t at = row % COLUMNS_CHUNK_ROWS, count = layout->column_count;
    __builtin_prefetch(&chunk->version, TO_WRITE);
    __builtin_prefetch(&chunk->contact_low[at], TO_WRITE);
    __builtin_prefetch(&chunk->contact_high[at], TO_WRITE);
    __builtin_prefetch(&chunk->revision_low[at], TO_WRITE);
    __builtin_prefetch(&chunk->revision_high[at], TO_WRITE);
    __builtin_prefetch(arrays + layout->times + (size_t)at * count * sizeof(uint32_t), TO_WRITE);
    for (uint32_t i = 0; i < count && i < COLUMNS_PREFETCH_MAX; i++) {
        const columns_column_layout *column = &layout->columns[i];
        __builtin_prefetch(arrays + column->values + (size_t)at * column->width, TO_WRITE);
        __builtin_prefetch(arrays + column->states + at * sizeof(uint16_t), TO_WRITE);
    }
}

/* ---- the writer's own reading ---- */

void columns_value_get(const columns *region, uint32_t table, uint32_t row, uint32_t property, cell_value *out)
{
    const columns_table_layout *layout = table_at(region, table);
    const columns_column_layout *column = column_of(layout, property);
    uint8_t *chunk = (uint8_t *)chunk_at(region, layout, row);
    uint32_t at = row % COLUMNS_CHUNK_ROWS;
    uint16_t state = column == NULL ? 0 : ((const uint16_t *)(chunk + column->states))[at];
    *out = (cell_value){ .time_ms = COLUMNS_NEVER };
    if (state == 0)
        return;
    const uint8_t *place = chunk + column->values + (size_t)at * column->width;
    out->value.kind = (value_kind)column->kind;
    int64_t eight; /* of a number the bits too */
    switch (out->value.kind) {
    case VALUE_NUMBER:
    case VALUE_INTEGER:
        memcpy(&eight, place, sizeof eight);
        out->value.integer = eight;
        break;
    case VALUE_BOOLEAN: out->value.boolean = *place != 0; break;
    default: /* a string */
        out->value.string = (const char *)place;
        out->value.length = ((const uint16_t *)(chunk + column->lengths))[at];
    }
    out->time_ms = (int64_t)((uint64_t)(state >> 4) << 32 | *time_at(layout, column, chunk, at));
    out->quality = (quality)(state >> 2 & 3);
    out->source = (source)((state & 3) - 1);
}

const char *columns_id_get(const columns *region, uint32_t table, uint32_t row, size_t *length)
{
    const columns_chunk_layout *chunk = chunk_at(region, table_at(region, table), row);
    uint32_t at = row % COLUMNS_CHUNK_ROWS;
    *length = 0;
    if (chunk->domain[at] == 0)
        return NULL;
    const columns_id_layout *id = at_reference(region, chunk->id[at]);
    *length = id->length;
    return id->id;
}

const uint8_t *columns_tags_get(const columns *region, uint32_t table, uint32_t row, size_t *length)
{
    const columns_chunk_layout *chunk = chunk_at(region, table_at(region, table), row);
    uint32_t at = row % COLUMNS_CHUNK_ROWS;
    *length = 0;
    if (chunk->domain[at] == 0 || chunk->tags[at] == 0)
        return NULL;
    const columns_tags_layout *block = at_reference(region, chunk->tags[at]);
    *length = block->length;
    return block->tags;
}

uint32_t columns_row_count(const columns *region, uint32_t table)
{
    return table_at(region, table)->row_count;
}

uint64_t columns_bytes_used(const columns *region)
{
    uint64_t unused = COLUMNS_DOMAINS_MAX - region->header->domain_count; /* never touched, so they take no memory */
    return region->writer->used - unused * sizeof(columns_domain_layout);
}

#include "store/columns_read.h"

#include <assert.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cursor.h"
#include "store/columns_handle.h"

enum {
    TRIES_PER_SIZE = 4,    /* before a smaller range of rows is tried */
    TRIES_MAX = 6000,      /* failed looks at one chunk, then it is given up: */
    TRIES_SPIN = 2000,     /* so many at once, giving the CPU away now and then, */
    TRIES_YIELD = 16,
    SLEEP_NS = 50 * 1000,  /* the rest with a pause */
    ALIGNMENT = 64,
};

/* What was copied so far is not read again from the region: it could be another by then. */
static inline void copied_once(void)
{
    __asm__ volatile("" : : : "memory");
}

/* `bytes` bytes at an offset somebody else wrote; NULL: not inside the region. */
static const void *checked(const columns *region, uint64_t offset, uint64_t bytes)
{
    if (offset < sizeof(columns_header) || offset % 8 != 0 || offset > region->bytes ||
        region->bytes - offset < bytes)
        return NULL;
    return region->memory + offset;
}

dro_err columns_attach(columns **out, const void *memory, size_t bytes)
{
    *out = NULL;
    if (bytes < sizeof(columns_header) || ((uintptr_t)memory & 7) != 0)
        return DRO_CORRUPT;
    columns *made = calloc(1, sizeof *made);
    if (made == NULL)
        return DRO_NOMEM;
    made->memory = (uint8_t *)(uintptr_t)memory;
    made->header = (columns_header *)(void *)made->memory;
    made->bytes = made->header->bytes;
    copied_once();
    if (made->header->magic != COLUMNS_MAGIC || made->bytes > bytes || made->bytes < sizeof(columns_header)) {
        free(made);
        return DRO_CORRUPT;
    }
    *out = made;
    return DRO_OK;
}

/* ---- catalogue ---- */

uint64_t columns_version(const columns *region)
{
    return atomic_load_explicit(&region->header->version, memory_order_acquire);
}

static uint32_t count_read(const _Atomic uint32_t *count, uint32_t most)
{
    uint32_t seen = atomic_load_explicit(count, memory_order_acquire);
    return seen < most ? seen : most;
}

uint32_t columns_table_count(const columns *region)
{
    return count_read(&region->header->table_count, COLUMNS_TABLES_MAX);
}

static bool array_fits(uint32_t offset, size_t width, size_t alignment, uint32_t chunk_bytes)
{
    size_t bytes = width * COLUMNS_CHUNK_ROWS;
    return offset >= sizeof(columns_chunk_layout) && offset % alignment == 0 && bytes <= chunk_bytes &&
           offset <= chunk_bytes - bytes;
}

static bool column_check(const columns_column *column, uint32_t chunk_bytes)
{
    size_t alignment = 1;
    switch (column->kind) {
    case VALUE_NUMBER:
    case VALUE_INTEGER:
        if (column->width != 8)
            return false;
        alignment = 8;
        break;
    case VALUE_BOOLEAN:
        if (column->width != 1)
            return false;
        break;
    case VALUE_STRING:
        if (column->width == 0 || column->width > VALUE_STRING_MAX ||
            !array_fits(column->lengths, 2, 2, chunk_bytes))
            return false;
        break;
    case VALUE_NONE:
    default: return false;
    }
    return column->name[0] != '\0' && array_fits(column->values, column->width, alignment, chunk_bytes) &&
           array_fits(column->states, 2, 2, chunk_bytes);
}

dro_err columns_table_read(const columns *region, uint32_t number, columns_table *out)
{
    if (number >= columns_table_count(region))
        return DRO_NOT_FOUND;
    uint64_t offset = atomic_load_explicit(&region->header->tables[number], memory_order_acquire);
    const columns_table_layout *layout = checked(region, offset, sizeof *layout);
    if (layout == NULL)
        return DRO_CORRUPT;
    *out = (columns_table){ .number = number,
                            .offset = offset,
                            .column_count = layout->column_count,
                            .chunk_bytes = layout->chunk_bytes,
                            .times = layout->times };
    memcpy(out->name, layout->name, sizeof out->name);
    out->name[MODEL_NAME_MAX] = '\0';
    copied_once();
    if (out->column_count > MODEL_PROPERTIES_MAX || out->name[0] == '\0' ||
        out->chunk_bytes < sizeof(columns_chunk_layout) ||
        !array_fits(out->times, out->column_count * (uint32_t)sizeof(uint32_t), sizeof(uint32_t), out->chunk_bytes))
        return DRO_CORRUPT;
    for (uint16_t i = 0; i < out->column_count; i++) {
        columns_column_layout from = layout->columns[i];
        columns_column *column = &out->columns[i];
        memcpy(column->name, from.name, sizeof column->name);
        column->name[MODEL_NAME_MAX] = '\0';
        column->kind = (value_kind)from.kind;
        column->width = from.width;
        column->values = from.values;
        column->states = from.states;
        column->lengths = from.lengths;
        copied_once();
        if (!column_check(column, out->chunk_bytes))
            return DRO_CORRUPT;
    }
    return DRO_OK;
}

uint32_t columns_domain_count(const columns *region)
{
    return count_read(&region->header->domain_count, COLUMNS_DOMAINS_MAX);
}

size_t columns_domain_read(const columns *region, uint32_t number, char out[COLUMNS_DOMAIN_MAX])
{
    if (number >= columns_domain_count(region))
        return 0;
    const columns_domain_layout *domain = &region->header->domains[number];
    size_t length = atomic_load_explicit(&domain->length, memory_order_acquire);
    if (length > COLUMNS_DOMAIN_MAX)
        return 0;
    memcpy(out, domain->name, length);
    return length;
}

/* The table was checked when it was read, and its place does not change. */
static const columns_table_layout *layout_of(const columns *region, const columns_table *table)
{
    return (const void *)(region->memory + table->offset);
}

uint32_t columns_mark_count(const columns *region, const columns_table *table)
{
    return count_read(&layout_of(region, table)->mark_count, COLUMNS_MARK_PAGES_MAX * COLUMNS_MARKS_PER_PAGE);
}

bool columns_mark_read(const columns *region, const columns_table *table, uint32_t mark, columns_mark *out)
{
    if (mark >= columns_mark_count(region, table))
        return false;
    const _Atomic uint64_t *page = &layout_of(region, table)->mark_pages[mark / COLUMNS_MARKS_PER_PAGE];
    const columns_mark_layout *marks = checked(region, atomic_load_explicit(page, memory_order_acquire),
                                               COLUMNS_MARKS_PER_PAGE * sizeof *marks);
    if (marks == NULL)
        return false;
    columns_mark_layout copy = marks[mark % COLUMNS_MARKS_PER_PAGE];
    copied_once();
    out->domain = copy.domain;
    out->length = copy.length;
    memcpy(out->name, copy.name, sizeof out->name);
    return out->length <= COLUMNS_MARK_MAX && out->domain < COLUMNS_DOMAINS_MAX;
}

uint32_t columns_chunk_count(const columns *region, const columns_table *table)
{
    uint32_t most = COLUMNS_CHUNK_PAGES_MAX * COLUMNS_CHUNKS_PER_PAGE * COLUMNS_CHUNK_ROWS;
    uint32_t rows = count_read(&layout_of(region, table)->row_count, most);
    return (rows + COLUMNS_CHUNK_ROWS - 1) / COLUMNS_CHUNK_ROWS;
}

static const columns_chunk_layout *chunk_find(const columns *region, const columns_table *table, uint32_t chunk)
{
    const _Atomic uint64_t *place = &layout_of(region, table)->chunk_pages[chunk / COLUMNS_CHUNKS_PER_PAGE];
    const _Atomic uint64_t *page = checked(region, atomic_load_explicit(place, memory_order_acquire), COLUMNS_PAGE);
    if (page == NULL)
        return NULL;
    uint64_t offset = atomic_load_explicit(&page[chunk % COLUMNS_CHUNKS_PER_PAGE], memory_order_acquire);
    return checked(region, offset, table->chunk_bytes);
}

/* ---- batches ---- */

/* Walks the layout of a batch: with memory it hands out pieces, without it counts. */
typedef struct layout_walk {
    uint8_t *memory;
    size_t used;
} layout_walk;

static void *piece(layout_walk *walk, bool is_wanted, size_t bytes)
{
    if (!is_wanted)
        return NULL;
    size_t start = walk->used;
    walk->used = (start + bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    return walk->memory == NULL ? NULL : walk->memory + start;
}

static void batch_walk(layout_walk *walk, const columns_table *table, const columns_wanted *wanted,
                       columns_batch *batch)
{
    enum { N = COLUMNS_CHUNK_ROWS };
    for (uint16_t i = 0; i < table->column_count; i++) {
        const columns_column *column = &table->columns[i];
        bool is_wanted = wanted->values >> i & 1;
        batch->values[i] = piece(walk, is_wanted, (size_t)column->width * N);
        batch->states[i] = piece(walk, is_wanted, sizeof(uint16_t) * N);
        batch->lengths[i] = piece(walk, is_wanted && column->kind == VALUE_STRING, sizeof(uint16_t) * N);
    }
    bool has_revision = wanted->more & COLUMNS_WANT_REVISION, has_contact = wanted->more & COLUMNS_WANT_CONTACT;
    batch->newest = piece(walk, wanted->more & COLUMNS_WANT_TIME, sizeof(uint64_t) * N);
    batch->revision_low = piece(walk, has_revision, sizeof(uint32_t) * N);
    batch->revision_high = piece(walk, has_revision, sizeof(uint16_t) * N);
    batch->contact_low = piece(walk, has_contact, sizeof(uint32_t) * N);
    batch->contact_high = piece(walk, has_contact, sizeof(uint16_t) * N);
    bool has_id = wanted->more & COLUMNS_WANT_ID, has_tags = wanted->more & COLUMNS_WANT_TAGS;
    batch->id_starts = piece(walk, has_id, sizeof(uint32_t) * N);
    batch->ids = piece(walk, has_id, (UINT8_MAX + 1) * N);
    batch->tag_set = piece(walk, has_tags, sizeof(uint16_t) * N);
    batch->tags = piece(walk, has_tags, sizeof(columns_tag_sets));
}

size_t columns_batch_bytes(const columns_table *table, const columns_wanted *wanted)
{
    columns_batch unused;
    layout_walk walk = { NULL, 0 };
    piece(&walk, true, sizeof(columns_batch));
    batch_walk(&walk, table, wanted, &unused);
    return walk.used;
}

columns_batch *columns_batch_place(const columns_table *table, const columns_wanted *wanted, void *memory)
{
    assert(((uintptr_t)memory & 7) == 0);
    layout_walk walk = { memory, 0 };
    columns_batch *batch = piece(&walk, true, sizeof *batch);
    batch->row_count = 0;
    batch->ids_used = 0;
    batch_walk(&walk, table, wanted, batch);
    if (batch->tags != NULL)
        batch->tags->era = 0; /* none is known */
    return batch;
}

/* ---- reading one chunk ---- */

typedef struct scan {
    const columns *region;
    const columns_table *table;
    const columns_wanted *wanted;
    const columns_chunk_layout *chunk;
    columns_batch *batch;
    unsigned tries;
    bool is_sound; /* no reference pointed outside; means something only when nothing changed */
} scan;

static bool is_visible(const columns_wanted *wanted, uint16_t domain)
{
    if (domain == 0 || domain > COLUMNS_DOMAINS_MAX)
        return false;
    uint32_t number = (uint32_t)domain - 1;
    return wanted->domains == NULL || (wanted->domains[number / 8] >> number % 8 & 1);
}

static void rows_select(scan *look, uint32_t from, uint32_t count)
{
    columns_batch *batch = look->batch;
    const columns_wanted *wanted = look->wanted;
    uint32_t kept = batch->row_count;
    uint8_t print = wanted->id == NULL ? 0 : columns_id_print(wanted->id, wanted->id_length);
    memcpy(batch->domain + from, look->chunk->domain + from, count * sizeof *batch->domain);
    for (uint32_t at = from; at < from + count; at++)
        if (is_visible(wanted, batch->domain[at]) && (wanted->id == NULL || look->chunk->id_print[at] == print))
            batch->rows[kept++] = (uint16_t)at;
    batch->row_count = kept;
}

/* The time of the newest property of each row. */
static void newest_find(scan *look, uint32_t from, uint32_t count)
{
    uint64_t *newest = look->batch->newest + from;
    const uint8_t *chunk = (const uint8_t *)look->chunk;
    uint16_t columns = look->table->column_count;
    memset(newest, 0, count * sizeof *newest);
    for (uint16_t i = 0; i < columns; i++) {
        const uint16_t *states = (const uint16_t *)(chunk + look->table->columns[i].states) + from;
        const uint32_t *times = (const uint32_t *)(chunk + look->table->times) + (size_t)from * columns + i;
        for (uint32_t at = 0; at < count; at++) {
            uint64_t time = ((uint64_t)(states[at] >> 4) << 32 | times[(size_t)at * columns]) + 1;
            time = states[at] == 0 ? 0 : time;
            newest[at] = time > newest[at] ? time : newest[at];
        }
    }
}

static void slice_copy(void *to, const void *from, uint32_t first, uint32_t count, size_t width)
{
    if (to != NULL)
        memcpy((uint8_t *)to + first * width, (const uint8_t *)from + first * width, count * width);
}

static void arrays_copy(scan *look, uint32_t from, uint32_t count)
{
    columns_batch *batch = look->batch;
    const columns_chunk_layout *chunk = look->chunk;
    const uint8_t *bytes = (const uint8_t *)chunk;
    for (uint16_t i = 0; i < look->table->column_count; i++) {
        const columns_column *column = &look->table->columns[i];
        if ((look->wanted->values >> i & 1) == 0)
            continue;
        slice_copy(batch->values[i], bytes + column->values, from, count, column->width);
        slice_copy(batch->states[i], bytes + column->states, from, count, sizeof(uint16_t));
        slice_copy(batch->lengths[i], bytes + column->lengths, from, count, sizeof(uint16_t));
        for (uint32_t at = from; batch->lengths[i] != NULL && at < from + count; at++)
            if (batch->lengths[i][at] > column->width)
                batch->lengths[i][at] = column->width;
    }
    slice_copy(batch->revision_low, chunk->revision_low, from, count, sizeof(uint32_t));
    slice_copy(batch->revision_high, chunk->revision_high, from, count, sizeof(uint16_t));
    slice_copy(batch->contact_low, chunk->contact_low, from, count, sizeof(uint32_t));
    slice_copy(batch->contact_high, chunk->contact_high, from, count, sizeof(uint16_t));
    if (batch->newest != NULL)
        newest_find(look, from, count);
}

/* Copies the ids of rows[first ..]; keeps only the wanted one if there is such. */
static void ids_copy(scan *look, uint32_t first)
{
    columns_batch *batch = look->batch;
    const columns_wanted *wanted = look->wanted;
    uint32_t kept = first;
    for (uint32_t i = first; i < batch->row_count; i++) {
        uint32_t at = batch->rows[i];
        uint64_t offset = (uint64_t)*(const volatile uint32_t *)&look->chunk->id[at] * COLUMNS_UNIT;
        const uint8_t *block = checked(look->region, offset, 1);
        uint8_t length = block == NULL ? 0 : *(const volatile uint8_t *)block;
        if (block == NULL || checked(look->region, offset, 1u + length) == NULL) {
            look->is_sound = false;
            continue;
        }
        if (wanted->id != NULL &&
            (length != wanted->id_length || memcmp(block + 1, wanted->id, wanted->id_length) != 0))
            continue;
        batch->id_starts[at] = batch->ids_used;
        batch->ids[batch->ids_used] = (char)length;
        memcpy(batch->ids + batch->ids_used + 1, block + 1, length);
        batch->ids_used += 1u + length;
        batch->rows[kept++] = (uint16_t)at;
    }
    batch->row_count = kept;
}

/* ---- tags ---- */

static uint64_t tags_freed(const scan *look)
{
    return atomic_load_explicit(&look->region->header->tags_freed, memory_order_acquire);
}

/* From here on sets are read again; those already numbered stay. */
static void tag_sets_forget(scan *look)
{
    memset(look->batch->tags->slots, 0, sizeof look->batch->tags->slots);
    look->batch->tags->freed_seen = tags_freed(look);
}

static uint32_t *tag_slot(columns_tag_sets *sets, uint32_t reference)
{
    uint32_t slot = reference * 2654435761u >> 19; /* 13 bits: COLUMNS_TAG_SETS_MAX * 2 slots, at most half full */
    while (sets->slots[slot] != 0 && sets->references[sets->slots[slot] - 1] != reference)
        slot = (slot + 1) % (COLUMNS_TAG_SETS_MAX * 2);
    return &sets->slots[slot];
}

/* The number + 1 of the set at this reference; 0: it cannot be one. */
static uint32_t tag_set_read(scan *look, uint32_t reference)
{
    columns_tag_sets *sets = look->batch->tags;
    uint32_t *slot = tag_slot(sets, reference);
    if (*slot != 0)
        return *slot;
    uint64_t offset = (uint64_t)reference * COLUMNS_UNIT;
    const columns_tags_layout *block = checked(look->region, offset, sizeof *block);
    uint16_t length = block == NULL ? UINT16_MAX : *(const volatile uint16_t *)&block->length;
    if (length > COLUMNS_TAGS_MAX || checked(look->region, offset, sizeof *block + length) == NULL ||
        sets->count >= COLUMNS_TAG_SETS_MAX || sets->used + length > COLUMNS_TAG_BYTES_MAX)
        return 0;
    memcpy(sets->bytes + sets->used, block->tags, length);
    sets->references[sets->count] = reference;
    sets->starts[sets->count] = sets->used;
    sets->lengths[sets->count] = length;
    sets->used += length;
    *slot = ++sets->count;
    return *slot;
}

static void tags_copy(scan *look, uint32_t first)
{
    columns_batch *batch = look->batch;
    for (uint32_t i = first; i < batch->row_count; i++) {
        uint32_t at = batch->rows[i];
        uint32_t reference = *(const volatile uint32_t *)&look->chunk->tags[at];
        uint32_t set = reference == 0 ? 0 : tag_set_read(look, reference);
        if (reference != 0 && set == 0)
            look->is_sound = false;
        batch->tag_set[at] = (uint16_t)set;
    }
}

/* Before a chunk is read: room for as many new sets as it may have. */
static void tag_sets_prepare(scan *look)
{
    columns_tag_sets *sets = look->batch->tags;
    bool has_room = sets->count + COLUMNS_CHUNK_ROWS <= COLUMNS_TAG_SETS_MAX &&
                    sets->used + COLUMNS_CHUNK_ROWS * COLUMNS_TAGS_MAX <= COLUMNS_TAG_BYTES_MAX;
    if (sets->era == 0 || !has_room) {
        sets->count = 0;
        sets->used = 0;
        sets->era++;
        tag_sets_forget(look);
    } else if (sets->freed_seen != tags_freed(look)) {
        tag_sets_forget(look); /* a block may be another's since it was read */
    }
}

/* ---- copy, check, retry ---- */

/* One look at rows [from, from + count). False: they changed meanwhile. */
__attribute__((no_sanitize("thread"))) static bool rows_copy(scan *look, uint32_t from, uint32_t count)
{
    columns_batch *batch = look->batch;
    uint32_t first = batch->row_count, ids_used = batch->ids_used;
    uint32_t tag_count = batch->tags == NULL ? 0 : batch->tags->count;
    uint32_t tag_bytes = batch->tags == NULL ? 0 : batch->tags->used;
    uint64_t version = atomic_load_explicit(&look->chunk->version, memory_order_acquire);
    if (version & 1)
        return false;
    look->is_sound = true;
    rows_select(look, from, count);
    arrays_copy(look, from, count);
    if (look->wanted->filter_values != NULL)
        look->wanted->filter_values(look->wanted->context, batch, first);
    if (batch->tag_set != NULL)
        tags_copy(look, first);
    if (look->wanted->filter_tags != NULL)
        look->wanted->filter_tags(look->wanted->context, batch, first);
    if (batch->ids != NULL)
        ids_copy(look, first);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&look->chunk->version, memory_order_relaxed) == version &&
        (batch->tags == NULL || batch->tags->freed_seen == tags_freed(look)))
        return true;
    batch->row_count = first;
    batch->ids_used = ids_used;
    if (batch->tags != NULL) {
        batch->tags->count = tag_count;
        batch->tags->used = tag_bytes;
        batch->tags->era++;
        tag_sets_forget(look);
    }
    return false;
}

/* The writer is busy here, was stopped by the scheduler, or died in the middle. */
static bool wait_a_little(scan *look)
{
    if (++look->tries > TRIES_MAX)
        return false;
    if (look->tries > TRIES_SPIN)
        nanosleep(&(struct timespec){ .tv_nsec = SLEEP_NS }, NULL);
    else if (look->tries % TRIES_YIELD == 0)
        sched_yield();
    return true;
}

dro_err columns_batch_read(const columns *region, const columns_table *table, uint32_t chunk,
                           const columns_wanted *wanted, columns_batch *batch)
{
    scan look = { .region = region, .table = table, .wanted = wanted, .batch = batch };
    assert((wanted->id == NULL || batch->ids != NULL) && (batch->ids == NULL) == !(wanted->more & COLUMNS_WANT_ID));
    batch->row_count = 0;
    batch->ids_used = 0;
    if (chunk >= columns_chunk_count(region, table) || (look.chunk = chunk_find(region, table, chunk)) == NULL)
        return DRO_CORRUPT;
    if (batch->tags != NULL)
        tag_sets_prepare(&look);
    uint32_t size = COLUMNS_CHUNK_ROWS, failed = 0;
    for (uint32_t from = 0; from < COLUMNS_CHUNK_ROWS;) {
        if (rows_copy(&look, from, size)) {
            if (!look.is_sound)
                return DRO_CORRUPT;
            from += size;
            failed = 0;
            continue;
        }
        if (!wait_a_little(&look))
            return DRO_AGAIN;
        if (++failed % TRIES_PER_SIZE == 0 && size > 1)
            size /= 2;
    }
    return DRO_OK;
}

const char *columns_batch_id(const columns_batch *batch, uint32_t at, size_t *length)
{
    const char *id = batch->ids + batch->id_starts[at];
    *length = (uint8_t)*id;
    return id + 1;
}

const uint8_t *columns_batch_tags(const columns_batch *batch, uint32_t at, size_t *length)
{
    uint32_t set = batch->tag_set[at];
    *length = set == 0 ? 0 : batch->tags->lengths[set - 1];
    return set == 0 ? NULL : batch->tags->bytes + batch->tags->starts[set - 1];
}

const char *columns_tag_find(const uint8_t *tags, size_t tags_length, const char *name, size_t name_length,
                             size_t *length)
{
    dro_cursor in = dro_cursor_over(tags, tags_length);
    while (in.at < in.end) {
        size_t size = (size_t)dro_cursor_le(&in, 1);
        const uint8_t *found = dro_cursor_bytes(&in, size);
        size_t text_length = (size_t)dro_cursor_le(&in, 2);
        const uint8_t *text = dro_cursor_bytes(&in, text_length);
        if (in.err != DRO_OK)
            return NULL;
        if (size == name_length && memcmp(found, name, size) == 0) {
            *length = text_length;
            return (const char *)text;
        }
    }
    return NULL;
}

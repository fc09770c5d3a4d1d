/* Reading the columns' region: what a room does that only maps it. The writer may
 * change the region at any moment and is not trusted to keep it sound: everything
 * is copied, checked against bounds, and read again when it changed meanwhile, a
 * bounded number of times. */
#pragma once

#include "store/columns.h"

/* Tables, domains and marks are only ever added; this grows with each of them. */
uint64_t columns_version(const columns *region);

typedef struct columns_column {
    char name[MODEL_NAME_MAX + 1];
    value_kind kind;
    uint16_t width;                          /* bytes of a value, or the most of a string */
    uint32_t values, states, lengths;        /* the reader's own */
} columns_column;

typedef struct columns_table {
    uint32_t number;
    char name[MODEL_NAME_MAX + 1]; /* of the model */
    uint16_t column_count;
    uint32_t chunk_bytes;
    uint32_t times;                /* the reader's own */
    uint64_t offset;
    columns_column columns[MODEL_PROPERTIES_MAX];
} columns_table;

uint32_t columns_table_count(const columns *region);
/* DRO_CORRUPT: its description makes no sense. */
DRO_CHECKED dro_err columns_table_read(const columns *region, uint32_t number, columns_table *out);

uint32_t columns_domain_count(const columns *region); /* highest number + 1 */
/* The name's length; 0: no such number. */
size_t columns_domain_read(const columns *region, uint32_t number, char out[COLUMNS_DOMAIN_MAX]);

/* Rows of `domain` are or were in the table (length 0), or carry a tag of this name. */
typedef struct columns_mark {
    uint16_t domain;
    uint8_t length;
    char name[COLUMNS_MARK_MAX];
} columns_mark;
uint32_t columns_mark_count(const columns *region, const columns_table *table);
bool columns_mark_read(const columns *region, const columns_table *table, uint32_t mark, columns_mark *out);

uint32_t columns_chunk_count(const columns *region, const columns_table *table);

/* ---- batches: a copy of one chunk's rows ---- */

enum columns_want { /* beyond values */
    COLUMNS_WANT_ID = 1,
    COLUMNS_WANT_TAGS = 2,
    COLUMNS_WANT_TIME = 4, /* the newest of all properties */
    COLUMNS_WANT_REVISION = 8,
    COLUMNS_WANT_CONTACT = 16,
};

enum {
    COLUMNS_DOMAIN_BITMAP = COLUMNS_DOMAINS_MAX / 8,
    COLUMNS_TAG_SETS_MAX = 4096,
    COLUMNS_TAG_BYTES_MAX = COLUMNS_CHUNK_ROWS * COLUMNS_TAGS_MAX + 256 * 1024,
};

typedef struct columns_batch columns_batch;

typedef struct columns_wanted {
    uint64_t values;        /* bit per column of the table */
    unsigned more;          /* enum columns_want */
    const uint8_t *domains; /* bitmap of COLUMNS_DOMAIN_BITMAP bytes; NULL: all */
    const char *id;         /* only this row; NULL: all */
    size_t id_length;
    /* Drop rows before more of them is copied, first by values, then by tags: take
     * batch->rows[first .. row_count - 1], leave those to keep, set row_count. May be
     * called again for the same rows, also with torn values. NULL: keeps all. */
    void (*filter_values)(void *context, columns_batch *batch, uint32_t first);
    void (*filter_tags)(void *context, columns_batch *batch, uint32_t first);
    void *context;
} columns_wanted;

/* Different sets of tags, kept over the batches of a scan. `era` grows whenever a
 * number may stand for another set than before. */
typedef struct columns_tag_sets {
    uint64_t era;
    uint64_t freed_seen;
    uint32_t count, used;
    uint32_t slots[COLUMNS_TAG_SETS_MAX * 2]; /* open addressing: number + 1 */
    uint32_t references[COLUMNS_TAG_SETS_MAX];
    uint32_t starts[COLUMNS_TAG_SETS_MAX];
    uint16_t lengths[COLUMNS_TAG_SETS_MAX];
    uint8_t bytes[COLUMNS_TAG_BYTES_MAX];
} columns_tag_sets;

/* Arrays are by position in the chunk; only those asked for are there. */
struct columns_batch {
    uint32_t row_count;                /* visible rows that passed the filter */
    uint16_t rows[COLUMNS_CHUNK_ROWS]; /* their positions, ascending */
    uint16_t domain[COLUMNS_CHUNK_ROWS];
    uint8_t *values[MODEL_PROPERTIES_MAX];
    uint16_t *states[MODEL_PROPERTIES_MAX]; /* 0: never set */
    uint16_t *lengths[MODEL_PROPERTIES_MAX];
    uint64_t *newest;                  /* ms + 1; 0: no property was ever set */
    uint32_t *revision_low, *contact_low;
    uint16_t *revision_high, *contact_high;
    char *ids;                         /* packed: length u8, bytes */
    uint32_t *id_starts;
    uint32_t ids_used;
    uint16_t *tag_set;                 /* number in `tags`, + 1; 0: none */
    columns_tag_sets *tags;
};

/* Bytes columns_batch_place needs for this table. */
size_t columns_batch_bytes(const columns_table *table, const columns_wanted *wanted);
/* Lays a batch out in `memory` (aligned to 8, as it comes; the caller's). */
columns_batch *columns_batch_place(const columns_table *table, const columns_wanted *wanted, void *memory);

/* Copies the visible rows of one chunk. DRO_AGAIN: its writer left it half changed,
 * or never paused long enough; DRO_CORRUPT: it makes no sense. */
DRO_CHECKED dro_err columns_batch_read(const columns *region, const columns_table *table, uint32_t chunk,
                                       const columns_wanted *wanted, columns_batch *batch);

static inline int64_t columns_batch_newest(const columns_batch *batch, uint32_t at)
{
    return batch->newest[at] == 0 ? COLUMNS_NEVER : (int64_t)(batch->newest[at] - 1);
}

static inline uint64_t columns_batch_revision(const columns_batch *batch, uint32_t at)
{
    return (uint64_t)batch->revision_high[at] << 32 | batch->revision_low[at];
}

static inline int64_t columns_batch_contact(const columns_batch *batch, uint32_t at)
{
    uint64_t contact = (uint64_t)batch->contact_high[at] << 32 | batch->contact_low[at];
    return contact == 0 ? COLUMNS_NEVER : (int64_t)(contact - 1);
}

/* Borrow the batch. */
const char *columns_batch_id(const columns_batch *batch, uint32_t at, size_t *length);
const uint8_t *columns_batch_tags(const columns_batch *batch, uint32_t at, size_t *length);
/* The text of a tag in encoded tags; NULL: it has none of this name. */
const char *columns_tag_find(const uint8_t *tags, size_t tags_length, const char *name, size_t name_length,
                             size_t *length);

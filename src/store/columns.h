/* Columns: the public rows of all twins, a table per model, in one shared memory
 * region. Written by its core, mapped read-only by the desk.
 *
 * A table grows by chunks of 1024 rows that never move. Each chunk has an even/odd version: a
 * writer makes it odd, changes, makes it even; a reader copies, checks, retries.
 * A row's generation is its twin's number, which is never reused.
 * Tables of one name (a model's versions) are one table to a query.
 *
 * The region starts with a catalogue (tables with their columns, domains), so a
 * reader needs nothing but the mapping. Reserve generously (it is sparse), grow never. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "twin/model.h"
#include "twin/quality.h"
#include "twin/value.h"

enum {
    COLUMNS_CHUNK_ROWS = 1024,
    COLUMNS_TABLES_MAX = 1024,
    COLUMNS_DOMAINS_MAX = 16384,
    COLUMNS_DOMAIN_MAX = 253,   /* bytes of a domain's name */
    COLUMNS_TAGS_MAX = 1024,    /* bytes of a row's encoded tags */
    COLUMNS_MARK_MAX = 61,      /* bytes of a tag's name that can be a column */
    COLUMNS_MARK_PAGES_MAX = 1024, /* x 64 pairs of (domain, such a name) a table; later ones are no columns */
};
#define COLUMNS_NEVER INT64_MIN /* a time that is not set */

typedef struct columns columns; /* a local handle on the region */

/* ---- writer (core) ---- */
/* Makes an empty region in `memory` (zeroed, MAP_SHARED, page-aligned). */
DRO_CHECKED dro_err columns_create(columns **out, void *memory, size_t bytes);
void columns_free(columns *region); /* the handle only */

/* Adds a domain's name, for good: DRO_EXISTS when the number has another; numbers are the caller's (0 .. COLUMNS_DOMAINS_MAX - 1). */
DRO_CHECKED dro_err columns_domain_set(columns *region, uint32_t number, const char *name);
/* Adds a table for the model (each call a new one); *table counts from 0. Private properties get no column. */
DRO_CHECKED dro_err columns_table_add(columns *region, const model *model, uint32_t *table);
/* Adds a row with all properties never set. `id` is copied. DRO_LIMIT: region full. */
DRO_CHECKED dro_err columns_row_add(columns *region, uint32_t table, uint64_t twin, uint32_t domain,
                                    const char *id, size_t id_length, uint32_t *row);
/* Its space is used again by the table's next row. */
void columns_row_remove(columns *region, uint32_t table, uint32_t row);
/* Tags: pairs of (u8 length, name, u16 LE length, text), replaced whole.
 * DRO_MALFORMED: not such pairs; DRO_LIMIT: too long, or region full. */
DRO_CHECKED dro_err columns_tags_set(columns *region, uint32_t table, uint32_t row, const void *tags, size_t length);
void columns_revision_set(columns *region, uint32_t table, uint32_t row, uint64_t revision);
void columns_contact_set(columns *region, uint32_t table, uint32_t row, int64_t last_contact_ms);

typedef struct cell_value { /* one property of one row */
    value value;            /* VALUE_NONE: never set. Strings borrow the region: copy before the next write */
    int64_t time_ms;
    quality quality;
    source source;
} cell_value;

/* Whatever of one row is set between begin and end is one version step. A value of
 * another kind than the property's clears it; a string is cut at the model's maxLength;
 * a private property is left out. */
void columns_row_begin(columns *region, uint32_t table, uint32_t row);
void columns_value_set(columns *region, uint32_t table, uint32_t row, uint32_t property, const cell_value *value);
void columns_row_end(columns *region, uint32_t table, uint32_t row);

/* Has what columns_value_set and columns_contact_set will touch fetched into the cache. */
void columns_value_prefetch(const columns *region, uint32_t table, uint32_t row, uint32_t property);
void columns_contact_prefetch(const columns *region, uint32_t table, uint32_t row);
/* Both, of all properties (of the first COLUMNS_PREFETCH_MAX): what a record of the log may touch. */
enum { COLUMNS_PREFETCH_MAX = 16 };
void columns_row_prefetch(const columns *region, uint32_t table, uint32_t row);

/* The writer's own reading (no retry needed in its own thread). Into a place of the caller's: a copy right
 * behind the writing would wait for the store buffer. */
void columns_value_get(const columns *region, uint32_t table, uint32_t row, uint32_t property, cell_value *out);
const char *columns_id_get(const columns *region, uint32_t table, uint32_t row, size_t *length);
const uint8_t *columns_tags_get(const columns *region, uint32_t table, uint32_t row, size_t *length);
uint32_t columns_row_count(const columns *region, uint32_t table); /* rows ever used: 0 .. count - 1 */
uint64_t columns_bytes_used(const columns *region);

/* ---- reader (desk) ---- */
DRO_CHECKED dro_err columns_attach(columns **out, const void *memory, size_t bytes);
/* Further reading: store/columns_read.h. */

/* How the columns' region looks inside. Only columns.c (writes) and
 * columns_read.c (reads, trusting nothing) include this.
 *
 * Offsets are bytes from the start of the region, references are offsets in units
 * of COLUMNS_UNIT. Zero is "none" for both, so zeroed memory is a valid empty state.
 *
 *   columns_header, then in order of need: columns_table_layout, pages of chunk
 *   offsets, pages of marks, chunks, slabs of blocks (ids and tags)
 *
 * Everything but chunks and blocks is only ever added to: it is written first and
 * then counted (release), so a reader that saw the count (acquire) sees it whole.
 * Blocks belong to rows: one is given up only within a step of its row's chunk,
 * so a reader whose chunk did not change has read the right block. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "store/columns.h"

#define COLUMNS_MAGIC UINT64_C(0x316c6f636d6f7264) /* "dromcol1" */

enum {
    COLUMNS_UNIT = 16,
    COLUMNS_PAGE = 4096,
    COLUMNS_SLAB = 64 * 1024,
    COLUMNS_CHUNKS_PER_PAGE = COLUMNS_PAGE / 8,
    COLUMNS_CHUNK_PAGES_MAX = 256, /* 134 million rows a table */
    COLUMNS_MARKS_PER_PAGE = 64,
    COLUMNS_NO_COLUMN = 255,       /* column_of[] of a private property */
    COLUMNS_TIME_BITS = 44,        /* milliseconds of a value's time: until the year 2527 */
    COLUMNS_WIDE_BITS = 48,        /* revision, last contact */
};
#define COLUMNS_REGION_MAX ((uint64_t)COLUMNS_UNIT << 32) /* what a reference can reach */

typedef struct columns_domain_layout {
    _Atomic uint8_t length; /* 0: not set. Written last */
    char name[255];
} columns_domain_layout;

typedef struct columns_header {
    uint64_t magic;
    uint64_t bytes;
    _Atomic uint64_t version;    /* grows with each change of tables, domains and marks */
    _Atomic uint64_t tags_freed; /* grows with each block of tags given up */
    _Atomic uint32_t table_count;
    _Atomic uint32_t domain_count; /* highest number + 1 */
    _Atomic uint64_t tables[COLUMNS_TABLES_MAX];
    columns_domain_layout domains[COLUMNS_DOMAINS_MAX];
} columns_header;

/* A mark says that rows of a domain are, or were, in the table (empty name), or
 * that they carry a tag of this name. */
typedef struct columns_mark_layout {
    uint16_t domain;
    uint8_t length;
    char name[COLUMNS_MARK_MAX];
} columns_mark_layout;

/* One property: two arrays in each chunk, a third for strings.
 *   values   1024 x width: f64, i64, u8 or bytes
 *   states   1024 x u16: high bits of the time << 4 | quality << 2 | source + 1; 0: never set
 *   lengths  1024 x u16: strings only */
typedef struct columns_column_layout {
    char name[MODEL_NAME_MAX + 1];
    uint16_t width;
    uint8_t kind; /* value_kind */
    uint8_t reserved;
    uint32_t values, states, lengths; /* offsets in the chunk */
} columns_column_layout;

typedef struct columns_table_layout {
    char name[MODEL_NAME_MAX + 1];
    uint32_t chunk_bytes;
    uint32_t times;         /* offset in the chunk: 1024 x column_count x u32, the low bits of the values' times. Those
                             * of a row lie together: it is rows that change, and queries want the newest of a row */
    uint16_t column_count;
    uint16_t property_count;
    _Atomic uint32_t row_count; /* rows ever used */
    _Atomic uint32_t mark_count;
    uint8_t column_of[MODEL_PROPERTIES_MAX]; /* by the model's index of the property */
    columns_column_layout columns[MODEL_PROPERTIES_MAX];
    _Atomic uint64_t chunk_pages[COLUMNS_CHUNK_PAGES_MAX]; /* each an array of offsets of chunks */
    _Atomic uint64_t mark_pages[COLUMNS_MARK_PAGES_MAX];
} columns_table_layout;

/* What every chunk has; the arrays of the properties follow. 48-bit numbers are
 * kept as a low and a high part, plus one where zero must mean "never". */
typedef struct columns_chunk_layout {
    _Atomic uint64_t version; /* odd: being changed */
    uint64_t reserved[7];
    uint64_t twin[COLUMNS_CHUNK_ROWS];    /* numbers are never reused: the row's generation */
    uint32_t id[COLUMNS_CHUNK_ROWS];      /* reference of an id block; of a free row: the next free row + 1 */
    uint32_t tags[COLUMNS_CHUNK_ROWS];    /* reference of a tags block */
    uint32_t revision_low[COLUMNS_CHUNK_ROWS];
    uint32_t contact_low[COLUMNS_CHUNK_ROWS];
    uint16_t revision_high[COLUMNS_CHUNK_ROWS];
    uint16_t contact_high[COLUMNS_CHUNK_ROWS]; /* of milliseconds + 1 */
    uint16_t domain[COLUMNS_CHUNK_ROWS];  /* number + 1; 0: the row is free */
    uint8_t id_print[COLUMNS_CHUNK_ROWS]; /* columns_id_print of the id: most others differ */
} columns_chunk_layout;

typedef struct columns_id_layout {
    uint8_t length;
    char id[];
} columns_id_layout;

/* Equal tags share one block: a fleet has few different ones. */
typedef struct columns_tags_layout {
    uint32_t next;       /* the writer's: next block of the same hash */
    uint32_t references; /* the writer's: rows that use it */
    uint16_t length;
    uint8_t tags[];
} columns_tags_layout;

static inline uint8_t columns_id_print(const char *id, size_t length)
{
    uint32_t print = 2166136261u; /* FNV-1a, folded */
    for (size_t i = 0; i < length; i++)
        print = (print ^ (uint8_t)id[i]) * 16777619u;
    return (uint8_t)(print ^ print >> 8 ^ print >> 16 ^ print >> 24);
}

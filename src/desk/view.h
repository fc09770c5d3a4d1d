/* View: what one set of domains can see: its tables with their columns, and the
 * SQLite connection in which they are declared. Views are kept for the next query
 * of the same application and made anew when the catalogue has grown.
 *
 * A table is all column tables of one name (a model's versions, and those of each core): its columns are
 * `id`, the properties of all versions, `time`, `revision`, `last_contact`; then,
 * hidden from `*`, a column for each tag name in use and one for each tag('name')
 * of the query. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/columns_read.h"

enum {
    TABLE_PROPERTIES_MAX = 256, /* of all versions of a model; later ones have no column */
    TABLE_TAGS_MAX = 256,       /* tag names that are columns; others are reached by tag('name') */
    VIEW_TAG_CALLS_MAX = 64,    /* different names in tag('name') in one query */
    VIEW_TAG_NAME_MAX = 255,
    VIEWS_MAX = 16,
    PART_HAS_NOT = 255,
};

typedef struct table_property {
    char name[MODEL_NAME_MAX + 1];
    value_kind kind;
    bool is_uniform; /* of the same kind in all versions that have it */
    uint8_t *of_part; /* [part_count]: column of that part, or PART_HAS_NOT */
} table_property;

typedef struct table_part { /* a column table of one core */
    const columns_table *table;
    uint32_t region;
} table_part;

typedef struct table_description { /* the same for all callers */
    char name[MODEL_NAME_MAX + 1];
    uint32_t part_count;
    table_part *parts;
    uint16_t property_count;
    table_property *properties;
} table_description;

typedef struct tag_name {
    uint8_t length;
    char name[VIEW_TAG_NAME_MAX + 1];
} tag_name;

typedef struct view view;

typedef struct view_table {
    view *view;
    const table_description *description;
    bool has_rows;   /* of the caller, now or earlier */
    uint32_t tag_count;
    tag_name *tags;
} view_table;

typedef struct scan_limits { /* what a running query may still use; shared with the scans */
    int64_t cpu_end_ns;      /* of the thread's CPU clock */
    int64_t looked_ns;       /* of the coarse clock, when that one was read last */
    dro_err err;             /* why a scan gave up, or DRO_OK */
} scan_limits;

struct view {
    char *domains; /* the key: texts with a NUL each */
    size_t domains_length;
    bool all_domains;
    uint64_t version; /* of the catalogue */
    uint64_t used;    /* when, for the choice of which to drop */
    uint32_t region_count;
    const columns *const *regions;
    uint8_t (*bitmaps)[COLUMNS_DOMAIN_BITMAP]; /* [region_count]: each core numbers domains for itself */
    scan_limits *limits;
    uint32_t table_count;
    view_table *tables;
    uint32_t tag_call_count;
    tag_name *tag_calls;  /* [VIEW_TAG_CALLS_MAX] */
    bool is_declared;     /* with these calls */
    sqlite3 *db;
    bool is_declaring; /* a table is being declared now, by us */
};

typedef struct catalogue catalogue;

/* Reads all tables' descriptions and keeps them up to date. Borrows the regions: the
 * columns of each core. */
DRO_CHECKED dro_err catalogue_new(catalogue **out, const columns *const *regions, uint32_t region_count, scan_limits *limits,
                                  sqlite3_vfs *vfs);
void catalogue_free(catalogue *catalogue);

/* The caller's view, as new as the catalogue is now. Stays the catalogue's; valid
 * until the next call. `domains` are `domains_length` bytes of texts with a NUL each. */
DRO_CHECKED dro_err catalogue_view(catalogue *catalogue, const char *domains, size_t domains_length, bool all_domains,
                                   view **out);
/* Forgets all views, so the memory of their connections. */
void catalogue_clear(catalogue *catalogue);

/* Makes tag('name') a column of every table of the view, from the next view_declare on.
 * DRO_LIMIT: too many names; view_drop_tag_calls forgets those of earlier queries. */
DRO_CHECKED dro_err view_add_tag_call(view *view, const char *name, size_t length);
void view_drop_tag_calls(view *view);
/* Declares the tables, unless they are declared as they are now. */
DRO_CHECKED dro_err view_declare(view *view);
/* NULL: there is none of this name, long or short. */
const view_table *view_find_table(const view *view, const char *name);
/* Full names that a short name could mean, for an error's text: "acme/a or b/a"; false: none. */
bool view_candidates(const view *view, const char *name, char *out, size_t capacity);

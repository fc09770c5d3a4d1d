#include "desk/view.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "desk/guard.h"
#include "desk/scan.h"
#include "desk/sql_text.h"

typedef struct region_tables { /* of one core */
    uint32_t count;
    columns_table *list[COLUMNS_TABLES_MAX]; /* NULL: its description makes no sense */
} region_tables;

struct catalogue {
    uint32_t region_count;
    const columns *const *regions;
    region_tables *read;       /* [region_count] */
    scan_limits *limits;
    sqlite3_vfs *vfs;
    uint64_t version;
    uint64_t uses;
    uint32_t table_count, table_capacity, described; /* column tables that the descriptions are of */
    table_description *tables;
    view *views[VIEWS_MAX];
};

/* ---- descriptions ---- */

static void description_fini(table_description *table)
{
    for (uint16_t i = 0; i < table->property_count; i++)
        free(table->properties[i].of_part);
    free(table->properties);
    free(table->parts);
    *table = (table_description){ 0 };
}

static table_property *property_find(const table_description *table, const char *name)
{
    for (uint16_t i = 0; i < table->property_count; i++)
        if (strcasecmp(table->properties[i].name, name) == 0)
            return &table->properties[i];
    return NULL;
}

static bool is_builtin(const char *name)
{
    return strcasecmp(name, "id") == 0 || strcasecmp(name, "time") == 0 || strcasecmp(name, "revision") == 0 ||
           strcasecmp(name, "last_contact") == 0;
}

static dro_err property_add(table_description *table, uint32_t part, const columns_column *column, uint8_t index)
{
    table_property *property = property_find(table, column->name);
    if (property != NULL) {
        property->is_uniform = property->is_uniform && property->kind == column->kind;
        property->of_part[part] = index;
        return DRO_OK;
    }
    if (table->property_count >= TABLE_PROPERTIES_MAX || is_builtin(column->name))
        return DRO_OK;
    property = &table->properties[table->property_count];
    *property = (table_property){ .kind = column->kind, .is_uniform = true };
    memcpy(property->name, column->name, sizeof property->name);
    property->of_part = malloc(table->part_count);
    if (property->of_part == NULL)
        return DRO_NOMEM;
    memset(property->of_part, PART_HAS_NOT, table->part_count);
    property->of_part[part] = index;
    table->property_count++;
    return DRO_OK;
}

static uint32_t tables_total(const catalogue *catalogue)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < catalogue->region_count; i++)
        total += catalogue->read[i].count;
    return total;
}

/* The table of all parts of this name. */
static dro_err description_make(table_description *table, const catalogue *from, const char *name)
{
    memcpy(table->name, name, sizeof table->name);
    table->parts = calloc(tables_total(from), sizeof *table->parts);
    table->properties = calloc(TABLE_PROPERTIES_MAX, sizeof *table->properties);
    if (table->parts == NULL || table->properties == NULL)
        return DRO_NOMEM;
    for (uint32_t region = 0; region < from->region_count; region++)
        for (uint32_t i = 0; i < from->read[region].count; i++) {
            const columns_table *part = from->read[region].list[i];
            if (part != NULL && strcasecmp(part->name, name) == 0)
                table->parts[table->part_count++] = (table_part){ part, region };
        }
    for (uint32_t part = 0; part < table->part_count; part++)
        for (uint16_t i = 0; i < table->parts[part].table->column_count; i++) {
            dro_err err = property_add(table, part, &table->parts[part].table->columns[i], (uint8_t)i);
            if (err != DRO_OK)
                return err;
        }
    return DRO_OK;
}

static bool is_described(const catalogue *catalogue, const char *name)
{
    for (uint32_t i = 0; i < catalogue->table_count; i++)
        if (strcasecmp(catalogue->tables[i].name, name) == 0)
            return true;
    return false;
}

static void tables_forget(catalogue *catalogue)
{
    while (catalogue->table_count > 0)
        description_fini(&catalogue->tables[--catalogue->table_count]);
}

/* Reads tables of a region that are new. */
static dro_err region_read(region_tables *read, const columns *region)
{
    uint32_t count = columns_table_count(region);
    for (; read->count < count; read->count++) {
        columns_table *part = malloc(sizeof *part);
        if (part == NULL)
            return DRO_NOMEM;
        if (columns_table_read(region, read->count, part) != DRO_OK) {
            free(part);
            part = NULL;
        }
        read->list[read->count] = part;
    }
    return DRO_OK;
}

static dro_err tables_describe(catalogue *catalogue, const region_tables *read)
{
    for (uint32_t i = 0; i < read->count; i++) {
        if (read->list[i] == NULL || is_described(catalogue, read->list[i]->name))
            continue;
        dro_err err = description_make(&catalogue->tables[catalogue->table_count++], catalogue, read->list[i]->name);
        if (err != DRO_OK)
            return err;
    }
    return DRO_OK;
}

/* All descriptions again, when there is a table that was not there before. */
static dro_err tables_read(catalogue *catalogue)
{
    dro_err err = DRO_OK;
    for (uint32_t i = 0; err == DRO_OK && i < catalogue->region_count; i++)
        err = region_read(&catalogue->read[i], catalogue->regions[i]);
    uint32_t total = tables_total(catalogue);
    if (err != DRO_OK || total == catalogue->described)
        return err;
    tables_forget(catalogue);
    catalogue->described = 0;
    if (total > catalogue->table_capacity) {
        table_description *tables = realloc(catalogue->tables, total * sizeof *tables);
        if (tables == NULL)
            return DRO_NOMEM;
        catalogue->tables = tables;
        catalogue->table_capacity = total;
    }
    memset(catalogue->tables, 0, total * sizeof *catalogue->tables);
    for (uint32_t i = 0; err == DRO_OK && i < catalogue->region_count; i++)
        err = tables_describe(catalogue, &catalogue->read[i]);
    if (err != DRO_OK)
        tables_forget(catalogue);
    else
        catalogue->described = total;
    return err;
}

/* ---- views ---- */

static void view_free(view *view)
{
    if (view == NULL)
        return;
    if (view->db != NULL)
        sqlite3_close(view->db);
    for (uint32_t i = 0; i < view->table_count; i++)
        free(view->tables[i].tags);
    free(view->tables);
    free(view->tag_calls);
    free(view->domains);
    free(view->bitmaps);
    free(view);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sets the bits of those of the names (sorted) that have a number in the region. */
static void bitmap_fill(uint8_t bitmap[COLUMNS_DOMAIN_BITMAP], const columns *region, const char *const *names, size_t count)
{
    uint32_t domains = columns_domain_count(region);
    for (uint32_t number = 0; number < domains && count > 0; number++) {
        char name[COLUMNS_DOMAIN_MAX + 1];
        const char *wanted = name;
        size_t length = columns_domain_read(region, number, name);
        name[length] = '\0';
        if (length > 0 && bsearch(&wanted, names, count, sizeof *names, compare_texts) != NULL)
            bitmap[number / 8] |= (uint8_t)(1u << number % 8);
    }
}

static dro_err bitmaps_fill(view *view)
{
    size_t count = 0, at = 0;
    view->bitmaps = calloc(view->region_count, sizeof *view->bitmaps);
    if (view->bitmaps == NULL)
        return DRO_NOMEM;
    if (view->all_domains) {
        memset(view->bitmaps, 0xff, view->region_count * sizeof *view->bitmaps);
        return DRO_OK;
    }
    for (size_t i = 0; i < view->domains_length; i++)
        count += view->domains[i] == '\0';
    const char **names = calloc(count + 1, sizeof *names);
    if (names == NULL)
        return DRO_NOMEM;
    for (size_t i = 0; i < count; i++) {
        names[i] = view->domains + at;
        at += strlen(view->domains + at) + 1;
    }
    qsort(names, count, sizeof *names, compare_texts);
    for (uint32_t i = 0; i < view->region_count; i++)
        bitmap_fill(view->bitmaps[i], view->regions[i], names, count);
    free(names);
    return DRO_OK;
}

static bool tag_is_column(const view_table *table, const columns_mark *mark)
{
    char name[COLUMNS_MARK_MAX + 1] = "";
    memcpy(name, mark->name, mark->length);
    if (!sql_is_plain(name, mark->length) || is_builtin(name) || property_find(table->description, name) != NULL)
        return false;
    for (uint32_t i = 0; i < table->tag_count; i++)
        if (strcasecmp(table->tags[i].name, name) == 0)
            return false;
    return true;
}

/* What the marks of one part say to this caller. */
static dro_err marks_read(view_table *table, const table_part *part)
{
    const view *view = table->view;
    const columns *region = view->regions[part->region];
    const uint8_t *bitmap = view->bitmaps[part->region];
    uint32_t count = columns_mark_count(region, part->table);
    columns_mark mark;
    for (uint32_t i = 0; i < count; i++) {
        if (!columns_mark_read(region, part->table, i, &mark) || (bitmap[mark.domain / 8] >> mark.domain % 8 & 1) == 0)
            continue;
        table->has_rows = true;
        if (mark.length == 0 || table->tag_count >= TABLE_TAGS_MAX || !tag_is_column(table, &mark))
            continue;
        tag_name *tags = realloc(table->tags, (table->tag_count + 1) * sizeof *tags);
        if (tags == NULL)
            return DRO_NOMEM;
        table->tags = tags;
        tags[table->tag_count] = (tag_name){ .length = mark.length };
        memcpy(tags[table->tag_count++].name, mark.name, mark.length);
    }
    return DRO_OK;
}

static dro_err view_fill(view *view, const catalogue *from)
{
    dro_err err = bitmaps_fill(view);
    view->tag_calls = calloc(VIEW_TAG_CALLS_MAX, sizeof *view->tag_calls);
    view->tables = calloc(from->table_count + 1, sizeof *view->tables);
    if (view->tag_calls == NULL || view->tables == NULL)
        err = DRO_NOMEM;
    for (uint32_t i = 0; err == DRO_OK && i < from->table_count; i++) {
        view_table *table = &view->tables[view->table_count++];
        table->view = view;
        table->description = &from->tables[i];
        for (uint32_t part = 0; err == DRO_OK && part < table->description->part_count; part++)
            err = marks_read(table, &table->description->parts[part]);
    }
    if (err != DRO_OK)
        return err;
    if (sqlite3_open_v2(":memory:", &view->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        from->vfs->zName) != SQLITE_OK)
        return DRO_NOMEM;
    err = guard_connection(view);
    return err == DRO_OK ? view_declare(view) : err;
}

static dro_err view_make(catalogue *from, const char *domains, size_t length, bool all_domains, view **out)
{
    view *made = calloc(1, sizeof *made);
    *out = NULL;
    if (made == NULL)
        return DRO_NOMEM;
    made->domains = malloc(length + 1);
    if (made->domains == NULL) {
        free(made);
        return DRO_NOMEM;
    }
    if (length > 0)
        memcpy(made->domains, domains, length);
    made->domains[length] = '\0';
    made->domains_length = length;
    made->all_domains = all_domains;
    made->regions = from->regions;
    made->region_count = from->region_count;
    made->limits = from->limits;
    made->version = from->version;
    dro_err err = view_fill(made, from);
    if (err != DRO_OK) {
        view_free(made);
        return err;
    }
    *out = made;
    return DRO_OK;
}

static const char *short_name(const char *name)
{
    const char *slash = strchr(name, '/');
    return slash == NULL ? name : slash + 1;
}

/* A short name means the one table that has it; where several have, the one with
 * rows of the caller. */
static bool has_short_name(const view *view, const view_table *table)
{
    const char *name = short_name(table->description->name);
    uint32_t all = 0, with_rows = 0;
    if (name == table->description->name)
        return false;
    for (uint32_t i = 0; i < view->table_count; i++) {
        const view_table *other = &view->tables[i];
        bool is_same = strcasecmp(short_name(other->description->name), name) == 0;
        if (is_same && short_name(other->description->name) == other->description->name)
            return false;
        all += is_same;
        with_rows += is_same && other->has_rows;
    }
    return all == 1 || (with_rows == 1 && table->has_rows);
}

dro_err view_declare(view *view)
{
    if (view->is_declared)
        return DRO_OK;
    for (uint32_t i = 0; i < view->table_count; i++) {
        view_table *table = &view->tables[i];
        const char *name = table->description->name;
        if (sqlite3_create_module_v2(view->db, name, &scan_module, table, NULL) != SQLITE_OK)
            return DRO_NOMEM;
        if (has_short_name(view, table) &&
            sqlite3_create_module_v2(view->db, short_name(name), &scan_module, table, NULL) != SQLITE_OK)
            return DRO_NOMEM;
    }
    view->is_declared = true;
    return DRO_OK;
}

void view_drop_tag_calls(view *view)
{
    view->tag_call_count = 0;
    view->is_declared = false;
}

dro_err view_add_tag_call(view *view, const char *name, size_t length)
{
    for (uint32_t i = 0; i < view->tag_call_count; i++)
        if (view->tag_calls[i].length == length && memcmp(view->tag_calls[i].name, name, length) == 0)
            return DRO_OK;
    if (view->tag_call_count >= VIEW_TAG_CALLS_MAX || length > VIEW_TAG_NAME_MAX)
        return DRO_LIMIT;
    tag_name *call = &view->tag_calls[view->tag_call_count++];
    call->length = (uint8_t)length;
    memcpy(call->name, name, length);
    call->name[length] = '\0';
    view->is_declared = false;
    return DRO_OK;
}

const view_table *view_find_table(const view *view, const char *name)
{
    for (uint32_t i = 0; i < view->table_count; i++) {
        const view_table *table = &view->tables[i];
        if (strcasecmp(table->description->name, name) == 0 ||
            (strcasecmp(short_name(table->description->name), name) == 0 && has_short_name(view, table)))
            return table;
    }
    return NULL;
}

bool view_candidates(const view *view, const char *name, char *out, size_t capacity)
{
    size_t used = 0;
    for (uint32_t i = 0; i < view->table_count; i++) {
        const char *full = view->tables[i].description->name;
        if (strcasecmp(short_name(full), name) == 0 && used < capacity)
            used += (size_t)snprintf(out + used, capacity - used, "%s\"%s\"", used > 0 ? " or " : "", full);
    }
    return used > 0;
}

/* ---- catalogue ---- */

dro_err catalogue_new(catalogue **out, const columns *const *regions, uint32_t region_count, scan_limits *limits,
                      sqlite3_vfs *vfs)
{
    catalogue *made = calloc(1, sizeof *made);
    *out = made;
    if (made == NULL)
        return DRO_NOMEM;
    made->read = calloc(region_count, sizeof *made->read);
    if (made->read == NULL)
        return DRO_NOMEM;
    made->regions = regions;
    made->region_count = region_count;
    made->limits = limits;
    made->vfs = vfs;
    return DRO_OK;
}

void catalogue_clear(catalogue *catalogue)
{
    for (int i = 0; i < VIEWS_MAX; i++) {
        view_free(catalogue->views[i]);
        catalogue->views[i] = NULL;
    }
}

void catalogue_free(catalogue *catalogue)
{
    if (catalogue == NULL)
        return;
    catalogue_clear(catalogue);
    tables_forget(catalogue);
    for (uint32_t region = 0; region < catalogue->region_count; region++)
        for (uint32_t i = 0; i < catalogue->read[region].count; i++)
            free(catalogue->read[region].list[i]);
    free(catalogue->read);
    free(catalogue->tables);
    free(catalogue);
}

static bool is_view_of(const view *view, const char *domains, size_t length, bool all_domains)
{
    if (view == NULL || view->all_domains != all_domains)
        return false;
    return all_domains || (view->domains_length == length && memcmp(view->domains, domains, length) == 0);
}

/* The place of the caller's view, else an empty one, else the longest unused. */
static view **view_place(catalogue *catalogue, const char *domains, size_t length, bool all_domains)
{
    view **oldest = &catalogue->views[0];
    for (int i = 0; i < VIEWS_MAX; i++) {
        view **place = &catalogue->views[i];
        if (is_view_of(*place, domains, length, all_domains))
            return place;
        if (*oldest != NULL && (*place == NULL || (*place)->used < (*oldest)->used))
            oldest = place;
    }
    view_free(*oldest);
    *oldest = NULL;
    return oldest;
}

dro_err catalogue_view(catalogue *catalogue, const char *domains, size_t domains_length, bool all_domains, view **out)
{
    uint64_t version = 0; /* each region's only grows, so does their sum */
    for (uint32_t i = 0; i < catalogue->region_count; i++)
        version += columns_version(catalogue->regions[i]);
    *out = NULL;
    if (version != catalogue->version) {
        catalogue_clear(catalogue); /* they borrow the descriptions */
        dro_err err = tables_read(catalogue);
        if (err != DRO_OK)
            return err;
        catalogue->version = version;
    }
    view **place = view_place(catalogue, domains, domains_length, all_domains);
    dro_err err = *place != NULL ? DRO_OK : view_make(catalogue, domains, domains_length, all_domains, place);
    if (err != DRO_OK)
        return err;
    (*place)->used = ++catalogue->uses;
    *out = *place;
    return DRO_OK;
}

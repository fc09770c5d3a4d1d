/* A region that its writer, or whoever took it over, has spoilt: the reader reads
 * or gives up, and never leaves the region. The input is a list of patches:
 * area u8, offset u24 LE, width u8, bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cursor.h"
#include "desk/query.h"
#include "store/columns_layout.h"
#include "store/columns_read.h"

enum { REGION = 8 * 1024 * 1024, ROWS = 40, PATCHES_MAX = 64, PATCH_MAX = 16, CHUNKS_MAX = 3, CPU_MS = 20 };

static uint8_t *region;

typedef struct patch {
    uint64_t offset;
    uint8_t width, old[PATCH_MAX];
} patch;

static void region_make(void)
{
    static model thermo = { .name = "acme/thermo",
                            .property_count = 3,
                            .properties = { { .name = "temperature", .schema = { .kind = VALUE_NUMBER } },
                                            { .name = "low", .schema = { .kind = VALUE_BOOLEAN } },
                                            { .name = "label", .schema = { .kind = VALUE_STRING } } } };
    static const uint8_t tags[] = "\4site\5\0north";
    columns *writer;
    uint32_t table, row;
    region = mmap(NULL, REGION + 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (region == MAP_FAILED || mprotect(region + REGION, 4096, PROT_NONE) != 0 ||
        columns_create(&writer, region, REGION) != DRO_OK || columns_domain_set(writer, 0, "acme.example") != DRO_OK ||
        columns_table_add(writer, &thermo, &table) != DRO_OK)
        abort();
    for (uint32_t i = 0; i < ROWS; i++)
        if (columns_row_add(writer, table, i, 0, "a@acme.example", 14, &row) != DRO_OK ||
            columns_tags_set(writer, table, row, tags, i % 2 == 0 ? sizeof tags - 1 : 0) != DRO_OK)
            abort();
    columns_free(writer);
}

/* Where the interesting structures are. */
static uint64_t area_start(unsigned area)
{
    const columns_header *header = (const void *)region;
    const columns_table_layout *table = (const void *)(region + header->tables[0]);
    const uint64_t *chunks = (const void *)(region + table->chunk_pages[0]);
    switch (area % 8) {
    case 0: return 0;
    case 1: return offsetof(columns_header, domains);
    case 2: return header->tables[0];
    case 3: return header->tables[0] + offsetof(columns_table_layout, chunk_pages);
    case 4: return table->chunk_pages[0];
    case 5: return chunks[0];
    case 6: return table->mark_pages[0];
    default: return (uint64_t)((const columns_chunk_layout *)(const void *)(region + chunks[0]))->id[0] * COLUMNS_UNIT;
    }
}

static unsigned patches_apply(dro_cursor *in, patch *patches)
{
    uint64_t starts[8];
    unsigned count = 0;
    for (unsigned i = 0; i < 8; i++)
        starts[i] = area_start(i);
    while (dro_cursor_left(in) >= 6 && count < PATCHES_MAX) {
        patch *one = &patches[count];
        unsigned area = (unsigned)dro_cursor_le(in, 1) % 8;
        one->offset = (starts[area] + dro_cursor_le(in, 3)) % (REGION - PATCH_MAX);
        one->width = (uint8_t)(dro_cursor_le(in, 1) % PATCH_MAX + 1);
        const uint8_t *bytes = dro_cursor_bytes(in, one->width);
        if (bytes == NULL)
            break;
        memcpy(one->old, region + one->offset, one->width);
        memcpy(region + one->offset, bytes, one->width);
        count++;
    }
    return count;
}

static void batches_read(const columns *reader, const columns_table *table)
{
    columns_wanted wanted = { .values = UINT64_MAX,
                              .more = COLUMNS_WANT_ID | COLUMNS_WANT_TAGS | COLUMNS_WANT_TIME | COLUMNS_WANT_REVISION |
                                      COLUMNS_WANT_CONTACT };
    void *memory = malloc(columns_batch_bytes(table, &wanted));
    if (memory == NULL)
        return;
    columns_batch *batch = columns_batch_place(table, &wanted, memory);
    uint32_t chunks = columns_chunk_count(reader, table);
    for (uint32_t chunk = 0; chunk < chunks && chunk < CHUNKS_MAX; chunk++) {
        if (columns_batch_read(reader, table, chunk, &wanted, batch) != DRO_OK)
            break;
        for (uint32_t i = 0; i < batch->row_count; i++) {
            size_t length;
            const uint8_t *tags = columns_batch_tags(batch, batch->rows[i], &length);
            if (tags != NULL)
                columns_tag_find(tags, length, "site", 4, &length);
            columns_batch_id(batch, batch->rows[i], &length);
        }
    }
    free(memory);
}

static void everything_read(const columns *reader)
{
    static columns_table table;
    columns_mark mark;
    char name[COLUMNS_DOMAIN_MAX];
    for (uint32_t i = 0; i < columns_domain_count(reader); i++)
        columns_domain_read(reader, i, name);
    for (uint32_t i = 0; i < columns_table_count(reader); i++) {
        if (columns_table_read(reader, i, &table) != DRO_OK)
            continue;
        for (uint32_t at = 0; columns_mark_read(reader, &table, at, &mark); at++)
            ;
        batches_read(reader, &table);
    }
}

static void queries_ask(void)
{
    static const char sql[] = "select *, site from thermo where temperature is null or tag('site') = 'north'";
    static const char domain[] = "acme.example";
    static answer answer;
    desk *room;
    if (desk_new(&room, &(const void *){ region }, 1, REGION, dro_clock_system()) != DRO_OK)
        return;
    desk_limit_cpu(room, CPU_MS);
    desk_answer(room, &(query){ sql, sizeof sql - 1, domain, sizeof domain, false }, &answer);
    desk_free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    patch patches[PATCHES_MAX];
    columns *reader;
    if (region == NULL)
        region_make();
    dro_cursor in = dro_cursor_over(data, size);
    uint64_t *version = (void *)(region + area_start(5));
    unsigned count = patches_apply(&in, patches);
    *version &= ~UINT64_C(1); /* a reader waits long for an odd one; columns_test has that */
    if (columns_attach(&reader, region, REGION) == DRO_OK) {
        everything_read(reader);
        columns_free(reader);
        queries_ask();
    }
    while (count-- > 0)
        memcpy(region + patches[count].offset, patches[count].old, patches[count].width);
    *version &= ~UINT64_C(1);
    return 0;
}

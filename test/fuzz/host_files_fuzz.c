/* The small files of a data directory, as a hostile or damaged disk would have them; the first byte says which: the list of
 * generations and the layout, which are written back as the same bytes; the domains' keys as log/keys holds them, and the
 * host's tables, in front of a core that opens: it opens on them, and what it took is written and opens again, or it says no. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/host.h"
#include "core/state.h"
#include "fuzz_world.h"
#include "store/data_layout.h"
#include "store/generations.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TABLES_MAX = 16 * 1024 };

static void read_generations(const uint8_t *bytes, size_t size)
{
    generations list, same;
    uint8_t again[GENERATIONS_BYTES_MAX];
    if (generations_decode(&list, bytes, size) != DRO_OK)
        return;
    assert(list.count >= 1 && list.count <= GENERATIONS_MAX && generation_newest(&list)->cores >= 1);
    size_t length = generations_encode(&list, again);
    dro_err err = generations_decode(&same, again, length);
    assert(err == DRO_OK && same.count == list.count && memcmp(same.list, list.list, list.count * sizeof list.list[0]) == 0);
    (void)err;
}

static void read_layout(const uint8_t *bytes, size_t size)
{
    uint32_t layout;
    char again[DATA_LAYOUT_TEXT];
    if (data_layout_read((const char *)bytes, size, &layout))
        assert(layout > 0 && data_layout_write(layout, again) == size && memcmp(bytes, again, size) == 0);
}

/* Behind the file that is there, or in its place. */
static void read_keys(const uint8_t *bytes, size_t size, bool is_behind)
{
    world *world = fuzz_world(false, NULL);
    disk *disk = world->core->options.log_disk;
    static uint8_t file[TABLES_MAX + 4096];
    int handle = disk->open(disk, "keys", 0);
    int64_t there = handle < 0 || !is_behind ? 0 : disk->read(disk, handle, 0, file, 4096);
    if (handle >= 0)
        disk->close(disk, handle);
    size_t kept = there < 0 ? 0 : (size_t)there;
    memcpy(file + kept, bytes, size);
    world_close(world);
    if (disk->replace(disk, "keys", file, kept + size) != 0)
        abort();
    if (world_open(world) == DRO_OK)
        world_settle(world);
    fuzz_world_renew();
}

/* Fields of the tables, sealed as a core seals them. */
static void read_tables(const uint8_t *bytes, size_t size)
{
    world *world = fuzz_world(false, NULL);
    disk *disk = world->core->options.log_disk;
    uint8_t *sealed = malloc(size + VAULT_OVERHEAD);
    assert(sealed != NULL);
    vault_seal_log(world->core->vault, 0, "host", 4, bytes, size, sealed);
    world_close(world);
    if (disk->replace(disk, "host", sealed, size + VAULT_OVERHEAD) != 0)
        abort();
    free(sealed);
    if (world_open(world) == DRO_OK) {
        world_settle(world);
        if (host_keep(world->core) == DRO_OK) {
            world_close(world);
            dro_err err = world_open(world);
            assert(err == DRO_OK); /* what it wrote itself */
            (void)err;
        }
    }
    fuzz_world_renew();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > TABLES_MAX)
        return 0;
    dro_log_setup("fuzz", DRO_LOG_NOTHING);
    uint8_t *bytes = malloc(size); /* exactly as long: what is read past the end shows */
    assert(bytes != NULL);
    memcpy(bytes, data + 1, size - 1);
    switch (data[0] % 5) {
    case 0: read_generations(bytes, size - 1); break;
    case 1: read_layout(bytes, size - 1); break;
    case 2: read_keys(bytes, size - 1, false); break;
    case 3: read_keys(bytes, size - 1, true); break;
    default: read_tables(bytes, size - 1); break;
    }
    free(bytes);
    return 0;
}

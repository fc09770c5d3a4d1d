#include "ledger/files_fake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static files_fake *fake_of(files *files)
{
    return (files_fake *)files;
}

/* 0, or the -errno of a call that fails. */
static int call(files_fake *fake)
{
    if (fake->is_dead)
        return -EIO;
    fake->calls++;
    if (fake->calls != fake->fail_call)
        return 0;
    fake->is_dead = fake->dies;
    return -fake->error;
}

static fake_name *name_of(fake_name *names, const char *name)
{
    for (int i = 0; i < FAKE_INODES; i++)
        if (names[i].is_there && strcmp(names[i].name, name) == 0)
            return &names[i];
    return NULL;
}

static int find_file(files *files, const char *name)
{
    files_fake *fake = fake_of(files);
    const fake_name *found = name_of(fake->names, name);
    return fake->is_dead ? -EIO : found == NULL ? -ENOENT : (int)found->inode;
}

static int open_file(files *files, const char *name)
{
    files_fake *fake = fake_of(files);
    int err = call(fake);
    fake_name *found = name_of(fake->names, name);
    if (err != 0 || found != NULL)
        return err != 0 ? err : (int)found->inode;
    found = fake->names;
    while (found->is_there)
        found++;
    if (fake->inodes == FAKE_INODES)
        abort(); /* the test is too long */
    *found = (fake_name){ .inode = fake->inodes++, .is_there = true };
    memcpy(found->name, name, strlen(name) + 1);
    return (int)found->inode;
}

static void close_file(files *files, int file)
{
    (void)files;
    (void)file;
}

static int64_t size_of(files *files, int file)
{
    return fake_of(files)->is_dead ? -EIO : (int64_t)fake_of(files)->now[file].length;
}

static int64_t read_file(files *files, int file, uint64_t offset, void *bytes, size_t length)
{
    const fake_bytes *from = &fake_of(files)->now[file];
    if (fake_of(files)->is_dead)
        return -EIO;
    size_t there = offset >= from->length ? 0 : from->length - offset;
    if (there > length)
        there = length;
    if (there > 0)
        memcpy(bytes, from->bytes + offset, there);
    return (int64_t)there;
}

/* One that fails may have written a part. */
static int write_file(files *files, int file, uint64_t offset, const void *bytes, size_t length)
{
    files_fake *fake = fake_of(files);
    int err = call(fake);
    fake_bytes *to = &fake->now[file];
    if (err != 0)
        length /= 2;
    if (offset + length > FAKE_BYTES)
        abort();
    if (offset > to->length)
        memset(to->bytes + to->length, 0, offset - to->length);
    memcpy(to->bytes + offset, bytes, length);
    if (to->length < offset + length)
        to->length = (uint32_t)(offset + length);
    return err;
}

static int truncate_file(files *files, int file, uint64_t length)
{
    files_fake *fake = fake_of(files);
    int err = call(fake);
    if (err == 0)
        fake->now[file].length = (uint32_t)length;
    return err;
}

static int sync_file(files *files, int file)
{
    files_fake *fake = fake_of(files);
    int err = call(fake);
    if (err == 0)
        fake->durable[file] = fake->now[file];
    return err;
}

static int rename_file(files *files, const char *from, const char *to)
{
    files_fake *fake = fake_of(files);
    fake_name *source = name_of(fake->names, from), *old = name_of(fake->names, to);
    if (source == NULL)
        return fake->is_dead ? -EIO : -ENOENT;
    int err = call(fake);
    if (err != 0)
        return err;
    if (old != NULL)
        old->is_there = false;
    memcpy(source->name, to, strlen(to) + 1);
    return 0;
}

static int sync_names(files *files)
{
    files_fake *fake = fake_of(files);
    int err = call(fake);
    if (err == 0)
        memcpy(fake->durable_names, fake->names, sizeof fake->names);
    return err;
}

static int list_files(files *files, void (*each)(void *context, const char *name), void *context)
{
    files_fake *fake = fake_of(files);
    for (int i = 0; i < FAKE_INODES; i++)
        if (fake->names[i].is_there)
            each(context, fake->names[i].name);
    return fake->is_dead ? -EIO : 0;
}

void files_fake_init(files_fake *fake)
{
    memset(fake, 0, sizeof *fake);
    fake->files = (files){ open_file, find_file, close_file, size_of, read_file, write_file, truncate_file, sync_file, rename_file, sync_names, list_files };
    fake->error = EIO;
}

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

/* Blocks of 512 bytes reach the disk or do not; the length is the old one, the new one or between; what did not come is zeros. */
static void cut_file(fake_bytes *now, fake_bytes *durable, uint64_t *seed)
{
    uint32_t least = now->length < durable->length ? now->length : durable->length, most = now->length > durable->length ? now->length : durable->length;
    uint32_t length = least + (uint32_t)(next(seed) % (most - least + 1));
    for (uint32_t at = 0; at < length; at += 512) {
        uint32_t n = length - at < 512 ? length - at : 512;
        if (next(seed) % 2 == 0) {
            uint32_t old = at >= durable->length ? 0 : durable->length - at < n ? durable->length - at : n;
            memcpy(now->bytes + at, durable->bytes + at, old);
            memset(now->bytes + at + old, 0, n - old);
        }
    }
    now->length = length;
    *durable = *now;
}

void files_fake_cut(files_fake *fake, uint64_t seed)
{
    if (next(&seed) % 2 == 0)
        memcpy(fake->names, fake->durable_names, sizeof fake->names);
    memcpy(fake->durable_names, fake->names, sizeof fake->names);
    for (uint32_t i = 0; i < fake->inodes; i++)
        cut_file(&fake->now[i], &fake->durable[i], &seed);
    fake->is_dead = false;
    fake->fail_call = 0;
}

const fake_bytes *files_fake_find(const files_fake *fake, const char *name)
{
    for (int i = 0; i < FAKE_INODES; i++)
        if (fake->names[i].is_there && strcmp(fake->names[i].name, name) == 0)
            return &fake->now[fake->names[i].inode];
    return NULL;
}

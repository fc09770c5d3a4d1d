#include "store/disk_memory.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum {
    FILES_MAX = 1024,
    HANDLES_MAX = 512,
    WRITES_MAX = 64,
    FETCHES_MAX = 128,
    NAME_BYTES = 128, /* an image is called by its digest in hex */
    PIECE = 512, /* what a drive writes as one */
};

struct file {
    char name[NAME_BYTES]; /* "": gone, lives while a handle does */
    uint8_t *bytes;
    uint64_t size;
    int holds;             /* by name, handles and writes */
    struct file *spare;    /* the next one is written in its place: replace_reserved */
};

struct write { /* under way: on the platter when reaped, or by a chance at a power cut */
    const disk *owner;
    struct file *file;
    uint64_t offset;
    uint8_t *bytes;
    size_t length;
    uint64_t token;
    int error;
};

struct fetch { /* under way: the buffer is filled when it is reaped */
    struct file *file;
    const disk *owner;
    bool is_started;
    uint64_t offset, token;
    void *buffer;
    size_t length;
};

static void view_free(disk *self);

typedef struct disk_memory {
    disk disk;
    disk_memory_faults faults;
    dro_random_seeded random;
    uint64_t calls;
    bool is_dark; /* the power is off */
    bool is_full; /* there is no room for more */
    struct file *files[FILES_MAX];
    struct file *handles[HANDLES_MAX];
    struct write writes[WRITES_MAX];
    int write_count;
    struct fetch fetches[FETCHES_MAX];
    int fetch_count;
} disk_memory;

typedef struct disk_view { /* a directory of the disk */
    disk disk;
    disk_memory *whole;
    char prefix[NAME_BYTES];
} disk_view;

static disk_memory *of(disk *self)
{
    disk_memory *here = (disk_memory *)self;
    return here->disk.free == view_free ? ((disk_view *)self)->whole : here;
}

/* A name as the whole disk knows it. */
static const char *full(disk *self, const char *name, char out[2 * NAME_BYTES])
{
    bool is_view = self->free == view_free;
    snprintf(out, 2 * NAME_BYTES, "%s%s", is_view ? ((disk_view *)self)->prefix : "", name);
    assert(strlen(out) < NAME_BYTES);
    return out;
}

static bool chance(disk_memory *here)
{
    return (dro_random_next(&here->random) & 1) != 0;
}

static uint64_t below(disk_memory *here, uint64_t limit)
{
    assert(limit > 0);
    return dro_random_next(&here->random) % limit;
}

/* ---- faults ---- */

enum fate {
    FATE_FINE,
    FATE_DONE_BUT_FAILED, /* it takes effect, yet the caller is told EIO */
    FATE_FAILED,
};

/* Every call goes through here. A call that fails, or that the power cut hits, may
 * or may not have taken effect. */
static enum fate call(disk_memory *here)
{
    if (here->is_dark)
        return FATE_FAILED;
    here->calls++;
    bool is_hit = here->calls == here->faults.fail_call;
    if (here->calls == here->faults.crash_call) {
        here->is_dark = true;
        is_hit = true;
    }
    if (!is_hit)
        return FATE_FINE;
    return chance(here) ? FATE_DONE_BUT_FAILED : FATE_FAILED;
}

/* ---- files ---- */

static void file_release(struct file *file)
{
    if (--file->holds > 0)
        return;
    if (file->spare != NULL)
        file_release(file->spare);
    free(file->bytes);
    free(file);
}

static int name_find(disk_memory *here, const char *name)
{
    for (int i = 0; i < FILES_MAX; i++)
        if (here->files[i] != NULL && strcmp(here->files[i]->name, name) == 0)
            return i;
    return -1;
}

static struct file *file_find(disk_memory *here, const char *name)
{
    int at = name_find(here, name);
    return at < 0 ? NULL : here->files[at];
}

static void file_forget(disk_memory *here, const char *name)
{
    int at = name_find(here, name);
    if (at < 0)
        return;
    here->files[at]->name[0] = '\0';
    file_release(here->files[at]);
    here->files[at] = NULL;
}

static bool file_resize(struct file *file, uint64_t size)
{
    uint8_t *bytes = realloc(file->bytes, size > 0 ? (size_t)size : 1);
    if (bytes == NULL)
        return false;
    if (size > file->size)
        memset(bytes + file->size, 0, (size_t)(size - file->size));
    file->bytes = bytes;
    file->size = size;
    return true;
}

static struct file *file_new(void)
{
    struct file *file = calloc(1, sizeof *file);
    if (file != NULL)
        file->holds = 1;
    return file;
}

static struct file *file_make(disk_memory *here, const char *name)
{
    int at = 0;
    while (at < FILES_MAX && here->files[at] != NULL)
        at++;
    struct file *file = at == FILES_MAX ? NULL : file_new();
    if (file == NULL)
        return NULL;
    snprintf(file->name, sizeof file->name, "%s", name);
    here->files[at] = file;
    return file;
}

/* ---- the disk's functions ---- */

static int memory_open(disk *self, const char *name, uint64_t bytes)
{
    disk_memory *here = of(self);
    char whole[2 * NAME_BYTES];
    name = full(self, name, whole);
    enum fate fate = call(here);
    if (fate == FATE_FAILED)
        return -EIO;
    struct file *file = file_find(here, name);
    if (file == NULL && bytes == 0)
        return fate == FATE_FINE ? -ENOENT : -EIO;
    if (here->is_full && (file == NULL || file->size < bytes))
        return -ENOSPC;
    if (file == NULL)
        file = file_make(here, name);
    if (file == NULL || (file->size < bytes && !file_resize(file, bytes)))
        return -ENOSPC;
    if (fate != FATE_FINE)
        return -EIO;
    for (int i = 0; i < HANDLES_MAX; i++) {
        if (here->handles[i] != NULL)
            continue;
        here->handles[i] = file;
        file->holds++;
        return i;
    }
    return -EMFILE;
}

static struct file *file_at(disk_memory *here, int handle)
{
    assert(handle >= 0 && handle < HANDLES_MAX && here->handles[handle] != NULL);
    return here->handles[handle];
}

static void memory_close(disk *self, int handle)
{
    file_release(file_at(of(self), handle));
    of(self)->handles[handle] = NULL;
}

static int64_t memory_size(disk *self, int handle)
{
    return call(of(self)) == FATE_FINE ? (int64_t)file_at(of(self), handle)->size : -EIO;
}

static int64_t memory_read(disk *self, int handle, uint64_t offset, void *buffer, size_t length)
{
    const struct file *file = file_at(of(self), handle);
    if (call(of(self)) != FATE_FINE)
        return -EIO;
    if (offset >= file->size)
        return 0;
    if (length > file->size - offset)
        length = (size_t)(file->size - offset);
    memcpy(buffer, file->bytes + offset, length);
    return (int64_t)length;
}

/* A write that is hit may be refused at once, or be under way and fail later. */
static int memory_write_durable(disk *self, int handle, uint64_t offset, const void *buffer, size_t length, uint64_t token)
{
    disk_memory *here = of(self);
    struct file *file = file_at(here, handle);
    assert(offset % 4096 == 0 && length % 4096 == 0 && (uintptr_t)buffer % 4096 == 0 && offset + length <= file->size);
    enum fate fate = call(here);
    if (fate == FATE_FAILED)
        return -EIO;
    if (here->write_count == WRITES_MAX)
        return -EAGAIN;
    uint8_t *copy = malloc(length);
    if (copy == NULL)
        return -ENOMEM;
    memcpy(copy, buffer, length);
    file->holds++;
    here->writes[here->write_count++] = (struct write){ self, file, offset, copy, length, token, fate == FATE_FINE ? 0 : EIO };
    return 0;
}

/* The pieces that reached the platter: all, none, the first few or any. */
static void write_pieces(disk_memory *here, const struct write *write)
{
    uint64_t pieces = write->length / PIECE;
    uint64_t how = below(here, 4), first = below(here, pieces + 1);
    for (uint64_t i = 0; i < pieces; i++) {
        bool is_kept = how == 0 || (how == 2 && i < first) || (how == 3 && chance(here));
        if (is_kept)
            memcpy(write->file->bytes + write->offset + i * PIECE, write->bytes + i * PIECE, PIECE);
    }
}

static void write_end(disk_memory *here, int at)
{
    struct write *write = &here->writes[at];
    free(write->bytes);
    file_release(write->file);
    here->write_count--;
    memmove(write, write + 1, (size_t)(here->write_count - at) * sizeof *write);
}

static uint64_t own_count(const disk_memory *here, const disk *owner)
{
    uint64_t count = 0;
    for (int i = 0; i < here->write_count; i++)
        count += here->writes[i].owner == owner;
    return count;
}

static int own_at(const disk_memory *here, const disk *owner, uint64_t number)
{
    int at = 0;
    while (here->writes[at].owner != owner || number-- > 0)
        at++;
    return at;
}

static int memory_reap(disk *self, disk_completion *done, int max, bool wait)
{
    disk_memory *here = of(self);
    if (call(here) != FATE_FINE)
        return -EIO;
    int count = 0;
    while (count < max && own_count(here, self) > 0 && ((wait && count == 0) || chance(here))) {
        int at = own_at(here, self, below(here, own_count(here, self))); /* in any order */
        struct write *write = &here->writes[at];
        if (write->error == 0)
            memcpy(write->file->bytes + write->offset, write->bytes, write->length);
        else
            write_pieces(here, write);
        done[count++] = (disk_completion){ write->token, write->error };
        write_end(here, at);
    }
    return count;
}

static int memory_fetch(disk *self, int handle, uint64_t offset, void *buffer, size_t length, uint64_t token)
{
    disk_memory *here = of(self);
    struct file *file = file_at(here, handle);
    if (here->fetch_count == FETCHES_MAX)
        return -EAGAIN;
    if (call(here) != FATE_FINE)
        return -EIO;
    memset(buffer, 0xa5, length); /* not there yet */
    file->holds++;
    here->fetches[here->fetch_count++] = (struct fetch){ file, self, false, offset, token, buffer, length };
    return 0;
}

static int memory_fetch_start(disk *self)
{
    disk_memory *here = of(self);
    for (int i = 0; i < here->fetch_count; i++)
        here->fetches[i].is_started |= here->fetches[i].owner == self;
    return 0;
}

static void fetch_end(disk_memory *here, int at)
{
    file_release(here->fetches[at].file);
    here->fetch_count--;
    memmove(&here->fetches[at], &here->fetches[at + 1], (size_t)(here->fetch_count - at) * sizeof here->fetches[0]);
}

/* One of those that `self` has begun, any of them; -1: none. */
static int fetch_choose(disk_memory *here, const disk *self)
{
    int begun = 0;
    for (int i = 0; i < here->fetch_count; i++)
        begun += here->fetches[i].owner == self && here->fetches[i].is_started;
    int number = begun > 0 ? (int)below(here, (uint64_t)begun) : -1;
    int at = -1;
    while (number >= 0) {
        at++;
        number -= here->fetches[at].owner == self && here->fetches[at].is_started;
    }
    return at;
}

static int memory_fetch_reap(disk *self, disk_fetched *done, int max, bool wait)
{
    disk_memory *here = of(self);
    int count = 0, at;
    while (count < max && (at = fetch_choose(here, self)) >= 0 && ((wait && count == 0) || chance(here))) {
        struct fetch *fetch = &here->fetches[at];
        size_t left = fetch->offset < fetch->file->size ? (size_t)(fetch->file->size - fetch->offset) : 0;
        size_t length = left < fetch->length ? left : fetch->length;
        int64_t result = call(here) == FATE_FINE ? (int64_t)length : -EIO;
        if (result > 0)
            memcpy(fetch->buffer, fetch->file->bytes + fetch->offset, length);
        done[count++] = (disk_fetched){ fetch->token, result };
        fetch_end(here, at);
    }
    return count;
}

static bool file_write(struct file *file, const void *bytes, size_t length)
{
    if (file == NULL || !file_resize(file, length))
        return false;
    memcpy(file->bytes, bytes, length);
    return true;
}

static int memory_replace(disk *self, const char *name, const void *bytes, size_t length)
{
    disk_memory *here = of(self);
    enum fate fate = call(here);
    if (fate == FATE_FAILED)
        return -EIO;
    char whole[2 * NAME_BYTES];
    name = full(self, name, whole);
    if (here->is_full)
        return -ENOSPC;
    file_forget(here, name);
    if (!file_write(file_make(here, name), bytes, length))
        return -ENOSPC;
    return fate == FATE_FINE ? 0 : -EIO;
}

/* As in a directory: the spare, in which the one before last was, is written in place, and what had the name becomes the spare. */
static bool names_change(disk_memory *here, const char *name, const void *bytes, size_t length)
{
    int at = name_find(here, name);
    struct file *before = here->files[at], *file = before->spare != NULL ? before->spare : (before->spare = file_new());
    if (!file_write(file, bytes, length))
        return false;
    memcpy(file->name, before->name, sizeof file->name);
    before->name[0] = '\0';
    before->spare = NULL;
    file->spare = before;
    here->files[at] = file;
    return true;
}

static int memory_replace_reserved(disk *self, const char *name, const void *bytes, size_t length)
{
    disk_memory *here = of(self);
    enum fate fate = call(here);
    if (fate == FATE_FAILED)
        return -EIO;
    char whole[2 * NAME_BYTES];
    name = full(self, name, whole);
    struct file *before = file_find(here, name);
    if (here->is_full && (before == NULL || before->spare == NULL))
        return -ENOSPC;
    if (before != NULL ? !names_change(here, name, bytes, length) : !file_write(file_make(here, name), bytes, length))
        return -ENOSPC;
    if (before == NULL)
        file_find(here, name)->spare = file_new();
    return fate == FATE_FINE ? 0 : -EIO;
}

static int memory_rename(disk *self, const char *from, const char *to)
{
    disk_memory *here = of(self);
    enum fate fate = call(here);
    if (fate == FATE_FAILED)
        return -EIO;
    char whole[2 * NAME_BYTES];
    struct file *file = file_find(here, full(self, from, whole));
    if (file == NULL)
        return -ENOENT;
    to = full(self, to, whole);
    file_forget(here, to);
    snprintf(file->name, sizeof file->name, "%s", to);
    return fate == FATE_FINE ? 0 : -EIO;
}

static int memory_remove(disk *self, const char *name)
{
    disk_memory *here = of(self);
    enum fate fate = call(here);
    if (fate == FATE_FAILED)
        return -EIO;
    char whole[2 * NAME_BYTES];
    name = full(self, name, whole);
    if (file_find(here, name) == NULL)
        return -ENOENT;
    file_forget(here, name);
    return fate == FATE_FINE ? 0 : -EIO;
}

static int memory_list(disk *self, void (*each)(void *context, const char *name), void *context)
{
    disk_memory *here = of(self);
    if (call(here) != FATE_FINE)
        return -EIO;
    const char *prefix = self->free == view_free ? ((disk_view *)self)->prefix : "";
    size_t length = strlen(prefix);
    for (int i = 0; i < FILES_MAX; i++) /* its own files, not those of directories in it */
        if (here->files[i] != NULL && strncmp(here->files[i]->name, prefix, length) == 0 &&
            strchr(here->files[i]->name + length, '/') == NULL)
            each(context, here->files[i]->name + length);
    return 0;
}

static int memory_descriptor(disk *self)
{
    (void)self;
    return -1;
}

static void memory_free(disk *self)
{
    if (self == NULL)
        return;
    disk_memory *here = of(self);
    while (here->write_count > 0)
        write_end(here, 0);
    while (here->fetch_count > 0)
        fetch_end(here, 0);
    for (int i = 0; i < HANDLES_MAX; i++)
        if (here->handles[i] != NULL)
            memory_close(self, i);
    for (int i = 0; i < FILES_MAX; i++)
        if (here->files[i] != NULL)
            file_release(here->files[i]);
    free(here);
}

/* ---- directories ---- */

static void view_free(disk *self)
{
    free(self);
}

disk *disk_memory_directory(disk *whole, const char *name)
{
    disk_view *view = calloc(1, sizeof *view);
    if (view == NULL)
        return NULL;
    view->whole = of(whole);
    view->disk = view->whole->disk;
    view->disk.free = view_free;
    if (name[0] != '\0')
        snprintf(view->prefix, sizeof view->prefix, "%s/", name);
    return &view->disk;
}

/* ---- the power switch ---- */

static void set_faults(disk_memory *here, const disk_memory_faults *faults)
{
    here->faults = faults != NULL ? *faults : (disk_memory_faults){ 0 };
    here->calls = 0;
    here->is_dark = false;
    dro_random_seeded_init(&here->random, here->faults.seed);
}

disk *disk_memory_new(const disk_memory_faults *faults)
{
    disk_memory *here = calloc(1, sizeof *here);
    if (here == NULL)
        return NULL;
    here->disk = (disk){
        .open = memory_open,
        .close = memory_close,
        .size = memory_size,
        .read = memory_read,
        .write_durable = memory_write_durable,
        .reap = memory_reap,
        .fetch = memory_fetch,
        .fetch_start = memory_fetch_start,
        .fetch_reap = memory_fetch_reap,
        .replace = memory_replace,
        .replace_reserved = memory_replace_reserved,
        .rename = memory_rename,
        .remove = memory_remove,
        .list = memory_list,
        .descriptor = memory_descriptor,
        .free = memory_free,
    };
    set_faults(here, faults);
    return &here->disk;
}

void disk_memory_power_cut(disk *self, const disk_memory_faults *next)
{
    disk_memory *here = of(self);
    while (here->write_count > 0) {
        int at = (int)below(here, (uint64_t)here->write_count);
        const struct write *write = &here->writes[at];
        if (here->faults.tear)
            write_pieces(here, write);
        else if (chance(here))
            memcpy(write->file->bytes + write->offset, write->bytes, write->length);
        write_end(here, at);
    }
    set_faults(here, next);
}

void disk_memory_fail(disk *self, uint64_t in_calls)
{
    of(self)->faults.fail_call = of(self)->calls + in_calls;
}

void disk_memory_cut(disk *self, uint64_t in_calls)
{
    of(self)->faults.crash_call = of(self)->calls + in_calls;
}

void disk_memory_tear(disk *self, bool tear)
{
    of(self)->faults.tear = tear;
}

void disk_memory_fill(disk *self, bool is_full)
{
    of(self)->is_full = is_full;
}

uint64_t disk_memory_calls(const disk *self)
{
    return ((const disk_memory *)self)->calls;
}

uint8_t *disk_memory_bytes(disk *self, const char *name, uint64_t *size)
{
    struct file *file = file_find(of(self), name);
    if (file == NULL)
        return NULL;
    *size = file->size;
    return file->bytes;
}

void disk_memory_truncate(disk *self, const char *name, uint64_t size)
{
    struct file *file = file_find(of(self), name);
    assert(file != NULL && size <= file->size);
    bool is_done = file_resize(file, size);
    assert(is_done);
    (void)is_done;
}

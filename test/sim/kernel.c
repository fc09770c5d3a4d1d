#include "kernel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/core.h"
#include "ring/ring.h"

enum { INODES_MAX = 4096, NAMES_MAX = 2048, FILES_MAX = 1024, PATH_BYTES = 160, FIRST = 100000 /* descriptors of ours */ };

const char *const fault_names[FAULTS] = { "open", "read", "write", "fsync", "rename", "allocate", "memory", "map", "ring" };
kernel_faults kernel;

typedef struct bytes { uint8_t *at; uint64_t size; } bytes;
static struct inode { bytes seen, platter; uint64_t dirty_from, dirty_to; bool is_directory; } inodes[INODES_MAX]; /* [0] is not used */
static uint32_t inode_count = 1;
typedef struct name { char path[PATH_BYTES]; uint32_t inode; } name;
static name seen[NAMES_MAX], platter[NAMES_MAX]; /* inode 0: free */
static struct { uint32_t inode; uint64_t at; char path[PATH_BYTES]; } files[FILES_MAX];
static _Thread_local int depth;
static int depth_of_all; /* reads of the thread that recovery reads with count too: the other one waits for it */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t length);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__real_mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset);
int __real_open64(const char *path, int flags, ...);
int __real_openat64(int directory, const char *path, int flags, ...);
int __real_close(int fd);
ssize_t __real_write(int fd, const void *from, size_t length);
int __real_mkdir(const char *path, mode_t mode);
void *__real_ring_reserve(ring_writer *writer, uint32_t length);
bool __real_ring_send(ring_writer *writer, uint16_t type, uint16_t flags, uint64_t id, const void *body, uint32_t length);

void kernel_enter(void)
{
    depth++;
    depth_of_all++;
}

void kernel_leave(void)
{
    depth--;
    depth_of_all--;
}

/* Does this call fail? */
static bool fails(enum fault_kind kind)
{
    if ((kind == FAULT_READ ? depth_of_all : depth) == 0 || kernel.is_quiet)
        return false;
    if (++kernel.count[kind] != kernel.at[kind])
        return false;
    kernel.is_hit = true;
    return true;
}

/* ---- memory and rings ---- */

void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return fails(FAULT_MEMORY) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    return fails(FAULT_MEMORY) ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size)
{
    return fails(FAULT_MEMORY) ? NULL : __real_realloc(memory, size);
}

char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text)
{
    return fails(FAULT_MEMORY) ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t length);
char *__wrap_strndup(const char *text, size_t length)
{
    return fails(FAULT_MEMORY) ? NULL : __real_strndup(text, length);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails(FAULT_MEMORY) ? NULL : __real_aligned_alloc(alignment, size);
}

void *__wrap_mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    if (!fails(FAULT_MAP))
        return __real_mmap64(address, length, protection, flags, fd, offset);
    errno = ENOMEM;
    return MAP_FAILED;
}

void *__wrap_ring_reserve(ring_writer *writer, uint32_t length);
void *__wrap_ring_reserve(ring_writer *writer, uint32_t length)
{
    return fails(FAULT_RING) ? NULL : __real_ring_reserve(writer, length);
}

bool __wrap_ring_send(ring_writer *writer, uint16_t type, uint16_t flags, uint64_t id, const void *body, uint32_t length);
bool __wrap_ring_send(ring_writer *writer, uint16_t type, uint16_t flags, uint64_t id, const void *body, uint32_t length)
{
    return !fails(FAULT_RING) && __real_ring_send(writer, type, flags, id, body, length);
}

/* Memory of the kernel's own never fails here. */
static void *need(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

/* Pages that the kernel hides are not in a forked child. */
void *__wrap_vault_secret_new(size_t size, bool *is_secret);
void *__wrap_vault_secret_new(size_t size, bool *is_secret)
{
    void *memory = fails(FAULT_MAP) ? MAP_FAILED : __real_mmap64(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *is_secret = false;
    return memory == MAP_FAILED ? NULL : memory;
}

jmp_buf *kernel_end;

void __real_abort(void) __attribute__((noreturn));
void __wrap_abort(void) __attribute__((noreturn));
void __wrap_abort(void)
{
    jmp_buf *end = depth > 0 ? kernel_end : NULL;
    kernel_end = NULL;
    depth = depth_of_all = 0;
    if (end == NULL)
        __real_abort();
    pid_t alone = fork(); /* without the thread that recovery reads with: it would end with the room */
    int status;
    if (alone == 0)
        longjmp(*end, 1);
    if (alone < 0 || waitpid(alone, &status, 0) != alone || !WIFEXITED(status))
        __real_abort();
    _exit(WEXITSTATUS(status));
}

/* ---- names ---- */

static int failed(int error)
{
    errno = error;
    return -1;
}

static bool is_ours(const char *path)
{
    return strncmp(path, "/sim", 4) == 0;
}

static name *name_find(name *names, const char *path)
{
    for (int i = 0; i < NAMES_MAX; i++)
        if (names[i].inode != 0 && strcmp(names[i].path, path) == 0)
            return &names[i];
    return NULL;
}

static name *name_make(name *names, const char *path, uint32_t inode)
{
    name *made = name_find(names, path);
    for (int i = 0; i < NAMES_MAX && made == NULL; i++)
        made = names[i].inode == 0 ? &names[i] : NULL;
    need(made);
    snprintf(made->path, sizeof made->path, "%s", path);
    made->inode = inode;
    return made;
}

static uint32_t inode_make(bool is_directory)
{
    if (inode_count == INODES_MAX)
        abort();
    inodes[inode_count] = (struct inode){ .is_directory = is_directory };
    return inode_count++;
}

static void path_at(int directory, const char *path, char out[PATH_BYTES])
{
    if (strcmp(path, ".") == 0)
        snprintf(out, PATH_BYTES, "%s", files[directory - FIRST].path);
    else if (snprintf(out, PATH_BYTES, "%s/%s", files[directory - FIRST].path, path) >= PATH_BYTES)
        abort();
}

static int file_new(uint32_t inode, const char *path)
{
    for (int i = 0; i < FILES_MAX; i++) {
        if (files[i].inode != 0)
            continue;
        files[i].inode = inode;
        files[i].at = 0;
        snprintf(files[i].path, PATH_BYTES, "%s", path);
        return FIRST + i;
    }
    return failed(EMFILE);
}

static int kernel_open(const char *path, int flags)
{
    if (fails(FAULT_OPEN))
        return failed((kernel.count[FAULT_OPEN] & 1) != 0 ? EMFILE : EIO);
    char whole[PATH_BYTES];
    snprintf(whole, sizeof whole, "%s", path);
    size_t length = strlen(whole);
    if (length > 3 && strcmp(whole + length - 3, "/..") == 0) { /* the parent of one */
        whole[length - 3] = '\0';
        *strrchr(whole, '/') = '\0';
    }
    name *found = name_find(seen, whole);
    if (found == NULL && (strcmp(whole, "/sim") == 0 || strcmp(whole, "/sim/data") == 0 || (flags & O_CREAT) != 0))
        found = name_make(seen, whole, inode_make(strncmp(whole, "/sim", 4) == 0 && (flags & O_DIRECTORY) != 0));
    if (found == NULL)
        return failed(ENOENT);
    struct inode *inode = &inodes[found->inode];
    if ((flags & O_TRUNC) != 0) {
        inode->seen.size = 0;
        inode->dirty_from = 0;
    }
    return file_new(found->inode, whole);
}

int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
    return is_ours(path) ? kernel_open(path, flags) : __real_open64(path, flags, 0600);
}

int __wrap_openat64(int directory, const char *path, int flags, ...);
int __wrap_openat64(int directory, const char *path, int flags, ...)
{
    char whole[PATH_BYTES];
    if (directory < FIRST)
        return __real_openat64(directory, path, flags, 0600);
    path_at(directory, path, whole);
    return kernel_open(whole, flags);
}

int __wrap_close(int fd);
int __wrap_close(int fd)
{
    if (fd < FIRST)
        return __real_close(fd);
    files[fd - FIRST].inode = 0;
    return 0;
}

int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode)
{
    if (!is_ours(path))
        return __real_mkdir(path, mode);
    if (name_find(seen, path) != NULL)
        return failed(EEXIST);
    if (fails(FAULT_OPEN))
        return failed(EIO);
    name_make(seen, path, inode_make(true));
    return 0;
}

int __wrap_flock(int fd, int how);
int __wrap_flock(int fd, int how)
{
    (void)fd;
    (void)how;
    return fails(FAULT_OPEN) ? failed(EIO) : 0;
}

int __wrap_renameat(int from_directory, const char *from, int to_directory, const char *to);
int __wrap_renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    char a[PATH_BYTES], b[PATH_BYTES];
    path_at(from_directory, from, a);
    path_at(to_directory, to, b);
    if (fails(FAULT_RENAME))
        return failed(EIO);
    name *found = name_find(seen, a);
    if (found == NULL)
        return failed(ENOENT);
    name_make(seen, b, found->inode);
    found->inode = 0;
    return 0;
}

int __wrap_renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags);
int __wrap_renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags) /* names that change places */
{
    char a[PATH_BYTES], b[PATH_BYTES];
    path_at(from_directory, from, a);
    path_at(to_directory, to, b);
    if (fails(FAULT_RENAME))
        return failed(EIO);
    name *one = name_find(seen, a), *other = name_find(seen, b);
    if (one == NULL || other == NULL || flags != RENAME_EXCHANGE)
        return failed(ENOENT);
    uint32_t inode = one->inode;
    one->inode = other->inode;
    other->inode = inode;
    return 0;
}

int __wrap_unlinkat(int directory, const char *path, int flags);
int __wrap_unlinkat(int directory, const char *path, int flags)
{
    char whole[PATH_BYTES];
    (void)flags;
    path_at(directory, path, whole);
    if (fails(FAULT_RENAME))
        return failed(EIO);
    name *found = name_find(seen, whole);
    if (found == NULL)
        return failed(ENOENT);
    found->inode = 0;
    return 0;
}

int __wrap_unlink(const char *path);
int __wrap_unlink(const char *path)
{
    if (fails(FAULT_RENAME))
        return failed(EIO);
    name *found = name_find(seen, path);
    if (found == NULL)
        return failed(ENOENT);
    found->inode = 0;
    return 0;
}

int __wrap_rmdir(const char *path);
int __wrap_rmdir(const char *path)
{
    return __wrap_unlink(path);
}

int __wrap_linkat(int from_directory, const char *from, int to_directory, const char *to, int flags);
int __wrap_linkat(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
    char a[PATH_BYTES], b[PATH_BYTES];
    (void)flags;
    path_at(from_directory, from, a);
    path_at(to_directory, to, b);
    if (fails(FAULT_RENAME))
        return failed(EIO);
    const name *found = name_find(seen, a);
    if (found == NULL || name_find(seen, b) != NULL)
        return failed(found == NULL ? ENOENT : EEXIST);
    name_make(seen, b, found->inode);
    return 0;
}

int __wrap_fstat64(int fd, struct stat *out);
int __wrap_fstat64(int fd, struct stat *out)
{
    if (fails(FAULT_OPEN))
        return failed(EIO);
    memset(out, 0, sizeof *out);
    out->st_size = (off_t)inodes[files[fd - FIRST].inode].seen.size;
    out->st_ino = files[fd - FIRST].inode;
    return 0;
}

/* ---- a directory's names ---- */

typedef struct listing { char path[PATH_BYTES]; int fd, at; struct dirent entry; } listing;

DIR *__wrap_fdopendir(int fd);
DIR *__wrap_fdopendir(int fd)
{
    if (fails(FAULT_OPEN)) {
        errno = ENOMEM;
        return NULL;
    }
    listing *made = need(__real_calloc(1, sizeof *made));
    snprintf(made->path, sizeof made->path, "%s/", files[fd - FIRST].path);
    made->fd = fd;
    return (DIR *)(void *)made;
}

struct dirent *__wrap_readdir64(DIR *stream);
struct dirent *__wrap_readdir64(DIR *stream)
{
    listing *of = (listing *)(void *)stream;
    size_t length = strlen(of->path);
    if (fails(FAULT_READ)) {
        errno = EIO;
        return NULL;
    }
    while (of->at < NAMES_MAX) {
        const name *next = &seen[of->at++];
        if (next->inode == 0 || strncmp(next->path, of->path, length) != 0 || strchr(next->path + length, '/') != NULL)
            continue;
        snprintf(of->entry.d_name, sizeof of->entry.d_name, "%s", next->path + length);
        return &of->entry;
    }
    return NULL;
}

int __wrap_closedir(DIR *stream);
int __wrap_closedir(DIR *stream)
{
    files[((listing *)(void *)stream)->fd - FIRST].inode = 0;
    free(stream);
    return 0;
}

/* ---- bytes ---- */

static void grow(bytes *of, uint64_t size)
{
    if (size <= of->size)
        return;
    of->at = need(__real_realloc(of->at, size));
    memset(of->at + of->size, 0, size - of->size);
    of->size = size;
}

static void dirty(struct inode *inode, uint64_t from, uint64_t to)
{
    bool is_clean = inode->dirty_from >= inode->dirty_to;
    inode->dirty_from = is_clean || from < inode->dirty_from ? from : inode->dirty_from;
    inode->dirty_to = is_clean || to > inode->dirty_to ? to : inode->dirty_to;
}

static void put(struct inode *inode, uint64_t at, const void *from, size_t length)
{
    grow(&inode->seen, at + length);
    memcpy(inode->seen.at + at, from, length);
    dirty(inode, at, at + length);
}

static int write_error(void)
{
    return (kernel.count[FAULT_WRITE] & 1) != 0 ? ENOSPC : EIO;
}

ssize_t __wrap_pread64(int fd, void *to, size_t length, off_t at);
ssize_t __wrap_pread64(int fd, void *to, size_t length, off_t at)
{
    const bytes *of = &inodes[files[fd - FIRST].inode].seen;
    if (fails(FAULT_READ))
        return failed(EIO);
    if ((uint64_t)at >= of->size)
        return 0;
    size_t left = (size_t)(of->size - (uint64_t)at), count = left < length ? left : length;
    memcpy(to, of->at + at, count);
    return (ssize_t)count;
}

ssize_t __wrap_pwrite64(int fd, const void *from, size_t length, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t length, off_t at)
{
    if (fails(FAULT_WRITE))
        return failed(write_error());
    put(&inodes[files[fd - FIRST].inode], (uint64_t)at, from, length);
    return (ssize_t)length;
}

ssize_t __wrap_write(int fd, const void *from, size_t length);
ssize_t __wrap_write(int fd, const void *from, size_t length)
{
    if (fd < FIRST)
        return __real_write(fd, from, length);
    if (fails(FAULT_WRITE))
        return failed(write_error());
    put(&inodes[files[fd - FIRST].inode], files[fd - FIRST].at, from, length);
    files[fd - FIRST].at += length;
    return (ssize_t)length;
}

int __wrap_posix_fallocate64(int fd, off_t at, off_t length);
int __wrap_posix_fallocate64(int fd, off_t at, off_t length)
{
    struct inode *inode = &inodes[files[fd - FIRST].inode];
    if (fails(FAULT_ROOM))
        return ENOSPC;
    uint64_t before = inode->seen.size, end = (uint64_t)(at + length);
    grow(&inode->seen, end);
    if (end > before)
        dirty(inode, before, end);
    return 0;
}

int __wrap_posix_fadvise64(int fd, off_t at, off_t length, int advice);
int __wrap_posix_fadvise64(int fd, off_t at, off_t length, int advice)
{
    (void)fd;
    (void)at;
    (void)length;
    (void)advice;
    return 0;
}

static void sync_names(const char *directory)
{
    size_t length = strlen(directory);
    for (int i = 0; i < NAMES_MAX; i++)
        if (platter[i].inode != 0 && strncmp(platter[i].path, directory, length) == 0 && platter[i].path[length] == '/' &&
            strchr(platter[i].path + length + 1, '/') == NULL)
            platter[i].inode = 0;
    for (int i = 0; i < NAMES_MAX; i++)
        if (seen[i].inode != 0 && strncmp(seen[i].path, directory, length) == 0 && seen[i].path[length] == '/' &&
            strchr(seen[i].path + length + 1, '/') == NULL)
            name_make(platter, seen[i].path, seen[i].inode);
}

static void sync_bytes(struct inode *inode)
{
    uint64_t to = inode->dirty_to < inode->seen.size ? inode->dirty_to : inode->seen.size;
    if (inode->seen.size < inode->platter.size)
        inode->platter.size = inode->seen.size;
    grow(&inode->platter, inode->seen.size);
    if (inode->dirty_from < to)
        memcpy(inode->platter.at + inode->dirty_from, inode->seen.at + inode->dirty_from, to - inode->dirty_from);
    inode->dirty_from = inode->dirty_to = 0;
}

int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    struct inode *inode = &inodes[files[fd - FIRST].inode];
    if (fails(FAULT_SYNC)) {
        inode->dirty_from = inode->dirty_to = 0; /* and the next one says that all is well */
        return failed(EIO);
    }
    if (inode->is_directory)
        sync_names(files[fd - FIRST].path);
    else
        sync_bytes(inode);
    return 0;
}

int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    bool was_hit = kernel.is_hit;
    int result = __wrap_fsync(fd);
    kernel.is_log_lost |= kernel.is_hit && !was_hit;
    return result;
}

/* The ways of io_uring are not in this kernel. */
struct io_uring;
int __wrap_io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags);
int __wrap_io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags)
{
    (void)entries;
    (void)ring;
    (void)flags;
    return -ENOSYS;
}

void kernel_power_cut(void)
{
    memcpy(seen, platter, sizeof seen);
    memset(files, 0, sizeof files);
    kernel.is_log_lost = false;
    for (uint32_t i = 1; i < inode_count; i++) {
        struct inode *inode = &inodes[i];
        inode->seen.size = 0;
        grow(&inode->seen, inode->platter.size);
        if (inode->platter.size > 0)
            memcpy(inode->seen.at, inode->platter.at, inode->platter.size);
        inode->dirty_from = inode->dirty_to = 0;
    }
}

void kernel_format(void)
{
    for (uint32_t i = 1; i < inode_count; i++) {
        free(inodes[i].seen.at);
        free(inodes[i].platter.at);
        inodes[i] = (struct inode){ 0 };
    }
    inode_count = 1;
    memset(seen, 0, sizeof seen);
    memset(platter, 0, sizeof platter);
    memset(files, 0, sizeof files);
}

/* ---- whose calls count: the core's ---- */

#define COUNTED(type, function, parameters, arguments) \
    type __real_##function parameters;                 \
    type __wrap_##function parameters;                 \
    type __wrap_##function parameters                  \
    {                                                  \
        kernel_enter();                                \
        type result = __real_##function arguments;     \
        kernel_leave();                                \
        return result;                                 \
    }

COUNTED(dro_err, core_open, (core **out, const core_options *options), (out, options))
COUNTED(int, core_round, (core *of), (of))

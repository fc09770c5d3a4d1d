/* A directory as disk when the n-th call to the system fails, for every n and each way of writing: what was said to be durable is
 * there afterwards, a replaced file is the old one or the new one, each write completes once, and nothing stays open. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/failing.h"
#include "base/log.h"
#include "store/disk_directory.h"
#include "store/disk_writer.h"

enum { BLOCK = 4096, BIG = 256 * 1024, BYTES = BIG + 2 * BLOCK, CALLS_MAX = 300, TOKEN = 77 };

static bool is_short; /* the call that "fails" does a part of its work instead */

FAILING(void *, calloc, (size_t count, size_t size), (count, size), NULL)
FAILING(void *, realloc, (void *old, size_t size), (old, size), NULL)
FAILING(char *, strdup, (const char *text), (text), NULL)
FAILING(int, posix_memalign, (void **out, size_t alignment, size_t size), (out, alignment, size), ENOMEM)
FAILING(int, fstat64, (int fd, struct stat *out), (fd, out), -1)
FAILING(int, fsync, (int fd), (fd), -1)
FAILING(int, fdatasync, (int fd), (fd), -1)
FAILING(ssize_t, pread64, (int fd, void *out, size_t length, off_t offset), (fd, out, length, offset), is_short ? __real_pread64(fd, out, length / 2, offset) : -1)
FAILING(ssize_t, pwrite64, (int fd, const void *bytes, size_t length, off_t offset), (fd, bytes, length, offset), is_short ? 0 : -1)
FAILING(ssize_t, write, (int fd, const void *bytes, size_t length), (fd, bytes, length), is_short ? (length > 8 ? __real_write(fd, bytes, length / 2) : 0) : -1)
FAILING(int, renameat, (int from, const char *old, int to, const char *fresh), (from, old, to, fresh), -1)
FAILING(int, renameat2, (int from, const char *old, int to, const char *fresh, unsigned flags), (from, old, to, fresh, flags), -1)
FAILING(int, linkat, (int from, const char *old, int to, const char *fresh, int flags), (from, old, to, fresh, flags), -1)
FAILING(int, unlinkat, (int at, const char *name, int flags), (at, name, flags), -1)
FAILING(int, posix_fallocate64, (int fd, off_t offset, off_t length), (fd, offset, length), fault.error)
FAILING(int, mkdir, (const char *path, mode_t mode), (path, mode), -1)
FAILING(int, flock, (int fd, int operation), (fd, operation), -1)
FAILING(int, eventfd, (unsigned count, int flags), (count, flags), -1)
FAILING(DIR *, fdopendir, (int fd), (fd), NULL)
FAILING(struct dirent *, readdir64, (DIR *stream), (stream), NULL)
FAILING(int, io_uring_queue_init, (unsigned entries, struct io_uring *ring, unsigned flags), (entries, ring, flags), -fault.error)
FAILING(int, io_uring_register_eventfd, (struct io_uring *ring, int fd), (ring, fd), -fault.error)
FAILING(int, io_uring_submit, (struct io_uring *ring), (ring), -fault.error)
FAILING(int, __io_uring_get_cqe, (struct io_uring *ring, struct io_uring_cqe **out, unsigned submit, unsigned wait, sigset_t *mask), (ring, out, submit, wait, mask), -fault.error)

int __real_openat64(int at, const char *path, int flags, ...);
int __wrap_openat64(int at, const char *path, int flags, ...);
int __wrap_openat64(int at, const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? (mode_t)va_arg(list, int) : 0;
    va_end(list);
    return fails() ? -1 : __real_openat64(at, path, flags, mode);
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...) /* directories are opened with it, none made */
{
    return fails() ? -1 : __real_open64(path, flags);
}

/* ---- */

static char directory[64], inner[96];
static uint8_t blocks[BIG] __attribute__((aligned(BLOCK))), back[BIG] __attribute__((aligned(BLOCK)));
static uint8_t generation; /* what is written this time */

static int open_count(void)
{
    int count = 0;
    for (int fd = 0; fd < 512; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static int begin(void **state)
{
    (void)state;
    fault_at(0, 0);
    is_short = false;
    strcpy(directory, "/tmp/dromio-disk-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(inner, sizeof inner, "%s/log", directory);
    return 0;
}

static int end(void **state)
{
    char command[128];
    (void)state;
    fault_at(0, 0);
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command);
}

static void see(void *context, const char *name)
{
    *(int *)context += strcmp(name, "file") == 0 || strcmp(name, "small") == 0 || strcmp(name, "other") == 0;
}

typedef struct said { /* what the disk said to have done */
    bool is_open, is_written, is_replaced, is_replaced_over, is_reserved, is_renamed, is_removed, is_listed, is_read, is_fetched;
    int completions;
} said;

static void write_one(disk *disk, int file, said *out)
{
    disk_completion done[4];
    memset(blocks, generation, BLOCK);
    if (disk->write_durable(disk, file, 0, blocks, BLOCK, TOKEN) != 0)
        return;
    int count;
    for (int tries = 0; tries < 3 && (count = disk->reap(disk, done, 4, true)) <= 0; tries++)
        continue; /* told to fail: once more */
    for (int i = 0; i < count; i++) {
        assert_int_equal(done[i].token, TOKEN); /* nobody else's */
        out->completions++;
        out->is_written = done[i].error == 0;
    }
    assert_int_equal(disk->reap(disk, done, 4, false), 0);
    assert_true(out->completions <= 1);
}

static void fetch_one(disk *disk, int file, size_t length, said *out)
{
    disk_fetched done[4];
    memset(back, 0xcc, length);
    out->is_fetched = false;
    if (disk->fetch(disk, file, 0, back, length, TOKEN) != 0)
        return;
    int count = 0;
    for (int tries = 0; tries < 4 && count <= 0; tries++) {
        if (disk->fetch_start(disk) == 0)
            count = disk->fetch_reap(disk, done, 4, true);
    }
    assert_true(count <= 1);
    if (count == 1 && done[0].result == (int64_t)length) {
        assert_int_equal(done[0].token, TOKEN);
        out->is_fetched = true;
        if (out->is_written)
            for (int i = 0; i < BLOCK; i++)
                assert_int_equal(back[i], generation);
    }
}

static said script(disk_way way)
{
    said out = { 0 };
    disk *disk;
    uint8_t small[100];
    int seen = 0;
    if (disk_open_directory_by(&disk, inner, way) != DRO_OK)
        return out;
    memset(small, generation, sizeof small);
    out.is_replaced = disk->replace(disk, "small", small, sizeof small) == 0;
    int file = disk->open(disk, "file", BYTES);
    out.is_open = file >= 0;
    if (out.is_open) {
        (void)disk->descriptor(disk);
        write_one(disk, file, &out);
        fetch_one(disk, file, BLOCK, &out);
        fetch_one(disk, file, BIG, &out);
        if (disk->size(disk, file) > 0 && disk->read(disk, file, 0, back, BIG) == BIG) {
            out.is_read = true;
            assert_true(!out.is_written || (back[0] == generation && back[BLOCK - 1] == generation));
        }
        disk->close(disk, file);
    }
    out.is_listed = disk->list(disk, see, &seen) == 0;
    out.is_renamed = disk->rename(disk, "small", "other") == 0;
    out.is_renamed = disk->rename(disk, "other", "small") == 0 && out.is_renamed;
    out.is_removed = disk->replace(disk, "gone", "x", 1) == 0 && disk->remove(disk, "gone") == 0;
    memset(small, generation, sizeof small);
    out.is_replaced_over = disk->replace_over(disk, "keys", small, sizeof small) == 0;
    out.is_replaced_over &= disk->replace_over(disk, "keys", small, sizeof small) == 0;
    out.is_reserved = disk->replace_reserved(disk, "epoch", small, sizeof small) == 0;
    out.is_reserved &= disk->replace_reserved(disk, "epoch", small, sizeof small) == 0;
    disk->free(disk);
    return out;
}

static void file_is(const char *name, size_t length, uint8_t byte, bool is_other_fine)
{
    char path[192];
    uint8_t bytes[BLOCK];
    snprintf(path, sizeof path, "%s/%s", inner, name);
    int fd = __real_open64(path, O_RDONLY);
    if (fd < 0 && is_other_fine)
        return;
    assert_true(fd >= 0);
    ssize_t got = __real_pread64(fd, bytes, sizeof bytes, 0);
    close(fd);
    assert_true(got == (ssize_t)length || (length == BLOCK && got >= BLOCK));
    for (size_t i = 1; i < length; i++)
        assert_int_equal(bytes[i], bytes[0]); /* one or the other, never some of both */
    if (!is_other_fine)
        assert_int_equal(bytes[0], byte);
}

/* The next one makes the file, and finds space for it. */
static void made_anew(void)
{
    char path[192];
    snprintf(path, sizeof path, "%s/file", inner);
    assert_int_equal(unlink(path), 0);
}

static void each_fault(disk_way way, int error)
{
    int before = open_count(), wrong = 0;
    for (int n = 1;; n++) {
        assert_true(n < CALLS_MAX);
        generation++;
        fault_at(n, error);
        said got = script(way);
        bool is_over = fault_is_past(n);
        assert_int_equal(open_count(), before);
        if (got.is_written)
            file_is("file", BLOCK, generation, false);
        if (got.is_replaced && got.is_renamed)
            file_is("small", 100, generation, false);
        else
            file_is("small", 100, generation, true);
        file_is("keys", 100, generation, !got.is_replaced_over);
        file_is("epoch", 100, generation, !got.is_reserved);
        if (is_over || error == EINTR)
            wrong += !(got.is_written && got.is_replaced && got.is_replaced_over && got.is_reserved && got.is_renamed && got.is_removed && got.is_listed && got.is_read && got.is_fetched);
        if (is_over)
            break;
        script(way); /* what it left does not stand in the way */
        made_anew();
    }
    if (error != EINTR)
        assert_int_equal(wrong, 0);
}

static void no_fault_makes_the_ring_lie(void **state)
{
    (void)state;
    each_fault(DISK_ANY, EIO);
    each_fault(DISK_ANY, ENOSPC);
    each_fault(DISK_RING_DIRECT, EIO);
}

static void no_fault_makes_blocking_writes_lie(void **state)
{
    (void)state;
    each_fault(DISK_SYNC, EIO);
    each_fault(DISK_SYNC, EINTR);
    is_short = true;
    each_fault(DISK_SYNC, EIO);
}

/* Found by failing each call: a probe whose completion could not be waited for left a write behind that nobody had asked for, and
 * its completion, without an error, was the first one that a log saw. */
static void a_probe_that_cannot_be_waited_for_leaves_no_completion(void **state)
{
    (void)state;
    each_fault(DISK_ANY, EINVAL);
    each_fault(DISK_ANY, EINTR);
}

static void a_directory_that_is_read_changes_nothing(void **state)
{
    disk *disk;
    disk_completion done;
    disk_fetched fetched;
    int seen = 0;
    (void)state;
    assert_int_equal(disk_read_directory(&disk, inner), DRO_NOT_FOUND);
    generation = 1;
    script(DISK_SYNC);
    for (int n = 1; n <= 2; n++) { /* no memory, no directory */
        fault_at(n, EACCES);
        assert_int_equal(disk_read_directory(&disk, inner), n == 1 ? DRO_NOMEM : DRO_IO);
        fault_at(0, 0);
    }
    assert_int_equal(disk_read_directory(&disk, inner), DRO_OK);
    assert_int_equal(disk->open(disk, "file", BLOCK), -EROFS);
    int file = disk->open(disk, "file", 0);
    assert_true(file >= 0);
    assert_int_equal(disk->read(disk, file, 0, back, BLOCK), BLOCK);
    assert_int_equal(disk->fetch(disk, file, 0, back, BLOCK, 1), -EROFS);
    assert_int_equal(disk->fetch_start(disk), 0);
    assert_int_equal(disk->fetch_reap(disk, &fetched, 1, false), 0);
    assert_int_equal(disk->reap(disk, &done, 1, false), 0);
    assert_int_equal(disk->descriptor(disk), -1);
    assert_int_equal(disk->replace(disk, "small", "x", 1), -EROFS);
    assert_int_equal(disk->replace_over(disk, "small", "x", 1), -EROFS);
    assert_int_equal(disk->replace_reserved(disk, "small", "x", 1), -EROFS);
    assert_int_equal(disk->rename(disk, "small", "other"), -EROFS);
    assert_int_equal(disk->remove(disk, "small"), -EROFS);
    assert_int_equal(disk->open(disk, "nothing", 0), -ENOENT);
    assert_int_equal(disk->list(disk, see, &seen), 0);
    assert_true(seen >= 2);
    disk->free(disk);
}

/* A kernel that is busy gets the fetch at the next start; any other refusal is told, and the fetch is not lost by it. */
static void a_start_that_is_refused_is_made_up_for(void **state)
{
    static const int errors[] = { EAGAIN, EBUSY, EIO };
    disk *disk;
    (void)state;
    dro_err err = disk_open_directory_by(&disk, inner, DISK_RING_DIRECT);
    if (err == DRO_UNSUPPORTED)
        skip();
    assert_int_equal(err, DRO_OK);
    memset(blocks, 0x5a, BLOCK);
    assert_int_equal(disk->replace(disk, "fetched", blocks, BLOCK), 0);
    int file = disk->open(disk, "fetched", 0);
    assert_true(file >= 0);
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        disk_fetched done[2];
        memset(back, 0, BLOCK);
        assert_int_equal(disk->fetch(disk, file, 0, back, BLOCK, TOKEN), 0);
        fault_at(1, errors[i]);
        assert_int_equal(disk->fetch_start(disk), errors[i] == EIO ? -EIO : 0);
        assert_true(fault.count == 1); /* it was refused */
        fault_at(0, 0);
        assert_int_equal(disk->fetch_reap(disk, done, 2, false), 0);
        assert_int_equal(disk->fetch_start(disk), 0);
        assert_int_equal(disk->fetch_reap(disk, done, 2, true), 1);
        assert_int_equal(done[0].token, TOKEN);
        assert_int_equal(done[0].result, BLOCK);
        assert_memory_equal(back, blocks, BLOCK);
    }
    disk->close(disk, file);
    disk->free(disk);
}

static void file_is_of(disk *disk, const char *name, int64_t length)
{
    int file = disk->open(disk, name, 0);
    assert_true(file >= 0);
    assert_int_equal(disk->size(disk, file), length);
    disk->close(disk, file);
}

/* More than a block is overwritten; what cannot be is told, and is no reason not to start. */
static void what_is_left_to_be_overwritten_is_looked_for_at_a_start(void **state)
{
    static uint8_t large[2 * BLOCK + 100];
    char path[192];
    disk *disk;
    (void)state;
    assert_int_equal(disk_open_directory_by(&disk, inner, DISK_SYNC), DRO_OK);
    assert_int_equal(disk->replace_over(disk, "keys", large, sizeof large), 0);
    assert_int_equal(disk->replace_over(disk, "keys", large, 10), 0);
    disk->free(disk);
    snprintf(path, sizeof path, "%s/.old-keys", inner);
    assert_int_equal(mkdir(path, 0700), 0); /* nobody's file */
    assert_int_equal(disk_open_directory_by(&disk, inner, DISK_SYNC), DRO_OK);
    disk->free(disk);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(symlink("nowhere", path), 0); /* nor is this one followed */
    assert_int_equal(disk_open_directory_by(&disk, inner, DISK_SYNC), DRO_OK);
    disk->free(disk);
}

/* A spare that is longer than its file, or no file at all. */
static void a_spare_that_is_not_as_it_should_be_is_put_right_or_told(void **state)
{
    char path[192];
    disk *disk;
    (void)state;
    assert_int_equal(disk_open_directory_by(&disk, inner, DISK_SYNC), DRO_OK);
    assert_int_equal(disk->replace(disk, ".epoch.spare", blocks, 200), 0);
    assert_int_equal(disk->replace_reserved(disk, "epoch", "new", 3), 0);
    file_is_of(disk, "epoch", 3);
    assert_int_equal(disk->replace_reserved(disk, "epoch", "one", 3), 0);
    file_is_of(disk, "epoch", 3);
    assert_int_equal(disk->remove(disk, ".epoch.spare"), 0);
    snprintf(path, sizeof path, "%s/.epoch.spare", inner);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_true(disk->replace_reserved(disk, "epoch", "two", 3) < 0);
    file_is_of(disk, "epoch", 3);
    disk->free(disk);
}

static void names_and_paths_too_long_are_refused(void **state)
{
    static char name[300], path[4200];
    disk *disk;
    (void)state;
    memset(name, 'n', sizeof name - 1);
    memset(path, 'p', sizeof path - 1);
    path[0] = '/';
    assert_int_equal(disk_open_directory(&disk, path), DRO_IO);
    assert_int_equal(disk_open_directory(&disk, inner), DRO_OK);
    assert_int_equal(disk->replace(disk, name, "x", 1), -ENAMETOOLONG);
    assert_int_equal(disk->replace_over(disk, name, "x", 1), -ENAMETOOLONG);
    assert_int_equal(disk->replace_reserved(disk, name, "x", 1), -ENAMETOOLONG);
    disk_completion done[DISK_WRITES_MAX];
    int file = disk->open(disk, "file", 64 * BLOCK), put = 0;
    assert_true(file >= 0);
    while (put < DISK_WRITES_MAX && disk->write_durable(disk, file, 0, blocks, BLOCK, (uint64_t)put) == 0)
        put++;
    assert_int_equal(put, DISK_WRITES_MAX);
    assert_int_equal(disk->write_durable(disk, file, 0, blocks, BLOCK, 0), -EAGAIN);
    for (int count = 0; count < put;)
        count += disk->reap(disk, done, DISK_WRITES_MAX, true);
    struct disk *second;
    assert_int_equal(disk_open_directory(&second, inner), DRO_EXISTS);
    disk->close(disk, file);
    disk->free(disk);
}

int main(void)
{
    dro_log_setup("test", DRO_LOG_NOTHING);
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        CLAIM(no_fault_makes_blocking_writes_lie), CLAIM(a_probe_that_cannot_be_waited_for_leaves_no_completion), CLAIM(no_fault_makes_the_ring_lie),
        CLAIM(a_directory_that_is_read_changes_nothing), CLAIM(names_and_paths_too_long_are_refused),
        CLAIM(a_start_that_is_refused_is_made_up_for),
        CLAIM(what_is_left_to_be_overwritten_is_looked_for_at_a_start), CLAIM(a_spare_that_is_not_as_it_should_be_is_put_right_or_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What a directory as disk says to be durable was flushed before it said so: every call to the system is watched, for what it leaves
 * in the page cache, and for names that only memory knows. A test that reads back cannot tell. */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/disk_directory.h"

enum { BLOCK = 4096, FDS_MAX = 512 };

static struct {
    bool is_cached[FDS_MAX]; /* written, and not synced since */
    int made, moved, gone;   /* names since a directory was last synced */
    int ring_writes;         /* given to a ring */
    int ring_cached;         /* of these, such as may complete before they are durable */
    bool is_early;           /* a file got its name, or was closed, before it was synced */
} seen;

static int failing; /* so many syncs from now one fails; 0: none does */

static bool fails(void)
{
    if (failing == 0 || --failing > 0)
        return false;
    errno = EIO;
    return true;
}

static bool is_regular(int fd)
{
    struct stat stat;
    return fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode);
}

static int written_fds(void)
{
    int count = 0;
    for (int fd = 0; fd < FDS_MAX; fd++)
        count += seen.is_cached[fd];
    return count;
}

static void writes(int fd)
{
    assert_true(fd < FDS_MAX);
    seen.is_cached[fd] = seen.is_cached[fd] || is_regular(fd);
}

static void syncs(int fd)
{
    if (is_regular(fd))
        seen.is_cached[fd] = false;
    else
        seen.made = seen.moved = seen.gone = 0;
}

ssize_t __real_write(int fd, const void *bytes, size_t length);
ssize_t __wrap_write(int fd, const void *bytes, size_t length);
ssize_t __wrap_write(int fd, const void *bytes, size_t length)
{
    writes(fd);
    return __real_write(fd, bytes, length);
}

ssize_t __real_pwrite64(int fd, const void *bytes, size_t length, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t length, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t length, off_t offset)
{
    writes(fd);
    return __real_pwrite64(fd, bytes, length, offset);
}

int __real_posix_fallocate64(int fd, off_t offset, off_t length);
int __wrap_posix_fallocate64(int fd, off_t offset, off_t length);
int __wrap_posix_fallocate64(int fd, off_t offset, off_t length)
{
    writes(fd);
    return __real_posix_fallocate64(fd, offset, length);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    if (fails())
        return -1;
    syncs(fd);
    return __real_fsync(fd);
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    if (fails())
        return -1;
    syncs(fd);
    return __real_fdatasync(fd);
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    if (fd >= 0 && fd < FDS_MAX && seen.is_cached[fd])
        seen.is_early = true;
    return __real_close(fd);
}

int __real_renameat(int from, const char *old, int to, const char *fresh);
int __wrap_renameat(int from, const char *old, int to, const char *fresh);
int __wrap_renameat(int from, const char *old, int to, const char *fresh)
{
    seen.is_early |= written_fds() > 0;
    seen.moved++;
    return __real_renameat(from, old, to, fresh);
}

int __real_unlinkat(int at, const char *name, int flags);
int __wrap_unlinkat(int at, const char *name, int flags);
int __wrap_unlinkat(int at, const char *name, int flags)
{
    seen.gone++;
    return __real_unlinkat(at, name, flags);
}

int __real_openat64(int at, const char *path, int flags, ...);
int __wrap_openat64(int at, const char *path, int flags, ...);
int __wrap_openat64(int at, const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? (mode_t)va_arg(list, int) : 0;
    va_end(list);
    seen.made += (flags & O_CREAT) != 0;
    return __real_openat64(at, path, flags, mode);
}

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring)
{
    for (unsigned at = ring->sq.sqe_head; at != ring->sq.sqe_tail; at++) {
        const struct io_uring_sqe *entry = &ring->sq.sqes[at & *ring->sq.kring_mask];
        bool is_write = entry->opcode == IORING_OP_WRITE || entry->opcode == IORING_OP_WRITEV || entry->opcode == IORING_OP_WRITE_FIXED;
        seen.ring_writes += is_write;
        seen.ring_cached += is_write && (entry->rw_flags & (RWF_DSYNC | RWF_SYNC)) == 0;
    }
    return __real_io_uring_submit(ring);
}

static char directory[64], inner[96];
static uint8_t block[BLOCK] __attribute__((aligned(BLOCK)));

static int begin(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/dromio-flush-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(inner, sizeof inner, "%s/log", directory);
    memset(&seen, 0, sizeof seen);
    failing = 0;
    return 0;
}

static int end(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command);
}

static void all_is_durable(void)
{
    assert_int_equal(written_fds(), 0);
    assert_int_equal(seen.ring_cached, 0);
    assert_int_equal(seen.made + seen.moved, 0);
    assert_false(seen.is_early);
}

static void each_way_of_writing(disk_way way)
{
    disk *disk;
    disk_completion done;
    assert_int_equal(disk_open_directory_by(&disk, inner, way), DRO_OK);
    memset(&seen, 0, sizeof seen); /* a probe is nothing that anybody was told of */
    int file = disk->open(disk, "segment", 16 * BLOCK);
    assert_true(file >= 0);
    all_is_durable();
    for (uint64_t n = 0; n < 4; n++) {
        assert_int_equal(disk->write_durable(disk, file, n * BLOCK, block, BLOCK, n), 0);
        assert_int_equal(disk->reap(disk, &done, 1, true), 1);
        assert_int_equal(done.error, 0);
        all_is_durable();
    }
    assert_true(way == DISK_SYNC || seen.ring_writes == 4 || strstr(disk_directory_way(disk), "io_uring") == NULL);
    disk->close(disk, file);
    assert_int_equal(disk->replace(disk, "small", block, 100), 0);
    all_is_durable();
    assert_int_equal(disk->replace_over(disk, "small", block, 200), 0);
    all_is_durable();
    assert_int_equal(disk->rename(disk, "small", "other"), 0);
    all_is_durable();
    seen.gone = 0;
    assert_int_equal(disk->remove(disk, "other"), 0);
    assert_int_equal(seen.gone, 0);
    disk->free(disk);
}

static void nothing_by_the_ring_is_told_before_it_is_flushed(void **state)
{
    (void)state;
    each_way_of_writing(DISK_ANY);
}

static void nothing_by_calls_is_told_before_it_is_flushed(void **state)
{
    (void)state;
    each_way_of_writing(DISK_SYNC);
}

/* And not tried again: the kernel has dropped what it could not write, and the next flush would say that all is well. */
static void a_flush_that_fails_is_told(void **state)
{
    disk *disk;
    disk_completion done;
    (void)state;
    assert_int_equal(disk_open_directory_by(&disk, inner, DISK_SYNC), DRO_OK);
    for (int n = 1; n <= 2; n++) { /* of the file, of its directory */
        failing = n;
        assert_true(disk->open(disk, "segment", BLOCK) < 0);
        failing = n;
        assert_true(disk->replace(disk, "small", block, 100) < 0);
        failing = n;
        assert_true(disk->replace_over(disk, "keys", block, 100) < 0);
        assert_int_equal(failing, 0);
    }
    int file = disk->open(disk, "segment", BLOCK);
    assert_true(file >= 0);
    failing = 1;
    assert_int_equal(disk->write_durable(disk, file, 0, block, BLOCK, 1), 0);
    assert_int_equal(disk->reap(disk, &done, 1, true), 1);
    assert_int_equal(done.error, EIO);
    disk->close(disk, file);
    assert_int_equal(disk->replace(disk, "small", block, 100), 0);
    failing = 1;
    assert_true(disk->rename(disk, "small", "other") < 0);
    failing = 1;
    assert_true(disk->remove(disk, "other") < 0);
    disk->free(disk);
}

int main(void)
{
    dro_log_setup("test", (dro_log_level)(DRO_LOG_ERROR + 1));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_by_the_ring_is_told_before_it_is_flushed, begin, end),
        cmocka_unit_test_setup_teardown(nothing_by_calls_is_told_before_it_is_flushed, begin, end),
        cmocka_unit_test_setup_teardown(a_flush_that_fails_is_told, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

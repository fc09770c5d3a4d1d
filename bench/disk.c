#include "bench/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool disk_measure(const char *directory, bench_result *r, const char *name)
{
    static histogram took;
    static const char block[DISK_WRITE_BYTES];
    char path[5000], member[64];
    took = (histogram){ 0 };
    snprintf(path, sizeof path, "%s/fsync", directory);
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool is_fine = descriptor >= 0 && posix_fallocate(descriptor, 0, DISK_WRITES * DISK_WRITE_BYTES) == 0 &&
                   fsync(descriptor) == 0;
    int64_t end = bench_now_ns() + DISK_MS * (int64_t)1000000;
    for (int i = 0; is_fine && i < DISK_WRITES && bench_now_ns() < end && !bench_is_interrupted(); i++) {
        int64_t begin = bench_now_ns();
        is_fine = pwrite(descriptor, block, sizeof block, (off_t)i * DISK_WRITE_BYTES) == DISK_WRITE_BYTES &&
                  fdatasync(descriptor) == 0;
        histogram_add(&took, (uint64_t)(bench_now_ns() - begin) / 1000);
    }
    if (!is_fine)
        bench_fail("%s: %s", path, strerror(errno));
    if (descriptor >= 0)
        close(descriptor);
    unlink(path);
    snprintf(member, sizeof member, "%s_p50_micros", name);
    bench_set_number(r, member, (double)histogram_at(&took, 0.5));
    snprintf(member, sizeof member, "%s_p99_micros", name);
    bench_set_number(r, member, (double)histogram_at(&took, 0.99));
    return is_fine;
}

/* ---- the page cache ---- */

enum { OPEN_MAX = 16, LOAD_BYTES = 1024 * 1024, LOOK_BYTES = 64 * 1024 * 1024 };

static struct { uint64_t bytes, cached; } seen; /* nftw hands nothing on */

static uint64_t cached_of(int descriptor, uint64_t offset, size_t length)
{
    static unsigned char pages[LOOK_BYTES / 4096];
    size_t page = (size_t)sysconf(_SC_PAGESIZE), count = (length + page - 1) / page, there = 0;
    void *at = mmap(NULL, length, PROT_READ, MAP_SHARED, descriptor, (off_t)offset);
    if (at == MAP_FAILED)
        return 0;
    if (mincore(at, length, pages) == 0)
        for (size_t i = 0; i < count; i++)
            there += pages[i] & 1;
    munmap(at, length);
    return there * page < length ? there * page : length;
}

static int look(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)place;
    int descriptor = type == FTW_F && S_ISREG(status->st_mode) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (descriptor < 0)
        return 0;
    uint64_t bytes = (uint64_t)status->st_size;
    for (uint64_t at = 0; at < bytes; at += LOOK_BYTES)
        seen.cached += cached_of(descriptor, at, (size_t)(bytes - at < LOOK_BYTES ? bytes - at : LOOK_BYTES));
    seen.bytes += bytes;
    close(descriptor);
    return 0;
}

double disk_cached(const char *directory)
{
    seen.bytes = seen.cached = 0;
    if (nftw(directory, look, OPEN_MAX, FTW_PHYS) != 0 || seen.bytes == 0)
        return -1;
    return (double)seen.cached / (double)seen.bytes;
}

static int forget(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)place;
    int descriptor = type == FTW_F && S_ISREG(status->st_mode) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (descriptor < 0)
        return 0;
    fdatasync(descriptor); /* what is dirty stays */
    posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
    close(descriptor);
    return 0;
}

void disk_forget(const char *directory)
{
    nftw(directory, forget, OPEN_MAX, FTW_PHYS);
}

static int load(const char *path, const struct stat *status, int type, struct FTW *place)
{
    static char bytes[LOAD_BYTES];
    (void)place;
    int descriptor = type == FTW_F && S_ISREG(status->st_mode) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (descriptor < 0)
        return 0;
    while (!bench_is_interrupted() && read(descriptor, bytes, sizeof bytes) > 0)
        continue;
    close(descriptor);
    return 0;
}

void disk_load(const char *directory)
{
    nftw(directory, load, OPEN_MAX, FTW_PHYS);
}

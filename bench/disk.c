#include "bench/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
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

#include "store/disk_reader.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#ifdef DROMIO_URING
#include <liburing.h>
#endif

struct disk_reader {
    bool has_ring;       /* else the reads block and `done` holds what they gave */
    int under_way;       /* put and not reaped */
    disk_fetched done[DISK_READS_MAX];
#ifdef DROMIO_URING
    struct io_uring ring;
#endif
};

/* ---- pread ---- */

static int sync_put(disk_reader *reader, int fd, uint64_t offset, void *buffer, size_t length, uint64_t token)
{
    ssize_t got;
    while ((got = pread(fd, buffer, length, (off_t)offset)) < 0 && errno == EINTR)
        continue;
    reader->done[reader->under_way++] = (disk_fetched){ token, got < 0 ? -errno : got };
    return 0;
}

static int sync_reap(disk_reader *reader, disk_fetched *done, int max)
{
    int count = reader->under_way < max ? reader->under_way : max;
    if (count == 0)
        return 0;
    memcpy(done, reader->done, (size_t)count * sizeof *done);
    reader->under_way -= count;
    memmove(reader->done, reader->done + count, (size_t)reader->under_way * sizeof *done);
    return count;
}

/* ---- io_uring ---- */

#ifdef DROMIO_URING
static int ring_put(disk_reader *reader, int fd, uint64_t offset, void *buffer, size_t length, uint64_t token)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&reader->ring);
    assert(entry != NULL); /* it has DISK_READS_MAX of them, and fewer are under way: disk_reader_put has seen it */
    io_uring_prep_read(entry, fd, buffer, (unsigned)length, offset);
    entry->user_data = token;
    reader->under_way++;
    return 0;
}

/* What the kernel does not take now stays in the ring and goes with the next call. */
static int ring_start(disk_reader *reader)
{
    int put = 0;
    while (io_uring_sq_ready(&reader->ring) > 0 && (put = io_uring_submit(&reader->ring)) == -EINTR)
        continue;
    return put < 0 && put != -EAGAIN && put != -EBUSY ? put : 0;
}

static int ring_reap(disk_reader *reader, disk_fetched *done, int max, bool wait)
{
    struct io_uring_cqe *entry;
    int count = 0;
    while (reader->under_way > 0 && count < max) {
        int error = io_uring_peek_cqe(&reader->ring, &entry);
        if (error != 0 && wait && count == 0)
            error = io_uring_wait_cqe(&reader->ring, &entry);
        if (error == -EINTR)
            continue;
        if (error != 0)
            return count > 0 || error == -EAGAIN ? count : error;
        done[count++] = (disk_fetched){ entry->user_data, entry->res };
        io_uring_cqe_seen(&reader->ring, entry);
        reader->under_way--;
    }
    return count;
}

static int ring_open(disk_reader *reader, disk_writer *writer)
{
    int error = io_uring_queue_init(DISK_READS_MAX, &reader->ring, 0);
    if (error < 0)
        return error;
    error = io_uring_register_eventfd(&reader->ring, disk_writer_descriptor(writer));
    if (error != 0)
        io_uring_queue_exit(&reader->ring);
    return error;
}

static void ring_close(disk_reader *reader)
{
    disk_fetched done[DISK_READS_MAX];
    while (ring_start(reader) == 0 && ring_reap(reader, done, DISK_READS_MAX, true) > 0)
        continue;
    io_uring_queue_exit(&reader->ring);
}
#else
static int ring_put(disk_reader *reader, int fd, uint64_t offset, void *buffer, size_t length, uint64_t token)
{
    (void)reader, (void)fd, (void)offset, (void)buffer, (void)length, (void)token;
    return -ENOSYS;
}
static int ring_start(disk_reader *reader)
{
    (void)reader;
    return -ENOSYS;
}
static int ring_reap(disk_reader *reader, disk_fetched *done, int max, bool wait)
{
    (void)reader, (void)done, (void)max, (void)wait;
    return -ENOSYS;
}
static int ring_open(disk_reader *reader, disk_writer *writer)
{
    (void)reader, (void)writer;
    return -ENOSYS;
}
static void ring_close(disk_reader *reader)
{
    (void)reader;
}
#endif

/* ---- both ---- */

dro_err disk_reader_new(disk_reader **out, disk_writer *writer)
{
    disk_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return DRO_NOMEM;
    int error = disk_writer_is_direct(writer) ? ring_open(reader, writer) : -ENOSYS;
    reader->has_ring = error == 0;
    if (error != 0 && error != -ENOSYS)
        dro_warn("disk no-ring error=\"%s\" \"contexts that are not in memory are read with pread, which blocks\"", strerror(-error));
    *out = reader;
    return DRO_OK;
}

void disk_reader_free(disk_reader *reader)
{
    if (reader == NULL)
        return;
    if (reader->has_ring)
        ring_close(reader);
    free(reader);
}

bool disk_reader_blocks_nobody(const disk_reader *reader)
{
    return reader->has_ring;
}

int disk_reader_put(disk_reader *reader, int fd, uint64_t offset, void *buffer, size_t length, uint64_t token)
{
    if (reader->under_way == DISK_READS_MAX)
        return -EAGAIN;
    return reader->has_ring ? ring_put(reader, fd, offset, buffer, length, token)
                            : sync_put(reader, fd, offset, buffer, length, token);
}

int disk_reader_start(disk_reader *reader)
{
    return reader->has_ring ? ring_start(reader) : 0;
}

int disk_reader_reap(disk_reader *reader, disk_fetched *done, int max, bool wait)
{
    return reader->has_ring ? ring_reap(reader, done, max, wait) : sync_reap(reader, done, max);
}

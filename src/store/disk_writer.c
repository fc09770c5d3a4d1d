#include "store/disk_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/log.h"

#ifdef DROMIO_URING
#include <liburing.h>
#endif

static const char probe_name[] = ".probe";
enum { PROBE_BYTES = 4096 };

struct write {
    bool is_under_way;
    size_t length;
    uint64_t token;
};

struct disk_writer {
    bool is_direct; /* by the ring; else the calls below block and `done` holds what they gave */
    int event;      /* readable when completions wait */
    bool may_be_readable;
    int under_way;  /* put and not reaped */
    struct write writes[DISK_WRITES_MAX];
    disk_completion done[DISK_WRITES_MAX];
#ifdef DROMIO_URING
    struct io_uring ring;
#endif
};

static void event_clear(disk_writer *writer)
{
    uint64_t count;
    ssize_t got = read(writer->event, &count, sizeof count);
    (void)got; /* EAGAIN: nothing was signalled */
}

/* ---- pwrite and fdatasync ---- */

static int write_and_sync(int fd, uint64_t offset, const void *buffer, size_t length)
{
    size_t done = 0;
    while (done < length) {
        ssize_t put = pwrite(fd, (const uint8_t *)buffer + done, length - done, (off_t)(offset + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? errno : EIO;
        done += (size_t)put;
    }
    return fdatasync(fd) == 0 ? 0 : errno;
}

static int sync_put(disk_writer *writer, int fd, uint64_t offset, const void *buffer, size_t length, uint64_t token)
{
    int error = write_and_sync(fd, offset, buffer, length);
    writer->done[writer->under_way++] = (disk_completion){ token, error };
    uint64_t one = 1;
    ssize_t put = write(writer->event, &one, sizeof one);
    (void)put; /* it cannot overflow */
    writer->may_be_readable = true;
    return 0;
}

static int sync_reap(disk_writer *writer, disk_completion *done, int max)
{
    int count = writer->under_way < max ? writer->under_way : max;
    if (writer->may_be_readable)
        event_clear(writer);
    writer->may_be_readable = false;
    if (count == 0)
        return 0;
    memcpy(done, writer->done, (size_t)count * sizeof *done);
    writer->under_way -= count;
    memmove(writer->done, writer->done + count, (size_t)writer->under_way * sizeof *done);
    return count;
}

/* ---- io_uring ---- */

#ifdef DROMIO_URING
static int ring_put(disk_writer *writer, int fd, uint64_t offset, const void *buffer, size_t length, uint64_t token)
{
    unsigned slot = 0;
    while (writer->writes[slot].is_under_way)
        slot++; /* disk_writer_put has seen that one is free */
    struct io_uring_sqe *entry = io_uring_get_sqe(&writer->ring);
    if (entry == NULL)
        return -EAGAIN;
    io_uring_prep_write(entry, fd, buffer, (unsigned)length, offset);
    entry->rw_flags = RWF_DSYNC;
    entry->user_data = slot;
    int put;
    while ((put = io_uring_submit(&writer->ring)) == -EINTR)
        continue;
    if (put != 1) /* the entry stays in the ring and might still start: this ring is of no more use */
        return put < 0 ? put : -EIO;
    writer->writes[slot] = (struct write){ true, length, token };
    writer->under_way++;
    writer->may_be_readable = true;
    return 0;
}

static int ring_collect(disk_writer *writer, disk_completion *done, int max)
{
    struct io_uring_cqe *entry;
    int count = 0;
    while (count < max && io_uring_peek_cqe(&writer->ring, &entry) == 0) {
        struct write *write = &writer->writes[entry->user_data];
        int error = entry->res < 0 ? -entry->res : (size_t)entry->res != write->length ? EIO : 0;
        done[count++] = (disk_completion){ write->token, error };
        write->is_under_way = false;
        writer->under_way--;
        io_uring_cqe_seen(&writer->ring, entry);
    }
    return count;
}

/* The event is cleared before completions are looked for, so that one which comes
 * in between is seen now or signals again. After the last one it is cleared once
 * more: the kernel signals after it has made a completion visible. */
static int ring_reap(disk_writer *writer, disk_completion *done, int max, bool wait)
{
    if (!writer->may_be_readable)
        return 0;
    bool was_idle = writer->under_way == 0;
    event_clear(writer);
    int count = ring_collect(writer, done, max);
    while (count == 0 && wait && writer->under_way > 0) {
        struct io_uring_cqe *entry;
        int error = io_uring_wait_cqe(&writer->ring, &entry);
        if (error < 0 && error != -EINTR)
            return error;
        count = ring_collect(writer, done, max);
    }
    writer->may_be_readable = !was_idle;
    return count;
}

/* One write in the way that all will go. A disk that is full took it that way too. */
static int ring_probe(disk_writer *writer, int directory)
{
    void *block;
    if (posix_memalign(&block, PROBE_BYTES, PROBE_BYTES) != 0)
        return -ENOMEM;
    memset(block, 0, PROBE_BYTES);
    int fd = openat(directory, probe_name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_DIRECT, 0600);
    int error = fd < 0 ? -errno : ring_put(writer, fd, 0, block, PROBE_BYTES, 0);
    disk_completion done;
    if (error == 0) {
        int count = ring_reap(writer, &done, 1, true);
        error = count != 1 ? -EIO : done.error == ENOSPC || done.error == EDQUOT ? 0 : -done.error;
    }
    if (fd >= 0)
        close(fd);
    unlinkat(directory, probe_name, 0);
    free(block);
    return error;
}

static int ring_start(disk_writer *writer, int directory)
{
    int error = io_uring_queue_init(DISK_WRITES_MAX, &writer->ring, 0);
    if (error < 0)
        return error;
    error = io_uring_register_eventfd(&writer->ring, writer->event);
    if (error == 0)
        error = ring_probe(writer, directory);
    if (error != 0) {
        io_uring_queue_exit(&writer->ring);
        writer->under_way = 0; /* the probe's own: nobody waits for it */
    }
    return error;
}

static void ring_stop(disk_writer *writer)
{
    disk_completion done[DISK_WRITES_MAX];
    while (writer->under_way > 0 && ring_reap(writer, done, DISK_WRITES_MAX, true) > 0)
        continue;
    io_uring_queue_exit(&writer->ring);
}
#else
static int ring_put(disk_writer *writer, int fd, uint64_t offset, const void *buffer, size_t length, uint64_t token)
{
    (void)writer, (void)fd, (void)offset, (void)buffer, (void)length, (void)token;
    return -ENOSYS;
}
static int ring_reap(disk_writer *writer, disk_completion *done, int max, bool wait)
{
    (void)writer, (void)done, (void)max, (void)wait;
    return -ENOSYS;
}
static int ring_start(disk_writer *writer, int directory)
{
    (void)writer, (void)directory;
    return -ENOSYS;
}
static void ring_stop(disk_writer *writer)
{
    (void)writer;
}
#endif

/* ---- both ---- */

dro_err disk_writer_new(disk_writer **out, int directory, disk_way way)
{
    disk_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return DRO_NOMEM;
    writer->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = writer->event < 0 ? -errno : way == DISK_SYNC ? 0 : ring_start(writer, directory);
    writer->is_direct = error == 0 && way != DISK_SYNC;
    if (writer->event < 0 || (error != 0 && way == DISK_RING_DIRECT)) {
        disk_writer_free(writer);
        return way == DISK_RING_DIRECT ? DRO_UNSUPPORTED : DRO_IO;
    }
    if (error != 0)
        dro_warn("disk no-ring error=\"%s\" \"writes block: pwrite and fdatasync\"", strerror(-error));
    writer->may_be_readable = false;
    event_clear(writer);
    *out = writer;
    return DRO_OK;
}

void disk_writer_free(disk_writer *writer)
{
    if (writer == NULL)
        return;
    if (writer->is_direct)
        ring_stop(writer);
    if (writer->event >= 0)
        close(writer->event);
    free(writer);
}

bool disk_writer_is_direct(const disk_writer *writer)
{
    return writer->is_direct;
}

int disk_writer_put(disk_writer *writer, int fd, uint64_t offset, const void *buffer, size_t length, uint64_t token)
{
    if (writer->under_way == DISK_WRITES_MAX)
        return -EAGAIN;
    return writer->is_direct ? ring_put(writer, fd, offset, buffer, length, token)
                             : sync_put(writer, fd, offset, buffer, length, token);
}

int disk_writer_reap(disk_writer *writer, disk_completion *done, int max, bool wait)
{
    return writer->is_direct ? ring_reap(writer, done, max, wait) : sync_reap(writer, done, max);
}

int disk_writer_descriptor(disk_writer *writer)
{
    writer->may_be_readable = true;
    return writer->event;
}

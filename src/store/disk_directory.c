#include "store/disk_directory.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "store/disk_reader.h"

#define OLD_PREFIX ".old-" /* of files to be overwritten */

enum {
    FILES_MAX = 4096,      /* open at once */
    NAME_BYTES_MAX = 255,
    FILE_MODE = 0600,
    DIRECTORY_MODE = 0700,
    BLOCK = 4096,
    BIG = 256 * 1024,      /* a read from here on is one of a whole file */
    READ_AHEAD = 16 * 1024 * 1024,
};

struct file {
    int reader; /* through the page cache; -1: the slot is free */
    int writer; /* as the writer wants it; -1: opened for reading only */
    int direct; /* past the page cache, to read; NOT_YET, or -1: that cannot be */
    char *name; /* owned */
};
enum { NOT_YET = -2 };
static const struct file no_file = { .reader = -1, .writer = -1, .direct = -1 };

typedef struct disk_directory {
    disk disk;
    int directory;
    disk_writer *writer;
    disk_reader *reader;
    struct file *files;
    int file_count;
} disk_directory;

static disk_directory *of(disk *self)
{
    return (disk_directory *)self;
}

/* ---- files ---- */

static int slot_find(disk_directory *here)
{
    for (int i = 0; i < here->file_count; i++)
        if (here->files[i].reader < 0)
            return i;
    if (here->file_count == FILES_MAX)
        return -EMFILE;
    int more = here->file_count == 0 ? 16 : here->file_count * 2;
    struct file *files = realloc(here->files, (size_t)more * sizeof *files);
    if (files == NULL)
        return -ENOMEM;
    for (int i = here->file_count; i < more; i++)
        files[i] = no_file;
    int slot = here->file_count;
    here->files = files;
    here->file_count = more;
    return slot;
}

/* Allocates so that later writes change no size and find their room: a full disk
 * shows here, not in the middle of a round. */
static int allocate(disk_directory *here, int fd, uint64_t bytes)
{
    struct stat stat;
    if (fstat(fd, &stat) != 0)
        return -errno;
    if ((uint64_t)stat.st_size < bytes) {
        int error = posix_fallocate(fd, 0, (off_t)bytes);
        if (error != 0)
            return -error;
    }
    if (fsync(fd) != 0 || fsync(here->directory) != 0)
        return -errno;
    return 0;
}

static int directory_open(disk *self, const char *name, uint64_t bytes)
{
    disk_directory *here = of(self);
    int slot = slot_find(here);
    if (slot < 0)
        return slot;
    struct file *file = &here->files[slot];
    int error = 0;
    if (bytes > 0 && here->writer == NULL)
        return -EROFS;
    if (bytes > 0) {
        int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (disk_writer_is_direct(here->writer) ? O_DIRECT : 0);
        file->writer = openat(here->directory, name, flags, FILE_MODE);
        error = file->writer < 0 ? -errno : allocate(here, file->writer, bytes);
    }
    if (error == 0) {
        file->reader = openat(here->directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        error = file->reader < 0 ? -errno : 0;
    }
    if (error == 0) {
        file->direct = NOT_YET;
        file->name = strdup(name); /* without it no big read is direct */
        return slot;
    }
    if (file->writer >= 0)
        close(file->writer);
    *file = no_file;
    return error;
}

static struct file *file_at(disk_directory *here, int file)
{
    assert(file >= 0 && file < here->file_count && here->files[file].reader >= 0);
    return &here->files[file];
}

static void directory_close(disk *self, int file)
{
    struct file *at = file_at(of(self), file);
    close(at->reader);
    if (at->writer >= 0)
        close(at->writer);
    if (at->direct >= 0)
        close(at->direct);
    free(at->name);
    *at = no_file;
}

static int64_t directory_size(disk *self, int file)
{
    struct stat stat;
    return fstat(file_at(of(self), file)->reader, &stat) == 0 ? (int64_t)stat.st_size : -errno;
}

/* ---- reading ---- */

/* Whole files are read in big pieces: the next ones are asked for while somebody works on this one. */
static void read_ahead(int fd, uint64_t offset, size_t length)
{
    if (length < BIG)
        return;
    if (offset == 0)
        posix_fadvise(fd, 0, READ_AHEAD, POSIX_FADV_WILLNEED);
    else
        posix_fadvise(fd, (off_t)(offset + READ_AHEAD - length), (off_t)length, POSIX_FADV_WILLNEED);
}

static bool is_same_file(int a, int b)
{
    struct stat of_a, of_b;
    return fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

/* The file past the page cache, opened when it is first wanted. */
static int direct_of(const disk_directory *here, struct file *file)
{
    if (file->direct != NOT_YET)
        return file->direct;
    file->direct = -1;
    if (file->name == NULL || !disk_reader_blocks_nobody(here->reader))
        return -1;
    int fd = openat(here->directory, file->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_DIRECT);
    if (fd >= 0 && is_same_file(fd, file->reader))
        file->direct = fd;
    else if (fd >= 0) /* renamed meanwhile */
        close(fd);
    return file->direct;
}

static bool is_whole_blocks(uint64_t offset, const void *buffer, size_t length)
{
    return offset % BLOCK == 0 && length % BLOCK == 0 && (uintptr_t)buffer % BLOCK == 0;
}

static int64_t directory_read(disk *self, int file, uint64_t offset, void *buffer, size_t length)
{
    int fd = file_at(of(self), file)->reader;
    size_t done = 0;
    read_ahead(fd, offset, length);
    while (done < length) {
        ssize_t got = pread(fd, (uint8_t *)buffer + done, length - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

static int directory_write_durable(disk *self, int file, uint64_t offset, const void *buffer, size_t length, uint64_t token)
{
    struct file *at = file_at(of(self), file);
    assert(at->writer >= 0 && is_whole_blocks(offset, buffer, length));
    return disk_writer_put(of(self)->writer, at->writer, offset, buffer, length, token);
}

static int directory_reap(disk *self, disk_completion *done, int max, bool wait)
{
    return of(self)->writer == NULL ? 0 : disk_writer_reap(of(self)->writer, done, max, wait);
}

static int directory_fetch(disk *self, int file, uint64_t offset, void *buffer, size_t length, uint64_t token)
{
    disk_directory *here = of(self);
    struct file *at = file_at(here, file);
    if (here->reader == NULL)
        return -EROFS;
    int fd = length >= BIG && is_whole_blocks(offset, buffer, length) ? direct_of(here, at) : -1;
    if (fd < 0) {
        fd = at->reader;
        read_ahead(fd, offset, length);
    }
    return disk_reader_put(here->reader, fd, offset, buffer, length, token);
}

static int directory_fetch_start(disk *self)
{
    return of(self)->reader == NULL ? 0 : disk_reader_start(of(self)->reader);
}

static int directory_fetch_reap(disk *self, disk_fetched *done, int max, bool wait)
{
    return of(self)->reader == NULL ? 0 : disk_reader_reap(of(self)->reader, done, max, wait);
}

static int directory_descriptor(disk *self)
{
    return of(self)->writer == NULL ? -1 : disk_writer_descriptor(of(self)->writer);
}

/* ---- names ---- */

static int write_whole(int fd, const void *bytes, size_t length)
{
    size_t done = 0;
    while (done < length) {
        ssize_t put = write(fd, (const uint8_t *)bytes + done, length - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? -errno : -EIO;
        done += (size_t)put;
    }
    return fsync(fd) == 0 ? 0 : -errno;
}

static int directory_replace(disk *self, const char *name, const void *bytes, size_t length)
{
    disk_directory *here = of(self);
    char fresh[NAME_BYTES_MAX + 1];
    if (here->writer == NULL)
        return -EROFS;
    if (snprintf(fresh, sizeof fresh, ".%s.new", name) >= (int)sizeof fresh)
        return -ENAMETOOLONG;
    int fd = openat(here->directory, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (fd < 0)
        return -errno;
    int error = write_whole(fd, bytes, length);
    close(fd); /* it is synced: nothing can be lost any more */
    if (error == 0 && (renameat(here->directory, fresh, here->directory, name) != 0 || fsync(here->directory) != 0))
        error = -errno;
    if (error != 0)
        unlinkat(here->directory, fresh, 0); /* gone already if it was the fsync that failed */
    return error;
}

/* Written where its blocks are already: the spare is nobody's till it has the name. -errno or 0. */
static int spare_write(disk_directory *here, const char *spare, const void *bytes, size_t length)
{
    struct stat stat = { 0 };
    int fd = openat(here->directory, spare, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (fd < 0)
        return -errno;
    int error = fstat(fd, &stat) != 0 ? -errno : stat.st_size > (off_t)length && ftruncate(fd, (off_t)length) != 0 ? -errno : write_whole(fd, bytes, length);
    bool is_kept = error == 0 || stat.st_size == (off_t)length;
    close(fd);
    if (!is_kept)
        unlinkat(here->directory, spare, 0);
    return error;
}

/* False: there is no file of that name yet, or the file system does not know how. */
static bool names_change(disk_directory *here, const char *spare, const char *name)
{
    return renameat2(here->directory, spare, here->directory, name, RENAME_EXCHANGE) == 0;
}

static int directory_replace_reserved(disk *self, const char *name, const void *bytes, size_t length)
{
    disk_directory *here = of(self);
    char spare[NAME_BYTES_MAX + 1];
    if (here->writer == NULL)
        return -EROFS;
    if (snprintf(spare, sizeof spare, ".%s.spare", name) >= (int)sizeof spare)
        return -ENAMETOOLONG;
    int error = spare_write(here, spare, bytes, length);
    bool is_spent = error == 0 && !names_change(here, spare, name);
    if (is_spent && renameat(here->directory, spare, here->directory, name) != 0)
        error = -errno;
    if (error == 0 && fsync(here->directory) != 0)
        error = -errno;
    if (error == 0 && is_spent && (spare_write(here, spare, bytes, length) != 0 || fsync(here->directory) != 0))
        dro_warn("disk no-spare file=%s \"with a full disk it cannot be replaced\"", name);
    return error;
}

/* The blocks of a file that has no other name: -errno or 0. */
static int overwrite(int directory, const char *name)
{
    static const uint8_t zeros[4096];
    struct stat stat = { 0 };
    int fd = openat(directory, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    int error = fstat(fd, &stat) != 0 ? -errno : 0;
    for (off_t at = 0; error == 0 && stat.st_nlink == 1 && at < stat.st_size; at += (off_t)sizeof zeros) {
        size_t part = stat.st_size - at < (off_t)sizeof zeros ? (size_t)(stat.st_size - at) : sizeof zeros;
        ssize_t put = pwrite(fd, zeros, part, at);
        if (put != (ssize_t)part)
            error = put < 0 ? -errno : -EIO;
    }
    if (error == 0 && fsync(fd) != 0)
        error = -errno;
    close(fd);
    return error;
}

/* The old one keeps another name till it is overwritten: whenever the power goes, the next start finds it by that
 * (olds_end). While both names are of one file, it is not overwritten. */
static int old_end(disk_directory *here, const char *old)
{
    int error = overwrite(here->directory, old);
    if (error == -ENOENT)
        return 0;
    return error == 0 && unlinkat(here->directory, old, 0) == 0 ? 0 : error != 0 ? error : -errno;
}

static int directory_replace_over(disk *self, const char *name, const void *bytes, size_t length)
{
    disk_directory *here = of(self);
    char old[NAME_BYTES_MAX + 1];
    if (here->writer == NULL)
        return -EROFS;
    if (snprintf(old, sizeof old, OLD_PREFIX "%s", name) >= (int)sizeof old)
        return -ENAMETOOLONG;
    int error = old_end(here, old);
    if (error == 0 && linkat(here->directory, name, here->directory, old, 0) != 0 && errno != ENOENT)
        error = -errno;
    if (error == 0)
        error = directory_replace(self, name, bytes, length);
    int ended = old_end(here, old);
    if (ended != 0)
        dro_warn("disk not-overwritten file=%s error=\"%s\" \"the next start tries again\"", name, strerror(-ended));
    return error;
}

static void olds_end(disk_directory *here)
{
    int fd = openat(here->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    while (stream != NULL && (entry = readdir(stream)) != NULL)
        if (strncmp(entry->d_name, OLD_PREFIX, strlen(OLD_PREFIX)) == 0 && old_end(here, entry->d_name) != 0)
            dro_warn("disk not-overwritten file=%s", entry->d_name);
    if (stream != NULL)
        closedir(stream);
    else if (fd >= 0)
        close(fd);
}

static int directory_rename(disk *self, const char *from, const char *to)
{
    int fd = of(self)->directory;
    if (of(self)->writer == NULL)
        return -EROFS;
    return renameat(fd, from, fd, to) == 0 && fsync(fd) == 0 ? 0 : -errno;
}

static int directory_remove(disk *self, const char *name)
{
    int fd = of(self)->directory;
    if (of(self)->writer == NULL)
        return -EROFS;
    return unlinkat(fd, name, 0) == 0 && fsync(fd) == 0 ? 0 : -errno;
}

static int directory_list(disk *self, void (*each)(void *context, const char *name), void *context)
{
    int fd = openat(of(self)->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (stream == NULL) {
        int error = -errno;
        if (fd >= 0)
            close(fd);
        return error;
    }
    struct dirent *entry;
    errno = 0;
    while ((entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] != '.')
            each(context, entry->d_name);
        errno = 0;
    }
    int error = -errno;
    closedir(stream);
    return error;
}

static void directory_free(disk *self)
{
    disk_directory *here = of(self);
    disk_reader_free(here->reader);
    disk_writer_free(here->writer);
    for (int i = 0; i < here->file_count; i++)
        if (here->files[i].reader >= 0)
            directory_close(self, i);
    free(here->files);
    if (here->directory >= 0)
        close(here->directory);
    free(here);
}

/* ---- opening ---- */

static const disk directory_disk = {
    .open = directory_open,
    .close = directory_close,
    .size = directory_size,
    .read = directory_read,
    .write_durable = directory_write_durable,
    .reap = directory_reap,
    .fetch = directory_fetch,
    .fetch_start = directory_fetch_start,
    .fetch_reap = directory_fetch_reap,
    .replace = directory_replace,
    .replace_reserved = directory_replace_reserved,
    .replace_over = directory_replace_over,
    .rename = directory_rename,
    .remove = directory_remove,
    .list = directory_list,
    .descriptor = directory_descriptor,
    .free = directory_free,
};

/* The directory itself has to survive too: its parent is synced when it was made. */
static int directory_make(const char *path)
{
    if (mkdir(path, DIRECTORY_MODE) != 0)
        return errno == EEXIST ? 0 : -errno;
    char parent[4096];
    if (snprintf(parent, sizeof parent, "%s/..", path) >= (int)sizeof parent)
        return -ENAMETOOLONG;
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = fsync(fd) == 0 ? 0 : -errno;
    close(fd);
    return error;
}

static dro_err take(disk_directory *here, const char *path)
{
    int error = directory_make(path);
    if (error == 0) {
        here->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        error = here->directory < 0 ? -errno : 0;
    }
    if (error != 0) {
        dro_error("disk cannot-open directory=%s error=\"%s\"", path, strerror(-error));
        return DRO_IO;
    }
    if (flock(here->directory, LOCK_EX | LOCK_NB) != 0) {
        dro_error("disk in-use directory=%s \"another process has it open\"", path);
        return DRO_EXISTS;
    }
    return DRO_OK;
}

dro_err disk_open_directory_by(disk **out, const char *directory, disk_way way)
{
    disk_directory *here = calloc(1, sizeof *here);
    if (here == NULL)
        return DRO_NOMEM;
    here->disk = directory_disk;
    here->directory = -1;
    dro_err err = take(here, directory);
    if (err == DRO_OK)
        err = disk_writer_new(&here->writer, here->directory, way);
    if (err == DRO_OK)
        err = disk_reader_new(&here->reader, here->writer);
    if (err == DRO_OK)
        olds_end(here);
    if (err != DRO_OK) {
        directory_free(&here->disk);
        return err;
    }
    *out = &here->disk;
    return DRO_OK;
}

dro_err disk_read_directory(disk **out, const char *directory)
{
    disk_directory *here = calloc(1, sizeof *here);
    if (here == NULL)
        return DRO_NOMEM;
    here->disk = directory_disk;
    here->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (here->directory >= 0) {
        *out = &here->disk;
        return DRO_OK;
    }
    int error = errno;
    directory_free(&here->disk);
    if (error == ENOENT)
        return DRO_NOT_FOUND;
    dro_error("disk cannot-open directory=%s error=\"%s\"", directory, strerror(error));
    return DRO_IO;
}

dro_err disk_open_directory(disk **out, const char *directory)
{
    dro_err err = disk_open_directory_by(out, directory, DISK_ANY);
    if (err == DRO_OK)
        dro_info("disk open directory=%s writes=\"%s\"", directory, disk_directory_way(*out));
    return err;
}

const char *disk_directory_way(const disk *self)
{
    return disk_writer_is_direct(((const disk_directory *)self)->writer) ? "io_uring, O_DIRECT" : "pwrite, fdatasync";
}

#include "ledger/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

static int directory_of(const files *files)
{
    return ((const files_directory *)files)->directory;
}

static int open_file(files *files, const char *name)
{
    int file = openat(directory_of(files), name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return file >= 0 ? file : -errno;
}

static int find_file(files *files, const char *name)
{
    int file = openat(directory_of(files), name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return file >= 0 ? file : -errno;
}

static void close_file(files *files, int file)
{
    (void)files;
    close(file);
}

static int64_t size_of(files *files, int file)
{
    (void)files;
    struct stat status;
    return fstat(file, &status) == 0 ? status.st_size : -errno;
}

static int64_t read_file(files *files, int file, uint64_t offset, void *bytes, size_t length)
{
    (void)files;
    size_t done = 0;
    while (done < length) {
        ssize_t n = pread(file, (char *)bytes + done, length - done, (off_t)(offset + done));
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            break;
        done += n > 0 ? (size_t)n : 0;
    }
    return (int64_t)done;
}

static int write_file(files *files, int file, uint64_t offset, const void *bytes, size_t length)
{
    (void)files;
    for (size_t done = 0; done < length;) {
        ssize_t n = pwrite(file, (const char *)bytes + done, length - done, (off_t)(offset + done));
        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int truncate_file(files *files, int file, uint64_t length)
{
    (void)files;
    return ftruncate(file, (off_t)length) == 0 ? 0 : -errno;
}

static int sync_file(files *files, int file)
{
    (void)files;
    return fdatasync(file) == 0 ? 0 : -errno;
}

static int rename_file(files *files, const char *from, const char *to)
{
    int directory = directory_of(files);
    return renameat(directory, from, directory, to) == 0 ? 0 : -errno;
}

static int sync_names(files *files)
{
    return fsync(directory_of(files)) == 0 ? 0 : -errno;
}

static int list_files(files *files, void (*each)(void *context, const char *name), void *context)
{
    int copy = openat(directory_of(files), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    if (directory == NULL) {
        int error = errno;
        if (copy >= 0)
            close(copy);
        return -error;
    }
    errno = 0;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL; errno = 0)
        each(context, entry->d_name);
    int error = errno;
    closedir(directory);
    return -error;
}

dro_err files_directory_open(files_directory *made, const char *path)
{
    *made = (files_directory){ .files = { open_file, find_file, close_file, size_of, read_file, write_file, truncate_file, sync_file,
                                          rename_file, sync_names, list_files }, .directory = -1 };
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        dro_error("%s cannot be made: %m", path);
        return DRO_IO;
    }
    made->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (made->directory >= 0)
        return DRO_OK;
    dro_error("%s cannot be opened: %m", path);
    return DRO_IO;
}

#include "core/vault_master.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/wipe.h"

enum {
    PATH_BYTES_MAX = 4096,
    MODE_OF_OTHERS = 077,
};

static dro_err told(const char *path, const char *what)
{
    dro_error("vault cannot-%s file=%s error=\"%s\"", what, path, strerror(errno));
    return DRO_IO;
}

/* systemd gives a credential to one user by an access list, whose mask stands where the group's bits are. */
static bool is_credential(const char *path)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    size_t length = directory != NULL ? strlen(directory) : 0;
    return length > 0 && strncmp(path, directory, length) == 0 && path[length] == '/';
}

static dro_err check_mode(int fd, const char *path)
{
    struct stat stat;
    if (fstat(fd, &stat) != 0)
        return told(path, "read");
    if (!S_ISREG(stat.st_mode) || stat.st_size != VAULT_KEY) {
        dro_error("vault damaged file=%s \"a master key is a file of 32 bytes: put it back from a backup\"", path);
        return DRO_CORRUPT;
    }
    mode_t others = is_credential(path) && stat.st_uid == 0 ? MODE_OF_OTHERS & ~S_IRGRP : MODE_OF_OTHERS;
    if ((stat.st_mode & others) != 0 || (stat.st_uid != geteuid() && stat.st_uid != 0)) {
        dro_error("vault unsafe file=%s mode=%03o owner=%u \"others may read the master key: chown it to uid %u, chmod 600, "
                  "and ask who has read it\"", path, stat.st_mode & 0777u, stat.st_uid, geteuid());
        return DRO_DENIED;
    }
    return DRO_OK;
}

static dro_err read_key(int fd, const char *path, uint8_t key[VAULT_KEY])
{
    dro_err err = check_mode(fd, path);
    if (err != DRO_OK)
        return err;
    ssize_t got;
    while ((got = pread(fd, key, VAULT_KEY, 0)) < 0 && errno == EINTR)
        continue;
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return got == VAULT_KEY ? DRO_OK : told(path, "read");
}

static dro_err sync_directory(const char *path)
{
    char directory[PATH_BYTES_MAX];
    const char *slash = strrchr(path, '/');
    int length = slash == NULL ? 1 : slash == path ? 1 : (int)(slash - path);
    snprintf(directory, sizeof directory, "%.*s", length, slash == NULL ? "." : path);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    dro_err err = fd < 0 || fsync(fd) != 0 ? told(directory, "sync") : DRO_OK;
    if (fd >= 0)
        close(fd);
    return err;
}

static dro_err write_key(const char *path, dro_random *random, uint8_t key[VAULT_KEY])
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return told(path, "make");
    random->fill(random, key, VAULT_KEY);
    dro_err err = write(fd, key, VAULT_KEY) == VAULT_KEY && fsync(fd) == 0 ? DRO_OK : told(path, "write");
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
    return err;
}

/* link(2) gives the name only where nobody has it: a key that is there is never replaced. */
static dro_err make_key(const char *path, dro_random *random, uint8_t key[VAULT_KEY])
{
    char fresh[PATH_BYTES_MAX];
    if (snprintf(fresh, sizeof fresh, "%s.%d.new", path, (int)getpid()) >= (int)sizeof fresh) {
        errno = ENAMETOOLONG;
        return told(path, "make");
    }
    unlink(fresh); /* of a start that the power ended */
    dro_err err = write_key(fresh, random, key);
    if (err == DRO_OK && link(fresh, path) != 0)
        err = errno == EEXIST ? DRO_EXISTS : told(path, "make");
    unlink(fresh);
    if (err == DRO_OK)
        err = sync_directory(path);
    if (err == DRO_OK)
        dro_info("vault new file=%s \"a master key was made: keep a copy apart from the data, without it the data is lost\"", path);
    return err;
}

dro_err vault_master_load(const char *path, dro_random *random, uint8_t key[VAULT_KEY])
{
    dro_err err = DRO_EXISTS;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return told(path, "read");
    if (fd < 0)
        err = make_key(path, random, key);
    if (err == DRO_EXISTS && fd < 0) { /* another core was first: its key is the one */
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return told(path, "read");
    }
    if (fd >= 0) {
        err = read_key(fd, path, key);
        close(fd);
    }
    if (err != DRO_OK)
        dro_wipe(key, VAULT_KEY);
    return err;
}

dro_err vault_master_read(const char *path, uint8_t key[VAULT_KEY])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? DRO_NOT_FOUND : told(path, "read");
    dro_err err = read_key(fd, path, key);
    close(fd);
    return err;
}

/* ---- another one in its place ---- */

const char *vault_master_next_path(const char *path)
{
    static char next[PATH_BYTES_MAX + 8];
    snprintf(next, sizeof next, "%s.next", path);
    return next;
}

bool vault_master_is_ours(const char *path)
{
    return !is_credential(path);
}

dro_err vault_master_make_next(const char *path, dro_random *random, uint8_t key[VAULT_KEY])
{
    const char *next = vault_master_next_path(path);
    unlink(next); /* nothing is under it: a start looks */
    dro_err err = write_key(next, random, key);
    return err == DRO_OK ? sync_directory(path) : err;
}

/* Its blocks, before the file system gives them to somebody else. */
static void overwrite(int fd, const char *path)
{
    static const uint8_t zeros[VAULT_KEY];
    if (pwrite(fd, zeros, VAULT_KEY, 0) != VAULT_KEY || fsync(fd) != 0)
        dro_warn("vault not-overwritten file=%s error=\"%s\" \"the master key from before may still lie in free blocks of the disk\"", path, strerror(errno));
}

dro_err vault_master_replace(const char *path)
{
    const char *next = vault_master_next_path(path);
    int old = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    dro_err err = rename(next, path) == 0 ? sync_directory(path) : told(path, "replace");
    if (err == DRO_OK && old >= 0)
        overwrite(old, path);
    if (old >= 0)
        close(old);
    return err;
}

void vault_master_discard(const char *path)
{
    const char *next = vault_master_next_path(path);
    if (unlink(next) == 0 && sync_directory(path) == DRO_OK)
        dro_info("vault discarded file=%s \"nothing is wrapped by it\"", next);
}

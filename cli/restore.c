/* Restore: makes a data directory of a backup. Everything is checked before the first
 * byte is written, and each part again while it is. A directory that is not whole
 * says so by a file that dromiod refuses to start on. */
#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "backup.h"
#include "commands.h"
#include "host/data.h"
#include "moment.h"
#include "progress.h"
#include "store/data_layout.h"
#include "store/log_files.h"

enum { COPY_BYTES = 1024 * 1024, PATH_BYTES_MAX = 4096 };
#define RESTORED "log/" LOG_RESTORED

struct restoring {
    struct cli *cli;
    const char *path; /* of the directory */
    int archive, directory;
    bool is_made;     /* the directory was not there before */
    const archive_check *check;
    uint32_t begun;   /* parts that may be there */
    uint64_t written;
    progress progress;
};

/* ---- the directory ---- */

static bool is_empty(int directory)
{
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    bool is_any = stream == NULL;
    for (const struct dirent *entry; !is_any && (entry = readdir(stream)) != NULL;)
        is_any = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (stream != NULL)
        closedir(stream);
    else if (fd >= 0)
        close(fd);
    return !is_any;
}

static bool put_mark(struct restoring *to)
{
    int fd = openat(to->directory, DATA_INCOMPLETE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool is_fine = fd >= 0 && fsync(fd) == 0 && fsync(to->directory) == 0;
    if (fd >= 0)
        close(fd);
    return is_fine;
}

static int open_directory(struct restoring *to)
{
    to->is_made = mkdir(to->path, 0700) == 0;
    if (!to->is_made && errno != EEXIST)
        return cli_fail(EXIT_FAILED, "%s cannot be made: %s", to->path, strerror(errno));
    to->directory = open(to->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (to->directory < 0)
        return cli_fail(EXIT_FAILED, "%s: %s", to->path, strerror(errno));
    if (flock(to->directory, LOCK_EX | LOCK_NB) != 0)
        return cli_fail(EXIT_CONFLICT, "%s: a host uses it; a backup is restored into a directory of its own", to->path);
    if (!is_empty(to->directory))
        return cli_fail(EXIT_CONFLICT, "%s is not empty: name a new directory, or empty this one yourself", to->path);
    if (fchmod(to->directory, 0700) != 0 || !put_mark(to))
        return cli_fail(EXIT_FAILED, "%s cannot be written to: %s", to->path, strerror(errno));
    return EXIT_OK;
}

static int check_space(const struct restoring *to)
{
    struct statvfs fs;
    if (fstatvfs(to->directory, &fs) != 0)
        return cli_fail(EXIT_FAILED, "%s: %s", to->path, strerror(errno));
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (free_bytes < to->check->bytes)
        return cli_fail(EXIT_FAILED, "the disk of %s has too little space: %" PRIu64 " MiB free, %" PRIu64 " MiB needed", to->path,
                        free_bytes >> 20, (to->check->bytes >> 20) + 1);
    return EXIT_OK;
}

/* ---- parts ---- */

static bool is_part(const archive_check *check, uint32_t i)
{
    return i > 0 && i + 1 < check->count; /* neither manifest nor sums */
}

static bool write_all(int fd, const void *bytes, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t put = write(fd, (const uint8_t *)bytes + done, length - done);
        if (put < 0 && errno != EINTR)
            return false;
        done += put > 0 ? (size_t)put : 0;
    }
    return true;
}

static int cannot_write(const struct restoring *to, const char *name)
{
    return cli_fail(EXIT_FAILED, "%s/%s cannot be written: %s", to->path, name, strerror(errno));
}

/* The folders of a part. */
static bool make_folders(const struct restoring *to, const char *name)
{
    char path[ARCHIVE_NAME_MAX + 1];
    for (const char *slash = strchr(name, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        snprintf(path, sizeof path, "%.*s", (int)(slash - name), name);
        if (mkdirat(to->directory, path, 0700) != 0 && errno != EEXIST)
            return false;
    }
    return true;
}

static bool is_epoch(const char *name)
{
    const char *slash = strrchr(name, '/');
    return strcmp(slash != NULL ? slash + 1 : name, "epoch") == 0;
}

/* The restored host begins later than its original ever was, with random bits nobody had. */
static bool fence(uint8_t *bytes, size_t length)
{
    log_epoch epoch;
    if (log_epoch_decode(&epoch, bytes, length) != DRO_OK || getrandom(&epoch.random, sizeof epoch.random, 0) != sizeof epoch.random)
        return false;
    epoch.counter += LOG_EPOCH_FENCE;
    log_epoch_encode(&epoch, bytes);
    return true;
}

static int copy_bytes(struct restoring *to, const archive_part *part, int fd, uint8_t *buffer, EVP_MD_CTX *sum)
{
    uint8_t again[EVP_MAX_MD_SIZE];
    bool is_fine = EVP_DigestInit_ex(sum, EVP_sha256(), NULL) == 1;
    for (uint64_t done = 0; done < part->head.bytes && is_fine;) {
        uint64_t left = part->head.bytes - done;
        ssize_t got = pread(to->archive, buffer, left < COPY_BYTES ? (size_t)left : COPY_BYTES, (off_t)(part->offset + done));
        if (got <= 0)
            return cli_fail(EXIT_FAILED, "the backup cannot be read any more at byte %" PRIu64, part->offset + done);
        if (moment_is_interrupted())
            return EXIT_INTERRUPTED;
        is_fine = EVP_DigestUpdate(sum, buffer, (size_t)got) == 1;
        if (is_epoch(part->head.name) && !fence(buffer, (size_t)got))
            return cli_fail(EXIT_FAILED, "%s is damaged", part->head.name);
        if (!write_all(fd, buffer, (size_t)got))
            return cannot_write(to, part->head.name);
        done += (uint64_t)got;
        to->written += (uint64_t)got;
        progress_at(&to->progress, to->written);
    }
    if (!is_fine || EVP_DigestFinal_ex(sum, again, NULL) != 1 || memcmp(again, part->sum, ARCHIVE_SUM) != 0)
        return cli_fail(EXIT_FAILED, "%s changed in the backup while it was restored", part->head.name);
    return fsync(fd) == 0 ? EXIT_OK : cannot_write(to, part->head.name);
}

static int write_part(struct restoring *to, const archive_part *part, uint8_t *buffer, EVP_MD_CTX *sum)
{
    if (!make_folders(to, part->head.name))
        return cannot_write(to, part->head.name);
    int fd = openat(to->directory, part->head.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return cannot_write(to, part->head.name);
    int code = copy_bytes(to, part, fd, buffer, sum);
    if (close(fd) != 0 && code == EXIT_OK)
        code = cannot_write(to, part->head.name);
    return code;
}

static bool write_file(const struct restoring *to, const char *name, const char *text, size_t length)
{
    int fd = openat(to->directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool is_fine = fd >= 0 && write_all(fd, text, length) && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return is_fine;
}

/* As the host had it that the backup was taken from; older backups do not say. */
static bool write_layout(const struct restoring *to)
{
    char text[DATA_LAYOUT_TEXT];
    uint32_t layout = backup_layout(to->check);
    return layout == 0 || write_file(to, DATA_LAYOUT_FILE, text, data_layout_write(layout, text));
}

/* For the audit log of the host that starts on it. */
static bool write_restored(const struct restoring *to)
{
    char text[LOG_RESTORED_BYTES];
    backup_describe(to->check, text, sizeof text);
    return write_file(to, RESTORED, text, strlen(text));
}

static bool are_beside(const char *a, const char *b)
{
    const char *slash = strrchr(a, '/'), *other = strrchr(b, '/');
    size_t length = slash != NULL ? (size_t)(slash - a) : 0;
    return length == (other != NULL ? (size_t)(other - b) : 0) && memcmp(a, b, length) == 0;
}

/* The folders of all parts, deepest first where `is_removed`; else made durable. */
static bool each_folder(struct restoring *to, bool is_removed)
{
    bool is_fine = true;
    for (uint32_t i = 1; i < to->begun; i++) {
        char path[ARCHIVE_NAME_MAX + 1];
        if (i + 1 < to->begun && are_beside(to->check->parts[i].head.name, to->check->parts[i + 1].head.name))
            continue;
        snprintf(path, sizeof path, "%s", to->check->parts[i].head.name);
        for (char *slash = strrchr(path, '/'); slash != NULL; slash = strrchr(path, '/')) {
            *slash = '\0';
            if (is_removed) {
                unlinkat(to->directory, path, AT_REMOVEDIR);
                continue;
            }
            int fd = openat(to->directory, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            is_fine &= fd >= 0 && fsync(fd) == 0;
            if (fd >= 0)
                close(fd);
        }
    }
    return is_fine;
}

static void take_back(struct restoring *to)
{
    for (uint32_t i = 1; i < to->begun; i++)
        unlinkat(to->directory, to->check->parts[i].head.name, 0);
    unlinkat(to->directory, RESTORED, 0);
    each_folder(to, true);
    unlinkat(to->directory, DATA_LAYOUT_FILE, 0);
    unlinkat(to->directory, DATA_INCOMPLETE, 0);
    if (to->is_made)
        rmdir(to->path);
    else
        fsync(to->directory);
}

static int write_parts(struct restoring *to)
{
    uint8_t *buffer = malloc(COPY_BYTES);
    EVP_MD_CTX *sum = EVP_MD_CTX_new();
    int code = buffer != NULL && sum != NULL ? check_space(to) : cli_fail(EXIT_FAILED, "no memory");
    progress_begin(&to->progress, "writing", to->check->bytes);
    for (uint32_t i = 1; code == EXIT_OK && is_part(to->check, i); i++) {
        to->begun = i + 1;
        code = write_part(to, &to->check->parts[i], buffer, sum);
    }
    progress_end(&to->progress);
    EVP_MD_CTX_free(sum);
    free(buffer);
    if (code == EXIT_OK && !write_layout(to))
        code = cannot_write(to, DATA_LAYOUT_FILE);
    if (code == EXIT_OK && !write_restored(to))
        code = cannot_write(to, RESTORED);
    if (code == EXIT_OK && (!each_folder(to, false) || fsync(to->directory) != 0))
        code = cannot_write(to, ".");
    if (code != EXIT_OK) {
        take_back(to);
    } else if (unlinkat(to->directory, DATA_INCOMPLETE, 0) != 0 || fsync(to->directory) != 0) {
        code = cannot_write(to, DATA_INCOMPLETE);
    }
    return code;
}

static int restore_into(struct cli *cli, const char *path, int archive, const archive_check *check)
{
    struct restoring to = { .cli = cli, .path = path, .archive = archive, .directory = -1, .check = check, .begun = 1 };
    int code = open_directory(&to);
    if (code == EXIT_OK)
        code = write_parts(&to);
    else if (to.is_made)
        rmdir(path);
    if (to.directory >= 0)
        close(to.directory);
    if (code == EXIT_OK) {
        cli_note("%s is whole: %" PRIu64 " MiB in %u files. Before it starts:", path, to.written >> 20, check->count - 2);
        cli_note("- put the master key of the host it was taken from to %s/master.key (or where vault.master_key says), mode 0600",
                 path);
        cli_note("- it makes a new admin.token at its first start; tokens of applications are as they were");
        cli_note("- it belongs to you now: chown it to the user the host runs as");
        cli_note("- beside its original it needs another host.identity and other peers: both would send what waits for devices");
    }
    return code;
}

int restore_run(struct cli *cli)
{
    const char *name = invocation_argument(cli->in, 0), *key = invocation_option(cli->in, "--master-key");
    const char *path = invocation_option(cli->in, "--data");
    archive_check check = { 0 };
    stored files = { .fd = -1 };
    stored_logs found;
    if (invocation_has(cli->in, "--dry-run"))
        return backup_verify(cli, name, key);
    if (path == NULL)
        return cli_fail(EXIT_USAGE, "--data DIR says where to, --dry-run checks only");
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cli_fail(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED, "%s cannot be read: %s", name, strerror(errno));
    moment_catch_interrupts(); /* nothing of a half one is left */
    bool is_fine = backup_read(fd, name, &check) && backup_check(fd, name, key, &check, &files, &found) && !moment_is_interrupted();
    int code = is_fine ? restore_into(cli, path, fd, &check) : EXIT_FAILED;
    stored_fini(&files);
    archive_check_fini(&check);
    close(fd);
    return code;
}

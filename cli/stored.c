#include "stored.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/wipe.h"
#include "core/vault.h"
#include "moment.h"
#include "store/generations.h"
#include "store/log_check.h"

enum { KEY_BYTES = 32, KEYS_BYTES_MAX = (VAULT_DOMAINS_MAX + VAULT_ROTATIONS_MAX) * (4 + VAULT_WRAPPED), HOST_BYTES_MAX = 64 * 1024 * 1024 };

static bool fail(stored *files, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(stored *files, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(files->problem, sizeof files->problem, format, list);
    va_end(list);
    return false;
}

/* ---- which files there are ---- */

static bool push(stored *files, const stored_file *file)
{
    if (files->count == files->capacity) {
        uint32_t more = files->capacity == 0 ? 64 : files->capacity * 2;
        stored_file *list = more > STORED_FILES_MAX ? NULL : realloc(files->files, more * sizeof *list);
        if (list == NULL)
            return fail(files, "no memory for a list of %u files", more);
        files->files = list;
        files->capacity = more;
    }
    files->files[files->count++] = *file;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const stored_file *)a)->name, ((const stored_file *)b)->name);
}

static void sort(stored *files)
{
    if (files->count > 0)
        qsort(files->files, files->count, sizeof *files->files, by_name);
}

bool stored_of_archive(stored *out, int fd, const archive_check *check)
{
    *out = (stored){ .fd = fd, .is_archive = true };
    for (uint32_t i = 1; i + 1 < check->count; i++) {
        stored_file file = { .bytes = check->parts[i].head.bytes, .offset = check->parts[i].offset };
        memcpy(file.name, check->parts[i].head.name, sizeof file.name);
        if (!push(out, &file))
            return false;
    }
    sort(out);
    return true;
}

static bool list(stored *out, const char *path, int depth);

static bool take_entry(stored *out, const char *path, const char *entry, int depth)
{
    stored_file file = { 0 };
    struct stat stat;
    int length = snprintf(file.name, sizeof file.name, "%s%s%s", path, path[0] != '\0' ? "/" : "", entry);
    if (length >= (int)sizeof file.name || fstatat(out->fd, file.name, &stat, AT_SYMLINK_NOFOLLOW) != 0)
        return true; /* nothing of ours, or it went */
    if (S_ISDIR(stat.st_mode))
        return depth == STORED_DEPTH_MAX || list(out, file.name, depth + 1);
    file.bytes = (uint64_t)stat.st_size;
    return !S_ISREG(stat.st_mode) || push(out, &file);
}

static bool list(stored *out, const char *path, int depth)
{
    int fd = openat(out->fd, path[0] != '\0' ? path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (stream == NULL) {
        fail(out, "%s/ cannot be read: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    bool is_fine = true;
    for (const struct dirent *entry; is_fine && (entry = readdir(stream)) != NULL;)
        if (entry->d_name[0] != '.')
            is_fine = take_entry(out, path, entry->d_name, depth);
    closedir(stream);
    return is_fine;
}

bool stored_of_directory(stored *out, int directory)
{
    *out = (stored){ .fd = directory };
    if (!list(out, "", 0))
        return false;
    sort(out);
    return true;
}

void stored_fini(stored *files)
{
    free(files->files);
    files->files = NULL;
    files->count = files->capacity = 0;
}

static const char *last_name(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash != NULL ? slash + 1 : name;
}

const stored_file *stored_named(const stored *files, const char *last, const stored_file *from)
{
    for (uint32_t i = from == NULL ? 0 : (uint32_t)(from - files->files) + 1; i < files->count; i++)
        if (strcmp(last_name(files->files[i].name), last) == 0)
            return &files->files[i];
    return NULL;
}

/* ---- reading ---- */

/* The descriptor to read from; only a directory's is to be closed. */
static int open_file(const stored *files, const stored_file *file)
{
    int fd = files->is_archive ? files->fd : openat(files->fd, file->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int64_t read_at(int fd, uint64_t offset, void *buffer, size_t length)
{
    size_t done = 0;
    while (done < length) {
        if (moment_is_interrupted())
            return -EINTR;
        ssize_t got = pread(fd, (uint8_t *)buffer + done, length - done, (off_t)(offset + done));
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            break;
        done += got > 0 ? (size_t)got : 0;
    }
    return (int64_t)done;
}

int64_t stored_read(const stored *files, const stored_file *file, uint64_t offset, void *buffer, size_t length)
{
    uint64_t left = offset < file->bytes ? file->bytes - offset : 0;
    int fd = open_file(files, file);
    if (fd < 0)
        return fd;
    int64_t got = read_at(fd, file->offset + offset, buffer, length < left ? length : (size_t)left);
    if (!files->is_archive)
        close(fd);
    return got;
}

/* ---- logs ---- */

typedef struct segment_source { int fd; uint64_t offset, bytes; } segment_source;

static int64_t read_segment(void *context, uint64_t offset, void *buffer, size_t length)
{
    const segment_source *from = context;
    uint64_t left = offset < from->bytes ? from->bytes - offset : 0;
    return read_at(from->fd, from->offset + offset, buffer, length < left ? length : (size_t)left);
}

/* The number in .../segment-xxxxxxxx, or 0. */
static uint32_t segment_number(const stored_file *file)
{
    char again[LOG_NAME_BYTES];
    const char *name = last_name(file->name);
    if (strncmp(name, "segment-", 8) != 0)
        return 0;
    uint32_t number = (uint32_t)strtoul(name + 8, NULL, 16);
    log_segment_name(number, again);
    return strcmp(again, name) == 0 ? number : 0;
}

/* Do they lie in one directory? */
static bool are_beside(const stored_file *a, const stored_file *b)
{
    size_t length = (size_t)(last_name(a->name) - a->name);
    return length == (size_t)(last_name(b->name) - b->name) && memcmp(a->name, b->name, length) == 0;
}

/* The log's replay point: DRO_NOT_FOUND where there is none. */
static dro_err load_replay(const stored *files, const stored_file *beside, log_replay_point *point)
{
    uint8_t bytes[LOG_REPLAY_BYTES + 1];
    for (const stored_file *at = NULL; (at = stored_named(files, "replay", at)) != NULL;)
        if (are_beside(at, beside)) {
            int64_t got = stored_read(files, at, 0, bytes, sizeof bytes);
            return got < 0 ? DRO_IO : log_replay_decode(point, bytes, (size_t)got);
        }
    return DRO_NOT_FOUND;
}

static bool told(stored *files, const stored_file *in, const log_check *check, dro_err err)
{
    char name[LOG_NAME_BYTES];
    log_segment_name(check->segment, name);
    int length = (int)(last_name(in->name) - in->name);
    if (err == DRO_CORRUPT)
        return fail(files, "%.*s%s is damaged at byte %" PRIu64 ": %s", length, in->name, name, check->offset, check->why);
    return fail(files, "%s: %s", in->name, err == DRO_UNSUPPORTED ? "written by a newer version" : dro_err_text(err));
}

/* Checks the log whose first segment is files[*at]; *at is then behind its last. */
static bool check_log(stored *files, uint32_t *at, stored_logs *found)
{
    const stored_file *first = &files->files[*at], *last = first;
    log_replay_point point;
    log_check check;
    dro_err err = load_replay(files, first, &point);
    bool has_replay = err == DRO_OK;
    if (err != DRO_OK && err != DRO_NOT_FOUND)
        return fail(files, "the file replay beside %s is damaged", first->name);
    err = log_check_init(&check, has_replay ? &point : NULL);
    segment_source source = { .fd = -1 };
    log_check_source segment = { read_segment, &source, 0, false };
    for (; err == DRO_OK && *at < files->count && segment_number(&files->files[*at]) != 0 && are_beside(first, &files->files[*at]); (*at)++) {
        last = &files->files[*at];
        uint32_t number = segment_number(last);
        if (source.fd >= 0 && !files->is_archive)
            close(source.fd);
        source = (segment_source){ open_file(files, last), last->offset, last->bytes };
        segment.bytes = last->bytes;
        segment.is_exact = files->is_archive && has_replay && number >= point.segment;
        err = source.fd < 0 ? DRO_IO : log_check_segment(&check, number, &segment);
        found->segments++;
    }
    if (err == DRO_OK)
        err = log_check_end(&check, &segment);
    if (source.fd >= 0 && !files->is_archive)
        close(source.fd);
    found->logs++;
    found->rounds += check.rounds;
    found->records += check.records;
    found->epoch = check.epoch > found->epoch ? check.epoch : found->epoch;
    log_check_fini(&check);
    return err == DRO_OK || told(files, last, &check, err);
}

static bool check_epochs(stored *files, const stored_logs *found)
{
    for (const stored_file *at = NULL; (at = stored_named(files, "epoch", at)) != NULL;) {
        uint8_t bytes[LOG_EPOCH_BYTES + 1];
        log_epoch epoch;
        int64_t got = stored_read(files, at, 0, bytes, sizeof bytes);
        if (got < 0 || log_epoch_decode(&epoch, bytes, (size_t)got) != DRO_OK)
            return fail(files, "%s is damaged", at->name);
        if (epoch.counter < found->epoch)
            return fail(files, "%s is older than the segments: it says start %" PRIu64 ", they were written in start %" PRIu64,
                        at->name, epoch.counter, found->epoch);
    }
    return true;
}

bool stored_check_logs(stored *files, stored_logs *found)
{
    *found = (stored_logs){ 0 };
    for (uint32_t i = 0; i < files->count;) {
        if (segment_number(&files->files[i]) == 0)
            i++;
        else if (!check_log(files, &i, found))
            return false;
    }
    return check_epochs(files, found);
}

static const stored_file *file_called(const stored *files, const char *name)
{
    for (uint32_t i = 0; i < files->count; i++)
        if (strcmp(files->files[i].name, name) == 0)
            return &files->files[i];
    return NULL;
}

static bool check_generation(stored *files, const generation *one)
{
    char name[ARCHIVE_NAME_MAX + 1];
    for (uint32_t core = 0; core < one->cores && one->number > 0 && !one->is_gone; core++) {
        snprintf(name, sizeof name, "log-%" PRIu32 "-%" PRIu32 "/replay", one->number, core);
        if (file_called(files, name) == NULL)
            return fail(files, "%s is missing: the log of core %" PRIu32 " of %" PRIu32, name, core, one->cores);
    }
    return true;
}

bool stored_check_generations(stored *files, uint32_t *cores)
{
    uint8_t bytes[GENERATIONS_BYTES_MAX + 1];
    generations list;
    const stored_file *file = stored_named(files, "generations", NULL);
    *cores = 1;
    if (file == NULL) /* it never had another number of cores */
        return true;
    int64_t got = stored_read(files, file, 0, bytes, sizeof bytes);
    dro_err err = got < 0 ? DRO_IO : generations_decode(&list, bytes, (size_t)got);
    if (err != DRO_OK)
        return fail(files, "%s %s", file->name, err == DRO_UNSUPPORTED ? "was written by a newer version" : "is damaged");
    *cores = generation_newest(&list)->cores;
    for (uint32_t i = 0; i < list.count; i++)
        if (!check_generation(files, &list.list[i]))
            return false;
    return true;
}

/* ---- the master key ---- */

/* A whole small file, the caller's to free; NULL: see `problem`. */
static uint8_t *read_whole(stored *files, const stored_file *file, uint64_t most)
{
    uint8_t *bytes = file->bytes == 0 || file->bytes > most ? NULL : malloc(file->bytes);
    if (bytes != NULL && stored_read(files, file, 0, bytes, file->bytes) == (int64_t)file->bytes)
        return bytes;
    free(bytes);
    fail(files, "%s cannot be read, or has no size it could have", file->name);
    return NULL;
}

static bool read_key(stored *files, const char *path, uint8_t key[KEY_BYTES])
{
    uint8_t more;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(files, "the master key %s cannot be read: %s", path, strerror(errno));
    bool is_key = read(fd, key, KEY_BYTES) == KEY_BYTES && read(fd, &more, 1) == 0;
    close(fd);
    return is_key || fail(files, "%s is no master key: that is a file of %d bytes", path, KEY_BYTES);
}

static bool open_keys(stored *files, vault *vault, const stored_file *keys)
{
    uint8_t *bytes = read_whole(files, keys, KEYS_BYTES_MAX);
    bool is_fine = bytes != NULL && (keys->bytes % (4 + VAULT_WRAPPED) == 0 || fail(files, "%s is damaged", keys->name));
    for (uint64_t i = 0; is_fine && i < keys->bytes / (4 + VAULT_WRAPPED); i++) {
        uint32_t key;
        const uint8_t *entry = bytes + i * (4 + VAULT_WRAPPED);
        memcpy(&key, entry, sizeof key);
        if (vault_key_generation(key) != VAULT_GENERATION_GONE && vault_domain_load(vault, key, entry + 4) != DRO_OK)
            is_fine = fail(files, "the master key does not open key %" PRIu64 " of %s: another host's key, or damage", i, keys->name);
    }
    free(bytes);
    return is_fine;
}

static bool open_host(stored *files, vault *vault, const stored_file *host)
{
    uint8_t *sealed = read_whole(files, host, HOST_BYTES_MAX);
    uint8_t *plain = sealed != NULL ? malloc(host->bytes) : NULL;
    bool is_open = plain != NULL && host->bytes >= VAULT_OVERHEAD &&
                   vault_open_log(vault, 0, "host", 4, sealed, host->bytes, plain) == DRO_OK;
    if (plain != NULL)
        dro_wipe(plain, host->bytes);
    free(plain);
    free(sealed);
    return is_open || fail(files, "%s does not open with its key: it is damaged", host->name);
}

bool stored_check_key(stored *files, const char *key_path)
{
    uint8_t key[KEY_BYTES];
    vault *vault = NULL;
    const stored_file *keys = stored_named(files, "keys", NULL), *host = stored_named(files, "host", NULL);
    if (keys == NULL)
        return fail(files, "there is no file keys");
    if (!read_key(files, key_path, key))
        return false;
    dro_log_setup("dromio", DRO_LOG_NOTHING);
    vault_options options = { .master_key = key, .epoch = 1, .random = dro_random_system() };
    bool is_fine = vault_open(&vault, &options) == DRO_OK || fail(files, "no memory for keys");
    is_fine = is_fine && open_keys(files, vault, keys) && (host == NULL || open_host(files, vault, host));
    vault_close(vault);
    dro_wipe(key, sizeof key);
    return is_fine;
}

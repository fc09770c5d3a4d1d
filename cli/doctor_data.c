/* A data directory: modes, space, and where no host runs on it the log itself. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "doctor.h"
#include "host/data.h"
#include "store/data_layout.h"
#include "stored.h"

enum { SPACE_LEAST = 256 << 20, SPACE_PERCENT = 10, CLOCK_AHEAD_S = 60, IMAGE_MAX = 64 << 20 };

/* One finding for all files that others may read. */
static void check_modes(doctor *doctor, const stored *files)
{
    struct stat stat;
    unsigned open_to_others = 0;
    const char *first = NULL;
    bool is_key_open = false;
    if (fstat(files->fd, &stat) == 0 && (stat.st_mode & 077) != 0) {
        first = "the directory itself";
        open_to_others++;
    }
    for (uint32_t i = 0; i < files->count; i++) {
        if (fstatat(files->fd, files->files[i].name, &stat, AT_SYMLINK_NOFOLLOW) != 0 || (stat.st_mode & 077) == 0)
            continue;
        first = first != NULL ? first : files->files[i].name;
        is_key_open |= strcmp(files->files[i].name, "master.key") == 0;
        open_to_others++;
    }
    if (open_to_others > 0)
        finding(doctor, FINDING_ILL, "modes", is_key_open ? "chmod -R go= the data directory; ask who has read master.key" : "chmod -R go= the data directory",
                "open to others: %s%s", first, open_to_others > 1 ? ", and more" : "");
    else
        finding(doctor, FINDING_WELL, "modes", NULL, "nobody else may read it");
}

static void check_space(doctor *doctor, int directory)
{
    struct statvfs fs;
    if (fstatvfs(directory, &fs) != 0)
        return;
    uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize, all = (uint64_t)fs.f_blocks * fs.f_frsize;
    bool is_ill = left < SPACE_LEAST, is_low = left < all / 100 * SPACE_PERCENT;
    finding(doctor, is_ill ? FINDING_ILL : is_low ? FINDING_NOTE : FINDING_WELL, "space",
            is_ill || is_low ? "make space: a full disk refuses changes. log.timeline and log.replay bound the log" : NULL,
            "%" PRIu64 " MiB of %" PRIu64 " MiB are free", left >> 20, all >> 20);
}

static void check_direct(doctor *doctor, const stored *files)
{
    for (uint32_t i = 0; i < files->count; i++) {
        if (strstr(files->files[i].name, "segment-") == NULL)
            continue;
        int file = openat(files->fd, files->files[i].name, O_RDONLY | O_DIRECT | O_CLOEXEC);
        const char *why = strerror(errno);
        if (file >= 0)
            close(file);
        finding(doctor, file >= 0 ? FINDING_WELL : FINDING_NOTE, "O_DIRECT", file >= 0 ? NULL : "another file system, such as ext4 or xfs: the log is written twice as fast",
                file >= 0 ? "the file system has it" : "%s", why);
        return;
    }
}

/* Whatever wrote last did it in the past. */
static void check_times(doctor *doctor, const stored *files)
{
    struct stat stat;
    int64_t newest = 0, now = (int64_t)time(NULL);
    for (uint32_t i = 0; i < files->count; i++)
        if (strncmp(files->files[i].name, "log", 3) == 0 && fstatat(files->fd, files->files[i].name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && stat.st_mtime > newest)
            newest = stat.st_mtime;
    if (newest == 0)
        return;
    bool is_ill = newest > now + CLOCK_AHEAD_S;
    finding(doctor, is_ill ? FINDING_ILL : FINDING_WELL, "clock of the data", is_ill ? "set the clock right before the host starts: tickets and windows would be in the future" : NULL,
            is_ill ? "the log was written %lld s in the future" : "the log was last written %lld s ago", (long long)llabs(now - newest));
}

static void check_layout(doctor *doctor, int directory)
{
    char text[DATA_LAYOUT_TEXT + 1];
    uint32_t layout = 0;
    int file = openat(directory, DATA_LAYOUT_FILE, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof text);
    if (file >= 0)
        close(file);
    if (file < 0)
        finding(doctor, FINDING_NOTE, "layout", NULL, "the directory does not say: a dromiod from before layouts had numbers wrote it, or none yet");
    else if (length < 0 || !data_layout_read(text, (size_t)length, &layout))
        finding(doctor, FINDING_ILL, "layout", "no dromiod starts on it: put the file back from a copy of the directory", "%s is damaged", DATA_LAYOUT_FILE);
    else if (layout > DATA_LAYOUT)
        finding(doctor, FINDING_ILL, "layout", "run the dromiod that wrote it, or a newer one", "%u; the dromiod of this dromio knows layouts up to %d", layout, DATA_LAYOUT);
    else
        finding(doctor, FINDING_WELL, "layout", NULL, "%u", layout);
}

static void check_log(doctor *doctor, stored *files)
{
    stored_logs found;
    if (!stored_check_logs(files, &found))
        finding(doctor, FINDING_ILL, "log", "dromio restore the newest backup into a new directory; keep this one until you know why", "%s", files->problem);
    else
        finding(doctor, FINDING_WELL, "log", NULL, "%u segments, %" PRIu64 " rounds, %" PRIu64 " records: every checksum holds", found.segments, found.rounds, found.records);
}

static void check_key(doctor *doctor, stored *files, const char *directory)
{
    char path[1100];
    if (doctor->master_key[0] != '\0')
        snprintf(path, sizeof path, "%s", doctor->master_key);
    else
        snprintf(path, sizeof path, "%s/master.key", directory);
    if (stored_named(files, "keys", NULL) == NULL)
        finding(doctor, FINDING_NOTE, "keys", NULL, "the directory has none yet: no host has started on it");
    else if (!stored_check_key(files, path))
        finding(doctor, FINDING_ILL, "master key", "put the right one there, mode 0600; without it the data cannot be read by anybody", "%s", files->problem);
    else
        finding(doctor, FINDING_WELL, "master key", NULL, "%s opens the keys; is there a copy of it elsewhere?", path);
}

/* An image is called by its digest. */
static bool image_is_itself(const stored *files, const stored_file *file)
{
    uint8_t sum[ARCHIVE_SUM];
    char text[2 * ARCHIVE_SUM + 1];
    uint8_t *bytes = file->bytes > 0 && file->bytes <= IMAGE_MAX ? malloc(file->bytes) : NULL;
    bool is_read = bytes != NULL && stored_read(files, file, 0, bytes, file->bytes) == (int64_t)file->bytes &&
                   EVP_Digest(bytes, file->bytes, sum, NULL, EVP_sha256(), NULL) == 1;
    free(bytes);
    if (!is_read)
        return false;
    archive_sum_text(sum, text);
    return strncmp(file->name + strlen("images/"), text, 2 * ARCHIVE_SUM) == 0;
}

static void check_images(doctor *doctor, const stored *files)
{
    unsigned images = 0, ill = doctor->ill;
    for (uint32_t i = 0; i < files->count; i++) {
        const char *name = files->files[i].name;
        if (strncmp(name, "images/", 7) != 0 || strstr(name, ".wasm") == NULL)
            continue;
        images++;
        if (!image_is_itself(files, &files->files[i]))
            finding(doctor, FINDING_ILL, "image", "take the file from a backup: tar -xf FILE images/DIGEST.wasm", "%s is not what its name says", name);
    }
    if (doctor->ill == ill)
        finding(doctor, FINDING_WELL, "images", NULL, "%u, each as its name says", images);
}

void doctor_data(doctor *doctor, const char *path)
{
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    stored files;
    if (directory < 0) {
        finding(doctor, FINDING_ILL, "data", "--data DIR is the host's host.data; its user, or root, can read it", "%s: %s", path, strerror(errno));
        return;
    }
    if (!stored_of_directory(&files, directory)) {
        finding(doctor, FINDING_ILL, "data", "its user, or root, can read it", "%s", files.problem);
    } else {
        check_modes(doctor, &files);
        check_space(doctor, directory);
        check_direct(doctor, &files);
        check_times(doctor, &files);
        if (faccessat(directory, DATA_INCOMPLETE, F_OK, 0) == 0)
            finding(doctor, FINDING_ILL, "restore", "empty the directory and run dromio restore again", "a restore into it did not end");
        check_layout(doctor, directory);
        check_key(doctor, &files, path);
        check_images(doctor, &files);
        if (flock(directory, LOCK_SH | LOCK_NB) != 0)
            finding(doctor, FINDING_SKIPPED, "log", "dromio backup reads it all while the host runs", "a host runs on it");
        else
            check_log(doctor, &files);
    }
    stored_fini(&files);
    close(directory);
}

/* Console: the files under /console/, read once at start, so that no request
 * ever names a path of the machine. */
#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "gate/answer.h"
#include "gate/parts.h"

enum { PATH_BYTES = 256, ETAG_BYTES = 35 };

typedef struct console_file {
    char path[PATH_BYTES]; /* below /console/ */
    const char *content_type;
    char etag[ETAG_BYTES]; /* with quotes */
    uint8_t *bytes;
    size_t length;
} console_file;

struct console {
    uint32_t count;
    size_t bytes;
    console_file files[CONSOLE_FILES_MAX];
};

static const char *content_type_of(const char *path)
{
    static const char *const types[][2] = {
        { ".html", "text/html; charset=utf-8" },
        { ".css", "text/css; charset=utf-8" },
        { ".js", "text/javascript; charset=utf-8" },
        { ".mjs", "text/javascript; charset=utf-8" },
        { ".json", "application/json" },
        { ".map", "application/json" },
        { ".svg", "image/svg+xml" },
        { ".png", "image/png" },
        { ".jpg", "image/jpeg" },
        { ".webp", "image/webp" },
        { ".ico", "image/x-icon" },
        { ".woff2", "font/woff2" },
        { ".wasm", "application/wasm" },
        { ".txt", "text/plain; charset=utf-8" },
        { ".webmanifest", "application/manifest+json" },
    };
    const char *end = strrchr(path, '.');
    for (size_t i = 0; end != NULL && i < sizeof types / sizeof *types; i++)
        if (strcmp(end, types[i][0]) == 0)
            return types[i][1];
    return "application/octet-stream";
}

static bool read_bytes(int descriptor, uint8_t *bytes, size_t length)
{
    for (size_t at = 0; at < length;) {
        ssize_t got = read(descriptor, bytes + at, length - at);
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

static void add_file(console *console, const char *path, int descriptor, const struct stat *status)
{
    size_t length = (size_t)status->st_size;
    if (console->count == CONSOLE_FILES_MAX || length > CONSOLE_BYTES_MAX - console->bytes ||
        strlen(path) >= PATH_BYTES) {
        dro_warn("console_file_left_out path=%s", path);
        return;
    }
    console_file *file = &console->files[console->count];
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned hash_length = 0;
    *file = (console_file){ .content_type = content_type_of(path), .length = length };
    snprintf(file->path, sizeof file->path, "%s", path);
    file->bytes = malloc(length > 0 ? length : 1);
    if (file->bytes == NULL || !read_bytes(descriptor, file->bytes, length) ||
        !EVP_Digest(file->bytes, length, hash, &hash_length, EVP_sha256(), NULL)) {
        free(file->bytes);
        return;
    }
    file->etag[0] = '"';
    for (unsigned i = 0; i < 16; i++)
        snprintf(file->etag + 1 + 2 * i, 3, "%02x", hash[i]);
    file->etag[33] = '"';
    console->bytes += length;
    console->count++;
}

/* Regular files only: a link could lead out of the directory. */
static void add_directory(console *console, int parent, const char *name, const char *prefix, int depth)
{
    int descriptor = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (depth > 0 ? O_NOFOLLOW : 0));
    DIR *directory = descriptor >= 0 ? fdopendir(descriptor) : NULL;
    if (directory == NULL) {
        if (descriptor >= 0)
            close(descriptor);
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        char path[2 * PATH_BYTES];
        struct stat status;
        if (entry->d_name[0] == '.')
            continue;
        int written = snprintf(path, sizeof path, "%s%s", prefix, entry->d_name);
        if (written < 0 || written >= PATH_BYTES - 1 ||
            fstatat(descriptor, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISDIR(status.st_mode) && depth < CONSOLE_DEPTH_MAX) {
            path[written] = '/';
            path[written + 1] = '\0';
            add_directory(console, descriptor, entry->d_name, path, depth + 1);
        } else if (S_ISREG(status.st_mode)) {
            int file = openat(descriptor, entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
            if (file >= 0 && fstat(file, &status) == 0 && S_ISREG(status.st_mode))
                add_file(console, path, file, &status);
            if (file >= 0)
                close(file);
        }
    }
    closedir(directory);
}

console *console_new(const char *directory)
{
    console *made = calloc(1, sizeof *made);
    if (made != NULL && directory != NULL && directory[0] != '\0')
        add_directory(made, AT_FDCWD, directory, "", 0);
    return made;
}

void console_free(console *console)
{
    if (console == NULL)
        return;
    for (uint32_t i = 0; i < console->count; i++)
        free(console->files[i].bytes);
    free(console);
}

/* Segments behind "console" as one path; a last empty one is the index. */
static bool path_of(const target *target, char out[PATH_BYTES])
{
    dro_builder text = dro_builder_over(out, PATH_BYTES - 1);
    for (uint32_t i = 1; i < target->count; i++) {
        bool is_index = i + 1 == target->count && target->segments[i].length == 0;
        if (memchr(target->segments[i].at, '/', target->segments[i].length) != NULL)
            return false;
        if (i > 1)
            dro_builder_text(&text, "/");
        if (is_index)
            dro_builder_text(&text, "index.html");
        else
            dro_builder_bytes(&text, target->segments[i].at, target->segments[i].length);
    }
    *text.at = '\0';
    return text.err == DRO_OK;
}

static bool tag_is_listed(slice list, const char *etag)
{
    return slice_is(list, "*") || (list.length >= 34 && memmem(list.at, list.length, etag, 34) != NULL);
}

void console_answer(http *http, exchange *exchange, const target *target, slice if_none_match)
{
    static const char security[] =
        "\r\nContent-Security-Policy: default-src 'self'; frame-ancestors 'none'; base-uri 'none'"
        "\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer"
        "\r\nCache-Control: no-cache";
    char path[PATH_BYTES], lines[sizeof security + 64];
    if (target->count == 1) {
        answer_whole(exchange,
                     &(answer){ .status = 308, .etag = ANSWER_NO_ETAG, .location = "/console/", .location_length = 9 },
                     NULL, 0);
        return;
    }
    const console_file *found = NULL;
    for (uint32_t i = 0; path_of(target, path) && i < http->console->count && found == NULL; i++)
        if (strcmp(http->console->files[i].path, path) == 0)
            found = &http->console->files[i];
    if (found == NULL) {
        answer_problem(exchange, 404, "the console has no such file");
        return;
    }
    snprintf(lines, sizeof lines, "%s\r\nETag: %s", security, found->etag);
    bool is_same = tag_is_listed(if_none_match, found->etag);
    answer made = { .status = is_same ? 304 : 200,
                    .content_type = is_same ? NULL : found->content_type,
                    .etag = ANSWER_NO_ETAG,
                    .lines = lines,
                    .is_stored = true,
                    .is_lasting = true };
    answer_whole(exchange, &made, found->bytes, found->length);
}

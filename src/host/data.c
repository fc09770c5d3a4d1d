#include "host/data.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/sha.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/wipe.h"
#include "store/data_layout.h"

enum { TOKEN_BYTES = 32, TOKEN_TEXT = 64 };

static bool make_directory(const char *path)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return true;
    dro_error("%s cannot be made: %m", path);
    return false;
}

static bool token_write(int directory, const char *text)
{
    int file = openat(directory, "admin.token", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    char line[TOKEN_TEXT + 1];
    snprintf(line, sizeof line, "%s", text);
    size_t length = strlen(line);
    line[length] = '\n';
    bool is_whole = file >= 0 && write(file, line, length + 1) == (ssize_t)(length + 1) && fsync(file) == 0 && fsync(directory) == 0;
    if (file >= 0)
        close(file);
    dro_wipe(line, sizeof line);
    return is_whole;
}

static void token_make(char text[TOKEN_TEXT + 1])
{
    uint8_t bytes[TOKEN_BYTES];
    dro_random_system()->fill(dro_random_system(), bytes, sizeof bytes);
    for (int i = 0; i < TOKEN_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    dro_wipe(bytes, sizeof bytes);
}

static bool token_read(int directory, char text[TOKEN_TEXT + 1])
{
    int file = openat(directory, "admin.token", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, TOKEN_TEXT);
    if (file >= 0)
        close(file);
    text[length > 0 ? length : 0] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    return text[0] != '\0';
}

/* ---- the layout ---- */

/* The file's bytes, at most `size`; 0: there is none. Negative: it cannot be read. */
static ssize_t layout_load(int directory, char *text, size_t size)
{
    int file = openat(directory, DATA_LAYOUT_FILE, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? 0 : -1;
    ssize_t length = read(file, text, size);
    close(file);
    return length > 0 ? length : -1;
}

static bool layout_store(int directory)
{
    static const char fresh[] = DATA_LAYOUT_FILE ".new";
    char text[DATA_LAYOUT_TEXT];
    size_t length = data_layout_write(DATA_LAYOUT, text);
    int file = openat(directory, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool is_whole = file >= 0 && write(file, text, length) == (ssize_t)length && fsync(file) == 0 &&
                    renameat(directory, fresh, directory, DATA_LAYOUT_FILE) == 0 && fsync(directory) == 0;
    if (file >= 0)
        close(file);
    return is_whole;
}

/* Is it one that we know? Then it is ours from here on. */
static bool layout_take(int directory, const char *path)
{
    char text[DATA_LAYOUT_TEXT + 1];
    uint32_t layout = 0;
    ssize_t length = layout_load(directory, text, sizeof text);
    if (length != 0 && (length < 0 || !data_layout_read(text, (size_t)length, &layout))) {
        dro_error("%s/%s cannot be read, or is damaged: put it back from a backup of this directory, or write \"dromio layout N\" into it, "
                  "N as the dromiod has it that wrote the data (dromiod --version)", path, DATA_LAYOUT_FILE);
        return false;
    }
    if (layout > DATA_LAYOUT) {
        dro_error("%s was written by a newer dromiod: it has layout %u, this one knows layouts up to %d. Run the newer one, "
                  "or restore a backup from before it", path, layout, DATA_LAYOUT);
        return false;
    }
    if (layout == DATA_LAYOUT || layout_store(directory))
        return true;
    dro_error("%s/%s cannot be written: %m", path, DATA_LAYOUT_FILE);
    return false;
}

/* ---- the directory ---- */

bool data_open(const char *path, uint8_t hash[32])
{
    if (!make_directory(path))
        return false;
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0 || flock(directory, LOCK_EX | LOCK_NB) != 0) {
        dro_error("%s: %s", path, directory >= 0 && errno == EWOULDBLOCK ? "another dromiod uses it" : strerror(errno));
        return false;
    }
    if (faccessat(directory, DATA_INCOMPLETE, F_OK, 0) == 0) {
        dro_error("%s: a restore into it did not end: empty it and run dromio restore again", path);
        return false;
    }
    if (!layout_take(directory, path))
        return false;
    char text[TOKEN_TEXT + 1] = { 0 };
    if (!token_read(directory, text)) {
        token_make(text);
        unlinkat(directory, "admin.token", 0); /* an empty one of a start that was cut short */
        if (!token_write(directory, text)) {
            dro_error("%s/admin.token cannot be written: %m", path);
            return false;
        }
    }
    SHA256((const uint8_t *)text, strlen(text), hash);
    dro_wipe(text, sizeof text);
    return true; /* the descriptor stays open: it holds the lock */
}

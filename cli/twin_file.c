#include "twin_file.h"

#include <dirent.h>
#include <errno.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

bool twin_say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("dromio twin: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return false;
}

char *twin_file_read(const char *path, size_t most, size_t *length)
{
    FILE *file = fopen(path, "rb");
    char *bytes = malloc(most + 2);
    if (file == NULL || bytes == NULL) {
        twin_say("%s: cannot be read: %s", path, file == NULL ? strerror(errno) : "no memory");
        goto failed;
    }
    *length = fread(bytes, 1, most + 1, file);
    if (ferror(file)) {
        twin_say("%s: cannot be read: %s", path, strerror(errno));
        goto failed;
    }
    if (*length > most) {
        twin_say("%s: is longer than %zu bytes", path, most);
        goto failed;
    }
    fclose(file);
    bytes[*length] = '\0';
    return bytes;
failed:
    if (file != NULL)
        fclose(file);
    free(bytes);
    return NULL;
}

bool twin_file_write(const char *path, const void *bytes, size_t length)
{
    char beside[TWIN_PATH_MAX];
    if (snprintf(beside, sizeof beside, "%s.new-%d", path, (int)getpid()) >= (int)sizeof beside)
        return twin_say("%s: the path is too long", path);
    FILE *file = fopen(beside, "wb");
    bool is_written = file != NULL && fwrite(bytes, 1, length, file) == length;
    if (file != NULL)
        is_written = fclose(file) == 0 && is_written;
    if (is_written && rename(beside, path) == 0)
        return true;
    int reason = errno;
    unlink(beside);
    return twin_say("%s: cannot be written: %s", path, strerror(reason));
}

bool twin_path(char path[TWIN_PATH_MAX], const char *folder, const char *name)
{
    if (snprintf(path, TWIN_PATH_MAX, "%s/%s", folder, name) >= TWIN_PATH_MAX)
        return twin_say("%s/%s: the path is too long", folder, name);
    return true;
}

bool twin_folder_make(const char *path)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        return true;
    return twin_say("%s: cannot be made: %s", path, strerror(errno));
}

static void remove_entries(const char *path, int levels)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char inside[TWIN_PATH_MAX];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name) >= (int)sizeof inside)
            continue;
        if (unlink(inside) != 0 && levels > 0)
            remove_entries(inside, levels - 1);
    }
    if (folder != NULL)
        closedir(folder);
    rmdir(path);
}

void twin_folder_remove(const char *path)
{
    remove_entries(path, 1);
}

void twin_words_put(twin_words *words, const char *word)
{
    words->is_full = words->is_full || words->count == TWIN_ARGUMENTS_MAX;
    if (!words->is_full)
        words->words[words->count++] = word;
}

int twin_run(twin_words *words)
{
    pid_t child;
    int status;
    words->words[words->count] = NULL;
    int failed = posix_spawnp(&child, words->words[0], NULL, NULL, (char **)(uintptr_t)words->words, environ);
    if (failed != 0) {
        errno = failed;
        return -1;
    }
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

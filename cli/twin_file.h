/* Files and programs for `dromio twin`: read whole with a bound, write whole or not
 * at all, run a compiler. Every failure is told on standard error, with the path. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TWIN_PATH_MAX = 4096, TWIN_ARGUMENTS_MAX = 64 };

/* malloc'd with a NUL behind; NULL: told why. */
char *twin_file_read(const char *path, size_t most, size_t *length);
/* Beside the place first, then renamed: a reader never sees half of it. */
bool twin_file_write(const char *path, const void *bytes, size_t length);
/* False when it does not fit: told. */
bool twin_path(char path[TWIN_PATH_MAX], const char *folder, const char *name);
bool twin_folder_make(const char *path); /* it may be there already */
/* Removes a folder of ours: files, and one level of folders. */
void twin_folder_remove(const char *path);

/* Words for a program's argv; `is_full` once one did not fit. */
typedef struct twin_words {
    const char *words[TWIN_ARGUMENTS_MAX + 1];
    int count;
    bool is_full;
} twin_words;

void twin_words_put(twin_words *words, const char *word);
/* Exit code of the program; -1: it could not be started (errno). */
int twin_run(twin_words *words);

/* "dromio twin: ..." on standard error; gives false, so that a caller can return it. */
bool twin_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Files: which a process may still open (Landlock). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { DRO_FILES_READ = 1, DRO_FILES_WRITE = 2, DRO_FILES_EXECUTE = 4 };

typedef struct dro_files {
    int descriptor;     /* of a directory, with all beneath it, or of a file (O_PATH is enough); negative: none */
    int rights;         /* DRO_FILES_...; write: to make, to change and to remove plain files, in a directory */
} dro_files;

/* Opens only these from now on, for the calling thread and those it starts, and for good; what is open stays open. Where the
 * kernel can, signals reach only processes that are as confined. PR_SET_NO_NEW_PRIVS is to be set before. False: the
 * kernel has no Landlock, and nothing is confined. */
bool dro_files_confine(const dro_files *files, size_t count);

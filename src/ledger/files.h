/* Files: what the charging journal asks of its directory, so that a test can fail any call and cut the
 * power after it. All calls block. A handle is 0 or more; a failure is -errno. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct files files;
struct files {
    int (*open)(files *files, const char *name); /* to read and write, made if missing (mode 0600) */
    int (*find)(files *files, const char *name); /* the same, but -ENOENT where there is none */
    void (*close)(files *files, int file);
    int64_t (*size)(files *files, int file);
    int64_t (*read)(files *files, int file, uint64_t offset, void *bytes, size_t length); /* less at its end */
    int (*write)(files *files, int file, uint64_t offset, const void *bytes, size_t length); /* all of it, or -errno */
    int (*truncate)(files *files, int file, uint64_t length);
    int (*sync)(files *files, int file);         /* its bytes and its length survive a power cut */
    int (*rename)(files *files, const char *from, const char *to);
    int (*sync_names)(files *files);             /* so do the directory's names */
    int (*list)(files *files, void (*each)(void *context, const char *name), void *context);
};

typedef struct files_directory {
    files files; /* first */
    int directory;
} files_directory;

/* The files of a directory, which is made if missing (mode 0700). Not DRO_OK: told through dro_log. */
DRO_CHECKED dro_err files_directory_open(files_directory *made, const char *path);

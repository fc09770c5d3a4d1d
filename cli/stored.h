/* Stored: the files of a data directory or of a backup, by name, and what can be said
 * of them without a running host. */
#pragma once

#include "archive_check.h"

enum { STORED_FILES_MAX = 1 << 20, STORED_DEPTH_MAX = 4 };

typedef struct stored_file {
    char name[ARCHIVE_NAME_MAX + 1]; /* below the data directory: "log/epoch" */
    uint64_t bytes;
    uint64_t offset; /* in the archive */
} stored_file;

typedef struct stored {
    int fd; /* of the archive or the directory; the owner's */
    bool is_archive;
    stored_file *files; /* by name */
    uint32_t count, capacity;
    char problem[512];
} stored;

/* Borrows the descriptor. False: no memory, or the directory cannot be read; see `problem`. */
bool stored_of_archive(stored *out, int fd, const archive_check *check);
bool stored_of_directory(stored *out, int directory);
void stored_fini(stored *files);
/* The file of this last name after `from`; NULL: no more. Start with NULL. */
const stored_file *stored_named(const stored *files, const char *last, const stored_file *from);
/* Bytes read or -errno. */
int64_t stored_read(const stored *files, const stored_file *file, uint64_t offset, void *buffer, size_t length);

typedef struct stored_logs { /* what was found */
    uint32_t logs, segments;   /* logs: those with a segment */
    uint32_t cores;            /* of the newest generation; of an archive */
    uint64_t rounds, records, epoch;
} stored_logs;
/* Every checksum of every log. False: damaged; `problem` says file and offset. */
bool stored_check_logs(stored *files, stored_logs *found);
/* Is every log there that the list of them names? For an archive; sets the number of those of the newest generation. */
bool stored_check_generations(stored *files, uint32_t *cores);
/* Does the key open what is sealed? False: no, or the file is none. */
bool stored_check_key(stored *files, const char *key_path);

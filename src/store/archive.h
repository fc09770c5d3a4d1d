/* Archive: the frame of a backup. A tar file (POSIX ustar, IEEE 1003.1) of plain
 * files, so that any tar can look into it; but of all that tar allows just one form
 * is written and read, so no bit of a header can change unseen.
 *
 *   ARCHIVE_MANIFEST  what it is, as JSON
 *   parts             by their paths in the data directory
 *   ARCHIVE_SUMS      SHA-256 of each of those before it, as sha256sum writes it
 *   1024 zeros
 *
 * Pure: no file, no hash. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    ARCHIVE_BLOCK = 512,
    ARCHIVE_NAME_MAX = 99,
    ARCHIVE_END = 2 * ARCHIVE_BLOCK, /* zeros behind the last file */
    ARCHIVE_FORMAT = 1,
    ARCHIVE_MANIFEST_MAX = 4096,
    ARCHIVE_SUMS_MAX = 16 * 1024 * 1024, /* about 130,000 parts */
};
#define ARCHIVE_BYTES_MAX ((UINT64_C(1) << 33) - 1) /* of a file: eleven octal digits */
#define ARCHIVE_MANIFEST "backup.json"
#define ARCHIVE_SUMS "SHA256SUMS"

typedef struct archive_head {
    char name[ARCHIVE_NAME_MAX + 1];
    uint64_t bytes;
    int64_t time_s; /* when the backup was taken */
} archive_head;

/* A path below a directory: words of letters, digits, '.', '_' and '-' between slashes, none begins with '.'. */
bool archive_name_is_good(const char *name, size_t length);

void archive_head_write(const archive_head *head, uint8_t out[ARCHIVE_BLOCK]);
/* DRO_NOT_FOUND: zeros, the files end here. DRO_MALFORMED: nothing that archive_head_write writes. */
DRO_CHECKED dro_err archive_head_read(archive_head *head, const uint8_t block[ARCHIVE_BLOCK]);

/* Zeros behind a file of so many bytes. */
static inline size_t archive_padding(uint64_t bytes)
{
    return (size_t)(-bytes & (ARCHIVE_BLOCK - 1));
}

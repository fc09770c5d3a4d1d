/* Durable writes to files of a directory: by io_uring with O_DIRECT and RWF_DSYNC,
 * or by pwrite and fdatasync. Belongs to disk_directory. */
#pragma once

#include "store/disk_directory.h"

enum { DISK_WRITES_MAX = 64 }; /* under way and not yet reaped */

typedef struct disk_writer disk_writer;

/* Tries the way on a small file of `directory` (a descriptor), which it removes. */
DRO_CHECKED dro_err disk_writer_new(disk_writer **out, int directory, disk_way way);
void disk_writer_free(disk_writer *writer); /* NULL is fine. Waits for writes under way */
bool disk_writer_is_direct(const disk_writer *writer); /* files to write are opened with O_DIRECT */
int disk_writer_put(disk_writer *writer, int fd, uint64_t offset, const void *buffer, size_t length, uint64_t token);
int disk_writer_reap(disk_writer *writer, disk_completion *done, int max, bool wait);
/* Whoever asks will sleep on it: the next reap clears it, whatever has signalled. */
int disk_writer_descriptor(disk_writer *writer);

/* Reads that block nobody: by io_uring, else pread at once. Belongs to disk_directory;
 * tells of its completions by the writer's descriptor. */
#pragma once

#include "store/disk_writer.h"

enum { DISK_READS_MAX = 128 }; /* under way and not yet reaped */

typedef struct disk_reader disk_reader;

DRO_CHECKED dro_err disk_reader_new(disk_reader **out, disk_writer *writer);
void disk_reader_free(disk_reader *reader); /* NULL is fine. Waits for reads under way */
bool disk_reader_blocks_nobody(const disk_reader *reader); /* by io_uring */
int disk_reader_put(disk_reader *reader, int fd, uint64_t offset, void *buffer, size_t length, uint64_t token);
int disk_reader_start(disk_reader *reader);
int disk_reader_reap(disk_reader *reader, disk_fetched *done, int max, bool wait);

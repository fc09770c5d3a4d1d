/* Disk in memory: what a test does to its platter behind the log's back. */
#pragma once

#include "store/disk.h"

/* The bytes of a file as they would survive now; NULL: no such file. Good until the next call. */
uint8_t *disk_memory_bytes(disk *disk, const char *name, uint64_t *size);
void disk_memory_truncate(disk *disk, const char *name, uint64_t size);
/* From now on: the n-th call fails; writes under way are torn at a power cut, or not; there is no room for more. */
void disk_memory_fail(disk *disk, uint64_t in_calls);
void disk_memory_cut(disk *disk, uint64_t in_calls); /* from the n-th on nothing reaches the platter */
void disk_memory_tear(disk *disk, bool tear);
void disk_memory_fill(disk *disk, bool is_full);

/* Disk in a directory: what tests choose by hand and programs let it find out. */
#pragma once

#include "store/disk.h"

typedef enum disk_way {
    DISK_ANY,         /* the first of the two that works here */
    DISK_RING_DIRECT, /* io_uring, O_DIRECT, RWF_DSYNC; else DRO_UNSUPPORTED */
    DISK_SYNC,        /* pwrite, fdatasync */
} disk_way;

DRO_CHECKED dro_err disk_open_directory_by(disk **out, const char *directory, disk_way way);
/* "io_uring, O_DIRECT" or "pwrite, fdatasync": for the log and the status page. */
const char *disk_directory_way(const disk *disk);

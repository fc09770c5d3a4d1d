/* Disk: all that touches stable storage goes through here, so that a test can
 * run on a disk in memory, cut its power, tear its writes and fail any call.
 *
 * Files live in one directory. Writes are asynchronous: disk_write_durable
 * returns at once, its completion says the bytes survive a power cut. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct disk disk;
typedef struct disk_completion {
    uint64_t token;
    int error;              /* 0, or an errno: final, never retried */
} disk_completion;

typedef struct disk_fetched {
    uint64_t token;
    int64_t result;         /* bytes read, or -errno */
} disk_fetched;

struct disk {
    /* Opens for reading (`bytes` 0), or opens or creates for writing too (`bytes` > 0: allocated
     * to that size at least, file and directory synced). Handle >= 0 or -errno. */
    int (*open)(disk *disk, const char *name, uint64_t bytes);
    void (*close)(disk *disk, int file);
    int64_t (*size)(disk *disk, int file);
    /* Blocking read; bytes read or -errno. */
    int64_t (*read)(disk *disk, int file, uint64_t offset, void *buffer, size_t length);
    /* `buffer` (4096-aligned, a multiple of 4096 long) stays the caller's and unchanged until the completion. -errno: refused now. */
    int (*write_durable)(disk *disk, int file, uint64_t offset, const void *buffer, size_t length, uint64_t token);
    /* Completions that are there, in any order; `wait`: blocks for at least one if a write is
     * under way. Number filled in, or -errno. */
    int (*reap)(disk *disk, disk_completion *done, int max, bool wait);
    /* A read that blocks nobody: it begins with the next fetch_start. `buffer` is the disk's until its
     * result was reaped, and the file stays open so long. -EAGAIN: too many are under way. A big one of whole,
     * aligned blocks goes past the page cache where it can; a result of -EINVAL says that it cannot. */
    int (*fetch)(disk *disk, int file, uint64_t offset, void *buffer, size_t length, uint64_t token);
    int (*fetch_start)(disk *disk); /* 0 or -errno */
    /* Results that are there, in any order; `wait`: blocks for at least one if a fetch is under way. The
     * descriptor below tells of them too, and only `reap` clears it. */
    int (*fetch_reap)(disk *disk, disk_fetched *done, int max, bool wait);
    /* Whole small file, replaced atomically and durably (write, fsync, rename, fsync of the directory). */
    int (*replace)(disk *disk, const char *name, const void *bytes, size_t length);
    /* The same for a file that always has the same length, and it needs no space once it was done where there was some: what is
     * written takes the place of a spare file, which what was there before becomes: who has it open sees the file of the time
     * after next in it, half or whole. NULL: replace. */
    int (*replace_reserved)(disk *disk, const char *name, const void *bytes, size_t length);
    /* As replace, and what was there before is overwritten before its blocks are free, as far as the file system writes in
     * place. Nobody may have it open. NULL: replace. */
    int (*replace_over)(disk *disk, const char *name, const void *bytes, size_t length);
    /* Both durable on return (fsync of the directory). `to` is replaced if it is there. */
    int (*rename)(disk *disk, const char *from, const char *to);
    int (*remove)(disk *disk, const char *name);
    /* Calls `each` for every file name, in any order; it may not call the disk. */
    int (*list)(disk *disk, void (*each)(void *context, const char *name), void *context);
    /* Readable when completions or results of fetches wait; -1 where there is no such descriptor. To be asked
     * for before each sleep on it. */
    int (*descriptor)(disk *disk);
    void (*free)(disk *disk);
};

/* What a replace, rename or remove gave. */
static inline dro_err disk_err(int error)
{
    return error == 0 ? DRO_OK : error == -ENOSPC || error == -EDQUOT ? DRO_FULL : DRO_IO;
}

/* Files in `directory` (made if missing, mode 0700): io_uring with O_DIRECT and
 * RWF_DSYNC where the kernel and the file system have it, else pwrite and fdatasync,
 * which block in write_durable. DRO_EXISTS: another process has the directory open.
 * DRO_IO: told through dro_log. */
DRO_CHECKED dro_err disk_open_directory(disk **out, const char *directory);

/* The same to read only, with no claim on the directory: every change says -EROFS.
 * DRO_NOT_FOUND: no such directory. DRO_IO: told through dro_log. */
DRO_CHECKED dro_err disk_read_directory(disk **out, const char *directory);

/* Files in memory with a power switch. */
typedef struct disk_memory_faults {
    uint64_t fail_call;  /* the n-th call of any function fails with EIO; 0: none */
    uint64_t crash_call; /* from the n-th call on nothing reaches the platter; 0: none */
    bool tear;           /* writes in flight at the crash are kept in random 512-byte pieces */
    uint64_t seed;
} disk_memory_faults;
disk *disk_memory_new(const disk_memory_faults *faults);
/* A directory in it ("": the disk's own files): a disk with its own names and completions, on the same platter, behind the same
 * switch; its calls count as the whole disk's. Free it before that. */
disk *disk_memory_directory(disk *disk, const char *name);
/* Power off and on: what was not durable is gone (or torn); calls work again. */
void disk_memory_power_cut(disk *disk, const disk_memory_faults *next);
uint64_t disk_memory_calls(const disk *disk);

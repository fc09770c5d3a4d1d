/* Where the logs of a host lie. Each core has a log of its own, and the number of cores may
 * differ from start to start: the logs made for one number are a generation (store/generations.h).
 * Generation 0 is the one log of a host that always had one core; it lies beside the host's files. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "store/disk.h"

typedef struct log_store log_store;
struct log_store {
    /* To write: made if missing, one writer at a time. Else it must be there, and several may read. */
    dro_err (*open)(log_store *store, uint32_t generation, uint32_t core, bool to_write, disk **out);
    /* Removes what is the log's; one that is not there is removed. Nobody has it open. */
    dro_err (*remove)(log_store *store, uint32_t generation, uint32_t core);
};

enum { LOG_STORE_PATH_MAX = 1024 };
typedef struct log_store_directory {
    log_store store; /* first */
    char data[LOG_STORE_PATH_MAX];
} log_store_directory;

/* Directories in `data`: log for generation 0, log-G-C for core C of generation G. */
void log_store_directory_init(log_store_directory *store, const char *data);

/* The same in a disk in memory (disk_memory_new), whose own files are the host's. */
typedef struct log_store_memory {
    log_store store; /* first */
    disk *disk;      /* borrowed */
} log_store_memory;
void log_store_memory_init(log_store_memory *store, disk *disk);

/* Disk: what one durable write costs where the host keeps its data, without the host. */
#pragma once

#include <stdbool.h>

#include "bench/bench.h"

enum { DISK_WRITES = 300, DISK_WRITE_BYTES = 4096, DISK_MS = 2000 };

/* NAME_p50_micros and NAME_p99_micros of pwrite + fdatasync into the settings. */
bool disk_measure(const char *directory, bench_result *result, const char *name);

/* Of the files below a directory, which may be many gigabytes: how much of their bytes is in the page cache (0 to 1, -1: they
 * cannot be read). */
double disk_cached(const char *directory);
/* Has nothing of them there, as far as the kernel lets go of it, */
void disk_forget(const char *directory);
/* or all, as far as there is memory. */
void disk_load(const char *directory);

/* Disk: what one durable write costs where the host keeps its data, without the host. */
#pragma once

#include <stdbool.h>

#include "bench/bench.h"

enum { DISK_WRITES = 300, DISK_WRITE_BYTES = 4096, DISK_MS = 2000 };

/* NAME_p50_micros and NAME_p99_micros of pwrite + fdatasync into the settings. */
bool disk_measure(const char *directory, bench_result *result, const char *name);

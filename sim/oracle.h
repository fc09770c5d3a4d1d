/* Oracle: what a host must know after a run, for a checker outside. One line of
 * JSON a device, appended:
 *
 *   {"imsi","sent","acknowledged","doubt","readings","lost","duplicates","late",
 *    "sequence","temperature","humidity","battery","next_sequence","period"}
 *
 * `sent` and `acknowledged` count readings written to a socket and answered 2001;
 * `readings` to `late` are what the twin must have counted for the acknowledged
 * ones; `doubt` are those sent and never answered: each may be in the twin or not.
 * So readings <= the twin's readings <= readings + doubt. The values are those of
 * the newest acknowledged reading, null before the first. A run that is given a file with lines
 * goes on where the last line of each device ended. */
#pragma once

#include "sim/network.h"

enum { ORACLE_LINE_MAX = 1024 };

/* Continues the devices from `path`; fine when it is not there. DRO_MALFORMED: *line is not ours. */
DRO_CHECKED dro_err oracle_load(network *network, const char *path, unsigned *line);
DRO_CHECKED dro_err oracle_append(network *network, const char *path);
/* One line, also for tests: into the device, or out of it (its length). */
DRO_CHECKED dro_err oracle_read_line(device *into, const char *line, size_t length, char imsi[16]);
int oracle_write_line(const device *from, const char *imsi, char out[ORACLE_LINE_MAX]);

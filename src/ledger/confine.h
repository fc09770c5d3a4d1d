/* Confine: what the room's process may still ask of the kernel, and of the file system. */
#pragma once

#include <stdbool.h>

/* Files beneath the open directory alone (Landlock), and no calls but those for files, memory, sleep and bells.
 * For the calling thread, for good. False: one of the two is not in this kernel; `missing` says which. */
bool confine_ledger(int directory, const char **missing);

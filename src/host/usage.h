/* Usage: looks at the rooms' processes and writes what they cost (ring/usage.h). */
#pragma once

#include <sys/types.h>

#include "ring/usage.h"

typedef struct usage {
    usage_page *page; /* borrowed */
    struct usage_life { /* of each row of the page */
        pid_t pid;
        uint64_t ended_nanos, nanos; /* of the lives before, and of this one */
    } lives[USAGE_ROOMS_MAX];
} usage;

void usage_init(usage *usage, usage_page *page);
/* The room of this name is that process now; 0: none. One that never was is not told of. */
void usage_look(usage *usage, const char *name, pid_t pid);

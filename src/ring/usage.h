/* Usage: what each room costs, on a page that dromiod writes and gates read. A room cannot
 * look at another, and a cell not even at itself. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

enum { USAGE_ROOMS_MAX = 576, USAGE_NAME_MAX = 24 };

typedef struct usage_room {
    char name[USAGE_NAME_MAX];     /* "core 0"; written before `count` counts it */
    _Atomic uint64_t cpu_nanos;    /* of all its lives */
    _Atomic uint64_t memory_bytes; /* resident; 0: not running, or not to be known */
    _Atomic uint64_t starts;
} usage_room;

typedef struct usage_page {
    _Atomic uint32_t count;
    usage_room rooms[USAGE_ROOMS_MAX];
} usage_page;

/* Orphans: what an application that was deleted leaves behind. Its NIDD configurations and exposures go, with all that waits
 * for them, some each round: nobody else could delete them, and the oldest of a device owns its downlinks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct core core;

typedef struct orphans {
    bool is_looking, has_skipped;
    uint32_t table;       /* of owners: NIDD configurations, then the exposures of each kind */
    uint32_t owner;       /* of those looked at */
    uint64_t after;       /* rank of the configuration of it that was looked at last */
    int64_t again_ms;     /* not before */
} orphans;

/* An application may have gone. */
void orphans_look(core *core);
/* A bounded part of what is to be done. */
int orphans_step(core *core);
int64_t orphans_due_ms(const core *core); /* INT64_MAX: nothing is to be done */

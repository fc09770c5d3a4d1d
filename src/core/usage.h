/* Usage: what applications use of their limits, in this core and over all. Counted by the
 * application's number modulo USAGE_SLOTS, without a lock: each core shows its own counts on the
 * board, so that two cores at the same moment may each let the last one in. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/fields.h"
#include "core/core.h"
#include "core/host.h"

enum { USAGE_SLOTS = 4096 };

typedef struct application_usage {
    uint32_t configurations;
    uint32_t downlinks, day;   /* of that day since 1970 */
} application_usage;

/* A configuration of T8 came or (-1) went. */
void usage_configuration(core *core, uint32_t application, int change);
/* Of all cores; configurations of groups count as one each. */
uint64_t usage_configurations(const core *core, uint32_t application);
uint64_t usage_downlinks_today(const core *core, uint32_t application);
/* The application's own limit, else the host's; 0: none. */
uint32_t usage_limit(const core *core, const application *application, enum application_limit limit);
bool usage_has_room(const core *core, const application *application, enum application_limit limit, uint64_t more);
int64_t usage_next_day_s(const core *core); /* until the downlinks of a day are counted anew */

/* Downlinks are counted when they are taken, and the count so far is a field of the record of what was taken: so what was
 * answered is counted after a crash too. All counts are written anew with the host's other tables. Another number of cores
 * begins the day anew. */
void usage_downlinks(core *core, uint32_t application, uint32_t count);
void usage_put(core *core, uint32_t application);  /* inside a record */
void usage_keep(core *core, uint32_t application); /* a record of its own */
void usage_replay(core *core, const dro_field *field);
void usage_write(core *core);                      /* all of them */

/* Rotation: a domain's twins get under its new key, or are deleted with it.
 *
 * From the moment there is a newer key all that is sealed is sealed under it. A hand goes round this core's twins, a
 * few a round, and gives each that is under the older key a new full record, with its context sealed anew, and has
 * its chunks moved. Once all of that is durable, and the host's tables are written anew too, nothing that lives needs the older
 * key; what is left under it are timelines, which end there when it goes. Core 0 destroys it when all cores say so.
 *
 * A restart in the middle begins the walk again and finds most of it done: which key a twin's full record is under
 * is told by the record itself. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/builder.h"
#include "core/core.h"
#include "core/limits.h"
#include "store/commit_log.h"

typedef struct twin twin;

typedef struct rotation {
    uint16_t domains[ROTATIONS_MAX]; /* whose keys change, or that are being deleted */
    uint32_t count;
    uint8_t step;                /* enum rotation_step of those that are walked for */
    bool is_unfinished;          /* this lap left something for the next */
    uint32_t hand;               /* next twin to look at */
    uint64_t round;              /* to be durable before it goes on */
    log_place place;             /* before it may lie what is under an older key */
    int64_t due_ns;              /* looked at again then, if nothing else happens; 0: at once */
    uint64_t destroyed;          /* keys, of this start */
} rotation;

/* Another key: it seals from now on, on all cores as soon as they know. Core 0. DRO_EXISTS: a rotation is under way; DRO_LIMIT: too
 * many are, or there were too many. */
DRO_CHECKED dro_err rotation_start(core *core, uint32_t domain, bool drops_history);
/* The twins of the domain go, then its key. Core 0. */
DRO_CHECKED dro_err rotation_delete(core *core, uint32_t domain);
void rotation_begin(core *core, uint32_t domain);   /* of this core; again is fine */
void rotation_forget(core *core, uint32_t domain);  /* it is done */
void rotation_recovered(core *core);                /* what is left of those that were under way */
int rotation_step(core *core);
int64_t rotation_due_ns(const core *core);          /* or -1 */

/* A full record of the twin is being written. */
void rotation_sealed(core *core, twin *twin);
void rotation_twin_gone(core *core, const twin *twin);
bool rotation_is_behind(const core *core, const twin *twin); /* under a key that is not its domain's newest */
/* Its context in memory, or `sealed`, sealed anew into `again` (as long) if it is under an older key. False: it is not. */
bool rotation_context_is_old(const core *core, const twin *twin, const uint8_t *sealed);
DRO_CHECKED dro_err rotation_reseal(core *core, const twin *twin, const uint8_t *sealed, uint8_t *again);

/* Of all cores: twins left, and is all sealed, and are the timelines gone too. */
typedef struct rotation_progress { uint64_t twins, left; bool is_sealed, has_no_history; } rotation_progress;
rotation_progress rotation_progress_of(const core *core, uint32_t domain);

/* What is under way: as GET /v1/domains shows each, `most` of them; and for /metrics. Core 0; api_domain.c. */
void rotations_put(const core *core, uint32_t most, dro_builder *out);
void rotations_metrics(const core *core, dro_builder *out);

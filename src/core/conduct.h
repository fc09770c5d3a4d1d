/* Conduct: what becomes of twins and images whose turns fail again and again.
 *
 * A twin that fails too often is set aside for a while, longer each time (its penalty): a field of its
 * records, so it outlives a restart and follows the twin to another core. An image of which many twins
 * fail, or some kill their cells, is stopped (core/stops.h) by the host: each core counts its own twins,
 * core 0 adds them up.
 *
 * A turn that may not run is refused to whoever asked for it; any other event is kept as a dead letter. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/builder.h"
#include "base/fields.h"
#include "core/board.h"
#include "core/core.h"
#include "core/turn.h"

typedef struct twin twin;

typedef struct penalty {         /* of a twin that failed lately; in its twin_extra */
    int64_t at_ms, until_ms;     /* newest failure; set aside until, 0: it is not */
    uint8_t strikes;             /* failures not forgotten yet */
    uint8_t level;               /* times it was set aside, each twice as long as the one before */
    uint8_t status;              /* enum turn_status of the newest failure */
    int64_t slow_ms;             /* when a turn of it last ran into its deadline; 0: none did, or long ago */
} penalty;

typedef struct image_conduct {   /* of one image in one window of time, on this core */
    uint32_t window;             /* number of the window these are of */
    uint32_t twins, failures;    /* different twins that failed; turns that did */
    uint32_t killers;            /* different twins that killed their cells */
    uint64_t turns;              /* of the image that were kept, since the start */
    uint64_t turns_before;       /* core 0: of all cores, when it heard of the first failure of window `judged` */
    uint32_t judged;
    board_strikes forgiven;      /* core 0: of all cores, when the image's stop ended; counts in that window alone */
    uint64_t killed_by;          /* a bit for each killer, by its number */
    uint64_t *seen;              /* CONDUCT_SEEN bits for twins that failed, by their numbers; NULL before the first */
} image_conduct;

enum { CONDUCT_SEEN = 4096, PENALTY_LEVEL_MAX = 30 };

/* A stop forbids it: 0, TURN_STOPPED or TURN_QUARANTINED. */
uint8_t turn_stopped(const core *core, const turn *turn);
/* Why a turn may not run now, or what came of it (`has_run`) may not be taken: 0, or a status beyond those of a
 * cell (TURN_STOPPED and the like). */
uint8_t turn_forbidden(core *core, const turn *turn, bool has_run);
/* One that may not: refused, or kept as a dead letter. It was not sent, or its result is not taken. */
void turn_set_aside(core *core, turn *turn, uint8_t status);
/* In the record of a turn that failed; no_number: of a twin that is not there yet. */
void conduct_failed(core *core, const turn *turn, uint32_t status);
/* In the record of a turn that was kept. */
void conduct_kept(core *core, const turn *turn);
DRO_CHECKED dro_err penalty_apply(twin *twin, const dro_field *field);
void penalty_free(twin *twin);
void penalty_write(core *core, const twin *twin); /* into a full record */
void penalty_render(const core *core, const twin *twin, dro_builder *out);
int64_t penalty_until_ms(const core *core, const twin *twin); /* 0: it is not set aside */
bool twin_is_on_probation(const core *core, const twin *twin); /* some turn ran into its deadline, less than penalty_longest_ms ago */
/* Core 0: judges images by what all cores have counted. */
void conduct_step(core *core);
/* Core 0: its stop has ended; what failed before is not held against it any more. */
void conduct_forgive(core *core, uint32_t image);
void conduct_free(core *core);
struct call;
void api_penalty_delete(core *core, const struct call *call);

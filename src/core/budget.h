/* Budgets: token buckets of twins and images (twin/budget.h). What a turn uses is charged when it is over, so one turn may
 * go beyond; the next one waits until there is room again. Of an image each core has its share, since the
 * twins of an image are spread evenly over the cores.
 *
 * A twin's bucket is kept only while something is missing in it, in a table with room for the busiest
 * BUDGET_STATES; whoever finds no place takes that of the one who was charged longest ago, which begins anew. What is far below a
 * bucket's size is not charged each time, but rarely and then as much more (by the seed of the turn): so a
 * twin that does little has no bucket, and one that does little very often has one all the same. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/builder.h"
#include "base/fields.h"
#include "core/core.h"
#include "core/limits.h"
#include "twin/budget.h"

enum {
    BUDGET_WAYS = 4,
    BUDGET_STATES = 16384,                     /* twins of a core with something missing in their buckets */
    BUDGET_SETS = BUDGET_STATES / BUDGET_WAYS,
    BUDGET_GRAIN = 64,                         /* a charge of less than one such part of a bucket is rounded, by chance */
    HOST_BUDGET = 12,                          /* field of the host's file: index u32 of an image; scope u8, value u8, u32: what it has of its own */
};

typedef struct twin twin;
typedef struct turn turn;

typedef struct budget {              /* limits as they are used */
    float rate[BUDGET_KINDS];        /* a ms; CPU in microseconds */
    float burst[BUDGET_KINDS];       /* 0: no limit */
    float fraction[BUDGET_KINDS];    /* 1 / burst; 0: no limit */
    uint64_t memory;                 /* bytes; UINT64_MAX: no limit */
    bool is_on;
} budget;

typedef struct image_budget {
    budget twin, image;
    budget_limits own[BUDGET_SCOPES];/* BUDGET_UNSAID: the host's */
    float spent[BUDGET_KINDS];       /* of the image */
    int64_t at_ms;                   /* when that was so */
    uint64_t context_bytes;          /* of its twins, sealed: core/cold.c */
} image_budget;

typedef struct budget_state {        /* of a twin */
    uint32_t twin;                   /* + 1; 0: free */
    int64_t at_ms;
    float spent[BUDGET_KINDS];
} budget_state;

typedef struct budget_table {
    image_budget images[CORE_IMAGES_MAX];
    budget_state (*sets)[BUDGET_WAYS];   /* [BUDGET_SETS], NULL before the first */
    const char *reason;              /* of the newest TURN_BUDGET, */
    int64_t until_ms;                /* and when it is over; */
    bool is_of_result;               /* its turn ran: what it came to may not be kept */
} budget_table;

void budgets_init(core *core); /* no image has anything of its own yet */
/* May a turn of the twin begin? Else budgets.reason says why not. */
bool budget_lets_begin(core *core, const turn *turn);
int64_t budget_until_ms(const core *core, uint32_t twin); /* when one may; 0: now */
/* The effects that were taken and the context that came: may they be kept? */
bool budget_lets_keep(core *core, const turn *turn, uint32_t context_length);
uint32_t budget_log_left(const core *core, const turn *turn); /* bytes of log lines that may be kept */
/* In the record of a turn that is kept (`record_bytes`), or of one that failed (0). */
void budget_charge(core *core, const turn *turn, uint32_t cpu_nanos, uint32_t log_bytes, size_t record_bytes);
void budget_forget(core *core, uint32_t twin);      /* it is gone */
void budgets_free(core *core);
void budgets_write(const core *core, dro_builder *out);
DRO_CHECKED dro_err budget_read(core *core, const dro_field *field);
void budgets_follow_begin(core *core);              /* what images have of their own is read anew */
void budgets_follow_end(core *core);
void budget_put(const core *core, uint32_t image, dro_builder *out); /* as JSON */
struct call;
void api_image_patch(core *core, const struct call *call);

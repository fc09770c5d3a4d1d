/* Budget: what a twin, or all twins of an image on a host, may use. Names are those of the configuration
 * ([budgets.twin], [budgets.image]) and of an image's own ("budget"). Rates are a minute's; a burst is what may be
 * used at once, 0: as much as a minute has. A rate of 0: no limit. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum budget_kind { BUDGET_CPU /* ms */, BUDGET_MESSAGES, BUDGET_TIMERS, BUDGET_LOG /* bytes */, BUDGET_STORAGE /* bytes */, BUDGET_KINDS };
enum budget_value {
    BUDGET_BURST = BUDGET_KINDS,                /* + kind */
    BUDGET_MEMORY = 2 * BUDGET_KINDS,           /* of a twin bytes of its context, of an image KiB of those of all its twins. 0: no limit of its own */
    BUDGET_VALUES,
};
enum budget_scope { BUDGET_OF_TWIN, BUDGET_OF_IMAGE, BUDGET_SCOPES };
enum { BUDGET_VALUE_MAX = 2000000000 };
#define BUDGET_UNSAID UINT32_MAX

typedef struct budget_limits { uint32_t of[BUDGET_VALUES]; } budget_limits;

const char *budget_value_name(uint32_t value);
const char *budget_scope_name(uint32_t scope);
/* BUDGET_VALUES, BUDGET_SCOPES: there is none of that name. */
uint32_t budget_value_find(const char *name, size_t length);
uint32_t budget_scope_find(const char *name, size_t length);

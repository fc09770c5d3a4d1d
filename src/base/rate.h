/* Rate: how often something may happen (GCRA, the virtual scheduling of ITU-T I.371, as a
 * leaky bucket of one number). No lock, no timer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct dro_rate {
    int64_t due_ns; /* when all that happened will have been due */
} dro_rate;

/* `per_second` 0: no limit. `burst` at once, at least 1. When it may not: false, and how long until it may. */
static inline bool dro_rate_take(dro_rate *rate, int64_t now_ns, uint32_t per_second, uint32_t burst, int64_t *wait_ns)
{
    *wait_ns = 0;
    if (per_second == 0)
        return true;
    int64_t step_ns = 1000000000 / (int64_t)per_second, due_ns = rate->due_ns > now_ns ? rate->due_ns : now_ns;
    int64_t early_ns = due_ns - now_ns - step_ns * ((burst > 0 ? (int64_t)burst : 1) - 1);
    if (early_ns > 0) {
        *wait_ns = early_ns;
        return false;
    }
    rate->due_ns = due_ns + step_ns;
    return true;
}

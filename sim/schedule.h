/* Schedule: when each of a fixed number of things (devices, by their index) wants
 * to be called next. A binary heap; nothing is allocated after schedule_new. */
#pragma once

#include <stdint.h>

#define SCHEDULE_NEVER INT64_MAX

typedef struct schedule schedule;

schedule *schedule_new(uint32_t count); /* NULL: no memory */
void schedule_free(schedule *schedule); /* NULL is fine */
/* Sets or moves; SCHEDULE_NEVER takes it out. */
void schedule_set(schedule *schedule, uint32_t index, int64_t due);
/* The earliest due time, SCHEDULE_NEVER when there is none. */
int64_t schedule_next(const schedule *schedule);
/* Takes out the earliest one that is due at `now`: its index, or -1. Equal times: lower index first. */
int64_t schedule_take(schedule *schedule, int64_t now);

/* Clock and random: the two things a room may not reach for by itself. They come
 * in as structs so that a whole host runs on fake time with a seed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct dro_clock dro_clock;
struct dro_clock {
    int64_t (*wall_ms)(dro_clock *clock);      /* milliseconds since 1970 UTC; may jump */
    int64_t (*monotonic_ns)(dro_clock *clock); /* never goes back */
};

typedef struct dro_random dro_random;
struct dro_random {
    void (*fill)(dro_random *random, void *bytes, size_t length);
};

dro_clock *dro_clock_system(void);   /* the machine's clock; shared, never freed */
dro_random *dro_random_system(void); /* getrandom(2) */

/* One time for all rooms, that runs with the monotonic clock and follows the machine's wall clock with care (decision 050): dromiod
 * shares it before it forks and tends it, rooms can only read it. Without it dro_clock_system says what the machine says. */
enum {
    CLOCK_AHEAD_MAX_S = 7 * 24 * 3600,  /* so far ahead is believed, and taken at once */
    CLOCK_BEHIND_MAX_S = 24 * 3600,     /* so far behind is believed: our time runs slower until it is reached */
    CLOCK_SLOWER = 10,                  /* by one part of so many */
};
#define CLOCK_SANE_MS 1767225600000     /* 2026-01-01: who is earlier has no time yet, and takes any that is later */
DRO_CHECKED dro_err dro_clock_share(void);
void dro_clock_tend(void);              /* about once a second */
int64_t dro_clock_off_ms(void);         /* how far the machine's clock is ahead of ours and not believed; 0: it is */

/* How our time runs with the monotonic clock. */
typedef struct dro_clock_course {
    int64_t since_ns; /* monotonic */
    int64_t ours_ns;  /* our time then, since 1970 */
    int64_t ahead_ns; /* so far ahead of the machine's clock: it runs slower until that is gone */
} dro_clock_course;
int64_t dro_clock_at(const dro_clock_course *course, int64_t monotonic_ns);
/* Its course from now on, the machine's clock being `wall_ns`: no time on it is before one that was told. As dro_clock_off_ms, in nanoseconds. */
int64_t dro_clock_steer(dro_clock_course *course, int64_t monotonic_ns, int64_t wall_ns);

/* xoshiro256** from a seed: for tests, simulation and the seeds of turns. */
typedef struct dro_random_seeded {
    dro_random random;
    uint64_t state[4];
} dro_random_seeded;
void dro_random_seeded_init(dro_random_seeded *random, uint64_t seed);
uint64_t dro_random_next(dro_random_seeded *random);

/* A clock that moves only when told. */
typedef struct dro_clock_fake {
    dro_clock clock;
    int64_t wall_ms;
    int64_t monotonic_ns;
} dro_clock_fake;
void dro_clock_fake_init(dro_clock_fake *clock, int64_t wall_ms);
void dro_clock_fake_advance(dro_clock_fake *clock, int64_t ns);

/* RFC 3339 in UTC with milliseconds ("2026-11-22T12:00:00.000Z"), 25 bytes with NUL. */
enum { DRO_TIME_TEXT = 25 };
void dro_time_text(int64_t wall_ms, char out[DRO_TIME_TEXT]);

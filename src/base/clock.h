/* Clock and random: the two things a room may not reach for by itself. They come
 * in as structs so that a whole host runs on fake time with a seed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

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

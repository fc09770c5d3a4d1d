#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static int64_t system_wall_ms(dro_clock *clock)
{
    (void)clock;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t system_monotonic_ns(dro_clock *clock)
{
    (void)clock;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

dro_clock *dro_clock_system(void)
{
    static dro_clock clock = { system_wall_ms, system_monotonic_ns };
    return &clock;
}

static void system_fill(dro_random *random, void *bytes, size_t length)
{
    (void)random;
    uint8_t *at = bytes;
    while (length > 0) {
        ssize_t got = getrandom(at, length, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort(); /* no entropy, no keys: nothing sensible can follow */
        at += got;
        length -= (size_t)got;
    }
}

dro_random *dro_random_system(void)
{
    static dro_random random = { system_fill };
    return &random;
}

static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

uint64_t dro_random_next(dro_random_seeded *random)
{
    uint64_t *s = random->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

static void seeded_fill(dro_random *random, void *bytes, size_t length)
{
    dro_random_seeded *seeded = (dro_random_seeded *)random;
    uint8_t *at = bytes;
    for (size_t i = 0; i < length; i++)
        at[i] = (uint8_t)dro_random_next(seeded);
}

void dro_random_seeded_init(dro_random_seeded *random, uint64_t seed)
{
    random->random.fill = seeded_fill;
    for (int i = 0; i < 4; i++) { /* splitmix64, as the authors of xoshiro advise */
        seed += 0x9e3779b97f4a7c15u;
        uint64_t z = seed;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        random->state[i] = z ^ z >> 31;
    }
}

static int64_t fake_wall_ms(dro_clock *clock)
{
    return ((dro_clock_fake *)clock)->wall_ms;
}

static int64_t fake_monotonic_ns(dro_clock *clock)
{
    return ((dro_clock_fake *)clock)->monotonic_ns;
}

void dro_clock_fake_init(dro_clock_fake *clock, int64_t wall_ms)
{
    *clock = (dro_clock_fake){ { fake_wall_ms, fake_monotonic_ns }, wall_ms, 1 };
}

void dro_clock_fake_advance(dro_clock_fake *clock, int64_t ns)
{
    assert(ns >= 0);
    int64_t before = clock->monotonic_ns / 1000000;
    clock->monotonic_ns += ns;
    clock->wall_ms += clock->monotonic_ns / 1000000 - before;
}

void dro_time_text(int64_t wall_ms, char out[DRO_TIME_TEXT])
{
    int64_t seconds = wall_ms / 1000;
    int64_t ms = wall_ms % 1000;
    if (ms < 0) {
        ms += 1000;
        seconds--;
    }
    if (seconds < 0 || seconds > 253402300799) { /* year 0 to 9999 is all the format has */
        seconds = 0;
        ms = 0;
    }
    time_t when = (time_t)seconds;
    struct tm utc;
    gmtime_r(&when, &utc);
    char text[64];
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900,
             utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, (int)ms);
    for (int i = 0; i < DRO_TIME_TEXT - 1; i++)
        out[i] = text[i];
    out[DRO_TIME_TEXT - 1] = '\0';
}

#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { NS_PER_MS = 1000000, TEND_MS = 100 };

typedef struct shared_time {
    _Atomic int64_t offset_ns;  /* of our time to the monotonic clock */
    _Atomic int64_t off_ms;
} shared_time;

static const shared_time *shared; /* what rooms read; NULL: nobody tends it */
static shared_time *tended;       /* dromiod's alone: no room inherits it */
static int64_t tended_ns;         /* when it was last looked at */

static int64_t now_of(clockid_t which)
{
    struct timespec now;
    clock_gettime(which, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t system_wall_ms(dro_clock *clock)
{
    (void)clock;
    if (shared == NULL)
        return now_of(CLOCK_REALTIME) / NS_PER_MS;
    return (now_of(CLOCK_MONOTONIC) + atomic_load_explicit(&shared->offset_ns, memory_order_relaxed)) / NS_PER_MS;
}

static int64_t system_monotonic_ns(dro_clock *clock)
{
    (void)clock;
    return now_of(CLOCK_MONOTONIC);
}

dro_clock *dro_clock_system(void)
{
    static dro_clock clock = { system_wall_ms, system_monotonic_ns };
    return &clock;
}

/* ---- one time for all rooms ---- */

int64_t dro_clock_step(int64_t ours_ms, int64_t wall_ms, int64_t passed_ms)
{
    int64_t ahead_ms = wall_ms - ours_ms;
    if (ahead_ms >= 0)
        return ahead_ms <= CLOCK_AHEAD_MAX_S * INT64_C(1000) || ours_ms < CLOCK_SANE_MS ? ahead_ms : 0;
    if (-ahead_ms > CLOCK_BEHIND_MAX_S * INT64_C(1000))
        return 0;
    int64_t slower_ms = passed_ms / CLOCK_SLOWER;
    return -ahead_ms < slower_ms ? ahead_ms : -slower_ms;
}

dro_err dro_clock_share(void)
{
    int memory = memfd_create("dromio time", MFD_CLOEXEC);
    if (memory < 0 || ftruncate(memory, sizeof *tended) != 0) {
        if (memory >= 0)
            close(memory);
        return DRO_IO;
    }
    void *ours = mmap(NULL, sizeof *tended, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    void *theirs = mmap(NULL, sizeof *tended, PROT_READ, MAP_SHARED, memory, 0);
    close(memory);
    if (ours == MAP_FAILED || theirs == MAP_FAILED || madvise(ours, sizeof *tended, MADV_DONTFORK) != 0)
        return DRO_IO;
    tended = ours;
    tended_ns = now_of(CLOCK_MONOTONIC);
    atomic_store(&tended->offset_ns, now_of(CLOCK_REALTIME) - tended_ns);
    shared = theirs;
    return DRO_OK;
}

void dro_clock_tend(void)
{
    int64_t now_ns = now_of(CLOCK_MONOTONIC), wall_ns = now_of(CLOCK_REALTIME);
    if (tended == NULL || now_ns - tended_ns < TEND_MS * (int64_t)NS_PER_MS)
        return;
    int64_t offset_ns = atomic_load(&tended->offset_ns);
    int64_t ours_ms = (now_ns + offset_ns) / NS_PER_MS, wall_ms = wall_ns / NS_PER_MS;
    int64_t step_ms = dro_clock_step(ours_ms, wall_ms, (now_ns - tended_ns) / NS_PER_MS);
    bool is_believed = step_ms != 0 || ours_ms == wall_ms || (wall_ms < ours_ms && ours_ms - wall_ms <= CLOCK_BEHIND_MAX_S * INT64_C(1000));
    tended_ns = now_ns;
    atomic_store(&tended->off_ms, is_believed ? 0 : wall_ms - ours_ms);
    if (step_ms != 0)
        atomic_store(&tended->offset_ns, offset_ns + step_ms * NS_PER_MS);
}

int64_t dro_clock_off_ms(void)
{
    return shared == NULL ? 0 : atomic_load_explicit(&shared->off_ms, memory_order_relaxed);
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

/* The last `width` decimal digits. */
static void digits_put(char *out, unsigned value, int width)
{
    for (int i = width - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

/* Written by hand because whole tables of times are put into text. The calendar is
 * counted in eras of 400 years that begin on 1 March, so that the leap day is a
 * year's last. */
void dro_time_text(int64_t wall_ms, char out[DRO_TIME_TEXT])
{
    enum { DAY_MS = 86400000, ERA_DAYS = 146097, EPOCH_DAYS = 719468 /* 0000-03-01 to 1970-01-01 */ };
    static const int64_t latest = INT64_C(253402300799999); /* the year 9999 is all the format has */
    if (wall_ms < 0 || wall_ms > latest)
        wall_ms = 0;
    unsigned ms = (unsigned)(wall_ms % DAY_MS), days = (unsigned)(wall_ms / DAY_MS) + EPOCH_DAYS;
    unsigned era = days / ERA_DAYS, day_of_era = days % ERA_DAYS;
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month_from_march = (5 * day_of_year + 2) / 153;
    unsigned day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    unsigned month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    memcpy(out, "0000-00-00T00:00:00.000Z", DRO_TIME_TEXT);
    digits_put(out, era * 400 + year_of_era + (month <= 2), 4);
    digits_put(out + 5, month, 2);
    digits_put(out + 8, day, 2);
    digits_put(out + 11, ms / 3600000, 2);
    digits_put(out + 14, ms / 60000 % 60, 2);
    digits_put(out + 17, ms / 1000 % 60, 2);
    digits_put(out + 20, ms % 1000, 3);
}

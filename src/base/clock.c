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

enum { NS_PER_MS = 1000000, TEND_MS = 100, COURSES = 2 };

/* `count` says which course holds; dromiod writes the other one, so no room ever waits for it. */
typedef struct shared_time {
    _Atomic uint32_t count; /* of courses so far */
    _Atomic int64_t off_ms;
    struct shared_course { _Atomic int64_t since_ns, ours_ns, ahead_ns; } courses[COURSES];
} shared_time;

static const shared_time *shared; /* what rooms read; NULL: nobody tends it */
static shared_time *tended;       /* dromiod's alone: no room inherits it */
static _Atomic int64_t latest_ms; /* that this room was told */

static int64_t now_of(clockid_t which)
{
    struct timespec now;
    clock_gettime(which, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static dro_clock_course course_of(const shared_time *time, uint32_t count)
{
    const struct shared_course *course = &time->courses[count % COURSES];
    return (dro_clock_course){ course->since_ns, course->ours_ns, course->ahead_ns };
}

/* The clock is read between two looks at the count, so that it is read within that course. */
static int64_t shared_ms(void)
{
    int64_t ours_ms, latest = latest_ms;
    uint32_t count;
    do {
        count = shared->count;
        dro_clock_course course = course_of(shared, count);
        ours_ms = dro_clock_at(&course, now_of(CLOCK_MONOTONIC)) / NS_PER_MS;
    } while (shared->count != count);
    while (ours_ms > latest && !atomic_compare_exchange_weak(&latest_ms, &latest, ours_ms))
        ;
    return ours_ms > latest ? ours_ms : latest; /* dromiod shares a course a moment after it begins */
}

static int64_t system_wall_ms(dro_clock *clock)
{
    (void)clock;
    return shared == NULL ? now_of(CLOCK_REALTIME) / NS_PER_MS : shared_ms();
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

int64_t dro_clock_at(const dro_clock_course *course, int64_t monotonic_ns)
{
    int64_t passed_ns = monotonic_ns - course->since_ns, lost_ns = passed_ns / CLOCK_SLOWER;
    return course->ours_ns + passed_ns - (lost_ns < course->ahead_ns ? lost_ns : course->ahead_ns);
}

int64_t dro_clock_steer(dro_clock_course *course, int64_t monotonic_ns, int64_t wall_ns)
{
    int64_t ours_ns = dro_clock_at(course, monotonic_ns), off_ns = wall_ns - ours_ns;
    *course = (dro_clock_course){ monotonic_ns, ours_ns, 0 };
    if (off_ns > CLOCK_AHEAD_MAX_S * INT64_C(1000000000) && ours_ns / NS_PER_MS >= CLOCK_SANE_MS)
        return off_ns;
    if (off_ns < -CLOCK_BEHIND_MAX_S * INT64_C(1000000000))
        return off_ns;
    if (off_ns >= 0)
        course->ours_ns = wall_ns;
    else
        course->ahead_ns = -off_ns;
    return 0;
}

static void share_course(dro_clock_course course)
{
    uint32_t next = tended->count + 1;
    struct shared_course *at = &tended->courses[next % COURSES];
    at->since_ns = course.since_ns;
    at->ours_ns = course.ours_ns;
    at->ahead_ns = course.ahead_ns;
    tended->count = next;
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
    share_course((dro_clock_course){ now_of(CLOCK_MONOTONIC), now_of(CLOCK_REALTIME), 0 });
    shared = theirs;
    return DRO_OK;
}

void dro_clock_tend(void)
{
    if (tended == NULL)
        return;
    int64_t now_ns = now_of(CLOCK_MONOTONIC), wall_ns = now_of(CLOCK_REALTIME);
    dro_clock_course course = course_of(tended, tended->count);
    if (now_ns - course.since_ns < TEND_MS * (int64_t)NS_PER_MS)
        return;
    tended->off_ms = dro_clock_steer(&course, now_ns, wall_ns) / NS_PER_MS;
    share_course(course);
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

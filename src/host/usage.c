#include "host/usage.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void usage_init(usage *usage, usage_page *page)
{
    *usage = (struct usage){ .page = page };
}

/* CPU time needs no right but to know the number; 0: it ended. */
static uint64_t cpu_nanos_of(pid_t pid)
{
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0)
        return 0;
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Where /proc hides processes that cannot be traced (ProtectProc=), this is not to be known. */
static uint64_t memory_of(pid_t pid)
{
    char path[48], text[128];
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (file >= 0)
        close(file);
    unsigned long long size, resident;
    text[length > 0 ? length : 0] = '\0';
    return sscanf(text, "%llu %llu", &size, &resident) == 2 ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* Its row, made if `is_there` and missing; the page full: the last one, for all that are left. USAGE_ROOMS_MAX: none. */
static uint32_t row_of(usage_page *page, const char *name, bool is_there)
{
    uint32_t count = atomic_load_explicit(&page->count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(page->rooms[i].name, name) == 0)
            return i;
    if (!is_there)
        return USAGE_ROOMS_MAX;
    if (count == USAGE_ROOMS_MAX)
        return USAGE_ROOMS_MAX - 1;
    snprintf(page->rooms[count].name, USAGE_NAME_MAX, "%s", name);
    atomic_store_explicit(&page->count, count + 1, memory_order_release);
    return count;
}

void usage_look(usage *usage, const char *name, pid_t pid)
{
    uint32_t row = row_of(usage->page, name, pid > 0);
    if (row == USAGE_ROOMS_MAX)
        return;
    usage_room *room = &usage->page->rooms[row];
    struct usage_life *life = &usage->lives[row];
    if (pid != life->pid) {
        life->ended_nanos += life->nanos;
        life->nanos = 0;
        life->pid = pid;
        if (pid > 0)
            atomic_fetch_add_explicit(&room->starts, 1, memory_order_relaxed);
    }
    uint64_t nanos = pid > 0 ? cpu_nanos_of(pid) : 0;
    if (nanos > life->nanos)
        life->nanos = nanos;
    atomic_store_explicit(&room->cpu_nanos, life->ended_nanos + life->nanos, memory_order_relaxed);
    atomic_store_explicit(&room->memory_bytes, pid > 0 ? memory_of(pid) : 0, memory_order_relaxed);
}

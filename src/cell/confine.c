/* Holds a cell to the seven system calls it needs from then on: read, write, futex, clock_nanosleep, clock_gettime,
 * rt_sigreturn, exit_group; and to the kernel's own restart_syscall. SECURITY.md, docs/threat-model.md and the proof
 * `sandbox` name as many. */
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/wipe.h"
#include "cell/cell_private.h"
#include "cell/filter.h"
#ifdef DROMIO_HOSTILE
#include "cell/hostile.h"
#endif

enum {
    HEAP_BYTES = 8 * 1024 * 1024, /* of heap touched first: a backtrace, a fresh instance take from it */
    TRIM_NEVER = 1 << 30,
    NO_CLOCK = -1,
};

/* No mmap, no brk, no munmap is allowed later: malloc has to find all it needs in
 * the heap, and must not give any of it back. */
static dro_err heap_prepare(void)
{
    if (mallopt(M_MMAP_MAX, 0) == 0 || mallopt(M_TRIM_THRESHOLD, TRIM_NEVER) == 0 || mallopt(M_ARENA_MAX, 1) == 0)
        return DRO_UNSUPPORTED;
    void *heap = malloc(HEAP_BYTES);
    if (heap == NULL)
        return DRO_NOMEM;
    memset(heap, 1, HEAP_BYTES);
    dro_wipe(heap, HEAP_BYTES);
    free(heap);
    return DRO_OK;
}

/* Nothing else. The one clock that can be read by a call says how much CPU time the cell's own turns had. */
static dro_err filter_close(int own_bell, int core_bell, int ready, clockid_t turns)
{
    struct sock_filter filter[] = {
        FILTER_BEGIN,
        FILTER_ALLOW_FIRST(__NR_read, own_bell),
        FILTER_ALLOW_FIRST_OF(__NR_write, core_bell, ready >= 0 ? ready : core_bell),
        FILTER_ALLOW_FUTEX,
        FILTER_ALLOW(__NR_clock_nanosleep),
        FILTER_ALLOW_FIRST(__NR_clock_gettime, turns),
        FILTER_ALLOW(__NR_restart_syscall), /* the kernel's own way on after SIGCONT; nobody calls it */
        FILTER_ALLOW(__NR_rt_sigreturn),
        FILTER_ALLOW(__NR_exit_group),
        FILTER_RETURN(SECCOMP_RET_KILL_PROCESS),
    };
    return filter_install(filter, sizeof filter / sizeof filter[0]);
}

void cell_give_way(cell *cell)
{
    struct sched_param least = { 0 };
    if (!cell->options.gives_way)
        return;
    if (sched_setscheduler(0, SCHED_IDLE, &least) != 0 ||
        (cell->ticker.is_running && pthread_setschedparam(cell->ticker.thread, SCHED_IDLE, &least) != 0))
        dro_warn("no lower priority for the cell of twins on probation");
}

dro_err cell_confine(cell *cell, int ready)
{
    int core_bell = cell->options.results != NULL ? cell->options.results->doorbell : -1;
    dro_err err = heap_prepare();
#ifdef DROMIO_HOSTILE
    hostile_prepare(cell);
#endif
    if (err == DRO_OK)
        err = cell_warm(cell);
    if (err == DRO_OK)
        cell_give_way(cell); /* not before: its start would wait for CPU time too */
    if (err == DRO_OK && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        err = DRO_DENIED;
    return err == DRO_OK ? filter_close(cell->options.doorbell, core_bell, ready, cell->ticker.is_running ? cell->ticker.clock : NO_CLOCK) : err;
}

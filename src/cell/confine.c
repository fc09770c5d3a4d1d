/* Holds a cell to the six system calls it needs from then on. */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/wipe.h"
#include "cell/cell_private.h"

enum {
    HEAP_BYTES = 8 * 1024 * 1024, /* of heap touched first: a backtrace, a fresh instance take from it */
    TRIM_NEVER = 1 << 30,
};

#if defined(__x86_64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

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

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define LOAD_HIGH(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field) + 4)
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)
#define ALLOW(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), RETURN(SECCOMP_RET_ALLOW)
/* Allowed on one descriptor only; the number is loaded again after a mismatch of neither. */
#define ALLOW_ON(number, fd)                                        \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4), LOAD(args[0]), \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(fd), 0, 1), RETURN(SECCOMP_RET_ALLOW), \
        RETURN(SECCOMP_RET_KILL_PROCESS)

static dro_err filter_install(int own_bell, int core_bell)
{
    struct sock_filter filter[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCHITECTURE, 1, 0),
        RETURN(SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),
        ALLOW_ON(__NR_read, own_bell),
        ALLOW_ON(__NR_write, core_bell),
        ALLOW(__NR_futex),
        ALLOW(__NR_clock_nanosleep),
        ALLOW(__NR_rt_sigreturn),
        ALLOW(__NR_exit_group),
        RETURN(SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = { sizeof filter / sizeof filter[0], filter };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return DRO_DENIED;
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
        return DRO_UNSUPPORTED;
    return DRO_OK;
}

dro_err cell_confine(cell *cell)
{
    int core_bell = cell->options.results != NULL ? cell->options.results->doorbell : -1;
    dro_err err = heap_prepare();
    if (err == DRO_OK)
        err = cell_warm(cell);
    if (err == DRO_OK && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        err = DRO_DENIED;
    return err == DRO_OK ? filter_install(cell->options.doorbell, core_bell) : err;
}

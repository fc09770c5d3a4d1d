#include "desk/confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#if defined(__x86_64__)
#define DESK_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define DESK_ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef DESK_ARCH
/* Memory, sleep, the bells, the log on standard error, and the end. */
static const int allowed[] = {
    SYS_read,          SYS_write,          SYS_close,      SYS_ppoll,        SYS_futex,          SYS_brk,
    SYS_mmap,          SYS_munmap,         SYS_mremap,     SYS_madvise,      SYS_clock_gettime,  SYS_clock_nanosleep,
    SYS_nanosleep,     SYS_sched_yield,    SYS_getpid,     SYS_gettid,       SYS_rt_sigreturn,   SYS_rt_sigprocmask,
    SYS_rt_sigaction,  SYS_exit,           SYS_exit_group, SYS_gettimeofday, SYS_getrandom,      SYS_restart_syscall,
    SYS_sched_getaffinity, SYS_sigaltstack, SYS_tgkill, SYS_mprotect,
#ifdef SYS_poll
    SYS_poll,
#endif
};
enum { ALLOWED = sizeof allowed / sizeof allowed[0] };

static struct sock_filter statement(unsigned code, uint32_t k)
{
    return (struct sock_filter){ (uint16_t)code, 0, 0, k };
}

static struct sock_filter jump(uint32_t k, unsigned if_true, unsigned if_false)
{
    return (struct sock_filter){ BPF_JMP | BPF_JEQ | BPF_K, (uint8_t)if_true, (uint8_t)if_false, k };
}

/* Everything else fails with EPERM: a library that probes for something goes on
 * without. Memory never becomes executable. */
static bool filter_install(void)
{
    struct sock_filter filter[ALLOWED + 16];
    unsigned n = 0;
    filter[n++] = statement(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    filter[n++] = jump(DESK_ARCH, 1, 0);
    filter[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    filter[n++] = statement(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    filter[n++] = jump(SYS_mmap, 1, 0);
    filter[n++] = jump(SYS_mprotect, 0, 4);
    filter[n++] = statement(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2]));
    filter[n++] = (struct sock_filter){ BPF_JMP | BPF_JSET | BPF_K, 0, 1, PROT_EXEC };
    filter[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    filter[n++] = statement(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (unsigned i = 0; i < ALLOWED; i++)
        filter[n++] = jump((uint32_t)allowed[i], ALLOWED - i, 0);
    filter[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    filter[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = { .len = (uint16_t)n, .filter = filter };
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}
#else
static bool filter_install(void)
{
    return false;
}
#endif

bool confine_desk(void)
{
    time_t now = time(NULL);
    struct tm parts;
    tzset(); /* reads the time zone's file, while it can */
    localtime_r(&now, &parts);
    gmtime_r(&now, &parts);
    prctl(PR_SET_DUMPABLE, 0);
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && filter_install();
}

#include "desk/confine.h"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/calls.h"

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

bool confine_desk(void)
{
    time_t now = time(NULL);
    struct tm parts;
    tzset(); /* reads the time zone's file, while it can */
    localtime_r(&now, &parts);
    gmtime_r(&now, &parts);
    prctl(PR_SET_DUMPABLE, 0);
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && dro_calls_confine(allowed, sizeof allowed / sizeof allowed[0]);
}

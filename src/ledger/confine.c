#include "ledger/confine.h"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/calls.h"
#include "base/files.h"

static const int allowed[] = {
    SYS_read,          SYS_write,          SYS_close,       SYS_pread64,       SYS_pwrite64,       SYS_openat,        SYS_renameat,
    SYS_ftruncate,     SYS_fdatasync,      SYS_fsync,       SYS_fstat,         SYS_getdents64,     SYS_lseek,         SYS_fcntl,
    SYS_ppoll,         SYS_futex,          SYS_brk,         SYS_mmap,          SYS_munmap,         SYS_mremap,        SYS_madvise,
    SYS_clock_gettime, SYS_clock_nanosleep, SYS_sched_yield, SYS_getpid,       SYS_gettid,         SYS_rt_sigreturn,  SYS_rt_sigprocmask,
    SYS_rt_sigaction,  SYS_exit,           SYS_exit_group,  SYS_gettimeofday,  SYS_getrandom,      SYS_restart_syscall, SYS_tgkill,
    SYS_mprotect,      SYS_newfstatat,
#ifdef SYS_poll
    SYS_poll,
#endif
};

bool confine_ledger(int directory, const char **missing)
{
    time_t now = time(NULL);
    struct tm parts;
    tzset(); /* reads the time zone's file, while it can */
    localtime_r(&now, &parts);
    gmtime_r(&now, &parts);
    *missing = "no_new_privs";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return false;
    dro_files files = { directory, DRO_FILES_READ | DRO_FILES_WRITE };
    bool has_files = dro_files_confine(&files, 1), has_calls = dro_calls_confine(allowed, sizeof allowed / sizeof allowed[0]);
    *missing = !has_files && !has_calls ? "Landlock and seccomp" : !has_files ? "Landlock" : "seccomp";
    return has_files && has_calls;
}

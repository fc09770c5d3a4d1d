#include "charging/confine.h"

#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/calls.h"

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

/* Rights of the first version of Landlock, which every later one knows: what is handled and not given to a directory is refused. */
static bool files_confine(int directory)
{
    enum {
        GIVEN = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                LANDLOCK_ACCESS_FS_REMOVE_FILE, /* renaming takes the old name away */
        HANDLED = GIVEN | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
                  LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM,
    };
    struct landlock_ruleset_attr rules = { .handled_access_fs = HANDLED };
    int set = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof rules.handled_access_fs, 0);
    struct landlock_path_beneath_attr beneath = { .allowed_access = GIVEN, .parent_fd = directory };
    bool is_confined = set >= 0 && syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == 0 &&
                       syscall(SYS_landlock_restrict_self, set, 0) == 0;
    if (set >= 0)
        close(set);
    return is_confined;
}

bool confine_charging(int directory, const char **missing)
{
    time_t now = time(NULL);
    struct tm parts;
    tzset(); /* reads the time zone's file, while it can */
    localtime_r(&now, &parts);
    gmtime_r(&now, &parts);
    *missing = "no_new_privs";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return false;
    bool has_files = files_confine(directory), has_calls = dro_calls_confine(allowed, sizeof allowed / sizeof allowed[0]);
    *missing = !has_files && !has_calls ? "Landlock and seccomp" : !has_files ? "Landlock" : "seccomp";
    return has_files && has_calls;
}

/* What the process that looks at an image may still ask the kernel for. Both are
 * for defence in depth: it holds no key, no socket and one image. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>

#include "base/files.h"
#include "cell/admit_private.h"
#include "cell/filter.h"

#define REFUSE (SECCOMP_RET_ERRNO | EPERM)

/* Libraries and the second validator: no other file is opened. Where the kernel has no Landlock only the calls are left. */
static void files_confine(void)
{
    static const struct { const char *path; int rights; } given[] = {
        { "/usr", DRO_FILES_READ | DRO_FILES_EXECUTE },   { "/bin", DRO_FILES_READ | DRO_FILES_EXECUTE },
        { "/lib", DRO_FILES_READ | DRO_FILES_EXECUTE },   { "/lib64", DRO_FILES_READ | DRO_FILES_EXECUTE },
        { WASM_VALIDATE, DRO_FILES_READ | DRO_FILES_EXECUTE }, { "/etc/ld.so.cache", DRO_FILES_READ },
        { "/dev/null", DRO_FILES_READ },
    };
    enum { GIVEN = sizeof given / sizeof given[0] };
    dro_files files[GIVEN];
    for (int i = 0; i < GIVEN; i++)
        files[i] = (dro_files){ open(given[i].path, O_PATH | O_CLOEXEC), given[i].rights };
    (void)!dro_files_confine(files, GIVEN);
    for (int i = 0; i < GIVEN; i++)
        if (files[i].descriptor >= 0)
            close(files[i].descriptor);
}

/* What neither we nor the second validator ask for: the network, other processes, names of files, the kernel's rarer
 * doors, and what only a privileged process may. */
static const int refused[] = {
    __NR_socket, __NR_socketpair, __NR_connect, __NR_bind, __NR_listen, __NR_accept, __NR_accept4, __NR_sendto, __NR_sendmsg, __NR_sendmmsg,
    __NR_recvfrom, __NR_recvmsg, __NR_recvmmsg,
    __NR_ptrace, __NR_process_vm_readv, __NR_process_vm_writev, __NR_process_madvise, __NR_kill, __NR_tkill, __NR_rt_sigqueueinfo,
    __NR_rt_tgsigqueueinfo, __NR_pidfd_open, __NR_pidfd_getfd, __NR_pidfd_send_signal, __NR_kcmp, __NR_get_robust_list,
    __NR_io_uring_setup, __NR_io_uring_enter, __NR_io_uring_register, __NR_io_setup, __NR_bpf, __NR_perf_event_open, __NR_userfaultfd,
    __NR_keyctl, __NR_add_key, __NR_request_key, __NR_inotify_init1, __NR_fanotify_init, __NR_memfd_secret, __NR_vmsplice,
    __NR_mount, __NR_umount2, __NR_pivot_root, __NR_fsopen, __NR_fspick, __NR_fsconfig, __NR_fsmount, __NR_move_mount, __NR_open_tree, __NR_mount_setattr,
    __NR_unshare, __NR_setns, __NR_chroot, __NR_name_to_handle_at, __NR_open_by_handle_at, __NR_openat2, __NR_truncate,
    __NR_unlinkat, __NR_renameat2, __NR_linkat, __NR_symlinkat, __NR_mkdirat, __NR_mknodat, __NR_fchmodat, __NR_fchmod, __NR_fchownat, __NR_fchown,
    __NR_utimensat, __NR_setxattr, __NR_fsetxattr, __NR_removexattr,
    __NR_shmget, __NR_shmat, __NR_semget, __NR_semop, __NR_msgget, __NR_msgsnd, __NR_msgrcv, __NR_mq_open, __NR_mq_unlink,
    __NR_setuid, __NR_setgid, __NR_setreuid, __NR_setregid, __NR_setresuid, __NR_setresgid, __NR_setfsuid, __NR_setfsgid, __NR_setgroups, __NR_capset,
    __NR_personality, __NR_setpriority, __NR_sched_setscheduler, __NR_sched_setattr, __NR_sched_setparam, __NR_sched_setaffinity, __NR_ioprio_set,
    __NR_init_module, __NR_finit_module, __NR_delete_module, __NR_kexec_load, __NR_reboot, __NR_swapon, __NR_swapoff, __NR_acct, __NR_quotactl,
    __NR_settimeofday, __NR_clock_settime, __NR_clock_adjtime, __NR_adjtimex, __NR_sethostname, __NR_setdomainname, __NR_syslog, __NR_vhangup,
#if defined(__x86_64__)
    __NR_open, __NR_creat, __NR_unlink, __NR_rename, __NR_renameat, __NR_link, __NR_symlink, __NR_mkdir, __NR_rmdir, __NR_mknod, __NR_chmod, __NR_chown,
    __NR_lchown, __NR_utime, __NR_utimes, __NR_futimesat, __NR_inotify_init, __NR_iopl, __NR_ioperm, __NR_modify_ldt, __NR_uselib,
#endif
};

/* Inherited by the second validator: it may be started and read libraries. */
dro_err admit_confine(void)
{
    static const struct sock_filter begin[] = { FILTER_BEGIN };
    static const struct sock_filter end[] = {
        FILTER_ON_BITS(__NR_openat, 2, O_WRONLY | O_RDWR | O_CREAT | O_TRUNC, REFUSE),
        FILTER_ON_BITS(__NR_prlimit64, 0, ~0u, REFUSE), /* but its own */
        FILTER_RETURN(SECCOMP_RET_ALLOW),
    };
    enum { BEGIN = sizeof begin / sizeof begin[0], END = sizeof end / sizeof end[0], REFUSED = sizeof refused / sizeof refused[0] };
    struct sock_filter filter[BEGIN + 2 * REFUSED + END];
    size_t n = 0;
    files_confine();
    memcpy(filter, begin, sizeof begin);
    n += BEGIN;
    for (int i = 0; i < REFUSED; i++) {
        const struct sock_filter rule[] = { FILTER_ON((uint32_t)refused[i], REFUSE) };
        memcpy(filter + n, rule, sizeof rule);
        n += 2;
    }
    memcpy(filter + n, end, sizeof end);
    return filter_install(filter, n + END);
}

/* The compiler and one thread; memory, and writing the result. glibc takes clone
 * where clone3 is not there, and the flags of clone can be looked at. */
dro_err admit_confine_compiler(void)
{
    struct sock_filter filter[] = {
        FILTER_BEGIN,
        FILTER_ALLOW(__NR_brk),
        FILTER_ALLOW(__NR_mmap),
        FILTER_ALLOW(__NR_munmap),
        FILTER_ALLOW(__NR_mremap),
        FILTER_ALLOW(__NR_mprotect),
        FILTER_ALLOW(__NR_madvise),
        FILTER_ALLOW(__NR_futex),
        FILTER_ALLOW(__NR_sigaltstack),
        FILTER_ALLOW(__NR_rt_sigaction),
        FILTER_ALLOW(__NR_rt_sigprocmask),
        FILTER_ALLOW(__NR_rt_sigreturn),
        FILTER_ALLOW(__NR_set_robust_list),
        FILTER_ALLOW(__NR_rseq),
        FILTER_ALLOW(__NR_clock_gettime),
        FILTER_ALLOW(__NR_clock_nanosleep),
        FILTER_ALLOW(__NR_sched_yield),
        FILTER_ALLOW(__NR_sched_getaffinity),
        FILTER_ALLOW(__NR_getpid),
        FILTER_ALLOW(__NR_gettid),
        FILTER_ALLOW(__NR_tgkill),
        FILTER_ALLOW(__NR_getrandom),
        FILTER_ALLOW(__NR_pwrite64),
        FILTER_ALLOW(__NR_write),
        FILTER_ALLOW(__NR_ioctl),
        FILTER_ALLOW(__NR_exit),
        FILTER_ALLOW(__NR_exit_group),
        FILTER_ON(__NR_clone3, SECCOMP_RET_ERRNO | ENOSYS),
        FILTER_ON_BITS(__NR_clone, 0, CLONE_THREAD, SECCOMP_RET_ALLOW),
        FILTER_RETURN(SECCOMP_RET_KILL_PROCESS),
    };
    return filter_install(filter, sizeof filter / sizeof filter[0]);
}

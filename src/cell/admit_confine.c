/* What the process that looks at an image may still ask the kernel for. Both are
 * for defence in depth: it holds no key, no socket and one image. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>

#include "cell/admit_private.h"
#include "cell/filter.h"

#define REFUSE (SECCOMP_RET_ERRNO | EPERM)

/* Inherited by the second validator: it may be started and read libraries. */
dro_err admit_confine(void)
{
    struct sock_filter filter[] = {
        FILTER_BEGIN,
        FILTER_ON(__NR_socket, REFUSE),
        FILTER_ON(__NR_socketpair, REFUSE),
        FILTER_ON(__NR_connect, REFUSE),
        FILTER_ON(__NR_bind, REFUSE),
        FILTER_ON(__NR_listen, REFUSE),
        FILTER_ON(__NR_accept, REFUSE),
        FILTER_ON(__NR_accept4, REFUSE),
        FILTER_ON(__NR_sendto, REFUSE),
        FILTER_ON(__NR_sendmsg, REFUSE),
        FILTER_ON(__NR_sendmmsg, REFUSE),
        FILTER_ON(__NR_ptrace, REFUSE),
        FILTER_ON(__NR_process_vm_readv, REFUSE),
        FILTER_ON(__NR_process_vm_writev, REFUSE),
        FILTER_ON(__NR_kill, REFUSE),
        FILTER_ON(__NR_pidfd_open, REFUSE),
        FILTER_ON(__NR_pidfd_getfd, REFUSE),
        FILTER_ON(__NR_io_uring_setup, REFUSE),
        FILTER_ON(__NR_bpf, REFUSE),
        FILTER_ON(__NR_perf_event_open, REFUSE),
        FILTER_ON(__NR_userfaultfd, REFUSE),
        FILTER_ON(__NR_keyctl, REFUSE),
        FILTER_ON(__NR_add_key, REFUSE),
        FILTER_ON(__NR_request_key, REFUSE),
        FILTER_ON(__NR_mount, REFUSE),
        FILTER_ON(__NR_umount2, REFUSE),
        FILTER_ON(__NR_unshare, REFUSE),
        FILTER_ON(__NR_setns, REFUSE),
        FILTER_ON(__NR_chroot, REFUSE),
        FILTER_ON(__NR_unlinkat, REFUSE),
        FILTER_ON(__NR_renameat2, REFUSE),
        FILTER_ON(__NR_linkat, REFUSE),
        FILTER_ON(__NR_symlinkat, REFUSE),
        FILTER_ON(__NR_mkdirat, REFUSE),
        FILTER_ON(__NR_openat2, REFUSE),
#if defined(__x86_64__)
        FILTER_ON(__NR_open, REFUSE),
        FILTER_ON(__NR_creat, REFUSE),
        FILTER_ON(__NR_unlink, REFUSE),
        FILTER_ON(__NR_rename, REFUSE),
        FILTER_ON(__NR_renameat, REFUSE),
        FILTER_ON(__NR_link, REFUSE),
        FILTER_ON(__NR_symlink, REFUSE),
        FILTER_ON(__NR_mkdir, REFUSE),
#endif
        FILTER_ON_BITS(__NR_openat, 2, O_WRONLY | O_RDWR | O_CREAT | O_TRUNC, REFUSE),
        FILTER_RETURN(SECCOMP_RET_ALLOW),
    };
    return filter_install(filter, sizeof filter / sizeof filter[0]);
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

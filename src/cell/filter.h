/* Filter: the few forms of seccomp rules we use. The accumulator holds the number
 * of the call whenever a rule begins. */
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"

#if defined(__x86_64__)
#define FILTER_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define FILTER_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "no filter for this processor"
#endif

#define FILTER_LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define FILTER_RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)
/* First: calls of another architecture end the process, and those of x32, which say that they are of this one but have
 * numbers of their own. */
enum { FILTER_X32 = 0x40000000 };
#define FILTER_BEGIN                                              \
    FILTER_LOAD(arch),                                            \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FILTER_ARCHITECTURE, 1, 0), \
        FILTER_RETURN(SECCOMP_RET_KILL_PROCESS), FILTER_LOAD(nr), \
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, FILTER_X32, 0, 1), FILTER_RETURN(SECCOMP_RET_KILL_PROCESS)
#define FILTER_ON(number, what) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), FILTER_RETURN(what)
#define FILTER_ALLOW(number) FILTER_ON(number, SECCOMP_RET_ALLOW)
/* Allowed when its first argument is `value`, else the end. */
#define FILTER_ALLOW_FIRST(number, value)                                \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4), FILTER_LOAD(args[0]), \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 0, 1), FILTER_RETURN(SECCOMP_RET_ALLOW), \
        FILTER_RETURN(SECCOMP_RET_KILL_PROCESS)
/* The same with two values. */
#define FILTER_ALLOW_FIRST_OF(number, value, other)                      \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 5), FILTER_LOAD(args[0]), \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 1, 0), \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(other), 0, 1), FILTER_RETURN(SECCOMP_RET_ALLOW), \
        FILTER_RETURN(SECCOMP_RET_KILL_PROCESS)
/* Only waiting for a word of one's own and waking who waits, with or without a time: no other operation of futex. */
#define FILTER_ALLOW_FUTEX                                                   \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_futex, 0, 7), FILTER_LOAD(args[1]), \
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ~(uint32_t)FUTEX_CLOCK_REALTIME), \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FUTEX_WAIT_PRIVATE, 3, 0),       \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FUTEX_WAKE_PRIVATE, 2, 0),       \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FUTEX_WAIT_BITSET_PRIVATE, 1, 0), \
        FILTER_RETURN(SECCOMP_RET_KILL_PROCESS), FILTER_RETURN(SECCOMP_RET_ALLOW)
/* `what` when an argument has any of the bits. */
#define FILTER_ON_BITS(number, argument, bits, what)                          \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4), FILTER_LOAD(args[argument]), \
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1), FILTER_RETURN(what), FILTER_LOAD(nr)

/* For all threads of the process, and for good. */
static inline dro_err filter_install(struct sock_filter *filter, size_t count)
{
    struct sock_fprog program = { (unsigned short)count, filter };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return DRO_DENIED;
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
        return DRO_UNSUPPORTED;
    return DRO_OK;
}

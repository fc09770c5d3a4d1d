#include "base/calls.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define CALLS_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define CALLS_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifdef CALLS_ARCHITECTURE
static struct sock_filter statement(unsigned code, uint32_t k)
{
    return (struct sock_filter){ (uint16_t)code, 0, 0, k };
}

static struct sock_filter jump(uint32_t k, unsigned if_true, unsigned if_false)
{
    return (struct sock_filter){ BPF_JMP | BPF_JEQ | BPF_K, (uint8_t)if_true, (uint8_t)if_false, k };
}

bool dro_calls_confine(const int *allowed, size_t count)
{
    struct sock_filter filter[DRO_CALLS_MAX + 16];
    unsigned n = 0;
    if (count > DRO_CALLS_MAX)
        return false;
    filter[n++] = statement(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    filter[n++] = jump(CALLS_ARCHITECTURE, 1, 0);
    filter[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    filter[n++] = statement(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    filter[n++] = jump(SYS_mmap, 1, 0);
    filter[n++] = jump(SYS_mprotect, 0, 4);
    filter[n++] = statement(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2]));
    filter[n++] = (struct sock_filter){ BPF_JMP | BPF_JSET | BPF_K, 0, 1, PROT_EXEC };
    filter[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    filter[n++] = statement(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (unsigned i = 0; i < count; i++)
        filter[n++] = jump((uint32_t)allowed[i], (unsigned)count - i, 0);
    filter[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    filter[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = { .len = (uint16_t)n, .filter = filter };
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}
#else
bool dro_calls_confine(const int *allowed, size_t count)
{
    (void)allowed;
    (void)count;
    return false;
}
#endif

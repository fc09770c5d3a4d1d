/* Preloaded into programs of the build `coverage`: rooms end by _exit, which writes no profile. This one does, unless the
 * process has been confined: what a confined room reaches does not count. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_confined;

int prctl(int option, ...)
{
    unsigned long words[4];
    va_list list;
    va_start(list, option);
    for (int i = 0; i < 4; i++)
        words[i] = va_arg(list, unsigned long);
    va_end(list);
    is_confined |= option == PR_SET_SECCOMP;
    return (int)syscall(SYS_prctl, option, words[0], words[1], words[2], words[3]);
}

_Noreturn void _exit(int status)
{
    int (*write_profile)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "__llvm_profile_write_file");
    if (write_profile != 0 && !is_confined)
        write_profile();
    for (;;)
        syscall(SYS_exit_group, status);
}

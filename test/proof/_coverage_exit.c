/* Linked into the programs of the build `coverage` (tools/check-variants): rooms end by _exit, which writes no profile. This one
 * does in those that are not confined, gate and core, which are known by the names they give themselves. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int __llvm_profile_write_file(void);

static int is_counted;

int prctl(int option, ...)
{
    unsigned long words[4];
    va_list list;
    va_start(list, option);
    for (int i = 0; i < 4; i++)
        words[i] = va_arg(list, unsigned long);
    va_end(list);
    if (option == PR_SET_NAME)
        is_counted = strstr((const char *)words[0], "gate") != 0 || strstr((const char *)words[0], "core") != 0;
    return (int)syscall(SYS_prctl, option, words[0], words[1], words[2], words[3]);
}

_Noreturn void _exit(int status)
{
    if (is_counted)
        __llvm_profile_write_file();
    for (;;)
        syscall(SYS_exit_group, status);
}

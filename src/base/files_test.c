/* A child confines itself and says by its exit code how far it got. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/files.h"

enum { HAS_NONE = 42, FAILED = 1 };

static char directory[] = "/tmp/dromio-files-XXXXXX";

static int make(void **state)
{
    (void)state;
    return mkdtemp(directory) != NULL && chdir(directory) == 0 && system("mkdir in out; echo a > in/a; echo b > out/b; echo c > c") == 0 ? 0 : -1;
}

static int drop(void **state)
{
    (void)state;
    return chdir("/") == 0 && system("rm -r /tmp/dromio-files-??????") == 0 ? 0 : -1;
}

static bool refuses(const char *path, int flags)
{
    int file = open(path, flags | O_CLOEXEC, 0600);
    if (file >= 0)
        close(file);
    return file < 0 && errno == EACCES;
}

static bool opens(const char *path, int flags)
{
    int file = open(path, flags | O_CLOEXEC, 0600);
    if (file >= 0)
        close(file);
    return file >= 0;
}

static void in_child(bool (*claim)(void))
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        dro_files files[] = { { open("in", O_PATH), DRO_FILES_READ | DRO_FILES_WRITE }, { open("c", O_PATH), DRO_FILES_READ }, { -1, DRO_FILES_READ } };
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (!dro_files_confine(files, 3))
            _exit(HAS_NONE);
        _exit(claim() ? 0 : FAILED);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == HAS_NONE) {
        print_message("this kernel has no Landlock\n");
        skip();
    }
    assert_int_equal(status, 0);
}

static bool only_what_is_given(void)
{
    return opens("in/a", O_RDWR) && opens("in/new", O_RDWR | O_CREAT) && opens("c", O_RDONLY) && refuses("c", O_WRONLY) && refuses("out/b", O_RDONLY) &&
           refuses("out/new", O_WRONLY | O_CREAT) && refuses("/etc/passwd", O_RDONLY) && refuses("in/../out/b", O_RDONLY);
}

static void only_what_is_given_can_be_opened(void **state)
{
    (void)state;
    in_child(only_what_is_given);
}

static bool no_signals(void)
{
    enum { ASK_VERSION = 1, VERSION_OF_SCOPES = 6 };
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, ASK_VERSION) < VERSION_OF_SCOPES)
        return true;
    return kill(getppid(), 0) != 0 && errno == EPERM && kill(getpid(), 0) == 0;
}

/* Kernels before 6.12 let them pass: what they are for has a filter of calls too. */
static void signals_stay_inside(void **state)
{
    (void)state;
    in_child(no_signals);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(only_what_is_given_can_be_opened), cmocka_unit_test(signals_stay_inside) };
    return cmocka_run_group_tests(tests, make, drop);
}

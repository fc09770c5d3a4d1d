/* The second validator: what it says reaches the author in plain words, and where it cannot be run that is told, whichever call
 * fails. Its process is played in this one: calls that would change the process are only counted. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cell/admit_private.h"
#include "cell/test_support.h"

enum { NOT_STARTED = 126, STARTED = 1000, REASONS_MAX = 64, LONG_TEXT = 20000 };

static enum { REAL, PLAYED } child;             /* fork: a real child, or the child's code in this process */
static struct { int at, count, error; } fault;
static const char *says;                        /* instead of wabt: what a shell is told to do; NULL: wabt */
static jmp_buf left;
static char reasons[REASONS_MAX][WASM_REASON_MAX];
static int reason_count;

static bool fails(void)
{
    if (++fault.count != fault.at)
        return false;
    errno = fault.error;
    return true;
}

#define WRAP(type, name, parameters, arguments, failure, played) \
    type __real_##name parameters; \
    type __wrap_##name parameters; \
    type __wrap_##name parameters { return fails() ? (failure) : child == PLAYED ? (played) : __real_##name arguments; }

WRAP(int, dup2, (int from, int to), (from, to), -1, to)
WRAP(int, close_range, (unsigned from, unsigned to, int flags), (from, to, flags), -1, 0)
WRAP(int, setrlimit64, (int what, const struct rlimit *limit), (what, limit), -1, 0)
WRAP(int, memfd_create, (const char *name, unsigned flags), (name, flags), -1, __real_memfd_create(name, flags))
WRAP(int, pipe2, (int ends[2], int flags), (ends, flags), -1, __real_pipe2(ends, flags))
WRAP(ssize_t, write, (int fd, const void *bytes, size_t length), (fd, bytes, length), -1, __real_write(fd, bytes, length))
WRAP(ssize_t, read, (int fd, void *bytes, size_t length), (fd, bytes, length), -1, __real_read(fd, bytes, length))
WRAP(pid_t, waitpid, (pid_t pid, int *status, int flags), (pid, status, flags), -1, __real_waitpid(pid, status, flags))

pid_t __real_fork(void);
pid_t __wrap_fork(void);
pid_t __wrap_fork(void)
{
    if (fails())
        return -1;
    pid_t pid = child == PLAYED ? 0 : __real_fork();
    if (pid == 0 && child == REAL)
        fault.at = 0; /* of the parent's calls one fails */
    return pid;
}

int __real_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int __wrap_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int __wrap_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
    return fails() ? -1 : child == PLAYED ? 0 : __real_prctl(option, a, b, c, d);
}

int __real_fcntl64(int fd, int command, long value);
int __wrap_fcntl64(int fd, int command, long value);
int __wrap_fcntl64(int fd, int command, long value)
{
    return fails() ? -1 : child == PLAYED ? fd : __real_fcntl64(fd, command, value);
}

int __real_open64(const char *path, int flags);
int __wrap_open64(const char *path, int flags);
int __wrap_open64(const char *path, int flags)
{
    return fails() ? -1 : child == PLAYED ? 0 : __real_open64(path, flags);
}

_Noreturn static void leave(int status)
{
    longjmp(left, status);
}

_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);
_Noreturn void __wrap__exit(int status)
{
    if (child == PLAYED)
        leave(status);
    __real__exit(status);
}

int __real_execve(const char *path, char *const arguments[], char *const environment[]);
int __wrap_execve(const char *path, char *const arguments[], char *const environment[]);
int __wrap_execve(const char *path, char *const arguments[], char *const environment[])
{
    char *const shell[] = { (char[]){ "sh" }, (char[]){ "-c" }, (char *)(uintptr_t)says, NULL };
    if (fails())
        return -1;
    if (child == PLAYED)
        leave(STARTED);
    return says != NULL ? __real_execve("/bin/sh", shell, environment) : __real_execve(path, arguments, environment);
}

int __real_execvpe(const char *name, char *const arguments[], char *const environment[]);
int __wrap_execvpe(const char *name, char *const arguments[], char *const environment[]);
int __wrap_execvpe(const char *name, char *const arguments[], char *const environment[])
{
    (void)name, (void)arguments, (void)environment;
    return -1; /* no other one is installed */
}

static void hear(void *context, const char *reason)
{
    (void)context;
    assert_true(reason_count < REASONS_MAX);
    strcpy(reasons[reason_count++], reason);
}

static dro_err judge(const void *wasm, size_t length)
{
    reason_count = 0;
    return validator_run(wasm, length, hear, NULL);
}

static int begin(void **state)
{
    (void)state;
    child = REAL;
    says = NULL;
    fault.at = fault.count = 0;
    return 0;
}

static void a_good_image_passes_and_a_bad_one_is_told_why(void **state)
{
    static const uint8_t bad[] = { 0, 'a', 's', 'm', 1, 0, 0, 0, 3, 2, 1, 0 }; /* a function of a type that is not there */
    (void)state;
    test_bytes image = test_image("probe");
    assert_int_equal(judge(image.bytes, image.length), DRO_OK);
    assert_int_equal(reason_count, 0);
    assert_int_equal(judge(bad, sizeof bad), DRO_OK);
    assert_true(reason_count > 0);
    assert_ptr_equal(strstr(reasons[0], "second validator, offset 0x"), reasons[0]);
    free(image.bytes);
}

static void whatever_it_says_is_told_in_plain_text(void **state)
{
    static const struct { const char *says, *wanted; int count; } cases[] = {
        { "printf '/proc/self/fd/3:000003a: error: no \\001good\\n\\n'; exit 1", "second validator, offset 0x3a: no  good", 1 },
        { "echo 0000038: error: bad; exit 1", "second validator, offset 0x38: bad", 1 },
        { "echo /proc/self/fd/3:38: warning: bad; exit 1", "second validator: /proc/self/fd/3:38: warning: bad", 1 },
        { "echo one; echo two; exit 1", "second validator: one", 2 },
        { "exit 1", "second validator: it refuses the image without saying why", 1 },
        { "kill -9 $$", "second validator: it needed too much time or memory", 1 },
        { "echo fine", NULL, 0 },
        { "head -c 30000 /dev/zero | tr '\\0' x; exit 1", "second validator: xxx", 1 }, /* more than is kept */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        says = cases[i].says;
        assert_int_equal(judge("x", 1), DRO_OK);
            assert_int_equal(reason_count, cases[i].count);
        if (cases[i].wanted != NULL)
            assert_ptr_equal(strstr(reasons[0], cases[i].wanted), reasons[0]);
    }
    says = "exit 126";
    assert_int_equal(judge("x", 1), DRO_UNSUPPORTED);
}

static void a_call_that_fails_is_told_or_made_again(void **state)
{
    (void)state;
    says = "echo no; exit 1";
    int told = 0, again = 0;
    for (int n = 1;; n++) {
        fault.at = n, fault.count = 0, fault.error = EINTR;
        dro_err err = judge("abc", 3);
        bool is_over = fault.count < n;
        fault.at = 0;
        told += err == DRO_IO;
        again += err == DRO_OK && !is_over;
        assert_true(err == DRO_OK || err == DRO_IO);
        if (is_over)
            break;
    }
    assert_true(told >= 4 && again >= 2); /* memfd, write, pipe, fork; read and wait */
}

static void a_process_that_cannot_be_confined_does_not_begin(void **state)
{
    (void)state;
    child = PLAYED;
    for (int n = 1;; n++) {
        fault.at = n, fault.count = 0, fault.error = EPERM;
        volatile int at = n;
        int how = setjmp(left);
        if (how == 0) {
            dro_err err = judge("abc", 3);
            assert_int_equal(err, DRO_IO); /* before the fork */
            n = at;
            continue;
        }
        n = at;
        if (fault.count < n) {
            assert_int_equal(how, STARTED); /* nothing failed */
            break;
        }
        assert_int_equal(how, NOT_STARTED);
    }
    fault.at = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_good_image_passes_and_a_bad_one_is_told_why, begin),
        cmocka_unit_test_setup(whatever_it_says_is_told_in_plain_text, begin),
        cmocka_unit_test_setup(a_call_that_fails_is_told_or_made_again, begin),
        cmocka_unit_test_setup(a_process_that_cannot_be_confined_does_not_begin, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

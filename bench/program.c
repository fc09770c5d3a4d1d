#include "bench/program.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"

enum { POLL_MS = 2, LOG_TAIL = 2000, CERTIFICATE_MS = 30000 };

void program_nap_ms(int ms)
{
    nanosleep(&(struct timespec){ ms / 1000, (long)(ms % 1000) * 1000000 }, NULL);
}

bool program_find(const char *name, char *out, size_t room)
{
    static const char daemons[] = "/usr/local/sbin:/usr/sbin:/sbin";
    const char *path = getenv("PATH");
    char all[8192];
    snprintf(all, sizeof all, "%s:%s", path != NULL ? path : "/usr/local/bin:/usr/bin:/bin", daemons);
    for (char *rest = all, *part; (part = strsep(&rest, ":")) != NULL;) {
        int n = snprintf(out, room, "%s/%s", part, name);
        if (*part != '\0' && n > 0 && (size_t)n < room && access(out, X_OK) == 0)
            return true;
    }
    return false;
}

bool program_start(program *p, char *const *arguments, const char *log)
{
    pid_t parent = getpid(), pid = fork();
    p->pid = 0;
    if (pid < 0)
        return bench_fail("cannot fork: %s", strerror(errno));
    if (pid == 0) { /* up to exec: only what is safe after fork */
        int descriptor = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        setpgid(0, 0); /* Ctrl-C is for the benchmark, which stops it */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (descriptor >= 0) {
            dup2(descriptor, STDOUT_FILENO);
            dup2(descriptor, STDERR_FILENO);
        }
        if (getppid() == parent)
            execv(arguments[0], arguments);
        _exit(127);
    }
    p->pid = pid;
    return true;
}

bool program_is_running(program *p)
{
    if (p->pid != 0 && waitpid(p->pid, NULL, WNOHANG) == p->pid)
        p->pid = 0;
    return p->pid != 0;
}

int program_wait(program *p, int ms)
{
    int status;
    for (int64_t until = bench_now_ns() + ms * (int64_t)1000000; p->pid != 0; program_nap_ms(POLL_MS)) {
        if (waitpid(p->pid, &status, WNOHANG) == p->pid) {
            p->pid = 0;
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        if (bench_now_ns() > until || bench_is_interrupted())
            break;
    }
    program_stop(p);
    return -1;
}

void program_stop(program *p)
{
    if (p->pid == 0)
        return;
    kill(p->pid, SIGTERM);
    for (int64_t until = bench_now_ns() + PROGRAM_STOP_MS * (int64_t)1000000; waitpid(p->pid, NULL, WNOHANG) == 0;
         program_nap_ms(POLL_MS))
        if (bench_now_ns() > until)
            kill(p->pid, SIGKILL);
    p->pid = 0;
}

double program_cpu(const program *p)
{
    char path[64], text[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", p->pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    const char *end = strrchr(text, ')'); /* the name may hold anything */
    if (end != NULL && sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        return 0;
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

void program_first_line(char *const *arguments, char *out, size_t room)
{
    int ends[2];
    out[0] = '\0';
    if (pipe2(ends, O_CLOEXEC) != 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        execv(arguments[0], arguments);
        _exit(127);
    }
    close(ends[1]);
    FILE *file = fdopen(ends[0], "r");
    if (file == NULL || fgets(out, (int)room, file) == NULL)
        out[0] = '\0';
    out[strcspn(out, "\r\n")] = '\0';
    if (file != NULL)
        fclose(file);
    if (pid > 0)
        waitpid(pid, NULL, 0);
}

bool program_make_certificate(const char *directory, const char *name)
{
    char openssl[4096], key[4200], certificate[4200], log[4200], subject[128];
    program made = { 0 };
    if (!program_find("openssl", openssl, sizeof openssl))
        return bench_fail("openssl is not installed: no certificate can be made");
    snprintf(key, sizeof key, "%s/key.pem", directory);
    snprintf(certificate, sizeof certificate, "%s/certificate.pem", directory);
    snprintf(log, sizeof log, "%s/openssl.log", directory);
    snprintf(subject, sizeof subject, "/CN=%s", name);
    const char *arguments[] = { openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
                                "-days", "2", "-subj", subject, NULL };
    return program_start(&made, (char *const *)arguments, log) &&
           (program_wait(&made, CERTIFICATE_MS) == 0 || bench_fail("openssl made no certificate"));
}

void program_show_log(const char *path)
{
    char tail[LOG_TAIL + 1];
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    fseek(file, size > LOG_TAIL ? size - LOG_TAIL : 0, SEEK_SET);
    tail[fread(tail, 1, LOG_TAIL, file)] = '\0';
    fprintf(stderr, "%s", tail);
    fclose(file);
}

bool directory_make(const char *where, char *out, size_t room)
{
    int n = snprintf(out, room, "%s/dromio-bench-XXXXXX", where);
    if (n < 0 || (size_t)n >= room) {
        out[0] = '\0';
        return bench_fail("%s: name too long", where);
    }
    if (mkdtemp(out) == NULL) {
        out[0] = '\0';
        return bench_fail("cannot make a directory in %s: %s", where, strerror(errno));
    }
    return true;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

void directory_remove(const char *path)
{
    if (path[0] != '\0')
        nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

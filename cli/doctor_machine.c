/* The machine and the configuration: what a host needs of them. */
#include <errno.h>
#include <limits.h>
#include <linux/io_uring.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/seccomp.h>

#include "base/toml.h"
#include "doctor.h"

enum { FILES_WANTED = 16384, LOCKED_WANTED = 8 << 20, DAYS_LEFT = 21, DAY_S = 86400 };

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

static void check_memfd_secret(doctor *doctor)
{
    int file = (int)syscall(SYS_memfd_secret, 0);
    if (file >= 0)
        close(file);
    finding(doctor, file >= 0 ? FINDING_WELL : FINDING_NOTE, "memfd_secret", file >= 0 ? NULL : "Linux 5.14 or later, booted with secretmem.enable=1",
            file >= 0 ? "keys can lie where even the kernel does not map them" : "not here: keys lie in locked memory");
}

static void check_seccomp(doctor *doctor)
{
    uint32_t action = SECCOMP_RET_KILL_PROCESS;
    bool is_here = syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
    finding(doctor, is_here ? FINDING_WELL : FINDING_ILL, "seccomp", is_here ? NULL : "another kernel or container; with cell.sandbox = \"off\" guest code is not confined",
            is_here ? "guest code can be confined" : "not here: the host does not start");
}

static void check_io_uring(doctor *doctor)
{
    struct io_uring_params params = { 0 };
    int file = (int)syscall(SYS_io_uring_setup, 4, &params);
    const char *why = strerror(errno);
    if (file >= 0)
        close(file);
    finding(doctor, file >= 0 ? FINDING_WELL : FINDING_NOTE, "io_uring", file >= 0 ? NULL : "allow it (kernel.io_uring_disabled, the container's filter): the log is written twice as fast",
            file >= 0 ? "the log can be written by it" : "not here (%s): the log is written with pwrite and fdatasync", why);
}

/* Of this process: a service has its own, LimitNOFILE= and LimitMEMLOCK=. */
static void check_limit(doctor *doctor, int which, const char *check, rlim_t wanted, const char *next)
{
    struct rlimit limit = { 0 };
    getrlimit(which, &limit);
    bool is_enough = limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= wanted;
    if (limit.rlim_max == RLIM_INFINITY)
        finding(doctor, FINDING_WELL, check, NULL, "unlimited for this user");
    else
        finding(doctor, is_enough ? FINDING_WELL : FINDING_NOTE, check, is_enough ? NULL : next, "%llu for this user, %llu wanted",
                (unsigned long long)limit.rlim_max, (unsigned long long)wanted);
}

static bool is_in_path(const char *program)
{
    char path[PATH_MAX];
    const char *at = getenv("PATH");
    while (at != NULL && *at != '\0') {
        size_t length = strcspn(at, ":");
        snprintf(path, sizeof path, "%.*s/%s", (int)length, at, program);
        if (access(path, X_OK) == 0)
            return true;
        at += length + (at[length] == ':');
    }
    return false;
}

void doctor_machine(doctor *doctor)
{
    check_memfd_secret(doctor);
    check_seccomp(doctor);
    check_io_uring(doctor);
    check_limit(doctor, RLIMIT_NOFILE, "descriptors", FILES_WANTED, "LimitNOFILE= of the service, ulimit -n: each connection is one");
    check_limit(doctor, RLIMIT_MEMLOCK, "locked memory", LOCKED_WANTED, "LimitMEMLOCK= of the service, ulimit -l: keys lie there");
    bool is_here = is_in_path("wasm-validate");
    finding(doctor, is_here ? FINDING_WELL : FINDING_ILL, "wasm-validate", is_here ? NULL : "install the package wabt: images are refused without it",
            is_here ? "the second validator of images is here" : "not in PATH");
}

/* ---- configuration ---- */

static const char *on_key(void *context, const toml_value *value)
{
    doctor *doctor = context;
    static const char *const names[] = { "host.data", "vault.master_key", "http.tls.certificate", "diameter.tls.certificate" };
    char *const places[] = { doctor->data, doctor->master_key, doctor->certificates[0], doctor->certificates[1] };
    for (int i = 0; i < 4; i++)
        if (value->kind == TOML_STRING && strcmp(value->path, names[i]) == 0)
            snprintf(places[i], sizeof doctor->data, "%s", value->text);
    return NULL;
}

static bool read_configuration(doctor *doctor)
{
    char error[TOML_TEXT_MAX];
    int line;
    FILE *file = fopen(doctor->config_path, "re");
    char *text = malloc(TOML_BYTES_MAX + 1);
    size_t length = file != NULL && text != NULL ? fread(text, 1, TOML_BYTES_MAX + 1, file) : 0;
    bool is_fine = file != NULL && text != NULL && toml_read(text, length, on_key, doctor, &line, error) == DRO_OK;
    if (file != NULL)
        fclose(file);
    free(text);
    return is_fine;
}

/* dromiod beside us, else the one in PATH. */
static void run_dromiod(const char *config)
{
    char path[PATH_MAX + 16];
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX);
    char *slash = length > 0 ? (path[length] = '\0', strrchr(path, '/')) : NULL;
    if (slash != NULL) {
        snprintf(slash, 16, "/dromiod");
        execl(path, "dromiod", "--config", config, "--check", (char *)NULL);
    }
    execlp("dromiod", "dromiod", "--config", config, "--check", (char *)NULL);
    _exit(127);
}

/* The first line it said, and its exit code; -1: it could not be run. */
static int check_with_dromiod(const char *config, char *said, size_t size)
{
    int ends[2], status = 0;
    if (pipe(ends) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        run_dromiod(config);
    }
    close(ends[1]);
    size_t length = 0;
    for (ssize_t got; length + 1 < size && (got = read(ends[0], said + length, size - 1 - length)) > 0;)
        length += (size_t)got;
    close(ends[0]);
    said[length] = '\0';
    said[strcspn(said, "\n")] = '\0';
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) == 127)
        return -1;
    return WEXITSTATUS(status);
}

void doctor_configuration(doctor *doctor)
{
    char said[512];
    if (doctor->config_path == NULL)
        return;
    int code = check_with_dromiod(doctor->config_path, said, sizeof said);
    if (code < 0)
        finding(doctor, FINDING_SKIPPED, "configuration", "dromiod --config FILE --check", "dromiod is neither beside dromio nor in PATH");
    else
        finding(doctor, code == 0 ? FINDING_WELL : FINDING_ILL, "configuration", code == 0 ? NULL : "mend that line; dromiod.conf(5) has all keys",
                "%s", code == 0 ? doctor->config_path : said);
    if (!read_configuration(doctor))
        finding(doctor, FINDING_SKIPPED, "configuration", NULL, "%s cannot be read for its paths", doctor->config_path);
}

/* ---- certificates ---- */

static void check_certificate(doctor *doctor, const char *path)
{
    FILE *file = fopen(path, "re");
    X509 *certificate = file != NULL ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
    int days = 0, seconds = 0;
    if (file != NULL)
        fclose(file);
    if (certificate == NULL) {
        finding(doctor, FINDING_ILL, "certificate", "it is a PEM file that the host's user can read", "%s is none, or cannot be read", path);
        return;
    }
    bool is_known = ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)) == 1;
    X509_free(certificate);
    bool is_over = !is_known || days < 0 || seconds < 0;
    finding(doctor, is_over ? FINDING_ILL : days < DAYS_LEFT ? FINDING_NOTE : FINDING_WELL, "certificate",
            is_over || days < DAYS_LEFT ? "renew it, then kill -HUP the host" : NULL, is_over ? "%s has ended" : "%s ends in %d days", path, days);
}

void doctor_certificates(doctor *doctor)
{
    for (int i = 0; i < 2; i++) {
        bool is_again = i > 0 && strcmp(doctor->certificates[0], doctor->certificates[i]) == 0;
        if (doctor->certificates[i][0] != '\0' && !is_again)
            check_certificate(doctor, doctor->certificates[i]);
    }
}

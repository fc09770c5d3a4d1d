#include "bench/host.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/http.h"
#include "bench/program.h"

enum { POLL_MS = 5, DESCENT_ROUNDS = 4 };

uint16_t host_free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof address;
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_bound = descriptor >= 0 && bind(descriptor, (struct sockaddr *)&address, size) == 0 &&
                    getsockname(descriptor, (struct sockaddr *)&address, &size) == 0;
    if (descriptor >= 0)
        close(descriptor);
    return is_bound ? ntohs(address.sin_port) : 0;
}

bool host_init(host *h, const char *program, const char *directory, const char *const *sets, int set_count)
{
    *h = (host){ .http_port = host_free_port(), .diameter_port = host_free_port(), .set_count = set_count };
    if (set_count > HOST_SETS_MAX)
        return bench_fail("too many settings");
    for (int i = 0; i < set_count; i++)
        h->sets[i] = sets[i];
    snprintf(h->program, sizeof h->program, "%s", program);
    snprintf(h->diameter, sizeof h->diameter, "127.0.0.1:%u", h->diameter_port);
    return directory_make(directory, h->directory, sizeof h->directory);
}

static void show_log(const host *h)
{
    char path[sizeof h->directory + 16];
    snprintf(path, sizeof path, "%s/log", h->directory);
    program_show_log(path);
}

/* In the child, up to exec: only what is safe after fork. */
static void become(const host *h, char **arguments, const char *log, pid_t parent)
{
    int descriptor = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    setpgid(0, 0); /* one group, so that all of it can be killed */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (descriptor >= 0) {
        dup2(descriptor, STDOUT_FILENO);
        dup2(descriptor, STDERR_FILENO);
    }
    if (getppid() == parent)
        execv(h->program, arguments);
    _exit(127);
}

static bool spawn(host *h)
{
    char listen_http[64], listen_diameter[128], data[sizeof h->directory + 16], log[sizeof h->directory + 16];
    char *arguments[2 * HOST_SETS_MAX + 16];
    int n = 0;
    snprintf(listen_http, sizeof listen_http, "http.listen=\"127.0.0.1:%u\"", h->http_port);
    snprintf(listen_diameter, sizeof listen_diameter, "diameter.listen=\"%s\"", h->diameter);
    snprintf(data, sizeof data, "%s/data", h->directory);
    snprintf(log, sizeof log, "%s/log", h->directory);
    const char *first[] = { h->program, "--data", data, "--set", listen_http, "--set", listen_diameter, "--set",
                            "diameter.accept=\"any\"" };
    for (size_t i = 0; i < sizeof first / sizeof first[0]; i++)
        arguments[n++] = (char *)first[i];
    for (int i = 0; i < h->set_count; i++) {
        arguments[n++] = (char *)"--set";
        arguments[n++] = (char *)h->sets[i];
    }
    arguments[n] = NULL;
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* else the machine's init has them, and it may take a second */
    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        return bench_fail("cannot fork: %s", strerror(errno));
    if (pid == 0)
        become(h, arguments, log, parent);
    h->pid = pid;
    return true;
}

static bool read_token(host *h)
{
    char path[sizeof h->directory + 32];
    snprintf(path, sizeof path, "%s/data/admin.token", h->directory);
    FILE *file = fopen(path, "re");
    if (file == NULL || fgets(h->token, sizeof h->token, file) == NULL) {
        if (file != NULL)
            fclose(file);
        return bench_fail("no admin token in %s", path);
    }
    fclose(file);
    h->token[strcspn(h->token, "\r\n")] = '\0';
    return true;
}

/* Our own client speaks no TLS; curl does. */
static bool is_ready_over_tls(const host *h)
{
    char curl[4096], url[64], log[sizeof h->directory + 16];
    program asked = { 0 };
    if (!program_find("curl", curl, sizeof curl))
        return false;
    snprintf(url, sizeof url, "https://127.0.0.1:%u/healthz", h->http_port);
    snprintf(log, sizeof log, "%s/curl", h->directory);
    const char *arguments[] = { curl, "-ksf", url, NULL };
    return program_start(&asked, (char *const *)arguments, log) && program_wait(&asked, HOST_ASK_MS) == 0;
}

bool host_start(host *h)
{
    if (!spawn(h))
        return false;
    for (int64_t until = bench_now_ns() + HOST_READY_MS * (int64_t)1000000; bench_now_ns() < until; program_nap_ms(POLL_MS)) {
        if (bench_is_interrupted())
            return false;
        if (waitpid(h->pid, NULL, WNOHANG) == h->pid) {
            h->pid = 0;
            show_log(h);
            return bench_fail("%s ended while starting", h->program);
        }
        if (h->is_tls ? is_ready_over_tls(h) : http_get(h->http_port, "/healthz", NULL, NULL) == 200)
            return read_token(h);
    }
    show_log(h);
    return bench_fail("%s is not ready after %d s", h->program, HOST_READY_MS / 1000);
}

void host_stop(host *h, bool is_kill)
{
    if (h->pid == 0)
        return;
    kill(is_kill ? -h->pid : h->pid, is_kill ? SIGKILL : SIGTERM);
    for (int64_t until = bench_now_ns() + HOST_STOP_MS * (int64_t)1000000; waitpid(h->pid, NULL, WNOHANG) == 0; program_nap_ms(1))
        if (bench_now_ns() > until)
            kill(-h->pid, SIGKILL);
    kill(-h->pid, SIGKILL); /* rooms that outlived it: */
    while (waitpid(-h->pid, NULL, WNOHANG) >= 0 || kill(-h->pid, 0) == 0)
        program_nap_ms(1);
    h->pid = 0;
}

void host_fini(host *h)
{
    host_stop(h, true);
    directory_remove(h->directory);
    h->directory[0] = '\0';
}

/* ---- what it uses ---- */

static bool read_small(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    size_t length = fread(out, 1, size - 1, file);
    out[length] = '\0';
    fclose(file);
    return length > 0;
}

typedef struct process {
    pid_t pid, parent;
    double cpu_s;
    char kind[32];
    bool is_ours;
} process;

static bool read_process(pid_t pid, process *out)
{
    char path[64], text[1024];
    unsigned long user, system;
    int parent;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (!read_small(path, text, sizeof text))
        return false;
    char *end = strrchr(text, ')'); /* the name may hold anything */
    if (end == NULL ||
        sscanf(end + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &parent, &user, &system) != 3)
        return false;
    *out = (process){ .pid = pid, .parent = parent, .cpu_s = (double)(user + system) / (double)sysconf(_SC_CLK_TCK) };
    snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
    /* "dromiod: cell 0": the kind is the word behind the colon. */
    const char *colon = read_small(path, text, sizeof text) ? strstr(text, ": ") : NULL;
    size_t length = colon != NULL ? strcspn(colon + 2, " ") : 0;
    if (length > 0 && length < sizeof out->kind)
        snprintf(out->kind, sizeof out->kind, "%.*s", (int)length, colon + 2);
    else
        snprintf(out->kind, sizeof out->kind, "main");
    return true;
}

/* dromiod and all below it. */
static int find_processes(pid_t root, process out[HOST_PROCESSES_MAX])
{
    DIR *directory = opendir("/proc");
    struct dirent *entry;
    static process all[65536];
    int total = 0, count = 0;
    while (directory != NULL && (entry = readdir(directory)) != NULL && total < (int)(sizeof all / sizeof all[0])) {
        int pid = atoi(entry->d_name);
        if (pid > 0 && read_process(pid, &all[total]))
            total++;
    }
    if (directory != NULL)
        closedir(directory);
    for (int round = 0; round < DESCENT_ROUNDS; round++) {
        for (int i = 0; i < total; i++) {
            bool is_ours = all[i].pid == root;
            for (int k = 0; k < count && !is_ours; k++)
                is_ours = all[i].parent == out[k].pid;
            if (!is_ours || all[i].is_ours || count == HOST_PROCESSES_MAX)
                continue;
            all[i].is_ours = true;
            out[count++] = all[i];
        }
    }
    return count;
}

static uint64_t pss_of(pid_t pid)
{
    char path[64], text[4096];
    unsigned long long kib;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    const char *line = read_small(path, text, sizeof text) ? strstr(text, "\nPss:") : NULL;
    return line != NULL && sscanf(line, "\nPss: %llu kB", &kib) == 1 ? kib * 1024 : 0;
}

static void add_to_kind(host_usage *rooms, int *count, const process *one, uint64_t pss)
{
    int i = 0;
    while (i < *count && strcmp(rooms[i].kind, one->kind) != 0)
        i++;
    if (i == HOST_KINDS_MAX)
        return;
    if (i == *count) {
        rooms[i] = (host_usage){ 0 };
        snprintf(rooms[i].kind, sizeof rooms[i].kind, "%s", one->kind);
        ++*count;
    }
    rooms[i].cpu_s += one->cpu_s;
    rooms[i].pss_bytes += pss;
}

host_usage host_use(const host *h, bool with_memory, host_usage rooms[HOST_KINDS_MAX], int *count)
{
    static process ours[HOST_PROCESSES_MAX];
    host_usage sum = { .kind = "all" };
    int found = find_processes(h->pid, ours);
    if (rooms != NULL)
        *count = 0;
    for (int i = 0; i < found; i++) {
        uint64_t pss = with_memory ? pss_of(ours[i].pid) : 0;
        sum.cpu_s += ours[i].cpu_s;
        sum.pss_bytes += pss;
        if (rooms != NULL)
            add_to_kind(rooms, count, &ours[i], pss);
    }
    return sum;
}

double host_counter_in(const char *metrics, const char *name)
{
    size_t length = strlen(name);
    double sum = -1;
    for (const char *line = metrics; line != NULL && *line != '\0';) {
        const char *next = strchr(line, '\n');
        if (strncmp(line, name, length) == 0 && (line[length] == ' ' || line[length] == '{')) {
            const char *value = line[length] == '{' ? strchr(line, '}') : line + length;
            if (value != NULL && (next == NULL || value < next))
                sum = (sum < 0 ? 0 : sum) + strtod(value + (*value == '}'), NULL);
        }
        line = next != NULL ? next + 1 : NULL;
    }
    return sum;
}

double host_counter(const host *h, const char *name)
{
    static http_text text;
    if (http_get(h->http_port, "/metrics", h->token, &text) != 200)
        return -1;
    return host_counter_in(text.bytes, name);
}

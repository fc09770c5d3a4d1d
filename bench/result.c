#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"

int64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

double bench_cpu_s(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

void *bench_read_file(const char *path, size_t most, size_t *length)
{
    void *bytes = malloc(most);
    FILE *file = bytes != NULL ? fopen(path, "re") : NULL;
    if (file == NULL) {
        free(bytes);
        bench_fail("%s: cannot be read", path);
        return NULL;
    }
    *length = fread(bytes, 1, most, file);
    fclose(file);
    return bytes;
}

void bench_beside(char *out, size_t room, const char *name)
{
    char self[2048];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash != NULL)
        *slash = '\0';
    snprintf(out, room, "%s/%s", self, name);
}

static volatile sig_atomic_t is_interrupted;

static void on_signal(int number)
{
    is_interrupted = number;
}

void bench_catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool bench_is_interrupted(void)
{
    return is_interrupted != 0;
}

bool bench_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("dromio-bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return false;
}

void bench_result_init(bench_result *r)
{
    r->per_second = r->cpu_micros = r->p50_micros = r->p99_micros = r->bytes_per_twin = -1;
    r->peer_per_second = r->peer_cpu_micros = r->ratio = -1;
    r->compared_per_second = -1;
    r->per_second_is = NULL;
    r->peer[0] = '\0';
    r->settings_length = 0;
    r->settings[0] = '\0';
}

static void add(bench_result *r, const char *member)
{
    size_t length = strlen(member);
    if (r->settings_length + length + 2 > sizeof r->settings)
        return;
    if (r->settings_length > 0)
        r->settings[r->settings_length++] = ',';
    memcpy(r->settings + r->settings_length, member, length + 1);
    r->settings_length += length;
}

static void number_text(double value, char out[48])
{
    if (value == floor(value) && fabs(value) < 1e15)
        snprintf(out, 48, "%.0f", value);
    else
        snprintf(out, 48, "%.4g", value);
}

void bench_set_number(bench_result *r, const char *name, double value)
{
    char member[256], text[48];
    number_text(value, text);
    snprintf(member, sizeof member, "\"%s\":%s", name, isfinite(value) ? text : "null");
    add(r, member);
}

void bench_set_text(bench_result *r, const char *name, const char *value)
{
    char member[1024];
    int n = snprintf(member, sizeof member, "\"%s\":\"", name);
    for (const char *at = value; *at != '\0' && n < (int)sizeof member - 4; at++) {
        if (*at == '"' || *at == '\\')
            member[n++] = '\\';
        member[n++] = (unsigned char)*at < 0x20 ? ' ' : *at;
    }
    member[n++] = '"';
    member[n] = '\0';
    add(r, member);
}

void bench_set_per_second_is(bench_result *r, const char *what)
{
    r->per_second_is = what;
    bench_set_text(r, "per_second_is", what);
}

void bench_set_result(bench_result *r, const char *name, const bench_result *inner)
{
    static bench_result rows; /* the numbers as members, then the settings */
    static char member[BENCH_SETTINGS_BYTES + 64];
    bench_result_init(&rows);
    const struct { const char *name; double value; } numbers[] = {
        { "per_second", inner->per_second }, { "cpu_micros", inner->cpu_micros },
        { "p50_micros", inner->p50_micros }, { "p99_micros", inner->p99_micros },
        { "peer_cpu_micros", inner->peer_cpu_micros },
        { "bytes_per_twin", inner->bytes_per_twin },
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i].value >= 0)
            bench_set_number(&rows, numbers[i].name, numbers[i].value);
    add(&rows, inner->settings);
    snprintf(member, sizeof member, "\"%s\":{%s}", name, rows.settings);
    add(r, member);
}

typedef struct shown {
    const char *name, *unit;
    double value;
} shown;

static void print_json(const bench_options *o, const bench_result *r, const shown *rows, int count)
{
    char text[48];
    printf("{\"bench\":\"%s\"", o->name);
    if (r->peer[0] != '\0')
        printf(",\"peer\":\"%s\"", r->peer);
    for (int i = 0; i < count; i++) {
        if (rows[i].value < 0)
            continue;
        snprintf(text, sizeof text, rows[i].value < 1000 ? "%.4g" : "%.0f", rows[i].value);
        printf(",\"%s\":%s", rows[i].name, text);
    }
    printf(",\"settings\":{%s}}\n", r->settings);
}

/* One member a line, indented by its depth; what is in a text stays as it is. */
static void print_settings(const char *settings)
{
    int depth = 1;
    bool is_text = false;
    printf("  settings\n    ");
    for (const char *at = settings; *at != '\0'; at++) {
        is_text ^= *at == '"';
        if (is_text && *at == '\\' && at[1] != '\0') {
            putchar(*++at);
        } else if (!is_text && (*at == ',' || *at == '{')) {
            depth += *at == '{';
            printf("\n%*s", 2 + 2 * depth, "");
        } else if (!is_text && *at == '}') {
            depth--;
        } else if (!is_text && *at == ':') {
            fputs(at[1] != '{' ? " " : "", stdout);
        } else if (*at != '"') {
            putchar(*at);
        }
    }
    putchar('\n');
}

static void print_plain(const bench_options *o, const bench_result *r, const shown *rows, int count)
{
    printf("%s%s%s\n", o->name, r->peer[0] != '\0' ? ", compared with " : "", r->peer);
    for (int i = 0; i < count; i++) {
        bool is_what = i == 0 && r->per_second_is != NULL; /* the first row is per_second */
        if (rows[i].value >= 0)
            printf("%14.*f  %s%s%s\n", rows[i].value < 100 ? 2 : 0, rows[i].value, rows[i].unit, is_what ? ", " : "", is_what ? r->per_second_is : "");
        if (i == 0 && r->ratio >= 0 && r->compared_per_second >= 0)
            printf("%14.0f  per second through sockets, which the ratio is of\n", r->compared_per_second);
    }
    if (r->settings[0] != '\0')
        print_settings(r->settings);
}

void bench_result_print(const bench_options *o, const bench_result *r)
{
    const shown rows[] = {
        { "per_second", "per second", r->per_second },
        { "cpu_micros", "us of CPU each, all rooms", r->cpu_micros },
        { "p50_micros", "us, median", r->p50_micros },
        { "p99_micros", "us, 99th percentile", r->p99_micros },
        { "bytes_per_twin", "bytes a twin, all rooms", r->bytes_per_twin },
        { "peer_per_second", "per second, what it is compared with", r->peer_per_second },
        { "peer_cpu_micros", "us of CPU each, of what it is compared with", r->peer_cpu_micros },
        { "ratio", "times as many", r->ratio },
    };
    int count = (int)(sizeof rows / sizeof rows[0]);
    if (o->is_json) {
        print_json(o, r, rows, count);
        return;
    }
    print_plain(o, r, rows, count);
}

/* What all benchmarks share: their options, the time, interrupts, and the result
 * as one JSON object. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/host.h"
#include "sim/histogram.h"

enum { BENCH_SETTINGS_BYTES = 16 * 1024 };

typedef struct bench_options {
    const char *name;
    char dromiod[4096], image[4096], directory[4096]; /* program, thermo.wasm, where data directories are made */
    bool is_json, is_quick, is_alone, is_http;
    uint32_t twins;   /* 0: the benchmark's own */
    double seconds;   /* 0: the benchmark's own */
    double times;     /* of the peak, that `overload` offers; 0: 1, 2 and 5 */
} bench_options;

/* One result. Numbers below 0 are left out. */
typedef struct bench_result {
    double per_second, cpu_micros, p50_micros, p99_micros, bytes_per_twin, peer_per_second, peer_cpu_micros, ratio;
    char peer[64]; /* what it was set beside in the same run; empty: nothing */
    double compared_per_second; /* what the ratio is of, where that is not per_second */
    const char *per_second_is;  /* of what; NULL: the name says it */
    size_t settings_length;
    char settings[BENCH_SETTINGS_BYTES]; /* members of a JSON object */
} bench_result;

void bench_result_init(bench_result *result);
void bench_set_number(bench_result *result, const char *name, double value);
void bench_set_text(bench_result *result, const char *name, const char *value);
/* Of what per_second is, a literal; among the settings too. */
void bench_set_per_second_is(bench_result *result, const char *what);
/* `inner` as an object among the settings. */
void bench_set_result(bench_result *result, const char *name, const bench_result *inner);
void bench_result_print(const bench_options *options, const bench_result *result);

int64_t bench_now_ns(void);
/* CPU of this program so far, seconds: what the load costs. */
double bench_cpu_s(void);
/* The first `most` bytes of a file, the caller's to free; NULL: said why. */
void *bench_read_file(const char *path, size_t most, size_t *length);
/* A file of the build, from the folder this program is in. */
void bench_beside(char *out, size_t room, const char *name);
/* SIGINT, SIGTERM and SIGHUP only make every loop end, so that the host is stopped and removed. */
void bench_catch_signals(void);
bool bench_is_interrupted(void);
/* "dromio-bench: ..." on standard error, and false. */
bool bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

typedef struct bench_row {
    const char *name, *measures;
    bool (*run)(const bench_options *options, bench_result *result);
} bench_row;
extern const bench_row bench_rows[];
extern const int bench_row_count;

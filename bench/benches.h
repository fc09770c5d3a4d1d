/* The benchmarks that have files of their own; benches.c lists all. */
#pragma once

#include "bench/bench.h"

bool bench_cold(const bench_options *options, bench_result *result);
bool bench_restart(const bench_options *options, bench_result *result);
bool bench_compaction(const bench_options *options, bench_result *result);
bool bench_compute(const bench_options *options, bench_result *result);
bool bench_hot(const bench_options *options, bench_result *result);
bool bench_overload(const bench_options *options, bench_result *result);
bool bench_curve(const bench_options *options, bench_result *result);

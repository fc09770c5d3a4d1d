/* The benchmarks that have files of their own; benches.c lists all. */
#pragma once

#include "bench/bench.h"

/* Readings of random twins without sockets: bench.load. `set`: further settings, each with a blank behind it. */
bool turns_without_sockets(const bench_options *options, const char *set, uint32_t window, bench_result *result);
bool bench_turns(const bench_options *options, bench_result *result);
bool bench_cold(const bench_options *options, bench_result *result);
bool bench_restart(const bench_options *options, bench_result *result);
bool bench_compaction(const bench_options *options, bench_result *result);
bool bench_compute(const bench_options *options, bench_result *result);
bool bench_hot(const bench_options *options, bench_result *result);
bool bench_notify(const bench_options *options, bench_result *result);
bool bench_nidd(const bench_options *options, bench_result *result);
bool bench_overload(const bench_options *options, bench_result *result);
bool bench_group(const bench_options *options, bench_result *result);
bool bench_curve(const bench_options *options, bench_result *result);

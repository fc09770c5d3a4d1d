/* The benchmarks that have files of their own; benches.c lists all. */
#pragma once

#include "bench/bench.h"
#include "bench/load.h"

/* Readings of random twins without sockets: bench.load. `set`: further settings, each with a blank behind it. */
bool turns_without_sockets(const bench_options *options, const char *set, uint32_t window, bench_result *result);
bool bench_turns(const bench_options *options, bench_result *result);
bool bench_cold(const bench_options *options, bench_result *result);
bool bench_restart(const bench_options *options, bench_result *result);
bool bench_compaction(const bench_options *options, bench_result *result);
bool bench_compute(const bench_options *options, bench_result *result);
bool bench_hot(const bench_options *options, bench_result *result);
bool bench_nidd(const bench_options *options, bench_result *result);
bool bench_monte(const bench_options *options, bench_result *result);
bool bench_queue(const bench_options *options, bench_result *result);
bool bench_overload(const bench_options *options, bench_result *result);
bool overload_over_http(const bench_options *options, bench_result *result);
bool bench_group(const bench_options *options, bench_result *result);
bool bench_curve(const bench_options *options, bench_result *result);
bool bench_growth(const bench_options *options, bench_result *result);

/* What they measure of a host that runs and has its twins. Those with a load want them attached by it. */
bool turns_measured(const bench_options *options, const host *host, uint32_t twins, uint32_t window, bench_result *result);
bool uplinks_measured(const bench_options *options, const host *host, load *load, bench_result *result);
bool latency_measured(const bench_options *options, const host *host, load *load, bench_result *result);
bool gets_measured(const bench_options *options, const host *host, uint32_t twins, bench_result *result);
/* Attaches them, and sends so many frames of each. `empty_bytes`: PSS of the host without twins. */
bool memory_measured(const host *host, load *load, uint32_t twins, uint32_t frames_each, uint64_t empty_bytes, bench_result *result);
/* Once there were so many turns, so that all have had one. */
bool cold_measured(const bench_options *options, const host *host, uint32_t twins, double turns_before, bench_result *result);
uint64_t cold_contexts_bytes(uint32_t twins); /* contexts.memory for it */

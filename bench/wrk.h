/* wrk (https://github.com/wg/wrk), an HTTP client of others: what a benchmark's own
 * client measures is measured once more by one that knows nothing of the host. */
#pragma once

#include "bench/bench.h"

enum { WRK_CONNECTIONS = 64 };

/* GETs of the twins' temperature, keep-alive, one request at a time on each of WRK_CONNECTIONS;
 * sets PREFIX_per_second, PREFIX_p50_micros, ... and the CPU of the host for each. `scheme`: http
 * or https. Where wrk is not installed: a note only. False: it broke, said why. */
bool wrk_measure(const bench_options *options, const host *host, const char *scheme, const char *prefix, uint32_t twins,
                 double seconds, bench_result *result);

typedef struct wrk_report { /* what our script prints at the end */
    double requests, micros, p50_micros, p99_micros, not_2xx, broken;
} wrk_report;
bool wrk_read_report(const char *text, wrk_report *out);

/* freeDiameter (http://www.freediameter.net), the Diameter server in C that one would
 * build on otherwise: bare, with an extension of ours that answers and does nothing. */
#pragma once

#include "bench/bench.h"

/* Requests a second with the same generator and window as the host's; sets peer,
 * peer_per_second, ratio. Where it is not installed: a note only. False: it broke, said why. */
bool freediameter_compare(const bench_options *options, uint32_t twins, double seconds, bench_result *result);

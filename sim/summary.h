/* Summary: what a run of dromio-sim prints: a line now and then, and the end. */
#pragma once

#include "sim/network.h"

void summary_progress(const network *network, double seconds);                        /* one line on standard error */
void summary_print(const network *network, const options *options, double seconds);   /* on standard output */

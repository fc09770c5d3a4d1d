/* TLS of the simulated MMEs: from the files of the options. */
#pragma once

#include "gate/tls.h"
#include "sim/options.h"

/* 0, with *out NULL where no authority is given: plain TCP. Else the exit code, after a line that names the file. */
int secure_open(tls_context **out, const options *options);

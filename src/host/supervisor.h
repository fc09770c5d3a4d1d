/* Supervisor: makes what rooms share, starts them, and starts again what dies.
 * It has no keys, no threads, and reads no byte from outside. */
#pragma once

#include "host/config.h"

/* Runs the host until a signal asks it to stop: the process's exit code. `certificates`: what
 * certificates_load gave. */
int supervise(const config *config, int certificates);

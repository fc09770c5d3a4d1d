/* Confine: what the desk's process may still ask of the kernel. It reads memory,
 * sleeps and rings; it opens nothing, sends nothing, starts nothing. */
#pragma once

#include <stdbool.h>

/* For the calling thread, for good. False: the kernel has no seccomp; then only
 * new privileges and dumps are off. */
bool confine_desk(void);

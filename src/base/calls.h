/* Calls: what a process may still ask of the kernel (seccomp). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { DRO_CALLS_MAX = 200 };

/* Only these calls from now on, for the calling thread and for good; all others fail with EPERM, so that a library that
 * probes for something goes on without. Memory never becomes executable. PR_SET_NO_NEW_PRIVS is to be set before.
 * False: the kernel has no seccomp, or not for this processor; or there are too many calls. */
bool dro_calls_confine(const int *allowed, size_t count);

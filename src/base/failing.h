/* For tests: calls that fail. FAILING makes the function that the linker puts in a call's place (--wrap=name in the test's
 * meson.build); of all these calls in a program the n-th fails, as fault_at says, so that a test can go through every n. */
#pragma once

#include <errno.h>
#include <stdbool.h>

static struct { int at, count, error; } fault; /* the call that fails, 0: none; how many there were; with which errno */
static _Thread_local int fault_spared;         /* more than 0: calls of this thread that neither fail nor count */

static inline void fault_at(int n, int error)
{
    fault.at = n;
    fault.error = error;
    __atomic_store_n(&fault.count, 0, __ATOMIC_RELAXED);
}

static inline bool fails(void)
{
    if (fault_spared > 0 || __atomic_add_fetch(&fault.count, 1, __ATOMIC_RELAXED) != fault.at)
        return false;
    errno = fault.error;
    return true;
}

/* Was n more than there are calls? Nothing fails any more. */
static inline bool fault_is_past(int n)
{
    bool is_past = __atomic_load_n(&fault.count, __ATOMIC_RELAXED) < n;
    fault_at(0, 0);
    return is_past;
}

#define FAILING(type, name, parameters, arguments, failure) \
    type __real_##name parameters; \
    type __wrap_##name parameters; \
    type __wrap_##name parameters { return fails() ? (failure) : __real_##name arguments; }

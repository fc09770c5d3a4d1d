#include "base/descriptors.h"

#include <sys/resource.h>

#include "base/log.h"

void dro_descriptors_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        dro_warn("the limit of descriptors cannot be raised: %m");
}

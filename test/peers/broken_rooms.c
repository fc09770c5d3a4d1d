/* A machine on which rooms of one host cannot start (LD_PRELOAD), as a file of two numbers says that whoever tests can write: how a cell
 * ends that is about to have the lowest priority, 0: it does not; then whether there is no process to be had. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static const volatile int32_t *set;

__attribute__((constructor)) static void open_faults(void)
{
    const char *path = getenv("BROKEN_ROOMS");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void *at = file < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ, MAP_SHARED, file, 0);
    if (file >= 0)
        close(file);
    if (at != MAP_FAILED)
        set = at;
}

int sched_setscheduler(pid_t pid, int policy, const struct sched_param *param)
{
    int (*next)(pid_t, int, const struct sched_param *) = (int (*)(pid_t, int, const struct sched_param *))dlsym(RTLD_NEXT, "sched_setscheduler");
    if (set != NULL && set[0] != 0 && policy == SCHED_IDLE)
        _exit(set[0]);
    return next(pid, policy, param);
}

pid_t fork(void)
{
    pid_t (*next)(void) = (pid_t (*)(void))dlsym(RTLD_NEXT, "fork");
    if (set != NULL && set[1] != 0) {
        errno = EAGAIN;
        return -1;
    }
    return next();
}

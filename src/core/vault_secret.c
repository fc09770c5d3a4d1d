#include "core/vault_secret.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/wipe.h"

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447 /* the same on x86-64 and aarch64 */
#endif

/* The descriptor is closed at once: whoever held it could map the keys again. */
static void *map_secret(size_t bytes)
{
    int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
    if (fd < 0)
        return NULL;
    void *memory = ftruncate(fd, (off_t)bytes) != 0 ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return memory == MAP_FAILED ? NULL : memory;
}

static void *map_locked(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    if (mlock(memory, bytes) != 0) {
        /* Over RLIMIT_MEMLOCK: it may be swapped then. vault_is_secret says that keys are not hidden. */
    }
    madvise(memory, bytes, MADV_DONTDUMP);
    return memory;
}

void *vault_secret_new(size_t bytes, bool *is_secret)
{
    void *memory = map_secret(bytes);
    *is_secret = memory != NULL;
    if (memory == NULL)
        memory = map_locked(bytes);
    if (memory == NULL)
        return NULL;
    madvise(memory, bytes, MADV_DONTFORK);
    dro_wipe(memory, bytes); /* touches the pages now: later would be in the middle of a turn */
    return memory;
}

void vault_secret_free(void *memory, size_t bytes)
{
    if (memory == NULL)
        return;
    dro_wipe(memory, bytes);
    munmap(memory, bytes);
}

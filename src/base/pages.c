#include "base/pages.h"

#include <sys/mman.h>

void *dro_pages_new(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void dro_pages_free(void *memory, size_t bytes)
{
    if (memory != NULL)
        munmap(memory, bytes);
}

void dro_pages_huge(void *memory, size_t bytes)
{
    if (bytes >= DRO_PAGES_HUGE)
        (void)madvise(memory, bytes, MADV_HUGEPAGE); /* a wish: small pages do too */
}

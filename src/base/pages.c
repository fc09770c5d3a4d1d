#include "base/pages.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

enum { RANGES_MAX = 64, STACK_BYTES = 1024 * 1024 /* the process's thread-local buffers lie in it too */ };

typedef struct range { uintptr_t at, end; } range;

/* The thread takes ranges in order, a piece at a time. What it is asked for beyond RANGES_MAX is not taken. */
static struct helper {
    pthread_t thread;
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t moved;
    range ranges[RANGES_MAX];
    uint32_t first, count;
    range piece;          /* being taken; empty: none */
    bool is_running, is_ending;
} helper = { .lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER };

/* ---- the helper ---- */

/* Up to the next huge page. */
static range next_piece(void)
{
    range *oldest = &helper.ranges[helper.first];
    uintptr_t end = (oldest->at / DRO_PAGES_HUGE + 1) * DRO_PAGES_HUGE;
    range piece = { oldest->at, end < oldest->end ? end : oldest->end };
    oldest->at = piece.end;
    if (oldest->at == oldest->end) {
        helper.first = (helper.first + 1) % RANGES_MAX;
        helper.count--;
    }
    return piece;
}

static void *help(void *argument)
{
    pthread_mutex_lock(&helper.lock);
    while (!helper.is_ending) {
        if (helper.count == 0) {
            pthread_cond_wait(&helper.moved, &helper.lock);
            continue;
        }
        helper.piece = next_piece();
        pthread_mutex_unlock(&helper.lock);
        (void)madvise((void *)helper.piece.at, helper.piece.end - helper.piece.at, MADV_POPULATE_WRITE);
        pthread_mutex_lock(&helper.lock);
        helper.piece = (range){ 0, 0 };
        pthread_cond_broadcast(&helper.moved);
    }
    pthread_mutex_unlock(&helper.lock);
    return argument;
}

bool dro_pages_helper_start(void)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    if (helper.is_running || pthread_attr_init(&attributes) != 0)
        return false;
    helper.first = helper.count = 0;
    helper.is_ending = false;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all); /* signals are for others */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    helper.is_running = pthread_create(&helper.thread, &attributes, help, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return helper.is_running;
}

void dro_pages_helper_stop(void)
{
    if (!helper.is_running)
        return;
    pthread_mutex_lock(&helper.lock);
    helper.is_ending = true;
    pthread_cond_broadcast(&helper.moved);
    pthread_mutex_unlock(&helper.lock);
    pthread_join(helper.thread, NULL);
    helper.is_running = false;
}

void dro_pages_soon(void *memory, size_t bytes)
{
    if (!helper.is_running || bytes == 0)
        return;
    pthread_mutex_lock(&helper.lock);
    if (helper.count < RANGES_MAX)
        helper.ranges[(helper.first + helper.count++) % RANGES_MAX] = (range){ (uintptr_t)memory, (uintptr_t)memory + bytes };
    pthread_cond_broadcast(&helper.moved);
    pthread_mutex_unlock(&helper.lock);
}

/* What is freed is another's memory next. */
static void forget(uintptr_t at, uintptr_t end)
{
    pthread_mutex_lock(&helper.lock);
    uint32_t count = helper.count;
    helper.count = 0;
    for (uint32_t i = 0; i < count; i++) {
        range kept = helper.ranges[(helper.first + i) % RANGES_MAX];
        if (kept.at >= end || kept.end <= at)
            helper.ranges[(helper.first + helper.count++) % RANGES_MAX] = kept;
    }
    while (helper.piece.at < end && helper.piece.end > at)
        pthread_cond_wait(&helper.moved, &helper.lock);
    pthread_mutex_unlock(&helper.lock);
}

/* ---- memory ---- */

/* The leak sanitizer looks for pointers in what malloc gave, and would not see those kept here. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LEAKS_ARE_LOOKED_FOR
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define LEAKS_ARE_LOOKED_FOR
#endif
#ifdef LEAKS_ARE_LOOKED_FOR
#include <sanitizer/lsan_interface.h>
#else
#define __lsan_register_root_region(memory, bytes) ((void)0)
#define __lsan_unregister_root_region(memory, bytes) ((void)0)
#endif

void *dro_pages_new(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    __lsan_register_root_region(memory, bytes);
    return memory;
}

void dro_pages_free(void *memory, size_t bytes)
{
    if (memory == NULL)
        return;
    if (helper.is_running)
        forget((uintptr_t)memory, (uintptr_t)memory + bytes);
    __lsan_unregister_root_region(memory, bytes);
    munmap(memory, bytes);
}

void dro_pages_huge(void *memory, size_t bytes)
{
    if (bytes >= DRO_PAGES_HUGE)
        (void)madvise(memory, bytes, MADV_HUGEPAGE); /* a wish: small pages do too */
}

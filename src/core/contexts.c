#include "core/contexts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/pages.h"
#include "core/vault.h"
#include "ring/message.h"

enum {
    FREE = (int)0xffffffff,
    CLASS_STEP = 16,
    CLASS_FINE_MAX = 512,        /* in steps of 16 up to here, */
    CLASS_FINE = CLASS_FINE_MAX / CLASS_STEP,
    CLASS_COUNT = CLASS_FINE + 8 * 8, /* then eight to each doubling */
    SLAB_HEADER = 64,
    ARENA = 32 * CONTEXTS_SLAB,
    ARENAS_MANY = 8,             /* from here on a whole arena more is little */
    HEADER = offsetof(context, sealed),
};

typedef struct slab {
    uint32_t class, bytes;       /* of a block */
    uint32_t used;               /* blocks with an owner */
    uint32_t next;               /* first block never used */
    uint32_t count;              /* blocks it has room for */
    uint32_t number;             /* in contexts.slabs */
    context *free;               /* linked through `place` */
    struct slab *next_free, *previous_free; /* of its class, those with room */
    bool is_listed;
} slab;
_Static_assert(sizeof(slab) <= SLAB_HEADER, "a slab's header");

struct contexts {
    uint64_t budget, bytes, left;
    contexts_leave_fn leave;
    void *owner;
    slab **slabs;                /* those that belong to a class */
    uint32_t slab_count, slab_capacity;
    slab *with_room[CLASS_COUNT];
    slab *spare;                 /* slabs of no class, by next_free */
    uint8_t *arena;              /* the newest, cut into slabs from arena_at on */
    size_t arena_at;
    uint8_t **arenas;
    uint32_t arena_count;
    uint32_t count;
    uint32_t hand_slab, hand_block;
};

/* ---- classes ---- */

static uint32_t class_of(size_t bytes)
{
    if (bytes <= CLASS_FINE_MAX)
        return (uint32_t)((bytes + CLASS_STEP - 1) / CLASS_STEP) - 1;
    uint32_t octave = 0;
    while (((size_t)CLASS_FINE_MAX << (octave + 1)) < bytes)
        octave++;
    size_t base = (size_t)CLASS_FINE_MAX << octave, step = base / 8;
    return (uint32_t)(CLASS_FINE + octave * 8 + (bytes - base + step - 1) / step - 1);
}

static uint32_t class_bytes(uint32_t class)
{
    if (class < CLASS_FINE)
        return (class + 1) * CLASS_STEP;
    uint32_t octave = (class - CLASS_FINE) / 8, part = (class - CLASS_FINE) % 8 + 1;
    return ((uint32_t)CLASS_FINE_MAX << octave) / 8 * (8 + part);
}

/* ---- slabs ---- */

static slab *slab_of(const context *context)
{
    return (slab *)((uintptr_t)context & ~(uintptr_t)(CONTEXTS_SLAB - 1));
}

static context *block_at(const slab *slab, uint32_t number)
{
    return (context *)(void *)((uint8_t *)(uintptr_t)slab + SLAB_HEADER + (size_t)number * slab->bytes);
}

static void list_add(contexts *here, slab *slab)
{
    struct slab **first = &here->with_room[slab->class];
    slab->previous_free = NULL;
    slab->next_free = *first;
    if (*first != NULL)
        (*first)->previous_free = slab;
    *first = slab;
    slab->is_listed = true;
}

static void list_remove(contexts *here, slab *slab)
{
    if (slab->previous_free != NULL)
        slab->previous_free->next_free = slab->next_free;
    else
        here->with_room[slab->class] = slab->next_free;
    if (slab->next_free != NULL)
        slab->next_free->previous_free = slab->previous_free;
    slab->is_listed = false;
}

/* Aligned to its size, so that a block finds its slab. Pages come when they are touched. */
static bool arena_new(contexts *here)
{
    uint8_t **arenas = realloc(here->arenas, (here->arena_count + 1) * sizeof *arenas);
    if (arenas == NULL)
        return false;
    here->arenas = arenas;
    uint8_t *at = mmap(NULL, ARENA + CONTEXTS_SLAB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return false;
    size_t before = (size_t)(-(uintptr_t)at & (CONTEXTS_SLAB - 1));
    if (before > 0)
        munmap(at, before);
    munmap(at + before + ARENA, CONTEXTS_SLAB - before);
    if (here->arena_count > 0) /* of few contexts too much would lie idle */
        dro_pages_huge(at + before, ARENA);
    if (here->arena_count >= ARENAS_MANY) /* its beginning is touched at once */
        dro_pages_soon(at + before + DRO_PAGES_HUGE, ARENA - DRO_PAGES_HUGE);
    here->arena = arenas[here->arena_count++] = at + before;
    here->arena_at = 0;
    return true;
}

static slab *slab_memory(contexts *here)
{
    slab *slab = here->spare;
    if (slab != NULL) {
        here->spare = slab->next_free;
        return slab;
    }
    if ((here->arena == NULL || here->arena_at == ARENA) && !arena_new(here))
        return NULL;
    slab = (struct slab *)(void *)(here->arena + here->arena_at);
    here->arena_at += CONTEXTS_SLAB;
    return slab;
}

static slab *slab_new(contexts *here, uint32_t class)
{
    if (here->slab_count == here->slab_capacity) {
        uint32_t capacity = here->slab_capacity == 0 ? 64 : here->slab_capacity * 2;
        slab **slabs = realloc(here->slabs, capacity * sizeof(slab *));
        if (slabs == NULL)
            return NULL;
        here->slabs = slabs;
        here->slab_capacity = capacity;
    }
    slab *made = slab_memory(here);
    if (made == NULL)
        return NULL;
    *made = (slab){ .class = class, .bytes = class_bytes(class), .number = here->slab_count };
    made->count = (CONTEXTS_SLAB - SLAB_HEADER) / made->bytes;
    here->slabs[here->slab_count++] = made;
    list_add(here, made);
    return made;
}

/* An empty slab serves any class again; its pages go back to the system. */
static void slab_retire(contexts *here, slab *slab)
{
    struct slab *last = here->slabs[--here->slab_count];
    here->slabs[slab->number] = last;
    last->number = slab->number;
    if (slab->is_listed)
        list_remove(here, slab);
    madvise(slab, CONTEXTS_SLAB, MADV_DONTNEED);
    slab->next_free = here->spare;
    here->spare = slab;
}

/* ---- leaving ---- */

static void block_give(contexts *here, context *context)
{
    slab *slab = slab_of(context);
    assert(context->twin != (uint32_t)FREE);
    context->twin = (uint32_t)FREE;
    context->place = (uintptr_t)slab->free;
    slab->free = context;
    slab->used--;
    here->count--;
    here->bytes -= slab->bytes;
    if (!slab->is_listed)
        list_add(here, slab);
}

/* The last slab of a class that has room stays: its next context comes soon. */
void contexts_give(contexts *here, context *context)
{
    if (context == NULL)
        return;
    slab *slab = slab_of(context);
    block_give(here, context);
    if (slab->used == 0 && (slab->next_free != NULL || slab->previous_free != NULL))
        slab_retire(here, slab);
}

/* The block under the hand, which moves on; NULL: a free one. */
static context *hand_next(contexts *here)
{
    if (here->hand_slab >= here->slab_count)
        here->hand_slab = here->hand_block = 0;
    const slab *slab = here->slabs[here->hand_slab];
    context *context = here->hand_block < slab->next ? block_at(slab, here->hand_block) : NULL;
    if (++here->hand_block >= slab->next) {
        here->hand_slab++;
        here->hand_block = 0;
    }
    return context != NULL && context->twin != (uint32_t)FREE ? context : NULL;
}

/* Makes room in the budget. Where none may leave, the budget is passed: what may not is
 * what is in a turn or not durable yet, and both have bounds of their own. */
static void make_room(contexts *here, uint32_t bytes)
{
    for (int steps = 0; here->bytes + bytes > here->budget && here->count > 0 && steps < CONTEXTS_STEPS_MAX; steps++) {
        context *context = hand_next(here);
        if (context == NULL)
            continue;
        if (context->is_used_lately) {
            context->is_used_lately = false;
        } else if (here->leave(here->owner, context)) {
            here->left++;
            contexts_give(here, context);
        }
    }
}

/* Sizes changed: blocks of one class lie about in slabs that another needs. The emptiest is cleared. */
static void clear_emptiest(contexts *here)
{
    slab *emptiest = here->slabs[0];
    for (uint32_t i = 1; i < here->slab_count; i++)
        if ((uint64_t)here->slabs[i]->used * here->slabs[i]->bytes < (uint64_t)emptiest->used * emptiest->bytes)
            emptiest = here->slabs[i];
    for (uint32_t i = 0; i < emptiest->next; i++) {
        context *context = block_at(emptiest, i);
        if (context->twin == (uint32_t)FREE || !here->leave(here->owner, context))
            continue;
        here->left++;
        block_give(here, context);
    }
    if (emptiest->used == 0)
        slab_retire(here, emptiest);
}

/* ---- taking ---- */

context *contexts_take(contexts *here, uint32_t twin, size_t length)
{
    uint32_t class = class_of(HEADER + length);
    assert(length > 0 && length <= CONTEXT_BYTES_MAX + VAULT_OVERHEAD && class < CLASS_COUNT);
    make_room(here, class_bytes(class));
    slab *slab = here->with_room[class];
    if (slab == NULL) {
        uint64_t most = here->budget + here->budget / 4;
        if (here->slab_count > CLASS_COUNT && (uint64_t)here->slab_count * CONTEXTS_SLAB >= most)
            clear_emptiest(here);
        slab = slab_new(here, class);
        if (slab == NULL)
            return NULL;
    }
    context *context = slab->free;
    if (context != NULL)
        slab->free = (struct context *)(uintptr_t)context->place;
    else
        context = block_at(slab, slab->next++);
    if (slab->free == NULL && slab->next == slab->count)
        list_remove(here, slab);
    slab->used++;
    here->count++;
    here->bytes += slab->bytes;
    context->place = 0;
    context->twin = twin;
    context->is_used_lately = context->is_read = false;
    context->class = (uint8_t)class;
    return context;
}

void contexts_trim(contexts *here)
{
    make_room(here, 0);
}

bool contexts_fits(const context *context, size_t length)
{
    return class_of(HEADER + length) == context->class;
}

bool contexts_are_full(const contexts *here, size_t length)
{
    return here->bytes + class_bytes(class_of(HEADER + length)) > here->budget;
}

/* ---- open and close ---- */

contexts *contexts_new(uint64_t budget, contexts_leave_fn leave, void *owner)
{
    contexts *here = calloc(1, sizeof *here);
    if (here == NULL)
        return NULL;
    here->budget = budget;
    here->leave = leave;
    here->owner = owner;
    return here;
}

void contexts_free(contexts *here)
{
    if (here == NULL)
        return;
    for (uint32_t i = 0; i < here->arena_count; i++)
        munmap(here->arenas[i], ARENA);
    free(here->arenas);
    free(here->slabs);
    free(here);
}

uint64_t contexts_bytes(const contexts *here)
{
    return here->bytes;
}

uint64_t contexts_held(const contexts *here)
{
    return (uint64_t)here->slab_count * CONTEXTS_SLAB;
}

uint32_t contexts_count(const contexts *here)
{
    return here->count;
}

uint64_t contexts_left(const contexts *here)
{
    return here->left;
}

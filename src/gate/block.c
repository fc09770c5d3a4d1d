#include "gate/block.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/wipe.h"

static const struct {
    uint32_t capacity, most;
} sizes[BLOCK_SIZES] = {
    [BLOCK_SMALL] = { HTTP_BLOCK_SMALL, HTTP_BLOCKS_SMALL_MAX },
    [BLOCK_LARGE] = { HTTP_BLOCK_BYTES, HTTP_BLOCKS_MAX },
};

block *block_take(block_pool *pool, enum block_size size)
{
    block *taken = pool->of[size].free;
    if (taken != NULL) {
        pool->of[size].free = taken->next;
        pool->of[size].free_count--;
    } else {
        if (pool->of[size].used >= sizes[size].most)
            return NULL;
        taken = malloc(sizeof *taken + sizes[size].capacity);
        if (taken == NULL)
            return NULL;
        taken->capacity = sizes[size].capacity;
        taken->bytes = taken->room;
    }
    pool->of[size].used++;
    taken->next = NULL;
    taken->start = 0;
    taken->end = 0;
    return taken;
}

void block_give(block_pool *pool, block *given)
{
    if (given->capacity == 0) { /* its bytes are not its own */
        free(given);
        return;
    }
    enum block_size size = given->capacity == HTTP_BLOCK_SMALL ? BLOCK_SMALL : BLOCK_LARGE;
    assert(pool->of[size].used > 0 && given->end <= given->capacity);
    pool->of[size].used--;
    dro_wipe(given->room, given->end);
    if (pool->of[size].free_count >= HTTP_BLOCKS_KEPT) {
        free(given);
        return;
    }
    given->next = pool->of[size].free;
    pool->of[size].free = given;
    pool->of[size].free_count++;
}

block *block_resize(block_pool *pool, block *given, uint32_t from, enum block_size size)
{
    uint32_t length = given->end - from;
    assert(from <= given->end && length <= sizes[size].capacity);
    block *made = block_take(pool, size);
    if (made == NULL)
        return NULL;
    memcpy(made->room, given->bytes + from, length);
    made->end = length;
    block_give(pool, given);
    return made;
}

void block_pool_trim(block_pool *pool)
{
    for (int size = 0; size < BLOCK_SIZES; size++) {
        while (pool->of[size].free != NULL) {
            block *next = pool->of[size].free->next;
            free(pool->of[size].free);
            pool->of[size].free = next;
        }
        pool->of[size].free_count = 0;
    }
}

void block_pool_fini(block_pool *pool)
{
    block_pool_trim(pool);
}

size_t block_pool_bytes(const block_pool *pool)
{
    size_t bytes = 0;
    for (int size = 0; size < BLOCK_SIZES; size++)
        bytes += pool->of[size].used * (sizeof(block) + sizes[size].capacity);
    return bytes;
}

static void chain_add(block_chain *chain, block *grown)
{
    if (chain->last == NULL)
        chain->first = grown;
    else
        chain->last->next = grown;
    chain->last = grown;
}

/* Most answers are short, and most chains are one answer. */
static block *chain_grow(block_pool *pool, block_chain *chain)
{
    block *grown = chain->last == NULL ? block_take(pool, BLOCK_SMALL) : NULL;
    if (grown == NULL)
        grown = block_take(pool, BLOCK_LARGE);
    if (grown != NULL)
        chain_add(chain, grown);
    return grown;
}

bool block_chain_append(block_pool *pool, block_chain *chain, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    while (length > 0) {
        block *last = chain->last;
        if (last == NULL || last->end >= last->capacity)
            last = chain_grow(pool, chain);
        if (last == NULL)
            return false;
        size_t room = last->capacity - last->end;
        size_t part = length < room ? length : room;
        memcpy(last->room + last->end, at, part);
        last->end += (uint32_t)part;
        chain->bytes += part;
        at += part;
        length -= part;
    }
    return true;
}

bool block_chain_append_lasting(block_chain *chain, const void *bytes, uint32_t length)
{
    block *made = length > 0 ? malloc(sizeof *made) : NULL;
    if (made == NULL)
        return length == 0;
    *made = (block){ .end = length, .bytes = bytes };
    chain_add(chain, made);
    chain->bytes += length;
    return true;
}

void block_chain_move(block_chain *to, block_chain *from)
{
    if (from->first == NULL)
        return;
    if (to->last == NULL)
        to->first = from->first;
    else
        to->last->next = from->first;
    to->last = from->last;
    to->bytes += from->bytes;
    *from = (block_chain){ 0 };
}

void block_chain_drop(block_pool *pool, block_chain *chain, size_t length)
{
    assert(length <= chain->bytes);
    chain->bytes -= length;
    while (chain->first != NULL) {
        block *first = chain->first;
        size_t held = first->end - first->start;
        size_t part = length < held ? length : held;
        first->start += (uint32_t)part;
        length -= part;
        if (part < held)
            return;
        chain->first = first->next;
        if (chain->first == NULL)
            chain->last = NULL;
        block_give(pool, first);
    }
}

void block_chain_clear(block_pool *pool, block_chain *chain)
{
    block_chain_drop(pool, chain, chain->bytes);
}

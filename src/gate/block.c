#include "gate/block.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/wipe.h"

block *block_take(block_pool *pool)
{
    block *taken = pool->free;
    if (taken != NULL) {
        pool->free = taken->next;
        pool->free_count--;
    } else {
        if (pool->used >= HTTP_BLOCKS_MAX)
            return NULL;
        taken = malloc(sizeof *taken);
        if (taken == NULL)
            return NULL;
    }
    pool->used++;
    taken->next = NULL;
    taken->start = 0;
    taken->end = 0;
    return taken;
}

void block_give(block_pool *pool, block *given)
{
    assert(pool->used > 0 && given->end <= HTTP_BLOCK_BYTES);
    pool->used--;
    dro_wipe(given->bytes, given->end);
    if (pool->free_count >= HTTP_BLOCKS_KEPT) {
        free(given);
        return;
    }
    given->next = pool->free;
    pool->free = given;
    pool->free_count++;
}

void block_pool_fini(block_pool *pool)
{
    while (pool->free != NULL) {
        block *next = pool->free->next;
        free(pool->free);
        pool->free = next;
    }
    pool->free_count = 0;
}

static block *chain_grow(block_pool *pool, block_chain *chain)
{
    block *grown = block_take(pool);
    if (grown == NULL)
        return NULL;
    if (chain->last == NULL)
        chain->first = grown;
    else
        chain->last->next = grown;
    chain->last = grown;
    return grown;
}

bool block_chain_append(block_pool *pool, block_chain *chain, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    while (length > 0) {
        block *last = chain->last;
        if (last == NULL || last->end == HTTP_BLOCK_BYTES)
            last = chain_grow(pool, chain);
        if (last == NULL)
            return false;
        size_t room = HTTP_BLOCK_BYTES - last->end;
        size_t part = length < room ? length : room;
        memcpy(last->bytes + last->end, at, part);
        last->end += (uint32_t)part;
        chain->bytes += part;
        at += part;
        length -= part;
    }
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

/* Blocks: the fixed-size buffers all HTTP bytes pass through. A pool hands them
 * out; chains of them hold answers that a client has not yet taken. A block is
 * wiped when it goes back: tokens, secrets and identities pass through here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gate/http_limits.h"

typedef struct block block;
struct block {
    block *next;
    uint32_t start, end;   /* what is in it now; `end` never shrinks while it is used */
    uint8_t bytes[HTTP_BLOCK_BYTES];
};

typedef struct block_pool {
    block *free;
    uint32_t free_count, used;
} block_pool;

typedef struct block_chain {
    block *first, *last;
    size_t bytes;
} block_chain;

/* NULL: no memory, or HTTP_BLOCKS_MAX are in use. */
block *block_take(block_pool *pool);
void block_give(block_pool *pool, block *given);
void block_pool_fini(block_pool *pool);

/* False: some of it did not fit; what did stays. */
bool block_chain_append(block_pool *pool, block_chain *chain, const void *bytes, size_t length);
/* Moves all of `from` behind `to`. */
void block_chain_move(block_chain *to, block_chain *from);
/* Drops `length` bytes from the front. */
void block_chain_drop(block_pool *pool, block_chain *chain, size_t length);
void block_chain_clear(block_pool *pool, block_chain *chain);

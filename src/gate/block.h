/* Blocks: the buffers all HTTP bytes pass through, of two sizes: what few bytes are kept in, and what is read into. A pool
 * hands them out; chains of them hold answers that a client has not yet taken, and a chain begins with a small one. A block
 * is wiped when it goes back: tokens, secrets and identities pass through here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gate/http_limits.h"

typedef struct block block;
struct block {
    block *next;
    uint32_t start, end;   /* what is in it now; `end` never shrinks while it is used */
    uint32_t capacity;     /* HTTP_BLOCK_BYTES, HTTP_BLOCK_SMALL; 0: its bytes are somebody else's, and last */
    const uint8_t *bytes;  /* `room`, or those */
    uint8_t room[];
};

enum block_size { BLOCK_SMALL, BLOCK_LARGE, BLOCK_SIZES };

typedef struct block_pool {
    struct {
        block *free;
        uint32_t free_count, used;
    } of[BLOCK_SIZES];
} block_pool;

typedef struct block_chain {
    block *first, *last;
    size_t bytes;
} block_chain;

/* NULL: no memory, or HTTP_BLOCKS_MAX (HTTP_BLOCKS_SMALL_MAX) are in use. */
block *block_take(block_pool *pool, enum block_size size);
/* What is in `given` from `from` on, in a block of that size, where it fits; NULL: none is there, and `given` stays. */
block *block_resize(block_pool *pool, block *given, uint32_t from, enum block_size size);
void block_give(block_pool *pool, block *given);
void block_pool_trim(block_pool *pool); /* frees what is not in use */
void block_pool_fini(block_pool *pool); /* all were given back */
size_t block_pool_bytes(const block_pool *pool); /* of blocks in use */

/* False: some of it did not fit; what did stays. */
bool block_chain_append(block_pool *pool, block_chain *chain, const void *bytes, size_t length);
/* Bytes that last as long as the pool, and are not copied. */
bool block_chain_append_lasting(block_chain *chain, const void *bytes, uint32_t length);
/* Moves all of `from` behind `to`. */
void block_chain_move(block_chain *to, block_chain *from);
/* Drops `length` bytes from the front. */
void block_chain_drop(block_pool *pool, block_chain *chain, size_t length);
void block_chain_clear(block_pool *pool, block_chain *chain);

/* Contexts: the sealed contexts that are in memory. Blocks of size classes in slabs,
 * so that one costs little more than its bytes, and a budget: past it, contexts that
 * were not used for a while leave (clock, second chance) if their owner lets them.
 * Belongs to one core. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/commit_log.h"

enum {
    CONTEXTS_SLAB = 256 * 1024,
    CONTEXTS_STEPS_MAX = 1024,   /* blocks looked at for one that is taken */
};

typedef struct context {
    log_place place;             /* of the newest record that has it; 0: not placed yet */
    uint32_t twin;               /* its owner's; NONE: the block is free */
    bool is_used_lately;
    bool is_read;                /* it came back from the log */
    uint8_t class;
    uint8_t sealed[];
} context;

typedef struct contexts contexts;
/* True: the context may leave; the owner has noted where it lies and forgets the block. */
typedef bool (*contexts_leave_fn)(void *owner, const context *context);

/* `budget`: bytes of blocks kept while others may leave instead. */
contexts *contexts_new(uint64_t budget, contexts_leave_fn leave, void *owner); /* NULL: no memory */
void contexts_free(contexts *contexts); /* NULL is fine. And every block */

/* A block for `length` sealed bytes (at most CONTEXT_BYTES_MAX and what sealing adds). NULL: no memory. */
context *contexts_take(contexts *contexts, uint32_t twin, size_t length);
void contexts_give(contexts *contexts, context *context); /* NULL is fine */
/* Once more, what could not leave when room was made may by now. */
void contexts_trim(contexts *contexts);
bool contexts_fits(const context *context, size_t length); /* may it hold that many instead? */
bool contexts_are_full(const contexts *contexts, size_t length); /* one more would make others leave */

uint64_t contexts_bytes(const contexts *contexts);  /* of blocks in use */
uint64_t contexts_held(const contexts *contexts);   /* of slabs: what they cost */
uint32_t contexts_count(const contexts *contexts);
uint64_t contexts_left(const contexts *contexts);   /* how many left so far */

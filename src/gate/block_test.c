#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gate/block.h"

static void what_goes_in_comes_out_in_order(void **state)
{
    block_pool pool = { 0 };
    block_chain chain = { 0 };
    uint8_t bytes[5 * HTTP_BLOCK_BYTES / 2], again[sizeof bytes];
    size_t at = 0;
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 31 >> 3);
    assert_true(block_chain_append(&pool, &chain, bytes, 100));
    assert_true(block_chain_append(&pool, &chain, bytes + 100, sizeof bytes - 100));
    assert_int_equal(chain.bytes, sizeof bytes);
    while (chain.first != NULL) {
        size_t part = chain.first->end - chain.first->start;
        part = part > 1000 ? 1000 : part;
        memcpy(again + at, chain.first->bytes + chain.first->start, part);
        at += part;
        block_chain_drop(&pool, &chain, part);
    }
    assert_int_equal(at, sizeof bytes);
    assert_memory_equal(again, bytes, sizeof bytes);
    assert_int_equal(pool.of[BLOCK_LARGE].used, 0);
    assert_null(chain.last);
    block_pool_fini(&pool);
}

static void a_block_that_goes_back_is_wiped(void **state)
{
    block_pool pool = { 0 };
    block_chain chain = { 0 };
    (void)state;
    assert_true(block_chain_append(&pool, &chain, "secret", 6));
    block *kept = chain.first;
    block_chain_drop(&pool, &chain, 6);
    assert_ptr_equal(pool.of[BLOCK_SMALL].free, kept);
    assert_memory_equal(kept->bytes, "\0\0\0\0\0\0", 6);
    block_pool_fini(&pool);
}

static void a_chain_moves_behind_another(void **state)
{
    block_pool pool = { 0 };
    block_chain one = { 0 }, two = { 0 };
    (void)state;
    assert_true(block_chain_append(&pool, &one, "ab", 2));
    assert_true(block_chain_append(&pool, &two, "cd", 2));
    block_chain_move(&one, &two);
    assert_int_equal(one.bytes, 4);
    assert_int_equal(two.bytes, 0);
    assert_memory_equal(one.first->next->bytes, "cd", 2);
    block_chain_move(&two, &one);
    block_chain_move(&two, &one); /* an empty one changes nothing */
    assert_int_equal(two.bytes, 4);
    block_chain_clear(&pool, &two);
    assert_int_equal(pool.of[BLOCK_LARGE].used, 0);
    block_pool_fini(&pool);
}

static void there_are_no_more_than_the_limit(void **state)
{
    static block *taken[HTTP_BLOCKS_MAX];
    block_pool pool = { 0 };
    (void)state;
    for (uint32_t i = 0; i < HTTP_BLOCKS_MAX; i++)
        assert_non_null(taken[i] = block_take(&pool, BLOCK_LARGE));
    assert_null(block_take(&pool, BLOCK_LARGE));
    for (uint32_t i = 0; i < HTTP_BLOCKS_MAX; i++)
        block_give(&pool, taken[i]);
    assert_int_equal(pool.of[BLOCK_LARGE].free_count, HTTP_BLOCKS_KEPT);
    block_pool_fini(&pool);
}

static void a_chain_begins_with_little_memory(void **state)
{
    block_pool pool = { 0 };
    block_chain chain = { 0 };
    uint8_t bytes[HTTP_BLOCK_SMALL + 1] = { 0 };
    (void)state;
    assert_true(block_chain_append(&pool, &chain, bytes, HTTP_BLOCK_SMALL));
    assert_int_equal(pool.of[BLOCK_LARGE].used, 0);
    assert_true(block_chain_append(&pool, &chain, bytes, 1));
    assert_int_equal(pool.of[BLOCK_LARGE].used, 1);
    block_chain_clear(&pool, &chain);
    assert_int_equal(pool.of[BLOCK_SMALL].used, 0);
    block_pool_fini(&pool);
}

static void what_lasts_is_neither_copied_nor_wiped(void **state)
{
    static const char lasting[] = "lasting";
    block_pool pool = { 0 };
    block_chain chain = { 0 };
    (void)state;
    assert_true(block_chain_append(&pool, &chain, "ab", 2));
    assert_true(block_chain_append_lasting(&chain, lasting, 7));
    assert_true(block_chain_append(&pool, &chain, "cd", 2)); /* behind it, in a block of its own */
    assert_int_equal(chain.bytes, 11);
    assert_ptr_equal(chain.first->next->bytes, lasting);
    block_chain_drop(&pool, &chain, 5);
    assert_int_equal(chain.first->start, 3);
    block_chain_drop(&pool, &chain, 4);
    assert_memory_equal(chain.first->bytes, "cd", 2);
    block_chain_clear(&pool, &chain);
    assert_string_equal(lasting, "lasting");
    assert_true(block_chain_append_lasting(&chain, lasting, 0));
    assert_null(chain.first);
    block_pool_fini(&pool);
}

static void what_was_read_moves_to_another_size(void **state)
{
    block_pool pool = { 0 };
    (void)state;
    block *in = block_take(&pool, BLOCK_LARGE);
    memcpy(in->room, "GET / secret", 12);
    in->end = 12;
    block *small = block_resize(&pool, in, 6, BLOCK_SMALL);
    assert_non_null(small);
    assert_int_equal(small->end, 6);
    assert_memory_equal(small->bytes, "secret", 6);
    assert_memory_equal(pool.of[BLOCK_LARGE].free->bytes, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
    block *large = block_resize(&pool, small, 0, BLOCK_LARGE);
    assert_memory_equal(large->bytes, "secret", 6);
    block_give(&pool, large);
    assert_int_equal(pool.of[BLOCK_SMALL].used + pool.of[BLOCK_LARGE].used, 0);
    block_pool_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out_in_order),
        cmocka_unit_test(a_block_that_goes_back_is_wiped),
        cmocka_unit_test(a_chain_moves_behind_another),
        cmocka_unit_test(a_chain_begins_with_little_memory),
        cmocka_unit_test(what_lasts_is_neither_copied_nor_wiped),
        cmocka_unit_test(what_was_read_moves_to_another_size),
        cmocka_unit_test(there_are_no_more_than_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

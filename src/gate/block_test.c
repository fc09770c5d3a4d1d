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
    assert_int_equal(pool.used, 0);
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
    assert_ptr_equal(pool.free, kept);
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
    assert_int_equal(pool.used, 0);
    block_pool_fini(&pool);
}

static void there_are_no_more_than_the_limit(void **state)
{
    static block *taken[HTTP_BLOCKS_MAX];
    block_pool pool = { 0 };
    (void)state;
    for (uint32_t i = 0; i < HTTP_BLOCKS_MAX; i++)
        assert_non_null(taken[i] = block_take(&pool));
    assert_null(block_take(&pool));
    for (uint32_t i = 0; i < HTTP_BLOCKS_MAX; i++)
        block_give(&pool, taken[i]);
    assert_int_equal(pool.free_count, HTTP_BLOCKS_KEPT);
    block_pool_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out_in_order),
        cmocka_unit_test(a_block_that_goes_back_is_wiped),
        cmocka_unit_test(a_chain_moves_behind_another),
        cmocka_unit_test(there_are_no_more_than_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

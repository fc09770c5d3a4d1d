/* Contexts in memory: blocks, budget, who leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/contexts.h"
#include "core/vault.h"
#include "ring/message.h"

enum { TWINS = 4000, LENGTH_MAX = CONTEXT_BYTES_MAX + VAULT_OVERHEAD };

static struct { context *of[TWINS]; size_t length[TWINS]; bool is_pinned[TWINS]; uint32_t left, asked; } here;

static bool leave(void *owner, const context *context)
{
    assert_ptr_equal(owner, &here);
    here.asked++;
    assert_ptr_equal(here.of[context->twin], context);
    if (here.is_pinned[context->twin])
        return false;
    here.of[context->twin] = NULL;
    here.left++;
    return true;
}

static contexts *begin(uint64_t budget)
{
    memset(&here, 0, sizeof here);
    contexts *contexts = contexts_new(budget, leave, &here);
    assert_non_null(contexts);
    return contexts;
}

static void put(contexts *contexts, uint32_t twin, size_t length)
{
    here.of[twin] = contexts_take(contexts, twin, length);
    here.length[twin] = length;
    assert_non_null(here.of[twin]);
    memset(here.of[twin]->sealed, (int)(twin * 7 + 1), length);
}

static void check(uint32_t twin)
{
    assert_int_equal(here.of[twin]->twin, twin);
    for (size_t i = 0; i < here.length[twin]; i++)
        assert_int_equal(here.of[twin]->sealed[i], (uint8_t)(twin * 7 + 1));
}

/* Every length up to the largest lies apart from its neighbours, and little is lost. */
static void blocks_of_any_length(void **state)
{
    (void)state;
    contexts *contexts = begin(UINT64_MAX / 2);
    uint64_t wanted = 0;
    for (uint32_t i = 0; i < TWINS; i++) {
        size_t length = i < 1200 ? i + 1 : 1 + (size_t)i * 31337 % LENGTH_MAX;
        put(contexts, i, length);
        wanted += length + offsetof(context, sealed);
        assert_true(contexts_fits(here.of[i], length));
    }
    for (uint32_t i = 0; i < TWINS; i++)
        check(i);
    assert_true(contexts_bytes(contexts) >= wanted && contexts_bytes(contexts) <= wanted + wanted / 8);
    assert_int_equal(contexts_count(contexts), TWINS);
    for (uint32_t i = 0; i < TWINS; i++)
        contexts_give(contexts, here.of[i]);
    assert_int_equal(contexts_bytes(contexts), 0);
    assert_int_equal(here.left, 0);
    contexts_free(contexts);
}

static void a_block_given_is_used_again(void **state)
{
    (void)state;
    contexts *contexts = begin(UINT64_MAX / 2);
    put(contexts, 1, 200);
    put(contexts, 2, 200);
    const context *first = here.of[1];
    contexts_give(contexts, here.of[1]);
    put(contexts, 3, 201);
    assert_ptr_equal(here.of[3], first);
    assert_int_equal(here.of[3]->place, 0);
    check(2);
    contexts_free(contexts);
}

static void the_budget_holds(void **state)
{
    (void)state;
    enum { BUDGET = 100 * 272 };
    contexts *contexts = begin(BUDGET);
    for (uint32_t i = 0; i < TWINS; i++) {
        put(contexts, i, 256);
        assert_true(contexts_bytes(contexts) <= BUDGET);
    }
    assert_int_equal(contexts_count(contexts), 100);
    assert_int_equal(here.left, TWINS - 100);
    assert_true(contexts_are_full(contexts, 256) && contexts_left(contexts) == here.left);
    contexts_free(contexts);
}

/* Those used since the hand came by stay when others can go. */
static void used_ones_get_a_second_chance(void **state)
{
    (void)state;
    contexts *contexts = begin(100 * 272);
    for (uint32_t i = 0; i < 100; i++)
        put(contexts, i, 256);
    for (uint32_t i = 0; i < 20; i++)
        here.of[i]->is_used_lately = true;
    for (uint32_t i = 100; i < 170; i++)
        put(contexts, i, 256);
    for (uint32_t i = 0; i < 20; i++)
        assert_non_null(here.of[i]);
    contexts_free(contexts);
}

static void what_may_not_leave_passes_the_budget(void **state)
{
    (void)state;
    contexts *contexts = begin(10 * 272);
    for (uint32_t i = 0; i < 50; i++) {
        here.is_pinned[i] = true;
        put(contexts, i, 256);
    }
    assert_int_equal(contexts_count(contexts), 50);
    for (uint32_t i = 0; i < 50; i++)
        here.is_pinned[i] = false;
    contexts_trim(contexts);
    assert_int_equal(contexts_count(contexts), 10);
    put(contexts, 60, 256);
    assert_true(contexts_bytes(contexts) <= 10 * 272);
    contexts_free(contexts);
}

/* Memory follows the budget also when all lengths change: nothing stays behind in slabs of old sizes. */
static void slabs_serve_new_sizes(void **state)
{
    (void)state;
    enum { BUDGET = 200 * CONTEXTS_SLAB };
    contexts *contexts = begin(BUDGET);
    for (uint32_t round = 0; round < 40; round++)
        for (uint32_t i = 0; i < TWINS; i++) {
            contexts_give(contexts, here.of[i]);
            here.of[i] = NULL;
            put(contexts, i, 1 + (size_t)(i * 2654435761u + round * 7919) % (round % 2 == 0 ? 4000u : 60000u));
            assert_true(contexts_bytes(contexts) <= BUDGET);
            assert_true(contexts_held(contexts) <= BUDGET + BUDGET / 4 + 100 * CONTEXTS_SLAB);
        }
    for (uint32_t i = 0; i < TWINS; i++)
        if (here.of[i] != NULL)
            check(i);
    contexts_free(contexts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_any_length),
        cmocka_unit_test(a_block_given_is_used_again),
        cmocka_unit_test(the_budget_holds),
        cmocka_unit_test(used_ones_get_a_second_chance),
        cmocka_unit_test(what_may_not_leave_passes_the_budget),
        cmocka_unit_test(slabs_serve_new_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "core/index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/hash.h"

static bool has(const index_table *index, uint64_t hash, uint32_t wanted)
{
    index_probe probe = index_begin(hash);
    uint32_t number, steps = 0;
    while (index_next(index, &probe, &number)) {
        assert_true(steps++ <= index->mask);
        if (number == wanted)
            return true;
    }
    return false;
}

static void an_empty_index_finds_nothing(void **state)
{
    (void)state;
    index_table index = { 0 };
    assert_false(has(&index, 5, 0));
    index_remove(&index, 5, 0);
    index_fini(&index);
}

static void what_was_added_is_found_until_it_is_removed(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    index_table index = { 0 };
    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(index_add(&index, dro_hash_mix(i, 7), i), DRO_OK);
    for (uint32_t i = 0; i < COUNT; i += 2)
        index_remove(&index, dro_hash_mix(i, 7), i);
    assert_int_equal(index.live, COUNT / 2);
    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(has(&index, dro_hash_mix(i, 7), i), i % 2);
    index_fini(&index);
}

static void numbers_of_one_hash_are_all_candidates(void **state)
{
    (void)state;
    index_table index = { 0 };
    for (uint32_t i = 0; i < 40; i++)
        assert_int_equal(index_add(&index, 0x1234567800000000u, i), DRO_OK);
    index_remove(&index, 0x1234567800000000u, 20);
    for (uint32_t i = 0; i < 40; i++)
        assert_int_equal(has(&index, 0x1234567800000000u, i), i != 20);
    index_fini(&index);
}

/* Adding and removing for ever needs no more room than what is in it. */
static void what_was_removed_is_used_again(void **state)
{
    (void)state;
    index_table index = { 0 };
    for (uint32_t i = 0; i < 1000000; i++) {
        assert_int_equal(index_add(&index, dro_hash_mix(i, 3), i), DRO_OK);
        if (i >= 16)
            index_remove(&index, dro_hash_mix(i - 16, 3), i - 16);
    }
    assert_int_equal(index.live, 16);
    assert_true(index.mask < 512);
    index_fini(&index);
}

static void room_made_before_is_enough(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    index_table index = { 0 };
    assert_int_equal(index_add(&index, dro_hash_mix(COUNT, 7), COUNT), DRO_OK);
    index_reserve(&index, COUNT);
    const uint64_t *entries = index.entries;
    for (uint32_t i = 0; i < COUNT - 1; i++)
        assert_int_equal(index_add(&index, dro_hash_mix(i, 7), i), DRO_OK);
    assert_ptr_equal(index.entries, entries);
    index_reserve(&index, 1); /* less than there is: nothing goes */
    for (uint32_t i = 0; i < COUNT - 1; i++)
        assert_true(has(&index, dro_hash_mix(i, 7), i));
    assert_true(has(&index, dro_hash_mix(COUNT, 7), COUNT));
    index_fini(&index);
}

static void the_hash_of_zero_is_one_like_any(void **state)
{
    (void)state;
    index_table index = { 0 };
    assert_int_equal(index_add(&index, 0, 0), DRO_OK);
    assert_int_equal(index_add(&index, 0, 0xfffffffd), DRO_OK);
    assert_true(has(&index, 0, 0) && has(&index, 0, 0xfffffffd));
    index_remove(&index, 0, 0);
    assert_false(has(&index, 0, 0));
    index_fini(&index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_index_finds_nothing),
        cmocka_unit_test(what_was_added_is_found_until_it_is_removed),
        cmocka_unit_test(numbers_of_one_hash_are_all_candidates),
        cmocka_unit_test(what_was_removed_is_used_again),
        cmocka_unit_test(room_made_before_is_enough),
        cmocka_unit_test(the_hash_of_zero_is_one_like_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

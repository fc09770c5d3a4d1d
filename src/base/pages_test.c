#include "base/pages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/mman.h>

enum { BYTES = 3 * DRO_PAGES_HUGE + 4096, PAGE = 4096 };

static void assert_zero(const uint8_t *memory, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 512)
        assert_int_equal(memory[i], 0);
}

static void memory_is_zeroed_and_may_be_huge(void **state)
{
    (void)state;
    uint8_t *memory = dro_pages_new(BYTES);
    assert_non_null(memory);
    dro_pages_huge(memory, BYTES);
    dro_pages_huge(memory, PAGE); /* too little for one: nothing */
    assert_zero(memory, BYTES);
    memory[BYTES - 1] = 1;
    dro_pages_free(memory, BYTES);
    dro_pages_free(NULL, BYTES);
}

static size_t pages_there(uint8_t *memory)
{
    unsigned char there[BYTES / PAGE];
    size_t count = 0;
    assert_int_equal(mincore(memory, BYTES, there), 0);
    for (size_t i = 0; i < BYTES / PAGE; i++)
        count += there[i] & 1;
    return count;
}

static void the_helper_takes_what_it_is_told_of(void **state)
{
    (void)state;
    uint8_t *memory = dro_pages_new(BYTES);
    assert_true(dro_pages_helper_start());
    assert_false(dro_pages_helper_start()); /* one at a time */
    if (madvise(memory, PAGE, 23 /* MADV_POPULATE_WRITE */) != 0)
        skip();
    dro_pages_soon(memory, BYTES);
    memory[PAGE] = 7; /* what is touched meanwhile keeps what is in it */
    while (pages_there(memory) < BYTES / PAGE)
        continue;
    dro_pages_soon(memory, PAGE); /* its note of the first is gone by now, and no call of ours came between: who reads it without the lock is seen under ThreadSanitizer */
    assert_int_equal(memory[PAGE], 7);
    memory[PAGE] = 0;
    assert_zero(memory, BYTES);
    dro_pages_helper_stop();
    dro_pages_helper_stop();
    dro_pages_free(memory, BYTES);
}

/* More than it can note, and most of it freed before it comes to it. */
static void what_is_freed_is_not_touched_any_more(void **state)
{
    (void)state;
    enum { MANY = 200 };
    uint8_t *memory[MANY];
    assert_true(dro_pages_helper_start());
    for (int i = 0; i < MANY; i++) {
        memory[i] = dro_pages_new(BYTES);
        dro_pages_soon(memory[i], BYTES);
    }
    for (int i = 0; i < MANY; i++)
        dro_pages_free(memory[i], BYTES);
    uint8_t *next = dro_pages_new(BYTES); /* where others were */
    assert_int_equal(pages_there(next), 0);
    dro_pages_helper_stop();
    assert_int_equal(pages_there(next), 0);
    dro_pages_free(next, BYTES);
}

static void without_a_helper_nothing_happens(void **state)
{
    (void)state;
    uint8_t *memory = dro_pages_new(BYTES);
    dro_pages_soon(memory, BYTES);
    assert_int_equal(pages_there(memory), 0);
    dro_pages_free(memory, BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_and_may_be_huge),
        cmocka_unit_test(the_helper_takes_what_it_is_told_of),
        cmocka_unit_test(what_is_freed_is_not_touched_any_more),
        cmocka_unit_test(without_a_helper_nothing_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

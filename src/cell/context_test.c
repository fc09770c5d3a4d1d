/* Contexts: what is read and written, and what is refused, with every way of
 * comparing this processor has. The expected bytes are made by hand from context.h. */
#include "cell/context.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { MEMORY = 1024 };

static const artifact_info info = { .memory_bytes = MEMORY, .memory_limit = 2 * MEMORY, .global_count = 3 };

static _Alignas(CHUNK) uint8_t memory[2 * MEMORY], baseline[2 * MEMORY];

static void memory_set(void)
{
    for (size_t i = 0; i < sizeof baseline; i++)
        baseline[i] = (uint8_t)(i < MEMORY ? i * 7 : 0);
    memcpy(memory, baseline, sizeof memory);
}

/* One global, one word in chunk 2, two words in chunk 15. */
static const uint8_t expected[] = {
    1, 1, 0, 0, 0x00, 0x04, 0, 0,
    2, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
    2, 0, 0x02, 0x00, 0xef, 0xbe, 0xad, 0xde,
    15, 0, 0x01, 0x80, 1, 1, 1, 1, 2, 2, 2, 2,
};

static void change(void)
{
    memcpy(memory + 2 * CHUNK + 4, "\xef\xbe\xad\xde", 4);
    memset(memory + 15 * CHUNK, 1, 4);
    memset(memory + 15 * CHUNK + 60, 2, 4);
}

static void a_context_is_written_as_described(void **state)
{
    context_way ways[4];
    (void)state;
    for (uint32_t i = 0, count = context_ways(ways); i < count; i++) {
        uint8_t out[256];
        context_writer writer;
        memory_set();
        change();
        context_begin(&writer, out, sizeof out);
        context_put_global(&writer, 2, 0x1122334455667788u);
        ways[i].put(&writer, memory, baseline, 0, MEMORY);
        assert_int_equal(context_end(&writer, MEMORY), sizeof expected);
        assert_memory_equal(out, expected, sizeof expected);
        assert_memory_equal(memory, baseline, sizeof memory);
    }
}

static void a_context_goes_back_where_it_came_from(void **state)
{
    uint32_t length, number;
    uint8_t changed[MEMORY];
    (void)state;
    memory_set();
    change();
    memcpy(changed, memory, MEMORY);
    memory_set();
    assert_int_equal(context_check(&info, expected, sizeof expected, &length), DRO_OK);
    assert_int_equal(length, MEMORY);
    context_apply_memory(expected, sizeof expected, memory);
    assert_memory_equal(memory, changed, MEMORY);
    assert_int_equal(context_global_count(expected, sizeof expected), 1);
    assert_true(context_global(expected, 0, &number) == 0x1122334455667788u);
    assert_int_equal(number, 2);
}

static void an_empty_context_is_a_twin_as_born(void **state)
{
    uint32_t length;
    context_writer writer;
    uint8_t out[64];
    (void)state;
    memory_set();
    assert_int_equal(context_check(&info, NULL, 0, &length), DRO_OK);
    context_begin(&writer, out, sizeof out);
    context_put_memory(&writer, memory, baseline, 0, MEMORY);
    assert_int_equal(context_end(&writer, MEMORY), 0);
}

/* Every way writes the same, and puts everything back, also what does not fit. */
static void all_ways_of_comparing_agree(void **state)
{
    enum { ROUNDS = 2000, ROOM = 4096 };
    context_way ways[4];
    uint32_t count = context_ways(ways);
    dro_random_seeded random;
    (void)state;
    dro_random_seeded_init(&random, 5);
    for (int round = 0; round < ROUNDS; round++) {
        static _Alignas(CHUNK) uint8_t changed[2 * MEMORY];
        uint8_t out[4][ROOM] = { { 0 } };
        size_t length[4];
        uint64_t changes = dro_random_next(&random) % 64, room = 8 + dro_random_next(&random) % 2500;
        uint32_t from = (uint32_t)(dro_random_next(&random) % 8) * CHUNK;
        memory_set();
        memcpy(changed, baseline, sizeof changed);
        while (changes-- > 0)
            changed[from + dro_random_next(&random) % (sizeof changed - from)] ^= (uint8_t)dro_random_next(&random);
        for (uint32_t i = 0; i < count; i++) {
            context_writer writer;
            memcpy(memory, changed, sizeof memory);
            context_begin(&writer, out[i], room);
            ways[i].put(&writer, memory, baseline, from, sizeof memory);
            length[i] = context_end(&writer, sizeof memory);
            assert_memory_equal(memory, baseline, sizeof memory);
            for (size_t k = room; k < ROOM; k++)
                assert_int_equal(out[i][k], 0);
            assert_int_equal(length[i], length[0]);
            assert_memory_equal(out[i], out[0], length[0]);
        }
    }
}

static void what_does_not_fit_is_said(void **state)
{
    uint8_t out[sizeof expected];
    (void)state;
    for (size_t room = 0; room < sizeof expected; room++) {
        context_writer writer;
        memory_set();
        change();
        context_begin(&writer, out, room);
        context_put_global(&writer, 2, 0x1122334455667788u);
        context_put_memory(&writer, memory, baseline, 0, MEMORY);
        assert_int_equal(context_end(&writer, MEMORY), 0);
        assert_true(writer.is_full);
    }
}

static void every_shorter_context_is_refused(void **state)
{
    uint32_t memory_length;
    (void)state;
    for (size_t length = 1; length < sizeof expected; length++) {
        bool ends_at_a_chunk = length == 8 + 12 || length == 8 + 12 + 8;
        uint8_t *exact = malloc(length);
        memcpy(exact, expected, length);
        dro_err err = context_check(&info, exact, length, &memory_length);
        assert_int_equal(err == DRO_OK, ends_at_a_chunk);
        free(exact);
    }
}

static void assert_refused(size_t at, uint8_t byte, dro_err err)
{
    uint8_t bad[sizeof expected];
    uint32_t length;
    memcpy(bad, expected, sizeof bad);
    bad[at] = byte;
    assert_int_equal(context_check(&info, bad, sizeof bad, &length), err);
}

static void what_is_out_of_range_is_refused(void **state)
{
    (void)state;
    assert_refused(0, 2, DRO_UNSUPPORTED);  /* version */
    assert_refused(2, 1, DRO_UNSUPPORTED);  /* reserved */
    assert_refused(5, 0x03, DRO_RANGE);     /* memory smaller than at the start */
    assert_refused(5, 0x09, DRO_RANGE);     /* and larger than it may grow */
    assert_refused(4, 0x20, DRO_RANGE);     /* not whole chunks */
    assert_refused(1, 200, DRO_TRUNCATED);  /* more globals than bytes */
    assert_refused(8, 3, DRO_RANGE);        /* no such global */
    assert_refused(20, 16, DRO_RANGE);      /* no such chunk */
    assert_refused(20, 15, DRO_RANGE);      /* twice the same */
    assert_refused(28, 1, DRO_RANGE);       /* not ascending */
    assert_refused(22, 0, DRO_RANGE);       /* a chunk without words */
}

static void a_bound_is_enough_for_all_of_the_memory(void **state)
{
    static uint8_t out[4096];
    context_writer writer;
    (void)state;
    memory_set();
    for (size_t i = 0; i < sizeof memory; i++)
        memory[i] ^= 0xff;
    assert_true(context_bound(&info) <= sizeof out);
    context_begin(&writer, out, context_bound(&info));
    for (uint32_t i = 0; i < 3; i++)
        context_put_global(&writer, i, i + 1);
    context_put_memory(&writer, memory, baseline, 0, sizeof memory);
    assert_int_equal(context_end(&writer, sizeof memory), context_bound(&info));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_context_is_written_as_described),
        cmocka_unit_test(a_context_goes_back_where_it_came_from),
        cmocka_unit_test(an_empty_context_is_a_twin_as_born),
        cmocka_unit_test(all_ways_of_comparing_agree),
        cmocka_unit_test(what_does_not_fit_is_said),
        cmocka_unit_test(every_shorter_context_is_refused),
        cmocka_unit_test(what_is_out_of_range_is_refused),
        cmocka_unit_test(a_bound_is_enough_for_all_of_the_memory),
    };
    return cmocka_run_group_tests_name("context", tests, NULL, NULL);
}

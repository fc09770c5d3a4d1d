/* Core, cell and log in one thread on fake time: the same seed gives the same trace,
 * byte for byte, and every answer is one the oracle allows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/state.h"
#include "play.h"

enum { SEEDS = 4, SEEDS_LONG = 100, STEPS = 2000 };
static bool is_long;
static uint64_t trapped, wild; /* of all seeds: one alone may have no trap */

static char *trace_of(uint64_t seed, uint64_t context_bytes, size_t *length)
{
    static play play;
    world world;
    world_options options = { .seed = seed, .segment_bytes = 1 << 20, .replay_bytes = 2 << 20, .timeline_bytes = 4 << 20, .context_bytes = context_bytes,
                              .faults = { .seed = seed }, .is_traced = true, .trap_percent = 2, .on_message = play_message, .context = &play };
    play_options game = { .devices = 12, .steps = STEPS, .lose_percent = 1, .is_wild = true };
    world_init(&world, &options);
    play_init(&play, &world, &game);
    assert_int_equal(world_open(&world), DRO_OK);
    world_push_image(&world, THERMO);
    for (uint32_t i = 0; i < game.steps; i++)
        play_step(&play);
    play_finish(&play);
    if (context_bytes > 0) {
        assert_true(contexts_bytes(world.core->contexts) <= context_bytes && contexts_left(world.core->contexts) > 0);
        assert_true(world.core->counters.context_misses > game.steps / 20);
    }
    const char *trace = world_trace_end(&world, length);
    char *copy = malloc(*length + 1);
    memcpy(copy, trace, *length);
    assert_true(play.answers > game.steps / 2 && play.reported > 0);
    trapped += play.trapped;
    wild += play.wild;
    world_fini(&world);
    return copy;
}

static void same_traces(uint64_t context_bytes)
{
    char *before = NULL;
    size_t before_length = 0;
    trapped = wild = 0;
    for (uint64_t seed = 1; seed <= (is_long ? SEEDS_LONG : SEEDS); seed++) {
        size_t length, again_length;
        char *trace = trace_of(seed, context_bytes, &length);
        char *again = trace_of(seed, context_bytes, &again_length);
        assert_int_equal(length, again_length);
        assert_memory_equal(trace, again, length);
        assert_true(before == NULL || before_length != length || memcmp(before, trace, length) != 0);
        free(again);
        free(before);
        before = trace;
        before_length = length;
    }
    free(before);
    assert_true(trapped > 0 && wild > 0);
}

static void the_same_seed_gives_the_same_trace(void **state)
{
    (void)state;
    same_traces(0);
}

static void also_with_contexts_in_the_log_only(void **state)
{
    (void)state;
    same_traces(1000); /* three of a dozen */
}

int main(int argc, char **argv)
{
    is_long = argc > 1 && strcmp(argv[1], "--long") == 0;
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_same_seed_gives_the_same_trace),
                                        cmocka_unit_test(also_with_contexts_in_the_log_only) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Power cuts and broken calls at every place where the log touches its disk: nothing that
 * was acknowledged is lost, nothing is applied twice, nothing acknowledged is untrue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "play.h"

enum { CONTEXTS = 700, /* bytes in memory of six devices: two or three */ STEPS = 300, AFTER_STEPS = 60, SEGMENT = 64 * 1024, STRIDE = 3, COLD_STRIDE = 7, SEEDS_LONG = 5 };
static bool is_long;

static struct scene { world world; play play; uint64_t context_bytes; } scene;

static void scene_begin(uint64_t seed, const disk_memory_faults *faults)
{
    world_options options = { .seed = seed, .segment_bytes = SEGMENT, .replay_bytes = 2 * SEGMENT, .timeline_bytes = 4 * SEGMENT,
                              .context_bytes = scene.context_bytes, .faults = *faults, .trap_percent = 2, .on_message = play_message, .context = &scene.play };
    play_options game = { .devices = 6, .steps = STEPS, .is_still = true, .is_wild = true };
    world_init(&scene.world, &options);
    play_init(&scene.play, &scene.world, &game);
}

/* Plays until it is done or the log is broken. In the middle the core is opened anew. */
static bool scene_play(uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        if (core_failed(scene.world.core))
            return false;
        if (i == STEPS / 2) {
            world_close(&scene.world);
            if (world_open(&scene.world) != DRO_OK)
                return false;
            play_recovered(&scene.play);
        }
        play_step(&scene.play);
    }
    return true;
}

static bool scene_first(void)
{
    if (world_open(&scene.world) != DRO_OK)
        return false;
    world_push_image(&scene.world, THERMO);
    return scene_play(STEPS);
}

/* As after any crash: the same disk, and all that was not answered once more. */
static void scene_again(uint64_t seed)
{
    assert_int_equal(world_open(&scene.world), DRO_OK);
    play_recovered(&scene.play);
    world_push_image(&scene.world, THERMO); /* if it was not kept */
    scene.play.is_broken = false;
    for (uint32_t i = 0; i < AFTER_STEPS; i++)
        play_step(&scene.play);
    play_finish(&scene.play);
    (void)seed;
}

static uint64_t calls_of_a_whole_play(uint64_t seed)
{
    disk_memory_faults none = { .seed = seed };
    scene_begin(seed, &none);
    assert_true(scene_first());
    uint64_t calls = disk_memory_calls(scene.world.log_disk);
    play_finish(&scene.play);
    world_fini(&scene.world);
    return calls;
}

static void cut_at(uint64_t seed, uint64_t call, bool tear)
{
    disk_memory_faults faults = { .seed = seed, .crash_call = call, .tear = tear };
    scene_begin(seed, &faults);
    scene.play.is_broken = true;
    if (getenv("SIM_LOG") != NULL)
        fprintf(stderr, "seed=%llu call=%llu tear=%d\n", (unsigned long long)seed, (unsigned long long)call, tear);
    scene_first();
    disk_memory_faults none = { .seed = seed + 1 };
    world_power_cut(&scene.world, &none);
    scene_again(seed);
    world_fini(&scene.world);
}

static void cut_everywhere(uint32_t stride)
{
    for (uint64_t seed = 1; seed <= (is_long ? SEEDS_LONG : 1); seed++) {
        uint64_t calls = calls_of_a_whole_play(seed);
        for (uint64_t call = 1 + seed % 2; call <= calls; call += is_long ? 1 : stride) {
            cut_at(seed, call, false);
            cut_at(seed, call, true);
        }
    }
}

static void every_power_cut_loses_nothing_acknowledged(void **state)
{
    (void)state;
    scene.context_bytes = 0;
    cut_everywhere(STRIDE);
}

static void the_same_with_contexts_in_the_log_only(void **state)
{
    (void)state;
    scene.context_bytes = CONTEXTS;
    cut_everywhere(COLD_STRIDE);
}

static void fail_at(uint64_t seed, uint64_t call)
{
    disk_memory_faults faults = { .seed = seed, .fail_call = call };
    scene_begin(seed, &faults);
    scene.play.is_broken = true;
    if (getenv("SIM_LOG") != NULL)
        fprintf(stderr, "seed=%llu fail=%llu\n", (unsigned long long)seed, (unsigned long long)call);
    if (!scene_first() && scene.world.core != NULL && core_failed(scene.world.core)) {
        uint32_t refused = scene.play.refused;
        for (uint32_t i = 0; i < AFTER_STEPS; i++)
            play_step(&scene.play);
        world_settle(&scene.world);
        assert_true(scene.play.refused > refused); /* said so, not silent */
    }
    disk_memory_faults none = { .seed = seed + 1 };
    world_power_cut(&scene.world, &none);
    scene_again(seed);
    world_fini(&scene.world);
}

static void fail_everywhere(uint32_t stride)
{
    for (uint64_t seed = 1; seed <= (is_long ? SEEDS_LONG : 1); seed++) {
        uint64_t calls = calls_of_a_whole_play(seed);
        for (uint64_t call = 1 + seed % 2; call <= calls; call += is_long ? 1 : stride)
            fail_at(seed, call);
    }
}

static void every_failing_call_acknowledges_nothing_untrue(void **state)
{
    (void)state;
    scene.context_bytes = 0;
    fail_everywhere(STRIDE);
}

/* A read that fails is the end of one event. */
static void the_same_when_contexts_are_read(void **state)
{
    (void)state;
    scene.context_bytes = CONTEXTS;
    fail_everywhere(COLD_STRIDE);
}

int main(int argc, char **argv)
{
    is_long = argc > 1 && strcmp(argv[1], "--long") == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_power_cut_loses_nothing_acknowledged),
        cmocka_unit_test(the_same_with_contexts_in_the_log_only),
        cmocka_unit_test(every_failing_call_acknowledges_nothing_untrue),
        cmocka_unit_test(the_same_when_contexts_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

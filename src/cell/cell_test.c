/* A cell and what it must survive. Runs with exact memory and, with the argument
 * `plain`, in whole pages. */
#include "cell/cell.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "cell/test_support.h"
#include "twin/event.h"

enum probe_event { /* as in test_images/probe.c */
    COUNT, STORE, LOAD, TRAP, LOOP, OUT_OF_BOUNDS, OVERFLOW, BAD_OUTCOME, EFFECTS_FLOOD, BAD_PROPERTY, BAD_TYPE,
    NOT_FINITE, BAD_POINTER, ALL_EFFECTS, TIME_AND_RANDOM, NAN_BITS, DIVIDE, BAD_CALL, SWALLOW, BAD_QUALITY,
    LONG_TEXT, BAD_UTF8, SCAN, SMEAR, BAD_EVENT, BIG_EFFECTS, SPIN_MS, WALK,
};

static admit_options admitting;
static test_bytes probe_artifact;

static int setup(void **state)
{
    test_twin *twin = calloc(1, sizeof *twin);
    if (probe_artifact.bytes == NULL)
        probe_artifact = test_artifact("probe", &admitting);
    twin->cell = test_cell(&probe_artifact, 1, false);
    *state = twin;
    return 0;
}

static int teardown(void **state)
{
    test_twin *twin = *state;
    cell_free(twin->cell);
    free(twin);
    return 0;
}

static void memory_is_kept_from_turn_to_turn(void **state)
{
    test_twin *twin = *state;
    for (int64_t i = 1; i <= 5; i++) {
        assert_int_equal(test_turn(twin, COUNT, NULL, 0), TURN_OK);
        assert_int_equal(twin->integer, i);
    }
    assert_in_range(twin->context_length, 9, 32);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(memory_is_kept_from_turn_to_turn, setup, teardown),
    };
    admitting.no_exact_memory = argc > 1 && strcmp(argv[1], "plain") == 0;
    int failed = cmocka_run_group_tests_name(argc > 1 ? "cell, whole pages" : "cell", tests, NULL, NULL);
    free(probe_artifact.bytes);
    return failed;
}

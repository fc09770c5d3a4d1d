/* For the tests of this folder: images as an author would upload them. */
#pragma once

#include <stdbool.h>

#include "cell/admit.h"
#include "cell/cell.h"
#include "twin/effect.h"

typedef struct test_bytes { uint8_t *bytes; size_t length; } test_bytes;

/* What a file of the build holds; directory from the environment, TEST_IMAGES. */
test_bytes test_file(const char *name);
test_bytes test_section_added(test_bytes wasm, const char *name, const void *content, size_t length);
/* NAME.wasm with the tests' model. */
test_bytes test_image(const char *name);
/* The same admitted; fails the test when it is rejected. */
test_bytes test_artifact(const char *name, const admit_options *options);

enum { TEST_EVENT_MAX = 2048, TEST_CONTEXT_MAX = 65536, TEST_DEADLINE_MICROS = 2000, TEST_PATIENCE_MICROS = 60000000 };

/* A twin for a test: its context from turn to turn. */
typedef struct test_twin {
    cell *cell;
    uint32_t image;
    uint32_t context_length;
    uint8_t context[TEST_CONTEXT_MAX];
    uint8_t effects[8192];
    uint32_t effects_length;
    turn_result result;      /* of the last turn */
    int64_t integer;         /* last value of the integer property 1 in it */
} test_twin;

/* The engine finds traps by signals; cmocka puts its own handlers into every test.
 * Keep: once, before cmocka runs. Set: in a test that calls a cell itself. */
void test_signals_keep(void);
void test_signals_set(void);

/* A turn; the context is kept when it is TURN_OK. Returns the status. It has all the time that the slowest machine may need. */
enum turn_status test_turn(test_twin *twin, uint32_t event_id, const void *event, uint32_t length);
/* The same with the time of a twin's turn: for those that do not end by themselves. */
enum turn_status test_turn_without_end(test_twin *twin, uint32_t event_id, const void *event, uint32_t length);
cell *test_cell(const test_bytes *artifacts, uint32_t count, bool manual_ticks);

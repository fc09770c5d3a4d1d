/* slots WAY SEED FIRST COUNT: twins write a secret wherever they can and end in every way there is; whoever has the slot next, a twin of
 * the same image or of another one in the same cell, looks at all that it can see: it must be what it was before the first secret, and
 * nothing of it may be in what that twin keeps. WAY: exact, plain (whole pages). The proof `slots`. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cell/cell_private.h"
#include "cell/test_images/probe.h"
#include "cell/test_support.h"

enum { PROBE, COMPUTING, GLOBALS, GROWING, GROWING_TOO, TABLE, IMAGES, SECRET = 8, SLOW_EVERY = 4000, SLOTS_EVERY = 64 };
enum { GROW_FILL = 5, GROW_LOOK = 6, GROW_MOST = 15, GROW_FEW = 3, FILL_RETURNS = 0, FILL_TRAPS, FILL_LEAVES, FILL_STAYS };
enum { GLOBALS_SAY = 0, GLOBALS_WELL, GLOBALS_TRAP, GLOBALS_LEAVE, GLOBALS_STAY, GLOBALS_BAD };
enum { TABLE_COUNT = 0, TABLE_CHANGED = 1, TABLE_DROPS = 3, TABLE_SAYS = 4 };

static cell *here;
static int64_t unused[GLOBALS + 1]; /* what a twin of the image sees in a slot nobody used */
static uint64_t number; /* of the reuse */
static const char *way;

_Noreturn static void leaked(const char *what, long found)
{
    printf("reuse %lu (%s): %s: %ld\n", (unsigned long)number, way, what, found);
    exit(1);
}

static void must_be(const char *what, long is, long should)
{
    if (is != should) {
        printf("reuse %lu (%s): %s: %ld, not %ld\n", (unsigned long)number, way, what, is, should);
        exit(1);
    }
}

static test_twin *newborn(test_twin *twin, uint32_t image)
{
    twin->cell = here;
    twin->image = image;
    twin->context_length = 0;
    twin->integer = 0;
    return twin;
}

/* What a newborn of the image sees. It changes nothing: nothing is to be kept. */
static int64_t seen_by(test_twin *twin, uint32_t image)
{
    uint32_t end = here->images[image].info.memory_bytes;
    newborn(twin, image);
    if (image == GLOBALS)
        must_be("a look", test_turn(twin, GLOBALS_SAY, NULL, 0), TURN_OK);
    else
        must_be("a look", test_turn(twin, LOOK, &end, sizeof end), TURN_OK);
    must_be("bytes kept by who changed nothing", twin->context_length, 0);
    return twin->integer;
}

static void look_for_traces(test_twin *twin, uint32_t image)
{
    if (seen_by(twin, image) != unused[image])
        leaked("memory, stack pointer or globals are not as in an unused slot, image", image);
}

/* No room for what the turn leaves: the host takes it back. */
static void end_without_room(uint32_t image, uint64_t how, const uint8_t secret[SECRET])
{
    enum { ROOM_STEPS = 32 }; /* of 8 bytes: less than the state that is written */
    static _Alignas(8) uint8_t result[sizeof(turn_result) + 8 * ROOM_STEPS];
    struct { turn_request head; uint8_t event[SECRET]; } request = {
        { .image = image, .event_kind = 3, .event_id = SMEAR, .event_length = SECRET, .deadline_micros = TEST_PATIENCE_MICROS }, { 0 } };
    memcpy(request.event, secret, SECRET);
    test_signals_set();
    cell_turn(here, &request.head, result, sizeof(turn_result) + 8 * (how % ROOM_STEPS));
    must_be("a turn without room", ((turn_result *)result)->status, TURN_MEMORY);
}

/* Its memory is full of the secret when it ends. */
static void write_and_end(test_twin *twin, dro_random_seeded *dice, const uint8_t secret[SECRET])
{
    static const struct { uint32_t event; enum turn_status status; } ends[] = {
        { OVERFLOW, TURN_STACK_OVERFLOW }, { OUT_OF_BOUNDS, TURN_OUT_OF_BOUNDS }, { TRAP, TURN_TRAP }, { DIVIDE, TURN_TRAP }, { BAD_CALL, TURN_TRAP },
        { EFFECTS_FLOOD, TURN_EFFECTS }, { BAD_OUTCOME, TURN_BAD_RESULT }, { BAD_POINTER, TURN_OUT_OF_BOUNDS }, { COUNT, TURN_OK }, { WALK, TURN_OK },
    };
    uint64_t how = dro_random_next(dice);
    if (how % SLOW_EVERY == 0) { /* a deadline each */
        must_be("a turn without an end", test_turn_without_end(twin, SMEAR_LOOP, secret, SECRET), TURN_DEADLINE);
    } else if (how % 3 == 0) {
        must_be("a trap", test_turn(twin, SMEAR_TRAP, secret, SECRET), TURN_TRAP);
    } else if (how % 7 == 0) {
        end_without_room(twin->image, how >> 8, secret);
    } else {
        must_be("a turn", test_turn(twin, SMEAR, secret, SECRET), TURN_OK);
        must_be("a look at its own stack", test_turn(twin, DEAD, NULL, 0), TURN_OK);
        must_be("words of its last turn's stack that it was given again", (long)twin->integer, 0);
        if (how % 3 == 1) {
            size_t end = (how >> 8) % (sizeof ends / sizeof ends[0]);
            enum turn_status status = test_turn(twin, ends[end].event, secret, SECRET);
            if (ends[end].event != WALK) /* that one answers as it likes */
                must_be("how a turn ended", status, ends[end].status);
        }
    }
}

/* Images whose instances are made anew for each turn, in memory that is not: one fills all that it can get, the next looks at all of it. */
static void reuse_grown(test_twin *writer, test_twin *reader, dro_random_seeded *dice, const uint8_t secret[SECRET])
{
    static const enum turn_status ends[] = { [FILL_RETURNS] = TURN_MEMORY /* more than a context may be */, [FILL_TRAPS] = TURN_TRAP,
                                             [FILL_LEAVES] = TURN_OUT_OF_BOUNDS, [FILL_STAYS] = TURN_DEADLINE };
    static const uint8_t most[4] = { GROW_MOST };
    uint64_t how = dro_random_next(dice);
    uint8_t end = how % (SLOW_EVERY / 16) == 0 ? FILL_STAYS : (uint8_t)(how % FILL_STAYS);
    uint8_t fill[8 + SECRET] = { (how >> 8) % 16 == 0 ? GROW_MOST : (uint8_t)((how >> 16) % (GROW_FEW + 1)), end };
    memcpy(fill + 8, secret, SECRET);
    enum turn_status status = (end == FILL_STAYS ? test_turn_without_end : test_turn)(newborn(writer, GROWING), GROW_FILL, fill, sizeof fill);
    must_be("how full memory ended", status, ends[end]);
    must_be("a look at grown memory", test_turn(newborn(reader, (how >> 24) % 2 == 0 ? GROWING : GROWING_TOO), GROW_LOOK, most, sizeof most), TURN_OK);
    must_be("bytes kept by who only grew", reader->context_length, CONTEXT_HEADER);
    if (reader->integer != 0)
        leaked("words of grown memory are not zero", (long)reader->integer);
}

static void reuse_globals(test_twin *writer, test_twin *reader, dro_random_seeded *dice, const uint8_t secret[SECRET])
{
    static const enum turn_status ends[] = { [GLOBALS_WELL] = TURN_OK, [GLOBALS_TRAP] = TURN_TRAP, [GLOBALS_LEAVE] = TURN_OUT_OF_BOUNDS,
                                             [GLOBALS_STAY] = TURN_DEADLINE, [GLOBALS_BAD] = TURN_BAD_RESULT };
    uint64_t how = dro_random_next(dice);
    uint32_t end = GLOBALS_WELL + (uint32_t)(how % GLOBALS_BAD);
    if (end == GLOBALS_STAY && (how >> 8) % (SLOW_EVERY / 64) != 0)
        end = GLOBALS_TRAP;
    enum turn_status status = (end == GLOBALS_STAY ? test_turn_without_end : test_turn)(newborn(writer, GLOBALS), end, secret, SECRET);
    must_be("how changed globals ended", status, ends[end]);
    look_for_traces(reader, GLOBALS);
}

/* Globals, a table, a segment. */
static void reuse_table(test_twin *writer, test_twin *reader, dro_random_seeded *dice)
{
    enum { FIRST_COUNT = 7, SECOND = 2, HELLO = 'h' }; /* what the image says at its first turn */
    newborn(writer, TABLE);
    for (uint64_t i = dro_random_next(dice) % 4; i > 0; i--)
        must_be("a count", test_turn(writer, TABLE_COUNT, NULL, 0), TURN_OK);
    must_be("a table left changed", test_turn(writer, TABLE_CHANGED, NULL, 0), TURN_BAD_RESULT);
    must_be("a dropped segment", test_turn(writer, TABLE_DROPS, NULL, 0), TURN_OK);
    newborn(reader, TABLE);
    must_be("a count", test_turn(reader, TABLE_COUNT, NULL, 0), TURN_OK);
    must_be("globals", (long)reader->integer, FIRST_COUNT);
    newborn(reader, TABLE);
    must_be("the table", test_turn(reader, TABLE_SAYS, NULL, 0), TURN_OK);
    must_be("what the table holds", (long)reader->integer, SECOND);
    must_be("the segment", test_turn(reader, TABLE_DROPS, NULL, 0), TURN_OK);
    must_be("what it holds", (long)reader->integer, HELLO);
}

/* The host's own look: what a guest could not see either. */
static void look_at_slots(uint32_t index)
{
    const image *image = &here->images[index];
    for (uint32_t i = 0; i < image->slot_count; i++) {
        const engine_memory *memory = engine_instance_memory(image->slots[i]);
        if (memcmp(memory->bytes, image->baseline, image->info.memory_bytes) != 0)
            leaked("a slot's memory is not its baseline", i);
        for (uint32_t k = 0; k < image->info.global_count; k++)
            if (engine_global_get(image->slots[i], k) != image->info.globals[k])
                leaked("a slot's global", k);
    }
    for (size_t k = 0; k < sizeof here->turn.effect_bytes; k++)
        if (here->turn.effect_bytes[k] != 0)
            leaked("an effect", (long)k);
}

static void reuse(uint64_t seed)
{
    static test_twin writer, reader;
    dro_random_seeded dice;
    uint8_t secret[SECRET];
    dro_random_seeded_init(&dice, seed);
    dice.random.fill(&dice.random, secret, sizeof secret);
    secret[0] |= 1;
    uint64_t kind = dro_random_next(&dice) % 16;
    if (kind == 0) {
        reuse_grown(&writer, &reader, &dice, secret);
    } else if (kind == 1) {
        reuse_table(&writer, &reader, &dice);
    } else if (kind == 2) {
        reuse_globals(&writer, &reader, &dice, secret);
    } else {
        uint32_t image = kind % 2 == 0 ? PROBE : COMPUTING, other = kind % 4 < 2 ? image : PROBE + COMPUTING - image;
        write_and_end(newborn(&writer, image), &dice, secret);
        if (other != image)
            look_for_traces(&reader, other);
        look_for_traces(&reader, image);
    }
    if (number % SLOTS_EVERY == 0)
        for (uint32_t image = PROBE; image <= GLOBALS; image++)
            look_at_slots(image);
}

int main(int argc, char **argv)
{
    static const char *const names[IMAGES] = { "probe", "computing", "globals", "grow", "grow", "table" };
    static test_twin first_twin;
    test_bytes artifacts[IMAGES];
    if (argc != 5) {
        fprintf(stderr, "usage: slots exact|plain SEED FIRST COUNT\n");
        return 2;
    }
    way = argv[1];
    uint64_t seed = strtoull(argv[2], NULL, 10), first = strtoull(argv[3], NULL, 10), count = strtoull(argv[4], NULL, 10);
    admit_options admitting = { .no_exact_memory = strcmp(way, "plain") == 0 };
    test_signals_keep();
    for (uint32_t i = 0; i < IMAGES; i++)
        artifacts[i] = test_artifact(names[i], &admitting);
    here = test_cell(artifacts, IMAGES, false);
    for (uint32_t image = PROBE; image <= GLOBALS; image++)
        unused[image] = seen_by(&first_twin, image);
    for (number = first; number < first + count; number++)
        reuse(seed * 1000003 + number);
    printf("%lu reuses\n", (unsigned long)count);
    cell_free(here);
    for (uint32_t i = 0; i < IMAGES; i++)
        free(artifacts[i].bytes);
    return 0;
}

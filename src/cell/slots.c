/* slots WAY SEED FIRST COUNT: twins write a secret wherever they can and end in every way there is; whoever has the slot next, a twin of
 * the same image or of another one in the same cell, looks for it everywhere. WAY: exact, plain (whole pages). The proof `slots`. */
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

enum { PROBE, COMPUTING, GROWING, TABLE, IMAGES, SECRET = 8, SLOW_EVERY = 4000, SLOTS_EVERY = 64 };
enum { GROW_GROW = 1, GROW_PUT = 3, GROW_GET = 4, TABLE_COUNT = 0, TABLE_CHANGED = 1, TABLE_DROPS = 3, TABLE_SAYS = 4 };

static cell *here;
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

/* Its memory is full of the secret when it ends. */
static void write_and_end(test_twin *twin, dro_random_seeded *dice, const uint8_t secret[SECRET])
{
    static const struct { uint32_t event; enum turn_status status; } ends[] = {
        { OVERFLOW, TURN_STACK_OVERFLOW }, { OUT_OF_BOUNDS, TURN_OUT_OF_BOUNDS }, { TRAP, TURN_TRAP }, { DIVIDE, TURN_TRAP }, { BAD_CALL, TURN_TRAP },
        { EFFECTS_FLOOD, TURN_EFFECTS }, { BAD_OUTCOME, TURN_BAD_RESULT }, { BAD_POINTER, TURN_OUT_OF_BOUNDS }, { COUNT, TURN_OK }, { WALK, TURN_OK },
    };
    uint64_t how = dro_random_next(dice);
    if (how % SLOW_EVERY == 0) { /* the ticker's 4 to 8 ms each */
        must_be("a turn without an end", test_turn(twin, SMEAR_LOOP, secret, SECRET), TURN_DEADLINE);
    } else if (how % 3 == 0) {
        must_be("a trap", test_turn(twin, SMEAR_TRAP, secret, SECRET), TURN_TRAP);
    } else {
        must_be("a turn", test_turn(twin, SMEAR, secret, SECRET), TURN_OK);
        if (how % 3 == 1) {
            size_t end = (how >> 8) % (sizeof ends / sizeof ends[0]);
            enum turn_status status = test_turn(twin, ends[end].event, secret, SECRET);
            if (ends[end].event != WALK) /* that one answers as it likes */
                must_be("how a turn ended", status, ends[end].status);
        }
    }
}

static void look_for(test_twin *twin, const uint8_t secret[SECRET])
{
    uint8_t event[SECRET + 4];
    uint32_t end = here->images[twin->image].info.memory_bytes;
    memcpy(event, secret, SECRET);
    memcpy(event + SECRET, &end, sizeof end);
    must_be("a search", test_turn(twin, SCAN, event, sizeof event), TURN_OK);
    if (twin->integer != 0)
        leaked("traces of the secret", (long)twin->integer);
}

/* An image whose instances are made anew for each turn. */
static void reuse_grown(test_twin *writer, test_twin *reader, dro_random_seeded *dice)
{
    uint8_t byte = (uint8_t)(dro_random_next(dice) | 1), pages = 1 + (uint8_t)(dro_random_next(dice) % 2);
    newborn(writer, GROWING);
    must_be("growth", test_turn(writer, GROW_GROW, &pages, 1), TURN_OK);
    must_be("a byte at the end", test_turn(writer, GROW_PUT, &byte, 1), TURN_OK);
    newborn(reader, GROWING);
    must_be("growth", test_turn(reader, GROW_GROW, &pages, 1), TURN_OK);
    must_be("a look at the end", test_turn(reader, GROW_GET, NULL, 0), TURN_OK);
    if (reader->integer != 0)
        leaked("the byte at the end of grown memory", (long)reader->integer);
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
        reuse_grown(&writer, &reader, &dice);
    } else if (kind == 1) {
        reuse_table(&writer, &reader, &dice);
    } else {
        uint32_t image = (uint32_t)(kind % 2), other = kind % 4 < 2 ? image : 1 - image;
        write_and_end(newborn(&writer, image), &dice, secret);
        look_for(newborn(&reader, other), secret);
        look_for(newborn(&reader, image), secret);
    }
    if (number % SLOTS_EVERY == 0)
        look_at_slots((uint32_t)(kind % 2));
}

int main(int argc, char **argv)
{
    static const char *const names[IMAGES] = { "probe", "computing", "grow", "table" };
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
    for (number = first; number < first + count; number++)
        reuse(seed * 1000003 + number);
    printf("%lu reuses\n", (unsigned long)count);
    cell_free(here);
    for (uint32_t i = 0; i < IMAGES; i++)
        free(artifacts[i].bytes);
    return 0;
}

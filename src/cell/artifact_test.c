/* An artifact crosses from admit to cells: what is written is read, and what no admit would write is refused. */
#include "cell/artifact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cell/admit.h"
#include "twin/event.h"

enum { MEMORY = 65536 };

static const uint8_t baseline[] = "what is there at the start", code[] = "code";
static bool is_short;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return is_short ? NULL : __real_malloc(size);
}

static artifact sound(void)
{
    return (artifact){ .info = { .memory_bytes = MEMORY, .memory_limit = MEMORY, .event_buffer = 1024, .dead_start = 0, .dead_end = 512, .dead_global = 1, .global_count = 2,
                                 .globals = { 7, 512 }, .is_exact = true, .property_count = 2, .event_count = 2,
                                 .property_kinds = { VALUE_NUMBER, VALUE_STRING }, .event_kinds = { VALUE_NONE, VALUE_STRING } },
                       .key = "engine-1", .baseline = baseline, .baseline_length = sizeof baseline, .code = code, .code_length = sizeof code };
}

/* Written, and read again from other memory. */
static dro_err read_written(const artifact *given, artifact *back)
{
    static uint8_t copy[1 << 20];
    uint8_t *bytes;
    size_t length;
    assert_int_equal(artifact_write(given, &bytes, &length), DRO_OK);
    assert_true(length <= sizeof copy);
    memcpy(copy, bytes, length);
    free(bytes);
    return artifact_read(back, copy, length);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    artifact given = sound(), back;
    for (int flag = 0; flag < 5; flag++) {
        given.info.is_exact = flag == 0;
        given.info.is_fresh = flag == 1;
        given.info.exports_state = flag == 2;
        given.info.is_plain_wanted = flag == 3;
        given.info.computes = flag == 4;
        assert_int_equal(read_written(&given, &back), DRO_OK);
        assert_memory_equal(&back.info, &given.info, sizeof back.info);
        assert_string_equal(back.key, "engine-1");
        assert_int_equal(back.baseline_length, sizeof baseline);
        assert_memory_equal(back.baseline, baseline, sizeof baseline);
        assert_int_equal(back.code_length, sizeof code);
        assert_memory_equal(back.code, code, sizeof code);
    }
    is_short = true;
    uint8_t *bytes;
    size_t length;
    dro_err err = artifact_write(&given, &bytes, &length);
    is_short = false;
    assert_int_equal(err, DRO_NOMEM);
}

static void memory_that_may_grow_needs_a_fresh_instance(void **state)
{
    (void)state;
    artifact given = sound(), back;
    given.info.memory_limit = 2 * MEMORY;
    assert_int_equal(read_written(&given, &back), DRO_CORRUPT);
    given.info.is_fresh = true;
    assert_int_equal(read_written(&given, &back), DRO_OK);
    given.info.is_exact = false;
    given.info.computes = true;
    assert_int_equal(read_written(&given, &back), DRO_CORRUPT);
    given.info.memory_limit = MEMORY;
    assert_int_equal(read_written(&given, &back), DRO_OK);
    given.info.is_exact = true; /* one that computes has whole pages */
    assert_int_equal(read_written(&given, &back), DRO_CORRUPT);
}

static void tables_need_a_fresh_instance(void **state)
{
    (void)state;
    artifact given = sound(), back;
    given.info.table_count = 1;
    assert_int_equal(read_written(&given, &back), DRO_CORRUPT);
    given.info.is_fresh = true;
    assert_int_equal(read_written(&given, &back), DRO_OK);
}

static void each_number_keeps_to_its_bounds(void **state)
{
    (void)state;
    static const struct { size_t at; uint32_t good, bad; } numbers[] = {
        { offsetof(artifact_info, memory_bytes), MEMORY, 0 },
        { offsetof(artifact_info, memory_bytes), MEMORY, MEMORY - 1 },
        { offsetof(artifact_info, memory_bytes), MEMORY, MEMORY + CHUNK }, /* more than it may grow to */
        { offsetof(artifact_info, memory_limit), MEMORY, MEMORY + 1 },
        { offsetof(artifact_info, event_buffer), MEMORY - EVENT_BYTES_MAX, MEMORY - EVENT_BYTES_MAX + 1 },
        { offsetof(artifact_info, event_buffer), 0, UINT32_MAX },
        { offsetof(artifact_info, dead_start), 512, 513 },
        { offsetof(artifact_info, dead_end), MEMORY, MEMORY + 1 },
        { offsetof(artifact_info, dead_global), 1, 2 },
    };
    artifact back;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        artifact given = sound();
        memcpy((uint8_t *)&given.info + numbers[i].at, &numbers[i].good, 4);
        assert_int_equal(read_written(&given, &back), DRO_OK);
        memcpy((uint8_t *)&given.info + numbers[i].at, &numbers[i].bad, 4);
        assert_int_equal(read_written(&given, &back), DRO_CORRUPT);
    }
    artifact given = sound();
    given.info.memory_bytes = given.info.memory_limit = ADMIT_MEMORY_MAX;
    assert_int_equal(read_written(&given, &back), DRO_OK);
    given.info.memory_bytes = given.info.memory_limit = ADMIT_MEMORY_MAX + CHUNK;
    assert_int_equal(read_written(&given, &back), DRO_CORRUPT);
    given = sound();
    given.info.dead_end = given.info.dead_start; /* nothing is dead: no stack pointer is needed */
    given.info.dead_global = 77;
    assert_int_equal(read_written(&given, &back), DRO_OK);
}

static void kinds_are_those_of_values(void **state)
{
    (void)state;
    artifact given = sound(), back;
    given.info.property_kinds[1] = VALUE_NONE; /* a property has some value; an event may have no data */
    assert_int_equal(read_written(&given, &back), DRO_CORRUPT);
    given.info.property_kinds[1] = VALUE_STRING + 1;
    assert_int_equal(read_written(&given, &back), DRO_CORRUPT);
    given = sound();
    given.info.event_kinds[1] = VALUE_STRING + 1;
    assert_int_equal(read_written(&given, &back), DRO_CORRUPT);
}

static void memory_at_the_start_is_no_more_than_there_is(void **state)
{
    (void)state;
    static uint8_t large[MEMORY + 1];
    artifact given = sound(), back;
    given.baseline = large;
    given.baseline_length = MEMORY;
    assert_int_equal(read_written(&given, &back), DRO_OK);
    given.baseline_length = MEMORY + 1;
    assert_int_equal(read_written(&given, &back), DRO_CORRUPT);
    given = sound();
    given.code_length = 0;
    assert_int_equal(read_written(&given, &back), DRO_CORRUPT);
}

static void another_length_is_refused(void **state)
{
    (void)state;
    artifact given = sound(), back;
    uint8_t *bytes;
    size_t length;
    assert_int_equal(artifact_write(&given, &bytes, &length), DRO_OK);
    for (size_t i = 0; i < length; i++) {
        uint8_t *shorter = malloc(i + 1);
        memcpy(shorter, bytes, i);
        assert_int_equal(artifact_read(&back, shorter, i), DRO_CORRUPT);
        free(shorter);
    }
    uint8_t *longer = calloc(1, (size_t)ARTIFACT_CODE_MAX + length);
    memcpy(longer, bytes, length);
    assert_int_equal(artifact_read(&back, longer, length + 1), DRO_CORRUPT);
    uint64_t code_length = ARTIFACT_CODE_MAX + 1; /* in front of the padding and the code, which is at its end */
    size_t at = length - sizeof code;
    while (memcmp(longer + at, &(uint64_t){ sizeof code }, 8) != 0)
        at--;
    memcpy(longer + at, &code_length, 8);
    assert_int_equal(artifact_read(&back, longer, length - sizeof code + (size_t)code_length), DRO_CORRUPT);
    code_length--;
    memcpy(longer + at, &code_length, 8);
    assert_int_equal(artifact_read(&back, longer, length - sizeof code + (size_t)code_length), DRO_OK);
    memcpy(longer, "DROMART2", 8);
    assert_int_equal(artifact_read(&back, longer, length), DRO_CORRUPT);
    free(longer);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(memory_that_may_grow_needs_a_fresh_instance),
        cmocka_unit_test(tables_need_a_fresh_instance),
        cmocka_unit_test(each_number_keeps_to_its_bounds),
        cmocka_unit_test(kinds_are_those_of_values),
        cmocka_unit_test(memory_at_the_start_is_no_more_than_there_is),
        cmocka_unit_test(another_length_is_refused),
    };
    return cmocka_run_group_tests_name("artifact", tests, NULL, NULL);
}

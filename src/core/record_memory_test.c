/* No memory for what a record says: the core ends itself rather than answer for the rest of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/core_testbed.h"
#include "core/host_tables.h"
#include "core/number.h"
#include "core/record.h"
#include "core/twin_table.h"

static jmp_buf ended;
static bool is_short, has_ended;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void __real_abort(void) __attribute__((noreturn));
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void __wrap_abort(void) __attribute__((noreturn));

void *__wrap_malloc(size_t size)
{
    return is_short ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return is_short ? NULL : __real_calloc(count, size);
}

void __wrap_abort(void)
{
    if (!is_short)
        __real_abort();
    is_short = false;
    has_ended = true;
    longjmp(ended, 1);
}

static void a_command_without_memory_for_its_ticket_is_not_answered(void **state)
{
    (void)state;
    has_ended = false;
    make_twin("a@acme.example", "001010000000001");
    world_close(&here.world);
    assert_int_equal(world_open(&here.world), DRO_OK);
    world_settle(&here.world);
    uint32_t index = twin_find(here.world.core, "a@acme.example", 14);
    value value = { .kind = VALUE_INTEGER, .integer = 600 };
    if (setjmp(ended) == 0) {
        is_short = true;
        record_begin(here.world.core, index, RECORD_DELTA);
        (void)ticket_make(here.world.core, index, false, 0, &value, TICKET_PENDING, 0);
        record_end(here.world.core);
        is_short = false;
    }
    assert_true(has_ended);
    world_forget(&here.world);
    assert_int_equal(world_open(&here.world), DRO_OK); /* from the log */
    assert_true(twin_find(here.world.core, "a@acme.example", 14) != NONE);
}

/* Its repetition would be done again. */
static void a_request_whose_key_cannot_be_kept_is_not_answered(void **state)
{
    (void)state;
    static const uint8_t key[32] = { 1 }, body[32] = { 2 };
    has_ended = false;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    if (setjmp(ended) == 0) {
        record_begin(here.world.core, index, RECORD_DELTA);
        is_short = true;
        idempotent_put(here.world.core, key, body, 202, "{}", 2);
        is_short = false;
        record_end(here.world.core);
    }
    assert_true(has_ended);
    world_forget(&here.world);
    assert_int_equal(world_open(&here.world), DRO_OK);
    assert_null(idempotent_find(here.world.core, key));
}

int main(void)
{
    const struct CMUnitTest tests[] = { CLAIM(a_command_without_memory_for_its_ticket_is_not_answered),
                                        CLAIM(a_request_whose_key_cannot_be_kept_is_not_answered) };
    return cmocka_run_group_tests_name("record_memory", tests, NULL, NULL);
}
